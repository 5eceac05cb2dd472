// SPDX-License-Identifier: BSD-3-Clause
//! Messages of open streams, and notes on what is in hand.
//!
//! ```text
//!    0      1         2       4        8          16
//!   ┌──────┬─────────┬───────┬────────┬──────────┬──────
//!   │ kind │ outcome │ 0   0 │ status │ sequence │ body     numbers are little-endian
//!   └──────┴─────────┴───────┴────────┴──────────┴──────
//! ```
//!
//! A note is text, a line for each call or stream: the last token of its subject and, for a stream,
//! the number of frames that were sent and the window of those that may come.

use async_nats::Subject;
use becket_host::NrStatus;
use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

use super::headers::{Outcome, Window};
use super::names;

/// The bytes before the body.
pub(super) const HEAD_BYTES: usize = 16;
/// The last token of the subject of notes. No number is so written.
pub(super) const NOTES: &str = "notes";
/// A note is at most about this long; what has more is several.
const NOTE_BYTES_MAX: usize = 32 << 10;

/// Frames of one stream that are on their way or wait at the receiver.
const WINDOW_MESSAGES: u64 = 64;
/// Their bytes; the last one may exceed it.
const WINDOW_BYTES: u64 = 1 << 20;

/// A message of an open stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Message {
    /// To the host: `handle` has returned; the host sends to this subject.
    Opened { to: Subject, window: Window },
    /// A frame. To the host: any status but `Ok` ends the stream.
    Frame { status: NrStatus, sequence: u64, body: Bytes },
    /// So far may be sent.
    Credit(Window),
    /// To the node: no frames after so many.
    Closed { sequence: u64 },
    /// To the host: the stream ended without a frame that says so.
    Ended(Outcome),
    /// To the host: the plugin refused data with this status.
    DataRefused(NrStatus),
    /// To the node: the caller has left.
    Cancel,
}

const OPENED: u8 = 1;
const FRAME: u8 = 2;
const CREDIT: u8 = 3;
const CLOSED: u8 = 4;
const ENDED: u8 = 5;
const DATA_REFUSED: u8 = 6;
const CANCEL: u8 = 7;

impl Message {
    pub(super) fn encode(&self) -> Bytes {
        let frame = |sequence, body| encode_frame(NrStatus::Ok, sequence, body);
        match self {
            Self::Opened { to, window } => head(OPENED, 0, NrStatus::Ok, 0, |bytes| {
                put_window(bytes, *window);
                bytes.put_slice(to.as_bytes());
            }),
            Self::Frame { status: NrStatus::Ok, sequence, body } => frame(*sequence, body),
            Self::Frame { status, sequence, body } => encode_frame(*status, *sequence, body),
            Self::Credit(window) => {
                head(CREDIT, 0, NrStatus::Ok, 0, |bytes| put_window(bytes, *window))
            }
            Self::Closed { sequence } => head(CLOSED, 0, NrStatus::Ok, *sequence, |_| {}),
            Self::Ended(outcome) => head(ENDED, outcome.number(), outcome.status(), 0, |_| {}),
            Self::DataRefused(status) => head(DATA_REFUSED, 0, *status, 0, |_| {}),
            Self::Cancel => head(CANCEL, 0, NrStatus::Ok, 0, |_| {}),
        }
    }

    /// `None`: no such message.
    pub(super) fn decode(mut bytes: Bytes) -> Option<Self> {
        if bytes.len() < HEAD_BYTES {
            return None;
        }
        let (kind, outcome) = (bytes.get_u8(), bytes.get_u8());
        bytes.advance(2);
        let (status, sequence) = (NrStatus(bytes.get_u32_le()), bytes.get_u64_le());
        Some(match kind {
            OPENED => {
                let window = take_window(&mut bytes)?;
                let to = std::str::from_utf8(&bytes).ok().filter(|to| is_subject(to))?;
                Self::Opened { to: Subject::from(to), window }
            }
            FRAME => Self::Frame { status, sequence, body: bytes },
            CREDIT => Self::Credit(take_window(&mut bytes)?),
            CLOSED => Self::Closed { sequence },
            ENDED => Self::Ended(Outcome::of_number(outcome, status)?),
            DATA_REFUSED => Self::DataRefused(status),
            CANCEL => Self::Cancel,
            _ => return None,
        })
    }
}

/// A frame, from bytes that are lent.
pub(super) fn encode_frame(status: NrStatus, sequence: u64, body: &[u8]) -> Bytes {
    head(FRAME, 0, status, sequence, |bytes| bytes.put_slice(body))
}

fn head(
    kind: u8,
    outcome: u8,
    status: NrStatus,
    sequence: u64,
    body: impl FnOnce(&mut BytesMut),
) -> Bytes {
    let mut bytes = BytesMut::with_capacity(HEAD_BYTES + 64);
    bytes.put_u8(kind);
    bytes.put_u8(outcome);
    bytes.put_u16_le(0);
    bytes.put_u32_le(status.0);
    bytes.put_u64_le(sequence);
    body(&mut bytes);
    bytes.freeze()
}

fn put_window(bytes: &mut BytesMut, window: Window) {
    bytes.put_u64_le(window.messages);
    bytes.put_u64_le(window.bytes);
}

fn take_window(bytes: &mut Bytes) -> Option<Window> {
    let messages = bytes.try_get_u64_le().ok()?;
    Some(Window { messages, bytes: bytes.try_get_u64_le().ok()? })
}

/// Whether something may be published to it.
fn is_subject(text: &str) -> bool {
    let is_token = |token: &str| {
        let is_plain = |byte: u8| byte.is_ascii_graphic() && byte != b'*' && byte != b'>';
        !token.is_empty() && token.bytes().all(is_plain)
    };
    text.split('.').all(is_token)
}

/// The receiving end of one direction of a stream: which frame is next, and how far the sender may go.
#[derive(Debug, Default)]
pub(super) struct Receiving {
    /// Frames that have come.
    pub(super) received: u64,
    taken: Window,
    granted: Window,
}

impl Receiving {
    /// The first window.
    pub(super) fn first_window(&mut self) -> Window {
        self.granted = Window { messages: WINDOW_MESSAGES, bytes: WINDOW_BYTES };
        self.granted
    }

    /// Whether a frame is the next one, and within the window: a last frame may exceed it.
    pub(super) fn expects(&mut self, sequence: u64, is_last: bool) -> bool {
        let is_next = sequence == self.received;
        self.received += 1;
        is_next && (is_last || sequence < self.granted.messages)
    }

    /// A frame was taken; a window to announce, if that is due.
    pub(super) fn took(&mut self, bytes: usize) -> Option<Window> {
        self.taken.messages += 1;
        self.taken.bytes += bytes as u64;
        let window = Window {
            messages: self.taken.messages + WINDOW_MESSAGES,
            bytes: self.taken.bytes + WINDOW_BYTES,
        };
        let is_due = window.messages - self.granted.messages >= WINDOW_MESSAGES / 4
            || window.bytes - self.granted.bytes >= WINDOW_BYTES / 4;
        is_due.then(|| {
            self.granted = window;
            window
        })
    }

    /// What was announced last.
    pub(super) fn window(&self) -> Window {
        self.granted
    }
}

/// A line of a note.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Line {
    /// The call or stream.
    pub(super) number: u64,
    /// Of a stream that is open: frames sent, and the window of those that may come.
    pub(super) stream: Option<(u64, Window)>,
}

/// Notes of these lines.
pub(super) fn notes(lines: impl IntoIterator<Item = Line>) -> Vec<Bytes> {
    use std::fmt::Write as _;

    let (mut notes, mut text) = (Vec::new(), String::new());
    for Line { number, stream } in lines {
        // Writing to a string does not fail.
        let _ = write!(text, "{number:x}");
        if let Some((sent, window)) = stream {
            let _ = write!(text, " {sent} {} {}", window.messages, window.bytes);
        }
        text.push('\n');
        if text.len() >= NOTE_BYTES_MAX {
            notes.push(std::mem::take(&mut text).into());
        }
    }
    if !text.is_empty() {
        notes.push(text.into());
    }
    notes
}

/// The lines of a note; what is no line is left out.
pub(super) fn lines(note: &[u8]) -> impl Iterator<Item = Line> {
    let text = std::str::from_utf8(note).unwrap_or_default();
    text.lines().filter_map(|line| {
        let mut words = line.split(' ');
        let number = names::hex(words.next()?)?;
        let mut next = || words.next()?.parse().ok();
        let stream = next().zip(next()).zip(next());
        let stream = stream.map(|((sent, messages), bytes)| (sent, Window { messages, bytes }));
        Some(Line { number, stream })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_read_back_and_those_cut_off_are_none() {
        let window = Window { messages: 7, bytes: u64::MAX };
        let messages = [
            Message::Opened { to: "a.b".into(), window },
            Message::Frame { status: NrStatus(9), sequence: 3, body: "body".into() },
            Message::Credit(window),
            Message::Closed { sequence: 5 },
            Message::Ended(Outcome::Refused(NrStatus(12))),
            Message::Ended(Outcome::Lost),
            Message::DataRefused(NrStatus(4)),
            Message::Cancel,
        ];
        for message in messages {
            let bytes = message.encode();
            assert_eq!(Message::decode(bytes.slice(..HEAD_BYTES - 1)), None);
            assert_eq!(Message::decode(bytes), Some(message));
        }
        let wild = Message::Opened { to: "a.>".into(), window }.encode();
        assert_eq!(Message::decode(wild), None);
    }

    #[test]
    fn notes_are_read_back_in_several_messages() {
        let line = |number| {
            let window = Window { messages: number, bytes: 2 };
            Line { number, stream: (number % 2 == 0).then_some((1, window)) }
        };
        let notes = notes((0..10_000).map(line));
        assert!(notes.len() > 1);
        let read: Vec<_> = notes.iter().flat_map(|note| lines(note)).collect();
        assert_eq!(read, (0..10_000).map(line).collect::<Vec<_>>());
        assert_eq!(lines(b"\xff").count() + lines(b"zz 1\n\n").count(), 0);
    }

    #[test]
    fn a_window_is_never_exceeded_and_a_gap_is_seen() {
        let mut receiving = Receiving::default();
        let mut window = receiving.first_window();
        let (mut sent, mut bytes) = (0, 0);
        for _ in 0..1000 {
            while window.has_room_after(sent, bytes) {
                assert!(receiving.expects(sent, false));
                (sent, bytes) = (sent + 1, bytes + 100);
            }
            assert_eq!(sent - receiving.taken.messages, WINDOW_MESSAGES);
            while receiving.taken.messages < sent {
                window.extend(receiving.took(100).unwrap_or_default());
            }
        }
        assert!(!receiving.expects(sent + 1, false));
    }
}
