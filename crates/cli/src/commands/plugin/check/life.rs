// SPDX-License-Identifier: BSD-3-Clause
//! Loading, reloading, unloading, and the description that a plugin gives of itself.

use becket_host::{CallError, EntryInfo, LoadError, Plugin, ReloadError, Request};
use serde_json::json;

use super::rules::wait;
use super::{Outcome, Trial};

/// How often the plugin is loaded again after an unload.
const LOADS: usize = 3;

fn broken(error: impl std::fmt::Display, cause: Option<String>) -> Outcome {
    Outcome::Broken(match cause {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    })
}

pub(super) fn loads(trial: &Trial<'_>) -> Outcome {
    match trial.load() {
        Ok((_host, plugin)) => {
            let info = plugin.info();
            let (name, version, layout) = (info.reported_name, info.version, info.layout);
            Outcome::Kept(format!("{name} {version}, layout {layout}"))
        }
        Err(LoadError::InitFailed { .. } | LoadError::AttachFailed { .. }) => {
            Outcome::Kept("its functions are found".to_owned())
        }
        Err(error) => broken(&error, error.cause()),
    }
}

pub(super) fn starts(trial: &Trial<'_>) -> Outcome {
    match trial.load() {
        Ok(_) => Outcome::Kept(String::new()),
        Err(error) => broken(&error, error.cause()),
    }
}

/// Runs `act` with the loaded plugin.
pub(super) fn loaded(trial: &Trial<'_>, act: impl FnOnce(&Plugin) -> Outcome) -> Outcome {
    match trial.load() {
        Ok((_host, plugin)) => act(&plugin),
        Err(error) => broken(&error, error.cause()),
    }
}

pub(super) fn describes_truly(trial: &Trial<'_>) -> Outcome {
    loaded(trial, |plugin| {
        let entries = plugin.entries();
        if entries.is_empty() {
            return Outcome::NotApplicable("it describes none".to_owned());
        }
        for (at, entry) in entries.iter().enumerate() {
            if entries.iter().take(at).any(|other| other.name == entry.name) {
                return Outcome::Broken(format!("`{}` is described twice", entry.name));
            }
            if let Err(error) = plugin.entry(&entry.name) {
                return Outcome::Broken(format!("`{}` does not resolve: {error}", entry.name));
            }
        }
        Outcome::Kept(format!("{}, each resolves", entries_of(entries.len())))
    })
}

fn entries_of(count: usize) -> String {
    if count == 1 { "1 entry".to_owned() } else { format!("{count} entries") }
}

pub(super) fn describes(trial: &Trial<'_>) -> Outcome {
    loaded(trial, |plugin| match plugin.entries().len() {
        0 => Outcome::Broken("no entry is described: none is called".to_owned()),
        count => Outcome::Kept(entries_of(count)),
    })
}

/// Name, version and entries of the plugin.
fn said(plugin: &Plugin) -> (String, String, Vec<EntryInfo>) {
    let info = plugin.info();
    (info.reported_name.to_string(), info.version.to_string(), plugin.entries())
}

pub(super) fn loads_again(trial: &Trial<'_>) -> Outcome {
    let mut first = None;
    for load in 1..=LOADS {
        let (host, plugin) = match trial.load() {
            Ok(loaded) => loaded,
            Err(error) => return broken(format!("load {load}: {error}"), error.cause()),
        };
        let said = said(&plugin);
        if first.get_or_insert_with(|| said.clone()) != &said {
            return Outcome::Broken(format!("load {load}: it says something else of itself"));
        }
        if let Err(error) = wait(host.unload(plugin.name())) {
            return Outcome::Broken(format!("unload {load}: {error}"));
        }
    }
    Outcome::Kept(format!("{LOADS} times, the same each time"))
}

pub(super) fn reloads(trial: &Trial<'_>) -> Outcome {
    loaded(trial, |plugin| {
        let before = plugin.info().generation;
        match wait(plugin.reload()) {
            Ok(()) => {}
            Err(error @ ReloadError::Fixed { .. }) => {
                return Outcome::NotApplicable(error.to_string());
            }
            Err(error) => return broken(&error, error.cause()),
        }
        let after = plugin.info().generation;
        match after > before {
            true => Outcome::Kept(format!("generation {before} became {after}")),
            false => Outcome::Broken("it is the same as before".to_owned()),
        }
    })
}

/// The plugin may refuse an unknown configuration, but must not end the process.
pub(super) fn takes_any_config(trial: &Trial<'_>) -> Outcome {
    let strange = [
        json!({}),
        json!({ "no such key": [1, 2, { "deep": null }], "": "", "é\u{0}": 1e300 }),
        json!({ "greeting": 7, "long": "x".repeat(1 << 16) }),
    ];
    let mut started = 0;
    for config in strange {
        match trial.load_with(|spec| spec.config(config)) {
            Ok(_) => started += 1,
            Err(LoadError::InitFailed { .. } | LoadError::AttachFailed { .. }) => {}
            Err(error) => return broken(&error, error.cause()),
        }
    }
    Outcome::Kept(format!("started with {started} of 3 that it does not know"))
}

pub(super) fn refuses_unknown_entry(trial: &Trial<'_>) -> Outcome {
    loaded(trial, |plugin| {
        match wait(plugin.call("no-such-entry", Request::new("")).timeout(trial.timeout)) {
            Err(CallError::DeadlineExceeded) => {
                Outcome::Broken("it neither answers nor refuses".to_owned())
            }
            Err(error) => Outcome::Kept(error.to_string()),
            Ok(response) if response.status.is_ok() => {
                Outcome::Broken("it answers Ok: a wrong name goes unnoticed".to_owned())
            }
            Ok(response) => Outcome::Kept(format!("it answers {}", response.status)),
        }
    })
}

/// Found by the parent process, not here.
pub(super) fn ends_no_process(_: &Trial<'_>) -> Outcome {
    Outcome::Kept(String::new())
}
