use super::*;
use crate::cli::flags::FLAGS;
use crate::cli::parse::parse;
use crate::error::Error;
use crate::units::parse_count;

/// The words of a line as a shell parts them: quotes are all that is needed here.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut is_quoted = false;
    for c in line.chars() {
        match c {
            '\'' => is_quoted = !is_quoted,
            ' ' if !is_quoted => words.push(String::new()),
            c => words.last_mut().unwrap().push(c),
        }
    }
    words
}

/// The two lines about a command line that is not accepted.
fn answers(line: &str) -> (String, String) {
    match parse(words(line).into_iter().map(Into::into)) {
        Err(Error::Usage(lines)) => {
            let (line, next) = lines.split_once('\n').unwrap();
            assert!(!next.contains('\n'), "{lines}");
            (line.into(), next.strip_prefix("try: ").unwrap().into())
        }
        other => panic!("{line}: {other:?}"),
    }
}

/// A word that such a flag is followed by, and that our flag accepts which is suggested for it.
fn example(habit: &Habit) -> Option<&'static str> {
    Some(match (habit.takes, habit.fix) {
        (Takes::Nothing, _) => return None,
        (Takes::Address, _) | (_, Fix::Flag("bind")) => "127.0.0.1",
        (Takes::Word, Fix::Flag("source")) => "127.0.0.0/30",
        (Takes::Word, Fix::Flag("fail-if")) => "errors>0",
        (Takes::Word, Fix::Value) => "127.0.0.1:80",
        (Takes::Word, Fix::Command(_)) => "eth0",
        (Takes::Time, _) => "30s",
        (Takes::Json, _) => "json",
        _ => "5",
    })
}

#[test]
fn every_habit_is_answered_and_what_is_suggested_is_accepted() {
    for habit in HABITS {
        assert!(!habit.tools.is_empty() && !habit.names.is_empty(), "{habit:?}");
        for name in habit.names {
            // By now a flag of ours, or one is missing that the answer needs.
            if !is_ours(habit.verb, name) && habit.fix.exists(habit.verb) {
                check(habit, name);
            }
        }
    }
}

fn check(habit: &Habit, name: &str) {
    let example = example(habit);
    let first = find(habit.verb, name, example).unwrap();
    assert!(std::ptr::eq(first, habit), "{name}: {first:?} hides {habit:?}");
    let flag = if name.len() == 1 { format!("-{name}") } else { format!("--{name}") };
    let value = example.map(|word| format!(" {word}")).unwrap_or_default();
    let verb = match (habit.verb, habit.fix) {
        (Verb::Run, Fix::Value | Fix::Verb(_)) => "",
        (Verb::Run, Fix::Flag("port")) => "h ",
        (Verb::Run, _) => "h:80 ",
        (Verb::Serve, _) => "serve ",
        (Verb::Calibrate, _) => "calibrate ",
        (Verb::Report, _) => "report run.json ",
        (Verb::Explain, _) => "explain ",
        (Verb::Schema, _) => "schema ",
        (Verb::Completions, _) => "completions ",
        (Verb::Man, _) => "man ",
    };
    let line = format!("{verb}{flag}{value}");
    let (said, next) = answers(&line);
    assert!(said.contains(&flag) && said.contains(first.text), "{line}: {said}");
    assert!(said.chars().count() < 140, "{said}");
    match habit.fix {
        Fix::Command(command) => assert_eq!(next, command, "{line}"),
        _ => {
            let typed = words(next.strip_prefix("tcpgoon ").unwrap());
            assert!(!typed.contains(&flag), "{line}: {next}");
            let accepted = parse(typed.into_iter().map(Into::into));
            assert!(accepted.is_ok(), "{line}: {next}");
        }
    }
}

/// Whether the verb has a flag of this name by now.
fn is_ours(verb: Verb, name: &str) -> bool {
    let is_named = |flag: &&crate::cli::flags::Flag| {
        flag.long == name || flag.short.is_some_and(|short| name == short.to_string())
    };
    FLAGS.iter().filter(|flag| flag.belongs_to(verb)).any(|flag| is_named(&flag))
}

#[test]
fn a_flag_is_no_file() {
    for (typed, next) in [
        ("h:80 --json -y", "tcpgoon h:80 --json - -y"),
        ("h:80 --events --json x", "tcpgoon h:80 --events - --json x"),
        ("--markdown -c 5 h:80", "tcpgoon --markdown - -c 5 h:80"),
        ("h:80 -o json", "tcpgoon h:80 --json -"),
        ("h:80 --format=JSON -y", "tcpgoon h:80 --json - -y"),
        ("h:80 --output x.csv", "tcpgoon h:80"),
    ] {
        assert_eq!(answers(typed).1, next, "{typed}");
    }
}

#[test]
fn first_lines_of_other_tools_end_in_a_command_that_runs() {
    for (typed, next) in [
        // ab(1), wrk's README, oha's and hey's, k6's and vegeta's.
        ("-n 1000 -c 10 http://127.0.0.1/index.html", "tcpgoon -c 10 127.0.0.1:80"),
        ("-k -n 1000 -c 10 -t 5 http://h:8080/", "tcpgoon -c 10 -t 5 h:8080"),
        (
            "-t12 -c400 -d30s http://127.0.0.1:8080/index.html",
            "tcpgoon -t12 -c400 --hold 30s 127.0.0.1:8080",
        ),
        ("-t2 -c100 -d30s -R2000 http://h/", "tcpgoon -t2 -c100 --hold 30s --rate 2000 h:80"),
        ("-z 10s -c 50 --qps 100 http://h:80", "tcpgoon --hold 10s -c 50 --rate 100 h:80"),
        ("run --vus 10 --duration 30s h:80", "tcpgoon run --connections 10 --duration 30s h:80"),
        ("-u 10 -d 30s h:80", "tcpgoon -c 10 --hold 30s h:80"),
        ("attack -duration=5s -rate=100/s h:80", "tcpgoon run --duration=5s --rate=100/s h:80"),
        // curl(1).
        ("-v https://user:secret@example.com/a?b#c", "tcpgoon -d example.com:443"),
        ("-sS http://h/", "tcpgoon --help"),
        ("-s http://h/", "tcpgoon h:80"),
        ("--connect-timeout 5 --max-time 10 h:80", "tcpgoon --dial-timeout 5 h:80"),
        ("-H 'Host: x' -X POST --data hello h:80", "tcpgoon --send hello h:80"),
        // iperf3(1).
        ("-c 10.0.0.1 -P 10 -p 5201", "tcpgoon 10.0.0.1 -c 10 -p 5201"),
        ("-c iperf.example.com -P 10 -p 5201 -J", "tcpgoon --help"),
        ("-s", "tcpgoon serve"),
        ("-c 10.0.0.1:80 -B 10.0.0.7", "tcpgoon 10.0.0.1:80 --source 10.0.0.7"),
        // nc(1).
        ("-zv h 80", "tcpgoon -d h 80"),
        ("-nz -w 3 10.0.0.1 80-90", "tcpgoon -t 3 10.0.0.1 80-90"),
        ("-l 8080", "tcpgoon serve 8080"),
        ("-lk 8080", "tcpgoon serve 8080"),
        ("-s 10.0.0.7 h 80", "tcpgoon --source 10.0.0.7 h 80"),
        ("localhost http", "tcpgoon localhost 80"),
        // hping3(8), nping(1).
        ("-S -p 80 --flood h", "tcpgoon -p 80 --sleep 0 h"),
        ("-S -p 80 -i u1000 h", "tcpgoon -p 80 --sleep 1000us h"),
        ("--tcp-connect -p 80 --count 10 --rate 5 h", "tcpgoon -p 80 --connections 10 --rate 5 h"),
        ("--tcp -p 80 --delay 5ms -c 10 h", "tcpgoon -p 80 --sleep 5ms -c 10 h"),
    ] {
        let (_, suggested) = answers(typed);
        if typed.contains("-J") && suggested != next {
            // Once there is a --json.
            assert!(suggested.ends_with(" --json -"), "{typed}: {suggested}");
            continue;
        }
        assert_eq!(suggested, next, "{typed}");
    }
}

#[test]
fn a_habit_is_named_with_our_flag_and_its_unit() {
    let connections = "(connections open at once)";
    for (typed, said, next) in [
        (
            "h:80 -n 1000",
            "unknown flag -n: did you mean -c, --connections (connections open at once, each \
             dialed once)?",
            "h:80 -c 1000",
        ),
        ("h:80 -V", "unknown flag -V: did you mean --version?", "h:80 --version"),
        (
            "h:80 --timeout=5",
            "unknown flag --timeout: did you mean --dial-timeout (time for one handshake, in s)?",
            "h:80 --dial-timeout=5",
        ),
        (
            "--timeout 5",
            "unknown flag --timeout: did you mean --dial-timeout (time for one handshake, in s)?",
            "--dial-timeout 5 HOST:PORT",
        ),
        (
            "h:80 --concurrency 50",
            &format!("unknown flag --concurrency: did you mean --connections {connections}?"),
            "h:80 --connections 50",
        ),
        (
            "h:80 --count 5",
            &format!("unknown flag --count: did you mean --connections {connections}?"),
            "h:80 --connections 5",
        ),
        (
            "h:80 --delay 5",
            "unknown flag --delay: did you mean --sleep (time between two dials, in ms)?",
            "h:80 --sleep 5",
        ),
        (
            "h:80 -f",
            "unknown flag -f: did you mean -y, --assume-yes (no question before the run)?",
            "h:80 -y",
        ),
        (
            "h:80 --interface 10.0.0.7",
            "unknown flag --interface: did you mean --source (addresses of this host to dial from)?",
            "h:80 --source 10.0.0.7",
        ),
        (
            "h:80 --bind 10.0.0.7",
            "--bind belongs to 'tcpgoon serve': did you mean --source (addresses of this host to \
             dial from)?",
            "h:80 --source 10.0.0.7",
        ),
        (
            "h:80 --tls",
            "unknown flag --tls: to begin a TLS handshake on each connection, give --ask tls",
            "h:80 --ask tls",
        ),
        (
            "h:443 --servername a.example",
            "unknown flag --servername: to name the server in a TLS ClientHello, give --ask tls=NAME",
            "h:443 --ask tls=a.example",
        ),
        (
            "h:443 --servername",
            "unknown flag --servername: to name the server in a TLS ClientHello, give --ask tls=NAME",
            "h:443 --ask tls",
        ),
        (
            "h -H x:y -p 80",
            "unknown flag -H: of HTTP there is HEAD / only, by --ask http; --send sends bytes as \
             they are",
            "h -p 80",
        ),
        ("serve -h", "-h belongs to 'tcpgoon': did you mean --help?", "serve --help"),
        (
            "serve --host 0.0.0.0",
            "--host belongs to 'tcpgoon': did you mean --bind (the IP address to listen on)?",
            "serve --bind 0.0.0.0",
        ),
        ("calibrate 5k", "'5k': 'tcpgoon calibrate' takes flags only", "calibrate -c 5k"),
        ("-h", "--host: the value (string) is missing; help is --help", "--help"),
    ] {
        assert_eq!(answers(typed), (said.into(), format!("tcpgoon {next}")), "{typed}");
    }
    let (said, next) = answers("h:80 --interface eth0");
    assert_eq!(said, "unknown flag --interface: give the addresses of the interface to --source");
    assert_eq!(next, "ip -br address");
}

#[test]
fn a_flag_behind_the_wrong_dash_is_not_read_as_its_letters() {
    for (typed, said, next) in [
        (
            "h -port 80",
            "-port: a long flag begins with two dashes; did you mean --port?",
            "h --port 80",
        ),
        (
            "-host=h -port=80",
            "-host=h: a long flag begins with two dashes; did you mean --host?",
            "--host=h --port=80",
        ),
        ("-help", "-help: a long flag begins with two dashes; did you mean --help?", "--help"),
        (
            "h:80 -hold 30",
            "-hold: a long flag begins with two dashes; did you mean --hold?",
            "h:80 --hold 30",
        ),
        (
            "h \u{2014}port 80",
            "'\u{2014}port': flags begin with '-', not with this dash; did you mean --port?",
            "h --port 80",
        ),
        (
            "h \u{2013}p80",
            "'\u{2013}p80': flags begin with '-', not with this dash; did you mean -p80?",
            "h -p80",
        ),
        (
            "h:80 \u{2212}c 5",
            "'\u{2212}c': flags begin with '-', not with this dash; did you mean -c?",
            "h:80 -c 5",
        ),
    ] {
        assert_eq!(answers(typed), (said.into(), format!("tcpgoon {next}")), "{typed}");
    }
    // Where a value can stand it is one.
    assert!(parse(words("h:80 --send -port").into_iter().map(Into::into)).is_ok());
}

#[test]
fn a_target_in_another_form_is_shown_in_ours() {
    let url = "a host and a port are accepted, not a URL";
    let apart = "each target is a word of its own";
    let brackets = "an IPv6 address with a port is in brackets";
    let bare = "a host and a port are accepted, without a user and a path";
    for (typed, why, next) in [
        ("http://example.com/", url, "example.com:80"),
        (
            "https://me@example.com:8443/a/b",
            &format!("{url} (for TLS give --ask tls)"),
            "example.com:8443",
        ),
        ("http://[::1]/", url, "[::1]:80"),
        ("tcp://h:22", url, "h:22"),
        ("tcp://h", url, "h:PORT"),
        ("redis://h", url, "h:6379"),
        ("example.com/index.html", bare, "example.com:PORT"),
        ("me@h:22", bare, "h:22"),
        ("h/80", bare, "h:80"),
        ("h:80/tcp", bare, "h:80"),
        ("/dev/tcp/h/80", bare, "h:80"),
        ("a:1,b:2", apart, "a:1 b:2"),
        ("a,b:80", apart, "a:80 b:80"),
        ("a:80,81,b:82", apart, "a:80,81 b:82"),
        ("'a 80'", apart, "a 80"),
        ("::1:80", brackets, "[::1]:80"),
        ("2001:db8::1:443", brackets, "[2001:db8::1]:443"),
        ("fe80::1%eth0:80", brackets, "[fe80::1%eth0]:80"),
        ("1:2:3:4:5:6:7:8:80", brackets, "[1:2:3:4:5:6:7:8]:80"),
        ("127.0.0.1.80", "a colon separates host and port", "127.0.0.1:80"),
        (":8080", "the host is missing", "localhost:8080"),
        ("h:", "the port is missing", "h:PORT"),
        ("[localhost]:80", "brackets are for an IPv6 address", "localhost:80"),
        ("10.0.0.0/24:80", "a range of addresses is written A-B", "10.0.0.1-10.0.0.254:80"),
        ("10.0.0.1-9:80", "both ends of a range are complete addresses", "10.0.0.1-10.0.0.9:80"),
        ("h:8000:8009", "a range of ports is written with a dash", "h:8000-8009"),
    ] {
        let (said, suggested) = answers(typed);
        let word = words(typed).remove(0);
        assert_eq!(said, format!("'{word}': {why}"), "{typed}");
        assert_eq!(suggested, format!("tcpgoon {next}"), "{typed}");
    }
    assert_eq!(answers("a,b -p 80").1, "tcpgoon a b -p 80");
    assert_eq!(answers("--host http://h/").1, "tcpgoon h:80");
    assert_eq!(answers("--host a,b -p 80").1, "tcpgoon a b -p 80");
    assert_eq!(answers("::1").1, "tcpgoon [::1]:PORT");
}

#[test]
fn a_value_in_another_spelling_is_shown_in_ours() {
    for (typed, next) in [
        ("h:80 -t 1h30", "h:80 -t 1h30m"),
        ("h:80 -t 1m30", "h:80 -t 1m30s"),
        ("h:80 --hold 0,5", "h:80 --hold 0.5"),
        ("h:80 -t '5 s'", "h:80 -t 5s"),
        ("h:80 -t none", "h:80 -t 0"),
        ("h:80 -t 5S", "h:80 -t 5s"),
        ("h:80 --close=RST", "h:80 --close rst"),
        ("h:80 -y=yes", "h:80 -y=true"),
        ("h:80 --probe=ALL", "h:80 --probe=all"),
        ("h -p 80/tcp", "h -p 80"),
        ("h -p :80", "h -p 80"),
        ("h -p 8000:8009", "h -p 8000-8009"),
        ("h -p 8000..8009", "h -p 8000-8009"),
        ("h:80 --rate 100/min", "--help"),
        ("h:80 --source 10.0.0.0/33", "--help"),
        ("h:80 -c lots", "--help"),
        ("h 80 100", "h 80 -c 100"),
        ("80", "localhost:80"),
        ("-t 5 80", "-t 5 localhost:80"),
        ("-c 5 80", "-c 5 localhost:80"),
        ("-c 5 h 80 81", "-c 5 h 80,81"),
        ("-c 5 h:80 81", "-c 5 h:80,81"),
        ("port=80 host=h", "--port=80 --host=h"),
        ("h -d 30 80", "h --hold 30 80"),
        ("h:80 -d=30s", "h:80 --hold 30s"),
        // Where slots dial again, there is no hold.
        ("h:80 --lifetime 0 -d 30s", "h:80 --lifetime 0 --duration 30s"),
        ("-d30s h:80 --lifetime=1", "--duration 30s h:80 --lifetime=1"),
        ("h:80 --lifetime 1 --run-time=9", "h:80 --lifetime 1 --duration=9"),
        ("h:80 --requests-per-second 9", "h:80 --rate 9"),
        ("h:80 --cps 9 --lifetime 0", "h:80 --rate 9 --lifetime 0"),
        ("h:80 --channel-lifetime 1s", "h:80 --lifetime 1s"),
        ("h:80 --disable-keepalive -c 9", "h:80 --lifetime 0 -c 9"),
    ] {
        assert_eq!(answers(typed).1, format!("tcpgoon {next}"), "{typed}");
    }
    for line in ["h:80 -i eth0", "h:80 --source eth0", "h:80 --bind eth0", "h:80 -B eth0"] {
        assert_eq!(answers(line).1, "ip -br address", "{line}");
    }
}

#[test]
fn a_verb_is_recognized_where_no_target_can_be_meant() {
    let neither = |verb| format!("neither a verb nor a target with its port: did you mean {verb}?");
    for (typed, verb) in [
        ("serv", "serve"),
        ("Serve", "serve"),
        ("server", "serve"),
        ("listen", "serve"),
        ("calibrat", "calibrate"),
        ("explian", "explain"),
        ("hlep", "help"),
        ("vesion", "version"),
    ] {
        let said = format!("'{typed}': {}", neither(verb));
        assert_eq!(answers(typed), (said, format!("tcpgoon {verb}")), "{typed}");
    }
    assert_eq!(answers("connect h:80").1, "tcpgoon run h:80");
    assert_eq!(answers("help serv").1, "tcpgoon help serve");
    assert_eq!(answers("help nonsense").1, "tcpgoon --help");
    // A host of such a name.
    for line in ["serv 80", "server:80", "-p 80 server", "connect 80"] {
        assert!(parse(words(line).into_iter().map(Into::into)).is_ok(), "{line}");
    }
    assert_eq!(answers("serve :8080").1, "tcpgoon serve 0.0.0.0:8080");
    assert_eq!(answers("serve localhost:8080").1, "tcpgoon serve 127.0.0.1:8080");
    assert_eq!(answers("explain accept-queue-ful").1, "tcpgoon explain accept-queue-full");
    assert_eq!(answers("explain fd").1, "tcpgoon explain");
}

#[test]
fn a_name_that_does_not_resolve_may_be_a_verb() {
    let error = |name: &str, first: &str| {
        let error = Error::Resolve { name: name.into(), why: "no such name".into() };
        crate::cli::with_verb(error, Some(first.as_ref())).to_string()
    };
    let hint = "cannot resolve serv: no such name; did you mean 'tcpgoon serve'?";
    assert_eq!(error("serv", "serv"), hint);
    assert_eq!(error("serv", "-y"), "cannot resolve serv: no such name");
    assert_eq!(error("example", "example"), "cannot resolve example: no such name");
}

#[test]
fn a_value_that_means_one_thing_is_accepted() {
    assert_eq!(parse_count("10,000"), parse_count("1e4"));
    for line in ["h:80 -c 10,000", "h:80 -c 1e4", "h:80 -t 1min", "h:80 -t 60sec", "localhost:http"]
    {
        assert!(parse(words(line).into_iter().map(Into::into)).is_ok(), "{line}");
    }
}
