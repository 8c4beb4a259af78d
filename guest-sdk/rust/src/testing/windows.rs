//! Windows without a host: what a window with these rows gives.

use super::{Harness, Output};
use crate::bindings::weir::operator::data::{BytesColumn, OptionalColumn};
use crate::call::Scope;
use crate::column;
use crate::key::Key;
use crate::window::Window;

impl Harness {
    /// What a [`WindowAggregate`](crate::WindowAggregate) gives for a window of a key that holds
    /// these rows. Each is folded in a call of its own, and the second half into an accumulator of
    /// its own that is merged with the first, as sessions and sliding windows do: so it shows what
    /// an accumulator forgets. A row that is refused ends it, and `poisoned` has its place.
    ///
    /// ```
    /// # use weir_guest::{Ctx, Result, Window, WindowAggregate, testing::Harness};
    /// # #[derive(Default)]
    /// # struct Count;
    /// # impl WindowAggregate for Count {
    /// #     type In = String;
    /// #     type Accumulator = u64;
    /// #     type Out = String;
    /// #     fn add(&mut self, count: &mut u64, _row: &str) -> Result<()> { *count += 1; Ok(()) }
    /// #     fn merge(&mut self, count: &mut u64, other: u64) -> Result<()> {
    /// #         *count += other;
    /// #         Ok(())
    /// #     }
    /// #     fn result(&mut self, w: Window, count: u64, ctx: &mut Ctx<String>) -> Result<()> {
    /// #         ctx.emit(format_args!("{}@{}={count}", ctx.key(), w.start))
    /// #     }
    /// # }
    /// let mut count = Harness::open::<Count, _>("null").unwrap();
    /// let minute = Window { start: 0, end: 60_000 };
    /// let out = count.window("a", minute, ["x", "y", "z"]).unwrap();
    /// assert_eq!(out.main(), ["a@0=3"]);
    /// ```
    ///
    /// # Errors
    /// The fatal error of a call, or what `merge` or `result` returned.
    pub fn window<V: AsRef<[u8]>>(
        &mut self,
        key: &str,
        window: Window,
        rows: impl IntoIterator<Item = V>,
    ) -> Result<Output, String> {
        let rows: Vec<V> = rows.into_iter().collect();
        let mut output = Output {
            emitted: Vec::new(),
            poisoned: None,
            side_outputs: self.side_outputs(),
        };
        let mut halves = [None, None];
        for (place, row) in rows.iter().enumerate() {
            let half = &mut halves[usize::from(place >= rows.len().div_ceil(2))];
            let accumulators = OptionalColumn {
                present: vec![u8::from(half.is_some())],
                column: one(half.as_deref().unwrap_or_default()),
            };
            let row = one(row.as_ref());
            let folded = self.call_in(Scope::Nothing, |logic| {
                logic.accumulate(accumulators, vec![0], row)
            });
            let (folded, poisoned) = folded?;
            if let Some(poison) = poisoned {
                output.poisoned = Some((place, poison.message));
                break;
            }
            *half = Some(first(&folded)?);
        }
        let whole = match halves {
            [None, None] => return Ok(output),
            [Some(only), None] | [None, Some(only)] => only,
            [Some(first_half), Some(second_half)] => {
                let mut both = one(&first_half);
                let pushed = column::push(&mut both, &second_half);
                pushed.map_err(crate::Error::into_message)?;
                let merged = self.call_in(Scope::Nothing, |logic| logic.merge(both, vec![2]))?;
                first(&merged)?
            }
        };
        let (keys, accumulators) = (one(&Key::encode([key])), one(&whole));
        output.emitted = self.call_in(Scope::Nothing, |logic| {
            logic.results(keys, vec![window], accumulators)
        })?;
        // As the host does: results have the last time of their window.
        for emitted in &mut output.emitted {
            if emitted.timestamps.is_empty() {
                let rows = emitted.values.ends.len();
                emitted.timestamps = vec![window.end - 1; rows];
            }
        }
        Ok(output)
    }
}

/// A column of one row.
fn one(bytes: &[u8]) -> BytesColumn {
    BytesColumn {
        bytes: bytes.to_vec(),
        ends: vec![bytes.len() as u32],
    }
}

fn first(column: &BytesColumn) -> Result<Vec<u8>, String> {
    let row = column::row(column, 0).map_err(crate::Error::into_message)?;
    Ok(row.to_vec())
}
