//! Cases C29, C30 and C32, and alignment against a naive model. C31 is in `tracking`, C33 and C34
//! are in `overtaking`.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;

mod overtaking;
mod told;
mod tracking;

/// A task under test: takes a script in the notation of the cases (`b0` a buffer of 100 bytes on
/// channel 0, `B1@0` a barrier, `C1@0` a cancel marker, `E0` the end), with one millisecond between
/// events, and notes what it did.
struct Task {
    alignment: Alignment,
    meter: AlignmentMeter,
    now: ProcessingTime,
    triggered: Vec<u64>,
    aborted: Vec<(u64, FailureReason)>,
    forwarded: Vec<u64>,
    aligned: Vec<Aligned>,
    /// What the effects said, kept apart from what the alignment says.
    blocked: Vec<usize>,
    channels: usize,
    ended: Vec<usize>,
}

fn barrier(id: u64) -> Barrier {
    Barrier::periodic(CheckpointId(id))
}

impl Task {
    fn new(channels: usize) -> Self {
        Self::with_mode(channels, CheckpointMode::ExactlyOnce)
    }

    fn with_mode(channels: usize, mode: CheckpointMode) -> Self {
        Self {
            alignment: Alignment::new(channels, mode),
            meter: AlignmentMeter::default(),
            now: ProcessingTime(0),
            triggered: vec![],
            aborted: vec![],
            forwarded: vec![],
            aligned: vec![],
            blocked: vec![],
            channels,
            ended: vec![],
        }
    }

    #[track_caller]
    fn run(&mut self, script: &str) {
        for event in script.split_whitespace() {
            self.now = self.now.plus_ms(1);
            let (kind, rest) = event.split_at(1);
            let mut numbers = rest.split('@').map(|n| n.parse::<usize>().unwrap());
            let first = numbers.next().unwrap();
            let effects = match kind {
                "b" => {
                    assert!(
                        !self.alignment.is_blocked(first),
                        "{event} on a blocked channel"
                    );
                    self.meter.processed(100);
                    vec![]
                }
                "B" => self
                    .alignment
                    .barrier(numbers.next().unwrap(), barrier(first as u64)),
                "C" => self.alignment.cancel(CheckpointId(first as u64)),
                "E" => {
                    self.ended.push(first);
                    self.alignment.end(first)
                }
                _ => panic!("{event}?"),
            };
            self.apply(&effects);
        }
    }

    #[track_caller]
    fn apply(&mut self, effects: &[AlignEffect]) {
        for effect in effects {
            self.aligned.extend(self.meter.observe(effect, self.now));
            match *effect {
                AlignEffect::Block(channel) => self.blocked.push(channel),
                AlignEffect::UnblockAll => self.blocked.clear(),
                AlignEffect::Trigger(b) => self.triggered.push(b.checkpoint.0),
                AlignEffect::Abort { id, reason } => self.aborted.push((id.0, reason)),
                AlignEffect::ForwardCancel(id) => self.forwarded.push(id.0),
                AlignEffect::Overtake(_)
                | AlignEffect::Record(_)
                | AlignEffect::Recorded(_)
                | AlignEffect::Discard(_) => panic!("nothing overtakes here: {effect:?}"),
            }
        }
        self.blocked.sort_unstable();
        let said: Vec<_> = (0..self.channels)
            .filter(|&channel| self.alignment.is_blocked(channel))
            .collect();
        let open = |c: &&usize| !self.ended.contains(c);
        assert!(
            self.blocked.iter().filter(open).eq(&said),
            "{:?} != {said:?}",
            self.blocked
        );
    }

    #[track_caller]
    fn check(&self, triggered: &[u64], aborted: &[(u64, FailureReason)], blocked: &[usize]) {
        assert_eq!(self.triggered, triggered);
        assert_eq!(self.aborted, aborted);
        assert_eq!(self.blocked, blocked);
        let ids: Vec<_> = aborted.iter().map(|&(id, _)| id).collect();
        assert_eq!(
            self.forwarded, ids,
            "each abort is forwarded as a cancel marker"
        );
    }
}

const SUBSUMED: FailureReason = FailureReason::CheckpointDeclinedSubsumed;
const CANCELLED: FailureReason = FailureReason::CheckpointDeclinedOnCancellationBarrier;

#[test]
fn c29_aligned_three_channels() {
    let mut task = Task::new(3);
    task.run("b0 b2 b0 B1@1 B1@2 b0");
    task.check(&[], &[], &[1, 2]);
    task.run("B1@0");
    task.check(&[1], &[], &[]);
    task.run("b0 b0 b1 b1 b2 B2@0 B2@1");
    task.check(&[1], &[], &[0, 1]);
    task.run("B2@2");
    task.check(&[1, 2], &[], &[]);
    task.run("b2 b2 B3@2 b0 b0 B3@0");
    task.check(&[1, 2], &[], &[0, 2]);
    task.run("B3@1");
    task.check(&[1, 2, 3], &[], &[]);
    task.run("B4@1 B4@2");
    task.check(&[1, 2, 3], &[], &[1, 2]);
    task.run("B4@0");
    task.check(&[1, 2, 3, 4], &[], &[]);
    let bytes: Vec<_> = task.aligned.iter().map(|a| a.bytes).collect();
    assert_eq!(bytes, [100, 0, 200, 0]);
    let times: Vec<_> = task.aligned.iter().map(|a| a.duration_ms).collect();
    assert_eq!(times, [3, 2, 4, 2]);
}

#[test]
fn c29_one_channel_never_blocks() {
    let mut task = Task::new(1);
    task.run("b0 B1@0 B2@0 B3@0 b0 B4@0");
    task.check(&[1, 2, 3, 4], &[], &[]);
    assert_eq!(task.aligned, [Aligned::default(); 4]);
    assert_eq!(
        Alignment::new(1, CheckpointMode::ExactlyOnce).barrier(0, barrier(1)),
        [AlignEffect::Trigger(barrier(1))]
    );
}

#[test]
fn c29_bytes_processed_between_first_and_last_barrier() {
    let mut task = Task::new(3);
    task.run("b0 b1 B1@1 b0 b2 B1@2 b0 B1@0 b0");
    assert_eq!(
        task.aligned,
        [Aligned {
            duration_ms: 5,
            bytes: 300
        }]
    );
}

#[test]
fn c30_a_newer_barrier_overtakes() {
    let mut task = Task::new(3);
    task.run("b0 B1@1 B1@2 B1@0 B2@1 b2 B2@0 b2");
    task.check(&[1], &[], &[0, 1]);
    task.run("B3@2");
    task.check(&[1], &[(2, SUBSUMED)], &[2]);
    task.run("B3@0");
    task.check(&[1], &[(2, SUBSUMED)], &[0, 2]);
    task.run("B4@1");
    task.check(&[1], &[(2, SUBSUMED), (3, SUBSUMED)], &[1]);
    // An overtaken alignment is no alignment: its bytes are not those of the next one.
    task.run("b0 B4@2 B4@0");
    assert_eq!(
        task.aligned[1],
        Aligned {
            duration_ms: 3,
            bytes: 100
        }
    );
}

#[test]
fn c30_cancel_markers() {
    let mut task = Task::new(3);
    task.run("B1@0 B1@1 B1@2 B2@0 B2@2");
    task.check(&[1], &[], &[0, 2]);
    task.run("C2@1");
    task.check(&[1], &[(2, CANCELLED)], &[]);
    task.run("B3@1 B3@0 B3@2");
    task.check(&[1, 3], &[(2, CANCELLED)], &[]);
    task.run("C4@1 b1 B4@2 b2 B4@0 b0");
    task.check(&[1, 3], &[(2, CANCELLED), (4, CANCELLED)], &[]);
    task.run("B5@0 B5@1 B5@2 C6@1 C6@2 B6@0 b0");
    task.check(
        &[1, 3, 5],
        &[(2, CANCELLED), (4, CANCELLED), (6, CANCELLED)],
        &[],
    );
    task.run("C5@0 C2@1");
    assert_eq!(task.aborted.len(), 3, "older markers do nothing");
}

#[test]
fn c30_a_marker_of_a_newer_checkpoint_ends_the_current_one() {
    let mut task = Task::new(2);
    task.run("B1@0 C2@1");
    task.check(&[], &[(1, SUBSUMED), (2, CANCELLED)], &[]);
    task.run("B2@0 b0 B3@0 B3@1");
    task.check(&[3], &[(1, SUBSUMED), (2, CANCELLED)], &[]);
}

#[test]
fn c32_end_of_channel_counts_as_its_barrier() {
    let mut task = Task::new(3);
    task.run("B1@0 B1@1 E2");
    task.check(&[1], &[], &[]);

    let mut task = Task::new(3);
    task.run("B2@0 B2@1 E1");
    assert!(task.triggered.is_empty());
    task.run("B2@2");
    task.check(&[2], &[], &[]);

    let mut task = Task::new(3);
    task.run("E2 B6@0 B6@1");
    task.check(&[6], &[], &[]);
    task.run("E1 B7@0");
    task.check(&[6, 7], &[], &[]);
    task.run("E0");
    task.check(&[6, 7], &[], &[]);
}

#[test]
fn what_the_coordinator_gave_up_unblocks_and_never_blocks_again() {
    let mut task = Task::new(2);
    task.run("B1@0");
    let effects = task.alignment.abort(CheckpointId(1));
    assert_eq!(
        effects,
        [
            AlignEffect::ForwardCancel(CheckpointId(1)),
            AlignEffect::UnblockAll
        ]
    );
    task.apply(&effects);
    task.run("b0 B1@1 b1");
    // Before its first barrier: the barrier turns into the marker, nothing is declined.
    assert!(task.alignment.abort(CheckpointId(2)).is_empty());
    assert_eq!(
        task.alignment.barrier(1, barrier(2)),
        [AlignEffect::ForwardCancel(CheckpointId(2))]
    );
    assert!(task.alignment.barrier(0, barrier(2)).is_empty());
    assert!(task.alignment.abort(CheckpointId(2)).is_empty());
    task.run("B3@0 B3@1");
    assert_eq!((task.triggered, task.aborted), (vec![3], vec![]));
    let Mode::ExactlyOnce(blocking) = &task.alignment.0 else {
        unreachable!()
    };
    assert!(blocking.aborted.is_empty());
}

#[test]
fn without_channels_nothing_that_was_given_up_is_remembered() {
    let mut task = Task::new(0);
    assert!(task.alignment.abort(CheckpointId(1)).is_empty());
    let Mode::ExactlyOnce(blocking) = &task.alignment.0 else {
        unreachable!()
    };
    assert!(blocking.aborted.is_empty());
}

#[test]
fn giving_up_a_later_checkpoint_leaves_the_current_one() {
    let mut task = Task::new(2);
    task.run("B1@0");
    assert!(task.alignment.abort(CheckpointId(2)).is_empty());
    task.run("B1@1");
    task.check(&[1], &[], &[]);
}

#[derive(Clone, Copy, Debug)]
enum Item {
    Row,
    Barrier(u64),
    Cancel(u64),
}

/// A channel: for each of the checkpoints 1.. whether its barrier (or else its marker) comes, rows
/// before each, and whether the channel ends after it.
fn channel() -> impl Strategy<Value = (Vec<Item>, bool)> {
    let step = (0..3usize, prop::bool::weighted(0.85));
    (prop::collection::vec(step, 4), prop::bool::ANY).prop_map(|(steps, ends)| {
        let mut items = Vec::new();
        for (id, (rows, barrier)) in (1..).zip(steps) {
            items.extend(std::iter::repeat_n(Item::Row, rows));
            items.push(if barrier {
                Item::Barrier(id)
            } else {
                Item::Cancel(id)
            });
        }
        (items, ends)
    })
}

proptest! {
    #[test]
    fn a_trigger_divides_every_channel_at_its_barrier(
        channels in prop::collection::vec(channel(), 1..4),
        picks in prop::collection::vec(any::<prop::sample::Index>(), 200),
    ) {
        let mut alignment = Alignment::new(channels.len(), CheckpointMode::ExactlyOnce);
        let whole: Vec<_> = channels.iter().map(|(items, _)| items.clone()).collect();
        let mut queues: Vec<VecDeque<Item>> =
            whole.iter().map(|items| items.iter().copied().collect()).collect();
        let mut ended = vec![false; channels.len()];
        let mut triggered = Vec::new();
        for pick in picks {
            let ready: Vec<_> = (0..channels.len())
                .filter(|&c| !alignment.is_blocked(c))
                .filter(|&c| !queues[c].is_empty() || (channels[c].1 && !ended[c]))
                .collect();
            if ready.is_empty() {
                break;
            }
            let c = *pick.get(&ready);
            let effects = match queues[c].pop_front() {
                None => {
                    ended[c] = true;
                    alignment.end(c)
                }
                Some(Item::Row) => vec![],
                Some(Item::Barrier(id)) => alignment.barrier(c, barrier(id)),
                Some(Item::Cancel(id)) => alignment.cancel(CheckpointId(id)),
            };
            for effect in effects {
                let AlignEffect::Trigger(b) = effect else { continue };
                let id = b.checkpoint.0;
                prop_assert!(triggered.last().is_none_or(|&last| last < id));
                triggered.push(id);
                for (c, items) in whole.iter().enumerate() {
                    let cut = items.iter().position(|i| matches!(i, Item::Barrier(n) if *n == id));
                    let read = items.len() - queues[c].len();
                    prop_assert!(cut.is_some_and(|cut| cut + 1 == read) || ended[c]);
                }
            }
        }
        // All is read: nothing is left blocked, and what every channel delivered was triggered.
        if queues.iter().all(VecDeque::is_empty) {
            let everywhere = |id: u64| {
                let has = |i: &Item| matches!(i, Item::Barrier(n) if *n == id);
                whole.iter().all(|items| items.iter().any(has))
            };
            for id in (1..=4).filter(|&id| everywhere(id)) {
                prop_assert!(triggered.contains(&id));
            }
            prop_assert!((0..channels.len()).all(|c| !alignment.is_blocked(c)));
        } else {
            prop_assert!(false, "stuck at {queues:?}");
        }
    }
}
