// SPDX-License-Identifier: BSD-3-Clause
//! `kc_msg_t`: a message of a channel, and `kc_pool_t`: blocks of shared memory for messages.
//!
//! A message of a pool can be written until its first send, or until `kc_msg_data`; from then on it
//! is shared and read-only, whether the send succeeds or not.
//!
//! # Safety
//!
//! A handle is null, or came from this library and was not released; one thread at a time uses a
//! message.

use std::ffi::{c_int, c_long, c_void};
use std::ptr;
use std::slice;
use std::sync::Arc;

use becket_ipc::Element;
use becket_ipc::blocks::BlockRef;
use becket_zcopy::{Class, Error, Lease, LeaseError, Meta, Pool, Region};

use super::code;
use crate::boundary::{answer, call};
use crate::chan::Chan;
use crate::chan::lane::{Kind, has_memory};
use crate::chan::make;
use crate::chan::port::{Codec, Ends};
use crate::current_token;
use crate::errno;
use crate::handle::{lend, place, shared, take_back};
use crate::limit::{self, Until};

/// `kc_msg_t`.
pub struct Msg {
    /// A block that is still written; the element is empty then.
    written: Option<Lease>,
    element: Element,
}

/// `kc_pool_t`.
pub struct Blocks(Pool);

/// Elements that are handles of messages.
pub(crate) struct Messages;

impl Msg {
    /// Ends writing.
    fn freeze(&mut self) -> &Element {
        if let Some(written) = self.written.take() {
            self.element = written.freeze().into();
        }
        &self.element
    }

    fn len(&self) -> usize {
        self.written.as_ref().map_or(self.element.len(), |written| written.len())
    }

    /// A handle for C.
    pub(crate) fn lend(element: Element) -> *mut Self {
        Box::into_raw(Box::new(Self { written: None, element }))
    }
}

impl Codec<Element> for Messages {
    unsafe fn load(message: *const u8) -> Result<Element, c_int> {
        // SAFETY: an element is a handle, as the caller promises.
        let handle = unsafe { message.cast::<*mut Msg>().read_unaligned() };
        // SAFETY: null or valid, and the sender's alone.
        unsafe { handle.as_mut() }.map(|msg| msg.freeze().clone()).ok_or(errno::EINVAL)
    }

    unsafe fn take(message: *const u8) -> Result<Element, c_int> {
        // SAFETY: as in `load`.
        let handle = unsafe { message.cast::<*mut Msg>().read_unaligned() };
        // SAFETY: as in `load`.
        let msg = unsafe { handle.as_mut() }.ok_or(errno::EINVAL)?;
        msg.freeze();
        Ok(std::mem::take(&mut msg.element))
    }

    unsafe fn put_back(message: *const u8, value: Element) {
        // SAFETY: as in `load`.
        let handle = unsafe { message.cast::<*mut Msg>().read_unaligned() };
        // SAFETY: as in `load`.
        if let Some(msg) = unsafe { handle.as_mut() } {
            msg.element = value;
        }
    }

    unsafe fn sent(message: *const u8) {
        // SAFETY: the handle of `load`, which is the channel's now.
        drop(unsafe { Box::from_raw(message.cast::<*mut Msg>().read_unaligned()) });
    }

    fn bytes(value: &Element) -> usize {
        value.len()
    }

    unsafe fn store(value: Element, out: *mut u8) {
        // SAFETY: a place for a handle, as the caller promises.
        unsafe { out.cast::<*mut Msg>().write_unaligned(Msg::lend(value)) };
    }

    fn messages(ends: &Ends<Element>) -> Option<&Ends<Element>> {
        Some(ends)
    }
}

/// See `kcoro_session.h`.
///
/// # Safety
///
/// `out` is null or valid for a write; `bytes` is valid for `len` reads, or `len` is 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_msg_make(
    out: *mut *mut Msg,
    bytes: *const c_void,
    len: usize,
) -> c_int {
    answer(|| {
        let out = place(out)?;
        let mut copy = Vec::new();
        if len > 0 {
            let bytes = place(bytes.cast_mut())?.cast::<u8>();
            copy.try_reserve_exact(len).map_err(|_| errno::ENOMEM)?;
            // SAFETY: the caller's promise.
            copy.extend_from_slice(unsafe { slice::from_raw_parts(bytes.as_ptr(), len) });
        }
        // SAFETY: the caller's promise.
        unsafe { out.write(Msg::lend(copy.into())) };
        Ok(())
    })
}

/// See `kcoro_session.h`.
///
/// # Safety
///
/// `msg` is null, or valid and not used again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_msg_release(msg: *mut Msg) {
    call((), || {
        if !msg.is_null() {
            // SAFETY: the caller's promise.
            drop(unsafe { Box::from_raw(msg) });
        }
    });
}

/// See `kcoro_session.h`.
///
/// # Safety
///
/// `msg` is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_msg_len(msg: *const Msg) -> usize {
    // SAFETY: the caller's promise.
    call(0, || unsafe { msg.as_ref() }.map_or(0, Msg::len))
}

/// See `kcoro_session.h`.
///
/// # Safety
///
/// `msg` is null or valid, and used by no other thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_msg_data(msg: *mut Msg) -> *const c_void {
    // SAFETY: the caller's promise.
    call(ptr::null(), || match unsafe { msg.as_mut() } {
        Some(msg) => msg.freeze().as_slice().as_ptr().cast(),
        None => ptr::null(),
    })
}

/// See `kcoro_session.h`.
///
/// # Safety
///
/// `msg` is null or valid; `to` is valid for `len` writes, or `len` is 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_msg_copy(
    msg: *const Msg,
    skip: usize,
    to: *mut c_void,
    len: usize,
) -> usize {
    call(0, || {
        // SAFETY: the caller's promise.
        let (Some(msg), false) = (unsafe { msg.as_ref() }, to.is_null() || len == 0) else {
            return 0;
        };
        let count = msg.len().saturating_sub(skip).min(len);
        // Initialised here, so that it may be a slice.
        // SAFETY: the caller's promise.
        let to = unsafe {
            to.cast::<u8>().write_bytes(0, count);
            slice::from_raw_parts_mut(to.cast::<u8>(), count)
        };
        match (&msg.written, msg.element.as_block()) {
            (Some(written), _) => copy(written, skip, to),
            (None, Some(block)) => return block.copy_to(skip, to),
            (None, None) => copy(msg.element.as_slice(), skip, to),
        }
        count
    })
}

fn copy(from: &[u8], skip: usize, to: &mut [u8]) {
    if let Some(from) = from.get(skip..).and_then(|from| from.get(..to.len())) {
        to.copy_from_slice(from);
    }
}

/// See `kcoro_session.h`.
///
/// # Safety
///
/// `msg` is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_msg_block(msg: *const Msg) -> c_int {
    call(0, || {
        // SAFETY: the caller's promise.
        let Some(msg) = (unsafe { msg.as_ref() }) else { return 0 };
        match (&msg.written, msg.element.as_block()) {
            (Some(_), _) | (None, Some(BlockRef::Own(_))) => 1,
            (None, Some(_)) => 2,
            (None, None) => 0,
        }
    })
}

/// See `kcoro_session.h`.
///
/// # Safety
///
/// `out` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_pool_make(
    out: *mut *mut Blocks,
    block_bytes: usize,
    blocks: usize,
) -> c_int {
    answer(|| {
        let out = place(out)?;
        let bytes = block_bytes.checked_mul(blocks).ok_or(errno::EINVAL)?;
        let blocks = u32::try_from(blocks).map_err(|_| errno::EINVAL)?;
        let class = Class { block_bytes, blocks };
        let region = Region::memfd(bytes, Meta::default()).map_err(|error| refused(&error))?;
        let pool = Pool::new(&region, &[class]).map_err(|error| refused(&error))?;
        // SAFETY: the caller's promise.
        unsafe { out.write(lend(Arc::new(Blocks(pool)))) };
        Ok(())
    })
}

fn refused(error: &Error) -> c_int {
    match error {
        Error::TableFull { .. } => errno::ENOSPC,
        Error::WouldBlock { .. } => errno::EAGAIN,
        Error::TooLong { .. } => code::EMSGSIZE,
        Error::System { errno, .. } => -errno.raw_os_error(),
        _ => errno::EINVAL,
    }
}

/// See `kcoro_session.h`.
///
/// # Safety
///
/// `handle` is null or valid; `out` and `bytes` are null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_pool_lease(
    handle: *const Blocks,
    len: usize,
    timeout_ms: c_long,
    out: *mut *mut Msg,
    bytes: *mut *mut c_void,
) -> c_int {
    answer(|| {
        // SAFETY: the caller's promise.
        let blocks = unsafe { shared(handle) }?;
        let (out, bytes) = (place(out)?, place(bytes)?);
        let mut lease = match blocks.0.try_lease(len) {
            Ok(lease) => lease,
            Err(Error::WouldBlock { .. }) if timeout_ms != 0 => {
                let token = current_token::token();
                let leasing = blocks.0.lease(len).map_err(|error| refused(&error))?;
                let leased = limit::drive(leasing, Until::of(timeout_ms), token.as_ref());
                leased.map_err(|error| match error {
                    LeaseError::Cancelled => errno::ECANCELED,
                    _ => errno::ETIME,
                })?
            }
            Err(error) => return Err(refused(&error)),
        };
        let start = lease.as_mut_ptr().cast();
        // SAFETY: the caller's promise.
        unsafe {
            bytes.write(start);
            let msg = Msg { written: Some(lease), element: Element::default() };
            out.write(Box::into_raw(Box::new(msg)));
        }
        Ok(())
    })
}

/// See `kcoro_session.h`.
///
/// # Safety
///
/// `handle` is null, or valid and not used again. Its messages may still be there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_pool_release(handle: *const Blocks) {
    // SAFETY: the caller's promise.
    call((), || drop(unsafe { take_back(handle) }));
}

/// See `kcoro_session.h`.
///
/// # Safety
///
/// `out` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_chan_make_msg(
    out: *mut *mut Chan,
    kind: c_int,
    capacity: usize,
) -> c_int {
    answer(|| {
        let out = place(out)?;
        let (kind, capacity) = make::kind_of(kind, capacity).ok_or(errno::EINVAL)?;
        let builder = match kind {
            Kind::Rendezvous => becket_chan::Builder::rendezvous(),
            Kind::Buffered(capacity) => {
                has_memory(capacity, size_of::<Element>()).ok_or(errno::ENOMEM)?;
                becket_chan::Builder::bounded(capacity)
            }
            Kind::Conflated => becket_chan::Builder::conflated(),
            Kind::Unlimited => becket_chan::Builder::unlimited(),
        };
        let (tx, rx) = builder.weigh(|element: &Element| element.len() as u64).build();
        let ends: Ends<Element> = Ends::new(Some(tx), Some(rx));
        let chan = make::over(Box::new(ends), kind, capacity, size_of::<*mut Msg>());
        // SAFETY: the caller's promise.
        unsafe { out.write(make::lend_made(chan)) };
        Ok(())
    })
}
