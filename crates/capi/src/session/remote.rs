// SPDX-License-Identifier: BSD-3-Clause
//! A channel of another process as a `kc_chan_t`.
//!
//! | operation | is |
//! |---|---|
//! | send | acknowledged by the server, which has accepted the message when it returns |
//! | receive | of a message that was prefetched, or that the server is asked for |
//! | clause of a select | a receive of what arrives while the select waits; a send that is handed over as soon as the server has granted credit, and acknowledged later |
//! | close | a request to the server: the channel is closed for all its users |
//! | destroy | gives the handle up: what was prefetched goes back to its channel |

use std::ffi::c_int;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use becket_chan::{Receiver, Select, Sender, Snapshot, rendezvous};
use becket_ipc::{
    Element, OnceSender, ReconnectingReceiver, ReconnectingSender, RecvError, RemoteReceiver,
    RemoteSender,
};

use super::bridge::Joined;
use super::client::Session;
use super::msg::Messages;
use super::{code, wait};
use crate::chan::Chan;
use crate::chan::operate::{Limits, Share};
use crate::chan::port::{Bridge, Codec as _, Port, PortCase, nothing};
use crate::current_token;
use crate::errno;
use crate::limit::Until;

pub(super) struct Remote {
    pub(super) session: Arc<Session>,
    pub(super) name: Box<str>,
    pub(super) outlet: Option<Outlet>,
    pub(super) inlet: Option<Inlet>,
    pub(super) kind: becket_chan::Kind,
    /// Closed when the handle is destroyed.
    over: (Sender<()>, Receiver<()>),
    /// For the sends of selects, without reconnection; made by the first.
    pub(super) ahead: OnceLock<Sender<Element>>,
    pub(super) sent: Passed,
    pub(super) received: Passed,
}

pub(crate) enum Outlet {
    Plain(RemoteSender),
    Reconnecting(ReconnectingSender),
    /// Each message is accepted exactly once.
    Once(OnceSender),
}

pub(super) enum Inlet {
    Plain(RemoteReceiver),
    Reconnecting(ReconnectingReceiver),
}

/// Messages that have passed through this handle in one direction, and the operations that wait.
#[derive(Default)]
pub(super) struct Passed {
    count: AtomicU64,
    bytes: AtomicU64,
    waiting: AtomicUsize,
}

/// Counts a waiting operation, for as long as it lives.
pub(super) struct Waits<'a>(&'a AtomicUsize);

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Passed {
    pub(super) fn waits(&self) -> Waits<'_> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        Waits(&self.waiting)
    }

    /// Counts an operation as waiting from the first poll that does not complete it.
    async fn counted<F: Future>(&self, operation: F) -> F::Output {
        let mut operation = pin!(operation);
        let mut waits = None;
        poll_fn(|context| {
            let polled = operation.as_mut().poll(context);
            if polled.is_pending() {
                waits.get_or_insert_with(|| self.waits());
            }
            polled
        })
        .await
    }

    fn add(&self, bytes: usize) {
        self.count.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

impl Remote {
    pub(super) fn new(
        session: Arc<Session>,
        name: &str,
        outlet: Option<Outlet>,
        inlet: Option<Inlet>,
        kind: becket_chan::Kind,
    ) -> Self {
        Self {
            session,
            name: name.into(),
            outlet,
            inlet,
            kind,
            over: rendezvous(),
            ahead: OnceLock::new(),
            sent: Passed::default(),
            received: Passed::default(),
        }
    }

    fn wait<T>(&self, side: &Passed, operation: impl Future<Output = T>) -> Option<T> {
        let operation = side.counted(operation);
        wait::wait(self.session.client(), wait::unless(&self.over.1, operation))
    }
}

impl Port for Remote {
    unsafe fn send(
        &self,
        chan: &Arc<Chan>,
        message: *const u8,
        limits: Limits<'_>,
        share: &mut Share,
    ) -> Result<(), c_int> {
        let outlet = self.outlet.as_ref().ok_or(errno::ENOTSUP)?;
        // SAFETY: the caller's promise.
        let element = unsafe { Messages::load(message) }?;
        let bytes = element.len();
        *share = Some(chan.clone());
        let token = limits.token.cloned().or_else(current_token::token);
        let until = Until::of(limits.timeout_ms);
        let (tries, limits) = (until == Until::Now, wait::limits(until, token.as_ref()));
        let sent = match (outlet, tries) {
            (Outlet::Plain(to), true) => self.wait(&self.sent, to.try_send(element).limits(limits)),
            (Outlet::Plain(to), false) => self.wait(&self.sent, to.send(element).limits(limits)),
            (Outlet::Reconnecting(to), true) => {
                self.wait(&self.sent, to.try_send(element).limits(limits))
            }
            (Outlet::Reconnecting(to), false) => {
                self.wait(&self.sent, to.send(element).limits(limits))
            }
            (Outlet::Once(to), true) => self.wait(&self.sent, to.try_send(element).limits(limits)),
            (Outlet::Once(to), false) => self.wait(&self.sent, to.send(element).limits(limits)),
        };
        sent.ok_or(errno::EPIPE)?.map_err(|error| code::of_send(&error))?;
        self.sent.add(bytes);
        // SAFETY: the caller's promise.
        unsafe { Messages::sent(message) };
        Ok(())
    }

    unsafe fn lose(&self, message: *const u8) {
        // SAFETY: the caller's promise: it is C's no longer, as one that was sent.
        unsafe { Messages::sent(message) };
    }

    unsafe fn recv(
        &self,
        chan: &Arc<Chan>,
        out: *mut u8,
        limits: Limits<'_>,
        share: &mut Share,
    ) -> Result<(), c_int> {
        let inlet = self.inlet.as_ref().ok_or(errno::ENOTSUP)?;
        let tried = match inlet {
            Inlet::Plain(from) => from.try_recv(),
            Inlet::Reconnecting(from) => from.try_recv(),
        };
        let received = match tried {
            Err(RecvError::WouldBlock) if limits.timeout_ms != 0 => {
                *share = Some(chan.clone());
                let token = limits.token.cloned().or_else(current_token::token);
                let limits = wait::limits(Until::of(limits.timeout_ms), token.as_ref());
                let waited = match inlet {
                    Inlet::Plain(from) => self.wait(&self.received, from.recv().limits(limits)),
                    Inlet::Reconnecting(from) => {
                        self.wait(&self.received, from.recv().limits(limits))
                    }
                };
                waited.ok_or(errno::EPIPE)?
            }
            tried => tried,
        };
        let element = received.map_err(|error| code::of_recv(&error))?;
        self.received.add(element.len());
        // SAFETY: the caller's promise.
        unsafe { Messages::store(element, out) };
        Ok(())
    }

    fn bridge(&self, sends: bool) -> Option<Box<dyn Bridge + '_>> {
        Some(Box::new(Joined::new(self, sends)?))
    }

    unsafe fn join_recv<'a>(
        &'a self,
        _: &mut Select<'a>,
        _: *mut u8,
    ) -> Result<Box<dyn PortCase + 'a>, c_int> {
        // With an end, it is joined by its bridge.
        Err(errno::ENOTSUP)
    }

    unsafe fn join_send<'a>(
        &'a self,
        _: &mut Select<'a>,
        _: *const u8,
    ) -> Result<Box<dyn PortCase + 'a>, c_int> {
        // Likewise.
        Err(errno::ENOTSUP)
    }

    fn can_select(&self, sends: bool) -> bool {
        match (sends, &self.outlet) {
            (true, outlet) => !matches!(outlet, None | Some(Outlet::Once(_))),
            (false, _) => self.inlet.is_some(),
        }
    }

    fn over(&self) -> Option<&Receiver<()>> {
        Some(&self.over.1)
    }

    fn passed(&self, sent: bool, bytes: usize) {
        if sent { self.sent.add(bytes) } else { self.received.add(bytes) }
    }

    fn close(&self) {
        self.session.close_channel(&self.name);
    }

    fn destroy(&self) {
        self.over.0.close();
        if let Some(ahead) = self.ahead.get() {
            ahead.close();
        }
    }

    fn snapshot(&self) -> Snapshot {
        let mut seen = nothing();
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        (seen.kind, seen.capacity) = (self.kind, None);
        (seen.sends, seen.receives) = (read(&self.sent.count), read(&self.received.count));
        let waiting = |side: &Passed| side.waiting.load(Ordering::Relaxed);
        seen.senders_waiting = waiting(&self.sent);
        seen.receivers_waiting = waiting(&self.received);
        (seen.bytes_sent, seen.bytes_received) =
            (read(&self.sent.bytes), read(&self.received.bytes));
        seen
    }

    fn remote_outlet(&self) -> Option<&Outlet> {
        self.outlet.as_ref()
    }
}
