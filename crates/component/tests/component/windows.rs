//! The optional interfaces `window-function` and `trigger`: a guest that sees all rows of windows,
//! and one that decides when they give their results.

use weir_component::Limits;
use weir_model::{Column, EventTime, OptionalColumn, ProcessingTime};
use weir_operator::{
    Added, Asked, Contents, Decided, Emitted, Failure, FiredWindows, Metric, Verdict, Window,
    WindowFunction, WindowFunctionFactory as _,
};

use crate::{
    guests::guest,
    support::{Hand, Running, engine, task},
};

const DAY: i64 = 86_400_000;

/// The guest as a function of windows, and a context to call it with.
fn medians(limits: Limits) -> (Box<dyn WindowFunction>, Running) {
    let component = guest("flights-medians");
    assert!(component.sees_windows() && !component.aggregates());
    let mut running = Running::start(&component, limits.clone()).unwrap();
    let factory = component.windows(limits, false);
    assert!(!factory.aggregates());
    let mut function = factory.create(&task(0)).unwrap();
    function.open(&mut running.cx).unwrap();
    (function, running)
}

fn rows(delays: impl IntoIterator<Item = i64>) -> Column {
    let mut rows = Column::new();
    for delay in delays {
        rows.push(format!("1,2,UA,1,N1,EWR,IAH,{delay},11,1400").as_bytes());
    }
    rows
}

fn key(airport: &str) -> Vec<u8> {
    let mut key = vec![airport.len() as u8];
    key.extend(airport.as_bytes());
    key
}

/// The results of windows, each of an airport that holds so many of the rows.
fn apply(
    (function, running): &mut (Box<dyn WindowFunction>, Running),
    airports: &[(&str, u32)],
    rows: &Column,
) -> Result<Vec<Emitted>, Failure> {
    let keys: Vec<Vec<u8>> = airports.iter().map(|(airport, _)| key(airport)).collect();
    let keys: Column = keys.iter().map(Vec::as_slice).collect();
    let windows: Vec<Window> = (0..airports.len() as i64)
        .map(|day| Window {
            start: day * DAY,
            end: (day + 1) * DAY,
        })
        .collect();
    let mut end = 0;
    let ends: Vec<u32> = airports
        .iter()
        .map(|(_, count)| {
            end += count;
            end
        })
        .collect();
    let times = vec![7; rows.len()];
    let fired = FiredWindows {
        keys: keys.view(),
        windows: &windows,
        contents: Contents::Rows {
            values: rows.view(),
            timestamps: &times,
            ends: &ends,
        },
    };
    function.apply(&mut running.cx, fired)
}

fn medians_of(emitted: &[Emitted]) -> Vec<(u32, String)> {
    let all = emitted.iter().flat_map(|one| {
        let rows = one.values.iter().map(|row| {
            let row = std::str::from_utf8(row).unwrap();
            let from = row.find("\"flights\"").unwrap();
            row[from..].trim_end_matches('}').replace('"', "")
        });
        one.origin.iter().copied().zip(rows)
    });
    all.collect()
}

#[test]
fn a_guest_sees_all_rows_of_each_window() {
    let mut medians = medians(Limits::default());
    let rows = rows([9, 1, 5, -3, 8]);
    let emitted = apply(&mut medians, &[("EWR", 3), ("JFK", 2)], &rows).unwrap();
    assert_eq!(
        medians_of(&emitted),
        [
            (0, "flights:3,median_dep_delay_min:5".to_owned()),
            (1, "flights:2,median_dep_delay_min:-3".to_owned()),
        ]
    );
}

#[test]
fn windows_of_many_rows_have_calls_of_their_own_and_keep_their_places() {
    let mut medians = medians(Limits::default());
    // More than what windows share a call for.
    let rows = rows((0..60_002).map(|row| row % 101));
    let airports = [("EWR", 1), ("JFK", 40_000), ("LGA", 20_000), ("EWR", 1)];
    let emitted = apply(&mut medians, &airports, &rows).unwrap();
    assert!(emitted.len() > 2, "{} calls", emitted.len());
    let places: Vec<u32> = medians_of(&emitted).iter().map(|(at, _)| *at).collect();
    assert_eq!(places, [0, 1, 2, 3]);
    assert!(medians_of(&emitted)[1].1.starts_with("flights:40000,"));
}

#[test]
fn a_row_is_refused_as_it_comes() {
    let (mut function, mut running) = medians(Limits::default());
    let mut rows = rows([1, 2]);
    rows.push(b"1,2,UA,1,N1,EWR,IAH,soon,11,1400");
    let refused = function.accept(&mut running.cx, rows.view());
    let Err(Failure::Guest {
        row: Some(2),
        message,
    }) = refused
    else {
        panic!("{refused:?}");
    };
    assert!(message.contains("soon"), "{message}");
    let rows = rows.view().slice(0, 2);
    function.accept(&mut running.cx, rows).unwrap();
}

#[test]
fn a_window_that_is_larger_than_the_memory_of_the_guest_names_the_limit() {
    let limits = Limits {
        memory: 2 << 20,
        ..Limits::default()
    };
    let mut medians = medians(limits);
    let rows = rows((0..70_000).map(|row| row % 101));
    let failure = apply(&mut medians, &[("EWR", 70_000)], &rows).unwrap_err();
    let message = failure.to_string();
    for says in [
        "the window [0, 86400000) holds 70000 rows",
        "limit `limits.memory` is 2MiB",
    ] {
        assert!(message.contains(says), "{message}");
    }
}

#[test]
fn an_instance_that_is_replaced_amid_a_call_leaves_what_the_call_did() {
    let mut medians = medians(Limits::default());
    medians.1.cx.metrics.report("kept", Metric::Counter(1));
    // Rows so large that behind their window the instance has outgrown what it needs.
    let long = "0".repeat(12 << 20);
    let mut rows = rows([3]);
    rows.push(format!("{long},2,UA,1,N1,EWR,IAH,4,11,1400").as_bytes());
    let emitted = apply(&mut medians, &[("EWR", 2)], &rows).unwrap();
    assert_eq!(medians_of(&emitted).len(), 1);
    let rows = self::rows([5]);
    apply(&mut medians, &[("EWR", 1)], &rows).unwrap();
    medians.1.cx.metrics.commit();
    let kept = medians.1.cx.metrics.all().get("kept");
    assert_eq!(kept, Some(&Metric::Counter(1)));
}

#[test]
fn who_exports_nothing_for_windows_is_told_from_who_does() {
    let plain = Hand::default().load(&engine()).unwrap();
    assert!(!plain.sees_windows() && !plain.aggregates());
    let folds = guest("flights-departures");
    assert!(folds.aggregates() && !folds.sees_windows());
}

/// Of two windows nothing is remembered.
fn nothing() -> OptionalColumn {
    let mut nothing = OptionalColumn::new();
    nothing.push(None);
    nothing.push(None);
    nothing
}

/// What the trigger of a guest says of rows, each added to one of two windows of a key.
fn decide(
    (function, running): &mut (Box<dyn WindowFunction>, Running),
    remembered: &OptionalColumn,
    (rows, window_of): (&Column, &[u32]),
) -> Result<Decided, Failure> {
    let keys: Column = [key("EWR"), key("EWR")].iter().map(Vec::as_slice).collect();
    let windows = [0, DAY].map(|start| Window {
        start,
        end: start + DAY,
    });
    let asked = Asked {
        keys: keys.view(),
        windows: &windows,
        remembered,
        watermark: EventTime(3),
        now: ProcessingTime(4),
    };
    let row_of: Vec<u32> = (0..rows.len() as u32).collect();
    let times = vec![7; rows.len()];
    let added = Added {
        rows: rows.view(),
        timestamps: &times,
        row_of: &row_of,
        window_of,
    };
    function.decide_rows(&mut running.cx, asked, added)
}

#[test]
fn a_trigger_of_a_guest_counts_each_window_for_itself() {
    let component = guest("flights-warnings");
    assert!(component.triggers() && component.aggregates());
    let mut running = Running::start(&component, Limits::default()).unwrap();
    let factory = component.windows(Limits::default(), true);
    let mut function = factory.create(&task(0)).unwrap();
    function.open(&mut running.cx).unwrap();
    let mut warnings = (function, running);
    let nothing = nothing();

    let nine = rows([60; 9]);
    let decided = decide(&mut warnings, &nothing, (&nine, &[0; 9])).unwrap();
    assert_eq!(decided.verdicts, [Verdict::CONTINUE; 9]);
    // Of the other window nothing is remembered.
    assert!(decided.remembered.get(0).is_some() && decided.remembered.get(1).is_none());
    assert!(decided.timers.is_empty());

    // The next late one is the tenth of the first window, and the first of the second.
    let two = rows([60, 60]);
    let decided = decide(&mut warnings, &decided.remembered, (&two, &[1, 0])).unwrap();
    assert_eq!(decided.verdicts, [Verdict::CONTINUE, Verdict::FIRE]);
    assert!(decided.remembered.get(0).is_none() && decided.remembered.get(1).is_some());

    let mut bad = rows([60]);
    bad.push(b"1,2,UA,1,N1,EWR,IAH,soon,11,1400");
    let refused = decide(&mut warnings, &nothing, (&bad, &[0, 0]));
    assert!(
        matches!(refused, Err(Failure::Guest { row: Some(1), .. })),
        "{refused:?}"
    );
}

#[test]
fn who_is_no_trigger_says_so() {
    let mut medians = medians(Limits::default());
    let nothing = nothing();
    let failure = decide(&mut medians, &nothing, (&rows([1]), &[0])).unwrap_err();
    assert!(failure.to_string().contains("`trigger`"), "{failure}");
}
