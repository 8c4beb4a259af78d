//! Which checkpoint, and how: what it holds is found by name, wherever it lies and whoever took it.

use weir_checkpoint::{Metadata, testing::MemoryStore};
use weir_model::Name;
use weir_operator::Part;
use weir_runtime::Mapping;

use super::{
    begin::{crash_at_once, finishes, stop_at, stop_at_once},
    *,
};

/// The names of a job, and how it is.
struct Shape {
    source: &'static str,
    operator: &'static str,
    sink: &'static str,
    parallelism: u32,
    max: u32,
    /// Whether the counter has a chain of its own with the sink, or the sink is alone.
    forward: bool,
}

const SHAPE: Shape = Shape {
    source: "rows",
    operator: "count",
    sink: "out",
    parallelism: 2,
    max: 8,
    forward: true,
};

fn job(shape: &Shape, splits: &[Vec<String>], valve: &Valve, ledger: &Ledger) -> TestJob {
    let source = MemorySource::of(splits).reading(10).behind(valve.clone());
    let p = shape.parallelism;
    let by_key = TestJob::by_prefix();
    let dealing = match shape.forward {
        true => Partitioning::Forward,
        false => Partitioning::Rebalance,
    };
    TestJob::new()
        .max_parallelism(shape.max)
        .source(shape.source, p, source)
        .operator(shape.operator, p, shape.source, by_key, counter())
        .sink(
            shape.sink,
            p,
            shape.operator,
            dealing,
            LedgerSink::new(ledger),
        )
}

/// A job that has stopped with a checkpoint in the middle of its rows.
struct Stopped {
    splits: Vec<Vec<String>>,
    ledger: Ledger,
    valve: Valve,
    store: Arc<MemoryStore>,
    folder: String,
}

impl Stopped {
    fn of(shape: &Shape) -> Self {
        let splits = vec![rows(0, 50, 7), rows(1, 50, 7)];
        let (ledger, valve) = (Ledger::default(), Valve::at(20));
        let mut job = job(shape, &splits, &valve, &ledger);
        stop_at(&mut job, &ledger, 20);
        valve.open_to(u64::MAX);
        let folder = latest(&job).trim_end_matches("/_metadata").to_owned();
        let store = job.store.clone();
        Self {
            splits,
            ledger,
            valve,
            store,
            folder,
        }
    }

    /// The same job, or nearly, in a directory of its own, and what it shows beside what was there.
    fn fork(&self, shape: &Shape) -> (TestJob, Ledger) {
        let ledger = Ledger::default();
        let mut fork = job(shape, &self.splits, &self.valve, &ledger);
        fork.restore = RestoreFrom::Checkpoint(self.foreign());
        fork.claimed_in = Some(self.store.clone());
        (fork, ledger)
    }

    fn foreign(&self) -> Foreign {
        Foreign {
            store: self.store.clone(),
            folder: self.folder.clone(),
        }
    }

    /// That a fork has counted on: what both have shown is each count once.
    #[track_caller]
    fn counted_on(&self, ledger: &Ledger) {
        let mut all = self.ledger.rows();
        all.extend(ledger.rows());
        all.sort();
        assert_eq!(all, counted(&self.splits));
    }
}

fn renaming(pairs: &[(&str, &str)]) -> Mapping {
    let name = |text: &str| Name::new(text).unwrap();
    let pairs = pairs.iter();
    Mapping {
        renamed_from: pairs.map(|(new, old)| (name(new), name(old))).collect(),
        ..Mapping::default()
    }
}

fn notes(job: &TestJob) -> Vec<String> {
    let note = |event: JobEvent| match event {
        JobEvent::Note(note) => Some(note),
        _ => None,
    };
    job.events.all().into_iter().filter_map(note).collect()
}

#[test]
fn c39_state_is_restored_at_any_parallelism_up_to_the_maximum() {
    let first = Stopped::of(&SHAPE);
    for parallelism in [2, 3, 8] {
        let (fork, ledger) = first.fork(&Shape {
            parallelism,
            ..SHAPE
        });
        finishes(&fork);
        first.counted_on(&ledger);
    }
}

#[test]
fn c39_another_max_parallelism_is_refused_with_both_numbers_and_adopted_where_none_is_set() {
    let first = Stopped::of(&SHAPE);
    let (mut fork, ledger) = first.fork(&Shape { max: 16, ..SHAPE });
    let text = failure(&fork.run());
    let words = "it was taken with max-parallelism 8, the job has 16";
    assert!(text.contains(words), "{text}");
    fork.mapping.adopt_max_parallelism = true;
    finishes(&fork);
    first.counted_on(&ledger);
    let told = notes(&fork);
    assert!(
        told.iter()
            .any(|note| note.contains("keeps max-parallelism 8")),
        "{told:?}"
    );
    let saved = Metadata::decode(&fork.store.get(&latest(&fork)).unwrap()).unwrap();
    assert_eq!(saved.max_parallelism.get(), 8);
    // What it has adopted bounds it.
    let (mut wide, _) = first.fork(&Shape {
        max: 16,
        parallelism: 9,
        ..SHAPE
    });
    wide.mapping.adopt_max_parallelism = true;
    let text = failure(&wide.run());
    assert!(text.contains("max-parallelism 8"), "{text}");
    assert!(text.contains("parallelism 9"), "{text}");
}

#[test]
fn c39_state_of_a_renamed_operator_is_refused_unless_it_says_so_or_may_be_left_behind() {
    let first = Stopped::of(&SHAPE);
    let renamed = Shape {
        operator: "total",
        ..SHAPE
    };
    let (fork, _) = first.fork(&renamed);
    let text = failure(&fork.run());
    assert!(text.contains("state of operator `count`"), "{text}");
    assert!(
        text.contains("if it is `total` now, say `renamed-from: count`"),
        "{text}"
    );

    let (mut fork, ledger) = first.fork(&renamed);
    fork.mapping = renaming(&[("total", "count")]);
    finishes(&fork);
    first.counted_on(&ledger);

    // From empty: the rows that are left are counted from one.
    let (mut fork, ledger) = first.fork(&renamed);
    fork.mapping.allow_non_restored_state = true;
    finishes(&fork);
    let told = notes(&fork);
    assert!(
        told[0].contains("state of operator `count` is left behind"),
        "{told:?}"
    );
    let left = first.splits.iter().map(Vec::len).sum::<usize>() - first.ledger.rows().len();
    assert_eq!(ledger.rows().len(), left);
    assert!(
        ledger.rows().contains(&"k0=1".to_owned()),
        "{:?}",
        ledger.rows()
    );
}

#[test]
fn c39_a_checkpoint_that_is_missing_is_refused() {
    let first = Stopped::of(&SHAPE);
    let (mut fork, _) = first.fork(&SHAPE);
    fork.restore = RestoreFrom::Checkpoint(Foreign {
        store: first.store.clone(),
        folder: "test/chk-999".into(),
    });
    let text = failure(&fork.run());
    assert!(text.contains("test/chk-999/_metadata"), "{text}");
    assert!(text.contains("does not exist"), "{text}");
}

#[test]
fn sources_and_sinks_are_renamed_as_operators_are() {
    let first = Stopped::of(&SHAPE);
    let renamed = Shape {
        source: "clicks",
        operator: "total",
        sink: "results",
        ..SHAPE
    };
    let (mut fork, ledger) = first.fork(&renamed);
    let all = [("clicks", "rows"), ("total", "count"), ("results", "out")];
    fork.mapping = renaming(&all);
    stop_at_once(&mut fork);
    // Its own checkpoint knows the new names: the old ones may stay in the job file.
    fork.restore = RestoreFrom::Latest;
    finishes(&fork);
    first.counted_on(&ledger);
}

#[test]
fn an_operator_takes_the_name_that_another_gives_up() {
    let first = Stopped::of(&SHAPE);
    let chain = |names: [&str; 3], valve: &Valve, ledger: &Ledger| {
        let source = MemorySource::of(&first.splits)
            .reading(10)
            .behind(valve.clone());
        let mut job = TestJob::new().source("rows", 1, source);
        let mut from = "rows";
        for (name, keyed) in names.into_iter().zip(["one", "two", "three"]) {
            // A count has the key of its row.
            let again = map_rows(|row| Ok(vec![row.replace('=', "-")]));
            job = job
                .operator(name, 1, from, TestJob::by_prefix(), counter())
                .operator(keyed, 1, name, Partitioning::Forward, again);
            from = keyed;
        }
        job.sink(
            "out",
            1,
            from,
            Partitioning::Rebalance,
            LedgerSink::new(ledger),
        )
    };
    let whole = Ledger::default();
    finishes(&chain(["a", "b", "c"], &Valve::open(), &whole));
    // Each name goes one on, and those that follow another in order of letters one back.
    for names in [["b", "c", "d"], ["z", "a", "b"]] {
        let (valve, ledger) = (Valve::at(20), Ledger::default());
        let mut job = chain(["a", "b", "c"], &valve, &ledger);
        stop_at(&mut job, &ledger, 20);
        let mut next = chain(names, &Valve::open(), &ledger);
        next.restore = RestoreFrom::Checkpoint(Foreign {
            folder: latest(&job).trim_end_matches("/_metadata").to_owned(),
            store: job.store.clone(),
        });
        let pairs: Vec<_> = names.into_iter().zip(["a", "b", "c"]).collect();
        next.mapping = renaming(&pairs);
        finishes(&next);
        assert_eq!(ledger.sorted(), whole.sorted(), "{names:?}");
    }
}

#[test]
fn a_source_that_is_gone_is_refused_or_left_behind() {
    let first = Stopped::of(&SHAPE);
    let other = Shape {
        source: "clicks",
        ..SHAPE
    };
    let (mut fork, ledger) = first.fork(&other);
    let text = failure(&fork.run());
    assert!(text.contains("it was reading source `rows`"), "{text}");
    assert!(text.contains("renamed-from: rows"), "{text}");
    fork.mapping.allow_non_restored_state = true;
    finishes(&fork);
    // All is read from its beginning, and counted on.
    let all = first.splits.iter().flatten().count();
    assert_eq!(ledger.rows().len(), all);
    assert!(notes(&fork)[0].contains("where source `rows` had come to"));
}

#[test]
fn results_of_a_sink_that_is_gone_are_given_up_only_where_that_is_allowed() {
    let splits = [rows(0, 50, 3)];
    let ledger = Ledger::default();
    let valve = Valve::at(10);
    let first = job(&SHAPE, &splits, &valve, &ledger);
    ledger.fail_commits(1);
    assert!(failure(&first.run()).contains("injected"));
    assert_eq!(ledger.sealed(), 1);
    valve.open_to(u64::MAX);
    let shape = Shape {
        sink: "elsewhere",
        ..SHAPE
    };
    let others = Ledger::default();
    let mut fork = job(&shape, &splits, &valve, &others);
    fork.restore = RestoreFrom::Checkpoint(Foreign {
        store: first.store.clone(),
        folder: latest(&first).trim_end_matches("/_metadata").to_owned(),
    });
    let text = failure(&fork.run());
    assert!(
        text.contains("results of sink `out` that are to be committed"),
        "{text}"
    );
    fork.mapping.allow_non_restored_state = true;
    finishes(&fork);
    let told = notes(&fork);
    assert!(told[0].contains("results of sink `out`"), "{told:?}");
    assert!(ledger.rows().is_empty());
    assert_eq!(others.rows().len(), 40);
}

#[test]
fn chains_may_be_split_and_joined() {
    let split = Shape {
        forward: false,
        ..SHAPE
    };
    for (before, after) in [(&SHAPE, &split), (&split, &SHAPE)] {
        let first = Stopped::of(before);
        let (fork, ledger) = first.fork(after);
        finishes(&fork);
        first.counted_on(&ledger);
    }
}

#[test]
fn a_checkpoint_is_restored_from_wherever_it_was_moved() {
    let first = Stopped::of(&SHAPE);
    let moved = Arc::new(MemoryStore::new());
    for object in first.store.list(&format!("{}/", first.folder)).unwrap() {
        let bytes = first.store.get(&object.path).unwrap();
        let inside = object.path.strip_prefix(&first.folder).unwrap();
        moved
            .put(&format!("attic/old{inside}"), vec![bytes])
            .unwrap();
    }
    for folder in ["attic/old", "attic/old/"] {
        let (mut fork, ledger) = first.fork(&SHAPE);
        fork.restore = RestoreFrom::Checkpoint(Foreign {
            store: moved.clone(),
            folder: folder.into(),
        });
        finishes(&fork);
        first.counted_on(&ledger);
    }
}

#[test]
fn no_claim_leaves_everything_as_it_was_and_any_number_of_jobs_may_begin_there() {
    let first = Stopped::of(&SHAPE);
    let before = first.store.paths();
    for _ in 0..2 {
        let (fork, ledger) = first.fork(&SHAPE);
        finishes(&fork);
        first.counted_on(&ledger);
        assert_eq!(first.store.paths(), before);
    }
}

fn is_claimed(first: &Stopped) -> bool {
    let mark = format!("{}/CLAIMED-BY", first.folder);
    first.store.paths().contains(&mark)
}

/// Whether anything is left in the folder of the checkpoint.
fn is_there(first: &Stopped) -> bool {
    let folder = format!("{}/", first.folder);
    first
        .store
        .paths()
        .iter()
        .any(|path| path.starts_with(&folder))
}

#[test]
fn a_claimed_checkpoint_is_deleted_when_it_is_beyond_those_retained() {
    let first = Stopped::of(&SHAPE);
    let others = format!("{}/", first.folder);
    let kept = |path: &String| !path.starts_with(&others);
    let before: Vec<String> = first.store.paths().into_iter().filter(kept).collect();
    let (mut job, ledger) = first.fork(&SHAPE);
    job.checkpoints = Some(Config {
        retained: 2,
        interval_ms: None,
        ..Config::default()
    });
    job.restore = RestoreFrom::Claimed(first.foreign());
    stop_at_once(&mut job);
    // One of its own and this one are retained.
    assert!(is_claimed(&first));
    job.restore = RestoreFrom::Latest;
    finishes(&job);
    assert!(!is_there(&first), "{:?}", first.store.paths());
    assert_eq!(first.store.paths(), before);
    first.counted_on(&ledger);
}

#[test]
fn a_second_claim_is_refused_with_the_name_of_the_first() {
    let first = Stopped::of(&SHAPE);
    let (mut one, _) = first.fork(&SHAPE);
    one.owner = "job `one`".into();
    one.restore = RestoreFrom::Claimed(first.foreign());
    crash_at_once(&mut one);
    assert!(is_claimed(&first));
    let (mut two, ledger) = first.fork(&SHAPE);
    two.owner = "job `two`".into();
    two.restore = RestoreFrom::Claimed(first.foreign());
    let text = failure(&two.run());
    assert!(text.contains("claimed already, by job `one`"), "{text}");
    assert!(is_there(&first));
    // Whoever leaves it as it is may begin there.
    two.restore = RestoreFrom::Checkpoint(first.foreign());
    finishes(&two);
    first.counted_on(&ledger);
    assert!(is_claimed(&first));
}

#[test]
fn a_job_that_died_before_its_first_checkpoint_begins_at_its_claim_again() {
    let first = Stopped::of(&SHAPE);
    let (mut job, ledger) = first.fork(&SHAPE);
    job.restore = RestoreFrom::Claimed(first.foreign());
    crash_at_once(&mut job);
    job.restore = RestoreFrom::Latest;
    let report = finishes(&job);
    let (_, at) = report.restored.unwrap();
    assert!(at.ends_with(&first.folder), "{at}");
    first.counted_on(&ledger);
    assert!(!is_there(&first), "{:?}", first.store.paths());
}

/// The same job with this operator.
fn with_operator(first: &Stopped, operator: Closures) -> (TestJob, Ledger) {
    let ledger = Ledger::default();
    let source = MemorySource::of(&first.splits).behind(first.valve.clone());
    let mut job = TestJob::new()
        .max_parallelism(SHAPE.max)
        .source("rows", 2, source)
        .operator("count", 3, "rows", TestJob::by_prefix(), operator)
        .sink(
            "out",
            3,
            "count",
            Partitioning::Forward,
            LedgerSink::new(&ledger),
        );
    job.restore = RestoreFrom::Checkpoint(first.foreign());
    (job, ledger)
}

#[test]
fn state_of_an_older_version_is_migrated_by_its_component() {
    let first = Stopped::of(&SHAPE);
    // Each count is 1,000 higher from here on.
    let later = |_: Part, from: u32, value: &[u8]| {
        let count = u64::from_le_bytes(value.try_into().map_err(|_| "eight bytes")?);
        assert_eq!(from, 1);
        Ok((count + 1_000).to_le_bytes().to_vec())
    };
    let (job, ledger) = with_operator(&first, counter().evolving(2, later));
    finishes(&job);
    let saved = Metadata::decode(&job.store.get(&latest(&job)).unwrap()).unwrap();
    assert_eq!(saved.operators["count"].states[0].version, 2);
    let mut all = first.ledger.rows();
    all.extend(ledger.rows().iter().map(|row| {
        let (key, count) = row.split_once('=').unwrap();
        let count: u64 = count.parse().unwrap();
        // A key that was not there before begins at one.
        format!(
            "{key}={}",
            if count > 1_000 { count - 1_000 } else { count }
        )
    }));
    all.sort();
    assert_eq!(all, counted(&first.splits));
    assert!(ledger.rows().iter().any(|row| row.contains("=10")));
}

#[test]
fn a_migration_that_fails_is_told_and_changes_nothing() {
    let first = Stopped::of(&SHAPE);
    let before = first.store.paths();
    let refusing = |part: Part, from: u32, _: &[u8]| Err(format!("{part:?} of {from} is unknown"));
    let (mut job, ledger) = with_operator(&first, counter().evolving(2, refusing));
    job.restart = RESTARTS;
    let text = failure(&job.run());
    let words = "state `count` cannot be migrated from version 1 of its format to 2 (value): the \
                 component reports: Value of 1 is unknown";
    assert!(text.contains(words), "{text}");
    assert_eq!((first.store.paths(), ledger.rows().len()), (before, 0));
    // Without the interface it is not even tried.
    let (job, _) = with_operator(&first, {
        let mut plain = counter();
        plain.version(2);
        plain
    });
    let text = failure(&job.run());
    assert!(
        text.contains("does not export `weir:operator/evolving`"),
        "{text}"
    );
    // The component that wrote it goes on from it.
    let (fork, ledger) = first.fork(&SHAPE);
    finishes(&fork);
    first.counted_on(&ledger);
}

#[test]
fn a_flipped_bit_in_any_file_is_found_before_anything_starts() {
    let first = Stopped::of(&SHAPE);
    let folder = format!("{}/", first.folder);
    let files = first.store.list(&folder).unwrap();
    let mut tried = 0;
    for file in files.iter().filter(|file| file.length > 0) {
        // The mark is a note of what was shown, and read where one falls back.
        if file.path.ends_with("_committed") {
            continue;
        }
        let bits = usize::try_from(file.length * 8).unwrap();
        // Many places, the same each time, the first and the last bytes among them.
        let step = (bits / 61).max(1);
        for bit in (0..bits).step_by(step).chain([bits - 1]) {
            assert!(first.store.flip(&file.path, bit));
            let (fork, ledger) = first.fork(&SHAPE);
            let text = failure(&fork.run());
            let name = file.path.strip_prefix(&folder).unwrap();
            assert!(text.contains(name), "bit {bit} of {name}: {text}");
            assert!(ledger.rows().is_empty() && fork.store.paths().is_empty());
            assert!(first.store.flip(&file.path, bit));
            tried += 1;
        }
    }
    assert!(tried > 120, "{tried}");
    let (fork, ledger) = first.fork(&SHAPE);
    finishes(&fork);
    first.counted_on(&ledger);
}

/// The checkpoint in another store, with one file as `change` makes it; without it where that gives
/// nothing.
fn changed(
    first: &Stopped,
    name: &str,
    change: impl Fn(Vec<u8>) -> Option<Vec<u8>>,
) -> Arc<MemoryStore> {
    let store = Arc::new(MemoryStore::new());
    for object in first.store.list(&format!("{}/", first.folder)).unwrap() {
        let bytes = first.store.get(&object.path).unwrap();
        let is_it = object.path == format!("{}/{name}", first.folder);
        let bytes = match is_it {
            true => change(bytes),
            false => Some(bytes),
        };
        if let Some(bytes) = bytes {
            store.put(&object.path, vec![bytes]).unwrap();
        }
    }
    store
}

#[test]
fn a_checkpoint_that_is_not_whole_newer_or_another_jobs_is_told_as_what_it_is() {
    let first = Stopped::of(&SHAPE);
    let text_of = |store: Arc<MemoryStore>| {
        let (mut fork, ledger) = first.fork(&SHAPE);
        fork.restore = RestoreFrom::Checkpoint(Foreign {
            store,
            folder: first.folder.clone(),
        });
        let text = failure(&fork.run());
        assert!(ledger.rows().is_empty());
        text
    };
    let state = "count/0/state";
    let cut = |mut bytes: Vec<u8>| {
        bytes.truncate(bytes.len() / 2);
        Some(bytes)
    };
    let newer = |bytes: Vec<u8>| {
        let text = String::from_utf8(bytes).unwrap();
        let (head, rest) = text.split_once(" crc32c").unwrap();
        let (begin, _) = head.rsplit_once('v').unwrap();
        Some(format!("{begin}v99 crc32c{rest}").into_bytes())
    };
    let others = |bytes: Vec<u8>| {
        let mut metadata = Metadata::decode(&bytes).unwrap();
        metadata.job = Name::new("other").unwrap();
        Some(metadata.encode().unwrap())
    };
    let missing = text_of(changed(&first, state, |_| None));
    assert!(
        missing.contains(state) && missing.contains("does not exist"),
        "{missing}"
    );
    let short = text_of(changed(&first, state, cut));
    assert!(
        short.contains("bytes, ") && short.contains("were written"),
        "{short}"
    );
    let short = text_of(changed(&first, "_metadata", cut));
    assert!(short.contains("truncated"), "{short}");
    let newer = text_of(changed(&first, "_metadata", newer));
    assert!(
        newer.contains("version 99, this host reads up to"),
        "{newer}"
    );
    let others = text_of(changed(&first, "_metadata", others));
    assert!(
        others.contains("a checkpoint of job `other`, not of `test`"),
        "{others}"
    );
    let nothing = text_of(changed(&first, "_metadata", |_| None));
    assert!(
        nothing.contains("_metadata") && nothing.contains("does not exist"),
        "{nothing}"
    );
}
