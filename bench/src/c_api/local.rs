// SPDX-License-Identifier: BSD-3-Clause
//! Channels of one process: the same work by the functions of `kcoro.h`, which are called through
//! pointers as a program calls those of a library, and in Rust.

use std::ffi::{c_int, c_long, c_void};
use std::hint::black_box;
use std::ptr;
use std::sync::mpsc;

use becket_chan::{Builder, Receiver, Sender};
use becket_coro::Runtime;
use kcoro::chan::Chan;
use kcoro::chan::copy::{kc_chan_recv, kc_chan_send};
use kcoro::chan::make::{kc_chan_destroy, kc_chan_make};
use kcoro::sched::Sched;
use kcoro::sched::api::{Options, kc_sched_drain, kc_sched_init, kc_sched_shutdown, kc_spawn};

use super::{FROM_C, FROM_RUST};
use crate::channels::channel::sum_below;
use crate::error::{BenchError, check};
use crate::harness::Contestant;

// As in `kcoro.h`.
const FOR_EVER: c_long = -1;
const RENDEZVOUS: c_int = 0;
const BUFFERED: c_int = 1;
const CAPACITY: usize = 1024;

type Send = unsafe extern "C" fn(*mut Chan, *const c_void, c_long) -> c_int;
type Recv = unsafe extern "C" fn(*mut Chan, *mut c_void, c_long) -> c_int;

/// A channel of 8-byte elements, and the functions that C calls.
struct Channel {
    chan: *mut Chan,
    send: Send,
    recv: Recv,
}

impl Channel {
    fn new(kind: c_int, capacity: usize) -> Result<Self, BenchError> {
        let mut chan = ptr::null_mut();
        // SAFETY: a valid place.
        match unsafe { kc_chan_make(&raw mut chan, kind, size_of::<u64>(), capacity) } {
            0 => Ok(Self { chan, send: black_box(kc_chan_send), recv: black_box(kc_chan_recv) }),
            code => Err(refused("kc_chan_make", code)),
        }
    }

    fn send(&self, value: u64) -> Result<(), BenchError> {
        // SAFETY: a valid channel and an element of its size.
        match unsafe { (self.send)(self.chan, (&raw const value).cast(), FOR_EVER) } {
            0 => Ok(()),
            code => Err(refused("kc_chan_send", code)),
        }
    }

    fn recv(&self) -> Result<u64, BenchError> {
        let mut value = 0_u64;
        // SAFETY: a valid channel and a place of its elements' size.
        match unsafe { (self.recv)(self.chan, (&raw mut value).cast(), FOR_EVER) } {
            0 => Ok(value),
            code => Err(refused("kc_chan_recv", code)),
        }
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        // SAFETY: nothing uses it any more.
        unsafe { kc_chan_destroy(self.chan) };
    }
}

fn refused(what: &'static str, code: c_int) -> BenchError {
    BenchError::host(FROM_C, std::io::Error::other(format!("{what}: {code}")))
}

/// One thread sends and receives.
pub(super) fn alone() -> Result<Vec<Contestant>, BenchError> {
    let c = Channel::new(BUFFERED, CAPACITY)?;
    let from_c = Contestant::timed(FROM_C, move |n| {
        let mut sum = 0_u64;
        for number in 0..n {
            c.send(number)?;
            sum = sum.wrapping_add(c.recv()?);
        }
        check(FROM_C, "send, recv", sum_below(n), sum)
    });
    let (tx, rx) = becket_chan::bounded(CAPACITY);
    let from_rust = Contestant::timed(FROM_RUST, move |n| {
        let mut sum = 0_u64;
        for number in 0..n {
            tx.send(number).wait().map_err(|error| lost(&error))?;
            sum = sum.wrapping_add(rx.recv().wait().map_err(|error| lost(&error))?);
        }
        check(FROM_RUST, "send, recv", sum_below(n), sum)
    });
    Ok(vec![from_c, from_rust])
}

fn lost(error: &dyn std::fmt::Display) -> BenchError {
    BenchError::host(FROM_RUST, std::io::Error::other(error.to_string()))
}

/// What the two coroutines of C share during a block.
struct Block<'a> {
    channel: &'a Channel,
    n: u64,
    /// Of what arrived; `None`: something was refused.
    sum: Option<u64>,
}

/// A scheduler of one worker.
struct Worker(*mut Sched);

impl Worker {
    /// Runs both with this argument, and waits for them.
    fn run(
        &self,
        bodies: [unsafe extern "C" fn(*mut c_void); 2],
        argument: *mut c_void,
    ) -> [c_int; 3] {
        let spawn = |body| {
            // SAFETY: a valid scheduler, and an argument that is valid until it has drained.
            unsafe { kc_spawn(self.0, Some(body), argument) }
        };
        let [first, second] = bodies.map(spawn);
        // SAFETY: a valid scheduler.
        [first, second, unsafe { kc_sched_drain(self.0, FOR_EVER) }]
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // SAFETY: the last use of the handle.
        unsafe { kc_sched_shutdown(self.0) };
    }
}

unsafe extern "C" fn sends(argument: *mut c_void) {
    // SAFETY: the block outlives both coroutines; only the other one writes into it.
    let (channel, n) = unsafe {
        let block = argument.cast::<Block<'_>>();
        ((*block).channel, (*block).n)
    };
    for number in 0..n {
        if channel.send(number).is_err() {
            return;
        }
    }
}

unsafe extern "C" fn receives(argument: *mut c_void) {
    let block = argument.cast::<Block<'_>>();
    // SAFETY: as above.
    let (channel, n) = unsafe { ((*block).channel, (*block).n) };
    let sum = (0..n).try_fold(0_u64, |sum, _| Some(sum.wrapping_add(channel.recv().ok()?)));
    // SAFETY: as above: nothing else uses it now.
    unsafe { (&raw mut (*block).sum).write(sum) };
}

/// Two coroutines of one worker, without room between them.
pub(super) fn rendezvous() -> Result<Vec<Contestant>, BenchError> {
    let channel = Channel::new(RENDEZVOUS, 0)?;
    let options = Options { workers: 1, queue_capacity: 0, inject_q_cap: 0 };
    // SAFETY: valid options.
    let worker = Worker(unsafe { kc_sched_init(&raw const options) });
    let from_c = Contestant::timed(FROM_C, move |n| {
        let mut block = Block { channel: &channel, n, sum: None };
        let codes = worker.run([receives, sends], (&raw mut block).cast());
        check(FROM_C, "spawn, drain", [0; 3], codes)?;
        check(FROM_C, "the sum of what arrived", Some(sum_below(n)), block.sum)
    });

    let runtime = Runtime::builder().workers(1).name("bench").build();
    let runtime = runtime.map_err(|error| BenchError::host(FROM_RUST, error))?;
    let (tx, rx): (Sender<u64>, Receiver<u64>) = Builder::rendezvous().build();
    let from_rust = Contestant::timed(FROM_RUST, move |n| {
        let (answer, sum) = mpsc::channel();
        let (tx, rx) = (tx.clone(), rx.clone());
        runtime.spawn(move || {
            let sum =
                (0..n).try_fold(0_u64, |sum, _| Some(sum.wrapping_add(rx.recv().wait().ok()?)));
            let _ = answer.send(sum);
        });
        runtime.spawn(move || (0..n).try_for_each(|number| tx.send(number).wait()).is_ok());
        let sum = sum.recv().map_err(|_| BenchError::Worker)?;
        check(FROM_RUST, "the sum of what arrived", Some(sum_below(n)), sum)
    });
    Ok(vec![from_c, from_rust])
}
