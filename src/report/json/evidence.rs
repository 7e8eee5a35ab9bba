//! The evidence of a run: checks, ICMP errors, kernel counters of this host, and last lines of the
//! server.

use std::net::{IpAddr, Ipv4Addr};

use super::codec::Codec;
use super::run::read_ip;
use super::totals::failures;
use crate::ask::{
    answer::{AnswerTally, Count, Meaning, label},
    of_label,
};
use crate::counters::Counters;
use crate::engine::failure_times::Failures;
use crate::engine::{CheckStats, Round, RoundStats, Summary};
use crate::escape::{Escaped, unescaped};
use crate::icmp::{DISTINCT_MAX, IcmpCount, IcmpError, IcmpTally};
use crate::last_lines::LastLine;
use crate::units::Moment;

/// More than there are.
const ENTRIES_MAX: usize = 1_000;

pub fn checks(codec: &mut Codec<'_>, summary: &mut Summary) {
    codec.object("checks", &mut |codec| {
        replies(codec, summary);
        let checks: &mut CheckStats = &mut summary.checks;
        for (field, count) in [
            ("unacknowledged_count", &mut checks.unacknowledged),
            ("repeats_syn_ack_count", &mut checks.repeats_syn_ack),
            ("suspects_count", &mut checks.suspects),
            ("suspects_half_open_count", &mut checks.suspects_half_open),
            ("suspects_unacknowledged_count", &mut checks.suspects_unacknowledged),
        ] {
            codec.number(field, count);
        }
        codec.number("checks_pending_count", &mut summary.probes_pending);
        codec.number("watch_rounds_count", &mut checks.watch_rounds);
        codec.object("keepalives", &mut |codec| {
            for (field, kind) in
                [("first", Round::First), ("watch", Round::Watch), ("last", Round::Last)]
            {
                codec.object(field, &mut |codec| round(codec, &mut checks.rounds[kind as usize]));
            }
        });
    });
}

fn replies(codec: &mut Codec<'_>, summary: &mut Summary) {
    let checks = &mut summary.checks;
    for (field, count) in [
        ("replied_count", &mut checks.replied),
        ("replied_late_read_count", &mut checks.replied_late_read),
        ("no_reply_count", &mut checks.no_reply),
        ("wrong_reply_count", &mut checks.wrong_reply),
        ("late_reply_count", &mut checks.late_reply),
        ("closed_before_reply_count", &mut checks.closed_before_reply),
    ] {
        codec.number(field, count);
    }
    codec.number("replies_pending_count", &mut summary.replies_pending);
    answers(codec, &mut summary.answers);
    codec.optional("no_reply", &mut summary.no_reply, failures);
    let count = summary.checks.no_reply;
    summary.no_reply = summary.no_reply.map(|no_reply| Failures { count, ..no_reply });
}

fn answers(codec: &mut Codec<'_>, answers: &mut AnswerTally) {
    let mut counts = answers.counts().to_vec();
    let none = || Count { meaning: Meaning::Plain, number: 0, connections: 0 };
    codec.list("answers", &mut counts, ENTRIES_MAX, none, &mut |codec, count| {
        if let Some(json) = codec.writing() {
            json.key("kind").string(count.meaning.id());
        }
        let mut kind = (count.meaning, count.number);
        let write = |(meaning, number): &(Meaning, u8)| label(*meaning, *number);
        codec.as_text("label", &mut kind, write, of_label, "an answer of --ask");
        (count.meaning, count.number) = kind;
        codec.number("connections_count", &mut count.connections);
    });
    if codec.is_reading() {
        *answers = AnswerTally::of(counts);
    }
}

fn round(codec: &mut Codec<'_>, round: &mut RoundStats) {
    for (field, count) in [
        ("sent_count", &mut round.sent),
        ("not_sent_count", &mut round.not_sent),
        ("unneeded_count", &mut round.unneeded),
        ("confirmed_count", &mut round.confirmed),
        ("repeats_syn_ack_count", &mut round.repeats_syn_ack),
        ("other_traffic_count", &mut round.other_traffic),
        ("unacknowledged_count", &mut round.unacknowledged),
        ("unknown_count", &mut round.unknown),
        ("half_open_count", &mut round.half_open),
        ("closed_count", &mut round.closed),
        ("pending_count", &mut round.pending),
    ] {
        codec.number(field, count);
    }
    codec.moment_or_null("first_ns", &mut round.first_at);
    codec.moment_or_null("last_ns", &mut round.last_at);
    codec.moment_or_null("last_confirmed_ns", &mut round.last_confirmed_at);
}

/// What this host counted beside the run.
pub fn host(
    codec: &mut Codec<'_>,
    icmp: &mut IcmpTally,
    counters: &mut Counters,
    last_lines: &mut Vec<LastLine>,
) {
    codec.object("icmp", &mut |codec| {
        let mut counts = icmp.counts().to_vec();
        codec.list("errors", &mut counts, DISTINCT_MAX, no_error, &mut icmp_count);
        let mut others = icmp.others();
        codec.number("others_count", &mut others);
        if codec.is_reading() {
            *icmp = IcmpTally::of(counts, others);
        }
    });
    let mut named = counters.named().map(|(name, count)| (name.to_owned(), count)).to_vec();
    let none = || (String::new(), None);
    codec.list("kernel_counters", &mut named, ENTRIES_MAX, none, &mut |codec, (name, count)| {
        codec.text("name", name);
        codec.number_or_null("events_count", count);
    });
    // One that this version does not know is left out.
    for (name, counter) in counters.fields().into_iter().filter(|_| codec.is_reading()) {
        *counter = named.iter().find(|(other, _)| other == name).and_then(|(_, count)| *count);
    }
    let lines = LastLine::default;
    codec.list("last_lines", last_lines, ENTRIES_MAX, lines, &mut |codec, line| {
        let write = |bytes: &Vec<u8>| Escaped(bytes).to_string();
        codec.as_text("line", &mut line.line, write, unescaped, "a text with escapes");
        codec.number("connections_count", &mut line.connections);
    });
}

fn no_error() -> IcmpCount {
    let offender = Ipv4Addr::UNSPECIFIED.into();
    let (first, last) = (Moment(0), Moment(0));
    let error = IcmpError { is_v6: false, kind: 0, code: 0, offender };
    IcmpCount { error, is_local: None, dials: 0, first, last }
}

fn icmp_count(codec: &mut Codec<'_>, count: &mut IcmpCount) {
    let error = &mut count.error;
    let name = |is_v6| if is_v6 { "icmpv6" } else { "icmp" };
    codec.choice("protocol", &mut error.is_v6, &[false, true], name);
    codec.number("type_number", &mut error.kind);
    codec.number("icmp_code", &mut error.code);
    let accepted = "an IP address";
    codec.as_text("from", &mut error.offender, IpAddr::to_string, read_ip, accepted);
    codec.flag_or_null("is_this_host", &mut count.is_local);
    codec.number("dials_count", &mut count.dials);
    codec.moment("first_ns", &mut count.first);
    codec.moment("last_ns", &mut count.last);
}
