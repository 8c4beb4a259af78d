//! What becomes of a call that lost its instance: which row is the cause, and how to go on behind
//! it (D13).

use std::{ops::Range, time::Duration};

use weir_operator::{Failure, Limit, Outcome, Poison};

use super::{calling::Calling, operator::OperatorNode, slicer::Slicer};

/// A deadline for the calls that look for a row, so that looking for one that loops stays short. A
/// row that was found for taking too long is then run alone, with all the time there is.
const ISOLATION_DEADLINE: Duration = Duration::from_millis(200);

/// The code of a row that the component refuses by itself.
pub(crate) const REFUSED: &str = "W0101";

/// What was done with the first rows of a call that lost its instance.
pub(crate) struct GotPast {
    pub(crate) outcome: Outcome,
    /// How many rows are done with, left out or not.
    pub(crate) rows: usize,
    /// The code of what is wrong with the row that was left out, if one was.
    pub(crate) code: &'static str,
}

impl OperatorNode {
    /// What becomes of a call that lost its instance. Where rows may be left out, so many of its
    /// rows are done with; else the failure names its row. Operators that keep something in their
    /// own memory can only fail (D13).
    pub(crate) fn isolate(
        &mut self,
        calling: Calling<'_>,
        mut failure: Failure,
    ) -> Result<GotPast, Failure> {
        if !failure.lost_instance() {
            return Err(failure);
        }
        if self.may_leave_out(calling) {
            return self.get_past(calling, failure);
        }
        let row = if calling.len() == 1 {
            Some(0)
        } else if self.keeps_memory {
            None
        } else {
            let found = self.find_row(calling, &failure);
            // Many rows that each take their time are no row that takes too long.
            found.filter(|&row| {
                !is_too_long(&failure) || self.passes(calling, row..row + 1) == Some(false)
            })
        };
        let info = row.map(|row| calling.info(row));
        match &mut failure {
            Failure::Trap(trap) => trap.row = info,
            Failure::Limit(limit) => limit.row = info,
            Failure::Guest { .. }
            | Failure::Contract { .. }
            | Failure::BadRow { .. }
            | Failure::BadKey { .. }
            | Failure::NoEventTime { .. }
            | Failure::External { .. }
            | Failure::LocalState { .. }
            | Failure::Restore { .. }
            | Failure::Unfit { .. }
            | Failure::Superseded { .. }
            | Failure::Claimed { .. }
            | Failure::Existing { .. }
            | Failure::Target { .. }
            | Failure::RefusedRow { .. }
            | Failure::LostTransaction { .. }
            | Failure::Unanswered { .. }
            | Failure::Internal { .. } => {}
        }
        Err(failure)
    }

    /// Goes on behind a trap or a limit: keeps the rows before the one that seems to be its cause;
    /// leaves out only a row that fails alone, on a fresh instance and with all the time there is.
    /// What many rows use up together is nobody's fault.
    fn get_past(&mut self, calling: Calling<'_>, failure: Failure) -> Result<GotPast, Failure> {
        let row = match calling.len() {
            1 => 0,
            _ => match self.find_row(calling, &failure) {
                Some(row) => row,
                None => return Err(failure),
            },
        };
        let count = row.max(1);
        match self.run_anew(calling, 0..count)? {
            Ok(outcome) => Ok(GotPast {
                outcome,
                rows: count,
                code: REFUSED,
            }),
            Err(again) if row == 0 && again.lost_instance() => {
                self.roll_back();
                self.operator.reset(&mut self.cx)?;
                // Nothing of it counts, but that a timer has fired.
                let mut slicer = Slicer::default();
                self.begin_calling(calling.cut(&mut slicer, 0..1))?;
                let message = cause_of(&again);
                let poisoned = Some(Poison { row: 0, message });
                let outcome = Outcome {
                    poisoned,
                    ..Outcome::default()
                };
                Ok(GotPast {
                    outcome,
                    rows: count,
                    code: again.code(),
                })
            }
            Err(again) => Err(again),
        }
    }

    /// Runs some rows on a fresh instance; whoever asks keeps what that came to, or does not.
    ///
    /// # Errors
    /// The outer one where there is no fresh instance.
    fn run_anew(
        &mut self,
        calling: Calling<'_>,
        range: Range<usize>,
    ) -> Result<Result<Outcome, Failure>, Failure> {
        self.roll_back();
        self.operator.reset(&mut self.cx)?;
        let mut slicer = Slicer::default();
        let some = calling.cut(&mut slicer, range);
        self.begin_calling(some)?;
        let mut result = self.call(some);
        for emitted in result.iter_mut().flat_map(|outcome| &mut outcome.emitted) {
            // Empty says that row `i` comes from row `i`, of fewer rows than the call had.
            if emitted.origin.is_empty() {
                emitted.origin.extend(0..emitted.values.len() as u32);
            }
        }
        Ok(result)
    }

    /// The last row of the shortest prefix that fails; the last of all where no shorter one does.
    /// `None` where there is no fresh instance.
    fn find_row(&mut self, calling: Calling<'_>, failure: &Failure) -> Option<usize> {
        // Looking for a row that loops stays short; whoever is found is given all the time then.
        self.cx.deadline = is_too_long(failure).then_some(ISOLATION_DEADLINE);
        // Invariant: a prefix of `good` rows passes, one of `bad` rows fails.
        let (mut good, mut bad) = (0, calling.len());
        while bad - good > 1 {
            let mid = good + (bad - good) / 2;
            match self.passes(calling, 0..mid) {
                Some(true) => good = mid,
                Some(false) => bad = mid,
                None => {
                    self.cx.deadline = None;
                    return None;
                }
            }
        }
        self.cx.deadline = None;
        Some(bad - 1)
    }

    /// Whether a fresh instance takes these rows; `None` where there is none.
    fn passes(&mut self, calling: Calling<'_>, range: Range<usize>) -> Option<bool> {
        self.cx.rehearsal = true;
        let result = self.run_anew(calling, range);
        self.cx.rehearsal = false;
        Some(result.ok()?.is_ok())
    }
}

fn is_too_long(failure: &Failure) -> bool {
    matches!(failure, Failure::Limit(limit) if limit.key == Limit::TIME)
}

/// Why an instance was lost, without where: a backtrace is for whoever mends the component, and not
/// for whoever looks at a row.
pub(super) fn cause_of(failure: &Failure) -> String {
    match failure {
        Failure::Trap(trap) => trap.message.clone(),
        Failure::Limit(limit) => {
            format!(
                "{} (limit `limits.{}` is {})",
                limit.message, limit.key, limit.value
            )
        }
        Failure::Guest { .. }
        | Failure::Contract { .. }
        | Failure::BadRow { .. }
        | Failure::BadKey { .. }
        | Failure::NoEventTime { .. }
        | Failure::External { .. }
        | Failure::LocalState { .. }
        | Failure::Restore { .. }
        | Failure::Unfit { .. }
        | Failure::Superseded { .. }
        | Failure::Claimed { .. }
        | Failure::Existing { .. }
        | Failure::Target { .. }
        | Failure::RefusedRow { .. }
        | Failure::LostTransaction { .. }
        | Failure::Unanswered { .. }
        | Failure::Internal { .. } => failure.to_string(),
    }
}
