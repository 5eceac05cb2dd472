// SPDX-License-Identifier: BSD-3-Clause
//! What the channels use of a server: messages, subscriptions, a clock, tasks, and questions about
//! streams.
//!
//! All of a channel's own rules (retries, closing, credit, notes, acknowledgements) are above this line, and
//! `async-nats` is below it. Tests put a model of a server in its place: `lab`. Other builds have one variant, and
//! the enum costs nothing.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use async_nats::{
    HeaderMap, Message, PublishError, RequestError, SubscribeError, Subscriber, jetstream,
};
use bytes::Bytes;
use futures_lite::StreamExt as _;
use tokio::sync::watch;

use crate::connection::Link;
use crate::error::OpenError;
#[cfg(test)]
use crate::lab::client;
use crate::names::Names;
use crate::options::{Kind, Options};
use crate::request::Requesting;
use crate::server;

/// A connection. Clones share it.
#[derive(Clone)]
pub(crate) enum Engine {
    Nats(Arc<Link>),
    #[cfg(test)]
    Model(client::Client),
}

/// The answer to a request.
pub(crate) enum Answering {
    Nats(Requesting),
    #[cfg(test)]
    Model(Pin<Box<dyn Future<Output = Result<Message, RequestError>> + Send>>),
}

impl Future for Answering {
    type Output = Result<Message, RequestError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Self::Nats(requesting) => Pin::new(requesting).poll(context),
            #[cfg(test)]
            Self::Model(requesting) => requesting.as_mut().poll(context),
        }
    }
}

/// The messages of a subject.
pub(crate) enum Subscription {
    Nats(Subscriber),
    #[cfg(test)]
    Model(client::Subscription),
}

/// What a stream says about a message that it delivers.
pub(crate) struct Info {
    /// The number of the message in its stream.
    pub(crate) sequence: u64,
    /// How many times it has been delivered.
    pub(crate) attempt: u64,
    /// Messages that were not delivered yet.
    pub(crate) pending: u64,
}

impl Engine {
    pub(crate) fn now(&self) -> Instant {
        match self {
            Self::Nats(_) => Instant::now(),
            #[cfg(test)]
            Self::Model(client) => client.now(),
        }
    }

    /// Runs a task for as long as the connection lives.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        match self {
            Self::Nats(link) => drop(link.spawn(task)),
            #[cfg(test)]
            Self::Model(client) => client.spawn(task),
        }
    }

    /// The number of times that the connection was made.
    pub(crate) fn connects(&self) -> watch::Receiver<u64> {
        match self {
            Self::Nats(link) => link.connects(),
            #[cfg(test)]
            Self::Model(client) => client.connects(),
        }
    }

    /// A subject that no other connection has.
    pub(crate) fn new_inbox(&self) -> String {
        match self {
            Self::Nats(link) => link.client().new_inbox(),
            #[cfg(test)]
            Self::Model(client) => client.new_inbox(),
        }
    }

    /// Publishes a message without waiting, in order with the others.
    pub(crate) fn post(&self, subject: &str, payload: Bytes) {
        match self {
            Self::Nats(link) => link.post(subject, payload),
            #[cfg(test)]
            Self::Model(client) => client.post(subject, payload),
        }
    }

    /// Publishes a message whose answers come to another subject.
    pub(crate) async fn publish_with_reply(
        &self,
        subject: String,
        reply: String,
        payload: Bytes,
    ) -> Result<(), PublishError> {
        match self {
            Self::Nats(link) => link.client().publish_with_reply(subject, reply, payload).await,
            #[cfg(test)]
            Self::Model(client) => {
                client.publish(&subject, Some(reply), None, payload);
                Ok(())
            }
        }
    }

    /// Sends a request, and waits for the answer for as long as it is polled.
    pub(crate) fn request(
        &self,
        subject: &str,
        headers: Option<HeaderMap>,
        payload: Bytes,
    ) -> Answering {
        match self {
            Self::Nats(link) => {
                Answering::Nats(Requesting::new(link, (subject.to_owned(), headers, payload)))
            }
            #[cfg(test)]
            Self::Model(client) => {
                let (client, subject) = (client.clone(), subject.to_owned());
                Answering::Model(Box::pin(async move {
                    client.request(&subject, headers, payload).await
                }))
            }
        }
    }

    /// As [`request`](Self::request); the answer may come under any subject, as a stream's messages do.
    pub(crate) async fn request_message(
        &self,
        subject: &str,
        payload: Bytes,
    ) -> Result<Message, RequestError> {
        match self {
            Self::Nats(link) => link.request_message(subject, payload).await,
            #[cfg(test)]
            Self::Model(client) => client.request(subject, None, payload).await,
        }
    }

    pub(crate) async fn subscribe(&self, subject: String) -> Result<Subscription, SubscribeError> {
        match self {
            Self::Nats(link) => link.client().subscribe(subject).await.map(Subscription::Nats),
            #[cfg(test)]
            Self::Model(client) => Ok(Subscription::Model(client.subscribe(subject, None))),
        }
    }

    /// As [`subscribe`](Self::subscribe); of the subscriptions of a group one gets each message.
    pub(crate) async fn queue_subscribe(
        &self,
        subject: String,
        group: &str,
    ) -> Result<Subscription, SubscribeError> {
        match self {
            Self::Nats(link) => {
                let subscribed = link.client().queue_subscribe(subject, group.to_owned()).await;
                subscribed.map(Subscription::Nats)
            }
            #[cfg(test)]
            Self::Model(client) => Ok(Subscription::Model(client.subscribe(subject, Some(group)))),
        }
    }

    /// Reads the reply subject of a message of a stream.
    pub(crate) fn info(&self, message: &Message) -> Option<Info> {
        match self {
            Self::Nats(link) => {
                let context = link.server().clone();
                let message = jetstream::Message { message: message.clone(), context };
                let info = message.info().ok()?;
                Some(Info {
                    sequence: info.stream_sequence,
                    attempt: u64::try_from(info.delivered).unwrap_or_default(),
                    pending: info.pending,
                })
            }
            #[cfg(test)]
            Self::Model(_) => client::info(message),
        }
    }

    /// Creates what the server lacks for a channel, and returns the channel's `ack_wait`.
    pub(crate) async fn prepare(
        &self,
        names: &Arc<Names>,
        wanted: (String, Kind, Options),
    ) -> Result<Duration, OpenError> {
        match self {
            Self::Nats(link) => {
                let prepared = server::prepare(link.server().clone(), names.clone(), wanted);
                let gone = || OpenError::Thread("it has ended".into());
                link.run(prepared).await.ok_or_else(gone)?
            }
            #[cfg(test)]
            Self::Model(client) => Ok(client.prepare(names, wanted)),
        }
    }

    /// The message on the gate of a channel that is closed, and a sequence number behind those of all
    /// accepted values. `None`: open.
    pub(crate) async fn end(&self, names: &Arc<Names>) -> Result<Option<(u64, Bytes)>, String> {
        match self {
            Self::Nats(link) => {
                let asked = server::end(link.server().clone(), names.clone());
                link.run(asked).await.ok_or(GONE)?
            }
            #[cfg(test)]
            Self::Model(client) => client.last(&names.stream, &names.gate).await,
        }
    }

    /// The number of messages that the server has of a channel, acknowledged ones excepted. An error if
    /// it has not stored all up to the sequence number `since`.
    pub(crate) async fn count(&self, names: &Arc<Names>, since: u64) -> Result<usize, String> {
        match self {
            Self::Nats(link) => {
                let asked = server::count(link.server().clone(), names.clone(), since);
                link.run(asked).await.ok_or(GONE)?
            }
            #[cfg(test)]
            Self::Model(client) => client.count(&names.stream, &names.data).await,
        }
    }

    /// Whether a message of a channel was stored behind that of this sequence number: delivered or not.
    pub(crate) async fn has_newer(
        &self,
        names: &Arc<Names>,
        name: &str,
        sequence: u64,
    ) -> Result<bool, String> {
        match self {
            Self::Nats(link) => {
                let (server, about) = (link.server().clone(), (name.to_owned(), sequence));
                link.run(server::has_newer(server, names.clone(), about)).await.ok_or(GONE)?
            }
            #[cfg(test)]
            Self::Model(client) => client.has_newer(&names.stream, name, sequence).await,
        }
    }
}

const GONE: &str = "the thread of the connection has ended";

impl Subscription {
    /// The next message. `None`: the subscription has ended.
    pub(crate) async fn next(&mut self) -> Option<Message> {
        match self {
            Self::Nats(messages) => messages.next().await,
            #[cfg(test)]
            Self::Model(messages) => messages.next().await,
        }
    }

    /// Ends it behind the messages that the server has sent already. False: there is no connection.
    pub(crate) async fn drain(&mut self) -> bool {
        match self {
            Self::Nats(messages) => messages.drain().await.is_ok(),
            #[cfg(test)]
            Self::Model(messages) => messages.drain(),
        }
    }
}
