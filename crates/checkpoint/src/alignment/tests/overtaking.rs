//! Cases C33 and C34, and the in-flight rows of a checkpoint against their definition (D5).

use std::collections::BTreeMap;

use proptest::prelude::*;
use weir_model::Passage;

use super::*;

/// A task whose channels are queues. `r0` puts a row into channel 0, `B1@0` a barrier and `C1@0` a
/// cancel marker, which are announced at once; `p0` takes the next element of channel 0, `b0` is
/// `r0 p0`, `E0` ends a channel, `T20` lets time pass.
struct Overtaken {
    alignment: Alignment,
    passage: Passage,
    timeout_ms: Option<u64>,
    now: ProcessingTime,
    queues: Vec<VecDeque<Queued>>,
    rows: Vec<u64>,
    /// What was processed, per channel.
    processed: Vec<Vec<u64>>,
    /// The checkpoint that is recorded, and what of each channel.
    recording: Option<(u64, BTreeMap<usize, Recorded>)>,
    recorded: Vec<(u64, Vec<(usize, u64)>)>,
    /// Checkpoints with whether they overtook, and how much was processed before.
    snapshots: Vec<(u64, bool, Vec<usize>)>,
    aborted: Vec<u64>,
    /// By the coordinator.
    given_up: Vec<u64>,
    discarded: Vec<u64>,
    forwarded: Vec<u64>,
}

#[derive(Clone, Copy, Debug)]
enum Queued {
    Row(u64),
    Barrier(Barrier),
    Cancel(u64),
}

#[derive(Default)]
struct Recorded {
    rows: Vec<u64>,
    is_whole: bool,
}

impl Overtaken {
    fn new(stay_aligned: &[bool], timeout_ms: Option<u64>) -> Self {
        let channels = stay_aligned.len();
        Self {
            alignment: Alignment::overtaking(stay_aligned),
            passage: Passage::Unaligned,
            timeout_ms,
            now: ProcessingTime(0),
            queues: vec![VecDeque::new(); channels],
            rows: vec![0; channels],
            processed: vec![vec![]; channels],
            recording: None,
            recorded: vec![],
            snapshots: vec![],
            aborted: vec![],
            given_up: vec![],
            discarded: vec![],
            forwarded: vec![],
        }
    }

    fn barrier(&self, id: u64) -> Barrier {
        // The clock of a checkpoint starts when it is created, here at time 0.
        let passage = self.timeout_ms.map_or(self.passage, |timeout| {
            Passage::AlignedUntil(ProcessingTime(0).plus_ms(timeout))
        });
        Barrier {
            passage,
            ..super::barrier(id)
        }
    }

    #[track_caller]
    fn run(&mut self, script: &str) {
        for event in script.split_whitespace() {
            let (kind, rest) = event.split_at(1);
            let mut numbers = rest.split('@').map(|n| n.parse::<usize>().unwrap());
            let first = numbers.next().unwrap();
            match kind {
                "r" => self.put_row(first),
                "b" => {
                    self.put_row(first);
                    self.take(first);
                }
                "p" => self.take(first),
                "B" => {
                    let barrier = self.barrier(first as u64);
                    self.put(numbers.next().unwrap(), barrier);
                }
                "C" => self.put_cancel(numbers.next().unwrap(), first as u64),
                "E" => {
                    let effects = self.alignment.end(first);
                    self.apply(&effects);
                }
                "T" => self.now = self.now.plus_ms(first as u64),
                _ => panic!("{event}?"),
            }
        }
    }

    fn put_row(&mut self, channel: usize) {
        self.queues[channel].push_back(Queued::Row(self.rows[channel]));
        self.rows[channel] += 1;
    }

    fn put(&mut self, channel: usize, barrier: Barrier) {
        self.queues[channel].push_back(Queued::Barrier(barrier));
        let effects = self.alignment.announced(channel, barrier, self.now);
        self.apply(&effects);
    }

    fn put_cancel(&mut self, channel: usize, id: u64) {
        self.queues[channel].push_back(Queued::Cancel(id));
        let effects = self.alignment.cancel(CheckpointId(id));
        self.apply(&effects);
    }

    fn tick(&mut self) {
        let due = self.alignment.next_deadline();
        let effects = self.alignment.tick(self.now);
        assert!(effects.is_empty() || due.is_some_and(|due| due <= self.now));
        self.apply(&effects);
    }

    #[track_caller]
    fn take(&mut self, channel: usize) {
        assert!(!self.alignment.is_blocked(channel), "{channel} is blocked");
        let queued = self.queues[channel].pop_front();
        let recorded = self.recording.as_mut();
        let recorded = recorded.and_then(|(id, all)| Some((*id, all.get_mut(&channel)?)));
        match queued.expect("nothing is there") {
            Queued::Row(row) => {
                self.processed[channel].push(row);
                if let Some((_, recorded)) = recorded.filter(|(_, r)| !r.is_whole) {
                    recorded.rows.push(row);
                }
            }
            Queued::Barrier(barrier) => {
                if let Some((id, recorded)) = recorded {
                    recorded.is_whole |= id == barrier.checkpoint.0;
                }
                let effects = self.alignment.barrier(channel, barrier);
                self.apply(&effects);
            }
            Queued::Cancel(id) => {
                let effects = self.alignment.cancel(CheckpointId(id));
                self.apply(&effects);
            }
        }
    }

    #[track_caller]
    fn apply(&mut self, effects: &[AlignEffect]) {
        for effect in effects {
            match *effect {
                AlignEffect::Block(channel) => assert!(self.alignment.is_blocked(channel)),
                AlignEffect::UnblockAll => {}
                AlignEffect::Trigger(b) | AlignEffect::Overtake(b) => {
                    assert!(self.recording.is_none(), "one at a time");
                    let overtakes = matches!(effect, AlignEffect::Overtake(_));
                    let done = self.processed.iter().map(Vec::len).collect();
                    self.snapshots.push((b.checkpoint.0, overtakes, done));
                    if overtakes {
                        assert_eq!(b.passage, Passage::Unaligned, "downstream overtakes too");
                        self.recording = Some((b.checkpoint.0, BTreeMap::new()));
                    }
                }
                AlignEffect::Record(channel) => {
                    let (_, all) = self.recording.as_mut().unwrap();
                    assert!(all.insert(channel, Recorded::default()).is_none());
                }
                AlignEffect::Recorded(id) => self.collect(id.0),
                AlignEffect::Discard(id) => {
                    assert_eq!(self.recording.take().map(|(id, _)| id), Some(id.0));
                    self.discarded.push(id.0);
                }
                AlignEffect::Abort { id, .. } => self.aborted.push(id.0),
                AlignEffect::ForwardCancel(id) => self.forwarded.push(id.0),
            }
        }
    }

    /// What was recorded, and what waits before the barriers.
    fn collect(&mut self, id: u64) {
        let (recording, channels) = self.recording.take().unwrap();
        assert_eq!(recording, id);
        let mut rows = vec![];
        for (channel, recorded) in channels {
            rows.extend(recorded.rows.iter().map(|&row| (channel, row)));
            if recorded.is_whole {
                continue;
            }
            for queued in &self.queues[channel] {
                match queued {
                    Queued::Row(row) => rows.push((channel, *row)),
                    Queued::Barrier(b) if b.checkpoint.0 == id => break,
                    Queued::Barrier(_) | Queued::Cancel(_) => {}
                }
            }
        }
        self.recorded.push((id, rows));
    }

    #[track_caller]
    fn check(&self, snapshots: &[(u64, bool)]) {
        let taken: Vec<_> = self.snapshots.iter().map(|&(id, o, _)| (id, o)).collect();
        assert_eq!(taken, snapshots);
    }
}

/// A barrier that is put into a channel and at once delivered.
fn now(id: u64, channel: usize) -> String {
    format!("B{id}@{channel} p{channel}")
}

#[test]
fn c33_what_comes_before_the_barrier_of_its_own_channel_is_in_flight() {
    let mut task = Overtaken::new(&[false; 3], None);
    task.run("b0 b2 b0");
    task.run(&now(1, 1));
    task.check(&[(1, true)]);
    task.run(&now(1, 2));
    task.run("b2 b1 b0");
    assert!(task.recorded.is_empty());
    task.run(&now(1, 0));
    assert_eq!(task.recorded, [(1, vec![(0, 2)])]);
    assert_eq!(task.processed.iter().map(Vec::len).sum::<usize>(), 6);
    task.run("b0 b0 b1 b1 b2");
    for channel in 0..3 {
        task.run(&now(2, channel));
    }
    assert_eq!(task.recorded[1], (2, vec![]));
    task.run("b2 b2");
    task.run(&now(3, 2));
    task.run("b2 b2");
    task.run(&now(3, 0));
    task.run(&now(3, 1));
    assert_eq!(task.recorded[2], (3, vec![]));
    task.check(&[(1, true), (2, true), (3, true)]);
}

#[test]
fn c33_cancel_markers() {
    let mut task = Overtaken::new(&[false; 2], None);
    task.run("B1@0 p0 b1 C2@0 p0 C3@0 p0 C3@1 p1");
    task.check(&[(1, true)]);
    assert_eq!(task.aborted, [1, 2, 3]);
    assert_eq!(task.discarded, [1]);
    assert!(task.recorded.is_empty(), "nothing is kept of it");
}

#[test]
fn c33_one_channel_overtakes_what_waits_in_it() {
    let mut task = Overtaken::new(&[false], None);
    task.run("b0 r0 r0 B1@0");
    assert_eq!(task.recorded, [(1, vec![(0, 1), (0, 2)])]);
    task.run("r0 p0 p0 p0 p0");
    task.check(&[(1, true)]);
    assert_eq!(task.processed[0], [0, 1, 2, 3]);
}

#[test]
fn c34_the_second_announcement_after_the_timeout_overtakes() {
    let mut task = Overtaken::new(&[false; 2], Some(10));
    task.run("r0 r1 r1 B1@0");
    task.check(&[]);
    task.run("T20 B1@1");
    task.check(&[(1, true)]);
    assert_eq!(task.recorded, [(1, vec![(0, 0), (1, 0), (1, 1)])]);
    task.run("p0 p1 p1 p0 p1");
    task.check(&[(1, true)]);
}

#[test]
fn c34_without_a_timeout_it_never_switches() {
    let mut task = Overtaken::new(&[false; 2], Some(1 << 40));
    task.run("r0 r1 B1@0 T1000000 B1@1");
    task.tick();
    task.check(&[]);
    task.run("p0 p0 p1 p1");
    task.check(&[(1, false)]);
    assert!(task.recorded.is_empty());
}

#[test]
fn c34_the_timer_switches_in_the_middle_of_an_alignment() {
    let mut task = Overtaken::new(&[false; 2], Some(100));
    task.run("r0 B1@0 p0 p0 r0 r1");
    assert!(task.alignment.is_blocked(0) && !task.alignment.is_relaxed(0));
    assert_eq!(task.alignment.next_deadline(), Some(ProcessingTime(100)));
    task.run("T99");
    task.tick();
    task.check(&[]);
    task.run("T1");
    task.tick();
    task.check(&[(1, true)]);
    assert!(!task.alignment.is_blocked(0) && !task.alignment.is_blocked(1));
    assert_eq!(task.alignment.next_deadline(), None);
    task.run("r1 p1 B1@1");
    assert_eq!(task.recorded, [(1, vec![(1, 0), (1, 1)])]);
}

#[test]
fn c34_all_barriers_before_the_timer_stay_aligned_and_the_next_begins_so() {
    let mut task = Overtaken::new(&[false; 2], Some(100));
    task.run("b0 b1 B1@0 p0 B1@1 p1 T200");
    task.tick();
    task.check(&[(1, false)]);
    task.run("B2@0");
    task.check(&[(1, false), (2, true)]);
    task.run("B2@1 p0 p1");
    task.timeout_ms = Some(1000);
    task.run("B3@0 p0");
    assert!(task.alignment.is_blocked(0));
    task.run("B3@1 p1");
    task.check(&[(1, false), (2, true), (3, false)]);
}

#[test]
fn c34_cancel_markers_before_the_timer() {
    let mut task = Overtaken::new(&[false; 2], Some(10));
    task.run("r0 B1@0 C1@1 T20");
    task.tick();
    task.check(&[]);
    assert_eq!(
        (&task.aborted[..], &task.forwarded[..]),
        (&[1][..], &[1][..])
    );
    assert_eq!(task.alignment.next_deadline(), None);
}

#[test]
fn c34_a_savepoint_never_switches() {
    let mut task = Overtaken::new(&[false; 2], None);
    task.passage = Passage::Aligned;
    task.run("r0 r1 B1@0 B1@1 T1000000");
    task.tick();
    task.check(&[]);
    task.run("p0 p0");
    assert!(task.alignment.is_blocked(0));
    task.run("p1 p1");
    task.check(&[(1, false)]);
}

#[test]
fn one_that_has_switched_upstream_switches_here() {
    let mut task = Overtaken::new(&[false; 2], Some(1000));
    task.run("r0 r1 B1@0");
    task.check(&[]);
    task.timeout_ms = None;
    task.run("B1@1");
    task.check(&[(1, true)]);
}

#[test]
fn a_broadcast_channel_is_aligned_and_the_others_wait_at_their_barriers() {
    let mut task = Overtaken::new(&[true, false, false], None);
    task.run("r0 r1 r2 B1@1 r1");
    task.check(&[]);
    task.run("p1 p1");
    assert!(task.alignment.is_blocked(1));
    // Nobody is held up by it: the other barrier may be behind rows that have to come this way.
    assert!(task.alignment.is_relaxed(1) && !task.alignment.is_relaxed(0));
    task.run("B1@2 B1@0 p0");
    task.check(&[]);
    task.run("p0");
    task.check(&[(1, true)]);
    assert_eq!(task.recorded, [(1, vec![(2, 0)])]);
    assert!(!task.alignment.is_blocked(1) && !task.alignment.is_relaxed(1));
}

#[test]
fn an_ended_channel_counts_as_its_barrier_while_it_is_recorded() {
    let mut task = Overtaken::new(&[false; 2], None);
    task.run("B1@0 b1 E1");
    assert_eq!(task.recorded, [(1, vec![(1, 0)])]);
    task.run("B2@0");
    task.check(&[(1, true), (2, true)]);
    assert_eq!(task.recorded.len(), 2);
}

#[test]
fn a_newer_checkpoint_ends_what_is_recorded() {
    let mut task = Overtaken::new(&[false; 2], None);
    task.run("B1@0 r1 p0");
    task.passage = Passage::Aligned;
    task.run("B2@0 p0");
    assert_eq!(
        (&task.aborted[..], &task.discarded[..]),
        (&[1][..], &[1][..])
    );
    assert!(task.alignment.is_blocked(0));
    task.run("p1 B2@1 p1");
    task.check(&[(1, true), (2, false)]);
}

#[test]
fn what_the_coordinator_gave_up_is_not_recorded_any_more() {
    let mut task = Overtaken::new(&[false; 2], None);
    task.run("B1@0");
    let effects = task.alignment.abort(CheckpointId(1));
    task.apply(&effects);
    assert_eq!(
        (&task.discarded[..], &task.forwarded[..]),
        (&[1][..], &[1][..])
    );
    assert!(task.aborted.is_empty(), "the coordinator knows");
    task.run("p0 B1@1 p1");
    task.check(&[(1, true)]);
    assert!(task.alignment.abort(CheckpointId(2)).is_empty());
    task.run("B2@1 p1 B2@0 p0 B3@0 B3@1");
    task.check(&[(1, true), (3, true)]);
    assert_eq!(task.forwarded, [1, 2]);
}

/// What happens to a channel.
#[derive(Clone, Copy, Debug)]
enum Event {
    /// The next of its script is put in: rows, and now and then a barrier.
    Put(usize),
    Take(usize),
    Time(u64),
    /// The coordinator gives up what is under way.
    Abort,
}

impl Overtaken {
    fn happen(&mut self, event: Event, left: &mut [VecDeque<Option<u64>>], passages: &[Passage]) {
        match event {
            Event::Put(channel) => match left[channel].front().copied() {
                Some(None) => {
                    left[channel].pop_front();
                    self.put_row(channel);
                }
                Some(Some(id)) if (1..id).all(|older| self.is_over(older)) => {
                    left[channel].pop_front();
                    let passage = passages[id as usize - 1];
                    let barrier = super::barrier(id);
                    self.put(channel, Barrier { passage, ..barrier });
                }
                None | Some(Some(_)) => {}
            },
            Event::Take(channel) => {
                if !self.queues[channel].is_empty() && !self.alignment.is_blocked(channel) {
                    self.take(channel);
                }
            }
            Event::Time(ms) => {
                self.now = self.now.plus_ms(ms);
                self.tick();
            }
            Event::Abort => {
                if let Some(id) = self.alignment.current() {
                    self.given_up.push(id.0);
                    let effects = self.alignment.abort(id);
                    self.apply(&effects);
                }
            }
        }
    }

    /// One is under way at a time: the next begins when this is over everywhere.
    fn is_over(&self, id: u64) -> bool {
        self.given_up.contains(&id)
            || self.recorded.iter().any(|(recorded, _)| *recorded == id)
            || self
                .snapshots
                .iter()
                .any(|&(taken, overtook, _)| taken == id && !overtook)
    }
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        5 => (0..3usize).prop_map(Event::Put),
        5 => (0..3usize).prop_map(Event::Take),
        1 => (0..30u64).prop_map(Event::Time),
        1 => (0..40u32).prop_map(|n| if n == 0 { Event::Abort } else { Event::Time(1) }),
    ]
}

fn passage() -> impl Strategy<Value = Passage> {
    prop_oneof![
        2 => Just(Passage::Unaligned),
        3 => (0..200i64).prop_map(|ms| Passage::AlignedUntil(ProcessingTime(ms))),
        1 => Just(Passage::Aligned),
    ]
}

proptest! {
    /// The state of a checkpoint is the rows processed before the snapshot; with the rows in flight
    /// they are all that came before its barriers, each once and in order. A channel that stays
    /// aligned has none in flight.
    #[test]
    fn state_and_rows_in_flight_are_exactly_what_is_before_the_barriers(
        stay in prop::collection::vec(prop::bool::weighted(0.25), 3),
        scripts in prop::collection::vec(prop::collection::vec(0..4usize, 4), 3),
        passages in prop::collection::vec(passage(), 4),
        events in prop::collection::vec(event(), 0..120),
    ) {
        let mut task = Overtaken::new(&stay, None);
        // Each channel: rows, then the barrier of the next checkpoint, in all of them the same.
        let mut left: Vec<VecDeque<Option<u64>>> = scripts.iter().map(|rows| {
            let steps = rows.iter().zip(1..);
            steps.flat_map(|(&rows, id)| {
                std::iter::repeat_n(None, rows).chain([Some(id)])
            }).collect()
        }).collect();
        let cuts = |channel: usize, id: u64| -> usize {
            scripts[channel][..id as usize].iter().sum()
        };
        // At the end everything is put in and taken.
        let drain = (0..3).map(Event::Put).chain((0..3).map(Event::Take));
        let drain: Vec<_> = drain.collect();
        let rest = std::iter::repeat_n(drain, 200).flatten();
        for event in events.into_iter().chain(rest) {
            task.happen(event, &mut left, &passages);
        }
        let given_up = &task.given_up;
        prop_assert!(left.iter().all(VecDeque::is_empty), "stuck with {:?}", left);
        prop_assert!(task.queues.iter().all(VecDeque::is_empty));
        prop_assert!(task.recording.is_none());
        for id in (1..=4).filter(|id| !given_up.contains(id)) {
            prop_assert_eq!(task.snapshots.iter().filter(|(s, ..)| *s == id).count(), 1);
        }
        for (id, overtook, done) in &task.snapshots {
            let recorded = task.recorded.iter().find(|(r, _)| r == id);
            if *overtook && recorded.is_none() {
                prop_assert!(given_up.contains(id));
                continue;
            }
            prop_assert_eq!(*overtook, recorded.is_some());
            for channel in 0..3 {
                let in_flight = recorded.map_or(vec![], |(_, rows)| {
                    let own = rows.iter().filter(|(c, _)| *c == channel);
                    own.map(|&(_, row)| row).collect()
                });
                let expected: Vec<_> =
                    (done[channel] as u64..cuts(channel, *id) as u64).collect();
                prop_assert_eq!(&in_flight, &expected, "checkpoint {} channel {}", id, channel);
                prop_assert!(!stay[channel] || in_flight.is_empty());
            }
        }
    }
}
