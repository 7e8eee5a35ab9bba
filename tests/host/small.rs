//! Small hosts: little memory, half a processor, few descriptors.

use std::fs;
use std::path::{Path, PathBuf};

use nix::sys::resource::{Resource, getrlimit};

use crate::common::{Running, Served, is_alive, skip, tcpgoon_after, wait_until};
use crate::common::{decided, errors, original};

/// A cgroup, with cgroup v1 one a controller; removed when dropped.
struct Group {
    folders: Vec<PathBuf>,
    /// The file with the peak of memory; in cgroup v2 only newer kernels have it.
    peak: PathBuf,
}

impl Group {
    /// One with 64 MiB and half a processor; `Err` is why that is impossible.
    fn make() -> Result<Group, String> {
        let name = format!("tcpgoon-{}", std::process::id());
        let top = Path::new("/sys/fs/cgroup");
        if top.join("cgroup.controllers").exists() {
            let folder = top.join(name);
            let group = Group { peak: folder.join("memory.peak"), folders: vec![folder] };
            // May be enabled already; where it cannot be, the limits have no files.
            let _ = fs::write(top.join("cgroup.subtree_control"), "+memory +cpu");
            group.set(0, &[("memory.max", "67108864"), ("cpu.max", "50000 100000")])?;
            return Ok(group);
        }
        let folders = vec![top.join("memory").join(&name), top.join("cpu").join(&name)];
        let group = Group { peak: folders[0].join("memory.max_usage_in_bytes"), folders };
        group.set(0, &[("memory.limit_in_bytes", "67108864")])?;
        group.set(1, &[("cpu.cfs_period_us", "100000"), ("cpu.cfs_quota_us", "50000")])?;
        Ok(group)
    }

    fn set(&self, index: usize, limits: &[(&str, &str)]) -> Result<(), String> {
        let folder = &self.folders[index];
        fs::create_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        for (file, value) in limits {
            let path = folder.join(file);
            fs::write(&path, value).map_err(|error| format!("{}: {error}", path.display()))?;
        }
        Ok(())
    }

    /// A shell command that moves the shell in here.
    fn enter(&self) -> String {
        let enter = |folder: &PathBuf| format!("echo $$ >{}/cgroup.procs", folder.display());
        let words: Vec<String> = self.folders.iter().map(enter).collect();
        format!("{} || exit 99", words.join(" && "))
    }

    fn processes(&self, index: usize) -> String {
        fs::read_to_string(self.folders[index].join("cgroup.procs")).unwrap()
    }

    fn peak_bytes(&self) -> Option<u64> {
        fs::read_to_string(&self.peak).ok()?.trim().parse().ok()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for folder in &self.folders {
            // Processes may take a moment to leave.
            wait_until("the control group is empty", || {
                (fs::remove_dir(folder).is_ok() || !folder.exists()).then_some(())
            });
        }
    }
}

#[test]
fn ten_thousand_connections_fit_into_64_mib_and_half_a_processor() {
    const COUNT: u64 = 10_000;
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    if hard < COUNT + 100 {
        return skip(&format!("{COUNT} connections need more than {hard} open files (ulimit -Hn)"));
    }
    let group = match Group::make() {
        Ok(group) => group,
        Err(why) => return skip(&format!("a control group wants root ({why})")),
    };
    // Only the client is inside.
    let server = Served::start(&["-i", "0"]);
    let target = server.target();
    let count = COUNT.to_string();
    let args = ["-y", "-c", &count, "-s", "1", "-t", "20", &target];
    let running = Running::start(tcpgoon_after(&group.enter(), &args));
    running.wait_for_stats("it has begun", |stats| stats.established > 0);
    for index in 0..group.folders.len() {
        let processes = group.processes(index);
        let own = running.id().to_string();
        assert!(processes.lines().any(|process| process == own), "{own} in {processes}");
    }
    let run = running.outcome();

    run.assert_code(0);
    assert_eq!(original(&run, &target).last, decided(COUNT, COUNT, 0));
    run.find("Errors: 0");
    // Socket memory of the kernel is counted.
    if let Some(peak) = group.peak_bytes() {
        println!("at most {} KiB in the control group", peak / 1024);
        assert!(peak > COUNT * 2048, "{peak} bytes at most");
    }
}

#[test]
fn with_256_descriptors_the_report_names_the_limit() {
    let server = Served::start(&["-i", "0"]);
    let target = server.target();
    let args = ["-y", "-c", "1000", "-s", "1", &target];
    let run = Running::start(tcpgoon_after("ulimit -n 256", &args)).outcome();

    run.assert_code(2);
    let established = run.last().established;
    assert!((200..256).contains(&established), "{run:#?}");
    assert_eq!(original(&run, &target).last, decided(1000, established, 0));
    assert_eq!(errors(&run), format!("{} no file descriptors (this host)", 1000 - established));
    run.find("Errors of this host say nothing about the target.");
    assert!(is_alive(server.running.id()), "the server goes on");
}
