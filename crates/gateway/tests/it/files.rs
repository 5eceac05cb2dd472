// SPDX-License-Identifier: BSD-3-Clause
//! Files of a folder: which ones, with which headers, and none outside.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use becket_gateway::{Gateway, GatewayError};
use http::StatusCode;
use tempfile::TempDir;

use crate::common::{Answer, BASE, config, get, metric, post, raw, request, send, start, with};

/// A folder `site` with files, and a secret beside it.
fn site() -> TempDir {
    let dir = TempDir::new().unwrap();
    let write = |path: &str, text: &[u8]| {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("secret.txt", b"secret");
    write("site/index.html", b"<p>home");
    write("site/a b.txt", b"0123456789");
    write("site/docs/index.html", b"<p>docs");
    write("site/empty/.hidden", b"secret");
    write("site/.env", b"secret");
    write("site/none", b"");
    dir
}

fn text(dir: &Path, prefix: &str, more: &str) -> String {
    format!(
        "{BASE}[plugins.guard]\nlinked = \"guard\"\n[[routes]]\nprefix = \"{prefix}\"\nfiles = \
         {:?}\n{more}\n",
        dir.join("site")
    )
}

async fn gateway(dir: &Path, prefix: &str) -> Gateway {
    start(&text(dir, prefix, "")).await.unwrap()
}

async fn get_with(gateway: &Gateway, path: &str, name: &'static str, value: &str) -> Answer {
    send(gateway.addr(), with(request("GET", path, b""), name, value)).await
}

#[tokio::test]
async fn a_file_is_answered_with_its_type_and_its_version() {
    let dir = site();
    let gateway = gateway(dir.path(), "/s").await;
    let answer = get(gateway.addr(), "/s/a%20b.txt").await;
    assert_eq!((answer.status, answer.text()), (StatusCode::OK, "0123456789"));
    assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8");
    assert_eq!(answer.header("content-length"), "10");
    assert_eq!(answer.header("accept-ranges"), "bytes");
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    assert!(answer.header("last-modified").ends_with(" GMT") && answer.header("etag").len() > 4);
    let head = send(gateway.addr(), request("HEAD", "/s/a%20b.txt", b"")).await;
    assert_eq!(
        (head.status, head.header("content-length"), head.text()),
        (StatusCode::OK, "10", "")
    );
    assert_eq!(head.header("etag"), answer.header("etag"));
    assert_eq!(get(gateway.addr(), "/s/none").await.header("content-length"), "0");
    let posted = post(gateway.addr(), "/s/a%20b.txt", b"x").await;
    assert_eq!(
        (posted.status, posted.header("allow")),
        (StatusCode::METHOD_NOT_ALLOWED, "GET, HEAD")
    );
    let bytes = "becket_http_response_body_bytes_total{plugin=\"(files)\",entry=\"/s*\"}";
    assert!(metric(&gateway, bytes).await.unwrap() >= 10.0);
}

#[tokio::test]
async fn a_folder_is_its_index() {
    let dir = site();
    let gateway = gateway(dir.path(), "/s").await;
    assert_eq!(get(gateway.addr(), "/s/").await.text(), "<p>home");
    let answer = get(gateway.addr(), "/s/docs/").await;
    assert_eq!(
        (answer.text(), answer.header("content-type")),
        ("<p>docs", "text/html; charset=utf-8")
    );
    for (path, location) in [("/s", "/s/"), ("/s/docs?a=b", "/s/docs/?a=b")] {
        let answer = get(gateway.addr(), path).await;
        assert_eq!(answer.status, StatusCode::PERMANENT_REDIRECT);
        assert_eq!(answer.header("location"), location);
    }
    for path in ["/s/empty/", "/s/none/", "/s/docs/index.html/"] {
        assert_eq!(get(gateway.addr(), path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test]
async fn nothing_outside_the_folder_is_served() {
    let dir = site();
    let site = dir.path().join("site");
    symlink("../secret.txt", site.join("relative")).unwrap();
    symlink(dir.path().join("secret.txt"), site.join("absolute")).unwrap();
    symlink("..", site.join("up")).unwrap();
    symlink("/proc/self/root", site.join("machine")).unwrap();
    symlink("a b.txt", site.join("inside")).unwrap();
    symlink("loop", site.join("loop")).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, site.join("pipe"), 0o600.into()).unwrap();
    let gateway = gateway(dir.path(), "/").await;
    for path in [
        "/../secret.txt",
        "/docs/../../secret.txt",
        "/%2e%2e/secret.txt",
        "/..%2fsecret.txt",
        "/docs%2f..%2f..%2fsecret.txt",
        "//etc/passwd",
        "/%2fetc/passwd",
        "/relative",
        "/absolute",
        "/up/secret.txt",
        "/machine/etc/passwd",
        "/loop",
        "/pipe",
        "/.env",
        "/empty/.hidden",
        "/%2eenv",
        "/a%00b",
        "/missing",
    ] {
        let text = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        let answer = raw(gateway.addr(), text.as_bytes()).await;
        assert!(
            answer.starts_with("HTTP/1.1 404 ") && !answer.contains("secret"),
            "{path}: {answer}"
        );
    }
    assert_eq!(get(gateway.addr(), "/inside").await.text(), "0123456789");
}

#[tokio::test]
async fn a_version_that_the_client_has_is_not_sent_again() {
    let dir = site();
    let gateway = gateway(dir.path(), "/s").await;
    let path = "/s/a%20b.txt";
    let first = get(gateway.addr(), path).await;
    let (etag, modified) = (first.header("etag"), first.header("last-modified"));
    for (name, value, status) in [
        ("if-none-match", etag.to_owned(), 304),
        ("if-none-match", format!("\"x\", W/{etag}"), 304),
        ("if-none-match", "*".to_owned(), 304),
        ("if-none-match", "\"x\"".to_owned(), 200),
        ("if-modified-since", modified.to_owned(), 304),
        ("if-modified-since", "Sat, 01 Jan 2000 00:00:00 GMT".to_owned(), 200),
        ("if-modified-since", "nonsense".to_owned(), 200),
    ] {
        let answer = get_with(&gateway, path, name, &value).await;
        assert_eq!(answer.status.as_u16(), status, "{name}: {value}");
        assert_eq!(answer.header("etag"), etag);
        assert_eq!(answer.body.is_empty(), status == 304);
    }
    // A tag goes before a date.
    let asked = with(request("GET", path, b""), "if-none-match", "\"x\"");
    let answer = send(gateway.addr(), with(asked, "if-modified-since", modified)).await;
    assert_eq!(answer.status, StatusCode::OK);
    fs::write(dir.path().join("site/a b.txt"), "changed").unwrap();
    let answer = get_with(&gateway, path, "if-none-match", etag).await;
    assert_eq!((answer.status, answer.text()), (StatusCode::OK, "changed"));
}

#[tokio::test]
async fn a_part_of_a_file_is_sent() {
    let dir = site();
    let gateway = gateway(dir.path(), "/s").await;
    let path = "/s/a%20b.txt";
    for (range, shown, body) in [
        ("bytes=0-0", "bytes 0-0/10", "0"),
        ("bytes=3-5", "bytes 3-5/10", "345"),
        ("bytes=7-", "bytes 7-9/10", "789"),
        ("bytes=7-99", "bytes 7-9/10", "789"),
        ("bytes=-2", "bytes 8-9/10", "89"),
    ] {
        let answer = get_with(&gateway, path, "range", range).await;
        assert_eq!(answer.status, StatusCode::PARTIAL_CONTENT, "{range}");
        assert_eq!((answer.header("content-range"), answer.text()), (shown, body), "{range}");
    }
    for range in ["bytes=10-", "bytes=5-3", "nonsense"] {
        let answer = get_with(&gateway, path, "range", range).await;
        assert_eq!(answer.status, StatusCode::RANGE_NOT_SATISFIABLE, "{range}");
        assert_eq!(answer.header("content-range"), "bytes */10");
    }
    let answer = get_with(&gateway, path, "range", "bytes=0-1,4-5").await;
    assert_eq!((answer.status, answer.text()), (StatusCode::OK, "0123456789"));
    let etag = answer.header("etag");
    for (condition, status) in [(etag, 206), ("\"other\"", 200), ("nonsense", 200)] {
        let asked = with(request("GET", path, b""), "range", "bytes=1-2");
        let answer = send(gateway.addr(), with(asked, "if-range", condition)).await;
        assert_eq!(answer.status.as_u16(), status, "{condition}");
    }
}

#[tokio::test]
async fn a_long_file_comes_whole_and_in_parts() {
    let dir = site();
    let long: Vec<u8> = (0..3_000_001_u32).map(|at| (at % 251) as u8).collect();
    fs::write(dir.path().join("site/long.bin"), &long).unwrap();
    let gateway = gateway(dir.path(), "/").await;
    let answer = get(gateway.addr(), "/long.bin").await;
    assert!(answer.body == long);
    assert_eq!(answer.header("content-type"), "application/octet-stream");
    let part = get_with(&gateway, "/long.bin", "range", "bytes=70000-2000000").await;
    assert!(part.body == long[70_000..=2_000_000]);
}

#[tokio::test]
async fn a_folder_may_be_replaced_while_it_is_served() {
    let dir = site();
    fs::create_dir(dir.path().join("next")).unwrap();
    fs::write(dir.path().join("next/index.html"), "next").unwrap();
    let gateway = gateway(dir.path(), "/").await;
    assert_eq!(get(gateway.addr(), "/").await.text(), "<p>home");
    fs::rename(dir.path().join("site"), dir.path().join("before")).unwrap();
    assert_eq!(get(gateway.addr(), "/").await.status, StatusCode::INTERNAL_SERVER_ERROR);
    fs::rename(dir.path().join("next"), dir.path().join("site")).unwrap();
    assert_eq!(get(gateway.addr(), "/").await.text(), "next");
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_found_at_the_start() {
    let dir = site();
    let gone = |text: String| text.replace("/site", "/gone");
    let missing = start(&gone(text(dir.path(), "/", ""))).await.unwrap_err();
    assert!(matches!(missing, GatewayError::Config(_)), "{missing}");
    assert!(missing.to_string().contains("which is not a folder"), "{missing}");
    let gateway = gateway(dir.path(), "/").await;
    let next = config(&gone(text(dir.path(), "/", "")));
    assert!(gateway.reload(next).await.is_err());
    assert_eq!(get(gateway.addr(), "/").await.text(), "<p>home");
}

#[tokio::test]
async fn a_filter_stands_before_files() {
    let dir = site();
    let more = "filters = [{ name = \"guard.say\", response_body = true }]";
    let gateway = start(&text(dir.path(), "/s", more)).await.unwrap();
    let refused = get_with(&gateway, "/s/", "x-say", "respond 403").await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    let other = get_with(&gateway, "/s/x", "x-say", "continue|path /s/docs/").await;
    assert_eq!(other.text(), "<p>docs");
    for outside in ["/docs/", "/s/../secret.txt", "/s/.env"] {
        let answer = get_with(&gateway, "/s/", "x-say", &format!("continue|path {outside}")).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{outside}");
    }
    let later = get_with(&gateway, "/s/", "x-later", "continue/set cache-control: no-cache").await;
    assert_eq!((later.header("cache-control"), later.text()), ("no-cache", "<p>home"));
}
