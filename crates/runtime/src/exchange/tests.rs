//! Channels keep order and budget; edges deal rows out as their partitioning says.

mod dealing;

use std::{sync::Arc, time::Duration};

use proptest::prelude::*;
use tokio::{sync::Notify, time::Instant};
use weir_graph::Partitioning;
use weir_model::{
    Barrier, Batch, CheckpointId, Column, ColumnView, Element, EventTime, MaxParallelism, Name,
    Parallelism, Passage, SubtaskIndex, hash64,
};
use weir_operator::{BadKey, Failure, KeySelector};

use super::{Announced, EdgeOut, Gate, Recorded, Sender, Target, TimedRows};
use crate::{letters::BadRows, meters::NodeMeters};

/// The first byte of a row is its key; an empty row has none.
struct FirstByte;

impl KeySelector for FirstByte {
    fn select(&self, values: ColumnView<'_>, keys: &mut Column, bad: &mut Vec<BadKey>) {
        for (row, value) in values.iter().enumerate() {
            keys.push(value.get(..1).unwrap_or_default());
            if value.is_empty() {
                bad.push(BadKey {
                    row: row as u32,
                    message: "the row is empty".into(),
                });
            }
        }
    }

    fn describe(&self) -> String {
        "first byte".into()
    }
}

struct Edge {
    gates: Vec<Gate>,
    out: EdgeOut,
    consumer: Arc<NodeMeters>,
}

fn edge(partitioning: Partitioning, bad_rows: BadRows, consumers: u32) -> Edge {
    let max = MaxParallelism::new(128).unwrap();
    edge_of(partitioning, bad_rows, consumers, max)
}

fn edge_of(
    partitioning: Partitioning,
    bad_rows: BadRows,
    consumers: u32,
    max: MaxParallelism,
) -> Edge {
    let wake = Arc::new(Notify::new());
    let gates: Vec<Gate> = (0..consumers)
        .map(|_| Gate::new(Arc::new(Notify::new()), false))
        .collect();
    let targets = gates
        .iter()
        .map(|g| Target::new(g.channel(1 << 20, wake.clone())))
        .collect();
    let parallelism = Parallelism::new(consumers).unwrap();
    let consumer = NodeMeters::new(Name::new("consumer").unwrap(), SubtaskIndex(0));
    let out = EdgeOut::new(
        partitioning,
        bad_rows,
        max,
        parallelism,
        targets,
        consumer.clone(),
    );
    Edge {
        gates,
        out,
        consumer,
    }
}

fn column(rows: &[&str]) -> Column {
    rows.iter().map(|r| r.as_bytes()).collect()
}

impl Edge {
    fn push(&mut self, rows: &[&str]) -> Result<(), Failure> {
        let values = column(rows);
        self.out.push(TimedRows {
            values: values.view(),
            timestamps: &[],
            lineage: &[],
        })
    }

    fn received(&mut self, consumer: usize) -> Vec<Element> {
        std::iter::from_fn(|| self.gates[consumer].next(|_| false, true).map(|(_, e)| e)).collect()
    }

    fn rows(&mut self, consumer: usize) -> Vec<String> {
        let mut rows = Vec::new();
        for element in self.received(consumer) {
            if let Element::Batch(batch) = element {
                rows.extend(
                    batch
                        .values
                        .iter()
                        .map(|r| String::from_utf8_lossy(r).into_owned()),
                );
            }
        }
        rows
    }
}

fn barrier() -> Element {
    Element::Barrier(Barrier::periodic(CheckpointId(1)))
}

#[test]
fn a_barrier_pushes_out_what_was_collected_before_it() {
    let mut edge = edge(Partitioning::Hash(Arc::new(FirstByte)), BadRows::Fail, 2);
    edge.push(&["a1", "b1", "a2"]).unwrap();
    edge.out.send_all(&barrier());
    let mut total = 0;
    for consumer in 0..2 {
        let received = edge.received(consumer);
        assert!(matches!(received.last(), Some(Element::Barrier(_))));
        for element in &received[..received.len() - 1] {
            let Element::Batch(batch) = element else {
                panic!("{element:?}")
            };
            total += batch.len();
        }
    }
    assert_eq!(total, 3);
}

proptest! {
    #[test]
    fn rows_of_a_key_go_in_order_to_the_subtask_of_its_key_group(
        rows in prop::collection::vec("[a-j][0-9]", 0..900),
        times in prop::sample::select(vec![1_usize, 2, 8]),
        consumers in 1u32..5,
        // From 2,048 rows on a column goes as it is where there is one consumer.
        pieces in prop_oneof![1usize..600, 1000usize..5000],
        owned: bool,
    ) {
        let rows = vec![rows; times].concat();
        let mut edge = edge(Partitioning::Hash(Arc::new(FirstByte)), BadRows::Fail, consumers);
        for piece in rows.chunks(pieces) {
            let piece: Vec<&str> = piece.iter().map(String::as_str).collect();
            match owned {
                true => edge.out.push_owned(column(&piece), vec![], vec![]).unwrap(),
                false => edge.push(&piece).unwrap(),
            }
        }
        edge.out.hand_over_all();
        let max = MaxParallelism::new(128).unwrap();
        for consumer in 0..consumers {
            let mut found = Vec::new();
            for element in edge.received(consumer as usize) {
                let Element::Batch(batch) = element else { continue };
                let keyed = batch.keyed.as_ref().unwrap();
                for (row, value) in batch.values.iter().enumerate() {
                    let key = keyed.key_of_row[row] as usize;
                    prop_assert_eq!(keyed.keys.get(key), &value[..1]);
                    prop_assert_eq!(keyed.hashes[key], hash64(&value[..1]));
                    found.push(String::from_utf8(value.to_vec()).unwrap());
                }
                let mut distinct: Vec<_> = keyed.keys.iter().collect();
                distinct.sort_unstable();
                distinct.dedup();
                prop_assert_eq!(distinct.len(), keyed.keys.len());
            }
            let expected: Vec<String> = rows
                .iter()
                .filter(|row| {
                    let group = max.key_group_of(hash64(&row.as_bytes()[..1]));
                    max.subtask_of(group, Parallelism::new(consumers).unwrap()).0 == consumer
                })
                .cloned()
                .collect();
            prop_assert_eq!(found, expected);
        }
    }
}

#[test]
fn batches_are_cut_where_they_are_full_by_rows_or_bytes() {
    let large = "x".repeat(Batch::MAX_BYTES / 4);
    let hash = || Partitioning::Hash(Arc::new(FirstByte));
    for partitioning in [Partitioning::Forward, hash()] {
        let mut edge = edge(partitioning, BadRows::Fail, 1);
        edge.push(&["y"; 3]).unwrap();
        edge.push(&["z"; 2 * Batch::MAX_ROWS]).unwrap();
        edge.push(&[large.as_str(); 9]).unwrap();
        edge.out.hand_over_all();
        let mut lengths = Vec::new();
        for element in edge.received(0) {
            let Element::Batch(batch) = element else {
                panic!("{element:?}")
            };
            let keyed = batch.keyed.as_ref();
            assert!(keyed.is_none_or(|keyed| keyed.key_of_row.len() == batch.len()));
            lengths.push(batch.len());
        }
        // Three are left of those that are small, and with them four large ones are one too many.
        assert_eq!(lengths, [Batch::MAX_ROWS, Batch::MAX_ROWS, 3 + 4, 4, 1]);
    }
}

#[test]
fn a_column_of_too_many_bytes_is_cut_however_it_comes() {
    let row = "x".repeat(Batch::MAX_BYTES / 128);
    let hash = || Partitioning::Hash(Arc::new(FirstByte));
    for partitioning in [Partitioning::Forward, hash()] {
        let mut edge = edge(partitioning, BadRows::Fail, 1);
        for rows in [256, 1024] {
            let rows = column(&vec![row.as_str(); rows]);
            edge.out.push_owned(rows, vec![], vec![]).unwrap();
        }
        edge.out.hand_over_all();
        let lengths = edge.received(0).into_iter().map(|element| match element {
            Element::Batch(batch) => batch.len(),
            other => panic!("{other:?}"),
        });
        // One that has grown to twice as much is taken as it is.
        let lengths: Vec<_> = lengths.collect();
        assert_eq!(lengths, [&[256][..], &[128; 8]].concat());
    }
}

#[test]
fn a_large_column_with_a_row_without_a_key_goes_without_it() {
    let mut edge = edge(Partitioning::Hash(Arc::new(FirstByte)), BadRows::Skip, 1);
    let mut rows = vec!["a"; 2400];
    rows[300] = "";
    edge.out.push_owned(column(&rows), vec![], vec![]).unwrap();
    rows[300] = "b";
    edge.out.push_owned(column(&rows), vec![], vec![]).unwrap();
    edge.out.hand_over_all();
    assert_eq!(edge.consumer.skipped.get(), 1);
    let rows = edge.rows(0);
    assert_eq!((rows.len(), rows[2399 + 300].as_str()), (4_799, "b"));
}

#[test]
fn a_row_without_a_key_fails_or_is_left_out() {
    let mut failing = edge(Partitioning::Hash(Arc::new(FirstByte)), BadRows::Fail, 1);
    let error = failing.push(&["a", "", "b"]).unwrap_err();
    assert_eq!(error.to_string(), "no key: the row is empty");
    let mut skipping = edge(Partitioning::Hash(Arc::new(FirstByte)), BadRows::Skip, 1);
    skipping.push(&["a", "", "b", ""]).unwrap();
    skipping.out.hand_over_all();
    assert_eq!(skipping.consumer.skipped.get(), 2);
    assert_eq!(skipping.rows(0), ["a", "b"]);
}

#[test]
fn rebalance_deals_batches_round_robin_and_global_sends_all_to_the_first() {
    let mut rebalance = edge(Partitioning::Rebalance, BadRows::Fail, 2);
    for rows in [["1", "2"], ["3", "4"], ["5", "6"]] {
        rebalance.push(&rows).unwrap();
        rebalance.out.hand_over_all();
    }
    assert_eq!(rebalance.rows(0), ["1", "2", "5", "6"]);
    assert_eq!(rebalance.rows(1), ["3", "4"]);
    // Columns that go as they are take turns with rows that are collected.
    let mut large = edge(Partitioning::Rebalance, BadRows::Fail, 2);
    for _ in 0..2 {
        large.push(&["1"; 3]).unwrap();
        let owned = column(&["2"; 2400]);
        large.out.push_owned(owned, vec![], vec![]).unwrap();
    }
    assert_eq!((large.rows(0).len(), large.rows(1).len()), (6, 4_800));
    let mut global = edge(Partitioning::Global, BadRows::Fail, 2);
    global.push(&["1", "2"]).unwrap();
    global.out.send_all(&barrier());
    assert_eq!(global.rows(0), ["1", "2"]);
    assert_eq!(
        global.received(1).len(),
        1,
        "the barrier reaches every subtask"
    );
}

#[test]
fn broadcast_shares_one_batch_with_all() {
    let mut edge = edge(Partitioning::Broadcast, BadRows::Fail, 3);
    edge.push(&["1", "2"]).unwrap();
    edge.out.hand_over_all();
    let batches: Vec<Arc<Batch>> = (0..3)
        .map(|consumer| match edge.received(consumer).remove(0) {
            Element::Batch(batch) => batch,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(batches[0].len(), 2);
    assert!(batches.iter().all(|b| Arc::ptr_eq(b, &batches[0])));
}

#[test]
fn a_large_column_is_handed_over_as_it_is_and_in_order() {
    for partitioning in [
        Partitioning::Forward,
        Partitioning::Hash(Arc::new(FirstByte)),
    ] {
        let mut edge = edge(partitioning, BadRows::Fail, 1);
        edge.push(&["first"]).unwrap();
        let large: Vec<String> = (0..3000).map(|i| i.to_string()).collect();
        let large: Column = large.iter().map(|r| r.as_bytes()).collect();
        let bytes = large.bytes().as_ptr();
        edge.out.push_owned(large, vec![], vec![]).unwrap();
        edge.push(&["last"]).unwrap();
        edge.out.hand_over_all();
        let (mut rows, mut is_same) = (Vec::new(), false);
        for element in edge.received(0) {
            let Element::Batch(batch) = element else {
                panic!("{element:?}")
            };
            is_same |= batch.values.bytes().as_ptr() == bytes;
            rows.extend(batch.values.iter().map(<[u8]>::to_vec));
        }
        assert!(is_same, "it was copied");
        assert_eq!(rows.len(), 3002);
        assert_eq!((&rows[0][..], &rows[1][..]), (&b"first"[..], &b"0"[..]));
        assert_eq!(rows.last().unwrap(), b"last");
    }
}

#[test]
fn what_comes_behind_a_full_batch_has_not_waited() {
    let old = Duration::from_millis(5);
    let mut edge = edge(Partitioning::Forward, BadRows::Fail, 1);
    edge.push(&["first"]).unwrap();
    let then = Instant::now();
    while Instant::now() <= then {
        std::hint::spin_loop();
    }
    edge.push(&["row"; Batch::MAX_ROWS]).unwrap();
    assert_eq!(edge.rows(0).len(), Batch::MAX_ROWS);
    edge.out.hand_over_old(then + old);
    assert!(edge.received(0).is_empty(), "the first one is gone");
    edge.out.hand_over_old(Instant::now() + old);
    assert_eq!(edge.rows(0), ["row"]);
}

#[test]
fn columns_of_few_bytes_are_collected() {
    let received = |edge: &mut Edge| -> Vec<usize> {
        let elements = edge.received(0).into_iter();
        let lengths = elements.map(|element| match element {
            Element::Batch(batch) => batch.len(),
            other => panic!("{other:?}"),
        });
        lengths.collect()
    };
    let long = "1".repeat(100);
    for is_hashed in [false, true] {
        let cases = [
            ("1", vec![], vec![3000]),
            (long.as_str(), vec![1000; 3], vec![]),
        ];
        for (row, at_once, behind) in cases {
            let partitioning = match is_hashed {
                true => Partitioning::Hash(Arc::new(FirstByte)),
                false => Partitioning::Forward,
            };
            let mut edge = edge(partitioning, BadRows::Fail, 1);
            for _ in 0..3 {
                let rows = column(&vec![row; 1000]);
                edge.out.push_owned(rows, vec![], vec![]).unwrap();
            }
            assert_eq!(received(&mut edge), at_once);
            edge.out.hand_over_all();
            assert_eq!(received(&mut edge), behind);
        }
    }
}

#[test]
fn rows_with_and_without_event_time_do_not_share_a_batch() {
    let mut edge = edge(Partitioning::Forward, BadRows::Fail, 1);
    let values = column(&["a"]);
    for timestamps in [&[][..], &[7], &[]] {
        edge.out
            .push(TimedRows {
                values: values.view(),
                timestamps,
                lineage: &[],
            })
            .unwrap();
    }
    edge.out.hand_over_all();
    let times: Vec<Vec<i64>> = edge
        .received(0)
        .into_iter()
        .map(|e| match e {
            Element::Batch(batch) => batch.timestamps.clone(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(times, [vec![], vec![7], vec![]]);
}

#[test]
fn a_sender_learns_when_it_is_over_its_budget_and_when_there_is_room_again() {
    let (wake, room) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let mut gate = Gate::new(wake, false);
    let sender = gate.channel(1000, room.clone());
    let batch = Arc::new(Batch {
        values: column(&[&"x".repeat(600)]),
        ..Batch::default()
    });
    sender.send(Element::Batch(batch.clone()));
    assert!(!sender.is_over());
    sender.send(Element::Batch(batch));
    assert!(sender.is_over());
    let mut waiting = Box::pin(room.notified());
    assert!(!waiting.as_mut().enable());
    assert!(gate.next(|_| false, true).is_some());
    assert!(!sender.is_over());
    assert!(waiting.as_mut().enable(), "the sender is woken");
}

#[test]
fn a_sender_is_not_woken_for_each_small_batch() {
    let room = Arc::new(Notify::new());
    for (budget, taken) in [(1000, 5), (1, 12)] {
        let mut gate = Gate::new(Arc::new(Notify::new()), false);
        let sender = gate.channel(budget, room.clone());
        let batch = Arc::new(Batch {
            values: column(&[&"x".repeat(30)]),
            ..Batch::default()
        });
        (0..12).for_each(|_| sender.send(Element::Batch(batch.clone())));
        let mut waiting = Box::pin(room.notified());
        for _ in 1..taken {
            assert!(gate.next(|_| false, true).is_some());
            assert!(sender.is_over() && !waiting.as_mut().enable());
        }
        assert!(gate.next(|_| false, true).is_some());
        assert!(!sender.is_over() && waiting.as_mut().enable());
    }
}

#[test]
fn blocked_channels_and_batches_are_passed_over_and_no_channel_starves() {
    let mut gate = Gate::new(Arc::new(Notify::new()), false);
    let room = Arc::new(Notify::new());
    let senders: Vec<_> = (0..3)
        .map(|_| gate.channel(1 << 20, room.clone()))
        .collect();
    let batch = Arc::new(Batch {
        values: column(&["x"]),
        ..Batch::default()
    });
    for sender in &senders {
        sender.send(Element::Batch(batch.clone()));
        sender.send(barrier());
    }
    let order: Vec<usize> = (0..3)
        .map(|_| gate.next(|c| c == 1, true).map(|(c, _)| c).unwrap())
        .collect();
    assert_eq!(order, [2, 2, 0], "a barrier does not wait for a batch");
    let (channel, element) = gate.next(|_| false, false).unwrap();
    assert_eq!(channel, 0);
    assert!(matches!(element, Element::Barrier(_)));
    assert!(
        gate.next(|_| false, false).is_none(),
        "a batch is at the head of channel 1"
    );
}

#[test]
fn of_waiting_batches_the_one_that_begins_first_comes_first() {
    let mut gate = Gate::new(Arc::new(Notify::new()), false);
    let room = Arc::new(Notify::new());
    let batches = [(0, 30), (0, 50), (1, 20), (1, 40), (2, 10)];
    let senders: Vec<_> = (0..3)
        .map(|_| gate.channel(1 << 20, room.clone()))
        .collect();
    for (channel, time) in batches {
        senders[channel].send(Element::Batch(Arc::new(Batch {
            values: column(&["x"]),
            timestamps: vec![time],
            ..Batch::default()
        })));
    }
    let times = std::iter::from_fn(|| match gate.next(|_| false, true)?.1 {
        Element::Batch(batch) => Some(batch.timestamps[0]),
        other => panic!("{other:?}"),
    });
    assert_eq!(times.collect::<Vec<_>>(), [10, 20, 30, 40, 50]);
}

fn overtaking(id: u64) -> Element {
    Element::Barrier(Barrier {
        passage: Passage::Unaligned,
        ..Barrier::periodic(CheckpointId(id))
    })
}

fn rows_of(values: &[&str]) -> Element {
    Element::Batch(Arc::new(Batch {
        values: column(values),
        ..Batch::default()
    }))
}

/// A gate that announces, with so many channels.
fn announcing(channels: usize) -> (Gate, Vec<Sender>) {
    let gate = Gate::new(Arc::new(Notify::new()), true);
    let room = Arc::new(Notify::new());
    let senders = (0..channels).map(|_| gate.channel(1 << 20, room.clone()));
    let senders = senders.collect();
    (gate, senders)
}

fn announced(gate: &mut Gate) -> Vec<(usize, u64)> {
    assert!(gate.has_news());
    let all = gate.announcements().into_iter();
    all.map(|(channel, what)| match what {
        Announced::Barrier(barrier) => (channel, barrier.checkpoint.0),
        Announced::Cancel(id) => (channel, 100 + id.0),
    })
    .collect()
}

#[test]
fn a_barrier_that_overtakes_is_announced_at_once_and_never_past_an_aligned_one() {
    let (mut gate, senders) = announcing(2);
    senders[0].send(rows_of(&["a"]));
    assert!(!gate.has_news());
    senders[0].send(overtaking(1));
    senders[1].send(barrier());
    senders[1].send(overtaking(8));
    senders[1].send(Element::Cancel(CheckpointId(9)));
    assert_eq!(announced(&mut gate), [(0, 1)]);
    assert!(!gate.has_news());
    // Behind the aligned one, once that is taken.
    assert!(matches!(
        gate.next(|c| c == 0, true),
        Some((1, Element::Barrier(_)))
    ));
    assert_eq!(announced(&mut gate), [(1, 8), (1, 109)]);
    // They still come where they are.
    assert!(matches!(
        gate.next(|c| c == 1, true),
        Some((0, Element::Batch(_)))
    ));
    assert!(matches!(
        gate.next(|c| c == 1, true),
        Some((0, Element::Barrier(_)))
    ));
    assert!(!gate.has_news());
}

#[test]
fn a_gate_that_does_not_announce_keeps_its_barriers_where_they_are() {
    let mut gate = Gate::new(Arc::new(Notify::new()), false);
    let sender = gate.channel(1 << 20, Arc::new(Notify::new()));
    sender.send(overtaking(1));
    assert!(!gate.has_news());
    assert!(gate.announcements().is_empty());
}

/// What is recorded, as words: rows, `|` a watermark.
fn words(recorded: Vec<(usize, Vec<Recorded>)>) -> Vec<(usize, String)> {
    let word = |one: Recorded| match one {
        Recorded::Rows(batch, from) => (from..batch.len())
            .map(|row| String::from_utf8_lossy(batch.values.get(row)).into_owned())
            .collect::<String>(),
        Recorded::Watermark(_) => "|".into(),
        Recorded::Idle(idle) => format!("{idle}"),
    };
    let channels = recorded.into_iter();
    channels
        .map(|(channel, all)| (channel, all.into_iter().map(word).collect()))
        .collect()
}

#[test]
fn what_is_recorded_is_what_comes_before_the_barrier_and_what_is_recovered_before_all() {
    let (mut gate, senders) = announcing(3);
    let time = Element::Watermark(EventTime(7));
    gate.recover([rows_of(&["o"]), rows_of(&["p"])]);
    gate.recover([time.clone()]);
    senders[0].send(rows_of(&["a", "b"]));
    senders[0].send(time);
    senders[0].send(overtaking(1));
    senders[0].send(rows_of(&["c"]));
    senders[1].send(rows_of(&["d"]));
    senders[2].send(rows_of(&["x"]));
    // The first batch that is recovered is in hand, its row processed but for nothing.
    let Some((3, Element::Batch(batch))) = gate.next(|_| true, true) else {
        panic!("what is recovered comes first");
    };
    gate.begin_recording(CheckpointId(1), Some((3, Recorded::Rows(batch, 0))));
    gate.record(0);
    gate.record(1);
    // Taken while it is recorded, some behind the barrier.
    while gate.next(|channel| channel != 0, true).is_some() {}
    assert!(gate.next(|channel| channel != 1, true).is_some());
    senders[1].send(rows_of(&["e"]));
    senders[1].send(overtaking(1));
    senders[1].send(rows_of(&["f"]));
    let expected = [(3, "op"), (0, "ab|"), (1, "de")];
    let expected: Vec<_> = expected.map(|(c, words)| (c, words.to_owned())).into();
    assert_eq!(words(gate.end_recording()), expected);
    assert!(gate.end_recording().is_empty());
}

#[test]
fn what_waits_to_be_recovered_is_recorded_and_another_barrier_ends_nothing() {
    let (mut gate, senders) = announcing(1);
    gate.recover([rows_of(&["o"]), rows_of(&["p"])]);
    assert!(gate.next(|_| false, false).is_none(), "batches are to wait");
    gate.begin_recording(CheckpointId(2), None);
    gate.record(0);
    senders[0].send(rows_of(&["a"]));
    // Of one that was given up meanwhile.
    senders[0].send(overtaking(1));
    senders[0].send(rows_of(&["b"]));
    senders[0].send(overtaking(2));
    senders[0].send(rows_of(&["c"]));
    let expected = [(1, "op".to_owned()), (0, "ab".to_owned())];
    assert_eq!(words(gate.end_recording()), expected);
}

#[test]
fn a_sender_to_a_relaxed_channel_is_not_over_its_budget() {
    let room = Arc::new(Notify::new());
    let mut gate = Gate::new(Arc::new(Notify::new()), true);
    let sender = gate.channel(1, room.clone());
    sender.send(rows_of(&["a"]));
    assert!(sender.is_over());
    let mut waiting = Box::pin(room.notified());
    assert!(!waiting.as_mut().enable());
    gate.relax(|_| true);
    assert!(!sender.is_over());
    assert!(waiting.as_mut().enable(), "the sender is woken");
    sender.send(rows_of(&["b"]));
    assert!(!sender.is_over());
    gate.relax(|_| false);
    assert!(sender.is_over());
}

#[test]
fn who_is_woken_by_a_large_batch_goes_on_beside_its_sender() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .unwrap();
    let wake = Arc::new(Notify::new());
    let gate = Gate::new(wake.clone(), false);
    let sender = gate.channel(1 << 20, Arc::new(Notify::new()));
    let (waits, is_waiting) = std::sync::mpsc::channel();
    let (answers, answer) = std::sync::mpsc::channel();
    runtime.spawn(async move {
        let woken = wake.notified();
        waits.send(()).unwrap();
        woken.await;
        answers.send(()).unwrap();
    });
    is_waiting.recv().unwrap();
    let sent = runtime.spawn(async move {
        let values = column(&["x".repeat(1 << 16).as_str()]);
        sender.send(Element::Batch(Arc::new(Batch {
            values,
            ..Batch::default()
        })));
        // It keeps its thread, as a task that computes does.
        answer.recv_timeout(std::time::Duration::from_secs(20))
    });
    assert!(runtime.block_on(sent).unwrap().is_ok());
}
