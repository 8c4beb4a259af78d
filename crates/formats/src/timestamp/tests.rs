//! Tests of `timestamp`.

use weir_model::Column;

use super::*;

fn select(selector: &TimestampSelector, row: &[u8]) -> Result<i64, String> {
    let rows: Column = [row].into_iter().collect();
    let (mut times, mut bad) = (Vec::new(), Vec::new());
    selector.select(rows.view(), &mut times, &mut bad);
    assert_eq!(times.len(), 1);
    match bad.pop() {
        Some(bad) => Err(bad.message),
        None => Ok(times[0]),
    }
}

#[test]
fn units_are_rounded_down_to_milliseconds() {
    use TimeUnit::{Microseconds, Milliseconds, Nanoseconds, Seconds};
    for (text, unit, ms) in [
        ("1", Seconds, 1000),
        ("1.2345", Seconds, 1234),
        ("-1.2345", Seconds, -1235),
        ("-1.2340000000000001", Seconds, -1235),
        ("+5", Milliseconds, 5),
        (" 5.999 ", Milliseconds, 5),
        ("1999", Microseconds, 1),
        ("-1", Microseconds, -1),
        ("1357035300000000000", Nanoseconds, 1_357_035_300_000),
        ("9223372036854775806", Milliseconds, i64::MAX - 1),
    ] {
        assert_eq!(parse(text.as_bytes(), unit), Some(ms), "{text}");
    }
    for text in [
        "",
        "-",
        "1.",
        ".5",
        "1e3",
        "abc",
        "0x1",
        "1 2",
        "9223372036854775807",
        "-9223372036854775808",
        "99999999999999999999999999999999999999999999",
        "１",
    ] {
        assert_eq!(parse(text.as_bytes(), Milliseconds), None, "{text}");
    }
}

#[test]
fn a_csv_column_holds_the_time() {
    let selector = TimestampSelector::column(b',', 1, TimeUnit::Milliseconds);
    assert_eq!(
        select(&selector, b"x,\"1357035300000\""),
        Ok(1_357_035_300_000)
    );
    assert_eq!(
        select(&selector, b"x,"),
        Err("column 1 is ``, which is not a time in milliseconds".into())
    );
    assert_eq!(
        select(&selector, b"x"),
        Err("there is no column 1: the row has 1 fields".into())
    );
}

#[test]
fn a_place_of_a_json_row_holds_the_time() {
    let pointer = Pointer::parse("/t").unwrap();
    let selector = TimestampSelector::pointer(pointer, TimeUnit::Seconds);
    assert_eq!(select(&selector, br#"{"t":1.5}"#), Ok(1500));
    assert_eq!(select(&selector, br#"{"t":"1.5"}"#), Ok(1500));
    assert_eq!(select(&selector, br#"{"t":17e8}"#), Ok(1_700_000_000_000));
    for (row, message) in [
        (
            &br#"{"t":[1]}"#[..],
            "`/t` is `[1]`, which is not a time in seconds",
        ),
        (br#"{"t":null}"#, "`/t` is null"),
        (b"{}", "`/t` is missing"),
        (
            b"1 2",
            "the row is not JSON: trailing characters at column 3",
        ),
    ] {
        assert_eq!(select(&selector, row), Err(message.into()));
    }
}

#[test]
fn a_long_value_is_shown_in_part() {
    let selector = TimestampSelector::column(b',', 0, TimeUnit::Seconds);
    let message = select(&selector, &[b'x'; 1000]).unwrap_err();
    assert!(message.len() < 120 && message.contains('…'), "{message}");
}

#[test]
fn rows_whose_time_is_empty_are_left_out_where_that_is_said() {
    let pointer = Pointer::parse("/t").unwrap();
    let of_json = TimestampSelector::pointer(pointer, TimeUnit::Seconds).leaving_out_empty();
    let of_csv = TimestampSelector::column(b',', 0, TimeUnit::Seconds).leaving_out_empty();
    for (selector, row, left_out) in [
        (&of_json, &br#"{"t":null}"#[..], true),
        (&of_json, br#"{"t":""}"#, true),
        (&of_json, b"{}", false),
        (&of_json, br#"{"t":"soon"}"#, false),
        (&of_csv, b",1", true),
        (&of_csv, b"null,1", true),
        (&of_csv, b"soon,1", false),
    ] {
        let rows: Column = [row].into_iter().collect();
        let (mut times, mut bad) = (Vec::new(), Vec::new());
        selector.select(rows.view(), &mut times, &mut bad);
        let row = String::from_utf8_lossy(row);
        assert_eq!(bad.len(), 1, "{row}");
        assert_eq!(bad[0].left_out, left_out, "{row}");
    }
}
