//! The pairs of a call, and how rows are made of them.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use weir_model::ColumnView;
use weir_operator::{Context, Emitted, Failure, JoinFunction, Limit, Pairs, RowInfo};
use weir_window::Side;

use super::broken;

/// The most pairs that a function is given at once.
const PART: usize = if cfg!(test) { 3 } else { 16_384 };
/// So many bytes of rows in pairs are enough for one part.
const PART_BYTES: usize = 4 << 20;

/// Which rows belong together. Rows are counted in the columns that the pairs are shown with.
#[derive(Default)]
pub(super) struct Found {
    keys: Vec<u32>,
    left: Vec<u32>,
    right: Vec<u32>,
    times: Vec<i64>,
    /// The row or timer that each comes from.
    origins: Vec<u32>,
}

/// What a call has given so far.
pub(super) struct Given {
    pub(super) emitted: Vec<Emitted>,
    pairs: usize,
    bytes: usize,
    most: usize,
}

impl Given {
    /// A call that may give so many bytes.
    pub(super) fn at_most(most: usize) -> Self {
        Self {
            emitted: Vec::new(),
            pairs: 0,
            bytes: 0,
            most,
        }
    }
}

/// What was given so far in a call of an operator that calls its function more than once.
#[derive(Default)]
pub(super) struct Spent {
    pairs: AtomicUsize,
    bytes: AtomicUsize,
}

impl Spent {
    /// Another call begins.
    pub(super) fn reset(&self) {
        self.pairs.store(0, Relaxed);
        self.bytes.store(0, Relaxed);
    }

    /// What the function may still give of so many bytes.
    pub(super) fn of_at_most(&self, most: usize) -> Given {
        Given {
            pairs: self.pairs.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            ..Given::at_most(most)
        }
    }

    /// What it has given.
    pub(super) fn spend(&self, given: Given) -> Vec<Emitted> {
        self.pairs.store(given.pairs, Relaxed);
        self.bytes.store(given.bytes, Relaxed);
        given.emitted
    }
}

/// A pair.
pub(super) struct Pair {
    pub(super) key: u32,
    pub(super) left: Option<u32>,
    pub(super) right: Option<u32>,
    pub(super) time: i64,
    pub(super) origin: u32,
}

/// The rows of an input, with their times.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    pub(super) values: ColumnView<'a>,
    pub(super) times: &'a [i64],
}

/// What pairs are of.
#[derive(Clone, Copy)]
pub(super) struct Inputs<'a> {
    pub(super) keys: ColumnView<'a>,
    pub(super) left: Rows<'a>,
    pub(super) right: Rows<'a>,
}

impl<'a> Inputs<'a> {
    /// The rows of one input, and those of the other one.
    pub(super) fn of(keys: ColumnView<'a>, side: Side, own: Rows<'a>, other: Rows<'a>) -> Self {
        let (left, right) = match side {
            Side::Left => (own, other),
            Side::Right => (other, own),
        };
        Self { keys, left, right }
    }
}

impl Found {
    pub(super) fn push(&mut self, pair: &Pair) {
        self.keys.push(pair.key);
        self.left.push(pair.left.unwrap_or(Pairs::ABSENT));
        self.right.push(pair.right.unwrap_or(Pairs::ABSENT));
        self.times.push(pair.time);
        self.origins.push(pair.origin);
    }

    /// Whether there are enough of them for a part.
    pub(super) fn is_part(&self) -> bool {
        self.keys.len() >= PART
    }

    /// How many of them are listed.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Makes rows of them, a part at a time: what a function is given at once is bounded.
    pub(super) fn project(
        &mut self,
        cx: &mut Box<Context>,
        function: &mut dyn JoinFunction,
        inputs: Inputs<'_>,
        out: &mut Given,
    ) -> Result<(), Failure> {
        let mut from = 0;
        while from < self.keys.len() {
            let to = self.part(from, inputs);
            let pairs = Pairs {
                keys: inputs.keys,
                key_of_pair: &self.keys[from..to],
                left: inputs.left.values,
                left_times: inputs.left.times,
                left_of_pair: &self.left[from..to],
                right: inputs.right.values,
                right_times: inputs.right.times,
                right_of_pair: &self.right[from..to],
                timestamps: &self.times[from..to],
            };
            let projected = function.project(cx, pairs);
            for mut part in projected.map_err(|failure| self.refused(failure, from, inputs))? {
                self.trace_back(&mut part, from..to)?;
                out.bytes += part.values.byte_len();
                out.emitted.push(part);
            }
            out.pairs += to - from;
            if out.bytes > out.most {
                return Err(too_much(out));
            }
            from = to;
        }
        self.keys.clear();
        self.left.clear();
        self.right.clear();
        self.times.clear();
        self.origins.clear();
        Ok(())
    }

    /// A pair that is refused: it is told which rows it is of, and refused is what it comes from.
    fn refused(&self, failure: Failure, from: usize, inputs: Inputs<'_>) -> Failure {
        let Failure::Guest {
            message,
            row: Some(pair),
        } = failure
        else {
            return failure;
        };
        let at = from + pair as usize;
        let told = |what: &str, rows: Rows<'_>, of: &[u32]| match of.get(at) {
            None | Some(&Pairs::ABSENT) => format!("  no {what} row"),
            Some(&row) => {
                let row = row as usize;
                let time = rows.times.get(row).copied();
                let info = RowInfo::new(rows.values.get(row), time, None).to_string();
                format!("  {what} {}", info.trim_start())
            }
        };
        let (left, right) = (
            told("left", inputs.left, &self.left),
            told("right", inputs.right, &self.right),
        );
        Failure::Guest {
            message: format!("{message}\n{left}\n{right}"),
            row: self.origins.get(at).copied(),
        }
    }

    /// Where the part ends that begins there.
    fn part(&self, from: usize, inputs: Inputs<'_>) -> usize {
        let end = self.keys.len().min(from + PART);
        let mut bytes = 0;
        let length = |rows: ColumnView<'_>, row: u32| match row {
            Pairs::ABSENT => 0,
            row => rows.get(row as usize).len(),
        };
        for at in from..end {
            bytes += length(inputs.left.values, self.left[at]);
            bytes += length(inputs.right.values, self.right[at]);
            if bytes >= PART_BYTES {
                return at + 1;
            }
        }
        end
    }

    /// A row comes from what its pair comes from, and has its time unless it has one of its own.
    fn trace_back(
        &self,
        emitted: &mut Emitted,
        part: std::ops::Range<usize>,
    ) -> Result<(), Failure> {
        if emitted.origin.is_empty() {
            emitted.origin = (0..emitted.values.len() as u32).collect();
        }
        let needs_time = emitted.timestamps.is_empty();
        let (times, origins) = (&self.times[part.clone()], &self.origins[part]);
        for pair in &mut emitted.origin {
            let at = *pair as usize;
            let (Some(time), Some(origin)) = (times.get(at), origins.get(at)) else {
                return Err(broken("a row comes from no pair"));
            };
            if needs_time {
                emitted.timestamps.push(*time);
            }
            *pair = *origin;
        }
        Ok(())
    }
}

/// What the failure of a call is that no row is the cause of: it is made of rows that came before.
pub(super) fn of_no_row(failure: Failure) -> Failure {
    match failure {
        Failure::Guest { message, .. } => Failure::Guest { message, row: None },
        other => other,
    }
}

/// More than a call may give.
fn too_much(given: &Given) -> Failure {
    Failure::Limit(Box::new(Limit {
        key: "output",
        value: format!("{} bytes", given.most),
        message: format!(
            "the first {} pairs of the rows of one call give {} bytes already",
            given.pairs, given.bytes
        ),
        backtrace: Vec::new(),
        row: None,
    }))
}
