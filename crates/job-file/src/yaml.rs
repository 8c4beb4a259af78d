//! YAML as a tree in which every key and value knows where it was written.
//!
//! A job file is plain data, so what makes YAML dangerous or surprising is refused: tags, merge
//! keys, several documents, keys twice, nesting without end, aliases that multiply. Plain scalars
//! are those of YAML 1.2: `no` is a text and `010` is ten.

mod parse;
mod syntax;

pub(crate) use parse::{MAX_BYTES, MAX_DEPTH, parse};

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
    /// Whoever takes it says what its bounds are.
    Int(i128),
    /// Infinities and NaN too: YAML has them, and whoever takes the number refuses them.
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
        let radix = |digits: &str, radix| match digits.starts_with(['+', '-']) {
            true => None,
            false => i128::from_str_radix(digits, radix).ok(),
        };
        let int = match text.as_bytes() {
            [b'0', b'x', ..] => radix(&text[2..], 16),
            [b'0', b'o', ..] => radix(&text[2..], 8),
            _ => text.parse().ok(),
        };
        if let Some(int) = int {
            return Self::Int(int);
        }
        match float(text) {
            Some(float) => Self::Float(float),
            None => Self::Text(text.to_owned()),
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

/// A number with a point or an exponent, or one of the special ones as YAML writes them; Rust
/// alone would take `inf` and `nan`, which are texts.
fn float(text: &str) -> Option<f64> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    match digits {
        ".inf" | ".Inf" | ".INF" if text.starts_with('-') => return Some(f64::NEG_INFINITY),
        ".inf" | ".Inf" | ".INF" => return Some(f64::INFINITY),
        ".nan" | ".NaN" | ".NAN" if digits == text => return Some(f64::NAN),
        _ => {}
    }
    let begins = digits.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    let known = |b: u8| b.is_ascii_digit() || b".eE+-".contains(&b);
    (begins && digits.bytes().all(known)).then(|| text.parse().ok())?
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

#[cfg(test)]
mod tests;
