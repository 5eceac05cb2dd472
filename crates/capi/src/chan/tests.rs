// SPDX-License-Identifier: BSD-3-Clause
//! The C functions from Rust, for tools that follow Rust alone (Miri). What they promise is tested
//! in C, in `tests/`.

use std::ffi::{c_int, c_void};
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use becket_chan::Overflow;

use super::Chan;
use super::copy::{kc_chan_recv, kc_chan_recv_c, kc_chan_send};
use super::make::{kc_chan_close, kc_chan_destroy, kc_chan_make_ex, kc_chan_make_ptr};
use super::pointer::{kc_chan_recv_ptr, kc_chan_send_ptr};
use crate::cancel::{Cancel, kc_cancel_create, kc_cancel_destroy, kc_cancel_trigger};
use crate::errno;
use crate::ext::channel::kc_chan_set_on_drop;
use crate::region::{Region, kc_region_deregister, kc_region_register};
use crate::select::{
    SelectSet, kc_select_add_recv, kc_select_add_send, kc_select_create, kc_select_destroy,
    kc_select_wait,
};

/// A handle that may go to another thread.
struct Shared<T>(*mut T);

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Shared<T> {}

// SAFETY: the handles of this library may be used by any thread.
unsafe impl<T> Send for Shared<T> {}

impl<T> Shared<T> {
    fn get(self) -> *mut T {
        self.0
    }
}

unsafe extern "C" fn count(element: *mut c_void, len: usize, arg: *mut c_void) {
    // SAFETY: an element of so many bytes, and the test's counter.
    unsafe {
        assert!(!element.is_null() && len > 0);
        (*arg.cast::<AtomicUsize>()).fetch_add(1, Ordering::Relaxed);
    }
}

/// A hook that destroys its channel, and sees whether the channel is there for the rest of the send.
struct Destroying {
    chan: *mut Chan,
    seen: Weak<Chan>,
    calls: usize,
    outlives: bool,
}

unsafe extern "C" fn destroy(_: *mut c_void, _: usize, arg: *mut c_void) {
    let destroying = arg.cast::<Destroying>();
    // SAFETY: the test's, whose one thread is in the send that calls this.
    unsafe {
        (*destroying).calls += 1;
        if (*destroying).calls == 1 {
            kc_chan_destroy((*destroying).chan);
            (*destroying).outlives = (*destroying).seen.upgrade().is_some();
        }
    }
}

#[test]
fn a_channel_outlives_a_send_whose_hook_destroys_it() {
    for (kind, overflow) in [
        (super::KC_CONFLATED, None),
        (super::KC_BUFFERED, Some(Overflow::DropOldest)),
        (super::KC_BUFFERED, Some(Overflow::DropLatest)),
    ] {
        for is_set_later in [false, true] {
            let mut chan = ptr::null_mut();
            let none = Destroying { chan, seen: Weak::new(), calls: 0, outlives: false };
            let destroying = Box::into_raw(Box::new(none));
            let at_first = if is_set_later { None } else { Some(destroy as _) };
            let value = 7_u64;
            // SAFETY: valid handles, until the hook destroys the channel in the second send.
            unsafe {
                let arg = destroying.cast();
                kc_chan_make_ex(&raw mut chan, kind, 8, 1, at_first, None, arg);
                if is_set_later {
                    assert_eq!(kc_chan_set_on_drop(chan, Some(destroy), arg), errno::OK);
                }
                let lent = super::lent(chan).unwrap();
                (*destroying).chan = chan;
                (*destroying).seen = Arc::downgrade(&lent);
                if let Some(overflow) = overflow {
                    lent.lane.set_overflow(overflow);
                }
                for _ in 0..2 {
                    assert_eq!(kc_chan_send(chan, (&raw const value).cast(), -1), errno::OK);
                }
                let destroying = Box::from_raw(destroying);
                assert_eq!((destroying.calls, destroying.outlives), (2, true), "{kind}");
                assert!(destroying.seen.upgrade().is_none(), "nothing holds it afterwards");
            }
        }
    }
}

fn make(kind: c_int, size: usize, lost: &AtomicUsize) -> Shared<Chan> {
    let mut chan = ptr::null_mut();
    let arg = ptr::from_ref(lost).cast_mut().cast();
    // SAFETY: the counter outlives the channel.
    let code =
        unsafe { kc_chan_make_ex(&raw mut chan, kind, size, 2, Some(count), Some(count), arg) };
    assert_eq!(code, errno::OK);
    Shared(chan)
}

fn token(parent: *mut Cancel) -> Shared<Cancel> {
    let mut token = ptr::null_mut();
    // SAFETY: a place for it, and a parent or none.
    assert_eq!(unsafe { kc_cancel_create(&raw mut token, parent) }, errno::OK);
    Shared(token)
}

#[test]
fn elements_of_each_size_come_and_go() {
    for size in [1, 4, 8, 16, 40, 64, 100] {
        let lost = AtomicUsize::new(0);
        let chan = make(1, size, &lost).get();
        let (sent, mut got) = (vec![7_u8; size], vec![0_u8; size]);
        // SAFETY: the handle is valid to its end, and the places are of the elements' size.
        unsafe {
            assert_eq!(kc_chan_send(chan, sent.as_ptr().cast(), 0), errno::OK);
            assert_eq!(kc_chan_send(chan, sent.as_ptr().cast(), -1), errno::OK);
            assert_eq!(kc_chan_send(chan, sent.as_ptr().cast(), 0), errno::EAGAIN);
            assert_eq!(kc_chan_recv(chan, got.as_mut_ptr().cast(), 0), errno::OK);
            // Without a hook, which would have it go another way.
            let mut plain = ptr::null_mut();
            assert_eq!(
                super::make::kc_chan_make(&raw mut plain, super::KC_BUFFERED, size, 1),
                errno::OK
            );
            assert_eq!(kc_chan_send(plain, sent.as_ptr().cast(), 0), errno::OK);
            assert_eq!(kc_chan_send(plain, sent.as_ptr().cast(), 0), errno::EAGAIN);
            let seen = super::lent(plain).unwrap().lane.snapshot();
            assert_eq!(seen.send_failures.would_block, 1, "a try is one try");
            assert_eq!(kc_chan_send(plain, sent.as_ptr().cast(), 1), errno::ETIME);
            assert_eq!(kc_chan_recv(plain, got.as_mut_ptr().cast(), 1), errno::OK);
            assert_eq!(kc_chan_recv(plain, got.as_mut_ptr().cast(), 1), errno::ETIME);
            let seen = super::lent(plain).unwrap().lane.snapshot();
            assert_eq!(seen.send_failures.would_block, 1, "a wait is no try");
            assert_eq!(seen.receive_failures.would_block, 0, "a wait is no try");
            kc_chan_close(plain);
            assert_eq!(kc_chan_send(plain, sent.as_ptr().cast(), -1), errno::EPIPE);
            assert_eq!(kc_chan_recv(plain, got.as_mut_ptr().cast(), -1), errno::EPIPE);
            let seen = super::lent(plain).unwrap().lane.snapshot();
            let closed = (seen.send_failures.closed, seen.receive_failures.closed);
            assert_eq!(closed, (1, 1), "one each");
            kc_chan_destroy(plain);
            kc_chan_close(chan);
            kc_chan_destroy(chan);
        }
        assert_eq!((got, lost.into_inner()), (sent, 1));
    }
}

#[test]
fn a_thread_waits_and_is_served_closed_or_cancelled() {
    for end in 0..3 {
        let lost = AtomicUsize::new(0);
        let chan = make(0, 100, &lost);
        let parent = token(ptr::null_mut());
        let child = token(parent.get());
        let waiter = std::thread::spawn(move || {
            let mut got = [0_u8; 100];
            // SAFETY: the handles are valid until this thread is joined.
            unsafe {
                kc_chan_recv_c(chan.get(), got.as_mut_ptr().cast(), -1, child.get().cast_const())
            }
        });
        // SAFETY: the handles are valid to their ends.
        unsafe {
            match end {
                0 => assert_eq!(kc_chan_send(chan.get(), [1_u8; 100].as_ptr().cast(), -1), 0),
                1 => kc_chan_close(chan.get()),
                _ => kc_cancel_trigger(parent.get()),
            }
            let expected = [errno::OK, errno::EPIPE, errno::ECANCELED][end];
            assert_eq!(waiter.join().unwrap(), expected);
            kc_cancel_destroy(parent.get());
            kc_cancel_destroy(child.get());
            kc_chan_destroy(chan.get());
        }
    }
}

/// Without a hook, a timeout and a token: the wait is in the call itself.
#[test]
fn a_plain_wait_is_served_closed_or_outlives_its_channel() {
    for (kind, size, sends, end) in (0..2_i32).flat_map(|kind| {
        [1_usize, 8, 40, 64].into_iter().flat_map(move |size| {
            [false, true]
                .into_iter()
                .flat_map(move |sends| (0..3).map(move |end| (kind, size, sends, end)))
        })
    }) {
        let mut chan = ptr::null_mut();
        // SAFETY: a valid place; the handle is valid to its end, and the places are of the elements' size.
        let code = unsafe { super::make::kc_chan_make(&raw mut chan, kind, size, 1) };
        assert_eq!(code, errno::OK);
        let chan = Shared(chan);
        let is_full = sends && kind == super::KC_BUFFERED;
        if is_full {
            // SAFETY: as above.
            assert_eq!(unsafe { kc_chan_send(chan.get(), [5_u8; 64].as_ptr().cast(), -1) }, 0);
        }
        // SAFETY: as above; it keeps the channel for the test.
        let kept = Arc::clone(&unsafe { super::lent(chan.get()) }.unwrap());
        let waiter = std::thread::spawn(move || {
            let mut element = [7_u8; 64];
            // SAFETY: as above.
            let code = unsafe {
                match sends {
                    true => kc_chan_send(chan.get(), element.as_ptr().cast(), -1),
                    false => kc_chan_recv(chan.get(), element.as_mut_ptr().cast(), -1),
                }
            };
            (code, element)
        });
        let waits = || {
            let seen = kept.lane.snapshot();
            seen.senders_waiting + seen.receivers_waiting == 1
        };
        while !waits() {
            std::thread::yield_now();
        }
        let mut got = [0_u8; 64];
        // SAFETY: as above.
        unsafe {
            match (end, sends) {
                (0, true) => {
                    assert_eq!(kc_chan_recv(chan.get(), got.as_mut_ptr().cast(), -1), errno::OK);
                    assert_eq!(got[..size], [if is_full { 5 } else { 7 }; 64][..size]);
                }
                (0, false) => {
                    let sent = [9_u8; 64];
                    assert_eq!(kc_chan_send(chan.get(), sent.as_ptr().cast(), -1), errno::OK);
                }
                (1, _) => kc_chan_close(chan.get()),
                _ => kc_chan_destroy(chan.get()),
            }
        }
        let (code, element) = waiter.join().unwrap();
        let case = (kind, size, sends, end);
        assert_eq!(code, if end == 0 { errno::OK } else { errno::EPIPE }, "{case:?}");
        if end == 0 && !sends {
            assert_eq!(element[..size], [9; 64][..size], "{case:?}");
        }
        let failed = if sends { &kept.counters.send } else { &kept.counters.recv };
        let closed = failed.closed.load(Ordering::Relaxed);
        assert_eq!(closed, u64::from(end != 0), "{case:?}");
        if end != 2 {
            // SAFETY: as above.
            unsafe { kc_chan_destroy(chan.get()) };
        }
        assert_eq!(Arc::strong_count(&kept), 1, "{case:?}");
    }
}

#[test]
fn a_select_waits_and_keeps_the_elements_of_others() {
    let lost = AtomicUsize::new(0);
    let (one, two) = (make(0, 16, &lost), make(0, 100, &lost));
    let sender = std::thread::spawn(move || {
        // SAFETY: the handle is valid until this thread is joined.
        unsafe { kc_chan_send(one.get(), [5_u8; 16].as_ptr().cast(), -1) }
    });
    let (mut got, kept) = ([0_u8; 16], [0_u8; 100]);
    let (mut set, mut index, mut result): (*mut SelectSet, c_int, c_int) = (ptr::null_mut(), 9, 9);
    // SAFETY: the handles and places are valid to their ends.
    unsafe {
        assert_eq!(kc_select_create(&raw mut set, ptr::null()), errno::OK);
        assert_eq!(kc_select_add_send(set, two.get(), kept.as_ptr().cast()), errno::OK);
        assert_eq!(kc_select_add_recv(set, one.get(), got.as_mut_ptr().cast()), errno::OK);
        assert_eq!(kc_select_wait(set, -1, &raw mut index, &raw mut result), errno::OK);
        kc_select_destroy(set);
        assert_eq!(sender.join().unwrap(), errno::OK);
        kc_chan_destroy(one.get());
        kc_chan_destroy(two.get());
    }
    assert_eq!((index, got, lost.into_inner()), (1, [5; 16], 0));
}

#[test]
fn pointers_in_a_region() {
    let mut memory = [0_u8; 32];
    let at: *mut c_void = memory.as_mut_ptr().cast();
    let (mut chan, mut region): (*mut Chan, *mut Region) = (ptr::null_mut(), ptr::null_mut());
    let (mut got, mut len) = (ptr::null_mut(), 0);
    // SAFETY: the handles are valid to their ends; the memory outlives them.
    unsafe {
        assert_eq!(kc_region_register(&raw mut region, at, 32, 0), errno::OK);
        assert_eq!(kc_chan_make_ptr(&raw mut chan, 1, 4), errno::OK);
        assert_eq!(kc_chan_send_ptr(chan, at.wrapping_byte_add(3), 4, 0), errno::OK);
        assert_eq!(kc_chan_send_ptr(chan, at, 5, 0), errno::OK);
        assert_eq!(kc_chan_recv_ptr(chan, &raw mut got, &raw mut len, 0), errno::OK);
        // What it still holds is lost, and lands.
        kc_chan_destroy(chan);
        assert_eq!(kc_region_deregister(region), errno::OK);
    }
    assert_eq!((got, len), (at.wrapping_byte_add(3), 4));
}
