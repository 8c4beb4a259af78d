//! Alignment: how far the readers of a group of sources may be ahead of the last of them
//! (semantics 1.9).

use weir_model::EventTime;

/// The watermarks of all readers of a group.
#[derive(Clone, Debug, Default)]
pub struct Drift {
    /// By ticket. `None` = nobody waits for that reader.
    readers: Vec<Option<EventTime>>,
    /// The least of them, as it was last told.
    least: Option<EventTime>,
}

/// A reader in its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket(usize);

impl Drift {
    /// Another reader, at the beginning: the others wait for it.
    pub fn join(&mut self) -> Ticket {
        self.readers.push(Some(EventTime::MIN));
        self.least = self.reckon();
        Ticket(self.readers.len() - 1)
    }

    /// Where a reader is; `None` = it is idle or has ended, and nobody waits for it. Gives back
    /// whether others may read on that could not before.
    pub fn tell(&mut self, reader: Ticket, watermark: Option<EventTime>) -> bool {
        let Some(told) = self.readers.get_mut(reader.0) else {
            return false;
        };
        *told = watermark;
        let before = self.least.take();
        self.least = self.reckon();
        match (before, self.least) {
            (Some(before), Some(now)) => now > before,
            (before, None) => before.is_some(),
            (None, Some(_)) => false,
        }
    }

    /// Up to which watermark a split may have come to be read on.
    #[must_use]
    pub fn limit(&self, max_drift_ms: u64) -> EventTime {
        let drift = i64::try_from(max_drift_ms).unwrap_or(i64::MAX);
        match self.least {
            Some(EventTime(least)) => EventTime(least.saturating_add(drift)),
            None => EventTime::MAX,
        }
    }

    fn reckon(&self) -> Option<EventTime> {
        self.readers.iter().flatten().min().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_further_ahead_of_the_last_than_the_drift() {
        let mut group = Drift::default();
        let (a, b) = (group.join(), group.join());
        assert!(!group.tell(a, Some(EventTime(100))), "b has said nothing");
        assert!(group.limit(20) < EventTime(100));
        assert!(group.tell(b, Some(EventTime(60))));
        assert_eq!(group.limit(20), EventTime(80));
        assert!(group.tell(b, Some(EventTime(85))));
        assert_eq!(group.limit(20), EventTime(105));
        assert!(!group.tell(a, Some(EventTime(110))), "a was not the last");
        assert_eq!(group.limit(20), EventTime(105));
    }

    #[test]
    fn nobody_waits_for_a_reader_that_is_idle_or_has_ended() {
        let mut group = Drift::default();
        let (a, b) = (group.join(), group.join());
        group.tell(a, Some(EventTime(100)));
        assert!(group.tell(b, None));
        assert_eq!(group.limit(5), EventTime(105));
        assert!(group.tell(a, None));
        assert_eq!(group.limit(5), EventTime::MAX);
        assert!(!group.tell(b, Some(EventTime(90))), "it only holds back");
        assert_eq!(group.limit(5), EventTime(95));
    }
}
