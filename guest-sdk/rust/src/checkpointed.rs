//! Operators that save and restore something themselves, and are told what becomes of checkpoints.

use std::ops::Deref;

use crate::ctx::Env;
use crate::error::Result;
use crate::operator::IntoOperator;

/// What an operator implements, beside the trait for its rows, to take part in checkpoints itself:
/// what rows add up to may then be kept in fields, if [`snapshot`](Self::snapshot) hands it over
/// and [`initialize`](Self::initialize) takes it back. `operator!(Type, checkpointed)` says so.
///
/// ```
/// use weir_guest::{
///     Checkpointed, Ctx, Describe, Initialize, OperatorList, Process, Result, Row, Snapshot,
/// };
///
/// /// Passes rows on by threes.
/// #[derive(Default)]
/// struct Threes { held_back: Vec<String>, saved: OperatorList<String> }
///
/// impl Process for Threes {
///     type In = String;
///     type Out = String;
///
///     fn describe(&mut self, d: &mut Describe) {
///         d.operator_list("held-back", &mut self.saved);
///     }
///
///     fn process(&mut self, row: Row<String>, ctx: &mut Ctx<String>) -> Result<()> {
///         self.held_back.push(row.to_string());
///         if self.held_back.len() < 3 {
///             return Ok(());
///         }
///         self.held_back.drain(..).try_for_each(|row| ctx.emit(row))
///     }
///
///     fn finish(&mut self, ctx: &mut Ctx<String>) -> Result<()> {
///         self.held_back.drain(..).try_for_each(|row| ctx.emit(row))
///     }
/// }
///
/// impl Checkpointed for Threes {
///     fn initialize(&mut self, _init: &Initialize) -> Result<()> {
///         self.held_back = self.saved.get()?.to_vec();
///         Ok(())
///     }
///
///     fn snapshot(&mut self, _snapshot: &mut Snapshot) -> Result<()> {
///         self.saved.set(self.held_back.clone())
///     }
/// }
///
/// weir_guest::operator!(Threes, checkpointed);
/// # use weir_guest::testing::Harness;
/// # let mut threes = Harness::open_checkpointed::<Threes, _>("null").unwrap();
/// # assert!(threes.rows(["a", "b"]).unwrap().main().is_empty());
/// # threes.restart().unwrap();
/// # assert_eq!(threes.rows(["c"]).unwrap().main(), ["a", "b", "c"]);
/// ```
///
/// The host calls `describe`, `initialize`, `open`, then the functions for rows, `end_of_input` and
/// `finish`; a `snapshot` at each checkpoint in between, and `complete` or `aborted` when it is
/// known what became of it. The last are the `snapshot` and `complete` of the checkpoint that the
/// job ends with.
///
/// The host keeps the instance of such an operator as long as the job runs: it cannot make anew
/// what a field holds between two checkpoints. So a row that traps fails the task, whatever
/// `on-error` says. A row that fails by an error leaves its writes to handles undone, but not its
/// changes of fields: check first, then change.
pub trait Checkpointed {
    /// Called once before `open`: takes back what was saved. Also called when nothing was;
    /// [`Initialize::is_restored`] tells. Operator state may be read and written, broadcast state
    /// read.
    ///
    /// # Errors
    /// An error fails the task.
    fn initialize(&mut self, init: &Initialize) -> Result<()>;

    /// Called at each checkpoint: hands over what is to be saved, by setting operator state or as
    /// [raw state](Snapshot::add_raw).
    ///
    /// # Errors
    /// An error declines the checkpoint; nothing of the call is kept.
    fn snapshot(&mut self, snapshot: &mut Snapshot) -> Result<()>;

    /// The checkpoint, and all before it, are durable. It may not be told of each, and more than
    /// once of one. State can be neither read nor written.
    ///
    /// # Errors
    /// An error fails the task.
    fn complete(&mut self, checkpoint: u64, env: Env) -> Result<()> {
        let _ = (checkpoint, env);
        Ok(())
    }

    /// The checkpoint was given up; the next one is to hold what it would have held. State can be
    /// neither read nor written.
    ///
    /// # Errors
    /// An error fails the task.
    fn aborted(&mut self, checkpoint: u64, env: Env) -> Result<()> {
        let _ = (checkpoint, env);
        Ok(())
    }
}

/// What [`Checkpointed::initialize`] is handed. It can be used like [`Env`].
pub struct Initialize<'c> {
    pub(crate) env: Env<'c>,
    pub(crate) restored: bool,
    pub(crate) raw: Vec<Vec<u8>>,
}

/// What [`Checkpointed::snapshot`] is handed. It can be used like [`Env`].
pub struct Snapshot<'c> {
    pub(crate) env: Env<'c>,
    pub(crate) checkpoint: u64,
    pub(crate) raw: Vec<Vec<u8>>,
}

impl Initialize<'_> {
    /// Whether the job goes on from a checkpoint.
    pub fn is_restored(&self) -> bool {
        self.restored
    }

    /// The pieces of raw state of this subtask, in order: its own, or its share of all where the
    /// parallelism has changed.
    pub fn raw(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.raw.iter().map(Vec::as_slice)
    }
}

impl Snapshot<'_> {
    /// The number of the checkpoint. Numbers only grow.
    pub fn checkpoint(&self) -> u64 {
        self.checkpoint
    }

    /// Adds a piece of raw state: bytes that mean something to this operator alone. When the
    /// parallelism changes, pieces are dealt out anew, and none is taken apart.
    ///
    /// ```
    /// # use weir_guest::{Checkpointed, Ctx, Initialize, Process, Result, Row, Snapshot};
    /// /// Counts its rows.
    /// #[derive(Default)]
    /// struct Count { rows: u64 }
    ///
    /// impl Process for Count {
    ///     type In = Vec<u8>;
    ///     type Out = u64;
    ///
    ///     fn process(&mut self, _row: Row<Vec<u8>>, ctx: &mut Ctx<u64>) -> Result<()> {
    ///         self.rows += 1;
    ///         ctx.emit(self.rows)
    ///     }
    /// }
    ///
    /// impl Checkpointed for Count {
    ///     fn initialize(&mut self, init: &Initialize) -> Result<()> {
    ///         for piece in init.raw() {
    ///             self.rows += u64::from_le_bytes(piece.try_into()?);
    ///         }
    ///         Ok(())
    ///     }
    ///
    ///     fn snapshot(&mut self, snapshot: &mut Snapshot) -> Result<()> {
    ///         snapshot.add_raw(self.rows.to_le_bytes());
    ///         Ok(())
    ///     }
    /// }
    ///
    /// weir_guest::operator!(Count, checkpointed);
    /// # use weir_guest::testing::Harness;
    /// # let mut count = Harness::open_checkpointed::<Count, _>("null").unwrap();
    /// # count.rows(["a", "b"]).unwrap();
    /// # count.restart().unwrap();
    /// # assert_eq!(count.rows(["c"]).unwrap().main(), ["3"]);
    /// ```
    pub fn add_raw(&mut self, piece: impl Into<Vec<u8>>) {
        self.raw.push(piece.into());
    }
}

impl<'c> Deref for Initialize<'c> {
    type Target = Env<'c>;

    fn deref(&self) -> &Self::Target {
        &self.env
    }
}

impl<'c> Deref for Snapshot<'c> {
    type Target = Env<'c>;

    fn deref(&self) -> &Self::Target {
        &self.env
    }
}

/// The functions of a [`Checkpointed`], called on the operator that the driver has.
pub(crate) struct Hooks<O> {
    pub(crate) initialize: fn(&mut O, &Initialize<'_>) -> Result<()>,
    pub(crate) snapshot: fn(&mut O, &mut Snapshot<'_>) -> Result<()>,
    pub(crate) complete: fn(&mut O, u64, Env<'_>) -> Result<()>,
    pub(crate) aborted: fn(&mut O, u64, Env<'_>) -> Result<()>,
}

impl<O> Hooks<O> {
    pub(crate) fn of<T, Kind>() -> Self
    where
        T: IntoOperator<Kind, Operator = O> + Checkpointed,
    {
        Self {
            initialize: |operator, init| T::author(operator).initialize(init),
            snapshot: |operator, snapshot| T::author(operator).snapshot(snapshot),
            complete: |operator, checkpoint, env| T::author(operator).complete(checkpoint, env),
            aborted: |operator, checkpoint, env| T::author(operator).aborted(checkpoint, env),
        }
    }
}
