//! The words for what happened.

use super::shape::{Ending, Shape};
use super::text::reason_words;
use super::troubles::{Kind, Trouble, site_of_one};
use super::verdict::Case;
use crate::engine::scene::Part;
use crate::engine::{EndReason, Summary};
use crate::plan::Probe;
use crate::units::Span;

impl Trouble {
    /// What happened, as a sentence without its stop.
    pub fn sentence(&self, case: &Case<'_>) -> String {
        let summary = case.summary;
        match self.kind {
            Kind::Here(reason) | Kind::Beyond(reason) => {
                self.met(case, "dial", |is_one| verb(summary, reason, is_one))
            }
            Kind::Closed(ending) => self.closed_sentence(case, ending),
            Kind::Lost => self.met(case, "connection", |is_one| {
                format!("{} {}", was(is_one), reason_words(summary, EndReason::Lost))
            }),
            Kind::Aborted => self.met(case, "connection", |is_one| {
                format!("{} {}", was(is_one), EndReason::Aborted.word())
            }),
            Kind::HalfOpen => self.half_open_sentence(case),
            Kind::Unanswered => self.unanswered_sentence(case),
            Kind::Silent => match (self.part.hits, self.part.all) {
                (1, 1) => "The one asked by keepalive did not acknowledge it".to_owned(),
                (hits, all) if hits >= all => {
                    format!("None of the {all} asked by keepalive acknowledged it")
                }
                (hits, all) => {
                    format!("{hits} of the {all} asked by keepalive did not acknowledge it")
                }
            },
            Kind::Hanging => {
                self.met(case, "dial", |_| "had been under way for a second or more".into())
            }
            Kind::Slow => self.met(case, "dial", |is_one| slow_verb(summary, is_one)),
        }
    }

    /// What became of the connections after an event.
    pub fn after_it(&self, case: &Case<'_>) -> String {
        match self.kind {
            Kind::Here(reason) | Kind::Beyond(reason) => {
                let verb = verb(case.summary, reason, self.part.hits == 1);
                let (those, place) = (quantity(self.part, "dial"), self.place());
                capital(&format!("{those}{place} after it {verb}"))
            }
            Kind::HalfOpen => format!(
                "{} more {} reset just when they were asked by keepalive",
                self.hits,
                was(self.hits == 1)
            ),
            _ => self.sentence(case),
        }
    }

    /// ` to 10.0.0.7:80`, or nothing.
    fn place(&self) -> String {
        self.site.as_ref().map_or_else(String::new, |site| format!(" {}", site.name))
    }

    /// Hits that the sentence leaves out, as a part of it.
    fn others(&self, when: &str) -> String {
        match self.hits.saturating_sub(self.part.hits.into()) {
            0 => format!("none {when}"),
            few => format!("only {few} {when}"),
        }
    }

    /// `From 17 connections on, all 23 dials timed out`, and its kin.
    fn met(&self, case: &Case<'_>, noun: &str, verb: impl Fn(bool) -> String) -> String {
        let summary = case.summary;
        let is_of_some = self.kind == Kind::Slow && summary.errors > 0;
        let through = if is_of_some { " that came through" } else { "" };
        let place = self.place();
        let short = self.site.as_ref().map_or_else(String::new, |site| format!(" {}", site.short));
        let those = quantity(self.part, noun) + through;
        let verb = verb(self.part.hits == 1);
        match self.shape {
            Shape::All => format!("{}{place} {verb}", capital(&those)),
            Shape::NearlyAll => {
                format!("{}{place} {verb}, from the first one on", capital(&those))
            }
            Shape::InPlaces => format!("{}{place} {verb}, and none elsewhere", capital(&those)),
            Shape::From(0) => {
                let before = self.onset.before.all;
                format!("After the first {before} {noun}s{place}, {those}{short} {verb}")
            }
            Shape::From(connections) => {
                let from = connections_of(connections);
                let others = match self.onset.before.hits {
                    0 => String::new(),
                    hits => format!(", and {hits} of {} before", self.onset.before.all),
                };
                format!("From {from}{place} on, {those}{short} {verb}{others}")
            }
            Shape::MoreFrom(connections) => format!(
                "From {}{place} on, {those}{short} {verb}, and none before",
                connections_of(connections)
            ),
            Shape::Until => {
                let those = match self.part {
                    Part { all, hits } if hits == all => format!("The first {all} {noun}s"),
                    Part { all, hits } => format!("{hits} of the first {all} {noun}s"),
                };
                format!("{those}{through}{place} {verb}, and {}", self.others("later"))
            }
            Shape::Window => {
                let others = self.others("before and later");
                let when = self.evidence.as_ref().map(|evidence| {
                    let [first, last] = [evidence.first, evidence.last]
                        .map(|at| at.since(summary.start).rounded_to_3_digits());
                    format!("Between {first} and {last} into the run")
                });
                let when = when.unwrap_or_else(|| "For a while".into());
                format!("{when}, {those}{place} {verb}, and {others}")
            }
            Shape::Scattered => {
                let elsewhere = if place.is_empty() { "" } else { ", and none elsewhere" };
                let those = capital(&those);
                format!("{those}{place} {verb}, scattered among the others{elsewhere}")
            }
            Shape::TooFew => {
                // Where it was is known, if not whether that means anything.
                let place = self.only.map_or_else(String::new, |place| {
                    format!(" ({})", site_of_one(case, place).name)
                });
                let chance = match self.kind {
                    Kind::Here(_) => "",
                    _ => ": too few to tell a limit from chance",
                };
                format!("{} {verb}{place}{chance}", capital(&those))
            }
        }
    }

    fn closed_sentence(&self, case: &Case<'_>, ending: Ending) -> String {
        let place = self.place();
        let evidence = self.evidence.as_ref();
        let start = case.summary.start;
        let at = evidence.map_or(Span::ZERO, |e| e.first.since(start).rounded_to_3_digits());
        let [min, p50, max] = evidence
            .map_or([Span::ZERO; 3], |e| [e.min, e.p50, e.max])
            .map(Span::rounded_to_3_digits);
        let all = Part { all: self.onset.all(), hits: self.onset.hits() };
        let whom = quantity(all, "");
        let ages = match all.hits {
            _ if max == Span::ZERO => "at once".to_owned(),
            1 => format!("after {min}"),
            _ if min == max => format!("at an age of {min}"),
            _ => format!("at ages of {min} to {max}"),
        };
        let is_plain =
            !matches!(ending, Ending::SameMoment | Ending::Both(_) | Ending::Outlived(_));
        if let Shape::From(connections) | Shape::MoreFrom(connections) = self.shape
            && is_plain
        {
            let (from, whom) = (connections_of(connections), quantity(self.part, ""));
            let how = match ending {
                Ending::AtOnce(within) => {
                    format!("accepted and at once closed {whom} ({})", all_within(within, max))
                }
                _ => format!("closed {whom} again, {ages}"),
            };
            return format!("From {from}{place} on, the other side {how}");
        }
        let closed = format!("The other side closed {whom}{place}");
        match ending {
            Ending::Few => format!("{closed}, {ages}"),
            Ending::AtOnce(within) => format!(
                "The other side accepted and closed {whom}{place} at once ({})",
                all_within(within, max)
            ),
            Ending::SameAge(_) => format!("{closed} at the same age, {p50}"),
            Ending::Outlived(_) => {
                format!("{closed} at about the same age, {p50}, while others lived longer")
            }
            Ending::SameMoment => format!("{closed} at the same moment, {at} into the run"),
            Ending::Both(_) => format!("{closed}, all {p50} old, at the same moment"),
            Ending::Various => format!("{closed}, {ages} (half of them within {p50})"),
        }
    }

    fn half_open_sentence(&self, case: &Case<'_>) -> String {
        let hits = self.hits;
        let asked = case.summary.findings.probed.max(hits);
        let of_whom = match case.plan.probe {
            Probe::All => format!("these {asked}"),
            _ => format!("a sample of {asked}"),
        };
        let those = match (hits, asked) {
            (1, 1) => "The one connection is".to_owned(),
            (1, _) => format!("1 of {of_whom} is"),
            _ if hits == asked => format!("None of {of_whom} is"),
            _ => format!("{hits} of {of_whom} are"),
        };
        let place = match &self.site {
            Some(site) => format!(", all {},", site.name),
            None => String::new(),
        };
        let not = if hits == asked && hits > 1 { "" } else { " not" };
        format!("{those}{place}{not} known there: a keepalive drew a reset")
    }

    fn unanswered_sentence(&self, case: &Case<'_>) -> String {
        let (hits, answered, place) = (self.hits, self.onset.answered, self.place());
        let findings = &case.summary.findings;
        let within = case.plan.talk.as_ref().map_or(Span::ZERO, |talk| talk.reply_timeout);
        let mut sentence = match self.shape {
            _ if answered == 0 && self.onset.established_ever == 1 => {
                format!("The one connection established{place} was not answered within {within}")
            }
            _ if answered == 0 => {
                format!("None of those established{place} answered within {within}")
            }
            Shape::From(connections) => format!(
                "From {}{place} on the application answered nobody: {answered} answered, {hits} \
                 did not",
                connections_of(connections)
            ),
            _ => {
                format!("{hits} established{place} did not answer within {within}, {answered} did")
            }
        };
        let others = [
            (findings.misheard, "said something else, or not all of it"),
            (findings.late, "spoke later"),
        ];
        let others: Vec<String> = others
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| format!("{count} {what}"))
            .collect();
        if !others.is_empty() {
            sentence = format!("{sentence} ({})", others.join(", "));
        }
        sentence
    }
}

/// `1 connection`, `2 connections`.
pub fn connections_of(count: u32) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} connection{plural}")
}

/// `all 23 dials`, `the one dial`, `19 of 23 dials`.
fn quantity(part: Part, noun: &str) -> String {
    let plural = if noun.is_empty() { String::new() } else { format!(" {noun}s") };
    match (part.hits, part.all) {
        (1, 0 | 1) if noun.is_empty() => "the only one".to_owned(),
        (1, 0 | 1) => format!("the one {noun}"),
        (hits, all) if hits >= all => format!("all {hits}{plural}"),
        (hits, all) => format!("{hits} of {all}{plural}"),
    }
}

/// But for one in fifty it took no longer than `within`, and at most `max`.
fn all_within(within: Span, max: Span) -> String {
    if max.0 / 2 <= within.0 {
        format!("within {max}")
    } else {
        format!("nearly all within {within}")
    }
}

fn capital(words: &str) -> String {
    let mut letters = words.chars();
    let first = letters.next().map(|letter| letter.to_ascii_uppercase());
    first.into_iter().chain(letters).collect()
}

fn was(is_one: bool) -> &'static str {
    if is_one { "was" } else { "were" }
}

fn slow_verb(summary: &Summary, is_one: bool) -> String {
    let slow = &summary.slow;
    let why = match slow.retransmitted {
        0 => "",
        repeated if repeated < slow.dials => ", and some repeated their SYNs",
        _ if is_one => ", and repeated its SYN",
        _ => ", and repeated their SYNs",
    };
    format!("took a second or more{why}")
}

/// What a reason did to a dial, or to several.
fn verb(summary: &Summary, reason: EndReason, is_one: bool) -> String {
    let was = was(is_one);
    match reason {
        EndReason::TimedOut => "timed out".into(),
        EndReason::Refused => format!("{was} refused"),
        EndReason::Reset => format!("{was} reset"),
        EndReason::HostUnreachable | EndReason::NetworkUnreachable => {
            format!("{was} answered with \"{}\"", reason.word())
        }
        EndReason::Prohibited => format!("{was} prohibited on the way"),
        EndReason::OtherBeyond | EndReason::OtherHere => {
            let words = reason_words(summary, reason);
            format!("failed ({})", words.trim_start_matches("other: "))
        }
        EndReason::NoDescriptors => "found no file descriptor left on this host".into(),
        EndReason::NoPorts => "found no ephemeral port left on this host".into(),
        EndReason::NoSource if is_one => "found its source address gone from this host".into(),
        EndReason::NoSource => "found their source address gone from this host".into(),
        EndReason::NoBuffers => "found no memory for a socket on this host".into(),
        EndReason::NoWatches => "found no epoll watch left on this host".into(),
        EndReason::NoRouteToHost => "found no route to the host on this one".into(),
        EndReason::NoRouteToNetwork => "found no route to the network on this host".into(),
        EndReason::NotPermitted => format!("{was} not permitted by this host"),
        EndReason::PeerClosed
        | EndReason::PeerReset
        | EndReason::HalfOpen
        | EndReason::Lost
        | EndReason::Aborted => format!("{was} {}", reason.word()),
    }
}
