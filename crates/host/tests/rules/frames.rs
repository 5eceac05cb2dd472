// SPDX-License-Identifier: BSD-3-Clause
//! Frames arrive in order, once; queues are bounded both ways; the terminal always gets through.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use becket_abi::NrStatus;
use becket_host::{Dispatch, Host, Limits, PluginSpec, Request, SendError, Stream, StreamError};

use crate::support::{
    script::Script,
    unload_clean,
    wait::{Mailbox, Tally, poll_once, until, wait},
};
use crate::{FRAMES_BETWEEN, IS_INLINE};

fn small_queue(spec: PluginSpec) -> PluginSpec {
    spec.limits(Limits { stream_frames_max: 4, ..Limits::default() }).dispatch(Dispatch::Caller)
}

/// A plugin whose streams are driven by the test.
fn driven(ids: &Arc<Mailbox<u64>>) -> Script {
    let ids = ids.clone();
    Script::new(move |_, call| {
        ids.put(call.sid);
        NrStatus::Ok
    })
}

fn read_all(stream: &mut Stream) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    while let Some(frame) = wait(stream.next()).unwrap() {
        frames.push(frame.body.to_vec());
    }
    frames
}

#[test]
fn a_full_queue_takes_nothing_but_the_terminal() {
    let host = Host::new();
    let ids = Mailbox::new();
    let (plugin, api) = driven(&ids).load_with(&host, "driven", small_queue);
    let mut stream = wait(plugin.stream("x", Request::default())).unwrap();
    let sid = ids.take();
    assert_eq!(stream.sid() == sid, IS_INLINE, "another host has ids of its own");
    for at in 0..4 {
        assert_eq!(api.send(sid, NrStatus::Ok, &[at]), NrStatus::Ok);
    }
    let (mut between, mut refused) = (0_usize, 0);
    // One that was refused makes no room: but what is on the way may still arrive.
    until(|| {
        let status = api.send(sid, NrStatus::Ok, b"between");
        match status == NrStatus::Ok {
            true => (between, refused) = (between + 1, 0),
            false => refused += 1,
        }
        assert!(matches!(status, NrStatus::Ok | NrStatus::Backpressure), "{status}");
        refused == 3
    });
    assert!(between as u64 <= FRAMES_BETWEEN, "{between} more are held");
    assert_eq!(&*wait(stream.next()).unwrap().unwrap().body, [0]);
    // Elsewhere room for several frames is given back at once, when so many were received.
    let mut frames = Vec::new();
    until(|| {
        let is_taken = api.send(sid, NrStatus::Ok, &[4]) == NrStatus::Ok;
        if !is_taken && !IS_INLINE && frames.len() < between {
            frames.push(wait(stream.next()).unwrap().unwrap().body.to_vec());
        }
        is_taken
    });
    while api.send(sid, NrStatus::Ok, b"more") != NrStatus::Backpressure {}
    assert_eq!(api.send(sid, NrStatus::StreamEnd, b"end"), NrStatus::Ok);
    for status in [NrStatus::Ok, NrStatus::StreamEnd, NrStatus::Err] {
        assert_eq!(api.send(sid, status, b"after"), NrStatus::Invalid);
    }
    frames.extend(read_all(&mut stream));
    frames.retain(|frame| frame != b"between");
    assert_eq!(frames[..4], [[1], [2], [3], [4]]);
    assert!(frames[4..frames.len() - 1].iter().all(|frame| frame == b"more"));
    assert_eq!(frames.last().unwrap(), b"end");
    assert_eq!(api.send(sid, NrStatus::Ok, b"after"), NrStatus::Invalid);
    drop(stream);
    unload_clean(&host, &plugin);
    let refused = plugin.snapshot().refused_answers;
    assert!(refused.backpressure >= 4 && (!IS_INLINE || refused.backpressure == 4), "{refused:?}");
    assert_eq!(refused.late, 4);
}

#[test]
fn the_terminals_status_is_how_the_stream_ends() {
    let host = Host::new();
    let ids = Mailbox::new();
    let (plugin, api) = driven(&ids).load_with(&host, "driven", small_queue);
    for status in [NrStatus::Err, NrStatus::Backpressure, NrStatus(99)] {
        let mut stream = wait(plugin.stream("x", Request::default())).unwrap();
        let sid = ids.take();
        assert_eq!(api.send(sid, NrStatus::Ok, b"before"), NrStatus::Ok);
        assert_eq!(api.send(sid, status, b"why"), NrStatus::Ok);
        assert!(wait(stream.next()).unwrap().is_some(), "what came before the end comes out");
        let Err(StreamError::Failed { status: found, body }) = wait(stream.next()) else {
            panic!()
        };
        assert_eq!((found, &*body), (status, &b"why"[..]));
        assert!(wait(stream.next()).unwrap().is_none());
    }
    unload_clean(&host, &plugin);
}

#[test]
fn frames_sent_inside_handle_arrive_in_order_with_the_end() {
    for dispatch in [Dispatch::Caller, Dispatch::Worker] {
        let host = Host::new();
        let script = Script::new(|api, call| {
            for at in 0..64_u8 {
                assert_eq!(api.send(call.sid, NrStatus::Ok, &[at]), NrStatus::Ok);
            }
            assert_eq!(api.send(call.sid, NrStatus::StreamEnd, b""), NrStatus::Ok);
            assert_eq!(api.send(call.sid, NrStatus::Ok, b"more"), NrStatus::Invalid);
            NrStatus::Ok
        });
        let (plugin, _) = script.load_with(&host, "burst", |spec| spec.dispatch(dispatch));
        let mut stream = wait(plugin.stream("x", Request::default())).unwrap();
        let frames = read_all(&mut stream);
        assert_eq!(frames, (0..64).map(|at| vec![at]).collect::<Vec<_>>());
        drop(stream);
        unload_clean(&host, &plugin);
        let snapshot = plugin.snapshot();
        assert_eq!((snapshot.streams_opened, snapshot.streams_ended), (1, 1));
        assert_eq!((snapshot.frames_out, snapshot.refused_answers.late), (65, 1));
    }
}

#[test]
fn a_flood_from_eight_threads_arrives_whole_and_the_queue_stays_bounded() {
    const THREADS: u64 = 8;
    const FRAMES: u64 = 500;
    let host = Host::new();
    let ids = Mailbox::new();
    let (plugin, api) = driven(&ids).load_with(&host, "flood", small_queue);
    let mut stream = wait(plugin.stream("x", Request::default())).unwrap();
    let sid = ids.take();
    let taken = Arc::new(AtomicU64::new(0));
    let last = Tally::new();
    for thread in 0..THREADS {
        let (taken, last) = (taken.clone(), last.clone());
        thread::spawn(move || {
            for at in 0..FRAMES {
                let frame = [thread.to_le_bytes(), at.to_le_bytes()].concat();
                assert_eq!(api.send_wait(sid, NrStatus::Ok, &frame), NrStatus::Ok);
                taken.fetch_add(1, Ordering::SeqCst);
            }
            last.add();
            if last.get() == THREADS {
                api.send(sid, NrStatus::StreamEnd, b"");
            }
        });
    }
    let mut seen = [0; THREADS as usize];
    let mut read = 0;
    while let Some(frame) = wait(stream.next()).unwrap() {
        let (thread, at) = frame.body.split_at(8);
        let thread = u64::from_le_bytes(thread.try_into().unwrap()) as usize;
        assert_eq!(u64::from_le_bytes(at.try_into().unwrap()), seen[thread], "order of a thread");
        seen[thread] += 1;
        read += 1;
        let ahead = taken.load(Ordering::SeqCst).saturating_sub(read);
        // The receiver of each host takes a batch of as many as its queue holds.
        let batches = if IS_INLINE { 4 } else { 2 * 4 };
        assert!(ahead <= 4 + batches + FRAMES_BETWEEN, "{ahead} frames are held");
    }
    assert_eq!(seen, [FRAMES; THREADS as usize]);
    drop(stream);
    unload_clean(&host, &plugin);
}

#[test]
fn data_that_the_plugin_does_not_take_is_offered_again_until_it_does() {
    const MESSAGES: u64 = 300;
    let host = Host::new();
    let offered = AtomicU64::new(0);
    let ids = Mailbox::new();
    let got = Mailbox::new();
    let to_test = got.clone();
    let script = driven(&ids)
        .on_data(move |api, sid, data| {
            match offered.fetch_add(1, Ordering::SeqCst) % 3 {
                // Says at once that there is room, even before it has answered.
                0 => {
                    assert_eq!(api.stream_ready(sid), NrStatus::Ok);
                    NrStatus::Backpressure
                }
                // Says it later, from a timer.
                1 => {
                    let later = *api;
                    api.timer(0, move || {
                        later.stream_ready(sid);
                    });
                    NrStatus::Backpressure
                }
                _ => {
                    to_test.put(data.to_vec());
                    NrStatus::Ok
                }
            }
        })
        .on_close(|api, sid| api.send(sid, NrStatus::StreamEnd, b"bye"));
    let (plugin, _) = script.load_with(&host, "slow", small_queue);
    let mut stream = wait(plugin.stream("x", Request::default())).unwrap();
    if IS_INLINE {
        assert_eq!(stream.try_send(b"not taken"), Err(SendError::Backpressure));
    }
    for at in 0..MESSAGES {
        wait(stream.send(&at.to_le_bytes())).unwrap();
    }
    stream.close().unwrap();
    assert_eq!(*wait(stream.next()).unwrap().unwrap().body, *b"bye");
    assert_eq!(wait(stream.send(b"late")), Err(SendError::Closed));
    let wanted: Vec<_> = (0..MESSAGES).map(|at| at.to_le_bytes().to_vec()).collect();
    assert_eq!(got.take_all(), wanted, "each message once, in order");
    assert_eq!(plugin.snapshot().frames_in, MESSAGES);
    drop(stream);
    unload_clean(&host, &plugin);
}

/// Sends what is held on the way to a plugin that takes nothing.
fn fill(stream: &Stream) {
    let mut sent = 0;
    while !IS_INLINE && stream.try_send(b"between").is_ok() {
        sent += 1;
        assert!((0..=FRAMES_BETWEEN).contains(&sent), "{sent} frames are held");
    }
}

#[test]
fn a_sender_that_waits_is_freed_when_the_stream_ends() {
    let host = Host::new();
    let ids = Mailbox::new();
    let script = driven(&ids).on_data(|_, _, _| NrStatus::Backpressure);
    let (plugin, api) = script.load_with(&host, "silent", small_queue);
    let stream = wait(plugin.stream("x", Request::default())).unwrap();
    fill(&stream);
    let mut send = Box::pin(stream.send(b"data"));
    assert!(poll_once(&mut send).is_pending());
    assert_eq!(api.send(ids.take(), NrStatus::StreamEnd, b""), NrStatus::Ok);
    assert_eq!(wait(send), Err(SendError::Closed));
    drop(stream);

    let stream = wait(plugin.stream("x", Request::default())).unwrap();
    fill(&stream);
    let sender = stream.sender();
    let mut send = Box::pin(sender.send(b"data"));
    assert!(poll_once(&mut send).is_pending());
    drop(stream);
    assert_eq!(wait(send), Err(SendError::Closed));
    drop(sender);
    unload_clean(&host, &plugin);
}

#[test]
fn dropping_the_receiver_tells_the_plugin_once() {
    let host = Host::new();
    let ids = Mailbox::new();
    let notified = Mailbox::new();
    let to_test = notified.clone();
    let script = driven(&ids).on_cancel(move |_, sid| {
        to_test.put(sid);
        NrStatus::Ok
    });
    let (plugin, api) = script.load_with(&host, "notified", small_queue);
    let stream = wait(plugin.stream("x", Request::default())).unwrap();
    let sid = ids.take();
    let sender = stream.sender();
    assert!(!api.is_cancelled(sid));
    drop(stream);
    assert_eq!(notified.take(), sid);
    assert!(api.is_cancelled(sid));
    assert_eq!(api.send(sid, NrStatus::Ok, b"x"), NrStatus::Invalid);
    assert_eq!(api.send(sid, NrStatus::StreamEnd, b"x"), NrStatus::Invalid);
    assert_eq!(wait(sender.send(b"x")), Err(SendError::Closed));
    assert_eq!(plugin.snapshot().streams, 0, "a sender does not keep it");
    drop(sender);
    // One that the plugin ended itself needs no telling.
    let mut stream = wait(plugin.stream("x", Request::default())).unwrap();
    api.send(ids.take(), NrStatus::StreamEnd, b"");
    assert!(wait(stream.next()).unwrap().is_none());
    drop(stream);
    unload_clean(&host, &plugin);
    assert!(notified.take_all().is_empty());
}

#[test]
fn a_plugin_without_stream_functions_takes_no_data() {
    let host = Host::new();
    let ids = Mailbox::new();
    let (plugin, _) = driven(&ids).load_with(&host, "deaf", small_queue);
    let stream = wait(plugin.stream("x", Request::default())).unwrap();
    assert_eq!(wait(stream.send(b"x")), Err(SendError::Unsupported));
    assert_eq!(stream.close().is_err(), IS_INLINE, "the process takes it, and not the plugin");
    drop(stream);
    unload_clean(&host, &plugin);
}
