//! The schema itself, and validation against it with a real validator: Python's `jsonschema`.

use std::process::Command;

use serde_json::Value;

use crate::common::{Scratch, skip, tcpgoon};
use tcpgoon::json::INTEGER_MAX;
use tcpgoon::report::json::SCHEMA;

/// Reads the schema, then a JSON value a line, and prints what does not fit.
const VALIDATOR: &str = "
import json, sys
import jsonschema
schema = json.load(open(sys.argv[1]))
jsonschema.Draft202012Validator.check_schema(schema)
name = sys.argv[3]
if name:
    schema = {**schema, 'anyOf': [{'$ref': '#/$defs/' + name}]}
validator = jsonschema.Draft202012Validator(schema)
count = 0
for number, line in enumerate(open(sys.argv[2]), 1):
    count += 1
    for error in validator.iter_errors(json.loads(line)):
        for deeper in error.context or [error]:
            print(number, deeper.json_path, deeper.message[:400])
print('validated', count)
";

/// Units, and numbers that are names: the end of every number's name.
const ENDINGS: [&str; 8] =
    ["_ns", "_us", "_count", "_bytes", "_percent", "_code", "_number", "_port"];
const SETTINGS: &str = "_setting";

/// Validates JSON values, each on its line, against the whole schema or one of its definitions;
/// `None` if there is no validator here.
pub fn validate(lines: &str, definition: &str) -> Option<String> {
    let python = |words: &[&str]| {
        let output = Command::new("python3").args(words).output().ok()?;
        Some((output.status.success(), output))
    };
    if !python(&["-c", "import jsonschema"]).is_some_and(|(success, _)| success) {
        skip("Python's jsonschema is missing (apt-get install python3-jsonschema)");
        return None;
    }
    let scratch = Scratch::new();
    let (schema, values) = (scratch.write("schema", SCHEMA), scratch.write("values", lines));
    let [schema, values] = [&schema, &values].map(|path| path.to_str().unwrap());
    let (success, output) = python(&["-c", VALIDATOR, schema, values, definition]).unwrap();
    assert!(success, "{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap())
}

/// Validates them and fails where one does not fit.
#[track_caller]
pub fn assert_valid(lines: &str, definition: &str) {
    let Some(said) = validate(lines, definition) else { return };
    assert_eq!(said, format!("validated {}\n", lines.lines().count()));
}

/// Calls `each` with every number and its key.
pub fn numbers(key: &str, value: &Value, each: &mut dyn FnMut(&str, &Value)) {
    match value {
        Value::Number(_) => each(key, value),
        Value::Array(values) => values.iter().for_each(|value| numbers(key, value, each)),
        Value::Object(fields) => fields.iter().for_each(|(key, value)| numbers(key, value, each)),
        _ => {}
    }
}

/// Every number is an integer that every reader keeps, with its unit in its name.
#[track_caller]
pub fn assert_units(document: &Value) {
    numbers("", document, &mut |key, value| {
        let is_exact = value.as_u64().is_some_and(|number| number <= INTEGER_MAX);
        assert!(is_exact, "{key}: {value}");
        let has_unit = ENDINGS.iter().any(|ending| key.ends_with(ending));
        assert!(has_unit || key.ends_with(SETTINGS) || key == "seed", "{key}: {value}");
    });
}

/// Calls `each` with every part of a schema and the path to it.
fn parts<'a>(path: &str, value: &'a Value, each: &mut dyn FnMut(&str, &'a Value)) {
    each(path, value);
    match value {
        Value::Object(fields) => {
            fields.iter().for_each(|(key, value)| parts(&format!("{path}/{key}"), value, each));
        }
        Value::Array(values) => values.iter().for_each(|value| parts(path, value, each)),
        _ => {}
    }
}

#[test]
fn every_field_is_described_and_no_other_is_allowed() {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    let mut described = 0;
    parts("", &schema, &mut |path, part| {
        let Some(properties) = part.get("properties").filter(|_| part.get("type").is_some()) else {
            return;
        };
        assert_eq!(part.get("additionalProperties"), Some(&Value::Bool(false)), "{path}");
        for (name, property) in properties.as_object().unwrap() {
            let reference = property.get("$ref").and_then(Value::as_str);
            let referred = reference.and_then(|path| schema.pointer(&path[1..]));
            let either = property.get("anyOf").and_then(|all| all.get(0)?.get("$ref")?.as_str());
            let of_either = either.and_then(|path| schema.pointer(&path[1..]));
            let places = [Some(property), referred, of_either];
            let texts =
                places.into_iter().flatten().filter_map(|place| place.get("description")?.as_str());
            assert!(texts.clone().next().is_some_and(|text| text.len() > 2), "{path}/{name}");
            described += 1;
        }
    });
    assert!(described > 200, "{described}");
}

#[test]
fn the_program_prints_it() {
    let output = tcpgoon(&["schema"]).output().unwrap();
    assert!(output.status.success());
    assert_eq!(String::from_utf8(output.stdout).unwrap(), SCHEMA);
}

#[test]
fn the_validator_finds_what_is_wrong() {
    let wrong = r#"{"event":"interval","time":"x","time_unix_us":1.5,"after_ns":0,"levels":{}}"#;
    let Some(said) = validate(&format!("{wrong}\n"), "interval_event") else { return };
    for part in ["$.time_unix_us 1.5 is not", "'dialing_count' is a required property"] {
        assert!(said.contains(part), "{said}");
    }
}
