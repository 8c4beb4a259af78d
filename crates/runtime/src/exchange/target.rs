//! One receiving subtask of an edge, and the rows that are dealt out to it.

use std::sync::Arc;

use weir_model::{Element, Picker};

use super::{Sender, builder::BatchBuilder, numbers::Keys};

/// One receiving subtask of an edge.
pub(crate) struct Target {
    pub(super) sender: Sender,
    pub(super) builder: BatchBuilder,
    /// Which of the rows in hand go here; empty where none are in hand.
    picked: Vec<u32>,
    /// Whether rows were handed over that nobody has looked at, see [`hand_over_beside`].
    ///
    /// [`hand_over_beside`]: super::output::hand_over_beside
    pub(super) has_sent: bool,
}

/// Rows of which a target takes in those that were picked for it.
#[derive(Clone, Copy)]
pub(super) struct Dealt<'a> {
    pub(super) values: Picker<'a>,
    /// One a row, or none.
    pub(super) timestamps: &'a [i64],
    pub(super) keys: &'a Keys,
}

impl Target {
    pub(crate) fn new(sender: Sender) -> Self {
        Self {
            sender,
            builder: BatchBuilder::default(),
            picked: Vec::new(),
            has_sent: false,
        }
    }

    /// This of the rows in hand goes here. Rows are picked in order.
    #[inline]
    pub(super) fn pick(&mut self, row: u32) {
        self.picked.push(row);
    }

    /// Takes the rows in that were picked; full batches are handed over.
    pub(super) fn take_in(&mut self, rows: Dealt<'_>) {
        if self.picked.is_empty() {
            return;
        }
        if !self.builder.fits(!rows.timestamps.is_empty()) {
            self.hand_over();
        }
        let mut done = 0;
        while let [_, ..] = &self.picked[done..] {
            let count = self
                .builder
                .room_for_picked(rows.values, &self.picked[done..]);
            let picked = &self.picked[done..done + count];
            self.builder.extend_picked(rows, picked);
            if self.builder.is_full() {
                self.hand_over();
            }
            done += count;
        }
        self.picked.clear();
    }

    fn hand_over(&mut self) {
        if !self.builder.is_empty() {
            let batch = Arc::new(self.builder.take());
            self.sender.send(Element::Batch(batch));
            self.has_sent = true;
        }
    }
}
