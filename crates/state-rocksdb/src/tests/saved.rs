//! A checkpoint in memory: what a snapshot gave to its sink, and how it is given back.

use std::{collections::BTreeMap, io};

use weir_model::{CheckpointId, KeyGroup, KeyGroupRange, ProcessingTime};
use weir_state::{
    Backend, Chain, Error, NativeFiles, NativePart, SavedState, Snapshot, SnapshotFormat,
    SnapshotRequest, SnapshotSink, StateDecl, StateIndex,
};

/// What one subtask saved.
#[derive(Clone, Debug, Default)]
pub(super) struct Saved {
    pub(super) id: Option<CheckpointId>,
    pub(super) blocks: Vec<(StateIndex, KeyGroup, Vec<u8>)>,
    pub(super) blobs: BTreeMap<String, Vec<u8>>,
    pub(super) note: Option<Vec<u8>>,
    /// The names of those among the blobs that were written and not kept.
    pub(super) written: Vec<String>,
    pub(super) base: Option<Box<Saved>>,
}

impl Saved {
    /// Takes a snapshot of a backend and writes it.
    pub(super) fn of(
        backend: &mut dyn Backend,
        id: u64,
        format: SnapshotFormat,
        base: Option<&Saved>,
        now: i64,
    ) -> Self {
        let request = SnapshotRequest {
            id: CheckpointId(id),
            base: base.and_then(|base| base.id),
            tracked: true,
            format,
            now: ProcessingTime(now),
        };
        Self::written(backend.snapshot(&request).unwrap(), id, base).unwrap()
    }

    /// Writes a snapshot.
    pub(super) fn written(
        snapshot: Box<dyn Snapshot>,
        id: u64,
        base: Option<&Saved>,
    ) -> Result<Self, Error> {
        let mut saved = Self {
            id: Some(CheckpointId(id)),
            base: base.cloned().map(Box::new),
            ..Self::default()
        };
        snapshot.write(&mut saved)?;
        saved.base = None;
        Ok(saved)
    }

    pub(super) fn native(backend: &mut dyn Backend, id: u64, base: Option<&Saved>) -> Self {
        Self::of(backend, id, SnapshotFormat::Native, base, 0)
    }

    /// Loads the rows of a canonical snapshot.
    pub(super) fn load(&self, backend: &mut dyn Backend) {
        for (state, group, rows) in &self.blocks {
            if backend.key_groups().contains(*group) {
                backend.load(*state, *group, rows).unwrap();
            }
        }
    }

    /// All bytes of the blobs that were written.
    pub(super) fn written_bytes(&self) -> usize {
        self.written.iter().map(|name| self.blobs[name].len()).sum()
    }
}

impl SnapshotSink for Saved {
    fn block(
        &mut self,
        state: StateIndex,
        group: KeyGroup,
        rows: u64,
        bytes: &[u8],
    ) -> Result<(), Error> {
        assert!(rows > 0 && self.note.is_none());
        self.blocks.push((state, group, bytes.to_vec()));
        Ok(())
    }

    fn base(&self) -> Option<CheckpointId> {
        self.base.as_ref().and_then(|base| base.id)
    }

    fn chain(&self, _state: StateIndex, _group: KeyGroup) -> Chain {
        Chain::default()
    }

    fn keep(&mut self, _state: StateIndex, _group: KeyGroup) -> Result<(), Error> {
        panic!("rows are never kept")
    }

    fn delta(
        &mut self,
        _state: StateIndex,
        _group: KeyGroup,
        _rows: u64,
        _bytes: &[u8],
    ) -> Result<(), Error> {
        panic!("there are no deltas")
    }

    fn blob(&mut self, name: &str, length: u64, bytes: &mut dyn io::Read) -> Result<(), Error> {
        let mut content = Vec::new();
        bytes.read_to_end(&mut content).unwrap();
        assert_eq!(content.len() as u64, length);
        assert!(self.blobs.insert(name.to_owned(), content).is_none());
        self.written.push(name.to_owned());
        Ok(())
    }

    fn keep_blob(&mut self, name: &str) -> Result<bool, Error> {
        let Some(content) = self.base.as_ref().and_then(|base| base.blobs.get(name)) else {
            return Ok(false);
        };
        assert!(
            self.blobs
                .insert(name.to_owned(), content.clone())
                .is_none()
        );
        Ok(true)
    }

    fn note(&mut self, bytes: &[u8]) -> Result<(), Error> {
        assert!(self.note.replace(bytes.to_vec()).is_none());
        Ok(())
    }
}

/// Native files of several subtasks.
pub(super) struct Files {
    parts: Vec<NativePart>,
    saved: Vec<Saved>,
}

impl Files {
    pub(super) fn of(saved: Vec<(KeyGroupRange, Vec<StateDecl>, Saved)>) -> Self {
        let part = |(range, decls, saved): &(KeyGroupRange, Vec<StateDecl>, Saved)| NativePart {
            range: *range,
            states: decls.iter().map(saved_state).collect(),
            note: saved.note.clone().unwrap(),
            blobs: saved
                .blobs
                .iter()
                .map(|(name, blob)| (name.clone(), blob.len() as u64))
                .collect(),
        };
        Self {
            parts: saved.iter().map(part).collect(),
            saved: saved.into_iter().map(|(_, _, saved)| saved).collect(),
        }
    }
}

fn saved_state(decl: &StateDecl) -> SavedState {
    SavedState {
        name: decl.name.clone(),
        kind: decl.kind,
        format: decl.format.clone(),
        version: decl.version,
        ttl: decl.ttl,
        rows: 0,
    }
}

impl NativeFiles for Files {
    fn parts(&self) -> &[NativePart] {
        &self.parts
    }

    fn read(&mut self, part: usize, name: &str, out: &mut dyn io::Write) -> Result<(), Error> {
        let blob = self.saved[part].blobs.get(name);
        let blob = blob.ok_or_else(|| Error::Damaged(format!("there is no file {name}")))?;
        out.write_all(blob)
            .map_err(|e| Error::Damaged(e.to_string()))
    }
}
