//! The registry against a model that looks through everything each time.

use proptest::prelude::*;
use weir_model::{Attempt, Name, SubtaskIndex};

use super::*;

fn file(subtask: u32, checkpoint: u64) -> SharedFile {
    SharedFile {
        head: Name::new("count").unwrap(),
        subtask: SubtaskIndex(subtask),
        checkpoint: CheckpointId(checkpoint),
        attempt: Attempt(1),
    }
}

fn id(n: u64) -> CheckpointId {
    CheckpointId(n)
}

#[test]
fn a_file_lives_as_long_as_the_last_checkpoint_that_names_it() {
    let mut registry = SharedRegistry::default();
    registry.found(id(1), [file(0, 1)]);
    for n in 2..=4 {
        registry.triggered(id(n), Some(id(n - 1)));
        registry.acked(id(n), [file(0, 1), file(0, n)]);
        assert_eq!(registry.completed(id(n)), []);
    }
    assert_eq!(registry.removed(id(1)), []);
    assert_eq!(registry.removed(id(2)), [file(0, 2)]);
    assert_eq!(registry.removed(id(3)), [file(0, 3)]);
    assert_eq!(registry.removed(id(4)), [file(0, 1), file(0, 4)]);
    assert_eq!(registry.removed(id(4)), []);
}

#[test]
fn a_base_that_was_subsumed_is_held_by_what_is_under_way_on_it() {
    let mut registry = SharedRegistry::default();
    registry.found(id(5), [file(0, 5), file(1, 5)]);
    registry.triggered(id(6), Some(id(5)));
    registry.triggered(id(7), Some(id(5)));
    registry.acked(id(6), [file(0, 6)]);
    assert_eq!(registry.completed(id(6)), []);
    assert_eq!(registry.removed(id(5)), []);
    registry.acked(id(7), [file(0, 5), file(0, 7)]);
    // Only now nobody can come to name it.
    assert_eq!(registry.completed(id(7)), [file(1, 5)]);
    assert_eq!(registry.removed(id(6)), [file(0, 6)]);
}

#[test]
fn what_was_given_up_takes_its_own_files_along_and_nobody_elses() {
    let mut registry = SharedRegistry::default();
    registry.found(id(5), [file(0, 5)]);
    registry.triggered(id(6), Some(id(5)));
    registry.acked(id(6), [file(0, 5), file(0, 6)]);
    assert_eq!(registry.removed(id(6)), [file(0, 6)]);
    // The second task comes too late.
    registry.acked(id(6), [file(0, 5), file(1, 6)]);
    assert_eq!(registry.discarded([file(0, 5), file(1, 6)]), [file(1, 6)]);
    assert!(registry.holds(&file(0, 5)));
}

#[test]
fn what_cannot_be_read_may_name_everything_that_is_not_newer() {
    let mut registry = SharedRegistry::default();
    registry.found(id(7), [file(0, 7)]);
    registry.found_unreadable(id(8));
    assert!(registry.holds(&file(1, 8)) && !registry.holds(&file(1, 9)));
    assert_eq!(
        registry.orphans(&[file(0, 7), file(1, 8), file(1, 9)]),
        [file(1, 9)]
    );
    assert_eq!(registry.removed(id(7)), []);
    // Nobody is left that could name them.
    assert_eq!(registry.removed(id(8)), [file(0, 7), file(1, 8)]);
    assert!(!registry.holds(&file(0, 7)));
}

/// What happens in a run.
#[derive(Clone, Copy, Debug)]
enum Step {
    Trigger {
        full: bool,
    },
    /// A task writes a file for a checkpoint under way, and acknowledges it.
    Ack {
        pending: usize,
        task: u32,
        keeps: u8,
    },
    /// A task writes a file for a checkpoint that was given up, and acknowledges it.
    Late {
        task: u32,
    },
    Complete {
        pending: usize,
    },
    Abort {
        pending: usize,
    },
    /// The oldest goes, unless it is the only one.
    Subsume,
    /// The process starts again over what is in the store.
    Restart,
}

fn any_step() -> impl Strategy<Value = Step> {
    let pending = 0..3usize;
    prop_oneof![
        3 => any::<bool>().prop_map(|full| Step::Trigger { full }),
        6 => (pending.clone(), 0..3u32, any::<u8>())
            .prop_map(|(pending, task, keeps)| Step::Ack { pending, task, keeps }),
        1 => (0..3u32).prop_map(|task| Step::Late { task }),
        3 => pending.clone().prop_map(|pending| Step::Complete { pending }),
        2 => pending.prop_map(|pending| Step::Abort { pending }),
        2 => Just(Step::Subsume),
        1 => Just(Step::Restart),
    ]
}

/// The store, and what is known without any counting.
#[derive(Default)]
struct Model {
    registry: SharedRegistry,
    next: u64,
    files: BTreeSet<SharedFile>,
    complete: BTreeMap<u64, BTreeSet<SharedFile>>,
    /// The files of the base, and those that were acknowledged.
    pending: BTreeMap<u64, (BTreeSet<SharedFile>, BTreeSet<SharedFile>)>,
    given_up: BTreeSet<u64>,
    acked: BTreeSet<(u64, u32)>,
}

impl Model {
    fn nth(&self, pending: usize) -> Option<u64> {
        self.pending.keys().copied().nth(pending)
    }

    fn delete(&mut self, files: Vec<SharedFile>) {
        for file in files {
            assert!(self.files.remove(&file), "{file:?} goes twice");
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Trigger { full } => {
                self.next += 1;
                let base = self.complete.last_key_value().filter(|_| !full);
                self.registry
                    .triggered(id(self.next), base.map(|(&base, _)| id(base)));
                let files = base.map(|(_, files)| files.clone()).unwrap_or_default();
                self.pending.insert(self.next, (files, BTreeSet::new()));
            }
            Step::Ack {
                pending,
                task,
                keeps,
            } => self.ack(pending, task, keeps),
            Step::Late { task } => {
                let last = self.given_up.last().copied();
                let Some(n) = last.filter(|&n| self.acked.insert((n, task))) else {
                    return;
                };
                self.files.insert(file(task, n));
                self.registry.acked(id(n), [file(task, n)]);
                let gone = self.registry.discarded([file(task, n)]);
                self.delete(gone);
            }
            Step::Complete { pending } => {
                let Some(n) = self.nth(pending) else { return };
                let (_, named) = self.pending.remove(&n).unwrap();
                self.complete.insert(n, named);
                let gone = self.registry.completed(id(n));
                self.delete(gone);
            }
            Step::Abort { pending } => {
                let Some(n) = self.nth(pending) else { return };
                self.pending.remove(&n);
                self.given_up.insert(n);
                let gone = self.registry.removed(id(n));
                self.delete(gone);
            }
            Step::Subsume => {
                if self.complete.len() > 1 {
                    let (n, _) = self.complete.pop_first().unwrap();
                    let gone = self.registry.removed(id(n));
                    self.delete(gone);
                }
            }
            Step::Restart => {
                self.pending.clear();
                self.registry = SharedRegistry::default();
                for (&n, files) in &self.complete {
                    self.registry.found(id(n), files.iter().cloned());
                }
                let registry = &self.registry;
                self.files.retain(|file| registry.holds(file));
                // What was under way is not acknowledged by anybody any more.
                self.given_up.clear();
            }
        }
    }

    fn ack(&mut self, pending: usize, task: u32, keeps: u8) {
        let Some(n) = self.nth(pending).filter(|&n| self.acked.insert((n, task))) else {
            return;
        };
        let (base, named) = self.pending.get_mut(&n).unwrap();
        let own = base
            .iter()
            .filter(|file| file.subtask.0 == task)
            .enumerate();
        let kept = own
            .filter(|(at, _)| keeps & (1 << (at % 8)) != 0)
            .map(|(_, f)| f);
        let files: Vec<_> = kept.cloned().chain([file(task, n)]).collect();
        self.files.insert(file(task, n));
        named.extend(files.iter().cloned());
        self.registry.acked(id(n), files);
    }

    /// In use are exactly the files that are there.
    fn check(&self) {
        let complete = self.complete.values().flatten();
        let pending = self.pending.values();
        let pending = pending.flat_map(|(base, named)| base.iter().chain(named));
        let used: BTreeSet<_> = complete.chain(pending).cloned().collect();
        assert_eq!(used, self.files);
        assert!(used.iter().all(|file| self.registry.holds(file)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn nothing_goes_that_is_named_and_everything_else_does(
        steps in prop::collection::vec(any_step(), 1..80),
    ) {
        let mut model = Model::default();
        for step in steps {
            model.step(step);
            model.check();
        }
    }
}
