// SPDX-License-Identifier: BSD-3-Clause
//! What the client logs, without secrets.
//!
//! At the level `TRACE` the client logs what it writes, and with it the user, the password, the token or
//! the JWT of the connection. It writes on the threads of the connection alone. These have a subscriber of
//! their own, which drops the client's events of that level and passes on all others.
//!
//! It asks for nothing itself: a subscriber that says neither which levels nor which events it wants gets all of
//! the whole process, and each call of any plugin would ask for a span that nothing takes.

use std::mem::ManuallyDrop;

use tracing::level_filters::LevelFilter;
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

fn is_secret(metadata: &Metadata<'_>) -> bool {
    metadata.target().starts_with("async_nats") && *metadata.level() == Level::TRACE
}

impl Subscriber for WithoutSecrets {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if is_secret(metadata) { Interest::never() } else { self.0.register_callsite(metadata) }
    }

    /// What is passed on is wanted by the other subscriber, which is registered with a level of its own.
    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::OFF)
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        !is_secret(metadata) && self.0.enabled(metadata)
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

#[cfg(test)]
mod tests {
    use std::{io, thread};

    use super::*;

    /// Starts and ends a thread of a connection.
    fn connect(subscriber: &Dispatch) {
        let subscriber = subscriber.clone();
        thread::spawn(move || without_secrets(&subscriber)).join().expect("no panic");
    }

    #[test]
    fn a_connection_has_no_say_in_what_the_process_logs() {
        // Before any subscriber, and where there is one.
        connect(&Dispatch::none());
        assert_eq!(LevelFilter::current(), LevelFilter::OFF);
        let logs = tracing_subscriber::fmt().with_max_level(Level::DEBUG).with_writer(io::sink);
        let subscriber = Dispatch::new(logs.finish());
        connect(&subscriber);
        assert_eq!(LevelFilter::current(), LevelFilter::DEBUG);
    }
}
