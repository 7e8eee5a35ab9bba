#![deny(unsafe_code)]

pub mod cli;
pub mod engine;
pub mod error;
pub mod plan;
pub mod route;
pub mod units;
