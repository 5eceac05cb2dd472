// SPDX-License-Identifier: BSD-3-Clause
//! `filters` of a route: a name, or a table with one.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::check::{Complaint, WAIT_MS_MAX};
use super::error::suggestion;
use super::locate::KeyPath;
use super::{Config, PluginConfig, RouteConfig};

/// The entry of a filter that is named by its plugin alone.
pub(crate) const DEFAULT_ENTRY: &str = "filter";

/// The most filters of one route.
const FILTERS_MAX: usize = 16;

/// A filter of a route.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FilterConfig {
    /// `PLUGIN.ENTRY`, or `PLUGIN` for its entry `filter`.
    pub name: String,
    /// Whether it gets the request's body, which is read whole for it.
    pub request_body: bool,
    /// Whether it gets the answer's body in the response phase, for which that is read whole.
    pub response_body: bool,
    /// Whether a request goes on without it when it fails.
    pub fail_open: bool,
    /// The deadline of each of its calls, instead of its plugin's `deadline_ms`.
    pub timeout_ms: Option<u64>,
}

impl FilterConfig {
    /// The names of its plugin and entry. `None`: no plugin has such a name. A plugin's name may have dots: the
    /// longest one decides.
    pub(crate) fn target<'a>(
        &'a self,
        plugins: &BTreeMap<String, PluginConfig>,
    ) -> Option<(&'a str, &'a str)> {
        let name = self.name.as_str();
        if plugins.contains_key(name) {
            return Some((name, DEFAULT_ENTRY));
        }
        let split = |(at, _)| Some((name.get(..at)?, name.get(at + 1..)?));
        let mut splits = name.rmatch_indices('.').filter_map(split);
        splits.find(|(plugin, entry)| plugins.contains_key(*plugin) && !entry.is_empty())
    }
}

/// `filters = ["auth", { name = "rate.limit", fail_open = true }]`.
pub(super) fn filters<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<FilterConfig>, D::Error> {
    struct List;

    impl<'de> Visitor<'de> for List {
        type Value = Vec<FilterConfig>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list of filters, such as [\"auth\"]")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
            let mut filters = Vec::new();
            while let Some(NameOrTable(filter)) = seq.next_element()? {
                filters.push(filter);
            }
            Ok(filters)
        }
    }

    d.deserialize_any(List)
}

struct NameOrTable(FilterConfig);

impl<'de> Deserialize<'de> for NameOrTable {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = FilterConfig;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"PLUGIN\", \"PLUGIN.ENTRY\", or a table with `name`")
            }

            fn visit_str<E: Error>(self, name: &str) -> Result<FilterConfig, E> {
                Ok(FilterConfig { name: name.to_owned(), ..FilterConfig::default() })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<FilterConfig, A::Error> {
                FilterConfig::deserialize(MapAccessDeserializer::new(map))
            }
        }

        d.deserialize_any(Either).map(Self)
    }
}

/// What is wrong with the filters of a route.
pub(super) fn check(config: &Config, index: usize, route: &RouteConfig) -> Result<(), Complaint> {
    let filters = || KeyPath::default().key("routes").index(index).key("filters");
    if route.filters.len() > FILTERS_MAX {
        return Err(Complaint::new(
            filters(),
            format!("`{}` has {} filters", filters(), route.filters.len()),
            format!("keep at most {FILTERS_MAX}: each is a call of a plugin"),
        ));
    }
    for (at, filter) in route.filters.iter().enumerate() {
        let path = || filters().index(at);
        if filter.name.is_empty() {
            return Err(Complaint::new(
                path(),
                format!("`{}` has no `name`", path()),
                "write `name = \"PLUGIN.ENTRY\"`, or \"PLUGIN\" for its entry `filter`",
            ));
        }
        if filter.target(&config.plugins).is_none() {
            let known: Vec<&str> = config.plugins.keys().map(String::as_str).collect();
            // The likeness of names tells little when an entry's is behind one of them.
            let plugin = filter.name.split('.').next().unwrap_or_default();
            return Err(Complaint::new(
                path(),
                format!("`{}` is `{}`, of which no plugin is in [plugins]", path(), filter.name),
                suggestion(plugin, &known),
            ));
        }
        if filter.timeout_ms.is_some_and(|ms| ms == 0 || ms > WAIT_MS_MAX) {
            return Err(Complaint::new(
                path().key("timeout_ms"),
                format!("`{}` is out of range", path().key("timeout_ms")),
                format!("write a number from 1 to {WAIT_MS_MAX}, or leave it out"),
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(filters: &str) -> String {
        format!(
            "[plugins.a]\nlinked = \"a\"\n[plugins.\"a.b\"]\nlinked = \"a\"\n[[routes]]\npath = \
             \"/x\"\nplugin = \"a\"\nentry = \"e\"\nfilters = {filters}\n"
        )
    }

    #[test]
    fn a_filter_is_a_name_or_a_table() {
        let list = "[\"a\", \"a.b\", \"a.c\", \"a.b.c.d\", { name = \"a.f\", request_body = true, \
                    response_body = true, fail_open = true, timeout_ms = 7 }]";
        let config = Config::parse(&text(list), "t").unwrap();
        let filters = &config.routes[0].filters;
        let targets: Vec<_> =
            filters.iter().map(|filter| filter.target(&config.plugins).unwrap()).collect();
        let wanted = [("a", "filter"), ("a.b", "filter"), ("a", "c"), ("a.b", "c.d"), ("a", "f")];
        assert_eq!(targets, wanted);
        assert_eq!(filters[0], FilterConfig { name: "a".to_owned(), ..FilterConfig::default() });
        let all = FilterConfig {
            name: "a.f".to_owned(),
            request_body: true,
            response_body: true,
            fail_open: true,
            timeout_ms: Some(7),
        };
        assert_eq!(filters[4], all);
    }

    #[test]
    fn each_mistake_in_a_filter_is_named() {
        for (filters, message) in [
            ("[\"b\"]", "`routes[0].filters[0]` is `b`, of which no plugin"),
            ("[\"a\", \"ab.c\"]", "did you mean `a`?"),
            ("[\"a.\"]", "of which no plugin"),
            ("[\"\"]", "has no `name`"),
            ("[{ fail_open = true }]", "has no `name`"),
            ("[{ name = \"a\", fail_opn = true }]", "did you mean `fail_open`?"),
            ("[{ name = \"a\", timeout_ms = 0 }]", "`routes[0].filters[0].timeout_ms` is out of"),
            ("[7]", "PLUGIN.ENTRY"),
            ("\"a\"", "a list of filters"),
            (&format!("[{}]", "\"a\",".repeat(17)), "has 17 filters"),
        ] {
            let refused = Config::parse(&text(filters), "t").unwrap_err().render();
            assert!(refused.contains("t:9:") && refused.contains(message), "{refused}");
        }
    }
}
