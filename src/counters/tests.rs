use proptest::prelude::*;

use super::*;

const NETSTAT: &str = "\
TcpExt: SyncookiesSent ListenOverflows ListenDrops TCPTimeouts TCPRetransFail TCPSYNChallenge TCPSpuriousRtxHostQueues TCPSynRetrans
TcpExt: 1 22 333 4444 5 6 9 18446744073709551615
IpExt: InNoRoutes InTruncatedPkts
IpExt: 7 8
";

const SNMP: &str = "\
Ip: Forwarding DefaultTTL InReceives InDiscards OutDiscards OutNoRoutes
Ip: 2 64 6 10 20 30
Icmp: InMsgs OutMsgs OutDestUnreachs
Icmp: 1 2 40
IcmpMsg: InType3 OutType3
IcmpMsg: 1 1
Tcp: RtoAlgorithm RtoMin RtoMax MaxConn AttemptFails EstabResets RetransSegs OutRsts
Tcp: 1 200 120000 -1 50 60 70 80
";

const SNMP6: &str = "\
Ip6InDiscards                   \t1
Ip6OutDiscards                  \t2
Ip6OutNoRoutes                  \t3
Icmp6OutDestUnreachs            \t4
";

const SOFTNET: &str = "06bacaa6 0000509d 00000020 0000\n06bf06ba 0000000b 00000023 0000\n";

const CONNTRACK: &str = "\
entries  clashres found new invalid ignore delete chainlength insert insert_failed drop early_drop icmp_error  expect_new expect_create expect_delete search_restart
00000009  00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 0000000a 0000000b 0000000c 00000000  00000000 00000000 00000000 00000000
00000009  00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000001 00000002 00000003 00000000  00000000 00000000 00000000 00000000
";

fn all() -> Texts<'static> {
    Texts {
        netstat: Some(NETSTAT),
        snmp: Some(SNMP),
        snmp6: Some(SNMP6),
        softnet: Some(SOFTNET),
        conntrack: Some(CONNTRACK),
    }
}

#[test]
fn each_counter_is_found_by_its_name() {
    let expected = Counters {
        syn_retrans_failed: Some(5),
        syn_retrans: Some(u64::MAX),
        rtx_still_queued: Some(9),
        syn_challenge: Some(6),
        listen_overflows: Some(22),
        listen_drops: Some(333),
        timeouts: Some(4444),
        attempt_fails: Some(50),
        retrans_segs: Some(70),
        out_rsts: Some(80),
        estab_resets: Some(60),
        icmp_out_dest_unreachs: Some(44),
        ip_out_no_routes: Some(33),
        ip_out_discards: Some(22),
        ip_in_discards: Some(11),
        ingress_drops: Some(0x509d + 0xb),
        conntrack_insert_failed: Some(11),
        conntrack_drop: Some(13),
        conntrack_early_drop: Some(15),
        targets_unresolved: None,
        neighbour_table_full: None,
    };
    assert_eq!(Counters::parse(&all()), expected);
}

#[test]
fn only_missing_counters_are_unknown() {
    assert_eq!(Counters::parse(&Texts::default()), Counters::default());
    let without_v6 = Counters::parse(&Texts { snmp6: None, ..all() });
    assert_eq!(without_v6.icmp_out_dest_unreachs, Some(40));
    let older = "TcpExt: ListenDrops TCPTimeouts\nTcpExt: 3 4\n";
    let older = Counters::parse(&Texts { netstat: Some(older), ..all() });
    assert_eq!((older.listen_drops, older.syn_challenge), (Some(3), None));
    for short in ["", "TcpExt: TCPRetransFail\n", "TcpExt: A TCPRetransFail\nTcpExt: 1\n"] {
        let texts = Texts { netstat: Some(short), ..all() };
        assert_eq!(Counters::parse(&texts).syn_retrans_failed, None, "{short:?}");
    }
    for odd in ["", "06bacaa6\n", "1 2\n1 x\n", "1 11112222333344445\n"] {
        let texts = Texts { softnet: Some(odd), ..Texts::default() };
        assert_eq!(Counters::parse(&texts), Counters::default(), "{odd:?}");
    }
    let no_rows = Texts { conntrack: CONNTRACK.split_inclusive('\n').next(), ..Texts::default() };
    assert_eq!(Counters::parse(&no_rows), Counters::default());
}

#[test]
fn sums_saturate() {
    let softnet = "0 ffffffffffffffff\n0 2\n";
    let texts = Texts { softnet: Some(softnet), ..Texts::default() };
    assert_eq!(Counters::parse(&texts).ingress_drops, Some(u64::MAX));
}

#[test]
fn a_difference_needs_both_values_and_is_never_below_zero() {
    let reading = |first, second, third| Counters {
        syn_retrans_failed: first,
        ingress_drops: second,
        neighbour_table_full: third,
        ..Counters::default()
    };
    let (before, after) =
        (reading(Some(5), Some(9), None), reading(Some(u64::MAX), Some(2), Some(1)));
    // No real counter rises this much.
    assert_eq!(after.since(&before), reading(None, Some(0), None));
    assert_eq!(before.since(&after).neighbour_table_full, None);
    let parsed = Counters::parse(&all());
    for (zero, count) in parsed.since(&parsed).named().into_iter().zip(parsed.named()) {
        assert_eq!(zero, (count.0, count.1.map(|_| 0)));
    }
    let names: std::collections::HashSet<_> = parsed.named().map(|(name, _)| name).into();
    assert_eq!(names.len(), Counters::COUNT);
}

/// Text like that of these files, and other text.
fn junk() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        Just("TcpExt:".to_owned()),
        Just("Tcp:".to_owned()),
        Just("Icmp:".to_owned()),
        Just("TCPRetransFail".to_owned()),
        Just("Ip6OutDiscards".to_owned()),
        Just("drop".to_owned()),
        Just("\n".to_owned()),
        any::<u64>().prop_map(|number| number.to_string()),
        any::<i64>().prop_map(|number| format!("{number:x}")),
        "\\PC{0,8}",
    ];
    prop::collection::vec(word, 0..60).prop_map(|words| words.join(" "))
}

proptest! {
    #[test]
    fn no_text_causes_a_panic(text in junk(), other in junk()) {
        let read = |text| Counters::parse(&Texts {
            netstat: Some(text),
            snmp: Some(text),
            snmp6: Some(text),
            softnet: Some(text),
            conntrack: Some(text),
        });
        let (before, after) = (read(&text), read(&other));
        for (index, (_, since)) in after.since(&before).named().into_iter().enumerate() {
            let known = before.named()[index].1.is_some() && after.named()[index].1.is_some();
            prop_assert!(since.is_none() || known);
        }
    }
}
