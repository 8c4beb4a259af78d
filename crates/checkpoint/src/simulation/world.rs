//! What outlives a crash, and the promises about the store that are checked while a job runs.

use std::collections::{BTreeMap, BTreeSet};

use weir_model::{Attempt, CheckpointId, ProcessingTime};

use super::{
    disk::DiskFault,
    folders::{Broken, Folders},
    plan::{KEYS, Plan, Role, SPLIT_STRIDE},
    rng::Rng,
    seen::{Seen, Tally},
    task::flight::{InFlight, read},
};
use crate::{
    CheckpointMode, FileRef, JobPaths, Metadata, SharedFile, SharedRegistry, SnapshotStore,
    StoreError, Survey,
    testing::{Fault, MemoryStore},
};

/// Says what happens, where a seed is being looked at.
macro_rules! note {
    ($world:expr, $($what:tt)*) => {
        if $world.trace {
            println!("{:>6} {:>6} ms  {}", $world.steps, $world.now.0, format_args!($($what)*));
        }
    };
}
pub(super) use note;

pub(super) struct Storage {
    pub(super) store: MemoryStore,
    pub(super) paths: JobPaths,
    /// The folders of savepoints, by their numbers, which the next process may give out again.
    pub(super) targets: BTreeMap<CheckpointId, String>,
}

/// With which savepoint the job stopped, as it was written down beside its checkpoints.
pub(super) struct Stopped {
    /// Nothing up to this number is gone on from.
    pub(super) above: CheckpointId,
    pub(super) folder: String,
}

impl Storage {
    pub(super) fn survey(&self) -> Survey {
        let objects = self.store.list(self.paths.root()).unwrap();
        Survey::of(&self.paths, &objects)
    }

    /// Who uses which shared file, as the store says.
    pub(super) fn registry(&self) -> SharedRegistry {
        let mut registry = SharedRegistry::default();
        for id in self.survey().completed {
            let bytes = self.store.get(&self.paths.metadata(id)).unwrap();
            match Metadata::decode(&bytes) {
                Ok(metadata) => registry.found(id, metadata.shared()),
                Err(_) => registry.found_unreadable(id),
            }
        }
        registry
    }

    /// Deletes shared files.
    pub(super) fn delete_shared(&self, files: &[SharedFile]) {
        for file in files {
            let _ = self.store.delete(&self.paths.shared_file(file));
        }
    }

    /// The highest checkpoint that there is anything of.
    pub(super) fn highest(&self) -> Option<CheckpointId> {
        self.survey().highest
    }

    /// The path of an object of a checkpoint or savepoint.
    pub(super) fn path(&self, id: CheckpointId, inside: &str) -> String {
        match self.targets.get(&id) {
            Some(folder) => format!("{folder}{inside}"),
            None => self.paths.in_checkpoint(id, inside),
        }
    }

    /// What the job stopped with last, whatever it has done since.
    pub(super) fn said(&self) -> Option<Stopped> {
        let objects = self.store.list(self.paths.root()).unwrap();
        let numbers = objects.iter().filter_map(|o| self.paths.begin_of(&o.path));
        let bytes = self.store.get(&self.paths.begin(numbers.max()?)).unwrap();
        let text = String::from_utf8(bytes).unwrap();
        let (above, folder) = text.split_once(' ')?;
        Some(Stopped {
            above: CheckpointId(above.parse().unwrap()),
            folder: folder.to_owned(),
        })
    }

    /// The savepoint that the job stopped with, unless it has completed a checkpoint since.
    pub(super) fn stopped(&self) -> Option<Stopped> {
        let latest = self.survey().latest();
        self.said().filter(|said| latest <= Some(said.above))
    }

    /// Writes down that the job stopped with a savepoint, before anything of it is committed.
    pub(super) fn say_stopped(&self, id: CheckpointId) -> Result<(), StoreError> {
        let objects = self.store.list(self.paths.root()).unwrap();
        let numbers = objects.iter().filter_map(|o| self.paths.begin_of(&o.path));
        let path = self.paths.begin(numbers.max().map_or(1, |last| last + 1));
        let text = format!("{id} {}", self.path(id, ""));
        let written = self.store.put(&path, vec![text.into_bytes()]);
        written.inspect_err(|_| {
            let _ = self.store.delete(&path);
        })
    }

    /// The metadata of a checkpoint or savepoint, if it and all that it names can be read.
    pub(super) fn read(&self, id: CheckpointId) -> Result<Metadata, String> {
        self.read_by(|inside| self.path(id, inside))
    }

    /// As `read`, of what lies in a folder and refers to nothing outside of it.
    pub(super) fn read_at(&self, folder: &str) -> Result<Metadata, String> {
        self.read_by(|inside| format!("{folder}{inside}"))
    }

    fn read_by(&self, path: impl Fn(&str) -> String) -> Result<Metadata, String> {
        let get = |path: &str| self.store.get(path).map_err(|e: StoreError| e.to_string());
        let bytes = get(&path("_metadata"))?;
        let metadata = Metadata::decode(&bytes).map_err(|e| e.to_string())?;
        for file in metadata.files() {
            let bytes = get(&path(&file.path))?;
            if bytes.len() as u64 != file.length || crc32c::crc32c(&bytes) != file.crc32c {
                return Err(format!("{} is damaged", file.path));
            }
        }
        Ok(metadata)
    }
}

pub(super) struct World {
    pub(super) rng: Rng,
    pub(super) plan: Plan,
    pub(super) storage: Storage,
    pub(super) folders: Folders,
    pub(super) now: ProcessingTime,
    pub(super) attempt: Attempt,
    /// How much more goes wrong.
    pub(super) faults_left: usize,
    /// How many steps pass from one fault to the next, on the average.
    pub(super) calm: usize,
    /// The latest checkpoint that was ever said to be complete.
    pub(super) complete: Option<CheckpointId>,
    /// The latest checkpoint that this process has triggered, or found.
    pub(super) highest: Option<CheckpointId>,
    /// What was to be deleted, and was not.
    pub(super) undeleted: BTreeSet<CheckpointId>,
    /// The same of shared files.
    pub(super) lost: BTreeSet<SharedFile>,
    /// The folders of all savepoints that were ever said to be complete.
    pub(super) savepoints: Vec<String>,
    /// How many savepoints were begun.
    pub(super) folders_given: u32,
    /// What a crash has damaged.
    pub(super) damaged: BTreeSet<CheckpointId>,
    /// Whether the last process found everything done.
    pub(super) was_done: bool,
    /// Faults of the disk before this attempt.
    fired_before: u64,
    pub(super) steps: u64,
    pub(super) seen: Tally,
    pub(super) trace: bool,
}

impl World {
    pub(super) fn new(seed: u64, trace: bool) -> Self {
        let mut rng = Rng::new(seed);
        let plan = Plan::random(&mut rng);
        Self {
            faults_left: rng.below(16),
            calm: rng.pick(&[50, 200, 800]),
            storage: Storage {
                store: MemoryStore::new(),
                paths: JobPaths::new(&plan.job),
                targets: BTreeMap::new(),
            },
            folders: Folders::new(&plan.job, &plan),
            plan,
            now: ProcessingTime(0),
            attempt: Attempt(0),
            complete: None,
            highest: None,
            undeleted: BTreeSet::new(),
            lost: BTreeSet::new(),
            savepoints: Vec::new(),
            folders_given: 0,
            damaged: BTreeSet::new(),
            was_done: false,
            fired_before: 0,
            steps: 0,
            seen: Tally::default(),
            trace,
            rng,
        }
    }

    pub(super) fn see(&mut self, what: Seen) {
        self.seen.see(what);
    }

    /// Another attempt begins.
    pub(super) fn begin_attempt(&mut self) {
        self.attempt = Attempt(self.attempt.0 + 1);
        self.fired_before = self.folders.disk.fired();
        note!(self, "attempt {} of {:?}", self.attempt, self.plan);
    }

    /// A sink has failed, for which there must be a reason: a fault in this attempt. What a fault
    /// left behind is no reason to fail in the next one.
    pub(super) fn excuse(&self, failure: &str) -> Result<(), Broken> {
        note!(self, "failed: {failure}");
        if self.folders.disk.fired() > self.fired_before {
            Ok(())
        } else {
            Err(format!("a sink failed without a fault: {failure}"))
        }
    }

    /// Whether the process died while it wrote.
    pub(super) fn is_frozen(&self) -> bool {
        self.storage.store.is_frozen() || self.folders.disk.is_frozen()
    }

    /// The process ends abruptly, and with it now and then the machine, which may damage a bit of
    /// the latest checkpoint.
    pub(super) fn crash(&mut self) -> Result<(), Broken> {
        self.see(Seen::Crash);
        if self.storage.store.is_frozen() {
            self.see(Seen::CrashInStore);
        }
        if self.folders.disk.is_frozen() {
            self.see(Seen::CrashInSink);
        }
        self.storage.store.thaw();
        let power_loss = self.rng.one_in(2);
        note!(self, "crash, power loss: {power_loss}");
        self.folders.disk.crash(power_loss, &mut self.rng);
        if power_loss {
            self.see(Seen::PowerLoss);
        }
        let survey = self.storage.survey();
        if let Some(latest) = survey.latest()
            && self.rng.one_in(10)
        {
            let folder = self.storage.paths.checkpoint(latest);
            let mut objects = self.storage.store.list(&folder).unwrap();
            objects.extend(
                self.storage
                    .store
                    .list(&self.storage.paths.shared())
                    .unwrap(),
            );
            let object = self.rng.below(objects.len());
            let bit = self.rng.below(1 << 20);
            self.storage.store.flip(&objects[object].path, bit);
            note!(self, "{} is damaged", objects[object].path);
            self.see(Seen::Damage);
            self.complete = None;
        }
        // Half-written metadata as well.
        let storage = &self.storage;
        let completed = survey.completed.into_iter();
        self.damaged
            .extend(completed.filter(|&id| storage.read(id).is_err()));
        self.folders.look_again()
    }

    /// Something is about to go wrong with the store.
    pub(super) fn break_store(&mut self) {
        self.see(Seen::StoreFault);
        let faults = [Fault::Refuse, Fault::LoseReply, Fault::Tear, Fault::Freeze];
        let fault = self.rng.pick(&faults);
        let n = self.rng.within(1, 3) as u64;
        note!(self, "{fault:?} will befall write {n} of the store");
        self.storage.store.inject(n, fault);
    }

    /// Something is about to go wrong with the disk that the sinks write to.
    pub(super) fn break_disk(&mut self) {
        self.see(Seen::DiskFault);
        let faults = [
            DiskFault::Refuse,
            DiskFault::LoseReply,
            DiskFault::Half,
            DiskFault::Freeze,
            DiskFault::Freeze,
        ];
        let fault = self.rng.pick(&faults);
        let n = self.rng.within(1, 12) as u64;
        note!(self, "{fault:?} will befall step {n} of the disk");
        self.folders.disk.inject(n, fault);
    }

    /// The process is about to die while it does something to the disk.
    pub(super) fn die_soon(&mut self) {
        self.see(Seen::DiskFault);
        let n = self.rng.within(1, 6) as u64;
        note!(self, "the process will die at step {n} of the disk");
        self.folders.disk.inject(n, DiskFault::Freeze);
    }

    /// The store was changed: what was said to be complete is still there, or something newer is,
    /// and everything that metadata names is there.
    pub(super) fn check_store(&self) -> Result<(), Broken> {
        if self.storage.store.is_frozen() {
            return Ok(());
        }
        for folder in &self.savepoints {
            if let Err(error) = self.storage.read_at(folder) {
                return Err(format!("{folder} is the user's, and gone: {error}"));
            }
        }
        let survey = self.storage.survey();
        let mut latest = None;
        for &id in &survey.completed {
            match self.storage.read(id) {
                Ok(_) => latest = Some(id),
                Err(_) if self.damaged.contains(&id) => {}
                Err(error) => {
                    // Torn metadata are no checkpoint; that is told apart by reading them.
                    let bytes = self.storage.store.get(&self.storage.paths.metadata(id));
                    if bytes.is_ok_and(|bytes| Metadata::decode(&bytes).is_ok()) {
                        return Err(format!("checkpoint {id} has metadata, but {error}"));
                    }
                }
            }
        }
        if latest < self.complete {
            return Err(format!(
                "{:?} was complete, {survey:?} is left",
                self.complete
            ));
        }
        Ok(())
    }

    /// A checkpoint has become durable: its state is that of the rows that its sources had read.
    /// Not less in either mode, and not more where each row counts once.
    pub(super) fn check_state(&self, metadata: &Metadata) -> Result<(), Broken> {
        for (index, vertex) in self.plan.vertices.iter().enumerate() {
            if !matches!(vertex.role, Role::Count) {
                continue;
            }
            let mut expected = [0; KEYS as usize];
            for way in self.plan.ways(index) {
                for row in self.arrived(metadata, &way) {
                    expected[(row % KEYS) as usize] += 1;
                }
            }
            let mut counted = [0; KEYS as usize];
            for counts in self.counts(metadata, index) {
                for (key, count) in counts {
                    counted[key as usize] += count;
                }
            }
            let fits = match self.plan.mode {
                CheckpointMode::ExactlyOnce => counted == expected,
                CheckpointMode::AtLeastOnce => {
                    let mut keys = counted.iter().zip(&expected);
                    keys.all(|(counted, expected)| counted >= expected)
                }
            };
            if !fits {
                return Err(format!(
                    "checkpoint {}: the state of {} is {counted:?}, the sources are at {expected:?}",
                    metadata.checkpoint, vertex.name
                ));
            }
        }
        Ok(())
    }

    /// The rows of a source that are behind a way when a checkpoint was taken: all that were read,
    /// but those that were in flight on it.
    pub(super) fn arrived(&self, metadata: &Metadata, way: &[usize]) -> BTreeSet<u64> {
        let mut rows = self.read_rows(metadata, way[0]);
        for (at, &vertex) in way.iter().enumerate() {
            for (_, in_flight) in self.in_flight(metadata, vertex) {
                for row in in_flight.iter().flat_map(|(_, rows)| rows) {
                    if row.way() == way[..at] {
                        rows.remove(&row.number);
                    }
                }
            }
        }
        rows
    }

    /// What was in flight to each old subtask of a vertex.
    pub(super) fn in_flight(&self, metadata: &Metadata, vertex: usize) -> Vec<(usize, InFlight)> {
        let saved = &metadata.operators[&self.plan.vertices[vertex].name];
        let files = saved.subtasks.iter().enumerate();
        let files = files.filter_map(|(old, subtask)| Some((old, subtask.channels.as_ref()?)));
        files
            .map(|(old, file)| {
                let paths = &self.storage.paths;
                let path = paths.in_checkpoint(metadata.checkpoint, &file.path);
                let bytes = self.storage.store.get(&path).unwrap();
                (old, read(std::str::from_utf8(&bytes).unwrap()))
            })
            .collect()
    }

    /// The counts that each subtask of a vertex had saved.
    pub(super) fn counts(&self, metadata: &Metadata, vertex: usize) -> Vec<BTreeMap<u64, u64>> {
        let saved = &metadata.operators[&self.plan.vertices[vertex].name];
        let storage = &self.storage;
        let read = |file: &FileRef| -> BTreeMap<u64, u64> {
            let path = storage.path(metadata.checkpoint, &file.path);
            serde_json::from_slice(&storage.store.get(&path).unwrap()).unwrap()
        };
        let counts = saved.subtasks.iter().map(|subtask| {
            let file = subtask.file.as_ref().unwrap();
            // The last one says what a key has.
            subtask.shared.iter().chain([file]).flat_map(read).collect()
        });
        counts.collect()
    }

    /// The rows of a source that had been read when a checkpoint was taken: what its positions say.
    pub(super) fn read_rows(&self, metadata: &Metadata, source: usize) -> BTreeSet<u64> {
        let vertex = &self.plan.vertices[source];
        let Role::Source { splits, .. } = &vertex.role else {
            panic!("{} is no source", vertex.name);
        };
        let saved = &metadata.sources[&vertex.name];
        let finished = saved.enumerator["finished"].as_array().unwrap();
        let finished = finished.iter().map(|id| id.as_str().unwrap());
        let ended: BTreeSet<_> = finished
            .chain(saved.ended.iter().map(String::as_str))
            .collect();
        let pending = saved.enumerator["pending"].as_array().unwrap();
        let mut positions: BTreeMap<&str, Option<u64>> = pending
            .iter()
            .map(|split| (split["id"].as_str().unwrap(), split["position"].as_u64()))
            .collect();
        let open = saved.open.iter();
        positions.extend(open.map(|split| (split.id.as_str(), split.position.as_u64())));
        let mut rows = BTreeSet::new();
        for (begin, &length) in (0..).step_by(SPLIT_STRIDE as usize).zip(splits) {
            let id = format!("s{}", begin / SPLIT_STRIDE);
            let reached = match positions.get(id.as_str()) {
                _ if ended.contains(id.as_str()) => begin + length,
                Some(&Some(position)) => position,
                Some(None) | None => begin,
            };
            rows.extend(begin..reached);
        }
        rows
    }

    /// The job was drained: its sources have no more than they had read then.
    pub(super) fn cut_off(&mut self, metadata: &Metadata) {
        for index in 0..self.plan.vertices.len() {
            if !matches!(self.plan.vertices[index].role, Role::Source { .. }) {
                continue;
            }
            let read = self.read_rows(metadata, index);
            if let Role::Source { splits, .. } = &mut self.plan.vertices[index].role {
                for (begin, rows) in (0..).step_by(SPLIT_STRIDE as usize).zip(splits) {
                    *rows = read.range(begin..begin + SPLIT_STRIDE).count() as u64;
                }
            }
        }
    }

    /// The job has finished, and what it left stays, whatever happens to the machine.
    pub(super) fn judge(&mut self) -> Result<(), Broken> {
        self.check_end()?;
        self.folders.disk.crash(true, &mut self.rng);
        self.folders.look_again()?;
        self.check_end()
    }

    fn check_end(&self) -> Result<(), Broken> {
        let has_failed = self.attempt > Attempt(1);
        self.folders.judge(&self.plan, has_failed)?;
        let survey = self.storage.survey();
        // One that was asked for outlives its completion.
        let retained = self.plan.config.retained;
        let most = retained + 1 + self.undeleted.len() + self.damaged.len();
        let leaked: Vec<_> = survey
            .shared_orphans(&mut self.storage.registry())
            .into_iter()
            // What was not deleted is thought to use what its base does.
            .filter(|file| {
                let is_used = |id: &CheckpointId| file.checkpoint <= *id;
                !self.lost.contains(file) && !self.undeleted.iter().any(is_used)
            })
            .collect();
        if !leaked.is_empty() {
            return Err(format!("nobody names {leaked:?}"));
        }
        let mut orphans = survey.orphans.iter();
        let is_too_many = survey.completed.len() > most && !self.was_done;
        if is_too_many || !orphans.all(|id| self.undeleted.contains(id)) {
            return Err(format!(
                "{retained} are to be retained, there are {survey:?}; not deleted were {:?}",
                self.undeleted
            ));
        }
        Ok(())
    }
}
