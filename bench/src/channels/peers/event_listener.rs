// SPDX-License-Identifier: BSD-3-Clause
//! event-listener: wakes all listeners.

use std::sync::Arc;

use event_listener::Event;

use super::super::peer::Peer;
use super::super::wake::WakesAll;

/// An event.
pub(crate) struct Listened(Arc<Event>);

impl WakesAll for Listened {
    const PEER: Peer = Peer::EventListener;

    fn open() -> Self {
        Self(Arc::new(Event::new()))
    }

    fn wait(&self) -> impl Future<Output = bool> + Send + 'static {
        let listener = self.0.listen();
        async move {
            listener.await;
            true
        }
    }

    fn wake(self) {
        self.0.notify(usize::MAX);
    }
}
