//! The queue by case, and against one that looks at everything each millisecond.

use std::time::Duration;

use proptest::prelude::*;
use weir_operator::Retry;

use super::*;

fn options(order: Order, capacity: usize) -> AsyncOptions {
    AsyncOptions {
        order,
        capacity,
        timeout: Duration::from_secs(1000),
        retry: Retry::Never,
    }
}

fn at(ms: i64) -> ProcessingTime {
    ProcessingTime(ms)
}

fn watermark(ms: i64) -> Mark {
    Mark {
        watermark: Some(EventTime(ms)),
        ..Mark::default()
    }
}

/// All that can leave, as text.
fn left(queue: &mut Queue<&'static str, &'static str>) -> Vec<String> {
    let leaving = std::iter::from_fn(|| queue.leave());
    leaving
        .map(|leaving| match leaving {
            Leaving::Row(row, result) => format!("{row}{result}"),
            Leaving::Mark(mark) => format!("wm {}", mark.watermark.unwrap()),
        })
        .collect()
}

/// Semantics 1.11: a1 takes 900 ms, a2 500 ms, then comes the watermark 5, then a3, 100 ms.
fn flinks_rows(order: Order) -> Vec<String> {
    let mut queue = Queue::new(options(order, 100));
    queue.push("a1");
    queue.push("a2");
    queue.mark(watermark(5));
    queue.push("a3");
    for _ in 0..3 {
        queue.begin(at(0)).unwrap();
    }
    let mut all = Vec::new();
    for (number, ms) in [(2, 100), (1, 500), (0, 900)] {
        queue.ended(number, Ended::Settled(""), at(ms));
        all.extend(left(&mut queue));
    }
    all
}

#[test]
fn ordered_results_leave_in_the_order_of_the_rows() {
    assert_eq!(flinks_rows(Order::Ordered), ["a1", "a2", "wm 5", "a3"]);
}

#[test]
fn unordered_results_leave_as_they_come_and_never_across_a_watermark() {
    assert_eq!(flinks_rows(Order::Unordered), ["a2", "a1", "wm 5", "a3"]);
}

#[test]
fn what_comes_between_rows_without_a_row_is_one_mark_and_what_came_later_holds() {
    let mut queue = Queue::<&str, &str>::new(options(Order::Ordered, 1));
    queue.mark(watermark(1));
    queue.mark(Mark {
        idle: Some(true),
        ..Mark::default()
    });
    queue.mark(watermark(2));
    let both = Mark {
        idle: Some(true),
        ..watermark(2)
    };
    assert_eq!(queue.leave(), Some(Leaving::Mark(both)));
    assert_eq!(queue.leave(), None);
    queue.push("a");
    queue.mark(watermark(3));
    assert_eq!(queue.leave(), None, "the row is before it");
    queue.begin(at(0)).unwrap();
    queue.ended(0, Ended::Settled("!"), at(0));
    assert_eq!(left(&mut queue), ["a!", "wm 3"]);
}

#[test]
fn a_row_that_has_ended_and_not_left_counts_against_the_capacity() {
    let mut queue = Queue::new(options(Order::Ordered, 2));
    for row in ["a", "b", "c"] {
        queue.push(row);
    }
    queue.begin(at(0)).unwrap();
    queue.begin(at(0)).unwrap();
    assert!(queue.begin(at(0)).is_none());
    queue.ended(1, Ended::Settled(""), at(1));
    assert!(queue.leave().is_none(), "it waits for the one before it");
    assert!(queue.begin(at(1)).is_none());
    assert!(queue.is_full());
    queue.ended(0, Ended::Settled(""), at(2));
    assert_eq!(left(&mut queue), ["a", "b"]);
    assert_eq!(queue.begin(at(2)), Some((2, &"c")));
    assert!(!queue.is_full());
}

#[test]
fn a_call_that_failed_is_made_again_and_the_timeout_is_that_of_all_together() {
    let mut queue = Queue::new(AsyncOptions {
        timeout: Duration::from_millis(100),
        retry: Retry::Fixed {
            attempts: 2,
            delay_ms: 30,
        },
        ..options(Order::Ordered, 1)
    });
    let late = |calls| match calls {
        2 => " late",
        _ => " ?",
    };
    queue.push("a");
    assert_eq!(queue.begin(at(0)), Some((0, &"a")));
    queue.ended(0, Ended::Failed(" failed"), at(10));
    assert_eq!(queue.next_alarm(), Some(at(40)));
    assert!(queue.begin(at(39)).is_none());
    assert!(queue.tick(at(40), late).is_empty());
    assert_eq!(queue.begin(at(40)), Some((0, &"a")));
    assert_eq!(queue.next_alarm(), Some(at(100)));
    assert_eq!(queue.tick(at(100), late), [0]);
    queue.ended(0, Ended::Settled(" too late"), at(101));
    assert_eq!(left(&mut queue), ["a late"]);
    assert_eq!(queue.next_alarm(), None);

    // One that would be called again too late is not, and says why it failed.
    queue.push("b");
    queue.begin(at(200)).unwrap();
    queue.ended(1, Ended::Failed(" failed"), at(270));
    assert_eq!(left(&mut queue), ["b failed"]);
}

/// What the calls of a row do: each takes some milliseconds and fails or does not.
type Script = Vec<(i64, bool)>;

#[derive(Clone, Debug)]
enum Op {
    Row(Script),
    Mark,
    Pass(i64),
    /// The same, and nothing is looked at meanwhile.
    Hold(i64),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Out {
    /// The row, how it ended, when.
    Row(usize, &'static str, i64),
    Mark(i64, i64),
}

const TIMEOUT_MS: i64 = 20;
const DELAY_MS: i64 = 4;
const ATTEMPTS: usize = 2;

/// What the queue makes of it, driven as a task drives it.
struct Driven {
    queue: Queue<(usize, Script), &'static str>,
    /// When a call ends, of which row and how.
    calls: Vec<(i64, u64, bool)>,
    made: BTreeMap<u64, usize>,
    out: Vec<Out>,
}

impl Driven {
    fn new(order: Order, capacity: usize) -> Self {
        Self {
            queue: Queue::new(AsyncOptions {
                order,
                capacity,
                timeout: Duration::from_millis(TIMEOUT_MS as u64),
                retry: Retry::Fixed {
                    attempts: ATTEMPTS as u32,
                    delay_ms: DELAY_MS as u64,
                },
            }),
            calls: Vec::new(),
            made: BTreeMap::new(),
            out: Vec::new(),
        }
    }

    fn settle(&mut self, now: i64) {
        loop {
            self.calls.sort();
            let mut worked = false;
            while let Some(&(until, number, good)) = self.calls.first()
                && until <= now
            {
                self.calls.remove(0);
                let ended = match good {
                    true => Ended::Settled("good"),
                    false => Ended::Failed("bad"),
                };
                self.queue.ended(number, ended, at(now));
                worked = true;
            }
            for late in self.queue.tick(at(now), |_| "late") {
                self.calls.retain(|&(_, number, _)| number != late);
            }
            while let Some((number, (_, script))) = self.queue.begin(at(now)) {
                let made = self.made.entry(number).or_default();
                let (takes, good) = script[*made % script.len()];
                *made += 1;
                self.calls.push((now + takes, number, good));
                worked = true;
            }
            while let Some(leaving) = self.queue.leave() {
                self.out.push(match leaving {
                    Leaving::Row((row, _), how) => Out::Row(row, how, now),
                    Leaving::Mark(mark) => Out::Mark(mark.watermark.unwrap().0, now),
                });
                worked = true;
            }
            if !worked {
                return;
            }
        }
    }
}

/// The same, each thing looked at each millisecond.
#[derive(Default)]
struct Naive {
    order: Order,
    capacity: usize,
    items: Vec<Item>,
    endings: usize,
    out: Vec<Out>,
}

enum Item {
    Row(Row),
    Mark(i64),
}

struct Row {
    number: usize,
    script: Script,
    made: usize,
    begun: Option<i64>,
    runs_until: Option<i64>,
    rests_until: Option<i64>,
    ended: Option<(usize, &'static str)>,
}

impl Naive {
    fn rows(&mut self) -> Vec<&mut Row> {
        let rows = self.items.iter_mut().filter_map(|item| match item {
            Item::Row(row) => Some(row),
            Item::Mark(_) => None,
        });
        rows.collect()
    }

    fn settle(&mut self, now: i64) {
        while self.end_calls(now) | self.begin_calls(now) | self.let_leave(now) {}
    }

    fn hold(&mut self, ms: i64) {
        for row in self.rows() {
            row.begun = row.begun.map(|begun| begun + ms);
            row.rests_until = row.rests_until.map(|until| until + ms);
        }
    }

    fn end_calls(&mut self, now: i64) -> bool {
        let mut endings = self.endings;
        let mut rows = self.rows();
        rows.sort_by_key(|row| (row.runs_until.unwrap_or(i64::MAX), row.number));
        let mut worked = false;
        for row in &mut rows {
            if row.runs_until.is_none_or(|until| until > now) {
                continue;
            }
            worked = true;
            row.runs_until = None;
            let (_, good) = row.script[(row.made - 1) % row.script.len()];
            let deadline = row.begun.unwrap() + TIMEOUT_MS;
            if !good && row.made <= ATTEMPTS && now + DELAY_MS < deadline {
                row.rests_until = Some(now + DELAY_MS);
            } else {
                endings += 1;
                row.ended = Some((endings, if good { "good" } else { "bad" }));
            }
        }
        rows.sort_by_key(|row| (row.begun, row.number));
        for row in rows {
            if row.ended.is_none() && row.begun.is_some_and(|begun| begun + TIMEOUT_MS <= now) {
                endings += 1;
                row.ended = Some((endings, "late"));
                (row.runs_until, row.rests_until) = (None, None);
            }
        }
        self.endings = endings;
        worked
    }

    fn begin_calls(&mut self, now: i64) -> bool {
        let capacity = self.capacity;
        let mut worked = false;
        let mut rows = self.rows();
        rows.sort_by_key(|row| (row.rests_until.unwrap_or(i64::MAX), row.number));
        let mut begun = rows.iter().filter(|row| row.begun.is_some()).count();
        for row in rows {
            let again = row.rests_until.is_some_and(|until| until <= now);
            let first = row.begun.is_none() && begun < capacity;
            if again || first {
                begun += usize::from(first);
                row.begun.get_or_insert(now);
                row.rests_until = None;
                row.runs_until = Some(now + row.script[row.made % row.script.len()].0);
                row.made += 1;
                worked = true;
            }
        }
        worked
    }

    fn let_leave(&mut self, now: i64) -> bool {
        let mut worked = false;
        loop {
            let free = |item: &Item| match item {
                Item::Mark(_) => None,
                Item::Row(row) => row.ended,
            };
            let segment = self.items.iter();
            let segment = segment.take_while(|item| matches!(item, Item::Row(_)));
            let next = match (self.items.first(), self.order) {
                (None, _) => None,
                (Some(Item::Mark(_)), _) => Some(0),
                (Some(item), Order::Ordered) => free(item).map(|_| 0),
                (Some(_), Order::Unordered) => segment
                    .enumerate()
                    .filter_map(|(place, item)| Some((free(item)?.0, place)))
                    .min()
                    .map(|(_, place)| place),
            };
            let Some(place) = next else {
                return worked;
            };
            worked = true;
            self.out.push(match self.items.remove(place) {
                Item::Mark(mark) => Out::Mark(mark, now),
                Item::Row(row) => Out::Row(row.number, row.ended.unwrap().1, now),
            });
        }
    }
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let script = prop::collection::vec((0i64..15, prop::bool::weighted(0.6)), 1..4);
    prop::collection::vec(
        prop_oneof![
            5 => script.prop_map(Op::Row),
            1 => Just(Op::Mark),
            3 => (0i64..12).prop_map(Op::Pass),
            1 => (0i64..30).prop_map(Op::Hold),
        ],
        1..60,
    )
}

proptest! {
    #[test]
    fn the_queue_does_what_is_plainly_meant(
        ops in ops(),
        ordered in any::<bool>(),
        capacity in 1usize..5,
    ) {
        let order = if ordered { Order::Ordered } else { Order::Unordered };
        let mut driven = Driven::new(order, capacity);
        let mut naive = Naive { order, capacity, ..Naive::default() };
        let (mut now, mut rows, mut marks) = (0, 0, 0);
        let end = Op::Pass(2000);
        for op in ops.iter().chain([&end]) {
            match op {
                Op::Row(script) => {
                    driven.queue.push((rows, script.clone()));
                    naive.items.push(Item::Row(Row {
                        number: rows,
                        script: script.clone(),
                        made: 0,
                        begun: None,
                        runs_until: None,
                        rests_until: None,
                        ended: None,
                    }));
                    rows += 1;
                }
                Op::Mark => {
                    marks += 1;
                    driven.queue.mark(watermark(marks));
                    // Those without a row in between are one.
                    if let Some(Item::Mark(last)) = naive.items.last_mut() {
                        *last = marks;
                    } else {
                        naive.items.push(Item::Mark(marks));
                    }
                }
                Op::Pass(ms) => {
                    for _ in 0..*ms {
                        now += 1;
                        driven.settle(now);
                        naive.settle(now);
                    }
                }
                Op::Hold(_) => {}
            }
            if let Op::Hold(ms) = op {
                now += ms;
                driven.queue.postpone(*ms as u64);
                naive.hold(*ms);
            }
            driven.settle(now);
            naive.settle(now);
            prop_assert_eq!(&driven.out, &naive.out);
            prop_assert!(driven.queue.begun() <= capacity);
            // What has not left is what a snapshot holds.
            let gone = driven.out.iter().filter_map(|out| match out {
                Out::Row(row, ..) => Some(*row),
                Out::Mark(..) => None,
            });
            let mut all: Vec<usize> = gone.collect();
            let held: Vec<usize> = driven.queue.rows().map(|(row, _)| *row).collect();
            prop_assert!(held.is_sorted());
            all.extend(held);
            all.sort_unstable();
            prop_assert_eq!(all, (0..rows).collect::<Vec<_>>());
        }
        prop_assert_eq!(driven.queue.rows().count(), 0);
        prop_assert_eq!(driven.queue.next_alarm(), None);
    }
}
