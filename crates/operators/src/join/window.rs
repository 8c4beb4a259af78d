//! The window join: rows of both inputs that are in one window, each with each, when the window
//! gives its result.
//!
//! It is a window operator over the rows of both inputs, of which the first byte says where each
//! comes from: so windows, sessions, lateness and what is kept are those of windows.

use std::{ops::Range, sync::Arc};

use weir_model::{Column, ColumnView, OptionalColumn, Rows as Coming};
use weir_operator::{
    Contents, Context, Descriptor, Due, Emitted, Failure, FiredWindows, JoinFunction,
    JoinFunctionFactory, Operator, OperatorFactory, Outcome, TaskInfo, WindowFunction,
};
use weir_window::{JoinKind, Rules, Side};

use super::{
    broken,
    pairs::{Found, Inputs, Pair, Rows, Spent, of_no_row},
};
use crate::window::{WindowOperator, WindowOptions, WindowStates};

/// Makes a join of the rows of windows.
struct Pairing {
    kind: JoinKind,
    output: usize,
    /// Of windows with many rows it is asked for some at a time, in one call.
    spent: Arc<Spent>,
    function: Box<dyn JoinFunction>,
}

/// Where a row of a window comes from, and what it is.
fn parts(row: &[u8]) -> Result<(Side, &[u8]), Failure> {
    let parts = row.split_first();
    let (tag, row) = parts.ok_or_else(|| broken("a row of no input"))?;
    let side = Side::of(u32::from(*tag)).ok_or_else(|| broken("a row of a third input"))?;
    Ok((side, row))
}

/// The rows of one input in windows, one window after the other.
#[derive(Default)]
struct OneSide {
    values: Column,
    times: Vec<i64>,
    /// Where those of the window in hand begin.
    begin: usize,
}

impl OneSide {
    fn rows_of_last(&self) -> Range<u32> {
        self.begin as u32..self.times.len() as u32
    }

    fn rows(&self) -> Rows<'_> {
        Rows {
            values: self.values.view(),
            times: &self.times,
        }
    }
}

impl WindowFunction for Pairing {
    fn aggregates(&self) -> bool {
        false
    }

    fn open(&mut self, cx: &mut Box<Context>) -> Result<(), Failure> {
        self.function.open(cx)
    }

    fn reset(&mut self, cx: &mut Box<Context>) -> Result<(), Failure> {
        self.function.reset(cx)
    }

    fn accept(&mut self, cx: &mut Box<Context>, rows: ColumnView<'_>) -> Result<(), Failure> {
        if !self.function.looks_at_rows() {
            return Ok(());
        }
        // All rows of a call are of one input.
        let mut input = Side::Left;
        let mut values = Column::with_capacity(rows.len(), rows.contents().len());
        for row in rows.iter() {
            let (side, value) = parts(row)?;
            input = side;
            values.push(value);
        }
        self.function.accept(cx, input as u32, values.view())
    }

    fn accumulate(
        &mut self,
        _: &mut Box<Context>,
        _: &OptionalColumn,
        _: &[u32],
        _: ColumnView<'_>,
    ) -> Result<Column, Failure> {
        Err(broken("rows that are to be folded"))
    }

    fn merge(
        &mut self,
        _: &mut Box<Context>,
        _: ColumnView<'_>,
        _: &[u32],
    ) -> Result<Column, Failure> {
        Err(broken("accumulators that are to be merged"))
    }

    fn apply(
        &mut self,
        cx: &mut Box<Context>,
        fired: FiredWindows<'_>,
    ) -> Result<Vec<Emitted>, Failure> {
        let Contents::Rows {
            values,
            timestamps,
            ends,
        } = fired.contents
        else {
            return Err(broken("windows without rows"));
        };
        let (mut left, mut right) = (OneSide::default(), OneSide::default());
        let mut found = Found::default();
        let mut out = self.spent.of_at_most(self.output);
        let mut from = 0;
        for (at, (window, &end)) in (0..).zip(fired.windows.iter().zip(ends)) {
            (left.begin, right.begin) = (left.times.len(), right.times.len());
            for row in from..end as usize {
                let (side, value) = parts(values.get(row))?;
                let of = match side {
                    Side::Left => &mut left,
                    Side::Right => &mut right,
                };
                of.values.push(value);
                of.times.extend(timestamps.get(row));
            }
            from = end as usize;
            for (left_row, right_row) in pairs(self.kind, left.rows_of_last(), right.rows_of_last())
            {
                found.push(&Pair {
                    // A window has the place of its key.
                    key: at,
                    left: left_row,
                    right: right_row,
                    time: window.max_timestamp().0,
                    origin: at,
                });
                if found.is_part() {
                    let inputs = inputs(fired.keys, &left, &right);
                    let made = found.project(cx, &mut *self.function, inputs, &mut out);
                    made.map_err(of_no_row)?;
                }
            }
        }
        let inputs = inputs(fired.keys, &left, &right);
        let made = found.project(cx, &mut *self.function, inputs, &mut out);
        made.map_err(of_no_row)?;
        Ok(self.spent.spend(out))
    }
}

fn inputs<'a>(keys: ColumnView<'a>, left: &'a OneSide, right: &'a OneSide) -> Inputs<'a> {
    Inputs {
        keys,
        left: left.rows(),
        right: right.rows(),
    }
}

/// Each left row of a window with each right one, in the order of the left ones; where one input
/// has none, those of the other one alone, if they count.
fn pairs(
    kind: JoinKind,
    left: Range<u32>,
    right: Range<u32>,
) -> impl Iterator<Item = (Option<u32>, Option<u32>)> {
    let alone = |own: &Range<u32>, other: &Range<u32>, side| match kind.keeps(side) {
        true if other.is_empty() => own.clone(),
        _ => 0..0,
    };
    let left_alone = alone(&left, &right, Side::Left).map(|row| (Some(row), None));
    let right_alone = alone(&right, &left, Side::Right).map(|row| (None, Some(row)));
    let both = left.flat_map(move |row| right.clone().map(move |other| (Some(row), Some(other))));
    both.chain(left_alone).chain(right_alone)
}

/// Joins the rows of windows.
struct WindowJoin {
    windows: WindowOperator,
    late: Option<u32>,
    spent: Arc<Spent>,
}

/// Makes them.
pub(super) struct WindowJoins {
    options: WindowOptions,
    kind: JoinKind,
    output: usize,
    descriptor: Descriptor,
    function: Box<dyn JoinFunctionFactory>,
}

impl WindowJoins {
    pub(super) fn new(
        (rules, kind): (Rules, JoinKind),
        late: Option<String>,
        output: usize,
        function: Box<dyn JoinFunctionFactory>,
    ) -> Self {
        let mut side_outputs = function.side_outputs().to_vec();
        let late = late.map(|late| {
            side_outputs.push(late);
            side_outputs.len() as u32
        });
        let descriptor = Descriptor {
            states: WindowStates::of(&rules, false).declared(&rules),
            inputs: 2,
            side_outputs,
            timers: true,
            needs_all_timers: true,
            ..Descriptor::default()
        };
        Self {
            options: WindowOptions { rules, late },
            kind,
            output,
            descriptor,
            function,
        }
    }
}

impl OperatorFactory for WindowJoins {
    fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    fn create(&self, task: &TaskInfo) -> Result<Box<dyn Operator>, Failure> {
        let spent = Arc::new(Spent::default());
        let pairing = Pairing {
            kind: self.kind,
            output: self.output,
            spent: Arc::clone(&spent),
            function: self.function.create(task)?,
        };
        Ok(Box::new(WindowJoin {
            windows: WindowOperator::new(self.options.clone(), Box::new(pairing)),
            late: self.options.late,
            spent,
        }))
    }
}

impl Operator for WindowJoin {
    fn open(&mut self, cx: &mut Box<Context>) -> Result<(), Failure> {
        self.windows.open(cx)
    }

    fn process(
        &mut self,
        cx: &mut Box<Context>,
        input: u32,
        rows: Coming<'_>,
    ) -> Result<Outcome, Failure> {
        self.spent.reset();
        let side = Side::of(input).ok_or_else(|| broken("a third input"))?;
        let bytes = rows.values.contents().len() + rows.len();
        let mut tagged = Column::with_capacity(rows.len(), bytes);
        for row in rows.values.iter() {
            tagged.push_with(|out| {
                out.push(side as u8);
                out.extend_from_slice(row);
            });
        }
        let values = tagged.view();
        let mut outcome = self.windows.process(cx, 0, Coming { values, ..rows })?;
        let late = outcome.emitted.iter_mut();
        for late in late.filter(|part| Some(part.output) == self.late) {
            let rows = late.values.iter().map(|row| Ok(parts(row)?.1));
            late.values = rows.collect::<Result<Column, Failure>>()?;
        }
        Ok(outcome)
    }

    fn on_timers(&mut self, cx: &mut Box<Context>, due: Due<'_>) -> Result<Outcome, Failure> {
        self.spent.reset();
        self.windows.on_timers(cx, due)
    }

    fn end_of_input(&mut self, _: &mut Box<Context>, _: u32) -> Result<Vec<Emitted>, Failure> {
        Ok(Vec::new())
    }

    fn finish(&mut self, _: &mut Box<Context>) -> Result<Vec<Emitted>, Failure> {
        Ok(Vec::new())
    }

    fn reset(&mut self, cx: &mut Box<Context>) -> Result<(), Failure> {
        self.windows.reset(cx)
    }
}
