// SPDX-License-Identifier: BSD-3-Clause
//! Memory that is reused from run to run.
//!
//! A run has flows, two sessions, the network between them, and wait queues. In an [`Arena`] their
//! memory stays allocated: a run allocates only what its adapters do. Each thread has one for
//! [`world::run`](super::run); a caller that makes very many runs keeps its own.
//!
//! # Invariants
//!
//! 1. A run finds memory there, never content: [`Arena::begin`] resets everything to its initial
//!    state, whatever was left there, even by a run that an adapter's panic aborted. So the trace
//!    of a run does not depend on earlier runs.
//! 2. It keeps no more than the largest run needed, and drops the buffers of flows beyond
//!    [`FLOWS_MAX`].

use std::cell::Cell;
use std::time::Instant;

use becket_wire::{Role, Session};

use super::elements::Pool;
use super::fault::{Factory, Slot};
use super::flow::Flow;
use super::pipe::Pipe;
use super::{Parts, World, limits};
use crate::choice::Choices;
use crate::contract::{Calls, EgressAdapter, FlowId, IngressAdapter};
use crate::replay::Case;
use crate::trace::Trace;

/// Flows whose memory is kept for the next run.
const FLOWS_MAX: usize = 64;

thread_local! {
    /// The arena of this thread, while no run uses it.
    static SHARED: Cell<Option<Box<Arena>>> = const { Cell::new(None) };
}

/// Runs something in this thread's arena. A nested run, and the first run after an aborted one, get
/// a new arena.
pub(super) fn shared(run: impl FnOnce(&mut Arena)) {
    let mut arena = SHARED.try_with(Cell::take).ok().flatten().unwrap_or_default();
    run(&mut arena);
    // The thread is about to end: it needs no arena any more.
    let _ends = SHARED.try_with(|shared| shared.set(Some(arena)));
}

/// Memory that is reused from run to run.
pub struct Arena {
    pub(super) flows: Vec<Flow>,
    /// Flows of the previous run that this one does not need.
    spare: Vec<Flow>,
    pub(super) client: Session,
    pub(super) server: Session,
    pub(super) up: Pipe,
    pub(super) down: Pipe,
    /// Requests of the adapter that is being called.
    pub(super) calls: Calls,
    pub(super) to_offer: Vec<FlowId>,
    pub(super) to_accept: Vec<FlowId>,
    pub(super) to_answer: Vec<FlowId>,
    /// Flows that have ended, and whose end is not handled yet.
    pub(super) ended: Vec<FlowId>,
    /// The flow of a stream, by stream index: for the client, and for the server.
    pub(super) by_stream: [Vec<FlowId>; 2],
    pub(super) pool: Pool,
    /// Bytes of the current offer.
    pub(super) offered: Vec<u8>,
    /// The origin of the sessions' time in all runs: they are given offsets from it. No real time
    /// passes into a run, because the value itself is never used.
    pub(super) origin: Instant,
}

impl Default for Arena {
    fn default() -> Self {
        Self::new()
    }
}

impl Arena {
    /// An arena without memory.
    #[must_use]
    pub fn new() -> Self {
        let origin = Instant::now();
        let session = |role| Session::new(role, becket_wire::Limits::default(), origin);
        Self {
            flows: Vec::new(),
            spare: Vec::new(),
            client: session(Role::Client),
            server: session(Role::Server),
            up: Pipe::new(),
            down: Pipe::new(),
            calls: Calls::default(),
            to_offer: Vec::new(),
            to_accept: Vec::new(),
            to_answer: Vec::new(),
            ended: Vec::new(),
            by_stream: Default::default(),
            pool: Pool::default(),
            offered: Vec::new(),
            origin,
        }
    }

    /// Runs one case, see [`world::run`](super::run).
    pub fn run(
        &mut self,
        case: &Case,
        (ingress, egress): (&mut dyn IngressAdapter, &mut dyn EgressAdapter),
        choices: &mut Choices,
        trace: &mut Trace,
    ) {
        self.begin(case);
        let (parts, calls) = Parts::new(self, case, choices, trace);
        let mut world = World {
            ingress: Slot::Lent(ingress),
            egress: Slot::Lent(egress),
            factory: None,
            calls,
            parts,
        };
        world.run();
    }

    /// Runs one case, see [`world::run_with`](super::run_with).
    pub fn run_with(
        &mut self,
        case: &Case,
        factory: Factory<'_>,
        choices: &mut Choices,
        trace: &mut Trace,
    ) {
        self.begin(case);
        let (parts, calls) = Parts::new(self, case, choices, trace);
        let (ingress, egress) = factory();
        let (ingress, egress) = (Slot::Made(ingress), Slot::Made(egress));
        World { ingress, egress, factory: Some(factory), calls, parts }.run();
    }

    /// Resets everything to the initial state of a run.
    fn begin(&mut self, case: &Case) {
        // Lists every field by name, so that none can be forgotten.
        let Self {
            flows,
            spare,
            client,
            server,
            up,
            down,
            calls,
            to_offer,
            to_accept,
            to_answer,
            ended,
            by_stream,
            pool,
            offered,
            origin,
        } = self;
        let seed = case.config.deterministic_seed;
        while flows.len() > case.plans.len() {
            spare.extend(flows.pop().filter(|_| spare.len() < FLOWS_MAX));
        }
        for (flow, plan) in flows.iter_mut().zip(&case.plans) {
            flow.renew(seed, plan);
        }
        for plan in case.plans.iter().skip(flows.len()) {
            let mut flow = spare.pop().unwrap_or_else(|| Flow::new(seed, plan));
            flow.renew(seed, plan);
            flows.push(flow);
        }
        let limits = limits(case);
        up.renew(case, limits.frame_body_bytes_max);
        down.renew(case, limits.frame_body_bytes_max);
        client.renew(limits.clone(), *origin);
        server.renew(limits, *origin);
        calls.with_room.clear();
        for queue in [to_offer, to_accept, to_answer, ended] {
            queue.clear();
        }
        by_stream.iter_mut().for_each(Vec::clear);
        pool.renew();
        offered.clear();
    }
}

impl std::fmt::Debug for Arena {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Arena").field("flows", &self.flows.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::fault::FaultPlan;
    use crate::link::Link;
    use crate::source::Source;
    use crate::target::Behaviour;

    /// Wait queues as an aborted run leaves them: without the reset, their content would affect the
    /// next trace only if a task looked there too early.
    #[test]
    fn a_run_finds_no_wait_queue_of_the_run_before() {
        let config = Config::default();
        let case = Case {
            plans: Source::SmallBurst.plan(&config, 2),
            config,
            behaviour: Behaviour::Echo,
            window_bytes: 1024,
            link: Link::Stream,
            faults: FaultPlan::NONE,
        };
        let mut arena = Arena::new();
        let flow = FlowId::new(1);
        arena.calls.with_room.push(flow);
        for line in [&mut arena.to_offer, &mut arena.to_accept, &mut arena.to_answer] {
            line.push(flow);
        }
        arena.ended.push(flow);
        arena.by_stream.iter_mut().for_each(|of| of.push(flow));
        arena.offered.push(7);
        arena.begin(&case);
        assert_eq!(arena.flows.len(), 2);
        assert!(arena.calls.with_room.is_empty() && arena.ended.is_empty());
        for line in [&arena.to_offer, &arena.to_accept, &arena.to_answer] {
            assert!(line.is_empty());
        }
        assert!(arena.by_stream.iter().all(Vec::is_empty) && arena.offered.is_empty());
    }
}
