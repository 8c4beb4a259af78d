//! Triggers of the function: those of the host, written as an author writes them, give what the
//! host's give.

use weir_operator::{Added, Asked, Decided, DueTimers};
use weir_window::{TimerChange, TriggerState, Verdict};

use super::*;

/// A trigger as an author writes one: a window at a time.
pub(super) trait Decides: Send {
    fn row(&self, state: &mut Vec<u8>, of: Of, time: i64, timers: &mut Vec<TimerChange>)
    -> Verdict;
    fn timer(
        &self,
        state: &mut Vec<u8>,
        of: Of,
        due: (TimerKind, i64),
        timers: &mut Vec<TimerChange>,
    ) -> Verdict;
}

/// A window, and when it is.
#[derive(Clone, Copy)]
pub(super) struct Of {
    window: Window,
    watermark: EventTime,
    now: ProcessingTime,
}

/// What the host has, the other way round.
impl Decides for Trigger {
    fn row(
        &self,
        state: &mut Vec<u8>,
        of: Of,
        time: i64,
        timers: &mut Vec<TimerChange>,
    ) -> Verdict {
        let mut own = TriggerState::decode(state).unwrap();
        let at = (of.watermark, of.now);
        let verdict = self.on_element(&mut own, (of.window, time), at, timers);
        *state = own.encode();
        verdict
    }

    fn timer(
        &self,
        state: &mut Vec<u8>,
        of: Of,
        (kind, at): (TimerKind, i64),
        timers: &mut Vec<TimerChange>,
    ) -> Verdict {
        let mut own = TriggerState::decode(state).unwrap();
        let verdict = match kind {
            TimerKind::EventTime => {
                self.on_event_time(&mut own, of.window, (EventTime(at), of.watermark), timers)
            }
            TimerKind::ProcessingTime => {
                self.on_processing_time(&mut own, of.window, ProcessingTime(at), timers)
            }
        };
        *state = own.encode();
        verdict
    }
}

/// Gives a result when no row of a window came for so long, in event time.
struct Quiet(i64);

impl Decides for Quiet {
    fn row(&self, state: &mut Vec<u8>, _: Of, time: i64, timers: &mut Vec<TimerChange>) -> Verdict {
        if let Some(before) = state.first_chunk() {
            let before = EventTime(i64::from_le_bytes(*before));
            timers.push(TimerChange::NoEvent(before));
        }
        timers.push(TimerChange::Event(EventTime(time + self.0)));
        *state = (time + self.0).to_le_bytes().to_vec();
        Verdict::CONTINUE
    }

    fn timer(
        &self,
        state: &mut Vec<u8>,
        _: Of,
        (_, at): (TimerKind, i64),
        _: &mut Vec<TimerChange>,
    ) -> Verdict {
        assert_eq!(state[..], at.to_le_bytes(), "a timer that was deleted");
        state.clear();
        Verdict::FIRE
    }
}

/// Asks a trigger about one window after the other.
fn decide(
    asked: Asked<'_>,
    window_of: &[u32],
    one: impl Fn(usize, &mut Vec<u8>, Of, &mut Vec<TimerChange>) -> Verdict,
) -> Decided {
    let remembered = asked.remembered.iter();
    let mut states: Vec<Vec<u8>> = remembered
        .map(|state| state.unwrap_or_default().to_vec())
        .collect();
    let mut decided = Decided::default();
    for (at, &window) in window_of.iter().enumerate() {
        let of = Of {
            window: asked.windows[window as usize],
            watermark: asked.watermark,
            now: asked.now,
        };
        let mut timers = Vec::new();
        let state = &mut states[window as usize];
        decided.verdicts.push(one(at, state, of, &mut timers));
        let timers = timers.into_iter().map(|change| (window, change));
        decided.timers.extend(timers);
    }
    for state in &states {
        let state = Some(&state[..]).filter(|state| !state.is_empty());
        decided.remembered.push(state);
    }
    decided
}

pub(super) fn rows(trigger: &dyn Decides, asked: Asked<'_>, added: Added<'_>) -> Decided {
    decide(asked, added.window_of, |at, state, of, timers| {
        let time = added.timestamps[added.row_of[at] as usize];
        trigger.row(state, of, time, timers)
    })
}

pub(super) fn timers(trigger: &dyn Decides, asked: Asked<'_>, due: DueTimers<'_>) -> Decided {
    decide(asked, due.window_of, |at, state, of, timers| {
        trigger.timer(state, of, (due.kind, due.at[at]), timers)
    })
}

/// Whether the operator with a trigger of the function gives what the reference gives with it.
fn compare_asked(
    rules: &Rules,
    aggregates: bool,
    events: &[Event],
    limit: usize,
) -> Result<(), String> {
    let asks = Rules {
        trigger: Trigger::Guest,
        ..rules.clone()
    };
    let trigger: Box<dyn Decides> = Box::new(rules.trigger.clone());
    let bench = Bench::with(asks, aggregates, false, Some(trigger));
    compare_with(bench, rules, events, limit)
}

impl Bench {
    /// The timers that are set.
    fn pending(&mut self) -> Vec<(TimerKind, i64)> {
        let mut all = Vec::new();
        for kind in TimerKind::ALL {
            let mut due = Timers::default();
            let state = &mut self.cx.state;
            state.due_timers(kind, i64::MAX, 10_000, &mut due).unwrap();
            all.extend(due.at.iter().map(|&at| (kind, at)));
        }
        all
    }
}

fn asked_with(assigner: Assigner, trigger: impl Decides + 'static) -> Bench {
    let rules = Rules {
        assigner,
        trigger: Trigger::Guest,
        lateness: Lateness { allowed_ms: 0 },
        evictor: None,
        event_time: true,
    };
    Bench::with(rules, true, false, Some(Box::new(trigger)))
}

#[test]
fn a_timer_that_is_set_and_deleted_in_a_call_is_not_set() {
    let mut bench = asked_with(Assigner::Global, Quiet(10));
    let rows: Vec<(u8, i64, u64)> = (0..1000).map(|row| (1, row, row as u64)).collect();
    bench.rows(&rows);
    assert_eq!(bench.pending(), [(TimerKind::EventTime, 999 + 10)]);
    // What is set again after that is set.
    bench.rows(&[(1, 2000, 1), (1, 2001, 2), (1, 2000, 3)]);
    assert_eq!(bench.pending(), [(TimerKind::EventTime, 2000 + 10)]);
    assert_eq!(bench.watermark(EventTime(3000), 10).len(), 1);
    assert_eq!(bench.pending(), []);
}

/// Sets timers far behind its window, and more of them when it is asked about one.
struct Far;

impl Far {
    const TIMERS: [TimerChange; 3] = [
        TimerChange::Processing(ProcessingTime(1_000_000)),
        TimerChange::Event(EventTime(i64::MAX)),
        TimerChange::Event(EventTime(95)),
    ];
}

impl Decides for Far {
    fn row(&self, _: &mut Vec<u8>, of: Of, _: i64, timers: &mut Vec<TimerChange>) -> Verdict {
        timers.extend(Self::TIMERS);
        timers.push(TimerChange::Event(of.window.max_timestamp()));
        Verdict::CONTINUE
    }

    fn timer(
        &self,
        _: &mut Vec<u8>,
        _: Of,
        (_, at): (TimerKind, i64),
        timers: &mut Vec<TimerChange>,
    ) -> Verdict {
        assert_ne!(at, i64::MAX, "the window is over long since");
        timers.extend(Self::TIMERS);
        timers.push(TimerChange::Event(EventTime(at)));
        timers.push(TimerChange::Processing(ProcessingTime(2_000_000)));
        Verdict::FIRE
    }
}

#[test]
fn the_timers_of_a_trigger_are_gone_with_their_window() {
    for limit in [1, 100] {
        let tumbling = Assigner::Tumbling {
            size: 10,
            offset: 0,
        };
        let mut bench = asked_with(tumbling, Far);
        bench.rows(&[(1, 5, 1), (1, 15, 2), (1, 25, 3)]);
        assert_eq!(bench.watermark(EventTime(19), limit).len(), 2);
        // The third window waits for them still, and is cleared at 29.
        let kept = [29, 95, i64::MAX].map(|at| (TimerKind::EventTime, at));
        let kept = [&kept[..], &[(TimerKind::ProcessingTime, 1_000_000)]].concat();
        assert_eq!(bench.pending(), kept);
        assert_eq!(bench.watermark(EventTime(200), limit), ["k1 [20, 30) 3,"]);
        assert_eq!(bench.pending(), []);
        assert_eq!(bench.cx.state.next_timer(TimerKind::EventTime), Ok(None));
    }
}

/// Waits for another time with each row, and gives a result at the last one.
struct OfEachRow(i64);

impl Decides for OfEachRow {
    fn row(&self, _: &mut Vec<u8>, _: Of, time: i64, timers: &mut Vec<TimerChange>) -> Verdict {
        timers.push(TimerChange::Event(EventTime(time + self.0)));
        Verdict::CONTINUE
    }

    fn timer(
        &self,
        state: &mut Vec<u8>,
        _: Of,
        (_, at): (TimerKind, i64),
        _: &mut Vec<TimerChange>,
    ) -> Verdict {
        let before = state
            .first_chunk()
            .map_or(0, |count| i64::from_le_bytes(*count));
        *state = (before + 1).to_le_bytes().to_vec();
        match before + 1 == self.0 {
            true => Verdict::FIRE,
            false => {
                assert_eq!(at, self.0 + before, "in order");
                Verdict::CONTINUE
            }
        }
    }
}

/// It takes minutes where each of them is looked for among all.
#[test]
fn a_window_may_wait_for_very_many_times() {
    const TIMES: i64 = 200_000;
    for limit in [TIMES as usize, 50_000] {
        let mut bench = asked_with(Assigner::Global, OfEachRow(TIMES));
        let rows: Vec<(u8, i64, u64)> = (0..TIMES).map(|time| (1, time, 1)).collect();
        bench.rows(&rows);
        assert_eq!(bench.watermark(EventTime(2 * TIMES), limit).len(), 1);
        assert_eq!(bench.pending(), []);
    }
}

/// Sets and deletes timers by whatever its window and the time are, ones behind the window too.
struct Whatever;

impl Whatever {
    fn change(of: Of, at: i64, timers: &mut Vec<TimerChange>) -> Verdict {
        let what = hash64(&[of.window.encode().as_slice(), &at.to_le_bytes()].concat());
        let later = |bits: u32| at.saturating_add((what >> bits) as i64 % 8 + 1);
        if what & 1 == 0 {
            timers.push(TimerChange::Event(EventTime(later(8))));
        }
        if what & 6 == 0 {
            timers.push(TimerChange::NoEvent(EventTime(later(12))));
        }
        if what & 8 == 0 {
            timers.push(TimerChange::Event(EventTime(later(16))));
        }
        if what & 48 == 0 {
            timers.push(TimerChange::NoEvent(EventTime(later(16))));
        }
        if what & 192 == 0 {
            timers.push(TimerChange::Processing(ProcessingTime(later(20))));
        }
        Verdict::FIRE
    }
}

impl Decides for Whatever {
    fn row(&self, _: &mut Vec<u8>, of: Of, time: i64, timers: &mut Vec<TimerChange>) -> Verdict {
        Self::change(of, time, timers);
        Verdict::CONTINUE
    }

    fn timer(
        &self,
        _: &mut Vec<u8>,
        of: Of,
        (_, at): (TimerKind, i64),
        timers: &mut Vec<TimerChange>,
    ) -> Verdict {
        Self::change(of, at, timers)
    }
}

fn by_the_clock() -> impl Strategy<Value = Trigger> {
    prop_oneof![
        Just(Trigger::ProcessingTime),
        (2_i64..9).prop_map(Trigger::ContinuousProcessingTime),
        (1_u64..5).prop_map(Trigger::Count),
        (1_u64..5).prop_map(|rows| Trigger::Purging(Box::new(Trigger::Count(rows)))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn c26_a_trigger_of_the_function_is_as_one_of_the_host(
        assigner in assigner().prop_filter("windows merge", |assigner| !assigner.merges()),
        (trigger, event_time) in prop_oneof![
            2 => trigger().prop_map(|trigger| (trigger, true)),
            1 => by_the_clock().prop_map(|trigger| (trigger, false)),
        ],
        lateness in prop_oneof![Just(0), 0_u64..15],
        evictor in evictor(),
        aggregates: bool,
        events in events(),
        limit in 1_usize..20,
    ) {
        let lateness = if event_time { lateness } else { 0 };
        let rules = Rules {
            assigner,
            trigger,
            lateness: Lateness { allowed_ms: lateness },
            evictor,
            event_time,
        };
        let compared = compare_asked(&rules, aggregates, &events, limit);
        prop_assert!(compared.is_ok(), "{}", compared.unwrap_err());
    }

    #[test]
    fn a_trigger_is_asked_about_many_timers_as_about_one_after_the_other(
        assigner in assigner().prop_filter("windows merge", |assigner| !assigner.merges()),
        events in events(),
        limit in 2_usize..20,
    ) {
        let mut benches = [1, limit].map(|limit| (limit, asked_with(assigner.clone(), Whatever)));
        let mut number = 0;
        for event in events {
            let shown = match event {
                Event::Rows(rows) => {
                    let numbered = rows.into_iter().map(|(key, time)| {
                        number += 1;
                        (key, time, number)
                    });
                    let numbered: Vec<_> = numbered.collect();
                    benches.each_mut().map(|(_, bench)| bench.rows(&numbered))
                }
                Event::Watermark(to) => benches.each_mut().map(|(limit, bench)| {
                    let mut shown = bench.watermark(EventTime(to), *limit);
                    shown.sort();
                    shown
                }),
                Event::Clock(to) => benches.each_mut().map(|(limit, bench)| {
                    let mut shown = bench.clock(ProcessingTime(to), *limit);
                    shown.sort();
                    shown
                }),
            };
            prop_assert_eq!(&shown[0], &shown[1]);
            // One at which a window would end stays: whether there is such a window is not known.
            let [one, many] = benches.each_mut().map(|(_, bench)| {
                let mut all = bench.pending();
                all.retain(|(kind, at)| bench.operator.window_over(*kind, *at).is_none());
                all
            });
            prop_assert_eq!(one, many);
        }
    }

    #[test]
    fn a_trigger_that_deletes_its_timers_is_not_called_for_them(
        size in 6_i64..30,
        quiet in 1_i64..12,
        lateness in prop_oneof![Just(0), 0_u64..15],
        events in events(),
        limit in 1_usize..20,
    ) {
        let assigner = Assigner::Tumbling { size, offset: 0 };
        let lateness = Lateness { allowed_ms: lateness };
        let rules = Rules {
            assigner: assigner.clone(),
            trigger: Trigger::Guest,
            lateness,
            evictor: None,
            event_time: true,
        };
        let mut bench = Bench::with(rules, false, false, Some(Box::new(Quiet(quiet))));
        // Of each key and window its rows, and when it was quiet long enough.
        let mut all: BTreeMap<(u8, Window), (Vec<u64>, Option<i64>)> = BTreeMap::new();
        let (mut watermark, mut number) = (EventTime::MIN, 0);
        for event in events {
            match event {
                Event::Rows(rows) => {
                    let mut numbered = Vec::new();
                    for (key, time) in rows {
                        number += 1;
                        numbered.push((key, time, number));
                        let window = assigner.assign(time).next().unwrap();
                        if !lateness.is_gone(window, watermark) {
                            let of = all.entry((key, window)).or_default();
                            of.0.push(number);
                            of.1 = Some(time + quiet);
                        }
                    }
                    prop_assert!(bench.rows(&numbered).is_empty());
                }
                Event::Watermark(to) => {
                    watermark = watermark.max(EventTime(to));
                    let mut wanted = Vec::new();
                    all.retain(|(key, window), (rows, at)| {
                        let over = lateness.cleanup(*window);
                        let due = at.filter(|at| EventTime(*at) <= watermark.min(over));
                        if due.is_some() {
                            *at = None;
                            let rows: String = rows.iter().map(|row| format!("{row},")).collect();
                            wanted.push(format!("k{key} {window} {rows}"));
                        }
                        over > watermark
                    });
                    wanted.sort();
                    let mut found = bench.watermark(watermark, limit);
                    found.sort();
                    prop_assert_eq!(found, wanted);
                }
                Event::Clock(_) => {}
            }
        }
    }
}
