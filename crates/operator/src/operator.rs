//! The trait that the engine drives: a batch in, rows out, state on the side.

use weir_model::{Column, Rows};
use weir_state::StateDecl;

use crate::{Context, Failure, TaskInfo};

/// What an operator says about itself before it runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Descriptor {
    /// Its states; [`weir_state::StateIndex`] counts in this order.
    pub states: Vec<StateDecl>,
    /// How many inputs it takes.
    pub inputs: u32,
    /// Its side outputs by name; output 0 is the main one, these are 1, 2, ...
    pub side_outputs: Vec<String>,
    /// Whether it uses timers.
    pub timers: bool,
    /// Whether it keeps something in its own memory between calls that is part of its state.
    pub keeps_memory: bool,
}

/// Rows for one output of an operator.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Emitted {
    /// 0 is the main output, then the side outputs.
    pub output: u32,
    /// The rows.
    pub values: Column,
    /// For each row the input row whose timestamp it inherits. Empty = row `i` inherits from row
    /// `i`, or nothing to inherit from (end of input).
    pub origin: Vec<u32>,
    /// Event time of each row in milliseconds; empty = inherited.
    pub timestamps: Vec<i64>,
    /// One key per row, used by edges with `key: {guest: true}`; empty otherwise.
    pub keys: Column,
}

/// A row that the operator refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Poison {
    /// Its index in the call.
    pub row: u32,
    /// Why.
    pub message: String,
}

/// What a call did. Where `poisoned` is set, the rows before it count, that row and all later ones
/// do not (D13).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// What it emitted, in order within each output.
    pub emitted: Vec<Emitted>,
    /// The first row that it refuses.
    pub poisoned: Option<Poison>,
}

/// One parallel instance of an operator. Calls never overlap.
///
/// A call is a transaction of host state: the engine calls `cx.state.begin` before it and commits
/// or rolls back after it. An implementation has checked what it returns: columns fit, outputs and
/// origins exist, at most the limits were emitted.
pub trait Operator: Send {
    /// Called once, after state was restored and before the first row.
    ///
    /// # Errors
    /// [`Failure`]; the task fails.
    fn open(&mut self, cx: &mut Box<Context>) -> Result<(), Failure>;

    /// Processes the rows of one call.
    ///
    /// # Errors
    /// [`Failure`]; nothing of the call is kept. After [`Failure::lost_instance`] the engine calls
    /// [`reset`](Self::reset) before it calls anything else.
    fn process(
        &mut self,
        cx: &mut Box<Context>,
        input: u32,
        rows: Rows<'_>,
    ) -> Result<Outcome, Failure>;

    /// One input has ended.
    ///
    /// # Errors
    /// As [`process`](Self::process).
    fn end_of_input(&mut self, cx: &mut Box<Context>, input: u32) -> Result<Vec<Emitted>, Failure>;

    /// All inputs have ended; the last chance to emit.
    ///
    /// # Errors
    /// As [`process`](Self::process).
    fn finish(&mut self, cx: &mut Box<Context>) -> Result<Vec<Emitted>, Failure>;

    /// Makes the instance anew after it was lost, opened as before. State lives in the host.
    ///
    /// # Errors
    /// [`Failure`]; the task fails.
    fn reset(&mut self, cx: &mut Box<Context>) -> Result<(), Failure>;
}

/// Makes the parallel instances of one operator out of what they share.
pub trait OperatorFactory: Send + Sync {
    /// What the operator says about itself.
    fn descriptor(&self) -> &Descriptor;

    /// Makes one instance.
    ///
    /// # Errors
    /// [`Failure`] where it cannot be made.
    fn create(&self, task: &TaskInfo) -> Result<Box<dyn Operator>, Failure>;
}
