//! Whole jobs with keyed state on either backend and state without keys, whatever happens to them:
//! topology, parallelism before and after, backend, aligned or overtaking barriers, increments,
//! checkpoint or savepoint, and something that fails at a random step. What is committed in the
//! end is what comes without any of it.
//!
//! `WEIR_JOBS` says how many jobs a topology gets, `WEIR_SEED` which one is run alone; a failure
//! names its seed. `./jw jobs` runs thousands.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a panic is how a test says that something is wrong"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::oneshot::Receiver;
use weir_checkpoint::{
    Config, RestartStrategy,
    testing::{Fault, MemoryStore},
};
use weir_graph::Partitioning;
use weir_model::{Column, KeyGroupRange, OptionalColumn, SavepointFormat};
use weir_operator::{Context, Emitted, Failure, Outcome, TaskInfo};
use weir_runtime::{
    BackendFactory, Foreign, JobEvent, Outcome as Ended, RestoreFrom,
    control::{CommandError, JobCommand, SavepointTarget, StopDone},
};
use weir_state::{Backend, EntriesColumn, HeapBackend, StateDecl, StateIndex, StateKind};
use weir_state_rocksdb::{RocksDb, RocksDbOptions};
use weir_testkit::{
    Closures, Events, Ledger, LedgerSink, MemorySource, TestJob, Valve, counter, map_rows,
};

/// How many jobs each topology gets, unless the environment says otherwise.
const JOBS: u64 = 25;

/// How long a row takes where rows are to pile up.
const EACH: Duration = Duration::from_micros(100);

const KEYS: usize = 11;
const RULES: usize = 12;

/// Enough attempts for all that goes wrong in a run.
const RESTARTS: RestartStrategy = RestartStrategy::FixedDelay {
    attempts: Some(8),
    delay_ms: 0,
};

const LIST: StateIndex = StateIndex(0);
const UNION: StateIndex = StateIndex(1);
const MAP: StateIndex = StateIndex(2);

/// How rows run from the sources to the count, and from there to who keeps them.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Topology {
    /// All of it in one task, but for the key.
    Chain,
    /// By key, and by key again.
    Hash,
    /// By turns, and then by key.
    Rebalance,
    /// By key, and then straight on in tasks of their own.
    ForwardAfterHash,
    /// Two sources into one operator, both by key.
    Union,
    /// By key, and then all to one.
    Global,
    /// By key into an operator that all rules go to as well.
    Broadcast,
    /// Straight from the source to a task of its own, and then by key.
    FromSource,
}

/// How the first run ends, and the next one begins.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Turn {
    /// The process dies.
    Dies,
    /// The storage does, and takes the process along.
    Freezes(u64),
    /// The job is stopped with a savepoint.
    Savepoint(SavepointFormat),
}

/// What goes wrong within a run, once.
#[derive(Clone, Copy, Debug)]
enum Trouble {
    Nothing,
    /// An operator fails at the n-th row that it gets, counted over its subtasks.
    Row(i64),
    /// A write fails.
    Write(u64, Fault),
}

/// A run.
#[derive(Clone, Debug)]
struct Run {
    /// Of the source, what makes rows pile up, the count, and the rest.
    parallelism: [u32; 4],
    rocksdb: bool,
    /// Overtaking, and after how many milliseconds.
    unaligned: Option<u64>,
    incremental: bool,
    trouble: Trouble,
}

#[derive(Clone, Debug)]
struct Case {
    /// With this as `WEIR_SEED` it is played again.
    #[expect(dead_code, reason = "it is told where a case fails")]
    seed: u64,
    topology: Topology,
    rows: usize,
    turn: Turn,
    /// At which checkpoint the turn comes.
    at: u64,
    runs: [Run; 2],
}

/// A number after another, of a seed.
struct Rng(u64);

impl Rng {
    fn below(&mut self, n: u64) -> u64 {
        let state = self.0.wrapping_mul(6_364_136_223_846_793_005);
        self.0 = state.wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }

    fn is(&mut self, one_in: u64) -> bool {
        self.below(one_in) == 0
    }
}

impl Case {
    fn of(seed: u64, topology: Topology) -> Self {
        let mut rng = Rng(seed ^ ((topology as u64 + 1) << 48));
        for _ in 0..8 {
            rng.below(2);
        }
        let turn = match rng.below(6) {
            0..=2 => Turn::Dies,
            3 => Turn::Freezes(1 + rng.below(30)),
            4 => Turn::Savepoint(SavepointFormat::Canonical),
            _ => Turn::Savepoint(SavepointFormat::Native),
        };
        let rows = 60 + rng.below(120) as usize;
        let mut runs = [(); 2].map(|()| Run::of(&mut rng, rows));
        // Only a canonical savepoint is one for all backends, and state on the heap is.
        if turn != Turn::Savepoint(SavepointFormat::Canonical) && runs[0].rocksdb {
            runs[1].rocksdb = true;
        }
        let at = 1 + rng.below(4);
        Self {
            seed,
            topology,
            rows,
            turn,
            at,
            runs,
        }
    }

    fn splits(&self) -> Vec<Vec<String>> {
        let split = |split: usize, count: usize| -> Vec<String> {
            (0..count)
                .map(|i| format!("k{}-{split}-{i}", i % KEYS))
                .collect()
        };
        vec![
            split(0, self.rows),
            split(1, self.rows),
            split(2, self.rows / 2),
        ]
    }

    /// What comes out when nothing goes wrong, sorted.
    fn expected(&self) -> Vec<String> {
        let splits = self.splits();
        let times = if self.topology == Topology::Union {
            2
        } else {
            1
        };
        let mut counts = BTreeMap::<&str, usize>::new();
        for row in splits.iter().flatten() {
            *counts.entry(row.split('-').next().unwrap()).or_default() += times;
        }
        let of = |(key, count): (&&str, &usize)| -> Vec<String> {
            (1..=*count).map(|n| format!("{key}={n}")).collect()
        };
        let mut all: Vec<String> = counts.iter().flat_map(of).collect();
        all.sort();
        all
    }

    /// Whether rows of a key stay in order all the way behind the count: a rebalance does not keep
    /// it, nor do channels in which one waits for a broadcast barrier and the other does not.
    fn keeps_order(&self) -> bool {
        match self.topology {
            Topology::Chain
            | Topology::Hash
            | Topology::ForwardAfterHash
            | Topology::Union
            | Topology::Global
            | Topology::Broadcast
            | Topology::FromSource => true,
            Topology::Rebalance => false,
        }
    }
}

impl Run {
    fn of(rng: &mut Rng, rows: usize) -> Self {
        Self {
            parallelism: std::array::from_fn(|_| 1 + rng.below(3) as u32),
            rocksdb: rng.is(2),
            unaligned: match rng.below(5) {
                0 | 1 => None,
                2 => Some(rng.below(15)),
                _ => Some(0),
            },
            incremental: rng.is(2),
            trouble: match rng.below(6) {
                0 | 1 => Trouble::Row(1 + rng.below(rows as u64) as i64),
                2 => Trouble::Write(1 + rng.below(25), Fault::Refuse),
                3 => Trouble::Write(1 + rng.below(25), Fault::LoseReply),
                4 => Trouble::Write(1 + rng.below(25), Fault::Tear),
                _ => Trouble::Nothing,
            },
        }
    }

    fn config(&self) -> Config {
        Config {
            interval_ms: Some(3),
            unaligned: self.unaligned.is_some(),
            aligned_timeout_ms: self.unaligned.unwrap_or(0),
            incremental: self.incremental,
            tolerable_failures: 5,
            retained: 2,
            ..Config::default()
        }
    }
}

/// What subtasks hold of state without keys in the end.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<BTreeMap<u32, Held>>>);

#[derive(Clone, Debug, Default)]
struct Held {
    list: Vec<String>,
    union: BTreeSet<String>,
    rules: usize,
}

fn texts(column: &Column) -> Vec<String> {
    let rows = column.iter();
    rows.map(|row| String::from_utf8_lossy(row).into_owned())
        .collect()
}

fn held(cx: &Context) -> Result<Held, Failure> {
    let (mut list, mut union) = (Column::new(), Column::new());
    let mut map = EntriesColumn::default();
    cx.operator_state.list_get(LIST, &mut list)?;
    cx.operator_state.list_get(UNION, &mut union)?;
    cx.operator_state.map_scan(MAP, None, 1000, &mut map)?;
    Ok(Held {
        list: texts(&list),
        union: texts(&union).into_iter().collect(),
        rules: map.keys.len(),
    })
}

/// Passes rows on and keeps each in a list that is dealt out, and in one that all get; rules of its
/// second input go to all.
fn keep(kept: &Kept) -> Closures {
    let kept = kept.clone();
    Closures::new(|cx, input, rows| {
        if input == 1 {
            let mut values = OptionalColumn::new();
            rows.values.iter().for_each(|row| values.push(Some(row)));
            cx.operator_state.map_put(MAP, rows.values, &values)?;
            return Ok(Outcome::default());
        }
        let mut list = Column::new();
        cx.operator_state.list_get(LIST, &mut list)?;
        list.extend_from(rows.values);
        cx.operator_state.list_set(LIST, list)?;
        let mut union = Column::new();
        cx.operator_state.list_get(UNION, &mut union)?;
        let known: BTreeSet<String> = texts(&union).into_iter().collect();
        let mut all: Column = known.iter().map(String::as_bytes).collect();
        let new = rows.values.iter();
        let new = new.filter(|row| !known.contains(&*String::from_utf8_lossy(row)));
        new.for_each(|row| all.push(row));
        cx.operator_state.list_set(UNION, all)?;
        let mut emitted = Emitted::default();
        emitted.values.extend_from(rows.values);
        Ok(Outcome {
            emitted: vec![emitted],
            poisoned: None,
        })
    })
    .with_state("list", StateKind::OperatorList)
    .with_state("union", StateKind::OperatorUnion)
    .with_state("rules", StateKind::Broadcast)
    .with_inputs(2)
    .with_finish(move |cx| {
        let held = held(cx)?;
        kept.0.lock().unwrap().insert(cx.task.subtask.0, held);
        Ok(Vec::new())
    })
}

/// Lets each row through after a while, and fails once where it is told to.
fn slow(each: Duration, fails_at: &Arc<AtomicI64>) -> Closures {
    let fails_at = fails_at.clone();
    map_rows(move |row| {
        if row.starts_with("rule") {
            return Ok(Vec::new());
        }
        if fails_at.fetch_sub(1, Ordering::Relaxed) == 1 {
            return Err(Failure::Guest {
                message: "as told".into(),
                row: None,
            });
        }
        let began = Instant::now();
        while began.elapsed() < each {
            std::hint::spin_loop();
        }
        Ok(vec![row.to_owned()])
    })
}

/// Everything that survives a run.
struct World {
    ledger: Ledger,
    kept: Kept,
    valve: Valve,
    store: Arc<MemoryStore>,
    /// Where savepoints go.
    elsewhere: Arc<MemoryStore>,
    scratch: tempfile::TempDir,
}

impl World {
    // tidy: long function, a table of topologies
    fn job(&self, case: &Case, run: &Run) -> TestJob {
        let fails_at = Arc::new(AtomicI64::new(match run.trouble {
            Trouble::Row(n) => n,
            Trouble::Nothing | Trouble::Write(..) => 0,
        }));
        let [a, b, c, d] = run.parallelism;
        let splits = case.splits();
        let source = || {
            MemorySource::of(&splits)
                .reading(8)
                .behind(self.valve.clone())
        };
        let (key, forward) = (TestJob::by_prefix, || Partitioning::Forward);
        let slow = |each| slow(each, &fails_at);
        let rules: Vec<String> = (0..RULES).map(|i| format!("rule-{i}")).collect();
        let rules = MemorySource::of(&[rules]).reading(1);
        let job = TestJob::new()
            .max_parallelism(16)
            .source("rules", 1, rules)
            .source("rows", a, source());
        // What feeds those that keep, and how it is dealt out.
        let (job, last, dealt, d) = match case.topology {
            Topology::Chain => (
                job.operator("slow", a, "rows", forward(), slow(EACH))
                    .operator("count", c, "slow", key(), counter())
                    .operator("same", c, "count", forward(), slow(Duration::ZERO)),
                "same",
                forward(),
                c,
            ),
            Topology::Hash => (
                job.operator("slow", b, "rows", key(), slow(EACH)).operator(
                    "count",
                    c,
                    "slow",
                    key(),
                    counter(),
                ),
                "count",
                forward(),
                c,
            ),
            Topology::Rebalance => (
                job.operator("slow", b, "rows", Partitioning::Rebalance, slow(EACH))
                    .operator("count", c, "slow", key(), counter()),
                "count",
                Partitioning::Rebalance,
                d,
            ),
            Topology::ForwardAfterHash => (
                job.operator("count", b, "rows", key(), counter())
                    .operator("slow", b, "count", forward(), slow(EACH))
                    .unchained(),
                "slow",
                forward(),
                b,
            ),
            Topology::Union => (
                job.source("more", b, source())
                    .operator("slow", c, "rows", key(), slow(EACH / 2).with_inputs(2))
                    .and_from("more", key())
                    .operator("count", d, "slow", key(), counter()),
                "count",
                forward(),
                d,
            ),
            Topology::Global => (
                job.operator("count", b, "rows", key(), counter()).operator(
                    "slow",
                    1,
                    "count",
                    Partitioning::Global,
                    slow(EACH / 2),
                ),
                "slow",
                forward(),
                1,
            ),
            Topology::Broadcast => (
                job.operator("slow", b, "rows", key(), slow(EACH).with_inputs(2))
                    .and_from("rules", Partitioning::Broadcast)
                    .operator("count", c, "slow", key(), counter()),
                "count",
                forward(),
                c,
            ),
            Topology::FromSource => (
                job.operator("slow", a, "rows", forward(), slow(EACH))
                    .unchained()
                    .operator("count", c, "slow", key(), counter()),
                "count",
                forward(),
                c,
            ),
        };
        let mut job = job
            .operator("keep", d, last, dealt, keep(&self.kept))
            .and_from("rules", Partitioning::Broadcast)
            .sink("out", d, "keep", forward(), LedgerSink::new(&self.ledger));
        job.checkpoints = Some(run.config());
        job.restart = RESTARTS;
        job.store = self.store.clone();
        if run.rocksdb {
            job.backend = Arc::new(OnDisk(RocksDb::new(RocksDbOptions {
                memory_bytes: 4 << 20,
                local_dir: self.scratch.path().to_owned(),
            })));
        }
        if let Trouble::Write(n, fault) = run.trouble {
            self.store.inject(n, fault);
        }
        job
    }

    /// Runs the job until its turn comes. Gives back the savepoint that it stopped with.
    fn first(&self, case: &Case) -> Option<String> {
        let mut job = self.job(case, &case.runs[0]);
        let answers: Arc<Mutex<Vec<Answer>>> = Arc::default();
        let (seen, asked) = (AtomicU64::new(0), answers.clone());
        let (stop, commands) = (job.stopper(), job.commander());
        let (case_at, turn, elsewhere) = (case.at, case.turn, self.elsewhere.clone());
        job.events = Events::reacting(move |event| {
            if !matches!(event, JobEvent::Checkpoint(_)) {
                return;
            }
            let past = (seen.fetch_add(1, Ordering::Relaxed) + 1).checked_sub(case_at);
            match (turn, past) {
                (_, None) => {}
                (Turn::Dies, Some(_)) => stop(false),
                // A write that fails never comes where all have come before.
                (Turn::Freezes(_), Some(past)) if past > 20 => stop(false),
                (Turn::Freezes(_), Some(_)) => {}
                // A savepoint that fails leaves the job running.
                (Turn::Savepoint(format), Some(past)) if past % 3 == 0 => {
                    let folder = format!("sp-{past}");
                    let target = SavepointTarget {
                        store: elsewhere.clone(),
                        location: folder.clone(),
                        folder: folder.clone(),
                    };
                    let answer = commands.ask(|reply| JobCommand::Stop {
                        drain: false,
                        savepoint: Some((target, format)),
                        reply,
                    });
                    asked.lock().unwrap().push((folder, answer));
                }
                (Turn::Savepoint(_), Some(_)) => {}
            }
        });
        if let Turn::Freezes(n) = case.turn {
            self.store.inject(n, Fault::Freeze);
        }
        let report = job.run();
        let ended = matches!(
            report.outcome,
            Ended::Cancelled | Ended::Stopped(_) | Ended::Failed(_)
        );
        assert!(ended, "{case:?}: {:?}", report.outcome);
        self.store.thaw();
        let answers = std::mem::take(&mut *answers.lock().unwrap());
        let done = answers.into_iter().filter_map(|(folder, answer)| {
            let done = answer.blocking_recv().ok()?.ok()?;
            done.savepoint.map(|_| folder)
        });
        done.last()
    }

    /// Runs the job to its end, however often it takes.
    fn second(&self, case: &Case, savepoint: Option<String>) {
        let mut run = case.runs[1].clone();
        self.valve.open_to(u64::MAX);
        let mut last = String::new();
        for again in 0..4 {
            let mut job = self.job(case, &run);
            if let Some(folder) = savepoint.clone().filter(|_| again == 0) {
                job.restore = RestoreFrom::Checkpoint(Foreign {
                    store: self.elsewhere.clone(),
                    folder,
                });
            }
            let report = job.run();
            match &report.outcome {
                Ended::Finished | Ended::AlreadyFinished(_) => return,
                Ended::Failed(failed) => last = failed.failure.to_string(),
                Ended::Stopped(_) | Ended::Cancelled => panic!("{case:?}: {:?}", report.outcome),
            }
            // Only the storage is allowed to end it.
            assert!(last.contains("injected fault"), "{case:?}: {last}");
            run.trouble = Trouble::Nothing;
            self.store.thaw();
        }
        panic!("{case:?} never finishes: {last}");
    }

    fn check(&self, case: &Case) {
        let expected = case.expected();
        assert_eq!(self.ledger.sorted(), expected, "{case:?}");
        assert_eq!(self.ledger.sealed(), 0, "{case:?}");
        if case.keeps_order() {
            let mut last = BTreeMap::<String, usize>::new();
            for row in self.ledger.by_checkpoint() {
                let (key, count) = row.split_once('=').unwrap();
                let last = last.entry(key.to_owned()).or_default();
                *last += 1;
                assert_eq!(count.parse(), Ok(*last), "{case:?}: {row} is out of order");
            }
        }
        let kept = self.kept.0.lock().unwrap();
        let mut list: Vec<String> = kept.values().flat_map(|held| held.list.clone()).collect();
        list.sort();
        assert_eq!(list, expected, "{case:?}: the list");
        let union: BTreeSet<&String> = kept.values().flat_map(|held| &held.union).collect();
        assert!(union.into_iter().eq(&expected), "{case:?}: the union");
        for held in kept.values() {
            assert_eq!(held.rules, RULES, "{case:?}: the rules");
        }
    }
}

type Answer = (String, Receiver<Result<StopDone, CommandError>>);

/// Keyed state on the local disk.
struct OnDisk(RocksDb);

impl BackendFactory for OnDisk {
    fn create(
        &self,
        task: &TaskInfo,
        states: &[StateDecl],
        range: KeyGroupRange,
    ) -> Result<Box<dyn Backend>, Failure> {
        if !states.iter().any(|state| state.kind.is_keyed()) {
            return Ok(Box::new(HeapBackend::new(states.to_vec(), range)?));
        }
        let owner = format!("{}-{}", task.operator, task.subtask.0);
        Ok(Box::new(self.0.create(&owner, states.to_vec(), range)?))
    }

    fn has_files(&self) -> bool {
        true
    }
}

/// What there was among the cases: that something was tried is part of the proof.
#[derive(Debug, Default)]
struct Tried {
    savepoints: u64,
    in_flight: u64,
}

fn play(case: &Case, tried: &mut Tried) {
    let world = World {
        ledger: Ledger::default(),
        kept: Kept::default(),
        // Sources do not end before the last run.
        valve: Valve::at(case.rows as u64 / 2 - 5),
        store: Arc::default(),
        elsewhere: Arc::default(),
        scratch: tempfile::tempdir().unwrap(),
    };
    let savepoint = world.first(case);
    tried.savepoints += u64::from(savepoint.is_some());
    let paths = world.store.paths();
    tried.in_flight += u64::from(paths.iter().any(|path| path.ends_with("/channels")));
    world.second(case, savepoint);
    world.check(case);
}

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|e| panic!("{name}: {text}: {e}")),
    )
}

fn plays(topology: Topology) {
    if let Some(seed) = number("WEIR_SEED") {
        return play(&Case::of(seed, topology), &mut Tried::default());
    }
    let (first, jobs) = (number("WEIR_FIRST_SEED").unwrap_or(0), number("WEIR_JOBS"));
    let jobs = jobs.unwrap_or(JOBS);
    let mut tried = Tried::default();
    for seed in first..first + jobs {
        play(&Case::of(seed, topology), &mut tried);
    }
    if jobs >= JOBS {
        let is_whole = tried.savepoints > 0 && tried.in_flight > 0;
        assert!(is_whole, "{topology:?}: {tried:?} of {jobs}");
    }
}

#[test]
fn a_chain_counts_each_row_once_whatever_happens() {
    plays(Topology::Chain);
}

#[test]
fn hash_after_hash_counts_each_row_once_whatever_happens() {
    plays(Topology::Hash);
}

#[test]
fn rebalance_counts_each_row_once_whatever_happens() {
    plays(Topology::Rebalance);
}

#[test]
fn forward_after_hash_counts_each_row_once_whatever_happens() {
    plays(Topology::ForwardAfterHash);
}

#[test]
fn two_inputs_count_each_row_once_whatever_happens() {
    plays(Topology::Union);
}

#[test]
fn global_counts_each_row_once_whatever_happens() {
    plays(Topology::Global);
}

#[test]
fn beside_a_broadcast_input_each_row_counts_once_whatever_happens() {
    plays(Topology::Broadcast);
}

#[test]
fn forward_from_the_source_counts_each_row_once_whatever_happens() {
    plays(Topology::FromSource);
}
