// SPDX-License-Identifier: BSD-3-Clause
//! The sample plugin does what `../README.md` says.

use std::time::Duration;

use becket_plugin::NrStatus;
use becket_plugin::testing::{Answer, FakeHost, Limits, TestRequest};
use becket_sample::{PLUGIN, Sample};

fn host() -> FakeHost {
    FakeHost::of::<Sample>()
}

fn seen(answer: &Answer) -> (NrStatus, &str) {
    (answer.status, answer.text())
}

#[test]
fn unary_says_what_it_saw() {
    let host = host();
    let request = TestRequest::new("GET", "/hello")
        .query("x=1")
        .header("accept", "*/*")
        .header("X-Becket-Echo", "seven")
        .header("x-becket-echo", "eight");
    assert_eq!(
        host.call_with("unary", &request, b"12345").text(),
        "Hello from rust: GET /hello?x=1, 3 headers, 5 bytes, x-becket-echo=seven"
    );
    assert_eq!(host.call("unary", b"").text(), "Hello from rust: - -, 0 headers, 0 bytes");
    assert_eq!(
        host.call_with("unary", &TestRequest::default(), b"").text(),
        "Hello from rust: - -, 0 headers, 0 bytes"
    );
    assert_eq!(host.metric("sample_unary_total"), Some(3.0));
    let lines: Vec<_> = host.logs().into_iter().map(|line| (line.target, line.message)).collect();
    assert_eq!(lines.first(), Some(&("sample".to_owned(), "ready".to_owned())));
    assert_eq!(lines.get(1), Some(&("sample".to_owned(), "unary: 5 bytes".to_owned())));
    host.finish().assert_clean();
}

#[test]
fn the_greeting_is_configured() {
    let host = FakeHost::builder().of::<Sample>().config(r#"{"greeting":"Ahoj"}"#).build().unwrap();
    assert_eq!(host.call("unary", b"").text(), "Ahoj from rust: - -, 0 headers, 0 bytes");
    let refused = FakeHost::builder().of::<Sample>().config(r#"{"greeting":7}"#).build();
    let refused = refused.unwrap_err();
    assert_eq!(refused.status, NrStatus::Err);
    assert!(refused.to_string().contains("invalid type: integer"), "{refused}");
}

#[test]
fn echo_is_byte_exact() {
    let host = host();
    for len in [0, 1, 64, 1 << 20] {
        let payload: Vec<u8> = (0..len).map(|i: usize| (i * 31 % 251) as u8).collect();
        assert_eq!(host.call("echo", &payload).body, payload);
    }
    host.finish().assert_clean();
}

#[test]
fn stream_sends_five_frames() {
    let host = host();
    let stream = host.stream("stream", b"");
    let expected: Vec<_> = (1..=5).map(|n| format!("frame {n} of 5").into_bytes()).collect();
    assert_eq!(stream.collect(), expected);
    assert_eq!(stream.ended(), Some(NrStatus::StreamEnd));
    host.finish().assert_clean();
}

#[test]
fn stream_says_when_the_queue_is_too_short() {
    let limits = Limits { stream_frames_max: 3, ..Limits::DEFAULT };
    let host = FakeHost::builder().of::<Sample>().limits(limits).build().unwrap();
    let stream = host.stream("stream", b"");
    assert_eq!(stream.collect().last().unwrap(), b"stream queue full");
    assert_eq!(stream.ended(), Some(NrStatus::Backpressure));
    host.finish().assert_clean();
}

#[test]
fn chat_echoes_and_counts() {
    let host = host();
    let chat = host.stream("chat", b"ignored");
    assert_eq!(chat.next().unwrap().body, b"welcome");
    for number in 0..1000 {
        let message = format!("message {number}");
        assert_eq!(chat.send(message.as_bytes()), NrStatus::Ok);
        assert_eq!(chat.next().unwrap().body, format!("echo: {message}").into_bytes());
    }
    assert_eq!(chat.close(), NrStatus::Ok);
    assert_eq!(chat.collect(), [b"bye after 1000 messages".to_vec()]);
    assert_eq!(chat.ended(), Some(NrStatus::StreamEnd));
    for late in [chat.send(b"late"), chat.close()] {
        assert_eq!(late, NrStatus::Invalid);
    }
    host.finish().assert_clean();
}

#[test]
fn chat_loses_nothing_to_backpressure() {
    let limits = Limits { stream_frames_max: 2, ..Limits::DEFAULT };
    let host = FakeHost::builder().of::<Sample>().limits(limits).build().unwrap();
    let chat = host.stream("chat", b"");
    // The answer to the second waits for room, and so do what comes behind it.
    for message in [&b"one"[..], b"two", b"three", b"four"] {
        assert_eq!(chat.send(message), NrStatus::Ok);
    }
    assert_eq!(chat.send(b"five"), NrStatus::Backpressure);
    assert_eq!(chat.next().unwrap().body, b"welcome");
    assert_eq!(chat.send(b"five"), NrStatus::Ok);
    chat.close();
    assert_eq!(
        chat.collect(),
        [
            b"echo: one".to_vec(),
            b"echo: two".to_vec(),
            b"echo: three".to_vec(),
            b"echo: four".to_vec(),
            b"echo: five".to_vec(),
            b"bye after 5 messages".to_vec()
        ]
    );
    host.finish().assert_clean();
}

#[test]
fn chat_forgets_a_cancelled_sid() {
    let host = host();
    let chat = host.stream("chat", b"");
    assert_eq!(chat.cancel(), NrStatus::Ok);
    assert_eq!(chat.send(b"late"), NrStatus::Invalid);
    host.finish().assert_clean();
}

#[test]
fn state_is_of_one_call() {
    let host = host();
    assert_eq!(seen(&host.call("state", b"k=v=w")), (NrStatus::Ok, "k=v=w"));
    assert_eq!(seen(&host.call("state", b"k=")), (NrStatus::Ok, "k="));
    assert_eq!(seen(&host.call("state", b"k")), (NrStatus::Ok, "k="));
    for bad in [&b""[..], b"=v", b"\xff=v"] {
        assert_eq!(seen(&host.call("state", bad)), (NrStatus::Invalid, "expected key=value"));
    }
    let long = [b"k=", "x".repeat(100_000).as_bytes()].concat();
    assert_eq!(seen(&host.call("state", &long)), (NrStatus::Backpressure, "state refused"));
    host.finish().assert_clean();
}

#[test]
fn slow_waits_on_a_host_timer() {
    let host = host();
    let slow = host.start("slow", b"");
    assert_eq!(host.timers(), 1);
    host.advance(Duration::from_millis(4999));
    assert!(slow.try_answer().is_none());
    host.advance(Duration::from_millis(1));
    assert_eq!(seen(&slow.answer()), (NrStatus::Ok, "slow done"));
    for bad in [&b"soon"[..], b"-1", b"+1", b" 1", b"99999999999999999999"] {
        assert_eq!(seen(&host.call("slow", bad)), (NrStatus::Invalid, "expected milliseconds"));
    }
    assert_eq!(host.metric("sample_slow_cancelled_total"), Some(0.0));
    host.finish().assert_clean();
}

#[test]
fn slow_is_cancelled_at_once() {
    let host = host();
    let slow = host.start("slow", b"60000");
    assert_eq!(slow.cancel(), NrStatus::Ok);
    host.wait_metric("sample_slow_cancelled_total", 1.0);
    host.advance(Duration::from_secs(120));
    assert_eq!(host.metric("sample_slow_cancelled_total"), Some(1.0));
    host.finish().assert_clean();
}

#[test]
fn slow_says_when_there_is_no_timer() {
    let limits = Limits { timers_max: 1, ..Limits::DEFAULT };
    let host = FakeHost::builder().of::<Sample>().limits(limits).build().unwrap();
    let _first = host.start("slow", b"");
    assert_eq!(seen(&host.call("slow", b"1")), (NrStatus::Backpressure, "no timer free"));
}

#[test]
fn fail_fails_as_asked() {
    let host = host();
    for status in [0, 1, 2, 3, 4, 5, 6, 99, u32::MAX] {
        let answer = host.call("fail", status.to_string().as_bytes());
        assert_eq!(seen(&answer), (NrStatus(status), "failed on request"));
    }
    for bad in [&b"4294967296"[..], b"no"] {
        let answer = host.call("fail", bad);
        assert_eq!(seen(&answer), (NrStatus::Invalid, "expected a status or panic"));
    }
    let answer = host.call("fail", b"");
    assert_eq!((answer.status, answer.refused), (NrStatus::Err, true));
    let answer = host.call("fail", b"panic");
    assert_eq!((answer.status, answer.refused), (NrStatus::Panic, true));
    assert!(host.logs().iter().any(|line| line.message.ends_with("asked to")));
    // It goes on.
    assert_eq!(host.call("echo", b"still here").body, b"still here");
    host.finish().assert_clean();
}

#[test]
fn a_host_without_extras_is_served() {
    let host = FakeHost::builder().of::<Sample>().plain().build().unwrap();
    assert_eq!(host.call("unary", b"").text(), "Hello from rust: - -, 0 headers, 0 bytes");
    assert_eq!(host.call("echo", b"x").body, b"x");
    assert_eq!(host.stream("stream", b"").collect().len(), 5);
    assert_eq!(
        seen(&host.call("state", b"k=v")),
        (NrStatus::Unsupported, "needs a host with state")
    );
    assert_eq!(seen(&host.call("slow", b"1")), (NrStatus::Unsupported, "needs a host with timers"));
    host.finish().assert_clean();
}

#[test]
fn the_linked_constant_is_the_same_plugin() {
    let host = FakeHost::builder().linked(PLUGIN).build().unwrap();
    let names = ["unary", "echo", "stream", "chat", "state", "slow", "fail"];
    assert_eq!(host.entries(), names);
    assert_eq!(host.call("nope", b"").status, NrStatus::Unsupported);
    // Two instances of one image live side by side.
    let second =
        FakeHost::builder().linked(PLUGIN).config(r#"{"greeting":"Two"}"#).build().unwrap();
    assert!(host.call("unary", b"").text().starts_with("Hello"));
    assert!(second.call("unary", b"").text().starts_with("Two"));
    host.finish().assert_clean();
    second.finish().assert_clean();
}
