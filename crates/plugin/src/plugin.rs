// SPDX-License-Identifier: BSD-3-Clause
//! The [`Plugin`] trait: what an author writes.
#![forbid(unsafe_code)]

use becket_abi::{
    BK_PLUGIN_MAY_UNLOAD, BK_PLUGIN_MULTI_INSTANCE, BK_PLUGIN_NEVER_BLOCKS, BK_PLUGIN_THREAD_SAFE,
    BK_PLUGIN_WANTS_COROUTINE,
};

use crate::entry::Entry;
use crate::error::Failure;
use crate::host::Host;

/// A plugin: its name, its entries, and the value that lives from `init` to `shutdown`.
///
/// Handlers get `&self`, from several threads at once. What they share they keep in `self`, not in
/// statics: then one file can serve under several names.
pub trait Plugin: Sized + Send + Sync + 'static {
    /// The name that the plugin reports.
    const NAME: &'static str;
    /// The version that the plugin reports, e.g. `env!("CARGO_PKG_VERSION")`.
    const VERSION: &'static str;
    /// What the plugin offers, in the order that it is shown. An entry's place is its id.
    const ENTRIES: &'static [Entry<Self>];
    /// The default configuration, a JSON object, or empty; the host's is merged over it.
    const CONFIG_DEFAULT: &'static str = "";
    /// Several instances of one file may live in one process. True unless the plugin keeps
    /// something in statics.
    const MULTI_INSTANCE: bool = true;
    /// The host may unmap the file after `shutdown`: the plugin has started no thread that outlives
    /// [`stop`](Self::stop), and left no pointer into its image anywhere.
    ///
    /// Thread-locals with destructors are such pointers. What this crate does leaves none on the
    /// host's threads; a handler, a session or a timer runs on one of those, as do `start` and
    /// `stop`, and has to see to it:
    ///
    /// | on a thread of the host | the image |
    /// |---|---|
    /// | `thread::spawn`, `thread::scope`, a wait in `mpsc` or in `parking_lot`, a `thread_local!` whose type has a destructor | stays mapped until that thread ends |
    /// | `thread::current`, `thread::park` | is unmapped under a destructor: the process dies when that thread ends |
    /// | `std::sync`'s other locks, `thread::sleep`, `println!`, a panic, `HashMap`, a `thread_local!` without a destructor | is unmapped |
    ///
    /// Futures run on threads of the plugin that end before, and may do all of it.
    const MAY_UNLOAD: bool = false;
    /// No handler, no session and no drop of an owned answer ever blocks or computes for long:
    /// the host may run them on its callers' threads, which may be those of an async executor.
    /// Without it they run on worker threads, which costs a few microseconds a call. Futures and
    /// handlers that wait on coroutines run on threads of their own in either case. A plugin that
    /// is found stuck on a caller's thread runs on workers until its next load.
    const NEVER_BLOCKS: bool = false;
    /// Threads that drive the futures of `future` and `stream_future` entries; started only if there
    /// are such entries.
    const FUTURE_THREADS: usize = 1;
    /// How many futures may be unfinished at once. One more is refused with `Backpressure`.
    const FUTURES_MAX: usize = 65_536;
    /// Bytes of stack of a handler that runs on a coroutine; 0: 64 KiB. An overflow ends the process.
    const COROUTINE_STACK_BYTES: u64 = 0;
    /// How many streams may be open at once. One more is refused with `Backpressure`.
    const STREAMS_MAX: usize = 65_536;

    /// Makes the plugin: reads its configuration, registers its metrics.
    ///
    /// # Errors
    /// A [`Failure`] refuses the load; its text goes to the host's log.
    fn start(host: Host) -> Result<Self, Failure>;

    /// The end. Threads that the plugin started itself end here, before it returns.
    fn stop(&self) {}

    /// Call `sid` has no caller any more. Called for one that is to be answered through a
    /// [`crate::Responder`], and for one whose handler runs on a coroutine, where its waits are
    /// cancelled. Not called for other streams, whose sink or session ends, nor for futures, which
    /// are dropped.
    fn cancelled(&self, _sid: u64) {}

    /// What to hand to the next version of the plugin, on reload; `None`: nothing.
    ///
    /// # Errors
    /// A [`Failure`] fails the reload; this version goes on.
    fn export(&self) -> Result<Option<Vec<u8>>, Failure> {
        Ok(None)
    }

    /// What the version before handed over; called after `start`, before any call.
    ///
    /// # Errors
    /// A [`Failure`] fails the reload; the version before goes on.
    fn import(&self, _state: &[u8]) -> Result<(), Failure> {
        Err(Failure::unsupported("this plugin takes no state over"))
    }
}

/// True if any handler waits.
pub(crate) const fn wants_coroutine<P: Plugin>() -> bool {
    let mut entries = P::ENTRIES;
    while let [entry, others @ ..] = entries {
        if entry.waits() {
            return true;
        }
        entries = others;
    }
    false
}

pub(crate) const fn flags<P: Plugin>() -> u32 {
    let mut flags = BK_PLUGIN_THREAD_SAFE;
    if P::MULTI_INSTANCE {
        flags |= BK_PLUGIN_MULTI_INSTANCE;
    }
    if wants_coroutine::<P>() {
        flags |= BK_PLUGIN_WANTS_COROUTINE;
    }
    if P::NEVER_BLOCKS {
        flags |= BK_PLUGIN_NEVER_BLOCKS;
    }
    if P::MAY_UNLOAD {
        flags |= BK_PLUGIN_MAY_UNLOAD;
    }
    flags
}
