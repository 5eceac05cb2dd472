// SPDX-License-Identifier: BSD-3-Clause
//! Defect: `hit` panics in a future, on a thread of the plugin's own, after its handler has returned;
//!         with the payload `drop` the future never ends, and panics when it is dropped.
//! Host:   the SDK's boundary catches it: the call is answered `Panic`, or failed at its deadline;
//!         the thread goes on with other futures.
//! Where:  inline and process.

use std::sync::Arc;

use becket_plugin::{
    Answered, Call, Entry, Failure, Host, OwnedCall, Plugin, Reply, define_plugin,
};

struct Panics;

impl Plugin for Panics {
    const NAME: &'static str = "panics_in_async";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const ENTRIES: &'static [Entry<Self>] = &[
        Entry::unary("ok", "answers ok", Self::ok),
        Entry::future("hit", "shows the defect", Self::hit),
    ];

    fn start(_: Host) -> Result<Self, Failure> {
        Ok(Self)
    }
}

impl Panics {
    fn ok(&self, call: Call<'_>) -> Result<Answered, Failure> {
        Ok(call.answer(b"ok"))
    }

    async fn hit(self: Arc<Self>, call: OwnedCall) -> Result<Reply, Failure> {
        if call.payload() == b"drop" {
            let _bomb = Bomb;
            std::future::pending::<()>().await;
        }
        std::future::ready(()).await;
        panic!("in a future, on purpose");
    }
}

struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("while dropped, on purpose");
    }
}

define_plugin! { plugin: Panics }
