//! What keeps connections that were established from being kept, known or answered, and what to look
//! at next.

use super::remedies::{DESCRIPTORS, Remedy, Words, remedy_of};
use super::shape::{Ending, Shape};
use super::troubles::{Kind, Trouble};
use super::verdict::Case;
use crate::engine::Cause;
use crate::units::Span;

/// Who closed them, and where that is to be read.
struct Closer<'a> {
    who: &'static str,
    log: &'static str,
    /// The command that shows what was said before, as a part of a sentence.
    said: String,
    words: &'a Words,
}

pub fn closed(
    case: &Case<'_>,
    worst: &Trouble,
    ending: Ending,
    signs: &[Trouble],
    words: &Words,
) -> Remedy {
    let is_reset = case.summary.caused(Cause::PeerReset) * 2 > worst.hits;
    let (who, log) = if is_reset {
        (
            "server or network (by resets, which a firewall or load balancer can send as well)",
            "the application's log, and `tcpdump -ni any 'tcp[tcpflags] & tcp-rst != 0'` there for \
             who sends them",
        )
    } else {
        ("server, or a proxy before it", "the application's log")
    };
    let said = match case.summary.received_bytes {
        0 => String::new(),
        bytes => format!("--debug shows what it said before ({bytes} bytes in all); "),
    };
    let closer = Closer { who, log, said, words };
    match (worst.shape, ending) {
        (_, Ending::Few) => remedy_of(
            format!("{who}: too few to tell a limit, a timeout and a refusal apart."),
            format!("{}on the server, {log}.", closer.said),
        ),
        (_, Ending::SameMoment) => closer.ended(signs),
        (_, Ending::Both(age)) => remedy_of(
            format!(
                "{who}: a timeout of {age}, or an end or a restart of the process, which look \
                 alike where all were dialed at once."
            ),
            "the same run more slowly (--rate): a timeout closes one after the other; on the \
             server, `ps -o lstart= -p PID` says since when it runs.",
        ),
        (Shape::From(_) | Shape::MoreFrom(_), _) => closer.limits(worst.shape),
        (_, Ending::AtOnce(_)) => closer.declines(worst.shape),
        (_, Ending::SameAge(age)) => closer.times_out(age),
        (_, Ending::Various) => {
            remedy_of(format!("{who}."), format!("{}on the server, {log}.", closer.said))
        }
    }
}

impl Closer<'_> {
    fn limits(&self, shape: Shape) -> Remedy {
        let Closer { who, log, said, .. } = self;
        let others = match shape {
            // Some still came in.
            Shape::MoreFrom(_) => {
                " Some were kept: one of several servers behind this address that is at its \
                 limit, or a limit on the rate, fits as well."
            }
            _ => "",
        };
        remedy_of(
            format!(
                "{who}: a limit on connections (maxclients, max_connections, worker_connections, \
                 MaxStartups, a pool of threads), or descriptors that ran out.{others}"
            ),
            format!(
                "{said}on the server, {log}, that limit (`redis-cli config get maxclients` and \
                 the like), and {DESCRIPTORS}."
            ),
        )
    }

    /// It closes as soon as it has accepted, and did so from the beginning.
    fn declines(&self, shape: Shape) -> Remedy {
        let Closer { who, log, said, .. } = self;
        let others = match shape {
            Shape::All => ", or was full from the first one on",
            _ => ", or one of several servers behind this address does not",
        };
        remedy_of(
            format!(
                "{who}: it wants no such connection (a list of who may connect, a proxy with \
                 nobody behind it){others}."
            ),
            format!("{said}on the server, {log}."),
        )
    }

    fn times_out(&self, age: Span) -> Remedy {
        let who = self.who;
        remedy_of(
            format!("{who}: a timeout for idle connections, or the longest lifetime, of {age}."),
            format!(
                "look for about {age} in the configuration of the server and of what stands before it \
                 (timeout, keepalive_timeout, timeout client, idle_timeout)."
            ),
        )
    }

    /// All together.
    fn ended(&self, signs: &[Trouble]) -> Remedy {
        let Closer { who, log, words, .. } = self;
        if signs.is_empty() {
            return remedy_of(
                format!("{who}: its process ended or was restarted, or somebody closed them all."),
                format!("on the server, `ps -o lstart= -p PID` (since when it runs), and {log}."),
            );
        }
        remedy_of(
            format!("{who}: its process ended, and nobody was there afterwards."),
            format!(
                "on the server, {} (is it back?), {log} of that moment, and `dmesg | grep -i 'out \
                 of memory'`.",
                words.listeners
            ),
        )
    }
}

pub fn half_open(case: &Case<'_>, worst: &Trouble, words: &Words) -> Remedy {
    let others = match is_a_plain_reset(case, worst) {
        true => {
            " Others of that age were reset unasked: these may be the same, and have crossed the \
             keepalive."
        }
        false => "",
    };
    remedy_of(
        format!(
            "server, or what stands before it: it dropped the end of handshakes that this host saw \
             complete, as a server does whose accept queue overflows in a burst; or a firewall or \
             load balancer on the way has forgotten them since.{others}"
        ),
        format!(
            "on the server, `nstat -az TcpExtListenOverflows TcpExtListenDrops \
             TcpExtSyncookiesSent` has risen if it is the queue; a longer one (its listen() backlog \
             and `sysctl net.core.somaxconn`; {} shows it as Send-Q) or slower dials (--rate) mend \
             it. If not, the timeouts and the size of each table of connections on the way.",
            words.listeners
        ),
    )
}

/// Whether resets in answer to keepalives are of the age at which others were reset unasked.
pub fn is_a_plain_reset(case: &Case<'_>, half_open: &Trouble) -> bool {
    let resets = case.summary.evidence[Cause::PeerReset as usize];
    let ages = half_open.evidence.zip(resets).map(|(asked, unasked)| (asked.p50, unasked.p50));
    ages.is_some_and(|(asked, unasked)| asked.0.abs_diff(unasked.0) <= asked.0 / 10)
}

pub fn unanswered(case: &Case<'_>, worst: &Trouble, signs: &[Trouble], words: &Words) -> Remedy {
    let Words { listeners, queue, .. } = words;
    let findings = &case.summary.findings;
    let is_a_wall = worst.shape.is_a_limit() && signs.iter().any(|sign| sign.shape.is_a_limit());
    let is_suspected = 2 * findings.suspects_half_open > findings.suspects.max(1);
    if is_a_wall || is_suspected || signs.iter().any(|sign| sign.kind == Kind::HalfOpen) {
        return remedy_of(
            "server: its process accepts too slowly or not at all, and its accept queue overflows.",
            format!(
                "on the server, {queue}; why nobody empties it, {DESCRIPTORS} and the \
                 application's log."
            ),
        );
    }
    if 2 * findings.suspects_unacknowledged > findings.suspects {
        return remedy_of(
            "network or server: nothing of what was sent to them was even acknowledged. The way \
             there has gone dead since, or the server never had them (its accept queue overflows).",
            format!(
                "`ping {}` from here; on the server, `tcpdump -ni any 'tcp port {}'` shows whether \
                 it arrives; {queue}.",
                words.host, words.port
            ),
        );
    }
    let look = format!(
        "on the server, {listeners}: a Recv-Q above 0 is connections that nobody accepts (then \
         {DESCRIPTORS})"
    );
    if 2 * findings.misheard > worst.hits {
        return remedy_of(
            "server: the application says something else than was expected.",
            "--debug shows what it says.",
        );
    }
    if 2 * findings.late > worst.hits {
        return remedy_of(
            "server or network: answers come, but too late.",
            format!("a longer --reply-timeout shows how late; {look}; its load (`top`)."),
        );
    }
    match (worst.shape, worst.onset.answered) {
        (_, 0) => remedy_of(
            "server: its process accepts nobody, or the application has nothing to say to this.",
            format!("{look}; 0 is an application that waits for something else (--send)."),
        ),
        (Shape::From(_), _) => remedy_of(
            "server: from that number on the application serves nobody else. A limit of its own \
             (maxconn, workers, a pool of threads), or descriptors that ran out.",
            format!("{look}; 0 is a queue, and a limit, of the application's own."),
        ),
        _ => remedy_of(
            "server: the application is too slow for so many, within that time.",
            format!("{look}; its load (`top`). A longer --reply-timeout shows how slow it is."),
        ),
    }
}
