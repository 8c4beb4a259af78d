//! The optional interface `aggregate`: folds the rows of windows. A component that has it is a
//! window function, with the same instances as an operator.

use wasmtime::{
    Store,
    component::{self as wasm, ComponentType, Lift, Lower, TypedFunc},
    error::Context as _,
};
use weir_model::{Column, ColumnView, OptionalColumn};
use weir_operator::{
    Added, Asked, Contents, Context, Decided, DueTimers, Emitted, Failure, FiredWindows, Operator,
    WindowFunction,
};

use crate::{
    bindings::{ColumnIn, OptionalIn, weir::operator::data},
    guest::{Guest, Phase},
    interfaces::AGGREGATE_EXPORT,
    log::cut,
    lookup::Lookup,
    operator::{ComponentOperator, optional},
    outcome::{Check, MAX_MESSAGE},
};

/// `aggregate.folded`.
#[derive(Debug, ComponentType, Lift)]
#[component(record)]
pub(crate) struct Folded {
    accumulators: data::BytesColumn,
    poisoned: Option<data::Poison>,
}

/// `aggregate.fired`, borrowed.
#[derive(Clone, Copy, Debug, ComponentType, Lower)]
#[component(record)]
pub(crate) struct FiredIn<'a> {
    keys: ColumnIn<'a>,
    starts: &'a [i64],
    ends: &'a [i64],
}

type AccumulateIn<'a> = (OptionalIn<'a>, &'a [u32], ColumnIn<'a>);
type MergeIn<'a> = (ColumnIn<'a>, &'a [u32]);
type GetResultIn<'a> = (FiredIn<'a>, ColumnIn<'a>);
type FoldedOut = (Result<Folded, String>,);
type ColumnOut = (Result<data::BytesColumn, String>,);
type EmittedOut = (Result<Vec<data::Emitted>, String>,);

/// The functions of `aggregate`.
pub(crate) struct Aggregate {
    accumulate: TypedFunc<AccumulateIn<'static>, FoldedOut>,
    merge: TypedFunc<MergeIn<'static>, ColumnOut>,
    get_result: TypedFunc<GetResultIn<'static>, EmittedOut>,
}

impl Aggregate {
    /// The functions of an instance; `None` where the component does not export the interface.
    ///
    /// # Errors
    /// That one is missing, or has another type than the contract gives it.
    pub(crate) fn of(
        component: &wasm::Component,
        store: &mut Store<Guest>,
        instance: &wasm::Instance,
    ) -> wasmtime::Result<Option<Self>> {
        let lookup = Lookup::of(AGGREGATE_EXPORT, component, store, instance);
        let Some(mut lookup) = lookup else {
            return Ok(None);
        };
        Ok(Some(Self {
            accumulate: lookup.function("accumulate")?,
            merge: lookup.function("merge")?,
            get_result: lookup.function("get-result")?,
        }))
    }
}

const MISSING: &str = "`aggregate` was there when the component was loaded";

/// A row of so many that the guest does not take.
pub(crate) fn refused(phase: Phase, poison: data::Poison, rows: usize) -> Failure {
    let data::Poison { row, message } = poison;
    if row as usize >= rows {
        return Failure::Contract {
            message: format!("{phase} refused row {row} of {rows}"),
        };
    }
    Failure::Guest {
        message: cut(&message, MAX_MESSAGE).to_owned(),
        row: Some(row),
    }
}

impl ComponentOperator {
    /// Checks a column of accumulators that the guest returned: as many as there are to be.
    fn accumulators(
        &self,
        phase: Phase,
        column: data::BytesColumn,
        count: usize,
    ) -> Result<Column, Failure> {
        let checked = self.check(phase).accumulators(column)?;
        if checked.len() == count {
            return Ok(checked);
        }
        Err(Failure::Contract {
            message: format!(
                "{phase} returned {} accumulators, and {count} are expected",
                checked.len()
            ),
        })
    }
}

impl WindowFunction for ComponentOperator {
    fn aggregates(&self) -> bool {
        true
    }

    fn open(&mut self, cx: &mut Box<Context>) -> Result<(), Failure> {
        Operator::open(self, cx)
    }

    fn reset(&mut self, cx: &mut Box<Context>) -> Result<(), Failure> {
        Operator::reset(self, cx)
    }

    fn accumulate(
        &mut self,
        cx: &mut Box<Context>,
        accumulators: &OptionalColumn,
        accumulator_of_row: &[u32],
        rows: ColumnView<'_>,
    ) -> Result<Column, Failure> {
        self.renew_amid(cx)?;
        let mut ends = Vec::new();
        let values = ColumnIn {
            bytes: rows.contents(),
            ends: rows.relative_ends(&mut ends),
        };
        let arguments = (optional(accumulators), accumulator_of_row, values);
        let folded = self.call(Phase::Accumulate, cx, |instance, cx, limits| {
            instance.call_with(Phase::Accumulate, cx, limits, |exports, store| {
                let aggregate = exports.aggregate.as_ref().context(MISSING)?;
                let accumulate: TypedFunc<AccumulateIn<'_>, FoldedOut> = aggregate.accumulate;
                Ok(accumulate.call(store, arguments)?.0)
            })
        })?;
        if let Some(poison) = folded.poisoned {
            return Err(refused(Phase::Accumulate, poison, rows.len()));
        }
        self.accumulators(Phase::Accumulate, folded.accumulators, accumulators.len())
    }

    fn merge(
        &mut self,
        cx: &mut Box<Context>,
        accumulators: ColumnView<'_>,
        group_ends: &[u32],
    ) -> Result<Column, Failure> {
        self.renew_amid(cx)?;
        let mut ends = Vec::new();
        let column = ColumnIn {
            bytes: accumulators.contents(),
            ends: accumulators.relative_ends(&mut ends),
        };
        let merged = self.call(Phase::Merge, cx, |instance, cx, limits| {
            instance.call_with(Phase::Merge, cx, limits, |exports, store| {
                let aggregate = exports.aggregate.as_ref().context(MISSING)?;
                let merge: TypedFunc<MergeIn<'_>, ColumnOut> = aggregate.merge;
                Ok(merge.call(store, (column, group_ends))?.0)
            })
        })?;
        self.accumulators(Phase::Merge, merged, group_ends.len())
    }

    fn decide_rows(
        &mut self,
        cx: &mut Box<Context>,
        asked: Asked<'_>,
        added: Added<'_>,
    ) -> Result<Decided, Failure> {
        self.trigger_rows(cx, asked, added)
    }

    fn decide_timers(
        &mut self,
        cx: &mut Box<Context>,
        asked: Asked<'_>,
        due: DueTimers<'_>,
    ) -> Result<Decided, Failure> {
        self.trigger_timers(cx, asked, due)
    }

    fn apply(
        &mut self,
        cx: &mut Box<Context>,
        fired: FiredWindows<'_>,
    ) -> Result<Vec<Emitted>, Failure> {
        let Contents::Accumulators(accumulators) = fired.contents else {
            return Err(Failure::Internal {
                message: "all rows of windows for a component that folds them".into(),
            });
        };
        self.renew_amid(cx)?;
        let starts: Vec<i64> = fired.windows.iter().map(|window| window.start).collect();
        let ends: Vec<i64> = fired.windows.iter().map(|window| window.end).collect();
        let (mut of_keys, mut of_all) = (Vec::new(), Vec::new());
        let windows = FiredIn {
            keys: ColumnIn {
                bytes: fired.keys.contents(),
                ends: fired.keys.relative_ends(&mut of_keys),
            },
            starts: &starts,
            ends: &ends,
        };
        let accumulators = ColumnIn {
            bytes: accumulators.contents(),
            ends: accumulators.relative_ends(&mut of_all),
        };
        let emitted = self.call(Phase::GetResult, cx, |instance, cx, limits| {
            instance.call_with(Phase::GetResult, cx, limits, |exports, store| {
                let aggregate = exports.aggregate.as_ref().context(MISSING)?;
                let get_result: TypedFunc<GetResultIn<'_>, EmittedOut> = aggregate.get_result;
                Ok(get_result.call(store, (windows, accumulators))?.0)
            })
        })?;
        let check = Check {
            rows: Some(fired.windows.len()),
            ..self.check(Phase::GetResult)
        };
        check.emitted(emitted)
    }
}
