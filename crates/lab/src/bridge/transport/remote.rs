// SPDX-License-Identifier: BSD-3-Clause
//! The channel of a flow: sent to and received from over one link.
//!
//! | the flow | the channel |
//! |---|---|
//! | bytes | a `send` of an element, which completes when the server's channel has accepted it |
//! | half-close | the server closes the channel |
//! | the end comes out | what it held was received, then the end; then the server ends, and the client got its reason |
//! | reset | the server's side of the link dies, or the connection is cut |
//!
//! Receives are not dropped and made anew: an element that is on its way then goes back to the
//! server, which may have sent the next one, or the end, by then.

use std::cell::{OnceCell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use becket_chan::Kind;
use becket_ipc::channels::{Channel, Wanted};
use becket_ipc::{
    Client, Ended, Options, ReceiverOptions, RecvError, RemoteReceiver, RemoteSender, Server,
};
use bytes::Bytes;

use super::super::Failure;
use super::super::operations::{Operations, Pending};
use super::Links;
use super::end::{End, Killer};
use super::network::Network;

const NAME: &str = "flow";
/// The channel's capacity, in elements.
const CAPACITY: usize = 2;
/// Elements that are prefetched, if any are.
const WINDOW: u32 = 2;
/// Elements of a flow: those in the channel, those prefetched, one that is sent, one that is
/// requested, and the rest of one.
pub(super) const ELEMENTS_MAX: u64 = CAPACITY as u64 + WINDOW as u64 + 3;
/// A session's deadlines are not virtual: they are put far beyond any run.
const NEVER_MS: u64 = 1_000_000_000;

/// See the module's documentation.
pub(super) struct Remote {
    /// Handles of the client, opened by the first operation.
    sender: Rc<OnceCell<RemoteSender>>,
    receiver: Rc<OnceCell<RemoteReceiver>>,
    client: Client,
    /// Dropped when the flow's end has come out.
    server: Rc<RefCell<Option<Server>>>,
    channel: Arc<Channel>,
    network: Arc<Network>,
    killer: Killer,
    wire: Option<u64>,
    prefetches: bool,
}

impl Remote {
    pub(super) fn new(
        network: &Arc<Network>,
        (near, far): Links,
        wire: Option<u64>,
        prefetches: bool,
    ) -> Result<Self, Failure> {
        let mut options = Options::default();
        options.limits.handshake_ms = NEVER_MS;
        options.limits.keep_alive_ms = NEVER_MS;
        options.limits.silence_ms = NEVER_MS;
        let server = Server::builder().options(options.clone()).without_socket();
        let wanted = Wanted { kind: Kind::Bounded, capacity: CAPACITY, element_bytes: None };
        let channel = server.channels().make(Some(NAME), wanted);
        let channel = channel.map_err(|_| Failure::new("there is no channel"))?;
        let (near, _) = End::new(near, network);
        let (far, killer) = End::new(far, network);
        server.serve(Box::new(far)).map_err(|error| Failure::of_io(&error))?;
        let client = Client::over(Box::new(near), &options);
        Ok(Self {
            sender: Rc::default(),
            receiver: Rc::default(),
            client: client.map_err(|error| Failure::of_io(&error))?,
            server: Rc::new(RefCell::new(Some(server))),
            channel,
            network: Arc::clone(network),
            killer,
            wire,
            prefetches,
        })
    }
}

impl Operations for Remote {
    fn send(&mut self, item: Bytes) -> Pending<()> {
        let (client, cell) = (self.client.clone(), Rc::clone(&self.sender));
        Box::pin(async move {
            let sender = match cell.get() {
                Some(sender) => sender,
                None => {
                    let sender = client.sender(NAME).await.map_err(|_| not_opened())?;
                    cell.get_or_init(|| sender)
                }
            };
            let sent = sender.send(item).await;
            sent.map_err(|_| Failure::new("an element was not accepted"))
        })
    }

    fn recv(&mut self) -> Pending<Option<Bytes>> {
        let (client, cell) = (self.client.clone(), Rc::clone(&self.receiver));
        let (server, network) = (Rc::clone(&self.server), Arc::clone(&self.network));
        let options = ReceiverOptions::window(if self.prefetches { WINDOW } else { 0 });
        Box::pin(async move {
            let receiver = match cell.get() {
                Some(receiver) => receiver,
                None => {
                    let receiver = client.receiver_with(NAME, options).await;
                    let receiver = receiver.map_err(|_| not_opened())?;
                    cell.get_or_init(|| receiver)
                }
            };
            match receiver.recv().await {
                Ok(element) => return Ok(Some(Bytes::copy_from_slice(element.as_slice()))),
                Err(RecvError::Closed { .. }) => {}
                Err(_) => return Err(Failure::new("the connection ended before the channel did")),
            }
            // What it sends last has to arrive, too.
            drop(server.borrow_mut().take());
            let ended = poll_fn(|cx| match client.ended() {
                Some(ended) => Poll::Ready(ended),
                None => {
                    network.wait_for_news(cx.waker());
                    Poll::Pending
                }
            });
            match ended.await {
                Ended::ByPeer { .. } => Ok(None),
                _ => Err(Failure::new("the server has ended, and its reason did not arrive")),
            }
        })
    }

    fn close(&mut self) {
        self.channel.close(None);
    }

    fn abandon(&mut self) {
        let is_cut = self.wire.is_some_and(|wire| self.network.cut(wire));
        if !is_cut {
            self.killer.kill();
        }
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        if let Some(wire) = self.wire {
            self.network.remove_wire(wire);
        }
    }
}

fn not_opened() -> Failure {
    Failure::new("the channel is not opened")
}
