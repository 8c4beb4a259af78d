//! What a running job counts, readable at any time from anywhere.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
};

use weir_model::{EventTime, Name, SubtaskIndex};
use weir_operator::RowInfo;

/// A counter that only rises. Written once per batch by one task, read by anybody.
#[derive(Debug, Default)]
pub struct Meter(AtomicU64);

impl Meter {
    /// Adds to it.
    pub(crate) fn add(&self, by: usize) {
        self.0.fetch_add(by as u64, Ordering::Relaxed);
    }

    /// Sets it, where somebody else does the counting.
    pub(crate) fn set(&self, to: u64) {
        self.0.store(to, Ordering::Relaxed);
    }

    /// What it stands at.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The watermark of a task. Written by the task, read by anybody.
#[derive(Debug)]
pub struct WatermarkGauge(AtomicI64);

impl WatermarkGauge {
    pub(crate) fn set(&self, to: EventTime) {
        self.0.store(to.0, Ordering::Relaxed);
    }

    /// What it stands at: `MIN` where nothing is known yet.
    #[must_use]
    pub fn get(&self) -> EventTime {
        EventTime(self.0.load(Ordering::Relaxed))
    }
}

impl Default for WatermarkGauge {
    fn default() -> Self {
        Self(AtomicI64::new(EventTime::MIN.0))
    }
}

/// What one subtask of a source, an operator or a sink counts.
#[derive(Debug)]
pub struct NodeMeters {
    /// The node.
    pub name: Name,
    /// The subtask.
    pub subtask: SubtaskIndex,
    /// Rows taken in.
    pub rows_in: Meter,
    /// Rows given out, on all outputs together.
    pub rows_out: Meter,
    /// Rows left out because they were malformed, refused or without a key.
    pub skipped: Meter,
    /// Rows sent to a sink for dead letters, because they were refused or without a key.
    pub dead_lettered: Meter,
    /// Rows that were begun and have not left, where calls wait.
    pub waiting: Meter,
    /// Its watermark: of all that it reads, and for a source of what it has given out.
    pub watermark: WatermarkGauge,
    /// Whether it is the sum of what earlier attempts counted.
    is_past: bool,
}

impl NodeMeters {
    /// How many rows that are skipped are logged, of each subtask and attempt.
    const SKIPS_LOGGED: u64 = 10;

    /// A row was left out: counted, and the first ones told of.
    pub(crate) fn skip(&self, why: &str, row: impl FnOnce() -> RowInfo) {
        self.skipped.add(1);
        let count = self.skipped.get();
        if count <= Self::SKIPS_LOGGED {
            let more = match count {
                Self::SKIPS_LOGGED => " (further ones are only counted)",
                _ => "",
            };
            let operator = &self.name;
            tracing::warn!(%operator, "left out a row: {why}{more}\n{}", row());
        }
    }

    /// What earlier attempts counted, by node and subtask: one each, however many attempts there
    /// were.
    pub(crate) fn folded(all: &[Arc<Self>]) -> Vec<Arc<Self>> {
        let mut sums = BTreeMap::<(&Name, SubtaskIndex), Arc<Self>>::new();
        for one in all {
            let sum = sums
                .entry((&one.name, one.subtask))
                .or_insert_with(|| Self::of(one.name.clone(), one.subtask, true));
            for (sum, one) in [
                (&sum.rows_in, &one.rows_in),
                (&sum.rows_out, &one.rows_out),
                (&sum.skipped, &one.skipped),
                (&sum.dead_lettered, &one.dead_lettered),
            ] {
                sum.set(sum.get() + one.get());
            }
        }
        sums.into_values().collect()
    }

    /// The watermark, unless it is that of an attempt that is over.
    #[must_use]
    pub fn present_watermark(&self) -> Option<EventTime> {
        (!self.is_past).then(|| self.watermark.get())
    }

    pub(crate) fn new(name: Name, subtask: SubtaskIndex) -> Arc<Self> {
        Self::of(name, subtask, false)
    }

    fn of(name: Name, subtask: SubtaskIndex, is_past: bool) -> Arc<Self> {
        Arc::new(Self {
            name,
            subtask,
            rows_in: Meter::default(),
            rows_out: Meter::default(),
            skipped: Meter::default(),
            dead_lettered: Meter::default(),
            waiting: Meter::default(),
            watermark: WatermarkGauge::default(),
            is_past,
        })
    }
}
