//! The work of a job as one loop on one thread, as somebody writes it who needs nothing but its
//! result: no engine and no sandbox, no channels, batches and checkpoints. It is about the least
//! that the job can cost on a machine, whoever runs it.
//!
//! INVARIANT: rows are those of the job's own source, made by the same code, some at a time, and
//! what comes out is added up as its sink does and checked as its result is.

pub(super) mod micro;

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
    mem,
    ops::Range,
};

use weir_model::{Column, hash64};
use weir_operator::SourceRows;

use super::{
    check::{STEP, Sum, of_bytes, product},
    drain::Kept,
    made::Stream,
    run::Run,
    weir::resident_mib,
};
use crate::clock::Moment;

/// So many rows are made together: few enough to be near when they are looked at.
const TOGETHER: usize = 64;

/// What is done with each row.
pub trait Work {
    /// Does it; the buffer is free to be written to. Event times are in milliseconds.
    fn row(&mut self, row: &mut [u8], time: i64, out: &mut impl Out);

    /// There are no more rows.
    fn end(&mut self, _out: &mut impl Out) {}
}

/// Where rows go that come out.
pub trait Out {
    /// One more row.
    fn row(&mut self, row: &[u8]);

    /// One more row, of numbers of eight bytes each, little-endian.
    #[inline]
    fn numbers<const N: usize>(&mut self, numbers: [u64; N]) {
        self.row(numbers.map(u64::to_le_bytes).as_flattened());
    }

    /// What all of them come to.
    fn sum(&self) -> Sum;
}

/// Adds up what a row comes to, as a [`Look`](super::drain::Look) of sinks does.
#[derive(Clone, Copy, Debug)]
pub struct Added<F> {
    sum: Sum,
    of: F,
}

impl<F: Fn(&[u8]) -> u64> Added<F> {
    /// No rows yet.
    #[must_use]
    pub fn new(of: F) -> Self {
        let sum = Sum::default();
        Self { sum, of }
    }
}

impl<F: Fn(&[u8]) -> u64> Out for Added<F> {
    #[inline]
    fn row(&mut self, row: &[u8]) {
        self.sum.add((self.of)(row));
    }

    fn sum(&self) -> Sum {
        self.sum
    }
}

/// Keeps rows.
impl Out for Vec<Vec<u8>> {
    fn row(&mut self, row: &[u8]) {
        self.push(row.to_vec());
    }

    fn sum(&self) -> Sum {
        Sum {
            rows: self.len() as u64,
            sum: 0,
        }
    }
}

/// A map as such a loop has it.
pub type FastMap<K, V> = HashMap<K, V, BuildHasherDefault<Folded>>;

/// Hashes numbers by one multiplication each: the halves of the product are folded together.
#[derive(Clone, Copy, Debug, Default)]
pub struct Folded(u64);

impl Hasher for Folded {
    #[inline]
    fn write_u64(&mut self, number: u64) {
        self.0 = product(self.0 ^ number, STEP);
    }

    fn write(&mut self, bytes: &[u8]) {
        self.write_u64(hash64(bytes));
    }

    #[inline]
    fn finish(&self) -> u64 {
        self.0
    }
}

/// Does the work for so many rows, of which those of the warm-up are not timed; rows that come out
/// are hashed, or kept where there is somebody to keep them.
pub fn run(
    stream: &impl Stream,
    rows: u64,
    warm_up: u64,
    work: impl Work,
    kept: Option<&Kept>,
) -> Run {
    run_into(stream, rows, warm_up, work, Added::new(of_bytes), kept)
}

/// The same with another way to look at rows.
pub fn run_into(
    stream: &impl Stream,
    rows: u64,
    warm_up: u64,
    work: impl Work,
    mut out: impl Out,
    kept: Option<&Kept>,
) -> Run {
    let Some(kept) = kept else {
        return timed(stream, rows, warm_up, work, &mut out);
    };
    let mut found = Vec::new();
    let run = timed(stream, rows, warm_up, work, &mut found);
    kept.put(found);
    run
}

fn timed(
    stream: &impl Stream,
    rows: u64,
    warm_up: u64,
    mut work: impl Work,
    out: &mut impl Out,
) -> Run {
    let warm_up = warm_up.min(rows);
    let mut made = SourceRows::default();
    through(stream, 0..warm_up, &mut made, &mut work, out);
    let begun = Moment::now();
    through(stream, warm_up..rows, &mut made, &mut work, out);
    work.end(out);
    let passed = Moment::now().since(begun);
    Run {
        rows: rows - warm_up,
        wall_s: passed.wall.as_secs_f64(),
        cpu_s: passed.cpu.as_secs_f64(),
        others: passed.others,
        out: out.sum(),
        checkpoints: Vec::new(),
        rss_mib: resident_mib().unwrap_or(f64::NAN),
    }
}

/// The loop. A function of its own, so that warm-up and measurement run the same code.
#[inline(never)]
fn through(
    stream: &impl Stream,
    numbers: Range<u64>,
    made: &mut SourceRows,
    work: &mut impl Work,
    out: &mut impl Out,
) {
    for first in numbers.clone().step_by(TOGETHER) {
        let count = TOGETHER.min((numbers.end - first) as usize);
        made.values.clear();
        made.timestamps.clear();
        stream.rows((0..count).map(|row| first + row as u64), made);
        // Where rows have no event times, nobody looks at them.
        made.timestamps.resize(count, 0);
        let (mut bytes, mut ends) = mem::take(&mut made.values).into_parts();
        let mut begin = 0;
        for (&end, &time) in ends.iter().zip(&made.timestamps) {
            work.row(&mut bytes[begin..end as usize], time, out);
            begin = end as usize;
        }
        bytes.clear();
        ends.clear();
        made.values = Column::from_parts(bytes, ends).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::{cell::workloads, workload::Engine};

    #[test]
    fn each_loop_comes_to_what_the_oracle_says() {
        for workload in workloads() {
            let (name, rows) = (workload.name(), workload.few_rows());
            let kept = workload.kept();
            let run = workload.by_hand(rows, rows / 4, Some(&kept));
            assert_eq!(run.rows, rows - rows / 4, "{name}");
            let verified = workload.verify(rows, 1, &kept.take());
            assert!(verified.is_ok(), "{name}: {verified:?}");
            let timed = workload.by_hand(rows, rows / 4, None);
            let judged = workload.expected(rows, 1, Engine::Weir).judge(timed.out);
            assert!(judged.is_ok(), "{name}: {judged:?}");
            assert!(timed.out.rows > 0 || name == "q12", "{name}");
        }
    }

    #[test]
    fn numbers_in_a_row_are_spread_over_a_map() {
        let hash = |number: u64| {
            let mut hasher = Folded::default();
            hasher.write_u64(number);
            hasher.finish()
        };
        // By the lowest bits a map chooses a place, by the highest it tells two of a place apart.
        for bits in [|hash: u64| hash & 0xfff, |hash: u64| hash >> 52] {
            let mut places = vec![0_u32; 0x1000];
            (0..0x4000).for_each(|number| places[bits(hash(number)) as usize] += 1);
            assert!(places.iter().all(|count| *count < 32));
        }
    }
}
