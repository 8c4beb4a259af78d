//! What an operator may ask of its host, behind a trait, so that the batching is tested natively,
//! and so that a host in the same process can be another one.

use crate::bindings::weir::operator::data::{BytesColumn, OptionalColumn, TimerKind};
use crate::bindings::weir::operator::{context, state, telemetry, timers};

pub use context::Task;
pub use state::{EntriesColumn, NestedColumn};
pub use telemetry::Level;

/// The imports of the contract, one function each, columns as they cross the boundary.
///
/// Operators never meet it: `Imports` is the real one, `testing` has another, and `native` takes
/// any.
pub trait Host {
    /// `state.value-get`
    fn value_get(&self, state: u32, keys: &[u32]) -> OptionalColumn;
    /// `state.value-put`
    fn value_put(&self, state: u32, keys: &[u32], values: &OptionalColumn);
    /// `state.list-get`
    fn list_get(&self, state: u32, keys: &[u32]) -> NestedColumn;
    /// `state.list-add`
    fn list_add(&self, state: u32, keys: &[u32], values: &BytesColumn);
    /// `state.list-set`
    fn list_set(&self, state: u32, keys: &[u32], values: &NestedColumn);
    /// `state.map-get`
    fn map_get(&self, state: u32, keys: &[u32], map_keys: &BytesColumn) -> OptionalColumn;
    /// `state.map-put`
    fn map_put(&self, state: u32, keys: &[u32], map_keys: &BytesColumn, values: &OptionalColumn);
    /// `state.map-clear`
    fn map_clear(&self, state: u32, keys: &[u32]);
    /// `state.map-scan`
    fn map_scan(&self, state: u32, key: u32, after: Option<&[u8]>, limit: u32) -> EntriesColumn;
    /// `state.operator-get`
    fn operator_get(&self, state: u32) -> BytesColumn;
    /// `state.operator-set`
    fn operator_set(&self, state: u32, values: &BytesColumn);
    /// `state.broadcast-get`
    fn broadcast_get(&self, state: u32, map_keys: &BytesColumn) -> OptionalColumn;
    /// `state.broadcast-put`
    fn broadcast_put(&self, state: u32, map_keys: &BytesColumn, values: &OptionalColumn);
    /// `state.broadcast-scan`
    fn broadcast_scan(&self, state: u32, after: Option<&[u8]>, limit: u32) -> EntriesColumn;
    /// `state.apply-to-keys`
    fn apply_to_keys(&self, state: u32, tag: &[u8]);
    /// `timers.register`
    fn timers_register(&self, kind: TimerKind, keys: &[u32], at: &[i64]);
    /// `timers.delete`
    fn timers_delete(&self, kind: TimerKind, keys: &[u32], at: &[i64]);
    /// `context.this-task`
    fn this_task(&self) -> Task;
    /// `context.config`
    fn config(&self) -> String;
    /// `context.current-watermark`
    fn current_watermark(&self) -> i64;
    /// `context.emit-watermark`
    fn emit_watermark(&self, at: i64, behind: u32);
    /// `context.processing-time`
    fn processing_time(&self) -> i64;
    /// `telemetry.log`
    fn log(&self, level: Level, message: &str);
    /// `telemetry.counter-add`
    fn counter_add(&self, name: &str, by: u64);
    /// `telemetry.gauge-set`
    fn gauge_set(&self, name: &str, value: f64);
    /// `telemetry.histogram-record`
    fn histogram_record(&self, name: &str, values: &[f64]);
}

/// The imports of the component.
pub(crate) struct Imports;

impl Host for Imports {
    fn value_get(&self, state: u32, keys: &[u32]) -> OptionalColumn {
        state::value_get(state, keys)
    }

    fn value_put(&self, state: u32, keys: &[u32], values: &OptionalColumn) {
        state::value_put(state, keys, values);
    }

    fn list_get(&self, state: u32, keys: &[u32]) -> NestedColumn {
        state::list_get(state, keys)
    }

    fn list_add(&self, state: u32, keys: &[u32], values: &BytesColumn) {
        state::list_add(state, keys, values);
    }

    fn list_set(&self, state: u32, keys: &[u32], values: &NestedColumn) {
        state::list_set(state, keys, values);
    }

    fn map_get(&self, state: u32, keys: &[u32], map_keys: &BytesColumn) -> OptionalColumn {
        state::map_get(state, keys, map_keys)
    }

    fn map_put(&self, state: u32, keys: &[u32], map_keys: &BytesColumn, values: &OptionalColumn) {
        state::map_put(state, keys, map_keys, values);
    }

    fn map_clear(&self, state: u32, keys: &[u32]) {
        state::map_clear(state, keys);
    }

    fn map_scan(&self, state: u32, key: u32, after: Option<&[u8]>, limit: u32) -> EntriesColumn {
        state::map_scan(state, key, after, limit)
    }

    fn operator_get(&self, state: u32) -> BytesColumn {
        state::operator_get(state)
    }

    fn operator_set(&self, state: u32, values: &BytesColumn) {
        state::operator_set(state, values);
    }

    fn broadcast_get(&self, state: u32, map_keys: &BytesColumn) -> OptionalColumn {
        state::broadcast_get(state, map_keys)
    }

    fn broadcast_put(&self, state: u32, map_keys: &BytesColumn, values: &OptionalColumn) {
        state::broadcast_put(state, map_keys, values);
    }

    fn broadcast_scan(&self, state: u32, after: Option<&[u8]>, limit: u32) -> EntriesColumn {
        state::broadcast_scan(state, after, limit)
    }

    fn apply_to_keys(&self, state: u32, tag: &[u8]) {
        state::apply_to_keys(state, tag);
    }

    fn timers_register(&self, kind: TimerKind, keys: &[u32], at: &[i64]) {
        timers::register(kind, keys, at);
    }

    fn timers_delete(&self, kind: TimerKind, keys: &[u32], at: &[i64]) {
        timers::delete(kind, keys, at);
    }

    fn this_task(&self) -> Task {
        context::this_task()
    }

    fn config(&self) -> String {
        context::config()
    }

    fn current_watermark(&self) -> i64 {
        context::current_watermark()
    }

    fn emit_watermark(&self, at: i64, behind: u32) {
        context::emit_watermark(at, behind);
    }

    fn processing_time(&self) -> i64 {
        context::processing_time()
    }

    fn log(&self, level: Level, message: &str) {
        telemetry::log(level, message);
    }

    fn counter_add(&self, name: &str, by: u64) {
        telemetry::counter_add(name, by);
    }

    fn gauge_set(&self, name: &str, value: f64) {
        telemetry::gauge_set(name, value);
    }

    fn histogram_record(&self, name: &str, values: &[f64]) {
        telemetry::histogram_record(name, values);
    }
}
