// SPDX-License-Identifier: BSD-3-Clause
//! Every broken plugin in a gateway that serves another one under load: the other loses nothing.
//!
//! Each is added to the configuration, which is reloaded; its entries are called, and it is removed
//! again. Whether it is refused at load, answers, fails or does not answer is covered by the host's
//! own tests. Here it must not affect the other plugin.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;

use crate::chats;
use crate::error::Error;
use crate::gateway::{Gateway, Reloaded};
use crate::http;
use crate::phases::{BAD, Bench, Verdict};
use crate::wrk::{Counted, Wrk};

/// The entries of a broken plugin that does not describe itself.
const ENTRIES: [&str; 2] = ["ok", "hit"];

/// The length of one run of wrk; runs follow one another until every plugin was tried.
const LOAD_SECONDS: u64 = 5;

/// `zoo` is the folder of the built plugins. `index` marks those that end their process, which need
/// one of their own and are left out.
pub(crate) async fn beside_load(bench: &Bench, zoo: &Path, index: &Path) -> Result<Verdict, Error> {
    let mut verdict = Verdict::default();
    let plugins = plugins(zoo, &crashes(index)?, &mut verdict)?;
    let good = ("good", bench.sample("rust"));
    let mut gateway = bench.gateway(std::slice::from_ref(&good)).await?;
    let url = format!("http://{}/good/unary", gateway.listen);
    let done = AtomicBool::new(false);
    let visits = async {
        let visited = visit_all(bench, &mut gateway, &good, &plugins).await;
        done.store(true, Ordering::Relaxed);
        visited
    };
    let (loads, visited) = tokio::join!(load_until(&url, &done), visits);
    let visited = visited?;
    for counted in loads? {
        verdict.load(counted);
    }
    verdict.said.extend(visited);
    let answer = http::get(gateway.listen, "/good/unary").await?;
    if answer.status != 200 {
        verdict.broken.push(format!("the good plugin answers {} afterwards", answer.status));
    }
    gateway.end().await?;
    Ok(verdict)
}

async fn load_until(url: &str, done: &AtomicBool) -> Result<Vec<Counted>, Error> {
    let mut counted = Vec::new();
    while !done.load(Ordering::Relaxed) {
        counted.push(Wrk::start(url, Duration::from_secs(LOAD_SECONDS))?.finish().await?);
    }
    Ok(counted)
}

/// Tries each plugin; returns a line about each.
async fn visit_all(
    bench: &Bench,
    gateway: &mut Gateway,
    good: &(&str, PathBuf),
    plugins: &[PathBuf],
) -> Result<Vec<String>, Error> {
    let mut said = Vec::new();
    for plugin in plugins {
        let name = plugin.file_stem().and_then(OsStr::to_str).unwrap_or_default();
        bench.configure(&[good.clone(), (BAD, plugin.clone())])?;
        let line = match gateway.reload().await? {
            Reloaded::Refused(why) => format!("{name}: refused, {}", reason(&why)),
            Reloaded::Taken => format!("{name}: {}", visit(gateway).await?),
        };
        said.push(line);
        bench.configure(std::slice::from_ref(good))?;
        gateway.reload().await?;
    }
    Ok(said)
}

/// Calls every entry of the broken plugin; returns the answers.
async fn visit(gateway: &Gateway) -> Result<String, Error> {
    let plugin = gateway.plugin(BAD).await?.unwrap_or_default();
    let entries = plugin.get("info").and_then(|info| info.get("entries")).and_then(Value::as_array);
    let named = entries.into_iter().flatten().filter_map(|entry| entry.get("name")?.as_str());
    let mut entries: Vec<&str> = named.collect();
    if entries.is_empty() {
        entries.extend(ENTRIES);
    }
    let mut answers = Vec::new();
    for entry in entries {
        let path = format!("/{BAD}/{entry}");
        let answer = match http::post(gateway.listen, &path, Bytes::from_static(b"zoo")).await {
            // It wants a WebSocket.
            Ok(answer) if answer.status == 426 => match chats::knock(gateway.listen, &path).await {
                Ok(()) => "knocked".to_owned(),
                Err(_) => "cut".to_owned(),
            },
            Ok(answer) => answer.status.to_string(),
            // A stream that was cut short. The gateway itself is checked at the end.
            Err(_) => "cut".to_owned(),
        };
        answers.push(format!("{entry} {answer}"));
    }
    Ok(answers.join(", "))
}

/// The message in a failure's JSON.
fn reason(failure: &str) -> String {
    let failure: Value = serde_json::from_str(failure).unwrap_or_default();
    failure.get("error").and_then(Value::as_str).unwrap_or("without a reason").to_owned()
}

/// The names of the plugins that are marked for a process of their own.
fn crashes(index: &Path) -> Result<Vec<String>, Error> {
    let text = std::fs::read_to_string(index).map_err(|source| Error::File {
        action: "read",
        path: index.into(),
        source,
    })?;
    let index: toml::Table = toml::from_str(&text)
        .map_err(|error| Error::request(index.display().to_string(), error))?;
    let text = |plugin: &toml::Value, key: &str| Some(plugin.get(key)?.as_str()?.to_owned());
    let all = index.get("plugin").and_then(toml::Value::as_array).into_iter().flatten();
    let marked = all.filter(|plugin| text(plugin, "placement").as_deref() == Some("process"));
    Ok(marked.filter_map(|plugin| text(plugin, "name")).collect())
}

fn plugins(zoo: &Path, crashes: &[String], verdict: &mut Verdict) -> Result<Vec<PathBuf>, Error> {
    let failed = |source| Error::File { action: "list", path: zoo.into(), source };
    let mut plugins = Vec::new();
    for entry in std::fs::read_dir(zoo).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_stem().and_then(OsStr::to_str).unwrap_or_default();
        if path.extension() != Some(OsStr::new("so")) {
            continue;
        }
        if crashes.iter().any(|crash| crash == name) {
            verdict.said.push(format!("{name}: left out, it needs a process of its own"));
            continue;
        }
        plugins.push(path);
    }
    plugins.sort();
    Ok(plugins)
}
