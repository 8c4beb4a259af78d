//! From YAML events to a tree.

use std::collections::HashMap;

use granit_parser::{ErrorKind, Event, Options, Parser, ScalarStyle, StrInput};

use super::{Entry, Node, Value, syntax};
use crate::{code, report::Report, source::Span, wording::quote};

/// The largest job file.
pub(crate) const MAX_BYTES: usize = 1 << 20;
/// The deepest nesting, aliases included. A job file has some six levels; `config` may need more.
pub(crate) const MAX_DEPTH: usize = 64;
/// The most values, copies made by aliases included.
const MAX_NODES: usize = 100_000;
/// The most bytes of text in them: a long text and many aliases of it are as large as many values.
const MAX_TEXT: usize = 8 * MAX_BYTES;

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
        size: Size::default(),
        deepest: 0,
        report,
    };
    reader.document().ok()
}

/// The error has been reported.
struct Reported;

/// What a tree takes.
#[derive(Clone, Copy, Debug, Default)]
struct Size {
    nodes: usize,
    text: usize,
}

/// A value that aliases may stand for.
struct Anchored {
    node: Node,
    size: Size,
    /// Levels below it.
    height: usize,
}

struct Reader<'t, 'r> {
    parser: Parser<'t, StrInput<'t>>,
    text: &'t str,
    document: usize,
    offset: usize,
    /// Anchored values that are complete.
    anchors: HashMap<usize, Anchored>,
    /// Of all that was read so far, copies included.
    size: Size,
    /// The deepest level since it was last looked at.
    deepest: usize,
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
                    let what = "a job file is one document";
                    return Err(self.refuse(span, what, "a second one begins here", ONE_DOCUMENT));
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
        self.check_depth(depth, span)?;
        let before = self.size;
        let above = std::mem::replace(&mut self.deepest, depth);
        self.count(Size { nodes: 1, text: 0 }, span)?;
        let anchor = event.anchor_id();
        let node = match event {
            Event::Scalar(text, style, ..) => {
                let copied = Size {
                    nodes: 0,
                    text: text.len(),
                };
                self.count(copied, span)?;
                let value = match style {
                    ScalarStyle::Plain => Value::of_plain(&text),
                    _ => Value::Text(text.into_owned()),
                };
                Node { span, value }
            }
            Event::SequenceStart(..) => self.list(span, depth)?,
            Event::MappingStart(..) => self.map(span, depth)?,
            Event::Alias(id) => self.alias(id, span, depth)?,
            other => {
                let message = format!("cannot read this: {other:?}");
                self.report.error(code::SYNTAX, message).at(span, "");
                return Err(Reported);
            }
        };
        if let Some(id) = anchor {
            let size = Size {
                nodes: self.size.nodes - before.nodes,
                text: self.size.text - before.text,
            };
            // What is kept for aliases is a copy too.
            self.count(size, span)?;
            let height = self.deepest - depth;
            let node = node.clone();
            self.anchors.insert(id, Anchored { node, size, height });
        }
        self.deepest = self.deepest.max(above);
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
                let is_plain = matches!(style, ScalarStyle::Plain);
                if &**text == "<<" && is_plain {
                    return Err(self.refuse(span, "merge keys are not read", "", NO_MERGE));
                }
                // The parser would take it for `~`.
                if span.start == span.end && is_plain {
                    let label = "nothing stands before the `:`";
                    return Err(self.refuse(span, NO_KEY, label, KEY_HELP));
                }
                self.count(
                    Size {
                        nodes: 0,
                        text: text.len(),
                    },
                    span,
                )?;
                Ok(text.clone().into_owned())
            }
            _ => Err(self.refuse(span, NO_KEY, "this is something else", KEY_HELP)),
        }
    }

    /// A copy of what was anchored. Its spans stay where it was written.
    fn alias(&mut self, id: usize, span: Span, depth: usize) -> Result<Node, Reported> {
        let Some(&Anchored { size, height, .. }) = self.anchors.get(&id) else {
            let help = "an alias stands for a value that is complete before it";
            return Err(self.refuse(span, "an alias inside of what it stands for", "", help));
        };
        self.check_depth(depth + height, span)?;
        self.deepest = self.deepest.max(depth + height);
        self.count(size, span)?;
        let copy = self.anchors.get(&id).map(|anchored| anchored.node.clone());
        copy.ok_or(Reported)
    }

    fn check_depth(&mut self, depth: usize, span: Span) -> Result<(), Reported> {
        if depth > MAX_DEPTH {
            let help =
                format!("at most {MAX_DEPTH} levels are read, those behind aliases included");
            return Err(self.refuse(span, "values are nested too deep", "", &help));
        }
        Ok(())
    }

    fn count(&mut self, more: Size, span: Span) -> Result<(), Reported> {
        self.size.nodes = self.size.nodes.saturating_add(more.nodes);
        self.size.text = self.size.text.saturating_add(more.text);
        if self.size.nodes > MAX_NODES || self.size.text > MAX_TEXT {
            let help = format!(
                "at most {MAX_NODES} values with {MAX_TEXT} bytes of text are read, and an alias \
                 counts as what it stands for"
            );
            return Err(self.refuse(span, "too many values", "up to here", &help));
        }
        Ok(())
    }

    fn refuse(&mut self, span: Span, message: &str, label: &str, help: &str) -> Reported {
        self.report
            .error(code::YAML_FEATURE, message)
            .at(span, label)
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
                if event.tag().is_some() {
                    let tag = span.tag_start().and_then(|mark| mark.byte_offset());
                    return Err(self.tag(tag.unwrap_or(start), start));
                }
                Ok((event, self.span(start, end)))
            }
            Some(Err(error)) => {
                let end = self.text.len();
                let at = error.marker().byte_offset().unwrap_or(end).min(end);
                if matches!(error.kind(), ErrorKind::RecursionLimitExceeded) {
                    self.check_depth(usize::MAX, self.span(at, at))?;
                }
                let found = syntax::explain(&error, self.text, at);
                let span = self.span(found.place.start, found.place.end);
                let built = self.report.error(code::SYNTAX, found.message);
                built.at(span, found.label).help_maybe(found.help);
                Err(Reported)
            }
            None => Ok((
                Event::StreamEnd,
                self.span(self.text.len(), self.text.len()),
            )),
        }
    }

    /// A tag that stands between two bytes, with space behind it.
    fn tag(&mut self, start: usize, end: usize) -> Reported {
        let text = self.text.get(start..end).unwrap_or_default().trim_end();
        let span = self.span(start, start + text.len());
        let help = format!(
            "leave {0} out, as the key says what type a value has; or put a text that begins with \
             `!` in quotes",
            quote(text)
        );
        self.refuse(span, "tags are not read", "", &help)
    }

    fn span(&self, start: usize, end: usize) -> Span {
        Span {
            document: self.document,
            start: self.offset + start,
            end: self.offset + end,
        }
    }
}

const NO_KEY: &str = "a key is plain text";
const KEY_HELP: &str = "a key is a word, or a text in quotes";
const ONE_DOCUMENT: &str = "a job file holds one job; write the other one to a file of its own";
const NO_MERGE: &str =
    "YAML 1.2 has none: write the keys out, or let an alias stand for the whole value";

#[cfg(test)]
mod tests;
