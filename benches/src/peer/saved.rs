//! All that was measured, and the file of it: written after each thing that is done, and read again
//! where runs of several parts of the benchmark are to be one table.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use super::{beside::Beside, cell::Cell, chart, record::Record};
use crate::{
    error::{Context, Error, Result},
    machine::Machine,
};

/// Of the file of results: another one has another shape.
const VERSION: u64 = 1;

/// All that was measured.
#[derive(Clone, Debug)]
pub(super) struct Results {
    pub(super) machine: Machine,
    /// How the benchmark was called.
    pub(super) command: String,
    pub(super) repeats: u32,
    pub(super) records: Vec<Record>,
    /// What is compared besides rows a second.
    pub(super) besides: Vec<Beside>,
}

impl Results {
    /// What failed, by name.
    pub(super) fn failed(&self) -> Vec<String> {
        let records = self.records.iter().filter(|one| one.failed.is_some());
        let besides = self.besides.iter().filter(|one| one.found.is_err());
        let besides = besides.map(|one| one.kind.name().to_owned());
        records.map(|one| one.cell.name()).chain(besides).collect()
    }

    /// Keeps what there is so far, under a name that says so.
    pub(super) fn write_unfinished(&self, folder: &Path) -> Result<()> {
        make(folder)?;
        let (path, new) = (self.unfinished(folder), folder.join("peer.unfinished.new"));
        write(&new, &self.text()?)?;
        fs::rename(&new, &path).with_context(|| format!("writing {}", path.display()))
    }

    /// Writes all figures and the chart, and gives the paths. The file of what was unfinished goes.
    pub(super) fn write_figures(&self, folder: &Path) -> Result<[PathBuf; 2]> {
        make(folder)?;
        let figures = folder.join(format!("peer-{}.json", self.machine.date()));
        let drawn = folder.join("peer.svg");
        write(&figures, &self.text()?)?;
        write(&drawn, &chart::draw(&self.records))?;
        match fs::remove_file(self.unfinished(folder)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
            Ok(()) | Err(_) => Ok([figures, drawn]),
        }
    }

    /// Reads files of results; of a folder all that it has. They become one, in the order of cells;
    /// what is in two of them is that of the later one.
    ///
    /// # Errors
    /// Where a file cannot be read, or is of another commit, machine or number of runs than the
    /// first: a table says these once.
    pub(super) fn join(paths: &[PathBuf]) -> Result<Self> {
        let mut joined: Option<Self> = None;
        for path in files(paths)? {
            let shown = path.display();
            let text = fs::read_to_string(&path).with_context(|| format!("reading {shown}"))?;
            let told: Value =
                serde_json::from_str(&text).with_context(|| format!("reading {shown}"))?;
            let read = Self::of_json(&told).with_context(|| format!("reading {shown}"))?;
            match &mut joined {
                None => joined = Some(read),
                Some(joined) => joined.add(read).with_context(|| shown.to_string())?,
            }
        }
        let mut joined = joined.context("no results to join")?;
        joined.sort();
        Ok(joined)
    }

    fn add(&mut self, other: Self) -> Result<()> {
        let here = (self.machine.build(), self.repeats);
        let there = (other.machine.build(), other.repeats);
        if here != there {
            return Err(Error::new(format_args!(
                "{} with {} runs each is not what the first file has, {} with {}: measure them alike",
                there.0, there.1, here.0, here.1
            )));
        }
        for record in other.records {
            self.records
                .retain(|one| one.cell.name() != record.cell.name());
            self.records.push(record);
        }
        for beside in other.besides {
            self.besides.retain(|one| one.kind != beside.kind);
            self.besides.push(beside);
        }
        self.command = format!("{}; {}", self.command, other.command);
        Ok(())
    }

    fn sort(&mut self) {
        let order: Vec<String> = Cell::all().iter().map(Cell::name).collect();
        let place = |name: &str| order.iter().position(|one| one == name);
        self.records
            .sort_by_key(|record| place(&record.cell.name()));
        self.besides.sort_by_key(|beside| beside.kind);
    }

    fn unfinished(&self, folder: &Path) -> PathBuf {
        folder.join(format!("peer-{}.unfinished.json", self.machine.date()))
    }

    fn text(&self) -> Result<String> {
        Ok(serde_json::to_string_pretty(&self.to_json())? + "\n")
    }

    fn to_json(&self) -> Value {
        let mut told = json!({
            "version": VERSION,
            "machine": self.machine.to_json(),
            "command": self.command,
            "repeats": self.repeats,
            "besides": self.besides.iter().map(Beside::to_json).collect::<Vec<_>>(),
            "cells": self.records.iter().map(Record::to_json).collect::<Vec<_>>(),
        });
        for (key, value) in self.reach_to_json() {
            told[key] = value;
        }
        told
    }

    fn of_json(told: &Value) -> Result<Self> {
        let version = told.get("version").and_then(Value::as_u64);
        if version != Some(VERSION) {
            return Err(Error::new(format_args!(
                "it is no file of results of version {VERSION}; of an older one, measure again"
            )));
        }
        let list = |key: &str| told.get(key).and_then(Value::as_array);
        let repeats = told.get("repeats").and_then(Value::as_u64);
        let repeats = repeats.and_then(|repeats| u32::try_from(repeats).ok());
        let machine = told.get("machine").and_then(Machine::of_json);
        let command = told.get("command").and_then(Value::as_str);
        let records = list("cells").context("no `cells`")?.iter();
        let besides = list("besides").context("no `besides`")?.iter();
        Ok(Self {
            machine: machine.context("no `machine` that can be read")?,
            command: command.unwrap_or_default().to_owned(),
            repeats: repeats.context("no `repeats`")?,
            records: records.map(Record::of_json).collect::<Result<_>>()?,
            besides: besides.map(Beside::of_json).collect::<Result<_>>()?,
        })
    }
}

/// The files of these paths: of a folder those of results, in the order of their names.
fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let shown = path.display();
        let mut found = Vec::new();
        for entry in fs::read_dir(path).with_context(|| format!("reading {shown}"))? {
            let entry = entry.with_context(|| format!("reading {shown}"))?.path();
            let name = entry.file_name().and_then(|name| name.to_str());
            if name.is_some_and(|name| name.starts_with("peer-") && name.ends_with(".json")) {
                found.push(entry);
            }
        }
        if found.is_empty() {
            return Err(Error::new(format_args!("no peer-*.json is in {shown}")));
        }
        found.sort();
        files.append(&mut found);
    }
    Ok(files)
}

fn make(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}

#[cfg(test)]
pub(super) mod tests {
    use super::{
        super::{
            beside::Kind,
            record::{Side, tests::record},
        },
        *,
    };

    pub(in super::super) fn results(records: Vec<Record>, besides: Vec<Beside>) -> Results {
        Results {
            machine: Machine::look(Path::new(".")),
            command: "--only x".to_owned(),
            repeats: 3,
            records,
            besides,
        }
    }

    fn weir(cell: &str, rows: u64) -> Record {
        record(cell, &[(Side::Weir, &[rows])])
    }

    fn failed(kind: Kind) -> Beside {
        let found = Err("no memory".to_owned());
        Beside { kind, found }
    }

    #[test]
    fn what_was_measured_in_parts_is_one_table_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let first = [weir("q0-heap-p1", 1), weir("hop-heap-p1", 2)].to_vec();
        let first = results(first, vec![failed(Kind::Memory)]);
        let again = [weir("q0-heap-p1", 3), weir("chained-heap-p1", 4)].to_vec();
        let again = results(again, vec![failed(Kind::Latency)]);
        // One was not finished.
        first.write_unfinished(&path("a")).unwrap();
        again.write_unfinished(&path("b")).unwrap();
        again.write_figures(&path("b")).unwrap();
        assert_eq!(fs::read_dir(path("b")).unwrap().count(), 2);

        let joined = Results::join(&[path("a"), path("b")]).unwrap();
        let names: Vec<String> = joined.records.iter().map(|one| one.cell.name()).collect();
        assert_eq!(names, ["chained-heap-p1", "hop-heap-p1", "q0-heap-p1"]);
        let rate = joined.records[2].median(Side::Weir, |run| run.rows as f64);
        assert_eq!(rate, Some(3.0), "that of the later file");
        assert_eq!(joined.failed(), ["latency", "memory"]);
    }

    #[test]
    fn what_was_measured_otherwise_or_is_no_file_of_results_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let one = results(vec![weir("q0-heap-p1", 1)], Vec::new());
        let other = Results {
            repeats: 5,
            ..one.clone()
        };
        one.write_unfinished(&path("a")).unwrap();
        other.write_unfinished(&path("b")).unwrap();
        fs::write(path("c"), "{}").unwrap();
        let told = |names: &[&str]| {
            let paths: Vec<PathBuf> = names.iter().map(|name| path(name)).collect();
            Results::join(&paths).unwrap_err().to_string()
        };
        assert!(told(&["a", "b"]).contains("with 5 runs each is not"));
        assert!(told(&["a", "c"]).contains("no file of results of version 1"));
        assert!(told(&["a", "none"]).contains("none"));
        fs::create_dir(path("empty")).unwrap();
        assert!(told(&["empty"]).contains("no peer-*.json is in"));
    }
}
