// SPDX-License-Identifier: BSD-3-Clause
//! One channel with an end in C and an end in Rust, in one process.
//!
//! ```
//! use becket_chan::bounded;
//! use kcoro::chan::copy::kc_chan_send;
//! use kcoro::chan::make::kc_chan_destroy;
//! use kcoro::session::rust;
//!
//! let (jobs, inbox) = bounded::<u32>(4);
//! let c = rust::sends(jobs); // a `kc_chan_t *` for C, which sends `uint32_t`
//! let job = 7_u32;
//! // SAFETY: the handle is valid, and so is the element.
//! unsafe {
//!     assert_eq!(kc_chan_send(c, (&raw const job).cast(), -1), 0);
//!     kc_chan_destroy(c);
//! }
//! assert_eq!(inbox.recv().wait(), Ok(7));
//! assert!(inbox.recv().wait().is_err(), "C has destroyed its end");
//! ```
//!
//! A channel of messages (`kc_chan_make_msg`) has elements that are [`Element`]s in Rust, and handles
//! (`kc_msg_t *`) in C: either side may make it.

use std::ffi::c_int;

use becket_chan::{Receiver, Sender};
use becket_ipc::Element;

use super::msg::{Messages, Msg};
use crate::chan::lane::Kind;
use crate::chan::port::{Codec, Ends};
use crate::chan::{Chan, make};

/// A value whose bytes are an element of C.
///
/// # Safety
///
/// Every sequence of bytes that C sends is a valid value, and its own bytes are all initialised or
/// padding, which C may receive.
pub unsafe trait Plain: Copy + Send + 'static {}

macro_rules! plain {
    ($($number:ty),*) => {
        $(
            // SAFETY: every bit pattern is a number.
            unsafe impl Plain for $number {}
        )*
    };
}

plain!(u8, u16, u32, u64, u128, usize, i8, i16, i32, i64, i128, isize, f32, f64);

// SAFETY: so is each of its elements.
unsafe impl<T: Plain, const LENGTH: usize> Plain for [T; LENGTH] {}

/// Elements that are the bytes of a value.
struct Copied;

impl<T: Plain> Codec<T> for Copied {
    unsafe fn load(message: *const u8) -> Result<T, c_int> {
        // SAFETY: an element of so many bytes, which are a value.
        Ok(unsafe { message.cast::<T>().read_unaligned() })
    }

    unsafe fn sent(_: *const u8) {}

    fn bytes(_: &T) -> usize {
        size_of::<T>()
    }

    unsafe fn store(value: T, out: *mut u8) {
        // SAFETY: a place for so many bytes.
        unsafe { out.cast::<T>().write_unaligned(value) };
    }
}

/// A handle for C, which sends elements of the size of `T`. `kc_chan_destroy` closes the channel.
#[must_use = "C destroys it"]
pub fn sends<T: Plain>(sender: Sender<T>) -> *mut Chan {
    lend::<T, Copied>(Some(sender), None, size_of::<T>())
}

/// A handle for C, which receives elements of the size of `T`.
#[must_use = "C destroys it"]
pub fn receives<T: Plain>(receiver: Receiver<T>) -> *mut Chan {
    lend::<T, Copied>(None, Some(receiver), size_of::<T>())
}

/// A handle for C to a channel of messages, with one end or both.
#[must_use = "C destroys it"]
pub fn messages(sender: Option<Sender<Element>>, receiver: Option<Receiver<Element>>) -> *mut Chan {
    lend::<Element, Messages>(sender, receiver, size_of::<*mut Msg>())
}

fn lend<T: Send + 'static, C: Codec<T>>(
    sender: Option<Sender<T>>,
    receiver: Option<Receiver<T>>,
    elem_size: usize,
) -> *mut Chan {
    let kind = match (&sender, &receiver) {
        (Some(sender), _) => (sender.kind(), sender.capacity()),
        (None, Some(receiver)) => (receiver.kind(), receiver.capacity()),
        (None, None) => (becket_chan::Kind::Rendezvous, None),
    };
    let capacity = kind.1.unwrap_or(0);
    let kind = match make::kind_as_lane(kind.0) {
        Kind::Buffered(_) => Kind::Buffered(capacity),
        other => other,
    };
    let ends: Ends<T, C> = Ends::new(sender, receiver);
    make::lend_made(make::over(Box::new(ends), kind, capacity, elem_size))
}

/// The sending end of a channel of messages that C has made. `None`: it is another channel, or C
/// has no such end.
///
/// # Safety
///
/// The handle is null or valid.
pub unsafe fn sender(chan: *mut Chan) -> Option<Sender<Element>> {
    // SAFETY: the caller's promise.
    let chan = unsafe { crate::chan::lent(chan) }?;
    chan.port()?.messages()?.tx.clone()
}

/// The receiving end, likewise.
///
/// # Safety
///
/// The handle is null or valid.
pub unsafe fn receiver(chan: *mut Chan) -> Option<Receiver<Element>> {
    // SAFETY: the caller's promise.
    let chan = unsafe { crate::chan::lent(chan) }?;
    chan.port()?.messages()?.rx.clone()
}
