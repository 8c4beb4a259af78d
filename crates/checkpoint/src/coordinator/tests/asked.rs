//! What was asked for: savepoints, the queue of requests (C35), increments and their bases (D12),
//! barriers that overtake (D9), intervals changed in a running job; and properties over all events.

use proptest::prelude::*;
use weir_model::Passage;

use super::*;

fn savepoint() -> Request {
    Request::savepoint(SavepointFormat::Canonical)
}

fn forced() -> Request {
    Request {
        is_forced: true,
        ..savepoint()
    }
}

fn scheduled(request: Request) -> Request {
    Request {
        is_scheduled: true,
        ..request
    }
}

/// The barriers of what is triggered.
fn barriers(effects: &Effects) -> Vec<Barrier> {
    let of = |effect: &Effect<&str>| match effect {
        Effect::Trigger(barrier, _) => Some(*barrier),
        _ => None,
    };
    effects.iter().filter_map(of).collect()
}

#[test]
fn c35_a_savepoint_waits_for_a_free_place_unless_it_is_forced() {
    let mut c = coordinator(config(100));
    c.tick(at(100));
    check(c.request(at(110), savepoint()), &[]);
    check(c.request(at(111), forced()), &[]);
    let mut c = coordinator(config(100));
    c.tick(at(100));
    check(c.request(at(110), forced()), &["trigger 2 Periodic"]);
    check(c.request(at(111), savepoint()), &[]);
    check(c.tick(at(200)), &[]);
    complete(&mut c, 210, 1);
    let expected = ["completed savepoint 2 in 110", "trigger 3 Periodic"];
    check(complete(&mut c, 220, 2), &expected);
    let expected = ["completed savepoint 3 in 10", "trigger 4 Periodic"];
    check(complete(&mut c, 230, 3), &expected);
}

#[test]
fn c35_in_the_pause_a_periodic_one_waits_and_what_was_asked_for_does_not() {
    let paused = || {
        let mut c = coordinator(Config {
            min_pause_ms: 100,
            ..config(10)
        });
        c.tick(at(10));
        complete(&mut c, 15, 1);
        c
    };
    let mut c = paused();
    check(c.tick(at(20)), &[]);
    assert_eq!(c.next_deadline(), Some(at(115)), "it is not lost");
    for asked in [savepoint(), forced(), Request::of(CheckpointKind::Manual)] {
        check(paused().request(at(20), asked), &["trigger 2 Periodic"]);
    }
}

#[test]
fn c35_the_order_of_the_queue() {
    let mut c = coordinator(config(100));
    c.tick(at(100));
    let ticket = |n, request| Request {
        ticket: Some(Ticket(n)),
        ..request
    };
    let manual = Request::of(CheckpointKind::Manual);
    for (n, request) in [
        (5, scheduled(manual)),
        (4, manual),
        (3, scheduled(savepoint())),
        (1, savepoint()),
        (2, savepoint()),
        (0, Request::of(CheckpointKind::Stop)),
    ] {
        check(c.request(at(101), ticket(n, request)), &[]);
    }
    let mut order = Vec::new();
    let mut next = 1;
    while let Some(barrier) = {
        c.decline(at(102), id(next), CheckpointDeclinedTaskNotReady, "");
        next += 1;
        c.under_way().next()
    } {
        order.push(barrier.1);
    }
    use CheckpointKind::{Manual, Periodic, Savepoint, Stop};
    // The periodic one of 200 is not due yet.
    assert_eq!(
        order,
        [Stop, Savepoint, Savepoint, Savepoint, Manual, Manual]
    );
    assert!(!order.contains(&Periodic));
}

#[test]
fn c35_a_full_queue_drops_what_would_come_last() {
    let mut queue = Requests::new(1);
    let manual = Request::of(CheckpointKind::Manual);
    assert_eq!(queue.add(scheduled(manual)), None);
    assert_eq!(queue.add(savepoint()), Some(scheduled(manual)));
    assert_eq!(queue.add(manual), Some(manual));
    assert_eq!(queue.add(savepoint()), Some(savepoint()));
    assert_eq!(queue.next(), Some(savepoint()));

    let mut c = coordinator(config(100));
    c.tick(at(100));
    for _ in 0..QUEUED_REQUESTS_MAX {
        request(&mut c, 101, CheckpointKind::Manual);
    }
    let dropped = ["refused manual TOO_MANY_CHECKPOINT_REQUESTS"];
    check(c.request(at(102), savepoint()), &dropped);
    assert_eq!(c.requests.next(), Some(savepoint()));
}

#[test]
fn c36_a_savepoint_commits_nothing_is_not_kept_and_subsumes_nothing() {
    let mut c = coordinator(Config {
        max_concurrent: 3,
        ..config(100)
    });
    c.tick(at(100));
    c.ack(id(1), task(0), "");
    c.request(at(110), savepoint());
    check(complete(&mut c, 120, 2), &["completed savepoint 2 in 10"]);
    assert_eq!(c.latest_completed(), None);
    assert_eq!(c.in_progress(), 1, "1 goes on");
    check(c.ack(id(2), task(0), "again"), &[]);
    check(c.ack(id(1), task(1), ""), &["store 1 of 2"]);
}

#[test]
fn c36_a_savepoint_is_not_subsumed() {
    let mut c = coordinator(Config {
        max_concurrent: 3,
        retained: 2,
        ..config(100)
    });
    c.request(at(50), savepoint());
    c.tick(at(100));
    c.tick(at(200));
    c.ack(id(1), task(0), "");
    let expected = [
        "completed periodic 3 in 10",
        "complete 3",
        "aborted 2 CHECKPOINT_SUBSUMED",
        "discard 2",
    ];
    check(complete(&mut c, 210, 3), &expected);
    check(c.ack(id(1), task(1), ""), &["store 1 of 2"]);
    check(c.stored(at(220), id(1)), &["completed savepoint 1 in 170"]);
}

#[test]
fn a_stop_with_a_savepoint_commits_and_leaves_the_checkpoints_alone() {
    let mut c = coordinator(config(100));
    c.tick(at(100));
    complete(&mut c, 110, 1);
    let stop = Request {
        savepoint: Some(SavepointFormat::Native),
        ticket: Some(Ticket(7)),
        ..Request::of(CheckpointKind::Stop)
    };
    let effects = c.request(at(120), stop);
    let barrier = barriers(&effects)[0];
    assert_eq!(barrier.kind, BarrierKind::Stop);
    assert_eq!(barrier.savepoint, Some(SavepointFormat::Native));
    let expected = ["completed stop 2 in 10", "complete 2"];
    let effects = complete(&mut c, 130, 2);
    check(effects.clone(), &expected);
    let Effect::Completed(completed) = &effects[0] else {
        panic!("{effects:?}")
    };
    assert_eq!(completed.ticket, Some(Ticket(7)));
    assert!(completed.is_savepoint);
    assert_eq!(c.latest_completed(), Some(id(1)));
    check(c.tick(at(900)), &[]);
}

#[test]
fn what_a_process_left_beyond_those_that_are_kept_goes_with_a_savepoint_as_well() {
    for kind in [CheckpointKind::Savepoint, CheckpointKind::Stop] {
        let mut c = coordinator(config(1000));
        c.started(at(0), [task(0), task(1)], [1, 2, 3].map(id), Some(id(3)));
        let effects = c.request(
            at(10),
            Request {
                savepoint: Some(SavepointFormat::Native),
                ..Request::of(kind)
            },
        );
        let taken = barriers(&effects)[0].checkpoint;
        let effects = complete(&mut c, 20, taken.0);
        let deleted: Vec<_> = effects
            .iter()
            .filter_map(|effect| match effect {
                Effect::DeleteCheckpoint(id) => Some(id.0),
                _ => None,
            })
            .collect();
        assert_eq!(deleted, [1, 2], "{kind:?}");
        assert_eq!(c.latest_completed(), Some(id(3)));
    }
}

#[test]
fn the_failure_of_a_savepoint_does_not_count() {
    let mut c = coordinator(config(1000));
    c.request(at(10), savepoint());
    let expected = ["aborted 1 IO_EXCEPTION", "discard 1"];
    check(c.decline(at(20), id(1), IoException, "full"), &expected);
}

#[test]
fn a_final_one_that_somebody_waits_for_is_not_repeated() {
    let mut c = coordinator(config(1000));
    let drain = Request {
        ticket: Some(Ticket(1)),
        savepoint: Some(SavepointFormat::Canonical),
        ..Request::of(CheckpointKind::Final)
    };
    assert_eq!(
        barriers(&c.request(at(10), drain))[0].kind,
        BarrierKind::Final
    );
    let expected = ["aborted 1 CHECKPOINT_DECLINED", "discard 1"];
    check(c.decline(at(20), id(1), CheckpointDeclined, ""), &expected);
    assert_eq!(c.next_deadline(), Some(at(1000)), "the periodic one");
}

#[test]
fn while_a_job_drains_nothing_but_the_last_checkpoint_is_triggered() {
    let mut c = coordinator(config(100));
    c.tick(at(100));
    let waits = Request {
        ticket: Some(Ticket(1)),
        ..savepoint()
    };
    check(c.request(at(110), waits), &[]);
    // Whoever has ended for the drain has input left: as finished it must not be restored.
    let refused = c.drain();
    assert!(
        matches!(
            refused[..],
            [Effect::Refused {
                ticket: Some(Ticket(1)),
                ..
            }]
        ),
        "{refused:?}"
    );
    assert_eq!(c.drain(), [], "once is enough");
    // What was under way has its barriers before the end.
    check(
        complete(&mut c, 120, 1),
        &["completed periodic 1 in 20", "complete 1"],
    );
    check(c.tick(at(1000)), &[]);
    assert_eq!(c.next_deadline(), None);
    for asked in [savepoint(), forced(), Request::of(CheckpointKind::Stop)] {
        let refused = c.request(at(1001), asked);
        assert!(
            matches!(refused[..], [Effect::Refused { .. }]),
            "{refused:?}"
        );
    }
    let last = Request {
        ticket: Some(Ticket(2)),
        ..Request::of(CheckpointKind::Final)
    };
    check(c.request(at(1002), last), &["trigger 2 Final"]);
    // It starts again where that fails, and is as it was.
    c.decline(at(1003), id(2), CheckpointDeclinedTaskNotReady, "");
    check(c.tick(at(2000)), &[]);
    c.started(at(3000), [task(0), task(1)], [id(1)], Some(id(1)));
    check(c.tick(at(3100)), &["trigger 3 Periodic"]);
}

fn incremental(interval_ms: u64) -> Config {
    Config {
        incremental: true,
        max_concurrent: 3,
        ..config(interval_ms)
    }
}

#[test]
fn an_increment_refers_to_the_latest_completed_when_it_is_triggered() {
    let mut c = coordinator(incremental(100));
    let base = |effects: &Effects| barriers(effects)[0].base;
    assert_eq!(base(&c.tick(at(100))), None, "the first is full");
    assert_eq!(base(&c.tick(at(200))), None, "1 is not complete");
    complete(&mut c, 210, 1);
    assert_eq!(base(&c.tick(at(300))), Some(id(1)));
    assert_eq!(base(&c.request(at(310), savepoint())), None);
    complete(&mut c, 320, 3);
    complete(&mut c, 330, 4);
    let full = Request {
        is_full: true,
        ..Request::of(CheckpointKind::Manual)
    };
    assert_eq!(base(&c.request(at(340), full)), None);
    // The savepoint 4 is no base.
    assert_eq!(
        base(&request(&mut c, 341, CheckpointKind::Manual)),
        Some(id(3))
    );
}

#[test]
fn the_first_one_is_full_unless_the_job_began_with_its_own() {
    let first = |completed: &[u64], base: Option<u64>| {
        let mut c = Coordinator::<&str>::new(incremental(100), id(1));
        let completed = completed.iter().copied().map(CheckpointId);
        c.started(at(0), [task(0)], completed, base.map(CheckpointId));
        barriers(&c.tick(at(100)))[0].base
    };
    assert_eq!(first(&[5, 6], Some(6)), Some(id(6)));
    assert_eq!(first(&[5, 6], None), None, "somebody else's");
    assert_eq!(first(&[5], Some(6)), None, "not kept");
    let mut c = Coordinator::<&str>::new(config(100), id(1));
    c.started(at(0), [task(0)], [id(6)], Some(id(6)));
    assert_eq!(barriers(&c.tick(at(100)))[0].base, None, "not incremental");
}

#[test]
fn a_base_is_kept_until_all_that_refer_to_it_are_resolved() {
    let mut c = coordinator(incremental(100));
    c.tick(at(100));
    complete(&mut c, 110, 1);
    c.tick(at(200)); // 2 on 1
    c.tick(at(300)); // 3 on 1
    request(&mut c, 310, CheckpointKind::Manual); // 4 on 1
    let expected = ["completed periodic 2 in 120", "complete 2"];
    check(complete(&mut c, 320, 2), &expected);
    check(c.ack(id(1), task(0), "again"), &[]);
    let declined = c.decline(at(330), id(3), CheckpointDeclinedTaskNotReady, "");
    check(
        declined,
        &["aborted 3 CHECKPOINT_DECLINED_TASK_NOT_READY", "discard 3"],
    );
    let expected = [
        "completed manual 4 in 30",
        "complete 4",
        "delete 1",
        "delete 2",
    ];
    check(complete(&mut c, 340, 4), &expected);
}

#[test]
fn c36_failure_of_the_job_releases_bases() {
    let mut c = coordinator(incremental(100));
    c.tick(at(100));
    complete(&mut c, 110, 1);
    c.tick(at(200));
    c.tick(at(300));
    complete(&mut c, 310, 2);
    let expected = ["aborted 3 JOB_FAILOVER_REGION", "discard 3", "delete 1"];
    check(c.job_failed(at(320)), &expected);
}

fn unaligned() -> Config {
    Config {
        unaligned: true,
        max_concurrent: 3,
        ..config(100)
    }
}

#[test]
fn no_savepoint_beside_an_unaligned_checkpoint() {
    let mut c = coordinator(unaligned());
    assert_eq!(barriers(&c.tick(at(100)))[0].passage, Passage::Unaligned);
    check(c.tick(at(200)), &[]);
    check(c.request(at(210), forced()), &[]);
    // It comes next, though a periodic one has been due for long.
    let effects = complete(&mut c, 220, 1);
    assert_eq!(
        barriers(&effects)[0].savepoint,
        Some(SavepointFormat::Canonical)
    );
    assert_eq!(barriers(&effects)[0].passage, Passage::Aligned);
    // No unaligned one starts beside it, another savepoint may.
    check(request(&mut c, 230, CheckpointKind::Manual), &[]);
    check(c.tick(at(400)), &[]);
    check(c.request(at(410), forced()), &["trigger 3 Periodic"]);
    check(complete(&mut c, 420, 2), &["completed savepoint 2 in 200"]);
    let expected = ["completed savepoint 3 in 20", "trigger 4 Periodic"];
    check(complete(&mut c, 430, 3), &expected);
}

#[test]
fn what_overtakes_and_what_does_not() {
    let passage = |config: Config, request: Request| {
        barriers(&coordinator(config).request(at(10), request))[0].passage
    };
    let manual = Request::of(CheckpointKind::Manual);
    let timeout = Config {
        aligned_timeout_ms: 30,
        ..unaligned()
    };
    assert_eq!(passage(unaligned(), manual), Passage::Unaligned);
    assert_eq!(
        passage(timeout.clone(), manual),
        Passage::AlignedUntil(at(40))
    );
    let aligned = Config {
        unaligned: false,
        ..timeout.clone()
    };
    assert_eq!(passage(aligned, manual), Passage::Aligned);
    for request in [
        savepoint(),
        Request::of(CheckpointKind::Stop),
        Request::of(CheckpointKind::Final),
    ] {
        assert_eq!(passage(timeout.clone(), request), Passage::Aligned);
    }
}

#[test]
fn an_interval_is_changed_while_the_job_runs() {
    let mut c = coordinator(config(100));
    check(c.set_interval(at(50), Some(10)), &[]);
    assert_eq!(c.next_deadline(), Some(at(60)));
    check(c.tick(at(60)), &["trigger 1 Periodic"]);
    // What is under way is not disturbed.
    check(c.set_interval(at(61), None), &[]);
    complete(&mut c, 70, 1);
    assert_eq!(c.next_deadline(), None);
    check(c.tick(at(10_000)), &[]);
    check(c.set_interval(at(10_000), Some(500)), &[]);
    assert_eq!(c.next_deadline(), Some(at(10_500)));
    // It holds after a restart, too.
    c.job_failed(at(10_001));
    check(c.set_interval(at(10_002), Some(20)), &[]);
    c.started(at(11_000), [task(0), task(1)], [id(1)], None);
    assert_eq!(c.next_deadline(), Some(at(11_020)));
}

/// Something that happens to the coordinator.
#[derive(Clone, Debug)]
enum Event {
    Pass(u64),
    Ask(Request),
    Ack(usize, u32),
    Stored(usize, bool),
    Decline(usize),
    Interval(Option<u64>),
    Fail,
    Start,
}

fn any_request() -> impl Strategy<Value = Request> {
    let kinds = prop::sample::select(vec![
        CheckpointKind::Manual,
        CheckpointKind::Savepoint,
        CheckpointKind::Stop,
        CheckpointKind::Final,
    ]);
    (kinds, any::<[bool; 4]>()).prop_map(|(kind, [format, forced, full, ticket])| Request {
        savepoint: (format || kind == CheckpointKind::Savepoint)
            .then_some(SavepointFormat::Canonical),
        ticket: ticket.then_some(Ticket(3)),
        is_forced: forced,
        is_full: full,
        ..Request::of(kind)
    })
}

fn any_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (0..60_u64).prop_map(Event::Pass),
        3 => any_request().prop_map(Event::Ask),
        8 => (0..4_usize, 0..3_u32).prop_map(|(n, task)| Event::Ack(n, task)),
        4 => (0..4_usize, any::<bool>()).prop_map(|(n, ok)| Event::Stored(n, ok)),
        1 => (0..4_usize).prop_map(Event::Decline),
        1 => prop::option::of(10..50_u64).prop_map(Event::Interval),
        1 => Just(Event::Fail),
        2 => Just(Event::Start),
    ]
}

/// What a driver knows, to check what it is told.
#[derive(Default)]
struct Known {
    last: u64,
    /// Under way, with base, whether unaligned, whether a savepoint.
    open: BTreeMap<CheckpointId, Barrier>,
    kept: BTreeSet<CheckpointId>,
    savepoints: BTreeSet<CheckpointId>,
    runs: bool,
}

impl Known {
    fn hear(&mut self, effects: Effects, config: &Config) -> Result<(), TestCaseError> {
        for effect in effects {
            match effect {
                Effect::Trigger(barrier, _) => self.triggered(barrier, config)?,
                Effect::Store(snapshot) => prop_assert!(self.open.contains_key(&snapshot.id)),
                Effect::Completed(completed) => {
                    let id = completed.id;
                    prop_assert!(self.open.remove(&id).is_some(), "{id} is not under way");
                    match completed.is_savepoint {
                        true => self.savepoints.insert(id),
                        false => self.kept.insert(id),
                    };
                }
                Effect::NotifyComplete(id) => {
                    prop_assert!(self.kept.contains(&id) || self.savepoints.contains(&id));
                }
                Effect::NotifyAborted(aborted) => {
                    let was_open = self.open.remove(&aborted.id).is_some();
                    prop_assert!(was_open, "{} is not under way", aborted.id);
                }
                Effect::DiscardFiles(id) | Effect::DiscardLateAck { id, .. } => {
                    let complete = self.kept.contains(&id) || self.savepoints.contains(&id);
                    prop_assert!(!complete, "{id} is complete");
                }
                Effect::DeleteCheckpoint(id) => {
                    prop_assert!(self.kept.remove(&id), "{id} is not kept");
                    let is_base = self.open.values().any(|b| b.base == Some(id));
                    prop_assert!(!is_base, "{id} is a base");
                }
                Effect::FailJob(_) => self.runs = false,
                Effect::Refused { .. } => {}
            }
        }
        Ok(())
    }

    fn triggered(&mut self, barrier: Barrier, config: &Config) -> Result<(), TestCaseError> {
        prop_assert!(self.runs, "{barrier:?}");
        prop_assert!(barrier.checkpoint.0 > self.last);
        self.last = barrier.checkpoint.0;
        let is_last = |b: &Barrier| b.kind != BarrierKind::Periodic;
        prop_assert!(!self.open.values().any(is_last), "behind the last one");
        if let Some(base) = barrier.base {
            prop_assert!(self.kept.contains(&base) && config.incremental);
            prop_assert_eq!(barrier.savepoint, None);
        }
        self.open.insert(barrier.checkpoint, barrier);
        let overtakes = |b: &Barrier| b.passage != Passage::Aligned;
        if self.open.values().any(overtakes) {
            prop_assert_eq!(self.open.len(), 1, "an unaligned one has company");
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_in_whatever_order(
        events in prop::collection::vec(any_event(), 1..120),
        switches in any::<[bool; 2]>(),
        (max_concurrent, retained, tolerable) in (0..4_usize, 0..3_usize, 0..3_u32),
    ) {
        let config = Config {
            max_concurrent,
            retained,
            tolerable_failures: tolerable,
            unaligned: switches[0],
            incremental: switches[1],
            timeout_ms: 200,
            ..config(30)
        };
        let mut c = Coordinator::<&'static str>::new(config.clone(), id(1));
        let mut known = Known::default();
        let mut now = at(0);
        for event in events {
            let nth = |known: &Known, n: usize| {
                known.open.keys().nth(n).copied().unwrap_or(id(n as u64))
            };
            let effects = match event {
                Event::Pass(ms) => {
                    now = now.plus_ms(ms);
                    c.tick(now)
                }
                Event::Ask(request) => c.request(now, request),
                Event::Ack(n, of) => c.ack(nth(&known, n), task(of), ""),
                Event::Stored(n, true) => c.stored(now, nth(&known, n)),
                Event::Stored(n, false) => c.store_failed(now, nth(&known, n), ""),
                Event::Decline(n) => c.decline(now, nth(&known, n), CheckpointDeclined, ""),
                Event::Interval(ms) => c.set_interval(now, ms),
                Event::Fail => {
                    known.runs = false;
                    c.job_failed(now)
                }
                Event::Start => {
                    // As the driver does: what is being stored is waited for first.
                    known.hear(c.job_failed(now), &config)?;
                    for n in known.open.keys().copied().collect::<Vec<_>>() {
                        known.hear(c.stored(now, n), &config)?;
                    }
                    known.runs = true;
                    let completed: Vec<_> = known.kept.iter().copied().collect();
                    let base = completed.last().copied();
                    c.started(now, [task(0), task(1)], completed, base)
                }
            };
            known.hear(effects, &config)?;
            prop_assert!(c.next_deadline().is_none_or(|at| at >= now || !known.runs), "late");
            prop_assert_eq!(c.in_progress(), known.open.len());
        }
    }
}
