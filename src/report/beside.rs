//! The connections held beside a churn, in a block of two groups, and which of these pay at a limit.

use std::fmt::{self, Write};

use crate::diagnosis::beside::{churning_ends, dial_times};
use crate::diagnosis::churn::{dials, established};
use crate::diagnosis::model::{Payer, Pays};
use crate::engine::Summary;
use crate::engine::beside::{BesideStats, Phase};
use crate::engine::churn::ChurnStats;
use crate::plan::Plan;
use crate::units::{Moment, Span};

/// Held: their ends and their checks. Churning: their dials, and the times of these.
pub fn write_beside(
    out: &mut dyn Write,
    summary: &Summary,
    churn: &ChurnStats,
    plan: &Plan,
) -> fmt::Result {
    let Some(beside) = churn.beside.as_deref() else { return Ok(()) };
    let BesideStats { held, established: opened, began, .. } = *beside;
    write!(out, "Held: {opened} of {held} established, {} open at the end", beside.open())?;
    write_ends(out, &beside.before, "before the churn", None)?;
    write_ends(out, &beside.during, "during it", began)?;
    writeln!(out)?;
    // The kernel's timer sends keepalives, and dates their answers by the millisecond.
    let how = if plan.reply_check.is_some() { "" } else { " (by keepalive, within 15ms)" };
    write_checks(out, &beside.before, "before the churn", how, None)?;
    write_checks(out, &beside.during, "during the churn", how, began)?;
    let Some(began) = began else { return writeln!(out, "Churning: not begun") };
    let [failed, closed] = churning_ends(summary, beside);
    write!(
        out,
        "Churning: {} dials from {} on, {} established, {failed} failed, {closed} closed early",
        dials(summary),
        began.since(summary.start).rounded_to_3_digits(),
        established(summary)
    )?;
    if let [Some(first), Some(last), _] = dial_times(summary, began, 990) {
        let [first, last] = [first, last].map(Span::rounded_to_3_digits);
        write!(out, "; p99 dial time about {first} in the first quarter, {last} in the last")?;
    }
    writeln!(out)
}

/// The columns of [`rows`].
pub const COLUMNS: [&str; 2] = ["before the churn", "during it"];

/// Both groups as a table, with a dash for what there is none of; no rows without held connections.
pub fn rows(summary: &Summary, plan: &Plan) -> Vec<(&'static str, [String; 2])> {
    let beside = summary.churn.as_ref().and_then(|churn| churn.beside.as_deref());
    let Some(beside) = beside else { return Vec::new() };
    let phases = [&beside.before, &beside.during];
    let of = |count: fn(&Phase) -> u64| phases.map(|phase| Some(count(phase)));
    let [earlier, later] = [|count| [Some(count), None], |count| [None, Some(count)]];
    let left = beside.established.saturating_sub(beside.before.ends());
    let [failed, closed] = churning_ends(summary, beside);
    let counts: [(&str, [Option<u64>; 2]); 10] = [
        ("Held: established", earlier(beside.established.into())),
        ("Held: errors", earlier(beside.errors.into())),
        ("Held: still open", [left, beside.open()].map(|count| Some(count.into()))),
        ("Held: lost", of(|phase| phase.ends().into())),
        ("Checks answered", of(|phase| phase.answered)),
        ("Checks unanswered", of(|phase| phase.unanswered)),
        ("Churning: dials", later(dials(summary))),
        ("Churning: established", later(established(summary))),
        ("Churning: errors", later(failed)),
        ("Churning: closed early", later(closed)),
    ];
    let has = |index| index == 0 || beside.began.is_some();
    let dash = || "-".to_owned();
    let mut rows = Vec::new();
    for (name, values) in counts {
        let mut cells = [dash(), dash()];
        for (index, value) in values.into_iter().enumerate().filter(|(index, _)| has(*index)) {
            cells[index] = value.map_or_else(dash, |value| value.to_string());
        }
        rows.push((name, cells));
    }
    let names = match plan.reply_check {
        Some(_) => ["Check time p50", "Check time p99"],
        None => ["Check time p50, within 15ms", "Check time p99, within 15ms"],
    };
    for (index, name) in names.into_iter().enumerate() {
        let times = phases.map(|phase| match phase.rtt.count() {
            0 => dash(),
            _ => phase.rtt.quantile([500, 990][index]).rounded_to_3_digits().to_string(),
        });
        rows.insert(6 + index, (name, times));
    }
    rows
}

/// `, the first 2s after the churn began, the last after 3s`.
fn write_times(
    out: &mut dyn Write,
    began: Option<Moment>,
    times: [Option<Moment>; 2],
) -> fmt::Result {
    let (Some(began), [Some(first), Some(last)]) = (began, times) else { return Ok(()) };
    let [first, last] = [first, last].map(|at| at.since(began).rounded_to_3_digits());
    write!(out, ", the first {first} after the churn began, the last after {last}")
}

fn write_ends(
    out: &mut dyn Write,
    phase: &Phase,
    when: &str,
    began: Option<Moment>,
) -> fmt::Result {
    if phase.ends() == 0 {
        return Ok(());
    }
    write!(out, "; ended {when}:")?;
    let names = ["by FIN", "by RST", "half-open", "otherwise"];
    let all = phase.ended.iter().zip(names).filter(|(count, _)| **count > 0);
    for (index, (count, name)) in all.enumerate() {
        write!(out, "{} {count} {name}", if index > 0 { "," } else { "" })?;
    }
    write_times(out, began, [phase.first_end, phase.last_end])
}

fn write_checks(
    out: &mut dyn Write,
    phase: &Phase,
    when: &str,
    how: &str,
    began: Option<Moment>,
) -> fmt::Result {
    let Phase { answered, unanswered, rtt, .. } = phase;
    if answered.saturating_add(*unanswered) == 0 {
        return Ok(());
    }
    write!(out, "Checks {when}: {answered} answered, {unanswered} unanswered")?;
    write_times(out, began, [phase.first_unanswered, phase.last_unanswered])?;
    if rtt.count() > 0 {
        let [p50, p99] = [500, 990].map(|permille| rtt.quantile(permille).rounded_to_3_digits());
        write!(out, "; RTT p50/p99 = {p50}/{p99}{how}")?;
    }
    writeln!(out)
}

/// Both groups in the headline.
pub fn headline(churn: &ChurnStats, pays: Option<&Pays>) -> String {
    let mut text = pays.map_or_else(String::new, |pays| format!(" {}", pays_text(pays)));
    let Some(BesideStats { before, during, .. }) = churn.beside.as_deref() else { return text };
    let unanswered = before.unanswered.saturating_add(during.unanswered);
    if unanswered > 0 {
        let all = before.answered.saturating_add(during.answered).saturating_add(unanswered);
        let _ =
            write!(text, " {unanswered} of {all} checks of held connections were not answered.");
    }
    text
}

/// Which connections pay, with the numbers of both groups.
fn pays_text(pays: &Pays) -> String {
    let Pays { payer, failed, tried, lost, held } = *pays;
    let newcomers = format!("{failed} of {tried} dials failed or were closed early");
    let ended = format!("{lost} of {held} held connections ended");
    match payer {
        Payer::Newcomers => format!("Newcomers fail, held connections stay: {newcomers}; {ended}."),
        Payer::Held => {
            format!("Held connections are closed while newcomers get in: {ended}; {newcomers}.")
        }
        Payer::Both => format!("Newcomers and held connections fail: {newcomers}; {ended}."),
        Payer::All { times: [rtt_before, rtt, dial_before, dial] } => format!(
            "All are slower, none fails: p50 of the checks of held connections {rtt_before} before \
             the churn, {rtt} during it; of dials {dial_before} before it, {dial} at its end."
        ),
    }
}
