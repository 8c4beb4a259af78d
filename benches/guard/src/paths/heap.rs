//! State on the heap: reads and writes the values of the keys of a batch.

use weir_model::{Column, OptionalColumn, hash64};
use weir_state::{KeyedState, Which};

use super::{
    ROWS,
    operator::{COUNT, count_state, heap},
    rows::{batches, key_name, selected},
};
use crate::Failure;

/// So many keys are there, and then so many batches of some of them are read and written.
pub(super) fn run(keys: u32, count: u32) -> Result<(), Failure> {
    let mut state = heap(vec![count_state()])?;
    fill(&mut state, keys)?;
    let batches = batches(keys);
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
        state.put_slots(COUNT, &written)?;
        state.commit()?;
    }
    Ok(())
}

/// Gives each of so many keys a value.
pub(super) fn fill(state: &mut KeyedState, keys: u32) -> Result<(), Failure> {
    for first in (0..keys).step_by(ROWS as usize) {
        let mut names = Column::new();
        for key in first..keys.min(first + ROWS) {
            names.push(&selected(&key_name(key)));
        }
        let hashes: Vec<u64> = names.iter().map(hash64).collect();
        let mut zeros = OptionalColumn::new();
        hashes.iter().for_each(|_| zeros.push(Some(&[0; 8])));
        state.begin(Some(weir_model::KeyedView {
            keys: names.view(),
            hashes: &hashes,
            key_of_row: &[],
        }));
        state.put_slots(COUNT, &zeros)?;
        state.commit()?;
    }
    Ok(())
}
