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
    /// Leases that count against the bound: the places with a buffer, but for those parked.
    held: u32,
    /// Leases whose calls are over, and that the plugin may still write into.
    parked: u32,
    /// Buffers for the next leases.
    spare: Vec<Vec<u8>>,
}

/// Buffers kept for the next leases, and the bytes of one that is worth keeping.
const SPARE_MAX: usize = 16;
const SPARE_BYTES_MAX: usize = 64 << 10;

/// The buffer of a lease that was committed or released, with the place that it came from.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TakenLease {
    pub(crate) buffer: Vec<u8>,
    token: u64,
}

impl Table {
    /// A buffer of at least `cap` bytes among those that were kept.
    fn spare(&mut self, cap: usize) -> Option<Vec<u8>> {
        // Not one that is much too large: a larger lease would miss it.
        let fits = |spare: &Vec<u8>| spare.len() >= cap && spare.len() / 4 <= cap;
        let at = self.spare.iter().rposition(fits)?;
        Some(self.spare.swap_remove(at))
    }
}

impl Leases {
    /// A lease of at least `cap` bytes, unless `leases_max` are held.
    pub(super) fn acquire(&self, cap: usize, leases_max: u32) -> Option<NrBufferLease> {
        let mut table = self.table.lock();
        let mut spare = table.spare(cap);
        if spare.is_none() && table.held < leases_max {
            drop(table);
            spare = Some(vec![0; cap]);
            table = self.table.lock();
        }
        let mut buffer = spare?;
        if table.held >= leases_max {
            table.spare.push(buffer);
            return None;
        }
        let (ptr, cap) = (buffer.as_mut_ptr(), buffer.len() as u64);
        table.held += 1;
        let token = table.buffers.insert(buffer);
        Some(NrBufferLease { ptr, cap, token })
    }

    /// Ends a lease, and keeps its buffer for the next one if there is room.
    pub(crate) fn keep(&self, lease: TakenLease) {
        let mut table = self.table.lock();
        table.buffers.free(lease.token);
        if lease.buffer.len() <= SPARE_BYTES_MAX && table.spare.len() < SPARE_MAX {
            table.spare.push(lease.buffer);
        }
    }

    /// Takes the buffer that `token` names, if it holds `len` bytes. The place stays taken until
    /// [`Self::keep`] or [`Self::put_back`].
    pub(super) fn take(&self, token: u64, len: u64) -> Option<TakenLease> {
        let mut table = self.table.lock();
        let buffer = table.buffers.get_mut(token)?.take_if(|buffer| buffer.len() as u64 >= len)?;
        table.held -= 1;
        Some(TakenLease { buffer, token })
    }

    /// A lease's call is over: it counts against a bound of its own from now on. False if as many
    /// as that are parked.
    pub(super) fn park(&self, parked_max: u32) -> bool {
        let mut table = self.table.lock();
        let has_room = table.parked < parked_max;
        if has_room {
            table.parked += 1;
            table.held -= 1;
        }
        has_room
    }

    /// Undoes a [`Self::park`].
    pub(super) fn unpark(&self) {
        let mut table = self.table.lock();
        table.parked -= 1;
        table.held += 1;
    }

    /// True if no more leases may be held.
    pub(super) fn is_full(&self, leases_max: u32) -> bool {
        self.table.lock().held >= leases_max
    }

    /// Puts back what [`Self::take`] took, under its token.
    fn put_back(&self, lease: TakenLease) {
        let mut table = self.table.lock();
        if let Some(place) = table.buffers.get_mut(lease.token) {
            *place = Some(lease.buffer);
            table.held += 1;
        }
    }

    /// The plugin has ended. Frees the buffers that it gave back, and returns how many it did not:
    /// a thread that outlives the plugin may still write into those.
    pub(crate) fn end_all(&self) -> u32 {
        let mut table = self.table.lock();
        table.spare = Vec::new();
        table.held + table.parked
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
        instance.leases.acquire(cap, instance.limits.leases_max).unwrap_or_else(|| {
            instance.plugin.counters.one(Count::ResourceRefused);
            NrBufferLease::REFUSED
        })
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
        let mut lease = instance.leases.take(token, len);
        if lease.is_none() {
            instance.plugin.counters.one(Count::AnswersInvalid);
            return NrStatus::Invalid;
        }
        let status = answer::leased(instance, sid, status, &mut lease, len);
        match lease {
            Some(lease) if status == NrStatus::Backpressure => instance.leases.put_back(lease),
            Some(lease) => instance.leases.keep(lease),
            None => {}
        }
        status
    })
}

pub(super) unsafe extern "C" fn release(host_ctx: *mut c_void, token: u64) -> NrStatus {
    boundary(host_ctx, NrStatus::Invalid, |instance| match instance.leases.take(token, 0) {
        Some(lease) => {
            instance.leases.keep(lease);
            NrStatus::Ok
        }
        None => NrStatus::Invalid,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(leases: &Leases, cap: usize, leases_max: u32) -> Option<u64> {
        leases.acquire(cap, leases_max).map(|lease| lease.token)
    }

    #[test]
    fn a_buffer_is_used_again_if_it_fits_and_few_are_kept() {
        let leases = Leases::default();
        let first = leases.acquire(4096, 200).unwrap();
        leases.keep(leases.take(first.token, 0).unwrap());
        assert_eq!(leases.acquire(8, 200).unwrap().cap, 8, "much too large");
        let again = leases.acquire(4000, 200).unwrap();
        assert_eq!((again.ptr, again.cap), (first.ptr, 4096));
        leases.keep(leases.take(lease(&leases, SPARE_BYTES_MAX + 1, 200).unwrap(), 0).unwrap());
        assert_eq!(leases.table.lock().spare.len(), 0, "too large to be kept");
        let many: Vec<_> = (0..100).filter_map(|_| lease(&leases, 8, 200)).collect();
        many.into_iter().for_each(|token| leases.keep(leases.take(token, 0).unwrap()));
        assert_eq!(leases.table.lock().spare.len(), SPARE_MAX);
        assert_eq!(lease(&leases, 8, 0), None);
        assert_eq!(leases.table.lock().spare.len(), SPARE_MAX, "a refusal takes none");
    }

    #[test]
    fn tokens_are_good_once_and_places_are_bounded() {
        let leases = Leases::default();
        let first = lease(&leases, 8, 2).unwrap();
        let second = lease(&leases, 8, 2).unwrap();
        assert_eq!(lease(&leases, 8, 2), None);
        assert_eq!(leases.take(first, 9), None, "longer than the lease");
        assert_eq!(leases.take(first ^ 1 << 40, 8), None, "another generation");
        assert_eq!(leases.take(99, 0), None);
        let sent = leases.take(first, 8).unwrap();
        assert_eq!(leases.take(first, 0), None, "taken twice");
        let third = lease(&leases, 8, 2).expect("what is being sent does not count");
        assert_eq!(lease(&leases, 8, 2), None);
        leases.keep(sent);
        assert_eq!(lease(&leases, 8, 2), None, "a place, and no room");
        let refused = leases.take(third, 8).unwrap();
        let fourth = lease(&leases, 8, 2).unwrap();
        assert_ne!(fourth, first, "the same place");
        assert_eq!(leases.take(first, 0), None);
        leases.put_back(refused);
        assert_eq!(lease(&leases, 8, 2), None, "it counts again, above the bound");
        leases.keep(leases.take(second, 0).unwrap());
        assert_eq!(lease(&leases, 8, 2), None);
        leases.keep(leases.take(third, 0).unwrap());
        assert!(lease(&leases, 8, 2).is_some());
    }
}
