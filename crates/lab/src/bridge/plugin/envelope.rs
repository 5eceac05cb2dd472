// SPDX-License-Identifier: BSD-3-Clause
//! What stands around an answer, learned from one that is known.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use becket_host::{CallError, Frame, NrStatus, Plugin, Request, SendError, Stream, StreamError};
use futures_lite::future::block_on;

use crate::bridge::Failure;

/// What is sent to learn from: nothing that an entry says by itself.
const PROBE: &[u8; 32] = b"\x00lab\xff 7c1f.probe.e0a94d62b85f3 \x00";
/// Frames before the first answer.
const GREETINGS_MAX: usize = 8;

/// What stands around an answer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Envelope {
    pub(super) is_stream: bool,
    /// Frames before the first answer.
    pub(super) greetings: usize,
    before: Vec<u8>,
    behind: Vec<u8>,
    /// The last frame has bytes that are no answer.
    pub(super) has_farewell: bool,
    /// The entry waits where its stream has no room.
    pub(super) waits_for_room: bool,
}

impl Envelope {
    /// An answer to this, if it is one, and what is around it.
    fn around(answer: &[u8]) -> Option<Self> {
        let at = answer.windows(PROBE.len()).position(|part| part == PROBE)?;
        let (before, rest) = answer.split_at(at);
        let behind = rest.get(PROBE.len()..).unwrap_or_default();
        Some(Self { before: before.into(), behind: behind.into(), ..Self::default() })
    }

    /// Learned from a call.
    pub(super) fn of_calls(
        plugin: &Plugin,
        entry: &str,
        patience: Duration,
    ) -> Result<Self, Failure> {
        let answer = call(plugin, entry, PROBE, patience)?;
        Self::around(&answer).ok_or_else(|| Failure::new("its answer has not the payload in it"))
    }

    /// Learned from a stream.
    pub(super) fn of_stream(
        plugin: &Plugin,
        entry: &str,
        patience: Duration,
    ) -> Result<Self, Failure> {
        let mut stream = open(plugin, entry, patience)?;
        let waits_for_room = stream.is_on_coroutine();
        block_on(stream.send(PROBE)).map_err(|error| Failure::new(error.to_string()))?;
        let mut envelope = None;
        for greetings in 0..=GREETINGS_MAX {
            let frame = next(&mut stream)?.ok_or_else(|| Failure::new("its stream ended"))?;
            envelope = Self::around(&frame.body).map(|it| Self { greetings, ..it });
            if envelope.is_some() {
                break;
            }
        }
        let envelope =
            envelope.ok_or_else(|| Failure::new("its frames have not the message in them"))?;
        stream.close().map_err(|error| Failure::new(error.to_string()))?;
        let mut has_farewell = false;
        while let Some(frame) = next(&mut stream)? {
            match frame.status {
                NrStatus::StreamEnd => has_farewell = true,
                _ => return Err(Failure::new("it sends frames after the last answer")),
            }
        }
        Ok(Self { is_stream: true, has_farewell, waits_for_room, ..envelope })
    }

    /// The answer without what stands around it, as far as that is there.
    pub(super) fn strip<'a>(&self, answer: &'a [u8]) -> &'a [u8] {
        answer
            .strip_prefix(self.before.as_slice())
            .and_then(|rest| rest.strip_suffix(self.behind.as_slice()))
            .unwrap_or(answer)
    }
}

pub(super) fn call(
    plugin: &Plugin,
    entry: &str,
    bytes: &[u8],
    patience: Duration,
) -> Result<Vec<u8>, Failure> {
    let request = Request::new(bytes.to_vec());
    let response = block_on(plugin.call(entry, request).timeout(patience)).map_err(|error| {
        Failure::new(match error {
            CallError::DeadlineExceeded => NO_ANSWER.to_owned(),
            other => other.to_string(),
        })
    })?;
    match response.status.is_ok() {
        true => Ok(response.body.to_vec()),
        false => Err(Failure::new(format!("it answered {}", response.status))),
    }
}

/// What a call that was not answered is said to have failed by.
pub(super) const NO_ANSWER: &str = "it did not answer";

pub(super) fn open(plugin: &Plugin, entry: &str, patience: Duration) -> Result<Stream, Failure> {
    let opened = plugin.stream(entry, Request::new(Vec::new())).idle(patience);
    block_on(opened).map_err(|error| Failure::new(error.to_string()))
}

/// The next frame; `None`: the end. The stream's idle limit ends the wait.
pub(super) fn next(stream: &mut Stream) -> Result<Option<Frame>, Failure> {
    block_on(stream.next()).map_err(failed)
}

/// Sends messages one after the other. As long as the plugin takes the next one nothing is read; when it
/// does not, one frame is, and given to `came`. So all queues between the plugin and this stream get as
/// full as they can.
pub(super) fn send_all<'a>(
    stream: &mut Stream,
    messages: impl Iterator<Item = &'a [u8]>,
    patience: Duration,
    mut came: impl FnMut(&Frame) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let waker = Waker::from(Arc::new(Parked(thread::current())));
    let cx = &mut Context::from_waker(&waker);
    let sender = stream.sender();
    for message in messages {
        let mut sending = pin!(sender.send(message));
        let until = Instant::now() + patience;
        loop {
            if let Poll::Ready(sent) = sending.as_mut().poll(cx) {
                sent.map_err(unsent)?;
                break;
            }
            match stream.poll_next(cx) {
                Poll::Ready(Ok(Some(frame))) if frame.status == NrStatus::Ok => came(&frame)?,
                Poll::Ready(Ok(_)) => return Err(Failure::new(ENDED)),
                Poll::Ready(Err(error)) => return Err(failed(error)),
                Poll::Pending => {
                    let left = until.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return Err(Failure::new(NO_ANSWER));
                    }
                    thread::park_timeout(left);
                }
            }
        }
    }
    Ok(())
}

fn unsent(error: SendError) -> Failure {
    Failure::new(match error {
        SendError::Closed => "the plugin's stream is over".to_owned(),
        other => other.to_string(),
    })
}

/// What a stream that ends before its time is said to have failed by.
pub(super) const ENDED: &str = "the plugin ended a stream that was open";

/// The next frame, if it comes within so long. One that comes later is not lost: the next wait has it.
pub(super) fn next_within(
    stream: &mut Stream,
    patience: Duration,
) -> Option<Result<Option<Frame>, Failure>> {
    let waker = Waker::from(Arc::new(Parked(thread::current())));
    let until = Instant::now() + patience;
    loop {
        if let Poll::Ready(next) = stream.poll_next(&mut Context::from_waker(&waker)) {
            return Some(next.map_err(failed));
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return None;
        }
        thread::park_timeout(left);
    }
}

/// A thread that waits.
struct Parked(Thread);

impl Wake for Parked {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn failed(error: StreamError) -> Failure {
    Failure::new(match error {
        StreamError::Idle | StreamError::DeadlineExceeded => NO_ANSWER.to_owned(),
        StreamError::Failed { status, .. } => format!("its stream ended with {status}"),
        other => other.to_string(),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn what_is_around_an_answer_is_learned_and_taken_off() {
        let learned = Envelope::around(&[b"echo: ", PROBE.as_slice(), b"."].concat()).unwrap();
        assert_eq!(learned.strip(b"echo: abc."), b"abc");
        assert_eq!(learned.strip(b"echo: ."), b"");
        // What is not as it was learned is left as it is.
        assert_eq!(learned.strip(b"ehco: abc."), b"ehco: abc.");
        assert_eq!(learned.strip(b"echo: abc"), b"echo: abc");
        assert_eq!(Envelope::around(PROBE).unwrap(), Envelope::default());
        assert_eq!(Envelope::around(b"something else"), None);
    }
}
