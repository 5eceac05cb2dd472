// SPDX-License-Identifier: BSD-3-Clause
//! The access log: a line for each request, in a file that may be renamed, and never in a request's way.

// The lints' leave for tests does not reach their helpers.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

use std::fs::{self, OpenOptions};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use becket_gateway::Gateway;
use http::StatusCode;
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::common::kit::{Probe, probe};
use crate::common::{config, gateway, get, metric, post, request, send, soon, with};

async fn logged(file: &Path, lines: &str) -> Gateway {
    let file = file.display();
    gateway(&format!("[access_log]\nformat = \"json\"\nfile = \"{file}\"\n{lines}")).await
}

/// The lines, once all are written.
async fn lines(gateway: &Gateway, file: &Path) -> Vec<Value> {
    soon(gateway.drain(Duration::from_secs(20))).await;
    read(file)
}

fn read(file: &Path) -> Vec<Value> {
    let text = fs::read_to_string(file).unwrap();
    text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

#[tokio::test]
async fn each_request_is_one_line_with_what_the_client_saw() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("access.log");
    let gateway = logged(&file, "").await;
    let addr = gateway.addr();
    let agent = with(request("POST", "/kit/echo?secret", b"12345"), "user-agent", "a\"b");
    send(addr, agent).await;
    get(addr, "/nothing").await;
    let frames = post(addr, "/kit/count", b"3").await;
    post(addr, "/kit/status?2", b"no").await;
    // The client leaves before the answer.
    let held = probe("access-left");
    let mut socket = TcpStream::connect(addr).await.unwrap();
    let asked = b"GET /kit/gated HTTP/1.1\r\nhost: a\r\nx-test: access-left\r\n\r\n";
    socket.write_all(asked).await.unwrap();
    Probe::saw(&held.entered).await;
    drop(socket);
    Probe::saw(&held.left).await;
    let lines = lines(&gateway, &file).await;
    let seen: Vec<_> = lines
        .iter()
        .map(|line| {
            let text = |key: &str| line[key].as_str().unwrap().to_owned();
            (text("method"), text("path"), line["status"].as_u64(), line["bytes"].as_u64())
        })
        .collect();
    let line = |method: &str, path: &str, status, bytes| {
        (method.to_owned(), path.to_owned(), Some(status), Some(bytes))
    };
    let refusal = lines[1]["bytes"].as_u64().unwrap();
    assert_eq!(
        seen,
        [
            line("POST", "/kit/echo", 200, 5),
            line("GET", "/nothing", 404, refusal),
            line("POST", "/kit/count", 200, frames.body.len() as u64),
            line("POST", "/kit/status", 400, 2),
            line("GET", "/kit/gated", 499, 0),
        ]
    );
    assert!(refusal > 0);
    assert_eq!(
        (&lines[0]["user_agent"], &lines[0]["client"]),
        (&"a\"b".into(), &"127.0.0.1".into())
    );
    assert!(lines.iter().all(|line| line["seconds"].as_f64().is_some_and(|it| it < 60.0)));
    assert!(!fs::read_to_string(&file).unwrap().contains("secret"));
}

/// The plugin and the log have the same trace, which is the client's if it has one.
#[tokio::test]
async fn a_trace_is_passed_on_or_made() {
    const OWN: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("access.log");
    let text = format!("[access_log]\nformat = \"json\"\nfile = \"{}\"\n", file.display());
    let text = format!(
        "traceparent = true\n{}[plugins.kit]\nlinked = \"kit\"\n{text}",
        crate::common::BASE
    );
    let gateway = crate::common::start(&text).await.unwrap();
    let asked = || request("GET", "/kit/header?traceparent", b"");
    let mut seen = Vec::new();
    for value in [Some(OWN), Some("00-malformed"), None, None] {
        let asked = value.into_iter().fold(asked(), |asked, own| with(asked, "traceparent", own));
        seen.push(send(gateway.addr(), asked).await.text().to_owned());
    }
    assert_eq!(seen[0], OWN);
    assert!(seen[1..].iter().all(|made| made.len() == 55 && made.ends_with("-01")), "{seen:?}");
    assert_ne!(seen[2], seen[3]);
    for (line, seen) in lines(&gateway, &file).await.iter().zip(&seen) {
        assert_eq!(line["trace_id"].as_str(), seen.split('-').nth(1));
    }
    // Where none is made, the plugin gets what the client has sent.
    let gateway = crate::common::gateway("").await;
    assert_eq!(send(gateway.addr(), asked()).await.text(), "");
    let own = with(asked(), "traceparent", "as it is");
    assert_eq!(send(gateway.addr(), own).await.text(), "as it is");
}

#[tokio::test]
async fn a_renamed_file_is_left_at_the_next_line() {
    let folder = tempfile::tempdir().unwrap();
    let (file, rotated) = (folder.path().join("log"), folder.path().join("log.1"));
    let gateway = logged(&file, "").await;
    post(gateway.addr(), "/kit/echo", b"1").await;
    fs::rename(&file, &rotated).unwrap();
    gateway.reopen_access_log();
    post(gateway.addr(), "/kit/echo", b"22").await;
    let after = lines(&gateway, &file).await;
    let bytes =
        |lines: &[Value]| lines.iter().map(|line| line["bytes"].as_u64()).collect::<Vec<_>>();
    assert_eq!((bytes(&read(&rotated)), bytes(&after)), (vec![Some(1)], vec![Some(2)]));
}

#[tokio::test]
async fn a_log_that_is_not_read_holds_no_request_up() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&file).status().unwrap().success());
    // A reader that reads nothing.
    let reader = OpenOptions::new().read(true).write(true).open(&file).unwrap();
    let gateway = logged(&file, "buffer_bytes_max = 16384\n").await;
    let agent = "a".repeat(2000);
    let dropped = || metric(&gateway, "becket_http_access_lines_dropped_total");
    soon(async {
        while dropped().await == Some(0.0) {
            let asked = with(request("POST", "/kit/echo", b"x"), "user-agent", &agent);
            assert_eq!(send(gateway.addr(), asked).await.status, StatusCode::OK);
        }
    })
    .await;
    drop(reader);
}

#[tokio::test]
async fn a_log_that_cannot_be_written_is_an_error_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("missing").join("log");
    let text = format!("[access_log]\nformat = \"combined\"\nfile = \"{}\"\n", file.display());
    let text = format!("{}{text}", crate::common::BASE);
    let error = crate::common::start(&text).await.unwrap_err();
    assert!(error.to_string().contains("missing/log` cannot be written"), "{error}");
    assert!(error.cause().is_some() && error.hint().is_some());
    // Another log is one of the next start.
    let gateway = gateway("").await;
    let next = format!("{}[access_log]\nformat = \"json\"\n", crate::common::BASE);
    let report = gateway.reload(config(&next)).await.unwrap();
    assert_eq!(report.needs_restart, ["access_log"]);
}
