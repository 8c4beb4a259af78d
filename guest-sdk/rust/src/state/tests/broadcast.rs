//! What look-ups and iterations of broadcast state ask of the host, over the calls of an instance,
//! and what is kept in between.

use super::subtask::Script;
use crate::testing::Harness;
use crate::{Broadcast, BroadcastProcess, Ctx, Describe, Result, Row};

/// A script with so many entries of so many bytes each in its map, as after a restart.
fn filled(entries: u32, bytes: usize) -> Harness {
    let mut script = Harness::open::<Script, _>("null").unwrap();
    let row = |entry| format!("map-set:{entry}:{bytes}");
    script.broadcast((0..entries).map(row)).unwrap();
    script.restart().unwrap();
    script.imports();
    script.read();
    script
}

/// What rows of the other input take: the imports, and how many entries they read.
#[track_caller]
fn cost<R: AsRef<str>>(
    script: &mut Harness,
    rows: impl IntoIterator<Item = R>,
) -> (Vec<&'static str>, usize) {
    let out = script.rows(rows.into_iter().map(|row| row.as_ref().to_owned()));
    assert_eq!(out.unwrap().poisoned, None);
    (script.imports(), script.read())
}

const GET: &str = "broadcast-get";
const SCAN: &str = "broadcast-scan";

#[test]
fn a_look_up_asks_for_its_entry_and_for_it_once() {
    let mut script = filled(100, 100_000);
    let rows = ["map-has:7", "map-has:7 map-has:8", "map-has:500"];
    assert_eq!(cost(&mut script, rows), (vec![GET; 3], 3));
    assert_eq!(cost(&mut script, rows), (vec![], 0));
    assert_eq!(cost(&mut script, ["map-empty"]), (vec![], 0));
    script.restart().unwrap();
    assert_eq!(cost(&mut script, ["map-has:7"]), (vec![GET], 1));
    script.restart().unwrap();
    assert_eq!(cost(&mut script, ["map-empty"]), (vec![SCAN], 1));
    // Large entries are never sent to who does not ask for them.
    let (imports, read) = cost(&mut script, (1..41).map(|entry| format!("map-has:{entry}")));
    assert_eq!((imports, read), (vec![GET; 40], 40));
}

#[test]
fn many_look_ups_in_a_small_map_take_few_imports() {
    let mut script = filled(3, 10);
    let rows = || (1000..2000).map(|entry| format!("map-has:{entry}"));
    let (imports, read) = cost(&mut script, rows());
    assert_eq!(imports, [vec![GET; 16], vec![SCAN]].concat());
    assert_eq!(read, 16 + 3);
    assert_eq!(cost(&mut script, rows()), (vec![], 0));
}

#[test]
fn an_iteration_fetches_pages_of_few_bytes_and_none_again() {
    for (entries, bytes, pages) in [(400, 10, 5), (20, 30_000, 10), (7, 1 << 18, 5)] {
        let mut script = filled(entries, bytes);
        let (imports, read) = cost(&mut script, ["map-count", "map-count"]);
        let what = format!("{entries} of {bytes}");
        assert_eq!(imports, vec![SCAN; pages], "{what}");
        assert_eq!(read, entries as usize, "{what}");
        let rows = ["map-count", "map-has:1 map-has:5000"];
        assert_eq!(cost(&mut script, rows), (vec![], 0), "{what}");
    }
}

#[test]
fn what_has_grown_large_is_not_kept_for_the_next_call() {
    let mut script = filled(5, 1 << 20);
    let rows = || (0..5).map(|entry| format!("map-has:{entry} map-has:{entry}"));
    assert_eq!(cost(&mut script, rows().take(3)), (vec![GET; 3], 3));
    assert_eq!(cost(&mut script, rows()), (vec![GET; 2], 2));
    assert_eq!(cost(&mut script, rows()), (vec![GET; 5], 5));
}

#[test]
fn what_is_written_takes_room_as_well() {
    for (entries, bytes, gets) in [(80_000, 0, 1), (50, 100_000, 1), (100, 100, 0)] {
        let mut script = Harness::open::<Script, _>("null").unwrap();
        let row = |entry| format!("map-set:{entry}:{bytes}");
        script.broadcast((0..entries).map(row)).unwrap();
        script.imports();
        let (imports, _) = cost(&mut script, ["map-has:7"]);
        assert_eq!(imports, vec![GET; gets], "{entries} of {bytes}");
    }
}

#[test]
fn what_is_not_there_takes_room_as_well() {
    let mut script = filled(1, 10_000);
    assert_eq!(cost(&mut script, ["map-has:0"]), (vec![GET], 1));
    let mut asked = |keys: std::ops::Range<u32>| {
        let rows = keys.map(|key| format!("map-has:{key}"));
        cost(&mut script, rows).0.len()
    };
    assert_eq!(asked(1..30_000), 29_999);
    assert_eq!(asked(1..30_000), 0);
    assert_eq!(asked(30_000..80_000), 50_000);
    assert_eq!(asked(1..2), 1);
}

#[test]
fn what_a_row_or_call_wrote_that_failed_is_not_kept() {
    let mut script = filled(3, 10);
    let map = "map-get:1 map-get:9 map-count";
    let told = [
        "map-get:1=Some(\"xxxxxxxxxx\")",
        "map-get:9=None",
        "map-count=3",
    ];
    assert_eq!(script.rows([map]).unwrap().main(), told);
    script.imports();
    let row = "map-set:1:1 map-set:9:1 map-remove:2";
    // A row that fails: what was known before is still known.
    let out = script.broadcast([format!("{row} fail")]).unwrap();
    assert_eq!(out.poisoned, Some((0, "as told".to_owned())));
    assert_eq!(script.rows([map]).unwrap().main(), told);
    assert_eq!(script.imports(), Vec::<&str>::new());
    // A call that fails, and others after it that do not look: all is asked for again.
    script.broadcast([row, "fatal"]).unwrap_err();
    script.rows(["fatal"]).unwrap_err();
    script.rows(["list"]).unwrap();
    script.imports();
    assert_eq!(script.rows([map]).unwrap().main(), told);
    assert_eq!(script.imports(), [GET, GET, SCAN]);
    script.broadcast([row, "list"]).unwrap();
    let told = [
        "map-get:1=Some(\"x\")",
        "map-get:9=Some(\"x\")",
        "map-count=3",
    ];
    assert_eq!(script.rows([map]).unwrap().main(), told);
}

#[test]
fn what_was_fetched_over_writes_of_a_row_that_failed_is_fetched_again() {
    let mut script = filled(3, 1);
    let out = script
        .broadcast(["map-set:1:9 map-set:9:9 map-count fail"])
        .unwrap();
    assert!(out.poisoned.is_some());
    assert_eq!(script.imports(), [SCAN]);
    assert_eq!(
        cost(&mut script, ["map-empty map-has:0"]).0,
        Vec::<&str>::new()
    );
    let told = r#"map-get:1=Some("x")"#;
    assert_eq!(
        script
            .rows(["map-get:1 map-get:9 map-count"])
            .unwrap()
            .main()[0],
        told
    );
    assert_eq!(script.imports(), [GET, GET, SCAN]);
}

#[test]
fn what_cannot_be_decoded_is_an_error_only_for_who_looks_at_it() {
    #[derive(Default)]
    struct Odd {
        words: Broadcast<u32, String>,
        numbers: Broadcast<u32, u32>,
    }
    impl BroadcastProcess for Odd {
        type In = String;
        type BroadcastIn = String;
        type Out = String;
        fn describe(&mut self, d: &mut Describe) {
            d.broadcast("words", &mut self.words);
            d.broadcast("numbers", &mut self.numbers);
        }
        fn process(&mut self, row: Row<String>, ctx: &mut Ctx<String>) -> Result<()> {
            let found = self.numbers.get(row.parse::<u32>()?)?;
            ctx.emit(format_args!("{found:?}"))
        }
        fn process_broadcast(&mut self, row: Row<String>, _ctx: &mut Ctx<String>) -> Result<()> {
            self.words.put(7_u32, row.to_string())
        }
    }
    let mut odd = Harness::open::<Odd, _>("null").unwrap();
    odd.broadcast(["x"]).unwrap();
    odd.copy_state("words", "numbers");
    odd.imports();
    let out = odd.rows((100..140).map(|key| key.to_string())).unwrap();
    assert_eq!(out.main(), ["None"; 40]);
    assert_eq!(
        odd.imports(),
        [vec![GET; 16], vec![SCAN], vec![GET; 24]].concat()
    );
    let error = odd.rows(["7"]).unwrap_err();
    let expected = "state `numbers` cannot be read: `u32-le` has 4 bytes, not 1";
    assert_eq!(error, expected);
}
