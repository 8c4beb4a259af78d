//! State on the heap: reads and writes the values of the keys of a batch.

use crate::Failure;
use weir_guard::rig::{
    ROWS,
    operator::{COUNT, count_state, fill, heap},
    rows::batches,
};
use weir_model::OptionalColumn;
use weir_state::Which;

/// So many keys are there, and then so many batches of some of them are read and written.
pub(super) fn run(keys: u32, count: u32) -> Result<(), Failure> {
    let mut state = heap(vec![count_state()])?;
    fill(&mut state, keys)?;
    let batches = batches(keys, ROWS);
    let (mut read, mut written) = (OptionalColumn::new(), OptionalColumn::new());
    for batch in batches.iter().cycle().take(count as usize) {
        state.begin(Some(batch.keys()));
        read.clear();
        state.value_get(COUNT, Which::All, &mut read)?;
        written.clear();
        for value in read.iter() {
            let count = value.ok_or("a key is gone")?.try_into()?;
            written.push(Some(&(u64::from_le_bytes(count) + 1).to_le_bytes()));
        }
        state.put_slots(COUNT, &mut written)?;
        state.commit()?;
    }
    Ok(())
}
