// SPDX-License-Identifier: BSD-3-Clause
//! Making channels.

use crate::channel::{Channel, Plan, Undelivered, Weigh};
use crate::gate::{Kind, Overflow};
use crate::handle::{Receiver, Sender, handles};

/// A channel on which a send completes when a receiver takes its value. Nothing is stored.
///
/// ```
/// let (tx, rx) = becket_chan::rendezvous();
/// std::thread::scope(|scope| {
///     scope.spawn(move || tx.send("hello").wait());
///     assert_eq!(rx.recv().wait(), Ok("hello"));
/// });
/// ```
#[must_use]
pub fn rendezvous<T>() -> (Sender<T>, Receiver<T>) {
    Builder::rendezvous().build()
}

/// A channel that holds up to `capacity` values, exactly. With a capacity of 0 it is a
/// [`rendezvous`] channel.
///
/// The room for all of them is allocated here. A capacity for which there is no memory ends the
/// process, as any such allocation does; what has no useful bound is for [`unlimited`].
///
/// ```
/// let (tx, rx) = becket_chan::bounded(2);
/// assert!(tx.try_send(1).is_ok() && tx.try_send(2).is_ok());
/// assert!(tx.try_send(3).unwrap_err().is_full());
/// assert_eq!(rx.try_recv(), Ok(1));
/// ```
#[must_use]
pub fn bounded<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    Builder::bounded(capacity).build()
}

/// A channel that holds the latest value: a send never waits and replaces what is there.
///
/// ```
/// let (tx, rx) = becket_chan::conflated();
/// assert!(tx.try_send(1).is_ok() && tx.try_send(2).is_ok());
/// assert_eq!(rx.try_recv(), Ok(2));
/// ```
#[must_use]
pub fn conflated<T>() -> (Sender<T>, Receiver<T>) {
    Builder::conflated().build()
}

/// A channel that holds what comes: a send never waits. Memory is given back as it drains.
///
/// ```
/// let (tx, rx) = becket_chan::unlimited();
/// (0..1000).for_each(|n| tx.try_send(n).unwrap());
/// assert_eq!((rx.len(), rx.try_recv()), (1000, Ok(0)));
/// ```
#[must_use]
pub fn unlimited<T>() -> (Sender<T>, Receiver<T>) {
    Builder::unlimited().build()
}

/// Makes a channel with more than a kind and a capacity.
///
/// ```
/// use becket_chan::{Builder, Overflow};
///
/// let (lost, heard) = becket_chan::unlimited();
/// let (tx, rx) = Builder::bounded(1)
///     .overflow(Overflow::DropOldest)
///     .on_undelivered(move |value: u32| drop(lost.try_send(value)))
///     .build();
/// assert!(tx.try_send(1).is_ok() && tx.try_send(2).is_ok());
/// assert_eq!((rx.try_recv(), heard.try_recv()), (Ok(2), Ok(1)));
/// ```
#[must_use]
pub struct Builder<T> {
    plan: Plan<T>,
}

impl<T> Builder<T> {
    /// See [`rendezvous`].
    pub fn rendezvous() -> Self {
        Self::kind(Kind::Rendezvous, 0)
    }

    /// See [`bounded`].
    pub fn bounded(capacity: usize) -> Self {
        let kind = if capacity == 0 { Kind::Rendezvous } else { Kind::Bounded };
        Self::kind(kind, capacity)
    }

    /// See [`conflated`].
    pub fn conflated() -> Self {
        Self::kind(Kind::Conflated, 1)
    }

    /// See [`unlimited`].
    pub fn unlimited() -> Self {
        Self::kind(Kind::Unlimited, 0)
    }

    fn kind(kind: Kind, capacity: usize) -> Self {
        let plan = Plan {
            kind,
            capacity,
            overflow: Overflow::Suspend,
            timing: false,
            undelivered: None,
            weigh: None,
        };
        Self { plan }
    }

    /// What a bounded channel does with a value for which it has no room. The other kinds have room
    /// always, or never, and take no notice.
    pub fn overflow(mut self, overflow: Overflow) -> Self {
        self.plan.overflow = overflow;
        self
    }

    /// Calls `hook` exactly once with each value that was accepted or offered and that nobody will
    /// receive: conflated, dropped by the overflow policy, left when the channel ended, or inside a
    /// send that was dropped before it happened. (A send that fails gives its value back instead.)
    ///
    /// It runs on the thread whose operation lost the value, and holds no lock: it may use the
    /// channel.
    pub fn on_undelivered(mut self, hook: impl Fn(T) + Send + Sync + 'static) -> Self {
        let hook: Undelivered<T> = Box::new(hook);
        self.plan.undelivered = Some(hook);
        self
    }

    /// Says how many bytes a value stands for, for the byte counters; else it is the size of `T`.
    pub fn weigh(mut self, weigh: impl Fn(&T) -> u64 + Send + Sync + 'static) -> Self {
        let weigh: Weigh<T> = Box::new(weigh);
        self.plan.weigh = Some(weigh);
        self
    }

    /// Keeps the time of the first and the last operation, and an exact high-water mark. Every
    /// operation then takes the channel's lock and reads the clock.
    pub fn timing(mut self, timing: bool) -> Self {
        self.plan.timing = timing;
        self
    }

    /// Makes the channel.
    #[must_use]
    pub fn build(self) -> (Sender<T>, Receiver<T>) {
        handles(Channel::new(self.plan))
    }
}
