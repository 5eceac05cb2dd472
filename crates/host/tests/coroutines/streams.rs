// SPDX-License-Identifier: BSD-3-Clause
//! A session in a loop: frames both ways, with backpressure, until one side ends.

use std::{
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use becket_abi::NrStatus;
use becket_host::{CallError, Limits, Request, SendError, Stream, StreamError};
use parking_lot::Mutex;

use crate::{
    FRAMES_BETWEEN, Waits,
    support::{logs, wait::wait},
};

#[test]
fn a_chat_answers_until_it_is_closed() {
    let waits = Waits::load("chat");
    let mut stream = wait(waits.plugin.stream("chat", Request::default())).unwrap();
    for at in 0..1000 {
        let message = format!("message {at}");
        wait(stream.send(message.as_bytes())).unwrap();
        let frame = wait(stream.next()).unwrap().unwrap();
        assert_eq!(*frame.body, *message.as_bytes());
    }
    stream.close().unwrap();
    let last = wait(stream.next()).unwrap().unwrap();
    assert_eq!((last.status, &*last.body), (NrStatus::StreamEnd, &b"bye"[..]));
    assert_eq!(wait(stream.next()).unwrap().map(|frame| frame.status), None);
    assert_eq!(wait(stream.send(b"late")), Err(SendError::Closed));
    drop(stream);
    assert_eq!(logs::count(&["stream_data was called", "plugin=chat "]), 0);
    waits.end();
}

#[test]
fn what_is_sent_ahead_waits_and_nothing_is_lost() {
    const MESSAGES: u32 = 2000;
    let limits = Limits { stream_frames_max: 4, ..Limits::default() };
    let waits = Waits::load_with("ahead", limits);
    let mut stream = wait(waits.plugin.stream("chat", Request::default())).unwrap();
    let sender = stream.sender();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for at in 0..MESSAGES {
                wait(sender.send(&at.to_le_bytes())).unwrap();
            }
            sender.close().unwrap();
        });
        for at in 0..MESSAGES {
            assert_eq!(*wait(stream.next()).unwrap().unwrap().body, at.to_le_bytes());
        }
        assert_eq!(*wait(stream.next()).unwrap().unwrap().body, *b"bye");
    });
    drop(stream);
    waits.end();
}

#[test]
fn a_full_queue_says_so_where_nothing_may_wait() {
    let limits = Limits { stream_frames_max: 4, ..Limits::default() };
    let waits = Waits::load_with("full", limits);
    let mut stream = wait(waits.plugin.stream("chat", Request::default())).unwrap();
    // Nothing is read: four frames out, one that waits for room, four in.
    let taken = (0..1000).take_while(|_| stream.try_send(b"x").is_ok()).count() as u64;
    assert!((4..=9 + 2 * FRAMES_BETWEEN).contains(&taken), "{taken}");
    while stream.try_send(b"x").is_ok() {}
    assert_eq!(stream.try_send(b"x"), Err(SendError::Backpressure));
    assert_eq!(*wait(stream.next()).unwrap().unwrap().body, *b"x");
    wait(stream.send(b"y")).unwrap();
    drop(stream);
    logs::reach(1, &["plugin=full ", "chat "]);
    waits.end();
}

#[test]
fn a_send_without_patience_times_out_at_the_bound() {
    let limits = Limits { stream_frames_max: 7, ..Limits::default() };
    let waits = Waits::load_with("flood", limits);
    let mut stream = wait(waits.plugin.stream("flood", Request::default())).unwrap();
    let mut frames = 0;
    let last = loop {
        let frame = wait(stream.next()).unwrap().unwrap();
        if frame.status == NrStatus::StreamEnd {
            break String::from_utf8(frame.body.to_vec()).unwrap();
        }
        frames += 1;
    };
    assert_eq!(last, frames.to_string());
    drop(stream);
    waits.end();
}

#[test]
fn a_receive_gives_up_in_time() {
    let waits = Waits::load("recv");
    for patience in ["0", "1000000"] {
        let request = Request::new(patience);
        let mut stream = wait(waits.plugin.stream("recv", request)).unwrap();
        let frame = wait(stream.next()).unwrap().unwrap();
        assert_eq!(*frame.body, *NrStatus::Timeout.0.to_string().as_bytes());
        assert!(wait(stream.next()).unwrap().is_none());
    }
    waits.end();
}

#[test]
fn a_receiver_that_leaves_ends_the_chat() {
    let waits = Waits::load("left");
    let stream = wait(waits.plugin.stream("chat", Request::default())).unwrap();
    drop(stream);
    logs::reach(1, &["chat ended with 8", "plugin=left "]);
    waits.end();
}

/// An open stream that has a deadline. One that passes before the handler has begun refuses the opening.
fn with_deadline(waits: &Waits, entry: &str) -> Stream {
    let mut opened = (5..).filter_map(|doublings| {
        let patience = Duration::from_millis(1 << doublings);
        wait(waits.plugin.stream(entry, Request::default()).timeout(patience)).ok()
    });
    opened.next().unwrap()
}

#[test]
fn a_deadline_ends_the_chat() {
    let waits = Waits::load("late");
    let mut stream = with_deadline(&waits, "chat");
    let ended = wait(stream.next());
    assert!(matches!(ended, Err(StreamError::DeadlineExceeded)), "{ended:?}");
    logs::reach(1, &["chat ended with 8", "plugin=late "]);
    drop(stream);
    waits.end();
}

/// Drops a stream as soon as its next frame, or its end, is there: on the thread that wakes it.
struct Leaves(Mutex<Option<Stream>>);

impl Wake for Leaves {
    fn wake(self: Arc<Self>) {
        drop(self.0.lock().take());
    }
}

#[test]
fn a_deadline_cancels_a_wait_also_if_the_receiver_leaves_at_that_moment() {
    let waits = Waits::load("late_and_left");
    let leaves = Arc::new(Leaves(Mutex::new(Some(with_deadline(&waits, "wait")))));
    let waker = Waker::from(leaves.clone());
    let ended = {
        let mut stream = leaves.0.lock();
        stream.as_mut().unwrap().poll_next(&mut Context::from_waker(&waker))
    };
    // One that had ended already wakes nothing.
    assert!(matches!(ended, Poll::Pending | Poll::Ready(Err(StreamError::DeadlineExceeded))));
    logs::reach(1, &["waited: 8", "plugin=late_and_left "]);
    drop((waker, leaves));
    waits.end();
}

#[test]
fn a_refusal_refuses_the_opening_and_later_the_stream() {
    let waits = Waits::load("refuses_then_ends");
    let refused = wait(waits.plugin.stream("refuse", Request::default())).map(drop);
    assert!(
        matches!(refused, Err(CallError::Refused { status: NrStatus::Invalid })),
        "{refused:?}"
    );
    let mut stream = wait(waits.plugin.stream("late", Request::default())).unwrap();
    let ended = wait(stream.next());
    assert!(
        matches!(ended, Err(StreamError::Failed { status: NrStatus::Invalid, .. })),
        "{ended:?}"
    );
    drop(stream);
    waits.end();
}
