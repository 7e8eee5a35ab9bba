//! The plan of a run, and what else is known at its beginning.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::codec::Codec;
use super::fields::SCHEMA_NAME;
use super::{host, names};
use crate::ask::{PRESETS, Preset};
use crate::escape::{Escaped, unescaped};
use crate::limits::{Finding, Host};
use crate::plan::{CONNECTIONS_MAX, Close, Hold, Pace, Plan, Probe, ReplyCheck, TEXT_BYTES_MAX};
use crate::rehearsal::Rehearsal;
use crate::report::Start;
use crate::route::{OtherAddresses, Routes, SOURCES_MAX, TARGETS_MAX, Target};
use crate::units::rfc3339;

/// What a document has of the beginning of a run.
#[derive(Debug, Clone)]
pub struct Begun {
    pub plan: Plan,
    pub command_line: String,
    pub host: Option<String>,
    pub start_unix_ns: u64,
    pub limits: Host,
    pub findings: Vec<Finding>,
}

impl Begun {
    pub fn of(start: &Start<'_>) -> Begun {
        Begun {
            plan: start.plan.clone(),
            command_line: start.command_line.to_owned(),
            host: start.host.map(str::to_owned),
            start_unix_ns: start.start_unix_ns,
            limits: start.limits.clone(),
            findings: start.findings.to_vec(),
        }
    }

    pub fn empty() -> Begun {
        Begun {
            plan: Plan::plain(1, Routes::to_one(no_target())),
            command_line: String::new(),
            host: None,
            start_unix_ns: 0,
            limits: Host::default(),
            findings: Vec::new(),
        }
    }

    pub fn fields(&mut self, codec: &mut Codec<'_>) {
        let mut schema = SCHEMA_NAME.to_owned();
        codec.text("schema", &mut schema);
        if schema != SCHEMA_NAME {
            let schema = crate::escape::quoted(&schema);
            codec.fail("schema", &format!("{schema}: {SCHEMA_NAME} is accepted"));
        }
        if let Some(json) = codec.writing() {
            json.key("version").string(env!("CARGO_PKG_VERSION"));
        }
        let rehearsed = rehearsed(codec, self.plan.rehearsal.take());
        codec.text("command_line", &mut self.command_line);
        codec.text_or_null("host", &mut self.host);
        time(codec, "start", "start_unix_us", &mut self.start_unix_ns);
        codec.object("plan", &mut |codec| plan(codec, &mut self.plan));
        self.plan.rehearsal = rehearsed;
        codec.object("limits", &mut |codec| host::limits(codec, &mut self.limits));
        host::findings(codec, &self.plan, &mut self.findings);
    }
}

/// What was simulated, and the seed: as they were typed.
fn rehearsed(codec: &mut Codec<'_>, rehearsal: Option<Rehearsal>) -> Option<Rehearsal> {
    let mut typed = rehearsal.as_ref().map(|of| (of.scenario.clone(), of.seed));
    codec.optional("rehearsed", &mut typed, |codec, (scenario, seed)| {
        codec.text("scenario", scenario);
        codec.number("seed", seed);
    });
    if !codec.is_reading() {
        return rehearsal;
    }
    let (scenario, seed) = typed?;
    match Rehearsal::parse(&format!("{scenario}:{seed}")) {
        Ok(rehearsal) if rehearsal.scenario == scenario => return Some(rehearsal),
        Ok(_) => codec.fail("rehearsed", "a scenario without its seed is accepted"),
        Err(accepted) => codec.fail("rehearsed", &accepted),
    }
    None
}

/// A time as RFC 3339, and in microseconds since 1970.
pub fn time(codec: &mut Codec<'_>, text: &str, field: &'static str, unix_ns: &mut u64) {
    if let Some(json) = codec.writing() {
        json.key(text).string(&rfc3339(*unix_ns));
    }
    let mut unix_us = *unix_ns / 1_000;
    codec.number(field, &mut unix_us);
    if codec.is_reading() {
        *unix_ns = unix_us * 1_000;
    }
}

fn no_target() -> Target {
    Target { host: String::new(), address: ([0, 0, 0, 0], 0).into() }
}

fn plan(codec: &mut Codec<'_>, plan: &mut Plan) {
    codec.number("connections_count", &mut plan.connections);
    let is_accepted = (1..=CONNECTIONS_MAX).contains(&plan.connections);
    codec.check("connections_count", is_accepted, "1 to 64000000 are accepted");
    routes(codec, plan);
    codec.list(
        "other_addresses",
        &mut plan.other_addresses,
        TARGETS_MAX,
        no_others,
        &mut |c, o| {
            c.text("name", &mut o.host);
            let max = OtherAddresses::NAMED_MAX;
            c.texts("addresses", &mut o.named, max, IpAddr::to_string, read_ip, "an IP address");
            c.number("more_count", &mut o.more);
        },
    );
    let mut pace = Some(plan.pace).filter(Pace::is_paced);
    codec.optional("pace", &mut pace, |codec, pace| {
        codec.number("dials_count", &mut pace.dials);
        codec.number("every_ns", &mut pace.span);
    });
    plan.pace = pace.unwrap_or_default();
    codec.number_or_null("dial_timeout_ns", &mut plan.dial_timeout);
    codec.number_or_null("interval_ns", &mut plan.interval);
    let mut hold = match plan.hold {
        Hold::For(span) => Some(span),
        Hold::Forever => None,
    };
    codec.number_or_null("hold_ns", &mut hold);
    plan.hold = hold.map_or(Hold::Forever, Hold::For);
    codec.number_or_null("lifetime_ns", &mut plan.lifetime);
    codec.number("hold_beside_count", &mut plan.hold_beside);
    let is_part = plan.hold_beside < plan.connections;
    let is_churn = plan.hold_beside == 0 || plan.lifetime.is_some();
    codec.check(
        "hold_beside_count",
        is_part && is_churn,
        "fewer than connections_count, with a lifetime",
    );
    codec.number_or_null("duration_ns", &mut plan.duration);
    codec.number("settle_ns", &mut plan.settle);
    codec.choice("close", &mut plan.close, &[Close::Fin, Close::Rst], names::close);
    let probes = [Probe::None, Probe::Sample, Probe::All];
    codec.choice("probe", &mut plan.probe, &probes, names::probe);
    let mut checked = plan.reply_check.take().map(|check| (check, plan.preset));
    codec.optional("reply_check", &mut checked, reply_check);
    plan.preset = checked.as_ref().and_then(|(_, preset)| *preset);
    plan.reply_check = checked.map(|(check, _)| check);
    codec.number_or_null("errors_max_count", &mut plan.errors_max);
}

/// With the preset of `--ask`.
fn reply_check(codec: &mut Codec<'_>, checked: &mut (ReplyCheck, Option<&'static Preset>)) {
    let (check, preset) = checked;
    bytes(codec, "send", &mut check.send);
    bytes(codec, "expect", &mut check.expect);
    let mut name = preset.map(|preset| preset.name.to_owned());
    codec.text_or_null("ask", &mut name);
    if let Some(name) = name {
        *preset = PRESETS.iter().find(|preset| preset.name == name);
        codec.check("ask", preset.is_some(), "a preset of --ask is accepted");
    }
    codec.number("timeout_ns", &mut check.reply_timeout);
}

fn routes(codec: &mut Codec<'_>, plan: &mut Plan) {
    let mut targets = plan.routes.targets().to_vec();
    codec.list("targets", &mut targets, TARGETS_MAX, no_target, &mut |codec, target| {
        codec.text("host", &mut target.host);
        let write = SocketAddr::to_string;
        let accepted = "an IP address with a port";
        codec.as_text("address", &mut target.address, write, |text| text.parse().ok(), accepted);
    });
    let mut sources = plan.routes.sources().to_vec();
    let accepted = "an IP address";
    codec.texts("sources", &mut sources, SOURCES_MAX, write_source, read_source, accepted);
    if codec.is_reading() {
        let count = sources.len();
        match Routes::new(targets, &sources) {
            Ok(routes) if routes.sources() == sources => plan.routes = routes,
            Ok(_) => codec.fail("sources", "each once, IPv4 first, is accepted"),
            Err(_) if count == 0 => codec.fail("targets", "1 and more are accepted"),
            Err(_) => codec.fail("sources", "one of the family of each target is accepted"),
        }
    }
}

/// With its scope, without its port, which is 0.
fn write_source(source: &SocketAddr) -> String {
    let shown = source.to_string();
    let ip = shown.strip_suffix(":0").unwrap_or(&shown);
    ip.trim_matches(['[', ']']).to_owned()
}

fn read_source(text: &str) -> Option<SocketAddr> {
    let with_port = if text.contains(':') { format!("[{text}]:0") } else { format!("{text}:0") };
    with_port.parse().ok()
}

fn no_others() -> OtherAddresses {
    OtherAddresses::new("", &[])
}

pub fn read_ip(text: &str) -> Option<IpAddr> {
    text.parse().ok()
}

/// A text of the command line, escaped.
fn bytes(codec: &mut Codec<'_>, field: &'static str, bytes: &mut Arc<[u8]>) {
    let read =
        |text: &str| unescaped(text).filter(|bytes| bytes.len() <= TEXT_BYTES_MAX).map(Arc::from);
    let write = |bytes: &Arc<[u8]>| Escaped(bytes).to_string();
    codec.as_text(field, bytes, write, read, "a text with escapes, at most 4096 bytes,");
}
