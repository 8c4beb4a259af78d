//! The table for people, the figures for programs, and where both are kept.

use std::{fmt::Write, fs, path::Path};

use serde_json::{Value, json};

use crate::{
    backend::Store,
    case::{Case, Maker, Saving},
    error::{Context, Result},
    machine::Machine,
    marks::Marks,
    pressure::{Checkpoints, Pressure},
    record::{Record, Run, median},
    start::Start,
    state::Kept,
};

/// Between these lines of `README.md` is what the last run found.
const BEGIN: &str = "<!-- results: written by `weir-bench --write` -->";
const END: &str = "<!-- end of results -->";

/// All that a run of the benchmark found.
#[derive(Debug)]
pub(crate) struct Results {
    pub(crate) machine: Machine,
    pub(crate) command: String,
    pub(crate) repeats: u32,
    pub(crate) records: Vec<Record>,
    pub(crate) start: Option<Start>,
    pub(crate) pressure: Option<Pressure>,
    pub(crate) state: Vec<Kept>,
    pub(crate) marks: Option<Marks>,
}

impl Results {
    /// The table in Markdown.
    pub(crate) fn table(&self) -> String {
        let mut table = String::new();
        // Writing to memory does not fail.
        let _ = self.write_table(&mut table);
        table
    }

    /// Keeps table and figures in the folder of the benchmark.
    pub(crate) fn write(&self, folder: &Path) -> Result<()> {
        let readme = folder.join("README.md");
        let reading = || format!("the table of {}", readme.display());
        let text = fs::read_to_string(&readme).with_context(reading)?;
        let text = between(&text, [BEGIN, END], &self.table()).with_context(reading)?;
        fs::write(&readme, text).with_context(reading)?;

        let results = folder.join("results");
        fs::create_dir_all(&results)?;
        let file = results.join(format!("{}.json", self.machine.date()));
        let figures = serde_json::to_string_pretty(&self.to_json())?;
        fs::write(&file, figures + "\n").with_context(|| format!("writing {}", file.display()))
    }

    fn write_table(&self, out: &mut String) -> std::fmt::Result {
        let times = self.repeats;
        writeln!(
            out,
            "`weir-bench {}`; {}. Medians of {times}.\n",
            self.command,
            self.machine.in_words()
        )?;
        if !self.records.is_empty() {
            writeln!(
                out,
                "| job | parallelism | checkpoints | native, rows/s | ns CPU a row | Wasm, rows/s | \
                 ns CPU a row | rows/s and core | Wasm adds, ns CPU a row |\n\
                 | --- | --- | --- | --- | --- | --- | --- | --- | --- |"
            )?;
        }
        for group in self
            .records
            .chunk_by(|left, right| left.case.compares_to(&right.case))
        {
            write_row(out, group)?;
        }
        if let Some(start) = &self.start {
            writeln!(
                out,
                "\nStart of `weir run` to its first row (keyed count, generated rows, to standard \
                 output): **{:.0} ms** with the compiled component cached (median of {}), {:.0} ms \
                 with it compiled anew.",
                start.median(),
                start.cached.len(),
                start.compiled_anew
            )?;
        }
        if let Some(Pressure {
            disk,
            memory,
            aligned,
        }) = &self.pressure
        {
            writeln!(
                out,
                "\nA checkpoint under full back pressure (a sink of 1 ms a row, 1,000 keys, \
                 parallelism 2): unaligned **{:.0} ms** to a local disk (at most {} of {}), \
                 **{:.0} ms** to `memory:` (at most {}), {:.0} KiB; aligned {:.1} s.",
                disk.ms(),
                disk.worst_ms(),
                disk.0.len(),
                memory.ms(),
                memory.worst_ms(),
                disk.bytes() / 1024.0,
                aligned.ms() / 1e3,
            )?;
        }
        write_state(out, &self.state)?;
        if let Some(marks) = &self.marks {
            writeln!(
                out,
                "\nTo keep in mind what has changed, for increments, costs the heap **{:.2}** times \
                 what a write costs without.",
                marks.ratio()
            )?;
        }
        Ok(())
    }

    fn to_json(&self) -> Value {
        let under_pressure = self.pressure.as_ref().map(|pressure| {
            let ms = |of: &Checkpoints| {
                let all = of.0.iter().map(|one| one.duration_ms);
                all.collect::<Vec<_>>()
            };
            json!({
                "unaligned_disk_ms": ms(&pressure.disk),
                "unaligned_memory_ms": ms(&pressure.memory),
                "unaligned_bytes": pressure.disk.bytes(),
                "aligned_disk_ms": ms(&pressure.aligned),
            })
        });
        json!({
            "machine": self.machine.to_json(),
            "command": self.command,
            "repeats": self.repeats,
            "cases": self.records.iter().map(Record::to_json).collect::<Vec<_>>(),
            "checkpoint_under_back_pressure": under_pressure,
            "state": self.state.iter().map(Kept::to_json).collect::<Vec<_>>(),
            "marks": self.marks.as_ref().map(Marks::to_json),
            "start_to_first_row_ms": self.start.as_ref().map(|start| json!({
                "cached": start.median(),
                "cached_runs": start.cached,
                "compiled_anew": start.compiled_anew,
            })),
        })
    }
}

/// What checkpoints of a large state weigh and take, and how soon a job is back from one.
fn write_state(out: &mut String, state: &[Kept]) -> std::fmt::Result {
    let Some(first) = state.first() else {
        return Ok(());
    };
    writeln!(
        out,
        "\nState of {} keys, a count each:\n\n\
         | backend | full checkpoint | an increment, 1 % of the keys changed | of the full one | \
         its synchronous part | from the start of a job at it to the first row |\n\
         | --- | --- | --- | --- | --- | --- |",
        first.keys
    )?;
    for kept in state {
        let increment = kept.increments.iter().map(|one| one.bytes as f64);
        let took = kept.increments.iter().map(|one| one.duration_ms as f64);
        writeln!(
            out,
            "| {} | {:.1} MiB, {} ms | {:.2} MiB, {:.0} ms | **{:.1} %** | at most **{:.2} ms** | \
             **{:.0} ms** |",
            kept.store.name(),
            kept.full.bytes as f64 / f64::from(1 << 20),
            kept.full.duration_ms,
            median(increment.collect()) / f64::from(1 << 20),
            median(took.collect()),
            kept.share() * 100.0,
            kept.worst_sync_ms(),
            kept.back_ms(),
        )?;
    }
    Ok(())
}

/// A row of the table: what differs only in who runs the operator.
fn write_row(out: &mut String, group: &[Record]) -> std::fmt::Result {
    let by = |maker| group.iter().find(|record| record.case.maker == maker);
    let (native, wasm) = (by(Maker::Native), by(Maker::Wasm));
    let Some(first) = group.first() else {
        return Ok(());
    };
    let Case {
        work,
        store,
        parallelism,
        checkpoints,
        ..
    } = first.case;
    let checkpoints = match checkpoints {
        Saving::Off => "off",
        Saving::Full => "1 s",
        Saving::Increments => "1 s, increments",
    };
    let store = match store {
        Store::Heap => "",
        Store::RocksDb => ", RocksDB",
    };
    let rate = |record: Option<&Record>| millions(record.map(|r| r.median(Run::rate)));
    let cost = |record: Option<&Record>| ns(record.map(|r| r.median(Run::cost)));
    let adds = wasm.zip(native).map(|(wasm, native)| wasm.adds_to(native));
    writeln!(
        out,
        "| {}{store} | {parallelism} | {checkpoints} | {} | {} | {} | {} | {} | {} |",
        work.in_words(),
        rate(native),
        cost(native),
        rate(wasm),
        cost(wasm),
        millions(wasm.map(|r| r.median(Run::rate_per_core))),
        ns(adds),
    )
}

fn millions(rows: Option<f64>) -> String {
    rows.map_or("".to_owned(), |rows| format!("{:.2} M", rows / 1e6))
}

fn ns(time: Option<f64>) -> String {
    time.map_or("".to_owned(), |time| format!("{time:.0}"))
}

/// The text with something else between two marks.
pub(crate) fn between(text: &str, [begin, end]: [&str; 2], table: &str) -> Result<String> {
    let (before, rest) = text.split_once(begin).context("no mark of its beginning")?;
    let (_, after) = rest.split_once(end).context("no mark of its end")?;
    Ok(format!(
        "{before}{begin}\n\n{}\n\n{end}{after}",
        table.trim_end()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_takes_the_place_of_the_last_one() {
        let text = format!("# Speed\n\n{BEGIN}\n| old |\n{END}\n\nmore\n");
        let new = between(&text, [BEGIN, END], "| new |\n").unwrap();
        assert_eq!(
            new,
            format!("# Speed\n\n{BEGIN}\n\n| new |\n\n{END}\n\nmore\n")
        );
        assert_eq!(between(&new, [BEGIN, END], "| new |").unwrap(), new);
        assert!(between("# Speed", [BEGIN, END], "").is_err());
    }
}
