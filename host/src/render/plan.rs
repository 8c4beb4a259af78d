//! A plan for people and for programs; what is drawn of it is in `weir-graph`.

use serde_json::{Value, json};
use weir_graph::{Chain, Edge, NodeKind, Notes, Plan, Port};

/// The plan in lines.
pub(crate) fn plan_text(plan: &Plan) -> String {
    let mut lines = vec![format!(
        "plan of {} (max-parallelism {})",
        plan.job, plan.max_parallelism
    )];
    lines.extend(plan.to_string().lines().map(|line| format!("  {line}")));
    lines.join("\n")
}

/// The plan for programs.
pub(crate) fn plan_document(plan: &Plan, notes: &Notes) -> Value {
    let chain = |chain: &Chain| {
        let nodes: Vec<Value> = chain
            .nodes
            .iter()
            .map(|node| {
                let kind = match node.kind {
                    NodeKind::Source { .. } => "source",
                    NodeKind::Operator { .. } => "operator",
                    NodeKind::Sink => "sink",
                };
                json!({ "name": node.name.as_str(), "kind": kind })
            })
            .collect();
        json!({ "nodes": nodes, "parallelism": chain.parallelism.get() })
    };
    let edge = |edge: &Edge| {
        let from = &plan.chains[edge.from.0].nodes[edge.from_node].name;
        let side = match edge.port {
            Port::Output(output) => notes.output(from, output),
            Port::DeadLetters => None,
        };
        json!({
            "from": from.as_str(),
            "side_output": side,
            "dead_letters": edge.port == Port::DeadLetters,
            "to": plan.chains[edge.to.0].name.as_str(),
            "input": edge.input,
            "partitioning": edge.partitioning.as_str(),
        })
    };
    json!({
        "job": plan.job.as_str(),
        "max_parallelism": plan.max_parallelism.get(),
        "chains": plan.chains.iter().map(chain).collect::<Vec<_>>(),
        "edges": plan.edges.iter().map(edge).collect::<Vec<_>>(),
    })
}
