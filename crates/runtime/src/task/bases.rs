//! What earlier checkpoints of a task have, for those that refer to them (D12).

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use weir_model::CheckpointId;
use weir_state::BaseIndex;

/// So many are kept: the oldest go first. A checkpoint whose base is not there is written in full.
const MAX_BASES: usize = 16;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Bases(Mutex<BTreeMap<CheckpointId, Arc<BaseIndex>>>);

impl Bases {
    /// With what the checkpoint has that the task begins with, if it begins with one.
    pub(crate) fn new(restored: Option<CheckpointId>, index: BaseIndex) -> Self {
        let bases = restored.map(|id| (id, Arc::new(index)));
        Self(Mutex::new(bases.into_iter().collect()))
    }

    /// What a base has. It is that of no earlier checkpoint any more, so older ones may go.
    pub(crate) fn take(&self, base: CheckpointId) -> Option<(CheckpointId, Arc<BaseIndex>)> {
        let mut bases = self.lock();
        bases.retain(|&id, _| id >= base);
        bases.get(&base).map(|index| (base, Arc::clone(index)))
    }

    /// Keeps what a checkpoint has.
    pub(crate) fn put(&self, id: CheckpointId, index: BaseIndex) {
        let mut bases = self.lock();
        bases.insert(id, Arc::new(index));
        while bases.len() > MAX_BASES {
            bases.pop_first();
        }
    }

    /// The checkpoint was given up: it is nobody's base.
    pub(crate) fn forget(&self, id: CheckpointId) {
        self.lock().remove(&id);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<CheckpointId, Arc<BaseIndex>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_is_kept_until_a_later_one_is_asked_for_or_it_is_given_up() {
        let bases = Bases::new(Some(CheckpointId(3)), BaseIndex::default());
        (4..7).for_each(|id| bases.put(CheckpointId(id), BaseIndex::default()));
        assert!(bases.take(CheckpointId(3)).is_some());
        bases.forget(CheckpointId(5));
        assert!(bases.take(CheckpointId(5)).is_none(), "it was given up");
        assert!(
            bases.take(CheckpointId(4)).is_none(),
            "a later one was asked for"
        );
        assert!(bases.take(CheckpointId(6)).is_some());
        (7..100).for_each(|id| bases.put(CheckpointId(id), BaseIndex::default()));
        assert_eq!(bases.lock().len(), MAX_BASES);
        assert!(
            bases.take(CheckpointId(99)).is_some(),
            "the oldest have gone"
        );
    }
}
