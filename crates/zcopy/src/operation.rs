// SPDX-License-Identifier: BSD-3-Clause
//! Sends and receives of a channel of descriptors, as values: limits are set, then they are driven.
//!
//! Through `zref`, an operation is one of `becket_chan`. Through another backend it first tries; if
//! that would block, it creates the backend's operation ([`Link::send`](crate::Link::send),
//! [`Link::recv`](crate::Link::recv)), which it polls, and which is dropped with it.

use std::mem::{self, ManuallyDrop};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use becket_chan::{Limits, Recv, RecvError, Send, Token};

use crate::backend::{Pending, wait};
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
    /// Through `zref`.
    Zref(Pin<Box<Z>>),
    /// Through a link.
    Link(Pending<'a, T>, CountedBy),
}

impl<Z: Future, T> Waits<'_, Z, T> {
    /// Polls the operation. After its answer was returned it is pending for ever. `of_zref`
    /// converts the output of `zref`'s operation.
    fn poll(
        waits: &mut Option<Self>,
        context: &mut Context<'_>,
        of_zref: impl FnOnce(Z::Output) -> Result<T, Failure>,
    ) -> Poll<Answer<T>> {
        let answer = match waits {
            Some(Self::Zref(zref)) => {
                (of_zref(ready!(zref.as_mut().poll(context))), CountedBy::Zref)
            }
            Some(Self::Link(link, by)) => (ready!(link.as_mut().poll(context)), *by),
            None => return Poll::Pending,
        };
        *waits = None;
        Poll::Ready(answer)
    }
}

/// A send of a descriptor. See [`ZChannel::send`].
#[must_use = "an operation does nothing until it is awaited or waited for"]
pub struct ZSend<'a> {
    channel: &'a ZChannel,
    desc: &'a mut Desc,
    limits: Limits<'a>,
    /// Whether the channel was open when the send began.
    was_open: bool,
    begun: bool,
    waits: Option<Waits<'a, Send<'a, InFlight, Limits<'a>>, ()>>,
}

/// A receive of a descriptor. See [`ZChannel::recv`].
#[must_use = "an operation does nothing until it is awaited or waited for"]
pub struct ZRecv<'a> {
    channel: &'a ZChannel,
    limits: Limits<'a>,
    begun: bool,
    waits: Option<Waits<'a, Recv<'a, InFlight, Limits<'a>>, Desc>>,
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
        Self { channel, desc, limits, was_open: true, begun: false, waits: None }
    }

    /// Sends from a thread or a coroutine, which parks while the operation waits.
    ///
    /// # Errors
    ///
    /// [`Failure`]; the descriptor is unchanged.
    #[inline]
    pub fn wait(self) -> Result<(), Failure> {
        if self.begun {
            return wait(self);
        }
        // It was not polled: there is nothing to drop.
        let mut this = ManuallyDrop::new(self);
        let limits = this.limits;
        let (answer, by) = match this.route() {
            Ok(Route::Zref(ends, in_flight)) => {
                let send = ends.tx.send(in_flight).now();
                let sent = send.unwrap_or_else(|send| send.limits(limits).wait());
                (sent.map_err(refused), CountedBy::Zref)
            }
            Ok(Route::Link(link)) => {
                (link.link.send_wait(*this.desc, limits.into()), link.counted_by())
            }
            Err(failure) => (Err(failure), CountedBy::Channel),
        };
        this.sent(answer, by)
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

    /// The first attempt. `None`: it waits.
    #[inline]
    fn begin(&mut self) -> Option<Answer<()>> {
        self.waits = Some(match self.route() {
            Ok(Route::Zref(ends, in_flight)) => match ends.tx.send(in_flight).now() {
                Ok(sent) => return Some((sent.map_err(refused), CountedBy::Zref)),
                Err(send) => Waits::Zref(Box::pin(send.limits(self.limits))),
            },
            Ok(Route::Link(link)) => match link.link.try_send(*self.desc) {
                Err(Failure::WouldBlock) => {
                    Waits::Link(link.link.send(*self.desc, self.limits.into()), link.counted_by())
                }
                answer => return Some((answer, link.counted_by())),
            },
            Err(failure) => return Some((Err(failure), CountedBy::Channel)),
        });
        None
    }
}

impl Future for ZSend<'_> {
    type Output = Result<(), Failure>;

    #[inline]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let attempt = if mem::replace(&mut this.begun, true) { None } else { this.begin() };
        let (answer, by) = match attempt {
            Some(attempt) => attempt,
            None => ready!(Waits::poll(&mut this.waits, context, |sent| sent.map_err(refused))),
        };
        Poll::Ready(this.sent(answer, by))
    }
}

impl Drop for ZSend<'_> {
    /// A descriptor that was not sent stays the producer's. If a receiver has it already, the send
    /// has succeeded and is counted here, because no caller gets its result.
    #[inline]
    fn drop(&mut self) {
        if let Some(Waits::Zref(send)) = &mut self.waits {
            match send.as_mut().withdraw() {
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
        Self { channel, limits: Limits::none(), begun: false, waits: None }
    }

    /// Receives from a thread or a coroutine, which parks while the operation waits.
    ///
    /// # Errors
    ///
    /// [`Failure`].
    #[inline]
    pub fn wait(self) -> Result<Desc, Failure> {
        if self.begun {
            return wait(self);
        }
        let (answer, by) = match self.route() {
            Ok(Route::Zref(ends, ())) => {
                let recv = ends.rx.recv().now();
                let received = recv.unwrap_or_else(|recv| recv.limits(self.limits).wait());
                (landed(received), CountedBy::Zref)
            }
            Ok(Route::Link(link)) => (link.link.recv_wait(self.limits.into()), link.counted_by()),
            Err(failure) => (Err(failure), CountedBy::Channel),
        };
        self.channel.received(answer, by)
    }

    #[inline]
    fn route(&self) -> Result<Route<'a, ()>, Failure> {
        allowed(self.limits)?;
        self.channel.recv_route()
    }

    /// The first attempt. `None`: it waits.
    #[inline]
    fn begin(&mut self) -> Option<Answer<Desc>> {
        self.waits = Some(match self.route() {
            Ok(Route::Zref(ends, ())) => match ends.rx.recv().now() {
                Ok(received) => return Some((landed(received), CountedBy::Zref)),
                Err(recv) => Waits::Zref(Box::pin(recv.limits(self.limits))),
            },
            Ok(Route::Link(link)) => match link.link.try_recv() {
                Err(Failure::WouldBlock) => {
                    Waits::Link(link.link.recv(self.limits.into()), link.counted_by())
                }
                answer => return Some((answer, link.counted_by())),
            },
            Err(failure) => return Some((Err(failure), CountedBy::Channel)),
        });
        None
    }
}

impl Future for ZRecv<'_> {
    type Output = Result<Desc, Failure>;

    #[inline]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let attempt = if mem::replace(&mut this.begun, true) { None } else { this.begin() };
        let (answer, by) = match attempt {
            Some(attempt) => attempt,
            None => ready!(Waits::poll(&mut this.waits, context, landed)),
        };
        Poll::Ready(this.channel.received(answer, by))
    }
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
