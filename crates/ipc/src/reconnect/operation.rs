// SPDX-License-Identifier: BSD-3-Clause
//! Operations that wait for a connection.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use becket_chan::Limits;

use crate::remote::limits::limit_methods;

type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A wait without limits.
#[must_use = "an operation does nothing until it is awaited or waited for"]
pub struct Waiting<'a, T>(Boxed<'a, T>);

/// A send or a receive. One that begins without a connection waits for one, within its limits.
#[must_use = "an operation does nothing until it is awaited or waited for"]
pub struct Limited<'a, T> {
    limits: Limits<'a>,
    stage: Stage<'a, T>,
}

enum Stage<'a, T> {
    New(Box<dyn FnOnce(Limits<'a>) -> Boxed<'a, T> + Send + 'a>),
    Running(Boxed<'a, T>),
    Over,
}

limit_methods!(Limited<T>, limits);

impl<'a, T> Waiting<'a, T> {
    pub(super) fn new(future: impl Future<Output = T> + Send + 'a) -> Self {
        Self(Box::pin(future))
    }

    /// Waits on a thread or in a coroutine.
    pub fn wait(self) -> T {
        becket_coro::block_on(self)
    }
}

impl<'a, T> Limited<'a, T> {
    /// An operation that is begun by its first poll, with the limits that were set by then.
    pub(super) fn new<F: Future<Output = T> + Send + 'a>(
        begin: impl FnOnce(Limits<'a>) -> F + Send + 'a,
    ) -> Self {
        let begin = |limits| -> Boxed<'a, T> { Box::pin(begin(limits)) };
        Self { limits: Limits::none(), stage: Stage::New(Box::new(begin)) }
    }

    /// Drives it from a thread, which sleeps, or from a coroutine, which parks.
    pub fn wait(self) -> T {
        becket_coro::block_on(self)
    }
}

impl<T> Future for Waiting<'_, T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        self.0.as_mut().poll(context)
    }
}

impl<T> Future for Limited<'_, T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let mut running = match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::New(begin) => begin(self.limits),
            Stage::Running(running) => running,
            // Polled again after completion it is never ready.
            Stage::Over => return Poll::Pending,
        };
        let polled = running.as_mut().poll(context);
        if polled.is_pending() {
            self.stage = Stage::Running(running);
        }
        polled
    }
}
