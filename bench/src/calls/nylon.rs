// SPDX-License-Identifier: BSD-3-Clause
//! nylon-ring-host 0.2.2, used as its documentation says: entries resolved once, then by id.
//!
//! An operation that it does not offer is replaced by the nearest one that it does, and the table
//! says so: it has no request, so the metadata is packed into the payload; its answer without a
//! copy exists by name only.

use std::sync::Arc;

use futures_lite::future::block_on;
use nylon_ring_host::{NrStatus, NylonRingHost, NylonRingHostError, PluginEntry, PluginHandle};

use super::control::Control;
use super::subject::{
    BLOCK_BYTES, CHAT_FRAME_BYTES, CHAT_FRAMES, CHAT_TEXT, HEADERS, METHOD, PATH, QUERY,
    STREAM_FRAMES, Subject, block, repeat, stream_payload,
};
use crate::error::{BenchError, check};
use crate::spin::Spin;

const PLUGIN: &str = "bench";

/// How the peer holds its plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hold {
    /// `load`: it can be unloaded and reloaded, as Becket's can.
    Unloadable,
    /// `load_pinned`: it stays for the life of the process, and calls are not tracked.
    Pinned,
}

/// The peer with its plugin.
pub(crate) struct Nylon {
    name: &'static str,
    plugin: PluginHandle,
    notify: PluginEntry,
    echo: PluginEntry,
    request: PluginEntry,
    leased: PluginEntry,
    stream: PluginEntry,
    chat: PluginEntry,
    thread: PluginEntry,
    control: Control,
    _host: Arc<NylonRingHost>,
}

impl Nylon {
    /// Loads a copy of the plugin.
    pub(crate) fn load(hold: Hold) -> Result<Self, BenchError> {
        let (name, file) = match hold {
            Hold::Unloadable => ("nylon-ring-host", "nylon"),
            Hold::Pinned => ("nylon-ring-host, pinned", "nylon_pinned"),
        };
        let control = Control::copy(file)?;
        let error = |error: NylonRingHostError| BenchError::host(name, error);
        // Room for a whole stream: frames that are sent inside `handle` come before the first read.
        let mut host = NylonRingHost::with_stream_capacity(STREAM_FRAMES as usize + 1);
        let path = control.path().to_string_lossy();
        match hold {
            Hold::Unloadable => host.load(PLUGIN, &path),
            Hold::Pinned => host.load_pinned(PLUGIN, &path),
        }
        .map_err(error)?;
        let plugin = host
            .plugin(PLUGIN)
            .ok_or_else(|| error(NylonRingHostError::PluginNotFound(PLUGIN.to_owned())))?;
        Ok(Self {
            name,
            notify: plugin.entry("notify").map_err(error)?,
            echo: plugin.entry("echo").map_err(error)?,
            request: plugin.entry("request").map_err(error)?,
            leased: plugin.entry("leased").map_err(error)?,
            stream: plugin.entry("stream").map_err(error)?,
            chat: plugin.entry("chat").map_err(error)?,
            thread: plugin.entry("thread").map_err(error)?,
            plugin,
            control,
            _host: Arc::new(host),
        })
    }

    fn failed(&self, error: NylonRingHostError) -> BenchError {
        BenchError::host(self.name, error)
    }

    fn check_unary(
        &self,
        operation: &'static str,
        bytes: usize,
        answer: Result<(NrStatus, Vec<u8>), NylonRingHostError>,
    ) -> Result<(), BenchError> {
        let (status, body) = answer.map_err(|error| self.failed(error))?;
        check(self.name, operation, (NrStatus::Ok, bytes), (status, body.len()))
    }
}

/// The metadata as the plugin's second dialect reads it: each text behind its length.
fn pack(payload: &mut Vec<u8>) {
    fn text(payload: &mut Vec<u8>, text: &str) {
        payload.extend_from_slice(&(text.len() as u32).to_ne_bytes());
        payload.extend_from_slice(text.as_bytes());
    }
    payload.clear();
    text(payload, PATH);
    text(payload, METHOD);
    text(payload, QUERY);
    payload.extend_from_slice(&(HEADERS.len() as u32).to_ne_bytes());
    for (key, value) in std::hint::black_box(HEADERS) {
        text(payload, key);
        text(payload, value);
    }
}

impl Subject for Nylon {
    fn notify(&self, n: u64) -> Result<(), BenchError> {
        repeat!(n, {
            let status = self.notify.call(&[]).await.map_err(|error| self.failed(error))?;
            check(self.name, "notify", NrStatus::Ok, status)?;
        })
    }

    fn inside_handle(&self, n: u64) -> Result<(), BenchError> {
        repeat!(n, self.check_unary("inside handle", 0, self.echo.call_response_fast(&[]).await)?)
    }

    fn unary(&self, n: u64) -> Result<(), BenchError> {
        repeat!(n, self.check_unary("unary", 0, self.echo.call_response(&[]).await)?)
    }

    fn unary_by_name(&self, n: u64) -> Result<(), BenchError> {
        repeat!(n, {
            let answer = self.plugin.call_response("echo", &[]).await;
            self.check_unary("unary by name", 0, answer)?;
        })
    }

    fn request(&self, n: u64) -> Result<(), BenchError> {
        let mut payload = Vec::new();
        pack(&mut payload);
        repeat!(n, self.check_unary("request", 0, self.request.call_response(&payload).await)?)
    }

    fn request_made(&self, n: u64) -> Result<(), BenchError> {
        // The best that a caller can do: one buffer for all calls.
        let mut payload = Vec::new();
        repeat!(n, {
            pack(&mut payload);
            self.check_unary("request", 0, self.request.call_response(&payload).await)?;
        })
    }

    fn owned(&self, n: u64) -> Result<(), BenchError> {
        repeat!(n, {
            let (status, body) = self
                .plugin
                .call_response_bytes("owned", &[])
                .await
                .map_err(|error| self.failed(error))?;
            check(self.name, "owned", (NrStatus::Ok, BLOCK_BYTES), (status, body.len()))?;
        })
    }

    fn leased(&self, n: u64) -> Result<(), BenchError> {
        repeat!(n, self.check_unary("leased", BLOCK_BYTES, self.leased.call_response(&[]).await)?)
    }

    fn stream(&self, n: u64, frame_bytes: u32) -> Result<(), BenchError> {
        let payload = stream_payload(frame_bytes);
        repeat!(n, {
            let (_, mut stream) =
                self.stream.call_stream(&payload).await.map_err(|error| self.failed(error))?;
            let mut frames = 0;
            let mut end = 0;
            while let Some(frame) = stream.recv().await {
                match frame.status {
                    NrStatus::StreamEnd => end += 1,
                    status => {
                        let got = (status, frame.data.len());
                        let expected = (NrStatus::Ok, frame_bytes as usize);
                        check(self.name, "stream", expected, got)?;
                        frames += 1;
                    }
                }
            }
            check(self.name, "stream", (STREAM_FRAMES, 1), (frames, end))?;
        })
    }

    fn session(&self, n: u64) -> Result<(), BenchError> {
        repeat!(n, {
            let (sid, mut stream) =
                self.chat.call_stream(&[]).await.map_err(|error| self.failed(error))?;
            for _ in 0..CHAT_FRAMES {
                let len = stream.recv().await.map(|frame| frame.data.len());
                check(self.name, "session: frame", Some(CHAT_FRAME_BYTES), len)?;
            }
            let status =
                self.plugin.send_stream_data(sid, CHAT_TEXT).map_err(|error| self.failed(error))?;
            check(self.name, "session: send", NrStatus::Ok, status)?;
            let echo = stream.recv().await;
            let echo = echo.as_ref().map(|frame| &*frame.data);
            check(self.name, "session: echo", Some(CHAT_TEXT), echo)?;
            let status = self.plugin.close_stream(sid).map_err(|error| self.failed(error))?;
            check(self.name, "session: close", NrStatus::Ok, status)?;
            let end = stream.recv().await.map(|frame| frame.status);
            check(self.name, "session: end", Some(NrStatus::StreamEnd), end)?;
            check(self.name, "session: after it", true, stream.recv().await.is_none())?;
        })
    }

    fn other_thread(&self, n: u64) -> Result<(), BenchError> {
        let spin = Spin::new();
        for _ in 0..n {
            let answer = spin.block_on(self.thread.call_response(&[]));
            self.check_unary("other thread", 0, answer)?;
        }
        Ok(())
    }

    fn verify(&self) -> Result<(), BenchError> {
        self.control.expect_notified(self.name, 1000, || self.notify(1000))?;
        block_on(async {
            for bytes in [0, 1, 64, BLOCK_BYTES] {
                let sent = block(bytes);
                let expected = (NrStatus::Ok, sent.clone());
                let got = self.echo.call_response(&sent).await;
                check(self.name, "echo", &expected, &got.map_err(|error| self.failed(error))?)?;
                let got = self.echo.call_response_fast(&sent).await;
                check(self.name, "echo", &expected, &got.map_err(|error| self.failed(error))?)?;
            }
            let leased = self.leased.call_response(&[]).await;
            let (_, body) = leased.map_err(|error| self.failed(error))?;
            check(self.name, "leased", block(BLOCK_BYTES), body)?;
            let owned = self.plugin.call_response_bytes("owned", &[]).await;
            let (_, body) = owned.map_err(|error| self.failed(error))?;
            check(self.name, "owned", &*block(BLOCK_BYTES), &*body)?;

            let bytes = 64;
            let opened = self.stream.call_stream(&stream_payload(bytes)).await;
            let (_, mut stream) = opened.map_err(|error| self.failed(error))?;
            for _ in 0..STREAM_FRAMES {
                let data = stream.recv().await.map(|frame| frame.data);
                check(self.name, "stream", Some(block(bytes as usize)), data)?;
            }
            Ok(())
        })
    }

    fn control(&self) -> &Control {
        &self.control
    }
}
