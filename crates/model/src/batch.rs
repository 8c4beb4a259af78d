//! A batch of rows in columns: what moves from task to task and into a guest call.
//!
//! INVARIANT: all per-row columns have as many rows as `values`, `timestamps` may also be empty
//! (a stream without event time), so may `lineage`, and every entry of `key_of_row` is an index
//! into `keys`.

use crate::{Column, ColumnView};

/// Rows in arrival order. Never spans a barrier or a watermark; shared by reference count where an
/// edge broadcasts it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// The rows.
    pub values: Column,
    /// Event time of each row in milliseconds; empty where the stream has none.
    pub timestamps: Vec<i64>,
    /// The keys, on a keyed stream.
    pub keyed: Option<Keyed>,
    /// Where each row came from, on a forward edge whose rows may become channel state that is
    /// dealt out anew; empty where nobody asks.
    pub lineage: Vec<Lineage>,
}

/// What decides which subtask a row of a forward edge belongs to when the parallelism changes
/// (D10): there it must meet what comes after it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Lineage {
    /// Nothing does.
    #[default]
    None,
    /// The [`hash64`](crate::hash64) of the key that its last hash edge dealt it out by.
    Key(u64),
    /// The [`hash64`](crate::hash64) of the name of the split that it was read from.
    Split(u64),
}

/// The keys of a batch: each distinct key once, with its hash, and the key of each row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keyed {
    /// The distinct keys in order of first appearance, encoded as D2 says.
    pub keys: Column,
    /// [`hash64`](crate::hash64) of each distinct key, computed once where the key is selected.
    pub hashes: Vec<u64>,
    /// For each row, the index of its key.
    pub key_of_row: Vec<u32>,
}

impl Batch {
    /// The most rows of a batch. More would not make a call cheaper (the fixed cost of a guest call
    /// is below 1 % from 1,024 rows on), but would hold more rows back behind a barrier.
    pub const MAX_ROWS: usize = 4096;
    /// The most bytes of values of a batch before it is cut; a single larger row still passes. A
    /// batch then fits a second-level cache.
    pub const MAX_BYTES: usize = 256 * 1024;

    /// Number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// What the batch counts against the budget of a channel, in bytes.
    #[must_use]
    pub fn weight(&self) -> usize {
        let keys = self.keyed.as_ref().map_or(0, |k| {
            k.keys.byte_len() + k.hashes.len() * 12 + k.key_of_row.len() * 4
        });
        self.values.byte_len()
            + self.values.len() * 4
            + self.timestamps.len() * 8
            + self.lineage.len() * 16
            + keys
    }

    /// All rows, borrowed.
    #[must_use]
    pub fn rows(&self) -> Rows<'_> {
        Rows {
            values: self.values.view(),
            timestamps: &self.timestamps,
            keyed: self.keyed.as_ref().map(|k| KeyedView {
                keys: k.keys.view(),
                hashes: &k.hashes,
                key_of_row: &k.key_of_row,
            }),
        }
    }
}

/// The rows of one call into an operator: a batch or a slice of one (D6), borrowed.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a> {
    /// The rows.
    pub values: ColumnView<'a>,
    /// Event time of each row in milliseconds; empty where the stream has none.
    pub timestamps: &'a [i64],
    /// The keys, on a keyed stream.
    pub keyed: Option<KeyedView<'a>>,
}

/// The keys of one call, borrowed: each distinct key of these rows once.
#[derive(Clone, Copy, Debug)]
pub struct KeyedView<'a> {
    /// The distinct keys.
    pub keys: ColumnView<'a>,
    /// The hash of each distinct key.
    pub hashes: &'a [u64],
    /// For each row, the index of its key.
    pub key_of_row: &'a [u32],
}

impl Rows<'_> {
    /// Number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }
}
