//! The integers of a document: those that every reader of JSON keeps.

use crate::json::INTEGER_MAX;
use crate::plan::CONNECTIONS_MAX;
use crate::units::Span;

/// An integer of a document.
pub trait Number: Copy {
    const MAX: u64;
    fn get(self) -> u64;
    /// `value` is at most [`Number::MAX`].
    fn of(value: u64) -> Self;
}

macro_rules! numbers {
    ($($kind:ty: $max:expr),*) => {$(
        impl Number for $kind {
            const MAX: u64 = $max as u64;

            fn get(self) -> u64 {
                u64::try_from(self).unwrap_or(u64::MAX)
            }

            fn of(value: u64) -> $kind {
                <$kind>::try_from(value).unwrap_or(<$kind>::MAX)
            }
        }
    )*};
}

// Those of 32 bits count connections, or are less: some dozens of them can be added up.
numbers!(u8: u8::MAX, u16: u16::MAX, u32: CONNECTIONS_MAX, u64: INTEGER_MAX, usize: INTEGER_MAX);

impl Number for Span {
    const MAX: u64 = INTEGER_MAX;

    fn get(self) -> u64 {
        self.0
    }

    fn of(value: u64) -> Span {
        Span(value)
    }
}
