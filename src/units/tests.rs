use super::*;

#[test]
fn spans_print_as_go_prints_durations() {
    // The left column is the output of Go's fmt.Println(time.Duration(n)).
    for (shown, ns) in [
        ("0s", 0),
        ("1ns", 1),
        ("1.1µs", 1_100),
        ("99µs", 99_000),
        ("2.2ms", 2_200_000),
        ("17.929ms", 17_929_000),
        ("999.999999ms", 999_999_999),
        ("1s", 1_000_000_000),
        ("3.3s", 3_300_000_000),
        ("5.000819s", 5_000_819_000),
        ("1m0s", 60_000_000_000),
        ("1m0.5s", 60_500_000_000),
        ("4m5s", 245_000_000_000),
        ("4m5.001s", 245_001_000_000),
        ("1h0m0s", 3_600_000_000_000),
        ("5h6m7.001s", 18_367_001_000_000),
        ("240h0m0s", SPAN_MAX.0),
        ("8m0.000000001s", 480_000_000_001),
        ("5124095h34m33.709551615s", u64::MAX),
    ] {
        assert_eq!(Span(ns).to_string(), shown);
    }
}

#[test]
fn a_printed_span_can_be_parsed() {
    for ns in [
        1,
        999,
        1_000,
        99_000,
        17_929_000,
        5_000_819_000,
        60_500_000_000,
        18_367_001_000_000,
        SPAN_MAX.0,
    ] {
        assert_eq!(parse_span(&Span(ns).to_string(), Span::from_s(1)), Some(Span(ns)));
    }
}

#[test]
fn times_take_bare_numbers_fractions_and_units() {
    for (text, bare, ns) in [
        ("5", Span::from_s(1), 5_000_000_000),
        ("10", Span::from_ms(1), 10_000_000),
        ("0.5", Span::from_s(1), 500_000_000),
        (".5", Span::from_s(1), 500_000_000),
        ("1.", Span::from_s(1), 1_000_000_000),
        ("250us", Span::from_s(1), 250_000),
        ("2.5ms", Span::from_s(1), 2_500_000),
        ("1m30s", Span::from_s(1), 90_000_000_000),
        ("2h", Span::from_s(1), 7_200_000_000_000),
        ("1min", Span::from_s(1), 60_000_000_000),
        ("60sec", Span::from_s(1), 60_000_000_000),
        ("1hour30minutes", Span::from_s(1), 5_400_000_000_000),
        ("250msec", Span::from_s(1), 250_000_000),
        ("1d", Span::from_s(1), 86_400_000_000_000),
        ("0", Span::from_s(1), 0),
        ("0.0000000019", Span::from_s(1), 1),
        ("0.00000000001", Span::from_s(1), 1),
        ("0.000", Span::from_s(1), 0),
    ] {
        assert_eq!(parse_span(text, bare), Some(Span(ns)), "{text}");
    }
    for text in [
        "",
        ".",
        "-1",
        "+1",
        "1e3",
        "5 s",
        "5x",
        "s",
        "1m30",
        "1.2.3",
        "241h",
        "99999999999999999999",
        "ten",
    ] {
        assert_eq!(parse_span(text, Span::from_s(1)), None, "{text}");
    }
}

#[test]
fn counts_take_k_and_m() {
    for (text, count) in [
        ("0", 0),
        ("100", 100),
        ("10k", 10_000),
        ("1.5k", 1_500),
        ("1m", 1_000_000),
        ("64M", 64_000_000),
        ("10,000", 10_000),
        ("1,000,000", 1_000_000),
        ("10_000", 10_000),
        ("1,500k", 1_500_000),
        ("1e4", 10_000),
        ("1.5E3", 1_500),
        ("2e0", 2),
    ] {
        assert_eq!(parse_count(text), Some(count), "{text}");
    }
    for text in [
        "",
        "k",
        "1.5",
        "1.0005k",
        "1.0000001m",
        "-1",
        "1g",
        "1 k",
        "0x10",
        "1,5",
        "1,00",
        "1000,000",
        ",000",
        "1,000_000",
        "1.000,000",
        "10,000,",
        "1__000",
        "e4",
        "1e",
        "1e-4",
        "1e+4",
        "1e400",
        "1e4k",
        "1.55e1",
        "99999999999999999999",
    ] {
        assert_eq!(parse_count(text), None, "{text}");
    }
    assert_eq!(parse_rate_milli("0.5"), Some(500));
    assert_eq!(parse_rate_milli("2.5k"), Some(2_500_000));
    assert_eq!(parse_rate_milli("100/s"), Some(100_000));
    assert_eq!(parse_rate_milli("1,000/sec"), Some(1_000_000));
    assert_eq!(parse_rate_milli("1e3"), Some(1_000_000));
    for text in ["x", "/s", "100/m", "100/", "100/ss", "0,5"] {
        assert_eq!(parse_rate_milli(text), None, "{text}");
    }
}

#[test]
fn spans_are_rounded_to_three_digits() {
    for (ns, rounded) in [
        (0, 0),
        (999, 999),
        (1_234, 1_230),
        (12_607, 12_600),
        (12_650, 12_700),
        (999_500, 1_000_000),
    ] {
        assert_eq!(Span(ns).rounded_to_3_digits(), Span(rounded), "{ns}");
    }
}

#[test]
fn beats_do_not_drift_and_missed_ones_are_skipped() {
    let (start, every) = (Moment(7), Span(10));
    for (now, next) in [(0, 17), (7, 17), (16, 17), (17, 27), (59, 67)] {
        assert_eq!(next_beat(start, every, Moment(now)), Moment(next), "{now}");
    }
}

#[test]
fn deadlines_round_up_to_ticks_and_now_rounds_down() {
    assert_eq!(Tick::at_or_after(Moment(0)), Tick(0));
    assert_eq!(Tick::at_or_after(Moment(1)), Tick(1));
    assert_eq!(Tick::at_or_after(Moment(250_000)), Tick(1));
    assert_eq!(Tick::begun_by(Moment(249_999)), Tick(0));
    assert_eq!(Tick::begun_by(Moment(250_000)), Tick(1));
}

#[test]
fn dates_follow_the_calendar() {
    for (unix_s, shown) in [
        (0, "1970-01-01T00:00:00.000Z"),
        (951_782_400, "2000-02-29T00:00:00.000Z"),
        (1_709_210_096, "2024-02-29T12:34:56.000Z"),
        (4_107_542_399, "2100-02-28T23:59:59.000Z"),
        (4_107_542_400, "2100-03-01T00:00:00.000Z"),
    ] {
        assert_eq!(rfc3339(unix_s * NS_PER_S), shown);
    }
    assert_eq!(rfc3339(1_234_567), "1970-01-01T00:00:00.001Z");
}
