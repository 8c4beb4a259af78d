//! Commands into a running job (C39): savepoints, checkpoints, stops, cancels, status, in all
//! states of a job.

use std::sync::Mutex;

use tokio::sync::oneshot::Receiver;
use weir_checkpoint::{CheckpointKind, FailureReason, JobPaths, Metadata, testing::MemoryStore};
use weir_model::{Name, SavepointFormat};
use weir_runtime::control::{
    CommandError, JobCommand, JobState, JobStatus, SavepointDone, SavepointTarget,
};
use weir_testkit::Commander;

use super::{
    own_state::{Keeper, finished, numbered},
    *,
};

/// An answer that is looked at when the job has ended.
type Answer<T> = Arc<Mutex<Option<Receiver<Result<T, CommandError>>>>>;

fn answer<T>(of: &Answer<T>) -> Result<T, CommandError> {
    let answer = of.lock().unwrap().take().unwrap();
    answer.blocking_recv().unwrap()
}

fn target(store: &Arc<MemoryStore>, folder: &str) -> SavepointTarget {
    SavepointTarget {
        store: store.clone(),
        folder: folder.into(),
        location: format!("mem/{folder}"),
    }
}

fn foreign(store: &Arc<MemoryStore>, folder: &str) -> RestoreFrom {
    RestoreFrom::Checkpoint(Foreign {
        store: store.clone(),
        folder: folder.into(),
    })
}

fn metadata(store: &MemoryStore, folder: &str) -> Metadata {
    Metadata::decode(&store.get(&format!("{folder}/_metadata")).unwrap()).unwrap()
}

/// Asks once, when the event is seen, and keeps the answer.
fn asking<T: Send + 'static>(
    when: impl Fn(&JobEvent) -> bool + Send + Sync + 'static,
    ask: impl Fn() -> Receiver<Result<T, CommandError>> + Send + Sync + 'static,
) -> (Events, Answer<T>) {
    let answer = Answer::default();
    let kept = answer.clone();
    let events = Events::reacting(move |event| {
        let mut kept = kept.lock().unwrap();
        if kept.is_none() && when(event) {
            *kept = Some(ask());
        }
    });
    (events, answer)
}

fn is_checkpoint(event: &JobEvent) -> bool {
    matches!(event, JobEvent::Checkpoint(_))
}

fn is_running(event: &JobEvent) -> bool {
    matches!(event, JobEvent::Running { .. })
}

fn savepoint(
    commands: &Commander,
    target: SavepointTarget,
    format: SavepointFormat,
) -> Receiver<Result<SavepointDone, CommandError>> {
    commands.ask(|reply| JobCommand::Savepoint {
        target,
        format,
        reply,
    })
}

fn stop(
    commands: &Commander,
    drain: bool,
    target: Option<SavepointTarget>,
) -> Receiver<Result<StopDone, CommandError>> {
    let savepoint = target.map(|target| (target, SavepointFormat::Canonical));
    commands.ask(|reply| JobCommand::Stop {
        drain,
        savepoint,
        reply,
    })
}

fn status(commands: &Commander) -> Receiver<Result<JobStatus, CommandError>> {
    commands.ask(|reply| JobCommand::Status { reply })
}

/// Another job goes on from a savepoint, at another parallelism, wherever it was moved to. What the
/// first one has committed since is not its business.
fn goes_on_when_moved(splits: &[Vec<String>], elsewhere: &MemoryStore, saved: &Metadata) {
    let moved = Arc::new(MemoryStore::new());
    for path in elsewhere.paths() {
        let bytes = elsewhere.get(&path).unwrap();
        moved
            .put(&path.replace("sp/one", "moved"), vec![bytes])
            .unwrap();
    }
    let other = Ledger::default();
    let mut fork = counting(splits, &Valve::open(), 3, &other);
    fork.restore = foreign(&moved, "moved");
    let report = fork.run();
    finished(&report);
    assert_eq!(report.restored.map(|(id, _)| id), Some(saved.checkpoint));
    let mut rest = counted(splits);
    let read: usize = saved.sources.values().flat_map(|s| &s.open).count();
    assert!(read <= 2);
    // It counts on from where the savepoint was: what it shows is the end of what all rows give.
    for row in other.sorted() {
        let at = rest.iter().position(|r| *r == row);
        rest.remove(at.unwrap_or_else(|| panic!("{row} was counted twice")));
    }
}

#[test]
fn c39_a_savepoint_is_written_elsewhere_commits_nothing_and_the_job_goes_on() {
    let splits = [rows(0, 200, 7), rows(1, 100, 7)];
    let ledger = Ledger::default();
    let valve = Valve::at(40);
    let mut job = counting(&splits, &valve, 2, &ledger);
    // No checkpoint but the final one: what is committed before is committed by the savepoint.
    job.checkpoints = Some(Config::default());
    let elsewhere = Arc::new(MemoryStore::new());
    let (commands, to, opened) = (job.commander(), elsewhere.clone(), valve.clone());
    let seen = Arc::new(Mutex::new(None));
    let (committed, ledger_then) = (seen.clone(), ledger.clone());
    let asked = Answer::default();
    let kept = asked.clone();
    job.events = Events::reacting(move |event| match event {
        JobEvent::Running { .. } => {
            let ask = savepoint(&commands, target(&to, "sp/one"), SavepointFormat::Canonical);
            *kept.lock().unwrap() = Some(ask);
        }
        JobEvent::Savepoint { .. } => {
            *committed.lock().unwrap() = Some(ledger_then.rows().len());
            opened.open_to(u64::MAX);
        }
        _ => {}
    });
    finished(&job.run());
    let done = answer(&asked).unwrap();
    assert_eq!(done.location, "mem/sp/one");
    assert_eq!(
        *seen.lock().unwrap(),
        Some(0),
        "a savepoint commits nothing"
    );
    assert_eq!(ledger.sorted(), counted(&splits));
    let saved = metadata(&elsewhere, "sp/one");
    assert_eq!(saved.kind, CheckpointKind::Savepoint);
    assert_eq!(saved.savepoint, Some(SavepointFormat::Canonical));
    let inside = |path: &String| path.starts_with("sp/one/");
    assert!(
        elsewhere.paths().iter().all(inside),
        "{:?}",
        elsewhere.paths()
    );
    assert!(saved.files().iter().all(|file| !file.path.contains("..")));
    // Nothing of it lies among the checkpoints, and it has a number like one.
    let own = format!("test/chk-{}/", saved.checkpoint);
    assert!(!job.store.paths().iter().any(|path| path.starts_with(&own)));

    goes_on_when_moved(&splits, &elsewhere, &saved);
}

#[test]
fn a_savepoint_is_not_gone_on_from_by_itself() {
    let splits = [rows(0, 100, 3)];
    let ledger = Ledger::default();
    let valve = Valve::at(30);
    let mut job = counting(&splits, &valve, 1, &ledger);
    job.checkpoints = Some(Config::default());
    let store = job.store.clone();
    let commands = job.commander();
    let (stopper, asking_store) = (job.stopper(), store.clone());
    job.events = Events::reacting(move |event| match event {
        JobEvent::Running { .. } => {
            let at = target(&asking_store, "sp");
            drop(savepoint(&commands, at, SavepointFormat::Native));
        }
        JobEvent::Savepoint { .. } => stopper(false),
        _ => {}
    });
    assert!(matches!(job.run().outcome, Ended::Cancelled));
    assert!(store.get("sp/_metadata").is_ok());
    valve.open_to(u64::MAX);
    job.events = Events::default();
    let report = job.run();
    finished(&report);
    assert!(report.restored.is_none(), "{:?}", report.restored);
    assert_eq!(ledger.sorted(), counted(&splits));
}

/// A keeper over a source with `seen` rows before the valve; what it was called for.
fn kept(rows: usize, valve: &Valve) -> (TestJob, Keeper) {
    let keeper = Keeper::new(1);
    let source = MemorySource::of(&[numbered("r", rows)]).behind(valve.clone());
    let mut job = TestJob::new().source("rows", 1, source).operator(
        "keep",
        1,
        "rows",
        Partitioning::Forward,
        keeper.clone(),
    );
    job.checkpoints = Some(Config::default());
    (job, keeper)
}

#[test]
fn c39_a_stop_calls_snapshot_and_complete_and_does_not_finish() {
    for with_savepoint in [false, true] {
        let (mut job, keeper) = kept(5, &Valve::at(3));
        let (commands, store) = (job.commander(), job.store.clone());
        let (events, asked) = asking(is_running, move || {
            let to = with_savepoint.then(|| target(&store, "sp"));
            stop(&commands, false, to)
        });
        job.events = events;
        let report = job.run();
        let done = answer(&asked).unwrap();
        assert_eq!(done.checkpoint, Some(CheckpointId(1)));
        assert_eq!(done.savepoint.is_some(), with_savepoint);
        assert!(!done.drained);
        assert!(matches!(report.outcome, Ended::Stopped(of) if of == done));
        let calls = keeper.calls_without_rows();
        let expected = [
            "initialize restored=false",
            "open",
            "snapshot 1",
            "complete 1",
        ];
        assert_eq!(calls, expected);
        if with_savepoint {
            let saved = metadata(&job.store, "sp");
            assert_eq!(saved.kind, CheckpointKind::Stop);
        }
    }
}

#[test]
fn c39_a_stop_with_drain_finishes_all_operators_first() {
    for with_savepoint in [false, true] {
        let (mut job, keeper) = kept(5, &Valve::at(3));
        let (commands, store) = (job.commander(), job.store.clone());
        let (events, asked) = asking(is_running, move || {
            let to = with_savepoint.then(|| target(&store, "sp"));
            stop(&commands, true, to)
        });
        job.events = events;
        let report = job.run();
        let done = answer(&asked).unwrap();
        assert!(done.drained);
        assert_eq!(done.savepoint.is_some(), with_savepoint);
        assert!(matches!(report.outcome, Ended::Stopped(of) if of == done));
        let expected = [
            "initialize restored=false",
            "open",
            "end of input 0",
            "finish",
            "snapshot 1",
            "complete 1",
        ];
        assert_eq!(keeper.calls_without_rows(), expected);
        // It has finished, and says so to whoever starts it again.
        let again = job.run();
        let at = if with_savepoint { "sp" } else { "chk-1" };
        assert!(
            matches!(&again.outcome, Ended::AlreadyFinished(with) if with.contains(at)),
            "{:?}",
            again.outcome
        );
    }
}

/// A counting job that stops with a savepoint after its second checkpoint.
fn stopped_with_savepoint(
    splits: &[Vec<String>],
    valve: &Valve,
    ledger: &Ledger,
) -> (TestJob, Answer<StopDone>) {
    let mut job = counting(splits, valve, 2, ledger);
    let (commands, store) = (job.commander(), job.store.clone());
    let (events, asked) = asking(is_checkpoint, move || {
        stop(&commands, false, Some(target(&store, "sp")))
    });
    job.events = events;
    (job, asked)
}

#[test]
fn a_job_that_stopped_with_a_savepoint_goes_on_from_it_with_each_row_once() {
    let splits = [rows(0, 300, 5), rows(1, 200, 5)];
    let ledger = Ledger::default();
    let valve = Valve::at(80);
    let (mut job, asked) = stopped_with_savepoint(&splits, &valve, &ledger);
    assert!(matches!(job.run().outcome, Ended::Stopped(_)));
    assert!(answer(&asked).unwrap().savepoint.is_some());
    assert_eq!(ledger.sealed(), 0, "a stop commits what it has sealed");
    assert!(job.store.get("sp/_committed").is_ok());

    // A plain start would go on from an older checkpoint, and repeat what was committed since.
    job.events = Events::default();
    let refused = failure(&job.run());
    assert!(refused.contains("mem/sp"), "{refused}");

    valve.open_to(u64::MAX);
    job.restore = foreign(&job.store, "sp");
    finished(&job.run());
    assert_eq!(ledger.sorted(), counted(&splits));
}

#[test]
fn what_a_stop_left_uncommitted_is_committed_before_the_job_ends() {
    let splits = [rows(0, 300, 5)];
    let ledger = Ledger::default();
    let valve = Valve::at(80);
    // When so many rows are there it is asked to stop; the commit of what they give will fail.
    let (seen, asked) = (AtomicU32::new(0), Answer::default());
    let kept = asked.clone();
    let failing = ledger.clone();
    let commands = Commander::default();
    let (commander, store) = (commands.clone(), Arc::new(MemoryStore::new()));
    let to = store.clone();
    let map = map_rows(move |row| {
        if seen.fetch_add(1, Ordering::Relaxed) == 40 {
            failing.fail_commits(1);
            let ask = stop(&commander, false, Some(target(&to, "sp")));
            *kept.lock().unwrap() = Some(ask);
        }
        Ok(vec![row.to_owned()])
    });
    let source = |valve: &Valve| MemorySource::of(&splits).reading(10).behind(valve.clone());
    let mut job = TestJob::new()
        .source("rows", 1, source(&valve))
        .operator("map", 1, "rows", Partitioning::Forward, map)
        .operator("count", 1, "map", TestJob::by_prefix(), counter())
        .sink(
            "out",
            1,
            "count",
            Partitioning::Forward,
            LedgerSink::new(&ledger),
        );
    job.commands = commands;
    job.checkpoints = Some(Config::default());
    job.restart = RESTARTS;
    let report = job.run();
    let done = answer(&asked).unwrap();
    assert!(matches!(&report.outcome, Ended::Stopped(of) if *of == done));
    assert_eq!((report.restarts, ledger.sealed()), (1, 0));
    valve.open_to(u64::MAX);
    job.events = Events::default();
    job.restore = foreign(&store, "sp");
    finished(&job.run());
    assert_eq!(ledger.sorted(), counted(&splits));
}

#[test]
fn a_stop_whose_savepoint_fails_leaves_the_job_running() {
    for drain in [false, true] {
        let splits = [rows(0, 100, 3)];
        let ledger = Ledger::default();
        let valve = Valve::at(30);
        let mut job = counting(&splits, &valve, 1, &ledger);
        let elsewhere = Arc::new(MemoryStore::new());
        elsewhere.inject(1, Fault::Refuse);
        let (commands, to) = (job.commander(), elsewhere.clone());
        let (asked, opened) = (Answer::default(), valve.clone());
        let kept = asked.clone();
        job.events = Events::reacting(move |event| match event {
            JobEvent::Checkpoint(_) => {
                let mut kept = kept.lock().unwrap();
                kept.get_or_insert_with(|| stop(&commands, drain, Some(target(&to, "sp"))));
            }
            JobEvent::CheckpointFailed { .. } => opened.open_to(u64::MAX),
            _ => {}
        });
        let report = job.run();
        let error = answer(&asked).unwrap_err();
        assert!(matches!(error, CommandError::Failed { .. }), "{error}");
        finished(&report);
        assert_eq!(report.restarts, 0, "nothing of the job has failed");
        assert_eq!(ledger.sorted(), counted(&splits));
        assert!(elsewhere.paths().is_empty(), "{:?}", elsewhere.paths());
    }
}

#[test]
fn a_savepoint_that_fails_leaves_nothing_behind_and_is_told() {
    let splits = [rows(0, 100, 3)];
    let ledger = Ledger::default();
    let valve = Valve::at(30);
    let mut job = counting(&splits, &valve, 1, &ledger);
    let elsewhere = Arc::new(MemoryStore::new());
    // The state is written, the metadata are not.
    elsewhere.inject(2, Fault::Refuse);
    let (commands, to, opened) = (job.commander(), elsewhere.clone(), valve.clone());
    let asked = Answer::default();
    let kept = asked.clone();
    job.events = Events::reacting(move |event| match event {
        JobEvent::Running { .. } => {
            let at = target(&to, "sp");
            let ask = savepoint(&commands, at, SavepointFormat::Canonical);
            *kept.lock().unwrap() = Some(ask);
        }
        JobEvent::CheckpointFailed { .. } => opened.open_to(u64::MAX),
        _ => {}
    });
    finished(&job.run());
    let error = answer(&asked).unwrap_err();
    let CommandError::Failed { reason, message } = &error else {
        panic!("{error}")
    };
    assert_eq!(*reason, FailureReason::FinalizeCheckpointFailure);
    assert!(message.starts_with("savepoint 1 failed"), "{message}");
    assert!(elsewhere.paths().is_empty(), "{:?}", elsewhere.paths());
    assert_eq!(ledger.sorted(), counted(&splits));
}

#[test]
fn what_a_process_left_that_died_in_a_savepoint_is_nothing_to_begin_with() {
    let splits = [rows(0, 100, 3)];
    let ledger = Ledger::default();
    let mut job = counting(&splits, &Valve::at(30), 1, &ledger);
    job.checkpoints = Some(Config::default());
    let elsewhere = Arc::new(MemoryStore::new());
    // As `kill -9` does: the state is there, the metadata are not, and nothing is cleaned up.
    elsewhere.inject(2, Fault::Freeze);
    let (commands, to, stopper) = (job.commander(), elsewhere.clone(), job.stopper());
    job.events = Events::reacting(move |event| match event {
        JobEvent::Running { .. } => {
            let at = target(&to, "sp");
            drop(savepoint(&commands, at, SavepointFormat::Canonical));
        }
        JobEvent::CheckpointFailed { .. } => stopper(false),
        _ => {}
    });
    assert!(matches!(job.run().outcome, Ended::Cancelled));
    elsewhere.thaw();
    assert!(!elsewhere.paths().is_empty());
    assert!(elsewhere.get("sp/_metadata").is_err());
    let mut other = counting(&splits, &Valve::open(), 1, &Ledger::default());
    other.restore = foreign(&elsewhere, "sp");
    let refused = failure(&other.run());
    assert!(refused.contains("sp/_metadata"), "{refused}");
}

#[test]
fn a_manual_checkpoint_is_answered_with_what_it_came_to() {
    let splits = [rows(0, 100, 3)];
    let ledger = Ledger::default();
    let valve = Valve::at(30);
    let mut job = counting(&splits, &valve, 1, &ledger);
    job.checkpoints = Some(Config::default());
    let (commands, opened) = (job.commander(), valve.clone());
    let asked = Answer::default();
    let kept = asked.clone();
    job.events = Events::reacting(move |event| match event {
        JobEvent::Running { .. } => {
            let ask = commands.ask(|reply| JobCommand::Checkpoint { full: true, reply });
            *kept.lock().unwrap() = Some(ask);
        }
        JobEvent::Checkpoint(_) => opened.open_to(u64::MAX),
        _ => {}
    });
    let report = job.run();
    finished(&report);
    let stats = answer(&asked).unwrap();
    assert_eq!(stats.id, CheckpointId(1));
    assert!(stats.bytes > 0);
    assert_eq!(report.completed, 2, "it and the final one");
}

#[test]
fn a_job_is_cancelled_and_its_checkpoints_are_kept_or_not() {
    for retain_on_cancel in [true, false] {
        let ledger = Ledger::default();
        let mut job = counting(&[rows(0, 100, 3)], &Valve::at(10), 2, &ledger);
        job.checkpoints = Some(Config {
            interval_ms: Some(5),
            retain_on_cancel,
            retained: 3,
            ..Config::default()
        });
        let commands = job.commander();
        let (events, asked) = asking(is_checkpoint, move || {
            commands.ask(|reply| JobCommand::Cancel { reply })
        });
        job.events = events;
        assert!(matches!(job.run().outcome, Ended::Cancelled));
        assert_eq!(answer(&asked), Ok(()));
        let paths = job.store.paths();
        let kept = paths.iter().any(|path| path.contains("/chk-"));
        assert_eq!(kept, retain_on_cancel, "{paths:?}");
    }
}

#[test]
fn a_signal_keeps_the_checkpoints_whatever_a_cancel_does() {
    let ledger = Ledger::default();
    let mut job = counting(&[rows(0, 100, 3)], &Valve::at(10), 2, &ledger);
    job.checkpoints = Some(Config {
        interval_ms: Some(5),
        retain_on_cancel: false,
        ..Config::default()
    });
    let stopper = job.stopper();
    job.events = at_checkpoint(1, move || stopper(false));
    assert!(matches!(job.run().outcome, Ended::Cancelled));
    assert!(job.store.paths().iter().any(|path| path.contains("/chk-")));
}

#[test]
fn an_interval_is_changed_while_the_job_runs_and_bad_ones_are_refused() {
    let splits = [rows(0, 100, 3)];
    let ledger = Ledger::default();
    let valve = Valve::at(30);
    let mut job = counting(&splits, &valve, 1, &ledger);
    job.checkpoints = Some(Config::default());
    let (commands, opened) = (job.commander(), valve.clone());
    let answers = Arc::new(Mutex::new(Vec::new()));
    let kept = answers.clone();
    job.events = Events::reacting(move |event| match event {
        JobEvent::Running { .. } => {
            for interval_ms in [Some(9), Some(10)] {
                let set = |reply| JobCommand::SetInterval { interval_ms, reply };
                kept.lock().unwrap().push(commands.ask(set));
            }
        }
        JobEvent::Checkpoint(_) => opened.open_to(u64::MAX),
        _ => {}
    });
    let report = job.run();
    finished(&report);
    assert!(report.completed >= 2);
    let answers = std::mem::take(&mut *answers.lock().unwrap());
    let answers: Vec<_> = answers
        .into_iter()
        .map(|a| a.blocking_recv().unwrap())
        .collect();
    assert_eq!(answers, [Err(CommandError::Interval(9)), Ok(())]);
}

#[test]
fn the_status_tells_of_tasks_rows_and_checkpoints() {
    let splits = [rows(0, 100, 3)];
    let ledger = Ledger::default();
    let valve = Valve::at(30);
    let mut job = counting(&splits, &valve, 2, &ledger);
    let (commands, opened) = (job.commander(), valve.clone());
    let (events, asked) = asking(is_checkpoint, move || {
        opened.open_to(u64::MAX);
        status(&commands)
    });
    job.events = events;
    finished(&job.run());
    let status = answer(&asked).unwrap();
    assert!(
        matches!(status.state, JobState::Running | JobState::Finishing),
        "{status:?}"
    );
    assert_eq!(status.checkpoints.completed, 1);
    assert_eq!(status.checkpoints.interval_ms, Some(5));
    let nodes: Vec<_> = status
        .nodes
        .iter()
        .map(|n| (n.name.as_str(), n.running))
        .collect();
    assert_eq!(nodes, [("rows", 2), ("count", 2), ("out", 2)]);
    assert!(status.nodes[1].rows_in <= 100);
}

#[test]
fn while_not_all_tasks_run_only_status_and_cancel_do_anything() {
    // It fails as it opens, and starts again after an hour: meanwhile it is asked.
    let broken = map_rows(|_| {
        Err(Failure::Guest {
            message: "boom".into(),
            row: None,
        })
    });
    let mut job = TestJob::new()
        .source("rows", 1, MemorySource::of(&[rows(0, 5, 1)]))
        .operator("broken", 1, "rows", Partitioning::Forward, broken);
    job.restart = RestartStrategy::FixedDelay {
        attempts: None,
        delay_ms: 3_600_000,
    };
    let store = job.store.clone();
    let commands = job.commander();
    let answers = Arc::new(Mutex::new(None));
    let kept = answers.clone();
    job.events = Events::reacting(move |event| {
        if matches!(event, JobEvent::Restarting { .. }) {
            let at = target(&store, "sp");
            *kept.lock().unwrap() = Some((
                savepoint(&commands, at.clone(), SavepointFormat::Canonical),
                stop(&commands, false, Some(at)),
                status(&commands),
                commands.ask(|reply| JobCommand::SetInterval {
                    interval_ms: None,
                    reply,
                }),
                commands.ask(|reply| JobCommand::Cancel { reply }),
            ));
        }
    });
    assert!(matches!(job.run().outcome, Ended::Cancelled));
    let (savepoint, stop, status, interval, cancel) = answers.lock().unwrap().take().unwrap();
    let restarting = CommandError::NotRunning(JobState::Restarting);
    assert_eq!(savepoint.blocking_recv().unwrap(), Err(restarting.clone()));
    assert_eq!(stop.blocking_recv().unwrap(), Err(restarting));
    let status = status.blocking_recv().unwrap().unwrap();
    assert_eq!((status.state, status.restarts), (JobState::Restarting, 1));
    assert!(status.failure.unwrap().contains("boom"));
    assert_eq!(interval.blocking_recv().unwrap(), Ok(()));
    assert_eq!(cancel.blocking_recv().unwrap(), Ok(()));
}

#[test]
fn while_the_job_restores_it_says_that_it_starts() {
    let ledger = Ledger::default();
    let valve = Valve::at(10);
    let mut job = counting(&[rows(0, 100, 3)], &valve, 1, &ledger);
    let stopper = job.stopper();
    job.events = at_checkpoint(2, move || stopper(true));
    assert!(matches!(job.run().outcome, Ended::Stopped(_)));
    let commands = job.commander();
    let store = job.store.clone();
    let answers = Arc::new(Mutex::new(None));
    let (kept, opened) = (answers.clone(), valve.clone());
    job.events = Events::reacting(move |event| {
        if matches!(event, JobEvent::Reading { .. }) {
            opened.open_to(u64::MAX);
            let at = target(&store, "sp");
            let asked = savepoint(&commands, at, SavepointFormat::Canonical);
            *kept.lock().unwrap() = Some((asked, status(&commands)));
        }
    });
    finished(&job.run());
    let (savepoint, status) = answers.lock().unwrap().take().unwrap();
    let starting = CommandError::NotRunning(JobState::Starting);
    assert_eq!(savepoint.blocking_recv().unwrap(), Err(starting));
    assert_eq!(
        status.blocking_recv().unwrap().unwrap().state,
        JobState::Starting
    );
}

#[test]
fn what_is_asked_of_a_job_that_finishes_or_stops_is_refused() {
    // The final checkpoint hangs in its snapshot until all was asked.
    let (asked, wait) = std::sync::mpsc::channel::<()>();
    let wait = Arc::new(Mutex::new(wait));
    let hang = move |_: CheckpointId| {
        let _ = wait.lock().unwrap().recv();
        Ok(())
    };
    let keeper = Keeper::new(1).refusing(hang);
    let mut job = TestJob::new()
        .source("rows", 1, MemorySource::of(&[numbered("r", 3)]))
        .operator("keep", 1, "rows", Partitioning::Forward, keeper.clone());
    job.checkpoints = Some(Config::default());
    let commands = job.commander();
    let store = job.store.clone();
    let runs = std::thread::spawn(move || job.run());
    // It is in its last snapshot when that was called for.
    while keeper.count("snapshot 1") == 0 {
        std::thread::yield_now();
    }
    let at = || target(&store, "sp");
    let saved = savepoint(&commands, at(), SavepointFormat::Canonical);
    let stopped = stop(&commands, false, None);
    let now = status(&commands);
    let finishing = CommandError::Ending(JobState::Finishing);
    assert_eq!(saved.blocking_recv().unwrap(), Err(finishing.clone()));
    assert_eq!(stopped.blocking_recv().unwrap(), Err(finishing));
    let now = now.blocking_recv().unwrap().unwrap();
    assert_eq!(now.state, JobState::Finishing);
    assert_eq!(now.nodes[0].ended, 1, "{now:?}");
    asked.send(()).unwrap();
    finished(&runs.join().unwrap());
    let late = commands.ask(|reply| JobCommand::Status { reply });
    drop(commands);
    drop(late);
}

#[test]
fn a_second_stop_is_refused_and_the_first_is_carried_out() {
    let (mut job, _) = kept(5, &Valve::at(3));
    let (commands, store) = (job.commander(), job.store.clone());
    let second = Answer::default();
    let kept_second = second.clone();
    let (events, first) = asking(is_running, move || {
        let first = stop(&commands, false, Some(target(&store, "one")));
        let again = stop(&commands, true, Some(target(&store, "two")));
        *kept_second.lock().unwrap() = Some(again);
        first
    });
    job.events = events;
    assert!(matches!(job.run().outcome, Ended::Stopped(_)));
    assert!(answer(&first).is_ok());
    let error = answer(&second).unwrap_err();
    assert_eq!(error, CommandError::Ending(JobState::Stopping));
}

#[test]
fn a_job_without_checkpoints_can_be_stopped_and_has_nothing_to_save() {
    let (mut job, _) = kept(5, &Valve::at(3));
    job.checkpoints = None;
    let (commands, store) = (job.commander(), job.store.clone());
    let saved = Answer::default();
    let kept_saved = saved.clone();
    let (events, stopped) = asking(is_running, move || {
        let at = target(&store, "sp");
        let ask = savepoint(&commands, at, SavepointFormat::Canonical);
        *kept_saved.lock().unwrap() = Some(ask);
        stop(&commands, false, None)
    });
    job.events = events;
    assert!(matches!(job.run().outcome, Ended::Stopped(_)));
    assert_eq!(answer(&saved), Err(CommandError::NoCheckpoints));
    assert_eq!(answer(&stopped).unwrap().checkpoint, None);
}

#[test]
fn a_savepoint_does_not_go_into_the_root_of_a_store() {
    let (mut job, _) = kept(5, &Valve::at(3));
    let (commands, store, stopper) = (job.commander(), job.store.clone(), job.stopper());
    let (events, asked) = asking(is_running, move || {
        let ask = savepoint(&commands, target(&store, "/"), SavepointFormat::Canonical);
        stopper(true);
        ask
    });
    job.events = events;
    assert!(matches!(job.run().outcome, Ended::Stopped(_)));
    assert_eq!(answer(&asked), Err(CommandError::NoFolder));
}

#[test]
fn finished_tasks_are_part_of_a_savepoint() {
    // One source has ended, the other waits behind its valve.
    let ledger = Ledger::default();
    let valve = Valve::at(2);
    let done = MemorySource::of(&[numbered("k-", 4)]);
    let open = MemorySource::of(&[numbered("k-", 9)]).behind(valve.clone());
    let mut job = TestJob::new()
        .source("done", 1, done)
        .source("open", 1, open)
        .operator(
            "count",
            1,
            "done",
            TestJob::by_prefix(),
            counter().with_inputs(2),
        )
        .and_from("open", TestJob::by_prefix())
        .sink(
            "out",
            1,
            "count",
            Partitioning::Forward,
            LedgerSink::new(&ledger),
        );
    let (commands, store) = (job.commander(), job.store.clone());
    let asked = Answer::default();
    let kept = asked.clone();
    job.events = Events::reacting(move |event| {
        // Until a status says that `done` has ended, checkpoint after checkpoint.
        if is_checkpoint(event) {
            let mut kept = kept.lock().unwrap();
            kept.get_or_insert_with(|| stop(&commands, false, Some(target(&store, "sp"))));
        }
    });
    assert!(matches!(job.run().outcome, Ended::Stopped(_)));
    answer(&asked).unwrap();
    let saved = metadata(&job.store, "sp");
    assert_eq!(saved.operators.len(), 4);
    valve.open_to(u64::MAX);
    job.events = Events::default();
    job.restore = foreign(&job.store, "sp");
    finished(&job.run());
    let mut all: Vec<String> = (1..=13).map(|n| format!("k={n}")).collect();
    all.sort();
    assert_eq!(ledger.sorted(), all);
}

#[test]
fn paths_of_savepoints_are_nobodys_checkpoints() {
    let paths = JobPaths::new(&Name::new("test").unwrap());
    assert_eq!(
        paths.checkpoint_of("test/savepoint-test-0123456789ab/_metadata"),
        None
    );
}
