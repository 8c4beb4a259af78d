//! What a checkpoint and a restore of a whole job with large state take in time and in memory.
//! Arguments: how many keys (262,144), bytes of each (4096), and megabytes of memory for RocksDB
//! (64; 0 = the state is on the heap):
//! `cargo run --release -p weir-state-rocksdb --example large-state`.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "an example prints what it has found out, and panics where it finds nothing"
)]

#[path = "../tests/large/job.rs"]
mod job;

use job::Size;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut next = |without: u64| {
        arguments
            .next()
            .map_or(without, |text| text.parse().unwrap())
    };
    let size = Size {
        keys: next(1 << 18),
        value: next(4096) as usize,
        memory: Some(next(64) as usize)
            .filter(|mib| *mib > 0)
            .map(|mib| mib << 20),
        subtasks: [1, 1],
    };
    let place = tempfile::tempdir().unwrap();
    let course = job::run(place.path(), size, false);
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    println!(
        "checkpoint: {:.0} MiB in {} ms, of which {:.0} ms synchronous",
        mib(course.checkpoint.bytes),
        course.checkpoint.duration_ms,
        course.checkpoint.sync_ms,
    );
    println!(
        "restored after {:.0} ms; the process grew by {:.0} MiB, by {:.0} MiB while it restored",
        course.restored_ms,
        mib(course.grown),
        mib(course.grown_by_restore),
    );
}
