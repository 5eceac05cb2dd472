// SPDX-License-Identifier: BSD-3-Clause
//! Senders of a stream, its receiver, and the stream after it in the same queue.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
};

use loom::{
    future::block_on,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use crate::{
    sid::INDEX_BITS,
    stream::{
        credit::Rejected,
        queue::{Cursor, Message, Queue},
    },
};

const SID: u64 = 5 << INDEX_BITS;
const NEXT_SID: u64 = 6 << INDEX_BITS;

const FRAME: u32 = 1;
const END: u32 = 2;
const NOTHING: u32 = 3;

/// Counts its values that live.
struct Value(u64, Arc<AtomicUsize>);

/// A value, and nothing once it was taken.
#[derive(Default)]
struct Content(Option<Value>);

impl Drop for Value {
    fn drop(&mut self) {
        self.1.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Message for Content {
    fn missing() -> Self {
        Self(None)
    }

    unsafe fn write(self, place: *mut Self) {
        // SAFETY: the caller's promise.
        unsafe { place.write(self) };
    }
}

struct World {
    queue: Queue<Content>,
    living: Arc<AtomicUsize>,
}

impl World {
    fn new(frames_max: u32) -> Arc<Self> {
        let queue = Queue::new();
        queue.credit.open(SID, frames_max, 1 << 20);
        Arc::new(Self { queue, living: Arc::new(AtomicUsize::new(0)) })
    }

    fn content(&self, number: u64) -> Content {
        self.living.fetch_add(1, Ordering::Relaxed);
        Content(Some(Value(number, self.living.clone())))
    }

    /// As `StreamCell::push`.
    fn push(&self, sid: u64, number: u64) -> Result<(), Rejected> {
        let place = self.queue.claim(sid, 1, 0)?;
        if !self.queue.credit.is_of(sid) {
            place.publish(NOTHING, Content::missing());
            return Err(Rejected::Late);
        }
        place.publish(FRAME, self.content(number));
        Ok(())
    }

    fn end(&self, sid: u64) -> bool {
        let Some((place, _)) = self.queue.claim_end(sid) else { return false };
        place.publish(END, self.content(0));
        true
    }

    fn poll<'a>(&'a self, cursor: &mut Cursor<'a, Content>, waker: &Waker) -> Poll<(u32, Content)> {
        loop {
            if let Some(message) = self.queue.next(cursor) {
                return Poll::Ready((message.kind(), message.take()));
            }
            if self.queue.poll_published(cursor, waker, |_| {}).is_pending() {
                return Poll::Pending;
            }
        }
    }

    /// Leaves, waits for what is owed, and looks that nothing is left.
    fn leave(&self, cursor: &Cursor<'_, Content>) {
        let (mut remains, _) = self.queue.close(cursor);
        self.queue.drop_published(&mut remains);
        block_on(poll_fn(|context| self.queue.poll_remains(&mut remains, context.waker())));
        assert_eq!(remains.len(), 0);
    }
}

#[test]
fn the_frames_of_two_senders_come_out_once_and_the_receiver_is_woken() {
    loom::model(|| {
        let world = World::new(8);
        let senders = [1, 2].map(|number| {
            let world = world.clone();
            thread::spawn(move || world.push(SID, number).unwrap())
        });
        let mut cursor = Cursor::begin();
        let mut seen = 0;
        for _ in senders.iter() {
            let (kind, content) = block_on(poll_fn(|c| world.poll(&mut cursor, c.waker())));
            assert_eq!(kind, FRAME);
            seen += content.0.as_ref().unwrap().0;
        }
        assert_eq!(seen, 1 + 2);
        senders.into_iter().for_each(|sender| sender.join().unwrap());
        assert_eq!(world.living.load(Ordering::Relaxed), 0);
    });
}

#[test]
fn the_end_comes_last_and_nothing_behind_it() {
    loom::model(|| {
        let world = World::new(8);
        let (sender, ender) = (world.clone(), world.clone());
        let sender = thread::spawn(move || sender.push(SID, 1).is_ok());
        let ender = thread::spawn(move || assert!(ender.end(SID)));
        let mut cursor = Cursor::begin();
        let mut frames = 0;
        loop {
            let (kind, _content) = block_on(poll_fn(|c| world.poll(&mut cursor, c.waker())));
            match kind {
                FRAME => frames += 1,
                _ => break,
            }
        }
        let taken = sender.join().unwrap();
        ender.join().unwrap();
        assert_eq!(frames, usize::from(taken));
        world.leave(&cursor);
        assert_eq!(world.living.load(Ordering::Relaxed), 0);
    });
}

#[test]
fn a_receiver_that_leaves_takes_what_was_accepted_with_it() {
    loom::model(|| {
        let world = World::new(8);
        let sender = {
            let world = world.clone();
            thread::spawn(move || {
                let _ = world.push(SID, 1);
                let _ = world.push(SID, 2);
            })
        };
        let cursor = Cursor::begin();
        world.leave(&cursor);
        // The slot's next stream.
        world.queue.credit.open(NEXT_SID, 8, 1 << 20);
        let mut cursor = Cursor::begin();
        world.push(NEXT_SID, 9).unwrap();
        let (kind, content) = block_on(poll_fn(|c| world.poll(&mut cursor, c.waker())));
        assert_eq!((kind, content.0.as_ref().unwrap().0), (FRAME, 9));
        drop(content);
        sender.join().unwrap();
        world.leave(&cursor);
        assert_eq!(world.living.load(Ordering::Relaxed), 0);
    });
}

#[test]
fn credit_comes_back_and_more_frames_than_a_bucket_has_stay_in_order() {
    loom::model(|| {
        let world = World::new(3);
        let sender = {
            let world = world.clone();
            thread::spawn(move || {
                let mut taken = 0;
                for number in 1..=4 {
                    if world.push(SID, number).is_ok() {
                        taken += 1;
                    }
                }
                assert!(world.end(SID));
                taken
            })
        };
        let mut cursor = Cursor::begin();
        let mut last = 0;
        let mut frames = 0;
        loop {
            let (kind, content) = block_on(poll_fn(|c| world.poll(&mut cursor, c.waker())));
            if kind == END {
                break;
            }
            let number = content.0.as_ref().unwrap().0;
            assert!(number > last);
            last = number;
            frames += 1;
        }
        assert_eq!(sender.join().unwrap(), frames);
        assert!(frames >= 3);
        world.leave(&cursor);
        assert_eq!(world.living.load(Ordering::Relaxed), 0);
    });
}

/// Counts wakes, and is another task than the one that polls last.
struct Other(AtomicUsize);

impl Wake for Other {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn the_task_that_polled_last_is_woken() {
    loom::model(|| {
        let world = World::new(8);
        let sender = {
            let world = world.clone();
            thread::spawn(move || world.push(SID, 1).unwrap())
        };
        let mut cursor = Cursor::begin();
        let other = Waker::from(Arc::new(Other(AtomicUsize::new(0))));
        let first = world.poll(&mut cursor, &other);
        let (kind, _content) = match first {
            Poll::Ready(message) => message,
            Poll::Pending => block_on(poll_fn(|c| world.poll(&mut cursor, c.waker()))),
        };
        assert_eq!(kind, FRAME);
        sender.join().unwrap();
    });
}

#[test]
fn a_place_whose_message_cannot_be_made_is_filled() {
    loom::model(|| {
        let world = World::new(8);
        let sender = {
            let world = world.clone();
            thread::spawn(move || drop(world.queue.claim(SID, 1, 0).unwrap().guarded(NOTHING)))
        };
        let mut cursor = Cursor::begin();
        let mut message = pin!(poll_fn(|c: &mut Context<'_>| world.poll(&mut cursor, c.waker())));
        let (kind, content) = block_on(poll_fn(|c| message.as_mut().poll(c)));
        assert!(kind == NOTHING && content.0.is_none());
        sender.join().unwrap();
    });
}
