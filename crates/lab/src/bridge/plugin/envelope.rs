// SPDX-License-Identifier: BSD-3-Clause
//! What surrounds an answer, learned from the answer to a known message.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker, ready};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use becket_host::{CallError, Frame, NrStatus, Plugin, Request, SendError, Stream, StreamError};
use futures_lite::future::block_on;

use crate::bridge::Failure;

/// The known message: a text that no entry produces by itself.
const PROBE: &[u8; 32] = b"\x00lab\xff 7c1f.probe.e0a94d62b85f3 \x00";
/// Maximum number of frames before the first answer.
const GREETINGS_MAX: usize = 8;

/// What surrounds an answer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Envelope {
    pub(super) is_stream: bool,
    /// Frames before the first answer.
    pub(super) greetings: usize,
    before: Vec<u8>,
    behind: Vec<u8>,
    /// The last frame contains bytes that are not an answer.
    pub(super) has_farewell: bool,
    /// The entry waits when its stream has no room.
    pub(super) waits_for_room: bool,
}

impl Envelope {
    /// What surrounds the known message in this answer; `None`: it is not in it.
    fn around(answer: &[u8]) -> Option<Self> {
        let at = answer.windows(PROBE.len()).position(|part| part == PROBE)?;
        let (before, rest) = answer.split_at(at);
        let behind = rest.get(PROBE.len()..).unwrap_or_default();
        Some(Self { before: before.into(), behind: behind.into(), ..Self::default() })
    }

    /// Learned from calls.
    pub(super) fn of_calls(
        plugin: &Plugin,
        entry: &str,
        idle_timeout: Duration,
    ) -> Result<Self, Failure> {
        let answer = call(plugin, entry, PROBE, idle_timeout)?;
        Self::around(&answer).ok_or_else(|| Failure::new("its answer has not the payload in it"))
    }

    /// Learned from a stream.
    pub(super) fn of_stream(
        plugin: &Plugin,
        entry: &str,
        idle_timeout: Duration,
    ) -> Result<Self, Failure> {
        let mut stream = open(plugin, entry, idle_timeout)?;
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

    /// The answer without its surroundings, as far as they are there.
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
    idle_timeout: Duration,
) -> Result<Vec<u8>, Failure> {
    let request = Request::new(bytes.to_vec());
    let response =
        block_on(plugin.call(entry, request).timeout(idle_timeout)).map_err(|error| {
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

/// The failure of a call without an answer.
pub(super) const NO_ANSWER: &str = "it did not answer";

pub(super) fn open(
    plugin: &Plugin,
    entry: &str,
    idle_timeout: Duration,
) -> Result<Stream, Failure> {
    let opened = plugin.stream(entry, Request::new(Vec::new())).idle(idle_timeout);
    block_on(opened).map_err(|error| Failure::new(error.to_string()))
}

/// The next frame; `None`: the end. The stream's idle timeout ends the wait.
pub(super) fn next(stream: &mut Stream) -> Result<Option<Frame>, Failure> {
    block_on(stream.next()).map_err(failed)
}

/// Sends messages one after another. While the plugin takes messages nothing is read; when it does
/// not, one frame is read and passed to `came`. So all queues between the plugin and this stream
/// get as full as possible.
pub(super) fn send_all<'a>(
    stream: &mut Stream,
    messages: impl Iterator<Item = &'a [u8]>,
    idle_timeout: Duration,
    mut came: impl FnMut(&Frame) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let sender = stream.sender();
    for message in messages {
        let mut sending = pin!(sender.send(message));
        let sent = within(idle_timeout, |cx| {
            loop {
                if let Poll::Ready(sent) = sending.as_mut().poll(cx) {
                    return Poll::Ready(sent.map_err(unsent));
                }
                let came = match ready!(stream.poll_next(cx)) {
                    Ok(Some(frame)) if frame.status == NrStatus::Ok => came(&frame),
                    Ok(_) => Err(Failure::new(ENDED)),
                    Err(error) => Err(failed(error)),
                };
                came?;
            }
        });
        sent.unwrap_or_else(|| Err(Failure::new(NO_ANSWER)))?;
    }
    Ok(())
}

pub(super) fn unsent(error: SendError) -> Failure {
    Failure::new(match error {
        SendError::Closed => "the plugin's stream is over".to_owned(),
        other => other.to_string(),
    })
}

/// The failure of a stream that ends early.
pub(super) const ENDED: &str = "the plugin ended a stream that was open";

/// The next frame, if it comes in time. A later one is not lost: the next wait returns it.
pub(super) fn next_within(
    stream: &mut Stream,
    idle_timeout: Duration,
) -> Option<Result<Option<Frame>, Failure>> {
    within(idle_timeout, |cx| stream.poll_next(cx)).map(|next| next.map_err(failed))
}

/// Polls until it is ready, or for this long.
fn within<T>(
    idle_timeout: Duration,
    mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
) -> Option<T> {
    let waker = Waker::from(Arc::new(Parked(thread::current())));
    let until = Instant::now() + idle_timeout;
    loop {
        if let Poll::Ready(done) = poll(&mut Context::from_waker(&waker)) {
            return Some(done);
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return None;
        }
        thread::park_timeout(left);
    }
}

/// A waiting thread.
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
        // Bytes that differ from what was learned are left unchanged.
        assert_eq!(learned.strip(b"ehco: abc."), b"ehco: abc.");
        assert_eq!(learned.strip(b"echo: abc"), b"echo: abc");
        assert_eq!(Envelope::around(PROBE).unwrap(), Envelope::default());
        assert_eq!(Envelope::around(b"something else"), None);
    }
}
