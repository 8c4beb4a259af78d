//! What `weir run --output json` prints when a job has ended.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde::Deserialize;

/// The summary of a run.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Summary {
    pub(super) job: String,
    pub(super) state: String,
    /// Rows read by this process, per source.
    pub(super) rows_in: BTreeMap<String, u64>,
    /// Rows written by this process, per sink.
    pub(super) rows_out: BTreeMap<String, u64>,
    pub(super) checkpoints: Checkpoints,
    /// The checkpoint this process began with.
    pub(super) restored_from: Option<Restored>,
    /// From the start of the job until all tasks ran, restore included.
    pub(super) recovery_ms: Option<f64>,
    pub(super) restarts: u64,
    pub(super) duration_ms: f64,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Checkpoints {
    pub(super) completed: u64,
    pub(super) failed: u64,
    pub(super) last_id: Option<u64>,
    pub(super) last_duration_ms: Option<f64>,
    pub(super) last_size_bytes: Option<u64>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Restored {
    pub(super) id: u64,
}

impl Summary {
    pub(super) fn parse(output: &str) -> Result<Self> {
        serde_json::from_str(output.trim()).with_context(|| {
            let shown: String = output.chars().take(400).collect();
            format!("`weir run --output json` printed no summary but: {shown:?}")
        })
    }

    /// Rows this process read from all sources.
    pub(super) fn rows_read(&self) -> u64 {
        self.rows_in.values().sum()
    }

    /// Rows this process read each second of the job.
    pub(super) fn rows_per_second(&self) -> f64 {
        self.rows_read() as f64 / (self.duration_ms / 1000.0).max(0.001)
    }
}
