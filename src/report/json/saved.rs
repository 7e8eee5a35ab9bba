//! All that a document has of a run: what it is written from, and what it is read into. The diagnosis
//! and the conditions are not read: they are made again.

use super::codec::Codec;
use super::fields::{number, span};
use super::run::{Begun, time};
use super::totals::Beside;
use super::{analysis, churn, consistency, evidence, times, totals};
use crate::counters::Counters;
use crate::engine::Summary;
use crate::icmp::IcmpTally;
use crate::json::Json;
use crate::json::reader::{Tree, Value, Wrong, line_and_column, text};
use crate::last_lines::LastLine;
use crate::report::Report;
use crate::thresholds::{Actual, Comparison, Judged, Metric, Threshold, Value as Wanted};
use crate::units::Moment;

/// More conditions than are typed.
const CONDITIONS_MAX: usize = 1_000;

/// A run with all that its reports say of it.
#[derive(Debug, Clone)]
pub struct Saved {
    pub begun: Begun,
    pub target: String,
    pub end_unix_ns: u64,
    pub ended_by: Option<String>,
    pub summary: Summary,
    pub beside: Beside,
    pub counters: Counters,
    pub icmp: IcmpTally,
    pub last_lines: Vec<LastLine>,
    /// Read without their result: `judgement` has that.
    pub judged: Vec<Judged>,
}

impl Saved {
    pub fn of(report: &Report<'_>) -> Saved {
        Saved {
            begun: Begun::of(&report.start()),
            target: report.target.to_owned(),
            end_unix_ns: report.end_unix_ns,
            ended_by: report.ended_by.map(str::to_owned),
            summary: report.summary.clone(),
            beside: Beside {
                turn_longest: report.turn_longest,
                lines_dropped: report.lines_dropped,
                targets_unresolved: report.counters.targets_unresolved,
            },
            counters: *report.counters,
            icmp: report.icmp.clone(),
            last_lines: report.last_lines.to_vec(),
            judged: report.judged.to_vec(),
        }
    }

    /// The report to render again.
    pub fn report(&self, exit_code: u8) -> Report<'_> {
        let Begun { plan, command_line, host, start_unix_ns, limits, findings } = &self.begun;
        Report {
            target: &self.target,
            plan,
            command_line,
            host: host.as_deref(),
            start_unix_ns: *start_unix_ns,
            end_unix_ns: self.end_unix_ns,
            summary: &self.summary,
            turn_longest: self.beside.turn_longest,
            counters: &self.counters,
            icmp: &self.icmp,
            limits,
            findings,
            last_lines: &self.last_lines,
            ended_by: self.ended_by.as_deref(),
            lines_dropped: self.beside.lines_dropped,
            judged: &self.judged,
            exit_code,
        }
    }

    fn empty() -> Saved {
        Saved {
            begun: Begun::empty(),
            target: String::new(),
            end_unix_ns: 0,
            ended_by: None,
            summary: Summary::default(),
            beside: Beside::default(),
            counters: Counters::default(),
            icmp: IcmpTally::default(),
            last_lines: Vec::new(),
            judged: Vec::new(),
        }
    }

    /// All but the diagnosis and the exit code.
    pub fn fields(&mut self, codec: &mut Codec<'_>) {
        let Saved { begun, summary, .. } = self;
        begun.fields(codec);
        time(codec, "end", "end_unix_us", &mut self.end_unix_ns);
        let mut took = summary.end.since(summary.start);
        codec.number("took_ns", &mut took);
        if codec.is_reading() {
            (summary.start, summary.end, summary.last.after) = (Moment(0), Moment(took.0), took);
        }
        ended_by(codec, &mut self.ended_by, summary);
        churn::fields(codec, summary);
        totals::fields(codec, &begun.plan, summary, &mut self.beside);
        times::histograms(codec, summary);
        times::timeline(codec, summary);
        evidence::checks(codec, summary);
        evidence::host(codec, &mut self.icmp, &mut self.counters, &mut self.last_lines);
        self.counters.targets_unresolved = self.beside.targets_unresolved;
        analysis::fields(codec, summary);
        conditions(codec, &mut self.judged);
        if codec.is_reading() {
            self.target = begun.plan.routes.to_string();
            consistency::check(codec, &begun.plan, summary);
        }
    }
}

/// A signal is what ended it if nothing else is named.
fn ended_by(codec: &mut Codec<'_>, ended_by: &mut Option<String>, summary: &mut Summary) {
    let signal = "a signal";
    let mut by = ended_by.take().or_else(|| summary.stopped.then(|| signal.to_owned()));
    codec.text_or_null("ended_by", &mut by);
    *ended_by = by.filter(|by| by != signal);
}

fn conditions(codec: &mut Codec<'_>, judged: &mut Vec<Judged>) {
    codec.list("thresholds", judged, CONDITIONS_MAX, no_condition, &mut |codec, judged| {
        codec.text("condition", &mut judged.threshold.text);
        if let Some(json) = codec.writing() {
            return write_judged(json, judged);
        }
        match Threshold::parse(&judged.threshold.text) {
            Ok(threshold) => judged.threshold = threshold,
            Err(accepted) => codec.fail("condition", &accepted),
        }
    });
}

/// What follows from a condition and the run.
fn write_judged(json: &mut Json, judged: &Judged) {
    let Judged { threshold, actual, failed } = judged;
    json.key("metric").string(threshold.metric.record().name);
    json.key("comparison").string(threshold.comparison.sign());
    json.key("failed").bool(*failed);
    json.key("actual").string(&actual.to_string());
    match *actual {
        Actual::Count { count, of } => {
            number(json, "actual_count", count);
            number(json, "of_count", of);
        }
        Actual::Time(time) => span(json, "actual_ns", time),
        Actual::RateMilli(milli) => number(json, "actual_per_1000_s_count", milli),
        Actual::Unknown => {}
    }
}

fn no_condition() -> Judged {
    let (metric, comparison) = (Metric::Errors, Comparison::Greater);
    let threshold = Threshold { metric, comparison, value: Wanted::Count(0), text: String::new() };
    Judged { threshold, actual: Actual::Unknown, failed: true }
}

/// The run of a document, or the last run of a file of events.
///
/// # Errors
/// `LINE:COLUMN: FIELD: what is wrong`, on one line.
pub fn read(bytes: &[u8]) -> Result<Saved, String> {
    read_last(bytes).map_err(|Wrong { at, what }| {
        let (line, column) = line_and_column(bytes, at);
        format!("{line}:{column}: {what}")
    })
}

fn read_last(bytes: &[u8]) -> Result<Saved, Wrong> {
    let text = text(bytes)?;
    let (mut last, mut from, mut started) = (None, 0, 0);
    while let Some(tree) = Tree::parse(text, from)? {
        from = tree.end();
        let event = tree.root().field("event").map(|event| event.text().into_owned());
        match event.as_deref() {
            // Documents have no event.
            None | Some("end") => last = Some(tree),
            // Not the run before it: that would pass for this one.
            Some("start") => (last, started) = (None, tree.root().at()),
            Some(_) => {}
        }
    }
    let tree = last.ok_or_else(|| {
        let what = match from {
            0 => "empty; a document of --json or the end of --events is accepted",
            _ => "no end of a run from here on: it was not over",
        };
        Wrong { at: started, what: what.to_owned() }
    })?;
    of(tree.root())
}

fn of(document: Value<'_>) -> Result<Saved, Wrong> {
    let mut saved = Saved::empty();
    let mut codec = Codec::reader(document);
    saved.fields(&mut codec);
    codec.finish()?;
    Ok(saved)
}
