// SPDX-License-Identifier: BSD-3-Clause
//! The same in Rust: a plugin that is linked into this program, with the safe API.

use std::{sync::Arc, task::Poll, time::Duration};

use becket_abi::NrStatus;
use becket_host::{CallError, Host, Limits, PluginSpec, Request, StreamError};
use becket_plugin::{
    Answered, Call, Context, Entry, Failure, Host as OfPlugin, Plugin, SendError, SessionStream,
    Sink, WaitError, define_plugin,
};

use crate::support::{
    assert_adds_up, unload_clean,
    wait::{poll_once, wait},
};

struct Patient(OfPlugin);

impl Plugin for Patient {
    const NAME: &'static str = "patient";
    const VERSION: &'static str = "1.0.0";
    const ENTRIES: &'static [Entry<Self>] = &[
        Entry::coroutine("naps", "", Self::naps),
        Entry::coroutine("relays", "", Self::relays),
        Entry::coroutine("panics", "", Self::panics),
        Entry::coroutine("waits", "", Self::waits),
        Entry::session("adds", "", Self::adds),
        Entry::unary("at_once", "", Self::at_once),
        Entry::session("repeats", "", Self::repeats),
        Entry::stream("repeats_at_once", "", Self::repeats_at_once),
    ];

    fn start(host: OfPlugin) -> Result<Self, Failure> {
        Ok(Self(host))
    }
}

impl Patient {
    fn naps(&self, call: Call<'_>) -> Result<Answered, Failure> {
        for _ in 0..10 {
            self.0.pause(Duration::from_micros(100))?;
            self.0.yield_now()?;
        }
        Ok(call.answer(b"rested"))
    }

    /// Each letter goes through a chain of coroutines.
    fn relays(&self, call: Call<'_>) -> Result<Answered, Failure> {
        let first = Arc::new(self.0.channel(0)?);
        let mut last = first.clone();
        for capacity in 0..4 {
            let (from, to) = (last, Arc::new(self.0.channel(capacity)?));
            last = to.clone();
            self.0.spawn(move || {
                while let Ok(letter) = from.recv() {
                    to.send(&letter).expect("the next one receives");
                }
                to.close();
            })?;
        }
        let payload = call.payload().to_vec();
        self.0.spawn(move || {
            payload.iter().for_each(|letter| first.send(&[*letter]).expect("the first receives"));
            first.close();
        })?;
        let mut all = Vec::new();
        while let Ok(letter) = last.recv() {
            all.extend_from_slice(&letter);
        }
        Ok(call.answer(&all))
    }

    fn panics(&self, _: Call<'_>) -> Result<Answered, Failure> {
        self.0.yield_now()?;
        panic!("on a coroutine, on purpose")
    }

    fn waits(&self, _: Call<'_>) -> Result<Answered, Failure> {
        let nothing = self.0.channel(1)?;
        let error = nothing.recv().expect_err("there is no sender");
        self.0.counter("cancelled", "").add(u64::from(error == WaitError::Cancelled));
        Err(error.into())
    }

    fn adds(&self, _: Context<'_>, session: &mut SessionStream) -> Result<(), Failure> {
        let mut sum = 0_u64;
        while let Some(number) = session.recv()? {
            sum += std::str::from_utf8(&number)?.parse::<u64>()?;
            session.send(sum.to_string().as_bytes())?;
        }
        Ok(())
    }

    fn at_once(&self, call: Call<'_>) -> Result<Answered, Failure> {
        Ok(call.answer(if self.0.coroutine().is_none() { b"thread" } else { b"elsewhere" }))
    }

    /// Sends the payload twice in one frame, which the host may not take, once, and twice at the
    /// end.
    fn repeats(&self, call: Context<'_>, session: &mut SessionStream) -> Result<(), Failure> {
        let twice = call.payload().repeat(2);
        assert_eq!(session.send(&twice), Err(WaitError::TooLong));
        assert_eq!(self.0.channel(1)?.send(&twice), Err(WaitError::TooLong));
        session.send(call.payload())?;
        assert_eq!(session.finish_with(&twice), Err(WaitError::TooLong));
        Ok(())
    }

    fn repeats_at_once(&self, call: Context<'_>, sink: Sink) -> Result<(), Failure> {
        let twice = call.payload().repeat(2);
        assert_eq!(sink.send(&twice), Err(SendError::TooLong));
        let refused = sink.send_owned(twice.clone()).map_err(|(error, _)| error);
        assert_eq!(refused, Err(SendError::TooLong));
        assert!(!sink.is_ended());
        sink.send(call.payload())?;
        assert_eq!(sink.finish_with(&twice), Err(SendError::TooLong));
        Ok(())
    }
}

define_plugin! { plugin: Patient, export: cfg(any()) }

fn load(name: &str) -> (Host, becket_host::Plugin) {
    load_with(name, Limits::default())
}

fn load_with(name: &str, limits: Limits) -> (Host, becket_host::Plugin) {
    let host = Host::builder().coroutine_workers(2).build();
    let plugin = host.load(PluginSpec::linked(name, PLUGIN).limits(limits)).unwrap();
    (host, plugin)
}

#[test]
fn handlers_wait_and_answer() {
    let (host, plugin) = load("answers");
    let mut calls: Vec<_> = (0..200).map(|_| plugin.call_raw("naps", b"")).collect();
    let started: Vec<_> = calls.iter_mut().map(poll_once).collect();
    for (call, started) in calls.into_iter().zip(started) {
        // On a thread that is slow enough a call is over when it was begun.
        let response = match started {
            Poll::Ready(response) => response,
            Poll::Pending => wait(call),
        };
        assert_eq!(*response.unwrap().body, *b"rested");
    }
    let relayed = wait(plugin.call_raw("relays", b"letter by letter")).unwrap();
    assert_eq!(*relayed.body, *b"letter by letter");
    assert_eq!(*wait(plugin.call_raw("at_once", b"")).unwrap().body, *b"thread");
    assert_adds_up(&plugin);
    unload_clean(&host, &plugin);
}

#[test]
fn a_panic_on_a_coroutine_is_an_answer() {
    let (host, plugin) = load("panics");
    for _ in 0..3 {
        let answer = wait(plugin.call_raw("panics", b""));
        assert!(
            matches!(answer, Err(CallError::Refused { status: NrStatus::Panic })),
            "{answer:?}"
        );
    }
    assert_eq!(*wait(plugin.call_raw("naps", b"")).unwrap().body, *b"rested");
    unload_clean(&host, &plugin);
}

#[test]
fn a_dropped_call_ends_its_wait() {
    let (host, plugin) = load("dropped");
    for _ in 0..20 {
        let mut call = plugin.call_raw("waits", b"");
        assert!(poll_once(&mut call).is_pending());
        drop(call);
    }
    // Were one left, the unload would take its drain, and the plugin would be left as it is.
    unload_clean(&host, &plugin);
    assert_adds_up(&plugin);
}

#[test]
fn a_dialogue_fails_with_its_handlers_words() {
    let (host, plugin) = load("session");
    let mut stream = wait(plugin.stream("adds", Request::default())).unwrap();
    for (number, sum) in [("20", "20"), ("22", "42")] {
        wait(stream.send(number.as_bytes())).unwrap();
        assert_eq!(*wait(stream.next()).unwrap().unwrap().body, *sum.as_bytes());
    }
    stream.close().unwrap();
    assert!(wait(stream.next()).unwrap().is_none());

    let mut stream = wait(plugin.stream("adds", Request::default())).unwrap();
    wait(stream.send(b"many")).unwrap();
    match wait(stream.next()) {
        Err(StreamError::Failed { status: NrStatus::Err, body }) => {
            assert_eq!(*body, *b"invalid digit found in string");
        }
        other => panic!("{other:?}"),
    }
    drop(stream);
    unload_clean(&host, &plugin);
}

#[test]
fn a_stream_goes_on_after_a_frame_that_is_too_long_and_ends_with_such_a_last_one() {
    let (host, plugin) = load_with("repeats", Limits { payload_bytes_max: 5, ..Limits::default() });
    for entry in ["repeats", "repeats_at_once"] {
        let mut stream = wait(plugin.stream(entry, Request::new("three"))).unwrap();
        assert_eq!(*wait(stream.next()).unwrap().unwrap().body, *b"three");
        match wait(stream.next()) {
            Err(StreamError::Failed { status: NrStatus::TooLong, body }) => {
                assert!(body.is_empty())
            }
            other => panic!("{other:?}"),
        }
    }
    unload_clean(&host, &plugin);
}
