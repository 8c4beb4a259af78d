//! All rows of a window: in order, with their times, refused one by one.

use crate::testing::Harness;
use crate::{
    Counter, Csv, CsvRow, Ctx, Describe, Result, SideOutput, Window, WindowFunction, WindowRows,
    bail,
};

/// The number in the middle of a window, and how long the rows took to come.
#[derive(Default)]
struct Median {
    spans: SideOutput<String>,
    seen: Counter,
}

impl WindowFunction for Median {
    type In = Csv;
    type Out = String;

    fn describe(&mut self, d: &mut Describe) {
        d.side_output("spans", &mut self.spans);
        d.counter("seen", &mut self.seen);
    }

    fn accept(&mut self, row: CsvRow<'_>) -> Result<()> {
        if row.get::<i64>(0)? < 0 {
            bail!("it is negative");
        }
        self.seen.add(1);
        Ok(())
    }

    fn apply(
        &mut self,
        window: Window,
        rows: WindowRows<'_, Csv>,
        ctx: &mut Ctx<String>,
    ) -> Result<()> {
        let mut numbers = Vec::with_capacity(rows.len());
        for row in rows.clone() {
            numbers.push(row?.get::<i64>(0)?);
        }
        numbers.sort_unstable();
        let times: Vec<i64> = rows.filter_map(|row| row.ok()?.timestamp).collect();
        if let [first, .., last] = times[..] {
            ctx.to(&self.spans)
                .emit(format_args!("{} {}", window.start, last - first))?;
        }
        let (key, count) = (ctx.key().part(0)?, numbers.len());
        ctx.emit(format_args!("{key} {count} {}", numbers[count / 2]))
    }
}

crate::operator!(Median, window);

const MINUTE: Window = Window {
    start: 60_000,
    end: 120_000,
};

#[test]
fn all_rows_are_there_in_order_with_their_times() {
    let mut median = Harness::open::<Median, _>("null").unwrap();
    let rows = [(60_001, "7,a"), (60_010, "1,b"), (61_000, "5,c")];
    let out = median.timed_window("k", MINUTE, rows).unwrap();
    assert_eq!(out.main(), ["k 3 5"]);
    assert_eq!(out.side("spans"), ["60000 999"]);
    assert_eq!(out.emitted[0].timestamps, [119_999]);
    // A row without a time has none.
    let out = median
        .timed_window("k", MINUTE, [(i64::MIN, "1"), (i64::MIN, "2")])
        .unwrap();
    assert!(out.side("spans").is_empty());
}

#[test]
fn a_row_is_refused_as_it_comes() {
    let mut median = Harness::open::<Median, _>("null").unwrap();
    let out = median.window("k", MINUTE, ["1", "2", "-3", "4"]).unwrap();
    assert_eq!(out.poisoned, Some((2, "it is negative".to_owned())));
    assert_eq!(out.main(), ["k 2 2"]);
    let out = median.window("k", MINUTE, ["x"]).unwrap();
    assert_eq!(out.poisoned.as_ref().map(|(row, _)| *row), Some(0));
    assert!(out.main().is_empty());
}

#[test]
fn windows_share_a_call_and_each_has_its_own_rows() {
    let all = super::AllRows {
        rows: crate::bindings::weir::operator::data::BytesColumn {
            bytes: b"123".to_vec(),
            ends: vec![1, 2, 3],
        },
        timestamps: vec![10, 20, 30],
        ends: vec![2, 2, 3],
    };
    let times = |window| -> Vec<_> {
        let rows = all.of::<String>(window).unwrap();
        rows.map(|row| row.unwrap().timestamp.unwrap()).collect()
    };
    assert_eq!(times(0), [10, 20]);
    assert!(times(1).is_empty());
    assert_eq!(times(2), [30]);
    assert!(all.of::<String>(3).is_err());
}
