//! Where errors are gathered while a file is read, so that all are told and not only the first.

use std::sync::Arc;

use crate::{
    Diagnostic, Diagnostics,
    diagnostic::Label,
    source::{Document, Span},
};

/// The most errors that are told; a file with more is no job file.
const MAX_ERRORS: usize = 50;

/// The errors so far.
pub(crate) struct Report {
    documents: Vec<Arc<Document>>,
    list: Vec<Diagnostic>,
    /// What is written to once there are too many.
    surplus: Diagnostic,
}

/// An error that is being put together; it is in the report already.
pub(crate) struct Building<'r> {
    documents: &'r [Arc<Document>],
    diagnostic: &'r mut Diagnostic,
    /// The document of the first label.
    document: Option<usize>,
}

impl Report {
    pub(crate) fn new(documents: Vec<Arc<Document>>) -> Self {
        let file = documents.first().cloned();
        let file = file.unwrap_or_else(|| Arc::new(Document::new(String::new(), String::new())));
        let surplus = blank("", String::new(), file);
        Self {
            documents,
            list: Vec::new(),
            surplus,
        }
    }

    /// Adds an error; what is called on the answer says more about it.
    pub(crate) fn error(&mut self, code: &'static str, message: impl Into<String>) -> Building<'_> {
        let fresh = blank(code, message.into(), Arc::clone(&self.surplus.document));
        let diagnostic = if self.list.len() < MAX_ERRORS {
            self.list.push(fresh);
            self.list.last_mut().unwrap_or(&mut self.surplus)
        } else {
            self.surplus = fresh;
            &mut self.surplus
        };
        Building {
            documents: &self.documents,
            diagnostic,
            document: None,
        }
    }

    /// What was found: `Err` where that is anything.
    pub(crate) fn finish(self) -> Result<(), Diagnostics> {
        Diagnostics::from_list(self.list)
    }
}

impl Building<'_> {
    /// Underlines a place. Places of other documents than the first one cannot be shown beside it
    /// and are left out.
    pub(crate) fn at(mut self, span: Span, text: impl Into<String>) -> Self {
        if self.document.is_none() {
            self.document = Some(span.document);
            if let Some(document) = self.documents.get(span.document) {
                self.diagnostic.document = Arc::clone(document);
            }
        }
        if self.document == Some(span.document) {
            self.diagnostic.labels.push(Label {
                span: span.start..span.end,
                text: text.into(),
            });
        }
        self
    }

    /// Says what to do.
    pub(crate) fn help(self, text: impl Into<String>) -> Self {
        self.diagnostic.help = Some(text.into());
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
