//! Pairs of rows, by the harness.

use crate::testing::Harness;
use crate::{Counter, Ctx, Describe, JoinFunction, Result, Row, SideOutput, bail};

/// Adds numbers up.
#[derive(Default)]
struct Sums {
    pairs: Counter,
    large: SideOutput<String>,
}

impl JoinFunction for Sums {
    type Left = i64;
    type Right = i64;
    type Out = String;

    fn describe(&mut self, d: &mut Describe) {
        d.counter("pairs", &mut self.pairs);
        d.side_output("large", &mut self.large);
    }

    fn accept_right(&mut self, row: i64) -> Result<()> {
        if row < 0 {
            bail!("{row} is below zero")
        }
        Ok(())
    }

    fn join(&mut self, left: Row<i64>, right: Row<i64>, ctx: &mut Ctx<String>) -> Result<()> {
        assert_eq!((left.input, right.input), (0, 1));
        self.pairs.add(1);
        let Some(sum) = left.value.checked_add(right.value) else {
            bail!("{} and {} are too much", left.value, right.value)
        };
        if sum > 100 {
            return ctx.to(&self.large).emit(sum.to_string());
        }
        let after = right.timestamp.unwrap_or(0) - left.timestamp.unwrap_or(0);
        ctx.emit(format_args!("{}: {sum} after {after}", ctx.key()))
    }

    fn left_only(&mut self, left: Row<i64>, ctx: &mut Ctx<String>) -> Result<()> {
        ctx.emit(format_args!("{}: {} alone", ctx.key(), left.value))
    }
}

fn open() -> Harness {
    Harness::open::<Sums, _>("null").unwrap()
}

const NONE: [(i64, &str); 0] = [];

#[test]
fn each_left_row_meets_each_right_one() {
    let mut sums = open();
    let out = sums
        .join("a", [(1, "1"), (4, "2")], [(2, "10"), (3, "100")])
        .unwrap();
    assert_eq!(out.main(), ["a: 11 after 1", "a: 12 after -2"]);
    assert_eq!(out.side("large"), ["101", "102"]);
    let [main, large] = &out.emitted[..] else {
        panic!("{:?}", out.emitted);
    };
    assert_eq!(
        (&main.origin[..], &main.timestamps[..]),
        (&[0, 2][..], &[2, 4][..])
    );
    assert_eq!(
        (&large.origin[..], &large.timestamps[..]),
        (&[1, 3][..], &[3, 4][..])
    );
    assert_eq!(sums.metric("pairs"), Some(4.0));
}

#[test]
fn rows_without_another_have_a_function_of_their_own() {
    let mut sums = open();
    let out = sums.join("a", [(1, "7")], NONE).unwrap();
    assert_eq!(out.main(), ["a: 7 alone"]);
    let error = sums.join("a", NONE, [(1, "7")]).unwrap_err();
    assert!(error.contains("no `right_only`"), "{error}");
    assert!(sums.join("a", NONE, NONE).unwrap().emitted.is_empty());
}

#[test]
fn a_row_is_refused_as_it_comes() {
    let mut sums = open();
    for (left, right, place, says) in [
        (["1", "x"], "1", 1, "x"),
        (["1", "2"], "y", 2, "y"),
        (["1", "2"], "-3", 2, "below zero"),
    ] {
        let left = left.map(|row| (0, row));
        let out = sums.join("a", left, [(0, right)]).unwrap();
        let (refused, why) = out.poisoned.unwrap();
        assert_eq!(refused, place);
        assert!(why.contains(says), "{why}");
        assert!(out.emitted.is_empty());
    }
}

#[test]
fn of_a_call_with_a_refused_pair_nothing_counts() {
    let mut sums = open();
    let most = i64::MAX.to_string();
    let out = sums
        .join("a", [(0, "1")], [(0, "2"), (0, most.as_str()), (0, "3")])
        .unwrap();
    let (refused, why) = out.poisoned.unwrap();
    assert_eq!(refused, 2);
    assert!(why.contains("too much"), "{why}");
    assert!(out.emitted.is_empty());
    assert!(sums.metric("pairs").unwrap_or(0.0) == 0.0);
    let out = sums.join("a", [(0, "1")], [(0, "2"), (0, "3")]).unwrap();
    assert_eq!(out.main(), ["a: 3 after 0", "a: 4 after 0"]);
    assert_eq!(sums.metric("pairs"), Some(2.0));
}

#[test]
fn who_makes_pairs_takes_no_rows_and_the_other_way_round() {
    let error = open().rows(["1"]).unwrap_err();
    assert!(error.contains("give it `join:`"), "{error}");

    #[derive(Default)]
    struct Plain;

    impl crate::Process for Plain {
        type In = i64;
        type Out = i64;

        fn process(&mut self, row: Row<i64>, ctx: &mut Ctx<i64>) -> Result<()> {
            ctx.emit(row.value)
        }
    }
    let mut plain = Harness::open::<Plain, _>("null").unwrap();
    assert!(plain.join("a", [(0, "1")], [(0, "2")]).is_err());
}
