//! Windows and joins, decided purely (semantics 1.10): which windows a row belongs to, which
//! sessions become one, when a window gives its result, which rows of two inputs belong together,
//! and what is too late.
//!
//! [`Reference`] puts it together for one key, one row at a time, in the manner of the
//! specification: what works on batches is held against it.

mod assigner;
mod calendar;
mod evictor;
mod join;
mod lateness;
mod reference;
mod sessions;
mod span;
mod trigger;

pub use assigner::{Assigner, BadWindow, Panes};
pub use calendar::{Calendar, Each, Zone};
pub use evictor::Evictor;
pub use join::{
    BadInterval, Interval, IntervalReference, JoinKind, Side, Temporal, TemporalReference, is_late,
};
pub use lateness::Lateness;
pub use reference::{Fired, Reference, Rules};
pub use sessions::{Merge, Sessions};
pub use span::{BadSpan, Window};
pub use trigger::{TimerChange, Trigger, TriggerState, Verdict};
