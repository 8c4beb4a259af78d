//! State files as the tasks of a job write and restore them: with increments, at any parallelism.

use std::{collections::BTreeMap, sync::Arc};

use weir_model::{CheckpointId, KeyGroupRange, ProcessingTime};

use super::{Ordered, model::operator};
use crate::{
    Backend, BaseIndex, NativeReaders, Reference, Snapshot, StateDecl, StateFileReader,
    StateFileWriter,
};

/// All files that were written, by their path.
#[derive(Default)]
pub(super) struct Files(BTreeMap<String, Arc<Vec<u8>>>);

/// The part of one task in a checkpoint.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) range: KeyGroupRange,
    pub(super) file: Reference,
}

impl Files {
    /// Writes a snapshot, on a base if there is one.
    pub(super) fn write(
        &mut self,
        path: String,
        decls: &[StateDecl],
        snapshot: Box<dyn Snapshot>,
        base: Option<(CheckpointId, Arc<BaseIndex>)>,
    ) -> (Reference, Arc<BaseIndex>) {
        let mut writer = match base {
            Some((id, index)) => StateFileWriter::on(id, index),
            None => StateFileWriter::new(),
        };
        let snapshot = Ordered {
            snapshot,
            decls: decls.to_vec(),
        };
        writer.add(&operator(), decls, Box::new(snapshot)).unwrap();
        let file = writer.finish().unwrap();
        let reference = Reference {
            path: path.clone(),
            length: file.length,
            crc32c: file.crc32c,
        };
        let index = Arc::new(file.index(&path));
        let bytes = Arc::new(file.out);
        assert!(self.0.insert(path, bytes).is_none(), "a path is used once");
        (reference, index)
    }

    /// Opens a file and all that it refers to.
    pub(super) fn open(&self, file: &Reference) -> StateFileReader<'static> {
        let mut reader = StateFileReader::open(self.get(file)).unwrap();
        let references: Vec<Reference> = reader.references().collect();
        for (n, reference) in references.iter().enumerate() {
            reader.refer(n, self.get(reference)).unwrap();
        }
        reader
    }

    /// Restores what some parts have of the key groups of a backend; gives back what they are as a
    /// base.
    pub(super) fn restore(
        &self,
        parts: &[Part],
        backend: &mut dyn Backend,
        now: ProcessingTime,
    ) -> Arc<BaseIndex> {
        let range = backend.key_groups();
        let meets = |part: &&Part| part.range.start <= range.end && range.start <= part.range.end;
        let mut index = BaseIndex::default();
        let mut readers = Vec::new();
        for part in parts.iter().filter(meets) {
            let reader = self.open(&part.file);
            index.add(&reader, &part.file, &operator(), range, &operator());
            readers.push((part.range, reader));
        }
        let files = readers.iter().map(|(range, reader)| (*range, reader));
        if let Some(mut native) = NativeReaders::of(&operator(), files.collect()) {
            backend.import(&mut native).unwrap();
        } else {
            for (_, reader) in &readers {
                reader.load(&operator(), backend, range, now).unwrap();
            }
        }
        Arc::new(index)
    }

    fn get(&self, file: &Reference) -> Arc<Vec<u8>> {
        let bytes = &self.0[&file.path];
        assert_eq!(crc32c::crc32c(bytes), file.crc32c);
        Arc::clone(bytes)
    }
}
