//! The only place that reads a clock.

use std::time::{SystemTime, UNIX_EPOCH};

use super::sys;
use crate::units::Moment;

/// The run's clock: the monotonic clock, counted from [`Clock::start`].
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    origin_ns: u64,
}

impl Clock {
    pub fn start() -> Clock {
        Clock { origin_ns: sys::monotonic_ns() }
    }

    pub fn now(&self) -> Moment {
        Moment(sys::monotonic_ns().saturating_sub(self.origin_ns))
    }

    /// `moment` on the system's monotonic clock in nanoseconds, for a timer.
    pub fn monotonic_ns(&self, moment: Moment) -> u64 {
        self.origin_ns.saturating_add(moment.0)
    }
}

/// Nanoseconds since 1970, UTC; 0 if the clock is set to before that.
pub fn unix_ns() -> u64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_1970.as_nanos()).unwrap_or(u64::MAX)
}
