// SPDX-License-Identifier: BSD-3-Clause
//! The four kinds, and the limits of operations.

use std::future::Future as _;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use becket_chan::{Kind, Token};
use becket_ipc::{RecvError, SendError};

use crate::world::World;

const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(20);

fn element(number: u32) -> Vec<u8> {
    number.to_le_bytes().to_vec()
}

pub(crate) fn elements_are_received_in_order(world: &World) {
    let (tx, rx) = world.channel(Kind::Bounded, 8);
    let sending = std::thread::spawn(move || {
        for number in 0..500 {
            tx.send(element(number)).timeout(LONG).wait().unwrap();
        }
    });
    for number in 0..500 {
        let got = rx.recv().timeout(LONG).wait().unwrap();
        assert_eq!(got.as_slice(), element(number));
    }
    sending.join().unwrap();
}

pub(crate) fn a_rendezvous_completes_with_its_receive(world: &World) {
    let (tx, rx) = world.channel(Kind::Rendezvous, 0);
    let refused = tx.try_send("unpaired").wait().unwrap_err();
    assert!(matches!(refused, SendError::WouldBlock(_)), "{refused:?}");
    let late = tx.send("unpaired").timeout(SHORT).wait().unwrap_err();
    assert!(matches!(late, SendError::TimedOut(_)), "{late:?}");
    assert_eq!(late.into_element().as_slice(), b"unpaired");
    let sending = std::thread::spawn(move || tx.send("somebody").timeout(LONG).wait());
    assert_eq!(rx.recv().timeout(LONG).wait().unwrap().as_slice(), b"somebody");
    sending.join().unwrap().unwrap();
}

pub(crate) fn a_full_channel_keeps_its_sender_waiting(world: &World) {
    let (tx, rx) = world.channel(Kind::Bounded, 2);
    for number in 0..2 {
        tx.send(element(number)).timeout(LONG).wait().unwrap();
    }
    let full = tx.send(element(9)).timeout(SHORT).wait().unwrap_err();
    assert!(matches!(full, SendError::TimedOut(_)), "{full:?}");
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| tx.send(element(2)).timeout(LONG).wait());
        for number in 0..3 {
            assert_eq!(rx.recv().timeout(LONG).wait().unwrap().as_slice(), element(number));
        }
        waiting.join().unwrap().unwrap();
    });
    let snapshot = world.server().channels().by_name("jobs").unwrap().snapshot().unwrap();
    assert_eq!((snapshot.sends, snapshot.receives), (3, 3));
}

pub(crate) fn a_conflated_channel_keeps_the_latest(world: &World) {
    let (tx, rx) = world.channel(Kind::Conflated, 0);
    for number in 0..10 {
        tx.send(element(number)).timeout(LONG).wait().unwrap();
    }
    assert_eq!(rx.recv().timeout(LONG).wait().unwrap().as_slice(), element(9));
    assert!(matches!(rx.recv().timeout(SHORT).wait(), Err(RecvError::TimedOut)));
}

pub(crate) fn an_unlimited_channel_takes_everything(world: &World) {
    let (tx, rx) = world.channel(Kind::Unlimited, 0);
    for number in 0..1000 {
        tx.try_send(element(number)).wait().unwrap();
    }
    for number in 0..1000 {
        assert_eq!(rx.recv().timeout(LONG).wait().unwrap().as_slice(), element(number));
    }
}

pub(crate) fn trying_never_waits(world: &World) {
    let (tx, rx) = world.channel(Kind::Bounded, 1);
    assert!(matches!(rx.try_recv(), Err(RecvError::WouldBlock)));
    tx.try_send(element(1)).wait().unwrap();
    let refused = tx.try_send(element(2)).wait().unwrap_err();
    assert!(matches!(refused, SendError::WouldBlock(_)));
    assert_eq!(refused.into_element().as_slice(), element(2));
}

pub(crate) fn long_elements_cross_whole(world: &World) {
    let (tx, rx) = world.channel(Kind::Bounded, 4);
    for bytes in [0, 1, 63, 64, 65, 4096, 65_535, 65_536, 65_537, 1 << 20, 5_000_001] {
        let element: Vec<u8> = (0..bytes).map(|at| (at * 31 + bytes) as u8).collect();
        tx.send(element.clone()).timeout(LONG).wait().unwrap();
        let got = rx.recv().timeout(LONG).wait().unwrap();
        assert!(got.as_slice() == element, "{bytes} bytes");
    }
    let too_long = vec![0; (16 << 20) + 1];
    let refused = tx.send(too_long).wait().unwrap_err();
    assert!(matches!(refused, SendError::TooLong(_)));
}

pub(crate) fn a_timeout_withdraws_the_element(world: &World) {
    let (tx, rx) = world.channel(Kind::Bounded, 1);
    tx.send(element(0)).timeout(LONG).wait().unwrap();
    for _ in 0..5 {
        let late = tx.send(element(9)).timeout(SHORT).wait().unwrap_err();
        assert!(matches!(late, SendError::TimedOut(_)), "{late:?}");
    }
    drop(tx.send(element(8)));
    {
        let mut started = tx.send(element(7));
        let waker = Waker::noop();
        let mut context = Context::from_waker(waker);
        assert!(std::pin::Pin::new(&mut started).poll(&mut context).is_pending());
    }
    assert_eq!(rx.recv().timeout(LONG).wait().unwrap().as_slice(), element(0));
    tx.send(element(1)).timeout(LONG).wait().unwrap();
    assert_eq!(rx.recv().timeout(LONG).wait().unwrap().as_slice(), element(1));
    assert!(matches!(rx.recv().timeout(SHORT).wait(), Err(RecvError::TimedOut)));
}

pub(crate) fn a_set_token_wins(world: &World) {
    let (tx, rx) = world.channel(Kind::Bounded, 1);
    let token = Token::new();
    let other = token.clone();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| rx.recv().cancel_on(&token).wait());
        // Not before it waits, as seen by the server.
        let channel = world.server().channels().by_name("jobs").unwrap();
        while channel.snapshot().unwrap().receivers_waiting == 0 {
            std::thread::yield_now();
        }
        other.cancel();
        assert!(matches!(waiting.join().unwrap(), Err(RecvError::Cancelled)));
    });
    tx.send(element(1)).timeout(LONG).wait().unwrap();
    assert!(matches!(rx.recv().cancel_on(&token).wait(), Err(RecvError::Cancelled)));
    let refused = tx.send(element(2)).cancel_on(&token).wait().unwrap_err();
    assert!(matches!(refused, SendError::Cancelled(_)));
    assert_eq!(rx.recv().timeout(LONG).wait().unwrap().as_slice(), element(1));
}

pub(crate) fn closing_wakes_all_with_the_reason(world: &World) {
    let (tx, rx) = world.channel(Kind::Bounded, 2);
    for number in 0..2 {
        tx.send(element(number)).timeout(LONG).wait().unwrap();
    }
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| tx.send(element(9)).timeout(LONG).wait());
        let channel = world.server().channels().by_name("jobs").unwrap();
        while channel.snapshot().unwrap().senders_waiting == 0 {
            std::thread::yield_now();
        }
        let client = world.client();
        client.close_channel("jobs", Some("that is all")).wait().unwrap();
        let refused = waiting.join().unwrap().unwrap_err();
        let SendError::Closed { element: back, .. } = refused else { panic!("{refused:?}") };
        assert_eq!(back.as_slice(), element(9));
    });
    for number in 0..2 {
        assert_eq!(rx.recv().timeout(LONG).wait().unwrap().as_slice(), element(number));
    }
    match rx.recv().timeout(LONG).wait() {
        Err(RecvError::Closed { reason: Some(reason) }) => assert_eq!(&*reason, "that is all"),
        other => panic!("{other:?}"),
    }
    match tx.send(element(3)).timeout(LONG).wait() {
        Err(SendError::Closed { reason: Some(reason), .. }) => {
            assert_eq!(&*reason, "that is all");
        }
        other => panic!("{other:?}"),
    }
}

/// Sends in flight when the channel closes all get their outcomes.
pub(crate) fn sends_in_flight_end_when_the_channel_closes(world: &World) {
    let (sending, closing) = (world.client(), world.client());
    for round in 0..20 {
        let name = format!("closing-{round}");
        sending.make(&name, Kind::Bounded, 4).wait().unwrap();
        let sender = sending.sender(&name).wait().unwrap();
        let channel = world.server().channels().by_name(&name).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while channel.snapshot().unwrap().len < 2 {
                    std::thread::yield_now();
                }
                closing.close_channel(&name, Some("enough")).wait().unwrap();
            });
            let mut context = Context::from_waker(Waker::noop());
            let mut sends: Vec<_> = (0..200).map(|at| Box::pin(sender.send(element(at)))).collect();
            let polled: Vec<_> =
                sends.iter_mut().map(|send| send.as_mut().poll(&mut context)).collect();
            let mut accepted = 0;
            for (send, polled) in sends.into_iter().zip(polled) {
                let ended = match polled {
                    Poll::Ready(ended) => ended,
                    Poll::Pending => becket_coro::block_on(send),
                };
                match ended {
                    Ok(()) => accepted += 1,
                    Err(error) => assert!(matches!(error, SendError::Closed { .. }), "{error:?}"),
                }
            }
            assert!((2..=4).contains(&accepted), "{accepted}");
            assert_eq!(channel.snapshot().unwrap().sends, accepted);
        });
        sender.flush().wait();
    }
}

pub(crate) fn both_sides_count_alike(world: &World) {
    let (tx, rx) = world.channel(Kind::Bounded, 100);
    for number in 0..70 {
        tx.send(vec![7; number]).timeout(LONG).wait().unwrap();
    }
    for _ in 0..30 {
        rx.recv().timeout(LONG).wait().unwrap();
    }
    let snapshot = world.server().channels().by_name("jobs").unwrap().snapshot().unwrap();
    assert_eq!((snapshot.sends, snapshot.receives, snapshot.len), (70, 30, 40));
    assert_eq!(snapshot.bytes_sent, (0..70).sum::<u64>());
    assert_eq!(snapshot.bytes_received, (0..30).sum::<u64>());
}
