//! The integers of a document: those that every reader of JSON keeps.

use crate::json::INTEGER_MAX;
use crate::units::Span;

/// An integer of a document.
pub trait Number: Copy {
    const MAX: u64;
    fn get(self) -> u64;
    /// `value` is at most [`Number::MAX`].
    fn of(value: u64) -> Self;
}

macro_rules! numbers {
    ($($kind:ty),*) => {$(
        impl Number for $kind {
            // At most what every reader keeps; a constant of a wider type can be no `try_from`.
            const MAX: u64 = if size_of::<$kind>() < 8 { (1 << (8 * size_of::<$kind>() as u64 % 64)) - 1 } else { INTEGER_MAX };

            fn get(self) -> u64 {
                u64::try_from(self).unwrap_or(u64::MAX)
            }

            fn of(value: u64) -> $kind {
                <$kind>::try_from(value).unwrap_or(<$kind>::MAX)
            }
        }
    )*};
}

numbers!(u8, u16, u32, u64, usize);

impl Number for Span {
    const MAX: u64 = INTEGER_MAX;

    fn get(self) -> u64 {
        self.0
    }

    fn of(value: u64) -> Span {
        Span(value)
    }
}
