// SPDX-License-Identifier: BSD-3-Clause
//! Signals that ask a command to end, to read its configuration again, or to hand over to another process.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::exit::Exit;
use crate::failure::Failure;

/// SIGHUP, SIGINT, SIGTERM and SIGUSR2, from the creation on.
#[derive(Debug)]
pub(super) struct Signals {
    hangup: Signal,
    interrupt: Signal,
    terminate: Signal,
    user: Signal,
}

/// The meaning of a signal for a server.
#[derive(Debug)]
pub(super) enum Asked {
    Reload,
    Upgrade,
    End,
}

impl Signals {
    pub(super) fn new() -> Result<Self, Failure> {
        let listen = |kind| {
            signal(kind).map_err(|error| {
                Failure::new(Exit::Failure, "signals cannot be received").cause(error.to_string())
            })
        };
        Ok(Self {
            hangup: listen(SignalKind::hangup())?,
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            user: listen(SignalKind::user_defined2())?,
        })
    }

    /// Waits for the next, for a server that can reload. Cancel safe.
    pub(super) async fn asked(&mut self) -> Asked {
        tokio::select! {
            Some(()) = self.hangup.recv() => Asked::Reload,
            Some(()) = self.interrupt.recv() => Asked::End,
            Some(()) = self.terminate.recv() => Asked::End,
            Some(()) = self.user.recv() => Asked::Upgrade,
            else => Asked::End,
        }
    }

    /// Waits for a signal that asks such a server for the end. The others wait meanwhile. Cancel safe.
    pub(super) async fn end(&mut self) {
        tokio::select! {
            Some(()) = self.interrupt.recv() => {}
            Some(()) = self.terminate.recv() => {}
            else => {}
        }
    }

    /// Waits for the next, whichever it is, for a command that ends at each. Cancel safe.
    #[cfg(feature = "ipc")]
    pub(super) async fn next(&mut self) {
        self.asked().await;
    }
}
