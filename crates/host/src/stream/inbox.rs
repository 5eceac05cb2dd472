// SPDX-License-Identifier: BSD-3-Clause
//! The receiving end of one stream.
//!
//! It takes what is on the channel in batches, under one synchronisation, and gives the credit back
//! a batch at a time. The frames of a batch hold no credit any more, so at most twice the bound is
//! buffered. When there is nothing it waits with one receive operation, which it keeps for its next
//! wait. The buffer of a batch is kept by the thread that leaves a stream, for the next one that it
//! opens: a short stream allocates none.

use std::{
    cell::Cell,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use becket_abi::NrStatus;
use becket_chan::Recv;

use super::cell::{CloseResult, End, Frame, Message, MessageKind, StreamCell};
use crate::thread;

/// Messages for which a buffer that is kept has room, at most.
const KEPT_MESSAGES_MAX: usize = 256;

/// The buffer that a thread keeps.
#[derive(Default)]
pub(crate) struct SpareBuffer(Cell<Vec<Message>>);

/// What a receiver found.
#[derive(Debug)]
pub(super) enum More {
    /// Messages, which are taken.
    Taken,
    /// The stream's last one.
    End(Message),
}

/// See the module's documentation. Dropping it without [`Self::close`] leaves the stream open.
pub(super) struct Inbox {
    cell: &'static StreamCell,
    /// The batch that was received last.
    taken: Vec<Message>,
    /// How many of them were looked at.
    looked_at: usize,
    /// The end, while frames are owed that it overtook.
    end: Option<Message>,
    /// The end was received.
    has_end: bool,
    receive: Option<Pin<Box<Recv<'static, Message>>>>,
    /// `receive` waits.
    is_waiting: bool,
    /// The plugin is to be notified that the stream is writable.
    is_starved: bool,
    awaits_opening: bool,
}

impl Inbox {
    /// The receiver of the stream for which `cell` was opened.
    pub(super) fn new(cell: &'static StreamCell) -> Self {
        Self {
            cell,
            taken: thread::current().spare_buffer.0.take(),
            looked_at: 0,
            end: None,
            has_end: false,
            receive: None,
            is_waiting: false,
            is_starved: false,
            awaits_opening: false,
        }
    }

    /// The next of the frames that were received already.
    ///
    /// Looked at where it is, and moved once: see [`Message`].
    #[inline(always)]
    pub(super) fn next_taken(&mut self) -> Option<Frame> {
        while let Some(message) = self.taken.get_mut(self.looked_at) {
            self.looked_at += 1;
            match message.kind() {
                MessageKind::Frame => return Some(message.take_frame()),
                MessageKind::Nothing => {}
                _ => self.end = Some(message.take()),
            }
        }
        None
    }

    /// Those that were received and not looked at.
    fn unseen(&self) -> &[Message] {
        self.taken.get(self.looked_at..).unwrap_or_default()
    }

    /// Receives more, or gives the end, when [`Self::next_taken`] had nothing. After an end it is
    /// `Pending` for ever.
    pub(super) fn poll_more(&mut self, context: &mut Context<'_>) -> Poll<More> {
        if self.has_end && self.cell.expected(true) == 0 {
            return match self.end.take() {
                Some(end) => Poll::Ready(More::End(end)),
                None => Poll::Pending,
            };
        }
        self.receive(context).map(|()| More::Taken)
    }

    /// Waits until data may be sent to the plugin: `handle` has returned, a frame has come, or the
    /// stream ended; an error if it ended because `handle` refused it.
    pub(super) fn poll_opened(&mut self, context: &mut Context<'_>) -> Poll<Result<(), NrStatus>> {
        if self.unseen().is_empty() && !self.cell.is_opened() {
            self.awaits_opening = true;
            self.cell.opener().register(context.waker());
            // Looked at again: it may have returned before the waker was in place.
            if self.receive(context).is_pending() && !self.cell.is_opened() {
                return Poll::Pending;
            }
        }
        let refused = self.unseen().iter().find(|message| message.kind() == MessageKind::Refused);
        Poll::Ready(refused.map_or(Ok(()), |message| Err(message.status())))
    }

    /// Whether the plugin is to be notified, once, that the stream is writable.
    #[inline]
    pub(super) fn take_starved(&mut self) -> bool {
        std::mem::take(&mut self.is_starved)
    }

    /// Ends the receiving: nothing is accepted any more, and what came is dropped. Waits for no
    /// frame that a sender is still copying: those are the caller's to receive.
    pub(super) fn close(&mut self) -> CloseResult {
        // What was handed to it goes back to the channel.
        self.receive = None;
        self.is_waiting = false;
        let mut left = self.cell.close(self.has_end);
        while left.messages > 0 && self.cell.receiver().try_recv().is_ok() {
            left.messages -= 1;
        }
        if self.awaits_opening {
            drop(self.cell.opener().take());
        }
        let mut taken = std::mem::take(&mut self.taken);
        taken.clear();
        self.looked_at = 0;
        if (1..=KEPT_MESSAGES_MAX).contains(&taken.capacity()) {
            thread::current().spare_buffer.0.set(taken);
        }
        self.has_end = true;
        self.end = None;
        left
    }

    /// Moves what is on the channel to `taken`, all of which was looked at, or waits for it.
    fn receive(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.taken.clear();
        self.looked_at = 0;
        if !self.is_waiting {
            self.receive_now();
        }
        if self.taken.is_empty()
            && let Poll::Ready(first) = self.wait(context)
        {
            self.taken.push(first);
            self.receive_now();
        }
        if self.taken.is_empty() {
            return Poll::Pending;
        }
        let (mut frames, mut units) = (0, 0);
        for message in &self.taken {
            if message.is_end() {
                self.has_end = true;
            } else {
                frames += 1;
                units += message.units();
            }
        }
        if frames > 0 {
            self.is_starved |= self.cell.give_back(frames, units);
        }
        Poll::Ready(())
    }

    /// What is there; what is expected and not there yet comes later.
    fn receive_now(&mut self) {
        let expected = self.cell.expected(self.has_end).saturating_sub(self.taken.len());
        if expected > 0 {
            let _ = self.cell.receiver().try_recv_many(&mut self.taken, expected);
        }
    }

    fn wait(&mut self, context: &mut Context<'_>) -> Poll<Message> {
        if !self.is_waiting {
            let receive = self.cell.receiver().recv();
            match &mut self.receive {
                Some(kept) => kept.set(receive),
                None => self.receive = Some(Box::pin(receive)),
            }
            self.is_waiting = true;
        }
        let Some(receive) = &mut self.receive else { return Poll::Pending };
        let received = ready!(receive.as_mut().poll(context));
        self.is_waiting = false;
        Poll::Ready(received.unwrap_or_else(|_| {
            // The channel of a cell is never closed.
            Message::end(End::Unloaded)
        }))
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
        stream::cell::{Idle, Rejected},
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

    fn drain(inbox: &mut Inbox) -> (Vec<Vec<u8>>, Option<Message>) {
        let mut context = Context::from_waker(Waker::noop());
        let mut frames = Vec::new();
        loop {
            frames.extend(std::iter::from_fn(|| inbox.next_taken()).map(|f| f.body.to_vec()));
            match inbox.poll_more(&mut context) {
                Poll::Ready(More::Taken) => {}
                Poll::Ready(More::End(end)) => return (frames, Some(end)),
                Poll::Pending => return (frames, None),
            }
        }
    }

    fn next(inbox: &mut Inbox) -> Result<Frame, Message> {
        loop {
            if let Some(frame) = inbox.next_taken() {
                return Ok(frame);
            }
            let more = std::future::poll_fn(|context| inbox.poll_more(context));
            if let More::End(end) = futures_lite::future::block_on(more) {
                return Err(end);
            }
        }
    }

    /// Leaves; true if the plugin had not ended the stream.
    fn left(cell: &StreamCell, inbox: &mut Inbox) -> bool {
        let left = inbox.close();
        futures_lite::future::block_on(left.receive(cell));
        left.open
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
        assert_eq!(last.kind(), MessageKind::Last);
        let last = last.into_frame();
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
        assert!(cell.receiver().is_empty());
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
        assert_eq!(end.unwrap().kind(), MessageKind::DeadlineExceeded);
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
        assert_eq!((end.kind(), end.status()), (MessageKind::Refused, NrStatus::Err));
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
        assert_eq!(inbox.poll_opened(&mut context), Poll::Ready(Err(NrStatus::Unsupported)));
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
        assert_eq!(drain(&mut inbox).1.unwrap().kind(), MessageKind::Idle);
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
        assert!(left.open && left.messages == 1);
        futures_lite::future::block_on(left.receive(cell));
        assert!(cell.receiver().is_empty());
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
                            assert_eq!(*end.into_frame().body, sid.to_le_bytes());
                            break;
                        }
                    }
                }
                left(cell, &mut inbox);
                assert!(cell.receiver().is_empty(), "it left something to the next one");
            }
            over.store(true, Ordering::SeqCst);
        });
    }
}
