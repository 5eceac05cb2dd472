// SPDX-License-Identifier: BSD-3-Clause
//! A stream of the host that the plugin serves: both of its directions.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use becket_chan::timer::sleep;
use becket_host::{NrStatus, SendError, Stream, StreamError, StreamSender};
use becket_ipc::session::Locked;
use becket_wire::{Refused, StreamId};
use bytes::Bytes;

use super::refuse;
use crate::protocol::{encode_answer, notice};

type Sending = Pin<Box<dyn Future<Output = Result<(), SendError>> + Send>>;

/// How long a plugin that cannot say when it takes more is left alone.
const ASK_AGAIN: Duration = Duration::from_millis(10);

/// Data to the plugin, however often it does not take it: a plugin without `attach` cannot say when it does,
/// and is asked again.
async fn send(sender: StreamSender, data: Bytes) -> Result<(), SendError> {
    loop {
        match sender.send(&data).await {
            Err(SendError::Backpressure) => sleep(ASK_AGAIN).await,
            sent => return sent,
        }
    }
}

/// A stream that `handle` has accepted.
pub(super) struct Open {
    stream: Stream,
    /// A frame that the session has not taken.
    held: Option<Bytes>,
    /// The held frame is the last one.
    is_ending: bool,
    /// Data that the plugin has not taken.
    data: VecDeque<Bytes>,
    sending: Option<(usize, Sending)>,
    /// The host sends no more.
    pub(super) is_closed: bool,
}

impl Open {
    pub(super) fn new(stream: Stream, is_closed: bool) -> Self {
        let data = VecDeque::new();
        Self { stream, held: None, is_ending: false, data, sending: None, is_closed }
    }

    /// Both directions, as far as they go. True: the stream is over.
    pub(super) fn serve(
        &mut self,
        locked: &mut Locked<'_>,
        id: StreamId,
        context: &mut Context<'_>,
    ) -> bool {
        self.pass_data_on(locked, id, context);
        loop {
            if let Some(frame) = self.held.take() {
                match locked.session.send(id, 0, frame.clone()) {
                    Ok(_) if self.is_ending => {
                        let _ = locked.session.end(id, 0, Bytes::new());
                        return true;
                    }
                    Ok(_) => {}
                    Err(Refused::NoCredit) => {
                        self.held = Some(frame);
                        return false;
                    }
                    Err(Refused::Full) => {
                        self.held = Some(frame);
                        locked.wait_for_room(id);
                        return false;
                    }
                    Err(Refused::TooLong) if !self.is_ending => {
                        self.end_with(NrStatus::TooLong, &[]);
                    }
                    Err(_) => return true,
                }
                continue;
            }
            match self.stream.poll_next(context) {
                Poll::Pending => return false,
                Poll::Ready(Ok(Some(frame))) => {
                    self.is_ending = frame.status != NrStatus::Ok;
                    self.held = Some(encode_answer(frame.status, &frame.body));
                }
                Poll::Ready(Ok(None)) => self.end_with(NrStatus::StreamEnd, &[]),
                Poll::Ready(Err(StreamError::Failed { status, body })) => {
                    self.end_with(status, &body)
                }
                Poll::Ready(Err(StreamError::DeadlineExceeded | StreamError::Idle)) => {
                    refuse(locked, id, NrStatus::Timeout);
                    return true;
                }
                Poll::Ready(Err(_)) => self.end_with(NrStatus::Closed, &[]),
            }
        }
    }

    fn end_with(&mut self, status: NrStatus, body: &[u8]) {
        self.is_ending = true;
        self.held = Some(encode_answer(status, body));
    }

    /// Data of the host, for the plugin.
    pub(super) fn put(&mut self, data: Bytes) {
        self.data.push_back(data);
    }

    /// Data of the host to the plugin. Its credit is given back when the plugin has it.
    fn pass_data_on(&mut self, locked: &mut Locked<'_>, id: StreamId, context: &mut Context<'_>) {
        loop {
            if let Some((bytes, sending)) = &mut self.sending {
                let Poll::Ready(sent) = sending.as_mut().poll(context) else { return };
                if let Err(SendError::Refused { status }) = sent {
                    let status = Bytes::copy_from_slice(&status.0.to_le_bytes());
                    let _ = locked.session.notice(notice::DATA_REFUSED, id.number().into(), status);
                }
                // Refused: the stream has ended, or ends.
                let _ = locked.session.grant(id, 1, *bytes as u64);
                self.sending = None;
            }
            let Some(data) = self.data.pop_front() else { break };
            let sender = self.stream.sender();
            let bytes = data.len();
            self.sending = Some((bytes, Box::pin(send(sender, data))));
        }
        if std::mem::take(&mut self.is_closed) {
            // The plugin may take no close; its frames may follow.
            let _ = self.stream.close();
        }
    }
}
