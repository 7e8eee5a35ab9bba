//! Dials that nobody answered, or only after a repeat: a full queue, a firewall, or a way that loses.

use super::remedies::{DESCRIPTORS, Remedy, Words, is_dead, is_suspected, remedy_of, too_little};
use super::served;
use super::shape::Shape;
use super::troubles::{Kind, Trouble};
use super::verdict::Case;
use crate::engine::evidence::SLOW_DIAL_MIN;
use crate::plan::Probe;

pub fn silence(case: &Case<'_>, worst: &Trouble, signs: &[Trouble], words: &Words) -> Remedy {
    let Words { port, host, listeners, queue, .. } = words;
    if is_dead(&case.summary.findings) {
        return served::dead(words);
    }
    // Where it is a matter of chance, a full queue would have left the same signs as a lossy way.
    if worst.shape.is_a_limit() && is_the_queue(case, worst, signs) {
        return remedy_of(
            "server: its accept queue is full, as its process accepts no more. It is stuck, too \
             busy, at a limit of its own, or out of descriptors.",
            format!(
                "on the server, {queue}; why nobody empties it, {DESCRIPTORS} and the \
                 application's log."
            ),
        );
    }
    let patience = match case.plan.dial_timeout {
        Some(timeout) if timeout <= SLOW_DIAL_MIN => {
            "a --dial-timeout of 3s first, in which lost SYNs are repeated; "
        }
        _ => "",
    };
    match worst.shape {
        Shape::All => remedy_of(
            "server or network, which look alike from here: nothing came back. The packets are \
             dropped on their way or by a firewall (this host's own included), nobody has that \
             address, or the server's accept queue was full already.",
            format!(
                "{patience}on the server, `tcpdump -ni any 'tcp port {port}'`: if no SYN arrives \
                 it is the way there (`traceroute -T -p {port} {host}` from here); if they do, \
                 `nft list ruleset` and {listeners} (Recv-Q above Send-Q: the queue)."
            ),
        ),
        Shape::NearlyAll => remedy_of(
            "server or network, which look alike from here: nearly nothing came back. A lossy way, \
             a limit (on connections, or on their rate) that lets few in, or an accept queue that \
             was full nearly always.",
            format!(
                "{patience}on the server, `tcpdump -ni any 'tcp port {port}'` shows whether the \
                 SYNs arrive; if they do, {queue}, and `nft list ruleset` the rules."
            ),
        ),
        Shape::From(_) => wall(case, worst, words),
        Shape::Until => remedy_of(
            "server or network: what it was is over. A host, a service or a way that was not up \
             yet, or a queue or a table that others had filled.",
            format!("the same run again; if it comes back, on the server, {queue}."),
        ),
        Shape::Window => remedy_of(
            "server or network: an outage, and what it was is over. A restart, a failover, or a \
             queue or a table that was full for a while.",
            "the logs of that time, on the server and on the way.",
        ),
        Shape::MoreFrom(_) => remedy_of(
            "server or network, which look alike from here: an accept queue that overflows now and \
             then (the process accepts too slowly), or a limit on the rate of new connections.",
            format!(
                "on the server, {queue}; if it is not that, a rule with a rate (`nft list ruleset \
                 | grep limit`). Dialed more slowly (--rate), both go away."
            ),
        ),
        Shape::Scattered => loss(patience, host),
        Shape::TooFew | Shape::InPlaces => too_little(),
    }
}

/// From some number on nothing comes back.
fn wall(case: &Case<'_>, worst: &Trouble, words: &Words) -> Remedy {
    let queue = &words.queue;
    let counts = "`conntrack -C` against `sysctl net.netfilter.nf_conntrack_max`, `dmesg | grep \
                  conntrack`, and rules that count (`nft list ruleset | grep -e 'ct count' -e \
                  limit`, `iptables-save | grep limit`)";
    if is_served(case, worst) {
        return remedy_of(
            "network, or a firewall on the server, most likely: the application answered everybody \
             who was let through, so it did accept until then. A firewall, NAT, connection \
             tracking or a load balancer drops new connections from some number on, or beyond some \
             rate. If not, the process is stuck since, others have filled its queue, or the way \
             there went dead.",
            format!(
                "on the server, here and on each hop that tracks connections, {counts}; dialed \
                 more slowly (--rate), a limit on the rate lets more through. If it is none of \
                 these, {queue}."
            ),
        );
    }
    remedy_of(
        "server or network, which look alike from here: a full accept queue (the process accepts \
         no more: stuck, busy, or out of descriptors), a firewall, NAT or load balancer that drops \
         new connections from some number on, or beyond some rate (this host's own included), or a \
         way there that went dead.",
        format!(
            "on the server, {queue}; why nobody empties it, {DESCRIPTORS}. If it is not that, there \
             and here, {counts}; dialed more slowly (--rate), a limit on the rate lets more \
             through.{}",
            hint(case, worst)
        ),
    )
}

pub fn loss(patience: &str, host: &str) -> Remedy {
    remedy_of(
        "network or server: packets are lost on the way, or dropped by a limit on the rate of new \
         connections. How many connections there are is not what decides.",
        format!(
            "{patience}`ping -c 100 {host}` from here counts losses; a limit on the rate loses \
             nothing when dialed more slowly (--rate); on the server, `nstat -az TcpExtListenDrops` \
             rises if it is its queue."
        ),
    )
}

/// Whether those that are not served are a queue, and not merely silent by nature.
fn is_the_queue(case: &Case<'_>, worst: &Trouble, signs: &[Trouble]) -> bool {
    // Where SYNs have to be repeated from some number on, the queue is emptied in any order.
    let is_slow = signs.iter().any(|sign| sign.kind == Kind::Slow && sign.shape.is_a_limit());
    // Else the last ones before the wall were not served: they are the queue.
    let waits = |sign: &Trouble| match sign.kind {
        Kind::HalfOpen => sign.shape != Shape::TooFew,
        Kind::Unanswered => {
            let is_told = is_slow || matches!(sign.shape, Shape::From(_));
            worst.onset.answered > 0 && is_told
        }
        _ => false,
    };
    // Whose the suspects are is not known.
    signs.iter().any(waits) || (is_suspected(case) && worst.site.is_none())
}

/// Whether everybody was answered, and so quickly that a queue would have had room for the repeated
/// SYNs of the others.
fn is_served(case: &Case<'_>, worst: &Trouble) -> bool {
    let onset = &worst.onset;
    let emptied_after = SLOW_DIAL_MIN + case.summary.first_byte_times.max();
    onset.answered > 0
        && onset.answered == onset.established_ever
        && case.plan.dial_timeout.is_none_or(|timeout| timeout > emptied_after)
}

/// What an answer adds, or the want of one has added.
fn hint(case: &Case<'_>, worst: &Trouble) -> &'static str {
    match (&case.plan.talk, worst.onset.answered) {
        (None, _) if case.plan.probe == Probe::All => {
            " From here, --send or --expect tells whether those established are served."
        }
        (None, _) => {
            " From here, --send or --expect tells whether those established are served, and \
             --probe whether the way there is still open."
        }
        (Some(_), 0) => {
            " That nobody was answered fits the queue, and as well an application that has nothing \
             to say to this."
        }
        _ => "",
    }
}

pub fn slow(case: &Case<'_>, worst: &Trouble, words: &Words) -> Remedy {
    let Words { host, queue, .. } = words;
    if case.summary.slow.repeats == 0 {
        return remedy_of(
            "network, or this host: no SYN was repeated, so the way there and back takes so long, \
             or this host was too busy to notice.",
            format!("`ping {host}` from here, and the longest turn of the loop above."),
        );
    }
    let far = match worst.shape {
        Shape::TooFew => return too_little(),
        Shape::Scattered | Shape::InPlaces => return loss("", host),
        Shape::Until | Shape::Window => {
            return remedy_of(
                "server or network: an outage, and what it was is over. A restart, a failover, a \
                 queue or a table that was full for a while, or a way that lost packets.",
                "the logs of that time, on the server and on the way.",
            );
        }
        // The kernel repeats its SYN after a second, come what may.
        Shape::All => ", or a way there and back of a second and more",
        _ => "",
    };
    remedy_of(
        format!(
            "server or network, which look alike from here: an accept queue that overflows (the \
             process accepts too slowly), or a limit on the rate of new connections{far}."
        ),
        format!(
            "on the server, {queue}; if it is not that, a rule with a rate (`nft list ruleset | \
             grep limit`), and `ping {host}` from here for the way.{}",
            match case.plan.probe {
                Probe::All => "",
                _ => " From here, --probe tells whether the server has all of them.",
            }
        ),
    )
}
