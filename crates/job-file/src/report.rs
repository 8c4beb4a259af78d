//! Where errors are gathered while a file is read, so that all are told and not only the first.

use std::sync::Arc;

use crate::{
    Diagnostic, Diagnostics, code,
    diagnostic::Label,
    source::{Document, FILE, Span},
    wording::{count, quote},
};

/// The most errors that are told, and then how many more there are; nobody reads more.
const MAX_TOLD: usize = 50;
/// The most errors that are kept, to tell the first and to count the others once each.
const MAX_KEPT: usize = 1_000;

/// The errors so far.
pub(crate) struct Report {
    documents: Vec<Arc<Document>>,
    list: Vec<Diagnostic>,
    /// How many were not kept.
    beyond: usize,
    /// What has no effect and is no error.
    notes: Vec<String>,
    /// What is written to once there are too many.
    surplus: Diagnostic,
}

/// An error that is being put together; it is in the report already.
pub(crate) struct Building<'r> {
    documents: &'r [Arc<Document>],
    diagnostic: &'r mut Diagnostic,
    /// The document of the first label.
    document: Option<usize>,
    /// Places of other documents, in words.
    elsewhere: Vec<String>,
}

impl Report {
    pub(crate) fn new(documents: Vec<Arc<Document>>) -> Self {
        let file = documents.get(FILE).or(documents.first()).cloned();
        let file = file.unwrap_or_else(|| Arc::new(Document::new(String::new(), String::new())));
        let surplus = blank("", String::new(), file);
        Self {
            documents,
            list: Vec::new(),
            beyond: 0,
            notes: Vec::new(),
            surplus,
        }
    }

    /// Adds an error; what is called on the answer says more about it.
    pub(crate) fn error(&mut self, code: &'static str, message: impl Into<String>) -> Building<'_> {
        let fresh = blank(code, message.into(), Arc::clone(&self.surplus.document));
        let diagnostic = if self.list.len() < MAX_KEPT {
            self.list.push(fresh);
            self.list.last_mut().unwrap_or(&mut self.surplus)
        } else {
            self.beyond += 1;
            self.surplus = fresh;
            &mut self.surplus
        };
        Building {
            documents: &self.documents,
            diagnostic,
            document: None,
            elsewhere: Vec::new(),
        }
    }

    /// Adds something that has no effect and is no error.
    pub(crate) fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    /// What has no effect, taken out.
    pub(crate) fn take_notes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notes)
    }

    /// What was found, in order of the place and each thing once: `Err` where that is anything.
    pub(crate) fn finish(mut self) -> Result<(), Diagnostics> {
        arrange(&mut self.list, &self.documents);
        let more = self.beyond + self.list.len().saturating_sub(MAX_TOLD);
        if more > 0 {
            self.list.truncate(MAX_TOLD);
            let message = format!("and {}", count(more, "more error"));
            let file = self.documents.get(FILE).or(self.documents.first());
            let file = file.map_or(&self.surplus.document, |file| file);
            let mut last = blank(code::MORE, message, Arc::clone(file));
            last.help = Some("correct those above first".to_owned());
            self.list.push(last);
        }
        Diagnostics::from_list(self.list)
    }
}

/// Puts errors into the order of their places: the host file, the job file, the arguments. What
/// stands behind two aliases is wrong in two places and told of once.
pub(crate) fn arrange(list: &mut Vec<Diagnostic>, documents: &[Arc<Document>]) {
    list.sort_by_cached_key(|diagnostic| {
        let same = |document: &Arc<Document>| Arc::ptr_eq(document, &diagnostic.document);
        let start = diagnostic.labels.first().map(|label| label.span.start);
        (documents.iter().position(same), start)
    });
    let mut told: Vec<Diagnostic> = Vec::with_capacity(list.len());
    for diagnostic in list.drain(..) {
        let same = |other: &Diagnostic| {
            Arc::ptr_eq(&other.document, &diagnostic.document)
                && (other.code, &other.message) == (diagnostic.code, &diagnostic.message)
                && other.labels == diagnostic.labels
        };
        if !told.iter().any(same) {
            told.push(diagnostic);
        }
    }
    *list = told;
}

impl Building<'_> {
    /// Underlines a place. One of another document than the first cannot be shown beside it and is
    /// told of in words.
    pub(crate) fn at(mut self, span: Span, text: impl Into<String>) -> Self {
        let text = text.into();
        let Some(document) = self.documents.get(span.document) else {
            return self;
        };
        if *self.document.get_or_insert(span.document) == span.document {
            self.diagnostic.document = Arc::clone(document);
            self.diagnostic.labels.push(Label {
                span: span.start..span.end,
                text,
            });
            return self;
        }
        let place = match span.is_argument() {
            true => document.text.clone(),
            false => {
                let (line, column) = document.position(span.start);
                format!("{}:{line}:{column}", document.name)
            }
        };
        let what = document.text.get(span.start..span.end).unwrap_or_default();
        self.elsewhere
            .push(format!("{text}: {} in {}", quote(what), quote(&place)));
        let help = self.diagnostic.help.take();
        self.help_maybe(help)
    }

    /// Says what to do.
    pub(crate) fn help(self, text: impl Into<String>) -> Self {
        self.help_maybe(Some(text.into()))
    }

    /// Says what to do, where there is something.
    pub(crate) fn help_maybe(self, text: Option<String>) -> Self {
        let all: Vec<String> = self.elsewhere.iter().cloned().chain(text).collect();
        self.diagnostic.help = (!all.is_empty()).then(|| all.join("; "));
        self
    }
}

fn blank(code: &'static str, message: String, document: Arc<Document>) -> Diagnostic {
    Diagnostic {
        code,
        message,
        labels: Vec::new(),
        help: None,
        document,
    }
}
