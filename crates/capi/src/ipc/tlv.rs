// SPDX-License-Identifier: BSD-3-Clause
//! Writing attributes: the C functions. `wire::v1` writes them.

use std::ffi::c_int;
use std::slice;

use becket_wire::v1::put;

use super::code::EMSGSIZE;
use crate::boundary::answer;
use crate::handle::place;

/// See `kcoro_ipc_posix.h`.
///
/// # Safety
///
/// `cursor` is null or valid; from what it points to up to `end` memory is valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_tlv_put_u32(
    cursor: *mut *mut u8,
    end: *mut u8,
    kind: u16,
    value: u32,
) -> c_int {
    // SAFETY: the caller's promise.
    answer(|| unsafe { write(cursor, end, kind, &value.to_be_bytes()) })
}

/// See `kcoro_ipc_posix.h`.
///
/// # Safety
///
/// As for [`kc_tlv_put_u32`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_tlv_put_u64(
    cursor: *mut *mut u8,
    end: *mut u8,
    kind: u16,
    value: u64,
) -> c_int {
    // SAFETY: the caller's promise.
    answer(|| unsafe { write(cursor, end, kind, &value.to_be_bytes()) })
}

/// # Safety
///
/// As for [`kc_tlv_put_u32`].
unsafe fn write(cursor: *mut *mut u8, end: *mut u8, kind: u16, value: &[u8]) -> Result<(), c_int> {
    let (cursor, end) = (place(cursor)?, place(end)?);
    // SAFETY: the caller's promise.
    let at = place(unsafe { cursor.read() })?.as_ptr();
    let room = end.addr().get().checked_sub(at.addr()).ok_or(EMSGSIZE)?;
    // SAFETY: the caller's promise: the memory between the two.
    let buffer = unsafe { slice::from_raw_parts_mut(at, room) };
    let bytes = put(buffer, kind, value).map_err(|_| EMSGSIZE)?;
    // SAFETY: the caller's promise; so many bytes are before the end.
    unsafe { cursor.write(at.byte_add(bytes)) };
    Ok(())
}
