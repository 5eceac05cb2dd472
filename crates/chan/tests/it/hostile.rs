// SPDX-License-Identifier: BSD-3-Clause
//! Programs that safe code can express and should not: wakers and weights that panic, forgotten
//! waits, user code that uses the channel in the middle of a wait.
//!
//! In all of them a value has one outcome, and a wake reaches the current waiter.
#![allow(clippy::mem_forget, reason = "what a program may do, and what must hold then")]

use std::collections::VecDeque;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Barrier};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Instant;

use crate::common::{KINDS, Tally, Wakes, builder, channel, poll, poll_once, until};
use becket_chan::park::{Park, Unparker, set_hook};
use becket_chan::{
    Builder, RecvError, Select, SpscBuilder, Token, TryRecvError, bounded, bounded_spsc, rendezvous,
};
use parking_lot::{Condvar, Mutex};

type Act = Box<dyn FnOnce() + Send>;
/// The undelivered values. Numbers, so that a duplicate is a wrong answer and not a crash.
type Lost = Arc<Mutex<Vec<u32>>>;

// Code that panics.

/// A panic payload: it panics again when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        if !thread::panicking() {
            panic!("the payload of a panic was dropped outside of every catch");
        }
    }
}

struct Explosive;

impl Wake for Explosive {
    fn wake(self: Arc<Self>) {
        panic_any(Bomb);
    }
}

fn poll_explosive<F: Future + ?Sized>(future: &mut Pin<Box<F>>) -> Poll<F::Output> {
    future.as_mut().poll(&mut Context::from_waker(&Waker::from(Arc::new(Explosive))))
}

/// Runs the code, and returns whether it panicked. The payload is leaked: its drop may panic too.
fn panics(code: impl FnOnce()) -> bool {
    catch_unwind(AssertUnwindSafe(code)).map_err(std::mem::forget).is_err()
}

#[test]
fn a_waker_that_panics_does_not_undo_the_send_that_woke_it() {
    // The value is the receiver's by then: the unwinding send must not discard it again.
    for kind in KINDS {
        for task in [false, true] {
            let lost = Lost::default();
            let keep = lost.clone();
            let (tx, rx) = builder(kind).on_undelivered(move |n| keep.lock().push(n)).build();
            let mut receive = Box::pin(rx.recv());
            assert!(poll_explosive(&mut receive).is_pending());
            let panicked = panics(|| {
                let send = tx.send(1);
                let sent =
                    if task { poll_once(&mut Box::pin(send)) } else { Poll::Ready(send.wait()) };
                assert_eq!(sent, Poll::Ready(Ok(())));
            });
            assert_eq!(poll_once(&mut receive), Poll::Ready(Ok(1)), "{kind:?}");
            assert!(!panicked, "{kind:?}: the waker's panic is not the sender's");
            assert_eq!(*lost.lock(), [], "{kind:?}: received and undelivered");
        }
    }
}

#[test]
fn a_waker_that_panics_does_not_undo_an_spsc_send() {
    let lost = Lost::default();
    let keep = lost.clone();
    let (mut tx, mut rx) =
        SpscBuilder::bounded(1).on_undelivered(move |n| keep.lock().push(n)).build();
    let mut receive = Box::pin(rx.recv());
    assert!(poll_explosive(&mut receive).is_pending());
    assert!(!panics(|| tx.send(1).wait().unwrap()));
    assert_eq!(poll_once(&mut receive), Poll::Ready(Ok(1)));
    drop(receive);
    assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
    assert_eq!(*lost.lock(), []);
}

#[test]
fn what_a_wakers_panic_carried_is_dropped() {
    struct Carries(Arc<AtomicU32>);
    struct Payload(Arc<AtomicU32>);
    impl Wake for Carries {
        fn wake(self: Arc<Self>) {
            panic_any(Payload(self.0.clone()));
        }
    }
    impl Drop for Payload {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let dropped = Arc::new(AtomicU32::new(0));
    let (tx, rx) = bounded(1);
    let mut receive = Box::pin(rx.recv());
    let waker = Waker::from(Arc::new(Carries(dropped.clone())));
    assert!(receive.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    tx.send(1).wait().unwrap();
    assert_eq!(dropped.load(Ordering::Relaxed), 1);
}

#[test]
fn a_waker_that_panics_keeps_no_other_from_being_woken() {
    for kind in KINDS {
        let (tx, rx) = channel::<u32>(kind);
        let mut first = Box::pin(rx.recv());
        assert!(poll_explosive(&mut first).is_pending());
        let wakes = Wakes::new();
        let mut others: Vec<_> = (0..3).map(|_| Box::pin(rx.recv())).collect();
        others.iter_mut().for_each(|other| assert!(poll(other, &wakes).is_pending()));
        assert!(!panics(|| assert!(tx.close())), "{kind:?}");
        assert_eq!(wakes.count(), 3, "{kind:?}");
        assert_eq!(poll_once(&mut first), Poll::Ready(Err(RecvError::Closed)));
    }
    let token = Token::new();
    let mut first = Box::pin(token.cancelled());
    assert!(poll_explosive(&mut first).is_pending());
    let wakes = Wakes::new();
    let mut second = Box::pin(token.cancelled());
    assert!(poll(&mut second, &wakes).is_pending());
    assert!(!panics(|| assert!(token.cancel())));
    assert_eq!(wakes.count(), 1);
}

/// A scheduler of one coroutine, which panics after it has unparked it.
struct Faulty;

static UNPARKED: Mutex<bool> = Mutex::new(false);
static WAKES: Condvar = Condvar::new();

fn unpark_and_panic(_flow: usize) {
    *UNPARKED.lock() = true;
    WAKES.notify_one();
    panic!("a scheduler's own mistake");
}

impl Park for Faulty {
    fn unparker(&self) -> Unparker {
        Unparker::new(unpark_and_panic, 0)
    }

    fn park(&self, _deadline: Option<Instant>) {
        let mut unparked = UNPARKED.lock();
        WAKES.wait_while(&mut unparked, |unparked| !*unparked);
        *unparked = false;
    }
}

#[test]
fn an_unparker_that_panics_does_not_undo_the_send_that_woke_it() {
    let lost = Lost::default();
    let keep = lost.clone();
    let (tx, rx) = Builder::bounded(1).on_undelivered(move |n| keep.lock().push(n)).build();
    thread::scope(|scope| {
        let flow = scope.spawn(|| {
            set_hook(Some(&Faulty));
            rx.recv().wait()
        });
        until(|| tx.snapshot().receivers_waiting == 1);
        assert!(!panics(|| tx.send(1).wait().unwrap()), "not the sender's mistake");
        assert_eq!(flow.join().unwrap(), Ok(1));
    });
    assert_eq!(*lost.lock(), [], "received and undelivered");
}

#[test]
fn a_weight_that_panics_in_an_spsc_send_loses_the_value_once() {
    // The panic unwinds through the send, which owns the value: one drop, by the hook.
    let tally = Tally::default();
    let lost = Arc::new(AtomicU32::new(0));
    let count = lost.clone();
    let (mut tx, mut rx) = SpscBuilder::bounded(1)
        .weigh(|_| panic!("a weight that is not known"))
        .on_undelivered(move |item| {
            drop(item);
            count.fetch_add(1, Ordering::Relaxed);
        })
        .build();
    let mut send = Box::pin(tx.send(tally.item(1)));
    assert!(panics(|| drop(poll_once(&mut send))), "the caller's own mistake");
    drop(send);
    assert_eq!((lost.load(Ordering::Relaxed), tally.alive()), (1, 0));
    assert!(rx.try_recv().is_err());
}

// Forgotten waits.

#[test]
fn a_forgotten_wait_does_not_take_the_wake_up_of_the_next_one() {
    let (mut tx, mut rx) = bounded_spsc(1);
    let mut receive = Box::pin(rx.recv());
    assert!(poll_once(&mut receive).is_pending());
    std::mem::forget(receive);
    let wakes = Wakes::new();
    let mut receive = Box::pin(rx.recv());
    assert!(poll(&mut receive, &wakes).is_pending());
    tx.try_send(1).unwrap();
    assert_eq!(wakes.count(), 1);
    assert_eq!(poll(&mut receive, &wakes), Poll::Ready(Ok(1)));
    drop(receive);

    tx.try_send(2).unwrap();
    let mut send = Box::pin(tx.send(3));
    assert!(poll_once(&mut send).is_pending());
    std::mem::forget(send);
    let wakes = Wakes::new();
    let mut send = Box::pin(tx.send(4));
    assert!(poll(&mut send, &wakes).is_pending());
    assert_eq!(rx.try_recv(), Ok(2));
    assert_eq!(wakes.count(), 1);
    assert_eq!(poll(&mut send, &wakes), Poll::Ready(Ok(())));
    assert_eq!(rx.try_recv(), Ok(4), "3 is forgotten with its send");
}

#[test]
fn the_token_of_a_forgotten_wait_does_not_end_a_later_wait() {
    for kind in KINDS {
        let (tx, rx) = channel::<u32>(kind);
        let token = Token::new();
        let mut select = Select::new();
        let key = select.recv(&rx);
        let mut ready = Box::pin(select.ready().cancel_on(&token));
        assert!(poll_once(&mut ready).is_pending());
        std::mem::forget(ready);
        let mut ready = Box::pin(select.ready());
        assert!(poll_once(&mut ready).is_pending());
        token.cancel();
        assert!(poll_once(&mut ready).is_pending(), "{kind:?}: this one has no token");
        tx.try_send(1).unwrap();
        let Poll::Ready(Ok(ready)) = poll_once(&mut ready) else { panic!("{kind:?}") };
        assert_eq!(ready.recv(key), Some(Ok(1)), "{kind:?}");
    }
}

// User code in the middle of a wait.

/// A waker that runs an action when it is cloned, which is when a wait stores it, and counts its
/// wakes.
mod acting {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::task::{RawWaker, RawWakerVTable, Waker};

    use parking_lot::Mutex;

    #[derive(Default)]
    pub(super) struct Acting {
        pub(super) act: Mutex<Option<super::Act>>,
        pub(super) wakes: AtomicU32,
    }

    static TABLE: RawWakerVTable = RawWakerVTable::new(clone, wake, wake_by_ref, gone);

    pub(super) fn waker(acting: &Arc<Acting>) -> Waker {
        let data = Arc::into_raw(acting.clone()).cast();
        // SAFETY: the table treats the pointer as the `Arc` that was leaked here.
        unsafe { Waker::from_raw(RawWaker::new(data, &TABLE)) }
    }

    fn clone(data: *const ()) -> RawWaker {
        // SAFETY: a waker's pointer, which the waker keeps.
        let acting = unsafe { &*data.cast::<Acting>() };
        let act = acting.act.lock().take();
        if let Some(act) = act {
            act();
        }
        // SAFETY: as above. The new waker has the new count.
        unsafe { Arc::increment_strong_count(data.cast::<Acting>()) };
        RawWaker::new(data, &TABLE)
    }

    fn wake(data: *const ()) {
        wake_by_ref(data);
        gone(data);
    }

    fn wake_by_ref(data: *const ()) {
        // SAFETY: a waker's pointer, which the waker keeps.
        unsafe { &*data.cast::<Acting>() }.wakes.fetch_add(1, Ordering::SeqCst);
    }

    fn gone(data: *const ()) {
        // SAFETY: a waker's pointer, which the waker gives up.
        drop(unsafe { Arc::from_raw(data.cast::<Acting>()) });
    }
}

/// Polls once more with a waker that runs `act` when the wait stores it.
fn poll_while<F: Future + ?Sized>(future: &mut Pin<Box<F>>, act: Act) -> (Poll<F::Output>, u32) {
    let acting = Arc::new(acting::Acting::default());
    *acting.act.lock() = Some(act);
    let polled = future.as_mut().poll(&mut Context::from_waker(&acting::waker(&acting)));
    assert!(acting.act.lock().is_none(), "the wait took the waker over");
    (polled, acting.wakes.load(Ordering::SeqCst))
}

#[test]
fn a_match_while_the_waker_is_exchanged_is_seen_or_wakes_the_new_waker() {
    // The old waker is woken: its task does not wait any more.
    for kind in KINDS {
        let (tx, rx) = channel(kind);
        let mut receive = Box::pin(rx.recv());
        assert!(poll_once(&mut receive).is_pending());
        let sender = tx.clone();
        let (polled, wakes) =
            poll_while(&mut receive, Box::new(move || sender.try_send(1).unwrap()));
        assert!(polled.is_ready() || wakes > 0, "{kind:?}: pending, and never woken");
        let got = if polled.is_ready() { polled } else { poll_once(&mut receive) };
        assert_eq!(got, Poll::Ready(Ok(1)), "{kind:?}");
    }
}

#[test]
fn an_spsc_match_while_the_waker_is_exchanged_is_seen_or_wakes_the_new_waker() {
    let (tx, mut rx) = bounded_spsc(1);
    let tx = Arc::new(Mutex::new(tx));
    let mut receive = Box::pin(rx.recv());
    assert!(poll_once(&mut receive).is_pending());
    let sender = tx.clone();
    let act = Box::new(move || sender.lock().try_send(1).unwrap());
    let (polled, wakes) = poll_while(&mut receive, act);
    assert!(polled.is_ready() || wakes > 0, "pending, and never woken");
    let got = if polled.is_ready() { polled } else { poll_once(&mut receive) };
    assert_eq!(got, Poll::Ready(Ok(1)));
    drop(receive);

    tx.lock().try_send(2).unwrap();
    let mut sender = tx.lock();
    let mut send = Box::pin(sender.send(3));
    assert!(poll_once(&mut send).is_pending());
    let rx = Arc::new(Mutex::new(rx));
    let receiver = rx.clone();
    let act = Box::new(move || assert_eq!(receiver.lock().try_recv(), Ok(2)));
    let (polled, wakes) = poll_while(&mut send, act);
    assert!(polled.is_ready() || wakes > 0, "pending, and never woken");
    let sent = if polled.is_ready() { polled } else { poll_once(&mut send) };
    assert_eq!((sent, rx.lock().try_recv()), (Poll::Ready(Ok(())), Ok(3)));
}

#[test]
fn an_arm_that_is_matched_while_another_is_weighed_happens_once() {
    // The weight is computed while the select tries its second arm: its first is queued.
    let act = Arc::new(Mutex::new(None::<Act>));
    let in_weight = act.clone();
    let (x_tx, x) = rendezvous();
    let (z_tx, z) = Builder::rendezvous()
        .weigh(move |_: &u32| {
            let act = in_weight.lock().take();
            if let Some(act) = act {
                act();
            }
            0
        })
        .build();
    // The node that a kept select leaves queued at `z` is not matched.
    let mut idle = Select::new();
    let _key = idle.recv(&z);
    let mut ready = Box::pin(idle.ready());
    assert!(poll_once(&mut ready).is_pending());
    drop(ready);

    let receiver = x.clone();
    let receive: Pin<Box<dyn Future<Output = Result<u32, RecvError>> + Send>> =
        Box::pin(async move { receiver.recv().await });
    let receive = Arc::new(Mutex::new(receive));

    let mut select = Select::new().biased();
    let sending = select.send(&x_tx, 7);
    let _other = select.send(&z_tx, 1);
    // Not sooner: a value may be weighed when its arm is created.
    let begin = receive.clone();
    *act.lock() = Some(Box::new(move || assert!(poll_once(&mut begin.lock()).is_pending())));
    let mut ready = Box::pin(select.ready());
    let Poll::Ready(Ok(won)) = poll_once(&mut ready) else { panic!("its first arm was matched") };
    assert_eq!(won.send(sending), Some(Ok(())));
    drop(won);
    drop(ready);
    assert!(act.lock().is_none(), "the weight was asked for");
    assert_eq!(poll_once(&mut receive.lock()), Poll::Ready(Ok(7)));

    let mut ready = Box::pin(select.ready());
    assert!(poll_once(&mut ready).is_pending());
    assert_eq!(x.try_recv(), Err(TryRecvError::Empty), "the value was sent before");
    assert_eq!(x.snapshot().sends, 1);
}

/// A waker that cancels the token that woke it.
struct Canceller(Token, Mutex<Vec<bool>>);

impl Wake for Canceller {
    fn wake(self: Arc<Self>) {
        let first = self.0.cancel();
        self.1.lock().push(first);
    }
}

#[test]
fn of_two_cancels_at_once_one_was_the_first() {
    // Some in the first batch. There are more waiters than one batch of wakes, so that those reach
    // the child before the cancellation does.
    let token = Token::new();
    let child = token.child();
    let canceller = Arc::new(Canceller(token.clone(), Mutex::default()));
    let waker = Waker::from(canceller.clone());
    let mut waits: Vec<_> = (0..1000).map(|_| Box::pin(token.cancelled())).collect();
    for wait in &mut waits {
        assert!(wait.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    }
    assert!(token.cancel());
    assert_eq!(*canceller.1.lock(), [false; 1000]);
    assert!(child.is_cancelled());

    // Two beside each other.
    let tokens: Vec<_> = (0..300).map(|_| Token::new()).collect();
    let children: Vec<_> = tokens.iter().flat_map(|token| [token.child(), token.child()]).collect();
    let together = Barrier::new(2);
    let cancel_all = || -> Vec<bool> {
        let cancel = |token: &Token| {
            together.wait();
            token.cancel()
        };
        tokens.iter().map(cancel).collect()
    };
    let (mine, theirs) = thread::scope(|scope| {
        let theirs = scope.spawn(cancel_all);
        (cancel_all(), theirs.join().unwrap())
    });
    assert!(mine.iter().zip(&theirs).all(|(mine, theirs)| mine != theirs));
    assert!(children.iter().all(Token::is_cancelled));
}

// Batches beside others.

const VALUES: u32 = 4096;
const ROUNDS: u32 = if cfg!(miri) { 1 } else { 200 };

#[test]
fn a_batch_does_not_report_empty_while_there_are_values() {
    // No sends: the number of values only decreases, so values present afterwards were present
    // before.
    for _ in 0..ROUNDS {
        let (tx, rx) = bounded(VALUES as usize);
        (0..VALUES).for_each(|n| tx.try_send(n).unwrap());
        let taken = beside_each_other(|| {
            let mut values = Vec::new();
            while rx.try_recv_many(&mut values, 1).is_ok() {}
            assert_eq!(rx.len(), 0, "empty was said, and values were there");
            values.len()
        });
        assert_eq!(taken, VALUES as usize);
    }
}

#[test]
fn a_batch_does_not_report_full_while_there_is_room() {
    for _ in 0..ROUNDS {
        let (tx, rx) = bounded(VALUES as usize);
        let put = beside_each_other(|| {
            let mut put = 0;
            while let Ok(sent) = tx.try_send_many(&mut VecDeque::from([0])) {
                put += sent;
            }
            assert_eq!(rx.len(), VALUES as usize, "full was said, and there was room");
            put
        });
        assert_eq!(put, VALUES as usize);
    }
}

/// Runs the code on three threads, and returns how much they did.
fn beside_each_other(work: impl Fn() -> usize + Sync) -> usize {
    thread::scope(|scope| {
        let threads: Vec<_> = (0..3).map(|_| scope.spawn(&work)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    })
}
