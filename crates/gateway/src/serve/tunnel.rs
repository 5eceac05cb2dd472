// SPDX-License-Identifier: BSD-3-Clause
//! A WebSocket that is passed on to another server.
//!
//! The handshake is the server's: its answer is the client's, and nothing of the frames behind it is parsed here.
//!
//! ```text
//!   client ──▶ pass ──▶ server     a side that does not read holds the other one back
//!   client ◀── pass ◀── server     an end of one side is passed on, and the other direction goes on
//! ```
//!
//! # Invariants
//!
//! 1. In each direction at most [`PIECE_BYTES`] wait here.
//! 2. It ends when both sides have ended, when one breaks off, when nothing has moved in either direction for the idle
//!    time, or when the connections of the listener are cut. Both sockets are closed then.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use http::header::{CONNECTION, UPGRADE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Response};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split};
use tokio::time::{Instant, interval_at};

use super::asks::has_item;
use super::ws;
use crate::connections::Phase;
use crate::otlp::Child;
use crate::problem::Problem;
use crate::shared::Shared;
use crate::stats::{Open, Refusal};

/// What is read of one side before the other one takes it.
const PIECE_BYTES: usize = 8 << 10;

/// The client's side of a handshake that is on its way to a server.
pub(super) struct Asked(OnUpgrade);

impl Asked {
    /// Takes the client's side from its request.
    ///
    /// # Errors
    /// It is no handshake of a WebSocket.
    pub(super) fn take(shared: &Shared, head: &mut Parts) -> Result<Self, Problem> {
        ws::handshake(head).inspect_err(|_| shared.stats.refuse(Refusal::Upgrade))?;
        Ok(Self(ws::upgrade_of(head)))
    }

    /// Whether the server's answer accepts the handshake.
    pub(super) fn is_accepted_by(response: &Response<Incoming>) -> bool {
        response.headers().get_all(UPGRADE).iter().any(|value| has_item(value, "websocket"))
    }

    /// Passes bytes both ways from now on, in a task.
    pub(super) fn begin(
        self,
        shared: &Arc<Shared>,
        response: Response<Incoming>,
        idle_max: Duration,
        span: Option<Child>,
    ) {
        shared.stats.websockets.add(1);
        let open = Open::new(&shared.stats, |stats| &stats.websockets_open);
        let connections = Arc::clone(&shared.connections);
        let talk = talk(self.0, hyper::upgrade::on(response), idle_max);
        tokio::spawn(async move {
            let _until_its_end = (open, span);
            tokio::select! {
                () = talk => {}
                () = connections.reached(Phase::Cut) => {}
            }
        });
    }
}

/// Asks for a WebSocket, or says that there is one, on one hop.
pub(super) fn upgrades(headers: &mut HeaderMap) {
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
}

async fn talk(client: OnUpgrade, server: OnUpgrade, idle_max: Duration) {
    // An error means that a side has left before its part of the handshake was over.
    let Ok((client, server)) = tokio::try_join!(client, server) else { return };
    let (mut from_client, mut to_client) = split(TokioIo::new(client));
    let (mut from_server, mut to_server) = split(TokioIo::new(server));
    let has_moved = AtomicBool::new(false);
    let both = async {
        tokio::try_join!(
            pass(&mut from_client, &mut to_server, &has_moved),
            pass(&mut from_server, &mut to_client, &has_moved),
        )
    };
    tokio::select! {
        _ = both => {}
        () = idle(&has_moved, idle_max) => {}
    }
}

/// Passes one direction on, and its end.
async fn pass(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    has_moved: &AtomicBool,
) -> io::Result<()> {
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let read = from.read(&mut piece).await?;
        has_moved.store(true, Relaxed);
        let piece = piece.get(..read).unwrap_or_default();
        if piece.is_empty() {
            return to.shutdown().await;
        }
        to.write_all(piece).await?;
        // TLS may keep a part of it.
        to.flush().await?;
    }
}

/// Completes when nothing has moved for so long, at most half as much later.
async fn idle(has_moved: &AtomicBool, max: Duration) {
    let half = (max / 2).max(Duration::from_millis(1));
    let mut ticks = interval_at(Instant::now() + half, half);
    let mut idle_ticks = 0;
    while idle_ticks < 2 {
        ticks.tick().await;
        idle_ticks = if has_moved.swap(false, Relaxed) { 0 } else { idle_ticks + 1 };
    }
}
