//! Barriers that overtake: what is in flight is in the checkpoint, and comes back, whatever the
//! parallelism (C33, C34, D5, D9, D10).

use std::time::{Duration, Instant};

use super::*;

/// Lets each row through after so long: what is before it is under full back pressure.
fn slow(each: Duration) -> Closures {
    map_rows(move |row| {
        spin(each);
        Ok(vec![row.to_owned()])
    })
}

fn spin(long: Duration) {
    let began = Instant::now();
    while began.elapsed() < long {
        std::hint::spin_loop();
    }
}

fn rules() -> MemorySource {
    let rules: Vec<_> = (0..50).map(|i| format!("rule-{i}")).collect();
    MemorySource::of(&[rules]).reading(1)
}

fn same() -> Closures {
    map_rows(|row| Ok(vec![row.to_owned()]))
}

const EACH: Duration = Duration::from_micros(200);

fn unaligned(aligned_timeout_ms: u64) -> Option<Config> {
    Some(Config {
        interval_ms: Some(5),
        unaligned: true,
        aligned_timeout_ms,
        ..Config::default()
    })
}

/// The number of objects with channel state that lie in the store.
fn with_channels(job: &TestJob) -> usize {
    let paths = job.store.paths();
    paths
        .iter()
        .filter(|path| path.ends_with("/channels"))
        .count()
}

/// Stops a job without a checkpoint, as a crash does, when this many further ones are complete.
fn dies_at(job: &mut TestJob, number: u64) {
    let stop = job.stopper();
    job.events = at_checkpoint(number, move || stop(false));
}

#[track_caller]
fn finish(job: &TestJob) {
    let report = job.run();
    assert!(
        matches!(report.outcome, Ended::Finished),
        "{:?}",
        report.outcome
    );
}

/// The counts of each key come in order.
#[track_caller]
fn assert_in_order(ledger: &Ledger) {
    let mut last = std::collections::BTreeMap::<String, u64>::new();
    for row in ledger.by_checkpoint() {
        let (key, count) = row.split_once('=').unwrap();
        let last = last.entry(key.to_owned()).or_default();
        assert_eq!(
            count.parse::<u64>().unwrap(),
            *last + 1,
            "{key} comes after {last}"
        );
        *last += 1;
    }
}

/// How the rows of a job run, and how many subtasks each node has.
#[derive(Clone, Debug)]
struct Shape {
    topology: Topology,
    parallelism: [u32; 4],
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Topology {
    /// By key, and then straight on in tasks of their own.
    Forward,
    /// By turns, and then by key.
    Rebalance,
    /// By key, and then all to one.
    Global,
    /// Two sources into one operator, both by key.
    Union,
    /// A second source goes to all subtasks.
    Broadcast,
    /// Straight from the source to a task of its own, and then by key.
    FromSource,
}

const TOPOLOGIES: [Topology; 6] = [
    Topology::Forward,
    Topology::Rebalance,
    Topology::Global,
    Topology::Union,
    Topology::Broadcast,
    Topology::FromSource,
];

impl Shape {
    fn job(&self, splits: &[Vec<String>], valve: &Valve, ledger: &Ledger) -> TestJob {
        let [a, b, c, d] = self.parallelism;
        let source = || MemorySource::of(splits).reading(10).behind(valve.clone());
        let key = TestJob::by_prefix;
        let sink = LedgerSink::new(ledger);
        let job = TestJob::new().source("rows", a, source());
        match self.topology {
            Topology::Forward => job
                .operator("count", b, "rows", key(), counter())
                .operator("same", b, "count", Partitioning::Forward, same())
                .unchained()
                .operator("slow", b, "same", Partitioning::Forward, slow(EACH))
                .unchained()
                .sink("out", b, "slow", Partitioning::Forward, sink),
            Topology::Rebalance => job
                .operator("slow", b, "rows", Partitioning::Rebalance, slow(EACH))
                .operator("count", c, "slow", key(), counter())
                .sink("out", d, "count", Partitioning::Rebalance, sink),
            Topology::Global => job
                .operator("count", b, "rows", key(), counter())
                .operator("slow", 1, "count", Partitioning::Global, slow(EACH / 2))
                .sink("out", 1, "slow", Partitioning::Forward, sink),
            Topology::Union => job
                .source("more", b, source())
                .operator("slow", c, "rows", key(), slow(EACH).with_inputs(2))
                .and_from("more", key())
                .operator("count", d, "slow", key(), counter())
                .sink("out", d, "count", Partitioning::Forward, sink),
            Topology::Broadcast => job
                .source("rules", 1, rules())
                .operator("slow", c, "rows", key(), ruled().with_inputs(2))
                .and_from("rules", Partitioning::Broadcast)
                .operator("count", d, "slow", key(), counter())
                .sink("out", d, "count", Partitioning::Forward, sink),
            Topology::FromSource => job
                .operator("slow", a, "rows", Partitioning::Forward, slow(EACH))
                .unchained()
                .operator("count", c, "slow", key(), counter())
                .sink("out", c, "count", Partitioning::Forward, sink),
        }
    }

    /// What comes out when nothing goes wrong.
    fn expected(&self, splits: &[Vec<String>]) -> Vec<String> {
        match self.topology {
            Topology::Union => counted(&[splits, splits].concat()),
            Topology::Forward
            | Topology::Rebalance
            | Topology::Global
            | Topology::Broadcast
            | Topology::FromSource => counted(splits),
        }
    }

    /// Whether rows of a key stay in order all the way behind the count.
    fn keeps_order(&self) -> bool {
        match self.topology {
            Topology::Forward
            | Topology::Global
            | Topology::Union
            | Topology::Broadcast
            | Topology::FromSource => true,
            Topology::Rebalance => false,
        }
    }
}

/// Lets rows of the job through, and rules come to nothing.
fn ruled() -> Closures {
    map_rows(|row| match row.starts_with("rule") {
        true => Ok(vec![]),
        false => {
            spin(EACH);
            Ok(vec![row.to_owned()])
        }
    })
}

/// A number after another, of a seed.
struct Rng(u64);

impl Rng {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) % n
    }
}

/// Runs a job that dies twice while rows wait, each time to go on at another parallelism. Gives
/// back whether rows were in flight in a checkpoint.
fn dies_and_grows(seed: u64, topology: Topology) -> bool {
    let mut rng = Rng(seed);
    for _ in 0..8 {
        rng.below(2);
    }
    let count = 150 + rng.below(300) as usize;
    let splits = [
        rows(0, count, 11),
        rows(1, count, 11),
        rows(2, count / 2, 11),
    ];
    let ledger = Ledger::default();
    let mut store = None;
    let mut overtook = false;
    let mut shapes = Vec::new();
    for last in [false, false, true] {
        let shape = Shape {
            topology,
            parallelism: std::array::from_fn(|_| 1 + rng.below(3) as u32),
        };
        // Sources do not end before the last run: the last checkpoint is aligned.
        let valve = Valve::at(if last { u64::MAX } else { count as u64 / 2 - 5 });
        let mut job = shape.job(&splits, &valve, &ledger);
        job.checkpoints = match rng.below(6) {
            0 => Some(Config {
                interval_ms: Some(5),
                ..Config::default()
            }),
            1 | 2 => unaligned(rng.below(20)),
            _ => unaligned(0),
        };
        if let Some(store) = store {
            job.store = store;
        }
        shapes.push((shape.clone(), job.checkpoints.clone()));
        if last {
            finish(&job);
            let told = || format!("seed {seed}: {shapes:?}");
            assert_eq!(ledger.sorted(), shape.expected(&splits), "{}", told());
            if shape.keeps_order() {
                assert_in_order(&ledger);
            }
        } else {
            dies_at(&mut job, 1 + rng.below(3));
            let report = job.run();
            let told = || format!("seed {seed}: {shapes:?}: {:?}", report.outcome);
            assert!(matches!(report.outcome, Ended::Cancelled), "{}", told());
            overtook |= with_channels(&job) > 0;
        }
        store = Some(job.store);
    }
    overtook
}

#[test]
fn whatever_overtakes_and_dies_and_grows_each_row_counts_once_and_in_order() {
    let seeds = std::env::var("WEIR_JOBS").ok();
    let seeds: u64 = seeds.and_then(|n| n.parse().ok()).unwrap_or(2);
    let mut overtook = 0;
    for seed in 0..seeds {
        for topology in TOPOLOGIES {
            overtook += usize::from(dies_and_grows(seed, topology));
        }
    }
    assert!(overtook > 0, "nothing was ever in flight");
}

#[test]
fn c33_a_checkpoint_overtakes_rows_that_wait_and_they_come_back() {
    let splits = [rows(0, 600, 7), rows(1, 600, 7)];
    let ledger = Ledger::default();
    let valve = Valve::at(590);
    let make = |parallelism| {
        // The sources do not end before the job dies: the last checkpoint is aligned.
        let source = MemorySource::of(&splits).reading(10).behind(valve.clone());
        let mut job = TestJob::new()
            .source("rows", parallelism, source)
            .operator(
                "slow",
                parallelism,
                "rows",
                TestJob::by_prefix(),
                slow(EACH),
            )
            .operator(
                "count",
                parallelism,
                "slow",
                TestJob::by_prefix(),
                counter(),
            )
            .sink(
                "out",
                1,
                "count",
                Partitioning::Rebalance,
                LedgerSink::new(&ledger),
            );
        job.checkpoints = unaligned(0);
        job
    };
    let mut job = make(2);
    dies_at(&mut job, 3);
    let report = job.run();
    assert!(
        matches!(report.outcome, Ended::Cancelled),
        "{:?}",
        report.outcome
    );
    assert!(with_channels(&job) > 0, "{:?}", job.store.paths());
    assert!(ledger.rows().len() < 1200);
    let again = job.store.clone();
    job = make(2);
    job.store = again;
    valve.open_to(u64::MAX);
    finish(&job);
    assert_eq!(ledger.sorted(), counted(&splits));
}
