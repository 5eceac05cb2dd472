// SPDX-License-Identifier: BSD-3-Clause
//! The admin listener: what it shows is what happened, and it shows it in a browser.

// The lints' leave for tests does not reach their helpers.
#![allow(clippy::panic, clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::process::Command;

use becket_gateway::Gateway;
use http::StatusCode;
use serde_json::Value;
use tokio::net::TcpListener;

use crate::common::{gateway, get, metric, post, request, send, websocket, with};

#[tokio::test]
async fn metrics_count_what_clients_saw() {
    let gateway = gateway("").await;
    let admin = gateway.admin_addr().unwrap();
    post(gateway.addr(), "/kit/echo", b"12345").await;
    post(gateway.addr(), "/kit/echo", b"12345").await;
    post(gateway.addr(), "/kit/status?1", b"").await;
    let text = get(admin, "/metrics").await;
    assert_eq!(text.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    for line in [
        "becket_http_requests_total{plugin=\"kit\",entry=\"echo\",code=\"200\"} 2",
        "becket_http_requests_total{plugin=\"kit\",entry=\"status\",code=\"502\"} 1",
        "becket_http_request_body_bytes_total{plugin=\"kit\",entry=\"echo\"} 10",
        "becket_http_response_body_bytes_total{plugin=\"kit\",entry=\"echo\"} 10",
        "becket_http_request_seconds_count{plugin=\"kit\",entry=\"echo\"} 2",
        "becket_http_requests_in_flight{plugin=\"kit\",entry=\"echo\"} 0",
        "becket_plugin_calls_total{plugin=\"kit\"} 3",
        "becket_plugin_failures_total{plugin=\"kit\",cause=\"answered_with_error\"} 1",
        "becket_plugin_state{plugin=\"kit\",state=\"ready\"} 1",
    ] {
        assert!(text.text().lines().any(|found| found == line), "{line}\n{}", text.text());
    }
}

#[tokio::test]
async fn what_ended_and_what_was_refused_is_counted() {
    let gateway = gateway("limits.streams_max = 1\n").await;
    assert_eq!(post(gateway.addr(), "/kit/count", b"3").await.status, StatusCode::OK);
    let _open = websocket(gateway.addr(), "/kit/chat", "").await;
    let refused = post(gateway.addr(), "/kit/count", b"3").await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    for (name, count) in [
        ("streams_total", 2.0),
        ("streams_ended_total", 1.0),
        ("streams", 1.0),
        ("streams_refused_total", 1.0),
        ("notifies_refused_total", 0.0),
        ("resources_refused_total", 0.0),
    ] {
        let found = metric(&gateway, &format!("becket_plugin_{name}{{plugin=\"kit\"}}")).await;
        assert_eq!(found, Some(count), "{name}");
    }
}

#[tokio::test]
async fn every_exported_family_is_in_the_list() {
    let gateway = gateway("").await;
    post(gateway.addr(), "/kit/echo", b"x").await;
    let text = get(gateway.admin_addr().unwrap(), "/metrics").await;
    let names: BTreeSet<&str> =
        becket_gateway::metric_families().iter().map(|family| family.name).collect();
    let mut seen = BTreeSet::new();
    for line in text.text().lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(["counter", "gauge", "histogram"].contains(&kind));
            assert!(seen.insert(name), "{name} twice");
        } else if !line.starts_with('#') {
            let name = line.split(['{', ' ']).next().unwrap();
            let family = ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|suffix| name.strip_suffix(suffix).filter(|name| names.contains(name)))
                .unwrap_or(name);
            assert!(names.contains(family), "{line}");
        }
    }
    assert_eq!(seen, names);
}

#[tokio::test]
async fn plugins_are_listed_as_json() {
    let gateway = gateway("").await;
    post(gateway.addr(), "/kit/echo", b"x").await;
    let answer = get(gateway.admin_addr().unwrap(), "/plugins").await;
    let json: Value = serde_json::from_slice(&answer.body).unwrap();
    let kit = &json["plugins"][0];
    assert_eq!(kit["info"]["name"], "kit");
    assert_eq!(kit["info"]["version"], "1.2.3");
    assert_eq!(kit["snapshot"]["state"], "ready");
    assert_eq!(kit["snapshot"]["calls"], 1);
    let echo = kit["http"].as_array().unwrap().iter().find(|http| http["entry"] == "echo").unwrap();
    assert_eq!((&echo["requests"], &echo["errors"]), (&1.into(), &0.into()));
    assert!(json["routes"].as_array().unwrap().iter().any(|route| route["path"] == "/kit/echo"));
}

/// A gateway with a route to a server that is not there, behind a filter, after two requests to it.
async fn with_a_dead_server() -> Gateway {
    let nothing = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let more = format!(
        "[plugins.guard]\nlinked = \"guard\"\n\
         [[routes]]\nprefix = \"/up\"\nupstream = \"http://{nothing}\"\nfilters = [\"guard\"]\n"
    );
    let gateway = gateway(&more).await;
    for _ in 0..2 {
        assert_eq!(get(gateway.addr(), "/up/x").await.status, StatusCode::BAD_GATEWAY);
    }
    gateway
}

#[tokio::test]
async fn routes_to_servers_are_listed_with_their_figures() {
    let gateway = with_a_dead_server().await;
    let answer = get(gateway.admin_addr().unwrap(), "/plugins").await;
    let json: Value = serde_json::from_slice(&answer.body).unwrap();
    let routes = json["routes"].as_array().unwrap();
    let named = |path: &str| routes.iter().find(|route| route["path"] == path).unwrap();
    let up = named("/up*");
    assert_eq!((&up["http"]["requests"], &up["http"]["errors"]), (&2.into(), &2.into()));
    let server = &up["servers"][0];
    assert_eq!(server["url"], up["upstream"][0]);
    assert_eq!((&server["up"], &server["ejections"]), (&true.into(), &0.into()));
    // A plugin's entry has its figures with the plugin.
    assert_eq!(named("/kit/echo")["http"], Value::Null);
    let plugins = json["plugins"].as_array().unwrap();
    let guard = plugins.iter().find(|plugin| plugin["info"]["name"] == "guard").unwrap();
    let calls = guard["filters"].as_array().unwrap();
    let filter = calls.iter().find(|filter| filter["entry"] == "filter").unwrap();
    assert_eq!(filter["results"]["continue"], 2);
}

#[tokio::test]
async fn health_is_asked_for_by_machines() {
    let gateway = gateway("").await;
    let admin = gateway.admin_addr().unwrap();
    let health = get(admin, "/healthz").await;
    assert_eq!((health.status, health.text()), (StatusCode::OK, "ok\n"));
    let ready = get(admin, "/readyz").await;
    assert_eq!((ready.status, ready.text()), (StatusCode::OK, "kit ready\n"));
}

#[tokio::test]
async fn the_admin_listener_only_shows_and_only_to_localhost() {
    let gateway = gateway("").await;
    let admin = gateway.admin_addr().unwrap();
    assert_eq!(post(admin, "/plugins", b"").await.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(get(admin, "/nothing").await.status, StatusCode::NOT_FOUND);
    let rebound = with(request("GET", "/plugins", b""), "host", "evil.example");
    assert_eq!(send(admin, rebound).await.status, StatusCode::MISDIRECTED_REQUEST);
    let page = get(admin, "/").await;
    assert!(page.header("content-security-policy").starts_with("default-src 'none'"));
    // The public listener has none of it.
    assert_eq!(get(gateway.addr(), "/metrics").await.status, StatusCode::NOT_FOUND);
}

/// Names of Chromium in packages.
const CHROMIUM: [&str; 4] =
    ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/// The document of `page` after its scripts ran, by the first Chromium that is there.
fn browse(page: &str) -> String {
    let profile = tempfile::tempdir().unwrap();
    for program in CHROMIUM {
        let shown = Command::new(program)
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .args(["--virtual-time-budget=4000", "--dump-dom", page])
            .output();
        match shown {
            Ok(shown) => return String::from_utf8_lossy(&shown.stdout).into_owned(),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => panic!("{program} does not start: {error}"),
        }
    }
    panic!(
        "error: the admin page cannot be looked at\n\
         cause: no Chromium on PATH ({})\n\
         hint:  `apt install chromium`, or your system's package of it",
        CHROMIUM.join(", ")
    );
}

/// The page in a real browser, in the long form of the tests: it polls, and shows the plugin with its
/// numbers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_shows_plugins_in_a_browser() {
    if std::env::var_os("BECKET_TEST_LONG").is_none() {
        return;
    }
    let gateway = gateway("").await;
    for _ in 0..7 {
        post(gateway.addr(), "/kit/echo", b"x").await;
    }
    post(gateway.addr(), "/kit/status?1", b"").await;
    let page = format!("http://{}/", gateway.admin_addr().unwrap());
    let dom = tokio::task::spawn_blocking(move || browse(&page)).await.unwrap();
    for part in ["data-plugin=\"kit\"", "state ready", "kit 1.2.3", "the payload", "live"] {
        assert!(dom.contains(part), "{part}\n{dom}");
    }
    // It looked more than once.
    assert!(!dom.contains("data-looks=\"1\"") && dom.contains("data-looks="), "{dom}");
    let failed = "<b class=\"errors\">1</b><span>failed calls</span>";
    assert!(dom.contains(failed), "{dom}");
    // Nothing came since: each percentile is that of all that was counted, in the unit that fits.
    let seen = get(gateway.admin_addr().unwrap(), "/plugins").await;
    let seen: Value = serde_json::from_str(seen.text()).unwrap();
    let kit = &seen["plugins"][0];
    let shown = |label: &str| {
        let (before, _) = dom.split_once(label).unwrap_or_else(|| panic!("{label} in {dom}"));
        before.rsplit("<b>").next().unwrap().to_owned()
    };
    for (share, label) in
        [(0.5, "</b><span>p50 of calls</span>"), (0.99, "</b><span>p99 of calls</span>")]
    {
        is_quantile(&shown(label), &kit["snapshot"]["latency"], share);
    }
    let echo = kit["http"].as_array().unwrap().iter().find(|http| http["entry"] == "echo").unwrap();
    let (_, row) = dom.split_once("<b>echo</b>").unwrap();
    for (share, label) in [(0.5, "data-label=\"p50\">"), (0.99, "data-label=\"p99\">")] {
        let (_, cell) = row.split_once(label).unwrap();
        is_quantile(cell.split('<').next().unwrap(), &echo["latency"], share);
    }
}

/// `shown` is the share's percentile of a latency of `/plugins`, to three digits.
fn is_quantile(shown: &str, latency: &Value, share: f64) {
    let (number, unit) = shown.split_once(' ').unwrap_or_else(|| panic!("{shown:?}: no unit"));
    let number: f64 = number.parse().unwrap_or_else(|_| panic!("{shown:?}: no number"));
    assert!((1.0..=1000.0).contains(&number), "{shown:?}: a unit that fits");
    let scale = [("ns", 1e-9), ("µs", 1e-6), ("ms", 1e-3), ("s", 1.0)];
    let scale = scale.iter().find(|(name, _)| *name == unit).unwrap().1;
    let parts: Vec<(f64, u64)> = serde_json::from_value(latency["parts"].clone()).unwrap();
    let rank = (latency["count"].as_u64().unwrap() as f64 * share).ceil() as u64;
    let mut below = 0;
    let exact = parts.iter().find(|(_, count)| {
        below += count;
        below >= rank
    });
    let exact = exact.unwrap().0;
    assert!((number * scale - exact).abs() <= exact * 0.006, "{shown:?} is {exact} s");
}

/// The same page shows what no plugin answers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_shows_routes_in_a_browser() {
    if std::env::var_os("BECKET_TEST_LONG").is_none() {
        return;
    }
    let gateway = with_a_dead_server().await;
    let page = format!("http://{}/", gateway.admin_addr().unwrap());
    let dom = tokio::task::spawn_blocking(move || browse(&page)).await.unwrap();
    for part in [
        "<h2>Servers and files</h2>",
        "<b>/up*</b>",
        "<span class=\"state ready\">up</span>",
        "filters: guard",
        "data-label=\"errors\">2</td>",
        "as a filter 0 calls/s: passed 2<",
    ] {
        assert!(dom.contains(part), "{part}\n{dom}");
    }
}
