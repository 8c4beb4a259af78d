//! The event time of a source task: watermarks of its splits, and how far it may be ahead of others
//! (semantics 1.9, D15).

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use tokio::sync::Notify;
use weir_event_time::{Drift, DriftLimit, Passed, SourceWatermarks, Ticket, WatermarkStrategy};
use weir_model::{EventTime, ProcessingTime};
use weir_operator::{SourceReader, SourceRows};

use super::{ahead::Marks, lock};

/// The groups of sources that stay near each other, of one job.
#[derive(Clone, Default)]
pub(crate) struct Drifts(Arc<Mutex<HashMap<Arc<str>, Arc<Group>>>>);

/// One of them.
#[derive(Default)]
struct Group {
    drift: Mutex<Drift>,
    members: Mutex<Vec<Arc<Notify>>>,
}

/// What a source task makes of the times of its rows.
pub(crate) struct EventTimes {
    marks: SourceWatermarks,
    member: Option<Member>,
    /// Since time was last reckoned nothing could be read: that is held against no split.
    is_held_up: bool,
}

/// A reader in its group. Dropped, it keeps nobody back any more.
struct Member {
    group: Arc<Group>,
    ticket: Ticket,
    max_drift_ms: u64,
    told: Option<EventTime>,
    task: Option<Arc<Notify>>,
}

impl Drifts {
    fn join(&self, limit: &DriftLimit) -> Member {
        let mut groups = lock(&self.0);
        let group = Arc::clone(groups.entry(Arc::clone(&limit.group)).or_default());
        let ticket = lock(&group.drift).join();
        Member {
            group,
            ticket,
            max_drift_ms: limit.max_drift_ms,
            told: Some(EventTime::MIN),
            task: None,
        }
    }
}

impl Member {
    /// Tells the others where this reader is.
    fn tell(&mut self, watermark: Option<EventTime>) {
        if self.told == watermark {
            return;
        }
        self.told = watermark;
        if lock(&self.group.drift).tell(self.ticket, watermark) {
            for task in lock(&self.group.members).iter() {
                task.notify_one();
            }
        }
    }

    fn limit(&self) -> EventTime {
        lock(&self.group.drift).limit(self.max_drift_ms)
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.tell(None);
        if let Some(task) = &self.task {
            lock(&self.group.members).retain(|other| !Arc::ptr_eq(other, task));
        }
    }
}

impl EventTimes {
    pub(crate) fn new(strategy: WatermarkStrategy, drifts: &Drifts) -> Self {
        let member = strategy.alignment.as_ref();
        Self {
            member: member.map(|limit| drifts.join(limit)),
            marks: SourceWatermarks::new(strategy),
            is_held_up: false,
        }
    }

    /// Whether how far it reads is its own affair.
    pub(crate) fn is_alone(&self) -> bool {
        self.member.is_none()
    }

    /// Where watermarks are due.
    pub(crate) fn marks(&self) -> Marks {
        Marks {
            left: self.marks.room(),
            every: self.marks.every_rows(),
        }
    }

    /// Which task waits where the others are behind.
    pub(crate) fn wakes(&mut self, task: Arc<Notify>) {
        if let Some(member) = &mut self.member {
            lock(&member.group.members).push(Arc::clone(&task));
            member.task = Some(task);
        }
    }

    pub(crate) fn add_split(&mut self, id: &str) {
        self.marks.add_split(id);
    }

    /// The time until the next read is no time in which a row could have come.
    pub(crate) fn hold_up(&mut self) {
        self.is_held_up = true;
    }

    /// How many rows may be read now: none where all there is to read is too far ahead.
    pub(crate) fn room(&mut self, now: ProcessingTime, reader: &mut dyn SourceReader) -> usize {
        let could_read = !std::mem::take(&mut self.is_held_up);
        self.marks.reckon(now, could_read);
        let Some(member) = &self.member else {
            return self.marks.room();
        };
        let limit = member.limit();
        let (mut can_read, mut can_pause) = (false, true);
        self.marks.pause(|id, watermark| {
            let is_ahead = watermark > limit;
            can_read |= !is_ahead;
            let is_paused = reader.set_paused(id, is_ahead);
            can_pause &= is_paused || !is_ahead;
            is_paused && is_ahead
        });
        // Who cannot leave single splits alone waits as a whole; its least one counts.
        if !can_pause {
            can_read = self.marks.watermark() <= limit;
        }
        if can_read { self.marks.room() } else { 0 }
    }

    /// Rows came; gives back whether those downstream are to be told first that there are rows
    /// again. `only` is the one split that is open.
    pub(crate) fn rows(&mut self, rows: &SourceRows, only: Option<&str>) -> bool {
        let mut was_idle = false;
        let mut from = 0;
        for run in &rows.runs {
            let times = rows.timestamps.get(from..run.end).unwrap_or_default();
            was_idle |= self.marks.rows(&run.split, times);
            from = run.end;
        }
        if let (Some(only), true) = (only, rows.runs.is_empty()) {
            was_idle |= self.marks.rows(only, &rows.timestamps);
        }
        rows.dry.iter().for_each(|split| self.marks.dry(split));
        was_idle
    }

    /// What follows the rows of a read.
    pub(crate) fn read(&mut self, is_dry: bool) -> Passed {
        let passed = self.marks.read(is_dry);
        self.tell();
        passed
    }

    /// What follows the last rows of a split.
    pub(crate) fn end_split(&mut self, id: &str) -> Passed {
        let passed = self.marks.end_split(id);
        self.tell();
        passed
    }

    /// Nothing more will come: nobody waits for this reader.
    pub(crate) fn end(&mut self) {
        self.member = None;
    }

    pub(crate) fn idle_in_ms(&self) -> Option<u64> {
        self.marks.idle_in_ms()
    }

    fn tell(&mut self) {
        if let Some(member) = &mut self.member {
            let watermark = (!self.marks.is_idle()).then(|| self.marks.watermark());
            member.tell(watermark);
        }
    }
}
