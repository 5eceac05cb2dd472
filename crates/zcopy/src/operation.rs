// SPDX-License-Identifier: BSD-3-Clause
//! Sends and receives of a channel of descriptors, as values: limits are set, then they are driven.
//!
//! Through `zref`, an operation is one of `becket_chan`, which it holds in place: a wait allocates
//! nothing. Through another backend it first tries; if that would block, it creates the backend's
//! operation ([`Link::send`](crate::Link::send), [`Link::recv`](crate::Link::recv)), which it polls,
//! and which is dropped with it.
//!
//! # Safety
//!
//! `waits` is pinned with its operation: it is written before the first poll and emptied in place
//! after the last, and what it holds is never moved. So the operations are not `Unpin`, as those of
//! `becket_chan` are not, and one that was polled can only be polled on or dropped.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use becket_chan::{Limits, Recv, RecvError, Send, Token};

use crate::backend::Pending;
use crate::channel::{Route, ZChannel};
use crate::counters::CountedBy;
use crate::desc::Desc;
use crate::failure::Failure;
use crate::region::InFlight;
use crate::zref::refused;

/// The result of an operation, and what counts it.
type Answer<T> = (Result<T, Failure>, CountedBy);

/// An operation that waits.
enum Waits<'a, Z, T> {
    /// None: it has not begun, or is over.
    Nothing,
    /// Through `zref`.
    Zref(Z),
    /// Through a link.
    Link(Pending<'a, T>, CountedBy),
}

impl<Z: Future, T> Waits<'_, Z, T> {
    /// Polls the operation. After its answer was returned it is pending for ever. `of_zref`
    /// converts the output of `zref`'s operation.
    ///
    /// # Safety
    ///
    /// `self` is pinned: it stays where it is until it was dropped, or replaced in place.
    #[inline]
    unsafe fn poll(
        &mut self,
        context: &mut Context<'_>,
        of_zref: impl FnOnce(Z::Output) -> Result<T, Failure>,
    ) -> Poll<Answer<T>> {
        let answer = match self {
            Self::Zref(zref) => {
                // SAFETY: the caller's promise.
                let zref = unsafe { Pin::new_unchecked(zref) };
                (of_zref(ready!(zref.poll(context))), CountedBy::Zref)
            }
            Self::Link(link, by) => (ready!(link.as_mut().poll(context)), *by),
            Self::Nothing => return Poll::Pending,
        };
        *self = Self::Nothing;
        Poll::Ready(answer)
    }
}

/// A send of a descriptor. See [`ZChannel::send`].
///
/// Once it was polled it stays where it is, because receivers find its descriptor there:
///
/// ```compile_fail,E0277
/// fn movable<T: Unpin>(_: T) {}
/// let channel = becket_zcopy::ZChannel::rendezvous();
/// movable(channel.recv());
/// ```
#[must_use = "an operation does nothing until it is awaited or waited for"]
pub struct ZSend<'a> {
    channel: &'a ZChannel,
    desc: &'a mut Desc,
    limits: Limits<'a>,
    /// Whether the channel was open when the send began.
    was_open: bool,
    begun: bool,
    waits: Waits<'a, Send<'a, InFlight, Limits<'a>>, ()>,
}

/// A receive of a descriptor. See [`ZChannel::recv`].
#[must_use = "an operation does nothing until it is awaited or waited for"]
pub struct ZRecv<'a> {
    channel: &'a ZChannel,
    limits: Limits<'a>,
    begun: bool,
    waits: Waits<'a, Recv<'a, InFlight, Limits<'a>>, Desc>,
}

macro_rules! limits {
    ($operation:ident) => {
        impl<'a> $operation<'a> {
            /// Gives up `duration` from now. The earlier of two deadlines holds.
            pub fn timeout(mut self, duration: Duration) -> Self {
                self.limits = self.limits.timeout(duration);
                self
            }

            /// Gives up at `deadline`. The earlier of two deadlines holds.
            pub fn deadline(mut self, deadline: Instant) -> Self {
                self.limits = self.limits.deadline(deadline);
                self
            }

            /// Gives up when `token` is cancelled. A cancelled token takes precedence over
            /// everything.
            pub fn cancel_on(mut self, token: &'a Token) -> Self {
                self.limits = self.limits.cancel_on(token);
                self
            }
        }
    };
}

limits!(ZSend);
limits!(ZRecv);

impl<'a> ZSend<'a> {
    #[inline]
    pub(crate) fn new(channel: &'a ZChannel, desc: &'a mut Desc) -> Self {
        let limits = Limits::none();
        Self { channel, desc, limits, was_open: true, begun: false, waits: Waits::Nothing }
    }

    /// Sends from a thread or a coroutine, which parks while the operation waits.
    ///
    /// # Errors
    ///
    /// [`Failure`]; the descriptor is unchanged.
    #[inline]
    pub fn wait(mut self) -> Result<(), Failure> {
        let limits = self.limits;
        let (answer, by) = match self.route() {
            Ok(Route::Zref(ends, in_flight)) => {
                let send = ends.tx.send(in_flight);
                let sent = if is_none(limits) { send.wait() } else { send.limits(limits).wait() };
                (sent.map_err(refused), CountedBy::Zref)
            }
            Ok(Route::Link(link)) => {
                (link.link.send_wait(*self.desc, limits.into()), link.counted_by())
            }
            Err(failure) => (Err(failure), CountedBy::Channel),
        };
        self.sent(answer, by)
    }

    #[inline]
    fn route(&mut self) -> Result<Route<'a, InFlight>, Failure> {
        self.was_open = !self.channel.is_closed();
        allowed(self.limits)?;
        self.channel.send_route(self.desc)
    }

    #[inline]
    fn sent(&mut self, answer: Result<(), Failure>, by: CountedBy) -> Result<(), Failure> {
        self.channel.sent(self.desc, answer, self.was_open, by)
    }

    /// Begins. `None`: it waits, or is an operation of `zref`, which has not been polled.
    #[inline]
    fn begin(&mut self) -> Option<Answer<()>> {
        self.begun = true;
        self.waits = match self.route() {
            Ok(Route::Zref(ends, in_flight)) => {
                Waits::Zref(ends.tx.send(in_flight).limits(self.limits))
            }
            Ok(Route::Link(link)) => match link.link.try_send(*self.desc) {
                Err(Failure::WouldBlock) => {
                    Waits::Link(link.link.send(*self.desc, self.limits.into()), link.counted_by())
                }
                answer => return Some((answer, link.counted_by())),
            },
            Err(failure) => return Some((Err(failure), CountedBy::Channel)),
        };
        None
    }
}

impl Future for ZSend<'_> {
    type Output = Result<(), Failure>;

    #[inline]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // SAFETY: nothing is moved out of the pinned operation; `waits` is replaced in place.
        let this = unsafe { self.get_unchecked_mut() };
        let attempt = if this.begun { None } else { this.begin() };
        let (answer, by) = match attempt {
            Some(attempt) => attempt,
            // SAFETY: pinned with the operation.
            None => ready!(unsafe { this.waits.poll(context, |sent| sent.map_err(refused)) }),
        };
        Poll::Ready(this.sent(answer, by))
    }
}

impl Drop for ZSend<'_> {
    /// A descriptor that was not sent stays the producer's. If a receiver has it already, the send
    /// has succeeded and is counted here, because no caller gets its result.
    #[inline]
    fn drop(&mut self) {
        if let Waits::Zref(send) = &mut self.waits {
            // SAFETY: pinned with the operation, which is dropped where it is.
            match unsafe { Pin::new_unchecked(send) }.withdraw() {
                Some(in_flight) => {
                    let _still_the_producers = in_flight.land();
                }
                None => self.channel.sent_unseen(self.desc),
            }
        }
    }
}

impl<'a> ZRecv<'a> {
    #[inline]
    pub(crate) fn new(channel: &'a ZChannel) -> Self {
        Self { channel, limits: Limits::none(), begun: false, waits: Waits::Nothing }
    }

    /// Receives from a thread or a coroutine, which parks while the operation waits.
    ///
    /// # Errors
    ///
    /// [`Failure`].
    #[inline]
    pub fn wait(self) -> Result<Desc, Failure> {
        let limits = self.limits;
        let (answer, by) = match self.route() {
            Ok(Route::Zref(ends, ())) => {
                let recv = ends.rx.recv();
                let received =
                    if is_none(limits) { recv.wait() } else { recv.limits(limits).wait() };
                (landed(received), CountedBy::Zref)
            }
            Ok(Route::Link(link)) => (link.link.recv_wait(limits.into()), link.counted_by()),
            Err(failure) => (Err(failure), CountedBy::Channel),
        };
        self.channel.received(answer, by)
    }

    #[inline]
    fn route(&self) -> Result<Route<'a, ()>, Failure> {
        allowed(self.limits)?;
        self.channel.recv_route()
    }

    /// Begins. `None`: it waits, or is an operation of `zref`, which has not been polled.
    #[inline]
    fn begin(&mut self) -> Option<Answer<Desc>> {
        self.begun = true;
        self.waits = match self.route() {
            Ok(Route::Zref(ends, ())) => Waits::Zref(ends.rx.recv().limits(self.limits)),
            Ok(Route::Link(link)) => match link.link.try_recv() {
                Err(Failure::WouldBlock) => {
                    Waits::Link(link.link.recv(self.limits.into()), link.counted_by())
                }
                answer => return Some((answer, link.counted_by())),
            },
            Err(failure) => return Some((Err(failure), CountedBy::Channel)),
        };
        None
    }
}

impl Future for ZRecv<'_> {
    type Output = Result<Desc, Failure>;

    #[inline]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // SAFETY: nothing is moved out of the pinned operation; `waits` is replaced in place.
        let this = unsafe { self.get_unchecked_mut() };
        let attempt = if this.begun { None } else { this.begin() };
        let (answer, by) = match attempt {
            Some(attempt) => attempt,
            // SAFETY: pinned with the operation.
            None => ready!(unsafe { this.waits.poll(context, landed) }),
        };
        Poll::Ready(this.channel.received(answer, by))
    }
}

/// Whether these limits limit nothing.
#[inline]
fn is_none(limits: Limits<'_>) -> bool {
    limits.until().is_none() && limits.token().is_none()
}

/// A cancelled token takes precedence over everything.
#[inline]
fn allowed(limits: Limits<'_>) -> Result<(), Failure> {
    if limits.is_cancelled() { Err(Failure::Cancelled) } else { Ok(()) }
}

#[inline]
fn landed(received: Result<InFlight, RecvError>) -> Result<Desc, Failure> {
    Ok(received?.land())
}
