// SPDX-License-Identifier: BSD-3-Clause
//! The park hook, with flows that are not threads as far as the crate can tell.
//!
//! Two toy schedulers. **Scripted**: its flow runs on the test's thread, and its park runs the next
//! step of a script instead of sleeping, so that every order of park and unpark can be forced.
//! **Flows**: each flow has a thread that stands in for it and is parked by a condition variable.
//! It returns from a park spuriously now and then, and detects stale unparkers by a number that is
//! never reused.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::thread::{self, Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};

use crate::common::{Dice, KINDS, QUEUES, channel, or_long, until};
use becket_chan::park::{Park, Unparker, set_hook};
use becket_chan::{
    Kind, Receiver, RecvError, Select, SelectError, SendError, SendManyError, Sender, Token,
    bounded, rendezvous, select,
};
use parking_lot::{Condvar, Mutex};

// Scripted.

struct Scripted;

type Act = Box<dyn FnOnce()>;
/// One way to wait for a value, which a token ends.
type Wait = fn(&Receiver<u32>, &Token) -> Option<u32>;

thread_local! {
    static SCRIPT: RefCell<VecDeque<Act>> = const { RefCell::new(VecDeque::new()) };
    static PARKS: Cell<u32> = const { Cell::new(0) };
    static DEADLINES: Cell<u32> = const { Cell::new(0) };
}

static UNPARKS: LazyLock<Mutex<HashMap<usize, u32>>> = LazyLock::new(Mutex::default);

fn count_unpark(flow: usize) {
    *UNPARKS.lock().entry(flow).or_default() += 1;
}

impl Park for Scripted {
    fn unparker(&self) -> Unparker {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        Unparker::new(count_unpark, NEXT.fetch_add(1, Ordering::Relaxed))
    }

    fn park(&self, deadline: Option<Instant>) {
        PARKS.set(PARKS.get() + 1);
        DEADLINES.set(DEADLINES.get() + u32::from(deadline.is_some()));
        let act = SCRIPT.with_borrow_mut(VecDeque::pop_front);
        act.expect("parked once too often: nothing is left that would wake it")();
    }
}

/// Runs `flow` with a park that runs these steps, and returns how often it parked.
fn scripted<R>(script: Vec<Act>, flow: impl FnOnce() -> R) -> (R, u32) {
    let expected = script.len();
    SCRIPT.set(script.into());
    PARKS.set(0);
    let before = set_hook(Some(&Scripted));
    assert!(before.is_none());
    let result = flow();
    assert!(set_hook(before).is_some(), "the hook that was set");
    assert!(PARKS.get() as usize <= expected);
    (result, PARKS.get())
}

fn act<R>(act: impl FnOnce() -> R + 'static) -> Act {
    Box::new(move || {
        let _ = act();
    })
}

#[test]
fn an_unpark_before_the_park_is_not_lost() {
    // The match comes after the flow has queued and before it sleeps.
    for kind in KINDS {
        let (tx, rx) = channel(kind);
        let sends = act(move || tx.try_send(1).unwrap());
        assert_eq!(scripted(vec![sends], || rx.recv().wait()), (Ok(1), 1), "{kind:?}");
    }
    for kind in [KINDS[0], KINDS[1], KINDS[2]] {
        let (tx, rx) = channel(kind);
        (0..kind.1).for_each(|n| tx.try_send(n).unwrap());
        let receives = act(move || rx.try_recv().unwrap());
        assert_eq!(scripted(vec![receives], || tx.send(9).wait()).1, 1, "{kind:?}");
    }
}

#[test]
fn a_park_that_returns_without_a_reason_is_entered_again() {
    for kind in KINDS {
        let (tx, rx) = channel(kind);
        let mut script: Vec<_> = (0..10).map(|_| act(|| {})).collect();
        script.push(act(move || tx.try_send(1).unwrap()));
        assert_eq!(scripted(script, || rx.recv().wait()), (Ok(1), 11), "{kind:?}");
    }
}

#[test]
fn a_flow_that_needs_not_wait_is_never_parked() {
    for kind in [KINDS[1], KINDS[4], KINDS[5]] {
        let (tx, rx) = channel(kind);
        let both = || (tx.send(1).wait(), rx.recv().wait());
        assert_eq!(scripted(Vec::new(), both), ((Ok(()), Ok(1)), 0), "{kind:?}");
        let past = Instant::now();
        let late = || rx.recv().deadline(past).wait();
        assert_eq!(scripted(Vec::new(), late), (Err(RecvError::TimedOut), 0));
        tx.close();
        assert_eq!(scripted(Vec::new(), || rx.recv().wait()), (Err(RecvError::Closed), 0));
    }
}

#[test]
fn every_way_to_wait_parks_the_flow_and_is_unparked_by_every_cause() {
    // By a match, by a close, by a token; each parks once.
    let waits: [Wait; 4] = [
        |rx, token| rx.recv().cancel_on(token).wait().ok(),
        |rx, token| {
            let mut values = Vec::new();
            rx.recv_many(&mut values, 3).cancel_on(token).wait().ok()?;
            values.pop()
        },
        |rx, token| select! { wait; v = rx.recv() => v.ok(), cancelled(token) => None },
        |rx, token| {
            let mut select = Select::new();
            let key = select.recv(rx);
            let ready = select.ready().cancel_on(token).wait();
            ready.ok()?.recv(key).unwrap().ok()
        },
    ];
    for kind in KINDS {
        for wait in waits {
            let (tx, rx) = channel(kind);
            let (token, sending, cancelled) = (Token::new(), tx.clone(), Token::new());
            let sends = act(move || sending.try_send(1).unwrap());
            assert_eq!(scripted(vec![sends], || wait(&rx, &token)), (Some(1), 1), "{kind:?}");
            let child = cancelled.child();
            let cancels = act(move || cancelled.cancel());
            assert_eq!(scripted(vec![cancels], || wait(&rx, &child)), (None, 1), "{kind:?}");
            let closes = act(move || tx.close());
            assert_eq!(scripted(vec![closes], || wait(&rx, &token)), (None, 1), "{kind:?}");
        }
    }
    let token = Token::new();
    let cancels = token.clone();
    let waiting = scripted(vec![act(move || cancels.cancel())], || token.cancelled().wait());
    assert_eq!(waiting, (true, 1));
}

#[test]
fn a_batch_parks_for_each_time_that_it_must_wait() {
    let (tx, rx) = bounded(2);
    let receives = |rx: &Receiver<u32>| {
        let rx = rx.clone();
        act(move || assert_eq!(rx.try_recv_many(&mut Vec::new(), 2), Ok(2)))
    };
    let script = vec![receives(&rx), receives(&rx)];
    let mut values: VecDeque<_> = (0..6).collect();
    let (sent, parks) = scripted(script, || tx.send_many(&mut values).wait());
    assert_eq!((sent, values.len(), rx.len()), (Ok(()), 0, 2));
    assert_eq!(parks, 2);
}

#[test]
fn the_deadline_reaches_the_park_and_ends_the_wait() {
    let (tx, rx) = rendezvous::<u32>();
    let token = Token::new();
    let sleep = |at: Instant| act(move || while Instant::now() < at {});
    DEADLINES.set(0);
    for round in 1..=3 {
        let at = Instant::now() + Duration::from_millis(1);
        let late = scripted(vec![sleep(at)], || rx.recv().deadline(at).wait());
        // Not parked at all if the machine was busy until the deadline.
        assert!(late.0 == Err(RecvError::TimedOut) && late.1 <= 1);
        let late = scripted(vec![sleep(at + Duration::from_millis(1))], || {
            tx.send(1).deadline(at + Duration::from_millis(1)).wait()
        });
        assert!(late.0 == Err(SendError::TimedOut(1)) && late.1 <= 1);
        let at = Instant::now() + Duration::from_secs(3600);
        let cancels = token.child();
        let child = cancels.clone();
        let stopped = scripted(vec![act(move || cancels.cancel())], || {
            rx.recv().deadline(at).cancel_on(&child).wait()
        });
        assert_eq!(stopped, (Err(RecvError::Cancelled), 1));
        assert!(DEADLINES.get() >= round);
    }
    assert_eq!((rx.snapshot().receivers_waiting, rx.snapshot().senders_waiting), (0, 0));
}

#[test]
fn each_unparker_is_called_at_most_once() {
    let (tx, rx) = rendezvous();
    for n in 0..100 {
        let (sending, token) = (tx.clone(), Token::new());
        let cancels = token.clone();
        let both = act(move || {
            sending.try_send(n).unwrap();
            cancels.cancel();
            sending.try_send(n).unwrap_err();
        });
        assert_eq!(scripted(vec![both], || rx.recv().cancel_on(&token).wait()), (Ok(n), 1));
    }
    tx.close();
    assert!(UNPARKS.lock().values().all(|unparks| *unparks == 1));
}

#[test]
fn a_hook_is_its_threads_alone_and_can_be_taken_off() {
    assert!(set_hook(Some(&Scripted)).is_none());
    let (tx, rx) = rendezvous();
    thread::scope(|scope| {
        // This thread has no hook, and would panic in an empty script.
        let waiting = scope.spawn(|| rx.recv().wait());
        until(|| rx.snapshot().receivers_waiting == 1);
        tx.try_send(1).unwrap();
        assert_eq!(waiting.join().unwrap(), Ok(1));
    });
    assert!(set_hook(None).is_some() && set_hook(None).is_none());
    thread::scope(|scope| {
        scope.spawn(|| tx.send(2).wait().unwrap());
        assert_eq!(rx.recv().wait(), Ok(2));
    });
}

// Flows.

struct Flows;

#[derive(Default)]
struct Flow {
    token: Mutex<bool>,
    unparked: Condvar,
}

/// The flows of the current waits, by a number that is never reused.
static WAITS: LazyLock<Mutex<HashMap<usize, Arc<Flow>>>> = LazyLock::new(Mutex::default);

thread_local! {
    static FLOW: Arc<Flow> = Arc::default();
    static WAIT: Cell<usize> = const { Cell::new(0) };
    static MOODS: RefCell<Dice> = RefCell::new(Dice::new(7));
}

fn unpark(wait: usize) {
    // None: the wait is over, and its unparker stale.
    if let Some(flow) = WAITS.lock().remove(&wait) {
        *flow.token.lock() = true;
        flow.unparked.notify_one();
    }
}

impl Park for Flows {
    fn unparker(&self) -> Unparker {
        static NEXT: AtomicUsize = AtomicUsize::new(1);
        let wait = NEXT.fetch_add(1, Ordering::Relaxed);
        let flow = FLOW.with(Arc::clone);
        *flow.token.lock() = false;
        let mut waits = WAITS.lock();
        // The wait before this one is over: from here on its unparker is stale.
        waits.remove(&WAIT.replace(wait));
        waits.insert(wait, flow);
        Unparker::new(unpark, wait)
    }

    fn park(&self, deadline: Option<Instant>) {
        if MOODS.with_borrow_mut(|dice| dice.below(4)) == 0 {
            return;
        }
        let flow = FLOW.with(Arc::clone);
        let mut token = flow.token.lock();
        while !*token {
            match deadline {
                Some(at) if flow.unparked.wait_until(&mut token, at).timed_out() => return,
                Some(_) => {}
                None => flow.unparked.wait(&mut token),
            }
        }
        *token = false;
    }
}

fn flow<'s, R: Send + 's>(
    scope: &'s Scope<'s, '_>,
    body: impl FnOnce() -> R + Send + 's,
) -> ScopedJoinHandle<'s, R> {
    scope.spawn(|| {
        set_hook(Some(&Flows));
        let result = body();
        set_hook(None);
        WAITS.lock().remove(&WAIT.get());
        result
    })
}

/// Whether every second one is a flow, all are, or none is.
fn start<'s, R: Send + 's>(
    scope: &'s Scope<'s, '_>,
    as_flow: bool,
    body: impl FnOnce() -> R + Send + 's,
) -> ScopedJoinHandle<'s, R> {
    if as_flow { flow(scope, body) } else { scope.spawn(body) }
}

fn send_all(tx: &Sender<u64>, from: u64, n: u64) {
    let mut dice = Dice::new(from + 1);
    let mut next = from;
    while next < from + n {
        let limit = Duration::from_nanos(dice.below(20_000));
        match dice.below(3) {
            0 => next += u64::from(tx.send(next).timeout(limit).wait().is_ok()),
            1 => {
                let mut values: VecDeque<_> = (next..(next + 5).min(from + n)).collect();
                let count = values.len() as u64;
                let sent = tx.send_many(&mut values).timeout(limit).wait();
                assert!(matches!(sent, Ok(()) | Err(SendManyError::TimedOut)));
                next += count - values.len() as u64;
            }
            _ => {
                tx.send(next).wait().unwrap();
                next += 1;
            }
        }
    }
}

fn receive_all(rx: &Receiver<u64>, seed: u64) -> Vec<u64> {
    let (mut dice, mut all) = (Dice::new(seed + 99), Vec::new());
    loop {
        let limit = Duration::from_nanos(dice.below(20_000));
        let result = match dice.below(4) {
            0 => rx.recv().timeout(limit).wait(),
            1 => {
                let mut select = Select::new();
                let key = select.recv(rx);
                match select.ready().timeout(limit).wait() {
                    Ok(ready) => ready.recv(key).unwrap(),
                    Err(SelectError::TimedOut) => continue,
                    Err(other) => panic!("{other}"),
                }
            }
            2 => match rx.recv_many(&mut all, 5).wait() {
                Ok(_) => continue,
                Err(error) => Err(error),
            },
            _ => rx.recv().wait(),
        };
        match result {
            Ok(value) => all.push(value),
            Err(RecvError::TimedOut) => {}
            Err(_) => return all,
        }
    }
}

#[test]
fn flows_and_threads_pass_everything_once() {
    let each = or_long(400, 1000);
    let kinds: Vec<(Kind, usize)> = QUEUES.into();
    for kind in kinds {
        for mix in 1..4_u64 {
            let (tx, rx) = channel(kind);
            let mut all: Vec<_> = thread::scope(|scope| {
                for sender in 0..3 {
                    let tx = tx.clone();
                    start(scope, (sender + mix) % 3 < mix, move || {
                        send_all(&tx, sender * each, each);
                    });
                }
                drop(tx);
                let receiving: Vec<_> = (0..3)
                    .map(|n| {
                        let rx = rx.clone();
                        start(scope, (n + mix) % 3 < mix, move || receive_all(&rx, n))
                    })
                    .collect();
                receiving.into_iter().flat_map(|flow| flow.join().unwrap()).collect()
            });
            all.sort_unstable();
            assert_eq!(all, (0..3 * each).collect::<Vec<_>>(), "{kind:?}");
            let seen = rx.snapshot();
            assert_eq!((seen.receivers_waiting, seen.senders_waiting, seen.len), (0, 0, 0));
        }
    }
}

#[test]
fn a_flow_is_unparked_from_a_foreign_thread() {
    let (ping, pinged) = rendezvous::<u32>();
    let (pong, ponged) = rendezvous::<u32>();
    thread::scope(|scope| {
        flow(scope, || {
            while let Ok(n) = pinged.recv().wait() {
                pong.send(n).wait().unwrap();
            }
        });
        for n in 0..2000 {
            ping.send(n).wait().unwrap();
            assert_eq!(ponged.recv().wait(), Ok(n));
        }
        ping.close();
    });
}
