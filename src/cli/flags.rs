//! `FLAGS`: every flag of every verb, one record each: the only source of the parser, the help and
//! the tests.

use super::effects::{self, fill, store, switch};
use super::source;
use super::target::{Group, Ports};
pub use super::verb::Verb;
use crate::args::Family;
use crate::outputs::Format;

pub use super::flag::Flag;
use super::flag::{BASE, REPORTS, SERVE, WHEN};

/// By long name, as in the original's help. The same name twice: different values for different
/// verbs.
pub const FLAGS: &[Flag] = &[
    Flag {
        long: "accept-delay",
        value: Some("T"),
        verbs: SERVE,
        help: "Delay before each accept(), in s",
        effect: |draft, value| store(&mut draft.serve.accept_delay, effects::seconds(value)),
        ..BASE
    },
    Flag {
        long: "all-addresses",
        help: "Dial all addresses of a name in turn, instead of its first one",
        effect: |draft, value| store(&mut draft.run.all_addresses, switch(value)),
        ..BASE
    },
    Flag {
        long: "ask",
        value: Some("NAME"),
        words: &["http", "tls", "redis", "ssh", "smtp", "mysql", "postgres"],
        help: "Send what a client of NAME sends, and expect an answer on each connection",
        effect: |draft, value| fill(&mut draft.run.checks.ask, crate::ask::Ask::parse(value)),
        ..BASE
    },
    Flag {
        long: "assume-yes",
        short: Some('y'),
        help: "Force execution without asking for confirmation",
        effect: |draft, value| store(&mut draft.run.assume_yes, switch(value)),
        ..BASE
    },
    Flag {
        long: "backlog",
        value: Some("N"),
        verbs: SERVE,
        help: "Backlog of the listener (default: net.core.somaxconn)",
        effect: |draft, value| fill(&mut draft.serve.backlog, effects::backlog(value)),
        ..BASE
    },
    Flag {
        long: "banner",
        value: Some("TEXT"),
        verbs: SERVE,
        help: "Text to send to each client first; escapes: \\r \\n \\t \\0 \\xNN \\\\",
        effect: |draft, value| store(&mut draft.serve.banner, effects::text(value)),
        ..BASE
    },
    Flag {
        long: "bind",
        value: Some("ADDR"),
        default: Some("127.0.0.1"),
        verbs: SERVE,
        help: "IP address to listen on",
        effect: |draft, value| store(&mut draft.serve.bind, effects::address(value)),
        ..BASE
    },
    Flag {
        long: "close",
        value: Some("HOW"),
        words: &["fin", "rst"],
        default: Some("fin"),
        help: "Close by fin, or by rst, which leaves no TIME_WAIT",
        effect: |draft, value| store(&mut draft.run.close, effects::close(value)),
        ..BASE
    },
    Flag {
        long: "close-after",
        value: Some("T"),
        verbs: SERVE,
        help: "Close each connection T after it was accepted, in s",
        effect: |draft, value| fill(&mut draft.close_after, effects::seconds(value)),
        ..BASE
    },
    Flag {
        long: "color",
        verbs: REPORTS,
        help: "Colors: auto (on a terminal), always, never",
        effect: |draft, value| store(&mut draft.run.display.color, effects::when(value)),
        ..WHEN
    },
    Flag {
        long: "connections",
        short: Some('c'),
        value: Some("int"),
        default: Some("100"),
        help: "Number of connections you want to open",
        effect: |draft, value| store(&mut draft.run.connections, effects::connections(value)),
        ..BASE
    },
    Flag {
        long: "connections",
        short: Some('c'),
        value: Some("N"),
        verbs: &[Verb::Calibrate],
        help: "Number of connections to open (default: the lowest local limit)",
        effect: |draft, value| fill(&mut draft.calibrate.connections, effects::connections(value)),
        ..BASE
    },
    Flag {
        long: "debug",
        short: Some('d'),
        help: "Print debugging information to the standard error",
        effect: |draft, value| store(&mut draft.run.debug, switch(value)),
        ..BASE
    },
    Flag {
        long: "dial-timeout",
        short: Some('t'),
        value: Some("int"),
        default: Some("5"),
        help: "Connection dialing timeout, in s",
        effect: |draft, value| store(&mut draft.run.dial_timeout, effects::seconds_or_none(value)),
        ..BASE
    },
    Flag {
        long: "dry-run",
        help: "Print the plan and the local limits below it, and dial nothing",
        effect: |draft, value| store(&mut draft.run.dry_run, switch(value)),
        ..BASE
    },
    Flag {
        long: "duration",
        value: Some("T"),
        verbs: &[Verb::Run, Verb::Serve],
        help: "Time to run, in s (default, and 0: without a limit)",
        effect: |draft, value| store(&mut draft.duration, effects::seconds_or_none(value)),
        ..BASE
    },
    Flag {
        long: "echo",
        verbs: SERVE,
        help: "Send received bytes back",
        effect: |draft, value| store(&mut draft.serve.echo, switch(value)),
        ..BASE
    },
    Flag {
        long: "events",
        value: Some("FILE"),
        help: "Append the run to FILE as it goes on, as JSON, one object a line",
        effect: |draft, value| effects::output(&mut draft.run.outputs, Format::Events, value),
        ..BASE
    },
    Flag {
        long: "expect",
        value: Some("TEXT"),
        help: "Expect TEXT in a reply on each connection, and count the replies",
        effect: |draft, value| store(&mut draft.run.checks.expect, effects::text(value)),
        ..BASE
    },
    Flag {
        long: "fail-if",
        value: Some("EXPR"),
        is_list: true,
        help: "Exit with 3 if EXPR holds, as established<95%; can be given several times",
        effect: |draft, value| effects::fail_if(&mut draft.run.outputs, value),
        ..BASE
    },
    Flag {
        long: "flood",
        verbs: SERVE,
        help: "Send without a pause",
        effect: |draft, value| store(&mut draft.serve.flood, switch(value)),
        ..BASE
    },
    Flag {
        long: "help",
        verbs: &Verb::ALL,
        help: "Print this help",
        effect: |draft, value| store(&mut draft.help, switch(value)),
        ..BASE
    },
    Flag {
        long: "hold",
        value: Some("T"),
        words: &["forever"],
        default: Some("0"),
        help: "Hold the connections after the last dial, in s, or forever",
        effect: |draft, value| store(&mut draft.run.hold, effects::hold(value)),
        ..BASE
    },
    Flag {
        long: "hold-beside",
        value: Some("N"),
        help: "With --lifetime: hold N of the connections, checked each second, the others churn",
        effect: |draft, value| store(&mut draft.run.hold_beside, effects::connections(value)),
        ..BASE
    },
    Flag {
        long: "host",
        short: Some('h'),
        value: Some("string"),
        help: "Host you want to open tcp connections against (Required)",
        effect: |draft, value| fill(&mut draft.host, Group::parse(value)),
        ..BASE
    },
    Flag {
        long: "html",
        value: Some("FILE"),
        verbs: REPORTS,
        help: "Write the report to FILE as one web page, with charts",
        effect: |draft, value| effects::output(&mut draft.run.outputs, Format::Html, value),
        ..BASE
    },
    Flag {
        long: "interval",
        short: Some('i'),
        value: Some("int"),
        default: Some("1"),
        verbs: &[Verb::Run, Verb::Serve],
        help: "Interval, in seconds, between stats updates",
        effect: |draft, value| store(&mut draft.interval, effects::seconds_or_none(value)),
        ..BASE
    },
    Flag {
        long: "ipv4",
        short: Some('4'),
        help: "Dial only the IPv4 addresses of a name",
        effect: |draft, value| effects::prefer(&mut draft.run.family, Family::V4, switch(value)),
        ..BASE
    },
    Flag {
        long: "ipv6",
        short: Some('6'),
        help: "Dial only the IPv6 addresses of a name",
        effect: |draft, value| effects::prefer(&mut draft.run.family, Family::V6, switch(value)),
        ..BASE
    },
    Flag {
        long: "json",
        value: Some("FILE"),
        verbs: REPORTS,
        help: "Write the report to FILE as JSON; - is standard output, without the text",
        effect: |draft, value| effects::output(&mut draft.run.outputs, Format::Json, value),
        ..BASE
    },
    Flag {
        long: "junit",
        value: Some("FILE"),
        verbs: REPORTS,
        help: "Write the conditions of --fail-if to FILE as JUnit XML",
        effect: |draft, value| effects::output(&mut draft.run.outputs, Format::Junit, value),
        ..BASE
    },
    Flag {
        long: "lifetime",
        value: Some("T"),
        help: "Close each connection after T, in s, and dial again, until --duration or a signal",
        effect: |draft, value| fill(&mut draft.run.lifetime, effects::seconds(value)),
        ..BASE
    },
    Flag {
        long: "markdown",
        value: Some("FILE"),
        verbs: REPORTS,
        help: "Append the result to FILE as a Markdown table",
        effect: |draft, value| effects::output(&mut draft.run.outputs, Format::Markdown, value),
        ..BASE
    },
    Flag {
        long: "max-connections",
        short: Some('m'),
        value: Some("N"),
        verbs: SERVE,
        help: "Stop accepting at N open connections (default: no limit)",
        effect: |draft, value| fill(&mut draft.serve.connections_max, effects::connections(value)),
        ..BASE
    },
    Flag {
        long: "max-errors",
        value: Some("N"),
        help: "Stop and report after N errors and closes by the peer, or N stalled dials",
        effect: |draft, value| fill(&mut draft.run.errors_max, effects::errors_max(value)),
        ..BASE
    },
    Flag {
        long: "never-accept",
        verbs: SERVE,
        help: "Listen, and never call accept()",
        effect: |draft, value| store(&mut draft.serve.never_accept, switch(value)),
        ..BASE
    },
    Flag {
        long: "port",
        short: Some('p'),
        value: Some("int"),
        help: "Port you want to open tcp connections against (Required)",
        effect: |draft, value| fill(&mut draft.ports, Ports::parse(value)),
        ..BASE
    },
    Flag {
        long: "port",
        short: Some('p'),
        value: Some("N"),
        default: Some("54321"),
        verbs: SERVE,
        help: "Port to listen on, 0 for any free port",
        effect: |draft, value| store(&mut draft.serve.port, effects::port_to_listen_on(value)),
        ..BASE
    },
    Flag {
        long: "probe",
        value: Some("WHICH"),
        words: &["all", "sample", "none"],
        alone: Some("all"),
        help: "Find half-open connections by keepalive: all, sample, none",
        effect: |draft, value| fill(&mut draft.run.checks.probe, effects::probe(value)),
        ..BASE
    },
    Flag {
        long: "progress",
        help: "Line of progress: auto (on a terminal), always, never",
        effect: |draft, value| store(&mut draft.run.display.progress, effects::when(value)),
        ..WHEN
    },
    Flag {
        long: "prometheus",
        value: Some("FILE"),
        verbs: REPORTS,
        help: "Write metrics for node_exporter to FILE (*.prom); in a run, at each interval",
        effect: |draft, value| effects::output(&mut draft.run.outputs, Format::Prometheus, value),
        ..BASE
    },
    Flag {
        long: "quiet",
        short: Some('q'),
        help: "Print the report only, without the stats lines before it",
        effect: |draft, value| store(&mut draft.run.display.quiet, switch(value)),
        ..BASE
    },
    Flag {
        long: "rate",
        value: Some("N"),
        help: "Dials per second, instead of --sleep",
        effect: |draft, value| fill(&mut draft.rate_milli, effects::rate_milli(value)),
        ..BASE
    },
    Flag {
        long: "rates",
        help: "Print each interval's rates and p99 dial time after its stats line",
        effect: |draft, value| store(&mut draft.run.display.rates, switch(value)),
        ..BASE
    },
    Flag {
        long: "rehearse",
        value: Some("NAME"),
        words: &["list", "ok", "refuse", "reject", "blackhole", "silent"],
        help: "Run on a simulated network, and dial nothing; list: print the names",
        effect: effects::rehearse,
        ..BASE
    },
    Flag {
        long: "reply-timeout",
        value: Some("T"),
        help: "Time for a reply, in s (default: the dial timeout, or 5 if that is 0)",
        effect: |draft, value| {
            fill(&mut draft.run.checks.reply_timeout, effects::some_seconds(value))
        },
        ..BASE
    },
    Flag {
        long: "report",
        value: Some("FORM"),
        words: &["short", "full", "none"],
        verbs: REPORTS,
        default: Some("short"),
        help: "Report after the stats: short, full, none",
        effect: |draft, value| store(&mut draft.run.display.report, effects::report(value)),
        ..BASE
    },
    Flag {
        long: "reset-after",
        value: Some("T"),
        verbs: SERVE,
        help: "Reset each connection T after it was accepted, in s",
        effect: |draft, value| fill(&mut draft.reset_after, effects::seconds(value)),
        ..BASE
    },
    Flag {
        long: "send",
        value: Some("TEXT"),
        help: "Text to send once on each connection; escapes: \\r \\n \\t \\0 \\xNN \\\\",
        effect: |draft, value| store(&mut draft.run.checks.send, effects::text(value)),
        ..BASE
    },
    Flag {
        long: "settle",
        value: Some("T"),
        default: Some("1"),
        help: "Maximum wait at the end for 100 ms without a close, in s",
        effect: |draft, value| store(&mut draft.run.settle, effects::seconds(value)),
        ..BASE
    },
    Flag {
        long: "sleep",
        short: Some('s'),
        value: Some("int"),
        default: Some("10"),
        help: "Time you want to sleep between connections, in ms",
        effect: |draft, value| fill(&mut draft.sleep, effects::milliseconds(value)),
        ..BASE
    },
    Flag {
        long: "source",
        value: Some("ADDRS"),
        help: "Source addresses to dial from in turn, as A,B-C,D/24",
        effect: |draft, value| store(&mut draft.run.sources, source::parse(value)),
        ..BASE
    },
    Flag {
        long: "until-eof",
        verbs: SERVE,
        help: "End when standard input, a pipe, is closed at its other end",
        effect: |draft, value| store(&mut draft.serve.until_eof, switch(value)),
        ..BASE
    },
    Flag {
        long: "version",
        help: "Print the version",
        effect: |draft, value| store(&mut draft.version, switch(value)),
        ..BASE
    },
];

/// The flag of a verb by its long name; O(flags).
pub fn by_long(verb: Verb, long: &str) -> Option<&'static Flag> {
    FLAGS.iter().find(|flag| flag.belongs_to(verb) && flag.long == long)
}

/// The flag of a verb by its short name.
pub fn by_short(verb: Verb, short: char) -> Option<&'static Flag> {
    FLAGS.iter().find(|flag| flag.belongs_to(verb) && flag.short == Some(short))
}
