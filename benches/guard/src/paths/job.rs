//! A whole job on one worker: source, keys selected and rows routed, the channel, the task behind
//! it.

use std::sync::Arc;

use weir_guard::rig::{
    ROWS,
    job::{self, Job},
    operator::Count,
    rows::batches,
};

use crate::Failure;

/// So many that hardly two rows have the same: how many rows come in one call depends on the time
/// that they take, and with it how many share what is done once a key and call.
const KEYS: u32 = 1_000_000;

/// The task behind the channel counts the rows of each key.
pub(super) fn count(count: u32) -> Result<(), Failure> {
    let job = Job {
        factory: Arc::new(Count::default()),
        keyed: true,
        batches: Arc::new(batches(KEYS, ROWS)),
    };
    job::run(&job, count)
}
