//! What can go wrong with state.

use weir_model::{KeyGroup, KeyGroupRange};

use crate::StateKind;

/// An error of a backend, of a call's access to state or of a state file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The call named a state that was not declared.
    #[error(
        "state {index} was not declared; the component declares {declared} state{}",
        if *declared == 1 { "" } else { "s" }
    )]
    Undeclared {
        /// The index that was used.
        index: u32,
        /// How many states there are.
        declared: usize,
    },
    /// The call used a state in a way that its kind does not have.
    #[error("state `{name}` was declared as {kind} state and used as {used} state")]
    WrongKind {
        /// The name of the state.
        name: String,
        /// What it was declared as.
        kind: StateKind,
        /// What the call took it for.
        used: &'static str,
    },
    /// Two states of one operator share a name.
    #[error("two states have the name `{name}`")]
    DuplicateName {
        /// The name.
        name: String,
    },
    /// A state is to live for no time at all.
    #[error("state `{name}` declares a time to live of 0 ms, which must be more")]
    NoTime {
        /// The name of the state.
        name: String,
    },
    /// A state declares what this version does not have.
    #[error("state `{name}` declares {what}, which is not supported yet")]
    Unsupported {
        /// The name of the state.
        name: String,
        /// What it declares.
        what: &'static str,
    },
    /// One operator was added to a state file twice.
    #[error("operator `{name}` is in the state file already")]
    DuplicateOperator {
        /// The name of the operator.
        name: String,
    },
    /// The call used a key that is not in the batch in hand.
    #[error("key {index} is not in this call, which has {keys} keys")]
    NoSuchKey {
        /// The index that was used.
        index: u32,
        /// The number of keys of the call.
        keys: usize,
    },
    /// Keyed state was used where there is no key.
    #[error(
        "state `{name}` is keyed state, it can be used only on a keyed input (`key:` in the job \
         file)"
    )]
    NotKeyed {
        /// The name of the state.
        name: String,
    },
    /// Timers were used that were not declared.
    #[error("timers were not declared: a component that uses them says so in `describe`")]
    NoTimers,
    /// Timers were used where there is no key.
    #[error(
        "timers belong to keys, they can be used only on a keyed input (`key:` in the job file)"
    )]
    TimersNotKeyed,
    /// Broadcast state was written where it can only be read: every subtask must write the same.
    #[error(
        "broadcast state `{name}` can be written only while rows of a broadcast input are \
         processed, it is read-only here"
    )]
    ReadOnly {
        /// The name of the state.
        name: String,
    },
    /// The columns of one access do not fit each other.
    #[error("{what}: {left} rows against {right}")]
    Mismatch {
        /// Which columns.
        what: &'static str,
        /// The length of the one.
        left: usize,
        /// The length of the other.
        right: usize,
    },
    /// One call both returned slots for a state and wrote to it.
    #[error("a call may not both return slots for state `{name}` and write to it")]
    SlotsAndPut {
        /// The name of the state.
        name: String,
    },
    /// A key does not belong to this backend: the key's bytes are not the same each time.
    #[error("key group {group} is not in the range {range} of this subtask")]
    KeyGroup {
        /// The group of the key.
        group: KeyGroup,
        /// The groups of the backend.
        range: KeyGroupRange,
    },
    /// A restored state and its declaration do not go together.
    #[error("state `{name}` cannot be restored: saved as {saved}, declared as {declared}")]
    Incompatible {
        /// The name of the state.
        name: String,
        /// What the file says.
        saved: String,
        /// What the component says.
        declared: String,
    },
    /// A file of a checkpoint is damaged or not ours.
    #[error("state file is damaged: {0}")]
    Damaged(String),
    /// The storage of checkpoints failed, which says nothing about what lies there.
    #[error("{0}")]
    Storage(String),
    /// A file of a checkpoint was written by a newer version.
    #[error("state file has format version {found}, this host reads up to {known}")]
    NewerFormat {
        /// The version found.
        found: u32,
        /// The newest version known.
        known: u32,
    },
    /// The checkpoint holds the files of another kind of backend.
    #[error(
        "it holds the files of another state backend, which this one cannot read: go on with the \
         backend it was taken with, or take a canonical savepoint there and start from that"
    )]
    OtherBackend,
    /// The local database of a backend failed: its disk is full or gone, or it is damaged.
    #[error("the local state database: cannot {what}: {message}")]
    Local {
        /// What was being done.
        what: String,
        /// What came back.
        message: String,
    },
    /// A snapshot was to refer to its base, and there is none.
    #[error("a snapshot refers to {what} of its base, which has none")]
    NoBase {
        /// To what.
        what: String,
    },
    /// The key or value is larger than the format allows.
    #[error("{what} of {len} bytes exceeds the limit of {limit}")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// Its size.
        len: usize,
        /// The limit.
        limit: usize,
    },
}
