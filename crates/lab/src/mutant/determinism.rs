// SPDX-License-Identifier: BSD-3-Clause
//! The same seed gives different runs: something outside the context takes part in a decision.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};

use super::defect::{Defect, Done, FlowCall, Healthy, egress, ingress, poll_through};
use super::numbers::Numbers;
use super::{Mutant, Shows, Witness};
use crate::contract::{Chunk, Context, Descriptor, FlowId, Outlet, Refused};
use crate::pattern::mix;
use crate::source::Source;
use crate::target::Behaviour;

pub(super) const ALL: &[Mutant] = &[
    Mutant::ingress(
        "counts_its_runs",
        "where chunks are cut depends on how many adapters the process had before",
        |limits| ingress(limits, Counts::of(RUNS.fetch_add(1, Ordering::Relaxed))),
        Witness::new(Source::SmallBurst, Behaviour::Echo),
    )
    .breaks(&["DET-01"])
    .shows(Shows::InSecondRun),
    Mutant::egress(
        "has_the_order_of_a_hash_table",
        "flows are put out in the order of a hash table, which is another in each run",
        |limits| egress(limits, HashOrder::default()),
        Witness::new(Source::SmallBurst, Behaviour::FixedResponse).flows(16),
    )
    .breaks(&["DET-01"])
    .shows(Shows::InSecondRun),
    Mutant::ingress(
        "depends_on_its_process",
        "where chunks are cut depends on the number of the process",
        |limits| ingress(limits, Counts::of(std::process::id().into())),
        Witness::new(Source::SmallBurst, Behaviour::Echo),
    )
    .breaks(&["DET-02"])
    .shows(Shows::InOtherProcess),
];

/// Adapters created so far in this process.
static RUNS: AtomicU64 = AtomicU64::new(0);

/// Cuts each chunk in two, at a position that follows from a number: the count of adapters that
/// were created before, or the number of the process.
struct Counts {
    numbers: Numbers,
    bits: u64,
}

impl Counts {
    fn of(number: u64) -> Self {
        Self { numbers: Numbers::default(), bits: mix(number) }
    }
}

impl Defect for Counts {
    fn data(&mut self, out: &mut Outlet<'_>, chunk: &Chunk, bytes: &[u8]) -> Result<(), Refused> {
        self.bits = mix(self.bits);
        let (first, rest) = bytes.split_at((self.bits % (bytes.len() as u64 + 1)) as usize);
        self.numbers.put_or_end(out, chunk.flow, first, chunk.is_final && rest.is_empty())?;
        self.numbers.put_or_end(out, chunk.flow, rest, chunk.is_final && !rest.is_empty())
    }
}

/// Flows in the iteration order of a hash table, which is random.
#[derive(Default)]
struct HashOrder {
    flows: HashSet<FlowId>,
    /// The flow that puts out next.
    turn: Option<FlowId>,
}

impl Defect for HashOrder {
    fn open(&mut self, on: &mut FlowCall<'_, '_>, descriptor: &Descriptor) -> Done {
        self.flows.insert(on.flow);
        on.open(descriptor)
    }

    fn poll(&mut self, it: Healthy<'_>, cx: &mut Context<'_>, out: &mut Outlet<'_>) {
        let order: Vec<_> = self.flows.iter().copied().collect();
        for flow in order {
            self.turn = Some(flow);
            poll_through(self, it, cx, out);
        }
    }

    fn close(&mut self, on: &mut FlowCall<'_, '_>) -> Done {
        self.flows.remove(&on.flow);
        on.close()
    }

    fn room(&self, out: &Outlet<'_>, flow: FlowId) -> usize {
        if self.turn == Some(flow) { out.room(flow) } else { 0 }
    }
}
