//! Makes the metadata of a checkpoint out of what its tasks acknowledged.

use std::collections::BTreeMap;

use serde_json::Value;
use weir_checkpoint::{
    Metadata, OpenSplit, OperatorMeta, Snapshot, SourceMeta, StateMeta, SubtaskMeta, TaskId,
};
use weir_graph::Chain;
use weir_model::{Attempt, JobName, MaxParallelism, Name, Parallelism, ProcessingTime};
use weir_operator::Delivery;
use weir_state::StateDecl;

use super::deploy::tasks_of;
use crate::{
    deployment::Deployment,
    messages::{Ack, ReaderPart},
};

/// What stays the same in the metadata of all checkpoints of an attempt.
pub(crate) struct Described {
    job: JobName,
    max_parallelism: MaxParallelism,
    chains: Vec<DescribedChain>,
}

struct DescribedChain {
    parallelism: Parallelism,
    /// The nodes; the head first.
    nodes: Vec<DescribedNode>,
}

struct DescribedNode {
    name: Name,
    states: Vec<StateMeta>,
    /// What the keys of its keyed state are, by input.
    keys: Vec<Option<String>>,
    /// Whether its chain's file holds anything of it.
    in_file: bool,
}

impl Described {
    pub(crate) fn new(deployment: &Deployment) -> Self {
        let plan = &deployment.plan;
        let node = |chain: &Chain, at: usize| {
            let name = &chain.nodes[at].name;
            let operator = deployment.operators.get(name);
            let descriptor = operator.map(|o| o.factory.descriptor());
            let states = descriptor.map_or(&[][..], |d| &d.states);
            let keyed = states.iter().any(|decl| decl.kind.is_keyed());
            DescribedNode {
                name: name.clone(),
                states: states.iter().map(state_meta).collect(),
                // Only a head has inputs with keys.
                keys: match at {
                    0 if keyed => plan.keys_of(chain),
                    _ => Vec::new(),
                },
                in_file: !states.is_empty()
                    || descriptor.is_some_and(|d| d.checkpointed)
                    || keeps_log(deployment, name),
            }
        };
        let chains = plan.chains.iter().map(|chain| DescribedChain {
            parallelism: chain.parallelism,
            nodes: (0..chain.nodes.len()).map(|at| node(chain, at)).collect(),
        });
        Self {
            job: plan.job.clone(),
            max_parallelism: plan.max_parallelism,
            chains: chains.collect(),
        }
    }
}

/// Whether it is a sink that keeps rows in the checkpoint until they are committed.
fn keeps_log(deployment: &Deployment, name: &Name) -> bool {
    let sink = deployment.sinks.get(name);
    sink.is_some_and(|sink| sink.factory.delivery() == Delivery::WriteAheadLog)
}

fn state_meta(decl: &StateDecl) -> StateMeta {
    StateMeta {
        name: decl.name.clone(),
        kind: decl.kind.as_str().to_owned(),
        format: decl.format.clone(),
        version: decl.version,
    }
}

/// The metadata of a checkpoint. All nodes are named, sources and sinks too, for each says whether
/// it had finished; only operators with state have a file, and heads what was in flight.
pub(crate) fn metadata(
    described: &Described,
    attempt: Attempt,
    created: ProcessingTime,
    snapshot: Snapshot<Ack>,
    enumerators: BTreeMap<Name, Value>,
) -> Metadata {
    let acks: BTreeMap<TaskId, Ack> = snapshot.acks.into_iter().collect();
    let mut operators = BTreeMap::new();
    let mut sources: BTreeMap<Name, SourceMeta> = BTreeMap::new();
    let mut sinks: BTreeMap<Name, Vec<_>> = BTreeMap::new();
    for (vertex, chain) in described.chains.iter().enumerate() {
        let tasks = tasks_of(vertex, chain.parallelism);
        let subtasks: Vec<SubtaskMeta> = tasks
            .map(|task| match acks.get(&task) {
                Some(ack) => of_ack(ack),
                None => without_files(snapshot.finished.contains(&task)),
            })
            .collect();
        for (at, node) in chain.nodes.iter().enumerate() {
            let subtasks = subtasks.iter().map(|subtask| node.share(at, subtask));
            let meta = OperatorMeta {
                parallelism: chain.parallelism,
                states: node.states.clone(),
                keys: node.keys.clone(),
                subtasks: subtasks.collect(),
            };
            operators.insert(node.name.clone(), meta);
        }
        let Some(DescribedNode { name: head, .. }) = chain.nodes.first() else {
            continue;
        };
        if let Some(enumerator) = enumerators.get(head) {
            let meta = SourceMeta {
                enumerator: enumerator.clone(),
                ..SourceMeta::default()
            };
            sources.insert(head.clone(), meta);
        }
        for task in tasks_of(vertex, chain.parallelism) {
            let Some(ack) = acks.get(&task) else { continue };
            if let (Some(reader), Some(meta)) = (&ack.source, sources.get_mut(head)) {
                add_reader(meta, reader);
            }
            for (sink, transactions) in &ack.sinks {
                sinks
                    .entry(sink.clone())
                    .or_default()
                    .extend(transactions.iter().cloned());
            }
        }
    }
    Metadata {
        job: described.job.clone(),
        checkpoint: snapshot.id,
        kind: snapshot.kind,
        savepoint: snapshot.savepoint,
        created,
        attempt,
        max_parallelism: described.max_parallelism,
        operators,
        sources,
        sinks,
    }
}

impl DescribedNode {
    /// What its task has saved of it, at this place in the chain.
    fn share(&self, at: usize, subtask: &SubtaskMeta) -> SubtaskMeta {
        let state = match self.in_file {
            true => subtask.clone(),
            false => without_files(subtask.finished),
        };
        SubtaskMeta {
            // Channels lead to the head.
            channels: subtask.channels.clone().filter(|_| at == 0),
            ..state
        }
    }
}

fn of_ack(ack: &Ack) -> SubtaskMeta {
    SubtaskMeta {
        file: ack.file.clone(),
        shared: ack.shared.clone(),
        channels: ack.channels.clone(),
        finished: ack.finished,
    }
}

fn without_files(finished: bool) -> SubtaskMeta {
    SubtaskMeta {
        file: None,
        shared: Vec::new(),
        channels: None,
        finished,
    }
}

/// What a reader has open and has ended, beside what its source's enumerator knows.
fn add_reader(meta: &mut SourceMeta, reader: &ReaderPart) {
    let open = reader.open.iter();
    meta.open.extend(open.map(|(id, position)| OpenSplit {
        id: id.clone(),
        position: position.clone(),
    }));
    meta.ended.extend(reader.ended.iter().cloned());
}
