//! The help, printed from [`FLAGS`] and `VERBS`, and what it shares with the man page.

use std::fmt::Write;

use super::flags::{FLAGS, Flag, Verb};
use super::verb;
use crate::order::sort_short_by_key;

/// The second line of a usage error.
pub const TRY: &str = "try: tcpgoon --help";

/// As [`TRY`], for the help of a verb.
pub const fn try_line(verb: Verb) -> &'static str {
    match verb {
        Verb::Run => TRY,
        Verb::Serve => "try: tcpgoon serve --help",
        Verb::Calibrate => "try: tcpgoon calibrate --help",
        Verb::Report => "try: tcpgoon report --help",
        // After a wrong id the list of ids helps.
        Verb::Explain => "try: tcpgoon explain",
        Verb::Schema => "try: tcpgoon schema --help",
        Verb::Completions => "try: tcpgoon completions --help",
        Verb::Man => "try: tcpgoon man --help",
    }
}

/// The command lines of a run.
const RUN_SYNOPSIS: [&str; 3] = [
    "tcpgoon --host HOST --port PORT [flags]",
    "tcpgoon [flags] HOST:PORT...",
    "tcpgoon [flags] HOST... PORT",
];

const RUN_NOTES: &str = "
Targets (several are dialed in turn):
  HOST:PORT                 example.com:80, 10.0.0.7:http, [::1]:80, [fe80::1%eth0]:80
  HOST PORT                 example.com 80
  a b 80 c 81               a number is the port of the hosts before it without one
  a b:81 -p 80              --port is the port of all hosts without one
  a:8000-8009,9000          ports can be lists and ranges, in --port too
  10.0.0.1-10.0.0.9:80      a range of addresses; IPv6: [::1]-[::9]:80 or [::1-::9]:80
  For a host that is a number or one of the verbs below use --host.

Values:
  times   in the unit of the flag, or with a unit: 1.5 250us 10ms 5s 1m30s 2h;
          --dial-timeout 0: none, --interval 0: no stats updates, --sleep 0: unpaced
  source  10.0.0.7,10.0.0.10-10.0.0.29,10.0.1.0/24: addresses of this host, no names
  counts  1 to 64m connections, 0.001 to 10m dials per second: 100 1.5k 2m 10,000
  flags   the last of a repeated flag counts; -y is the same as -y=true, and -y=false undoes it
  EXPR    METRIC, then < <= > >= or ==, then a count, a percentage of --connections (95%) or a time
          with its unit (20ms); METRICS: established established_peak errors closed unanswered
          half_open dial_p50 dial_p90 dial_p99 dial_p999 dial_max rate lateness_p99
  FILE    a regular file is replaced; a pipe or a device is written to

Names of --ask:
  http[=HOST]               HEAD /; 5xx is an answer, and counts as busy
  tls[=NAME]                a ClientHello, which costs the server a signature on each connection; an
                            alert is an answer; the handshake is not completed
  redis                     PING
  postgres                  SSLRequest
  ssh, smtp, mysql          nothing: the server sends first
  HOST and NAME are by default the first target. A target without a port takes that of the name.

Exit codes:
  0  all connections were open together, or with --ask, --expect or --send all got a reply
  1  not completed: wrong usage, setup failed, no confirmation, interrupted, report not written
  2  completed: fewer stayed open, replies are missing, or connections are half-open or expired
  3  a condition of --fail-if holds; with conditions there is no 2
";

/// What to type for a question that an operator has.
pub const EXAMPLES: [(&str, &str); 4] = [
    (
        "tcpgoon -c 1k --rate 200 example.com:443",
        "Open 1000 connections, 200 a second, and print what limits them.",
    ),
    (
        "tcpgoon -y -c 20k --hold 5m --probe 10.0.0.7 8000-8009",
        "Hold 20000 for 5 minutes, on ten ports, and find those that are half-open.",
    ),
    (
        "tcpgoon -c 500 --send 'PING\\r\\n' --expect PONG 10.0.0.7:6379",
        "Count the connections on which the application replies.",
    ),
    (
        "tcpgoon -y -q -c 2k -s 1 --fail-if 'established<95%' --json run.json lb:443",
        "For a CI job: exit with 3 if fewer than 95% were open together.",
    ),
];

const SERVE_NOTES: &str = "
A server to test against. It prints its address, a stats line every interval, and at the end (a
signal, or --duration) the numbers of accepted, open and closed connections.

Values:
  times   in s, or with a unit: 1.5 250us 10ms 5s 1m30s 2h; --interval 0: no stats updates
  counts  100 1.5k 2m

Exit codes:
  0  ended by a signal, --duration or --until-eof
  1  setup failed, or output not written
";

const CALIBRATE_NOTES: &str = "
Measures this machine before you test a server: dials its own 'tcpgoon serve' on the loopback,
unpaced, and prints the connections reached, their cost, and the limit.

Values:
  counts  1 to 64m: 100 1.5k 2m

Exit codes:
  0  measured
  1  not measured: setup failed, interrupted, or no connection was established
";

const REPORT_NOTES: &str = "
Prints the report of a saved run: FILE is what --json wrote, or --events (of several runs the last);
- is standard input. The diagnosis is made again from its numbers. Dials nothing.

Values:
  FILE    at most 32 MiB; of more events the last line is enough (tail -n 1)

Exit codes:
  0  rendered, whatever the exit code of the run was
  1  not read, or not written
";

const EXPLAIN_NOTES: &str = "
Prints a cause that a verdict names by its id: how it looks, how to check it, how to fix it.
Without an id, the list of all causes by side. Dials nothing.

Exit codes:
  0  printed
  1  unknown id
";

const SCHEMA_NOTES: &str = "
Prints the JSON Schema of what --json and --events write, with a description of each field.
Dials nothing.

Exit codes:
  0  printed
";

const COMPLETIONS_NOTES: &str = "
Prints the completions of verbs, flags and their values for a shell: bash, zsh or fish.

Load them where the shell starts:
  bash  source <(tcpgoon completions bash)
  zsh   source <(tcpgoon completions zsh)     behind compinit
  fish  tcpgoon completions fish | source

Exit codes:
  0  printed
  1  no shell, or one without completions
";

const MAN_NOTES: &str = "
Prints the man page, in roff. Read it with: tcpgoon man | man -l -

Exit codes:
  0  printed
";

/// The flags of a run by what they are about, in the order of a first run. One that is not named here
/// is in the last group.
const GROUPS: [(&str, &[&str]); 5] = [
    ("Target", &["host", "port", "ipv4", "ipv6", "all-addresses", "source"]),
    ("Load", &["connections", "sleep", "rate", "duration", "dial-timeout", "max-errors"]),
    (
        "Connections",
        &[
            "hold",
            "lifetime",
            "hold-beside",
            "ask",
            "send",
            "expect",
            "reply-timeout",
            "probe",
            "settle",
            "close",
        ],
    ),
    (
        "Reports",
        &["report", "fail-if", "json", "events", "html", "markdown", "junit", "prometheus"],
    ),
    ("Prompt and output", &[]),
];

/// The number of columns of the help.
const COLUMNS: usize = 80;

/// Of the same in the README.
const README_COLUMNS: usize = 110;

/// The help of a verb, at most 80 columns wide.
pub fn usage(verb: Verb) -> String {
    let mut text = reference(verb);
    text.push_str(notes(verb));
    if verb == Verb::Run {
        text.push_str(&verbs());
        text.push_str("\nExamples:\n");
        for (line, what) in EXAMPLES {
            let _ = writeln!(text, "  {line}\n      {what}");
        }
    }
    wrapped(&text, COLUMNS)
}

/// The command lines and the flags of a verb.
fn reference(verb: Verb) -> String {
    let mut text = format!("Usage of {}:\n", verb.command());
    for line in synopses(verb) {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {line}");
    }
    let flags = FLAGS.iter().filter(|flag| flag.belongs_to(verb));
    let width = flags.map(|flag| left_column(flag).len()).max().unwrap_or(0);
    for (title, flags) in groups(verb) {
        text.push('\n');
        if verb == Verb::Run {
            let _ = writeln!(text, "{title}:");
        }
        for flag in flags {
            let _ = writeln!(text, "  {:width$}   {}", left_column(flag), flag.described());
        }
    }
    text
}

fn verbs() -> String {
    let mut text = String::from("\nOther verbs, as the first word:\n");
    for record in verb::listed() {
        // The list has no room for flags.
        let args = if record.args.starts_with("[flags]") { "" } else { record.args };
        let command = format!("{} {args}", record.command);
        let _ = writeln!(text, "  {command:25} {}", record.help);
    }
    text
}

/// The command lines of a verb.
pub fn synopses(verb: Verb) -> Vec<String> {
    match verb {
        Verb::Run => RUN_SYNOPSIS.map(str::to_owned).to_vec(),
        _ => vec![verb.record().synopsis()],
    }
}

/// What follows the flags: prose, and sections of rows. Begins with an empty line.
pub fn notes(verb: Verb) -> &'static str {
    match verb {
        Verb::Run => RUN_NOTES,
        Verb::Serve => SERVE_NOTES,
        Verb::Calibrate => CALIBRATE_NOTES,
        Verb::Report => REPORT_NOTES,
        Verb::Explain => EXPLAIN_NOTES,
        Verb::Schema => SCHEMA_NOTES,
        Verb::Completions => COMPLETIONS_NOTES,
        Verb::Man => MAN_NOTES,
    }
}

/// The flags of a verb: those of a run in their groups, all others in one.
pub fn groups(verb: Verb) -> Vec<(&'static str, Vec<&'static Flag>)> {
    let mut groups: Vec<_> = GROUPS.iter().map(|(title, _)| (*title, Vec::new())).collect();
    for flag in FLAGS.iter().filter(|flag| flag.belongs_to(verb)) {
        let index = if verb == Verb::Run { group(flag).0 } else { 0 };
        groups[index].1.push(flag);
    }
    if verb == Verb::Run {
        groups.iter_mut().for_each(|(_, flags)| sort_short_by_key(flags, |flag| group(flag).1));
    }
    groups.retain(|(_, flags)| !flags.is_empty());
    groups
}

/// The group of a flag, and its place there.
fn group(flag: &Flag) -> (usize, usize) {
    let at = |(_, longs): &(&str, &[&str])| longs.iter().position(|long| *long == flag.long);
    let named = GROUPS.iter().enumerate().find_map(|(index, group)| Some((index, at(group)?)));
    named.unwrap_or((GROUPS.len() - 1, 0))
}

/// The text with lines of at most `columns`: a row goes on below its second column, prose at the
/// margin.
fn wrapped(text: &str, columns: usize) -> String {
    let mut out = String::with_capacity(text.len());
    for (row, below) in rows(text) {
        write_row(&mut out, &row, below, columns);
    }
    out
}

/// The rows of a text, each on one line, and where its second column begins, or else its margin.
pub fn rows(text: &str) -> Vec<(String, usize)> {
    let mut rows: Vec<(String, usize)> = Vec::new();
    for line in text.lines() {
        let margin = line.len() - line.trim_start().len();
        match rows.last_mut() {
            Some((row, below)) if is_continued(row, *below, line, margin) => {
                row.push(' ');
                row.push_str(line.trim_start());
            }
            _ => rows.push((line.to_owned(), second_column(line))),
        }
    }
    rows
}

/// Whether a line is the rest of the row before it.
fn is_continued(row: &str, below: usize, line: &str, margin: usize) -> bool {
    let is_prose = below == 0 && !row.is_empty() && !row.ends_with(':');
    let is_row = below > row.len() - row.trim_start().len();
    !line.is_empty() && margin == below && (is_prose || is_row)
}

/// Where the text of a row begins: behind a gap of two blanks, or at the margin.
fn second_column(line: &str) -> usize {
    let margin = line.len() - line.trim_start().len();
    let Some(gap) = line[margin..].find("  ").map(|at| margin + at) else { return margin };
    line.len() - line[gap..].trim_start().len()
}

fn write_row(out: &mut String, row: &str, below: usize, columns: usize) {
    let mut rest = row.to_owned();
    while rest.chars().count() > columns {
        let end = rest.char_indices().nth(columns + 1).map_or(rest.len(), |(at, _)| at);
        // A default is not torn apart.
        let fits = |(at, _): &(usize, &str)| *at > below && !rest[..*at].ends_with("(default");
        let Some((at, _)) = rest[..end].rmatch_indices(' ').find(fits) else { break };
        out.push_str(rest[..at].trim_end());
        out.push('\n');
        rest = format!("{:below$}{}", "", rest[at..].trim_start());
    }
    out.push_str(&rest);
    out.push('\n');
}

/// `-c, --connections int`, or with blanks for the short name.
pub fn left_column(flag: &Flag) -> String {
    let short = flag.short.map_or("    ".into(), |short| format!("-{short}, "));
    let value = flag.value.map_or(String::new(), |value| match flag.alone {
        Some(_) => format!("[={value}]"),
        None => format!(" {value}"),
    });
    format!("{short}--{}{value}", flag.long)
}

/// The usage block of the README.
pub fn readme_block() -> String {
    wrapped(&(reference(Verb::Run) + &verbs()), README_COLUMNS)
}
