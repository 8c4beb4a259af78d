//! Failover by region (semantics 1.16): two graphs in one job that no edge joins. What fails of one
//! leaves the other running, and what is committed of both is each row once.

use std::sync::{Condvar, Mutex};

use tokio::sync::oneshot::Receiver;
use weir_checkpoint::testing::{Asked, Hooked};
use weir_operator::{
    Descriptor, Discovery, Operator, OperatorFactory, SourceFactory, SourceReader, TaskInfo,
};
use weir_runtime::control::{
    CommandError, JobCommand, JobState, JobStatus, SavepointDone, SavepointTarget,
};

use super::*;

/// Counts how often the tasks of an operator are made.
struct Made<F>(F, Arc<AtomicU32>);

impl<F: OperatorFactory> OperatorFactory for Made<F> {
    fn descriptor(&self) -> &Descriptor {
        self.0.descriptor()
    }

    fn create(&self, task: &TaskInfo) -> Result<Box<dyn Operator>, Failure> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.create(task)
    }
}

/// A source that does something before it looks for splits: how often it has looked is given.
struct Looking<F>(MemorySource, AtomicU32, F);

impl<F: Fn(u32) -> Result<(), Failure> + Send + Sync> SourceFactory for Looking<F> {
    fn discover(&self) -> Result<Discovery, Failure> {
        (self.2)(self.1.fetch_add(1, Ordering::Relaxed) + 1)?;
        self.0.discover()
    }

    fn reader(&self, task: &TaskInfo) -> Result<Box<dyn SourceReader>, Failure> {
        self.0.reader(task)
    }

    fn replayable(&self) -> bool {
        self.0.replayable()
    }
}

fn looking<F>(source: MemorySource, look: F) -> Looking<F>
where
    F: Fn(u32) -> Result<(), Failure> + Send + Sync,
{
    Looking(source, AtomicU32::new(0), look)
}

/// Fails each row for which `fails` says so; else gives it on.
fn failing(fails: impl Fn(&str) -> bool + Send + Sync + 'static) -> Closures {
    map_rows(move |row| match fails(row) {
        true => Err(Failure::Guest {
            message: format!("boom at {row}"),
            row: None,
        }),
        false => Ok(vec![row.to_owned()]),
    })
}

/// One of the two graphs: `<name>-rows -> <name>-map -> <name>-count -> <name>-out`.
struct Graph {
    name: &'static str,
    splits: Vec<Vec<String>>,
    ledger: Ledger,
    made: Arc<AtomicU32>,
}

impl Graph {
    fn new(name: &'static str, splits: Vec<Vec<String>>) -> Self {
        Self {
            name,
            splits,
            ledger: Ledger::default(),
            made: Arc::default(),
        }
    }

    fn source(&self, valve: &Valve) -> MemorySource {
        MemorySource::of(&self.splits)
            .reading(7)
            .behind(valve.clone())
    }

    fn add(&self, job: TestJob, source: impl SourceFactory + 'static, map: Closures) -> TestJob {
        let name = |part: &str| format!("{}-{part}", self.name);
        job.source(&name("rows"), 2, source)
            .operator(
                &name("map"),
                2,
                &name("rows"),
                Partitioning::Forward,
                Made(map, self.made.clone()),
            )
            .operator(
                &name("count"),
                2,
                &name("map"),
                TestJob::by_prefix(),
                counter(),
            )
            .sink(
                &name("out"),
                2,
                &name("count"),
                Partitioning::Forward,
                LedgerSink::new(&self.ledger),
            )
    }

    #[track_caller]
    fn check(&self) {
        assert_eq!(self.ledger.sorted(), counted(&self.splits), "{}", self.name);
        assert_eq!(self.ledger.sealed(), 0, "{}", self.name);
    }

    /// How often its tasks were made.
    fn attempts(&self) -> u32 {
        self.made.load(Ordering::Relaxed) / 2
    }
}

#[track_caller]
fn finished(report: &Report) {
    let finished = matches!(report.outcome, Ended::Finished);
    assert!(finished, "{:?}", report.outcome);
}

/// Something that one thread waits for.
#[derive(Clone, Default)]
struct Flag(Arc<(Mutex<bool>, Condvar)>);

impl Flag {
    fn raise(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }

    fn wait(&self) {
        let raised = self.0.0.lock().unwrap();
        drop(self.0.1.wait_while(raised, |raised| !*raised).unwrap());
    }
}

#[test]
fn the_failure_of_one_region_leaves_the_other_running() {
    let one = Graph::new("a", vec![rows(0, 200, 5), rows(1, 100, 5)]);
    let two = Graph::new("b", vec![rows(0, 300, 5)]);
    let (valve, armed) = (Valve::at(50), Arc::new(AtomicBool::new(false)));
    let trip = armed.clone();
    let map = failing(move |_| trip.swap(false, Ordering::Relaxed));
    // The first graph is held up while it starts again, until the second has gone on to its end.
    let went_on = Flag::default();
    let (wait, raise) = (went_on.clone(), went_on);
    let source = looking(one.source(&valve), move |looked| {
        if looked == 2 {
            wait.wait();
        }
        Ok(())
    });
    let job = one.add(TestJob::new(), source, map);
    let other = failing(move |row| {
        if row.ends_with("-299") {
            raise.raise();
        }
        false
    });
    let mut job = two.add(job, two.source(&valve), other);
    let (opened, seen) = (valve.clone(), AtomicU32::new(0));
    job.events = Events::reacting(move |event| match event {
        JobEvent::Checkpoint(_) if seen.fetch_add(1, Ordering::Relaxed) == 2 => {
            armed.store(true, Ordering::Relaxed);
            opened.open_to(60);
        }
        JobEvent::Restarting { .. } => opened.open_to(u64::MAX),
        _ => {}
    });
    job.restart = RESTARTS;
    let report = job.run();
    finished(&report);
    one.check();
    two.check();
    assert_eq!((report.restarts, one.attempts(), two.attempts()), (1, 2, 1));
    let restored = job.events.all();
    let restored = restored
        .iter()
        .filter(|event| matches!(event, JobEvent::Restoring { .. }));
    assert_eq!(restored.count(), 1, "from its latest checkpoint");
}

#[test]
fn a_region_reads_only_what_it_has_in_the_checkpoint() {
    for incremental in [false, true] {
        let one = Graph::new("a", vec![rows(0, 200, 5)]);
        let two = Graph::new("b", vec![rows(0, 200, 5)]);
        let (valve, armed) = (Valve::at(50), Arc::new(AtomicBool::new(false)));
        let trip = armed.clone();
        let map = failing(move |_| trip.swap(false, Ordering::Relaxed));
        let job = one.add(TestJob::new(), one.source(&valve), map);
        let mut job = two.add(job, two.source(&valve), failing(|_| false));
        let read = Arc::new(Mutex::new(Vec::new()));
        let noted = read.clone();
        job.kept_in = Some(Hooked::new(&job.store, move |asked, path| {
            if asked == Asked::Read {
                noted.lock().unwrap().push(path.to_owned());
            }
            Ok(())
        }));
        if let Some(config) = &mut job.checkpoints {
            config.incremental = incremental;
        }
        job.events = at_checkpoint(3, move || {
            armed.store(true, Ordering::Relaxed);
            valve.open_to(u64::MAX);
        });
        job.restart = RESTARTS;
        let report = job.run();
        finished(&report);
        one.check();
        two.check();
        assert_eq!((report.restarts, one.attempts(), two.attempts()), (1, 2, 1));
        let read = read.lock().unwrap();
        let of = |graph: &str| {
            let here = |path: &&String| path.contains(&format!("/{graph}-count/"));
            read.iter().filter(here).count()
        };
        assert!(of("a") > 0 && of("b") == 0, "{read:?}");
    }
}

#[test]
fn a_region_that_is_down_when_the_last_checkpoint_completes_does_not_read_on() {
    let one = Graph::new("a", vec![rows(0, 200, 5)]);
    let two = Graph::new("b", vec![rows(0, 200, 5)]);
    let valve = Valve::at(50);
    let job = one.add(TestJob::new(), one.source(&valve), failing(|_| false));
    let mut job = two.add(job, two.source(&Valve::at(50)), failing(|_| false));
    job.restart = RESTARTS;
    job.checkpoints = Some(Config {
        interval_ms: None,
        max_concurrent: 2,
        ..Config::default()
    });
    let (stop, commands) = (job.stopper(), job.commander());
    let again = move || drop(commands.ask(|reply| JobCommand::Checkpoint { full: false, reply }));
    let (failed, stop_comes, has_rows) = (Flag::default(), Flag::default(), AtomicBool::new(false));
    let (asked, raised, ledger) = (again.clone(), failed.clone(), one.ledger.clone());
    // The first metadata with rows are written when the job is asked to stop and those of the stop
    // come as well, and these when a region has failed.
    job.kept_in = Some(Hooked::new(&job.store, move |asked, path| {
        if asked != Asked::Write || !path.ends_with("_metadata") {
            return Ok(());
        }
        if has_rows.load(Ordering::SeqCst) {
            stop_comes.raise();
            failed.wait();
        } else if ledger.sealed() > 0 {
            has_rows.store(true, Ordering::SeqCst);
            ledger.fail_commits(1);
            stop(true);
            stop_comes.wait();
        } else {
            again();
        }
        Ok(())
    }));
    job.events = Events::reacting(move |event| match event {
        JobEvent::Running { .. } => asked(),
        JobEvent::Restarting { .. } => {
            valve.open_to(u64::MAX);
            raised.raise();
        }
        _ => {}
    });
    let report = job.run();
    let stopped = matches!(report.outcome, Ended::Stopped(_));
    assert!(stopped, "{:?}", report.outcome);
    assert_eq!((one.ledger.sealed(), two.ledger.sealed()), (0, 0));
    let rows = one.ledger.rows().len();
    assert!((1..=50).contains(&rows), "{rows}");
}

#[test]
fn a_region_that_fails_before_the_first_checkpoint_begins_anew_alone() {
    let one = Graph::new("a", vec![rows(0, 60, 3)]);
    let two = Graph::new("b", vec![rows(0, 60, 3)]);
    let failed = AtomicBool::new(false);
    let map = failing(move |row| row.ends_with("-30") && !failed.swap(true, Ordering::Relaxed));
    let job = one.add(TestJob::new(), one.source(&Valve::open()), map);
    let mut job = two.add(job, two.source(&Valve::open()), failing(|_| false));
    job.checkpoints = Some(Config::default());
    job.restart = RESTARTS;
    let report = job.run();
    finished(&report);
    one.check();
    two.check();
    assert_eq!((report.restarts, one.attempts(), two.attempts()), (1, 2, 1));
}

#[test]
fn both_regions_fail_at_a_time() {
    let one = Graph::new("a", vec![rows(0, 200, 5)]);
    let two = Graph::new("b", vec![rows(0, 200, 5)]);
    let valve = Valve::at(50);
    let armed = [(); 2].map(|()| Arc::new(AtomicBool::new(false)));
    let mut maps = armed
        .clone()
        .map(|trip| Some(failing(move |_| trip.swap(false, Ordering::Relaxed))));
    let job = one.add(TestJob::new(), one.source(&valve), maps[0].take().unwrap());
    let mut job = two.add(job, two.source(&valve), maps[1].take().unwrap());
    let opened = valve.clone();
    job.events = at_checkpoint(3, move || {
        armed
            .iter()
            .for_each(|armed| armed.store(true, Ordering::Relaxed));
        opened.open_to(u64::MAX);
    });
    job.restart = RESTARTS;
    let report = job.run();
    finished(&report);
    one.check();
    two.check();
    assert_eq!((report.restarts, one.attempts(), two.attempts()), (2, 2, 2));
}

#[test]
fn failures_at_any_rows_of_both_regions_lose_and_repeat_nothing() {
    for seed in 0..24_u64 {
        let one = Graph::new("a", vec![rows(0, 120, 4), rows(1, 90, 4)]);
        let two = Graph::new("b", vec![rows(0, 150, 4)]);
        // Each fails at three rows that the seed draws, once at each.
        let fails = |salt: u64, rows: u64| {
            let left = Mutex::new(Vec::new());
            let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ salt;
            for _ in 0..3 {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(salt | 1);
                left.lock()
                    .unwrap()
                    .push(format!("-0-{}", (state >> 33) % rows));
            }
            failing(move |row| {
                let mut left = left.lock().unwrap();
                let hit = left.iter().position(|end| row.ends_with(end.as_str()));
                hit.map(|at| left.swap_remove(at)).is_some()
            })
        };
        let job = one.add(TestJob::new(), one.source(&Valve::open()), fails(17, 120));
        let mut job = two.add(job, two.source(&Valve::open()), fails(99, 150));
        job.checkpoints = Some(Config {
            interval_ms: Some(1),
            ..Config::default()
        });
        job.restart = RestartStrategy::FixedDelay {
            attempts: None,
            delay_ms: seed % 3,
        };
        let report = job.run();
        finished(&report);
        one.check();
        two.check();
        assert!(report.restarts <= 6);
        let attempts = one.attempts() + two.attempts();
        assert_eq!(attempts, 2 + report.restarts, "seed {seed}");
    }
}

#[test]
fn restarts_are_counted_over_the_job() {
    let one = Graph::new("a", vec![rows(0, 50, 3)]);
    let two = Graph::new("b", vec![rows(0, 50, 3)]);
    let valve = Valve::at(0);
    let once = AtomicBool::new(false);
    let first = failing(move |row| row.ends_with("-10") && !once.swap(true, Ordering::Relaxed));
    let job = one.add(TestJob::new(), one.source(&Valve::open()), first);
    let always = failing(|row| row.ends_with("-10"));
    let mut job = two.add(job, two.source(&valve), always);
    job.events = Events::reacting(move |event| {
        if matches!(event, JobEvent::Restarting { .. }) {
            valve.open_to(u64::MAX);
        }
    });
    job.restart = RestartStrategy::FixedDelay {
        attempts: Some(1),
        delay_ms: 0,
    };
    let report = job.run();
    let text = failure(&report);
    assert!(text.contains("boom at"), "{text}");
    assert_eq!(report.restarts, 1);
    assert_eq!(two.attempts(), 1);
}

#[test]
fn a_region_that_has_finished_stays_finished() {
    let one = Graph::new("a", vec![rows(0, 40, 3)]);
    let two = Graph::new("b", vec![rows(0, 200, 3)]);
    let finishes = Arc::new(AtomicU32::new(0));
    let count = finishes.clone();
    let map = failing(|_| false).with_finish(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
        Ok(Vec::new())
    });
    let job = one.add(TestJob::new(), one.source(&Valve::open()), map);
    // The second one begins when the first has finished, and fails then.
    let (valve, done) = (Valve::at(0), finishes.clone());
    let once = AtomicBool::new(false);
    let map = failing(move |row| row.ends_with("-150") && !once.swap(true, Ordering::Relaxed));
    let mut job = two.add(job, two.source(&valve), map);
    job.events = Events::reacting(move |event| {
        let is_checkpoint = matches!(event, JobEvent::Checkpoint(_));
        if is_checkpoint && done.load(Ordering::Relaxed) == 2 {
            valve.open_to(u64::MAX);
        }
    });
    job.restart = RESTARTS;
    let report = job.run();
    finished(&report);
    one.check();
    two.check();
    assert_eq!((report.restarts, one.attempts(), two.attempts()), (1, 1, 2));
    assert_eq!(finishes.load(Ordering::Relaxed), 2, "once in each subtask");
}

#[test]
fn a_region_that_cannot_begin_again_is_tried_again() {
    let one = Graph::new("a", vec![rows(0, 100, 3)]);
    let two = Graph::new("b", vec![rows(0, 100, 3)]);
    let once = AtomicBool::new(false);
    let map = failing(move |row| row.ends_with("-50") && !once.swap(true, Ordering::Relaxed));
    let source = looking(one.source(&Valve::open()), |looked| match looked {
        2 => Err(Failure::External {
            what: "looking".into(),
            message: "not now".into(),
        }),
        _ => Ok(()),
    });
    let job = one.add(TestJob::new(), source, map);
    let mut job = two.add(job, two.source(&Valve::open()), failing(|_| false));
    job.restart = RESTARTS;
    let report = job.run();
    finished(&report);
    one.check();
    two.check();
    assert_eq!((report.restarts, one.attempts(), two.attempts()), (2, 2, 1));
}

#[test]
fn too_many_failed_checkpoints_restart_all_regions() {
    let one = Graph::new("a", vec![rows(0, 100, 3)]);
    let two = Graph::new("b", vec![rows(0, 100, 3)]);
    let valve = Valve::at(30);
    let job = one.add(TestJob::new(), one.source(&valve), failing(|_| false));
    let mut job = two.add(job, two.source(&valve), failing(|_| false));
    job.store.inject(3, Fault::Refuse);
    job.events = Events::reacting(move |event| {
        if matches!(event, JobEvent::Restarting { .. }) {
            valve.open_to(u64::MAX);
        }
    });
    job.restart = RESTARTS;
    let report = job.run();
    finished(&report);
    one.check();
    two.check();
    assert_eq!((report.restarts, one.attempts(), two.attempts()), (1, 2, 2));
}

#[test]
fn a_region_does_not_begin_behind_a_checkpoint_that_may_be_there() {
    // Whether the metadata that were said not to be written can be deleted.
    for is_deleted in [false, true] {
        let one = Graph::new("a", vec![rows(0, 200, 5)]);
        let two = Graph::new("b", vec![rows(0, 200, 5)]);
        let (valve, armed) = (Valve::at(50), Arc::new(AtomicBool::new(false)));
        let trip = armed.clone();
        let map = failing(move |_| trip.swap(false, Ordering::Relaxed));
        let job = one.add(TestJob::new(), one.source(&valve), map);
        let mut job = two.add(job, two.source(&valve), failing(|_| false));
        let failed = Arc::new(Mutex::new(None));
        let (noted, made) = (failed.clone(), one.made.clone());
        job.kept_in = Some(Hooked::new(&job.store, move |asked, path| {
            let is_third = path.ends_with("chk-3/_metadata");
            let is_early = ["chk-1/", "chk-2/"].iter().any(|id| path.contains(id));
            let is_later = path.ends_with("_metadata") && !is_third && !is_early;
            let opens = match asked {
                Asked::Written if is_third => false,
                // No other is complete before the failure is seen, however late that is.
                Asked::Written if is_later && made.load(Ordering::Relaxed) < 3 => {
                    return Err(Hooked::failure("write", path));
                }
                Asked::Delete if is_third => true,
                _ => return Ok(()),
            };
            let mut noted = noted.lock().unwrap();
            if opens && noted.replace(valve.clone()).is_none() {
                armed.store(true, Ordering::Relaxed);
                valve.open_to(u64::MAX);
            }
            match opens && is_deleted {
                true => Ok(()),
                false => Err(Hooked::failure("write", path)),
            }
        }));
        if let Some(config) = &mut job.checkpoints {
            config.tolerable_failures = u32::MAX;
        }
        job.restart = RestartStrategy::FixedDelay {
            attempts: None,
            delay_ms: 50,
        };
        let report = job.run();
        finished(&report);
        one.check();
        two.check();
        assert!(failed.lock().unwrap().is_some());
        let all = if is_deleted { 1 } else { 2 };
        let made = (report.restarts, one.attempts(), two.attempts());
        assert_eq!(made, (1, 2, all));
        let events = job.events.all();
        let begins = events.iter().find_map(|event| match event {
            JobEvent::Restoring { id, .. } => Some(id.0),
            _ => None,
        });
        assert_eq!(begins, Some(if is_deleted { 2 } else { 3 }));
    }
}

type Answers = (
    Receiver<Result<SavepointDone, CommandError>>,
    Receiver<Result<JobStatus, CommandError>>,
);

/// When a region goes down: asks for a savepoint, for the status and, by signal, for a stop; then
/// raises the flag.
fn ask_when_down(job: &mut TestJob, was_asked: Flag) -> Arc<Mutex<Option<Answers>>> {
    let (commands, stopper, store) = (job.commander(), job.stopper(), job.store.clone());
    let answers = Arc::new(Mutex::new(None));
    let kept = answers.clone();
    let asking = std::sync::Mutex::new(Some(was_asked));
    job.events = Events::reacting(move |event| {
        if !matches!(event, JobEvent::Restarting { .. }) {
            return;
        }
        let target = SavepointTarget {
            store: store.clone(),
            folder: "sp".into(),
            location: "sp".into(),
        };
        let format = weir_model::SavepointFormat::Canonical;
        let saved = commands.ask(|reply| JobCommand::Savepoint {
            target,
            format,
            reply,
        });
        let status = commands.ask(|reply| JobCommand::Status { reply });
        *kept.lock().unwrap() = Some((saved, status));
        // By signal: it is remembered until all tasks run.
        stopper(true);
        if let Some(flag) = asking.lock().unwrap().take() {
            // Commands are answered in order: with this answer the others are there.
            let last = commands.ask(|reply| JobCommand::Status { reply });
            std::thread::spawn(move || {
                let _ = last.blocking_recv();
                flag.raise();
            });
        }
    });
    answers
}

#[test]
fn while_a_region_is_down_nothing_can_be_taken_and_a_stop_waits() {
    let one = Graph::new("a", vec![rows(0, 100, 3)]);
    let two = Graph::new("b", vec![rows(0, 100, 3)]);
    let valve = Valve::at(60);
    let once = AtomicBool::new(false);
    let map = failing(move |row| row.ends_with("-50") && !once.swap(true, Ordering::Relaxed));
    let was_asked = Flag::default();
    let wait = was_asked.clone();
    let source = looking(one.source(&valve), move |looked| {
        if looked == 2 {
            wait.wait();
        }
        Ok(())
    });
    let job = one.add(TestJob::new(), source, map);
    let mut job = two.add(job, two.source(&valve), failing(|_| false));
    job.restart = RESTARTS;
    let answers = ask_when_down(&mut job, was_asked);
    let report = job.run();
    assert!(
        matches!(report.outcome, Ended::Stopped(_)),
        "{:?}",
        report.outcome
    );
    let (saved, status) = answers.lock().unwrap().take().unwrap();
    let recovering = CommandError::NotRunning(JobState::Recovering);
    assert_eq!(saved.blocking_recv().unwrap(), Err(recovering));
    let status = status.blocking_recv().unwrap().unwrap();
    assert_eq!(status.state, JobState::Recovering);
    let running: Vec<_> = status
        .nodes
        .iter()
        .map(|n| (n.name.as_str(), n.running))
        .collect();
    assert!(
        running.contains(&("a-rows", 0)) && running.contains(&("b-rows", 2)),
        "{running:?}"
    );
    let again = one.add(
        TestJob::new(),
        one.source(&Valve::open()),
        failing(|_| false),
    );
    let mut again = two.add(again, two.source(&Valve::open()), failing(|_| false));
    again.store = job.store.clone();
    finished(&again.run());
    one.check();
    two.check();
}
