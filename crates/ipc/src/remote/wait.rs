// SPDX-License-Identifier: BSD-3-Clause
//! Driving an operation from straight-line code.
//!
//! A coroutine parks, as for any future. A thread drives the connection itself if it can (see
//! [`drive`](crate::connection)), so that frames in shared memory pass through no other thread.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::client::side::ClientSide;
use crate::connection::{Owned, Parker};

/// Waits for an operation of this connection.
pub(crate) fn wait<F: Future>(connection: &Arc<Owned<ClientSide>>, operation: F) -> F::Output {
    if becket_coro::current().is_some() {
        return becket_coro::block_on(operation);
    }
    let parker = Parker::current();
    let waker = parker.waker();
    let mut operation = pin!(operation);
    loop {
        if let Poll::Ready(done) = operation.as_mut().poll(&mut Context::from_waker(&waker)) {
            return done;
        }
        if !parker.take() {
            connection.drive(&parker);
            parker.take();
        }
    }
}
