//! The tasks of an attempt: how they are connected, what they begin with, and the metadata that
//! their acknowledgements make.

use std::collections::BTreeMap;

use serde_json::Value;
use weir_model::SubtaskIndex;
use weir_operator::{Failure, SavedSource, Split};

use super::{
    plan::{KEYS, Plan, Role, Route, max_parallelism, parallelism, subtask_of},
    row::Row,
    task::{Ack, Aligned, Output, Task, Written},
    world::World,
};
use crate::{Metadata, OpenSplit, OperatorMeta, Snapshot, SourceMeta, SubtaskMeta, TaskId};

/// All tasks with their channels. Each sender has a channel of its own to each receiver.
pub(super) fn wire(plan: &Plan) -> Vec<Task> {
    let mut first = Vec::new();
    let mut count = 0;
    for vertex in &plan.vertices {
        first.push(count);
        count += vertex.parallelism as usize;
    }
    // Of each task the inputs of its channels.
    let mut channels: Vec<Vec<usize>> = vec![Vec::new(); count];
    let mut outputs: Vec<Vec<Output>> = (0..count).map(|_| Vec::new()).collect();
    for (to, vertex) in plan.vertices.iter().enumerate() {
        for (input, &(from, route)) in vertex.inputs.iter().enumerate() {
            for sender in 0..plan.vertices[from].parallelism as usize {
                let receivers: Vec<_> = match route {
                    Route::Forward => vec![first[to] + sender],
                    Route::Hash | Route::Rebalance => {
                        (first[to]..first[to] + vertex.parallelism as usize).collect()
                    }
                };
                let mut connect = |receiver: usize| {
                    channels[receiver].push(input);
                    (receiver, channels[receiver].len() - 1)
                };
                let to = receivers.into_iter().map(&mut connect).collect();
                outputs[first[from] + sender].push(Output { route, to });
            }
        }
    }
    let mut outputs = outputs.into_iter();
    let mut tasks = Vec::new();
    for (index, vertex) in plan.vertices.iter().enumerate() {
        for subtask in 0..vertex.parallelism {
            let id = TaskId {
                vertex: index,
                subtask: SubtaskIndex(subtask),
            };
            let role = vertex.role.clone();
            let own = outputs.next().unwrap();
            let inputs = std::mem::take(&mut channels[tasks.len()]);
            let stay = inputs.iter().map(|&input| plan.stays_aligned(index, input));
            let aligned = match plan.overtakes() {
                true => Aligned::Some(stay.collect()),
                false => Aligned::All(plan.mode),
            };
            tasks.push(Task::new(id, role, aligned, inputs, own));
        }
    }
    tasks
}

pub(super) fn saved_source(meta: &SourceMeta) -> SavedSource {
    let open = meta.open.iter().map(|split| Split {
        id: split.id.clone(),
        position: split.position.clone(),
    });
    SavedSource {
        enumerator: meta.enumerator.clone(),
        open: open.collect(),
        ended: meta.ended.clone(),
    }
}

/// Gives the tasks of a vertex their state back, whatever their number was: by key where rows come
/// by key, else that of old subtask *i* to subtask *i* modulo their number.
pub(super) fn load(world: &World, metadata: &Metadata, index: usize, tasks: &mut [Task]) {
    let vertex = &world.plan.vertices[index];
    let saved = &metadata.operators[&vertex.name];
    let own = |subtask: usize| tasks_of(index, subtask);
    if matches!(vertex.role, Role::Count) {
        for (old, counts) in world.counts(metadata, index).into_iter().enumerate() {
            if saved.parallelism.get() == vertex.parallelism {
                // It is this task's own, and can be built on.
                let task = tasks.iter_mut().find(|task| own(old)(task)).unwrap();
                let part = &saved.subtasks[old];
                let written = Written {
                    counts: counts.clone(),
                    files: part.shared.iter().chain(&part.file).cloned().collect(),
                };
                task.written.insert(metadata.checkpoint, written);
            }
            for (key, count) in counts {
                let subtask = if world.plan.is_by_key(index) {
                    subtask_of(key, vertex.parallelism)
                } else {
                    old % vertex.parallelism as usize
                };
                let task = tasks.iter_mut().find(|task| own(subtask)(task)).unwrap();
                *task.counts.entry(key).or_default() += count;
            }
        }
    }
    recover(world, metadata, index, tasks);
    if saved.subtasks.iter().all(|subtask| subtask.finished) {
        let tasks = tasks.iter_mut().filter(|task| task.id.vertex == index);
        tasks.for_each(Task::skip_to_end);
    }
}

/// Deals out what was in flight to the tasks of a vertex, as production does.
fn recover(world: &World, metadata: &Metadata, index: usize, tasks: &mut [Task]) {
    let vertex = &world.plan.vertices[index];
    let was = metadata.operators[&vertex.name].parallelism.get();
    let now = vertex.parallelism;
    for (old, in_flight) in world.in_flight(metadata, index) {
        let mut turn = old;
        for (input, rows) in in_flight {
            let (from, route) = vertex.inputs[input];
            let by_key = match route {
                Route::Hash => true,
                Route::Forward => world.plan.is_by_key(from),
                Route::Rebalance => false,
            };
            let mut dealt: BTreeMap<usize, Vec<Row>> = BTreeMap::new();
            for row in rows {
                let to = match (was == now, by_key) {
                    (true, _) => old,
                    (false, true) => subtask_of(row.number % KEYS, now),
                    (false, false) => {
                        turn += 1;
                        turn % now as usize
                    }
                };
                dealt.entry(to).or_default().push(row);
            }
            for (to, rows) in dealt {
                let own = |task: &&mut Task| tasks_of(index, to)(task);
                let task = tasks.iter_mut().find(own).unwrap();
                task.recover(input, rows);
            }
        }
    }
}

fn tasks_of(vertex: usize, subtask: usize) -> impl Fn(&Task) -> bool {
    move |task| task.id.vertex == vertex && task.id.subtask.index() == subtask
}

/// Gives each sink its writer.
pub(super) fn open_sinks(world: &World, tasks: &mut [Task]) -> Result<(), Failure> {
    for task in tasks {
        if matches!(task.role, Role::Sink(_)) {
            let TaskId { vertex, subtask } = task.id;
            let sink = world
                .folders
                .create(&world.plan, vertex, subtask, world.attempt)?;
            task.open(sink);
        }
    }
    Ok(())
}

pub(super) fn metadata(
    world: &World,
    snapshot: Snapshot<Ack>,
    enumerators: BTreeMap<usize, Value>,
) -> Metadata {
    let mut metadata = Metadata {
        savepoint: snapshot.savepoint,
        job: world.plan.job.clone(),
        checkpoint: snapshot.id,
        kind: snapshot.kind,
        created: world.now,
        attempt: world.attempt,
        max_parallelism: max_parallelism(),
        operators: BTreeMap::new(),
        sources: BTreeMap::new(),
        sinks: BTreeMap::new(),
    };
    for (vertex, enumerator) in enumerators {
        let name = world.plan.vertices[vertex].name.clone();
        let source = SourceMeta {
            enumerator,
            ..SourceMeta::default()
        };
        metadata.sources.insert(name, source);
    }
    for (task, ack) in snapshot.acks {
        let vertex = &world.plan.vertices[task.vertex];
        let name = vertex.name.clone();
        let operator = metadata
            .operators
            .entry(name.clone())
            .or_insert(OperatorMeta {
                parallelism: parallelism(vertex.parallelism),
                states: Vec::new(),
                keys: Vec::new(),
                subtasks: Vec::new(),
            });
        operator.subtasks.push(SubtaskMeta {
            file: ack.file,
            shared: ack.shared,
            channels: ack.channels,
            finished: ack.finished,
        });
        if let Some(source) = metadata.sources.get_mut(&name) {
            let open = ack.open.into_iter();
            source.open.extend(open.map(|split| OpenSplit {
                id: split.id,
                position: split.position,
            }));
            source.ended.extend(ack.ended);
        }
        if matches!(vertex.role, Role::Sink(_)) {
            let sink = metadata.sinks.entry(name).or_default();
            sink.extend(ack.transactions);
        }
    }
    metadata
}
