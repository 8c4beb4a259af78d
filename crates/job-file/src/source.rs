//! What was read: the text of the job file, of the host file behind it and of each `--set`, and
//! where in them everything stands.

use std::{ops::Range, path::PathBuf, sync::Arc};

use miette::{MietteError, SourceCode, SourceSpan, SpanContents};

use crate::{secret::hidden, yaml::Node};

/// A text that spans are places of.
#[derive(Debug)]
pub(crate) struct Document {
    /// The path of the file, or [`COMMAND_LINE`].
    pub(crate) name: String,
    /// As it was written, but for secrets.
    pub(crate) text: String,
}

/// What the place of an argument is called (D26).
const COMMAND_LINE: &str = "command line";
/// What stands before an argument where it is shown, so that it is seen for what it is.
pub(crate) const SET: &str = "--set ";

/// The number of the host file among the documents; an empty one where there is none.
pub(crate) const HOST: usize = 0;
/// The number of the job file.
pub(crate) const FILE: usize = 1;

/// A place of one of the documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    /// [`HOST`], [`FILE`], then the arguments in order: what is later wins over what is earlier.
    pub(crate) document: usize,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// All documents, and the tree that came out of them.
#[derive(Debug)]
pub(crate) struct Origin {
    pub(crate) documents: Vec<Arc<Document>>,
    /// The folder that relative paths of the file start from.
    pub(crate) folder: PathBuf,
    /// The folder that relative paths of the host file start from.
    pub(crate) host_folder: PathBuf,
    pub(crate) root: Node,
}

impl Span {
    pub(crate) fn is_argument(self) -> bool {
        self.document > FILE
    }

    /// Whether it is a place of the host file.
    pub(crate) fn is_of_host(self) -> bool {
        self.document == HOST
    }
}

impl Document {
    /// Of a text that was read; secrets in it are not kept, for it is there to be shown.
    pub(crate) fn new(name: String, text: String) -> Self {
        let text = hidden(text);
        Self { name, text }
    }

    /// One in which nothing is written: of a host without a file.
    pub(crate) fn none() -> Self {
        Self::new(String::new(), String::new())
    }

    /// An argument of `--set`; its first byte is the one after [`SET`].
    pub(crate) fn of_argument(argument: &str) -> Self {
        Self::new(COMMAND_LINE.to_owned(), format!("{SET}{argument}"))
    }

    /// Line and column of a byte, from 1; the column in characters.
    pub(crate) fn position(&self, byte: usize) -> (usize, usize) {
        let before = self.text.get(..byte).unwrap_or(&self.text);
        let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
        let start = before.rfind('\n').map_or(0, |at| at + 1);
        (line, before[start..].chars().count() + 1)
    }

    /// A span that can be seen: of the nothing behind the last character, that character.
    pub(crate) fn visible(&self, span: &Range<usize>) -> Range<usize> {
        let end = self.text.trim_end_matches(['\n', '\r']);
        match end.char_indices().next_back() {
            Some((last, _)) if span.start >= end.len() => last..end.len(),
            Some(_) | None => span.clone(),
        }
    }
}

impl SourceCode for Document {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        before: usize,
        after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let contents = self.text.read_span(span, before, after)?;
        let column = match before {
            // Of the place itself, which miette counts in bytes.
            0 => self.position(span.offset()).1 - 1,
            _ => contents.column(),
        };
        Ok(Box::new(miette::MietteSpanContents::new_named(
            self.name.clone(),
            contents.data(),
            *contents.span(),
            contents.line(),
            column,
            contents.line_count(),
        )))
    }
}
