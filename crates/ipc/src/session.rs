// SPDX-License-Identifier: BSD-3-Clause
//! A session for an application protocol other than channels, over a connected socket.
//!
//! [`Client`](crate::Client) and [`Server`](crate::Server) carry channels. Another protocol (calls
//! of a plugin, for example) implements [`Handler`]. It is driven as they are: by any thread that
//! has work for it, and by the process's one I/O thread.
//!
//! ```text
//!   any thread ─ with ─┐          ┌─ Handler::event    what the peer sent
//!                      ├─ locked ─┤
//!   I/O thread ────────┘          └─ Handler::ended    once, at the end
//! ```
//!
//! Shared memory: both sides have to set [`Options::shared_memory`] to the same value, because
//! there is no handshake. The session's client sends its offer first.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::task::Waker;

use becket_wire::{Event, Refused, Role, Session, StreamId};

use crate::blocks::Blocks;
use crate::client::Options;
use crate::client::connect::{ShareError, plain, share};
use crate::connection::{self, At, Connection, Ended, Owned, Side, Status};
use crate::handshake::{HandshakeError, HelloExchange};
use crate::reactor;
use crate::shm;
use crate::sync::thread_number;
use crate::transport::{Ancillary, Link, LinkError, Socket};

/// The behaviour of one side of a session. It is called under the session's lock, so it must not
/// wait; tasks that it wakes run after the lock is released.
pub trait Handler: Send + Sized + 'static {
    /// An event, which the session has checked.
    fn event(&mut self, locked: &mut Locked<'_>, event: Event<'_>);

    /// A waker of [`Locked::waker`] was woken, or the send queue that [`Locked::wait_for_room`]
    /// waited for is empty.
    fn woken(&mut self, locked: &mut Locked<'_>, number: u32);

    /// There is [work](Work) for the thread that drives the session.
    fn has_work(&self) -> bool {
        false
    }

    /// From now on the thread that drives the session does work; or it does none any more, because a piece of it
    /// takes too long ([`SessionHandle::relief`]): what is left is to be done elsewhere.
    fn driven(&mut self, _locked: &mut Locked<'_>, _does_work: bool) {}

    /// The session is over: nothing can be sent any more.
    fn ended(&mut self, ended: &Ended);

    /// Whether an answer is awaited that another thread than this one ([`Locked::thread`]) asked
    /// for: then the session goes back to the I/O thread when this thread has stopped waiting.
    fn awaits_for_others(&self, _thread: u64) -> bool {
        true
    }
}

/// Work that the thread which drives a session does for its handler, and which needs no access to
/// either: if a piece of it takes long, the session need not wait for it ([`SessionHandle::relief`]).
pub trait Work<H: Handler> {
    /// Takes the next piece of work out of the handler. False: there is none.
    fn take(&mut self, handler: &mut H, locked: &mut Locked<'_>) -> bool;

    /// Does it. The session's lock is held, but no thread that waits for it waits longer than until the
    /// relief.
    fn run(&mut self);

    /// It is done: the next access to the handler by this thread, whether it was relieved or not.
    fn finish(&mut self, handler: &mut H, locked: &mut Locked<'_>);
}

/// Access to the session under its lock.
pub struct Locked<'a> {
    /// The session.
    pub session: &'a mut Session,
    full: &'a mut Vec<u32>,
    /// Except while frames are taken from it.
    link: Option<&'a mut dyn Link>,
    waker: &'a dyn Fn(u32) -> Waker,
}

impl Locked<'_> {
    /// Sends a request whose body is copied together from two parts, as
    /// [`Session::request_through`](becket_wire::Session::request_through): straight into the link if
    /// that is possible.
    #[inline]
    pub fn request(&mut self, operation: u16, parts: [&[u8]; 2]) -> Result<u64, Refused> {
        match &mut self.link {
            Some(link) => self.session.request_through(&mut **link, operation, parts),
            None => self.session.request_parts(operation, parts),
        }
    }

    /// [`Handler::woken`] is called with the stream's number when the session's send queue is
    /// empty.
    pub fn wait_for_room(&mut self, stream: StreamId) {
        self.full.push(stream.number());
    }

    /// The number of the calling thread, which no other thread of this process has.
    #[must_use]
    pub fn thread(&self) -> u64 {
        thread_number()
    }

    /// A waker: [`Handler::woken`] is called with `number`. The handler chooses the numbers, which
    /// share their range with those of streams; `u32::MAX` is the connection's own and not
    /// reported.
    #[must_use]
    pub fn waker(&self, number: u32) -> Waker {
        (self.waker)(number)
    }
}

/// Why a session did not begin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The socket cannot be used.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The exchange of shared memory took too long.
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    /// The exchange of shared memory failed.
    #[error(transparent)]
    SharedMemory(#[from] shm::ShmError),
    /// The system cannot watch another descriptor.
    #[error("the connection cannot be watched: {0}")]
    Watch(#[from] std::io::Error),
}

impl From<ShareError> for StartError {
    fn from(error: ShareError) -> Self {
        match error {
            ShareError::Handshake(source) => Self::Handshake(source),
            ShareError::Memory(source) => Self::SharedMemory(source),
        }
    }
}

/// A session and its handler. It is closed when the last clone is dropped.
///
/// Thread safety: any thread may use it.
pub struct SessionHandle<H: Handler>(Arc<Owned<Adapter<H>>>);

impl<H: Handler> Clone for SessionHandle<H> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<H: Handler> SessionHandle<H> {
    /// Begins a session over a connected Unix stream socket, as its client or its server.
    ///
    /// Cancel safety: dropping the future closes the socket.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(
        socket: OwnedFd,
        role: Role,
        options: &Options,
        handler: H,
    ) -> Result<Self, StartError> {
        reactor::start()?;
        let socket = Socket::adopt(socket)?;
        let exchange = HelloExchange::new(socket, options.handshake_timeout)?;
        let link = if options.shared_memory {
            let side = match role {
                Role::Client => shm::Side::Connected,
                Role::Server => shm::Side::Accepted,
            };
            share(exchange, side, options).await?
        } else {
            plain(exchange, &[], options)?
        };
        let session = options.session(role, link.body_bytes_max());
        let connection =
            Connection::start(link, session, Adapter { handler, blocks: Blocks::default() })?;
        Ok(Self(Owned::new(connection)))
    }

    /// Runs `act` with the handler and the session, and sends the resulting frames.
    pub fn with<R>(&self, act: impl FnOnce(&mut H, &mut Locked<'_>) -> R) -> R {
        self.0.with(|side, at| with_locked(at, |locked| act(&mut side.handler, locked)))
    }

    /// After something was sent that the peer answers: polls for the answer for some microseconds,
    /// if that has paid off lately and the calling thread's executor does not poll the session
    /// while it waits. `is_alone`: no other answer is awaited.
    pub fn poll_for_answer(&self, is_alone: bool) {
        self.0.poll_for_answer(is_alone);
    }

    /// Drives the session on the calling thread until it has ended, in place of the I/O thread:
    /// what the peer sends needs no second thread to be woken. It spins while frames follow each
    /// other quickly, and sleeps otherwise; what its handler has [for it to do](Handler::has_work), it
    /// does. False, at once: another thread drives the session, or it has no shared memory; then the I/O
    /// thread goes on as without this.
    pub fn drive(&self, work: &mut impl Work<H>) -> bool {
        self.0.drive_until_ended(&mut Adapted(work))
    }

    /// A waker that takes the session from the thread that [drives](Self::drive) it, if that is in a piece of
    /// work: it wakes nothing, and does not keep the session open. The I/O thread drives the session until the
    /// other has come back.
    #[must_use]
    pub fn relief(&self) -> Waker {
        self.0.relief()
    }

    /// How it ended, if it has.
    #[must_use]
    pub fn ended(&self) -> Option<Ended> {
        self.0.ended()
    }

    /// Closes it from this side.
    pub fn close(&self, code: u16, why: &str) {
        self.0.close(code, why);
    }

    /// Its status, for a monitor.
    #[must_use]
    pub fn status(&self) -> Option<Status> {
        self.0.status()
    }
}

/// A handler as a side of a connection.
struct Adapter<H> {
    handler: H,
    /// This side lends no blocks. The peer's regions are mapped within the budget, but not used.
    blocks: Blocks,
}

/// Work for a handler as work for its side.
struct Adapted<'a, W>(&'a mut W);

impl<H: Handler, W: Work<H>> connection::Work<Adapter<H>> for Adapted<'_, W> {
    #[inline]
    fn take(&mut self, side: &mut Adapter<H>, at: &mut At<'_>) -> bool {
        with_locked(at, |locked| self.0.take(&mut side.handler, locked))
    }

    #[inline]
    fn run(&mut self) {
        self.0.run();
    }

    #[inline]
    fn finish(&mut self, side: &mut Adapter<H>, at: &mut At<'_>) {
        with_locked(at, |locked| self.0.finish(&mut side.handler, locked));
    }
}

fn with_locked<R>(at: &mut At<'_>, act: impl FnOnce(&mut Locked<'_>) -> R) -> R {
    let At { session, full, link, connection, .. } = at;
    let waker = |number| At::waker_of(connection, number);
    let link: Option<&mut dyn Link> = match link {
        Some(link) => Some(&mut **link),
        None => None,
    };
    act(&mut Locked { session, full, link, waker: &waker })
}

impl<H: Handler> Side for Adapter<H> {
    const IS_SHARED: bool = true;

    fn awaits_for_others(&self, thread: u64) -> bool {
        self.handler.awaits_for_others(thread)
    }

    fn event(&mut self, at: &mut At<'_>, event: Event<'_>, ancillary: Ancillary<'_>) {
        match event {
            Event::Region { .. } | Event::Unregion { .. } | Event::Release { .. } => {
                self.blocks.event(at, &event, ancillary);
            }
            event => with_locked(at, |locked| self.handler.event(locked, event)),
        }
    }

    fn blocks(&mut self) -> &mut Blocks {
        &mut self.blocks
    }

    fn woken(&mut self, at: &mut At<'_>, stream: u32) {
        with_locked(at, |locked| self.handler.woken(locked, stream));
    }

    #[inline]
    fn has_work(&self) -> bool {
        self.handler.has_work()
    }

    fn driven(&mut self, at: &mut At<'_>, does_work: bool) {
        with_locked(at, |locked| self.handler.driven(locked, does_work));
    }

    fn ended(&mut self, _at: &mut At<'_>, ended: &Ended) {
        self.handler.ended(ended);
    }
}
