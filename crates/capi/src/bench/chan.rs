// SPDX-License-Identifier: BSD-3-Clause
//! `kcoro_bench.h`: producers and consumers of one channel, until they are stopped.
//!
//! Each coroutine has a reference to the whole; the handle has one. Stopping closes the channel,
//! which ends every send and, once it is drained, every receive, and waits for the last coroutine.

use std::ffi::{c_int, c_void};
use std::ptr;
use std::sync::Arc;

use super::start;
use crate::boundary::{answer, call};
use crate::chan::Chan;
use crate::chan::copy::{kc_chan_recv, kc_chan_send};
use crate::chan::make::{kc_chan_close, kc_chan_destroy, kc_chan_make, kc_chan_make_ptr};
use crate::chan::pointer::{kc_chan_recv_ptr, kc_chan_send_ptr};
use crate::errno;
use crate::handle::{lend, take_back, write_any};
use crate::limit::Until;
use crate::scope::Scope;

/// The largest number of coroutines of a kind.
const CROWD_MAX: c_int = 1 << 20;

/// `kc_bench_params_t`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Params {
    kind: c_int,
    capacity: usize,
    producers: c_int,
    consumers: c_int,
    packets_per_cycle: c_int,
    spin_iters: c_int,
    packet_size: usize,
    pointer_mode: c_int,
}

const _: () = assert!(size_of::<Params>() == 48);

/// `kc_bench_handle_t`.
pub struct Bench {
    chan: *mut Chan,
    members: Arc<Scope>,
    params: Params,
    /// The target of descriptors: one byte is enough, since it is never read.
    packet: u8,
}

// SAFETY: channels may be used by any thread; the rest is Send and Sync.
unsafe impl Send for Bench {}
// SAFETY: as above.
unsafe impl Sync for Bench {}

impl Bench {
    fn start(self: &Arc<Self>, run: fn(&Self)) -> Result<(), c_int> {
        let bench = Arc::clone(self);
        start(&self.members, move || run(&bench))
    }

    /// Tries a number of times without waiting, then waits.
    fn with_backoff(&self, mut attempt: impl FnMut(i64) -> c_int) -> c_int {
        for _ in 0..self.params.spin_iters {
            let answer = attempt(0);
            if answer != errno::EAGAIN {
                return answer;
            }
        }
        attempt(-1)
    }

    fn produce(&self) {
        let mut value: c_int = 0;
        loop {
            for _ in 0..self.params.packets_per_cycle {
                // SAFETY: the channel lives until the last coroutine has ended; the value and the
                // packet are valid.
                let sent = self.with_backoff(|timeout| unsafe {
                    if self.params.pointer_mode == 0 {
                        kc_chan_send(self.chan, (&raw const value).cast(), timeout)
                    } else {
                        let packet: *mut c_void = (&raw const self.packet).cast_mut().cast();
                        kc_chan_send_ptr(self.chan, packet, self.params.packet_size, timeout)
                    }
                });
                if sent != errno::OK {
                    return;
                }
                value = value.wrapping_add(1);
            }
            becket_coro::yield_now();
        }
    }

    fn consume(&self) {
        let mut value: c_int = 0;
        let (mut packet, mut len) = (ptr::null_mut(), 0);
        loop {
            // SAFETY: as above; the places are valid.
            let received = self.with_backoff(|timeout| unsafe {
                if self.params.pointer_mode == 0 {
                    kc_chan_recv(self.chan, (&raw mut value).cast(), timeout)
                } else {
                    kc_chan_recv_ptr(self.chan, &raw mut packet, &raw mut len, timeout)
                }
            });
            if received != errno::OK {
                return;
            }
        }
    }

    fn stop(&self) {
        // SAFETY: the channel is ours and is alive.
        unsafe { kc_chan_close(self.chan) };
        self.members.wait(Until::Ever);
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        // SAFETY: the channel is ours, and no coroutine uses it any more.
        unsafe { kc_chan_destroy(self.chan) };
    }
}

/// See `kcoro_bench.h`.
///
/// # Safety
///
/// `params` is null or valid; `out_handle` and `out_chan` are null or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_bench_chan_start(
    params: *const Params,
    out_handle: *mut *mut Bench,
    out_chan: *mut *mut Chan,
) -> c_int {
    answer(|| {
        // SAFETY: the caller's promise.
        let params = *unsafe { params.as_ref() }.ok_or(errno::EINVAL)?;
        let crowd = 1..=CROWD_MAX;
        if out_handle.is_null()
            || !crowd.contains(&params.producers)
            || !crowd.contains(&params.consumers)
            || params.packets_per_cycle < 1
            || params.spin_iters < 0
            || (params.pointer_mode != 0 && params.packet_size == 0)
        {
            return Err(errno::EINVAL);
        }
        let mut chan = ptr::null_mut();
        // SAFETY: the place is valid.
        let made = unsafe {
            if params.pointer_mode == 0 {
                kc_chan_make(&raw mut chan, params.kind, size_of::<c_int>(), params.capacity)
            } else {
                kc_chan_make_ptr(&raw mut chan, params.kind, params.capacity)
            }
        };
        if made != errno::OK {
            return Err(made);
        }
        let bench = Arc::new(Bench { chan, members: Scope::below(None), params, packet: 0 });
        let all = (0..params.consumers)
            .try_for_each(|_| bench.start(Bench::consume))
            .and_then(|()| (0..params.producers).try_for_each(|_| bench.start(Bench::produce)));
        if let Err(code) = all {
            bench.stop();
            return Err(code);
        }
        // SAFETY: the caller's promise.
        unsafe {
            write_any(out_chan, chan);
            out_handle.write(lend(bench));
        }
        Ok(())
    })
}

/// See `kcoro_bench.h`.
///
/// # Safety
///
/// `handle` is null, or valid and not used again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_bench_chan_stop(handle: *mut Bench) {
    call((), || {
        // SAFETY: the caller gives up the handle's share.
        if let Some(bench) = unsafe { take_back(handle) } {
            bench.stop();
        }
    });
}
