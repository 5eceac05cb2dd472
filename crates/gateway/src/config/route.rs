// SPDX-License-Identifier: BSD-3-Clause
//! `[[routes]]`: what answers where.

use std::collections::HashMap;
use std::path::PathBuf;

use becket_host::EntryKind;
use http::{HeaderValue, Method};
use serde::Deserialize;

use super::check::{Complaint, WAIT_MS_MAX};
use super::error::suggestion;
use super::filter::{self, FilterConfig};
use super::locate::KeyPath;
use super::upstream::{self, UpstreamConfig};
use super::{Config, value};

/// One path, or all paths under one, and what answers there: an entry of a plugin, another server, or a folder's
/// files.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RouteConfig {
    /// This path alone.
    pub path: Option<String>,
    /// This path and everything below it, instead of `path`.
    pub prefix: Option<String>,
    /// The methods; none: every one.
    #[serde(deserialize_with = "value::methods")]
    pub methods: Vec<Method>,
    /// The plugin's name in `plugins`; empty: another server answers, or files do.
    pub plugin: String,
    /// The entry.
    pub entry: String,
    /// The servers to which requests are passed on, instead of `plugin`.
    #[serde(deserialize_with = "upstream::upstream")]
    pub upstream: Option<UpstreamConfig>,
    /// The folder whose files are served, instead of `plugin`; with `prefix`.
    pub files: Option<PathBuf>,
    /// How the entry answers, where the plugin does not describe itself.
    #[serde(deserialize_with = "value::kind")]
    pub kind: Option<EntryKind>,
    /// The answer's `content-type`.
    pub content_type: Option<String>,
    /// The deadline of each call, instead of the plugin's `deadline_ms`; of the head of an upstream server's answer,
    /// after the last piece of the request was taken.
    pub timeout_ms: Option<u64>,
    /// What is called before the entry, in this order, and after it.
    #[serde(deserialize_with = "filter::filters")]
    pub filters: Vec<FilterConfig>,
}

/// What is wrong with the routes.
pub(super) fn check(config: &Config) -> Result<(), Complaint> {
    let mut taken = Taken::new();
    for (index, route) in config.routes.iter().enumerate() {
        check_route(config, index, route)?;
        filter::check(config, index, route)?;
        check_overlap(&mut taken, index, route)?;
    }
    Ok(())
}

/// Whether the folders of routes are there.
pub(super) fn check_folders(config: &Config) -> Result<(), Complaint> {
    for (index, route) in config.routes.iter().enumerate() {
        let Some(folder) = &route.files else { continue };
        let path = KeyPath::default().key("routes").index(index).key("files");
        let wrong = |cause: String| {
            let what = format!("`{path}` is `{}`, which is not a folder", folder.display());
            let hint = "check the path: it is relative to the configuration's folder";
            Complaint::new(path.clone(), what, hint).because(cause)
        };
        match std::fs::metadata(folder) {
            Ok(meta) if meta.is_dir() => {}
            Ok(_) => return Err(wrong("it is a file".to_owned())),
            Err(error) => return Err(wrong(error.to_string())),
        }
    }
    Ok(())
}

fn check_route(config: &Config, index: usize, route: &RouteConfig) -> Result<(), Complaint> {
    let path = || KeyPath::default().key("routes").index(index);
    let (key, pattern) = match (&route.path, &route.prefix) {
        (Some(pattern), None) => ("path", pattern),
        (None, Some(pattern)) => ("prefix", pattern),
        (None, None) => {
            return Err(Complaint::new(
                path(),
                format!("`{}` has neither `path` nor `prefix`", path()),
                "write `path = \"/v1/echo\"` for one path, `prefix = \"/v1\"` for all below it",
            ));
        }
        (Some(_), Some(_)) => {
            return Err(Complaint::new(
                path().key("prefix"),
                format!("`{}` has both `path` and `prefix`", path()),
                "keep one of them, or write two routes",
            ));
        }
    };
    if !pattern.starts_with('/') || pattern.contains(['?', '#', ' ']) || !pattern.is_ascii() {
        return Err(Complaint::new(
            path().key(key),
            format!("`{}` is `{pattern}`, which is not a path", path().key(key)),
            "begin with `/`, leave out `?` and `#`, and percent-encode the rest as clients send it",
        ));
    }
    check_target(config, &path(), route)?;
    if let Some(text) = &route.content_type
        && HeaderValue::from_str(text).is_err()
    {
        return Err(Complaint::new(
            path().key("content_type"),
            format!("`{}` cannot be a header's value", path().key("content_type")),
            "write a media type, such as \"application/json\"",
        ));
    }
    if route.timeout_ms.is_some_and(|ms| ms == 0 || ms > WAIT_MS_MAX) {
        return Err(Complaint::new(
            path().key("timeout_ms"),
            format!("`{}` is out of range", path().key("timeout_ms")),
            format!("write a number from 1 to {WAIT_MS_MAX}, or leave it out"),
        ));
    }
    Ok(())
}

/// What answers: an entry of a plugin, another server, or files.
fn check_target(config: &Config, path: &KeyPath, route: &RouteConfig) -> Result<(), Complaint> {
    let at = |key| path.clone().key(key);
    let instead = match (&route.upstream, &route.files) {
        (Some(_), _) => Some("upstream"),
        (None, Some(_)) => Some("files"),
        (None, None) => None,
    };
    if let Some(instead) = instead {
        let other = [
            ("files", instead != "files" && route.files.is_some()),
            ("plugin", !route.plugin.is_empty()),
            ("entry", !route.entry.is_empty()),
            ("kind", route.kind.is_some()),
            ("content_type", route.content_type.is_some()),
        ];
        if let Some((key, _)) = other.into_iter().find(|(_, is_given)| *is_given) {
            return Err(Complaint::new(
                at(key),
                format!("`{path}` has both `{instead}` and `{key}`"),
                "keep one of them",
            ));
        }
        if route.files.is_some() && route.prefix.is_none() {
            return Err(Complaint::new(
                at("path"),
                format!("`{path}` has both `files` and `path`"),
                "write `prefix` in place of `path`",
            )
            .because("a file's name is what follows the prefix"));
        }
        let upstream = route.upstream.as_ref();
        return upstream.map_or(Ok(()), |it| upstream::check(&at("upstream"), it));
    }
    if !config.plugins.contains_key(&route.plugin) {
        let known: Vec<&str> = config.plugins.keys().map(String::as_str).collect();
        return Err(if route.plugin.is_empty() {
            Complaint::new(path.clone(), format!("`{}` has no `plugin`", path), {
                format!(
                    "write `plugin = \"NAME\"`, `upstream = \"http://HOST:PORT\"` or `files = \"FOLDER\"`; \
                     known here: {}",
                    known.join(", ")
                )
            })
        } else {
            Complaint::new(
                at("plugin"),
                format!("`{}` is `{}`, which is not in [plugins]", path, route.plugin),
                suggestion(&route.plugin, &known),
            )
        });
    }
    if route.entry.is_empty() {
        return Err(Complaint::new(
            path.clone(),
            format!("`{}` has no `entry`", path),
            "write `entry = \"NAME\"`; `becket plugin inspect` lists a plugin's entries",
        ));
    }
    Ok(())
}

/// The routes so far: from (is the path exact, path) to each route's index and methods.
type Taken<'a> = HashMap<(bool, &'a str), Vec<(usize, &'a [Method])>>;

/// Two routes that could both answer the same request are a mistake, not a question of order.
fn check_overlap<'a>(
    taken: &mut Taken<'a>,
    index: usize,
    route: &'a RouteConfig,
) -> Result<(), Complaint> {
    let exact = route.path.is_some();
    let pattern = route.path.as_deref().or(route.prefix.as_deref()).unwrap_or_default();
    let others = taken.entry((exact, pattern)).or_default();
    let clash = others.iter().find(|(_, methods)| {
        methods.is_empty()
            || route.methods.is_empty()
            || methods.iter().any(|method| route.methods.contains(method))
    });
    if let Some((other, _)) = clash {
        let key = if exact { "path" } else { "prefix" };
        return Err(Complaint::new(
            KeyPath::default().key("routes").index(index).key(key),
            format!("`routes[{index}]` and `routes[{other}]` both take `{pattern}`"),
            "give them different `methods`, or remove one",
        ));
    }
    others.push((index, &route.methods));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{PLUGIN, refused};
    use super::*;

    #[test]
    fn routes_that_overlap_are_refused() {
        let route = |methods: &str| {
            format!("[[routes]]\npath = \"/x\"\nplugin = \"a\"\nentry = \"e\"\n{methods}\n")
        };
        let get = route("methods = [\"GET\"]");
        let post = route("methods = [\"POST\"]");
        assert!(Config::parse(&format!("{PLUGIN}{get}{post}"), "t").is_ok());
        assert!(refused(&format!("{PLUGIN}{get}{get}")).contains("both take `/x`"));
        assert!(refused(&format!("{PLUGIN}{get}{}", route(""))).contains("both take `/x`"));
    }

    #[test]
    fn each_mistake_in_a_route_is_named() {
        for (route, message) in [
            ("plugin = \"a\"\nentry = \"e\"", "neither `path` nor `prefix`"),
            ("path = \"x\"\nplugin = \"a\"\nentry = \"e\"", "not a path"),
            ("path = \"/x\"\nentry = \"e\"", "has no `plugin`"),
            ("path = \"/x\"\nplugin = \"a\"", "has no `entry`"),
            ("path = \"/x\"\nplugin = \"a\"\nentry = \"e\"\ntimeout_ms = 0", "out of range"),
            ("path = \"/x\"\nplugin = \"a\"\nentry = \"e\"\ncontent_type = \"a\\nb\"", "header"),
            ("path = \"/x\"\nplugin = \"a\"\nentry = \"e\"\nmethods = [\"G T\"]", "HTTP method"),
            ("path = \"/x\"\nplugin = \"a\"\nentry = \"e\"\nkind = \"cht\"", "did you mean `chat`"),
            (
                "path = \"/x\"\nupstream = \"http://a\"\nplugin = \"a\"",
                "both `upstream` and `plugin`",
            ),
            (
                "prefix = \"/x\"\nupstream = \"http://a\"\nfiles = \"a\"",
                "both `upstream` and `files`",
            ),
            ("prefix = \"/x\"\nfiles = \"a\"\nkind = \"unary\"", "both `files` and `kind`"),
            ("path = \"/x\"\nfiles = \"a\"", "both `files` and `path`"),
        ] {
            let text = refused(&format!("{PLUGIN}[[routes]]\n{route}\n"));
            assert!(text.contains(message), "{text}");
            assert!(text.contains("hint: ") || text.contains("HTTP method"), "{text}");
        }
    }
}
