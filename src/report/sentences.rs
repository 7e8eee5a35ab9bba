//! One sentence for each symptom: what happened, how often, in which pattern. It names no cause.

use std::ops::Range;

use crate::diagnosis::model::{ClosePattern, Problem, Scope, Symptom};
use crate::diagnosis::pattern::{Part, Pattern};
use crate::engine::EndReason;
use crate::plan::Plan;
use crate::units::{Moment, Span};

/// Writes sentences about one run.
pub struct Sentences<'a> {
    pub plan: &'a Plan,
    /// Printed times count from here.
    pub start: Moment,
    /// The most connections that were open at once: no printed level exceeds it.
    pub peak: u32,
}

impl Sentences<'_> {
    /// With its full stop.
    pub fn sentence(&self, problem: &Problem) -> String {
        let share = problem.share;
        match &problem.symptom {
            Symptom::LocalFailure { reason, errno } => {
                let how = format!("failed on this host: {}", reason_text(*reason, *errno));
                self.spread(problem, "dial", &how, "")
            }
            Symptom::DialsFailed { reasons, pending, slow, retransmits } => {
                self.dials_failed(problem, reasons, *pending, *slow, *retransmits)
            }
            Symptom::DialsSlow { retransmits: 0 } => {
                self.spread(problem, "dial", "took 1s or more, without a SYN retransmission", "")
            }
            Symptom::DialsSlow { retransmits } => {
                let more = count(*retransmits, "SYN retransmission");
                self.spread(problem, "dial", "needed a SYN retransmission", &more)
            }
            Symptom::ClosedOnAccept { resets, within } => {
                let by = by_fin_or_rst(*resets, share.hits);
                let how = format!("closed by the peer on accept ({by})");
                let more = format!("within {}", within.rounded_to_3_digits());
                self.spread(problem, "connection", &format!("{} {how}", was(share)), &more)
            }
            Symptom::Closed { how, resets, first, last, ages } => {
                self.closed(problem, how, *resets, (*first, *last), *ages)
            }
            Symptom::Lost { errno } => {
                let how = format!("failed with no reply from the peer ({})", errno_text(*errno));
                self.spread(problem, "connection", &how, "")
            }
            Symptom::KilledHere => {
                let how = format!("{} closed on this host", was(share));
                self.spread(problem, "connection", &how, "")
            }
            Symptom::HalfOpen => {
                let (verb, place) = (are(share), self.place(problem));
                let those = of_those(share, "connection checked");
                format!("{those}{place} {verb} half-open: the keepalive was answered with RST.")
            }
            Symptom::KeepaliveUnacked { .. } => self.unacked(problem),
            Symptom::SynAckRepeated => {
                let (verb, place) = (are(share), self.place(problem));
                let those = of_those(share, "connection checked");
                format!(
                    "{those}{place} {verb} established on this host only: the server keeps \
                     retransmitting its SYN-ACK."
                )
            }
            Symptom::NoReply { replied, wrong, late } => {
                self.no_reply(problem, *replied, *wrong, *late)
            }
        }
    }

    fn dials_failed(
        &self,
        problem: &Problem,
        reasons: &[(EndReason, u64)],
        pending: u32,
        slow: u64,
        retransmits: u64,
    ) -> String {
        let share = problem.share;
        let failed = reasons.iter().map(|(_, count)| count).sum::<u64>() + u64::from(pending);
        let how = match (reasons, pending) {
            ([(reason, _)], 0) => verb(*reason, share.hits == 1),
            ([], _) => "had no reply after 1s or more when the run ended".to_owned(),
            _ => {
                let mut parts: Vec<String> = reasons
                    .iter()
                    .map(|(reason, count)| format!("{count} {}", reason.word()))
                    .collect();
                if pending > 0 {
                    parts.push(format!("{pending} with no reply when the run ended"));
                }
                format!("failed ({})", parts.join(", "))
            }
        };
        let through = match slow {
            0 => String::new(),
            slow => format!("{slow} succeeded after a SYN retransmission"),
        };
        let repeated = match retransmits {
            0 => through,
            retransmits if slow == 0 => {
                format!("{}, none succeeded", count(retransmits, "SYN retransmission"))
            }
            retransmits => {
                format!(
                    "{failed} failed after {}, {through}",
                    count(retransmits, "SYN retransmission")
                )
            }
        };
        let how = match slow {
            0 => how,
            _ => format!("got no reply to the first SYN ({failed} {how})"),
        };
        self.spread(problem, "dial", &how, &repeated)
    }

    /// `Above 17 open, every dial timed out (23 of 23; MORE).`, and the like for each pattern.
    fn spread(&self, problem: &Problem, noun: &str, how: &str, more: &str) -> String {
        let Part { all, hits } = problem.share;
        let place = self.place(problem);
        let some = format!("{hits} of {all} {noun}s");
        // "Every dial was", "39 of 120 dials were".
        let is_most = hits * 10 >= all * 9;
        let each = match (hits, all) {
            (1, 1) => format!("the only {noun}"),
            _ if hits == all => format!("every {noun}"),
            _ if is_most => format!("nearly every {noun}"),
            _ => some.clone(),
        };
        let is_each = hits == 1
            || (is_most
                && !matches!(
                    problem.pattern,
                    Pattern::PartlyAboveCount { .. }
                        | Pattern::Scattered
                        | Pattern::Irregular
                        | Pattern::TooFew
                ));
        let how = match is_each {
            true => how.replacen("were ", "was ", 1),
            false => how.to_owned(),
        };
        let aside = |how: &str| match more {
            "" => how.to_owned(),
            more => format!("{how} ({more})"),
        };
        // Hits that the pattern does not cover, and where they are.
        let besides = |place: &str| match problem.outside {
            0 => String::new(),
            outside => format!("; {outside} {place}"),
        };
        let each = match (is_most, more) {
            (false, _) => format!("{each}{place} {}", aside(&how)),
            (true, "") => format!("{each}{place} {how} ({hits} of {all})"),
            (true, more) => format!("{each}{place} {how} ({hits} of {all}; {more})"),
        };
        match &problem.pattern {
            Pattern::All => format!("{}.", capital(&each)),
            Pattern::NearlyAll => format!("{}{}.", capital(&each), besides("besides")),
            Pattern::AboveCount { open } => {
                format!("{}, {each}{}.", self.above(problem, open), besides("below"))
            }
            Pattern::PartlyAboveCount { open } => {
                let above = self.range(open);
                let none = if problem.outside == 0 { "; none before" } else { "" };
                let before = besides("before");
                format!("Above {above} open, {some}{place} {}{none}{before}.", aside(&how))
            }
            Pattern::FromMoment { at } => {
                format!("From {} into the run, {each}{}.", self.at(*at), besides("before"))
            }
            Pattern::InitialOutage { to } => {
                let none = if problem.outside == 0 { "; none after" } else { "" };
                let (until, after) = (self.at(*to), besides("after"));
                format!("Until {until} into the run, {each}{none}{after}.")
            }
            Pattern::Outage { from, to } => {
                let (from, to) = (self.at(*from), self.at(*to));
                let other = besides("at other times");
                format!("Between {from} and {to} into the run, {each}{other}.")
            }
            Pattern::Scattered => {
                format!("{}{place} {}, spread over the run.", capital(&some), aside(&how))
            }
            Pattern::Irregular => format!("{}{place} {}.", capital(&some), aside(&how)),
            Pattern::TooFew => {
                format!("{}{place} {}: too few to show a pattern.", capital(&some), aside(&how))
            }
        }
    }

    fn above(&self, problem: &Problem, open: &Range<u32>) -> String {
        match &problem.scope {
            Scope::EachTarget { open, count } => {
                format!("Above {} open at each of {count} targets", self.range(open))
            }
            Scope::EachSource { open, count } => {
                format!("Above {} open from each of {count} sources", self.range(open))
            }
            _ => format!("Above {} open", self.range(open)),
        }
    }

    /// `17`, or `19 to 21` if it is known only that well.
    fn range(&self, open: &Range<u32>) -> String {
        let (low, high) = (open.start.min(self.peak), open.end.min(self.peak));
        if low >= high { high.to_string() } else { format!("{low} to {high}") }
    }

    fn at(&self, at: Moment) -> Span {
        at.since(self.start).rounded_to_3_digits()
    }

    /// ` to 10.0.0.7:80`, or nothing.
    fn place(&self, problem: &Problem) -> String {
        let (towards, noun, count, all) = match &problem.scope {
            Scope::Targets { count, .. } => {
                ("to", "targets", *count, self.plan.routes.targets().len())
            }
            Scope::Sources { count, .. } => {
                ("from", "sources", *count, self.plan.routes.sources().len())
            }
            _ => return String::new(),
        };
        let names = names_of(self.plan, &problem.scope);
        match (&names[..], count) {
            ([], _) => String::new(),
            ([only], 1) => format!(" {towards} {only}"),
            ([first, ..], some) => format!(" {towards} {some} of {all} {noun} ({first}, ...)"),
        }
    }

    fn closed(
        &self,
        problem: &Problem,
        how: &ClosePattern,
        resets: u64,
        (first, last): (Moment, Moment),
        ages: [Span; 3],
    ) -> String {
        let share = problem.share;
        let by = by_fin_or_rst(resets, share.hits);
        let those = format!("{} of {} connections", share.hits, share.all);
        let place = self.place(problem);
        let [young, _, old] = ages.map(Span::rounded_to_3_digits);
        let closed = format!("The peer closed {those}{place} ({by})");
        let ages =
            if young == old { format!("{old} old") } else { format!("{young} to {old} old") };
        match how {
            ClosePattern::AtAge { age } => format!("{closed}, each {age} old."),
            ClosePattern::AtAgeWithSurvivors { age } => {
                format!("{closed}, each about {age} old, while others lived longer.")
            }
            ClosePattern::Simultaneous { at, newcomers, .. } => {
                let then = if *newcomers { "; later dials succeeded" } else { "" };
                format!("{closed}, all that were open, {} into the run{then}.", self.at(*at))
            }
            ClosePattern::Sweep { older_than, every } => {
                let every = every.map_or(String::new(), |every| format!(", every {every}"));
                let (first, last) = (self.at(first), self.at(last));
                let when = match first == last {
                    true => format!("{first}"),
                    false => format!("{first} to {last}"),
                };
                format!(
                    "{closed}, all older than {older_than} together{every} ({when} into the run)."
                )
            }
            ClosePattern::Together { at, kept } => {
                let at = self.at(*at);
                format!("{closed} at one moment, {at} into the run; {kept} stayed open.")
            }
            ClosePattern::AgeOrMoment { age, at } => {
                format!("{closed}, all {age} old, at one moment, {} into the run.", self.at(*at))
            }
            ClosePattern::NewestOnly { kept, is_exact: true } => {
                format!("{closed}, {ages}: all but the {kept} established first.")
            }
            ClosePattern::NewestOnly { kept, is_exact: false } => {
                format!(
                    "{closed}, {ages}, nearly all established after the {kept} that stayed open."
                )
            }
            ClosePattern::OldestFirst => {
                format!("{closed}, the oldest first, {ages}, while dials continued.")
            }
            ClosePattern::Undated => {
                let (first, last) = (self.at(first), self.at(last));
                format!(
                    "{closed}, {ages}, {first} to {last} into the run; for some of that time this \
                     host was not looking."
                )
            }
            ClosePattern::Mixed | ClosePattern::TooFew => {
                let (first, last) = (self.at(first), self.at(last));
                format!("{closed}, {ages}, {first} to {last} into the run.")
            }
        }
    }

    fn unacked(&self, problem: &Problem) -> String {
        let Symptom::KeepaliveUnacked { confirmed_before, confirmed_at, checked_at } =
            &problem.symptom
        else {
            return String::new();
        };
        let Part { all, hits } = problem.share;
        let (place, at) = (self.place(problem), self.at(*checked_at));
        let now = format!("{hits} of {all} keepalives{place} unacknowledged at {at}");
        match confirmed_at {
            Some(confirmed_at) => format!(
                "{now}, with nothing received; {confirmed_before} were confirmed at {}.",
                self.at(*confirmed_at)
            ),
            None => format!("{now}, with nothing received."),
        }
    }

    fn no_reply(&self, problem: &Problem, replied: u64, wrong: u64, late: u64) -> String {
        let timeout = self.plan.reply_check.as_ref().map_or(Span::ZERO, |talk| talk.reply_timeout);
        let mut more = vec![format!("{replied} replied")];
        if wrong > 0 {
            more.push(format!("{wrong} sent a different or partial reply"));
        }
        if late > 0 {
            more.push(format!("{late} replied late"));
        }
        let how = format!("got no reply within {timeout}");
        self.spread(problem, "connection", &how, &more.join(", "))
    }
}

/// `1 SYN retransmission`, `92 SYN retransmissions`.
fn count(count: u64, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}

fn of_those(share: Part, noun: &str) -> String {
    let Part { all, hits } = share;
    let (noun, rest) = noun.split_once(' ').map_or((noun, ""), |(noun, rest)| (noun, rest));
    let plural = if all == 1 { "" } else { "s" };
    format!("{hits} of {all} {noun}{plural} {rest}").trim_end().to_owned()
}

fn was(share: Part) -> &'static str {
    if share.hits == 1 { "was" } else { "were" }
}

fn are(share: Part) -> &'static str {
    if share.hits == 1 { "is" } else { "are" }
}

fn by_fin_or_rst(resets: u64, all: u64) -> String {
    match resets {
        0 => "FIN".into(),
        resets if resets >= all => "RST".into(),
        resets => format!("{} FIN, {resets} RST", all - resets),
    }
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|letter| letter.to_ascii_uppercase());
    first.into_iter().chain(letters).collect()
}

fn reason_text(reason: EndReason, errno: i32) -> String {
    match errno {
        0 => reason.word().to_owned(),
        errno => format!("{}, \"{}\"", reason.word(), errno_text(errno)),
    }
}

/// The system's message, without its number.
fn errno_text(errno: i32) -> String {
    let text = std::io::Error::from_raw_os_error(errno).to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

/// As a verb: "was refused", or "were refused" for several dials.
fn verb(reason: EndReason, is_one: bool) -> String {
    let was = if is_one { "was" } else { "were" };
    match reason {
        EndReason::TimedOut => "timed out".into(),
        EndReason::Refused => format!("{was} refused"),
        EndReason::Reset => format!("{was} reset"),
        EndReason::HostUnreachable | EndReason::NetworkUnreachable => {
            format!("failed: {}", reason.word())
        }
        EndReason::Prohibited => format!("{was} prohibited"),
        _ => format!("failed: {}", reason.word()),
    }
}

/// The targets or sources of a scope, as they are printed; empty for all of them.
fn names_of(plan: &Plan, scope: &Scope) -> Vec<String> {
    let routes = &plan.routes;
    match scope {
        Scope::Targets { indexes, .. } => indexes
            .iter()
            .filter_map(|index| routes.targets().get(*index as usize))
            .map(ToString::to_string)
            .collect(),
        Scope::Sources { indexes, .. } => indexes
            .iter()
            .filter_map(|index| routes.sources().get(*index as usize))
            .map(|source| source.ip().to_string())
            .collect(),
        _ => Vec::new(),
    }
}
