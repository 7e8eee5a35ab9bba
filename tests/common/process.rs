//! Processes and limits, as the kernel reports them.

use std::fs;

use nix::sys::resource::{Resource, getrlimit};

use super::wait::skip;

/// Whether the limit on open files allows `connections`; skips aloud if not.
pub fn has_descriptors_for(connections: u64) -> bool {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    if hard < connections + 100 {
        let wanted = format!("{connections} connections need more than {hard} open files");
        skip(&format!("{wanted} (ulimit -Hn)"));
        return false;
    }
    true
}

/// A number from `/proc/PID/status`.
pub fn status_number(process: u32, field: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let rest = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':')).unwrap();
    rest.split_whitespace().next().unwrap().parse().unwrap()
}

/// The children of a process.
pub fn children(process: u32) -> Vec<u32> {
    let path = format!("/proc/{process}/task/{process}/children");
    let text = fs::read_to_string(path).unwrap_or_default();
    text.split_whitespace().map(|word| word.parse().unwrap()).collect()
}

/// Whether a process exists and is no zombie.
pub fn is_alive(process: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
}
