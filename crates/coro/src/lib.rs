// SPDX-License-Identifier: BSD-3-Clause
//! Stackful coroutines: straight-line code that waits without holding a thread.
//!
//! A coroutine is a function with a stack of its own. Where it waits (for a channel, for time, for
//! another coroutine, for any future) its thread runs others. A million of them fit into a process.
//!
//! ```
//! use becket_chan::bounded;
//! use becket_coro::spawn;
//!
//! let (tx, rx) = bounded(8);
//! let squares = spawn(move || {
//!     for n in 1..=3u32 {
//!         // Parks this coroutine while the channel is full, and no thread.
//!         tx.send(n * n).wait()?;
//!     }
//!     Ok::<(), becket_chan::SendError<u32>>(())
//! });
//! assert_eq!(rx.iter().sum::<u32>(), 14);
//! squares.join().unwrap().unwrap();
//! ```
//!
//! # What holds
//!
//! 1. **A coroutine that has started stays on its thread**, its worker, to its end. So thread-locals
//!    and values that are not `Send` are sound on its stack, and [`spawn`] is safe. Idle workers take
//!    coroutines that have not started.
//! 2. **A wait parks the coroutine, whatever it waits for**: all of `becket_chan` by its hook,
//!    [`block_on`] any future, [`JoinHandle::join`] another coroutine. A wake that comes before the
//!    wait is not lost; wakes may come from any thread, also after the coroutine's end.
//! 3. **Nothing polls.** A worker without work looks round for some microseconds and then sleeps; idle
//!    costs no CPU, with a million parked too.
//! 4. **What is ready runs within a bounded number of dispatches**, and so do due timers, wakes from
//!    other threads and coroutines spawned from outside, whatever floods the worker (`worker::turn`
//!    has the table).
//! 5. **A stack that overflows ends the process, with a message that says whose.** There is a guard
//!    below each. No neighbour's memory is touched.
//! 6. **A panic ends its coroutine and reaches who joins it.** Destructors run; so they do for what
//!    waits when its runtime ends.
//! 7. **Time is monotonic**, and may be virtual: [`VirtualClock`].
//!
//! A coroutine that computes for long, or blocks its thread by other means than these, holds up the
//! others of its worker. [`Builder::watchdog`] tells of it, [`spawn_blocking`] is the place for calls
//! that block.
//!
//! # Where things are
//!
//! | module | what lives there |
//! |---|---|
//! | `runtime` | making a runtime; its handles; spawning |
//! | `join`, `error` | the handle of a coroutine; what can fail |
//! | `wait`, `clock` | yield, sleep, park, block on a future; where time comes from |
//! | [`scope`](mod@scope), [`job`], `deferred` | coroutines that end before the block that spawned them |
//! | [`flow`] | producers, fan-out, fan-in, pipelines over channels |
//! | [`actor`] | a state, a coroutine that owns it, and a mailbox in front |
//! | [`fiber`], [`foreign`] | coroutines resumed by hand; frames of other languages |
//! | `local`, `current` | values that each coroutine has for itself; which one runs |
//! | `dump`, `watchdog`, `names` | which coroutines live, what they do, who holds its worker |
//! | `dispatcher` | where code runs: here, on threads that may block, on a pool of its own |
//! | `worker` | one thread that runs coroutines: whose turn it is, waiting, ending |
//! | `spare` | free slots and stacks at hand |
//! | `slot`, `gate`, `sleep`, `unwinding` | the table of coroutines; wakes from other threads; how workers sleep; how a flow is ended |
//! | `context` | what runs on this thread |
//! | `stack`, `switch` | stacks and their guards; changing from one to another |
//! | `sync` | where the atomics come from, so that loom can replace them |
//!
//! # Safety
//!
//! | modules | why they need unsafe code | what makes it sound |
//! |---|---|---|
//! | `stack`, `switch` | memory and registers | a stack has one owner; a flow is resumed only while it is suspended |
//! | `slot`, `worker`, `runtime` | cells without locks, in a table that all threads see | a coroutine is in one place at a time, and who takes it out of there has it; once started it is its worker's |
//! | `context` | a pointer to the worker below | shown to closures only; the worker outlives what runs above its loop |
//! | `join` | one allocation from spawner to coroutine to joiner | one atomic says whose it is |
//! | `fiber` | resuming by hand | a fiber does not leave its thread |
//! | `scope` | borrowed data in a coroutine | the scope's owner waits to the end, whatever happens |
//! | `local`, `names`, `sleep`, `wait` | values hung on a slot, a parking lot, a waker that is a number | each says so |
//!
//! # Tools that cannot follow a stack switch
//!
//! With the feature `threads`, and under miri always, every coroutine has a thread of its own and they
//! take turns: the same scheduler, with another switch.
//!
//! # Sources
//!
//! The scheme of searching and sleeping workers is Go's; the deques are Chase and Lev's
//! (`crossbeam-deque`), the switch is `corosensei`'s, the timing wheel is Varghese and Lauck's
//! (`becket_chan::timer::wheel`).

pub mod actor;
mod clock;
mod context;
mod current;
mod deferred;
mod dispatcher;
mod done;
mod dump;
mod error;
pub mod fiber;
pub mod flow;
pub mod foreign;
mod gate;
pub mod job;
mod join;
mod local;
mod names;
pub mod outside;
mod runtime;
pub mod scope;
mod sleep;
mod slot;
mod spare;
mod stack;
mod switch;
mod sync;
mod unwinding;
mod wait;
mod watchdog;
mod worker;

pub use self::{
    clock::{Clock, VirtualClock, now},
    current::{Current, current},
    deferred::{Deferred, defer},
    dispatcher::{Dispatcher, spawn_blocking},
    dump::{Row, State},
    error::{BuildError, JoinError, SpawnError},
    job::Job,
    join::{Id, JoinHandle},
    local::LocalKey,
    runtime::{Builder, Handle, Runtime, Spawn, Stats, WorkerStats, spawn},
    scope::{Scope, ScopeError, current_token, scope, supervisor},
    stack::StackError,
    wait::{block_on, park, park_deadline, sleep, sleep_until, yield_now},
    watchdog::Stalled,
};
