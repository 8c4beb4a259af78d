//! Tests of reading whole job files, and of pointing at places in them.

use proptest::prelude::*;
use serde_json::{Value as Json, json};
use weir_model::Name;

use super::*;
use crate::Resolve;

const TEXT: &str = "\
apiVersion: weir/v1
job: case
checkpoint: { dir: checkpoints }
sources:
  my-rows: { connector: file, path: rows.csv, format: csv }
operators:
  op:
    component: op.wasm
    inputs:
      - my-rows
      - { from: my-rows, key: { columns: [0] } }
sinks:
  out: { connector: file, from: op, path: out }
";

fn load(text: &str, sets: &[&str]) -> Result<JobFile, Diagnostics> {
    let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
    JobFile::load(text, Path::new("jobs/case.yaml"), &sets)
}

fn folder_of(job: &JobFile) -> &Path {
    job.checkpoint.as_ref().unwrap().dir.folder().unwrap()
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// A world in which every header can be read and components have one side output.
struct World;

impl Resolve for World {
    fn header(&self, _: &Name) -> Result<Option<Vec<String>>, String> {
        Ok(Some(vec!["ms".into(), "user".into()]))
    }

    fn side_outputs(&self, _: &Name) -> Option<Vec<String>> {
        Some(vec!["late".into()])
    }
}

#[test]
fn columns_of_a_file_with_a_header_are_keys_by_name() {
    let key = |sets: &[&str]| {
        let graph = load(TEXT, sets).unwrap().to_graph(&World).unwrap();
        let partitioning = &graph.operators[&name("op")].inputs[1].partitioning;
        let weir_graph::Partitioning::Hash(selector) = partitioning else {
            panic!("{partitioning:?}");
        };
        selector.describe()
    };
    assert_eq!(key(&[]), "csv columns 0");
    assert_eq!(key(&["sources.my-rows.header=true"]), "csv columns `ms`");
}

#[track_caller]
fn check_spot(sets: &[&str], spot: &Spot, place: &str, underlined: &str) {
    let job = load(TEXT, sets).unwrap();
    let found = job.diagnose(spot, "W0000", "message", "label", None);
    assert_eq!(found.to_string(), format!("{place}: message (W0000)"));
    let label = &found.labels[0];
    assert_eq!(&found.document.text[label.span.clone()], underlined);
}

#[test]
fn spots_are_where_the_keys_are_written() {
    let op = || name("op");
    let at = |line: &str| format!("jobs/case.yaml:{line}");
    check_spot(&[], &Spot::Job, &at("2:6"), "case");
    check_spot(&[], &Spot::Checkpoint, &at("3:1"), "checkpoint");
    check_spot(&[], &Spot::CheckpointDir, &at("3:20"), "checkpoints");
    check_spot(&[], &Spot::Source(name("my-rows")), &at("5:3"), "my-rows");
    check_spot(
        &[],
        &Spot::SourcePath(name("my-rows")),
        &at("5:37"),
        "rows.csv",
    );
    check_spot(
        &[],
        &Spot::SourceKey(name("my-rows"), "format"),
        &at("5:55"),
        "csv",
    );
    check_spot(&[], &Spot::OperatorComponent(op()), &at("8:16"), "op.wasm");
    check_spot(&[], &Spot::OperatorInputs(op()), &at("9:5"), "inputs");
    check_spot(&[], &Spot::OperatorInput(op(), 0), &at("10:9"), "my-rows");
    check_spot(&[], &Spot::OperatorInput(op(), 1), &at("11:9"), {
        "{ from: my-rows, key: { columns: [0] } }"
    });
    check_spot(&[], &Spot::SinkPath(name("out")), &at("13:43"), "out");
}

#[test]
fn what_is_not_written_is_the_nearest_thing_around_it() {
    let at = |line: &str| format!("jobs/case.yaml:{line}");
    check_spot(&[], &Spot::OperatorLimits(name("op")), &at("7:3"), "op");
    check_spot(
        &[],
        &Spot::OperatorInput(name("op"), 7),
        &at("9:5"),
        "inputs",
    );
    check_spot(
        &[],
        &Spot::SinkKey(name("out"), "extension"),
        &at("13:3"),
        "out",
    );
    let job = load(TEXT, &[]).unwrap();
    let nowhere = job.diagnose(&Spot::MaxParallelism, "W0000", "message", "label", None);
    assert!(nowhere.labels.is_empty());
    assert_eq!(nowhere.to_string(), "jobs/case.yaml: message (W0000)");
}

#[test]
fn what_came_from_an_argument_is_shown_there() {
    let sets = ["sources.my-rows.path=more.csv", "max-parallelism=7"];
    let place = "command line:1:28";
    check_spot(&sets, &Spot::SourcePath(name("my-rows")), place, "more.csv");
    check_spot(&sets, &Spot::MaxParallelism, "command line:1:23", "7");
    check_spot(
        &sets,
        &Spot::Source(name("my-rows")),
        "jobs/case.yaml:5:3",
        "my-rows",
    );
}

#[test]
fn relative_paths_start_at_the_file_or_where_the_command_was_given() {
    let job = load(TEXT, &["operators.op.component=op.wasm"]).unwrap();
    assert_eq!(
        job.operators[&name("op")].component.as_deref(),
        Some(Path::new("op.wasm"))
    );
    assert_eq!(folder_of(&job), Path::new("jobs/checkpoints"));
    let job = load(TEXT, &["checkpoint={ dir: /abs/c }"]).unwrap();
    assert_eq!(folder_of(&job), Path::new("/abs/c"));
    assert_eq!(
        job.operators[&name("op")].component.as_deref(),
        Some(Path::new("jobs/op.wasm"))
    );
    let job = JobFile::load(TEXT, Path::new("case.yaml"), &[]).unwrap();
    assert_eq!(folder_of(&job), Path::new("checkpoints"));
}

#[test]
fn errors_are_in_order_of_their_places_the_file_first() {
    let sets = ["sinks.out.pth=x", "job=X"];
    let errors = load(&TEXT.replace("format: csv", "format: cvs"), &sets).unwrap_err();
    let places: Vec<_> = errors
        .iter()
        .map(|error| (error.file(), error.position()))
        .collect();
    assert_eq!(
        places,
        [
            ("jobs/case.yaml", Some((5, 55))),
            ("command line", Some((1, 17))),
            ("command line", Some((1, 11))),
        ]
    );
}

#[test]
fn machines_are_told_the_same() {
    let errors = load(&TEXT.replace("format:", "fromat:"), &[]).unwrap_err();
    assert_eq!(
        serde_json::to_value(&errors).unwrap(),
        json!([{
            "code": "W0204", "message": "unknown key `fromat` in source `my-rows`",
            "file": "jobs/case.yaml", "line": 5, "column": 47, "help": null,
            "labels": [{ "line": 5, "column": 47, "text": "did you mean `format`?" }],
        }])
    );
}

#[test]
fn a_file_that_is_too_large_is_not_read() {
    let text = format!("{TEXT}#{}\n", "x".repeat(1 << 20));
    let errors = load(&text, &[]).unwrap_err();
    let error = errors.iter().next().unwrap();
    assert_eq!((errors.count(), error.code), (1, code::UNREADABLE));
    assert!(
        error.message.contains("jobs/case.yaml"),
        "{}",
        error.message
    );
}

#[test]
fn a_byte_order_mark_moves_nothing() {
    let text = format!("\u{feff}{}", TEXT.replace("job: case", "job: Case"));
    let errors = load(&text, &[]).unwrap_err();
    assert_eq!(errors.iter().next().unwrap().position(), Some((2, 6)));
}

#[test]
fn lines_that_end_as_on_windows_move_nothing() {
    let text = TEXT
        .replace("format: csv", "format: cvs")
        .replace('\n', "\r\n");
    let errors = load(&text, &[]).unwrap_err();
    assert_eq!(errors.iter().next().unwrap().position(), Some((5, 55)));
    assert!(errors.render(false, 100).contains("[jobs/case.yaml:5:55]"));
    assert!(load(&TEXT.replace('\n', "\r\n"), &[]).is_ok());
}

#[test]
fn columns_are_counted_in_characters_everywhere() {
    let text = TEXT.replace("rows.csv, format: csv", "\"été 🌞.csv\", format: cvs");
    let errors = load(&text, &[]).unwrap_err();
    let error = errors.iter().next().unwrap();
    assert_eq!(error.position(), Some((5, 58)));
    assert!(error.render(false, 100).contains("[jobs/case.yaml:5:58]"));
}

#[test]
fn there_are_not_more_errors_than_anybody_reads_and_the_rest_is_counted() {
    let unknown = |count: usize| {
        let keys: String = (0..count).map(|at| format!("owner-{at}: 1\n")).collect();
        load(&(TEXT.to_owned() + &keys), &[]).unwrap_err()
    };
    assert_eq!(unknown(50).count(), 50);
    for (count, note) in [
        (51, "and 1 more error"),
        (1_000, "and 950 more errors"),
        (1_234, "and 1184 more errors"),
    ] {
        let errors = unknown(count);
        let messages: Vec<_> = errors.iter().map(|error| error.message.as_str()).collect();
        assert_eq!(messages.len(), 51);
        // Those that are told are the first of the file.
        assert!(messages[49].contains("`owner-49`"), "{}", messages[49]);
        assert_eq!(messages[50], note);
        assert!(errors.render(false, 100).contains(note));
    }
}

#[test]
fn a_job_without_checkpoints_is_not_restarted_unless_it_says_so() {
    use weir_checkpoint::RestartStrategy;
    let usual = RestartStrategy::FixedDelay {
        attempts: Some(2),
        delay_ms: 0,
    };
    assert_eq!(load(TEXT, &[]).unwrap().restart, usual);
    let without = TEXT.replace("checkpoint: { dir: checkpoints }\n", "");
    assert_eq!(load(&without, &[]).unwrap().restart, RestartStrategy::None);
    let said = load(&without, &["restart.strategy=fixed-delay"]).unwrap();
    assert_eq!(said.restart, RestartStrategy::FIXED_DELAY);
}

/// A job file with a few words, lines and characters changed.
fn changed() -> impl Strategy<Value = String> {
    let words = prop::sample::select(vec![
        "", "~", "x", "7", "-1", "1.5", "true", "[]", "{}", "[ x ]", "{ x: y }", "csv", "file",
        "op", "op.late", "my-rows", "é", "'", "\"", ": ", "\n", "  ", "#", "*a", "&a ", "1s",
        "64MiB",
    ]);
    let change = (any::<prop::sample::Index>(), words);
    prop::collection::vec(change, 0..4).prop_map(|changes| {
        let all = include_str!("../../tests/job-file/valid/all-keys.yaml");
        let mut words: Vec<String> = all.split_inclusive(' ').map(str::to_owned).collect();
        for (at, word) in changes {
            let at = at.index(words.len());
            words[at] = format!("{word} ");
        }
        words.concat()
    })
}

fn document() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        any::<u64>().prop_map(Json::from),
        prop::num::f64::NORMAL.prop_map(Json::from),
        any::<String>().prop_map(Json::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let entries = prop::collection::btree_map(any::<String>(), inner.clone(), 0..4);
        prop_oneof![
            prop::collection::vec(inner, 0..4).prop_map(Json::from),
            entries.prop_map(|map| Json::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_change_is_read_or_told_of(text in changed()) {
        match load(&text, &[]) {
            Err(errors) => prop_assert!(!errors.render(true, 80).is_empty()),
            Ok(job) => match job.to_graph(&World) {
                Err(errors) => prop_assert!(!errors.render(false, 80).is_empty()),
                Ok(graph) => prop_assert!(weir_graph::plan(&graph).is_ok()),
            },
        }
    }

    #[test]
    fn json_is_yaml(document in document()) {
        let text = document.to_string();
        let mut report = Report::new(Vec::new());
        let node = yaml::parse(&text, 0, 0, &mut report);
        let node = node.unwrap_or_else(|| panic!("{text}: {:?}", report.finish()));
        let mut report = Report::new(Vec::new());
        prop_assert_eq!(json::of(&node, &mut report), document);
        prop_assert!(report.finish().is_ok());
    }
}
