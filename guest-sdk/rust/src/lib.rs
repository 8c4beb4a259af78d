//! Write stateful stream operators for Weir.
//!
//! An operator is a struct that implements [`KeyedProcess`] (rows of one key meet the same state),
//! [`Process`], or one of their kin for several inputs, one row at a time:
//!
//! ```
//! use weir_guest::{Ctx, KeyedDescribe, KeyedProcess, Result, Row, Value};
//!
//! /// Tells when a door's state changes.
//! #[derive(Default)]
//! struct Doors { last: Value<String> }
//!
//! impl KeyedProcess for Doors {
//!     type In = String;
//!     type Out = String;
//!
//!     fn describe(&mut self, d: &mut KeyedDescribe) {
//!         d.value("last", &mut self.last).prefetch();
//!     }
//!
//!     fn process(&mut self, row: Row<String>, ctx: &mut Ctx<String>) -> Result<()> {
//!         let now = row.value;
//!         if self.last.get()?.is_none_or(|last| last != now) {
//!             self.last.set(now.to_owned())?;
//!             ctx.emit(format_args!("{} is {now}", ctx.key()))?;
//!         }
//!         Ok(())
//!     }
//! }
//!
//! weir_guest::operator!(Doors);
//! ```
//!
//! Underneath, the host calls the component once per batch, with columns. The SDK reads them
//! without copying, decodes the state of a key once per batch, collects writes, and hands them back
//! in columns. When a row fails, what it wrote, emitted and counted is dropped; the rows before it
//! count.
//!
//! # Map
//!
//! - an operator: [`KeyedProcess`], [`Process`], [`operator!`]
//! - of two inputs: [`KeyedCoProcess`], [`CoProcess`]; with rules that go to all subtasks:
//!   [`KeyedBroadcastProcess`], [`BroadcastProcess`]; of any number: [`inputs!`],
//!   [`Describe::inputs`], [`Describe::broadcast_input`]
//! - all rows of a call at once, where that matters: [`KeyedProcess::process_batch`],
//!   [`KeyedCoProcess::process_first_batch`] and its like of the others; [`InputBatch`],
//!   [`BatchCtx`], [`KeyValues`], [`KeyLists`], [`KeyTimers`], [`MapEntries`]
//! - rows: [`Row`], [`Decode`], [`Encode`], [`TextPart`], [`Csv`], [`Binary`], [`Key`],
//!   [`object!`]; `Json` with the feature `json`
//! - state of a key: [`Value`], [`List`], [`Map`], [`Reducing`], [`Aggregating`]; of the subtask:
//!   [`OperatorList`], [`Broadcast`]; [`StateCodec`], [`record!`]
//! - time: [`Timers`], [`Timer`]; windows: [`WindowAggregate`], [`WindowFunction`],
//!   [`Trigger`]; joins: [`JoinFunction`]
//! - calls that wait for something outside: [`Enrich`], [`http`]
//! - checkpoints: [`Checkpointed`]
//! - around: [`Ctx`], [`Env`], [`SideOutput`], [`Counter`], [`Gauge`], [`Histogram`]
//! - errors: [`Error`], [`Context`], [`bail!`]
//! - tests of operators, natively: [`testing`]; operators in a host's own process: [`native`]

#[allow(
    clippy::all,
    clippy::panic,
    clippy::unwrap_used,
    missing_docs,
    unsafe_code,
    unreachable_pub,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    reason = "generated; see regenerate.sh"
)]
#[rustfmt::skip]
#[doc(hidden)]
pub mod aggregate_bindings;
#[allow(
    clippy::all,
    rustdoc::broken_intra_doc_links,
    clippy::panic,
    clippy::unwrap_used,
    missing_docs,
    unsafe_code,
    unreachable_pub,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    reason = "generated; see regenerate.sh"
)]
#[rustfmt::skip]
#[doc(hidden)]
pub mod bindings;
mod append;
mod batch;
mod binary;
mod call;
mod checkpointed;
#[allow(
    clippy::all,
    clippy::panic,
    clippy::unwrap_used,
    missing_docs,
    unsafe_code,
    unreachable_pub,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    reason = "generated; see regenerate.sh"
)]
#[rustfmt::skip]
#[doc(hidden)]
pub mod checkpointed_bindings;
#[doc(hidden)]
pub mod codec;
mod column;
mod csv;
mod ctx;
mod describe;
mod driver;
mod enrich;
#[allow(
    clippy::all,
    clippy::panic,
    clippy::unwrap_used,
    missing_docs,
    unsafe_code,
    unreachable_pub,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    reason = "generated; see regenerate.sh"
)]
#[rustfmt::skip]
#[doc(hidden)]
pub mod enrich_bindings;
mod error;
mod evolve;
#[allow(
    clippy::all,
    clippy::panic,
    clippy::unwrap_used,
    missing_docs,
    unsafe_code,
    unreachable_pub,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    reason = "generated; see regenerate.sh"
)]
#[rustfmt::skip]
#[doc(hidden)]
pub mod evolving_bindings;
#[doc(hidden)]
pub mod export;
mod handles;
mod host;
pub mod http;
#[doc(hidden)]
pub mod inputs;
mod join;
#[allow(
    clippy::all,
    clippy::panic,
    clippy::unwrap_used,
    missing_docs,
    unsafe_code,
    unreachable_pub,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    reason = "generated; see regenerate.sh"
)]
#[rustfmt::skip]
#[doc(hidden)]
pub mod join_bindings;
#[cfg(feature = "json")]
mod json;
mod key;
#[allow(
    clippy::all,
    clippy::panic,
    clippy::unwrap_used,
    missing_docs,
    unsafe_code,
    unreachable_pub,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    reason = "generated; see regenerate.sh"
)]
#[rustfmt::skip]
#[doc(hidden)]
pub mod keyed_broadcast_bindings;
mod map_key;
mod metrics;
pub mod native;
#[doc(hidden)]
pub mod object;
mod operator;
mod output;
mod row;
mod state;
#[cfg(not(target_family = "wasm"))]
pub mod testing;
mod text;
#[allow(
    clippy::all,
    clippy::panic,
    clippy::unwrap_used,
    missing_docs,
    unsafe_code,
    unreachable_pub,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    reason = "generated; see regenerate.sh"
)]
#[rustfmt::skip]
#[doc(hidden)]
pub mod timed_bindings;
mod timers;
#[allow(
    clippy::all,
    clippy::panic,
    clippy::unwrap_used,
    missing_docs,
    unsafe_code,
    unreachable_pub,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    reason = "generated; see regenerate.sh"
)]
#[rustfmt::skip]
#[doc(hidden)]
pub mod trigger_bindings;
mod type_name;
mod window;
#[allow(
    clippy::all,
    clippy::panic,
    clippy::unwrap_used,
    missing_docs,
    unsafe_code,
    unreachable_pub,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    reason = "generated; see regenerate.sh"
)]
#[rustfmt::skip]
#[doc(hidden)]
pub mod window_function_bindings;

pub use batch::{BatchCtx, BatchKeys, Batched, InputBatch};
pub use binary::Binary;
pub use checkpointed::{Checkpointed, Initialize, Snapshot};
pub use codec::StateCodec;
pub use csv::{Column, Csv, CsvRow};
pub use ctx::{Ctx, Env};
pub use describe::{CellState, Describe, KeyedDescribe, ListState, MapState, TtlOptions};
pub use enrich::Enrich;
pub use error::{Context, Error, Result};
pub use evolve::{Evolve, Evolving};
pub use host::{Level, Task};
pub use inputs::Inputs;
pub use join::JoinFunction;
#[cfg(feature = "json")]
pub use json::{Json, from_json};
pub use key::Key;
pub use map_key::{AsMapKey, MapKey};
pub use metrics::{Counter, Gauge, Histogram};
pub use object::{JsonValue, Object};
pub use operator::{
    BroadcastProcess, CoProcess, KeyedBroadcastProcess, KeyedCoProcess, KeyedProcess, Process,
};
pub use output::{Output, SideOutput};
pub use row::{Decode, Encode, EncodeAs, Row};
pub use state::{
    Aggregate, Aggregating, Broadcast, BroadcastEntries, Entries, Fold, KeyLists, KeyValues, List,
    Map, MapEntries, OperatorList, Reducing, Value,
};
pub use text::TextPart;
pub use timers::{KeyTimers, Timer, TimerKind, Timers};
pub use window::{
    Trigger, TriggerCtx, Verdict, Window, WindowAggregate, WindowFunction, WindowRows,
};

/// The guests in the README compile.
#[cfg(all(doctest, feature = "json"))]
#[doc = include_str!("../README.md")]
struct Readme;

/// The operators in the book compile, and their tests pass.
#[cfg(doctest)]
mod book {
    #[cfg(feature = "json")]
    #[doc = include_str!("../../../docs/operators/first.md")]
    struct First;
    #[doc = include_str!("../../../docs/operators/state.md")]
    struct State;
    #[doc = include_str!("../../../docs/operators/inputs.md")]
    struct Inputs;
    #[doc = include_str!("../../../docs/operators/checkpointed.md")]
    struct OwnState;
    #[doc = include_str!("../../../docs/operators/batches.md")]
    struct Batches;
    #[doc = include_str!("../../../docs/operators/timers.md")]
    struct TimersOfKeys;
    #[doc = include_str!("../../../docs/operators/windows.md")]
    struct Windows;
    #[doc = include_str!("../../../docs/operators/joins.md")]
    struct Joins;
    #[doc = include_str!("../../../docs/operators/enrichment.md")]
    struct Enrichment;
    #[doc = include_str!("../../../docs/operators/testing.md")]
    struct Testing;
}
