// SPDX-License-Identifier: BSD-3-Clause
//! Registered memory (`kc_region_t`): regions of `becket_zcopy` for C.
//!
//! A descriptor is in flight in a region from its send until its receive, or until it is
//! undelivered. It belongs to a region by its `region_id`, or, if that is 0, by the address of its
//! bytes; then the region's id and its offset are filled in for the receiver. Bytes that are not all
//! in the region, an address that is not that of the offset, and the id of no region are refused. A
//! number below 2^32 is no region's id but a backend's own, and is passed on unchanged.
//!
//! # Safety
//!
//! Nothing here touches the memory: its addresses are numbers, and no pool is made of it.

use becket_zcopy::{Error, Meta};
use libc::{c_int, c_uint, c_ulong, c_void};

use crate::boundary::answer;
use crate::errno;
use crate::handle::place;

/// `kc_region_t`.
pub struct Region(becket_zcopy::Region);

/// See `kcoro.h`.
///
/// # Safety
///
/// `out` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_region_register(
    out: *mut *mut Region,
    addr: *mut c_void,
    len: usize,
    flags: c_uint,
) -> c_int {
    answer(|| {
        let (at, out) = (place(addr.cast::<u8>())?, place(out)?);
        if flags != 0 {
            return Err(errno::EINVAL);
        }
        // SAFETY: the memory is C's until it deregisters it, and no code here follows its address.
        let region = unsafe { becket_zcopy::Region::foreign(at, len, Meta::default(), || {}) };
        let region = region.map_err(|error| match error {
            Error::TableFull { .. } => errno::ENOSPC,
            _ => errno::EINVAL,
        })?;
        // SAFETY: the caller's promise.
        unsafe { out.write(Box::into_raw(Box::new(Region(region)))) };
        Ok(())
    })
}

/// See `kcoro.h`.
///
/// # Safety
///
/// `handle` is null, or valid and not used again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_region_deregister(handle: *mut Region) -> c_int {
    answer(|| {
        // SAFETY: the caller's promise: the handle is ours again.
        let region = unsafe { Box::from_raw(place(handle)?.as_ptr()) };
        // Without limits it returns when nothing is in flight any more.
        let _gone = region.0.deregister().wait();
        Ok(())
    })
}

/// See `kcoro.h`.
///
/// # Safety
///
/// `handle` is null or valid; `out_id` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_region_export_id(handle: *const Region, out_id: *mut c_ulong) -> c_int {
    answer(|| {
        // SAFETY: the caller's promise.
        unsafe {
            let region = handle.as_ref().ok_or(errno::EINVAL)?;
            place(out_id)?.write(region.0.id() as c_ulong);
        }
        Ok(())
    })
}
