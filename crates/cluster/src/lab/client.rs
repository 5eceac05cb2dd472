// SPDX-License-Identifier: BSD-3-Clause
//! A connection to the model: what [`Engine`](crate::engine::Engine) asks of a client.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use async_nats::client::RequestErrorKind;
use async_nats::{HeaderMap, Message, RequestError, StatusCode};
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::network::{Frame, Lane};
use super::world::World;
use crate::engine::Info;
use crate::limits::at_most;
use crate::names::Names;
use crate::options::{Kind, Options};

/// How long `async-nats` waits for the answer to a question about a stream.
const ASK_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Clone)]
pub(crate) struct Client {
    world: Arc<World>,
    number: usize,
    connects: watch::Receiver<u64>,
}

/// Messages on their way from the network to a task.
#[derive(Clone, Default)]
pub(super) struct Queue(Arc<Mutex<Queued>>);

#[derive(Default)]
struct Queued {
    messages: VecDeque<Message>,
    is_ended: bool,
    waker: Option<Waker>,
}

impl Queue {
    pub(super) fn push(&self, message: Message) {
        let mut queued = self.0.lock();
        queued.messages.push_back(message);
        if let Some(waker) = queued.waker.take() {
            waker.wake();
        }
    }

    pub(super) fn end(&self) {
        let mut queued = self.0.lock();
        queued.is_ended = true;
        if let Some(waker) = queued.waker.take() {
            waker.wake();
        }
    }
}

pub(crate) struct Subscription {
    client: Client,
    number: u64,
    queue: Queue,
}

impl Subscription {
    pub(crate) fn next(&mut self) -> impl Future<Output = Option<Message>> + Send + use<> {
        let queue = self.queue.clone();
        poll_fn(move |context| {
            let mut queued = queue.0.lock();
            if let Some(message) = queued.messages.pop_front() {
                return Poll::Ready(Some(message));
            }
            if queued.is_ended {
                return Poll::Ready(None);
            }
            queued.waker = Some(context.waker().clone());
            Poll::Pending
        })
    }

    pub(crate) fn drain(&self) -> bool {
        self.client.send(Lane::Requests, Frame::Unsubscribe { number: self.number, drains: true })
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let number = self.number;
        self.client.world.network.lock().forget(self.client.number, number);
        self.client.send(Lane::Requests, Frame::Unsubscribe { number, drains: false });
    }
}

impl Client {
    pub(super) fn new(world: &Arc<World>) -> Self {
        let (number, connects) = world.network.lock().connect();
        Self { world: world.clone(), number, connects }
    }

    /// Ends the process: nothing of it reaches the server any more.
    pub(super) fn kill(&self) {
        self.world.network.lock().kill(self.number);
    }

    pub(crate) fn now(&self) -> Instant {
        self.world.instant()
    }

    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.world.spawn(task);
    }

    pub(crate) fn connects(&self) -> watch::Receiver<u64> {
        self.connects.clone()
    }

    pub(crate) fn new_inbox(&self) -> String {
        format!("_INBOX.{}x{}", self.number, self.world.number())
    }

    pub(crate) fn post(&self, subject: &str, payload: Bytes) {
        let frame = Frame::Publish { subject: subject.into(), reply: None, headers: None, payload };
        self.send(Lane::Posts, frame);
    }

    pub(crate) fn publish(
        &self,
        subject: &str,
        reply: Option<String>,
        headers: Option<HeaderMap>,
        payload: Bytes,
    ) {
        let frame = Frame::Publish { subject: subject.into(), reply, headers, payload };
        self.send(Lane::Requests, frame);
    }

    pub(crate) fn subscribe(&self, subject: String, group: Option<&str>) -> Subscription {
        let (number, queue) = (self.world.number(), Queue::default());
        self.world.network.lock().listen(self.number, number, queue.clone());
        let group = group.map(str::to_owned);
        self.send(Lane::Requests, Frame::Subscribe { number, subject, group });
        Subscription { client: self.clone(), number, queue }
    }

    pub(crate) async fn request(
        &self,
        subject: &str,
        headers: Option<HeaderMap>,
        payload: Bytes,
    ) -> Result<Message, RequestError> {
        let inbox = self.new_inbox();
        let mut answers = self.subscribe(inbox.clone(), None);
        self.publish(subject, Some(inbox), headers, payload);
        match answers.next().await {
            Some(answer) if answer.status == Some(StatusCode::NO_RESPONDERS) => {
                Err(RequestError::new(RequestErrorKind::NoResponders))
            }
            Some(answer) => Ok(answer),
            None => Err(RequestError::new(RequestErrorKind::Other)),
        }
    }

    /// Streams and consumers are there at once, without a fault.
    pub(crate) fn prepare(&self, names: &Names, wanted: (String, Kind, Options)) -> Duration {
        self.world.network.lock().server.prepare(names, wanted)
    }

    async fn ask(&self, question: &str, stream: &str, subject: &str) -> Result<Bytes, String> {
        let about = format!("{stream} {subject}");
        let asked = self.request(question, None, about.into());
        match at_most(ASK_TIMEOUT, asked).await {
            Some(Ok(answer)) => Ok(answer.payload),
            Some(Err(error)) => Err(error.to_string()),
            None => Err("no answer".into()),
        }
    }

    /// The last message of a subject, with its number.
    pub(crate) async fn last(
        &self,
        stream: &str,
        subject: &str,
    ) -> Result<Option<(u64, Bytes)>, String> {
        let answer = self.ask("$JS.API.LAST", stream, subject).await?;
        let Some((number, record)) = answer.split_first_chunk::<8>() else { return Ok(None) };
        Ok(Some((u64::from_be_bytes(*number), Bytes::copy_from_slice(record))))
    }

    pub(crate) async fn has_newer(
        &self,
        stream: &str,
        name: &str,
        sequence: u64,
    ) -> Result<bool, String> {
        let answer = self.ask("$JS.API.NEWER", stream, &format!("{name} {sequence}")).await?;
        Ok(&answer[..] == b"yes")
    }

    pub(crate) async fn count(&self, stream: &str, subject: &str) -> Result<usize, String> {
        let answer = self.ask("$JS.API.COUNT", stream, subject).await?;
        Ok(String::from_utf8_lossy(&answer).parse().unwrap())
    }

    fn send(&self, lane: Lane, frame: Frame) -> bool {
        let now = self.world.now().as_nanos() as u64;
        let mut network = self.world.network.lock();
        network.send(now, self.number, lane, frame, &mut self.world.choices.lock())
    }
}

/// `$JS.ACK.STREAM.CONSUMER.ATTEMPT.SEQUENCE.NUMBER.TIME.PENDING`
pub(crate) fn info(message: &Message) -> Option<Info> {
    let reply = message.reply.as_ref()?.to_string();
    let part = |at| reply.split('.').nth(at)?.parse().ok();
    Some(Info { attempt: part(4)?, sequence: part(5)?, pending: part(8)? })
}
