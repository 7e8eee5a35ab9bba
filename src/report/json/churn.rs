//! The numbers of a run that churns, and of the connections held beside it.

use super::codec::Codec;
use super::times::histogram;
use crate::engine::Summary;
use crate::engine::beside::{BesideStats, Phase};
use crate::engine::churn::ChurnStats;

pub fn fields(codec: &mut Codec<'_>, summary: &mut Summary) {
    codec.optional("churn", &mut summary.churn, churn);
}

/// Its histogram is `times.dial_from_due`.
fn churn(codec: &mut Codec<'_>, churn: &mut ChurnStats) {
    codec.number("closed_by_us_count", &mut churn.closed_by_us);
    codec.number("dialing_ns", &mut churn.dialing);
    codec.number("dials_due_count", &mut churn.dials_due);
    let fields = ["late_no_slot_count", "late_no_port_count", "late_this_host_count"];
    fields.into_iter().zip(&mut churn.late).for_each(|(field, count)| codec.number(field, count));
    codec.number("interval_ns", &mut churn.interval);
    codec.number("intervals_count", &mut churn.intervals);
    codec.number("established_min_count", &mut churn.established_min);
    codec.number("established_max_count", &mut churn.established_max);
    codec.optional("beside", &mut churn.beside, beside);
}

/// The connections held beside it.
fn beside(codec: &mut Codec<'_>, beside: &mut Box<BesideStats>) {
    codec.number("held_count", &mut beside.held);
    codec.number("established_count", &mut beside.established);
    codec.number("errors_count", &mut beside.errors);
    codec.moment_or_null("churn_began_ns", &mut beside.began);
    codec.object("before", &mut |codec| phase(codec, &mut beside.before));
    codec.object("during", &mut |codec| phase(codec, &mut beside.during));
    let dials = beside.established.saturating_add(beside.errors);
    let ends = beside.before.ends().saturating_add(beside.during.ends());
    let adds_up = dials <= beside.held && ends <= beside.established;
    codec.check("held_count", adds_up, "less than were established, or ended");
}

fn phase(codec: &mut Codec<'_>, phase: &mut Phase) {
    let fields = ["fin_count", "rst_count", "half_open_count", "otherwise_count"];
    fields.into_iter().zip(&mut phase.ended).for_each(|(field, count)| codec.number(field, count));
    codec.moment_or_null("first_end_ns", &mut phase.first_end);
    codec.moment_or_null("last_end_ns", &mut phase.last_end);
    codec.number("answered_count", &mut phase.answered);
    codec.number("unanswered_count", &mut phase.unanswered);
    codec.moment_or_null("first_unanswered_ns", &mut phase.first_unanswered);
    codec.moment_or_null("last_unanswered_ns", &mut phase.last_unanswered);
    histogram(codec, "rtt", &mut phase.rtt);
}
