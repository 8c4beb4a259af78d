//! The places of JSON rows as they stand there: no number is read and written again, for a column
//! may hold more digits than a float. Nothing is allocated per row.
//!
//! INVARIANT: what is walked here was found to be one JSON document in UTF-8 before; so what is
//! scanned is where it should be.

use std::ops::Range;

use serde::de::IgnoredAny;

/// Several places as one tree, so that a row is walked once for all of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Places {
    name: String,
    /// The name as an index of an array.
    index: Option<usize>,
    children: Vec<Self>,
    /// The fields that are found here.
    fields: Vec<usize>,
}

/// What was found in a row; used again for the next.
#[derive(Debug, Default)]
pub(crate) struct Found {
    places: Vec<Option<Range<usize>>>,
    /// A name with escapes, without them.
    name: Vec<u8>,
}

impl Found {
    /// Where the value of a field stands in the row.
    pub(crate) fn get(&self, field: usize) -> Option<Range<usize>> {
        self.places.get(field).cloned().flatten()
    }
}

impl Places {
    /// Adds the place of a field, as a JSON Pointer.
    pub(crate) fn add(&mut self, pointer: &str, field: usize) {
        let mut node = self;
        for token in pointer.split('/').skip(1) {
            let name = token.replace("~1", "/").replace("~0", "~");
            let at = node.children.iter().position(|child| child.name == name);
            let at = at.unwrap_or_else(|| {
                // As RFC 6901 has it: no sign, no leading zero.
                let plain = name == "0" || !name.starts_with(['0', '+']);
                node.children.push(Self {
                    index: name.parse().ok().filter(|_| plain),
                    name,
                    ..Self::default()
                });
                node.children.len() - 1
            });
            node = &mut node.children[at];
        }
        node.fields.push(field);
    }

    /// Finds the values of `fields` fields in a row. With `strict` each name of the document itself
    /// must be one of the tree. The error is a message for the user.
    pub(crate) fn find(
        &self,
        row: &[u8],
        fields: usize,
        strict: bool,
        found: &mut Found,
    ) -> Result<(), NotFound> {
        found.places.clear();
        found.places.resize(fields, None);
        std::str::from_utf8(row).map_err(|_| NotFound::NotJson("it is not UTF-8".into()))?;
        let IgnoredAny = serde_json::from_slice(row).map_err(|e| {
            let text = e.to_string();
            let message = text.split(" at line ").next().unwrap_or(&text);
            NotFound::NotJson(format!("{message} at column {}", e.column()))
        })?;
        let mut scan = Scan { row, at: 0 };
        self.walk(&mut scan, strict, found)
    }

    fn walk(&self, scan: &mut Scan<'_>, strict: bool, found: &mut Found) -> Result<(), NotFound> {
        let start = scan.space();
        let looked_into = !self.children.is_empty() || strict;
        match scan.peek() {
            b'{' if looked_into => self.members(scan, strict, found)?,
            b'[' if looked_into => self.elements(scan, found)?,
            _ => scan.value(),
        }
        for field in &self.fields {
            found.places[*field] = Some(start..scan.at);
        }
        Ok(())
    }

    fn members(
        &self,
        scan: &mut Scan<'_>,
        strict: bool,
        found: &mut Found,
    ) -> Result<(), NotFound> {
        scan.at += 1;
        while scan.more(b'}') {
            let name = scan.string();
            scan.space();
            scan.at += 1; // the colon
            let raw = &scan.row[name.start + 1..name.end - 1];
            let plain = if raw.contains(&b'\\') {
                found.name.clear();
                unescape(raw, |bytes| found.name.extend_from_slice(bytes))
                    .map_err(NotFound::NotJson)?;
                &found.name[..]
            } else {
                raw
            };
            match self
                .children
                .iter()
                .find(|child| child.name.as_bytes() == plain)
            {
                Some(child) => {
                    // Of a name that is there twice the last counts.
                    child.forget(found);
                    child.walk(scan, false, found)?;
                }
                None if strict => {
                    let name = String::from_utf8_lossy(plain).into_owned();
                    return Err(NotFound::Unknown(name));
                }
                None => {
                    scan.space();
                    scan.value();
                }
            }
        }
        Ok(())
    }

    fn elements(&self, scan: &mut Scan<'_>, found: &mut Found) -> Result<(), NotFound> {
        scan.at += 1;
        let mut index = 0;
        while scan.more(b']') {
            match self
                .children
                .iter()
                .find(|child| child.index == Some(index))
            {
                Some(child) => child.walk(scan, false, found)?,
                None => scan.value(),
            }
            index += 1;
        }
        Ok(())
    }

    fn forget(&self, found: &mut Found) {
        for field in &self.fields {
            found.places[*field] = None;
        }
        for child in &self.children {
            child.forget(found);
        }
    }
}

/// Why nothing was looked for, or something was found that should not be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NotFound {
    NotJson(String),
    /// A name that is no column.
    Unknown(String),
}

/// A place in a document that is known to be one.
pub(crate) struct Scan<'r> {
    row: &'r [u8],
    at: usize,
}

impl<'r> Scan<'r> {
    pub(crate) fn of(value: &'r [u8]) -> Self {
        Self { row: value, at: 0 }
    }

    /// The next byte; 0, which no JSON holds, at the end.
    pub(crate) fn peek(&self) -> u8 {
        self.row.get(self.at).copied().unwrap_or(0)
    }

    /// Passes white space over, and gives where it ends.
    fn space(&mut self) -> usize {
        while matches!(self.peek(), b' ' | b'\t' | b'\n' | b'\r') {
            self.at += 1;
        }
        self.at
    }

    /// Passes an opening bracket.
    pub(crate) fn enter(&mut self) {
        self.at += 1;
    }

    /// Whether another element comes before `close`, which is passed if not.
    pub(crate) fn more(&mut self, close: u8) -> bool {
        self.space();
        if self.peek() == b',' {
            self.at += 1;
            self.space();
        }
        match self.peek() {
            0 => false,
            byte if byte == close => {
                self.at += 1;
                false
            }
            _ => true,
        }
    }

    /// Passes a string, and gives where it stands, quotes included.
    fn string(&mut self) -> Range<usize> {
        let start = self.at;
        self.at += 1;
        loop {
            match self.peek() {
                b'"' | 0 => break,
                b'\\' => self.at += 2,
                _ => self.at += 1,
            }
        }
        self.at = (self.at + 1).min(self.row.len());
        start..self.at
    }

    /// Passes a value whatever it is.
    fn value(&mut self) {
        let mut depth = 0usize;
        loop {
            match self.peek() {
                b'"' => drop(self.string()),
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                }
                b'}' | b']' => {
                    depth = depth.saturating_sub(1);
                    self.at += 1;
                }
                b',' | b':' | b' ' | b'\t' | b'\n' | b'\r' => self.at += 1,
                0 => return,
                _ => {
                    // A number or a word, which ends where something else begins.
                    while !matches!(
                        self.peek(),
                        b',' | b'}' | b']' | b' ' | b'\t' | b'\n' | b'\r' | 0
                    ) {
                        self.at += 1;
                    }
                }
            }
            if depth == 0 {
                return;
            }
        }
    }

    /// Passes a value, and gives it.
    pub(crate) fn take(&mut self) -> &'r [u8] {
        let start = self.space();
        self.value();
        &self.row[start..self.at]
    }
}

/// What is between the quotes of a JSON string, piece by piece. The error is a message for the
/// user.
pub(crate) fn unescape(raw: &[u8], mut piece: impl FnMut(&[u8])) -> Result<(), String> {
    let mut rest = raw;
    while let Some(at) = rest.iter().position(|byte| *byte == b'\\') {
        piece(&rest[..at]);
        let escape = rest.get(at + 1).copied().unwrap_or(0);
        rest = rest.get(at + 2..).unwrap_or_default();
        match escape {
            b'n' => piece(b"\n"),
            b't' => piece(b"\t"),
            b'r' => piece(b"\r"),
            b'b' => piece(b"\x08"),
            b'f' => piece(b"\x0c"),
            b'u' => {
                let (character, used) = character(rest)?;
                piece(character.encode_utf8(&mut [0; 4]).as_bytes());
                rest = rest.get(used..).unwrap_or_default();
            }
            other => piece(&[other]),
        }
    }
    piece(rest);
    Ok(())
}

/// The character behind `\u`, and how many bytes it takes.
fn character(rest: &[u8]) -> Result<(char, usize), String> {
    let unit = |at: usize| {
        let digits = std::str::from_utf8(rest.get(at..at + 4)?).ok()?;
        u32::from_str_radix(digits, 16).ok()
    };
    let lone = || "half of a pair of surrogates stands alone in it".to_owned();
    let first = unit(0).ok_or_else(lone)?;
    if let Some(character) = char::from_u32(first) {
        return Ok((character, 4));
    }
    let second = match rest.get(4..6) {
        Some(b"\\u") => unit(6).filter(|second| (0xDC00..0xE000).contains(second)),
        Some(_) | None => None,
    };
    let second = second.filter(|_| first < 0xDC00).ok_or_else(lone)?;
    let code = 0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00);
    char::from_u32(code)
        .map(|character| (character, 10))
        .ok_or_else(lone)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn arb_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
            "[\\\\\"{}\\[\\],: a]{0,6}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec(("[ab/~\\\\\"é]{0,2}", inner), 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn a_value_is_where_serde_finds_it(
            value in arb_json(),
            pointers in prop::collection::vec("(/([ab]|~0|~1|0|1|01|\\\\|é){0,2}){0,3}", 1..5),
            pretty in any::<bool>(),
        ) {
            let text = match pretty {
                true => serde_json::to_string_pretty(&value).unwrap(),
                false => value.to_string(),
            };
            let (mut places, mut found) = (Places::default(), Found::default());
            for (field, pointer) in pointers.iter().enumerate() {
                places.add(pointer, field);
            }
            places.find(text.as_bytes(), pointers.len(), false, &mut found).unwrap();
            for (field, pointer) in pointers.iter().enumerate() {
                let here = found.get(field).map(|range| {
                    serde_json::from_str::<Value>(&text[range]).unwrap()
                });
                prop_assert_eq!(here.as_ref(), value.pointer(pointer), "{} in {}", pointer, text);
            }
        }

        #[test]
        fn a_string_is_unescaped_as_serde_does_it(text in any::<String>()) {
            let written = serde_json::to_string(&text).unwrap();
            let mut out = Vec::new();
            let raw = &written.as_bytes()[1..written.len() - 1];
            unescape(raw, |piece| out.extend_from_slice(piece)).unwrap();
            prop_assert_eq!(String::from_utf8(out).unwrap(), text);
        }

        #[test]
        fn no_row_is_too_odd_to_be_refused(row in prop::collection::vec(any::<u8>(), 0..40)) {
            let (mut places, mut found) = (Places::default(), Found::default());
            places.add("/a/0", 0);
            let _ = places.find(&row, 1, true, &mut found);
        }
    }

    #[test]
    fn the_last_of_two_counts_and_all_below_the_first_is_gone() {
        let (mut places, mut found) = (Places::default(), Found::default());
        places.add("/a/b", 0);
        let row = br#"{"a":{"b":1},"a":{"c":2}}"#;
        places.find(row, 1, false, &mut found).unwrap();
        assert_eq!(found.get(0), None);
        let row = br#"{"a":1,"\u0061":{"b": 12.50 }}"#;
        places.find(row, 1, false, &mut found).unwrap();
        assert_eq!(&row[found.get(0).unwrap()], b"12.50");
    }

    #[test]
    fn pairs_of_surrogates_are_one_character_and_half_a_pair_is_none() {
        let text = |raw: &str| {
            let mut out = Vec::new();
            unescape(raw.as_bytes(), |piece| out.extend_from_slice(piece))?;
            Ok::<_, String>(String::from_utf8(out).unwrap())
        };
        assert_eq!(text(r"\ud83d\ude00!").unwrap(), "😀!");
        for half in [
            r"\ud83d",
            r"\ud83d\n",
            r"\ude00",
            r"\ud83d\u0041",
            r"\ude00\ude00",
        ] {
            assert!(text(half).is_err(), "{half}");
        }
    }
}
