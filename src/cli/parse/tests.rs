use std::os::unix::ffi::OsStringExt;

use proptest::prelude::*;

use super::*;
use crate::args::{CheckArgs, End, Family, HostPort};
use crate::display::Display;
use crate::outputs::Outputs;
use crate::plan::{Close, Hold, Pace};
use crate::units::Span;

/// Parses a line, split at white space.
pub fn typed(line: &str) -> Result<Command, Error> {
    parse(line.split_whitespace().map(OsString::from))
}

fn run(line: &str) -> Args {
    match typed(line) {
        Ok(Command::Run(args)) => *args,
        other => panic!("{line}: {other:?}"),
    }
}

fn serve(line: &str) -> ServeArgs {
    match typed(&format!("serve {line}")) {
        Ok(Command::Serve(args)) => args,
        other => panic!("{line}: {other:?}"),
    }
}

/// The line about the mistake; the second one is what to type.
pub fn mistake(argv: Vec<OsString>) -> String {
    match parse(argv.clone()) {
        Err(Error::Usage(lines)) => {
            let (line, hint) = lines.split_once('\n').unwrap();
            assert!(hint.starts_with("try: "), "{argv:?}: {hint}");
            line.to_string()
        }
        other => panic!("{argv:?}: {other:?}"),
    }
}

fn wrong(line: &str) -> String {
    mistake(line.split_whitespace().map(OsString::from).collect())
}

#[test]
fn a_run_has_the_defaults_of_the_original() {
    let expected = Args {
        targets: vec![HostPort { host: "h".into(), port: 80 }],
        connections: 100,
        pace: Pace::sleep(Span::from_ms(10)),
        dial_timeout: Some(Span::from_s(5)),
        interval: Some(Span::from_s(1)),
        lifetime: None,
        hold_beside: 0,
        duration: None,
        hold: Hold::For(Span::ZERO),
        settle: Span::from_s(1),
        family: Family::Any,
        all_addresses: false,
        sources: vec![],
        close: Close::Fin,
        checks: CheckArgs::default(),
        errors_max: None,
        debug: false,
        assume_yes: false,
        dry_run: false,
        rehearsal: None,
        display: Display::default(),
        outputs: Outputs::default(),
    };
    for line in ["--host h --port 80", "-h h -p 80", "--port=80 -hh", "h:80", "h 80", "-p80 h"] {
        assert_eq!(run(line), expected, "{line}");
    }
}

#[test]
fn a_target_without_a_port_takes_that_of_ask() {
    for (line, ports) in [
        ("h --ask redis", &[6379][..]),
        ("h --ask redis --reply-timeout 1", &[6379]),
        ("h i:80 --ask tls=x", &[443, 80]),
        ("h i --ask http -p 8080", &[8080, 8080]),
        ("h 81 i --ask ssh", &[81, 22]),
    ] {
        let args = run(line);
        assert!(args.targets.iter().map(|target| target.port).eq(ports.iter().copied()), "{line}");
    }
    let targets = ["127.0.0.1:80".parse().unwrap()];
    let targets = targets.map(|address| crate::route::Target { host: "x".into(), address });
    let plan = run("h --ask http=www.example.com").plan(targets.into(), &[]).unwrap();
    let check = plan.reply_check.unwrap();
    assert!(check.send.starts_with(b"HEAD / HTTP/1.1\r\nHost: www.example.com\r\n"));
    assert_eq!((&*check.expect, plan.preset.unwrap().name), (&b"HTTP/"[..], "http"));
}

#[test]
fn a_server_listens_on_the_loopback_by_default() {
    let expected = ServeArgs {
        bind: "127.0.0.1".parse().unwrap(),
        port: 54_321,
        connections_max: None,
        interval: Some(Span::from_s(1)),
        duration: None,
        backlog: None,
        accept_delay: Span::ZERO,
        never_accept: false,
        end: None,
        banner: Vec::new(),
        echo: false,
        flood: false,
        until_eof: false,
    };
    assert_eq!(serve(""), expected);
    assert_eq!(typed("calibrate"), Ok(Command::Calibrate(CalibrateArgs { connections: None })));
}

#[test]
fn the_examples_of_the_original_are_parsed() {
    let args = run("--host myhttpsamplehost.com --port 80 --connections 10 --sleep 999 -y");
    assert_eq!(args.targets, [HostPort { host: "myhttpsamplehost.com".into(), port: 80 }]);
    assert_eq!((args.connections, args.pace), (10, Pace::sleep(Span::from_ms(999))));
    assert!(args.assume_yes && !args.debug);
}

#[test]
fn values_take_fractions_and_units_and_zero_is_special() {
    for (flags, connections) in [("-c 1", 1), ("-c1.5k", 1500), ("-c 64m", 64_000_000)] {
        assert_eq!(run(&format!("h:80 {flags}")).connections, connections);
    }
    for (flags, timeout) in [
        ("-t 0", None),
        ("-t 0.5", Some(Span::from_ms(500))),
        ("-t 250ms", Some(Span::from_ms(250))),
        ("-t 1m30s", Some(Span::from_s(90))),
    ] {
        assert_eq!(run(&format!("h:80 {flags}")).dial_timeout, timeout, "{flags}");
    }
    for (flags, pace) in [
        ("-s 0", Pace::UNPACED),
        ("-s 0.5", Pace::sleep(Span::from_us(500))),
        ("-s 2s", Pace::sleep(Span::from_s(2))),
        ("--rate 0.5", Pace::rate(500)),
        ("--rate 2.5k", Pace::rate(2_500_000)),
        ("--rate 10m", Pace::rate(10_000_000_000)),
    ] {
        assert_eq!(run(&format!("h:80 {flags}")).pace, pace, "{flags}");
    }
    assert_eq!(run("h:80 -i 0").interval, None);
    assert_eq!(run("h:80 -i 100us").interval, Some(Span::from_us(100)));
    assert_eq!(run("h:80 --hold 1.5").hold, Hold::For(Span::from_ms(1500)));
    for forever in ["forever", "inf", "infinity"] {
        assert_eq!(run(&format!("h:80 --hold {forever}")).hold, Hold::Forever);
    }
    assert_eq!(run("h:80 -c 10,000"), run("h:80 -c 1e4"));
    assert_eq!(run("h:80 --hold 1min --rate 100/s"), run("h:80 --hold 60sec --rate 100"));
    assert_eq!(run("h:http,https"), run("h:80,443"));
    assert_eq!(serve("--duration 2 --accept-delay 3").duration, Some(Span::from_s(2)));
    assert_eq!(serve("--accept-delay 3").accept_delay, Span::from_s(3));
    assert_eq!(serve("--close-after 0").end, Some((Span::ZERO, End::Close)));
    assert_eq!(serve("--reset-after 5ms").end, Some((Span::from_ms(5), End::Reset)));
    assert_eq!(serve("-m 2k -p0 --bind ::").connections_max, Some(2000));
    assert_eq!(serve("8080"), serve("-p 8080"));
    assert_eq!(serve("--bind :: 8080"), serve("-p 8080 --bind ::"));
    assert_eq!(serve("0.0.0.0:8080 -m 5"), serve("-p 8080 --bind 0.0.0.0 -m 5"));
    assert_eq!(serve("[::1]:0"), serve("-p 0 --bind ::1"));
    assert_eq!(serve("--banner 220\\r\\n").banner, b"220\r\n");
    let measured = typed("calibrate -c 2k");
    assert_eq!(measured, Ok(Command::Calibrate(CalibrateArgs { connections: Some(2000) })));
}

#[test]
fn the_last_of_a_repeated_flag_counts() {
    let args = run("-c 1 -c 2 -s 1 -s 2 -h a -h b -p 1 -p 2 -4 -6 -y --assume-yes=false -d=0 -d");
    assert_eq!((args.connections, args.pace), (2, Pace::sleep(Span::from_ms(2))));
    assert_eq!(args.targets, [HostPort { host: "b".into(), port: 2 }]);
    assert_eq!((args.family, args.assume_yes, args.debug), (Family::V6, false, true));
    assert_eq!(run("h:80 --rate 1 --rate 2").pace, Pace::rate(2000));
    assert_eq!(run("h:80 -64").family, Family::V4);
}

#[test]
fn flags_are_parsed_as_in_the_original() {
    let args = run("-yc10 h --debug=true 80 -dt 2");
    assert_eq!((args.connections, args.dial_timeout), (10, Some(Span::from_s(2))));
    assert!(args.assume_yes && args.debug);
    assert!(!run("h:80 -y=F -d").assume_yes);
    assert_eq!(run("-- h 80"), run("h 80"));
    assert_eq!(run("-y -- serve 80").targets[0].host, "serve");
    assert!(wrong("h:80 -- -y").starts_with("'-y': a host does not begin with a dash"));
    assert!(wrong("h:80 --host --port 80").starts_with("--host '--port': a host does not begin"));
}

#[test]
fn only_the_first_word_is_a_verb() {
    assert_eq!(run("-y serve 80").targets[0].host, "serve");
    assert_eq!(run("h calibrate 80").targets[1].host, "calibrate");
    assert_eq!(run("--host explain -p 80").targets[0].host, "explain");
    assert_eq!(run("-y explain 80").targets[0].host, "explain");
    assert_eq!(run("run h 80 -c 5"), run("h 80 -c 5"));
    assert_eq!(run("run run 80").targets[0].host, "run");
    assert_eq!(run("--host run -p 80").targets[0].host, "run");
    assert_eq!(run("--host help -p 80").targets[0].host, "help");
    assert_eq!(typed("explain"), Ok(Command::Explain(None)));
    assert_eq!(typed("explain path-mtu"), Ok(Command::Explain(Some(Cause::PathMtu))));
    assert_eq!(run("help:80").targets[0].host, "help");
    assert_eq!(typed("completions zsh"), Ok(Command::Completions("zsh")));
    assert_eq!(typed("man"), Ok(Command::Man));
    assert_eq!(run("--host man -p 80").targets[0].host, "man");
    assert_eq!(run("--host version -p 80").targets[0].host, "version");
    assert_eq!(run("--host merge -p 80").targets[0].host, "merge");
    for line in ["version", "--version", "--version --nonsense", "-y --version"] {
        assert_eq!(typed(line), Ok(Command::Version), "{line}");
    }
    for (line, verb) in [
        ("--help", Verb::Run),
        ("--help --nonsense", Verb::Run),
        ("h:80 --help", Verb::Run),
        ("--debug --help=1", Verb::Run),
        ("version --help", Verb::Run),
        ("serve --help", Verb::Serve),
        ("serve -p 0 --help x", Verb::Serve),
        ("calibrate --help", Verb::Calibrate),
        ("explain --help", Verb::Explain),
        ("explain nonsense --help", Verb::Explain),
        ("run --help", Verb::Run),
        ("help", Verb::Run),
        ("help run", Verb::Run),
        ("help help", Verb::Run),
        ("help version", Verb::Run),
        ("help serve", Verb::Serve),
        ("help calibrate", Verb::Calibrate),
        ("report --help", Verb::Report),
        ("help report", Verb::Report),
        ("help explain", Verb::Explain),
        ("help man", Verb::Man),
        ("completions --help", Verb::Completions),
    ] {
        assert_eq!(typed(line), Ok(Command::Help(verb)), "{line}");
    }
}

#[test]
fn each_mistake_is_one_line_with_what_is_accepted() {
    let no_checks = "--lifetime takes no --hold or --probe, and --ask, --send and --expect only with \
                     --hold-beside";
    for (line, expected) in [
        ("", "a host is required: give HOST:PORT, or --host HOST --port PORT"),
        ("-p 80", "a host is required: give HOST:PORT, or --host HOST --port PORT"),
        ("80", "'80': this is a port, and no host comes before it: give HOST PORT or HOST:PORT"),
        ("h", "'h' has no port: give HOST:PORT, HOST PORT or --port"),
        ("--host ::1", "'::1' has no port: give [HOST]:PORT, HOST PORT or --port"),
        ("h:80 -c 0", "--connections '0': 1 to 64m are accepted, also as 1.5k or 2m"),
        ("h:80 -c 65m", "--connections '65m': 1 to 64m are accepted, also as 1.5k or 2m"),
        (
            "h -p 0",
            "--port '0': port '0' does not exist, ports are 1 to 65535, alone or in a list with \
             ranges as in 8000-8009,9000",
        ),
        ("--host h:90-80", "--host 'h:90-80': 90-80 runs backwards, the lower port comes first"),
        (
            "h:80 -t 5x",
            "--dial-timeout '5x': a number with or without a unit (us, ms, s, m, h), at most 10 \
             days, is accepted; without a unit it is seconds",
        ),
        (
            "h:80 --sleep ten",
            "--sleep 'ten': a number with or without a unit (us, ms, s, m, h), at most 10 days, \
             is accepted; without a unit it is milliseconds",
        ),
        (
            "h:80 --hold always",
            "--hold 'always': a number with or without a unit (us, ms, s, m, h), at most 10 days, \
             is accepted; without a unit it is seconds; or the word forever",
        ),
        (
            "h:80 --rate 0",
            "--rate '0': 0.001 to 10m dials a second are accepted, also as 0.5 or 2.5k",
        ),
        (
            "h --ask htp",
            "--ask 'htp': http[=HOST], tls[=NAME], redis, ssh, smtp, mysql and postgres are accepted",
        ),
        ("h --ask redis=5", "--ask 'redis=5': redis takes no value"),
        (
            "h --ask tls=a/b",
            "--ask 'tls=a/b': a name is accepted, as tls=example.com: no blanks, slashes or control \
             characters, at most 259 bytes",
        ),
        ("h --ask redis --expect x", "--ask has its own --send and --expect: give it, or these"),
        ("h --ask redis --send x", "--ask has its own --send and --expect: give it, or these"),
        ("h:80 --rate 5 -s 1", "--rate and --sleep both set the pace: give one of them"),
        ("h:80 --lifetime 1 --hold 5", no_checks),
        (
            "h:80 --lifetime forever",
            "--lifetime 'forever': a number with or without a unit (us, ms, s, m, h), at most 10 days, \
             is accepted; without a unit it is seconds",
        ),
        ("h:80 --debug=yes", "--debug 'yes': true and false are accepted"),
        ("h:80 -d=", "--debug '': true and false are accepted"),
        ("h:80 --conections 5", "unknown flag --conections: did you mean --connections?"),
        ("h:80 --prot=5", "unknown flag --prot: did you mean --port?"),
        ("h:80 --baner x", "unknown flag --baner: did you mean --banner of 'tcpgoon serve'?"),
        ("h:80 --conn=5", "unknown flag --conn: did you mean --connections?"),
        ("calibrate --conn=5", "unknown flag --conn: did you mean --connections?"),
        ("serve --hots x", "unknown flag --hots: did you mean --host of 'tcpgoon'?"),
        ("h:80 --nonsense", "unknown flag --nonsense"),
        ("h:80 -Q", "unknown flag -Q: did you mean -q, --quiet?"),
        ("h:80 -yQ5", "unknown flag -Q: did you mean -q, --quiet?"),
        ("h:80 --banner x", "--banner belongs to 'tcpgoon serve', not to 'tcpgoon'"),
        ("serve --rate 5", "--rate belongs to 'tcpgoon', not to 'tcpgoon serve'"),
        ("serve -s 5", "-s, --sleep belongs to 'tcpgoon', not to 'tcpgoon serve'"),
        ("calibrate -p 80", "-p, --port belongs to 'tcpgoon', not to 'tcpgoon calibrate'"),
        ("serve x", "'x': a port is accepted, or an IP address with one, as in 0.0.0.0:8080"),
        ("serve 80 81", "'81': one port is accepted, as in 'tcpgoon serve 8080'"),
        ("serve 80 -p 81", "'80': --port is given as well: give one of them"),
        ("serve ::1:80", "'::1:80': an IPv6 address with a port is in brackets"),
        ("serve [::1]:80 --bind ::", "'[::1]:80': --bind is given as well: give one of them"),
        ("explain path-mt", "'path-mt': no cause has this id; did you mean path-mtu?"),
        ("explain -p 80", "-p, --port belongs to 'tcpgoon', not to 'tcpgoon explain'"),
        ("calibrate h:80", "'h:80': 'tcpgoon calibrate' takes flags only"),
        (
            "serve -p 80-81",
            "--port '80-81': a port from 1 to 65535 is accepted, or 0 for any free port",
        ),
        ("serve --bind x", "--bind 'x': an IP address is accepted, as 127.0.0.1, 0.0.0.0 or ::1"),
        (
            "serve --close-after 1 --reset-after 1",
            "--close-after and --reset-after both end a connection: give one",
        ),
        ("serve --echo --flood", "--echo and --flood both send data: give one of them"),
        (
            "serve --banner \\q",
            "--banner '\\q': 1 to 4096 bytes are accepted, with escapes \\r \\n \\t \\0 \\xNN \\\\",
        ),
        (
            "merge a b",
            "'merge' is reserved for a verb of a later version; for a host of that name use --host merge",
        ),
        ("man x", "'x': 'tcpgoon man' takes flags only"),
        ("schema x", "'x': 'tcpgoon schema' takes flags only"),
        ("completions", "a shell is required: bash, zsh or fish"),
        ("completions csh", "'csh': bash, zsh and fish are accepted"),
        ("completions bash zsh", "'zsh': one shell is accepted"),
        (
            "version 80",
            "'80': 'tcpgoon version' takes no arguments; for a host of that name use \
             --host version",
        ),
    ] {
        assert_eq!(wrong(line), expected, "{line}");
    }
}

#[test]
fn bytes_of_arguments_are_escaped() {
    let raw = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
    assert_eq!(mistake(vec![raw(b"h\xff:80")]), "'h\\xff:80': not UTF-8");
    assert_eq!(mistake(vec!["serve".into(), raw(b"\xff")]), { "'\\xff': not UTF-8" });
    assert_eq!(mistake(vec![raw(b"--\x1b[2J\n")]), "unknown flag --\\u{1b}[2J\\n");
    assert_eq!(mistake(vec![raw(b"-\x07")]), "unknown flag -\\u{7}");
    assert_eq!(mistake(vec![raw(b"--a\xff")]), "unknown flag --a\u{fffd}");
    assert_eq!(mistake(vec![raw(b"-\xff")]), "unknown flag -\u{fffd}");
    assert!(mistake(vec![format!("--{}", "x".repeat(100_000)).into()]).chars().count() < 150);
}

/// What other tools accept, and what is half typed.
const HABITS: &[&str] = &[
    "--timeout",
    "--delay=5",
    "-zv",
    "-n",
    "-n100",
    "--tls",
    "-port",
    "-host=h",
    "\u{2014}port",
    "-d30s",
    "-lk",
    "http://u@h/p",
    "a:1,b:2",
    "a,b",
    "::1:80",
    ":80",
    "h:",
    "h/80",
    "10.0.0.0/24",
    "10.0.0.1-9",
    "port=80",
    "serv",
    "run",
    "help",
    "localhost",
    "http",
    "1h30",
    "5S",
    "--bind",
    "--interface",
    "eth0",
    "-h",
    "-V",
];

const VALUES: &[&str] =
    &["", "0", "1", "5k", "0.5", "1m30s", "forever", "h:80", "::1", "80-90", "\\x41", "\n"];

/// Words close to the grammar.
fn any_word() -> impl Strategy<Value = OsString> {
    let longs: Vec<&str> = FLAGS.iter().map(|flag| flag.long).collect();
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..12).prop_map(OsString::from_vec),
        (prop::sample::select(longs.clone()), prop::sample::select(VALUES))
            .prop_map(|(long, value)| format!("--{long}={value}").into()),
        prop::sample::select(longs).prop_map(|long| format!("--{long}").into()),
        "-[a-z46=]{1,4}".prop_map(OsString::from),
        prop::sample::select(VALUES).prop_map(OsString::from),
        prop::sample::select(HABITS).prop_map(OsString::from),
        prop::sample::select(&["serve", "calibrate", "explain", "version", "merge", "--", "-"][..])
            .prop_map(OsString::from),
    ]
}

/// Whether a command line that is suggested is accepted, once its HOST and PORT are filled in; one
/// that only a shell can read is not tried.
fn is_accepted(hint: &str) -> bool {
    let Some(line) = hint.strip_prefix("try: tcpgoon ") else { return true };
    let line = line.replace("HOST:PORT", "h:80").replace(":PORT", ":80");
    line.contains(['\'', '\\']) || typed(&line).is_ok()
}

proptest! {
    #[test]
    fn no_arguments_cause_a_panic_or_more_than_two_lines(
        argv in prop::collection::vec(any_word(), 0..8)
    ) {
        match parse(argv.clone()) {
            Ok(Command::Run(args)) => prop_assert!(!args.targets.is_empty()),
            Ok(_) => {}
            Err(Error::Usage(lines)) => {
                let (line, hint) = lines.split_once('\n').unwrap();
                prop_assert!((hint.starts_with("try: tcpgoon ") || hint == "try: ip -br address") && !line.is_empty());
                prop_assert!(!(line.to_string() + hint).contains(|c: char| c.is_control()), "{}", lines);
                prop_assert!(line.chars().count() < 400, "{}", line);
                prop_assert!(is_accepted(hint), "{:?}: {}", argv, hint);
            }
            Err(other) => prop_assert!(false, "{:?}: {:?}", argv, other),
        }
    }
}
