//! What a user did where the parser says that a text is not YAML.
//!
//! The parser tells what it did not find. Most mistakes are few, and each has a sentence of its own
//! here; any other is told in the parser's words.

use std::ops::Range;

use granit_parser::{ErrorKind, ScanError};

use crate::wording::quote;

/// A mistake.
pub(super) struct Explained {
    pub(super) message: String,
    /// What to underline, in bytes of the text.
    pub(super) place: Range<usize>,
    pub(super) label: String,
    pub(super) help: Option<String>,
}

/// Explains an error that the parser found at byte `at` of `text`.
pub(super) fn explain(error: &ScanError, text: &str, at: usize) -> Explained {
    let rest = text.get(at..).unwrap_or_default();
    let here = at..at + one_char(rest);
    let explained = |message: &str, label: &str, help: &str| Explained {
        message: format!("not YAML: {message}"),
        place: here.clone(),
        label: label.to_owned(),
        help: (!help.is_empty()).then(|| help.to_owned()),
    };
    match error.kind() {
        ErrorKind::TabNotAllowed
        | ErrorKind::TabInBlockIndentation
        | ErrorKind::TabInIndentation
        | ErrorKind::TabInPlainScalar
        | ErrorKind::TabAtBlockScalarStart => Explained {
            place: tab(text, at).unwrap_or(here.clone()),
            ..explained("a tab", "YAML is indented with spaces", "replace the tab")
        },
        ErrorKind::UnknownAnchor => {
            let word = word(rest);
            Explained {
                place: at..at + word.len(),
                help: Some(format!(
                    "a text that begins with `*` needs quotes: '{word}'"
                )),
                ..explained(
                    "an alias that stands for nothing",
                    "there is no such anchor",
                    "",
                )
            }
        }
        ErrorKind::UnexpectedCharacter { character } => {
            let message = format!("a text cannot begin with {}", quote(&character.to_string()));
            let help = format!("put it in quotes: '{}'", word(rest));
            explained(&message, "", &help)
        }
        ErrorKind::MappingValueNotAllowed => explained(
            "a `:` where no key can be",
            "",
            "a text with `: ` in it needs quotes; and keys of one mapping begin in the same column",
        ),
        ErrorKind::SimpleKeyExpected => Explained {
            place: at..at + rest.lines().next().unwrap_or_default().trim_end().len(),
            ..explained("a key without its `:`", "write `key: value`", "")
        },
        ErrorKind::ExpectedBlockMappingKey => explained(
            "this line does not belong to what is above it",
            "a key is expected",
            "keys of one mapping begin in the same column",
        ),
        ErrorKind::InvalidColonPlacement | ErrorKind::ExpectedFlowMappingSeparator => explained(
            "something is missing between a `{` or `[` and this place",
            "",
            "look for a `}`, a `]` or a `,`",
        ),
        ErrorKind::UnclosedFlowCollection { open } => {
            explained(&format!("`{open}` is never closed"), "opened here", "")
        }
        ErrorKind::UnclosedQuotedScalar => explained("a quote is never closed", "opened here", ""),
        _ => explained(&error.info(), "here or shortly before", ""),
    }
}

/// The next tab, which the parser may find at the end of what is before it.
fn tab(text: &str, at: usize) -> Option<Range<usize>> {
    let line = text.get(..at)?.rfind('\n').map_or(0, |end| end + 1);
    let tab = line + text.get(line..)?.find('\t')?;
    Some(tab..tab + 1)
}

/// A word as it stands in the text, without what may follow it.
fn word(rest: &str) -> &str {
    let end = rest.find(|c: char| c.is_whitespace() || ",]}".contains(c));
    &rest[..end.unwrap_or(rest.len())]
}

/// The length of the first character, unless that ends the line.
fn one_char(rest: &str) -> usize {
    rest.chars()
        .next()
        .filter(|c| !matches!(c, '\n' | '\r'))
        .map_or(0, char::len_utf8)
}
