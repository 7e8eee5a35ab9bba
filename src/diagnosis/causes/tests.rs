use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use super::record::*;
use super::*;

/// Scripts, documents and saved reports may name them: never rename one.
const IDS: [&str; 52] = [
    "no-listener",
    "listens-elsewhere",
    "syn-proxy",
    "listener-closed",
    "listener-stuck",
    "accept-queue-full",
    "accept-queue-overflow",
    "accept-deferred",
    "connection-limit",
    "client-limit",
    "accept-rate-limit",
    "rejects-client",
    "server-fd-limit",
    "thread-limit",
    "idle-timeout",
    "evicts-oldest",
    "process-restarted",
    "app-silent",
    "app-overloaded",
    "wrong-reply",
    "backend-down",
    "backend-unreachable",
    "firewall-drop",
    "outage",
    "drop-above-limit",
    "reject-above-limit",
    "rate-limit",
    "firewall-reject",
    "packet-loss",
    "path-down",
    "host-down",
    "neighbour-unresolved",
    "no-route-beyond",
    "state-expired",
    "nat-ports-exhausted",
    "path-mtu",
    "long-rtt",
    "fd-limit",
    "port-range",
    "time-wait",
    "source-gone",
    "socket-memory",
    "epoll-watches",
    "no-route",
    "local-firewall",
    "not-permitted",
    "killed-here",
    "local-conntrack",
    "neighbour-table-full",
    "ingress-drops",
    "slow-host",
    "undetermined",
];

/// 80 columns less `  1. `, the widest id, two spaces, the side and two spaces.
const TITLE_MAX: usize = 80 - 5 - 21 - 2 - 9 - 2;

fn records() -> impl Iterator<Item = &'static CauseRecord> {
    Cause::ALL.into_iter().map(Cause::record)
}

fn checks() -> impl Iterator<Item = (&'static CauseRecord, &'static Check)> {
    records().flat_map(|record| record.checks.iter().map(move |check| (record, check)))
}

#[test]
fn every_id_is_unique_and_found() {
    let ids: Vec<&str> = records().map(|record| record.id).collect();
    assert_eq!(ids, IDS);
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), Cause::COUNT);
    for (index, cause) in Cause::ALL.into_iter().enumerate() {
        assert_eq!(cause as usize, index);
        assert_eq!(Cause::find(cause.id()), Some(cause));
        assert_eq!(cause.record().cause, cause);
        let is_kebab = |word: &str| word.chars().all(|c| c.is_ascii_lowercase());
        assert!(cause.id().split('-').all(|word| !word.is_empty() && is_kebab(word)));
    }
    for unknown in ["", "No-Listener", "no-listener ", "no"] {
        assert_eq!(Cause::find(unknown), None, "{unknown:?}");
    }
}

#[test]
fn records_are_grouped_by_side() {
    for (cause, side) in [
        (Cause::NoListener, Side::Server),
        (Cause::BackendUnreachable, Side::Server),
        (Cause::FirewallDrop, Side::Network),
        (Cause::LongRtt, Side::Network),
        (Cause::FdLimit, Side::ThisHost),
        (Cause::SlowHost, Side::ThisHost),
        (Cause::Undetermined, Side::Beyond),
    ] {
        assert_eq!(cause.side(), side, "{cause:?}");
    }
    let mut sides: Vec<Side> = records().map(|record| record.side).collect();
    sides.dedup();
    assert_eq!(sides, [Side::Server, Side::Network, Side::ThisHost, Side::Beyond]);
}

#[test]
fn every_field_is_filled_and_fits_its_columns() {
    for record in records() {
        let CauseRecord { id, title, explanation, checks, fix, .. } = record;
        assert!(id.len() <= 21, "{id}");
        assert!(!title.is_empty() && title.chars().count() <= TITLE_MAX, "{id}: {title}");
        assert!(!title.ends_with('.'), "{id}: {title}");
        let sentences = explanation.matches(". ").count() + 1;
        assert!((2..=5).contains(&sentences), "{id}: {sentences} sentences");
        for text in [explanation, fix] {
            assert!(text.ends_with('.') && !text.contains("  "), "{id}: {text}");
            assert!(text.chars().all(|c| c == ' ' || c.is_ascii_graphic()), "{id}: {text}");
        }
        assert!((1..=4).contains(&checks.len()), "{id}: {} checks", checks.len());
        for Check { command, reading, .. } in *checks {
            assert!(!command.is_empty() && command.len() <= 70, "{id}: {command}");
            assert!(!reading.is_empty() && reading.len() <= 44, "{id}: {reading}");
            assert!(!reading.ends_with('.') && !reading.contains(['{', '}']), "{id}: {reading}");
            let is_ascii = |text: &str| text.chars().all(|c| c == ' ' || c.is_ascii_graphic());
            assert!(is_ascii(command) && is_ascii(reading), "{id}: {command}: {reading}");
        }
    }
}

#[test]
fn a_command_has_no_placeholder_but_the_known_ones() {
    for (record, check) in checks() {
        let mut rest = check.command.to_owned();
        for placeholder in PLACEHOLDERS {
            rest = rest.replace(placeholder, "");
        }
        assert!(!rest.contains(['{', '}']), "{}: {}", record.id, check.command);
    }
    let with_source: Vec<&str> = checks()
        .filter(|(_, check)| check.command.contains("{source}"))
        .map(|(record, _)| record.id)
        .collect();
    assert_eq!(with_source, ["source-gone"], "other causes may have no source");
}

/// A renderer merges equal commands only: similar ones would be printed twice.
#[test]
fn a_command_that_is_shared_is_the_same_everywhere() {
    let mut spellings: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for (record, check) in checks() {
        let letters = check.command.chars().filter(char::is_ascii_alphanumeric).collect();
        spellings.entry(letters).or_default().insert(check.command);
        let twins = record.checks.iter().filter(|c| (c.on, c.command) == (check.on, check.command));
        assert_eq!(twins.count(), 1, "{}: {}", record.id, check.command);
    }
    for spelling in spellings.values() {
        assert_eq!(spelling.len(), 1, "{spelling:?}");
    }
}

#[test]
fn checks_from_here_are_runs_of_ours_and_no_others_are() {
    for (record, Check { on, command, .. }) in checks() {
        let is_ours = command.starts_with("the same command") || command.starts_with("tcpgoon ");
        assert_eq!(is_ours, *on == Place::FromHere, "{}: {command}", record.id);
    }
    // A local limit is never checked on the server.
    for record in records().filter(|record| record.side == Side::ThisHost) {
        let is_local = |check: &Check| matches!(check.on, Place::Here | Place::FromHere);
        assert!(record.checks.iter().all(is_local), "{}", record.id);
    }
}

#[test]
fn a_shell_parses_every_command() {
    for (record, Check { command, .. }) in checks() {
        let command = command.replace("{host}", "2001:db8::1").replace("{port}", "8080");
        let command = command.replace("{source}", "10.0.0.7");
        let status = Command::new("bash").args(["-n", "-c", &command]).status().unwrap();
        assert!(status.success(), "{}: {command}", record.id);
    }
}

/// Causes that look alike share a check with different readings.
#[test]
fn similar_causes_have_different_readings() {
    let reads = |cause: Cause, command: &str| {
        let check = cause.record().checks.iter().find(|check| check.command == command);
        check.unwrap_or_else(|| panic!("{cause:?} has no {command}")).reading
    };
    for (one, other, command) in [
        (Cause::NoListener, Cause::ListensElsewhere, LISTENERS),
        (Cause::NoListener, Cause::FirewallReject, LISTENERS),
        (Cause::AcceptQueueFull, Cause::DropAboveLimit, EXPECT),
        (Cause::ConnectionLimit, Cause::ClientLimit, OTHER_SOURCE),
        (Cause::ConnectionLimit, Cause::AcceptRateLimit, SLOWER),
        (Cause::IdleTimeout, Cause::EvictsOldest, HOLD),
        (Cause::PacketLoss, Cause::RateLimit, SLOWER),
        (Cause::AppSilent, Cause::AppOverloaded, PATIENCE),
        (Cause::StateExpired, Cause::SynProxy, SERVER_COUNT),
        (Cause::DropAboveLimit, Cause::RejectAboveLimit, RULES),
    ] {
        assert_ne!(reads(one, command), reads(other, command), "{one:?} {other:?}");
    }
}
