// SPDX-License-Identifier: BSD-3-Clause
//! Calls and streams, in each language.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use becket_coro::block_on;
use becket_host::{CallError, Host, NrStatus, Plugin, Request, SendError, StreamError};

use crate::{load, load_sample, sample, zoo};

const LANGUAGES: [&str; 7] = ["rust", "c", "cpp", "go", "zig", "node", "python"];

fn in_each_language(test: impl Fn(&Plugin)) {
    static TEST: AtomicU32 = AtomicU32::new(0);
    let number = TEST.fetch_add(1, Ordering::Relaxed);
    for language in LANGUAGES {
        let host = Host::new();
        // The name of a thread has 15 bytes.
        let name = format!("{language}{number}");
        let plugin = load_sample(&host, &name, language);
        test(&plugin);
        let snapshot = plugin.snapshot();
        assert_eq!((snapshot.pending, snapshot.streams), (0, 0), "{language}");
        let report = block_on(host.shutdown(Duration::from_secs(10)));
        assert!(crate::workers(&name).is_empty(), "{language}: {report:?}");
    }
}

#[test]
fn a_plugin_says_what_it_is() {
    in_each_language(|plugin| {
        let info = plugin.info();
        assert_eq!((info.placement, info.version.as_str()), ("process", "0.1.0"));
        let names: Vec<_> = plugin.entries().into_iter().map(|entry| entry.name).collect();
        assert_eq!(names, ["unary", "echo", "stream", "chat", "state", "slow", "fail"]);
    });
}

#[test]
fn answers_come_back() {
    in_each_language(|plugin| {
        for bytes in [0, 1, 64, 4 << 10, 70 << 10, 3 << 20] {
            let payload = vec![7; bytes];
            let answer = block_on(plugin.call_raw("echo", &payload)).unwrap();
            assert_eq!((answer.status, answer.body.len()), (NrStatus::Ok, bytes));
            assert!(*answer.body == *payload);
        }
        let request = Request::new("x").method("POST").path("/p").query("q=1").header("a", "b");
        let answer = block_on(plugin.call("unary", request)).unwrap();
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        assert!(answer.status.is_ok() && text.contains("/p") && text.contains("POST"), "{text}");
        let answer = block_on(plugin.call_raw("state", b"key=value")).unwrap();
        assert!(answer.status.is_ok(), "{answer:?}");
        plugin.notify("echo", b"no answer").unwrap();
    });
}

#[test]
fn failures_come_back() {
    in_each_language(|plugin| {
        let unknown = block_on(plugin.call_raw("no-such-entry", b""));
        assert!(matches!(unknown, Err(CallError::UnknownEntry(_))), "{unknown:?}");
        let late = block_on(plugin.call_raw("slow", b"60000").timeout(Duration::from_millis(50)));
        assert!(matches!(late, Err(CallError::DeadlineExceeded)), "{late:?}");
        let failed = block_on(plugin.call_raw("fail", b"invalid"));
        assert!(!matches!(&failed, Ok(answer) if answer.status.is_ok()), "{failed:?}");
        let now = plugin.call_now("echo", b"");
        assert!(matches!(now, Err(CallError::NotInline)), "{now:?}");
    });
}

#[test]
fn streams_go_both_ways() {
    in_each_language(|plugin| {
        block_on(async {
            let mut stream = plugin.stream("stream", Request::new("")).await.unwrap();
            let mut frames = 0;
            while stream.next().await.unwrap().is_some() {
                frames += 1;
            }
            assert_eq!(frames, 5);
            let mut chat = plugin.stream("chat", Request::new("")).await.unwrap();
            assert_eq!(&*chat.next().await.unwrap().unwrap().body, b"welcome");
            for number in 0..200 {
                let said = format!("message {number}");
                chat.send(said.as_bytes()).await.unwrap();
                let frame = chat.next().await.unwrap().unwrap();
                assert_eq!(&*frame.body, format!("echo: {said}").as_bytes());
            }
            chat.close().unwrap();
            while chat.next().await.unwrap().is_some() {}
            assert!(matches!(chat.send(b"late").await, Err(SendError::Closed)));
            // A receiver that leaves.
            drop(plugin.stream("chat", Request::new("")).await.unwrap());
        });
    });
}

#[test]
fn more_than_the_bounds_waits_and_all_arrives_in_order() {
    const MESSAGES: usize = 2_000;
    let host = Host::new();
    let plugin = load(&host, "rust", sample("rust"));
    block_on(async {
        let mut chat = plugin.stream("chat", Request::new("")).await.unwrap();
        assert_eq!(&*chat.next().await.unwrap().unwrap().body, b"welcome");
        let sender = chat.sender();
        let sends = std::thread::spawn(move || {
            for number in 0..MESSAGES {
                block_on(sender.send(format!("{number:01000}").as_bytes())).unwrap();
            }
        });
        for number in 0..MESSAGES {
            let frame = chat.next().await.unwrap().unwrap();
            assert_eq!(&*frame.body, format!("echo: {number:01000}").as_bytes());
        }
        sends.join().unwrap();
    });
    block_on(host.shutdown(Duration::from_secs(10)));
}

/// A frame, and data, that are longer than a frame of the session, and as long as an element may be.
#[test]
fn long_frames_go_both_ways() {
    let host = Host::new();
    let plugin = load(&host, "rust", sample("rust"));
    block_on(async {
        let payload = vec![1; 100 << 10];
        let mut chat = plugin.stream("chat", Request::new(payload)).await.unwrap();
        assert_eq!(&*chat.next().await.unwrap().unwrap().body, b"welcome");
        for bytes in [1 << 20, (1 << 20) + 1, 3 << 20] {
            let data = vec![7; bytes];
            chat.send(&data).await.unwrap();
            let frame = chat.next().await.unwrap().unwrap();
            assert!(frame.body.ends_with(&data), "{bytes} bytes");
        }
        chat.close().unwrap();
        while chat.next().await.unwrap().is_some() {}
    });
    block_on(host.shutdown(Duration::from_secs(10)));
}

/// Plugins that do not say which entries they have are called by name.
#[test]
fn entries_that_are_not_listed_are_called_by_name() {
    for name in
        ["layout_documented", "layout_raw", "layout_short", "layout_v2", "answers_any_entry"]
    {
        let host = Host::new();
        let plugin = load(&host, name, zoo(name));
        for _ in 0..2 {
            let answer = block_on(plugin.call_raw("hit", b"x"));
            assert!(answer.is_ok(), "{name}: {answer:?}");
        }
        block_on(host.shutdown(Duration::from_secs(10)));
    }
}

#[test]
fn a_stream_that_is_refused_or_fails_says_how() {
    let host = Host::new();
    let plugin = load(&host, "rust", sample("rust"));
    block_on(async {
        let opened = plugin.stream("echo", Request::new("one answer")).await;
        let ended = match opened {
            Ok(mut stream) => {
                stream.next().await.map(|frame| frame.map(|frame| frame.body.to_vec()))
            }
            Err(error) => panic!("{error}"),
        };
        // An entry with one answer, asked for as a stream: its answer is a frame.
        assert!(
            matches!(&ended, Ok(Some(body)) if body == b"one answer")
                || matches!(ended, Err(StreamError::Failed { .. })),
            "{ended:?}"
        );
    });
    block_on(host.shutdown(Duration::from_secs(10)));
}
