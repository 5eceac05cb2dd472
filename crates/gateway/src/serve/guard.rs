// SPDX-License-Identifier: BSD-3-Clause
//! The socket: what it counts and when it gives up.
//!
//! # Invariants
//!
//! 1. A write that finds the socket full sets one timer; any progress clears it. A client that
//!    takes nothing for that long loses its connection, whatever is spoken on it.
//! 2. Nothing else costs a timer: [`Activity`] is looked at by its connection's own slow tick.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::TARGET;
use crate::connections::Permit;

/// What happened on a connection since somebody last looked.
#[derive(Debug, Default)]
pub(super) struct Activity {
    /// Requests that are being answered.
    busy: AtomicU32,
    /// Something was answered or sent.
    moved: AtomicBool,
    /// Bytes came that did not make a request yet.
    unfinished: AtomicBool,
}

impl Activity {
    /// Whether nothing is being answered and nothing was sent since the last look.
    pub(super) fn was_idle(&self) -> bool {
        !self.moved.swap(false, Relaxed) && self.busy.load(Relaxed) == 0
    }

    pub(super) fn has_unfinished(&self) -> bool {
        self.unfinished.load(Relaxed)
    }
}

/// One request that is being answered.
#[derive(Debug)]
pub(crate) struct Busy(Arc<Activity>);

impl Busy {
    pub(super) fn new(activity: &Arc<Activity>) -> Self {
        activity.busy.fetch_add(1, Relaxed);
        activity.unfinished.store(false, Relaxed);
        Self(Arc::clone(activity))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.moved.store(true, Relaxed);
        self.0.busy.fetch_sub(1, Relaxed);
    }
}

/// A socket with its permit, its activity and its stall timer.
#[derive(Debug)]
pub(super) struct Guarded {
    socket: TcpStream,
    activity: Arc<Activity>,
    stall_max: Duration,
    stall: Option<Pin<Box<Sleep>>>,
    _permit: Permit,
}

impl Guarded {
    pub(super) fn new(
        socket: TcpStream,
        activity: Arc<Activity>,
        stall_max: Duration,
        permit: Permit,
    ) -> Self {
        Self { socket, activity, stall_max, stall: None, _permit: permit }
    }

    fn poll_written(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.stall = None;
            self.activity.moved.store(true, Relaxed);
            return written;
        }
        let stall_max = self.stall_max;
        let stall =
            self.stall.get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + stall_max)));
        ready!(stall.as_mut().poll(cx));
        tracing::debug!(target: TARGET, "a client took nothing for {} ms: cut off", stall_max.as_millis());
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Guarded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.socket).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.activity.unfinished.store(true, Relaxed);
        }
        read
    }
}

impl AsyncWrite for Guarded {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write(cx, buf);
        self.poll_written(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write_vectored(cx, bufs);
        self.poll_written(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}
