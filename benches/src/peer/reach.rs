//! What is to be reached, number by number, and whether it was.

use serde_json::{Value, json};

use super::{
    beside::{Beside, Figure, Kind},
    cell::{Added, Cell, Setting},
    record::Record,
    saved::Results,
};
use crate::backend::Store;

/// How many times Flink's rows a second the queries are to have in the geometric mean.
const MEAN_GOAL: f64 = 5.0;

/// One number that is to be reached.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Line {
    pub(super) what: String,
    pub(super) goal: String,
    pub(super) found: String,
    /// What the loop by hand has of what is compared with Flink, where there is one.
    pub(super) by_hand: Option<ByHand>,
    /// `None` where it was not measured.
    pub(super) is_reached: Option<bool>,
}

/// How many times the CPU time a row of the loop by hand Flink has: where that is less than what is
/// to be reached, no program reaches it with as much of the machine as Flink has.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ByHand {
    pub(super) times: f64,
    pub(super) words: String,
    pub(super) is_enough: bool,
}

/// The geometric mean over the queries of one parallelism.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Mean {
    pub(super) parallelism: u32,
    /// How many queries were compared, of how many.
    pub(super) queries: usize,
    pub(super) of: usize,
    /// How many times Flink's rows a second Weir has.
    pub(super) times_rate: f64,
    /// How many times Weir's CPU time a row Flink has.
    pub(super) times_cost: f64,
    /// How many times that of the loops by hand, where all of these were measured.
    pub(super) times_by_hand: Option<f64>,
}

impl Mean {
    pub(super) const GOAL: f64 = MEAN_GOAL;

    /// Only of all queries it is what is asked for.
    pub(super) fn is_reached(&self) -> Option<bool> {
        (self.queries == self.of).then_some(self.times_rate >= Self::GOAL)
    }

    fn to_json(&self) -> Value {
        json!({
            "parallelism": self.parallelism,
            "queries": self.queries,
            "of": self.of,
            "times_rows_per_second": self.times_rate,
            "times_cpu_per_row": self.times_cost,
            "times_cpu_per_row_by_hand": self.times_by_hand,
            "to_be_reached": Self::GOAL,
        })
    }
}

impl Line {
    pub(super) fn to_json(&self) -> Value {
        json!({
            "what": self.what,
            "to_be_reached": self.goal,
            "found": self.found,
            "by_hand": self.by_hand.as_ref().map(|by_hand| &by_hand.words),
            "by_hand_times": self.by_hand.as_ref().map(|by_hand| by_hand.times),
            "reached": self.is_reached,
        })
    }

    pub(super) fn in_words(&self) -> &'static str {
        match self.is_reached {
            Some(true) => "reached",
            Some(false) => "not reached",
            None => "not measured",
        }
    }
}

impl Results {
    /// All numbers of which something was measured.
    pub(super) fn reach(&self) -> Vec<Line> {
        let mut lines = against_flink(&self.records);
        lines.extend(left(&self.records));
        lines.extend(means(&self.records).iter().map(mean));
        lines.extend(added(&self.records));
        lines.extend(self.besides.iter().flat_map(beside));
        lines
    }

    /// The geometric means, as far as queries were compared.
    pub(super) fn means(&self) -> Vec<Mean> {
        means(&self.records)
    }

    /// For the file of results.
    pub(super) fn reach_to_json(&self) -> [(&'static str, Value); 2] {
        let lines = self.reach().iter().map(Line::to_json).collect();
        let means = self.means().iter().map(Mean::to_json).collect();
        [("reach", lines), ("nexmark_geometric_mean", means)]
    }
}

/// Rows a second beside Flink: cells that differ only in how parallel they are have one number, and
/// all queries have one.
fn against_flink(records: &[Record]) -> Vec<Line> {
    let mut lines: Vec<(String, f64, Vec<&Record>)> = Vec::new();
    for record in records {
        let Some(goal) = record.cell.goal() else {
            continue;
        };
        let what = match record.cell.is_query() {
            true => "every Nexmark query".to_owned(),
            false => in_words(&record.cell),
        };
        match lines.iter_mut().find(|(other, ..)| *other == what) {
            Some((.., records)) => records.push(record),
            None => lines.push((what, goal, vec![record])),
        }
    }
    let line = |(what, goal, records): (String, f64, Vec<&Record>)| Line {
        what,
        goal: format!("at least {goal:.0} times Flink's rows a second"),
        found: found(&records, Record::times_rate),
        by_hand: least(&records, Record::times_by_hand).map(|(times, words)| ByHand {
            times,
            words,
            is_enough: times >= goal,
        }),
        is_reached: all(records.iter().map(|record| record.is_reached())),
    };
    lines.into_iter().map(line).collect()
}

/// The cell without its parallelism.
fn in_words(cell: &Cell) -> String {
    let store = match (cell.workload.is_keyed(), cell.setting.store) {
        (false, _) => "",
        (true, Store::Heap) => ", heap",
        (true, Store::RocksDb) => ", RocksDB",
    };
    let saved = match cell.setting.checkpoints {
        true => ", a checkpoint each second",
        false => "",
    };
    format!("{}{store}{saved}", cell.workload.in_words())
}

/// The least of some cells, and whose it is; or which failed.
fn found(records: &[&Record], of: fn(&Record) -> Option<f64>) -> String {
    let failed = records.iter().find(|record| record.failed.is_some());
    if let Some(failed) = failed {
        return format!("`{}` failed", failed.cell.name());
    }
    least(records, of).map_or(String::new(), |(_, words)| words)
}

/// The least of the cells that have it, and in words whose it is.
fn least(records: &[&Record], of: fn(&Record) -> Option<f64>) -> Option<(f64, String)> {
    let all = records
        .iter()
        .filter_map(|record| Some((of(record)?, record.cell.name())));
    let all: Vec<(f64, String)> = all.collect();
    let count = match all.len() {
        1 => String::new(),
        count => format!(", the least of {count}"),
    };
    let least = all
        .into_iter()
        .min_by(|(one, _), (other, _)| one.total_cmp(other));
    least.map(|(least, name)| (least, format!("{least:.1} times (`{name}`{count})")))
}

/// Whether all were reached; `None` where one was not measured, and none is known to be missed.
fn all(reached: impl IntoIterator<Item = Option<bool>>) -> Option<bool> {
    let reached: Vec<Option<bool>> = reached.into_iter().collect();
    match reached.contains(&Some(false)) {
        true => Some(false),
        false => (!reached.contains(&None)).then_some(true),
    }
}

/// What checkpoints leave, of the cells of which that is asked.
fn left(records: &[Record]) -> Option<Line> {
    let asked: Vec<(&Record, f64)> = (records.iter())
        .filter_map(|record| Some((record, record.cell.least_left()?)))
        .collect();
    let &(first, goal) = asked.first()?;
    let shown = |(record, _): &(&Record, f64)| {
        let share = match record.left() {
            Some(share) => format!("{share:.2} times"),
            None if record.failed.is_some() => "failed".to_owned(),
            None => "not measured".to_owned(),
        };
        format!("{share} at parallelism {}", record.cell.setting.parallelism)
    };
    let is_left = |(record, least): &(&Record, f64)| match record.failed {
        Some(_) => Some(false),
        None => Some(record.left()? >= *least),
    };
    Some(Line {
        what: in_words(&first.cell),
        goal: format!("at least {goal} times Weir's own rows a second without checkpoints"),
        found: asked.iter().map(shown).collect::<Vec<_>>().join(", "),
        by_hand: None,
        is_reached: all(asked.iter().map(is_left)),
    })
}

/// What components add: the most of the counts, and the most of the queries.
fn added(records: &[Record]) -> Vec<Line> {
    let count = |record: &&Record| matches!(record.cell.most_added(), Some(Added::Nanoseconds(_)));
    let query = |record: &&Record| matches!(record.cell.most_added(), Some(Added::Share(_)));
    let counts: Vec<&Record> = records.iter().filter(count).collect();
    let queries: Vec<&Record> = records.iter().filter(query).collect();
    let of = [
        ("keyed count, heap", counts),
        ("any Nexmark query", queries),
    ];
    let line = |(what, records): (&str, Vec<&Record>)| {
        let goal = match records.first()?.cell.most_added()? {
            Added::Nanoseconds(most) => format!("at most {most:.0} ns of CPU a row"),
            Added::Share(most) => format!("at most {:.0} % of CPU a row", most * 100.0),
        };
        let shown = |record: &&Record| {
            let (time, share) = record.added()?;
            let by = match record.cell.most_added()? {
                Added::Nanoseconds(_) => time,
                Added::Share(_) => share,
            };
            let percent = share * 100.0;
            Some((
                by,
                format!("{time:.0} ns, {percent:.0} % (`{}`)", record.cell.name()),
            ))
        };
        let measured: Vec<(f64, String)> = records.iter().filter_map(shown).collect();
        let count = measured.len();
        let most = measured.into_iter();
        let most = most.max_by(|(one, _), (other, _)| one.total_cmp(other));
        Some(Line {
            what: format!("Wasm adds to {what}, beside the same source compiled natively"),
            goal,
            found: most.map_or(String::new(), |(_, words)| {
                format!("{words}, the most of {count}")
            }),
            by_hand: None,
            is_reached: all(records.iter().map(|record| record.is_close_to_native())),
        })
    };
    of.into_iter().filter_map(line).collect()
}

/// The geometric means of the queries that were compared.
pub(super) fn means(records: &[Record]) -> Vec<Mean> {
    let all = Cell::all();
    let mean = |parallelism: u32| {
        let is_asked = |cell: &Cell| cell.is_query() && cell.setting == Setting::plain(parallelism);
        let of = all.iter().filter(|cell| is_asked(cell)).count();
        let compared: Vec<(f64, f64, Option<f64>)> = records
            .iter()
            .filter(|record| is_asked(&record.cell))
            .filter_map(|record| {
                let times = (record.times_rate()?, record.times_cost()?);
                Some((times.0, times.1, record.times_by_hand()))
            })
            .collect();
        let geometric = |values: Vec<f64>| {
            let count = values.len() as f64;
            (values.into_iter().map(f64::ln).sum::<f64>() / count).exp()
        };
        (!compared.is_empty()).then(|| Mean {
            parallelism,
            queries: compared.len(),
            of,
            times_rate: geometric(compared.iter().map(|(rate, ..)| *rate).collect()),
            times_cost: geometric(compared.iter().map(|(_, cost, _)| *cost).collect()),
            times_by_hand: (compared.iter().map(|(.., by_hand)| *by_hand))
                .collect::<Option<_>>()
                .map(geometric),
        })
    };
    [1, 2].into_iter().filter_map(mean).collect()
}

fn mean(mean: &Mean) -> Line {
    let Mean {
        parallelism,
        queries,
        of,
        times_rate,
        times_by_hand,
        ..
    } = mean;
    let by_hand = |times: f64| ByHand {
        times,
        words: format!("{times:.1} times"),
        is_enough: times >= Mean::GOAL,
    };
    Line {
        what: format!("geometric mean of the Nexmark queries, parallelism {parallelism}"),
        goal: format!("at least {:.0} times Flink's rows a second", Mean::GOAL),
        found: format!("{times_rate:.1} times, of {queries} of {of} queries"),
        by_hand: times_by_hand.map(by_hand),
        is_reached: mean.is_reached(),
    }
}

fn beside(beside: &Beside) -> Vec<Line> {
    match &beside.found {
        Ok(figures) => figures.iter().filter_map(figure).collect(),
        // Nothing is asked of it.
        Err(_) if beside.kind == Kind::Recovery => Vec::new(),
        Err(_) => vec![Line {
            what: beside.kind.name().to_owned(),
            goal: String::new(),
            found: "it failed".to_owned(),
            by_hand: None,
            is_reached: Some(false),
        }],
    }
}

fn figure(figure: &Figure) -> Option<Line> {
    let unit = figure.unit.name();
    Some(Line {
        what: figure.what.clone(),
        goal: format!("at most {:.0} {unit}", figure.most?),
        found: figure.shown(),
        by_hand: None,
        is_reached: figure.is_reached(),
    })
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            record::{Side, tests::record},
            saved::tests::results,
        },
        *,
    };

    const FLINK: (Side, &[u64]) = (Side::Flink, &[10]);

    fn of(records: Vec<Record>) -> Vec<Line> {
        results(records, Vec::new()).reach()
    }

    #[test]
    fn cells_of_one_number_are_judged_by_the_least() {
        let lines = of(vec![
            record("hop-heap-p1", &[FLINK, (Side::Weir, &[60])]),
            record("hop-heap-p2", &[FLINK, (Side::Weir, &[45])]),
            record("count-1e3-heap-p1", &[FLINK, (Side::Weir, &[50])]),
            record(
                "count-1e3-rocksdb-p1-checkpoints",
                &[FLINK, (Side::Weir, &[79])],
            ),
            record("broadcast-heap-p1", &[FLINK, (Side::Weir, &[1])]),
            record("window-heap-p1", &[(Side::Weir, &[1])]),
        ]);
        let shown: Vec<[&str; 3]> = lines
            .iter()
            .map(|line| [line.what.as_str(), line.found.as_str(), line.in_words()])
            .collect();
        let expected = [
            [
                "passthrough over a hop",
                "4.5 times (`hop-heap-p2`, the least of 2)",
                "not reached",
            ],
            [
                "keyed count, 1e3 keys, heap",
                "5.0 times (`count-1e3-heap-p1`)",
                "reached",
            ],
            [
                "keyed count, 1e3 keys, RocksDB, a checkpoint each second",
                "7.9 times (`count-1e3-rocksdb-p1-checkpoints`)",
                "not reached",
            ],
            ["tumbling window, sum, heap", "", "not measured"],
            [
                "Wasm adds to keyed count, heap, beside the same source compiled natively",
                "",
                "not measured",
            ],
        ];
        assert_eq!(shown, expected);
        assert_eq!(lines[0].goal, "at least 5 times Flink's rows a second");
    }

    #[test]
    fn a_cell_that_failed_did_not_reach_its_number() {
        let mut failed = record("q3-heap-p2", &[FLINK, (Side::Weir, &[90])]);
        failed.failed = Some("no".to_owned());
        let lines = of(vec![
            record("q0-heap-p1", &[FLINK, (Side::Weir, &[90])]),
            failed,
        ]);
        assert_eq!(lines[0].what, "every Nexmark query");
        assert_eq!(lines[0].found, "`q3-heap-p2` failed");
        assert_eq!(lines[0].is_reached, Some(false));
    }

    #[test]
    fn a_loop_by_hand_tells_whether_a_number_can_be_reached() {
        let cell = |name: &str, hand: u64| {
            let sides: [(Side, &[u64]); 3] = [FLINK, (Side::Weir, &[25]), (Side::Hand, &[hand])];
            record(name, &sides)
        };
        let lines = of(vec![
            // At parallelism 2 there is none.
            cell("chained-heap-p1", 19),
            record("chained-heap-p2", &[FLINK, (Side::Weir, &[25])]),
            cell("q0-heap-p1", 31),
            cell("q1-heap-p1", 120),
        ]);
        let shown: Vec<_> = lines
            .iter()
            .filter_map(|line| {
                let by_hand = line.by_hand.as_ref()?;
                Some((
                    line.what.as_str(),
                    by_hand.words.as_str(),
                    by_hand.is_enough,
                ))
            })
            .collect();
        let expected = [
            (
                "passthrough, chained",
                "1.9 times (`chained-heap-p1`)",
                false,
            ),
            (
                "every Nexmark query",
                "3.1 times (`q0-heap-p1`, the least of 2)",
                true,
            ),
            (
                "geometric mean of the Nexmark queries, parallelism 1",
                "6.1 times",
                true,
            ),
        ];
        assert_eq!(shown, expected);
        let told = lines[0].to_json();
        assert_eq!(told["by_hand"], "1.9 times (`chained-heap-p1`)");
        assert_eq!(lines.last().unwrap().to_json()["by_hand"], Value::Null);
    }

    #[test]
    fn what_components_add_is_judged_by_the_most() {
        let cell = |name: &str, weir: u64| {
            let sides: [(Side, &[u64]); 2] = [(Side::Weir, &[weir]), (Side::Native, &[30_000_000])];
            record(name, &sides)
        };
        // Natively a row costs 50 ns.
        let mut records = vec![
            cell("count-1e3-heap-p1", 20_000_000),
            cell("count-1e6-heap-p1", 15_000_000),
            cell("q0-heap-p1", 25_000_000),
            cell("q1-heap-p1", 20_000_000),
        ];
        let found: Vec<_> = added(&records)
            .into_iter()
            .map(|line| (line.found, line.is_reached))
            .collect();
        let counts = "50 ns, 100 % (`count-1e6-heap-p1`), the most of 2".to_owned();
        let queries = "25 ns, 50 % (`q1-heap-p1`), the most of 2".to_owned();
        assert_eq!(found, [(counts, Some(true)), (queries, Some(false))]);
        records[0].failed = Some("no".to_owned());
        assert_eq!(added(&records)[0].is_reached, Some(false));
    }

    #[test]
    fn what_checkpoints_leave_is_judged_by_the_rounds_of_both_sides() {
        let cell = |name: &str, with: &[u64], without: &[u64]| {
            record(name, &[(Side::Weir, with), (Side::Plain, without)])
        };
        let line = |records: Vec<Record>| left(&records).unwrap();
        let mut both = vec![
            // The machine was slow in the first round of both.
            cell(
                "count-1e6-heap-p1-checkpoints",
                &[46, 92, 90],
                &[50, 100, 100],
            ),
            cell("count-1e6-heap-p2-checkpoints", &[170], &[200]),
        ];
        let found = line(both.clone());
        assert_eq!(
            found.found,
            "0.92 times at parallelism 1, 0.85 times at parallelism 2"
        );
        assert_eq!(
            found.goal,
            "at least 0.9 times Weir's own rows a second without checkpoints"
        );
        assert_eq!(found.is_reached, Some(false));
        assert_eq!(line(both[..1].to_vec()).is_reached, Some(true));
        assert_eq!(line(both[1..].to_vec()).is_reached, Some(false));
        both[0].failed = Some("no".to_owned());
        let failed = line(both[..1].to_vec());
        assert_eq!(
            (&*failed.found, failed.is_reached),
            ("failed at parallelism 1", Some(false))
        );
        let alone = record("count-1e6-heap-p1-checkpoints", &[(Side::Weir, &[9])]);
        let alone = line(vec![alone]);
        assert_eq!(
            (&*alone.found, alone.is_reached),
            ("not measured at parallelism 1", None)
        );
        // It is not asked of others.
        let others = ["count-1e6-heap-p1", "count-1e3-heap-p1-checkpoints"];
        let others = others.map(|name| record(name, &[(Side::Weir, &[9])]));
        assert!(left(&others).is_none());
    }

    #[test]
    fn a_geometric_mean_is_judged_when_all_queries_are_there() {
        let queries: Vec<Cell> = Cell::all()
            .into_iter()
            .filter(|cell| cell.is_query() && cell.setting.parallelism == 1)
            .collect();
        assert_eq!(queries.len(), 14);
        // Half of them have twice as much, half of them twelve and a half times.
        let compared = queries.iter().zip([20, 125].into_iter().cycle());
        let mut records: Vec<Record> = compared
            .map(|(cell, rows)| record(&cell.name(), &[FLINK, (Side::Weir, &[rows])]))
            .collect();
        let mean = means(&records).remove(0);
        assert!((mean.times_rate - 5.0).abs() < 1e-9 && (mean.times_cost - 5.0).abs() < 1e-9);
        records.pop();
        let mean = means(&records).remove(0);
        assert_eq!((mean.queries, mean.of, mean.is_reached()), (13, 14, None));
        assert!(means(&[]).is_empty());
    }
}
