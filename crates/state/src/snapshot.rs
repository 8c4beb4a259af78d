//! What is asked of a snapshot, where it is written to, and native files on their way back.
//!
//! A snapshot is either rows or native. Rows lie by state and key group: written anew
//! ([`SnapshotSink::block`]), or as the base of the checkpoint has them ([`SnapshotSink::keep`]),
//! with what has changed on top ([`SnapshotSink::delta`]). A native one is a set of files with
//! names of the backend's choice, written ([`SnapshotSink::blob`]) or kept
//! ([`SnapshotSink::keep_blob`]), and a small note.
//!
//! INVARIANT: a snapshot tells everything that belongs to its checkpoint. What it neither writes
//! nor keeps is not part of it, whatever its base had.

use std::io;

use weir_model::{CheckpointId, KeyGroup, KeyGroupRange, ProcessingTime};

use crate::{Error, SavedState, StateIndex};

/// What the runtime asks of the snapshot of a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotRequest {
    /// The checkpoint it is for.
    pub id: CheckpointId,
    /// The completed checkpoint that may be referred to (D12); `None` = everything is written.
    pub base: Option<CheckpointId>,
    /// Whether a later request may name this checkpoint as its base: a backend keeps in mind what
    /// changes from here on. Savepoints and jobs without increments say no.
    pub tracked: bool,
    /// How it is written.
    pub format: SnapshotFormat,
    /// The processing time, by which expired values are left out (D16).
    pub now: ProcessingTime,
}

impl SnapshotRequest {
    /// A full checkpoint in the backend's own format, which is nobody's base.
    #[must_use]
    pub fn full(id: CheckpointId, now: ProcessingTime) -> Self {
        Self {
            id,
            base: None,
            tracked: false,
            format: SnapshotFormat::Native,
            now,
        }
    }
}

/// How a snapshot is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SnapshotFormat {
    /// As the backend likes it.
    #[default]
    Native,
    /// As full rows in order, which every backend can load. Never with a base.
    Canonical,
}

/// The asynchronous part of a snapshot: written out off the task.
pub trait Snapshot: Send {
    /// Writes everything; rows in order of state, key group, key (byte order) and map key.
    ///
    /// # Errors
    /// [`Error`] where the backend or the sink fails.
    fn write(self: Box<Self>, sink: &mut dyn SnapshotSink) -> Result<(), Error>;
}

/// What a checkpoint has of one state and key group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Chain {
    /// Bytes of the full rows, unpacked.
    pub base_bytes: u64,
    /// Bytes of the deltas on top, unpacked.
    pub delta_bytes: u64,
    /// How many files they lie in.
    pub files: u32,
    /// Whether some of it lies in a file that is otherwise mostly out of use, so that writing it
    /// anew gives back more than it takes.
    pub sparse: bool,
}

/// Where a snapshot is written to.
pub trait SnapshotSink {
    /// Takes full rows of one state and key group. A row is
    /// `uvarint key length, key, uvarint namespace length, namespace, value`; the value is, by
    /// kind: cell: `uvarint length, bytes`; list: `uvarint count, (uvarint length, bytes)*`; map:
    /// `uvarint count, (uvarint length, map key, uvarint length, value)*` in byte order.
    ///
    /// A large key group comes in several blocks, in order; a large list or map in several rows of
    /// its key, in order, which [`Backend::load`](crate::Backend::load) joins again.
    ///
    /// # Errors
    /// [`Error`] where the sink fails.
    fn block(
        &mut self,
        state: StateIndex,
        group: KeyGroup,
        rows: u64,
        bytes: &[u8],
    ) -> Result<(), Error>;

    /// The checkpoint that can be referred to. `None`: everything must be written, even where the
    /// request named a base.
    fn base(&self) -> Option<CheckpointId>;

    /// What the base has of a state and key group.
    fn chain(&self, state: StateIndex, group: KeyGroup) -> Chain;

    /// Makes what the base has of a state and key group part of this checkpoint; nothing where it
    /// has nothing.
    ///
    /// # Errors
    /// [`Error`] where the sink fails.
    fn keep(&mut self, state: StateIndex, group: KeyGroup) -> Result<(), Error>;

    /// Takes rows of one state and key group that change what was kept of it. A row is
    /// `uvarint key length, key, uvarint namespace length, namespace, change`; the change is a byte
    /// and what it asks for:
    ///
    /// - `0` the key is removed;
    /// - `1` its value is replaced: a value as in [`block`](Self::block);
    /// - `2` of a list: `uvarint n`, then a list; the first `n` elements stay, and it follows;
    /// - `3` of a map: `uvarint count`, then as many of `uvarint length, map key, 0` (removed) or
    ///   `uvarint length, map key, 1, uvarint length, value` (put), in byte order.
    ///
    /// Rows rise by key; a large change comes in several rows, of which the later ones go on from
    /// those before.
    ///
    /// # Errors
    /// [`Error`] where the sink fails.
    fn delta(
        &mut self,
        state: StateIndex,
        group: KeyGroup,
        rows: u64,
        bytes: &[u8],
    ) -> Result<(), Error>;

    /// Takes a file of a native backend, of `length` bytes. A name is taken once.
    ///
    /// # Errors
    /// [`Error`] where the sink fails or the file cannot be read.
    fn blob(&mut self, name: &str, length: u64, bytes: &mut dyn io::Read) -> Result<(), Error>;

    /// Makes a file that the base has part of this checkpoint; gives back whether it has it.
    ///
    /// # Errors
    /// [`Error`] where the sink fails.
    fn keep_blob(&mut self, name: &str) -> Result<bool, Error>;

    /// Takes a small native header, once: given back by [`NativePart::note`]. One that is given,
    /// empty or not, makes the snapshot native.
    ///
    /// # Errors
    /// [`Error`] where the sink fails.
    fn note(&mut self, bytes: &[u8]) -> Result<(), Error>;
}

/// What one subtask had saved natively of an operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NativePart {
    /// The key groups it held; those of the new subtask are to be cut out.
    pub range: KeyGroupRange,
    /// The states it was saved with, in the order of their indices at that time.
    pub states: Vec<SavedState>,
    /// What was given to [`SnapshotSink::note`].
    pub note: Vec<u8>,
    /// Its files: name and length.
    pub blobs: Vec<(String, u64)>,
}

/// The native files that a backend is restored from: of each old subtask whose key groups meet
/// those of the new one.
pub trait NativeFiles {
    /// The old subtasks, in the order of their key groups.
    fn parts(&self) -> &[NativePart];

    /// Writes one file of a part to `out`; its checksum has been checked.
    ///
    /// # Errors
    /// [`Error::Damaged`] where it cannot be read, or `out` fails.
    fn read(&mut self, part: usize, name: &str, out: &mut dyn io::Write) -> Result<(), Error>;
}
