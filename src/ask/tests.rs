use super::*;

fn ask(text: &str) -> Ask {
    Ask::parse(text).unwrap()
}

fn request(text: &str, host: &str, port: u16) -> String {
    String::from_utf8(ask(text).request(host, port, 1)).unwrap()
}

#[test]
fn a_name_is_one_of_the_table() {
    for preset in PRESETS {
        assert_eq!(ask(preset.name).preset, preset);
        assert!(!ask(preset.name).expects().is_empty());
        assert!(ACCEPTED.contains(preset.name));
    }
    for text in ["", "HTTP", "https", "=x", "redis "] {
        assert_eq!(Ask::parse(text), Err(ACCEPTED.into()), "{text}");
    }
}

#[test]
fn a_value_is_a_name_where_there_is_one() {
    assert_eq!(Ask::parse("redis=x"), Err("redis takes no value".into()));
    let accepted = "a name is accepted, as tls=example.com: no blanks, slashes or control \
                    characters, at most 259 bytes";
    let long = "x".repeat(260);
    for value in ["", "a b", "a\r\nX: y", "\x7f", "http://h", "ü", &long] {
        assert_eq!(Ask::parse(&format!("tls={value}")), Err(accepted.into()), "{value:?}");
    }
    assert!(Ask::parse(&format!("http={}", &long[1..])).is_ok());
}

#[test]
fn the_host_of_a_request_is_the_value_or_the_target() {
    for (text, host, port, expected) in [
        ("http", "example.com", 80, "example.com"),
        ("http", "example.com", 8080, "example.com:8080"),
        ("http", "::1", 80, "[::1]"),
        ("http", "fe80::1%eth0", 81, "[fe80::1]:81"),
        ("http=www.example.com", "10.0.0.7", 8080, "www.example.com"),
    ] {
        let request = request(text, host, port);
        let head = format!("HEAD / HTTP/1.1\r\nHost: {expected}\r\n");
        assert!(request.starts_with(&head), "{request}");
        assert!(request.ends_with("\r\nConnection: keep-alive\r\n\r\n"), "{request}");
    }
    assert_eq!(request("redis", "h", 6379), "PING\r\n");
    assert_eq!(request("ssh", "h", 22), "");
    assert_eq!(ask("postgres").request("h", 5432, 1).len(), 8);
}

#[test]
fn only_a_name_is_named_in_a_hello() {
    for (text, host, name) in [
        ("tls", "example.com", Some("example.com")),
        ("tls", "example.com.", Some("example.com")),
        ("tls", "10.0.0.7", None),
        ("tls", "fe80::1%eth0", None),
        ("tls=[::1]", "example.com", None),
        ("tls=www.example.com", "10.0.0.7", Some("www.example.com")),
    ] {
        let hello = ask(text).request(host, 443, 1);
        assert_eq!(hello, hello::client_hello(name, 1), "{text} {host}");
    }
}

#[test]
fn an_answer_is_found_by_its_label() {
    for (label, found) in [
        ("HTTP 503", Some((Meaning::Http5xx, 3))),
        ("HTTP 500", Some((Meaning::Http5xx, 0))),
        ("TLS alert 40 (handshake_failure)", Some((Meaning::TlsAlert, 40))),
        ("TLS alert 255", Some((Meaning::TlsAlert, 255))),
        ("LOADING", Some((Meaning::Busy("LOADING"), 0))),
        ("", None),
        ("HTTP 404", None),
        ("TLS alert 40", None),
    ] {
        assert_eq!(of_label(label), found, "{label}");
    }
}

/// A number that is kept belongs to one answer: no other keeps one of the same bytes.
#[test]
fn one_answer_of_a_preset_keeps_a_number() {
    let keeps = |answer: &&Answer| {
        answer.parts.iter().any(|part| matches!(part, Part::KeptDigit | Part::KeptByte))
    };
    for preset in PRESETS {
        assert!(preset.answers.iter().filter(keeps).count() <= 1, "{}", preset.name);
        assert!(preset.answers.iter().all(|answer| (1..=32).contains(&answer.length())));
    }
}
