//! An operator as the function of windows.

use weir_guest::{
    Window,
    native::{self, AllRows, Groups, OptionalRef, Rows},
};
use weir_model::{Column, ColumnView, OptionalColumn};
use weir_operator::{
    Added, Asked, Contents, Context, Decided, DueTimers, Emitted, Failure, FiredWindows, TaskInfo,
    WindowFunction, WindowFunctionFactory,
};

use crate::{
    alone::{Alone, Make},
    columns::{copied, emitted, lent, taken, wrong},
    trigger,
};

/// Makes the parallel instances of an operator as functions of windows.
#[derive(Clone)]
pub struct NativeWindows {
    make: Make,
    side_outputs: Vec<String>,
    folds: bool,
}

impl NativeWindows {
    /// A [`WindowAggregate`](weir_guest::WindowAggregate) or
    /// [`WindowFunction`](weir_guest::WindowFunction) by the `native_operator` of its crate.
    ///
    /// # Errors
    /// What is wrong with its declarations.
    pub fn new(make: Make) -> Result<Self, Failure> {
        let alone = Alone::new(make);
        let declared = alone.logic().describe();
        let declared = declared.map_err(|message| Failure::Guest { message, row: None })?;
        Ok(Self {
            make,
            side_outputs: declared.side_outputs,
            folds: !alone.logic().sees_windows(),
        })
    }
}

impl WindowFunctionFactory for NativeWindows {
    fn aggregates(&self) -> bool {
        self.folds
    }

    fn side_outputs(&self) -> &[String] {
        &self.side_outputs
    }

    fn create(&self, _: &TaskInfo) -> Result<Box<dyn WindowFunction>, Failure> {
        Ok(Box::new(Instance {
            alone: Alone::new(self.make),
            make: self.make,
            folds: self.folds,
            ends: Vec::new(),
            of_accumulators: Vec::new(),
        }))
    }
}

struct Instance {
    alone: Alone,
    make: Make,
    folds: bool,
    /// Buffers that are used again from call to call.
    ends: Vec<u32>,
    of_accumulators: Vec<u32>,
}

impl WindowFunction for Instance {
    fn aggregates(&self) -> bool {
        self.folds
    }

    fn open(&mut self, cx: &mut Box<Context>) -> Result<(), Failure> {
        self.alone.call(cx, |logic| logic.open())
    }

    fn reset(&mut self, cx: &mut Box<Context>) -> Result<(), Failure> {
        self.alone = Alone::new(self.make);
        self.open(cx)
    }

    fn accept(&mut self, cx: &mut Box<Context>, rows: ColumnView<'_>) -> Result<(), Failure> {
        if self.folds {
            return Ok(());
        }
        let rows = lent(rows, &mut self.ends);
        let poisoned = self.alone.call(cx, |logic| logic.accept(0, rows))?;
        refused(poisoned)
    }

    fn accumulate(
        &mut self,
        cx: &mut Box<Context>,
        accumulators: &OptionalColumn,
        accumulator_of_row: &[u32],
        rows: ColumnView<'_>,
    ) -> Result<Column, Failure> {
        let rows = Rows {
            accumulators: OptionalRef {
                present: accumulators.present(),
                column: lent(accumulators.column().view(), &mut self.of_accumulators),
            },
            accumulator_of_row,
            values: lent(rows, &mut self.ends),
        };
        let (folded, poisoned) = self.alone.call(cx, |logic| logic.accumulate(&rows))?;
        refused(poisoned)?;
        as_many(accumulators.len(), folded)
    }

    fn merge(
        &mut self,
        cx: &mut Box<Context>,
        accumulators: ColumnView<'_>,
        ends: &[u32],
    ) -> Result<Column, Failure> {
        let groups = Groups {
            accumulators: lent(accumulators, &mut self.of_accumulators),
            ends,
        };
        let merged = self.alone.call(cx, |logic| logic.merge(&groups))?;
        as_many(ends.len(), merged)
    }

    fn decide_rows(
        &mut self,
        cx: &mut Box<Context>,
        asked: Asked<'_>,
        added: Added<'_>,
    ) -> Result<Decided, Failure> {
        trigger::rows(&mut self.alone, cx, asked, added)
    }

    fn decide_timers(
        &mut self,
        cx: &mut Box<Context>,
        asked: Asked<'_>,
        due: DueTimers<'_>,
    ) -> Result<Decided, Failure> {
        trigger::timers(&mut self.alone, cx, asked, due)
    }

    fn apply(
        &mut self,
        cx: &mut Box<Context>,
        fired: FiredWindows<'_>,
    ) -> Result<Vec<Emitted>, Failure> {
        let window = |window: &weir_operator::Window| Window {
            start: window.start,
            end: window.end,
        };
        let windows: Vec<Window> = fired.windows.iter().map(window).collect();
        let keys = lent(fired.keys, &mut self.ends);
        let all = match fired.contents {
            Contents::Accumulators(accumulators) => {
                let accumulators = lent(accumulators, &mut self.of_accumulators);
                (self.alone).call(cx, |logic| logic.results(keys, &windows, accumulators))?
            }
            Contents::Rows {
                values,
                timestamps,
                ends,
            } => {
                let rows = AllRows {
                    rows: copied(values),
                    timestamps: timestamps.to_vec(),
                    ends: ends.to_vec(),
                };
                (self.alone).call(cx, |logic| logic.apply(keys, &windows, &rows))?
            }
        };
        emitted(all, windows.len())
    }
}

/// What is said of a row that is refused.
pub(crate) fn refused(poisoned: Option<native::Poison>) -> Result<(), Failure> {
    match poisoned {
        None => Ok(()),
        Some(poison) => Err(Failure::Guest {
            message: poison.message,
            row: Some(poison.row),
        }),
    }
}

fn as_many(count: usize, column: native::BytesColumn) -> Result<Column, Failure> {
    let column = taken(column).map_err(|error| wrong("accumulators", error))?;
    match column.len() == count {
        true => Ok(column),
        false => {
            let found = format!("{}, and {count} are expected", column.len());
            Err(wrong("accumulators", found))
        }
    }
}
