//! The JSON Schema of a job file, made of the table that files are read by.

use serde_json::{Map, Value as Json, json};

use crate::read::{
    KEYS, host,
    keys::{AnyKey, Keys, Without, written},
    test_file,
};

/// The JSON Schema (2020-12) of the job file, for editors and for checks without this program.
///
/// It refuses what has the wrong form: unknown and missing keys, other types, words that are not
/// there. What depends on something else (names that are read, files, components) only
/// [`JobFile::load`](crate::JobFile::load) and what comes behind it can tell.
#[must_use]
pub fn schema() -> Json {
    let about = "A job: sources, operators and sinks, and how it runs.";
    of(&KEYS, "urn:weir:job-file:v1", "Weir job file", about)
}

/// The JSON Schema (2020-12) of the host file, as [`schema`]. What is written in Flink's names does
/// not fit it.
#[must_use]
pub fn host_schema() -> Json {
    let about = "A host: what holds for all jobs that say nothing else, and what none may have.";
    of(
        &host::KEYS,
        "urn:weir:host-file:v1",
        "Weir host file",
        about,
    )
}

/// The JSON Schema (2020-12) of a test file, as [`schema`].
#[must_use]
pub fn test_schema() -> Json {
    let about = "Tests of an operator: cases of what is done with it, step by step.";
    let id = "urn:weir:test-file:v1";
    of(&test_file::KEYS, id, "Weir test file", about)
}

fn of(keys: &'static Keys, id: &str, title: &str, about: &str) -> Json {
    let mut defs = Map::new();
    define(keys, &[], &mut defs);
    let mut schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": id,
        "title": title,
        "description": about,
        "$ref": format!("#/$defs/{}", keys.id),
        "$defs": defs,
    });
    // The same text in every build, whatever the map of another crate's features is.
    schema.sort_all_objects();
    schema
}

/// Describes a mapping, and what stands in it. `common` are the keys that it has as well, with the
/// word that makes it a variant.
fn define(keys: &'static Keys, common: &[(&Keys, &str)], defs: &mut Map<String, Json>) {
    if defs.contains_key(keys.id) {
        return;
    }
    // Whoever stands in itself would be described for ever.
    defs.insert(keys.id.to_owned(), Json::Null);
    let mut properties = Map::new();
    let mut required = Vec::new();
    let mut rules = (keys.rules)();
    for (common, word) in common {
        rules.extend((common.rules)());
        describe(common, &mut properties, &mut required);
        properties.insert(CONNECTOR.to_owned(), json!({ "const": word }));
    }
    describe(keys, &mut properties, &mut required);
    let mut schema = match keys.variants {
        [] => json!({ "properties": properties, "additionalProperties": false }),
        variants => {
            // Each variant has all keys, so that each can refuse others.
            rules = variants
                .iter()
                .map(|(word, own)| variant(word, own))
                .collect();
            let connector = properties.remove(CONNECTOR);
            required = vec![CONNECTOR];
            json!({ "properties": { CONNECTOR: connector } })
        }
    };
    if let Json::Object(schema) = &mut schema {
        schema.insert("type".to_owned(), "object".into());
        schema.insert("description".to_owned(), keys.about.into());
        if !required.is_empty() {
            schema.insert("required".to_owned(), json!(required));
        }
        if !rules.is_empty() {
            schema.insert("allOf".to_owned(), rules.into());
        }
    }
    defs.insert(keys.id.to_owned(), schema);
    for key in keys.known {
        for below in key.kind().below() {
            define(below, &[], defs);
        }
    }
    for (word, own) in keys.variants {
        define(own, &[(keys, word)], defs);
    }
}

/// The key that variants depend on.
const CONNECTOR: &str = "connector";

fn variant(word: &str, own: &Keys) -> Json {
    json!({
        "if": { "properties": { CONNECTOR: { "const": word } }, "required": [CONNECTOR] },
        "then": { "$ref": format!("#/$defs/{}", own.id) },
    })
}

fn describe(keys: &Keys, properties: &mut Map<String, Json>, required: &mut Vec<&'static str>) {
    for key in keys.known {
        properties.insert(key.name().to_owned(), property(*key));
        if key.needed() {
            required.push(key.name());
        }
    }
}

fn property(key: &dyn AnyKey) -> Json {
    let mut schema = key.kind().schema();
    let Json::Object(fields) = &mut schema else {
        return schema;
    };
    let mut about = key.about().to_owned();
    for (word, meaning) in key.kind().choices() {
        about.push_str(&format!("\n- `{word}`: {meaning}"));
    }
    match key.without() {
        Without::Value(value) => {
            fields.insert("default".to_owned(), written(value));
        }
        Without::Words(words) => about.push_str(&format!("\nWithout it: {words}.")),
        Without::Untold => {}
    }
    fields.insert("description".to_owned(), about.into());
    fields.insert("examples".to_owned(), json!([written(key.example())]));
    schema
}

#[cfg(test)]
mod host_tests;
#[cfg(test)]
mod test_tests;
#[cfg(test)]
mod tests;
