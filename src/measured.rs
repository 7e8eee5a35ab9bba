//! The numbers that `serve` and `calibrate` measure: os/ fills them in, report/ prints them.

use std::net::SocketAddr;

use crate::engine::Summary;
use crate::limits::Knob;
use crate::units::Span;

/// What `serve` counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ServeCounts {
    pub accepted: u64,
    pub open: u32,
    /// The most that were open at once.
    pub open_peak: u32,
    /// Closed by either end.
    pub closed: u64,
}

/// What `serve` reports beside its counts, when it happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServeEvent {
    /// It is ready; always the first event.
    Listening { address: SocketAddr },
    /// The kernel cuts the backlog to `net.core.somaxconn`.
    BacklogClamped { requested: u32, allowed: u32 },
    /// The number of connections of `--max-connections` is open.
    AtLimit { connections: u32 },
    /// No free file descriptor.
    NoDescriptors { open: u32 },
    /// Allocation fails, here or in the kernel.
    NoMemory { open: u32 },
    /// `fs.epoll.max_user_watches` is reached.
    NoWatches { open: u32 },
    /// `accept()` failed with another error.
    AcceptFailed { errno: i32 },
}

/// Why a calibration opens no more connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LimitedBy {
    /// `--connections`.
    Requested,
    /// A limit of this host.
    Limit(Knob),
}

/// The result of `calibrate`.
#[derive(Debug, Clone)]
pub struct Calibration {
    pub serve: SocketAddr,
    /// The number of connections to open, and why no more.
    pub connections: u32,
    pub limited_by: LimitedBy,
    /// How `serve` ended, if it was not stopped by us.
    pub serve_ended: Option<String>,
    pub summary: Summary,
    pub turn_longest: Span,
    /// CPU time of this process from the first dial to the last, the poll loop included.
    pub cpu: Span,
    /// User-space memory of this process for each connection, by the sizes of its tables.
    pub client_bytes_each: u64,
    /// Growth of the resident memory of `serve`, and of all slabs of the kernel, over the run;
    /// `None`: unknown.
    pub serve_bytes: Option<u64>,
    pub kernel_bytes: Option<u64>,
}
