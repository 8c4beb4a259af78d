//! The table for the README and the file of all figures.

use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use super::{bench::Record, beside::Figure, chart, run::Run};
use crate::{
    error::{Context, Result},
    machine::Machine,
    record::median,
    report::between,
};

const BEGIN: &str = "<!-- peer: written by `weir-bench-peer --write` -->";
const END: &str = "<!-- end of peer -->";

/// All that was measured.
pub(super) struct Results {
    pub(super) machine: Machine,
    pub(super) command: String,
    pub(super) repeats: u32,
    pub(super) records: Vec<Record>,
    /// What is compared besides rows a second.
    pub(super) figures: Vec<Figure>,
}

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
                "\n| workload | state | parallelism | checkpoints | Flink as it comes, rows/s | Flink, rows/s \
                 | ns CPU a row | Weir, rows/s | ns CPU a row | rows/s, Weir to Flink as it comes \
                 | rows/s, Weir to Flink | CPU a row, Flink to Weir | to be reached |\n\
                 | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"
            )?;
        }
        for record in &self.records {
            write_row(out, record)?;
        }
        if !self.figures.is_empty() {
            let head = "| | Flink | Weir | to be reached |\n| --- | --- | --- | --- |";
            writeln!(out, "\n{head}")?;
        }
        for figure in &self.figures {
            write_figure(out, figure)?;
        }
        match self.reached() {
            (_, 0) => Ok(()),
            (reached, all) => writeln!(out, "\nReached: {reached} of {all}."),
        }
    }

    /// How many goals were reached, and how many there are.
    fn reached(&self) -> (usize, usize) {
        let judged = self.records.iter().filter_map(Record::is_reached);
        let judged = judged.chain(self.figures.iter().filter_map(Figure::is_reached));
        let judged: Vec<bool> = judged.collect();
        (judged.iter().filter(|&&is| is).count(), judged.len())
    }

    fn to_json(&self) -> Value {
        json!({
            "machine": self.machine.to_json(),
            "command": self.command,
            "repeats": self.repeats,
            "besides": self.figures.iter().map(Figure::to_json).collect::<Vec<_>>(),
            "cells": self.records.iter().map(Record::to_json).collect::<Vec<_>>(),
        })
    }

    /// Writes the figures and the chart to this folder, and gives the paths.
    pub(super) fn write_figures(&self, folder: &Path) -> Result<[PathBuf; 2]> {
        fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
        let figures = folder.join(format!("peer-{}.json", self.machine.date()));
        let text = serde_json::to_string_pretty(&self.to_json())? + "\n";
        let drawn = folder.join("peer.svg");
        for (path, text) in [(&figures, text), (&drawn, chart::draw(&self.records))] {
            fs::write(path, text).with_context(|| format!("writing {}", path.display()))?;
        }
        Ok([figures, drawn])
    }

    /// Puts the table into a document.
    pub(super) fn write_table_to(&self, document: &Path) -> Result<()> {
        let text = fs::read_to_string(document);
        let text = text.with_context(|| format!("reading {}", document.display()))?;
        let text = between(&text, [BEGIN, END], &self.table());
        let text = text.with_context(|| document.display().to_string())?;
        let written = fs::write(document, text);
        written.with_context(|| format!("writing {}", document.display()))
    }
}

fn write_row(out: &mut String, record: &Record) -> std::fmt::Result {
    let setting = record.cell.setting;
    let of = |runs: &[Run], figure: fn(&Run) -> f64| {
        (!runs.is_empty()).then(|| median(runs.iter().map(figure).collect()))
    };
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
        (None, _) => String::new(),
        (Some(goal), None) => format!("{goal:.0}"),
        (Some(goal), Some(true)) => format!("{goal:.0}: reached"),
        (Some(goal), Some(false)) => format!("{goal:.0}: not reached"),
    };
    let state = match record.cell.workload.is_keyed() {
        true => setting.store.name(),
        false => "",
    };
    writeln!(
        out,
        "| {} | {state} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {reached} |",
        record.cell.workload.in_words(),
        setting.parallelism,
        if setting.checkpoints { "1 s" } else { "off" },
        millions(of(&record.stock, Run::rate)),
        millions(of(&record.flink, Run::rate)),
        ns(of(&record.flink, Run::cost)),
        millions(of(&record.weir, Run::rate)),
        ns(of(&record.weir, Run::cost)),
        times(record.times_stock()),
        bold(times(record.times_rate())),
        times(record.times_cost()),
    )
}

fn write_figure(out: &mut String, figure: &Figure) -> std::fmt::Result {
    let unit = figure.unit;
    let shown = |value: f64| match value {
        value if value.is_nan() => "none was done".to_owned(),
        value if value < 10.0 => format!("{value:.1} {unit}"),
        value => format!("{value:.0} {unit}"),
    };
    let reached = match (figure.most, figure.is_reached()) {
        (Some(most), Some(true)) => format!("at most {most:.0} {unit}: reached"),
        (Some(most), _) => format!("at most {most:.0} {unit}: not reached"),
        (None, _) => String::new(),
    };
    writeln!(
        out,
        "| {} | {} | **{}** | {reached} |",
        figure.what,
        figure.flink.map(shown).unwrap_or_default(),
        shown(figure.weir)
    )
}
