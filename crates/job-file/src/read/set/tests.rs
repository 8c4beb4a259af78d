//! Tests of `set`.

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::*;
use crate::{
    read::json,
    source::{Document, FILE},
};

/// The tree of `text` with arguments applied, as JSON; the errors where there are any.
fn apply_all(text: &str, sets: &[&str]) -> Result<Json, Vec<String>> {
    let file = Arc::new(Document::new("a.yaml".to_owned(), text.to_owned()));
    let arguments = sets.iter().map(|set| Arc::new(Document::of_argument(set)));
    let documents: Vec<_> = [Arc::new(Document::none()), file]
        .into_iter()
        .chain(arguments)
        .collect();
    let mut report = Report::new(documents.clone());
    let mut root = yaml::parse(text, FILE, 0, &mut report).unwrap();
    for (at, set) in sets.iter().enumerate() {
        apply(set, FILE + 1 + at, &mut root, &mut report);
    }
    check_spans(&root, &documents);
    let json = json::of(&root, &mut report);
    match report.finish() {
        Ok(()) => Ok(json),
        Err(errors) => {
            assert!(!errors.render(false, 100).is_empty());
            Err(errors.iter().map(|error| error.message.clone()).collect())
        }
    }
}

/// Every plain word stands where its span says, be that the file or an argument.
fn check_spans(node: &Node, documents: &[Arc<Document>]) {
    let at = |span: Span| &documents[span.document].text[span.start..span.end];
    match &node.value {
        Value::Map(entries) => {
            for entry in entries {
                let is_word = entry.key.chars().all(|c| c.is_alphabetic() || c == '-');
                if is_word && !entry.key.is_empty() {
                    assert_eq!(at(entry.key_span).trim_matches(['"', '\'']), entry.key);
                }
                check_spans(&entry.node, documents);
            }
        }
        Value::List(list) => list.iter().for_each(|item| check_spans(item, documents)),
        Value::Int(number) => assert_eq!(at(node.span).parse(), Ok(*number)),
        _ => {
            at(node.span);
        }
    }
}

#[track_caller]
fn check(text: &str, sets: &[&str], expected: Json) {
    assert_eq!(apply_all(text, sets), Ok(expected), "{sets:?}");
}

#[track_caller]
fn check_error(text: &str, set: &str, message: &str) {
    assert_eq!(apply_all(text, &[set]).unwrap_err(), [message]);
}

#[test]
fn dots_walk_mappings_and_brackets_lists() {
    let text = "a: { b-c: [ 1, { d: 2 }, [ 3 ] ] }";
    check(
        text,
        &["a.b-c[0]=9"],
        json!({"a": {"b-c": [9, {"d": 2}, [3]]}}),
    );
    check(
        text,
        &["a.b-c[1].d=9"],
        json!({"a": {"b-c": [1, {"d": 9}, [3]]}}),
    );
    check(
        text,
        &["a.b-c[2][0]=9"],
        json!({"a": {"b-c": [1, {"d": 2}, [9]]}}),
    );
    check(text, &["a=9"], json!({"a": 9}));
}

#[test]
fn mappings_that_are_missing_are_made() {
    check("a: 1", &["b.c.d=2"], json!({"a": 1, "b": {"c": {"d": 2}}}));
    check("a:", &["a.b=2"], json!({"a": {"b": 2}}));
    check("", &["a.b=2"], json!({"a": {"b": 2}}));
}

#[test]
fn the_later_argument_wins() {
    check("a: 1", &["a=2", "a=3"], json!({"a": 3}));
    check(
        "a: 1",
        &["a={ b: 2, c: 3 }", "a.b=4"],
        json!({"a": {"b": 4, "c": 3}}),
    );
    check("a: 1", &["b.c=2", "b=3"], json!({"a": 1, "b": 3}));
}

#[test]
fn values_are_yaml() {
    check(
        "",
        &["a=[ 1, x, { y: no } ]"],
        json!({"a": [1, "x", {"y": "no"}]}),
    );
    check("", &["a=\"1\""], json!({"a": "1"}));
    check("", &["a=x=y"], json!({"a": "x=y"}));
    check("", &["a="], json!({"a": null}));
    check("", &["a= 1 "], json!({"a": 1}));
    check("", &["a=\n- 1\n- 2\n"], json!({"a": [1, 2]}));
    check("", &["é=🌞"], json!({"é": "🌞"}));
}

#[test]
fn an_argument_that_cannot_be_applied_changes_nothing() {
    let text = "a: { b: [ 1 ] }";
    for set in [
        "a.b[1]=2",
        "a.b.c=2",
        "a[0]=2",
        "x.y[0]=2",
        "a.b[0].c=2",
        "a=[",
        "q",
    ] {
        let mut report = Report::new(vec![Arc::new(Document::new(
            String::new(),
            text.to_owned(),
        ))]);
        let mut root = yaml::parse(text, FILE, 0, &mut report).unwrap();
        apply(set, FILE + 1, &mut root, &mut report);
        assert_eq!(
            json::of(&root, &mut report),
            json!({"a": {"b": [1]}}),
            "{set}"
        );
        assert!(report.finish().is_err(), "{set}");
    }
}

#[test]
fn a_path_is_keys_with_indices_behind_them() {
    for path in [
        "", ".", "a.", ".a", "a..b", "[0]", "a[", "a[]", "a[x]", "a[-1]", "a[+1]", "a[0]b",
    ] {
        let message = format!("`{path}` is no path of a value");
        check_error("", &format!("{path}=1"), &message);
    }
    check_error("a: 1", "a[99999999999999999999999]=1", {
        "`a[99999999999999999999999]` is no path of a value"
    });
    check_error("", "a", "`--set a` has no `=`");
}

#[test]
fn a_storage_of_flinks_that_is_not_in_memory_means_nothing() {
    let name = "execution.checkpointing.storage";
    let message = format!("`{name}` does nothing: `checkpoint.dir` says it all");
    check_error("", &format!("{name}=filesystem"), &message);
    for word in ["rocksdb", "1", "org.example.Storage"] {
        let message = format!("`{name}` has no such value");
        check_error("", &format!("{name}={word}"), &message);
    }
}

#[test]
fn a_path_without_end_is_refused() {
    let path = vec!["a"; 100_000].join(".");
    check_error("", &format!("{path}=1"), "a path of 100000 steps");
    let index = "[0]".repeat(100_000);
    check_error("", &format!("a{index}=1"), "a path of 100001 steps");
    let path = vec!["a"; yaml::MAX_DEPTH].join(".");
    assert!(apply_all("", &[&format!("{path}=1")]).is_ok());
}

#[test]
fn an_alias_of_the_file_stays_in_the_file() {
    check(
        "a: &x { b: 1 }\nc: *x\n",
        &["c.b=2"],
        json!({"a": {"b": 1}, "c": {"b": 2}}),
    );
    check_error(
        "a: &x 1",
        "b=*x",
        "not YAML: an alias that stands for nothing",
    );
}

/// What `--set` should do, on JSON; `None` where it should be refused.
fn model(node: &mut Json, parts: &[Step], value: Json) -> Option<()> {
    let Some((first, rest)) = parts.split_first() else {
        *node = value;
        return Some(());
    };
    match (first, node) {
        (Step::Key(key), node @ Json::Null) => {
            *node = json!({});
            model(
                node.as_object_mut()?
                    .entry(key.clone())
                    .or_insert(Json::Null),
                rest,
                value,
            )
        }
        (Step::Key(key), Json::Object(map)) => {
            model(map.entry(key.clone()).or_insert(Json::Null), rest, value)
        }
        (Step::Index(at), Json::Array(list)) => model(list.get_mut(*at)?, rest, value),
        _ => None,
    }
}

#[derive(Clone, Debug)]
enum Step {
    Key(String),
    Index(usize),
}

fn value() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        "[a-c é=.-]{0,3}".prop_map(Json::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        let entry = ("(a|b|c-d)", inner.clone());
        prop_oneof![
            prop::collection::vec(inner, 0..3).prop_map(Json::from),
            prop::collection::btree_map(entry.0, entry.1, 0..3)
                .prop_map(|map| Json::Object(map.into_iter().collect())),
        ]
    })
}

fn path() -> impl Strategy<Value = Vec<Step>> {
    let key = "(a|b|c-d)".prop_map(Step::Key);
    let any = prop_oneof![3 => key.clone(), 1 => (0..3usize).prop_map(Step::Index)];
    (key, prop::collection::vec(any, 0..4)).prop_map(|(first, mut rest)| {
        rest.insert(0, first);
        rest
    })
}

fn spell(path: &[Step]) -> String {
    let mut text = String::new();
    for step in path {
        match step {
            Step::Key(key) if text.is_empty() => text += key,
            Step::Key(key) => text += &format!(".{key}"),
            Step::Index(at) => text += &format!("[{at}]"),
        }
    }
    text
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn sets_do_what_their_model_does(
        file in value(),
        sets in prop::collection::vec((path(), value()), 1..4),
    ) {
        let mut expected = file.clone();
        let mut all_fit = true;
        for (path, value) in &sets {
            let mut changed = expected.clone();
            match model(&mut changed, path, value.clone()) {
                Some(()) => expected = changed,
                None => all_fit = false,
            }
        }
        let arguments: Vec<String> =
            sets.iter().map(|(path, value)| format!("{}={value}", spell(path))).collect();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let found = apply_all(&file.to_string(), &arguments);
        prop_assert_eq!(found.is_ok(), all_fit);
        if let Ok(found) = found {
            prop_assert_eq!(found, expected);
        }
    }

    #[test]
    fn any_argument_is_applied_or_told_of(set in "[a-c.\\[\\]0-9=: {}é*&!\"'-]{0,24}") {
        let _ = apply_all("a: { b: [ 1, 2 ] }", &[&set]);
    }
}
