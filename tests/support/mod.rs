//! What the suites with other programs in them need beside `common`: network namespaces, a
//! directory of one's own, and the form of the original's output.

// Each test binary uses another part of it.
#![allow(dead_code)]

pub mod hosts;
pub mod servers;
pub mod verdicts;

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::common::words::{self, Stats, matches, span};
use crate::common::{Outcome, skip};

/// A number that nothing else in this process has been given.
fn serial() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// The words of a command line without anything to be quoted.
pub fn command(words: &str) -> Command {
    let mut words = words.split_whitespace();
    let mut command = Command::new(words.next().unwrap());
    command.args(words).stdin(Stdio::null());
    command
}

/// Runs a command that has to succeed, with `input` on its standard input, and returns what it
/// prints.
#[track_caller]
pub fn succeed(mut command: Command, input: &str) -> String {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} < {input:?}: {stderr}");
    String::from_utf8(output.stdout).unwrap()
}

/// A directory of one's own, removed when dropped.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new() -> Scratch {
        let name = format!("scratch-{}-{}", std::process::id(), serial());
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&path).unwrap();
        Scratch(path)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What the original prints of a run.
#[derive(Debug)]
pub struct Original {
    /// The lines while it went on.
    pub stats: Vec<Stats>,
    /// The line below the header.
    pub last: Stats,
    /// Of those established and those failed: min, avg, max, dev.
    pub established: Option<[Duration; 4]>,
    pub failed: Option<[Duration; 4]>,
}

/// Reads a run's output as a script made for the original would, and makes sure that it is what
/// that script expects: lines that begin with all NotInitiated and balance, the header, a last
/// line, and timings of as many as there were.
#[track_caller]
pub fn original(run: &Outcome, target: &str) -> Original {
    let header = format!("--- {target} tcp test statistics ---\n");
    let (before, after) = run.stdout.split_once(&header).unwrap_or_else(|| panic!("{run:#?}"));
    let stats = words::stats(before);
    assert_eq!(stats.len(), before.lines().count(), "something between the lines: {before}");
    assert_eq!(stats[0].not_initiated, stats[0].total, "{run:#?}");
    for pair in stats.windows(2) {
        assert!(pair[1].not_initiated <= pair[0].not_initiated, "{pair:?}");
        assert!(pair[1].error >= pair[0].error && pair[1].closed >= pair[0].closed, "{pair:?}");
    }
    let last = words::stats(after)[0];
    assert_eq!(last.total, stats[0].total, "{run:#?}");
    let mut lines = after.lines().skip(1).peekable();
    let mut timing = |which: &str, count: u64| {
        let shape = format!("Timing stats for # {which} connections min/avg/max/dev = @/@/@/@");
        let words = lines.next_if(|_| count > 0)?;
        let words = matches(words, &shape).unwrap_or_else(|| panic!("not '{shape}': {words}"));
        assert_eq!(words[0], count.to_string(), "{run:#?}");
        let [min, avg, max, dev] = [1, 2, 3, 4].map(|index| span(&words[index]));
        assert!(min <= avg && avg <= max && dev <= max - min, "{words:?}");
        assert_eq!(max.subsec_nanos() % 1000, 0, "it is truncated to microseconds: {words:?}");
        Some([min, avg, max, dev])
    };
    // Those that the peer has closed since were established once.
    let established = timing("established", last.established + last.closed);
    // A dial that was skipped took no time.
    let skipped = after.lines().find_map(|line| matches(line, "Dials skipped: #, *"));
    let skipped: u64 = skipped.map_or(0, |words| words[0].parse().unwrap());
    let failed = timing("failed", last.error - skipped);
    // What follows is ours.
    assert!(lines.next().is_some_and(|line| line.starts_with("--- tcpgoon ")), "{run:#?}");
    Original { stats, last, established, failed }
}

/// The line at the end of a run in which everything was decided.
pub fn decided(total: u64, established: u64, closed: u64) -> Stats {
    let error = total - established - closed;
    Stats { total, dialing: 0, established, closed, error, not_initiated: 0 }
}

/// What the report says of errors, without their number.
#[track_caller]
pub fn errors(run: &Outcome) -> String {
    let [count, reasons] = &run.find("Errors: #, by reason: *")[..] else {
        unreachable!("two wildcards")
    };
    assert_eq!(*count, run.last().error.to_string());
    reasons.clone()
}

/// A network of its own for the programs that are started in it; removed when dropped.
#[derive(Debug)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// One with a loopback that is up; `None`, and said aloud, where that is not to be had.
    pub fn make() -> Option<Namespace> {
        let bare = Namespace::make_bare()?;
        bare.run("ip link set lo up");
        Some(bare)
    }

    /// One in which no interface is up.
    pub fn make_bare() -> Option<Namespace> {
        let name = format!("tcpgoon-{}-{}", std::process::id(), serial());
        let made = command("nft --version").output().map_err(|error| format!("nftables: {error}"));
        let made = made.and_then(|_| {
            let output = command(&format!("ip netns add {name}")).output();
            output.map_err(|error| format!("iproute2: {error}"))
        });
        let why = match made {
            Ok(output) if output.status.success() => return Some(Namespace { name }),
            Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            Err(why) => why,
        };
        skip(&format!("a network namespace wants root, iproute2 and nftables ({why})"));
        None
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// A program in here.
    pub fn command(&self, program: impl AsRef<OsStr>, words: &str) -> Command {
        let mut command = command(&format!("ip netns exec {}", self.name));
        command.arg(program).args(words.split_whitespace());
        command
    }

    /// The built program in here.
    pub fn tcpgoon(&self, words: &str) -> Command {
        self.command(env!("CARGO_BIN_EXE_tcpgoon"), words)
    }

    /// Runs a tool of the system that has to succeed, and returns what it prints.
    #[track_caller]
    pub fn run(&self, words: &str) -> String {
        let (program, words) = words.split_once(' ').unwrap_or((words, ""));
        succeed(self.command(program, words), "")
    }

    /// Sets a value below `/proc/sys`, in here only.
    #[track_caller]
    pub fn set(&self, path: &str, value: &str) {
        succeed(self.command("tee", &format!("/proc/sys/{path}")), value);
    }

    /// Adds firewall rules, one a line, for what comes in or goes out (`input`, `output`).
    #[track_caller]
    pub fn firewall(&self, hook: &str, rules: &str) {
        let chain = format!("chain {hook} {{\ntype filter hook {hook} priority 0\n{rules}\n}}");
        succeed(self.command("nft", "-f -"), &format!("table inet test {{\n{chain}\n}}\n"));
    }

    /// Adds a rule that translates addresses, at `prerouting` (destinations) or `postrouting`.
    #[track_caller]
    pub fn translate(&self, hook: &str, rule: &str) {
        let priority = if hook == "prerouting" { -100 } else { 100 };
        let chain =
            format!("chain {hook} {{\ntype nat hook {hook} priority {priority}\n{rule}\n}}");
        succeed(self.command("nft", "-f -"), &format!("table ip nat {{\n{chain}\n}}\n"));
    }

    /// Joins the two with a cable: this one becomes 10.9.0.1 and fd00:9::1, the other one 10.9.0.2
    /// and fd00:9::2. What they have to tell each other of the unreachable is not rationed.
    pub fn join(&self, other: &Namespace) {
        self.run(&format!("ip link add cable type veth peer name cable netns {}", other.name));
        for (namespace, number) in [(self, 1), (other, 2)] {
            namespace.run("ip link set cable up");
            namespace.run(&format!("ip address add 10.9.0.{number}/24 dev cable"));
            namespace.set("net/ipv4/icmp_ratelimit", "0");
            if has_ipv6() {
                namespace.run(&format!("ip address add fd00:9::{number}/64 dev cable nodad"));
                namespace.set("net/ipv6/icmp/ratelimit", "0");
            }
        }
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = command(&format!("ip netns delete {}", self.name)).status();
    }
}

pub fn has_ipv6() -> bool {
    Path::new("/proc/sys/net/ipv6").exists()
}
