//! The rows of a join without a component: each pair as a JSON object.

use std::{io::Write as _, sync::Arc};

use serde::de::IgnoredAny;
use weir_model::Column;
use weir_operator::{
    Context, Emitted, Failure, JoinFunction, JoinFunctionFactory, Pairs, TaskInfo,
};

use crate::csv::Fields;

/// Gives `{"left":…,"right":…}` for each pair, with `null` for a row that is missing.
#[derive(Clone, Debug)]
pub struct JsonPairs {
    /// What rows of the left input are.
    pub left: Embed,
    /// What those of the right one are.
    pub right: Embed,
}

/// How rows of an input are shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Embed {
    /// As strings, whatever is in them. What is not UTF-8 is replaced.
    Text,
    /// What is JSON as it is, any other one as a string.
    Json,
    /// As an object with a string for each field.
    Csv {
        /// What is between two fields.
        delimiter: u8,
        /// The names of the fields. One that has none has its number, from 0.
        columns: Arc<[String]>,
    },
}

impl JoinFunctionFactory for JsonPairs {
    fn side_outputs(&self) -> &[String] {
        &[]
    }

    fn create(&self, _: &TaskInfo) -> Result<Box<dyn JoinFunction>, Failure> {
        Ok(Box::new(self.clone()))
    }
}

impl JoinFunction for JsonPairs {
    fn open(&mut self, _: &mut Box<Context>) -> Result<(), Failure> {
        Ok(())
    }

    fn reset(&mut self, _: &mut Box<Context>) -> Result<(), Failure> {
        Ok(())
    }

    fn project(&mut self, _: &mut Box<Context>, pairs: Pairs<'_>) -> Result<Vec<Emitted>, Failure> {
        let (mut left, mut right) = (Shown::of(&self.left), Shown::of(&self.right));
        let mut values = Column::new();
        for (&of_left, &of_right) in pairs.left_of_pair.iter().zip(pairs.right_of_pair) {
            values.push_with(|out| {
                out.extend_from_slice(b"{\"left\":");
                left.show(of_left, |row| pairs.left.get(row), out);
                out.extend_from_slice(b",\"right\":");
                right.show(of_right, |row| pairs.right.get(row), out);
                out.push(b'}');
            });
        }
        Ok(vec![Emitted {
            values,
            ..Emitted::default()
        }])
    }
}

/// The row of an input that was shown last: pairs of one row often follow each other.
struct Shown<'e> {
    embed: &'e Embed,
    row: Option<u32>,
    text: Vec<u8>,
}

impl<'e> Shown<'e> {
    fn of(embed: &'e Embed) -> Self {
        Self {
            embed,
            row: None,
            text: Vec::new(),
        }
    }

    fn show<'a>(&mut self, row: u32, bytes: impl Fn(usize) -> &'a [u8], out: &mut Vec<u8>) {
        if row == Pairs::ABSENT {
            out.extend_from_slice(b"null");
            return;
        }
        if self.row != Some(row) {
            self.text.clear();
            embed(self.embed, bytes(row as usize), &mut self.text);
            self.row = Some(row);
        }
        out.extend_from_slice(&self.text);
    }
}

/// A row as a JSON value.
fn embed(how: &Embed, row: &[u8], out: &mut Vec<u8>) {
    match how {
        Embed::Json if is_json(row) => out.extend_from_slice(row.trim_ascii()),
        Embed::Text | Embed::Json => string(row, out),
        Embed::Csv { delimiter, columns } => {
            out.push(b'{');
            for (at, field) in Fields::new(row, *delimiter).enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                match columns.get(at) {
                    Some(name) => string(name.as_bytes(), out),
                    None => string(at.to_string().as_bytes(), out),
                }
                out.push(b':');
                string(&field.text(), out);
            }
            out.push(b'}');
        }
    }
}

fn string(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for char in String::from_utf8_lossy(bytes).chars() {
        match char {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            '\n' => out.extend_from_slice(b"\\n"),
            '\r' => out.extend_from_slice(b"\\r"),
            '\t' => out.extend_from_slice(b"\\t"),
            '\0'..='\u{1f}' => {
                // A vector takes whatever is written to it.
                let _ = write!(out, "\\u{:04x}", u32::from(char));
            }
            _ => out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    out.push(b'"');
}

fn is_json(row: &[u8]) -> bool {
    // Strings that are passed over are not looked at: what is not UTF-8 could be in them.
    let text = std::str::from_utf8(row);
    text.is_ok_and(|text| serde_json::from_str::<IgnoredAny>(text).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(how: &Embed, row: &[u8]) -> String {
        let mut out = Vec::new();
        embed(how, row, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn rows_that_are_json_are_embedded_and_others_are_strings() {
        for (row, json) in [
            (&br#" {"a": [1, null]} "#[..], r#"{"a": [1, null]}"#),
            (b"12", "12"),
            (b"", r#""""#),
            (b"AA,\"x\",1", r#""AA,\"x\",1""#),
            (b"{\"a\":1", r#""{\"a\":1""#),
            (b"a\tb\x01\\", r#""a\tb\u0001\\""#),
            (b"\"\xff\"", "\"\\\"\u{fffd}\\\"\""),
        ] {
            assert_eq!(shown(&Embed::Json, row), json);
            let value: serde_json::Value = serde_json::from_str(json).unwrap();
            drop(value);
        }
        assert_eq!(shown(&Embed::Text, b"12"), r#""12""#);
        let csv = Embed::Csv {
            delimiter: b',',
            columns: Arc::new(["id".into(), "a \"b\"".into()]),
        };
        let all = r#"{"id":"1","a \"b\"":"x, y","2":""}"#;
        assert_eq!(shown(&csv, b"1,\"x, y\","), all);
        let deep = "[".repeat(100_000);
        assert!(
            shown(&Embed::Json, deep.as_bytes()).starts_with("\"["),
            "no stack is used up"
        );
    }
}
