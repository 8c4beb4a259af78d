//! What has to be done before tasks run, for a whole job or for one region of it: recover the
//! sinks, look for splits, make the tasks.

use std::{collections::HashMap, sync::Arc};

use tokio::{
    runtime::Handle,
    task::{JoinSet, spawn_blocking},
};
use weir_checkpoint::{OnCommitError, TaskId, Transaction};
use weir_graph::NodeKind;
use weir_model::{Attempt, Name, ProcessingTime, SubtaskIndex};
use weir_operator::{Failure, Recovered, Sealed};

use super::{
    Early, Whose,
    begin::outside,
    blocking,
    deploy::{self, Reach, Shared},
    early, panicked,
    restore::Restored,
    sources::{self, Found, Ready},
};
use crate::{
    deployment::{Deployment, JobEvent, JobListener, SinkDeployment},
    meters::NodeMeters,
    report::{JobFailure, Place},
    task::Task,
};

/// Tasks that were made and do not run yet.
pub(crate) struct Launched {
    pub(crate) tasks: Vec<Task>,
    pub(crate) meters: Vec<Arc<NodeMeters>>,
    pub(crate) reach: HashMap<TaskId, Reach>,
}

/// What the recovery of sinks came to.
#[derive(Default)]
pub(crate) struct Recovery {
    /// What was committed now.
    pub(crate) committed: u64,
}

/// Commits what the restored checkpoint holds for the sinks of these chains, and removes what older
/// attempts left open (D21).
pub(crate) async fn recover(
    shared: &Shared,
    vertices: &[usize],
    whose: Whose,
    listener: &Arc<dyn JobListener>,
) -> Result<Recovery, Early> {
    let mut recovery = Recovery::default();
    check_owner(shared).await?;
    for (name, sink) in sinks(&shared.deployment, vertices) {
        let (sink, now) = (sink.clone(), shared.clock.now());
        let (restored, of) = (shared.restored.clone(), name.clone());
        let listener = Arc::clone(listener);
        let result = blocking(move || {
            let sealed = restored.map_or(Ok(Vec::new()), |r| r.sealed(&of, whose))?;
            // At once: whatever fails behind it, another attempt may not find it again.
            let tell = |what: String| {
                listener.event(&JobEvent::Note(format!("sink `{of}`: {what}")));
            };
            recover_sink(&sink, sealed, whose, now, &tell)
        })
        .await;
        let recovered = result
            .map_err(|failure| Early::Failed(at(name, SubtaskIndex(0), shared.attempt, failure)))?;
        recovery.committed += recovered.committed;
    }
    Ok(recovery)
}

/// Whoever has taken the job over may have results under way already, which look like what older
/// attempts left.
async fn check_owner(shared: &Shared) -> Result<(), Early> {
    let Some(storage) = shared.storage.clone() else {
        return Ok(());
    };
    let check = move || {
        let root = storage.paths.root();
        storage.store.check_owner().map_err(|e| outside(root, &e))
    };
    blocking(check).await.map_err(|failure| {
        early(JobFailure {
            place: None,
            failure,
        })
    })
}

/// The sinks in these chains.
fn sinks<'a>(
    deployment: &'a Deployment,
    vertices: &'a [usize],
) -> impl Iterator<Item = (&'a Name, &'a SinkDeployment)> {
    let chains = vertices.iter().map(|&at| &deployment.plan.chains[at]);
    let nodes = chains.flat_map(|chain| &chain.nodes);
    nodes.filter_map(|node| Some((&node.name, deployment.sinks.get(&node.name)?)))
}

/// Finds the splits of the sources among these chains.
pub(crate) async fn look(shared: &Shared, vertices: &[usize]) -> Result<Vec<Ready>, Early> {
    let restored = shared.restored.as_deref();
    let failed = |(name, failure): (Name, Failure)| {
        Early::Failed(at(&name, SubtaskIndex(0), shared.attempt, failure))
    };
    let mut ready = Vec::new();
    for &vertex in vertices {
        let chain = &shared.deployment.plan.chains[vertex];
        let head = &chain.nodes[0];
        let NodeKind::Source { .. } = head.kind else {
            continue;
        };
        let Some(factory) = shared.deployment.sources.get(&head.name).cloned() else {
            continue;
        };
        let (name, readers) = (head.name.clone(), chain.parallelism.get());
        let found = match restored {
            // Its readers have said that they are done: what is there now is not for them.
            Some(restored) if restored.is_finished(chain) => Found::nothing(vertex, name, readers),
            Some(_) | None => {
                let look = move || Found::look(vertex, name, readers, &factory);
                let found = spawn_blocking(look).await;
                let found = found.unwrap_or_else(|e| Err((head.name.clone(), panicked(&e))));
                found.map_err(failed)?
            }
        };
        ready.push(Ready::new(found, restored).map_err(failed)?);
    }
    Ok(ready)
}

/// Makes the tasks of these chains on `handle`, restoring their state side by side. `ready` are the
/// sources among them.
pub(crate) async fn make(
    shared: &Arc<Shared>,
    vertices: &[usize],
    ready: &[Ready],
    handle: &Handle,
) -> Result<Launched, Early> {
    let (wirings, reach) = deploy::wire(shared, vertices);
    let deals = Arc::new(sources::deals(ready));
    let mut building = JoinSet::new();
    for wiring in wirings {
        let (shared, subtask) = (shared.clone(), wiring.id.subtask);
        let deals = deals.clone();
        let build = move || deploy::build(&shared, wiring, &deals).map_err(|e| (e, subtask));
        building.spawn_blocking_on(build, handle);
    }
    let mut launched = Launched {
        tasks: Vec::new(),
        meters: Vec::new(),
        reach,
    };
    while let Some(built) = building.join_next().await {
        match built {
            Ok(Ok((task, meters))) => {
                launched.meters.extend(meters);
                launched.tasks.push(task);
            }
            Ok(Err(((node, failure), subtask))) => {
                return Err(early(at(&node, subtask, shared.attempt, failure)));
            }
            Err(e) => {
                return Err(Early::Failed(JobFailure {
                    place: None,
                    failure: panicked(&e),
                }));
            }
        }
    }
    if let Some(restored) = &shared.restored {
        restored.release();
    }
    Ok(launched)
}

/// Of which sources among these chains rows are lost, because they do not give again what they gave
/// since; `None` where none was read before.
pub(crate) fn lost(shared: &Shared, vertices: &[usize], has_read: bool) -> Vec<String> {
    let restored = shared.restored.as_deref();
    let since = match restored {
        Some(restored) => format!("after checkpoint {}", restored.id),
        None if has_read => "before the restart".to_owned(),
        None => return Vec::new(),
    };
    let chains = vertices
        .iter()
        .map(|&at| &shared.deployment.plan.chains[at]);
    let lost = chains.filter(|chain| {
        let source = shared.deployment.sources.get(&chain.name);
        let has_ended = restored.is_some_and(|restored: &Restored| restored.is_finished(chain));
        source.is_some_and(|source| !source.replayable()) && !has_ended
    });
    lost.map(|chain| {
        format!(
            "rows that source `{}` gave {since}, if any, are lost: it cannot go back",
            chain.name
        )
    })
    .collect()
}

fn at(node: &Name, subtask: SubtaskIndex, attempt: Attempt, failure: Failure) -> JobFailure {
    let place = Place {
        node: node.clone(),
        subtask,
        attempt,
    };
    JobFailure {
        place: Some(place),
        failure,
    }
}

/// Commits what a checkpoint holds for a sink, in order, but for what is gone and may be (D22,
/// D24): that is told. Blocking.
fn recover_sink(
    sink: &SinkDeployment,
    transactions: Vec<(Transaction, Vec<Sealed>)>,
    whose: Whose,
    now: ProcessingTime,
    tell: &dyn Fn(String),
) -> Result<Recovered, Failure> {
    let (mut all, mut of) = (Vec::new(), Vec::new());
    for (transaction, sealed) in transactions {
        let decision = sink.transactions.on_commit_error(now, transaction.started);
        of.extend(sealed.iter().map(|_| (transaction.checkpoint, decision)));
        all.extend(sealed);
    }
    sink.factory.recover_without(&all, &mut |at, failure| {
        let Some(&(checkpoint, decision)) = of.get(at) else {
            return Err(failure);
        };
        let is_lost = matches!(failure, Failure::LostTransaction { .. });
        let why = match (decision, whose) {
            (OnCommitError::Ignore, _) if is_lost => "timed out and is lost",
            (_, Whose::Claimed) => {
                "is not there: the job that it was claimed from has committed it, it was moved, or \
                 it is lost"
            }
            (_, Whose::Own | Whose::Fork) => return Err(failure),
        };
        tell(format!(
            "what checkpoint {checkpoint} held {why}: {failure}"
        ));
        Ok(())
    })
}
