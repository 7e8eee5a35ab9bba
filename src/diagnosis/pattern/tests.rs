use super::*;

/// Sequential dials; each miss leaves one more connection open.
fn bits(hits: impl IntoIterator<Item = bool>) -> Vec<Bit> {
    let mut level = 0;
    let bit = |(index, hit): (u64, bool)| {
        let (at, open) = (Moment(index * 1_000_000), level);
        level += u32::from(!hit);
        Bit {
            all: 1,
            hits: hit.into(),
            from: at,
            to: at,
            level: open..open,
            level_at_first: open..open,
        }
    };
    (0..).zip(hits).map(bit).collect()
}

/// Each part is (dials, n): every n-th of them is hit, none for 0.
fn of_parts(parts: &[(u32, u32)]) -> Pattern {
    let hits = parts
        .iter()
        .flat_map(|(count, every)| (0..*count).map(move |index| *every > 0 && index % every == 0));
    let bits = bits(hits);
    fit(&bits, &by_level(&bits), highest(&bits)).pattern
}

fn by_level(bits: &[Bit]) -> Vec<Bit> {
    let mut levels = std::collections::BTreeMap::new();
    for bit in bits {
        let cell =
            levels.entry(bit.level.end).or_insert_with(|| Bit { all: 0, hits: 0, ..bit.clone() });
        cell.all += bit.all;
        cell.hits += bit.hits;
    }
    levels.into_values().collect()
}

fn highest(bits: &[Bit]) -> u32 {
    bits.iter().map(|bit| bit.level.start).max().unwrap_or(0)
}

fn above(open: u32) -> Pattern {
    Pattern::AboveCount { open: open..open }
}

#[test]
fn a_limit_is_claimed_only_if_it_is_not_chance() {
    let at = |index: u64| Moment(index * 1_000_000);
    for (parts, expected) in [
        (&[(1, 1)][..], Pattern::All),
        (&[(100, 1)], Pattern::All),
        (&[(3, 0), (97, 1)], above(3)),
        (&[(40, 1), (1, 0), (30, 1), (1, 0), (28, 1)], Pattern::NearlyAll),
        (&[(1, 0), (39, 1)], above(1)),
        (&[(17, 0), (23, 1)], above(17)),
        (&[(900, 0), (3, 1)], above(900)),
        // One succeeds above the limit.
        (&[(100, 0), (50, 1), (1, 0)], above(100)),
        (&[(2, 0), (3, 1)], Pattern::TooFew),
        (&[(900, 0), (2, 1)], Pattern::TooFew),
        (&[(27, 1), (123, 0)], Pattern::InitialOutage { to: at(26) }),
        (&[(100, 0), (150, 1), (150, 0)], Pattern::Outage { from: at(100), to: at(249) }),
        (&[(5, 0), (3, 1), (2, 0)], Pattern::TooFew),
    ] {
        let found = of_parts(parts);
        // With so few dials any unclear pattern will do.
        let is_unclear = expected == Pattern::TooFew && !found.is_clear();
        assert!(found == expected || is_unclear, "{parts:?}: {found:?}");
    }
}

#[test]
fn random_order_is_scattered_and_blocks_are_not() {
    let mut state = 7u64;
    let mut random = move || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    };
    let mut scattered = 0;
    for _ in 0..200 {
        let hits: Vec<bool> = (0..300).map(|_| random() % 100 < 5).collect();
        let bits = bits(hits);
        scattered +=
            u32::from(fit(&bits, &by_level(&bits), highest(&bits)).pattern == Pattern::Scattered);
    }
    assert!(scattered >= 190, "{scattered} of 200");
    let blocks: Vec<bool> = (0..300).map(|index| index / 10 % 3 == 1).collect();
    let bits = bits(blocks);
    assert_ne!(fit(&bits, &by_level(&bits), highest(&bits)).pattern, Pattern::Scattered);
}

#[test]
fn a_count_is_found_while_connections_end() {
    // At most 20 open; one in two ends before each next dial once it is full.
    let mut open = 0u32;
    let mut bits = Vec::new();
    for index in 0..400u64 {
        let hit = open >= 20;
        let at = Moment(index * 5_000_000);
        bits.push(Bit {
            all: 1,
            hits: hit.into(),
            from: at,
            to: at,
            level: open..open,
            level_at_first: open..open,
        });
        if !hit {
            open += 1;
        }
        if index % 40 == 39 {
            open -= 12.min(open);
        }
    }
    let found = fit(&bits, &by_level(&bits), highest(&bits)).pattern;
    assert_eq!(found, above(20), "{found:?}");
}

/// A rate limit admits some at any level.
#[test]
fn a_count_that_later_dials_exceed_is_no_limit() {
    let rate = |every: usize| {
        let bits = bits((0..400).map(|index| index >= 5 && index % every != 0));
        fit(&bits, &by_level(&bits), highest(&bits)).pattern
    };
    assert_eq!(rate(10), Pattern::PartlyAboveCount { open: 5..5 });
    // Every dial after the first five is hit, but 60 were open in the end.
    let hits = bits((0..60).map(|index| index >= 5));
    let queue = fit(&hits, &by_level(&hits), 60).pattern;
    assert_eq!(queue, Pattern::PartlyAboveCount { open: 5..5 });
    for every in [12, 20, 40] {
        let found = rate(every);
        assert!(!matches!(found, Pattern::AboveCount { .. }), "{every}: {found:?}");
        assert!(!matches!(found, Pattern::FromMoment { .. }), "{every}: {found:?}");
    }
}

#[test]
fn every_nth_dial_is_periodic() {
    let periodic = |every: usize| {
        let bits = bits((0..90).map(|index| index % every == 0));
        let fit = fit(&bits, &by_level(&bits), highest(&bits));
        (fit.pattern, fit.is_periodic)
    };
    for every in [2, 3, 4] {
        assert_eq!(periodic(every), (Pattern::Scattered, true), "{every}");
    }
}

#[test]
fn hits_at_one_target_only_can_be_chance() {
    for (affected, of, share, hits, expected) in [
        (1, 2, (50, 100), 1, true),
        (1, 2, (50, 100), 5, true),
        (1, 2, (50, 100), 6, false),
        (1, 100, (1, 100), 1, true),
        (1, 100, (1, 100), 2, false),
        (1, 51, (100, 200), 3, true),
        (2, 3, (200, 300), 5, true),
        (2, 3, (200, 300), 20, false),
        (19, 20, (190, 200), 60, true),
    ] {
        assert_eq!(
            may_be_anywhere(affected, of, share, hits),
            expected,
            "{affected} of {of}, {hits}"
        );
    }
}
