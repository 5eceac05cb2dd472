// SPDX-License-Identifier: BSD-3-Clause
//! Registered memory (`kc_region_t`): who deregisters it waits until nothing in it is under way.
//!
//! A descriptor is in flight in a region from its send until its receive, or until it is lost. It
//! belongs to a region by its `region_id`, or, if that is 0, by where its bytes begin; then the
//! region's id and its offset are filled in for the receiver. An id that is no region's of this
//! process is somebody else's (a backend's arena), and is carried as it is.
//!
//! # Invariants
//!
//! 1. While no region is registered, a descriptor costs one load more.
//! 2. A region that is leaving takes no descriptor any more. It leaves the table when the last one
//!    in flight has landed.
//!
//! # Safety
//!
//! Nothing here touches the memory; its addresses are numbers.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};

use becket_chan::Token;
use libc::{c_int, c_uint, c_ulong, c_void};
use parking_lot::{Mutex, RwLock};

use crate::boundary::call;
use crate::chan::descriptor::Zdesc;
use crate::errno;

/// `kc_region_t`.
pub struct Region {
    id: u64,
    start: usize,
    len: usize,
    flight: Mutex<Flight>,
    /// Set when the last descriptor has landed of a region that is leaving.
    landed: Token,
}

#[derive(Default)]
struct Flight {
    count: usize,
    leaving: bool,
}

#[derive(Default)]
struct Table {
    by_id: HashMap<u64, Arc<Region>>,
    by_start: BTreeMap<(usize, u64), Arc<Region>>,
    /// No region is longer.
    len_max: usize,
}

static TABLE: LazyLock<RwLock<Table>> = LazyLock::new(RwLock::default);
static REGISTERED: AtomicUsize = AtomicUsize::new(0);

impl Table {
    fn at(&self, address: usize) -> Option<&Arc<Region>> {
        self.by_start
            .range(..=(address, u64::MAX))
            .rev()
            .take_while(|((start, _), _)| address - start < self.len_max)
            .map(|(_, region)| region)
            .find(|region| address - region.start < region.len)
    }
}

/// A descriptor goes on its way. Whether a region counts it; `None` if its region is leaving.
#[inline]
pub(crate) fn launch(zdesc: &mut Zdesc) -> Option<bool> {
    if REGISTERED.load(Ordering::Acquire) == 0 {
        return Some(false);
    }
    launch_into(zdesc)
}

fn launch_into(zdesc: &mut Zdesc) -> Option<bool> {
    let table = TABLE.read();
    let address = zdesc.addr.addr();
    let found = match zdesc.region_id {
        0 => table.at(address),
        id => table.by_id.get(&id),
    };
    let Some(region) = found else {
        return Some(false);
    };
    let mut flight = region.flight.lock();
    if flight.leaving {
        return None;
    }
    flight.count += 1;
    if zdesc.region_id == 0 {
        zdesc.region_id = region.id;
        zdesc.offset = (address - region.start) as u64;
    }
    Some(true)
}

/// A descriptor that was counted has arrived, or was lost.
#[cold]
pub(crate) fn land(id: u64) {
    let region = TABLE.read().by_id.get(&id).cloned();
    if let Some(region) = region {
        let mut flight = region.flight.lock();
        flight.count = flight.count.saturating_sub(1);
        let last = flight.leaving && flight.count == 0;
        drop(flight);
        if last {
            region.landed.cancel();
        }
    }
}

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
    static NEXT: AtomicU64 = AtomicU64::new(1);
    call(errno::EIO, || {
        let start = addr.addr();
        if out.is_null() || start == 0 || len == 0 || flags != 0 || start.checked_add(len).is_none()
        {
            return errno::EINVAL;
        }
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        let flight = Mutex::default();
        let region = Arc::new(Region { id, start, len, flight, landed: Token::new() });
        let mut table = TABLE.write();
        table.by_id.insert(id, region.clone());
        table.by_start.insert((start, id), region.clone());
        table.len_max = table.len_max.max(len);
        REGISTERED.store(table.by_id.len(), Ordering::Release);
        drop(table);
        // SAFETY: the caller's promise.
        unsafe { out.write(Arc::into_raw(region).cast_mut()) };
        errno::OK
    })
}

/// See `kcoro.h`.
///
/// # Safety
///
/// `handle` is null, or valid and not used again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_region_deregister(handle: *mut Region) -> c_int {
    call(errno::EIO, || {
        if handle.is_null() {
            return errno::EINVAL;
        }
        // SAFETY: the caller's promise: this is the handle's own share.
        let region = unsafe { Arc::from_raw(handle.cast_const()) };
        let mut flight = region.flight.lock();
        flight.leaving = true;
        let waits = flight.count > 0;
        drop(flight);
        if waits {
            region.landed.cancelled().wait();
        }
        let mut table = TABLE.write();
        table.by_id.remove(&region.id);
        table.by_start.remove(&(region.start, region.id));
        if table.by_id.is_empty() {
            table.len_max = 0;
        }
        REGISTERED.store(table.by_id.len(), Ordering::Release);
        errno::OK
    })
}

/// See `kcoro.h`.
///
/// # Safety
///
/// `handle` is null or valid; `out_id` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_region_export_id(handle: *const Region, out_id: *mut c_ulong) -> c_int {
    call(errno::EIO, || {
        // SAFETY: the caller's promise.
        match unsafe { handle.as_ref() } {
            Some(region) if !out_id.is_null() => {
                // SAFETY: the caller's promise.
                unsafe { out_id.write(region.id as c_ulong) };
                errno::OK
            }
            _ => errno::EINVAL,
        }
    })
}
