//! A plan as an SVG that stands alone, for light and dark surroundings.

use std::fmt::{self, Write as _};

use super::{
    Notes,
    chain::ChainBox,
    kind,
    layout::{Layout, Point, Rect, Route},
};
use crate::{Chain, Plan};

/// Colours by class; those of dark surroundings are further down, for few programs that draw SVG
/// know variables.
const STYLE: &str = "\
.page{fill:#fff}
text{font-family:ui-monospace,'DejaVu Sans Mono',Menlo,Consolas,monospace;fill:#1f2430}
.job{font-size:16px;font-weight:600}
.small,.note,.label{font-size:11px;fill:#5b6472}
.name{font-size:13px;font-weight:600}
.chain{fill:#f5f7fa;stroke:#c3cad5}
.node{stroke-width:1.2}
.source{fill:#e3f5ea;stroke:#3f9d68}
.operator{fill:#e4edfc;stroke:#4a7fd1}
.sink{fill:#fcecd9;stroke:#cf8a3a}
.link{fill:none;stroke:#9aa4b2;stroke-width:1.4}
.edge{fill:none;stroke:#5b6472;stroke-width:1.6}
.dead{stroke-dasharray:5 4}
.tip{fill:#5b6472}
@media (prefers-color-scheme:dark){
.page{fill:#14171c}
text{fill:#e6e9ee}
.small,.note,.label{fill:#a4adba}
.chain{fill:#1c2129;stroke:#3a4351}
.source{fill:#17352a;stroke:#57b987}
.operator{fill:#1b2d4d;stroke:#6d9eeb}
.sink{fill:#41301b;stroke:#e0a35a}
.link{stroke:#6b7686}
.edge{stroke:#a4adba}
.tip{fill:#a4adba}
}";

/// A picture of the plan: a box for each chain with its nodes in it, a line for each edge.
#[must_use]
pub fn svg(plan: &Plan, notes: &Notes) -> String {
    let mut out = String::new();
    // Writing to a `String` does not fail.
    let _ = write(&mut out, plan, notes);
    out
}

fn write(out: &mut String, plan: &Plan, notes: &Notes) -> fmt::Result {
    let layout = Layout::of(plan, notes);
    let Layout { width, height, .. } = layout;
    let job = escaped(plan.job.as_str());
    writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"plan of job {job}\">"
    )?;
    writeln!(out, "<title>plan of job {job}</title>")?;
    writeln!(out, "<style>\n{STYLE}\n</style>")?;
    writeln!(
        out,
        "<defs><marker id=\"tip\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"7\" \
         markerHeight=\"7\" orient=\"auto\"><path class=\"tip\" d=\"M0 0.5L8 4L0 7.5z\"/></marker>\
         </defs>"
    )?;
    writeln!(
        out,
        "<rect class=\"page\" width=\"{width}\" height=\"{height}\"/>"
    )?;
    writeln!(
        out,
        "<text class=\"job\" x=\"24\" y=\"36\">{job}<tspan class=\"small\" dx=\"10\">\
         max-parallelism {}</tspan></text>",
        plan.max_parallelism
    )?;
    for (chain, place) in plan.chains.iter().zip(&layout.chains) {
        write_chain(out, chain, place, notes)?;
    }
    layout
        .routes
        .iter()
        .try_for_each(|route| write_route(out, route))?;
    writeln!(out, "</svg>")
}

fn write_chain(out: &mut String, chain: &Chain, place: &ChainBox, notes: &Notes) -> fmt::Result {
    writeln!(out, "<g>")?;
    writeln!(out, "{}", rect(&place.rect, "chain", 10))?;
    writeln!(
        out,
        "<text class=\"small\" x=\"{}\" y=\"{}\">parallelism {}</text>",
        place.rect.x + 14,
        place.rect.y + 17,
        chain.parallelism
    )?;
    for (from, to) in &place.links {
        let tip = " marker-end=\"url(#tip)\"";
        writeln!(
            out,
            "<path class=\"link\" d=\"{}\"{tip}/>",
            curve(*from, *to)
        )?;
    }
    for port in &place.ports {
        let mut path = curve(port.from, port.level);
        if port.level != port.at {
            write!(path, "L{} {}", port.at.x, port.at.y)?;
        }
        writeln!(out, "<path class=\"link\" d=\"{path}\"/>")?;
    }
    for (node, place) in chain.nodes.iter().zip(&place.nodes) {
        let kind = kind(&node.kind);
        let name = escaped(node.name.as_str());
        let whole = notes.node(&node.name).map(escaped).unwrap_or_default();
        let about = format!("{kind} {name} {whole}");
        writeln!(
            out,
            "<g><title>{}</title>{}",
            about.trim_end(),
            rect(&place.rect, &format!("node {kind}"), 6)
        )?;
        let (x, y) = (place.rect.x + 12, place.rect.y);
        let baseline = y + if place.note.is_some() { 20 } else { 28 };
        writeln!(
            out,
            "<text class=\"name\" x=\"{x}\" y=\"{baseline}\">{name}</text>"
        )?;
        if let Some(note) = &place.note {
            let note = escaped(note);
            writeln!(
                out,
                "<text class=\"note\" x=\"{x}\" y=\"{}\">{note}</text>",
                y + 36
            )?;
        }
        writeln!(out, "</g>")?;
    }
    writeln!(out, "</g>")
}

fn write_route(out: &mut String, route: &Route) -> fmt::Result {
    let mut path = String::new();
    let mut last: Option<Point> = None;
    for (from, to) in &route.straights {
        match last {
            None => write!(path, "M{} {}", from.x, from.y)?,
            Some(before) => bend(&mut path, before, *from)?,
        }
        write!(path, "L{} {}", to.x, to.y)?;
        last = Some(*to);
    }
    let class = if route.is_dead { "edge dead" } else { "edge" };
    writeln!(
        out,
        "<path class=\"{class}\" d=\"{path}\" marker-end=\"url(#tip)\"/>"
    )?;
    // Above its line, so that it needs no background of its own.
    let (x, y) = (route.label_at.x, route.label_at.y - 5);
    let label = escaped(&route.label);
    writeln!(
        out,
        "<text class=\"label\" x=\"{x}\" y=\"{y}\">{label}</text>"
    )
}

fn rect(rect: &Rect, class: &str, radius: i64) -> String {
    let Rect {
        x,
        y,
        width,
        height,
    } = rect;
    format!(
        "<rect class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" \
         rx=\"{radius}\"/>"
    )
}

fn curve(from: Point, to: Point) -> String {
    let mut path = format!("M{} {}", from.x, from.y);
    // Writing to a `String` does not fail.
    let _ = bend(&mut path, from, to);
    path
}

/// Goes on to a point, level at both ends.
fn bend(path: &mut String, from: Point, to: Point) -> fmt::Result {
    if from.y == to.y {
        return write!(path, "L{} {}", to.x, to.y);
    }
    let middle = i64::midpoint(from.x, to.x);
    write!(
        path,
        "C{middle} {} {middle} {} {} {}",
        from.y, to.y, to.x, to.y
    )
}

/// Text in XML. What XML has no way to write is left out.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c if c.is_control() => out.push(' '),
            '\u{fffe}' | '\u{ffff}' => {}
            c => out.push(c),
        }
    }
    out
}
