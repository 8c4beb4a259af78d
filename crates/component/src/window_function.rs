//! The optional interface `window-function`: gets all rows of windows; and components as functions
//! of windows, whether they fold rows or see all of them.
//!
//! INVARIANT: the rows of a window go to the guest in one call, and no call has more than one
//! window where their rows are more than [`CALL`] bytes.

use std::ops::Range;

use wasmtime::{
    Store,
    component::{self as wasm, ComponentType, Lower, TypedFunc},
    error::Context as _,
};
use weir_model::{Column, ColumnView, OptionalColumn};
use weir_operator::{
    Added, Asked, Contents, Context, Decided, DueTimers, Emitted, Failure, FiredWindows, Limit,
    Operator, TaskInfo, WindowFunction, WindowFunctionFactory,
};

use crate::{
    Component, Limits,
    aggregate::refused,
    bindings::{ColumnIn, weir::operator::data},
    guest::{Guest, Phase},
    interfaces::WINDOW_FUNCTION_EXPORT,
    limits::bytes_in_words,
    lookup::Lookup,
    operator::ComponentOperator,
    outcome::Check,
};

/// Up to how many bytes of rows several windows go to the guest in one call.
const CALL: usize = 1 << 20;
/// What a row takes beside its bytes: its time, and where it ends.
const PER_ROW: usize = 12;

/// `window-function.full-windows`, borrowed.
#[derive(Clone, Copy, Debug, ComponentType, Lower)]
#[component(record)]
pub(crate) struct FullWindowsIn<'a> {
    keys: ColumnIn<'a>,
    starts: &'a [i64],
    ends: &'a [i64],
    rows: ColumnIn<'a>,
    timestamps: &'a [i64],
    #[component(name = "row-ends")]
    row_ends: &'a [u32],
}

type AcceptIn<'a> = (ColumnIn<'a>,);
type AcceptOut = (Result<Option<data::Poison>, String>,);
type ApplyIn<'a> = (FullWindowsIn<'a>,);
type ApplyOut = (Result<Vec<data::Emitted>, String>,);

/// The functions of `window-function`.
pub(crate) struct WindowFunctions {
    accept: TypedFunc<AcceptIn<'static>, AcceptOut>,
    apply: TypedFunc<ApplyIn<'static>, ApplyOut>,
}

impl WindowFunctions {
    /// The functions of an instance; `None` where the component does not export the interface.
    ///
    /// # Errors
    /// That one is missing, or has another type than the contract gives it.
    pub(crate) fn of(
        component: &wasm::Component,
        store: &mut Store<Guest>,
        instance: &wasm::Instance,
    ) -> wasmtime::Result<Option<Self>> {
        let lookup = Lookup::of(WINDOW_FUNCTION_EXPORT, component, store, instance);
        let Some(mut lookup) = lookup else {
            return Ok(None);
        };
        Ok(Some(Self {
            accept: lookup.function("accept")?,
            apply: lookup.function("apply")?,
        }))
    }
}

/// Makes the parallel instances of a component as window functions.
pub struct ComponentWindows {
    component: Component,
    limits: Limits,
    folds: bool,
}

impl ComponentWindows {
    pub(crate) fn new(component: Component, limits: Limits, folds: bool) -> Self {
        Self {
            component,
            limits,
            folds,
        }
    }
}

impl WindowFunctionFactory for ComponentWindows {
    fn aggregates(&self) -> bool {
        self.folds
    }

    fn side_outputs(&self) -> &[String] {
        &self.component.descriptor().side_outputs
    }

    fn create(&self, task: &TaskInfo) -> Result<Box<dyn WindowFunction>, Failure> {
        let (component, limits) = (self.component.clone(), self.limits.clone());
        let operator = ComponentOperator::new(component, limits, task.clone())?;
        Ok(match self.folds {
            true => Box::new(operator),
            false => Box::new(WholeWindows(operator)),
        })
    }
}

const MISSING: &str = "`window-function` was there when the component was loaded";

/// A component that sees all rows of windows.
struct WholeWindows(ComponentOperator);

impl WindowFunction for WholeWindows {
    fn aggregates(&self) -> bool {
        false
    }

    fn open(&mut self, cx: &mut Box<Context>) -> Result<(), Failure> {
        Operator::open(&mut self.0, cx)
    }

    fn reset(&mut self, cx: &mut Box<Context>) -> Result<(), Failure> {
        Operator::reset(&mut self.0, cx)
    }

    fn accept(&mut self, cx: &mut Box<Context>, rows: ColumnView<'_>) -> Result<(), Failure> {
        self.0.renew_amid(cx)?;
        let mut ends = Vec::new();
        let values = ColumnIn {
            bytes: rows.contents(),
            ends: rows.relative_ends(&mut ends),
        };
        let poisoned = self.0.call(Phase::Accept, cx, |instance, cx, limits| {
            instance.call_with(Phase::Accept, cx, limits, |exports, store| {
                let functions = exports.windows.as_ref().context(MISSING)?;
                let accept: TypedFunc<AcceptIn<'_>, AcceptOut> = functions.accept;
                Ok(accept.call(store, (values,))?.0)
            })
        })?;
        match poisoned {
            None => Ok(()),
            Some(poison) => Err(refused(Phase::Accept, poison, rows.len())),
        }
    }

    fn accumulate(
        &mut self,
        _: &mut Box<Context>,
        _: &OptionalColumn,
        _: &[u32],
        _: ColumnView<'_>,
    ) -> Result<Column, Failure> {
        Err(folds_nothing())
    }

    fn merge(
        &mut self,
        _: &mut Box<Context>,
        _: ColumnView<'_>,
        _: &[u32],
    ) -> Result<Column, Failure> {
        Err(folds_nothing())
    }

    fn decide_rows(
        &mut self,
        cx: &mut Box<Context>,
        asked: Asked<'_>,
        added: Added<'_>,
    ) -> Result<Decided, Failure> {
        self.0.trigger_rows(cx, asked, added)
    }

    fn decide_timers(
        &mut self,
        cx: &mut Box<Context>,
        asked: Asked<'_>,
        due: DueTimers<'_>,
    ) -> Result<Decided, Failure> {
        self.0.trigger_timers(cx, asked, due)
    }

    fn apply(
        &mut self,
        cx: &mut Box<Context>,
        fired: FiredWindows<'_>,
    ) -> Result<Vec<Emitted>, Failure> {
        let Contents::Rows { values, ends, .. } = fired.contents else {
            return Err(folds_nothing());
        };
        let mut all = Vec::new();
        for part in parts(values, ends) {
            let rows = rows_of(ends, &part);
            let what = || match fired.windows.get(part.clone()) {
                Some([window]) => format!("the window {window}"),
                _ => "windows".to_owned(),
            };
            within_limits(what, values.slice(rows.start, rows.end), self.0.limits())?;
            let base = part.start as u32;
            let mut emitted = self.apply_part(cx, &fired, part)?;
            for one in &mut emitted {
                if one.origin.is_empty() {
                    one.origin = (0..one.values.len() as u32).collect();
                }
                one.origin.iter_mut().for_each(|window| *window += base);
            }
            all.append(&mut emitted);
        }
        Ok(all)
    }
}

impl WholeWindows {
    /// The results of some of the windows; origins are counted from the first of these.
    fn apply_part(
        &mut self,
        cx: &mut Box<Context>,
        fired: &FiredWindows<'_>,
        part: Range<usize>,
    ) -> Result<Vec<Emitted>, Failure> {
        let Contents::Rows {
            values,
            timestamps,
            ends,
        } = fired.contents
        else {
            return Err(folds_nothing());
        };
        self.0.renew_amid(cx)?;
        let rows = rows_of(ends, &part);
        let windows = fired.windows.get(part.clone()).unwrap_or_default();
        let starts: Vec<i64> = windows.iter().map(|window| window.start).collect();
        let window_ends: Vec<i64> = windows.iter().map(|window| window.end).collect();
        let first = rows.start as u32;
        let row_ends = ends.get(part.clone()).unwrap_or_default();
        let row_ends: Vec<u32> = row_ends.iter().map(|end| end - first).collect();
        let keys = fired.keys.slice(part.start, part.end);
        let values = values.slice(rows.start, rows.end);
        let (mut of_keys, mut of_rows) = (Vec::new(), Vec::new());
        let arguments = FullWindowsIn {
            keys: ColumnIn {
                bytes: keys.contents(),
                ends: keys.relative_ends(&mut of_keys),
            },
            starts: &starts,
            ends: &window_ends,
            rows: ColumnIn {
                bytes: values.contents(),
                ends: values.relative_ends(&mut of_rows),
            },
            timestamps: timestamps.get(rows).unwrap_or_default(),
            row_ends: &row_ends,
        };
        let emitted = self.0.call(Phase::Apply, cx, |instance, cx, limits| {
            instance.call_with(Phase::Apply, cx, limits, |exports, store| {
                let functions = exports.windows.as_ref().context(MISSING)?;
                let apply: TypedFunc<ApplyIn<'_>, ApplyOut> = functions.apply;
                Ok(apply.call(store, (arguments,))?.0)
            })
        })?;
        let check = Check {
            rows: Some(windows.len()),
            ..self.0.check(Phase::Apply)
        };
        check.emitted(emitted)
    }
}

/// The windows of each call, in order.
fn parts(values: ColumnView<'_>, ends: &[u32]) -> Vec<Range<usize>> {
    let mut parts: Vec<Range<usize>> = Vec::new();
    let (mut from, mut bytes) = (0, 0);
    for window in 0..ends.len() {
        let rows = rows_of(ends, &(window..window + 1));
        let own = size(values.slice(rows.start, rows.end));
        if window > from && bytes + own > CALL {
            parts.push(from..window);
            (from, bytes) = (window, 0);
        }
        bytes += own;
    }
    if from < ends.len() {
        parts.push(from..ends.len());
    }
    parts
}

/// The rows of some windows.
fn rows_of(ends: &[u32], windows: &Range<usize>) -> Range<usize> {
    let end = |of: Option<usize>| {
        of.and_then(|of| ends.get(of))
            .map_or(0, |end| *end as usize)
    };
    end(windows.start.checked_sub(1))..end(windows.end.checked_sub(1))
}

/// What rows take in the memory of a guest.
fn size(rows: ColumnView<'_>) -> usize {
    rows.contents().len() + rows.len() * PER_ROW
}

/// The rows of a call are in the memory of the guest at once.
fn within_limits(
    what: impl FnOnce() -> String,
    rows: ColumnView<'_>,
    limits: &Limits,
) -> Result<(), Failure> {
    if size(rows) <= limits.memory {
        return Ok(());
    }
    Err(Failure::Limit(Box::new(Limit {
        key: "memory",
        value: bytes_in_words(limits.memory),
        message: format!(
            "{} holds {} rows of {} bytes, and {} would have all of them at once",
            what(),
            rows.len(),
            rows.contents().len(),
            Phase::Apply
        ),
        backtrace: Vec::new(),
        row: None,
    })))
}

/// A bug of the host: who asked does not know which of the two the component is.
fn folds_nothing() -> Failure {
    Failure::Internal {
        message: "accumulators for a component that sees all rows of windows".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(rows: impl IntoIterator<Item = usize>) -> Column {
        let mut column = Column::new();
        rows.into_iter()
            .for_each(|length| column.push(&vec![b'x'; length]));
        column
    }

    #[test]
    fn windows_share_a_call_until_their_rows_are_many() {
        let half = CALL / 2;
        let rows = column([10, half, half, 3 * CALL, 1, 1]);
        assert_eq!(parts(rows.view(), &[1, 2, 2, 4, 5, 6]), [0..3, 3..4, 4..6]);
        assert_eq!(parts(column([1, 2]).view(), &[2]).len(), 1);
        assert!(parts(column([]).view(), &[]).is_empty());
    }

    #[test]
    fn a_window_larger_than_the_memory_names_the_limit() {
        let rows = column([600, 600]);
        let limits = Limits {
            memory: 1 << 10,
            ..Limits::default()
        };
        let what = || "the window [0, 10)".to_owned();
        let failure = within_limits(what, rows.view(), &limits).unwrap_err();
        let Failure::Limit(limit) = failure else {
            panic!("{failure}");
        };
        assert_eq!((limit.key, &limit.value[..]), ("memory", "1KiB"));
        assert!(
            limit.message.contains("[0, 10) holds 2 rows of 1200 bytes"),
            "{}",
            limit.message
        );
        assert!(within_limits(what, column([600]).view(), &limits).is_ok());
    }
}
