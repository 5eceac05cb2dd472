// SPDX-License-Identifier: BSD-3-Clause
//! `examples/pingora`: the program, with filters in three languages, before its two services.
//!
//! The built filters and the configuration are in `BECKET_PINGORA_EXAMPLE_DIR`, or in the workspace's
//! `target/pingora-example`, where `cargo xtask test --only pingora` and `cargo xtask example pingora` put them.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use http::StatusCode;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;

use crate::common::{Answer, program, request, send, with};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// A process. Killed when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // An error means that it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A service at a free port, and its URL.
fn service() -> (Running, String) {
    let mut service = Command::new("python3");
    service.arg(Path::new(ROOT).join("examples/gateway/service.py")).arg("0");
    let service = service.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
    let mut service = Running(service.unwrap());
    let mut url = String::new();
    BufReader::new(service.0.stdout.take().unwrap()).read_line(&mut url).unwrap();
    (service, url.trim().to_owned())
}

/// The program on the configuration of the example, which it follows.
fn proxy(folder: &Path, services: [&str; 2]) -> (Running, SocketAddr) {
    let built = std::env::var_os("BECKET_PINGORA_EXAMPLE_DIR")
        .map_or_else(|| Path::new(ROOT).join("target/pingora-example"), PathBuf::from);
    let built = built.canonicalize().expect("`cargo xtask example pingora --build` builds it");
    for file in fs::read_dir(built).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), folder.join(file.file_name())).unwrap();
    }
    let config = folder.join("becket.toml");
    let text = fs::read_to_string(&config).unwrap();
    let text = text
        .replace("http://127.0.0.1:9000", services[0])
        .replace("http://127.0.0.1:9001", services[1])
        .replace("burst = 5", "burst = 1000000");
    fs::write(&config, format!("admin.enabled = false\n{text}")).unwrap();
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = free.local_addr().unwrap();
    drop(free);
    let proxy = Command::new(program()).arg(config).arg(addr.to_string()).spawn();
    (Running(proxy.unwrap()), addr)
}

/// Waits until it listens.
async fn is_there(addr: SocketAddr) {
    while TcpStream::connect(addr).await.is_err() {
        tokio::task::yield_now().await;
    }
}

async fn ask(addr: SocketAddr) -> Answer {
    let asked = with(request("GET", "/orders/7", b""), "x-api-key", "s3cret-a");
    send(addr, with(asked, "x-user", "mallory")).await
}

fn is_right(answer: &Answer) {
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let wanted = "{\"path\": \"/orders/7\", \"user\": \"alice\", \"variant\": null, \"key\": null, \
                  \"mail\": \"*****@example.com\", \"card\": \"**** **** **** 1111\", \
                  \"total\": 1764040222000}\n";
    assert_eq!(answer.text(), wanted);
    assert_eq!(answer.header("vary"), "x-api-key");
}

#[test]
fn the_filters_of_the_example_stand_before_both_services_while_they_are_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (service(), service());
    let (mut proxy, addr) = proxy(folder.path(), [&first.1, &second.1]);
    let tested = async {
        is_there(addr).await;
        let answer = send(addr, request("GET", "/orders/7", b"")).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
        assert_eq!(answer.text(), "{\"error\":\"a key is needed\"}\n");
        is_right(&ask(addr).await);
        // Each filter's file is replaced, as a build does, while requests go on.
        for name in ["libauth.so", "librate.so", "libredact.so"] {
            let load = (0..3).map(|_| {
                tokio::spawn(async move {
                    for _ in 0..30 {
                        is_right(&ask(addr).await);
                    }
                })
            });
            let load: Vec<_> = load.collect();
            let (library, beside) = (folder.path().join(name), folder.path().join("new"));
            fs::copy(&library, &beside).unwrap();
            fs::rename(&beside, &library).unwrap();
            for requests in load {
                requests.await.unwrap();
            }
        }
        drop(first);
        for _ in 0..4 {
            is_right(&ask(addr).await);
        }
    };
    let runtime = Runtime::new().unwrap();
    runtime.block_on(async {
        tokio::time::timeout(Duration::from_secs(120), tested).await.expect("in two minutes");
    });
    // As a service manager ends it.
    let kill = Command::new("kill").arg(proxy.0.id().to_string()).status();
    assert!(kill.unwrap().success());
    assert!(proxy.0.wait().unwrap().success());
}
