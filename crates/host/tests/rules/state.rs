// SPDX-License-Identifier: BSD-3-Clause
//! State is of one plugin and one call, bounded, and gone when the call ends however it ends.

use becket_abi::NrStatus;
use becket_host::{Dispatch, Host, Limits, Request};

use crate::support::{
    counted,
    script::{Api, Script},
    unload_clean,
    wait::{Mailbox, poll_once, until, wait},
};
use crate::{IS_INLINE, WAY};

/// Sets the payload as the call's state; `silent` leaves the call open.
fn keeping(ids: &std::sync::Arc<Mailbox<u64>>) -> Script {
    let ids = ids.clone();
    Script::new(move |api: &Api, call| {
        assert_eq!(api.state_get(call.sid, "key"), Err(NrStatus::Err), "of an earlier call");
        assert_eq!(api.state_set(call.sid, "key", b"first"), NrStatus::Ok);
        assert_eq!(api.state_set(call.sid, "key", call.payload), NrStatus::Ok);
        assert_eq!(api.state_set(call.sid, "other", b"x"), NrStatus::Ok);
        let value = api.state_get(call.sid, "key").unwrap();
        assert_eq!(value, call.payload);
        ids.put(call.sid);
        if call.entry == "silent" { NrStatus::Ok } else { api.send(call.sid, NrStatus::Ok, &value) }
    })
}

#[test]
fn state_is_read_back_inside_every_kind_of_call_and_gone_after_it() {
    for dispatch in [Dispatch::Caller, Dispatch::Worker] {
        let host = Host::new();
        let ids = Mailbox::new();
        let (plugin, api) = keeping(&ids).load_with(&host, "state", |s| s.dispatch(dispatch));
        for at in 0..100_u8 {
            assert_eq!(*wait(plugin.call_raw("x", &[at])).unwrap().body, [at]);
            if IS_INLINE {
                assert_eq!(*plugin.call_now("x", &[at]).unwrap().body, [at]);
            }
            let mut stream = wait(plugin.stream("x", Request::new(vec![at]))).unwrap();
            assert_eq!(*wait(stream.next()).unwrap().unwrap().body, [at]);
        }
        for sid in ids.take_all() {
            until(|| api.is_cancelled(sid));
            assert_eq!(api.state_get(sid, "key"), Err(NrStatus::Invalid));
            assert_eq!(api.state_set(sid, "key", b"late"), NrStatus::Invalid);
        }
        unload_clean(&host, &plugin);
    }
}

#[test]
fn state_lives_until_the_call_ends_by_answer_deadline_or_departure() {
    let host = Host::new();
    let ids = Mailbox::new();
    let (plugin, api) =
        keeping(&ids).load_with(&host, "state", |spec| spec.dispatch(Dispatch::Caller));
    let gone = |sid| {
        until(|| IS_INLINE || api.is_cancelled(sid));
        assert_eq!(api.state_get(sid, "key"), Err(NrStatus::Invalid));
        assert_eq!(api.state_set(sid, "key", b"late"), NrStatus::Invalid);
    };

    let mut call = plugin.call_raw("silent", b"a");
    assert!(poll_once(&mut call).is_pending());
    let sid = ids.take();
    assert_eq!(api.state_get(sid, "key").unwrap(), b"a", "from another function, later");
    assert_eq!(api.send(sid, NrStatus::Ok, b""), NrStatus::Ok);
    wait(call).unwrap();
    gone(sid);

    wait(plugin.call_raw("silent", b"b").timeout(WAY)).unwrap_err();
    gone(ids.take());

    let mut call = plugin.call_raw("silent", b"c");
    assert!(poll_once(&mut call).is_pending());
    let sid = ids.take();
    drop(call);
    gone(sid);

    let stream = wait(plugin.stream("silent", Request::new("d"))).unwrap();
    let sid = ids.take();
    assert_eq!(api.state_get(sid, "key").unwrap(), b"d");
    drop(stream);
    gone(sid);
    unload_clean(&host, &plugin);
}

#[test]
fn state_is_bounded() {
    let host = Host::new();
    let script = Script::new(|api, call| {
        assert_eq!(api.state_set(call.sid, "key", b"12345678"), NrStatus::Backpressure);
        assert_eq!(api.state_set(call.sid, "key", b"1234567"), NrStatus::Ok);
        assert_eq!(api.state_set(call.sid, "k", b""), NrStatus::Backpressure);
        assert_eq!(api.state_get(call.sid, "key").unwrap(), b"1234567", "as it was");
        api.send(call.sid, NrStatus::Ok, b"")
    });
    let limits = Limits { state_bytes_max: 10, ..Limits::default() };
    let (plugin, _) = script.load_with(&host, "state", |spec| spec.limits(limits));
    assert!(wait(plugin.call_raw("x", b"")).unwrap().status.is_ok());
    if IS_INLINE {
        assert!(plugin.call_now("x", b"").unwrap().status.is_ok());
    }
    let refused = if IS_INLINE { 4 } else { 2 };
    counted(&plugin, |snapshot| snapshot.resources_refused == refused);
}
