//! Windows without a host: what a window with these rows gives.

use super::{Harness, Output};
use crate::bindings::weir::operator::data::{BytesColumn, OptionalColumn};
use crate::call::Scope;
use crate::column;
use crate::key::Key;
use crate::window::{AllRows, Groups, Rows, Window};

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
    /// Of a [`WindowFunction`](crate::WindowFunction) it is what that gives for all the rows, each
    /// of which has the first millisecond of the window as its time; see
    /// [`timed_window`](Self::timed_window) for others.
    ///
    /// # Errors
    /// The fatal error of a call, or what `merge`, `result` or `apply` returned.
    pub fn window<V: AsRef<[u8]>>(
        &mut self,
        key: impl AsRef<[u8]>,
        window: Window,
        rows: impl IntoIterator<Item = V>,
    ) -> Result<Output, String> {
        let key = key.as_ref();
        let rows: Vec<V> = rows.into_iter().collect();
        if self.logic.sees_windows() {
            return self.whole_window(key, window, rows.iter().map(|row| (window.start, row)));
        }
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
                logic.accumulate(&Rows {
                    accumulators: (&accumulators).into(),
                    accumulator_of_row: &[0],
                    values: (&row).into(),
                })
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
                let merged = self.call_in(Scope::Nothing, |logic| {
                    logic.merge(&Groups {
                        accumulators: (&both).into(),
                        ends: &[2],
                    })
                })?;
                first(&merged)?
            }
        };
        let (keys, accumulators) = (one(&Key::encode([key])), one(&whole));
        output.emitted = self.call_in(Scope::Nothing, |logic| {
            logic.results((&keys).into(), &[window], (&accumulators).into())
        })?;
        at_the_end(window, &mut output);
        Ok(output)
    }

    /// What a [`WindowFunction`](crate::WindowFunction) gives for a window of a key that holds
    /// these rows, each with its time. A row that is refused ends it, and `poisoned` has its place.
    ///
    /// ```
    /// # use weir_guest::{Ctx, Result, Window, WindowFunction, WindowRows, testing::Harness};
    /// # #[derive(Default)]
    /// # struct Last;
    /// # impl WindowFunction for Last {
    /// #     type In = String;
    /// #     type Out = String;
    /// #     fn apply(
    /// #         &mut self,
    /// #         _: Window,
    /// #         rows: WindowRows<'_, String>,
    /// #         ctx: &mut Ctx<String>,
    /// #     ) -> Result<()> {
    /// #         let rows: Vec<_> = rows.collect::<Result<_>>()?;
    /// #         let last = rows.iter().max_by_key(|row| row.timestamp).unwrap();
    /// #         ctx.emit(last.value)
    /// #     }
    /// # }
    /// let mut last = Harness::open::<Last, _>("null").unwrap();
    /// let minute = Window { start: 0, end: 60_000 };
    /// let out = last.timed_window("a", minute, [(5, "x"), (9, "y"), (7, "z")]).unwrap();
    /// assert_eq!(out.main(), ["y"]);
    /// ```
    ///
    /// # Errors
    /// The fatal error of a call, or what `apply` returned.
    pub fn timed_window<V: AsRef<[u8]>>(
        &mut self,
        key: impl AsRef<[u8]>,
        window: Window,
        rows: impl IntoIterator<Item = (i64, V)>,
    ) -> Result<Output, String> {
        if !self.logic.sees_windows() {
            return Err("this operator does not see the rows of windows: use `window`".into());
        }
        self.whole_window(key.as_ref(), window, rows)
    }

    fn whole_window<V: AsRef<[u8]>>(
        &mut self,
        key: &[u8],
        window: Window,
        rows: impl IntoIterator<Item = (i64, V)>,
    ) -> Result<Output, String> {
        let mut all = AllRows {
            rows: column::with_room(0, 0),
            timestamps: Vec::new(),
            ends: Vec::new(),
        };
        let mut output = Output {
            emitted: Vec::new(),
            poisoned: None,
            side_outputs: self.side_outputs(),
        };
        for (place, (time, row)) in rows.into_iter().enumerate() {
            let one = one(row.as_ref());
            let refused = self.call_in(Scope::Nothing, |logic| logic.accept(0, (&one).into()))?;
            if let Some(poison) = refused {
                output.poisoned = Some((place, poison.message));
                break;
            }
            let pushed = column::push(&mut all.rows, row.as_ref());
            pushed.map_err(crate::Error::into_message)?;
            all.timestamps.push(time);
        }
        if all.timestamps.is_empty() {
            return Ok(output);
        }
        all.ends.push(all.timestamps.len() as u32);
        let keys = one(&Key::encode([key]));
        output.emitted = self.call_in(Scope::Nothing, |logic| {
            logic.apply((&keys).into(), &[window], &all)
        })?;
        at_the_end(window, &mut output);
        Ok(output)
    }
}

/// As the host does: results have the last time of their window.
fn at_the_end(window: Window, output: &mut Output) {
    for emitted in &mut output.emitted {
        if emitted.timestamps.is_empty() {
            let rows = emitted.values.ends.len();
            emitted.timestamps = vec![window.end - 1; rows];
        }
    }
}

/// A column of one row.
pub(super) fn one(bytes: &[u8]) -> BytesColumn {
    BytesColumn {
        bytes: bytes.to_vec(),
        ends: vec![bytes.len() as u32],
    }
}

fn first(column: &BytesColumn) -> Result<Vec<u8>, String> {
    let row = column::row(column, 0).map_err(crate::Error::into_message)?;
    Ok(row.to_vec())
}
