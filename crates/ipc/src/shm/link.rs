// SPDX-License-Identifier: BSD-3-Clause
//! Frames over shared memory, as a link.
//!
//! Frames go through the rings; the socket of the handshake carries what rings cannot: the peer's
//! disconnect, file descriptors, and a byte that wakes a side which waits for descriptors.
//!
//! ```text
//!   put ──► ring ═══════════════► take ──► sink(frame)
//!    │                             │
//!    └─ descriptors ── socket ──►──┘  a frame states its number of descriptors; they are sent before it
//! ```
//!
//! 1. The rules of `transport::link` hold. In addition, a thread may sleep at its [doorbell](DirectWait::doorbell)
//!    instead of waiting for descriptors, which wakes it faster.
//! 2. The socket is read when a frame names descriptors that have not arrived, and when a `take`
//!    finds nothing or a `flush` no room: the first time after a wait for it, each time while a
//!    thread sleeps at the doorbell, every 8th time while this side waits for the socket, and every
//!    256th time otherwise. So polling makes few system calls. Epoll reports the socket once,
//!    possibly to a thread whose `take` skipped the read: before this side waits again it makes up
//!    for that.
//! 3. At most [`DESCRIPTORS_WAITING_MAX`] descriptors have arrived and belong to no frame yet.
//! 4. Once the link has failed or the peer is gone, threads that sleep at the doorbell are kicked.

use std::io::IoSlice;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use becket_wire::{Frame, Full, HEAD_BYTES, Head, Outlet};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::doorbell::{Doorbell, Mode, Ticket};
use super::endpoint::Endpoint;
use super::ring::{FrameProbe, Refused};
use super::validate::Violation;
use crate::transport::rights;
use crate::transport::{
    Ancillary, DirectWait, Link, LinkCounters, LinkError, LinkLimits, OnReady, Peer, Socket, Watch,
};

/// Descriptors of frames that have not been read yet. A conforming peer sends those of one frame
/// ahead.
const DESCRIPTORS_WAITING_MAX: usize = 2 * LinkLimits::DESCRIPTORS_MAX;
const READ_EVERY_ARMED: u32 = 8;
const READ_EVERY_AWAKE: u32 = 256;
const RING: u8 = b'r';
const DESCRIPTORS: u8 = b'd';

/// Frames over shared memory; see the module's documentation.
#[derive(Debug)]
pub struct ShmLink {
    socket: Socket,
    endpoint: Endpoint,
    limits: LinkLimits,
    body_bytes_max: usize,
    /// Ancillary data of the next frame.
    outgoing: Vec<OwnedFd>,
    /// Arrived, and belong to frames that have not been read.
    incoming: Vec<OwnedFd>,
    /// Passed to the sink; kept for its capacity.
    ancillary: Vec<OwnedFd>,
    empty_takes: u32,
    /// This side waited for the socket: a wake byte may have arrived.
    read_due: bool,
    /// A `take` found nothing and did not read the socket, which epoll reports once.
    read_skipped: bool,
    wants_writable: bool,
    gone: bool,
    failed: Option<LinkError>,
    counters: LinkCounters,
}

impl ShmLink {
    /// Over a socket and the rings that belong to it. The peer accepts bodies of `peer_bytes_max`.
    pub(super) fn new(
        socket: Socket,
        endpoint: Endpoint,
        limits: LinkLimits,
        peer_bytes_max: u32,
    ) -> Self {
        let limits = limits.fitted();
        let body_bytes_max = limits.body_bytes_max.min(peer_bytes_max as usize);
        Self {
            socket,
            endpoint,
            limits,
            body_bytes_max,
            outgoing: Vec::new(),
            incoming: Vec::new(),
            ancillary: Vec::new(),
            empty_takes: 1,
            read_due: false,
            read_skipped: false,
            wants_writable: false,
            gone: false,
            failed: None,
            counters: LinkCounters::default(),
        }
    }

    /// The rings and the socket, separately: to measure the rings without the link.
    #[must_use]
    pub fn into_parts(self) -> (Endpoint, Socket) {
        (self.endpoint, self.socket)
    }

    fn fail(&mut self, error: LinkError) -> LinkError {
        let first = *self.failed.get_or_insert(error);
        self.endpoint.doorbell().kick();
        first
    }

    /// The peer is gone. The `take` that finds the ring empty reports it, and kicks sleeping
    /// threads.
    fn disconnected(&mut self) {
        self.gone = true;
    }

    /// Sends the wake byte that is due to a peer which waits for its descriptors.
    #[inline]
    fn send_ring(&mut self) {
        if self.endpoint.take_byte_due() {
            self.send_byte();
        }
    }

    #[cold]
    fn send_byte(&mut self) {
        self.counters.writes += 1;
        match rights::send(&self.socket, &[IoSlice::new(&[RING])], &[]) {
            // No room: the unread bytes wake the peer as well as one more.
            Ok(_) | Err(Errno::AGAIN) => {}
            Err(Errno::INTR) => self.send_byte(),
            Err(Errno::PIPE | Errno::CONNRESET) => self.disconnected(),
            Err(errno) => {
                self.fail(LinkError::System(errno));
            }
        }
    }

    /// Sends the descriptors of a frame that is put next, and for which there is room.
    #[cold]
    fn send_descriptors(&mut self) -> Result<u32, Full> {
        self.counters.writes += 1;
        match rights::send(&self.socket, &[IoSlice::new(&[DESCRIPTORS])], &self.outgoing) {
            Ok(_) => {
                let count = self.outgoing.len();
                self.outgoing.clear();
                self.counters.descriptors_out += count as u64;
                Ok(count as u32)
            }
            Err(Errno::INTR) => self.send_descriptors(),
            Err(Errno::AGAIN) => {
                self.wants_writable = true;
                Err(Full)
            }
            Err(Errno::PIPE | Errno::CONNRESET) => {
                self.disconnected();
                Err(Full)
            }
            Err(errno) => {
                self.fail(LinkError::System(errno));
                Err(Full)
            }
        }
    }

    /// Reads the socket once: wake bytes, descriptors, the end. False: there was nothing.
    #[cold]
    fn read_socket(&mut self) -> Result<bool, LinkError> {
        let mut bytes = [0; 64];
        self.counters.reads += 1;
        let came = self.incoming.len();
        let got =
            rights::receive(&self.socket, &mut bytes, &mut self.incoming, DESCRIPTORS_WAITING_MAX);
        self.counters.descriptors_in += (self.incoming.len() - came) as u64;
        match got {
            Ok(got) if got.cut => {
                self.counters.descriptors_cut += 1;
                let expected = DESCRIPTORS_WAITING_MAX;
                Err(Violation::Descriptors { came: self.incoming.len() + 1, expected }.into())
            }
            Ok(got) if got.bytes == 0 => {
                self.disconnected();
                Ok(false)
            }
            Ok(got) => {
                self.endpoint.count_idle(got.bytes as u32)?;
                Ok(true)
            }
            Err(Errno::INTR) => Ok(true),
            Err(Errno::AGAIN) => Ok(false),
            Err(Errno::CONNRESET) => {
                self.disconnected();
                Ok(false)
            }
            Err(errno) => Err(LinkError::System(errno)),
        }
    }

    /// Moves the descriptors of a frame into `ancillary`; those above this side's limit are closed.
    #[cold]
    fn fetch_descriptors(&mut self, count: usize) -> Result<(), LinkError> {
        let expected = LinkLimits::DESCRIPTORS_MAX;
        if count > expected {
            return Err(Violation::Descriptors { came: count, expected }.into());
        }
        while self.incoming.len() < count {
            if !self.read_socket()? {
                let came = self.incoming.len();
                return Err(Violation::Descriptors { came, expected: count }.into());
            }
        }
        self.ancillary.extend(self.incoming.drain(..count));
        if count > self.limits.descriptors_max {
            self.ancillary.truncate(self.limits.descriptors_max);
            self.counters.descriptors_cut += 1;
        }
        Ok(())
    }

    fn take_frames(
        &mut self,
        frames_max: usize,
        sink: &mut dyn FnMut(Frame<'_>, Ancillary<'_>),
    ) -> Result<usize, LinkError> {
        let mut count = 0;
        while count < frames_max {
            let descriptors = match self.endpoint.consumer.take()? {
                Some(taken) if taken.descriptors == 0 => {
                    self.counters.bytes_in += (HEAD_BYTES + taken.body.len()) as u64;
                    sink(Frame { head: taken.head, body: taken.body }, Ancillary::nothing());
                    0
                }
                Some(taken) => taken.descriptors,
                None => break,
            };
            if descriptors > 0 {
                self.deliver_with_descriptors(descriptors, sink)?;
            }
            count += 1;
            self.endpoint.taken_one(false)?;
        }
        if count > 0 {
            self.endpoint.taken_one(true)?;
        }
        Ok(count)
    }

    #[cold]
    fn deliver_with_descriptors(
        &mut self,
        count: usize,
        sink: &mut dyn FnMut(Frame<'_>, Ancillary<'_>),
    ) -> Result<(), LinkError> {
        self.fetch_descriptors(count)?;
        if let Some(taken) = self.endpoint.consumer.last() {
            self.counters.bytes_in += (HEAD_BYTES + taken.body.len()) as u64;
            let frame = Frame { head: taken.head, body: taken.body };
            sink(frame, Ancillary::of(&mut self.ancillary));
        }
        self.counters.descriptors_closed += self.ancillary.len() as u64;
        self.ancillary.clear();
        Ok(())
    }

    /// After the rings had nothing: reads the socket if it is due.
    fn read_socket_if_due(&mut self) -> Result<(), LinkError> {
        let every = match self.endpoint.armed() {
            // The calling thread is not the sleeping one, and no other thread reads the socket.
            Some(Mode::Futex) => 1,
            Some(Mode::Event) => READ_EVERY_ARMED,
            None => READ_EVERY_AWAKE,
        };
        self.read_skipped =
            !std::mem::take(&mut self.read_due) && !self.empty_takes.is_multiple_of(every);
        self.empty_takes = self.empty_takes.wrapping_add(1);
        if self.read_skipped { Ok(()) } else { self.read_all() }
    }

    /// Before this side waits: reads the socket if a read was skipped.
    fn read_skipped_socket(&mut self) {
        if std::mem::take(&mut self.read_skipped)
            && let Err(error) = self.read_all()
        {
            self.fail(error);
        }
    }

    /// Reads the socket until it is empty. This terminates: a peer that only rings is disconnected.
    fn read_all(&mut self) -> Result<(), LinkError> {
        while !self.gone && self.read_socket()? {}
        Ok(())
    }
}

impl Outlet for ShmLink {
    #[inline]
    fn put(&mut self, head: &Head, body: &[u8]) -> Result<(), Full> {
        if self.gone || self.failed.is_some() {
            self.outgoing.clear();
            self.counters.bytes_discarded += (HEAD_BYTES + body.len()) as u64;
            return Ok(());
        }
        if body.len() > self.body_bytes_max || head.length as usize != body.len() {
            let bytes_max = self.body_bytes_max;
            self.fail(LinkError::OwnFrame { bytes: body.len(), bytes_max });
            return Err(Full);
        }
        let mut put = Ok(());
        let mut descriptors = 0;
        if !self.outgoing.is_empty() {
            put = self.endpoint.reserve(body.len());
            if put.is_ok() {
                descriptors = self.send_descriptors()?;
            }
        }
        match put.and_then(|()| self.endpoint.put(head, body, descriptors)) {
            Ok(()) => {
                self.counters.bytes_out += (HEAD_BYTES + body.len()) as u64;
                Ok(())
            }
            Err(Refused::Full) => Err(Full),
            Err(Refused::TooLong) => {
                let bytes_max = self.body_bytes_max;
                self.fail(LinkError::OwnFrame { bytes: body.len(), bytes_max });
                Err(Full)
            }
            Err(Refused::Violation(violation)) => {
                self.fail(violation.into());
                Err(Full)
            }
        }
    }
}

impl Link for ShmLink {
    fn take(
        &mut self,
        frames_max: usize,
        sink: &mut dyn FnMut(Frame<'_>, Ancillary<'_>),
    ) -> Result<usize, LinkError> {
        if let Some(failed) = self.failed {
            return Err(failed);
        }
        // Before `take_frames`: when the end is seen, the peer's last frames are in the ring
        // already.
        let gone = self.gone;
        let taken = self.take_frames(frames_max, sink);
        self.send_ring();
        match taken {
            Ok(0) if frames_max == 0 => Ok(0),
            Ok(0) if gone => Err(self.fail(LinkError::Closed)),
            Ok(0) => {
                self.read_socket_if_due().map_err(|error| self.fail(error))?;
                if self.gone { self.take(frames_max, sink) } else { Ok(0) }
            }
            Ok(count) => {
                self.empty_takes = 1;
                Ok(count)
            }
            Err(error) => Err(self.fail(error)),
        }
    }

    fn flush(&mut self) -> Result<bool, LinkError> {
        match self.failed {
            // A disconnect is reported by `take` only.
            Some(LinkError::Closed) => return Ok(true),
            Some(failed) => return Err(failed),
            None if self.gone => return Ok(true),
            None => {}
        }
        self.endpoint.flush().map_err(|violation| self.fail(violation.into()))?;
        self.send_ring();
        if self.wants_writable {
            self.wants_writable = !is_writable(&self.socket);
        }
        let room = self.endpoint.has_room().map_err(|violation| self.fail(violation.into()))?;
        if room && !self.wants_writable {
            return Ok(true);
        }
        self.read_socket_if_due().map_err(|error| self.fail(error))?;
        Ok(self.gone)
    }

    fn put_descriptors(&mut self, descriptors: Vec<OwnedFd>) -> Result<(), LinkError> {
        let (count, count_max) = (descriptors.len(), self.limits.descriptors_max);
        if count > count_max {
            return Err(LinkError::TooManyDescriptors { count, count_max });
        }
        self.outgoing = descriptors;
        Ok(())
    }

    fn watch(&self) -> Watch<'_> {
        let socket = self.socket.as_fd();
        Watch::readable(socket).and_writable(self.wants_writable.then_some(socket))
    }

    fn on_ready(&mut self, _wake: OnReady) {}

    fn readiness_changed(&mut self) {
        self.read_due = true;
    }

    fn prepare_wait(&mut self) -> bool {
        self.read_skipped_socket();
        if self.gone || self.failed.is_some() {
            return true;
        }
        let ready = self.endpoint.arm(Mode::Event);
        self.read_due = true;
        self.send_ring();
        match ready {
            Ok(ready) => ready || self.gone,
            Err(violation) => {
                self.fail(violation.into());
                true
            }
        }
    }

    fn direct_wait(&mut self) -> Option<&mut dyn DirectWait> {
        Some(self)
    }

    fn peer(&self) -> &Peer {
        self.socket.peer()
    }

    fn name(&self) -> &'static str {
        "shared-memory"
    }

    fn body_bytes_max(&self) -> usize {
        self.body_bytes_max
    }

    fn counters(&self) -> LinkCounters {
        let rings = self.endpoint.counters();
        LinkCounters { frames_in: rings.frames_in, frames_out: rings.frames_out, ..self.counters }
    }

    fn close(&mut self) {
        self.socket.shut();
        self.gone = true;
        self.fail(LinkError::Closed);
    }
}

impl DirectWait for ShmLink {
    fn doorbell(&self) -> Arc<Doorbell> {
        Arc::clone(self.endpoint.doorbell())
    }

    fn probe(&self) -> Arc<FrameProbe> {
        Arc::clone(self.endpoint.probe())
    }

    fn prepare_sleep(&mut self) -> Option<Ticket> {
        self.read_skipped_socket();
        if self.gone || self.failed.is_some() {
            return None;
        }
        let prepared = self.endpoint.prepare_sleep();
        self.send_ring();
        match prepared {
            Ok(ticket) => ticket,
            Err(violation) => {
                self.fail(violation.into());
                None
            }
        }
    }

    fn may_answer_soon(&mut self) -> bool {
        self.endpoint.peer_is_elsewhere()
    }
}

fn is_writable(socket: &Socket) -> bool {
    let mut fds = [PollFd::new(socket, PollFlags::OUT)];
    let ready = poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }));
    ready.is_ok_and(|count| count > 0)
}
