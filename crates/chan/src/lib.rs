// SPDX-License-Identifier: BSD-3-Clause
//! Channels for tasks, threads and coroutines at once.
//!
//! Four kinds, one pair of handles: [`rendezvous`] hands values over, [`bounded`] queues up to a
//! number of values, [`conflated`] keeps the latest, [`unlimited`] grows. A task may receive values
//! that a thread sends.
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
//! `cancel_on` a [`Token`]), then drive it with `.await` or [`wait`](Operation::wait). [`select!`]
//! and [`Select`] complete exactly one of several operations.
//!
//! # Guarantees
//!
//! 1. **No value is lost or received twice.** Each accepted value is received once, or goes once to
//!    the undelivered hook: `sends = receives + len + undelivered`, exactly, once no operation is
//!    in flight.
//! 2. **First in, first out**, on each side. While any operation waits, every operation goes
//!    through the lock and serves the wait queue first, so that a newcomer never overtakes a queued
//!    waiter; and a waiter is woken with its operation completed. A select tries its operations
//!    from a random start (in order, if biased), and waits in each channel's wait queue like any
//!    other operation.
//! 3. **Any operation may be dropped at any point.** One that has not completed leaves no trace: a
//!    send's value goes to the hook; a value that was handed to a receive, and that the receive has
//!    not returned, is requeued in front of all queued values. A send that was matched has
//!    completed.
//! 4. **A cancelled token wins over a ready channel, a ready channel over its close, and both over
//!    a deadline.** Once an operation waits, the first of these events ends it.
//! 5. **Closing wakes every waiter.** Sends then fail and return their values; receives take the
//!    queued values, and then fail.
//! 6. **Nothing polls, and waiting allocates nothing.** A task is woken by its waker, a thread by a
//!    futex, a coroutine by its scheduler ([`park`]); one value wakes one receiver.
//! 7. **No user code runs under a lock** of this crate. A caller that operates on channels under a
//!    lock of its own can [defer](wakes) the wakes. A panic of a waker, a hook or a drop inside
//!    another operation is reported by the panic hook and does not propagate.
//! 8. **The ring is allocated when the channel is created**, a large one as address space that the
//!    system fills with memory when it is used first; only an unlimited channel grows, in blocks
//!    that it frees again.
//!
//! # Modules
//!
//! | module | contents |
//! |---|---|
//! | `builder`, `handle` | constructors; the two handles |
//! | `op`, `limit` | operations and their driver; their limits |
//! | `transfer` | the send and the receive of one value, and how they differ |
//! | `batch`, `mapped` | many values per synchronisation; operations with a mapped result |
//! | [`spsc`] | handles for one sender and one receiver: plain stores |
//! | `iter`, `stream`, `sink` | handles as iterators, as streams and, with the feature `sink`, as sinks |
//! | `select` | one of several operations |
//! | `token` | trees of cancel tokens |
//! | `channel` | one channel, a file for each kind: the fast path, the paths through the lock, closing |
//! | `ring`, `contend` | the slots, without a lock; backoff after a lost race for an index word |
//! | `core` | the state under the lock, and the general path of every kind |
//! | `spill` | the blocks that an unlimited channel has past its ring |
//! | `hint` | the readiness hint for checks without the lock |
//! | `waiter`, [`wakes`] | the waiter protocol: claims, nodes, wait queues, wakes; wakes that are deferred |
//! | `contain` | user code that must not unwind into an operation |
//! | `lock`, `spin`, [`park`], [`fence`] | the lock, adaptive spinning, sleeping and the hook for coroutines, the fence |
//! | `counters`, `metrics`, `probe` | snapshots and rates; periodic snapshots; snapshots without a handle |
//! | [`timer`] | deadlines in a timing wheel |
//! | `error` | the errors, which return a send's value |
//! | `sync` | the one place from which atomics and cells come, so that loom can replace them |
//!
//! # Safety
//!
//! Each module with unsafe code has its own argument, by its invariants. In short:
//!
//! | modules | why they need it | why it is sound |
//! |---|---|---|
//! | `ring`, `spsc` | values in slots that several threads reach; a mapping of zeroes | a slot belongs to the operation that moved the index past it, until it stores the stamp; zeroes are slots that were never used |
//! | `lock`, `sync` | a cell behind a lock | one swap acquires it, only its owner releases it |
//! | `core`, `channel` | values are moved by copy, from slot to slot | under the lock; a result of *done* means that exactly one was moved |
//! | `waiter`, `op`, `transfer`, `token`, `select`, `limit` | lists through the memory of the operations themselves | an operation is pinned while it is linked and unlinks itself, under the queue's lock, before it is dropped; a matcher touches it only until it stores *done* |
//! | `batch`, `mapped`, `stream`, `sink`, `handle` | an operation inside a larger value; a value behind a pointer | it is pinned there, and dropped before the handle that it borrows from |
//! | `spill` | values in the spare capacity of a vector | two indices say which of them the block owns |
//! | `park`, `fence`, `spin` | the parking lot, system calls | keys are addresses of words of this crate |
//!
//! `builder`, `contend`, `counters`, `error`, `hint`, `iter`, `metrics`, `probe`, [`timer`] and
//! [`wakes`] have none.
//!
//! ## Promises that the compiler enforces
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
//! | the SPSC ring | Lamport's queue, 1977; cached positions as in MCRingBuffer |
//! | the asymmetric fence | folly's `AsymmetricThreadFence`, C++ proposal P1202 |
//! | waiters inside operations, unlinked by the waking side | the wait queues of kernels; futex parking as in `parking_lot` |
//! | select | Go's `runtime/select.go`, with one claim word |
//! | backoff after a lost race | exponential backoff: Anderson, *The performance of spin lock alternatives*, 1990 |
//! | spinning before sleeping | Karlin, Li, Manasse, Owicki: *Empirical studies of competitive spinning*, 1991 |
//! | timers | Varghese and Lauck: *Hashed and hierarchical timing wheels*, 1987 |

mod batch;
mod builder;
mod channel;
mod contain;
mod contend;
mod core;
mod counters;
mod error;
#[cfg(not(feature = "loom"))]
pub mod fence;
mod handle;
mod hint;
mod iter;
mod limit;
mod lock;
mod mapped;
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
mod transfer;
mod waiter;
pub mod wakes;

#[cfg(not(feature = "loom"))]
pub use crate::probe::Probe;
pub use crate::{
    batch::{ManyReceived, ManySent, RecvMany, SendMany},
    builder::{Builder, bounded, conflated, rendezvous, unlimited},
    channel::{Kind, Overflow},
    counters::{Failures, Rate, Snapshot, rate},
    error::{RecvError, SendError, SendManyError, TryRecvError, TrySendError},
    handle::{Reason, Receiver, Sender},
    iter::{IntoIter, Iter, TryIter},
    limit::{Limit, Limits, NoLimits},
    mapped::{Map, Mapped},
    op::{Action, Operation},
    select::dynamic::{Ready, RecvCase, Select, SelectError, SelectReady, SelectWait, SendCase},
    spsc::{
        Job, RecvAny, RecvOne, SendAll, SendOne, Spsc, SpscBuilder, SpscOperation, SpscReceiver,
        SpscRecv, SpscRecvMany, SpscSend, SpscSendMany, SpscSender, bounded_spsc,
    },
    stream::RecvStream,
    token::{Cancellation, Cancelled, Token},
    transfer::{Direction, Receiving, Recv, Send, Sending, Transfer},
};

#[cfg(feature = "sink")]
pub use crate::sink::SendSink;

/// What `select!` is made of.
#[doc(hidden)]
pub mod __private {
    pub use crate::select::{arm::Arm, race::SelectOutcome, race::race};
}
