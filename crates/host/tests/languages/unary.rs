// SPDX-License-Identifier: BSD-3-Clause
//! The entries with one answer.

use std::{thread, time::Duration};

use becket_abi::NrStatus;
use becket_host::{CallError, Dispatch, MetricValue, Plugin, Request, Response};

use crate::{IS_INLINE, Sample, support::wait::wait};

fn text(response: &Response) -> &str {
    std::str::from_utf8(&response.body).expect("the answer is text")
}

/// Asserts the value of a counter of the plugin, which may take a moment to come from another process.
pub(crate) fn counts(plugin: &Plugin, name: &str, wanted: u64) {
    let limit = std::time::Instant::now() + crate::support::wait::LIMIT;
    while !IS_INLINE && counter(plugin, name).unwrap_or(0) < wanted {
        assert!(std::time::Instant::now() < limit, "{name}: {:?}", counter(plugin, name));
        thread::yield_now();
    }
    assert_eq!(counter(plugin, name).unwrap_or(0), wanted);
}

fn counter(plugin: &Plugin, name: &str) -> Option<u64> {
    let metrics = plugin.snapshot().metrics;
    let metric = metrics.into_iter().find(|metric| metric.name == name)?;
    match metric.value {
        MetricValue::Counter(value) => Some(value),
        other => panic!("{name} is {other:?}"),
    }
}

pub(crate) fn greets_and_says_what_it_saw(language: &'static str) {
    let Some(sample) = Sample::load(language, |spec| spec) else { return };
    let plugin = &sample.plugin;
    let ask = |request: Request| text(&wait(plugin.call("unary", request)).unwrap()).to_owned();
    let greeting = format!("Hello from {language}: ");
    assert_eq!(ask(Request::default()), greeting.clone() + "- -, 0 headers, 0 bytes");
    let request = Request::new("12345").method("GET").path("/hello").query("x=1");
    let request = request.header("accept", "*/*").header("X-Becket-Echo", "seven");
    let request = request.header("x-becket-echo", "eight");
    assert_eq!(
        ask(request),
        greeting.clone() + "GET /hello?x=1, 3 headers, 5 bytes, x-becket-echo=seven"
    );
    for bytes in [0, 64, 1 << 20] {
        let mut request = Request::new(vec![7; bytes]).method("POST").path("/");
        for at in 0..40 {
            request = request.header(format!("h{at}"), format!("v{at}"));
        }
        assert_eq!(ask(request), format!("{greeting}POST /, 40 headers, {bytes} bytes"));
    }
    let raw = wait(plugin.call_raw("unary", b"raw")).unwrap();
    assert_eq!(text(&raw), greeting.clone() + "- -, 0 headers, 3 bytes");
    let entry = plugin.entry("unary").unwrap();
    assert_eq!(
        text(&wait(entry.call(Request::new("by id"))).unwrap()),
        greeting + "- -, 0 headers, 5 bytes"
    );
    counts(plugin, "sample_unary_total", 7);
    sample.end();
}

pub(crate) fn echoes_every_length(language: &'static str) {
    let Some(sample) = Sample::load(language, |spec| spec) else { return };
    let entry = sample.plugin.entry("echo").unwrap();
    for len in [0, 1, 63, 64, 65, 4095, 4096, 1 << 20] {
        let payload: Vec<u8> = (0..len).map(|at| (at * 31 % 251) as u8).collect();
        let response = wait(sample.plugin.call("echo", Request::new(payload.clone()))).unwrap();
        assert_eq!(response.status, NrStatus::Ok);
        assert!(*response.body == *payload, "{len} bytes came back changed");
        assert!(*wait(entry.call_raw(&payload)).unwrap().body == *payload);
        if IS_INLINE {
            assert!(*entry.call_now(&payload).unwrap().body == *payload);
        }
        entry.notify(&payload).unwrap();
    }
    sample.end();
}

pub(crate) fn state_is_read_back(language: &'static str) {
    let Some(sample) = Sample::load(language, |spec| spec) else { return };
    let ask = |payload: &[u8]| wait(sample.plugin.call_raw("state", payload)).unwrap();
    for _ in 0..2 {
        let response = ask(b"color=blue=ish");
        assert_eq!((response.status, text(&response)), (NrStatus::Ok, "color=blue=ish"));
        assert_eq!(text(&ask(b"color")), "color=", "state is of one call");
        assert_eq!(text(&ask(b"color=")), "color=");
        for bad in [&b""[..], b"=value", b"\xff=value"] {
            let response = ask(bad);
            assert_eq!(
                (response.status, text(&response)),
                (NrStatus::Invalid, "expected key=value")
            );
        }
    }
    sample.end();
}

pub(crate) fn slow_answers_in_time(language: &'static str) {
    let Some(sample) = Sample::load(language, |spec| spec) else { return };
    for payload in ["0", "1", "20"] {
        let response = wait(sample.plugin.call_raw("slow", payload.as_bytes())).unwrap();
        assert_eq!((response.status, text(&response)), (NrStatus::Ok, "slow done"));
    }
    for payload in ["-1", "soon", " 1", "1.5"] {
        let response = wait(sample.plugin.call_raw("slow", payload.as_bytes())).unwrap();
        assert_eq!(
            (response.status, text(&response)),
            (NrStatus::Invalid, "expected milliseconds")
        );
    }
    sample.end();
}

pub(crate) fn slow_is_cancelled_at_the_deadline(language: &'static str) {
    let Some(sample) = Sample::load(language, |spec| spec) else { return };
    let plugin = sample.plugin.clone();
    let began = std::time::Instant::now();
    let call = plugin.call_raw("slow", b"5000").timeout(Duration::from_millis(100));
    assert!(matches!(wait(call), Err(CallError::DeadlineExceeded)));
    assert!(began.elapsed() < Duration::from_secs(4), "freed only when the plugin was done");
    assert_eq!(plugin.snapshot().failed.deadline, 1);
    // The plugin is notified on the thread that runs its timers, one after another: before this
    // one.
    assert_eq!(text(&wait(plugin.call_raw("slow", b"0")).unwrap()), "slow done");
    sample.end();
    counts(&plugin, "sample_slow_cancelled_total", 1);
    assert_eq!(plugin.snapshot().refused_answers.late, 0, "it answered a cancelled call");
}

pub(crate) fn fails_as_asked(language: &'static str) {
    let Some(sample) = Sample::load(language, |spec| spec) else { return };
    let ask = |payload: &'static [u8]| wait(sample.plugin.call_raw("fail", payload));
    for (payload, status) in [
        (&b"0"[..], NrStatus::Ok),
        (b"1", NrStatus::Err),
        (b"4", NrStatus::StreamEnd),
        (b"99", NrStatus(99)),
        (b"4294967295", NrStatus(u32::MAX)),
    ] {
        let response = ask(payload).unwrap();
        assert_eq!((response.status, text(&response)), (status, "failed on request"));
    }
    for payload in [&b"4294967296"[..], b"-1", b"help"] {
        let response = ask(payload).unwrap();
        assert_eq!(
            (response.status, text(&response)),
            (NrStatus::Invalid, "expected a status or panic")
        );
    }
    let refused = |result| {
        let Err(CallError::Refused { status }) = result else { panic!("{result:?}") };
        status
    };
    for _ in 0..20 {
        assert_eq!(refused(ask(b"")), NrStatus::Err);
        assert_eq!(refused(ask(b"panic")), NrStatus::Panic);
        if IS_INLINE {
            assert_eq!(refused(sample.plugin.call_now("fail", b"panic")), NrStatus::Panic);
        }
    }
    assert_eq!(text(&ask(b"0").unwrap()), "failed on request", "it goes on");
    sample.end();
}

pub(crate) fn an_unknown_entry_is_named(language: &'static str) {
    let Some(sample) = Sample::load(language, |spec| spec.dispatch(Dispatch::Caller)) else {
        return;
    };
    let check = |error: CallError| {
        let CallError::UnknownEntry(unknown) = &error else { panic!("{error}") };
        assert_eq!((unknown.plugin.as_str(), unknown.entry.as_str()), (language, "unari"));
        assert_eq!(unknown.known.len(), 7);
        assert!(error.hint().unwrap().contains("unary"), "{error}");
    };
    check(sample.plugin.entry("unari").unwrap_err());
    check(wait(sample.plugin.call_raw("unari", b"")).unwrap_err());
    check(sample.plugin.call_now("unari", b"").unwrap_err());
    check(sample.plugin.notify("unari", b"").unwrap_err());
    sample.end();
}

pub(crate) fn many_threads_call_at_once(language: &'static str) {
    let Some(sample) = Sample::load(language, |spec| spec) else { return };
    thread::scope(|scope| {
        for thread in 0..4_u32 {
            let plugin = &sample.plugin;
            scope.spawn(move || {
                for at in 0..250_u32 {
                    let payload = [thread.to_le_bytes(), at.to_le_bytes()].concat();
                    let echoed = wait(plugin.call_raw("echo", &payload)).unwrap();
                    assert_eq!(*echoed.body, *payload);
                    let slow = wait(plugin.call_raw("slow", b"0")).unwrap();
                    assert_eq!(text(&slow), "slow done");
                }
            });
        }
    });
    let snapshot = sample.plugin.snapshot();
    assert_eq!((snapshot.calls, snapshot.ok), (2000, 2000));
    sample.end();
}
