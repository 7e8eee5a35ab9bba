//! The built program, with what is typed first by people that know other tools. All that can be typed is
//! tested beside the table in src/cli/habits.rs.

use std::net::TcpListener;

use crate::common::{Outcome, Running, Served, listener, tcpgoon_as_typed};

/// Splits at white space, and `TARGET` is the address of a listener.
fn words<'a>(line: &'a str, target: &'a str) -> Vec<&'a str> {
    line.split_whitespace().map(|word| if word == "TARGET" { target } else { word }).collect()
}

fn run(args: &[&str]) -> Outcome {
    Running::start(tcpgoon_as_typed(args)).outcome()
}

fn is_untouched(listener: &TcpListener) -> bool {
    listener.set_nonblocking(true).unwrap();
    listener.accept().is_err()
}

#[test]
fn a_habit_is_answered_in_two_lines_and_nothing_is_dialed() {
    let listener = listener("127.0.0.1");
    let target = listener.local_addr().unwrap().to_string();
    for (typed, said, next) in [
        ("-y TARGET -n 10", "unknown flag -n: did you mean -c, --connections (", "-y TARGET -c 10"),
        ("-y TARGET -V", "unknown flag -V: did you mean --version?", "-y TARGET --version"),
        (
            "-y TARGET --timeout 5",
            "unknown flag --timeout: did you mean",
            "-y TARGET --dial-timeout 5",
        ),
        (
            "-y TARGET --concurrency 9",
            "unknown flag --concurrency: did you mean --connections (",
            "-y TARGET --connections 9",
        ),
        (
            "-y TARGET --delay 5",
            "unknown flag --delay: did you mean --sleep (",
            "-y TARGET --sleep 5",
        ),
        (
            "--force TARGET",
            "unknown flag --force: did you mean --assume-yes",
            "--assume-yes TARGET",
        ),
        ("-y TARGET --tls", "unknown flag --tls: TLS is not supported", "-y TARGET"),
        (
            "-y TARGET --bind 127.0.0.9",
            "--bind belongs to 'tcpgoon serve': did you mean --source (",
            "-y TARGET --source 127.0.0.9",
        ),
        (
            "-y TARGET -connections 5",
            "-connections: a long flag begins",
            "-y TARGET --connections 5",
        ),
        (
            "-y TARGET \u{2014}connections 5",
            "'\u{2014}connections': flags",
            "-y TARGET --connections 5",
        ),
        ("-y TARGET --conections 5", "unknown flag --conections: did", "-y TARGET --connections 5"),
        ("-y TARGET http://me@h/x", "'http://me@h/x': a host and a port are", "-y TARGET h:80"),
        ("-y TARGET,a:1", "'TARGET,a:1': each target is a word", "-y TARGET a:1"),
        ("-y TARGET ::1:80", "'::1:80': an IPv6 address with a port is", "-y TARGET [::1]:80"),
        ("-y TARGET localhost", "'localhost' has no port: give", "-y TARGET localhost:PORT"),
        ("-y TARGET -t 1h30", "--dial-timeout '1h30': a number", "-y TARGET -t 1h30m"),
        ("-c 5 -d30s http://TARGET/", "-d is --debug and takes no", "-c 5 --hold 30s TARGET"),
        ("serv", "'serv': neither a verb nor a target", "serve"),
        (
            "serve --bind 127.0.0.1 -h",
            "-h belongs to 'tcpgoon': did you",
            "serve --bind 127.0.0.1 --help",
        ),
    ] {
        let (typed, said, next) = (
            typed.replace("TARGET", &target),
            said.replace("TARGET", &target),
            next.replace("TARGET", &target),
        );
        let run = run(&words(&typed, &target));
        run.assert_code(1);
        assert_eq!(run.stdout, "", "{typed}");
        let lines: Vec<&str> = run.stderr.lines().collect();
        assert_eq!(lines.len(), 2, "{run:#?}");
        assert!(lines[0].starts_with(&format!("tcpgoon: {said}")), "{run:#?}");
        assert_eq!(lines[1], format!("try: tcpgoon {next}"));
    }
    assert!(is_untouched(&listener));
}

#[test]
fn what_is_suggested_works_when_it_is_typed() {
    let server = Served::start(&["-i", "0"]);
    let wrong = format!("-y -n 5 --delay 1 --force http://{}/index.html", server.target());
    let answer = run(&words(&wrong, "")).stderr;
    let suggested = answer.lines().nth(1).unwrap().strip_prefix("try: tcpgoon ").unwrap();
    assert_eq!(run(&words(suggested, "")).assert_code(0).last().established, 5);
}

#[test]
fn what_has_one_meaning_is_accepted() {
    let server = Served::start(&["-i", "0"]);
    for line in ["run -y -c 1e1 -s 0 TARGET", "-y -c 10 --rate 1,000/s --hold 1msec -t 1min TARGET"]
    {
        let run = run(&words(line, &server.target()));
        assert_eq!(run.assert_code(0).last().established, 10, "{line}");
    }
    let served = run(&["serve", "0", "--duration", "1msec", "-i", "0"]);
    served.assert_code(0);
    for line in ["help", "help run", "help serve"] {
        let help = run(&words(line, ""));
        assert!(help.assert_code(0).stdout.starts_with("Usage of tcpgoon"), "{line}");
    }
}
