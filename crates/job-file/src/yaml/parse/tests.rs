//! Tests of `parse`.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::source::Document;

/// The tree of a text, or the errors.
fn read(text: &str) -> Result<Node, Vec<String>> {
    let document = Arc::new(Document::new("a.yaml".to_owned(), text.to_owned()));
    let mut report = Report::new(vec![document]);
    let node = parse(text, 0, 0, &mut report);
    match report.finish() {
        Ok(()) => Ok(node.expect("a tree where there is no error")),
        Err(errors) => {
            // Whatever is wrong can be shown.
            assert!(!errors.render(false, 100).is_empty());
            Err(errors.iter().map(|error| error.message.clone()).collect())
        }
    }
}

/// The tree in short, each scalar as the text that its span covers.
fn shown(node: &Node, text: &str) -> String {
    match &node.value {
        Value::List(list) => {
            let items: Vec<_> = list.iter().map(|item| shown(item, text)).collect();
            format!("[{}]", items.join(" "))
        }
        Value::Map(entries) => {
            let entry = |entry: &Entry| {
                let key = &text[entry.key_span.start..entry.key_span.end];
                format!("{key}={}", shown(&entry.node, text))
            };
            format!(
                "{{{}}}",
                entries.iter().map(entry).collect::<Vec<_>>().join(" ")
            )
        }
        _ => text[node.span.start..node.span.end].to_owned(),
    }
}

#[track_caller]
fn check(text: &str, expected: &str) {
    let node = read(text).unwrap();
    assert_eq!(shown(&node, text), expected);
}

#[track_caller]
fn check_error(text: &str, message: &str) {
    assert_eq!(read(text).unwrap_err(), [message]);
}

fn texts(text: &str) -> Vec<String> {
    let Value::Map(entries) = read(text).unwrap().value else {
        panic!("no mapping");
    };
    let value = |entry: Entry| match entry.node.value {
        Value::Text(text) => text,
        other => panic!("{other:?}"),
    };
    entries.into_iter().map(value).collect()
}

#[test]
fn spans_are_right_behind_characters_of_many_bytes() {
    check(
        "é: à # ∑\n日本: [ 🌞, ñ ]\n\"ü\": 'ß'\n",
        "{é=à 日本=[🌞 ñ] \"ü\"='ß'}",
    );
}

#[test]
fn spans_are_right_where_lines_end_as_on_windows() {
    check(
        "a: 1\r\nb:\r\n  - x\r\n  - y: é\r\nc: { d: e }\r\n",
        "{a=1 b=[x {y=é}] c={d=e}}",
    );
}

#[test]
fn a_block_ends_with_its_last_value() {
    let text = "a:\n  b: 1\n  c:\n  - x\n\n# end\nd: 2\n";
    let node = read(text).unwrap();
    let a = node.entry("a").unwrap();
    assert_eq!(
        &text[a.node.span.start..a.node.span.end],
        "b: 1\n  c:\n  - x"
    );
    let text = "a: &x { b: [ 1,\n 2 ] } # end\n";
    let node = read(text).unwrap();
    let a = node.entry("a").unwrap();
    assert_eq!(
        &text[a.node.span.start..a.node.span.end],
        "{ b: [ 1,\n 2 ] }"
    );
}

#[test]
fn quoted_scalars_are_text_whatever_they_say() {
    assert_eq!(
        texts("a: \"1\"\nb: 'true'\nc: \"\"\nd: \"\\t\\u00e9\\\"\"\ne: 'it''s'\nf: \"a\n  b\"\n"),
        ["1", "true", "", "\té\"", "it's", "a b"]
    );
}

#[test]
fn block_scalars_keep_or_fold_their_lines() {
    assert_eq!(
        texts("a: |\n  x\n   y\nb: >\n  x\n  y\n\n  z\nc: |-\n  x\nd: |+\n  x\n\ne: >-\n  1\n"),
        ["x\n y\n", "x y\nz\n", "x", "x\n\n", "1"]
    );
    assert_eq!(texts("a: |\r\n  x\r\n  y\r\n"), ["x\ny\n"]);
}

#[test]
fn a_text_without_a_document_is_nothing() {
    for text in ["", "\n", "# only this\n", "---\n", "--- # and this\n...\n"] {
        assert!(matches!(read(text).unwrap().value, Value::Null), "{text:?}");
    }
}

#[test]
fn a_job_file_is_one_document() {
    check("%YAML 1.2\n---\na: 1\n...\n# end\n", "{a=1}");
    check_error("a: 1\n---\nb: 2\n", "a job file is one document");
    check_error("a: 1\n---\n", "a job file is one document");
}

#[test]
fn a_key_is_there_once() {
    check_error("{ a: 1, b: 2, a: 3 }", "`a` is there twice");
    check_error("a: 1\n'a': 2\n", "`a` is there twice");
    assert_eq!(
        read("a: { b: 1, b: 2 }\na: 1\n").unwrap_err(),
        ["`b` is there twice", "`a` is there twice"]
    );
    // 1 and "1" are one key: keys are texts.
    check_error("1: a\n\"1\": b\n", "`1` is there twice");
}

#[test]
fn yaml_beyond_plain_data_is_refused() {
    check_error("a: &x { b: 1 }\nc: { <<: *x }\n", "merge keys are not read");
    check("'<<': 1", "{'<<'=1}");
    check_error("a: !!str 1", "tags are not read");
    check_error("!a k: 1", "tags are not read");
    check_error("? [ a ]\n: 1\n", "a key is plain text");
    check_error("{ a: 1 }: 2", "a key is plain text");
    check_error("&x a: 1", "a key is plain text");
    check_error(": 1", "a key is plain text");
    check_error("{ : 1 }", "a key is plain text");
    check("'': 1", "{''=1}");
    check_error("a: &x 1\n*x : 2", "a key is plain text");
}

#[test]
fn an_alias_is_a_copy_of_what_was_anchored_last() {
    let text = "a: &x 1\nb: *x\nc: &x { d: 2 }\ne: *x\n";
    check(text, "{a=1 b=1 c={d=2} e={d=2}}");
    check_error("a: &x [ 1, *x ]", "an alias inside of what it stands for");
    check_error("a: *x", "not YAML: an alias that stands for nothing");
}

/// `levels` lists of ten aliases of the list before.
fn laughs(levels: usize) -> String {
    let mut text = "a0: &a0 [ x, x, x, x, x, x, x, x, x, x ]\n".to_owned();
    for level in 1..=levels {
        let alias = format!("*a{}", level - 1);
        text += &format!("a{level}: &a{level} [ {} ]\n", [&*alias; 10].join(", "));
    }
    text
}

#[test]
fn aliases_that_multiply_end_early() {
    assert!(read(&laughs(2)).is_ok());
    check_error(&laughs(9), "too many values");
    // The values are few and the text is much.
    let long = "x".repeat(500_000);
    let text = format!("a: &a {long}\nb: [ {} ]\n", ["*a"; 100].join(", "));
    assert!(text.len() < MAX_BYTES);
    check_error(&text, "too many values");
    // A key is a text too.
    let text = format!(
        "a: &a {{ ? {long}\n : 1 }}\nb: [ {} ]\n",
        ["*a"; 100].join(", ")
    );
    check_error(&text, "too many values");
}

#[test]
fn nesting_ends_with_and_without_aliases() {
    let nested = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
    assert!(read(&nested(MAX_DEPTH)).is_ok());
    check_error(&nested(MAX_DEPTH + 1), "values are nested too deep");
    check_error(&nested(100_000), "values are nested too deep");
    // Each line is as deep as the one before and thirty levels deeper.
    let deep = |lines: usize| {
        let mut text = format!("a0: &a0 {}\n", nested(30));
        for line in 1..=lines {
            let inner = nested(30).replace('1', &format!("*a{}", line - 1));
            text += &format!("a{line}: &a{line} {inner}\n");
        }
        text
    };
    assert!(read(&deep(1)).is_ok());
    check_error(&deep(2), "values are nested too deep");
}

#[test]
fn what_is_no_yaml_is_told_in_words() {
    for (text, message) in [
        ("a: [ 1", "`[` is never closed"),
        ("a: { b: 1", "`{` is never closed"),
        ("a: 'x", "a quote is never closed"),
        ("a: b: c", "a `:` where no key can be"),
        ("a: 1\nb\nc: 2\n", "a key without its `:`"),
        (
            "a:\n  b: 1\n c: 2\n",
            "this line does not belong to what is above it",
        ),
        ("a:\n\tb: 1\n", "a tab"),
        ("a: `x`\n", "a text cannot begin with ```"),
        ("a: [ 1 }\n", "mismatched bracket '[' closed by '}'"),
    ] {
        check_error(text, &format!("not YAML: {message}"));
    }
}

/// Texts of the pieces that YAML is made of, most of them wrong.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "a", "b: ", "- ", "\n", "\r\n", "  ", "{", "}", "[", "]", ", ", ": ", "'", "\"", "|\n",
        "> ", "&x ", "*x ", "!t ", "? ", "# c", "---\n", "...\n", "é", "🌞", "\t", "<<: ", "%",
        "\\", "@", "1.5", "\u{feff}", "\u{85}", "\0",
    ]);
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

/// All spans of a tree.
fn spans(node: &Node, all: &mut Vec<Span>) {
    all.push(node.span);
    match &node.value {
        Value::List(list) => list.iter().for_each(|item| spans(item, all)),
        Value::Map(entries) => {
            for entry in entries {
                all.push(entry.key_span);
                spans(&entry.node, all);
            }
        }
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 2000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_text_is_read_or_told_of(text in pieces()) {
        if let Ok(node) = read(&text) {
            let mut all = Vec::new();
            spans(&node, &mut all);
            for span in all {
                prop_assert!(text.get(span.start..span.end).is_some(), "{:?} {:?}", span, text);
            }
        }
    }
}
