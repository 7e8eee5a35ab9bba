//! Every text that describes the command line, printed from [`FLAGS`].

use std::fmt::Write;

use super::flags::{FLAGS, Flag, Verb};

/// What follows the line about a mistake.
pub const TRY: &str = "try 'tcpgoon --help'";

/// As [`TRY`], with the help of that verb.
pub const fn try_line(verb: Verb) -> &'static str {
    match verb {
        Verb::Run => TRY,
        Verb::Serve => "try 'tcpgoon serve --help'",
        Verb::Calibrate => "try 'tcpgoon calibrate --help'",
        // The list of ids is what helps with a wrong one.
        Verb::Explain => "try 'tcpgoon explain'",
        Verb::Schema => "try 'tcpgoon schema --help'",
    }
}

const RUN_SYNOPSIS: &str = "
  tcpgoon --host HOST --port PORT [flags]
  tcpgoon [flags] HOST:PORT...
  tcpgoon [flags] HOST... PORT
";

const RUN_NOTES: &str = "
Targets, several of which are dialed in turn:
  example.com:80  example.com 80  10.0.0.7:80  [::1]:80  [fe80::1%eth0]:80  --host ::1 --port 80
  a b 80 c 81               a number is the port of the hosts before it that have none
  a b:81 -p 80              --port is for the hosts that have none
  a:8000-8009,9000          ports are lists and ranges everywhere, in --port too
  10.0.0.1-10.0.0.9:80      a range of addresses; IPv6: [::1]-[::9]:80 or [::1-::9]:80
  A host that is a number, or one of the verbs below, is reached with --host.

Values:
  times   in the unit that the flag names, or with one of their own: 1.5 250us 10ms 5s 1m30s 2h;
          --dial-timeout 0: none, --interval 0: no stats updates, --sleep 0: as fast as it goes
  sources 10.0.0.7,10.0.0.10-10.0.0.29,10.0.1.0/24: addresses that this host has, not names
  counts  1 to 64m connections, 0.001 to 10m dials per second: 100 1.5k 2m
  flags   of a flag that is repeated the last one counts; -y is also -y=true, and -y=false undoes it
  EXPR    METRIC, then < <= > >= or ==, then a count, a percentage of --connections (95%) or a time
          with its unit (20ms); METRICS: established established_peak errors closed unanswered
          half_open dial_p50 dial_p90 dial_p99 dial_p999 dial_max rate lateness_p99
  FILE    a regular file is replaced in the end; a pipe or a device is written to

Exit codes:
  0  all were open together once settled, or all replied where a reply was expected
  1  not completed: wrong usage, set-up, no confirmation, interrupted, or a report not written
  2  completed: fewer stayed open, replies are missing, or connections ended without an answer
  3  a condition of --fail-if holds; with conditions there is no 2

Other verbs, as the first word:
  tcpgoon serve             a server to test against (tcpgoon serve --help)
  tcpgoon calibrate         what this machine can do, before a server is blamed
  tcpgoon explain [ID]      a cause that the verdict names, in full; without ID the list of them
  tcpgoon schema            the JSON Schema of --json and --events
  tcpgoon version           the version
";

const SERVE_NOTES: &str = "
A server to test against. It prints the address it listens on, a stats line an interval, and at
the end (a signal, or --duration) how many connections it accepted, the most at once, and how many
closed.

Values:
  times   in s, or with a unit of their own: 1.5 250us 10ms 5s 1m30s 2h; --interval 0: no stats
  counts  100 1.5k 2m

Exit codes:
  0  it served until it was told to end
  1  it could not
";

const CALIBRATE_NOTES: &str = "
What this machine can do, before anybody blames a server: dials a 'tcpgoon serve' of its own on
the loopback as fast as it can, and says how far it got, what that cost, and what stopped it.

Values:
  counts  1 to 64m: 100 1.5k 2m

Exit codes:
  0  it was measured
  1  it could not be
";

const EXPLAIN_NOTES: &str = "
A cause that the verdict names by its id: how it looks from here, how to check it, how to fix it.
Without an id, the list of all causes by side. It dials nothing.

Exit codes:
  0  it was printed
  1  no cause has that id
";

const SCHEMA_NOTES: &str = "
The JSON Schema of what --json and --events write, with a description of each field: for a
validator, or to look up what a number means. It dials nothing.

Exit codes:
  0  it was printed
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

/// `-c, --connections int`, with room for the short name where there is none.
fn left_column(flag: &Flag) -> String {
    let short = flag.short.map_or("    ".into(), |short| format!("-{short}, "));
    let value = flag.value.map_or(String::new(), |value| match flag.alone {
        Some(_) => format!("[={value}]"),
        None => format!(" {value}"),
    });
    format!("{short}--{}{value}", flag.long)
}

/// The block of the README that lists the flags.
pub fn readme_block() -> String {
    usage(Verb::Run)
}
