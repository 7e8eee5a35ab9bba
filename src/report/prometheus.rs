//! A run in the text format of Prometheus, for node_exporter's textfile collector: written at each
//! interval, and at the end with the result. Source:
//! <https://prometheus.io/docs/instrumenting/exposition_formats/> and
//! <https://prometheus.io/docs/practices/naming/>
//!
//! Each series has the target as a label: the collector rejects a series that stands in two files of
//! its directory, and there may be a file for each of several runs.

use std::fmt::{self, Display, Write};

use super::Report;
use super::json::names;
use crate::ask::answer::Count;
use crate::engine::histogram::Histogram;
use crate::engine::{EndReason, Progress, Sample, State};
use crate::plan::Plan;
use crate::units::{NS_PER_S, NS_PER_US};

/// The histogram's bounds are powers of two, from 8 µs to 69 s, less one nanosecond: so its counts are
/// exact, as these are edges of the buckets in which times are counted.
const BOUND_BITS: std::ops::RangeInclusive<u32> = 13..=36;

/// The most targets that are listed.
const LISTED_MAX: usize = 100;

/// What is the same during a run and at its end.
struct Run<'a> {
    plan: &'a Plan,
    target: &'a str,
    start_unix_ns: u64,
    sample: &'a Sample,
    established: u64,
    errors: u64,
    closed_by_us: Option<u64>,
    flow: &'a [u64; EndReason::COUNT],
    dial_times: &'a Histogram,
    answers: &'a [Count],
}

/// A run as it stands.
pub fn interval(start_unix_ns: u64, plan: &Plan, progress: &Progress<'_>) -> String {
    let run = Run {
        plan,
        target: &plan.routes.to_string(),
        start_unix_ns,
        sample: &progress.sample,
        established: progress.established,
        errors: progress.errors,
        closed_by_us: progress.closed_by_us,
        flow: &progress.flow,
        dial_times: progress.dial_times,
        answers: progress.answers,
    };
    write(&run, None)
}

/// A finished run.
pub fn end(report: &Report<'_>) -> String {
    let Report { plan, target, start_unix_ns, summary, .. } = *report;
    let run = Run {
        plan,
        target,
        start_unix_ns,
        sample: &summary.last,
        established: summary.established_ever,
        errors: summary.errors,
        closed_by_us: summary.churn.as_ref().map(|churn| churn.closed_by_us),
        flow: &summary.flow,
        dial_times: &summary.established_times,
        answers: summary.answers.counts(),
    };
    write(&run, Some(report))
}

fn write(run: &Run<'_>, end: Option<&Report<'_>>) -> String {
    let mut out = Exposition { text: String::new(), target: run.target };
    if let Some(rehearsal) = &run.plan.rehearsal {
        let _ = writeln!(out.text, "# {rehearsal}");
        out.single("rehearsal", "gauge", "1: nothing was dialed, the network was simulated.", &1);
    }
    out.family("info", "gauge", "Version of tcpgoon, and the target of its run; always 1.");
    out.series("info", &[("version", &env!("CARGO_PKG_VERSION"))], &1);
    let targets = run.plan.routes.targets();
    if targets.len() > 1 {
        out.family("target_info", "gauge", "Each of several targets, the first 100; always 1.");
        let mut names: Vec<String> = Vec::new();
        for name in targets.iter().take(LISTED_MAX).map(ToString::to_string) {
            // A target can be given twice, a series cannot.
            if !names.contains(&name) {
                out.series("target_info", &[("address", &name)], &1);
                names.push(name);
            }
        }
    }
    let dials = run.established + run.errors + u64::from(run.sample.level(State::Dialing));
    let start = Seconds(whole_us(run.start_unix_ns));
    let (gauge, counter) = ("gauge", "counter");
    let singles: [(&str, &str, &str, &dyn Display); 5] = [
        ("start_time_seconds", gauge, "Start of the run, in seconds since 1970.", &start),
        ("running", gauge, "1 while the run goes on, 0 after its end.", &u8::from(end.is_none())),
        ("planned_connections", gauge, "Connections to open.", &run.sample.connections),
        ("dials_total", counter, "Dials so far.", &dials),
        ("established_total", counter, "Dials that were established.", &run.established),
    ];
    singles.iter().for_each(|(name, kind, help, value)| out.single(name, kind, help, *value));
    if let Some(count) = run.closed_by_us {
        let help = "Connections closed by us at the end of their lifetime.";
        out.single("closed_by_us_total", counter, help, &count);
    }
    out.family("connections", "gauge", "Connections by their state.");
    for state in State::ALL {
        let labels: [(&str, &dyn Display); 1] = [("state", &names::state(state))];
        out.series("connections", &labels, &run.sample.level(state));
    }
    out.family("ended_total", "counter", "Failed dials and ended connections, by reason and side.");
    for (reason, count) in EndReason::ALL.into_iter().zip(run.flow) {
        let (reason, side) = (names::reason(reason), names::side(reason.side()));
        out.series("ended_total", &[("reason", &reason), ("side", &side)], count);
    }
    if !run.answers.is_empty() {
        let help = "Replies to --ask that report an error or overload, and TLS alerts, by kind.";
        out.family("answers_total", counter, help);
        for count in run.answers {
            let labels =
                [("kind", &count.meaning.id() as &dyn Display), ("answer", &count.label())];
            out.series("answers_total", &labels, &count.connections);
        }
    }
    out.histogram(
        "dial_duration_seconds",
        "Time from connect() until established; exact at each bound.",
        run.dial_times,
    );
    if let Some(report) = end {
        let (end, peak) = (Seconds(whole_us(report.end_unix_ns)), report.summary.established_peak);
        out.single("end_time_seconds", gauge, "End of the run, in seconds since 1970.", &end);
        out.single("peak_connections", gauge, "Most connections open at once.", &peak);
        out.single("exit_code", gauge, "Exit code of the run.", &report.exit_code);
    }
    out.text
}

/// The text, and the target in each of its series.
struct Exposition<'a> {
    text: String,
    target: &'a str,
}

// Writing to a string cannot fail.
impl Exposition<'_> {
    // Inlined, these take 2 KB more.
    #[inline(never)]
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.text, "# HELP tcpgoon_{name} {help}");
        let _ = writeln!(self.text, "# TYPE tcpgoon_{name} {kind}");
    }

    #[inline(never)]
    fn series(&mut self, name: &str, labels: &[(&str, &dyn Display)], value: &dyn Display) {
        let _ = write!(self.text, "tcpgoon_{name}{{target=\"{}\"", Label(self.target));
        for (key, label) in labels {
            let _ = write!(self.text, ",{key}=\"{}\"", Label(&label.to_string()));
        }
        let _ = writeln!(self.text, "}} {value}");
    }

    #[inline(never)]
    fn single(&mut self, name: &str, kind: &str, help: &str, value: &dyn Display) {
        self.family(name, kind, help);
        self.series(name, &[], value);
    }

    fn histogram(&mut self, name: &str, help: &str, times: &Histogram) {
        self.family(name, "histogram", help);
        let bucket = format!("{name}_bucket");
        let (mut buckets, mut count) = (times.buckets().peekable(), 0);
        for bits in BOUND_BITS {
            let below = 1 << bits;
            while let Some((.., more)) = buckets.next_if(|(_, end, _)| end.0 <= below) {
                count += more;
            }
            self.series(&bucket, &[("le", &Seconds(below - 1))], &count);
        }
        self.series(&bucket, &[("le", &"+Inf")], &times.count());
        let sum = u64::try_from(times.sum_ns()).unwrap_or(u64::MAX);
        self.series(&format!("{name}_sum"), &[], &Seconds(sum));
        self.series(&format!("{name}_count"), &[], &times.count());
    }
}

/// Nanoseconds as seconds.
struct Seconds(u64);

impl Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:09}", self.0 / NS_PER_S, self.0 % NS_PER_S)
    }
}

/// As a document has the time of day: the same when it is made again from that.
fn whole_us(unix_ns: u64) -> u64 {
    unix_ns / NS_PER_US * NS_PER_US
}

/// The value of a label.
struct Label<'a>(&'a str);

impl Display for Label<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '\\' => f.write_str("\\\\"),
            '"' => f.write_str("\\\""),
            '\n' => f.write_str("\\n"),
            c => f.write_char(c),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::{Routes, Target};
    use crate::units::Span;

    fn shown(hosts: &[&str], times: &Histogram) -> String {
        let target = |host: &&str| Target {
            host: (*host).to_owned(),
            address: "127.0.0.1:80".parse().unwrap(),
        };
        let routes = Routes::new(hosts.iter().map(target).collect(), &[]).unwrap();
        let plan = Plan::plain(9, routes);
        let sample = Sample { after: Span::ZERO, connections: 9, levels: [2, 1, 3, 1, 2] };
        let mut flow = [0; EndReason::COUNT];
        flow[EndReason::Refused as usize] = 2;
        flow[EndReason::PeerClosed as usize] = 1;
        let (dialed, established, closed, errors) = (7, 4, 1, 2);
        let progress = Progress {
            sample,
            dialed,
            established,
            closed,
            errors,
            closed_by_us: None,
            flow,
            held: None,
            dial_times: times,
            answers: &[],
        };
        interval(1_500_000_000, &plan, &progress)
    }

    #[track_caller]
    fn assert_has(text: &str, line: &str) {
        assert!(text.lines().any(|shown| shown == line), "{line}\n{text}");
    }

    #[test]
    fn a_run_is_counted_by_state_reason_and_side() {
        let text = shown(&["127.0.0.1"], &Histogram::new());
        for line in [
            "tcpgoon_start_time_seconds{target=\"127.0.0.1:80\"} 1.500000000",
            "tcpgoon_running{target=\"127.0.0.1:80\"} 1",
            "tcpgoon_planned_connections{target=\"127.0.0.1:80\"} 9",
            "tcpgoon_dials_total{target=\"127.0.0.1:80\"} 7",
            "tcpgoon_established_total{target=\"127.0.0.1:80\"} 4",
            "tcpgoon_connections{target=\"127.0.0.1:80\",state=\"established\"} 3",
            "tcpgoon_connections{target=\"127.0.0.1:80\",state=\"not-initiated\"} 2",
            "tcpgoon_ended_total{target=\"127.0.0.1:80\",reason=\"refused\",side=\"server-or-network\"} 2",
            "tcpgoon_ended_total{target=\"127.0.0.1:80\",reason=\"closed-by-peer\",side=\"server\"} 1",
            "tcpgoon_ended_total{target=\"127.0.0.1:80\",reason=\"no-ports\",side=\"this-host\"} 0",
        ] {
            assert_has(&text, line);
        }
        assert!(!text.contains("exit_code") && !text.contains("target_info"), "{text}");
    }

    #[test]
    fn where_slots_dial_again_our_own_closes_are_counted() {
        let (times, sample) = (Histogram::new(), Sample::default());
        let (flow, held) = ([0; EndReason::COUNT], None);
        let (dialed, established, closed, errors) = (9, 9, 0, 0);
        let closed_by_us = Some(7);
        let dial_times = &times;
        let progress = Progress {
            sample,
            dialed,
            established,
            closed,
            errors,
            closed_by_us,
            flow,
            held,
            dial_times,
            answers: &[],
        };
        let target = Target { host: "h".into(), address: "127.0.0.1:80".parse().unwrap() };
        let text = interval(0, &Plan::plain(9, Routes::to_one(target)), &progress);
        assert_has(&text, "tcpgoon_closed_by_us_total{target=\"h(127.0.0.1):80\"} 7");
        assert!(!shown(&["h"], &times).contains("closed_by_us"));
    }

    #[test]
    fn buckets_are_cumulative_and_exact_at_their_bounds() {
        let mut times = Histogram::new();
        for ns in [1, 8_191, 8_192, 16_383, 16_384, 1 << 36, 90 * NS_PER_S] {
            times.record(Span(ns));
        }
        let text = shown(&["127.0.0.1"], &times);
        let bucket = "tcpgoon_dial_duration_seconds_bucket{target=\"127.0.0.1:80\",le=";
        for line in [
            "\"0.000008191\"} 2",
            "\"0.000016383\"} 4",
            "\"0.000032767\"} 5",
            "\"34.359738367\"} 5",
            "\"68.719476735\"} 5",
            "\"+Inf\"} 7",
        ] {
            assert_has(&text, &format!("{bucket}{line}"));
        }
        let sum = "tcpgoon_dial_duration_seconds_sum{target=\"127.0.0.1:80\"} 158.719525887";
        assert_has(&text, sum);
        assert_has(&text, "tcpgoon_dial_duration_seconds_count{target=\"127.0.0.1:80\"} 7");
        assert_eq!(text.matches("_bucket{").count(), 25);
    }

    #[test]
    fn each_of_several_targets_is_listed_and_hostile_names_are_escaped() {
        let text = shown(&["a\"}\\ 1\n#", "b"], &Histogram::new());
        assert_has(&text, "tcpgoon_running{target=\"2 targets\"} 1");
        let first =
            r##"tcpgoon_target_info{target="2 targets",address="a\"}\\ 1\\n#(127.0.0.1):80"} 1"##;
        assert_has(&text, first);
        assert_has(
            &text,
            "tcpgoon_target_info{target=\"2 targets\",address=\"b(127.0.0.1):80\"} 1",
        );
        assert_eq!(Label("\\\"\n").to_string(), "\\\\\\\"\\n");
        let several: Vec<String> = (0..200).map(|n| format!("h{}", n / 2)).collect();
        let several: Vec<&str> = several.iter().map(String::as_str).collect();
        let text = shown(&several, &Histogram::new());
        assert_eq!(text.matches("target_info{").count(), LISTED_MAX / 2, "each once: {text}");
    }
}
