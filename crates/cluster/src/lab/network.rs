// SPDX-License-Identifier: BSD-3-Clause
//! The ways between clients and the server, and the faults on them.
//!
//! Each way keeps the order of its messages, as TCP does; different ones do not keep that among each other. A client's
//! posts have a way of their own, since a task of the client transmits them: later requests may overtake them.

use std::collections::BTreeMap;
use std::time::Duration;

use async_nats::{HeaderMap, Message, StatusCode};
use becket_lab::choice::Choices;
use bytes::Bytes;
use tokio::sync::watch;

use super::client::Queue;
use super::mutant::Mutant;
use super::server::Server;

/// A fault.
pub(super) const KILLED: &str = "the server is killed";

const MILLISECOND: u64 = 1_000_000;

/// From a client to the server.
#[derive(Debug, Clone)]
pub(super) enum Frame {
    Publish { subject: String, reply: Option<String>, headers: Option<HeaderMap>, payload: Bytes },
    Subscribe { number: u64, subject: String, group: Option<String> },
    Unsubscribe { number: u64, drains: bool },
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Lane {
    Requests,
    Posts,
}

/// What the server sends: to a subscription of a client. `None`: its end.
pub(super) struct Sent {
    pub(super) client: usize,
    pub(super) number: u64,
    pub(super) message: Option<Message>,
}

#[derive(Debug)]
enum Event {
    /// Of no connection: it arrives behind the end of the one that it was sent over.
    ToServer {
        client: usize,
        connection: Option<u64>,
        frame: Frame,
    },
    ToClient {
        client: usize,
        connection: u64,
        number: u64,
        message: Option<Box<Message>>,
    },
    Reconnect {
        client: usize,
    },
    ServerIsUp,
    HasLeader,
}

#[derive(Default)]
struct Connected {
    /// Counts connections: what was on its way in an earlier one is lost.
    connection: u64,
    is_connected: bool,
    is_killed: bool,
    /// When the last message arrives at the server, of each lane, and at the client.
    arrivals: [u64; 3],
    subscriptions: BTreeMap<u64, Subscribed>,
    /// Waits for the connection.
    held: Vec<Frame>,
    connects: watch::Sender<u64>,
}

struct Subscribed {
    queue: Queue,
    /// Ends with the connection at the latest.
    is_draining: bool,
    /// Once it was sent.
    subject: Option<(String, Option<String>)>,
}

/// The faults of a run: as many as `budget`, until `until`.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Faults {
    pub(super) budget: u32,
    pub(super) until: Duration,
}

pub(super) struct Network {
    pub(super) server: Server,
    clients: Vec<Connected>,
    events: BTreeMap<(u64, u64), Event>,
    next: u64,
    faults: Faults,
    pub(super) mutant: Option<Mutant>,
    /// Frames that clients sent.
    pub(super) frames: u64,
    /// Faults that happened, in order.
    pub(super) happened: Vec<(Duration, &'static str)>,
}

impl Network {
    pub(super) fn new(faults: Faults, mutant: Option<Mutant>) -> Self {
        Self {
            server: Server::default(),
            clients: Vec::new(),
            events: BTreeMap::new(),
            next: 0,
            faults,
            mutant,
            frames: 0,
            happened: Vec::new(),
        }
    }

    pub(super) fn connect(&mut self) -> (usize, watch::Receiver<u64>) {
        let client = Connected { is_connected: self.server.is_up, ..Connected::default() };
        client.connects.send_replace(1);
        let connects = client.connects.subscribe();
        self.clients.push(client);
        (self.clients.len() - 1, connects)
    }

    pub(super) fn kill(&mut self, client: usize) {
        self.clients[client].is_killed = true;
        self.disconnect(client);
    }

    pub(super) fn listen(&mut self, client: usize, number: u64, queue: Queue) {
        let subscribed = Subscribed { queue, is_draining: false, subject: None };
        self.clients[client].subscriptions.insert(number, subscribed);
    }

    pub(super) fn forget(&mut self, client: usize, number: u64) {
        self.clients[client].subscriptions.remove(&number);
    }

    pub(super) fn next_time(&self) -> Option<u64> {
        let event = self.events.first_key_value().map(|((at, _), _)| *at);
        event.into_iter().chain(self.server.next_time()).min()
    }

    /// False: there is no connection; the frame is sent with the next one.
    pub(super) fn send(
        &mut self,
        now: u64,
        client: usize,
        lane: Lane,
        mut frame: Frame,
        choices: &mut Choices,
    ) -> bool {
        self.frames += 1;
        if let Some(mutant) = self.mutant
            && !mutant.sends(&mut frame)
        {
            return true;
        }
        let state = &mut self.clients[client];
        if state.is_killed {
            return false;
        }
        if let Frame::Subscribe { number, subject, group } = &frame
            && let Some(subscribed) = state.subscriptions.get_mut(number)
        {
            subscribed.subject = Some((subject.clone(), group.clone()));
        }
        if let Frame::Unsubscribe { number, drains: true } = &frame
            && let Some(subscribed) = state.subscriptions.get_mut(number)
        {
            subscribed.is_draining = true;
        }
        if !state.is_connected {
            // Subscriptions are sent anew.
            if let Frame::Publish { .. } = frame {
                state.held.push(frame);
            }
            return false;
        }
        if matches!(frame, Frame::Publish { .. }) && self.fault(now, choices) {
            match choices.below(6) {
                0 => {
                    self.note(now, "a message to the server is lost");
                    return true;
                }
                1 => {
                    self.note(now, "a connection is lost");
                    self.disconnect(client);
                    self.reconnect(now, client, choices);
                    return true;
                }
                2 => {
                    self.note(now, "a connection is lost behind a message");
                    let at = self.arrival(now, client, lane as usize, choices);
                    self.at(at, Event::ToServer { client, connection: None, frame });
                    self.disconnect(client);
                    self.reconnect(now, client, choices);
                    return true;
                }
                3 => {
                    self.note(now, KILLED);
                    self.server.killed();
                    for client in 0..self.clients.len() {
                        self.disconnect(client);
                    }
                    let up = now + u64::from(1 + choices.below(20)) * 100 * MILLISECOND;
                    self.at(up, Event::ServerIsUp);
                    return true;
                }
                4 => {
                    self.note(now, "an election");
                    self.server.elects(now);
                    let until = now + u64::from(1 + choices.below(30)) * 100 * MILLISECOND;
                    self.at(until, Event::HasLeader);
                }
                _ => {
                    self.note(now, "the server is busy");
                    self.server.busy += 1;
                }
            }
        }
        if self.clients[client].is_connected {
            self.arrive(now, client, lane, frame, choices);
        }
        true
    }

    fn arrive(&mut self, now: u64, client: usize, lane: Lane, frame: Frame, choices: &mut Choices) {
        let at = self.arrival(now, client, lane as usize, choices);
        let connection = Some(self.clients[client].connection);
        self.at(at, Event::ToServer { client, connection, frame });
    }

    /// 0.1 ms and up to seven halves of one; seldom, with faults, up to three seconds.
    fn arrival(&mut self, now: u64, client: usize, way: usize, choices: &mut Choices) -> u64 {
        let mut at = now + MILLISECOND / 10 + u64::from(choices.below(8)) * MILLISECOND / 2;
        if self.fault(now, choices) {
            self.note(now, "a delay");
            at += u64::from(1 + choices.below(30)) * 100 * MILLISECOND;
        }
        let arrivals = &mut self.clients[client].arrivals;
        if way == Lane::Posts as usize {
            // Transmitted later than what was sent before, not earlier.
            at = at.max(arrivals[Lane::Requests as usize]);
        }
        arrivals[way] = at.max(arrivals[way]);
        arrivals[way]
    }

    fn fault(&mut self, now: u64, choices: &mut Choices) -> bool {
        let is_over = self.faults.budget == 0 || Duration::from_nanos(now) >= self.faults.until;
        if is_over || !choices.happens(1, 48) {
            return false;
        }
        self.faults.budget -= 1;
        true
    }

    fn note(&mut self, now: u64, what: &'static str) {
        self.happened.push((Duration::from_nanos(now), what));
    }

    fn disconnect(&mut self, client: usize) {
        let state = &mut self.clients[client];
        if std::mem::take(&mut state.is_connected) {
            state.connection += 1;
            state.arrivals = [0; 3];
            self.server.disconnected(client);
        }
    }

    fn reconnect(&mut self, now: u64, client: usize, choices: &mut Choices) {
        if self.server.is_up {
            let pause = u64::from(1 + choices.below(20)) * 50 * MILLISECOND;
            self.at(now + pause, Event::Reconnect { client });
        }
    }

    fn at(&mut self, at: u64, event: Event) {
        self.next += 1;
        self.events.insert((at, self.next), event);
    }

    /// Everything up to now.
    pub(super) fn happen(&mut self, now: u64, choices: &mut Choices) {
        while let Some(entry) = self.events.first_entry()
            && entry.key().0 <= now
        {
            let event = entry.remove();
            self.one(now, event, choices);
        }
        self.server.due(now);
        self.flush(now, choices);
    }

    fn one(&mut self, now: u64, event: Event, choices: &mut Choices) {
        match event {
            Event::ToServer { client, connection, frame } => {
                let is_lost = connection.is_some_and(|it| self.clients[client].connection != it);
                if !is_lost && self.server.is_up {
                    self.server.receive(now, client, frame);
                }
            }
            Event::ToClient { client, connection, number, message } => {
                let state = &self.clients[client];
                if state.connection == connection
                    && let Some(subscribed) = state.subscriptions.get(&number)
                {
                    match message {
                        Some(message) => subscribed.queue.push(*message),
                        None => subscribed.queue.end(),
                    }
                }
            }
            Event::Reconnect { client } => self.connected(now, client, choices),
            Event::ServerIsUp => {
                self.server.is_up = true;
                for client in 0..self.clients.len() {
                    self.reconnect(now, client, choices);
                }
            }
            Event::HasLeader => self.server.has_leader = true,
        }
        self.server.due(now);
        self.flush(now, choices);
    }

    fn connected(&mut self, now: u64, client: usize, choices: &mut Choices) {
        let state = &mut self.clients[client];
        if state.is_connected || state.is_killed || !self.server.is_up {
            return;
        }
        state.is_connected = true;
        state.connection += 1;
        let subscribe = |(number, subscribed): (&u64, &Subscribed)| {
            if subscribed.is_draining {
                subscribed.queue.end();
                return None;
            }
            let (subject, group) = subscribed.subject.clone()?;
            Some(Frame::Subscribe { number: *number, subject, group })
        };
        let mut frames: Vec<_> = state.subscriptions.iter().filter_map(subscribe).collect();
        frames.append(&mut state.held);
        state.connects.send_modify(|count| *count += 1);
        for frame in frames {
            self.arrive(now, client, Lane::Requests, frame, choices);
        }
    }

    /// Puts on the way what the server has sent.
    fn flush(&mut self, now: u64, choices: &mut Choices) {
        for Sent { client, number, mut message } in std::mem::take(&mut self.server.sent) {
            if !self.clients[client].is_connected {
                continue;
            }
            if let (Some(mutant), Some(message)) = (self.mutant, &mut message)
                && !mutant.receives(message)
            {
                continue;
            }
            if message.is_some() && self.fault(now, choices) {
                self.note(now, "a message to a client is lost");
                continue;
            }
            let at = self.arrival(now, client, 2, choices);
            let connection = self.clients[client].connection;
            let message = message.map(Box::new);
            self.at(at, Event::ToClient { client, connection, number, message });
        }
    }
}

/// A message without a payload, as servers send for a state.
pub(super) fn status(subject: &str, status: StatusCode, headers: Option<HeaderMap>) -> Message {
    Message { status: Some(status), headers, ..plain(subject, None, Bytes::new()) }
}

pub(super) fn plain(subject: &str, reply: Option<String>, payload: Bytes) -> Message {
    Message {
        subject: subject.into(),
        reply: reply.map(Into::into),
        length: payload.len(),
        payload,
        headers: None,
        status: None,
        description: None,
    }
}
