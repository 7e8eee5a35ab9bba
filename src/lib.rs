#![deny(unsafe_code)]

pub mod cli;
pub mod engine;
pub mod error;
pub mod findings;
pub mod os;
pub mod plan;
pub mod report;
pub mod route;
pub mod units;

/// As it is printed: `tcpgoon 0.1.0`.
pub const NAME_AND_VERSION: &str = concat!("tcpgoon ", env!("CARGO_PKG_VERSION"));
