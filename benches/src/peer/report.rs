//! The table for the README.

use std::{fmt::Write, fs, path::Path};

use super::{
    beside::{Beside, Figure},
    cell::Setting,
    reach::{Line, Mean},
    record::{Record, Side},
    run::Run,
    saved::Results,
};
use crate::{
    error::{Context, Result},
    report::between,
};

const BEGIN: &str = "<!-- peer: written by `weir-bench-peer --write` -->";
const END: &str = "<!-- end of peer -->";
const COSTS_BEGIN: &str = "<!-- peer costs: written by `weir-bench-peer --write` -->";
const COSTS_END: &str = "<!-- end of peer costs -->";

impl Results {
    /// In Markdown.
    pub(super) fn table(&self) -> String {
        let mut out = String::new();
        // Writing to a string does not fail.
        let _ = self.write_table(&mut out);
        out
    }

    fn write_table(&self, out: &mut String) -> std::fmt::Result {
        writeln!(
            out,
            "`weir-bench-peer`; {}. Medians of {}, ratios those of rounds.",
            self.machine.in_words(),
            self.repeats
        )?;
        if !self.records.is_empty() {
            writeln!(
                out,
                "\n| workload | state | parallelism | checkpoints | Flink as it comes, rows/s \
                 | Flink, rows/s | ns CPU a row | Weir, rows/s | ns CPU a row \
                 | by hand, ns CPU a row \
                 | rows/s, Weir to Flink as it comes | rows/s, Weir to Flink \
                 | CPU a row, Flink to Weir | Wasm adds, CPU a row | to be reached |\n\
                 |{}",
                " --- |".repeat(15)
            )?;
        }
        for record in &self.records {
            write_row(out, record)?;
        }
        for mean in &self.means() {
            write_mean(out, mean)?;
        }
        if !self.besides.is_empty() {
            let head = "| | Flink | Weir | to be reached |\n| --- | --- | --- | --- |";
            writeln!(out, "\n{head}")?;
        }
        for beside in &self.besides {
            write_beside(out, beside)?;
        }
        write_reach(out, &self.reach())
    }

    /// What a row costs in CPU time on the heap without checkpoints, a line for each workload, and
    /// what is asked: Flink's, so many times less.
    fn costs(&self) -> String {
        let mut out =
            "| | Flink | asked | by hand | natively | Weir | Flink, parallelism 2 | asked \
                       | natively | Weir |\n|"
                .to_owned();
        out += &" --- |".repeat(10);
        out.push('\n');
        let plain = |parallelism| {
            let is_plain =
                move |record: &&Record| record.cell.setting == Setting::plain(parallelism);
            self.records.iter().filter(is_plain)
        };
        for one in plain(1) {
            let two = plain(2).find(|two| two.cell.workload.name() == one.cell.workload.name());
            let [one_flink, one_asked, hand, one_native, one_weir] = costs_of(Some(one));
            let [two_flink, two_asked, _, two_native, two_weir] = costs_of(two);
            // Writing to a string does not fail.
            let _ = writeln!(
                out,
                "| {} | {one_flink} | {one_asked} | {hand} | {one_native} | {one_weir} \
                 | {two_flink} | {two_asked} | {two_native} | {two_weir} |",
                one.cell.workload.in_words(),
            );
        }
        out
    }

    /// Puts the tables into a document.
    pub(super) fn write_table_to(&self, document: &Path) -> Result<()> {
        let text = fs::read_to_string(document);
        let text = text.with_context(|| format!("reading {}", document.display()))?;
        let text = between(&text, [BEGIN, END], &self.table());
        let text = text.and_then(|text| between(&text, [COSTS_BEGIN, COSTS_END], &self.costs()));
        let text = text.with_context(|| document.display().to_string())?;
        let written = fs::write(document, text);
        written.with_context(|| format!("writing {}", document.display()))
    }
}

/// An error as the text of a cell of a table.
fn in_a_cell(why: &str) -> String {
    let lines: Vec<&str> = why.lines().map(str::trim).collect();
    lines.join(" / ").replace('|', "\\|")
}

/// What a row costs in nanoseconds: on Flink, what is asked, by hand, natively and on Weir.
fn costs_of(record: Option<&Record>) -> [String; 5] {
    let shown = |cost: Option<f64>| cost.map_or(String::new(), |cost| format!("{cost:.0}"));
    let of = |side| record?.median(side, Run::cost);
    let asked = of(Side::Flink).zip(record.and_then(|record| record.cell.goal()));
    let asked = asked.map(|(flink, goal)| flink / goal);
    [
        of(Side::Flink),
        asked,
        of(Side::Hand),
        of(Side::Native),
        of(Side::Weir),
    ]
    .map(shown)
}

fn write_row(out: &mut String, record: &Record) -> std::fmt::Result {
    let setting = record.cell.setting;
    let millions = |rows: Option<f64>| rows.map_or(String::new(), |n| format!("{:.3} M", n / 1e6));
    let ns = |time: Option<f64>| time.map_or(String::new(), |time| format!("{time:.0}"));
    let times = |times: Option<f64>| times.map_or(String::new(), |n| format!("{n:.1}"));
    let bold = |text: String| {
        if text.is_empty() {
            text
        } else {
            format!("**{text}**")
        }
    };
    let reached = match (record.cell.goal(), record.is_reached()) {
        _ if record.failed.is_some() => String::new(),
        (None, _) => String::new(),
        (Some(goal), None) => format!("{goal:.0}"),
        (Some(goal), Some(true)) => format!("{goal:.0}: reached"),
        (Some(goal), Some(false)) => format!("{goal:.0}: not reached"),
    };
    let added = record.added().map_or(String::new(), |(time, share)| {
        format!("{time:.0} ns, {:.0} %", share * 100.0)
    });
    let failed = record.failed.as_deref().map(in_a_cell);
    let reached = failed.map_or(reached, |why| format!("failed: {why}"));
    let state = match record.cell.workload.is_keyed() {
        true => setting.store.name(),
        false => "",
    };
    writeln!(
        out,
        "| {} | {state} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {added} \
         | {reached} |",
        record.cell.workload.in_words(),
        setting.parallelism,
        if setting.checkpoints { "1 s" } else { "off" },
        millions(record.median(Side::Stock, Run::rate)),
        millions(record.median(Side::Flink, Run::rate)),
        ns(record.median(Side::Flink, Run::cost)),
        millions(record.median(Side::Weir, Run::rate)),
        ns(record.median(Side::Weir, Run::cost)),
        ns(record.median(Side::Hand, Run::cost)),
        times(record.times_stock()),
        bold(times(record.times_rate())),
        times(record.times_cost()),
    )
}

/// A row of the table of cells: what all queries come to.
fn write_mean(out: &mut String, mean: &Mean) -> std::fmt::Result {
    let Mean {
        parallelism,
        queries,
        of,
        times_rate,
        times_cost,
        ..
    } = mean;
    let reached = match mean.is_reached() {
        None => "",
        Some(true) => ": reached",
        Some(false) => ": not reached",
    };
    writeln!(
        out,
        "| Nexmark, geometric mean of {queries} of {of} queries | heap | {parallelism} | off |  |  \
         |  |  |  |  |  | **{times_rate:.1}** | {times_cost:.1} |  | {:.0}{reached} |",
        Mean::GOAL
    )
}

/// All that is to be reached, number by number.
fn write_reach(out: &mut String, lines: &[Line]) -> std::fmt::Result {
    if lines.is_empty() {
        return Ok(());
    }
    let head = "| | to be reached | found | the loop by hand, times Flink's | |\n\
                | --- | --- | --- | --- | --- |";
    writeln!(out, "\n{head}")?;
    for line in lines {
        let words = match line.is_reached {
            Some(false) => format!("**{}**", line.in_words()),
            Some(true) | None => line.in_words().to_owned(),
        };
        let by_hand = match &line.by_hand {
            Some(by_hand) if by_hand.is_enough => by_hand.words.clone(),
            Some(by_hand) => format!("**{}**", by_hand.words),
            None => String::new(),
        };
        let Line {
            what, goal, found, ..
        } = line;
        writeln!(out, "| {what} | {goal} | {found} | {by_hand} | {words} |")?;
    }
    let is = |wanted| {
        lines
            .iter()
            .filter(|line| line.is_reached == wanted)
            .count()
    };
    let (reached, all) = (is(Some(true)), lines.len());
    let open = match is(None) {
        0 => String::new(),
        open => format!("; {open} not measured"),
    };
    writeln!(out, "\nReached: {reached} of {all}{open}.")
}

fn write_beside(out: &mut String, beside: &Beside) -> std::fmt::Result {
    match &beside.found {
        Ok(figures) => figures
            .iter()
            .try_for_each(|figure| write_figure(out, figure)),
        Err(why) => writeln!(
            out,
            "| {} |  |  | failed: {} |",
            beside.kind.name(),
            in_a_cell(why)
        ),
    }
}

fn write_figure(out: &mut String, figure: &Figure) -> std::fmt::Result {
    let unit = figure.unit.name();
    let reached = match (figure.most, figure.is_reached()) {
        (Some(most), Some(true)) => format!("at most {most:.0} {unit}: reached"),
        (Some(most), _) => format!("at most {most:.0} {unit}: not reached"),
        (None, _) => String::new(),
    };
    writeln!(
        out,
        "| {} | {} | **{}** | {reached} |",
        figure.what,
        figure
            .flink
            .map(|flink| figure.unit.show(flink))
            .unwrap_or_default(),
        figure.shown()
    )
}

#[cfg(test)]
mod tests {
    use super::{
        super::{beside::Kind, record::tests::record, saved::tests::results},
        *,
    };

    #[test]
    fn what_failed_stands_in_the_table_with_its_error() {
        let mut record = record("hop-heap-p1", &[(Side::Flink, &[1_000_000])]);
        record.failed = Some("Weir, 5 rows: a | b\nand c".to_owned());
        let besides = vec![Beside {
            kind: Kind::Memory,
            found: Err("no memory".to_owned()),
        }];
        let table = results(vec![record], besides).table();
        let row = "| passthrough over a hop |  | 1 | off |  | 1.000 M | 1500 |  |  |  |  |  |  |  | \
                   failed: Weir, 5 rows: a \\| b / and c |\n";
        assert!(table.contains(row), "{table}");
        assert!(
            table.contains("| memory |  |  | failed: no memory |"),
            "{table}"
        );
        let line = "| passthrough over a hop | at least 5 times Flink's rows a second \
                    | `hop-heap-p1` failed |  | **not reached** |";
        assert!(table.contains(line), "{table}");
        assert!(table.contains("Reached: 0 of 2."), "{table}");
    }

    #[test]
    fn what_a_loop_by_hand_takes_stands_beside_what_weir_takes() {
        let sides: [(Side, &[u64]); 3] = [
            (Side::Flink, &[10_000_000]),
            (Side::Weir, &[20_000_000]),
            (Side::Hand, &[15_000_000]),
        ];
        let table = results(vec![record("hop-heap-p1", &sides)], Vec::new()).table();
        let row = "| passthrough over a hop |  | 1 | off |  | 10.000 M | 150 | 20.000 M | 75 | 100 \
                   |  | **2.0** | 2.0 |  | 5: not reached |\n";
        assert!(table.contains(row), "{table}");
        let line =
            "| 2.0 times (`hop-heap-p1`) | **1.5 times (`hop-heap-p1`)** | **not reached** |";
        assert!(table.contains(line), "{table}");
    }

    #[test]
    fn what_a_row_costs_stands_beside_what_is_asked_for_both_numbers_of_subtasks() {
        let one: [(Side, &[u64]); 3] = [
            (Side::Flink, &[10_000_000]),
            (Side::Weir, &[50_000_000]),
            (Side::Hand, &[150_000_000]),
        ];
        let two: [(Side, &[u64]); 2] =
            [(Side::Flink, &[15_000_000]), (Side::Native, &[75_000_000])];
        let records = vec![
            record("q1-heap-p1", &one),
            record("q1-heap-p2", &two),
            record("count-1e3-rocksdb-p1", &one),
        ];
        let costs = results(records, Vec::new()).costs();
        let row = "| Nexmark q1: prices in euro | 150 | 50 | 10 |  | 30 | 100 | 33 | 20 |  |";
        assert_eq!(costs.lines().skip(2).collect::<Vec<_>>(), [row]);
    }

    #[test]
    fn the_queries_have_a_row_together() {
        let flink: (Side, &[u64]) = (Side::Flink, &[10]);
        let records =
            ["q0-heap-p2", "q1-heap-p2"].map(|cell| record(cell, &[flink, (Side::Weir, &[60])]));
        let table = results(records.to_vec(), Vec::new()).table();
        let row = "| Nexmark, geometric mean of 2 of 14 queries | heap | 2 | off |  |  |  |  |  |  |  \
                   | **6.0** | 6.0 |  | 5 |\n";
        assert!(table.contains(row), "{table}");
        assert!(
            table.contains("Reached: 1 of 3; 2 not measured."),
            "{table}"
        );
    }
}
