// SPDX-License-Identifier: BSD-3-Clause
//! What a program that offers and calls plugins is to know: that there is a connection, and that a node has begun
//! to offer a plugin.
//!
//! A node publishes on `becket.offered.PLUGIN` when it has begun, and again after each connection: a host that receives it may
//! load the plugin's list of entries anew.

use async_nats::Subscriber;
use bytes::Bytes;
use futures_lite::StreamExt as _;
use tokio::sync::watch;

use super::names;
use crate::connection::{Connection, Link};
use crate::error::OpenError;

/// Something that a [`Changes`] reports.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// The connection was made; also the first time. What was said before may have been missed.
    Connected,
    /// A node has begun to offer the plugin of this name, or was connected again.
    Offered(String),
}

/// The changes of a cluster, from [`Connection::changes`].
#[derive(Debug)]
pub struct Changes {
    // Keeps the connection.
    _connection: Connection,
    connects: watch::Receiver<u64>,
    seen: u64,
    offered: Subscriber,
}

impl Connection {
    /// Begins to listen for changes. If there is a connection already, the first is [`Change::Connected`].
    ///
    /// # Errors
    ///
    /// [`OpenError::Thread`]: the connection's thread has ended.
    pub async fn changes(&self) -> Result<Changes, OpenError> {
        let offered = self.link().client().subscribe(names::ANY_OFFERED).await;
        let offered = offered.map_err(|error| OpenError::Thread(error.to_string()))?;
        let connects = self.link().connects();
        Ok(Changes { _connection: self.clone(), connects, seen: 0, offered })
    }

    /// Whether there is a connection in this moment.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.link().client().connection_state() == async_nats::connection::State::Connected
    }
}

impl Changes {
    /// The next one. Dropped, it has taken none. `None`: the connection's thread has ended.
    pub async fn next(&mut self) -> Option<Change> {
        let Self { connects, seen, offered, .. } = self;
        let connected = async {
            let count = *connects.wait_for(|count| *count > *seen).await.ok()?;
            *seen = count;
            Some(Change::Connected)
        };
        let offered = async {
            loop {
                let message = offered.next().await?;
                let (_, token) = names::inbox_of(&message.subject)?;
                if let Some(name) = names::name_of(token) {
                    return Some(Change::Offered(name));
                }
            }
        };
        futures_lite::future::or(connected, offered).await
    }
}

/// Announces a plugin after each connection, for as long as it is offered.
pub(super) async fn announce(link: std::sync::Weak<Link>, subject: String) {
    let Some(mut connects) = link.upgrade().map(|link| link.connects()) else { return };
    loop {
        connects.mark_unchanged();
        // Without the link nothing is offered any more.
        let Some(client) = link.upgrade().map(|link| link.client().clone()) else { return };
        if client.publish(subject.clone(), Bytes::new()).await.is_err() {
            return;
        }
        drop(client);
        if connects.changed().await.is_err() {
            return;
        }
    }
}
