// SPDX-License-Identifier: BSD-3-Clause
//! What the client logs, without secrets.
//!
//! At the level `TRACE` the client logs what it writes, and with it the user, the password, the token or
//! the JWT of the connection. It writes on the threads of the connection alone. These have a subscriber of
//! their own, which drops the client's events of that level and passes on all others.
//!
//! It asks for nothing itself: a subscriber that says neither which levels nor which events it wants gets all of
//! the whole process, and each call of any plugin would pay for a span that is then dropped.

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
    use std::sync::Arc;
    use std::thread;

    use parking_lot::Mutex;

    use super::*;

    /// Keeps the level and the target of each event.
    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<(Level, String)>>>);

    impl Subscriber for Kept {
        fn max_level_hint(&self) -> Option<LevelFilter> {
            Some(LevelFilter::DEBUG)
        }

        fn enabled(&self, metadata: &Metadata<'_>) -> bool {
            *metadata.level() <= Level::DEBUG
        }

        fn new_span(&self, _: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }

        fn record(&self, _: &Id, _: &Record<'_>) {}

        fn record_follows_from(&self, _: &Id, _: &Id) {}

        fn event(&self, event: &Event<'_>) {
            let metadata = event.metadata();
            let of_test = (*metadata.level(), metadata.target().to_owned());
            self.0.lock().push(of_test);
        }

        fn enter(&self, _: &Id) {}

        fn exit(&self, _: &Id) {}
    }

    fn log_as_a_thread_of_a_connection(subscriber: &Dispatch) {
        let subscriber = subscriber.clone();
        let logs = move || {
            without_secrets(&subscriber);
            tracing::debug!(target: "async_nats::connection", "connected");
            tracing::trace!(target: "async_nats::connection", "CONNECT with a password");
        };
        thread::spawn(logs).join().expect("no panic");
    }

    #[test]
    fn a_connection_has_no_say_in_what_the_process_logs() {
        // Before any subscriber, and where there is one.
        log_as_a_thread_of_a_connection(&Dispatch::none());
        assert_eq!(LevelFilter::current(), LevelFilter::OFF);
        let kept = Kept::default();
        let subscriber = Dispatch::new(kept.clone());
        log_as_a_thread_of_a_connection(&subscriber);
        assert_eq!(LevelFilter::current(), LevelFilter::DEBUG);
        let expected = [(Level::DEBUG, "async_nats::connection".to_owned())];
        assert_eq!(*kept.0.lock(), expected);
    }
}
