// SPDX-License-Identifier: BSD-3-Clause
//! Requests of a connection. The client's future for one is larger than what allocators serve fast, and there is one for
//! each value that is sent or acknowledged: so the memory of those that were answered is used again.
//!
//! A request that is dropped before its answer ends at once: its memory is freed with it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use async_nats::{HeaderMap, Message, Request, RequestError};
use bytes::Bytes;
use parking_lot::Mutex;

use crate::connection::Link;

/// The memory of so many requests is kept: as many as a channel has in flight by default.
const KEPT_MAX: usize = 256;

type Answer = Result<Message, RequestError>;

/// What is sent.
type Sent = (String, Option<HeaderMap>, Bytes);

/// The memory of requests that were answered.
#[derive(Default)]
pub(crate) struct Pool(Mutex<Vec<Box<dyn Slot>>>);

/// A request, which waits for its answer for as long as it is polled: on any executor, for no timer of the client is
/// used.
pub(crate) struct Requesting {
    link: Arc<Link>,
    /// `None`: it was answered.
    slot: Option<Box<dyn Slot>>,
}

/// The place of a request.
trait Slot: Send {
    fn start(&mut self, link: Arc<Link>, sent: Sent);

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Answer>;
}

struct Reused<M, F> {
    make: M,
    running: Pin<Box<Option<F>>>,
}

impl<M, F> Slot for Reused<M, F>
where
    M: Fn(Arc<Link>, Sent) -> F + Send,
    F: Future<Output = Answer> + Send,
{
    fn start(&mut self, link: Arc<Link>, sent: Sent) {
        self.running.set(Some((self.make)(link, sent)));
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Answer> {
        let Some(running) = self.running.as_mut().as_pin_mut() else { return Poll::Pending };
        let polled = running.poll(context);
        if polled.is_ready() {
            self.running.set(None);
        }
        polled
    }
}

fn new_slot() -> Box<dyn Slot> {
    let make = |link: Arc<Link>, (subject, headers, payload): Sent| async move {
        let request = Request { headers, ..Request::new().payload(payload).timeout(None) };
        link.client().send_request(subject, request).await
    };
    Box::new(Reused { make, running: Box::pin(None) })
}

impl Requesting {
    pub(crate) fn new(link: &Arc<Link>, sent: Sent) -> Self {
        let kept = link.requests().0.lock().pop();
        let mut slot = kept.unwrap_or_else(new_slot);
        slot.start(link.clone(), sent);
        Self { link: link.clone(), slot: Some(slot) }
    }
}

impl Future for Requesting {
    type Output = Answer;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Answer> {
        let Some(slot) = &mut self.slot else { return Poll::Pending };
        let polled = slot.poll(context);
        if polled.is_ready()
            && let Some(slot) = self.slot.take()
        {
            let mut kept = self.link.requests().0.lock();
            if kept.len() < KEPT_MAX {
                kept.push(slot);
            }
        }
        polled
    }
}
