// SPDX-License-Identifier: BSD-3-Clause
//! yamux: all flows of an adapter are streams of one connection, over a duplex.
//!
//! ```text
//!   flow ──► outbound stream ─┐                             ┌─► inbound stream ──► flow
//!   flow ──► outbound stream ─┴─ client ══ duplex ══ server ─┴─► inbound stream ──► flow
//! ```
//!
//! The server learns of a stream with its first frame. So the first byte of each stream is the number
//! of its flow, which the bridge writes and takes off.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use becket_lab::bridge::{self, Conduit, Failure, Medium, Spec};
use becket_lab::contract::{FlowId, Limits};
use futures_util::{AsyncRead, AsyncWrite};
use tokio::io::DuplexStream;
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt as _};
use yamux::{Config, Connection, Mode, Stream};

use crate::bridged;

/// Bytes between the two sides.
const WIRE_BYTES: usize = 4096;
/// What yamux lets a stream have under way at first.
const WINDOW_BYTES: u64 = 256 << 10;
/// Streams of a connection, at most: what it is by default.
const STREAMS_MAX: usize = 512;

/// What conduits have in common.
#[derive(Default)]
struct Shared {
    /// Flows that were opened, and for which there is no stream yet.
    wanted: Vec<u32>,
    outbound: BTreeMap<u32, Stream>,
    inbound: BTreeMap<u32, Stream>,
    /// Conduits that wait for a stream.
    waits: BTreeMap<(bool, u32), Waker>,
    /// The medium is to be called.
    work: Option<Waker>,
}

impl Shared {
    fn take(&mut self, is_out: bool, flow: u32, cx: &Context<'_>) -> Poll<Stream> {
        let streams = if is_out { &mut self.outbound } else { &mut self.inbound };
        match streams.remove(&flow) {
            Some(stream) => Poll::Ready(stream),
            None => {
                self.waits.insert((is_out, flow), cx.waker().clone());
                Poll::Pending
            }
        }
    }

    fn give(&mut self, is_out: bool, flow: u32, stream: Stream) {
        let streams = if is_out { &mut self.outbound } else { &mut self.inbound };
        streams.insert(flow, stream);
        if let Some(waker) = self.waits.remove(&(is_out, flow)) {
            waker.wake();
        }
    }
}

type Wire = Compat<DuplexStream>;

struct Muxer {
    client: Connection<Wire>,
    server: Connection<Wire>,
    /// Streams that came, until their first byte did.
    unnamed: Vec<Stream>,
    shared: Rc<RefCell<Shared>>,
}

impl Muxer {
    fn new() -> Self {
        let (one, other) = tokio::io::duplex(WIRE_BYTES);
        // Else the window of a stream doubles when it is taken from fast, by the clock.
        let mut config = Config::default();
        config.set_max_num_streams(STREAMS_MAX);
        config.set_max_connection_receive_window(Some(STREAMS_MAX * WINDOW_BYTES as usize));
        Self {
            client: Connection::new(one.compat(), config.clone(), Mode::Client),
            server: Connection::new(other.compat(), config, Mode::Server),
            unnamed: Vec::new(),
            shared: Rc::default(),
        }
    }
}

fn broken<E>(_: E) -> Failure {
    Failure::new("the connection is broken")
}

impl Medium for Muxer {
    type Conduit = Ends;

    fn open(&mut self, flow: FlowId) -> Result<Ends, Failure> {
        let flow = flow.number();
        self.shared.borrow_mut().wanted.push(flow);
        let shared = Rc::clone(&self.shared);
        Ok(Ends { flow, shared, writer: None, is_named: false, reader: None, is_abandoned: false })
    }

    fn poll_work(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        let shared = Rc::clone(&self.shared);
        shared.borrow_mut().work = Some(cx.waker().clone());
        while let Some(flow) = { shared.borrow_mut().wanted.pop() } {
            match self.client.poll_new_outbound(cx) {
                Poll::Ready(stream) => {
                    shared.borrow_mut().give(true, flow, stream.map_err(broken)?)
                }
                Poll::Pending => {
                    shared.borrow_mut().wanted.push(flow);
                    break;
                }
            }
        }
        while let Poll::Ready(came) = self.client.poll_next_inbound(cx) {
            came.ok_or("over").map_err(broken)?.map_err(broken)?;
        }
        while let Poll::Ready(came) = self.server.poll_next_inbound(cx) {
            self.unnamed.push(came.ok_or("over").map_err(broken)?.map_err(broken)?);
        }
        for mut stream in std::mem::take(&mut self.unnamed) {
            let mut name = [0];
            match Pin::new(&mut stream).poll_read(cx, &mut name) {
                Poll::Pending => self.unnamed.push(stream),
                Poll::Ready(Ok(1)) => shared.borrow_mut().give(false, name[0].into(), stream),
                // It was broken off before it said whose it is: that flow waits for nothing.
                Poll::Ready(_) => {}
            }
        }
        Poll::Pending
    }
}

struct Ends {
    flow: u32,
    shared: Rc<RefCell<Shared>>,
    writer: Option<Stream>,
    is_named: bool,
    reader: Option<Stream>,
    is_abandoned: bool,
}

impl Ends {
    /// The writing end, behind the number of its flow.
    fn writer(&mut self, cx: &mut Context<'_>) -> Poll<Result<Pin<&mut Stream>, Failure>> {
        if self.writer.is_none() {
            self.writer = Some(ready!(self.shared.borrow_mut().take(true, self.flow, cx)));
        }
        let mut writer = Pin::new(self.writer.as_mut().unwrap());
        if !self.is_named {
            let name = [u8::try_from(self.flow).unwrap()];
            ready!(writer.as_mut().poll_write(cx, &name)).map_err(|e| Failure::of_io(&e))?;
            self.is_named = true;
        }
        Poll::Ready(Ok(writer))
    }
}

impl Conduit for Ends {
    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize, Failure>> {
        ready!(self.writer(cx))?.poll_write(cx, bytes).map_err(|e| Failure::of_io(&e))
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        ready!(self.writer(cx))?.poll_flush(cx).map_err(|e| Failure::of_io(&e))
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        ready!(self.writer(cx))?.poll_close(cx).map_err(|e| Failure::of_io(&e))
    }

    fn abandon(&mut self) {
        self.is_abandoned = true;
        self.writer = None;
        let mut shared = self.shared.borrow_mut();
        shared.outbound.remove(&self.flow);
        if !self.is_named {
            // The other side never received it, and never will.
            shared.wanted.retain(|flow| *flow != self.flow);
            if let Some(waker) = shared.waits.remove(&(false, self.flow)) {
                waker.wake();
            }
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<Result<usize, Failure>> {
        if self.reader.is_none() {
            if self.is_abandoned && !self.is_named {
                return Poll::Ready(Ok(0));
            }
            self.reader = Some(ready!(self.shared.borrow_mut().take(false, self.flow, cx)));
        }
        let reader = Pin::new(self.reader.as_mut().unwrap());
        reader.poll_read(cx, into).map_err(|e| Failure::of_io(&e))
    }
}

impl Drop for Ends {
    fn drop(&mut self) {
        let mut shared = self.shared.borrow_mut();
        shared.wanted.retain(|flow| *flow != self.flow);
        for is_out in [false, true] {
            shared.waits.remove(&(is_out, self.flow));
        }
        shared.outbound.remove(&self.flow);
        shared.inbound.remove(&self.flow);
        if let Some(work) = shared.work.take() {
            work.wake();
        }
    }
}

#[test]
fn yamux_streams_of_one_connection() {
    let make = |limits: Limits| {
        let wire = 2 * WIRE_BYTES as u64;
        let limits = Limits {
            flow_buffered_bytes_max: WINDOW_BYTES + wire,
            buffered_bytes_max: u64::from(limits.flows_max) * WINDOW_BYTES + wire,
            ..limits
        };
        bridge::pair(&Spec::new("yamux", limits), Muxer::new)
    };
    bridged::passes("yamux", &make, 24);
}
