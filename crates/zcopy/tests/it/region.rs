// SPDX-License-Identifier: BSD-3-Clause
//! Regions: reference counts, release, stale ids.

use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use becket_chan::Token;
use becket_zcopy::{
    Check, Class, DeregisterError, Desc, Error, InFlight, Meta, Pinned, Pool, Region,
};
use futures_lite::future;

const NOTHING: Desc =
    Desc { addr: std::ptr::null_mut(), len: 0, region_id: 0, offset: 0, flags: 0 };

fn region(bytes: usize) -> Region {
    Region::heap(bytes, Meta::default()).unwrap()
}

/// A foreign region that counts its releases.
fn counted(bytes: usize) -> (Region, Arc<AtomicUsize>) {
    let released = Arc::new(AtomicUsize::new(0));
    let counts = released.clone();
    let memory = Box::leak(vec![0_u8; bytes].into_boxed_slice());
    let at = NonNull::new(memory.as_mut_ptr()).unwrap();
    let address = at.as_ptr().expose_provenance();
    let release = move || {
        counts.fetch_add(1, Ordering::SeqCst);
        let at: *mut u8 = std::ptr::with_exposed_provenance_mut(address);
        // SAFETY: leaked below, and freed only here.
        drop(unsafe { Box::from_raw(std::ptr::slice_from_raw_parts_mut(at, bytes)) });
    };
    // SAFETY: leaked: it stays allocated until the release runs, and no other code accesses it.
    (unsafe { Region::foreign(at, bytes, Meta::default(), release) }.unwrap(), released)
}

#[test]
fn a_range_is_pinned_and_read() {
    let region = Region::filled(b"0123456789", Meta::default()).unwrap();
    let pinned = region.pin(3, 4).unwrap();
    assert_eq!(pinned.as_slice(), Some(&b"3456"[..]));
    assert_eq!(region.pins(), 1);
    drop(pinned);
    assert_eq!(region.pins(), 0);
    let error = Error::OutOfRange { offset: 7, len: 4, bytes: 10 };
    assert_eq!(region.pin(7, 4).unwrap_err(), error);
}

#[test]
fn bytes_that_may_change_are_not_a_safe_slice() {
    assert!(region(8).pin(0, 8).unwrap().as_slice().is_none());
}

#[test]
fn the_address_of_a_descriptor_is_ignored() {
    let region = Region::filled(b"0123456789", Meta::default()).unwrap();
    let mut desc = region.desc(0, 4).unwrap();
    desc.addr = std::ptr::without_provenance_mut(1);
    assert_eq!(Pinned::of(&desc).unwrap().as_slice(), Some(&b"0123"[..]));
}

#[test]
fn a_stale_descriptor_is_refused_also_when_its_slot_is_used_again() {
    let first = region(8);
    let desc = first.desc(0, 8).unwrap();
    first.deregister().wait().unwrap();
    let stale = Error::Stale { region_id: desc.region_id };
    assert_eq!(Pinned::of(&desc).unwrap_err(), stale);
    // Other tests use slots too: hold regions until this slot is reused.
    let mut held = Vec::new();
    while held.len() < 4096 {
        let next = region(8);
        let again = next.id() & 0xFFFF_FFFF == desc.region_id & 0xFFFF_FFFF;
        held.push(next);
        if again {
            break;
        }
    }
    assert_eq!(Pinned::of(&desc).unwrap_err(), stale);
    assert_eq!(InFlight::launch(desc).unwrap_err(), stale);
    assert_eq!(first.pin(0, 8).unwrap_err(), stale);
}

#[test]
fn an_id_that_was_never_registered_is_unknown() {
    for region_id in [1, 0xFFFF_FFFF, 1 << 63, u64::MAX, 2 << 32 | 0xFFFF_FFFF] {
        let desc = Desc::in_region(region_id, 0, 1).unwrap();
        assert_eq!(Pinned::of(&desc).unwrap_err(), Error::Unknown { region_id });
        assert_eq!(InFlight::launch(desc).unwrap_err(), Error::Unknown { region_id });
        // A backend's own number is passed on.
        let launched = InFlight::launch_any(desc).map(InFlight::land);
        let expected =
            if region_id >> 32 == 0 { Ok(desc) } else { Err(Error::Unknown { region_id }) };
        assert_eq!(launched, expected);
    }
}

#[test]
fn any_descriptor_in_flight_is_within_its_region_and_has_its_address() {
    let mut memory = [0_u8; 64];
    let start = memory.as_mut_ptr();
    // SAFETY: the memory outlives the region, and nothing follows its address.
    let region = unsafe {
        Region::foreign(NonNull::new(start).unwrap(), 64, Meta::default(), || {}).unwrap()
    };
    let local = |offset: usize, len| Desc { addr: start.wrapping_add(offset), len, ..NOTHING };
    let named = |offset: usize, len, named: u64| Desc {
        region_id: region.id(),
        offset: named,
        ..local(offset, len)
    };
    let launched = |desc| InFlight::launch_any(desc).map(InFlight::land);

    assert_eq!(launched(local(16, 48)), Ok(named(16, 48, 16)));
    assert_eq!(launched(named(16, 48, 16)), Ok(named(16, 48, 16)));
    let past = |offset, len| Err(Error::OutOfRange { offset, len, bytes: 64 });
    assert_eq!(launched(local(16, 49)), past(16, 49));
    assert_eq!(launched(named(16, 49, 16)), past(16, 49));
    assert_eq!(launched(named(0, 1, u64::MAX)), past(u64::MAX, 1));
    assert_eq!(launched(local(1, usize::MAX)), Err(Error::Wraps { len: u64::MAX }));
    assert_eq!(launched(named(1, usize::MAX, 1)), Err(Error::Wraps { len: u64::MAX }));
    let elsewhere = Error::Elsewhere { region_id: region.id(), offset: 8 };
    assert_eq!(launched(named(16, 8, 8)), Err(elsewhere));
    // Without an address the region determines it.
    let bare = Desc { addr: std::ptr::null_mut(), ..named(0, 8, 8) };
    assert_eq!(launched(bare), Ok(bare));
    assert_eq!(region.pins(), 0, "a refused descriptor pins nothing");

    // Of regions that overlap, one that holds all the bytes.
    // SAFETY: as above.
    let inner = unsafe {
        let at = NonNull::new(start.wrapping_add(8)).unwrap();
        Region::foreign(at, 8, Meta::default(), || {}).unwrap()
    };
    assert_eq!(launched(local(8, 8)).unwrap().region_id, inner.id());
    assert_eq!(launched(local(8, 9)).unwrap().region_id, region.id());
    assert_eq!(
        launched(local(8, 57)).unwrap_err(),
        Error::OutOfRange { offset: 0, len: 57, bytes: 8 }
    );
}

#[test]
fn memory_is_released_once_when_the_last_descriptor_has_landed() {
    let (region, released) = counted(64);
    let descriptors: Vec<_> =
        (0..4).map(|at| InFlight::launch(region.desc(at, 8).unwrap()).unwrap()).collect();
    drop(region);
    for (landed, in_flight) in descriptors.into_iter().enumerate() {
        assert_eq!(released.load(Ordering::SeqCst), 0, "{landed}");
        if landed % 2 == 0 {
            drop(in_flight);
        } else {
            let _desc = in_flight.land();
        }
    }
    assert_eq!(released.load(Ordering::SeqCst), 1);
}

#[test]
fn a_clone_keeps_the_region() {
    let (region, released) = counted(64);
    let other = region.clone();
    drop(region);
    assert!(other.pin(0, 1).is_ok());
    assert_eq!(released.load(Ordering::SeqCst), 0);
    drop(other);
    assert_eq!(released.load(Ordering::SeqCst), 1);
}

#[test]
fn deregister_waits_until_nothing_is_in_flight() {
    let (region, released) = counted(64);
    let in_flight = InFlight::launch(region.desc(0, 8).unwrap()).unwrap();
    let gone = thread::scope(|scope| {
        let gone = scope.spawn(|| {
            region.deregister().wait().unwrap();
            released.load(Ordering::SeqCst)
        });
        // The region refuses pins as soon as its deregistration is requested.
        while region.pin(0, 1).is_ok() {
            thread::yield_now();
        }
        let leaving = Error::Leaving { region_id: region.id() };
        assert_eq!(InFlight::launch(region.desc(0, 8).unwrap()).unwrap_err(), leaving);
        assert_eq!(released.load(Ordering::SeqCst), 0);
        drop(in_flight);
        gone.join().unwrap()
    });
    assert_eq!(gone, 1, "the memory is released before the wait ends");
    region.deregister().wait().unwrap();
    drop(region);
    assert_eq!(released.load(Ordering::SeqCst), 1);
}

#[test]
#[cfg_attr(miri, ignore = "the timer's thread outlives the test")]
fn deregister_gives_up_in_time_and_may_be_called_again() {
    let (region, released) = counted(64);
    let pinned = region.pin(0, 1).unwrap();
    let wait = region.deregister().timeout(Duration::from_millis(1));
    assert_eq!(wait.wait(), Err(DeregisterError::TimedOut));
    let wait = region.deregister().timeout(Duration::from_millis(1));
    assert_eq!(future::block_on(wait), Err(DeregisterError::TimedOut));
    let token = Token::new();
    token.cancel();
    assert_eq!(region.deregister().cancel_on(&token).wait(), Err(DeregisterError::Cancelled));
    let wait = region.deregister().cancel_on(&token).timeout(Duration::from_secs(60));
    assert_eq!(future::block_on(wait), Err(DeregisterError::Cancelled));
    assert_eq!(released.load(Ordering::SeqCst), 0);
    drop(pinned);
    assert_eq!(released.load(Ordering::SeqCst), 1, "without a waiting operation");
    assert_eq!(future::block_on(region.deregister()), Ok(()));
}

#[test]
fn a_cancel_ends_a_parked_wait() {
    let region = region(8);
    let _pinned = region.pin(0, 1).unwrap();
    let token = Token::new();
    thread::scope(|scope| {
        let waits = scope.spawn(|| region.deregister().cancel_on(&token).wait());
        token.cancel();
        assert_eq!(waits.join().unwrap(), Err(DeregisterError::Cancelled));
    });
}

#[test]
fn a_revoked_region_translates_nothing_and_stays() {
    let region = Region::filled(b"0123456789", Meta::default()).unwrap();
    let pinned = region.pin(0, 4).unwrap();
    let in_flight = InFlight::launch(region.desc(4, 4).unwrap()).unwrap();
    region.revoke();
    let revoked = Error::Revoked { region_id: region.id() };
    assert_eq!(region.pin(0, 1).unwrap_err(), revoked);
    assert_eq!(InFlight::launch(region.desc(0, 1).unwrap()).unwrap_err(), revoked);
    assert_eq!(pinned.as_slice(), Some(&b"0123"[..]), "what was pinned stays");
    assert_eq!(Pinned::of(&in_flight.land()).unwrap_err(), revoked);
    drop(pinned);
    region.deregister().wait().unwrap();
    assert!(matches!(region.pin(0, 1), Err(Error::Stale { .. })));
}

#[test]
fn a_release_that_panics_does_not_propagate() {
    let mut byte = Box::new(0_u8);
    let at = NonNull::from(&mut *byte);
    // SAFETY: the box outlives the region.
    let region =
        unsafe { Region::foreign(at, 1, Meta::default(), || panic!("meant to be seen here")) };
    let region = region.unwrap();
    region.deregister().wait().unwrap();
}

#[test]
fn a_strict_region_refuses_an_unaligned_offset() {
    let meta = Meta { align: 8, check: Check::Strict, ..Meta::default() };
    let region = Region::heap(64, meta).unwrap();
    assert_eq!(region.pin(4, 8).unwrap_err(), Error::Misaligned { offset: 4, align: 8 });
    let desc = Desc::in_region(region.id(), 4, 8).unwrap();
    assert_eq!(InFlight::launch(desc).unwrap_err(), Error::Misaligned { offset: 4, align: 8 });
}

#[test]
fn regions_of_no_bytes_or_invalid_alignment_are_refused() {
    assert_eq!(Region::heap(0, Meta::default()).unwrap_err(), Error::Empty);
    assert_eq!(Region::filled(b"", Meta::default()).unwrap_err(), Error::Empty);
    let crooked = Meta { align: 3, ..Meta::default() };
    assert_eq!(Region::heap(8, crooked).unwrap_err(), Error::BadAlignment { align: 3 });
    assert!(matches!(Region::heap(usize::MAX, Meta::default()), Err(Error::System { .. })));
}

#[test]
fn a_pool_keeps_its_region_until_the_last_block_is_back() {
    let (region, released) = counted(4096);
    let pool = Pool::new(&region, &[Class { block_bytes: 64, blocks: 4 }]).unwrap();
    let lease = pool.try_lease(8).unwrap();
    let token = Token::new();
    token.cancel();
    assert!(region.deregister().cancel_on(&token).wait().is_err());
    drop(pool);
    let block = lease.freeze();
    assert_eq!(released.load(Ordering::SeqCst), 0);
    drop(block);
    assert_eq!(released.load(Ordering::SeqCst), 1);
    region.deregister().wait().unwrap();
}

/// Threads pin, launch, land and drop while the region is deregistered. Its memory is released
/// once, and never while a pin exists.
#[test]
fn the_memory_is_released_exactly_once_by_the_last_pin() {
    let rounds = if cfg!(miri) { 4 } else { 300 };
    for _ in 0..rounds {
        let (region, released) = counted(256);
        let id = region.id();
        thread::scope(|scope| {
            for _ in 0..3 {
                let released = &released;
                let region = region.clone();
                scope.spawn(move || {
                    for at in 0..if cfg!(miri) { 10 } else { 200 } {
                        let desc = region.desc(at, 8).unwrap();
                        let Ok(in_flight) = InFlight::launch(desc) else { break };
                        let Ok(pinned) = Pinned::of(&desc) else { break };
                        assert_eq!(released.load(Ordering::SeqCst), 0);
                        // SAFETY: the test never writes these bytes.
                        assert_eq!(unsafe { pinned.as_slice_unchecked() }, [0; 8]);
                        drop((in_flight, pinned));
                    }
                });
            }
            scope.spawn(|| region.deregister().wait().unwrap());
        });
        assert_eq!(released.load(Ordering::SeqCst), 1);
        let desc = Desc::in_region(id, 0, 1).unwrap();
        assert_eq!(Pinned::of(&desc).unwrap_err(), Error::Stale { region_id: id });
    }
}
