//! A run in other formats than the text: JSON and its schema, events, HTML, Markdown, JUnit, metrics, and
//! the conditions of `--fail-if`.

#[path = "../common/mod.rs"]
mod common;

mod answers;
mod conditions;
mod damaged;
mod documents;
mod events;
mod files;
mod html;
mod kinds;
mod metrics;
mod rehearsals;
mod saved;
mod schema;
mod tables;
mod unreadable;
