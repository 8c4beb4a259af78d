//! A job whose state is larger than the memory it may have: it fills its state, is killed, goes on
//! from its checkpoint and looks whether all is there.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use weir_checkpoint::Config;
use weir_graph::Partitioning;
use weir_model::{Column, KeyGroupRange, OptionalColumn, hash64};
use weir_operator::{Emitted, Failure, Outcome, TaskInfo};
use weir_runtime::{BackendFactory, CheckpointStats, JobEvent, Outcome as Ended};
use weir_snapshot_store::LocalStore;
use weir_state::{Backend, StateDecl, StateIndex, StateKind, Which};
use weir_state_rocksdb::{RocksDb, RocksDbOptions};
use weir_testkit::{Closures, Events, Ledger, LedgerSink, MemorySource, TestJob, Valve};

/// How large it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    /// How many keys there are.
    pub(crate) keys: u64,
    /// Bytes of state that each key has.
    pub(crate) value: usize,
    /// Bytes of memory that the databases may have; `None` = the state is on the heap.
    pub(crate) memory: Option<usize>,
    /// Subtasks of the first run, and of the second.
    pub(crate) subtasks: [u32; 2],
}

/// What it came to.
#[derive(Clone, Debug)]
pub(crate) struct Course {
    /// The checkpoint that it was killed after.
    pub(crate) checkpoint: CheckpointStats,
    /// Milliseconds until the second run was running, from its start on.
    pub(crate) restored_ms: f64,
    /// By how many bytes the process grew at most.
    pub(crate) grown: u64,
    /// Of the second run alone.
    pub(crate) grown_by_restore: u64,
}

/// Runs it in an empty folder: `kill` = after a checkpoint that the job took by itself.
///
/// # Panics
/// Where what comes out is wrong.
pub(crate) fn run(place: &Path, size: Size, kill: bool) -> Course {
    let keys = size.keys;
    // Each key comes twice: before the kill and after it.
    let rows = rows(keys, 2);
    let valve = Valve::at(keys);
    let begun = resident();
    reset_peak();
    let (first, filled) = job(place, size, 0, rows.clone(), &valve);
    let checkpoint = fill(first, &filled, keys, kill);
    let grown = peak().saturating_sub(begun);
    reset_peak();
    let before = resident();
    valve.open_to(u64::MAX);
    let (mut second, filled) = job(place, size, 1, rows, &valve);
    let (told, began) = (Arc::new(AtomicU64::new(0)), Instant::now());
    let running = told.clone();
    second.events = Events::reacting(move |event| {
        if let JobEvent::Running { .. } = event {
            let elapsed = began.elapsed().as_micros() as u64;
            running.store(elapsed, Ordering::Relaxed);
        }
    });
    let report = second.run();
    assert!(
        matches!(report.outcome, Ended::Finished),
        "{:?}",
        report.outcome
    );
    assert_eq!(filled.found(), keys, "each key had what it was given");
    let by_restore = peak().saturating_sub(before);
    Course {
        checkpoint,
        restored_ms: told.load(Ordering::Relaxed) as f64 / 1000.0,
        grown: grown.max(peak().saturating_sub(begun)),
        grown_by_restore: by_restore,
    }
}

/// A row of each key, so many times.
pub(crate) fn rows(keys: u64, times: u64) -> Vec<String> {
    let all = 0..times * keys;
    all.map(|n| format!("{}-", n % keys)).collect()
}

/// Runs it until all state is there and in a checkpoint.
fn fill(mut job: TestJob, filled: &Filled, keys: u64, kill: bool) -> CheckpointStats {
    let stop = job.stopper();
    let mut config = job.checkpoints.take().unwrap_or_default();
    config.interval_ms = kill.then_some(500);
    job.checkpoints = Some(config);
    let counts = filled.clone();
    // The one that is under way when the last key has come may be without it.
    let since = AtomicU64::new(0);
    let last = Arc::new(std::sync::Mutex::new(None));
    let stats = last.clone();
    job.events = Events::reacting(move |event| {
        if let JobEvent::Checkpoint(done) = event {
            let mut largest = stats.lock().unwrap();
            if largest.is_none_or(|known: CheckpointStats| known.bytes < done.bytes) {
                *largest = Some(*done);
            }
            if counts.made() == keys && since.fetch_add(1, Ordering::Relaxed) == 1 {
                stop(false);
            }
        }
    });
    let stop = job.stopper();
    filled.at(keys, move || {
        if !kill {
            stop(true);
        }
    });
    let report = job.run();
    let as_told = match kill {
        true => matches!(report.outcome, Ended::Cancelled),
        false => matches!(report.outcome, Ended::Stopped(_)),
    };
    assert!(as_told, "{:?}", report.outcome);
    last.lock().unwrap().unwrap()
}

/// What the operator has seen.
#[derive(Clone, Default)]
pub(crate) struct Filled(Arc<Inner>);

/// What is done when there are so many keys.
type Due = (u64, Box<dyn Fn() + Send>);

#[derive(Default)]
struct Inner {
    made: AtomicU64,
    found: AtomicU64,
    at: std::sync::Mutex<Option<Due>>,
}

impl Filled {
    /// Keys that it has given a value.
    pub(crate) fn made(&self) -> u64 {
        self.0.made.load(Ordering::Relaxed)
    }

    /// Keys that still had it.
    pub(crate) fn found(&self) -> u64 {
        self.0.found.load(Ordering::Relaxed)
    }

    fn at(&self, made: u64, act: impl Fn() + Send + 'static) {
        *self.0.at.lock().unwrap() = Some((made, Box::new(act)));
    }

    fn add(&self, made: u64, found: u64) {
        self.0.found.fetch_add(found, Ordering::Relaxed);
        let made = self.0.made.fetch_add(made, Ordering::Relaxed) + made;
        let mut at = self.0.at.lock().unwrap();
        if at.as_ref().is_some_and(|(due, _)| made >= *due)
            && let Some((_, act)) = at.take()
        {
            act();
        }
    }
}

/// The job, for its first run or its second.
pub(crate) fn job(
    place: &Path,
    size: Size,
    run: usize,
    rows: Vec<String>,
    valve: &Valve,
) -> (TestJob, Filled) {
    let filled = Filled::default();
    let source = MemorySource::of(&[rows]).reading(64).behind(valve.clone());
    let subtasks = size.subtasks[run];
    let mut job = TestJob::new()
        .source("rows", 1, source)
        .operator(
            "keep",
            subtasks,
            "rows",
            TestJob::by_prefix(),
            keeper(filled.clone(), size.value),
        )
        .sink(
            "out",
            1,
            "keep",
            Partitioning::Global,
            LedgerSink::new(&Ledger::default()),
        );
    job.checkpoints = Some(Config {
        interval_ms: None,
        incremental: true,
        retained: 1,
        ..Config::default()
    });
    job.kept_in = Some(Arc::new(LocalStore::new(place.join("checkpoints"))));
    if let Some(memory_bytes) = size.memory {
        let local_dir = place.join("local");
        job.backend = Arc::new(OnDisk(RocksDb::new(RocksDbOptions {
            memory_bytes,
            local_dir,
        })));
    }
    (job, filled)
}

/// Gives each key a value the first time, and looks whether it still has it the second time.
fn keeper(filled: Filled, bytes: usize) -> Closures {
    let state = StateIndex(0);
    Closures::new(move |cx, _, rows| {
        let keyed = rows.keyed.expect("the input is keyed");
        let mut saved = OptionalColumn::new();
        cx.state.value_get(state, Which::All, &mut saved)?;
        let mut after = OptionalColumn::new();
        let (mut made, mut found) = (0, 0);
        for (key, saved) in keyed.keys.iter().zip(saved.iter()) {
            let value = value_of(key, bytes);
            match saved {
                None => made += 1,
                Some(saved) if saved == value => found += 1,
                Some(_) => panic!("another value"),
            }
            after.push(Some(&value));
        }
        cx.state.value_put(state, Which::All, &after)?;
        filled.add(made, found);
        Ok(Outcome {
            emitted: vec![Emitted {
                values: Column::new(),
                ..Emitted::default()
            }],
            poisoned: None,
        })
    })
    .with_state("value", StateKind::Value)
}

/// Bytes that nothing packs.
fn value_of(key: &[u8], bytes: usize) -> Vec<u8> {
    let mut random = hash64(key) | 1;
    let mut value = Vec::with_capacity(bytes);
    while value.len() < bytes {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        value.extend_from_slice(&random.to_le_bytes());
    }
    value
}

struct OnDisk(RocksDb);

impl BackendFactory for OnDisk {
    fn create(
        &self,
        task: &TaskInfo,
        states: &[StateDecl],
        range: KeyGroupRange,
    ) -> Result<Box<dyn Backend>, Failure> {
        let owner = format!("{}-{}", task.operator, task.subtask.0);
        Ok(Box::new(self.0.create(&owner, states.to_vec(), range)?))
    }

    fn has_files(&self) -> bool {
        true
    }
}

/// Bytes that the process has in memory.
fn resident() -> u64 {
    status("VmRSS:")
}

/// The most that it had.
fn peak() -> u64 {
    status("VmHWM:")
}

/// Lets the peak begin here. Where that is not allowed it is that of the whole process: more.
fn reset_peak() {
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

fn status(what: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(what));
    let kilobytes = line.and_then(|line| line.split_whitespace().next());
    kilobytes.unwrap().parse::<u64>().unwrap() * 1024
}
