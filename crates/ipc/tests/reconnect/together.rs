// SPDX-License-Identifier: BSD-3-Clause
//! Operations that are driven concurrently.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

/// Drives all operations, started in their order; returns their results in that order.
pub(crate) fn together<F: Future>(operations: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    let mut operations: Vec<Pin<Box<F>>> = operations.into_iter().map(Box::pin).collect();
    let mut done: Vec<Option<F::Output>> = operations.iter().map(|_| None).collect();
    becket_coro::block_on(poll_fn(|context| {
        for (operation, done) in operations.iter_mut().zip(&mut done) {
            if done.is_none()
                && let Poll::Ready(output) = operation.as_mut().poll(context)
            {
                *done = Some(output);
            }
        }
        if done.iter().all(Option::is_some) { Poll::Ready(()) } else { Poll::Pending }
    }));
    done.into_iter().map(Option::unwrap).collect()
}
