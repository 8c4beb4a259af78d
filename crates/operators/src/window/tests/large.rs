//! Calls with many rows, and such that are refused in their middle.

use super::*;

proptest! {
    #[test]
    fn sessions_that_grow_and_meet_in_large_calls_are_as_the_reference_has_them(
        gap in 1_i64..8,
        lateness in prop_oneof![3 => Just(0), 1 => 0_u64..15],
        aggregates: bool,
        calls in proptest::collection::vec(
            (proptest::collection::vec((0_u8..3, -40_i64..40), 1..60), -40_i64..60),
            1..6,
        ),
        limit in 1_usize..20,
    ) {
        let rules = Rules {
            assigner: Assigner::Session { gap },
            trigger: Trigger::EventTime,
            lateness: Lateness { allowed_ms: lateness },
            evictor: None,
            event_time: true,
        };
        // Each call is about a later time, and reaches back into that of the one before.
        let events: Vec<Event> = (0..)
            .zip(calls)
            .flat_map(|(at, (mut rows, watermark))| {
                rows.iter_mut().for_each(|(_, time)| *time += at * 60);
                [Event::Rows(rows), Event::Watermark(watermark + at * 60)]
            })
            .collect();
        let compared = compare(&rules, aggregates, &events, limit);
        prop_assert!(compared.is_ok(), "{}", compared.unwrap_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// What they hold becomes too much for a record of the table, and goes on growing.
    #[test]
    fn windows_that_keep_many_rows_are_as_the_reference_has_them(
        assigner in prop_oneof![
            Just(Assigner::Global),
            Just(Assigner::Tumbling { size: 100, offset: 0 }),
            Just(Assigner::Sliding { size: 100, slide: 60, offset: 0 }),
            Just(Assigner::Session { gap: 5 }),
        ],
        trigger in prop_oneof![
            (20_u64..90).prop_map(Trigger::Count),
            Just(Trigger::EventTime),
            (10_i64..40).prop_map(Trigger::ContinuousEventTime),
        ],
        purging: bool,
        lateness in prop_oneof![Just(0), 0_u64..60],
        calls in proptest::collection::vec(
            (proptest::collection::vec((0_u8..2, -20_i64..120), 20..160), -20_i64..110),
            2..6,
        ),
        limit in 1_usize..20,
    ) {
        let rules = Rules {
            assigner,
            trigger: if purging { Trigger::Purging(Box::new(trigger)) } else { trigger },
            lateness: Lateness { allowed_ms: lateness },
            evictor: None,
            event_time: true,
        };
        let calls = calls.into_iter();
        let events: Vec<Event> = calls
            .flat_map(|(rows, watermark)| [Event::Rows(rows), Event::Watermark(watermark)])
            .collect();
        let compared = compare(&rules, false, &events, limit);
        prop_assert!(compared.is_ok(), "{}", compared.unwrap_err());
    }
}

proptest! {
    #[test]
    fn a_row_that_an_aggregate_refuses_is_in_no_window_and_those_before_it_are(
        assigner in assigner(),
        lateness in prop_oneof![Just(0), 0_u64..15],
        before in proptest::collection::vec((0_u8..3, -20_i64..60), 0..12),
        behind in proptest::collection::vec((0_u8..3, -20_i64..60), 0..12),
        time in -20_i64..60,
        watermark in -20_i64..40,
    ) {
        let rules = Rules {
            assigner,
            trigger: Trigger::EventTime,
            lateness: Lateness { allowed_ms: lateness },
            evictor: None,
            event_time: true,
        };
        let numbered = |rows: &[(u8, i64)], first: u64| -> Vec<(u8, i64, u64)> {
            let rows = (first..).zip(rows);
            rows.map(|(number, &(key, time))| (key, time, number)).collect()
        };
        let (before, behind) = (numbered(&before, 100), numbered(&behind, 200));
        let mut bench = Bench::with(rules.clone(), true, true, None);
        let mut without = Bench::with(rules, true, true, None);
        bench.watermark(EventTime(watermark), 10);
        without.watermark(EventTime(watermark), 10);
        let mut all = before.clone();
        all.push((0, time, 13));
        all.extend_from_slice(&behind);
        let mut found = bench.rows(&all);
        let mut wanted = without.rows(&before);
        // One that comes too late is not seen by the aggregate.
        match bench.poisoned {
            Some(row) => {
                prop_assert_eq!(row as usize, before.len());
                found.extend(bench.rows(&behind));
            }
            None => prop_assert!(bench.late.contains(&13)),
        }
        wanted.extend(without.rows(&behind));
        found.extend(bench.watermark(EventTime::MAX, 10));
        wanted.extend(without.watermark(EventTime::MAX, 10));
        let in_order = |mut all: Vec<String>| {
            all.iter_mut().for_each(|row| *row = sorted(row));
            all.sort();
            all
        };
        prop_assert_eq!(in_order(found), in_order(wanted));
        bench.late.retain(|row| *row != 13);
        prop_assert_eq!(bench.late, without.late);
    }
}
