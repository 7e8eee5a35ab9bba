//! A full neighbour table. The table belongs to the whole machine, so this suite has a binary of its
//! own: binaries run one after another.

mod common;

use common::faulty_servers::{Fault, FaultyServer};
use common::topology;
use common::verdict::verdict;
use common::{Running, skip};

/// 3,000 addresses on the link against `gc_thresh3` = 1024.
#[test]
fn this_host_has_more_neighbours_than_its_table_holds() {
    let most = std::fs::read_to_string("/proc/sys/net/ipv4/neigh/default/gc_thresh3");
    if most.ok().and_then(|most| most.trim().parse::<u64>().ok()).is_none_or(|most| most > 2048) {
        return skip("the neighbour table must be smaller than 3,000 entries, and be shown");
    }
    let Some([client, host]) = topology::two() else { return };
    host.run("ip route add local 10.78.0.0/20 dev lo");
    client.run("ip route add 10.78.0.0/20 dev c");
    let _server = FaultyServer::start(host.name(), "0.0.0.0:80".parse().unwrap(), Fault::Keep);
    let words = "-y -i 0 10.78.0.1-10.78.11.200:80 -c 3000 -s 1";
    let verdict = verdict(&Running::start(client.tcpgoon(words)).outcome());
    verdict.word("LIMIT", 2).first(&["neighbour-table-full"]).sides(&["this host"]);
    assert!(verdict.reached()[0] < 3000, "{verdict}");
}
