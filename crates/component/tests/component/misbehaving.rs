//! The guest `misbehaving`, compiled as any author's: each of its deeds ends with a failure that
//! says what happened, where and in which function, and a fresh instance goes on as if nothing had
//! been.

use std::{
    fmt::Debug,
    sync::{Arc, Mutex},
    time::Duration,
};

use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span,
};
use weir_component::Limits;
use weir_operator::{Failure, Poison, Trap};

use crate::{
    guests::guest,
    support::{Running, emitted},
};

/// The failure of a row, after which a fresh instance goes on with the state of before.
fn misbehaves(row: &str, limits: Limits) -> Failure {
    let component = guest("misbehaving");
    let mut running = Running::open(&component, limits);
    assert_eq!(running.process_keyed(&["a"]).unwrap(), ["a=1"]);
    let failure = running.process_keyed(&["a", row]).unwrap_err();
    if failure.lost_instance() {
        running.operator.reset(&mut running.cx).unwrap();
    }
    assert_eq!(running.process_keyed(&["a"]).unwrap(), ["a=2"], "{failure}");
    failure
}

fn trap(failure: Failure) -> Trap {
    match failure {
        Failure::Trap(trap) => *trap,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn assert_authors(trap: &Trap, function: &str) {
    let first = &trap.backtrace[0];
    let text = trap.to_string();
    assert!(
        first.starts_with(&format!("misbehaving::{function}")),
        "{text}"
    );
    assert!(!first.contains("::h"), "{text}");
    assert!(text.contains(&format!("\n   0: {first}")), "{text}");
}

#[test]
fn a_panic_is_told_with_its_message_and_the_authors_functions() {
    let trap = trap(misbehaves("!panic", Limits::default()));
    assert!(trap.message.contains("as told"), "{}", trap.message);
    assert!(trap.message.contains("src/lib.rs"), "{}", trap.message);
    assert!(trap.message.contains("in `process`"), "{}", trap.message);
    assert_authors(&trap, "act_alone");
}

#[test]
fn a_panic_is_told_with_the_function_of_the_contract() {
    let component = guest("misbehaving");
    let planned = |place: &str| {
        let mut running = Running::start(&component, Limits::default()).unwrap();
        running.cx.config = format!(r#"{{"do": "panic", "in": "{place}"}}"#).into();
        running
    };
    let mut open = planned("open");
    let opened = open.operator.open(&mut open.cx).map(|()| Vec::new());
    let mut end = planned("end-of-input");
    end.operator.open(&mut end.cx).unwrap();
    let ended = end.operator.end_of_input(&mut end.cx, 0);
    let mut finish = planned("finish");
    finish.operator.open(&mut finish.cx).unwrap();
    let finished = finish.operator.finish(&mut finish.cx);
    for (result, place) in [
        (opened, "in `open`; it said last: "),
        (ended, "in `end-of-input`; it said last: "),
        (finished, "in `finish`; it said last: "),
    ] {
        let trap = trap(result.unwrap_err());
        assert!(trap.message.contains(place), "{}", trap.message);
        assert_authors(&trap, "act_alone");
    }
}

#[test]
fn a_stack_that_runs_out_is_told_with_who_calls_whom() {
    let trap = trap(misbehaves("!recurse", Limits::default()));
    let words = "its stack seems to have run out, it calls itself too deep";
    assert!(trap.message.contains(words), "{}", trap.message);
    assert_authors(&trap, "recurse (40+ times)");
    assert_eq!(trap.backtrace.len(), 1, "{:?}", trap.backtrace);
}

#[test]
fn limits_hold_for_what_a_compiler_makes() {
    // Each has so much of everything else that it does not depend on how busy the machine is.
    let hasty = Limits {
        time_per_call: Duration::from_millis(500),
        ..Limits::default()
    };
    let patient = Limits {
        time_per_call: Duration::from_secs(600),
        ..Limits::default()
    };
    let narrow = Limits {
        output_bytes: 1 << 20,
        ..patient.clone()
    };
    let roomy = Limits {
        memory: 256 << 20,
        ..patient.clone()
    };
    let expected = [
        ("!loop", "limits.time-per-call` is 500ms", &hasty),
        ("!hog", "limits.memory` is 64MiB", &patient),
        ("!flood", "limits.output` is 1MiB", &narrow),
        ("!fat-state", "limits.output` is 1MiB", &narrow),
        ("!long-row", "limits.output` is 16MiB a row", &roomy),
    ];
    for (row, words, limits) in expected {
        let failure = misbehaves(row, limits.clone());
        let text = failure.to_string();
        assert!(matches!(failure, Failure::Limit(_)), "{row}: {failure:?}");
        assert!(text.contains(words), "{row}: no {words:?} in {text:?}");
    }
}

#[test]
fn an_abort_says_nothing_but_where() {
    let trap = trap(misbehaves("!abort", Limits::default()));
    assert!(trap.message.contains("`unreachable`"), "{}", trap.message);
    assert_authors(&trap, "act_alone");
}

#[test]
fn an_error_of_the_whole_call_keeps_nothing_of_it() {
    let failure = misbehaves("!fatal", Limits::default());
    assert!(matches!(failure, Failure::Guest { .. }), "{failure:?}");
    assert_eq!(failure.to_string(), "the component reports: as told");
}

#[test]
fn rows_before_a_row_that_is_refused_count() {
    let component = guest("misbehaving");
    let mut running = Running::open(&component, Limits::default());
    let outcome = running.outcome_keyed(&["a", "b", "!error", "a"]).unwrap();
    let poison = Poison {
        row: 2,
        message: "as told".into(),
    };
    assert_eq!(outcome.poisoned, Some(poison));
    assert_eq!(emitted(&outcome), ["a=1", "b=1"]);
    assert_eq!(outcome.emitted[0].origin, [0, 1]);
    assert_eq!(running.process_keyed(&["a", "b"]).unwrap(), ["a=2", "b=2"]);
}

/// Counts the lines of guests, and keeps the last of them.
#[derive(Clone, Default)]
struct Ear(Arc<Mutex<(usize, String)>>);

impl Subscriber for Ear {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "weir::guest"
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        self.0.lock().unwrap().0 += 1;
        event.record(&mut self.clone());
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

impl Visit for Ear {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            self.0.lock().unwrap().1 = format!("{value:?}");
        }
    }
}

#[test]
fn ten_thousand_lines_do_not_flood_the_log() {
    let ear = Ear::default();
    tracing::subscriber::with_default(ear.clone(), || {
        let component = guest("misbehaving");
        let mut running = Running::open(&component, Limits::default());
        assert_eq!(running.process_keyed(&["!chatter"]).unwrap(), [""; 0]);
    });
    let (lines, last) = ear.0.lock().unwrap().clone();
    assert_eq!(lines, 101);
    assert_eq!(
        last,
        "lines of the component left out: 9900; 100 in a second is the most"
    );
}
