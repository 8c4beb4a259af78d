//! An operator as a node of a chain, and its calls: each is a transaction.

use weir_model::{Barrier, CheckpointId, KeyedView, Name, ProcessingTime, SavepointFormat};
use weir_operator::{Context, Descriptor, Failure, Operator};
use weir_state::{SnapshotFormat, SnapshotRequest, StateDecl};

use super::{
    all_keys::AllKeys,
    lane::NodeState,
    slicer::{Pace, Slicer},
    timers::Firing,
};
use crate::letters::BadRows;

/// An operator with what it sees of the host.
pub(crate) struct OperatorNode {
    pub(crate) operator: Box<dyn Operator>,
    pub(crate) cx: Box<Context>,
    pub(crate) bad_rows: BadRows,
    pub(crate) holds: Holds,
    pub(crate) keeps_memory: bool,
    /// Whether no timer of it may be left out.
    pub(crate) needs_all_timers: bool,
    /// Whether it may say watermarks of what it emits.
    pub(crate) says_watermarks: bool,
    /// Of each input, whether every subtask gets all its rows: only these may write broadcast
    /// state.
    pub(crate) broadcast: Vec<bool>,
    pub(crate) beginning: Beginning,
    pub(crate) slicer: Slicer,
    /// What a row costs here, whatever follows.
    pub(crate) pace: Pace,
    /// `None` while its timers fire, and where it has none.
    pub(crate) firing: Option<Box<Firing>>,
    /// `None` while it is called for all keys, and where it never is.
    pub(crate) all_keys: Option<Box<AllKeys>>,
}

/// What of an operator a checkpoint holds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Holds {
    /// Keyed state.
    pub(crate) keyed: bool,
    /// Lists or broadcast state.
    pub(crate) own: bool,
    /// What it says itself, when it is asked; it is also told what becomes of checkpoints. `false`
    /// where the job keeps none.
    pub(crate) raw: bool,
}

impl Holds {
    pub(crate) fn new(descriptor: &Descriptor, keeps_checkpoints: bool) -> Self {
        let keyed = |decl: &&StateDecl| decl.kind.is_keyed();
        let count = descriptor.states.iter().filter(keyed).count();
        Self {
            keyed: count > 0,
            own: count < descriptor.states.len(),
            raw: descriptor.checkpointed && keeps_checkpoints,
        }
    }
}

/// How an operator begins.
#[derive(Debug, Default)]
pub(crate) struct Beginning {
    /// Whether it goes on from a checkpoint.
    pub(crate) restored: bool,
    /// Whether its task had finished in that checkpoint: then it is not called any more, and what
    /// was saved of it is saved again.
    pub(crate) finished: bool,
    /// Its share of what it had said itself.
    pub(crate) raw: Vec<Vec<u8>>,
}

/// Why an operator has no part in a checkpoint.
pub(crate) enum NotFrozen {
    /// It or its state backend refuses, and it goes on as before.
    Declined(Failure),
    /// It cannot go on.
    Failed(Failure),
}

/// What became of a checkpoint.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fate {
    Complete,
    Aborted,
}

impl OperatorNode {
    /// Begins a call without rows.
    pub(crate) fn begin(&mut self, now: ProcessingTime) {
        self.set_time(now);
        self.begin_writes(None, false);
    }

    /// The one reading of the clock that a call has (D16).
    pub(crate) fn set_time(&mut self, now: ProcessingTime) {
        self.cx.processing_time = now;
        self.cx.state.set_time(now);
    }

    pub(crate) fn is_broadcast(&self, input: u32) -> bool {
        self.broadcast.get(input as usize) == Some(&true)
    }

    /// Begins the transaction of a call.
    pub(crate) fn begin_writes(&mut self, keyed: Option<KeyedView<'_>>, broadcast: bool) {
        self.cx.state.begin(keyed);
        self.cx.said_watermarks.clear();
        if self.holds.own {
            self.cx.operator_state.begin(broadcast);
        }
    }

    /// Keeps what the call did, or drops it.
    pub(crate) fn end<T>(&mut self, result: Result<T, Failure>) -> Result<T, Failure> {
        // The keyed state may refuse; the rest cannot, so it is all or nothing.
        let kept = result.and_then(|value| {
            self.cx.state.commit()?;
            Ok(value)
        });
        match kept {
            Ok(value) => {
                if self.holds.own {
                    self.cx.operator_state.commit();
                }
                self.cx.metrics.commit();
                Ok(value)
            }
            Err(failure) => {
                self.roll_back();
                Err(failure)
            }
        }
    }

    /// Drops what the call did.
    pub(crate) fn roll_back(&mut self) {
        self.cx.state.rollback();
        if self.holds.own {
            self.cx.operator_state.rollback();
        }
        self.cx.said_watermarks.clear();
        self.cx.metrics.rollback();
    }

    /// Gives the operator what it had said itself, then opens it.
    pub(crate) fn open(&mut self, now: ProcessingTime) -> Result<(), Failure> {
        let raw = std::mem::take(&mut self.beginning.raw);
        self.begin(now);
        let restored = self.beginning.restored;
        let initialized = self.operator.initialize(&mut self.cx, restored, &raw);
        self.end(initialized)?;
        self.begin(now);
        let opened = self.operator.open(&mut self.cx);
        self.end(opened)
    }

    /// The operator's part of a checkpoint; `None` where it holds nothing.
    pub(crate) fn freeze(
        &mut self,
        name: &Name,
        now: ProcessingTime,
        request: &SnapshotRequest,
    ) -> Result<Option<NodeState>, NotFrozen> {
        let Holds { keyed, own, raw } = self.holds;
        let said = match self.beginning.finished {
            true => self.beginning.raw.clone(),
            false if raw => {
                self.begin(now);
                let said = self.operator.snapshot(&mut self.cx, request.id);
                self.end(said).map_err(|failure| match failure {
                    Failure::Guest { .. } => NotFrozen::Declined(failure),
                    // The instance is lost, or may be: only a restart brings back what it held.
                    Failure::Trap(_)
                    | Failure::Limit(_)
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
                    | Failure::Internal { .. } => NotFrozen::Failed(failure),
                })?
            }
            false => Vec::new(),
        };
        if !keyed && !own && !raw {
            return Ok(None);
        }
        let keyed = match keyed {
            true => {
                let state = &mut self.cx.state;
                // Other tasks of this thread go on meanwhile.
                let snapshot = match state.may_block() {
                    true => tokio::task::block_in_place(|| state.snapshot(request)),
                    false => state.snapshot(request),
                };
                Some(snapshot.map_err(|error| NotFrozen::Declined(error.into()))?)
            }
            false => None,
        };
        let own = (own || raw).then(|| (self.cx.operator_state.snapshot(), said));
        Ok(Some(NodeState {
            operator: name.clone(),
            decls: self.cx.state.states().to_vec(),
            keyed,
            own,
        }))
    }

    /// Tells the operator what became of a checkpoint, if it wants to know.
    pub(crate) fn told(
        &mut self,
        now: ProcessingTime,
        id: CheckpointId,
        fate: Fate,
    ) -> Result<(), Failure> {
        match fate {
            Fate::Complete => self.cx.state.completed(id),
            Fate::Aborted => self.cx.state.aborted(id),
        }
        if !self.holds.raw || self.beginning.finished {
            return Ok(());
        }
        self.begin(now);
        let told = match fate {
            Fate::Complete => self.operator.complete(&mut self.cx, id),
            Fate::Aborted => self.operator.aborted(&mut self.cx, id),
        };
        self.end(told)
    }
}

/// What a barrier asks of the state of an operator, in a job with or without increments.
pub(crate) fn request(barrier: Barrier, increments: bool, now: ProcessingTime) -> SnapshotRequest {
    SnapshotRequest {
        id: barrier.checkpoint,
        base: barrier.base.filter(|_| barrier.savepoint.is_none()),
        tracked: increments && barrier.savepoint.is_none(),
        format: match barrier.savepoint {
            Some(SavepointFormat::Canonical) => SnapshotFormat::Canonical,
            Some(SavepointFormat::Native) | None => SnapshotFormat::Native,
        },
        now,
    }
}
