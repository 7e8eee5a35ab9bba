//! What this host recorded about a run: ICMP errors that its dials received, and kernel counters.
//! Empty if there are none.

use std::fmt::{self, Write};

use crate::counters::Counters;
use crate::icmp::{IcmpError, IcmpTally};

pub fn write_host_evidence(
    out: &mut dyn Write,
    counters: &Counters,
    icmp: &IcmpTally,
) -> fmt::Result {
    for count in icmp.counts() {
        let IcmpError { is_v6, kind, code, offender } = count.error;
        let protocol = if is_v6 { "ICMPv6" } else { "ICMP" };
        let sender = if count.is_local == Some(true) { " (this host)" } else { "" };
        writeln!(
            out,
            "{protocol} errors: {kind}/{code} ({}) from {offender}{sender}, dials that received it: {}",
            name(&count.error),
            count.dials
        )?;
    }
    if icmp.others() > 0 {
        writeln!(out, "ICMP errors of other kinds or from other addresses: {}", icmp.others())?;
    }
    let counted: Vec<String> = local_drops(counters)
        .named()
        .iter()
        .filter_map(|(name, count)| Some(format!("{name} {}", count.filter(|n| *n > 0)?)))
        .collect();
    if counted.is_empty() {
        return Ok(());
    }
    writeln!(out, "Kernel counters of this host, all processes: {}", counted.join(", "))
}

/// Only those that count drops or rejections by this host or a server on it. The others rise in every
/// run that fails.
fn local_drops(counters: &Counters) -> Counters {
    Counters {
        syn_retrans: None,
        timeouts: None,
        attempt_fails: None,
        retrans_segs: None,
        out_rsts: None,
        estab_resets: None,
        ..*counters
    }
}

/// Source: RFC 792, 1122, 1812 and 4443.
fn name(error: &IcmpError) -> &'static str {
    match (error.is_v6, error.kind, error.code) {
        _ if error.is_prohibited() => "administratively prohibited",
        _ if error.is_host_unreachable() => "host unreachable",
        _ if error.is_port_unreachable() => "port unreachable",
        (false, 3, 0 | 6) | (true, 1, 0) => "network unreachable",
        (false, 3, 2) => "protocol unreachable",
        (false, 3, 4) | (true, 2, _) => "packet too big",
        (false, 11, _) | (true, 3, _) => "time exceeded",
        (false, 12, _) | (true, 4, _) => "parameter problem",
        _ => "unreachable",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Moment;
    use std::net::Ipv4Addr;

    fn error(kind: u8, code: u8, last: u8) -> IcmpError {
        IcmpError { is_v6: false, kind, code, offender: Ipv4Addr::new(10, 0, 0, last).into() }
    }

    fn written(counters: &Counters, icmp: &IcmpTally) -> String {
        let mut text = String::new();
        write_host_evidence(&mut text, counters, icmp).unwrap();
        text
    }

    #[test]
    fn each_icmp_error_is_printed_with_its_numbers_and_sender() {
        let mut icmp = IcmpTally::new();
        for error in [error(3, 13, 1), error(3, 1, 2), error(3, 13, 1), error(11, 0, 3)] {
            icmp.add(Moment(0), error);
        }
        icmp.find_local(|ip| Some(ip == error(0, 0, 2).offender));
        let lines = "\
ICMP errors: 3/13 (administratively prohibited) from 10.0.0.1, dials that received it: 2
ICMP errors: 3/1 (host unreachable) from 10.0.0.2 (this host), dials that received it: 1
ICMP errors: 11/0 (time exceeded) from 10.0.0.3, dials that received it: 1
";
        assert_eq!(written(&Counters::default(), &icmp), lines);
        for last in 0..100 {
            icmp.add(Moment(0), error(3, 3, last));
        }
        let text = written(&Counters::default(), &icmp);
        assert!(
            text.ends_with("ICMP errors of other kinds or from other addresses: 71\n"),
            "{text}"
        );
    }

    #[test]
    fn only_drops_by_this_host_are_printed() {
        let usual =
            Counters { attempt_fails: Some(9), listen_drops: Some(0), ..Counters::default() };
        assert_eq!(written(&usual, &IcmpTally::new()), "");
        let counters =
            Counters { syn_retrans_failed: Some(9), conntrack_drop: Some(u64::MAX), ..usual };
        let line = "Kernel counters of this host, all processes: TcpExtTCPRetransFail 9, \
                    nf_conntrack drop 18446744073709551615\n";
        assert_eq!(written(&counters, &IcmpTally::new()), line);
    }
}
