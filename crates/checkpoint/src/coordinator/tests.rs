//! Cases C35, C36 and C37 as far as the coordinator shows them, and its deadlines.

use weir_model::{BarrierKind, SavepointFormat, SubtaskIndex};

use super::*;
use FailureReason::*;

mod asked;

/// Acks are texts; all tasks are subtasks of vertex 0.
type Effects = Vec<Effect<&'static str>>;

fn task(subtask: u32) -> TaskId {
    TaskId {
        vertex: 0,
        subtask: SubtaskIndex(subtask),
    }
}

fn id(n: u64) -> CheckpointId {
    CheckpointId(n)
}

fn at(ms: i64) -> ProcessingTime {
    ProcessingTime(ms)
}

fn config(interval_ms: u64) -> Config {
    Config {
        interval_ms: Some(interval_ms),
        timeout_ms: 1000,
        ..Config::default()
    }
}

/// Two tasks that run since 0; the first checkpoint is 1.
fn coordinator(config: Config) -> Coordinator<&'static str> {
    let mut coordinator = Coordinator::new(config, CheckpointId::FIRST);
    assert!(
        coordinator
            .started(at(0), [task(0), task(1)], [], None)
            .is_empty()
    );
    coordinator
}

fn trigger(n: u64) -> Effect<&'static str> {
    trigger_of(n, BarrierKind::Periodic)
}

fn trigger_of(n: u64, kind: BarrierKind) -> Effect<&'static str> {
    let barrier = Barrier {
        kind,
        ..Barrier::periodic(id(n))
    };
    Effect::Trigger(barrier, None)
}

fn request(coordinator: &mut Coordinator<&'static str>, now: i64, kind: CheckpointKind) -> Effects {
    coordinator.request(at(now), Request::of(kind))
}

/// One line an effect, for comparison.
fn lines(effects: &Effects) -> Vec<String> {
    let line = |effect: &Effect<&str>| match effect {
        Effect::Trigger(b, _) => format!("trigger {} {:?}", b.checkpoint, b.kind),
        Effect::Store(s) => format!("store {} of {}", s.id, s.acks.len()),
        Effect::NotifyComplete(id) => format!("complete {id}"),
        Effect::NotifyAborted(a) => format!("aborted {} {}", a.id, a.reason),
        Effect::DiscardFiles(id) => format!("discard {id}"),
        Effect::DiscardLateAck { id, task, ack } => format!("late {id} {task} {ack}"),
        Effect::DeleteCheckpoint(id) => format!("delete {id}"),
        Effect::FailJob(a) => format!("fail {} {}", a.id, a.reason),
        Effect::Completed(c) => format!("completed {} {} in {}", c.kind, c.id, c.duration_ms),
        Effect::Refused { kind, reason, .. } => format!("refused {kind} {reason}"),
    };
    effects.iter().map(line).collect()
}

#[track_caller]
fn check(effects: Effects, expected: &[&str]) {
    assert_eq!(lines(&effects), expected);
}

/// Both tasks acknowledge `n`, and it is stored.
fn complete(coordinator: &mut Coordinator<&'static str>, now: i64, n: u64) -> Effects {
    coordinator.ack(id(n), task(0), "");
    assert!(matches!(
        &coordinator.ack(id(n), task(1), "")[..],
        [Effect::Store(_)]
    ));
    coordinator.stored(at(now), id(n))
}

#[test]
fn c36_one_checkpoint_of_two_tasks() {
    let mut c = coordinator(config(100));
    check(c.tick(at(99)), &[]);
    check(c.tick(at(100)), &["trigger 1 Periodic"]);
    check(c.ack(id(1), task(1), "b"), &[]);
    check(c.ack(id(1), task(1), "again"), &[]);
    assert!(!c.is_storing());
    let snapshot = Snapshot {
        id: id(1),
        kind: CheckpointKind::Periodic,
        savepoint: None,
        triggered: at(100),
        acks: vec![(task(0), "a"), (task(1), "b")],
        finished: vec![],
    };
    assert_eq!(c.ack(id(1), task(0), "a"), [Effect::Store(snapshot)]);
    assert!(c.is_storing() && c.latest_completed().is_none());
    check(
        c.stored(at(130), id(1)),
        &["completed periodic 1 in 30", "complete 1"],
    );
    assert_eq!((c.latest_completed(), c.in_progress()), (Some(id(1)), 0));
    check(c.stored(at(131), id(1)), &[]);
    check(c.ack(id(1), task(0), "again"), &[]);
}

#[test]
fn c36_a_completed_one_subsumes_older_ones() {
    let mut c = coordinator(Config {
        max_concurrent: 2,
        ..config(100)
    });
    c.tick(at(100));
    check(c.ack(id(1), task(0), "1a"), &[]);
    check(c.tick(at(200)), &["trigger 2 Periodic"]);
    let expected = [
        "completed periodic 2 in 50",
        "complete 2",
        "aborted 1 CHECKPOINT_SUBSUMED",
        "discard 1",
    ];
    check(complete(&mut c, 250, 2), &expected);
    check(c.ack(id(1), task(1), "1b"), &["late 1 0[1] 1b"]);
}

#[test]
fn c36_one_that_was_asked_for_is_not_subsumed() {
    for (kind, barrier) in [
        (CheckpointKind::Manual, BarrierKind::Periodic),
        (CheckpointKind::Stop, BarrierKind::Stop),
    ] {
        let mut c = coordinator(Config {
            max_concurrent: 4,
            retained: 2,
            ..config(100)
        });
        // S is triggered before or after the periodic ones, as its kind allows.
        if kind == CheckpointKind::Manual {
            assert_eq!(request(&mut c, 50, kind), [trigger_of(1, barrier)]);
            c.tick(at(100));
            c.tick(at(200));
            c.ack(id(2), task(0), "");
            check(c.ack(id(1), task(0), ""), &[]);
            let expected = [
                "completed periodic 3 in 50",
                "complete 3",
                "aborted 2 CHECKPOINT_SUBSUMED",
                "discard 2",
            ];
            check(complete(&mut c, 250, 3), &expected);
            check(c.ack(id(1), task(1), ""), &["store 1 of 2"]);
            check(
                c.stored(at(260), id(1)),
                &["completed manual 1 in 210", "complete 1"],
            );
            assert_eq!(c.latest_completed(), Some(id(3)));
        } else {
            c.tick(at(100));
            assert_eq!(request(&mut c, 150, kind), [trigger_of(2, barrier)]);
            check(c.tick(at(500)), &[]);
            check(
                complete(&mut c, 550, 1),
                &["completed periodic 1 in 450", "complete 1"],
            );
            check(
                complete(&mut c, 560, 2),
                &["completed stop 2 in 410", "complete 2"],
            );
            check(c.tick(at(900)), &[]);
        }
    }
}

#[test]
fn c36_a_manual_one_completed_late_outlives_its_completion() {
    let mut c = coordinator(Config {
        max_concurrent: 2,
        ..config(100)
    });
    request(&mut c, 0, CheckpointKind::Manual);
    c.tick(at(100));
    check(
        complete(&mut c, 110, 2),
        &["completed periodic 2 in 10", "complete 2"],
    );
    check(
        complete(&mut c, 120, 1),
        &["completed manual 1 in 120", "complete 1"],
    );
    c.tick(at(200));
    let expected = [
        "completed periodic 3 in 10",
        "complete 3",
        "delete 1",
        "delete 2",
    ];
    check(complete(&mut c, 210, 3), &expected);
}

#[test]
fn c36_timeout() {
    let mut c = coordinator(Config {
        tolerable_failures: 1,
        ..config(5000)
    });
    c.tick(at(5000));
    c.ack(id(1), task(0), "a");
    assert_eq!(c.next_deadline(), Some(at(6000)));
    check(c.tick(at(5999)), &[]);
    check(
        c.tick(at(6000)),
        &["aborted 1 CHECKPOINT_EXPIRED", "discard 1"],
    );
    check(c.ack(id(1), task(1), "b"), &["late 1 0[1] b"]);
    check(c.ack(id(1), task(0), "a"), &["late 1 0[0] a"]);
}

#[test]
fn c36_what_is_being_stored_does_not_expire_and_is_not_subsumed() {
    let mut c = coordinator(Config {
        max_concurrent: 2,
        ..config(100)
    });
    c.tick(at(100));
    c.ack(id(1), task(0), "");
    c.ack(id(1), task(1), "");
    check(c.tick(at(200)), &["trigger 2 Periodic"]);
    check(
        complete(&mut c, 210, 2),
        &["completed periodic 2 in 10", "complete 2"],
    );
    c.tick(at(300));
    assert_eq!(
        c.next_deadline(),
        Some(at(1300)),
        "that of 3, not that of 1"
    );
    check(c.decline(at(300), id(1), CheckpointDeclined, ""), &[]);
    check(
        c.stored(at(301), id(1)),
        &["completed periodic 1 in 201", "complete 1", "delete 1"],
    );
}

#[test]
fn c36_acks_of_unknown_checkpoints_and_tasks_are_discarded() {
    let mut c = coordinator(config(100));
    check(c.ack(id(77), task(0), "x"), &["late 77 0[0] x"]);
    c.tick(at(100));
    check(c.ack(id(1), task(9), "y"), &["late 1 0[9] y"]);
    check(
        complete(&mut c, 110, 1),
        &["completed periodic 1 in 10", "complete 1"],
    );
    // Files are found by the paths of this job alone: see `paths`.
}

#[test]
fn c36_retention() {
    let mut c = Coordinator::<&str>::new(config(100), id(0));
    c.started(at(0), [task(0), task(1)], [], None);
    let mut deleted = Vec::new();
    for n in 0..4 {
        let now = 100 * (n + 1);
        check(c.tick(at(now)), &[&format!("trigger {n} Periodic")]);
        let effects = complete(&mut c, now + 1, n as u64);
        deleted.extend(effects.into_iter().filter_map(|e| match e {
            Effect::DeleteCheckpoint(id) => Some(id.0),
            _ => None,
        }));
    }
    assert_eq!(deleted, [0, 1, 2]);
    assert_eq!(c.completed, BTreeSet::from([id(3)]));
}

#[test]
fn retention_counts_what_was_there_before_the_start() {
    let mut c = Coordinator::<&str>::new(
        Config {
            retained: 2,
            ..config(100)
        },
        id(1),
    );
    c.started(at(0), [task(0), task(1)], [id(5), id(6), id(7)], None);
    check(c.tick(at(100)), &["trigger 8 Periodic"]);
    let expected = [
        "completed periodic 8 in 1",
        "complete 8",
        "delete 5",
        "delete 6",
    ];
    check(complete(&mut c, 101, 8), &expected);
}

#[test]
fn c37_failures_beyond_the_tolerable_fail_the_job_once() {
    let mut c = coordinator(Config {
        tolerable_failures: 1,
        max_concurrent: 3,
        ..config(100)
    });
    c.tick(at(100));
    let expected = ["aborted 1 CHECKPOINT_DECLINED", "discard 1"];
    check(
        c.decline(at(101), id(1), CheckpointDeclined, "full"),
        &expected,
    );
    check(c.decline(at(102), id(1), CheckpointDeclined, "full"), &[]);
    c.tick(at(200));
    c.tick(at(300));
    let expected = ["aborted 2 IO_EXCEPTION", "discard 2", "fail 2 IO_EXCEPTION"];
    check(c.decline(at(301), id(2), IoException, ""), &expected);
    check(c.tick(at(400)), &[]);
    check(
        c.job_failed(at(401)),
        &["aborted 3 JOB_FAILOVER_REGION", "discard 3"],
    );
    assert_eq!(c.next_deadline(), None);
    c.started(at(500), [task(0), task(1)], [], None);
    check(c.tick(at(600)), &["trigger 4 Periodic"]);
}

#[test]
fn c37_metadata_that_cannot_be_written_counts() {
    let mut c = coordinator(config(100));
    c.tick(at(100));
    c.ack(id(1), task(0), "");
    c.ack(id(1), task(1), "");
    let failed = c.store_failed(at(110), id(1), "no space left");
    let Effect::FailJob(why) = failed.last().unwrap() else {
        panic!("{failed:?}")
    };
    assert_eq!(
        why.to_string(),
        "periodic checkpoint 1 failed: FINALIZE_CHECKPOINT_FAILURE: no space left"
    );
    check(c.ack(id(1), task(1), "b"), &["late 1 0[1] b"]);
}

#[test]
fn c35_periodic_ones_and_requests_wait_for_a_free_place() {
    let mut c = coordinator(config(100));
    c.tick(at(100));
    check(request(&mut c, 150, CheckpointKind::Manual), &[]);
    check(c.tick(at(250)), &[]);
    assert_eq!(c.next_deadline(), Some(at(1100)), "nothing but the timeout");
    let expected = [
        "completed periodic 1 in 160",
        "complete 1",
        "trigger 2 Periodic",
    ];
    check(complete(&mut c, 260, 1), &expected);
    // The periodic one missed at 200 runs when the asked one ends; the next is a whole interval on.
    let expected = [
        "completed manual 2 in 10",
        "complete 2",
        "delete 1",
        "trigger 3 Periodic",
    ];
    check(complete(&mut c, 270, 2), &expected);
    complete(&mut c, 280, 3);
    assert_eq!(c.next_deadline(), Some(at(300)));
}

#[test]
fn c35_only_periodic_ones_wait_for_the_pause() {
    let mut c = coordinator(Config {
        min_pause_ms: 80,
        ..config(100)
    });
    c.tick(at(100));
    complete(&mut c, 190, 1);
    check(c.tick(at(200)), &[]);
    assert_eq!(c.next_deadline(), Some(at(270)));
    assert_eq!(request(&mut c, 210, CheckpointKind::Manual), [trigger(2)]);
    complete(&mut c, 220, 2);
    assert_eq!(c.next_deadline(), Some(at(300)));
    check(c.tick(at(299)), &[]);
    check(c.tick(at(300)), &["trigger 3 Periodic"]);
}

#[test]
fn c35_the_queue_of_requests_is_bounded() {
    let mut c = coordinator(config(100));
    c.tick(at(100));
    for _ in 0..QUEUED_REQUESTS_MAX {
        check(request(&mut c, 101, CheckpointKind::Manual), &[]);
    }
    let refused = ["refused manual TOO_MANY_CHECKPOINT_REQUESTS"];
    check(request(&mut c, 102, CheckpointKind::Manual), &refused);
    check(request(&mut c, 103, CheckpointKind::Stop), &refused);
    // Stopping comes first, and what waits behind it is told.
    assert!(complete(&mut c, 104, 1).contains(&trigger_of(2, BarrierKind::Stop)));
    let last = complete(&mut c, 105, 2);
    assert_eq!(last.len(), 3 + QUEUED_REQUESTS_MAX - 1);
}

#[test]
fn nothing_is_triggered_while_not_all_tasks_run() {
    let mut c = Coordinator::<&str>::new(config(100), id(1));
    check(c.tick(at(1000)), &[]);
    let refused = ["refused manual NOT_ALL_REQUIRED_TASKS_RUNNING"];
    check(request(&mut c, 1000, CheckpointKind::Manual), &refused);
}

#[test]
fn missed_intervals_are_not_made_up_for() {
    let mut c = coordinator(Config {
        max_concurrent: 9,
        ..config(100)
    });
    check(c.tick(at(555)), &["trigger 1 Periodic"]);
    assert_eq!(c.next_deadline(), Some(at(655)));
    check(c.tick(at(660)), &["trigger 2 Periodic"]);
    assert_eq!(
        c.next_deadline(),
        Some(at(755)),
        "on time, it stays on time"
    );
}

#[test]
fn a_final_checkpoint_ends_the_job_and_is_repeated_until_it_is_complete() {
    let mut c = coordinator(Config {
        interval_ms: None,
        tolerable_failures: 9,
        ..config(0)
    });
    assert_eq!(c.next_deadline(), None);
    let first = request(&mut c, 10, CheckpointKind::Final);
    assert_eq!(first, [trigger_of(1, BarrierKind::Final)]);
    check(request(&mut c, 11, CheckpointKind::Stop), &[]);
    c.decline(at(20), id(1), CheckpointDeclinedTaskNotReady, "");
    assert_eq!(c.next_deadline(), Some(at(120)));
    assert_eq!(c.tick(at(120)), [trigger_of(2, BarrierKind::Final)]);
    let expected = [
        "completed final 2 in 5",
        "complete 2",
        "refused stop CHECKPOINT_COORDINATOR_SHUTDOWN",
    ];
    check(complete(&mut c, 125, 2), &expected);
    check(c.task_finished(at(126), task(0)), &[]);
    check(c.tick(at(1_000_000)), &[]);
    assert_eq!(c.next_deadline(), None);
}

#[test]
fn after_a_failed_stop_the_job_goes_on() {
    let mut c = coordinator(Config {
        tolerable_failures: 9,
        ..config(100)
    });
    assert_eq!(
        request(&mut c, 10, CheckpointKind::Stop),
        [trigger_of(1, BarrierKind::Stop)]
    );
    check(c.tick(at(500)), &[]);
    let expected = [
        "aborted 1 CHECKPOINT_DECLINED",
        "discard 1",
        "trigger 2 Periodic",
    ];
    check(c.decline(at(510), id(1), CheckpointDeclined, ""), &expected);
}

#[test]
fn finished_tasks_are_recorded_and_not_waited_for() {
    let mut c = coordinator(Config {
        tolerable_failures: 0,
        ..config(100)
    });
    c.tick(at(100));
    let expected = ["aborted 1 CHECKPOINT_DECLINED_TASK_CLOSING", "discard 1"];
    check(c.task_finished(at(150), task(0)), &expected);
    check(c.tick(at(200)), &["trigger 2 Periodic"]);
    let effects = c.ack(id(2), task(1), "b");
    let [Effect::Store(snapshot)] = &effects[..] else {
        panic!("{effects:?}")
    };
    assert_eq!(
        (&snapshot.acks, &snapshot.finished),
        (&vec![(task(1), "b")], &vec![task(0)])
    );
    c.stored(at(210), id(2));
    c.task_finished(at(220), task(1));
    check(c.tick(at(400)), &[]);
}

#[test]
fn a_failure_while_storing_leaves_the_decision_to_the_store() {
    let mut c = coordinator(Config {
        max_concurrent: 2,
        ..config(100)
    });
    c.tick(at(100));
    c.ack(id(1), task(0), "");
    c.ack(id(1), task(1), "");
    c.tick(at(200));
    check(
        c.job_failed(at(210)),
        &["aborted 2 JOB_FAILOVER_REGION", "discard 2"],
    );
    assert!(c.is_storing());
    check(
        c.stored(at(220), id(1)),
        &["completed periodic 1 in 120", "complete 1"],
    );
    assert!(!c.is_storing());
    assert_eq!(c.latest_completed(), Some(id(1)));
}

#[test]
fn stopping_aborts_what_is_under_way_and_refuses_what_waits() {
    let mut c = coordinator(config(100));
    c.tick(at(100));
    request(&mut c, 101, CheckpointKind::Manual);
    let expected = [
        "refused manual CHECKPOINT_COORDINATOR_SHUTDOWN",
        "aborted 1 CHECKPOINT_COORDINATOR_SHUTDOWN",
        "discard 1",
    ];
    check(c.stop(at(102)), &expected);
    check(c.tick(at(300)), &[]);
}
