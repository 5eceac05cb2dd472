// SPDX-License-Identifier: BSD-3-Clause
//! The reconnect task of a channel, which opens it on each new connection.

use std::future::Future;
use std::sync::Arc;

use becket_chan::{Kind, Token, timer};
use futures_lite::future::or;

use super::driver::ReconnectState;
use crate::client::Client;
use crate::connection::Ended;
use crate::error::OpenError;
use crate::task;

/// How a channel is reopened.
pub(super) struct ReopenSpec {
    pub(super) inner: Arc<ReconnectState>,
    pub(super) name: Arc<str>,
    pub(super) make: Option<(Kind, usize)>,
    /// Its handle was dropped.
    pub(super) stop: Token,
}

/// A handle's behaviour on each connection.
pub(super) trait Reopen: Send + Sync + 'static {
    type Opened: Send;

    fn open(
        &self,
        client: &Client,
        name: &str,
    ) -> impl Future<Output = Result<Self::Opened, OpenError>> + Send;

    /// Serves until the connection has ended, which cancels `lost`; or until the stream has ended,
    /// if the channel is to be opened again on the same connection.
    fn serve(&self, opened: Self::Opened, lost: &Token) -> impl Future<Output = ()> + Send;

    /// The channel will not be opened again.
    fn never(&self, ended: Ended) -> impl Future<Output = ()> + Send;
}

impl ReopenSpec {
    pub(super) fn spawn<K: Reopen>(self, handle: Arc<K>) {
        task::spawn(async move {
            let stopped = async {
                self.stop.cancelled().await;
                Ended::Here
            };
            let ended = or(stopped, self.open_repeatedly(&*handle)).await;
            handle.never(ended).await;
        });
    }

    /// Reopens repeatedly until it gives up.
    async fn open_repeatedly<K: Reopen>(&self, handle: &K) -> Ended {
        let mut delays = self.inner.backoff.delays();
        loop {
            let is_live = |client: &Client| client.ended().is_none();
            let (client, lost) = match self.inner.client.available(is_live).await {
                Ok(client) => client,
                Err(ended) => return ended,
            };
            let why = match self.open(&client, handle).await {
                Ok(opened) => {
                    delays.reset();
                    handle.serve(opened, &lost).await;
                    "the server ended the stream".into()
                }
                Err(error) => error.to_string(),
            };
            if client.ended().is_some() {
                continue;
            }
            tracing::debug!(channel = %self.name, why, "not open");
            let Some(delay) = delays.next() else {
                return Ended::GaveUp { attempts: delays.failures(), why: why.into() };
            };
            let over = async {
                lost.cancelled().await;
            };
            or(over, timer::sleep(delay)).await;
        }
    }

    async fn open<K: Reopen>(&self, client: &Client, handle: &K) -> Result<K::Opened, OpenError> {
        if let Some((kind, capacity)) = self.make {
            client.make_or_open(&self.name, kind, capacity, true).await?;
        }
        handle.open(client, &self.name).await
    }
}
