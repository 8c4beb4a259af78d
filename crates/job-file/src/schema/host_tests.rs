//! Tests that the schema of the host file, its reference and what is read of it are one. The
//! mappings that it shares with the job file are tested there.

use std::path::Path;

use boon::{Compiler, Schemas};
use serde_json::{Value as Json, json};

use super::{
    tests::{all_below, fits},
    *,
};
use crate::{HostFile, JobFile};

fn base() -> Json {
    json!({
        "apiVersion": "weir/v1",
        "state": { "backend": "rocksdb" },
        "checkpoint": { "retain": {} },
        "restart": { "strategy": "fixed-delay" },
        "limits": {},
        "bounds": {},
        "storage": { "s3": {} },
    })
}

fn place(id: &str) -> &'static str {
    match id {
        "host" => "",
        "state" => "/state",
        "checkpoint" => "/checkpoint",
        "retain" => "/checkpoint/retain",
        "restart" => "/restart",
        "limits" => "/limits",
        "bounds" => "/bounds",
        "storage" => "/storage",
        "s3" => "/storage/s3",
        other => panic!("where does `{other}` stand?"),
    }
}

fn with(id: &str, key: &str, value: Json) -> Json {
    let mut document = base();
    document.pointer_mut(place(id)).unwrap()[key] = value;
    document
}

fn load(document: &Json) -> Result<HostFile, crate::Diagnostics> {
    HostFile::load(&document.to_string(), Path::new("etc/weir.yaml"))
}

fn check(document: &Json) -> Result<(), String> {
    let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
    let schema = host_schema();
    let id = schema["$id"].as_str().unwrap().to_owned();
    compiler.add_resource(&id, schema).unwrap();
    let index = compiler.compile(&id, &mut schemas).unwrap();
    fits(&schemas, index, document)
}

fn all() -> Vec<&'static Keys> {
    all_below(&host::KEYS)
}

#[test]
fn every_example_and_nothing_wrong_is_read_and_fits_the_schema() {
    check(&base()).unwrap();
    load(&base()).unwrap();
    for keys in all() {
        for key in keys.known {
            let (id, name) = (keys.id, key.name());
            // Of a restart strategy other than that of the base.
            let document = with(id, name, written(key.example()));
            if id != "restart" {
                load(&document).unwrap_or_else(|errors| panic!("{id}: {name}: {errors}"));
            }
            check(&document).unwrap_or_else(|error| panic!("{id}: {name}: {error}"));
            let document = with(id, name, json!([[{ "wrong": 1 }]]));
            assert!(load(&document).is_err(), "{id}: {name} is not read");
            assert!(check(&document).is_err(), "{id}: {name}");
        }
        let document = with(keys.id, "unheard-of", 1.into());
        assert!(load(&document).is_err(), "{}", keys.id);
        assert!(check(&document).is_err(), "{}", keys.id);
    }
}

#[test]
fn everything_is_told_of() {
    let reference = crate::host_reference();
    for keys in all() {
        for key in keys.known {
            let row = format!("\n| `{}` |", key.name());
            assert!(reference.contains(&row), "{}: {}", keys.id, key.name());
        }
    }
    let example = reference.split("```").nth(1).unwrap();
    let example = example.strip_prefix("yaml").unwrap();
    let host = HostFile::load(example, Path::new("etc/weir.yaml")).unwrap();
    let job = "apiVersion: weir/v1\njob: a\nsources: { r: { connector: generator } }\n";
    let job = JobFile::load_on(&host, job, Path::new("job.yaml"), &[]).unwrap();
    assert!(job.checkpoint.is_some());
    assert!(job.from_host.iter().all(|from| from.line > 1));
}
