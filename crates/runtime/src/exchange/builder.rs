//! Collecting rows for one target until the batch is worth handing over.

use weir_model::{Batch, Column, ColumnView, Lineage, Picker};

use super::{
    TimedRows,
    numbers::{Keys, Numbers},
    target::Dealt,
};

/// Rows under way to one target.
#[derive(Default)]
pub(crate) struct BatchBuilder {
    values: Column,
    timestamps: Vec<i64>,
    lineage: Vec<Lineage>,
    numbers: Numbers,
    /// What the batch before the last one had.
    before: Size,
}

/// How large a batch is.
#[derive(Clone, Copy, Default)]
struct Size {
    rows: usize,
    bytes: usize,
}

impl BatchBuilder {
    pub(crate) fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The number of rows.
    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether the batch is full.
    pub(crate) fn is_full(&self) -> bool {
        self.values.len() >= Batch::MAX_ROWS || self.values.byte_len() >= Batch::MAX_BYTES
    }

    /// Whether a row with (`true`) or without a timestamp can join the rows that are here.
    pub(crate) fn fits(&self, timestamped: bool) -> bool {
        self.values.is_empty() || self.timestamps.is_empty() != timestamped
    }

    /// How many of these rows, from the first on, make the batch full, or all of them.
    pub(crate) fn room_for(&self, values: ColumnView<'_>) -> usize {
        let bytes = Batch::MAX_BYTES.saturating_sub(self.values.byte_len());
        let rows = Batch::MAX_ROWS.saturating_sub(self.values.len());
        // The row that reaches the limit still goes along.
        let fitting = values.ends_before(bytes) + 1;
        fitting.min(rows).min(values.len())
    }

    /// The same of some of these rows. None of them is there twice.
    pub(crate) fn room_for_picked(&self, values: Picker<'_>, picked: &[u32]) -> usize {
        let bytes = Batch::MAX_BYTES.saturating_sub(self.values.byte_len());
        let rows = Batch::MAX_ROWS.saturating_sub(self.values.len());
        let fitting = match values.byte_len() < bytes {
            true => picked.len(),
            false => values.ends_before(picked, bytes) + 1,
        };
        fitting.min(rows).min(picked.len())
    }

    /// Adds rows, without their keys and where they came from.
    pub(crate) fn extend(&mut self, rows: TimedRows<'_>) {
        self.values.extend_from(rows.values);
        self.timestamps.extend_from_slice(rows.timestamps);
    }

    /// Adds some of these rows with their keys.
    pub(super) fn extend_picked(&mut self, rows: Dealt<'_>, picked: &[u32]) {
        rows.values.append(picked, &mut self.values);
        if !rows.timestamps.is_empty() {
            let timestamps = picked.iter().map(|&row| rows.timestamps[row as usize]);
            self.timestamps.extend(timestamps);
        }
        let picked = picked.iter().map(|&row| row as usize);
        self.extend_keys(rows.keys, picked);
    }

    /// Adds the keys of the next rows that have none yet: these of the rows in hand.
    pub(super) fn extend_keys(&mut self, keys: &Keys, rows: impl ExactSizeIterator<Item = usize>) {
        self.numbers.extend(keys, rows);
    }

    /// Adds where the next rows came from, on an edge that keeps it of all its rows: so many that
    /// each has an entry, nothing where it is not known.
    pub(crate) fn extend_lineage(&mut self, lineage: &[Lineage]) {
        self.lineage.extend_from_slice(lineage);
        self.lineage.resize(self.values.len(), Lineage::None);
    }

    /// The batch, and an empty builder of about the size of it or of the one before, whichever is
    /// larger: between full ones are those that a watermark has ended.
    pub(crate) fn take(&mut self) -> Batch {
        let last = Size {
            rows: self.values.len().min(Batch::MAX_ROWS),
            bytes: self.values.byte_len().min(Batch::MAX_BYTES),
        };
        let before = std::mem::replace(&mut self.before, last);
        let rows = last.rows.max(before.rows);
        let bytes = last.bytes.max(before.bytes);
        let room = Column::with_capacity(with_slack(rows), with_slack(bytes));
        let values = std::mem::replace(&mut self.values, room);
        let timestamps = take_leaving_room(&mut self.timestamps, rows);
        self.take_with(values, timestamps)
    }

    /// These rows as a batch, with the keys that were added. There must be no others.
    pub(crate) fn take_with(&mut self, values: Column, timestamps: Vec<i64>) -> Batch {
        Batch {
            values,
            timestamps,
            keyed: self.numbers.take(),
            lineage: take_leaving_room(&mut self.lineage, 0),
        }
    }
}

/// What is there, if anything is. The next batch most likely needs as much, or as `rows`: it does
/// not grow to that step by step.
pub(super) fn take_leaving_room<T>(buffer: &mut Vec<T>, rows: usize) -> Vec<T> {
    let room = match buffer.len() {
        0 => 0,
        len => with_slack(len.max(rows)),
    };
    std::mem::replace(buffer, Vec::with_capacity(room))
}

/// Room for a little more: a batch is as large as the last one give or take some rows, and a full
/// one has the row that has reached the limit. One byte too few doubles the buffer, and copies it.
fn with_slack(room: usize) -> usize {
    room + room / 16
}
