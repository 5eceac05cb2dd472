// SPDX-License-Identifier: BSD-3-Clause
//! The reconnect task of a channel, which opens it on each new connection.

use std::future::Future;
use std::sync::Arc;

use becket_chan::{Kind, Token, timer};
use futures_lite::future::or;

use super::driver::Inner;
use crate::client::Client;
use crate::connection::Ended;
use crate::error::OpenError;
use crate::task;

/// How a channel is reopened.
pub(super) struct Place {
    pub(super) inner: Arc<Inner>,
    pub(super) name: Arc<str>,
    pub(super) make: Option<(Kind, usize)>,
    /// Its handle was dropped.
    pub(super) stop: Token,
}

/// A handle's behaviour on each connection.
pub(super) trait Keeper: Send + Sync + 'static {
    type Opened: Send;

    fn open(
        &self,
        client: &Client,
        name: &str,
    ) -> impl Future<Output = Result<Self::Opened, OpenError>> + Send;

    /// Serves until the stream has ended; `lost` is cancelled when its connection has.
    fn serve(&self, opened: Self::Opened, lost: &Token) -> impl Future<Output = ()> + Send;

    /// The channel will not be opened again.
    fn never(&self, ended: Ended);
}

impl Place {
    pub(super) fn keep<K: Keeper>(self, keeper: Arc<K>) {
        task::spawn(async move {
            let stopped = async {
                self.stop.cancelled().await;
                Ended::Here
            };
            let ended = or(stopped, self.open_for_ever(&*keeper)).await;
            keeper.never(ended);
        });
    }

    /// Reopens repeatedly until it gives up.
    async fn open_for_ever<K: Keeper>(&self, keeper: &K) -> Ended {
        let mut delays = self.inner.backoff.delays();
        loop {
            let is_live = |client: &Client| client.ended().is_none();
            let (client, lost) = match self.inner.client.there(is_live).await {
                Ok(client) => client,
                Err(ended) => return ended,
            };
            let why = match self.open(&client, keeper).await {
                Ok(opened) => {
                    delays.reset();
                    keeper.serve(opened, &lost).await;
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

    async fn open<K: Keeper>(&self, client: &Client, keeper: &K) -> Result<K::Opened, OpenError> {
        if let Some((kind, capacity)) = self.make {
            client.make_or_open(&self.name, kind, capacity, true).await?;
        }
        keeper.open(client, &self.name).await
    }
}
