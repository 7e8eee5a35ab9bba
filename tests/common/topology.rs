//! Hosts in network namespaces: two with a veth pair or a path between them, three with a router.

use super::netns::Namespace;
use super::path::{Knobs, Path};
use super::wait::skip;

/// A client 10.77.0.1 and a server 10.77.0.2 with a veth pair between them.
pub fn two() -> Option<[Namespace; 2]> {
    let [client, server] = [Namespace::make()?, Namespace::make()?];
    cable(&client, "c", &server, "s");
    for (host, device, number) in [(&client, "c", 1), (&server, "s", 2)] {
        host.run(&format!("ip address add 10.77.0.{number}/24 dev {device}"));
        host.wait_for_link(device);
    }
    Some([client, server])
}

/// The same with a user-space path between them.
pub fn far(knobs: Knobs) -> Option<([Namespace; 2], Path)> {
    let [client, server] = [Namespace::make()?, Namespace::make()?];
    let path = match Path::start(client.name(), server.name(), knobs) {
        Ok(path) => path,
        Err(why) => {
            skip(&format!("a path needs a TUN device ({why})"));
            return None;
        }
    };
    for (host, number) in [(&client, 1), (&server, 2)] {
        host.run(&format!("ip address add 10.77.0.{number}/24 dev tun0"));
        host.run("ip link set tun0 up txqueuelen 20000");
    }
    Some(([client, server], path))
}

/// A client 10.1.0.2, a router 10.1.0.1 and 10.2.0.1, and a server with 10.2.0.2 to 10.2.0.9.
pub fn three() -> Option<[Namespace; 3]> {
    let [client, router, server] = [Namespace::make()?, Namespace::make()?, Namespace::make()?];
    for (host, device, net) in [(&client, "c", 1), (&server, "s", 2)] {
        cable(host, device, &router, &format!("r{device}"));
        router.run(&format!("ip address add 10.{net}.0.1/24 dev r{device}"));
        host.run(&format!("ip address add 10.{net}.0.2/24 dev {device}"));
        host.wait_for_link(device);
        router.wait_for_link(&format!("r{device}"));
        host.run(&format!("ip route add default via 10.{net}.0.1"));
    }
    for number in 3..10 {
        server.run(&format!("ip address add 10.2.0.{number}/24 dev s"));
    }
    router.set("net/ipv4/ip_forward", "1");
    Some([client, router, server])
}

fn cable(a: &Namespace, end_a: &str, b: &Namespace, end_b: &str) {
    let peer = format!("peer name {end_b} netns {}", b.name());
    a.run(&format!("ip link add {end_a} type veth {peer}"));
    for (host, end) in [(a, end_a), (b, end_b)] {
        host.run(&format!("ip link set {end} up"));
    }
}
