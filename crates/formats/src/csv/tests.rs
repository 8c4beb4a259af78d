//! Tests of `csv`.

use proptest::prelude::*;

use super::*;

/// What csv-core makes of one record.
fn by_csv_core(record: &[u8], delimiter: u8) -> Vec<Vec<u8>> {
    let mut reader = csv_core::ReaderBuilder::new().delimiter(delimiter).build();
    let (mut out, mut ends) = (vec![0; record.len() + 1], vec![0; record.len() + 2]);
    let (mut read, mut written, mut fields) = (0, 0, 0);
    loop {
        let input = &record[read..];
        let (result, r, w, f) = reader.read_record(input, &mut out[written..], &mut ends[fields..]);
        (read, written, fields) = (read + r, written + w, fields + f);
        match result {
            csv_core::ReadRecordResult::InputEmpty => {}
            csv_core::ReadRecordResult::Record | csv_core::ReadRecordResult::End => break,
            other => panic!("{other:?}"),
        }
    }
    let mut start = 0;
    ends[..fields]
        .iter()
        .map(|&end| out[std::mem::replace(&mut start, end)..end].to_vec())
        .collect()
}

/// Bytes that are mostly the ones that matter, without line ends.
fn record() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![3 => Just(b'"'), 3 => Just(b','), 4 => b'a'..=b'c', 1 => any::<u8>()];
    let byte = byte.prop_filter("a line end", |b| !matches!(b, b'\n' | b'\r'));
    prop::collection::vec(byte, 1..24)
}

proptest! {
    #[test]
    fn any_record_reads_as_csv_core_reads_it(record in record()) {
        let expected = by_csv_core(&record, b',');
        let fields: Vec<_> = Fields::new(&record, b',').collect();
        let texts: Vec<_> = fields.iter().map(|f| f.text().into_owned()).collect();
        prop_assert_eq!(&texts, &expected);
        prop_assert_eq!(count_fields(&record, b','), expected.len());
        for (field, text) in fields.iter().zip(&texts) {
            let mut written = Vec::new();
            field.write(&mut written);
            prop_assert_eq!(&written, text);
            prop_assert_eq!(field.text_len(), text.len());
        }
    }

    #[test]
    fn fields_that_were_quoted_come_back(
        texts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..8), 1..6)
    ) {
        let mut record = Vec::new();
        for (i, text) in texts.iter().enumerate() {
            if i > 0 {
                record.push(b';');
            }
            record.push(b'"');
            for &byte in text {
                record.push(byte);
                if byte == b'"' {
                    record.push(b'"');
                }
            }
            record.push(b'"');
        }
        let back: Vec<_> = Fields::new(&record, b';').map(|f| f.text().into_owned()).collect();
        prop_assert_eq!(back, texts);
    }
}

#[test]
fn a_plain_field_is_borrowed() {
    for record in [&b"abc"[..], b"\"abc\"", b"\"abc"] {
        let field = Fields::new(record, b',').next().unwrap();
        assert!(matches!(field.text(), Cow::Borrowed(b"abc")), "{record:?}");
    }
}

#[test]
fn a_header_gives_names() {
    let header = without_bom(b"\xef\xbb\xbfid,\"full, name\",\xff");
    assert_eq!(header_names(header, b','), ["id", "full, name", "\u{fffd}"]);
}
