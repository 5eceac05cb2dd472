// SPDX-License-Identifier: BSD-3-Clause
//! A configuration or a file that brings a new version by a rollout: it gets its share, goes on to all
//! or back by itself, and no request is lost.

// The lints' leave for tests does not reach their helpers.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use becket_gateway::{Gateway, ReloadReport};
use becket_host::Host;
use http::StatusCode;
use serde_json::Value;
use tempfile::TempDir;

use crate::common::{BASE, config, get, metric, soon, start_on};
use crate::lifecycle::compile;

struct Served {
    folder: TempDir,
    gateway: Gateway,
}

/// The plugin `c` of this file, with this `rollout`, or none.
fn text(path: &Path, rollout: &str) -> String {
    let rollout = if rollout.is_empty() { String::new() } else { format!("rollout = {rollout}\n") };
    let path = path.display();
    format!("{BASE}[plugins.c]\npath = \"{path}\"\nlayout = \"documented\"\n{rollout}")
}

impl Served {
    /// Version `one` is served.
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let one = compile(folder.path(), "one");
        let gateway = start_on(&text(&one, "{}"), Host::new()).await.unwrap();
        Self { folder, gateway }
    }

    fn compile(&self, version: &str) -> PathBuf {
        compile(self.folder.path(), version)
    }

    async fn reload(&self, path: &Path, rollout: &str) -> ReloadReport {
        self.gateway.reload(config(&text(path, rollout))).await.unwrap()
    }

    /// The version that answers, which it does well unless it is `bad`.
    async fn ask(&self) -> String {
        let answer = get(self.gateway.addr(), "/c/any").await;
        let version = answer.text().to_owned();
        let wanted = if version == "bad" { StatusCode::BAD_GATEWAY } else { StatusCode::OK };
        assert_eq!(answer.status, wanted, "{answer:?}");
        version
    }

    async fn ask_all(&self, times: usize) -> Vec<String> {
        let mut versions = Vec::new();
        for _ in 0..times {
            versions.push(self.ask().await);
        }
        versions
    }

    /// What `/plugins` shows of the plugin and of its rollouts.
    async fn shown(&self) -> (Value, Value) {
        let answer = get(self.gateway.admin_addr().unwrap(), "/plugins").await;
        let shown: Value = serde_json::from_str(answer.text()).unwrap();
        let plugin = &shown["plugins"][0];
        (plugin["info"].clone(), plugin["snapshot"]["rollouts"].clone())
    }

    async fn metric(&self, name: &str) -> f64 {
        metric(&self.gateway, &format!("becket_plugin_{name}")).await.unwrap()
    }
}

#[tokio::test]
async fn a_version_that_answers_gets_all_requests() {
    let served = Served::new().await;
    let two = served.compile("two");
    let rollout = "{ percent = 25, calls_min = 5 }";
    let report = served.reload(&two, rollout).await;
    assert_eq!((report.rolling_out, report.replaced), (vec!["c".to_owned()], vec![]));
    assert_eq!(served.ask_all(8).await, ["one", "one", "one", "two", "one", "one", "one", "two"]);
    let (info, rollouts) = served.shown().await;
    assert_eq!((&info["version"], &rollouts["now"]["version"]), (&"o".into(), &"t".into()));
    assert_eq!((&rollouts["now"]["percent"], &rollouts["now"]["calls"]), (&25.into(), &2.into()));
    assert_eq!(rollouts["now"]["path"], two.to_str().unwrap());
    assert_eq!(served.metric("rollout_percent{plugin=\"c\"}").await, 25.0);
    // The same configuration again changes nothing.
    let report = served.reload(&two, rollout).await;
    assert!(report.rolling_out.is_empty() && report.replaced.is_empty());
    assert_eq!(served.ask_all(12).await.iter().filter(|version| *version == "two").count(), 3);
    assert_eq!(served.ask_all(8).await, ["two"; 8]);
    let (info, rollouts) = served.shown().await;
    assert_eq!((&info["path"], &rollouts["now"]), (&two.to_str().unwrap().into(), &Value::Null));
    let last = &rollouts["last"];
    assert_eq!((&last["result"], &last["cause"]), (&"promoted".into(), &"passed".into()));
    assert_eq!((&last["calls"], &last["errors"]), (&5.into(), &0.into()));
    assert_eq!(served.metric("rollouts_total{plugin=\"c\",result=\"promoted\"}").await, 1.0);
    assert_eq!(served.metric("rollout_percent{plugin=\"c\"}").await, 0.0);
    let report = served.reload(&two, rollout).await;
    assert!(report.rolling_out.is_empty() && report.replaced.is_empty());
}

#[tokio::test]
async fn a_version_that_fails_is_taken_back_and_not_tried_again() {
    let served = Served::new().await;
    let (one, bad) = (served.folder.path().join("libone.so"), served.compile("bad"));
    let rollout = "{ percent = 50, errors_max = 1 }";
    assert_eq!(served.reload(&bad, rollout).await.rolling_out, ["c"]);
    let answers = served.ask_all(12).await;
    let failed = answers.iter().filter(|version| *version == "bad").count();
    assert_eq!(failed, 2, "the error that is one too many is the last: {answers:?}");
    let (info, rollouts) = served.shown().await;
    assert_eq!(info["path"], one.to_str().unwrap());
    let last = &rollouts["last"];
    assert_eq!((&last["result"], &last["cause"]), (&"taken_back".into(), &"errors".into()));
    assert_eq!(last["last_error"], "the plugin answered Err");
    assert_eq!(served.metric("canary_errors_total{plugin=\"c\"}").await, 2.0);
    assert_eq!(served.metric("rollouts_total{plugin=\"c\",result=\"taken_back\"}").await, 1.0);

    // The same again, as when another part of the file changes.
    assert!(served.reload(&bad, rollout).await.rolling_out.is_empty());
    assert_eq!(served.ask_all(4).await, ["one"; 4]);
    // None, then a share: that is a wish to try.
    assert!(served.reload(&bad, "{ percent = 0 }").await.rolling_out.is_empty());
    assert_eq!(served.reload(&bad, rollout).await.rolling_out, ["c"]);
    assert_eq!(served.ask_all(4).await, ["one", "bad", "one", "bad"]);
    // What has the calls is what is wanted: nothing is loaded.
    let report = served.reload(&one, rollout).await;
    assert!(report.rolling_out.is_empty());
    assert_eq!(served.ask_all(4).await, ["one"; 4]);
    assert_eq!(served.shown().await.0["generation"], 1);
}

#[tokio::test]
async fn the_configuration_decides_a_rollout_by_its_share() {
    let served = Served::new().await;
    let (two, three) = (served.compile("two"), served.compile("three"));
    // Not started.
    assert!(served.reload(&two, "{ percent = 0 }").await.rolling_out.is_empty());
    assert_eq!(served.ask_all(4).await, ["one"; 4]);
    served.reload(&two, "{ percent = 50 }").await;
    assert_eq!(served.ask_all(4).await, ["one", "two", "one", "two"]);
    served.reload(&two, "{ percent = 0 }").await;
    assert_eq!(served.ask_all(4).await, ["one"; 4]);
    served.reload(&two, "{ percent = 50 }").await;
    served.reload(&two, "{ percent = 100 }").await;
    assert_eq!(served.ask_all(4).await, ["two"; 4]);
    // Another version takes the place of the one that is tried, and no rollout is all at once.
    served.reload(&two, "{ percent = 50 }").await;
    assert_eq!(served.reload(&three, "{ percent = 50 }").await.rolling_out, ["c"]);
    assert_eq!(served.ask_all(2).await, ["two", "three"]);
    served.reload(&three, "").await;
    assert_eq!(served.ask_all(4).await, ["three"; 4]);
    let (_, rollouts) = served.shown().await;
    assert_eq!((&rollouts["promoted"], &rollouts["taken_back"]), (&2.into(), &1.into()));
}

#[tokio::test]
async fn a_changed_file_is_rolled_out_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("served.so");
    let put = |version: &str| {
        let compiled = compile(folder.path(), version);
        std::fs::rename(&compiled, &path).unwrap();
    };
    put("one");
    let text = text(&path, "{ percent = 50, calls_min = 3 }");
    let gateway = start_on(&text, Host::new()).await.unwrap();
    let served = Served { folder: tempfile::tempdir().unwrap(), gateway };
    put("two");
    soon(async { while served.ask().await != "two" {} }).await;
    let ended = "becket_plugin_rollouts_total{plugin=\"c\",result=\"promoted\"}";
    soon(async {
        while metric(&served.gateway, ended).await != Some(1.0) {
            served.ask().await;
        }
    })
    .await;
    put("bad");
    let ended = "becket_plugin_rollouts_total{plugin=\"c\",result=\"taken_back\"}";
    soon(async {
        while metric(&served.gateway, ended).await != Some(1.0) {
            served.ask().await;
        }
    })
    .await;
    assert_eq!(served.ask_all(4).await, ["two"; 4]);
}

#[tokio::test]
async fn a_version_that_gets_too_few_requests_is_taken_back_in_time() {
    let served = Served::new().await;
    let two = served.compile("two");
    let rollout = "{ percent = 50, timeout_ms = 3600000 }";
    served.reload(&two, rollout).await;
    assert!(served.metric("rollout_age_seconds{plugin=\"c\"}").await > 0.0);
    // The rollout is that old when the configuration is read.
    served.reload(&two, "{ percent = 50, timeout_ms = 1 }").await;
    soon(async {
        while served.shown().await.1["now"] != Value::Null {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let (info, rollouts) = served.shown().await;
    let last = &rollouts["last"];
    assert_eq!((&last["result"], &last["cause"]), (&"taken_back".into(), &"timeout".into()));
    assert_eq!((&info["version"], &last["timeout_ms"]), (&"o".into(), &1.into()));
    assert_eq!(served.metric("rollout_age_seconds{plugin=\"c\"}").await, 0.0);
    assert_eq!(served.metric("rollouts_total{plugin=\"c\",result=\"taken_back\"}").await, 1.0);
    assert!(served.reload(&two, rollout).await.rolling_out.is_empty(), "it is not tried again");
    assert_eq!(served.ask_all(4).await, ["one"; 4]);
}

#[tokio::test]
async fn a_version_that_does_not_load_changes_nothing() {
    let served = Served::new().await;
    let (two, broken) = (served.compile("two"), served.folder.path().join("broken.so"));
    std::fs::write(&broken, "no library").unwrap();
    served.reload(&two, "{ percent = 50 }").await;
    let error = served.gateway.reload(config(&text(&broken, "{}"))).await.unwrap_err();
    assert!(error.to_string().contains("broken.so") && error.hint().is_some(), "{error}");
    assert_eq!(served.ask_all(2).await, ["one", "two"], "the rollout goes on");
}
