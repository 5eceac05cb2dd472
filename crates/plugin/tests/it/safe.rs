// SPDX-License-Identifier: BSD-3-Clause
//! What the safe API promises, by kind of handler.

use std::fmt::Write as _;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::thread;
use std::time::Duration;

use becket_plugin::testing::{FakeHost, Limits};
use becket_plugin::{
    Answered, Call, Context, Entry, Failure, Host, Level, NrStatus, OwnedCall, Plugin, Reply,
    Responder, SendError, Session, SessionError, Sink, log,
};
use parking_lot::Mutex;

struct Zoo {
    host: Host,
    kept: Mutex<Vec<Responder>>,
    sinks: Mutex<Vec<Sink>>,
    cancelled: AtomicU64,
    imported: Mutex<Vec<u8>>,
}

impl Plugin for Zoo {
    const NAME: &'static str = "zoo";
    const VERSION: &'static str = "1";
    const STREAMS_MAX: usize = 2;
    const FUTURES_MAX: usize = 2;
    const ENTRIES: &'static [Entry<Self>] = &[
        Entry::unary("keep", "", Self::keep),
        Entry::unary("drop", "", Self::drop_later),
        Entry::unary("thread", "", Self::thread),
        Entry::unary("lease", "", Self::lease),
        Entry::unary("lease-panic", "", Self::lease_panic),
        Entry::unary("error", "", Self::error),
        Entry::unary("panic", "", |_, _| panic!("asked to")),
        Entry::unary("deadline", "", Self::deadline),
        Entry::future("sleep", "", Self::sleep),
        Entry::future("async-panic", "", Self::async_panic),
        Entry::future("async-fail", "", Self::async_fail),
        Entry::future("churn", "", Self::churn),
        Entry::stream("sink", "", Self::sink),
        Entry::stream("sink-drop", "", |_, _, sink| {
            drop(sink);
            Ok(())
        }),
        Entry::stream("sink-fail", "", |_, _, _sink| Err(Failure::invalid("no such thing"))),
        Entry::stream("sink-panic", "", |_, _, _sink| panic!("asked to")),
        Entry::stream_future("flow", "", Self::flow),
        Entry::stream_future("flow-fail", "", |_, _, _sink| async {
            Err(Failure::failed("half way"))
        }),
        Entry::bidirectional("talk", "", Self::talk),
    ];

    fn start(host: Host) -> Result<Self, Failure> {
        Ok(Self {
            host,
            kept: Mutex::default(),
            sinks: Mutex::default(),
            cancelled: AtomicU64::new(0),
            imported: Mutex::default(),
        })
    }

    fn stop(&self) {
        log!(self.host, Level::Info, "stopped after {}", self.cancelled.load(Ordering::Relaxed));
    }

    fn cancelled(&self, _: u64) {
        self.cancelled.fetch_add(1, Ordering::Relaxed);
    }

    fn export(&self) -> Result<Option<Vec<u8>>, Failure> {
        Ok(Some(self.imported.lock().clone()))
    }

    fn import(&self, state: &[u8]) -> Result<(), Failure> {
        if state == b"bad" {
            return Err(Failure::invalid("bad state"));
        }
        *self.imported.lock() = state.to_vec();
        Ok(())
    }
}

impl Zoo {
    fn keep(&self, call: Call<'_>) -> Result<Answered, Failure> {
        let (later, answered) = call.later();
        self.kept.lock().push(later);
        Ok(answered)
    }

    fn drop_later(&self, call: Call<'_>) -> Result<Answered, Failure> {
        let (_dropped, answered) = call.later();
        Ok(answered)
    }

    fn thread(&self, call: Call<'_>) -> Result<Answered, Failure> {
        let payload = call.payload().to_vec();
        let (later, answered) = call.later();
        thread::spawn(move || later.answer_owned(payload));
        Ok(answered)
    }

    fn lease(&self, call: Call<'_>) -> Result<Answered, Failure> {
        let len = call.payload().len();
        call.answer_in_place(16, |lease| {
            let _ = write!(lease, "{len} bytes");
            assert!(!lease.push(&[0; 17]), "beyond its capacity");
        })
    }

    fn lease_panic(&self, call: Call<'_>) -> Result<Answered, Failure> {
        call.answer_in_place(16, |_| panic!("in the writer"))
    }

    fn error(&self, call: Call<'_>) -> Result<Answered, Failure> {
        let number: u32 = std::str::from_utf8(call.payload())?.parse()?;
        Ok(call.answer_owned((number + 1).to_string()))
    }

    fn deadline(&self, call: Call<'_>) -> Result<Answered, Failure> {
        let text = format!("{:?} {}", call.remaining(), call.is_cancelled());
        Ok(call.answer_owned(text))
    }

    async fn sleep(self: Arc<Self>, call: OwnedCall) -> Result<Reply, Failure> {
        self.host.sleep(Duration::from_secs(1))?.await;
        Ok(call.into_payload().into())
    }

    async fn async_panic(self: Arc<Self>, _: OwnedCall) -> Result<Reply, Failure> {
        panic!("in a future")
    }

    async fn async_fail(self: Arc<Self>, _: OwnedCall) -> Result<Reply, Failure> {
        Err(Failure::new(NrStatus(77), "of its own"))
    }

    /// Never ends by itself, and is polled all the time.
    async fn churn(self: Arc<Self>, _: OwnedCall) -> Result<Reply, Failure> {
        struct Dropped(Host);
        impl Drop for Dropped {
            fn drop(&mut self) {
                self.0.counter("churns_dropped", "").add(1);
            }
        }
        let _dropped = Dropped(self.host);
        self.host.counter("churns_started", "").add(1);
        poll_fn(|cx| {
            cx.waker().wake_by_ref();
            Poll::<()>::Pending
        })
        .await;
        Ok("over".into())
    }

    fn sink(&self, _: Context<'_>, sink: Sink) -> Result<(), Failure> {
        self.sinks.lock().push(sink);
        Ok(())
    }

    async fn flow(self: Arc<Self>, call: OwnedCall, sink: Sink) -> Result<(), Failure> {
        for byte in call.payload() {
            sink.send_async(&[*byte]).await?;
        }
        Ok(sink.finish_with(b"end")?)
    }

    fn talk(&self, _: Context<'_>, sink: Sink) -> Result<Talk, Failure> {
        Ok(Talk { sink: Some(sink), host: self.host })
    }
}

struct Talk {
    sink: Option<Sink>,
    host: Host,
}

impl Session for Talk {
    fn on_data(&mut self, data: &[u8]) -> Result<(), SessionError> {
        match (data, &self.sink) {
            (b"fail", _) => return Err(Failure::failed("as asked").into()),
            (b"panic", _) => panic!("in a session"),
            (b"end", _) => self.sink.take().into_iter().for_each(Sink::finish),
            (_, Some(sink)) => sink.send(data)?,
            (_, None) => {}
        }
        Ok(())
    }

    fn on_close(self: Box<Self>) {
        // Unfinished: dropped.
    }

    fn on_cancel(self: Box<Self>) {
        self.host.counter("talks_cancelled", "").add(1);
    }
}

fn host() -> FakeHost {
    FakeHost::of::<Zoo>()
}

#[test]
fn an_answer_may_come_later_or_never() {
    let host = host();
    assert_eq!(host.call("thread", b"from elsewhere").body, b"from elsewhere");
    let dropped = host.call("drop", b"");
    assert_eq!(dropped.status, NrStatus::Err);
    assert_eq!(dropped.text(), "the plugin dropped the call unanswered");
    // Kept beyond its cancellation: the plugin is notified, and nothing late is sent.
    assert_eq!(host.start("keep", b"").cancel(), NrStatus::Ok);
    let report = host.finish();
    report.assert_clean();
}

#[test]
fn a_lease_is_written_in_place_and_never_lost() {
    let host = host();
    assert_eq!(host.call("lease", b"abc").body, b"3 bytes");
    assert_eq!(host.call("lease-panic", b"").status, NrStatus::Panic);
    host.finish().assert_clean();
    let limits = Limits { lease_bytes_max: 8, ..Limits::DEFAULT };
    let small = FakeHost::builder().of::<Zoo>().limits(limits).build().unwrap();
    let refused = small.call("lease", b"");
    assert_eq!((refused.status, refused.refused), (NrStatus::Backpressure, true));
}

#[test]
fn errors_become_answers() {
    let host = host();
    assert_eq!(host.call("error", b"41").body, b"42");
    let answer = host.call("error", b"x");
    assert_eq!((answer.status, answer.text()), (NrStatus::Err, "invalid digit found in string"));
    assert_eq!(host.call("panic", b"").status, NrStatus::Panic);
    host.finish().assert_clean();
}

#[test]
fn deadlines_are_seen() {
    assert_eq!(host().call("deadline", b"").text(), "None false");
    let limits = Limits { deadline_ms: Some(1500), ..Limits::DEFAULT };
    let host = FakeHost::builder().of::<Zoo>().limits(limits).build().unwrap();
    assert_eq!(host.call("deadline", b"").text(), "Some(1.5s) false");
}

#[test]
fn futures_answer_fail_panic_and_are_bounded() {
    let host = host();
    let first = host.start("sleep", b"first");
    let second = host.start("sleep", b"second");
    host.wait_timers(2);
    let third = host.call("sleep", b"third");
    assert_eq!((third.status, third.refused), (NrStatus::Backpressure, true));
    host.advance(Duration::from_secs(1));
    assert_eq!(first.answer().body, b"first");
    assert_eq!(second.answer().body, b"second");
    assert_eq!(host.call("async-panic", b"").status, NrStatus::Panic);
    let failed = host.call("async-fail", b"");
    assert_eq!((failed.status, failed.text()), (NrStatus(77), "of its own"));
    host.finish().assert_clean();
}

#[test]
fn a_future_that_is_being_polled_is_cancelled_and_dropped_once() {
    let host = host();
    for round in 1..=500_u32 {
        let churn = host.start("churn", b"");
        host.wait_metric("churns_started", f64::from(round));
        assert_eq!(churn.cancel(), NrStatus::Ok);
        host.wait_metric("churns_dropped", f64::from(round));
    }
    let _left = host.start("churn", b"");
    host.wait_metric("churns_started", 501.0);
    let report = host.finish();
    assert_eq!((report.violations.len(), report.unanswered.len()), (0, 1));
}

#[test]
fn shutdown_ends_futures_and_timers() {
    let host = host();
    let _left = host.start("sleep", b"");
    host.wait_timers(1);
    let report = host.finish();
    assert_eq!((report.timers_left, report.unanswered.len()), (0, 1));
}

#[test]
fn a_stream_ends_once_however_its_sink_goes() {
    let host = host();
    let dropped = host.stream("sink-drop", b"");
    assert_eq!(dropped.collect(), [b"the plugin dropped the call unanswered".to_vec()]);
    assert_eq!(dropped.ended(), Some(NrStatus::Err));
    // The handler's own word counts, not that of the sink it dropped.
    let failed = host.stream("sink-fail", b"");
    assert_eq!(failed.collect(), [b"no such thing".to_vec()]);
    assert_eq!(failed.ended(), Some(NrStatus::Invalid));
    assert_eq!(host.stream("sink-panic", b"").returned(), NrStatus::Panic);
    let failed = host.stream("flow-fail", b"");
    assert_eq!(failed.collect(), [b"half way".to_vec()]);
    host.finish().assert_clean();
}

#[test]
fn streams_are_bounded_and_end_with_the_plugin() {
    let host = host();
    let first = host.stream("sink", b"");
    let _second = host.stream("sink", b"");
    assert_eq!(host.stream("sink", b"").returned(), NrStatus::Backpressure);
    assert_eq!(first.cancel(), NrStatus::Ok);
    assert_eq!(host.stream("sink", b"").returned(), NrStatus::Ok);
    // A host that ends a plugin with open streams does so on purpose: the plugin sends nothing on its way out.
    let report = host.finish();
    assert_eq!((report.violations.len(), report.unanswered.len()), (0, 2));
}

#[test]
fn an_async_stream_waits_for_room() {
    let limits = Limits { stream_frames_max: 1, ..Limits::DEFAULT };
    let host = FakeHost::builder().of::<Zoo>().limits(limits).build().unwrap();
    let stream = host.stream("flow", b"abc");
    // No clock runs: reading a frame is what wakes the sender of the next one.
    assert_eq!(stream.collect(), [b"a".to_vec(), b"b".to_vec(), b"c".to_vec(), b"end".to_vec()]);
    host.finish().assert_clean();
}

#[test]
fn a_message_that_found_no_room_is_asked_for_when_there_is() {
    let limits = Limits { stream_frames_max: 1, ..Limits::DEFAULT };
    let host = FakeHost::builder().of::<Zoo>().limits(limits).build().unwrap();
    let talk = host.stream("talk", b"");
    assert_eq!(talk.send(b"a"), NrStatus::Ok);
    for (read, refused) in [(b"a", b"b"), (b"b", b"c")] {
        let asked = talk.ready();
        assert_eq!(talk.send(refused), NrStatus::Backpressure);
        assert_eq!(talk.ready(), asked);
        assert_eq!(talk.next().unwrap().body, read);
        assert_eq!(talk.ready(), asked + 1);
        assert_eq!(talk.send(refused), NrStatus::Ok);
    }
    assert_eq!(talk.close(), NrStatus::Ok);
    assert_eq!(host.violations(), []);
}

/// A room of sessions whose sinks are elsewhere, under a lock that `on_cancel` takes too.
#[test]
fn a_conversation_whose_stream_the_host_forgot_goes_away() {
    struct Club(Arc<Mutex<Vec<Sink>>>, Arc<AtomicU64>);
    struct Member(Arc<Mutex<Vec<Sink>>>, Arc<AtomicU64>);
    impl Plugin for Club {
        const NAME: &'static str = "club";
        const VERSION: &'static str = "1";
        const STREAMS_MAX: usize = 1;
        const ENTRIES: &'static [Entry<Self>] = &[
            Entry::bidirectional("join", "", |club: &Self, _, sink| {
                club.0.lock().push(sink);
                Ok(Member(Arc::clone(&club.0), Arc::clone(&club.1)))
            }),
            Entry::unary("tell", "", |club: &Self, call| {
                for sink in &*club.0.lock() {
                    assert_eq!(sink.send(b"all"), Err(SendError::Closed));
                }
                Ok(call.answer(club.1.load(Ordering::SeqCst).to_string().as_bytes()))
            }),
        ];
        fn start(_: Host) -> Result<Self, Failure> {
            Ok(Self(Arc::default(), Arc::default()))
        }
    }
    impl Session for Member {
        fn on_data(&mut self, _: &[u8]) -> Result<(), SessionError> {
            Ok(())
        }
        fn on_close(self: Box<Self>) {}
        fn on_cancel(self: Box<Self>) {
            self.0.lock().clear();
            self.1.fetch_add(1, Ordering::SeqCst);
        }
    }
    let host = FakeHost::of::<Club>();
    let gone = host.stream("join", b"");
    gone.forget();
    assert_eq!(host.call("tell", b"").body, b"0");
    host.advance(Duration::ZERO);
    assert_eq!(host.call("tell", b"").body, b"1");
    // Its place is free again, before any word of the host.
    assert_eq!(host.stream("join", b"").returned(), NrStatus::Ok);
    assert_eq!(host.violations(), []);
}

#[test]
fn a_conversation_ends_in_every_way() {
    let host = host();
    let talk = host.stream("talk", b"");
    assert_eq!(talk.send(b"hi"), NrStatus::Ok);
    assert_eq!(talk.send(b"end"), NrStatus::Ok);
    assert_eq!(talk.collect(), [b"hi".to_vec()]);
    assert_eq!(talk.send(b"more"), NrStatus::Invalid);

    let talk = host.stream("talk", b"");
    assert_eq!(talk.send(b"fail"), NrStatus::Ok);
    assert_eq!(talk.collect(), [b"as asked".to_vec()]);

    let talk = host.stream("talk", b"");
    assert_eq!(talk.send(b"panic"), NrStatus::Panic);
    assert_eq!(talk.cancel(), NrStatus::Ok);
    assert_eq!(talk.send(b"stale"), NrStatus::Invalid);
    assert_eq!(host.metric("talks_cancelled"), Some(1.0));

    let talk = host.stream("talk", b"");
    assert_eq!(talk.close(), NrStatus::Ok);
    assert_eq!(talk.ended(), Some(NrStatus::Err));
    host.finish().assert_clean();
}

#[test]
fn a_sink_learns_that_nobody_reads() {
    struct Reader(Mutex<Option<Sink>>);
    impl Plugin for Reader {
        const NAME: &'static str = "reader";
        const VERSION: &'static str = "1";
        const ENTRIES: &'static [Entry<Self>] = &[
            Entry::stream("open", "", |plugin: &Self, _, sink| {
                *plugin.0.lock() = Some(sink);
                Ok(())
            }),
            Entry::unary("probe", "", |plugin: &Self, call| {
                let sink = plugin.0.lock();
                let seen = sink.as_ref().map(|sink| (sink.is_ended(), sink.send(b"late")));
                assert_eq!(seen, Some((true, Err(SendError::Closed))));
                Ok(call.answer(b"closed"))
            }),
        ];
        fn start(_: Host) -> Result<Self, Failure> {
            Ok(Self(Mutex::default()))
        }
    }
    let host = FakeHost::of::<Reader>();
    let stream = host.stream("open", b"");
    stream.cancel();
    assert_eq!(host.call("probe", b"").body, b"closed");
    // The late frame did not even reach the host.
    host.finish().assert_clean();
}

#[test]
fn state_is_handed_over() {
    let host = FakeHost::builder().of::<Zoo>().import("from before").build().unwrap();
    assert_eq!(host.export().as_deref(), Some(&b"from before"[..]));
    let refused = FakeHost::builder().of::<Zoo>().import("bad").build().unwrap_err();
    assert_eq!(refused.status, NrStatus::Invalid);
}

#[test]
fn a_plugin_that_cannot_start_says_why_and_may_try_again() {
    struct Picky;
    impl Plugin for Picky {
        const NAME: &'static str = "picky";
        const VERSION: &'static str = "1";
        const ENTRIES: &'static [Entry<Self>] = &[];
        fn start(host: Host) -> Result<Self, Failure> {
            // Left running by a start that fails: cancelled by the SDK.
            host.timer(Duration::from_secs(1), || {})?.detach();
            if host.config_text() == "{}" {
                panic!("no config")
            }
            Err(Failure::invalid("not like this"))
        }
    }
    let refused = FakeHost::builder().of::<Picky>().config("[]").build().unwrap_err();
    assert_eq!(refused.status, NrStatus::Invalid);
    assert_eq!(refused.logs.last().unwrap().message, "not like this");
    let refused = FakeHost::builder().of::<Picky>().build().unwrap_err();
    assert_eq!(refused.status, NrStatus::Panic);
}
