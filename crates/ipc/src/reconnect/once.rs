// SPDX-License-Identifier: BSD-3-Clause
//! Sending each element exactly once, over reconnecting connections.
//!
//! Each element has a number. The server remembers the highest number that it has accepted of each
//! producer (see [`dedup`](crate::dedup)). It reports that number on each new connection, and the
//! client sends the elements above it again.

use std::fmt;
use std::future::{Future, poll_fn};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use becket_chan::timer::{self, Sleep};
use becket_chan::{Limits, Token};
use becket_wire::Priority;
use futures_lite::future::or;
use parking_lot::Mutex;

use super::availability::{Availability, AvailabilityCell};
use super::queue::{Queue, Stopped, Stream};
use super::reopen::Reopen;
use super::{Handle, Opened, Reopened, Waiting};
use crate::client::Client;
use crate::client::sending::Posted;
use crate::client::state::Over;
use crate::connection::Ended;
use crate::element::Element;
use crate::error::{OpenError, SendError};
use crate::remote::limits::{LimitsWait, Stop, limit_methods};
use crate::remote::sender::{OUTCOME_TIMEOUT, RemoteSender};
use crate::streams::service::Info;

/// Identifies a producer of numbered elements: 128 bits, unique per channel.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ProducerId(u128);

impl ProducerId {
    /// A random id: for a producer that ends with its process.
    #[must_use]
    pub fn random() -> Self {
        // Keyed by random numbers of the system: no id can be guessed from others.
        let half = || u128::from(RandomState::new().build_hasher().finish());
        Self(half() << 64 | half())
    }
}

impl From<u128> for ProducerId {
    fn from(id: u128) -> Self {
        Self(id)
    }
}

/// The id authorises its holder to act as the producer: it is never logged.
impl fmt::Debug for ProducerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProducerId(..)")
    }
}

/// Sends each element exactly once into a channel of a server that may restart.
///
/// A send survives any number of connections: it completes when the channel has accepted or refused
/// its element, or at its limits. Sends of one handle are accepted in the order in which they
/// began. This requires that the **channel** survives: a server that is bound again offers the same
/// [`Channels`](crate::channels::Channels) (see [`Builder::channels`](crate::Builder::channels)).
/// If it does not, or has forgotten the producer because 1024 others have used the channel since,
/// unacknowledged elements fail with [`SendError::Unknown`]: they are not repeated, and never sent
/// twice.
///
/// The accepted elements are numbered from 1, without gaps. [`accepted`](Self::accepted) returns
/// their number. So a producer that is killed, and is started again with the same [`ProducerId`],
/// can continue after the last accepted element.
///
/// A producer has one stream at a time. A second handle with the same id waits until the first has
/// ended. Each element is copied once, behind its number.
pub struct OnceSender {
    once: Arc<Once>,
    _handle: Handle,
}

pub(super) struct Once {
    queue: Mutex<Queue>,
    /// Available while there is a stream.
    slot: AvailabilityCell<Arc<Info>>,
    producer: ProducerId,
    priority: Priority,
}

impl Reopen for Once {
    type Opened = RemoteSender;

    async fn open(&self, client: &Client, name: &str) -> Result<RemoteSender, OpenError> {
        client.sender_once(name, self.priority, self.producer.0).await
    }

    async fn serve(&self, opened: RemoteSender, lost: &Token) {
        let Some(remembered) = opened.info().remembered else { return };
        let woken = self.queue.lock().opened(remembered);
        woken.into_iter().for_each(Waker::wake);
        self.slot.set(Availability::Available(Arc::new(opened.info().clone())));
        let over = async {
            lost.cancelled().await;
        };
        or(self.pump(&opened), over).await;
        // Elements that were not transmitted are known now.
        let _over = self.pump_once(&opened, Waker::noop());
        self.slot.set(Availability::Unavailable);
        let woken = self.queue.lock().lost();
        woken.into_iter().for_each(Waker::wake);
    }

    async fn never(&self, ended: Ended) {
        let woken = self.queue.lock().never(&ended);
        woken.into_iter().for_each(Waker::wake);
        self.slot.set(Availability::Never(ended));
    }
}

impl Once {
    /// Drives the queue until the stream has ended.
    async fn pump(&self, opened: &RemoteSender) {
        poll_fn(|context| {
            self.queue.lock().task = Some(context.waker().clone());
            self.pump_once(opened, context.waker())
        })
        .await;
    }

    fn pump_once(&self, opened: &RemoteSender, waker: &Waker) -> Poll<()> {
        let (connection, stream) = opened.stream();
        connection.with(|side, at| {
            let Some((sending, blocks)) = side.sending_blocks(stream) else {
                return Poll::Ready(());
            };
            self.queue.lock().pump(&mut Stream { at, sending, blocks }, waker);
            match sending.over {
                Some(Over::Ended(_) | Over::Reset { .. }) => Poll::Ready(()),
                Some(Over::Closed(_)) | None => Poll::Pending,
            }
        })
    }

    /// A send was dropped.
    fn abandon(&self, ticket: u64) {
        let flushed = self.queue.lock().abandon(ticket);
        flushed.into_iter().for_each(Waker::wake);
    }

    /// Wakes the reconnect task: there is work for it.
    fn wake_task(&self) {
        let task = self.queue.lock().task.clone();
        if let Some(task) = task {
            task.wake();
        }
    }
}

impl OnceSender {
    pub(super) fn start(channel: Reopened, producer: ProducerId) -> Self {
        let (spec, handle) = channel.reopen_spec();
        let (queue, slot) = (Mutex::default(), AvailabilityCell::default());
        let priority = channel.priority;
        let once = Arc::new(Once { queue, slot, producer, priority });
        spec.spawn(once.clone());
        Self { once, _handle: handle }
    }

    /// Waits until the channel is open; returns its description.
    ///
    /// # Errors
    ///
    /// When driven: [`Ended::GaveUp`] or [`Ended::Here`].
    pub fn opened(&self) -> Opened<'_, Info> {
        Opened::new(async {
            self.once.slot.available(|_| true).await.map(|(info, _)| (*info).clone())
        })
    }

    /// Waits until the channel is open; returns how many elements of this producer it has accepted.
    ///
    /// # Errors
    ///
    /// When driven: [`Ended::GaveUp`] or [`Ended::Here`].
    pub fn accepted(&self) -> Opened<'_, u64> {
        Opened::new(async {
            self.once.slot.available(|_| true).await?;
            Ok(self.once.queue.lock().highest())
        })
    }

    /// Sends an element, waiting for connections, and for room or a receiver.
    ///
    /// # Errors
    ///
    /// When driven: see [`SendError`]; it returns the element. [`SendError::Unknown`] only if the
    /// server has forgotten the producer, if there will be no further connection, or if the send's
    /// limits passed before it was acknowledged.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it was accepted, it is withdrawn. Dropped without a connection, after it was
    /// transmitted, it may have been accepted: [`accepted`](Self::accepted) shows that later.
    pub fn send(&self, element: impl Into<Element>) -> OnceSend<'_> {
        OnceSend::new(&self.once, element.into(), false)
    }

    /// Sends an element if there is a connection and the channel accepts it at once. While another
    /// send of this handle is unacknowledged, it fails with [`SendError::WouldBlock`].
    ///
    /// # Errors
    ///
    /// When driven: [`SendError::WouldBlock`], or as for [`send`](Self::send).
    pub fn try_send(&self, element: impl Into<Element>) -> OnceSend<'_> {
        OnceSend::new(&self.once, element.into(), true)
    }

    /// Waits until every element that was transmitted has been answered, over as many connections as
    /// necessary, and returns the outcomes of the sends that no operation waited for. Unknown are
    /// those whose producer the server has forgotten, or after which there will be no further
    /// connection.
    pub fn flush(&self) -> Waiting<'_, Posted> {
        Waiting::new(poll_fn(|context| self.once.queue.lock().poll_flush(context.waker())))
    }
}

/// A send. See [`OnceSender::send`].
#[must_use = "an operation does nothing until it is awaited or waited for"]
pub struct OnceSend<'a> {
    once: &'a Once,
    /// Before it begins, and after it was withdrawn.
    element: Element,
    is_try: bool,
    stage: Stage,
    limits: Limits<'a>,
    limits_wait: LimitsWait<'a>,
    stopped: Option<(Stop, Sleep)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    New,
    Queued(u64),
    Over,
}

limit_methods!(OnceSend, limits, "An element that was transmitted by then is withdrawn.");

impl<'a> OnceSend<'a> {
    fn new(once: &'a Once, element: Element, is_try: bool) -> Self {
        let (stage, limits, stopped) = (Stage::New, Limits::none(), None);
        let limits_wait = LimitsWait::default();
        Self { once, element, is_try, stage, limits, limits_wait, stopped }
    }

    /// Drives it from a thread, which sleeps, or from a coroutine, which parks.
    ///
    /// # Errors
    ///
    /// See [`OnceSender::send`].
    pub fn wait(self) -> Result<(), SendError> {
        becket_coro::block_on(self)
    }

    fn end(&mut self, error: SendError) -> Poll<Result<(), SendError>> {
        self.stage = Stage::Over;
        Poll::Ready(Err(error))
    }

    fn stop(&mut self, stop: Stop) -> Poll<Result<(), SendError>> {
        self.end(stop.of_send(self.element.clone()))
    }

    /// Adds it to the queue.
    fn begin(&mut self) -> Result<u64, Poll<Result<(), SendError>>> {
        if self.limits.is_cancelled() {
            return Err(self.stop(Stop::Cancelled));
        }
        let ticket = self.once.queue.lock().push(self.element.clone(), self.is_try);
        self.stage = Stage::Queued(ticket);
        self.once.wake_task();
        Ok(ticket)
    }

    fn finished(&mut self, done: Result<(), SendError>) -> Poll<Result<(), SendError>> {
        self.stage = Stage::Over;
        Poll::Ready(match (done, self.stopped.take()) {
            // It was withdrawn at its limit.
            (Err(SendError::Cancelled(element)), Some((stop, _))) => Err(stop.of_send(element)),
            (done, _) => done,
        })
    }

    /// It has passed its limits, now or before.
    fn stopping(
        &mut self,
        ticket: u64,
        stop: Stop,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), SendError>> {
        let (stopped, flushed) = {
            let mut queue = self.once.queue.lock();
            (queue.stop(ticket), queue.flushed())
        };
        flushed.into_iter().for_each(Waker::wake);
        let outcome_timeout = match stopped {
            Stopped::NotAccepted => return self.stop(stop),
            Stopped::Unacknowledged => true,
            Stopped::Withdrawing => {
                if self.stopped.is_none() {
                    self.stopped = Some((stop, timer::sleep(OUTCOME_TIMEOUT)));
                    self.once.wake_task();
                }
                let sleep = self.stopped.as_mut().map(|(_, sleep)| Pin::new(sleep).poll(context));
                sleep.is_none_or(|sleep| sleep.is_ready())
            }
        };
        if !outcome_timeout {
            // It may have completed during this call.
            let done = self.once.queue.lock().poll(ticket, context.waker());
            return match done {
                Poll::Ready(done) => self.finished(done),
                Poll::Pending => Poll::Pending,
            };
        }
        self.once.abandon(ticket);
        let element = self.element.clone();
        self.end(SendError::Unknown { element, ended: None })
    }
}

impl Future for OnceSend<'_> {
    type Output = Result<(), SendError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let ticket = match this.stage {
            Stage::New => match this.begin() {
                Ok(ticket) => ticket,
                Err(over) => return over,
            },
            Stage::Queued(ticket) => ticket,
            // Polled again after completion it is never ready.
            Stage::Over => return Poll::Pending,
        };
        let done = this.once.queue.lock().poll(ticket, context.waker());
        if let Poll::Ready(done) = done {
            return this.finished(done);
        }
        let stop = match &this.stopped {
            Some((stop, _)) => *stop,
            None => match this.limits_wait.poll(&this.limits, context) {
                Poll::Ready(stop) => stop,
                Poll::Pending => return Poll::Pending,
            },
        };
        this.stopping(ticket, stop, context)
    }
}

impl Drop for OnceSend<'_> {
    fn drop(&mut self) {
        if let Stage::Queued(ticket) = self.stage {
            self.once.abandon(ticket);
            self.once.wake_task();
        }
    }
}

impl fmt::Debug for OnceSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnceSender").finish_non_exhaustive()
    }
}
