//! `HABITS`: flags of other tools, one record each: the names, the tools that have it, the answer,
//! and what to type instead.
//!
//! None of them is an alias: the meaning can differ (`-n` of ab counts requests, not connections).
//! Our own flags come first: a record is unused if its name is a flag of the verb, or if its answer
//! needs a flag that the verb does not have.

use std::net::IpAddr;

use super::flags::{Verb, by_long};
use crate::units::{Span, parse_rate_milli, parse_span};

/// A flag of another tool.
#[derive(Debug, Clone, Copy)]
pub struct Habit {
    pub verb: Verb,
    /// Its names, without dashes; one letter is a short name.
    pub names: &'static [&'static str],
    /// The tools that have it.
    pub tools: &'static str,
    pub takes: Takes,
    pub fix: Fix,
    /// Printed in brackets after "did you mean --flag", or alone if there is no such flag.
    pub text: &'static str,
}

/// The value of the flag in the other tool. Except for the first two, a record applies to such
/// values only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    Nothing,
    /// Any word.
    Word,
    Number,
    Time,
    Address,
    /// The word `json`.
    Json,
}

/// What to type instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fix {
    /// Our flag, with the value.
    Flag(&'static str),
    /// This preset of --ask, with the value.
    Ask(&'static str),
    /// Nothing: neither the flag nor its value.
    Drop,
    /// These words, without the value.
    Words(&'static [&'static str]),
    /// The value alone: it is a target, or an address to listen on.
    Value,
    /// The value as a minimum to reach.
    AtLeast,
    /// This verb with the value as its word.
    Verb(&'static str),
    /// Another command with the wanted output.
    Command(&'static str),
}

impl Takes {
    /// Whether a record applies to a flag before this word.
    fn accepts(self, next: Option<&str>) -> bool {
        match self {
            Takes::Nothing | Takes::Word => true,
            Takes::Number => next.is_some_and(|word| parse_rate_milli(word).is_some()),
            Takes::Time => next.is_some_and(|word| parse_span(word, Span::from_s(1)).is_some()),
            Takes::Json => next.is_some_and(|word| word.eq_ignore_ascii_case("json")),
            Takes::Address => next.is_some_and(|word| word.parse::<IpAddr>().is_ok()),
        }
    }
}

impl Fix {
    fn exists(self, verb: Verb) -> bool {
        let flag = match self {
            Fix::Flag(long) => Some(long),
            Fix::Words([first, ..]) => first.strip_prefix("--"),
            Fix::AtLeast => Some("fail-if"),
            Fix::Ask(_) => Some("ask"),
            _ => None,
        };
        flag.is_none_or(|long| by_long(verb, long).is_some())
    }
}

/// Whether any tool has such a flag.
pub fn is_known(verb: Verb, name: &str) -> bool {
    HABITS.iter().any(|habit| habit.verb == verb && habit.names.contains(&name))
}

/// The record for a flag before this word.
pub fn find(verb: Verb, name: &str, next: Option<&str>) -> Option<&'static Habit> {
    HABITS.iter().find(|habit| {
        habit.verb == verb
            && habit.names.contains(&name)
            && habit.takes.accepts(next)
            && habit.fix.exists(verb)
            && (habit.fix != Fix::Value || next.is_some())
    })
}

const fn run(
    names: &'static [&'static str],
    tools: &'static str,
    takes: Takes,
    fix: Fix,
    text: &'static str,
) -> Habit {
    Habit { verb: Verb::Run, names, tools, takes, fix, text }
}

const fn serve(
    names: &'static [&'static str],
    tools: &'static str,
    takes: Takes,
    fix: Fix,
    text: &'static str,
) -> Habit {
    Habit { verb: Verb::Serve, names, tools, takes, fix, text }
}

const fn calibrate(
    names: &'static [&'static str],
    tools: &'static str,
    takes: Takes,
    fix: Fix,
    text: &'static str,
) -> Habit {
    Habit { verb: Verb::Calibrate, names, tools, takes, fix, text }
}

const NO_TLS: &str = "TLS is not supported, connections are plain TCP";
const NO_CERTIFICATES: &str = "no TLS handshake is completed; --ask tls sends a ClientHello";
const NO_HTTP: &str = "of HTTP there is HEAD / only, by --ask http; --send sends bytes as they are";
const ONE_THREAD: &str = "one thread opens all connections";
const ONCE: &str = "each connection is dialed once; --lifetime dials again";
const AGAIN: &str = "to close each connection at once and dial again, give --lifetime 0";

/// By subject. Of several records with a name the first that applies counts.
#[rustfmt::skip]
pub static HABITS: &[Habit] = &[
    // Number of connections.
    run(&["n", "requests", "number", "num", "total"], "ab oha hey", Takes::Number, Fix::Flag("connections"),
        "connections open at once, each dialed once"),
    run(&["concurrency", "clients", "conns", "sockets", "users", "vus", "workers-max"], "ab k6 locust siege",
        Takes::Word, Fix::Flag("connections"), "connections open at once"),
    run(&["count", "parallel", "parallel-max", "streams", "P", "u", "n-connections"],
        "iperf3 curl hping3 nping k6 locust", Takes::Number, Fix::Flag("connections"),
        "connections open at once"),
    run(&["iterations", "repeat", "reps", "loop", "retry", "retries"], "k6 siege curl", Takes::Word, Fix::Drop, ONCE),
    run(&["n"], "nc hping3 iperf3", Takes::Nothing, Fix::Drop, "an IP address is never looked up"),
    run(&["threads", "workers", "cpus"], "wrk tcpkali hey", Takes::Word, Fix::Drop, ONE_THREAD),

    // Rate.
    run(&["rps", "qps", "cps", "max-rate", "min-rate", "connect-rate", "spawn-rate", "arrival-rate", "throughput"],
        "k6 tcpkali nmap locust", Takes::Word, Fix::Flag("rate"), "dials per second"),
    run(&["requests-per-second", "connections-per-second", "connection-rate", "conn-rate", "session-rate", "hatch-rate"],
        "autocannon httperf locust", Takes::Word, Fix::Flag("rate"), "dials per second"),
    run(&["r", "R"], "oha wrk2 locust", Takes::Number, Fix::Flag("rate"), "dials per second"),
    run(&["delay", "pause", "gap", "wait-time", "scan-delay"], "siege nping nmap", Takes::Word, Fix::Flag("sleep"),
        "time between two dials, in ms"),
    run(&["flood", "fast", "faster"], "hping3", Takes::Nothing, Fix::Words(&["--sleep", "0"]),
        "to dial as fast as possible, give --sleep 0"),
    run(&["ramp", "ramp-up", "rampup", "stage", "stages"], "k6 JMeter", Takes::Word, Fix::Drop,
        "the pace is constant: give --rate, dials per second"),

    // Times.
    run(&["timeout", "connect-timeout", "max-time", "W", "m"], "curl wrk oha iperf3 tcpkali ping", Takes::Word,
        Fix::Flag("dial-timeout"), "time for one handshake, in s"),
    run(&["w", "wait"], "nc", Takes::Time, Fix::Flag("dial-timeout"), "time for one handshake, in s"),
    run(&["time", "run-time", "timelimit", "test-time", "hold-time", "keep", "idle", "hold-for"],
        "k6 wrk locust siege", Takes::Word,
        Fix::Flag("hold"), "time to hold the connections, in s"),
    run(&["z", "T"], "oha hey tcpkali", Takes::Time, Fix::Flag("hold"),
        "time to hold the connections, in s"),
    run(&["channel-lifetime", "connection-lifetime", "max-age"], "tcpkali", Takes::Time, Fix::Flag("lifetime"),
        "time to the close of each connection, in s; its slot dials again"),
    run(&["churn", "reconnect", "disable-keepalive", "no-keepalive"], "oha", Takes::Nothing,
        Fix::Words(&["--lifetime", "0"]), AGAIN),
    run(&["forever", "infinite", "keep-open"], "hold", Takes::Nothing, Fix::Words(&["--hold", "forever"]),
        "to hold the connections until Ctrl-C, give --hold forever"),

    // Targets and sources.
    run(&["target", "targets", "url", "address", "addr", "hostname", "ip", "server", "dest"], "vegeta locust k6",
        Takes::Word, Fix::Value, "a target is a word of its own: HOST:PORT"),
    run(&["ports", "dport", "destport", "dest-port"], "hping3 iptables", Takes::Word, Fix::Flag("port"),
        "of the targets that have none"),
    run(&["bind", "bind-address", "local-address", "local-addr", "source-ip", "source-address", "src", "B", "S", "I",
        "interface", "e"], "iperf3 ab curl nping tcpkali ping", Takes::Address, Fix::Flag("source"),
        "addresses of this host to dial from"),
    run(&["interface", "I", "dev", "device", "e"], "curl ping nping", Takes::Word, Fix::Command("ip -br address"),
        "give the addresses of the interface to --source"),
    run(&["bind", "bind-address", "local-address", "local-addr", "source-ip", "source-address", "src", "B"],
        "iperf3 ab", Takes::Word, Fix::Flag("source"), "addresses of this host to dial from"),
    run(&["local-port", "source-port", "sport", "g", "cport"], "curl nc nping iperf3", Takes::Word, Fix::Drop,
        "local ports are chosen by the kernel, from net.ipv4.ip_local_port_range"),
    run(&["rand-source", "spoof", "a"], "hping3", Takes::Nothing, Fix::Drop,
        "a handshake needs an address of this host: give --source"),
    run(&["resolve", "connect-to"], "curl oha", Takes::Word, Fix::Drop, "give the address itself as the target"),
    run(&["no-dns", "numeric"], "nmap nc", Takes::Nothing, Fix::Drop, "an IP address is never looked up"),
    run(&["x", "proxy"], "curl oha nc", Takes::Word, Fix::Drop, "no proxy is used; to test one, make it the target"),
    run(&["l", "listen"], "nc tcpkali", Takes::Number, Fix::Verb("serve"),
        "a server to test against is 'tcpgoon serve'"),
    run(&["l", "listen", "server", "lk"], "nc iperf3", Takes::Nothing, Fix::Verb("serve"),
        "a server to test against is 'tcpgoon serve'"),

    // Output.
    run(&["f", "force", "yes", "non-interactive", "batch", "no-confirm", "no-prompt"], "rm apt", Takes::Nothing,
        Fix::Flag("assume-yes"), "no question before the run"),
    run(&["v", "vv", "verbose", "trace"], "curl nc ssh", Takes::Nothing, Fix::Flag("debug"),
        "what happens to each connection; the version is --version"),
    run(&["V", "ver"], "ab curl", Takes::Nothing, Fix::Flag("version"), ""),
    run(&["?", "usage", "info"], "GNU", Takes::Nothing, Fix::Flag("help"), ""),
    run(&["simulate", "check", "plan", "just-print", "what-if"], "make apt", Takes::Nothing, Fix::Flag("dry-run"),
        "the plan and the local limits below it"),
    run(&["silent", "summary", "summary-only", "only-summary", "final", "no-progress", "no-tui"], "k6 curl ab oha",
        Takes::Nothing, Fix::Flag("quiet"), "the final report only"),
    run(&["json", "J", "j", "print-json"], "iperf3 oha", Takes::Nothing, Fix::Words(&["--json", "-"]),
        "give --json FILE, or - for standard output"),
    run(&["o", "out", "output", "output-format", "format"], "oha kubectl jc", Takes::Json,
        Fix::Words(&["--json", "-"]), "give --json FILE, or - for standard output"),
    run(&["format", "output-format"], "kubectl", Takes::Word, Fix::Drop,
        "the text is the default; --json, --markdown and --junit are further formats"),
    run(&["o", "out", "output", "log", "logfile", "log-file", "summary-export", "csv"], "curl k6 iperf3 ab",
        Takes::Word, Fix::Drop, "the report goes to standard output: redirect it with '> FILE'"),
    run(&["latency", "percentiles", "histogram", "stats", "time-stats"], "wrk", Takes::Nothing, Fix::Drop,
        "dial times are in each report"),
    run(&["min", "expect-min", "at-least", "fail-under"], "CI", Takes::Word, Fix::AtLeast,
        "what fails a run is --fail-if EXPR"),
    run(&["threshold", "thresholds", "assert", "fail", "fail-on"], "k6", Takes::Word, Fix::Flag("fail-if"),
        "when it holds, the exit code is 3"),
    run(&["stop-on-error", "exit-on-error", "abort-on-error"], "k6", Takes::Nothing, Fix::Words(&["--max-errors", "1"]),
        "to stop at the first error, give --max-errors 1"),

    // Data to send.
    run(&["tls", "ssl", "https", "tlsv1.2", "tlsv1.3"], "curl ncat oha tcpkali", Takes::Nothing,
        Fix::Words(&["--ask", "tls"]), "to begin a TLS handshake on each connection, give --ask tls"),
    run(&["sni", "servername", "server-name"], "openssl", Takes::Word, Fix::Ask("tls"),
        "to name the server in a TLS ClientHello, give --ask tls=NAME"),
    run(&["cacert", "cert", "key", "E"], "curl ncat openssl", Takes::Word, Fix::Drop, NO_CERTIFICATES),
    run(&["insecure", "mtls", "starttls"], "curl", Takes::Nothing, Fix::Drop, NO_CERTIFICATES),
    run(&["k"], "ab curl", Takes::Nothing, Fix::Drop,
        "connections stay open without it, and certificates are not checked"),
    run(&["http", "http1.1", "head"], "curl hey", Takes::Nothing, Fix::Words(&["--ask", "http"]),
        "to send HEAD / on each connection, give --ask http"),
    run(&["host-header", "vhost", "http-host"], "oha", Takes::Word, Fix::Ask("http"),
        "to send HEAD / for a virtual host, give --ask http=HOST"),
    run(&["header", "H", "user-agent", "A", "method", "X", "request", "cookie", "b", "referer"],
        "curl ab wrk hey oha", Takes::Word, Fix::Drop, NO_HTTP),
    run(&["http2", "http3", "L", "location", "compressed", "get", "G"], "curl oha", Takes::Nothing,
        Fix::Drop, NO_HTTP),
    run(&["data", "body", "payload", "message", "first-message", "msg", "1", "write"], "curl tcpkali k6", Takes::Word,
        Fix::Flag("send"), "bytes to send to each connection once"),
    run(&["match", "read", "receive", "grep"], "monitoring", Takes::Word, Fix::Flag("expect"),
        "bytes to receive from each connection"),
    run(&["keepalive", "keep-alive", "so-keepalive", "tcp-keepalive"], "curl nc", Takes::Nothing, Fix::Flag("probe"),
        "keepalive probes to each connection"),
    run(&["udp", "sctp", "unix", "U"], "nc iperf3 nping", Takes::Nothing, Fix::Drop, "only TCP is supported"),
    run(&["u"], "nc iperf3", Takes::Nothing, Fix::Drop, "only TCP is supported"),
    run(&["tcp", "tcp-connect", "syn", "S", "sT"], "nping hping3 nmap", Takes::Nothing, Fix::Drop,
        "it always dials TCP, with full handshakes"),
    run(&["z", "N", "nodelay", "tcp-nodelay", "no-delay"], "nc tcpkali", Takes::Nothing, Fix::Drop,
        "nothing is sent without --send"),
    run(&["rst", "linger", "so-linger", "linger0"], "tcpkali", Takes::Nothing, Fix::Words(&["--close", "rst"]),
        "to close by RST, give --close rst"),
    run(&["script", "config", "K", "from-file", "iL"], "wrk curl k6 nmap", Takes::Word, Fix::Drop,
        "no file is read; all options are on the command line"),
    run(&["D", "daemon", "background"], "iperf3 curl", Takes::Nothing, Fix::Drop,
        "to run in the background, end the line with &"),

    // Servers.
    serve(&["h", "?", "usage"], "GNU", Takes::Nothing, Fix::Flag("help"), ""),
    serve(&["l", "listen", "address", "addr"], "nc", Takes::Word, Fix::Value, "the port is a word of its own: [ADDR:]PORT"),
    serve(&["host", "hostname", "ip", "interface", "source", "listen-address", "B", "b"], "iperf3 http.server",
        Takes::Word, Fix::Flag("bind"), "the IP address to listen on"),
    serve(&["t", "time", "timeout", "run-time"], "iperf3", Takes::Word, Fix::Flag("duration"), "how long to serve, in s"),
    serve(&["delay", "accept-interval", "sleep"], "servers", Takes::Word, Fix::Flag("accept-delay"),
        "time before each accept"),
    serve(&["n", "c", "connections", "max", "max-clients", "max-conns", "maxconn"], "ncat HAProxy", Takes::Word,
        Fix::Flag("max-connections"), "connections at which to stop accepting"),
    serve(&["send", "greeting", "message", "first-message"], "tcpkali", Takes::Word, Fix::Flag("banner"),
        "bytes to send to each connection once"),
    serve(&["idle-timeout", "lifetime", "channel-lifetime", "idle"], "tcpkali", Takes::Word, Fix::Flag("close-after"),
        "age at which a connection is closed"),
    serve(&["v", "verbose", "d", "debug"], "nc", Takes::Nothing, Fix::Drop, "no more is printed than the stats"),
    serve(&["y", "assume-yes", "force", "f"], "tcpgoon", Takes::Nothing, Fix::Drop, "there is no question"),
    serve(&["k", "keep-open", "discard", "sink"], "nc socat", Takes::Nothing, Fix::Drop,
        "connections stay open, and what is received is discarded"),
    serve(&["D", "daemon", "background"], "iperf3", Takes::Nothing, Fix::Drop,
        "to run in the background, end the line with &"),
    serve(&["tls", "ssl", "cert", "key"], "ncat openssl", Takes::Nothing, Fix::Drop, NO_TLS),
    serve(&["V"], "ab curl", Takes::Nothing, Fix::Flag("version"), ""),

    calibrate(&["n", "P", "concurrency", "count"], "ab iperf3", Takes::Number, Fix::Flag("connections"),
        "the most connections to open"),
    calibrate(&["h", "?", "usage"], "GNU", Takes::Nothing, Fix::Flag("help"), ""),
    calibrate(&["y", "assume-yes", "force"], "tcpgoon", Takes::Nothing, Fix::Drop, "there is no question"),
    calibrate(&["V"], "ab curl", Takes::Nothing, Fix::Flag("version"), ""),
    Habit { verb: Verb::Explain, names: &["h", "?"], tools: "GNU", takes: Takes::Nothing, fix: Fix::Flag("help"),
        text: "" },
];

#[cfg(test)]
mod tests;
