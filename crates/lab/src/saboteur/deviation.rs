// SPDX-License-Identifier: BSD-3-Clause
//! A healthy adapter, with something wrong at one place.
//!
//! ```text
//!              ┌ Deviant ───────────────────────────────┐
//!   calls ────►│ Deviation ──► healthy adapter ──► Tap ─┼─► Deviation ──► Outlet
//!              └────────────────────────────────────────┘
//! ```
//!
//! Every call and everything that is put out goes through a [`Deviation`], whose methods pass it on
//! as it is. A saboteur replaces the one method in which it is wrong. What concerns one flow comes as
//! [`On`]: the healthy adapter, the context of the call, and the flow.

use crate::contract::{
    Adapter, AdapterError, Calls, Cause, Chunk, Context, Descriptor, EgressAdapter, FlowId,
    IngressAdapter, Limits, Manifest, Outlet, Tick,
    outlet::{Receiver, Refused},
};
use crate::{
    adapters::{MemoryEgressAdapter, MemoryIngressAdapter, Pair},
    choice::Random,
};

/// An adapter, whichever way it carries.
pub(super) trait Carries: Adapter {
    /// `offer`, or `accept`.
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

/// The adapter that is sabotaged.
pub(super) type Healthy<'a> = &'a mut dyn Carries;

pub(super) type Done = Result<(), AdapterError>;
pub(super) type Took = Result<usize, AdapterError>;

/// A call that concerns one flow of the healthy adapter.
pub(super) struct On<'a, 'c> {
    it: Healthy<'a>,
    pub(super) cx: &'a mut Context<'c>,
    pub(super) flow: FlowId,
}

impl<'c> On<'_, 'c> {
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

    /// The same on another flow.
    pub(super) fn of(&mut self, flow: FlowId) -> On<'_, 'c> {
        On { it: &mut *self.it, cx: &mut *self.cx, flow }
    }

    pub(super) fn buffered_bytes(&self) -> u64 {
        self.it.buffered_bytes()
    }

    /// Calls with a context whose wishes nobody hears; gives them.
    pub(super) fn unheard<R>(&mut self, act: impl FnOnce(&mut On<'_, '_>) -> R) -> (R, Calls) {
        let (it, flow) = (&mut *self.it, self.flow);
        unheard(self.cx, |cx| act(&mut On { it, cx, flow }))
    }
}

/// What is wrong. What is not replaced passes everything on.
pub(super) trait Deviation: Sized + 'static {
    fn manifest(&self, healthy: &dyn Carries) -> Manifest {
        healthy.manifest()
    }

    fn open(&mut self, on: &mut On<'_, '_>, descriptor: &Descriptor) -> Done {
        on.open(descriptor)
    }

    fn half_close(&mut self, on: &mut On<'_, '_>) -> Done {
        on.half_close()
    }

    fn reset(&mut self, on: &mut On<'_, '_>, cause: Cause) -> Done {
        on.reset(cause)
    }

    fn close(&mut self, on: &mut On<'_, '_>) -> Done {
        on.close()
    }

    fn take(&mut self, on: &mut On<'_, '_>, chunk: &Chunk, bytes: &[u8]) -> Took {
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

    // What it puts out.

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

/// Polls the healthy adapter; what it puts out goes through the deviation.
pub(super) fn poll_through<D: Deviation>(
    deviation: &mut D,
    it: Healthy<'_>,
    cx: &mut Context<'_>,
    out: &mut Outlet<'_>,
) {
    it.poll(cx, &mut Outlet::new(&mut Tap { deviation, out }));
}

/// Calls with a context whose wishes nobody hears; gives them.
pub(super) fn unheard<R>(
    cx: &mut Context<'_>,
    act: impl FnOnce(&mut Context<'_>) -> R,
) -> (R, Calls) {
    // Healthy adapters draw nothing.
    let (mut random, mut calls) = (Random::new(0), Calls::default());
    let result = act(&mut Context::new(cx.now(), &mut random, cx.budget_bytes(), &mut calls));
    (result, calls)
}

/// The ingress adapter is wrong.
pub(super) fn ingress<D: Deviation>(limits: Limits, deviation: D) -> Pair {
    ingress_of(Box::new(MemoryIngressAdapter::new(limits)), limits, deviation)
}

/// The ingress adapter is wrong, and was made with other limits.
pub(super) fn ingress_of<D: Deviation>(
    healthy: Box<dyn Carries>,
    limits: Limits,
    deviation: D,
) -> Pair {
    let ingress = Box::new(Deviant { healthy, deviation });
    (ingress, Box::new(MemoryEgressAdapter::new(limits)))
}

/// Both are wrong.
pub(super) fn both(limits: Limits, ingress: impl Deviation, egress: impl Deviation) -> Pair {
    let (ingress, _) = self::ingress(limits, ingress);
    let (_, egress) = self::egress(limits, egress);
    (ingress, egress)
}

/// The egress adapter is wrong.
pub(super) fn egress<D: Deviation>(limits: Limits, deviation: D) -> Pair {
    let healthy = Box::new(MemoryEgressAdapter::new(limits));
    let egress = Box::new(Deviant { healthy, deviation });
    (Box::new(MemoryIngressAdapter::new(limits)), egress)
}

struct Deviant<D> {
    healthy: Box<dyn Carries>,
    deviation: D,
}

impl<D: Deviation> Deviant<D> {
    /// What is wrong, and what it is wrong about.
    fn on<'a, 'c>(&'a mut self, cx: &'a mut Context<'c>, flow: FlowId) -> (&'a mut D, On<'a, 'c>) {
        (&mut self.deviation, On { it: &mut *self.healthy, cx, flow })
    }
}

impl<D: Deviation> Adapter for Deviant<D> {
    fn manifest(&self) -> Manifest {
        self.deviation.manifest(&*self.healthy)
    }

    fn open(&mut self, cx: &mut Context<'_>, flow: FlowId, descriptor: &Descriptor) -> Done {
        let (deviation, mut on) = self.on(cx, flow);
        deviation.open(&mut on, descriptor)
    }

    fn half_close(&mut self, cx: &mut Context<'_>, flow: FlowId) -> Done {
        let (deviation, mut on) = self.on(cx, flow);
        deviation.half_close(&mut on)
    }

    fn reset(&mut self, cx: &mut Context<'_>, flow: FlowId, cause: Cause) -> Done {
        let (deviation, mut on) = self.on(cx, flow);
        deviation.reset(&mut on, cause)
    }

    fn close(&mut self, cx: &mut Context<'_>, flow: FlowId) -> Done {
        let (deviation, mut on) = self.on(cx, flow);
        deviation.close(&mut on)
    }

    fn poll(&mut self, cx: &mut Context<'_>, outlet: &mut Outlet<'_>) {
        self.deviation.poll(&mut *self.healthy, cx, outlet);
    }

    fn deadline(&self) -> Option<Tick> {
        self.deviation.deadline(&*self.healthy)
    }

    fn buffered_bytes(&self) -> u64 {
        self.deviation.buffered_bytes(&*self.healthy)
    }

    fn summary(&self) -> String {
        self.deviation.summary(&*self.healthy)
    }
}

impl<D: Deviation> IngressAdapter for Deviant<D> {
    fn offer(&mut self, cx: &mut Context<'_>, chunk: &Chunk, bytes: &[u8]) -> Took {
        let (deviation, mut on) = self.on(cx, chunk.flow);
        deviation.take(&mut on, chunk, bytes)
    }
}

impl<D: Deviation> EgressAdapter for Deviant<D> {
    fn accept(&mut self, cx: &mut Context<'_>, chunk: &Chunk, bytes: &[u8]) -> Took {
        let (deviation, mut on) = self.on(cx, chunk.flow);
        deviation.take(&mut on, chunk, bytes)
    }
}

/// What the healthy adapter puts out comes here.
struct Tap<'a, 'o, D> {
    deviation: &'a mut D,
    out: &'a mut Outlet<'o>,
}

impl<D: Deviation> Receiver for Tap<'_, '_, D> {
    fn room(&self, flow: FlowId) -> usize {
        self.deviation.room(self.out, flow)
    }

    fn data(&mut self, chunk: &Chunk, bytes: &[u8]) -> Result<(), Refused> {
        self.deviation.data(self.out, chunk, bytes)
    }

    fn half_closed(&mut self, flow: FlowId) {
        self.deviation.says_half_closed(self.out, flow);
    }

    fn reset(&mut self, flow: FlowId, cause: Cause) {
        self.deviation.says_reset(self.out, flow, cause);
    }

    fn closed(&mut self, flow: FlowId) {
        self.out.closed(flow);
    }
}
