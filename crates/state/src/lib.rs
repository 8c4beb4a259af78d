//! State: what a component may declare, the batch-first [`Backend`] trait, the call as a
//! transaction over it ([`KeyedState`]), the heap backend, the state of a subtask
//! ([`OperatorState`]), the files of a checkpoint and the laws that every backend passes.
//!
//! Keyed state is addressed by the index of the key in the batch in hand; so no key is hashed twice
//! and whole columns are read and written in one go.

mod backend;
pub mod backends;
mod channels;
mod decl;
mod entries;
mod error;
mod file;
mod heap;
mod holds;
mod keyed;
#[cfg(any(test, feature = "laws"))]
pub mod laws;
mod limits;
mod operator_state;
mod row;
mod rows;
mod snapshot;
mod timers;
mod ttl;

pub use backend::{
    Backend, EntriesColumn, KeyBatch, ListWrites, MapWrites, NestedColumn, StateKeys, ValueWrites,
    Which, Writes,
};
pub use channels::{
    Channel, ChannelFile, ChannelFileWriter, ChannelInput, InFlight, PackedChannels,
};
pub use decl::{StateDecl, StateIndex, StateKind, Ttl};
pub use entries::{Entries, Entry, Held, canonical, entries};
pub use error::Error;
pub use file::{
    BaseIndex, Change, NativeReaders, Reference, SavedState, StateFile, StateFileReader,
    StateFileWriter, Verdict, compare,
};
pub use heap::HeapBackend;
pub use keyed::{ApplyToKeys, KeyedState};
pub use operator_state::{
    OperatorSnapshot, OperatorState, SavedOperatorState, redistribute, redistribute_finished,
};
pub use row::{Row, RowValue};
pub use snapshot::{
    Chain, NativeFiles, NativePart, Snapshot, SnapshotFormat, SnapshotRequest, SnapshotSink,
};
pub use timers::{PendingTimer, TimerKind, TimerQueue, TimerWrites, Timers, When};
pub use ttl::{STAMP_BYTES, split as split_stamp};
