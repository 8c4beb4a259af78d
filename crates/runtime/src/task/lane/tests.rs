//! What a lane leaves in the store when a write fails.

use weir_checkpoint::testing::{Fault, MemoryStore};
use weir_state::OperatorState;

use super::*;

fn lane(store: &Arc<MemoryStore>) -> Lane {
    let (events, _) = mpsc::unbounded_channel();
    let subtask = SubtaskIndex(0);
    Lane {
        task: TaskId { vertex: 0, subtask },
        name: Name::new("keep").unwrap(),
        subtask,
        attempt: Attempt(1),
        bases: Bases::default(),
        storage: Some(Storage {
            store: store.clone(),
            paths: JobPaths::new(&Name::new("test").unwrap()),
        }),
        targets: Targets::default(),
        sinks: Vec::new(),
        wires: Wires::default(),
        events,
    }
}

fn write(lane: &Lane) -> Result<Option<FileRef>, String> {
    let state = NodeState {
        operator: lane.name.clone(),
        decls: Vec::new(),
        keyed: None,
        own: Some((OperatorState::new(&[]).snapshot(), vec![b"raw".to_vec()])),
    };
    let written = lane.write(CheckpointId(1), None, false, vec![state]);
    written.map(|(file, _)| file)
}

#[test]
fn a_write_that_failed_leaves_nothing_behind_whatever_has_come_of_its_checkpoint() {
    for fault in [Fault::Refuse, Fault::LoseReply, Fault::Tear] {
        let store = Arc::new(MemoryStore::new());
        store.inject(1, fault);
        write(&lane(&store)).unwrap_err();
        assert!(store.paths().is_empty(), "{fault:?}: {:?}", store.paths());
    }
}

#[test]
fn what_somebody_else_has_written_is_left_alone() {
    let store = Arc::new(MemoryStore::new());
    let lane = lane(&store);
    write(&lane).unwrap().unwrap();
    let before = store.paths();
    write(&lane).unwrap_err();
    assert_eq!(store.paths(), before);
}
