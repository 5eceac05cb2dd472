// SPDX-License-Identifier: BSD-3-Clause
//! Buffers of the host that a plugin writes an answer into.
//!
//! A token carries the place in the table and a generation, so a stale or made-up one is refused. A
//! lease that is never given back counts against `leases_max`. One that is
//! committed does not count while its answer is being sent, so that a caller that has the answer
//! finds room for the next; if a full stream refuses the answer, it counts again, even above the
//! bound.
//!
//! A buffer that was not given back is freed with the plugin's image only. As long as that is mapped,
//! a thread of the plugin may still write into it.
//!
//! Version 2 of the ABI has no function to give a lease back, so there it belongs to its call: see
//! [`super::v2`].
//!
//! Buffers are zeroed when they are made and used again as they are: a lease may show bytes of
//! this plugin's own earlier answers, and never anything else.

use std::ffi::c_void;

use becket_abi::{NrBufferLease, NrStatus};

use super::{answer, boundary};
use crate::{counters::Count, instance::Instance, reentry::Mutex, slab::Slab, table};

/// The leases of one instance.
#[derive(Default)]
pub(crate) struct Leases {
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    /// Without a buffer while that is being sent.
    buffers: Slab<Vec<u8>>,
    /// Leases that count against the bound: the places with a buffer, but for those abandoned.
    held: u32,
    /// Leases whose calls are over, and that the plugin may still write into.
    abandoned: u32,
    /// Buffers for the next leases.
    spare: Vec<Vec<u8>>,
}

/// Buffers kept for the next leases, and the bytes of one that is worth keeping.
const SPARE_MAX: usize = 16;
const SPARE_BYTES_MAX: usize = 64 << 10;

impl Leases {
    pub(super) fn insert(&self, buffer: Vec<u8>, leases_max: u32) -> Option<u64> {
        let mut table = self.table.lock();
        if table.held >= leases_max {
            return None;
        }
        table.held += 1;
        Some(table.buffers.insert(buffer))
    }

    /// A buffer of at least `cap` bytes.
    pub(super) fn buffer(&self, cap: usize) -> Vec<u8> {
        let mut table = self.table.lock();
        // Not one that is much too large: a larger lease would miss it.
        let fits = |spare: &Vec<u8>| spare.len() >= cap && spare.len() / 4 <= cap;
        match table.spare.iter().rposition(fits) {
            Some(at) => table.spare.swap_remove(at),
            None => {
                drop(table);
                vec![0; cap]
            }
        }
    }

    /// Keeps a buffer for the next lease, if there is room.
    pub(crate) fn keep(&self, buffer: Vec<u8>) {
        let mut table = self.table.lock();
        if buffer.len() <= SPARE_BYTES_MAX && table.spare.len() < SPARE_MAX {
            table.spare.push(buffer);
        }
    }

    /// Takes the buffer that `token` names, if it holds `len` bytes. The place stays taken until
    /// [`Self::end`] or [`Self::put_back`].
    pub(super) fn take(&self, token: u64, len: u64) -> Option<Vec<u8>> {
        let mut table = self.table.lock();
        let buffer = table.buffers.get_mut(token)?.take_if(|buffer| buffer.len() as u64 >= len)?;
        table.held -= 1;
        Some(buffer)
    }

    /// A lease's call is over: it counts against a bound of its own from now on. False if as many
    /// as that were abandoned.
    pub(super) fn abandon(&self, abandoned_max: u32) -> bool {
        let mut table = self.table.lock();
        let has_room = table.abandoned < abandoned_max;
        if has_room {
            table.abandoned += 1;
            table.held -= 1;
        }
        has_room
    }

    /// Undoes an [`Self::abandon`].
    pub(super) fn adopt(&self) {
        let mut table = self.table.lock();
        table.abandoned -= 1;
        table.held += 1;
    }

    /// Frees the place of a lease whose buffer was taken.
    pub(super) fn end(&self, token: u64) {
        self.table.lock().buffers.free(token);
    }

    /// True if no more leases may be held.
    pub(super) fn is_full(&self, leases_max: u32) -> bool {
        self.table.lock().held >= leases_max
    }

    /// Puts back what [`Self::take`] took, under the same token.
    fn put_back(&self, token: u64, buffer: Vec<u8>) {
        let mut table = self.table.lock();
        if let Some(place) = table.buffers.get_mut(token) {
            *place = Some(buffer);
            table.held += 1;
        }
    }

    /// The plugin has ended. Frees the buffers that it gave back, and returns how many it did not:
    /// a thread that outlives the plugin may still write into those.
    pub(crate) fn end_all(&self) -> u32 {
        let mut table = self.table.lock();
        table.spare = Vec::new();
        table.held + table.abandoned
    }

    /// Frees every buffer: no code of the plugin is left that could write into one.
    pub(crate) fn clear(&self) {
        *self.table.lock() = Table::default();
    }
}

pub(super) unsafe extern "C" fn acquire(
    host_ctx: *mut c_void,
    sid: u64,
    cap: u64,
) -> NrBufferLease {
    boundary(host_ctx, NrBufferLease::REFUSED, |instance| {
        let Some(cap) = granted(instance, sid, cap) else { return NrBufferLease::REFUSED };
        let mut buffer = instance.leases.buffer(cap);
        let (ptr, cap) = (buffer.as_mut_ptr(), buffer.len() as u64);
        match instance.leases.insert(buffer, instance.limits.leases_max) {
            Some(token) => NrBufferLease { ptr, cap, token },
            None => {
                instance.plugin.counters.one(Count::ResourceRefused);
                NrBufferLease::REFUSED
            }
        }
    })
}

/// The bytes of a lease that the call may have; otherwise it is counted.
pub(super) fn granted(instance: &'static Instance, sid: u64, cap: u64) -> Option<usize> {
    if !super::observe::is_waiting(instance, sid) {
        let refusal = table::find(sid, instance).err().unwrap_or(table::Refusal::Late);
        answer::refuse(instance, refusal);
        return None;
    }
    let limit = instance.limits.lease_bytes_max.min(instance.limits.payload_bytes_max);
    if cap == 0 || cap > limit {
        instance.plugin.counters.one(Count::ResourceRefused);
        return None;
    }
    Some(cap as usize)
}

pub(super) unsafe extern "C" fn commit(
    host_ctx: *mut c_void,
    sid: u64,
    status: NrStatus,
    token: u64,
    len: u64,
) -> NrStatus {
    boundary(host_ctx, NrStatus::Invalid, |instance| {
        let Some(buffer) = instance.leases.take(token, len) else {
            instance.plugin.counters.one(Count::AnswersInvalid);
            return NrStatus::Invalid;
        };
        let mut buffer = Some(buffer);
        let status = answer::leased(instance, sid, status, &mut buffer, len);
        match buffer {
            Some(buffer) if status == NrStatus::Backpressure => {
                instance.leases.put_back(token, buffer);
            }
            Some(buffer) => {
                instance.leases.end(token);
                instance.leases.keep(buffer);
            }
            None => instance.leases.end(token),
        }
        status
    })
}

pub(super) unsafe extern "C" fn release(host_ctx: *mut c_void, token: u64) -> NrStatus {
    boundary(host_ctx, NrStatus::Invalid, |instance| match instance.leases.take(token, 0) {
        Some(buffer) => {
            instance.leases.end(token);
            instance.leases.keep(buffer);
            NrStatus::Ok
        }
        None => NrStatus::Invalid,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_used_again_if_it_fits_and_few_are_kept() {
        let leases = Leases::default();
        let first = leases.buffer(4096);
        let address = first.as_ptr();
        leases.keep(first);
        assert_eq!(leases.buffer(8).len(), 8, "much too large");
        let again = leases.buffer(4000);
        assert_eq!((again.as_ptr(), again.len()), (address, 4096));
        leases.keep(vec![0; SPARE_BYTES_MAX + 1]);
        (0..100).for_each(|_| leases.keep(vec![0; 8]));
        assert_eq!(leases.table.lock().spare.len(), SPARE_MAX);
    }

    #[test]
    fn tokens_are_good_once_and_places_are_bounded() {
        let leases = Leases::default();
        let first = leases.insert(vec![1; 8], 2).unwrap();
        let second = leases.insert(vec![2; 8], 2).unwrap();
        assert_eq!(leases.insert(vec![3; 8], 2), None);
        assert_eq!(leases.take(first, 9), None, "longer than the lease");
        assert_eq!(leases.take(first ^ 1 << 40, 8), None, "another generation");
        assert_eq!(leases.take(99, 0), None);
        assert_eq!(leases.take(first, 8), Some(vec![1; 8]));
        assert_eq!(leases.take(first, 0), None, "taken twice");
        let third = leases.insert(vec![3; 8], 2).expect("what is being sent does not count");
        assert_eq!(leases.insert(vec![4; 8], 2), None);
        leases.end(first);
        assert_eq!(leases.insert(vec![4; 8], 2), None, "a place, and no room");
        assert_eq!(leases.take(third, 8), Some(vec![3; 8]));
        let fourth = leases.insert(vec![4; 8], 2).unwrap();
        assert_ne!(fourth, first, "the same place");
        assert_eq!(leases.take(first, 0), None);
        leases.put_back(third, vec![3; 8]);
        assert_eq!(leases.insert(vec![5; 8], 2), None, "it counts again, above the bound");
        assert_eq!(leases.take(second, 0), Some(vec![2; 8]));
        assert_eq!(leases.insert(vec![5; 8], 2), None);
        assert_eq!(leases.take(third, 0), Some(vec![3; 8]));
        assert!(leases.insert(vec![5; 8], 2).is_some());
    }
}
