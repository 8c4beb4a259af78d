//! Places in a JSON document, taken out of raw rows in one pass and without building the document.
//!
//! INVARIANT: a value is found where `serde_json::Value::pointer` finds it; of a name that an
//! object has twice, the last one counts.

use std::{fmt, ops::Range};

use serde::Deserialize as _;
use serde::de::{
    DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor,
    value::{MapAccessDeserializer, SeqAccessDeserializer},
};
use serde_json::Value;

use crate::{Malformed, canonical};

/// A JSON Pointer (RFC 6901): `/user/id`, `/items/0`, or nothing for the whole document.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pointer {
    text: String,
    tokens: Vec<String>,
}

/// Why a text is not a [`Pointer`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PointerError {
    /// It does not begin with a slash.
    #[error("a JSON Pointer begins with `/`: write `/{text}`")]
    NoSlash {
        /// The text.
        text: String,
    },
    /// A `~` that is neither `~0` (for `~`) nor `~1` (for `/`).
    #[error("`~` in a JSON Pointer is written `~0`, and `/` inside a name `~1`")]
    Tilde,
    /// More names than any document may be deep.
    #[error("a JSON Pointer has at most {max} names")]
    TooDeep {
        /// The most names.
        max: usize,
    },
}

impl Pointer {
    /// The most names of a pointer; JSON that is nested deeper is refused as a row.
    pub const MAX_TOKENS: usize = 127;

    /// Reads a pointer.
    ///
    /// # Errors
    /// [`PointerError`] where the text is not one.
    pub fn parse(text: &str) -> Result<Self, PointerError> {
        let mut tokens = Vec::new();
        if !text.is_empty() {
            let names = text
                .strip_prefix('/')
                .ok_or_else(|| PointerError::NoSlash {
                    text: text.to_owned(),
                })?;
            for name in names.split('/') {
                let escapes = name.matches("~0").count() + name.matches("~1").count();
                if name.matches('~').count() != escapes {
                    return Err(PointerError::Tilde);
                }
                tokens.push(name.replace("~1", "/").replace("~0", "~"));
            }
        }
        let max = Self::MAX_TOKENS;
        if tokens.len() > max {
            return Err(PointerError::TooDeep { max });
        }
        Ok(Self {
            text: text.to_owned(),
            tokens,
        })
    }

    /// The pointer as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.text.as_str() {
            "" => f.write_str("the document"),
            text => write!(f, "`{text}`"),
        }
    }
}

/// Whether a row is one JSON document.
pub(crate) fn check(row: &[u8]) -> Result<(), Malformed> {
    match serde_json::from_slice::<IgnoredAny>(row) {
        Ok(IgnoredAny) => Ok(()),
        Err(error) => Err(Malformed::NotJson {
            message: message_of(&error),
        }),
    }
}

/// What the parser says; a row is one line, so of the place only the column is of use.
fn message_of(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let message = text.split(" at line ").next().unwrap_or(&text);
    format!("{message} at column {}", error.column())
}

/// Several pointers as one tree, so that a row is read once for all of them.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    root: Node,
    pointers: Vec<Pointer>,
}

#[derive(Clone, Debug, Default)]
struct Node {
    name: String,
    /// The name as an index into an array.
    index: Option<usize>,
    children: Vec<Node>,
    /// Which of the pointers end here.
    parts: Vec<usize>,
}

/// What the places of one row hold; used again for the next row.
#[derive(Debug, Default)]
pub(crate) struct Found {
    bytes: Vec<u8>,
    parts: Vec<Part>,
}

#[derive(Clone, Debug, Default)]
enum Part {
    #[default]
    Missing,
    Null,
    At(Range<usize>),
}

impl Places {
    pub(crate) fn new(pointers: Vec<Pointer>) -> Self {
        let mut root = Node::default();
        for (part, pointer) in pointers.iter().enumerate() {
            let mut node = &mut root;
            for name in &pointer.tokens {
                let at = node.children.iter().position(|c| c.name == *name);
                let at = at.unwrap_or_else(|| {
                    node.children.push(Node::named(name));
                    node.children.len() - 1
                });
                node = &mut node.children[at];
            }
            node.parts.push(part);
        }
        Self { root, pointers }
    }

    /// The pointers, in the order in which they were given.
    pub(crate) fn pointers(&self) -> &[Pointer] {
        &self.pointers
    }

    /// Reads one row. The error is a message for the user.
    pub(crate) fn find(&self, row: &[u8], found: &mut Found) -> Result<(), String> {
        found.bytes.clear();
        found.parts.clear();
        found.parts.resize(self.pointers.len(), Part::Missing);
        let mut deserializer = serde_json::Deserializer::from_slice(row);
        let walk = Walk {
            node: &self.root,
            found,
        };
        walk.deserialize(&mut deserializer)
            .and_then(|()| deserializer.end())
            .map_err(|error| format!("the row is not JSON: {}", message_of(&error)))
    }

    /// Whether the first of the pointers leads to `null`.
    pub(crate) fn is_null(&self, found: &Found) -> bool {
        matches!(found.parts.first(), Some(Part::Null))
    }

    /// The values in order of the pointers: a type byte and the text. The error is a message for
    /// the user.
    pub(crate) fn values<'f>(
        &self,
        found: &'f Found,
    ) -> impl Iterator<Item = Result<&'f [u8], String>> {
        found
            .parts
            .iter()
            .zip(&self.pointers)
            .map(|(part, pointer)| match part {
                Part::At(range) => Ok(&found.bytes[range.clone()]),
                Part::Null => Err(format!("{pointer} is null")),
                Part::Missing => Err(format!("{pointer} is missing")),
            })
    }
}

impl Node {
    fn named(name: &str) -> Self {
        // As RFC 6901 has it: no sign, no leading zero.
        let plain = name == "0" || (!name.starts_with('0') && !name.starts_with('+'));
        Self {
            name: name.to_owned(),
            index: if plain { name.parse().ok() } else { None },
            ..Self::default()
        }
    }

    /// Forgets what was found here and below, because the name comes a second time.
    fn forget(&self, found: &mut Found) {
        for &part in &self.parts {
            found.parts[part] = Part::Missing;
        }
        for child in &self.children {
            child.forget(found);
        }
    }

    /// Keeps a value that ends here: `write` appends its type byte and text.
    fn keep(&self, found: &mut Found, write: impl FnOnce(&mut Vec<u8>)) {
        if self.parts.is_empty() {
            return;
        }
        let start = found.bytes.len();
        write(&mut found.bytes);
        for &part in &self.parts {
            found.parts[part] = Part::At(start..found.bytes.len());
        }
    }

    fn keep_null(&self, found: &mut Found) {
        for &part in &self.parts {
            found.parts[part] = Part::Null;
        }
    }

    /// Keeps what a document that is there as a whole holds here and below.
    fn keep_value(&self, value: &Value, found: &mut Found) {
        match value {
            Value::Null => self.keep_null(found),
            Value::String(text) => self.keep(found, |out| canonical::write_part_string(text, out)),
            Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
                self.keep(found, |out| canonical::write_part_value(value, out));
            }
        }
        for child in &self.children {
            let below = match value {
                Value::Object(map) => map.get(&child.name),
                Value::Array(list) => child.index.and_then(|i| list.get(i)),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
            };
            if let Some(below) = below {
                child.keep_value(below, found);
            }
        }
    }
}

/// Reads a value at a node of the tree.
struct Walk<'w> {
    node: &'w Node,
    found: &'w mut Found,
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.node.keep_null(self.found);
        Ok(())
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.scalar(&Value::Bool(value));
        Ok(())
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        self.scalar(&Value::from(value));
        Ok(())
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        self.scalar(&Value::from(value));
        Ok(())
    }

    fn visit_f64<E>(self, value: f64) -> Result<(), E> {
        self.scalar(&Value::from(value));
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        let Self { node, found } = self;
        node.keep(found, |out| canonical::write_part_string(text, out));
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let Self { node, found } = self;
        if !node.parts.is_empty() {
            let value = Value::deserialize(SeqAccessDeserializer::new(seq))?;
            node.keep_value(&value, found);
            return Ok(());
        }
        let mut index = 0;
        loop {
            let more = match node.children.iter().find(|c| c.index == Some(index)) {
                Some(node) => seq.next_element_seed(Walk { node, found })?.is_some(),
                None => seq.next_element::<IgnoredAny>()?.is_some(),
            };
            if !more {
                return Ok(());
            }
            index += 1;
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self { node, found } = self;
        if !node.parts.is_empty() {
            let value = Value::deserialize(MapAccessDeserializer::new(map))?;
            node.keep_value(&value, found);
            return Ok(());
        }
        while let Some(child) = map.next_key_seed(ChildOf(node))? {
            match child {
                Some(node) => {
                    node.forget(found);
                    map.next_value_seed(Walk { node, found })?;
                }
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

impl Walk<'_> {
    fn scalar(self, value: &Value) {
        let Self { node, found } = self;
        node.keep(found, |out| canonical::write_part_value(value, out));
    }
}

/// Reads a name of an object: which child of the node it is.
struct ChildOf<'t>(&'t Node);

impl<'de, 't> DeserializeSeed<'de> for ChildOf<'t> {
    type Value = Option<&'t Node>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'t> Visitor<'_> for ChildOf<'t> {
    type Value = Option<&'t Node>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.children.iter().find(|child| child.name == name))
    }
}

#[cfg(test)]
mod tests;
