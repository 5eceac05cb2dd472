// SPDX-License-Identifier: BSD-3-Clause
//! Filters in processes of their own: a crash costs their requests and no other.

use std::path::Path;

use http::StatusCode;

use crate::common::{PLUGINS, World, built, request, with};

/// A filter that aborts its process if a request says so, in the phase that it names.
fn world(more: &str, filters: &str) -> (World, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/plugins/crash.c");
    let library = built(folder.path(), &source);
    let before =
        format!("{PLUGINS}[plugins.crash]\npath = {library:?}\nplacement = \"process\"\n{more}");
    (World::with(&before, filters), folder)
}

#[test]
fn a_filter_that_crashes_lets_nothing_pass() {
    let (world, _folder) = world("", "[\"guard.outer\", \"crash\"]");
    let ask = |phase: &str| world.send(with(request("GET", "/x", b""), "x-crash", phase));
    let answer = ask("never");
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.all("x-order"), ["outer with outer's"]);
    assert_eq!(answer.header("x-crash"), "not");
    for (phase, asked) in [("request", 1), ("response", 2)] {
        let answer = ask(phase);
        assert_eq!(answer.status, StatusCode::BAD_GATEWAY, "{phase}: {}", answer.text());
        assert!(answer.text().starts_with("error: filter `crash` failed\n"), "{}", answer.text());
        // The filter before it has its response phase all the same.
        assert_eq!(answer.all("x-order"), ["outer with outer's"]);
        assert_eq!(world.server.asked(), asked, "{phase}");
        // Its process is started again.
        assert_eq!(ask("never").status, StatusCode::OK);
        world.server.requests.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
    }
}

#[test]
fn a_filter_that_stays_down_is_answered_503() {
    let more = "restart = { attempts_max = 0 }\n";
    let (world, _folder) = world(more, "[\"crash\"]");
    let ask = |phase: &str| world.send(with(request("GET", "/x", b""), "x-crash", phase));
    assert_eq!(ask("request").status, StatusCode::BAD_GATEWAY);
    for _ in 0..3 {
        let answer = ask("never");
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{}", answer.text());
        assert_eq!(answer.header("retry-after"), "1");
    }
    assert_eq!(world.server.asked(), 0);
}

#[test]
fn a_filter_may_be_left_out_when_it_crashes() {
    let (world, _folder) = world("", "[{ name = \"crash\", fail_open = true }]");
    let answer = world.send(with(request("GET", "/x", b""), "x-crash", "request"));
    assert_eq!((answer.status, world.server.asked()), (StatusCode::OK, 1));
}
