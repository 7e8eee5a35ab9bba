//! The neighbour table: an entry for each address on the link that this host sends to, a target or
//! a router. If it is full (`gc_thresh3`), this host drops packets to new neighbours, and the dials
//! time out. Source: `neigh_alloc` in net/core/neighbour.c.

use super::model::{Finding, Host, Knob, Neighbours};
use crate::plan::Plan;

pub fn judge(plan: &Plan, host: &Host, found: &mut Vec<Finding>) {
    let planned = u64::from(plan.connections);
    let dialed = planned.min(plan.routes.targets().len() as u64).max(1);
    for &Neighbours { is_v6, entries, hops, targets } in &host.neighbours {
        let refused = hops.saturating_sub(entries.free());
        // Connections are spread evenly over the targets, and these roughly evenly over their
        // neighbours.
        let lost = (u128::from(planned) * u128::from(targets) * u128::from(refused))
            .div_ceil(u128::from(dialed) * u128::from(hops.max(1)));
        let connections = planned.saturating_sub(u64::try_from(lost).unwrap_or(u64::MAX));
        let needed = entries.used.saturating_add(hops);
        found.push(Finding { connections, knob: Knob::Neighbours { is_v6, entries, needed } });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Gauge;
    use crate::route::{Routes, Target};

    /// The findings of a plan of `connections` to `targets`.
    fn judged(connections: u32, targets: u8, neighbours: &[Neighbours]) -> Vec<(u64, Knob)> {
        let target = |last| Target { host: "x".into(), address: ([10, 0, 0, last], 80).into() };
        let routes = Routes::new((0..targets).map(target).collect(), &[]).unwrap();
        let plan = Plan::plain(connections, routes);
        let host = Host { neighbours: neighbours.to_vec(), ..Host::default() };
        let found = super::super::judge(&plan, &host);
        found.into_iter().map(|finding| (finding.connections, finding.knob)).collect()
    }

    fn table(most: u64, used: u64, hops: u64, targets: u64) -> Neighbours {
        Neighbours { is_v6: false, entries: Gauge { most, used }, hops, targets }
    }

    #[test]
    fn connections_beyond_the_free_entries_are_lost() {
        let knob = |most, used, needed| Knob::Neighbours {
            is_v6: false,
            entries: Gauge { most, used },
            needed,
        };
        for (connections, table, expected) in [
            (1000, table(128, 28, 100, 100), None),
            (1000, table(128, 29, 100, 100), Some((990, knob(128, 29, 129)))),
            // Half of the targets are on the link, two for each address.
            (1000, table(20, 0, 25, 50), Some((900, knob(20, 0, 25)))),
            // One router for all.
            (1000, table(128, 127, 1, 100), None),
            (1000, table(128, 200, 1, 100), Some((0, knob(128, 200, 201)))),
            // 50 connections dial only 50 of the targets.
            (50, table(10, 0, 50, 50), Some((10, knob(10, 0, 50)))),
        ] {
            assert_eq!(judged(connections, 100, &[table]).pop(), expected, "{table:?}");
        }
        let v6 = Neighbours { is_v6: true, ..table(8, 8, 100, 100) };
        assert_eq!(judged(100, 100, &[table(200, 0, 0, 0), v6]).len(), 1);
    }
}
