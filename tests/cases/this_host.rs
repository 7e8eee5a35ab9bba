//! Rules of this host that `connect()` does not report.

use super::{goon, serve};
use crate::common::faulty_servers::Fault;
use crate::common::topology;
use crate::common::verdict::{Verdict, verdict};

/// A rule of this host for those above 50.
fn above_fifty(action: &str) -> Option<Verdict> {
    let [client, host] = topology::two()?;
    let _server = serve(&host, "10.77.0.2:80", Fault::Keep);
    let rule = format!("tcp dport 80 ct state new ct count over 50 {action}");
    client.firewall("output", &rule);
    Some(verdict(&goon(&client, "10.77.0.2:80 -c 80 -s 1")))
}

/// `connect()` fails with EINVAL.
pub fn a_blackhole_route_of_this_host() {
    let Some([client, _host]) = topology::two() else { return };
    client.run("ip route add blackhole 10.99.0.0/24");
    let verdict = verdict(&goon(&client, "10.99.0.1:80 -c 20 -s 1"));
    verdict.word("FAILED", 2).reached_is(0, 20).share(20, 20).first(&["no-route"]);
}

pub fn a_rule_of_this_host_drops_above_fifty() {
    let Some(verdict) = above_fifty("drop") else { return };
    verdict.word("LIMIT", 2).reached_is(50, 80).open(50).share(30, 30).names(&["local-firewall"]);
}

pub fn a_rule_of_this_host_rejects_above_fifty() {
    let Some(verdict) = above_fifty("reject with tcp reset") else { return };
    verdict.word("LIMIT", 2).reached_is(50, 80).open(50).share(30, 30).names(&["local-firewall"]);
}
