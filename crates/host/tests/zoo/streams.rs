// SPDX-License-Identifier: BSD-3-Clause
//! Frames after the end, from many threads, without end; and streams that take nothing.

use std::time::Duration;

use becket_abi::NrStatus;
use becket_host::{Dispatch, Limits, Request, SendError, Stream, StreamError};

use crate::{
    BOTH, Specimen,
    support::wait::{poll_once, wait},
};

fn open(specimen: &Specimen) -> Stream {
    wait(specimen.plugin.stream("hit", Request::default())).unwrap()
}

/// All frames, and how the stream ended.
fn read(stream: &mut Stream) -> (Vec<String>, Option<StreamError>) {
    let mut frames = Vec::new();
    loop {
        match wait(stream.next()) {
            Ok(Some(frame)) => frames.push(String::from_utf8_lossy(&frame.body).into_owned()),
            Ok(None) => return (frames, None),
            Err(error) => return (frames, Some(error)),
        }
    }
}

pub(crate) fn answers_after_end(name: &str) {
    for dispatch in BOTH {
        let specimen = Specimen::load(name, dispatch);
        let mut stream = open(&specimen);
        assert!(matches!(read(&mut stream), (frames, None) if frames == ["frame"]));
        specimen.is_well();
        if dispatch == Dispatch::Caller {
            assert_eq!(specimen.refused(), 1);
        }
        assert!(matches!(read(&mut stream), (frames, None) if frames.is_empty()));
        drop(stream);
        specimen.end();
    }
}

pub(crate) fn frames_after_terminal(name: &str) {
    for dispatch in BOTH {
        let specimen = Specimen::load(name, dispatch);
        let mut stream = open(&specimen);
        assert!(matches!(read(&mut stream), (frames, None) if frames == ["frame"]));
        drop(stream);
        let plugin = specimen.plugin.clone();
        specimen.end();
        assert_eq!(plugin.snapshot().refused_answers.late, 4);
    }
}

pub(crate) fn frames_64_in_handle(name: &str) {
    for dispatch in BOTH {
        let specimen = Specimen::load(name, dispatch);
        let mut stream = open(&specimen);
        let (frames, None) = read(&mut stream) else { panic!() };
        assert_eq!(frames, (0..64).map(|at| at.to_string()).collect::<Vec<_>>());
        drop(stream);
        specimen.end();
    }
}

pub(crate) fn frames_from_8_threads(name: &str) {
    for stream_frames_max in [1024, 4] {
        let limits = Limits { stream_frames_max, ..Limits::default() };
        let specimen = Specimen::load_limited(name, limits);
        let mut stream = open(&specimen);
        let (frames, None) = read(&mut stream) else { panic!() };
        assert_eq!(frames.len(), 8 * 128);
        let mut seen = [0; 8];
        for frame in frames {
            let (thread, at) = frame.split_once(' ').unwrap();
            let thread: usize = thread.parse().unwrap();
            assert_eq!(at.parse::<u32>().unwrap(), seen[thread], "order of thread {thread}");
            seen[thread] += 1;
        }
        drop(stream);
        specimen.end();
    }
}

pub(crate) fn flood_of_frames(name: &str) {
    let specimen = Specimen::load(name, Dispatch::Caller);
    let mut stream = open(&specimen);
    let (frames, None) = read(&mut stream) else { panic!("the end was lost") };
    assert_eq!(frames.len(), 1024, "what the queue holds");
    let refused = specimen.plugin.snapshot().refused_answers;
    assert_eq!(refused.backpressure, 1_000_000 - 1024);
    drop(stream);
    specimen.end();
}

pub(crate) fn flood_through_send_result(name: &str) {
    let specimen = Specimen::load(name, Dispatch::Caller);
    let mut stream = open(&specimen);
    let (frames, Some(StreamError::Failed { status, .. })) = read(&mut stream) else { panic!() };
    assert_eq!((frames.len(), status), (1024, NrStatus::Backpressure));
    let refused = specimen.plugin.snapshot().refused_answers;
    assert_eq!((refused.backpressure, refused.late), (1, 1_000_000 - 1024));
    drop(stream);
    specimen.end();
}

pub(crate) fn never_takes_frames(name: &str) {
    let specimen = Specimen::load(name, Dispatch::Caller);
    let mut stream = open(&specimen);
    assert_eq!(*wait(stream.next()).unwrap().unwrap().body, *b"open");
    for _ in 0..1000 {
        assert_eq!(stream.try_send(b"data"), Err(SendError::Backpressure));
    }
    let sender = stream.sender();
    let mut waits = Box::pin(sender.send(b"data"));
    assert!(poll_once(&mut waits).is_pending());
    stream.close().unwrap();
    assert_eq!(wait(waits), Err(SendError::Closed));
    assert_eq!(*wait(stream.next()).unwrap().unwrap().body, *b"closed");
    drop((stream, sender));

    let stream = open(&specimen);
    let sender = stream.sender();
    let mut waits = Box::pin(sender.send(b"data"));
    assert!(poll_once(&mut waits).is_pending());
    drop(stream);
    assert_eq!(wait(waits), Err(SendError::Closed));
    drop(sender);
    specimen.end();
}

/// The host cannot know that the contents are out of order: it hands them over as they came.
pub(crate) fn stream_order(name: &str) {
    for dispatch in BOTH {
        let specimen = Specimen::load(name, dispatch);
        let mut stream = open(&specimen);
        // 73 bytes come back in order, 74 do not.
        for (first, rest) in [("A", 9), ("B", 10)] {
            let message = format!("{first}{}{}", "1".repeat(63), "2".repeat(rest));
            wait(stream.send(message.as_bytes())).unwrap();
        }
        stream.close().unwrap();
        let (frames, None) = read(&mut stream) else { panic!() };
        let firsts: Vec<_> = frames.iter().filter_map(|frame| frame.chars().next()).collect();
        assert_eq!(firsts, ['A', '2', '2', 'B']);
        drop(stream);
        specimen.end();
    }
}

pub(crate) fn stream_never_ends(name: &str) {
    let specimen = Specimen::load(name, Dispatch::Caller);
    let mut stream = open(&specimen);
    assert_eq!(*wait(stream.next()).unwrap().unwrap().body, *b"frame");
    assert!(poll_once(&mut Box::pin(stream.next())).is_pending());
    drop(stream);
    let opening = specimen.plugin.stream("hit", Request::default());
    let mut stream = wait(opening.timeout(Duration::from_millis(20))).unwrap();
    let (frames, Some(StreamError::DeadlineExceeded)) = read(&mut stream) else { panic!() };
    assert!(frames.len() <= 1, "{frames:?}");
    drop(stream);
    specimen.end();
}

/// The host cannot know that a byte is missing.
pub(crate) fn loses_bytes(name: &str) {
    for dispatch in BOTH {
        let specimen = Specimen::load(name, dispatch);
        let mut stream = open(&specimen);
        for length in [40, 41] {
            wait(stream.send(&vec![b'x'; length])).unwrap();
        }
        stream.close().unwrap();
        let (frames, None) = read(&mut stream) else { panic!() };
        assert_eq!(frames.iter().map(String::len).collect::<Vec<_>>(), [40, 40]);
        drop(stream);
        specimen.end();
    }
}
