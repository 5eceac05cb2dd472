// SPDX-License-Identifier: BSD-3-Clause
//! Adapters that keep bytes in rings of fixed length, one per flow, in a table of fixed length.
//!
//! ```text
//!   slot 0   flow 7   [ . . . . # # # # # . . ]      # bytes that came in, `.` room
//!   slot 1   free             ▲         ▲
//!   slot 2   flow 3          start      start + held
//! ```
//!
//! The slots are served in turn, one chunk each, until there is nothing to put out or no room: a
//! flow with much data does not delay one with little. A chunk ends where the ring does.
//!
//! # Invariants
//!
//! 1. `held` is at most the length of the ring, and the sum of all at most `buffered_bytes_max`.
//! 2. After an offer that did not fit, room is reported when the ring is half empty, not for each
//!    byte.
//! 3. A ring is allocated when its slot is first used, and kept for the next flow in the slot.

use super::faces::{carries, faces};
use super::manifest;
use crate::contract::{
    Adapter, AdapterError, Capabilities, Capability, Cause, Chunk, Class, Context, Descriptor,
    Done, EgressAdapter, FlowId, IngressAdapter, Limits, Manifest, Outlet, Took,
};

/// Maximum length of a ring, whatever the limits are.
const RING_BYTES_MAX: u64 = 8 << 20;

/// The state of an adapter of either direction.
#[derive(Debug)]
struct Rings {
    manifest: Manifest,
    slots: Vec<Slot>,
    buffered_bytes: u64,
    /// The slot that goes next.
    turn: usize,
}

/// A slot for a flow.
#[derive(Debug, Default)]
struct Slot {
    /// The flow in it.
    used: Option<Used>,
    ring: Vec<u8>,
}

#[derive(Debug)]
struct Used {
    flow: FlowId,
    class: Class,
    /// Position of the oldest byte in the ring, and number of bytes.
    start: usize,
    held: usize,
    /// Bytes that came in and that were put out, and the number of chunks.
    taken: u64,
    put: u64,
    chunks: u64,
    end: End,
    is_waited_for: bool,
}

/// How the flow ends, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// More may come in.
    Open,
    /// No more input comes; the end was not reported yet.
    Ended,
    /// The end was reported.
    Finished,
    /// It was reset; that was not reported yet.
    Broken(Cause),
}

impl Rings {
    fn new(name: &str, ways: Capabilities, mut limits: Limits) -> Self {
        let ring_bytes = limits.flow_buffered_bytes_max.min(RING_BYTES_MAX);
        limits.flow_buffered_bytes_max = ring_bytes;
        let manifest = manifest(name, ways, limits);
        Self { manifest, slots: Vec::new(), buffered_bytes: 0, turn: 0 }
    }

    fn used(&mut self, flow: FlowId) -> Option<(&mut Used, &mut Vec<u8>)> {
        self.slots.iter_mut().find_map(|slot| {
            let used = slot.used.as_mut().filter(|used| used.flow == flow)?;
            Some((used, &mut slot.ring))
        })
    }

    fn open(&mut self, flow: FlowId, descriptor: &Descriptor) -> Done {
        let Limits { flows_max, flow_buffered_bytes_max, .. } = self.manifest.limits;
        if self.used(flow).is_some() {
            return Err(AdapterError::FlowInUse(flow));
        }
        let free = self.slots.iter().position(|slot| slot.used.is_none());
        let at = free.unwrap_or(self.slots.len());
        if at >= flows_max as usize {
            return Err(AdapterError::TooManyFlows(flows_max));
        }
        if free.is_none() {
            let ring = vec![0; flow_buffered_bytes_max as usize];
            self.slots.push(Slot { used: None, ring });
        }
        if let Some(slot) = self.slots.get_mut(at) {
            slot.used = Some(Used {
                flow,
                class: descriptor.class,
                start: 0,
                held: 0,
                taken: 0,
                put: 0,
                chunks: 0,
                end: End::Open,
                is_waited_for: false,
            });
        }
        Ok(())
    }

    fn offer(&mut self, cx: &mut Context<'_>, chunk: &Chunk, bytes: &[u8]) -> Took {
        let flow = chunk.flow;
        let left = self.manifest.limits.buffered_bytes_max.saturating_sub(self.buffered_bytes);
        let (used, ring) = self.used(flow).ok_or(AdapterError::UnknownFlow(flow))?;
        if used.end != End::Open {
            return Err(AdapterError::Closed(flow));
        }
        if chunk.bytes != bytes.len() as u64 || chunk.offset != used.taken {
            let rule = "its offset is that of the next byte, its length that of its bytes";
            return Err(AdapterError::Malformed { flow, rule });
        }
        let room = ring.len() - used.held;
        let most = (room as u64).min(left).min(cx.budget_bytes() as u64);
        let taken = bytes.len().min(most as usize);
        used.push(ring, bytes.get(..taken).unwrap_or_default());
        if taken < bytes.len() {
            used.is_waited_for = true;
        } else if chunk.is_final {
            used.end = End::Ended;
        }
        self.buffered_bytes += taken as u64;
        cx.wants_poll();
        Ok(taken)
    }

    fn half_close(&mut self, cx: &mut Context<'_>, flow: FlowId) -> Done {
        let (used, _) = self.used(flow).ok_or(AdapterError::UnknownFlow(flow))?;
        if used.end != End::Open {
            return Err(AdapterError::Closed(flow));
        }
        used.end = End::Ended;
        cx.wants_poll();
        Ok(())
    }

    fn reset(&mut self, cx: &mut Context<'_>, flow: FlowId, cause: Cause) {
        let Some((used, _)) = self.used(flow) else { return };
        if matches!(used.end, End::Broken(_)) {
            return;
        }
        used.end = End::Broken(cause);
        let lost = std::mem::take(&mut used.held);
        self.buffered_bytes -= lost as u64;
        cx.wants_poll();
        self.tell_waiting(cx);
    }

    fn close(&mut self, cx: &mut Context<'_>, flow: FlowId) {
        for slot in &mut self.slots {
            if let Some(used) = slot.used.take_if(|used| used.flow == flow) {
                self.buffered_bytes -= used.held as u64;
            }
        }
        self.tell_waiting(cx);
    }

    /// Reports room to sources whose offers found too little and whose ring is half empty.
    fn tell_waiting(&mut self, cx: &mut Context<'_>) {
        if self.buffered_bytes >= self.manifest.limits.buffered_bytes_max {
            return;
        }
        for slot in &mut self.slots {
            if let Some(used) = &mut slot.used
                && used.held <= slot.ring.len() / 2
                && std::mem::take(&mut used.is_waited_for)
            {
                cx.has_room(used.flow);
            }
        }
    }

    /// Urgent flows first; flows of a class in turn, one chunk each, until none has any.
    fn poll(&mut self, cx: &mut Context<'_>, outlet: &mut Outlet<'_>) {
        let mut budget = cx.budget_bytes();
        for class in [Class::Interactive, Class::Normal, Class::Bulk] {
            while self.round(class, outlet, &mut budget) {}
        }
        if budget == 0 {
            cx.wants_poll();
        }
        self.tell_waiting(cx);
    }

    /// One chunk of each flow of a class. Returns false if none had any, or room for it.
    fn round(&mut self, class: Class, outlet: &mut Outlet<'_>, budget: &mut usize) -> bool {
        let (mut moved, slots) = (false, self.slots.len());
        for at in (0..slots).map(|step| (self.turn + step) % slots) {
            let Some(slot) = self.slots.get_mut(at) else { continue };
            let Some(used) = slot.used.as_mut().filter(|used| used.class == class) else {
                continue;
            };
            let count = used.put_out(&slot.ring, outlet, *budget);
            if count > 0 {
                moved = true;
                *budget -= count;
                self.buffered_bytes -= count as u64;
            }
            if matches!(used.end, End::Broken(_)) {
                slot.used = None;
            }
        }
        self.turn = if slots == 0 { 0 } else { (self.turn + 1) % slots };
        moved
    }

    fn summary(&self) -> String {
        let used = self.slots.iter().filter(|slot| slot.used.is_some()).count();
        format!("{used} of {} slots", self.slots.len())
    }
}

impl Used {
    /// The caller has checked that all of them fit.
    fn push(&mut self, ring: &mut [u8], bytes: &[u8]) {
        let end = if ring.is_empty() { 0 } else { (self.start + self.held) % ring.len() };
        let first = bytes.len().min(ring.len() - end);
        let (before, behind) = bytes.split_at(first);
        for (at, part) in [(end, before), (0, behind)] {
            if let Some(place) = ring.get_mut(at..at + part.len()) {
                place.copy_from_slice(part);
            }
        }
        self.held += bytes.len();
        self.taken += bytes.len() as u64;
    }

    /// The oldest bytes up to the end of the ring, or as much as there is room for; or the end.
    fn put_out(&mut self, ring: &[u8], outlet: &mut Outlet<'_>, budget: usize) -> usize {
        let flow = self.flow;
        if let End::Broken(cause) = self.end {
            outlet.reset(flow, cause);
            return 0;
        }
        if self.held == 0 {
            if self.end == End::Ended {
                self.end = End::Finished;
                outlet.half_closed(flow);
            }
            return 0;
        }
        let most = self.held.min(outlet.room(flow)).min(budget);
        let end = (self.start + most).min(ring.len());
        let bytes = ring.get(self.start..end).unwrap_or_default();
        if bytes.is_empty() {
            return 0;
        }
        let count = bytes.len();
        let is_final = self.end == End::Ended && count == self.held;
        let (sequence, offset) = (self.chunks + 1, self.put);
        let chunk = Chunk { flow, sequence, offset, bytes: count as u64, is_final };
        if outlet.data(&chunk, bytes).is_err() {
            return 0;
        }
        if is_final {
            self.end = End::Finished;
        }
        self.start = if end == ring.len() { 0 } else { end };
        self.held -= count;
        self.put += count as u64;
        self.chunks += 1;
        count
    }
}

faces! {
    Rings:
    /// Carries what a source gives into the runtime.
    RingIngressAdapter("ring-ingress", AdapterIngress);
    /// Carries what the runtime gives to a sink.
    RingEgressAdapter("ring-egress", AdapterEgress);
}

carries! {
    RingIngressAdapter as IngressAdapter::offer;
    RingEgressAdapter as EgressAdapter::accept;
}
