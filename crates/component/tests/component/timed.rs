//! The optional interface `timed`, and timers that a guest sets and deletes.

use weir_component::Limits;
use weir_model::{Column, KeyedView, Rows, hash64};
use weir_operator::{Due, Failure, Outcome};
use weir_state::{StateDecl, TimerKind, Timers};

use crate::{
    guests::guest,
    support::{Running, emitted},
};

const CLOCK: TimerKind = TimerKind::ProcessingTime;

fn idle() -> Running {
    let config = r#"{"after_ms":10,"by":"processing-time"}"#;
    Running::configured(&guest("idle-alert"), Limits::default(), config)
}

/// Fires all that is due, in one call.
fn fire(running: &mut Running, until: i64) -> Result<Outcome, Failure> {
    let mut due = Timers::default();
    let state = &mut running.cx.state;
    state.due_timers(CLOCK, until, 100, &mut due).unwrap();
    let keys: Column = due.keys.iter().collect();
    let hashes: Vec<u64> = keys.iter().map(hash64).collect();
    let key_of_row: Vec<u32> = (0..keys.len() as u32).collect();
    let keyed = KeyedView {
        keys: keys.view(),
        hashes: &hashes,
        key_of_row: &key_of_row,
    };
    running.call(false, Some(keyed), |operator, cx| {
        cx.state.fire(CLOCK, &due.at, &key_of_row).unwrap();
        let due = Due {
            kind: CLOCK,
            at: &due.at,
            keyed,
        };
        operator.on_timers(cx, due)
    })
}

#[test]
fn a_guest_sets_timers_and_is_called_with_the_state_of_their_keys() {
    let declared = guest("idle-alert");
    let declared = declared.descriptor();
    assert!(declared.timers);
    assert_eq!(declared.states.last(), Some(&StateDecl::timers()));
    let mut running = idle();
    running.process_keyed(&["ann", "bob", "ann"]).unwrap();
    assert_eq!(running.cx.state.next_timer(CLOCK).unwrap(), Some(1010));
    running.cx.processing_time.0 = 1005;
    running.process_keyed(&["bob"]).unwrap();
    // Bob's looks again, for a later time.
    let outcome = fire(&mut running, 1010).unwrap();
    assert_eq!(
        emitted(&outcome),
        [r#"{"key":"ann","idle_since_ms":1000,"rows":2}"#]
    );
    assert_eq!(running.cx.state.next_timer(CLOCK).unwrap(), Some(1015));
    let outcome = fire(&mut running, 1020).unwrap();
    assert_eq!(
        emitted(&outcome),
        [r#"{"key":"bob","idle_since_ms":1005,"rows":2}"#]
    );
    assert_eq!(running.cx.state.next_timer(CLOCK).unwrap(), None);
    assert_eq!(running.cx.metrics.all().len(), 1);
}

#[test]
fn a_call_of_timers_that_is_rolled_back_changes_nothing() {
    let mut running = idle();
    running.process_keyed(&["ann"]).unwrap();
    let rolled_back = running.call(false, None, |_, cx| {
        cx.state.rollback();
        Err::<(), _>(Failure::Internal {
            message: "as told".into(),
        })
    });
    assert!(rolled_back.is_err());
    assert_eq!(running.cx.state.next_timer(CLOCK).unwrap(), Some(1010));
    // A timer of a key that has no state does nothing, and emits nothing.
    assert_eq!(emitted(&fire(&mut running, 1010).unwrap()).len(), 1);
    assert_eq!(emitted(&fire(&mut running, 9999).unwrap()).len(), 0);
}

#[test]
fn timers_fire_once_where_the_instance_is_replaced_before_they_are_told() {
    let mut running = idle();
    running.process_keyed(&["ann"]).unwrap();
    // A row so large that behind it the instance has outgrown what it needs.
    let long: Column = [&vec![b'x'; 12 << 20][..]].into_iter().collect();
    let keys: Column = [&b"\x03ann"[..]].into_iter().collect();
    let rows = Rows {
        values: long.view(),
        timestamps: &[],
        keyed: Some(KeyedView {
            keys: keys.view(),
            hashes: &[hash64(keys.get(0))],
            key_of_row: &[0],
        }),
    };
    let outcome = running.call(false, rows.keyed, |operator, cx| {
        operator.process(cx, 0, rows)
    });
    assert_eq!(outcome.unwrap().poisoned, None);
    let outcome = fire(&mut running, 1010).unwrap();
    assert_eq!(
        emitted(&outcome),
        [r#"{"key":"ann","idle_since_ms":1000,"rows":2}"#]
    );
    assert_eq!(running.cx.state.next_timer(CLOCK).unwrap(), None);
}
