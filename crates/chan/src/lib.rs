// SPDX-License-Identifier: BSD-3-Clause
//! Channels for tasks, threads and coroutines at once.
//!
//! Four kinds, one pair of handles. [`rendezvous`] hands over, [`bounded`] queues up to a number,
//! [`conflated`] keeps the latest, [`unlimited`] grows. What a thread sends, a task may receive.
//!
//! ```
//! use std::time::Duration;
//!
//! use becket_chan::{RecvError, bounded};
//!
//! let (tx, rx) = bounded(8);
//! std::thread::spawn(move || tx.send("from a thread").wait());
//! # futures_lite::future::block_on(async {
//! assert_eq!(rx.recv().timeout(Duration::from_secs(10)).await, Ok("from a thread"));
//! assert_eq!(rx.recv().await, Err(RecvError::Closed));
//! # });
//! ```
//!
//! A send or a receive is a value, an [`Operation`]: give it limits (`timeout`, `deadline`,
//! `cancel_on` a [`Token`]), then drive it with `.await` or [`wait`](Operation::wait). [`select!`] and
//! [`Select`] make one of several happen.
//!
//! # What holds
//!
//! 1. **Nothing is lost, nothing comes twice.** Each value accepted is received once, or goes once to
//!    the undelivered hook: `sends = receives + len + undelivered`, exactly, once nothing moves.
//! 2. **First come, first served**, on each side. While anybody waits, every operation goes through
//!    the lock and serves the line first, so that a newcomer never overtakes a waiter in line; and a
//!    waiter is woken with its operation done. A select looks at its operations from a random start
//!    (in order, if biased), and waits in each channel's line like any other.
//! 3. **Any operation may be dropped at any point.** One that has not happened leaves no trace: a
//!    send's value goes to the hook; a value that was handed to a receive, and that nobody has
//!    taken, goes back in front of all that is queued. A send that was matched has happened.
//! 4. **A set token wins over a ready channel, a ready channel over its end, and both over a
//!    deadline.** Once an operation waits, who comes first ends it.
//! 5. **Closing wakes everybody.** Sends then fail and give their value back; receives take what is
//!    queued, and then fail.
//! 6. **Nothing polls, and waiting allocates nothing.** A task is woken by its waker, a thread by a
//!    futex, a coroutine by its scheduler ([`park`]); one value wakes one receiver.
//! 7. **No code of the user's runs under a lock.** A waker, a hook or a drop that panics inside
//!    somebody else's operation is reported by the panic hook and goes no further.
//! 8. **What the ring can hold is allocated at the start**; only an unlimited channel grows, in blocks
//!    that it gives back.
//!
//! # Where things are
//!
//! | module | what lives there |
//! |---|---|
//! | `builder`, `handle` | making a channel; its two handles |
//! | `op`, `direction`, `limit` | operations: how they are driven, what differs by direction, what may end them |
//! | `batch` | many values under one synchronisation |
//! | `spsc` | handles for one sender and one receiver: plain stores |
//! | `iter`, `stream`, `sink` | handles as iterators, as streams and, with the feature `sink`, as sinks |
//! | `select` | one of several operations |
//! | `token` | trees of cancel tokens |
//! | `channel` | one channel: the fast way, the ways through the lock, closing |
//! | `ring`, `contend` | the slots, without a lock; how long the loser of a race for them stays away |
//! | `gate` | what happens under the lock; past the ring of an unlimited channel (`gate::past`) |
//! | `spill` | the blocks that it holds there |
//! | `hint` | what a look without the lock tells of it |
//! | `waiter` | who waits: claims, nodes, lines, wakes |
//! | `lock`, `spin`, [`park`], [`fence`] | how threads keep out of each other's way, look, sleep; the hook for coroutines |
//! | `counters`, `metrics`, `probe` | snapshots and rates; a snapshot each period; looking without holding |
//! | [`timer`] | deadlines in a timing wheel |
//! | `error` | what fails, with the value back |
//! | `sync` | the one place from which atomics and cells come, so that loom can replace them |
//!
//! # Safety
//!
//! Each module with unsafe code argues for itself, by its invariants. In short:
//!
//! | modules | why they need it | what makes it sound |
//! |---|---|---|
//! | `ring`, `spsc` | values in slots that several threads reach | a slot belongs to who moved the index past it, until it stores the stamp |
//! | `lock`, `sync` | a cell behind a lock | one swap takes it, its owner lets go |
//! | `gate`, `channel` | values are moved by copy, from slot to slot | under the lock; what says *done* has moved exactly one |
//! | `waiter`, `op`, `token`, `select`, `limit`, `direction` | lists through memory of the operations themselves | an operation is pinned while it is linked and unlinks itself, under the list's lock, before it goes; who ends a wait touches it only until it says *done* |
//! | `batch`, `stream`, `sink`, `handle` | an operation inside something larger; a value behind a pointer | it is pinned there, and dropped before what it borrows from |
//! | `park`, `fence` | the parking lot, a system call | keys are addresses of words of this crate |
//!
//! `builder`, `contend`, `counters`, `error`, `iter`, `metrics`, `probe`, `spill`, `spin` and [`timer`] have none.
//!
//! ## Promises that the compiler keeps
//!
//! Handles go to another thread only if their values may:
//!
//! ```
//! fn to_thread<T: Send + Sync>(_: T) {}
//! to_thread(becket_chan::unlimited::<std::sync::Arc<u8>>());
//! ```
//! ```compile_fail,E0277
//! fn to_thread<T: Send + Sync>(_: T) {}
//! to_thread(becket_chan::unlimited::<std::rc::Rc<u8>>());
//! ```
//!
//! An operation does not outlive its handle:
//!
//! ```
//! let (tx, _rx) = becket_chan::unlimited();
//! let operation = tx.send(1);
//! operation.wait().unwrap();
//! drop(tx);
//! ```
//! ```compile_fail,E0505
//! let (tx, _rx) = becket_chan::unlimited();
//! let operation = tx.send(1);
//! drop(tx);
//! operation.wait().unwrap();
//! ```
//!
//! nor its token, nor a select its handles:
//!
//! ```compile_fail,E0505
//! let (_tx, rx) = becket_chan::unlimited::<u8>();
//! let token = becket_chan::Token::new();
//! let operation = rx.recv().cancel_on(&token);
//! drop(token);
//! let _ = operation.wait();
//! ```
//! ```compile_fail,E0505
//! let (_tx, rx) = becket_chan::unlimited::<u8>();
//! let mut select = becket_chan::Select::new();
//! select.recv(&rx);
//! drop(rx);
//! let _ = select.try_ready();
//! ```
//!
//! An operation that waits does not move; a stream may:
//!
//! ```
//! fn may_move<T: Unpin>(_: T) {}
//! may_move(becket_chan::unlimited::<u8>().1.into_stream());
//! ```
//! ```compile_fail,E0277
//! fn may_move<T: Unpin>(_: T) {}
//! may_move(becket_chan::unlimited::<u8>().1.recv());
//! ```
//!
//! # Sources
//!
//! | what | after |
//! |---|---|
//! | the ring | Dmitry Vyukov's bounded MPMC queue; laps as in crossbeam's array channel |
//! | the SPSC handles' ring | Lamport's queue, 1977; cached positions as in MCRingBuffer |
//! | the asymmetric fence | folly's `AsymmetricThreadFence`, C++ proposal P1202 |
//! | waiters inside operations, taken out by who wakes them | the wait queues of kernels; futex parking as in `parking_lot` |
//! | select | Go's `runtime/select.go`, with one claim word |
//! | how long a lost race keeps away | exponential backoff: Anderson, *The performance of spin lock alternatives*, 1990 |
//! | looking before sleeping | Karlin, Li, Manasse, Owicki: *Empirical studies of competitive spinning*, 1991 |
//! | timers | Varghese and Lauck: *Hashed and hierarchical timing wheels*, 1987 |

mod batch;
mod builder;
mod channel;
mod contend;
mod counters;
mod direction;
mod error;
#[cfg(not(feature = "loom"))]
pub mod fence;
mod gate;
mod handle;
mod hint;
mod iter;
mod limit;
mod lock;
#[cfg(not(feature = "loom"))]
mod metrics;
#[cfg(all(test, feature = "loom"))]
mod models;
mod op;
pub mod park;
#[cfg(not(feature = "loom"))]
mod probe;
mod ring;
mod select;
#[cfg(feature = "sink")]
mod sink;
mod spill;
mod spin;
pub mod spsc;
mod stream;
mod sync;
pub mod timer;
mod token;
mod waiter;

#[cfg(not(feature = "loom"))]
pub use crate::probe::Probe;
pub use crate::{
    batch::{RecvMany, SendMany},
    builder::{Builder, bounded, conflated, rendezvous, unlimited},
    counters::{Failures, Rate, Snapshot, rate},
    direction::{Direction, Receiving, Sending},
    error::{RecvError, SendError, SendManyError, TryRecvError, TrySendError},
    gate::{Kind, Overflow},
    handle::{Reason, Receiver, Sender},
    iter::{IntoIter, Iter, TryIter},
    limit::{Free, Limit, Limited},
    op::{Operation, Recv, Send},
    select::dynamic::{Ready, RecvCase, Select, SelectError, SelectReady, SendCase},
    spsc::{
        Job, RecvAny, RecvOne, SendAll, SendOne, SpscBuilder, SpscOperation, SpscReceiver,
        SpscRecv, SpscRecvMany, SpscSend, SpscSendMany, SpscSender, bounded_spsc,
    },
    stream::RecvStream,
    token::{Cancelled, Token},
};

#[cfg(feature = "sink")]
pub use crate::sink::SendSink;

/// What `select!` is made of.
#[doc(hidden)]
pub mod __private {
    pub use crate::limit::none as limits;
    pub use crate::select::{arm::Arm, race::Outcome, race::Race};
}
