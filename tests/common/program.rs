//! The built program as a child that is always killed, and its output.

use std::fs;
use std::io::Read;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::sys::signal::{SigHandler, Signal, kill};
use nix::unistd::Pid;

use super::output::{self, Stats, stats};
use super::wait::wait_until;

/// The path of the tested program: the built one, or another (`TCPGOON_TESTED`, as the static one).
pub fn program() -> String {
    let built = || env!("CARGO_BIN_EXE_tcpgoon").to_owned();
    std::env::var("TCPGOON_TESTED").unwrap_or_else(|_| built())
}

/// The tested program with these arguments and an empty standard input. A run (`-y`) prints the full
/// report, from which tests read their numbers.
pub fn tcpgoon(args: &[&str]) -> Command {
    tcpgoon_as_typed(&with_full_report(args))
}

/// As [`tcpgoon`], and a run prints the report that is the default.
pub fn tcpgoon_as_typed(args: &[&str]) -> Command {
    let mut command = Command::new(program());
    command.args(args).stdin(Stdio::null());
    command
}

/// The arguments, and of a run (`-y`) those for the full report, unless they choose one.
pub fn with_full_report<'a>(args: &[&'a str]) -> Vec<&'a str> {
    let is_chosen = args.iter().any(|arg| arg.starts_with("--report="));
    match args.contains(&"-y") && !is_chosen {
        true => [&["--report=full"], args].concat(),
        false => args.to_vec(),
    }
}

/// The program, exec'd by a shell after `first`. It cannot raise a hard limit that `first` sets, even
/// as root.
pub fn tcpgoon_after(first: &str, args: &[&str]) -> Command {
    let mut command = privileged_tcpgoon_after(first, args);
    let lose_capability = || {
        // SAFETY: no pointers. If it fails, the process does not have the capability.
        unsafe { nix::libc::prctl(nix::libc::PR_CAPBSET_DROP, CAP_SYS_RESOURCE) };
        Ok(())
    };
    // SAFETY: between fork and exec it makes one system call and allocates nothing.
    unsafe { command.pre_exec(lose_capability) };
    command
}

/// As [`tcpgoon_after`], with all rights of the user that runs the tests.
pub fn privileged_tcpgoon_after(first: &str, args: &[&str]) -> Command {
    let mut command = Command::new("sh");
    let script = format!("{first}; exec \"$@\"");
    command.args(["-c", &script, "sh", &program()]);
    command.args(with_full_report(args)).stdin(Stdio::null());
    command
}

/// Lets a process raise a hard limit. Source: `include/uapi/linux/capability.h`.
pub const CAP_SYS_RESOURCE: u32 = 24;

/// Runs the program to its end.
pub fn run(args: &[&str]) -> Outcome {
    Running::start(tcpgoon(args)).outcome()
}

/// How a program ended, and its output.
#[derive(Debug)]
pub struct Outcome {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
    /// From just before the start to when the end was noticed.
    pub took: Duration,
}

impl Outcome {
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// The signal that killed it.
    pub fn signal(&self) -> Option<Signal> {
        self.status.signal().and_then(|number| Signal::try_from(number).ok())
    }

    #[track_caller]
    pub fn assert_code(&self, code: i32) -> &Outcome {
        assert_eq!(self.code(), Some(code), "{self:#?}");
        self
    }

    /// The statistics lines, each checked to balance. The last one is the report's.
    pub fn stats(&self) -> Vec<Stats> {
        stats(&self.stdout)
    }

    /// The last statistics line.
    #[track_caller]
    pub fn last(&self) -> Stats {
        *self.stats().last().unwrap_or_else(|| panic!("no statistics: {self:#?}"))
    }

    /// The wildcards of the one line of this shape ([`output::matches`]).
    #[track_caller]
    pub fn find(&self, shape: &str) -> Vec<String> {
        let found: Vec<_> = self.stdout.lines().filter_map(|l| output::matches(l, shape)).collect();
        assert_eq!(found.len(), 1, "lines of the shape '{shape}' in {self:#?}");
        found.into_iter().next().unwrap()
    }
}

/// A running program, killed when dropped.
#[derive(Debug)]
pub struct Running {
    pub child: Child,
    pub stdout: Captured,
    pub stderr: Captured,
    begun: Instant,
}

impl Running {
    pub fn start(mut command: Command) -> Running {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        Running::start_as_it_is(command)
    }

    /// Starts it with the standard streams of `command`; pipes are captured.
    pub fn start_as_it_is(mut command: Command) -> Running {
        let set_default_actions = || {
            for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
                // SAFETY: the default action is a valid one for these signals.
                unsafe { nix::sys::signal::signal(signal, SigHandler::SigDfl) }?;
            }
            Ok(())
        };
        // Under nohup ignored signals would be inherited.
        // SAFETY: between fork and exec it makes three system calls and allocates nothing.
        unsafe { command.pre_exec(set_default_actions) };
        let begun = Instant::now();
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let (stdout, stderr) = (Captured::from_pipe(stdout), Captured::from_pipe(stderr));
        Running { child, stdout, stderr, begun }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// How many descriptors it has open.
    pub fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.id())).unwrap().count()
    }

    pub fn begun(&self) -> Instant {
        self.begun
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.id().cast_signed()), signal).unwrap();
    }

    /// The other end of its standard input, if that is a pipe.
    pub fn stdin(&mut self) -> ChildStdin {
        self.child.stdin.take().expect("its standard input is a pipe")
    }

    /// Waits for a statistics line that fits.
    #[track_caller]
    pub fn wait_for_stats(&self, what: &str, fits: impl Fn(&Stats) -> bool) {
        wait_until(what, || stats(&self.stdout.text()).iter().any(&fits).then_some(()));
    }

    /// Waits until it is stopped, as after SIGSTOP.
    pub fn wait_until_stopped(&self) {
        wait_until("it stops", || {
            let stat = fs::read_to_string(format!("/proc/{}/stat", self.id())).ok()?;
            let behind_name = stat.rsplit(')').next()?;
            behind_name.trim_start().starts_with('T').then_some(())
        });
    }

    /// Waits for its end.
    #[track_caller]
    pub fn ended(&mut self) -> ExitStatus {
        wait_until("the program ends", || self.child.try_wait().unwrap())
    }

    /// Its outcome once it has ended.
    #[track_caller]
    pub fn outcome(mut self) -> Outcome {
        let status = wait_until("the program ends", || self.child.try_wait().unwrap());
        let took = self.begun.elapsed();
        let (stdout, stderr) = (self.stdout.all(), self.stderr.all());
        Outcome { status, stdout, stderr, took }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The output that a thread has read so far.
#[derive(Debug, Default)]
pub struct Captured {
    bytes: Arc<Mutex<Vec<u8>>>,
    thread: Option<JoinHandle<()>>,
}

impl Captured {
    fn from_pipe(pipe: Option<impl Read + Send + 'static>) -> Captured {
        pipe.map_or_else(Captured::default, Captured::from_reader)
    }

    pub fn from_reader(mut reader: impl Read + Send + 'static) -> Captured {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let shared = Arc::clone(&bytes);
        let thread = thread::spawn(move || {
            let mut piece = vec![0; 64 * 1024];
            // The master of a pseudo-terminal ends with an error.
            while let Ok(length @ 1..) = reader.read(&mut piece) {
                shared.lock().unwrap().extend_from_slice(&piece[..length]);
            }
        });
        Captured { bytes, thread: Some(thread) }
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes.lock().unwrap()).into_owned()
    }

    /// All of it, once the other end is closed.
    #[track_caller]
    pub fn all(&self) -> String {
        let is_finished = || self.thread.as_ref().is_none_or(JoinHandle::is_finished);
        wait_until("the output ends", || is_finished().then_some(()));
        self.text()
    }

    /// Waits for a whole line in which `look` finds something.
    #[track_caller]
    pub fn wait_for<T>(&self, what: &str, look: impl Fn(&str) -> Option<T>) -> T {
        wait_until(what, || {
            let text = self.text();
            text.split_inclusive('\n').filter(|line| line.ends_with('\n')).find_map(&look)
        })
    }

    /// Waits for this text.
    #[track_caller]
    pub fn wait_for_words(&self, words: &str) {
        wait_until(words, || self.text().contains(words).then_some(()));
    }
}
