// SPDX-License-Identifier: BSD-3-Clause
//! A session of protocol 2, and a peer that sends any bytes. What holds of them:
//!
//! 1. However they are cut, the same events come out, the same end and the same answers.
//! 2. What the session keeps is bounded by its limits.
//! 3. After an error nothing comes of any frame, and what is sent is a `Close` alone.
//! 4. What it sends is frames, none longer than the peer takes.

use std::time::{Duration, Instant};

use becket_wire::{
    Credit, Decoder, Event, Full, HEAD_BYTES, Head, Kind, Limits, Outlet, Role, Session,
    SessionError,
};
use bytes::Bytes;

use crate::pieces::{either_way, pieces};

const LIMITS: Limits = Limits {
    frame_body_bytes_max: 256,
    element_bytes_max: 1000,
    session_credit_bytes: 2000,
    streams_max: 4,
    requests_max: 3,
    regions_max: 2,
    stream_queue_messages_max: 4,
    session_queue_bytes_max: 3000,
    control_frames_max: 16,
    pongs_max: 4,
    text_bytes_max: 64,
    quantum_bytes: 64,
    handshake_ms: 5000,
    keep_alive_ms: 10_000,
    silence_ms: 5000,
    drain_ms: 10_000,
};

/// Bytes that are sent, and how many more fit.
pub(crate) struct Sent {
    pub(crate) bytes: Vec<u8>,
    pub(crate) room: usize,
}

impl Outlet for Sent {
    fn put(&mut self, head: &Head, body: &[u8]) -> Result<(), Full> {
        assert_eq!(head.length as usize, body.len());
        self.room = self.room.checked_sub(HEAD_BYTES + body.len()).ok_or(Full)?;
        self.bytes.extend_from_slice(&head.encode());
        self.bytes.extend_from_slice(body);
        Ok(())
    }
}

/// Two bytes of shape and seed, then what the peer sends.
pub fn check(data: &[u8]) {
    let Some(([shape, seed], bytes)) = data.split_first_chunk() else { return };
    let begun = Instant::now();
    let whole = Run::of(bytes, *shape, 0, begun);
    assert_eq!(whole, Run::of(bytes, *shape, *seed, begun));
}

/// What came of the bytes.
#[derive(Debug, PartialEq, Eq)]
struct Run {
    events: Vec<String>,
    error: Option<SessionError>,
    sent: Vec<u8>,
}

impl Run {
    fn of(bytes: &[u8], shape: u8, seed: u8, begun: Instant) -> Self {
        let role = if shape & 1 == 0 { Role::Server } else { Role::Client };
        let mut session = Session::new(role, LIMITS, begun);
        let mut run = Self { events: Vec::new(), error: None, sent: Vec::new() };
        if shape & 2 == 0 {
            // A greeting as it should be, so that not every run ends in the first frame.
            let greeting = greeting(role.other(), begun);
            run.take(&mut session, &mut greeting.clone());
            if shape & 4 != 0 {
                let credit = Credit::new(2, 500);
                let name = Bytes::from_static(b"name");
                let opened = session.open(1, becket_wire::Priority::Normal, credit, name);
                opened.expect("it is greeted");
                session.request(7, Bytes::new()).expect("it is greeted");
            }
        }
        let mut buffer = Vec::new();
        for piece in pieces(bytes, seed) {
            buffer.extend_from_slice(piece);
            run.take(&mut session, &mut buffer);
        }
        let later = begun + Duration::from_millis(u64::from(shape >> 4) * 1000);
        if session.deadline().is_some_and(|deadline| deadline <= later) {
            run.events.push(format!("{:?}", session.on_deadline(later)));
        }
        run.send(&mut session);
        run
    }

    /// Takes the frames that stand in a buffer.
    fn take(&mut self, session: &mut Session, buffer: &mut Vec<u8>) {
        let decoder = Decoder::new(LIMITS.frame_body_bytes_max);
        while let Ok(Some((frame, used))) = decoder.decode(buffer) {
            match session.receive(frame) {
                Ok(Some(event)) => {
                    assert!(self.error.is_none(), "an event after the end");
                    self.events.push(format!("{event:?}"));
                    react(session, &event);
                }
                Ok(None) => assert!(self.error.is_none()),
                Err(error) if self.error.is_none() => {
                    assert!(session.is_closed());
                    self.error = Some(error);
                }
                Err(error) => assert_eq!(error, SessionError::Closed),
            }
            bounded(session);
            buffer.drain(..used);
        }
    }

    /// Sends all there is, in small rooms.
    fn send(&mut self, session: &mut Session) {
        let mut sent = Sent { bytes: Vec::new(), room: 0 };
        loop {
            sent.room = HEAD_BYTES + LIMITS.frame_body_bytes_max as usize;
            if session.transmit(&mut sent) {
                break;
            }
        }
        let decoder = Decoder::new(LIMITS.frame_body_bytes_max);
        let mut rest = sent.bytes.as_slice();
        let mut frames = 0;
        while let Some((frame, used)) = decoder.decode(rest).expect("frames that a peer takes") {
            assert!(self.error.is_none() || frame.head.kind == Kind::Close);
            rest = &rest[used..];
            frames += 1;
        }
        assert!(rest.is_empty());
        assert!(self.error.is_none() || frames <= 1);
        self.sent = sent.bytes;
    }
}

/// What a session in this role says first.
fn greeting(role: Role, now: Instant) -> Vec<u8> {
    let mut said = Sent { bytes: Vec::new(), room: usize::MAX };
    let mut session = Session::new(role, LIMITS, now);
    if role == Role::Server {
        let hello = greeting(Role::Client, now);
        let (frame, _) = Decoder::new(256).decode(&hello).expect("a frame").expect("a whole one");
        session.receive(frame).expect("a hello");
    }
    session.transmit(&mut said);
    said.bytes
}

/// An application that answers, each time in the way that the event's own numbers choose. Refusals
/// are as good as any answer.
fn react(session: &mut Session, event: &Event<'_>) {
    match event {
        Event::Opened { stream, service, .. } => either_way(match service % 3 {
            0 => session.accept(*stream, Credit::new(3, 900), Bytes::from_static(b"info")),
            1 => session.refuse(*stream, 300, "no"),
            _ => Ok(()),
        }),
        Event::Request { request, operation, body } if operation % 2 == 0 => {
            either_way(session.reply(*request, 0, Bytes::copy_from_slice(body)));
        }
        Event::Cancelled { request } => either_way(session.reply(*request, 9, Bytes::new())),
        Event::Accepted { stream, .. } | Event::Credit { stream } => {
            either_way(session.send(*stream, 0, Bytes::from(vec![7; 300])));
            either_way(session.grant(*stream, 1, 100));
        }
        Event::Element { stream, sequence, body, .. } => either_way(match body.len() % 4 {
            0 => session.ack(*stream, *sequence),
            1 => session.nack(*stream, *sequence, 300),
            2 => session.give_back(*stream, *sequence, 0, Bytes::copy_from_slice(body)),
            _ => session.revoke(*stream, 1, 50),
        }),
        Event::Withdraw { stream, sequence } => either_way(session.nack(*stream, *sequence, 300)),
        Event::Ended { stream, code, .. } if code % 2 == 0 => {
            either_way(session.end(*stream, 0, "end"))
        }
        Event::Ended { stream, .. } => either_way(session.reset(*stream, 300, "reset")),
        Event::Region { region, generation, .. } => {
            either_way(session.release(*region, *generation, 64))
        }
        Event::Draining => session.drain(),
        _ => {}
    }
}

fn bounded(session: &Session) {
    assert!(session.charged_bytes() <= LIMITS.session_credit_bytes);
    assert!(session.queued_bytes() <= LIMITS.session_queue_bytes_max);
    assert!(session.streams() <= 2 * LIMITS.streams_max as usize);
    assert!(session.listed() <= 2 * session.streams() + 128);
    // Loose frames, pongs, an answer for each request either way and a field for each stream.
    let streams = 2 * LIMITS.streams_max;
    let most = LIMITS.control_frames_max + LIMITS.pongs_max + 4 * LIMITS.requests_max + 4 * streams;
    assert!(session.queued_control() <= most as usize, "{}", session.queued_control());
}
