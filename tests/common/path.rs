//! A network path between two namespaces in user space: a TUN device (`tun0`) in each, and a thread
//! that forwards packets between them, delayed, or drops them. This kernel has no netem.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::netns::inside;

/// The most packets that are read from one device before the other.
const BATCH: usize = 64;

/// How often the thread checks whether to stop.
const LOOK: Duration = Duration::from_millis(20);

/// What a path does to packets; A is the first namespace, B the second.
#[derive(Debug, Clone)]
pub struct Knobs {
    pub rtt: Duration,
    /// The probability that a packet is lost, both ways.
    pub loss: f64,
    /// The same of bare ACKs from A to B.
    pub ack_loss: f64,
    /// When all packets stall, counted from the first TCP packet, and for how long.
    pub stall: Option<(Duration, Duration)>,
    /// When the path fails, counted from the first TCP packet.
    pub dead: Option<Duration>,
    pub seed: u64,
}

impl Default for Knobs {
    fn default() -> Knobs {
        Knobs { rtt: Duration::ZERO, loss: 0.0, ack_loss: 0.0, stall: None, dead: None, seed: 1 }
    }
}

/// Ends when dropped.
#[derive(Debug)]
pub struct Path {
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Path {
    /// Its devices exist but have no address yet. `Err` is why that is impossible here.
    pub fn start(a: &str, b: &str, knobs: Knobs) -> Result<Path, String> {
        let devices = [inside(a, open_tun)?, inside(b, open_tun)?];
        let is_over = Arc::new(AtomicBool::new(false));
        let carrier = Carrier {
            devices,
            waiting: [VecDeque::new(), VecDeque::new()],
            first: None,
            random: knobs.seed.wrapping_mul(7919) + 1,
            knobs,
        };
        let thread = thread::spawn({
            let is_over = Arc::clone(&is_over);
            move || carrier.carry_until(&is_over)
        });
        Ok(Path { is_over, thread: Some(thread) })
    }
}

impl Drop for Path {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(thread::panicking() || ended.is_none_or(|ended| ended.is_ok()));
    }
}

fn open_tun() -> Result<File, String> {
    let why = |error: std::io::Error| format!("/dev/net/tun: {error}");
    let mut options = OpenOptions::new();
    options.read(true).write(true).custom_flags(libc::O_NONBLOCK);
    let device = options.open("/dev/net/tun").map_err(why)?;
    // SAFETY: the structure is plain data, for which zeros are valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (letter, name) in request.ifr_name.iter_mut().zip(*b"tun0") {
        *letter = libc::c_char::try_from(name).unwrap();
    }
    request.ifr_ifru.ifru_flags = libc::c_short::try_from(libc::IFF_TUN | libc::IFF_NO_PI).unwrap();
    // SAFETY: the descriptor is open, and the structure is the one that this request takes.
    let result = unsafe { libc::ioctl(device.as_raw_fd(), libc::TUNSETIFF, &raw mut request) };
    if result < 0 { Err(why(std::io::Error::last_os_error())) } else { Ok(device) }
}

/// Both directions: the first is from A to B.
struct Carrier {
    devices: [File; 2],
    /// Packets, with their times of arrival.
    waiting: [VecDeque<(Instant, Vec<u8>)>; 2],
    first: Option<Instant>,
    random: u64,
    knobs: Knobs,
}

impl Carrier {
    fn carry_until(mut self, is_over: &AtomicBool) {
        while !is_over.load(Ordering::Relaxed) {
            let wake = self.deliver(Instant::now());
            let timeout = PollTimeout::try_from(wake).unwrap_or(PollTimeout::ZERO);
            let [a, b] = &self.devices;
            let mut fds = [a, b].map(|device| PollFd::new(device.as_fd(), PollFlags::POLLIN));
            // EINTR is possible.
            let _ = poll(&mut fds, timeout);
            let ready = fds.map(|fd| fd.any().unwrap_or(false));
            for (direction, _) in ready.into_iter().enumerate().filter(|(_, is_ready)| *is_ready) {
                self.take(direction);
            }
        }
    }

    /// Delivers what is due, and returns the time to the next packet, rounded down to a millisecond.
    fn deliver(&mut self, now: Instant) -> Duration {
        if let (Some(first), Some((after, length))) = (self.first, self.knobs.stall) {
            let (from, to) = (first + after, first + after + length);
            if (from..to).contains(&now) {
                return LOOK.min(to - now);
            }
        }
        let mut wake = LOOK;
        for direction in 0..2 {
            let queue = &mut self.waiting[direction];
            while let Some((due, packet)) = queue.front() {
                if *due > now {
                    wake = wake.min(*due - now);
                    break;
                }
                // A full device drops.
                let _ = (&self.devices[1 - direction]).write(packet);
                queue.pop_front();
            }
        }
        wake
    }

    fn take(&mut self, direction: usize) {
        let mut buffer = [0; 65_536];
        for _ in 0..BATCH {
            let Ok(length @ 1..) = (&self.devices[direction]).read(&mut buffer) else { return };
            let now = Instant::now();
            let packet = &buffer[..length];
            // TCP in IPv4.
            if self.first.is_none() && packet[0] >> 4 == 4 && packet[9] == 6 {
                self.first = Some(now);
            }
            let is_dead = match (self.first, self.knobs.dead) {
                (Some(first), Some(after)) => now >= first + after,
                _ => false,
            };
            let is_ack = direction == 0 && self.knobs.ack_loss > 0.0 && is_bare_ack(packet);
            if is_ack && self.chance() < self.knobs.ack_loss {
                continue;
            }
            if !is_dead && self.chance() >= self.knobs.loss {
                let due = now + self.knobs.rtt / 2;
                self.waiting[direction].push_back((due, packet.to_vec()));
            }
        }
    }

    /// From 0 to 1. Source: Marsaglia, Xorshift RNGs (2003).
    fn chance(&mut self) -> f64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Whether an IPv4 packet is a TCP segment with nothing but an acknowledgement.
fn is_bare_ack(packet: &[u8]) -> bool {
    let header = usize::from(packet[0] & 15) * 4;
    let is_tcp = packet[0] >> 4 == 4 && packet[9] == 6;
    is_tcp
        && packet.get(header + 12..header + 14).is_some_and(|bytes| {
            let (data, flags) = (usize::from(bytes[0] >> 4) * 4, bytes[1]);
            flags & 0x17 == 0x10 && packet.len() == header + data
        })
}
