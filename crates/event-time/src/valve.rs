//! Merges the watermarks of all channels of a task (semantics 1.9, case C22).
//!
//! The watermark of a task is the least of its active, caught-up channels and never goes back. A
//! channel that turns active again below it counts only once it has caught up. One that has come to
//! the end of all time is neither active nor idle: nothing comes by it any more, so that it holds
//! nothing back, and says nothing of how far the others are (Flink takes its end for the watermark
//! of all where the others are idle: FLINK-38477).

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
    /// It has come to the end of all time.
    is_over: bool,
    /// The last one before that.
    watermark: EventTime,
    idle: bool,
    /// Whether it has reached the output since it was last idle.
    aligned: bool,
}

impl Watermarks {
    /// All channels active and at the beginning.
    pub fn new(channels: usize) -> Self {
        let channel = Channel {
            is_gone: false,
            is_over: false,
            watermark: EventTime::MIN,
            idle: false,
            aligned: true,
        };
        Self {
            channels: vec![channel; channels],
            out: EventTime::MIN,
            idle: false,
        }
    }

    /// A watermark on a channel. One on an idle channel is ignored, but for the last: once all
    /// channels have come to it, all time is over, whoever was idle before.
    pub fn watermark(&mut self, channel: usize, watermark: EventTime) -> Vec<Change> {
        let out = self.out;
        let channel = &mut self.channels[channel];
        if channel.is_over || channel.is_gone {
            return Vec::new();
        }
        if watermark == EventTime::MAX {
            channel.is_over = true;
            let held_back = !channel.idle && channel.watermark == out;
            return self.fewer(held_back);
        }
        if channel.idle || watermark <= channel.watermark {
            return Vec::new();
        }
        channel.watermark = watermark;
        channel.aligned |= watermark >= out;
        let rises = self.least().and_then(|watermark| self.rise(watermark));
        rises.into_iter().collect()
    }

    /// A channel turns idle or active. When the last turns idle, and it was what held the others
    /// back, the highest of all watermarks is given out first.
    pub fn idle(&mut self, channel: usize, idle: bool) -> Vec<Change> {
        let out = self.out;
        let channel = &mut self.channels[channel];
        if channel.is_over || channel.idle == idle {
            return Vec::new();
        }
        channel.idle = idle;
        channel.aligned = !idle && channel.watermark >= out;
        let held_back = channel.watermark == out;
        if idle {
            return self.fewer(held_back);
        }
        self.turn(self.all_idle()).into_iter().collect()
    }

    /// A channel has ended before others that take its place: it counts no more.
    pub fn remove(&mut self, channel: usize) -> Vec<Change> {
        self.channels[channel].is_gone = true;
        self.fewer(false)
    }

    /// Fewer channels are active. `held_back`: the one that is not any more was as far as all.
    fn fewer(&mut self, held_back: bool) -> Vec<Change> {
        if self.present().next().is_some() && self.running().next().is_none() {
            // The end of all time, also where all were idle.
            return self.rise(EventTime::MAX).into_iter().collect();
        }
        let all_idle = self.all_idle();
        let next = match all_idle {
            true if held_back => self.present().map(|channel| channel.watermark).max(),
            true => None,
            false => self.least(),
        };
        let rises = next.and_then(|watermark| self.rise(watermark));
        rises.into_iter().chain(self.turn(all_idle)).collect()
    }

    fn present(&self) -> impl Iterator<Item = &Channel> {
        self.channels.iter().filter(|channel| !channel.is_gone)
    }

    /// Those by which something may come.
    fn running(&self) -> impl Iterator<Item = &Channel> {
        self.present().filter(|channel| !channel.is_over)
    }

    fn all_idle(&self) -> bool {
        self.running().all(|channel| channel.idle)
    }

    fn least(&self) -> Option<EventTime> {
        self.running()
            .filter(|c| c.aligned && !c.idle)
            .map(|c| c.watermark)
            .min()
    }

    fn rise(&mut self, to: EventTime) -> Option<Change> {
        (to > self.out).then(|| {
            self.out = to;
            Change::Watermark(to)
        })
    }

    fn turn(&mut self, idle: bool) -> Option<Change> {
        (self.idle != idle).then(|| {
            self.idle = idle;
            Change::Idle(idle)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(w: &mut Watermarks, channel: usize, time: i64) -> Option<i64> {
        let changes = w.watermark(channel, EventTime(time));
        let time = |change: &Change| match change {
            Change::Watermark(EventTime(time)) => *time,
            Change::Idle(_) => unreachable!("none but the last makes anything idle"),
        };
        assert!(changes.len() < 2, "{changes:?}");
        changes.first().map(time)
    }

    fn rises(time: i64) -> Change {
        Change::Watermark(EventTime(time))
    }

    #[test]
    fn a_channel_that_is_over_says_nothing_of_those_that_are_idle() {
        let end = EventTime::MAX;
        let mut w = Watermarks::new(2);
        assert_eq!(w.watermark(0, end), []);
        assert_eq!(at(&mut w, 1, 50), Some(50));
        assert_eq!(w.idle(1, true), [Change::Idle(true)]);
        assert_eq!(w.idle(1, false), [Change::Idle(false)]);
        assert_eq!(at(&mut w, 1, 60), Some(60));
        assert_eq!(w.watermark(1, end), [Change::Watermark(end)]);

        // The other way round; it had held the one back that is idle.
        let mut w = Watermarks::new(2);
        at(&mut w, 1, 50);
        assert_eq!(w.idle(1, true), []);
        assert_eq!(w.watermark(0, end), [rises(50), Change::Idle(true)]);
        assert_eq!(w.watermark(0, end), []);
        assert_eq!(w.idle(0, true), []);
        assert_eq!(w.watermark(1, end), [Change::Watermark(end)]);

        // What it had said before counts where all are idle.
        let mut w = Watermarks::new(2);
        at(&mut w, 0, 100);
        assert_eq!(at(&mut w, 1, 50), Some(50));
        assert_eq!(w.watermark(0, end), []);
        assert_eq!(w.idle(1, true), [rises(100), Change::Idle(true)]);

        // And with it gone.
        let mut w = Watermarks::new(3);
        w.watermark(0, end);
        at(&mut w, 1, 7);
        assert_eq!(w.remove(2), [rises(7)]);
        assert_eq!(w.remove(1), [Change::Watermark(end)]);
    }

    #[test]
    fn who_turns_idle_last_and_held_nothing_back_makes_nothing_rise() {
        let mut w = Watermarks::new(3);
        for (channel, time) in [(0, 80), (1, 60), (2, 30)] {
            at(&mut w, channel, time);
        }
        assert_eq!(w.idle(2, true), [rises(60)]);
        assert_eq!(w.idle(0, true), []);
        assert_eq!(w.idle(2, false), [], "it has yet to catch up");
        assert_eq!(w.idle(1, true), []);
        assert_eq!(w.idle(2, true), [Change::Idle(true)]);
        assert_eq!(w.idle(1, false), [Change::Idle(false)]);
        assert_eq!(at(&mut w, 1, 70), Some(70));
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
        assert_eq!(
            at(&mut w, 2, end),
            None,
            "one that is idle may come to more"
        );
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
