//! Write stateful stream operators for Weir.
//!
//! An operator is a struct that implements [`KeyedProcess`] (rows of one key meet the same state)
//! or [`Process`], one row at a time:
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
//! - rows: [`Row`], [`Decode`], [`Encode`], [`TextPart`], [`Csv`], [`Key`], [`object!`]; `Json`
//!   with the feature `json`
//! - state: [`Value`], [`List`], [`Map`], [`Reducing`], [`Aggregating`]; [`StateCodec`],
//!   [`record!`]
//! - around: [`Ctx`], [`Env`], [`SideOutput`], [`Counter`], [`Gauge`], [`Histogram`]
//! - errors: [`Error`], [`Context`], [`bail!`]
//! - tests of operators, natively: [`testing`]

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
mod call;
#[doc(hidden)]
pub mod codec;
mod column;
mod csv;
mod ctx;
mod describe;
mod driver;
mod error;
#[doc(hidden)]
pub mod export;
mod host;
#[cfg(feature = "json")]
mod json;
mod key;
mod map_key;
mod metrics;
#[doc(hidden)]
pub mod object;
mod operator;
mod output;
mod row;
mod state;
#[cfg(not(target_family = "wasm"))]
pub mod testing;
mod text;

pub use codec::StateCodec;
pub use csv::{Column, Csv, CsvRow};
pub use ctx::{Ctx, Env};
pub use describe::{CellState, Describe, KeyedDescribe, ListState, MapState, TtlOptions};
pub use error::{Context, Error, Result};
pub use host::{Level, Task};
#[cfg(feature = "json")]
pub use json::{Json, from_json};
pub use key::Key;
pub use map_key::{AsMapKey, MapKey};
pub use metrics::{Counter, Gauge, Histogram};
pub use object::{JsonValue, Object};
pub use operator::{KeyedProcess, Process};
pub use output::{Output, SideOutput};
pub use row::{Decode, Encode, EncodeAs, Row};
pub use state::{Aggregate, Aggregating, Entries, Fold, List, Map, Reducing, Value};
pub use text::TextPart;

/// The guests in the README compile.
#[cfg(all(doctest, feature = "json"))]
#[doc = include_str!("../README.md")]
struct Readme;
