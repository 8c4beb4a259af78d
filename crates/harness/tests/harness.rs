//! What the harness promises, on operators out of closures.

#![expect(
    clippy::unwrap_used,
    reason = "a panic is how a test says that something is wrong"
)]

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use weir_checkpoint::testing::MemoryStore;
use weir_formats::CsvKey;
use weir_graph::{OnError, Partitioning};
use weir_harness::{Caught, Harness, Keeping, Row, Setup, Stopped};
use weir_model::{EventTime, KeyGroupRange, Name, Parallelism};
use weir_operator::{Context, Due, Emitted, Failure, OperatorFactory, Outcome, TaskInfo};
use weir_runtime::BackendFactory;
use weir_state::{Backend, HeapBackend, Held, StateDecl, TimerKind, When};
use weir_testkit::{Closures, map_rows};

struct Heap;

impl BackendFactory for Heap {
    fn create(
        &self,
        _: &TaskInfo,
        states: &[StateDecl],
        range: KeyGroupRange,
    ) -> Result<Box<dyn Backend>, Failure> {
        Ok(Box::new(HeapBackend::new(states.to_vec(), range)?))
    }
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn by_first() -> Partitioning {
    Partitioning::Hash(Arc::new(CsvKey::new(b',', &[0])))
}

/// An operator with inputs `in`, `in-2` and so on, by the first column.
fn setup(operator: impl OperatorFactory + 'static) -> Setup {
    let inputs = operator.descriptor().inputs;
    let keeping = Keeping {
        backend: Arc::new(Heap),
        store: Arc::new(MemoryStore::new()),
    };
    let setup = Setup::new(name("test"), name("it"), Arc::new(operator), keeping);
    (0..inputs).fold(setup, |setup, _| setup.input(name("in"), by_first()))
}

/// Rows of keys, each `<key>,…`.
fn rows(all: &[&str]) -> Vec<Row> {
    all.iter().map(|row| Row::new(*row)).collect()
}

fn texts(caught: Vec<Caught>) -> Vec<String> {
    let text = |row: Caught| String::from_utf8(row.value).unwrap();
    caught.into_iter().map(text).collect()
}

fn sorted(caught: Vec<Caught>) -> Vec<String> {
    let mut texts = texts(caught);
    texts.sort();
    texts
}

/// Sets timers `<key>,<kind>,<time>`, and says which fire: `<key>@<time>`.
fn timers() -> Closures {
    Closures::new(|cx, _, rows| {
        let keyed = rows.keyed.unwrap();
        for (row, &key) in rows.values.iter().zip(keyed.key_of_row) {
            let text = std::str::from_utf8(row).unwrap();
            let mut fields = text.split(',').skip(1);
            let kind = match fields.next().unwrap() {
                "event" => TimerKind::EventTime,
                "clock" => TimerKind::ProcessingTime,
                _ => continue,
            };
            let at = fields.next().unwrap().parse().unwrap();
            cx.state.timers_set(kind, &[key], &[at])?;
        }
        Ok(Outcome::default())
    })
    .with_timers(fired)
}

fn fired(_: &mut Context, due: Due<'_>) -> Result<Outcome, Failure> {
    let mut emitted = Emitted::default();
    for (at, time) in due.at.iter().enumerate() {
        let key = due.keyed.keys.get(due.keyed.key_of_row[at] as usize);
        // A part of a key stands after its length.
        let key = String::from_utf8_lossy(&key[1..]).into_owned();
        emitted.values.push(format!("{key}@{time}").as_bytes());
        emitted.origin.push(u32::try_from(at).unwrap());
    }
    Ok(Outcome {
        emitted: vec![emitted],
        poisoned: None,
    })
}

/// All timers that are set, as `<key>: <kind> <time>`.
fn held_timers(harness: &Harness) -> Vec<String> {
    let held = harness.held().unwrap();
    let timer = |(key, when): (&[u8], When)| {
        let key = String::from_utf8_lossy(&key[1..]).into_owned();
        format!("{key}: {} {}", when.kind.as_str(), when.at)
    };
    let mut timers: Vec<String> = held.timers().into_iter().map(timer).collect();
    timers.sort();
    timers
}

#[test]
fn after_a_step_all_that_it_brought_about_is_there() {
    let mut harness = Harness::start(setup(map_rows(|row| Ok(vec![row.to_uppercase()])))).unwrap();
    for number in 0..50 {
        let row = format!("a,{number}");
        harness.rows(0, rows(&[&row, &row])).unwrap();
        let expected = row.to_uppercase();
        assert_eq!(texts(harness.take(0)), [expected.clone(), expected]);
    }
    assert!(harness.take(0).is_empty(), "what was looked at is gone");
}

#[test]
fn c18_timers_fire_with_the_watermark_of_the_slowest_input() {
    let mut harness = Harness::start(setup(timers().with_inputs(2))).unwrap();
    harness.rows(0, rows(&["a,event,10"])).unwrap();
    harness.rows(1, rows(&["b,event,20"])).unwrap();
    harness.watermark(0, EventTime(30)).unwrap();
    assert!(harness.take(0).is_empty(), "nothing is known of input 1");
    harness.watermark(1, EventTime(10)).unwrap();
    assert_eq!(texts(harness.take(0)), ["a@10"]);
    harness.idle(1).unwrap();
    assert_eq!(
        texts(harness.take(0)),
        ["b@20"],
        "nobody waits for an idle one"
    );
    let falling = harness.watermark(1, EventTime(9)).unwrap_err();
    assert!(
        matches!(falling, Stopped::Falling { input: 1, .. }),
        "{falling}"
    );
    // One that is idle no more is waited for again when it has caught up.
    harness.rows(0, rows(&["a,event,40"])).unwrap();
    harness.watermark(1, EventTime(31)).unwrap();
    harness.watermark(0, EventTime(50)).unwrap();
    assert!(harness.take(0).is_empty());
    harness.end(1).unwrap();
    assert_eq!(
        texts(harness.take(0)),
        ["a@40"],
        "an ended one holds nobody up"
    );
    assert!(matches!(
        harness.rows(1, rows(&["b,none"])),
        Err(Stopped::InputEnded(1))
    ));
    harness.rescale(Parallelism::new(2).unwrap()).unwrap();
    harness
        .rows(0, rows(&["a,event,60", "b,event,60"]))
        .unwrap();
    harness.watermark(0, EventTime(60)).unwrap();
    assert_eq!(
        sorted(harness.take(0)),
        ["a@60", "b@60"],
        "nor after a restore"
    );
}

#[test]
fn c17_timers_of_the_clock_fire_when_time_passes_and_not_before() {
    let mut harness = Harness::start(setup(timers())).unwrap();
    let all = rows(&["a,clock,1000", "b,clock,2000", "c,clock,2000"]);
    harness.rows(0, all).unwrap();
    harness.advance(Duration::from_millis(999)).unwrap();
    assert!(harness.take(0).is_empty());
    harness.advance(Duration::from_millis(1)).unwrap();
    assert_eq!(texts(harness.take(0)), ["a@1000"]);
    harness.advance(Duration::from_secs(3600)).unwrap();
    assert_eq!(sorted(harness.take(0)), ["b@2000", "c@2000"]);
}

#[test]
fn a_restore_goes_back_and_a_rescale_goes_on() {
    let mut harness = Harness::start(setup(weir_testkit::counter())).unwrap();
    let keys: Vec<String> = (0..20).map(|key| format!("k{key:02},x")).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let counted = |count: u64| -> Vec<String> {
        let key = |row: &&str| row.split(',').next().unwrap().to_owned();
        // The counter shows keys as they are kept: a part after its length.
        keys.iter()
            .map(|row| format!("\u{3}{}={count}", key(row)))
            .collect()
    };
    harness.rows(0, rows(&keys)).unwrap();
    assert_eq!(texts(harness.take(0)), counted(1));
    let snapshot = harness.snapshot().unwrap();
    harness.rows(0, rows(&keys)).unwrap();
    harness.restore(&snapshot).unwrap();
    assert!(
        harness.take(0).is_empty(),
        "what came after the snapshot is forgotten"
    );
    harness.rows(0, rows(&keys)).unwrap();
    assert_eq!(texts(harness.take(0)), counted(2));
    for (parallelism, count) in [(3, 3), (1, 4), (2, 5)] {
        harness
            .rescale(Parallelism::new(parallelism).unwrap())
            .unwrap();
        harness.rows(0, rows(&keys)).unwrap();
        assert_eq!(sorted(harness.take(0)), counted(count), "at {parallelism}");
        let held = harness.held().unwrap();
        let counts: Vec<&Held> = held.of("count").map(|(_, count)| count).collect();
        let expected = Held::Cell(count.to_le_bytes().to_vec());
        assert_eq!(counts, vec![&expected; 20]);
    }
    harness.restore(&snapshot).unwrap();
    assert_eq!(harness.parallelism(), Parallelism::ONE);
    harness.rows(0, rows(&keys)).unwrap();
    assert_eq!(
        texts(harness.take(0)),
        counted(2),
        "it can be gone back to again"
    );
}

#[test]
fn a_crash_is_not_seen_where_all_is_in_the_state() {
    let mut harness = Harness::start(setup(timers())).unwrap();
    harness
        .rows(0, rows(&["a,event,10", "b,event,30", "c,clock,500"]))
        .unwrap();
    harness.watermark(0, EventTime(20)).unwrap();
    harness.snapshot().unwrap();
    let set: Vec<_> = held_timers(&harness);
    assert_eq!(set, ["b: event-time 30", "c: processing-time 500"]);
    harness
        .rows(0, rows(&["a,event,25", "d,event,15"]))
        .unwrap();
    harness.watermark(0, EventTime(26)).unwrap();
    harness.advance(Duration::from_secs(1)).unwrap();
    assert_eq!(harness.crash().unwrap(), []);
    assert_eq!(texts(harness.take(0)), ["a@10", "d@15", "a@25", "c@500"]);
    harness.end(0).unwrap();
    assert_eq!(texts(harness.take(0)), ["b@30"]);
    assert_eq!(harness.crash().unwrap(), [], "an end, too, is done again");
    assert!(harness.has_ended());
    assert!(matches!(
        harness.rows(0, rows(&["a,none"])),
        Err(Stopped::Ended)
    ));
}

#[test]
fn a_crash_shows_what_is_kept_beside_the_state() {
    let seen = Arc::new(AtomicU64::new(0));
    let operator = map_rows(move |_| Ok(vec![seen.fetch_add(1, Ordering::SeqCst).to_string()]));
    let mut harness = Harness::start(setup(operator)).unwrap();
    harness.rows(0, rows(&["a,1"])).unwrap();
    harness.snapshot().unwrap();
    harness.rows(0, rows(&["a,2"])).unwrap();
    let differs = harness.crash().unwrap();
    assert_eq!(differs.len(), 1);
    assert_eq!(differs[0].output, 0);
    assert_eq!(texts(differs[0].before.clone()), ["1"]);
    assert_eq!(texts(differs[0].after.clone()), ["2"]);
}

#[test]
fn a_failure_is_told_at_its_step_and_a_snapshot_is_the_way_back() {
    let operator = map_rows(|row| Ok(vec![row.to_owned()])).trapping_at(|row| row == b"a,bad");
    let mut harness = Harness::start(setup(operator)).unwrap();
    harness.rows(0, rows(&["a,1"])).unwrap();
    let snapshot = harness.snapshot().unwrap();
    let Err(Stopped::Failed(failure)) = harness.rows(0, rows(&["a,2", "a,bad"])) else {
        panic!("it trapped");
    };
    assert_eq!(failure.failure.code(), "W0102");
    assert_eq!(failure.place.unwrap().node, name("it"));
    assert!(matches!(
        harness.advance(Duration::ZERO),
        Err(Stopped::Failed(_))
    ));
    harness.restore(&snapshot).unwrap();
    harness.rows(0, rows(&["a,3"])).unwrap();
    assert_eq!(texts(harness.take(0)), ["a,3"]);
}

#[test]
fn rows_that_are_left_out_are_counted_and_dead_letters_kept() {
    let refusing = || map_rows(|row| Ok(vec![row.to_owned()])).trapping_at(|row| row == b"a,bad");
    let mut skipping = setup(refusing());
    skipping.on_error = OnError::Skip;
    let mut harness = Harness::start(skipping).unwrap();
    harness
        .rows(0, rows(&["a,1", "a,bad", "a,2", "a,bad"]))
        .unwrap();
    assert_eq!(texts(harness.take(0)), ["a,1", "a,2"]);
    assert_eq!(harness.take_skipped(), 2);
    assert_eq!(harness.crash().unwrap(), []);
    assert_eq!(
        harness.take_skipped(),
        0,
        "those were counted before the crash"
    );
    harness.rows(0, rows(&["a,bad"])).unwrap();
    assert_eq!(harness.take_skipped(), 1);

    let mut lettered = setup(refusing());
    lettered.on_error = OnError::DeadLetter(name("letters"));
    let mut harness = Harness::start(lettered).unwrap();
    harness.rows(0, rows(&["a,1", "a,bad"])).unwrap();
    assert_eq!(texts(harness.take(0)), ["a,1"]);
    let letters = texts(harness.take_dead_letters());
    assert_eq!(letters.len(), 1);
    assert!(
        letters[0].contains("\"input\":\"in\"") && letters[0].contains("a,bad"),
        "{letters:?}"
    );
}

#[test]
fn a_snapshot_that_is_refused_is_told_and_the_job_goes_on() {
    let refuses = Arc::new(AtomicU64::new(0));
    let told = refuses.clone();
    let operator = map_rows(|row| Ok(vec![row.to_owned()])).with_snapshot(move |_, _| {
        match told.load(Ordering::SeqCst) {
            0 => Ok(Vec::new()),
            _ => Err(Failure::Guest {
                message: "not now".into(),
                row: None,
            }),
        }
    });
    let mut harness = Harness::start(setup(operator)).unwrap();
    refuses.store(1, Ordering::SeqCst);
    let refused = harness.rows(0, rows(&["a,1"])).unwrap_err();
    assert!(refused.to_string().contains("not now"), "{refused}");
    refuses.store(0, Ordering::SeqCst);
    harness.rows(0, rows(&["a,2"])).unwrap();
    assert_eq!(texts(harness.take(0)), ["a,1", "a,2"]);
}
