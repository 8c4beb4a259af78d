//! What a call hands over, and what is left of it when a row or the call fails.

use crate::column::{BatchRef, ColumnRef};
use crate::testing::{Harness, Input};
use crate::{
    Counter, Csv, Ctx, Decode, Describe, Error, Gauge, Histogram, Key, KeyedDescribe, KeyedProcess,
    List, Map, Process, Reducing, Result, Row, SideOutput, Value, bail,
};

/// Sums up what a key is given; `x` fails, `fatal` fails fatally, a negative number goes aside.
#[derive(Default)]
struct Sums {
    sum: Reducing<i64>,
    last: Value<String>,
    negative: SideOutput<i64>,
    rows: Counter,
    largest: Gauge,
    sizes: Histogram,
}

impl KeyedProcess for Sums {
    type In = String;
    type Out = String;

    fn describe(&mut self, d: &mut KeyedDescribe) {
        d.reducing("sum", &mut self.sum, |sum, number| sum + number)
            .prefetch();
        d.value("last", &mut self.last);
        d.side_output("negative", &mut self.negative);
        d.counter("rows", &mut self.rows);
        d.gauge("largest", &mut self.largest);
        d.histogram("sizes", &mut self.sizes);
    }

    fn process(&mut self, row: Row<String>, ctx: &mut Ctx<String>) -> Result<()> {
        self.rows.add(1);
        self.sizes.record(row.len() as f64);
        self.last.set(row.to_string())?;
        if row.value == "skip" {
            return Ok(());
        }
        let number = row.parse().unwrap_or(0);
        self.sum.add(number)?;
        self.largest.set(number as f64);
        let key = ctx.key();
        let sum = self.sum.get()?.copied().unwrap_or(0);
        ctx.emit(format_args!("{key}:{sum}"))?;
        if number < 0 {
            ctx.to(&self.negative).emit(number)?;
        }
        match row.value {
            "x" => bail!("not a number: {}", row.value),
            "fatal" => Err(Error::fatal("no way")),
            _ => Ok(()),
        }
    }

    fn finish(&mut self, ctx: &mut Ctx<String>) -> Result<()> {
        let held = self.sum.get();
        let error = held
            .err()
            .map(|error| error.to_string())
            .unwrap_or_default();
        ctx.emit(error)
    }
}

#[test]
fn state_that_every_key_wrote_is_returned_as_slots() {
    let mut sums = Harness::open::<Sums, _>("null").unwrap();
    let out = sums.keyed([("a", "1"), ("b", "2"), ("a", "3")]).unwrap();
    assert_eq!(out.main(), ["a:1", "b:2", "a:4"]);
    // `last` is not prefetched and never read: it is put.
    let imports = ["value-put", "counter-add", "gauge-set", "histogram-record"];
    assert_eq!(sums.imports(), imports);
    assert_eq!(
        sums.keyed([("a", "5"), ("b", "1")]).unwrap().main(),
        ["a:9", "b:3"]
    );
}

#[test]
fn state_that_some_keys_wrote_is_put() {
    let mut sums = Harness::open::<Sums, _>("null").unwrap();
    sums.keyed([("a", "1"), ("b", "skip")]).unwrap();
    let puts = sums
        .imports()
        .into_iter()
        .filter(|import| *import == "value-put");
    assert_eq!(puts.count(), 2);
    assert_eq!(sums.held("sum"), 1);
    assert_eq!(sums.held("last"), 2);
}

#[test]
fn a_row_that_fails_leaves_nothing_and_ends_the_batch() {
    let mut sums = Harness::open::<Sums, _>("null").unwrap();
    let out = sums
        .keyed([("a", "1"), ("b", "-2"), ("a", "x"), ("c", "4")])
        .unwrap();
    assert_eq!(out.poisoned, Some((2, "not a number: x".to_owned())));
    assert_eq!(out.main(), ["a:1", "b:-2"]);
    assert_eq!(out.side("negative"), ["-2"]);
    assert_eq!(sums.metric("rows"), Some(2.0));
    assert_eq!(sums.metric("largest"), Some(-2.0));
    assert_eq!(sums.metric("sizes"), Some(2.0));
    assert_eq!(sums.held("sum"), 2);
    assert_eq!(sums.held("last"), 2);
    assert_eq!(sums.keyed([("a", "1")]).unwrap().main(), ["a:2"]);
}

#[test]
fn a_fatal_error_leaves_nothing_of_the_call() {
    let mut sums = Harness::open::<Sums, _>("null").unwrap();
    let error = sums
        .keyed([("a", "1"), ("b", "fatal"), ("a", "3")])
        .unwrap_err();
    assert_eq!(error, "no way");
    assert_eq!(sums.held("sum"), 0);
    assert_eq!(sums.metric("rows"), None);
    let out = sums.keyed([("a", "1")]).unwrap();
    assert_eq!(out.main(), ["a:1"]);
    assert_eq!(sums.metric("rows"), Some(1.0));
}

#[test]
fn a_row_of_the_wrong_type_is_a_bad_row() {
    let mut sums = Harness::open::<Sums, _>("null").unwrap();
    let rows = [("a", &b"1"[..]), ("a", b"\xff")];
    let (row, message) = sums.keyed(rows).unwrap().poisoned.unwrap();
    assert_eq!(row, 1);
    assert!(message.starts_with("the row is not text: "), "{message}");
}

#[test]
fn keyed_state_needs_a_key_in_hand() {
    let mut sums = Harness::open::<Sums, _>("null").unwrap();
    let error = sums.rows(["1"]).unwrap_err();
    assert_eq!(
        error,
        "the operator has keyed state: its input 0 needs a `key`"
    );
    let (_, finished) = sums.finish().unwrap();
    let error = "state `sum`: keyed state can be used only while a row is processed";
    assert_eq!(finished.main(), [error]);
}

#[test]
fn what_one_row_in_one_row_out_emits_has_no_origin() {
    let mut sums = Harness::open::<Sums, _>("null").unwrap();
    let out = sums.keyed([("a", "1"), ("a", "2")]).unwrap();
    assert!(out.emitted[0].origin.is_empty());
    let out = sums
        .keyed([("a", "1"), ("a", "skip"), ("a", "-2")])
        .unwrap();
    assert_eq!(out.emitted[0].origin, [0, 2]);
    assert_eq!(out.emitted[1].origin, [2]);
    // Fewer rows count than came in.
    let out = sums.keyed([("a", "1"), ("a", "x")]).unwrap();
    assert_eq!(out.emitted[0].origin, [0]);
}

/// Splits a csv row `how,text` in ways that its first field names.
#[derive(Default)]
struct Stamps;

impl Process for Stamps {
    type In = Csv;
    type Out = String;

    fn process(&mut self, row: Row<Csv>, ctx: &mut Ctx<String>) -> Result<()> {
        let text = row.text(1)?;
        match &*row.text(0)? {
            "at" => ctx.main().at(9).emit(text),
            "key" => ctx.main().key(&Key::encode([&*text])).emit(text),
            "twice" => ctx.emit("once").and_then(|()| ctx.emit(text)),
            _ => ctx.emit(text),
        }
    }

    fn end_of_input(&mut self, ctx: &mut Ctx<String>) -> Result<()> {
        let input = ctx.input();
        ctx.emit(format_args!("end of {input}"))
    }
}

#[test]
fn event_times_are_inherited_unless_given() {
    let mut stamps = Harness::open::<Stamps, _>("null").unwrap();
    let rows = || ["at,a", "in,b", "twice,c"].map(Input::row);
    let timed = rows().into_iter().zip(1..).map(|(row, at)| row.at(at));
    let emitted = &stamps.batch(0, timed).unwrap().emitted[0];
    assert_eq!(emitted.timestamps, [9, 2, 3, 3]);
    assert_eq!(emitted.origin, [0, 1, 2, 2]);
    let inherited = stamps.batch(0, [Input::row("in,a").at(1)]).unwrap();
    assert!(inherited.emitted[0].timestamps.is_empty());
    let all_given = stamps.rows(["at,a", "at,b"]).unwrap();
    assert_eq!(all_given.emitted[0].timestamps, [9, 9]);
    let error = stamps.batch(0, rows()).unwrap_err();
    let expected = "output 0: some of the rows emitted in a call have event times, \
                    some have none to inherit";
    assert_eq!(error, expected);
}

#[test]
fn all_rows_of_an_output_have_keys_or_none_has() {
    let mut stamps = Harness::open::<Stamps, _>("null").unwrap();
    let keyed = stamps.rows(["key,a", "key,b"]).unwrap();
    assert_eq!(keyed.emitted[0].keys.bytes, [1, b'a', 1, b'b']);
    assert_eq!(keyed.emitted[0].keys.ends, [2, 4]);
    let error = stamps.rows(["key,a", "in,b"]).unwrap_err();
    assert!(error.starts_with("some of the rows emitted in a call have keys"));
    assert_eq!(stamps.rows(["in,a"]).unwrap().main(), ["a"]);
}

#[test]
fn a_row_that_fails_does_not_leave_its_key_to_the_row_before() {
    #[derive(Default)]
    struct Late;
    impl Process for Late {
        type In = String;
        type Out = String;
        fn process(&mut self, row: Row<String>, ctx: &mut Ctx<String>) -> Result<()> {
            if row.value == "x" {
                let _ = ctx.main().key(&Key::encode(["k"])).emit("dropped");
                bail!("bad row");
            }
            ctx.emit(row.value)
        }
    }
    let mut late = Harness::open::<Late, _>("null").unwrap();
    let out = late.rows(["a", "x"]).unwrap();
    assert_eq!(out.main(), ["a"]);
    assert!(out.emitted[0].keys.ends.is_empty());
    let out = late.rows(["x"]).unwrap();
    assert!(out.emitted.is_empty());
}

#[test]
fn a_row_that_fails_half_way_takes_its_keys_and_times_along() {
    #[derive(Default)]
    struct Halves;
    impl Process for Halves {
        type In = String;
        type Out = String;
        fn process(&mut self, row: Row<String>, ctx: &mut Ctx<String>) -> Result<()> {
            for word in row.split(' ') {
                if word == "x" {
                    bail!("bad word");
                }
                ctx.main()
                    .at(word.len() as i64)
                    .key(&Key::encode([word]))
                    .emit(word)?;
            }
            Ok(())
        }
    }
    let mut halves = Harness::open::<Halves, _>("null").unwrap();
    let out = halves.rows(["a bc", "d x e"]).unwrap();
    assert_eq!(out.poisoned, Some((1, "bad word".to_owned())));
    let emitted = &out.emitted[0];
    assert_eq!(out.main(), ["a", "bc"]);
    assert_eq!(emitted.timestamps, [1, 2]);
    assert_eq!(emitted.keys.bytes, b"\x01a\x02bc");
    let nothing = halves.rows(["x"]).unwrap();
    assert!(nothing.emitted.is_empty());
}

#[test]
fn the_end_of_an_input_emits_rows_of_no_origin() {
    let mut stamps = Harness::open::<Stamps, _>("null").unwrap();
    let (ended, finished) = stamps.finish().unwrap();
    assert_eq!(ended.main(), ["end of 0"]);
    assert!(ended.emitted[0].origin.is_empty());
    assert!(finished.emitted.is_empty());
}

#[test]
fn mistakes_in_describe_are_all_named() {
    #[derive(Default)]
    struct Forgetful {
        count: Value<i64>,
        forgotten: Value<i64>,
        late: SideOutput<String>,
        lost: SideOutput<String>,
        rows: Counter,
    }
    impl KeyedProcess for Forgetful {
        type In = String;
        type Out = String;
        fn describe(&mut self, d: &mut KeyedDescribe) {
            d.value("count", &mut self.count);
            d.value("count", &mut self.count);
            d.side_output("", &mut self.late);
            d.side_output("Lost+found", &mut self.lost);
            d.counter(&"x".repeat(129), &mut self.rows);
        }
        fn process(&mut self, _row: Row<String>, _ctx: &mut Ctx<String>) -> Result<()> {
            self.forgotten.set(1)
        }
    }
    let error = Harness::open::<Forgetful, _>("null").err().unwrap();
    for mistake in [
        "state `count` is declared twice, as `Value<i64>` and as `Value<i64>`: each state has a \
         name of its own",
        "the handle of state `count`, a `Value<i64>`, is declared twice",
        "`Forgetful` has 2 handles of type `Value<i64>`, of which only `count` is declared: \
         declare the other one in `describe`, by `d.value(…)`",
    ] {
        assert!(error.contains(mistake), "no {mistake:?} in {error:?}");
    }
    assert!(error.contains("a side output has an empty name"), "{error}");
    assert!(
        error.contains("side output `Lost+found`: a name is "),
        "{error}"
    );
    assert!(error.contains(": a name has at most 128 bytes"), "{error}");

    #[derive(Default)]
    struct Undeclared {
        count: Counter,
    }
    impl Process for Undeclared {
        type In = String;
        type Out = String;
        fn describe(&mut self, _d: &mut Describe) {}
        fn process(&mut self, _row: Row<String>, _ctx: &mut Ctx<String>) -> Result<()> {
            self.count.add(1);
            Ok(())
        }
    }
    let error = Harness::open::<Undeclared, _>("null").err().unwrap();
    let expected = "`Undeclared` has a handle of type `Counter` that is not declared: declare it \
                    in `describe`, by `d.counter(…)`";
    assert_eq!(error, expected);
}

#[test]
fn handles_that_are_not_declared_are_told_by_type() {
    #[derive(Default)]
    struct LoginGuard {
        first: Value<u64>,
        rows: Value<u64>,
        blocked: Value<u64>,
        users: Map<String, u64>,
        sizes: List<i64>,
        more_sizes: List<i64>,
    }
    impl KeyedProcess for LoginGuard {
        type In = String;
        type Out = String;
        fn describe(&mut self, d: &mut KeyedDescribe) {
            d.value("first", &mut self.first);
            d.map("first", &mut self.users);
            d.counter("first", &mut Counter::default());
        }
        fn process(&mut self, _row: Row<String>, _ctx: &mut Ctx<String>) -> Result<()> {
            self.rows.set(1)?;
            self.blocked.set(2)?;
            self.sizes.add(3)?;
            self.more_sizes.add(4)
        }
    }
    let error = Harness::open::<LoginGuard, _>("null").err().unwrap();
    let expected = [
        "state `first` is declared twice, as `Value<u64>` and as `Map<String, u64>`: each state \
         has a name of its own",
        "`LoginGuard` has 3 handles of type `Value<u64>`, of which only `first` is declared: \
         declare the others in `describe`, by `d.value(…)`",
        "`LoginGuard` has 2 handles of type `List<i64>`, none of which is declared: declare them \
         in `describe`, by `d.list(…)`",
    ];
    assert_eq!(error, expected.join("; "));
}

#[test]
fn open_reads_the_configuration() {
    #[derive(Default)]
    struct Greets {
        greeting: String,
    }
    impl Process for Greets {
        type In = String;
        type Out = String;
        fn open(&mut self, env: crate::Env) -> Result<()> {
            self.greeting = env.config();
            if self.greeting == "null" {
                bail!("no greeting in config");
            }
            Ok(())
        }
        fn process(&mut self, row: Row<String>, ctx: &mut Ctx<String>) -> Result<()> {
            ctx.emit(format_args!("{} {}", self.greeting, row.value))
        }
    }
    let mut greets = Harness::open::<Greets, _>("\"hello\"").unwrap();
    assert_eq!(greets.rows(["ann"]).unwrap().main(), ["\"hello\" ann"]);
    let error = Harness::open::<Greets, _>("null").err().unwrap();
    assert_eq!(error, "no greeting in config");
}

#[test]
fn what_open_counts_is_kept() {
    #[derive(Default)]
    struct Opened {
        opened: Counter,
        limit: Gauge,
    }
    impl Process for Opened {
        type In = String;
        type Out = String;
        fn describe(&mut self, d: &mut Describe) {
            d.counter("opened", &mut self.opened);
            d.gauge("limit", &mut self.limit);
        }
        fn open(&mut self, _env: crate::Env) -> Result<()> {
            self.opened.add(1);
            self.limit.set(7.0);
            Ok(())
        }
        fn process(&mut self, row: Row<String>, ctx: &mut Ctx<String>) -> Result<()> {
            ctx.emit(row.value)
        }
    }
    let mut opened = Harness::open::<Opened, _>("null").unwrap();
    opened.rows(["a"]).unwrap();
    assert_eq!(opened.metric("opened"), Some(1.0));
    assert_eq!(opened.metric("limit"), Some(7.0));
}

#[test]
fn a_row_that_is_looked_at_ahead_is_decoded_once() {
    thread_local! {
        static DECODED: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
    }
    struct Number;
    impl Decode for Number {
        type View<'a> = u32;
        fn decode(bytes: &[u8]) -> Result<u32> {
            DECODED.set(DECODED.get() + 1);
            Ok(String::decode(bytes)?.parse()?)
        }
    }
    #[derive(Default)]
    struct Seen {
        seen: Map<u32, ()>,
    }
    impl KeyedProcess for Seen {
        type In = Number;
        type Out = u64;
        fn describe(&mut self, d: &mut KeyedDescribe) {
            d.map("seen", &mut self.seen).prefetch();
        }
        fn prefetch(&mut self, row: &Row<Number>) -> Result<()> {
            self.seen.prefetch(row.value)
        }
        fn process(&mut self, row: Row<Number>, ctx: &mut Ctx<u64>) -> Result<()> {
            if self.seen.contains(row.value)? {
                return Ok(());
            }
            self.seen.put(row.value, ())?;
            ctx.emit(u64::from(row.value))
        }
    }
    let mut seen = Harness::open::<Seen, _>("null").unwrap();
    let out = seen.keyed([("a", "1"), ("a", "1"), ("a", "2")]).unwrap();
    assert_eq!(out.main(), ["1", "2"]);
    assert_eq!(DECODED.get(), 3);
    let out = seen.keyed([("a", "3"), ("a", "x"), ("a", "4")]).unwrap();
    let message = "invalid digit found in string".to_owned();
    assert_eq!(out.poisoned, Some((1, message)));
    assert_eq!(out.main(), ["3"]);
}

/// Passes rows on with their key, if it is asked for.
#[derive(Default)]
struct WithKeys;

impl Process for WithKeys {
    type In = String;
    type Out = String;

    fn process(&mut self, row: Row<String>, ctx: &mut Ctx<String>) -> Result<()> {
        match row.value {
            "" => ctx.emit(row.value),
            text => {
                let key = ctx.key();
                ctx.emit(format_args!("{key}:{text}"))
            }
        }
    }
}

#[test]
fn an_operator_without_keyed_state_sees_the_key_of_a_row() {
    let mut guest = Harness::open::<WithKeys, _>("null").unwrap();
    let out = guest.keyed([("a", "1"), ("b", ""), ("a", "2"), ("c", "3")]);
    assert_eq!(out.unwrap().main(), ["a:1", "", "a:2", "c:3"]);
    assert_eq!(guest.rows(["1", ""]).unwrap().main(), [":1", ""]);
}

#[test]
fn keys_that_are_not_one_for_each_row_are_an_error_of_the_host() {
    let column = |bytes, ends| ColumnRef { bytes, ends };
    let batch = |keys, key_of_row| BatchRef {
        values: column(b"12", &[1, 2]),
        timestamps: &[],
        keys,
        key_of_row,
    };
    let two = column(b"ab", &[1, 2]);
    assert!(super::rows::check_keys(batch(two, &[1, 0])).is_ok());
    assert!(super::rows::check_keys(batch(column(b"", &[]), &[])).is_ok());
    for wrong in [
        batch(two, &[1]),
        batch(two, &[0, 2]),
        batch(column(b"ab", &[1, 3]), &[1, 0]),
    ] {
        assert!(
            super::rows::check_keys(wrong).unwrap_err().is_fatal(),
            "{wrong:?}"
        );
    }
}
