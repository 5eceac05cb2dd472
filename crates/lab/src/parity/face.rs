// SPDX-License-Identifier: BSD-3-Clause
//! Backends in the types of generated modules, as pairs of adapters of the contract.

use crate::adapters::Pair;
use crate::contract::{
    Adapter, AdapterError, Capabilities, Capability, Cause, Chunk, Context, Descriptor, Done,
    EgressAdapter, FlowId, IngressAdapter, Limits, Manifest, Outlet, Took,
};
use crate::generate::vocabulary::{self as words, Carries, Host, Port, Refusal};

/// An adapter of either direction.
struct Face<B> {
    backend: B,
    manifest: Manifest,
}

/// A pair of adapters, each with a backend of its own.
pub(super) fn pair<B: Carries + 'static>(
    name: &str,
    capabilities: Capabilities,
    limits: Limits,
    make: impl Fn() -> B,
) -> Pair {
    let face = |way| {
        let manifest = Manifest { name: name.into(), capabilities: capabilities.with(way), limits };
        Face { backend: make(), manifest }
    };
    (Box::new(face(Capability::AdapterIngress)), Box::new(face(Capability::AdapterEgress)))
}

impl<B: Carries> Face<B> {
    fn refused(&self, flow: FlowId, refusal: Refusal) -> AdapterError {
        match refusal {
            Refusal::Unsupported(what) => AdapterError::Unsupported(what),
            Refusal::TooManyFlows => AdapterError::TooManyFlows(self.manifest.limits.flows_max),
            Refusal::UnknownFlow => AdapterError::UnknownFlow(flow),
            Refusal::FlowInUse => AdapterError::FlowInUse(flow),
            Refusal::Closed => AdapterError::Closed(flow),
            Refusal::Malformed => {
                let rule = "its offset is that of the next byte, its length that of its bytes";
                AdapterError::Malformed { flow, rule }
            }
        }
    }

    fn offered(&mut self, cx: &mut Context<'_>, chunk: &Chunk, bytes: &[u8]) -> Took {
        let Chunk { flow, sequence, offset, bytes: count, is_final } = *chunk;
        let flow = flow.number();
        let offered = words::Chunk { flow, sequence, offset, bytes: count, is_final };
        let taken = self.backend.offer(&mut World(cx), &offered, bytes);
        taken.map_err(|refusal| self.refused(chunk.flow, refusal))
    }
}

/// The context of a call.
struct World<'a, 'b>(&'a mut Context<'b>);

impl Host for World<'_, '_> {
    fn budget_bytes(&self) -> usize {
        self.0.budget_bytes()
    }

    fn wants_poll(&mut self) {
        self.0.wants_poll();
    }

    fn has_room(&mut self, flow: u32) {
        self.0.has_room(FlowId::new(flow));
    }
}

/// The outlet of a poll.
struct Out<'a, 'b>(&'a mut Outlet<'b>);

impl Port for Out<'_, '_> {
    fn room(&self, flow: u32) -> usize {
        self.0.room(FlowId::new(flow))
    }

    fn data(&mut self, chunk: &words::Chunk, bytes: &[u8]) -> bool {
        let words::Chunk { flow, sequence, offset, bytes: count, is_final } = *chunk;
        let flow = FlowId::new(flow);
        self.0.data(&Chunk { flow, sequence, offset, bytes: count, is_final }, bytes).is_ok()
    }

    fn half_closed(&mut self, flow: u32) {
        self.0.half_closed(FlowId::new(flow));
    }

    fn reset(&mut self, flow: u32, cause: words::Cause) {
        self.0.reset(FlowId::new(flow), cause.into());
    }
}

impl<B: Carries> Adapter for Face<B> {
    fn manifest(&self) -> Manifest {
        self.manifest.clone()
    }

    fn open(&mut self, _: &mut Context<'_>, flow: FlowId, descriptor: &Descriptor) -> Done {
        let opened = self.backend.open(flow.number(), descriptor.class.into());
        opened.map_err(|refusal| self.refused(flow, refusal))
    }

    fn half_close(&mut self, cx: &mut Context<'_>, flow: FlowId) -> Done {
        let closed = self.backend.half_close(&mut World(cx), flow.number());
        closed.map_err(|refusal| self.refused(flow, refusal))
    }

    fn reset(&mut self, cx: &mut Context<'_>, flow: FlowId, cause: Cause) -> Done {
        let reset = self.backend.reset(&mut World(cx), flow.number(), cause.into());
        reset.map_err(|refusal| self.refused(flow, refusal))
    }

    fn close(&mut self, cx: &mut Context<'_>, flow: FlowId) -> Done {
        self.backend.close(&mut World(cx), flow.number());
        Ok(())
    }

    fn poll(&mut self, cx: &mut Context<'_>, outlet: &mut Outlet<'_>) {
        self.backend.poll(&mut World(cx), &mut Out(outlet));
    }

    fn buffered_bytes(&self) -> u64 {
        self.backend.buffered_bytes()
    }

    fn summary(&self) -> String {
        format!("{} flows", self.backend.flows())
    }
}

impl<B: Carries> IngressAdapter for Face<B> {
    fn offer(&mut self, cx: &mut Context<'_>, chunk: &Chunk, bytes: &[u8]) -> Took {
        self.offered(cx, chunk, bytes)
    }
}

impl<B: Carries> EgressAdapter for Face<B> {
    fn accept(&mut self, cx: &mut Context<'_>, chunk: &Chunk, bytes: &[u8]) -> Took {
        self.offered(cx, chunk, bytes)
    }
}
