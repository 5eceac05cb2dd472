// SPDX-License-Identifier: BSD-3-Clause
//! Closing a receiver waits until the returned elements are transmitted, also when its channel ends
//! meanwhile. The test plays the server by hand, over a link with little room, so that it controls
//! when frames are transmitted.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::pin::pin;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::task::{Context, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use becket_ipc::transport::{Link as _, memory};
use becket_ipc::{Client, Ended, Options, ReceiverOptions};
use becket_wire::{Credit, Event, Limits, Role, Session, StreamId};
use bytes::Bytes;

const LONG: Duration = Duration::from_secs(60);
const ELEMENTS: u64 = 6;

/// Frames that the link holds in each direction: fewer than are returned.
const FRAMES: usize = 2;

struct Notify(Sender<()>);

impl Wake for Notify {
    fn wake(self: Arc<Self>) {
        self.0.send(()).unwrap();
    }
}

struct Raw {
    link: memory::MemoryLink,
    session: Session,
    opened: Option<StreamId>,
    /// The numbers of returned elements.
    returned: Vec<u64>,
}

impl Raw {
    fn new() -> (Self, Client) {
        let (one, link) = memory::pair(FRAMES, 1 << 16);
        let client = Client::over(Box::new(one), &Options::default()).unwrap();
        let limits =
            Limits { frame_body_bytes_max: link.body_bytes_max() as u32, ..Limits::default() };
        let session = Session::new(Role::Server, limits, Instant::now());
        (Self { link, session, opened: None, returned: Vec::new() }, client)
    }

    /// Sends pending frames, as far as there is room. True: all of them.
    fn say(&mut self) -> bool {
        let all = self.session.transmit(&mut self.link);
        self.link.flush().unwrap() && all
    }

    fn hear(&mut self) {
        let Self { link, session, opened, returned } = self;
        link.take(64, &mut |frame, _| match session.receive(frame).unwrap() {
            Some(Event::Opened { stream, .. }) => *opened = Some(stream),
            Some(Event::Returned { sequence, .. }) => returned.push(sequence),
            _ => {}
        })
        .unwrap();
    }

    fn until(&mut self, mut is_done: impl FnMut(&mut Self) -> bool) {
        while !is_done(self) {
            self.say();
            self.hear();
            thread::yield_now();
        }
    }
}

#[test]
fn a_close_waits_for_returned_elements_though_the_channel_ends_meanwhile() {
    let (mut raw, client) = Raw::new();
    let opening = thread::spawn(move || {
        let options = ReceiverOptions::window(16);
        (client.receiver_with("jobs", options).wait().unwrap(), client)
    });
    raw.until(|raw| raw.opened.is_some());
    let stream = raw.opened.unwrap();
    let info = serde_json::json!({
        "id": 1001, "name": "jobs", "kind": "bounded", "capacity": 8, "element_bytes": null,
        "sends": true, "receives": true,
    });
    let info = Bytes::from(info.to_string());
    raw.session.accept(stream, Credit::NONE, info).unwrap();
    raw.until(|_| opening.is_finished());
    let (receiver, client) = opening.join().unwrap();
    for number in 0..ELEMENTS {
        raw.session.send(stream, 0, Bytes::from(vec![number as u8; 100])).unwrap();
    }
    let inbox = receiver.want();
    raw.until(|_| inbox.len() as u64 == ELEMENTS);
    drop(inbox);
    raw.until(Raw::say);
    raw.hear();

    let mut closing = pin!(receiver.close());
    let (notify, notified) = channel();
    let waker = Waker::from(Arc::new(Notify(notify)));
    let mut context = Context::from_waker(&waker);
    assert!(closing.as_mut().poll(&mut context).is_pending());
    raw.session.end(stream, 0, Bytes::new()).unwrap();
    assert!(raw.say(), "there is room for it");
    // The client has received the end of the channel; the returned elements do not fit into the
    // link.
    notified.recv_timeout(LONG).unwrap();
    assert!(
        closing.as_mut().poll(&mut context).is_pending(),
        "most of them are not transmitted yet"
    );
    let begun = Instant::now();
    while closing.as_mut().poll(&mut context).is_pending() {
        raw.hear();
        raw.say();
        assert!(begun.elapsed() < LONG, "in vain; came back: {:?}", raw.returned);
        thread::yield_now();
    }
    drop(client);
    raw.until(|raw| raw.returned.len() as u64 == ELEMENTS);
    assert!(raw.returned.iter().copied().eq((1..=ELEMENTS).rev()), "the newest first");
}

#[test]
fn a_handshake_that_is_not_completed_is_named_as_such() {
    let (one, _silent) = memory::pair(FRAMES, 1 << 16);
    let mut options = Options::default();
    options.limits.handshake_ms = 20;
    let client = Client::over(Box::new(one), &options).unwrap();
    let error = client.list(None).wait().unwrap_err().to_string();
    assert!(error.contains("handshake within 20 ms"), "{error}");
    assert!(matches!(client.ended(), Some(Ended::HandshakeTimeout(20))), "{:?}", client.ended());
}
