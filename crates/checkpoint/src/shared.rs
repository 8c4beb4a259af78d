//! Which shared files are in use: what each complete checkpoint and each one under way names, and
//! what goes when one of them goes (D11, D12).
//!
//! A checkpoint under way holds the files of its base as well: its tasks will name some of them,
//! and the base itself may be subsumed meanwhile.
//!
//! INVARIANT: no file is given up that a complete checkpoint or one under way names, and none that
//! a checkpoint might name whose metadata cannot be read. Every other file that was named is given
//! up once, by what ends the last use of it.

use std::collections::{BTreeMap, BTreeSet, btree_map::Entry};

use weir_model::CheckpointId;

use crate::SharedFile;

#[cfg(test)]
mod tests;

/// The shared files of one job and who uses them.
///
/// The driver says what has happened, in the order in which it did; what it gets back are files to
/// delete. That a checkpoint is [`removed`](Self::removed) is said when its metadata is no longer
/// in the store, and not before: until then it may be restored.
///
/// ```
/// use weir_checkpoint::{SharedFile, SharedRegistry};
/// use weir_model::CheckpointId;
///
/// let file = |path| SharedFile::parse(path).unwrap();
/// let [first, second] = ["../shared/count/0/1-1", "../shared/count/0/2-1"].map(file);
/// let mut registry = SharedRegistry::default();
/// registry.triggered(CheckpointId(1), None);
/// registry.acked(CheckpointId(1), [first.clone()]);
/// assert_eq!(registry.completed(CheckpointId(1)), []);
/// // An increment on top of it, and then a full one.
/// registry.triggered(CheckpointId(2), Some(CheckpointId(1)));
/// registry.acked(CheckpointId(2), [first.clone(), second.clone()]);
/// assert_eq!(registry.completed(CheckpointId(2)), []);
/// assert_eq!(registry.removed(CheckpointId(1)), []);
/// assert_eq!(registry.removed(CheckpointId(2)), [first, second]);
/// ```
#[derive(Clone, Debug, Default)]
pub struct SharedRegistry {
    complete: BTreeMap<CheckpointId, BTreeSet<SharedFile>>,
    /// Complete, by the look of it, and not readable: they may name everything that is not newer.
    unreadable: BTreeSet<CheckpointId>,
    /// Files that are there, and that nobody names but perhaps one of those.
    suspects: BTreeSet<SharedFile>,
    pending: BTreeMap<CheckpointId, Pending>,
    /// How many of the sets above and below hold a file; never 0.
    uses: BTreeMap<SharedFile, usize>,
}

/// What a checkpoint under way holds.
#[derive(Clone, Debug, Default)]
struct Pending {
    base: BTreeSet<SharedFile>,
    named: BTreeSet<SharedFile>,
}

impl SharedRegistry {
    /// There is a complete checkpoint in the store, and this is what it names.
    pub fn found(&mut self, id: CheckpointId, files: impl IntoIterator<Item = SharedFile>) {
        if let Entry::Vacant(entry) = self.complete.entry(id) {
            let files: BTreeSet<_> = files.into_iter().collect();
            for file in &files {
                take(&mut self.uses, file);
            }
            entry.insert(files);
        }
    }

    /// There is a checkpoint in the store whose metadata cannot be read: damaged, or of a newer
    /// host.
    pub fn found_unreadable(&mut self, id: CheckpointId) {
        self.unreadable.insert(id);
    }

    /// The files that are `present` when all checkpoints were [`found`](Self::found). Gives those
    /// that nobody names: an attempt that is over left them.
    pub fn orphans(&mut self, present: &[SharedFile]) -> Vec<SharedFile> {
        let mut orphans = Vec::new();
        for file in present {
            if !self.holds(file) {
                orphans.push(file.clone());
            } else if !self.uses.contains_key(file) {
                self.suspects.insert(file.clone());
            }
        }
        orphans
    }

    /// A checkpoint begins; its tasks may build on the files of `base`.
    pub fn triggered(&mut self, id: CheckpointId, base: Option<CheckpointId>) {
        let base = base.and_then(|base| self.complete.get(&base)).cloned();
        let pending = self.pending.entry(id).or_default();
        for file in base.into_iter().flatten() {
            if pending.base.insert(file.clone()) {
                take(&mut self.uses, &file);
            }
        }
    }

    /// A task has acknowledged a checkpoint; `files` are all that its part names. Nothing where the
    /// checkpoint is not under way: see [`discarded`](Self::discarded).
    pub fn acked(&mut self, id: CheckpointId, files: impl IntoIterator<Item = SharedFile>) {
        let Some(pending) = self.pending.get_mut(&id) else {
            return;
        };
        for file in files {
            if !pending.named.contains(&file) {
                take(&mut self.uses, &file);
                pending.named.insert(file);
            }
        }
    }

    /// A checkpoint is complete. Gives the files that go: of its base, where that is gone.
    pub fn completed(&mut self, id: CheckpointId) -> Vec<SharedFile> {
        let Some(Pending { base, named }) = self.pending.remove(&id) else {
            return Vec::new();
        };
        self.complete.insert(id, named);
        self.release(base)
    }

    /// The metadata of a checkpoint is not in the store, or not any more, and it will not come: it
    /// was given up, or deleted. Gives the files that go.
    pub fn removed(&mut self, id: CheckpointId) -> Vec<SharedFile> {
        let mut gone = Vec::new();
        if self.unreadable.remove(&id) {
            let suspects = std::mem::take(&mut self.suspects);
            for file in suspects {
                if self.holds(&file) {
                    self.suspects.insert(file);
                } else {
                    gone.push(file);
                }
            }
        }
        let complete = self.complete.remove(&id).unwrap_or_default();
        let Pending { base, named } = self.pending.remove(&id).unwrap_or_default();
        gone.extend(self.release(complete));
        gone.extend(self.release(base));
        gone.extend(self.release(named));
        gone
    }

    /// A task has acknowledged a checkpoint that nobody waits for any more. Gives what goes of the
    /// files that it names.
    #[must_use]
    pub fn discarded(&self, files: impl IntoIterator<Item = SharedFile>) -> Vec<SharedFile> {
        files.into_iter().filter(|file| !self.holds(file)).collect()
    }

    /// Whether a file is in use, as far as can be known.
    #[must_use]
    pub fn holds(&self, file: &SharedFile) -> bool {
        // A checkpoint names nothing that is newer than itself.
        let unreadable = self.unreadable.last();
        self.uses.contains_key(file) || unreadable.is_some_and(|&id| file.checkpoint <= id)
    }

    /// Gives those of `files` that nobody holds any more.
    fn release(&mut self, files: BTreeSet<SharedFile>) -> Vec<SharedFile> {
        let mut gone = Vec::new();
        for file in files {
            if let Entry::Occupied(mut uses) = self.uses.entry(file.clone()) {
                *uses.get_mut() -= 1;
                if *uses.get() == 0 {
                    uses.remove();
                }
            }
            if !self.holds(&file) {
                gone.push(file);
            } else if !self.uses.contains_key(&file) {
                self.suspects.insert(file);
            }
        }
        gone
    }
}

fn take(uses: &mut BTreeMap<SharedFile, usize>, file: &SharedFile) {
    *uses.entry(file.clone()).or_default() += 1;
}
