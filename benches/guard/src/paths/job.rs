//! A whole job on one worker: source, keys selected and rows routed, the channel, the task behind
//! it.

use std::sync::Arc;

use weir_guard::rig::{
    ROWS,
    job::{self, Job},
    operator::{Count, Swallow},
    rows::batches,
};
use weir_operator::OperatorFactory;

use crate::Failure;

/// So many that hardly two rows have the same: how many rows come in one call depends on the time
/// that they take, and with it how many share what is done once a key and call.
const KEYS: u32 = 1_000_000;

/// The task behind the channel takes rows and drops them.
pub(super) fn exchange(count: u32) -> Result<(), Failure> {
    run(Arc::new(Swallow::default()), count)
}

/// It counts the rows of each key.
pub(super) fn count(count: u32) -> Result<(), Failure> {
    run(Arc::new(Count::default()), count)
}

fn run(factory: Arc<dyn OperatorFactory>, count: u32) -> Result<(), Failure> {
    let job = Job {
        factory,
        keyed: true,
        batches: Arc::new(batches(KEYS, ROWS)),
    };
    job::run(&job, count)
}
