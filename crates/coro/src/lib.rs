// SPDX-License-Identifier: BSD-3-Clause
//! Stackful coroutines: straight-line code that waits without holding a thread.
//!
//! A coroutine is a function with a stack of its own. While it waits (for a channel, for time, for
//! another coroutine, for any future) its thread runs others. A million of them fit into a process.
//!
//! ```
//! use becket_chan::bounded;
//! use becket_coro::spawn;
//!
//! let (tx, rx) = bounded(8);
//! let squares = spawn(move || {
//!     for n in 1..=3u32 {
//!         // Parks this coroutine while the channel is full, not the thread.
//!         tx.send(n * n).wait()?;
//!     }
//!     Ok::<(), becket_chan::SendError<u32>>(())
//! });
//! assert_eq!(rx.iter().sum::<u32>(), 14);
//! squares.join().unwrap().unwrap();
//! ```
//!
//! # Guarantees
//!
//! 1. **A coroutine that has started stays on its thread**, its worker, to its end. So
//!    thread-locals and values that are not `Send` are sound on its stack, and [`spawn`] is safe.
//!    Idle workers steal coroutines that have not started.
//! 2. **A wait parks the coroutine, whatever it waits for**: all of `becket_chan` by its hook,
//!    [`block_on`] any future, [`JoinHandle::join`] another coroutine. A wake before the wait is
//!    not lost; wakes may come from any thread, also after the coroutine's end.
//! 3. **Nothing polls.** A worker without work spins for some microseconds and then sleeps; an idle
//!    runtime uses no CPU, even with a million parked coroutines.
//! 4. **A ready coroutine runs within a bounded number of dispatches**, and so do due timers, wakes
//!    from other threads and coroutines spawned from outside, whatever floods the worker
//!    (`worker::turn` has the table).
//! 5. **A stack overflow ends the process, with a message that names the coroutine.** There is a
//!    guard below each stack. No other stack's memory is touched.
//! 6. **A panic ends its coroutine and is returned to its joiner.** Destructors run; they also run
//!    for waiting coroutines when their runtime ends.
//! 7. **Time is monotonic**, and may be virtual: [`VirtualClock`].
//!
//! A coroutine that computes for long, or blocks its thread by other means than these, delays the
//! other coroutines of its worker. [`Builder::watchdog`] reports it, [`spawn_blocking`] is for
//! calls that block.
//!
//! # Modules
//!
//! | module | contents |
//! |---|---|
//! | `runtime` | construction of a runtime; its handles; spawning |
//! | `launch` | the options of a coroutine before it is spawned |
//! | `join`, `error` | the handle of a coroutine; the errors |
//! | `wait`, `clock` | yield, sleep, park, block on a future; clocks |
//! | `driving` | a thread that blocks on a future, and polls what the future waits for |
//! | [`scope`](mod@scope), [`job`], `deferred` | coroutines that end before the block that spawned them |
//! | [`flow`] | producers, fan-out, fan-in, pipelines over channels |
//! | [`actor`] | a state, a coroutine that owns it, and a mailbox in front |
//! | [`fiber`], [`foreign`] | manually driven coroutines; frames of other languages |
//! | `local`, `current` | coroutine-local values; the running coroutine |
//! | `dump`, `watchdog`, `names` | the living coroutines, their states, those that hold their worker |
//! | `dispatcher` | where code runs: the current runtime, threads that may block, a pool of its own |
//! | `worker` | one thread that runs coroutines: scheduling, waiting, ending |
//! | `free_list` | free slots and stacks of the calling thread |
//! | `slot`, `wake_state`, `sleep`, `unwinding` | the table of coroutines; wakes from other threads; how workers sleep; how a coroutine is ended |
//! | `context` | the worker and the coroutine of the calling thread |
//! | `stack`, `switch` | stacks and their guards; switching between stacks |
//! | `sync` | the one place from which atomics come, so that loom can replace them |
//!
//! # Safety
//!
//! | modules | why they need unsafe code | why it is sound |
//! |---|---|---|
//! | `stack`, `switch` | memory and registers | a stack has one owner; a coroutine is resumed only while it is suspended |
//! | `slot`, `worker`, `runtime` | cells without locks, in a table that all threads see | a coroutine is in one place at a time, and the thread that takes it out of there owns it; once started it belongs to its worker |
//! | `context` | a pointer to the worker below | passed to closures only; the worker outlives the code above its loop |
//! | `join`, `done` | one allocation from spawner to coroutine to joiner | one atomic says which of them owns it |
//! | `fiber` | manual resumption | a fiber does not leave its thread |
//! | `unwinding` | a coroutine that changes threads in the middle of its panic | nothing on its stack is bound to a thread |
//! | `scope` | borrowed data in a coroutine | the scope's owner waits to the end, whatever happens |
//! | `local`, `sleep`, `wait` | values attached to a slot, a parking lot, a waker that is a number | each module has its argument |
//!
//! # Tools that cannot follow a stack switch
//!
//! With the feature `threads`, and under miri always, every coroutine has a thread of its own, and
//! one of them runs at a time: the same scheduler, with another switch.
//!
//! # Sources
//!
//! The scheme of searching and sleeping workers is Go's; the deques are Chase and Lev's
//! (`crossbeam-deque`), the switch is `corosensei`'s except on x86-64, the timing wheel is Varghese and
//! Lauck's (`becket_chan::timer::wheel`).

pub mod actor;
mod clock;
mod context;
mod current;
mod deferred;
mod dispatcher;
mod done;
mod driving;
mod dump;
mod error;
pub mod fiber;
pub mod flow;
pub mod foreign;
mod free_list;
pub mod job;
mod join;
mod launch;
mod local;
mod names;
pub mod outside;
mod runtime;
pub mod scope;
mod sleep;
mod slot;
mod stack;
mod switch;
mod sync;
mod unwinding;
mod wait;
mod wake_state;
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
    join::{Id, JoinHandle, panic_message},
    launch::{Alone, Spawn},
    local::LocalKey,
    runtime::{Builder, Handle, Runtime, Stats, WorkerStats, cpus, spawn},
    scope::{Scope, ScopeError, current_token, scope, supervisor},
    stack::{StackError, overflow::report_overflows},
    wait::{block_on, park, park_deadline, sleep, sleep_until, yield_now},
    watchdog::Stalled,
};
