//! Builds the tasks of one attempt: instances, state, channels.

use std::{collections::HashMap, sync::Arc};

use tokio::sync::{Notify, mpsc};
use weir_checkpoint::{TaskId, TwoPhase};
use weir_graph::{EdgeId, Link, NodeKind, Partitioning, Plan};
use weir_model::{Attempt, EventTime, Name, Parallelism, ProcessingTime};
use weir_operator::{Context, Failure, Metrics, TaskInfo};
use weir_state::KeyedState;

use super::restore::Restored;
use crate::{
    clock::Clock,
    deployment::Deployment,
    exchange::{EdgeOut, Gate, Target},
    messages::{Control, FromTask},
    meters::NodeMeters,
    task::{
        Chain, Kind, Lane, LaneSink, Node, OperatorNode, Pace, SinkNode, Slicer, SourceHead,
        Storage, Task, Transactions,
    },
};

/// Bytes that may wait in one channel: two full batches, so that the next is there while one is
/// being processed, and a barrier never waits behind more.
const CHANNEL_BYTES: usize = 512 * 1024;

/// What all tasks of an attempt share.
pub(crate) struct Shared {
    pub(crate) deployment: Deployment,
    pub(crate) attempt: Attempt,
    pub(crate) restored: Option<Restored>,
    pub(crate) storage: Option<Storage>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) events: mpsc::UnboundedSender<FromTask>,
}

/// An edge out of a task: its number, its targets, and what the consumer counts.
type OutEdge = (EdgeId, Vec<Target>, Arc<NodeMeters>);

/// The wiring of one task, before its operators are made.
pub(crate) struct Wiring {
    pub(crate) id: TaskId,
    gate: Gate,
    input_of: Vec<u32>,
    wake: Arc<Notify>,
    control: mpsc::UnboundedReceiver<Control>,
    /// The targets of each edge out of the task, in the order of the plan's edges, and what the
    /// consumer counts.
    edges: Vec<OutEdge>,
    /// What the head of the task counts.
    head: Arc<NodeMeters>,
}

/// A task's name and how to reach it.
pub(crate) struct Reach {
    pub(crate) control: mpsc::UnboundedSender<Control>,
}

/// Makes all channels of a plan.
pub(crate) fn wire(deployment: &Deployment) -> (Vec<Wiring>, HashMap<TaskId, Reach>) {
    let plan = &deployment.plan;
    let mut wirings = Vec::new();
    let mut reach = HashMap::new();
    let mut first_of = Vec::new();
    for (vertex, chain) in plan.chains.iter().enumerate() {
        first_of.push(wirings.len());
        for subtask in chain.parallelism.subtasks() {
            let id = TaskId { vertex, subtask };
            let wake = Arc::new(Notify::new());
            let (sender, control) = mpsc::unbounded_channel();
            reach.insert(id, Reach { control: sender });
            let gate = Gate::new(wake.clone());
            let input_of = Vec::new();
            let head = NodeMeters::new(chain.name.clone(), subtask);
            wirings.push(Wiring {
                id,
                gate,
                input_of,
                wake,
                control,
                edges: Vec::new(),
                head,
            });
        }
    }
    for (number, edge) in plan.edges.iter().enumerate() {
        let producers = plan.chains[edge.from.0].parallelism.get() as usize;
        let consumers = plan.chains[edge.to.0].parallelism.get() as usize;
        for from in 0..producers {
            let reached = match edge.partitioning {
                Partitioning::Forward => from..from + 1,
                Partitioning::Rebalance
                | Partitioning::Hash(_)
                | Partitioning::Broadcast
                | Partitioning::Global => 0..consumers,
            };
            let producer = first_of[edge.from.0] + from;
            let wake = wirings[producer].wake.clone();
            let targets = reached.map(|to| {
                let consumer = &mut wirings[first_of[edge.to.0] + to];
                consumer.input_of.push(edge.input);
                Target::new(consumer.gate.channel(CHANNEL_BYTES, wake.clone()))
            });
            let targets = targets.collect();
            let consumer = wirings[first_of[edge.to.0]].head.clone();
            wirings[producer]
                .edges
                .push((EdgeId(number), targets, consumer));
        }
    }
    (wirings, reach)
}

/// A task, and what its nodes count.
pub(crate) type Built = (Task, Vec<Arc<NodeMeters>>);

/// Makes one task: blocking, for it restores state.
pub(crate) fn build(shared: &Shared, wiring: Wiring) -> Result<Built, (Name, Failure)> {
    let Wiring {
        id,
        gate,
        input_of,
        wake,
        control,
        edges,
        head,
    } = wiring;
    let plan = &shared.deployment.plan;
    let chain = &plan.chains[id.vertex];
    let finished = shared
        .restored
        .as_ref()
        .is_some_and(|r| r.is_finished(chain));
    let (outputs, local) = outputs(plan, edges);
    let mut made = Made::default();
    for planned in &chain.nodes {
        let info = TaskInfo {
            job: plan.job.clone(),
            operator: planned.name.clone(),
            subtask: id.subtask,
            parallelism: chain.parallelism,
            max_parallelism: plan.max_parallelism,
            attempt: shared.attempt,
        };
        let kind = kind(shared, &planned.kind, info, &mut made)
            .map_err(|failure| (planned.name.clone(), failure))?;
        let is_head = planned.name == head.name;
        let meters = if is_head {
            head.clone()
        } else {
            NodeMeters::new(planned.name.clone(), id.subtask)
        };
        made.meters.push(meters.clone());
        let links = links(&planned.links, &local);
        made.nodes.push(Node {
            name: planned.name.clone(),
            kind,
            links,
            meters,
        });
    }
    let lane = Lane {
        task: id,
        name: chain.name.clone(),
        subtask: id.subtask,
        storage: shared.storage.clone(),
        sinks: made.sinks,
        events: shared.events.clone(),
    };
    let task = Task {
        id,
        chain: Chain {
            nodes: made.nodes,
            outputs,
            clock: shared.clock.clone(),
        },
        source: made.source,
        gate,
        input_of,
        wake,
        control,
        events: shared.events.clone(),
        lane: lane.start(),
        finished,
    };
    Ok((task, made.meters))
}

/// Where the outputs of a node lead, with the edges by their place in the task.
fn links(planned: &[(u32, Link)], local: &HashMap<EdgeId, EdgeId>) -> Vec<(u32, Link)> {
    let of = |&(output, link): &(u32, Link)| match link {
        Link::Chained(next) => (output, Link::Chained(next)),
        Link::Edge(number) => (output, Link::Edge(local[&number])),
    };
    planned.iter().map(of).collect()
}

/// The producing ends of the edges out of a task, and where each edge of the plan is among them.
fn outputs(plan: &Plan, edges: Vec<OutEdge>) -> (Vec<EdgeOut>, HashMap<EdgeId, EdgeId>) {
    let mut outputs = Vec::new();
    let mut local = HashMap::new();
    for (number, targets, consumer) in edges {
        let edge = &plan.edges[number.0];
        local.insert(number, EdgeId(outputs.len()));
        outputs.push(EdgeOut::new(
            edge.partitioning.clone(),
            edge.on_error,
            plan.max_parallelism,
            plan.chains[edge.to.0].parallelism,
            targets,
            consumer,
        ));
    }
    (outputs, local)
}

#[derive(Default)]
struct Made {
    nodes: Vec<Node>,
    sinks: Vec<LaneSink>,
    meters: Vec<Arc<NodeMeters>>,
    source: Option<SourceHead>,
}

fn kind(
    shared: &Shared,
    planned: &NodeKind,
    info: TaskInfo,
    made: &mut Made,
) -> Result<Kind, Failure> {
    let deployment = &shared.deployment;
    let name = info.operator.clone();
    match planned {
        NodeKind::Source { rate } => {
            let factory = deployment
                .sources
                .get(&name)
                .ok_or_else(|| missing(&name))?;
            made.source = Some(SourceHead::new(factory.reader(&info)?, *rate));
            Ok(Kind::Source)
        }
        NodeKind::Sink => {
            let sink = deployment.sinks.get(&name).ok_or_else(|| missing(&name))?;
            let transactions = Transactions::new(TwoPhase::new(sink.transactions));
            let factory = sink.factory.clone();
            made.sinks.push(LaneSink {
                name,
                factory,
                transactions,
            });
            Ok(Kind::Sink(SinkNode {
                sink: sink.factory.create(&info)?,
                opened: None,
            }))
        }
        NodeKind::Operator { on_error, .. } => {
            let operator = deployment
                .operators
                .get(&name)
                .ok_or_else(|| missing(&name))?;
            let descriptor = operator.factory.descriptor();
            let instance = operator.factory.create(&info)?;
            let state = keyed_state(shared, &info)?;
            let cx = Context {
                config: operator.config.clone(),
                state,
                watermark: EventTime::MIN,
                processing_time: ProcessingTime(0),
                metrics: Metrics::default(),
                deadline: None,
                task: info,
            };
            Ok(Kind::Operator(OperatorNode {
                operator: instance,
                cx: Box::new(cx),
                on_error: *on_error,
                stateful: !descriptor.states.is_empty(),
                keeps_memory: descriptor.keeps_memory,
                slicer: Slicer::default(),
                pace: Pace::new(),
            }))
        }
    }
}

/// The keyed state of one operator and subtask, restored.
fn keyed_state(shared: &Shared, info: &TaskInfo) -> Result<KeyedState, Failure> {
    let deployment = &shared.deployment;
    let operator = deployment
        .operators
        .get(&info.operator)
        .ok_or_else(|| missing(&info.operator))?;
    let states = &operator.factory.descriptor().states;
    let range = info
        .max_parallelism
        .range_of(info.subtask, info.parallelism)
        .map_err(|e| Failure::Internal {
            message: e.to_string(),
        })?;
    let mut backend = deployment.backend.create(states, range)?;
    if let Some(restored) = &shared.restored
        && !states.is_empty()
    {
        restored.load(&info.operator, range, backend.as_mut())?;
    }
    Ok(KeyedState::new(backend, info.max_parallelism))
}

fn missing(name: &Name) -> Failure {
    Failure::Internal {
        message: format!("`{name}` is in the plan and not in the deployment"),
    }
}

/// The subtasks of a chain as tasks.
pub(crate) fn tasks_of(
    vertex: usize,
    parallelism: Parallelism,
) -> impl Iterator<Item = TaskId> + use<> {
    parallelism
        .subtasks()
        .map(move |subtask| TaskId { vertex, subtask })
}
