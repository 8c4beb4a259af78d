//! Restart strategies (C38).

use proptest::prelude::*;

use super::*;

fn decisions(strategy: RestartStrategy, failures: usize) -> Vec<RestartDecision> {
    let mut restart = Restart::new(strategy);
    // A day passes between two failures: nothing is forgiven.
    let days = (0..).map(|day| ProcessingTime(day * 86_400_000));
    days.take(failures)
        .map(|now| restart.on_failure(now, 0))
        .collect()
}

fn restart(attempt: u32, of: Option<u32>) -> RestartDecision {
    RestartDecision::Restart {
        after_ms: 10,
        attempt,
        of,
    }
}

#[test]
fn c38_none_ends_the_job_with_the_first_failure() {
    let given = decisions(RestartStrategy::None, 2);
    assert_eq!(given, [RestartDecision::GiveUp; 2]);
}

#[test]
fn c38_fixed_delay_of_two_attempts_ends_the_job_with_the_third_failure() {
    let strategy = RestartStrategy::FixedDelay {
        attempts: Some(2),
        delay_ms: 10,
    };
    let of = Some(2);
    let expected = [
        restart(1, of),
        restart(2, of),
        RestartDecision::GiveUp,
        RestartDecision::GiveUp,
    ];
    assert_eq!(decisions(strategy, 4), expected);
}

#[test]
fn fixed_delay_without_attempts_is_none() {
    let strategy = RestartStrategy::FixedDelay {
        attempts: Some(0),
        delay_ms: 10,
    };
    assert_eq!(decisions(strategy, 1), [RestartDecision::GiveUp]);
}

#[test]
fn fixed_delay_without_a_bound_goes_on_for_ever() {
    let strategy = RestartStrategy::FixedDelay {
        attempts: None,
        delay_ms: 10,
    };
    let given = decisions(strategy, 1000);
    assert_eq!(given.last(), Some(&restart(1000, None)));
}

/// Whether failures at these times are followed by restarts.
fn restarts(strategy: RestartStrategy, times: &[i64]) -> Vec<bool> {
    let mut restart = Restart::new(strategy);
    let decide = |&now: &i64| restart.on_failure(ProcessingTime(now), 0);
    let is_restart = |decision| matches!(decision, RestartDecision::Restart { .. });
    times.iter().map(decide).map(is_restart).collect()
}

#[test]
fn c38_failure_rate_ends_the_job_when_failures_are_too_many_in_an_interval() {
    let strategy = RestartStrategy::FailureRate {
        failures: 2,
        interval_ms: 100,
        delay_ms: 10,
    };
    // Two are borne, the third within the interval is not.
    assert_eq!(restarts(strategy, &[0, 50, 100]), [true, true, false]);
    // An interval is over when more than it has passed.
    assert_eq!(restarts(strategy, &[0, 50, 101]), [true, true, true]);
    // What is older does not count, however many there were.
    let apart: Vec<_> = (0..50).map(|n| n * 51).collect();
    assert!(restarts(strategy, &apart).into_iter().all(|again| again));
    let defaults = RestartStrategy::FAILURE_RATE;
    assert_eq!(
        restarts(defaults, &[0, 60_001, 120_001]),
        [true, true, false]
    );
    let first = Restart::new(defaults).on_failure(ProcessingTime(0), 7);
    let expected = RestartDecision::Restart {
        after_ms: 1000,
        attempt: 1,
        of: None,
    };
    assert_eq!(first, expected);
}

const SERIES: [u64; 13] = [
    1000, 1500, 2250, 3375, 5062, 7593, 11_390, 17_085, 25_628, 38_443, 57_665, 60_000, 60_000,
];

/// Exponential delay with Flink's defaults, but for these.
fn exponential(jitter: f64, attempts: Option<u32>) -> Restart {
    let RestartStrategy::ExponentialDelay {
        initial_ms,
        multiplier,
        max_ms,
        reset_after_ms,
        ..
    } = RestartStrategy::EXPONENTIAL_DELAY
    else {
        unreachable!()
    };
    Restart::new(RestartStrategy::ExponentialDelay {
        initial_ms,
        multiplier,
        max_ms,
        reset_after_ms,
        jitter,
        attempts,
    })
}

fn delay(decision: RestartDecision) -> u64 {
    match decision {
        RestartDecision::Restart { after_ms, .. } => after_ms,
        RestartDecision::GiveUp => panic!("given up"),
    }
}

#[test]
fn c38_exponential_delay_with_its_defaults() {
    let mut restart = exponential(0.0, None);
    let mut now = ProcessingTime(5);
    // It fails right after each restart.
    for (n, expected) in SERIES.into_iter().enumerate() {
        let expected = RestartDecision::Restart {
            after_ms: expected,
            attempt: n as u32 + 1,
            of: None,
        };
        assert_eq!(restart.on_failure(now, 0), expected);
        now = now.plus_ms(delay(expected) + 1);
    }
    // Stable for an hour less one millisecond since the last restart, then for an hour.
    now = now.plus_ms(3_600_000 - 2);
    assert_eq!(delay(restart.on_failure(now, 0)), 60_000);
    now = now.plus_ms(60_000 + 3_600_000);
    let first = RestartDecision::Restart {
        after_ms: 1000,
        attempt: 1,
        of: None,
    };
    assert_eq!(restart.on_failure(now, 0), first);
}

#[test]
fn c38_a_failure_during_the_backoff_is_part_of_the_one_before() {
    let mut restart = exponential(0.0, Some(2));
    let merged = |after_ms, attempt| RestartDecision::Restart {
        after_ms,
        attempt,
        of: Some(2),
    };
    assert_eq!(restart.on_failure(ProcessingTime(0), 0), merged(1000, 1));
    assert_eq!(restart.on_failure(ProcessingTime(400), 0), merged(600, 1));
    assert_eq!(restart.on_failure(ProcessingTime(1000), 0), merged(0, 1));
    assert_eq!(restart.on_failure(ProcessingTime(1001), 0), merged(1500, 2));
    let third = restart.on_failure(ProcessingTime(9000), 0);
    assert_eq!(third, RestartDecision::GiveUp);
}

#[test]
fn attempts_are_given_back_when_the_job_has_been_stable() {
    let mut restart = exponential(0.0, Some(1));
    let hour = 3_600_000;
    for n in 0..9 {
        let now = ProcessingTime(n * (hour + 1000));
        assert_eq!(delay(restart.on_failure(now, 0)), 1000);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn jitter_stays_within_its_part_and_below_the_longest(
        jitter in 0.0..=1.0_f64,
        draws in prop::collection::vec(any::<u64>(), 1..20),
    ) {
        let mut restart = exponential(jitter, None);
        let mut now = ProcessingTime(0);
        for (n, random) in draws.into_iter().enumerate() {
            let given = delay(restart.on_failure(now, random));
            let plain = SERIES[n.min(SERIES.len() - 1)];
            let offset = (plain as f64 * jitter) as u64;
            prop_assert!(given <= (plain + offset).min(60_000));
            prop_assert!(given >= plain - offset);
            now = now.plus_ms(given + 1);
        }
    }

    #[test]
    fn no_parameters_and_no_times_make_it_panic(
        initial_ms in any::<u64>(), multiplier in any::<f64>(), max_ms in any::<u64>(),
        reset_after_ms in any::<u64>(), jitter in any::<f64>(), failures in 0..4_u32,
        events in prop::collection::vec((any::<i64>(), any::<u64>()), 1..20),
    ) {
        let strategies = [
            RestartStrategy::ExponentialDelay {
                initial_ms, multiplier, max_ms, reset_after_ms, jitter, attempts: None,
            },
            RestartStrategy::FailureRate { failures, interval_ms: max_ms, delay_ms: initial_ms },
        ];
        for strategy in strategies {
            let mut restart = Restart::new(strategy);
            for &(now, random) in &events {
                restart.on_failure(ProcessingTime(now), random);
            }
        }
    }
}
