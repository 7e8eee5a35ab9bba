//! A run in other formats than the text: JSON and its schema, events, Markdown, JUnit, metrics, and the
//! conditions of `--fail-if`.

#[path = "../common/mod.rs"]
mod common;

mod conditions;
mod documents;
mod events;
mod files;
mod kinds;
mod metrics;
mod schema;
mod tables;
