//! Causes on the server, in its kernel and listeners.

use super::record::{
    AGAIN, ALL_ADDRESSES, Cause, CauseRecord, EXPECT, FAMILIES, KILLED, LISTENERS, LOG, OPEN_FILES,
    OVERFLOWS, RULES, SEGMENTS, SEND, SERVER_COUNT, SLOWER, STARTED, TTL, from_here, here, on_hop,
    on_server,
};
use crate::engine::Side;

pub static RECORDS: [CauseRecord; 8] = [
    CauseRecord {
        cause: Cause::NoListener,
        id: "no-listener",
        side: Side::Server,
        title: "no process listens on that port",
        explanation: "Every dial is refused within one RTT: a kernel without a listener on the \
            port answers each SYN with RST. A firewall that rejects with RST sends the same \
            segment, so the two are not distinguishable from here unless the TTL differs.",
        checks: &[
            on_server(LISTENERS, "no line"),
            on_server(LOG, "it failed to start, or to bind"),
            here(TTL, "RST has the TTL of the server's ping"),
        ],
        fix: "Start the service, or dial the port that it listens on (`ss -lntp` lists them all).",
    },
    CauseRecord {
        cause: Cause::ListensElsewhere,
        id: "listens-elsewhere",
        side: Side::Server,
        title: "it listens on another address only",
        explanation: "Every dial is refused within one RTT, although the service runs: its \
            listener is bound to another address (often 127.0.0.1 or ::1) or to the other address \
            family. The kernel answers a SYN to any other address of the host with RST.",
        checks: &[
            on_server(LISTENERS, "Local Address is another one"),
            from_here(FAMILIES, "one of them succeeds"),
            from_here(ALL_ADDRESSES, "some addresses succeed"),
        ],
        fix: "Bind the service to the dialed address, or to 0.0.0.0 and [::]; or dial the \
            address that it is bound to.",
    },
    CauseRecord {
        cause: Cause::SynProxy,
        id: "syn-proxy",
        side: Side::Server,
        title: "a SYN proxy answers in its place",
        explanation: "A load balancer, DDoS protection or SYNPROXY rule completes the handshake \
            before it dials the server itself. So dials succeed in any state of the server: if \
            it refuses, connections are reset right after the handshake; if it is full or \
            down, they get no reply. Established proves nothing about the server here.",
        checks: &[
            on_server(SERVER_COUNT, "far fewer than are established here"),
            from_here(EXPECT, "established, and no reply"),
            on_hop(RULES, "synproxy, or SYNPROXY"),
            here(TTL, "SYN-ACK and data differ in TTL"),
        ],
        fix: "Measure with --expect (and --send), which only the application can satisfy, or dial \
            the server behind the proxy directly. Then diagnose the server itself.",
    },
    CauseRecord {
        cause: Cause::ListenerClosed,
        id: "listener-closed",
        side: Side::Server,
        title: "its listener was closed during the run",
        explanation: "Dials succeed at first and are refused later on. The process ended, was \
            restarted, or closed its listener, as some servers do at a limit. Connections \
            still in the accept queue are reset at that moment; accepted ones stay open if \
            the process does not end. A device that rejects above a limit or a rate looks the same, \
            but starts at the same count, or rate, each time.",
        checks: &[
            on_server(LISTENERS, "no line"),
            on_server(STARTED, "started during the run, or no process"),
            on_server(KILLED, "killed during the run"),
            from_here(AGAIN, "refused from the first dial"),
        ],
        fix: "Find in the service's log and in dmesg why it ended or stopped listening: out of \
            memory, a crash, a deployment, a failing health check, a limit of its own.",
    },
    CauseRecord {
        cause: Cause::ListenerStuck,
        id: "listener-stuck",
        side: Side::Server,
        title: "one of its listeners no longer accepts",
        explanation: "Several processes or threads listen on the port (SO_REUSEPORT), and the \
            kernel chooses one by a hash of addresses and ports. One of them has stopped \
            accepting and its queue is full, so an even share of dials fails, each with all its \
            SYN retransmissions (they hash alike), while all others succeed at once. With packet \
            loss some retransmissions would succeed.",
        checks: &[
            on_server(LISTENERS, "several lines, one has Recv-Q > Send-Q"),
            on_server(OVERFLOWS, "rising"),
            on_server(LOG, "one worker blocked or out of files"),
        ],
        fix: "Restart the worker that does not accept (`ss -lntp` shows its PID), and find what \
            it blocks on. One shared listener has no such split.",
    },
    CauseRecord {
        cause: Cause::AcceptQueueFull,
        id: "accept-queue-full",
        side: Side::Server,
        title: "its process has stopped calling accept()",
        explanation: "Dials succeed until the accept queue is full (its limit is the smaller of \
            the listen() backlog and net.core.somaxconn, and it takes one more than that); then \
            the kernel drops every SYN, and final ACKs with it. Connections in the queue are \
            acknowledged by the kernel and get no reply; some become half-open. The process is \
            blocked, busy, out of descriptors, or at a limit of its own. SYN cookies do not \
            help: they relieve the SYN queue, not this one.",
        checks: &[
            on_server(LISTENERS, "Recv-Q > Send-Q"),
            on_server(OVERFLOWS, "rising"),
            on_server(OPEN_FILES, "near the limit: the reason"),
            from_here(EXPECT, "the last ones get no reply"),
        ],
        fix: "Find why the process does not accept: its log, its open files, its limit (HAProxy \
            maxconn, memcached -c, a pool of workers), or what it blocks on (`cat \
            /proc/PID/stack`, `strace -p PID`). A longer backlog only postpones it.",
    },
    CauseRecord {
        cause: Cause::AcceptQueueOverflow,
        id: "accept-queue-overflow",
        side: Side::Server,
        title: "its process calls accept() too slowly",
        explanation: "The process accepts, but not as fast as connections arrive, and its accept \
            queue overflows again and again. SYNs that arrive at a full queue are dropped and \
            retransmitted, so dials take 1 s, 3 s or more. Final ACKs are dropped too: \
            established here, not on the server, later half-open; with \
            net.ipv4.tcp_abort_on_overflow=1 they are answered with RST at once.",
        checks: &[
            on_server(OVERFLOWS, "rises during the run, then stops"),
            on_server(LISTENERS, "Recv-Q reaches Send-Q, then drains"),
            from_here(SLOWER, "no dial is slow or half-open"),
            on_server("sysctl net.ipv4.tcp_abort_on_overflow", "1: RST instead of retransmission"),
        ],
        fix: "Raise the listen() backlog in the application and net.core.somaxconn (128 before \
            Linux 5.4, 4096 since), restart the listener, and accept faster: in a loop until \
            EAGAIN, in more threads, with SO_REUSEPORT.",
    },
    CauseRecord {
        cause: Cause::AcceptDeferred,
        id: "accept-deferred",
        side: Side::Server,
        title: "it waits for data before it accepts",
        explanation: "The listener has TCP_DEFER_ACCEPT (nginx `deferred`; Apache by default): \
            its kernel ignores a final ACK without data and keeps the connection in the SYN \
            queue. After the configured time it retransmits the SYN-ACK once, and the ACK to that \
            completes the connection. Until then the server holds no established connection, \
            and its application has not seen one. A client that sends first (HTTP, TLS) sees no \
            difference.",
        checks: &[
            on_server(
                "ss -Hnt state syn-recv 'sport = :{port}' | wc -l",
                "near the number open here",
            ),
            from_here(SEND, "no SYN-ACK retransmission, replies"),
            here(SEGMENTS, "SYN-ACK retransmitted after our ACK"),
        ],
        fix: "None needed for clients that send first: measure with --send. For others remove the \
            option (nginx: no `deferred`; Apache: `AcceptFilter http none`).",
    },
];
