// SPDX-License-Identifier: BSD-3-Clause
//! Plugins whose `handle` calls the host, which calls a plugin.

use std::sync::{Arc, OnceLock};

use becket_abi::NrStatus;
use becket_host::{CallError, Dispatch, Host, Plugin};

use crate::support::{
    assert_adds_up,
    script::Script,
    unload_clean,
    wait::{Mailbox, wait},
};

#[test]
fn each_answer_goes_to_its_own_call_though_they_are_nested() {
    let host = Host::new();
    let (inner, _) = Script::new(|api, call| {
        assert_eq!(api.state_get(call.sid, "caller"), Err(NrStatus::Err));
        let answer = [b"inner ", call.payload].concat();
        api.send(call.sid, NrStatus::Ok, &answer)
    })
    .load_with(&host, "inner", |spec| spec.dispatch(Dispatch::Caller));
    let called = inner.clone();
    let (outer, _) = Script::new(move |api, call| {
        assert_eq!(api.state_set(call.sid, "caller", b"outer"), NrStatus::Ok);
        let now = called.call_now("x", call.payload).unwrap();
        let awaited = wait(called.call_raw("x", call.payload)).unwrap();
        assert_eq!(*now.body, *awaited.body);
        assert_eq!(api.state_get(call.sid, "caller").unwrap(), b"outer", "the outer call's own");
        let answer = [b"outer ", &*awaited.body].concat();
        api.send(call.sid, NrStatus::Ok, &answer)
    })
    .load_with(&host, "outer", |spec| spec.dispatch(Dispatch::Caller));
    assert_eq!(*wait(outer.call_raw("x", b"a")).unwrap().body, *b"outer inner a");
    assert_eq!(*outer.call_now("x", b"b").unwrap().body, *b"outer inner b");
    assert_adds_up(&inner);
    assert_adds_up(&outer);
    assert_eq!(inner.snapshot().calls, 4);
    unload_clean(&host, &outer);
    unload_clean(&host, &inner);
}

#[test]
fn a_plugin_that_calls_itself_is_stopped_at_the_bound() {
    let host = Host::new();
    let me: Arc<OnceLock<Plugin>> = Arc::default();
    let depths = Mailbox::new();
    let (own, to_test) = (me.clone(), depths.clone());
    let script = Script::new(move |api, call| {
        let plugin = own.get().unwrap();
        match plugin.call_now("x", b"") {
            Err(CallError::TooDeep { depth_max }) => {
                to_test.put(depth_max);
                let stream = wait(plugin.stream("x", becket_host::Request::default()));
                assert!(matches!(stream, Err(CallError::TooDeep { .. })));
                assert!(matches!(plugin.notify("x", b""), Err(CallError::TooDeep { .. })));
            }
            result => assert!(result.unwrap().status.is_ok()),
        }
        api.send(call.sid, NrStatus::Ok, b"")
    });
    let (plugin, _) = script.load(&host, "recursive");
    me.set(plugin.clone()).unwrap();
    plugin.call_now("x", b"").unwrap();
    assert_eq!(plugin.snapshot().ok, depths.take() as u64);
    assert!(depths.take_all().is_empty());
    assert_adds_up(&plugin);
    unload_clean(&host, &plugin);
}
