//! Errors that a user can act on: what, where in the file or on the command line, what to do.

use std::{fmt, ops::Range, sync::Arc};

use serde::{Serialize, Serializer, ser::SerializeStruct};

use crate::source::Document;

/// One or more errors, in the order they were found.
#[derive(Clone, Debug)]
pub struct Diagnostics {
    first: Diagnostic,
    rest: Vec<Diagnostic>,
}

/// One error.
#[derive(Clone, Debug)]
pub struct Diagnostic {
    /// The code with a page in `docs/errors/`.
    pub code: &'static str,
    /// What is wrong.
    pub message: String,
    /// The places that are underlined; the first is the one that line and column are told of.
    pub labels: Vec<Label>,
    /// What to do.
    pub help: Option<String>,
    /// What the labels are places of; `None` where there was nothing to read.
    pub(crate) document: Arc<Document>,
}

/// A place that is underlined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// Bytes of the document.
    pub span: Range<usize>,
    /// What is said under it; may be empty.
    pub text: String,
}

/// The errors of one command, told by whoever prints them.
impl Diagnostics {
    /// Of one error.
    #[must_use]
    pub fn one(first: Diagnostic) -> Self {
        Self {
            first,
            rest: Vec::new(),
        }
    }

    /// `Err` where there is at least one.
    ///
    /// # Errors
    /// The diagnostics themselves.
    pub fn from_list(list: Vec<Diagnostic>) -> Result<(), Self> {
        let mut list = list.into_iter();
        match list.next() {
            None => Ok(()),
            Some(first) => Err(Self {
                first,
                rest: list.collect(),
            }),
        }
    }

    /// Adds other errors behind these.
    pub fn extend(&mut self, other: Self) {
        self.rest.push(other.first);
        self.rest.extend(other.rest);
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        std::iter::once(&self.first).chain(&self.rest)
    }

    /// How many there are; never 0.
    #[must_use]
    pub fn count(&self) -> usize {
        1 + self.rest.len()
    }

    /// As text for a terminal or a log: each with its file, line, column, and the place underlined.
    /// `width` in characters; messages are wrapped to it.
    #[must_use]
    pub fn render(&self, color: bool, width: usize) -> String {
        let all: Vec<String> = self.iter().map(|one| one.render(color, width)).collect();
        all.join("\n")
    }
}

impl Diagnostic {
    /// An error of no file in particular: `path` names what could not be read.
    #[must_use]
    pub fn without_text(
        code: &'static str,
        path: &str,
        message: impl Into<String>,
        help: Option<String>,
    ) -> Self {
        Self {
            code,
            message: message.into(),
            labels: Vec::new(),
            help,
            document: Arc::new(Document::new(path.to_owned(), String::new())),
        }
    }

    /// The path of the file; `command line` for an argument.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.document.name
    }

    /// Line and column of the first label, both from 1, the column in characters. An argument is
    /// shown, and counted, with `--set ` before it.
    #[must_use]
    pub fn position(&self) -> Option<(usize, usize)> {
        self.labels
            .first()
            .map(|label| self.document.position(label.span.start))
    }

    /// As [`Diagnostics::render`].
    #[must_use]
    pub fn render(&self, color: bool, width: usize) -> String {
        use miette::{GraphicalReportHandler, GraphicalTheme};
        let theme = match color {
            true => GraphicalTheme::unicode(),
            false => GraphicalTheme::unicode_nocolor(),
        };
        let mut text = String::new();
        let handler = GraphicalReportHandler::new_themed(theme)
            .with_width(width)
            .with_links(false)
            .with_context_lines(1);
        // Writing to a `String` does not fail; and if it did, what is there is better than nothing.
        let _ = handler.render_report(&mut text, &Shown(self));
        text
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file())?;
        if let Some((line, column)) = self.position() {
            write!(f, ":{line}:{column}")?;
        }
        write!(f, ": {} ({})", self.message, self.code)
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, diagnostic) in self.iter().enumerate() {
            if at > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{diagnostic}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostic {}
impl std::error::Error for Diagnostics {}

impl From<Diagnostic> for Diagnostics {
    fn from(diagnostic: Diagnostic) -> Self {
        Self::one(diagnostic)
    }
}

impl Serialize for Diagnostic {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let position = self.position();
        let labels: Vec<_> = self.labels.iter().map(|label| Said(self, label)).collect();
        let mut out = serializer.serialize_struct("Diagnostic", 7)?;
        out.serialize_field("code", self.code)?;
        out.serialize_field("message", &self.message)?;
        out.serialize_field("file", self.file())?;
        out.serialize_field("line", &position.map(|(line, _)| line))?;
        out.serialize_field("column", &position.map(|(_, column)| column))?;
        out.serialize_field("labels", &labels)?;
        out.serialize_field("help", &self.help)?;
        out.end()
    }
}

/// A label for machines: what to do is often said there and nowhere else.
struct Said<'a>(&'a Diagnostic, &'a Label);

impl Serialize for Said<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(diagnostic, label) = self;
        let (line, column) = diagnostic.document.position(label.span.start);
        let mut out = serializer.serialize_struct("Label", 3)?;
        out.serialize_field("line", &line)?;
        out.serialize_field("column", &column)?;
        out.serialize_field("text", &label.text)?;
        out.end()
    }
}

impl Serialize for Diagnostics {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

/// A diagnostic as miette wants it.
#[derive(Debug)]
struct Shown<'a>(&'a Diagnostic);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for Shown<'_> {}

impl miette::Diagnostic for Shown<'_> {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(self.0.code))
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.0
            .help
            .as_ref()
            .map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn miette::SourceCode> {
        (!self.0.labels.is_empty()).then_some(&*self.0.document as &dyn miette::SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = miette::LabeledSpan> + '_>> {
        let labels = self.0.labels.iter().enumerate().map(|(at, label)| {
            let text = (!label.text.is_empty()).then(|| label.text.clone());
            let span = self.0.document.visible(&label.span);
            // The first one is where the error is; the header shows its line and column.
            match at {
                0 => miette::LabeledSpan::new_primary_with_span(text, span),
                _ => miette::LabeledSpan::new_with_span(text, span),
            }
        });
        Some(Box::new(labels))
    }
}
