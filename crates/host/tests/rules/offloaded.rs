// SPDX-License-Identifier: BSD-3-Clause
//! What is not awaited runs on workers too: bounded, in order, and given up when the plugin ends.

use std::sync::atomic::{AtomicU64, Ordering};

use becket_abi::NrStatus;
use becket_host::{CallError, Dispatch, Host, Limits, Request, SendError};

use crate::support::{
    counted,
    native::Workshop,
    script::Script,
    unload_clean,
    wait::{Mailbox, Tally, wait},
};
use crate::{FRAMES_BETWEEN, IS_INLINE, spec};

#[test]
fn notifications_that_wait_for_a_worker_are_bounded_and_given_up_at_the_end() {
    const PENDING_MAX: u32 = 4;
    let host = Host::new();
    let (entered, gate) = (Tally::new(), Tally::new());
    let (inside, opened) = (entered.clone(), gate.clone());
    let script = Script::new(move |_, _| {
        inside.add();
        opened.reach(1);
        NrStatus::Ok
    });
    let limits =
        Limits { pending_max: PENDING_MAX, workers_max: 1, drain_ms: 50, ..Limits::default() };
    let (plugin, _) = script.load_with(&host, "stuck", |spec| spec.limits(limits));
    plugin.notify("x", b"").unwrap();
    entered.reach(1);
    (1..PENDING_MAX).for_each(|_| plugin.notify("x", b"").unwrap());
    if !IS_INLINE {
        // They are on their way, and the worker refuses what is too much.
        (0..20).for_each(|_| plugin.notify("x", b"").unwrap());
        let bound = 2 * u64::from(PENDING_MAX);
        counted(&plugin, |snapshot| snapshot.notifies_refused == 24 - bound);
        gate.add();
        unload_clean(&host, &plugin);
        assert_eq!((plugin.snapshot().notifies, entered.get()), (24, bound));
        return;
    }
    let full = plugin.notify("x", b"").unwrap_err();
    assert!(matches!(full, CallError::Quota { quota: "pending_max", limit: 4 }), "{full}");
    // They are bounded with the calls.
    let full = wait(plugin.call_raw("x", b"")).unwrap_err();
    assert!(matches!(full, CallError::Quota { quota: "pending_max", limit: 4 }), "{full}");
    assert_eq!(plugin.snapshot().pending, u64::from(PENDING_MAX));
    // The one that runs comes back when it will; the others are never run.
    assert_eq!(wait(host.unload("stuck")).unwrap(), u64::from(PENDING_MAX) - 1);
    gate.add();
    let snapshot = plugin.snapshot();
    assert_eq!((snapshot.notifies, snapshot.notifies_refused), (5, 4));
    assert_eq!(entered.get(), 1);
}

#[test]
fn an_unload_waits_for_notifications_as_for_calls() {
    let host = Host::new();
    let ran = Tally::new();
    let counts = ran.clone();
    let script = Script::new(move |_, _| {
        counts.add();
        NrStatus::Ok
    });
    let (plugin, _) = script.load(&host, "quick");
    (0..1000).for_each(|_| plugin.notify("x", b"").unwrap());
    unload_clean(&host, &plugin);
    assert_eq!(ran.get(), 1000, "none is lost");
    assert_eq!((plugin.snapshot().notifies, plugin.snapshot().notifies_refused), (1000, 0));
    assert_eq!(plugin.snapshot().pending, 0);
}

/// Frames of each kind of sender, in turn.
const FRAMES: u64 = 600;

#[test]
fn frames_go_to_the_plugin_in_order_however_they_are_sent() {
    for dispatch in [Dispatch::Auto, Dispatch::Caller] {
        let host = Host::new();
        let got = Mailbox::new();
        let (to_test, closed) = (got.clone(), got.clone());
        let offered = AtomicU64::new(0);
        let script = Script::new(|_, _| NrStatus::Ok)
            .on_data(move |api, sid, data| {
                // Every seventh time it takes nothing, and says from elsewhere that it does again.
                if offered.fetch_add(1, Ordering::SeqCst) % 7 == 3 {
                    let api = *api;
                    api.timer(0, move || {
                        let _ = api.stream_ready(sid);
                    });
                    return NrStatus::Backpressure;
                }
                to_test.put(u64::from_le_bytes(data.try_into().unwrap()));
                NrStatus::Ok
            })
            .on_close(move |api, sid| {
                closed.put(u64::MAX);
                api.send(sid, NrStatus::StreamEnd, b"")
            });
        let (plugin, _) = script.load_with(&host, "ordered", |spec| spec.dispatch(dispatch));
        let mut stream = wait(plugin.stream("x", Request::default())).unwrap();
        for at in 0..FRAMES {
            let data = at.to_le_bytes();
            let awaited = at % 5 == 2;
            // On its caller's thread a frame may be refused for the moment.
            if awaited || stream.try_send(&data) == Err(SendError::Backpressure) {
                wait(stream.send(&data)).unwrap();
            }
        }
        stream.close().unwrap();
        assert!(wait(stream.next()).unwrap().is_none());
        let wanted: Vec<_> = (0..FRAMES).chain([u64::MAX]).collect();
        assert_eq!(got.take_all(), wanted, "{dispatch:?}: each once, in order, the close last");
        assert_eq!(plugin.snapshot().frames_in, FRAMES);
        drop(stream);
        unload_clean(&host, &plugin);
    }
}

#[test]
fn frames_that_wait_for_a_worker_are_bounded_as_those_from_the_plugin() {
    let host = Host::new();
    let (entered, gate, got) = (Tally::new(), Tally::new(), Mailbox::new());
    let (inside, opened, to_test) = (entered.clone(), gate.clone(), got.clone());
    let script = Script::new(|_, _| NrStatus::Ok)
        .on_data(move |_, _, data| {
            inside.add();
            opened.reach(1);
            to_test.put(data.to_vec());
            NrStatus::Ok
        })
        .on_close(|api, sid| api.send(sid, NrStatus::StreamEnd, b""));
    let limits = Limits { stream_frames_max: 3, stream_bytes_max: 100, ..Limits::default() };
    let (plugin, _) = script.load_with(&host, "bounded", |spec| spec.limits(limits));
    let mut stream = wait(plugin.stream("x", Request::default())).unwrap();
    stream.try_send(b"0").unwrap();
    entered.reach(1);
    // What is being taken counts until it was.
    stream.try_send(b"1").unwrap();
    if !IS_INLINE {
        // As many are on the way to another process.
        let mut sent = 2_u64;
        while stream.try_send(b"x").is_ok() {
            sent += 1;
            assert!((0..=FRAMES_BETWEEN).contains(&sent), "{sent} frames are held");
        }
        gate.add();
        stream.close().unwrap();
        assert!(wait(stream.next()).unwrap().is_none());
        assert_eq!(got.take_all().len() as u64, sent);
        drop(stream);
        return unload_clean(&host, &plugin);
    }
    assert_eq!(stream.try_send(&[0; 99]), Err(SendError::Backpressure), "by its bytes");
    stream.try_send(b"2").unwrap();
    assert_eq!(stream.try_send(b"3"), Err(SendError::Backpressure), "by their number");
    gate.add();
    stream.close().unwrap();
    assert!(wait(stream.next()).unwrap().is_none());
    assert_eq!(got.take_all(), [b"0", b"1", b"2"]);
    drop(stream);
    unload_clean(&host, &plugin);
}

#[test]
fn a_frame_that_was_handed_over_and_refused_is_said_to_the_next_sender() {
    let host = Host::new();
    let script = Script::new(|_, _| NrStatus::Ok).on_data(|api, sid, data| match data {
        b"bad" => NrStatus(99),
        _ => api.send(sid, NrStatus::Ok, data),
    });
    let (plugin, _) = script.load(&host, "refuses");
    let mut stream = wait(plugin.stream("x", Request::default())).unwrap();
    stream.try_send(b"bad").unwrap();
    // The plugin may have answered by now, or has when the first of these comes back.
    let mut sent: Vec<_> = (0..3_u8).map(|at| wait(stream.send(&[at]))).collect();
    if !IS_INLINE {
        // Or when what was sent behind it has come back.
        for (at, _) in sent.iter().enumerate().filter(|(_, sent)| sent.is_ok()) {
            assert_eq!(*wait(stream.next()).unwrap().unwrap().body, [at as u8]);
        }
        sent.push(wait(stream.send(&[3])));
        let refused = Err(SendError::Refused { status: NrStatus(99) });
        assert_eq!(sent.iter().filter(|sent| **sent == refused).count(), 1, "said once: {sent:?}");
        drop(stream);
        return unload_clean(&host, &plugin);
    }
    let refused = |sent: &Result<_, _>| *sent == Err(SendError::Refused { status: NrStatus(99) });
    assert_eq!(sent.iter().filter(|sent| refused(sent)).count(), 1, "said once: {sent:?}");
    assert!(sent.iter().take(2).any(refused), "to the next: {sent:?}");
    for (at, _) in sent.iter().enumerate().filter(|(_, sent)| sent.is_ok()) {
        assert_eq!(*wait(stream.next()).unwrap().unwrap().body, [at as u8]);
    }
    drop(stream);
    unload_clean(&host, &plugin);
}

/// Takes no frame the first three times, and cannot say when it does: it has no `attach`.
const CANNOT_SAY: &str = r#"
static void *host_ctx;
static const NrHostVTable *host;
static int offered;
static NrStatus init(void *ctx, void *context, const NrHostVTable *table) {
    (void)ctx;
    host_ctx = context;
    host = table;
    return NR_OK;
}
static NrStatus handle(void *ctx, NrStr entry, uint64_t sid, const NrRequest *request, NrBytes payload) {
    (void)ctx, (void)entry, (void)sid, (void)request, (void)payload;
    return NR_OK;
}
static NrStatus stream_data(void *ctx, uint64_t sid, NrBytes data) {
    (void)ctx;
    if (++offered < 4) {
        return NR_BACKPRESSURE;
    }
    host->send_result(host_ctx, sid, NR_OK, data);
    return NR_OK;
}
static NrStatus stream_close(void *ctx, uint64_t sid) {
    (void)ctx;
    host->send_result(host_ctx, sid, NR_STREAM_END, (NrBytes){0});
    return NR_OK;
}
static const NrPluginVTable vtable = {
    .init = init, .handle = handle, .stream_data = stream_data, .stream_close = stream_close};
"#;

#[test]
fn a_plugin_that_cannot_say_when_it_takes_more_is_asked_by_what_is_sent_next() {
    let workshop = Workshop::new();
    let path = workshop.build_around("cannot_say", CANNOT_SAY);
    let host = Host::new();
    let plugin = host.load(spec("cannot_say", &path)).unwrap();
    let mut stream = wait(plugin.stream("x", Request::default())).unwrap();
    stream.try_send(b"first").unwrap();
    // Refused until the plugin has taken the first, which it is asked for each time.
    while wait(stream.send(b"second")) == Err(SendError::Backpressure) {}
    for wanted in [b"first".as_slice(), b"second"] {
        assert_eq!(*wait(stream.next()).unwrap().unwrap().body, *wanted);
    }
    stream.close().unwrap();
    assert!(wait(stream.next()).unwrap().is_none());
    drop(stream);
    unload_clean(&host, &plugin);
}
