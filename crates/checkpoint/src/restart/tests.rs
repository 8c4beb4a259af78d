//! Restart strategies (C38).

use super::*;

fn decisions(strategy: RestartStrategy, failures: usize) -> Vec<RestartDecision> {
    let mut restart = Restart::new(strategy);
    // A day passes between two failures: nothing is forgiven.
    let days = (0..).map(|day| ProcessingTime(day * 86_400_000));
    days.take(failures)
        .map(|now| restart.on_failure(now))
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
