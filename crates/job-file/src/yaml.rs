//! YAML as a tree in which every key and value knows where it was written.
//!
//! A job file is plain data, so what makes YAML dangerous or surprising is refused: tags, merge
//! keys, several documents, keys twice, nesting without end, aliases that multiply.

mod parse;

pub(crate) use parse::{MAX_BYTES, parse};

use crate::source::Span;

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) span: Span,
    pub(crate) value: Value,
}

/// A value of YAML's core schema.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    /// An integer of at most 64 bits, signed or not.
    Int(i128),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A key and its value.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_span: Span,
    pub(crate) node: Node,
}

impl Value {
    /// What a plain (unquoted) scalar is.
    pub(crate) fn of_plain(text: &str) -> Self {
        match text {
            "" | "~" | "null" | "Null" | "NULL" => return Self::Null,
            "true" | "True" | "TRUE" => return Self::Bool(true),
            "false" | "False" | "FALSE" => return Self::Bool(false),
            _ => {}
        }
        let int = if let Some(hex) = text.strip_prefix("0x") {
            i128::from_str_radix(hex, 16)
                .ok()
                .filter(|_| !hex.starts_with(['+', '-']))
        } else if let Some(octal) = text.strip_prefix("0o") {
            i128::from_str_radix(octal, 8)
                .ok()
                .filter(|_| !octal.starts_with(['+', '-']))
        } else {
            text.parse().ok()
        };
        if let Some(int) = int.filter(|int| (i64::MIN.into()..=u64::MAX.into()).contains(int)) {
            return Self::Int(int);
        }
        match is_float(text).then(|| text.parse()) {
            Some(Ok(float)) => Self::Float(float),
            Some(Err(_)) | None => Self::Text(text.to_owned()),
        }
    }

    /// What it is, in words.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Bool(_) => "true or false",
            Self::Int(_) | Self::Float(_) => "a number",
            Self::Text(_) => "text",
            Self::List(_) => "a list",
            Self::Map(_) => "a mapping",
        }
    }
}

/// Digits with a point or an exponent; Rust alone would take `inf` and `nan` too.
fn is_float(text: &str) -> bool {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    digits.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && digits.contains(|c: char| c.is_ascii_digit())
        && digits
            .bytes()
            .all(|b| b.is_ascii_digit() || b".eE+-".contains(&b))
}

impl Node {
    /// The value under a key.
    pub(crate) fn entry(&self, key: &str) -> Option<&Entry> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|entry| entry.key == key),
            Value::Null
            | Value::Bool(_)
            | Value::Int(_)
            | Value::Float(_)
            | Value::Text(_)
            | Value::List(_) => None,
        }
    }
}
