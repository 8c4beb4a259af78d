//! Tests that the schema of test files, their reference and what is read of them are one. The
//! operator and what it shares with job files are tested there.

use std::{fs, path::Path};

use boon::{Compiler, Schemas};
use serde_json::{Value as Json, json};

use super::{
    tests::{all_below, fits},
    *,
};
use crate::{Diagnostics, HostFile, JobFile, TestFile, read::as_json};

/// The mappings that are of test files alone.
const OWN: [&str; 4] = ["test", "test-source", "test-case", "test-step"];

fn base(steps: Json) -> Json {
    json!({
        "apiVersion": "weir/v1",
        "operator": { "component": "a.wasm", "inputs": [{ "from": "clicks" }] },
        "sources": { "clicks": { "format": "csv" } },
        "cases": [{ "name": "a", "steps": steps }],
    })
}

/// A file in which a key stands.
fn with(id: &str, key: &str, value: Json) -> Json {
    let mut document = base(json!(["crash"]));
    match id {
        "test" => document[key] = value,
        "test-source" => document["sources"]["clicks"][key] = value,
        "test-case" => document["cases"][0][key] = value,
        _ => {
            let mut step = match key {
                "input" => json!({ "watermark": 1 }),
                "output" | "order" => json!({ "expect": [] }),
                _ => json!({}),
            };
            step[key] = value;
            document = base(json!([{ "snapshot": "before" }, step]));
        }
    }
    document
}

fn load(document: &Json) -> Result<TestFile, Diagnostics> {
    let no_job = |path: &Path| JobFile::load("", path, &[]);
    let path = Path::new("tests/a.test.yaml");
    TestFile::load(
        &HostFile::default(),
        &document.to_string(),
        path,
        &[],
        &no_job,
    )
}

fn check(document: &Json) -> Result<(), String> {
    let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
    let schema = test_schema();
    let id = schema["$id"].as_str().unwrap().to_owned();
    compiler.add_resource(&id, schema).unwrap();
    let index = compiler.compile(&id, &mut schemas).unwrap();
    fits(&schemas, index, document)
}

fn all() -> Vec<&'static Keys> {
    let mut all = all_below(&test_file::KEYS);
    all.retain(|keys| OWN.contains(&keys.id));
    all
}

#[test]
fn every_example_and_nothing_wrong_is_read_and_fits_the_schema() {
    assert_eq!(all().len(), OWN.len());
    check(&base(json!(["crash"]))).unwrap();
    for keys in all() {
        for key in keys.known {
            let (id, name) = (keys.id, key.name());
            let document = with(id, name, written(key.example()));
            check(&document).unwrap_or_else(|error| panic!("{id}: {name}: {error}"));
            // That of a job file that is named is another operator.
            if name != "job" {
                load(&document).unwrap_or_else(|errors| panic!("{id}: {name}: {errors}"));
            }
            // Any list may be one of rows.
            let wrong = match name {
                "rows" | "expect" => json!({ "wrong": 1 }),
                _ => json!([[{ "wrong": 1 }]]),
            };
            let document = with(id, name, wrong);
            assert!(load(&document).is_err(), "{id}: {name} is not read");
            assert!(check(&document).is_err(), "{id}: {name}");
        }
        let document = with(keys.id, "unheard-of", 1.into());
        assert!(load(&document).is_err(), "{}", keys.id);
        assert!(check(&document).is_err(), "{}", keys.id);
    }
}

#[test]
fn a_step_does_one_thing() {
    for steps in [
        json!([{}]),
        json!([{ "input": "clicks" }]),
        json!([{ "crash": null, "skipped": 0 }]),
        json!(["rows"]),
        json!([]),
    ] {
        assert!(load(&base(steps.clone())).is_err(), "{steps}");
        assert!(check(&base(steps.clone())).is_err(), "{steps}");
    }
    for word in ["idle", "end", "snapshot", "crash"] {
        load(&base(json!([word]))).unwrap();
        check(&base(json!([word]))).unwrap();
    }
}

#[test]
fn the_tests_of_the_examples_fit_the_schema() {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("../../guest-examples")];
    let mut count = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() && name != "target" {
                folders.push(path);
            } else if name.ends_with(".test.yaml") {
                let document = as_json(&fs::read_to_string(&path).unwrap(), &[]).unwrap();
                check(&document).unwrap_or_else(|error| panic!("{name}: {error}"));
                count += 1;
            }
        }
    }
    assert!(count > 5, "{count}");
}

#[test]
fn everything_is_told_of() {
    let reference = crate::test_reference();
    for keys in all() {
        for key in keys.known {
            let row = format!("\n| `{}` |", key.name());
            assert!(reference.contains(&row), "{}: {}", keys.id, key.name());
        }
    }
    let example = reference.split("```").nth(1).unwrap();
    let document = as_json(example.strip_prefix("yaml").unwrap(), &[]).unwrap();
    check(&document).unwrap();
    assert_eq!(load(&document).unwrap().cases.len(), 1);
}
