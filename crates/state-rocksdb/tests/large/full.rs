//! A local disk that is full: the attempt fails and says so, what it had taken is given back, and
//! the job goes on from its checkpoint when there is room.
//!
//! A limit on the size of files stands for the disk, so that it is that of one process.

use std::{fs, path::Path};

use weir_operator::Failure;
use weir_runtime::{JobEvent, Outcome as Ended};
use weir_testkit::{Events, Valve};

use super::{
    alone,
    job::{self, Size},
};

/// Where a run in a process of its own finds its folder.
const PLACE: &str = "WEIR_PLACE";

/// Files of the process may have a megabyte or two. A write of more is an error and no signal.
const SMALL_FILES: &str = "trap '' XFSZ; ulimit -f 2048;";

/// What is there before the disk is full: far less than a file may have.
const FIRST: u64 = 20;

const SIZE: Size = Size {
    keys: 4096,
    value: 4096,
    memory: Some(16 << 20),
    subtasks: [1, 1],
};

#[test]
fn a_local_disk_that_fills_fails_the_attempt_and_the_job_goes_on_from_its_checkpoint() {
    if let Some(place) = std::env::var_os(PLACE) {
        return fill(Path::new(&place));
    }
    let test =
        "full::a_local_disk_that_fills_fails_the_attempt_and_the_job_goes_on_from_its_checkpoint";
    let place = tempfile::tempdir().unwrap();
    let path = place.path().display();
    let before = format!("{PLACE}={path}; export {PLACE}; {SMALL_FILES}");
    alone(test, &before).expect("it runs in a process of its own");
    // There is room again.
    let rows = job::rows(SIZE.keys, 2);
    let (job, filled) = job::job(place.path(), SIZE, 1, rows, &Valve::open());
    let report = job.run();
    let finished = matches!(report.outcome, Ended::Finished);
    assert!(finished, "{:?}", report.outcome);
    let (made, found) = (filled.made(), filled.found());
    assert!(
        made <= SIZE.keys - FIRST,
        "the checkpoint had {FIRST} keys, {made} were new"
    );
    assert_eq!(found, SIZE.keys, "each key had what it was given");
}

/// In a process whose files are small.
fn fill(place: &Path) {
    let valve = Valve::at(FIRST);
    let rows = job::rows(SIZE.keys, 2);
    let (mut job, filled) = job::job(place, SIZE, 0, rows, &valve);
    if let Some(config) = &mut job.checkpoints {
        config.interval_ms = Some(5);
        // Those that fail are not what ends the job.
        config.tolerable_failures = 1000;
    }
    let seen = std::sync::atomic::AtomicU32::new(0);
    job.events = Events::reacting(move |event| {
        let order = std::sync::atomic::Ordering::Relaxed;
        // The one that is under way when the last key has come may be without it.
        if matches!(event, JobEvent::Checkpoint(_))
            && filled.made() == FIRST
            && seen.fetch_add(1, order) == 1
        {
            valve.open_to(u64::MAX);
        }
    });
    let report = job.run();
    let Ended::Failed(failed) = &report.outcome else {
        panic!("{:?}", report.outcome);
    };
    let told = failed.failure.to_string();
    let is_local = matches!(failed.failure, Failure::LocalState { .. });
    assert!(is_local && told.contains("File too large"), "{told}");
    // What it had taken is given back: there may be little room.
    for process in fs::read_dir(place.join("local")).unwrap() {
        let left = fs::read_dir(process.unwrap().path()).unwrap();
        let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["LOCK"], "files of the databases are left");
    }
}
