// SPDX-License-Identifier: BSD-3-Clause
//! A client's connection: its lock, its dispatches, its socket.
//!
//! It keeps itself alive until it ends, and then closes its socket. It is dispatched by the I/O
//! thread, by a channel that wakes one of its operations, and by a timer. A thread that finds it
//! locked sets the pending flag, and the holder dispatches it again.
//!
//! The socket's events are edge-triggered, so a dispatch reads until nothing is left, or until so
//! many answers wait that they have to be sent first, or requests another dispatch.

use std::cell::Cell;
use std::future::Future;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Waker};

use becket_chan::Token;
use becket_chan::timer::{self, Sleep};
use becket_wire::v1::{Assembler, HEADER_BYTES, Hello, Packets, ReqId, decode};
use rustix::io::Errno;
use rustix::net::sockopt::socket_error;
use rustix::net::{RecvFlags, recv};

use super::Server;
use super::state::{Flow, State};
use super::status::{ClientCounters, Status, add};
use crate::connection::pending_lock::PendingLock;
use crate::connection::waking::{Dispatch, StreamWaker, Wakeable, Woken, run_or_enqueue};
use crate::reactor::{self, Account, Ready, Requested, Slice, Watched};
use crate::transport::{Peer, Socket, SocketKind};

/// The maximum number of packets, or reads of a stream, before other connections are dispatched.
const READS_PER_DISPATCH: usize = 64;
/// The maximum number of them before the clock is read.
const READS_AT_ONCE: usize = 4;
/// The number of the connection's own waker, among those of its waits.
const OWN: u32 = u32::MAX;

thread_local! {
    /// The read buffer for packets: one per thread, taken while it is used.
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// A `HELLO` that was read before the protocol was known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EarlyHello {
    /// Its contents.
    pub hello: Hello,
    /// The request id that its answer repeats.
    pub req_id: Option<ReqId>,
    /// How it was split into packets.
    pub packets: Packets,
    /// From a stream: the bytes that were read after it.
    pub rest: Vec<u8>,
}

/// A client of protocol 1.0 and its connection. See [`Client::start`].
pub struct Client {
    core: PendingLock<Core>,
    peer: Peer,
    transport: &'static str,
    counters: Arc<ClientCounters>,
    /// Another dispatch by the I/O thread.
    requested: Requested,
    closing: AtomicBool,
    over: Token,
    woken: Woken,
}

struct Core {
    /// `None` once the connection has ended.
    open: Option<Open>,
    state: State,
    slots: Vec<u32>,
    /// The timeout of its `HELLO`, until that has arrived.
    hello: Option<Sleep>,
    own_waker: Waker,
}

struct Open {
    socket: Socket,
    input: Input,
    payload_bytes_max: u32,
    answers_max: usize,
    /// Its handshake was refused.
    is_refused: bool,
    /// Answers cannot be sent to it any more.
    cannot_send: bool,
    /// It has disconnected with unread data.
    left_unread: bool,
    _watched: Watched,
    /// A reference to the connection, which lives as long as it is open.
    _client: Arc<Client>,
}

enum Input {
    Packets(Assembler),
    Bytes(Vec<u8>),
}

/// Why reading stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stopped {
    /// Nothing is left: the socket will report more.
    Empty,
    /// Too many answers wait to be sent.
    Behind,
    /// The limit of one dispatch is reached.
    Enough,
    /// The connection has ended.
    Over,
}

impl Client {
    /// Begins to serve a client. If its `HELLO` was read already, this answers it; otherwise the
    /// client has to send it within [`hello_timeout`](super::Limits::hello_timeout).
    ///
    /// The connection lives until the client disconnects, violates the protocol or is
    /// [closed](Self::close); the handle need not be kept.
    ///
    /// # Errors
    ///
    /// The system cannot watch another descriptor.
    pub fn start(
        socket: Socket,
        early_hello: Option<EarlyHello>,
        server: &Arc<Server>,
    ) -> std::io::Result<Arc<Self>> {
        let counters = Arc::new(ClientCounters::new());
        let client = Arc::new_cyclic(|me: &Weak<Self>| {
            let me: Weak<dyn Wakeable> = me.clone();
            let core = Core {
                open: None,
                state: State::new(server.clone(), me.clone(), counters.clone()),
                slots: Vec::new(),
                hello: None,
                own_waker: StreamWaker::make(me, OWN),
            };
            Self {
                core: PendingLock::new(core),
                peer: *socket.peer(),
                transport: match socket.kind() {
                    SocketKind::Seqpacket => "unix-seqpacket",
                    SocketKind::Stream => "unix-stream",
                },
                counters: counters.clone(),
                requested: Requested::default(),
                closing: AtomicBool::new(false),
                over: Token::new(),
                woken: Woken::default(),
            }
        });
        let owner: Arc<dyn Ready> = client.clone();
        let watched = reactor::watch(socket.as_fd(), Arc::downgrade(&owner))?;
        let limits = &server.limits;
        let mut core = client.core.lock();
        let mut open = Open {
            input: match socket.kind() {
                SocketKind::Seqpacket => Input::Packets(Assembler::new(limits.payload_bytes_max)),
                SocketKind::Stream => Input::Bytes(Vec::new()),
            },
            socket,
            payload_bytes_max: limits.payload_bytes_max,
            answers_max: limits.answers_max.max(1),
            is_refused: false,
            cannot_send: false,
            left_unread: false,
            _watched: watched,
            _client: client.clone(),
        };
        match early_hello {
            Some(early_hello) => {
                if let Input::Bytes(buffer) = &mut open.input {
                    buffer.extend_from_slice(&early_hello.rest);
                }
                add(&counters.frames_in, 1);
                add(&counters.bytes_in, early_hello.rest.len() as u64);
                open.is_refused = core.state.early_hello(&early_hello) == Flow::End;
            }
            None => core.hello = Some(timer::sleep(limits.hello_timeout)),
        }
        core.open = Some(open);
        drop(core);
        server.add(&client);
        run_or_enqueue(client.clone());
        Ok(client)
    }

    /// The client's process.
    #[must_use]
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// Its status.
    #[must_use]
    pub fn status(&self) -> Status {
        self.counters.status(self.peer, self.transport)
    }

    /// Cancelled once the connection has ended, and every value that the client has not read was
    /// requeued.
    #[must_use]
    pub fn over(&self) -> &Token {
        &self.over
    }

    /// Ends the connection as if the client had disconnected, here or on the thread that serves it
    /// now: wait for [`over`](Self::over).
    pub fn close(self: &Arc<Self>) {
        self.closing.store(true, Ordering::Release);
        run_or_enqueue(self.clone());
    }

    /// Requests another dispatch by the I/O thread, after the other connections.
    fn queue(self: &Arc<Self>) {
        if reactor::again(self).is_err() {
            // Without an I/O thread there are no other connections to alternate with.
            self.core.set_pending();
        }
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("peer", &self.peer).finish_non_exhaustive()
    }
}

impl Ready for Client {
    fn ready(self: Arc<Self>) {
        run_or_enqueue(self);
    }

    fn account(&self) -> Account {
        Account::of_process(self.peer.pid)
    }

    fn requested(&self) -> Option<&Requested> {
        Some(&self.requested)
    }
}

impl Wakeable for Client {
    fn woken(&self) -> &Woken {
        &self.woken
    }
}

impl Dispatch for Client {
    fn run(self: Arc<Self>) {
        loop {
            // The holder of the lock checks the pending flag when it unlocks.
            let Some(mut core) = self.core.enter() else { return };
            let has_more = core.dispatch(&self);
            drop(core);
            if has_more {
                self.queue();
            }
            if !self.core.is_pending() {
                return;
            }
        }
    }
}

impl Core {
    /// Does all pending work. True: it stopped at the limit of one dispatch.
    fn dispatch(&mut self, client: &Client) -> bool {
        loop {
            self.serve_woken(&client.woken);
            let Some(open) = &mut self.open else { return false };
            let stopped = open.read(&mut self.state);
            open.flush(&mut self.state);
            self.state.show();
            let (has_room, cannot_send) = (!open.is_behind(&self.state), open.cannot_send);
            if stopped == Stopped::Over || client.closing.load(Ordering::Acquire) || self.is_late()
            {
                self.end();
                client.over.cancel();
                return false;
            }
            match stopped {
                // The answers were sent meanwhile, or it turned out that they cannot be. Otherwise
                // the socket reports when they can.
                Stopped::Behind if has_room || cannot_send => {}
                Stopped::Enough => return true,
                _ => return false,
            }
        }
    }

    /// Polls the operations that were woken.
    fn serve_woken(&mut self, woken: &Woken) {
        woken.take(&mut self.slots);
        for slot in self.slots.drain(..).filter(|slot| *slot != OWN) {
            if self.open.is_some() {
                self.state.woken(slot);
            }
        }
    }

    /// Whether the timeout of `HELLO` has passed.
    fn is_late(&mut self) -> bool {
        if self.state.is_greeted {
            self.hello = None;
        }
        let mut context = Context::from_waker(&self.own_waker);
        self.hello.as_mut().is_some_and(|hello| Pin::new(hello).poll(&mut context).is_ready())
    }

    fn end(&mut self) {
        if let Some(open) = self.open.take() {
            self.state.end(open.has_left_unread());
            self.hello = None;
            open.socket.shut();
        }
    }
}

impl Open {
    /// Reads and serves what has arrived.
    fn read(&mut self, state: &mut State) -> Stopped {
        if self.is_refused {
            return Stopped::Over;
        }
        let mut packet = BUFFER.take();
        packet.resize(HEADER_BYTES + self.payload_bytes_max as usize, 0);
        let mut stopped = Stopped::Enough;
        let mut slice = Slice::default();
        for reads in 1..=READS_PER_DISPATCH {
            let read = self.read_once(&mut packet, state);
            if let Err(why) = read {
                stopped = why;
                break;
            }
            if reads.is_multiple_of(READS_AT_ONCE) && slice.is_over() {
                break;
            }
        }
        BUFFER.set(packet);
        stopped
    }

    /// Serves a packet, or the result of one read of a stream.
    fn read_once(&mut self, packet: &mut [u8], state: &mut State) -> Result<(), Stopped> {
        // The buffer of a stream comes before the bytes in its socket.
        self.serve_buffer(state)?;
        if self.is_behind(state) {
            return Err(if self.cannot_send { Stopped::Over } else { Stopped::Behind });
        }
        // With `TRUNC` the result is the length of the whole packet, truncated or not.
        let flags = RecvFlags::DONTWAIT | RecvFlags::TRUNC;
        let flags =
            if self.socket.kind() == SocketKind::Stream { RecvFlags::DONTWAIT } else { flags };
        let (bytes, whole_bytes) = match recv(&self.socket, &mut *packet, flags) {
            Ok((_, 0)) => return Err(Stopped::Over),
            Ok(read) => read,
            Err(Errno::AGAIN) => return Err(Stopped::Empty),
            Err(Errno::INTR) => return Ok(()),
            // It is reported once. What the client sent before it disconnected can still be read.
            Err(Errno::CONNRESET) if !self.left_unread => {
                self.left_unread = true;
                self.cannot_send = true;
                return Ok(());
            }
            Err(_) => return Err(Stopped::Over),
        };
        add(&state.counters.bytes_in, bytes as u64);
        let read = packet.get(..bytes).unwrap_or_default();
        match &mut self.input {
            Input::Packets(_) if whole_bytes > bytes => Err(Stopped::Over),
            Input::Packets(assembler) => {
                let frame = assembler.packet(read).map_err(|_| Stopped::Over)?;
                state.outgoing.packets = assembler.packets();
                let flow = frame.map_or(Flow::Go, |frame| state.frame(&frame));
                over_at(flow)
            }
            Input::Bytes(buffer) => {
                buffer.extend_from_slice(read);
                Ok(())
            }
        }
    }

    /// Serves the frames in the buffer of a stream.
    fn serve_buffer(&mut self, state: &mut State) -> Result<(), Stopped> {
        let Input::Bytes(buffer) = &mut self.input else { return Ok(()) };
        let mut served_bytes = 0;
        let mut flow = Ok(());
        while flow.is_ok() && state.outgoing.len() < self.answers_max {
            let rest = buffer.get(served_bytes..).unwrap_or_default();
            match decode(rest, self.payload_bytes_max) {
                Ok(Some((frame, bytes))) => {
                    flow = over_at(state.frame(&frame));
                    served_bytes += bytes;
                }
                Ok(None) => break,
                Err(_) => flow = Err(Stopped::Over),
            }
        }
        buffer.drain(..served_bytes.min(buffer.len()));
        flow
    }

    /// Sends what can be sent.
    fn flush(&mut self, state: &mut State) {
        if self.cannot_send {
            return;
        }
        let flushed = state.outgoing.flush(&self.socket);
        state.count_answers(flushed.frames);
        add(&state.counters.bytes_out, flushed.bytes);
        if let Some(errno) = flushed.failed {
            // The disconnect is reported by reading, after what the client sent before.
            self.cannot_send = true;
            self.left_unread |= errno == Errno::CONNRESET;
        }
    }

    /// Whether too many answers wait to continue reading.
    fn is_behind(&self, state: &State) -> bool {
        state.outgoing.len() >= self.answers_max
    }

    /// Whether the client has disconnected with unread data.
    fn has_left_unread(&self) -> bool {
        self.left_unread || matches!(socket_error(&self.socket), Ok(Err(Errno::CONNRESET)))
    }
}

const fn over_at(flow: Flow) -> Result<(), Stopped> {
    match flow {
        Flow::Go => Ok(()),
        Flow::End => Err(Stopped::Over),
    }
}
