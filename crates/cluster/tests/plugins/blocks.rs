// SPDX-License-Identifier: BSD-3-Clause
//! A plugin that declares that it never blocks, was quick a thousand times, and blocks: its node goes on.

use std::task::Poll;
use std::time::Duration;

use becket_cluster::offer;
use becket_host::{CallError, Host, Limits, NrStatus, Plugin, Request};
use futures_lite::future::block_on;

use crate::nodes::{Server, load};
use crate::support::script::Script;
use crate::support::wait::{Mailbox, Tally, poll_once, until, wait};

const QUICK: u32 = 1000;
/// For what is answered in a moment.
const IN_TIME: Duration = Duration::from_secs(20);

/// Calls, one after the other, that are answered.
fn calls(plugin: &Plugin, count: u32) {
    for at in 0..count {
        let payload = at.to_le_bytes();
        let answer = wait(plugin.call_raw("quick", &payload).timeout(IN_TIME)).unwrap();
        assert_eq!(*answer.body, payload);
    }
}

#[test]
fn a_plugin_that_blocks_against_its_word_holds_its_own_call_alone() {
    const BLOCKED: usize = 4;
    let server = Server::start();
    let gate = Tally::new();
    let (entered, noted, cancelled) = (Mailbox::new(), Mailbox::new(), Mailbox::new());
    let (to_gate, to_entered, to_noted) = (gate.clone(), entered.clone(), noted.clone());
    let to_cancelled = cancelled.clone();
    let script = Script::new(move |api, call| match call.entry {
        "blocks" => {
            to_entered.put(());
            to_gate.reach(1);
            api.send(call.sid, NrStatus::Ok, b"")
        }
        "silent" | "stream" => {
            to_noted.put(call.sid);
            NrStatus::Ok
        }
        _ => api.send(call.sid, NrStatus::Ok, call.payload),
    })
    .never_blocks()
    .on_data(|api, sid, data| api.send(sid, NrStatus::Ok, data))
    .on_close(|api, sid| api.send(sid, NrStatus::StreamEnd, b""))
    .on_cancel(move |_, sid| {
        to_cancelled.put(sid);
        NrStatus::Ok
    });
    // One node, with one connection for both plugins.
    let (node, connection) = (Host::new(), server.connect());
    let limits = Limits { drain_ms: 200, ..Limits::default() };
    let (liar, _) = script.load_with(&node, "liar", |spec| spec.limits(limits));
    let (other, _) = Script::echo().never_blocks().load(&node, "other");
    let offers = [&liar, &other].map(|plugin| block_on(offer(&connection, plugin)).unwrap());
    let (host, connection) = (Host::new(), server.connect());
    let (plugin, other) = (load(&host, &connection, "liar"), load(&host, &connection, "other"));

    calls(&plugin, QUICK);
    let mut stream = wait(plugin.stream("stream", Request::default())).unwrap();
    noted.take();
    let mut silent = plugin.call_raw("silent", b"").timeout(Duration::from_secs(600));
    assert!(poll_once(&mut silent).is_pending());
    let silent_sid = noted.take();
    let blocked = (0..BLOCKED).map(|_| {
        let mut call = plugin.call_raw("blocks", b"").timeout(Duration::from_millis(500));
        assert!(matches!(poll_once(&mut call), Poll::Pending));
        entered.take();
        call
    });
    let blocked: Vec<_> = blocked.collect();

    // Its calls, streams, notifications and cancellations go on, and the other plugin's calls.
    for _ in 0..10 {
        calls(&plugin, 10);
        calls(&other, 10);
    }
    for at in 0..100_u32 {
        wait(stream.send(&at.to_le_bytes())).unwrap();
        let frame = wait(stream.next()).unwrap().unwrap();
        assert_eq!(*frame.body, at.to_le_bytes());
    }
    stream.close().unwrap();
    assert!(wait(stream.next()).unwrap().is_none());
    plugin.notify("silent", b"").unwrap();
    noted.take();
    drop(silent);
    // On a busy machine the deadlines of those that block have passed before, which cancels them.
    while cancelled.take() != silent_sid {}

    // It still blocks; its callers are freed.
    for call in blocked {
        let ended = wait(call);
        assert!(matches!(ended, Err(CallError::DeadlineExceeded)), "{ended:?}");
    }
    calls(&plugin, 10);
    until(|| offers.iter().all(|offer| offer.in_hand() == 0));
    gate.add();
}
