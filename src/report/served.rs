//! What keeps connections that were established from being kept, known or answered, and what to look
//! at next.

use super::remedies::{DESCRIPTORS, Remedy, Words, is_dead, is_suspected, remedy_of};
use super::shape::{Ending, Shape};
use super::silence;
use super::troubles::{Kind, Trouble};
use super::verdict::Case;
use crate::engine::EndReason;
use crate::engine::scene::Onset;
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
    let is_reset = case.summary.ended_by(EndReason::PeerReset) * 2 > worst.hits;
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
        (_, Ending::SameMoment) => closer.ended(worst, signs),
        (_, Ending::Outlived(age)) => closer.replaces(age),
        (_, Ending::Both(age)) => remedy_of(
            format!(
                "{who}: a timeout of {age}, or an end or a restart of the process, which look \
                 alike where all were dialed at once."
            ),
            "the same run more slowly (--rate): a timeout closes one after the other; on the \
             server, `ps -o lstart= -p PID` says since when it runs.",
        ),
        (Shape::From(_) | Shape::MoreFrom(_), _) => closer.limits(worst.shape),
        (_, Ending::AtOnce(within)) => {
            // Who is left is but too young.
            let is_all = worst.shape == Shape::All || worst.onset.oldest <= within;
            closer.declines(is_all)
        }
        (_, Ending::SameAge(age)) => closer.times_out(case, worst, age),
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
    fn declines(&self, is_all: bool) -> Remedy {
        let Closer { who, log, said, .. } = self;
        let others = match is_all {
            true => ", or was full from the first one on",
            false => ", or one of several servers behind this address does not",
        };
        remedy_of(
            format!(
                "{who}: it wants no such connection (a list of who may connect, a proxy with \
                 nobody behind it){others}."
            ),
            format!("{said}on the server, {log}."),
        )
    }

    fn times_out(&self, case: &Case<'_>, worst: &Trouble, age: Span) -> Remedy {
        let who = self.who;
        // After the last dial only a timeout goes on closing.
        let dialed = case.summary.last_dial.map(|at| at + SAME_MOMENT);
        let may_be_a_limit =
            worst.evidence.as_ref().is_some_and(|evidence| Some(evidence.last) <= dialed);
        let look = format!(
            "look for about {age} in the configuration of the server and of what stands before it \
             (timeout, keepalive_timeout, timeout client, idle_timeout)"
        );
        if may_be_a_limit {
            return remedy_of(
                format!(
                    "{who}: a timeout for idle connections, or the longest lifetime, of {age}; or \
                     a limit on connections that closes the oldest one for each new one, which \
                     looks alike as long as dials go on."
                ),
                format!(
                    "the same run with --hold {}: a timeout goes on closing after the last dial. \
                     If it does, {look}; if not, for that limit (worker_connections and the like).",
                    Span(age.0.saturating_mul(2)).rounded_to_3_digits()
                ),
            );
        }
        remedy_of(
            format!("{who}: a timeout for idle connections, or the longest lifetime, of {age}."),
            format!("{look}."),
        )
    }

    /// The oldest go for the newest.
    fn replaces(&self, age: Span) -> Remedy {
        let Closer { who, log, .. } = self;
        remedy_of(
            format!(
                "{who}: no timeout, as others lived longer than {age}. A limit on connections that \
                 closes the oldest one, or the one idle for longest, for each new one \
                 (worker_connections and the like)."
            ),
            format!(
                "on the server, that limit, and {log}; the same run at another --rate: a limit \
                 keeps its number, a timeout its age."
            ),
        )
    }

    /// All together.
    fn ended(&self, worst: &Trouble, signs: &[Trouble]) -> Remedy {
        let Closer { who, log, words, .. } = self;
        let since = "`ps -o lstart= -p PID` (since when it runs)";
        match worst.onset {
            Onset { kept: 1.., .. } => remedy_of(
                format!(
                    "{who}: somebody closed these together. One of several processes, or of \
                     several servers behind this address, that ended; others stayed open."
                ),
                format!("on the server, {since}, and {log} of that moment."),
            ),
            Onset { newcomers: 1.., .. } => remedy_of(
                format!("{who}: its process was restarted, or somebody closed them all."),
                format!("on the server, {since}, and {log} of that moment."),
            ),
            _ if signs.is_empty() => remedy_of(
                format!("{who}: its process ended or was restarted, or somebody closed them all."),
                format!("on the server, {since}, and {log}."),
            ),
            _ => remedy_of(
                format!("{who}: its process ended, and nobody was there afterwards."),
                format!(
                    "on the server, {} (is it back?), {log} of that moment, and `dmesg | grep -i \
                     'out of memory'`.",
                    words.listeners
                ),
            ),
        }
    }
}

/// What is as far apart in time as this can have happened at once.
pub const SAME_MOMENT: Span = Span::from_ms(10);

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
             complete, as a server does whose accept queue overflows in a burst; or it was \
             restarted, or a firewall or load balancer on the way has forgotten them, since.{others}"
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
    let resets = case.summary.evidence[EndReason::PeerReset as usize].as_ref();
    let ages = half_open.evidence.as_ref().zip(resets);
    let ages = ages.map(|(asked, unasked)| (asked.p50, unasked.p50));
    ages.is_some_and(|(asked, unasked)| asked.0.abs_diff(unasked.0) <= asked.0 / 10)
}

pub fn unanswered(case: &Case<'_>, worst: &Trouble, signs: &[Trouble], words: &Words) -> Remedy {
    let Words { listeners, queue, .. } = words;
    let findings = &case.summary.findings;
    if is_dead(findings) {
        return dead(words);
    }
    // Beside dials whose SYNs were dropped from some number on, those that were answered say that
    // the application is one that answers.
    let is_a_wall = worst.onset.answered > 0 && signs.iter().any(|sign| sign.shape.is_a_limit());
    let is_half_open = signs.iter().any(|sign| sign.kind == Kind::HalfOpen);
    // A way that loses SYNs loses answers, and the ends of handshakes, which makes suspects.
    let is_lossy = matches!(worst.shape, Shape::Scattered | Shape::TooFew)
        && signs.iter().any(|sign| sign.shape == Shape::Scattered && sign.hits >= worst.hits);
    let is_queued = is_suspected(case) && !is_lossy;
    if worst.shape != Shape::TooFew && (is_a_wall || is_queued || is_half_open) {
        return remedy_of(
            "server: its process accepts too slowly or not at all, and its accept queue overflows.",
            format!(
                "on the server, {queue}; why nobody empties it, {DESCRIPTORS} and the \
                 application's log."
            ),
        );
    }
    if is_lossy {
        return silence::loss("", &words.host);
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
            "server: the application says something else than was expected, or not all of it in \
             time.",
            "--debug shows what it says; a longer --reply-timeout, whether there is more.",
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
            "server: its process accepts nobody, or the application has nothing to say to this, or \
             takes longer to say it.",
            format!(
                "{look}; 0 is an application that waits for something else (--send) or is slow (a \
                 longer --reply-timeout)."
            ),
        ),
        (Shape::TooFew, _) => remedy_of(
            "server or network: too little to say more.",
            format!("{look}. More connections (-c), or the same run again."),
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

/// Nobody who has a connection leaves a keepalive without an answer, accepted or not.
pub fn dead(words: &Words) -> Remedy {
    let Words { host, port, .. } = words;
    remedy_of(
        "network, or the server's host: even a connection that nobody has accepted acknowledges a \
         keepalive. The way there, or the host, went dead since, or a firewall, NAT or load \
         balancer has forgotten the connections and drops what it does not know.",
        format!(
            "`ping {host}` from here; on the server, `tcpdump -ni any 'tcp port {port}'` shows \
             whether keepalives arrive; the timeouts and the size of each table of connections on \
             the way."
        ),
    )
}

/// The same of some, where others do acknowledge theirs.
pub fn forgotten(words: &Words) -> Remedy {
    let Words { host, port, .. } = words;
    remedy_of(
        "network, most likely: a firewall, NAT or load balancer has forgotten some connections and \
         drops what it does not know, or packets are lost on the way.",
        format!(
            "`ping -c 100 {host}` from here counts losses; on the server, `ss -tn 'sport = \
             :{port}'` shows whether it has them; the timeouts and the size of each table of \
             connections on the way."
        ),
    )
}
