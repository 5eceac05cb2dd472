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
//! 1. A queue holds at most `flow_buffered_bytes_max`, all together at most `buffered_bytes_max`.
//!    After an offer that did not fit, room is reported when a queue has been emptied.
//! 2. Bytes are put out in order, once, followed by the end.
//! 3. Flows are sorted by number. The memory of ended flows is kept for later ones: for at most as
//!    many flows as the adapter may carry at once.

use std::collections::VecDeque;

use super::faces::{carries, faces};
use super::manifest;
use crate::contract::{
    Adapter, AdapterError, Capabilities, Capability, Cause, Chunk, Class, Context, Descriptor,
    Done, EgressAdapter, FlowId, IngressAdapter, Limits, Manifest, Outlet, Took,
};

/// Maximum length of an output chunk, in bytes.
const OUT_BYTES_MAX: usize = 16 << 10;

/// The state of an adapter of either direction.
#[derive(Debug)]
struct Memory {
    manifest: Manifest,
    flows: Vec<Queue>,
    /// Memory of flows that are over.
    spare: Vec<VecDeque<u8>>,
    buffered_bytes: u64,
    /// Number of flows whose source waits for room.
    waited_for: usize,
    /// The flow that goes next, per class.
    next: FlowId,
    /// Flows that may have something to put out, each once.
    busy: Vec<FlowId>,
    /// Flows that are put out in a poll, in order.
    order: Vec<(Turn, FlowId)>,
}

#[derive(Debug)]
struct Queue {
    flow: FlowId,
    class: Class,
    bytes: VecDeque<u8>,
    /// Number of the next output chunk.
    sequence: u64,
    offset: u64,
    /// Bytes that came in.
    taken: u64,
    /// No more input comes.
    is_ended: bool,
    /// The end of the output was reported.
    is_finished: bool,
    /// An offer found too little room.
    is_waited_for: bool,
    /// A reset that was not reported yet.
    broken: Option<Cause>,
    /// It is in the list of busy flows.
    is_busy: bool,
}

impl Memory {
    fn new(name: &str, ways: Capabilities, limits: Limits) -> Self {
        Self {
            manifest: manifest(name, ways, limits),
            flows: Vec::new(),
            spare: Vec::new(),
            buffered_bytes: 0,
            waited_for: 0,
            next: FlowId::new(0),
            busy: Vec::new(),
            order: Vec::new(),
        }
    }

    fn renew(&mut self) {
        while let Some(flow) = self.flows.last().map(|queue| queue.flow) {
            self.forget(flow);
        }
        self.next = FlowId::new(0);
    }

    /// Index of a flow, or where it would be inserted.
    #[inline]
    fn place(&self, flow: FlowId) -> Result<usize, usize> {
        // Flows are numbered from 1: unless an earlier one is missing, the number gives the index.
        let guessed = (flow.number() as usize).wrapping_sub(1);
        if self.flows.get(guessed).is_some_and(|queue| queue.flow == flow) {
            return Ok(guessed);
        }
        self.flows.binary_search_by_key(&flow, |queue| queue.flow)
    }

    fn queue(&mut self, flow: FlowId) -> Option<&mut Queue> {
        let place = self.place(flow).ok()?;
        self.flows.get_mut(place)
    }

    fn open(&mut self, flow: FlowId, descriptor: &Descriptor) -> Done {
        let flows_max = self.manifest.limits.flows_max;
        let Err(place) = self.place(flow) else { return Err(AdapterError::FlowInUse(flow)) };
        if self.flows.len() >= flows_max as usize {
            return Err(AdapterError::TooManyFlows(flows_max));
        }
        let queue = Queue {
            flow,
            class: descriptor.class,
            bytes: self.spare.pop().unwrap_or_default(),
            sequence: 1,
            offset: 0,
            taken: 0,
            is_ended: false,
            is_finished: false,
            is_waited_for: false,
            broken: None,
            is_busy: false,
        };
        self.flows.insert(place, queue);
        Ok(())
    }

    /// Marks that the flow has something to put out.
    fn is_busy(&mut self, flow: FlowId) {
        if let Some(queue) = self.queue(flow)
            && !std::mem::replace(&mut queue.is_busy, true)
        {
            self.busy.push(flow);
        }
    }

    /// Removes the flow.
    fn forget(&mut self, flow: FlowId) {
        let Ok(place) = self.place(flow) else { return };
        let mut queue = self.flows.remove(place);
        self.buffered_bytes -= queue.bytes.len() as u64;
        self.waited_for -= usize::from(queue.is_waited_for);
        if queue.is_busy {
            self.busy.retain(|busy| *busy != flow);
        }
        queue.bytes.clear();
        self.spare.push(queue.bytes);
    }

    fn offer(&mut self, cx: &mut Context<'_>, chunk: &Chunk, bytes: &[u8]) -> Took {
        let flow = chunk.flow;
        let limits = self.manifest.limits;
        let buffered_bytes = self.buffered_bytes;
        let queue = self.queue(flow).ok_or(AdapterError::UnknownFlow(flow))?;
        if queue.is_ended || queue.broken.is_some() {
            return Err(AdapterError::Closed(flow));
        }
        if chunk.bytes != bytes.len() as u64 || chunk.offset != queue.taken {
            let rule = "its offset is that of the next byte, its length that of its bytes";
            return Err(AdapterError::Malformed { flow, rule });
        }
        let own = limits.flow_buffered_bytes_max.saturating_sub(queue.bytes.len() as u64);
        let all = limits.buffered_bytes_max.saturating_sub(buffered_bytes);
        let taken = bytes.len().min(own.min(all) as usize).min(cx.budget_bytes());
        queue.bytes.extend(bytes.get(..taken).unwrap_or_default());
        queue.taken += taken as u64;
        queue.is_ended = chunk.is_final && taken == bytes.len();
        let is_waited_for = taken < bytes.len();
        let was = std::mem::replace(&mut queue.is_waited_for, is_waited_for);
        let was_busy = std::mem::replace(&mut queue.is_busy, true);
        self.waited_for = self.waited_for + usize::from(is_waited_for) - usize::from(was);
        self.buffered_bytes += taken as u64;
        if !was_busy {
            self.busy.push(flow);
        }
        cx.wants_poll();
        Ok(taken)
    }

    fn half_close(&mut self, cx: &mut Context<'_>, flow: FlowId) -> Done {
        let queue = self.queue(flow).ok_or(AdapterError::UnknownFlow(flow))?;
        if queue.is_ended || queue.broken.is_some() {
            return Err(AdapterError::Closed(flow));
        }
        queue.is_ended = true;
        self.is_busy(flow);
        cx.wants_poll();
        Ok(())
    }

    fn reset(&mut self, cx: &mut Context<'_>, flow: FlowId, cause: Cause) {
        if let Some(queue) = self.queue(flow).filter(|queue| queue.broken.is_none()) {
            let bytes = queue.bytes.len() as u64;
            queue.bytes.clear();
            queue.broken = Some(cause);
            self.buffered_bytes -= bytes;
            self.is_busy(flow);
            cx.wants_poll();
        }
        self.tell_waiting(cx);
    }

    fn close(&mut self, cx: &mut Context<'_>, flow: FlowId) {
        if self.place(flow).is_ok() {
            self.forget(flow);
            self.tell_waiting(cx);
        }
    }

    /// Reports room to sources whose offers found too little.
    fn tell_waiting(&mut self, cx: &mut Context<'_>) {
        let limits = self.manifest.limits;
        if self.waited_for == 0 || self.buffered_bytes >= limits.buffered_bytes_max {
            return;
        }
        for queue in &mut self.flows {
            let has_room = (queue.bytes.len() as u64) < limits.flow_buffered_bytes_max;
            if has_room && std::mem::take(&mut queue.is_waited_for) {
                self.waited_for -= 1;
                cx.has_room(queue.flow);
            }
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>, outlet: &mut Outlet<'_>) {
        let mut budget = cx.budget_bytes();
        match *self.busy.as_slice() {
            [] => {}
            [flow] => {
                self.busy.clear();
                self.put_out(flow, outlet, &mut budget);
            }
            _ => self.put_all_out(outlet, &mut budget),
        }
        if budget == 0 {
            cx.wants_poll();
        }
        self.tell_waiting(cx);
    }

    /// Puts out all busy flows, in turn.
    #[inline(never)]
    fn put_all_out(&mut self, outlet: &mut Outlet<'_>, budget: &mut usize) {
        // The flow after the last one goes first; urgent flows precede the others.
        let mut order = std::mem::take(&mut self.order);
        for flow in &self.busy {
            if let Some(queue) = self.place(*flow).ok().and_then(|place| self.flows.get(place)) {
                order.push((queue.turn(self.next), queue.flow));
            }
        }
        self.busy.clear();
        order.sort_unstable();
        for (_, flow) in order.drain(..) {
            self.put_out(flow, outlet, budget);
        }
        self.order = order;
    }

    #[inline]
    fn put_out(&mut self, flow: FlowId, outlet: &mut Outlet<'_>, budget: &mut usize) {
        let Some(queue) = self.queue(flow) else { return };
        let before = queue.bytes.len();
        queue.put_out(outlet, budget);
        let (after, is_broken) = (queue.bytes.len(), queue.broken.is_some());
        queue.is_busy = after > 0;
        self.buffered_bytes -= (before - after) as u64;
        if before > after {
            self.next = flow;
        }
        if after > 0 {
            self.busy.push(flow);
        }
        if is_broken {
            self.forget(flow);
        }
    }

    fn summary(&self) -> String {
        format!("{} flows", self.flows.len())
    }
}

/// The lower one goes first.
type Turn = u32;

impl Queue {
    /// Urgent flows first, then those after the last one.
    fn turn(&self, last: FlowId) -> Turn {
        2 * self.class as Turn + Turn::from(self.flow <= last)
    }

    fn put_out(&mut self, outlet: &mut Outlet<'_>, budget: &mut usize) {
        let flow = self.flow;
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

macro_rules! renewed {
    ($($name:ident),*) => {$(
        impl $name {
            /// Resets the adapter to its initial state with the same limits, and keeps its memory.
            pub fn renew(&mut self) {
                self.0.renew();
            }
        }
    )*};
}

renewed!(MemoryIngressAdapter, MemoryEgressAdapter, MemoryPipeAdapter);

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
