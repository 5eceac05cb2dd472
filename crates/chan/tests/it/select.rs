// SPDX-License-Identifier: BSD-3-Clause
//! Exactly one operation of a select completes, whichever the kinds and the sides.

use std::thread;
use std::time::Duration;

use becket_chan::{
    RecvError, Select, SelectError, SendError, Token, bounded, conflated, rendezvous, select,
    unlimited,
};
use futures_lite::future::block_on;

#[test]
fn the_ready_one_happens_and_the_others_keep_what_they_have() {
    let (a_tx, a) = bounded(1);
    let (b, b_rx) = bounded(1);
    let (c_tx, c) = unlimited::<u8>();
    a_tx.try_send(1).unwrap();
    b.try_send(9).unwrap();
    let got = block_on(async {
        select! {
            v = a.recv() => v.unwrap(),
            r = b.send(2) => { r.unwrap(); 100 }
            v = c.recv() => v.unwrap().into(),
        }
    });
    assert_eq!((got, a.len(), b_rx.len(), c.len()), (1, 0, 1, 0));
    let snapshot = c.snapshot();
    assert_eq!((snapshot.receives, snapshot.receive_failures.total()), (0, 0));
    assert_eq!(snapshot.receivers_waiting, 0);
    drop(c_tx);
    let closed = select! { wait; v = c.recv() => v };
    assert_eq!(closed, Err(RecvError::Closed));
}

#[test]
fn default_timeout_and_cancel_run_when_nothing_is_ready() {
    let (tx, rx) = rendezvous::<u8>();
    let way = select! { wait; _ = rx.recv() => "recv", default => "default" };
    assert_eq!(way, "default");
    let soon = Duration::from_millis(2);
    let way = select! { wait; _ = rx.recv() => "recv", _ = tx.send(1) => "send", timeout(soon) => "timeout" };
    assert_eq!(way, "timeout");
    let token = Token::new();
    let cancel = token.clone();
    let way = thread::scope(|scope| {
        scope.spawn(|| {
            while tx.snapshot().receivers_waiting == 0 {
                thread::yield_now();
            }
            cancel.cancel();
        });
        select! { wait; _ = rx.recv() => "recv", cancelled(&token) => "cancelled" }
    });
    assert_eq!(way, "cancelled");
    let way = block_on(async {
        select! { biased; _ = rx.recv() => "recv", timeout(soon) => "timeout", cancelled(&token) => { "cancelled" } }
    });
    assert_eq!(way, "cancelled");
    assert_eq!(tx.snapshot().receivers_waiting, 0);
}

#[test]
fn selects_that_face_each_other_over_rendezvous_match_once() {
    let rounds = if cfg!(miri) { 20 } else { 20_000 };
    let (a, a_rx) = rendezvous::<u64>();
    let (b, b_rx) = rendezvous::<u64>();
    let mut sums = [0_u64; 2];
    let [left, right] = &mut sums;
    thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0..rounds {
                select! { wait;
                    r = a.send(n) => r.unwrap(),
                    v = b_rx.recv() => *left += v.unwrap() + 1,
                }
            }
        });
        scope.spawn(|| {
            for n in 0..rounds {
                select! { wait;
                    v = a_rx.recv() => *right += v.unwrap() + 1,
                    r = b.send(n) => r.unwrap(),
                }
            }
        });
    });
    let (a, b) = (a.snapshot(), b.snapshot());
    assert_eq!(a.sends + b.sends, rounds);
    assert_eq!((a.receives, b.receives), (a.sends, b.sends));
}

#[test]
fn a_select_does_not_match_itself() {
    let (tx, rx) = rendezvous();
    let soon = Duration::from_millis(2);
    let way = select! { wait;
        _ = tx.send(1) => "send",
        _ = rx.recv() => "recv",
        timeout(soon) => "timeout"
    };
    assert_eq!(way, "timeout");
}

#[test]
fn a_dynamic_select_is_used_again_and_again() {
    let channels: Vec<_> = (0..200).map(|_| bounded::<usize>(1)).collect();
    let (out, out_rx) = conflated();
    thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0..2000 {
                channels[round % 200].0.send(round).wait().unwrap();
            }
        });
        let mut select = Select::new();
        let cases: Vec<_> = channels.iter().map(|(_, rx)| select.recv(rx)).collect();
        let sent = select.send(&out, 0);
        let mut heard = Vec::new();
        let mut sends = 0;
        while heard.len() < 2000 {
            let ready = select.wait().unwrap();
            match cases.get(ready.index()) {
                Some(case) => heard.push(ready.recv(*case).unwrap().unwrap()),
                None => {
                    ready.send(sent).unwrap().unwrap();
                    sends += 1;
                    drop(ready);
                    if sends < 10 {
                        select.send_next(sent, sends).unwrap();
                    }
                }
            }
        }
        heard.sort_unstable();
        assert_eq!(heard, (0..2000).collect::<Vec<_>>());
        assert_eq!(sends, 10);
    });
    assert_eq!(out_rx.try_recv(), Ok(9));
}

#[test]
fn a_result_that_is_not_taken_is_requeued() {
    let (tx, rx) = bounded(2);
    tx.try_send("first").unwrap();
    tx.try_send("second").unwrap();
    let mut select = Select::new();
    let case = select.recv(&rx);
    drop(select.wait().unwrap());
    assert_eq!(select.wait().unwrap().recv(case), Some(Ok("first")));
    select.remove_recv(case);
    assert_eq!(select.wait().unwrap_err(), SelectError::NoCases);
    drop(select);
    assert_eq!(rx.try_recv(), Ok("second"));
    drop(rx);
    let mut select = Select::new();
    let case = select.send(&tx, "third");
    let ready = select.ready().timeout(Duration::from_secs(60)).wait().unwrap();
    assert_eq!(ready.send(case), Some(Err(SendError::Closed("third"))));
}
