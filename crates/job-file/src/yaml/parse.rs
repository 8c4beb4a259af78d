//! From YAML events to a tree.

use std::collections::HashMap;

use granit_parser::{Event, Options, Parser, ScalarStyle, ScanError, StrInput};

use super::{Entry, Node, Value};
use crate::{code, report::Report, source::Span};

/// The largest job file.
pub(crate) const MAX_BYTES: usize = 1 << 20;
/// The deepest nesting. A job file has some six levels; `config` may need more.
const MAX_DEPTH: usize = 64;
/// The most values, copies made by aliases included.
const MAX_NODES: usize = 100_000;

/// The tree of the `text` that begins at byte `offset` of a document, where there is one.
/// Duplicate keys are reported and left out; any other error ends the reading.
pub(crate) fn parse(
    text: &str,
    document: usize,
    offset: usize,
    report: &mut Report,
) -> Option<Node> {
    let mut options = Options::default();
    options.set_emit_comments(false);
    let parser = Parser::new_from_str_with_options(text, options);
    let mut reader = Reader {
        parser,
        text,
        document,
        offset,
        anchors: HashMap::new(),
        nodes: 0,
        report,
    };
    reader.document().ok()
}

/// The error has been reported.
struct Reported;

struct Reader<'t, 'r> {
    parser: Parser<'t, StrInput<'t>>,
    text: &'t str,
    document: usize,
    offset: usize,
    /// Complete anchored values, with how many values each is.
    anchors: HashMap<usize, (Node, usize)>,
    nodes: usize,
    report: &'r mut Report,
}

impl<'t> Reader<'t, '_> {
    /// The only document of the stream; `Null` where there is none.
    fn document(&mut self) -> Result<Node, Reported> {
        let mut root = None;
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamEnd => break,
                Event::DocumentStart(..) if root.is_some() => {
                    return Err(self.refuse(span, "a second document", ONE_DOCUMENT));
                }
                Event::StreamStart | Event::DocumentStart(..) | Event::DocumentEnd => {}
                event => root = Some(self.node(event, span, 0)?),
            }
        }
        let end = self.offset + self.text.len();
        let span = Span {
            document: self.document,
            start: end,
            end,
        };
        Ok(root.unwrap_or(Node {
            span,
            value: Value::Null,
        }))
    }

    fn node(&mut self, event: Event<'t>, span: Span, depth: usize) -> Result<Node, Reported> {
        if depth > MAX_DEPTH {
            let help = format!("at most {MAX_DEPTH} levels are read");
            return Err(self.refuse(span, "nesting without end", &help));
        }
        let before = self.nodes;
        self.count(1, span)?;
        if event.tag().is_some() {
            return Err(self.refuse(
                span,
                "a tag",
                "leave the tag out; types are known by the key",
            ));
        }
        let anchor = event.anchor_id();
        let node = match event {
            Event::Scalar(text, style, ..) => {
                let value = match style {
                    ScalarStyle::Plain => Value::of_plain(&text),
                    _ => Value::Text(text.into_owned()),
                };
                Node { span, value }
            }
            Event::SequenceStart(..) => self.list(span, depth)?,
            Event::MappingStart(..) => self.map(span, depth)?,
            Event::Alias(id) => self.alias(id, span)?,
            other => {
                let message = format!("cannot read this: {other:?}");
                self.report.error(code::SYNTAX, message).at(span, "");
                return Err(Reported);
            }
        };
        if let Some(id) = anchor {
            self.anchors.insert(id, (node.clone(), self.nodes - before));
        }
        Ok(node)
    }

    fn list(&mut self, start: Span, depth: usize) -> Result<Node, Reported> {
        let mut list = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if matches!(event, Event::SequenceEnd) {
                let span = self.whole(start, span, list.last());
                return Ok(Node {
                    span,
                    value: Value::List(list),
                });
            }
            list.push(self.node(event, span, depth + 1)?);
        }
    }

    fn map(&mut self, start: Span, depth: usize) -> Result<Node, Reported> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut places: HashMap<String, usize> = HashMap::new();
        loop {
            let (event, key_span) = self.next()?;
            if matches!(event, Event::MappingEnd) {
                let span = self.whole(start, key_span, entries.last().map(|entry| &entry.node));
                return Ok(Node {
                    span,
                    value: Value::Map(entries),
                });
            }
            let key = self.key(&event, key_span)?;
            let (event, span) = self.next()?;
            let node = self.node(event, span, depth + 1)?;
            if let Some(&first) = places.get(&key) {
                let first = entries[first].key_span;
                self.report
                    .error(code::DUPLICATE_KEY, format!("`{key}` is there twice"))
                    .at(key_span, "again here")
                    .at(first, "first here")
                    .help("remove one of the two; otherwise one of them would silently be ignored");
                continue;
            }
            places.insert(key.clone(), entries.len());
            entries.push(Entry {
                key,
                key_span,
                node,
            });
        }
    }

    fn key(&mut self, event: &Event<'t>, span: Span) -> Result<String, Reported> {
        match event {
            Event::Scalar(text, style, 0, None) => {
                if &**text == "<<" && matches!(style, ScalarStyle::Plain) {
                    return Err(self.refuse(span, "a merge key", "write the keys out"));
                }
                Ok(text.clone().into_owned())
            }
            _ => Err(self.refuse(span, "a key that is not plain text", "keys are plain words")),
        }
    }

    /// A copy of what was anchored. Its spans stay where it was written.
    fn alias(&mut self, id: usize, span: Span) -> Result<Node, Reported> {
        let Some((node, size)) = self.anchors.get(&id) else {
            let help = "an alias can stand for a value that is complete before it, not for one \
                        that it is part of";
            return Err(self.refuse(span, "an alias inside its own anchor", help));
        };
        let (node, size) = (node.clone(), *size);
        self.count(size, span)?;
        Ok(node)
    }

    fn count(&mut self, more: usize, span: Span) -> Result<(), Reported> {
        self.nodes = self.nodes.saturating_add(more);
        if self.nodes > MAX_NODES {
            let help = format!("at most {MAX_NODES} values are read, copies by aliases included");
            return Err(self.refuse(span, "so many values", &help));
        }
        Ok(())
    }

    fn refuse(&mut self, span: Span, what: &str, help: &str) -> Reported {
        let message = format!("{what} has no place in a job file");
        self.report
            .error(code::YAML_FEATURE, message)
            .at(span, "")
            .help(help);
        Reported
    }

    /// From where a collection begins to where it ends. A block ends with its last value, not with
    /// the line after it.
    fn whole(&self, start: Span, end: Span, last: Option<&Node>) -> Span {
        let flow = self
            .byte(start.start)
            .is_some_and(|byte| matches!(byte, b'{' | b'['));
        let end = match last {
            Some(last) if !flow && last.span.document == start.document => {
                last.span.end.max(start.end)
            }
            Some(_) | None => end.end,
        };
        Span {
            end: end.max(start.start),
            ..start
        }
    }

    fn byte(&self, at: usize) -> Option<u8> {
        self.text
            .as_bytes()
            .get(at.checked_sub(self.offset)?)
            .copied()
    }

    fn next(&mut self) -> Result<(Event<'t>, Span), Reported> {
        match self.parser.next_event() {
            Some(Ok((event, span))) => {
                let end = self.text.len();
                let start = span.start.byte_offset().unwrap_or(end).min(end);
                let end = span.end.byte_offset().unwrap_or(end).clamp(start, end);
                Ok((event, self.span(start, end)))
            }
            Some(Err(error)) => Err(self.syntax(&error)),
            None => Ok((
                Event::StreamEnd,
                self.span(self.text.len(), self.text.len()),
            )),
        }
    }

    fn span(&self, start: usize, end: usize) -> Span {
        Span {
            document: self.document,
            start: self.offset + start,
            end: self.offset + end,
        }
    }

    fn syntax(&mut self, error: &ScanError) -> Reported {
        let end = self.text.len();
        let start = error.marker().byte_offset().unwrap_or(end).min(end);
        let width = self.text[start..].chars().next().filter(|c| *c != '\n');
        let span = self.span(start, start + width.map_or(0, char::len_utf8));
        let mut built = self
            .report
            .error(code::SYNTAX, format!("not YAML: {}", error.info()));
        built = built.at(span, "here or shortly before");
        let line_start = self.text[..start].rfind('\n').map_or(0, |at| at + 1);
        let line = self.text[line_start..].lines().next().unwrap_or_default();
        if line.trim_start_matches(' ').starts_with('\t') || width == Some('\t') {
            built.help("YAML is indented with spaces; replace the tab");
        }
        Reported
    }
}

const ONE_DOCUMENT: &str = "a job file holds one job; write the other one to a file of its own";
