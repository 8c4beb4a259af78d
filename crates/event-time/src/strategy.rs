//! How a source makes watermarks.

use std::{num::NonZeroU32, sync::Arc};

use weir_model::EventTime;

/// How the watermarks of a source follow from the times of its rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatermarkStrategy {
    /// How much earlier than the latest one before it a row may be without being late, in
    /// milliseconds. 0 = the rows of a split come in order.
    pub max_out_of_orderness_ms: u64,
    /// After how many milliseconds without a row a split is idle, and nobody waits for it any
    /// more. `None` = never.
    pub idle_after_ms: Option<u64>,
    /// How far its readers may be ahead of others. `None` = as far as they get.
    pub alignment: Option<DriftLimit>,
    /// Behind how many of its rows a split says its watermark.
    pub every_rows: NonZeroU32,
}

/// A group of sources that stay near each other in event time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DriftLimit {
    /// The name of the group.
    pub group: Arc<str>,
    /// How far the watermark of a split may be ahead of the least of the group, in milliseconds.
    pub max_drift_ms: u64,
}

impl WatermarkStrategy {
    /// Behind how many rows a watermark is said where nobody says otherwise: four times as many as
    /// a batch has at most. A watermark ends the batches of all subtasks that rows are dealt out
    /// to, and each row costs more in calls for fewer rows.
    pub const EVERY_ROWS: NonZeroU32 = NonZeroU32::new(16_384).unwrap();

    /// The watermark behind rows the latest of which has this time: none earlier than it follows,
    /// late ones apart. `highest - bound - 1`, as one that is as early as the bound allows is not
    /// late.
    #[must_use]
    pub fn watermark(&self, highest: i64) -> EventTime {
        let bound = i64::try_from(self.max_out_of_orderness_ms).unwrap_or(i64::MAX);
        EventTime(highest.saturating_sub(bound).saturating_sub(1))
    }
}
