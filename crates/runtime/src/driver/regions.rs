//! What fails and starts again together (semantics 1.16): a region of the plan. While one is down
//! the others go on; checkpoints, which are of the whole job, wait until all run again.
//!
//! INVARIANT: tasks of a region are made only when the last ones are gone, with all that they were
//! writing; so two of them never have the same files. Where the last checkpoint of the job is
//! complete, or nothing but the whole job can go on, there are no regions any more.

use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
};

use tokio::{task::JoinError, time::Instant};
use weir_checkpoint::{RestartDecision, TaskId};
use weir_graph::Plan;
use weir_model::ProcessingTime;
use weir_operator::Failure;

use super::deploy::Shared;
use super::{
    Early, Latest, Whose,
    attempt::{AttemptDriver, End},
    blocking, is_hopeless,
    launch::{self, Launched, Recovery},
    panicked, random,
    restore::{NoRestore, Restored},
    say_restart,
    sources::Ready,
};
use crate::{
    deployment::JobEvent, deployment::JobListener, messages::Control, meters::NodeMeters,
    report::JobFailure, task::Storage,
};

/// The regions of a job.
pub(crate) struct Regions(Vec<Region>);

struct Region {
    /// Its chains.
    vertices: Vec<usize>,
    /// When the tasks that run were begun to be made.
    began: Instant,
    state: State,
}

enum State {
    /// Its tasks were made.
    Up,
    /// Its tasks are ending; new ones are made when they are gone, not before that time.
    Ending {
        left: HashSet<TaskId>,
        not_before: ProcessingTime,
    },
    /// New tasks are being made.
    Reviving,
}

/// A region whose tasks were made anew, or could not be.
pub(crate) struct Revival {
    region: usize,
    result: Result<Revived, Early>,
}

struct Revived {
    shared: Arc<Shared>,
    launched: Launched,
    sources: Vec<Ready>,
    recovery: Recovery,
    notes: Vec<String>,
}

impl Regions {
    pub(crate) fn of(plan: &Plan, began: Instant) -> Self {
        let regions = plan.regions().into_iter().map(|vertices| Region {
            vertices: vertices.into_iter().map(|vertex| vertex.0).collect(),
            began,
            state: State::Up,
        });
        Self(regions.collect())
    }

    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn all_up(&self) -> bool {
        self.0.iter().all(Region::is_up)
    }

    /// Whether the task is one of those that run now.
    pub(crate) fn is_up(&self, task: TaskId) -> bool {
        self.0[self.index(task)].is_up()
    }

    /// The chains of a task's region, and when its tasks were begun to be made.
    pub(crate) fn of_task(&self, task: TaskId) -> (&[usize], Instant) {
        let region = &self.0[self.index(task)];
        (&region.vertices, region.began)
    }

    /// When the next region may be made anew.
    pub(crate) fn next_due(&self) -> Option<ProcessingTime> {
        let due = |region: &Region| match &region.state {
            State::Ending { left, not_before } if left.is_empty() => Some(*not_before),
            State::Ending { .. } | State::Up | State::Reviving => None,
        };
        self.0.iter().filter_map(due).min()
    }

    /// A task and all that it did have ended.
    pub(crate) fn task_gone(&mut self, task: TaskId) {
        let index = self.index(task);
        if let State::Ending { left, .. } = &mut self.0[index].state {
            left.remove(&task);
        }
    }

    fn index(&self, task: TaskId) -> usize {
        let of = |region: &Region| region.vertices.contains(&task.vertex);
        // Every chain is in a region.
        self.0.iter().position(of).unwrap_or(0)
    }
}

impl Region {
    fn is_up(&self) -> bool {
        matches!(self.state, State::Up)
    }
}

impl AttemptDriver<'_> {
    /// A task has failed, and with it its region.
    pub(super) fn task_failed(&mut self, task: TaskId, failure: JobFailure) -> Option<End> {
        let region = self.regions.index(task);
        if !self.regions.0[region].is_up() {
            return None; // the first one of a region tells
        }
        let alone = self.regions.count() == 1;
        if alone || self.drains() || self.is_over || is_hopeless(&failure.failure) {
            return Some(End::Failed(failure));
        }
        self.take_down(region, failure)
    }

    /// Ends the tasks of a region, to make them anew if the restart strategy says so.
    fn take_down(&mut self, region: usize, failure: JobFailure) -> Option<End> {
        let now = self.monotonic.now();
        let decision = self.options.restart.on_failure(now, random());
        let RestartDecision::Restart { after_ms, .. } = decision else {
            return Some(End::GivenUp(failure));
        };
        self.counts.failed(&failure);
        say_restart(&*self.options.listener, failure, decision);
        let vertices = self.regions.0[region].vertices.clone();
        let of_region = |task: &TaskId| vertices.contains(&task.vertex);
        let tasks: HashSet<TaskId> = self.reach.keys().copied().filter(of_region).collect();
        self.say_region(&vertices);
        for task in &tasks {
            self.running.remove(task);
            if let Some(reach) = self.reach.remove(task) {
                let _ = reach.control.send(Control::Cancel);
            }
        }
        self.regions.0[region].state = State::Ending {
            left: tasks,
            not_before: now.plus_ms(after_ms),
        };
        let effects = self.coordinator.job_failed(now);
        self.carry_out(effects).or_else(|| self.revive())
    }

    /// Says what starts again, and what does not.
    fn say_region(&self, vertices: &[usize]) {
        let plan = &self.shared.deployment.plan;
        let names = vertices.iter().flat_map(|&at| &plan.chains[at].nodes);
        let names: Vec<_> = names.map(|node| format!("`{}`", node.name)).collect();
        let note = format!(
            "{} start again; what is not connected to them goes on",
            names.join(", ")
        );
        self.options.listener.event(&JobEvent::Note(note));
    }

    /// Begins to make the tasks of the regions whose old ones are gone and whose time has come.
    /// While metadata is being written it is not known which checkpoint is the latest.
    pub(super) fn revive(&mut self) -> Option<End> {
        let now = self.monotonic.now();
        if self.coordinator.is_storing() {
            return None;
        }
        for index in 0..self.regions.count() {
            let is_due = match &self.regions.0[index].state {
                State::Ending { left, not_before } => left.is_empty() && now >= *not_before,
                State::Up | State::Reviving => false,
            };
            if !is_due {
                continue;
            }
            // It would read on behind where the job ends.
            if self.is_over || self.is_in_doubt() {
                return Some(End::Whole);
            }
            let region = &mut self.regions.0[index];
            region.state = State::Reviving;
            region.began = Instant::now();
            let vertices = region.vertices.clone();
            self.attempt = match (self.options.attempts)() {
                Ok(attempt) => attempt,
                Err(failure) => {
                    let place = None;
                    return Some(End::Failed(JobFailure { place, failure }));
                }
            };
            let again = Again {
                region: index,
                attempt: self.attempt,
                vertices,
                latest: self.latest.clone(),
                whose: Whose::of(Some(&self.latest), self.claim.as_ref()),
                storage: self.shared.storage.clone(),
                shared: self.shared.clone(),
                handle: self.handle.clone(),
                listener: self.options.listener.clone(),
            };
            self.revivals.spawn(again.run());
        }
        None
    }

    /// Whether a checkpoint that was given up may be there and be the latest: what its sinks have
    /// sealed would be taken for what older attempts left, by a region that begins with another.
    fn is_in_doubt(&self) -> bool {
        let latest = match &self.latest {
            Latest::Own(id) => Some(*id),
            Latest::Beginning | Latest::Foreign(_) => None,
        };
        let Some(id) = self.persist.in_doubt(latest) else {
            return false;
        };
        let note = format!(
            "it is not known whether checkpoint {id} was written: all operators start again, from \
             what is there"
        );
        self.options.listener.event(&JobEvent::Note(note));
        true
    }

    /// The tasks of a region were made anew, or could not be.
    pub(super) fn revived(&mut self, revival: Result<Revival, JoinError>) -> Option<End> {
        let (region, result) = match revival {
            Ok(Revival { region, result }) => (region, result),
            Err(error) => {
                let (place, failure) = (None, panicked(&error));
                return Some(End::Failed(JobFailure { place, failure }));
            }
        };
        let revived = match result {
            Ok(revived) => revived,
            // What a whole start may mend (a checkpoint that cannot be read), or nothing.
            Err(Early::Refused(failure)) => return Some(End::Failed(failure)),
            Err(Early::Failed(failure)) => {
                self.regions.0[region].state = State::Up;
                return self.take_down(region, failure);
            }
            Err(Early::AllFinished | Early::Cancelled | Early::Stopped(_)) => return None,
        };
        let Revived {
            shared,
            launched,
            sources,
            recovery,
            notes,
        } = revived;
        drop(shared);
        self.counts.recovered += recovery.committed;
        for note in notes {
            self.options.listener.event(&JobEvent::Note(note));
        }
        let plan = &self.shared.deployment.plan;
        let vertices = &self.regions.0[region].vertices;
        let nodes = vertices.iter().flat_map(|&at| &plan.chains[at].nodes);
        let names: BTreeSet<_> = nodes.map(|node| &node.name).collect();
        let meters = std::mem::take(&mut self.meters).into_iter();
        let (old, others): (Vec<_>, Vec<_>) = meters.partition(|m| names.contains(&m.name));
        self.meters = others;
        self.meters.extend(NodeMeters::folded(&old));
        self.sources.set(sources);
        self.regions.0[region].state = State::Up;
        self.spawn(launched);
        None
    }
}

/// Makes the tasks of a region anew.
struct Again {
    region: usize,
    attempt: weir_model::Attempt,
    vertices: Vec<usize>,
    latest: Latest,
    whose: Whose,
    storage: Option<Storage>,
    shared: Arc<Shared>,
    handle: tokio::runtime::Handle,
    listener: Arc<dyn JobListener>,
}

impl Again {
    async fn run(self) -> Revival {
        Revival {
            region: self.region,
            result: self.make().await,
        }
    }

    async fn make(&self) -> Result<Revived, Early> {
        let restored = self.restore().await?;
        let shared = Arc::new(self.shared.again(self.attempt, restored));
        let recovery = launch::recover(&shared, &self.vertices, self.whose, &self.listener).await?;
        let notes = launch::lost(&shared, &self.vertices, true);
        let sources = launch::look(&shared, &self.vertices).await?;
        let launched = launch::make(&shared, &self.vertices, &sources, &self.handle).await?;
        Ok(Revived {
            shared,
            launched,
            sources,
            recovery,
            notes,
        })
    }

    /// Reads what the region has in the checkpoint that it begins with. Falling back from one that
    /// cannot be read is for the whole job.
    async fn restore(&self) -> Result<Option<Arc<Restored>>, Early> {
        let (store, folder, own) = match (&self.latest, &self.storage) {
            (Latest::Beginning, _) | (Latest::Own(_), None) => return Ok(None),
            (Latest::Own(id), Some(storage)) => (
                storage.store.clone(),
                storage.paths.checkpoint(*id),
                Some(*id),
            ),
            (Latest::Foreign(foreign), _) => (foreign.store.clone(), foreign.folder.clone(), None),
        };
        let deployment = self.shared.deployment.clone();
        let (listener, vertices) = (self.listener.clone(), self.vertices.clone());
        let read = move || {
            let listener = Some(&*listener);
            let of = (&deployment, Some(vertices.as_slice()));
            Ok(Restored::read(store, &folder, own, of, listener))
        };
        let whole = |failure| JobFailure {
            place: None,
            failure,
        };
        let read = blocking(read).await;
        let read = read.map_err(|failure: Failure| Early::Failed(whole(failure)))?;
        let restored = read.map_err(|no| match no {
            NoRestore::Failed(failure) => Early::Failed(whole(failure)),
            NoRestore::Unreadable(failure) | NoRestore::Unfit(failure) => {
                Early::Refused(whole(failure))
            }
        })?;
        let (id, location) = (restored.id, restored.location.clone());
        self.listener.event(&JobEvent::Restoring { id, location });
        Ok(Some(Arc::new(restored)))
    }
}
