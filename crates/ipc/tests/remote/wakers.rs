// SPDX-License-Identifier: BSD-3-Clause
//! Wakers that use the connection that wakes them, as a task that is polled by its wakes does.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use becket_chan::Kind;
use becket_ipc::{ReceiverOptions, RecvError, RemoteReceiver};

use crate::world::World;

const LONG: Duration = Duration::from_secs(60);

struct UsesIt {
    receiver: Arc<RemoteReceiver>,
    woken: Sender<()>,
}

impl Wake for UsesIt {
    fn wake(self: Arc<Self>) {
        // Takes the connection's lock.
        let _counts = self.receiver.blocks();
        let _woken = self.woken.send(());
    }
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
        let sender = sending.sender(&name).wait().unwrap();
        let (woken, wakes) = channel();
        let waker = Waker::from(Arc::new(UsesIt { receiver: receiver.clone(), woken }));
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
