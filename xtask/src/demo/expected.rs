//! The figures that must come out, as `guest-examples/data/flights_expected.py` wrote them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

/// The sinks of the job, in the order they are shown.
pub(super) const SINKS: [&str; 3] = ["carriers", "switches", "worst"];

/// The whole file.
#[derive(Deserialize)]
pub(super) struct Expected {
    /// Rows of input.
    pub(super) rows: u64,
    pub(super) carriers: Carriers,
    pub(super) switches: Lines,
    pub(super) worst: Lines,
}

#[derive(Deserialize)]
pub(super) struct Carriers {
    pub(super) updates: u64,
    pub(super) sha256: String,
    /// The last update of each carrier.
    #[serde(rename = "final")]
    pub(super) last: BTreeMap<String, Carrier>,
}

#[derive(Deserialize)]
pub(super) struct Lines {
    pub(super) rows: u64,
    pub(super) sha256: String,
}

/// What is known of a carrier after some of its flights; also a line of output, less its name.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub(super) struct Carrier {
    pub(super) flights: u64,
    pub(super) cancelled: u64,
    pub(super) arrived: u64,
    /// Minutes.
    pub(super) arr_delay_sum: i64,
    /// Minutes; `None` while none has arrived.
    pub(super) arr_delay_worst: Option<i64>,
}

impl Expected {
    pub(super) fn load(path: &Path) -> Result<Self> {
        let text = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
        serde_json::from_slice(&text).with_context(|| format!("reading {}", path.display()))
    }

    /// Rows and SHA-256 of a sink's lines.
    pub(super) fn of(&self, sink: &str) -> (u64, &str) {
        match sink {
            "carriers" => (self.carriers.updates, &self.carriers.sha256),
            "switches" => (self.switches.rows, &self.switches.sha256),
            _ => (self.worst.rows, &self.worst.sha256),
        }
    }
}
