use proptest::prelude::*;

use super::*;

/// Each target as `host port`, in order.
fn targets(typed: &[&str]) -> Result<Vec<String>, String> {
    let words: Vec<String> = typed.iter().map(|word| word.to_string()).collect();
    let targets = assemble(None, &words, None).map_err(|mistake| mistake.line())?;
    Ok(targets.iter().map(|target| format!("{} {}", target.host, target.port)).collect())
}

fn why_not(typed: &[&str]) -> String {
    targets(typed).expect_err(&format!("{typed:?}"))
}

#[test]
fn each_form_of_a_target_is_read() {
    for (typed, expected) in [
        (&["h:80"][..], &["h 80"][..]),
        (&["h", "80"], &["h 80"]),
        (&["example.com:0080"], &["example.com 80"]),
        (&["127.0.0.1:65535"], &["127.0.0.1 65535"]),
        (&["[::1]:80"], &["::1 80"]),
        (&["::1", "80"], &["::1 80"]),
        (&["[::1]", "80"], &["::1 80"]),
        (&["[127.0.0.1]:80"], &["127.0.0.1 80"]),
        (&["[fe80::1%eth0]:80"], &["fe80::1%eth0 80"]),
        (&["fe80::1%br-lan", "80"], &["fe80::1%br-lan 80"]),
        (&["::ffff:1.2.3.4", "80"], &["::ffff:1.2.3.4 80"]),
        // An IPv6 address, though it does not look like one.
        (&["::1:80", "81"], &["::1:80 81"]),
        (&["a-b-c:80"], &["a-b-c 80"]),
        (&["10.0.0.1-b.example:80"], &["10.0.0.1-b.example 80"]),
        (&["80:81"], &["80 81"]),
        (&["h:http"], &["h 80"]),
        (&["[::1]:HTTP-alt"], &["::1 8080"]),
        (&["h:8000-8001,ssh"], &["h 8000", "h 8001", "h 22"]),
        (&["3com.example:80"], &["3com.example 80"]),
        (&["bücher.example:80"], &["bücher.example 80"]),
    ] {
        let expected: Vec<String> = expected.iter().map(|target| target.to_string()).collect();
        assert_eq!(targets(typed), Ok(expected), "{typed:?}");
    }
}

#[test]
fn a_number_is_the_port_of_the_hosts_before_it_without_one() {
    assert_eq!(targets(&["a", "b", "80"]).unwrap(), ["a 80", "b 80"]);
    assert_eq!(targets(&["a", "b", "80", "c", "81"]).unwrap(), ["a 80", "b 80", "c 81"]);
    assert_eq!(targets(&["a:1", "b", "80"]).unwrap(), ["a 1", "b 80"]);
    assert_eq!(targets(&["a", "b:1", "80-81,70"]).unwrap().join(", "), { "a 80, a 81, a 70, b 1" });
}

#[test]
fn ranges_expand_hosts_outer_and_ports_inner() {
    let range = ["10.0.0.254-10.0.1.1:8000-8001,9000"];
    let hosts = ["10.0.0.254", "10.0.0.255", "10.0.1.0", "10.0.1.1"];
    let expected: Vec<String> =
        hosts.iter().flat_map(|h| [8000, 8001, 9000].map(|p| format!("{h} {p}"))).collect();
    assert_eq!(targets(&range), Ok(expected));
    for typed in ["[::f]-[::11]:80", "[::f-::11]:80"] {
        assert_eq!(targets(&[typed]).unwrap(), ["::f 80", "::10 80", "::11 80"], "{typed}");
    }
    assert_eq!(targets(&["::f-::10", "80"]).unwrap(), ["::f 80", "::10 80"]);
    assert_eq!(targets(&["[10.0.0.1]-[10.0.0.2]:80"]).unwrap(), ["10.0.0.1 80", "10.0.0.2 80"]);
    assert_eq!(targets(&["10.0.0.1-10.0.0.1:80"]).unwrap(), ["10.0.0.1 80"]);
    // The ends of the number space, where a loop can overflow.
    assert_eq!(targets(&["255.255.255.255-255.255.255.255:65535-65535"]).unwrap().len(), 1);
    let last = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
    assert_eq!(targets(&[&format!("[{last}-{last}]:1")]).unwrap().len(), 1);
}

#[test]
fn the_host_flag_comes_first_and_the_port_flag_is_the_fallback() {
    let words = ["b".to_string(), "c:3".to_string()];
    let fallback = Ports::parse("1-2").ok();
    let host = Group::parse("[::a]:9").ok();
    let all = assemble(host, &words, fallback.clone()).unwrap();
    let shown: Vec<String> = all.iter().map(|t| format!("{} {}", t.host, t.port)).collect();
    assert_eq!(shown, ["::a 9", "b 1", "b 2", "c 3"]);
    // Only --host accepts a host that is a number.
    let all = assemble(Group::parse("80").ok(), &["81".into()], fallback).unwrap();
    assert_eq!(all, [HostPort { host: "80".into(), port: 81 }]);
    assert_eq!(assemble(None, &[], None), Ok(vec![]));
}

#[test]
fn each_mistake_is_one_line_that_names_the_word() {
    for (typed, named, expected) in [
        (&["h"][..], "'h' has no port", "give HOST:PORT, HOST PORT or --port"),
        (&["a:1", "b"], "'b' has no port", "give HOST:PORT"),
        (&["a", "80", "b"], "'b' has no port", "give HOST:PORT"),
        (&["::1:80"], "'::1:80' has no port", "give [HOST]:PORT"),
        (&["[::1]"], "'[::1]' has no port", "give HOST:PORT"),
        (&["h:"], "'h:'", "ports are 1 to 65535"),
        (&["h:0"], "'h:0'", "port '0' does not exist"),
        (&["h", "0"], "'0'", "port '0' does not exist"),
        (&["h:70000"], "'h:70000'", "port '70000' does not exist, ports are 1 to 65535"),
        (&["h", "99999999999999999999"], "'99999999999999999999'", "does not exist"),
        (&["h:htp"], "'h:htp'", "ports are 1 to 65535"),
        (&["h:http-https"], "'h:http-https'", "ports are 1 to 65535"),
        (&["h:+80"], "'h:+80'", "ports are 1 to 65535"),
        (&["h:80,"], "'h:80,'", "ports are 1 to 65535"),
        (&["h", "80-"], "'80-'", "ports are 1 to 65535"),
        (&["h", "80-90-91"], "'80-90-91'", "ports are 1 to 65535"),
        (&["h:90-80"], "'h:90-80'", "90-80 runs backwards"),
        (&["80"], "'80'", "no host comes before it"),
        (&["80", "h"], "'80'", "no host comes before it"),
        (&["h", "80", "81"], "'81'", "already have one"),
        (&["h:80", "81"], "'81'", "already have one"),
        (&[""], "''", "the host is missing"),
        (&[":80"], "':80'", "the host is missing"),
        (&["[::1"], "'[::1'", "not closed"),
        (&["[::1]-[::9:80"], "'[::1]-[::9:80'", "not closed"),
        (&["[::1]80"], "'[::1]80'", "only a port may follow"),
        (&["[::1]-::9"], "'[::1]-::9'", "need brackets"),
        (&["[]:80"], "'[]:80'", "for an IPv6 address"),
        (&["[h]:80"], "'[h]:80'", "for an IPv6 address"),
        (&["[a-b]:80"], "'[a-b]:80'", "are IP addresses"),
        (&["::1]:80"], "'::1]:80'", "not an IPv6 address"),
        (&["h]:80"], "'h]:80'", "brackets are for IPv6"),
        (&["::g", "80"], "'::g'", "not an IPv6 address"),
        (&["fe80::1%", "80"], "'fe80::1%'", "not an IPv6 address"),
        (&["fe80::1%much-too-long-a-name", "80"], "'fe80", "not an IPv6 address"),
        (&["[fe80::1%e]-[fe80::2%e]:80"], "'[fe80", "without a zone"),
        (&["h:80:90"], "'h:80:90'", "not an IPv6 address"),
        (&["10.0.0.9-10.0.0.1:80"], "'10.0.0.9-10.0.0.1:80'", "runs backwards"),
        (&["[::9-::1]:80"], "'[::9-::1]:80'", "runs backwards"),
        (&["10.0.0.1-::1", "80"], "'10.0.0.1-::1'", "of one family"),
        (&["[10.0.0.1-::1]:80"], "'[10.0.0.1-::1]:80'", "of one family"),
        (&["10.0.0.1-9:80"], "'10.0.0.1-9:80'", "are full addresses"),
        (&["10.0.0.1-10.0.0.999:80"], "'10.0.0.1-10.0.0.999:80'", "are full addresses"),
        (&["http://h:80/"], "'http://h:80/'", "not a URL"),
        (&["10.0.0.0/24:80"], "'10.0.0.0/24:80'", "no slash"),
        (&["a,b:80"], "'a,b:80'", "no comma"),
        (&["a b:80"], "'a b:80'", "no white space"),
        (&["a\nb:80"], "'a\\nb:80'", "no control characters"),
        (&["-"], "'-'", "begin with a dash"),
    ] {
        let why = why_not(typed);
        assert!(why.starts_with(named) && why.contains(expected), "{typed:?}: {why}");
        assert!(!why.contains('\n'), "{why}");
    }
    let (longest, too_long) = ("x".repeat(253), "x".repeat(254));
    assert!(targets(&[&longest, "80"]).is_ok());
    assert!(why_not(&[&too_long, "80"]).contains("at most 253 bytes"));
}

#[test]
fn too_many_targets_are_counted_and_not_expanded() {
    assert_eq!(targets(&["10.0.0.0-10.0.255.255:80"]).unwrap().len(), TARGETS_MAX);
    assert_eq!(targets(&["h:1-65535"]).unwrap().len(), 65_535);
    for (typed, total) in [
        (&["10.0.0.0-10.255.255.255:80"][..], "16777216"),
        (&["10.0.0.0-10.0.255.255:80", "h:80"], "65537"),
        (&["a", "b", "1-65535"], "131070"),
        (&["0.0.0.0-255.255.255.255:1-65535"], "281470681743360"),
        (
            &["[::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:1-9"],
            "340282366920938463463374607431768211455",
        ),
    ] {
        let why = why_not(typed);
        let expected = format!(": {total} targets in all, at most 65536 are accepted");
        assert!(why.ends_with(&expected), "{why}");
    }
}

/// A host as it is written without a port, and with one.
fn any_host() -> impl Strategy<Value = (String, String)> {
    let v4 = any::<u32>().prop_map(|bits| Ipv4Addr::from(bits).to_string());
    let v6 = any::<u128>().prop_map(|bits| Ipv6Addr::from(bits).to_string());
    let name = "[a-z]([a-z0-9.-]{0,20}[a-z0-9])?";
    prop_oneof![
        name.prop_map(|name| (name.clone(), name)),
        v4.prop_map(|address| (address.clone(), address)),
        v6.prop_map(|address| (address.clone(), format!("[{address}]"))),
    ]
}

proptest! {
    #[test]
    fn targets_are_parsed_as_they_are_written(
        typed in prop::collection::vec((any_host(), 1u16.., 0..3u8), 1..20)
    ) {
        let mut words = Vec::new();
        let mut expected = Vec::new();
        for ((bare, bracketed), port, form) in typed {
            match form {
                0 => words.push(format!("{bracketed}:{port}")),
                1 => words.extend([bare.clone(), port.to_string()]),
                _ => words.extend([bracketed, port.to_string()]),
            }
            expected.push(HostPort { host: bare, port });
        }
        prop_assert_eq!(assemble(None, &words, None), Ok(expected));
    }

    #[test]
    fn no_words_cause_a_panic_or_more_than_one_line(
        words in prop::collection::vec("[\\[\\]:.%,0-9a-f-]{0,30}|\\PC{0,10}|.{0,4}", 0..6)
    ) {
        match assemble(None, &words, None) {
            Ok(targets) => prop_assert!(targets.len() <= TARGETS_MAX),
            Err(mistake) => {
                let why = mistake.line();
                prop_assert!(!why.contains(|c: char| c.is_control()), "{}", why);
            }
        }
    }
}
