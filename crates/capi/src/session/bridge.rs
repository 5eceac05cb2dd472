// SPDX-License-Identifier: BSD-3-Clause
//! Where a select waits for a channel of another process: the inbox or the outbox of its stream, or,
//! without a connection, a channel that is closed as soon as there is one.

use std::ffi::c_int;

use becket_chan::{Receiver, Sender};
use becket_ipc::reconnect::{ReconnectingAhead, ReconnectingWant, WhyClosed};
use becket_ipc::{Client, Element, Want};

use super::code;
use super::remote::{Inlet, Outlet, Remote, Waits};
use crate::chan::port::Bridge;
use crate::errno;

/// A clause of a waiting select.
pub(super) struct Joined<'a> {
    remote: &'a Remote,
    end: End<'a>,
    _waits: Waits<'a>,
}

enum End<'a> {
    Want(Want<'a>),
    Ahead(&'a Sender<Element>),
    ReconnectingWant(ReconnectingWant<'a>),
    ReconnectingAhead(ReconnectingAhead<'a>),
}

impl<'a> Joined<'a> {
    /// `None`: the channel was not opened in this direction.
    pub(super) fn new(remote: &'a Remote, sends: bool) -> Option<Self> {
        let end = match (sends, &remote.outlet, &remote.inlet) {
            (true, Some(Outlet::Plain(to)), _) => {
                End::Ahead(remote.ahead.get_or_init(|| to.ahead()))
            }
            (true, Some(Outlet::Reconnecting(to)), _) => End::ReconnectingAhead(to.ahead()),
            (false, _, Some(Inlet::Plain(from))) => End::Want(from.want()),
            (false, _, Some(Inlet::Reconnecting(from))) => End::ReconnectingWant(from.want()),
            _ => return None,
        };
        let side = if sends { &remote.sent } else { &remote.received };
        Some(Self { remote, end, _waits: side.waits() })
    }
}

impl Bridge for Joined<'_> {
    fn receiver(&self) -> Option<&Receiver<Element>> {
        match &self.end {
            End::Want(want) => Some(want),
            End::ReconnectingWant(want) => Some(want),
            End::Ahead(_) | End::ReconnectingAhead(_) => None,
        }
    }

    fn sender(&self) -> Option<&Sender<Element>> {
        match &self.end {
            End::Ahead(ahead) => Some(ahead),
            End::ReconnectingAhead(ahead) => Some(ahead),
            End::Want(_) | End::ReconnectingWant(_) => None,
        }
    }

    fn why_closed(&self) -> Option<c_int> {
        let why = match &self.end {
            End::Want(_) | End::Ahead(_) => {
                let ended = self.remote.session.client().and_then(Client::ended);
                return Some(ended.map_or(errno::EPIPE, |ended| code::of_end(&ended)));
            }
            End::ReconnectingWant(want) => want.why_closed(),
            End::ReconnectingAhead(ahead) => ahead.why_closed(),
        };
        match why {
            WhyClosed::Changed => None,
            WhyClosed::Ended(ended) => Some(code::of_end(&ended)),
            _ => Some(errno::EPIPE),
        }
    }
}
