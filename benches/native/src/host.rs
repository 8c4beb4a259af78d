//! The imports of the contract, out of the context of the task.
//!
//! INVARIANT: a context is here only while a call runs. What fails is kept and told when the call
//! is over, in place of what the call returned: an operator of this process has no trap.

use std::cell::RefCell;
use std::rc::Rc;

use weir_guest::native::{
    BytesColumn, EntriesColumn, Host, NestedColumn, OptionalColumn as Absent, TimerKind,
};
use weir_guest::{Level, Task};
use weir_model::{Column, OptionalColumn};
use weir_operator::{Context, Failure, Metric};
use weir_state::{StateIndex, Which};

use crate::columns::{given, optional_given, optional_taken, taken, wrong};

/// What the operator's handles and its caller share.
#[derive(Default)]
pub(crate) struct Lent {
    pub(crate) context: RefCell<Option<Box<Context>>>,
    pub(crate) failed: RefCell<Option<Failure>>,
}

/// The host of one operator.
pub(crate) struct Lender(pub(crate) Rc<Lent>);

impl Lender {
    /// Does something with the context of the call in hand; `none` is what the operator gets where
    /// that fails.
    fn with<T>(
        &self,
        import: &str,
        none: T,
        function: impl FnOnce(&mut Context) -> Result<T, Failure>,
    ) -> T {
        let mut context = self.0.context.borrow_mut();
        let done = match context.as_deref_mut() {
            Some(context) => function(context),
            None => Err(wrong(import, "it is used outside of a call")),
        };
        done.unwrap_or_else(|failure| {
            self.0.failed.borrow_mut().get_or_insert(failure);
            none
        })
    }

    fn report(&self, name: &str, metric: Metric) {
        self.with("telemetry", (), |cx| {
            cx.metrics.report(name, metric);
            Ok(())
        });
    }
}

/// An empty column.
fn nothing() -> BytesColumn {
    given(Column::new())
}

/// An empty column whose rows may be absent.
fn none() -> Absent {
    optional_given(OptionalColumn::new())
}

fn no_entries() -> EntriesColumn {
    EntriesColumn {
        keys: nothing(),
        values: nothing(),
    }
}

fn entries(found: weir_state::EntriesColumn) -> EntriesColumn {
    EntriesColumn {
        keys: given(found.keys),
        values: given(found.values),
    }
}

/// A column of the operator, which keeps its buffers.
fn column(import: &str, column: &BytesColumn) -> Result<Column, Failure> {
    taken(column.clone()).map_err(|error| wrong(import, error))
}

fn optional(import: &str, column: &Absent) -> Result<OptionalColumn, Failure> {
    optional_taken(column.clone()).map_err(|error| wrong(import, error))
}

fn kind(kind: TimerKind) -> weir_state::TimerKind {
    match kind {
        TimerKind::EventTime => weir_state::TimerKind::EventTime,
        TimerKind::ProcessingTime => weir_state::TimerKind::ProcessingTime,
    }
}

impl Host for Lender {
    fn value_get(&self, state: u32, keys: &[u32]) -> Absent {
        self.with("state.value-get", none(), |cx| {
            let mut out = OptionalColumn::new();
            cx.state
                .value_get(StateIndex(state), Which::Some(keys), &mut out)?;
            Ok(optional_given(out))
        })
    }

    fn value_put(&self, state: u32, keys: &[u32], values: &Absent) {
        const IMPORT: &str = "state.value-put";
        self.with(IMPORT, (), |cx| {
            let values = optional(IMPORT, values)?;
            cx.state
                .value_put(StateIndex(state), Which::Some(keys), &values)?;
            Ok(())
        });
    }

    fn list_get(&self, state: u32, keys: &[u32]) -> NestedColumn {
        let empty = NestedColumn {
            ends: Vec::new(),
            elements: nothing(),
        };
        self.with("state.list-get", empty, |cx| {
            let mut out = weir_state::NestedColumn::default();
            cx.state
                .list_get(StateIndex(state), Which::Some(keys), &mut out)?;
            Ok(NestedColumn {
                ends: out.ends,
                elements: given(out.elements),
            })
        })
    }

    fn list_add(&self, state: u32, keys: &[u32], values: &BytesColumn) {
        const IMPORT: &str = "state.list-add";
        self.with(IMPORT, (), |cx| {
            let values = column(IMPORT, values)?;
            cx.state.list_add(StateIndex(state), keys, values.view())?;
            Ok(())
        });
    }

    fn list_set(&self, state: u32, keys: &[u32], values: &NestedColumn) {
        const IMPORT: &str = "state.list-set";
        self.with(IMPORT, (), |cx| {
            let values = weir_state::NestedColumn {
                ends: values.ends.clone(),
                elements: column(IMPORT, &values.elements)?,
            };
            cx.state
                .list_set(StateIndex(state), Which::Some(keys), &values)?;
            Ok(())
        });
    }

    fn map_get(&self, state: u32, keys: &[u32], map_keys: &BytesColumn) -> Absent {
        const IMPORT: &str = "state.map-get";
        self.with(IMPORT, none(), |cx| {
            let map_keys = column(IMPORT, map_keys)?;
            let mut out = OptionalColumn::new();
            let which = Which::Some(keys);
            cx.state
                .map_get(StateIndex(state), which, map_keys.view(), &mut out)?;
            Ok(optional_given(out))
        })
    }

    fn map_put(&self, state: u32, keys: &[u32], map_keys: &BytesColumn, values: &Absent) {
        const IMPORT: &str = "state.map-put";
        self.with(IMPORT, (), |cx| {
            let (map_keys, values) = (column(IMPORT, map_keys)?, optional(IMPORT, values)?);
            let which = Which::Some(keys);
            cx.state
                .map_put(StateIndex(state), which, map_keys.view(), &values)?;
            Ok(())
        });
    }

    fn map_clear(&self, state: u32, keys: &[u32]) {
        self.with("state.map-clear", (), |cx| {
            cx.state.map_clear(StateIndex(state), keys)?;
            Ok(())
        });
    }

    fn map_scan(&self, state: u32, key: u32, after: Option<&[u8]>, limit: u32) -> EntriesColumn {
        self.with("state.map-scan", no_entries(), |cx| {
            let mut out = weir_state::EntriesColumn::default();
            let limit = limit as usize;
            cx.state
                .map_scan(StateIndex(state), key, after, limit, &mut out)?;
            Ok(entries(out))
        })
    }

    fn operator_get(&self, state: u32) -> BytesColumn {
        self.with("state.operator-get", nothing(), |cx| {
            let mut out = Column::new();
            cx.operator_state.list_get(StateIndex(state), &mut out)?;
            Ok(given(out))
        })
    }

    fn operator_set(&self, state: u32, values: &BytesColumn) {
        const IMPORT: &str = "state.operator-set";
        self.with(IMPORT, (), |cx| {
            let values = column(IMPORT, values)?;
            cx.operator_state.list_set(StateIndex(state), values)?;
            Ok(())
        });
    }

    fn broadcast_get(&self, state: u32, map_keys: &BytesColumn) -> Absent {
        const IMPORT: &str = "state.broadcast-get";
        self.with(IMPORT, none(), |cx| {
            let map_keys = column(IMPORT, map_keys)?;
            let mut out = OptionalColumn::new();
            cx.operator_state
                .map_get(StateIndex(state), map_keys.view(), &mut out)?;
            Ok(optional_given(out))
        })
    }

    fn broadcast_put(&self, state: u32, map_keys: &BytesColumn, values: &Absent) {
        const IMPORT: &str = "state.broadcast-put";
        self.with(IMPORT, (), |cx| {
            let (map_keys, values) = (column(IMPORT, map_keys)?, optional(IMPORT, values)?);
            cx.operator_state
                .map_put(StateIndex(state), map_keys.view(), &values)?;
            Ok(())
        });
    }

    fn broadcast_scan(&self, state: u32, after: Option<&[u8]>, limit: u32) -> EntriesColumn {
        self.with("state.broadcast-scan", no_entries(), |cx| {
            let mut out = weir_state::EntriesColumn::default();
            let limit = limit as usize;
            cx.operator_state
                .map_scan(StateIndex(state), after, limit, &mut out)?;
            Ok(entries(out))
        })
    }

    fn apply_to_keys(&self, state: u32, tag: &[u8]) {
        self.with("state.apply-to-keys", (), |cx| {
            cx.state.apply_to_keys(StateIndex(state), tag)?;
            Ok(())
        });
    }

    fn timers_register(&self, of: TimerKind, keys: &[u32], at: &[i64]) {
        self.with("timers.register", (), |cx| {
            cx.state.timers_set(kind(of), keys, at)?;
            Ok(())
        });
    }

    fn timers_delete(&self, of: TimerKind, keys: &[u32], at: &[i64]) {
        self.with("timers.delete", (), |cx| {
            cx.state.timers_delete(kind(of), keys, at)?;
            Ok(())
        });
    }

    fn this_task(&self) -> Task {
        let none = Task {
            job: String::new(),
            operator: String::new(),
            subtask: 0,
            parallelism: 0,
            max_parallelism: 0,
            attempt: 0,
        };
        self.with("context.this-task", none, |cx| {
            let task = &cx.task;
            Ok(Task {
                job: task.job.to_string(),
                operator: task.operator.to_string(),
                subtask: task.subtask.0,
                parallelism: task.parallelism.get(),
                max_parallelism: task.max_parallelism.get(),
                attempt: task.attempt.0,
            })
        })
    }

    fn config(&self) -> String {
        self.with("context.config", String::new(), |cx| {
            Ok(cx.config.to_string())
        })
    }

    fn current_watermark(&self) -> i64 {
        self.with("context.current-watermark", i64::MIN, |cx| {
            Ok(cx.watermark.0)
        })
    }

    fn emit_watermark(&self, at: i64, behind: u32) {
        self.with("context.emit-watermark", (), |cx| {
            cx.said_watermarks.push((behind, at));
            Ok(())
        });
    }

    fn processing_time(&self) -> i64 {
        self.with("context.processing-time", 0, |cx| Ok(cx.processing_time.0))
    }

    fn log(&self, _: Level, _: &str) {
        // What is measured says nothing.
    }

    fn counter_add(&self, name: &str, by: u64) {
        self.report(name, Metric::Counter(by));
    }

    fn gauge_set(&self, name: &str, value: f64) {
        self.report(name, Metric::Gauge(value));
    }

    fn histogram_record(&self, name: &str, values: &[f64]) {
        // What is not a number would spoil the sum for good.
        let numbers = values.iter().copied().filter(|value| !value.is_nan());
        let mut summary = (0, 0.0, f64::INFINITY, f64::NEG_INFINITY);
        for value in numbers {
            let (count, sum, min, max) = summary;
            summary = (count + 1, sum + value, value.min(min), value.max(max));
        }
        let (count, sum, min, max) = summary;
        if count == 0 {
            return;
        }
        self.report(
            name,
            Metric::Histogram {
                count,
                sum,
                min,
                max,
            },
        );
    }
}
