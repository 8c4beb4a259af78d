//! A random job: a graph of sources, counting operators and sinks, and how it is run.

use std::collections::BTreeSet;

use weir_model::{MaxParallelism, Name, Parallelism, hash64};
use weir_operator::SinkGuarantee;

use super::rng::Rng;
use crate::{CheckpointMode, Config, RestartStrategy};

/// How many keys the counting operators tell apart.
pub(super) const KEYS: u64 = 5;

/// Rows of a split have numbers from `split * SPLIT_STRIDE`.
pub(super) const SPLIT_STRIDE: u64 = 1000;

#[derive(Clone, Debug)]
pub(super) enum Role {
    /// Reads splits of so many rows.
    Source { splits: Vec<u64>, spread: bool },
    /// Counts the rows of each key.
    Count,
    /// Writes rows to files.
    Sink(SinkPlan),
}

#[derive(Clone, Copy, Debug)]
pub(super) struct SinkPlan {
    pub(super) guarantee: SinkGuarantee,
    pub(super) roll_bytes: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// To the subtask with the same number.
    Forward,
    /// By key.
    Hash,
    /// To any subtask.
    Rebalance,
}

#[derive(Clone, Debug)]
pub(super) struct Vertex {
    pub(super) name: Name,
    pub(super) role: Role,
    pub(super) parallelism: u32,
    /// Where its rows come from.
    pub(super) inputs: Vec<(usize, Route)>,
}

#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) job: Name,
    pub(super) mode: CheckpointMode,
    /// Sources, then operators, then sinks: no edge goes back.
    pub(super) vertices: Vec<Vertex>,
    pub(super) config: Config,
    pub(super) restart: RestartStrategy,
    /// Rows that wait in a channel before its sender waits.
    pub(super) channel: usize,
    /// Whether some parallelism is another than it was once.
    pub(super) was_rescaled: bool,
    /// What the splits of each source had at first: a job that is drained does without the rest.
    given: Vec<Vec<u64>>,
    /// Whether nothing overtakes on some edges.
    pub(super) has_aligned: bool,
}

impl Plan {
    pub(super) fn random(rng: &mut Rng) -> Self {
        let (sources, operators) = (rng.within(1, 2), rng.within(0, 3));
        let sinks = rng.within(1, 2);
        let most = rng.pick(&[5, 20, 80]);
        let mut vertices: Vec<Vertex> = Vec::new();
        for index in 0..sources + operators + sinks {
            let role = if index < sources {
                let splits = (0..rng.within(1, 4)).map(|_| rng.below(most) as u64);
                Role::Source {
                    splits: splits.collect(),
                    spread: rng.one_in(2),
                }
            } else if index < sources + operators {
                Role::Count
            } else {
                Role::Sink(SinkPlan {
                    guarantee: rng.pick(&[
                        SinkGuarantee::ExactlyOnce,
                        SinkGuarantee::ExactlyOnce,
                        SinkGuarantee::AtLeastOnce,
                    ]),
                    roll_bytes: rng.pick(&[None, None, Some(1), Some(40)]),
                })
            };
            let parallelism = rng.within(1, 3) as u32;
            let inputs = inputs(rng, &vertices, &role, parallelism);
            vertices.push(Vertex {
                name: Name::new(&format!("v{index}")).unwrap(),
                role,
                parallelism,
                inputs,
            });
        }
        connect_loose_ends(rng, &mut vertices, sources + operators);
        Self {
            job: Name::new("sim").unwrap(),
            mode: rng.pick(&[
                CheckpointMode::ExactlyOnce,
                CheckpointMode::ExactlyOnce,
                CheckpointMode::AtLeastOnce,
            ]),
            given: vertices.iter().map(splits_of).collect(),
            vertices,
            config: config(rng),
            restart: restart(rng),
            channel: rng.within(1, 8),
            was_rescaled: false,
            has_aligned: rng.one_in(3),
        }
    }

    /// Whether barriers may overtake.
    pub(super) fn overtakes(&self) -> bool {
        self.config.unaligned && self.mode == CheckpointMode::ExactlyOnce
    }

    /// Whether they do not on some input.
    pub(super) fn stays_aligned(&self, vertex: usize, input: usize) -> bool {
        self.has_aligned && (vertex + input).is_multiple_of(3)
    }

    /// The user gives some vertices another parallelism. Those that a forward edge joins keep the
    /// same one.
    pub(super) fn rescale(&mut self, rng: &mut Rng) {
        let mut group: BTreeSet<usize> = [rng.below(self.vertices.len())].into();
        loop {
            let before = group.len();
            for (to, vertex) in self.vertices.iter().enumerate() {
                let forward = vertex.inputs.iter().filter(|(_, r)| *r == Route::Forward);
                for &(from, _) in forward {
                    if group.contains(&from) || group.contains(&to) {
                        group.extend([from, to]);
                    }
                }
            }
            if group.len() == before {
                break;
            }
        }
        if rng.one_in(4) {
            self.config.unaligned = !self.config.unaligned;
        }
        let parallelism = rng.within(1, 4) as u32;
        for index in group {
            self.was_rescaled |= self.vertices[index].parallelism != parallelism;
            self.vertices[index].parallelism = parallelism;
        }
    }

    pub(super) fn sink(&self, vertex: usize) -> SinkPlan {
        match self.vertices[vertex].role {
            Role::Sink(plan) => plan,
            Role::Source { .. } | Role::Count => panic!("vertex {vertex} is no sink"),
        }
    }

    /// Whether all rows of a key come to one subtask of `vertex`.
    pub(super) fn is_by_key(&self, vertex: usize) -> bool {
        let inputs = &self.vertices[vertex].inputs;
        let mut by_key = inputs.iter().map(|&(from, route)| match route {
            Route::Hash => true,
            Route::Forward => self.is_by_key(from),
            Route::Rebalance => false,
        });
        !inputs.is_empty() && by_key.all(|by_key| by_key)
    }

    /// The sinks by the index of their vertex.
    pub(super) fn sinks(&self) -> impl Iterator<Item = usize> {
        let all = self.vertices.iter().enumerate();
        all.filter(|(_, v)| matches!(v.role, Role::Sink(_)))
            .map(|(index, _)| index)
    }

    /// All ways that rows take to `vertex`: the vertices passed through, its own at the end.
    pub(super) fn ways(&self, vertex: usize) -> Vec<Vec<usize>> {
        let inputs = &self.vertices[vertex].inputs;
        if inputs.is_empty() {
            return vec![vec![vertex]];
        }
        let mut ways = Vec::new();
        for &(from, _) in inputs {
            for mut way in self.ways(from) {
                way.push(vertex);
                ways.push(way);
            }
        }
        ways
    }

    /// What a source yields: the numbers of its rows.
    pub(super) fn rows(&self, source: usize) -> Vec<u64> {
        numbers(&splits_of(&self.vertices[source]))
    }

    /// The same, of what it would have yielded without a drain.
    pub(super) fn rows_given(&self, source: usize) -> Vec<u64> {
        numbers(&self.given[source])
    }

    /// All that channels join with a vertex.
    pub(super) fn region_of(&self, vertex: usize) -> BTreeSet<usize> {
        let mut region: BTreeSet<usize> = [vertex].into();
        loop {
            let before = region.len();
            for (to, vertex) in self.vertices.iter().enumerate() {
                for &(from, _) in &vertex.inputs {
                    if region.contains(&from) || region.contains(&to) {
                        region.extend([from, to]);
                    }
                }
            }
            if region.len() == before {
                return region;
            }
        }
    }
}

/// How many rows each split of a source has.
fn splits_of(vertex: &Vertex) -> Vec<u64> {
    match &vertex.role {
        Role::Source { splits, .. } => splits.clone(),
        Role::Count | Role::Sink(_) => Vec::new(),
    }
}

fn numbers(splits: &[u64]) -> Vec<u64> {
    let splits = splits.iter().zip(0_u64..);
    splits
        .flat_map(|(&rows, n)| n * SPLIT_STRIDE..n * SPLIT_STRIDE + rows)
        .collect()
}

fn inputs(rng: &mut Rng, before: &[Vertex], role: &Role, parallelism: u32) -> Vec<(usize, Route)> {
    if matches!(role, Role::Source { .. }) {
        return Vec::new();
    }
    let candidates: Vec<_> = before
        .iter()
        .enumerate()
        .filter(|(_, v)| !matches!(v.role, Role::Sink(_)))
        .map(|(index, _)| index)
        .collect();
    let from: BTreeSet<_> = (0..rng.within(1, 2))
        .map(|_| rng.pick(&candidates))
        .collect();
    from.into_iter()
        .map(|from| (from, route(rng, before[from].parallelism == parallelism)))
        .collect()
}

fn route(rng: &mut Rng, may_forward: bool) -> Route {
    if may_forward && rng.one_in(2) {
        Route::Forward
    } else {
        rng.pick(&[Route::Hash, Route::Rebalance])
    }
}

/// What nobody reads goes to a sink.
fn connect_loose_ends(rng: &mut Rng, vertices: &mut [Vertex], sinks: usize) {
    for index in 0..sinks {
        let is_read = vertices
            .iter()
            .any(|v| v.inputs.iter().any(|&(from, _)| from == index));
        if !is_read {
            let sink = rng.within(sinks, vertices.len() - 1);
            let may_forward = vertices[index].parallelism == vertices[sink].parallelism;
            let route = route(rng, may_forward);
            vertices[sink].inputs.push((index, route));
        }
    }
}

/// The subtask that rows of a key go to, as in production.
pub(super) fn subtask_of(key: u64, of: u32) -> usize {
    let max = max_parallelism();
    let group = max.key_group_of(hash64(&key.to_le_bytes()));
    max.subtask_of(group, parallelism(of)).index()
}

pub(super) fn max_parallelism() -> MaxParallelism {
    MaxParallelism::new(128).unwrap()
}

pub(super) fn parallelism(n: u32) -> Parallelism {
    Parallelism::new(n).unwrap()
}

fn restart(rng: &mut Rng) -> RestartStrategy {
    if rng.one_in(8) {
        return RestartStrategy::None;
    }
    RestartStrategy::FixedDelay {
        attempts: rng.pick(&[Some(0), Some(1), Some(2), Some(3), None]),
        delay_ms: rng.below(50) as u64,
    }
}

fn config(rng: &mut Rng) -> Config {
    Config {
        interval_ms: Some(rng.pick(&[3, 10, 30, 100])),
        min_pause_ms: rng.pick(&[0, 0, 20]),
        timeout_ms: 100_000,
        max_concurrent: rng.within(1, 3),
        tolerable_failures: rng.pick(&[0, 1, 1000]),
        retained: rng.within(1, 3),
        incremental: rng.one_in(2),
        unaligned: rng.one_in(2),
        aligned_timeout_ms: rng.pick(&[0, 0, 2, 50]),
        ..Config::default()
    }
}
