// SPDX-License-Identifier: BSD-3-Clause
//! What the tests of a session share: an outlet of bytes with a bound, and the way between two
//! sides.
#![allow(dead_code, reason = "each test uses a part of it")]

use std::time::{Duration, Instant};

use becket_wire::{
    Decoder, Event, Frame, Full, HEAD_BYTES, Head, Limits, Outlet, Role, Session, SessionError,
};

/// The value for the form of a test that is asked for: `BECKET_TEST_LONG` asks for the long one.
pub(crate) fn or_long<T>(short: T, long: T) -> T {
    if std::env::var_os("BECKET_TEST_LONG").is_some() { long } else { short }
}

/// Bytes on their way. `room` is how many more are taken.
#[derive(Default)]
pub(crate) struct Wire {
    pub(crate) bytes: Vec<u8>,
    pub(crate) room: usize,
    pub(crate) heads: Vec<Head>,
}

impl Outlet for Wire {
    fn put(&mut self, head: &Head, body: &[u8]) -> Result<(), Full> {
        assert_eq!(head.length as usize, body.len(), "the head tells the body's length");
        let room = self.room.checked_sub(HEAD_BYTES + body.len()).ok_or(Full)?;
        self.room = room;
        self.bytes.extend_from_slice(&head.encode());
        self.bytes.extend_from_slice(body);
        self.heads.push(*head);
        Ok(())
    }
}

impl Wire {
    pub(crate) fn endless() -> Self {
        Self { room: usize::MAX, ..Self::default() }
    }
}

/// What an event was, in memory of its own.
pub(crate) fn described(event: &Event<'_>) -> String {
    format!("{event:?}").replace("Borrowed(", "(").replace("Owned(b", "(")
}

/// Gives every frame in `bytes` to a session; says what came of it.
pub(crate) fn feed(
    session: &mut Session,
    bytes: &[u8],
    mut each: impl FnMut(&mut Session, Event<'_>),
) -> Result<usize, SessionError> {
    let decoder = Decoder::new(session.limits().frame_body_bytes_max);
    let mut used = 0;
    while let Some((frame, length)) = decoder.decode(&bytes[used..]).expect("a session's frames") {
        used += length;
        if let Some(event) = session.receive(frame)? {
            each(session, event);
        }
    }
    Ok(used)
}

/// Two sides that have greeted one another.
pub(crate) struct Pair {
    pub(crate) client: Session,
    pub(crate) server: Session,
    pub(crate) now: Instant,
}

impl Pair {
    pub(crate) fn new(client: Limits, server: Limits) -> Self {
        let now = Instant::now();
        let client = Session::new(Role::Client, client, now);
        let server = Session::new(Role::Server, server, now);
        Self::greeted(client, server, now)
    }

    /// Sessions that were used begin anew.
    pub(crate) fn renewed(mut client: Session, mut server: Session, limits: Limits) -> Self {
        let now = Instant::now();
        client.renew(limits.clone(), now);
        server.renew(limits, now);
        for session in [&client, &server] {
            let listed = (session.listed(), session.queued_control(), session.queued_bytes());
            assert_eq!((listed, session.is_idle()), ((0, 0, 0), session.role() == Role::Server));
        }
        Self::greeted(client, server, now)
    }

    fn greeted(client: Session, server: Session, now: Instant) -> Self {
        let mut pair = Self { client, server, now };
        let events = pair.exchange();
        assert_eq!(events.len(), 2, "{events:?}");
        assert!(pair.client.is_ready() && pair.server.is_ready());
        pair
    }

    pub(crate) fn plain() -> Self {
        Self::new(Limits::default(), Limits::default())
    }

    /// What the client has to say goes to the server.
    pub(crate) fn reach_server(&mut self) -> Result<Vec<String>, SessionError> {
        carry(&mut self.client, &mut self.server)
    }

    /// And the other way.
    pub(crate) fn reach_client(&mut self) -> Result<Vec<String>, SessionError> {
        carry(&mut self.server, &mut self.client)
    }

    /// Both ways until all is said. The events of both sides.
    pub(crate) fn exchange(&mut self) -> Vec<String> {
        let mut events = Vec::new();
        loop {
            let frames = self.client.counters().sent.frames + self.server.counters().sent.frames;
            events.extend(self.reach_server().unwrap());
            events.extend(self.reach_client().unwrap());
            if frames == self.client.counters().sent.frames + self.server.counters().sent.frames {
                return events;
            }
        }
    }

    /// Time passes without a frame.
    pub(crate) fn pass(&mut self, ms: u64) {
        self.now += Duration::from_millis(ms);
    }
}

/// Everything that one side has to say goes to the other.
pub(crate) fn carry(from: &mut Session, to: &mut Session) -> Result<Vec<String>, SessionError> {
    let mut wire = Wire::endless();
    assert!(from.transmit(&mut wire));
    let mut events = Vec::new();
    feed(to, &wire.bytes, |_, event| events.push(described(&event)))?;
    Ok(events)
}

/// A frame by hand.
pub(crate) fn frame<'a>(head: Head, body: &'a [u8]) -> Frame<'a> {
    Frame { head: Head { length: body.len() as u32, ..head }, body }
}
