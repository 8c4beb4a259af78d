//! The folders that the file sinks write to, which outlive every crash; and the judge of what is
//! visible in there.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
};

use weir_connectors::{FileSink, FileSinkOptions};
use weir_model::{Attempt, JobName, SubtaskIndex};
use weir_operator::{Committable, Failure, Sealed, Sink, SinkFactory, SinkGuarantee, TaskInfo};

use super::{
    disk::MemoryDisk,
    plan::{KEYS, Plan, Role, SinkPlan, max_parallelism, parallelism},
    row::Row,
};
use crate::{CheckpointMode, Metadata, Shown};

/// What breaks a promise, for people.
pub(super) type Broken = String;

pub(super) struct Folders {
    pub(super) disk: MemoryDisk,
    all: BTreeMap<usize, Folder>,
    /// What was counted for a row at the end of a way, wherever it was committed once.
    counted: BTreeMap<(Vec<usize>, u64), (SubtaskIndex, u64)>,
    /// Whether rows may come again though a sink commits each once.
    is_loose: bool,
    /// How many names had been given when it was last looked.
    links: u64,
}

struct Folder {
    name: String,
    path: PathBuf,
    sink: Arc<FileSink>,
    guarantee: SinkGuarantee,
    /// Length and checksum of every file that durable metadata ever named.
    named: BTreeMap<String, (u64, u64)>,
    /// What was seen under final names.
    visible: BTreeMap<String, usize>,
    /// Final names that the sink has said to be visible.
    confirmed: BTreeSet<String>,
    /// How often each row is visible, by its way.
    rows: BTreeMap<(Vec<usize>, u64), usize>,
}

impl Folders {
    pub(super) fn new(job: &JobName, plan: &Plan) -> Self {
        let disk = MemoryDisk::default();
        let mut all = BTreeMap::new();
        for sink in plan.sinks() {
            let SinkPlan {
                guarantee,
                roll_bytes,
            } = plan.sink(sink);
            let name = plan.vertices[sink].name.clone();
            let path = PathBuf::from(format!("/out/{name}"));
            let options = FileSinkOptions {
                job: job.clone(),
                sink: name.clone(),
                folder: path.clone(),
                ext: "txt".to_owned(),
                guarantee,
                roll_bytes,
            };
            let folder = Folder {
                name: name.to_string(),
                path,
                sink: Arc::new(FileSink::on(Arc::new(disk.clone()), options).unwrap()),
                guarantee,
                named: BTreeMap::new(),
                visible: BTreeMap::new(),
                confirmed: BTreeSet::new(),
                rows: BTreeMap::new(),
            };
            all.insert(sink, folder);
        }
        Self {
            disk,
            all,
            counted: BTreeMap::new(),
            is_loose: plan.mode == CheckpointMode::AtLeastOnce,
            links: 0,
        }
    }

    /// Makes the writer of one subtask.
    pub(super) fn create(
        &self,
        plan: &Plan,
        vertex: usize,
        subtask: SubtaskIndex,
        attempt: Attempt,
    ) -> Result<Box<dyn Sink>, Failure> {
        let folder = &self.all[&vertex];
        folder.sink.create(&TaskInfo {
            job: plan.job.clone(),
            operator: plan.vertices[vertex].name.clone(),
            subtask,
            parallelism: parallelism(plan.vertices[vertex].parallelism),
            max_parallelism: max_parallelism(),
            attempt,
        })
    }

    /// Metadata has become durable: what it names may be committed from now on.
    pub(super) fn name(&mut self, metadata: &Metadata) {
        for folder in self.all.values_mut() {
            for committable in metadata.committables(&folder.name) {
                let number = |field: &str| committable[field].as_u64().unwrap();
                let file = (number("length"), number("crc32c"));
                folder.named.insert(final_name(&committable), file);
            }
        }
    }

    /// Has the sink make visible what was sealed.
    pub(super) fn commit(
        &mut self,
        vertex: usize,
        committables: &[Committable],
    ) -> Result<Result<(), Failure>, Broken> {
        let sink = self.all[&vertex].sink.clone();
        let result = sink.commit(&sealed(committables)).map(|_| ());
        self.look()?;
        if result.is_ok() {
            self.confirm(vertex, committables)?;
        }
        Ok(result)
    }

    /// Has the sink do what it does before any task starts; nothing is left open then.
    pub(super) fn recover(
        &mut self,
        vertex: usize,
        committables: &[Committable],
    ) -> Result<Result<(), Failure>, Broken> {
        let sink = self.all[&vertex].sink.clone();
        let result = sink.recover(&sealed(committables)).map(|_| ());
        self.look()?;
        if result.is_ok() {
            self.confirm(vertex, committables)?;
            self.check_nothing_open(vertex)?;
        }
        Ok(result)
    }

    /// What the sinks have shown, by name.
    pub(super) fn shown(&self) -> Result<BTreeMap<JobName, Shown>, Failure> {
        let mut all = BTreeMap::new();
        for folder in self.all.values() {
            let shown = match folder.guarantee {
                SinkGuarantee::AtLeastOnce => Shown::AtOnce,
                SinkGuarantee::ExactlyOnce => Shown::UpTo(folder.sink.existing()?.last_checkpoint),
            };
            all.insert(JobName::new(&folder.name).unwrap(), shown);
        }
        Ok(all)
    }

    /// After a crash: what was said to be visible still is, and is as it was.
    pub(super) fn look_again(&mut self) -> Result<(), Broken> {
        self.counted.clear();
        for folder in self.all.values_mut() {
            folder.visible.clear();
            folder.rows.clear();
        }
        self.links = u64::MAX;
        self.look()?;
        for folder in self.all.values() {
            let mut confirmed = folder.confirmed.iter();
            if let Some(lost) = confirmed.find(|name| !folder.visible.contains_key(*name)) {
                return Err(format!("{}/{lost} was committed and is gone", folder.name));
            }
        }
        Ok(())
    }

    /// Looks for what has become visible, and whether it may be.
    pub(super) fn look(&mut self) -> Result<(), Broken> {
        if self.links == self.disk.links() {
            return Ok(());
        }
        self.links = self.disk.links();
        for folder in self.all.values_mut() {
            let names = self.disk.look(&folder.path);
            let names: Vec<_> = names.iter().filter(|n| !n.starts_with('.')).collect();
            let new: Vec<_> = names
                .iter()
                .filter(|name| !folder.visible.contains_key(**name))
                .collect();
            if folder.visible.len() + new.len() != names.len() {
                return Err(format!("{}: something visible is gone", folder.name));
            }
            for name in new {
                let bytes = self.disk.content(&folder.path.join(name));
                let rows = folder.check(name, &bytes)?;
                for row in &rows {
                    let seen = folder.rows.entry((row.way(), row.number)).or_default();
                    *seen += 1;
                    let is_once = folder.guarantee == SinkGuarantee::ExactlyOnce && !self.is_loose;
                    if is_once && *seen > 1 {
                        return Err(format!("{}: committed twice: {row:?}", folder.name));
                    }
                    if is_once {
                        remember(&mut self.counted, row)?;
                    }
                }
                folder.visible.insert((*name).clone(), rows.len());
            }
        }
        Ok(())
    }

    /// What is visible of a sink once it has recovered: each row that the sources had read when the
    /// restored checkpoint was taken, by each way. More only where rows may come again.
    pub(super) fn check_rows(
        &self,
        plan: &Plan,
        read: impl Fn(&[usize]) -> BTreeSet<u64>,
    ) -> Result<(), Broken> {
        for (&vertex, folder) in &self.all {
            let mut expected = 0;
            for way in plan.ways(vertex) {
                for row in read(&way) {
                    expected += 1;
                    if !folder.rows.contains_key(&(way.clone(), row)) {
                        return Err(format!("{}: row {row} by {way:?} was lost", folder.name));
                    }
                }
            }
            let is_exact = folder.guarantee == SinkGuarantee::ExactlyOnce;
            if is_exact && !self.is_loose && folder.rows.len() != expected {
                return Err(format!(
                    "{}: {} rows are visible, the sources have read {expected}",
                    folder.name,
                    folder.rows.len()
                ));
            }
        }
        Ok(())
    }

    /// The job says that it has finished: every row is there, nothing else, and nothing is left
    /// open. Where nothing ever failed nothing came again, whatever the sinks promise.
    pub(super) fn judge(&self, plan: &Plan, has_failed: bool) -> Result<(), Broken> {
        self.check_rows(plan, |way| plan.rows(way[0]).into_iter().collect())?;
        for (&vertex, folder) in &self.all {
            self.check_nothing_open(vertex)?;
            let ways = plan.ways(vertex);
            // What was shown before a drain, whatever became of it, stays.
            let is_exact = folder.guarantee == SinkGuarantee::ExactlyOnce && !self.is_loose;
            let known = |(way, row): &(Vec<usize>, u64)| {
                let rows = match is_exact {
                    true => plan.rows(way[0]),
                    false => plan.rows_given(way[0]),
                };
                ways.contains(way) && rows.contains(row)
            };
            if let Some(stranger) = folder.rows.keys().find(|row| !known(row)) {
                return Err(format!("{}: nobody wrote {stranger:?}", folder.name));
            }
            if !has_failed && folder.rows.values().any(|&count| count > 1) {
                return Err(format!("{}: rows came twice, and why?", folder.name));
            }
        }
        self.judge_counts(plan)
    }

    /// The counts of each key are 1, 2, 3 and so on: no state was lost, none was counted twice.
    /// Where rows are not divided by key each subtask counts for itself.
    fn judge_counts(&self, plan: &Plan) -> Result<(), Broken> {
        type Counter = (usize, Option<SubtaskIndex>, u64);
        let mut counts: BTreeMap<Counter, Vec<u64>> = BTreeMap::new();
        for ((way, row), &(subtask, count)) in &self.counted {
            let vertex = way[way.len() - 1];
            if !matches!(plan.vertices[vertex].role, Role::Count) {
                continue;
            }
            let by_key = plan.is_by_key(vertex);
            if by_key || !plan.was_rescaled {
                let counter = (vertex, (!by_key).then_some(subtask), row % KEYS);
                counts.entry(counter).or_default().push(count);
            }
        }
        for (counter, mut counts) in counts {
            counts.sort_unstable();
            if !counts.iter().copied().eq(1..=counts.len() as u64) {
                return Err(format!(
                    "state of (vertex, subtask, key) {counter:?}: {counts:?}"
                ));
            }
        }
        Ok(())
    }

    fn confirm(&mut self, vertex: usize, committables: &[Committable]) -> Result<(), Broken> {
        let folder = self.all.get_mut(&vertex).unwrap();
        for name in committables.iter().map(final_name) {
            if !folder.visible.contains_key(&name) {
                return Err(format!(
                    "{}/{name} was said to be committed and is not there",
                    folder.name
                ));
            }
            folder.confirmed.insert(name);
        }
        Ok(())
    }

    fn check_nothing_open(&self, vertex: usize) -> Result<(), Broken> {
        let folder = &self.all[&vertex];
        let names = self.disk.look(&folder.path);
        match names.iter().find(|name| name.starts_with('.')) {
            Some(open) => Err(format!("{}/{open} was left open", folder.name)),
            None => Ok(()),
        }
    }
}

impl Folder {
    /// A file has become visible: it is what a durable checkpoint names, if the sink commits.
    fn check(&self, name: &str, bytes: &[u8]) -> Result<Vec<Row>, Broken> {
        let file = (bytes.len() as u64, u64::from(crc32c::crc32c(bytes)));
        match self.guarantee {
            SinkGuarantee::ExactlyOnce => match self.named.get(name) {
                None => {
                    return Err(format!(
                        "{}/{name} is visible and in no durable checkpoint",
                        self.name
                    ));
                }
                Some(sealed) if *sealed != file => {
                    return Err(format!(
                        "{}/{name}: length and checksum are {file:?}, sealed were {sealed:?}",
                        self.name
                    ));
                }
                Some(_) => {}
            },
            SinkGuarantee::AtLeastOnce => {}
        }
        let text = String::from_utf8_lossy(bytes);
        let rows: Option<Vec<_>> = text.lines().map(Row::parse).collect();
        rows.filter(|rows| !rows.is_empty() && text.ends_with('\n'))
            .ok_or_else(|| format!("{}/{name} holds {text:?}", self.name))
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

/// A file sink keeps nothing in the files of a checkpoint.
fn sealed(committables: &[Committable]) -> Vec<Sealed> {
    committables.iter().cloned().map(Sealed::from).collect()
}

fn final_name(committable: &Committable) -> String {
    let name = committable["final"].as_str().unwrap();
    assert!(!Path::new(name).is_absolute());
    name.to_owned()
}
