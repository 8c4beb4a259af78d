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

const KEYS: u32 = 1_000;

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
