//! Properties of all flags.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use super::effects::Draft;
use super::flags::{FLAGS, Flag, Verb, by_long};
use super::help;
use super::parse::tests::{mistake, typed};
use super::verb::{self, Offer};

/// The lines of the original's help.
const ORIGINAL: &str = "
  -y, --assume-yes         Force execution without asking for confirmation
  -c, --connections int    Number of connections you want to open (default 100)
  -d, --debug              Print debugging information to the standard error
  -t, --dial-timeout int   Connection dialing timeout, in s (default 5)
  -h, --host string        Host you want to open tcp connections against (Required)
  -i, --interval int       Interval, in seconds, between stats updates (default 1)
  -p, --port int           Port you want to open tcp connections against (Required)
  -s, --sleep int          Time you want to sleep between connections, in ms (default 10)
";

fn of(verb: Verb) -> impl Iterator<Item = &'static Flag> {
    FLAGS.iter().filter(move |flag| flag.belongs_to(verb))
}

/// A complete command line with some flags of a verb.
fn line_of(verb: Verb, flags: &str) -> String {
    match verb {
        // A target with a port would make --port have no effect.
        Verb::Run if flags.contains("-p ") || flags.contains("-p=") || flags.contains("-p7") => {
            format!("{flags} h")
        }
        Verb::Run if flags.contains("--port") => format!("{flags} h"),
        // It needs another flag.
        Verb::Run if flags.contains("--junit") => format!("{flags} --fail-if errors>0 h:80"),
        Verb::Run if flags.contains("--hold-beside") => format!("{flags} --lifetime 1 h:80"),
        Verb::Run if flags.contains("--reply-timeout") => format!("{flags} --send x h:80"),
        Verb::Run => format!("{flags} h:80"),
        Verb::Serve => format!("serve {flags}"),
        Verb::Calibrate => format!("calibrate {flags}"),
        Verb::Report => format!("report {flags} run.json"),
        Verb::Explain => format!("explain {flags}"),
        Verb::Schema => format!("schema {flags}"),
        Verb::Completions => format!("completions {flags} bash"),
        Verb::Man => format!("man {flags}"),
    }
}

#[test]
fn names_are_unique_within_a_verb_and_sorted() {
    assert!(FLAGS.is_sorted_by_key(|flag| flag.long));
    for verb in Verb::ALL {
        let mut longs: Vec<_> = of(verb).map(|flag| flag.long).collect();
        let mut shorts: Vec<_> = of(verb).filter_map(|flag| flag.short).collect();
        let (long_count, short_count) = (longs.len(), shorts.len());
        longs.sort_unstable();
        longs.dedup();
        shorts.sort_unstable();
        shorts.dedup();
        assert_eq!((longs.len(), shorts.len()), (long_count, short_count), "{verb:?}");
    }
    for flag in FLAGS {
        assert!(!flag.verbs.is_empty() && !flag.help.is_empty(), "{}", flag.long);
        assert!(flag.long.bytes().all(|b| b.is_ascii_lowercase() || b"-46".contains(&b)));
        assert!(flag.default.is_none() || flag.value.is_some(), "{}", flag.long);
    }
}

/// The separator of a flag and its value in the help.
fn separator(flag: &Flag) -> &'static str {
    if flag.alone.is_some() { "[=" } else { " " }
}

#[test]
fn the_words_of_ask_are_the_presets() {
    let ask = by_long(Verb::Run, "ask").unwrap();
    assert!(ask.words.iter().eq(crate::ask::PRESETS.iter().map(|preset| &preset.name)));
}

#[test]
fn an_optional_value_is_only_a_word_that_the_flag_accepts() {
    let probe = |line: &str| typed(line).map(|command| format!("{command:?}"));
    for (line, means) in [
        ("--probe h:80", "Some(All)"),
        ("--probe=none h:80", "Some(None)"),
        ("--probe none h:80", "Some(None)"),
        ("--probe sample h:80", "Some(Sample)"),
        ("h:80 --probe", "Some(All)"),
        ("--probe --probe none h:80", "Some(None)"),
        ("--probe -- none:80", "Some(All)"),
        ("h:80", "None"),
    ] {
        let shown = probe(line).unwrap();
        assert!(shown.contains(&format!("probe: {means}")), "{line}: {shown}");
    }
    assert!(probe("--probe=h:80").is_err());
}

/// The help with each flag on one line, as wide as that is.
fn unwrapped(text: &str) -> String {
    let mut whole = String::new();
    for line in text.lines() {
        let is_continued = line.starts_with(&" ".repeat(16));
        let rest = if is_continued { line.trim_start() } else { line };
        whole.push(if is_continued { ' ' } else { '\n' });
        whole.push_str(rest);
    }
    whole
}

#[test]
fn every_flag_is_in_the_help_of_its_verbs_only() {
    for verb in Verb::ALL {
        let wrapped = help::usage(verb);
        let text = unwrapped(&wrapped);
        let listed =
            text.lines().filter(|line| line.starts_with("  -") || line.starts_with("      --"));
        assert_eq!(listed.count(), of(verb).count(), "{verb:?}");
        for flag in of(verb) {
            let line = text.lines().find(|line| {
                line.trim_start().trim_start_matches(|c| c != ' ').contains(flag.help)
                    && line.contains(&format!("--{}{}", flag.long, separator(flag)))
            });
            let line = line.unwrap_or_else(|| panic!("{}", flag.long));
            if let Some(short) = flag.short {
                assert!(line.starts_with(&format!("  -{short}, --")), "{line}");
            }
            if let Some(value) = flag.value {
                assert!(
                    line.contains(&format!("--{}{}{value}", flag.long, separator(flag))),
                    "{line}"
                );
            }
            if let Some(default) = flag.default {
                assert!(line.ends_with(&format!("(default {default})")), "{line}");
            }
        }
        assert!(wrapped.lines().all(|line| line.chars().count() <= 80), "{wrapped}");
        assert!(wrapped.lines().all(|line| line.trim_end() == line), "{wrapped}");
        assert!(wrapped.starts_with(&format!("Usage of {}:\n", verb.command())));
        assert!(wrapped.ends_with('\n') && !wrapped.contains("\n\n\n"));
    }
}

#[test]
fn every_flag_has_an_effect_by_long_and_short_name() {
    for verb in Verb::ALL {
        for flag in of(verb) {
            let value = match (flag.long, flag.value) {
                (_, None) => "true",
                ("bind" | "source", _) => "::1",
                ("close", _) => "rst",
                ("report", _) => "full",
                ("rehearse", _) => "ok",
                ("probe", _) => "sample",
                ("progress" | "color", _) => "never",
                ("host", _) => "x:7",
                ("ask", _) => "tls=x",
                ("fail-if", _) => "errors>7",
                _ => "7",
            };
            let plain = typed(&line_of(verb, &format!("--{}={value}", flag.long))).unwrap();
            let mut forms = vec![format!("--{} {value}", flag.long)];
            if let Some(short) = flag.short {
                forms.push(format!("-{short}={value}"));
                forms.push(format!("-{short} {value}"));
                forms.push(format!("-{short}{value}"));
            }
            if flag.value.is_none() {
                // A switch takes a value after `=` only; without one it is on.
                forms = vec![format!("--{}", flag.long)];
                forms.extend(flag.short.map(|short| format!("-{short}")));
                forms.extend(flag.short.map(|short| format!("-{short}=t")));
            }
            for form in forms {
                assert_eq!(typed(&line_of(verb, &form)), Ok(plain.clone()), "{form}");
            }
            assert_ne!(typed(&line_of(verb, "")), Ok(plain), "--{} has no effect", flag.long);
        }
    }
}

#[test]
fn words_that_a_shell_offers_are_those_that_the_flag_accepts() {
    for flag in FLAGS {
        let effect = |value: &str| (flag.effect)(&mut Draft::new(), value);
        for word in flag.words {
            assert_eq!(effect(word), Ok(()), "--{} {word}", flag.long);
            let accepted = effect("no-such-word").unwrap_err();
            assert!(accepted.contains(word), "--{} {word}: {accepted}", flag.long);
        }
        // A list of words in the error is offered.
        let error = effect("no-such-word").err().unwrap_or_default();
        let is_listed = error.ends_with(" are accepted") && !error.contains(char::is_numeric);
        assert!(!is_listed || flag.value.is_none() || !flag.words.is_empty(), "{error}");
        assert_eq!(flag.value == Some("FILE"), flag.offer() == Offer::Files);
    }
    assert_eq!(by_long(Verb::Run, "host").unwrap().offer(), Offer::Hosts);
}

#[test]
fn the_help_lists_every_verb_and_ends_with_four_examples_that_are_accepted() {
    let text = help::usage(Verb::Run);
    for record in verb::listed() {
        let has = |line: &str| line.starts_with(&format!("  {} ", record.command));
        assert!(text.lines().any(has), "{}: {text}", record.word);
    }
    let (_, examples) = text.split_once("\nExamples:\n").unwrap();
    let lines: Vec<&str> =
        examples.lines().filter_map(|line| line.strip_prefix("  tcpgoon ")).collect();
    assert_eq!(lines.len(), 4, "{examples}");
    for line in lines {
        let words = line.split_whitespace().map(|word| word.replace('\'', "")).collect::<Vec<_>>();
        assert!(typed(&words.join(" ")).is_ok(), "{line}");
    }
}

#[test]
fn every_default_has_the_same_effect_as_no_flag() {
    for verb in Verb::ALL {
        let without = typed(&line_of(verb, "")).unwrap();
        for flag in of(verb).filter(|flag| flag.default.is_some()) {
            let default = flag.default.unwrap();
            assert_eq!((flag.effect)(&mut Draft::new(), default), Ok(()), "{}", flag.long);
            let explicit = format!("--{} {default}", flag.long);
            assert_eq!(typed(&line_of(verb, &explicit)), Ok(without.clone()), "{explicit}");
        }
        for flag in of(verb).filter(|flag| flag.value.is_none()) {
            let off = format!("--{}=false", flag.long);
            assert_eq!(typed(&line_of(verb, &off)), Ok(without.clone()), "{off}");
        }
    }
}

#[test]
fn an_empty_missing_or_non_utf8_value_is_an_error_with_the_name_of_the_flag() {
    for verb in Verb::ALL {
        let first = line_of(verb, "").split_whitespace().next().unwrap().to_string();
        for flag in of(verb) {
            let empty = format!("--{}=", flag.long);
            let line = mistake(vec![first.clone().into(), empty.into()]);
            assert!(line.starts_with(&format!("--{} '': ", flag.long)), "{line}");
            let mut raw = format!("--{}=", flag.long).into_bytes();
            raw.extend(b"a\xff\x1b");
            let line = mistake(vec![first.clone().into(), OsString::from_vec(raw)]);
            assert!(line.starts_with(&format!("--{} 'a\\xff\\u{{1b}}': ", flag.long)), "{line}");
            if let Some(value) = flag.value.filter(|_| flag.alone.is_none()) {
                let line = mistake(vec![first.clone().into(), format!("--{}", flag.long).into()]);
                let expected = format!("--{}: the value ({}) is missing", flag.long, value);
                assert!(line.starts_with(&expected), "{line}");
            }
        }
    }
}

#[test]
fn the_help_has_the_eight_lines_of_the_original_unchanged() {
    let text = help::usage(Verb::Run);
    let whole = unwrapped(&text);
    for line in ORIGINAL.lines().skip(1) {
        assert!(whole.lines().any(|shown| shown == line), "{line}\n{text}");
    }
    assert!(text.starts_with("Usage of tcpgoon:\n"));
    let readme = help::readme_block();
    for line in readme.lines().filter(|line| line.trim_start().starts_with('-')) {
        assert!(whole.lines().any(|shown| shown == line), "{line}\n{text}");
    }
    assert_eq!(help::TRY, help::try_line(Verb::Run));
}

#[test]
fn flags_are_found_by_name_and_verb() {
    assert_eq!(by_long(Verb::Run, "connections").unwrap().default, Some("100"));
    assert_eq!(by_long(Verb::Calibrate, "connections").unwrap().default, None);
    assert!(by_long(Verb::Run, "bind").is_none());
}
