//! The words for what happened.

use super::shape::{Ending, Shape};
use super::text::cause_words;
use super::troubles::{Kind, Trouble, site_of_one};
use super::verdict::Case;
use crate::engine::{Cause, Summary};
use crate::plan::Probe;
use crate::units::Span;

impl Trouble {
    /// What happened, as a sentence without its stop.
    pub fn sentence(&self, case: &Case<'_>) -> String {
        let summary = case.summary;
        match self.kind {
            Kind::Here(cause) | Kind::Beyond(cause) => {
                self.met(case, "dial", |is_one| verb(summary, cause, is_one))
            }
            Kind::Closed(ending) => self.closed_sentence(case, ending),
            Kind::Lost => self.met(case, "connection", |is_one| {
                format!("{} {}", was(is_one), cause_words(summary, Cause::Lost))
            }),
            Kind::HalfOpen => self.half_open_sentence(case),
            Kind::Unanswered => self.unanswered_sentence(case),
            Kind::Slow => self.met(case, "dial", |is_one| slow_verb(summary, is_one)),
        }
    }

    /// What became of the connections after an event.
    pub fn after_it(&self, case: &Case<'_>) -> String {
        match self.kind {
            Kind::Here(cause) | Kind::Beyond(cause) => {
                let verb = verb(case.summary, cause, self.hits == 1);
                let place = self.place();
                let those = quantity(self.hits, self.of_later, "dial");
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

    /// `From 17 connections on, all 23 dials timed out`, and its kin.
    fn met(&self, case: &Case<'_>, noun: &str, verb: impl Fn(bool) -> String) -> String {
        let (hits, of, place) = (self.hits, self.of, self.place());
        let short = self.site.as_ref().map_or_else(String::new, |site| format!(" {}", site.short));
        let those = quantity(hits, of, noun);
        let verb = verb(hits == 1);
        match self.shape {
            Shape::All => format!("{}{place} {verb}", capital(&those)),
            Shape::NearlyAll => {
                format!("{}{place} {verb}, from the first one on", capital(&those))
            }
            Shape::InPlaces => format!("{}{place} {verb}, and none elsewhere", capital(&those)),
            Shape::From(0) => format!("From some moment on, {those}{place} {verb}"),
            Shape::From(connections) => {
                format!("From {}{place} on, {those}{short} {verb}", connections_of(connections))
            }
            Shape::MoreFrom(connections) => format!(
                "From {}{place} on, {those}{short} {verb}, and none before",
                connections_of(connections)
            ),
            Shape::Scattered => {
                let elsewhere = if place.is_empty() { "" } else { ", and none elsewhere" };
                let those = capital(&those);
                format!("{those}{place} {verb}, scattered among others that did well{elsewhere}")
            }
            Shape::TooFew => {
                // Where it was is known, if not whether that means anything.
                let place = self.only.map_or_else(String::new, |place| {
                    format!(" ({})", site_of_one(case, place).name)
                });
                format!("{} {verb}{place}: too few to tell a limit from chance", capital(&those))
            }
        }
    }

    fn closed_sentence(&self, case: &Case<'_>, ending: Ending) -> String {
        let (hits, place) = (self.hits, self.place());
        let evidence = self.evidence.as_ref();
        let start = case.summary.start;
        let at = evidence.map_or(Span::ZERO, |e| e.first.since(start).rounded_to_3_digits());
        let [min, p50, max] = evidence
            .map_or([Span::ZERO; 3], |e| [e.min, e.p50, e.max])
            .map(Span::rounded_to_3_digits);
        let whom = quantity(hits, self.onset.established_ever.into(), "");
        let ages = match hits {
            1 => format!("after {min}"),
            _ if min == max => format!("at an age of {min}"),
            _ => format!("at ages of {min} to {max}"),
        };
        if let Shape::From(connections) | Shape::MoreFrom(connections) = self.shape
            && !ending.is_common()
        {
            let whom = quantity(hits, self.of, "");
            let how = match ending {
                Ending::AtOnce(within) => {
                    format!("accepted and at once closed {whom} ({})", all_within(within, max))
                }
                _ => format!("closed {whom} again, {ages}"),
            };
            let from = connections_of(connections);
            return format!("From {from}{place} on, the other side {how}");
        }
        match ending {
            Ending::Few => format!("The other side closed {whom}{place}, {ages}"),
            Ending::AtOnce(within) => {
                format!(
                    "The other side accepted and closed {whom}{place} at once ({})",
                    all_within(within, max)
                )
            }
            Ending::SameAge(_) => {
                format!("The other side closed {whom}{place} at the same age, {p50}")
            }
            Ending::SameMoment => {
                format!("The other side closed {whom}{place} at the same moment, {at} into the run")
            }
            Ending::Both(_) => {
                format!("The other side closed {whom}{place}, all {p50} old, at the same moment")
            }
            Ending::Various => {
                format!("The other side closed {whom}{place}, {ages} (half of them within {p50})")
            }
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
            _ if hits == asked => format!("All of {of_whom} are"),
            _ => format!("{hits} of {of_whom} are"),
        };
        let place = match &self.site {
            Some(site) => format!(", all {},", site.name),
            None => String::new(),
        };
        format!("{those}{place} not known there: a keepalive drew a reset")
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
        let others = [(findings.misheard, "said something else"), (findings.late, "spoke later")];
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
fn quantity(hits: u64, of: u64, noun: &str) -> String {
    let plural = if noun.is_empty() { String::new() } else { format!(" {noun}s") };
    match (hits, of) {
        (1, 0 | 1) if noun.is_empty() => "the only one".to_owned(),
        (1, 0 | 1) => format!("the one {noun}"),
        (hits, of) if hits >= of => format!("all {hits}{plural}"),
        (hits, of) => format!("{hits} of {of}{plural}"),
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
        repeated if repeated < slow.dials => ", and SYNs had to be repeated",
        _ if is_one => ", as its SYN had to be repeated",
        _ => ", as their SYNs had to be repeated",
    };
    format!("took a second or more{why}")
}

/// What a cause did to a dial, or to several.
fn verb(summary: &Summary, cause: Cause, is_one: bool) -> String {
    let was = was(is_one);
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
        Cause::NoSource if is_one => "found its source address gone from this host".into(),
        Cause::NoSource => "found their source address gone from this host".into(),
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
