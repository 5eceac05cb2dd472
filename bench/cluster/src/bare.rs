// SPDX-License-Identifier: BSD-3-Clause
//! The side of async-nats: the same subjects, streams and consumers as Becket's, in a namespace of their own.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_nats::jetstream::consumer::{Consumer, pull};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::{self, Context};
use async_nats::service::ServiceExt as _;
use async_nats::{Client, Subscriber};
use becket_cluster::{Connection, Kind};
use bytes::Bytes;
use futures_util::future::{Either, select, try_join, try_join_all};
use futures_util::{FutureExt as _, StreamExt as _, stream};
use tokio::runtime::Runtime;
use tokio::sync::{Mutex, watch};
use tokio::task::JoinHandle;

use crate::error::{BenchError, check};
use crate::ours::{AHEAD, LAST, NAME, options};
use crate::side::{Case, Future, Received, Side, number_of, payload};

/// Its column.
pub(crate) const COLUMN: &str = "async-nats";
/// The same, on a runtime of one thread, which is that of the caller too.
pub(crate) const ONE_THREAD_COLUMN: &str = "async-nats, one thread";
/// The same, with the acknowledgement of its own API.
pub(crate) const DOUBLE_ACK_COLUMN: &str = "async-nats, `double_ack`";

/// The group that takes the offers of a rendezvous.
const GROUP: &str = "receivers";
const TOOK: Bytes = Bytes::from_static(b"took");
const ACK: Bytes = Bytes::from_static(b"+ACK");

fn failed(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> BenchError {
    BenchError::host(COLUMN, error)
}

/// The token of a kind's subjects.
fn token(kind: Kind) -> String {
    match kind {
        Kind::Bounded { capacity } => format!("b{capacity}"),
        Kind::Unlimited { bytes_max } => format!("u{bytes_max}"),
        Kind::Conflated => "c".to_owned(),
        _ => "r".to_owned(),
    }
}

/// What is left of a round on the server.
pub(crate) struct Stored {
    context: Context,
    stream: String,
    subject: String,
}

impl Stored {
    pub(crate) async fn of(url: &str, namespace: &str, kind: Kind) -> Result<Self, BenchError> {
        let client = async_nats::connect(url).await.map_err(failed)?;
        let token = token(kind);
        Ok(Self {
            context: jetstream::new(client),
            stream: format!("{namespace}-{token}"),
            subject: format!("{namespace}.{token}.d.{NAME}"),
        })
    }

    /// Checks what a round has left, and removes it.
    pub(crate) async fn settle(
        &self,
        case: Case,
        received: &Received,
        n: u64,
    ) -> Result<(), BenchError> {
        let expected = match case {
            Case::Publish(_) => n,
            Case::Watch => 0,
            Case::Queue | Case::Drain { .. } => {
                received.check(COLUMN, n)?;
                0
            }
            Case::Rendezvous | Case::Request { .. } => return received.check(COLUMN, n),
        };
        let stream = self.context.get_stream_no_info(&self.stream).await.map_err(failed)?;
        let subjects = stream.info_with_subjects(&self.subject).await.map_err(failed)?;
        let counts: HashMap<_, _> = subjects.map(Result::unwrap_or_default).collect().await;
        let stored: usize = counts.values().sum();
        check(COLUMN, "values in the stream", expected, stored as u64)?;
        if stored > 0 {
            stream.purge().filter(&self.subject).await.map_err(failed)?;
        }
        Ok(())
    }
}

pub(crate) fn start(
    runtime: &Runtime,
    column: &'static str,
    url: &str,
    case: Case,
    window: usize,
) -> Result<Box<dyn Side>, BenchError> {
    runtime.block_on(async {
        Ok::<Box<dyn Side>, _>(match case {
            Case::Request { nodes } => Box::new(Requests::start(column, url, nodes).await?),
            Case::Rendezvous => Box::new(Offers::start(column, url).await?),
            _ => Box::new(Channel::open(column, url, case, window).await?),
        })
    })
}

struct Consuming {
    client: Client,
    messages: Mutex<pull::Stream>,
}

struct Channel {
    column: &'static str,
    case: Case,
    context: Context,
    subject: String,
    prefix: String,
    next: AtomicU64,
    consumers: Vec<Arc<Consuming>>,
    received: Arc<Received>,
    stored: Stored,
    watching: Mutex<Option<JoinHandle<Result<(), BenchError>>>>,
    n: AtomicU64,
}

impl Channel {
    async fn open(
        column: &'static str,
        url: &str,
        case: Case,
        window: usize,
    ) -> Result<Self, BenchError> {
        let kind = case.kind().ok_or(BenchError::Worker)?;
        let namespace = match column {
            COLUMN => "bare",
            ONE_THREAD_COLUMN => "one",
            _ => "double",
        };
        // The stream and the consumer, with Becket's settings.
        let connection = Connection::connect(url).await.map_err(failed)?;
        connection.open(NAME, kind, options(namespace, 0)).await.map_err(failed)?;
        drop(connection);
        let stored = Stored::of(url, namespace, kind).await?;
        let (ahead, count) = match case {
            Case::Queue => (window, 1),
            Case::Drain { consumers } => (AHEAD, consumers),
            Case::Watch => (1, 1),
            _ => (1, 0),
        };
        let client = async_nats::connect(url).await.map_err(failed)?;
        let mut consumers = Vec::new();
        for _ in 0..count {
            let client = match consumers.is_empty() {
                true => client.clone(),
                false => async_nats::connect(url).await.map_err(failed)?,
            };
            let stream = jetstream::new(client.clone()).get_stream_no_info(&stored.stream).await;
            let consumer: Consumer<pull::Config> =
                stream.map_err(failed)?.get_consumer(NAME).await.map_err(failed)?;
            let messages = consumer.stream().max_messages_per_batch(ahead).messages().await;
            let messages = Mutex::new(messages.map_err(failed)?);
            consumers.push(Arc::new(Consuming { client, messages }));
        }
        let subject = stored.subject.clone();
        Ok(Self {
            column,
            case,
            prefix: client.new_inbox(),
            context: jetstream::new(client),
            subject,
            next: AtomicU64::new(0),
            consumers,
            received: Arc::default(),
            stored,
            watching: Mutex::new(None),
            n: AtomicU64::new(0),
        })
    }

    async fn send(&self, number: u64) -> Result<(), BenchError> {
        let id = format!("{}-{}", self.prefix, self.next.fetch_add(1, Ordering::Relaxed));
        let message = PublishMessage::build().message_id(id).payload(payload(number));
        let sent = self.context.send_publish(self.subject.clone(), message).await;
        sent.map_err(failed)?.await.map_err(failed).map(|_| ())
    }

    fn consumer(&self) -> Result<&Arc<Consuming>, BenchError> {
        self.consumers.first().ok_or(BenchError::Worker)
    }

    async fn drain(&self) -> Result<(), BenchError> {
        let left = AtomicU64::new(self.n.load(Ordering::Relaxed));
        let (done, ended) = watch::channel(false);
        let consume = async |consumer: &Arc<Consuming>| {
            let mut ended = ended.clone();
            let mut ended = std::pin::pin!(async move { ended.changed().await }.fuse());
            while !*done.borrow() {
                let next = std::pin::pin!(consumer.next());
                let Either::Right((message, _)) = select(ended.as_mut(), next).await else { break };
                let message = message?;
                consumer.acknowledge(self.column, &message).await?;
                self.received.add(self.column, &message.payload)?;
                if left.fetch_sub(1, Ordering::Relaxed) == 1 {
                    done.send_replace(true);
                }
            }
            Ok(())
        };
        try_join_all(self.consumers.iter().map(consume)).await.map(|_: Vec<()>| ())
    }
}

impl Consuming {
    async fn next(&self) -> Result<jetstream::Message, BenchError> {
        let next = self.messages.lock().await.next().await;
        next.ok_or(BenchError::Worker)?.map_err(failed)
    }

    /// Returns when the server has confirmed it.
    async fn acknowledge(
        &self,
        column: &'static str,
        message: &jetstream::Message,
    ) -> Result<(), BenchError> {
        if column == DOUBLE_ACK_COLUMN {
            return message.double_ack().await.map_err(failed);
        }
        let reply = message.reply.clone().ok_or(BenchError::Worker)?;
        self.client.request(reply, ACK).await.map_err(failed).map(|_| ())
    }
}

impl Side for Channel {
    fn column(&self) -> &'static str {
        self.column
    }

    fn prepare(&self, n: u64) -> Future<'_> {
        Box::pin(async move {
            match self.case {
                Case::Drain { .. } => {
                    self.n.store(n, Ordering::Relaxed);
                    let sends = stream::iter(0..n).map(|number| self.send(number));
                    let sent: Vec<_> = sends.buffer_unordered(256).collect().await;
                    sent.into_iter().collect()
                }
                Case::Watch => {
                    let (consumer, column) = (self.consumer()?.clone(), self.column);
                    let watching = tokio::spawn(async move {
                        loop {
                            let message = consumer.next().await?;
                            consumer.acknowledge(column, &message).await?;
                            if number_of(column, &message.payload)? == LAST {
                                return Ok(());
                            }
                        }
                    });
                    *self.watching.lock().await = Some(watching);
                    Ok(())
                }
                _ => Ok(()),
            }
        })
    }

    fn operation(&self, number: u64) -> Future<'_> {
        match self.case {
            Case::Publish(_) | Case::Watch => Box::pin(self.send(number)),
            Case::Queue => Box::pin(async move {
                self.send(number).await?;
                let consumer = self.consumer()?;
                let message = consumer.next().await?;
                consumer.acknowledge(self.column, &message).await?;
                self.received.add(self.column, &message.payload)
            }),
            _ => Box::pin(async { Ok(()) }),
        }
    }

    fn complete(&self) -> Future<'_> {
        Box::pin(async {
            match self.case {
                Case::Drain { .. } => self.drain().await,
                Case::Watch => {
                    self.send(LAST).await?;
                    match self.watching.lock().await.take() {
                        Some(watching) => watching.await.map_err(failed)?,
                        None => Err(BenchError::Worker),
                    }
                }
                _ => Ok(()),
            }
        })
    }

    fn settle(&self, n: u64) -> Future<'_> {
        Box::pin(self.stored.settle(self.case, &self.received, n))
    }
}

/// A service whose endpoint answers the payload, on connections of its own.
struct Requests {
    column: &'static str,
    client: Client,
    subject: String,
    services: Vec<JoinHandle<()>>,
}

impl Requests {
    async fn start(column: &'static str, url: &str, nodes: usize) -> Result<Self, BenchError> {
        let mut services = Vec::new();
        let subject = format!("bare.{nodes}.{}.echo", column.len());
        for _ in 0..nodes {
            let client = async_nats::connect(url).await.map_err(failed)?;
            let service = client.service_builder().start("bench", "1.0.0").await;
            let service = service.map_err(failed)?;
            let endpoint = service.endpoint(subject.clone()).await;
            let mut endpoint = endpoint.map_err(failed)?;
            client.flush().await.map_err(failed)?;
            services.push(tokio::spawn(async move {
                let _keeps = (&client, &service);
                while let Some(request) = endpoint.next().await {
                    let answer = Ok(request.message.payload.clone());
                    if request.respond(answer).await.is_err() {
                        return;
                    }
                }
            }));
        }
        let client = async_nats::connect(url).await.map_err(failed)?;
        Ok(Self { column, client, subject, services })
    }
}

impl Drop for Requests {
    fn drop(&mut self) {
        self.services.iter().for_each(JoinHandle::abort);
    }
}

impl Side for Requests {
    fn column(&self) -> &'static str {
        self.column
    }

    fn operation(&self, number: u64) -> Future<'_> {
        Box::pin(async move {
            let answer = self.client.request(self.subject.clone(), payload(number)).await;
            let answer = answer.map_err(failed)?;
            check(self.column, "an answer", number, number_of(self.column, &answer.payload)?)
        })
    }

    fn settle(&self, _: u64) -> Future<'_> {
        Box::pin(async { Ok(()) })
    }
}

/// A request to a group, which answers when it has taken the value.
struct Offers {
    column: &'static str,
    client: Client,
    subject: String,
    offers: Mutex<Subscriber>,
    received: Received,
}

impl Offers {
    async fn start(column: &'static str, url: &str) -> Result<Self, BenchError> {
        let client = async_nats::connect(url).await.map_err(failed)?;
        let subject = format!("bare.{}.offers", column.len());
        let offers = client.queue_subscribe(subject.clone(), GROUP.into()).await.map_err(failed)?;
        let offers = Mutex::new(offers);
        Ok(Self { column, client, subject, offers, received: Received::default() })
    }
}

impl Side for Offers {
    fn column(&self) -> &'static str {
        self.column
    }

    fn operation(&self, number: u64) -> Future<'_> {
        Box::pin(async move {
            let received = async {
                let offer = self.offers.lock().await.next().await.ok_or(BenchError::Worker)?;
                let reply = offer.reply.clone().ok_or(BenchError::Worker)?;
                self.client.publish(reply, TOOK).await.map_err(failed)?;
                self.received.add(self.column, &offer.payload)
            };
            let sent = async {
                let sent = self.client.request(self.subject.clone(), payload(number)).await;
                check(self.column, "an answer", TOOK, sent.map_err(failed)?.payload)
            };
            try_join(sent, received).await.map(|_| ())
        })
    }

    fn settle(&self, n: u64) -> Future<'_> {
        Box::pin(async move { self.received.check(self.column, n) })
    }
}
