// SPDX-License-Identifier: BSD-3-Clause
//! A plugin whose handlers wait can be unloaded and reloaded, whatever they do.

use becket_host::{CallError, Limits, Request, StreamError};

use crate::{
    IS_INLINE, Waits, spec,
    support::{
        logs,
        native::images,
        wait::{poll_once, wait},
    },
};

fn impatient() -> Limits {
    Limits { drain_ms: 50, ..Limits::default() }
}

#[test]
fn an_unload_cancels_what_outlasts_the_drain() {
    let waits = Waits::load_with("outlasts", impatient());
    let mut call = waits.plugin.call_raw("wait", b"");
    assert!(poll_once(&mut call).is_pending());
    let mut stream = wait(waits.plugin.stream("chat", Request::default())).unwrap();
    logs::reach(1, &["from=waits", "waits", "plugin=outlasts "]);
    assert_eq!(wait(waits.host.unload("outlasts")).unwrap(), 2);
    assert!(matches!(wait(call), Err(CallError::Unloaded)));
    assert!(matches!(wait(stream.next()), Err(StreamError::Unloaded)));
    // Before `shutdown`, each handler heard of it.
    for line in ["waited: 8", "chat ended with 8", "shut down"] {
        logs::reach(1, &[line, "plugin=outlasts "]);
    }
}

#[test]
fn a_handler_that_does_not_listen_is_abandoned() {
    let waits = Waits::load_with("deaf", impatient());
    let mut call = waits.plugin.call_raw("deaf", b"");
    assert!(poll_once(&mut call).is_pending());
    logs::reach(1, &["is deaf", "plugin=deaf "]);
    drop(call);
    assert_eq!(wait(waits.host.unload("deaf")).unwrap(), 0);
    if IS_INLINE {
        logs::reach(1, &["its coroutine was abandoned", "plugin=deaf "]);
    }
    logs::reach(1, &["shut down", "plugin=deaf "]);
}

#[test]
fn a_reload_lets_a_chat_finish_on_the_old_version() {
    let waits = Waits::load("reloaded");
    let mut old = wait(waits.plugin.stream("chat", Request::default())).unwrap();
    wait(waits.plugin.reload()).unwrap();
    let mut new = wait(waits.plugin.stream("chat", Request::default())).unwrap();
    assert!(images("reloaded") >= 2 || !IS_INLINE, "{}", waits.path.display());
    for stream in [&mut old, &mut new] {
        wait(stream.send(b"still there?")).unwrap();
        assert_eq!(*wait(stream.next()).unwrap().unwrap().body, *b"still there?");
        stream.close().unwrap();
        assert_eq!(*wait(stream.next()).unwrap().unwrap().body, *b"bye");
    }
    drop((old, new));
    logs::reach(1, &["shut down", "plugin=reloaded "]);
    waits.end();
}

#[test]
fn a_host_makes_its_runtime_again_when_it_is_needed_again() {
    let waits = Waits::load("again");
    assert_eq!(waits.ask("where", b""), "coroutine 0");
    wait(waits.host.unload("again")).unwrap();
    let plugin = waits.host.load(spec("again", &waits.path)).unwrap();
    let waits = Waits { plugin, ..waits };
    assert_eq!(waits.ask("where", b""), "coroutine 0");
    waits.end();
}
