// SPDX-License-Identifier: BSD-3-Clause
//! A side of the link that is examined, as its connection sees it: a link without descriptors, whose
//! wakes come from the [`network`](super::network).

use std::os::fd::OwnedFd;
use std::sync::Arc;

use becket_ipc::transport::{Ancillary, Link, LinkCounters, LinkError, OnReady, Peer, Watch};
use becket_wire::{Frame, Full, Head, Outlet};
use parking_lot::Mutex;

use super::network::Network;

/// The side, until it dies.
type Inner = Arc<Mutex<Option<Box<dyn Link>>>>;

/// See the module's documentation.
pub(super) struct End {
    inner: Inner,
    network: Arc<Network>,
    number: u64,
    peer: Peer,
    name: &'static str,
    body_bytes_max: usize,
}

/// Makes a side die, like its process.
pub(super) struct Killer {
    inner: Inner,
    network: Arc<Network>,
    number: u64,
}

impl End {
    pub(super) fn new(mut link: Box<dyn Link>, network: &Arc<Network>) -> (Self, Killer) {
        let number = network.add_side();
        let notifies = Arc::clone(network);
        link.on_ready(Arc::new(move || notifies.notify(number)));
        let (peer, name, body_bytes_max) = (*link.peer(), link.name(), link.body_bytes_max());
        let (inner, network) = (Arc::new(Mutex::new(Some(link))), Arc::clone(network));
        let killer = Killer { inner: Arc::clone(&inner), network: Arc::clone(&network), number };
        (Self { inner, network, number, peer, name, body_bytes_max }, killer)
    }
}

impl Killer {
    /// Drops the link: what it has not sent is lost.
    pub(super) fn kill(&self) {
        let dead = self.inner.lock().take();
        drop(dead);
        self.network.notify(self.number);
    }
}

impl Outlet for End {
    fn put(&mut self, head: &Head, body: &[u8]) -> Result<(), Full> {
        match &mut *self.inner.lock() {
            Some(link) => link.put(head, body),
            None => Ok(()),
        }
    }
}

impl Link for End {
    fn take(
        &mut self,
        frames_max: usize,
        sink: &mut dyn FnMut(Frame<'_>, Ancillary<'_>),
    ) -> Result<usize, LinkError> {
        let is_ready = self.network.take_ready(self.number);
        let frames_max = self.network.frames_max().map_or(frames_max, |few| few.min(frames_max));
        let taken = match &mut *self.inner.lock() {
            Some(link) => {
                if is_ready {
                    link.readiness_changed();
                }
                link.take(frames_max, sink)
            }
            None => Err(LinkError::Closed),
        };
        if taken.is_ok_and(|frames| frames > 0) {
            self.network.request_pass();
        }
        taken
    }

    fn flush(&mut self) -> Result<bool, LinkError> {
        if self.network.puts_off_flush(self.number) {
            return Ok(false);
        }
        let flushed = self.inner.lock().as_mut().map_or(Ok(true), |link| link.flush());
        self.network.request_pass();
        flushed
    }

    fn put_descriptors(&mut self, descriptors: Vec<OwnedFd>) -> Result<(), LinkError> {
        match &mut *self.inner.lock() {
            Some(link) => link.put_descriptors(descriptors),
            None => Ok(()),
        }
    }

    fn watch(&self) -> Watch<'_> {
        Watch::nothing()
    }

    fn on_ready(&mut self, wake: OnReady) {
        self.network.set_wake(self.number, wake);
    }

    fn prepare_wait(&mut self) -> bool {
        match &mut *self.inner.lock() {
            Some(link) => {
                let has_news = link.prepare_wait();
                if !has_news {
                    self.network.arm(self.number, link.watch());
                }
                has_news
            }
            None => true,
        }
    }

    fn peer(&self) -> &Peer {
        &self.peer
    }

    fn name(&self) -> &'static str {
        self.name
    }

    fn body_bytes_max(&self) -> usize {
        self.body_bytes_max
    }

    fn counters(&self) -> LinkCounters {
        self.inner.lock().as_ref().map(|link| link.counters()).unwrap_or_default()
    }

    fn close(&mut self) {
        if let Some(link) = &mut *self.inner.lock() {
            // One may have been put off. An error is reported by `take`.
            let _flushed = link.flush();
            link.close();
        }
        self.network.request_pass();
    }
}

impl Drop for End {
    fn drop(&mut self) {
        let link = self.inner.lock().take();
        drop(link);
        self.network.remove_side(self.number);
    }
}
