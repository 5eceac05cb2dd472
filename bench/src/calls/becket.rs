// SPDX-License-Identifier: BSD-3-Clause
//! Becket's host with its defaults: the plugin can be unloaded, every call has a deadline.

use becket_abi::NrStatus;
use becket_host::{CallError, Entry, Host, Plugin, PluginSpec, Request, Response};
use futures_lite::future::block_on;

use super::control::Control;
use super::subject::{
    BLOCK_BYTES, CHAT_FRAME_BYTES, CHAT_FRAMES, CHAT_TEXT, HEADERS, METHOD, PATH, QUERY,
    STREAM_FRAMES, Subject, block, repeat, stream_payload,
};
use crate::error::{BenchError, check};
use crate::spin::Spin;

const NAME: &str = "becket-host";

/// The host with its plugin.
pub(crate) struct Becket {
    plugin: Plugin,
    notify: Entry,
    echo: Entry,
    request: Entry,
    leased: Entry,
    stream: Entry,
    chat: Entry,
    thread: Entry,
    control: Control,
    _host: Host,
}

impl Becket {
    /// Loads a copy of the plugin.
    pub(crate) fn load() -> Result<Self, BenchError> {
        let control = Control::copy("becket")?;
        let host = Host::new();
        // The harness calls functions of the same image, so the host must load this file itself,
        // as the peer does, not a private copy of it.
        let spec = PluginSpec::path("bench", control.path()).private_copy(false);
        let plugin = host.load(spec).map_err(failed)?;
        let entry = |name| plugin.entry(name).map_err(failed);
        Ok(Self {
            notify: entry("notify")?,
            echo: entry("echo")?,
            request: entry("request")?,
            leased: entry("leased")?,
            stream: entry("stream")?,
            chat: entry("chat")?,
            thread: entry("thread")?,
            plugin,
            control,
            _host: host,
        })
    }
}

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> BenchError {
    BenchError::host(NAME, error)
}

fn check_unary(
    operation: &'static str,
    bytes: usize,
    answer: Result<Response, CallError>,
) -> Result<(), BenchError> {
    let answer = answer.map_err(failed)?;
    check(NAME, operation, (NrStatus::Ok, bytes), (answer.status, answer.body.len()))
}

fn make_request() -> Request {
    let headers = std::hint::black_box(HEADERS).map(|(name, value)| (name.into(), value.into()));
    Request {
        method: METHOD.into(),
        path: PATH.into(),
        query: QUERY.into(),
        headers: headers.into(),
        ..Request::default()
    }
}

impl Subject for Becket {
    fn notify(&self, n: u64) -> Result<(), BenchError> {
        for _ in 0..n {
            self.notify.notify(&[]).map_err(failed)?;
        }
        Ok(())
    }

    fn inside_handle(&self, n: u64) -> Result<(), BenchError> {
        for _ in 0..n {
            check_unary("inside handle", 0, self.echo.call_now(&[]))?;
        }
        Ok(())
    }

    fn unary(&self, n: u64) -> Result<(), BenchError> {
        repeat!(n, check_unary("unary", 0, self.echo.call_raw(&[]).await)?)
    }

    fn unary_by_name(&self, n: u64) -> Result<(), BenchError> {
        repeat!(n, check_unary("unary by name", 0, self.plugin.call_raw("echo", &[]).await)?)
    }

    fn request(&self, n: u64) -> Result<(), BenchError> {
        let request = make_request();
        repeat!(n, check_unary("request", 0, self.request.call(&request).await)?)
    }

    fn request_made(&self, n: u64) -> Result<(), BenchError> {
        repeat!(n, check_unary("request", 0, self.request.call(make_request()).await)?)
    }

    fn owned(&self, n: u64) -> Result<(), BenchError> {
        repeat!(n, {
            let answer = self.plugin.call_raw("owned", &[]).await;
            check_unary("owned", BLOCK_BYTES, answer)?;
        })
    }

    fn leased(&self, n: u64) -> Result<(), BenchError> {
        repeat!(n, check_unary("leased", BLOCK_BYTES, self.leased.call_raw(&[]).await)?)
    }

    fn stream(&self, n: u64, frame_bytes: u32) -> Result<(), BenchError> {
        let request = Request::new(stream_payload(frame_bytes).to_vec());
        repeat!(n, {
            let mut stream = self.stream.stream(request.clone()).await.map_err(failed)?;
            let mut frames = 0;
            while let Some(frame) = stream.next().await.map_err(failed)? {
                let got = (frame.status, frame.body.len());
                check(NAME, "stream", (NrStatus::Ok, frame_bytes as usize), got)?;
                frames += 1;
            }
            check(NAME, "stream", STREAM_FRAMES, frames)?;
        })
    }

    fn session(&self, n: u64) -> Result<(), BenchError> {
        repeat!(n, {
            let request = Request::new(&[][..]);
            let mut stream = self.chat.stream(request).await.map_err(failed)?;
            for _ in 0..CHAT_FRAMES {
                let frame = stream.next().await.map_err(failed)?;
                let len = frame.map(|frame| frame.body.len());
                check(NAME, "session: frame", Some(CHAT_FRAME_BYTES), len)?;
            }
            stream.send(CHAT_TEXT).await.map_err(failed)?;
            let echo = stream.next().await.map_err(failed)?;
            let echo = echo.as_ref().map(|frame| &*frame.body);
            check(NAME, "session: echo", Some(CHAT_TEXT), echo)?;
            stream.close().map_err(failed)?;
            let end = stream.next().await.map_err(failed)?;
            check(NAME, "session: end", true, end.is_none())?;
        })
    }

    fn other_thread(&self, n: u64) -> Result<(), BenchError> {
        let spin = Spin::new();
        for _ in 0..n {
            check_unary("other thread", 0, spin.block_on(self.thread.call_raw(&[])))?;
        }
        Ok(())
    }

    fn verify(&self) -> Result<(), BenchError> {
        self.control.expect_notified(NAME, 1000, || self.notify(1000))?;
        block_on(async {
            for bytes in [0, 1, 64, BLOCK_BYTES] {
                let sent = block(bytes);
                let got = self.echo.call_raw(&sent).await.map_err(failed)?;
                check(NAME, "echo", (NrStatus::Ok, &*sent), (got.status, &*got.body))?;
                let got = self.echo.call_now(&sent).map_err(failed)?;
                check(NAME, "echo", (NrStatus::Ok, &*sent), (got.status, &*got.body))?;
            }
            let leased = self.leased.call_raw(&[]).await.map_err(failed)?;
            check(NAME, "leased", &*block(BLOCK_BYTES), &*leased.body)?;
            let owned = self.plugin.call_raw("owned", &[]).await.map_err(failed)?;
            check(NAME, "owned", &*block(BLOCK_BYTES), &*owned.body)?;

            let bytes = 64;
            let request = Request::new(stream_payload(bytes).to_vec());
            let mut stream = self.stream.stream(request).await.map_err(failed)?;
            for _ in 0..STREAM_FRAMES {
                let frame = stream.next().await.map_err(failed)?;
                let data = frame.as_ref().map(|frame| &*frame.body);
                check(NAME, "stream", Some(&*block(bytes as usize)), data)?;
            }
            Ok(())
        })
    }

    fn control(&self) -> &Control {
        &self.control
    }
}
