//! Only one address of a name is dialed: if that fails, this names the others.

use std::fmt::{self, Write};

use super::wrap::write_wrapped_at;
use crate::diagnosis::model::{Problem, Scope, Symptom};
use crate::escape::Printable;
use crate::plan::Plan;
use crate::route::OtherAddresses;

/// The most host names that are listed for a problem.
const NAMES_MAX: usize = 4;

/// Only for problems with dials that failed beyond this host.
pub fn write_other_addresses(
    out: &mut dyn Write,
    plan: &Plan,
    problem: &Problem,
    columns: usize,
) -> fmt::Result {
    if !matches!(problem.symptom, Symptom::DialsFailed { .. } | Symptom::DialsSlow { .. }) {
        return Ok(());
    }
    let is_affected = |others: &&OtherAddresses| match &problem.scope {
        Scope::Targets { indexes, .. } => indexes.iter().any(|index| {
            let target = plan.routes.targets().get(*index as usize);
            target.is_some_and(|target| target.host == others.host)
        }),
        _ => true,
    };
    for others in plan.other_addresses.iter().filter(is_affected).take(NAMES_MAX) {
        write_wrapped_at(out, &line(others), 0, columns)?;
    }
    Ok(())
}

/// `db.example has other addresses: 10.0.0.2, 10.0.0.3 (--all-addresses dials all)`.
fn line(others: &OtherAddresses) -> String {
    let mut named: Vec<String> = others.named.iter().map(ToString::to_string).collect();
    if others.more > 0 {
        named.push(format!("{} more", others.more));
    }
    let (name, named) = (Printable(&others.host), named.join(", "));
    let plural = if others.named.len() == 1 { "another address" } else { "other addresses" };
    format!("{name} has {plural}: {named} (--all-addresses dials all)")
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::diagnosis::pattern::{Part, Pattern};
    use crate::route::{Routes, Target};

    fn others(host: &str, count: u8) -> OtherAddresses {
        let all: Vec<SocketAddr> = (2..2 + count).map(|n| ([10, 0, 0, n], 0).into()).collect();
        OtherAddresses::new(host, &all)
    }

    fn written(symptom: Symptom, scope: Scope) -> String {
        let target = |host: &str| Target { host: host.into(), address: ([10, 0, 0, 1], 80).into() };
        let routes = Routes::new(vec![target("one"), target("two")], &[]).unwrap();
        let plan = Plan {
            other_addresses: vec![others("one", 1), others("two", 11)],
            ..Plan::plain(10, routes)
        };
        let problem = Problem {
            symptom,
            share: Part { all: 10, hits: 10 },
            outside: 0,
            pattern: Pattern::All,
            scope,
            candidates: Vec::new(),
            explains: Vec::new(),
        };
        let mut text = String::new();
        write_other_addresses(&mut text, &plan, &problem, 80).unwrap();
        text
    }

    #[test]
    fn other_addresses_are_named_for_failed_dials_to_that_name_only() {
        let failed =
            || Symptom::DialsFailed { reasons: vec![], pending: 1, slow: 0, retransmits: 0 };
        let one = "one has another address: 10.0.0.2 (--all-addresses dials all)\n";
        let two = "two has other addresses: 10.0.0.2, 10.0.0.3, 10.0.0.4, 10.0.0.5, 10.0.0.6,\n\
            10.0.0.7, 10.0.0.8, 10.0.0.9, 3 more (--all-addresses dials all)\n";
        assert_eq!(written(failed(), Scope::Everywhere), format!("{one}{two}"));
        assert_eq!(written(failed(), Scope::Targets { indexes: vec![1], count: 1 }), two);
        assert_eq!(written(Symptom::HalfOpen, Scope::Everywhere), "");
    }
}
