// SPDX-License-Identifier: BSD-3-Clause
//! Windows in both directions, and frames that are lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use becket_host::{CallError, Host, Limits, NrStatus, Request, SendError, StreamError};
use futures_lite::StreamExt as _;
use futures_lite::future::block_on;

use crate::nodes::{Node, Server, load, load_with};
use crate::sample_spec;
use crate::support::script::Script;
use crate::support::wait::{until, wait};

#[test]
fn streams_and_chats_as_anywhere() {
    for language in ["rust", "c"] {
        let server = Server::start();
        let node = Node::start(&server.connect(), sample_spec("sample", language));
        let host = Host::new();
        let plugin = load(&host, &server.connect(), "sample");
        let mut stream = wait(plugin.stream("stream", Request::default())).unwrap();
        let mut frames = 0;
        while wait(stream.next()).unwrap().is_some() {
            frames += 1;
        }
        assert_eq!(frames, 5);
        let mut chat = wait(plugin.stream("chat", Request::default())).unwrap();
        assert_eq!(&wait(chat.next()).unwrap().unwrap().body[..], b"welcome");
        for at in 0..1000 {
            let text = format!("message {at}");
            wait(chat.send(text.as_bytes())).unwrap();
            let echo = wait(chat.next()).unwrap().unwrap();
            assert_eq!(&echo.body[..], format!("echo: {text}").as_bytes());
        }
        chat.close().unwrap();
        while wait(chat.next()).unwrap().is_some() {}
        let error = wait(plugin.stream("none", Request::default())).map(drop).unwrap_err();
        assert!(matches!(error, CallError::UnknownEntry(_)), "{error}");
        until(|| node.offer.in_hand() == 0);
        // One that is dropped ends there too.
        let chat = wait(plugin.stream("chat", Request::default())).unwrap();
        drop(chat);
        until(|| node.offer.in_hand() == 0 && node.plugin.snapshot().streams == 0);
    }
}

#[test]
fn a_slow_receiver_holds_the_plugin_back_and_loses_nothing() {
    const FRAMES: u64 = 2000;
    let server = Server::start();
    let sent = Arc::new(AtomicU64::new(0));
    let counted = sent.clone();
    let script = Script::new(move |api, call| {
        let (api, sid, sent) = (*api, call.sid, counted.clone());
        std::thread::spawn(move || {
            for at in 0..FRAMES {
                while api.send(sid, NrStatus::Ok, &at.to_be_bytes()) == NrStatus::Backpressure {
                    std::thread::yield_now();
                }
                sent.fetch_add(1, Ordering::SeqCst);
            }
            api.send(sid, NrStatus::StreamEnd, b"");
        });
        NrStatus::Ok
    });
    let node_host = Host::new();
    let limits = Limits { stream_frames_max: 4, ..Limits::default() };
    let (node_plugin, _) =
        script.load_with(&node_host, "flood", |spec| spec.limits(limits.clone()));
    let _offer = block_on(becket_cluster::offer(&server.connect(), &node_plugin)).unwrap();
    let host = Host::new();
    let plugin = load_with(&host, &server.connect(), "flood", limits);
    let mut stream = wait(plugin.stream("any", Request::default())).unwrap();
    // Nothing is received: what all hold together is bounded, 4 + 64 + 1 + 4 frames.
    until(|| sent.load(Ordering::SeqCst) >= 4 + 64);
    assert!(sent.load(Ordering::SeqCst) <= 4 + 64 + 1 + 4 + 1);
    let mut next = 0_u64;
    while let Some(frame) = wait(stream.next()).unwrap() {
        assert_eq!(&frame.body[..], next.to_be_bytes());
        next += 1;
    }
    assert_eq!(next, FRAMES);
}

#[test]
fn a_plugin_that_takes_nothing_holds_the_sender_back() {
    let server = Server::start();
    let takes = Arc::new(AtomicU64::new(0));
    let (asked, taken) = (takes.clone(), Arc::new(AtomicU64::new(0)));
    let (counted, offered) = (taken.clone(), Arc::new(AtomicU64::new(0)));
    let last = offered.clone();
    let script = Script::new(|_, _| NrStatus::Ok).on_data(move |_, sid, _| {
        last.store(sid, Ordering::SeqCst);
        if asked.load(Ordering::SeqCst) == 0 {
            return NrStatus::Backpressure;
        }
        counted.fetch_add(1, Ordering::SeqCst);
        NrStatus::Ok
    });
    let node_host = Host::new();
    let (node_plugin, api) = script.load(&node_host, "closed");
    let _offer = block_on(becket_cluster::offer(&server.connect(), &node_plugin)).unwrap();
    let host = Host::new();
    let plugin = load(&host, &server.connect(), "closed");
    let stream = wait(plugin.stream("any", Request::default())).unwrap();
    let mut sent = 0_u64;
    loop {
        match stream.try_send(b"data") {
            Ok(()) => sent += 1,
            Err(SendError::Backpressure) => break,
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(sent, 64, "a window");
    takes.store(1, Ordering::SeqCst);
    until(|| offered.load(Ordering::SeqCst) != 0);
    let sid = offered.load(Ordering::SeqCst);
    assert_eq!(api.stream_ready(sid), NrStatus::Ok);
    wait(stream.send(b"more")).unwrap();
    until(|| taken.load(Ordering::SeqCst) == sent + 1);
    drop(stream);
    until(|| node_plugin.snapshot().streams == 0);
}

#[test]
fn a_lost_frame_fails_the_stream_on_both_sides() {
    let server = Server::start();
    let node = Node::start(&server.connect(), sample_spec("sample", "rust"));
    let host = Host::new();
    let plugin = load(&host, &server.connect(), "sample");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    // A frame that is not the next one, put in between, is what a lost one leaves.
    let mut chat = wait(plugin.stream("chat", Request::default())).unwrap();
    assert_eq!(&wait(chat.next()).unwrap().unwrap().body[..], b"welcome");
    let mut frame = vec![2, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0];
    frame.extend_from_slice(b"forged");
    runtime.block_on(async {
        let client = async_nats::connect(server.url()).await.unwrap();
        let mut all = client.subscribe("_INBOX.>").await.unwrap();
        client.flush().await.unwrap();
        wait(chat.send(b"one")).unwrap();
        let to_node = all.next().await.unwrap().subject;
        client.publish(to_node, frame.into()).await.unwrap();
        client.flush().await.unwrap();
    });
    let ended = loop {
        match wait(chat.next()) {
            Ok(Some(_)) => {}
            other => break other,
        }
    };
    assert!(matches!(ended, Err(StreamError::Crashed)), "{ended:?}");
    until(|| node.offer.in_hand() == 0 && node.plugin.snapshot().streams == 0);

    let chat = wait(plugin.stream("chat", Request::default()).timeout(Duration::from_millis(300)));
    let mut chat = chat.unwrap();
    assert!(wait(chat.next()).unwrap().is_some());
    assert!(matches!(wait(chat.next()), Err(StreamError::DeadlineExceeded)));
}
