//! The diagnosis: what was reached, each problem with its pattern, scope and candidates, and the
//! verdict as printed.

use std::net::SocketAddr;
use std::ops::Range;

use super::fields::{boolean, moment, number, number_or_null, span, text};
use super::{facts, names};
use crate::diagnosis::model::{
    Candidate, ClosePattern, Diagnosis, EndedEarly, Problem, Reach, Reached, Scope, Symptom,
};
use crate::diagnosis::pattern::Pattern;
use crate::engine::EndReason;
use crate::json::Json;
use crate::report::Report;
use crate::report::checks::filled;
use crate::report::sentences::Sentences;
use crate::report::verdict::{fix_text, side_of, write_verdict};
use crate::route::Target;
use crate::units::Moment;

pub fn write(json: &mut Json, report: &Report<'_>, diagnosis: &Diagnosis) {
    let mut rendered = String::new();
    // Writing to a string cannot fail.
    let _ = write_verdict(&mut rendered, &report.case(), diagnosis);
    json.key("diagnosis").object(|json| {
        text(json, "verdict", names::verdict_word(diagnosis.word));
        number(json, "exit_code", diagnosis.exit_code);
        json.key("reached").object(|json| write_reached(json, &diagnosis.reached));
        let payer = diagnosis.pays.map(|pays| names::payer(&pays.payer));
        json.key("pays").string_or_null(payer);
        json.key("ended_early").optional(diagnosis.ended_early.as_ref(), |json, early| {
            json.object(|json| write_ended_early(json, early));
        });
        let writer = Problems { report };
        json.key("problems").array(|json| writer.write_all(json, &diagnosis.problems));
        text(json, "text", &rendered);
    });
}

fn write_reached(json: &mut Json, reached: &Reached) {
    number(json, "sustained_count", reached.sustained);
    number(json, "peak_count", reached.peak);
    number(json, "established_ever_count", reached.established_ever);
    number_or_null(json, "replied_count", reached.replied);
    text(json, "reach", names::reach(&reached.reach));
    let (confirmed, checked) = match reached.reach {
        Reach::Kernel { confirmed, checked } => (Some(confirmed), Some(checked)),
        Reach::Handshake | Reach::Application => (None, None),
    };
    number_or_null(json, "confirmed_count", confirmed);
    number_or_null(json, "checked_count", checked);
    span(json, "dialed_in_ns", reached.dialed_in);
}

fn write_ended_early(json: &mut Json, early: &EndedEarly) {
    let by = match (early.by_signal, early.by_duration) {
        (true, _) => "signal",
        (_, true) => "duration",
        _ => "max-errors",
    };
    text(json, "by", by);
    number(json, "not_dialed_count", early.not_dialed);
    number(json, "dialing_count", early.dialing);
    number(json, "replies_pending_count", early.replies_pending);
    number(json, "checks_pending_count", early.checks_pending);
}

struct Problems<'a> {
    report: &'a Report<'a>,
}

impl Problems<'_> {
    fn start(&self) -> Moment {
        self.report.summary.start
    }

    fn write_all(&self, json: &mut Json, problems: &[Problem]) {
        problems.iter().for_each(|problem| json.object(|json| self.write(json, problem)));
    }

    fn write(&self, json: &mut Json, problem: &Problem) {
        let Report { plan, summary, .. } = *self.report;
        let sentences = Sentences { plan, start: summary.start, peak: summary.established_peak };
        text(json, "symptom", names::symptom(&problem.symptom));
        text(json, "text", &sentences.sentence(problem));
        json.key("share").object(|json| {
            number(json, "hits_count", problem.share.hits);
            number(json, "of_count", problem.share.all);
            number(json, "outside_count", problem.outside);
        });
        json.key("details").object(|json| self.write_details(json, &problem.symptom));
        json.key("pattern").object(|json| self.write_pattern(json, &problem.pattern));
        json.key("scope").object(|json| self.write_scope(json, &problem.scope));
        json.key("candidates").array(|json| {
            let all = problem.candidates.iter();
            all.for_each(|one| json.object(|json| self.write_candidate(json, problem, one)));
        });
        json.key("explains").array(|json| self.write_all(json, &problem.explains));
    }

    fn write_details(&self, json: &mut Json, symptom: &Symptom) {
        let start = self.start();
        match symptom {
            Symptom::LocalFailure { reason, errno } => write_errno(json, Some(*reason), *errno),
            Symptom::DialsFailed { reasons, pending, slow, retransmits } => {
                json.key("end_reasons").array(|json| {
                    for (reason, count) in reasons {
                        json.object(|json| {
                            text(json, "reason", names::reason(*reason));
                            number(json, "connections_count", *count);
                        });
                    }
                });
                number(json, "pending_count", *pending);
                number(json, "slow_count", *slow);
                number(json, "repeats_count", *retransmits);
            }
            Symptom::DialsSlow { retransmits } => number(json, "repeats_count", *retransmits),
            Symptom::ClosedOnAccept { resets, within } => {
                number(json, "resets_count", *resets);
                span(json, "within_ns", *within);
            }
            Symptom::Closed { how, resets, first, last, ages } => {
                self.write_closes(json, how);
                number(json, "resets_count", *resets);
                moment(json, "first_ns", start, Some(*first));
                moment(json, "last_ns", start, Some(*last));
                let keys = ["age_least_ns", "age_p50_ns", "age_greatest_ns"];
                keys.iter().zip(ages).for_each(|(key, age)| span(json, key, *age));
            }
            Symptom::Lost { errno } => write_errno(json, None, *errno),
            Symptom::KilledHere | Symptom::HalfOpen | Symptom::SynAckRepeated => {}
            Symptom::KeepaliveUnacked { confirmed_before, confirmed_at, checked_at } => {
                number(json, "confirmed_before_count", *confirmed_before);
                moment(json, "confirmed_at_ns", start, *confirmed_at);
                moment(json, "checked_at_ns", start, Some(*checked_at));
            }
            Symptom::NoReply { replied, wrong, late } => {
                number(json, "replied_count", *replied);
                number(json, "wrong_count", *wrong);
                number(json, "late_count", *late);
            }
        }
    }

    fn write_closes(&self, json: &mut Json, how: &ClosePattern) {
        let start = self.start();
        text(json, "close_pattern", names::close_pattern(how));
        match how {
            ClosePattern::AtAge { age } | ClosePattern::AtAgeWithSurvivors { age } => {
                span(json, "age_ns", *age);
            }
            ClosePattern::Simultaneous { at, of, newcomers } => {
                moment(json, "at_ns", start, Some(*at));
                number(json, "of_count", *of);
                boolean(json, "newcomers", *newcomers);
            }
            ClosePattern::Sweep { older_than, every } => {
                span(json, "older_than_ns", *older_than);
                number_or_null(json, "every_ns", every.map(|every| every.0));
            }
            ClosePattern::Together { at, kept } => {
                moment(json, "at_ns", start, Some(*at));
                number(json, "kept_count", *kept);
            }
            ClosePattern::AgeOrMoment { age, at } => {
                span(json, "age_ns", *age);
                moment(json, "at_ns", start, Some(*at));
            }
            ClosePattern::NewestOnly { kept, .. } => number(json, "kept_count", *kept),
            ClosePattern::OldestFirst
            | ClosePattern::Undated
            | ClosePattern::Mixed
            | ClosePattern::TooFew => {}
        }
    }

    fn write_pattern(&self, json: &mut Json, pattern: &Pattern) {
        let start = self.start();
        text(json, "pattern", names::pattern(pattern));
        match pattern {
            Pattern::AboveCount { open } | Pattern::PartlyAboveCount { open } => {
                write_open(json, open);
            }
            Pattern::FromMoment { at } => moment(json, "from_ns", start, Some(*at)),
            Pattern::InitialOutage { to } => moment(json, "to_ns", start, Some(*to)),
            Pattern::Outage { from, to } => {
                moment(json, "from_ns", start, Some(*from));
                moment(json, "to_ns", start, Some(*to));
            }
            Pattern::All
            | Pattern::NearlyAll
            | Pattern::Scattered
            | Pattern::Irregular
            | Pattern::TooFew => {}
        }
    }

    fn write_scope(&self, json: &mut Json, scope: &Scope) {
        let routes = &self.report.plan.routes;
        text(json, "scope", names::scope(scope));
        match scope {
            Scope::Everywhere => {}
            Scope::Targets { indexes, count } => {
                let name = |index: &u32| routes.targets().get(*index as usize);
                write_places(json, *count, indexes.iter().filter_map(name).map(Target::to_string));
            }
            Scope::Sources { indexes, count } => {
                let name = |index: &u32| routes.sources().get(*index as usize);
                let ip = |source: &SocketAddr| source.ip().to_string();
                write_places(json, *count, indexes.iter().filter_map(name).map(ip));
            }
            Scope::EachTarget { open, count } | Scope::EachSource { open, count } => {
                write_open(json, open);
                number(json, "places_count", *count);
            }
        }
    }

    fn write_candidate(&self, json: &mut Json, problem: &Problem, candidate: &Candidate) {
        let (record, case) = (candidate.cause.record(), self.report.case());
        text(json, "cause", record.id);
        text(json, "side", names::side(side_of(problem, candidate)));
        text(json, "title", record.title);
        text(json, "likelihood", names::likelihood(candidate.likelihood));
        json.key("evidence").array(|json| {
            let all = candidate.evidence.iter();
            all.for_each(|one| json.object(|json| facts::write(json, one)));
        });
        json.key("checks").array(|json| {
            for check in record.checks {
                let Some(command) = filled(&case, problem, check) else { continue };
                json.object(|json| {
                    text(json, "place", names::place(check.on));
                    text(json, "command", &command);
                    text(json, "reading", check.reading);
                });
            }
        });
        text(json, "fix", &fix_text(&case, candidate));
    }
}

fn write_errno(json: &mut Json, reason: Option<EndReason>, errno: i32) {
    if let Some(reason) = reason {
        text(json, "reason", names::reason(reason));
    }
    json.key("errno").string_or_null(super::errno::name(errno));
}

fn write_open(json: &mut Json, open: &Range<u32>) {
    number(json, "open_from_count", open.start);
    number(json, "open_to_count", open.end);
}

fn write_places(json: &mut Json, count: u32, names: impl Iterator<Item = String>) {
    number(json, "places_count", count);
    json.key("places").array(|json| names.for_each(|name| json.string(&name)));
}
