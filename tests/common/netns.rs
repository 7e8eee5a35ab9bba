//! Sockets and devices of this process in a network namespace that is not its own. What a thread opens
//! while it is in there stays in there, whoever uses it later.

use std::fs::File;
use std::net::{SocketAddrV4, TcpStream};
use std::os::fd::AsRawFd;
use std::thread;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, setns};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, bind, connect, socket};

use super::DEADLINE;

/// Calls `open` from inside a namespace, in a thread that ends with it.
pub fn inside<T: Send>(namespace: &str, open: impl FnOnce() -> T + Send) -> T {
    let file = File::open(format!("/run/netns/{namespace}")).unwrap();
    let enter = move || {
        setns(file, CloneFlags::CLONE_NEWNET).unwrap();
        open()
    };
    thread::scope(|scope| scope.spawn(enter).join().unwrap())
}

/// So many connections from inside a namespace; from one address, if that is given. All are dialed at
/// once, and all are established.
pub fn connections(
    namespace: &str,
    count: usize,
    source: Option<SocketAddrV4>,
    target: SocketAddrV4,
) -> Vec<TcpStream> {
    let dial = || {
        let (family, flags) =
            (AddressFamily::Inet, SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK);
        let dialing = socket(family, SockType::Stream, flags, None).unwrap();
        if let Some(source) = source {
            bind(dialing.as_raw_fd(), &SockaddrIn::from(source)).unwrap();
        }
        // It is in progress.
        let _ = connect(dialing.as_raw_fd(), &SockaddrIn::from(target));
        TcpStream::from(dialing)
    };
    let all: Vec<TcpStream> = inside(namespace, || (0..count).map(|_| dial()).collect());
    let timeout = PollTimeout::try_from(DEADLINE).unwrap();
    for stream in &all {
        use std::os::fd::AsFd;
        let mut fds = [PollFd::new(stream.as_fd(), PollFlags::POLLOUT)];
        poll(&mut fds, timeout).unwrap();
        assert_eq!(stream.take_error().unwrap().map(|error| error.kind()), None);
        assert!(stream.peer_addr().is_ok(), "not established: {target}");
    }
    all
}
