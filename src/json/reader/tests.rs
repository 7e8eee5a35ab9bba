use super::*;
use proptest::prelude::*;
use serde_json::Value as Other;

/// The only value of a text, as `serde_json` has it. Numbers that are no whole ones as texts.
fn read(bytes: &[u8]) -> Result<Other, Wrong> {
    let text = text(bytes)?;
    let tree = Tree::parse(text, 0)?.ok_or(Wrong { at: 0, what: "empty".into() })?;
    match Tree::parse(text, tree.end())? {
        None => Ok(converted(tree.root())),
        Some(more) => Err(Wrong { at: more.root().at(), what: "more".into() }),
    }
}

fn converted(value: Value<'_>) -> Other {
    match value.kind() {
        Kind::Null => Other::Null,
        Kind::Bool(is) => is.into(),
        Kind::String => value.text().into(),
        Kind::Number => value.integer().map_or_else(|| value.number().into(), Other::from),
        Kind::Array => value.inside().map(converted).collect::<Vec<Other>>().into(),
        Kind::Object => {
            let fields: Vec<Value<'_>> = value.inside().collect();
            let field = |pair: &[Value<'_>]| {
                let name = pair[0].text().into_owned();
                assert_eq!(value.field(&name).map(Value::at), Some(pair[1].at()));
                (name, converted(pair[1]))
            };
            Other::Object(fields.chunks(2).map(field).collect())
        }
    }
}

/// Whether both are the same but for fractions, exponents and signs, which stay as they stand there.
fn is_same(ours: &Other, theirs: &Other) -> bool {
    match (ours, theirs) {
        (Other::String(text), Other::Number(number)) => {
            let (ours, theirs) = (text.parse::<f64>().unwrap(), number.as_f64().unwrap());
            // Theirs is off by a little.
            (ours - theirs).abs() <= theirs.abs() * 1e-12
        }
        (Other::Array(ours), Other::Array(theirs)) => {
            ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(a, b)| is_same(a, b))
        }
        (Other::Object(ours), Other::Object(theirs)) => {
            ours.len() == theirs.len()
                && ours.iter().zip(theirs).all(|(a, b)| a.0 == b.0 && is_same(a.1, b.1))
        }
        (ours, theirs) => ours == theirs,
    }
}

/// What only this reader rejects, and what only the other one does.
fn is_a_bound(why: &str) -> bool {
    ["twice", "more than 64 objects", "more than 128 fields", "longer than 128 bytes"]
        .iter()
        .any(|bound| why.contains(bound))
}

fn compare(bytes: &[u8]) -> Result<(), TestCaseError> {
    let shown = String::from_utf8_lossy(bytes);
    match (read(bytes), serde_json::from_slice::<Other>(bytes)) {
        (Ok(ours), Ok(theirs)) => prop_assert!(is_same(&ours, &theirs), "{shown}: {ours} {theirs}"),
        (Err(ours), Ok(_)) => prop_assert!(is_a_bound(&ours.what), "{shown}: {ours:?}"),
        // It reads numbers as it goes on.
        (Ok(_), Err(theirs)) => {
            prop_assert!(theirs.to_string().contains("number out of range"), "{shown}: {theirs}");
        }
        (Err(ours), Err(_)) => {
            prop_assert!(ours.at <= bytes.len(), "{shown}: {ours:?}");
            prop_assert!(!ours.what.contains('\n') && !ours.what.is_empty(), "{shown}: {ours:?}");
        }
    }
    Ok(())
}

/// A text with what JSON is made of, mostly in order.
fn document() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        any::<u64>().prop_map(|number| number.to_string()),
        any::<i64>().prop_map(|number| number.to_string()),
        "-?(0|[1-9][0-9]{0,25})(\\.[0-9]{1,3})?([eE][-+]?[0-9]{1,3})?",
        any::<String>().prop_map(|text| serde_json::to_string(&text).unwrap()),
        "\"(\\\\[nrtbf/u\"\\\\]|\\\\u(d8|D9|dc|00)[0-9a-f]{2}|[a-z]){0,5}\"",
    ];
    let name = prop_oneof!["\"[a-f]\"", "\"(\\\\u006[1-6]|[a-f\u{e9}]){1,2}\""];
    leaf.prop_recursive(6, 60, 6, move |inner| {
        let field = (name.clone(), "[ \n\t]?", inner.clone());
        let field = field.prop_map(|(name, blank, value)| format!("{name}{blank}:{blank}{value}"));
        prop_oneof![
            prop::collection::vec(inner, 0..5).prop_map(|all| format!("[{}]", all.join(", "))),
            prop::collection::vec(field, 0..5).prop_map(|all| format!("{{{}}}", all.join(","))),
        ]
    })
}

proptest! {
    #[test]
    fn documents_are_read_as_another_reader_reads_them(text in document()) {
        compare(text.as_bytes())?;
    }

    /// One byte of it is another, is missing, or is there twice.
    #[test]
    fn damaged_documents_are_rejected_as_another_reader_rejects_them(
        text in document(), at in any::<prop::sample::Index>(), byte in any::<u8>(), how in 0..4,
    ) {
        let mut bytes = text.into_bytes();
        let at = at.index(bytes.len());
        let used = b"{}[]\",:\\0-+.eEtu \n"[usize::from(byte) % 18];
        match how {
            0 => bytes[at] = byte,
            1 => bytes[at] = used,
            2 => drop(bytes.remove(at)),
            _ => bytes.insert(at, used),
        }
        compare(&bytes)?;
    }

    #[test]
    fn any_bytes_are_read_alike(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        compare(&bytes)?;
    }
}

/// Texts of up to `length` of these parts, between `quote`s.
fn compare_all(parts: &[&str], length: u32, quote: &str) {
    for count in 0..=length {
        for mut number in 0..parts.len().pow(count) {
            let mut text = quote.to_owned();
            for _ in 0..count {
                text.push_str(parts[number % parts.len()]);
                number /= parts.len();
            }
            text.push_str(quote);
            compare(text.as_bytes()).unwrap_or_else(|error| panic!("{error}"));
        }
    }
}

#[test]
fn every_short_text_is_read_as_another_reader_reads_it() {
    compare_all(&["[", "]", "{", "}", ",", "\"a\":", "0", "1", "-", ".", "e", " "], 5, "");
    compare_all(
        &["\\", "u", "d800", "dc00", "0041", "n", "\"", "\n", "\u{1f}", "\u{7f}", "é"],
        4,
        "\"",
    );
    let literals =
        ["null", "true", "false", "nul", "NaN", "0", "[", "]", ",", "\u{b}", "\u{c}", "\t"];
    compare_all(&literals, 3, "");
}

#[test]
fn what_is_wrong_is_named_with_its_place_and_what_is_accepted() {
    for (text, at, what) in [
        ("{\"a\":1,}", 7, "'}': the name of a field in double quotes is accepted here"),
        ("[1,]", 3, "']': a value of JSON is accepted here"),
        ("[1 2]", 3, "'2': a comma or ] is accepted here"),
        ("{\"a\" 1}", 5, "'1': a colon is accepted here"),
        ("{\"a\":NaN}", 5, "'N': a value of JSON is accepted here"),
        ("[01]", 2, "'1': a comma or ] is accepted here"),
        ("[1.]", 3, "']': a digit is accepted here"),
        ("{\"a\":1,\"\\u0061\":2}", 7, "'a': the field is there twice"),
        (
            "[\"\\ud800\"]",
            2,
            "'\\\\': \\\" \\\\ \\/ \\b \\f \\n \\r \\t or \\uXXXX, surrogates in \
          pairs, is accepted here",
        ),
        ("[\"a\nb\"]", 3, "'\\n': the rest of a text and its \" is accepted here"),
        ("{\"a\":\"b", 7, "the end: the rest of a text and its \" is accepted here"),
        ("hello", 0, "'h': a value of JSON is accepted here"),
        ("\u{feff}{}", 0, "'\\u{feff}': a value of JSON is accepted here"),
    ] {
        let wrong = read(text.as_bytes()).expect_err(text);
        assert_eq!((wrong.at, &*wrong.what), (at, what), "{text}");
    }
    let wrong = read(b"[\"\xff\"]").unwrap_err();
    assert_eq!((wrong.at, &*wrong.what), (2, "no UTF-8"));
    assert_eq!(line_and_column("{\n \"é\": x}".as_bytes(), 9), (2, 7));
    assert_eq!(line_and_column(b"ab", 9), (1, 3));
}

#[test]
fn depth_fields_names_and_length_are_bounded() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(read(nested(DEPTH_MAX).as_bytes()).is_ok());
    let beside = format!("[{}[]]", "[],{\"a\":{}},".repeat(DEPTH_MAX));
    assert!(read(beside.as_bytes()).is_ok(), "they are closed again");
    let deep = read(nested(1_000_000).as_bytes()).unwrap_err();
    assert_eq!((deep.at, &*deep.what), (64, "more than 64 objects and lists in each other"));
    let object = |count: usize| {
        let fields: Vec<String> = (0..count).map(|n| format!("\"{n}\":0")).collect();
        format!("{{{}}}", fields.join(","))
    };
    assert!(read(object(FIELDS_MAX).as_bytes()).is_ok());
    let many = read(object(FIELDS_MAX + 1).as_bytes()).unwrap_err();
    assert_eq!(many.what, "more than 128 fields in an object");
    let name = format!("{{\"{}\":0}}", "a".repeat(NAME_BYTES_MAX));
    assert!(read(name.as_bytes()).unwrap_err().what.contains("longer than 128 bytes"));
    let long = vec![b' '; TEXT_BYTES_MAX + 1];
    assert_eq!(text(&long).unwrap_err().what, "longer than 32 MiB");
}

#[test]
fn whole_numbers_are_exact_and_others_are_none() {
    let integer = |text: &str| Tree::parse(text, 0).unwrap().unwrap().root().integer();
    assert_eq!(integer("18446744073709551615"), Some(u64::MAX));
    for text in ["18446744073709551616", "-1", "-0", "1.0", "1e3", "\"1\"", "null"] {
        assert_eq!(integer(text), None, "{text}");
    }
}

#[test]
fn several_values_follow_each_other() {
    let text = " {\"a\":1}\n[2] \n";
    let first = Tree::parse(text, 0).unwrap().unwrap();
    assert_eq!(first.root().field("a").and_then(Value::integer), Some(1));
    assert!(first.root().field("b").is_none() && first.root().inside().count() == 2);
    let second = Tree::parse(text, first.end()).unwrap().unwrap();
    assert_eq!((second.root().kind(), second.root().field("a").is_none()), (Kind::Array, true));
    assert!(Tree::parse(text, second.end()).unwrap().is_none());
}
