//! Tests of `json`.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn pointers(texts: &[&str]) -> Vec<Pointer> {
    texts.iter().map(|t| Pointer::parse(t).unwrap()).collect()
}

fn find(texts: &[&str], row: &str) -> Vec<Result<String, String>> {
    let places = Places::new(pointers(texts));
    let mut found = Found::default();
    places.find(row.as_bytes(), &mut found).unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    places.values(&found).map(|v| v.map(text)).collect()
}

#[test]
fn values_are_found_in_order_of_the_pointers() {
    let row = r#"{"x":[1,{"y":"é\n"}],"a/b":{"~":null},"t":true,"":2.50}"#;
    let texts = [
        "/x/1/y", "/x/0", "/a~1b/~0", "/t", "/", "/x/2", "/x/01", "/t/u", "/x/1",
    ];
    let missing = |text: &str| Err(format!("`{text}` is missing"));
    assert_eq!(
        find(&texts, row),
        [
            Ok("sé\n".into()),
            Ok("j1".into()),
            Err("`/a~1b/~0` is null".into()),
            Ok("jtrue".into()),
            Ok("j2.5".into()),
            missing("/x/2"),
            missing("/x/01"),
            missing("/t/u"),
            Ok("j{\"y\":\"é\\n\"}".into()),
        ]
    );
    assert_eq!(find(&[""], "[ 1, 2.0 ]"), [Ok("j[1,2]".into())]);
    assert_eq!(
        find(&["", ""], "null")[1],
        Err("the document is null".into())
    );
}

#[test]
fn of_a_name_twice_the_last_counts() {
    let row = r#"{"a":{"b":1},"a":{"c":2}}"#;
    assert_eq!(find(&["/a/b"], row), [Err("`/a/b` is missing".into())]);
    assert_eq!(find(&["/a/c"], row), [Ok("j2".into())]);
}

#[test]
fn a_row_that_is_not_json_says_where() {
    let places = Places::new(pointers(&["/a"]));
    let mut found = Found::default();
    for (row, message) in [
        (&b"{\"a\":1"[..], "EOF while parsing an object at column 6"),
        (b"{\"a\":1}x", "trailing characters at column 8"),
        (b"\xff", "expected value at column 1"),
    ] {
        let error = places.find(row, &mut found).unwrap_err();
        assert_eq!(error, format!("the row is not JSON: {message}"));
    }
    // Deeper than the parser goes where it keeps something; it must not run out of stack.
    let deep = "[".repeat(100_000);
    for pointer in ["", "/0", "/a"] {
        let places = Places::new(pointers(&[pointer]));
        assert!(places.find(deep.as_bytes(), &mut found).is_err());
    }
}

#[test]
fn pointers_are_checked() {
    for good in ["", "/", "/a/0/b", "/~0~1"] {
        assert_eq!(Pointer::parse(good).unwrap().as_str(), good);
    }
    let no_slash = Pointer::parse("user").unwrap_err();
    assert_eq!(
        no_slash.to_string(),
        "a JSON Pointer begins with `/`: write `/user`"
    );
    assert_eq!(Pointer::parse("/a~2"), Err(PointerError::Tilde));
    assert_eq!(Pointer::parse("/a~"), Err(PointerError::Tilde));
    assert_eq!(
        Pointer::parse(&"/a".repeat(128)),
        Err(PointerError::TooDeep { max: 127 })
    );
}

fn document() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-c\"\\\\é]{0,3}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let name = prop_oneof![Just("a"), Just("b"), Just("0"), Just("~"), Just("/")];
        let entries = prop::collection::vec((name, inner.clone()), 0..4);
        prop_oneof![
            prop::collection::vec(inner, 0..4).prop_map(Value::from),
            entries.prop_map(|e| e.into_iter().map(|(n, v)| (n.to_owned(), v)).collect()),
        ]
    })
}

proptest! {
    #[test]
    fn values_are_where_serde_json_finds_them(
        row in document(),
        texts in prop::collection::vec("(/(a|b|0|1|~0|~1)){0,3}", 1..5),
    ) {
        let texts: Vec<_> = texts.iter().map(String::as_str).collect();
        let expected: Vec<_> = texts
            .iter()
            .map(|text| match row.pointer(text) {
                None => None,
                Some(Value::Null) => None,
                Some(Value::String(s)) => Some(format!("s{s}")),
                Some(other) => {
                    let mut out = Vec::new();
                    canonical::write_part_value(other, &mut out);
                    Some(String::from_utf8(out).unwrap())
                }
            })
            .collect();
        let found: Vec<_> = find(&texts, &row.to_string()).into_iter().map(Result::ok).collect();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn canonical_text_reads_back_as_the_same_value(row in document()) {
        let mut out = Vec::new();
        canonical::write_part_value(&row, &mut out);
        let back: Value = serde_json::from_slice(&out[1..]).unwrap();
        let mut again = Vec::new();
        canonical::write_part_value(&back, &mut again);
        prop_assert_eq!(&out, &again);
        prop_assert!(same(&back, &row), "{} {}", back, row);
    }
}

/// Equal but for whole numbers, which may change from float to integer.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|((n, a), (m, b))| n == m && same(a, b))
        }
        (a, b) => a == b,
    }
}

#[test]
fn check_takes_any_document_and_nothing_else() {
    for good in [json!({"a": [1]}), json!("x"), json!(null)] {
        assert_eq!(check(good.to_string().as_bytes()), Ok(()));
    }
    for bad in ["", "{", "1 2", "{'a':1}", "NaN"] {
        assert!(check(bad.as_bytes()).is_err(), "{bad}");
    }
}
