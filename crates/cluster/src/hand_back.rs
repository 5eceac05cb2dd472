// SPDX-License-Identifier: BSD-3-Clause
//! Hands a message back to the server whose acknowledgement was transmitted for a receive that was dropped, when its
//! process has no receiver any more that could return the value.
//!
//! An acknowledgement cannot be withdrawn, so the value becomes a new message of the channel:
//!
//! 1. The acknowledgement is confirmed first. Otherwise the server might deliver the message again, beside the new one.
//!    Without a confirmation until `ack_wait` has passed the value is sent nevertheless: received twice rather than not
//!    at all, as by a receive.
//! 2. The id of the new message is that of the old one, made of its sequence number: a repeated attempt is accepted
//!    once.
//! 3. The gate is no condition. The value was accepted before the close; a receiver that has found the channel drained
//!    meanwhile does not get it, a later one does.
//! 4. It waits for room. A value of a conflated channel goes back only if no newer one was stored since: the stream
//!    stores it only while it has no other one, and the consumer has had no newer one to deliver. One that is sent,
//!    received and acknowledged between that question and its answer, and the value's arrival, is not noticed.
//!    The other one may be the old message itself, which a replicated stream removes some time after the
//!    acknowledgement was confirmed: then both are tried again.
//!
//! The task holds the connection, which lives until the value is stored.

use std::sync::Arc;
use std::time::Instant;

use async_nats::HeaderMap;
use async_nats::header::{NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, NATS_MESSAGE_ID};
use becket_chan::timer;
use bytes::Bytes;

use crate::channel::{ANSWER_TIMEOUT, Channel, RETRY_PAUSE, SLOW_RETRY};
use crate::delivery::Delivery;
use crate::error::AckError;
use crate::limits::at_most;
use crate::options::Kind;
use crate::publish::Answer;
use crate::sender::REPEATED_AT_MOST;

/// Begins to hand a message back, whose acknowledgement was transmitted.
pub(crate) fn begin(delivery: Delivery) {
    let engine = delivery.channel().engine.clone();
    // If the task is dropped with the connection's thread, so is the value.
    engine.spawn(hand_back(delivery.unreceived()));
}

async fn hand_back(mut delivery: Delivery) {
    if delivery.confirm().await == Err(AckError::Expired) {
        return;
    }
    let (channel, sequence) = (delivery.channel().clone(), delivery.sequence());
    let value = delivery.value().clone();
    drop(delivery);
    channel.counters.requeued();
    if let Err(cause) = store(&channel, value, sequence).await {
        tracing::warn!(
            target: "becket::cluster",
            channel = channel.name,
            cause,
            "a value of a receive that was dropped could not be handed back"
        );
    }
}

/// Stores the value, or finds that it was replaced.
async fn store(channel: &Arc<Channel>, value: Bytes, sequence: u64) -> Result<(), String> {
    let is_conflated = channel.kind == Kind::Conflated;
    let id = format!("{}.back.{sequence}", channel.name);
    // Since when an attempt has had no answer, or the stream has had another message.
    let (mut doubtful, mut occupied): (Option<Instant>, Option<Instant>) = (None, None);
    loop {
        if doubtful.is_some_and(|since| channel.engine.now() - since >= REPEATED_AT_MOST) {
            return Err("no answer".into());
        }
        if is_conflated && doubtful.is_none() {
            match channel.engine.has_newer(&channel.names, &channel.name, sequence).await {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(error) => {
                    tracing::debug!(channel = channel.name, error, "no answer");
                    timer::sleep(RETRY_PAUSE).await;
                    continue;
                }
            }
        }
        let mut headers = HeaderMap::new();
        headers.insert(NATS_MESSAGE_ID, &*id);
        if is_conflated {
            headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, "0");
        }
        let data = &channel.names.data;
        let request = channel.engine.request(data, Some(headers), value.clone());
        let answer = at_most(ANSWER_TIMEOUT, request).await.map_or(Answer::Lost, Answer::of_stream);
        match answer {
            Answer::Accepted { .. } => return Ok(()),
            Answer::Closed if is_conflated && doubtful.is_none() => {
                let since = *occupied.get_or_insert_with(|| channel.engine.now());
                if channel.engine.now() - since >= REPEATED_AT_MOST {
                    return Err("the stream is sealed, or does not remove the old message".into());
                }
                timer::sleep(RETRY_PAUSE).await;
            }
            // Perhaps the value itself, stored by an attempt that had no answer.
            Answer::Closed if is_conflated => return Ok(()),
            Answer::Closed => return Err("the stream is sealed".into()),
            Answer::Refused(cause) => return Err(cause.to_string()),
            Answer::Full => {
                channel.listen().await;
                at_most(SLOW_RETRY, channel.notes.recv()).await;
            }
            Answer::Lost => {
                doubtful.get_or_insert_with(|| channel.engine.now());
                timer::sleep(RETRY_PAUSE).await;
            }
            Answer::Unavailable | Answer::Raced => timer::sleep(RETRY_PAUSE).await,
        }
    }
}
