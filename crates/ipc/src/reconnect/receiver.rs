// SPDX-License-Identifier: BSD-3-Clause
//! Receiving over reconnecting connections.
//!
//! With a window, elements may have arrived whose connection ended before they were received. They
//! are in no channel of the server any more: they are received before the elements of the next
//! connection, and the channel is reopened when they have been received. So at most a window of
//! them is kept.

use std::collections::VecDeque;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use becket_chan::{Limits, Receiver, Token};
use parking_lot::Mutex;

use super::availability::{Availability, AvailabilityCell, Gate};
use super::reopen::Reopen;
use super::select::WhyClosed;
use super::{Handle, Limited, Opened, Reopened};
use crate::client::{Client, ReceiverOptions};
use crate::connection::Ended;
use crate::element::Element;
use crate::error::{OpenError, RecvError};
use crate::remote::limits::within;
use crate::remote::receiver::RemoteReceiver;
use crate::streams::service::Info;

/// Receives from a channel of a server that may restart.
///
/// A receive that begins without a connection waits for one, within its limits. A receive that
/// waited for an element when the connection ended fails with [`RecvError::Disconnected`] and has
/// received nothing. Prefetched elements are received first.
pub struct ReconnectingReceiver {
    streams: Arc<Streams>,
    _handle: Handle,
}

struct Streams {
    slot: AvailabilityCell<Arc<RemoteReceiver>>,
    options: ReceiverOptions,
    leftover: Mutex<Leftover>,
}

/// Elements that arrived on connections that have ended.
#[derive(Default)]
struct Leftover {
    elements: VecDeque<Element>,
    /// Cancelled when they have been received.
    all_received: Option<Token>,
}

impl Reopen for Streams {
    type Opened = RemoteReceiver;

    async fn open(&self, client: &Client, name: &str) -> Result<RemoteReceiver, OpenError> {
        client.receiver_with(name, self.options).await
    }

    async fn serve(&self, opened: RemoteReceiver, lost: &Token) {
        let opened = Arc::new(opened);
        self.slot.set(Availability::Available(opened.clone()));
        lost.cancelled().await;
        self.keep_arrived(&opened).await;
        drop(opened);
        self.slot.set(Availability::Unavailable);
        let all_received = self.leftover.lock().all_received();
        if let Some(all_received) = all_received {
            all_received.cancelled().await;
        }
    }

    async fn never(&self, ended: Ended) {
        if let (Availability::Available(remote), _) = self.slot.get()
            && !is_live(&remote)
        {
            self.keep_arrived(&remote).await;
        }
        self.slot.set(Availability::Never(ended));
    }
}

impl Leftover {
    /// A token that is cancelled when the elements have been received; `None`: there are none.
    fn all_received(&mut self) -> Option<Token> {
        let all_received = Some(Token::new()).filter(|_| !self.elements.is_empty());
        self.all_received.clone_from(&all_received);
        all_received
    }
}

impl Streams {
    /// The stream's connection has ended: keeps what arrived by then.
    async fn keep_arrived(&self, remote: &RemoteReceiver) {
        while let Ok(element) = remote.recv().await {
            self.leftover.lock().elements.push_back(element);
        }
    }

    fn has_leftover(&self) -> bool {
        !self.leftover.lock().elements.is_empty()
    }

    fn take_leftover(&self) -> Option<Element> {
        let (element, all_received) = {
            let mut leftover = self.leftover.lock();
            let element = leftover.elements.pop_front()?;
            let is_last = leftover.elements.is_empty();
            (element, if is_last { leftover.all_received.take() } else { None })
        };
        if let Some(all_received) = all_received {
            all_received.cancel();
        }
        Some(element)
    }

    /// A leftover element, or an open stream.
    async fn next(&self) -> Result<Next, Ended> {
        loop {
            // Taken before the leftover check: when elements become leftover, `changed` is
            // cancelled.
            let (now, changed) = self.slot.get();
            if let Some(element) = self.take_leftover() {
                return Ok(Next::Leftover(element));
            }
            match now {
                Availability::Never(ended) => return Err(ended),
                Availability::Available(remote) if is_live(&remote) => {
                    return Ok(Next::Stream(remote));
                }
                _ => {}
            }
            changed.cancelled().await;
        }
    }
}

enum Next {
    Leftover(Element),
    Stream(Arc<RemoteReceiver>),
}

fn is_live(receiver: &Arc<RemoteReceiver>) -> bool {
    receiver.ended().is_none()
}

impl ReconnectingReceiver {
    pub(super) fn start(channel: Reopened, options: ReceiverOptions) -> Self {
        let (spec, handle) = channel.reopen_spec();
        let (slot, leftover) = (AvailabilityCell::default(), Mutex::default());
        let streams = Arc::new(Streams { slot, options, leftover });
        spec.spawn(streams.clone());
        Self { streams, _handle: handle }
    }

    /// Waits until the channel is open; returns its description.
    ///
    /// # Errors
    ///
    /// When driven: [`Ended::GaveUp`] or [`Ended::Here`].
    pub fn opened(&self) -> Opened<'_, Info> {
        Opened::new(async {
            self.streams.slot.available(is_live).await.map(|(receiver, _)| receiver.info().clone())
        })
    }

    /// Receives an element, waiting for a connection and for an element.
    ///
    /// # Errors
    ///
    /// When driven: see [`RecvError`].
    ///
    /// # Cancel safety
    ///
    /// As [`RemoteReceiver::recv`].
    pub fn recv(&self) -> ReconnectingRecv<'_> {
        Limited::new(|limits| recv(&self.streams, limits))
    }

    /// Receives a prefetched element, of this connection or an earlier one.
    ///
    /// # Errors
    ///
    /// [`RecvError::WouldBlock`], also without a connection; closed, or disconnected for good.
    pub fn try_recv(&self) -> Result<Element, RecvError> {
        if let Some(element) = self.streams.take_leftover() {
            return Ok(element);
        }
        match self.streams.slot.get().0 {
            Availability::Available(remote) if is_live(&remote) => remote.try_recv(),
            Availability::Never(ended) => Err(RecvError::Disconnected(ended)),
            _ => Err(RecvError::WouldBlock),
        }
    }

    /// What a [`select!`](becket_chan::select) over local and remote channels waits at: a local
    /// channel. With a connection elements arrive in it, as in that of
    /// [`RemoteReceiver::want`]; without one it is empty, and closed as soon as there is one.
    /// When the select finds it closed, [`ReconnectingWant::why_closed`] returns why: for
    /// [`WhyClosed::Changed`] the program calls [`try_recv`](Self::try_recv), and selects again with
    /// another `want`.
    pub fn want(&self) -> ReconnectingWant<'_> {
        // Before the check for leftover elements: when elements become leftover, the gate is closed.
        let (now, gate) = self.streams.slot.get_gated();
        let source = match now {
            _ if self.streams.has_leftover() => Source::Gate(Gate::closed()),
            Availability::Available(remote) if is_live(&remote) => {
                remote.want_one(true);
                Source::Stream(remote)
            }
            Availability::Never(ended) => Source::Never(gate, ended),
            _ => Source::Gate(gate),
        };
        ReconnectingWant { source, _receiver: self }
    }
}

/// A request for one element, for as long as this lives. See [`ReconnectingReceiver::want`].
pub struct ReconnectingWant<'a> {
    source: Source,
    _receiver: &'a ReconnectingReceiver,
}

enum Source {
    Stream(Arc<RemoteReceiver>),
    Gate(Gate),
    Never(Gate, Ended),
}

impl ReconnectingWant<'_> {
    /// Why the channel was found closed.
    #[must_use]
    pub fn why_closed(&self) -> WhyClosed {
        match &self.source {
            Source::Stream(remote) => WhyClosed::of(remote.why_over()),
            Source::Gate(_) => WhyClosed::Changed,
            Source::Never(_, ended) => WhyClosed::Ended(ended.clone()),
        }
    }
}

impl Deref for ReconnectingWant<'_> {
    type Target = Receiver<Element>;

    fn deref(&self) -> &Receiver<Element> {
        match &self.source {
            Source::Stream(remote) => remote.inbox(),
            Source::Gate(gate) | Source::Never(gate, _) => &gate.receiver,
        }
    }
}

impl Drop for ReconnectingWant<'_> {
    fn drop(&mut self) {
        if let Source::Stream(remote) = &self.source {
            remote.want_one(false);
        }
    }
}

impl fmt::Debug for ReconnectingWant<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReconnectingWant").finish_non_exhaustive()
    }
}

/// A receive. See [`ReconnectingReceiver::recv`].
pub type ReconnectingRecv<'a> = Limited<'a, Result<Element, RecvError>>;

async fn recv(streams: &Streams, limits: Limits<'_>) -> Result<Element, RecvError> {
    match within(limits, streams.next()).await {
        Ok(Ok(Next::Leftover(element))) => Ok(element),
        Ok(Ok(Next::Stream(remote))) => remote.recv().limits(limits).await,
        Ok(Err(ended)) => Err(RecvError::Disconnected(ended)),
        Err(stop) => Err(stop.of_recv()),
    }
}

impl fmt::Debug for ReconnectingReceiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReconnectingReceiver").finish_non_exhaustive()
    }
}
