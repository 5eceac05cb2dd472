// SPDX-License-Identifier: BSD-3-Clause
//! What is created on the server, and asked of it. All of this runs on the thread of the connection.

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::Context;
use async_nats::jetstream::consumer::{AckPolicy, pull};
use async_nats::jetstream::context::PublishErrorKind;
use async_nats::jetstream::stream::{
    Config, DiscardPolicy, LastRawMessageErrorKind, RetentionPolicy, StorageType,
};
use bytes::Bytes;
use futures_lite::StreamExt as _;

use crate::error::OpenError;
use crate::names::Names;
use crate::options::{Kind, Options, Storage};
use crate::publish::only_if_open;

/// How long the server remembers the ids of messages.
pub(crate) const DUPLICATE_WINDOW: Duration = Duration::from_secs(120);

/// Creates what the server lacks for a channel, and returns the channel's `ack_wait`.
pub(crate) async fn prepare(
    server: Context,
    names: Arc<Names>,
    (name, kind, options): (String, Kind, Options),
) -> Result<Duration, OpenError> {
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
        ..Config::default()
    };
    let refused = |what| move |cause: String| OpenError::Server { what, cause };
    let created = server.get_or_create_stream(registry).await;
    created.map_err(|error| refused("a stream for the names of channels")(error.to_string()))?;
    register(&server, &names, &name, kind).await?;
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
        .map_err(|error| refused("a stream for the values")(error.to_string()))?;
    let consumer = pull::Config {
        durable_name: Some(name.clone()),
        filter_subject: names.data.clone(),
        ack_policy: AckPolicy::Explicit,
        ack_wait: options.ack_wait,
        // Credit is counted by the receivers: a request of one that has used up the server's limit
        // would get no answer.
        max_ack_pending: -1,
        max_waiting: 65_536,
        ..pull::Config::default()
    };
    let consumer = stream
        .get_or_create_consumer(&name, consumer)
        .await
        .map_err(|error| refused("a consumer")(error.to_string()))?;
    Ok(consumer.cached_info().config.ack_wait)
}

/// Records the kind of a channel, or compares it with the record.
async fn register(
    server: &Context,
    names: &Names,
    name: &str,
    kind: Kind,
) -> Result<(), OpenError> {
    let expected = kind.token();
    let refused =
        |cause: String| OpenError::Server { what: "the record of a channel's kind", cause };
    loop {
        if let Some(record) = last(server, &names.registry, &names.record).await.map_err(refused)? {
            let found = String::from_utf8_lossy(&record).into_owned();
            if found == expected {
                return Ok(());
            }
            return Err(OpenError::Mismatch { name: name.into(), expected, found });
        }
        let headers = only_if_open(&names.record, None);
        let published = server
            .publish_with_headers(names.record.clone(), headers, expected.clone().into())
            .await
            .map_err(|error| refused(error.to_string()))?
            .await;
        match published {
            Ok(_) => return Ok(()),
            // Another opening was faster: its record is compared.
            Err(error) if error.kind() == PublishErrorKind::WrongLastSequence => {}
            Err(error) => return Err(refused(error.to_string())),
        }
    }
}

/// The payload of the last message of a subject.
async fn last(server: &Context, stream: &str, subject: &str) -> Result<Option<Bytes>, String> {
    let stream = server.get_stream_no_info(stream).await.map_err(|error| error.to_string())?;
    match stream.get_last_raw_message_by_subject(subject).await {
        Ok(message) => Ok(Some(message.payload)),
        Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}

/// The message on the gate of a channel: closed. `None`: open.
pub(crate) async fn gate(server: Context, names: Arc<Names>) -> Result<Option<Bytes>, String> {
    last(&server, &names.stream, &names.gate).await
}

/// The number of messages that the server has of a channel, acknowledged ones excepted.
pub(crate) async fn count(server: Context, names: Arc<Names>) -> Result<usize, String> {
    let stream =
        server.get_stream_no_info(&names.stream).await.map_err(|error| error.to_string())?;
    let info = stream.info_with_subjects(&names.data).await;
    let mut subjects = info.map_err(|error| error.to_string())?;
    let mut count = 0;
    while let Some(subject) = subjects.next().await {
        count += subject.map_err(|error| error.to_string())?.1;
    }
    Ok(count)
}
