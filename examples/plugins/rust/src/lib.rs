// SPDX-License-Identifier: BSD-3-Clause
//! The sample plugin in Rust. What it does is written in `../README.md`, for all languages.
//!
//! | entry | what it shows |
//! |---|---|
//! | `unary` | request metadata, a metric, a log line, the configuration |
//! | `echo` | a payload answered as it came |
//! | `stream` | frames, and what to do when the queue is full |
//! | `chat` | a session in a loop, on a coroutine of the host |
//! | `state` | the host's state of a call |
//! | `slow` | a future on a host timer, and its cancellation |
//! | `fail` | every way to fail |
#![deny(unsafe_code)]

use std::fmt::Write as _;
use std::future::Future;
use std::str;
use std::sync::Arc;
use std::time::Duration;

use becket_plugin::{
    Answered, Call, Context, Counter, Entry, Failure, Host, Level, NrStatus, OwnedCall, Plugin,
    Reply, SendError, SessionStream, Sink, Sleep, StateError, TimerError, define_plugin, log,
};
use serde::Deserialize;

const LANG: &str = "rust";
const SLOW_DEFAULT_MS: u64 = 500;
const STREAM_FRAMES: u32 = 5;

/// The plugin.
#[derive(Debug)]
pub struct Sample {
    host: Host,
    config: Config,
    unary_total: Counter,
    slow_cancelled_total: Counter,
}

#[derive(Debug, Deserialize)]
struct Config {
    greeting: String,
}

impl Plugin for Sample {
    const NAME: &'static str = "sample-rust";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const CONFIG_DEFAULT: &'static str = r#"{"greeting":"Hello"}"#;
    const MAY_UNLOAD: bool = true;
    const NEVER_BLOCKS: bool = true;
    const ENTRIES: &'static [Entry<Self>] = &[
        Entry::unary("unary", "greets, and says what it saw of the request", Self::unary),
        Entry::unary("echo", "gives the payload back", Self::echo),
        Entry::stream("stream", "sends five frames", Self::stream),
        Entry::session("chat", "echoes each message until the stream is closed", Self::chat),
        Entry::unary("state", "sets KEY=VALUE in the call's state and reads it back", Self::state),
        Entry::future("slow", "answers after the milliseconds in the payload", Self::slow),
        Entry::unary("fail", "answers with the status in the payload", Self::fail),
    ];

    fn start(host: Host) -> Result<Self, Failure> {
        let sample = Self {
            host,
            config: host.config()?,
            unary_total: host.counter("sample_unary_total", "Calls of the entry unary"),
            slow_cancelled_total: host.counter(
                "sample_slow_cancelled_total",
                "Calls of the entry slow that were cancelled",
            ),
        };
        log!(target: "sample", host, Level::Info, "ready");
        Ok(sample)
    }
}

impl Sample {
    fn unary(&self, call: Call<'_>) -> Result<Answered, Failure> {
        let (request, bytes) = (call.request(), call.payload().len());
        let or_dash = |text: &'static str, given| if str::is_empty(given) { text } else { given };
        let mut text = format!(
            "{} from {LANG}: {} {}",
            self.config.greeting,
            or_dash("-", request.method()),
            or_dash("-", request.path()),
        );
        if !request.query().is_empty() {
            text.push('?');
            text.push_str(request.query());
        }
        write!(text, ", {} headers, {bytes} bytes", request.headers().len())?;
        if let Some(value) = request.header("x-becket-echo") {
            write!(text, ", x-becket-echo={value}")?;
        }
        self.unary_total.add(1);
        log!(target: "sample", self.host, Level::Debug, "unary: {bytes} bytes");
        Ok(call.answer(text.as_bytes()))
    }

    /// The payload is borrowed from the host, which copies it into the answer: once.
    fn echo(&self, call: Call<'_>) -> Result<Answered, Failure> {
        let payload = call.payload();
        Ok(call.answer(payload))
    }

    fn stream(&self, _: Context<'_>, sink: Sink) -> Result<(), Failure> {
        for number in 1..=STREAM_FRAMES {
            let frame = format!("frame {number} of {STREAM_FRAMES}");
            sink.send(frame.as_bytes()).map_err(|error| match error {
                SendError::Full => Failure::new(NrStatus::Backpressure, "stream queue full"),
                SendError::TooLong => Failure::invalid("a frame is too long"),
                other => other.into(),
            })?;
        }
        sink.finish();
        Ok(())
    }

    /// Waits for the next message, and for room while the caller reads slowly. An error, when the
    /// caller has left, ends it.
    fn chat(&self, _: Context<'_>, session: &mut SessionStream) -> Result<(), Failure> {
        session.send(b"welcome")?;
        let mut messages = 0;
        while let Some(message) = session.recv()? {
            session.send(&[b"echo: ", &*message].concat())?;
            messages += 1;
        }
        Ok(session.finish_with(format!("bye after {messages} messages").as_bytes())?)
    }

    fn state(&self, call: Call<'_>) -> Result<Answered, Failure> {
        let expected = || Failure::invalid("expected key=value");
        let mut parts = call.payload().splitn(2, |byte| *byte == b'=');
        let key = parts.next().and_then(|key| str::from_utf8(key).ok()).unwrap_or_default();
        if key.is_empty() {
            return Err(expected());
        }
        if let Some(value) = parts.next() {
            call.state_set(key, value).map_err(refused_state)?;
        }
        let stored = call.state_get(key).map_err(refused_state)?.unwrap_or_default();
        Ok(call.answer_owned([key.as_bytes(), b"=", &stored].concat()))
    }

    /// The timer starts within the call, so that a cancellation always finds it.
    fn slow(
        self: Arc<Self>,
        call: OwnedCall,
    ) -> impl Future<Output = Result<Reply, Failure>> + Send + 'static {
        let nap = self.nap(call.payload());
        async move {
            nap?.over().await;
            Ok("slow done".into())
        }
    }

    fn nap(&self, payload: &[u8]) -> Result<Nap, Failure> {
        let delay_ms = match payload {
            b"" => SLOW_DEFAULT_MS,
            digits => decimal(digits).ok_or_else(|| Failure::invalid("expected milliseconds"))?,
        };
        let sleep =
            self.host.sleep(Duration::from_millis(delay_ms)).map_err(|error| match error {
                TimerError::Unsupported => Failure::unsupported("needs a host with timers"),
                _ => Failure::new(NrStatus::Backpressure, "no timer free"),
            })?;
        Ok(Nap { sleep, over: false, cancelled_total: self.slow_cancelled_total })
    }

    #[expect(clippy::panic, reason = "shows that a panic is caught")]
    fn fail(&self, call: Call<'_>) -> Result<Answered, Failure> {
        match call.payload() {
            b"" => Ok(call.refuse(NrStatus::Err)),
            b"panic" => panic!("asked to"),
            payload => match decimal(payload).and_then(|status| u32::try_from(status).ok()) {
                Some(status) => Ok(call.answer_status(NrStatus(status), b"failed on request")),
                None => Err(Failure::invalid("expected a status or panic")),
            },
        }
    }
}

fn refused_state(error: StateError) -> Failure {
    match error {
        StateError::Unsupported => Failure::unsupported("needs a host with state"),
        other => Failure::new(other.status(), "state refused"),
    }
}

/// Decimal digits, and nothing else.
fn decimal(text: &[u8]) -> Option<u64> {
    if !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    str::from_utf8(text).ok()?.parse().ok()
}

/// The wait of `slow`. A drop before its end means that the call was cancelled.
struct Nap {
    sleep: Sleep,
    over: bool,
    cancelled_total: Counter,
}

impl Nap {
    async fn over(mut self) {
        (&mut self.sleep).await;
        self.over = true;
    }
}

impl Drop for Nap {
    fn drop(&mut self) {
        if !self.over {
            self.cancelled_total.add(1);
        }
    }
}

define_plugin! { plugin: Sample, export: cfg(feature = "export") }
