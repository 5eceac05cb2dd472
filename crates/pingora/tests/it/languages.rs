// SPDX-License-Identifier: BSD-3-Clause
//! Plugins of the repository's examples, which were written for the gateway.

use http::StatusCode;

use crate::common::{World, example, request, routes, with};

#[test]
fn filters_of_the_gateways_examples_work_unchanged() {
    let folder = tempfile::tempdir().unwrap();
    let key = example(folder.path(), "filters/api-key.c");
    let auth = example(folder.path(), "gateway/auth/auth.cpp");
    let before = format!(
        "[admin]\nlisten = \"127.0.0.1:0\"\n\
         [plugins.key]\npath = {key:?}\nconfig = {{ key = \"s3cret\" }}\n\
         [plugins.auth]\npath = {auth:?}\nconfig = {{ keys = \"alice=a1\" }}\n"
    );
    let world = World::of(|server| routes(&before, "[\"key\"]", server));
    let answer = world.get("/x");
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    assert_eq!(answer.text(), "{\"error\":\"a key is needed\"}\n");
    let answer = world.send(with(request("GET", "/x", b""), "x-api-key", "s3cret"));
    assert!(answer.text().contains("x-caller=with-a-key"), "{}", answer.text());
    assert!(!answer.text().contains("s3cret"), "{}", answer.text());
    assert_eq!(answer.header("vary"), "x-api-key");

    let world = World::of(|server| routes(&before, "[\"auth\"]", server));
    assert_eq!(world.get("/x").status, StatusCode::UNAUTHORIZED);
    let asked = with(request("GET", "/x", b""), "x-user", "mallory");
    let answer = world.send(with(asked, "x-api-key", "a1"));
    assert!(answer.text().contains("x-user=alice"), "{}", answer.text());
    assert!(!answer.text().contains("mallory"), "{}", answer.text());
    // Counted as the gateway counts, on its admin page.
    let metrics = world.metrics();
    let filter = "becket_http_filter_answers_total{plugin=\"auth\",entry=\"filter\",result=";
    assert!(metrics.contains(&format!("{filter}\"respond\"}} 1")), "{}", metrics);
    let upstream = "becket_http_requests_total{plugin=\"(upstream)\",entry=\"/*\",code=";
    assert!(metrics.contains(&format!("{upstream}\"200\"}} 1")), "{}", metrics);
    assert!(metrics.contains(&format!("{upstream}\"401\"}} 1")), "{}", metrics);
}
