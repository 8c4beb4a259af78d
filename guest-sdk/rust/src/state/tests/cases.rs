//! The conformance cases of keyed state, as far as the SDK has a part in them.

use crate::testing::Harness;
use crate::{
    Aggregate, Aggregating, Ctx, KeyedDescribe, KeyedProcess, List, Map, Reducing, Result, Row,
    Value, bail, record,
};

record! {
    #[derive(Clone, Default)]
    struct Sum {
        sum: i64,
    }
}

impl Aggregate for Sum {
    type In = i64;
    type Out = String;

    fn add(&mut self, value: i64) {
        self.sum += value;
    }

    fn result(&self) -> String {
        format!("sum={}", self.sum)
    }
}

#[derive(Default)]
struct State {
    value: Value<String>,
    list: List<String>,
    /// As where null values are allowed.
    map: Map<String, Option<i64>>,
    reduced: Reducing<String>,
    sum: Aggregating<Sum>,
}

/// Runs the step that its row names.
#[derive(Default)]
struct Steps {
    state: State,
}

type Step = fn(&mut State) -> Result<String>;

const STEPS: &[(&str, Step)] = &[
    ("value", |s| Ok(format!("{:?}", s.value.get()?))),
    ("value-update", |s| done(s.value.set("1".to_owned()))),
    ("value-update-none", |s| {
        *s.value.get_mut()? = None;
        Ok(String::new())
    }),
    ("list", |s| Ok(format!("{:?}", s.list.get()?))),
    ("list-add-a", |s| done(s.list.add("a".to_owned()))),
    ("list-add-bc", |s| {
        let more = ["b", "c"].map(str::to_owned);
        done(more.into_iter().try_for_each(|item| s.list.add(item)))
    }),
    ("list-update-x", |s| done(s.list.set(vec!["x".to_owned()]))),
    ("list-update-nothing", |s| done(s.list.set(Vec::new()))),
    ("map", |s| {
        let entries: Result<Vec<_>> = s.map.iter()?.collect();
        Ok(format!("{:?} {}", entries?, s.map.is_empty()?))
    }),
    ("map-get-k", |s| {
        Ok(format!(
            "{:?} {}",
            s.map.get("k")?.copied(),
            s.map.contains("k")?
        ))
    }),
    ("map-put-k-null", |s| done(s.map.put("k", None))),
    ("map-remove-k", |s| done(s.map.remove("k"))),
    ("map-put-all", |s| {
        s.map.put("b", Some(2))?;
        done(s.map.put("a", Some(1)))
    }),
    ("map-set-77", |s| done(s.map.put("b", Some(77)))),
    ("map-clear", |s| done(s.map.clear())),
    ("reduced", |s| Ok(format!("{:?}", s.reduced.get()?))),
    ("reduced-add-abc", |s| {
        let values = ["a", "b", "c"].map(str::to_owned);
        done(
            values
                .into_iter()
                .try_for_each(|value| s.reduced.add(value)),
        )
    }),
    ("reduced-add-none", |s| done(s.reduced.add(None))),
    ("sum", |s| Ok(format!("{:?}", s.sum.get()?))),
    ("sum-add", |s| {
        s.sum.add(17)?;
        s.sum.add(11)
    }),
    ("sum-clear", |s| done(s.sum.clear())),
    ("fail", |_| bail!("as told")),
];

fn done(result: Result<()>) -> Result<String> {
    result.map(|()| String::new())
}

impl KeyedProcess for Steps {
    type In = String;
    type Out = String;

    fn describe(&mut self, d: &mut KeyedDescribe) {
        let state = &mut self.state;
        d.value("value", &mut state.value).prefetch();
        d.list("list", &mut state.list);
        d.map("map", &mut state.map);
        d.reducing("reduced", &mut state.reduced, |held, added| {
            format!("({held}+{added})")
        });
        d.aggregating("sum", &mut state.sum);
    }

    fn process(&mut self, row: Row<String>, ctx: &mut Ctx<String>) -> Result<()> {
        for name in row.split(' ') {
            let step = STEPS.iter().find(|(known, _)| *known == name);
            let Some((_, step)) = step else {
                bail!("no such step: {name}");
            };
            let read = step(&mut self.state)?;
            if !read.is_empty() {
                ctx.emit(read)?;
            }
        }
        Ok(())
    }
}

/// Runs the steps three ways, which must not make a difference: in one row, in one row each of one
/// batch, and in one batch each. Then one last time with a row behind them that fails. Gives the
/// operator after the third.
#[track_caller]
fn check(steps: &str, expected: &[&str]) -> Harness {
    let fresh = || Harness::open::<Steps, _>("null").unwrap();
    assert_eq!(fresh().keyed([("k", steps)]).unwrap().main(), expected);
    let rows = || steps.split(' ').map(|step| ("k", step));
    assert_eq!(fresh().keyed(rows()).unwrap().main(), expected);

    let mut kept = fresh();
    let mut told = Vec::new();
    for row in rows() {
        told.extend(kept.keyed([row]).unwrap().main());
    }
    assert_eq!(told, expected);

    let mut failing = fresh();
    let mut told = Vec::new();
    for (key, step) in rows() {
        let undone = format!("{steps} fail");
        let out = failing.keyed([(key, step), (key, &undone)]).unwrap();
        assert_eq!(out.poisoned, Some((1, "as told".to_owned())));
        told.extend(out.main());
    }
    assert_eq!(told, expected);
    kept
}

#[test]
fn c08_a_value_is_what_it_was_last_set_to() {
    let after = check(
        "value value-update value value-update-none value",
        &["None", r#"Some("1")"#, "None"],
    );
    assert_eq!(after.held("value"), 0);
}

#[test]
fn c09_a_list_keeps_the_order_in_which_it_was_added_to() {
    let steps = "list list-add-a list-add-bc list list-update-x list list-update-nothing list";
    let expected = ["[]", r#"["a", "b", "c"]"#, r#"["x"]"#, "[]"];
    let after = check(steps, &expected);
    assert_eq!(after.held("list"), 0);
}

#[test]
fn c10_an_entry_without_a_value_is_an_entry() {
    let steps = "map-get-k map map-put-k-null map-get-k map map-remove-k map-get-k map";
    let expected = [
        "None false",
        "[] true",
        "Some(None) true",
        r#"[("k", None)] false"#,
        "None false",
        "[] true",
    ];
    let after = check(steps, &expected);
    assert_eq!(after.held("map"), 0);
}

#[test]
fn c10_a_map_is_iterated_by_its_keys() {
    let steps = "map-put-all map map-set-77 map map-clear map map-remove-k map";
    let expected = [
        r#"[("a", Some(1)), ("b", Some(2))] false"#,
        r#"[("a", Some(1)), ("b", Some(77))] false"#,
        "[] true",
        "[] true",
    ];
    check(steps, &expected);
}

#[test]
fn c11_reducing_folds_from_the_left_and_adding_nothing_clears() {
    let steps = "reduced reduced-add-abc reduced reduced-add-none reduced";
    let after = check(steps, &["None", r#"Some("((a+b)+c)")"#, "None"]);
    assert_eq!(after.held("reduced"), 0);
}

#[test]
fn c11_aggregating_reads_the_result_of_what_was_added() {
    let steps = "sum sum-add sum sum-clear sum";
    let after = check(steps, &["None", "sum=28", r#"Some("sum=28")"#, "None"]);
    assert_eq!(after.held("sum"), 0);
}
