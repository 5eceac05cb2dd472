// SPDX-License-Identifier: BSD-3-Clause
//! The queue from a plugin to the receiver of one stream.
//!
//! A bounded deque under a one-byte lock, with a place of its own for the terminal frame, so that
//! the end always gets through. It belongs to a slot of the call table and is used again by the
//! slot's next stream; the stream's id inside tells the two apart.
//!
//! # Invariants, under the lock
//!
//! 1. A frame is accepted only while `sid` is the sender's, there is no terminal, and the bounds
//!    hold; accepted frames come out in the order of acceptance, each once.
//! 2. Nothing is accepted after a terminal; the terminal comes out after every frame.
//! 3. The receiver takes all queued frames at once into a deque of its own: those count as taken,
//!    so that at most twice the bound is held.

use std::{
    collections::VecDeque,
    mem,
    task::{Context, Poll, Waker},
    time::Instant,
};

use becket_abi::NrStatus;
use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::body::Body;

/// Room that a queue keeps for its next stream, in frames.
const KEPT_FRAMES: usize = 64;

/// One frame of a stream.
#[derive(Debug, Clone)]
pub struct Frame {
    /// `Ok`, or `StreamEnd` if the last frame carried bytes.
    pub status: NrStatus,
    /// The bytes.
    pub body: Body,
}

/// How a stream ended.
#[derive(Debug)]
pub(crate) enum End {
    /// By the plugin's terminal frame.
    Plugin(Frame),
    /// By `handle`, which ran on a worker and did not return `Ok`.
    Refused(NrStatus),
    /// At its deadline.
    DeadlineExceeded,
    /// Without a frame for too long.
    Idle,
    /// The plugin went away.
    Unloaded,
}

/// What a receiver found.
#[derive(Debug)]
pub(crate) enum Next {
    /// Frames; `starved`: the plugin waits to hear that there is room.
    Frames { starved: bool },
    /// The end.
    End(End),
}

/// What became of a look at an idle stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Idle {
    /// It was idle, and was ended.
    Ended,
    /// It had ended already.
    Over,
    /// Something moved; this is the count now.
    Active(u64),
}

/// Why a frame was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rejected {
    /// The stream is over.
    Late,
    /// The queue is full.
    Full,
}

/// See the module's documentation.
pub(crate) struct StreamCell {
    inner: Mutex<Inner>,
    /// Senders that wait for room.
    room: Condvar,
}

#[derive(Default)]
struct Inner {
    /// The stream's id; 0 while the queue is unused.
    sid: u64,
    frames: VecDeque<Frame>,
    bytes: u64,
    end: Option<End>,
    /// The end was taken: late frames are refused though `sid` still matches.
    over: bool,
    receiver: Option<Waker>,
    /// How often the plugin said that it takes data again.
    readied: u64,
    /// Senders that wait for it to say so.
    senders: Vec<Waker>,
    frames_max: usize,
    bytes_max: u64,
    /// `handle` returned, or a frame came: data may be sent to the plugin.
    opened: bool,
    opener: Option<Waker>,
    /// A frame was refused for want of room: the plugin is to be told when there is some.
    starved: bool,
    /// Frames either way, for the idle timeout.
    activity: u64,
    waiting: u32,
}

impl StreamCell {
    pub(crate) fn new() -> Self {
        Self { inner: Mutex::new(Inner::default()), room: Condvar::new() }
    }

    /// Prepares the queue for stream `sid`.
    pub(crate) fn open(&self, sid: u64, frames_max: u32, bytes_max: u64) {
        let mut inner = self.inner.lock();
        inner.sid = sid;
        inner.over = false;
        inner.end = None;
        inner.starved = false;
        inner.opened = false;
        inner.activity = 0;
        inner.bytes = 0;
        inner.frames_max = frames_max as usize;
        inner.bytes_max = bytes_max;
    }

    /// Takes a frame, or the end if its status says so. `body` is made only if it is taken.
    #[inline]
    pub(crate) fn push(
        &self,
        sid: u64,
        status: NrStatus,
        len: u64,
        body: impl FnOnce() -> Body,
    ) -> Result<(), Rejected> {
        self.push_locked(self.inner.lock(), sid, status, len, body)
    }

    /// As [`Self::push`], but waits for room until `deadline`.
    pub(crate) fn push_until(
        &self,
        sid: u64,
        status: NrStatus,
        len: u64,
        body: impl FnOnce() -> Body,
        deadline: Instant,
    ) -> Result<(), Rejected> {
        let mut inner = self.inner.lock();
        while inner.accepts(sid, status, len) == Err(Rejected::Full) {
            inner.waiting += 1;
            let timed_out = self.room.wait_until(&mut inner, deadline).timed_out();
            inner.waiting -= 1;
            if timed_out {
                break;
            }
        }
        self.push_locked(inner, sid, status, len, body)
    }

    #[inline]
    fn push_locked(
        &self,
        mut inner: MutexGuard<'_, Inner>,
        sid: u64,
        status: NrStatus,
        len: u64,
        body: impl FnOnce() -> Body,
    ) -> Result<(), Rejected> {
        if let Err(rejected) = inner.accepts(sid, status, len) {
            inner.starved |= rejected == Rejected::Full;
            return Err(rejected);
        }
        let frame = Frame { status, body: body() };
        inner.activity += 1;
        if status.is_terminal() {
            self.end_locked(inner, End::Plugin(frame));
        } else {
            inner.bytes += len;
            inner.frames.push_back(frame);
            let first = !mem::replace(&mut inner.opened, true);
            let opener = if first { inner.opener.take() } else { None };
            let receiver = inner.receiver.take();
            drop(inner);
            if let Some(receiver) = receiver {
                receiver.wake();
            }
            if let Some(opener) = opener {
                opener.wake();
            }
        }
        Ok(())
    }

    fn end_locked(&self, mut inner: MutexGuard<'_, Inner>, end: End) {
        inner.end = Some(end);
        let wakers = [inner.receiver.take(), inner.opener.take()];
        let senders = mem::take(&mut inner.senders);
        if inner.waiting > 0 {
            self.room.notify_all();
        }
        drop(inner);
        wakers.into_iter().flatten().chain(senders).for_each(Waker::wake);
    }

    /// `handle` returned.
    pub(crate) fn set_opened(&self, sid: u64) {
        let mut inner = self.inner.lock();
        if inner.sid == sid {
            inner.opened = true;
            let opener = inner.opener.take();
            drop(inner);
            if let Some(opener) = opener {
                opener.wake();
            }
        }
    }

    /// Waits until data may be sent to the plugin, or the stream ended before; then says how, if
    /// `handle` refused it.
    pub(crate) fn poll_opened(&self, context: &mut Context<'_>) -> Poll<Result<(), NrStatus>> {
        let mut inner = self.inner.lock();
        match inner.end {
            Some(End::Refused(status)) => return Poll::Ready(Err(status)),
            None if !inner.opened => {}
            _ => return Poll::Ready(Ok(())),
        }
        inner.opener = Some(context.waker().clone());
        Poll::Pending
    }

    /// Ends the stream from the host's side. True if it was still open.
    pub(crate) fn end(&self, sid: u64, end: End) -> bool {
        let inner = self.inner.lock();
        if inner.sid != sid || inner.end.is_some() || inner.over {
            return false;
        }
        self.end_locked(inner, end);
        true
    }

    /// Ends the stream because its plugin goes away. True if it was still open.
    pub(crate) fn end_unloaded(&self, sid: u64) -> bool {
        self.end(sid, End::Unloaded)
    }

    /// Ends the stream as idle if nothing moved since `activity`.
    pub(crate) fn end_if_idle(&self, sid: u64, activity: u64) -> Idle {
        let inner = self.inner.lock();
        if inner.sid != sid || inner.end.is_some() || inner.over {
            return Idle::Over;
        }
        if inner.activity != activity || !inner.frames.is_empty() {
            return Idle::Active(inner.activity);
        }
        self.end_locked(inner, End::Idle);
        Idle::Ended
    }

    /// Moves what is queued to `taken`, or gives the end, or registers the receiver.
    pub(crate) fn poll(
        &self,
        taken: &mut VecDeque<Frame>,
        context: &mut Context<'_>,
    ) -> Poll<Next> {
        let mut inner = self.inner.lock();
        if !inner.frames.is_empty() {
            mem::swap(&mut inner.frames, taken);
            inner.bytes = 0;
            if inner.waiting > 0 {
                self.room.notify_all();
            }
            return Poll::Ready(Next::Frames { starved: mem::take(&mut inner.starved) });
        }
        if let Some(end) = inner.end.take() {
            inner.over = true;
            return Poll::Ready(Next::End(end));
        }
        match &mut inner.receiver {
            Some(waker) => waker.clone_from(context.waker()),
            none => *none = Some(context.waker().clone()),
        }
        Poll::Pending
    }

    /// Data went to the plugin.
    pub(crate) fn touch(&self) {
        self.inner.lock().activity += 1;
    }

    /// The plugin takes data again.
    pub(crate) fn set_ready(&self, sid: u64) -> bool {
        let mut inner = self.inner.lock();
        if inner.sid != sid || inner.over {
            return false;
        }
        inner.readied += 1;
        let senders = mem::take(&mut inner.senders);
        drop(inner);
        senders.into_iter().for_each(Waker::wake);
        true
    }

    /// How often the plugin said that it takes data again: read before data is offered, so that
    /// what it says from then on is not missed, whichever sender it was said for.
    pub(crate) fn readied(&self) -> u64 {
        self.inner.lock().readied
    }

    /// Waits until the plugin has said that it takes data since `readied` was read, or the stream
    /// is over.
    pub(crate) fn poll_ready(&self, sid: u64, readied: u64, context: &mut Context<'_>) -> Poll<()> {
        let mut inner = self.inner.lock();
        if inner.readied != readied || inner.sid != sid || inner.end.is_some() || inner.over {
            return Poll::Ready(());
        }
        if !inner.senders.iter().any(|waker| waker.will_wake(context.waker())) {
            inner.senders.push(context.waker().clone());
        }
        Poll::Pending
    }

    /// True while frames may still come out.
    pub(crate) fn is_open(&self, sid: u64) -> bool {
        let inner = self.inner.lock();
        inner.sid == sid && inner.end.is_none() && !inner.over
    }

    /// The receiver leaves: nothing is accepted any more, and what is queued is dropped. Returns
    /// true if the plugin had not ended the stream.
    pub(crate) fn close(&self) -> bool {
        let mut inner = self.inner.lock();
        let open = inner.end.is_none() && !inner.over;
        inner.sid = 0;
        inner.over = true;
        inner.bytes = 0;
        let end = inner.end.take();
        inner.receiver = None;
        inner.opener = None;
        let senders = mem::take(&mut inner.senders);
        let mut frames = mem::take(&mut inner.frames);
        if inner.waiting > 0 {
            self.room.notify_all();
        }
        drop(inner);
        // Dropping an owned body runs the plugin's code: not under the lock.
        drop(end);
        senders.into_iter().for_each(Waker::wake);
        frames.clear();
        if frames.capacity() <= KEPT_FRAMES {
            self.inner.lock().frames = frames;
        }
        open
    }
}

impl Inner {
    #[inline]
    fn accepts(&self, sid: u64, status: NrStatus, len: u64) -> Result<(), Rejected> {
        if self.sid != sid || self.over || self.end.is_some() {
            return Err(Rejected::Late);
        }
        let full = self.frames.len() >= self.frames_max
            || (!self.frames.is_empty() && self.bytes.saturating_add(len) > self.bytes_max);
        if full && !status.is_terminal() {
            return Err(Rejected::Full);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(cell: &StreamCell, sid: u64, status: NrStatus, bytes: &[u8]) -> Result<(), Rejected> {
        cell.push(sid, status, bytes.len() as u64, || Body::copy_of(bytes))
    }

    fn drain(cell: &StreamCell) -> (Vec<Vec<u8>>, Option<End>) {
        let mut context = Context::from_waker(Waker::noop());
        let mut taken = VecDeque::new();
        let mut out = Vec::new();
        loop {
            match cell.poll(&mut taken, &mut context) {
                Poll::Ready(Next::Frames { .. }) => {
                    out.extend(taken.drain(..).map(|frame| frame.body.to_vec()));
                }
                Poll::Ready(Next::End(end)) => return (out, Some(end)),
                Poll::Pending => return (out, None),
            }
        }
    }

    #[test]
    fn the_terminal_gets_through_a_full_queue_and_nothing_after_it() {
        let cell = StreamCell::new();
        cell.open(9, 2, 1024);
        assert_eq!(push(&cell, 9, NrStatus::Ok, b"a"), Ok(()));
        assert_eq!(push(&cell, 9, NrStatus::Ok, b"b"), Ok(()));
        assert_eq!(push(&cell, 9, NrStatus::Ok, b"c"), Err(Rejected::Full));
        assert_eq!(push(&cell, 9, NrStatus::StreamEnd, b"end"), Ok(()));
        assert_eq!(push(&cell, 9, NrStatus::Ok, b"d"), Err(Rejected::Late));
        assert_eq!(push(&cell, 9, NrStatus::Err, b"e"), Err(Rejected::Late));
        let (frames, end) = drain(&cell);
        assert_eq!(frames, [b"a", b"b"]);
        let Some(End::Plugin(last)) = end else { panic!("no terminal: {end:?}") };
        assert_eq!((last.status, &*last.body), (NrStatus::StreamEnd, &b"end"[..]));
        assert_eq!(push(&cell, 9, NrStatus::Ok, b"f"), Err(Rejected::Late));
    }

    #[test]
    fn senders_that_wait_leave_one_another_alone_and_all_hear() {
        struct Count(std::sync::atomic::AtomicU32);
        impl std::task::Wake for Count {
            fn wake(self: std::sync::Arc<Self>) {
                self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            }
        }
        let cell = StreamCell::new();
        cell.open(5, 4, 64);
        let counts = [(); 2].map(|()| std::sync::Arc::new(Count(0.into())));
        let readied = cell.readied();
        for count in &counts {
            let waker = Waker::from(count.clone());
            let mut context = Context::from_waker(&waker);
            assert!(cell.poll_ready(5, readied, &mut context).is_pending());
            assert!(cell.poll_ready(5, readied, &mut context).is_pending());
        }
        let woken =
            || counts.each_ref().map(|count| count.0.load(std::sync::atomic::Ordering::SeqCst));
        assert_eq!(woken(), [0, 0], "waiting wakes nobody");
        assert!(cell.set_ready(5));
        assert_eq!(woken(), [1, 1]);
        // Said while another sender offered: still news for who read before.
        let mut context = Context::from_waker(Waker::noop());
        assert!(cell.poll_ready(5, readied, &mut context).is_ready());
        assert!(cell.poll_ready(5, cell.readied(), &mut context).is_pending());
    }

    #[test]
    fn bytes_are_bounded_but_one_large_frame_passes() {
        let cell = StreamCell::new();
        cell.open(1, 100, 4);
        assert_eq!(push(&cell, 1, NrStatus::Ok, b"large one"), Ok(()));
        assert_eq!(push(&cell, 1, NrStatus::Ok, b"x"), Err(Rejected::Full));
        assert_eq!(drain(&cell).0, [b"large one"]);
        assert_eq!(push(&cell, 1, NrStatus::Ok, b"x"), Ok(()));
    }

    #[test]
    fn another_streams_id_is_refused_and_the_queue_is_used_again() {
        let cell = StreamCell::new();
        cell.open(1, 4, 64);
        assert_eq!(push(&cell, 2, NrStatus::Ok, b"x"), Err(Rejected::Late));
        assert_eq!(push(&cell, 1, NrStatus::Ok, b"old"), Ok(()));
        assert!(cell.close());
        assert_eq!(push(&cell, 1, NrStatus::Ok, b"x"), Err(Rejected::Late));
        cell.open(3, 4, 64);
        assert_eq!(push(&cell, 3, NrStatus::Ok, b"new"), Ok(()));
        assert_eq!(drain(&cell).0, [b"new"]);
    }

    #[test]
    fn frames_of_eight_threads_all_arrive_once_in_each_ones_order() {
        let cell = StreamCell::new();
        cell.open(7, 16, 1 << 20);
        let far = Instant::now() + std::time::Duration::from_secs(60);
        let mut seen = [0_u32; 8];
        std::thread::scope(|scope| {
            for thread in 0..8_u8 {
                let cell = &cell;
                scope.spawn(move || {
                    for at in 0..200_u32 {
                        let mut bytes = vec![thread];
                        bytes.extend(at.to_le_bytes());
                        let body = || Body::copy_of(&bytes);
                        cell.push_until(7, NrStatus::Ok, 5, body, far).unwrap();
                    }
                });
            }
            let mut total = 0;
            let mut taken = VecDeque::new();
            while total < 1600 {
                let next = std::future::poll_fn(|context| cell.poll(&mut taken, context));
                assert!(matches!(futures_lite::future::block_on(next), Next::Frames { .. }));
                for frame in taken.drain(..) {
                    let thread = usize::from(frame.body[0]);
                    let at = u32::from_le_bytes(frame.body[1..5].try_into().unwrap());
                    assert_eq!(at, seen[thread]);
                    seen[thread] += 1;
                    total += 1;
                }
            }
        });
        assert_eq!(seen, [200; 8]);
    }
}
