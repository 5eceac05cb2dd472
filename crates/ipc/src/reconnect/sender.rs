// SPDX-License-Identifier: BSD-3-Clause
//! Sending over reconnecting connections. Nothing is repeated.

use std::fmt;
use std::future::poll_fn;
use std::ops::Deref;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker};

use becket_chan::{Limits, Sender, Token};
use becket_wire::Priority;
use parking_lot::Mutex;

use super::availability::{Availability, AvailabilityCell, Gate};
use super::reopen::Reopen;
use super::select::WhyClosed;
use super::{Handle, Limited, Opened, Reopened, Waiting};
use crate::client::Client;
use crate::client::sending::Posted;
use crate::connection::Ended;
use crate::element::Element;
use crate::error::{OpenError, SendError};
use crate::remote::limits::within;
use crate::remote::sender::RemoteSender;
use crate::streams::service::Info;

/// Sends into a channel of a server that may restart.
///
/// A send that begins without a connection waits for one, within its limits. A send that was in
/// progress when its connection ended is not repeated: it fails with [`SendError::Unknown`] if it
/// was transmitted, with [`SendError::Disconnected`] if not. Sends that begin one after the other
/// are accepted in that order; concurrent sends that waited for a connection in any order.
pub struct ReconnectingSender {
    streams: Arc<Streams>,
    _handle: Handle,
}

pub(super) struct Streams {
    slot: AvailabilityCell<Arc<Stream>>,
    priority: Priority,
    outcomes: Mutex<Outcomes>,
}

/// The stream of one connection.
struct Stream {
    remote: RemoteSender,
    /// For the sends of selects; made by the first.
    ahead: OnceLock<Sender<Element>>,
}

impl Reopen for Streams {
    type Opened = RemoteSender;

    async fn open(&self, client: &Client, name: &str) -> Result<RemoteSender, OpenError> {
        client.sender_with(name, self.priority).await
    }

    async fn serve(&self, opened: RemoteSender, lost: &Token) {
        let opened = Arc::new(Stream { remote: opened, ahead: OnceLock::new() });
        self.outcomes.lock().streams.push(opened.clone());
        self.slot.set(Availability::Available(opened.clone()));
        lost.cancelled().await;
        drop(opened);
        self.slot.set(Availability::Unavailable);
        self.outcomes.lock().forget_streams();
    }

    async fn never(&self, ended: Ended) {
        self.slot.set(Availability::Never(ended));
    }
}

/// The outcomes of sends that no operation waits for, over all connections.
#[derive(Default)]
struct Outcomes {
    /// The current stream, and earlier ones with operations in progress.
    streams: Vec<Arc<Stream>>,
    /// Those of other streams.
    past: Posted,
}

impl Outcomes {
    /// Counts and removes streams that have ended and are not used elsewhere.
    fn forget_streams(&mut self) {
        let Self { streams, past } = self;
        streams.retain(|stream| {
            let is_over = Arc::strong_count(stream) == 1;
            if is_over && let Poll::Ready(posted) = stream.remote.poll_flush(Waker::noop()) {
                add(past, posted);
            }
            !is_over
        });
    }
}

fn add(sum: &mut Posted, more: Posted) {
    sum.accepted += more.accepted;
    sum.refused += more.refused;
    sum.unknown += more.unknown;
}

fn is_live(stream: &Arc<Stream>) -> bool {
    stream.remote.ended().is_none()
}

impl ReconnectingSender {
    pub(super) fn start(channel: Reopened) -> Self {
        let (spec, handle) = channel.reopen_spec();
        let (slot, outcomes) = (AvailabilityCell::default(), Mutex::default());
        let streams = Arc::new(Streams { slot, priority: channel.priority, outcomes });
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
            let opened = self.streams.slot.available(is_live).await;
            opened.map(|(stream, _)| stream.remote.info().clone())
        })
    }

    /// Sends an element, waiting for a connection, and for room or a receiver.
    ///
    /// # Errors
    ///
    /// When driven: see [`SendError`]; it returns the element.
    ///
    /// # Cancel safety
    ///
    /// As [`RemoteSender::send`].
    pub fn send(&self, element: impl Into<Element>) -> ReconnectingSend<'_> {
        let element = element.into();
        Limited::new(move |limits| send(&self.streams, element, false, limits))
    }

    /// Sends an element if there is a connection and the channel accepts it at once.
    ///
    /// # Errors
    ///
    /// When driven: [`SendError::WouldBlock`], or as for [`send`](Self::send).
    pub fn try_send(&self, element: impl Into<Element>) -> ReconnectingSend<'_> {
        let element = element.into();
        Limited::new(move |limits| send(&self.streams, element, true, limits))
    }

    /// Waits until every sent element has been answered, or its connection has ended, and returns
    /// the outcomes of the sends that no operation waited for, over all connections. It does not
    /// wait for another connection.
    pub fn flush(&self) -> Waiting<'_, Posted> {
        Waiting::new(poll_fn(|context| self.streams.poll_flush(context)))
    }

    /// What a [`select!`](becket_chan::select) over local and remote channels sends into: a local
    /// channel. With a connection its elements are sent ahead, as those of
    /// [`RemoteSender::ahead`]: the arm completes when the server has granted credit, and
    /// [`flush`](Self::flush) counts what became of the element. Without one nothing is received
    /// from it, and it is closed as soon as there is one. When the select finds it closed,
    /// [`ReconnectingAhead::why_closed`] returns why: for [`WhyClosed::Changed`] the program selects
    /// again with another `ahead`.
    pub fn ahead(&self) -> ReconnectingAhead<'_> {
        let (now, gate) = self.streams.slot.get_gated();
        let target = match now {
            Availability::Available(stream) if is_live(&stream) => {
                let sender = stream.ahead.get_or_init(|| stream.remote.ahead()).clone();
                Target::Stream(stream, sender)
            }
            Availability::Never(ended) => Target::Never(gate, ended),
            _ => Target::Gate(gate),
        };
        ReconnectingAhead { target, _sender: self }
    }
}

/// A channel whose elements are sent ahead. See [`ReconnectingSender::ahead`].
pub struct ReconnectingAhead<'a> {
    target: Target,
    _sender: &'a ReconnectingSender,
}

enum Target {
    Stream(Arc<Stream>, Sender<Element>),
    Gate(Gate),
    Never(Gate, Ended),
}

impl ReconnectingAhead<'_> {
    /// Why the channel was found closed.
    #[must_use]
    pub fn why_closed(&self) -> WhyClosed {
        match &self.target {
            Target::Stream(stream, _) => WhyClosed::of(stream.remote.why_over()),
            Target::Gate(_) => WhyClosed::Changed,
            Target::Never(_, ended) => WhyClosed::Ended(ended.clone()),
        }
    }
}

impl Deref for ReconnectingAhead<'_> {
    type Target = Sender<Element>;

    fn deref(&self) -> &Sender<Element> {
        match &self.target {
            Target::Stream(_, sender) => sender,
            Target::Gate(gate) | Target::Never(gate, _) => &gate.sender,
        }
    }
}

impl fmt::Debug for ReconnectingAhead<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReconnectingAhead").finish_non_exhaustive()
    }
}

/// A send. See [`ReconnectingSender::send`].
pub type ReconnectingSend<'a> = Limited<'a, Result<(), SendError>>;

impl Streams {
    fn poll_flush(&self, context: &Context<'_>) -> Poll<Posted> {
        let (streams, mut sum) = {
            let outcomes = self.outcomes.lock();
            (outcomes.streams.clone(), outcomes.past)
        };
        for stream in streams {
            match stream.remote.poll_flush(context.waker()) {
                Poll::Ready(posted) => add(&mut sum, posted),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(sum)
    }
}

async fn send(
    streams: &Streams,
    element: Element,
    is_try: bool,
    limits: Limits<'_>,
) -> Result<(), SendError> {
    let stream = if is_try {
        match streams.slot.get() {
            (Availability::Available(stream), _) if is_live(&stream) => stream,
            (Availability::Never(ended), _) => {
                return Err(SendError::Disconnected { element, ended });
            }
            _ => return Err(SendError::WouldBlock(element)),
        }
    } else {
        match within(limits, streams.slot.available(is_live)).await {
            Ok(Ok((stream, _))) => stream,
            Ok(Err(ended)) => return Err(SendError::Disconnected { element, ended }),
            Err(stop) => return Err(stop.of_send(element)),
        }
    };
    let remote = &stream.remote;
    let send = if is_try { remote.try_send(element) } else { remote.send(element) };
    send.limits(limits).await
}

impl fmt::Debug for ReconnectingSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReconnectingSender").finish_non_exhaustive()
    }
}
