//! Where a job begins, and what was there before: each row once, whatever the user had in mind.

use std::sync::{Condvar, Mutex, OnceLock};

use weir_checkpoint::{
    JobPaths, Metadata, Refusal, StoreError, TwoPhaseOptions,
    testing::{Asked, Hooked, MemoryStore},
};
use weir_model::{Column, ColumnView, Name, ProcessingTime, SavepointFormat};
use weir_operator::{
    BadKey, Descriptor, KeySelector, Operator, OperatorFactory, SinkFactory, TaskInfo,
};
use weir_runtime::{
    Clock,
    control::{JobCommand, SavepointTarget},
};

use super::*;

/// Runs a job that is asked to stop at an event: with a checkpoint, or at once as by a crash.
pub(super) fn run_until(
    job: &mut TestJob,
    with_checkpoint: bool,
    event: impl Fn(&JobEvent) -> bool + Send + Sync + 'static,
) -> Ended {
    let stop = job.stopper();
    job.events = Events::reacting(move |seen| {
        if event(seen) {
            stop(with_checkpoint);
        }
    });
    let outcome = job.run().outcome;
    job.events = Events::default();
    outcome
}

pub(super) fn all_run(event: &JobEvent) -> bool {
    matches!(event, JobEvent::Running { .. })
}

/// It is cancelled as soon as all its tasks run.
pub(super) fn crash_at_once(job: &mut TestJob) {
    let outcome = run_until(job, false, all_run);
    assert!(matches!(outcome, Ended::Cancelled), "{outcome:?}");
}

/// It stops with a checkpoint as soon as all its tasks run.
pub(super) fn stop_at_once(job: &mut TestJob) {
    let outcome = run_until(job, true, all_run);
    assert!(
        matches!(
            outcome,
            Ended::Stopped(StopDone {
                checkpoint: Some(_),
                ..
            })
        ),
        "{outcome:?}"
    );
}

/// It stops with a checkpoint once `count` rows are committed.
pub(super) fn stop_at(job: &mut TestJob, ledger: &Ledger, count: usize) {
    let ledger = ledger.clone();
    let committed = move |event: &JobEvent| {
        matches!(event, JobEvent::Checkpoint(_)) && ledger.rows().len() >= count
    };
    let outcome = run_until(job, true, committed);
    assert!(
        matches!(
            outcome,
            Ended::Stopped(StopDone {
                checkpoint: Some(_),
                ..
            })
        ),
        "{outcome:?}"
    );
}

#[track_caller]
pub(super) fn finishes(job: &TestJob) -> Report {
    let report = job.run();
    let finished = matches!(report.outcome, Ended::Finished);
    assert!(finished, "{:?}", report.outcome);
    report
}

#[test]
fn what_is_replaced_is_not_gone_on_from_after_a_crash_before_the_next_checkpoint() {
    let splits = [rows(0, 20, 3)];
    let ledger = Ledger::default();
    let mut job = counting(&splits, &Valve::open(), 1, &ledger);
    finishes(&job);
    job.restore = RestoreFrom::Nothing;
    job.on_existing = OnExisting::Replace;
    crash_at_once(&mut job);
    assert_eq!(ledger.rows().len(), 0);
    job.restore = RestoreFrom::Latest;
    assert!(finishes(&job).restored.is_none());
    assert_eq!(ledger.sorted(), counted(&splits));
}

#[test]
fn a_job_that_was_told_to_begin_anew_does_so_after_a_crash_and_only_once() {
    let splits = [rows(0, 20, 3)];
    let ledger = Ledger::default();
    let mut job = counting(&splits, &Valve::open(), 1, &ledger);
    finishes(&job);
    job.restore = RestoreFrom::Nothing;
    job.on_existing = OnExisting::Append;
    crash_at_once(&mut job);
    job.restore = RestoreFrom::Latest;
    assert!(finishes(&job).restored.is_none());
    assert_eq!(ledger.rows().len(), 40);
    let again = job.run();
    assert!(matches!(again.outcome, Ended::AlreadyFinished(_)));
}

#[test]
fn a_start_that_is_refused_leaves_a_finished_job_finished() {
    let splits = [rows(0, 20, 3)];
    let ledger = Ledger::default();
    let mut job = counting(&splits, &Valve::open(), 1, &ledger);
    finishes(&job);
    job.restore = RestoreFrom::Nothing;
    assert!(failure(&job.run()).contains("on-existing"));
    job.restore = RestoreFrom::Latest;
    assert!(matches!(job.run().outcome, Ended::AlreadyFinished(_)));
}

/// The checkpoints that the attempts of a job began with.
fn restored(job: &TestJob) -> Vec<u64> {
    let id = |event: JobEvent| match event {
        JobEvent::Restoring { id, .. } => Some(id.0),
        _ => None,
    };
    job.events.all().into_iter().filter_map(id).collect()
}

/// A job that failed because what it had sealed could not be committed, and the checkpoint that
/// holds it.
fn uncommitted(ledger: &Ledger, splits: &[Vec<String>]) -> (TestJob, CheckpointId) {
    let valve = Valve::at(10);
    let job = counting(splits, &valve, 1, ledger);
    ledger.fail_commits(1);
    assert!(failure(&job.run()).contains("injected"));
    assert_eq!((ledger.rows().len(), ledger.sealed()), (0, 1));
    valve.open_to(u64::MAX);
    let id = number(&latest(&job));
    (job, CheckpointId(id))
}

#[test]
fn a_checkpoint_of_its_own_is_no_fork_though_it_is_named_and_commits_what_it_holds() {
    let splits = [rows(0, 50, 3)];
    let ledger = Ledger::default();
    let (mut job, id) = uncommitted(&ledger, &splits);
    job.restore = RestoreFrom::Own(id);
    crash_at_once(&mut job);
    assert_eq!(ledger.rows().len(), 10);
    finishes(&job);
    assert_eq!(ledger.sorted(), counted(&splits));
}

/// A clock that stands still.
struct Still(i64);

impl Clock for Still {
    fn now(&self) -> ProcessingTime {
        ProcessingTime(self.0)
    }
}

fn was_told(job: &TestJob, what: &str) -> bool {
    let told = |event: &JobEvent| matches!(event, JobEvent::Note(note) if note.contains(what));
    job.events.all().iter().any(told)
}

/// A job whose results could not be committed for longer than they may take, and may be lost then.
fn timed_out(ledger: &Ledger, splits: &[Vec<String>]) -> TestJob {
    let (mut job, _) = uncommitted(ledger, splits);
    job.transactions = TwoPhaseOptions::new(Some(1000), true, None).unwrap();
    job.clock = Arc::new(Still(1 << 50));
    job.restart = RESTARTS;
    job
}

#[test]
fn what_timed_out_and_is_gone_is_gone_on_without_if_it_may_be() {
    let splits = [rows(0, 50, 3)];
    let ledger = Ledger::default();
    let job = timed_out(&ledger, &splits);
    let gone = ledger.lose_sealed(1);
    assert_eq!((gone.len(), finishes(&job).restarts), (10, 0));
    assert!(was_told(&job, "timed out and is lost"));
    // They are counted all the same.
    let mut all = [ledger.rows(), gone].concat();
    all.sort();
    assert_eq!(all, counted(&splits));
}

#[test]
fn what_timed_out_is_not_lost_where_it_cannot_be_committed_just_then() {
    let splits = [rows(0, 50, 3)];
    let ledger = Ledger::default();
    let job = timed_out(&ledger, &splits);
    ledger.fail_commits(1);
    assert_eq!(finishes(&job).restarts, 1);
    assert_eq!(ledger.sorted(), counted(&splits));
}

#[test]
fn a_loss_that_a_running_job_finds_restarts_it() {
    let splits = [rows(0, 50, 3)];
    let ledger = Ledger::default();
    let mut job = counting(&splits, &Valve::at(10), 2, &ledger);
    job.restart = RESTARTS;
    let (sealed, gone) = (ledger.clone(), AtomicU32::new(0));
    job.kept_in = Some(Hooked::new(&job.store, move |asked, path| {
        if asked == Asked::Written && path.ends_with("_metadata") && sealed.sealed() > 0 {
            let is_first = gone.fetch_add(1, Ordering::Relaxed) == 0;
            sealed.lose_sealed(usize::from(is_first));
        }
        Ok(())
    }));
    let report = job.run();
    // It may be there again, but is not.
    let text = failure(&report);
    assert!(text.contains("is gone"), "{text}");
    assert_eq!(report.restarts, 3);
}

/// A job that begins at the checkpoint of another one, whose results were not committed.
fn beginning_at(
    (first, id): (TestJob, CheckpointId),
    is_claimed: bool,
    mut job: TestJob,
) -> TestJob {
    let foreign = Foreign {
        store: first.store.clone(),
        folder: format!("test/chk-{id}"),
    };
    job.claimed_in = Some(first.store);
    job.restore = match is_claimed {
        true => RestoreFrom::Claimed(foreign),
        false => RestoreFrom::Checkpoint(foreign),
    };
    job
}

#[test]
fn what_a_claimed_checkpoint_holds_is_committed_and_of_a_fork_it_is_not() {
    for is_claimed in [true, false] {
        let splits = [rows(0, 50, 3)];
        let ledger = Ledger::default();
        let other = uncommitted(&ledger, &splits);
        let job = counting(&splits, &Valve::open(), 1, &ledger);
        let mut job = beginning_at(other, is_claimed, job);
        crash_at_once(&mut job);
        let committed = if is_claimed { 10 } else { 0 };
        assert_eq!(ledger.rows().len(), committed, "claimed: {is_claimed}");
        if is_claimed {
            job.restore = RestoreFrom::Latest;
            finishes(&job);
            assert_eq!(ledger.sorted(), counted(&splits));
        }
    }
}

#[test]
fn what_is_gone_of_a_claimed_checkpoint_is_told_and_the_rest_is_committed() {
    let splits = [rows(0, 50, 3), rows(1, 50, 3)];
    let valve = Valve::at(10);
    let ledger = Ledger::default();
    let first = counting(&splits, &valve, 2, &ledger);
    ledger.fail_commits(2);
    assert!(failure(&first.run()).contains("injected"));
    assert_eq!((ledger.rows().len(), ledger.sealed()), (0, 2));
    let id = CheckpointId(number(&latest(&first)));
    let gone = ledger.lose_sealed(1);
    let job = counting(&splits, &Valve::open(), 2, &ledger);
    let job = beginning_at((first, id), true, job);
    finishes(&job);
    assert!(was_told(&job, "has committed it, it was moved, or"));
    let mut all = [ledger.rows(), gone].concat();
    all.sort();
    assert_eq!(all, counted(&splits));
}

#[test]
fn a_fork_that_dies_before_its_first_checkpoint_does_not_go_on_from_another() {
    let splits = [rows(0, 50, 3)];
    let ledger = Ledger::default();
    let (mut job, id) = uncommitted(&ledger, &splits);
    job.restore = RestoreFrom::Checkpoint(Foreign {
        store: job.store.clone(),
        folder: format!("test/chk-{id}"),
    });
    crash_at_once(&mut job);
    job.restore = RestoreFrom::Latest;
    let text = failure(&job.run());
    assert!(text.contains("was told to begin at"), "{text}");
}

/// A job that is stopped before it has read anything, and then stops itself when it has read all
/// rows but one; so the second of its two checkpoints holds all its results.
fn stopping_itself(splits: &[Vec<String>], ledger: &Ledger) -> TestJob {
    let count = splits[0].len() - 1;
    let valve = Valve::at(0);
    let ask = Arc::new(std::sync::OnceLock::<Box<dyn Fn(bool) + Send + Sync>>::new());
    let (asked, last) = (ask.clone(), splits[0][count - 1].clone());
    let stopping = map_rows(move |row| {
        if row == last
            && let Some(stop) = asked.get()
        {
            stop(true);
        }
        Ok(vec![row.to_owned()])
    });
    let mut job = TestJob::new()
        .source("rows", 1, MemorySource::of(splits).behind(valve.clone()))
        .operator("stop", 1, "rows", Partitioning::Forward, stopping)
        .operator("count", 1, "stop", TestJob::by_prefix(), counter())
        .sink(
            "out",
            1,
            "count",
            Partitioning::Forward,
            LedgerSink::new(ledger),
        );
    job.checkpoints = Some(Config {
        retained: 5,
        ..Config::default()
    });
    assert!(ask.set(Box::new(job.stopper())).is_ok());
    stop_at_once(&mut job);
    valve.open_to(count as u64);
    let report = job.run();
    assert!(matches!(
        report.outcome,
        Ended::Stopped(StopDone {
            checkpoint: Some(_),
            ..
        })
    ));
    assert_eq!(ledger.rows().len(), count);
    valve.open_to(u64::MAX);
    job
}

#[test]
fn results_may_be_taken_away_between_a_stop_and_the_next_start() {
    let splits = [rows(0, 50, 3)];
    let ledger = Ledger::default();
    let job = stopping_itself(&splits, &ledger);
    let first = ledger.rows();
    LedgerSink::new(&ledger).clear().unwrap();
    finishes(&job);
    let mut all = [first, ledger.rows()].concat();
    all.sort();
    assert_eq!(all, counted(&splits));
}

#[test]
fn d20_what_was_committed_counts_as_shown_though_it_was_taken_away() {
    let splits = [rows(0, 50, 3)];
    let ledger = Ledger::default();
    let job = stopping_itself(&splits, &ledger);
    LedgerSink::new(&ledger).clear().unwrap();
    assert!(job.store.flip(&latest(&job), 800));
    let text = failure(&job.run());
    assert!(text.contains("has committed up to checkpoint"), "{text}");
    assert_eq!(text.matches("cannot restore").count(), 1, "{text}");
}

#[test]
fn a_number_that_was_spent_on_an_orphan_does_not_keep_a_job_at_its_beginning() {
    let splits = [rows(0, 50, 3)];
    let ledger = Ledger::default();
    let valve = Valve::at(20);
    let mut job = counting(&splits, &valve, 1, &ledger);
    job.store
        .put("test/chk-41/count/0/state", vec![b"half".to_vec()])
        .unwrap();
    job.restore = RestoreFrom::Nothing;
    crash_at_once(&mut job);
    job.restore = RestoreFrom::Latest;
    stop_at(&mut job, &ledger, 20);
    valve.open_to(u64::MAX);
    assert!(finishes(&job).restored.is_some());
    assert_eq!(ledger.sorted(), counted(&splits));
}

#[test]
fn d20_nothing_older_than_the_beginning_is_fallen_back_to() {
    let splits = [rows(0, 50, 3)];
    let ledger = Ledger::default();
    let valve = Valve::at(20);
    let mut job = counting(&splits, &valve, 1, &ledger);
    let keep = |interval_ms| {
        Some(Config {
            interval_ms,
            retained: 9,
            ..Config::default()
        })
    };
    job.checkpoints = keep(Some(2));
    stop_at(&mut job, &ledger, 20);
    // Anew, with one checkpoint that shows nothing.
    let anew = Ledger::default();
    let mut again = counting(&splits, &Valve::at(0), 1, &anew);
    again.store = job.store.clone();
    again.checkpoints = keep(None);
    again.restore = RestoreFrom::Nothing;
    stop_at_once(&mut again);
    again.restore = RestoreFrom::Latest;
    let newest = again.store.paths();
    let newest = newest.iter().filter(|p| p.ends_with("_metadata"));
    assert!(
        again
            .store
            .flip(newest.max_by_key(|p| number(p)).unwrap(), 300)
    );
    let text = failure(&again.run());
    assert!(text.contains("there is no older checkpoint"), "{text}");
    assert_eq!(text.matches("cannot restore").count(), 1, "{text}");
}

#[test]
fn a_newer_format_is_no_reason_to_go_back() {
    let splits = [rows(0, 50, 3)];
    let ledger = Ledger::default();
    let job = with_two_checkpoints(&ledger, &splits);
    let paths = job.store.paths();
    let metadata = paths.iter().filter(|p| p.ends_with("_metadata"));
    let newest = metadata.max_by_key(|p| number(p)).unwrap();
    let text = String::from_utf8(job.store.get(newest).unwrap()).unwrap();
    job.store.delete(newest).unwrap();
    let newer = text.replacen("weir-metadata v1", "weir-metadata v9", 1);
    job.store.put(newest, vec![newer.into_bytes()]).unwrap();
    let text = failure(&job.run());
    assert!(text.contains("version 9"), "{text}");
}

/// A job into an at-least-once sink whose first checkpoint never completes, though its rows show.
fn shown_too_early(splits: &[Vec<String>], ledger: &Ledger) -> TestJob {
    let mut job = TestJob::new()
        .source("rows", 1, MemorySource::of(splits))
        .operator("count", 1, "rows", TestJob::by_prefix(), counter())
        .sink(
            "out",
            1,
            "count",
            Partitioning::Forward,
            LedgerSink::new(ledger).at_least_once(),
        );
    job.checkpoints = Some(Config::default());
    job
}

#[test]
fn what_an_at_least_once_sink_showed_before_a_crash_is_no_reason_not_to_begin_again() {
    let splits = [rows(0, 50, 3)];
    let ledger = Ledger::default();
    let job = shown_too_early(&splits, &ledger);
    // The beginning, the state, and then the metadata.
    job.store.inject(3, Fault::Refuse);
    assert!(matches!(job.run().outcome, Ended::Failed(_)));
    assert_eq!(ledger.rows().len(), 50);
    finishes(&job);
    assert_eq!(ledger.rows().len(), 100, "at least once");
}

#[test]
fn what_was_there_before_a_jobs_first_start_is_refused_however_often_it_is_tried() {
    let splits = [rows(0, 50, 3)];
    let ledger = Ledger::default();
    finishes(&shown_too_early(&splits, &ledger));
    let job = shown_too_early(&splits, &ledger);
    for _ in 0..2 {
        assert!(failure(&job.run()).contains("on-existing"));
    }
}

#[test]
fn a_source_that_the_job_has_lost_is_not_begun_again_under_another_name() {
    let splits = [rows(0, 50, 3)];
    let ledger = Ledger::default();
    let valve = Valve::at(20);
    let mut job = counting(&splits, &valve, 1, &ledger);
    stop_at(&mut job, &ledger, 20);
    let mut renamed = TestJob::new()
        .source("lines", 1, MemorySource::of(&splits))
        .operator("count", 1, "lines", TestJob::by_prefix(), counter())
        .sink(
            "out",
            1,
            "count",
            Partitioning::Forward,
            LedgerSink::new(&ledger),
        );
    renamed.store = job.store.clone();
    let text = failure(&renamed.run());
    assert!(text.contains("source `rows`"), "{text}");
    assert_eq!(ledger.rows().len(), 20);
}

/// A source that ends early and one that goes on, into one counter.
fn two_sources(
    early: &[Vec<String>],
    late: &[Vec<String>],
    valve: &Valve,
    ledger: &Ledger,
) -> TestJob {
    TestJob::new()
        .source("early", 1, MemorySource::of(early))
        .source("late", 1, MemorySource::of(late).behind(valve.clone()))
        .operator(
            "count",
            1,
            "early",
            TestJob::by_prefix(),
            counter().with_inputs(2),
        )
        .and_from("late", TestJob::by_prefix())
        .sink(
            "out",
            1,
            "count",
            Partitioning::Forward,
            LedgerSink::new(ledger),
        )
}

#[test]
fn a_source_that_had_ended_reads_nothing_more_and_needs_its_splits_no_more() {
    let (early, late) = ([rows(0, 10, 3)], [rows(1, 30, 3)]);
    for then in [vec![], vec![rows(0, 10, 3), rows(2, 40, 3)]] {
        let ledger = Ledger::default();
        let valve = Valve::at(10);
        let mut job = two_sources(&early, &late, &valve, &ledger);
        stop_at(&mut job, &ledger, 20);
        let mut again = two_sources(&then, &late, &Valve::open(), &ledger);
        again.store = job.store.clone();
        finishes(&again);
        let all = [early[0].clone(), late[0].clone()];
        assert_eq!(ledger.sorted(), counted(&all));
    }
}

#[test]
fn a_job_whose_tasks_had_all_finished_before_its_final_checkpoint_finishes_after_a_crash() {
    let splits = [rows(0, 50, 3)];
    let ledger = Ledger::default();
    let finishing = Arc::new(AtomicBool::new(false));
    let begun = finishing.clone();
    let slow = map_rows(|row| Ok(vec![row.to_owned()])).with_finish(move |_| {
        // Long enough for a trigger to come that is answered when all is done.
        begun.store(true, Ordering::Relaxed);
        let began = std::time::Instant::now();
        while began.elapsed().as_millis() < 50 {
            std::hint::spin_loop();
        }
        Ok(Vec::new())
    });
    let mut job = TestJob::new()
        .source("rows", 1, MemorySource::of(&splits))
        .operator("slow", 1, "rows", Partitioning::Forward, slow)
        .sink(
            "out",
            1,
            "slow",
            Partitioning::Forward,
            LedgerSink::new(&ledger),
        );
    let stop = job.stopper();
    job.events = Events::reacting(move |event| {
        if matches!(event, JobEvent::Checkpoint(_)) && finishing.load(Ordering::Relaxed) {
            stop(false);
        }
    });
    let first = job.run();
    let cancelled = matches!(first.outcome, Ended::Cancelled | Ended::Finished);
    assert!(cancelled, "{:?}", first.outcome);
    job.events = Events::default();
    let again = job.run();
    let finished = matches!(again.outcome, Ended::Finished | Ended::AlreadyFinished(_));
    assert!(finished, "{:?}", again.outcome);
    let mut expected = splits[0].clone();
    expected.sort();
    assert_eq!(ledger.sorted(), expected);
}

#[test]
fn a_damaged_record_of_the_beginning_is_told_and_overruled() {
    let splits = [rows(0, 20, 3)];
    let ledger = Ledger::default();
    let mut job = counting(&splits, &Valve::at(0), 1, &ledger);
    crash_at_once(&mut job);
    assert!(job.store.flip("test/BEGIN-1", 3));
    assert!(failure(&job.run()).contains("BEGIN-1"));
    job = {
        let mut open = counting(&splits, &Valve::open(), 1, &ledger);
        open.store = job.store.clone();
        open
    };
    job.restore = RestoreFrom::Nothing;
    finishes(&job);
    assert_eq!(ledger.sorted(), counted(&splits));
}

#[test]
fn a_checkpoint_that_is_complete_without_an_answer_is_gone_on_from_in_the_same_process() {
    let splits = [rows(0, 50, 3)];
    let ledger = Ledger::default();
    let valve = Valve::at(20);
    let mut job = counting(&splits, &valve, 1, &ledger);
    job.restart = RESTARTS;
    // The answer to the first metadata with rows is lost, and then they cannot be deleted.
    let (lost, sink) = (Arc::new(Mutex::new(None::<String>)), ledger.clone());
    let losing = lost.clone();
    job.kept_in = Some(Hooked::new(&job.store, move |asked, path| {
        let mut lost = losing.lock().unwrap();
        let is_new = path.ends_with("_metadata") && sink.sealed() > 0 && lost.is_none();
        match asked {
            Asked::Written if is_new => {
                *lost = Some(path.to_owned());
                Err(Hooked::failure("write", path))
            }
            Asked::Delete if lost.as_deref() == Some(path) => Err(Hooked::failure("delete", path)),
            _ => Ok(()),
        }
    }));
    let opened = valve.clone();
    job.events = Events::reacting(move |event| {
        if matches!(event, JobEvent::Restoring { .. }) {
            opened.open_to(u64::MAX);
        }
    });
    assert_eq!(finishes(&job).restarts, 1);
    let lost = lost.lock().unwrap().clone().unwrap();
    assert_eq!(restored(&job), [number(&lost)]);
    assert_eq!(ledger.sorted(), counted(&splits));
}

#[test]
fn a_checkpoint_that_was_passed_over_is_not_gone_on_from_by_a_restart() {
    let splits = [rows(0, 50, 3)];
    let ledger = Ledger::default();
    let first = with_two_checkpoints(&ledger, &splits);
    let store = first.store.clone();
    let damaged = latest(&first);
    assert!(store.flip(&damaged, 99));
    // It can be read again, for the machine is mended; its transactions are gone.
    let mended = damaged.clone();
    let failed = AtomicBool::new(false);
    let counter = counter().failing_at(
        move |_| {
            let fails = !failed.swap(true, Ordering::SeqCst);
            if fails {
                assert!(store.flip(&mended, 99));
            }
            fails
        },
        || Failure::Guest {
            message: "boom".into(),
            row: None,
        },
    );
    let mut job = counting_by(counter, &splits, &Valve::open(), 1, &ledger);
    job.store = first.store.clone();
    job.checkpoints = Some(Config {
        interval_ms: None,
        retained: 5,
        ..Config::default()
    });
    job.restart = RESTARTS;
    assert_eq!(finishes(&job).restarts, 1);
    let restored = restored(&job);
    assert_eq!(restored.len(), 2, "{restored:?}");
    assert_eq!(restored[0], restored[1]);
    assert!(restored[0] < number(&damaged));
    assert_eq!(ledger.sorted(), counted(&splits));
}

/// A store of a job that another process has taken over, as long as that is said.
fn taken_over(job: &TestJob, is_taken: &Arc<AtomicBool>) -> Arc<Hooked> {
    let is_taken = is_taken.clone();
    Hooked::new(&job.store, move |asked, path| {
        match asked == Asked::Owner && is_taken.load(Ordering::SeqCst) {
            true => Err(StoreError::Refused {
                operation: "use",
                path: path.to_owned(),
                refusal: Refusal::Superseded {
                    by: "process 7".into(),
                },
            }),
            false => Ok(()),
        }
    })
}

#[test]
fn d28_who_is_superseded_recovers_no_sink() {
    let splits = [rows(0, 50, 3)];
    let ledger = Ledger::default();
    let (mut job, _) = uncommitted(&ledger, &splits);
    job.kept_in = Some(taken_over(&job, &Arc::new(AtomicBool::new(true))));
    job.restart = RESTARTS;
    let report = job.run();
    let text = failure(&report);
    assert!(
        text.contains("another process has taken the job over (process 7)"),
        "{text}"
    );
    assert_eq!(
        (report.restarts, ledger.rows().len(), ledger.sealed()),
        (0, 0, 1)
    );
}

#[test]
fn d28_who_is_superseded_stops_with_no_savepoint() {
    let splits = [rows(0, 50, 3)];
    let ledger = Ledger::default();
    let mut job = counting(&splits, &Valve::at(20), 1, &ledger);
    let is_taken = Arc::new(AtomicBool::new(false));
    job.kept_in = Some(taken_over(&job, &is_taken));
    job.checkpoints = Some(Config {
        interval_ms: None,
        ..Config::default()
    });
    let (saved, commands) = (Arc::new(MemoryStore::new()), job.commander());
    let target = SavepointTarget {
        store: saved.clone(),
        folder: "sp".into(),
        location: "mem/sp".into(),
    };
    job.events = Events::reacting(move |event| {
        if all_run(event) {
            is_taken.store(true, Ordering::SeqCst);
            drop(commands.ask(|reply| JobCommand::Stop {
                drain: false,
                savepoint: Some((target.clone(), SavepointFormat::Canonical)),
                reply,
            }));
        }
    });
    let text = failure(&job.run());
    assert!(
        text.contains("another process has taken the job over"),
        "{text}"
    );
    assert_eq!(saved.paths(), Vec::<String>::new());
    assert!(ledger.rows().is_empty());
}

#[test]
fn an_older_checkpoint_that_completes_behind_a_stop_is_not_what_the_job_ends_with() {
    let splits = [rows(0, 50, 3)];
    let ledger = Ledger::default();
    let mut job = counting(&splits, &Valve::at(20), 1, &ledger);
    job.checkpoints = Some(Config {
        interval_ms: None,
        max_concurrent: 2,
        ..Config::default()
    });
    let saved = Arc::new(MemoryStore::new());
    let target = SavepointTarget {
        store: saved.clone(),
        folder: "sp".into(),
        location: "mem/sp".into(),
    };
    // The metadata of a checkpoint wait until the stop that came behind it is complete.
    let is_stopped = Arc::new((Mutex::new(false), Condvar::new()));
    let (waits, stop) = (is_stopped.clone(), job.commander());
    job.kept_in = Some(Hooked::new(&job.store, move |asked, path| {
        if asked == Asked::Write && path.ends_with("_metadata") {
            drop(stop.ask(|reply| JobCommand::Stop {
                drain: false,
                savepoint: Some((target.clone(), SavepointFormat::Canonical)),
                reply,
            }));
            let stopped = waits.0.lock().unwrap();
            drop(waits.1.wait_while(stopped, |stopped| !*stopped).unwrap());
        }
        Ok(())
    }));
    let commands = job.commander();
    job.events = Events::reacting(move |event| match event {
        JobEvent::Running { .. } => {
            drop(commands.ask(|reply| JobCommand::Checkpoint { full: false, reply }));
        }
        JobEvent::Savepoint { .. } => {
            *is_stopped.0.lock().unwrap() = true;
            is_stopped.1.notify_all();
        }
        _ => {}
    });
    let report = job.run();
    assert!(
        matches!(report.outcome, Ended::Stopped(_)),
        "{:?}",
        report.outcome
    );
    let marks = |store: &MemoryStore| {
        let paths = store.paths();
        paths
            .iter()
            .filter(|path| path.ends_with("/_committed"))
            .count()
    };
    assert_eq!((marks(&saved), marks(&job.store)), (1, 0));
}

/// Asks a job to stop.
type Stopper = Box<dyn Fn(bool) + Send + Sync>;

#[test]
fn a_stop_that_was_asked_for_is_carried_out_by_the_next_attempt() {
    let splits = [rows(0, 50, 3)];
    let ledger = Ledger::default();
    let (stop, seen) = (Arc::new(OnceLock::new()), AtomicU32::new(0));
    let stopper: Arc<OnceLock<Stopper>> = stop.clone();
    let counter = counter().failing_at(
        move |_| {
            let fails = seen.fetch_add(1, Ordering::SeqCst) == 4;
            if fails {
                stopper.get().unwrap()(true);
            }
            fails
        },
        || Failure::Guest {
            message: "boom".into(),
            row: None,
        },
    );
    // Nothing but the stop ends it.
    let mut job = counting_by(counter, &splits, &Valve::at(20), 1, &ledger);
    assert!(stop.set(Box::new(job.stopper())).is_ok());
    job.restart = RESTARTS;
    let report = job.run();
    assert_eq!(report.restarts, 1);
    assert!(
        matches!(
            report.outcome,
            Ended::Stopped(StopDone {
                checkpoint: Some(_),
                ..
            })
        ),
        "{:?}",
        report.outcome
    );
}

#[test]
fn a_storage_that_fails_once_is_no_damaged_checkpoint() {
    let splits = [rows(0, 50, 3)];
    let ledger = Ledger::default();
    let valve = Valve::at(20);
    let mut first = counting(&splits, &valve, 1, &ledger);
    stop_at(&mut first, &ledger, 20);
    valve.open_to(u64::MAX);
    let mut fork = counting(&splits, &valve, 1, &ledger);
    fork.restart = RESTARTS;
    let stumbled = AtomicBool::new(false);
    fork.restore = RestoreFrom::Checkpoint(Foreign {
        folder: format!("test/chk-{}", number(&latest(&first))),
        store: Hooked::new(&first.store, move |asked, path| {
            let is_first = asked == Asked::Read
                && path.ends_with("state")
                && !stumbled.swap(true, Ordering::Relaxed);
            match is_first {
                true => Err(Hooked::failure("read", path)),
                false => Ok(()),
            }
        }),
    });
    assert_eq!(finishes(&fork).restarts, 1);
    assert_eq!(ledger.sorted(), counted(&splits));
}

/// The whole row is the key.
struct Whole;

impl KeySelector for Whole {
    fn select(&self, values: ColumnView<'_>, keys: &mut Column, _: &mut Vec<BadKey>) {
        keys.extend_from(values);
    }

    fn describe(&self) -> String {
        "whole row".into()
    }
}

#[test]
fn c12_state_is_not_gone_on_from_under_other_keys() {
    let splits = [rows(0, 50, 3)];
    let ledger = Ledger::default();
    let valve = Valve::at(20);
    let mut job = counting(&splits, &valve, 1, &ledger);
    stop_at(&mut job, &ledger, 20);
    valve.open_to(u64::MAX);
    let other = |store: &Arc<MemoryStore>, ledger: &Ledger| {
        let by_row = Partitioning::Hash(Arc::new(Whole));
        let out = LedgerSink::new(ledger);
        let mut job = TestJob::new()
            .source("rows", 1, MemorySource::of(&splits))
            .operator("count", 1, "rows", by_row, counter())
            .sink("out", 1, "count", Partitioning::Forward, out);
        job.store = store.clone();
        job
    };
    let report = other(&job.store, &ledger).run();
    let text = failure(&report);
    let words = "state `count` of operator `count` was keyed by prefix, the job keys by whole row";
    assert!(text.contains(words), "{text}");
    assert!(text.contains("does not fit the job"), "{text}");
    // Nothing has become of it: under its own keys it goes on.
    finishes(&job);
    assert_eq!(ledger.sorted(), counted(&splits));

    // An older host did not say what the keys are: that is not judged.
    let (metadata, store) = (latest(&job), Arc::new(MemoryStore::new()));
    let mut old = Metadata::decode(&job.store.get(&metadata).unwrap()).unwrap();
    let count = old.operators.get_mut("count").unwrap();
    assert_eq!(count.keys, [Some("prefix".to_owned())]);
    count.keys.clear();
    for object in job.store.list("test/chk-").unwrap() {
        let bytes = match object.path == metadata {
            true => old.encode().unwrap(),
            false => job.store.get(&object.path).unwrap(),
        };
        store.put(&object.path, vec![bytes]).unwrap();
    }
    finishes(&other(&store, &ledger));
}

#[test]
fn a_job_that_dies_behind_its_final_checkpoint_leaves_no_more_than_it_keeps() {
    let splits = [rows(0, 20, 3)];
    let ledger = Ledger::default();
    let valve = Valve::at(0);
    let mut job = counting(&splits, &valve, 1, &ledger);
    let keep = |retained| {
        Some(Config {
            retained,
            ..Config::default()
        })
    };
    job.checkpoints = keep(9);
    (0..2).for_each(|_| stop_at_once(&mut job));
    valve.open_to(u64::MAX);
    finishes(&job);
    let metadata = |job: &TestJob| {
        let paths = job.store.paths();
        let all = paths.into_iter().filter(|path| path.ends_with("_metadata"));
        all.collect::<Vec<_>>()
    };
    assert_eq!(metadata(&job).len(), 3);
    // As if it had died before all that comes behind the metadata.
    let (last, paths) = (latest(&job), JobPaths::new(&Name::new("test").unwrap()));
    let committed = paths.committed(CheckpointId(number(&last)));
    for path in [paths.finished(), committed.clone()] {
        job.store.get(&path).unwrap();
        job.store.delete(&path).unwrap();
    }
    job.checkpoints = keep(1);
    finishes(&job);
    assert_eq!(metadata(&job), [last]);
    let left = job.store.paths();
    assert!(
        left.contains(&paths.finished()) && left.contains(&committed),
        "{left:?}"
    );
    assert_eq!(ledger.sorted(), counted(&splits));
}

/// What a user is told of a job that fails once, when it has taken a checkpoint or has none.
fn notes_of_a_restart(source: MemorySource, checkpoints: Option<Config>) -> (Report, Vec<String>) {
    let armed = Arc::new(AtomicBool::new(checkpoints.is_none()));
    let (valve, trip) = (Valve::at(u64::from(checkpoints.is_some())), armed.clone());
    let opened = valve.clone();
    let boom = map_rows(move |row| match trip.swap(false, Ordering::Relaxed) {
        true => Err(Failure::Guest {
            message: "boom".into(),
            row: None,
        }),
        false => Ok(vec![row.to_owned()]),
    });
    if checkpoints.is_none() {
        valve.open_to(u64::MAX);
    }
    let mut job = TestJob::new()
        .source("lines", 1, source.behind(valve))
        .operator("boom", 1, "lines", Partitioning::Forward, boom)
        .listening(at_checkpoint(1, move || {
            armed.store(true, Ordering::Relaxed);
            opened.open_to(u64::MAX);
        }));
    job.checkpoints = checkpoints;
    job.restart = RESTARTS;
    let report = finishes(&job);
    assert_eq!(report.restarts, 1);
    let note = |event| match event {
        JobEvent::Note(note) => Some(note),
        JobEvent::Reading { .. }
        | JobEvent::Restoring { .. }
        | JobEvent::Running { .. }
        | JobEvent::Checkpoint(_)
        | JobEvent::CheckpointFailed { .. }
        | JobEvent::Failed(_)
        | JobEvent::Restarting { .. }
        | JobEvent::Savepoint { .. } => None,
    };
    let notes = job.events.all().into_iter().filter_map(note);
    (report, notes.collect())
}

#[test]
fn what_a_source_that_cannot_go_back_has_lost_is_told() {
    let source = MemorySource::of(&[rows(0, 20, 3)]);
    let live = source.clone().not_replayable();
    let often = || {
        Some(Config {
            interval_ms: Some(2),
            ..Config::default()
        })
    };
    assert!(notes_of_a_restart(source, often()).1.is_empty());
    let (_, notes) = notes_of_a_restart(live.clone(), often());
    let [note] = &notes[..] else {
        panic!("{notes:?}")
    };
    assert!(
        note.starts_with("rows that source `lines` gave after checkpoint "),
        "{note}"
    );
    let (_, notes) = notes_of_a_restart(live, None);
    let without =
        "rows that source `lines` gave before the restart, if any, are lost: it cannot go back";
    assert_eq!(notes, [without]);
}

/// An operator that cannot be made the first time.
struct LateRiser(Closures, AtomicBool);

impl OperatorFactory for LateRiser {
    fn descriptor(&self) -> &Descriptor {
        self.0.descriptor()
    }

    fn create(&self, task: &TaskInfo) -> Result<Box<dyn Operator>, Failure> {
        match self.1.swap(true, Ordering::Relaxed) {
            true => self.0.create(task),
            false => Err(Failure::External {
                what: "make it".into(),
                message: "not yet".into(),
            }),
        }
    }
}

#[test]
fn what_no_task_has_read_is_not_lost_in_a_restart() {
    let live = MemorySource::of(&[rows(0, 20, 3)]).not_replayable();
    let late = LateRiser(map_rows(|row| Ok(vec![row.to_owned()])), false.into());
    let mut job = TestJob::new().source("lines", 1, live).operator(
        "late",
        1,
        "lines",
        Partitioning::Forward,
        late,
    );
    job.checkpoints = None;
    job.restart = RESTARTS;
    assert_eq!(finishes(&job).restarts, 1);
    let events = job.events.all();
    let noted = events.iter().any(|e| matches!(e, JobEvent::Note(_)));
    assert!(!noted, "{events:?}");
}

#[test]
fn a_checkpoint_under_the_number_of_another_is_damaged_and_elsewhere_it_is_not() {
    let splits = [rows(0, 50, 3)];
    let ledger = Ledger::default();
    let valve = Valve::at(20);
    let mut job = counting(&splits, &valve, 1, &ledger);
    stop_at(&mut job, &ledger, 20);
    valve.open_to(u64::MAX);
    let real = number(&latest(&job));
    let (from, to) = (format!("test/chk-{real}/"), "test/chk-77/");
    let elsewhere = Arc::new(MemoryStore::new());
    for object in job.store.list(&from).unwrap() {
        let bytes = job.store.get(&object.path).unwrap();
        let path = object.path.replace(&from, to);
        job.store.put(&path, vec![bytes.clone()]).unwrap();
        elsewhere.put(&path, vec![bytes]).unwrap();
    }
    let forked = Ledger::default();
    let mut fork = counting(&splits, &Valve::open(), 1, &forked);
    fork.restore = RestoreFrom::Checkpoint(Foreign {
        folder: to.into(),
        store: elsewhere,
    });
    let restored = finishes(&fork).restored.map(|(id, _)| id);
    assert_eq!(restored, Some(CheckpointId(real)));

    job.restore = RestoreFrom::Own(CheckpointId(77));
    let text = failure(&job.run());
    assert!(
        text.contains("test/chk-77/_metadata: damaged: it is that of checkpoint"),
        "{text}"
    );
    job.restore = RestoreFrom::Latest;
    let restored = finishes(&job).restored.map(|(id, _)| id);
    assert_eq!(restored, Some(CheckpointId(real)));
    assert_eq!(ledger.sorted(), counted(&splits));
}

#[test]
fn what_a_newer_host_wrote_is_not_fallen_back_from() {
    let splits = [rows(0, 50, 3)];
    let ledger = Ledger::default();
    let job = with_two_checkpoints(&ledger, &splits);
    let path = latest(&job);
    let text = String::from_utf8(job.store.get(&path).unwrap()).unwrap();
    let body = text.split_once('\n').unwrap().1;
    let body = body.replacen("\"attempt\"", "\"news\": 1, \"attempt\"", 1);
    let (crc, length) = (crc32c::crc32c(body.as_bytes()), body.len());
    let newer = format!("weir-metadata v1 crc32c={crc:08x} length={length}\n{body}");
    job.store.delete(&path).unwrap();
    job.store.put(&path, vec![newer.into_bytes()]).unwrap();
    let told = failure(&job.run());
    assert!(
        told.contains("a newer host wrote the metadata: unknown field `news`"),
        "{told}"
    );
    assert_eq!(ledger.rows().len(), 10, "it has not run");
}
