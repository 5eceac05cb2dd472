// SPDX-License-Identifier: BSD-3-Clause
//! Two sessions of protocol 2, a scheduler between them, and applications that do what they like.
//! What holds, whatever is done when:
//!
//! 1. Neither session finds fault with the other.
//! 2. An element arrives once, in order, as it was sent; one that was given back returns once. Only a
//!    reset loses any.
//! 3. Credit, queues and tables stay within their limits at every moment.
//! 4. When everything was delivered, accepted, answered and ended, both sides are empty.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Instant;

use arbitrary::Arbitrary;
use becket_wire::{
    Credit, Decoder, Event, Limits, Priority, Refused, Role, Session, StreamId, Withdrawn,
};
use bytes::Bytes;

use crate::pieces::either_way;
use crate::session::Sent;

/// What the applications and the scheduler do: by whom (the server: true), and what.
#[derive(Debug, Arbitrary)]
pub struct Case {
    steps: Vec<(bool, Step)>,
}

#[derive(Debug, Clone, Copy, Arbitrary)]
enum Step {
    Open {
        priority: u8,
        messages: u8,
        bytes: u16,
    },
    Accept {
        messages: u8,
        bytes: u16,
    },
    Send {
        which: u8,
        length: u16,
        is_straight: bool,
    },
    Grant {
        which: u8,
        messages: u8,
        bytes: u16,
    },
    Revoke {
        which: u8,
        messages: u8,
        bytes: u16,
    },
    Ack {
        which: u8,
    },
    Nack {
        which: u8,
    },
    GiveBack {
        which: u8,
    },
    Withdraw {
        which: u8,
        nth: u8,
    },
    End {
        which: u8,
    },
    Reset {
        which: u8,
    },
    Request,
    Reply {
        which: u8,
    },
    Cancel {
        which: u8,
    },
    Notice,
    Drain,
    /// So many bytes of room, and what fits goes.
    Transmit {
        room: u16,
    },
    /// So many bytes arrive.
    Arrive {
        bytes: u16,
    },
}

const STREAMS_MAX: u32 = 4;
const CREDIT_BYTES: u64 = 2000;
const QUEUE_BYTES_MAX: u64 = 4000;

/// Checks a case. Long ones are cut: what is to be found is found in fewer steps.
pub fn check(case: &Case) {
    let mut world = World::new();
    for (is_server, step) in case.steps.iter().take(400) {
        world.step(usize::from(*is_server), *step);
        world.bounded();
    }
    world.settle();
}

/// Elements of one stream in one direction.
#[derive(Default)]
struct Way {
    /// Sent and not arrived.
    under_way: VecDeque<(u64, Vec<u8>)>,
    /// Arrived and not decided.
    arrived: VecDeque<(u64, Vec<u8>)>,
    /// Given back and not returned.
    going_back: VecDeque<(u64, Vec<u8>)>,
}

struct Side {
    session: Session,
    sent: Sent,
    /// Streams that this application knows.
    streams: Vec<StreamId>,
    /// Those that it has to accept first.
    offered: VecDeque<StreamId>,
    asked: BTreeSet<u64>,
    owed: Vec<u64>,
}

struct World {
    sides: [Side; 2],
    /// By stream and sender.
    ways: BTreeMap<(StreamId, usize), Way>,
    reset: BTreeSet<StreamId>,
    elements: u8,
}

impl World {
    fn new() -> Self {
        let limits = Limits {
            frame_body_bytes_max: 256,
            element_bytes_max: 1500,
            session_credit_bytes: CREDIT_BYTES,
            streams_max: STREAMS_MAX,
            requests_max: 3,
            stream_queue_messages_max: 5,
            session_queue_bytes_max: QUEUE_BYTES_MAX,
            control_frames_max: 1000,
            quantum_bytes: 64,
            ..Limits::default()
        };
        let now = Instant::now();
        let side = |role| Side {
            session: Session::new(role, limits.clone(), now),
            sent: Sent { bytes: Vec::new(), room: 0 },
            streams: Vec::new(),
            offered: VecDeque::new(),
            asked: BTreeSet::new(),
            owed: Vec::new(),
        };
        let mut world = Self {
            sides: [side(Role::Client), side(Role::Server)],
            ways: BTreeMap::new(),
            reset: BTreeSet::new(),
            elements: 0,
        };
        for by in [0, 1] {
            world.transmit(by, usize::MAX);
            world.arrive(by, usize::MAX);
        }
        assert!(world.sides.iter().all(|side| side.session.is_ready()));
        world
    }

    fn step(&mut self, by: usize, step: Step) {
        let credit = |messages: u8, bytes: u16| Credit::new(messages.into(), bytes.into());
        match step {
            Step::Open { priority, messages, bytes } => {
                let priority = Priority::from_number(priority % 3).expect("one of three");
                let side = &mut self.sides[by];
                let name = Bytes::from_static(b"name");
                match side.session.open(1, priority, credit(messages, bytes), name) {
                    Ok(stream) => side.streams.push(stream),
                    Err(error) => {
                        assert!(matches!(error, Refused::TooMany | Refused::Draining), "{error}");
                    }
                }
            }
            Step::Accept { messages, bytes } => {
                let side = &mut self.sides[by];
                if let Some(stream) = side.offered.pop_front() {
                    // It may have been reset meanwhile.
                    either_way(side.session.accept(stream, credit(messages, bytes), Bytes::new()));
                }
            }
            Step::Send { which, length, is_straight } => {
                self.send(by, which, usize::from(length), is_straight);
            }
            Step::Grant { which, messages, bytes } => {
                let Some(stream) = self.stream(by, which) else { return };
                either_way(self.sides[by].session.grant(stream, messages.into(), bytes.into()));
            }
            Step::Revoke { which, messages, bytes } => {
                let Some(stream) = self.stream(by, which) else { return };
                either_way(self.sides[by].session.revoke(stream, messages.into(), bytes.into()));
            }
            Step::Ack { which } => self.decide(by, which, |session, stream, way| {
                let (sequence, _) = way.arrived[0];
                if session.ack(stream, sequence).is_ok() {
                    way.arrived.pop_front();
                }
            }),
            Step::Nack { which } => self.decide(by, which, |session, stream, way| {
                let (sequence, _) = way.arrived[0];
                if session.nack(stream, sequence, 300).is_ok() {
                    way.arrived.pop_front();
                }
            }),
            Step::GiveBack { which } => self.decide(by, which, |session, stream, way| {
                let Some((sequence, element)) = way.arrived.pop_back() else { return };
                match session.give_back(stream, sequence, 0, element.clone().into()) {
                    Ok(()) => way.going_back.push_back((sequence, element)),
                    Err(_) => way.arrived.push_back((sequence, element)),
                }
            }),
            Step::Withdraw { which, nth } => self.withdraw(by, which, usize::from(nth)),
            Step::End { which } => {
                let Some(stream) = self.stream(by, which) else { return };
                either_way(self.sides[by].session.end(stream, 0, "end"));
            }
            Step::Reset { which } => {
                let Some(stream) = self.stream(by, which) else { return };
                if self.sides[by].session.reset(stream, 300, "reset").is_ok() {
                    self.reset.insert(stream);
                }
            }
            Step::Request => {
                let side = &mut self.sides[by];
                if let Ok(number) = side.session.request(1, Bytes::new()) {
                    assert!(side.asked.insert(number), "a number is one request's");
                }
            }
            Step::Reply { which } => {
                let Side { session, owed, .. } = &mut self.sides[by];
                if !owed.is_empty() {
                    let number = owed.swap_remove(usize::from(which) % owed.len());
                    session.reply(number, 0, Bytes::new()).expect("it was asked");
                }
            }
            Step::Cancel { which } => {
                let Side { session, asked, .. } = &mut self.sides[by];
                if let Some(number) = asked.iter().nth(usize::from(which)) {
                    session.cancel(*number).expect("it is open");
                }
            }
            Step::Notice => either_way(self.sides[by].session.notice(1, 2, Bytes::new())),
            Step::Drain => self.sides[by].session.drain(),
            Step::Transmit { room } => self.transmit(by, room.into()),
            Step::Arrive { bytes } => self.arrive(by, bytes.into()),
        }
    }

    fn stream(&self, by: usize, which: u8) -> Option<StreamId> {
        let streams = &self.sides[by].streams;
        // The newest are the likeliest to be open.
        streams.iter().rev().nth(usize::from(which) % streams.len().max(1)).copied()
    }

    fn send(&mut self, by: usize, which: u8, length: usize, is_straight: bool) {
        let Some(stream) = self.stream(by, which) else { return };
        self.elements = self.elements.wrapping_add(31);
        let element = vec![self.elements; length % 2000];
        let Side { session, sent, .. } = &mut self.sides[by];
        let before = session.credit(stream);
        let result = if is_straight {
            session.send_through(sent, stream, 0, &element, || element.clone().into())
        } else {
            session.send(stream, 0, element.clone().into())
        };
        match (result, before, session.credit(stream)) {
            (Ok(sequence), Some(before), Some(after)) => {
                assert_eq!(before.messages - after.messages, 1);
                assert_eq!(before.bytes - after.bytes, element.len() as u64);
                self.ways.entry((stream, by)).or_default().under_way.push_back((sequence, element));
            }
            (Err(Refused::NoCredit), Some(before), _) => {
                assert!(before.messages == 0 || before.bytes < element.len() as u64);
            }
            (result, ..) => assert!(result.is_err(), "sent without credit"),
        }
    }

    fn decide(&mut self, by: usize, which: u8, how: impl FnOnce(&mut Session, StreamId, &mut Way)) {
        let Some(stream) = self.stream(by, which) else { return };
        let Some(way) = self.ways.get_mut(&(stream, 1 - by)) else { return };
        if !way.arrived.is_empty() {
            how(&mut self.sides[by].session, stream, way);
        }
    }

    fn withdraw(&mut self, by: usize, which: u8, nth: usize) {
        let Some(stream) = self.stream(by, which) else { return };
        let Some(way) = self.ways.get_mut(&(stream, by)) else { return };
        let Some((sequence, element)) = way.under_way.get(nth) else { return };
        if let Ok(Withdrawn::Here(here)) = self.sides[by].session.withdraw(stream, *sequence) {
            assert_eq!(here, element);
            way.under_way.remove(nth);
        }
    }

    fn transmit(&mut self, by: usize, room: usize) {
        let Side { session, sent, .. } = &mut self.sides[by];
        sent.room = room;
        session.transmit(sent);
        sent.room = 0;
    }

    /// Some of what `by` has sent arrives.
    fn arrive(&mut self, by: usize, bytes: usize) {
        let buffer = std::mem::take(&mut self.sides[by].sent.bytes);
        let (arrived, _) = buffer.split_at(bytes.min(buffer.len()));
        let decoder = Decoder::new(256);
        let mut used_bytes = 0;
        let rest = |used: usize| &arrived[used..];
        while let Some((frame, used)) = decoder.decode(rest(used_bytes)).expect("frames") {
            used_bytes += used;
            let received = self.sides[1 - by].session.receive(frame);
            let event = received.unwrap_or_else(|error| panic!("{:?}: {error}", frame.head));
            if let Some(event) = event {
                self.event(1 - by, &event);
            }
        }
        self.sides[by].sent.bytes = buffer[used_bytes..].to_vec();
    }

    /// Side `at` learns of something.
    fn event(&mut self, at: usize, event: &Event<'_>) {
        let side = &mut self.sides[at];
        match event {
            Event::Opened { stream, .. } => {
                side.streams.push(*stream);
                side.offered.push_back(*stream);
            }
            Event::Element { stream, sequence, body, .. } => {
                let way = self.ways.get_mut(&(*stream, 1 - at)).expect("somebody sent it");
                let (expected, element) = way.under_way.pop_front().expect("it was sent");
                assert_eq!((*sequence, &**body), (expected, element.as_slice()));
                way.arrived.push_back((expected, element));
            }
            Event::Returned { stream, sequence, body, .. } => {
                let way = self.ways.get_mut(&(*stream, at)).expect("this side sent it");
                let (expected, element) = way.going_back.pop_front().expect("it was given back");
                assert_eq!((*sequence, &**body), (expected, element.as_slice()));
            }
            Event::Acked { stream, upto } => {
                let way = &self.ways[&(*stream, at)];
                assert!(way.under_way.iter().all(|(sequence, _)| sequence > upto));
                assert!(way.going_back.iter().all(|(sequence, _)| sequence > upto));
            }
            Event::Revoked { asked, taken, .. } => {
                assert!(taken.messages <= asked.messages && taken.bytes <= asked.bytes);
            }
            Event::Reset { stream, .. } => {
                self.reset.insert(*stream);
            }
            Event::Request { request, .. } => side.owed.push(*request),
            Event::Reply { request, .. } => assert!(side.asked.remove(request), "one answer"),
            Event::Closed { .. } => panic!("no side has closed"),
            _ => {}
        }
    }

    fn bounded(&self) {
        for Side { session, .. } in &self.sides {
            assert!(!session.is_closed());
            assert!(session.charged_bytes() <= CREDIT_BYTES);
            assert!(session.queued_bytes() <= QUEUE_BYTES_MAX);
            assert!(session.streams() <= 2 * STREAMS_MAX as usize);
            assert!(session.listed() <= 2 * session.streams() + 128);
        }
    }

    /// Everything is delivered, accepted, answered and ended.
    fn settle(&mut self) {
        for _ in 0..60 {
            for by in [0, 1] {
                while !self.sides[by].offered.is_empty() {
                    self.step(by, Step::Accept { messages: 9, bytes: 9000 });
                }
                while !self.sides[by].owed.is_empty() {
                    self.step(by, Step::Reply { which: 0 });
                }
                for stream in self.sides[by].streams.clone() {
                    let side = &mut self.sides[by];
                    if let Some(way) = self.ways.get_mut(&(stream, 1 - by))
                        && let Some((sequence, _)) = way.arrived.back()
                        && side.session.ack(stream, *sequence).is_ok()
                    {
                        way.arrived.clear();
                    }
                    either_way(side.session.end(stream, 0, "end"));
                }
                self.transmit(by, usize::MAX);
                self.arrive(by, usize::MAX);
            }
            self.bounded();
        }
        for ((stream, by), way) in &self.ways {
            if !self.reset.contains(stream) {
                assert!(way.under_way.is_empty(), "{stream} from {by}: sent and never arrived");
                assert!(way.going_back.is_empty(), "{stream} from {by}: never returned");
            }
        }
        for side in &self.sides {
            assert!(
                side.session.is_idle(),
                "{:?}: {} open",
                side.session.role(),
                side.session.streams()
            );
            assert_eq!((side.session.queued_bytes(), side.asked.len()), (0, 0));
        }
    }
}
