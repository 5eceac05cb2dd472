// SPDX-License-Identifier: BSD-3-Clause
//! A transport of one's own: channels of `becket-ipc` over it, in virtual time.
//!
//! ```text
//!   flow ─► RemoteSender ─ client ─ end ═ your link ═════════════ your link ═ end ─ server: a channel
//!   flow ◄─ RemoteReceiver ──┘       │                                          │
//!                                    └── the lab: when each is woken, what is cut ──┘
//!
//!   over sockets:      your link ─ socket ═ the lab: bytes, late, in pieces, cut ═ socket ─ your link
//! ```
//!
//! Client, server and sessions are those that run in production, on the thread of the run. Each
//! flow has a link of its own, and a channel over it that carries the flow to the server and back.
//! An [end](end) around each side of the link takes the place of the thread that waits for
//! descriptors: a wake is an event of the run, at a moment that the seed decides.
//!
//! | file | holds |
//! |---|---|
//! | `end` | a side of the link, as its connection sees it |
//! | `network` | when sides are woken, and the faults |
//! | `wire` | the bytes between two sockets |
//! | `remote` | the channel of a flow |
//!
//! # Faults
//!
//! | fault | what the link has to do |
//! |---|---|
//! | a wake is late, or comes without a reason | nothing: both happen in production |
//! | a flush is late | keep what was put |
//! | few frames are taken at a time | keep the others |
//! | over sockets: bytes arrive late, or a few at a time; the socket takes a part | nothing: frames stay whole |
//! | a flow is reset: its server dies, its link dropped with all that was not sent | report the end to the client |
//! | the same, over sockets: or the connection is cut behind any byte | the same, to both sides |
//!
//! Bytes and frames are never lost, doubled or reordered: a link's connection does not do that.
//!
//! # What is examined
//!
//! The rules for all adapters, and those of channels:
//!
//! 1. A send completes when the channel has accepted the element, and what was accepted is received
//!    once and in order.
//! 2. When the channel is closed, what it holds is received first, then the end.
//! 3. When the server is dropped then, the client gets the reason that it sent last. A link that
//!    loses the last bytes before a close loses that, and the flow fails.
//!
//! A link with threads of its own wakes at moments that no seed decides: see the book.

mod end;
mod network;
mod remote;
mod wire;

use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use becket_ipc::transport::Link;

use self::network::Network;
use self::remote::Remote;
use super::operations::Ends;
use super::{Failure, Medium, Spec};
use crate::adapters::Pair;
use crate::contract::{FlowId, Limits, Tick};

/// The two sides of a link: the client's, and the server's.
pub type Links = (Box<dyn Link>, Box<dyn Link>);

type Make = Rc<dyn Fn(&Arc<Network>) -> Result<(Links, Option<u64>), Failure>>;

/// An element has at most this many frames: a dispatch then never takes so many that the rest is
/// left to another thread.
const FRAMES_PER_ELEMENT: usize = 8;

/// A pair of adapters. `make` creates the two sides of a link, for each flow.
///
/// A side that has descriptors to watch is woken when they are ready, at each moment at which
/// anything happens; the others by their callback.
pub fn pair(spec: &Spec, make: impl Fn() -> Result<Links, Failure> + 'static) -> Pair {
    of(spec, Rc::new(move |_| Ok((make()?, None))))
}

/// As [`pair`], for a link over a byte stream: `make` is given the two sockets of a connection.
/// The lab carries the bytes between them.
pub fn pair_over_sockets(
    spec: &Spec,
    make: impl Fn(UnixStream, UnixStream) -> Result<Links, Failure> + 'static,
) -> Pair {
    let make = move |network: &Arc<Network>| {
        let (one, other, wire) = network.connect()?;
        Ok((make(one, other)?, Some(wire)))
    };
    of(spec, Rc::new(make))
}

fn of(spec: &Spec, make: Make) -> Pair {
    let limits = spec.limits;
    super::pair(spec, || Carriers { make: Rc::clone(&make), network: Network::new(), limits })
}

/// The links of an adapter.
struct Carriers {
    make: Make,
    network: Arc<Network>,
    limits: Limits,
}

impl Medium for Carriers {
    type Conduit = Ends<Remote>;

    fn open(&mut self, flow: FlowId) -> Result<Ends<Remote>, Failure> {
        let (links, wire) = (self.make)(&self.network)?;
        let frame_bytes_max = links.0.body_bytes_max().min(links.1.body_bytes_max());
        let held = usize::try_from(self.limits.flow_buffered_bytes_max / remote::ELEMENTS_MAX);
        let most = held.unwrap_or(usize::MAX).min(frame_bytes_max * FRAMES_PER_ELEMENT);
        // Every second flow prefetches.
        let prefetches = flow.number().is_multiple_of(2);
        let remote = Remote::new(&self.network, links, wire, prefetches)?;
        Ok(Ends::new(remote, most))
    }

    fn turn(&mut self, now: Tick, random: &mut dyn FnMut(u32) -> u32) {
        self.network.turn(now, random);
    }

    fn deadline(&self) -> Option<Tick> {
        self.network.deadline()
    }

    fn poll_work(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        self.network.pass(cx.waker());
        Poll::Pending
    }
}
