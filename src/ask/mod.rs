//! Presets of `--ask`: what is sent on each connection, and what counts as an answer. One table.

pub mod answer;
mod hello;

use std::net::IpAddr;

use answer::{ANY, Answer, DIGIT, Meaning, Part, label};

/// The longest name, and room for a port behind it.
const VALUE_BYTES_MAX: usize = 253 + 6;

/// A question and its answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Preset {
    pub name: &'static str,
    /// Of targets without one.
    pub port: u16,
    request: Request,
    /// Whether the request can be repeated on one connection.
    pub is_repeatable: bool,
    /// At most 8; of several that fit the first counts.
    pub answers: &'static [Answer],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Request {
    /// Also nothing, where the server speaks first.
    Bytes(&'static [u8]),
    Head,
    ClientHello,
}

const fn plain(parts: &'static [Part]) -> Answer {
    Answer { parts, meaning: Meaning::Plain }
}

const fn busy(parts: &'static [Part], words: &'static str) -> Answer {
    Answer { parts, meaning: Meaning::Busy(words) }
}

const HTTP: &[Answer] = &[
    Answer {
        parts: &[
            Part::Text(b"HTTP/"),
            DIGIT,
            Part::Text(b"."),
            DIGIT,
            Part::Text(b" 5"),
            Part::KeptDigit,
            Part::KeptDigit,
        ],
        meaning: Meaning::Http5xx,
    },
    plain(&[
        Part::Text(b"HTTP/"),
        DIGIT,
        Part::Text(b"."),
        DIGIT,
        Part::Text(b" "),
        DIGIT,
        DIGIT,
        DIGIT,
    ]),
];

/// Source: RFC 8446, section 5.1 (records), 4 (handshake), 6 (alerts).
const TLS: &[Answer] = &[
    // ServerHello; HelloRetryRequest is one, too.
    plain(&[
        Part::Text(&[0x16, 3]),
        Part::In(0, 4),
        ANY,
        ANY,
        Part::Text(&[2, 0]),
        ANY,
        ANY,
        Part::Text(&[3]),
    ]),
    Answer {
        parts: &[
            Part::Text(&[0x15, 3]),
            Part::In(0, 4),
            Part::Text(&[0, 2]),
            Part::In(1, 2),
            Part::KeptByte,
        ],
        meaning: Meaning::TlsAlert,
    },
];

const REDIS: &[Answer] = &[
    plain(&[Part::Text(b"+PONG")]),
    busy(&[Part::Text(b"-ERR max")], "max number of clients"),
    busy(&[Part::Text(b"-LOADING")], "LOADING"),
    busy(&[Part::Text(b"-BUSY")], "BUSY"),
    plain(&[Part::Text(b"-ERR")]),
    plain(&[Part::Text(b"-NOAUTH")]),
    plain(&[Part::Text(b"-NOPERM")]),
];

/// Source: the packets `Handshake` and `ERR` of MySQL's client/server protocol; 1040 is
/// `ER_CON_COUNT_ERROR`.
const MYSQL: &[Answer] = &[
    plain(&[ANY, ANY, ANY, Part::Text(&[0]), Part::In(9, 10)]),
    busy(&[ANY, ANY, ANY, Part::Text(&[0, 0xff, 0x10, 4])], "too many connections"),
];

/// Nothing is sent: the server speaks first.
const ONCE: Preset =
    Preset { name: "", port: 0, request: Request::Bytes(b""), is_repeatable: false, answers: &[] };

/// By name; no record needs more than its line and its answers.
pub const PRESETS: &[Preset] = &[
    Preset { name: "http", port: 80, request: Request::Head, is_repeatable: true, answers: HTTP },
    Preset { name: "tls", port: 443, request: Request::ClientHello, answers: TLS, ..ONCE },
    Preset {
        name: "redis",
        port: 6379,
        request: Request::Bytes(b"PING\r\n"),
        is_repeatable: true,
        answers: REDIS,
    },
    Preset {
        name: "ssh",
        port: 22,
        answers: &[
            plain(&[Part::Text(b"SSH-")]),
            busy(&[Part::Text(b"Exceeded MaxStartups")], "MaxStartups"),
        ],
        ..ONCE
    },
    Preset {
        name: "smtp",
        port: 25,
        answers: &[plain(&[Part::Text(b"220")]), busy(&[Part::Text(b"421")], "SMTP 421")],
        ..ONCE
    },
    Preset { name: "mysql", port: 3306, answers: MYSQL, ..ONCE },
    // SSLRequest.
    Preset {
        name: "postgres",
        port: 5432,
        request: Request::Bytes(&[0, 0, 0, 8, 4, 0xd2, 0x16, 0x2f]),
        answers: &[plain(&[Part::Text(b"S")]), plain(&[Part::Text(b"N")])],
        ..ONCE
    },
];

const _: () = {
    let mut index = 0;
    while index < PRESETS.len() {
        assert!(PRESETS[index].answers.len() <= 8);
        index += 1;
    }
};

const ACCEPTED: &str = "http[=HOST], tls[=NAME], redis, ssh, smtp, mysql and postgres are accepted";

/// A preset, with its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    pub preset: &'static Preset,
    value: Option<String>,
}

impl Ask {
    /// # Errors
    /// What is accepted; the caller adds the flag and its value.
    pub fn parse(text: &str) -> Result<Ask, String> {
        let (name, value) = text.split_once('=').map_or((text, None), |(n, v)| (n, Some(v)));
        let preset = PRESETS.iter().find(|preset| preset.name == name).ok_or(ACCEPTED)?;
        let takes_value = !matches!(preset.request, Request::Bytes(_));
        match value {
            Some(_) if !takes_value => Err(format!("{name} takes no value")),
            Some(value) if !is_name(value) => Err(format!(
                "a name is accepted, as {name}=example.com: no blanks, slashes or control \
                 characters, at most {VALUE_BYTES_MAX} bytes"
            )),
            _ => Ok(Ask { preset, value: value.map(str::to_owned) }),
        }
    }

    /// What is sent on each connection to `host` and `port`; they are in it if no value was given.
    pub fn request(&self, host: &str, port: u16, seed: u64) -> Vec<u8> {
        // A zone is of this host only.
        let host = host.split('%').next().unwrap_or(host);
        match self.preset.request {
            Request::Bytes(bytes) => bytes.into(),
            Request::Head => {
                let typed = match (host.contains(':'), port == self.preset.port) {
                    (true, true) => format!("[{host}]"),
                    (true, false) => format!("[{host}]:{port}"),
                    (false, true) => host.into(),
                    (false, false) => format!("{host}:{port}"),
                };
                let host = self.value.as_ref().unwrap_or(&typed);
                format!(
                    "HEAD / HTTP/1.1\r\nHost: {host}\r\nUser-Agent: tcpgoon\r\nAccept: */*\r\n\
                     Connection: keep-alive\r\n\r\n"
                )
                .into()
            }
            Request::ClientHello => {
                let name = self.value.as_deref().unwrap_or(host).trim_end_matches('.');
                let is_address = name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
                hello::client_hello(Some(name).filter(|name| !is_address && is_name(name)), seed)
            }
        }
    }

    /// How the first of its answers begins.
    pub fn expects(&self) -> &'static [u8] {
        self.preset.answers[0].parts.iter().find_map(Part::text).unwrap_or(b"\0")
    }
}

/// The answer that has a label: what it means, and its number. Plain answers have none.
pub fn of_label(text: &str) -> Option<(Meaning, u8)> {
    let answers = PRESETS.iter().flat_map(|preset| preset.answers);
    let meanings = answers.map(|answer| answer.meaning).filter(|one| *one != Meaning::Plain);
    let mut all = meanings.flat_map(|one| (0..=u8::MAX).map(move |number| (one, number)));
    all.find(|(meaning, number)| label(*meaning, *number) == text)
}

impl Part {
    fn text(&self) -> Option<&'static [u8]> {
        if let Part::Text(text) = self { Some(text) } else { None }
    }
}

fn is_name(value: &str) -> bool {
    let is_odd = |b: u8| !b.is_ascii_graphic() || b == b'/';
    (1..=VALUE_BYTES_MAX).contains(&value.len()) && !value.bytes().any(is_odd)
}

#[cfg(test)]
mod tests;
