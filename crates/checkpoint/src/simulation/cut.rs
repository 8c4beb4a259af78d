//! The file sink alone, with a fault at each single step of what it does to the disk, and a second
//! one at each step of what it does after that.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use weir_connectors::{Disk, FileSink, FileSinkOptions};
use weir_model::{Attempt, Batch, CheckpointId, Name, SubtaskIndex};
use weir_operator::{Failure, Sealed, Sink, SinkFactory, SinkGuarantee, TaskInfo};

use super::{
    disk::{DiskFault, MemoryDisk},
    plan::{max_parallelism, parallelism},
    rng::Rng,
};

const FOLDER: &str = "/new/folder/out";

/// The checkpoints of a job, each with rows of its own; the second one is confirmed late.
const CHECKPOINTS: [u64; 3] = [1, 2, 3];

struct Job {
    disk: MemoryDisk,
    sink: FileSink,
    attempt: Attempt,
    /// What durable checkpoints hold: all that was sealed up to them.
    durable: BTreeMap<u64, Vec<Sealed>>,
}

impl Job {
    fn new() -> Self {
        let disk = MemoryDisk::default();
        let options = FileSinkOptions {
            job: Name::new("job").unwrap(),
            sink: Name::new("out").unwrap(),
            folder: FOLDER.into(),
            ext: "txt".into(),
            guarantee: SinkGuarantee::ExactlyOnce,
            roll_bytes: Some(6),
        };
        let sink = FileSink::on(Arc::new(disk.clone()), options).unwrap();
        Self {
            disk,
            sink,
            attempt: Attempt(0),
            durable: BTreeMap::new(),
        }
    }

    /// One attempt, from recovery to the last commit.
    fn run(&mut self) -> Result<(), Failure> {
        self.attempt = Attempt(self.attempt.0 + 1);
        let restored = self.durable.values().flatten().cloned();
        self.sink.recover(&restored.collect::<Vec<_>>())?;
        let mut writers = [self.writer(0)?, self.writer(1)?];
        let mut unconfirmed = Vec::new();
        for checkpoint in CHECKPOINTS {
            if self.durable.contains_key(&checkpoint) {
                continue;
            }
            for (subtask, writer) in (0..).zip(&mut writers) {
                for row in rows(checkpoint, subtask) {
                    let values = [row].iter().map(String::as_bytes).collect();
                    let batch = Batch {
                        values,
                        ..Batch::default()
                    };
                    writer.write(batch.rows())?;
                }
            }
            let mut sealed = Vec::new();
            for writer in &mut writers {
                sealed.extend(writer.pre_commit(CheckpointId(checkpoint))?()?);
            }
            unconfirmed.extend(sealed.iter().cloned());
            self.durable.insert(checkpoint, sealed);
            if checkpoint != CHECKPOINTS[1] {
                self.sink.commit(&unconfirmed)?;
                unconfirmed.clear();
            }
        }
        Ok(())
    }

    fn writer(&self, subtask: u32) -> Result<Box<dyn Sink>, Failure> {
        self.sink.create(&TaskInfo {
            job: Name::new("job").unwrap(),
            operator: Name::new("out").unwrap(),
            subtask: SubtaskIndex(subtask),
            parallelism: parallelism(2),
            max_parallelism: max_parallelism(),
            attempt: self.attempt,
        })
    }

    /// One attempt in which a step fails, and what is left after it.
    fn run_with(&mut self, step: u64, fault: DiskFault, power_loss: bool, rng: &mut Rng) {
        self.disk.inject(step, fault);
        let result = self.run();
        if self.disk.is_frozen() {
            assert!(result.is_err());
            self.disk.crash(power_loss, rng);
        }
        self.disk.mend();
        self.check(false);
    }

    /// What is visible is whole, belongs to a durable checkpoint and is there once; and after the
    /// end it is everything, with nothing left open.
    fn check(&self, is_over: bool) {
        let mut expected: Vec<_> = self
            .durable
            .keys()
            .flat_map(|&checkpoint| [rows(checkpoint, 0), rows(checkpoint, 1)].concat())
            .collect();
        let mut visible = Vec::new();
        for name in self.disk.look(Path::new(FOLDER)) {
            if name.starts_with('.') {
                assert!(!is_over, "{name} was left open");
                continue;
            }
            let bytes = self.disk.content(&Path::new(FOLDER).join(&name));
            let text = String::from_utf8(bytes).unwrap();
            assert!(text.ends_with('\n'), "{name} holds {text:?}");
            visible.extend(text.lines().map(str::to_owned));
        }
        visible.sort();
        expected.sort();
        if is_over {
            assert_eq!(visible, expected);
        }
        for row in &visible {
            assert!(expected.contains(row), "{row} is in no durable checkpoint");
        }
        visible.dedup();
        assert!(visible.len() <= expected.len());
    }
}

fn rows(checkpoint: u64, subtask: u32) -> Vec<String> {
    let row = |n| format!("{checkpoint}{subtask}{n}");
    (0..3).map(row).collect()
}

/// The steps of a job in which nothing fails.
fn steps() -> u64 {
    let mut job = Job::new();
    job.run().unwrap();
    job.check(true);
    job.disk.steps()
}

#[test]
fn a_step_of_the_file_sink_that_fails_loses_and_repeats_nothing() {
    let mut rng = Rng::new(1);
    for fault in [DiskFault::Refuse, DiskFault::LoseReply, DiskFault::Half] {
        for step in 1..=steps() {
            let mut job = Job::new();
            job.run_with(step, fault, false, &mut rng);
            // Half of the time power is lost before the next attempt, for another reason.
            if step % 2 == 0 {
                job.disk.crash(true, &mut rng);
                job.check(false);
            }
            job.run().unwrap();
            job.check(true);
        }
    }
}

#[test]
fn a_process_that_dies_at_any_two_steps_of_the_file_sink_loses_and_repeats_nothing() {
    let steps = steps();
    for power_loss in [false, true] {
        for first in 1..=steps {
            for second in 1..=steps {
                let mut rng = Rng::new(first * 1000 + second);
                let mut job = Job::new();
                job.run_with(first, DiskFault::Freeze, power_loss, &mut rng);
                job.run_with(second, DiskFault::Freeze, true, &mut rng);
                job.run().unwrap();
                job.check(true);
                // And all of it is on the disk.
                job.disk.crash(true, &mut rng);
                job.check(true);
            }
        }
    }
}

#[test]
fn a_folder_whose_maker_died_right_then_is_put_on_disk_by_the_next_one() {
    for seed in 0..20 {
        let mut job = Job::new();
        for folder in ["/new", "/new/folder"] {
            job.disk.create_folder(Path::new(folder)).unwrap();
        }
        job.disk.sync_folder(Path::new("/")).unwrap();
        job.run().unwrap();
        job.disk.crash(true, &mut Rng::new(seed));
        job.check(true);
    }
}

#[test]
fn what_a_folder_was_tried_with_does_not_come_back() {
    for seed in 0..20 {
        let job = Job::new();
        job.sink.recover(&[]).unwrap();
        job.disk.crash(true, &mut Rng::new(seed));
        assert_eq!(job.disk.look(Path::new(FOLDER)), [""; 0]);
    }
}
