// SPDX-License-Identifier: BSD-3-Clause
//! Answers of calls, on their way to the host.

use becket_host::{CallError, Response};
use becket_ipc::session::Locked;
use becket_wire::{Credit, Priority, Refused, StreamId};
use bytes::Bytes;

use super::{Served, To, Worker};
use crate::protocol::{self, reply, service};

impl Worker {
    pub(super) fn answer_with(
        &mut self,
        locked: &mut Locked<'_>,
        to: To,
        result: &Result<Response, CallError>,
    ) {
        let error = match result {
            Ok(Response { status, body }) => {
                return self.answer(locked, to, reply::DONE, [&status.0.to_le_bytes(), body]);
            }
            Err(error) => error,
        };
        let text;
        let (status, body) = match error {
            CallError::Refused { status } => (reply::REFUSED, &status.0.to_le_bytes()[..]),
            CallError::DeadlineExceeded => (reply::DEADLINE, &[][..]),
            CallError::UnknownEntry(_) => (reply::UNKNOWN_ENTRY, &[][..]),
            CallError::Quota { .. } | CallError::Quarantined => (reply::TOO_MUCH, &[][..]),
            error => {
                text = error.to_string();
                (reply::FAILED, text.as_bytes())
            }
        };
        self.answer(locked, to, status, [body, &[]]);
    }

    /// Sends the answer of a call, in two parts; a long one in a stream.
    pub(super) fn answer(
        &mut self,
        locked: &mut Locked<'_>,
        to: To,
        status: u16,
        parts: [&[u8]; 2],
    ) {
        match to {
            To::Request(request) => {
                if locked.session.reply_parts(request, status, parts) != Err(Refused::TooLong) {
                    return;
                }
                let body = locked.session.join(parts);
                if !self.answer_long(locked, request, body) {
                    let _ = locked.session.reply(request, reply::TOO_MUCH, Bytes::new());
                }
            }
            To::Stream(stream) => {
                self.streams.remove(&stream.number());
                let body = locked.session.join(parts);
                if status == reply::DONE {
                    return self.send_answer(locked, stream, body);
                }
                let code = protocol::REFUSED.saturating_add(status);
                let _ = locked.session.reset(stream, code, body);
            }
        }
    }

    /// Sends an answer on a stream, now or when there is room.
    pub(super) fn send_answer(&mut self, locked: &mut Locked<'_>, stream: StreamId, body: Bytes) {
        match locked.session.send(stream, 0, body.clone()) {
            Ok(_) => _ = locked.session.end(stream, 0, Bytes::new()),
            Err(Refused::Full) => {
                self.streams.insert(stream.number(), Served::LongAnswer(body));
                locked.wait_for_room(stream);
            }
            Err(_) => {
                let code = protocol::REFUSED.saturating_add(reply::TOO_MUCH);
                let _ = locked.session.reset(stream, code, Bytes::new());
            }
        }
    }

    pub(super) fn answer_long(
        &mut self,
        locked: &mut Locked<'_>,
        request: u64,
        body: Bytes,
    ) -> bool {
        let name = Bytes::copy_from_slice(&request.to_le_bytes());
        let opened =
            locked.session.open(service::LONG_ANSWER, Priority::Normal, Credit::default(), name);
        let Ok(stream) = opened else { return false };
        self.streams.insert(stream.number(), Served::LongAnswer(body));
        locked.session.reply(request, reply::IN_STREAM, Bytes::new()).is_ok()
    }

    /// The host has accepted a stream of this side.
    pub(super) fn accepted(&mut self, locked: &mut Locked<'_>, stream: StreamId) {
        if let Some(Served::LongAnswer(body)) = self.streams.remove(&stream.number()) {
            self.send_answer(locked, stream, body);
        }
    }
}
