// SPDX-License-Identifier: BSD-3-Clause
//! What is created on the server, and asked of it. All of this runs on the thread of the connection.
//!
//! # The close of a replicated channel
//!
//! A server that leads a replicated stream checks the condition of a value against what it has stored,
//! not against what is in process, and stores in the order in which it accepted. So a value may be
//! stored after the message on the gate. It was accepted before that was stored, and before anything
//! was accepted that was sent later. Therefore:
//!
//! 1. The close is a message on the gate. Once it is acknowledged, no value is accepted: a server
//!    that becomes the leader has stored it before it accepts anything.
//! 2. Then comes a message on the end, sent by any handle that finds the gate closed: all accepted
//!    values are before it. The channel is closed once it is there.
//! 3. A receiver takes the channel for drained once a server that has stored the end has no value of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::Request;
use async_nats::jetstream::consumer::{AckPolicy, pull};
use async_nats::jetstream::context::{CreateStreamError, CreateStreamErrorKind};
use async_nats::jetstream::stream::{
    Config, ConsumerError, ConsumerErrorKind, DiscardPolicy, LastRawMessageErrorKind,
    RetentionPolicy, StorageType,
};
use async_nats::jetstream::{self, Context, ErrorCode};
use becket_chan::timer;
use bytes::Bytes;
use futures_lite::StreamExt as _;

use crate::channel::{ANSWER_TIMEOUT, RETRY_PAUSE};
use crate::error::OpenError;
use crate::names::Names;
use crate::options::{Kind, Options, Storage};
use crate::publish::{Answer, only_if_open};

/// How long the server remembers the ids of messages.
pub(crate) const DUPLICATE_WINDOW: Duration = Duration::from_secs(120);
/// How long the opening of a channel repeats requests that servers cannot serve at this moment.
const OPEN_TIMEOUT: Duration = Duration::from_secs(30);
/// How often the message on the end is sent before the search for it is given up.
const END_ATTEMPTS: u32 = 10;

/// A step of an opening that failed.
struct Failure {
    error: OpenError,
    /// The servers are choosing a leader, or another opening was faster.
    is_transient: bool,
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        Self { error, is_transient: false }
    }
}

impl Failure {
    fn new(what: &'static str, cause: String, is_transient: bool) -> Self {
        Self { error: OpenError::Server { what, cause }, is_transient }
    }

    fn of_server(what: &'static str, error: &jetstream::Error) -> Self {
        let code = error.error_code();
        let is_transient =
            code == ErrorCode::CLUSTER_NOT_AVAILABLE || code == ErrorCode::CLUSTER_NOT_LEADER;
        Self::new(what, error.to_string(), is_transient)
    }

    fn of_stream(what: &'static str) -> impl FnOnce(CreateStreamError) -> Self {
        move |error| match error.kind() {
            CreateStreamErrorKind::JetStream(error) => Self::of_server(what, &error),
            kind => Self::new(what, error.to_string(), kind == CreateStreamErrorKind::TimedOut),
        }
    }

    fn of_consumer(error: ConsumerError) -> Self {
        const WHAT: &str = "a consumer";
        match error.kind() {
            ConsumerErrorKind::JetStream(error) => Self::of_server(WHAT, &error),
            kind => Self::new(WHAT, error.to_string(), kind == ConsumerErrorKind::TimedOut),
        }
    }
}

/// Creates what the server lacks for a channel, and returns the channel's `ack_wait`.
pub(crate) async fn prepare(
    server: Context,
    names: Arc<Names>,
    (name, kind, options): (String, Kind, Options),
) -> Result<Duration, OpenError> {
    let begun = Instant::now();
    loop {
        let failure = match try_prepare(&server, &names, (&name, kind, &options)).await {
            Ok(ack_wait) => return Ok(ack_wait),
            Err(failure) => failure,
        };
        if !failure.is_transient || begun.elapsed() >= OPEN_TIMEOUT {
            return Err(failure.error);
        }
        tracing::debug!(channel = name, error = %failure.error, "the opening is repeated");
        timer::sleep(RETRY_PAUSE).await;
    }
}

async fn try_prepare(
    server: &Context,
    names: &Names,
    (name, kind, options): (&str, Kind, &Options),
) -> Result<Duration, Failure> {
    let storage = match options.storage {
        Storage::File => StorageType::File,
        Storage::Memory => StorageType::Memory,
    };
    let registry = Config {
        name: names.registry.clone(),
        subjects: names.registry_subjects.clone(),
        max_messages_per_subject: 1,
        discard: DiscardPolicy::New,
        discard_new_per_subject: true,
        storage,
        num_replicas: options.replicas,
        ..Config::default()
    };
    let refused = || Failure::of_stream("a stream for the names of channels");
    let found = server.get_or_create_stream(registry).await.map_err(refused())?;
    let found = &found.cached_info().config;
    if found.num_replicas < options.replicas {
        let replicated = Config { num_replicas: options.replicas, ..found.clone() };
        server.update_stream(replicated).await.map_err(refused())?;
    }
    register(server, names, name).await?;
    if kind == Kind::Rendezvous {
        return Ok(options.ack_wait);
    }
    let mut values = Config {
        name: names.stream.clone(),
        subjects: names.stream_subjects.clone(),
        retention: RetentionPolicy::WorkQueue,
        discard: DiscardPolicy::New,
        duplicate_window: DUPLICATE_WINDOW,
        storage,
        num_replicas: options.replicas,
        ..Config::default()
    };
    match kind {
        Kind::Bounded { capacity } => {
            values.max_messages_per_subject = i64::try_from(capacity).unwrap_or(i64::MAX);
            values.discard_new_per_subject = true;
        }
        Kind::Conflated => {
            values.max_messages_per_subject = 1;
            values.discard = DiscardPolicy::Old;
        }
        Kind::Unlimited { bytes_max } => {
            values.max_bytes = i64::try_from(bytes_max).unwrap_or(i64::MAX);
        }
        Kind::Rendezvous => {}
    }
    let stream = server
        .get_or_create_stream(values)
        .await
        .map_err(Failure::of_stream("a stream for the values"))?;
    let consumer = pull::Config {
        durable_name: Some(name.to_owned()),
        filter_subject: names.data.clone(),
        ack_policy: AckPolicy::Explicit,
        ack_wait: options.ack_wait,
        // Credit is counted by the receivers: a request of one that has used up the server's limit
        // would get no answer.
        max_ack_pending: -1,
        max_waiting: 65_536,
        ..pull::Config::default()
    };
    let consumer =
        stream.get_or_create_consumer(name, consumer).await.map_err(Failure::of_consumer)?;
    Ok(consumer.cached_info().config.ack_wait)
}

/// Records the kind of a channel, or compares it with the record.
async fn register(server: &Context, names: &Names, name: &str) -> Result<(), Failure> {
    const WHAT: &str = "the record of a channel's kind";
    let expected = &names.token;
    let record = last(server, &names.registry, &names.record).await;
    if let Some((_, found)) = record.map_err(|cause| Failure::new(WHAT, cause, true))? {
        let found = String::from_utf8_lossy(&found).into_owned();
        if found == *expected {
            return Ok(());
        }
        let (name, expected) = (name.to_owned(), expected.clone());
        return Err(OpenError::Mismatch { name, expected, found }.into());
    }
    match put(server, &names.record, expected.clone().into()).await {
        Answer::Accepted { .. } => Ok(()),
        Answer::Refused(cause) => Err(Failure::new(WHAT, (*cause).into(), false)),
        // Another opening was faster: its record is compared.
        Answer::Closed | Answer::Raced => {
            Err(Failure::new(WHAT, "another is recorded".into(), true))
        }
        answer => Err(Failure::new(WHAT, format!("{answer:?}"), answer != Answer::Full)),
    }
}

/// Publishes a message to a subject that has none.
async fn put(server: &Context, subject: &str, payload: Bytes) -> Answer {
    let headers = only_if_open(subject, None);
    let request = Request::new().headers(headers).payload(payload).timeout(Some(ANSWER_TIMEOUT));
    Answer::of_stream(server.client().send_request(subject.to_owned(), request).await)
}

/// The last message of a subject: its sequence number and its payload.
async fn last(
    server: &Context,
    stream: &str,
    subject: &str,
) -> Result<Option<(u64, Bytes)>, String> {
    let stream = server.get_stream_no_info(stream).await.map_err(|error| error.to_string())?;
    match stream.get_last_raw_message_by_subject(subject).await {
        Ok(message) => Ok(Some((message.sequence, message.payload))),
        Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}

/// The message on the gate of a channel that is closed, and a sequence number behind those of all
/// accepted values. `None`: open.
pub(crate) async fn end(
    server: Context,
    names: Arc<Names>,
) -> Result<Option<(u64, Bytes)>, String> {
    let Some((sequence, record)) = last(&server, &names.stream, &names.gate).await? else {
        return Ok(None);
    };
    let Some(end) = &names.end else { return Ok(Some((sequence, record))) };
    for _ in 0..END_ATTEMPTS {
        if let Some((sequence, _)) = last(&server, &names.stream, end).await? {
            return Ok(Some((sequence, record)));
        }
        match put(&server, end, Bytes::new()).await {
            Answer::Accepted { .. } | Answer::Closed => {}
            Answer::Raced => timer::sleep(RETRY_PAUSE).await,
            answer => return Err(format!("the end is not stored: {answer:?}")),
        }
    }
    Err("the end is not found".into())
}

/// The number of messages that the server has of a channel, acknowledged ones excepted. An error if it
/// has not stored all up to the sequence number `since`.
pub(crate) async fn count(server: Context, names: Arc<Names>, since: u64) -> Result<usize, String> {
    let stream =
        server.get_stream_no_info(&names.stream).await.map_err(|error| error.to_string())?;
    let info = stream.info_with_subjects(&names.data).await;
    let mut subjects = info.map_err(|error| error.to_string())?;
    if subjects.info.state.last_sequence < since {
        return Err("the server has not stored all values yet".into());
    }
    let mut count = 0;
    while let Some(subject) = subjects.next().await {
        count += subject.map_err(|error| error.to_string())?.1;
    }
    Ok(count)
}

/// Whether a message of a channel was stored behind that of this sequence number. What is replaced before it is
/// delivered is not noticed; but something newer is there then.
pub(crate) async fn has_newer(
    server: Context,
    names: Arc<Names>,
    (name, sequence): (String, u64),
) -> Result<bool, String> {
    let stream =
        server.get_stream_no_info(&names.stream).await.map_err(|error| error.to_string())?;
    let consumer = stream.consumer_info(name).await.map_err(|error| error.to_string())?;
    Ok(consumer.num_pending > 0 || consumer.delivered.stream_sequence > sequence)
}
