//! Memory of a connection at both ends: the slope of anonymous resident memory over the number of
//! connections, so that the process's own memory does not count.

mod common;

use nix::sys::resource::{Resource, getrlimit};

use common::{Running, Served, skip, status_number, tcpgoon};

const FEW: u32 = 2_000;
const MANY: u32 = 18_000;

/// The maximum, for the client and for `serve`.
const BYTES_MAX: u64 = 49;

/// KiB of each end.
struct Resident {
    client: u64,
    serve: u64,
}

fn resident(server: &Served, connections: u32, flags: &[&str]) -> Resident {
    let (count, target) = (connections.to_string(), server.target());
    let args = ["-y", "-c", &count, "-s", "0", "-t", "30", "-i", "0.1", "--hold", "forever"];
    let client = Running::start(tcpgoon(&[&args[..], flags, &[&target]].concat()));
    let count = u64::from(connections);
    client.wait_for_stats("all are established", |stats| stats.established == count);
    server.wait_for_counts("all are accepted", |counts| counts[1] == count);
    Resident {
        client: status_number(client.id(), "RssAnon"),
        serve: status_number(server.running.id(), "RssAnon"),
    }
}

/// Bytes a connection, from FEW to MANY; the median of three repetitions, each with new processes.
fn slopes(serve: &[&str], flags: &[&str]) -> Resident {
    let mut slopes: Vec<Resident> = (0..3)
        .map(|_| {
            let server = Served::start(&[&["-i", "0.1"], serve].concat());
            let few = resident(&server, FEW, flags);
            server.wait_for_counts("all have hung up", |counts| counts[1] == 0 && counts[0] > 0);
            let many = resident(&server, MANY, flags);
            let slope = |few: u64, many: u64| (many - few) * 1024 / u64::from(MANY - FEW);
            Resident { client: slope(few.client, many.client), serve: slope(few.serve, many.serve) }
        })
        .collect();
    let mut median = |of: fn(&Resident) -> u64| {
        slopes.sort_by_key(of);
        of(&slopes[1])
    };
    Resident { client: median(|slope| slope.client), serve: median(|slope| slope.serve) }
}

#[test]
fn a_connection_costs_either_end_at_most_49_bytes() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    if hard < u64::from(MANY) + 100 {
        return skip(&format!("{MANY} connections need more than {hard} open files (ulimit -Hn)"));
    }
    // A timeout a connection is the most that serve stores.
    for (serve_args, flags) in [(&[][..], &[][..]), (&["--close-after", "1h"], &["--probe"])] {
        let Resident { client, serve } = slopes(serve_args, flags);
        println!("bytes a connection: client {flags:?} {client}, serve {serve_args:?} {serve}");
        assert!(client <= BYTES_MAX && serve <= BYTES_MAX, "{serve_args:?}: {client}, {serve}");
        // Less than one record would be a wrong measurement.
        assert!(client >= 16 && serve >= 8, "{serve_args:?}: {client}, {serve}");
    }
}

/// The tables are allocated before the first dial, so their size shows without connections.
#[test]
fn a_connection_costs_at_most_49_bytes_with_all_checks() {
    const FEW: u32 = 10_000;
    const MANY: u32 = 2_010_000;
    let server = Served::start(&["-i", "0", "--banner", "hello"]);
    let resident = |connections: u32| {
        let (count, target) = (connections.to_string(), server.target());
        let args = ["-y", "-c", &count, "-s", "1h", "-i", "0.1", "--expect", "hello", "--probe"];
        let client = Running::start(tcpgoon(&[&args[..], &[&target]].concat()));
        client.wait_for_stats("it has begun", |stats| stats.established > 0);
        status_number(client.id(), "RssAnon") * 1024
    };
    let (few, many) = (resident(FEW), resident(MANY));
    let each = (many - few).div_ceil(u64::from(MANY - FEW));
    println!("bytes a connection: client {each}");
    // A megabyte more or less is noise.
    assert!((38..=BYTES_MAX).contains(&each), "{few} to {many}: {each}");
}
