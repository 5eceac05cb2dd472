// SPDX-License-Identifier: BSD-3-Clause
//! A stream at the node's side: both directions, and their windows.

use std::collections::VecDeque;
use std::future::pending;
use std::time::Duration;

use async_nats::{Client, Subject};
use becket_chan::timer::sleep;
use becket_host::{
    CallError, Entry, Frame, NrStatus, SendError, Stream, StreamError, StreamSender,
};
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::frames::{Message, Receiving, encode_frame};
use super::headers::{Asked, Outcome, Window};

/// How long a plugin that cannot say when it takes more is left alone.
const ASK_AGAIN: Duration = Duration::from_millis(10);

/// See the module's documentation.
pub(super) struct Served {
    client: Client,
    /// Where the host receives.
    reply: Subject,
    /// Where this side receives.
    to: Subject,
    state: Mutex<State>,
    /// The window has grown.
    credited: Notify,
    /// Data, or the close, is there.
    came: Notify,
}

struct State {
    /// When something of the host was last received.
    heard: Instant,
    /// The host knows where to send.
    is_opened: bool,
    sent: u64,
    sent_bytes: u64,
    window: Window,
    receiving: Receiving,
    /// Data that the plugin has not taken.
    data: VecDeque<Bytes>,
    is_closed: bool,
}

impl Served {
    pub(super) fn new(client: Client, reply: Subject, to: Subject, window: Window) -> Self {
        let state = State {
            heard: Instant::now(),
            is_opened: false,
            sent: 0,
            sent_bytes: 0,
            window,
            receiving: Receiving::default(),
            data: VecDeque::new(),
            is_closed: false,
        };
        let (credited, came) = (Notify::new(), Notify::new());
        Self { client, reply, to, state: Mutex::new(state), credited, came }
    }

    pub(super) async fn send(&self, message: &Message) {
        self.publish(message.encode()).await;
    }

    /// True: the client has it.
    async fn publish(&self, bytes: Bytes) -> bool {
        self.client.publish(self.reply.clone(), bytes).await.is_ok()
    }

    /// The whole stream, until its last message is sent.
    pub(super) async fn serve(&self, entry: &Entry, asked: Asked) {
        // The host keeps the limit of a stream that is idle: it has what the caller asked for.
        let opening = entry.stream(asked.request).idle(Duration::ZERO);
        let opened = match asked.timeout {
            Some(timeout) => opening.timeout(timeout).await,
            None => opening.await,
        };
        let mut stream = match opened {
            Ok(stream) => stream,
            Err(error) => return self.send(&Message::Ended(not_opened(&error))).await,
        };
        let window = {
            let mut state = self.state.lock();
            state.is_opened = true;
            state.heard = Instant::now();
            state.receiving.first_window()
        };
        self.send(&Message::Opened { to: self.to.clone(), window }).await;
        let sender = stream.sender();
        let passing_on = async {
            self.pass_on(&sender).await;
            pending().await
        };
        let sending = self.send_frames(&mut stream);
        futures_lite::future::or(sending, passing_on).await;
    }

    /// What the plugin sends, to the host.
    async fn send_frames(&self, stream: &mut Stream) {
        loop {
            let (status, body) = match stream.next().await {
                Ok(Some(Frame { status, body })) => (status, Bytes::from(body)),
                Ok(None) => (NrStatus::StreamEnd, Bytes::new()),
                Err(StreamError::Failed { status, body }) => (status, Bytes::from(body)),
                Err(error) => return self.send(&Message::Ended(ended(&error))).await,
            };
            let is_last = status != NrStatus::Ok;
            let sequence = loop {
                if let Some(sequence) = self.next_sequence(is_last) {
                    break sequence;
                }
                self.credited.notified().await;
            };
            if !self.publish(encode_frame(status, sequence, &body)).await {
                // Longer than a message may be: no frame is left out in silence.
                self.publish(encode_frame(NrStatus::TooLong, sequence, &[])).await;
                return;
            }
            if is_last {
                return;
            }
            self.sent(body.len());
        }
    }

    /// The number of the next frame, if it may be sent: the last one always gets through.
    fn next_sequence(&self, is_last: bool) -> Option<u64> {
        let state = self.state.lock();
        let has_room = is_last || state.window.has_room_after(state.sent, state.sent_bytes);
        has_room.then_some(state.sent)
    }

    fn sent(&self, bytes: usize) {
        let mut state = self.state.lock();
        state.sent += 1;
        state.sent_bytes += bytes as u64;
    }

    /// What the host sends, to the plugin.
    async fn pass_on(&self, sender: &StreamSender) {
        loop {
            let (data, is_closed) = {
                let mut state = self.state.lock();
                (state.data.pop_front(), state.is_closed)
            };
            let Some(data) = data else {
                if is_closed {
                    // The plugin may take no close; its frames may follow.
                    let _ = sender.close();
                    return;
                }
                self.came.notified().await;
                continue;
            };
            match offer(sender, &data).await {
                Err(SendError::Refused { status }) => {
                    self.send(&Message::DataRefused(status)).await;
                }
                // The stream has ended, or ends.
                Err(_) => return,
                Ok(()) => {}
            }
            let credit = self.state.lock().receiving.took(data.len());
            if let Some(window) = credit {
                self.send(&Message::Credit(window)).await;
            }
        }
    }

    /// A message of the host. An error ends the stream.
    pub(super) fn received(&self, message: Message) -> Result<(), Option<Outcome>> {
        let mut state = self.state.lock();
        state.heard = Instant::now();
        let lost = Err(Some(Outcome::Lost));
        match message {
            Message::Frame { sequence, body, .. } => {
                if state.is_closed || !state.receiving.expects(sequence, false) {
                    return lost;
                }
                state.data.push_back(body);
                self.came.notify_one();
            }
            Message::Closed { sequence } => {
                if state.receiving.received != sequence {
                    return lost;
                }
                state.is_closed = true;
                self.came.notify_one();
            }
            Message::Credit(window) => {
                state.window.extend(window);
                self.credited.notify_one();
            }
            Message::Cancel => return Err(None),
            // These are for hosts.
            Message::Opened { .. } | Message::Ended(_) | Message::DataRefused(_) => {}
        }
        Ok(())
    }

    /// The host has this stream, has sent so many frames, and takes so many.
    pub(super) fn noted(&self, sent: u64, window: Window) -> Result<(), Option<Outcome>> {
        let mut state = self.state.lock();
        state.heard = Instant::now();
        if state.receiving.received < sent {
            return Err(Some(Outcome::Lost));
        }
        state.window.extend(window);
        self.credited.notify_one();
        Ok(())
    }

    /// How long nothing was heard of the host, which sends notes when the stream is open.
    pub(super) fn silence(&self, now: Instant, was_late: bool) -> Option<Duration> {
        let mut state = self.state.lock();
        if was_late {
            state.heard = now;
        }
        state.is_opened.then(|| now.saturating_duration_since(state.heard))
    }

    /// Frames sent, and the window of those that may come.
    pub(super) fn note(&self) -> (u64, Window) {
        let state = self.state.lock();
        (state.sent, state.receiving.window())
    }
}

/// Data to the plugin, however often it does not take it: a plugin without `attach` cannot say when it does, and is
/// asked again.
async fn offer(sender: &StreamSender, data: &[u8]) -> Result<(), SendError> {
    loop {
        match sender.send(data).await {
            Err(SendError::Backpressure) => sleep(ASK_AGAIN).await,
            sent => return sent,
        }
    }
}

fn not_opened(error: &CallError) -> Outcome {
    match Outcome::from(error) {
        Outcome::UnknownEntry => Outcome::Refused(NrStatus::Unsupported),
        other => other,
    }
}

fn ended(error: &StreamError) -> Outcome {
    match error {
        StreamError::DeadlineExceeded | StreamError::Idle => Outcome::Late,
        StreamError::PluginFailed => Outcome::Failed,
        StreamError::Failed { status, .. } => Outcome::Refused(*status),
        _ => Outcome::Crashed,
    }
}
