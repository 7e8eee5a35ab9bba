//! Corrections of values that a flag does not accept.

use std::net::{IpAddr, SocketAddr};

use super::correction::{Correction, Next, Part};
use super::effects::Draft;
use super::fix_flag::{hold, joined_time};
use super::fix_word::rewritten;
use super::flags::{Flag, Verb, by_long};
use super::target::Group;
use crate::escape::quoted;

/// A value that the flag of this long name does not accept, and the line about it.
pub fn bad(verb: Verb, words: &[String], long: &str, value: &str, line: &str) -> Correction {
    let help = || Correction { line: line.to_owned(), next: Next::Help };
    let Some(flag) = by_long(verb, long) else { return help() };
    if flag.value == Some("FILE") && value.starts_with('-') {
        return no_file(words, long);
    }
    let part = Part::value(words, long, flag.short, value);
    let Some(part) = part else { return help() };
    if value.starts_with('-') && value.len() > 1 && flag.long == "host" {
        return no_host();
    }
    if let Some(found) = another_flag(verb, flag, value, &part) {
        return found;
    }
    if flag.long == "host"
        && let Some((why, targets)) = rewritten(value)
    {
        let line = format!("--host {}: {why}", quoted(value));
        return Correction { line, next: Next::Words(part.replaced(targets)) };
    }
    if let Some(value) = spelled(flag, value) {
        let joined = flag.value.is_none() || flag.alone.is_some();
        let next = Next::Words(part.with_value(value, joined));
        return Correction { line: line.to_owned(), next };
    }
    help()
}

/// A flag stands in the place of a file.
fn no_file(words: &[String], long: &str) -> Correction {
    let line = format!("--{long}: the value (FILE) is missing; - is standard output");
    let typed = format!("--{long}");
    let next = match Part::flag(words, &typed) {
        Some(part) => {
            let value = part.inline.clone();
            Next::Words(part.replaced([typed, "-".into()].into_iter().chain(value)))
        }
        None => Next::Help,
    };
    Correction { line, next }
}

/// `-h` alone: the help, in other tools.
pub fn no_host() -> Correction {
    Correction {
        line: "--host: the value (string) is missing; help is --help".into(),
        next: Next::Help,
    }
}

/// The last word is a flag without its value.
pub fn missing(verb: Verb, words: &[String], long: &str, line: &str) -> Correction {
    match (verb, long, words) {
        (Verb::Run, "host", _) => no_host(),
        // In iperf3 it is the server.
        (Verb::Run, "sleep", [only]) if only == "-s" => Correction {
            line: format!("{line}; a server to test against is 'tcpgoon serve'"),
            next: Next::Words(vec!["serve".into()]),
        },
        // Of oha and iperf3 it takes no file.
        (Verb::Run, "json", _) => Correction {
            line: format!("{line}; - is standard output"),
            next: Next::Words([words, &["-".to_owned()]].concat()),
        },
        _ => Correction { line: line.to_owned(), next: Next::Help },
    }
}

/// A short name with another meaning in other tools: the value belongs to another flag of ours.
fn another_flag(verb: Verb, flag: &Flag, value: &str, part: &Part) -> Option<Correction> {
    if verb != Verb::Run {
        return None;
    }
    let is_address = value.parse::<IpAddr>().is_ok();
    let (what, with): (&str, Vec<String>) = match flag.long {
        "debug" if joined_time(verb, &format!("-d{value}")).is_some() => {
            return Some(hold(Some(part.clone()), value));
        }
        // iperf3 -c HOST.
        "connections" if is_target(value) => {
            ("a count is accepted; a target is a word of its own", vec![value.to_owned()])
        }
        // nc -s ADDRESS.
        "sleep" if is_address => (
            "a time is accepted, in ms: did you mean --source (addresses of this host to dial from)?",
            vec!["--source".into(), value.to_owned()],
        ),
        // curl -s URL.
        "sleep" | "dial-timeout" | "interval" if value.contains("://") => {
            ("a time is accepted; a target is a word of its own", vec![value.to_owned()])
        }
        // hping3 -i u1000.
        "interval" if value.starts_with('u') && value[1..].parse::<u32>().is_ok() => (
            "the time between stats updates is accepted: did you mean --sleep (time between two \
             dials)?",
            vec!["--sleep".into(), format!("{}us", &value[1..])],
        ),
        // ping -I eth0, tcpdump -i eth0.
        "interval" if is_interface(value) => {
            let what = "the time between stats updates is accepted; where to dial from is --source";
            let line = format!("--interval {}: {what}", quoted(value));
            return Some(Correction { line, next: Next::Command("ip -br address") });
        }
        "source" if is_interface(value) => {
            let line = format!("--source {}: give the addresses of the interface", quoted(value));
            return Some(Correction { line, next: Next::Command("ip -br address") });
        }
        _ => return None,
    };
    let line = format!("--{} {}: {what}", flag.long, quoted(value));
    Some(Correction { line, next: Next::Words(part.clone().replaced(with)) })
}

/// Names such as eth0, enp3s0, br-lan, wlan0.
fn is_interface(value: &str) -> bool {
    let known = ["eth", "en", "wl", "br", "bond", "tun", "tap", "veth", "lo", "wg", "docker"];
    known.iter().any(|prefix| value.starts_with(prefix)) && value.len() <= 15
}

fn is_target(value: &str) -> bool {
    let is_name = value.contains(|c: char| c.is_ascii_alphabetic()) && value.len() > 2;
    let is_address = value.parse::<IpAddr>().is_ok() || value.parse::<SocketAddr>().is_ok();
    let looks = is_address || (is_name && value.contains(['.', ':']));
    looks && (Group::parse(value).is_ok() || rewritten(value).is_some())
}

/// The value in a form that the flag accepts.
fn spelled(flag: &Flag, value: &str) -> Option<String> {
    let lower = value.to_ascii_lowercase();
    let word = match (flag.value.is_none(), lower.as_str()) {
        (true, "yes" | "on" | "y") => Some("true"),
        (true, "no" | "off" | "n") => Some("false"),
        (false, "none" | "off" | "never") => Some("0"),
        (false, "reset" | "abort") => Some("rst"),
        _ => None,
    };
    let joined: String = value.split_whitespace().collect();
    let tried = [
        word.map(str::to_owned),
        Some(lower.clone()),
        Some(joined),
        // A decimal comma, a range with another sign, a port with its protocol.
        Some(value.replacen(',', ".", 1)),
        Some(value.replace("..", "-")),
        Some(value.replacen(':', "-", 1)),
        Some(value.trim_start_matches(':').to_owned()),
        value.split_once('/').filter(|_| flag.long == "port").map(|(port, _)| port.to_owned()),
        // Minutes after hours, seconds after minutes.
        match lower.chars().rfind(|c| c.is_ascii_alphabetic()) {
            Some('h') => Some(format!("{lower}m")),
            Some('m') => Some(format!("{lower}s")),
            _ => None,
        },
    ];
    let accepted = |tried: &String| {
        tried != value && !tried.is_empty() && (flag.effect)(&mut Draft::new(), tried).is_ok()
    };
    tried.into_iter().flatten().find(accepted)
}
