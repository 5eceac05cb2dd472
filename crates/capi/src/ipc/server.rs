// SPDX-License-Identifier: BSD-3-Clause
//! Channels for other processes: the C functions of `kcoro_ipc_server.h`.
//!
//! A command is handled by whoever calls, to its end: one answer, or none where the protocol has
//! none. A command that waits watches the connection meanwhile: the end of the client ends the
//! wait, so that nothing is taken for it.
//!
//! # Invariants
//!
//! 1. An element that was taken and whose answer was not sent goes back in front of its channel; so
//!    does one whose answer the client left unread, if that is certain (`outgoing`).
//! 2. `Err` here means that nobody can be answered; all that can be is an answer.

use std::ffi::c_int;
use std::ptr;
use std::slice;
use std::sync::Arc;
use std::time::Duration;

use becket_chan::{Kind, Receiver, RecvError, SendError, Snapshot, TryRecvError};
use becket_ipc::Element;
use becket_ipc::channels::{CAPACITY_MAX, Channel, ChannelError, Channels, Wanted};
use becket_wire::v1::{
    Body, Command, Errno, Hello, Info, Listing, PAYLOAD_BYTES_MAX, Reply, ReqId, Request, Stats,
    Timeout, kind,
};

use super::code::ECONNRESET;
use super::conn::Conn;
use super::handle::{lend, share, take_back};
use crate::blocking::{Event, Until, reactor};
use crate::boundary::call;
use crate::errno;

/// Channels that a context offers.
const CHANNELS_MAX: usize = 4096;

/// Channels in one answer, with room for what stands before them.
const LISTED_MAX: usize = (PAYLOAD_BYTES_MAX as usize - 64) / Listing::CHANNEL_BYTES;

/// `kc_ipc_server_ctx_t`.
pub struct Server {
    channels: Channels,
}

/// See `kcoro_ipc_server.h`.
#[unsafe(no_mangle)]
pub extern "C" fn kc_ipc_server_ctx_create() -> *mut Server {
    call(ptr::null_mut(), || lend(Arc::new(Server { channels: Channels::new(CHANNELS_MAX) })))
}

/// See `kcoro_ipc_server.h`.
///
/// # Safety
///
/// `handle` is null, or valid and not used again. Commands that wait may still be there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_ipc_server_ctx_destroy(handle: *mut Server) {
    call((), || {
        // SAFETY: the caller's promise.
        if let Some(server) = unsafe { take_back(handle) } {
            server.channels.close_all("the server ends");
        }
    });
}

/// See `kcoro_ipc_server.h`.
///
/// # Safety
///
/// `handle` and `conn` are null or valid; `payload` is valid for `len` reads, or null and `len` 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_ipc_handle_command(
    handle: *mut Server,
    conn: *mut Conn,
    command: u16,
    payload: *const u8,
    len: usize,
) -> c_int {
    call(errno::EIO, || {
        // SAFETY: the caller's promise.
        let (server, conn) = match unsafe { (share(handle), share(conn)) } {
            (Some(server), Some(conn)) => (server, conn),
            _ => return errno::EINVAL,
        };
        let payload = match (payload.is_null(), len) {
            (_, 0) => &[],
            (true, _) => return errno::EINVAL,
            // SAFETY: the caller's promise.
            (false, len) => unsafe { slice::from_raw_parts(payload, len) },
        };
        Session { server: &server, conn: &conn }.handle(command, payload).err().unwrap_or(errno::OK)
    })
}

/// A client and what it is offered.
struct Session<'a> {
    server: &'a Server,
    conn: &'a Arc<Conn>,
}

/// Why a request is not answered with what it asked for.
enum Failed {
    /// Answered with this.
    With(Errno),
    /// Nobody is there to be answered.
    Gone(c_int),
}

impl From<Errno> for Failed {
    fn from(errno: Errno) -> Self {
        Self::With(errno)
    }
}

/// What a request comes to.
enum Outcome {
    Body(Body<'static>),
    /// An element, and where it goes if it cannot be delivered.
    Element(Element, Arc<Channel>),
    List(Vec<Info>),
    /// There is no answer.
    None,
}

impl Session<'_> {
    fn handle(&self, command: u16, payload: &[u8]) -> Result<(), c_int> {
        let (request, req_id) = match Request::parse(command, payload) {
            Ok(parsed) => parsed,
            Err(fault) => return self.fail(command, fault.req_id, fault.errno),
        };
        let outcome = match self.perform(&request) {
            Ok(outcome) => outcome,
            Err(Failed::With(errno)) => return self.fail(command, req_id, errno),
            Err(Failed::Gone(code)) => return Err(code),
        };
        let Some(command) = request.command().answered_as() else { return Ok(()) };
        match outcome {
            Outcome::None => Ok(()),
            Outcome::Body(body) => self.answer(&Reply { command, req_id, body }),
            Outcome::Element(element, channel) => self.deliver(command, req_id, element, &channel),
            Outcome::List(channels) => {
                let mut buffer = Vec::new();
                let listing = Listing::new(channels, &mut buffer).map_err(|_| errno::EIO)?;
                self.answer(&Reply { command, req_id, body: Body::Listing(listing) })
            }
        }
    }

    fn answer(&self, reply: &Reply<'_>) -> Result<(), c_int> {
        let mut frame = Vec::new();
        reply.encode(&mut frame).map_err(|_| errno::EIO)?;
        self.conn.send(frame, None, Until::Ever)
    }

    fn fail(&self, command: u16, req_id: Option<ReqId>, errno: Errno) -> Result<(), c_int> {
        let mut frame = Vec::new();
        Reply::encode_result(command, req_id, errno.result(), &mut frame)
            .map_err(|_| errno::EIO)?;
        // A command without an answer has none to its faults either.
        if frame.is_empty() { Ok(()) } else { self.conn.send(frame, None, Until::Ever) }
    }

    /// Answers with an element; or gives it back.
    fn deliver(
        &self,
        command: Command,
        req_id: Option<ReqId>,
        element: Element,
        channel: &Arc<Channel>,
    ) -> Result<(), c_int> {
        let put_back = PutBack { channel: channel.clone(), element: Some(element.clone()) };
        let mut frame = Vec::new();
        let reply = Reply { command, req_id, body: Body::Element(element.as_slice()) };
        reply.encode(&mut frame).map_err(|_| errno::EIO)?;
        let (unread, to) = (element.clone(), channel.clone());
        let give_back = Box::new(move || give_back(&to, unread));
        self.conn.send(frame, Some(give_back), Until::Ever)?;
        put_back.keep();
        Ok(())
    }

    fn perform(&self, request: &Request<'_>) -> Result<Outcome, Failed> {
        let channels = &self.server.channels;
        let served = &self.conn.served;
        Ok(Outcome::Body(match *request {
            Request::Hello(_) | Request::GetInfo { chan: None } => Body::Hello(Hello::V1),
            Request::GetInfo { chan: Some(chan) } => Body::Info(info(&*self.channel(chan)?)),
            Request::GetStats { chan } => Body::Stats(served.since(stats(&*self.channel(chan)?))),
            Request::ResetStats { chan } => {
                if !served.count_anew(stats(&*self.channel(chan)?)) {
                    return Err(Errno::NOSPC.into());
                }
                Body::Result(0)
            }
            Request::SetConfig { timeout } => {
                served.set_timeout(timeout);
                Body::Result(0)
            }
            Request::List { after } => {
                let page = channels.page(after, LISTED_MAX);
                return Ok(Outcome::List(page.iter().map(|channel| info(channel)).collect()));
            }
            Request::ChanMake { kind, elem_size, capacity } => {
                Body::Made(self.make(kind, elem_size, capacity)?.id())
            }
            Request::ChanSend { chan, timeout, element } => {
                self.send(chan, element, timeout.unwrap_or_else(|| served.timeout()))?
            }
            Request::ChanTrySend { chan, element } => self.send(chan, element, Timeout::Ms(0))?,
            Request::ChanRecv { chan, timeout } => {
                return self.recv(chan, timeout.unwrap_or_else(|| served.timeout()));
            }
            Request::ChanTryRecv { chan } => return self.recv(chan, Timeout::Ms(0)),
            Request::ChanClose { chan } => {
                self.channel(chan)?.close(None);
                Body::Result(0)
            }
            Request::ChanDestroy { chan } => {
                channels.destroy(chan);
                served.forget(chan);
                return Ok(Outcome::None);
            }
            _ => return Err(Errno::NOSYS.into()),
        }))
    }

    fn channel(&self, chan: u32) -> Result<Arc<Channel>, Failed> {
        self.server.channels.by_id(chan).ok_or(Errno::NOENT.into())
    }

    fn make(&self, kind: i32, elem_size: u32, capacity: u32) -> Result<Arc<Channel>, Failed> {
        let capacity = usize::try_from(capacity).unwrap_or(usize::MAX);
        let (kind, capacity) = match (kind, capacity) {
            (kind::RENDEZVOUS, _) => (Kind::Rendezvous, 0),
            (kind::CONFLATED, _) => (Kind::Conflated, 0),
            (kind::UNLIMITED, _) => (Kind::Unlimited, 0),
            // Any number above zero is a buffered channel, whose capacity it is if none is given.
            (number, 0) => (Kind::Bounded, usize::try_from(number).map_err(|_| Errno::INVAL)?),
            (_, capacity) => (Kind::Bounded, capacity),
        };
        let wanted = Wanted { kind, capacity, element_bytes: Some(elem_size) };
        let made = self.server.channels.make(None, wanted);
        made.map_err(|error| match error {
            ChannelError::BadCapacity(_) => Errno::INVAL.into(),
            _ => Errno::NOSPC.into(),
        })
    }

    fn send(&self, chan: u32, element: &[u8], timeout: Timeout) -> Result<Body<'static>, Failed> {
        let channel = self.channel(chan)?;
        let sender = channel.sender().ok_or(Errno::INVAL)?;
        let size = u32::try_from(element.len()).ok();
        if channel.element_bytes().is_some_and(|bytes| size != Some(bytes)) {
            return Err(Errno::INVAL.into());
        }
        if channel.kind() == Kind::Unlimited && sender.len() >= CAPACITY_MAX {
            return Err(Errno::NOSPC.into());
        }
        let refused = match sender.try_send(Element::from(element.to_vec())) {
            Ok(()) => return Ok(Body::Result(0)),
            Err(refused) if refused.is_closed() => return Err(Errno::PIPE.into()),
            Err(refused) => refused.into_inner(),
        };
        let waited = self.waiting(timeout, |token, time| {
            let send = sender.send(refused).cancel_on(token);
            match time {
                Some(time) => send.timeout(time).wait(),
                None => send.wait(),
            }
        })?;
        match waited {
            (Ok(()), _) => Ok(Body::Result(0)),
            (Err(SendError::Closed(_)), _) => Err(Errno::PIPE.into()),
            (Err(SendError::Cancelled(_)), why) => Err(why),
            (Err(_), _) => Err(Errno::TIME.into()),
        }
    }

    fn recv(&self, chan: u32, timeout: Timeout) -> Result<Outcome, Failed> {
        let channel = self.channel(chan)?;
        let receiver = channel.receiver().ok_or(Errno::INVAL)?;
        let element = match receiver.try_recv() {
            Ok(element) => element,
            Err(TryRecvError::Closed) => return Err(Errno::PIPE.into()),
            Err(_) => self.recv_waiting(receiver, timeout)?,
        };
        Ok(Outcome::Element(element, channel))
    }

    fn recv_waiting(
        &self,
        receiver: &Receiver<Element>,
        timeout: Timeout,
    ) -> Result<Element, Failed> {
        let waited = self.waiting(timeout, |token, time| {
            let recv = receiver.recv().cancel_on(token);
            match time {
                Some(time) => recv.timeout(time).wait(),
                None => recv.wait(),
            }
        })?;
        match waited {
            (Ok(element), _) => Ok(element),
            (Err(RecvError::Closed), _) => Err(Errno::PIPE.into()),
            (Err(RecvError::Cancelled), why) => Err(why),
            (Err(_), _) => Err(Errno::TIME.into()),
        }
    }

    /// Waits with a token that is set when the client is gone or the caller's context cancelled,
    /// and tells what that would mean.
    fn waiting<R>(
        &self,
        timeout: Timeout,
        wait: impl FnOnce(&becket_chan::Token, Option<Duration>) -> R,
    ) -> Result<(R, Failed), Failed> {
        if timeout == Timeout::Ms(0) {
            return Err(Errno::AGAIN.into());
        }
        let event = Event::new();
        let token = event.trigger();
        let watch = reactor::watch(self.conn.fd(), token.clone()).map_err(Failed::Gone)?;
        let result = wait(&token, timeout.duration());
        drop(watch);
        let why =
            if event.is_cancelled() { Errno::CANCELED.into() } else { Failed::Gone(ECONNRESET) };
        Ok((result, why))
    }
}

/// Gives an element back unless it was delivered; also if the coroutine is ended meanwhile.
struct PutBack {
    channel: Arc<Channel>,
    element: Option<Element>,
}

impl PutBack {
    fn keep(mut self) {
        self.element = None;
    }
}

impl Drop for PutBack {
    fn drop(&mut self) {
        if let Some(element) = self.element.take() {
            give_back(&self.channel, element);
        }
    }
}

fn give_back(channel: &Channel, element: Element) {
    if let Some(receiver) = channel.receiver() {
        receiver.put_back(element);
    }
}

fn info(channel: &Channel) -> Info {
    let kind = match channel.kind() {
        Kind::Rendezvous => kind::RENDEZVOUS,
        Kind::Conflated => kind::CONFLATED,
        Kind::Unlimited => kind::UNLIMITED,
        _ => kind::BUFFERED,
    };
    let capacity = match channel.kind() {
        Kind::Bounded => channel.capacity().and_then(|most| u32::try_from(most).ok()),
        _ => None,
    };
    Info {
        chan: channel.id(),
        kind,
        elem_size: channel.element_bytes().unwrap_or(0),
        capacity: capacity.unwrap_or(0),
    }
}

fn stats(channel: &Channel) -> Stats {
    let none = Stats { chan: channel.id(), ..Stats::default() };
    let Some(Snapshot {
        sends,
        receives,
        senders_waiting,
        receivers_waiting,
        undelivered,
        high_water,
        ..
    }) = channel.snapshot()
    else {
        return none;
    };
    Stats {
        send_ops: sends,
        recv_ops: receives,
        waiters_send: u32::try_from(senders_waiting).unwrap_or(u32::MAX),
        waiters_recv: u32::try_from(receivers_waiting).unwrap_or(u32::MAX),
        drops: undelivered,
        fifo_max: high_water as u64,
        ..none
    }
}
