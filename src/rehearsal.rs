//! A rehearsal: a run against a simulated network, and the scenarios that can be chosen. What each
//! of them consists of is in `sim/rehearsal.rs`.

use std::fmt;

use crate::units::{Span, TIME_ACCEPTED, parse_count, parse_rate_milli, parse_span};

/// The scenarios, in the order of [`SCENARIOS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Ok,
    Rtt,
    Loss,
    Refuse,
    RefuseAfter,
    Reject,
    Blackhole,
    DropAfter,
    RateLimit,
    Outage,
    Expire,
    Backlog,
    Limit,
    Evict,
    IdleClose,
    Restart,
    Silent,
    Busy,
}

/// The value behind the name of a scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value {
    None,
    Count,
    Time,
    /// In thousandths.
    Percent,
}

impl Value {
    /// The letter that stands for it in the list.
    fn letter(self) -> &'static str {
        ["", ":N", ":T", ":P"][self as usize]
    }

    fn parse(self, text: &str) -> Result<u64, &'static str> {
        let (value, most, accepted) = match self {
            Value::None => (Some(0), 0, ""),
            Value::Count => (parse_count(text), COUNT_MAX, "1 to 64m, also as 1.5k"),
            Value::Time => {
                (parse_span(text, Span::from_s(1)).map(|span| span.0), u64::MAX, TIME_ACCEPTED)
            }
            Value::Percent => {
                let permille =
                    parse_rate_milli(text.trim_end_matches('%')).map(|milli| milli / 100);
                (permille, 1000, "0.1 to 100 percent")
            }
        };
        let is_fit = |value: &u64| self == Value::None || (1..=most).contains(value);
        value.filter(is_fit).ok_or(accepted)
    }
}

/// As of `--connections`.
const COUNT_MAX: u64 = 64_000_000;

/// One scenario.
#[derive(Debug, Clone, Copy)]
pub struct Scenario {
    pub kind: Kind,
    pub name: &'static str,
    pub value: Value,
    pub help: &'static str,
}

const fn scenario(kind: Kind, name: &'static str, value: Value, help: &'static str) -> Scenario {
    Scenario { kind, name, value, help }
}

/// All scenarios.
pub const SCENARIOS: [Scenario; 18] = [
    scenario(Kind::Ok, "ok", Value::None, "every connection is established and stays open"),
    scenario(Kind::Rtt, "rtt", Value::Time, "as ok, with a round trip of T"),
    scenario(Kind::Loss, "loss", Value::Percent, "P percent of the packets are lost, either way"),
    scenario(Kind::Refuse, "refuse", Value::None, "nothing listens on the port"),
    scenario(Kind::RefuseAfter, "refuse-after", Value::Count, "a device resets dials above N open"),
    scenario(Kind::Reject, "reject", Value::None, "a firewall rejects each dial by ICMP"),
    scenario(Kind::Blackhole, "blackhole", Value::None, "a firewall drops each dial"),
    scenario(Kind::DropAfter, "drop-after", Value::Count, "a device drops dials above N open"),
    scenario(Kind::RateLimit, "rate-limit", Value::Count, "a device drops dials above N a second"),
    scenario(Kind::Outage, "outage", Value::Time, "the path fails after T, for good"),
    scenario(
        Kind::Expire,
        "expire",
        Value::Time,
        "a device ends its state of what was idle for T, and resets",
    ),
    scenario(Kind::Backlog, "backlog", Value::Count, "the server accepts none; its backlog is N"),
    scenario(Kind::Limit, "limit", Value::Count, "the server closes what is above N open"),
    scenario(Kind::Evict, "evict", Value::Count, "above N open the server closes the oldest"),
    scenario(Kind::IdleClose, "idle-close", Value::Time, "the server closes what was idle for T"),
    scenario(Kind::Restart, "restart", Value::Time, "the server's process restarts after T"),
    scenario(Kind::Silent, "silent", Value::None, "with --expect: the server never replies"),
    scenario(Kind::Busy, "busy", Value::Time, "with --expect: each reply takes T, one at a time"),
];

/// If none is typed.
const SEED_DEFAULT: u32 = 1;

/// What a run is rehearsed against.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rehearsal {
    pub kind: Kind,
    /// A count, nanoseconds, or thousandths.
    pub value: u64,
    /// Name and value as they were typed.
    pub scenario: String,
    pub seed: u32,
}

impl Rehearsal {
    /// Parses `NAME[:VALUE][:SEED]`: a value where the scenario has one, and only there.
    ///
    /// # Errors
    /// What is accepted.
    pub fn parse(text: &str) -> Result<Rehearsal, String> {
        let mut parts = text.split(':');
        let name = parts.next().unwrap_or_default();
        let Some(known) = SCENARIOS.iter().find(|known| known.name == name) else {
            let names = SCENARIOS.map(|known| format!("{}{}", known.name, known.value.letter()));
            return Err(format!(
                "no such scenario (see --rehearse list); accepted are {}",
                names.join(" ")
            ));
        };
        let mut scenario = name.to_owned();
        let mut value = 0;
        if known.value != Value::None {
            let typed = parts.next().unwrap_or_default();
            value = known.value.parse(typed).map_err(|accepted| {
                format!("{name}{} is accepted: {accepted}", known.value.letter())
            })?;
            scenario = format!("{name}:{typed}");
        }
        let is_number = |text: &&str| text.bytes().all(|byte| byte.is_ascii_digit());
        let seed = match (parts.next(), parts.next()) {
            (None, _) => Some(SEED_DEFAULT),
            (Some(seed), None) => Some(seed).filter(is_number).and_then(|seed| seed.parse().ok()),
            _ => None,
        };
        let seed = seed.ok_or_else(|| {
            format!(
                "behind {name}{} only a seed is accepted, 0 to {}",
                known.value.letter(),
                u32::MAX
            )
        })?;
        Ok(Rehearsal { kind: known.kind, value, scenario, seed })
    }
}

/// What every format states of a rehearsal.
impl fmt::Display for Rehearsal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "REHEARSAL: nothing was dialed; simulated: {}, seed {}", self.scenario, self.seed)
    }
}

/// The list of the scenarios.
pub fn list() -> String {
    let mut text =
        "Scenarios of --rehearse (a seed can follow, as in ok:7 or backlog:128:7):\n".to_owned();
    for Scenario { name, value, help, .. } in SCENARIOS {
        text += &format!("  {:<16}{help}\n", format!("{name}{}", value.letter()));
    }
    text + "N is a count (1.5k), T a time (30s, 1.5m), P a percentage (0.5).\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_value_and_the_seed_are_unambiguous() {
        for (text, scenario, value, seed) in [
            ("ok", "ok", 0, 1),
            ("ok:7", "ok", 0, 7),
            ("backlog:128", "backlog:128", 128, 1),
            ("backlog:1.5k:7", "backlog:1.5k", 1_500, 7),
            ("idle-close:90", "idle-close:90", 90_000_000_000, 1),
            ("rtt:80ms:0", "rtt:80ms", 80_000_000, 0),
            ("loss:0.5", "loss:0.5", 5, 1),
            ("loss:100%:4294967295", "loss:100%", 1_000, u32::MAX),
        ] {
            let parsed = Rehearsal::parse(text).unwrap();
            assert_eq!((&*parsed.scenario, parsed.value, parsed.seed), (scenario, value, seed));
        }
    }

    #[test]
    fn what_is_not_accepted_is_one_line() {
        for text in [
            "",
            ":",
            "OK",
            "okay",
            "ok:",
            "ok:x",
            "ok:-1",
            "ok:+1",
            "ok:4294967296",
            "ok:1:2",
            "backlog",
            "backlog:",
            "backlog:0",
            "backlog:64.1m",
            "backlog:x",
            "backlog:1:",
            "backlog:1:2:3",
            "loss:0",
            "loss:0.05",
            "loss:100.1",
            "loss:x",
            "rtt:0",
            "rtt:x",
            "rtt:11d",
            "rtt:5:5s",
        ] {
            let why = Rehearsal::parse(text).unwrap_err();
            assert!(why.contains("accepted") && !why.contains('\n'), "{text}: {why}");
        }
        let why = Rehearsal::parse("backlog:0").unwrap_err();
        assert_eq!(why, "backlog:N is accepted: 1 to 64m, also as 1.5k");
    }

    #[test]
    fn the_list_has_each_scenario_once_and_fits() {
        let text = list();
        assert!(text.lines().all(|line| line.len() <= 80), "{text}");
        for (index, known) in SCENARIOS.iter().enumerate() {
            assert_eq!(known.kind as usize, index, "{}", known.name);
            let line = format!("\n  {}{} ", known.name, known.value.letter());
            assert_eq!(text.matches(&line).count(), 1, "{}", known.name);
        }
    }
}
