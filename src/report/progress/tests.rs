use super::*;
use crate::engine::Sample;
use crate::engine::histogram::Histogram;
use crate::route::{Routes, Target};

fn plan(connections: u32) -> Plan {
    let address = ([127, 0, 0, 1], 80).into();
    Plan::plain(connections, Routes::to_one(Target { host: "127.0.0.1".into(), address }))
}

/// A run after these milliseconds: what was dialed, what is established, and the ends by reason.
fn progress<'a>(
    times: &'a Histogram,
    connections: u32,
    after_ms: u64,
    [dialed, open]: [u32; 2],
    ends: &[(EndReason, u64)],
) -> Progress<'a> {
    let mut flow = [0; EndReason::COUNT];
    ends.iter().for_each(|(reason, count)| flow[*reason as usize] += count);
    let ended = |state| -> u64 {
        let found = ends.iter().filter(|(reason, _)| reason.ends_in() == state);
        found.map(|(_, count)| count).sum()
    };
    let (errors, closed) = (ended(State::Error), ended(State::Closed));
    let [closed_now, errors_now] = [closed, errors].map(|count| u32::try_from(count).unwrap());
    let dialing = dialed - open - closed_now - errors_now;
    let levels = [connections - dialed, dialing, open, closed_now, errors_now];
    let sample = Sample { after: Span::from_ms(after_ms), connections, levels };
    let established = u64::from(open) + closed;
    let dialed = dialed.into();
    let (held, dial_times) = (None, times);
    let closed_by_us = None;
    Progress {
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
    }
}

/// Dials at 1,000 a second for 4 s, redrawn as the driver does it.
fn dialing(ends: &[(EndReason, u64)], columns: usize) -> String {
    let plan = Plan { pace: Pace::rate(1_000_000), ..plan(10_000) };
    let (mut line, times) = (LiveLine::new(&plan, false), Histogram::new());
    let ended: u64 = ends.iter().map(|(_, count)| count).sum();
    let mut text = String::new();
    for at in 0..=40u32 {
        let dialed = at * 100;
        let open = dialed.saturating_sub(u32::try_from(ended).unwrap());
        let ends = if at == 40 { ends } else { &[] };
        let open = if at == 40 { open } else { dialed };
        text =
            line.text(&progress(&times, 10_000, (at * 100).into(), [dialed, open], ends), columns);
    }
    text
}

#[test]
fn where_slots_dial_again_it_shows_how_much_of_the_duration_is_over() {
    let churn = |duration| Plan { lifetime: Some(Span::ZERO), duration, ..plan(100) };
    let times = Histogram::new();
    let shown = |plan: &Plan, held| {
        let mut line = LiveLine::new(plan, false);
        let mut text = String::new();
        for ms in [3_000, 3_500] {
            let mut now = progress(&times, 100, ms, [20, 20], &[]);
            (now.dialed, now.closed_by_us, now.held) = (9 * ms, Some(9 * ms - 20), held);
            text = line.text(&now, 120);
        }
        text
    };
    let line = shown(&churn(Some(Span::from_s(7))), None);
    let numbers = "31,500 dialed  20 established  3/7 s  0 errors  9,000/s";
    assert_eq!(line, format!("[##########-----------]  {numbers}"));
    let line = shown(&churn(None), None);
    assert_eq!(line, numbers.replace("3/7 s  ", ""));
    let line = shown(&churn(Some(Span::from_s(7))), Some(Span::ZERO));
    assert!(!line.contains("holding"), "{line}");
}

#[test]
fn the_line_shows_how_far_it_is_at_every_width() {
    assert_eq!(
        dialing(&[], 200),
        "[############------------------]   4,000 of 10,000 dialed   4,000 established  0 errors  \
         1,000/s  6 s left"
    );
    assert_eq!(
        dialing(&[], 80),
        "[#####--------]   4,000/10,000   4,000 est  0 err  1,000/s  6 s left"
    );
    assert_eq!(dialing(&[], 40), " 4,000/10,000   4,000 est  0 err");
    assert_eq!(dialing(&[], 15), " 4,000/10,000");
    assert_eq!(dialing(&[], 1), "");
}

#[test]
fn no_line_is_wider_than_its_terminal_less_one() {
    use EndReason::{NoDescriptors, PeerReset, Refused, TimedOut};
    let ends = [(Refused, 1_000), (TimedOut, 500), (NoDescriptors, 20), (PeerReset, 1_200)];
    for columns in 0..220 {
        for ends in [&ends[..], &ends[..1], &[]] {
            let text = dialing(ends, columns);
            assert!(text.chars().count() < columns.max(1), "{columns}: {text}");
            assert!(columns < 40 || text.chars().count() + 24 > columns.min(80), "{text}");
        }
    }
}

#[test]
fn the_most_frequent_failure_is_named() {
    use EndReason::{PeerReset, Refused, TimedOut};
    let text = dialing(&[(Refused, 1_000), (TimedOut, 1_500), (PeerReset, 20)], 200);
    assert!(text.contains("  2,500 errors  20 reset by the peer  "), "{text}");
    assert!(text.ends_with("  most: 1,500 timed out") || text.contains("most: 1,500"), "{text}");
    let text = dialing(&[(Refused, 7), (TimedOut, 5)], 100);
    assert!(text.contains("  12 err  "), "{text}");
    // One reason alone takes the place of the count.
    let text = dialing(&[(Refused, 1_000)], 80);
    assert!(text.contains("  1,000 refused  ") && !text.contains("err"), "{text}");
    let text = dialing(&[(Refused, 4_000)], 80);
    assert!(text.contains("  4,000 of 4,000 refused  "), "{text}");
}

#[test]
fn a_hold_shows_its_time() {
    let times = Histogram::new();
    for (hold, held_ms, starts, words) in [
        (Hold::For(Span::from_s(60)), 23_900, "[#####----", "holding 2,000  23/60 s"),
        (Hold::For(Span::from_ms(2_500)), 2_600, "[#############]", "holding 2,000  2/2.5 s"),
        (Hold::For(Span::from_s(7200)), 3_600_000, "[####", "holding 2,000  1h0m0s/2h0m0s"),
        (Hold::Forever, 5_000, "holding", "holding 2,000  5 s"),
        (Hold::Forever, 65_000, "holding", "holding 2,000  1m5s"),
    ] {
        let mut line = LiveLine::new(&Plan { hold, ..plan(2_010) }, false);
        let ends = [(EndReason::PeerClosed, 10)];
        let mut progress = progress(&times, 2_010, 9_000, [2_010, 2_000], &ends);
        progress.held = Some(Span::from_ms(held_ms));
        let text = line.text(&progress, 80);
        assert!(text.starts_with(starts) && text.contains(words), "{text}");
        assert!(text.ends_with("  0 err  10 closed"), "{text}");
    }
}

#[test]
fn what_is_pending_is_shown_once_all_are_dialed() {
    let (mut line, times) = (LiveLine::new(&plan(100), false), Histogram::new());
    let text = line.text(&progress(&times, 100, 900, [100, 60], &[]), 80);
    assert!(text.ends_with("  100/100   60 est  0 err  40 dialing"), "{text}");
    // Nothing is pending once they are decided.
    let mut decided = progress(&times, 100, 950, [100, 100], &[]);
    decided.held = Some(Span::ZERO);
    let text = line.text(&decided, 80);
    assert!(text.ends_with("  100/100  100 est  0 err"), "{text}");
}

#[test]
fn the_rate_is_that_of_the_last_second_or_of_the_last_five_dials() {
    // As fast as it goes: 5,000 a second at first, and 100 then.
    let (mut line, times) = (LiveLine::new(&plan(10_000), false), Histogram::new());
    let mut text = String::new();
    for at in 0..=40u32 {
        let dialed = if at <= 10 { 500 * at } else { 5_000 + 10 * (at - 10) };
        let so_far = progress(&times, 10_000, (at * 100).into(), [dialed, dialed], &[]);
        text = line.text(&so_far, 120);
        assert_eq!(text.contains("/s"), at > 0, "{text}");
    }
    assert!(text.ends_with("  100/s  47 s left"), "{text}");
    // One dial every 700 ms: in any one second there are 1 or 2.
    let plan = Plan { pace: Pace::sleep(Span::from_ms(700)), ..plan(1_000) };
    let mut line = LiveLine::new(&plan, false);
    for at in 0..=70u32 {
        let dialed = at / 7 + 1;
        text = line.text(&progress(&times, 1_000, (at * 100).into(), [dialed; 2], &[]), 120);
    }
    assert!(text.ends_with("  2/s  11m33s left"), "{text}");
}

#[test]
fn errors_are_red_where_there_are_colours_and_take_no_room() {
    let times = Histogram::new();
    let ends = [(EndReason::Refused, 10)];
    let so_far = progress(&times, 100, 900, [100, 90], &ends);
    let [plain, coloured] =
        [false, true].map(|is_coloured| LiveLine::new(&plan(100), is_coloured).text(&so_far, 60));
    assert!(coloured.contains("\x1b[31m10 refused\x1b[0m"), "{coloured}");
    assert_eq!(coloured.replace(RED, "").replace(PLAIN, ""), plain);
}
