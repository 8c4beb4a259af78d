//! What was measured of a cell: the runs of each side, and what they come to beside each other.

use std::{collections::BTreeMap, fmt};

use serde_json::{Map, Value, json};

use super::{
    cell::{Added, Cell},
    run::Run,
    workload::Engine,
};
use crate::{
    error::{Context, Result},
    record::median,
};

/// Who takes turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Side {
    /// Apache Flink.
    Flink,
    /// The same with the source and the serializers that it brings.
    Stock,
    /// Weir.
    Weir,
    /// The same without checkpoints, where the cell has them.
    Plain,
    /// Weir with the operators as code of its process, out of the source of the components.
    Native,
    /// The same work as one loop on one thread, without an engine.
    Hand,
}

/// The runs of a cell, warm-ups apart.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) cell: Cell,
    /// By side and round; those that were done where the cell failed.
    runs: BTreeMap<Side, Vec<Run>>,
    /// Why the cell failed, if it did: then nothing is compared.
    pub(super) failed: Option<String>,
}

impl Side {
    pub(super) const ALL: [Self; 6] = [
        Self::Flink,
        Self::Stock,
        Self::Weir,
        Self::Plain,
        Self::Native,
        Self::Hand,
    ];

    /// Whose results the oracle is asked for.
    pub(super) fn engine(self) -> Engine {
        match self {
            Self::Flink => Engine::Flink,
            Self::Stock => Engine::Stock,
            Self::Weir | Self::Plain | Self::Native | Self::Hand => Engine::Weir,
        }
    }

    /// The name in the file of results.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Flink => "flink",
            Self::Stock => "flink_stock",
            Self::Weir => "weir",
            Self::Plain => "weir_without_checkpoints",
            Self::Native => "weir_native",
            Self::Hand => "by_hand",
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Flink => "Flink",
            Self::Stock => "Flink as it comes",
            Self::Weir => "Weir",
            Self::Plain => "Weir without checkpoints",
            Self::Native => "Weir natively",
            Self::Hand => "by hand",
        })
    }
}

impl Record {
    pub(super) fn new(cell: Cell) -> Self {
        Self {
            cell,
            runs: BTreeMap::new(),
            failed: None,
        }
    }

    /// One more round of a side.
    pub(super) fn add(&mut self, side: Side, run: Run) {
        self.runs.entry(side).or_default().push(run);
    }

    /// The runs of a side; none where it was not measured.
    fn of(&self, side: Side) -> &[Run] {
        self.runs.get(&side).map_or(&[], Vec::as_slice)
    }

    /// The median of a figure over the runs of a side.
    pub(super) fn median(&self, side: Side, of: fn(&Run) -> f64) -> Option<f64> {
        let runs = self.of(side);
        (!runs.is_empty()).then(|| median(runs.iter().map(of).collect()))
    }

    /// The median of what two sides come to, round by round.
    fn by_round(&self, sides: [Side; 2], of: impl Fn(&Run, &Run) -> f64) -> Option<f64> {
        let [left, right] = sides.map(|side| self.of(side));
        let rounds: Vec<f64> = left.iter().zip(right).map(|(l, r)| of(l, r)).collect();
        (self.failed.is_none() && !rounds.is_empty()).then(|| median(rounds))
    }

    /// How many times Flink's rows a second Weir has, by the median of the rounds.
    pub(super) fn times_rate(&self) -> Option<f64> {
        self.by_round([Side::Weir, Side::Flink], |weir, flink| {
            weir.rate() / flink.rate()
        })
    }

    /// The same, of Flink with what it brings.
    pub(super) fn times_stock(&self) -> Option<f64> {
        self.by_round([Side::Weir, Side::Stock], |weir, flink| {
            weir.rate() / flink.rate()
        })
    }

    /// How many times Weir's CPU time a row Flink has.
    pub(super) fn times_cost(&self) -> Option<f64> {
        self.by_round([Side::Flink, Side::Weir], |flink, weir| {
            flink.cost() / weir.cost()
        })
    }

    /// How many times the CPU time a row of the loop by hand Flink has.
    pub(super) fn times_by_hand(&self) -> Option<f64> {
        self.by_round([Side::Flink, Side::Hand], |flink, hand| {
            flink.cost() / hand.cost()
        })
    }

    /// What checkpoints leave of the rows a second without them.
    pub(super) fn left(&self) -> Option<f64> {
        self.by_round([Side::Weir, Side::Plain], |with, without| {
            with.rate() / without.rate()
        })
    }

    /// What components add to the CPU time of a row, in nanoseconds and as a part of what it takes
    /// natively.
    pub(super) fn added(&self) -> Option<(f64, f64)> {
        let sides = [Side::Weir, Side::Native];
        let time = self.by_round(sides, |weir, native| weir.cost() - native.cost());
        let share = self.by_round(sides, |weir, native| weir.cost() / native.cost() - 1.0);
        time.zip(share)
    }

    /// Whether they add no more than they may; `None` where nothing is said, or measured.
    pub(super) fn is_close_to_native(&self) -> Option<bool> {
        let most = self.cell.most_added()?;
        if self.failed.is_some() {
            return Some(false);
        }
        let (time, share) = self.added()?;
        Some(match most {
            Added::Nanoseconds(most) => time <= most,
            Added::Share(most) => share <= most,
        })
    }

    /// Whether what was to be reached was; `None` where nothing is to be, or nothing was compared.
    pub(super) fn is_reached(&self) -> Option<bool> {
        let goal = self.cell.goal()?;
        match self.failed {
            Some(_) => Some(false),
            None => Some(self.times_rate()? >= goal),
        }
    }

    /// For who looks on.
    pub(super) fn in_words(&self) -> String {
        if let Some(why) = &self.failed {
            return format!("failed: {why}");
        }
        let figures = Side::ALL.into_iter().filter_map(|side| {
            let rate = self.median(side, Run::rate)? / 1e6;
            let cost = self.median(side, Run::cost)?;
            Some(format!("{side} {rate:.3} M rows/s, {cost:.0} ns"))
        });
        let mut words = figures.collect::<Vec<_>>().join("; ");
        if let Some(left) = self.left() {
            words += &format!("; checkpoints leave {left:.2}");
        }
        if let Some((time, share)) = self.added() {
            words += &format!("; Wasm adds {time:.0} ns, {:.0} %", share * 100.0);
        }
        if let Some(times) = self.times_rate() {
            words += &format!("; {times:.1} times Flink");
        }
        if let (Some(goal), Some(is_reached)) = (self.cell.goal(), self.is_reached()) {
            let not = if is_reached { "" } else { "not " };
            words += &format!(", {goal:.0} to be reached: {not}reached");
        }
        words
    }

    pub(super) fn to_json(&self) -> Value {
        let setting = self.cell.setting;
        let mut told = json!({
            "cell": self.cell.name(),
            "workload": self.cell.workload.name(),
            "parallelism": setting.parallelism,
            "backend": setting.store.name(),
            "checkpoints": setting.checkpoints,
            "times_rows_per_second": self.times_rate(),
            "times_rows_per_second_of_stock": self.times_stock(),
            "times_cpu_per_row": self.times_cost(),
            "times_cpu_per_row_by_hand": self.times_by_hand(),
            "to_be_reached": self.cell.goal(),
            "checkpoints_leave": self.left(),
            "wasm_adds_ns_per_row": self.added().map(|(time, _)| time),
            "wasm_adds_share": self.added().map(|(_, share)| share),
            "failed": self.failed,
        });
        for (side, runs) in &self.runs {
            told[side.name()] = json!({
                "rows_per_second": self.median(*side, Run::rate).map(f64::round),
                "cpu_ns_per_row": self.median(*side, Run::cost),
                "runs": runs.iter().map(Run::to_json).collect::<Vec<_>>(),
            });
        }
        told
    }

    /// Reads what [`to_json`](Self::to_json) wrote; of it only runs and failures count.
    ///
    /// # Errors
    /// What is missing, and cells that there are not.
    pub(super) fn of_json(told: &Value) -> Result<Self> {
        let name = told.get("cell").and_then(Value::as_str);
        let name = name.context("a cell without a name")?;
        let cell = Cell::all().into_iter().find(|cell| cell.name() == name);
        let mut record = Self::new(cell.with_context(|| format!("there is no cell `{name}`"))?);
        let failed = told.get("failed").and_then(Value::as_str);
        record.failed = failed.map(str::to_owned);
        for side in Side::ALL {
            let of_side = told.get(side.name()).and_then(Value::as_object);
            let runs = of_side.and_then(|of: &Map<_, _>| of.get("runs")?.as_array());
            for run in runs.into_iter().flatten() {
                let run = Run::of_results(run).with_context(|| format!("{side} of `{name}`"))?;
                record.add(side, run);
            }
        }
        Ok(record)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::{super::check::Sum, *};

    /// A record of a cell, each run of a side being so many rows in a second.
    pub(in super::super) fn record(cell: &str, rates: &[(Side, &[u64])]) -> Record {
        let cell = Cell::all().into_iter().find(|one| one.name() == cell);
        let mut record = Record::new(cell.unwrap());
        for &(side, rates) in rates {
            for &rows in rates {
                let run = Run {
                    rows,
                    wall_s: 1.0,
                    cpu_s: 1.5,
                    others: None,
                    out: Sum { rows, sum: 7 },
                    checkpoints: vec![(3, 4)],
                    rss_mib: 1.5,
                };
                record.add(side, run);
            }
        }
        record
    }

    #[test]
    fn ratios_are_those_of_rounds() {
        let rates: [(Side, &[u64]); 2] =
            [(Side::Flink, &[10, 100, 10]), (Side::Weir, &[50, 200, 70])];
        let mut record = record("count-1e3-heap-p1", &rates);
        assert_eq!(record.times_rate(), Some(5.0));
        assert_eq!(record.times_cost(), Some(5.0));
        assert_eq!((record.times_stock(), record.times_by_hand()), (None, None));
        assert_eq!(record.is_reached(), Some(true));
        assert!(record.in_words().ends_with("5 to be reached: reached"));
        record.failed = Some("out of memory".to_owned());
        assert_eq!(
            (record.times_rate(), record.is_reached()),
            (None, Some(false))
        );
        assert_eq!(record.in_words(), "failed: out of memory");
    }

    #[test]
    fn what_components_add_is_judged_by_what_was_said_of_the_cell() {
        // A row costs 1.5 s divided by the number of rows.
        let rates = |weir: &'static [u64]| -> [(Side, &'static [u64]); 2] {
            [
                (Side::Weir, weir),
                (Side::Native, &[30_000_000, 30_000_000]),
            ]
        };
        let close = record("count-1e3-heap-p1", &rates(&[15_000_000, 16_000_000]));
        let (time, share) = close.added().unwrap();
        assert!((time - 46.875).abs() < 1e-6 && (share - 0.9375).abs() < 1e-9);
        assert_eq!(close.is_close_to_native(), Some(true));
        let far = record("q1-heap-p1", &rates(&[15_000_000, 16_000_000]));
        assert_eq!(far.is_close_to_native(), Some(false));
        let unsaid = record("hop-heap-p1", &rates(&[15_000_000]));
        assert_eq!(unsaid.is_close_to_native(), None);
        let alone = record("q1-heap-p1", &[(Side::Weir, &[5])]);
        assert_eq!((alone.added(), alone.is_close_to_native()), (None, None));
    }

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let rates: [(Side, &[u64]); 4] = [
            (Side::Flink, &[10, 12]),
            (Side::Stock, &[9]),
            (Side::Weir, &[50, 70]),
            (Side::Hand, &[90, 96]),
        ];
        let mut written = record("q4-heap-p1", &rates);
        let read = Record::of_json(&written.to_json()).unwrap();
        assert_eq!(read.to_json(), written.to_json());
        assert_eq!(read.median(Side::Stock, Run::rate), Some(9.0));
        assert_eq!(read.times_by_hand(), Some(8.5));
        // Of a time when nothing was measured by hand.
        let mut before = written.to_json();
        before.as_object_mut().unwrap().remove(Side::Hand.name());
        let before = Record::of_json(&before).unwrap();
        assert_eq!(
            (before.times_by_hand(), before.times_rate()),
            (None, read.times_rate())
        );
        written.failed = Some("no".to_owned());
        let read = Record::of_json(&written.to_json()).unwrap();
        assert_eq!(read.failed.as_deref(), Some("no"));

        let mut of_no_cell = written.to_json();
        of_no_cell["cell"] = json!("q99-heap-p1");
        let told = Record::of_json(&of_no_cell).unwrap_err().to_string();
        assert_eq!(told, "there is no cell `q99-heap-p1`");
    }
}
