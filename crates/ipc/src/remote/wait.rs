// SPDX-License-Identifier: BSD-3-Clause
//! Driving an operation from straight-line code.

use std::future::Future;
use std::sync::Arc;

use crate::client::side::ClientSide;
use crate::connection::Connection;

/// Waits for an operation of this connection's.
pub(crate) fn wait<F: Future>(
    _connection: &Arc<Connection<ClientSide>>,
    operation: F,
) -> F::Output {
    becket_coro::block_on(operation)
}
