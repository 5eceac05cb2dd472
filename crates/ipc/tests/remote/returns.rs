// SPDX-License-Identifier: BSD-3-Clause
//! Elements that are not received are requeued; selects; shared handles.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Waker};
use std::time::Duration;

use becket_chan::{Kind, bounded, select};
use becket_ipc::{Element, ReceiverOptions, RecvError};

use crate::world::World;

const LONG: Duration = Duration::from_secs(60);

fn number(element: &Element) -> u32 {
    u32::from_le_bytes(element.as_slice()[..4].try_into().unwrap())
}

fn element(number: u32) -> Vec<u8> {
    number.to_le_bytes().to_vec()
}

pub(crate) fn a_receive_that_gives_up_receives_nothing(world: &World) {
    let (tx, rx) = world.channel(Kind::Bounded, 16);
    let channel = world.server().channels().by_name("jobs").unwrap();
    for round in 0..20 {
        {
            let mut started = pin!(rx.recv());
            let mut context = Context::from_waker(Waker::noop());
            assert!(started.as_mut().poll(&mut context).is_pending());
            if round % 2 == 0 {
                while channel.snapshot().unwrap().receivers_waiting == 0 {
                    std::thread::yield_now();
                }
            }
            tx.send(element(round)).timeout(LONG).wait().unwrap();
        }
        // Another receiver gets it, whether or not it was in flight.
        let other = world.client().receiver("jobs").wait().unwrap();
        assert_eq!(number(&other.recv().timeout(LONG).wait().unwrap()), round);
    }
    let snapshot = channel.snapshot().unwrap();
    assert_eq!((snapshot.sends, snapshot.receives, snapshot.len), (20, 20, 0));
}

/// Each connection ends at once after that, while elements are in flight.
pub(crate) fn a_client_waits_for_what_dropped_receivers_return(world: &World) {
    const ELEMENTS: u32 = 1_000;
    let (tx, _rx) = world.channel(Kind::Bounded, 64);
    let mut seen = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for at in 0..ELEMENTS {
                tx.send(element(at)).timeout(LONG).wait().unwrap();
            }
        });
        while seen.len() < ELEMENTS as usize {
            let client = world.client();
            let options = ReceiverOptions::window(16);
            let receiver = client.receiver_with("jobs", options).wait().unwrap();
            for _ in 0..(ELEMENTS as usize - seen.len()).min(7) {
                seen.push(number(&receiver.recv().timeout(LONG).wait().unwrap()));
            }
            drop(receiver);
            client.wait(client.returned());
            client.close();
            // It does not wait any more.
            client.wait(client.returned());
        }
    });
    assert!(seen.into_iter().eq(0..ELEMENTS));
}

pub(crate) fn a_window_is_requeued_in_order(world: &World) {
    let (tx, _rx) = world.channel(Kind::Bounded, 64);
    for at in 0..40 {
        tx.send(element(at)).timeout(LONG).wait().unwrap();
    }
    let ahead = world.client().receiver_with("jobs", ReceiverOptions::window(16)).wait().unwrap();
    assert_eq!(number(&ahead.recv().timeout(LONG).wait().unwrap()), 0);
    assert_eq!(number(&ahead.recv().timeout(LONG).wait().unwrap()), 1);
    ahead.close().wait();
    let other = world.client().receiver_with("jobs", ReceiverOptions::window(4)).wait().unwrap();
    for at in 2..40 {
        assert_eq!(number(&other.recv().timeout(LONG).wait().unwrap()), at);
    }
    assert!(matches!(other.recv().timeout(Duration::ZERO).wait(), Err(RecvError::TimedOut)));
    let snapshot = world.server().channels().by_name("jobs").unwrap().snapshot().unwrap();
    assert_eq!((snapshot.sends, snapshot.receives, snapshot.len), (40, 40, 0));
}

/// Receives are given up at any moment while the channels are full: requeued elements are in front
/// before the server sends the ones behind them.
pub(crate) fn a_flood_keeps_its_order_though_receives_give_up(world: &World) {
    const CHANNELS: usize = 8;
    const EACH: u32 = 400;
    let (sending, receiving) = (world.client(), world.client());
    let names: Vec<String> = (0..CHANNELS).map(|at| format!("flood-{at}")).collect();
    let mut receivers = Vec::new();
    for (at, name) in names.iter().enumerate() {
        sending.make(name, Kind::Unlimited, 0).wait().unwrap();
        let options = match at % 2 {
            0 => ReceiverOptions::default(),
            _ => ReceiverOptions::window(3),
        };
        receivers.push((receiving.receiver_with(name, options).wait().unwrap(), 0));
    }
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let open = |name: &String| sending.sender(name).wait().unwrap();
            let senders: Vec<_> = names.iter().map(open).collect();
            for at in 0..EACH {
                for sender in &senders {
                    // So long that one dispatch of the connection does not take all returned
                    // elements.
                    let mut long = element(at);
                    long.resize(4096, 0);
                    sender.send(long).timeout(LONG).wait().unwrap();
                }
            }
        });
        let mut random = 1_u32;
        while receivers.iter().any(|(_, next)| *next < EACH) {
            for (receiver, next) in receivers.iter_mut().filter(|(_, next)| *next < EACH) {
                random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let got = match random >> 30 {
                    // Given up at once, or after a while in which the element may have arrived.
                    0 => receiver.recv().timeout(Duration::ZERO).wait(),
                    1 => receiver.recv().timeout(Duration::from_micros(50)).wait(),
                    _ => receiver.recv().timeout(LONG).wait(),
                };
                match got {
                    Ok(element) => {
                        assert_eq!(number(&element), *next);
                        *next += 1;
                    }
                    Err(error) => assert!(matches!(error, RecvError::TimedOut), "{error}"),
                }
            }
        }
    });
}

/// Two threads receive from one handle, request more than they receive, and give up at any moment:
/// requeued elements do not affect them. Each thread gets its elements in order, and every element
/// is received by one of them.
pub(crate) fn two_threads_that_give_up_each_see_a_flood_in_order(world: &World) {
    const EACH: u32 = 600;
    let (sending, receiving) = (world.client(), world.client());
    for (name, window) in [("one by one", 0), ("ahead", 8)] {
        sending.make(name, Kind::Unlimited, 0).wait().unwrap();
        let sender = sending.sender(name).wait().unwrap();
        let options = ReceiverOptions::window(window);
        let receiver = receiving.receiver_with(name, options).wait().unwrap();
        let left = AtomicU32::new(EACH);
        let take = |mut random: u32| {
            let mut seen = Vec::new();
            while left.load(Ordering::SeqCst) > 0 {
                random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let more: Vec<_> = (0..random >> 29).map(|_| receiver.want()).collect();
                let limit = Duration::from_micros(u64::from((random >> 20) % 64));
                match receiver.recv().timeout(limit).wait() {
                    Ok(element) => {
                        seen.push(number(&element));
                        left.fetch_sub(1, Ordering::SeqCst);
                    }
                    Err(error) => assert!(matches!(error, RecvError::TimedOut), "{error}"),
                }
                drop(more);
            }
            seen
        };
        let [one, other] = std::thread::scope(|scope| {
            let send = |at| sender.send(element(at)).timeout(LONG).wait().unwrap();
            // Some of them are in the channel before, so that windows are full.
            (0..EACH / 2).for_each(send);
            scope.spawn(move || (EACH / 2..EACH).for_each(send));
            let take = &take;
            [1, 2].map(|seed| scope.spawn(move || take(seed))).map(|thread| thread.join().unwrap())
        });
        for seen in [&one, &other] {
            assert_eq!(seen.windows(2).find(|two| two[0] >= two[1]), None, "{name}");
        }
        let mut all = [one, other].concat();
        all.sort_unstable();
        assert!(all.into_iter().eq(0..EACH), "{name}");
    }
}

pub(crate) fn a_select_over_local_and_remote_takes_one(world: &World) {
    let (tx, rx) = world.channel(Kind::Bounded, 4);
    let (local_tx, local_rx) = bounded::<u32>(4);
    let mut seen = Vec::new();
    for at in 0..40 {
        if at % 2 == 0 {
            tx.send(element(at)).timeout(LONG).wait().unwrap();
        } else {
            local_tx.send(at).wait().unwrap();
        }
        let want = rx.want();
        let got = select! { wait;
            remote = want.recv() => number(&remote.unwrap()),
            local = local_rx.recv() => local.unwrap(),
        };
        seen.push(got);
    }
    assert_eq!(seen, (0..40).collect::<Vec<_>>());
    let snapshot = world.server().channels().by_name("jobs").unwrap().snapshot().unwrap();
    assert_eq!((snapshot.sends, snapshot.len), (20, 0));
}

pub(crate) fn sends_ahead_work_in_a_select(world: &World) {
    let (tx, rx) = world.channel(Kind::Bounded, 2);
    let ahead = tx.ahead();
    let (_never_tx, never_rx) = bounded::<u32>(1);
    let receiving = std::thread::spawn(move || {
        (0..50).map(|_| number(&rx.recv().timeout(LONG).wait().unwrap())).collect::<Vec<_>>()
    });
    for at in 0..50 {
        select! { wait;
            sent = ahead.send(element(at).into()) => sent.unwrap(),
            _ = never_rx.recv() => unreachable!(),
        }
    }
    assert_eq!(receiving.join().unwrap(), (0..50).collect::<Vec<_>>());
    let posted = tx.flush().wait();
    assert_eq!((posted.accepted, posted.refused, posted.unknown), (50, 0, 0));
}

pub(crate) fn coroutines_and_threads_share_a_handle(world: &World) {
    const EACH: u32 = 100;
    let (tx, rx) = world.channel(Kind::Bounded, 4);
    let (tx, rx) = (Arc::new(tx), Arc::new(rx));
    let runtime = becket_coro::Runtime::builder().workers(2).build().unwrap();
    let senders: Vec<_> = (0..4)
        .map(|index| {
            let tx = tx.clone();
            let send = move || {
                for at in 0..EACH {
                    tx.send(element(index * EACH + at)).timeout(LONG).wait().unwrap();
                }
            };
            if index % 2 == 0 { Err(std::thread::spawn(send)) } else { Ok(runtime.spawn(send)) }
        })
        .collect();
    let receivers: Vec<_> = (0..4)
        .map(|_| {
            let rx = rx.clone();
            runtime.spawn(move || {
                (0..EACH)
                    .map(|_| number(&rx.recv().timeout(LONG).wait().unwrap()))
                    .collect::<Vec<_>>()
            })
        })
        .collect();
    for sender in senders {
        match sender {
            Ok(coroutine) => coroutine.join().unwrap(),
            Err(thread) => thread.join().unwrap(),
        }
    }
    let mut seen: Vec<u32> = receivers.into_iter().flat_map(|one| one.join().unwrap()).collect();
    seen.sort_unstable();
    assert_eq!(seen, (0..4 * EACH).collect::<Vec<_>>());
}

pub(crate) fn prefetched_elements_of_a_closed_receiver_are_requeued(world: &World) {
    let (tx, _rx) = world.channel(Kind::Bounded, 64);
    for at in 0..10 {
        tx.send(element(at)).timeout(LONG).wait().unwrap();
    }
    let ahead = world.client().receiver_with("jobs", ReceiverOptions::window(16)).wait().unwrap();
    assert_eq!(number(&ahead.recv().timeout(LONG).wait().unwrap()), 0);
    world.client().close_channel("jobs", Some("enough")).wait().unwrap();
    let other = world.client().receiver("jobs").wait().unwrap();
    assert!(matches!(other.recv().timeout(LONG).wait(), Err(RecvError::Closed { .. })));
    drop(other);
    ahead.close().wait();
    let channel = world.server().channels().by_name("jobs").unwrap();
    while channel.snapshot().unwrap().len < 9 {
        std::thread::yield_now();
    }
    let other = world.client().receiver("jobs").wait().unwrap();
    for at in 1..10 {
        assert_eq!(number(&other.recv().timeout(LONG).wait().unwrap()), at);
    }
}

pub(crate) fn long_elements_are_requeued_too(world: &World) {
    const BYTES: usize = 200_000;
    let (tx, _rx) = world.channel(Kind::Bounded, 8);
    for at in 0..3_u8 {
        tx.send(vec![at; BYTES]).timeout(LONG).wait().unwrap();
    }
    for round in 0..20 {
        let ahead =
            world.client().receiver_with("jobs", ReceiverOptions::window(64)).wait().unwrap();
        let first = ahead.recv().timeout(LONG).wait().unwrap();
        assert_eq!(first.as_slice(), [0; BYTES], "round {round}");
        let want = ahead.want();
        want.put_back(first);
        drop(want);
        ahead.close().wait();
    }
    let other = world.client().receiver("jobs").wait().unwrap();
    for at in 0..3_u8 {
        assert_eq!(other.recv().timeout(LONG).wait().unwrap().as_slice(), [at; BYTES]);
    }
}
