//! Tests of `yaml`: what a plain scalar is, by the core schema of YAML 1.2.

use proptest::prelude::*;

use super::*;

#[track_caller]
fn check(text: &str, found: &str) {
    assert_eq!(format!("{:?}", Value::of_plain(text)), found, "{text}");
}

#[test]
fn what_yaml_1_1_took_for_a_boolean_is_text() {
    for text in [
        "no", "yes", "on", "off", "y", "n", "tRue", "nULL", "none", "None",
    ] {
        check(text, &format!("Text({text:?})"));
    }
    for text in ["true", "True", "TRUE"] {
        check(text, "Bool(true)");
    }
    for text in ["false", "False", "FALSE"] {
        check(text, "Bool(false)");
    }
    for text in ["", "~", "null", "Null", "NULL"] {
        check(text, "Null");
    }
}

#[test]
fn integers_are_decimal_unless_they_say_otherwise() {
    check("0", "Int(0)");
    check("-0", "Int(0)");
    check("+7", "Int(7)");
    check("010", "Int(10)");
    check("0o17", "Int(15)");
    check("0x1F", "Int(31)");
    check("18446744073709551616", "Int(18446744073709551616)");
    for text in [
        "1_000", "1,000", "0o8", "0xG", "0x", "0o", "0x+1", "-0x1", "0b1", "1:30", "--1",
    ] {
        check(text, &format!("Text({text:?})"));
    }
}

#[test]
fn numbers_have_a_point_or_an_exponent_or_are_special() {
    check("1.5", "Float(1.5)");
    check("-.5", "Float(-0.5)");
    check("5.", "Float(5.0)");
    check("1e3", "Float(1000.0)");
    check("1.5E-3", "Float(0.0015)");
    check(".inf", "Float(inf)");
    check("-.INF", "Float(-inf)");
    check("+.Inf", "Float(inf)");
    check(".nan", "Float(NaN)");
    check("1e999", "Float(inf)");
    for text in [
        "inf",
        "nan",
        "-.nan",
        ".iNF",
        ".",
        "-",
        "e3",
        "1e",
        ".e3",
        "1.5.2",
        "1-2",
        "2024-01-02",
        "1.5s",
        "10.0.0.1",
    ] {
        check(text, &format!("Text({text:?})"));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whole_numbers_read_as_they_are(number in any::<i128>()) {
        prop_assert!(matches!(Value::of_plain(&number.to_string()), Value::Int(n) if n == number));
        let number = number.unsigned_abs() >> 1;
        let read = Value::of_plain(&format!("{number:#x}"));
        prop_assert!(matches!(read, Value::Int(n) if n.unsigned_abs() == number));
    }

    #[test]
    fn doubles_read_as_they_are(number in prop::num::f64::NORMAL) {
        for text in [format!("{number:?}"), format!("{number:e}")] {
            let read = match Value::of_plain(&text) {
                Value::Float(read) => read,
                // `1e0` has an exponent; `{:?}` always has a point.
                other => panic!("{text}: {other:?}"),
            };
            prop_assert_eq!(read.to_bits(), number.to_bits(), "{}", text);
        }
    }

    #[test]
    fn any_other_text_stays_what_it_is(text in "[a-zA-Z .:+-]{1,12}") {
        if let Value::Text(read) = Value::of_plain(&text) {
            prop_assert_eq!(read, text);
        }
    }
}
