// SPDX-License-Identifier: BSD-3-Clause
//! Requests of a connection that wait for their answers; one caller reads for all of them.
//!
//! ```text
//!   caller A ─ request 1 ─┐                         ┌─ reads, delivers answers, waits for more
//!   caller B ─ request 2 ─┼─ table ── one of them ──┤
//!   caller C ─ request 3 ─┘                         └─ done or late: the next one is woken to read
//! ```
//!
//! An answer goes to the request of its number. A server that does not support numbers answers in
//! order: its answer goes to the oldest request of that command.
//!
//! # Invariants
//!
//! 1. At most one caller reads. A caller that leaves while no other reads wakes a waiting one, so
//!    that there is a reader as long as there is a waiter; if the connection is over, it wakes all.
//! 2. A request is in the table until it was answered, even if its caller has left. So a late
//!    answer finds its request, and numbers are not reused too early.
//! 3. An element that arrives for a caller that has left goes to another receive that waits for
//!    that channel, or is kept for the next receive: none is dropped while the connection lives.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ffi::c_int;
use std::sync::Arc;

use becket_chan::Token;
use becket_wire::v1::{Body, Command, Frame, Reply, ReqId, Request};
use parking_lot::Mutex;

use super::code::{ENOBUFS, EPROTO};
use super::conn::Conn;
use crate::blocking::reactor::{self, Direction};
use crate::blocking::{Event, Until};
use crate::errno;

/// The largest number of requests that wait for their answers.
const REQUESTS_MAX: usize = 4096;

#[derive(Default)]
pub(super) struct Calls(Mutex<Table>);

#[derive(Default)]
struct Table {
    last: u32,
    requests: BTreeMap<u32, Asked>,
    is_read: bool,
    /// Elements whose callers have left, by channel.
    kept: HashMap<u32, VecDeque<Vec<u8>>>,
}

struct Asked {
    /// The command of its answer.
    answer: Command,
    chan: u32,
    /// `None`: the caller has left.
    caller: Option<Arc<Caller>>,
}

#[derive(Default)]
struct Caller(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    answer: Option<Answer>,
    /// Set when there is an answer, or when the caller is to read.
    wake: Option<Token>,
}

/// An answer of a server.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Result(i32),
    Made(u32),
    Element(Vec<u8>),
}

impl Caller {
    fn give(&self, answer: Answer) {
        self.0.lock().answer = Some(answer);
        self.wake();
    }

    fn wake(&self) {
        let token = self.0.lock().wake.take();
        if let Some(token) = token {
            token.cancel();
        }
    }

    fn has_answer(&self) -> bool {
        self.0.lock().answer.is_some()
    }
}

/// Sends a request and waits for its answer.
///
/// `ETIMEDOUT` and `ECANCELED`: the result is unknown, unless the request could not even be sent.
pub(super) fn ask(conn: &Conn, request: &Request<'_>, until: Until) -> Result<Answer, c_int> {
    let answer = request.command().answered_as().ok_or(errno::EINVAL)?;
    let mut call = Call::begin(conn, answer, chan_of(request))?;
    if let Some(kept) = call.take_answer() {
        return Ok(kept);
    }
    let mut frame = Vec::new();
    let number = Some(ReqId::Short(call.number));
    request.encode(number, &mut frame).map_err(|_| errno::EINVAL)?;
    // Also if its coroutine is ended meanwhile.
    call.sent = true;
    if let Err(error) = conn.send(frame, until) {
        call.sent = false;
        return Err(error);
    }
    call.wait(until)
}

fn chan_of(request: &Request<'_>) -> u32 {
    match *request {
        Request::ChanSend { chan, .. }
        | Request::ChanTrySend { chan, .. }
        | Request::ChanRecv { chan, .. }
        | Request::ChanTryRecv { chan }
        | Request::ChanClose { chan }
        | Request::ChanDestroy { chan } => chan,
        _ => 0,
    }
}

impl Calls {
    /// Keeps an element for the next receive, before all others.
    pub(super) fn keep(&self, chan: u32, element: Vec<u8>) {
        self.0.lock().kept.entry(chan).or_default().push_front(element);
    }

    /// Drops the kept elements of a channel that has no receiver any more.
    pub(super) fn forget(&self, chan: u32) {
        self.0.lock().kept.remove(&chan);
    }

    /// Delivers a frame. An error: it is no answer.
    fn deliver(&self, frame: &Frame<'_>) -> Result<(), c_int> {
        if !frame.is_whole() {
            return Err(EPROTO);
        }
        let reply = Reply::parse(frame.header.command, frame.payload).map_err(|_| EPROTO)?;
        let mut table = self.0.lock();
        let number = match reply.req_id {
            Some(ReqId::Short(number)) => Some(number),
            Some(ReqId::Long(number)) => u32::try_from(number).ok(),
            None => table.oldest(reply.command),
        };
        let Some(asked) = number.and_then(|number| table.requests.remove(&number)) else {
            // An event that was not requested.
            return Ok(());
        };
        let answer = match reply.body {
            _ if reply.command != asked.answer => return Err(EPROTO),
            Body::Result(0) if matches!(asked.answer, Command::ChanRecv | Command::ChanMake) => {
                return Err(EPROTO);
            }
            Body::Result(result) => Answer::Result(result),
            Body::Made(chan) => Answer::Made(chan),
            Body::Element(element) => Answer::Element(element.to_vec()),
            _ => return Err(EPROTO),
        };
        let caller = match (asked.caller, answer) {
            (Some(caller), answer) => Some((caller, answer)),
            (None, Answer::Element(element)) => table.pass_on(asked.chan, element),
            // The result is not needed any more.
            (None, _) => None,
        };
        drop(table);
        if let Some((caller, answer)) = caller {
            caller.give(answer);
        }
        Ok(())
    }
}

impl Table {
    fn take_kept(&mut self, chan: u32) -> Option<Vec<u8>> {
        let kept = self.kept.get_mut(&chan)?;
        let element = kept.pop_front();
        if kept.is_empty() {
            self.kept.remove(&chan);
        }
        element
    }

    /// The oldest request with this answer. Numbers wrap around after 2^32; the order is then
    /// wrong, which does not matter to a server that supports numbers, and others have not seen so
    /// many.
    fn oldest(&self, answer: Command) -> Option<u32> {
        self.requests.iter().find(|(_, asked)| asked.answer == answer).map(|(&number, _)| number)
    }

    /// The waiting receive that gets an element whose caller has left; that receive's own answer
    /// then has no caller. Without a waiting receive the element is kept.
    fn pass_on(&mut self, chan: u32, element: Vec<u8>) -> Option<(Arc<Caller>, Answer)> {
        let waiting = self.requests.values_mut().find(|asked| {
            asked.answer == Command::ChanRecv && asked.chan == chan && asked.caller.is_some()
        });
        match waiting.and_then(|asked| asked.caller.take()) {
            Some(caller) => Some((caller, Answer::Element(element))),
            None => {
                self.kept.entry(chan).or_default().push_back(element);
                None
            }
        }
    }

    /// Ensures that a waiting caller reads.
    fn pass_reading_on(&self, is_over: bool) {
        if self.is_read {
            return;
        }
        let callers = self.requests.values().filter_map(|asked| asked.caller.as_ref());
        let count = if is_over { usize::MAX } else { 1 };
        callers.take(count).for_each(|caller| caller.wake());
    }
}

/// A request and its caller.
struct Call<'a> {
    conn: &'a Conn,
    number: u32,
    chan: u32,
    caller: Arc<Caller>,
    sent: bool,
    reads: bool,
}

impl<'a> Call<'a> {
    fn begin(conn: &'a Conn, answer: Command, chan: u32) -> Result<Self, c_int> {
        conn.check()?;
        let caller = Arc::new(Caller::default());
        let mut table = conn.calls.0.lock();
        if answer == Command::ChanRecv
            && let Some(element) = table.take_kept(chan)
        {
            caller.0.lock().answer = Some(Answer::Element(element));
            return Ok(Self { conn, number: 0, chan, caller, sent: false, reads: false });
        }
        if table.requests.len() >= REQUESTS_MAX {
            return Err(ENOBUFS);
        }
        let number = loop {
            table.last = table.last.wrapping_add(1);
            if table.last != 0 && !table.requests.contains_key(&table.last) {
                break table.last;
            }
        };
        table.requests.insert(number, Asked { answer, chan, caller: Some(caller.clone()) });
        Ok(Self { conn, number, chan, caller, sent: false, reads: false })
    }

    fn take_answer(&self) -> Option<Answer> {
        self.caller.0.lock().answer.take()
    }

    fn wait(&mut self, until: Until) -> Result<Answer, c_int> {
        loop {
            let event = Event::new();
            {
                let mut table = self.conn.calls.0.lock();
                let mut waiting = self.caller.0.lock();
                if let Some(answer) = waiting.answer.take() {
                    return Ok(answer);
                }
                self.conn.check()?;
                if table.is_read {
                    waiting.wake = Some(event.trigger());
                } else {
                    table.is_read = true;
                    self.reads = true;
                }
            }
            if self.reads {
                self.read(until)?;
            } else {
                let waited = event.wait(until);
                // An answer that arrived at the last moment counts.
                if !self.caller.has_answer() {
                    waited?;
                }
            }
        }
    }

    /// Reads for all, until its own answer is there.
    fn read(&self, until: Until) -> Result<(), c_int> {
        let mut waited = Ok(());
        while !self.caller.has_answer() {
            match self.conn.recv_now(|frame| self.conn.calls.deliver(&frame))? {
                Some(Ok(())) => {}
                Some(Err(error)) => {
                    self.conn.end(error);
                    return Err(error);
                }
                // A frame that arrived at the last moment has been processed.
                None if waited.is_err() => return waited,
                None => waited = reactor::wait(self.conn.fd(), Direction::Readable, until),
            }
        }
        Ok(())
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        let is_over = self.conn.check().is_err();
        let mut table = self.conn.calls.0.lock();
        if self.reads {
            table.is_read = false;
        }
        if !self.sent {
            table.requests.remove(&self.number);
        } else if let Some(asked) = table.requests.get_mut(&self.number) {
            asked.caller = None;
        }
        let passed = match self.take_answer() {
            Some(Answer::Element(element)) => table.pass_on(self.chan, element),
            _ => None,
        };
        table.pass_reading_on(is_over);
        drop(table);
        if let Some((caller, answer)) = passed {
            caller.give(answer);
        }
    }
}
