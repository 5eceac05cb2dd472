// SPDX-License-Identifier: BSD-3-Clause
//! Adapters that keep what they carry in a queue of bytes for each flow.
//!
//! ```text
//!   offer ──► [ flow 1: ........ ] ──┐
//!   offer ──► [ flow 2: ...      ] ──┼─► poll, the flows in turn, urgent ones first
//!   offer ──► [ flow 3:          ] ──┘
//! ```
//!
//! # Invariants
//!
//! 1. A queue holds no more than `flow_buffered_bytes_max`, all together no more than
//!    `buffered_bytes_max`. Who was offered more hears of room when a queue has been emptied.
//! 2. What came in is put out in order, once, and the end behind it.

use std::collections::{BTreeMap, VecDeque};

use super::faces::{carries, faces};
use super::manifest;
use crate::contract::{
    Adapter, AdapterError, Capabilities, Capability, Cause, Chunk, Class, Context, Descriptor,
    EgressAdapter, FlowId, IngressAdapter, Limits, Manifest, Outlet,
};

/// A chunk that is put out is at most so long.
const OUT_BYTES_MAX: usize = 16 << 10;

/// What an adapter keeps, whichever way it carries.
#[derive(Debug)]
struct Memory {
    manifest: Manifest,
    flows: BTreeMap<FlowId, Queue>,
    buffered_bytes: u64,
    /// Whose turn it is, of each class.
    next: FlowId,
}

#[derive(Debug)]
struct Queue {
    class: Class,
    bytes: VecDeque<u8>,
    /// Numbers of what is put out.
    sequence: u64,
    offset: u64,
    /// Bytes that came in.
    taken: u64,
    /// Nothing more comes in.
    is_ended: bool,
    /// It was said that nothing more comes out.
    is_finished: bool,
    /// Somebody was offered room and found too little.
    is_waited_for: bool,
    /// It was broken off, and that was not said yet.
    broken: Option<Cause>,
}

impl Memory {
    fn new(name: &str, ways: Capabilities, limits: Limits) -> Self {
        let manifest = manifest(name, ways, limits);
        Self { manifest, flows: BTreeMap::new(), buffered_bytes: 0, next: FlowId::new(0) }
    }

    fn open(&mut self, flow: FlowId, descriptor: &Descriptor) -> Result<(), AdapterError> {
        let flows_max = self.manifest.limits.flows_max;
        if self.flows.contains_key(&flow) {
            return Err(AdapterError::FlowInUse(flow));
        }
        if self.flows.len() >= flows_max as usize {
            return Err(AdapterError::TooManyFlows(flows_max));
        }
        let queue = Queue {
            class: descriptor.class,
            bytes: VecDeque::new(),
            sequence: 1,
            offset: 0,
            taken: 0,
            is_ended: false,
            is_finished: false,
            is_waited_for: false,
            broken: None,
        };
        self.flows.insert(flow, queue);
        Ok(())
    }

    fn offer(
        &mut self,
        cx: &mut Context<'_>,
        chunk: &Chunk,
        bytes: &[u8],
    ) -> Result<usize, AdapterError> {
        let flow = chunk.flow;
        let limits = self.manifest.limits;
        let queue = self.flows.get_mut(&flow).ok_or(AdapterError::UnknownFlow(flow))?;
        if queue.is_ended || queue.broken.is_some() {
            return Err(AdapterError::Closed(flow));
        }
        if chunk.bytes != bytes.len() as u64 || chunk.offset != queue.taken {
            let rule = "its offset is that of the next byte, its length that of its bytes";
            return Err(AdapterError::Malformed { flow, rule });
        }
        let own = limits.flow_buffered_bytes_max.saturating_sub(queue.bytes.len() as u64);
        let all = limits.buffered_bytes_max.saturating_sub(self.buffered_bytes);
        let taken = bytes.len().min(own.min(all) as usize).min(cx.budget_bytes());
        queue.bytes.extend(bytes.get(..taken).unwrap_or_default());
        queue.taken += taken as u64;
        self.buffered_bytes += taken as u64;
        queue.is_ended = chunk.is_final && taken == bytes.len();
        queue.is_waited_for = taken < bytes.len();
        cx.wants_poll();
        Ok(taken)
    }

    fn half_close(&mut self, cx: &mut Context<'_>, flow: FlowId) -> Result<(), AdapterError> {
        let queue = self.flows.get_mut(&flow).ok_or(AdapterError::UnknownFlow(flow))?;
        if queue.is_ended || queue.broken.is_some() {
            return Err(AdapterError::Closed(flow));
        }
        queue.is_ended = true;
        cx.wants_poll();
        Ok(())
    }

    fn reset(&mut self, cx: &mut Context<'_>, flow: FlowId, cause: Cause) {
        if let Some(queue) = self.flows.get_mut(&flow).filter(|queue| queue.broken.is_none()) {
            self.buffered_bytes -= queue.bytes.len() as u64;
            queue.bytes.clear();
            queue.broken = Some(cause);
            cx.wants_poll();
        }
        self.tell_waiting(cx);
    }

    fn close(&mut self, cx: &mut Context<'_>, flow: FlowId) {
        if let Some(queue) = self.flows.remove(&flow) {
            self.buffered_bytes -= queue.bytes.len() as u64;
            self.tell_waiting(cx);
        }
    }

    /// Those who found too little room may find some now.
    fn tell_waiting(&mut self, cx: &mut Context<'_>) {
        let limits = self.manifest.limits;
        if self.buffered_bytes >= limits.buffered_bytes_max {
            return;
        }
        for (flow, queue) in &mut self.flows {
            let has_room = (queue.bytes.len() as u64) < limits.flow_buffered_bytes_max;
            if has_room && std::mem::take(&mut queue.is_waited_for) {
                cx.has_room(*flow);
            }
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>, outlet: &mut Outlet<'_>) {
        let mut budget = cx.budget_bytes();
        // The flow behind the one that was last goes first; among them, urgent ones.
        let mut order: Vec<_> =
            self.flows.iter().map(|(flow, queue)| (queue.class, *flow)).collect();
        order.sort_by_key(|(class, flow)| (*class, *flow <= self.next, *flow));
        for (_, flow) in order {
            if let Some(queue) = self.flows.get_mut(&flow) {
                let before = queue.bytes.len();
                queue.put_out(flow, outlet, &mut budget);
                self.buffered_bytes -= (before - queue.bytes.len()) as u64;
                if before > queue.bytes.len() {
                    self.next = flow;
                }
                if queue.broken.is_some() {
                    self.flows.remove(&flow);
                }
            }
        }
        if budget == 0 {
            cx.wants_poll();
        }
        self.tell_waiting(cx);
    }

    fn summary(&self) -> String {
        format!("{} flows", self.flows.len())
    }
}

impl Queue {
    fn put_out(&mut self, flow: FlowId, outlet: &mut Outlet<'_>, budget: &mut usize) {
        if let Some(cause) = self.broken {
            return outlet.reset(flow, cause);
        }
        while !self.bytes.is_empty() {
            let room = outlet.room(flow).min(*budget).min(OUT_BYTES_MAX);
            let (front, _) = self.bytes.as_slices();
            let bytes = front.get(..front.len().min(room)).unwrap_or_default();
            if bytes.is_empty() {
                return;
            }
            let count = bytes.len();
            let is_final = self.is_ended && count == self.bytes.len();
            let (sequence, offset) = (self.sequence, self.offset);
            let chunk = Chunk { flow, sequence, offset, bytes: count as u64, is_final };
            if outlet.data(&chunk, bytes).is_err() {
                return;
            }
            self.bytes.drain(..count);
            self.sequence += 1;
            self.offset += count as u64;
            self.is_finished |= is_final;
            *budget -= count;
        }
        if self.is_ended && !std::mem::replace(&mut self.is_finished, true) {
            outlet.half_closed(flow);
        }
    }
}

faces! {
    Memory:
    /// Carries what a source gives into the runtime.
    MemoryIngressAdapter("memory-ingress", AdapterIngress);
    /// Carries what the runtime gives to a sink.
    MemoryEgressAdapter("memory-egress", AdapterEgress);
    /// Carries either way.
    MemoryPipeAdapter("memory-pipe", AdapterIngress, AdapterEgress);
}

carries! {
    MemoryIngressAdapter as IngressAdapter::offer;
    MemoryEgressAdapter as EgressAdapter::accept;
    MemoryPipeAdapter as IngressAdapter::offer;
    MemoryPipeAdapter as EgressAdapter::accept;
}
