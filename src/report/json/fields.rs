//! The fields of an object. Keys end in the unit of their number. Nothing is inlined: there are
//! hundreds of calls.

use crate::json::Json;
use crate::units::{Moment, Span};

/// The name of the schema with its version, which changes if a field is removed or changes its meaning,
/// not for a new field.
pub const SCHEMA_NAME: &str = "tcpgoon/1";

/// A number with its unit in its key.
#[inline(never)]
pub fn number(json: &mut Json, key: &str, value: impl Into<u64>) {
    json.key(key).integer(value.into());
}

/// A number, or null.
#[inline(never)]
pub fn number_or_null(json: &mut Json, key: &str, value: Option<impl Into<u64>>) {
    json.key(key).integer_or_null(value.map(Into::into));
}

/// A moment since the start of the run, or null.
#[inline(never)]
pub fn moment(json: &mut Json, key: &str, start: Moment, at: Option<Moment>) {
    number_or_null(json, key, at.map(|at| at.since(start).0));
}

/// A time.
#[inline(never)]
pub fn span(json: &mut Json, key: &str, span: Span) {
    number(json, key, span.0);
}

#[inline(never)]
pub fn boolean(json: &mut Json, key: &str, value: bool) {
    json.key(key).bool(value);
}

#[inline(never)]
pub fn text(json: &mut Json, key: &str, value: &str) {
    json.key(key).string(value);
}
