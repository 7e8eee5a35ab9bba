//! What went wrong in a run, each kind of it with its shape and the words for what happened.

use super::shape::{Ending, Shape, is_anywhere};
use super::text::cause_words;
use super::verdict::Case;
use crate::engine::evidence::{Evidence, Onset};
use crate::engine::{Cause, Side, State, Summary};
use crate::plan::Probe;
use crate::units::Span;

/// A kind of trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Dials that this host refused itself.
    Here(Cause),
    /// Dials that somebody else ended.
    Beyond(Cause),
    /// Connections that the other side closed or reset.
    Closed(Ending),
    /// Connections that were lost without a word from the other side.
    Lost,
    HalfOpen,
    Unanswered,
    /// Dials that took a second and more and came through.
    Slow,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    pub kind: Kind,
    pub hits: u64,
    pub shape: Shape,
    /// Of how many dials it met so many: of those since it began, if that means anything.
    pub of: u64,
    /// Where it met dials to some targets, or from some sources, and no others: which.
    pub place: Option<String>,
    pub evidence: Option<Evidence>,
}

/// All there was, the worst first.
pub fn troubles(case: &Case<'_>) -> Vec<Trouble> {
    let summary = case.summary;
    let mut all = Vec::new();
    for cause in Cause::ALL.into_iter().filter(|cause| cause.ends_in() == State::Error) {
        let side = cause.side();
        let kind = if side == Side::ThisHost { Kind::Here(cause) } else { Kind::Beyond(cause) };
        all.extend(summary.evidence[cause as usize].map(|evidence| of_dials(case, kind, evidence)));
    }
    if let Some(evidence) = closed(summary) {
        let ending = Ending::of(&evidence, &summary.lifetimes);
        all.push(of_dials(case, Kind::Closed(ending), evidence));
    }
    for (cause, kind) in [(Cause::Lost, Kind::Lost), (Cause::HalfOpen, Kind::HalfOpen)] {
        all.extend(summary.evidence[cause as usize].map(|evidence| of_dials(case, kind, evidence)));
    }
    all.extend(summary.unanswered.map(|evidence| unanswered(summary, evidence)));
    all.sort_by_key(|trouble| std::cmp::Reverse(trouble.hits));
    // Those came through: whatever did not is worse.
    all.extend(slow(summary));
    all
}

/// How many dials were decided.
fn decided(summary: &Summary) -> u64 {
    let [untried, dialing] =
        [State::NotInitiated, State::Dialing].map(|state| summary.last.level(state));
    u64::from(summary.last.connections - untried - dialing)
}

/// Without the dials that were still under way when the run was ended: they are the last ones.
fn decided_after(summary: &Summary, onset: Onset) -> Onset {
    let dials_after = onset.dials_after.saturating_sub(summary.last.level(State::Dialing));
    Onset { dials_after, ..onset }
}

fn trouble(
    kind: Kind,
    onset: &Onset,
    hits: u64,
    dials: u64,
    evidence: Option<Evidence>,
) -> Trouble {
    let shape = Shape::of(onset, hits, dials);
    let of = match shape {
        Shape::Scattered | Shape::TooFew => dials,
        _ => u64::from(onset.dials_after) + 1,
    };
    Trouble { kind, hits, shape, of, place: None, evidence }
}

fn of_dials(case: &Case<'_>, kind: Kind, evidence: Evidence) -> Trouble {
    let summary = case.summary;
    let onset = decided_after(summary, evidence.onset);
    let mut trouble = trouble(kind, &onset, evidence.count, decided(summary), Some(evidence));
    if evidence.count == summary.errors
        && let Some(place) = place(case)
    {
        trouble.shape = if place.is_all { Shape::All } else { Shape::InPlace };
        trouble.of = place.dials;
        trouble.place = Some(place.name);
    }
    trouble
}

/// Where all errors are, if that is not everywhere.
struct Place {
    name: String,
    dials: u64,
    /// Whether nothing was established there.
    is_all: bool,
}

/// The targets, or the sources, to which all errors belong, unless that is chance.
fn place(case: &Case<'_>) -> Option<Place> {
    let (summary, routes) = (case.summary, &case.plan.routes);
    let target = |index: usize| routes.targets()[index].to_string();
    let source = |index: usize| routes.sources()[index].ip().to_string();
    let names: [&dyn Fn(usize) -> String; 2] = [&target, &source];
    let breakdowns = [(&summary.targets, "to", "targets"), (&summary.sources, "from", "sources")];
    breakdowns.into_iter().zip(names).find_map(|((breakdown, towards, word), name)| {
        let rows: Vec<_> = breakdown.worst.iter().filter(|row| row.errors > 0).collect();
        let errors: u64 = rows.iter().map(|row| u64::from(row.errors)).sum();
        let is_all = rows.iter().all(|row| row.established == 0 && row.errors >= 3);
        let is_chance = !is_all && is_anywhere(rows.len(), breakdown.count, errors);
        if errors != summary.errors || rows.len() == breakdown.count || is_chance {
            return None;
        }
        let first = name(rows.first()?.index as usize);
        let name = match rows.len() {
            1 => format!("{towards} {first}"),
            many => format!("{towards} {many} of {} {word} ({first}, ...)", breakdown.count),
        };
        let dials = rows.iter().map(|row| u64::from(row.dialed)).sum();
        Some(Place { name, dials, is_all })
    })
}

/// By the peer, in either way.
fn closed(summary: &Summary) -> Option<Evidence> {
    let of = |cause: Cause| summary.evidence[cause as usize];
    let (fin, rst) = match (of(Cause::PeerClosed), of(Cause::PeerReset)) {
        (Some(fin), Some(rst)) => (fin, rst),
        (one, other) => return one.or(other),
    };
    let more = if fin.count >= rst.count { fin } else { rst };
    let earlier = if fin.onset.dials_after >= rst.onset.dials_after { fin } else { rst };
    Some(Evidence {
        count: fin.count + rst.count,
        first: fin.first.min(rst.first),
        last: fin.last.max(rst.last),
        onset: earlier.onset,
        min: fin.min.min(rst.min),
        max: fin.max.max(rst.max),
        ..more
    })
}

/// What counts is who was established.
fn unanswered(summary: &Summary, evidence: Evidence) -> Trouble {
    let before = u64::from(evidence.onset.established + evidence.onset.under_way);
    let after = summary.established_ever.saturating_sub(before).max(1);
    let dials_after = u32::try_from(after - 1).unwrap_or(u32::MAX);
    let onset = Onset { dials_after, ..evidence.onset };
    let dials = summary.established_ever;
    trouble(Kind::Unanswered, &onset, evidence.count, dials, Some(evidence))
}

fn slow(summary: &Summary) -> Option<Trouble> {
    let failed_late: u64 = Cause::ALL
        .into_iter()
        .filter(|cause| cause.ends_in() == State::Error)
        .filter_map(|cause| summary.evidence[cause as usize])
        .filter(|evidence| evidence.min >= crate::engine::evidence::SLOW_DIAL_MIN)
        .map(|evidence| evidence.count)
        .sum();
    let hits = summary.slow.dials.saturating_sub(failed_late);
    let onset = decided_after(summary, summary.slow_onset.filter(|_| hits > 0)?);
    let mut trouble = trouble(Kind::Slow, &onset, summary.slow.dials, decided(summary), None);
    trouble.hits = hits;
    Some(trouble)
}

impl Trouble {
    /// What happened, as a sentence.
    pub fn sentence(&self, case: &Case<'_>) -> String {
        let summary = case.summary;
        match self.kind {
            Kind::Here(cause) | Kind::Beyond(cause) => {
                self.met("dial", |is_one| verb(summary, cause, is_one))
            }
            Kind::Closed(ending) => self.closed_sentence(summary, ending),
            Kind::Lost => self.met("connection", |is_one| {
                let was = if is_one { "was" } else { "were" };
                format!("{was} {}", cause_words(summary, Cause::Lost))
            }),
            Kind::HalfOpen => {
                let asked = summary.findings.probed.max(self.hits);
                let them = match case.plan.probe {
                    Probe::All => format!("of these {asked}"),
                    _ => format!("of a sample of {asked}"),
                };
                match self.hits {
                    hits if hits == asked => format!("The server has none {them}"),
                    hits => format!("The server does not have {hits} {them}"),
                }
            }
            Kind::Unanswered if summary.findings.answered == 0 => {
                let within = case.plan.talk.as_ref().map_or(Span::ZERO, |talk| talk.reply_timeout);
                format!("None of those established answered within {within}")
            }
            Kind::Unanswered => {
                let answered = summary.findings.answered;
                match self.shape {
                    Shape::From(connections) => format!(
                        "From {connections} on the application answered nobody: {answered} \
                         answered, {} did not",
                        self.hits
                    ),
                    _ => format!("{} established did not answer, {answered} did", self.hits),
                }
            }
            Kind::Slow => self.met("dial", |_| {
                let repeats = summary.slow.repeats;
                match repeats {
                    0 => "took a second or more".into(),
                    _ => "took a second or more, as their SYNs had to be repeated".into(),
                }
            }),
        }
    }

    fn closed_sentence(&self, summary: &Summary, ending: Ending) -> String {
        let (hits, of) = (self.hits, summary.established_ever);
        let start = summary.start;
        let evidence = self.evidence.as_ref();
        let at = evidence.map_or(Span::ZERO, |e| e.first.since(start).rounded_to_3_digits());
        let [min, p50, max] = evidence
            .map_or([Span::ZERO; 3], |e| [e.min, e.p50, e.max])
            .map(Span::rounded_to_3_digits);
        let whom = quantity(hits, of, "");
        match (self.shape, ending) {
            (Shape::From(connections), Ending::AtOnce) => format!(
                "From {connections} connections on, the other side accepted and at once closed {} \
                 (within {max})",
                quantity(hits, self.of, "")
            ),
            (Shape::From(connections), _) => format!(
                "From {connections} connections on, the other side closed them again, at ages of \
                 {min} to {max}"
            ),
            (_, Ending::AtOnce) => {
                format!("The other side accepted and closed {whom} at once (within {max})")
            }
            (_, Ending::SameAge(_)) => {
                format!("The other side closed {whom} at the same age, {p50}")
            }
            (_, Ending::SameMoment) => {
                format!("The other side closed {whom} at the same moment, {at} into the run")
            }
            (_, Ending::Both(_)) => {
                format!("The other side closed {whom}, all {p50} old, at the same moment")
            }
            (_, Ending::Various) => format!(
                "The other side closed {whom}, at ages of {min} to {max} (half of them within \
                 {p50})"
            ),
        }
    }

    /// What became of the dials after an event.
    pub fn after_it(&self, case: &Case<'_>) -> String {
        match self.kind {
            Kind::Here(cause) | Kind::Beyond(cause) => {
                let verb = verb(case.summary, cause, self.hits == 1);
                capital(&format!("{} after it {verb}", quantity(self.hits, self.of, "dial")))
            }
            _ => self.sentence(case),
        }
    }

    /// `From 17 connections on, all 23 dials timed out`, and its kin.
    fn met(&self, noun: &str, verb: impl Fn(bool) -> String) -> String {
        let (hits, of) = (self.hits, self.of);
        let place = self.place.as_ref().map_or_else(String::new, |place| format!(" {place}"));
        let those = quantity(hits, of, noun);
        let verb = verb(hits == 1);
        match self.shape {
            Shape::All => format!("{}{place} {verb}", capital(&those)),
            Shape::InPlace => format!("{}{place} {verb}, and none elsewhere", capital(&those)),
            Shape::From(0) => format!("From some moment on, {those} {verb}"),
            Shape::From(connections) => {
                format!("From {connections} connections on, {those} {verb}")
            }
            Shape::MoreFrom(connections) => {
                format!("From {connections} connections on, {those} {verb}, and none before")
            }
            Shape::Scattered => {
                format!("{} {verb}, scattered among others that did well", capital(&those))
            }
            Shape::TooFew => {
                format!("{} {verb}: too few to tell a limit from chance", capital(&those))
            }
        }
    }
}

/// `all 23 dials`, `the only dial`, `19 of 23 dials`.
fn quantity(hits: u64, of: u64, noun: &str) -> String {
    let plural = if noun.is_empty() { String::new() } else { format!(" {noun}s") };
    match (hits, of) {
        (1, 1) => format!("the one{}", plural.trim_end_matches('s')),
        (hits, of) if hits >= of => format!("all {hits}{plural}"),
        (hits, of) => format!("{hits} of {of}{plural}"),
    }
}

fn capital(words: &str) -> String {
    let mut letters = words.chars();
    let first = letters.next().map(|letter| letter.to_ascii_uppercase());
    first.into_iter().chain(letters).collect()
}

/// What a cause did to a dial, or to several.
fn verb(summary: &Summary, cause: Cause, is_one: bool) -> String {
    let was = if is_one { "was" } else { "were" };
    match cause {
        Cause::TimedOut => "timed out".into(),
        Cause::Refused => format!("{was} refused"),
        Cause::Reset => format!("{was} reset"),
        Cause::HostUnreachable | Cause::NetworkUnreachable => {
            format!("{was} answered with \"{}\"", cause.word())
        }
        Cause::Prohibited => format!("{was} prohibited on the way"),
        Cause::OtherBeyond | Cause::OtherHere => {
            let words = cause_words(summary, cause);
            format!("failed ({})", words.trim_start_matches("other: "))
        }
        Cause::NoDescriptors => "found no file descriptor left on this host".into(),
        Cause::NoPorts => "found no ephemeral port left on this host".into(),
        Cause::NoBuffers => "found no memory for a socket on this host".into(),
        Cause::NoWatches => "found no epoll watch left on this host".into(),
        Cause::NoRouteToHost => "found no route to the host on this one".into(),
        Cause::NoRouteToNetwork => "found no route to the network on this host".into(),
        Cause::NotPermitted => format!("{was} not permitted by this host"),
        Cause::PeerClosed | Cause::PeerReset | Cause::HalfOpen | Cause::Lost => {
            format!("{was} {}", cause.word())
        }
    }
}
