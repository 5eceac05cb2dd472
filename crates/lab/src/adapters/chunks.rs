// SPDX-License-Identifier: BSD-3-Clause
//! Adapters that keep chunks as they came, and put them out with the same borders.
//!
//! ```text
//!   came in     [ 40 bytes ][ 300 bytes ][ 7 bytes, final ]
//!   put out     [ 40 bytes ][ 200 ][ 100 ][ 7 bytes, final ]      there was room for 200
//! ```
//!
//! # Invariants
//!
//! 1. No output chunk has bytes of two input chunks. An input chunk is split when there is too
//!    little room for it.
//! 2. A chunk is taken whole, or waits until it fits; only when nothing of its flow is kept is a
//!    part taken, because the whole would never fit.
//! 3. An empty chunk is put out only if it is final.

use std::collections::{BTreeMap, VecDeque};

use super::faces::{carries, faces};
use super::manifest;
use crate::contract::{
    Adapter, AdapterError, Capabilities, Capability, Cause, Chunk, Class, Context, Descriptor,
    Done, EgressAdapter, FlowId, IngressAdapter, Limits, Manifest, Outlet, Took,
};

/// Maximum number of chunks of a flow that are kept, however short.
const KEPT_CHUNKS_MAX: usize = 4096;

/// The state of an adapter of either direction.
#[derive(Debug)]
struct Chunks {
    manifest: Manifest,
    flows: BTreeMap<FlowId, Line>,
    buffered_bytes: u64,
}

/// A chunk, or the rest of it.
#[derive(Debug)]
struct Kept {
    bytes: Vec<u8>,
    /// Number of its bytes that were put out.
    gone: usize,
    is_final: bool,
}

#[derive(Debug, Default)]
struct Line {
    class: Class,
    kept: VecDeque<Kept>,
    kept_bytes: u64,
    /// Bytes that came in.
    taken: u64,
    /// Number and offset of the next output.
    sequence: u64,
    offset: u64,
    /// No more input comes.
    is_ended: bool,
    /// The end was put out, or is kept with the last chunk.
    is_said: bool,
    /// A reset that was not reported yet.
    broken: Option<Cause>,
    /// A chunk of this length waits for room.
    waits: Option<u64>,
}

impl Chunks {
    fn new(name: &str, ways: Capabilities, limits: Limits) -> Self {
        let manifest = manifest(name, ways, limits);
        Self { manifest, flows: BTreeMap::new(), buffered_bytes: 0 }
    }

    fn open(&mut self, flow: FlowId, descriptor: &Descriptor) -> Done {
        let flows_max = self.manifest.limits.flows_max;
        if self.flows.contains_key(&flow) {
            return Err(AdapterError::FlowInUse(flow));
        }
        if self.flows.len() >= flows_max as usize {
            return Err(AdapterError::TooManyFlows(flows_max));
        }
        let line = Line { class: descriptor.class, sequence: 1, ..Line::default() };
        self.flows.insert(flow, line);
        Ok(())
    }

    fn offer(&mut self, cx: &mut Context<'_>, chunk: &Chunk, bytes: &[u8]) -> Took {
        let (flow, limits, buffered) = (chunk.flow, self.manifest.limits, self.buffered_bytes);
        let line = self.line(flow)?;
        if chunk.bytes != bytes.len() as u64 || chunk.offset != line.taken {
            let rule = "its offset is that of the next byte, its length that of its bytes";
            return Err(AdapterError::Malformed { flow, rule });
        }
        let fits = line.fits(limits, buffered);
        let is_whole = chunk.bytes <= fits && line.kept.len() < KEPT_CHUNKS_MAX;
        let taken = match line.kept.is_empty() {
            _ if is_whole => bytes.len(),
            true => fits as usize,
            false => 0,
        };
        if taken > 0 || is_whole && chunk.is_final {
            let bytes = bytes.get(..taken).unwrap_or_default().to_vec();
            let is_final = is_whole && chunk.is_final;
            line.kept.push_back(Kept { bytes, gone: 0, is_final });
            line.kept_bytes += taken as u64;
            line.taken += taken as u64;
            line.is_ended |= is_final;
            line.is_said |= is_final;
        }
        line.waits = (!is_whole).then_some(chunk.bytes - taken as u64);
        self.buffered_bytes += taken as u64;
        cx.wants_poll();
        Ok(taken)
    }

    /// The flow, if it takes more.
    fn line(&mut self, flow: FlowId) -> Result<&mut Line, AdapterError> {
        let line = self.flows.get_mut(&flow).ok_or(AdapterError::UnknownFlow(flow))?;
        if line.is_ended || line.broken.is_some() {
            return Err(AdapterError::Closed(flow));
        }
        Ok(line)
    }

    fn half_close(&mut self, cx: &mut Context<'_>, flow: FlowId) -> Done {
        self.line(flow)?.is_ended = true;
        cx.wants_poll();
        Ok(())
    }

    fn reset(&mut self, cx: &mut Context<'_>, flow: FlowId, cause: Cause) {
        if let Some(line) = self.flows.get_mut(&flow).filter(|line| line.broken.is_none()) {
            self.buffered_bytes -= std::mem::take(&mut line.kept_bytes);
            line.kept.clear();
            line.broken = Some(cause);
            cx.wants_poll();
        }
        self.tell_waiting(cx);
    }

    fn close(&mut self, cx: &mut Context<'_>, flow: FlowId) {
        if let Some(line) = self.flows.remove(&flow) {
            self.buffered_bytes -= line.kept_bytes;
            self.tell_waiting(cx);
        }
    }

    /// Reports room for flows whose chunk fits now, or of which nothing is kept any more.
    fn tell_waiting(&mut self, cx: &mut Context<'_>) {
        let (limits, buffered) = (self.manifest.limits, self.buffered_bytes);
        for (flow, line) in &mut self.flows {
            let fits = line.fits(limits, buffered);
            let is_empty = line.kept.is_empty() && fits > 0;
            if line.waits.take_if(|waits| is_empty || *waits <= fits).is_some() {
                cx.has_room(*flow);
            }
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>, outlet: &mut Outlet<'_>) {
        let mut budget = cx.budget_bytes();
        for class in [Class::Interactive, Class::Normal, Class::Bulk] {
            for (flow, line) in self.flows.iter_mut().filter(|(_, line)| line.class == class) {
                self.buffered_bytes -= line.put_out(*flow, outlet, &mut budget);
            }
        }
        self.flows.retain(|_, line| line.broken.is_none());
        if budget == 0 {
            cx.wants_poll();
        }
        self.tell_waiting(cx);
    }

    fn summary(&self) -> String {
        let chunks: usize = self.flows.values().map(|line| line.kept.len()).sum();
        format!("{} flows, {chunks} chunks", self.flows.len())
    }
}

impl Line {
    /// Number of bytes that it may keep in addition.
    fn fits(&self, limits: Limits, buffered: u64) -> u64 {
        let own = limits.flow_buffered_bytes_max.saturating_sub(self.kept_bytes);
        own.min(limits.buffered_bytes_max.saturating_sub(buffered))
    }

    /// Returns how many bytes it put out.
    fn put_out(&mut self, flow: FlowId, outlet: &mut Outlet<'_>, budget: &mut usize) -> u64 {
        if let Some(cause) = self.broken {
            outlet.reset(flow, cause);
            return 0;
        }
        let before = self.kept_bytes;
        while let Some(first) = self.kept.front_mut() {
            let left = first.bytes.len() - first.gone;
            let count = left.min(outlet.room(flow)).min(*budget);
            if count == 0 && left > 0 {
                break;
            }
            let bytes = first.bytes.get(first.gone..first.gone + count).unwrap_or_default();
            let (sequence, offset) = (self.sequence, self.offset);
            let is_final = first.is_final && count == left;
            let chunk = Chunk { flow, sequence, offset, bytes: count as u64, is_final };
            if outlet.data(&chunk, bytes).is_err() {
                break;
            }
            first.gone += count;
            self.sequence += 1;
            self.offset += count as u64;
            self.kept_bytes -= count as u64;
            *budget -= count;
            if count == left {
                self.kept.pop_front();
            }
        }
        let is_over = self.is_ended && self.kept.is_empty();
        if is_over && !std::mem::replace(&mut self.is_said, true) {
            outlet.half_closed(flow);
        }
        before - self.kept_bytes
    }
}

faces! {
    Chunks:
    /// Carries what a source gives into the runtime.
    ChunksIngressAdapter("chunks-ingress", AdapterIngress);
    /// Carries what the runtime gives to a sink.
    ChunksEgressAdapter("chunks-egress", AdapterEgress);
}

carries! {
    ChunksIngressAdapter as IngressAdapter::offer;
    ChunksEgressAdapter as EgressAdapter::accept;
}
