//! Where everything of a picture is, in pixels: columns of chains from left to right, and the lines
//! between them.
//!
//! INVARIANT: boxes do not overlap, and no line runs through one.

use super::{
    Notes,
    chain::ChainBox,
    layers::{Columns, Stop},
    stack::{Item, stack},
};
use crate::{Plan, Port};

pub(super) const NODE_HEIGHT: i64 = 46;
/// Around the whole.
const MARGIN: i64 = 24;
/// Above the first row, for the title.
const TITLE: i64 = 34;
/// Between two boxes of a column.
const ROW_GAP: i64 = 26;
/// The room of a line that passes a column.
const PASS_HEIGHT: i64 = 24;
/// Between two columns, besides what is written at the lines: room for them to bend.
const BEND: i64 = 58;
/// Beside what is written at a line.
const LABEL_PAD: i64 = 10;
/// How often the columns are drawn to their neighbours, there and back.
const PULLS: usize = 12;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Point {
    pub(super) x: i64,
    pub(super) y: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rect {
    pub(super) x: i64,
    pub(super) y: i64,
    pub(super) width: i64,
    pub(super) height: i64,
}

impl Rect {
    pub(super) fn right(&self) -> i64 {
        self.x + self.width
    }

    pub(super) fn bottom(&self) -> i64 {
        self.y + self.height
    }

    pub(super) fn right_middle(&self) -> Point {
        Point {
            x: self.right(),
            y: self.y + self.height / 2,
        }
    }

    pub(super) fn moved(self, dx: i64, dy: i64) -> Self {
        Self {
            x: self.x + dx,
            y: self.y + dy,
            ..self
        }
    }
}

/// A line between two chains.
#[derive(Clone, Debug)]
pub(super) struct Route {
    pub(super) label: String,
    /// Whether it carries dead letters.
    pub(super) is_dead: bool,
    /// Where the label begins; the line goes on behind it.
    pub(super) label_at: Point,
    /// Ends of straight pieces, in pairs; between two pieces it bends.
    pub(super) straights: Vec<(Point, Point)>,
}

/// The whole picture.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    pub(super) width: i64,
    pub(super) height: i64,
    pub(super) chains: Vec<ChainBox>,
    pub(super) routes: Vec<Route>,
}

impl Layout {
    pub(super) fn of(plan: &Plan, notes: &Notes) -> Self {
        let chains = 0..plan.chains.len();
        let mut chains: Vec<ChainBox> = chains
            .map(|chain| ChainBox::of(plan, chain, notes))
            .collect();
        let columns = Columns::of(plan);
        let labels: Vec<String> = plan
            .edges
            .iter()
            .map(|edge| notes.edge(plan, edge))
            .collect();
        let spans = spans(plan, &columns, &chains, &labels);
        let tops = Rows::new(plan, &columns, &chains).settle();
        for (column, stops) in columns.columns.iter().enumerate() {
            for (stop, top) in stops.iter().zip(&tops[column]) {
                if let Stop::Chain(chain) = stop {
                    chains[*chain].move_to(spans[column].left, *top + MARGIN + TITLE);
                }
            }
        }
        let pass_y = |edge: usize, column: usize| {
            let stop = Stop::Pass { edge, column };
            let at = columns.columns[column].iter().position(|s| *s == stop);
            at.map_or(0, |at| tops[column][at] + PASS_HEIGHT / 2 + MARGIN + TITLE)
        };
        let routes = (0..plan.edges.len()).map(|edge| {
            let label = labels[edge].clone();
            route(plan, &columns, &spans, &chains, edge, label, &pass_y)
        });
        let routes: Vec<Route> = routes.collect();
        let right = chains
            .iter()
            .map(|chain| chain.rect.right())
            .max()
            .unwrap_or(0);
        let bottom = chains.iter().map(|chain| chain.rect.bottom());
        let passes = routes
            .iter()
            .flat_map(|route| &route.straights)
            .map(|(a, _)| a.y);
        let bottom = bottom.chain(passes).max().unwrap_or(0);
        let title = text_width(plan.job.as_str(), 16) + text_width(" max-parallelism 00000", 11);
        Self {
            width: (right + MARGIN).max(title + 2 * MARGIN),
            height: bottom + MARGIN,
            chains,
            routes,
        }
    }
}

/// How wide text of a monospaced font is; its size in pixels.
pub(super) fn text_width(text: &str, size: i64) -> i64 {
    // 0.6 em for a character, and a wide one is as wide as two.
    let units: i64 = text
        .chars()
        .map(|c| if c < '\u{1100}' || c == '…' { 1 } else { 2 })
        .sum();
    (units * size * 61).div_euclid(100) + 1
}

/// The place of a column.
#[derive(Clone, Copy, Debug)]
struct Span {
    left: i64,
    right: i64,
    /// Where labels of the lines that begin here end, and the lines begin to bend.
    bend: i64,
}

fn spans(plan: &Plan, columns: &Columns, chains: &[ChainBox], labels: &[String]) -> Vec<Span> {
    let mut left = MARGIN;
    let mut spans = Vec::new();
    for (column, stops) in columns.columns.iter().enumerate() {
        let width = stops.iter().map(|stop| match stop {
            Stop::Chain(chain) => chains[*chain].rect.width,
            Stop::Pass { .. } => 0,
        });
        let right = left + width.max().unwrap_or(0);
        let begin_here = plan.edges.iter().zip(labels);
        let begin_here = begin_here.filter(|(edge, _)| columns.of_chain[edge.from.0] == column);
        let label = begin_here
            .map(|(_, label)| text_width(label, 11) + 2 * LABEL_PAD)
            .max();
        let bend = right + label.unwrap_or(LABEL_PAD);
        spans.push(Span { left, right, bend });
        left = bend + BEND;
    }
    spans
}

/// The rows of all columns while they are being settled.
struct Rows<'a> {
    plan: &'a Plan,
    columns: &'a Columns,
    chains: &'a [ChainBox],
    tops: Vec<Vec<i64>>,
}

impl<'a> Rows<'a> {
    fn new(plan: &'a Plan, columns: &'a Columns, chains: &'a [ChainBox]) -> Self {
        let tops = columns
            .columns
            .iter()
            .map(|stops| vec![0; stops.len()])
            .collect();
        Self {
            plan,
            columns,
            chains,
            tops,
        }
    }

    fn height(&self, stop: Stop) -> i64 {
        match stop {
            Stop::Chain(chain) => self.chains[chain].rect.height + ROW_GAP,
            Stop::Pass { .. } => PASS_HEIGHT,
        }
    }

    /// Where an edge leaves or reaches a stop, from its top.
    fn inside(&self, edge: usize, stop: Stop) -> i64 {
        match stop {
            Stop::Pass { .. } => PASS_HEIGHT / 2,
            Stop::Chain(chain) if chain == self.plan.edges[edge].from.0 => {
                let ports = &self.chains[chain].ports;
                let port = ports.iter().find(|port| port.edge == edge);
                port.map_or(0, |port| port.at.y)
            }
            Stop::Chain(chain) => {
                let (number, count) = input_of(self.plan, edge);
                self.chains[chain].input(number, count).y
            }
        }
    }

    /// The tops of what is in each column, the highest at 0.
    fn settle(mut self) -> Vec<Vec<i64>> {
        let count = self.columns.columns.len();
        for column in 0..count {
            self.pull(column, None);
        }
        for pull in 0..PULLS {
            if pull % 2 == 0 {
                (1..count).for_each(|column| self.pull(column, Some(column - 1)));
            } else {
                (0..count.saturating_sub(1))
                    .rev()
                    .for_each(|column| self.pull(column, Some(column + 1)));
            }
        }
        let highest = self.tops.iter().flatten().copied().min().unwrap_or(0);
        self.tops
            .iter_mut()
            .flatten()
            .for_each(|top| *top -= highest);
        self.tops
    }

    /// Draws a column towards its neighbours in another, so that lines between run straight.
    fn pull(&mut self, column: usize, other: Option<usize>) {
        let mut items = Vec::new();
        for (at, &stop) in self.columns.columns[column].iter().enumerate() {
            let mut sum = 0;
            let mut count = 0;
            for edge in 0..self.plan.edges.len() {
                let Some(other) = other.filter(|other| self.joins(edge, column.min(*other))) else {
                    continue;
                };
                if self.columns.stop(self.plan, edge, column) != stop {
                    continue;
                }
                let there = self.columns.stop(self.plan, edge, other);
                let index = self.columns.columns[other].iter().position(|s| *s == there);
                let top = index.map_or(0, |index| self.tops[other][index]);
                sum += top + self.inside(edge, there) - self.inside(edge, stop);
                count += 1;
            }
            let wanted = if count > 0 {
                sum / count
            } else {
                self.tops[column][at]
            };
            items.push(Item {
                wanted,
                height: self.height(stop),
            });
        }
        self.tops[column] = stack(&items);
    }

    /// Whether an edge goes from this column to the next.
    fn joins(&self, edge: usize, column: usize) -> bool {
        let ends = &self.plan.edges[edge];
        (self.columns.of_chain[ends.from.0]..self.columns.of_chain[ends.to.0]).contains(&column)
    }
}

/// Which input of how many an edge is.
fn input_of(plan: &Plan, edge: usize) -> (usize, usize) {
    let inputs = &plan.chains[plan.edges[edge].to.0].inputs;
    let number = inputs.iter().position(|input| input.0 == edge);
    (number.unwrap_or(0), inputs.len())
}

fn route(
    plan: &Plan,
    columns: &Columns,
    spans: &[Span],
    chains: &[ChainBox],
    edge: usize,
    label: String,
    pass_y: &dyn Fn(usize, usize) -> i64,
) -> Route {
    let ends = &plan.edges[edge];
    let (first, last) = (columns.of_chain[ends.from.0], columns.of_chain[ends.to.0]);
    let ports = &chains[ends.from.0].ports;
    let port = ports.iter().find(|port| port.edge == edge);
    let port = port.map_or(Point { x: 0, y: 0 }, |port| port.at);
    let mut straights = vec![(
        port,
        Point {
            x: spans[first].bend,
            y: port.y,
        },
    )];
    for (column, span) in spans.iter().enumerate().take(last).skip(first + 1) {
        let y = pass_y(edge, column);
        straights.push((Point { x: span.left, y }, Point { x: span.bend, y }));
    }
    let (number, count) = input_of(plan, edge);
    let target = &chains[ends.to.0];
    let end = target.input(number, count);
    straights.push((
        Point {
            x: target.rect.x,
            y: end.y,
        },
        end,
    ));
    let label_at = Point {
        x: spans[first].right + LABEL_PAD,
        y: port.y,
    };
    Route {
        label,
        is_dead: ends.port == Port::DeadLetters,
        label_at,
        straights,
    }
}
