// SPDX-License-Identifier: BSD-3-Clause
//! Identity, configuration, logs, reload, unload.

use std::{
    fs,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use becket_abi::{BK_PLUGIN_MAY_UNLOAD, BK_PLUGIN_THREAD_SAFE};
use becket_host::{
    CallError, Dispatch, EntryKind, Host, Plugin, PluginState, ReloadError, Request,
};

use crate::{
    IS_INLINE, Sample, spec,
    support::{logs, native::images, unload_clean, wait::wait},
};

const ENTRIES: [(&str, EntryKind, &str); 7] = [
    ("unary", EntryKind::Unary, "greets, and says what it saw of the request"),
    ("echo", EntryKind::Unary, "gives the payload back"),
    ("stream", EntryKind::Stream, "sends five frames"),
    ("chat", EntryKind::Bidirectional, "echoes each message until the stream is closed"),
    ("state", EntryKind::Unary, "sets KEY=VALUE in the call's state and reads it back"),
    ("slow", EntryKind::Unary, "answers after the milliseconds in the payload"),
    ("fail", EntryKind::Unary, "answers with the status in the payload"),
];

pub(crate) fn says_what_it_is(language: &'static str) {
    let Some(sample) = Sample::load(language, |spec| spec) else { return };
    let info = sample.plugin.info();
    assert_eq!((info.name.as_str(), info.generation), (language, 1));
    assert_eq!(info.reported_name, format!("sample-{language}"));
    assert_eq!((info.version.as_str(), info.layout), ("0.1.0", "becket"));
    assert_ne!(info.flags & BK_PLUGIN_THREAD_SAFE, 0);
    assert_eq!(info.entries.len(), ENTRIES.len());
    for (found, (name, kind, help)) in info.entries.iter().zip(ENTRIES) {
        assert_eq!((found.name.as_str(), found.kind, found.help.as_str()), (name, kind, help));
        assert_eq!(sample.plugin.entry(name).unwrap().kind(), Some(kind));
    }
    sample.end();
}

pub(crate) fn takes_its_configuration(language: &'static str) {
    let config = serde_json::json!({ "greeting": "Ahoy, \u{fc}ber" });
    let Some(sample) = Sample::load(language, |spec| spec.config(config)) else { return };
    let response = wait(sample.plugin.call("unary", Request::default())).unwrap();
    let wanted = format!("Ahoy, \u{fc}ber from {language}: - -, 0 headers, 0 bytes");
    assert_eq!(*response.body, *wanted.as_bytes());
    sample.end();
}

pub(crate) fn its_logs_reach_the_host(language: &'static str) {
    logs::capture();
    let name: &'static str = Box::leak(format!("logs-{language}").into_boxed_str());
    let Some(path) = crate::sample(language) else { return };
    let host = Host::new();
    let plugin = host.load(spec(name, path)).unwrap();
    let own = format!("plugin={name} ");
    logs::reach(1, &["INFO becket::plugin", &own, "from=sample ", "ready"]);
    wait(plugin.call_raw("unary", b"12345")).unwrap();
    logs::reach(1, &["DEBUG becket::plugin", &own, "from=sample ", "unary: 5 bytes"]);
    unload_clean(&host, &plugin);
}

/// A reload of a Go plugin would start a second runtime in this process, and the first never ends.
fn refuses_to_reload(language: &str, plugin: &Plugin) -> bool {
    if language != "go" || !IS_INLINE {
        return false;
    }
    let error = wait(plugin.reload()).unwrap_err();
    assert!(matches!(error, ReloadError::Fixed { .. }), "{error}");
    assert!(error.to_string().contains("Go runtime"), "{error}");
    assert!(error.hint().is_some_and(|hint| hint.contains("placement = \"process\"")), "{error:?}");
    assert_eq!(plugin.snapshot().generation, 1);
    true
}

pub(crate) fn reloads_while_streams_are_open(language: &'static str) {
    let Some(sample) = Sample::load(language, |spec| spec) else { return };
    let plugin = &sample.plugin;
    if refuses_to_reload(language, plugin) {
        return sample.end();
    }
    let entry = plugin.entry("echo").unwrap();
    let mut chat = wait(plugin.stream("chat", Request::default())).unwrap();
    assert_eq!(*wait(chat.next()).unwrap().unwrap().body, *b"welcome");
    for at in 1..=3_u64 {
        wait(plugin.reload()).unwrap();
        assert_eq!(plugin.snapshot().generation, at + 1);
        assert_eq!(*wait(entry.call_raw(b"resolved before")).unwrap().body, *b"resolved before");
        wait(chat.send(b"still here")).unwrap();
        assert_eq!(*wait(chat.next()).unwrap().unwrap().body, *b"echo: still here");
    }
    chat.close().unwrap();
    assert_eq!(*wait(chat.next()).unwrap().unwrap().body, *b"bye after 3 messages");
    drop(chat);
    super::unary::counts(plugin, "sample_unary_total", 0);
    sample.end();
}

/// The threads that call stay: what an image leaves on them would keep it mapped.
pub(crate) fn reloads_leave_no_image(language: &'static str) {
    const RELOADS: usize = 20;
    logs::capture();
    let Some(path) = crate::sample(language) else { return };
    let folder = tempfile::TempDir::new().unwrap();
    let file = format!("reloads_{language}.so");
    let place = folder.path().join(&file);
    fs::copy(path, &place).unwrap();
    let host = Host::new();
    let name = format!("reloads-{language}");
    let spec = spec(&name, place).dispatch(Dispatch::Caller);
    let plugin = host.load(spec).unwrap();
    if refuses_to_reload(language, &plugin) {
        every_entry(&plugin);
        return unload_clean(&host, &plugin);
    }
    let may_unload = plugin.info().flags & BK_PLUGIN_MAY_UNLOAD != 0;
    let stop = AtomicBool::new(false);
    let (tell, ended) = std::sync::mpsc::channel::<()>();
    thread::scope(|scope| {
        let mut leave = Vec::new();
        for _ in 0..4 {
            let (stay, left) = std::sync::mpsc::channel::<()>();
            leave.push(stay);
            let (plugin, stop, tell) = (&plugin, &stop, tell.clone());
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    every_entry(plugin);
                }
                drop(tell);
                assert!(left.recv().is_err(), "the test is over");
            });
        }
        drop(tell);
        for _ in 0..RELOADS {
            wait(plugin.reload()).unwrap();
            every_entry(&plugin);
        }
        stop.store(true, Ordering::Relaxed);
        assert!(ended.recv().is_err(), "every thread is done");
        let own = format!("plugin=reloads-{language} ");
        logs::reach(RELOADS, &[&own, &format!("unmapped={may_unload} "), "retired"]);
        assert!(!may_unload || images(&file) == 1, "{} images are left", images(&file));
        unload_clean(&host, &plugin);
        drop(leave);
    });
}

fn every_entry(plugin: &Plugin) {
    assert!(wait(plugin.call("unary", Request::default())).unwrap().status.is_ok());
    assert!(wait(plugin.call_raw("state", b"key=value")).unwrap().status.is_ok());
    assert!(wait(plugin.call_raw("slow", b"1")).unwrap().status.is_ok());
    assert!(!wait(plugin.call_raw("fail", b"77")).unwrap().status.is_ok());
    let mut frames = wait(plugin.stream("stream", Request::default())).unwrap();
    while wait(frames.next()).unwrap().is_some() {}
    let mut chat = wait(plugin.stream("chat", Request::default())).unwrap();
    assert_eq!(*wait(chat.next()).unwrap().unwrap().body, *b"welcome");
    wait(chat.send(b"x")).unwrap();
    assert_eq!(*wait(chat.next()).unwrap().unwrap().body, *b"echo: x");
    chat.close().unwrap();
    while wait(chat.next()).unwrap().is_some() {}
}

pub(crate) fn is_gone_after_an_unload(language: &'static str) {
    let Some(sample) = Sample::load(language, |spec| spec) else { return };
    let plugin = sample.plugin.clone();
    assert_eq!(plugin.state(), PluginState::Ready);
    wait(plugin.call_raw("echo", b"x")).unwrap();
    sample.end();
    assert_eq!(plugin.state(), PluginState::Unloaded);
    assert!(matches!(wait(plugin.call_raw("echo", b"x")), Err(CallError::Unloaded)));
    assert_eq!(plugin.info().reported_name, format!("sample-{language}"), "what it said last");
}
