// SPDX-License-Identifier: BSD-3-Clause
//! An adapter by the contract itself, without a bridge: a shelf with a bin of bytes for each flow.

#![allow(clippy::print_stdout, reason = "an example says what it found")]

use std::collections::{BTreeMap, VecDeque};
use std::process::{Command, ExitCode};

use becket_lab::adapters::Pair;
use becket_lab::check::{self, Mode, Options};
use becket_lab::contract::{
    Adapter, AdapterError, Capabilities, Capability, Cause, Chunk, Context, Descriptor,
    EgressAdapter, FlowId, IngressAdapter, Limits, Manifest, Outlet,
};
use becket_lab::report;

// ANCHOR: adapter
/// What came in on one flow and was not put out yet.
#[derive(Default)]
struct Bin {
    bytes: VecDeque<u8>,
    /// Bytes that came in, and that were put out, in how many chunks.
    taken: u64,
    offset: u64,
    chunks: u64,
    /// The source waits for room.
    is_waited_for: bool,
    /// No more input comes, and whether that was reported.
    is_ended: bool,
    is_end_said: bool,
    broken: Option<Cause>,
}

/// Carries one way or the other: what is right for a source is right for the runtime.
struct Shelf {
    way: Capability,
    limits: Limits,
    bins: BTreeMap<FlowId, Bin>,
}

impl Shelf {
    fn bin(&mut self, flow: FlowId) -> Result<&mut Bin, AdapterError> {
        self.bins.get_mut(&flow).ok_or(AdapterError::UnknownFlow(flow))
    }

    /// Takes what fits, and says later when there is room for more.
    fn take(
        &mut self,
        cx: &mut Context<'_>,
        chunk: &Chunk,
        bytes: &[u8],
    ) -> Result<usize, AdapterError> {
        let all = self.limits.buffered_bytes_max.saturating_sub(self.buffered_bytes());
        let own = self.limits.flow_buffered_bytes_max;
        let bin = self.bin(chunk.flow)?;
        if bin.is_ended || bin.broken.is_some() {
            return Err(AdapterError::Closed(chunk.flow));
        }
        if chunk.offset != bin.taken {
            let rule = "it begins where the one before it ended";
            return Err(AdapterError::Malformed { flow: chunk.flow, rule });
        }
        let room = all.min(own.saturating_sub(bin.bytes.len() as u64)) as usize;
        let taken = bytes.len().min(room);
        bin.bytes.extend(bytes.iter().take(taken));
        bin.taken += taken as u64;
        bin.is_waited_for = taken < bytes.len();
        bin.is_ended = chunk.is_final && !bin.is_waited_for;
        cx.wants_poll();
        Ok(taken)
    }

    /// Reports room, once, for flows whose offers found too little.
    fn tell_of_room(&mut self, cx: &mut Context<'_>) {
        if self.buffered_bytes() == self.limits.buffered_bytes_max {
            return;
        }
        let own = self.limits.flow_buffered_bytes_max;
        for (&flow, bin) in &mut self.bins {
            if (bin.bytes.len() as u64) < own && std::mem::take(&mut bin.is_waited_for) {
                cx.has_room(flow);
            }
        }
    }
}

impl Bin {
    /// Puts out what there is room for. Whether the flow is over.
    fn put_out(&mut self, flow: FlowId, outlet: &mut Outlet<'_>) -> bool {
        if let Some(cause) = self.broken {
            outlet.reset(flow, cause);
            return true;
        }
        let count = self.bytes.len().min(outlet.room(flow));
        let is_final = self.is_ended && count == self.bytes.len();
        if count > 0 {
            let bytes: Vec<u8> = self.bytes.drain(..count).collect();
            self.chunks += 1;
            let (sequence, offset) = (self.chunks, self.offset);
            let chunk = Chunk { flow, sequence, offset, bytes: count as u64, is_final };
            self.offset += count as u64;
            self.is_end_said |= is_final;
            return outlet.data(&chunk, &bytes).is_err();
        }
        if is_final && !std::mem::replace(&mut self.is_end_said, true) {
            outlet.half_closed(flow);
        }
        false
    }
}

impl Adapter for Shelf {
    fn manifest(&self) -> Manifest {
        // All but flow_priority: bins are emptied in the order of their flows.
        let capabilities = Capabilities::ALL
            .without(Capability::AdapterIngress)
            .without(Capability::AdapterEgress)
            .without(Capability::FlowPriority)
            .with(self.way);
        Manifest { name: "shelf".to_owned(), capabilities, limits: self.limits }
    }

    fn open(
        &mut self,
        _: &mut Context<'_>,
        flow: FlowId,
        _: &Descriptor,
    ) -> Result<(), AdapterError> {
        if self.bins.contains_key(&flow) {
            return Err(AdapterError::FlowInUse(flow));
        }
        if self.bins.len() >= self.limits.flows_max as usize {
            return Err(AdapterError::TooManyFlows(self.limits.flows_max));
        }
        self.bins.insert(flow, Bin::default());
        Ok(())
    }

    fn half_close(&mut self, cx: &mut Context<'_>, flow: FlowId) -> Result<(), AdapterError> {
        self.bin(flow)?.is_ended = true;
        cx.wants_poll();
        Ok(())
    }

    fn reset(
        &mut self,
        cx: &mut Context<'_>,
        flow: FlowId,
        cause: Cause,
    ) -> Result<(), AdapterError> {
        let bin = self.bin(flow)?;
        bin.bytes.clear();
        bin.broken = Some(cause);
        cx.wants_poll(); // which tells of the room, too
        Ok(())
    }

    fn close(&mut self, cx: &mut Context<'_>, flow: FlowId) -> Result<(), AdapterError> {
        self.bins.remove(&flow);
        self.tell_of_room(cx);
        Ok(())
    }

    fn poll(&mut self, cx: &mut Context<'_>, outlet: &mut Outlet<'_>) {
        self.bins.retain(|&flow, bin| !bin.put_out(flow, outlet));
        self.tell_of_room(cx);
    }

    fn buffered_bytes(&self) -> u64 {
        self.bins.values().map(|bin| bin.bytes.len() as u64).sum()
    }

    fn summary(&self) -> String {
        format!("{} flows", self.bins.len())
    }
}

impl IngressAdapter for Shelf {
    fn offer(
        &mut self,
        cx: &mut Context<'_>,
        chunk: &Chunk,
        bytes: &[u8],
    ) -> Result<usize, AdapterError> {
        self.take(cx, chunk, bytes)
    }
}

impl EgressAdapter for Shelf {
    fn accept(
        &mut self,
        cx: &mut Context<'_>,
        chunk: &Chunk,
        bytes: &[u8],
    ) -> Result<usize, AdapterError> {
        self.take(cx, chunk, bytes)
    }
}

fn make(limits: Limits) -> Pair {
    let shelf = |way| Box::new(Shelf { way, limits, bins: BTreeMap::new() });
    (shelf(Capability::AdapterIngress), shelf(Capability::AdapterEgress))
}
// ANCHOR_END: adapter

// ANCHOR: check
/// What the program is called with by itself.
const HASHES: &str = "--hashes";

/// The same runs in a fresh process, which have to have the same traces.
fn fresh_process() -> Option<String> {
    let program = std::env::current_exe().ok()?;
    let output = Command::new(program).arg(HASHES).output().ok()?;
    String::from_utf8(output.stdout).ok()
}

fn main() -> ExitCode {
    let options = Options { mode: Mode::Full, ..Options::quick("shelf", &make) };
    if std::env::args().nth(1).as_deref() == Some(HASHES) {
        print!("{}", check::hashes(&options));
        return ExitCode::SUCCESS;
    }
    let report = check::run(&Options { fresh_process: Some(&fresh_process), ..options });
    print!("{}", report::text(&report, &report::plain));
    ExitCode::from(report.exit_code)
}
// ANCHOR_END: check

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shelf_breaks_no_rule() {
        let report = check::run(&Options::quick("shelf", &make));
        let broken = report.gates.iter().filter(|gate| gate.verdict == "fail").count();
        assert_eq!(broken, 0, "{:?}", report.gates);
    }
}
