// SPDX-License-Identifier: BSD-3-Clause
//! A reader may react to a session's first frame before the handler that opens it has returned.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use becket_plugin::testing::{FakeHost, TestStream};
use becket_plugin::{Context, Entry, Failure, Host, NrStatus, Plugin, Session, SessionError, Sink};
use parking_lot::Mutex;

/// Its handler sends, passes the id to the reader, and goes on when that one is done.
struct Greeter {
    opened: Mutex<Option<Sender<u64>>>,
    done: Mutex<Option<Receiver<()>>>,
}

struct Greeting {
    sink: Sink,
    host: Host,
}

static WIRES: Mutex<Option<(Sender<u64>, Receiver<()>)>> = Mutex::new(None);

impl Plugin for Greeter {
    const NAME: &'static str = "greeter";
    const VERSION: &'static str = "1";
    const ENTRIES: &'static [Entry<Self>] = &[Entry::bidirectional("greet", "", Self::greet)];

    fn start(_: Host) -> Result<Self, Failure> {
        let (opened, done) = WIRES.lock().take().unzip();
        Ok(Self { opened: Mutex::new(opened), done: Mutex::new(done) })
    }
}

impl Greeter {
    fn greet(&self, call: Context<'_>, sink: Sink) -> Result<Greeting, Failure> {
        sink.send(b"first")?;
        self.opened.lock().as_ref().unwrap().send(sink.sid()).unwrap();
        self.done.lock().as_ref().unwrap().recv().unwrap();
        if call.payload() == b"refuse" {
            return Err(Failure::invalid("after all"));
        }
        Ok(Greeting { sink, host: call.host() })
    }
}

impl Session for Greeting {
    fn on_data(&mut self, data: &[u8]) -> Result<(), SessionError> {
        Ok(self.sink.send(data)?)
    }

    fn on_close(self: Box<Self>) {
        self.sink.finish();
    }

    fn on_cancel(self: Box<Self>) {
        self.host.counter("cancelled", "").add(1);
    }
}

struct Shared<'h>(&'h FakeHost);

// SAFETY: a fake host passes calls on from whatever thread, and this plugin is thread-safe.
unsafe impl Send for Shared<'_> {}

impl<'h> Shared<'h> {
    fn host(&self) -> &'h FakeHost {
        self.0
    }
}

/// Opens a stream, and has `react` react to its first frame while the handler waits: a handler that
/// was waited for would never return.
fn greet(
    payload: &[u8],
    react: impl FnOnce(&TestStream<'_>) + Send,
    then: impl FnOnce(&FakeHost, &TestStream<'_>),
) {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let (opened, sid) = channel();
    let (done, wait) = channel();
    let host = {
        let _turn = ONE_AT_A_TIME.lock();
        *WIRES.lock() = Some((opened, wait));
        FakeHost::of::<Greeter>()
    };
    let stream = thread::scope(|scope| {
        let host = &host;
        let shared = Shared(host);
        scope.spawn(move || {
            let stream = shared.host().reader(sid.recv().unwrap());
            assert_eq!(stream.next().unwrap().body, b"first");
            react(&stream);
            done.send(()).unwrap();
        });
        host.stream("greet", payload)
    });
    then(&host, &stream);
    host.finish().assert_clean();
}

#[test]
fn a_message_stays_with_the_host_until_the_conversation_is_there() {
    greet(
        b"",
        |reader| {
            assert_eq!(reader.send(b"early"), NrStatus::Backpressure);
            assert_eq!(reader.ready(), 0);
        },
        |_, stream| {
            assert_eq!(stream.ready(), 1);
            assert_eq!(stream.send(b"early"), NrStatus::Ok);
            assert_eq!(stream.next().unwrap().body, b"early");
            assert_eq!(stream.close(), NrStatus::Ok);
            assert_eq!(stream.next().unwrap().status, NrStatus::StreamEnd);
        },
    );
}

#[test]
fn a_close_is_seen_to_when_the_conversation_is_there() {
    greet(
        b"",
        |reader| {
            assert_eq!(reader.close(), NrStatus::Ok);
            assert_eq!(reader.close(), NrStatus::Invalid);
        },
        |_, stream| assert_eq!(stream.next().unwrap().status, NrStatus::StreamEnd),
    );
}

#[test]
fn a_cancelled_conversation_hears_of_it_when_it_is_there() {
    greet(
        b"",
        |reader| assert_eq!(reader.cancel(), NrStatus::Ok),
        |host, stream| {
            assert_eq!(host.metric("cancelled"), Some(1.0));
            assert_eq!(stream.send(b"late"), NrStatus::Invalid);
        },
    );
}

#[test]
fn what_was_said_to_a_conversation_that_is_refused_goes_with_it() {
    greet(
        b"refuse",
        |reader| assert_eq!(reader.send(b"early"), NrStatus::Backpressure),
        |_, stream| {
            assert_eq!(stream.next().unwrap().status, NrStatus::Invalid);
            assert_eq!(stream.send(b"late"), NrStatus::Invalid);
        },
    );
}
