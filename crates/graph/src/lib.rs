//! The job as a graph, and the plan that runs: pure functions from one to the other.
//!
//! [`LogicalGraph`] is what a job file or a program says; [`plan`] turns it into chains, edges and
//! subtasks. Nothing here starts anything.

mod draw;
mod logical;
mod physical;
mod regions;
mod show;
mod validate;

pub use draw::{Notes, dot, svg};
pub use logical::{
    Endpoint, GraphError, Input, LogicalGraph, OnError, OperatorNode, Partitioning, SinkNode,
    SourceNode,
};
pub use physical::{Chain, ChainNode, Edge, EdgeId, Link, NodeKind, Plan, Port, VertexId, plan};
