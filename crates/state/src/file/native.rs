//! Native files out of the state files of several old subtasks.

use std::io;

use weir_model::{KeyGroupRange, OperatorName};

use super::StateFileReader;
use crate::{Error, NativeFiles, NativePart};

/// What a new subtask is restored from natively: see [`NativeFiles`].
pub struct NativeReaders<'r, 'a> {
    operator: OperatorName,
    parts: Vec<NativePart>,
    readers: Vec<&'r StateFileReader<'a>>,
}

impl<'r, 'a> NativeReaders<'r, 'a> {
    /// The native files of an operator in the files of old subtasks, each with the key groups it
    /// held; `None` where the state of none of them is native. All that the files refer to must
    /// have been given.
    pub fn of(
        operator: &OperatorName,
        files: Vec<(KeyGroupRange, &'r StateFileReader<'a>)>,
    ) -> Option<Self> {
        let mut all = Self {
            operator: operator.clone(),
            parts: Vec::new(),
            readers: Vec::new(),
        };
        for (range, reader) in files {
            if let Some(part) = reader.native(operator, range) {
                all.parts.push(part);
                all.readers.push(reader);
            }
        }
        (!all.parts.is_empty()).then_some(all)
    }
}

impl NativeFiles for NativeReaders<'_, '_> {
    fn parts(&self) -> &[NativePart] {
        &self.parts
    }

    fn read(&mut self, part: usize, name: &str, out: &mut dyn io::Write) -> Result<(), Error> {
        match self.readers.get(part) {
            Some(reader) => reader.read_native(&self.operator, name, out),
            None => Err(super::damaged(format!("there is no part {part}"))),
        }
    }
}
