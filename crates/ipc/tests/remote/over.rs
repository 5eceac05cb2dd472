// SPDX-License-Identifier: BSD-3-Clause
//! Ends of connections, and missing channels.

use std::time::Duration;

use becket_chan::Kind;
use becket_ipc::{Element, OpenError, ReceiverOptions, RecvError, SendError, Server};

use crate::world::World;

const LONG: Duration = Duration::from_secs(60);

pub(crate) fn the_end_of_a_server_ends_waiting_operations(world: &World) {
    // A server of its own, which is dropped while three operations wait.
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("private/socket");
    let server = Server::bind(&path).unwrap();
    let _other = world;
    let client = becket_ipc::Client::connect(&path).wait().unwrap();
    client.make("full", Kind::Bounded, 1).wait().unwrap();
    let (tx, rx) = (client.sender("full").wait().unwrap(), client.receiver("empty").wait());
    assert!(matches!(rx, Err(OpenError::NotFound(_))));
    client.make("empty", Kind::Bounded, 1).wait().unwrap();
    let rx = client.receiver("empty").wait().unwrap();
    tx.send("first").wait().unwrap();
    std::thread::scope(|scope| {
        let sending = scope.spawn(|| tx.send("second").timeout(LONG).wait());
        let receiving = scope.spawn(|| rx.recv().timeout(LONG).wait());
        let snapshot = |name| server.channels().by_name(name).unwrap().snapshot().unwrap();
        while snapshot("full").senders_waiting == 0 || snapshot("empty").receivers_waiting == 0 {
            std::thread::yield_now();
        }
        drop(server);
        let error = sending.join().unwrap().unwrap_err();
        assert!(matches!(error, SendError::Unknown { .. } | SendError::Closed { .. }), "{error:?}");
        let error = receiving.join().unwrap().unwrap_err();
        assert!(
            matches!(error, RecvError::Disconnected(_) | RecvError::Closed { .. }),
            "{error:?}"
        );
    });
    let error = tx.send("third").wait().unwrap_err();
    assert!(matches!(error, SendError::Disconnected { .. }), "{error:?}");
    assert!(!path.exists());
}

pub(crate) fn elements_of_a_client_that_ends_are_requeued(world: &World) {
    let (tx, rx) = world.channel(Kind::Bounded, 64);
    let channel = world.server().channels().by_name("jobs").unwrap();
    for at in 0..10_u8 {
        tx.send(vec![at]).timeout(LONG).wait().unwrap();
    }
    // One that waits for a rendezvous without a partner, and one that has a window.
    let going = world.client();
    let ahead = going.receiver_with("jobs", ReceiverOptions::window(4)).wait().unwrap();
    assert_eq!(ahead.recv().timeout(LONG).wait().unwrap().as_slice(), [0]);
    drop(ahead);
    drop(going);
    let seen: Vec<Element> = (1..10).map(|_| rx.recv().timeout(LONG).wait().unwrap()).collect();
    assert!(seen.iter().map(|one| one.as_slice()[0]).eq(1..10), "{seen:?}");
    assert_eq!(channel.snapshot().unwrap().len, 0);
}

pub(crate) fn missing_channels_are_refused(world: &World) {
    let client = world.client();
    assert!(matches!(client.sender("missing").wait(), Err(OpenError::NotFound(_))));
    assert!(matches!(client.sender("#7").wait(), Err(OpenError::NotFound(_))));
    let info = client.make("jobs", Kind::Bounded, 3).wait().unwrap();
    assert_eq!((info.id, info.capacity), (1001, Some(3)));
    assert!(matches!(client.make("jobs", Kind::Bounded, 3).wait(), Err(OpenError::Exists(_))));
    assert_eq!(client.make_or_open("jobs", Kind::Bounded, 3, true).wait().unwrap(), info);
    assert_eq!(client.sender("#1001").wait().unwrap().info(), &info);
    assert_eq!(client.list(None).wait().unwrap(), std::slice::from_ref(&info));
    assert!(client.make("", Kind::Bounded, 3).wait().is_err());
    assert!(client.make("none", Kind::Bounded, 0).wait().is_err());
    assert!(client.make("many", Kind::Bounded, usize::MAX).wait().is_err());
    assert!(matches!(client.report(bytes::Bytes::new()).wait(), Err(OpenError::Unsupported(_))));
    client.destroy_channel("jobs").wait().unwrap();
    assert!(matches!(client.sender("jobs").wait(), Err(OpenError::NotFound(_))));
    assert!(matches!(client.destroy_channel("jobs").wait(), Err(OpenError::NotFound(_))));
}

pub(crate) fn many_channels_at_once(world: &World) {
    let (one, other) = (world.client(), world.client());
    let pairs: Vec<_> = (0..200)
        .map(|at| {
            let name = format!("channel {at}");
            one.make(&name, Kind::Bounded, 4).wait().unwrap();
            (one.sender(&name).wait().unwrap(), other.receiver(&name).wait().unwrap())
        })
        .collect();
    for round in 0..5_u8 {
        for (tx, _) in &pairs {
            tx.send(vec![round]).timeout(LONG).wait().unwrap();
        }
        for (_, rx) in &pairs {
            assert_eq!(rx.recv().timeout(LONG).wait().unwrap().as_slice(), [round]);
        }
    }
    assert_eq!(other.list(Some(1001)).wait().unwrap().len(), 199);
}

pub(crate) fn elements_beyond_the_sessions_credit_wait_and_continue(world: &World) {
    // Many streams, each of which may send up to its own credit.
    const BYTES: usize = 4 << 20;
    let client = world.client();
    client.make("full", Kind::Bounded, 1).wait().unwrap();
    let senders: Vec<_> = (0..18).map(|_| client.sender("full").wait().unwrap()).collect();
    senders[0].send(vec![0; BYTES]).timeout(LONG).wait().unwrap();
    let runtime = becket_coro::Runtime::builder().workers(1).build().unwrap();
    let waiting: Vec<_> = senders
        .into_iter()
        .map(|tx| runtime.spawn(move || tx.send(vec![1; BYTES]).timeout(LONG).wait().unwrap()))
        .collect();
    // The session's credit is 64 MiB: the server holds no more than that, and the rest waits here.
    let other = world.client();
    let rx = other.receiver("full").wait().unwrap();
    for _ in 0..=waiting.len() {
        assert_eq!(rx.recv().timeout(LONG).wait().unwrap().len(), BYTES);
    }
    let snapshot = world.server().channels().by_name("full").unwrap().snapshot().unwrap();
    assert_eq!((snapshot.sends, snapshot.receives), (19, 19));
    for send in waiting {
        send.join().unwrap();
    }
}
