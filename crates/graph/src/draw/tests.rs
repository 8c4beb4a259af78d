//! Tests of `draw`.

use proptest::prelude::*;

use super::{
    dot::quoted,
    layout::{Layout, Point, Rect},
    *,
};
use crate::{OnError, physical::tests::random_graph, plan, validate::tests::graph};

fn planned(text: &str) -> Plan {
    plan(&graph(text)).unwrap()
}

/// Whether two boxes have a point in common.
fn overlap(a: &Rect, b: &Rect) -> bool {
    a.x < b.right() && b.x < a.right() && a.y < b.bottom() && b.y < a.bottom()
}

fn holds(outer: &Rect, inner: &Rect) -> bool {
    outer.x <= inner.x
        && outer.y <= inner.y
        && inner.right() <= outer.right()
        && inner.bottom() <= outer.bottom()
}

/// Points of a line of straight pieces that bends between them.
fn points(straights: &[(Point, Point)]) -> Vec<Point> {
    let mut all = Vec::new();
    let mut last: Option<Point> = None;
    for (from, to) in straights {
        if let Some(before) = last {
            for step in 0..=40_i32 {
                let t = f64::from(step) / 40.0;
                // The curve of `bend`: level at both ends, its two handles in the middle.
                let (s, middle) = (1.0 - t, (before.x + from.x) as f64 / 2.0);
                let ends = s * s * s * before.x as f64 + t * t * t * from.x as f64;
                let x = ends + 3.0 * (s * s * t + s * t * t) * middle;
                let y = (s * s * s + 3.0 * s * s * t) * before.y as f64
                    + (t * t * t + 3.0 * s * t * t) * from.y as f64;
                all.push(Point {
                    x: x.round() as i64,
                    y: y.round() as i64,
                });
            }
        }
        all.extend([*from, *to]);
        last = Some(*to);
    }
    all
}

fn is_inside(Point { x, y }: Point, rect: &Rect) -> bool {
    rect.x < x && x < rect.right() && rect.y < y && y < rect.bottom()
}

fn assert_drawn_well(plan: &Plan, layout: &Layout) {
    let page = Rect {
        x: 0,
        y: 0,
        width: layout.width,
        height: layout.height,
    };
    for (at, chain) in layout.chains.iter().enumerate() {
        assert!(holds(&page, &chain.rect), "{:?} of {page:?}", chain.rect);
        for other in &layout.chains[at + 1..] {
            assert!(
                !overlap(&chain.rect, &other.rect),
                "{chain:?} and {other:?}"
            );
        }
        for (at, node) in chain.nodes.iter().enumerate() {
            assert!(holds(&chain.rect, &node.rect), "{chain:?}");
            for other in &chain.nodes[at + 1..] {
                assert!(!overlap(&node.rect, &other.rect), "{chain:?}");
            }
        }
    }
    assert_eq!(layout.routes.len(), plan.edges.len());
    for route in &layout.routes {
        let all = points(&route.straights);
        // The last piece leads into the target, up to its head.
        for point in &all[..all.len() - 1] {
            assert!(point.x <= page.right() && point.y <= page.bottom() && point.y >= 0);
            for chain in &layout.chains {
                assert!(
                    !is_inside(*point, &chain.rect),
                    "{route:?} in {:?}",
                    chain.rect
                );
            }
        }
    }
    for chain in &layout.chains {
        let links = chain
            .links
            .iter()
            .map(|(from, to)| vec![(*from, *from), (*to, *to)]);
        let ports = chain
            .ports
            .iter()
            .map(|port| vec![(port.from, port.from), (port.level, port.at)]);
        for point in links.chain(ports).flat_map(|straights| points(&straights)) {
            for node in &chain.nodes {
                assert!(!is_inside(point, &node.rect), "{chain:?}");
            }
        }
    }
}

/// Every tag is closed, in order. Not all of XML, but all that is written here.
fn assert_well_formed(svg: &str) {
    let mut open = Vec::new();
    for tag in svg.split('<').skip(1) {
        let (tag, text) = tag.split_once('>').expect("a tag ends");
        assert!(!text.contains('>'), "{text}");
        let name = tag.split([' ', '/']).next().unwrap_or_default();
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name));
        } else if !tag.ends_with('/') {
            open.push(name);
        }
        assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
    }
    assert!(open.is_empty(), "{open:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn boxes_do_not_overlap_and_no_line_runs_through_one(graph in random_graph()) {
        let plan = plan(&graph).unwrap();
        assert_drawn_well(&plan, &Layout::of(&plan, &Notes::default()));
    }

    #[test]
    fn a_picture_has_every_node_and_edge_once(graph in random_graph()) {
        let plan = plan(&graph).unwrap();
        let svg = svg(&plan, &Notes::default());
        assert_well_formed(&svg);
        let dot = dot(&plan, &Notes::default());
        for node in plan.chains.iter().flat_map(|chain| &chain.nodes) {
            prop_assert_eq!(svg.matches(&format!(">{}</text>", node.name)).count(), 1);
            prop_assert_eq!(dot.matches(&format!("    \"{}\" [", node.name)).count(), 1);
        }
        prop_assert_eq!(svg.matches("class=\"edge").count(), plan.edges.len());
        let nodes = plan.chains.iter().flat_map(|chain| &chain.nodes);
        let chained = nodes.flat_map(|node| &node.links);
        let chained = chained.filter(|(_, link)| matches!(link, Link::Chained(_))).count();
        prop_assert_eq!(dot.matches(" -> ").count(), chained + plan.edges.len());
    }

    #[test]
    fn any_note_is_written_so_that_the_picture_can_be_read(note in any::<String>()) {
        let plan = planned("s\nout <- ~s");
        let mut notes = Notes::default();
        notes.nodes.insert(Name::new("s").unwrap(), note.clone());
        assert_well_formed(&svg(&plan, &notes));
        // What is quoted ends at its only quote that is not escaped.
        let quoted = quoted(&note);
        let inside = quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap();
        prop_assert!(!inside.replace("\\\\", "").replace("\\\"", "").contains('"'));
        prop_assert_eq!(inside.replace("\\\\", "").ends_with('\\'), false);
    }
}

#[test]
fn a_line_that_passes_columns_goes_around_what_stands_in_them() {
    let plan = planned("s\na <- ~s\nb <- ~a\nc <- ~b\nd <- c, ~s\nout <- ~d");
    let layout = Layout::of(&plan, &Notes::default());
    assert_drawn_well(&plan, &layout);
    let long = &layout.routes[plan.edges.iter().position(|e| e.input == 1).unwrap()];
    assert_eq!(long.label, "rebalance, input 1");
    // From the source, by three columns, into the head.
    assert_eq!(long.straights.len(), 5);
}

#[test]
fn lines_do_not_cross_where_they_need_not() {
    // Written in the order that crosses most.
    let plan = planned("s\nt\nu\na <- ~u\nb <- ~t\nc <- ~s");
    let layout = Layout::of(&plan, &Notes::default());
    let mut ends: Vec<(i64, i64)> = layout
        .routes
        .iter()
        .map(|route| (route.straights[0].0.y, route.straights[1].1.y))
        .collect();
    ends.sort_unstable();
    assert!(ends.is_sorted_by(|a, b| a.1 < b.1), "{ends:?}");
}

#[test]
fn a_source_stands_right_before_what_reads_it() {
    let plan = planned("s\na <- ~s\nb <- ~a\nt\nc <- b, ~t");
    let layout = Layout::of(&plan, &Notes::default());
    let left = |name: &str| {
        let at = plan
            .chains
            .iter()
            .position(|chain| chain.name.as_str() == name);
        layout.chains[at.unwrap()].rect.x
    };
    assert_eq!(left("t"), left("b"));
    assert!(left("s") < left("a") && left("a") < left("b") && left("b") < left("c"));
}

#[test]
fn side_outputs_are_named_where_their_names_are_known() {
    let plan = planned("s\na <- ~s\nb <- ~a.1");
    let mut notes = Notes::default();
    assert!(svg(&plan, &notes).contains(">output 1: rebalance</text>"));
    notes
        .outputs
        .insert(Name::new("a").unwrap(), vec!["late".into()]);
    assert!(svg(&plan, &notes).contains(">late: rebalance</text>"));
    assert!(dot(&plan, &notes).contains("\"a\" -> \"b\" [label=\"late: rebalance\"];"));
}

#[test]
fn dead_letters_are_drawn_apart() {
    let mut graph = graph("s\na <- ~s\nout <- ~a\nout-2 <- ~a");
    graph.operators[0].on_error = OnError::DeadLetter(Name::new("out-2").unwrap());
    let plan = plan(&graph).unwrap();
    assert_drawn_well(&plan, &Layout::of(&plan, &Notes::default()));
    let svg = svg(&plan, &Notes::default());
    assert_eq!(svg.matches(">dead letters</text>").count(), 1);
    assert_eq!(svg.matches("class=\"edge dead\"").count(), 1);
    let dot = dot(&plan, &Notes::default());
    assert!(
        dot.contains("\"a\" -> \"out-2\" [label=\"dead letters\", style=dashed];"),
        "{dot}"
    );
}

#[test]
fn a_chain_is_a_cluster() {
    let mut notes = Notes::default();
    notes
        .nodes
        .insert(Name::new("s").unwrap(), "a \"b\" \\c".into());
    assert_eq!(
        dot(&planned("s\na <- s\nout <- ~a"), &notes),
        "digraph \"job\" {\n  \
         graph [rankdir=LR, fontname=\"sans-serif\", labelloc=t, label=\"job (max-parallelism 8)\"];\n  \
         node [shape=box, style=\"rounded,filled\", fontname=\"sans-serif\"];\n  \
         edge [fontname=\"sans-serif\", fontsize=11];\n  \
         subgraph \"cluster_0\" {\n    \
         style=rounded; color=gray50; fontsize=11; label=\"parallelism 2\";\n    \
         \"s\" [label=\"s\\na \\\"b\\\" \\\\c\", class=\"source\", fillcolor=\"#d9f2e3\"];\n    \
         \"a\" [label=\"a\", class=\"operator\", fillcolor=\"#dde8fb\"];\n    \
         \"s\" -> \"a\";\n  \
         }\n  \
         subgraph \"cluster_1\" {\n    \
         style=rounded; color=gray50; fontsize=11; label=\"parallelism 2\";\n    \
         \"out\" [label=\"out\", class=\"sink\", fillcolor=\"#fbe8d3\"];\n  \
         }\n  \
         \"a\" -> \"out\" [label=\"rebalance\"];\n\
         }\n"
    );
}
