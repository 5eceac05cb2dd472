// SPDX-License-Identifier: BSD-3-Clause
//! The socket: its activity, its stall timer, hyper's refusals completed.
//!
//! # Invariants
//!
//! 1. A write that finds the socket full sets one timer; any progress clears it. A client that
//!    reads nothing for that long loses its connection, whatever its protocol.
//! 2. Nothing else sets a timer: the connection's slow tick reads [`Activity`]. Acknowledgements of
//!    HTTP/2 are not activity (`answering`).
//! 3. A flush waits only with TLS, for the last bytes of a session's buffer. It is activity, and has the same
//!    time as a write.
//! 4. hyper flushes only when everything that it has was written. So what is written while no body
//!    has handed bytes over since the last flush is heads alone, and a refusal of hyper's parser
//!    can be distinguished from them (`bare`).

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use super::answering::FrameScan;
use super::bare::Bare;
use super::first::First;
use super::socket::Socket;
use crate::TARGET;
use crate::connections::Permit;

/// How many pieces of 4 KiB behind a refused head are read before the connection is closed.
const UNREAD_PIECES_MAX: usize = 64;

/// What happened on a connection since the last call of [`Activity::was_idle`].
#[derive(Debug, Default)]
pub(super) struct Activity {
    /// Requests that are being answered.
    busy: AtomicU32,
    /// Something was answered or sent.
    moved: AtomicBool,
    /// Bytes came that did not make a request yet.
    unfinished: AtomicBool,
    /// A body handed bytes over since the last flush.
    has_body: AtomicBool,
    /// What is written is not HTTP/1 any more.
    no_heads: AtomicBool,
    /// The next answer is the last.
    leaving: AtomicBool,
}

impl Activity {
    /// Whether nothing is being answered and nothing was sent since the last call.
    pub(super) fn was_idle(&self) -> bool {
        !self.moved.swap(false, Relaxed) && self.busy.load(Relaxed) == 0
    }

    pub(super) fn has_unfinished(&self) -> bool {
        self.unfinished.load(Relaxed)
    }

    /// From now on no HTTP/1 is written: another protocol has the connection.
    pub(super) fn writes_no_heads(&self) {
        self.no_heads.store(true, Relaxed);
    }

    /// From now on each answer is the last of its connection.
    pub(super) fn leaves(&self) {
        self.leaving.store(true, Relaxed);
    }

    pub(super) fn is_leaving(&self) -> bool {
        self.leaving.load(Relaxed)
    }

    fn writes_heads_alone(&self) -> bool {
        !self.has_body.load(Relaxed) && !self.no_heads.load(Relaxed)
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

    pub(super) fn activity(&self) -> &Activity {
        &self.0
    }

    /// Its answer's body hands bytes over.
    pub(super) fn hands_over(&self) {
        self.0.has_body.store(true, Relaxed);
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.moved.store(true, Relaxed);
        self.0.busy.fetch_sub(1, Relaxed);
    }
}

/// Up to this many bytes are cheaper to copy together than for the system to gather.
const COPIED_MAX: usize = 1024;

/// A socket with its permit, its activity and its stall timer.
#[derive(Debug)]
pub(super) struct Guarded {
    socket: Socket,
    /// Read before all others.
    first: First,
    activity: Arc<Activity>,
    stall_max: Duration,
    stall: Option<Pin<Box<Sleep>>>,
    bare: Bare,
    refusal: Option<Refusal>,
    /// Of HTTP/2: what is written for requests.
    frames: Option<FrameScan>,
    _permit: Permit,
}

/// An answer in place of hyper's own, on its way.
#[derive(Debug)]
struct Refusal {
    text: Vec<u8>,
    written: usize,
}

impl Guarded {
    pub(super) fn new(
        socket: Socket,
        first: First,
        activity: Arc<Activity>,
        stall_max: Duration,
        bare: Bare,
        permit: Permit,
    ) -> Self {
        Self {
            socket,
            first,
            activity,
            stall_max,
            stall: None,
            bare,
            refusal: None,
            frames: None,
            _permit: permit,
        }
    }

    /// Its protocol is HTTP/2: only what is written for requests is activity.
    pub(super) fn http2(self) -> Self {
        Self { frames: Some(FrameScan::default()), ..self }
    }

    /// Notes these bytes of `bufs` as written.
    fn wrote<'a>(
        &mut self,
        bufs: impl Iterator<Item = &'a [u8]>,
        written: &Poll<io::Result<usize>>,
    ) {
        let (Some(frames), Poll::Ready(Ok(written))) = (&mut self.frames, written) else { return };
        let mut left = *written;
        for buf in bufs {
            let wrote = buf.get(..left.min(buf.len())).unwrap_or_default();
            left -= wrote.len();
            if frames.wrote(wrote) {
                self.activity.moved.store(true, Relaxed);
            }
        }
    }

    /// Writes a refusal of hyper's parser with a body. `None`: `head` is something else.
    #[cold]
    fn poll_refusal(
        &mut self,
        cx: &mut Context<'_>,
        head: &[u8],
    ) -> Option<Poll<io::Result<usize>>> {
        if self.refusal.is_none() {
            self.refusal = Some(Refusal { text: self.bare.complete(head)?, written: 0 });
        }
        loop {
            let Refusal { text, written } = self.refusal.as_ref()?;
            let rest = text.get(*written..).unwrap_or_default();
            if rest.is_empty() {
                return Some(Poll::Ready(Ok(head.len())));
            }
            let wrote = Pin::new(&mut self.socket).poll_write(cx, rest);
            match self.poll_written(cx, wrote) {
                Poll::Ready(Ok(n)) if n > 0 => {
                    if let Some(refusal) = &mut self.refusal {
                        refusal.written += n;
                    }
                }
                Poll::Ready(Ok(_)) => {
                    return Some(Poll::Ready(Err(io::ErrorKind::WriteZero.into())));
                }
                other => return Some(other),
            }
        }
    }

    /// Reads what came behind a refused head: closing a socket with unread bytes resets the
    /// connection, and the client may lose the answer.
    fn discard_unread(&self) {
        let mut unread = [0; 4096];
        for _ in 0..UNREAD_PIECES_MAX {
            match self.socket.try_discard(&mut unread) {
                Ok(n) if n > 0 => {}
                _ => break,
            }
        }
    }

    fn poll_written(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.stall = None;
            if self.frames.is_none() {
                self.activity.moved.store(true, Relaxed);
            }
            return written;
        }
        ready!(self.poll_stalled(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    /// A flush that is not done. The timer stays until the next write, which the session takes at once: its buffer is
    /// empty after a flush.
    #[cold]
    fn poll_flushing(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.activity.moved.store(true, Relaxed);
        ready!(self.poll_stalled(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    /// Completes when the socket was full for too long.
    fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let stall_max = self.stall_max;
        let stall =
            self.stall.get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + stall_max)));
        ready!(stall.as_mut().poll(cx));
        tracing::debug!(target: TARGET, "a client took nothing for {} ms: cut off", stall_max.as_millis());
        Poll::Ready(())
    }
}

/// Copies all of `bufs`, if they fit.
fn copy_all<'a>(bufs: &[io::IoSlice<'_>], to: &'a mut [u8; COPIED_MAX]) -> Option<&'a [u8]> {
    let mut len = 0;
    for buf in bufs {
        to.get_mut(len..len + buf.len())?.copy_from_slice(buf);
        len += buf.len();
    }
    to.get(..len)
}

impl AsyncRead for Guarded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        if !self.first.is_empty() {
            self.first.move_into(buf);
        }
        let had_first = buf.filled().len() > before;
        // With the first bytes, so that the protocol's first read is a whole head, if that is there.
        let read = match buf.remaining() {
            0 if had_first => Poll::Ready(Ok(())),
            _ => Pin::new(&mut self.socket).poll_read(cx, buf),
        };
        if buf.filled().len() > before {
            self.activity.unfinished.store(true, Relaxed);
        }
        // An error is returned again by the next read.
        if had_first { Poll::Ready(Ok(())) } else { read }
    }
}

impl AsyncWrite for Guarded {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.activity.writes_heads_alone()
            && let Some(written) = self.poll_refusal(cx, buf)
        {
            return written;
        }
        let written = Pin::new(&mut self.socket).poll_write(cx, buf);
        self.wrote(std::iter::once(buf), &written);
        self.poll_written(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.activity.writes_heads_alone()
            && let [head] = bufs
            && let Some(written) = self.poll_refusal(cx, head)
        {
            return written;
        }
        let mut small = [0; COPIED_MAX];
        let written = match copy_all(bufs, &mut small) {
            Some(bytes) => Pin::new(&mut self.socket).poll_write(cx, bytes),
            None => Pin::new(&mut self.socket).poll_write_vectored(cx, bufs),
        };
        self.wrote(bufs.iter().map(|buf| &**buf), &written);
        self.poll_written(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.activity.has_body.store(false, Relaxed);
        let flushed = Pin::new(&mut self.socket).poll_flush(cx);
        match flushed {
            Poll::Pending => self.poll_flushing(cx),
            flushed => flushed,
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.refusal.is_some() {
            self.discard_unread();
        }
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}
