// SPDX-License-Identifier: BSD-3-Clause
//! Wakers that use the connection that wakes them, as a task that is polled by its wakes does.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use becket_chan::{Kind, bounded};
use becket_ipc::{ReceiverOptions, RecvError};
use parking_lot::Mutex;

use crate::world::World;

const LONG: Duration = Duration::from_secs(60);

struct Runs<F>(F, Sender<()>);

impl<F: Fn() + Send + Sync + 'static> Wake for Runs<F> {
    fn wake(self: Arc<Self>) {
        (self.0)();
        let _woken = self.1.send(());
    }
}

/// A waker that runs `act`, and a channel with its wakes.
fn waker(act: impl Fn() + Send + Sync + 'static) -> (Waker, Receiver<()>) {
    let (woken, wakes) = channel();
    (Arc::new(Runs(act, woken)).into(), wakes)
}

/// Polls until it is ready, each time after a wake.
fn drive<T>(
    mut future: Pin<&mut impl Future<Output = T>>,
    waker: &Waker,
    woken: &Receiver<()>,
) -> T {
    loop {
        match future.as_mut().poll(&mut Context::from_waker(waker)) {
            Poll::Ready(done) => return done,
            Poll::Pending => woken.recv_timeout(LONG).unwrap(),
        }
    }
}

pub(crate) fn a_waker_may_use_the_connection(world: &World) {
    for window in [0, 4] {
        let name = format!("woken {window}");
        let (client, sending) = (world.client(), world.client());
        client.make(&name, Kind::Bounded, 4).wait().unwrap();
        let options = ReceiverOptions::window(window);
        let receiver = Arc::new(client.receiver_with(&name, options).wait().unwrap());
        let sender = Arc::new(sending.sender(&name).wait().unwrap());
        let uses = (receiver.clone(), sender.clone());
        let (waker, wakes) = waker(move || {
            // Each takes the lock of its connection: over memory, a thread that sends also runs the
            // other side of the link, and its receiver.
            let _counts = (uses.0.blocks(), uses.1.blocks());
        });
        for at in 0..20_u8 {
            if at % 2 == 0 {
                let mut recv = pin!(receiver.recv());
                let mut context = Context::from_waker(&waker);
                assert!(recv.as_mut().poll(&mut context).is_pending());
                sender.send(vec![at]).timeout(LONG).wait().unwrap();
                assert_eq!(drive(recv, &waker, &wakes).unwrap().as_slice(), [at]);
            } else {
                // As in a select.
                let want = receiver.want();
                let mut recv = pin!(want.recv());
                let mut context = Context::from_waker(&waker);
                assert!(recv.as_mut().poll(&mut context).is_pending());
                sender.send(vec![at]).timeout(LONG).wait().unwrap();
                assert_eq!(drive(recv, &waker, &wakes).unwrap().as_slice(), [at]);
            }
        }
        // The close wakes too.
        let mut recv = pin!(receiver.recv());
        assert!(recv.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        sending.close_channel(&name, Some("enough")).wait().unwrap();
        let error = drive(recv, &waker, &wakes).unwrap_err();
        assert!(matches!(&error, RecvError::Closed { reason: Some(why) } if &**why == "enough"));
    }
}

pub(crate) fn a_waker_of_a_send_ahead_may_use_the_connection(world: &World) {
    let client = world.client();
    let (tx, rx) = bounded(1);
    world.server().export("ahead", Some(tx), None).unwrap();
    let sender = Arc::new(client.sender("ahead").wait().unwrap());
    let ahead = sender.ahead();
    let (waker, wakes) = waker(move || {
        let _counts = sender.blocks();
    });
    // More than the server grants credit for: one waits until elements are received.
    let mut is_received = false;
    for _ in 0..1000 {
        let mut send = pin!(ahead.send("element".into()));
        if send.as_mut().poll(&mut Context::from_waker(&waker)).is_pending() {
            if !std::mem::replace(&mut is_received, true) {
                let rx = rx.clone();
                std::thread::spawn(move || while rx.recv().wait().is_ok() {});
            }
            drive(send, &waker, &wakes).unwrap();
        }
    }
    assert!(is_received);
}

pub(crate) fn a_waker_in_the_server_may_end_it(world: &World) {
    let client = world.client();
    let (tx, rx) = bounded(1);
    world.server().export("ends", Some(tx), None).unwrap();
    let sender = client.sender("ends").wait().unwrap();
    let server = Mutex::new(Some(world.take_server()));
    let (waker, wakes) = waker(move || drop(server.lock().take()));
    let mut recv = pin!(rx.recv());
    assert!(recv.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    // It may end before it has reported that the channel has accepted the element.
    std::thread::spawn(move || sender.send("element").wait());
    assert_eq!(drive(recv, &waker, &wakes).unwrap().as_slice(), b"element");
    assert!(client.list(None).wait().is_err());
}

pub(crate) fn a_flush_that_is_polled_again_keeps_one_waker(world: &World) {
    let client = world.client();
    let (tx, rx) = bounded(1);
    world.server().export("flush", Some(tx), None).unwrap();
    let sender = client.sender("flush").wait().unwrap();
    let ahead = sender.ahead();
    for _ in 0..2 {
        ahead.send("element".into()).timeout(LONG).wait().unwrap();
    }
    let (woken, wakes) = channel();
    let counted = Arc::new(Runs(|| (), woken));
    let waker = Waker::from(counted.clone());
    let mut flush = pin!(sender.flush());
    for _ in 0..10 {
        assert!(flush.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    }
    // This one, the waker's, and the one that is kept.
    assert_eq!(Arc::strong_count(&counted), 3);
    for _ in 0..2 {
        assert_eq!(rx.recv().timeout(LONG).wait().unwrap().as_slice(), b"element");
    }
    assert_eq!(drive(flush, &waker, &wakes).accepted, 2);
}
