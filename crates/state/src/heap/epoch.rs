//! Epochs: the time between two snapshots, by which entries say when they were changed (D11).
//!
//! A snapshot ends an epoch; those that may be the base of a later one are remembered with it, and
//! what has changed since a base is what was marked in a later epoch. Entries of the arena have
//! room for one byte of it.
//!
//! INVARIANT: what was changed in an epoch after that of a base is told as changed. The other way
//! round it may err: what was changed 256 epochs before is told again, and written once too often.

use weir_model::CheckpointId;

/// A base is forgotten after this many epochs, so that one byte tells them apart.
const MAX_AGE: u64 = 250;
/// So many bases are remembered: the oldest are forgotten first. There are few checkpoints in the
/// air at once, and bases that a later one has overtaken are dropped.
const MAX_BASES: usize = 16;

/// Whether an entry with this mark may have been changed after the epoch `base`, when the epoch is
/// `now`, no more than [`MAX_AGE`] later.
#[inline]
pub(super) fn changed_since(mark: u8, base: u64, now: u64) -> bool {
    u64::from((now as u8).wrapping_sub(mark)) < now.saturating_sub(base)
}

/// The epoch in hand, and those that ended with a checkpoint that may be a base.
#[derive(Debug)]
pub(super) struct Epochs {
    now: u64,
    bases: Vec<(CheckpointId, u64)>,
}

impl Epochs {
    pub(super) fn new() -> Self {
        // Not 0: that is the mark of what nobody has changed.
        Self {
            now: 1,
            bases: Vec::new(),
        }
    }

    pub(super) fn now(&self) -> u64 {
        self.now
    }

    /// The epoch that ended with a checkpoint, if that may be a base still. No older one will be.
    pub(super) fn base(&mut self, id: CheckpointId) -> Option<u64> {
        self.bases.retain(|&(known, _)| known >= id);
        let found = self.bases.iter().find(|&&(known, _)| known == id);
        found.map(|&(_, epoch)| epoch)
    }

    /// Ends the epoch, with a checkpoint that may be a base or without.
    pub(super) fn end(&mut self, base: Option<CheckpointId>) {
        if let Some(id) = base {
            self.bases.retain(|&(known, _)| known != id);
            self.bases.push((id, self.now));
        }
        self.now += 1;
        let oldest = self.now.saturating_sub(MAX_AGE);
        self.bases.retain(|&(_, epoch)| epoch > oldest);
        let excess = self.bases.len().saturating_sub(MAX_BASES);
        self.bases.drain(..excess);
    }

    /// The checkpoint will be nobody's base.
    pub(super) fn forget(&mut self, id: CheckpointId) {
        self.bases.retain(|&(known, _)| known != id);
    }

    /// The epoch of the oldest base; `None` = nobody asks what has changed.
    pub(super) fn oldest(&self) -> Option<u64> {
        self.bases.iter().map(|&(_, epoch)| epoch).min()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_was_changed_since_a_base_is_told(
            now in 1..10_000u64,
            age in 0..MAX_AGE,
            change in 0..10_000u64,
        ) {
            let base = now.saturating_sub(age);
            let change = change.min(now);
            let told = changed_since(change as u8, base, now);
            prop_assert!(told || change <= base);
            prop_assert!(!told || change > base || now - change >= 256 - age);
        }
    }

    #[test]
    fn bases_go_when_they_are_overtaken_given_up_too_old_or_too_many() {
        let mut epochs = Epochs::new();
        for id in 1..=4 {
            epochs.end(Some(CheckpointId(id)));
        }
        epochs.forget(CheckpointId(3));
        assert_eq!(epochs.base(CheckpointId(2)), Some(2));
        assert_eq!(epochs.base(CheckpointId(1)), None);
        assert_eq!(epochs.base(CheckpointId(3)), None);
        assert_eq!(epochs.base(CheckpointId(4)), Some(4));
        assert_eq!(epochs.oldest(), Some(4));
        (0..MAX_AGE).for_each(|_| epochs.end(None));
        assert_eq!(epochs.base(CheckpointId(4)), None);
        for id in 5..50 {
            epochs.end(Some(CheckpointId(id)));
        }
        assert_eq!(epochs.bases.len(), MAX_BASES);
        assert!(epochs.base(CheckpointId(49)).is_some());
    }
}
