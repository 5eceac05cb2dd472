// SPDX-License-Identifier: BSD-3-Clause
//! The control: the published host of the same version runs the plugin, so that what Becket refuses is no
//! broken file. Each package compiles this file.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::env;
use std::time::Duration;

use nylon_ring_host::{NrStatus, NylonRingHost};

const TIMEOUT: Duration = Duration::from_secs(60);

#[tokio::test]
async fn its_own_host_runs_it() {
    let tests = env::current_exe().unwrap();
    let library = concat!("lib", env!("CARGO_PKG_NAME"), ".so");
    let library = tests.with_file_name(library);
    let mut host = NylonRingHost::new();
    host.load("published", library.to_str().unwrap()).unwrap();
    let plugin = host.plugin("published").unwrap();
    for (entry, payload, answer) in
        [("echo", "hi", "hi"), ("upper", "hi", "HI"), ("count", "", "1"), ("count", "", "2")]
    {
        let (status, body) =
            plugin.call_response_timeout(entry, payload.as_bytes(), TIMEOUT).await.unwrap();
        assert_eq!((status, body), (NrStatus::Ok, answer.as_bytes().to_vec()), "{entry}");
    }
    let (sid, mut stream) = plugin.call_stream("stream", b"").await.unwrap();
    assert_eq!(plugin.send_stream_data(sid, b"four").unwrap(), NrStatus::Ok);
    assert_eq!(plugin.close_stream(sid).unwrap(), NrStatus::Ok);
    let mut frames = Vec::new();
    while let Some(frame) = tokio::time::timeout(TIMEOUT, stream.recv()).await.unwrap() {
        let is_last = frame.status.is_terminal();
        frames.push(String::from_utf8(frame.data.to_vec()).unwrap());
        if is_last {
            break;
        }
    }
    assert_eq!(frames, ["one", "two", "three", "four", ""]);
}
