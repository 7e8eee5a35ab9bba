//! The plan of a run, and the limits of this host before it.

use super::fields::{SCHEMA_NAME, boolean, number, number_or_null, span, text};
use super::names;
use crate::escape::Escaped;
use crate::json::Json;
use crate::limits::{Finding, Gauge, Host, PortRange};
use crate::plan::{Hold, Plan};
use crate::report::{Start, preflight};
use crate::units::{Span, rfc3339};

/// The most targets and sources that are listed; of more only the count.
const LISTED_MAX: usize = 100;

pub fn write_start(json: &mut Json, start: &Start<'_>) {
    text(json, "schema", SCHEMA_NAME);
    text(json, "version", env!("CARGO_PKG_VERSION"));
    json.key("rehearsed").optional(start.plan.rehearsal.as_ref(), |json, rehearsal| {
        json.object(|json| {
            text(json, "scenario", &rehearsal.scenario);
            number(json, "seed", rehearsal.seed);
        });
    });
    text(json, "command_line", start.command_line);
    json.key("host").string_or_null(start.host);
    text(json, "start", &rfc3339(start.start_unix_ns));
    number(json, "start_unix_us", start.start_unix_ns / 1_000);
    json.key("plan").object(|json| write_plan(json, start.plan));
    json.key("limits").object(|json| write_limits(json, start.limits));
    json.key("findings").array(|json| {
        let all = start.findings.iter();
        all.for_each(|finding| json.object(|json| write_finding(json, start.plan, finding)));
    });
}

fn write_plan(json: &mut Json, plan: &Plan) {
    let (targets, sources) = (plan.routes.targets(), plan.routes.sources());
    number(json, "connections_count", plan.connections);
    number(json, "targets_count", targets.len() as u64);
    json.key("targets").array(|json| {
        targets.iter().take(LISTED_MAX).for_each(|target| json.string(&target.to_string()));
    });
    number(json, "sources_count", sources.len() as u64);
    json.key("sources").array(|json| {
        sources.iter().take(LISTED_MAX).for_each(|source| json.string(&source.ip().to_string()));
    });
    json.key("other_addresses").array(|json| {
        for other in &plan.other_addresses {
            json.object(|json| {
                text(json, "name", &other.host);
                let addresses = other.named.iter();
                json.key("addresses")
                    .array(|json| addresses.for_each(|ip| json.string(&ip.to_string())));
                number(json, "more_count", other.more as u64);
            });
        }
    });
    json.key("pace").optional(Some(plan.pace).filter(|pace| pace.is_paced()), |json, pace| {
        json.object(|json| {
            number(json, "dials_count", pace.dials);
            span(json, "every_ns", pace.span);
        });
    });
    let ns = |span: Option<Span>| span.map(|span| span.0);
    number_or_null(json, "dial_timeout_ns", ns(plan.dial_timeout));
    number_or_null(json, "interval_ns", ns(plan.interval));
    let hold = match plan.hold {
        Hold::For(span) => Some(span),
        Hold::Forever => None,
    };
    number_or_null(json, "hold_ns", ns(hold));
    number_or_null(json, "lifetime_ns", ns(plan.lifetime));
    number_or_null(json, "duration_ns", ns(plan.duration));
    span(json, "settle_ns", plan.settle);
    text(json, "close", names::close(plan.close));
    text(json, "probe", names::probe(plan.probe));
    json.key("reply_check").optional(plan.reply_check.as_ref(), |json, check| {
        json.object(|json| {
            text(json, "send", &Escaped(&check.send).to_string());
            text(json, "expect", &Escaped(&check.expect).to_string());
            span(json, "timeout_ns", check.reply_timeout);
        });
    });
    number_or_null(json, "errors_max_count", plan.errors_max);
}

fn write_limits(json: &mut Json, host: &Host) {
    json.key("descriptors").optional(host.descriptors, |json, descriptors| {
        json.object(|json| {
            number(json, "soft_count", descriptors.soft);
            number(json, "hard_count", descriptors.hard);
            number(json, "open_count", descriptors.open);
            boolean(json, "may_raise", descriptors.may_raise);
        });
    });
    number_or_null(json, "nr_open_count", host.nr_open);
    json.key("files").optional(host.files, write_gauge);
    number_or_null(json, "epoll_watches_count", host.watches_max);
    json.key("ephemeral_ports").optional(host.ports, write_ports);
    json.key("reserved_ports").array(|json| {
        host.ports_reserved.iter().for_each(|range| write_ports(json, *range));
    });
    number_or_null(json, "time_wait_count", host.time_wait);
    number_or_null(json, "tcp_tw_reuse_setting", host.time_wait_reuse);
    number_or_null(json, "tcp_timestamps_setting", host.timestamps);
    json.key("conntrack").optional(host.conntrack, write_gauge);
    number_or_null(json, "memory_available_bytes", host.memory_available_bytes);
    json.key("cgroups").array(|json| {
        for cgroup in &host.cgroups {
            json.object(|json| {
                text(json, "file", &cgroup.file);
                write_bytes(json, &cgroup.bytes);
            });
        }
    });
    json.key("address_space")
        .optional(host.address_space, |json, bytes| json.object(|json| write_bytes(json, &bytes)));
    number(json, "connection_bytes", host.table_bytes_each);
    json.key("neighbour_tables").array(|json| {
        for table in &host.neighbours {
            json.object(|json| {
                text(json, "family", if table.is_v6 { "ipv6" } else { "ipv4" });
                number(json, "max_count", table.entries.most);
                number(json, "used_count", table.entries.used);
                number(json, "next_hops_count", table.hops);
                number(json, "targets_count", table.targets);
            });
        }
    });
}

fn write_gauge(json: &mut Json, gauge: Gauge) {
    json.object(|json| {
        number(json, "max_count", gauge.most);
        number(json, "used_count", gauge.used);
    });
}

fn write_bytes(json: &mut Json, gauge: &Gauge) {
    number(json, "max_bytes", gauge.most);
    number(json, "used_bytes", gauge.used);
}

fn write_ports(json: &mut Json, range: PortRange) {
    json.object(|json| {
        number(json, "first_port", range.low);
        number(json, "last_port", range.high);
    });
}

fn write_finding(json: &mut Json, plan: &Plan, finding: &Finding) {
    text(json, "knob", names::knob(&finding.knob));
    number(json, "allows_count", finding.connections);
    text(json, "text", &preflight::Line { plan, finding }.to_string());
}
