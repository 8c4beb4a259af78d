//! What lies in a store, and falling back.

use proptest::prelude::*;
use weir_model::Name;

use super::*;

fn paths(job: &str) -> JobPaths {
    JobPaths::new(&Name::new(job).unwrap())
}

fn objects(paths: &[&str]) -> Vec<ObjectInfo> {
    let object = |path: &&str| ObjectInfo {
        path: (*path).to_owned(),
        length: 1,
    };
    paths.iter().map(object).collect()
}

fn ids(ids: &[u64]) -> Vec<CheckpointId> {
    ids.iter().copied().map(CheckpointId).collect()
}

fn survey(completed: &[u64]) -> Survey {
    Survey {
        completed: ids(completed),
        ..Survey::default()
    }
}

fn sink(name: &str) -> SinkName {
    Name::new(name).unwrap()
}

#[test]
fn an_empty_store_holds_nothing() {
    let survey = Survey::of(&paths("a"), &[]);
    assert_eq!(survey, Survey::default());
    assert_eq!(survey.latest(), None);
    assert_eq!(survey.next_id(), CheckpointId(1));
}

#[test]
fn ids_are_compared_as_numbers_and_other_jobs_are_passed_over() {
    let objects = objects(&[
        "a/LOCK",
        "a/chk-10/_metadata",
        "a/chk-10/count/0/state",
        "a/chk-11/count/0/state",
        "a/chk-8/count/1/state",
        "a/chk-9/_metadata",
        "a/chk-9/x/_metadata",
        "ab/FINISHED",
        "ab/chk-99/_metadata",
        "b/chk-50/count/0/state",
    ]);
    let survey = Survey::of(&paths("a"), &objects);
    let expected = Survey {
        completed: ids(&[9, 10]),
        orphans: ids(&[8, 11]),
        highest: Some(CheckpointId(11)),
        ..Survey::default()
    };
    assert_eq!(survey, expected);
    assert_eq!(survey.latest(), Some(CheckpointId(10)));
    assert_eq!(survey.next_id(), CheckpointId(12));
    assert!(Survey::of(&paths("ab"), &objects).is_finished);
}

#[test]
fn shared_files_that_no_complete_checkpoint_names_are_orphans() {
    let objects = objects(&[
        "a/chk-9/_metadata",
        "a/shared/count/0/8-1",
        "a/shared/count/0/9-1",
        "a/shared/count/0/10-1",
        "a/shared/count/0/notes.txt",
        "b/shared/count/0/9-1",
    ]);
    let survey = Survey::of(&paths("a"), &objects);
    let shared = |n: u64| SharedFile::parse(&format!("../shared/count/0/{n}-1")).unwrap();
    assert_eq!(survey.shared, [shared(8), shared(9), shared(10)]);
    // Nothing of checkpoint 10 is left but this, and its number is spent all the same.
    assert_eq!(survey.next_id(), CheckpointId(11));
    let mut registry = SharedRegistry::default();
    registry.found(CheckpointId(9), [shared(9)]);
    assert_eq!(
        survey.shared_orphans(&mut registry),
        [shared(8), shared(10)]
    );
    registry.found_unreadable(CheckpointId(9));
    assert_eq!(survey.shared_orphans(&mut registry), [shared(10)]);
}

#[test]
fn metadata_deeper_down_does_not_complete_a_checkpoint() {
    let survey = Survey::of(&paths("a"), &objects(&["a/chk-1/x/_metadata"]));
    assert_eq!((survey.latest(), survey.orphans), (None, ids(&[1])));
}

#[test]
fn d20_falls_back_where_no_sink_has_shown_more() {
    let sinks = BTreeMap::from([
        (sink("files"), Shown::UpTo(Some(CheckpointId(4)))),
        (sink("idle"), Shown::UpTo(None)),
        (sink("out"), Shown::AtOnce),
    ]);
    let expected = Fallback::To {
        checkpoint: CheckpointId(4),
        repeated: vec![sink("out")],
    };
    let chosen = Fallback::choose(&survey(&[2, 4, 7]), CheckpointId(7), &sinks);
    assert_eq!(chosen, expected);
}

#[test]
fn d20_stops_where_a_sink_has_shown_more_than_the_one_before_knows_of() {
    let sinks = BTreeMap::from([
        (sink("files"), Shown::UpTo(Some(CheckpointId(5)))),
        (sink("others"), Shown::UpTo(Some(CheckpointId(4)))),
        (sink("out"), Shown::AtOnce),
    ]);
    let expected = Fallback::Stop {
        checkpoint: CheckpointId(4),
        beyond: BTreeMap::from([(sink("files"), CheckpointId(5))]),
    };
    let chosen = Fallback::choose(&survey(&[2, 4, 7]), CheckpointId(7), &sinks);
    assert_eq!(chosen, expected);
}

#[test]
fn d20_stops_where_there_is_no_older_one() {
    let chosen = Fallback::choose(&survey(&[7]), CheckpointId(7), &BTreeMap::new());
    assert_eq!(chosen, Fallback::NothingOlder);
}

proptest! {
    #[test]
    fn every_checkpoint_is_complete_or_an_orphan(
        present in prop::collection::btree_map(0_u64..20, (any::<bool>(), any::<bool>()), 0..10),
    ) {
        let job = paths("a");
        let mut found = Vec::new();
        for (&n, &(metadata, state)) in &present {
            let id = CheckpointId(n);
            let names = [(metadata, "_metadata"), (state, "count/0/state")];
            let there = names.iter().filter(|(there, _)| *there);
            found.extend(there.map(|(_, name)| job.in_checkpoint(id, name)));
        }
        found.sort();
        let found: Vec<_> = found.iter().map(String::as_str).collect();
        let survey = Survey::of(&job, &objects(&found));
        for (&n, &(metadata, state)) in &present {
            let id = CheckpointId(n);
            prop_assert_eq!(survey.completed.contains(&id), metadata);
            prop_assert_eq!(survey.orphans.contains(&id), state && !metadata);
            if metadata || state {
                prop_assert!(survey.next_id() > id);
            }
        }
        let total = survey.completed.len() + survey.orphans.len();
        let expected = present.values().filter(|(metadata, state)| *metadata || *state).count();
        prop_assert_eq!(total, expected);
    }
}
