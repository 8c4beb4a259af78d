//! What becomes of rows that a join has put together: the part of a join that is not the host's.

use weir_model::ColumnView;

use crate::{Context, Emitted, Failure, TaskInfo};

/// Pairs of rows that belong together, in order.
#[derive(Clone, Copy, Debug)]
pub struct Pairs<'a> {
    /// Keys, among them those of all pairs.
    pub keys: ColumnView<'a>,
    /// The key of each pair.
    pub key_of_pair: &'a [u32],
    /// Rows of the left input, among them those of all pairs: a row may be in many.
    pub left: ColumnView<'a>,
    /// The event time of each, in milliseconds.
    pub left_times: &'a [i64],
    /// The left row of each pair; [`ABSENT`](Self::ABSENT) = none.
    pub left_of_pair: &'a [u32],
    /// Rows of the right input.
    pub right: ColumnView<'a>,
    /// The event time of each.
    pub right_times: &'a [i64],
    /// The right row of each pair; [`ABSENT`](Self::ABSENT) = none.
    pub right_of_pair: &'a [u32],
    /// The event time of what each pair gives.
    pub timestamps: &'a [i64],
}

impl Pairs<'_> {
    /// No row of that input: the other one found none.
    pub const ABSENT: u32 = u32::MAX;

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.key_of_pair.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.key_of_pair.is_empty()
    }
}

/// Makes rows out of pairs. What it writes to state is part of the call.
pub trait JoinFunction: Send {
    /// Called once, before everything else.
    ///
    /// # Errors
    /// [`Failure`]; the task fails.
    fn open(&mut self, cx: &mut Box<Context>) -> Result<(), Failure>;

    /// Makes the instance anew after it was lost, as [`Operator::reset`](crate::Operator::reset).
    ///
    /// # Errors
    /// [`Failure`]; the task fails.
    fn reset(&mut self, cx: &mut Box<Context>) -> Result<(), Failure>;

    /// Whether [`accept`](Self::accept) has anything to say.
    fn looks_at_rows(&self) -> bool {
        false
    }

    /// Looks at rows of an input as they come, before they are kept: 0 is the left one.
    ///
    /// # Errors
    /// [`Failure`]; a [`Failure::Guest`] with a row refuses that one, and nothing of the call is
    /// kept.
    fn accept(
        &mut self,
        cx: &mut Box<Context>,
        input: u32,
        rows: ColumnView<'_>,
    ) -> Result<(), Failure> {
        let _ = (cx, input, rows);
        Ok(())
    }

    /// The rows of pairs. The origin of a row is its pair; what has no time of its own gets that of
    /// its pair.
    ///
    /// # Errors
    /// [`Failure`]; nothing of the call is kept. A [`Failure::Guest`] with a row refuses the pair
    /// of that index.
    fn project(&mut self, cx: &mut Box<Context>, pairs: Pairs<'_>)
    -> Result<Vec<Emitted>, Failure>;
}

/// Makes the parallel instances of one join function.
pub trait JoinFunctionFactory: Send + Sync {
    /// The side outputs of the function by name; output 0 is the main one, these are 1, 2, ...
    fn side_outputs(&self) -> &[String];

    /// Makes one instance.
    ///
    /// # Errors
    /// [`Failure`] where it cannot be made.
    fn create(&self, task: &TaskInfo) -> Result<Box<dyn JoinFunction>, Failure>;
}
