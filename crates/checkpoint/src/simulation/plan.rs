//! A random job: a graph of sources, counting operators and sinks, and how it is run.

use std::collections::BTreeSet;

use weir_model::Name;

use super::rng::Rng;
use crate::{Config, RestartStrategy};

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
    /// Commits rows.
    Sink,
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
    /// Sources, then operators, then sinks: no edge goes back.
    pub(super) vertices: Vec<Vertex>,
    pub(super) config: Config,
    pub(super) restart: RestartStrategy,
    /// Rows that wait in a channel before its sender waits.
    pub(super) channel: usize,
}

impl Plan {
    pub(super) fn random(rng: &mut Rng) -> Self {
        let (sources, operators) = (rng.within(1, 2), rng.within(0, 3));
        let sinks = rng.within(1, 2);
        let mut vertices: Vec<Vertex> = Vec::new();
        for index in 0..sources + operators + sinks {
            let role = if index < sources {
                let splits = (0..rng.within(1, 4)).map(|_| rng.below(20) as u64);
                Role::Source {
                    splits: splits.collect(),
                    spread: rng.one_in(2),
                }
            } else if index < sources + operators {
                Role::Count
            } else {
                Role::Sink
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
            vertices,
            config: config(rng),
            restart: RestartStrategy::FixedDelay {
                attempts: Some(rng.within(0, 3) as u32),
                delay_ms: rng.below(50) as u64,
            },
            channel: rng.within(1, 8),
        }
    }

    /// The sinks by the index of their vertex.
    pub(super) fn sinks(&self) -> impl Iterator<Item = usize> {
        let all = self.vertices.iter().enumerate();
        all.filter(|(_, v)| matches!(v.role, Role::Sink))
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
        let Role::Source { splits, .. } = &self.vertices[source].role else {
            return Vec::new();
        };
        let splits = splits.iter().zip(0_u64..);
        splits
            .flat_map(|(&rows, n)| n * SPLIT_STRIDE..n * SPLIT_STRIDE + rows)
            .collect()
    }
}

fn inputs(rng: &mut Rng, before: &[Vertex], role: &Role, parallelism: u32) -> Vec<(usize, Route)> {
    if matches!(role, Role::Source { .. }) {
        return Vec::new();
    }
    let candidates: Vec<_> = before
        .iter()
        .enumerate()
        .filter(|(_, v)| !matches!(v.role, Role::Sink))
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

fn config(rng: &mut Rng) -> Config {
    Config {
        interval_ms: Some(rng.within(5, 100) as u64),
        min_pause_ms: rng.pick(&[0, 0, 20]),
        timeout_ms: 100_000,
        max_concurrent: rng.within(1, 3),
        tolerable_failures: rng.pick(&[0, 1, 1000]),
        retained: rng.within(1, 3),
    }
}
