// SPDX-License-Identifier: BSD-3-Clause
//! `schema.json`, as far as it goes: types, constants, lists of names, least numbers, required fields.
//! Fields that it does not know are errors here, so that it is kept complete.

use serde_json::Value;

const SCHEMA: &str = include_str!("../../../src/report/schema.json");

/// The report is as the schema says.
pub(crate) fn holds(report: &Value) {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    check(&schema, &schema, report, "report");
}

fn check(root: &Value, schema: &Value, value: &Value, at: &str) {
    if let Some(name) = schema["$ref"].as_str() {
        let target = root.pointer(name.strip_prefix('#').unwrap());
        check(root, target.unwrap_or_else(|| panic!("{name} is nowhere")), value, at);
    }
    if let Some(constant) = schema.get("const") {
        assert_eq!(value, constant, "{at}");
    }
    if let Some(names) = schema["enum"].as_array() {
        assert!(names.contains(value), "{at}: {value}");
    }
    match schema["type"].as_str() {
        Some("object") => object(root, schema, value, at),
        Some("array") => {
            for (place, item) in value.as_array().expect(at).iter().enumerate() {
                check(root, &schema["items"], item, &format!("{at}[{place}]"));
            }
        }
        Some("string") => assert!(value.is_string(), "{at}"),
        Some("boolean") => assert!(value.is_boolean(), "{at}"),
        Some("integer") => assert!(value.is_u64(), "{at}: {value}"),
        Some(other) => panic!("{at}: {other}"),
        None => {}
    }
}

fn object(root: &Value, schema: &Value, value: &Value, at: &str) {
    let fields = value.as_object().expect(at);
    for name in schema["required"].as_array().expect(at) {
        assert!(fields.contains_key(name.as_str().unwrap()), "{at} has no {name}");
    }
    for (name, field) in fields {
        let known = schema["properties"].get(name);
        let known = known.unwrap_or_else(|| panic!("{at}.{name} is not in the schema"));
        check(root, known, field, &format!("{at}.{name}"));
    }
}

#[test]
fn what_the_schema_does_not_know_is_an_error() {
    let mut report = serde_json::to_value(crate::sample::red()).unwrap();
    holds(&report);
    let wrongs: [fn(&mut Value); 4] = [
        |report| report["verdict"] = "wonderful".into(),
        |report| report["more"] = 1.into(),
        |report| report["profiles"][0]["runs"][0]["rules_exercised"] = (-1).into(),
        |report| {
            report["gates"][0].as_object_mut().unwrap().remove("counted");
        },
    ];
    let right = report.clone();
    for wrong in wrongs {
        report.clone_from(&right);
        wrong(&mut report);
        assert!(std::panic::catch_unwind(|| holds(&report)).is_err());
    }
}
