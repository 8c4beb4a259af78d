//! A checkpoint in full: the state is frozen, written out as a file, and let go.

use weir_model::{CheckpointId, Name, ProcessingTime};
use weir_state::{SnapshotRequest, StateFileWriter};

use crate::Failure;
use weir_guard::rig::{
    ROWS,
    operator::{count_state, fill, heap},
};

/// So many checkpoints of as many keys as a batch has rows.
pub(super) fn run(count: u32) -> Result<(), Failure> {
    let mut state = heap(vec![count_state()])?;
    fill(&mut state, ROWS)?;
    let operator = Name::new("operator")?;
    for id in 1..=u64::from(count) {
        let request = SnapshotRequest::full(CheckpointId(id), ProcessingTime(0));
        let snapshot = state.snapshot(&request)?;
        let mut writer = StateFileWriter::new();
        writer.add(&operator, state.states(), snapshot)?;
        let file = writer.finish()?;
        if file.length == 0 {
            return Err("a checkpoint without a byte".into());
        }
        state.completed(CheckpointId(id));
    }
    Ok(())
}
