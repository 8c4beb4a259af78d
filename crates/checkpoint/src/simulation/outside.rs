//! The world that sinks write to, which outlives every crash; and the judge of what is in there.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use weir_model::{Attempt, CheckpointId, SubtaskIndex};

use super::plan::{Plan, Role};
use crate::Metadata;

/// A row, with what it met on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) number: u64,
    pub(super) trail: Vec<Visit>,
}

/// What a vertex did to a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Visit {
    pub(super) vertex: usize,
    pub(super) subtask: SubtaskIndex,
    /// How many rows of this key it had seen there, this one included; 0 where nothing is counted.
    pub(super) count: u64,
}

impl Row {
    fn way(&self) -> Vec<usize> {
        self.trail.iter().map(|visit| visit.vertex).collect()
    }
}

/// What breaks a promise, for people.
pub(super) type Broken = String;

#[derive(Debug, Default)]
pub(super) struct Outside {
    folders: BTreeMap<usize, Folder>,
    /// Every committable that durable metadata ever named.
    named: BTreeSet<String>,
    /// What was counted for a row at the end of a way, wherever it was committed.
    counted: BTreeMap<(Vec<usize>, u64), (SubtaskIndex, u64)>,
}

#[derive(Debug, Default)]
struct Folder {
    open: BTreeMap<String, (Attempt, Vec<Row>)>,
    visible: BTreeMap<String, Vec<Row>>,
    rows: BTreeSet<(Vec<usize>, u64)>,
    last: Option<CheckpointId>,
}

impl Outside {
    /// Writes a file that nobody sees, and says how it is to be committed.
    pub(super) fn seal(
        &mut self,
        sink: usize,
        (attempt, subtask, sequence): (Attempt, SubtaskIndex, u64),
        checkpoint: CheckpointId,
        rows: Vec<Row>,
    ) -> Result<Value, Broken> {
        let temp = format!(".{attempt}-{subtask}-{sequence}.open");
        let name = format!("part-{checkpoint}-{subtask}-{sequence}");
        let committable = json!({
            "temp": temp, "final": name, "rows": rows.len(), "checkpoint": checkpoint.0,
        });
        let folder = self.folders.entry(sink).or_default();
        match folder.open.insert(temp.clone(), (attempt, rows)) {
            None => Ok(committable),
            Some(_) => Err(format!("{temp} was written over")),
        }
    }

    /// Metadata has become durable: what it names may be committed from now on.
    pub(super) fn name(&mut self, metadata: &Metadata) {
        let transactions = metadata.sinks.iter();
        let all = transactions.flat_map(|(sink, t)| t.iter().map(move |t| (sink, t)));
        for (sink, transaction) in all {
            let names = transaction.committables.iter();
            self.named
                .extend(names.map(|c| format!("{sink}/{}", text(c, "final"))));
        }
    }

    /// Makes what was sealed visible; again is no error.
    pub(super) fn commit(&mut self, plan: &Plan, sink: usize, c: &Value) -> Result<(), Broken> {
        let (temp, name) = (text(c, "temp"), text(c, "final"));
        let sink_name = &plan.vertices[sink].name;
        if !self.named.contains(&format!("{sink_name}/{name}")) {
            return Err(format!(
                "{sink_name}/{name} was in no checkpoint when it was committed"
            ));
        }
        let folder = self.folders.entry(sink).or_default();
        let expected = c["rows"].as_u64().unwrap() as usize;
        if let Some(there) = folder.visible.get(name) {
            return if there.len() == expected {
                folder.open.remove(temp);
                Ok(())
            } else {
                Err(format!("{sink_name}/{name} is there with other rows"))
            };
        }
        let Some((_, rows)) = folder.open.remove(temp) else {
            return Err(format!(
                "{sink_name}/{temp} is gone and {name} is not there: rows lost"
            ));
        };
        for row in &rows {
            if !folder.rows.insert((row.way(), row.number)) {
                return Err(format!("{sink_name}: committed twice: {row:?}"));
            }
            remember(&mut self.counted, row)?;
        }
        folder.last = folder.last.max(c["checkpoint"].as_u64().map(CheckpointId));
        folder.visible.insert(name.to_owned(), rows);
        Ok(())
    }

    /// The end of a sink's recovery: what older attempts left open is removed.
    pub(super) fn clear_older(&mut self, sink: usize, attempt: Attempt) {
        let folder = self.folders.entry(sink).or_default();
        folder.open.retain(|_, (of, _)| *of >= attempt);
    }

    /// The last checkpoint that something is visible of.
    pub(super) fn shown(&self, sink: usize) -> Option<CheckpointId> {
        self.folders.get(&sink).and_then(|folder| folder.last)
    }

    /// The job says that it has finished: every row is there, and each was counted once.
    pub(super) fn judge(&self, plan: &Plan) -> Result<(), Broken> {
        let none = Folder::default();
        for sink in plan.sinks() {
            let folder = self.folders.get(&sink).unwrap_or(&none);
            if let Some(temp) = folder.open.keys().next() {
                return Err(format!("sink {sink}: {temp} was left open"));
            }
            for way in plan.ways(sink) {
                let rows = plan.rows(way[0]);
                let lost = |&&row: &&u64| !folder.rows.contains(&(way.clone(), row));
                if let Some(row) = rows.iter().find(lost) {
                    return Err(format!("row {row} by {way:?} was lost"));
                }
            }
            let expected: usize = plan.ways(sink).iter().map(|w| plan.rows(w[0]).len()).sum();
            if folder.rows.len() != expected {
                return Err(format!(
                    "sink {sink}: {} rows, not {expected}",
                    folder.rows.len()
                ));
            }
        }
        self.judge_counts(plan)
    }

    /// The counts of each key of each subtask are 1, 2, 3 and so on: no state was lost, none was
    /// counted twice.
    fn judge_counts(&self, plan: &Plan) -> Result<(), Broken> {
        let mut counts: BTreeMap<(usize, SubtaskIndex, u64), Vec<u64>> = BTreeMap::new();
        for ((way, row), &(subtask, count)) in &self.counted {
            let vertex = way[way.len() - 1];
            if matches!(plan.vertices[vertex].role, Role::Count) {
                let key = (vertex, subtask, row % super::plan::KEYS);
                counts.entry(key).or_default().push(count);
            }
        }
        for (key, mut counts) in counts {
            counts.sort_unstable();
            if !counts.iter().copied().eq(1..=counts.len() as u64) {
                return Err(format!(
                    "state of (vertex, subtask, key) {key:?}: {counts:?}"
                ));
            }
        }
        Ok(())
    }
}

/// One row is counted once: whoever commits it, by whatever way it went on, tells the same.
fn remember(
    counted: &mut BTreeMap<(Vec<usize>, u64), (SubtaskIndex, u64)>,
    row: &Row,
) -> Result<(), Broken> {
    let way = row.way();
    for (at, visit) in row.trail.iter().enumerate() {
        let event = (way[..=at].to_vec(), row.number);
        let this = (visit.subtask, visit.count);
        let first = *counted.entry(event).or_insert(this);
        if first != this && visit.count > 0 {
            return Err(format!("{row:?} was counted as {first:?} and as {this:?}"));
        }
    }
    Ok(())
}

fn text<'a>(committable: &'a Value, field: &str) -> &'a str {
    committable[field].as_str().unwrap()
}
