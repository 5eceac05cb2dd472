// SPDX-License-Identifier: BSD-3-Clause
//! Drains, other configurations, changed files: nothing that was asked goes unanswered.

// The lints' leave for tests does not reach their helpers.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::common::kit::{Probe, probe};
use crate::common::{
    BASE, config, gateway, get, open, request, send, soon, start_on, websocket, with,
};
use becket_gateway::Gateway;
use becket_host::Host;
use futures_util::{SinkExt, StreamExt};
use http::StatusCode;
use http_body_util::BodyExt;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;

use crate::common;

const KIT: &str = "[plugins.kit]\nlinked = \"kit\"\n";

fn gated(gateway: &Gateway, test: &str) -> JoinHandle<common::Answer> {
    tokio::spawn(send(gateway.addr(), with(request("GET", "/kit/gated", b""), "x-test", test)))
}

#[tokio::test]
async fn a_drain_answers_what_is_in_progress_and_takes_no_more() {
    let gateway = Arc::new(gateway("").await);
    let held = probe("drain-held");
    let answer = gated(&gateway, "drain-held");
    Probe::saw(&held.entered).await;
    // Open, but without a byte: it must not hold the drain up.
    let silent = TcpStream::connect(gateway.addr()).await.unwrap();
    let mut chat = websocket(gateway.addr(), "/kit/chat", "").await;
    let draining = tokio::spawn({
        let gateway = Arc::clone(&gateway);
        async move { gateway.drain(Duration::from_secs(20)).await }
    });
    match soon(chat.next()).await {
        Some(Ok(Message::Close(Some(frame)))) => assert_eq!(u16::from(frame.code), 1001),
        other => panic!("not closed: {other:?}"),
    }
    // The listener is closed when a connection is refused.
    soon(async { while TcpStream::connect(gateway.addr()).await.is_ok() {} }).await;
    let ready = get(gateway.admin_addr().unwrap(), "/readyz").await;
    assert_eq!((ready.status, ready.text()), (StatusCode::SERVICE_UNAVAILABLE, "draining\n"));
    held.open();
    assert_eq!(answer.await.unwrap().text(), "through");
    // A close that is read is answered.
    assert!(soon(chat.next()).await.is_none());
    let report = soon(draining).await.unwrap();
    assert_eq!((report.connections_cut, report.requests_cut), (0, 0));
    drop(silent);
}

#[tokio::test]
async fn a_drain_cuts_what_outlasts_it() {
    let gateway = gateway("").await;
    let held = probe("drain-late");
    let asked = with(request("GET", "/kit/trickle", b""), "x-test", "drain-late");
    let mut body = open(gateway.addr(), asked).await.into_body();
    soon(body.frame()).await.unwrap().unwrap();
    let report = gateway.drain(Duration::from_millis(10)).await;
    assert_eq!((report.connections_cut, report.requests_cut), (1, 1));
    assert!(soon(body.collect()).await.is_err(), "cut off");
    Probe::saw(&held.left).await;
}

#[tokio::test]
async fn another_configuration_brings_takes_and_keeps_plugins() {
    let host = Host::new();
    let gateway =
        start_on(&format!("{BASE}{KIT}[plugins.old]\nlinked = \"kit\"\n"), host.clone()).await;
    let gateway = gateway.unwrap();
    let addr = gateway.addr();
    assert_eq!(get(addr, "/old/about").await.status, StatusCode::OK);
    let next = format!("{BASE}{KIT}[plugins.new]\nlinked = \"kit\"\nconfig.a = 1\n");
    let report = gateway.reload(config(&next)).await.unwrap();
    assert_eq!(report.loaded, ["new"]);
    assert_eq!(report.unloaded, ["old"]);
    assert!(report.replaced.is_empty());
    assert_eq!(get(addr, "/old/about").await.status, StatusCode::NOT_FOUND);
    assert_eq!(get(addr, "/new/about").await.status, StatusCode::OK);
    assert!(host.plugin("old").is_none());
    let untouched = host.plugin("kit").unwrap().snapshot();
    assert_eq!((untouched.generation, untouched.reloads), (1, 0));
}

#[tokio::test]
async fn a_configuration_that_cannot_be_kept_changes_nothing() {
    let gateway = gateway("").await;
    let next =
        format!("{BASE}{KIT}limits.deadline_ms = 7\n[plugins.b]\npath = \"/nonexistent/b.so\"\n");
    let error = gateway.reload(config(&next)).await.unwrap_err();
    assert!(error.to_string().contains("/nonexistent/b.so"), "{error}");
    assert_eq!(get(gateway.addr(), "/kit/about").await.status, StatusCode::OK);
    let failed = common::metric(&gateway, "becket_config_reloads_total{result=\"failed\"}").await;
    assert_eq!(failed, Some(1.0));
}

#[tokio::test]
async fn a_request_in_progress_survives_the_replacement_of_its_plugin() {
    let gateway = Arc::new(gateway("").await);
    let held = probe("replace-held");
    let before = gated(&gateway, "replace-held");
    Probe::saw(&held.entered).await;
    let replacing = tokio::spawn({
        let gateway = Arc::clone(&gateway);
        let next = config(&format!("{BASE}{KIT}limits.pending_max = 9\n"));
        async move { gateway.reload(next).await }
    });
    // Asked while the plugin is being replaced or still there: answered either way.
    let meanwhile = gated(&gateway, "replace-held");
    held.open();
    assert_eq!(soon(before).await.unwrap().text(), "through");
    assert_eq!(soon(meanwhile).await.unwrap().text(), "through");
    let report = soon(replacing).await.unwrap().unwrap();
    assert_eq!(report.replaced, ["kit"]);
}

/// A plugin that can run twice is replaced without an end to what is open in it.
#[tokio::test]
async fn a_websocket_outlives_the_replacement_of_its_plugin() {
    let gateway = gateway("").await;
    let mut chat = websocket(gateway.addr(), "/kit/chat", "").await;
    chat.send(Message::text("before")).await.unwrap();
    let before = soon(chat.next()).await.unwrap().unwrap();
    let next = config(&format!("{BASE}{KIT}limits.pending_max = 9\n"));
    let report = soon(gateway.reload(next)).await.unwrap();
    assert_eq!(report.replaced, ["kit"]);
    assert_eq!(
        common::metric(&gateway, "becket_plugin_generation{plugin=\"kit\"}").await,
        Some(2.0)
    );
    chat.send(Message::text("before")).await.unwrap();
    assert_eq!(soon(chat.next()).await.unwrap().unwrap(), before);
    let answer = get(gateway.addr(), "/kit/about").await;
    assert_eq!(answer.status, StatusCode::OK);
}

/// Of several plugins that change none does if one cannot.
#[tokio::test]
async fn what_was_replaced_before_another_failed_is_put_back() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (compile(folder.path(), "one"), compile(folder.path(), "two"));
    let of = |first: &Path, second: &Path| {
        let plugin = |name: &str, path: &Path| {
            format!("[plugins.{name}]\npath = \"{}\"\nlayout = \"documented\"\n", path.display())
        };
        format!("{BASE}{}{}", plugin("a", first), plugin("b", second))
    };
    let gateway = start_on(&of(&one, &one), Host::new()).await.unwrap();
    let bad = folder.path().join("bad.so");
    std::fs::write(&bad, "not a plugin").unwrap();
    let error = gateway.reload(config(&of(&two, &bad))).await.unwrap_err();
    assert!(error.to_string().contains("plugin `b` was not replaced"), "{error}");
    for path in ["/a/any", "/b/any"] {
        assert_eq!(get(gateway.addr(), path).await.text(), "one", "{path}");
    }
    gateway.reload(config(&of(&two, &two))).await.unwrap();
    for path in ["/a/any", "/b/any"] {
        assert_eq!(get(gateway.addr(), path).await.text(), "two", "{path}");
    }
}

/// Neither what is to be nor what was can be loaded: the next reload tries again, whichever
/// configuration it brings.
#[tokio::test]
async fn a_plugin_that_is_down_is_loaded_by_the_configuration_that_was() {
    let folder = tempfile::tempdir().unwrap();
    let (one, bad) = (compile(folder.path(), "one"), folder.path().join("bad.so"));
    std::fs::write(&bad, "not a plugin").unwrap();
    let of = |path: &Path| {
        let path = path.display();
        format!(
            "{BASE}{KIT}[plugins.c]\npath = \"{path}\"\nlayout = \"documented\"\n\
             private_copy = false\n"
        )
    };
    let gateway = start_on(&of(&one), Host::new()).await.unwrap();
    assert_eq!(get(gateway.addr(), "/c/any").await.text(), "one");
    let away = folder.path().join("away.so");
    std::fs::rename(&one, &away).unwrap();
    gateway.reload(config(&of(&bad))).await.unwrap_err();
    assert_eq!(get(gateway.addr(), "/c/any").await.status, StatusCode::NOT_FOUND);
    assert_eq!(get(gateway.addr(), "/kit/about").await.status, StatusCode::OK);
    std::fs::rename(&away, &one).unwrap();
    let report = gateway.reload(config(&of(&one))).await.unwrap();
    assert_eq!(report.loaded, ["c"]);
    assert_eq!(get(gateway.addr(), "/c/any").await.text(), "one");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_is_lost_over_many_reloads() {
    let gateway = Arc::new(gateway("").await);
    let over = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let (gateway, over) = (Arc::clone(&gateway), Arc::clone(&over));
            tokio::spawn(async move {
                let mut answered = 0;
                while !over.load(Ordering::Relaxed) {
                    let answer = get(gateway.addr(), "/kit/about").await;
                    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
                    answered += 1;
                }
                answered
            })
        })
        .collect();
    for round in 0..50 {
        let other = if round % 3 == 0 { "[plugins.other]\nlinked = \"kit\"\n" } else { "" };
        let next = format!("{BASE}{KIT}limits.pending_max = {}\n{other}", 100 + round % 2);
        soon(gateway.reload(config(&next))).await.unwrap();
    }
    over.store(true, Ordering::Relaxed);
    for client in clients {
        assert!(soon(client).await.unwrap() > 0);
    }
}

/// A plugin in C that answers `version`, and fails if that is `bad`.
pub(crate) fn compile(folder: &Path, version: &str) -> std::path::PathBuf {
    let include = concat!(env!("CARGO_MANIFEST_DIR"), "/../abi/include");
    let source = folder.join("plugin.c");
    std::fs::write(&source, PLUGIN_IN_C).unwrap();
    let out = folder.join(format!("lib{version}.so"));
    let status = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .arg(&out)
        .arg(&source)
        .args(["-I", include, &format!("-DVERSION=\"{version}\"")])
        .status()
        .expect("a C compiler, as linking Rust needs one too");
    assert!(status.success());
    out
}

const PLUGIN_IN_C: &str = r#"
#include <string.h>
#include "nylon_ring.h"
static void *host;
static const NrHostVTable *table;
static NrStatus init(void *ctx, void *h, const NrHostVTable *t) {
    (void)ctx; host = h; table = t; return NR_OK;
}
static NrStatus handle(void *ctx, NrStr entry, uint64_t sid, const NrRequest *r, NrBytes p) {
    (void)ctx; (void)entry; (void)r; (void)p;
    NrBytes body = { (const uint8_t *)VERSION, strlen(VERSION) };
    table->send_result(host, sid, strcmp(VERSION, "bad") == 0 ? NR_ERR : NR_OK, body);
    return NR_OK;
}
static void shutdown_(void *ctx) { (void)ctx; }
static const NrPluginVTable vtable = { .init = init, .handle = handle, .shutdown = shutdown_ };
static NrPluginInfo info = {
    .abi_version = 1, .struct_size = 56,
    .name = { (const uint8_t *)"c", 1, 0 }, .version = { (const uint8_t *)VERSION, 1, 0 },
    .vtable = &vtable,
};
NR_EXPORT const NrPluginInfo *nylon_ring_get_plugin_v1(void) { return &info; }
"#;

#[tokio::test]
async fn a_changed_file_is_served_without_a_lost_request() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("served.so");
    let (one, two) = (compile(folder.path(), "one"), compile(folder.path(), "two"));
    std::fs::copy(&one, &path).unwrap();
    let text =
        format!("{BASE}[plugins.c]\npath = \"{}\"\nlayout = \"documented\"\n", path.display());
    let gateway = start_on(&text, Host::new()).await.unwrap();
    // The plugin does not list its entries: any name is one.
    assert_eq!(get(gateway.addr(), "/c/any").await.text(), "one");
    let copy = folder.path().join("copy.so");
    std::fs::copy(&two, &copy).unwrap();
    std::fs::rename(&copy, &path).unwrap();
    soon(async {
        loop {
            let answer = get(gateway.addr(), "/c/any").await;
            assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
            if answer.text() == "two" {
                break;
            }
            assert_eq!(answer.text(), "one");
        }
    })
    .await;
    // A file that is no plugin is not served: what was loaded goes on.
    std::fs::write(&path, "not a plugin").unwrap();
    soon(async {
        let failed = "becket_plugin_reloads_total{plugin=\"c\",result=\"failed\"}";
        while common::metric(&gateway, failed).await != Some(1.0) {}
    })
    .await;
    assert_eq!(get(gateway.addr(), "/c/any").await.text(), "two");
}
