//! Every text that describes the command line, printed from [`FLAGS`].

use std::fmt::Write;

use super::flags::{FLAGS, Flag, Verb};
use crate::order::sort_short_by_key;

/// The second line of a usage error.
pub const TRY: &str = "try: tcpgoon --help";

/// As [`TRY`], for the help of a verb.
pub const fn try_line(verb: Verb) -> &'static str {
    match verb {
        Verb::Run => TRY,
        Verb::Serve => "try: tcpgoon serve --help",
        Verb::Calibrate => "try: tcpgoon calibrate --help",
        // After a wrong id the list of ids helps.
        Verb::Explain => "try: tcpgoon explain",
        Verb::Schema => "try: tcpgoon schema --help",
    }
}

const RUN_SYNOPSIS: &str = "
  tcpgoon --host HOST --port PORT [flags]
  tcpgoon [flags] HOST:PORT...
  tcpgoon [flags] HOST... PORT
";

const RUN_NOTES: &str = "
Targets (several are dialed in turn):
  example.com:80  example.com 80  10.0.0.7:http  [::1]:80  [fe80::1%eth0]:80
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
  FILE    a regular file is replaced at the end; a pipe or a device is written to

Exit codes:
  0  all connections were open together, or with --expect or --send all got a reply
  1  not completed: wrong usage, setup failed, no confirmation, interrupted, report not written
  2  completed: fewer stayed open, replies are missing, or connections are half-open or expired
  3  a condition of --fail-if holds; with conditions there is no 2

Other verbs, as the first word:
  tcpgoon serve             a server to test against
  tcpgoon calibrate         measure the limits of this machine
  tcpgoon explain [ID]      print a cause that a verdict names, or the list of all causes
  tcpgoon schema            print the JSON Schema of --json and --events
  tcpgoon version           print the version
  tcpgoon help [VERB]       print this help, or that of a verb
";

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

/// The flags of a run by what they are about, in the order of a first run. One that is not named here
/// is in the last group.
const GROUPS: [(&str, &[&str]); 5] = [
    ("Target", &["host", "port", "ipv4", "ipv6", "all-addresses", "source"]),
    ("Load", &["connections", "sleep", "rate", "duration", "dial-timeout", "max-errors"]),
    (
        "Connections",
        &["hold", "lifetime", "send", "expect", "reply-timeout", "probe", "settle", "close"],
    ),
    ("Reports", &["report", "fail-if", "json", "events", "markdown", "junit"]),
    ("Prompt and output", &[]),
];

/// The number of columns of the help.
const COLUMNS: usize = 80;

/// The help of a verb, at most 80 columns wide.
pub fn usage(verb: Verb) -> String {
    let mut text = format!("Usage of {}:", verb.command());
    let notes = match verb {
        Verb::Run => {
            text.push_str(RUN_SYNOPSIS);
            RUN_NOTES
        }
        Verb::Serve => {
            text.push_str("\n  tcpgoon serve [flags] [PORT | ADDR:PORT]\n");
            SERVE_NOTES
        }
        Verb::Calibrate => {
            text.push_str("\n  tcpgoon calibrate [flags]\n");
            CALIBRATE_NOTES
        }
        Verb::Explain => {
            text.push_str("\n  tcpgoon explain [ID]\n");
            EXPLAIN_NOTES
        }
        Verb::Schema => {
            text.push_str("\n  tcpgoon schema\n");
            SCHEMA_NOTES
        }
    };
    let flags: Vec<&Flag> = FLAGS.iter().filter(|flag| flag.belongs_to(verb)).collect();
    let width = flags.iter().map(|flag| left_column(flag).len()).max().unwrap_or(0);
    if verb != Verb::Run {
        text.push('\n');
        flags.iter().for_each(|flag| write_flag(&mut text, flag, width));
        return wrapped(&(text + notes));
    }
    for (index, (title, _)) in GROUPS.iter().enumerate() {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "\n{title}:");
        let mut of_group: Vec<&&Flag> =
            flags.iter().filter(|flag| group(flag).0 == index).collect();
        sort_short_by_key(&mut of_group, |flag| group(flag).1);
        of_group.iter().for_each(|flag| write_flag(&mut text, flag, width));
    }
    wrapped(&(text + notes))
}

/// The group of a flag, and its place there.
fn group(flag: &Flag) -> (usize, usize) {
    let at = |(_, longs): &(&str, &[&str])| longs.iter().position(|long| *long == flag.long);
    let named = GROUPS.iter().enumerate().find_map(|(index, group)| Some((index, at(group)?)));
    named.unwrap_or((GROUPS.len() - 1, 0))
}

fn write_flag(text: &mut String, flag: &Flag, width: usize) {
    // Writing to a string cannot fail.
    let _ = write!(text, "  {:width$}   {}", left_column(flag), flag.help);
    if let Some(default) = flag.default {
        let _ = write!(text, " (default {default})");
    }
    text.push('\n');
}

/// The text with lines of at most [`COLUMNS`]: a row goes on below its second column, prose at the
/// margin.
fn wrapped(text: &str) -> String {
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
    let mut out = String::with_capacity(text.len());
    for (row, below) in rows {
        write_row(&mut out, &row, below);
    }
    out
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

fn write_row(out: &mut String, row: &str, below: usize) {
    let mut rest = row.to_owned();
    while rest.chars().count() > COLUMNS {
        let end = rest.char_indices().nth(COLUMNS + 1).map_or(rest.len(), |(at, _)| at);
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
fn left_column(flag: &Flag) -> String {
    let short = flag.short.map_or("    ".into(), |short| format!("-{short}, "));
    let value = flag.value.map_or(String::new(), |value| match flag.alone {
        Some(_) => format!("[={value}]"),
        None => format!(" {value}"),
    });
    format!("{short}--{}{value}", flag.long)
}

/// The usage block of the README.
pub fn readme_block() -> String {
    usage(Verb::Run)
}
