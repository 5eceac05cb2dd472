// SPDX-License-Identifier: BSD-3-Clause
//! Channels joined by coroutines of a scope.
//!
//! Each coroutine has its own references to the channels that it uses, so they may be destroyed
//! before it has ended: it finds them closed. It ends with its input, or with the scope's token. At
//! its end, however it ends, its channels are closed on both sides, so that the other coroutines
//! end as well. An element that it holds then is undelivered, on the channel that it was for.

use std::ffi::{c_int, c_void};
use std::ptr;
use std::slice;
use std::sync::Arc;

use crate::boundary::{answer, call};
use crate::cancel::Cancel;
use crate::chan::make::{kc_chan_destroy, kc_chan_make};
use crate::chan::operate::{self, Limits};
use crate::chan::{self, Chan};
use crate::errno;
use crate::handle;
use crate::sched::{Body, Start};
use crate::scope::{self, Member, Scope};

/// `kc_transform_fn`.
pub type Transform = unsafe extern "C" fn(*const c_void, *mut c_void, *mut c_void) -> c_int;

/// A buffer for an element, aligned for any type.
fn room(bytes: usize) -> Vec<u128> {
    vec![0; bytes.div_ceil(size_of::<u128>())]
}

/// A channel of elements of this size.
///
/// # Safety
///
/// The handle is null or valid.
unsafe fn share(handle: *const Chan, elem_size: usize) -> Option<Arc<Chan>> {
    // SAFETY: the caller's promise.
    let chan = unsafe { chan::lent(handle) }?;
    (chan.elem_size == elem_size && chan.takes_elements()).then(|| Arc::clone(&chan))
}

/// The channels of an array, if all are of this size.
///
/// # Safety
///
/// As [`share`], for each of `count`; the array is null or valid.
unsafe fn shares(
    handles: *const *mut Chan,
    count: usize,
    elem_size: usize,
) -> Option<Vec<Arc<Chan>>> {
    if handles.is_null() || count == 0 {
        return None;
    }
    // SAFETY: the caller's promise.
    unsafe {
        let handles = slice::from_raw_parts(handles, count);
        handles.iter().map(|handle| share(*handle, elem_size)).collect()
    }
}

/// One coroutine's channels, and its token.
struct Joint {
    token: Arc<Cancel>,
    ins: Vec<Arc<Chan>>,
    outs: Vec<Arc<Chan>>,
}

impl Joint {
    /// Waits for an element. False: there is none.
    fn receive(&self, chan: &Arc<Chan>, into: &mut [u128]) -> bool {
        // SAFETY: there is room for one; the token is held.
        unsafe {
            let limits = Limits::with(-1, Arc::as_ptr(&self.token));
            operate::recv(chan, into.as_mut_ptr().cast(), limits).is_ok()
        }
    }

    /// Waits until it is sent. False: it cannot be, and is undelivered.
    fn send(&self, chan: &Arc<Chan>, from: &[u128]) -> bool {
        // SAFETY: an element is there; the token is held.
        unsafe {
            let limits = Limits::with(-1, Arc::as_ptr(&self.token));
            operate::send_owned(chan, from.as_ptr().cast(), limits).is_ok()
        }
    }

    /// Runs `run` in a coroutine of the scope; then closes its channels.
    fn start(self, scope: &Arc<Scope>, run: impl Fn(&Self) + Send + 'static) -> Result<(), c_int> {
        let member = Member::new(scope)?;
        let both: Vec<_> = self.ins.iter().chain(&self.outs).cloned().collect();
        let start = Start::coroutine(Body::Rust(Box::new(move || run(&self))), 0)?;
        scope::start(member, start, move || both.iter().for_each(|chan| chan.close()))
    }
}

/// A function of C and its argument.
struct Step {
    function: Transform,
    user: *mut c_void,
}

// SAFETY: C's function may be called by any thread, as the header says.
unsafe impl Send for Step {}

impl Step {
    fn run(&self, joint: &Joint) {
        let ([from], [to]) = (&*joint.ins, &*joint.outs) else { return };
        let (mut taken, mut made) = (room(from.elem_size), room(to.elem_size));
        while joint.receive(from, &mut taken) {
            let (input, output) = (taken.as_ptr().cast(), made.as_mut_ptr().cast());
            // SAFETY: both are buffers of their elements' sizes.
            match unsafe { (self.function)(input, output, self.user) } {
                0 if joint.send(to, &made) => {}
                1.. => {}
                _ => return,
            }
        }
    }
}

/// See `kcoro_ext.h`.
///
/// # Safety
///
/// `scope` and `from` are null or valid; `function` may be called by any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_transform(
    scope: *mut Scope,
    from: *mut Chan,
    in_size: usize,
    kind: c_int,
    out_size: usize,
    capacity: usize,
    function: Option<Transform>,
    user: *mut c_void,
) -> *mut Chan {
    call(ptr::null_mut(), || {
        // SAFETY: the caller's promise.
        let (scope, from) = unsafe { (handle::share(scope), share(from, in_size)) };
        let (Some(scope), Some(from), Some(function)) = (scope, from, function) else {
            return ptr::null_mut();
        };
        let mut chan = ptr::null_mut();
        // SAFETY: the place is valid, and so is what was just made.
        let to = unsafe {
            if kc_chan_make(&raw mut chan, kind, out_size, capacity) != errno::OK {
                return ptr::null_mut();
            }
            share(chan, out_size)
        };
        let token = Arc::clone(scope.cancel());
        let step = Step { function, user };
        let joint = Joint { token, ins: vec![from], outs: to.into_iter().collect() };
        if joint.start(&scope, move |joint| step.run(joint)).is_err() {
            // SAFETY: made above, and not shared.
            unsafe { kc_chan_destroy(chan) };
            return ptr::null_mut();
        }
        chan
    })
}

/// See `kcoro_ext.h`.
///
/// # Safety
///
/// The handles are null or valid; `outs` is null or an array of `count`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_fan_out(
    scope: *mut Scope,
    from: *mut Chan,
    elem_size: usize,
    outs: *const *mut Chan,
    count: usize,
) -> c_int {
    answer(|| {
        // SAFETY: the caller's promise.
        let (scope, from, outs) = unsafe {
            (handle::share(scope), share(from, elem_size), shares(outs, count, elem_size))
        };
        let (Some(scope), Some(from), Some(outs)) = (scope, from, outs) else {
            return Err(errno::EINVAL);
        };
        let joint = Joint { token: Arc::clone(scope.cancel()), ins: vec![from], outs };
        joint.start(&scope, |joint| {
            let [from] = &*joint.ins else { return };
            let mut element = room(from.elem_size);
            for to in joint.outs.iter().cycle() {
                if !joint.receive(from, &mut element) || !joint.send(to, &element) {
                    return;
                }
            }
        })
    })
}

/// Closes a channel when the last coroutine that sends to it has ended.
struct Last(Arc<Chan>);

impl Drop for Last {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// See `kcoro_ext.h`.
///
/// # Safety
///
/// The handles are null or valid; `ins` is null or an array of `count`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_fan_in(
    scope: *mut Scope,
    ins: *const *mut Chan,
    count: usize,
    elem_size: usize,
    to: *mut Chan,
) -> c_int {
    answer(|| {
        // SAFETY: the caller's promise.
        let (scope, ins, to) =
            unsafe { (handle::share(scope), shares(ins, count, elem_size), share(to, elem_size)) };
        let (Some(scope), Some(ins), Some(to)) = (scope, ins, to) else {
            return Err(errno::EINVAL);
        };
        let last = Arc::new(Last(to));
        for from in ins {
            let joint = Joint { token: Arc::clone(scope.cancel()), ins: vec![from], outs: vec![] };
            let last = Arc::clone(&last);
            joint.start(&scope, move |joint| {
                let [from] = &*joint.ins else { return };
                let mut element = room(from.elem_size);
                while joint.receive(from, &mut element) && joint.send(&last.0, &element) {}
                // `last` closes the other side, when all have ended.
            })?;
        }
        Ok(())
    })
}
