// SPDX-License-Identifier: BSD-3-Clause
//! Faulty channels, each wrong in one behaviour, which the rules must find. What is wrong is what a channel sends, or
//! what it reads: the mutant sits between its rules and the network.

use async_nats::header::NATS_MESSAGE_ID;
use async_nats::{HeaderMap, Message, StatusCode};

use super::network::Frame;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mutant {
    /// A send has another id each time that it is repeated.
    ForgetsTheId,
    /// A server without a leader is taken as a closed channel.
    NoRespondersIsClosed,
    /// A full stream is taken as one that has accepted.
    FullIsAccepted,
    /// No note of room.
    ForgetsTheRoomNote,
    /// Senders do not look at the gate.
    ForgetsTheGate,
    /// A message that is put down is acknowledged.
    AcknowledgesInsteadOfRequeueing,
    /// An acknowledgement is no request of removal.
    RequeuesInsteadOfAcknowledging,
    /// The end of a request is not noticed.
    IgnoresTheEndOfARequest,
    /// A rendezvous takes an offer that it refuses.
    TakesRefusedOffers,
    /// A channel that is closed is taken as one that is full.
    ClosedIsFull,
    /// The value of a receive that was dropped with its receiver is not handed back.
    ForgetsTheHandBack,
}

impl Mutant {
    pub(super) const ALL: [Self; 11] = [
        Self::ForgetsTheId,
        Self::NoRespondersIsClosed,
        Self::FullIsAccepted,
        Self::ForgetsTheRoomNote,
        Self::ForgetsTheGate,
        Self::AcknowledgesInsteadOfRequeueing,
        Self::RequeuesInsteadOfAcknowledging,
        Self::IgnoresTheEndOfARequest,
        Self::TakesRefusedOffers,
        Self::ClosedIsFull,
        Self::ForgetsTheHandBack,
    ];

    /// Changes what a client sends. False: it is not sent.
    pub(super) fn sends(self, frame: &mut Frame) -> bool {
        let Frame::Publish { subject, headers, payload, .. } = frame else { return true };
        match self {
            Self::ForgetsTheId => *headers = headers.take().map(|it| without(it, &[ID])),
            Self::ForgetsTheGate if subject.contains(".d.") => {
                *headers = headers.take().map(|it| without(it, &GATE));
            }
            Self::ForgetsTheHandBack => {
                let id = headers.as_ref().and_then(|it| it.get(NATS_MESSAGE_ID));
                return id.is_none_or(|id| !id.as_str().contains(".back."));
            }
            Self::ForgetsTheRoomNote if subject.contains(".room.") => return false,
            Self::AcknowledgesInsteadOfRequeueing if payload == "-NAK" => *payload = "+ACK".into(),
            Self::RequeuesInsteadOfAcknowledging if payload == "+ACK" => *payload = "-NAK".into(),
            Self::TakesRefusedOffers if payload == "nack" => *payload = "took".into(),
            _ => {}
        }
        true
    }

    /// Changes what a client reads. False: it is not read.
    pub(super) fn receives(self, message: &mut Message) -> bool {
        let answer = String::from_utf8_lossy(&message.payload).into_owned();
        match self {
            Self::NoRespondersIsClosed if message.status == Some(StatusCode::NO_RESPONDERS) => {
                message.status = None;
                message.payload = ERROR_CLOSED.into();
            }
            Self::FullIsAccepted if answer.contains(":10077") => {
                message.payload = r#"{"stream":"S","seq":1}"#.into();
            }
            Self::ClosedIsFull if answer.contains(":10071") => {
                message.payload = answer.replace("10071", "10077").into();
            }
            Self::IgnoresTheEndOfARequest => {
                return message.status != Some(StatusCode::TIMEOUT);
            }
            _ => {}
        }
        true
    }
}

const ID: &str = "Nats-Msg-Id";
const GATE: [&str; 2] =
    ["Nats-Expected-Last-Subject-Sequence", "Nats-Expected-Last-Subject-Sequence-Subject"];
const ERROR_CLOSED: &str = r#"{"error":{"code":400,"err_code":10071,"description":"closed"}}"#;

fn without(headers: HeaderMap, names: &[&str]) -> HeaderMap {
    debug_assert_eq!(NATS_MESSAGE_ID.as_ref() as &[u8], ID.as_bytes());
    let mut kept = HeaderMap::new();
    for (name, values) in headers.iter() {
        if !names.contains(&name.to_string().as_str()) {
            values.iter().for_each(|value| kept.append(name.clone(), value.clone()));
        }
    }
    kept
}
