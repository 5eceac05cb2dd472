// SPDX-License-Identifier: BSD-3-Clause
//! Sending each element exactly once, over connections that are made again.
//!
//! Each element has a number. The server remembers the highest that it has accepted of each
//! producer (see [`dedup`](crate::dedup)); on each new connection it says so, and what is above is sent again.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use becket_chan::timer::{self, Sleep};
use becket_chan::{Sender, Token};
use becket_wire::Priority;
use futures_lite::future::or;
use parking_lot::Mutex;

use super::keeper::Keeper;
use super::later::Later;
use super::queue::{Fate, Queue, Stopped, Stream};
use super::slot::{Now, Slot};
use super::{Handle, Opened, Reopened};
use crate::client::Client;
use crate::client::sending::Posted;
use crate::client::state::Over;
use crate::connection::Ended;
use crate::element::Element;
use crate::error::{OpenError, SendError};
use crate::remote::limits::{Limits, Stop};
use crate::remote::sender::RemoteSender;
use crate::streams::service::Info;

/// After its limit has passed, a send waits so long for the server to say what became of it.
const LAST_WORD: Duration = Duration::from_secs(1);

/// Who numbers elements: 128 bits that nobody else uses for the same channel.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ProducerId(u128);

impl ProducerId {
    /// By chance: for a producer that ends with its process.
    #[must_use]
    pub fn random() -> Self {
        Self(fastrand::u128(..))
    }
}

impl From<u128> for ProducerId {
    fn from(id: u128) -> Self {
        Self(id)
    }
}

/// Who knows a producer may speak for it: it does not get into logs.
impl fmt::Debug for ProducerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProducerId(..)")
    }
}

/// Sends each element exactly once into a channel of a server that may go and come again.
///
/// A send survives any number of connections: it ends when the channel has accepted its element, or
/// has refused it, or at its limits. Sends of one handle are accepted in the order in which they
/// began. For that the **channel** must survive: a server that is bound again offers the same
/// [`Channels`](crate::channels::Channels) (see [`Builder::channels`](crate::Builder::channels)).
/// If it does not, or has forgotten the producer because 1024 others have used the channel since,
/// what was handed over and not answered ends with [`SendError::Unknown`]: it is not repeated, nor
/// is it ever sent twice.
///
/// The elements that the channel has accepted are numbered from 1, without gaps.
/// [`accepted`](Self::accepted) says how many there are. So a producer that is killed, and comes
/// back under the same [`ProducerId`], goes on where the channel is.
///
/// A producer has one stream at a time. A second handle with the same id waits until the first has
/// ended. Each element is copied once, behind its number.
pub struct OnceSender {
    once: Arc<Once>,
    _handle: Handle,
}

pub(super) struct Once {
    queue: Mutex<Queue>,
    later: Arc<Later>,
    /// There is a stream.
    slot: Slot<Arc<Info>>,
    producer: ProducerId,
    priority: Priority,
}

impl Keeper for Once {
    type Opened = RemoteSender;

    async fn open(&self, client: &Client, name: &str) -> Result<RemoteSender, OpenError> {
        client.sender_with(name, self.priority).producer(self.producer.0).await
    }

    async fn serve(&self, opened: RemoteSender, lost: &Token) {
        let Some(remembered) = opened.info().remembered else { return };
        let woken = self.queue.lock().opened(remembered);
        woken.into_iter().for_each(Waker::wake);
        self.slot.set(Now::There(Arc::new(opened.info().clone())));
        let over = async {
            lost.cancelled().await;
        };
        or(self.pump(&opened), over).await;
        // What was not handed over is known now.
        let _over = self.pump_once(&opened, Waker::noop());
        self.slot.set(Now::Away);
        let woken = self.queue.lock().lost();
        woken.into_iter().for_each(Waker::wake);
    }

    fn never(&self, ended: Ended) {
        let woken = self.queue.lock().never(&ended);
        woken.into_iter().for_each(Waker::wake);
        self.slot.set(Now::Never(ended));
    }
}

impl Once {
    /// Until the stream is over.
    async fn pump(&self, opened: &RemoteSender) {
        poll_fn(|context| {
            self.queue.lock().engine = Some(context.waker().clone());
            self.pump_once(opened, context.waker())
        })
        .await;
    }

    fn pump_once(&self, opened: &RemoteSender, waker: &Waker) -> Poll<()> {
        let at_line = self.later.of(waker);
        let (connection, stream) = opened.stream();
        connection.with(|side, at| {
            let Some((sending, blocks)) = side.sending_blocks(stream) else {
                return Poll::Ready(());
            };
            self.queue.lock().pump(&mut Stream { at, sending, blocks }, waker, &at_line);
            match sending.over {
                Some(Over::Ended(_) | Over::Reset { .. }) => Poll::Ready(()),
                Some(Over::Closed(_)) | None => Poll::Pending,
            }
        })
    }

    /// Nobody asks about a send any more.
    fn abandon(&self, ticket: u64) {
        let flushed = self.queue.lock().abandon(ticket);
        flushed.into_iter().for_each(Waker::wake);
    }

    /// There is something to do for the engine.
    fn call(&self) {
        let engine = self.queue.lock().engine.clone();
        if let Some(engine) = engine {
            engine.wake();
        }
    }
}

impl OnceSender {
    pub(super) fn start(channel: Reopened, producer: ProducerId) -> Self {
        let (place, handle) = channel.place();
        let (queue, slot, later) = (Mutex::default(), Slot::default(), Arc::default());
        let priority = channel.priority;
        let once = Arc::new(Once { queue, later, slot, producer, priority });
        place.keep(once.clone());
        Self { once, _handle: handle }
    }

    /// Waits until the channel is open; gives its description.
    ///
    /// # Errors
    ///
    /// When driven: [`Ended::GaveUp`] or [`Ended::Here`].
    pub fn opened(&self) -> Opened<'_, Info> {
        Opened::new(async { self.once.slot.there(|_| true).await.map(|(info, _)| (*info).clone()) })
    }

    /// Waits until the channel is open; gives how many elements of this producer it has accepted.
    ///
    /// # Errors
    ///
    /// When driven: [`Ended::GaveUp`] or [`Ended::Here`].
    pub fn accepted(&self) -> Opened<'_, u64> {
        Opened::new(async {
            self.once.slot.there(|_| true).await?;
            Ok(self.once.queue.lock().highest())
        })
    }

    /// An operation that sends an element, waiting for connections, and for room or a receiver.
    ///
    /// # Errors
    ///
    /// When driven: see [`SendError`]; the element comes back. [`SendError::Unknown`] only if the
    /// server has forgotten the producer, if there will be no other connection, or if the send's
    /// limits passed while its answer was out.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it was accepted, it is taken back. Dropped without a connection, after it had
    /// been handed over, it may have been accepted: [`accepted`](Self::accepted) says so later.
    pub fn send(&self, element: impl Into<Element>) -> OnceSend<'_> {
        OnceSend::new(&self.once, element.into(), false)
    }

    /// An operation that sends an element if there is a connection and the channel accepts it at
    /// once. While another send of this handle has no answer, it does not.
    ///
    /// # Errors
    ///
    /// When driven: [`SendError::WouldBlock`], or as for [`send`](Self::send).
    pub fn try_send(&self, element: impl Into<Element>) -> OnceSend<'_> {
        OnceSend::new(&self.once, element.into(), true)
    }

    /// A local channel into which elements are sent ahead, each exactly once: it is taken from it
    /// while there is a connection and none taken before waits, and its answer is only counted. So
    /// such a send can stand in a [`select!`](becket_chan::select): while there is no connection it
    /// does not happen. What was taken survives any number of connections, as a
    /// [`send`](Self::send) does.
    ///
    /// The channel is the same over all connections, until it closes: when the server's channel is
    /// closed, when there will be no connection any more, with the reason of either; and when somebody
    /// closes it here. If the channel is open again on a later connection, another call gives another.
    #[must_use]
    pub fn ahead(&self) -> Sender<Element> {
        let sender = self.once.queue.lock().ahead();
        self.once.call();
        sender
    }

    /// Waits until everything that was handed over or sent ahead has been answered, over as many
    /// connections as that takes, and says what became of sends that nobody waited for. Unknown are
    /// those of which a server has forgotten the producer, or no other will be connected to.
    pub fn flush(&self) -> OnceFlush<'_> {
        OnceFlush(&self.once)
    }
}

/// Waits until everything that was sent has been answered. See [`OnceSender::flush`].
#[must_use = "an operation does nothing until it is awaited or waited for"]
pub struct OnceFlush<'a>(&'a Once);

impl OnceFlush<'_> {
    /// Waits on a thread or in a coroutine.
    pub fn wait(self) -> Posted {
        becket_coro::block_on(self)
    }
}

impl Future for OnceFlush<'_> {
    type Output = Posted;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Posted> {
        let (polled, is_news) = {
            let mut queue = self.0.queue.lock();
            let engine = queue.engine.clone();
            let at_line = self.0.later.of(engine.as_ref().unwrap_or(Waker::noop()));
            queue.poll_flush(context.waker(), &at_line)
        };
        if is_news {
            self.0.call();
        }
        polled
    }
}

/// A send that has not been driven yet. See [`OnceSender::send`].
#[must_use = "an operation does nothing until it is awaited or waited for"]
pub struct OnceSend<'a> {
    once: &'a Once,
    /// Until it begins, and after it was taken out.
    element: Element,
    is_try: bool,
    stage: Stage,
    limits: Limits<'a>,
    stopped: Option<(Stop, Sleep)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    New,
    Queued(u64),
    Over,
}

impl<'a> OnceSend<'a> {
    fn new(once: &'a Once, element: Element, is_try: bool) -> Self {
        let (stage, limits, stopped) = (Stage::New, Limits::default(), None);
        Self { once, element, is_try, stage, limits, stopped }
    }

    /// Gives up `duration` from now. What has been handed over by then is asked back.
    pub fn timeout(mut self, duration: Duration) -> Self {
        self.limits.timeout(duration);
        self
    }

    /// Gives up at `deadline`, alike. The earlier of two holds.
    pub fn deadline(mut self, deadline: Instant) -> Self {
        self.limits.deadline(deadline);
        self
    }

    /// Gives up when `token` is cancelled, alike.
    pub fn cancel_on(mut self, token: &'a Token) -> Self {
        self.limits.cancel_on(token);
        self
    }

    /// Drives it from a thread, which sleeps, or from a coroutine, which is parked.
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
        let element = self.element.clone();
        self.end(match stop {
            Stop::Cancelled => SendError::Cancelled(element),
            Stop::TimedOut => SendError::TimedOut(element),
        })
    }

    /// Into the queue.
    fn begin(&mut self) -> Result<u64, Poll<Result<(), SendError>>> {
        if self.limits.is_cancelled() {
            return Err(self.stop(Stop::Cancelled));
        }
        let ticket = self.once.queue.lock().push(self.element.clone(), self.is_try);
        self.stage = Stage::Queued(ticket);
        self.once.call();
        Ok(ticket)
    }

    fn fate(&mut self, element: Element, fate: Fate) -> Poll<Result<(), SendError>> {
        let stopped = self.stopped.take().map(|(stop, _)| stop);
        let error = match fate {
            Fate::Accepted => {
                self.stage = Stage::Over;
                return Poll::Ready(Ok(()));
            }
            Fate::WouldBlock => SendError::WouldBlock(element),
            Fate::TooLong => SendError::TooLong(element),
            Fate::WrongLength => SendError::WrongLength(element),
            Fate::Closed(reason) => SendError::Closed { element, reason },
            Fate::TakenBack if stopped == Some(Stop::TimedOut) => SendError::TimedOut(element),
            Fate::TakenBack => SendError::Cancelled(element),
            Fate::Gone(ended) => SendError::Disconnected { element, ended },
            Fate::Unknown(ended) => SendError::Unknown { element, ended },
        };
        self.end(error)
    }

    /// It has passed its limits, just now or before.
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
        let last_word = match stopped {
            Stopped::Never => return self.stop(stop),
            Stopped::Doubtful => true,
            Stopped::Asked => {
                if self.stopped.is_none() {
                    self.stopped = Some((stop, timer::sleep(LAST_WORD)));
                    self.once.call();
                }
                let sleep = self.stopped.as_mut().map(|(_, sleep)| Pin::new(sleep).poll(context));
                sleep.is_none_or(|sleep| sleep.is_ready())
            }
        };
        if !last_word {
            // It may be done already, by this very call.
            let done = self.once.queue.lock().poll(ticket, context.waker());
            return match done {
                Poll::Ready((element, fate)) => self.fate(element, fate),
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
            // Polled after it was over, it is never ready.
            Stage::Over => return Poll::Pending,
        };
        let done = this.once.queue.lock().poll(ticket, context.waker());
        if let Poll::Ready((element, fate)) = done {
            return this.fate(element, fate);
        }
        let stop = match &this.stopped {
            Some((stop, _)) => *stop,
            None => match this.limits.poll(context) {
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
            self.once.call();
        }
    }
}

impl fmt::Debug for OnceSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnceSender").finish_non_exhaustive()
    }
}
