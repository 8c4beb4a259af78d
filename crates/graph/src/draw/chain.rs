//! One chain as a box: its nodes as a tree from left to right, and where its edges leave it.

use super::{
    Notes, branches,
    layout::{NODE_HEIGHT, Point, Rect, text_width},
};
use crate::{Chain, ChainNode, Link, Plan};

/// Between the border of a box and what is in it.
const PAD: i64 = 14;
/// Above the nodes, for the line that says the parallelism.
const HEAD: i64 = 26;
/// Between two nodes, one behind the other.
const GAP: i64 = 34;
/// Between two branches, one below the other.
const BRANCH: i64 = 14;
/// The height of a branch that is only an edge that leaves.
const PORT: i64 = 24;
/// Beside the text of a node.
const NODE_PAD: i64 = 12;
/// No node is narrower, and no line of text in it longer.
const NODE_WIDTH_MIN: i64 = 92;
const NOTE_CHARS_MAX: usize = 36;

/// A chain, laid out at (0, 0).
#[derive(Clone, Debug)]
pub(super) struct ChainBox {
    pub(super) rect: Rect,
    /// The nodes, as in the chain.
    pub(super) nodes: Vec<NodeBox>,
    /// Lines between nodes.
    pub(super) links: Vec<(Point, Point)>,
    /// Where edges leave it.
    pub(super) ports: Vec<Port>,
}

/// The way of an edge from its node to the right border.
#[derive(Clone, Copy, Debug)]
pub(super) struct Port {
    /// The index of the edge in the plan.
    pub(super) edge: usize,
    pub(super) from: Point,
    /// From here on it is level, so that it passes what is chained to its node.
    pub(super) level: Point,
    pub(super) at: Point,
}

/// A node of a chain.
#[derive(Clone, Debug)]
pub(super) struct NodeBox {
    pub(super) rect: Rect,
    /// The line under the name, cut to what has room.
    pub(super) note: Option<String>,
}

impl ChainBox {
    pub(super) fn of(plan: &Plan, number: usize, notes: &Notes) -> Self {
        let chain = &plan.chains[number];
        let mut nodes: Vec<NodeBox> = chain
            .nodes
            .iter()
            .map(|node| NodeBox::of(node, notes))
            .collect();
        let title = text_width(&format!("parallelism {}", chain.parallelism), 11);
        let width = (spread(chain, &mut nodes) + PAD).max(title + 2 * PAD);
        let branches = (0..chain.nodes.len()).map(|node| branches(plan, number, node));
        let branches: Vec<Vec<Link>> = branches.collect();
        let heights = heights(&branches);
        let height = HEAD + heights.first().copied().unwrap_or(NODE_HEIGHT) + PAD;
        let mut tops = vec![HEAD; chain.nodes.len()];
        let mut ports = Vec::new();
        let mut links = Vec::new();
        // Producers come first, so the place of a node is known before those of its branches.
        for (at, branches) in branches.iter().enumerate() {
            nodes[at].rect.y = tops[at] + (heights[at] - NODE_HEIGHT) / 2;
            let from = nodes[at].rect.right_middle();
            let mut top = tops[at] + (heights[at] - total(branches, &heights)) / 2;
            for link in branches {
                let height = height_of(link, &heights);
                let y = top + height / 2;
                match link {
                    Link::Chained(next) => {
                        tops[*next] = top;
                        let x = nodes[*next].rect.x;
                        links.push((from, Point { x, y }));
                    }
                    Link::Edge(edge) => {
                        let x = (from.x + GAP).min(width);
                        let (level, at) = (Point { x, y }, Point { x: width, y });
                        let edge = edge.0;
                        ports.push(Port {
                            edge,
                            from,
                            level,
                            at,
                        });
                    }
                }
                top += height + BRANCH;
            }
        }
        Self {
            rect: Rect {
                x: 0,
                y: 0,
                width,
                height,
            },
            nodes,
            links,
            ports,
        }
    }

    /// Where the `number`-th of `count` inputs of the head arrives.
    pub(super) fn input(&self, number: usize, count: usize) -> Point {
        let Some(head) = self.nodes.first() else {
            return Point {
                x: self.rect.x,
                y: self.rect.y,
            };
        };
        let step = (number + 1) as i64 * head.rect.height / (count as i64 + 1);
        Point {
            x: head.rect.x,
            y: head.rect.y + step,
        }
    }

    pub(super) fn move_to(&mut self, x: i64, y: i64) {
        let (dx, dy) = (x - self.rect.x, y - self.rect.y);
        let shift = |p: &mut Point| {
            p.x += dx;
            p.y += dy;
        };
        self.rect = self.rect.moved(dx, dy);
        for node in &mut self.nodes {
            node.rect = node.rect.moved(dx, dy);
        }
        for (from, to) in &mut self.links {
            shift(from);
            shift(to);
        }
        for port in &mut self.ports {
            [&mut port.from, &mut port.level, &mut port.at]
                .into_iter()
                .for_each(shift);
        }
    }
}

impl NodeBox {
    /// As large as what is written in it.
    fn of(node: &ChainNode, notes: &Notes) -> Self {
        let note = notes.node(&node.name).map(|note| cut(note, NOTE_CHARS_MAX));
        let below = note.as_deref().map_or(0, |note| text_width(note, 11));
        let text = text_width(node.name.as_str(), 13).max(below);
        let rect = Rect {
            x: 0,
            y: 0,
            width: (text + 2 * NODE_PAD).max(NODE_WIDTH_MIN),
            height: NODE_HEIGHT,
        };
        Self { rect, note }
    }
}

/// Puts the nodes into columns by how far they are from the head, each as wide as its widest node;
/// gives where the last column ends.
fn spread(chain: &Chain, nodes: &mut [NodeBox]) -> i64 {
    let depths = depths(chain);
    let mut widths: Vec<i64> = Vec::new();
    for (node, &depth) in nodes.iter().zip(&depths) {
        widths.resize(widths.len().max(depth + 1), 0);
        widths[depth] = widths[depth].max(node.rect.width);
    }
    let left = |depth: usize| PAD + widths[..depth].iter().map(|w| w + GAP).sum::<i64>();
    for (node, &depth) in nodes.iter_mut().zip(&depths) {
        node.rect.x = left(depth);
        node.rect.width = widths[depth];
    }
    left(widths.len()) - GAP
}

/// How far each node is from the head.
fn depths(chain: &Chain) -> Vec<usize> {
    let mut depths = vec![0; chain.nodes.len()];
    for (at, node) in chain.nodes.iter().enumerate() {
        for (_, link) in &node.links {
            if let Link::Chained(next) = link {
                depths[*next] = depths[at] + 1;
            }
        }
    }
    depths
}

/// The height of each node with all its branches. Consumers come last, so theirs are known first.
fn heights(branches: &[Vec<Link>]) -> Vec<i64> {
    let mut heights = vec![NODE_HEIGHT; branches.len()];
    for at in (0..branches.len()).rev() {
        heights[at] = NODE_HEIGHT.max(total(&branches[at], &heights));
    }
    heights
}

/// The height of branches one below the other.
fn total(branches: &[Link], heights: &[i64]) -> i64 {
    let all = branches.iter().map(|link| height_of(link, heights));
    all.sum::<i64>() + BRANCH * branches.len().saturating_sub(1) as i64
}

fn height_of(link: &Link, heights: &[i64]) -> i64 {
    match link {
        Link::Chained(next) => heights[*next],
        Link::Edge(_) => PORT,
    }
}

/// Text with its middle left out where it is longer than there is room: the ends of a path say
/// most.
fn cut(text: &str, most: usize) -> String {
    let count = text.chars().count();
    if count <= most {
        return text.to_owned();
    }
    let head = most / 3;
    let tail = most - head - 1;
    let begin: String = text.chars().take(head).collect();
    let end: String = text.chars().skip(count - tail).collect();
    format!("{begin}…{end}")
}
