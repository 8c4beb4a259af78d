//! Tests of `canonical`.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn canonical(json: &str) -> String {
    let mut out = Vec::new();
    write_value(&serde_json::from_str(json).unwrap(), &mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn rfc_8785_section_3_2_2() {
    let json = r#"{"numbers":[333333333.33333329,1E30,4.50,2e-3,
        0.000000000000000000000000001],"string":"\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
        "literals":[null,true,false]}"#;
    assert_eq!(
        canonical(json),
        r#"{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"#
            .to_owned()
            + r#""string":"€$\u000f\nA'B\"\\\\\"/"}"#
    );
}

#[test]
fn rfc_8785_sorts_names_by_utf_16() {
    let json = r#"{"\u20ac":1,"\r":2,"\ufb33":3,"1":4,"\ud83d\ude00":5,"\u0080":6,"\u00f6":7}"#;
    assert_eq!(
        canonical(json),
        "{\"\\r\":2,\"1\":4,\"\u{80}\":6,\"ö\":7,\"€\":1,\"😀\":5,\"\u{fb33}\":3}"
    );
}

#[test]
fn rfc_8785_appendix_b_numbers() {
    for (bits, text) in [
        (0x0000_0000_0000_0000, "0"),
        (0x8000_0000_0000_0000, "0"),
        (0x0000_0000_0000_0001, "5e-324"),
        (0x8000_0000_0000_0001, "-5e-324"),
        (0x7fef_ffff_ffff_ffff, "1.7976931348623157e+308"),
        (0xffef_ffff_ffff_ffff, "-1.7976931348623157e+308"),
        (0x4340_0000_0000_0000, "9007199254740992"),
        (0xc340_0000_0000_0000, "-9007199254740992"),
        (0x4430_0000_0000_0000, "295147905179352830000"),
        (0x44b5_2d02_c7e1_4af5, "9.999999999999997e+22"),
        (0x44b5_2d02_c7e1_4af6, "1e+23"),
        (0x44b5_2d02_c7e1_4af7, "1.0000000000000001e+23"),
        (0x444b_1ae4_d6e2_ef4e, "999999999999999700000"),
        (0x444b_1ae4_d6e2_ef4f, "999999999999999900000"),
        (0x444b_1ae4_d6e2_ef50, "1e+21"),
        (0x3eb0_c6f7_a0b5_ed8c, "9.999999999999997e-7"),
        (0x3eb0_c6f7_a0b5_ed8d, "0.000001"),
        (0x41b3_de43_5555_5553, "333333333.3333332"),
        (0x41b3_de43_5555_5554, "333333333.33333325"),
        (0x41b3_de43_5555_5555, "333333333.3333333"),
        (0x41b3_de43_5555_5556, "333333333.3333334"),
        (0x41b3_de43_5555_5557, "333333333.33333343"),
        (0x4314_3ff3_c1cb_0959, "1424953923781206.2"),
    ] {
        let mut out = Vec::new();
        write_f64(f64::from_bits(bits), &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), text, "{bits:016x}");
    }
}

#[test]
fn large_integers_keep_their_digits() {
    assert_eq!(canonical("-9223372036854775808"), "-9223372036854775808");
    assert_eq!(canonical("9007199254740993"), "9007199254740993");
    assert_eq!(canonical("18446744073709551615"), "18446744073709551615");
    assert_eq!(canonical("[1.0, -0, 1e2]"), "[1,0,100]");
}

#[test]
fn equal_numbers_give_equal_text_however_they_are_written() {
    for (text, others) in [
        ("0", &["-0", "0.0", "-0.0", "0e5", "0.0e-5"][..]),
        ("1", &["1.0", "1e0", "0.1e1", "10e-1"]),
        (
            "1000000000000000000",
            &["1e18", "1000000000000000000.0", "1.0E+18"],
        ),
        // 2^60, whose shortest digits are other ones than its own.
        (
            "1152921504606846976",
            &["1152921504606846976.0", "1.152921504606846976e18"],
        ),
        (
            "-9223372036854775808",
            &["-9223372036854775808.0", "-9.223372036854775808e18"],
        ),
        ("9223372036854775808", &["9223372036854775808.0"]),
        ("10000000000000000000", &["1e19", "10000000000000000000.0"]),
        (
            "18446744073709552000",
            &["18446744073709551616", "1.8446744073709552e19"],
        ),
        (
            "-9223372036854778000",
            &["-9223372036854777856", "-9.223372036854777856e18"],
        ),
        (
            "0.1",
            &["1e-1", "0.10", "0.1000000000000000055511151231257827"],
        ),
    ] {
        for other in others {
            assert_eq!(canonical(other), text, "{other}");
        }
    }
}

#[test]
fn what_stands_between_the_values_does_not_matter() {
    let loose = "{ \"b\" : [ 1 ,\t2 ] ,\r\n \"a\" : \"\\u0062\\/\" }";
    assert_eq!(canonical(loose), r#"{"a":"b/","b":[1,2]}"#);
}

/// Digits and exponent of `d.ddde-ddd`.
fn parts(text: &str) -> (String, i32) {
    let (digits, exponent) = text.trim_start_matches('-').split_once('e').unwrap();
    (digits.replace('.', ""), exponent.parse().unwrap())
}

/// `Number.prototype.toString` as ECMA-262 puts it, with `digits` of the number.
fn by_ecma_262(digits: &str, exponent: i32) -> String {
    let (k, n) = (digits.len() as i32, exponent + 1);
    if k <= n && n <= 21 {
        digits.to_owned() + &"0".repeat((n - k) as usize)
    } else if 0 < n && n <= 21 {
        let (whole, part) = digits.split_at(n as usize);
        format!("{whole}.{part}")
    } else if -6 < n && n <= 0 {
        format!("0.{}{digits}", "0".repeat(-n as usize))
    } else {
        let sign = if n > 0 { '+' } else { '-' };
        let (first, rest) = digits.split_at(1);
        let point = if rest.is_empty() { "" } else { "." };
        format!("{first}{point}{rest}e{sign}{}", (n - 1).abs())
    }
}

fn double() -> impl Strategy<Value = f64> {
    let bits = any::<u64>().prop_map(f64::from_bits);
    // Those that people write, and powers of two, where the neighbours are not equally far.
    let decimal = (any::<i32>(), -30..30i32).prop_map(|(n, e)| format!("{n}e{e}").parse().unwrap());
    let power = (0..2046u64).prop_map(|exponent| f64::from_bits(exponent << 52));
    let any = prop_oneof![bits, decimal, power];
    any.prop_filter("no number of JSON", |number| number.is_finite())
}

fn text_of(number: f64) -> String {
    let mut out = Vec::new();
    write_f64(number, &mut out);
    String::from_utf8(out).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 2000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_double_has_the_fewest_digits_that_read_back_and_of_those_the_nearest(number in double()) {
        let text = text_of(number);
        let back: f64 = text.parse().unwrap();
        prop_assert_eq!(back, number);
        prop_assume!(number != 0.0);
        // Rounded to one digit less it is another number; rounded to as many it is this text,
        // unless it reads back as another.
        let (shortest, _) = parts(&format!("{number:e}"));
        let count = shortest.len();
        if count > 1 {
            let shorter = format!("{number:.*e}", count - 2);
            prop_assert_ne!(shorter.parse(), Ok(number));
        }
        let nearest = format!("{number:.*e}", count - 1);
        if nearest.parse() == Ok(number) {
            let (digits, exponent) = parts(&nearest);
            let expected = by_ecma_262(&digits, exponent);
            prop_assert_eq!(text.trim_start_matches('-'), expected);
        }
        prop_assert_eq!(text.starts_with('-'), number < 0.0);
    }

    #[test]
    fn whole_numbers_read_the_same_as_doubles_and_as_integers(number in any::<i64>()) {
        // Only what a double can hold is the same number.
        let number = number as f64;
        let number = if number < TWO_63 { number as i64 } else { i64::MIN };
        prop_assert_eq!(canonical(&format!("{number}.0")), number.to_string());
        prop_assert_eq!(canonical(&number.to_string()), number.to_string());
    }

    #[test]
    fn names_are_in_order_of_utf_16(names in prop::collection::vec(any::<String>(), 0..8)) {
        let map: serde_json::Map<String, Value> =
            names.iter().map(|name| (name.clone(), Value::Null)).collect();
        let mut out = Vec::new();
        write_value(&Value::Object(map), &mut out);
        let sorted: BTreeMap<Vec<u16>, &String> =
            names.iter().map(|name| (name.encode_utf16().collect(), name)).collect();
        let mut expected = Vec::new();
        for (i, name) in sorted.into_values().enumerate() {
            expected.push(if i == 0 { b'{' } else { b',' });
            write_string(name, &mut expected);
            expected.extend_from_slice(b":null");
        }
        expected.extend_from_slice(if expected.is_empty() { b"{}" } else { b"}" });
        prop_assert_eq!(out, expected);
    }

    #[test]
    fn strings_escape_what_must_be_and_nothing_else(text in any::<String>()) {
        let mut out = Vec::new();
        write_string(&text, &mut out);
        let escaped = String::from_utf8(out).unwrap();
        prop_assert_eq!(serde_json::from_str::<String>(&escaped).unwrap(), &*text);
        let must = |c: char| c < ' ' || c == '"' || c == '\\';
        let plain = text.chars().filter(|c| !must(*c)).collect::<String>();
        let long = text.chars().filter(|c| must(*c)).map(|c| match c {
            '"' | '\\' | '\u{8}' | '\t' | '\n' | '\u{c}' | '\r' => 2,
            _ => 6,
        });
        prop_assert_eq!(escaped.len(), 2 + plain.len() + long.sum::<usize>());
    }
}
