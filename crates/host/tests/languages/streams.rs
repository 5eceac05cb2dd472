// SPDX-License-Identifier: BSD-3-Clause
//! The entries with many answers.

use std::{thread, time::Duration};

use becket_abi::NrStatus;
use becket_host::{CallError, Request, SendError, Stream};

use crate::{Sample, support::wait::wait};

/// The next frame's text.
fn next(stream: &mut Stream) -> String {
    let frame = wait(stream.next()).unwrap().expect("a frame");
    String::from_utf8(frame.body.to_vec()).unwrap()
}

fn open(sample: &Sample, entry: &str) -> Stream {
    wait(sample.plugin.stream(entry, Request::default())).unwrap()
}

/// Closes a chat after `messages` of them, and reads its farewell.
fn farewell(stream: &mut Stream, messages: usize) {
    stream.close().unwrap();
    let last = wait(stream.next()).unwrap().expect("the last frame");
    assert_eq!(last.status, NrStatus::StreamEnd);
    assert_eq!(*last.body, *format!("bye after {messages} messages").as_bytes());
    assert!(wait(stream.next()).unwrap().is_none());
}

pub(crate) fn five_frames_in_order(language: &'static str) {
    let Some(sample) = Sample::load(language, |spec| spec) else { return };
    let entry = sample.plugin.entry("stream").unwrap();
    for by_id in [false, true, false, true] {
        let open = if by_id {
            entry.stream(Request::default())
        } else {
            sample.plugin.stream("stream", Request::default())
        };
        let mut stream = wait(open).unwrap();
        for at in 1..=5 {
            assert_eq!(next(&mut stream), format!("frame {at} of 5"));
        }
        assert!(wait(stream.next()).unwrap().is_none());
    }
    sample.end();
}

pub(crate) fn a_chat_of_a_thousand_messages(language: &'static str) {
    let Some(sample) = Sample::load_small(language) else { return };
    let mut chat = open(&sample, "chat");
    assert_eq!(next(&mut chat), "welcome");
    for at in 0..1000 {
        wait(chat.send(format!("message {at}").as_bytes())).unwrap();
        assert_eq!(next(&mut chat), format!("echo: message {at}"));
    }
    farewell(&mut chat, 1000);
    assert_eq!(wait(chat.send(b"late")), Err(SendError::Closed));
    drop(chat);
    let snapshot = sample.plugin.snapshot();
    assert_eq!(snapshot.frames_in, 1000);
    // The last one is counted by the thread that sent it, maybe after it was read.
    assert!((1001..=1002).contains(&snapshot.frames_out), "{snapshot:?}");
    sample.end();
}

pub(crate) fn a_pipelined_chat_loses_nothing(language: &'static str) {
    const MESSAGES: usize = 1000;
    let Some(sample) = Sample::load_small(language) else { return };
    let mut chat = open(&sample, "chat");
    let sender = chat.sender();
    let sending = thread::spawn(move || {
        for at in 0..MESSAGES {
            wait(sender.send(format!("message {at}").as_bytes())).unwrap();
        }
    });
    assert_eq!(next(&mut chat), "welcome");
    // Nothing is read until the queue has been full: backpressure really happens.
    while sample.plugin.snapshot().refused_answers.backpressure == 0 {
        assert!(!sending.is_finished(), "the sender gave up");
        thread::yield_now();
    }
    for at in 0..MESSAGES {
        assert_eq!(next(&mut chat), format!("echo: message {at}"));
    }
    sending.join().unwrap();
    farewell(&mut chat, MESSAGES);
    drop(chat);
    sample.end();
}

pub(crate) fn many_chats_at_once(language: &'static str) {
    const CHATS: usize = 50;
    let Some(sample) = Sample::load_small(language) else { return };
    let mut chats: Vec<Stream> = (0..CHATS).map(|_| open(&sample, "chat")).collect();
    assert_eq!(sample.plugin.snapshot().streams, CHATS as u64);
    thread::scope(|scope| {
        for chats in chats.chunks_mut(CHATS / 2) {
            scope.spawn(move || {
                for chat in chats.iter_mut() {
                    assert_eq!(next(chat), "welcome");
                }
                for round in 0..10 {
                    for (at, chat) in chats.iter_mut().enumerate() {
                        wait(chat.send(format!("{round} of {at}").as_bytes())).unwrap();
                    }
                    for (at, chat) in chats.iter_mut().enumerate() {
                        assert_eq!(next(chat), format!("echo: {round} of {at}"));
                    }
                }
                for chat in chats {
                    farewell(chat, 10);
                }
            });
        }
    });
    drop(chats);
    sample.end();
}

pub(crate) fn a_chat_that_is_dropped_is_forgotten(language: &'static str) {
    let Some(sample) = Sample::load_small(language) else { return };
    for _ in 0..20 {
        let mut chat = open(&sample, "chat");
        let sender = chat.sender();
        assert_eq!(next(&mut chat), "welcome");
        drop(chat);
        assert_eq!(wait(sender.send(b"anyone?")), Err(SendError::Closed));
    }
    let quick = sample.plugin.stream("chat", Request::default()).timeout(Duration::from_millis(1));
    match wait(quick) {
        // The welcome may have come before the deadline; nothing comes after it.
        Ok(mut chat) => while let Ok(Some(_)) = wait(chat.next()) {},
        // It was over before the chat was open.
        Err(error) => assert!(matches!(error, CallError::DeadlineExceeded), "{error}"),
    }
    sample.end();
}
