//! Where a job begins: what lies in the store, which checkpoint is gone on from, and what becomes
//! of results that are there already.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use serde_json::{Value, json};
use weir_checkpoint::{
    Fallback, JobPaths, Metadata, ObjectInfo, Refusal, SharedRegistry, Shown, SnapshotStore,
    StoreError, Survey,
};
use weir_model::CheckpointId;
use weir_operator::{Failure, SinkGuarantee};

use super::{
    Job, Latest, blocking,
    claim::Claim,
    put_once,
    restore::{NoRestore, Restored},
};
use crate::{
    control::SavepointTarget,
    deployment::{Foreign, JobEvent, OnExisting, RestoreFrom, SinkDeployment},
    task::Storage,
};

impl Job {
    /// What lies in the store. Removes what no metadata names: a crash left it.
    pub(super) async fn survey(&mut self) -> Result<Survey, Failure> {
        let Some(storage) = self.storage.clone() else {
            return Ok(Survey::default());
        };
        let is_told = !matches!(self.options.restore, RestoreFrom::Latest);
        let (survey, begin, registry) = blocking(move || {
            let root = storage.paths.root();
            let objects = storage.store.list(root).map_err(|e| outside(root, &e))?;
            let begin = match Begin::latest(&storage, &objects) {
                // Whoever says where to begin need not know where the job began before.
                Err(Failure::Restore { .. }) if is_told => None,
                begin => begin?,
            };
            let survey = Survey::of(&storage.paths, &objects);
            for orphan in &survey.orphans {
                for object in &objects {
                    if storage.paths.checkpoint_of(&object.path) == Some(*orphan) {
                        let _ = storage.store.delete(&object.path);
                    }
                }
            }
            let mut registry = shared_files(&storage, &survey)?;
            storage.delete_shared(&survey.shared_orphans(&mut registry));
            Ok((survey, begin, registry))
        })
        .await?;
        self.registry = Arc::new(Mutex::new(registry));
        // Of what was highest when the job began there may be nothing left; its number is spent all
        // the same.
        let began = begin.as_ref().map(|begin| begin.above);
        self.highest = self
            .highest
            .max(survey.highest.max(began).unwrap_or(CheckpointId(0)));
        self.begin = begin;
        Ok(survey)
    }

    /// Reads the checkpoint that this attempt begins with.
    pub(super) async fn restore(
        &mut self,
        survey: &mut Survey,
    ) -> Result<Option<Restored>, Failure> {
        let first = self.latest.is_none();
        let mut latest = match self.latest.clone() {
            Some(latest) => self.newer_than(&latest, survey).unwrap_or(latest),
            None => self.choose(survey).await?,
        };
        let mut marked = BTreeMap::new();
        let restored = loop {
            let (store, folder, own) = match (latest.clone(), &self.storage) {
                (Latest::Beginning, _) | (Latest::Own(_), None) => {
                    if first {
                        self.begin_anew(survey).await?;
                    }
                    self.latest = Some(latest);
                    return Ok(None);
                }
                (Latest::Own(id), Some(storage)) => {
                    let folder = storage.paths.checkpoint(id);
                    (storage.store.clone(), folder, Some(id))
                }
                (Latest::Foreign(foreign), _) => (foreign.store, foreign.folder, None),
            };
            let deployment = self.deployment.clone();
            let listener = self.options.listener.clone();
            let read = move || {
                Ok(Restored::read(
                    store,
                    &folder,
                    own,
                    (&deployment, None),
                    Some(&*listener),
                ))
            };
            match (blocking(read).await?, &latest) {
                (Ok(restored), _) => break restored,
                (Err(NoRestore::Unreadable(failure)), Latest::Own(id))
                    if self.named != Some(*id) =>
                {
                    self.passed_over = self.passed_over.max(Some(*id));
                    let since = self.since(survey);
                    let older = self.fall_back(&since, *id, &mut marked, failure).await?;
                    // It is not one of those that retention counts.
                    survey.completed.retain(|kept| kept <= &older);
                    latest = Latest::Own(older);
                }
                (Err(no), _) => return Err(no.into_failure()),
            }
        };
        self.begin_at(&restored, latest, first).await?;
        Ok(Some(restored))
    }

    /// Takes note of where this attempt begins.
    async fn begin_at(
        &mut self,
        restored: &Restored,
        latest: Latest,
        first: bool,
    ) -> Result<(), Failure> {
        let (id, location) = (restored.id, restored.location.clone());
        self.adopt(restored, first);
        if let (Latest::Foreign(_), Some(claim)) = (&latest, self.claim.clone()) {
            blocking(move || claim.take()).await?;
        }
        if let Latest::Foreign(_) = latest {
            // New results must not take the names of those that are there (D24).
            self.highest = self.highest.max(id).max(self.last_committed().await?);
        }
        if first && !matches!(self.options.restore, RestoreFrom::Latest) {
            self.say_begin(&latest).await?;
        }
        if first {
            self.restored = Some((id, location.clone()));
        }
        self.latest = Some(latest);
        self.options
            .listener
            .event(&JobEvent::Restoring { id, location });
        Ok(())
    }

    /// A checkpoint of the job that is complete, though the one that it knows of is older: the
    /// answer of the storage did not come, and then it could not be deleted either. The next
    /// process would go on from it, so this one does, while its transactions are still there.
    fn newer_than(&self, latest: &Latest, survey: &Survey) -> Option<Latest> {
        let begun = self.begin.as_ref().map(|begin| begin.above);
        let own = match latest {
            Latest::Own(id) => Some(*id),
            Latest::Foreign(_) | Latest::Beginning => None,
        };
        // What the sinks had sealed for one that could not be read is gone since.
        let known = own.max(begun).max(self.passed_over);
        let newest = survey.latest().filter(|newest| Some(*newest) > known);
        newest.map(Latest::Own)
    }

    /// Where the first attempt of this process begins.
    async fn choose(&mut self, survey: &Survey) -> Result<Latest, Failure> {
        let told = match &self.options.restore {
            RestoreFrom::Nothing => return Ok(Latest::Beginning),
            RestoreFrom::Checkpoint(foreign) => return Ok(Latest::Foreign(foreign.clone())),
            RestoreFrom::Claimed(foreign) => {
                let foreign = foreign.clone();
                self.claim = Some(self.claim_of(foreign.clone(), 0)?);
                return Ok(Latest::Foreign(foreign));
            }
            RestoreFrom::Own(id) => From::Own(*id),
            RestoreFrom::Latest => {
                self.claim = self.claim_before(survey).await;
                match self.pending(survey) {
                    Some(begin) => begin.from.clone(),
                    None => return Ok(survey.latest().map_or(Latest::Beginning, Latest::Own)),
                }
            }
        };
        match told {
            From::Beginning => Ok(Latest::Beginning),
            From::Own(id) => {
                self.named = Some(id);
                Ok(Latest::Own(id))
            }
            From::Foreign(location) => Err(not_begun(&location, "")),
            From::Claimed(location) => match &self.claim {
                Some(claim) => Ok(Latest::Foreign(claim.foreign.clone())),
                None => Err(not_begun(&location, " --claim")),
            },
        }
    }

    /// A claim of this job, which has completed so many checkpoints since.
    fn claim_of(&self, foreign: Foreign, completed: usize) -> Result<Claim, Failure> {
        match (&self.options.claims, &self.options.checkpoints) {
            (Some(claims), Some(checkpoints)) => {
                let retained = checkpoints.config.retained;
                let owner = claims.owner.clone();
                Ok(Claim::new(foreign, owner, retained, completed))
            }
            (None, _) | (_, None) => Err(Failure::Unfit {
                message: format!(
                    "{}: a job that keeps no checkpoints of its own cannot claim one",
                    foreign.place()
                ),
            }),
        }
    }

    /// What an earlier process of the job has claimed, if it is still there.
    async fn claim_before(&self, survey: &Survey) -> Option<Claim> {
        let begin = self.begin.as_ref()?;
        let From::Claimed(place) = begin.from.clone() else {
            return None;
        };
        let opener = self.options.claims.as_ref()?.opener.clone();
        let open = move || Ok(opener(&place));
        let foreign = blocking(open).await.ok()?.ok()?;
        let since = survey.completed.iter().filter(|id| **id > begin.above);
        self.claim_of(foreign, since.count()).ok()
    }

    /// Deletes what an earlier process has claimed and died before it could delete it.
    pub(super) async fn delete_claimed_before(&mut self) {
        if let Some(over) = self.claim.take_if(|claim| claim.is_over()) {
            let _ = blocking(move || {
                over.delete();
                Ok(())
            })
            .await;
        }
    }

    /// Takes over what the checkpoint says of the job, and tells what is left behind.
    fn adopt(&mut self, restored: &Restored, first: bool) {
        let mut notes = Vec::new();
        for left in &restored.fit.left {
            notes.push(format!("{left} is left behind: {}", restored.location));
        }
        let plan = &mut self.deployment.plan;
        let (own, saved) = (plan.max_parallelism, restored.metadata.max_parallelism);
        if own != saved {
            plan.max_parallelism = saved;
            notes.push(format!(
                "the job keeps max-parallelism {saved} of the checkpoint; without it, it would be \
                 {own}"
            ));
        }
        for (name, source) in &mut self.deployment.sources {
            let saved = restored.source(name);
            if let Some(resumed) = saved.and_then(|saved| source.resumed(&saved)) {
                *source = resumed;
            }
        }
        for note in notes.into_iter().filter(|_| first) {
            self.options.listener.event(&JobEvent::Note(note));
        }
    }

    /// Where the job began, if it has completed no checkpoint since.
    fn pending(&self, survey: &Survey) -> Option<&Begin> {
        let newer = |begin: &Begin| survey.latest().is_some_and(|latest| latest > begin.above);
        self.begin.as_ref().filter(|begin| !newer(begin))
    }

    /// The checkpoints since the job began, and the one that it began at: what is older belongs to
    /// another course of things, whose results may be gone.
    fn since(&self, survey: &Survey) -> Survey {
        let mut since = survey.clone();
        if let Some(begin) = &self.begin {
            let is_since = |id: &CheckpointId| *id > begin.above || begin.is_at(*id);
            since.completed.retain(is_since);
        }
        since
    }

    /// Whether retention leaves a checkpoint alone: the user named it (D24).
    pub(super) fn is_spared(&self, id: CheckpointId) -> bool {
        self.named == Some(id) || self.begin.as_ref().is_some_and(|begin| begin.is_at(id))
    }

    /// Deletes the checkpoints beyond those that are retained, the oldest first. One that cannot be
    /// deleted is no reason to fail.
    pub(super) async fn delete_excess(&self, survey: &Survey) {
        let (Some(storage), Some(checkpoints), Some(Latest::Own(_))) = (
            self.storage.clone(),
            &self.options.checkpoints,
            &self.latest,
        ) else {
            return;
        };
        let owned = survey.completed.iter().copied();
        let mut excess: Vec<_> = owned.filter(|id| !self.is_spared(*id)).collect();
        let retained = checkpoints.config.retained.max(1);
        excess.truncate(excess.len().saturating_sub(retained));
        let registry = self.registry.clone();
        let delete = move || {
            for id in excess {
                let _ = storage.delete_checkpoint(id, &registry);
            }
            Ok(())
        };
        let _ = blocking(delete).await;
    }

    /// Deletes all checkpoints of a job that was cancelled, if it is not to keep them. One that
    /// cannot be deleted is no reason to fail.
    pub(super) async fn delete_cancelled(&self) {
        let (Some(storage), Some(checkpoints)) = (self.storage.clone(), &self.options.checkpoints)
        else {
            return;
        };
        if checkpoints.config.retain_on_cancel {
            return;
        }
        let registry = self.registry.clone();
        let spared: Vec<_> = self.named.into_iter().collect();
        let delete = move || {
            let root = storage.paths.root();
            let objects = storage.store.list(root).map_err(|e| outside(root, &e))?;
            let survey = Survey::of(&storage.paths, &objects);
            for id in survey.completed.iter().filter(|id| !spared.contains(id)) {
                let _ = storage.delete_checkpoint(*id, &registry);
            }
            Ok(())
        };
        let _ = blocking(delete).await;
    }

    /// Writes down where the job begins, so that a crash before its next checkpoint does not send
    /// it elsewhere; it has not finished any more then (D23).
    async fn say_begin(&mut self, latest: &Latest) -> Result<(), Failure> {
        let Some(storage) = self.storage.clone() else {
            return Ok(());
        };
        let from = match latest {
            Latest::Beginning => From::Beginning,
            Latest::Own(id) => From::Own(*id),
            Latest::Foreign(foreign) if self.claim.is_some() => From::Claimed(foreign.place()),
            Latest::Foreign(foreign) => From::Foreign(foreign.place()),
        };
        let begin = Begin {
            above: self.highest,
            from,
        };
        self.begin = Some(begin.clone());
        blocking(move || {
            begin.write(&storage)?;
            let path = storage.paths.finished();
            storage.store.delete(&path).map_err(|e| outside(&path, &e))
        })
        .await
    }

    /// The checkpoint to go on from where one cannot be read (D20). `marked` gathers what the marks
    /// of newer ones say that sinks had shown.
    async fn fall_back(
        &mut self,
        survey: &Survey,
        unreadable: CheckpointId,
        marked: &mut BTreeMap<String, CheckpointId>,
        failure: Failure,
    ) -> Result<CheckpointId, Failure> {
        // Results may have been taken away since they were committed; the mark stays.
        for (name, id) in self.shown_by(unreadable).await? {
            let known = marked.entry(name).or_insert(id);
            *known = id.max(*known);
        }
        let mut shown = BTreeMap::new();
        for (name, sink) in &self.deployment.sinks {
            let upto = match sink.factory.guarantee() {
                SinkGuarantee::AtLeastOnce => Shown::AtOnce,
                SinkGuarantee::ExactlyOnce => {
                    let factory = sink.factory.clone();
                    let existing = blocking(move || factory.existing()).await?;
                    let marked = marked.get(name.as_str()).copied();
                    Shown::UpTo(existing.last_checkpoint.max(marked))
                }
            };
            shown.insert(name.clone(), upto);
        }
        match Fallback::choose(survey, unreadable, &shown) {
            Fallback::To {
                checkpoint,
                repeated,
            } => {
                let mut note = format!("{failure}; going back to checkpoint {checkpoint}");
                for sink in repeated {
                    note.push_str(&format!("; rows of sink `{sink}` will come again"));
                }
                self.options.listener.event(&JobEvent::Note(note));
                Ok(checkpoint)
            }
            Fallback::Stop { checkpoint, beyond } => {
                let folder = self.storage.as_ref().map(|storage| {
                    let inside = storage.paths.checkpoint(checkpoint);
                    format!(
                        "{}/{inside}",
                        storage.store.describe().trim_end_matches('/')
                    )
                });
                let mut message = reason(failure);
                for (sink, id) in beyond {
                    message.push_str(&format!(
                        "; sink `{sink}` has committed up to checkpoint {id}, and would do so again \
                         from checkpoint {checkpoint}"
                    ));
                }
                let folder = folder.unwrap_or_default();
                message.push_str(&format!(
                    "; to go back nevertheless, repeating results: --restore {folder}"
                ));
                Err(Failure::Restore { message })
            }
            Fallback::NothingOlder => Err(Failure::Restore {
                message: format!(
                    "{}; there is no older checkpoint; `--restore none` begins anew",
                    reason(failure)
                ),
            }),
        }
    }

    /// Up to which checkpoint each sink had shown something when the job ended with this one: what
    /// its mark says, if it has one.
    async fn shown_by(&self, id: CheckpointId) -> Result<Vec<(String, CheckpointId)>, Failure> {
        let Some(storage) = self.storage.clone() else {
            return Ok(Vec::new());
        };
        blocking(move || {
            let path = storage.paths.committed(id);
            let bytes = match storage.store.get(&path) {
                Ok(bytes) => bytes,
                Err(e) if e.is_not_found() => return Ok(Vec::new()),
                Err(e) => return Err(outside(&path, &e)),
            };
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let line = |line: &str| {
                let (name, id) = line.split_once(' ')?;
                Some((name.to_owned(), CheckpointId(id.parse().ok()?)))
            };
            Ok(text.lines().filter_map(line).collect())
        })
        .await
    }

    /// Marks the checkpoint that the job ended with as committed: its results may be taken away
    /// before the job goes on from it. The mark says up to where each sink has shown something, for
    /// D20.
    pub(super) async fn write_committed(&self) -> Result<(), Failure> {
        let (store, path) = match (self.storage.clone(), self.latest.clone()) {
            (Some(storage), Some(Latest::Own(id))) => (storage.store, storage.paths.committed(id)),
            // The savepoint that it stopped with. Another one is somebody else's.
            (Some(_), Some(Latest::Foreign(foreign))) if self.stopped.is_some() => {
                let folder = foreign.folder.trim_end_matches('/');
                let path = format!("{folder}/{}", JobPaths::committed_inside());
                (foreign.store, path)
            }
            (None, _) | (_, Some(Latest::Foreign(_) | Latest::Beginning) | None) => return Ok(()),
        };
        let mut text = String::new();
        for (name, sink) in &self.deployment.sinks {
            let factory = sink.factory.clone();
            let existing = blocking(move || factory.existing()).await?;
            if let Some(last) = existing.last_checkpoint {
                text.push_str(&format!("{name} {last}\n"));
            }
        }
        blocking(move || put_once(&*store, &path, text)).await
    }

    /// The highest checkpoint that any sink has committed something of.
    async fn last_committed(&self) -> Result<CheckpointId, Failure> {
        let mut last = CheckpointId(0);
        for sink in self.deployment.sinks.values() {
            let factory = sink.factory.clone();
            let existing = blocking(move || factory.existing()).await?;
            last = last.max(existing.last_checkpoint.unwrap_or(last));
        }
        Ok(last)
    }

    /// A job that starts anew does not mix its results with those that are there (D23).
    async fn begin_anew(&mut self, survey: &Survey) -> Result<(), Failure> {
        let mut replaced = Vec::new();
        for (name, sink) in &self.deployment.sinks {
            let factory = sink.factory.clone();
            let existing = blocking(move || factory.existing()).await?;
            if existing.committed == 0 {
                continue;
            }
            match self.policy(sink, survey) {
                OnExisting::Refuse => {
                    return Err(Failure::Existing {
                        sink: name.to_string(),
                        location: existing.location,
                        committed: existing.committed,
                    });
                }
                OnExisting::Append => {
                    let last = existing.last_checkpoint.unwrap_or(CheckpointId(0));
                    self.highest = self.highest.max(last);
                }
                OnExisting::Replace => replaced.push(sink.factory.clone()),
            }
        }
        // Nothing is removed before all sinks were asked, and it is written down that older
        // checkpoints, whose results go, are not gone on from.
        if !self.begins_again(survey) {
            self.say_begin(&Latest::Beginning).await?;
        }
        for factory in replaced {
            blocking(move || factory.clear()).await?;
        }
        Ok(())
    }

    /// Whether an earlier process began at the beginning too, and died before its first checkpoint.
    fn begins_again(&self, survey: &Survey) -> bool {
        matches!(self.options.restore, RestoreFrom::Latest)
            && self
                .pending(survey)
                .is_some_and(|begin| begin.from == From::Beginning)
    }

    /// What becomes of the results of a sink that are there. Those of an at-least-once sink may be
    /// of an attempt that died before its first checkpoint: they are no reason not to try again.
    fn policy(&self, sink: &SinkDeployment, survey: &Survey) -> OnExisting {
        match (sink.on_existing, sink.factory.guarantee()) {
            (OnExisting::Refuse, SinkGuarantee::AtLeastOnce) if self.begins_again(survey) => {
                OnExisting::Append
            }
            (policy, SinkGuarantee::AtLeastOnce | SinkGuarantee::ExactlyOnce) => policy,
        }
    }

    /// The checkpoint with which the job had finished before, if it had (D23). A job that is told
    /// where to begin has not finished any more.
    pub(super) async fn finished_before(&self) -> Result<Option<String>, Failure> {
        match (&self.storage, &self.options.restore) {
            (Some(storage), RestoreFrom::Latest) => {
                let storage = storage.clone();
                blocking(move || finished(&*storage.store, &storage.paths)).await
            }
            (None, _)
            | (
                _,
                RestoreFrom::Nothing
                | RestoreFrom::Own(_)
                | RestoreFrom::Checkpoint(_)
                | RestoreFrom::Claimed(_),
            ) => Ok(None),
        }
    }
}

/// The checkpoint with which a job has finished, if it has: then nothing is left to run (D23).
/// Blocking.
///
/// # Errors
/// [`Failure::External`] where the store cannot be read.
pub fn finished(store: &dyn SnapshotStore, paths: &JobPaths) -> Result<Option<String>, Failure> {
    let path = paths.finished();
    let bytes = match store.get(&path) {
        Ok(bytes) => bytes,
        Err(e) if e.is_not_found() => return Ok(None),
        Err(e) => return Err(outside(&path, &e)),
    };
    Ok(Some(String::from_utf8_lossy(&bytes).trim().to_owned()))
}

/// Where the job began, as the store keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Begin {
    /// The highest checkpoint there was anything of then: any above it says more.
    pub above: CheckpointId,
    /// Where that was.
    pub from: From,
}

/// Where a job was told to begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum From {
    /// Anew.
    Beginning,
    /// At one of its own checkpoints.
    Own(CheckpointId),
    /// By its place, for people.
    Foreign(String),
    /// By its place, which its opener understands: the job owns what is there.
    Claimed(String),
}

impl Begin {
    const VERSION: u64 = 1;

    /// The job stopped with a savepoint: what is older than that would repeat results.
    pub(super) fn stopped(with: CheckpointId, at: &SavepointTarget) -> Self {
        Self {
            above: with,
            from: From::Foreign(at.location.clone()),
        }
    }

    fn is_at(&self, id: CheckpointId) -> bool {
        self.from == From::Own(id)
    }

    /// What was written last. Blocking.
    fn latest(storage: &Storage, objects: &[ObjectInfo]) -> Result<Option<Self>, Failure> {
        let Some(latest) = numbers(storage, objects).max() else {
            return Ok(None);
        };
        let path = storage.paths.begin(latest);
        let bytes = storage.store.get(&path).map_err(|e| outside(&path, &e))?;
        match Self::read(&bytes) {
            Some(begin) => Ok(Some(begin)),
            None => Err(Failure::Restore {
                message: format!(
                    "{path}, which says where the job began, is damaged: say where to begin with \
                     `--restore`, or remove it to go on from the latest checkpoint"
                ),
            }),
        }
    }

    /// What is written in such a record; nothing where it is damaged.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let document: Value = serde_json::from_slice(bytes).ok()?;
        if document.get("v")?.as_u64()? != Self::VERSION {
            return None;
        }
        let above = CheckpointId(document.get("above")?.as_u64()?);
        let from = match (document.get("checkpoint"), document.get("path")) {
            (None, None) => From::Beginning,
            (Some(id), None) => From::Own(CheckpointId(id.as_u64()?)),
            (_, Some(path)) => {
                let path = path.as_str()?.to_owned();
                match document.get("claimed").and_then(Value::as_bool) {
                    Some(true) => From::Claimed(path),
                    Some(false) | None => From::Foreign(path),
                }
            }
        };
        Some(Self { above, from })
    }

    /// Writes it beside what was written before, which then goes. Blocking.
    pub(super) fn write(&self, storage: &Storage) -> Result<(), Failure> {
        let root = storage.paths.root();
        let before = storage.store.list(root).map_err(|e| outside(root, &e))?;
        let number = numbers(storage, &before).max().map_or(1, |last| last + 1);
        let mut document = json!({ "v": Self::VERSION, "above": self.above.0 });
        match &self.from {
            From::Beginning => {}
            From::Own(id) => document["checkpoint"] = json!(id.0),
            From::Foreign(place) => document["path"] = json!(place),
            From::Claimed(place) => {
                document["path"] = json!(place);
                document["claimed"] = json!(true);
            }
        }
        let path = storage.paths.begin(number);
        let bytes = document.to_string().into_bytes();
        storage.store.put(&path, vec![bytes]).map_err(|e| {
            // It may be there, whole or not: nothing has begun, so nothing is to say so.
            let _ = storage.store.delete(&path);
            outside(&path, &e)
        })?;
        for number in numbers(storage, &before) {
            // One that stays is passed over.
            let _ = storage.store.delete(&storage.paths.begin(number));
        }
        Ok(())
    }
}

/// Who uses which shared file. Blocking.
fn shared_files(storage: &Storage, survey: &Survey) -> Result<SharedRegistry, Failure> {
    let mut registry = SharedRegistry::default();
    if survey.shared.is_empty() {
        // Whatever the metadata name, there is nothing to keep.
        return Ok(registry);
    }
    for &id in &survey.completed {
        let path = storage.paths.metadata(id);
        match storage
            .store
            .get(&path)
            .map(|bytes| Metadata::decode(&bytes))
        {
            Ok(Ok(metadata)) => registry.found(id, metadata.shared()),
            // Damaged, or of a newer host: what it names is not known.
            Ok(Err(_)) => registry.found_unreadable(id),
            Err(e) if e.is_not_found() => {}
            Err(e) => return Err(outside(&path, &e)),
        }
    }
    Ok(registry)
}

/// The numbers of all records of where the job began.
fn numbers<'a>(
    storage: &'a Storage,
    objects: &'a [ObjectInfo],
) -> impl Iterator<Item = u64> + use<'a> {
    let of = |object: &ObjectInfo| storage.paths.begin_of(&object.path);
    objects.iter().filter_map(of)
}

/// Why a checkpoint cannot be restored, for a failure that says itself that it cannot.
fn reason(failure: Failure) -> String {
    match failure {
        Failure::Restore { message } => message,
        other => other.to_string(),
    }
}

/// That a job was told to begin elsewhere and does not know how to find that again.
fn not_begun(location: &str, claim: &str) -> Failure {
    Failure::Restore {
        message: format!(
            "the job was told to begin at {location}, or stopped with that savepoint, and has \
             completed no checkpoint since: say so again (`--restore {location}{claim}`), or where \
             else to begin"
        ),
    }
}

pub(super) fn outside(path: &str, error: &StoreError) -> Failure {
    match error.refusal() {
        Some(Refusal::Superseded { .. }) => Failure::Superseded {
            message: error.to_string(),
        },
        Some(_) | None => Failure::External {
            what: path.to_owned(),
            message: error.told(),
        },
    }
}
