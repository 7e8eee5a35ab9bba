//! Corrections of words that are no target, or no word of the verb.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::correction::{Correction, Next, Part};
use super::distance::distance;
use super::explain;
use super::fix_flag;
use super::flags::{Verb, by_long};
use super::services;
use super::target::{NO_HOST, Ports, is_literal};
use crate::escape::quoted;
use crate::units::{Span, parse_count, parse_span};

/// First words of other tools, and ours for them.
const VERBS: &[(&str, &[&str])] = &[
    ("serve", &["server", "listen", "listener", "service"]),
    ("calibrate", &["calibration", "selftest", "doctor"]),
    ("report", &["show", "render", "view", "print", "reports", "replay"]),
    ("explain", &["why", "describe"]),
    ("version", &["ver"]),
    ("help", &["usage", "info"]),
    ("run", &["connect", "client", "attack", "dial", "test", "bench", "start", "tcp"]),
];

/// A word that cannot be parsed, and the line about it.
pub fn bad(verb: Verb, words: &[String], word: &str, line: &str) -> Correction {
    let help = Correction { line: line.to_owned(), next: Next::Help };
    let Some(part) = Part::word(words, word) else { return help };
    // `show run.json`: the file was parsed as a target.
    if let (Verb::Run, [first]) = (verb, &part.before[..])
        && nearest_verb(first) == Some("report")
        && let Some(found) = Part::word(words, first).and_then(|part| target(words, first, part))
    {
        return found;
    }
    match verb {
        Verb::Run => {
            let found = target(words, word, part.clone());
            found.or_else(|| number(words, word, part, line)).unwrap_or(help)
        }
        Verb::Serve => to_listen_on(word, part).unwrap_or(help),
        Verb::Calibrate if parse_count(word).is_some() => {
            let next = Next::Words(part.replaced(["-c".into(), word.to_owned()]));
            Correction { next, ..help }
        }
        Verb::Explain => match explain::nearest(word)[..] {
            [id] => Correction { next: Next::Words(part.replaced([id.to_owned()])), ..help },
            _ => help,
        },
        _ => help,
    }
}

/// A host without a port, and the line about it.
pub fn no_port(words: &[String], word: &str, line: &str) -> Correction {
    let help = Correction { line: line.to_owned(), next: Next::Help };
    let Some(part) = Part::word(words, word) else { return help };
    if let Some(found) = target(words, word, part.clone()) {
        return found;
    }
    // `localhost http`: the name of a port is parsed as another host.
    if let Some((name, port)) = part.next().and_then(|next| Some((next, services::port(next)?))) {
        let line = format!("{}: a port in a separate word must be a number", quoted(name));
        let mut part = part.clone();
        let _ = part.take_next();
        let with = [word.to_owned(), port.to_string()];
        return Correction { line, next: Next::Words(part.replaced(with)) };
    }
    let form = if word.starts_with('[') || !word.contains(':') {
        format!("{word}:PORT")
    } else {
        format!("[{word}]:PORT")
    };
    Correction { next: Next::Words(part.replaced([form])), ..help }
}

fn target(words: &[String], word: &str, part: Part) -> Option<Correction> {
    let named = |why: &str| format!("{}: {why}", quoted(word));
    if let ([help], Some(verb)) = (&part.before[..], nearest_verb(word))
        && help == "help"
    {
        let line = named(&format!("no such verb: did you mean {verb}?"));
        return Some(Correction { line, next: Next::Words(part.replaced([verb.to_owned()])) });
    }
    if part.before.is_empty()
        && let Some(verb) = nearest_verb(word)
    {
        let line =
            named(&format!("neither a verb nor a target with its port: did you mean {verb}?"));
        return Some(Correction { line, next: Next::Words(part.replaced([verb.to_owned()])) });
    }
    if part.before.last().is_some_and(|before| is_hold(before, word)) {
        let mut part = part;
        part.before.pop();
        return Some(fix_flag::hold(Some(part), word));
    }
    if let Some((why, targets)) = rewritten(word) {
        return Some(Correction { line: named(&why), next: Next::Words(part.replaced(targets)) });
    }
    if let Some(key) = assigned(word) {
        let line = named(&format!("did you mean --{key}?"));
        return Some(Correction { line, next: Next::Words(flags_of(words)) });
    }
    None
}

/// `-d 30s`: the duration of a run in wrk and k6.
fn is_hold(before: &str, word: &str) -> bool {
    ["-d", "--debug"].contains(&before) && parse_span(word, Span::from_s(1)).is_some()
}

/// The flag of `port=80`.
fn assigned(word: &str) -> Option<&str> {
    let (key, _) = word.split_once('=')?;
    by_long(Verb::Run, key).map(|flag| flag.long)
}

/// The words with each `port=80` as a flag.
fn flags_of(words: &[String]) -> Vec<String> {
    let flag = |word: &String| match assigned(word) {
        Some(_) => format!("--{word}"),
        None => word.clone(),
    };
    words.iter().map(flag).collect()
}

/// A number behind a host that has its port is the count of connections; before any host it is a
/// port of this one.
fn number(words: &[String], word: &str, mut part: Part, line: &str) -> Option<Correction> {
    if !word.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    // The number after -d was parsed as the port.
    if let Some(index) = part.before.windows(2).position(|pair| is_hold(&pair[0], &pair[1])) {
        let time = part.before[index + 1].clone();
        let rest: Vec<String> = part.before.drain(index..).skip(2).collect();
        part.after = [rest, vec![word.to_owned()], part.after].concat();
        return Some(fix_flag::hold(Some(part), &time));
    }
    if line.ends_with(NO_HOST) {
        Ports::parse(word).ok()?;
        let next = Next::Words(part.replaced([format!("localhost:{word}")]));
        return Some(Correction { line: line.to_owned(), next });
    }
    let is_flag = |word: &String| word.starts_with("-c") || word.starts_with("--connections");
    if words.iter().any(is_flag) {
        // `h 80 81` and `h:80 81`.
        let before =
            part.before.pop().filter(|before| Ports::parse(word).is_ok() && is_ported(before))?;
        let next = Next::Words(part.replaced([format!("{before},{word}")]));
        return Some(Correction { line: line.to_owned(), next });
    }
    let line = format!(
        "{}: the hosts before it have their port already: did you mean -c {word} (connections)?",
        quoted(word)
    );
    let with = ["-c".to_owned(), word.to_owned()];
    Some(Correction { line, next: Next::Words(part.replaced(with)) })
}

/// Whether a word is ports, or ends in them.
fn is_ported(word: &str) -> bool {
    let ports = word.rsplit_once(':').map_or(word, |(_, ports)| ports);
    Ports::parse(ports).is_ok()
}

/// The verb that was meant by the first word, if it is near to one.
pub fn nearest_verb(word: &str) -> Option<&'static str> {
    let lower = word.to_ascii_lowercase();
    if let Some((verb, _)) = VERBS.iter().find(|(_, others)| others.contains(&lower.as_str())) {
        return Some(verb);
    }
    let ours = super::verb::VERBS.iter().map(|record| record.word);
    let near = |verb: &'static str| {
        let count = distance(verb, &lower).filter(|count| 3 * count < verb.len())?;
        Some((count, verb))
    };
    ours.filter_map(near).min().map(|(_, verb)| verb)
}

/// The address or port for `tcpgoon serve` to listen on.
fn to_listen_on(word: &str, part: Part) -> Option<Correction> {
    let (host, port) = word.rsplit_once(':')?;
    let _ = port.parse::<u16>().ok()?;
    let (why, meant) = match host {
        "" | "*" => {
            ("a port alone is that of 127.0.0.1; of all addresses, 0.0.0.0:PORT", "0.0.0.0")
        }
        "localhost" => ("an IP address is accepted", "127.0.0.1"),
        _ if host.parse::<Ipv6Addr>().is_ok() => {
            let line = format!("{}: {IN_BRACKETS}", quoted(word));
            let with = [format!("[{host}]:{port}")];
            return Some(Correction { line, next: Next::Words(part.replaced(with)) });
        }
        _ => return None,
    };
    let line = format!("{}: {why}", quoted(word));
    let with = [format!("{meant}:{port}")];
    Some(Correction { line, next: Next::Words(part.replaced(with)) })
}

const IN_BRACKETS: &str = "an IPv6 address with a port is in brackets";

/// A target in an accepted form, as one word or several, and the reason. It may have further
/// mistakes.
pub fn rewritten(word: &str) -> Option<(String, Vec<String>)> {
    let one = |why: &str, target: String| Some((why.to_owned(), vec![target]));
    if let Some((scheme, rest)) = word.split_once("://") {
        return Some(url(scheme, rest));
    }
    if word.contains(|c: char| c.is_whitespace()) {
        let words: Vec<String> = word.split_whitespace().map(str::to_owned).collect();
        return (words.len() > 1).then(|| ("each target is a word of its own".into(), words));
    }
    if word.contains(',') {
        return listed(word);
    }
    if let Some(found) = network(word) {
        return Some(found);
    }
    if word.contains(['/', '@']) {
        let target = without_user_and_path(word);
        let why = "a host and a port are accepted, without a user and a path";
        return (target != word && !target.is_empty()).then(|| (why.into(), vec![target]));
    }
    if let Some(port) = word.strip_prefix(':').filter(|port| Ports::parse(port).is_ok()) {
        return one("the host is missing", format!("localhost:{port}"));
    }
    if let Some(host) =
        word.strip_suffix(':').filter(|host| !host.contains(':') && !host.is_empty())
    {
        return one("the port is missing", host.to_owned());
    }
    if let Some(name) = unbracketed(word) {
        return one("brackets are for an IPv6 address", name);
    }
    let (host, port) = word.rsplit_once([':', '.'])?;
    let is_port = port.parse::<u16>().is_ok_and(|port| port > 0);
    let is_v6 = host.contains(':') && is_literal(host);
    if is_port && is_v6 {
        return one(IN_BRACKETS, format!("[{host}]:{port}"));
    }
    // The format of tcpdump.
    if is_port && host.parse::<Ipv4Addr>().is_ok() && !word.contains(':') {
        return one("a colon separates host and port", format!("{host}:{port}"));
    }
    range(word)
}

/// `http://user@example.com:8080/path` → `example.com:8080`.
fn url(scheme: &str, rest: &str) -> (String, Vec<String>) {
    let mut target = without_user_and_path(rest);
    let has_port = match target.rsplit_once(']') {
        Some((_, behind)) => behind.starts_with(':'),
        None => target.contains(':'),
    };
    let scheme = scheme.to_ascii_lowercase();
    let known = match scheme.as_str() {
        "ws" => Some(80),
        "wss" => Some(443),
        "postgres" => services::port("postgresql"),
        name => services::port(name),
    };
    if let Some(port) = known.filter(|_| !has_port && !target.is_empty()) {
        target = format!("{target}:{port}");
    }
    let tls = ["https", "wss"].contains(&scheme.as_str());
    let more = if tls { " (for TLS give --ask tls)" } else { "" };
    (format!("a host and a port are accepted, not a URL{more}"), vec![target])
}

/// `user@host:80/path` → `host:80`; in `host/80` the path is the port, as in /dev/tcp/host/80.
fn without_user_and_path(text: &str) -> String {
    let text = text.strip_prefix("/dev/tcp/").unwrap_or(text);
    let (authority, path) = text.split_once(['/', '?', '#']).unwrap_or((text, ""));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let is_port = path.parse::<u16>().is_ok_and(|port| port > 0);
    if is_port && !host.contains(':') { format!("{host}:{path}") } else { host.to_owned() }
}

/// `a:1,b:2` → `a:1 b:2`, and `a,b:80` → `a:80 b:80`. A number is another port of the host before
/// it.
fn listed(word: &str) -> Option<(String, Vec<String>)> {
    let mut targets: Vec<String> = Vec::new();
    for part in word.split(',').filter(|part| !part.is_empty()) {
        match targets.last_mut() {
            Some(last) if Ports::parse(part).is_ok() && last.contains(':') => {
                last.push(',');
                last.push_str(part);
            }
            _ => targets.push(part.to_owned()),
        }
    }
    let last = targets.last()?.clone();
    let has_port = |target: &str| target.contains(':') && !is_literal(target);
    if has_port(&last) && !targets[..targets.len() - 1].iter().any(|target| target.contains(':')) {
        let (_, ports) = last.rsplit_once(':')?;
        let count = targets.len() - 1;
        targets[..count].iter_mut().for_each(|target| *target = format!("{target}:{ports}"));
    }
    let joined = targets.join(" ");
    (joined != word).then(|| ("each target is a word of its own".into(), targets))
}

/// `10.0.0.0/24:80` → `10.0.0.1-10.0.0.254:80`.
fn network(word: &str) -> Option<(String, Vec<String>)> {
    let (address, rest) = word.split_once('/')?;
    let (length, ports) =
        rest.split_once(':').map_or((rest, ""), |(length, ports)| (length, ports));
    let address: Ipv4Addr = address.parse().ok()?;
    let length: u32 = length.parse().ok().filter(|length| *length <= 32)?;
    let below = u32::MAX.checked_shr(length).unwrap_or(0);
    let (low, high) = (u32::from(address) & !below, u32::from(address) | below);
    let ends = u32::from(below > 1);
    let (low, high) = (Ipv4Addr::from(low + ends), Ipv4Addr::from(high - ends));
    let colon = if ports.is_empty() { "" } else { ":" };
    let target = format!("{low}-{high}{colon}{ports}");
    Some(("a range of addresses is written A-B".into(), vec![target]))
}

/// `[localhost]:80` → `localhost:80`.
fn unbracketed(word: &str) -> Option<String> {
    let (inside, behind) = word.strip_prefix('[')?.split_once(']')?;
    let is_name = !inside.is_empty() && !inside.contains([':', '[', '-', '%']);
    (is_name && inside.parse::<IpAddr>().is_err()).then(|| format!("{inside}{behind}"))
}

/// `10.0.0.1-9:80` → `10.0.0.1-10.0.0.9:80`, and `h:8000:8009` → `h:8000-8009`.
fn range(word: &str) -> Option<(String, Vec<String>)> {
    let parts: Vec<&str> = word.split(':').collect();
    if let [host, low, high] = parts[..]
        && !host.is_empty()
        && Ports::parse(low).is_ok()
        && Ports::parse(high).is_ok()
    {
        let why = "a range of ports is written with a dash";
        return Some((why.into(), vec![format!("{host}:{low}-{high}")]));
    }
    let (low, behind) = word.split_once('-')?;
    let (high, ports) = behind.split_once(':').unwrap_or((behind, ""));
    let [a, b, c, _] = low.parse::<Ipv4Addr>().ok()?.octets();
    let last: u8 = high.parse().ok()?;
    let colon = if ports.is_empty() { "" } else { ":" };
    let target = format!("{low}-{a}.{b}.{c}.{last}{colon}{ports}");
    Some(("both ends of a range are complete addresses".into(), vec![target]))
}
