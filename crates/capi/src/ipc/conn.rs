// SPDX-License-Identifier: BSD-3-Clause
//! A connection: frames in, frames out, its end.
//!
//! No lock is held during a wait: each attempt is under a lock and does not wait; between attempts
//! the caller waits for the descriptor.
//!
//! # Invariants
//!
//! 1. Frames leave whole and in the order in which they were accepted, whichever thread sends them.
//! 2. Frames that arrived before the peer closed can still be received; then comes `ECONNRESET`,
//!    for good.
//! 3. Bytes that are no frame end the connection: nothing after them could be trusted.

use std::ffi::c_int;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use becket_chan::Token;
use becket_ipc::reactor::Ready;
use becket_ipc::transport::Socket;
use becket_ipc::v1::{Outgoing, Value};
use becket_wire::v1::{
    Assembler, Frame, FrameError, HEADER_BYTES, Header, PAYLOAD_BYTES_MAX, Packets,
};
use parking_lot::Mutex;
use rustix::io::Errno;
use rustix::net::{RecvFlags, Shutdown};

use super::calls::Calls;
use super::code::{ECONNRESET, EMSGSIZE, ENOBUFS, EPROTO, of_system};
use super::served::Served;
use crate::blocking::reactor::{self, Direction};
use crate::blocking::{Event, Until};
use crate::errno;

/// Bytes that are accepted before the first frame is refused.
const BYTES_MAX: u64 = 1 << 20;

/// `kc_ipc_conn_t`.
pub struct Conn {
    /// For the server's side. Before the socket, which it watches.
    pub(super) served: Served,
    socket: Socket,
    waits: AtomicBool,
    /// The peer has sent header and payload in one packet: so it can read them.
    in_one: AtomicBool,
    /// The error with which it is over; 0: it is not.
    over: AtomicI32,
    incoming: Mutex<Incoming>,
    outgoing: Mutex<Sending>,
    /// For the client's side.
    pub(super) calls: Calls,
}

struct Incoming {
    assembler: Assembler,
    /// Room for the largest packet; allocated when the first one is awaited.
    packet: Vec<u8>,
}

/// The frames to send; each is one packet or two, as the peer packs its own. Until the peer has
/// sent something, header and payload are sent separately, which every peer can read: some read a
/// header and its payload with two calls.
#[derive(Default)]
struct Sending {
    frames: Outgoing,
    /// The peer is gone: nothing can be sent.
    is_gone: bool,
    /// Values to be requeued without the lock, the oldest first.
    undelivered: Vec<Value>,
    /// Calls that wait until the peer has read a value: see [`Outgoing::is_held`].
    waiting: Vec<Token>,
    /// A frame was sent since they were woken last.
    has_sent: bool,
}

impl Sending {
    /// Ends sending. The frames stay, so that none is taken for sent.
    fn end(&mut self) {
        self.is_gone = true;
        self.undelivered.extend(self.frames.take_unsent());
    }

    /// The peer is gone, and has left data unread.
    fn was_unread(&mut self) {
        let unread: Vec<_> = self.frames.take_unread().into_iter().collect();
        self.end();
        self.undelivered.splice(0..0, unread);
    }

    /// Whether another frame may be accepted whose sender does not wait.
    fn has_room(&self) -> bool {
        self.frames.queued_bytes() < BYTES_MAX
    }
}

impl Conn {
    pub(super) fn new(socket: Socket) -> Result<Self, c_int> {
        let assembler = Assembler::new(PAYLOAD_BYTES_MAX);
        let conn = Self {
            socket,
            waits: AtomicBool::new(true),
            in_one: AtomicBool::new(false),
            over: AtomicI32::new(0),
            incoming: Mutex::new(Incoming { assembler, packet: Vec::new() }),
            outgoing: Mutex::default(),
            calls: Calls::default(),
            served: Served::default(),
        };
        conn.set_waits(true)?;
        Ok(conn)
    }

    pub(super) fn fd(&self) -> RawFd {
        self.socket.as_fd().as_raw_fd()
    }

    pub(super) fn waits(&self) -> bool {
        self.waits.load(Ordering::Relaxed)
    }

    pub(super) fn set_waits(&self, waits: bool) -> Result<(), c_int> {
        let mut flags = rustix::fs::fcntl_getfl(&self.socket).map_err(of_system)?;
        flags.set(rustix::fs::OFlags::NONBLOCK, !waits);
        rustix::fs::fcntl_setfl(&self.socket, flags).map_err(of_system)?;
        self.waits.store(waits, Ordering::Relaxed);
        Ok(())
    }

    /// Ends it. The first error stays.
    pub(super) fn end(&self, why: c_int) {
        // First, so that nothing more is accepted for the peer.
        self.served.end();
        let first = self.over.compare_exchange(0, why, Ordering::AcqRel, Ordering::Acquire);
        if first.is_ok() {
            // If there is nothing to shut down, no call waits.
            let _ = rustix::net::shutdown(&self.socket, Shutdown::Both);
            self.with_outgoing(Sending::end);
        }
    }

    /// Closes it for the program.
    pub(super) fn close(&self) {
        if let Ok(Err(Errno::CONNRESET)) = rustix::net::sockopt::socket_error(&self.socket) {
            self.with_outgoing(Sending::was_unread);
        }
        self.end(ECONNRESET);
    }

    /// An error if it is over.
    pub(super) fn check(&self) -> Result<(), c_int> {
        match self.over.load(Ordering::Acquire) {
            0 => Ok(()),
            why => Err(why),
        }
    }

    // ---- Sending ------------------------------------------------------------------------------

    /// Runs `body` on the outgoing frames; then undelivered values are returned, without a lock:
    /// their receiver may be another client of this very connection's server.
    fn with_outgoing<R>(&self, body: impl FnOnce(&mut Sending) -> R) -> R {
        let (result, is_gone, undelivered, waiting) = {
            let mut outgoing = self.outgoing.lock();
            let result = body(&mut outgoing);
            let has_sent = std::mem::take(&mut outgoing.has_sent);
            let may_go_on = has_sent || outgoing.is_gone || !outgoing.frames.is_held();
            let waiting = match may_go_on {
                true => std::mem::take(&mut outgoing.waiting),
                false => Vec::new(),
            };
            (result, outgoing.is_gone, std::mem::take(&mut outgoing.undelivered), waiting)
        };
        if is_gone {
            // First, so that none of them is returned to this client.
            self.served.end();
        }
        Value::requeue(undelivered);
        for token in waiting {
            token.cancel();
        }
        result
    }

    /// Waits until more can be sent: for the peer to read, or for room in the socket.
    fn wait_to_send(&self, until: Until) -> Result<(), c_int> {
        let event = Event::new();
        let is_held = self.with_outgoing(|outgoing| {
            let is_held = !outgoing.is_gone && outgoing.frames.is_held();
            if is_held {
                outgoing.waiting.retain(|token| !token.is_cancelled());
                outgoing.waiting.push(event.trigger());
            }
            is_held
        });
        if is_held {
            let waited = event.wait(until);
            // A wait that ended early stays in the list until the next one.
            event.trigger().cancel();
            waited
        } else {
            reactor::wait(self.fd(), Direction::Writable, until)
        }
    }

    /// Sends a frame, waiting for room. An error: the peer does not get it.
    pub(super) fn send(&self, frame: Vec<u8>, until: Until) -> Result<(), c_int> {
        let number = self.with_outgoing(|outgoing| {
            self.check_out(outgoing)?;
            let number = outgoing.frames.push(frame, None);
            self.send_packets(outgoing)?;
            Ok::<_, c_int>(number)
        })?;
        let mut waited = Ok(());
        loop {
            let sent = self.with_outgoing(|outgoing| {
                if outgoing.frames.is_sent(number) {
                    return Ok(true);
                }
                self.check_out(outgoing)?;
                let flushed = self.send_packets(outgoing);
                if outgoing.frames.is_sent(number) {
                    return Ok(true);
                }
                flushed?;
                match waited {
                    Ok(()) => Ok(false),
                    Err(error) if outgoing.frames.withdraw(number) => Err(error),
                    // A frame that was sent in part is completed with the next send.
                    Err(_) => Ok(true),
                }
            })?;
            if sent {
                return Ok(());
            }
            waited = self.wait_to_send(until);
        }
    }

    /// Sends a frame if there is room for a part of it at once: `EAGAIN` if not.
    pub(super) fn send_or_not(&self, frame: Vec<u8>) -> Result<(), c_int> {
        self.with_outgoing(|outgoing| {
            self.check_out(outgoing)?;
            if !self.send_packets(outgoing)? {
                return Err(errno::EAGAIN);
            }
            let number = outgoing.frames.push(frame, None);
            let sent = self.send_packets(outgoing)?;
            if !sent && outgoing.frames.withdraw(number) { Err(errno::EAGAIN) } else { Ok(()) }
        })
    }

    /// Accepts a frame, and sends as much as there is room for. False: the rest is sent when there
    /// is room. An error: it was not accepted.
    pub(super) fn send_later(&self, frame: Vec<u8>) -> Result<bool, c_int> {
        self.with_outgoing(|outgoing| {
            self.check_out(outgoing)?;
            if !outgoing.has_room() && !self.send_packets(outgoing)? && !outgoing.has_room() {
                return Err(ENOBUFS);
            }
            outgoing.frames.push(frame, None);
            self.send_packets(outgoing)
        })
    }

    /// Accepts an answer, and its value; the part without room is sent later.
    pub(super) fn answer(&self, frame: Vec<u8>, value: Option<Value>) {
        self.with_outgoing(|outgoing| {
            if self.check_out(outgoing).is_ok() {
                outgoing.frames.push(frame, value);
                // An error has been recorded.
                let _ = self.send_packets(outgoing);
            }
        });
    }

    /// Waits until the accepted frames leave room for more.
    pub(super) fn wait_for_room(&self) -> Result<(), c_int> {
        loop {
            let has_room = self.with_outgoing(|outgoing| {
                self.check_out(outgoing)?;
                Ok::<_, c_int>(outgoing.has_room() || self.send_packets(outgoing)?)
            })?;
            if has_room {
                return Ok(());
            }
            self.wait_to_send(Until::Ever)?;
        }
    }

    /// Sends as much as there is room for. True: nothing is left.
    pub(super) fn flush(&self) -> Result<bool, c_int> {
        self.with_outgoing(|outgoing| {
            self.check_out(outgoing)?;
            self.send_packets(outgoing)
        })
    }

    /// An error if nothing can be sent.
    fn check_out(&self, outgoing: &Sending) -> Result<(), c_int> {
        self.check()?;
        if outgoing.is_gone { Err(ECONNRESET) } else { Ok(()) }
    }

    fn send_packets(&self, outgoing: &mut Sending) -> Result<bool, c_int> {
        let in_one = self.in_one.load(Ordering::Relaxed);
        outgoing.frames.packets = if in_one { Packets::One } else { Packets::Two };
        let flushed = outgoing.frames.flush(&self.socket);
        outgoing.has_sent |= flushed.frames > 0;
        match flushed.failed {
            None => Ok(outgoing.frames.is_empty()),
            Some(error) => {
                // Half a frame may be sent: nothing could follow it.
                if error == Errno::CONNRESET {
                    outgoing.was_unread();
                } else {
                    outgoing.end();
                }
                Err(match error {
                    Errno::PIPE | Errno::CONNRESET | Errno::NOTCONN => ECONNRESET,
                    error => of_system(error),
                })
            }
        }
    }

    // ---- Receiving ----------------------------------------------------------------------------

    /// Waits for a frame and passes it to `show`.
    pub(super) fn recv<R>(
        &self,
        until: Until,
        mut show: impl FnMut(Frame<'_>) -> R,
    ) -> Result<R, c_int> {
        loop {
            match self.recv_now(&mut show)? {
                Some(shown) => return Ok(shown),
                None => reactor::wait(self.fd(), Direction::Readable, until)?,
            }
        }
    }

    /// Passes the next frame to `show`, if all of it has arrived.
    pub(super) fn recv_now<R>(
        &self,
        show: impl FnOnce(Frame<'_>) -> R,
    ) -> Result<Option<R>, c_int> {
        let mut incoming = self.incoming.lock();
        let Incoming { assembler, packet } = &mut *incoming;
        if packet.is_empty() {
            *packet = vec![0; assembler.packet_bytes_max()];
        }
        loop {
            self.check()?;
            let flags = RecvFlags::DONTWAIT | RecvFlags::TRUNC;
            let bytes = match rustix::net::recv(&self.socket, packet.as_mut_slice(), flags) {
                Ok((_, 0)) => {
                    self.end(ECONNRESET);
                    return Err(ECONNRESET);
                }
                Ok((_, bytes)) => bytes,
                Err(Errno::AGAIN) => return Ok(None),
                Err(Errno::INTR) => continue,
                Err(Errno::CONNRESET) => {
                    // Reported once, if the peer left something unread. Frames it sent are still
                    // there.
                    self.with_outgoing(Sending::was_unread);
                    continue;
                }
                Err(error) => {
                    self.end(ECONNRESET);
                    return Err(of_system(error));
                }
            };
            let was_half = assembler.is_half();
            let frame = match packet.get(..bytes) {
                Some(packet) => assembler.packet(packet),
                None => Err(assembler.cut(bytes)),
            };
            match frame {
                Ok(None) => {}
                Ok(Some(frame)) => {
                    let is_telling = !frame.payload.is_empty();
                    if is_telling {
                        self.in_one.store(!was_half, Ordering::Relaxed);
                    }
                    return Ok(Some(show(frame)));
                }
                Err(error) => {
                    let why = match error {
                        FrameError::TooLong { .. } => EMSGSIZE,
                        _ => EPROTO,
                    };
                    self.end(why);
                    return Err(why);
                }
            }
        }
    }
}

impl AsFd for Conn {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// For a connection that is served: its end, and room to write, may come while no call is in
/// progress.
impl Ready for Conn {
    fn ready(self: Arc<Self>) {
        // An error belongs to the connection, and has been recorded.
        let _ = self.flush();
        loop {
            let flags = RecvFlags::DONTWAIT | RecvFlags::PEEK;
            match rustix::net::recv(&self.socket, &mut [0_u8; 1], flags) {
                Ok((_, 0)) => return self.end(ECONNRESET),
                Err(Errno::INTR) => {}
                Err(Errno::CONNRESET) => self.with_outgoing(Sending::was_unread),
                // The program reads the remaining frames, and then gets the end.
                _ => return,
            }
        }
    }
}

/// A frame with this payload.
pub(super) fn frame(command: u16, payload: &[u8]) -> Result<Vec<u8>, c_int> {
    let length = u32::try_from(payload.len()).map_err(|_| EMSGSIZE)?;
    if length > PAYLOAD_BYTES_MAX {
        return Err(EMSGSIZE);
    }
    let mut bytes = Vec::with_capacity(HEADER_BYTES + payload.len());
    bytes.extend_from_slice(&Header::new(command, length).encode());
    bytes.extend_from_slice(payload);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::time::Instant;

    use becket_chan::{Kind, unlimited};
    use becket_ipc::channels::{Channels, Wanted};
    use becket_ipc::transport::SocketKind;
    use becket_ipc::v1::{Limits, Server, Session};
    use becket_wire::v1::{Command, Request};

    use super::*;

    #[test]
    fn waits_that_ended_early_are_not_collected() {
        let channels = Arc::new(Channels::new(1));
        let wanted = Wanted { kind: Kind::Bounded, capacity: 1, element_bytes: Some(1) };
        let chan = channels.make(None, wanted).unwrap();
        let (tx, rx) = unlimited();
        let server = Server::new(channels, Limits::default());
        let session = Session::new(&server, move |answer| tx.try_send(answer).unwrap());
        chan.sender().unwrap().try_send("a".into()).unwrap();
        let mut bytes = Vec::new();
        Request::ChanTryRecv { chan: chan.id() }.encode(None, &mut bytes).unwrap();
        session.request(Command::ChanTryRecv.number(), bytes.split_off(HEADER_BYTES).as_slice());
        let answer = rx.try_recv().unwrap();

        let (socket, _peer) = Socket::pair(SocketKind::Seqpacket).unwrap();
        let conn = Conn::new(socket).unwrap();
        // The value is in the socket, unread: the next frame has to wait.
        conn.answer(answer.frame, answer.value);
        for _ in 0..3 {
            let late = conn.send(frame(1, &[]).unwrap(), Until::At(Instant::now()));
            assert_eq!(late, Err(-libc::ETIMEDOUT));
        }
        assert_eq!(conn.outgoing.lock().waiting.len(), 1);
    }
}
