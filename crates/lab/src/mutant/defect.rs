// SPDX-License-Identifier: BSD-3-Clause
//! A healthy adapter with one method replaced.
//!
//! ```text
//!              ┌ Defective ───────────────────────────────┐
//!   calls ────►│ Defect ──► healthy adapter ──► OutletShim ─┼─► Defect ──► Outlet
//!              └────────────────────────────────────────┘
//! ```
//!
//! Every call and everything that is put out goes through a [`Defect`], whose default methods
//! forward it unchanged. A mutant overrides the one method in which it is wrong. A call about one
//! flow arrives as a [`FlowCall`]: the healthy adapter, the context of the call and the flow.

use crate::contract::outlet::{Receiver, Refused};
use crate::contract::{
    Adapter, Calls, Cause, Chunk, Context, Descriptor, EgressAdapter, FlowId, IngressAdapter,
    Limits, Manifest, Outlet, Tick,
};
pub(super) use crate::contract::{Done, Took};
use crate::{
    adapters::{MemoryEgressAdapter, MemoryIngressAdapter, Pair},
    choice::Random,
};

/// An adapter of either direction.
pub(super) trait Carries: Adapter {
    /// `offer` of an ingress adapter, `accept` of an egress adapter.
    fn take(&mut self, cx: &mut Context<'_>, chunk: &Chunk, bytes: &[u8]) -> Took;
}

macro_rules! carries {
    ($($name:ident: $take:ident;)*) => {$(
        impl Carries for $name {
            fn take(&mut self, cx: &mut Context<'_>, chunk: &Chunk, bytes: &[u8]) -> Took {
                self.$take(cx, chunk, bytes)
            }
        }
    )*};
}

carries! {
    MemoryIngressAdapter: offer;
    MemoryEgressAdapter: accept;
}

/// The healthy adapter behind the defect.
pub(super) type Healthy<'a> = &'a mut dyn Carries;

/// A call to the healthy adapter about one flow.
pub(super) struct FlowCall<'a, 'c> {
    it: Healthy<'a>,
    pub(super) cx: &'a mut Context<'c>,
    pub(super) flow: FlowId,
}

impl<'c> FlowCall<'_, 'c> {
    pub(super) fn open(&mut self, descriptor: &Descriptor) -> Done {
        self.it.open(self.cx, self.flow, descriptor)
    }

    pub(super) fn half_close(&mut self) -> Done {
        self.it.half_close(self.cx, self.flow)
    }

    pub(super) fn reset(&mut self, cause: Cause) -> Done {
        self.it.reset(self.cx, self.flow, cause)
    }

    pub(super) fn close(&mut self) -> Done {
        self.it.close(self.cx, self.flow)
    }

    pub(super) fn take(&mut self, chunk: &Chunk, bytes: &[u8]) -> Took {
        self.it.take(self.cx, chunk, bytes)
    }

    /// The same call about another flow.
    pub(super) fn of(&mut self, flow: FlowId) -> FlowCall<'_, 'c> {
        FlowCall { it: &mut *self.it, cx: &mut *self.cx, flow }
    }

    pub(super) fn buffered_bytes(&self) -> u64 {
        self.it.buffered_bytes()
    }

    /// Calls with a context of its own, and returns the requests that were made through it in place
    /// of passing them on.
    pub(super) fn detached<R>(
        &mut self,
        act: impl FnOnce(&mut FlowCall<'_, '_>) -> R,
    ) -> (R, Calls) {
        let (it, flow) = (&mut *self.it, self.flow);
        detached(self.cx, |cx| act(&mut FlowCall { it, cx, flow }))
    }
}

/// The defect. Methods that are not overridden forward to the healthy adapter.
pub(super) trait Defect: Sized + 'static {
    fn manifest(&self, healthy: &dyn Carries) -> Manifest {
        healthy.manifest()
    }

    fn open(&mut self, on: &mut FlowCall<'_, '_>, descriptor: &Descriptor) -> Done {
        on.open(descriptor)
    }

    fn half_close(&mut self, on: &mut FlowCall<'_, '_>) -> Done {
        on.half_close()
    }

    fn reset(&mut self, on: &mut FlowCall<'_, '_>, cause: Cause) -> Done {
        on.reset(cause)
    }

    fn close(&mut self, on: &mut FlowCall<'_, '_>) -> Done {
        on.close()
    }

    fn take(&mut self, on: &mut FlowCall<'_, '_>, chunk: &Chunk, bytes: &[u8]) -> Took {
        on.take(chunk, bytes)
    }

    fn poll(&mut self, it: Healthy<'_>, cx: &mut Context<'_>, out: &mut Outlet<'_>) {
        poll_through(self, it, cx, out);
    }

    fn deadline(&self, it: &dyn Carries) -> Option<Tick> {
        it.deadline()
    }

    fn buffered_bytes(&self, it: &dyn Carries) -> u64 {
        it.buffered_bytes()
    }

    fn summary(&self, it: &dyn Carries) -> String {
        it.summary()
    }

    // What the healthy adapter puts out.

    fn room(&self, out: &Outlet<'_>, flow: FlowId) -> usize {
        out.room(flow)
    }

    fn data(&mut self, out: &mut Outlet<'_>, chunk: &Chunk, bytes: &[u8]) -> Result<(), Refused> {
        out.data(chunk, bytes)
    }

    fn says_half_closed(&mut self, out: &mut Outlet<'_>, flow: FlowId) {
        out.half_closed(flow);
    }

    fn says_reset(&mut self, out: &mut Outlet<'_>, flow: FlowId, cause: Cause) {
        out.reset(flow, cause);
    }
}

/// Polls the healthy adapter. Its output goes through the defect.
pub(super) fn poll_through<D: Defect>(
    defect: &mut D,
    it: Healthy<'_>,
    cx: &mut Context<'_>,
    out: &mut Outlet<'_>,
) {
    it.poll(cx, &mut Outlet::new(&mut OutletShim { defect, out }));
}

/// Calls with a context of its own, and returns the requests that were made through it in place of
/// passing them on.
pub(super) fn detached<R>(
    cx: &mut Context<'_>,
    act: impl FnOnce(&mut Context<'_>) -> R,
) -> (R, Calls) {
    // Healthy adapters draw no random numbers.
    let (mut random, mut calls) = (Random::new(0), Calls::default());
    let result = act(&mut Context::new(cx.now(), &mut random, cx.budget_bytes(), &mut calls));
    (result, calls)
}

/// A pair whose ingress adapter has the defect.
pub(super) fn ingress<D: Defect>(limits: Limits, defect: D) -> Pair {
    ingress_of(Box::new(MemoryIngressAdapter::new(limits)), limits, defect)
}

/// A pair whose ingress adapter has the defect and other limits than its manifest.
pub(super) fn ingress_of<D: Defect>(healthy: Box<dyn Carries>, limits: Limits, defect: D) -> Pair {
    let ingress = Box::new(Defective { healthy, defect });
    (ingress, Box::new(MemoryEgressAdapter::new(limits)))
}

/// A pair in which both adapters have a defect.
pub(super) fn both(limits: Limits, ingress: impl Defect, egress: impl Defect) -> Pair {
    let (ingress, _) = self::ingress(limits, ingress);
    let (_, egress) = self::egress(limits, egress);
    (ingress, egress)
}

/// A pair whose egress adapter has the defect.
pub(super) fn egress<D: Defect>(limits: Limits, defect: D) -> Pair {
    let healthy = Box::new(MemoryEgressAdapter::new(limits));
    let egress = Box::new(Defective { healthy, defect });
    (Box::new(MemoryIngressAdapter::new(limits)), egress)
}

struct Defective<D> {
    healthy: Box<dyn Carries>,
    defect: D,
}

impl<D: Defect> Defective<D> {
    /// The defect, and the flow call that it receives.
    fn on<'a, 'c>(
        &'a mut self,
        cx: &'a mut Context<'c>,
        flow: FlowId,
    ) -> (&'a mut D, FlowCall<'a, 'c>) {
        (&mut self.defect, FlowCall { it: &mut *self.healthy, cx, flow })
    }
}

impl<D: Defect> Adapter for Defective<D> {
    fn manifest(&self) -> Manifest {
        self.defect.manifest(&*self.healthy)
    }

    fn open(&mut self, cx: &mut Context<'_>, flow: FlowId, descriptor: &Descriptor) -> Done {
        let (defect, mut on) = self.on(cx, flow);
        defect.open(&mut on, descriptor)
    }

    fn half_close(&mut self, cx: &mut Context<'_>, flow: FlowId) -> Done {
        let (defect, mut on) = self.on(cx, flow);
        defect.half_close(&mut on)
    }

    fn reset(&mut self, cx: &mut Context<'_>, flow: FlowId, cause: Cause) -> Done {
        let (defect, mut on) = self.on(cx, flow);
        defect.reset(&mut on, cause)
    }

    fn close(&mut self, cx: &mut Context<'_>, flow: FlowId) -> Done {
        let (defect, mut on) = self.on(cx, flow);
        defect.close(&mut on)
    }

    fn poll(&mut self, cx: &mut Context<'_>, outlet: &mut Outlet<'_>) {
        self.defect.poll(&mut *self.healthy, cx, outlet);
    }

    fn deadline(&self) -> Option<Tick> {
        self.defect.deadline(&*self.healthy)
    }

    fn buffered_bytes(&self) -> u64 {
        self.defect.buffered_bytes(&*self.healthy)
    }

    fn summary(&self) -> String {
        self.defect.summary(&*self.healthy)
    }
}

impl<D: Defect> IngressAdapter for Defective<D> {
    fn offer(&mut self, cx: &mut Context<'_>, chunk: &Chunk, bytes: &[u8]) -> Took {
        let (defect, mut on) = self.on(cx, chunk.flow);
        defect.take(&mut on, chunk, bytes)
    }
}

impl<D: Defect> EgressAdapter for Defective<D> {
    fn accept(&mut self, cx: &mut Context<'_>, chunk: &Chunk, bytes: &[u8]) -> Took {
        let (defect, mut on) = self.on(cx, chunk.flow);
        defect.take(&mut on, chunk, bytes)
    }
}

/// Receives the output of the healthy adapter and passes it to the defect.
struct OutletShim<'a, 'o, D> {
    defect: &'a mut D,
    out: &'a mut Outlet<'o>,
}

impl<D: Defect> Receiver for OutletShim<'_, '_, D> {
    fn room(&self, flow: FlowId) -> usize {
        self.defect.room(self.out, flow)
    }

    fn data(&mut self, chunk: &Chunk, bytes: &[u8]) -> Result<(), Refused> {
        self.defect.data(self.out, chunk, bytes)
    }

    fn half_closed(&mut self, flow: FlowId) {
        self.defect.says_half_closed(self.out, flow);
    }

    fn reset(&mut self, flow: FlowId, cause: Cause) {
        self.defect.says_reset(self.out, flow, cause);
    }

    fn closed(&mut self, flow: FlowId) {
        self.out.closed(flow);
    }
}
