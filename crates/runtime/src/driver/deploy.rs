//! Builds the tasks of one attempt: instances, state, channels.

use std::{collections::HashMap, sync::Arc};

use tokio::sync::{Notify, mpsc};
use weir_checkpoint::{CheckpointMode, TaskId, TwoPhase};
use weir_event_time::EmittedStrategy;
use weir_graph::{Chain as Chained, Edge, EdgeId, Link, NodeKind, Partitioning, Plan, Port};
use weir_model::{Attempt, EventTime, Name, Parallelism, ProcessingTime};
use weir_operator::{AsyncOperatorFactory, Context, Failure, Metrics, TaskInfo};
use weir_state::{Backend, BaseIndex, ChannelInput, KeyedState, OperatorState};

use super::{desk::Targets, in_flight::Deals, migrate::Migrating, restore::Restored};
use crate::{
    clock::{Clock, Monotonic},
    deployment::{Deployment, OperatorDeployment},
    exchange::{EdgeOut, Gate, Target},
    letters::{BadRows, Letters},
    messages::{Control, FromTask},
    meters::NodeMeters,
    task::{
        AllKeys, Bases, Beginning, Chain, Drifts, EventTimes, Firing, Holds, Kind, Lane, LaneSink,
        Node, OperatorNode, OwnTime, Pace, SinkNode, Slicer, SourceHead, Storage, Task,
        Transactions, WaitingNode, Wires,
    },
};

/// Bytes that may wait in one channel: two full batches, so that the next is there while one is
/// being processed, and a barrier never waits behind more.
const CHANNEL_BYTES: usize = 512 * 1024;

/// What all tasks of an attempt share.
pub(crate) struct Shared {
    pub(crate) deployment: Deployment,
    pub(crate) attempt: Attempt,
    pub(crate) restored: Option<Arc<Restored>>,
    pub(crate) storage: Option<Storage>,
    /// Where savepoints go.
    pub(crate) targets: Targets,
    /// Whether barriers block.
    pub(crate) mode: CheckpointMode,
    /// Whether checkpoints may refer to earlier ones.
    pub(crate) increments: bool,
    /// Whether barriers may overtake (D5).
    pub(crate) overtaking: bool,
    /// The time of the protocols.
    pub(crate) monotonic: Monotonic,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) events: mpsc::UnboundedSender<FromTask>,
    /// Sources that stay near each other in event time.
    pub(crate) drifts: Drifts,
    /// Whether there is a core for each source beside those of all tasks.
    pub(crate) idle_cores: bool,
}

/// An edge out of a task: its number, its targets, and what the consumer counts.
type OutEdge = (EdgeId, Vec<Target>, Arc<NodeMeters>);

/// The wiring of one task, before its operators are made.
pub(crate) struct Wiring {
    pub(crate) id: TaskId,
    gate: Gate,
    /// Of each channel its input and the subtask that sends.
    channels: Vec<(u32, u32)>,
    wake: Arc<Notify>,
    control: mpsc::UnboundedReceiver<Control>,
    /// The targets of each edge out of the task, in the order of the plan's edges, and what the
    /// consumer counts.
    edges: Vec<OutEdge>,
    /// What the head of the task counts.
    head: Arc<NodeMeters>,
}

/// Whether so many workers are as many as the tasks of a plan and the readers of its sources.
pub(crate) fn has_idle_cores(plan: &Plan, workers: usize) -> bool {
    let busy = plan.chains.iter().map(|chain| {
        let is_read = matches!(chain.nodes[0].kind, NodeKind::Source { .. });
        chain.parallelism.get() as usize * (1 + usize::from(is_read))
    });
    busy.sum::<usize>() <= workers
}

/// A task's name and how to reach it.
pub(crate) struct Reach {
    pub(crate) control: mpsc::UnboundedSender<Control>,
}

impl Shared {
    /// For tasks that begin later than their attempt, from another checkpoint.
    pub(crate) fn again(&self, attempt: Attempt, restored: Option<Arc<Restored>>) -> Self {
        Self {
            deployment: self.deployment.clone(),
            attempt,
            restored,
            storage: self.storage.clone(),
            targets: self.targets.clone(),
            mode: self.mode,
            increments: self.increments,
            overtaking: self.overtaking,
            monotonic: self.monotonic,
            clock: self.clock.clone(),
            events: self.events.clone(),
            drifts: self.drifts.clone(),
            idle_cores: self.idle_cores,
        }
    }
}

/// Makes all channels between these chains of a plan. No edge leads out of them.
pub(crate) fn wire(shared: &Shared, vertices: &[usize]) -> (Vec<Wiring>, HashMap<TaskId, Reach>) {
    let deployment = &shared.deployment;
    let plan = &deployment.plan;
    let mut wirings = Vec::new();
    let mut reach = HashMap::new();
    let mut first_of = Vec::new();
    for (vertex, chain) in plan.chains.iter().enumerate() {
        first_of.push(wirings.len());
        if !vertices.contains(&vertex) {
            continue;
        }
        for subtask in chain.parallelism.subtasks() {
            let id = TaskId { vertex, subtask };
            let wake = Arc::new(Notify::new());
            let (sender, control) = mpsc::unbounded_channel();
            reach.insert(id, Reach { control: sender });
            let gate = Gate::new(wake.clone(), shared.overtaking);
            let head = NodeMeters::new(chain.name.clone(), subtask);
            wirings.push(Wiring {
                id,
                gate,
                channels: Vec::new(),
                wake,
                control,
                edges: Vec::new(),
                head,
            });
        }
    }
    let edges = plan.edges.iter().enumerate();
    for (number, edge) in edges.filter(|(_, edge)| vertices.contains(&edge.from.0)) {
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
                consumer.channels.push((edge.input, from as u32));
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

/// Makes one task: blocking, for it restores state. `deals` says which reader gets which split.
pub(crate) fn build(
    shared: &Shared,
    wiring: Wiring,
    deals: &Deals,
) -> Result<Built, (Name, Failure)> {
    let Wiring {
        id,
        mut gate,
        mut channels,
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
    let (outputs, local) = outputs(shared, edges)?;
    let stay_aligned = stay_aligned(shared, chain, &channels);
    if let Some(restored) = shared.restored.as_ref().filter(|_| !finished) {
        let in_flight = restored.in_flight(&shared.deployment, id, deals);
        let in_flight = in_flight.map_err(|failure| (chain.name.clone(), failure))?;
        for one in in_flight {
            channels.push((one.input, one.producer));
            gate.recover(one.elements);
        }
    }
    let mut made = Made::waking(wake.clone());
    for at in 0..chain.nodes.len() {
        let node = Placed {
            chain,
            at,
            finished,
        };
        add_node(shared, node, &head, &local, &mut made)?;
    }
    if let Some(source) = &mut made.source {
        source.wakes(wake.clone());
    }
    let wires = Wires {
        inputs: channel_inputs(&shared.deployment, chain),
        channels: channels.clone(),
    };
    let lane = lane(shared, id, (made.sinks, made.base), wires);
    let task = Task {
        id,
        chain: Chain {
            nodes: made.nodes,
            keeps_lineage: outputs.iter().any(EdgeOut::keeps_lineage),
            outputs,
            clock: shared.clock.clone(),
        },
        source: made.source,
        gate,
        input_of: channels.iter().map(|(input, _)| *input).collect(),
        wake,
        control,
        events: shared.events.clone(),
        lane: lane.start(),
        mode: shared.mode,
        increments: shared.increments,
        stay_aligned,
        monotonic: shared.monotonic,
        finished,
    };
    Ok((task, made.meters))
}

fn lane(
    shared: &Shared,
    id: TaskId,
    (sinks, base): (Vec<LaneSink>, BaseIndex),
    wires: Wires,
) -> Lane {
    Lane {
        task: id,
        name: shared.deployment.plan.chains[id.vertex].name.clone(),
        subtask: id.subtask,
        attempt: shared.attempt,
        storage: shared.storage.clone(),
        targets: shared.targets.clone(),
        bases: Bases::new(shared.restored.as_ref().map(|r| r.id), base),
        sinks,
        wires,
        events: shared.events.clone(),
    }
}

/// Of each channel of a chain, given with its input, whether nothing overtakes on it (D9); `None`
/// where nothing overtakes at all.
fn stay_aligned(shared: &Shared, chain: &Chained, channels: &[(u32, u32)]) -> Option<Vec<bool>> {
    if !shared.overtaking {
        return None;
    }
    let plan = &shared.deployment.plan;
    let edges = channels
        .iter()
        .map(|(input, _)| &plan.edges[chain.inputs[*input as usize].0]);
    let stay = edges.map(|edge| matches!(edge.partitioning, Partitioning::Broadcast));
    Some(stay.collect())
}

/// Makes one node of a task, whose head counts in `head`.
fn add_node(
    shared: &Shared,
    node: Placed<'_>,
    head: &Arc<NodeMeters>,
    local: &HashMap<EdgeId, EdgeId>,
    made: &mut Made,
) -> Result<(), (Name, Failure)> {
    let plan = &shared.deployment.plan;
    let planned = &node.chain.nodes[node.at];
    let name = planned.name.clone();
    let info = TaskInfo {
        job: plan.job.clone(),
        operator: name.clone(),
        subtask: head.subtask,
        parallelism: node.chain.parallelism,
        max_parallelism: plan.max_parallelism,
        attempt: shared.attempt,
    };
    let letters = planned.dead_letters.map(|edge| {
        let inputs = node.input_names(&shared.deployment);
        Letters::new(local[&edge], &name, inputs)
    });
    let kind =
        kind(shared, node, letters, info, made).map_err(|failure| (name.clone(), failure))?;
    let meters = match node.at {
        0 => head.clone(),
        _ => NodeMeters::new(name.clone(), head.subtask),
    };
    made.meters.push(meters.clone());
    let links = links(&planned.links, local);
    let own_time = match &planned.kind {
        NodeKind::Operator { watermarks, .. } => {
            watermarks.map(|strategy| Box::new(OwnTime::new(strategy, &links)))
        }
        NodeKind::Source { .. } | NodeKind::Sink => None,
    };
    made.nodes.push(Node {
        name,
        kind,
        links,
        own_time,
        meters,
    });
    Ok(())
}

/// Where the outputs of a node lead, with the edges by their place in the task.
fn links(planned: &[(u32, Link)], local: &HashMap<EdgeId, EdgeId>) -> Vec<(u32, Link)> {
    let of = |&(output, link): &(u32, Link)| match link {
        Link::Chained(next) => (output, Link::Chained(next)),
        Link::Edge(number) => (output, Link::Edge(local[&number])),
    };
    planned.iter().map(of).collect()
}

/// The edges out of a task, with where each edge of the plan is among them.
type Outputs = (Vec<EdgeOut>, HashMap<EdgeId, EdgeId>);

/// The producing ends of the edges out of a task.
fn outputs(shared: &Shared, edges: Vec<OutEdge>) -> Result<Outputs, (Name, Failure)> {
    let deployment = &shared.deployment;
    let plan = &deployment.plan;
    let numbers = edges.iter().enumerate();
    let local: HashMap<EdgeId, EdgeId> = numbers
        .map(|(at, (number, _, _))| (*number, EdgeId(at)))
        .collect();
    let mut outputs = Vec::new();
    for (number, targets, consumer) in edges {
        let edge = &plan.edges[number.0];
        let to = &plan.chains[edge.to.0];
        let letters = edge.dead_letters.map(|letters| {
            let input = port_name(deployment, edge);
            Letters::new(local[&letters], &to.name, [input])
        });
        let bad_rows = match edge.partitioning {
            Partitioning::Hash(_) => BadRows::new(&edge.on_error, letters)
                .map_err(|failure| (to.name.clone(), failure))?,
            // No key is chosen, so none is missing.
            Partitioning::Forward
            | Partitioning::Rebalance
            | Partitioning::Broadcast
            | Partitioning::Global => BadRows::Fail,
        };
        let mut out = EdgeOut::new(
            edge.partitioning.clone(),
            bad_rows,
            plan.max_parallelism,
            to.parallelism,
            targets,
            consumer,
        );
        if shared.overtaking {
            out.keep_lineage();
        }
        outputs.push(out);
    }
    Ok((outputs, local))
}

/// A node of a plan.
#[derive(Clone, Copy)]
struct Placed<'a> {
    chain: &'a Chained,
    at: usize,
    /// Whether the task had finished in the checkpoint that it begins with.
    finished: bool,
}

impl Placed<'_> {
    /// Whether its component may say watermarks.
    fn says_watermarks(&self) -> bool {
        match &self.chain.nodes[self.at].kind {
            NodeKind::Operator { watermarks, .. } => {
                *watermarks == Some(EmittedStrategy::Component)
            }
            NodeKind::Source { .. } | NodeKind::Sink => false,
        }
    }

    /// Of each input, whether every subtask gets all its rows.
    fn broadcast_inputs(&self, plan: &Plan) -> Vec<bool> {
        if self.at > 0 {
            return Vec::new(); // rows inside a chain stay in their subtask
        }
        let edges = self.chain.inputs.iter().map(|id| &plan.edges[id.0]);
        edges
            .map(|edge| matches!(edge.partitioning, Partitioning::Broadcast))
            .collect()
    }

    /// The inputs as the job file spells them, in order.
    fn input_names(&self, deployment: &Deployment) -> Vec<String> {
        if self.at == 0 {
            let edges = self.chain.inputs.iter();
            let edges = edges.map(|id| &deployment.plan.edges[id.0]);
            return edges.map(|edge| port_name(deployment, edge)).collect();
        }
        let feeding = self.chain.nodes.iter().flat_map(|producer| {
            let links = producer.links.iter();
            let here = links.filter(|(_, link)| *link == Link::Chained(self.at));
            here.map(|(output, _)| output_name(deployment, &producer.name, *output))
        });
        feeding.collect()
    }
}

/// Before the node whose dead letters an input carries.
pub(super) const LETTERS: &str = "dead letters of ";

/// The inputs of a chain, as channel state describes them.
pub(super) fn channel_inputs(deployment: &Deployment, chain: &Chained) -> Vec<ChannelInput> {
    let edges = chain.inputs.iter().map(|id| &deployment.plan.edges[id.0]);
    edges
        .map(|edge| {
            let from = port_name(deployment, edge);
            ChannelInput {
                from: match edge.port {
                    Port::Output(_) => from,
                    Port::DeadLetters => format!("{LETTERS}{from}"),
                },
                partitioning: edge.partitioning.as_str().to_owned(),
                key: match &edge.partitioning {
                    Partitioning::Hash(key) => Some(key.describe()),
                    Partitioning::Forward
                    | Partitioning::Rebalance
                    | Partitioning::Broadcast
                    | Partitioning::Global => None,
                },
            }
        })
        .collect()
}

/// What an edge carries, as the job file spells it.
fn port_name(deployment: &Deployment, edge: &Edge) -> String {
    let from = &deployment.plan.chains[edge.from.0].nodes[edge.from_node].name;
    match edge.port {
        Port::Output(output) => output_name(deployment, from, output),
        Port::DeadLetters => from.to_string(),
    }
}

/// `node`, or `node.side` for a side output.
fn output_name(deployment: &Deployment, node: &Name, output: u32) -> String {
    let Some(side) = (output as usize).checked_sub(1) else {
        return node.to_string();
    };
    let operator = deployment.operators.get(node);
    let names = operator.map(|operator| &operator.factory.descriptor().side_outputs);
    match names.and_then(|names| names.get(side)) {
        Some(name) => format!("{node}.{name}"),
        None => format!("{node}.{output}"),
    }
}

#[derive(Default)]
struct Made {
    nodes: Vec<Node>,
    sinks: Vec<LaneSink>,
    meters: Vec<Arc<NodeMeters>>,
    source: Option<SourceHead>,
    /// Wakes the task.
    wake: Arc<Notify>,
    /// What the checkpoint that it begins with has of its keyed state.
    base: BaseIndex,
}

impl Made {
    fn waking(wake: Arc<Notify>) -> Self {
        Self {
            wake,
            ..Self::default()
        }
    }
}

fn kind(
    shared: &Shared,
    node: Placed<'_>,
    letters: Option<Letters>,
    info: TaskInfo,
    made: &mut Made,
) -> Result<Kind, Failure> {
    let deployment = &shared.deployment;
    let name = info.operator.clone();
    match &node.chain.nodes[node.at].kind {
        NodeKind::Source { rate, watermarks } => {
            let factory = deployment
                .sources
                .get(&name)
                .ok_or_else(|| missing(&name))?;
            let times = watermarks.clone();
            let times = times.map(|strategy| EventTimes::new(strategy, &shared.drifts));
            let reader = factory.reader(&info)?;
            // What was read ahead of a failure is read again.
            let is_idle = shared.idle_cores && factory.replayable();
            made.source = Some(SourceHead::new(reader, *rate, times, is_idle));
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
            let bad_rows = BadRows::new(on_error, letters)?;
            let deployed = deployment.operators.get(&name);
            let deployed = deployed.ok_or_else(|| missing(&name))?;
            if let Some(factory) = deployed.factory.waits() {
                let waiting = waiting(shared, (factory, deployed), &info, node)?;
                let waiting = waiting.with(bad_rows, made.wake.clone());
                return Ok(Kind::Waiting(Box::new(waiting)));
            }
            let node = operator(shared, bad_rows, info, node, &mut made.base)?;
            Ok(Kind::Operator(Box::new(node)))
        }
    }
}

fn operator(
    shared: &Shared,
    bad_rows: BadRows,
    info: TaskInfo,
    node: Placed<'_>,
    base: &mut BaseIndex,
) -> Result<OperatorNode, Failure> {
    let name = &info.operator;
    let deployed = shared.deployment.operators.get(name);
    let deployed = deployed.ok_or_else(|| missing(name))?;
    let descriptor = deployed.factory.descriptor();
    let operator = deployed.factory.create(&info)?;
    let state = keyed_state(shared, &info, base)?;
    let mut operator_state = OperatorState::new(&descriptor.states);
    let mut beginning = Beginning {
        finished: node.finished,
        ..Beginning::default()
    };
    if let Some(restored) = &shared.restored
        && let Some(mut saved) = restored.operator_state(descriptor, &info, node.finished)?
    {
        beginning.restored = true;
        beginning.raw = std::mem::take(&mut saved.raw);
        if let Some(mut migration) = restored.migration(&info.operator, &*deployed.factory)? {
            migration.unkeyed(&mut saved)?;
        }
        operator_state.restore(saved)?;
    }
    let cx = Context {
        config: deployed.config.clone(),
        state,
        operator_state,
        watermark: EventTime::MIN,
        processing_time: ProcessingTime(0),
        metrics: Metrics::default(),
        deadline: None,
        rehearsal: false,
        said_watermarks: Vec::new(),
        task: info,
    };
    Ok(OperatorNode {
        operator,
        cx: Box::new(cx),
        bad_rows,
        holds: Holds::new(descriptor, shared.storage.is_some()),
        keeps_memory: descriptor.keeps_memory || descriptor.checkpointed,
        needs_all_timers: descriptor.needs_all_timers,
        says_watermarks: node.says_watermarks(),
        broadcast: node.broadcast_inputs(&shared.deployment.plan),
        beginning,
        slicer: Slicer::default(),
        pace: Pace::new(),
        firing: descriptor.timers.then(|| Box::new(Firing::new())),
        all_keys: (descriptor.keyed_broadcast).then(|| Box::new(AllKeys::new())),
    })
}

/// An operator whose calls wait, with the rows that were in flight in the checkpoint.
fn waiting(
    shared: &Shared,
    (factory, deployed): (&dyn AsyncOperatorFactory, &OperatorDeployment),
    info: &TaskInfo,
    node: Placed<'_>,
) -> Result<WaitingNode, Failure> {
    if node.at > 0 {
        return Err(Failure::Internal {
            message: format!("`{}` waits and is not the head of its chain", info.operator),
        });
    }
    let descriptor = deployed.factory.descriptor();
    let operator = factory.create(info, &deployed.config)?;
    let mut state = OperatorState::new(&descriptor.states);
    if let Some(restored) = &shared.restored
        && let Some(saved) = restored.operator_state(descriptor, info, node.finished)?
    {
        state.restore(saved)?;
    }
    let state = (descriptor.states.clone(), state);
    Ok(WaitingNode::new(operator, factory.options(), state))
}

/// The keyed state of one operator and subtask, restored; what it was restored from goes to `base`.
fn keyed_state(
    shared: &Shared,
    info: &TaskInfo,
    base: &mut BaseIndex,
) -> Result<KeyedState, Failure> {
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
    let mut backend = deployment.backend.create(info, states, range)?;
    if let Some(restored) = &shared.restored
        && !states.is_empty()
    {
        let now = shared.clock.now();
        backend.set_time(now);
        let load = |backend: &mut dyn Backend, base: &mut BaseIndex| {
            restored.load(&info.operator, backend, now, base)
        };
        if let Some(mut migration) = restored.migration(&info.operator, &*operator.factory)? {
            let mut migrating = Migrating::new(backend.as_mut(), &mut migration);
            // What is in the files is not what is in the backend: nothing refers to them.
            let loaded = load(&mut migrating, &mut BaseIndex::default());
            migrating.into_failure().map_or(loaded, Err)?;
        } else {
            load(backend.as_mut(), base)?;
            if shared.increments {
                backend.restored(restored.id);
            }
        }
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
