// SPDX-License-Identifier: BSD-3-Clause
//! Two sessions, joined by a way that takes frames when it likes, and applications that do what
//! they like. Whatever they do: every element arrives once, in order, as it was sent; credit holds;
//! and when all is said, both sides are as empty as they began.

use std::collections::{BTreeMap, VecDeque};

use crate::support::{Pair, Wire, feed, or_long};
use becket_wire::{
    Credit, Event, Limits, Priority, Refused, Session, SessionError, StreamId, Withdrawn,
};
use bytes::Bytes;
use proptest::{collection::vec, prelude::*};

#[derive(Debug, Clone)]
enum Step {
    Open {
        priority: u8,
        messages: u32,
        bytes: u64,
    },
    Accept {
        which: usize,
        messages: u32,
        bytes: u64,
    },
    Send {
        which: usize,
        length: usize,
        straight: bool,
    },
    Grant {
        which: usize,
        messages: u32,
        bytes: u64,
    },
    Revoke {
        which: usize,
        messages: u32,
        bytes: u64,
    },
    Ack {
        which: usize,
    },
    Nack {
        which: usize,
    },
    GiveBack {
        which: usize,
    },
    Withdraw {
        which: usize,
        which_element: usize,
    },
    End {
        which: usize,
    },
    Reset {
        which: usize,
    },
    Request,
    Reply {
        which: usize,
    },
    Cancel {
        which: usize,
    },
    Notice,
    Drain,
    /// So many bytes of room, then what fits goes.
    Transmit {
        room: usize,
    },
    /// So many bytes arrive.
    Arrive {
        bytes: usize,
    },
}

fn steps() -> impl Strategy<Value = Vec<(bool, Step)>> {
    let which = || 0..64_usize;
    let credit = || (0..6_u32, 0..3000_u64);
    let step = prop_oneof![
        3 => (0..3_u8, credit()).prop_map(|(priority, (messages, bytes))| {
            Step::Open { priority, messages, bytes }
        }),
        4 => (which(), credit()).prop_map(|(which, (messages, bytes))| {
            Step::Accept { which, messages, bytes }
        }),
        12 => (which(), prop_oneof![0..40_usize, 0..2000_usize], any::<bool>()).prop_map(
            |(which, length, straight)| Step::Send { which, length, straight }
        ),
        6 => (which(), credit()).prop_map(|(which, (messages, bytes))| {
            Step::Grant { which, messages, bytes }
        }),
        2 => (which(), credit()).prop_map(|(which, (messages, bytes))| {
            Step::Revoke { which, messages, bytes }
        }),
        4 => which().prop_map(|which| Step::Ack { which }),
        2 => which().prop_map(|which| Step::Nack { which }),
        2 => which().prop_map(|which| Step::GiveBack { which }),
        2 => (which(), which()).prop_map(|(which, which_element)| {
            Step::Withdraw { which, which_element }
        }),
        2 => which().prop_map(|which| Step::End { which }),
        1 => which().prop_map(|which| Step::Reset { which }),
        1 => Just(Step::Request),
        1 => which().prop_map(|which| Step::Reply { which }),
        1 => which().prop_map(|which| Step::Cancel { which }),
        1 => Just(Step::Notice),
        10 => (0..3000_usize).prop_map(|room| Step::Transmit { room }),
        10 => (0..3000_usize).prop_map(|bytes| Step::Arrive { bytes }),
        1 => prop_oneof![39 => Just(Step::Notice), 1 => Just(Step::Drain)],
    ];
    vec((any::<bool>(), step), 0..300)
}

/// Elements of one stream in one direction.
#[derive(Default)]
struct Way {
    /// Sent and not arrived.
    under_way: VecDeque<(u64, Vec<u8>)>,
    /// Arrived, not decided, at the receiver.
    arrived: VecDeque<(u64, Vec<u8>)>,
    /// Given back and not arrived.
    going_back: VecDeque<(u64, Vec<u8>)>,
    /// Wanted back: only an ack or a nack says what became of them.
    withdrawn: Vec<u64>,
    acked: u64,
}

struct Side {
    session: Session,
    wire: Wire,
    /// Streams that this side's application knows, and whether it has to accept them first.
    streams: Vec<(StreamId, bool)>,
    requests: Vec<u64>,
    asked: Vec<u64>,
    answers: usize,
    notices: usize,
}

struct World {
    sides: [Side; 2],
    /// By stream and by sender: 0 the client.
    ways: BTreeMap<(StreamId, usize), Way>,
    /// Either side has reset it: elements may be missing, but not out of order.
    reset: Vec<StreamId>,
    counter: u32,
    drained: bool,
}

fn limits() -> Limits {
    Limits {
        frame_body_bytes_max: 256,
        element_bytes_max: 1500,
        session_credit_bytes: 2000,
        streams_max: 4,
        requests_max: 3,
        stream_queue_messages_max: 5,
        session_queue_bytes_max: 4000,
        control_frames_max: 200,
        quantum_bytes: 64,
        ..Limits::default()
    }
}

impl World {
    fn new() -> Self {
        Self::of(Pair::new(limits(), limits()))
    }

    /// With the same two sessions, which begin anew, whatever they were about.
    fn renewed(self) -> Self {
        let [client, server] = self.sides.map(|side| side.session);
        Self::of(Pair::renewed(client, server, limits()))
    }

    fn of(Pair { client, server, .. }: Pair) -> Self {
        let side = |session| Side {
            session,
            wire: Wire::default(),
            streams: Vec::new(),
            requests: Vec::new(),
            asked: Vec::new(),
            answers: 0,
            notices: 0,
        };
        Self {
            sides: [side(client), side(server)],
            ways: BTreeMap::new(),
            reset: Vec::new(),
            counter: 0,
            drained: false,
        }
    }

    fn pick(&self, by: usize, which: usize) -> Option<(StreamId, bool)> {
        let streams = &self.sides[by].streams;
        (!streams.is_empty()).then(|| streams[which % streams.len()])
    }

    fn element(&mut self, length: usize) -> Vec<u8> {
        self.counter += 1;
        let counter = self.counter;
        (0..length as u32).map(|at| (counter.wrapping_mul(31) ^ at.wrapping_mul(7)) as u8).collect()
    }

    fn step(&mut self, by: usize, step: &Step) {
        match *step {
            Step::Open { priority, messages, bytes } => {
                let priority = Priority::from_number(priority).unwrap();
                let credit = Credit::new(messages, bytes);
                match self.sides[by].session.open(1, priority, credit, Bytes::from_static(b"n")) {
                    Ok(id) => self.sides[by].streams.push((id, false)),
                    Err(Refused::TooMany | Refused::Draining) => {}
                    Err(other) => panic!("{other}"),
                }
            }
            Step::Accept { which, messages, bytes } => {
                let waiting = |(_, asked): &&mut (StreamId, bool)| *asked;
                let side = &mut self.sides[by];
                let count = side.streams.iter().filter(|(_, asked)| *asked).count();
                if count == 0 {
                    return;
                }
                let place = side.streams.iter_mut().filter(waiting).nth(which % count).unwrap();
                place.1 = false;
                let id = place.0;
                // It may have been reset since.
                let _ = side.session.accept(id, Credit::new(messages, bytes), Bytes::new());
            }
            Step::Send { which, length, straight } => self.send(by, which, length, straight),
            Step::Grant { which, messages, bytes } => {
                let Some((id, _)) = self.pick(by, which) else { return };
                let _ = self.sides[by].session.grant(id, messages, bytes);
            }
            Step::Revoke { which, messages, bytes } => {
                let Some((id, _)) = self.pick(by, which) else { return };
                let _ = self.sides[by].session.revoke(id, messages, bytes);
            }
            Step::Ack { which } => self.decide(by, which, |session, id, way| {
                let (sequence, _) = way.arrived[0];
                // Only when nothing before it is undecided: acks are cumulative.
                if session.ack(id, sequence).is_ok() {
                    way.arrived.pop_front();
                }
            }),
            Step::Nack { which } => self.decide(by, which, |session, id, way| {
                let (sequence, _) = way.arrived[0];
                if session.nack(id, sequence, 300).is_ok() {
                    way.arrived.pop_front();
                }
            }),
            Step::GiveBack { which } => self.decide(by, which, |session, id, way| {
                let place = if which % 2 == 0 { 0 } else { way.arrived.len() - 1 };
                let (sequence, element) = way.arrived[place].clone();
                if session.give_back(id, sequence, 0, element.clone().into()).is_ok() {
                    way.arrived.remove(place);
                    way.going_back.push_back((sequence, element));
                }
            }),
            Step::Withdraw { which, which_element } => {
                let Some((id, _)) = self.pick(by, which) else { return };
                let Some(way) = self.ways.get_mut(&(id, by)) else { return };
                if way.under_way.is_empty() {
                    return;
                }
                let place = which_element % way.under_way.len();
                let (sequence, element) = way.under_way[place].clone();
                match self.sides[by].session.withdraw(id, sequence) {
                    Ok(Withdrawn::Here(here)) => {
                        assert_eq!(here, element);
                        way.under_way.remove(place);
                    }
                    Ok(Withdrawn::Asked) => way.withdrawn.push(sequence),
                    Err(_) => {}
                }
            }
            Step::End { which } => {
                let Some((id, _)) = self.pick(by, which) else { return };
                let _ = self.sides[by].session.end(id, 0, "");
            }
            Step::Reset { which } => {
                let Some((id, _)) = self.pick(by, which) else { return };
                if self.sides[by].session.reset(id, 300, "why").is_ok() {
                    self.reset.push(id);
                }
            }
            Step::Request => {
                if let Ok(number) = self.sides[by].session.request(1, Bytes::new()) {
                    self.sides[by].asked.push(number);
                }
            }
            Step::Reply { which } => {
                let side = &mut self.sides[by];
                if !side.requests.is_empty() {
                    let number = side.requests.remove(which % side.requests.len());
                    side.session.reply(number, 0, Bytes::from_static(b"a")).unwrap();
                    side.answers += 1;
                }
            }
            Step::Cancel { which } => {
                let side = &mut self.sides[by];
                if !side.asked.is_empty() {
                    let number = side.asked[which % side.asked.len()];
                    side.session.cancel(number).unwrap();
                }
            }
            Step::Notice => {
                if self.sides[by].session.notice(1, 2, Bytes::new()).is_ok() {
                    self.sides[by].notices += 1;
                }
            }
            Step::Drain => {
                self.drained = true;
                self.sides[by].session.drain();
            }
            Step::Transmit { room } => {
                let Side { session, wire, .. } = &mut self.sides[by];
                wire.room = room;
                session.transmit(wire);
            }
            Step::Arrive { bytes } => self.arrive(by, bytes),
        }
        self.bounded();
    }

    fn send(&mut self, by: usize, which: usize, length: usize, straight: bool) {
        let Some((id, _)) = self.pick(by, which) else { return };
        let element = self.element(length);
        let Side { session, wire, .. } = &mut self.sides[by];
        let credit = session.credit(id);
        let sent = if straight {
            session.send_through(wire, id, 0, &element, || element.clone().into())
        } else {
            session.send(id, 0, element.clone().into())
        };
        match sent {
            Ok(sequence) => {
                let credit = credit.unwrap();
                let left = session.credit(id).unwrap();
                assert_eq!(credit.messages - left.messages, 1);
                assert_eq!(credit.bytes - left.bytes, length as u64);
                self.ways.entry((id, by)).or_default().under_way.push_back((sequence, element));
            }
            Err(Refused::NoCredit) => {
                let credit = credit.unwrap();
                assert!(credit.messages == 0 || credit.bytes < length as u64);
            }
            Err(Refused::TooLong) => assert!(length > 1500),
            Err(_) => {}
        }
    }

    fn decide(
        &mut self,
        by: usize,
        which: usize,
        how: impl FnOnce(&mut Session, StreamId, &mut Way),
    ) {
        let Some((id, _)) = self.pick(by, which) else { return };
        let Some(way) = self.ways.get_mut(&(id, 1 - by)) else { return };
        if !way.arrived.is_empty() {
            how(&mut self.sides[by].session, id, way);
        }
    }

    /// Bytes of `by` reach the other side.
    fn arrive(&mut self, by: usize, bytes: usize) {
        let mut way = std::mem::take(&mut self.sides[by].wire.bytes);
        let taken = way.len().min(bytes);
        let to = 1 - by;
        let [client, server] = &mut self.sides;
        let (here, there) = if by == 0 { (client, server) } else { (server, client) };
        let Side { session, streams, requests, .. } = there;
        let (ways, reset) = (&mut self.ways, &mut self.reset);
        let used = feed(session, &way[..taken], |_, event| match event {
            Event::Opened { stream, name, .. } => {
                assert_eq!(name, b"n");
                streams.push((stream, true));
            }
            Event::Element { stream, sequence, body, .. } => {
                let way = ways.get_mut(&(stream, by)).unwrap();
                let expected = way.under_way.pop_front().unwrap();
                assert_eq!((sequence, &*body), (expected.0, &expected.1[..]));
                way.arrived.push_back(expected);
            }
            Event::Returned { stream, sequence, body, .. } => {
                let way = ways.get_mut(&(stream, to)).unwrap();
                let expected = way.going_back.pop_front().unwrap();
                assert_eq!((sequence, &*body), (expected.0, &expected.1[..]));
            }
            Event::Acked { stream, upto } => {
                let way = ways.get_mut(&(stream, to)).unwrap();
                assert!(upto > way.acked);
                assert!(way.under_way.iter().all(|(number, _)| *number > upto));
                let back = way.going_back.iter().all(|(number, _)| *number > upto);
                assert!(back, "what goes back goes before the ack that covers it");
                way.acked = upto;
            }
            Event::Withdraw { stream, sequence } => {
                let way = ways.get_mut(&(stream, by)).unwrap();
                assert!(way.withdrawn.contains(&sequence));
            }
            Event::Revoked { asked, taken, .. } => {
                assert!(taken.messages <= asked.messages && taken.bytes <= asked.bytes);
            }
            Event::Reset { stream, .. } => reset.push(stream),
            Event::Request { request, .. } => requests.push(request),
            Event::Reply { request, .. } => {
                let place = there.asked.iter().position(|asked| *asked == request).unwrap();
                there.asked.remove(place);
            }
            Event::Notice { .. } => here.notices -= 1,
            _ => {}
        });
        match used {
            Ok(used) => way.drain(..used),
            Err(error) => panic!("side {to}: {error}"),
        };
        assert!(here.wire.bytes.is_empty());
        here.wire.bytes = way;
    }

    /// What must hold at every moment.
    fn bounded(&self) {
        for side in &self.sides {
            let session = &side.session;
            assert!(session.charged_bytes() <= 2000);
            assert!(session.queued_bytes() <= 4000);
            assert!(session.streams() <= 8);
            assert!(session.listed() <= 2 * session.streams() + 128);
            assert!(!session.is_closed());
        }
    }

    /// Everything is accepted, granted, answered and ended; then both sides are empty.
    fn finish(&mut self) {
        for _ in 0..40 {
            if self.sides.iter().all(|side| side.session.is_idle() && side.wire.bytes.is_empty()) {
                break;
            }
            for by in 0..2 {
                for which in 0..self.sides[by].streams.len() {
                    self.step(by, &Step::Accept { which: 0, messages: 9, bytes: 9000 });
                    while self.has_arrived(by, which) {
                        let before = self.sides[by].session.queued_control();
                        self.step(by, &Step::Ack { which });
                        if before == self.sides[by].session.queued_control() {
                            break;
                        }
                    }
                    self.step(by, &Step::End { which });
                    self.step(by, &Step::Reply { which: 0 });
                }
                self.step(by, &Step::Reply { which: 0 });
                self.step(by, &Step::Transmit { room: usize::MAX });
                self.step(by, &Step::Arrive { bytes: usize::MAX });
            }
        }
        for ((id, by), way) in &self.ways {
            if !self.reset.contains(id) {
                assert_eq!(way.under_way.len(), 0, "{id} from {by}: sent and not arrived");
                assert_eq!(way.going_back.len(), 0, "{id} from {by}: given back and not arrived");
            }
        }
        for side in &self.sides {
            let session = &side.session;
            assert!(session.is_idle(), "{:?} {:?}", session.role(), session.streams());
            assert_eq!((session.queued_bytes(), side.asked.len(), side.notices), (0, 0, 0));
            // The credit that is owed and not granted yet is less than half of it.
            assert!(session.charged_bytes() < 1000);
        }
        for (by, to) in [(0, 1), (1, 0)] {
            let charged = self.sides[to].session.charged_bytes();
            assert_eq!(self.sides[by].session.session_credit() + charged, 2000, "both agree");
        }
    }

    fn has_arrived(&self, by: usize, which: usize) -> bool {
        let (id, _) = self.sides[by].streams[which];
        self.ways.get(&(id, 1 - by)).is_some_and(|way| !way.arrived.is_empty())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(or_long(48, 192)))]

    #[test]
    fn every_element_arrives_once_and_in_order(steps in steps()) {
        let mut world = World::new();
        for (server, step) in &steps {
            world.step(usize::from(*server), step);
        }
        world.finish();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(or_long(16, 64)))]

    #[test]
    fn a_session_that_begins_anew_is_as_a_new_one(before in steps(), steps in steps()) {
        let mut world = World::new();
        for (server, step) in &before {
            world.step(usize::from(*server), step);
        }
        let mut worlds = [World::new(), world.renewed()];
        for (server, step) in &steps {
            for world in &mut worlds {
                world.step(usize::from(*server), step);
            }
        }
        let [new, renewed] = worlds.map(|mut world| {
            world.finish();
            world.sides.map(|side| (side.wire.heads, *side.session.counters()))
        });
        prop_assert_eq!(new, renewed);
    }
}

/// The session reports a sender that exceeds its credit.
#[test]
fn a_sender_that_ignores_credit_is_found_out() {
    let mut pair = Pair::plain();
    let id = pair.client.open(1, Priority::Normal, Credit::NONE, Bytes::new()).unwrap();
    pair.reach_server().unwrap();
    pair.server.accept(id, Credit::new(1, 1), Bytes::new()).unwrap();
    pair.reach_client().unwrap();
    pair.client.send(id, 0, Bytes::from_static(b"x")).unwrap();
    let mut wire = Wire::endless();
    pair.client.transmit(&mut wire);
    let once = wire.bytes.clone();
    let mut more = once.clone();
    more[16] = 2;
    feed(&mut pair.server, &once, |_, _| {}).unwrap();
    let result = feed(&mut pair.server, &more, |_, _| {});
    assert_eq!(result, Err(SessionError::CreditExceeded { stream: id, bytes: 1 }));
}
