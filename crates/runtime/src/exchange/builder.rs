//! Collecting rows for one target until the batch is worth handing over.

use hashbrown::HashTable;
use weir_model::{Batch, Column, Keyed, Lineage, same_key};

/// Rows under way to one target.
#[derive(Default)]
pub(crate) struct BatchBuilder {
    values: Column,
    timestamps: Vec<i64>,
    keys: Column,
    hashes: Vec<u64>,
    key_of_row: Vec<u32>,
    lineage: Vec<Lineage>,
    /// Index of each distinct key, found by its hash.
    index: HashTable<u32>,
}

impl BatchBuilder {
    pub(crate) fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Whether the batch is full.
    pub(crate) fn is_full(&self) -> bool {
        self.values.len() >= Batch::MAX_ROWS || self.values.byte_len() >= Batch::MAX_BYTES
    }

    /// Whether a row with (`true`) or without a timestamp can join the rows that are here.
    pub(crate) fn fits(&self, timestamped: bool) -> bool {
        self.values.is_empty() || self.timestamps.is_empty() != timestamped
    }

    /// Adds a row.
    pub(crate) fn push(&mut self, value: &[u8], timestamp: Option<i64>) {
        self.values.push(value);
        self.timestamps.extend(timestamp);
    }

    /// Adds where the last row came from, on an edge that keeps it of all its rows.
    pub(crate) fn push_lineage(&mut self, lineage: Lineage) {
        self.lineage.push(lineage);
    }

    /// Adds a row with its key and the key's hash.
    pub(crate) fn push_keyed(
        &mut self,
        value: &[u8],
        timestamp: Option<i64>,
        key: &[u8],
        hash: u64,
    ) {
        self.push(value, timestamp);
        let (keys, hashes) = (&mut self.keys, &mut self.hashes);
        let found = self.index.find(hash, |&i| {
            hashes[i as usize] == hash && same_key(keys.get(i as usize), key)
        });
        let index = match found {
            Some(&index) => index,
            None => {
                let index = hashes.len() as u32;
                keys.push(key);
                hashes.push(hash);
                self.index
                    .insert_unique(hash, index, |&i| hashes[i as usize]);
                index
            }
        };
        self.key_of_row.push(index);
    }

    /// The batch, and an empty builder of about the same size.
    pub(crate) fn take(&mut self) -> Batch {
        let rows = self.values.len();
        let bytes = self.values.byte_len();
        let room = Column::with_capacity(rows.min(Batch::MAX_ROWS), bytes.min(Batch::MAX_BYTES));
        let values = std::mem::replace(&mut self.values, room);
        let timestamps = take_leaving_room(&mut self.timestamps);
        let keyed = (!self.key_of_row.is_empty()).then(|| {
            self.index.clear();
            let room = Column::with_capacity(self.keys.len(), self.keys.byte_len());
            Keyed {
                keys: std::mem::replace(&mut self.keys, room),
                hashes: take_leaving_room(&mut self.hashes),
                key_of_row: take_leaving_room(&mut self.key_of_row),
            }
        });
        Batch {
            values,
            timestamps,
            keyed,
            lineage: take_leaving_room(&mut self.lineage),
        }
    }
}

/// The next batch most likely needs as much: it does not grow to that step by step.
fn take_leaving_room<T>(buffer: &mut Vec<T>) -> Vec<T> {
    let room = Vec::with_capacity(buffer.len());
    std::mem::replace(buffer, room)
}
