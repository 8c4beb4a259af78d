//! The names of a job's nodes as they are written, whether or not the nodes are right.

use super::{input, operator::dead_letters_of};
use crate::{
    code,
    report::Report,
    source::Span,
    wording::{nearest, quote, there_are},
    yaml::{Entry, Node, Value},
};

/// All names, by section.
pub(super) struct Names<'a> {
    sources: &'a [Entry],
    operators: &'a [Entry],
    sinks: &'a [Entry],
}

impl<'a> Names<'a> {
    pub(super) fn of(root: &'a Node) -> Self {
        let section = |key: &str| match root.entry(key).map(|entry| &entry.node.value) {
            Some(Value::Map(entries)) => entries.as_slice(),
            _ => &[],
        };
        Self {
            sources: section("sources"),
            operators: section("operators"),
            sinks: section("sinks"),
        }
    }

    fn all(&self) -> impl Iterator<Item = &'a Entry> + use<'a> {
        self.sources.iter().chain(self.operators).chain(self.sinks)
    }

    /// The node of that name.
    pub(super) fn named(&self, name: &str) -> Option<&'a Entry> {
        self.all().find(|entry| entry.key == name)
    }

    /// This key of all nodes that have this text there.
    pub(super) fn with_text(&self, key: &str, text: &str) -> impl Iterator<Item = &'a Entry> {
        let has =
            move |entry: &&Entry| matches!(&entry.node.value, Value::Text(own) if own == text);
        self.all()
            .filter_map(|entry| entry.node.entry(key))
            .filter(has)
    }

    /// Nodes share one namespace (D3).
    pub(super) fn check_unique(&self, report: &mut Report) {
        let mut seen: Vec<&Entry> = Vec::new();
        for entry in self.all() {
            let Some(first) = seen.iter().find(|first| first.key == entry.key) else {
                seen.push(entry);
                continue;
            };
            let message = format!("the name {} is used twice", quote(&entry.key));
            report
                .error(code::NAME, message)
                .at(entry.key_span, "again here")
                .at(first.key_span, "first here")
                .help("sources, operators and sinks share one namespace");
        }
    }

    /// Whether an input can read `node`, or one of its side outputs; if not, that is reported.
    pub(super) fn check_read(
        &self,
        node: &str,
        side: Option<&str>,
        span: Span,
        report: &mut Report,
    ) -> Option<()> {
        let has = |section: &[Entry]| section.iter().any(|entry| entry.key == node);
        let mut unknown = |message: String, label: String, help: Option<String>| {
            let error = report.error(code::UNKNOWN_INPUT, message);
            error.at(span, label).help_maybe(help);
            None
        };
        if has(self.operators) && side != Some("") || has(self.sources) && side.is_none() {
            return Some(());
        }
        let name = quote(node);
        if has(self.operators) {
            let message = format!("no side output of {name} is named");
            return unknown(message, "a name is missing behind the `.`".into(), None);
        }
        if has(self.sources) {
            let message = format!("source {name} has no side outputs");
            return unknown(message, format!("did you mean {name}?"), None);
        }
        let message = format!("there is no source and no operator {name}");
        if has(self.sinks) {
            return unknown(
                message,
                "this is a sink, which nothing can read".into(),
                None,
            );
        }
        let all = self.sources.iter().chain(self.operators);
        let all: Vec<&str> = all.map(|entry| entry.key.as_str()).collect();
        if let Some(near) = nearest(node, all.iter().copied()) {
            return unknown(message, format!("did you mean {}?", quote(near)), None);
        }
        unknown(message, "unknown".into(), few(&all))
    }

    /// Whether dead letters can go to `sink`; if not, that is reported.
    pub(super) fn check_dead_letters(
        &self,
        sink: &str,
        span: Span,
        report: &mut Report,
    ) -> Option<()> {
        let of = |section: &'a [Entry]| section.iter().find(|entry| entry.key == sink);
        let name = quote(sink);
        if let Some(found) = of(self.sinks) {
            let Some(from) = found.node.entry(input::FROM_OF_SINK.name) else {
                return Some(());
            };
            let message = format!("sink {name} reads rows and takes no dead letters");
            report
                .error(code::CONTRADICTION, message)
                .at(span, "dead letters would be mixed with them")
                .at(from.key_span, "it reads rows here")
                .help("give dead letters a sink of their own, without `from`");
            return None;
        }
        let message = format!("there is no sink {name} for dead letters");
        let error = report.error(code::UNKNOWN_SINK, message);
        if of(self.operators).is_some() {
            error.at(span, "this is an operator: dead letters go to a sink");
            return None;
        }
        if of(self.sources).is_some() {
            error.at(span, "this is a source: dead letters go to a sink");
            return None;
        }
        let all: Vec<&str> = self.sinks.iter().map(|entry| entry.key.as_str()).collect();
        match (nearest(sink, all.iter().copied()), all.is_empty()) {
            (Some(near), _) => error.at(span, format!("did you mean {}?", quote(near))),
            (None, true) => error
                .at(span, "unknown")
                .help("the job has no sinks: write one under `sinks`, without `from`"),
            (None, false) => error.at(span, "unknown").help_maybe(few(&all)),
        };
        None
    }

    /// Whether an operator names a sink for its dead letters, or seems to mean it.
    pub(super) fn takes_dead_letters(&self, sink: &str) -> bool {
        let all = || self.sinks.iter().map(|entry| entry.key.as_str());
        let is_meant = |named: &str| match all().any(|sink| sink == named) {
            true => named == sink,
            false => nearest(named, all()) == Some(sink),
        };
        let mut named = self.operators.iter().filter_map(dead_letters_of);
        named.any(is_meant)
    }
}

/// What there is, where that is not too much.
fn few(all: &[&str]) -> Option<String> {
    let few = !all.is_empty() && all.len() <= MAX_TOLD;
    few.then(|| there_are(all))
}

/// The most names that are told where none is near.
const MAX_TOLD: usize = 10;
