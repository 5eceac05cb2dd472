// SPDX-License-Identifier: BSD-3-Clause
//! Constructors of channels.

use crate::channel::{Channel, Plan, Undelivered, Weigh};
use crate::channel::{Kind, Overflow};
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
/// The memory for all values is allocated here. If that allocation fails, the process ends, as with
/// any allocation; where no capacity is a useful bound, use [`unlimited`].
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

/// A channel that holds the latest value: a send never waits and replaces the held value.
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

/// A channel without a bound: a send never waits. Memory is freed as the channel drains.
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

/// Builds a channel with more options than a kind and a capacity.
///
/// ```
/// use becket_chan::{Builder, Overflow};
///
/// let (lost, undelivered) = becket_chan::unlimited();
/// let (tx, rx) = Builder::bounded(1)
///     .overflow(Overflow::DropOldest)
///     .on_undelivered(move |value: u32| drop(lost.try_send(value)))
///     .build();
/// assert!(tx.try_send(1).is_ok() && tx.try_send(2).is_ok());
/// assert_eq!((rx.try_recv(), undelivered.try_recv()), (Ok(2), Ok(1)));
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

    /// The policy of a bounded channel for a value without room. The other kinds always have room,
    /// or never, and ignore it.
    pub fn overflow(mut self, overflow: Overflow) -> Self {
        self.plan.overflow = overflow;
        self
    }

    /// Sets the undelivered hook. It is called exactly once with each value that was accepted or
    /// offered and that no receiver will get: conflated, dropped by the overflow policy, left when
    /// the channel ended, or inside a send that was dropped before it completed. (A send that fails
    /// returns its value instead.)
    ///
    /// It runs on the thread of the operation that made the value undelivered, without a lock: it
    /// may use the channel.
    pub fn on_undelivered(mut self, hook: impl Fn(T) + Send + Sync + 'static) -> Self {
        let hook: Undelivered<T> = Box::new(hook);
        self.plan.undelivered = Some(hook);
        self
    }

    /// Sets the weight of a value in bytes, for the byte counters; the default is the size of `T`.
    pub fn weigh(mut self, weigh: impl Fn(&T) -> u64 + Send + Sync + 'static) -> Self {
        let weigh: Weigh<T> = Box::new(weigh);
        self.plan.weigh = Some(weigh);
        self
    }

    /// Records the time of the first and the last operation, and an exact high-water mark. Every
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
