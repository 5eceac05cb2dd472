// SPDX-License-Identifier: BSD-3-Clause
//! The backend that reads its profile at run time: the reference for generated backends.
//!
//! ```text
//!   offer ──► [ flow 1: ........ ] ──┐
//!   offer ──► [ flow 2: ...      ] ──┼─► poll, in the order of the profile
//!   offer ──► [ flow 3:          ] ──┘
//! ```
//!
//! It keeps flows in a map and bytes in queues, and consults the profile and the
//! [lifecycle](crate::contract::Lifecycle) of the contract at each call. A generated backend has
//! tables and rings of fixed length, and its policies are compiled in. For the same calls both must
//! have the same effects, in the same order.
//!
//! # Invariants
//!
//! 1. A queue holds no more than `flow_bytes_max`, all together no more than `max_buffered_bytes`.
//! 2. Bytes are put out in order, once, followed by the end.
//! 3. A source whose offer was refused is notified of room once, as the profile's room policy
//!    states.

use std::collections::{BTreeMap, VecDeque};

use super::profile::{Order, Policies, Profile, Room};
use super::vocabulary::{Carries, Cause, Chunk, Class, Host, Port, Refusal};
use crate::contract::{FlowEvent, FlowState, Lifecycle, Transition};

/// A backend that reads its profile at run time.
#[derive(Debug)]
pub struct Interpreted {
    policies: Policies,
    flows_max: usize,
    buffered_bytes_max: usize,
    flows: BTreeMap<u32, Queue>,
    buffered: usize,
    /// The flow that put out something last.
    last: u32,
}

#[derive(Debug)]
struct Queue {
    class: Class,
    life: Lifecycle,
    /// A reset that was not reported yet.
    broken: Option<Cause>,
    /// An offer found too little room.
    is_waited_for: bool,
    bytes: VecDeque<u8>,
    /// Bytes that came in and that were put out, and the number of output chunks.
    taken: u64,
    put: u64,
    chunks: u64,
}

impl Interpreted {
    /// The backend of a profile.
    #[must_use]
    pub fn new(profile: &Profile) -> Self {
        Self {
            policies: profile.policies,
            flows_max: profile.config.max_flows as usize,
            buffered_bytes_max: profile.config.max_buffered_bytes as usize,
            flows: BTreeMap::new(),
            buffered: 0,
            last: 0,
        }
    }

    fn forget(&mut self, flow: u32) -> bool {
        let gone = self.flows.remove(&flow);
        self.buffered -= gone.as_ref().map_or(0, |queue| queue.bytes.len());
        gone.is_some()
    }

    /// Reports room to sources whose offers found too little.
    fn tell_waiting<H: Host>(&mut self, host: &mut H) {
        if self.buffered >= self.buffered_bytes_max {
            return;
        }
        let most = self.policies.flow_bytes_max as usize;
        for (flow, queue) in &mut self.flows {
            let held = queue.bytes.len();
            let has_room = match self.policies.room {
                Room::Any => held < most,
                Room::Half => held <= most / 2,
                Room::Empty => held == 0,
            };
            if has_room && std::mem::take(&mut queue.is_waited_for) {
                host.has_room(*flow);
            }
        }
    }

    /// Flows in the order in which they are put out.
    fn turn(&self) -> Vec<u32> {
        let mut turn: Vec<_> =
            self.flows.iter().map(|(flow, queue)| (queue.class, *flow)).collect();
        let last = self.last;
        match self.policies.order {
            Order::Urgent => turn.sort_by_key(|(class, flow)| (*class, *flow <= last, *flow)),
            Order::Turns => turn.sort_by_key(|(_, flow)| (*flow <= last, *flow)),
            Order::Numbers => {}
        }
        turn.into_iter().map(|(_, flow)| flow).collect()
    }
}

impl Queue {
    fn happens(&mut self, event: FlowEvent) -> bool {
        matches!(self.life.apply(event), Ok(Transition::Moved(_)))
    }

    /// Returns how many bytes it put out.
    fn put_out<P: Port>(
        &mut self,
        flow: u32,
        port: &mut P,
        budget: &mut usize,
        out_bytes_max: usize,
    ) -> usize {
        let before = self.bytes.len();
        while !self.bytes.is_empty() {
            let held = self.bytes.len();
            let count = port.room(flow).min(*budget).min(out_bytes_max).min(held);
            if count == 0 {
                return before - held;
            }
            let is_final = self.life.state() == FlowState::HalfClosed && count == held;
            let (sequence, offset) = (self.chunks + 1, self.put);
            let chunk = Chunk { flow, sequence, offset, bytes: count as u64, is_final };
            let bytes = self.bytes.make_contiguous().get(..count).unwrap_or_default();
            if !port.data(&chunk, bytes) {
                return before - held;
            }
            self.bytes.drain(..count);
            self.put += count as u64;
            self.chunks += 1;
            *budget -= count;
            if is_final {
                self.happens(FlowEvent::Drain);
            }
        }
        if self.life.state() == FlowState::HalfClosed {
            self.happens(FlowEvent::Drain);
            port.half_closed(flow);
        }
        before
    }
}

impl Carries for Interpreted {
    fn open(&mut self, flow: u32, class: Class) -> Result<(), Refusal> {
        if self.flows.contains_key(&flow) {
            return Err(Refusal::FlowInUse);
        }
        if self.flows.len() >= self.flows_max {
            return Err(Refusal::TooManyFlows);
        }
        let mut queue = Queue {
            class,
            life: Lifecycle::default(),
            broken: None,
            is_waited_for: false,
            bytes: VecDeque::new(),
            taken: 0,
            put: 0,
            chunks: 0,
        };
        queue.happens(FlowEvent::Open);
        queue.happens(FlowEvent::Opened);
        self.flows.insert(flow, queue);
        Ok(())
    }

    fn offer<H: Host>(
        &mut self,
        host: &mut H,
        chunk: &Chunk,
        bytes: &[u8],
    ) -> Result<usize, Refusal> {
        let budget = host.budget_bytes().min(self.policies.budget_bytes_max as usize);
        let left = self.buffered_bytes_max.saturating_sub(self.buffered);
        let queue = self.flows.get_mut(&chunk.flow).ok_or(Refusal::UnknownFlow)?;
        if queue.life.state() != FlowState::Open {
            return Err(Refusal::Closed);
        }
        if chunk.bytes != bytes.len() as u64 || chunk.offset != queue.taken {
            return Err(Refusal::Malformed);
        }
        let room = (self.policies.flow_bytes_max as usize).saturating_sub(queue.bytes.len());
        let taken = bytes.len().min(room).min(left).min(budget);
        queue.bytes.extend(bytes.get(..taken).unwrap_or_default());
        queue.taken += taken as u64;
        self.buffered += taken;
        if taken < bytes.len() {
            queue.is_waited_for = true;
        } else if chunk.is_final {
            queue.happens(FlowEvent::HalfClose);
        }
        host.wants_poll();
        Ok(taken)
    }

    fn half_close<H: Host>(&mut self, host: &mut H, flow: u32) -> Result<(), Refusal> {
        if !self.policies.half_close {
            return Err(Refusal::Unsupported("flow_half_close"));
        }
        let queue = self.flows.get_mut(&flow).ok_or(Refusal::UnknownFlow)?;
        if !queue.happens(FlowEvent::HalfClose) {
            return Err(Refusal::Closed);
        }
        host.wants_poll();
        Ok(())
    }

    fn reset<H: Host>(&mut self, host: &mut H, flow: u32, cause: Cause) -> Result<(), Refusal> {
        if !self.policies.reset {
            self.close(host, flow);
            return Err(Refusal::Unsupported("flow_reset"));
        }
        let Some(queue) = self.flows.get_mut(&flow) else { return Ok(()) };
        let event = if cause == Cause::Reset { FlowEvent::Reset } else { FlowEvent::Fail };
        if queue.happens(event) {
            queue.broken = Some(cause);
            self.buffered -= queue.bytes.len();
            queue.bytes.clear();
            host.wants_poll();
            self.tell_waiting(host);
        }
        Ok(())
    }

    fn close<H: Host>(&mut self, host: &mut H, flow: u32) {
        if self.forget(flow) {
            self.tell_waiting(host);
        }
    }

    fn poll<H: Host, P: Port>(&mut self, host: &mut H, port: &mut P) {
        let mut budget = host.budget_bytes().min(self.policies.budget_bytes_max as usize);
        let out_bytes_max = self.policies.out_bytes_max as usize;
        for flow in self.turn() {
            let Some(queue) = self.flows.get_mut(&flow) else { continue };
            if let Some(cause) = queue.broken {
                port.reset(flow, cause);
                self.forget(flow);
                continue;
            }
            let count = queue.put_out(flow, port, &mut budget, out_bytes_max);
            self.buffered -= count;
            if count > 0 {
                self.last = flow;
            }
        }
        if budget == 0 {
            host.wants_poll();
        }
        self.tell_waiting(host);
    }

    fn buffered_bytes(&self) -> u64 {
        self.buffered as u64
    }

    fn flows(&self) -> usize {
        self.flows.len()
    }
}
