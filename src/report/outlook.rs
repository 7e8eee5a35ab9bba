//! A summary of the plan, printed above the confirmation prompt.

use std::fmt::{self, Write};

use super::wrap::write_wrapped;
use crate::plan::{Close, Hold, Pace, Plan};
use crate::units::Span;

/// A few sentences: connections, targets, pace, duration, hold and close.
pub fn write_outlook(out: &mut dyn Write, plan: &Plan) -> fmt::Result {
    if let Some(lifetime) = plan.lifetime {
        return write_wrapped(out, &of_churn(plan, lifetime), 0);
    }
    let mut text = match plan.connections {
        1 => "This dials 1 connection".to_owned(),
        count => format!("This dials {count} connections"),
    };
    let _ = write!(text, " to {}, {}", plan.routes, PaceText(plan.pace));
    let last = plan.pace.offset(plan.connections - 1);
    if last > Span::ZERO {
        let _ = write!(text, ": {} in all", last.rounded_to_3_digits());
    }
    if let Some(timeout) = plan.dial_timeout {
        let _ = write!(text, ", and up to {timeout} more for a dial without a reply");
    }
    text.push('.');
    if let Some(check) = plan.reply_check.as_ref().filter(|check| !check.send.is_empty()) {
        let bytes = check.send.len();
        let unit = if bytes == 1 { "byte" } else { "bytes" };
        let _ = write!(text, " {bytes} {unit} are sent on each of them.");
    }
    let how = match plan.close {
        Close::Fin => "",
        Close::Rst => " with RST",
    };
    let _ = match plan.hold {
        Hold::For(Span::ZERO) => write!(text, " Then they are closed{how}."),
        Hold::For(span) => write!(text, " Then they are held for {span}, and closed{how}."),
        Hold::Forever => write!(text, " Then they are held until a signal, and closed{how}."),
    };
    if let Some(duration) = plan.duration {
        let _ = write!(text, " It ends after {duration}, whatever is left.");
    }
    write_wrapped(out, &text, 0)
}

/// The same of a run in which slots dial again.
fn of_churn(plan: &Plan, lifetime: Span) -> String {
    let plural = if plan.connections == 1 { "" } else { "s" };
    let mut text = format!(
        "This dials {} from {} slot{plural}, {}",
        plan.routes,
        plan.connections,
        PaceText(plan.pace)
    );
    if let Some(timeout) = plan.dial_timeout {
        let _ = write!(text, "; a dial without a reply takes {timeout}");
    }
    let how = match plan.close {
        Close::Fin => "",
        Close::Rst => " with RST",
    };
    let _ = match lifetime {
        Span::ZERO => write!(text, ". Each connection is closed{how} once it is established"),
        lifetime => write!(text, ". Each connection is closed{how} after {lifetime}"),
    };
    text.push_str(", and its slot dials again, ");
    let _ = match (plan.duration, plan.errors_max) {
        (Some(duration), _) => write!(text, "for {duration}."),
        (None, Some(errors)) => write!(text, "until a signal or {errors} errors."),
        (None, None) => write!(text, "until a signal."),
    };
    text
}

/// `one every 10ms`, `1500 a second`, `as fast as possible`.
struct PaceText(Pace);

impl fmt::Display for PaceText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Pace { span, dials } = self.0;
        match dials {
            0 => f.write_str("as fast as possible"),
            1 => write!(f, "one every {span}"),
            // A rate is dials in 1000 s.
            milli => match (milli / 1000, milli % 1000) {
                (whole, 0) => write!(f, "{whole} a second"),
                (whole, part) => {
                    let part = format!("{part:03}");
                    write!(f, "{whole}.{} a second", part.trim_end_matches('0'))
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::ReplyCheck;
    use crate::route::{Routes, Target};

    fn outlook(plan: &Plan) -> String {
        let mut text = String::new();
        write_outlook(&mut text, plan).unwrap();
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        text.replace('\n', " ").trim_end().to_owned()
    }

    #[test]
    fn it_names_targets_pace_time_and_hold() {
        let target = |n| Target { host: "h".into(), address: ([10, 0, 0, n], 80).into() };
        let plain = Plan::plain(100, Routes::to_one(target(1)));
        let plan = Plan {
            pace: Pace::sleep(Span::from_ms(10)),
            dial_timeout: Some(Span::from_s(5)),
            ..plain.clone()
        };
        assert_eq!(
            outlook(&plan),
            "This dials 100 connections to h(10.0.0.1):80, one every 10ms: 990ms in all, and up \
             to 5s more for a dial without a reply. Then they are closed."
        );
        let routes = Routes::new((1..=4).map(target).collect(), &[]).unwrap();
        let plan = Plan {
            pace: Pace::rate(1_500_000),
            hold: Hold::For(Span::from_s(60)),
            close: Close::Rst,
            ..Plan::plain(30_000, routes)
        };
        assert_eq!(
            outlook(&plan),
            "This dials 30000 connections to 4 targets, 1500 a second: 20s in all. Then they are \
             held for 1m0s, and closed with RST."
        );
        let check = ReplyCheck {
            send: b"GET".as_slice().into(),
            expect: b"".as_slice().into(),
            reply_timeout: Span::from_s(1),
        };
        let plan =
            Plan { connections: 1, hold: Hold::Forever, reply_check: Some(check), ..plain.clone() };
        assert_eq!(
            outlook(&plan),
            "This dials 1 connection to h(10.0.0.1):80, as fast as possible. 3 bytes are sent on \
             each of them. Then they are held until a signal, and closed."
        );
        let plan = Plan { pace: Pace::rate(2_050), ..plain.clone() };
        assert!(outlook(&plan).contains(", 2.05 a second: 48.3s in all."), "{}", outlook(&plan));
        let plan = Plan {
            pace: Pace::sleep(Span::from_ms(10)),
            dial_timeout: Some(Span::from_s(5)),
            lifetime: Some(Span::ZERO),
            close: Close::Rst,
            ..plain
        };
        assert_eq!(
            outlook(&plan),
            "This dials h(10.0.0.1):80 from 100 slots, one every 10ms; a dial without a reply takes \
             5s. Each connection is closed with RST once it is established, and its slot dials again, \
             until a signal."
        );
    }
}
