// SPDX-License-Identifier: BSD-3-Clause
//! A plugin whose every step a test can see and hold.
//!
//! A request's `x-test` header names a [`Probe`]; the handlers tell it what happens and wait at its
//! gate.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Weak};

use becket_plugin::{
    Answered, Call, Context, Entry, Failure, Host, NrStatus, OwnedCall, Plugin, Reply, SendError,
    Session, SessionError, Sink, define_plugin,
};
use parking_lot::{Condvar, Mutex};
use tokio::sync::Semaphore;

/// What a test sees of a handler.
pub struct Probe {
    pub entered: Semaphore,
    pub full: Semaphore,
    pub left: Semaphore,
    pub gate: Semaphore,
    /// Whether the gate is open, for a thread.
    is_open: (Mutex<bool>, Condvar),
    /// Streams that refuse messages until the gate opens.
    refusing: Mutex<Vec<Weak<Sink>>>,
}

impl Probe {
    /// Waits for `event`, once for each time.
    pub async fn saw(event: &Semaphore) {
        let patience = std::time::Duration::from_secs(60);
        let acquired = tokio::time::timeout(patience, event.acquire()).await;
        acquired.expect("the event").expect("never closed").forget();
    }

    pub fn open(&self) {
        *self.is_open.0.lock() = true;
        self.is_open.1.notify_all();
        self.gate.add_permits(1 << 20);
        // A message that was refused is offered again only at the plugin's word.
        let refusing = std::mem::take(&mut *self.refusing.lock());
        refusing.iter().filter_map(Weak::upgrade).for_each(|sink| sink.ready());
    }
}

static PROBES: LazyLock<Mutex<HashMap<String, Arc<Probe>>>> = LazyLock::new(Mutex::default);

pub fn probe(name: &str) -> Arc<Probe> {
    let new = || {
        Arc::new(Probe {
            entered: Semaphore::new(0),
            full: Semaphore::new(0),
            left: Semaphore::new(0),
            gate: Semaphore::new(0),
            is_open: (Mutex::new(false), Condvar::new()),
            refusing: Mutex::default(),
        })
    };
    Arc::clone(PROBES.lock().entry(name.to_owned()).or_insert_with(new))
}

/// Tells that a handler's future or conversation is gone.
struct Leaving(Arc<Probe>);

impl Drop for Leaving {
    fn drop(&mut self) {
        self.0.left.add_permits(1);
    }
}

pub struct Kit;

impl Plugin for Kit {
    const NAME: &'static str = "kit";
    const VERSION: &'static str = "1.2.3";
    const ENTRIES: &'static [Entry<Self>] = &[
        Entry::unary("echo", "the payload", |_: &Kit, call: Call<'_>| {
            let body = call.payload();
            Ok(call.answer(body))
        }),
        Entry::unary("about", "the request's own words", about),
        Entry::unary("header", "the header that the query names", header),
        Entry::unary("status", "the status in the query, with the payload", status),
        Entry::unary("panic", "panics", |_: &Kit, _: Call<'_>| panic!("on purpose")),
        Entry::unary("block", "keeps its thread until its probe's gate opens", block),
        Entry::future("gated", "answers when its probe's gate opens", gated),
        Entry::stream("count", "as many frames as the payload says", count),
        Entry::stream("raw", "the payload in one frame", |_: &Kit, call: Context<'_>, sink| {
            sink.send(call.payload())?;
            sink.finish();
            Ok(())
        }),
        Entry::stream("binary", "one frame that is no text", binary),
        Entry::stream("fail_first", "fails before any frame", |_: &Kit, _: Context<'_>, _| {
            Err(Failure::invalid("no frames today"))
        }),
        Entry::stream("fail_late", "one frame, then fails", fail_late),
        Entry::stream_future("trickle", "a frame, the gate, a frame", trickle),
        Entry::stream_future("flood", "frames until the queue is full", flood),
        Entry::bidirectional("chat", "echoes; `bye` ends, `fail` fails", chat),
        Entry::bidirectional("refuser", "takes nothing until its gate opens", refuser),
    ];

    fn start(_: Host) -> Result<Self, Failure> {
        Ok(Self)
    }
}

define_plugin! { plugin: Kit, export: false }

fn about(_: &Kit, call: Call<'_>) -> Result<Answered, Failure> {
    let request = call.request();
    let header = request.header("x-test").unwrap_or_default();
    let text = format!("{} {} {} {header}", request.method(), request.path(), request.query());
    Ok(call.answer(text.as_bytes()))
}

fn header(_: &Kit, call: Call<'_>) -> Result<Answered, Failure> {
    let request = call.request();
    let value = request.header(request.query()).unwrap_or_default();
    Ok(call.answer(value.as_bytes()))
}

fn status(_: &Kit, call: Call<'_>) -> Result<Answered, Failure> {
    let status: u32 = call.request().query().parse()?;
    let body = call.payload();
    Ok(call.answer_status(NrStatus(status), body))
}

fn block(_: &Kit, call: Call<'_>) -> Result<Answered, Failure> {
    let probe = probe(call.request().header("x-test").unwrap_or_default());
    probe.entered.add_permits(1);
    let (is_open, opened) = &probe.is_open;
    opened.wait_while(&mut is_open.lock(), |is_open| !*is_open);
    Ok(call.answer(b"through"))
}

fn probe_of(call: &OwnedCall) -> (Arc<Probe>, Leaving) {
    let probe = probe(call.header("x-test").unwrap_or_default());
    (Arc::clone(&probe), Leaving(probe))
}

async fn gated(_: Arc<Kit>, call: OwnedCall) -> Result<Reply, Failure> {
    let (probe, _leaving) = probe_of(&call);
    probe.entered.add_permits(1);
    let _ = probe.gate.acquire().await;
    Ok(Reply::new("through".to_owned()))
}

fn count(_: &Kit, call: Context<'_>, sink: Sink) -> Result<(), Failure> {
    let frames: u32 = std::str::from_utf8(call.payload())?.parse()?;
    for frame in 0..frames {
        sink.send(format!("frame {frame}\n").as_bytes())?;
    }
    Ok(sink.finish_with(call.request().query().as_bytes())?)
}

fn binary(_: &Kit, _: Context<'_>, sink: Sink) -> Result<(), Failure> {
    sink.send(b"\xff\x00")?;
    sink.finish();
    Ok(())
}

fn fail_late(_: &Kit, _: Context<'_>, sink: Sink) -> Result<(), Failure> {
    sink.send(b"one")?;
    sink.fail(&Failure::failed("secret insides"));
    Ok(())
}

async fn trickle(_: Arc<Kit>, call: OwnedCall, sink: Sink) -> Result<(), Failure> {
    let (probe, _leaving) = probe_of(&call);
    sink.send(b"first")?;
    probe.entered.add_permits(1);
    let _ = probe.gate.acquire().await;
    sink.send(b"second")?;
    sink.finish();
    Ok(())
}

async fn flood(_: Arc<Kit>, call: OwnedCall, sink: Sink) -> Result<(), Failure> {
    let (probe, _leaving) = probe_of(&call);
    let frame = vec![b'x'; 256 << 10];
    loop {
        match sink.send(&frame) {
            Ok(()) => {}
            Err(SendError::Full) => {
                probe.full.add_permits(1);
                break;
            }
            Err(error) => return Err(error.into()),
        }
    }
    let _ = probe.gate.acquire().await;
    sink.finish();
    Ok(())
}

struct Chat {
    sink: Sink,
    _leaving: Leaving,
}

fn chat(_: &Kit, call: Context<'_>, sink: Sink) -> Result<Chat, Failure> {
    let probe = probe(call.request().header("x-test").unwrap_or_default());
    Ok(Chat { sink, _leaving: Leaving(probe) })
}

impl Session for Chat {
    fn on_data(&mut self, data: &[u8]) -> Result<(), SessionError> {
        match data {
            b"fail" => Err(Failure::failed("secret insides").into()),
            b"busy" => Err(Failure::new(NrStatus::Backpressure, "busy").into()),
            b"bye" => {
                self.sink.send(b"so long")?;
                Err(SessionError::Failed(Failure::new(NrStatus::StreamEnd, "")))
            }
            data => Ok(self.sink.send(data)?),
        }
    }

    fn on_close(self: Box<Self>) {
        self.sink.finish();
    }
}

struct Refuser {
    sink: Arc<Sink>,
    probe: Arc<Probe>,
}

fn refuser(_: &Kit, call: Context<'_>, sink: Sink) -> Result<Refuser, Failure> {
    let probe = probe(call.request().header("x-test").unwrap_or_default());
    let sink = Arc::new(sink);
    probe.refusing.lock().push(Arc::downgrade(&sink));
    Ok(Refuser { sink, probe })
}

impl Session for Refuser {
    fn on_data(&mut self, data: &[u8]) -> Result<(), SessionError> {
        if self.probe.gate.available_permits() == 0 {
            self.probe.entered.add_permits(1);
            return Err(SessionError::NotTaken);
        }
        Ok(self.sink.send(&data.len().to_le_bytes())?)
    }

    fn on_close(self: Box<Self>) {
        if let Some(sink) = Arc::into_inner(self.sink) {
            sink.finish();
        }
    }
}
