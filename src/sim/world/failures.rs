//! What a pending error and TCP_INFO mean, as `os/` has it, with Linux's numbers.

use super::socket::{Fault, Info};
use crate::engine::{EndReason, Failure, TcpInfo};

/// The peer has closed in good order.
pub const CLOSED: Failure = Failure { reason: EndReason::PeerClosed, errno: 0 };

/// Of a dial.
pub fn dial_failure(fault: Fault) -> Failure {
    let (reason, errno) = match fault {
        Fault::Refused => (EndReason::Refused, 111),
        Fault::Reset => (EndReason::Reset, 104),
        Fault::TimedOut => (EndReason::TimedOut, 110),
        Fault::NetworkUnreachable => (EndReason::NetworkUnreachable, 101),
        Fault::HostUnreachable => (EndReason::HostUnreachable, 113),
        Fault::Aborted => (EndReason::OtherBeyond, 103),
        Fault::NoPorts => (EndReason::NoPorts, 99),
        Fault::NoDescriptors => (EndReason::NoDescriptors, 24),
    };
    Failure { reason, errno }
}

/// Of an established connection.
pub fn end_failure(fault: Fault) -> Failure {
    let (reason, errno) = match fault {
        Fault::Reset => (EndReason::PeerReset, 104),
        Fault::Aborted => (EndReason::Aborted, 103),
        _ => (EndReason::Lost, 110),
    };
    Failure { reason, errno }
}

/// As the driver reads it.
pub fn tcp_info(info: &Info) -> TcpInfo {
    TcpInfo {
        total_retrans: info.total_retrans,
        rtt: info.rtt,
        last_ack_recv: Some(info.last_ack_recv),
        segs_in: Some(info.segs_in),
        data_segs_in: Some(info.data_segs_in),
        unacked: info.unacked,
        probes: Some(info.probes),
    }
}
