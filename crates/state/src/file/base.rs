//! What an earlier checkpoint has, as the next one refers to it.
//!
//! INVARIANT: every entry lies in a named file; the blocks of a state rise by key group, and those
//! of one group are in the order in which they apply.

use std::sync::Arc;

use weir_model::{CheckpointId, KeyGroup, KeyGroupRange, OperatorName};

use super::{
    StateFileReader,
    footer::{BlobEntry, BlockEntry, FileEntry, Footer, OperatorEntry, StateEntry},
    verdict::{Change, change_of},
};
use crate::{Chain, Error, StateDecl, StateKind};

/// A file of which less than one part in so many is in use is not worth being kept: so all files of
/// a checkpoint together are at most so many times what it has.
const SPARSE: u64 = 4;

/// A file that another refers to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reference {
    /// Its path from the folder of the checkpoint, as in `_metadata`.
    pub path: String,
    /// Its length in bytes.
    pub length: u64,
    /// The CRC-32C of all its bytes.
    pub crc32c: u32,
}

/// What a checkpoint has of the operators of one task, and where.
#[derive(Clone, Debug, Default)]
pub struct BaseIndex {
    files: Vec<FileEntry>,
    operators: Vec<OperatorEntry>,
}

impl BaseIndex {
    /// What a file has that is to be known as `this`.
    pub(super) fn of(footer: &Footer, this: Reference) -> Self {
        let mut index = Self::default();
        for operator in &footer.operators {
            index.take(&operator.name, operator, &footer.files, &this, |_| true);
        }
        index
    }

    /// Adds what an open file has of the key groups in `range` of an operator, which is called
    /// `operator` from here on. `this` says what the file is known as. Files of several old
    /// subtasks make the base of one new subtask.
    pub fn add(
        &mut self,
        reader: &StateFileReader<'_>,
        this: &Reference,
        saved_as: &OperatorName,
        range: KeyGroupRange,
        operator: &OperatorName,
    ) {
        if let Some(found) = reader.operator(saved_as) {
            let inside = |group: u16| range.contains(KeyGroup(group));
            self.take(
                operator.as_str(),
                &found.entry,
                reader.files(),
                this,
                inside,
            );
        }
    }

    /// What it has of an operator.
    pub(super) fn operator(&self, name: &str) -> Option<&OperatorEntry> {
        self.operators.iter().find(|operator| operator.name == name)
    }

    fn take(
        &mut self,
        name: &str,
        operator: &OperatorEntry,
        files: &[FileEntry],
        this: &Reference,
        inside: impl Fn(u16) -> bool,
    ) {
        let mut numbers = vec![None; files.len() + 1];
        let mut number = |own: &mut Vec<FileEntry>, file: u32| -> Option<u32> {
            let known = numbers.get_mut(file as usize)?;
            let entry = match (file as usize).checked_sub(1) {
                Some(at) => files.get(at)?.clone(),
                None => FileEntry {
                    path: this.path.clone(),
                    length: this.length,
                    crc: this.crc32c,
                },
            };
            Some(*known.get_or_insert_with(|| number_of(own, entry)))
        };
        let at = match self.operators.iter().position(|o| o.name == name) {
            Some(at) => at,
            None => {
                self.operators.push(OperatorEntry {
                    name: name.to_owned(),
                    ..OperatorEntry::default()
                });
                self.operators.len() - 1
            }
        };
        let own = &mut self.operators[at];
        // State without keys is written anew each time.
        let keyed = |state: &&StateEntry| StateKind::from(state.kind).is_keyed();
        for state in operator.states.iter().filter(keyed) {
            let blocks = state.blocks.iter().filter(|block| inside(block.group));
            let blocks = blocks.filter_map(|block| {
                let file = number(&mut self.files, block.file)?;
                Some(BlockEntry { file, ..*block })
            });
            let known = match own.states.iter().position(|s| s.name == state.name) {
                Some(at) => &mut own.states[at],
                None => {
                    own.states.push(StateEntry {
                        blocks: Vec::new(),
                        ..state.clone()
                    });
                    let last = own.states.len() - 1;
                    &mut own.states[last]
                }
            };
            known.blocks.extend(blocks);
            known.blocks.sort_by_key(|block| block.group);
        }
        if let Some(native) = &operator.native {
            let known = &mut own.native.get_or_insert_default().blobs;
            for blob in &native.blobs {
                // Names say what is in a file; so one that several subtasks have is the same.
                if let Some(file) = number(&mut self.files, blob.file)
                    && known.iter().all(|other| other.name != blob.name)
                {
                    let blob = blob.clone();
                    known.push(BlobEntry { file, ..blob });
                }
            }
        }
    }
}

/// The base of a file that is being written, and which of its files the new one names already.
#[derive(Debug)]
pub(super) struct Base {
    pub(super) id: CheckpointId,
    pub(super) index: Arc<BaseIndex>,
    /// By file of the index: its number in the new file.
    named: Vec<Option<u32>>,
    /// By file of the index: whether little of it is in use.
    sparse: Vec<bool>,
}

impl Base {
    pub(super) fn new(id: CheckpointId, index: Arc<BaseIndex>) -> Self {
        let mut used = vec![0u64; index.files.len()];
        let mut add = |file: u32, bytes: u64| {
            if let Some(used) = used.get_mut((file as usize).wrapping_sub(1)) {
                *used = used.saturating_add(bytes);
            }
        };
        for operator in &index.operators {
            let blocks = operator.states.iter().flat_map(|state| &state.blocks);
            blocks.for_each(|block| add(block.file, u64::from(block.stored)));
            let blobs = operator.native.iter().flat_map(|native| &native.blobs);
            blobs.for_each(|blob| add(blob.file, blob.length));
        }
        let sparse = used.iter().zip(&index.files);
        let sparse = sparse.map(|(used, file)| used.saturating_mul(SPARSE) < file.length);
        Self {
            id,
            named: vec![None; index.files.len()],
            sparse: sparse.collect(),
            index,
        }
    }

    /// What it has of a state and group, in order; nothing where the state has become another.
    pub(super) fn blocks<'a>(
        index: &'a BaseIndex,
        operator: &str,
        decl: &StateDecl,
        group: KeyGroup,
    ) -> &'a [BlockEntry] {
        let Some(state) = index
            .operator(operator)
            .and_then(|found| found.states.iter().find(|s| s.name == decl.name))
        else {
            return &[];
        };
        let same = change_of(decl, &state.saved()) == Change::Same;
        if !same || state.ttl.is_some() != decl.ttl.is_some() {
            return &[];
        }
        let from = state.blocks.partition_point(|b| b.group < group.0);
        let to = state.blocks.partition_point(|b| b.group <= group.0);
        &state.blocks[from..to]
    }

    /// What blocks of one group amount to.
    pub(super) fn chain(&self, blocks: &[BlockEntry]) -> Chain {
        let mut chain = Chain::default();
        let mut last = 0;
        for block in blocks {
            let bytes = u64::from(block.unpacked);
            match block.delta {
                true => chain.delta_bytes += bytes,
                false => chain.base_bytes += bytes,
            }
            chain.files += u32::from(block.file != last);
            last = block.file;
            let sparse = self.sparse.get((block.file as usize).wrapping_sub(1));
            chain.sparse |= sparse.copied().unwrap_or_default();
        }
        chain
    }

    /// The number in a new file of a file of the index.
    pub(super) fn name(&mut self, file: u32, files: &mut Vec<FileEntry>) -> Result<u32, Error> {
        let at = (file as usize).wrapping_sub(1);
        match (self.named.get_mut(at), self.index.files.get(at)) {
            (Some(named), Some(entry)) => {
                Ok(*named.get_or_insert_with(|| number_of(files, entry.clone())))
            }
            _ => Err(super::damaged(format!("the base has no file {file}"))),
        }
    }
}

/// The number of a file in a table of files, into which it is put if it is new.
fn number_of(files: &mut Vec<FileEntry>, entry: FileEntry) -> u32 {
    let at = match files.iter().position(|file| file.path == entry.path) {
        Some(at) => at,
        None => {
            files.push(entry);
            files.len() - 1
        }
    };
    at as u32 + 1
}
