// SPDX-License-Identifier: BSD-3-Clause
//! A reused `Select`: its nodes stay linked between two waits.
#![allow(clippy::mem_forget, reason = "what a program may do, and what must hold then")]

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::task::Poll;
use std::thread;
use std::time::Duration;

use crate::common::{Dice, KINDS, QUEUES, Tally, Wakes, channel, poll, poll_once, until};
use becket_chan::{
    Kind, Ready, Receiver, RecvCase, RecvError, Select, SelectError, SendCase, Sender, Token,
    bounded, rendezvous,
};

type Channel = (Sender<u64>, Receiver<u64>);

#[test]
fn a_wait_that_was_forgotten_after_its_send_happened_is_settled() {
    // Whatever is done next with the select, the value was sent once.
    for next in 0..5 {
        let tally = Tally::default();
        let (tx, rx) = rendezvous();
        let mut select = Select::new();
        let key = select.send(&tx, tally.item(1));
        let mut ready = Box::pin(select.ready());
        assert!(poll_once(&mut ready).is_pending());
        let got = rx.try_recv().unwrap();
        std::mem::forget(ready);
        match next {
            0 => assert!(select.send_next(key, tally.item(2)).is_ok()),
            1 => select.remove_send(key),
            2 => assert!(select.try_ready().is_none_or(|ready| ready.send(key).unwrap().is_ok())),
            3 => {
                let ready = select.ready().timeout(Duration::from_millis(1)).wait();
                assert!(ready.is_err() || ready.is_ok_and(|ready| ready.index() == 0));
            }
            _ => {}
        }
        assert!(rx.try_recv().is_err(), "case {next}: it is sent only once");
        drop(select);
        assert_eq!((got.id, tally.alive()), (1, 1), "case {next}");
        drop(got);
        assert_eq!((tally.alive(), rx.snapshot().sends), (0, 1), "case {next}");
    }
}

#[test]
fn a_wait_that_was_forgotten_after_it_was_handed_a_value_loses_nothing() {
    for next in 0..4 {
        let tally = Tally::default();
        let (tx, rx) = rendezvous();
        let mut select = Select::new();
        let key = select.recv(&rx);
        let mut ready = Box::pin(select.ready());
        assert!(poll_once(&mut ready).is_pending());
        tx.try_send(tally.item(1)).unwrap();
        std::mem::forget(ready);
        let got = match next {
            0 => select.wait().unwrap().recv(key).unwrap().unwrap(),
            1 => {
                select.remove_recv(key);
                rx.try_recv().unwrap()
            }
            2 => select.try_ready().unwrap().recv(key).unwrap().unwrap(),
            _ => {
                drop(select);
                rx.try_recv().unwrap()
            }
        };
        assert_eq!((got.id, tally.alive()), (1, 1), "case {next}");
        drop(got);
        assert_eq!(tally.alive(), 0, "case {next}");
    }
}

#[test]
fn a_token_of_a_wait_that_was_forgotten_finds_nothing_of_the_select() {
    let (_tx, rx) = rendezvous::<u64>();
    let (token, wakes) = (Token::new(), Wakes::new());
    let mut select = Select::new();
    let _key = select.recv(&rx);
    let mut ready = Box::pin(select.ready().cancel_on(&token));
    assert!(poll(&mut ready, &wakes).is_pending());
    std::mem::forget(ready);
    drop(select);
    // Memory that is reused, so that a sanitizer can detect a stale access.
    let filled: Vec<_> = (0..64).map(|n| Box::new([n; 16])).collect();
    token.cancel();
    assert!(filled.iter().zip(0..).all(|(block, n)| **block == [n; 16]));
}

#[test]
fn a_wait_that_was_given_up_leaves_the_select_usable_and_takes_no_value() {
    for kind in KINDS {
        let (tx, rx) = channel(kind);
        let mut select = Select::new();
        let key = select.recv(&rx);
        for n in 0..50 {
            // Ended by a drop, by a timeout, by a token; the value comes after that.
            let mut ready = Box::pin(select.ready());
            assert!(poll_once(&mut ready).is_pending());
            drop(ready);
            let late = select.ready().timeout(Duration::from_nanos(1)).wait().map(|r| r.index());
            assert_eq!(late.err(), Some(SelectError::TimedOut));
            let token = Token::new();
            let mut ready = Box::pin(select.ready().cancel_on(&token));
            assert!(poll_once(&mut ready).is_pending());
            token.cancel();
            assert!(matches!(poll_once(&mut ready), Poll::Ready(Err(SelectError::Cancelled))));
            drop(ready);
            let taken = tx.try_send(n).is_ok();
            assert_eq!(taken, kind != KINDS[0], "{kind:?}: an idle select is no receiver");
            if taken {
                assert_eq!(select.wait().unwrap().recv(key), Some(Ok(n)), "{kind:?}");
            }
        }
    }
}

#[test]
fn an_idle_select_does_not_stand_in_the_way_of_others() {
    for kind in KINDS {
        let (tx, rx) = channel(kind);
        let mut select = Select::new();
        let key = select.recv(&rx);
        for n in (0..60).step_by(2) {
            let mut ready = Box::pin(select.ready());
            assert!(poll_once(&mut ready).is_pending());
            drop(ready);
            // Its node is linked, before that of a receive that waits.
            let wakes = Wakes::new();
            let mut receive = Box::pin(rx.recv());
            assert!(poll(&mut receive, &wakes).is_pending());
            tx.try_send(n).unwrap();
            assert_eq!(wakes.count(), 1, "{kind:?}");
            assert_eq!(poll_once(&mut receive), Poll::Ready(Ok(n)));
            let mut ready = Box::pin(select.ready());
            assert!(poll(&mut ready, &wakes).is_pending());
            tx.try_send(n + 1).unwrap();
            assert_eq!(wakes.count(), 2, "{kind:?}");
            let Poll::Ready(Ok(ready)) = poll_once(&mut ready) else { panic!("{kind:?}") };
            assert_eq!(ready.recv(key), Some(Ok(n + 1)));
        }
        tx.close();
        assert_eq!(select.wait().unwrap().recv(key), Some(Err(RecvError::Closed)));
    }
}

/// A kept select over some channels, and its expected results.
struct Model {
    stored: Vec<VecDeque<u64>>,
    kinds: Vec<(Kind, usize)>,
}

impl Model {
    fn has_room(&self, at: usize) -> bool {
        match self.kinds[at] {
            (Kind::Rendezvous, _) => false,
            (Kind::Bounded, capacity) => self.stored[at].len() < capacity,
            _ => true,
        }
    }

    fn store(&mut self, at: usize, value: u64) {
        if self.kinds[at].0 == Kind::Conflated {
            self.stored[at].clear();
        }
        self.stored[at].push_back(value);
    }
}

fn received(ready: &Ready<'_, '_>, keys: &[RecvCase<u64>]) -> (usize, u64) {
    let at = ready.index();
    (at, ready.recv(keys[at]).unwrap().unwrap())
}

#[test]
fn a_kept_select_agrees_with_a_model_step_by_step() {
    for seed in 0..300 {
        let mut dice = Dice::new(seed);
        let kinds: Vec<_> = (0..4).map(|_| KINDS[dice.below(6) as usize]).collect();
        let channels: Vec<Channel> = kinds.iter().map(|kind| channel(*kind)).collect();
        let mut model = Model { stored: vec![VecDeque::new(); 4], kinds };
        let mut select = Select::new().biased();
        let keys: Vec<_> = channels.iter().map(|(_, rx)| select.recv(rx)).collect();
        let first = |model: &Model| model.stored.iter().position(|stored| !stored.is_empty());
        for n in 0..60 {
            let at = dice.below(4) as usize;
            let (tx, rx) = &channels[at];
            match dice.below(5) {
                0 | 1 => {
                    let room = model.has_room(at);
                    assert_eq!(tx.try_send(n).is_ok(), room, "seed {seed}, {n}");
                    if room {
                        model.store(at, n);
                    }
                }
                2 => assert_eq!(rx.try_recv().ok(), model.stored[at].pop_front()),
                3 => match (select.try_ready(), first(&model)) {
                    (Some(ready), Some(at)) => {
                        let expected = model.stored[at].pop_front().unwrap();
                        assert_eq!(received(&ready, &keys), (at, expected), "seed {seed}, {n}");
                    }
                    (ready, expected) => assert_eq!(ready.map(|r| r.index()), expected),
                },
                _ => {
                    let wakes = Wakes::new();
                    let mut waiting = Box::pin(select.ready());
                    let now = match poll(&mut waiting, &wakes) {
                        Poll::Ready(ready) => Some(received(&ready.unwrap(), &keys)),
                        Poll::Pending => None,
                    };
                    let stored = first(&model);
                    let stored = stored.map(|at| (at, model.stored[at].pop_front().unwrap()));
                    assert_eq!(now, stored, "seed {seed}, {n}");
                    if now.is_none() && dice.below(2) == 0 {
                        tx.try_send(n).unwrap();
                        assert_eq!(wakes.count(), 1, "seed {seed}, {n}");
                        if dice.below(2) == 0 {
                            let Poll::Ready(Ok(ready)) = poll_once(&mut waiting) else {
                                panic!("seed {seed}, {n}: it was woken and is not ready");
                            };
                            assert_eq!(received(&ready, &keys), (at, n), "seed {seed}, {n}");
                        } else {
                            // Dropped with a received value, which is requeued.
                            drop(waiting);
                            assert_eq!(rx.try_recv(), Ok(n), "seed {seed}, {n}");
                        }
                    }
                }
            }
            for ((_, rx), stored) in channels.iter().zip(&model.stored) {
                assert_eq!(rx.len(), stored.len(), "seed {seed}, {n}");
            }
        }
    }
}

#[test]
fn kept_selects_under_stress_lose_nothing_and_sleep_through_nothing() {
    const EACH: u64 = 3000;
    const CHANNELS: usize = 6;
    let channels: Vec<Channel> = (0..CHANNELS).map(|at| channel(QUEUES[at % 5])).collect();
    let fates: Vec<_> = (0..CHANNELS as u64 * EACH).map(|_| AtomicU8::new(0)).collect();
    let total = AtomicU64::new(0);
    let met = |value: u64| {
        assert_eq!(fates[value as usize].fetch_add(1, Ordering::Relaxed), 0, "{value} came twice");
        total.fetch_add(1, Ordering::Relaxed);
    };
    thread::scope(|scope| {
        // A sender with a kept select of sends on all channels, and a plain one for each half.
        let (next, halves) = (&channels, [0, CHANNELS as u64 / 2]);
        for half in halves {
            scope.spawn(move || {
                for n in 0..EACH / 2 {
                    for at in half..half + CHANNELS as u64 / 2 {
                        next[at as usize].0.send(at * EACH + n).wait().unwrap();
                    }
                }
            });
        }
        scope.spawn(|| {
            let mut sent = [EACH / 2; CHANNELS];
            let mut select = Select::new();
            let keys: Vec<SendCase<u64>> = (0..CHANNELS)
                .map(|at| select.send(&channels[at].0, at as u64 * EACH + EACH / 2))
                .collect();
            let mut dice = Dice::new(1);
            while sent.iter().any(|sent| *sent < EACH) {
                let limit = Duration::from_nanos(dice.below(20_000));
                let at = match select.ready().timeout(limit).wait() {
                    Ok(ready) => {
                        assert_eq!(ready.send(keys[ready.index()]), Some(Ok(())));
                        ready.index()
                    }
                    Err(error) => {
                        assert_eq!(error, SelectError::TimedOut);
                        continue;
                    }
                };
                sent[at] += 1;
                if sent[at] < EACH {
                    select.send_next(keys[at], at as u64 * EACH + sent[at]).unwrap();
                }
            }
        });
        for seed in 0..3 {
            let (channels, total, met) = (&channels, &total, &met);
            scope.spawn(move || {
                let mut dice = Dice::new(seed + 10);
                let mut select = Select::new();
                let keys: Vec<_> = channels.iter().map(|(_, rx)| select.recv(rx)).collect();
                let mut open = CHANNELS;
                while open > 0 {
                    let limit = Duration::from_nanos(dice.below(20_000));
                    let limit = if dice.below(3) == 0 { limit } else { Duration::from_secs(3600) };
                    let Ok(ready) = select.ready().timeout(limit).wait() else {
                        continue;
                    };
                    let at = ready.index();
                    let result = ready.recv(keys[at]).unwrap();
                    drop(ready);
                    match result {
                        Ok(value) => met(value),
                        Err(_) => {
                            select.remove_recv(keys[at]);
                            open -= 1;
                        }
                    }
                    if total.load(Ordering::Relaxed) == CHANNELS as u64 * EACH {
                        for (tx, _) in channels {
                            tx.close_with("all are here");
                        }
                    }
                }
            });
        }
    });
    until(|| channels.iter().all(|(tx, _)| tx.is_closed()));
    assert_eq!(total.into_inner(), CHANNELS as u64 * EACH);
    for (tx, _) in &channels {
        let seen = tx.snapshot();
        assert_eq!((seen.senders_waiting, seen.receivers_waiting, seen.len), (0, 0, 0));
        assert_eq!((seen.sends, seen.receives), (EACH, EACH));
    }
}

#[test]
fn a_kept_select_takes_turns_with_itself_on_a_channel_of_one() {
    // Both sides of one channel, kept: it receives what it sent, whichever side is first.
    let (tx, rx) = bounded(1);
    let mut select = Select::new();
    let (sends, receives) = (select.send(&tx, 0), select.recv(&rx));
    let (mut sent, mut got) = (0, 0);
    while got < 100 {
        let ready = select.wait().unwrap();
        match (ready.send(sends), ready.recv(receives)) {
            (Some(Ok(())), None) => {
                sent += 1;
                drop(ready);
                select.send_next(sends, sent).unwrap();
            }
            (None, Some(Ok(value))) => {
                assert_eq!(value, got);
                got += 1;
            }
            other => panic!("{other:?}"),
        }
        assert!(sent - got <= 1);
    }
}
