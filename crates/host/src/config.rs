// SPDX-License-Identifier: BSD-3-Clause
//! A plugin's configuration: its own defaults under what the host was given.

use std::collections::HashMap;

use serde_json::{Map, Value};

/// The merged configuration, in the two shapes that a plugin can ask for. Never changes, so that
/// views of it live as long as the plugin.
#[derive(Debug)]
pub(crate) struct PluginConfig {
    text: String,
    values: HashMap<String, String>,
}

impl PluginConfig {
    /// Puts `given` over the JSON object `default`, table by table.
    pub(crate) fn merge(default: &str, given: &Value) -> Result<Self, serde_json::Error> {
        let mut merged =
            if default.is_empty() { Map::new() } else { serde_json::from_str(default)? };
        if let Value::Object(given) = given {
            overlay(&mut merged, given);
        }
        let merged = Value::Object(merged);
        let mut values = HashMap::new();
        flatten(&mut values, String::new(), &merged);
        Ok(Self { text: merged.to_string(), values })
    }

    /// The whole as a JSON object.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// One value by its dotted key: text bare, anything else as JSON.
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(String::as_str)
    }
}

fn overlay(under: &mut Map<String, Value>, over: &Map<String, Value>) {
    for (key, value) in over {
        match (under.get_mut(key), value) {
            (Some(Value::Object(under)), Value::Object(over)) => overlay(under, over),
            _ => {
                under.insert(key.clone(), value.clone());
            }
        }
    }
}

fn flatten(values: &mut HashMap<String, String>, path: String, value: &Value) {
    if let Value::Object(table) = value {
        for (key, value) in table {
            let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            flatten(values, path, value);
        }
    }
    if !path.is_empty() {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        values.insert(path, text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_merge_and_values_are_found_by_dotted_key() {
        let given = serde_json::json!({"a": {"y": "text"}, "n": 7});
        let config = PluginConfig::merge(r#"{"a":{"x":1,"y":2},"z":[1]}"#, &given).unwrap();
        assert_eq!(config.get("a.x"), Some("1"));
        assert_eq!(config.get("a.y"), Some("text"));
        assert_eq!(config.get("n"), Some("7"));
        assert_eq!(config.get("z"), Some("[1]"));
        assert_eq!(config.get("a"), Some(r#"{"x":1,"y":"text"}"#));
        assert_eq!(config.get("b"), None);
        assert!(PluginConfig::merge("[]", &Value::Null).is_err());
    }
}
