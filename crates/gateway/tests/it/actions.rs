// SPDX-License-Identifier: BSD-3-Clause
//! Actions on the admin listener: with the token, for the right host, by the right method, and each does what it says.

// The lints' leave for tests does not reach their helpers.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use becket_gateway::{AdminAction, Gateway};
use http::StatusCode;
use serde_json::Value;
use tempfile::TempDir;

use crate::common::kit::{Probe, probe};
use crate::common::{Answer, BASE, config, get, post, request, send, soon, start, with};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

fn write_token(folder: &TempDir, token: &str) {
    let file = folder.path().join("token");
    fs::write(&file, format!("{token}\n")).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
}

/// The text of a configuration with a token, and these lines in [admin] and behind it.
fn text(folder: &TempDir, admin: &str, more: &str) -> String {
    let file = folder.path().join("token").display().to_string();
    format!("{BASE}token = \"file:{file}\"\n{admin}[plugins.kit]\nlinked = \"kit\"\n{more}")
}

async fn gateway(folder: &TempDir, admin: &str, more: &str) -> Arc<Gateway> {
    write_token(folder, TOKEN);
    Arc::new(start(&text(folder, admin, more)).await.expect("a gateway"))
}

async fn ask(gateway: &Gateway, path: &str, authorization: &str) -> Answer {
    let asked = with(request("POST", path, b""), "authorization", authorization);
    send(gateway.admin_addr().unwrap(), with(asked, "accept", "application/json")).await
}

async fn act(gateway: &Gateway, path: &str) -> (StatusCode, Value) {
    let answer = ask(gateway, path, &format!("Bearer {TOKEN}")).await;
    (answer.status, serde_json::from_slice(&answer.body).unwrap())
}

const ACTIONS: [&str; 4] = ["/reload", "/drain", "/upgrade", "/plugins/kit/quarantine-off"];

#[tokio::test]
async fn without_the_token_nothing_is_done() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = gateway(&folder, "", "").await;
    let admin = gateway.admin_addr().unwrap();
    for path in ACTIONS.into_iter().chain(["/plugins/other/quarantine-off"]) {
        let answer = post(admin, path, b"").await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{path}");
        assert_eq!(answer.header("www-authenticate"), "Bearer");
        for wrong in [
            "Bearer".to_owned(),
            "Bearer ".to_owned(),
            "Bearer 0123456789abcdef0123456789abcdeF".to_owned(),
            format!("Bearer {TOKEN}0"),
            format!("Bearer {}", TOKEN.strip_prefix('0').unwrap()),
            format!("Basic {TOKEN}"),
            TOKEN.to_owned(),
        ] {
            let answer = ask(&gateway, path, &wrong).await;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{path} {wrong}");
            assert!(!answer.text().contains(TOKEN), "{answer:?}");
        }
        let mut twice = with(request("POST", path, b""), "authorization", "Bearer 1");
        let token = format!("Bearer {TOKEN}").parse().unwrap();
        twice.headers_mut().append("authorization", token);
        assert_eq!(send(admin, twice).await.status, StatusCode::UNAUTHORIZED);
    }
    // The scheme has no case.
    let answer = ask(&gateway, "/plugins/kit/quarantine-off", &format!("bearer {TOKEN}")).await;
    assert_eq!(answer.status, StatusCode::CONFLICT);
    // A gateway without a token has no actions.
    let open = crate::common::gateway("").await;
    for path in ACTIONS {
        assert_eq!(act(&open, path).await.0, StatusCode::FORBIDDEN);
    }
}

#[tokio::test]
async fn another_host_or_method_does_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = gateway(&folder, "hosts = [\"admin.test\"]\n", "").await;
    let admin = gateway.admin_addr().unwrap();
    let bearer = format!("Bearer {TOKEN}");
    for path in ACTIONS {
        let asked = |method| with(request(method, path, b""), "authorization", &bearer);
        for method in ["GET", "HEAD", "PUT", "DELETE"] {
            let answer = send(admin, asked(method)).await;
            assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
            assert_eq!(answer.header("allow"), "POST");
        }
        for host in ["evil.test", "admin.test.evil.test", "127.0.0.1.evil.test", ""] {
            let answer = send(admin, with(asked("POST"), "host", host)).await;
            assert_eq!(answer.status, StatusCode::MISDIRECTED_REQUEST, "{host} {path}");
        }
    }
    for host in ["admin.test:9900", "ADMIN.test", "localhost", "127.0.0.1", "[::1]:1"] {
        let page = send(admin, with(request("GET", "/healthz", b""), "host", host)).await;
        assert_eq!(page.status, StatusCode::OK, "{host}");
    }
    let page = with(request("GET", "/plugins", b""), "host", "evil.test");
    assert_eq!(send(admin, page).await.status, StatusCode::MISDIRECTED_REQUEST);
}

#[tokio::test]
async fn a_reload_and_a_drain_are_the_programs_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = gateway(&folder, "", "").await;
    // This program takes none so far.
    assert_eq!(act(&gateway, "/reload").await.0, StatusCode::NOT_IMPLEMENTED);
    let next = format!("{}[plugins.new]\nlinked = \"kit\"\n", text(&folder, "", ""));
    let program = tokio::spawn({
        let gateway = Arc::clone(&gateway);
        async move {
            let request = gateway.next_action().await;
            assert_eq!(request.action(), AdminAction::Reload);
            request.done(Some(gateway.reload(config(&next)).await.unwrap()));
            let hint = Some("try another".to_owned());
            gateway.next_action().await.failed("it is wrong", None, hint);
            let request = gateway.next_action().await;
            assert_eq!(request.action(), AdminAction::Drain);
            request.done(None);
            let request = gateway.next_action().await;
            assert_eq!(request.action(), AdminAction::Upgrade);
            request.upgraded(7);
            drop(gateway.next_action().await);
        }
    });
    // The program may not have begun to wait.
    let (status, answer) = soon(async {
        loop {
            match act(&gateway, "/reload").await {
                (StatusCode::NOT_IMPLEMENTED, _) => tokio::task::yield_now().await,
                answer => return answer,
            }
        }
    })
    .await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    assert_eq!(
        (&answer["done"], &answer["report"]["loaded"][0]),
        (&"reload".into(), &"new".into())
    );
    assert_eq!(get(gateway.addr(), "/new/about").await.status, StatusCode::OK);
    let (status, answer) = act(&gateway, "/reload").await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!((&answer["error"], &answer["hint"]), (&"it is wrong".into(), &"try another".into()));
    assert_eq!(act(&gateway, "/drain").await.0, StatusCode::ACCEPTED);
    let (status, answer) = act(&gateway, "/upgrade").await;
    assert_eq!((status, &answer["pid"]), (StatusCode::OK, &7.into()), "{answer}");
    assert_eq!(act(&gateway, "/drain").await.0, StatusCode::SERVICE_UNAVAILABLE);
    program.await.unwrap();
}

#[tokio::test]
async fn another_token_is_in_force_when_it_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = gateway(&folder, "", "").await;
    let other = "fedcba9876543210fedcba9876543210";
    write_token(&folder, other);
    let path = "/plugins/kit/quarantine-off";
    assert_eq!(act(&gateway, path).await.0, StatusCode::UNAUTHORIZED);
    let answer = ask(&gateway, path, &format!("Bearer {other}")).await;
    assert_eq!(answer.status, StatusCode::CONFLICT);
    // With none there, every action is refused.
    fs::remove_file(folder.path().join("token")).unwrap();
    assert_eq!(act(&gateway, path).await.0, StatusCode::SERVICE_UNAVAILABLE);
    assert!(start(&text(&folder, "", "")).await.is_err(), "nor does a gateway start");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_quarantined_plugin_is_loaded_again() {
    let folder = tempfile::tempdir().unwrap();
    let more = "dispatch = \"caller\"\nlimits.block_report_ms = 1\nlimits.blocked_max = 1\n";
    let gateway = gateway(&folder, "", more).await;
    let (addr, admin) = (gateway.addr(), gateway.admin_addr().unwrap());
    let path = "/plugins/kit/quarantine-off";
    let (status, answer) = act(&gateway, path).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert_eq!(answer["error"], "the plugin is not quarantined: it is ready");
    assert_eq!(act(&gateway, "/plugins/kid/quarantine-off").await.0, StatusCode::NOT_FOUND);
    let held = probe("quarantine");
    let blocked =
        tokio::spawn(send(addr, with(request("GET", "/kit/block", b""), "x-test", "quarantine")));
    Probe::saw(&held.entered).await;
    // The watchdog sees it within its period.
    soon(async { while get(admin, "/readyz").await.text() != "kit quarantined\n" {} }).await;
    assert_eq!(get(addr, "/kit/about").await.status, StatusCode::SERVICE_UNAVAILABLE);
    held.open();
    assert_eq!(blocked.await.unwrap().text(), "through");
    let (status, answer) = act(&gateway, path).await;
    assert_eq!((status, &answer["plugin"]), (StatusCode::OK, &"kit".into()), "{answer}");
    assert_eq!(get(addr, "/kit/about").await.status, StatusCode::OK);
    assert_eq!(get(admin, "/readyz").await.text(), "kit ready\n");
}
