// SPDX-License-Identifier: BSD-3-Clause
//! The reference model of a channel: lists, counters and rules, neither fast nor shared.
//!
//! A value is a number here. Waiting operations are rows of a table; the wait queue of a side is a
//! list of their numbers, in which those that have ended are skipped.

use std::collections::{BTreeMap, VecDeque};

use becket_chan::{Kind, Overflow};

/// The kind of an operation.
#[derive(Debug, Clone)]
pub(crate) enum What {
    Send(u64),
    Recv,
    /// The value that waits for room, and the values behind it.
    SendMany(Option<u64>, VecDeque<u64>),
    RecvMany(usize),
    /// Both sides in one biased select, the receive first.
    Select(u64),
}

/// The result of an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Out {
    Sent(Result<(), (Why, u64)>),
    Received(Result<u64, Why>),
    SentMany(Result<(), Why>, Vec<u64>),
    ReceivedMany(Result<usize, Why>, Vec<u64>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    WouldBlock,
    TimedOut,
    Closed,
    Cancelled,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Sending,
    Receiving,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    New,
    Waiting,
    /// It was sent.
    Sent,
    /// It was handed this value, with the sequence number of the handoff.
    Handed(i64, u64),
    Closed(Side),
    Cancelled,
}

#[derive(Debug)]
struct Row {
    what: What,
    state: State,
    /// 0: none, 1: the root, 2: its child.
    token: usize,
    /// Its deadline has passed.
    late: bool,
    waker: usize,
    wakes: [u64; 2],
}

#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) sends: u64,
    pub(crate) receives: u64,
    pub(crate) matches: u64,
    pub(crate) conflated: u64,
    pub(crate) dropped: u64,
    pub(crate) undelivered: u64,
    pub(crate) high_water: usize,
    /// By side and cause.
    pub(crate) failures: [[u64; 4]; 2],
}

#[derive(Debug)]
pub(crate) struct Reference {
    kind: Kind,
    capacity: usize,
    overflow: Overflow,
    /// Handed out and requeued, with the sequence number of the first handoff; a value that was put
    /// back has a number below all of them.
    returned: Vec<(i64, u64)>,
    stored: VecDeque<u64>,
    lines: [VecDeque<usize>; 2],
    rows: BTreeMap<usize, Row>,
    handles: [usize; 2],
    closed: bool,
    turns: i64,
    fronts: i64,
    tokens: [bool; 2],
    pub(crate) counts: Counts,
    /// Values for the undelivered hook, of the present step.
    pub(crate) lost: Vec<u64>,
    pub(crate) accepted: Vec<u64>,
    /// Values that were received and not put back.
    pub(crate) received: Vec<u64>,
}

impl Reference {
    pub(crate) fn new(kind: Kind, capacity: usize, overflow: Overflow) -> Self {
        Self {
            kind,
            capacity,
            overflow,
            returned: Vec::new(),
            stored: VecDeque::new(),
            lines: [VecDeque::new(), VecDeque::new()],
            rows: BTreeMap::new(),
            handles: [1, 1],
            closed: false,
            turns: 0,
            fronts: 0,
            tokens: [false; 2],
            counts: Counts::default(),
            lost: Vec::new(),
            accepted: Vec::new(),
            received: Vec::new(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.returned.len() + self.stored.len()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    /// The expected number of wakes of each of an operation's two wakers.
    pub(crate) fn wakes(&self, row: usize) -> [u64; 2] {
        self.rows[&row].wakes
    }

    /// The smallest and the largest possible length of a wait queue: a node that was cancelled, or
    /// won elsewhere, may or may not have been skipped.
    pub(crate) fn waiting(&self, side: Side) -> (usize, usize) {
        let rows = self.lines[side as usize].iter().filter_map(|row| self.rows.get(row));
        let states: Vec<_> = rows.map(|row| row.state).collect();
        (states.iter().filter(|state| **state == State::Waiting).count(), states.len())
    }

    pub(crate) fn try_send(&mut self, value: u64) -> Result<(), Why> {
        self.offer(value).inspect_err(|why| self.fail(Side::Sending, *why))
    }

    pub(crate) fn try_recv(&mut self) -> Result<u64, Why> {
        match self.take() {
            Ok(value) => {
                self.received.push(value);
                Ok(value)
            }
            Err(why) => Err(self.failed(Side::Receiving, why)),
        }
    }

    pub(crate) fn try_send_many(&mut self, values: &mut VecDeque<u64>) -> Result<usize, Why> {
        let wanted = values.len();
        let end = self.offer_front(values);
        match (wanted - values.len(), end) {
            (0, Some(why)) => Err(self.failed(Side::Sending, why)),
            (sent, _) => Ok(sent),
        }
    }

    pub(crate) fn try_recv_many(&mut self, max: usize) -> Result<Vec<u64>, Why> {
        let (values, end) = self.take_up_to(max);
        match end {
            Some(why) if values.is_empty() => Err(self.failed(Side::Receiving, why)),
            _ => Ok(values),
        }
    }

    /// A new operation, which holds a handle of each side that it uses, and its first poll.
    pub(crate) fn start(
        &mut self,
        row: usize,
        what: What,
        token: usize,
        late: bool,
    ) -> Option<Out> {
        for side in sides(&what) {
            self.handles[*side as usize] += 1;
        }
        let row_of = Row { what, state: State::New, token, late, waker: 0, wakes: [0; 2] };
        self.rows.insert(row, row_of);
        self.poll(row, 0)
    }

    pub(crate) fn poll(&mut self, row: usize, waker: usize) -> Option<Out> {
        let out = match self.rows[&row].what.clone() {
            What::Send(value) => self.poll_send(row, value).map(Out::Sent),
            What::Recv => self.poll_recv(row).map(Out::Received),
            What::SendMany(one, rest) => self.poll_send_many(row, one, rest),
            What::RecvMany(max) => self.poll_recv_many(row, max),
            What::Select(value) => self.poll_select(row, value),
        };
        if let Some(out) = out {
            let over = self.rows.remove(&row).unwrap();
            self.release(&over.what);
            return Some(out);
        }
        let waiting = self.rows.get_mut(&row).unwrap();
        waiting.waker = waker;
        None
    }

    /// The operation is dropped before it was ready.
    pub(crate) fn give_up(&mut self, row: usize) {
        let over = self.rows.remove(&row).unwrap();
        if let State::Handed(turn, value) = over.state {
            self.give_back(turn, value);
        }
        match over.what {
            What::Send(value) | What::Select(value) if over.state != State::Sent => {
                self.lost.push(value);
            }
            _ => {}
        }
        self.release(&over.what);
    }

    pub(crate) fn cancel(&mut self, token: usize) {
        self.tokens[token - 1] = true;
        if token == 1 {
            self.tokens[1] = true;
        }
        for row in self.rows.values_mut() {
            if row.state == State::Waiting && row.token > 0 && self.tokens[row.token - 1] {
                row.state = State::Cancelled;
                row.wakes[row.waker] += 1;
            }
        }
    }

    pub(crate) fn add_handle(&mut self, side: Side) {
        self.handles[side as usize] += 1;
    }

    pub(crate) fn drop_handle(&mut self, side: Side) {
        self.handles[side as usize] -= 1;
        if self.handles[side as usize] == 0 {
            self.close();
            if side == Side::Receiving {
                let held = self.returned.drain(..).map(|(_, value)| value);
                let held: Vec<_> = held.chain(self.stored.drain(..)).collect();
                self.counts.undelivered += held.len() as u64;
                self.lost.extend(held);
            }
        }
    }

    pub(crate) fn close(&mut self) -> bool {
        if std::mem::replace(&mut self.closed, true) {
            return false;
        }
        for side in [Side::Sending, Side::Receiving] {
            while let Some(row) = self.pop(side) {
                assert!(
                    side == Side::Sending || self.len() == 0,
                    "a receive waits only on an empty channel"
                );
                self.end(row, State::Closed(side));
            }
        }
        true
    }

    fn release(&mut self, what: &What) {
        for side in sides(what) {
            self.drop_handle(*side);
        }
    }

    fn fail(&mut self, side: Side, why: Why) {
        self.counts.failures[side as usize][why as usize] += 1;
    }

    fn failed(&mut self, side: Side, why: Why) -> Why {
        self.fail(side, why);
        why
    }

    fn end(&mut self, row: usize, state: State) {
        let row = self.rows.get_mut(&row).unwrap();
        row.state = state;
        row.wakes[row.waker] += 1;
    }

    /// The first operation that still waits.
    fn pop(&mut self, side: Side) -> Option<usize> {
        while let Some(row) = self.lines[side as usize].pop_front() {
            if self.rows.get(&row).is_some_and(|row| row.state == State::Waiting) {
                return Some(row);
            }
        }
        None
    }

    fn has_room(&self) -> bool {
        match self.kind {
            Kind::Rendezvous => false,
            Kind::Bounded => self.len() < self.capacity,
            _ => true,
        }
    }

    fn offer(&mut self, value: u64) -> Result<(), Why> {
        if self.closed {
            return Err(Why::Closed);
        }
        if self.len() == 0
            && let Some(row) = self.pop(Side::Receiving)
        {
            self.counts.matches += u64::from(self.kind == Kind::Rendezvous);
            self.turns += 1;
            self.counts.receives += 1;
            self.end(row, State::Handed(self.turns, value));
        } else if self.kind == Kind::Conflated {
            if let Some(old) = self.take_held() {
                self.counts.conflated += 1;
                self.counts.undelivered += 1;
                self.lost.push(old.1);
            }
            self.stored.push_back(value);
        } else if self.has_room() {
            self.stored.push_back(value);
        } else {
            let gone = match (self.kind, self.overflow) {
                (Kind::Bounded, Overflow::DropOldest) => {
                    self.stored.push_back(value);
                    while self.len() > self.capacity + 1 {
                        let gone = self.take_held().unwrap().1;
                        self.lose_overflow(gone);
                    }
                    self.take_held().unwrap().1
                }
                (Kind::Bounded, Overflow::DropLatest) => value,
                _ => return Err(Why::WouldBlock),
            };
            self.lose_overflow(gone);
        }
        self.accept(value);
        Ok(())
    }

    fn lose_overflow(&mut self, value: u64) {
        self.counts.dropped += 1;
        self.counts.undelivered += 1;
        self.lost.push(value);
    }

    fn accept(&mut self, value: u64) {
        self.counts.sends += 1;
        self.accepted.push(value);
        self.counts.high_water = self.counts.high_water.max(self.len());
    }

    fn take_held(&mut self) -> Option<(Option<i64>, u64)> {
        if !self.returned.is_empty() {
            let (turn, value) = self.returned.remove(0);
            return Some((Some(turn), value));
        }
        self.stored.pop_front().map(|value| (None, value))
    }

    /// A value for a receive, which may be requeued under that number.
    fn take(&mut self) -> Result<u64, Why> {
        if let Some((_, value)) = self.take_held() {
            self.counts.receives += 1;
            self.admit();
            return Ok(value);
        }
        if self.kind == Kind::Rendezvous
            && let Some(row) = self.pop(Side::Sending)
        {
            let value = self.waiting_value(row);
            self.end(row, State::Sent);
            self.counts.matches += 1;
            self.counts.receives += 1;
            self.accept(value);
            return Ok(value);
        }
        Err(if self.closed { Why::Closed } else { Why::WouldBlock })
    }

    /// The values of waiting senders move up.
    fn admit(&mut self) {
        while self.has_room()
            && let Some(row) = self.pop(Side::Sending)
        {
            let value = self.waiting_value(row);
            self.stored.push_back(value);
            self.accept(value);
            self.end(row, State::Sent);
        }
    }

    /// Sends that wait complete as the new policy says.
    pub(crate) fn set_overflow(&mut self, overflow: Overflow) {
        if self.kind != Kind::Bounded {
            return;
        }
        self.overflow = overflow;
        while overflow != Overflow::Suspend
            && let Some(row) = self.pop(Side::Sending)
        {
            let value = self.waiting_value(row);
            self.offer(value).unwrap();
            self.end(row, State::Sent);
        }
    }

    pub(crate) fn overflow(&self) -> Overflow {
        self.overflow
    }

    fn waiting_value(&self, row: usize) -> u64 {
        match &self.rows[&row].what {
            What::Send(value) | What::Select(value) | What::SendMany(Some(value), _) => *value,
            other => panic!("{other:?} has nothing to send"),
        }
    }

    fn give_back(&mut self, turn: i64, value: u64) {
        self.insert(turn, value);
        self.came_back();
    }

    /// Received values are requeued, in order.
    pub(crate) fn put_back(&mut self, values: &[u64]) {
        for value in values.iter().rev() {
            let at = self.received.iter().position(|other| other == value).unwrap();
            self.received.swap_remove(at);
            self.fronts -= 1;
            self.insert(self.fronts, *value);
        }
        if !values.is_empty() {
            self.came_back();
        }
    }

    /// All held values except the oldest.
    pub(crate) fn split_off(&mut self, keep: usize) -> Vec<u64> {
        let returned = self.returned.split_off(keep.min(self.returned.len()));
        let stored =
            self.stored.split_off((keep - keep.min(self.returned.len())).min(self.stored.len()));
        let newest: Vec<_> = returned.into_iter().map(|(_, value)| value).chain(stored).collect();
        self.counts.receives += newest.len() as u64;
        self.received.extend(&newest);
        self.admit();
        newest
    }

    fn insert(&mut self, turn: i64, value: u64) {
        self.counts.receives -= 1;
        let at = self.returned.partition_point(|(other, _)| *other < turn);
        self.returned.insert(at, (turn, value));
    }

    fn came_back(&mut self) {
        while self.kind == Kind::Conflated && self.len() > 1 {
            // The latest stays.
            let gone = self.take_held().unwrap().1;
            self.counts.conflated += 1;
            self.counts.undelivered += 1;
            self.lost.push(gone);
        }
        // Back in the channel, possibly only until the next receiver gets it.
        self.counts.high_water = self.counts.high_water.max(self.len());
        while self.len() > 0
            && let Some(row) = self.pop(Side::Receiving)
        {
            let (turn, value) = self.take_held().unwrap();
            let turn = turn.unwrap_or_else(|| {
                self.turns += 1;
                self.turns
            });
            self.counts.receives += 1;
            self.end(row, State::Handed(turn, value));
            self.admit();
        }
    }

    fn offer_front(&mut self, values: &mut VecDeque<u64>) -> Option<Why> {
        while let Some(value) = values.front() {
            if let Err(why) = self.offer(*value) {
                return Some(why);
            }
            values.pop_front();
        }
        None
    }

    fn take_up_to(&mut self, max: usize) -> (Vec<u64>, Option<Why>) {
        let mut values = Vec::new();
        while values.len() < max {
            match self.take() {
                Ok(value) => values.push(value),
                Err(why) => {
                    self.received.extend(&values);
                    return (values, Some(why));
                }
            }
        }
        self.received.extend(&values);
        (values, None)
    }

    fn row(&self, row: usize) -> &Row {
        &self.rows[&row]
    }

    fn is_cancelled(&self, row: usize) -> bool {
        let token = self.row(row).token;
        token > 0 && self.tokens[token - 1]
    }

    fn queue(&mut self, row: usize, side: Side) {
        self.lines[side as usize].push_back(row);
        self.rows.get_mut(&row).unwrap().state = State::Waiting;
    }

    /// None: it waits.
    fn poll_send(&mut self, row: usize, value: u64) -> Option<Result<(), (Why, u64)>> {
        let why = match self.row(row).state {
            State::New if self.is_cancelled(row) => Why::Cancelled,
            State::New => match self.offer(value) {
                Ok(()) => return Some(Ok(())),
                Err(Why::WouldBlock) if self.row(row).late => Why::TimedOut,
                Err(Why::WouldBlock) => {
                    self.queue(row, Side::Sending);
                    return None;
                }
                Err(why) => why,
            },
            State::Waiting => return None,
            State::Sent => return Some(Ok(())),
            State::Closed(_) => Why::Closed,
            State::Cancelled => Why::Cancelled,
            State::Handed(..) => panic!("a send is handed nothing"),
        };
        Some(Err((self.failed(Side::Sending, why), value)))
    }

    fn poll_recv(&mut self, row: usize) -> Option<Result<u64, Why>> {
        let why = match self.row(row).state {
            State::New if self.is_cancelled(row) => Why::Cancelled,
            State::New => match self.take() {
                Ok(value) => {
                    self.received.push(value);
                    return Some(Ok(value));
                }
                Err(Why::WouldBlock) if self.row(row).late => Why::TimedOut,
                Err(Why::WouldBlock) => {
                    self.queue(row, Side::Receiving);
                    return None;
                }
                Err(why) => why,
            },
            State::Waiting => return None,
            State::Handed(_, value) => {
                self.received.push(value);
                return Some(Ok(value));
            }
            State::Closed(_) => Why::Closed,
            State::Cancelled => Why::Cancelled,
            State::Sent => panic!("a receive sends nothing"),
        };
        Some(Err(self.failed(Side::Receiving, why)))
    }

    fn poll_send_many(
        &mut self,
        row: usize,
        mut one: Option<u64>,
        mut rest: VecDeque<u64>,
    ) -> Option<Out> {
        loop {
            if let Some(value) = one {
                if let Err((why, value)) = self.poll_send(row, value)? {
                    rest.push_front(value);
                    return Some(Out::SentMany(Err(why), rest.into()));
                }
                self.rows.get_mut(&row).unwrap().state = State::New;
            }
            self.offer_front(&mut rest);
            one = rest.pop_front();
            self.rows.get_mut(&row).unwrap().what = What::SendMany(one, rest.clone());
            if one.is_none() {
                return Some(Out::SentMany(Ok(()), Vec::new()));
            }
        }
    }

    fn poll_recv_many(&mut self, row: usize, max: usize) -> Option<Out> {
        if self.row(row).state == State::New {
            let (values, _) = self.take_up_to(max);
            if !values.is_empty() || max == 0 {
                return Some(Out::ReceivedMany(Ok(values.len()), values));
            }
        }
        Some(match self.poll_recv(row)? {
            Ok(value) => {
                let mut values = vec![value];
                values.extend(self.take_up_to(max - 1).0);
                Out::ReceivedMany(Ok(values.len()), values)
            }
            Err(why) => Out::ReceivedMany(Err(why), Vec::new()),
        })
    }

    fn poll_select(&mut self, row: usize, value: u64) -> Option<Out> {
        match self.row(row).state {
            State::New => match (self.take(), self.closed) {
                (Ok(got), _) => {
                    self.received.push(got);
                    self.lost.push(value);
                    Some(Out::Received(Ok(got)))
                }
                (Err(Why::Closed), _) => {
                    self.lost.push(value);
                    Some(Out::Received(Err(self.failed(Side::Receiving, Why::Closed))))
                }
                (Err(_), _) if self.offer(value).is_ok() => Some(Out::Sent(Ok(()))),
                _ => {
                    self.queue(row, Side::Receiving);
                    self.queue(row, Side::Sending);
                    None
                }
            },
            State::Waiting => None,
            State::Sent => Some(Out::Sent(Ok(()))),
            State::Handed(_, got) => {
                self.received.push(got);
                self.lost.push(value);
                Some(Out::Received(Ok(got)))
            }
            State::Closed(Side::Sending) => {
                Some(Out::Sent(Err((self.failed(Side::Sending, Why::Closed), value))))
            }
            State::Closed(Side::Receiving) => {
                self.lost.push(value);
                Some(Out::Received(Err(self.failed(Side::Receiving, Why::Closed))))
            }
            State::Cancelled => panic!("it has no token"),
        }
    }
}

/// The sides of which an operation has handles.
fn sides(what: &What) -> &'static [Side] {
    match what {
        What::Send(_) | What::SendMany(..) => &[Side::Sending],
        What::Recv | What::RecvMany(_) => &[Side::Receiving],
        What::Select(_) => &[Side::Sending, Side::Receiving],
    }
}
