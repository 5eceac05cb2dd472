// SPDX-License-Identifier: BSD-3-Clause
//! Plugins and configurations that change under load: every request is answered by one version or the other.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::StatusCode;
use tokio::sync::Semaphore;

use crate::common::{Answer, PLUGINS, World, built, config, request, routes, send};

/// A filter in C that marks answers with its version.
fn version(folder: &Path, number: u32) -> PathBuf {
    let source = folder.join("version.c");
    let code = include_str!("../plugins/version.c");
    fs::write(&source, code.replace("VERSION", &number.to_string())).unwrap();
    built(folder, &source)
}

/// Sends requests on several connections until it is dropped.
struct Load {
    stop: Arc<AtomicBool>,
    /// A permit for each answer.
    done: Arc<Semaphore>,
    workers: Vec<tokio::task::JoinHandle<Vec<String>>>,
}

impl Load {
    fn start(world: &World) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let done = Arc::new(Semaphore::new(0));
        let workers = (0..4).map(|_| {
            let (stop, done, addr) = (Arc::clone(&stop), Arc::clone(&done), world.addr);
            world.spawn(async move {
                let mut seen = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let answer = send(addr, request("POST", "/echo", b"the body")).await;
                    seen.push(version_of(&answer));
                    done.add_permits(1);
                }
                seen
            })
        });
        let workers = workers.collect();
        Self { stop, done, workers }
    }

    /// Waits for so many answers more.
    async fn more(&self, count: usize) {
        self.done.forget_permits(usize::MAX);
        for _ in 0..count {
            self.done.acquire().await.unwrap().forget();
        }
    }

    /// What all were answered.
    async fn end(self) -> Vec<String> {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Vec::new();
        for worker in self.workers {
            all.extend(worker.await.unwrap());
        }
        all
    }
}

/// Looks at once, and again after each change of the routes, until it is so.
async fn with_each_change(world: &World, is_so: impl AsyncFn() -> bool) {
    let mut version = 0;
    loop {
        version = world.filters.gateway().routes_changed(version).await;
        if is_so().await {
            return;
        }
    }
}

/// The version of both phases, which is the same one.
fn version_of(answer: &Answer) -> String {
    assert_eq!((answer.status, answer.text()), (StatusCode::OK, "the body"));
    answer.header("x-version").to_owned()
}

#[test]
fn a_plugin_whose_file_changes_is_loaded_again_under_load() {
    let folder = tempfile::tempdir().unwrap();
    let library = version(folder.path(), 1);
    let before = format!("{PLUGINS}[plugins.version]\npath = {library:?}\n");
    let world = World::with(&before, "[{ name = \"version\", request_body = true }]");
    let load = Load::start(&world);
    let seen = world.run(async {
        load.more(50).await;
        for number in 2..6 {
            version(folder.path(), number);
            let wanted = number.to_string();
            with_each_change(&world, async || {
                let asked = request("POST", "/echo", b"the body");
                version_of(&send(world.addr, asked).await) == wanted
            })
            .await;
            load.more(50).await;
        }
        load.end().await
    });
    // Each was answered, and by some version.
    assert!(seen.iter().all(|version| !version.is_empty()), "{seen:?}");
    for number in 1..6 {
        assert!(seen.contains(&number.to_string()), "{number}: {seen:?}");
    }
}

#[test]
fn a_configuration_that_changes_is_put_in_force_under_load() {
    let folder = tempfile::tempdir().unwrap();
    let library = version(folder.path(), 1);
    let plugin = format!("{PLUGINS}[plugins.version]\npath = {library:?}\nconfig = {{ mark = ");
    let world = World::with(&format!("{plugin}\"a\" }}\n"), "[\"version\"]");
    let load = Load::start(&world);
    let seen = world.run(async {
        load.more(50).await;
        for mark in ["b", "c", "d"] {
            let before = format!("{plugin}\"{mark}\" }}\n");
            let next = config(&routes(&before, "[\"version\"]", world.server.addr));
            let report = world.filters.reload(next).await.unwrap();
            assert_eq!(report.replaced, ["version"]);
            load.more(50).await;
        }
        load.end().await
    });
    for mark in ["1a", "1b", "1c", "1d"] {
        assert!(seen.iter().any(|seen| seen == mark), "{mark}: {seen:?}");
    }
    assert!(seen.iter().all(|seen| seen.starts_with('1')), "{seen:?}");
}

#[test]
fn a_configuration_file_is_followed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("becket.toml");
    let world = World::new("[\"guard\"]");
    let write = |text: &str| {
        let beside = folder.path().join("next");
        fs::write(&beside, text).unwrap();
        fs::rename(beside, &file).unwrap();
    };
    let text = |filters: &str| routes(PLUGINS, filters, world.server.addr);
    write(&text("[\"guard\"]"));
    world.filters.follow(&file).unwrap();
    let changed = |filters: &str| {
        write(&text(filters));
        let marks = filters.matches("guard.outer").count();
        world.run(with_each_change(&world, async || {
            let answer = send(world.addr, request("GET", "/x", b"")).await;
            answer.all("x-order").len() == marks
        }));
    };
    changed("[\"guard.outer\"]");
    // One that is wrong changes nothing.
    write("nonsense");
    let answer = world.get("/x");
    assert_eq!(answer.all("x-order").len(), 1);
    changed("[\"guard\"]");
}
