// SPDX-License-Identifier: BSD-3-Clause
//! What a worker was passed, and what it is passed next.

use std::collections::VecDeque;

use becket_host::{NrStatus, RemoteCall};
use becket_wire::StreamId;
use bytes::Bytes;

use crate::protocol::{Encoded, encode_call};

/// A call that is kept on its way to a worker.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    pub(crate) sid: u64,
    pub(crate) is_stream: bool,
    /// Its caller sends no data.
    pub(crate) is_closed: bool,
    pub(crate) encoded: Encoded,
}

impl From<RemoteCall<'_>> for Message {
    fn from(call: RemoteCall<'_>) -> Self {
        let RemoteCall { sid, entry, is_stream, remaining_ms, metadata, payload } = call;
        Self {
            sid,
            is_stream,
            is_closed: false,
            encoded: encode_call(entry, remaining_ms, metadata, payload),
        }
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Passed {
    Request(u64),
    Stream(StreamId),
}

/// A stream to the worker.
pub(super) struct Outgoing {
    pub(super) sid: u64,
    pub(super) kind: Kind,
    /// The payload, until the worker has accepted it.
    pub(super) first: Option<Bytes>,
    /// The worker has accepted the stream, perhaps for its payload alone.
    pub(super) is_accepted: bool,
    /// `handle` has returned there.
    pub(super) is_opened: bool,
    /// Its payload was sent: the next credit says that it is open.
    pub(super) awaits_credit: bool,
    /// Frames that the host has not taken.
    pub(super) held: VecDeque<Bytes>,
    /// No more data: passed on when the worker has accepted.
    pub(super) is_closed: bool,
    /// The caller's data was refused: it is notified when there is room.
    pub(super) is_starved: bool,
    /// The plugin has refused data that had been passed on: the next sender gets its status.
    pub(super) refused: Option<NrStatus>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Stream,
    LongCall,
    LongAnswer,
    LongNotification,
    LongImport,
}

impl Kind {
    /// Nothing follows the payload.
    pub(super) fn ends_with_payload(self) -> bool {
        matches!(self, Self::LongCall | Self::LongNotification | Self::LongImport)
    }
}

impl Outgoing {
    pub(super) fn new(sid: u64, kind: Kind, first: Option<Bytes>) -> Self {
        Self {
            sid,
            kind,
            first,
            is_accepted: false,
            is_opened: false,
            awaits_credit: false,
            held: VecDeque::new(),
            is_closed: false,
            is_starved: false,
            refused: None,
        }
    }
}
