//! What `serve` and `calibrate` have to tell: plain numbers, between the edge that measures and the
//! face that prints.

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

/// What `serve` says beside its counts, when it happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServeNews {
    /// It is ready; always the first thing it says.
    Listening { address: SocketAddr },
    /// The accept queue is shorter than asked for, by `net.core.somaxconn`.
    BacklogClamped { asked: u32, got: u32 },
    /// As many connections are open as it was told to take.
    AtLimit { connections: u32 },
    /// This process has no descriptor left.
    NoDescriptors { open: u32 },
    /// There is no memory for another connection.
    NoMemory { open: u32 },
    /// This user's processes have as many watches in poll sets as they may.
    NoWatches { open: u32 },
    /// `accept()` failed with this error number, which is none of the usual ones.
    AcceptFailed { errno: i32 },
}

/// What kept a calibration from opening more connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stopper {
    /// It was told to open no more.
    Asked,
    /// A limit of this host.
    Limit(Knob),
}

/// What this machine can do.
#[derive(Debug, Clone)]
pub struct Calibration {
    pub serve: SocketAddr,
    /// How many connections were to be opened, and why no more.
    pub connections: u32,
    pub stopper: Stopper,
    /// How `serve` ended, if that was before it was told to.
    pub serve_ended: Option<String>,
    pub summary: Summary,
    pub turn_longest: Span,
    /// Processor time of this process from the first dial to the last, the poll loop included.
    pub cpu: Span,
    /// What this process takes for each connection: of all that it takes some is for none.
    pub client_bytes_each: u64,
    /// Growth of resident memory of `serve`, and of the kernel's slabs (all of the machine's), from
    /// before the run to its end; `None` where it cannot be read.
    pub serve_bytes: Option<u64>,
    pub kernel_bytes: Option<u64>,
}
