//! Which column a chain stands in, and in which order those of one column stand: as few lines cross
//! as a few sweeps can see to.
//!
//! INVARIANT: every edge goes from a column to a later one; where it passes columns between, it has
//! a stop in each, so that no line runs through a box.

use super::branches;
use crate::{Link, Plan};

/// How often the columns are sorted, there and back.
const SWEEPS: usize = 8;

/// What stands in a column: a chain, or a stop of an edge on its way to a later column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    Chain(usize),
    Pass { edge: usize, column: usize },
}

/// The columns from left to right, each from top to bottom.
#[derive(Clone, Debug)]
pub(super) struct Columns {
    pub(super) columns: Vec<Vec<Stop>>,
    /// The column of each chain.
    pub(super) of_chain: Vec<usize>,
}

impl Columns {
    pub(super) fn of(plan: &Plan) -> Self {
        let of_chain = columns_of(plan);
        let count = of_chain.iter().max().map_or(0, |last| last + 1);
        let mut columns: Vec<Vec<Stop>> = vec![Vec::new(); count];
        for (chain, &column) in of_chain.iter().enumerate() {
            columns[column].push(Stop::Chain(chain));
        }
        for (edge, ends) in plan.edges.iter().enumerate() {
            let (first, last) = (of_chain[ends.from.0], of_chain[ends.to.0]);
            let between = columns.iter_mut().enumerate().take(last).skip(first + 1);
            for (column, stops) in between {
                stops.push(Stop::Pass { edge, column });
            }
        }
        let mut best = Self { columns, of_chain };
        let mut fewest = best.crossings(plan);
        let mut now = best.clone();
        for sweep in 0..SWEEPS {
            now.sort(plan, sweep % 2 == 0);
            let crossings = now.crossings(plan);
            if crossings < fewest {
                fewest = crossings;
                best = now.clone();
            }
        }
        best
    }

    /// The stop of an edge in a column it touches.
    pub(super) fn stop(&self, plan: &Plan, edge: usize, column: usize) -> Stop {
        let ends = &plan.edges[edge];
        if column == self.of_chain[ends.from.0] {
            Stop::Chain(ends.from.0)
        } else if column == self.of_chain[ends.to.0] {
            Stop::Chain(ends.to.0)
        } else {
            Stop::Pass { edge, column }
        }
    }

    /// The edges that go from a column to the next, as the stops that they join there, with where
    /// at those stops they begin and end: by order of edges.
    fn steps(&self, plan: &Plan, column: usize) -> Vec<(f64, f64)> {
        let place = |column: usize, stop: Stop, part: f64| {
            let at = self.columns[column].iter().position(|s| *s == stop);
            at.unwrap_or(0) as f64 + part
        };
        let mut steps = Vec::new();
        for (edge, ends) in plan.edges.iter().enumerate() {
            let (first, last) = (self.of_chain[ends.from.0], self.of_chain[ends.to.0]);
            if !(first..last).contains(&column) {
                continue;
            }
            let from = place(
                column,
                self.stop(plan, edge, column),
                out_part(plan, edge, column == first),
            );
            let to = place(
                column + 1,
                self.stop(plan, edge, column + 1),
                in_part(plan, edge, column + 1 == last),
            );
            steps.push((from, to));
        }
        steps
    }

    /// How many pairs of lines cross.
    fn crossings(&self, plan: &Plan) -> usize {
        let mut crossings = 0;
        for column in 0..self.columns.len().saturating_sub(1) {
            let steps = self.steps(plan, column);
            for (at, a) in steps.iter().enumerate() {
                let crossed = |b: &&(f64, f64)| (a.0 - b.0) * (a.1 - b.1) < 0.0;
                crossings += steps[at + 1..].iter().filter(crossed).count();
            }
        }
        crossings
    }

    /// Sorts each column by where its neighbours stand, those to the left or those to the right.
    fn sort(&mut self, plan: &Plan, rightwards: bool) {
        let count = self.columns.len();
        let order: Vec<usize> = match rightwards {
            true => (1..count).collect(),
            false => (0..count.saturating_sub(1)).rev().collect(),
        };
        for column in order {
            let other = if rightwards { column - 1 } else { column + 1 };
            let between = column.min(other);
            let mut wanted: Vec<(f64, Stop)> = Vec::new();
            for (at, &stop) in self.columns[column].iter().enumerate() {
                let mut places = Vec::new();
                for (edge, ends) in plan.edges.iter().enumerate() {
                    let (first, last) = (self.of_chain[ends.from.0], self.of_chain[ends.to.0]);
                    let passes = (first..last).contains(&between);
                    if passes && self.stop(plan, edge, column) == stop {
                        let there = self.stop(plan, edge, other);
                        let index = self.columns[other].iter().position(|s| *s == there);
                        let part = match rightwards {
                            true => out_part(plan, edge, other == first),
                            false => in_part(plan, edge, other == last),
                        };
                        places.push(index.unwrap_or(0) as f64 + part);
                    }
                }
                let mean = places.iter().sum::<f64>() / places.len().max(1) as f64;
                wanted.push((if places.is_empty() { at as f64 } else { mean }, stop));
            }
            // Stable: what is drawn to the same place keeps its order.
            wanted.sort_by(|a, b| a.0.total_cmp(&b.0));
            self.columns[column] = wanted.into_iter().map(|(_, stop)| stop).collect();
        }
    }
}

/// Where among all edges that leave a chain this one does, from 0 to below 1.
fn out_part(plan: &Plan, edge: usize, is_chain: bool) -> f64 {
    if !is_chain {
        return 0.5;
    }
    // Edges leave a chain in order of its nodes and their branches.
    let chain = plan.edges[edge].from.0;
    let nodes = 0..plan.chains[chain].nodes.len();
    let links = nodes.flat_map(|node| branches(plan, chain, node));
    let edges: Vec<usize> = links
        .filter_map(|link| match link {
            Link::Edge(edge) => Some(edge.0),
            Link::Chained(_) => None,
        })
        .collect();
    let at = edges.iter().position(|other| *other == edge).unwrap_or(0);
    (at as f64 + 0.5) / edges.len().max(1) as f64
}

/// Where among all edges into a chain this one arrives.
fn in_part(plan: &Plan, edge: usize, is_chain: bool) -> f64 {
    if !is_chain {
        return 0.5;
    }
    let inputs = &plan.chains[plan.edges[edge].to.0].inputs;
    let at = inputs.iter().position(|other| other.0 == edge).unwrap_or(0);
    (at as f64 + 0.5) / inputs.len().max(1) as f64
}

/// The column of each chain: one behind the last of those that it reads; what reads nothing stands
/// right before the first that reads it.
fn columns_of(plan: &Plan) -> Vec<usize> {
    let mut columns = vec![0; plan.chains.len()];
    // Producers come first.
    for (at, chain) in plan.chains.iter().enumerate() {
        let behind = chain
            .inputs
            .iter()
            .map(|edge| columns[plan.edges[edge.0].from.0] + 1);
        columns[at] = behind.max().unwrap_or(0);
    }
    for (at, chain) in plan.chains.iter().enumerate() {
        let readers = plan.edges.iter().filter(|edge| edge.from.0 == at);
        let first = readers.map(|edge| columns[edge.to.0]).min();
        if let (true, Some(first)) = (chain.inputs.is_empty(), first) {
            columns[at] = first - 1;
        }
    }
    columns
}
