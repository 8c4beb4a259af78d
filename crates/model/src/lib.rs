//! The words of Weir: identifiers, time, columns, batches, keys and what flows between tasks.
//!
//! Everything else is built on this crate and it is built on nothing: plain values, no clock, no
//! I/O, no randomness.
//!
//! ```
//! use weir_model::{KeyGroup, MaxParallelism, Parallelism, hash64};
//!
//! let max = MaxParallelism::new(128).unwrap();
//! let group = max.key_group_of(hash64(b"user-1"));
//! assert!(group < KeyGroup(128));
//! let subtask = max.subtask_of(group, Parallelism::new(2).unwrap());
//! assert!(subtask.0 < 2);
//! ```

mod batch;
mod column;
mod element;
mod ids;
mod key;
mod time;

pub use batch::{Batch, Keyed, KeyedView, Lineage, Rows};
pub use column::{Column, ColumnError, ColumnView, OptionalColumn, Picker};
pub use element::{Barrier, BarrierKind, Element, Passage, SavepointFormat};
pub use ids::{
    Attempt, CheckpointId, JobName, Name, NameError, OperatorName, SinkName, SourceName,
    SubtaskIndex,
};
pub use key::{
    KeyGroup, KeyGroupRange, MaxParallelism, Parallelism, ParallelismError, hash32_of, hash64,
    murmur, same_key,
};
pub use time::{EventTime, ProcessingTime};
