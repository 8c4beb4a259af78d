//! The whole protocol at work: coordinator, alignment, two-phase commit, enumerators, metadata,
//! survey, fallback and restarts, as they are in production, over random task graphs, in a random
//! order of events, with crashes between any two steps, lost replies, torn writes, declines,
//! timeouts and failed deletions. What is simulated is the rest: tasks, channels, store, sinks.
//!
//! A seed gives the same run every time. `WEIR_SEED=<n>` runs one; a seed that failed is kept in
//! [`KEPT`].

use std::{collections::BTreeMap, thread::panicking};

mod attempt;
mod outside;
mod plan;
mod process;
mod rng;
mod task;
mod world;

use outside::Broken;
use process::Exit;
use world::{Seen, World};

/// How many seeds every test run tries.
const SEEDS: u64 = 364;

/// Seeds that have failed once.
const KEPT: [u64; 0] = [];

/// Names the seed of a run that panics.
struct Named(u64);

impl Drop for Named {
    fn drop(&mut self) {
        if panicking() {
            eprintln!("the simulation panicked with WEIR_SEED={}", self.0);
        }
    }
}

/// Runs a job until it has finished, however often it is started again.
fn simulate(seed: u64, all: &mut BTreeMap<Seen, u64>) -> Result<(), Broken> {
    let _named = Named(seed);
    let mut world = World::new(seed);
    loop {
        match process::run(&mut world)? {
            Exit::Finished => {
                world.judge()?;
                world.see(Seen::Finished);
                break;
            }
            Exit::Again => {}
            Exit::Refused => break,
        }
    }
    for (what, count) in world.seen {
        *all.entry(what).or_default() += count;
    }
    Ok(())
}

fn seeds() -> Vec<u64> {
    match std::env::var("WEIR_SEED") {
        Ok(seed) => vec![seed.parse().unwrap()],
        Err(_) => KEPT.into_iter().chain(0..SEEDS).collect(),
    }
}

#[test]
fn every_row_is_committed_once_whatever_fails() {
    let mut seen = BTreeMap::new();
    let seeds = seeds();
    for &seed in &seeds {
        if let Err(broken) = simulate(seed, &mut seen) {
            panic!("WEIR_SEED={seed}: {broken}");
        }
    }
    for what in Seen::ALL.iter().filter(|_| seeds.len() > 1) {
        assert!(seen.contains_key(what), "{what:?} never happened");
    }
    println!("{seen:?}");
}
