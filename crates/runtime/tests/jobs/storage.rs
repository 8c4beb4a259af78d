//! A storage that fails, tears, lies and freezes at the n-th write of a short job, for every n; and
//! how many objects a checkpoint has (D19).

use std::collections::BTreeMap;

use weir_checkpoint::{JobPaths, Metadata, SharedRegistry, Survey};
use weir_model::Name;

use super::*;

/// The writes of a short job: where it began, two tasks and the metadata for each of its few
/// checkpoints, and that it has finished.
const WRITES_MAX: u64 = 12;

fn paths() -> JobPaths {
    JobPaths::new(&Name::new("test").unwrap())
}

/// A job that bears failures of checkpoints and is started again when it fails.
fn hardy(splits: &[Vec<String>], incremental: bool, ledger: &Ledger) -> TestJob {
    let mut job = counting(splits, &Valve::open(), 2, ledger);
    job.checkpoints = Some(Config {
        interval_ms: Some(1),
        tolerable_failures: 1000,
        retained: 2,
        incremental,
        ..Config::default()
    });
    job.restart = RESTARTS;
    job
}

/// What lies in the store is what it should be: whole checkpoints, no more than are retained, and
/// nothing else.
fn check_store(job: &TestJob, what: &str) {
    let (paths, store) = (paths(), &job.store);
    let survey = Survey::of(&paths, &store.list(paths.root()).unwrap());
    assert!(survey.orphans.is_empty(), "{what}: {survey:?}");
    assert!(survey.completed.len() <= 3, "{what}: {survey:?}");
    let mut registry = SharedRegistry::default();
    for &id in &survey.completed {
        let metadata = Metadata::decode(&store.get(&paths.metadata(id)).unwrap()).unwrap();
        for file in metadata.files() {
            let bytes = store.get(&paths.in_checkpoint(id, &file.path)).unwrap();
            assert_eq!(bytes.len() as u64, file.length, "{what}: {}", file.path);
        }
        registry.found(id, metadata.shared());
    }
    let orphans = survey.shared_orphans(&mut registry);
    assert!(orphans.is_empty(), "{what}: {orphans:?}");
}

/// Runs it until it has finished. A process whose storage is dead is started again.
fn finish(job: &TestJob, what: &str) {
    for _ in 0..3 {
        let report = job.run();
        match &report.outcome {
            Ended::Finished | Ended::AlreadyFinished(_) => return,
            Ended::Failed(failed) => {
                let text = failed.failure.to_string();
                let is_told = text.contains("injected fault") || text.contains("frozen");
                assert!(is_told, "{what}: {text}");
            }
            Ended::Stopped(_) | Ended::Cancelled => panic!("{what}: {:?}", report.outcome),
        }
        job.store.thaw();
    }
    panic!("{what}: it never finishes");
}

#[test]
fn a_write_that_fails_at_any_point_costs_a_checkpoint_and_nothing_else() {
    let splits = [rows(0, 600, 50), rows(1, 400, 50)];
    let expected = counted(&splits);
    let mut failed = BTreeMap::<String, u32>::new();
    for fault in [Fault::Refuse, Fault::LoseReply, Fault::Tear, Fault::Freeze] {
        for incremental in [false, true] {
            for n in 1..=WRITES_MAX {
                let what = format!("{fault:?} of write {n}, incremental: {incremental}");
                let ledger = Ledger::default();
                let mut job = hardy(&splits, incremental, &ledger);
                if let (Fault::Freeze, Some(config)) = (fault, &mut job.checkpoints) {
                    // There is nothing to hope for: the process dies.
                    config.tolerable_failures = 0;
                }
                job.store.inject(n, fault);
                finish(&job, &what);
                assert_eq!(ledger.sorted(), expected, "{what}");
                assert_eq!(ledger.sealed(), 0, "{what}");
                check_store(&job, &what);
                for event in job.events.all() {
                    if let JobEvent::CheckpointFailed { reason, .. } = event
                        && reason.contains("injected fault")
                    {
                        *failed.entry(format!("{fault:?}")).or_default() += 1;
                    }
                }
            }
        }
    }
    // Otherwise it was not the storage that was tried.
    for fault in ["Refuse", "LoseReply", "Tear"] {
        assert!(failed.get(fault).is_some_and(|&n| n > 5), "{failed:?}");
    }
}

#[test]
fn d19_a_task_writes_one_object_for_a_checkpoint() {
    let splits = [rows(0, 2000, 50), rows(1, 2000, 50)];
    for incremental in [false, true] {
        let ledger = Ledger::default();
        let mut job = hardy(&splits, incremental, &ledger);
        if let Some(config) = &mut job.checkpoints {
            config.retained = 100_000;
        }
        let report = job.run();
        assert!(
            matches!(report.outcome, Ended::Finished),
            "{:?}",
            report.outcome
        );
        let paths = paths();
        let mut objects = BTreeMap::<(u64, String), u32>::new();
        let mut completed = 0;
        for path in job.store.paths() {
            let (id, task) = if let Some(file) = paths.shared_of(&path) {
                (file.checkpoint, format!("{}/{}", file.head, file.subtask))
            } else if let Some(id) = paths.checkpoint_of(&path) {
                if paths.metadata_of(&path).is_some() {
                    completed += 1;
                }
                let inside = path.strip_prefix(&paths.checkpoint(id)).unwrap();
                let task = inside.rsplit_once('/').map_or(inside, |(task, _)| task);
                (id, task.to_owned())
            } else {
                continue;
            };
            *objects.entry((id.0, task)).or_default() += 1;
        }
        assert!(objects.values().all(|&count| count == 1), "{objects:?}");
        // Only `count` keeps anything: two tasks, the metadata, and the mark at the end.
        assert_eq!(objects.len(), completed * 3 + 1, "{objects:?}");
    }
}

#[test]
fn a_disk_that_fills_during_checkpoints_costs_them_and_their_room_and_the_job_goes_on() {
    let splits = [rows(0, 2000, 50), rows(1, 2000, 50)];
    for incremental in [false, true] {
        let ledger = Ledger::default();
        let valve = Valve::at(100);
        let mut job = hardy(&splits, incremental, &ledger);
        job = {
            let mut behind = counting(&splits, &valve, 2, &ledger);
            behind.checkpoints = job.checkpoints.take();
            behind
        };
        let (store, full, failed) = (job.store.clone(), AtomicBool::new(false), AtomicU32::new(0));
        job.events = Events::reacting(move |event| match event {
            // What is there stays, and a little is left: the next ones begin and do not end.
            JobEvent::Checkpoint(_) if !full.swap(true, Ordering::Relaxed) => {
                store.set_room(Some(store.bytes() + 100));
                valve.open_to(1000);
            }
            JobEvent::CheckpointFailed { reason, .. } => {
                for part in ["no room", "No space left", "W0135"] {
                    assert!(reason.contains(part), "{reason}");
                }
                if failed.fetch_add(1, Ordering::Relaxed) == 5 {
                    store.set_room(None);
                    valve.open_to(u64::MAX);
                }
            }
            _ => {}
        });
        let report = job.run();
        let finished = matches!(report.outcome, Ended::Finished);
        assert!(finished && report.restarts == 0, "{:?}", report.outcome);
        assert_eq!(ledger.sorted(), counted(&splits));
        check_store(&job, "after a full disk");
        let listed = job.store.list("").unwrap();
        let whole: u64 = listed.iter().map(|object| object.length).sum();
        assert_eq!(job.store.bytes(), whole, "nothing of those that failed");
    }
}
