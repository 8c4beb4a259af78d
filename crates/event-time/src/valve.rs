//! Merges the watermarks of all channels of a task (semantics 1.9, case C22).
//!
//! The watermark of a task is the least of its active, caught-up channels and never goes back. A
//! channel that turns active again below it counts only once it has caught up.

use weir_model::EventTime;

/// What changed for those downstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The watermark has risen.
    Watermark(EventTime),
    /// All channels have turned idle, or the first is active again.
    Idle(bool),
}

/// The watermarks of the channels of one task.
pub struct Watermarks {
    channels: Vec<Channel>,
    out: EventTime,
    idle: bool,
}

#[derive(Clone, Copy)]
struct Channel {
    /// Nothing comes any more, and nobody waits for it.
    is_gone: bool,
    watermark: EventTime,
    idle: bool,
    /// Whether it has reached the output since it was last idle.
    aligned: bool,
    /// Whether its last watermark came while it was idle: it says nothing more.
    is_over: bool,
}

impl Watermarks {
    /// All channels active and at the beginning.
    pub fn new(channels: usize) -> Self {
        let channel = Channel {
            is_gone: false,
            watermark: EventTime::MIN,
            idle: false,
            aligned: true,
            is_over: false,
        };
        Self {
            channels: vec![channel; channels],
            out: EventTime::MIN,
            idle: false,
        }
    }

    /// A watermark on a channel. One on an idle channel is ignored, but for the last: once all
    /// channels have come to it, all time is over, whoever was idle before.
    pub fn watermark(&mut self, channel: usize, watermark: EventTime) -> Option<Change> {
        let out = self.out;
        let channel = &mut self.channels[channel];
        if channel.idle && watermark == EventTime::MAX {
            channel.is_over = true;
            return self.end().map(Change::Watermark);
        }
        if channel.idle || watermark <= channel.watermark {
            return None;
        }
        channel.watermark = watermark;
        channel.aligned |= watermark >= out;
        self.rise(self.least()?).map(Change::Watermark)
    }

    /// A channel turns idle or active. When the last turns idle, the highest of all watermarks is
    /// given out first.
    pub fn idle(&mut self, channel: usize, idle: bool) -> Vec<Change> {
        let out = self.out;
        let channel = &mut self.channels[channel];
        if channel.idle == idle {
            return Vec::new();
        }
        channel.idle = idle;
        channel.is_over = false;
        channel.aligned = !idle && channel.watermark >= out;
        let all_idle = self.all_idle();
        let mut changes = Vec::new();
        let next = if all_idle {
            self.present().map(|c| c.watermark).max()
        } else if idle {
            self.least()
        } else {
            None
        };
        changes.extend(next.and_then(|w| self.rise(w)).map(Change::Watermark));
        if self.idle != all_idle {
            self.idle = all_idle;
            changes.push(Change::Idle(all_idle));
        }
        changes
    }

    /// A channel has ended before others that take its place: it counts no more.
    pub fn remove(&mut self, channel: usize) -> Vec<Change> {
        self.channels[channel].is_gone = true;
        let all_idle = self.all_idle();
        let rises = match all_idle {
            true => self.end(),
            false => self.least().and_then(|watermark| self.rise(watermark)),
        };
        let mut changes: Vec<_> = rises.map(Change::Watermark).into_iter().collect();
        if self.idle != all_idle {
            self.idle = all_idle;
            changes.push(Change::Idle(all_idle));
        }
        changes
    }

    fn present(&self) -> impl Iterator<Item = &Channel> {
        self.channels.iter().filter(|channel| !channel.is_gone)
    }

    fn all_idle(&self) -> bool {
        self.present().all(|channel| channel.idle)
    }

    fn least(&self) -> Option<EventTime> {
        self.present()
            .filter(|c| c.aligned && !c.idle)
            .map(|c| c.watermark)
            .min()
    }

    /// The end of all time, if there is a channel and all have come to it.
    fn end(&mut self) -> Option<EventTime> {
        let is_over = |channel: &Channel| channel.is_over || channel.watermark == EventTime::MAX;
        match self.present().next().is_some() && self.present().all(is_over) {
            true => self.rise(EventTime::MAX),
            false => None,
        }
    }

    fn rise(&mut self, to: EventTime) -> Option<EventTime> {
        (to > self.out).then(|| {
            self.out = to;
            to
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(w: &mut Watermarks, channel: usize, time: i64) -> Option<i64> {
        w.watermark(channel, EventTime(time))
            .map(|change| match change {
                Change::Watermark(EventTime(time)) => time,
                Change::Idle(_) => unreachable!("a watermark makes nothing idle"),
            })
    }

    #[test]
    fn c22_one_input() {
        let mut w = Watermarks::new(1);
        assert_eq!(at(&mut w, 0, 25), Some(25));
        assert_eq!(at(&mut w, 0, 18), None);
        assert_eq!(at(&mut w, 0, 42), Some(42));
        let mut w = Watermarks::new(1);
        assert_eq!(at(&mut w, 0, 25), Some(25));
        assert_eq!(w.idle(0, true), [Change::Idle(true)]);
        assert_eq!(at(&mut w, 0, 50), None);
        assert_eq!(w.idle(0, false), [Change::Idle(false)]);
        assert_eq!(at(&mut w, 0, 50), Some(50));
    }

    #[test]
    fn the_end_of_all_channels_is_told_whichever_were_idle() {
        let end = EventTime::MAX.0;
        let mut w = Watermarks::new(1);
        at(&mut w, 0, 25);
        w.idle(0, true);
        assert_eq!(at(&mut w, 0, end), Some(end));
        assert_eq!(at(&mut w, 0, end), None, "once");

        let mut w = Watermarks::new(3);
        for (channel, time) in [(0, 10), (1, 20), (2, 30)] {
            at(&mut w, channel, time);
        }
        w.idle(0, true);
        w.idle(1, true);
        assert_eq!(at(&mut w, 0, end), None, "the others go on");
        assert_eq!(w.idle(1, false), [], "it is behind what is out");
        assert_eq!(at(&mut w, 1, 40), None);
        assert_eq!(at(&mut w, 2, 50), Some(40));
        w.idle(1, true);
        w.idle(2, true);
        assert_eq!(at(&mut w, 2, end), None, "one that is idle may speak again");
        assert_eq!(at(&mut w, 1, end), Some(end));

        let mut w = Watermarks::new(2);
        w.idle(0, true);
        w.idle(1, true);
        assert_eq!(at(&mut w, 1, end), None);
        assert_eq!(w.remove(0), [Change::Watermark(EventTime::MAX)]);
    }

    #[test]
    fn c22_three_inputs() {
        let mut w = Watermarks::new(3);
        for (channel, time, out) in [
            (0, 0, None),
            (1, 0, None),
            (2, 0, Some(0)),
            (0, 12, None),
            (2, 8, None),
            (2, 10, None),
            (1, 15, Some(10)),
            (2, 17, Some(12)),
            (0, 20, Some(15)),
        ] {
            assert_eq!(at(&mut w, channel, time), out, "{channel} {time}");
        }
    }

    #[test]
    fn a_channel_that_was_removed_holds_nothing_back() {
        let mut w = Watermarks::new(3);
        at(&mut w, 0, 15);
        at(&mut w, 1, 10);
        assert_eq!(w.remove(2), [Change::Watermark(EventTime(10))]);
        assert_eq!(at(&mut w, 1, 18), Some(15));
        assert_eq!(w.idle(0, true), [Change::Watermark(EventTime(18))]);
        assert_eq!(w.remove(1), [Change::Idle(true)]);
        let mut w = Watermarks::new(2);
        assert_eq!(w.idle(1, true), []);
        assert_eq!(w.remove(1), []);
        assert_eq!(at(&mut w, 0, 3), Some(3));
    }

    #[test]
    fn c22_idle_channels_are_left_out() {
        let mut w = Watermarks::new(3);
        at(&mut w, 0, 15);
        at(&mut w, 1, 10);
        assert_eq!(w.idle(2, true), [Change::Watermark(EventTime(10))]);
        assert_eq!(at(&mut w, 1, 18), Some(15));
        assert_eq!(at(&mut w, 0, 20), Some(18));

        let mut w = Watermarks::new(3);
        for (channel, time) in [(0, 10), (1, 5), (2, 3)] {
            at(&mut w, channel, time);
        }
        assert_eq!(w.idle(0, true), []);
        assert_eq!(w.idle(1, true), []);
        assert_eq!(
            w.idle(2, true),
            [Change::Watermark(EventTime(10)), Change::Idle(true)]
        );
    }
}
