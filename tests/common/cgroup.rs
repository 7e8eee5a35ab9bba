//! A memory cgroup.

use std::fs;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use super::program::tcpgoon_after;
use super::wait::{skip, wait_until};

/// A cgroup, removed when dropped, once it is empty.
pub struct Cgroup(pub String);

impl Cgroup {
    /// One limited to `bytes`; `None`, and a loud skip, where that is impossible.
    pub fn make(bytes: u64) -> Option<Cgroup> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = format!("/sys/fs/cgroup/memory/tcpgoon-{}-{count}", std::process::id());
        let inner = format!("{path}/inner");
        let made = fs::create_dir(&path).and_then(|()| {
            let cgroup = Cgroup(path.clone());
            fs::create_dir(&inner)?;
            fs::write(format!("{path}/memory.limit_in_bytes"), bytes.to_string())?;
            Ok(cgroup)
        });
        made.inspect_err(|error| skip(&format!("cgroup v1 and root are needed ({error})"))).ok()
    }

    /// The program in a cgroup below it, which has no limit of its own.
    pub fn tcpgoon(&self, args: &[&str]) -> Command {
        tcpgoon_after(&format!("echo $$ > {}/inner/cgroup.procs", self.0), args)
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        for folder in [format!("{}/inner", self.0), self.0.clone()] {
            wait_until("the cgroup is empty", || {
                let gone = fs::remove_dir(&folder).is_ok() || fs::metadata(&folder).is_err();
                gone.then_some(())
            });
        }
    }
}
