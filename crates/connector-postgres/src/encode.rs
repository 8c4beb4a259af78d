//! Rows as `COPY` reads them: a line a row, tabs between columns, `\N` for null. The server reads
//! each value as its column's type reads text.
//!
//! INVARIANT: a row is one line, whatever it holds: so the number of a line is that of its row.

use crate::{
    json::{Found, NotFound, Places, Scan, unescape},
    options::{Missing, Take},
    shape::{Field, Form, Shape},
};

/// Arrays of the server have no more dimensions.
const ARRAY_DEPTH_MAX: usize = 6;

/// Turns rows into lines.
#[derive(Debug)]
pub(crate) struct Encoder {
    shape: std::sync::Arc<Shape>,
    /// `None` where no column is taken from within a row.
    places: Option<Places>,
    found: Found,
    /// An array before its characters are escaped.
    array: Vec<u8>,
    /// The number of the next row, where rows carry one.
    number: Option<u64>,
}

/// Why a row has no line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BadField {
    pub(crate) column: Option<String>,
    pub(crate) message: String,
}

impl Encoder {
    pub(crate) fn new(shape: std::sync::Arc<Shape>) -> Self {
        let mut places = Places::default();
        let mut any = false;
        for (at, field) in shape.fields.iter().enumerate() {
            if let Take::At(pointer) = &field.take {
                places.add(pointer.as_str(), at);
                any = true;
            }
        }
        Self {
            places: any.then_some(places),
            found: Found::default(),
            array: Vec::new(),
            number: shape.target.numbered().then_some(0),
            shape,
        }
    }

    /// Appends the line of a row; nothing where it is refused.
    pub(crate) fn row(&mut self, row: &[u8], out: &mut Vec<u8>) -> Result<(), BadField> {
        let start = out.len();
        let result = self.fields(row, out);
        if result.is_err() {
            out.truncate(start);
            return result;
        }
        if let Some(number) = &mut self.number {
            out.push(b'\t');
            decimal(*number, out);
            *number += 1;
        }
        out.push(b'\n');
        Ok(())
    }

    fn fields(&mut self, row: &[u8], out: &mut Vec<u8>) -> Result<(), BadField> {
        let shape = &self.shape;
        if let Some(places) = &self.places {
            let fields = shape.fields.len();
            let result = places.find(row, fields, shape.by_name, &mut self.found);
            result.map_err(|why| not_found(shape, why))?;
        }
        for (at, field) in shape.fields.iter().enumerate() {
            if at > 0 {
                out.push(b'\t');
            }
            let bad = |message: String| BadField {
                column: shape.target.columns.get(at).cloned(),
                message,
            };
            match &field.take {
                Take::Row => escape(row, out),
                Take::At(pointer) => match self.found.get(at) {
                    Some(range) => {
                        value(&row[range], field, &mut self.array, out).map_err(bad)?;
                    }
                    None if shape.missing == Missing::Null => out.extend_from_slice(b"\\N"),
                    None => return Err(bad(format!("the row has nothing at {pointer}"))),
                },
            }
        }
        Ok(())
    }
}

fn not_found(shape: &Shape, why: NotFound) -> BadField {
    match why {
        NotFound::NotJson(message) => BadField {
            column: None,
            message: format!("the row is not JSON: {message}"),
        },
        NotFound::Unknown(name) if shape.target.left.contains(&name) => BadField {
            message: format!(
                "the row has a field `{name}`, and that column is left to the server's default: \
                 name the columns to write in `columns`"
            ),
            column: Some(name),
        },
        NotFound::Unknown(name) => BadField {
            column: None,
            message: format!(
                "the row has a field `{name}`, and the table has no such column: name those to \
                 write in `columns`"
            ),
        },
    }
}

/// Appends a value of a JSON document.
fn value(
    value: &[u8],
    field: &Field,
    scratch: &mut Vec<u8>,
    out: &mut Vec<u8>,
) -> Result<(), String> {
    match (value.first(), field.form) {
        (Some(b'n'), _) => out.extend_from_slice(b"\\N"),
        (Some(b'"'), Form::Text | Form::Array { .. }) => {
            unescape(&value[1..value.len() - 1], |piece| escape(piece, out))?;
        }
        (Some(b'['), Form::Array { json }) => {
            scratch.clear();
            array(&mut Scan::of(value), json, 0, scratch)?;
            escape(scratch, out);
        }
        (_, Form::Text | Form::Json | Form::Array { .. }) => escape(value, out),
    }
    Ok(())
}

/// Writes a JSON array as an array of the server.
fn array(scan: &mut Scan<'_>, json: bool, depth: usize, out: &mut Vec<u8>) -> Result<(), String> {
    if depth == ARRAY_DEPTH_MAX {
        return Err(format!("an array has at most {ARRAY_DEPTH_MAX} dimensions"));
    }
    scan.enter();
    out.push(b'{');
    let mut first = true;
    while scan.more(b']') {
        if !std::mem::take(&mut first) {
            out.push(b',');
        }
        match (scan.peek(), json) {
            (b'[', false) => array(scan, json, depth + 1, out)?,
            (b'n', _) => {
                scan.take();
                out.extend_from_slice(b"NULL");
            }
            (b'"', false) => {
                let text = scan.take();
                out.push(b'"');
                unescape(&text[1..text.len() - 1], |piece| quoted(piece, out))?;
                out.push(b'"');
            }
            (_, _) => {
                out.push(b'"');
                quoted(scan.take(), out);
                out.push(b'"');
            }
        }
    }
    out.push(b'}');
    Ok(())
}

/// Appends what stands between the quotes of an element of an array.
fn quoted(text: &[u8], out: &mut Vec<u8>) {
    for &byte in text {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
}

/// Appends characters so that they are data.
fn escape(text: &[u8], out: &mut Vec<u8>) {
    let mut from = 0;
    for (at, &byte) in text.iter().enumerate() {
        let escape = match byte {
            b'\\' => b'\\',
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            _ => continue,
        };
        out.extend_from_slice(&text[from..at]);
        out.extend_from_slice(&[b'\\', escape]);
        from = at + 1;
    }
    out.extend_from_slice(&text[from..]);
}

fn decimal(mut number: u64, out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// A line as a person reads it: `column = value`, cut short.
pub(crate) fn shown(line: &[u8], columns: &[String]) -> String {
    const SHOWN: usize = 200;
    let text = String::from_utf8_lossy(line);
    let fields = text.trim_end_matches('\n').split('\t');
    let mut shown = String::new();
    for (field, column) in fields.zip(columns) {
        let comma = if shown.is_empty() { "" } else { ", " };
        let field = if field == "\\N" { "null" } else { field };
        shown.push_str(&format!("{comma}{column} = {field}"));
    }
    match shown.char_indices().nth(SHOWN) {
        Some((cut, _)) => format!("{}…", &shown[..cut]),
        None => shown,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::{
        options::{Column, PostgresSinkOptions},
        shape::tests::{at, known, options, plain, table},
    };

    fn encoder(options: &PostgresSinkOptions, columns: &[(&str, Form)]) -> Encoder {
        let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
        let mut known = known(&names);
        for (column, (_, form)) in known.columns.iter_mut().zip(columns) {
            column.form = *form;
        }
        known.unique = vec![options.mode.keys().to_vec()];
        Encoder::new(Arc::new(Shape::new(options, table(), &known).unwrap()))
    }

    #[track_caller]
    fn check(columns: &[(&str, Form)], row: &str, expected: &str) {
        let mut out = b"x".to_vec();
        let mut encoder = encoder(&options(plain()), columns);
        let line = match encoder.row(row.as_bytes(), &mut out) {
            Ok(()) => String::from_utf8(out[1..].to_vec()).unwrap(),
            Err(bad) => {
                assert_eq!(out, b"x");
                let column = bad.column.map_or(String::new(), |column| column + ": ");
                format!("{column}{}", bad.message)
            }
        };
        assert_eq!(line, expected);
    }

    #[test]
    fn values_are_spelled_for_the_type_of_their_column() {
        let (text, json) = (Form::Text, Form::Json);
        let (array, jsons) = (Form::Array { json: false }, Form::Array { json: true });
        // No number is touched.
        let digits = "12345678901234567890.10";
        check(
            &[("a", text)],
            &format!("{{\"a\": {digits} }}"),
            &format!("{digits}\n"),
        );
        check(&[("a", text)], r#"{"a":true}"#, "true\n");
        check(
            &[("a", text), ("b", text)],
            r#"{"b":null,"a":"\\N"}"#,
            "\\\\N\t\\N\n",
        );
        check(
            &[("a", text)],
            r#"{"a":"t\tn\nb\\ \u00e9\r"}"#,
            "t\\tn\\nb\\\\ é\\r\n",
        );
        check(&[("a", text)], r#"{"a":{"b":[1, 2]}}"#, "{\"b\":[1, 2]}\n");
        check(&[("a", json)], r#"{"a":"s\n"}"#, "\"s\\\\n\"\n");
        check(
            &[("a", array)],
            r#"{"a":[1, null, "x,\"\\", [2]]}"#,
            "{\"1\",NULL,\"x,\\\\\"\\\\\\\\\",{\"2\"}}\n",
        );
        check(&[("a", array)], r#"{"a":[]}"#, "{}\n");
        check(&[("a", array)], r#"{"a":"{1,2}"}"#, "{1,2}\n");
        check(
            &[("a", jsons)],
            r#"{"a":["s", [1]]}"#,
            "{\"\\\\\"s\\\\\"\",\"[1]\"}\n",
        );
        let deep = "[".repeat(7) + &"]".repeat(7);
        check(
            &[("a", array)],
            &format!("{{\"a\":{deep}}}"),
            "a: an array has at most 6 dimensions",
        );
    }

    #[test]
    fn rows_that_do_not_fit_are_refused_with_their_column() {
        let text = Form::Text;
        check(
            &[("a", text)],
            r#"{"b":1}"#,
            "the row has a field `b`, and the table has no such column: name those to write in `columns`",
        );
        check(
            &[("a", text), ("id=", text)],
            r#"{"a":1,"id":2}"#,
            "id: the row has a field `id`, and that column is left to the server's default: name the columns to write in `columns`",
        );
        check(
            &[("a", text), ("b", text)],
            r#"{"a":1}"#,
            "b: the row has nothing at `/b`",
        );
        check(&[("a", text)], "[1]", "a: the row has nothing at `/a`");
        check(
            &[("a", text)],
            "a=1",
            "the row is not JSON: expected value at column 1",
        );
        check(
            &[("a", text)],
            r#"{"a":"\ud800"}"#,
            "a: half of a pair of surrogates stands alone in it",
        );
    }

    #[test]
    fn columns_that_are_told_take_what_is_at_their_place_or_the_row_itself() {
        let mut told = options(plain());
        let row = Column {
            name: "raw".into(),
            take: Take::Row,
        };
        told.columns = Some(vec![at("a", "/x/1"), row.clone()]);
        told.missing = Missing::Null;
        let columns = [("a", Form::Text), ("raw", Form::Text)];
        let mut out = Vec::new();
        let mut encoder_of_two = encoder(&told, &columns);
        for row in [r#"{"x":[0,1],"y":"\t"}"#, "{}"] {
            encoder_of_two.row(row.as_bytes(), &mut out).unwrap();
        }
        let lines = String::from_utf8(out).unwrap();
        assert_eq!(lines, "1\t{\"x\":[0,1],\"y\":\"\\\\t\"}\n\\N\t{}\n");
        // A row that is taken whole need not be JSON.
        told.columns = Some(vec![row]);
        let mut out = Vec::new();
        encoder(&told, &columns)
            .row(b"any\ttext\\", &mut out)
            .unwrap();
        assert_eq!(out, b"any\\ttext\\\\\n");
    }

    #[test]
    fn rows_that_replace_each_other_are_numbered() {
        let mode = crate::options::Mode::AtLeastOnce {
            keys: vec!["a".into()],
        };
        let mut encoder = encoder(&options(mode), &[("a", Form::Text)]);
        let mut out = Vec::new();
        for _ in 0..11 {
            encoder.row(br#"{"a":7}"#, &mut out).unwrap();
            assert!(encoder.row(b"{}", &mut out).is_err());
        }
        let text = String::from_utf8(out).unwrap();
        assert!(
            text.starts_with("7\t0\n7\t1\n") && text.ends_with("7\t10\n"),
            "{text}"
        );
        let mut out = Vec::new();
        decimal(u64::MAX, &mut out);
        assert_eq!(out, u64::MAX.to_string().as_bytes());
    }

    proptest! {
        #[test]
        fn a_row_is_one_line_of_its_columns(
            fields in prop::collection::vec(any::<String>(), 1..4),
        ) {
            let names: Vec<String> = (0..fields.len()).map(|i| format!("c{i}")).collect();
            let columns: Vec<_> = names.iter().map(|name| (name.as_str(), Form::Text)).collect();
            let row: serde_json::Map<_, _> = names
                .iter()
                .cloned()
                .zip(fields.iter().map(|field| field.as_str().into()))
                .collect();
            let mut out = Vec::new();
            let row = serde_json::Value::from(row).to_string();
            encoder(&options(plain()), &columns).row(row.as_bytes(), &mut out).unwrap();
            let text = String::from_utf8(out).unwrap();
            prop_assert_eq!(text.matches('\n').count(), 1);
            // As the server reads it.
            let read = |field: &str| {
                let mut plain = String::new();
                let mut rest = field.chars();
                while let Some(c) = rest.next() {
                    plain.push(match c {
                        '\\' => match rest.next() {
                            Some('n') => '\n',
                            Some('r') => '\r',
                            Some('t') => '\t',
                            other => other.unwrap(),
                        },
                        c => c,
                    });
                }
                plain
            };
            let back: Vec<String> = text.trim_end_matches('\n').split('\t').map(read).collect();
            prop_assert_eq!(back, fields);
        }
    }

    #[test]
    fn a_line_is_shown_by_its_columns() {
        let columns = ["a".to_owned(), "b".to_owned()];
        assert_eq!(shown(b"1\t\\N\t17\n", &columns), "a = 1, b = null");
        let long = shown("é".repeat(300).as_bytes(), &columns);
        assert_eq!(long.chars().count(), 201);
    }
}
