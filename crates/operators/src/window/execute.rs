//! What the windows of a call give: results in the order in which they came, and how far each
//! window has come with its steps.
//!
//! What a window holds depends on its own steps before and on those of the windows it takes over.
//! So it goes in rounds: each window goes as far as it gets, and what functions are needed for is
//! asked of them once a round for all. Nearly always there is one round.

use weir_model::Column;
use weir_operator::Failure;

use super::call::{Slot, Step};

/// The results of a call that are to be: windows, and what they hold.
#[derive(Default)]
pub(super) struct Results {
    /// Of each which result of the call it is, the index of its key, and which part it has: of
    /// `values`, or of `elements` where windows keep all their rows.
    pub(super) all: Vec<(u32, u32, std::ops::Range<u32>)>,
    /// Accumulators, or elements of lists.
    pub(super) values: Column,
    /// Which of the elements results have: a window that gives several has the same ones over and
    /// over, and they are laid out only when the function gets them.
    pub(super) elements: Vec<u32>,
}

/// Which row of the call a function has refused, by which rows it was handed.
pub(super) fn refused(failure: Failure, row_of: impl Fn(usize) -> Option<u32>) -> Failure {
    match failure {
        Failure::Guest {
            message,
            row: Some(row),
        } => Failure::Guest {
            message,
            row: row_of(row as usize),
        },
        other => other,
    }
}

/// How far a window has come.
#[derive(Clone, Copy, Default)]
pub(super) struct Cursor(usize);

impl Cursor {
    /// The next step of a window.
    pub(super) fn step(self, slot: &Slot) -> Option<Step> {
        slot.steps.get(self.0).copied()
    }

    /// It has been taken.
    pub(super) fn pass(&mut self) {
        self.0 += 1;
    }
}

impl Results {
    /// In the order in which they came.
    pub(super) fn sort(&mut self) {
        self.all.sort_unstable_by_key(|(number, ..)| *number);
    }
}
