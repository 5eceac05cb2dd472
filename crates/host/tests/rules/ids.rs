// SPDX-License-Identifier: BSD-3-Clause
//! An id leads to the one call it was given to, while that call is open, for its own plugin.

use std::collections::HashSet;

use becket_abi::NrStatus;
use becket_host::{Dispatch, Host, Limits};

use crate::support::{
    assert_adds_up, counted,
    script::Script,
    unload_clean,
    wait::{Mailbox, poll_once, wait},
};

/// A plugin that answers nothing and tells the test its ids.
fn silent(ids: &std::sync::Arc<Mailbox<u64>>) -> Script {
    let ids = ids.clone();
    Script::new(move |_, call| {
        ids.put(call.sid);
        NrStatus::Ok
    })
}

/// A fast generator (G. Marsaglia, "Xorshift RNGs", 2003).
fn random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

#[test]
fn a_million_random_ids_reach_no_call() {
    let host = Host::new();
    let ids = Mailbox::new();
    // The calls are open for as long as the forging takes.
    let limits = Limits { deadline_ms: 0, ..Limits::default() };
    let (plugin, api) = silent(&ids)
        .load_with(&host, "silent", |spec| spec.dispatch(Dispatch::Caller).limits(limits));
    let mut calls: Vec<_> = (0..100).map(|_| plugin.call_raw("x", b"")).collect();
    assert!(calls.iter_mut().all(|call| poll_once(call).is_pending()));
    let open = [(); 100].map(|()| ids.take());

    let mut state = 0x9e37_79b9_7f4a_7c15;
    for at in 0..1_000_000 {
        let mut sid = random(&mut state);
        if at % 2 == 0 {
            // The harder half: ids that differ from an open one in its generation alone.
            sid = (sid & !0xf_ffff & !(1 << 63)) | (open[at % open.len()] & 0xf_ffff);
        }
        assert_eq!(api.send(sid, NrStatus::Ok, b"forged"), NrStatus::Invalid);
    }
    counted(&plugin, |snapshot| {
        let refused = snapshot.refused_answers;
        refused.unknown + refused.late == 1_000_000
    });
    assert_eq!(plugin.snapshot().refused_answers.foreign, 0);

    for sid in open {
        assert_eq!(api.send(sid, NrStatus::Ok, b"real"), NrStatus::Ok);
    }
    for call in calls {
        assert_eq!(*wait(call).unwrap().body, *b"real");
    }
    assert_adds_up(&plugin);
    unload_clean(&host, &plugin);
}

#[test]
fn another_plugins_id_is_foreign() {
    let host = Host::new();
    let ids = Mailbox::new();
    let (victim, own) = silent(&ids).load(&host, "victim");
    let (thief, other) = Script::echo().load(&host, "thief");
    let mut call = victim.call_raw("x", b"");
    assert!(poll_once(&mut call).is_pending());
    let sid = ids.take();
    assert_eq!(other.send(sid, NrStatus::Ok, b"stolen"), NrStatus::Invalid);
    assert_eq!(other.state_set(sid, "k", b"v"), NrStatus::Invalid);
    assert!(other.is_cancelled(sid));
    assert_eq!(other.lease(sid, 8).token, 0);
    counted(&thief, |snapshot| snapshot.refused_answers.foreign == 3);
    assert_eq!(victim.snapshot().refused_answers, Default::default());
    assert_eq!(own.send(sid, NrStatus::Ok, b"own"), NrStatus::Ok);
    assert_eq!(*wait(call).unwrap().body, *b"own");

    let mut stream = wait(victim.stream("x", becket_host::Request::default())).unwrap();
    let sid = ids.take();
    assert_eq!(other.send(sid, NrStatus::Ok, b"stolen"), NrStatus::Invalid);
    assert_eq!(other.stream_ready(sid), NrStatus::Invalid);
    assert_eq!(own.send(sid, NrStatus::StreamEnd, b""), NrStatus::Ok);
    assert!(wait(stream.next()).unwrap().is_none());
    drop(stream);
    unload_clean(&host, &victim);
    unload_clean(&host, &thief);
}

#[test]
fn an_id_is_never_given_out_twice_though_its_place_is_used_again() {
    const CALLS: usize = 10_000;
    let host = Host::new();
    let ids = Mailbox::new();
    let (plugin, api) =
        silent(&ids).load_with(&host, "silent", |spec| spec.dispatch(Dispatch::Caller));
    let mut stale = Vec::new();
    for _ in 0..CALLS {
        let mut call = plugin.call_raw("x", b"");
        assert!(poll_once(&mut call).is_pending());
        let sid = ids.take();
        assert_eq!(api.send(sid, NrStatus::Ok, b""), NrStatus::Ok);
        wait(call).unwrap();
        stale.push(sid);
    }
    let places: HashSet<u64> = stale.iter().map(|sid| sid & 0xf_ffff).collect();
    assert!(places.len() < CALLS / 10, "{} places for {CALLS} calls", places.len());
    assert_eq!(stale.iter().collect::<HashSet<_>>().len(), CALLS);

    let mut open = plugin.call_raw("x", b"");
    assert!(poll_once(&mut open).is_pending());
    let current = ids.take();
    for sid in &stale {
        assert_eq!(api.send(*sid, NrStatus::Ok, b"stale"), NrStatus::Invalid);
    }
    counted(&plugin, |snapshot| snapshot.refused_answers.late == CALLS as u64);
    assert_eq!(api.send(current, NrStatus::Ok, b"fresh"), NrStatus::Ok);
    assert_eq!(*wait(open).unwrap().body, *b"fresh");
    assert_adds_up(&plugin);
}
