//! The optional interface `join`: a guest that makes the rows of pairs.

use weir_component::Limits;
use weir_model::Column;
use weir_operator::{Emitted, Failure, JoinFunction, JoinFunctionFactory as _, Metric, Pairs};

use crate::{
    guests::guest,
    support::{Hand, Running, engine, task},
};

/// The guest as a function of joins, and a context to call it with.
fn winds(limits: Limits) -> (Box<dyn JoinFunction>, Running) {
    let component = guest("flights-winds");
    assert!(component.joins() && !component.aggregates());
    assert_eq!(component.descriptor().inputs, 2);
    let mut running = Running::start(&component, limits.clone()).unwrap();
    let mut function = component.joining(limits).create(&task(0)).unwrap();
    function.open(&mut running.cx).unwrap();
    assert!(function.looks_at_rows());
    (function, running)
}

fn flights(numbers: impl IntoIterator<Item = u32>) -> Column {
    let mut rows = Column::new();
    for number in numbers {
        rows.push(format!("1,2,UA,{number},N1,EWR,IAH,7,11,1400").as_bytes());
    }
    rows
}

fn reports<'a>(winds: impl IntoIterator<Item = &'a str>) -> Column {
    let mut rows = Column::new();
    for wind in winds {
        rows.push(format!("1,EWR,39.02,{wind},0,10").as_bytes());
    }
    rows
}

/// The rows of pairs of flights and reports; all have one key and the time of their index.
fn project(
    (function, running): &mut (Box<dyn JoinFunction>, Running),
    (left, right): (&Column, &Column),
    pairs: &[(u32, u32)],
) -> Result<Vec<Emitted>, Failure> {
    let keys: Column = [&b"\x03EWR"[..]].into_iter().collect();
    let (left_of, right_of): (Vec<u32>, Vec<u32>) = pairs.iter().copied().unzip();
    let times = |count: usize| (0..count as i64).collect::<Vec<_>>();
    let pairs = Pairs {
        keys: keys.view(),
        key_of_pair: &vec![0; pairs.len()],
        left: left.view(),
        left_times: &times(left.len()),
        left_of_pair: &left_of,
        right: right.view(),
        right_times: &times(right.len()),
        right_of_pair: &right_of,
        timestamps: &times(pairs.len()),
    };
    function.project(&mut running.cx, pairs)
}

/// Of each row its pair, and the flight and the wind that it names.
fn shown(emitted: &[Emitted]) -> Vec<(u32, String)> {
    let all = emitted.iter().flat_map(|one| {
        let rows = one.values.iter().map(|row| {
            let row = std::str::from_utf8(row).unwrap();
            let part = |name: &str| {
                let (_, rest) = row.split_once(&format!("\"{name}\":")).unwrap();
                rest.split([',', '}']).next().unwrap().to_owned()
            };
            format!("{} {}", part("flight"), part("wind_mph"))
        });
        one.origin.iter().copied().zip(rows)
    });
    all.collect()
}

#[test]
fn a_guest_makes_a_row_of_each_pair() {
    let mut winds = winds(Limits::default());
    let (flights, reports) = (flights([1, 2, 3]), reports(["5", "", "7.5"]));
    let pairs = [(2, 0), (2, 1), (0, 2), (1, Pairs::ABSENT)];
    let emitted = project(&mut winds, (&flights, &reports), &pairs).unwrap();
    let expected = [(0, "3 5"), (1, "3 null"), (2, "1 7.5"), (3, "2 null")];
    assert_eq!(
        shown(&emitted),
        expected.map(|(at, row)| (at, row.to_owned()))
    );
}

#[test]
fn pairs_of_many_rows_have_several_calls_and_keep_their_places() {
    let mut winds = winds(Limits::default());
    // More than what pairs share a call for.
    let flights = flights(0..60_000);
    let reports = reports(["1", "2"]);
    let pairs: Vec<(u32, u32)> = (0..60_000).rev().map(|at| (at, at % 2)).collect();
    let emitted = project(&mut winds, (&flights, &reports), &pairs).unwrap();
    assert!(emitted.len() > 2, "{} calls", emitted.len());
    let rows = shown(&emitted);
    assert_eq!(rows.len(), pairs.len());
    for (at, (pair, row)) in rows.iter().enumerate() {
        assert_eq!(*pair as usize, at);
        let flight = pairs[at].0;
        assert_eq!(*row, format!("{flight} {}", 1 + flight % 2));
    }
}

#[test]
fn a_row_is_refused_as_it_comes_and_a_pair_by_its_place() {
    let mut winds = winds(Limits::default());
    let bad = reports(["1", "strong"]);
    let (function, running) = &mut winds;
    let refused = function.accept(&mut running.cx, 1, bad.view());
    let Err(Failure::Guest {
        row: Some(1),
        message,
    }) = refused
    else {
        panic!("{refused:?}");
    };
    assert!(message.contains("strong"), "{message}");
    let good = bad.view().slice(0, 1);
    function.accept(&mut running.cx, 1, good).unwrap();
    function
        .accept(&mut running.cx, 0, flights([1]).view())
        .unwrap();

    // The last of them is in another call than the first.
    let flights = flights(0..40_000);
    let mut pairs: Vec<(u32, u32)> = (0..40_000).map(|at| (at, 0)).collect();
    pairs[39_998].1 = 1;
    let refused = project(&mut winds, (&flights, &bad), &pairs);
    assert!(
        matches!(
            refused,
            Err(Failure::Guest {
                row: Some(39_998),
                ..
            })
        ),
        "{refused:?}"
    );
}

#[test]
fn an_instance_that_is_replaced_amid_a_call_leaves_what_the_call_did() {
    let mut winds = winds(Limits::default());
    winds.1.cx.metrics.report("kept", Metric::Counter(1));
    // A report so long that the instance has outgrown what it needs behind its pair.
    let long = "0".repeat(12 << 20);
    let (flights, reports) = (flights([1, 2]), reports([&*format!("{long}5"), "6"]));
    let pairs = [(0, 0), (1, 1)];
    let emitted = project(&mut winds, (&flights, &reports), &pairs).unwrap();
    let expected = [(0, "1 5"), (1, "2 6")];
    assert_eq!(
        shown(&emitted),
        expected.map(|(at, row)| (at, row.to_owned()))
    );
    winds.1.cx.metrics.commit();
    assert_eq!(
        winds.1.cx.metrics.all().get("kept"),
        Some(&Metric::Counter(1))
    );
}

#[test]
fn who_makes_no_pairs_is_told_from_who_does() {
    let plain = Hand::default().load(&engine()).unwrap();
    assert!(!plain.joins());
    assert!(!guest("flights-medians").joins());
}
