// SPDX-License-Identifier: BSD-3-Clause
//! A coroutine that fills a new channel. At its end, however it ends, the channel is closed, with
//! the result of its function as the reason.

use std::ffi::{c_int, c_void};
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use crate::chan::make::{kc_chan_destroy, kc_chan_make};
use crate::chan::{self, Chan};
use crate::errno;
use crate::sched::{Body, Start};

/// `kc_producer_fn`.
pub type Producer = unsafe extern "C" fn(*mut Chan, *mut c_void) -> c_int;

/// The channel to be made.
pub(crate) struct Target {
    pub(crate) kind: c_int,
    pub(crate) elem_size: usize,
    pub(crate) capacity: usize,
}

/// A producer and its arguments.
struct Produce {
    producer: Producer,
    chan: *mut Chan,
    user: *mut c_void,
    output: Arc<Output>,
}

// SAFETY: C's function may be called by any thread, as the header says.
unsafe impl Send for Produce {}

impl Produce {
    fn run(&self) {
        // SAFETY: as above; the channel lives as long as its coroutine.
        let result = unsafe { (self.producer)(self.chan, self.user) };
        self.output.result.store(result, Ordering::Relaxed);
    }
}

/// The producer's own reference to its channel, which its caller may destroy before it has ended.
pub(crate) struct Output {
    chan: Arc<Chan>,
    result: AtomicI32,
}

impl Output {
    pub(crate) fn close(&self) {
        self.chan.close_with(self.result.load(Ordering::Relaxed));
    }
}

/// Makes the channel, and starts the coroutine by `start`, which closes the output at its end. Null:
/// refused.
pub(crate) fn produce(
    target: &Target,
    producer: Producer,
    user: *mut c_void,
    start: impl FnOnce(Start, Arc<Output>) -> Result<(), c_int>,
) -> *mut Chan {
    let mut chan = ptr::null_mut();
    let Target { kind, elem_size, capacity } = *target;
    // SAFETY: the place is valid.
    if unsafe { kc_chan_make(&raw mut chan, kind, elem_size, capacity) } != errno::OK {
        return ptr::null_mut();
    }
    // SAFETY: just made.
    let Some(shared) = unsafe { chan::lent(chan) }.map(|chan| Arc::clone(&chan)) else {
        return ptr::null_mut();
    };
    // One that does not return has been cut short.
    let result = AtomicI32::new(errno::ECANCELED);
    let output = Arc::new(Output { chan: shared, result });
    let produce = Produce { producer, chan, user, output: Arc::clone(&output) };
    let starting = Start::coroutine(Body::Rust(Box::new(move || produce.run())), 0);
    if starting.and_then(|starting| start(starting, output)).is_err() {
        // SAFETY: made above, and not given to C.
        unsafe { kc_chan_destroy(chan) };
        return ptr::null_mut();
    }
    chan
}
