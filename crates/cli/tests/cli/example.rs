// SPDX-License-Identifier: BSD-3-Clause
//! `examples/gateway`: its filters, in the languages that they are written in, before its service.
//!
//! The built filters and the configuration are in `BECKET_GATEWAY_EXAMPLE_DIR`, or in the workspace's
//! `target/gateway`, where `cargo xtask test` and `cargo xtask example gateway` put them.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command as Process, Stdio};

use tempfile::TempDir;

use crate::serve::{Server, curl};
use crate::support::{root, run};

/// The service. Killed when dropped.
struct Service(Child);

impl Drop for Service {
    fn drop(&mut self) {
        // An error means that it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Service {
    /// Starts it at a free port; returns its URL too.
    fn start() -> (Self, String) {
        Self::with(&["0"], Stdio::null())
    }

    fn with(arguments: &[&str], stdin: Stdio) -> (Self, String) {
        let mut service = Process::new("python3");
        service.arg(root().join("examples/gateway/service.py")).args(arguments);
        let service = service.stdin(stdin).stdout(Stdio::piped()).spawn();
        let mut service = Self(service.unwrap());
        let mut url = String::new();
        BufReader::new(service.0.stdout.take().unwrap()).read_line(&mut url).unwrap();
        (service, url.trim().to_owned())
    }
}

/// The status line, the headers and the body.
fn ask(listen: &str, headers: &[&str]) -> String {
    let mut curl = Process::new("curl");
    curl.args(["-sSi", &format!("http://{listen}/orders/7")]);
    curl.args(headers.iter().flat_map(|header| ["-H", header]));
    String::from_utf8(run(&mut curl).stdout).unwrap().replace("\r\n", "\n")
}

#[test]
fn the_filters_of_the_example_stand_before_its_service() {
    let built = std::env::var_os("BECKET_GATEWAY_EXAMPLE_DIR")
        .map_or_else(|| root().join("target/gateway"), PathBuf::from);
    let built = built.canonicalize().expect("`cargo xtask test` builds the filters of the example");
    let (_service, url) = Service::start();
    let config = std::fs::read_to_string(built.join("becket.toml")).unwrap();
    // No token comes back while the test runs.
    let config = [
        ("path = \"./", format!("path = \"{}/", built.display())),
        ("http://127.0.0.1:9000", url),
        ("per_minute = 30", "per_minute = 1".to_owned()),
    ]
    .iter()
    .fold(config, |config, (from, to)| {
        assert!(config.contains(from), "{from}: {config}");
        config.replace(from, to)
    });
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("becket.toml");
    std::fs::write(&file, config).unwrap();
    let mut server = Server::start(&["--json", "--config", file.to_str().unwrap()]);
    let started = server.started();
    let listen = started["listen"].as_str().unwrap();

    for wrong in [&[][..], &["x-api-key: s3cret"], &["x-api-key;"], &["x-user: alice"]] {
        let answer = ask(listen, wrong);
        assert!(answer.starts_with("HTTP/1.1 401 "), "{wrong:?}: {answer}");
        assert!(answer.ends_with("\n\n{\"error\":\"a key is needed\"}\n"), "{wrong:?}: {answer}");
    }

    let alice = ["x-api-key: s3cret-a", "x-user: mallory", "accept-encoding: gzip"];
    for _ in 0..5 {
        let answer = ask(listen, &alice);
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        assert!(answer.contains("\nvary: x-api-key\n"), "{answer}");
        assert!(answer.contains("\nx-answered-for: alice\n"), "{answer}");
        assert!(answer.contains("\nset-cookie: variant=a; Path=/;"), "{answer}");
        let (_, body) = answer.split_once("\n\n").unwrap();
        let order: serde_json::Value = serde_json::from_str(body).unwrap();
        let expected = serde_json::json!({
            "path": "/orders/7", "user": "alice", "variant": "a", "key": null, "mail": "*****@example.com",
            "card": "**** **** **** 1111", "total": 1_764_040_222_000_u64,
        });
        assert_eq!(order, expected);
    }
    let answer = ask(listen, &alice);
    assert!(answer.starts_with("HTTP/1.1 429 "), "{answer}");
    let wait = answer.lines().find_map(|line| line.strip_prefix("retry-after: ")).unwrap();
    assert!((1..=60).contains(&wait.parse::<u32>().unwrap()), "{answer}");
    let answer = ask(listen, &["x-api-key: s3cret-b", "cookie: variant=b", "x-variant: a"]);
    assert!(answer.starts_with("HTTP/1.1 200 "), "another user has tokens of his own: {answer}");
    assert!(answer.contains("\"variant\": \"b\"") && !answer.contains("set-cookie"), "{answer}");

    let metrics = curl(&format!("http://{}/metrics", started["admin"].as_str().unwrap()));
    for (class, count) in [("2xx", 6), ("4xx", 5), ("5xx", 0)] {
        let name = format!("answers_{class}_total");
        let is_of = |line: &&str| line.contains(&name) && !line.starts_with('#');
        let line = metrics.lines().find(is_of).unwrap_or_else(|| panic!("{name}: {metrics}"));
        assert!(line.ends_with(&format!(" {count}")), "{line}");
    }
}

/// What `cargo xtask example gateway` relies on: its gateway has the other end of the service's stdin.
#[test]
fn the_service_ends_with_the_process_at_the_other_end_of_its_stdin() {
    let (mut service, url) = Service::with(&["0", "--until-stdin-ends"], Stdio::piped());
    assert!(curl(&format!("{url}/orders/7")).contains("\"path\": \"/orders/7\""));
    assert!(service.0.try_wait().unwrap().is_none());
    drop(service.0.stdin.take());
    assert_eq!(service.0.wait().unwrap().code(), Some(0));
}
