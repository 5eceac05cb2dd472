// SPDX-License-Identifier: BSD-3-Clause
//! One test for each known defect of selects.

use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant};

use crate::common::{KINDS, QUEUES, Tally, Wakes, channel, or_long, poll, poll_once, until};
use becket_chan::{
    RecvError, Select, SelectError, SendError, Token, TryRecvError, bounded, rendezvous, select,
    unlimited,
};

#[test]
fn a_select_that_picks_a_rendezvous_receive_has_its_value() {
    // Alone, with a waiting sender, with a sender that arrives; from a thread and from a task.
    let (tx, rx) = rendezvous();
    let (_never, other) = rendezvous::<u32>();
    for n in 0..100 {
        let mut send = Box::pin(tx.send(n));
        assert!(poll_once(&mut send).is_pending());
        let got = select! { wait; v = other.recv() => v, v = rx.recv() => v };
        assert_eq!((got, poll_once(&mut send)), (Ok(n), Poll::Ready(Ok(()))));
        let mut selecting = Box::pin(async {
            select! { v = rx.recv() => v, v = other.recv() => v }
        });
        assert!(poll_once(&mut selecting).is_pending());
        tx.try_send(n + 1000).unwrap();
        assert_eq!(poll_once(&mut selecting), Poll::Ready(Ok(n + 1000)));
    }
    thread::scope(|scope| {
        scope.spawn(|| (0..5000).for_each(|n| tx.send(n).wait().unwrap()));
        for n in 0..5000 {
            let got = select! { wait; v = rx.recv() => v, v = other.recv() => v };
            assert_eq!(got, Ok(n));
        }
    });
    assert_eq!((tx.snapshot().sends, tx.snapshot().receives), (5200, 5200));
}

#[test]
fn a_select_never_runs_two_arms() {
    // may: both sides of a select were ready at once, and both completed.
    for kind in KINDS {
        let (a_tx, a) = channel::<u32>(kind);
        let (b_tx, b) = channel::<u32>(kind);
        let mut waiting = Box::pin(async {
            select! { v = a.recv() => (v, 'a'), v = b.recv() => (v, 'b') }
        });
        let wakes = Wakes::new();
        assert!(poll(&mut waiting, &wakes).is_pending());
        a_tx.try_send(1).unwrap();
        let second = b_tx.try_send(2);
        assert_eq!(second.is_ok(), kind != KINDS[0], "{kind:?}: no receiver is left");
        assert_eq!(wakes.count(), 1);
        assert_eq!(poll(&mut waiting, &wakes), Poll::Ready((Ok(1), 'a')));
        drop(waiting);
        let left = if second.is_ok() { Ok(2) } else { Err(TryRecvError::Empty) };
        assert_eq!((a.try_recv(), b.try_recv()), (Err(TryRecvError::Empty), left));
    }
}

#[test]
fn arms_that_did_not_complete_leave_no_trace() {
    for kind in KINDS {
        let tally = Tally::default();
        let (win_tx, win) = bounded::<u32>(1);
        let (tx, rx) = channel(kind);
        (0..kind.1).for_each(|id| tx.try_send(tally.item(id as u64)).unwrap());
        let (_silent, silence) = channel::<u32>(kind);
        let (before, quiet) = (tx.snapshot(), silence.snapshot());
        let sends_wait = kind.1 > 0 || kind == KINDS[0];
        for _ in 0..20 {
            if sends_wait {
                let mut waiting = Box::pin(async {
                    select! {
                        v = win.recv() => v.is_ok(),
                        _ = tx.send(tally.item(99)) => false,
                        v = silence.recv() => v.is_err(),
                    }
                });
                assert!(poll_once(&mut waiting).is_pending());
                assert_eq!(tx.snapshot().senders_waiting, 1);
                win_tx.try_send(1).unwrap();
                assert_eq!(poll_once(&mut waiting), Poll::Ready(true));
            }
            // Ended by a timeout, by a token, by default, by a drop.
            let token = Token::new();
            let mut dropped = Box::pin(async {
                select! { v = silence.recv() => v.is_err(), cancelled(&token) => true }
            });
            assert!(poll_once(&mut dropped).is_pending());
            drop(dropped);
            assert!(select! { wait; v = silence.recv() => v.is_err(), default => true });
            let past = Instant::now();
            assert!(select! { wait; v = silence.recv() => v.is_err(), deadline(past) => true });
            token.cancel();
            assert!(select! { wait; v = silence.recv() => v.is_err(), cancelled(&token) => true });
        }
        for (name, before, now) in
            [("sends", before, tx.snapshot()), ("receives", quiet, silence.snapshot())]
        {
            let mut now = now;
            now.taken_at = before.taken_at;
            assert_eq!(now, before, "{kind:?}, {name}");
        }
        drop((tx, rx));
        assert_eq!(tally.alive(), 0);
    }
}

#[test]
fn a_select_that_is_dropped_after_it_was_handed_a_value_gives_it_back() {
    for kind in KINDS {
        let (tx, rx) = channel(kind);
        let (_never, other) = channel::<u32>(kind);
        let mut first = Box::pin(async {
            select! { v = rx.recv() => v, v = other.recv() => v }
        });
        let wakes = Wakes::new();
        let mut second = Box::pin(rx.recv());
        assert!(poll_once(&mut first).is_pending());
        assert!(poll(&mut second, &wakes).is_pending());
        tx.try_send(1).unwrap();
        drop(first);
        assert_eq!(wakes.count(), 1, "{kind:?}: it goes on to the next");
        assert_eq!(poll(&mut second, &wakes), Poll::Ready(Ok(1)));
    }
}

#[test]
fn both_sides_of_one_channel_in_one_select_do_not_meet_themselves() {
    let (tx, rx) = rendezvous();
    let mut waiting = Box::pin(async {
        select! { v = rx.recv() => v.ok(), r = tx.send(1) => { r.unwrap(); None } }
    });
    assert!(poll_once(&mut waiting).is_pending());
    assert_eq!(tx.snapshot().matches, 0);
    // Another thread may take either side, and only one.
    assert_eq!(rx.try_recv(), Ok(1));
    assert!(tx.try_send(2).is_err(), "the select is over");
    assert_eq!(poll_once(&mut waiting), Poll::Ready(None));
    let mut waiting = Box::pin(async {
        select! { v = rx.recv() => v.ok(), r = tx.send(3) => { r.unwrap(); None } }
    });
    assert!(poll_once(&mut waiting).is_pending());
    tx.try_send(4).unwrap();
    assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
    assert_eq!(poll_once(&mut waiting), Poll::Ready(Some(4)));
    // On a buffered channel its own send can complete, then the receive.
    let (tx, rx) = bounded(1);
    let mut first = Vec::new();
    for _ in 0..2 {
        first.push(
            select! { wait; v = rx.recv() => v.ok(), r = tx.send(5) => { r.unwrap(); None } },
        );
    }
    assert_eq!(first, [None, Some(5)]);
}

#[test]
fn two_selects_that_face_each_other_match_once_each_time() {
    let (left_tx, left) = rendezvous::<u32>();
    let (right_tx, right) = rendezvous::<u32>();
    let rounds = 3000;
    let meet = |first: &_, second: &_| {
        let (tx, rx): (&becket_chan::Sender<u32>, &becket_chan::Receiver<u32>) = (first, second);
        let mut got = 0;
        for n in 0..rounds {
            let sent = select! {
                wait;
                r = tx.send(n) => r.map_or(Some(n), |()| None),
                v = rx.recv() => v.ok(),
            };
            got += u32::from(sent.is_some());
        }
        got
    };
    let (one, other) = thread::scope(|scope| {
        let one = scope.spawn(|| meet(&left_tx, &right));
        let other = scope.spawn(|| meet(&right_tx, &left));
        (one.join().unwrap(), other.join().unwrap())
    });
    // Each round of one is a round of the other: each receives the value that the other sent.
    assert_eq!(one + other, rounds);
    assert_eq!(left.snapshot().matches + right.snapshot().matches, u64::from(rounds));
    assert_eq!(u64::from(other), left.snapshot().receives);
}

#[test]
fn a_select_is_fair_by_default_and_biased_on_demand() {
    let (a_tx, a) = unlimited();
    let (b_tx, b) = unlimited();
    (0..2000).for_each(|n| (a_tx.try_send(n).unwrap(), b_tx.try_send(n).unwrap()).1);
    let mut taken = [0; 2];
    for _ in 0..1000 {
        taken[select! { wait; _ = a.recv() => 0, _ = b.recv() => 1 }] += 1;
    }
    assert!(taken.iter().all(|taken| *taken > 100), "{taken:?}, where 500 each are likely");
    let begun = taken;
    for _ in 0..200 {
        taken[select! { wait, biased; _ = a.recv() => 0, _ = b.recv() => 1 }] += 1;
    }
    assert_eq!((taken[0] - begun[0], taken[1] - begun[1]), (200, 0));
}

#[test]
fn a_token_wins_over_arms_that_are_ready_and_a_default_loses() {
    let (tx, rx) = bounded(1);
    let token = Token::new();
    tx.try_send(1).unwrap();
    let won = select! {
        wait; v = rx.recv() => v.ok(), default => None, cancelled(&token) => Some(0)
    };
    assert_eq!(won, Some(1));
    tx.try_send(2).unwrap();
    token.cancel();
    let won = select! { wait; v = rx.recv() => v.ok(), cancelled(&token) => Some(0) };
    assert_eq!((won, rx.try_recv()), (Some(0), Ok(2)));
    let won = select! { wait; v = rx.recv() => v.ok(), default => None };
    assert_eq!(won, None);
    // An arm that is ready wins over a time that has passed.
    tx.try_send(3).unwrap();
    let past = Instant::now();
    let won = select! { wait; v = rx.recv() => v.ok(), deadline(past) => None };
    assert_eq!(won, Some(3));
}

#[test]
fn a_closed_channel_ends_a_select_that_waits() {
    for kind in KINDS {
        let (tx, rx) = channel::<u32>(kind);
        let (_never, other) = channel::<u32>(kind);
        let wakes = Wakes::new();
        let mut waiting = Box::pin(async {
            select! { v = other.recv() => (v, 'o'), v = rx.recv() => (v, 'r') }
        });
        assert!(poll(&mut waiting, &wakes).is_pending());
        tx.close();
        assert_eq!(wakes.count(), 1, "{kind:?}");
        assert_eq!(poll(&mut waiting, &wakes), Poll::Ready((Err(RecvError::Closed), 'r')));
    }
    let (tx, rx) = rendezvous();
    let mut waiting = Box::pin(async {
        select! { r = tx.send(7) => r }
    });
    assert!(poll_once(&mut waiting).is_pending());
    rx.close();
    assert_eq!(poll_once(&mut waiting), Poll::Ready(Err(SendError::Closed(7))));
}

#[test]
fn a_select_whose_waker_changed_wakes_the_new_one() {
    let (tx, rx) = rendezvous();
    let (_never, other) = bounded::<u32>(1);
    let token = Token::new();
    for end in 0..2 {
        let (old, new) = (Wakes::new(), Wakes::new());
        let mut waiting = Box::pin(async {
            select! {
                v = rx.recv() => v.ok(),
                v = other.recv() => v.ok(),
                cancelled(&token) => None,
            }
        });
        assert!(poll(&mut waiting, &old).is_pending() && poll(&mut waiting, &new).is_pending());
        if end == 0 {
            tx.try_send(1).unwrap();
        } else {
            token.cancel();
        }
        assert_eq!((old.count(), new.count()), (0, 1));
        let expected = if end == 0 { Some(1) } else { None };
        assert_eq!(poll(&mut waiting, &old), Poll::Ready(expected));
    }
}

#[test]
fn a_dynamic_select_over_hundreds_of_channels_takes_each_value_once() {
    let channels: Vec<_> = (0..300).map(|at| channel::<u64>(QUEUES[at % QUEUES.len()])).collect();
    thread::scope(|scope| {
        for half in 0..2 {
            let channels = &channels;
            scope.spawn(move || {
                for n in 0..20 {
                    for (tx, _) in channels.iter().skip(half).step_by(2) {
                        tx.send(n).wait().unwrap();
                    }
                }
                for (tx, _) in channels.iter().skip(half).step_by(2) {
                    tx.close();
                }
            });
        }
        let mut select = Select::new();
        let keys: Vec<_> = channels.iter().map(|(_, rx)| select.recv(rx)).collect();
        let mut next = vec![0; channels.len()];
        let mut open = channels.len();
        while open > 0 {
            let ready = select.wait().unwrap();
            let at = ready.index();
            match ready.recv(keys[at]).unwrap() {
                Ok(n) => assert_eq!(n, std::mem::replace(&mut next[at], n + 1)),
                Err(error) => {
                    assert_eq!(error, RecvError::Closed);
                    drop(ready);
                    select.remove_recv(keys[at]);
                    open -= 1;
                }
            }
        }
        assert!(next.iter().all(|next| *next == 20));
        assert_eq!(select.wait().map(|ready| ready.index()).err(), Some(SelectError::NoCases));
    });
}

#[test]
fn a_dynamic_send_happens_once_and_again_with_its_next_value() {
    let (tx, rx) = rendezvous();
    let mut select = Select::new();
    let key = select.send(&tx, 1);
    thread::scope(|scope| {
        let receiving = scope.spawn(|| (rx.recv().wait(), rx.recv().wait()));
        assert_eq!(select.wait().unwrap().send(key), Some(Ok(())));
        assert_eq!(select.wait().map(|ready| ready.index()).err(), Some(SelectError::NoCases));
        select.send_next(key, 2).unwrap();
        assert_eq!(select.wait().unwrap().send(key), Some(Ok(())));
        assert_eq!(receiving.join().unwrap(), (Ok(1), Ok(2)));
    });
    select.send_next(key, 3).unwrap();
    let late = select.ready().timeout(Duration::from_millis(1)).wait().map(|ready| ready.index());
    assert_eq!(late.err(), Some(SelectError::TimedOut));
    assert_eq!((rx.try_recv(), tx.snapshot().senders_waiting), (Err(TryRecvError::Empty), 0));
}

#[test]
fn a_dynamic_result_that_is_not_asked_for_goes_back() {
    for kind in QUEUES {
        let (tx, rx) = channel(kind);
        let mut select = Select::new();
        let _key = select.recv(&rx);
        thread::scope(|scope| {
            scope.spawn(|| tx.send(1).wait().unwrap());
            drop(select.wait().unwrap());
        });
        drop(select);
        assert_eq!(rx.try_recv(), Ok(1), "{kind:?}");
    }
}

#[test]
fn a_select_races_with_time_and_tokens_and_loses_nothing() {
    // Each round either the value is received or it is still there.
    let many = or_long(300, 2000);
    for kind in QUEUES {
        let (tx, rx) = channel(kind);
        let mut got = 0_u32;
        thread::scope(|scope| {
            scope.spawn(|| (0..many).for_each(|n| tx.send(n).wait().unwrap()));
            while got < many {
                let token = Token::new();
                let cancelling = token.clone();
                let limit = Duration::from_nanos(u64::from(got) * 37 % 3000);
                if got.is_multiple_of(64) {
                    scope.spawn(move || cancelling.cancel());
                }
                let value = select! {
                    wait;
                    v = rx.recv() => v.ok(),
                    timeout(limit) => None,
                    cancelled(&token) => None,
                };
                if let Some(n) = value {
                    assert_eq!(n, got, "{kind:?}");
                    got += 1;
                }
            }
        });
        until(|| tx.is_empty());
        let seen = tx.snapshot();
        assert_eq!(
            (seen.sends, seen.receives, seen.undelivered),
            (many.into(), many.into(), 0),
            "{kind:?}"
        );
    }
}
