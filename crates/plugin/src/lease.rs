// SPDX-License-Identifier: BSD-3-Clause
//! [`LeaseWriter`]: an answer written straight into a buffer of the host.
//!
//! # Invariants
//!
//! 1. Bytes before `len` are written; bytes behind it are never read, since a host need not clear
//!    the buffer.
//! 2. `len <= cap`.
//! 3. A lease ends once: committed, or released by `Drop` (a panic in the writer, too).
//!
//! # Safety
//!
//! From `lease_acquire` until the commit or release the buffer is the plugin's alone, `cap` bytes
//! of it writable. `LeaseWriter` is neither `Clone` nor shared, so each write is exclusive.

use std::fmt;
use std::io;
use std::ptr;

use becket_abi::{NrBufferLease, NrStatus};

use crate::error::SendError;
use crate::host::Host;

/// Appends to a buffer of the host. Past its capacity [`io::Write`] writes what fits;
/// [`Self::push`] and [`fmt::Write`] write nothing, and fail.
pub struct LeaseWriter {
    host: Host,
    lease: NrBufferLease,
    len: usize,
}

// SAFETY: the writer is the buffer's one user, and the host's functions take any thread.
unsafe impl Send for LeaseWriter {}

impl LeaseWriter {
    pub(crate) fn acquire(host: Host, sid: u64, cap: usize) -> Option<Self> {
        // SAFETY: the table and its context live as long as the process (`Host`).
        let lease = unsafe { (host.api().lease_acquire)(host.ctx(), sid, cap as u64) };
        if lease.ptr.is_null() || lease.cap < cap as u64 {
            return None;
        }
        Some(Self { host, lease, len: 0 })
    }

    /// How many more bytes fit.
    #[must_use]
    pub const fn spare(&self) -> usize {
        self.lease.cap as usize - self.len
    }

    /// Appends `bytes` if all of them fit; else nothing, and `false`.
    #[must_use]
    pub fn push(&mut self, bytes: &[u8]) -> bool {
        if bytes.len() > self.spare() {
            return false;
        }
        // SAFETY: the lease is ours, and `len + bytes.len() <= cap`; `bytes` cannot overlap it,
        // since the lease's memory has no other borrower.
        unsafe {
            ptr::copy_nonoverlapping(bytes.as_ptr(), self.lease.ptr.add(self.len), bytes.len());
        }
        self.len += bytes.len();
        true
    }

    pub(crate) fn commit(self, sid: u64, status: NrStatus) -> Result<(), SendError> {
        // SAFETY: the table lives as long as the process; the first `len` bytes are written.
        let taken = unsafe {
            let (ctx, token) = (self.host.ctx(), self.lease.token);
            (self.host.api().lease_commit)(ctx, sid, status, token, self.len as u64)
        };
        let taken = SendError::check(taken);
        if taken != Err(SendError::Full) {
            // The lease is over: there is nothing left to release.
            let _over = std::mem::ManuallyDrop::new(self);
        }
        taken
    }
}

impl Drop for LeaseWriter {
    fn drop(&mut self) {
        // SAFETY: the table lives as long as the process; the lease was not committed.
        let _ = unsafe { (self.host.api().lease_release)(self.host.ctx(), self.lease.token) };
    }
}

impl io::Write for LeaseWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let fits = bytes.len().min(self.spare());
        match bytes.get(..fits) {
            Some(part) if self.push(part) => Ok(fits),
            _ => Ok(0),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Write for LeaseWriter {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.push(text.as_bytes()) { Ok(()) } else { Err(fmt::Error) }
    }
}

impl fmt::Debug for LeaseWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LeaseWriter").field("len", &self.len).field("cap", &self.lease.cap).finish()
    }
}
