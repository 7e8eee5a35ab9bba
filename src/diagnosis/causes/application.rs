//! Causes on the server, in its application: limits, timeouts, restarts, and its backends.

use super::record::{
    AGAIN, Cause, CauseRecord, DEBUG, HOLD, KILLED, LISTENERS, LOAD, LOG, OPEN_FILES, OTHER_HOST,
    OTHER_SOURCE, PATIENCE, RULES, SEND, SERVER_COUNT, SERVER_SOCKETS, SLOWER, STARTED, from_here,
    on_hop, on_server,
};
use crate::engine::Side;

pub static RECORDS: [CauseRecord; 14] = [
    CauseRecord {
        cause: Cause::ConnectionLimit,
        id: "connection-limit",
        side: Side::Server,
        title: "its application is at a connection limit",
        explanation: "The server keeps N connections and closes each further one right after the \
            handshake, often with a line that gives the reason. N is the same at any rate and \
            from any client address, and includes connections of other clients. Applications \
            that stop calling accept() at their limit look like accept-queue-full instead.",
        checks: &[
            on_server(SERVER_COUNT, "stays at the limit"),
            on_server(LOG, "names the limit"),
            from_here(SLOWER, "the same number stays open"),
            from_here(OTHER_SOURCE, "the same total number"),
        ],
        fix: "Raise the limit: redis maxclients, MySQL and PostgreSQL max_connections, nginx \
            worker_connections (upstream connections count too), sshd MaxStartups \
            (unauthenticated ones, closed at random above its first number). Raise its open \
            files limit with it.",
    },
    CauseRecord {
        cause: Cause::ClientLimit,
        id: "client-limit",
        side: Side::Server,
        title: "a limit on connections per client address",
        explanation: "The server, or a proxy or firewall in front of it, keeps N connections per \
            client address and closes, rejects or drops the rest. Other clients are not \
            affected. From one source it looks like a limit on all connections; from several, \
            each source stops at the same number. Clients behind one NAT share one limit.",
        checks: &[
            from_here(OTHER_SOURCE, "the same number again from the second"),
            from_here(OTHER_HOST, "succeeds while this one is at its limit"),
            on_server(LOG, "names this host's address"),
            on_hop(RULES, "ct count or connlimit, by saddr"),
        ],
        fix: "Dial from more addresses (--source) to find the limit of the server as a whole. Or \
            raise it: nginx limit_conn, sshd PerSourceMaxStartups, Postfix \
            smtpd_client_connection_count_limit, vsftpd max_per_ip, nft ct count, connlimit.",
    },
    CauseRecord {
        cause: Cause::AcceptRateLimit,
        id: "accept-rate-limit",
        side: Side::Server,
        title: "it closes new connections above a rate",
        explanation: "The server accepts every connection and closes those above N per second at \
            once, so about N more stay open in each second, however many are open already. A \
            connection limit has the same number at any rate; this one has the same rate.",
        checks: &[
            from_here(SLOWER, "all stay open"),
            on_server(LOG, "names a rate"),
            from_here(OTHER_SOURCE, "more stay open: per client"),
        ],
        fix: "Dial below that rate (--rate), or raise it: xinetd cps, Postfix \
            smtpd_client_connection_rate_limit, HAProxy rules on src_conn_rate.",
    },
    CauseRecord {
        cause: Cause::RejectsClient,
        id: "rejects-client",
        side: Side::Server,
        title: "it does not accept this client",
        explanation: "Every connection is closed right after the handshake, from the first one: an \
            access list (hosts.deny, redis protected-mode, MySQL host grants, a proxy's \
            rules) that this host's address does not pass, or a protocol that requires something \
            first (a PROXY header, TLS). A proxy without a usable backend, and a server that was \
            at its limit before the run, look the same.",
        checks: &[
            on_server(LOG, "denied, or a protocol error"),
            from_here(DEBUG, "what it sends before it closes"),
            from_here(OTHER_SOURCE, "accepted from an allowed address"),
            on_server(SERVER_COUNT, "low, so no limit is reached"),
        ],
        fix: "Add this host's address to the access list, or dial from an address that is on it \
            (--source).",
    },
    CauseRecord {
        cause: Cause::ServerFdLimit,
        id: "server-fd-limit",
        side: Side::Server,
        title: "its process is at its open files limit",
        explanation: "accept() fails with EMFILE (or ENFILE, for the whole host), so connections \
            remain in the accept queue: handshakes complete without a reply until it is full, \
            then SYNs are dropped. Some applications keep a descriptor in reserve and close \
            instead. Each connection of a proxy takes two descriptors, so its limit shows at half \
            the number.",
        checks: &[
            on_server(OPEN_FILES, "the count is near the limit"),
            on_server(LOG, "too many open files"),
            on_server(LISTENERS, "Recv-Q above 0"),
            on_server("cat /proc/sys/fs/file-nr", "first number near the third"),
        ],
        fix: "Raise the limit of the service (LimitNOFILE= in its unit, `ulimit -n`, nginx \
            worker_rlimit_nofile) and restart it; `prlimit --pid PID --nofile=N` raises it for a \
            running process, which helps unless it sizes its tables at start. For ENFILE raise \
            fs.file-max.",
    },
    CauseRecord {
        cause: Cause::ThreadLimit,
        id: "thread-limit",
        side: Side::Server,
        title: "its threads or workers are all in use",
        explanation: "A server with a thread or process per connection has N of them, all in use. \
            Further connections are established by the kernel, or even \
            accepted, but get no reply until a worker is free; when the accept queue is full they \
            are dropped. Where a new thread cannot be created (pids.max, RLIMIT_NPROC, memory), \
            the connection is closed or the process fails.",
        checks: &[
            on_server("ps -o nlwp= -p PID", "a round or the configured number"),
            on_server(LISTENERS, "Recv-Q above 0"),
            on_server("systemctl show SERVICE -p TasksCurrent,TasksMax", "current near max"),
            on_server(LOG, "no free worker, or EAGAIN"),
        ],
        fix: "Raise the pool (Apache MaxRequestWorkers, Tomcat maxThreads, PHP-FPM \
            pm.max_children) and TasksMax= with it, let workers time out idle clients, or serve \
            many connections from each thread.",
    },
    CauseRecord {
        cause: Cause::IdleTimeout,
        id: "idle-timeout",
        side: Side::Server,
        title: "a timeout for idle or old connections",
        explanation: "The server, or a proxy or load balancer in front of it, closes each \
            connection at the same age, one after the other; or a periodic sweep closes all \
            older ones together. tcpgoon sends nothing unless --send is given, so an idle \
            timeout, one for the first request or login, and a maximum lifetime look alike. A \
            restart closes all ages at one moment, and closes by a limit end with the dials.",
        checks: &[
            from_here(HOLD, "closes continue after the last dial"),
            from_here(SEND, "they live longer: an idle timeout"),
            on_server(LOG, "timed out, and the age"),
            from_here(SLOWER, "closed at the same age"),
        ],
        fix: "Not a fault. To keep connections open, send within that time or raise it: nginx \
            keepalive_timeout, client_header_timeout; HAProxy timeout client; redis timeout; \
            MySQL wait_timeout, connect_timeout; sshd LoginGraceTime; AWS ALB idle timeout (60 \
            s).",
    },
    CauseRecord {
        cause: Cause::EvictsOldest,
        id: "evicts-oldest",
        side: Side::Server,
        title: "it closes old connections for new ones",
        explanation: "At its limit the server closes the oldest connection, or the longest idle \
            one, for each new one. The number open stays the same, and the age at the close \
            changes with the dial rate; with a timeout the age stays the same and the number \
            changes. Closes end with the last dial.",
        checks: &[
            from_here(SLOWER, "the same number open, at another age"),
            from_here(HOLD, "no close after the last dial"),
            on_server(LOG, "reusing connections, or a limit"),
            on_server(SERVER_COUNT, "stays at the limit"),
        ],
        fix: "Raise its connection limit (nginx worker_connections: it closes idle keepalive \
            connections and logs \"worker_connections are not enough, reusing connections\").",
    },
    CauseRecord {
        cause: Cause::ProcessRestarted,
        id: "process-restarted",
        side: Side::Server,
        title: "its process ended or was restarted",
        explanation: "Connections of all ages are closed at one moment, as the kernel does when a \
            process ends. After a restart later dials succeed; otherwise they are refused. If \
            only some are closed, one of several workers or backends ended. A sweep of idle \
            connections looks alike, but spares young ones.",
        checks: &[
            on_server(STARTED, "started at the time of the closes"),
            on_server(KILLED, "killed at that time"),
            on_server(LOG, "a stop, a reload or a crash"),
        ],
        fix: "See its log. A deployment or reload needs none; out of memory: more memory or a \
            lower connection limit; or a watchdog or health check killed it under the load of \
            this run.",
    },
    CauseRecord {
        cause: Cause::AppSilent,
        id: "app-silent",
        side: Side::Server,
        title: "its application sends no reply",
        explanation: "Connections are established and stay open, and the kernel acknowledges what \
            is sent, but the application sends nothing within the time allowed. It has not \
            accepted them, is blocked, or waits for data: in HTTP, TLS and PostgreSQL the \
            client sends first.",
        checks: &[
            on_server(LISTENERS, "Recv-Q above 0: not accepted"),
            from_here(SEND, "a reply: it waited for the client"),
            on_server(SERVER_SOCKETS, "Recv-Q above 0: accepted, not read"),
            from_here(PATIENCE, "a reply, but late: overload"),
        ],
        fix: "Send what its protocol begins with (--send), complete to the last \\r\\n. If it \
            still does not reply, find what the process blocks on (`strace -p PID`, its log, its \
            backend).",
    },
    CauseRecord {
        cause: Cause::AppOverloaded,
        id: "app-overloaded",
        side: Side::Server,
        title: "its application replies too slowly",
        explanation: "Replies get slower with each further connection, and some exceed the time \
            allowed; handshakes remain fast, as the kernel completes them. The process, or \
            something it depends on (CPU, disk, database), is saturated.",
        checks: &[
            from_here(PATIENCE, "all reply, some late"),
            from_here(SLOWER, "all reply in time"),
            on_server(LOAD, "a CPU, or the process, at 100%"),
            on_server(LISTENERS, "Recv-Q above 0"),
        ],
        fix: "Give it more CPU or workers, or find what it waits for. A lower --rate \
            shows the load that it sustains.",
    },
    CauseRecord {
        cause: Cause::WrongReply,
        id: "wrong-reply",
        side: Side::Server,
        title: "its application sends a different reply",
        explanation: "Data comes back, but not the text given with --expect: an error (HTTP 503, \
            \"too many connections\"), a redirect, a reply cut short, or --expect text that this \
            service never sends. If only some differ, it depends on load or on the backend.",
        checks: &[
            from_here(DEBUG, "its reply"),
            on_server(LOG, "errors at that time"),
            from_here(SLOWER, "all as expected: overload"),
        ],
        fix: "Correct --send or --expect if a single connection gets that reply too; else it is \
            an error of the service under load: see the reply and its log.",
    },
    CauseRecord {
        cause: Cause::BackendDown,
        id: "backend-down",
        side: Side::Server,
        title: "one of several backends is down",
        explanation: "A load balancer (IPVS, kube-proxy, ECMP, DNAT rules) sends an even share of \
            connections to a backend that drops, refuses or closes them. Each connection is tied \
            to one backend (by a hash of addresses and ports, or by its conntrack entry), so a \
            failing dial fails with all its SYN retransmissions while all others succeed at once. \
            With packet loss retransmissions would succeed.",
        checks: &[
            on_hop("ipvsadm -Ln; nft list ruleset | grep dnat", "a backend that does not reply"),
            on_hop("kubectl get endpointslices -A", "an endpoint without a ready pod"),
            from_here(
                "the same command with each backend as a target",
                "one fails, the others do not",
            ),
            from_here(AGAIN, "the same share fails"),
        ],
        fix: "Take that backend out of rotation or repair it, and have health checks do so (they \
            must test the port and path that clients use).",
    },
    CauseRecord {
        cause: Cause::BackendUnreachable,
        id: "backend-unreachable",
        side: Side::Server,
        title: "its proxy cannot reach a backend",
        explanation: "A proxy accepts the connection and dials its backend; if that fails, it \
            closes our connection, at once (refused, no healthy backend) or after its connect \
            timeout. Above N connections the proxy has no free local port to the backend \
            (28,232 by default for each backend address), or the backend is at its limit.",
        checks: &[
            on_server(LOG, "no backend, or connect() failed"),
            from_here(SEND, "closed at the same age"),
            on_server("ss -Hant 'dport = :BACKEND_PORT' | wc -l", "near 28,232 for a backend"),
            on_server("curl -v telnet://BACKEND:BACKEND_PORT", "fails from the proxy as well"),
        ],
        fix: "Repair the backend or the proxy's health check of it. For ports: a wider \
            net.ipv4.ip_local_port_range, more backend or source addresses, reused \
            connections to the backend.",
    },
];
