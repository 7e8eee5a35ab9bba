//! What this host itself can run out of, and the knob for it.

use super::remedies::{Remedy, remedy_of};
use super::shape::Shape;
use super::troubles::{Kind, Trouble};
use super::verdict::Case;
use crate::engine::EndReason;

/// The error number of too many open files in the whole system.
/// Source: include/uapi/asm-generic/errno-base.h.
const ENFILE: i32 = 23;

/// Packets of whomever: it can be no more than a suspicion. Nor does it make a hard limit, as drops
/// are over when the burst is.
pub fn dropped(case: &Case<'_>, worst: &Trouble) -> Option<Remedy> {
    let dropped = case.packets_dropped.filter(|dropped| *dropped >= worst.hits)?;
    let is_met = matches!(
        worst.kind,
        Kind::Beyond(EndReason::TimedOut) | Kind::Slow | Kind::HalfOpen | Kind::Unanswered
    );
    let is_hard = matches!(worst.shape, Shape::From(_) | Shape::All);
    if !is_met || (is_hard && worst.kind != Kind::Slow) {
        return None;
    }
    Some(remedy_of(
        format!(
            "this host, perhaps: it dropped {dropped} packets on their way in meanwhile (second \
             column of /proc/net/softnet_stat, all of its traffic), enough to explain this. Server \
             and network are not to be blamed before that is ruled out."
        ),
        "`sysctl -w net.core.netdev_max_backlog=10000` here, or dial more slowly (--rate), and see \
         whether it goes away.",
    ))
}

/// What this host refused itself.
pub fn refused(case: &Case<'_>, reason: EndReason, host: &str) -> Remedy {
    let side = match case.summary.established_ever {
        0 => "this host; nothing is known of the server.".to_owned(),
        ever => format!("this host; it says nothing about the server, which took {ever}."),
    };
    let is_system_wide = case.summary.first_errno[reason as usize] == ENFILE;
    let next = match reason {
        EndReason::NoDescriptors if is_system_wide => "raise `sysctl fs.file-max` here; \
             `cat /proc/sys/fs/file-nr` shows what is taken."
            .to_owned(),
        EndReason::NoDescriptors => "raise the limit of open files here, `ulimit -Hn`; the same \
             command with --dry-run says to what, and how."
            .to_owned(),
        EndReason::NoPorts => "more addresses of this host (--source), more targets, or a wider \
             `sysctl net.ipv4.ip_local_port_range`; `ss -Htan state time-wait | wc -l` counts \
             ports that an earlier run still keeps."
            .to_owned(),
        EndReason::NoSource => {
            "`ip address` here: an address given by --source is not configured any more.".to_owned()
        }
        EndReason::NoBuffers => {
            "`dmesg | tail` here names what was short: `free -m`, the memory limit \
             of this cgroup, or `sysctl net.ipv4.tcp_mem` against `cat /proc/net/sockstat`."
                .to_owned()
        }
        EndReason::NoWatches => "raise `sysctl fs.epoll.max_user_watches` here.".to_owned(),
        EndReason::NotPermitted => format!(
            "what forbids it here: a route (`ip route get {host}`), a firewall on the way out \
             (`nft list ruleset`), or a policy for this process (IPAddressDeny= of systemd, \
             SELinux, AppArmor, seccomp)."
        ),
        _ => format!("`ip route get {host}` here."),
    };
    remedy_of(side, next)
}
