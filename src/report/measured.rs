//! The lines of `serve` and `calibrate`.

use std::fmt::{self, Write};
use std::net::SocketAddr;

use super::preflight;
use super::text;
use crate::NAME_AND_VERSION;
use crate::engine::State;
use crate::limits::Knob;
use crate::measured::{Calibration, LimitedBy, ServeCounts, ServeEvent};
use crate::units::{NS_PER_S, Span};

/// Below this number memory per connection is lost in other uses of pages and slabs.
const MEMORY_CONNECTIONS_MIN: u32 = 1000;

/// A loopback handshake that takes this long had its SYN or SYN-ACK retransmitted. Source: RFC
/// 6298, 2.1.
const SYN_RETRANSMITTED_AFTER: Span = Span::from_s(1);

/// The first line of `serve`; scripts read the address, its last word.
pub fn write_listening(out: &mut dyn Write, address: &SocketAddr) -> fmt::Result {
    writeln!(out, "Listening on {address}")
}

/// The statistics line of `serve`.
pub fn write_counts(out: &mut dyn Write, counts: &ServeCounts) -> fmt::Result {
    let ServeCounts { accepted, open, open_peak, closed } = counts;
    writeln!(out, "Accepted: {accepted}, Open: {open}, MostOpen: {open_peak}, Closed: {closed}")
}

/// The end of `serve`.
pub fn write_end(out: &mut dyn Write, address: &SocketAddr, counts: &ServeCounts) -> fmt::Result {
    writeln!(out, "--- {address} tcp serve statistics ---")?;
    write_counts(out, counts)
}

/// A diagnostic line of `serve`.
pub fn write_event(out: &mut dyn Write, event: &ServeEvent) -> fmt::Result {
    match event {
        ServeEvent::Listening { address } => write_listening(out, address),
        ServeEvent::BacklogClamped { requested, allowed } => writeln!(
            out,
            "tcpgoon: --backlog {requested}: this host allows {allowed} (sysctl net.core.somaxconn)"
        ),
        ServeEvent::AtLimit { connections } => writeln!(
            out,
            "tcpgoon: {connections} connections are open, the limit of --max-connections: \
             not accepting until one closes"
        ),
        ServeEvent::NoDescriptors { open } => writeln!(
            out,
            "tcpgoon: no free file descriptor with {open} connections open (ulimit -n): \
             not accepting until one closes"
        ),
        ServeEvent::NoMemory { open } => writeln!(
            out,
            "tcpgoon: out of memory with {open} connections open: \
             not accepting until one closes"
        ),
        ServeEvent::NoWatches { open } => writeln!(
            out,
            "tcpgoon: no free epoll watch with {open} connections open \
             (sysctl fs.epoll.max_user_watches): not accepting until one closes"
        ),
        ServeEvent::AcceptFailed { errno } => {
            let error = std::io::Error::from_raw_os_error(*errno);
            writeln!(out, "tcpgoon: accept() failed: {error}; retrying")
        }
    }
}

/// The report of `calibrate`.
pub fn write_calibration(out: &mut dyn Write, calibration: &Calibration) -> fmt::Result {
    let summary = &calibration.summary;
    let reached = summary.established_peak;
    writeln!(out, "--- {NAME_AND_VERSION} calibration of this machine ---")?;
    writeln!(
        out,
        "Connections reached: {reached} of {} (from one address to {})",
        calibration.connections, calibration.serve
    )?;
    write!(out, "Limited by: ")?;
    write_limited_by(out, calibration)?;
    write_cost(out, calibration)?;
    match calibration.serve_ended {
        // Dials after its end say nothing about a limit.
        Some(_) => writeln!(out, "Errors: {}, because serve had ended", summary.errors)?,
        None => text::write_reasons(out, "Errors", summary, State::Error)?,
    }
    text::write_dial_times(out, summary)?;
    if summary.established_times.max() >= SYN_RETRANSMITTED_AFTER {
        let slowest = summary.established_times.max().rounded_to_3_digits();
        writeln!(
            out,
            "The slowest dial took {slowest}: a SYN was dropped and retransmitted, so this machine may \
             do better (is net.core.somaxconn too small?)"
        )?;
    }
    text::write_turn_longest(out, calibration.turn_longest)
}

/// Rate and CPU time from the first dial to the last.
fn write_cost(out: &mut dyn Write, calibration: &Calibration) -> fmt::Result {
    let summary = &calibration.summary;
    let reached = summary.established_peak;
    let (Some(first), Some(last)) = (summary.first_dial, summary.last_dial) else { return Ok(()) };
    if reached > 1 && last > first {
        let dialed_for_ns = u128::from(last.since(first).0);
        let per_s = u128::from(reached - 1) * u128::from(NS_PER_S) / dialed_for_ns;
        writeln!(out, "Connections per second: {per_s}")?;
    }
    if reached > 0 {
        let cpu_each = Span(calibration.cpu.0 / u64::from(reached)).rounded_to_3_digits();
        writeln!(out, "Client CPU per connection: {cpu_each}")?;
        write_memory(out, calibration, reached)?;
    }
    Ok(())
}

fn write_limited_by(out: &mut dyn Write, calibration: &Calibration) -> fmt::Result {
    let summary = &calibration.summary;
    if summary.stopped {
        return writeln!(out, "a signal");
    }
    if let Some(how) = &calibration.serve_ended {
        return writeln!(out, "the end of 'tcpgoon serve', the server ({how})");
    }
    if summary.errors > 0 {
        return writeln!(out, "errors (below), not a limit found before the run");
    }
    if summary.established_peak < calibration.connections {
        return writeln!(out, "closes by serve while other connections were dialed");
    }
    match &calibration.limited_by {
        LimitedBy::Requested => writeln!(out, "--connections; this machine's limits allow more"),
        LimitedBy::Limit(Knob::HardDescriptors { hard, .. }) => {
            writeln!(out, "the limit of {hard} open files per process (ulimit -Hn)")
        }
        LimitedBy::Limit(Knob::Ports(ports)) => writeln!(
            out,
            "the {} ephemeral ports for one source and target \
             (sysctl net.ipv4.ip_local_port_range)",
            ports.usable
        ),
        LimitedBy::Limit(Knob::Memory { available_bytes, .. }) => {
            writeln!(out, "the {} MiB of available memory", available_bytes >> 20)
        }
        LimitedBy::Limit(knob) => {
            write!(out, "{}: ", preflight::what(knob))?;
            preflight::write_value(out, knob)?;
            writeln!(out)
        }
    }
}

fn write_memory(out: &mut dyn Write, calibration: &Calibration, reached: u32) -> fmt::Result {
    if reached < MEMORY_CONNECTIONS_MIN {
        return writeln!(
            out,
            "Memory per connection: cannot be measured below {MEMORY_CONNECTIONS_MIN} connections"
        );
    }
    let each = |bytes: Option<u64>| match bytes {
        None | Some(0) => "unknown".into(),
        Some(bytes) => format!("{} bytes", bytes / u64::from(reached)),
    };
    writeln!(
        out,
        "Memory per connection: client {} bytes, serve {}, kernel {} (both ends, by the growth of all \
         slabs)",
        calibration.client_bytes_each,
        each(calibration.serve_bytes),
        each(calibration.kernel_bytes),
    )
}
