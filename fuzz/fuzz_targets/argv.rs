//! Bytes → argv → `Args` → `Plan` → the first turn. No argument list panics, what is accepted is within
//! its bounds, and a wrong argument is two plain lines.

#![no_main]

use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::ffi::OsStringExt;

use libfuzzer_sys::fuzz_target;
use tcpgoon::args::Args;
use tcpgoon::cli::flags::FLAGS;
use tcpgoon::cli::parse::{Command, parse};
use tcpgoon::engine::Engine;
use tcpgoon::error::Error;
use tcpgoon::plan::{CONNECTIONS_MAX, Hold};
use tcpgoon::route::{SOURCES_MAX, Target};
use tcpgoon::units::{Moment, SPAN_MAX, Span};

/// Longer lists of targets are slow and cover nothing new.
const TARGETS_MAX: usize = 1_000;
const CONNECTIONS_TRIED_MAX: u32 = 1_000;

/// Arguments are separated by zeros, as in the kernel. One that begins with a byte above ASCII is a flag
/// of the table, so that the fuzzer need not guess names.
fn argv(data: &[u8]) -> Vec<OsString> {
    let word = |bytes: &[u8]| match bytes {
        [first @ 0xf8..=0xff, rest @ ..] => {
            let (choice, rest) = rest.split_first().unwrap_or((first, rest));
            let flag = &FLAGS[usize::from(*choice) % FLAGS.len()];
            [b"--", flag.long.as_bytes(), rest].concat()
        }
        _ => bytes.to_vec(),
    };
    data.split(|byte| *byte == 0).map(|bytes| OsString::from_vec(word(bytes))).collect()
}

fn check_error(error: &Error) {
    let Error::Usage(words) = error else { panic!("{error:?} is no mistake of usage") };
    let lines: Vec<&str> = words.split('\n').collect();
    assert_eq!(lines.len(), 2, "{words:?}");
    for line in lines {
        assert!(!line.is_empty(), "{words:?}");
        assert!(!line.chars().any(char::is_control), "{words:?} has control characters");
    }
}

fn check_args(args: &Args) {
    assert!((1..=CONNECTIONS_MAX).contains(&args.connections));
    assert!(!args.targets.is_empty());
    assert!(args.targets.iter().all(|target| target.port > 0 && !target.host.is_empty()));
    let hold = match args.hold {
        Hold::For(span) => Some(span),
        Hold::Forever => None,
    };
    for span in [args.dial_timeout, args.interval, hold, Some(args.pace.span)].into_iter().flatten()
    {
        assert!(span <= SPAN_MAX);
    }
    let zero = Some(Span::ZERO);
    assert!(
        args.dial_timeout != zero && args.interval != zero,
        "zero means none, and none is None"
    );
}

fn run(args: &Args) {
    let address = |port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
    let targets = args.targets.iter().take(TARGETS_MAX);
    let targets = targets.map(|t| Target { host: t.host.clone(), address: address(t.port) });
    assert!(args.sources.len() <= SOURCES_MAX);
    // A zone needs an interface.
    let sources = args.sources.iter().filter_map(|source| source.parse::<IpAddr>().ok());
    let sources: Vec<_> = sources.map(|source| SocketAddr::new(source, 0)).collect();
    let plan = match args.plan(targets.collect(), &sources) {
        Ok(plan) => plan,
        // Too many routes, or no source of the targets' family.
        Err(error) => return assert!(!sources.is_empty(), "{error}"),
    };
    assert!(!plan.routes.to_string().is_empty());
    if plan.connections <= CONNECTIONS_TRIED_MAX {
        let mut engine = Engine::new(&plan, Moment(1)).expect("memory");
        let mut actions = Vec::new();
        engine.turn(Moment(2), &[], &mut actions);
        engine.audit();
        assert!(actions.len() >= 2, "a sample and a dial, not {actions:?}");
    }
}

fn check(argv: Vec<OsString>) {
    match parse(argv) {
        Ok(Command::Run(args)) => {
            check_args(&args);
            run(&args);
        }
        Ok(_) => {}
        Err(error) => check_error(&error),
    }
}

fuzz_target!(|data: &[u8]| {
    let words = argv(data);
    // Most checks come after the target.
    let target = std::iter::once(OsString::from("127.0.0.1:80"));
    check(target.chain(words.iter().cloned()).collect());
    check(words);
});
