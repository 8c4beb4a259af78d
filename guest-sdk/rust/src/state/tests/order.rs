//! Iterating maps, and state that cannot be read.

use super::Script;
use crate::testing::Harness;
use crate::{Ctx, KeyedDescribe, KeyedProcess, List, Map, Result, Row, Value};

#[test]
fn maps_longer_than_a_page_are_iterated_whole() {
    let mut script = Harness::open::<Script, _>("null").unwrap();
    let puts: Vec<String> = (0..600).map(|number| format!("map-put:{number}")).collect();
    script.keyed([("a", puts.join(" "))]).unwrap();
    script.imports();
    let row = "map-put:255 map-remove:256 map-put:700 map-remove:599 map";
    let out = script.keyed([("a", row)]).unwrap();
    let listed = out.main().pop().unwrap();
    let kept = (0..599).filter(|number| *number != 256).chain([700]);
    let entries: Vec<_> = kept.map(|number| (number, number.to_string())).collect();
    assert_eq!(listed, format!("map={entries:?}"));
    // Pages of 16, 64, 256, 256 and 8 entries.
    let mut imports = script.imports();
    assert_eq!(imports.pop(), Some("map-put"));
    assert_eq!(imports, ["map-scan"; 5]);
}

#[test]
fn state_that_cannot_be_read_fails_the_call() {
    #[derive(Default)]
    struct Other {
        value: Value<i64>,
        width: Value<String>,
    }
    impl KeyedProcess for Other {
        type In = String;
        type Out = i64;
        fn describe(&mut self, d: &mut KeyedDescribe) {
            // Bytes of one format, read as another: what a wrong `StateCodec::format` leads to.
            d.value("width", &mut self.width);
            d.value("value", &mut self.value);
        }
        fn process(&mut self, row: Row<String>, _ctx: &mut Ctx<i64>) -> Result<()> {
            match row.value {
                "write" => self.width.set("three".to_owned()),
                _ => self.value.get().map(drop),
            }
        }
    }
    let mut other = Harness::open::<Other, _>("null").unwrap();
    other.keyed([("a", "write")]).unwrap();
    other.copy_state("width", "value");
    let error = other.keyed([("a", "read")]).unwrap_err();
    assert_eq!(
        error,
        "state `value` cannot be read: `i64-le` has 8 bytes, not 5"
    );
}

#[test]
fn an_entry_that_cannot_be_read_does_not_hide_those_behind_it() {
    #[derive(Default)]
    struct Mixed {
        texts: Map<String, String>,
        numbers: Map<String, i64>,
    }
    impl KeyedProcess for Mixed {
        type In = String;
        type Out = String;
        fn describe(&mut self, d: &mut KeyedDescribe) {
            d.map("texts", &mut self.texts);
            d.map("numbers", &mut self.numbers);
        }
        fn process(&mut self, row: Row<String>, ctx: &mut Ctx<String>) -> Result<()> {
            if row.value == "write" {
                self.texts.put("a", "12345678".to_owned())?;
                self.texts.put("b", "short".to_owned())?;
                return self.texts.put("c", "12345678".to_owned());
            }
            let keys = self.numbers.iter()?.map(|entry| match entry {
                Ok((key, _)) => key,
                Err(error) => {
                    assert!(error.is_fatal());
                    error.to_string()
                }
            });
            // Were the second one to come for ever, this would not end.
            ctx.emit(keys.take(9).collect::<Vec<_>>().join("; "))
        }
    }
    let mut mixed = Harness::open::<Mixed, _>("null").unwrap();
    mixed.keyed([("k", "write")]).unwrap();
    mixed.copy_state("texts", "numbers");
    let expected = "a; state `numbers` cannot be read: `i64-le` has 8 bytes, not 5; c";
    assert_eq!(mixed.keyed([("k", "read")]).unwrap().main(), [expected]);
}

#[test]
fn what_cannot_be_read_is_an_error_only_for_who_looks_at_it() {
    #[derive(Default)]
    struct Either {
        texts: Value<String>,
        text_lists: List<String>,
        text_maps: Map<u32, String>,
        numbers: Value<i64>,
        number_lists: List<i64>,
        number_maps: Map<u32, i64>,
    }
    impl KeyedProcess for Either {
        type In = String;
        type Out = String;
        fn describe(&mut self, d: &mut KeyedDescribe) {
            d.value("texts", &mut self.texts);
            d.list("text-lists", &mut self.text_lists);
            d.map("text-maps", &mut self.text_maps).prefetch();
            d.value("numbers", &mut self.numbers);
            d.list("number-lists", &mut self.number_lists);
            d.map("number-maps", &mut self.number_maps);
        }
        fn prefetch(&mut self, _row: &Row<String>) -> Result<()> {
            self.number_maps.prefetch(1_u32)?;
            self.number_maps.prefetch(2_u32)
        }
        fn process(&mut self, row: Row<String>, ctx: &mut Ctx<String>) -> Result<()> {
            match row.value {
                "value" => ctx.emit(format_args!("{:?}", self.numbers.get()?)),
                "list" => ctx.emit(format_args!("{:?}", self.number_lists.get()?)),
                "map" => ctx.emit(format_args!("{:?}", self.number_maps.get(1_u32)?)),
                "pass" => Ok(()),
                text => {
                    self.texts.set(text.to_owned())?;
                    self.text_lists.add(text.to_owned())?;
                    self.text_maps.put(1_u32, text.to_owned())?;
                    self.text_maps.put(2_u32, "short".to_owned())
                }
            }
        }
    }
    let mut either = Harness::open::<Either, _>("null").unwrap();
    either.keyed([("a", "aaaaaaaa"), ("b", "short")]).unwrap();
    for kind in ["s", "-lists", "-maps"] {
        either.copy_state(&format!("text{kind}"), &format!("number{kind}"));
    }
    let number = i64::from_le_bytes(*b"aaaaaaaa");
    let expected = [
        ("value", format!("Some({number})")),
        ("list", format!("[{number}]")),
        ("map", format!("Some({number})")),
    ];
    for (kind, read) in expected {
        let out = either.keyed([("a", kind), ("b", "pass")]).unwrap();
        assert_eq!(out.main(), [read]);
        let error = either.keyed([("a", kind), ("b", kind)]).unwrap_err();
        assert!(
            error.contains("cannot be read: `i64-le` has 8 bytes, not 5"),
            "{error}"
        );
    }
}
