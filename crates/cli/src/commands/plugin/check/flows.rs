// SPDX-License-Identifier: BSD-3-Clause
//! Flows that are longer than every queue, through entries that return their input.
//!
//! ```text
//!   send ──► queue to the plugin ──► entry ──► queue of frames ──► next
//!            few frames                        few frames          as late as possible
//! ```
//!
//! No frame is read before the plugin accepts no more, so that both queues are full and both sides
//! wait; then one frame is read, so that they become full again. The last message is sent when all
//! others have come back. The host's side is closed at once after it, and no frame is read until
//! the plugin has ended: the last frame and the end are in the queue together.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Instant;

use becket_host::{EntryInfo, EntryKind, Limits, Plugin, Stream};

use super::calls::{open, open_for};
use super::faults::{LOOK, within};
use super::rules::wait;
use super::{Outcome, Trial};

/// Frames in each queue of a stream.
const FRAMES_QUEUED: u32 = 4;
/// Messages of a flow: several times the size of both queues and the frames in flight.
const MESSAGES: usize = 40;
/// How many times the time of a call a flow may take.
const STEPS: u32 = 10;

/// How an entry carried a flow.
enum Carried {
    Whole,
    /// The entry does not return its input.
    NotOne,
    /// The entry cannot wait for room, and the queues are short.
    CannotWait,
    Wrong(String),
}

/// A unique message, short enough for any entry. The first is shorter than the others.
fn message(number: usize) -> Vec<u8> {
    let filler = if number == 0 { 8 } else { 60 + number };
    format!("<{number:06}{}>", "becket.".repeat(1 + filler / 7)).into_bytes()
}

pub(super) fn longer_than_queues(trial: &Trial<'_>) -> Outcome {
    let roomy = super::limits(trial.timeout);
    let short = Limits { stream_frames_max: FRAMES_QUEUED, ..roomy.clone() };
    let loaded = |limits: &Limits| trial.load_with(|spec| spec.limits(limits.clone()));
    let (_hosts, [short, roomy]) = match (loaded(&short), loaded(&roomy)) {
        (Ok((one, short)), Ok((other, roomy))) => ([one, other], [short, roomy]),
        (Err(error), _) | (_, Err(error)) => return Outcome::Broken(error.to_string()),
    };
    let (mut waits, mut whole) = (0, 0);
    for entry in trial.entries(&short) {
        if entry.kind != EntryKind::Bidirectional {
            continue;
        }
        let carried = match carry(trial, &short, &entry, true) {
            // An entry that cannot wait must be correct only when it need not wait.
            Carried::CannotWait => carry(trial, &roomy, &entry, false),
            carried => {
                waits += usize::from(matches!(carried, Carried::Whole));
                carried
            }
        };
        match carried {
            Carried::Whole => whole += 1,
            Carried::NotOne | Carried::CannotWait => {}
            Carried::Wrong(why) => return Outcome::Broken(format!("`{}`: {why}", entry.name)),
        }
    }
    match (waits, whole) {
        (_, 0) => Outcome::NotApplicable("no entry gives back what it is given".to_owned()),
        (0, _) => Outcome::Kept(
            "it cannot wait for room: nothing was missing in queues that hold all".to_owned(),
        ),
        _ => Outcome::Kept(format!("{MESSAGES} messages, queues of {FRAMES_QUEUED}")),
    }
}

fn carry(trial: &Trial<'_>, plugin: &Plugin, entry: &EntryInfo, is_short: bool) -> Carried {
    // Each step has the time of a call, and the flow that of many.
    let Ok(mut stream) = open_for(trial, plugin, entry, trial.timeout * STEPS) else {
        return Carried::NotOne;
    };
    if is_short && !stream.is_on_coroutine() {
        return Carried::CannotWait;
    }
    let mut came = Vec::new();
    // The first message alone, to check whether it comes back.
    if send(trial, &mut stream, &message(0), &mut came, || true).is_err() {
        return Carried::NotOne;
    }
    while find(&came, 0, &message(0)).is_none() {
        match wait(stream.next()) {
            Ok(Some(frame)) => came.extend_from_slice(&frame.body),
            _ => return Carried::NotOne,
        }
    }
    let mut back = Back::default();
    // Frames are read as soon as the plugin has waited for room, which happens within the time of a
    // call.
    let (waits, since) = (|| plugin.snapshot().refused_answers.backpressure, Instant::now());
    let before = waits();
    let is_blocked = || !is_short || waits() > before || since.elapsed() > trial.timeout;
    for number in 1..MESSAGES {
        if number == MESSAGES - 1 {
            // The last message is sent alone, so that no frame is queued before it.
            while back.count(&came) < number {
                match wait(stream.next()) {
                    Ok(Some(frame)) => came.extend_from_slice(&frame.body),
                    _ => return back.missing(),
                }
            }
        }
        if let Err(why) = send(trial, &mut stream, &message(number), &mut came, is_blocked) {
            return Carried::Wrong(format!("message {number} of {MESSAGES} was not taken: {why}"));
        }
    }
    if let Err(error) = stream.close() {
        return Carried::Wrong(format!("the end was not taken: {error}"));
    }
    if is_short {
        // Its answer and the end are queued together before either is received. A plugin that sends
        // more than the queue holds continues when the queue is read.
        within(trial.timeout, || plugin.coroutines_in_streams() == 0);
    }
    let ended = loop {
        match wait(stream.next()) {
            Ok(Some(frame)) => came.extend_from_slice(&frame.body),
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    if back.count(&came) < MESSAGES {
        return back.missing();
    }
    match ended {
        Ok(()) => Carried::Whole,
        Err(error) => Carried::Wrong(format!("its stream did not end well: {error}")),
    }
}

/// How far the messages have come back, in order.
#[derive(Default)]
struct Back {
    messages: usize,
    /// The offset after the last one of them.
    at: usize,
}

impl Back {
    /// Continues in `came`, which has grown since; returns the number of messages.
    fn count(&mut self, came: &[u8]) -> usize {
        while self.messages < MESSAGES
            && let Some(behind) = find(came, self.at, &message(self.messages))
        {
            (self.messages, self.at) = (self.messages + 1, behind);
        }
        self.messages
    }

    fn missing(&self) -> Carried {
        let why = "did not come back behind the one before it";
        Carried::Wrong(format!("message {} of {MESSAGES} {why}", self.messages))
    }
}

/// The offset after the first `wanted` at or after `from`.
fn find(bytes: &[u8], from: usize, wanted: &[u8]) -> Option<usize> {
    let rest = bytes.get(from..)?;
    let at = rest.windows(wanted.len()).position(|part| part == wanted)?;
    Some(from + at + wanted.len())
}

/// Sends a message; while the plugin does not accept it and `is_blocked`, frames are read one at a
/// time. An error says why it was not accepted.
fn send(
    trial: &Trial<'_>,
    stream: &mut Stream,
    message: &[u8],
    came: &mut Vec<u8>,
    is_blocked: impl Fn() -> bool,
) -> Result<(), String> {
    let waker = Waker::from(Arc::new(Parked(thread::current())));
    let cx = &mut Context::from_waker(&waker);
    let sender = stream.sender();
    let mut sending = pin!(sender.send(message));
    let until = Instant::now() + trial.timeout;
    loop {
        if let Poll::Ready(sent) = sending.as_mut().poll(cx) {
            return sent.map_err(|error| error.to_string());
        }
        if !is_blocked() {
            thread::park_timeout(LOOK);
            continue;
        }
        match stream.poll_next(cx) {
            Poll::Ready(Ok(Some(frame))) => came.extend_from_slice(&frame.body),
            Poll::Ready(Ok(None)) => return Err("it had ended the open stream".to_owned()),
            Poll::Ready(Err(error)) => return Err(error.to_string()),
            Poll::Pending => {
                let left = until.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return Err(format!("not within {} ms", trial.timeout.as_millis()));
                }
                thread::park_timeout(left);
            }
        }
    }
}

/// Sends until the plugin accepts no more, and leaves without reading a frame.
pub(super) fn leave_full(trial: &Trial<'_>, plugin: &Plugin, entry: &EntryInfo) -> u64 {
    let Ok(stream) = open(trial, plugin, entry) else { return 0 };
    for number in 0..MESSAGES {
        let message = message(number);
        let mut sending = pin!(stream.send(&message));
        let sent = wait(futures_lite::future::poll_once(sending.as_mut()));
        if !matches!(sent, Some(Ok(()))) {
            break;
        }
    }
    1
}

/// Wakes a parked thread.
struct Parked(Thread);

impl Wake for Parked {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_found_one_behind_the_other() {
        let all = [b"hi ".to_vec(), message(1), b", ".to_vec(), message(2)].concat();
        let first = find(&all, 0, &message(1)).unwrap();
        assert_eq!(find(&all, first, &message(2)), Some(all.len()));
        assert_eq!(find(&all, first, &message(1)), None);
        assert!(message(0).len() < 40 && message(1).len() > 64 && message(9) != message(8));
    }
}
