//! Values survive their encoding, and bytes that are none are refused.

use super::*;

#[track_caller]
fn check<T: StateCodec + PartialEq + std::fmt::Debug>(value: T, format: &str, bytes: &[u8]) {
    let mut out = Vec::new();
    value.encode(&mut out).unwrap();
    assert_eq!(out, bytes);
    assert_eq!(T::decode(&out).unwrap(), value);
    assert_eq!(T::format(), format);
    if let Some(width) = T::WIDTH {
        assert_eq!(out.len(), width);
    }
}

#[test]
fn values_have_the_bytes_that_their_format_names() {
    check(-2_i64, "i64-le", &[0xfe, 255, 255, 255, 255, 255, 255, 255]);
    check(7_u32, "u32-le", &[7, 0, 0, 0]);
    check(1.5_f64, "f64-le", &1.5_f64.to_le_bytes());
    check(true, "bool", &[1]);
    check((), "empty", &[]);
    check("né".to_owned(), "utf8", "né".as_bytes());
    check(vec![1_u8, 2], "bytes", &[1, 2]);
    check(None::<bool>, "option(bool)", &[0]);
    check(Some(String::new()), "option(utf8)", &[1]);
}

#[test]
fn only_parts_of_varying_width_have_a_length() {
    check((true, 1_u32), "(bool,u32-le)", &[1, 1, 0, 0, 0]);
    check(("ab".to_owned(), true), "(utf8,bool)", &[2, b'a', b'b', 1]);
    check(
        (Some(true), None::<bool>, String::new(), vec![9_u8]),
        "(option(bool),option(bool),utf8,bytes)",
        &[2, 1, 1, 1, 0, 0, 1, 9],
    );
    let long = ("x".repeat(200), 5_i64);
    let mut out = Vec::new();
    long.encode(&mut out).unwrap();
    assert_eq!(<(String, i64)>::decode(&out).unwrap(), long);
    assert_eq!(out[..3], [0xc8, 0x01, b'x']);
}

#[test]
fn a_record_is_its_fields_in_order() {
    crate::record! {
        version 3;
        #[derive(Debug, PartialEq)]
        struct Item {
            name: String,
            price: f64,
        }
    }
    let mut bytes = vec![3, b'c', b'u', b'p'];
    bytes.extend(2.5_f64.to_le_bytes());
    check(
        Item {
            name: "cup".to_owned(),
            price: 2.5,
        },
        "{name:utf8,price:f64-le}",
        &bytes,
    );
    assert_eq!(Item::VERSION, 3);
}

#[test]
fn foreign_bytes_are_errors() {
    #[track_caller]
    fn refuses<T: StateCodec>(bytes: &[u8], message: &str) {
        let error = T::decode(bytes).err().expect("bytes of another format");
        assert_eq!(error.to_string(), message);
    }
    refuses::<i64>(&[1, 2], "`i64-le` has 8 bytes, not 2");
    refuses::<bool>(&[2], "not a `bool`");
    refuses::<Option<bool>>(&[], "not an `option(bool)`");
    refuses::<Option<bool>>(&[0, 1], "not an `option(bool)`");
    refuses::<(bool, String)>(&[1, 5, b'a'], "`utf8` is cut short");
    refuses::<(bool, String)>(&[1, 1, b'a', 7], "1 bytes too many");
    refuses::<()>(&[1], "1 bytes too many");
}

#[test]
fn values_of_fixed_width_are_written_part_by_part_however_they_are_made() {
    /// Of fixed width, and with nothing to fill a place with.
    #[derive(Clone, Copy, Debug, Default, PartialEq)]
    struct Own(u8);

    impl StateCodec for Own {
        const WIDTH: Option<usize> = Some(1);

        fn format() -> String {
            "own".to_owned()
        }

        fn encode(&self, out: &mut Vec<u8>) -> Result<()> {
            out.push(self.0);
            Ok(())
        }

        fn decode(bytes: &[u8]) -> Result<Self> {
            let [byte] = bytes else {
                return Err(Error::new("not one byte"));
            };
            Ok(Self(*byte))
        }
    }

    fn check<T: StateCodec + PartialEq + std::fmt::Debug>(value: T, expected: &[u8]) {
        let mut out = b"before".to_vec();
        value.encode(&mut out).unwrap();
        assert_eq!(&out[6..], expected);
        assert_eq!(T::WIDTH, Some(expected.len()));
        assert_eq!(T::decode(expected).unwrap(), value);
        let short = T::decode(&expected[1..]).unwrap_err();
        let (width, found) = (expected.len(), expected.len() - 1);
        let said = format!("`{}` has {width} bytes, not {found}", T::format());
        assert_eq!(short.to_string(), said);
    }

    let numbers = |count: u64| -> Vec<u8> { (0..count).flat_map(u64::to_le_bytes).collect() };
    check((0_u64, 1_u64), &numbers(2));
    check([0_u64, 1, 2, 3, 4, 5, 6, 7], &numbers(8));
    check([0_u64, 1, 2, 3, 4, 5, 6, 7, 8], &numbers(9));
    check(
        ((7_u32, -1_i32), 0_u64),
        &[&[7, 0, 0, 0, 255, 255, 255, 255], &[0; 8][..]].concat(),
    );
    check((0_u64, Own(3)), &[&[0; 8], &[3][..]].concat());
    check([Own(1), Own(2)], &[1, 2]);
}
