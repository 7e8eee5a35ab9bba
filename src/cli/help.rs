//! Every text that describes the command line, printed from [`FLAGS`].

use std::fmt::Write;

use super::flags::{FLAGS, Flag, Verb};

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
  example.com:80  example.com 80  10.0.0.7:80  [::1]:80  [fe80::1%eth0]:80  --host ::1 --port 80
  a b 80 c 81               a number is the port of the hosts before it without one
  a b:81 -p 80              --port is the port of all hosts without one
  a:8000-8009,9000          ports can be lists and ranges, in --port too
  10.0.0.1-10.0.0.9:80      a range of addresses; IPv6: [::1]-[::9]:80 or [::1-::9]:80
  For a host that is a number or one of the verbs below use --host.

Values:
  times   in the unit of the flag, or with a unit: 1.5 250us 10ms 5s 1m30s 2h;
          --dial-timeout 0: none, --interval 0: no stats updates, --sleep 0: unpaced
  sources 10.0.0.7,10.0.0.10-10.0.0.29,10.0.1.0/24: addresses of this host, no names
  counts  1 to 64m connections, 0.001 to 10m dials per second: 100 1.5k 2m
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
  tcpgoon serve             a server to test against (tcpgoon serve --help)
  tcpgoon calibrate         measure the limits of this machine
  tcpgoon explain [ID]      print a cause that a verdict names, or the list of all causes
  tcpgoon schema            print the JSON Schema of --json and --events
  tcpgoon version           print the version
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

/// The help of a verb, at most 100 columns wide.
pub fn usage(verb: Verb) -> String {
    let mut text = format!("Usage of {}:", verb.command());
    let notes = match verb {
        Verb::Run => {
            text.push_str(RUN_SYNOPSIS);
            RUN_NOTES
        }
        Verb::Serve => {
            text.push_str("\n  tcpgoon serve [flags]\n");
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
    text.push('\n');
    let flags = || FLAGS.iter().filter(|flag| flag.belongs_to(verb));
    let width = flags().map(|flag| left_column(flag).len()).max().unwrap_or(0);
    for flag in flags() {
        // Writing to a string cannot fail.
        let _ = write!(text, "  {:width$}   {}", left_column(flag), flag.help);
        if let Some(default) = flag.default {
            let _ = write!(text, " (default {default})");
        }
        text.push('\n');
    }
    text + notes
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
