//! Network namespaces, with programs in them and sockets of this process.

use std::ffi::OsStr;
use std::fs::File;
use std::net::{SocketAddrV4, TcpStream};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::Command;
use std::thread;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, setns};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, bind, connect, socket};

use super::program::{program, with_full_report};
use super::tools::{command, serial, succeed};
use super::wait::{DEADLINE, skip, wait_until};

/// SYNs that `Namespace::lose_syns` loses, drawn once.
const LOST_OF_100: [u8; 30] = [
    2, 3, 7, 8, 11, 13, 19, 21, 22, 24, 27, 28, 30, 33, 34, 35, 37, 38, 39, 46, 50, 51, 61, 66, 68,
    70, 78, 87, 92, 97,
];

/// A network namespace, removed when dropped.
#[derive(Debug)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// One with its loopback up; `None`, and a loud skip, where that is impossible.
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
        skip(&format!("a network namespace needs root, iproute2 and nftables ({why})"));
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

    /// The built program in here, as [`tcpgoon`](super::program::tcpgoon).
    pub fn tcpgoon(&self, words: &str) -> Command {
        let words: Vec<&str> = words.split_whitespace().collect();
        self.command(program(), &with_full_report(&words).join(" "))
    }

    /// Runs a command that has to succeed, and returns what it prints.
    #[track_caller]
    pub fn run(&self, words: &str) -> String {
        let (program, words) = words.split_once(' ').unwrap_or((words, ""));
        succeed(self.command(program, words), "")
    }

    /// Sets a sysctl below `/proc/sys`, in here only.
    #[track_caller]
    pub fn set(&self, path: &str, value: &str) {
        succeed(self.command("tee", &format!("/proc/sys/{path}")), value);
    }

    /// Loses the same 30 of each 100 SYNs to a port, in random order: the outcome is no matter of luck.
    pub fn lose_syns(&self, port: u16) {
        let lost: Vec<String> = LOST_OF_100.iter().map(|syn| format!("{syn} : drop")).collect();
        let verdicts = format!("numgen inc mod 100 vmap {{ {} }}", lost.join(", "));
        self.firewall("input", &format!("tcp dport {port} tcp flags syn {verdicts}"));
    }

    /// Adds firewall rules, one a line, at the hook `input` or `output`.
    #[track_caller]
    pub fn firewall(&self, hook: &str, rules: &str) {
        let chain = format!("chain {hook} {{\ntype filter hook {hook} priority 0\n{rules}\n}}");
        succeed(self.command("nft", "-f -"), &format!("table inet test {{\n{chain}\n}}\n"));
    }

    /// Adds a NAT rule, at `prerouting` (destinations) or `postrouting`.
    #[track_caller]
    pub fn translate(&self, hook: &str, rule: &str) {
        let priority = if hook == "prerouting" { -100 } else { 100 };
        let chain =
            format!("chain {hook} {{\ntype nat hook {hook} priority {priority}\n{rule}\n}}");
        succeed(self.command("nft", "-f -"), &format!("table ip nat {{\n{chain}\n}}\n"));
    }

    /// Joins two namespaces with a veth pair: this one is 10.9.0.1 and fd00:9::1, the other 10.9.0.2
    /// and fd00:9::2. ICMP errors are not rate-limited.
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
        [self, other].iter().for_each(|namespace| namespace.wait_for_link("cable"));
    }

    /// Waits until a link is up: before, segments are dropped.
    pub fn wait_for_link(&self, device: &str) {
        wait_until("a link is up", || {
            self.run(&format!("ip -o link show dev {device}")).contains("state UP").then_some(())
        });
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

/// Calls `open` from inside a namespace, in a thread that ends with it.
pub fn inside<T: Send>(namespace: &str, open: impl FnOnce() -> T + Send) -> T {
    let file = File::open(format!("/run/netns/{namespace}")).unwrap();
    let enter = move || {
        setns(file, CloneFlags::CLONE_NEWNET).unwrap();
        open()
    };
    thread::scope(|scope| scope.spawn(enter).join().unwrap())
}

/// `count` established connections from inside a namespace, dialed together; from one source, if that
/// is given.
pub fn connections(
    namespace: &str,
    count: usize,
    source: Option<SocketAddrV4>,
    target: SocketAddrV4,
) -> Vec<TcpStream> {
    let dial = || {
        let (family, flags) =
            (AddressFamily::Inet, SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK);
        let dialing = socket(family, SockType::Stream, flags, None).unwrap();
        if let Some(source) = source {
            bind(dialing.as_raw_fd(), &SockaddrIn::from(source)).unwrap();
        }
        // EINPROGRESS.
        let _ = connect(dialing.as_raw_fd(), &SockaddrIn::from(target));
        TcpStream::from(dialing)
    };
    let all: Vec<TcpStream> = inside(namespace, || (0..count).map(|_| dial()).collect());
    let timeout = PollTimeout::try_from(DEADLINE).unwrap();
    for stream in &all {
        use std::os::fd::AsFd;
        let mut fds = [PollFd::new(stream.as_fd(), PollFlags::POLLOUT)];
        poll(&mut fds, timeout).unwrap();
        assert_eq!(stream.take_error().unwrap().map(|error| error.kind()), None);
        assert!(stream.peer_addr().is_ok(), "not established: {target}");
    }
    all
}
