// SPDX-License-Identifier: BSD-3-Clause
//! Answers and frames that are longer than the host takes. Each call ends at once, with `TooLong`:
//! one that is waited for until its deadline, or until a stream's idle limit, fails the test.

use becket_abi::NrStatus;
use becket_host::{CallError, Limits, Request, Response, Stream, StreamError};

use crate::{IS_INLINE, Sample, support::wait::wait};

/// A sample whose host takes so many bytes.
fn load(language: &'static str, payload_bytes_max: u64) -> Option<Sample> {
    let limits = Limits { payload_bytes_max, ..Limits::default() };
    Sample::load(language, |spec| spec.limits(limits))
}

/// The status that the caller got: with an answer without bytes, or with a refusal.
fn status(result: Result<Response, CallError>) -> NrStatus {
    match result {
        Ok(response) => {
            assert!(response.body.is_empty(), "{response:?}");
            response.status
        }
        Err(CallError::Refused { status }) => status,
        Err(error) => panic!("{error}"),
    }
}

/// The frames until the end, and how it ended.
fn rest(stream: &mut Stream) -> (Vec<String>, NrStatus) {
    let mut frames = Vec::new();
    loop {
        match wait(stream.next()) {
            Ok(Some(frame)) => frames.push(String::from_utf8(frame.body.to_vec()).unwrap()),
            Ok(None) => return (frames, NrStatus::StreamEnd),
            Err(StreamError::Failed { status, body }) => {
                assert!(body.is_empty(), "{body:?}");
                return (frames, status);
            }
            Err(error) => panic!("{error}, after {frames:?}"),
        }
    }
}

pub(crate) fn an_answer_too_long_ends_its_call(language: &'static str) {
    let Some(sample) = load(language, 8) else { return };
    let plugin = &sample.plugin;
    for (entry, payload) in [("unary", ""), ("slow", "0"), ("fail", "99"), ("state", "just fit")] {
        let result = wait(plugin.call_raw(entry, payload.as_bytes()));
        assert_eq!(status(result), NrStatus::TooLong, "{entry}");
    }
    assert_eq!(status(wait(plugin.call("unary", Request::default()))), NrStatus::TooLong);
    if IS_INLINE {
        assert_eq!(status(plugin.call_now("unary", b"")), NrStatus::TooLong);
    }
    assert_eq!(*wait(plugin.call_raw("state", b"it=fits!")).unwrap().body, *b"it=fits!");
    assert_eq!(plugin.snapshot().refused_answers.late, 0, "it ended a call twice");
    sample.end();
}

pub(crate) fn a_frame_too_long_ends_its_stream(language: &'static str) {
    let Some(sample) = load(language, 11) else { return };
    let open = |entry| wait(sample.plugin.stream(entry, Request::default()));
    match open("stream") {
        Ok(mut five) => assert_eq!(rest(&mut five), (Vec::new(), NrStatus::TooLong)),
        // Its handler said so before it returned.
        Err(CallError::Refused { status }) => assert_eq!(status, NrStatus::TooLong),
        Err(error) => panic!("{error}"),
    }
    let heard = || (vec!["welcome".to_owned(), "echo: short".to_owned()], NrStatus::TooLong);
    let mut chat = open("chat").unwrap();
    wait(chat.send(b"short")).unwrap();
    wait(chat.send(b"longer")).unwrap();
    assert_eq!(rest(&mut chat), heard());
    let mut chat = open("chat").unwrap();
    wait(chat.send(b"short")).unwrap();
    chat.close().unwrap();
    assert_eq!(rest(&mut chat), heard(), "its farewell is too long");
    drop(chat);
    sample.end();
}
