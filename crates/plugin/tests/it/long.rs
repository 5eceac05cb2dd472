// SPDX-License-Identifier: BSD-3-Clause
//! Answers and frames that are longer than the host takes: each call ends all the same, and each
//! handler that still runs gets the error.

use std::sync::Arc;

use becket_plugin::testing::{FakeHost, Limits, Violation};
use becket_plugin::{
    Answered, Call, Context, Entry, Failure, Host, NrStatus, OwnedCall, Plugin, Reply, Responder,
    SendError, Session, SessionError, SessionStream, Sink, WaitError, define_plugin,
};

/// What the host takes, and something longer.
const LIMIT: u64 = 8;
const LONG: &[u8] = b"nine byte";

struct Wordy(Host);

impl Plugin for Wordy {
    const NAME: &'static str = "wordy";
    const VERSION: &'static str = "1";
    const ENTRIES: &'static [Entry<Self>] = &[
        Entry::unary("copied", "", |_, call| Ok(call.answer(LONG))),
        Entry::unary("status", "", |_, call| Ok(call.answer_status(NrStatus(77), LONG))),
        Entry::unary("owned", "", |_, call| Ok(call.answer_owned(LONG.to_vec()))),
        Entry::unary("failure", "", |_, _| Err(Failure::failed("too many words"))),
        Entry::unary("late", "", |_, call| late(call, |later| later.answer(LONG))),
        Entry::unary("late-owned", "", |_, call| late(call, |later| later.answer_owned(LONG))),
        // The SDK's own words are longer than this host takes.
        Entry::unary("late-dropped", "", |_, call| {
            let (_dropped, answered) = call.later();
            Ok(answered)
        }),
        Entry::coroutine("waits", "", |_, call| Ok(call.answer(LONG))),
        Entry::future("future", "", |_, _| async { Ok(Reply::from(LONG)) }),
        Entry::future("future-failure", "", |_, _| async {
            Err(Failure::failed("too many words"))
        }),
        Entry::future("future-panic", "", Self::panics),
        Entry::stream("frames", "", Self::frames),
        Entry::stream("stream-failure", "", |_, _, _sink| Err(Failure::failed("too many words"))),
        Entry::stream("stream-fails", "", |_, _, sink| {
            sink.fail(&Failure::failed("too many words"));
            Ok(())
        }),
        Entry::stream("last", "", |_, _, sink| {
            assert_eq!(sink.finish_with(LONG), Err(SendError::TooLong));
            Ok(())
        }),
        Entry::stream_future("async-frames", "", |_, _, sink| async move {
            assert_eq!(sink.send_async(LONG).await, Err(SendError::TooLong));
            Ok(sink.finish_with(b"fits")?)
        }),
        Entry::bidirectional("talk", "", |plugin: &Self, _, sink| Ok(Talk(sink, plugin.0))),
        Entry::session("session", "", Self::session),
    ];

    fn start(host: Host) -> Result<Self, Failure> {
        Ok(Self(host))
    }
}

/// Answers from a thread, where the SDK says what became of it.
fn late(
    call: Call<'_>,
    answer: fn(Responder) -> Result<(), SendError>,
) -> Result<Answered, Failure> {
    let (later, answered) = call.later();
    let late = std::thread::spawn(move || answer(later)).join();
    assert_eq!(late.unwrap(), Err(SendError::TooLong));
    Ok(answered)
}

impl Wordy {
    async fn panics(self: Arc<Self>, _: OwnedCall) -> Result<Reply, Failure> {
        panic!("in a future")
    }

    /// A frame that is too long is not the end of the stream.
    fn frames(&self, _: Context<'_>, sink: Sink) -> Result<(), Failure> {
        assert_eq!(sink.send(LONG), Err(SendError::TooLong));
        let (refused, bytes) = sink.send_owned(LONG).unwrap_err();
        assert_eq!((refused, &*bytes), (SendError::TooLong, &b""[..]));
        assert!(!sink.is_ended());
        sink.send(b"fits")?;
        Ok(sink.finish_with(b"end")?)
    }

    fn session(&self, _: Context<'_>, session: &mut SessionStream) -> Result<(), Failure> {
        assert_eq!(session.send(LONG), Err(WaitError::TooLong));
        let channel = self.0.channel(1)?;
        assert_eq!(channel.send(LONG), Err(WaitError::TooLong));
        session.send(b"fits")?;
        assert_eq!(session.finish_with(LONG), Err(WaitError::TooLong));
        assert_eq!(session.finish_with(b""), Err(WaitError::Cancelled));
        Ok(())
    }
}

struct Talk(Sink, Host);

impl Session for Talk {
    fn on_data(&mut self, data: &[u8]) -> Result<(), SessionError> {
        Ok(self.0.send(&[data, data].concat())?)
    }

    fn on_close(self: Box<Self>) {}

    fn on_cancel(self: Box<Self>) {
        self.1.counter("cancelled", "").add(1);
    }
}

mod linked {
    use super::*;
    define_plugin! { plugin: Wordy, export: cfg(any()) }
}

fn host(payload_bytes_max: u64) -> FakeHost {
    let limits = Limits { payload_bytes_max, ..Limits::DEFAULT };
    FakeHost::builder().of::<Wordy>().limits(limits).build().unwrap()
}

/// The host has refused so many payloads, and nothing else; nothing is left.
fn finish(host: FakeHost, refused: usize) {
    let report = host.finish();
    let bad = |violation: &Violation| matches!(violation, Violation::BadPayload { .. });
    assert!(report.violations.iter().all(bad), "{report:?}");
    assert_eq!(report.violations.len(), refused, "{report:?}");
    assert_eq!((&report.unanswered[..], report.leases_left), (&[][..], 0));
}

#[test]
fn an_answer_that_is_too_long_ends_its_call() {
    for entry in [
        "copied",
        "status",
        "owned",
        "failure",
        "late",
        "late-owned",
        "late-dropped",
        "waits",
        "future",
        "future-failure",
        "future-panic",
    ] {
        let host = host(LIMIT);
        let answer = host.call(entry, b"");
        assert_eq!((answer.status, answer.text()), (NrStatus::TooLong, ""), "{entry}");
        assert!(!answer.refused, "{entry}");
        finish(host, 1);
    }
}

#[test]
fn a_frame_that_is_too_long_is_told_to_the_handler_and_the_stream_goes_on() {
    let host = host(LIMIT);
    let frames = host.stream("frames", b"");
    assert_eq!(frames.collect(), [b"fits".to_vec(), b"end".to_vec()]);
    assert_eq!(frames.ended(), Some(NrStatus::StreamEnd));
    let frames = host.stream("async-frames", b"");
    assert_eq!(frames.collect(), [b"fits".to_vec()]);
    finish(host, 3);
}

#[test]
fn a_last_frame_that_is_too_long_ends_its_stream() {
    for entry in ["last", "stream-fails", "stream-failure"] {
        let host = host(LIMIT);
        let stream = host.stream(entry, b"");
        assert!(stream.collect().is_empty(), "{entry}");
        assert_eq!(stream.ended(), Some(NrStatus::TooLong), "{entry}");
        finish(host, 1);
    }
    let host = host(LIMIT);
    let stream = host.stream("session", b"");
    assert_eq!(stream.collect(), [b"fits".to_vec()]);
    assert_eq!(stream.ended(), Some(NrStatus::TooLong));
    finish(host, 2);
}

#[test]
fn a_conversation_that_answers_too_long_ends_with_the_reason() {
    let host = host(64);
    let talk = host.stream("talk", b"");
    assert_eq!(talk.send(b"ab"), NrStatus::Ok);
    assert_eq!(talk.send(&[b'x'; 33]), NrStatus::Ok);
    assert_eq!(
        talk.collect(),
        [b"abab".to_vec(), b"a frame is longer than the host takes".to_vec()]
    );
    assert_eq!(talk.ended(), Some(NrStatus::TooLong));
    assert_eq!(host.metric("cancelled"), None, "somebody reads");
    finish(host, 1);
    // Where the reason is too long as well, the status alone gets through.
    let host = self::host(LIMIT);
    let talk = host.stream("talk", b"");
    assert_eq!(talk.send(b"five!"), NrStatus::Ok);
    assert!(talk.collect().is_empty());
    assert_eq!(talk.ended(), Some(NrStatus::TooLong));
    finish(host, 2);
}
