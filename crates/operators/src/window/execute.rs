//! What the windows of a call give: results in the order in which they came, and how far each
//! window has come with its steps.
//!
//! What a window holds depends on its own steps before and on those of the windows it takes over.
//! So it goes in rounds: each window goes as far as it gets, and what functions are needed for is
//! asked of them once a round for all. Nearly always there is one round.

use weir_model::Column;
use weir_operator::Failure;

use super::call::Step;

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

/// The steps of each window in order, and how far each has come.
pub(super) struct Steps {
    /// Those of one window after the other.
    all: Vec<Step>,
    /// Where those of each window end.
    ends: Vec<u32>,
    /// Which is the next one of each.
    next: Vec<u32>,
}

impl Steps {
    /// The steps of so many windows, each with the number of its window.
    pub(super) fn of(windows: usize, steps: &[(u32, Step)]) -> Self {
        // How many each window has; then where each begins, which moves to where it ends.
        let mut ends = vec![0_u32; windows];
        steps.iter().for_each(|(of, _)| ends[*of as usize] += 1);
        let mut from = 0;
        for end in &mut ends {
            from += std::mem::replace(end, from);
        }
        let next = ends.clone();
        let mut all = vec![Step::Purge; steps.len()];
        for (of, step) in steps {
            let at = &mut ends[*of as usize];
            all[*at as usize] = *step;
            *at += 1;
        }
        Self { all, ends, next }
    }

    /// All that are left of a window.
    pub(super) fn left(&self, window: usize) -> &[Step] {
        let bounds = self.next.get(window).zip(self.ends.get(window));
        let left = bounds.and_then(|(from, to)| self.all.get(*from as usize..*to as usize));
        left.unwrap_or_default()
    }

    /// The next step of a window.
    pub(super) fn step(&self, window: usize) -> Option<Step> {
        self.left(window).first().copied()
    }

    /// It has been taken.
    pub(super) fn pass(&mut self, window: usize) {
        self.next[window] += 1;
    }
}

impl Results {
    /// In the order in which they came.
    pub(super) fn sort(&mut self) {
        self.all.sort_unstable_by_key(|(number, ..)| *number);
    }
}
