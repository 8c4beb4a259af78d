//! Watermarks that an operator makes itself, in place of those that its task gets.
//!
//! Nothing is chained behind such an operator, so what it says leaves on its own edges, between the
//! rows that it is about; the watermark of the task leaves on all others.

use weir_event_time::{EmittedStrategy, EmittedWatermarks};
use weir_graph::{EdgeId, Link};
use weir_model::{Column, Element, EventTime, Lineage};
use weir_operator::Failure;

use super::chain::{Chain, Node, NodeFailure};
use crate::exchange::TimedRows;

/// See the module.
pub(crate) struct OwnTime {
    marks: EmittedWatermarks,
    edges: Vec<EdgeId>,
}

/// Rows that are on their way out, of the main output.
pub(super) struct Leaving {
    pub(super) values: Column,
    pub(super) timestamps: Vec<i64>,
    pub(super) lineage: Vec<Lineage>,
}

impl OwnTime {
    /// Of a node with these links.
    pub(crate) fn new(strategy: EmittedStrategy, links: &[(u32, Link)]) -> Self {
        let edges = links.iter().filter_map(|(_, link)| match link {
            Link::Edge(edge) => Some(*edge),
            Link::Chained(_) => None,
        });
        Self {
            marks: EmittedWatermarks::new(strategy),
            edges: edges.collect(),
        }
    }
}

impl Node {
    /// Whether its component says its watermarks.
    pub(super) fn says_watermarks(&self) -> bool {
        let own = self.own_time.as_ref();
        own.is_some_and(|own| own.marks.strategy() == EmittedStrategy::Component)
    }
}

impl Chain {
    /// The watermark of the task goes on; its end goes on everywhere.
    pub(crate) fn send_watermark(&mut self, to: EventTime) {
        let element = Element::Watermark(to);
        if to == EventTime::MAX || self.nodes.iter().all(|node| node.own_time.is_none()) {
            self.send_all(&element);
            return;
        }
        // A source says something when it has no more for now, and at the end of a split.
        self.say_watermarks();
        for (at, output) in self.outputs.iter_mut().enumerate() {
            let own = self.nodes.iter().filter_map(|node| node.own_time.as_ref());
            if !own.flat_map(|own| &own.edges).any(|edge| edge.0 == at) {
                output.send_all(&element);
            }
        }
    }

    /// Nobody waits for this task any more, or somebody does again. Watermarks that are said while
    /// it is idle count for nothing downstream, so each operator that says its own says it again.
    pub(crate) fn send_idle(&mut self, idle: bool) {
        if idle {
            self.say_watermarks();
        }
        self.send_all(&Element::Idle(idle));
        if idle {
            return;
        }
        for at in 0..self.nodes.len() {
            let own = self.nodes[at].own_time.as_ref();
            let said = own.and_then(|own| own.marks.said_last());
            self.send_own(at, said);
        }
    }

    /// Nothing more comes for now.
    pub(crate) fn say_watermarks(&mut self) {
        for at in 0..self.nodes.len() {
            let own = self.nodes[at].own_time.as_mut();
            let said = own.and_then(|own| own.marks.dry());
            self.send_own(at, said);
        }
    }

    fn send_own(&mut self, at: usize, said: Option<EventTime>) {
        let (Some(said), Some(own)) = (said, &self.nodes[at].own_time) else {
            return;
        };
        for edge in &own.edges {
            self.outputs[edge.0].send_all(&Element::Watermark(said));
        }
    }

    /// Sends the rows of the main output on, with the watermarks where they belong: those that
    /// follow, or those that were `said` behind so many of the rows.
    pub(super) fn emit_with_watermarks(
        &mut self,
        at: usize,
        leaving: Vec<Leaving>,
        said: &[(u32, i64)],
    ) -> Result<(), NodeFailure> {
        let mut said = said.iter().copied().peekable();
        let mut before = 0;
        for rows in leaving {
            self.check_times(at, &rows)?;
            let (mut from, all) = (0, rows.values.len());
            while from < all {
                let Some(own) = &mut self.nodes[at].own_time else {
                    return Ok(());
                };
                let times = rows.timestamps.get(from..).unwrap_or_default();
                let (mut count, follows) = match times.is_empty() {
                    true => (all - from, None),
                    false => own.marks.rows(times),
                };
                if let Some((behind, _)) = said.peek() {
                    let left = (*behind as usize).saturating_sub(before + from);
                    count = count.min(left);
                }
                if count > 0 {
                    self.emit_part(at, &rows, from, from + count)?;
                    from += count;
                }
                self.send_own(at, follows);
                self.say_until(at, before + from, &mut said);
            }
            before += all;
        }
        self.say_until(at, usize::MAX, &mut said);
        Ok(())
    }

    /// Says what was said behind so many rows.
    fn say_until(
        &mut self,
        at: usize,
        rows: usize,
        said: &mut std::iter::Peekable<impl Iterator<Item = (u32, i64)>>,
    ) {
        while let Some((_, to)) = said.next_if(|(behind, _)| *behind as usize <= rows) {
            let own = self.nodes[at].own_time.as_mut();
            let said = own.and_then(|own| own.marks.said(to));
            self.send_own(at, said);
        }
    }

    /// Watermarks follow from times, so there must be some.
    fn check_times(&self, at: usize, rows: &Leaving) -> Result<(), NodeFailure> {
        let node = &self.nodes[at];
        if node.says_watermarks() || rows.timestamps.len() == rows.values.len() {
            return Ok(());
        }
        let message = format!(
            "`watermark` of the operator has watermarks follow from the event times of the rows that \
             it emits, and {} rows of {} have none: give them one, or say `timestamp` at the source",
            rows.values.len() - rows.timestamps.len(),
            rows.values.len()
        );
        Err(NodeFailure {
            node: node.name.clone(),
            failure: Failure::Contract { message },
        })
    }

    fn emit_part(
        &mut self,
        at: usize,
        rows: &Leaving,
        from: usize,
        to: usize,
    ) -> Result<(), NodeFailure> {
        let part = TimedRows {
            values: rows.values.view().slice(from, to),
            timestamps: rows.timestamps.get(from..to).unwrap_or_default(),
            lineage: rows.lineage.get(from..to).unwrap_or_default(),
        };
        self.nodes[at].meters.rows_out.add(part.values.len());
        let links: Vec<Link> = self.nodes[at].links_of(0).collect();
        for link in links {
            self.emit_shared(at, link, part)?;
        }
        Ok(())
    }
}
