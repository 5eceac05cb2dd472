// SPDX-License-Identifier: BSD-3-Clause
//! The receiving end of one stream.
//!
//! It empties one buffer of the stream's queue while the plugin's threads fill the other
//! ([`super::queue`]), and gives the credit back a buffer at a time. So the frames that it is about to hand
//! over hold no credit any more, and at most twice the bound is buffered.

use std::task::{Context, Poll};

use becket_abi::NrStatus;

use super::{
    cell::{CloseResult, Frame, MessageKind, StreamCell},
    queue::Cursor,
};

/// A message that is no frame: how the stream ended.
#[derive(Debug)]
pub(super) struct Ending {
    pub(super) kind: MessageKind,
    pub(super) frame: Frame,
}

/// Why a stream ended before it was open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotOpened {
    /// `handle` returned this.
    Refused(NrStatus),
    DeadlineExceeded,
    Unloaded,
    Crashed,
    PluginFailed,
}

/// See the module's documentation. Dropping it without [`Self::close`] leaves the stream open.
pub(super) struct Inbox {
    cell: &'static StreamCell,
    cursor: Cursor<'static, Frame>,
    /// The plugin is to be notified that the stream is writable.
    is_starved: bool,
    awaits_opening: bool,
    /// A waker may have been left.
    has_waited: bool,
}

impl Inbox {
    /// The receiver of the stream for which `cell` was opened.
    pub(super) fn new(cell: &'static StreamCell) -> Self {
        Self {
            cell,
            cursor: Cursor::begin(),
            is_starved: false,
            awaits_opening: false,
            has_waited: false,
        }
    }

    /// The next of the messages that have come: a frame, or the stream's last one.
    #[inline(always)]
    pub(super) fn next(&mut self) -> Option<Result<Frame, Ending>> {
        loop {
            let message = self.cell.next(&mut self.cursor)?;
            if message.kind() == MessageKind::Frame as u32 {
                return Some(Ok(message.take()));
            }
            let (kind, frame) = (MessageKind::of(message.kind()), message.take());
            if kind != MessageKind::Nothing {
                return Some(Err(Ending { kind, frame }));
            }
        }
    }

    /// Waits for more when [`Self::next`] had nothing. After an end it is `Pending` for ever.
    pub(super) fn poll_more(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let (polled, is_starved) = self.cell.poll_more(&mut self.cursor, context);
        self.is_starved |= is_starved;
        self.has_waited |= polled.is_pending();
        polled
    }

    /// Waits until data may be sent to the plugin: `handle` has returned, a frame has come, or the
    /// plugin has ended the stream. An error if it ended otherwise before that.
    pub(super) fn poll_opened(&mut self, context: &mut Context<'_>) -> Poll<Result<(), NotOpened>> {
        if self.cell.peek(&self.cursor).is_none() && !self.cell.is_opened() {
            self.awaits_opening = true;
            self.cell.opener().register(context.waker());
            // Looked at again: it may have returned before the waker was in place.
            if self.poll_more(context).is_pending() && !self.cell.is_opened() {
                return Poll::Pending;
            }
        }
        // It is the first message then: behind a frame, no end is one of the opening.
        let Some((kind, status)) = self.cell.peek(&self.cursor) else { return Poll::Ready(Ok(())) };
        let why = match MessageKind::of(kind) {
            MessageKind::Refused => NotOpened::Refused(status),
            MessageKind::Frame | MessageKind::Last | MessageKind::Nothing => {
                return Poll::Ready(Ok(()));
            }
            _ if self.cell.is_opened() => return Poll::Ready(Ok(())),
            MessageKind::DeadlineExceeded | MessageKind::Idle => NotOpened::DeadlineExceeded,
            MessageKind::Unloaded => NotOpened::Unloaded,
            MessageKind::Crashed => NotOpened::Crashed,
            MessageKind::PluginFailed => NotOpened::PluginFailed,
        };
        Poll::Ready(Err(why))
    }

    /// Whether the plugin is to be notified, once, that the stream is writable.
    #[inline]
    pub(super) fn take_starved(&mut self) -> bool {
        std::mem::take(&mut self.is_starved)
    }

    /// Ends the receiving: nothing is accepted any more, and what came is dropped. Waits for no
    /// frame that a sender is still copying: those are the caller's to receive.
    pub(super) fn close(&mut self) -> CloseResult {
        let left = self.cell.close(&self.cursor);
        self.cursor = Cursor::end();
        if self.awaits_opening {
            drop(self.cell.opener().take());
        }
        if self.has_waited {
            self.cell.forget_waker();
        }
        left
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Arc,
            atomic::{AtomicU32, Ordering},
        },
        task::{Wake, Waker},
        time::{Duration, Instant},
    };

    use super::*;
    use crate::{
        body::Body,
        sid,
        stream::{End, Idle, Rejected},
    };

    const SID: u64 = sid::of_slot(9, 1);
    const NEXT_SID: u64 = sid::of_slot(9, 2);

    fn cell() -> &'static StreamCell {
        Box::leak(Box::new(StreamCell::new()))
    }

    fn opened(frames_max: u32, bytes_max: u64) -> (&'static StreamCell, Inbox) {
        let cell = cell();
        cell.open(SID, frames_max, bytes_max);
        (cell, Inbox::new(cell))
    }

    fn push(cell: &StreamCell, sid: u64, status: NrStatus, bytes: &[u8]) -> Result<(), Rejected> {
        cell.push(sid, status, bytes.len() as u64, || Body::copy_of(bytes))
    }

    fn drain(inbox: &mut Inbox) -> (Vec<Vec<u8>>, Option<Ending>) {
        let mut context = Context::from_waker(Waker::noop());
        let mut frames = Vec::new();
        loop {
            match inbox.next() {
                Some(Ok(frame)) => frames.push(frame.body.to_vec()),
                Some(Err(end)) => return (frames, Some(end)),
                None if inbox.poll_more(&mut context).is_pending() => return (frames, None),
                None => {}
            }
        }
    }

    fn next(inbox: &mut Inbox) -> Result<Frame, Ending> {
        loop {
            if let Some(message) = inbox.next() {
                return message;
            }
            let more = std::future::poll_fn(|context| inbox.poll_more(context));
            futures_lite::future::block_on(more);
        }
    }

    /// Leaves; true if the plugin had not ended the stream.
    fn left(cell: &StreamCell, inbox: &mut Inbox) -> bool {
        let left = inbox.close();
        let open = left.open;
        futures_lite::future::block_on(left.receive(cell));
        open
    }

    #[derive(Default)]
    struct Count(AtomicU32);

    impl Count {
        fn get(&self) -> u32 {
            self.0.load(Ordering::SeqCst)
        }
    }

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn the_terminal_gets_through_a_full_queue_and_nothing_after_it() {
        let (cell, mut inbox) = opened(2, 1024);
        assert_eq!(push(cell, SID, NrStatus::Ok, b"a"), Ok(()));
        assert_eq!(push(cell, SID, NrStatus::Ok, b"b"), Ok(()));
        assert_eq!(push(cell, SID, NrStatus::Ok, b"c"), Err(Rejected::Full));
        assert_eq!(push(cell, SID, NrStatus::StreamEnd, b"end"), Ok(()));
        assert_eq!(push(cell, SID, NrStatus::Ok, b"d"), Err(Rejected::Late));
        assert_eq!(push(cell, SID, NrStatus::Err, b"e"), Err(Rejected::Late));
        let (frames, end) = drain(&mut inbox);
        assert_eq!(frames, [b"a", b"b"]);
        let last = end.unwrap();
        assert_eq!(last.kind, MessageKind::Last);
        let last = last.frame;
        assert_eq!((last.status, &*last.body), (NrStatus::StreamEnd, &b"end"[..]));
        assert_eq!(push(cell, SID, NrStatus::Ok, b"f"), Err(Rejected::Late));
        assert!(!left(cell, &mut inbox));
    }

    #[test]
    fn bytes_are_bounded_but_one_large_frame_passes() {
        let (cell, mut inbox) = opened(100, 4);
        assert_eq!(push(cell, SID, NrStatus::Ok, b"large one"), Ok(()));
        assert_eq!(push(cell, SID, NrStatus::Ok, b"x"), Err(Rejected::Full));
        assert_eq!(drain(&mut inbox).0, [b"large one"]);
        assert!(inbox.take_starved() && !inbox.take_starved());
        assert_eq!(push(cell, SID, NrStatus::Ok, b"x"), Ok(()));
    }

    #[test]
    fn another_streams_id_is_refused_and_the_cell_is_used_again() {
        let (cell, mut inbox) = opened(4, 64);
        assert_eq!(push(cell, NEXT_SID, NrStatus::Ok, b"x"), Err(Rejected::Late));
        assert_eq!(push(cell, SID, NrStatus::Ok, b"old"), Ok(()));
        assert!(left(cell, &mut inbox));
        assert_eq!(push(cell, SID, NrStatus::Ok, b"x"), Err(Rejected::Late));
        cell.open(NEXT_SID, 4, 64);
        let mut inbox = Inbox::new(cell);
        assert_eq!(push(cell, NEXT_SID, NrStatus::Ok, b"new"), Ok(()));
        assert_eq!(drain(&mut inbox).0, [b"new"]);
    }

    #[test]
    fn more_frames_than_the_channels_ring_holds_stay_in_order() {
        let (cell, mut inbox) = opened(1000, 1 << 20);
        let wanted: Vec<_> = (0..1000_u32).map(|at| at.to_le_bytes().to_vec()).collect();
        for round in 0..3 {
            for bytes in &wanted {
                assert_eq!(push(cell, SID, NrStatus::Ok, bytes), Ok(()), "{round}");
            }
            assert_eq!(push(cell, SID, NrStatus::Ok, b"x"), Err(Rejected::Full));
            assert_eq!(drain(&mut inbox).0, wanted, "{round}");
        }
    }

    #[test]
    fn a_receiver_that_waits_is_woken_once_and_one_that_leaves_drops_what_it_was_handed() {
        let (cell, mut inbox) = opened(4, 64);
        for round in 1..4 {
            let count = Arc::new(Count::default());
            let waker = Waker::from(count.clone());
            let mut context = Context::from_waker(&waker);
            assert!(inbox.poll_more(&mut context).is_pending());
            assert!(inbox.poll_more(&mut context).is_pending());
            assert_eq!(count.get(), 0);
            for _ in 0..round {
                assert_eq!(push(cell, SID, NrStatus::Ok, b"x"), Ok(()));
            }
            assert_eq!(count.get(), 1);
            assert_eq!(drain(&mut inbox).0.len(), round);
        }
        let mut context = Context::from_waker(Waker::noop());
        assert!(inbox.poll_more(&mut context).is_pending());
        assert_eq!(push(cell, SID, NrStatus::Ok, b"handed over"), Ok(()));
        assert!(left(cell, &mut inbox));
        assert!(inbox.next().is_none());
    }

    #[test]
    fn an_end_that_overtook_a_frame_comes_out_after_it() {
        let (cell, mut inbox) = opened(4, 64);
        // The frame's sender stands still after it was accepted, while another ends the stream.
        let pushed = cell.push(SID, NrStatus::Ok, 1, || {
            assert!(cell.end(SID, End::DeadlineExceeded));
            assert!(drain(&mut inbox).1.is_none());
            Body::copy_of(b"x")
        });
        assert_eq!(pushed, Ok(()));
        let (frames, end) = drain(&mut inbox);
        assert_eq!(frames, [b"x"]);
        assert_eq!(end.unwrap().kind, MessageKind::DeadlineExceeded);
    }

    #[test]
    fn a_frame_that_cannot_be_made_is_not_waited_for() {
        let (cell, mut inbox) = opened(1, 64);
        let push_none = |status| {
            let body = || panic!("as a body that cannot be made");
            let push = std::panic::AssertUnwindSafe(|| cell.push(SID, status, 1, body));
            assert!(std::panic::catch_unwind(push).is_err());
        };
        push_none(NrStatus::Ok);
        assert_eq!(push(cell, SID, NrStatus::Ok, b"x"), Err(Rejected::Full));
        assert!(drain(&mut inbox).0.is_empty());
        assert_eq!(push(cell, SID, NrStatus::Ok, b"x"), Ok(()), "its credit came back");
        push_none(NrStatus::StreamEnd);
        let (frames, end) = drain(&mut inbox);
        assert_eq!(frames, [b"x"]);
        let end = end.unwrap();
        assert_eq!((end.kind, end.frame.status), (MessageKind::Refused, NrStatus::Err));
        assert!(!left(cell, &mut inbox));
    }

    #[test]
    fn an_opening_waits_for_the_first_that_comes() {
        let mut context = Context::from_waker(Waker::noop());
        let (cell, mut inbox) = opened(4, 64);
        assert!(inbox.poll_opened(&mut context).is_pending());
        cell.set_opened(NEXT_SID);
        assert!(inbox.poll_opened(&mut context).is_pending());
        cell.set_opened(SID);
        assert_eq!(inbox.poll_opened(&mut context), Poll::Ready(Ok(())));
        assert_eq!(drain(&mut inbox).0, [b""; 0]);

        let (cell, mut inbox) = opened(4, 64);
        assert!(inbox.poll_opened(&mut context).is_pending());
        push(cell, SID, NrStatus::Ok, b"first").unwrap();
        assert_eq!(inbox.poll_opened(&mut context), Poll::Ready(Ok(())));
        assert_eq!(drain(&mut inbox).0, [b"first"]);

        let (cell, mut inbox) = opened(4, 64);
        let count = Arc::new(Count::default());
        let waker = Waker::from(count.clone());
        assert!(inbox.poll_opened(&mut Context::from_waker(&waker)).is_pending());
        assert!(cell.end(SID, End::Refused(NrStatus::Unsupported)));
        assert_eq!(count.get(), 1);
        let refused = NotOpened::Refused(NrStatus::Unsupported);
        assert_eq!(inbox.poll_opened(&mut context), Poll::Ready(Err(refused)));
    }

    #[test]
    fn an_end_before_the_opening_is_one_of_the_opening_and_later_one_of_the_stream() {
        let ends: [(fn() -> End, _); 5] = [
            (|| End::DeadlineExceeded, NotOpened::DeadlineExceeded),
            (|| End::Idle, NotOpened::DeadlineExceeded),
            (|| End::Unloaded, NotOpened::Unloaded),
            (|| End::Crashed, NotOpened::Crashed),
            (|| End::PluginFailed, NotOpened::PluginFailed),
        ];
        for (end, why) in ends {
            let mut context = Context::from_waker(Waker::noop());
            let (cell, mut inbox) = opened(4, 64);
            assert!(inbox.poll_opened(&mut context).is_pending());
            assert!(cell.end(SID, end()));
            assert_eq!(inbox.poll_opened(&mut context), Poll::Ready(Err(why)));

            let (cell, mut inbox) = opened(4, 64);
            cell.set_opened(SID);
            assert!(cell.end(SID, end()));
            assert_eq!(inbox.poll_opened(&mut context), Poll::Ready(Ok(())), "{why:?}");

            let (cell, mut inbox) = opened(4, 64);
            push(cell, SID, NrStatus::Ok, b"first").unwrap();
            assert!(cell.end(SID, end()));
            assert_eq!(inbox.poll_opened(&mut context), Poll::Ready(Ok(())), "{why:?}");
        }
    }

    #[test]
    fn what_moves_is_not_idle() {
        let (cell, mut inbox) = opened(4, 64);
        let Idle::Active(activity) = cell.end_if_idle(SID, u64::MAX) else { panic!() };
        cell.touch();
        let Idle::Active(activity) = cell.end_if_idle(SID, activity) else { panic!() };
        push(cell, SID, NrStatus::Ok, b"x").unwrap();
        assert_eq!(cell.end_if_idle(SID, activity), Idle::Active(activity), "it is not read");
        assert_eq!(drain(&mut inbox).0, [b"x"]);
        let Idle::Active(activity) = cell.end_if_idle(SID, activity) else { panic!() };
        assert_eq!(cell.end_if_idle(SID, activity), Idle::Ended);
        assert_eq!(cell.end_if_idle(SID, activity), Idle::Over);
        assert_eq!(drain(&mut inbox).1.unwrap().kind, MessageKind::Idle);
    }

    #[test]
    fn senders_that_wait_leave_one_another_alone_and_all_hear() {
        let (cell, mut inbox) = opened(4, 64);
        let readied = cell.readied();
        for by_end in [false, true] {
            let readied = cell.readied();
            let counts = [(); 2].map(|()| Arc::new(Count::default()));
            let mut waits = [(); 2].map(|()| Box::pin(cell.ready(SID, readied)));
            for (count, wait) in counts.iter().zip(&mut waits) {
                let waker = Waker::from(count.clone());
                assert!(wait.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
                assert!(wait.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
            }
            assert_eq!(counts.each_ref().map(|count| count.get()), [0, 0], "a wait wakes no task");
            assert!(if by_end { left(cell, &mut inbox) } else { cell.set_ready(SID) });
            assert_eq!(counts.each_ref().map(|count| count.get()), [1, 1]);
            let mut context = Context::from_waker(Waker::noop());
            waits.iter_mut().for_each(|wait| assert!(wait.as_mut().poll(&mut context).is_ready()));
        }
        // Set while another sender offered: still news for a sender that read before.
        let mut context = Context::from_waker(Waker::noop());
        assert!(Box::pin(cell.ready(SID, readied)).as_mut().poll(&mut context).is_ready());
        assert!(!cell.set_ready(SID), "it is over");
    }

    #[test]
    fn pushes_that_wait_for_room_give_up_at_the_deadline_and_at_the_end() {
        let (cell, mut inbox) = opened(1, 64);
        push(cell, SID, NrStatus::Ok, b"x").unwrap();
        let body = || Body::copy_of(b"y");
        let pushed = cell.push_until(SID, NrStatus::Ok, 1, body, Instant::now(), || {});
        assert_eq!(pushed, Err(Rejected::Full));
        std::thread::scope(|scope| {
            let far = Instant::now() + Duration::from_secs(60);
            let waiters = [(); 4].map(|()| {
                scope.spawn(move || cell.push_until(SID, NrStatus::Ok, 1, body, far, || {}))
            });
            assert!(left(cell, &mut inbox));
            for waiter in waiters {
                assert_eq!(waiter.join().unwrap(), Err(Rejected::Late));
            }
        });
    }

    #[test]
    fn frames_of_eight_threads_all_arrive_once_in_each_ones_order() {
        let (cell, mut inbox) = opened(16, 1 << 20);
        let far = Instant::now() + Duration::from_secs(60);
        let mut seen = [0_u32; 8];
        std::thread::scope(|scope| {
            for thread in 0..8_u8 {
                scope.spawn(move || {
                    for at in 0..200_u32 {
                        let mut bytes = vec![thread];
                        bytes.extend(at.to_le_bytes());
                        let body = || Body::copy_of(&bytes);
                        cell.push_until(SID, NrStatus::Ok, 5, body, far, || {}).unwrap();
                    }
                });
            }
            for _ in 0..1600 {
                let frame = next(&mut inbox).unwrap();
                let thread = usize::from(frame.body[0]);
                let at = u32::from_le_bytes(frame.body[1..5].try_into().unwrap());
                assert_eq!(at, seen[thread]);
                seen[thread] += 1;
            }
        });
        assert_eq!(seen, [200; 8]);
    }

    #[test]
    fn leaving_waits_for_no_frame_that_is_being_copied() {
        let (cell, mut inbox) = opened(4, 1 << 20);
        let (copies, is_copying) = becket_chan::unlimited();
        let (go_on, may_go_on) = becket_chan::unlimited::<()>();
        let sender = std::thread::spawn(move || {
            cell.push(SID, NrStatus::Ok, 5, || {
                copies.try_send(()).unwrap();
                may_go_on.recv().wait().unwrap();
                Body::copy_of(b"frame")
            })
        });
        is_copying.recv().wait().unwrap();
        let (left, has_left) = becket_chan::unlimited();
        let leaver = std::thread::spawn(move || {
            let closed = inbox.close();
            left.try_send(()).unwrap();
            closed
        });
        let in_time = has_left.recv().timeout(Duration::from_secs(10)).wait();
        go_on.try_send(()).unwrap();
        sender.join().unwrap().unwrap();
        let left = leaver.join().unwrap();
        assert!(in_time.is_ok(), "it waited for the copy");
        assert!(left.open && left.remains.len() == 1);
        futures_lite::future::block_on(left.receive(cell));
    }

    #[test]
    fn nothing_of_a_stream_reaches_the_next_in_its_slot_while_its_senders_go_on() {
        let cell = cell();
        let open = std::sync::atomic::AtomicU64::new(0);
        let over = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    while !over.load(Ordering::SeqCst) {
                        let sid = open.load(Ordering::SeqCst);
                        let bytes = sid.to_le_bytes();
                        let _ = push(cell, sid, NrStatus::Ok, &bytes);
                        if sid.is_multiple_of(3) {
                            let _ = push(cell, sid, NrStatus::StreamEnd, &bytes);
                        }
                    }
                });
            }
            for generation in 1..2000 {
                let sid = sid::of_slot(generation as u32 % 3, generation);
                cell.open(sid, 4, 1 << 20);
                let mut inbox = Inbox::new(cell);
                open.store(sid, Ordering::SeqCst);
                for _ in 0..generation % 5 {
                    match next(&mut inbox) {
                        Ok(frame) => assert_eq!(*frame.body, sid.to_le_bytes()),
                        Err(end) => {
                            assert_eq!(*end.frame.body, sid.to_le_bytes());
                            break;
                        }
                    }
                }
                left(cell, &mut inbox);
            }
            over.store(true, Ordering::SeqCst);
        });
    }
}
