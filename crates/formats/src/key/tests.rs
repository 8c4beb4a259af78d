//! Tests of `key`.

use proptest::prelude::*;

use super::*;

fn select(selector: &dyn KeySelector, rows: &[&[u8]]) -> (Column, Vec<BadKey>) {
    let rows: Column = rows.iter().copied().collect();
    let (mut keys, mut bad) = (Column::new(), Vec::new());
    selector.select(rows.view(), &mut keys, &mut bad);
    assert_eq!(keys.len(), rows.len());
    (keys, bad)
}

#[test]
fn bytes_of_any_length_stand_behind_it() {
    let row: Vec<u8> = (0..=255).collect();
    for length in (1..40).chain([127, 128, 200]) {
        let (keys, bad) = select(&BytesKey::new(7, length), &[&row, &row[..6 + length]]);
        let mut expected = Vec::new();
        write_uvarint(length, &mut expected);
        expected.extend_from_slice(&row[7..7 + length]);
        assert_eq!((keys.get(0), keys.get(1)), (&expected[..], &b""[..]));
        assert_eq!((bad.len(), bad[0].row), (1, 1));
    }
}

#[test]
fn numbers_are_selected_behind_other_keys_and_a_short_row_is_seen_among_others() {
    for length in [4, 8, 16] {
        let selector = BytesKey::new(2, length);
        let row = |first: u8| (first..first + 2 + length as u8).collect::<Vec<_>>();
        let key = |first: u8| [&[length as u8], &row(first)[2..]].concat();
        for others in [vec![], vec![key(9)], vec![b"other".to_vec()]] {
            let mut keys: Column = others.iter().map(Vec::as_slice).collect();
            let (long, short) = (row(5), row(6)[1..].to_vec());
            let rows: Column = [&row(1)[..], &long, &short, &[&row(7)[..], b"x"].concat()]
                .into_iter()
                .collect();
            let mut bad = Vec::new();
            selector.select(rows.view(), &mut keys, &mut bad);
            let selected = [key(1), key(5), Vec::new(), key(7)];
            assert!(keys.iter().eq(others.iter().chain(&selected)));
            assert_eq!((bad.len(), bad[0].row), (1, 2));
            let whole: Column = [&row(1)[..], &long].into_iter().collect();
            selector.select(whole.view(), &mut keys, &mut bad);
            assert!(keys.iter().skip(others.len() + 4).eq([key(1), key(5)]));
            assert_eq!(bad.len(), 1);
        }
    }
}

#[test]
fn columns_with_a_header_are_told_by_name_wherever_they_stand() {
    let header = |names: &[&str]| {
        names
            .iter()
            .map(|&name| name.to_owned())
            .collect::<Vec<_>>()
    };
    let told = |columns: &[usize], names: &[&str]| {
        CsvKey::new(b',', columns)
            .with_header(&header(names))
            .describe()
    };
    assert_eq!(
        told(&[1, 0], &["user", "item"]),
        "csv columns `item`, `user`"
    );
    assert_eq!(
        told(&[0, 1], &["item", "user"]),
        "csv columns `item`, `user`"
    );
    assert_eq!(told(&[0, 2], &["a", "b", "a"]), "csv columns 0, 2");
    assert_eq!(told(&[7], &["a"]), "csv columns 7");
}

#[test]
fn csv_parts_are_in_the_order_asked_for() {
    let key = CsvKey::new(b',', &[3, 0, 3]);
    let (keys, bad) = select(&key, &[b"a,b,c,\"d\"\"\"", b"a,b,c", b",,,"]);
    assert_eq!(keys.get(0), b"\x02d\"\x01a\x02d\"");
    assert_eq!(keys.get(1), b"");
    assert_eq!(keys.get(2), b"\x00\x00\x00");
    assert_eq!(bad.len(), 1);
    assert_eq!(bad[0].row, 1);
    assert_eq!(bad[0].message, "there is no column 3: the row has 3 fields");
}

#[test]
fn a_key_is_described_by_its_parts_in_the_order_asked_for() {
    let pointers = ["/k", "", "/id"].map(|t| Pointer::parse(t).unwrap());
    for (key, words) in [
        (
            &CsvKey::new(b',', &[3, 0, 3]) as &dyn KeySelector,
            "csv columns 3, 0, 3",
        ),
        (&CsvKey::new(b'\t', &[0]), "csv columns 0"),
        (
            &JsonKey::new(pointers.to_vec()),
            "json /k, the document, /id",
        ),
        (&JsonKey::new(pointers[..1].to_vec()), "json /k"),
        (&RowKey, "row"),
        (&BytesKey::new(8, 16), "bytes 8 to 23"),
    ] {
        assert_eq!(key.describe(), words);
    }
}

#[test]
fn a_quoted_and_a_plain_field_are_the_same_key() {
    let (keys, _) = select(&CsvKey::new(b',', &[0]), &[b"\"UA\",1", b"UA,2"]);
    assert_eq!(keys.get(0), keys.get(1));
}

#[test]
fn json_parts_have_a_type_byte() {
    let pointers = ["/id", "/k"].map(|t| Pointer::parse(t).unwrap());
    let key = JsonKey::new(pointers.to_vec());
    let (keys, bad) = select(
        &key,
        &[
            br#"{"k":"x","id":1}"#,
            br#"{"k":"x","id":"1"}"#,
            br#"{"k":null,"id":1}"#,
            br#"{"k":"x","id":1.0}"#,
            br#"{"k":"x"}"#,
            b"?",
        ],
    );
    assert_eq!(keys.get(0), b"\x02j1\x02sx");
    assert_eq!(keys.get(1), b"\x02s1\x02sx");
    assert_eq!(keys.get(3), keys.get(0));
    let bad: Vec<_> = bad.iter().map(|b| (b.row, b.message.as_str())).collect();
    assert_eq!(
        bad,
        [
            (2, "`/k` is null"),
            (4, "`/id` is missing"),
            (5, "the row is not JSON: expected value at column 1"),
        ]
    );
    assert!([2, 4, 5].iter().all(|&row| keys.get(row).is_empty()));
}

#[test]
fn a_whole_row_is_one_part() {
    let long = [b'x'; 300];
    let (keys, bad) = select(&RowKey, &[b"", &long]);
    assert_eq!(keys.get(0), [0]);
    assert_eq!(keys.get(1)[..2], [0xac, 0x02]);
    assert_eq!(keys.get(1)[2..], long);
    assert!(bad.is_empty());
}

#[test]
fn bytes_of_a_row_are_one_part_and_a_row_that_ends_before_has_no_key() {
    let long: Vec<u8> = (0..=255).collect();
    let (keys, bad) = select(&BytesKey::new(1, 255), &[&long, &long[1..], b"", &long]);
    let whole = [&[0xff, 0x01], &long[1..]].concat();
    let empty = &b""[..];
    assert!(keys.iter().eq([&whole[..], empty, empty, &whole[..]]));
    let bad: Vec<_> = bad.iter().map(|b| (b.row, b.message.as_str())).collect();
    assert_eq!(
        bad,
        [
            (1, "there are no bytes 1 to 255: the row has 255 bytes"),
            (2, "there are no bytes 1 to 255: the row has 0 bytes"),
        ]
    );
    let (keys, bad) = select(&BytesKey::new(0, 2), &[b"ab", b"abc"]);
    assert!(keys.iter().eq([b"\x02ab", b"\x02ab"]) && bad.is_empty());
}

proptest! {
    #[test]
    fn keys_are_equal_where_the_fields_are(
        rows in prop::collection::vec(prop::collection::vec("[a\"]{0,2}", 3..=3), 2..8)
    ) {
        let records: Vec<_> = rows
            .iter()
            .map(|row| {
                let fields: Vec<_> =
                    row.iter().map(|f| format!("\"{}\"", f.replace('"', "\"\""))).collect();
                fields.join(",").into_bytes()
            })
            .collect();
        let records: Vec<_> = records.iter().map(Vec::as_slice).collect();
        let (keys, bad) = select(&CsvKey::new(b',', &[2, 0]), &records);
        prop_assert!(bad.is_empty());
        for (a, left) in rows.iter().enumerate() {
            for (b, right) in rows.iter().enumerate() {
                let same = (&left[2], &left[0]) == (&right[2], &right[0]);
                prop_assert_eq!(keys.get(a) == keys.get(b), same);
            }
        }
    }
}

#[test]
fn a_key_of_eight_bytes_says_where_it_is_and_others_do_not() {
    for (offset, length, at) in [
        (0, 8, Some(0)),
        (3, 8, Some(3)),
        (0, 4, None),
        (0, 16, None),
    ] {
        assert_eq!(BytesKey::new(offset, length).number_at(), at);
    }
    let rows: Column = [&b"abc12345678"[..], b"xyz87654321"].into_iter().collect();
    let (mut keys, mut bad) = (Column::new(), Vec::new());
    BytesKey::new(3, 8).select(rows.view(), &mut keys, &mut bad);
    assert!(keys.iter().eq([&b"\x0812345678"[..], b"\x0887654321"]) && bad.is_empty());
    assert_eq!(RowKey.number_at(), None);
}
