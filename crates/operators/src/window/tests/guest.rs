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
