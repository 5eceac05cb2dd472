// SPDX-License-Identifier: BSD-3-Clause
//! The task that connects repeatedly.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use becket_chan::{Receiver, Sender, Token, conflated, timer};
use futures_lite::future::or;

use super::availability::{Availability, AvailabilityCell};
use super::backoff::Backoff;
use crate::client::{Client, Options};
use crate::connection::Ended;
use crate::task;

/// A change of the connection. See [`Reconnecting::events`](super::Reconnecting::events).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event {
    /// A connection was established, the first or a further one.
    Restored {
        /// The number of connections so far, including this one.
        connections: u64,
    },
    /// The connection has ended. The client reconnects.
    Lost {
        /// How it ended.
        ended: Ended,
        /// The number of connections so far.
        connections: u64,
    },
    /// The client does not reconnect any more.
    GaveUp {
        /// The reason.
        ended: Ended,
    },
}

pub(super) struct ReconnectState {
    pub(super) path: PathBuf,
    options: Options,
    pub(super) backoff: Backoff,
    pub(super) client: AvailabilityCell<Client>,
    /// Cancelled when the connection is no longer needed.
    pub(super) stop: Token,
    pub(super) news: Receiver<Event>,
}

impl ReconnectState {
    pub(super) fn start(path: &Path, options: Options, backoff: Backoff) -> Arc<Self> {
        let (events, news) = conflated();
        let (client, stop) = (AvailabilityCell::default(), Token::new());
        let inner = Arc::new(Self { path: path.to_owned(), options, backoff, client, stop, news });
        let driven = inner.clone();
        task::spawn(async move {
            let stopped = async {
                driven.stop.cancelled().await;
                Ended::Here
            };
            let ended = or(stopped, driven.connect_repeatedly(&events)).await;
            // Conflated: there is always room.
            let _sent = events.try_send(Event::GaveUp { ended: ended.clone() });
            if let (Availability::Available(client), _) = driven.client.get() {
                client.close();
            }
            driven.client.set(Availability::Never(ended));
        });
        inner
    }

    /// Connects repeatedly until it gives up.
    async fn connect_repeatedly(&self, events: &Sender<Event>) -> Ended {
        let mut delays = self.backoff.delays();
        let mut connections = 0;
        loop {
            let why = match Client::connect_with(&self.path, self.options.clone()).await {
                Ok(client) => {
                    delays.reset();
                    connections += 1;
                    let _sent = events.try_send(Event::Restored { connections });
                    self.client.set(Availability::Available(client.clone()));
                    let ended = client.until_ended().await;
                    let why = ended.to_string();
                    let _sent = events.try_send(Event::Lost { ended, connections });
                    self.client.set(Availability::Unavailable);
                    why
                }
                Err(error) => error.to_string(),
            };
            tracing::debug!(path = %self.path.display(), why, "no connection");
            let Some(delay) = delays.next() else {
                return Ended::GaveUp { attempts: delays.failures(), why: why.into() };
            };
            timer::sleep(delay).await;
        }
    }
}
