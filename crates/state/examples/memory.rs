//! What a line of memory costs on this machine: prints nanoseconds a line, for tables of one to 64
//! MiB, of which some lines are looked at in no order.
//!
//! `cargo run --release -p weir-state --example memory`. One after the other: where each is says
//! the one before. Many at once: the processor need not wait for one to ask for the next; read, and
//! written as well. Each figure is the median of some runs. The look-ups of a large state are
//! measured against it (`benches/README.md`).

#![expect(clippy::print_stdout, reason = "figures for people are its purpose")]

use std::{hint::black_box, time::Instant};

/// A line of the cache.
type Line = [u64; 8];

const RUNS: usize = 9;
/// How many lines a run looks at.
const LINES: u64 = 1 << 18;

/// The next number of a row that is in no order.
fn next(random: &mut u64) -> u64 {
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    *random
}

/// The median of what a line costs.
fn cost(table: &mut [Line], mut look: impl FnMut(&mut [Line], &mut u64)) -> f64 {
    let mut random = 0x9e37_79b9_7f4a_7c15;
    let mut times: Vec<f64> = (0..RUNS)
        .map(|_| {
            let start = Instant::now();
            look(table, &mut random);
            start.elapsed().as_nanos() as f64 / LINES as f64
        })
        .collect();
    times.sort_unstable_by(f64::total_cmp);
    times[RUNS / 2]
}

fn main() {
    for mebibytes in [1, 2, 4, 8, 16, 32, 64] {
        let lines = (mebibytes << 20) / size_of::<Line>();
        let mask = lines as u64 - 1;
        let mut table = vec![[1; 8]; lines];
        let one_by_one = cost(&mut table, |table, random| {
            let mut found = 1;
            for _ in 0..LINES {
                found = black_box(table[((next(random) + found) & mask) as usize][0]);
            }
        });
        let read = cost(&mut table, |table, random| {
            let mut sum = 0_u64;
            for _ in 0..LINES {
                sum = sum.wrapping_add(table[(next(random) & mask) as usize][0]);
            }
            black_box(sum);
        });
        let written = cost(&mut table, |table, random| {
            for _ in 0..LINES {
                table[(next(random) & mask) as usize][0] |= 1;
            }
        });
        println!(
            "{mebibytes} MiB: one after the other {one_by_one:.0} ns; many at once, read \
             {read:.1} ns, written {written:.1} ns"
        );
    }
}
