//! Joins without a host: what rows give that belong together.

use super::windows::one;
use super::{Harness, Output};
use crate::call::Scope;
use crate::column;
use crate::join::{ABSENT, AllPairs};
use crate::key::Key;

impl Harness {
    /// What a [`JoinFunction`](crate::JoinFunction) gives for rows of a key, each with its time:
    /// each left one with each right one, as in a window; where one side has none, those of the
    /// other side alone. Pairs have the later time of their rows.
    ///
    /// A row that is refused ends it, and `poisoned` has its place, the left rows counted first. Of
    /// a pair that is refused it is that of the right row, or of the only one.
    ///
    /// ```
    /// # use weir_guest::{Ctx, JoinFunction, Result, Row, testing::Harness};
    /// # #[derive(Default)]
    /// # struct Sum;
    /// # impl JoinFunction for Sum {
    /// #     type Left = i64;
    /// #     type Right = i64;
    /// #     type Out = String;
    /// #     fn join(&mut self, l: Row<i64>, r: Row<i64>, ctx: &mut Ctx<String>) -> Result<()> {
    /// #         ctx.emit(format_args!("{}: {}", ctx.key(), l.value + r.value))
    /// #     }
    /// # }
    /// let mut sum = Harness::open::<Sum, _>("null").unwrap();
    /// let out = sum.join("a", [(5, "1"), (9, "2")], [(7, "40")]).unwrap();
    /// assert_eq!(out.main(), ["a: 41", "a: 42"]);
    /// assert_eq!(out.emitted[0].timestamps, [7, 9]);
    /// ```
    ///
    /// # Errors
    /// The fatal error of a call.
    pub fn join<L: AsRef<[u8]>, R: AsRef<[u8]>>(
        &mut self,
        key: impl AsRef<[u8]>,
        left: impl IntoIterator<Item = (i64, L)>,
        right: impl IntoIterator<Item = (i64, R)>,
    ) -> Result<Output, String> {
        let mut output = Output {
            emitted: Vec::new(),
            poisoned: None,
            side_outputs: self.side_outputs(),
        };
        let mut pairs = AllPairs {
            keys: one(&Key::encode([key])),
            key_of_pair: Vec::new(),
            left: column::with_room(0, 0),
            left_timestamps: Vec::new(),
            left_of_pair: Vec::new(),
            right: column::with_room(0, 0),
            right_timestamps: Vec::new(),
            right_of_pair: Vec::new(),
            timestamps: Vec::new(),
        };
        for (time, row) in left {
            output.poisoned = self.refused(0, pairs.left_timestamps.len(), row.as_ref())?;
            if output.poisoned.is_some() {
                return Ok(output);
            }
            pairs.push_left(time, row.as_ref())?;
        }
        let left_rows = pairs.left_timestamps.len();
        for (time, row) in right {
            let place = left_rows + pairs.right_timestamps.len();
            output.poisoned = self.refused(1, place, row.as_ref())?;
            if output.poisoned.is_some() {
                return Ok(output);
            }
            pairs.push_right(time, row.as_ref())?;
        }
        pairs.each_with_each();
        match self.call_in(Scope::Nothing, |logic| logic.project(&pairs))? {
            Ok(emitted) => output.emitted = emitted,
            Err(poison) => {
                let pair = poison.row as usize;
                let place = match pairs.right_of_pair.get(pair) {
                    Some(&ABSENT) | None => pair,
                    Some(&right) => left_rows + right as usize,
                };
                output.poisoned = Some((place, poison.message));
            }
        }
        for emitted in &mut output.emitted {
            if emitted.timestamps.is_empty() {
                let pairs = &pairs.timestamps;
                let of_origin = |pair: &u32| pairs.get(*pair as usize).copied();
                emitted.timestamps = match emitted.origin.is_empty() {
                    true => pairs.clone(),
                    false => emitted.origin.iter().filter_map(of_origin).collect(),
                };
            }
        }
        Ok(output)
    }

    /// Hands a row over as it comes.
    fn refused(
        &mut self,
        input: u32,
        place: usize,
        row: &[u8],
    ) -> Result<Option<(usize, String)>, String> {
        let refused = self.call_in(Scope::Nothing, |logic| {
            logic.accept(input, (&one(row)).into())
        })?;
        Ok(refused.map(|poison| (place, poison.message)))
    }
}

impl AllPairs {
    fn push_left(&mut self, time: i64, row: &[u8]) -> Result<(), String> {
        self.left_timestamps.push(time);
        column::push(&mut self.left, row).map_err(crate::Error::into_message)
    }

    fn push_right(&mut self, time: i64, row: &[u8]) -> Result<(), String> {
        self.right_timestamps.push(time);
        column::push(&mut self.right, row).map_err(crate::Error::into_message)
    }

    fn each_with_each(&mut self) {
        let rows = |times: &[i64]| match times.len() {
            0 => vec![(ABSENT, i64::MIN)],
            _ => (0..).zip(times.iter().copied()).collect(),
        };
        let (left, right) = (rows(&self.left_timestamps), rows(&self.right_timestamps));
        for &(left_row, left_time) in &left {
            for &(right_row, right_time) in &right {
                if (left_row, right_row) == (ABSENT, ABSENT) {
                    return;
                }
                self.key_of_pair.push(0);
                self.left_of_pair.push(left_row);
                self.right_of_pair.push(right_row);
                self.timestamps.push(left_time.max(right_time));
            }
        }
    }
}
