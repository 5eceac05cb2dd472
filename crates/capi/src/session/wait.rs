// SPDX-License-Identifier: BSD-3-Clause
//! Waiting for an operation of a session, within the limits of a call.

use std::ffi::c_int;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use becket_chan::{Limits, Receiver, Token, timer};
use becket_ipc::Client;

use crate::core::flow;
use crate::core::object::Role;
use crate::errno;
use crate::limit::Until;

/// The limits of a call as those of an operation.
pub(super) fn limits(until: Until, token: Option<&Token>) -> Limits<'_> {
    let limits = Limits::none();
    let limits = until.deadline().map_or(limits, |at| limits.deadline(at));
    token.map_or(limits, |token| limits.cancel_on(token))
}

/// Drives an operation. A thread drives the connection itself where there is one; a coroutine
/// parks, which its object shows, also if it is resumed by hand.
pub(super) fn wait<F: Future>(client: Option<&Client>, operation: F) -> F::Output {
    if flow::with_coro(|coro| coro.role() != Role::Main) == Some(true) {
        return parked(operation);
    }
    match client {
        Some(client) => client.wait(operation),
        None => becket_coro::block_on(operation),
    }
}

struct Woken(Token);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.cancel();
    }
}

/// A coroutine waits as it does for a channel: for a token.
fn parked<F: Future>(operation: F) -> F::Output {
    let mut operation = pin!(operation);
    loop {
        let woken = Token::new();
        let waker = Waker::from(Arc::new(Woken(woken.clone())));
        if let Poll::Ready(done) = operation.as_mut().poll(&mut Context::from_waker(&waker)) {
            return done;
        }
        woken.cancelled().wait();
    }
}

/// The result of an operation; `None`: the channel was destroyed first.
pub(super) async fn unless<F: Future>(over: &Receiver<()>, operation: F) -> Option<F::Output> {
    let (mut operation, mut closed) = (pin!(operation), pin!(over.recv()));
    poll_fn(|context| {
        if let Poll::Ready(done) = operation.as_mut().poll(context) {
            return Poll::Ready(Some(done));
        }
        // Nothing is ever sent.
        closed.as_mut().poll(context).map(|_| None)
    })
    .await
}

/// The result of an operation that has no limits of its own.
pub(super) fn within<F: Future>(
    until: Until,
    token: Option<&Token>,
    operation: F,
) -> Result<F::Output, c_int> {
    let stop = async {
        match (until, token) {
            (Until::Now, _) => errno::EAGAIN,
            (Until::At(at), Some(token)) => {
                let cancelled = token.cancelled().deadline(at).await;
                if cancelled { errno::ECANCELED } else { errno::ETIME }
            }
            (Until::At(at), None) => {
                timer::sleep_until(at).await;
                errno::ETIME
            }
            (Until::Ever, Some(token)) => {
                token.cancelled().await;
                errno::ECANCELED
            }
            (Until::Ever, None) => std::future::pending().await,
        }
    };
    wait(None, async {
        let (mut operation, mut stop) = (pin!(operation), pin!(stop));
        poll_fn(|context| {
            if let Poll::Ready(done) = operation.as_mut().poll(context) {
                return Poll::Ready(Ok(done));
            }
            stop.as_mut().poll(context).map(Err)
        })
        .await
    })
}
