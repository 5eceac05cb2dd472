// SPDX-License-Identifier: BSD-3-Clause
//! An egress adapter that panics at one of its calls, by number. Its drop counts as a call.

use std::cell::Cell;
use std::rc::Rc;

use crate::adapters::{MemoryEgressAdapter, MemoryIngressAdapter, Pair};
use crate::contract::{
    Adapter, Cause, Chunk, Context, Descriptor, Done, EgressAdapter, FlowId, Limits, Manifest,
    Outlet, Tick, Took,
};

struct Panicking {
    inner: MemoryEgressAdapter,
    /// Calls until the one that panics.
    left: Rc<Cell<u32>>,
}

pub(super) fn pair(limits: Limits, at: u32) -> Pair {
    let inner = MemoryEgressAdapter::new(limits);
    let egress = Panicking { inner, left: Rc::new(Cell::new(at)) };
    (Box::new(MemoryIngressAdapter::new(limits)), Box::new(egress))
}

impl Panicking {
    fn call(&self) {
        let left = self.left.get();
        // Only once: a panic during unwinding aborts the process.
        self.left.set(left.checked_sub(1).unwrap_or(u32::MAX));
        assert!(left > 0, "on purpose");
    }
}

impl Drop for Panicking {
    fn drop(&mut self) {
        self.call();
    }
}

impl Adapter for Panicking {
    fn manifest(&self) -> Manifest {
        self.call();
        self.inner.manifest()
    }

    fn open(&mut self, cx: &mut Context<'_>, flow: FlowId, descriptor: &Descriptor) -> Done {
        self.call();
        self.inner.open(cx, flow, descriptor)
    }

    fn half_close(&mut self, cx: &mut Context<'_>, flow: FlowId) -> Done {
        self.call();
        self.inner.half_close(cx, flow)
    }

    fn reset(&mut self, cx: &mut Context<'_>, flow: FlowId, cause: Cause) -> Done {
        self.call();
        self.inner.reset(cx, flow, cause)
    }

    fn close(&mut self, cx: &mut Context<'_>, flow: FlowId) -> Done {
        self.call();
        self.inner.close(cx, flow)
    }

    fn poll(&mut self, cx: &mut Context<'_>, outlet: &mut Outlet<'_>) {
        self.call();
        self.inner.poll(cx, outlet);
    }

    fn deadline(&self) -> Option<Tick> {
        self.call();
        self.inner.deadline()
    }

    fn buffered_bytes(&self) -> u64 {
        self.call();
        self.inner.buffered_bytes()
    }

    fn summary(&self) -> String {
        self.call();
        self.inner.summary()
    }
}

impl EgressAdapter for Panicking {
    fn accept(&mut self, cx: &mut Context<'_>, chunk: &Chunk, bytes: &[u8]) -> Took {
        self.call();
        self.inner.accept(cx, chunk, bytes)
    }
}
