//! Selecting the key of a row, at the producing end of a hash edge.

use weir_model::{Column, ColumnView};

/// A row without a usable key (missing or null part, or not of the format).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadKey {
    /// The row.
    pub row: u32,
    /// What is missing or wrong.
    pub message: String,
}

/// Takes the key out of each row, encoded as D2 says: each part as uvarint length ‖ bytes.
pub trait KeySelector: Send + Sync {
    /// Appends one key per row to `keys`; for a row without a usable key an empty one, and an entry
    /// in `bad` in order of rows.
    fn select(&self, values: ColumnView<'_>, keys: &mut Column, bad: &mut Vec<BadKey>);

    /// Where the key of a row begins, if it is nothing but eight bytes at the same place of each
    /// row: what [`select`](Self::select) appends is they behind their length then, and an empty
    /// key where a row is too short. Whoever has many rows takes them from there.
    fn number_at(&self) -> Option<usize> {
        None
    }

    /// What of a row is its key, in words: `csv columns 0, 1`, `json /user`, `row`. Checkpoints
    /// keep it beside keyed state, so one key has the same words in every version of the host,
    /// and another key has others.
    fn describe(&self) -> String;
}
