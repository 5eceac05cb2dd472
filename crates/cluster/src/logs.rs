// SPDX-License-Identifier: BSD-3-Clause
//! What the client logs, without secrets.
//!
//! At the level `TRACE` the client logs what it writes, and with it the user, the password, the token or
//! the JWT of the connection. It writes on the threads of the connection alone. These have a subscriber of
//! their own, which drops the client's events of that level and passes on all others.

use std::mem::ManuallyDrop;

use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::{Interest, Subscriber};
use tracing::{Dispatch, Event, Level, Metadata, dispatcher};

struct WithoutSecrets(Dispatch);

/// For the start of a thread: its events go to `subscriber`, apart from those with secrets.
pub(crate) fn without_secrets(subscriber: &Dispatch) {
    let guard = dispatcher::set_default(&Dispatch::new(WithoutSecrets(subscriber.clone())));
    // For as long as the thread lives.
    let _kept = ManuallyDrop::new(guard);
}

impl Subscriber for WithoutSecrets {
    fn register_callsite(&self, _: &'static Metadata<'static>) -> Interest {
        Interest::sometimes()
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let is_secret =
            metadata.target().starts_with("async_nats") && *metadata.level() == Level::TRACE;
        !is_secret && self.0.enabled(metadata)
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        self.0.new_span(span)
    }

    fn record(&self, span: &Id, values: &Record<'_>) {
        self.0.record(span, values);
    }

    fn record_follows_from(&self, span: &Id, follows: &Id) {
        self.0.record_follows_from(span, follows);
    }

    fn event(&self, event: &Event<'_>) {
        self.0.event(event);
    }

    fn enter(&self, span: &Id) {
        self.0.enter(span);
    }

    fn exit(&self, span: &Id) {
        self.0.exit(span);
    }

    fn clone_span(&self, id: &Id) -> Id {
        self.0.clone_span(id)
    }

    fn try_close(&self, id: Id) -> bool {
        self.0.try_close(id)
    }
}
