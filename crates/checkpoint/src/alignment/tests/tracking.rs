//! Case C31, C32 without blocking, and the tracker against what it promises.

use super::*;
use crate::alignment::tracker::{OPEN_MAX, Tracker};

fn tracking(channels: usize) -> Task {
    Task::with_mode(channels, CheckpointMode::AtLeastOnce)
}

fn tracker(alignment: &Alignment) -> &Tracker {
    let Mode::AtLeastOnce(tracker) = &alignment.0 else {
        unreachable!()
    };
    tracker
}

impl Task {
    /// Nothing is ever blocked; `aborted` were all given up by a marker.
    #[track_caller]
    fn check_tracked(&self, triggered: &[u64], aborted: &[u64], open: &[u64]) {
        let aborted: Vec<_> = aborted.iter().map(|&id| (id, CANCELLED)).collect();
        self.check(triggered, &aborted, &[]);
        let open_now = tracker(&self.alignment).open.keys().map(|id| id.0);
        assert!(open_now.eq(open.iter().copied()));
    }
}

#[test]
fn c31_one_channel() {
    let mut task = tracking(1);
    task.run("b0 b0 b0 B1@0 b0 b0 B2@0 B3@0 b0 B4@0 B5@0 B6@0 b0");
    task.check_tracked(&[1, 2, 3, 4, 5, 6], &[], &[]);

    let mut task = tracking(1);
    task.run("b0 B1@0 b0 b0 B3@0 b0 B4@0 B6@0 b0 B7@0 b0 B10@0 b0");
    task.check_tracked(&[1, 3, 4, 6, 7, 10], &[], &[]);

    let mut task = tracking(1);
    task.run("b0 B1@0 b0 B2@0 C4@0 B5@0 b0 C6@0 b0");
    task.check_tracked(&[1, 2, 5], &[4, 6], &[]);
}

#[test]
fn c31_three_channels() {
    let mut task = tracking(3);
    task.run("b0 b2 b0 B1@1 B1@2 b2 b1 B1@0 b0 b0 b1 b1 b2 B2@0 B2@1 B2@2");
    task.run("b2 b2 B3@2 b2 b2 B3@0 B3@1 B4@1 B4@2 B4@0 b0");
    task.check_tracked(&[1, 2, 3, 4], &[], &[]);
}

#[test]
fn c31_a_complete_checkpoint_leaves_an_older_one_behind() {
    let mut task = tracking(3);
    task.run("b0 b2 b0 B1@1 B1@2 b2 b1 B1@0 b0 b0 b1 b1 b2 B2@0 B2@1 B2@2");
    task.run("b2 b2 B3@2 b2 b2 B4@0 b0 b1 b2 B4@1 b1");
    task.check_tracked(&[1, 2], &[], &[3, 4]);
    task.run("B4@2 b0");
    task.check_tracked(&[1, 2, 4], &[], &[]);
    // Whoever is late with it begins nothing.
    task.run("B3@0 B3@1 b0");
    task.check_tracked(&[1, 2, 4], &[], &[]);
}

#[test]
fn c31_late_barriers() {
    let mut task = tracking(3);
    task.run("b1 b1 b0 b2 B2@1 B2@0 B2@2 b1 b0 B3@1 B3@2 b1 b0 B4@2 B4@1 b1 b2");
    task.check_tracked(&[2], &[], &[3, 4]);
    task.run("B3@0");
    task.check_tracked(&[2, 3], &[], &[4]);
    task.run("b0 B4@0");
    task.check_tracked(&[2, 3, 4], &[], &[]);
    task.run("b1 b2 B5@1 b0 B5@0 b1 B5@2 b1 B6@1 b0 B6@0");
    task.check_tracked(&[2, 3, 4, 5], &[], &[6]);
    task.run("b1 B7@1 b0 B7@2 b2 B8@2 b0 B8@1 b1 B9@1 B7@0 b0 B9@2 b2 B10@2");
    task.check_tracked(&[2, 3, 4, 5, 7], &[], &[8, 9, 10]);
    task.run("B8@0 b1 b2 B9@0 b1 b0 b2 B10@0 B10@1");
    task.check_tracked(&[2, 3, 4, 5, 7, 8, 9, 10], &[], &[]);
}

#[test]
fn c31_cancel_markers() {
    let mut task = tracking(3);
    task.run("b0 b2 b0 B1@1 B1@2 b2 b1 B1@0 b0 b2 B2@0 B2@2 b0 b2 C2@1");
    task.check_tracked(&[1], &[2], &[]);
    task.run("b2 b1 B3@1 B3@2 B3@0 b0 b1 C4@1 B4@2 b0 B4@0");
    task.check_tracked(&[1, 3], &[2, 4], &[]);
    task.run("b0 b1 b2 B5@2 B5@1 B5@0 b0 b1 C6@1 C6@2 B6@0 b0");
    task.check_tracked(&[1, 3, 5], &[2, 4, 6], &[]);
}

#[test]
fn c31_interleaved_markers_give_each_checkpoint_up_once() {
    let mut task = tracking(3);
    task.run("B1@0 C2@0");
    task.check_tracked(&[], &[1, 2], &[]);
    task.run("C1@1 C2@1 C1@2 C2@2 b0");
    task.check_tracked(&[], &[1, 2], &[]);
}

#[test]
fn c31_a_marker_of_an_older_checkpoint_leaves_the_newer_one() {
    let mut task = tracking(2);
    task.run("B1@1 B2@1 C1@0 B2@0");
    task.check_tracked(&[2], &[1], &[]);

    let mut task = tracking(2);
    task.run("B1@1 B2@1 B1@0 B2@0");
    task.check_tracked(&[1, 2], &[], &[]);
}

#[test]
fn c32_end_of_channel_without_blocking() {
    let mut task = tracking(3);
    task.run("B1@0 B2@0 B2@1 B3@0 B4@0 B4@1 B5@1 E2");
    // The newest that waited for nothing else; those before it are left behind.
    task.check_tracked(&[4], &[], &[5]);

    let mut task = tracking(3);
    task.run("B2@0 B2@1 E1");
    task.check_tracked(&[], &[], &[2]);
    task.run("B2@2");
    task.check_tracked(&[2], &[], &[]);

    let mut task = tracking(3);
    task.run("E2 B5@0 B6@0 B6@1");
    task.check_tracked(&[6], &[], &[]);
    task.run("E1 B7@0");
    task.check_tracked(&[6, 7], &[], &[]);
    task.run("E0");
    task.check_tracked(&[6, 7], &[], &[]);

    // The last channel ends the one that is under way and begins no other.
    let mut task = tracking(2);
    task.run("B1@0 E0 B1@1");
    task.check_tracked(&[1], &[], &[]);
}

#[test]
fn c32_markers_after_the_end_of_a_channel() {
    let mut task = tracking(3);
    task.run("C4@0 B4@1 B5@1 E2");
    task.check_tracked(&[], &[4], &[5]);

    let mut task = tracking(3);
    task.run("E2 B5@0 B6@0 C6@1 E1 C7@0");
    task.check_tracked(&[], &[5, 6, 7], &[]);

    let mut task = tracking(2);
    task.run("B1@0 E0 C1@1");
    task.check_tracked(&[], &[1], &[]);
}

#[test]
fn what_the_coordinator_gave_up_leaves_the_others_under_way() {
    let mut task = tracking(2);
    task.run("B1@0 B2@0 B3@0");
    let effects = task.alignment.abort(CheckpointId(2));
    assert_eq!(effects, [AlignEffect::ForwardCancel(CheckpointId(2))]);
    assert_eq!(task.alignment.abort(CheckpointId(2)), []);
    // Its barrier, and the marker that another task made of it.
    task.run("B1@1 B2@1 C2@1 B3@1");
    task.check_tracked(&[1, 3], &[], &[]);

    // Before its first barrier: that turns into the marker, and nothing is declined.
    assert_eq!(task.alignment.abort(CheckpointId(5)), []);
    assert_eq!(task.alignment.abort(CheckpointId(6)), []);
    task.run("B4@0");
    let effects = task.alignment.barrier(0, barrier(5));
    assert_eq!(effects, [AlignEffect::ForwardCancel(CheckpointId(5))]);
    let effects = task.alignment.cancel(CheckpointId(6));
    assert_eq!(effects, [AlignEffect::ForwardCancel(CheckpointId(6))]);
    task.run("B4@1 B5@1 C6@1 B7@1 B7@0");
    task.check_tracked(&[1, 3, 4, 7], &[], &[]);
    assert!(tracker(&task.alignment).aborted.is_empty());
}

#[test]
fn the_echo_of_what_was_given_up_leaves_an_older_one_that_has_yet_to_begin() {
    let (mut up, mut down) = (tracking(2), tracking(2));
    up.run("B4@0 B5@0");
    let echo = up.alignment.abort(CheckpointId(5));
    assert_eq!(echo, [AlignEffect::ForwardCancel(CheckpointId(5))]);
    assert_eq!(down.alignment.abort(CheckpointId(5)), []);
    up.run("B4@1");
    up.check_tracked(&[4], &[], &[]);
    // In the order in which they were sent; the other channel does the same.
    assert_eq!(down.alignment.cancel(CheckpointId(5)), echo);
    down.run("B4@0 C5@1 B4@1");
    down.check_tracked(&[4], &[], &[]);
    // The echo went on once, and what it was about never begins.
    assert_eq!(down.alignment.barrier(0, barrier(5)), []);
    down.run("C5@1 B5@1 B6@0 B6@1");
    down.check_tracked(&[4, 6], &[], &[]);
    assert!(tracker(&down.alignment).aborted.is_empty());
}

#[test]
fn a_marker_leaves_an_older_one_that_has_yet_to_begin() {
    // Somebody before this task was told by the coordinator before it, and the marker of 3 has
    // overtaken the barriers of 1 and 2; that of 1 has come by one channel.
    let mut task = tracking(2);
    task.run("B1@0 C3@0");
    let reason = FailureReason::CheckpointDeclinedOnCancellationBarrier;
    assert_eq!(task.aborted, [(1, reason), (3, reason)]);
    task.run("C3@1 B2@0 B2@1 B3@1 B4@0 B4@1");
    assert_eq!(task.triggered, [2, 4]);
    assert_eq!(task.aborted.len(), 2);
    assert_eq!(task.forwarded, [1, 3]);
}

#[test]
fn what_was_given_up_is_not_remembered_for_ever() {
    let mut source = tracking(0);
    let mut task = tracking(1);
    let max = OPEN_MAX as u64;
    for id in 1..=2 * max {
        assert_eq!(source.alignment.abort(CheckpointId(id)), []);
        assert_eq!(task.alignment.abort(CheckpointId(id)), []);
        let forward = [AlignEffect::ForwardCancel(CheckpointId(id))];
        assert_eq!(task.alignment.cancel(CheckpointId(id)), forward);
    }
    assert!(tracker(&source.alignment).aborted.is_empty());
    assert_eq!(tracker(&task.alignment).aborted.len(), OPEN_MAX);
    task.run(&format!("B{max}@0 B{}@0 B{}@0", 2 * max, 2 * max + 1));
    task.check_tracked(&[2 * max + 1], &[], &[]);
}

#[test]
fn the_oldest_is_left_behind_where_too_many_are_under_way() {
    let mut task = tracking(2);
    let max = OPEN_MAX as u64;
    for id in 1..=max + 1 {
        task.run(&format!("B{id}@0"));
    }
    assert_eq!(tracker(&task.alignment).open.len(), OPEN_MAX);
    task.run("B1@1");
    assert!(task.triggered.is_empty());
    for id in 2..=max + 1 {
        task.run(&format!("B{id}@1"));
    }
    let triggered: Vec<_> = (2..=max + 1).collect();
    task.check_tracked(&triggered, &[], &[]);
}

/// What can come to a tracker, in any order.
#[derive(Clone, Copy, Debug)]
enum Event {
    Barrier(usize, u64),
    Cancel(u64),
    End(usize),
    Abort(u64),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        8 => (0..3usize, 1..12u64).prop_map(|(channel, id)| Event::Barrier(channel, id)),
        1 => (1..12u64).prop_map(Event::Cancel),
        1 => (0..3usize).prop_map(Event::End),
        1 => (1..12u64).prop_map(Event::Abort),
    ]
}

proptest! {
    #[test]
    fn nothing_blocks_and_each_checkpoint_ends_once(
        events in prop::collection::vec(event(), 0..80),
    ) {
        let mut alignment = Alignment::new(3, CheckpointMode::AtLeastOnce);
        let mut over = Vec::new();
        let mut told = Vec::new();
        let mut forwarded = Vec::new();
        for event in events {
            let effects = match event {
                Event::Barrier(channel, id) => alignment.barrier(channel, barrier(id)),
                Event::Cancel(id) => alignment.cancel(CheckpointId(id)),
                Event::End(channel) => alignment.end(channel),
                Event::Abort(id) => {
                    told.push(id);
                    alignment.abort(CheckpointId(id))
                }
            };
            for effect in effects {
                match effect {
                    AlignEffect::Block(_)
                    | AlignEffect::UnblockAll
                    | AlignEffect::Overtake(_)
                    | AlignEffect::Record(_)
                    | AlignEffect::Recorded(_)
                    | AlignEffect::Discard(_) => {
                        prop_assert!(false, "{effect:?}");
                    }
                    AlignEffect::Trigger(b) => {
                        prop_assert!(over.iter().all(|&id| id != b.checkpoint.0), "{over:?}");
                        prop_assert!(!told.contains(&b.checkpoint.0));
                        over.push(b.checkpoint.0);
                    }
                    AlignEffect::Abort { id, .. } => {
                        prop_assert!(!over.contains(&id.0));
                        prop_assert!(!told.contains(&id.0), "declined what is given up");
                        over.push(id.0);
                    }
                    AlignEffect::ForwardCancel(id) => {
                        prop_assert!(!forwarded.contains(&id.0));
                        forwarded.push(id.0);
                    }
                }
            }
            prop_assert!((0..3).all(|channel| !alignment.is_blocked(channel)));
            prop_assert!(tracker(&alignment).open.len() <= OPEN_MAX);
        }
    }

    /// Barriers in order on each channel, channels in any order, some of which end: every
    /// checkpoint is triggered with the last barrier of it, and none twice.
    #[test]
    fn the_last_channel_to_deliver_triggers(
        lengths in prop::collection::vec(1..9u64, 1..4),
        picks in prop::collection::vec(any::<prop::sample::Index>(), 40),
    ) {
        let mut alignment = Alignment::new(lengths.len(), CheckpointMode::AtLeastOnce);
        // Where each channel is: the barriers that it has delivered, `u64::MAX` when it has ended.
        let mut at = vec![0; lengths.len()];
        let mut triggered = 0;
        for pick in picks {
            let ready: Vec<_> = (0..at.len()).filter(|&c| at[c] != u64::MAX).collect();
            if ready.is_empty() {
                break;
            }
            let channel = *pick.get(&ready);
            let effects = if at[channel] < lengths[channel] {
                at[channel] += 1;
                alignment.barrier(channel, barrier(at[channel]))
            } else {
                at[channel] = u64::MAX;
                alignment.end(channel)
            };
            // What all have delivered; when all have ended, what anybody had.
            let most = lengths.iter().copied().max().unwrap();
            let delivered = at.iter().copied().min().unwrap().min(most);
            if delivered > triggered {
                triggered = delivered;
                prop_assert_eq!(effects, [AlignEffect::Trigger(barrier(delivered))]);
            } else {
                prop_assert_eq!(effects, []);
            }
        }
    }
}
