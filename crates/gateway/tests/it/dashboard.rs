// SPDX-License-Identifier: BSD-3-Clause
//! The Grafana dashboard asks for metrics and labels that the gateway has, and for nothing else.

// The lints' leave for tests does not reach their helpers.
#![allow(clippy::expect_used, clippy::panic)]

use becket_gateway::metric_families;
use serde_json::Value;

const DASHBOARD: &str = include_str!("../../../../docs/grafana/becket.json");

/// Every string under one of the keys `expr` and `query`.
fn queries<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                match value.as_str() {
                    Some(query) if key == "expr" || key == "query" => found.push(query),
                    _ => queries(value, found),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| queries(value, found)),
        _ => {}
    }
}

/// The names of metrics in a query, each with the text that follows it.
fn names(query: &str) -> impl Iterator<Item = (&str, &str)> {
    query.match_indices("becket_").map(|(at, _)| {
        let rest = query.get(at..).expect("a boundary");
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
        rest.split_at(rest.find(|c| !is_part(c)).unwrap_or(rest.len()))
    })
}

/// The labels that a query groups and selects by.
fn labels<'a>(query: &'a str, selector: &'a str) -> impl Iterator<Item = &'a str> {
    let grouped = query.split("by (").skip(1).filter_map(|rest| rest.split(')').next());
    let selected = selector.strip_prefix('{').and_then(|rest| rest.split('}').next());
    let selected = selected.into_iter().flat_map(|matchers| matchers.split(", "));
    let selected = selected.filter_map(|matcher| matcher.split(['=', '!']).next());
    grouped.flat_map(|labels| labels.split(", ")).chain(selected)
}

#[test]
fn the_dashboard_shows_what_is_exported() {
    let dashboard: Value = serde_json::from_str(DASHBOARD).expect("JSON");
    let mut found = Vec::new();
    queries(&dashboard, &mut found);
    let mut seen = 0;
    for query in found {
        for (name, selector) in names(query) {
            let family = metric_families().iter().find(|family| match family.kind {
                "histogram" => name.strip_suffix("_bucket") == Some(family.name),
                _ => name == family.name,
            });
            let family = family.unwrap_or_else(|| panic!("no metric `{name}`: {query}"));
            for label in labels(query, selector) {
                let is_bound = label == "le" && family.kind == "histogram";
                assert!(is_bound || family.labels.contains(&label), "no label `{label}`: {query}");
            }
            let is_rate = query.contains("rate(") || query.contains("increase(");
            let is_list = query.starts_with("label_values(");
            assert!(is_list || is_rate != (family.kind == "gauge"), "a counter, bare: {query}");
            seen += 1;
        }
    }
    assert!(seen > 20, "only {seen} metrics were found: does this test still read the file?");
}
