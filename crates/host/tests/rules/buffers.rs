// SPDX-License-Identifier: BSD-3-Clause
//! Leases are good once; owned bytes are released exactly once, also when they are refused.

use std::{
    ffi::c_void,
    ptr,
    sync::{Arc, OnceLock},
    thread::{self, ThreadId},
};

use becket_abi::{NrOwnedBytes, NrStatus};
use becket_host::{Dispatch, Host, Limits, Request};
use parking_lot::Mutex;

use crate::support::{
    counted,
    script::{Api, Script},
    unload_clean,
    wait::{Mailbox, Tally, poll_once, until, wait},
};
use crate::{FRAMES_BETWEEN, IS_INLINE};

fn silent(ids: &Arc<Mailbox<u64>>) -> Script {
    let ids = ids.clone();
    Script::new(move |_, call| {
        ids.put(call.sid);
        NrStatus::Ok
    })
}

/// Writes `bytes` into a lease of call `sid`; returns its token.
fn write(api: &Api, sid: u64, bytes: &[u8]) -> u64 {
    let lease = api.lease(sid, bytes.len() as u64 + 8);
    assert!(!lease.ptr.is_null() && lease.token != 0 && lease.cap >= bytes.len() as u64 + 8);
    // SAFETY: the lease has `cap` writable bytes, and is ours until it is committed.
    unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), lease.ptr, bytes.len()) };
    lease.token
}

#[test]
fn an_answer_is_written_in_place() {
    let host = Host::new();
    let script = Script::new(|api, call| {
        let token = write(api, call.sid, call.payload);
        let len = call.payload.len() as u64;
        assert_eq!(api.commit(call.sid, token, len + 9), NrStatus::Invalid, "beyond its end");
        assert_eq!(api.commit(call.sid, token ^ 1 << 40, len), NrStatus::Invalid, "made up");
        assert_eq!(api.commit(call.sid, token, len), NrStatus::Ok);
        assert_eq!(api.commit(call.sid, token, len), NrStatus::Invalid, "over");
        assert_eq!(api.release(token), NrStatus::Invalid, "over");
        NrStatus::Ok
    });
    let (plugin, _) = script.load(&host, "leases");
    for len in [1, 64, 65, 100_000] {
        let payload = vec![len as u8; len];
        assert_eq!(*wait(plugin.call_raw("x", &payload)).unwrap().body, *payload);
        if IS_INLINE {
            assert_eq!(*plugin.call_now("x", &payload).unwrap().body, *payload);
        }
    }
    // The last answer is out before its handler has tried what is refused.
    let refused = if IS_INLINE { 8 * 3 } else { 4 * 3 };
    counted(&plugin, |snapshot| snapshot.refused_answers.invalid >= refused);
    unload_clean(&host, &plugin);
    assert_eq!(plugin.snapshot().refused_answers.invalid, refused);
}

#[test]
fn leases_are_bounded_in_number_and_bytes_and_a_released_one_makes_room() {
    let host = Host::new();
    let ids = Mailbox::new();
    let limits = Limits { leases_max: 2, lease_bytes_max: 1024, ..Limits::default() };
    let (plugin, api) =
        silent(&ids).load_with(&host, "leases", |s| s.limits(limits).dispatch(Dispatch::Caller));
    let mut call = plugin.call_raw("x", b"");
    assert!(poll_once(&mut call).is_pending());
    let sid = ids.take();
    for cap in [0, 1025, 1 << 63, u64::MAX] {
        let lease = api.lease(sid, cap);
        assert!(lease.ptr.is_null() && lease.cap == 0 && lease.token == 0, "{cap} bytes");
    }
    let tokens = [api.lease(sid, 1024).token, api.lease(sid, 1).token];
    assert_eq!(api.lease(sid, 1).token, 0, "one too many");
    assert_eq!(api.release(tokens[0]), NrStatus::Ok);
    assert_eq!(api.release(tokens[0]), NrStatus::Invalid);
    let token = api.lease(sid, 4).token;
    assert!(token != 0 && !tokens.contains(&token));
    assert_eq!(api.commit(sid, tokens[1], 1), NrStatus::Ok);
    assert_eq!(wait(call).unwrap().body.len(), 1);
    assert_eq!(api.commit(sid, token, 1), NrStatus::Invalid, "the call is over");
    assert_eq!(api.lease(sid, 1).token, 0, "the call is over");
    unload_clean(&host, &plugin);
    assert_eq!(plugin.snapshot().resources_refused, 5);
}

#[test]
fn a_lease_that_is_not_given_back_stays_written_to_after_the_plugins_end() {
    let host = Host::new();
    let script = Script::new(|api, call| {
        let lease = api.lease(call.sid, 4096);
        let place =
            [lease.ptr.expose_provenance().to_le_bytes(), lease.token.to_le_bytes()].concat();
        api.send(call.sid, NrStatus::Ok, &place)
    });
    let (plugin, api) = script.load(&host, "leases");
    let place = wait(plugin.call_raw("x", b"")).unwrap().body.to_vec();
    unload_clean(&host, &plugin);
    let word = |at| u64::from_le_bytes(place[at..at + 8].try_into().unwrap());
    let (address, token) = (word(0) as usize, word(8));
    // A thread that outlives `shutdown` goes on writing.
    // SAFETY: the lease has 4096 bytes, and was not given back.
    unsafe { ptr::write_bytes(ptr::with_exposed_provenance_mut::<u8>(address), 7, 4096) };
    assert_eq!(api.release(token), NrStatus::Ok, "it was still the plugin's");
    assert_eq!(api.release(token), NrStatus::Invalid);
}

#[test]
fn a_lease_that_meets_a_full_queue_stays_good() {
    let host = Host::new();
    let ids = Mailbox::new();
    let limits = Limits { stream_frames_max: 1, ..Limits::default() };
    let (plugin, api) = silent(&ids).load_with(&host, "leases", |spec| spec.limits(limits));
    let mut stream = wait(plugin.stream("x", Request::default())).unwrap();
    let sid = ids.take();
    let mut before = 0;
    let last = loop {
        let token = write(&api, sid, b"before");
        match api.commit(sid, token, 6) {
            NrStatus::Ok => before += 1,
            status => break (token, status),
        }
    };
    assert_eq!(last.1, NrStatus::Backpressure);
    assert!(before <= 1 + FRAMES_BETWEEN, "{before} frames are held");
    assert_eq!(*wait(stream.next()).unwrap().unwrap().body, *b"before");
    until(|| api.commit(sid, last.0, 4) == NrStatus::Ok);
    for _ in 1..before {
        assert_eq!(*wait(stream.next()).unwrap().unwrap().body, *b"before");
    }
    assert_eq!(*wait(stream.next()).unwrap().unwrap().body, *b"befo");
    drop(stream);
    unload_clean(&host, &plugin);
}

/// Bytes of the plugin whose release counts.
struct Owned {
    bytes: Vec<u8>,
    released: Arc<Tally>,
}

fn owned(bytes: &[u8], released: &Arc<Tally>) -> NrOwnedBytes {
    let owned = Box::new(Owned { bytes: bytes.to_vec(), released: released.clone() });
    let (ptr, len) = (owned.bytes.as_ptr(), owned.bytes.len() as u64);
    NrOwnedBytes { ptr, len, owner_ctx: Box::into_raw(owned).cast(), release: Some(release) }
}

unsafe extern "C" fn release(owner_ctx: *mut c_void, ptr: *const u8, len: u64) {
    // SAFETY: made by `owned`; the host releases once, which the address sanitizer of a run with
    // it would contradict.
    let owned = unsafe { Box::from_raw(owner_ctx.cast::<Owned>()) };
    assert_eq!((owned.bytes.as_ptr(), owned.bytes.len() as u64), (ptr, len));
    owned.released.add();
}

#[test]
fn owned_bytes_are_read_in_place_and_released_with_their_last_reader() {
    let host = Host::new();
    let ids = Mailbox::new();
    let (plugin, api) = silent(&ids).load(&host, "owner");
    let released = Tally::new();
    for len in [0, 1, 64, 5000] {
        let before = released.get();
        let bytes = vec![7; len];
        let payload = owned(&bytes, &released);
        let place = payload.ptr;
        let mut call = plugin.call_raw("x", b"");
        assert!(poll_once(&mut call).is_pending());
        assert_eq!(api.send_owned(ids.take(), NrStatus::Ok, payload), NrStatus::Ok);
        if !IS_INLINE {
            // Read by the session alone.
            released.reach(before + 1);
            assert_eq!(*wait(call).unwrap().body, *bytes);
            assert_eq!(released.get(), before + 1);
            continue;
        }
        let body = wait(call).unwrap().body;
        assert_eq!((body.as_ptr(), &*body), (place, &*bytes), "no copy");
        let copy = body.clone();
        let shared = body.into_bytes();
        let another = shared.clone();
        drop(shared);
        assert_eq!(released.get(), before, "still read");
        drop(another);
        released.reach(before + 1);
        assert_eq!(*copy, *bytes, "a clone is its own");
        drop(copy);
        assert_eq!(released.get(), before + 1);
    }
    unload_clean(&host, &plugin);
}

#[test]
fn a_release_that_blocks_holds_no_reader() {
    static GATE: OnceLock<Arc<Tally>> = OnceLock::new();
    static RELEASED_ON: Mutex<Vec<ThreadId>> = Mutex::new(Vec::new());
    unsafe extern "C" fn release(_: *mut c_void, _: *const u8, _: u64) {
        GATE.get().unwrap().reach(1);
        RELEASED_ON.lock().push(thread::current().id());
    }
    let gate = GATE.get_or_init(Tally::new);
    let host = Host::new();
    let ids = Mailbox::new();
    let (plugin, api) = silent(&ids).load(&host, "blocks");
    // More than there are workers: none of the drops waits for one. In its own process they are released
    // by workers before their callers have them.
    const BODIES: usize = if IS_INLINE { 40 } else { 20 };
    let bodies: Vec<_> = (0..BODIES)
        .map(|_| {
            let mut call = plugin.call_raw("x", b"");
            assert!(poll_once(&mut call).is_pending());
            let payload = NrOwnedBytes {
                ptr: b"static".as_ptr(),
                len: 6,
                owner_ctx: ptr::null_mut(),
                release: Some(release),
            };
            assert_eq!(api.send_owned(ids.take(), NrStatus::Ok, payload), NrStatus::Ok);
            wait(call).unwrap().body
        })
        .collect();
    drop(bodies);
    gate.add();
    unload_clean(&host, &plugin);
    let released_on = RELEASED_ON.lock();
    assert_eq!(released_on.len(), BODIES);
    assert!(!released_on.contains(&thread::current().id()));
}

/// Also where there is nothing to read, and it may be null.
#[test]
fn a_release_gets_the_pointer_that_the_plugin_gave() {
    static RELEASED: Mutex<Vec<(usize, u64)>> = Mutex::new(Vec::new());
    unsafe extern "C" fn release(_: *mut c_void, ptr: *const u8, len: u64) {
        RELEASED.lock().push((ptr.addr(), len));
    }
    let host = Host::new();
    let ids = Mailbox::new();
    let (plugin, api) = silent(&ids).load(&host, "empty");
    let mut call = plugin.call_raw("x", b"");
    assert!(poll_once(&mut call).is_pending());
    let payload = NrOwnedBytes { release: Some(release), ..NrOwnedBytes::EMPTY };
    assert!(payload.ptr.is_null());
    assert_eq!(api.send_owned(ids.take(), NrStatus::Ok, payload), NrStatus::Ok);
    assert_eq!(*wait(call).unwrap().body, *b"");
    unload_clean(&host, &plugin);
    assert_eq!(*RELEASED.lock(), [(0, 0)]);
}

#[test]
fn owned_bytes_that_nobody_reads_are_released_once() {
    let host = Host::new();
    let ids = Mailbox::new();
    let limits = Limits { payload_bytes_max: 100, stream_frames_max: 1, ..Limits::default() };
    let (plugin, api) = silent(&ids).load_with(&host, "owner", |spec| spec.limits(limits));
    let released = Tally::new();
    let send = |sid, bytes: &[u8]| api.send_owned(sid, NrStatus::Ok, owned(bytes, &released));

    // To no call, too long, twice, to a caller that left before it looked.
    assert_eq!(send(0x1234_5678, b"x"), NrStatus::Invalid);
    assert_eq!(released.get(), 1);
    let mut call = plugin.call_raw("x", b"");
    assert!(poll_once(&mut call).is_pending());
    let sid = ids.take();
    assert_eq!(send(sid, &[0; 101]), NrStatus::TooLong);
    assert_eq!(released.get(), 2);
    drop(call);
    let mut call = plugin.call_raw("x", b"");
    assert!(poll_once(&mut call).is_pending());
    let sid = ids.take();
    assert_eq!(send(sid, b"answer"), NrStatus::Ok);
    assert_eq!(send(sid, b"again"), NrStatus::Invalid);
    assert!(IS_INLINE.then(|| released.get()).is_none_or(|now| now == 3));
    drop(call);
    released.reach(4);

    // Backpressure leaves them the plugin's; a stream that is dropped releases what is queued.
    let mut stream = wait(plugin.stream("x", Request::default())).unwrap();
    let sid = ids.take();
    let fill = || {
        let mut sent = 0;
        loop {
            let bytes = owned(b"queued", &released);
            match api.send_owned(sid, NrStatus::Ok, bytes) {
                NrStatus::Ok => sent += 1,
                status => {
                    assert_eq!(status, NrStatus::Backpressure);
                    break (sent, bytes);
                }
            }
        }
    };
    let (mut sent, kept) = fill();
    assert!((1..=1 + FRAMES_BETWEEN).contains(&sent), "{sent} frames are held");
    drop(wait(stream.next()).unwrap());
    until(|| api.send_owned(sid, NrStatus::Ok, kept) == NrStatus::Ok);
    let (more, _kept) = fill();
    sent += 1 + more;
    assert_eq!(api.send_owned(sid, NrStatus::StreamEnd, owned(b"end", &released)), NrStatus::Ok);
    assert!(released.get() < 4 + sent + 1);
    drop(stream);
    released.reach(4 + sent + 1);

    // A length without an address.
    let null = NrOwnedBytes { len: 8, ..NrOwnedBytes::EMPTY };
    let mut call = plugin.call_raw("x", b"");
    assert!(poll_once(&mut call).is_pending());
    assert_eq!(api.send_owned(ids.take(), NrStatus::Ok, null), NrStatus::Invalid);
    drop(call);
    unload_clean(&host, &plugin);
    assert_eq!(released.get(), 4 + sent + 1, "each once");
}
