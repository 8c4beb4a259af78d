//! The trait that the engine drives: a batch in, rows out, state on the side.

use weir_model::{CheckpointId, Column, KeyedView, Rows};
use weir_state::{StateDecl, TimerKind};

use crate::{AsyncOperatorFactory, Context, Evolve, Failure, TaskInfo};

/// What an operator says about itself before it runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Descriptor {
    /// Its states; [`weir_state::StateIndex`] counts in this order.
    pub states: Vec<StateDecl>,
    /// How many inputs it takes.
    pub inputs: u32,
    /// Its side outputs by name; output 0 is the main one, these are 1, 2, ...
    pub side_outputs: Vec<String>,
    /// Whether it uses timers: then [`StateDecl::timers`] is the last of its states.
    pub timers: bool,
    /// Whether what it keeps waits for its timers, as windows and joins of the host do: one that
    /// was left out would leave a key to wait for ever, so that its failure is the task's.
    pub needs_all_timers: bool,
    /// Whether it keeps something in its own memory between calls that is part of its state.
    pub keeps_memory: bool,
    /// Whether rows of a broadcast input may ask for calls for all keys of a state
    /// ([`Operator::on_keys`]): then such rows come one to a call.
    pub keyed_broadcast: bool,
    /// Whether it is to be asked for what it holds itself at each checkpoint, and told what becomes
    /// of the checkpoint. What it holds between two of them cannot be made anew, so such an
    /// operator `keeps_memory` too.
    pub checkpointed: bool,
    /// Whether it can bring state of an older version to the one that it declares, and tell what is
    /// in it (see [`OperatorFactory::evolve`]).
    pub evolving: bool,
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

/// Timers that fire in one call, in the order in which they are due.
#[derive(Clone, Copy, Debug)]
pub struct Due<'a> {
    /// By which time they go: all by the same.
    pub kind: TimerKind,
    /// When each was due.
    pub at: &'a [i64],
    /// Their keys; `key_of_row` says which key each timer has.
    pub keyed: KeyedView<'a>,
}

impl Due<'_> {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.at.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.at.is_empty()
    }
}

/// One parallel instance of an operator. Calls never overlap.
///
/// A call is a transaction of host state: the engine begins one in `cx.state` and in
/// `cx.operator_state` before it, and commits or rolls back both after it. An implementation has
/// checked what it returns: columns fit, outputs and origins exist, at most the limits were
/// emitted.
///
/// Order of life: `initialize`, `open`, `process` ..., `end_of_input` for each input, `finish`; in
/// between a `snapshot` at each checkpoint, and `complete` or `aborted` when it is known what
/// became of it; the last calls are the `snapshot` and `complete` of the checkpoint that the job
/// ends with. Where the job keeps no checkpoints these three are never called; an operator that
/// had finished in the checkpoint that the job goes on from is not called at all.
pub trait Operator: Send {
    /// Called once, before everything else: `restored` says whether the job goes on from a
    /// checkpoint, `raw` is what [`snapshot`](Self::snapshot) had given then and is this subtask's
    /// share now. State in `cx` is restored already.
    ///
    /// # Errors
    /// [`Failure`]; the task fails.
    fn initialize(
        &mut self,
        cx: &mut Box<Context>,
        restored: bool,
        raw: &[Vec<u8>],
    ) -> Result<(), Failure> {
        let _ = (cx, restored, raw);
        Ok(())
    }

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

    /// Timers fire (D14). They are no longer set in the transaction of the call. What is emitted
    /// inherits from a timer as it does from a row: the event time is that of an event-time timer,
    /// and there is none from a processing-time timer; a refused timer is `poisoned` by its place.
    ///
    /// One key may have several timers in a call, unless the operator keeps memory: as if each knew
    /// what those before it did. Where the call sets a timer that should have fired before a later
    /// one of the same key, or deletes a later one, nothing of it is kept and fewer come again.
    ///
    /// # Errors
    /// As [`process`](Self::process).
    fn on_timers(&mut self, cx: &mut Box<Context>, due: Due<'_>) -> Result<Outcome, Failure> {
        let _ = cx;
        Err(Failure::Internal {
            message: format!("{} timers of an operator that has none fire", due.len()),
        })
    }

    /// Some of the keys of a state for which a row of a broadcast input has asked for calls, by
    /// [`KeyedState::apply_to_keys`](weir_state::KeyedState::apply_to_keys): each key once, in the
    /// state in which that row's call has left everything. The rows are empty, each of another key;
    /// what is emitted inherits the event time of the row that asked. Broadcast state is not
    /// written, and no other calls are asked for.
    ///
    /// # Errors
    /// As [`process`](Self::process); a key that is refused fails the task.
    fn on_keys(
        &mut self,
        cx: &mut Box<Context>,
        tag: &[u8],
        keys: Rows<'_>,
    ) -> Result<Outcome, Failure> {
        let _ = (cx, tag);
        Err(Failure::Internal {
            message: format!(
                "{} keys for an operator that is not called for all",
                keys.len()
            ),
        })
    }

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

    /// A checkpoint is taken: gives what the operator holds itself, as chunks that are dealt out
    /// evenly when the parallelism changes. It may still write operator state, which is saved after
    /// this call.
    ///
    /// # Errors
    /// [`Failure`]: the checkpoint is declined, and nothing of the call is kept. Where the instance
    /// is lost ([`Failure::lost_instance`]) the task fails.
    fn snapshot(
        &mut self,
        cx: &mut Box<Context>,
        checkpoint: CheckpointId,
    ) -> Result<Vec<Vec<u8>>, Failure> {
        let _ = (cx, checkpoint);
        Ok(Vec::new())
    }

    /// A checkpoint is complete: what belongs to it, and to all before it, is durable. May come for
    /// a later one first, and not at all.
    ///
    /// # Errors
    /// [`Failure`]; the task fails.
    fn complete(&mut self, cx: &mut Box<Context>, checkpoint: CheckpointId) -> Result<(), Failure> {
        let _ = (cx, checkpoint);
        Ok(())
    }

    /// A checkpoint was given up; the next one holds what it would have held.
    ///
    /// # Errors
    /// As [`complete`](Self::complete).
    fn aborted(&mut self, cx: &mut Box<Context>, checkpoint: CheckpointId) -> Result<(), Failure> {
        let _ = (cx, checkpoint);
        Ok(())
    }

    /// Makes the instance anew after it was lost, opened as before. State lives in the host. What
    /// is written while it is opened is dropped, metrics too: the first time counts. So is anything
    /// that the call in hand has written.
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

    /// What the operator knows of the formats of its state; `None` where it is not
    /// [`evolving`](Descriptor::evolving).
    ///
    /// # Errors
    /// [`Failure`] where it cannot be asked.
    fn evolve(&self) -> Result<Option<Box<dyn Evolve>>, Failure> {
        Ok(None)
    }
    /// Where the calls of the operator wait for something outside: what makes its instances, in
    /// place of [`create`](Self::create). Then [`Descriptor::states`] is
    /// [`StateDecl::waiting`](weir_state::StateDecl::waiting) alone, and it has one input.
    fn waits(&self) -> Option<&dyn AsyncOperatorFactory> {
        None
    }
}
