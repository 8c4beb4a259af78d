//! Windows: the rows of a batch are added to the windows they are in, which hold a sum.

use weir_model::{Column, ColumnView, OptionalColumn};
use weir_operator::{
    Context, Emitted, Failure as Failed, FiredWindows, Operator as _, WindowFunction,
};
use weir_operators::{WindowOperator, WindowOptions, WindowStates};
use weir_window::{Assigner, Lateness, Rules, Trigger};

use crate::Failure;
use weir_guard::rig::{ROWS, operator::context, rows::batches};

/// Windows of ten seconds, of rows a millisecond apart.
const SIZE_MS: i64 = 10_000;
const KEYS: u32 = 1_000;

/// So many batches of rows.
pub(super) fn run(count: u32) -> Result<(), Failure> {
    let rules = Rules {
        assigner: Assigner::Tumbling {
            size: SIZE_MS,
            offset: 0,
        },
        trigger: Trigger::EventTime,
        lateness: Lateness::default(),
        evictor: None,
        event_time: true,
    };
    let mut cx = context(WindowStates::of(&rules, true).declared(&rules), "null")?;
    let mut windows = WindowOperator::new(WindowOptions { rules, late: None }, Box::new(Bytes));
    windows.open(&mut cx)?;
    let batches = batches(KEYS, ROWS);
    for batch in batches.iter().cycle().take(count as usize) {
        cx.state.begin(Some(batch.keys()));
        let outcome = windows.process(&mut cx, 0, batch.rows())?;
        if outcome.poisoned.is_some() || !outcome.emitted.is_empty() {
            return Err("a row that is in no window".into());
        }
        cx.state.commit()?;
    }
    Ok(())
}

/// Adds up how many bytes rows have.
struct Bytes;

impl WindowFunction for Bytes {
    fn aggregates(&self) -> bool {
        true
    }

    fn open(&mut self, _: &mut Box<Context>) -> Result<(), Failed> {
        Ok(())
    }

    fn reset(&mut self, _: &mut Box<Context>) -> Result<(), Failed> {
        Ok(())
    }

    fn accumulate(
        &mut self,
        _: &mut Box<Context>,
        accumulators: &OptionalColumn,
        accumulator_of_row: &[u32],
        rows: ColumnView<'_>,
    ) -> Result<Column, Failed> {
        let mut sums = Vec::with_capacity(accumulators.len());
        for held in accumulators.iter() {
            let sum = held.map_or(Ok(0), |bytes| bytes.try_into().map(u64::from_le_bytes));
            sums.push(sum.map_err(|_| Failed::Internal {
                message: "a sum of another width".into(),
            })?);
        }
        for (&at, row) in accumulator_of_row.iter().zip(rows.iter()) {
            sums[at as usize] += row.len() as u64;
        }
        let mut folded = Column::with_capacity(sums.len(), sums.len() * 8);
        sums.iter().for_each(|sum| folded.push(&sum.to_le_bytes()));
        Ok(folded)
    }

    fn merge(
        &mut self,
        _: &mut Box<Context>,
        _: ColumnView<'_>,
        _: &[u32],
    ) -> Result<Column, Failed> {
        Err(unasked())
    }

    fn apply(&mut self, _: &mut Box<Context>, _: FiredWindows<'_>) -> Result<Vec<Emitted>, Failed> {
        Err(unasked())
    }
}

/// No window of these merges, and none is over before the program is.
fn unasked() -> Failed {
    Failed::Internal {
        message: "a window of the guard that merges or gives its result".into(),
    }
}
