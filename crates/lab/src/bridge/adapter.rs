// SPDX-License-Identifier: BSD-3-Clause
//! The adapter around a medium.
//!
//! # Invariants
//!
//! 1. A conduit is polled only when it was never polled, was not pending the last time, or its flag
//!    was set since.
//! 2. Every flag that is set during a call is handled before the call returns.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::Context as Task;

use super::Spec;
use super::conduit::{Failure, Medium};
use super::flow::{Flow, Polled};
use super::waker_flag::{FlagWaker, Scope};
use crate::contract::{
    Adapter, AdapterError, Capability, Cause, Chunk, Context, Descriptor, Done, EgressAdapter,
    FlowId, IngressAdapter, Manifest, Outlet, Tick, Took,
};

/// A waiting read is cancelled and started anew once in this many polls.
const GIVES_UP_ONCE_IN: u32 = 8;

/// An adapter whose flows are carried by something else.
pub struct Bridge<M: Medium> {
    manifest: Manifest,
    medium: M,
    work: FlagWaker,
    /// The medium has something to do.
    has_work: bool,
    scope: Arc<Scope>,
    flows: BTreeMap<FlowId, Flow<M::Conduit>>,
    /// The flow that was polled first in the latest poll.
    turn: FlowId,
}

impl<M: Medium> Bridge<M> {
    /// An adapter for this direction: `adapter_ingress` or `adapter_egress`.
    #[must_use]
    pub fn new(spec: &Spec, way: Capability, medium: M) -> Self {
        let scope = Scope::new();
        let end = if way == Capability::AdapterIngress { "ingress" } else { "egress" };
        let manifest = Manifest {
            name: format!("{}-{end}", spec.name),
            capabilities: spec.capabilities.with(way),
            limits: spec.limits,
        };
        let work = FlagWaker::new(&scope);
        let turn = FlowId::new(0);
        Self { manifest, medium, work, has_work: false, scope, flows: BTreeMap::new(), turn }
    }

    fn claims(&self, capability: Capability) -> Done {
        match self.manifest.capabilities.has(capability) {
            true => Ok(()),
            false => Err(AdapterError::Unsupported(capability.name())),
        }
    }

    /// A call: flags that are set during it are handled before it returns. Room for the flow of an
    /// offer is reported at the next poll, because the offering side does not expect it before.
    fn call<T>(
        &mut self,
        cx: &mut Context<'_>,
        offered: Option<FlowId>,
        act: impl FnOnce(&mut Self, &mut Context<'_>) -> T,
    ) -> T {
        self.scope.set_open(true);
        let result = act(self, cx);
        self.has_work |= self.work.take();
        if self.has_work {
            cx.wants_poll();
        }
        for (flow, known) in &mut self.flows {
            let heard = known.hear(offered == Some(*flow));
            if heard.wants_poll {
                cx.wants_poll();
            }
            if heard.has_room {
                cx.has_room(*flow);
            }
        }
        self.scope.set_open(false);
        result
    }

    fn offer(&mut self, cx: &mut Context<'_>, chunk: &Chunk, bytes: &[u8]) -> Took {
        let flow = chunk.flow;
        self.call(cx, Some(flow), |bridge, cx| {
            let known = bridge.flows.get_mut(&flow).ok_or(AdapterError::UnknownFlow(flow))?;
            if !known.takes_more() {
                return Err(AdapterError::Closed(flow));
            }
            known.offer(chunk, bytes, cx.budget_bytes())
        })
    }

    fn poll_all(&mut self, cx: &mut Context<'_>, outlet: &mut Outlet<'_>) {
        let is_due = self.medium.deadline().is_some_and(|due| due <= cx.now());
        if std::mem::take(&mut self.has_work) || is_due {
            self.medium.turn(cx.now(), &mut |bound| cx.random(bound));
            let polled = self.medium.poll_work(&mut Task::from_waker(self.work.waker()));
            if let std::task::Poll::Ready(Err(failure)) = polled {
                return self.fail_all(outlet, &failure);
            }
        }
        let mut budget = cx.budget_bytes();
        let turn = self.turn;
        let mut order: Vec<_> = self.flows.keys().copied().collect();
        order.sort_by_key(|flow| (*flow <= turn, *flow));
        self.turn = order.first().copied().unwrap_or(turn);
        for flow in order {
            let Some(known) = self.flows.get_mut(&flow) else { continue };
            let gives_up = cx.random(GIVES_UP_ONCE_IN) == 0;
            if known.poll(flow, outlet, &mut budget, gives_up) == Polled::Gone {
                self.flows.remove(&flow);
            }
        }
        if budget == 0 {
            cx.wants_poll();
        }
    }

    fn fail_all(&mut self, outlet: &mut Outlet<'_>, failure: &Failure) {
        for flow in std::mem::take(&mut self.flows).into_keys() {
            outlet.reset(flow, failure.cause());
        }
    }
}

impl<M: Medium> Adapter for Bridge<M> {
    fn manifest(&self) -> Manifest {
        self.manifest.clone()
    }

    fn open(&mut self, cx: &mut Context<'_>, flow: FlowId, _: &Descriptor) -> Done {
        self.call(cx, None, |bridge, cx| {
            let flows_max = bridge.manifest.limits.flows_max;
            if bridge.flows.contains_key(&flow) {
                return Err(AdapterError::FlowInUse(flow));
            }
            if bridge.flows.len() >= flows_max as usize {
                return Err(AdapterError::TooManyFlows(flows_max));
            }
            let conduit = bridge.medium.open(flow).map_err(|failure| {
                let what = failure.to_string();
                AdapterError::Failed { flow, what }
            })?;
            bridge.flows.insert(flow, Flow::new(conduit, &bridge.scope));
            bridge.has_work = true;
            // A reader waits from the start.
            cx.wants_poll();
            Ok(())
        })
    }

    fn half_close(&mut self, cx: &mut Context<'_>, flow: FlowId) -> Done {
        self.claims(Capability::FlowHalfClose)?;
        self.call(cx, None, |bridge, cx| {
            let known = bridge.flows.get_mut(&flow).ok_or(AdapterError::UnknownFlow(flow))?;
            if !known.takes_more() {
                return Err(AdapterError::Closed(flow));
            }
            known.end();
            if known.wants_poll() {
                cx.wants_poll();
            }
            Ok(())
        })
    }

    fn reset(&mut self, cx: &mut Context<'_>, flow: FlowId, cause: Cause) -> Done {
        if let Err(unsupported) = self.claims(Capability::FlowReset) {
            self.close(cx, flow)?;
            return Err(unsupported);
        }
        self.call(cx, None, |bridge, cx| {
            if let Some(known) = bridge.flows.get_mut(&flow).filter(|known| !known.is_broken()) {
                known.reset(cause);
                if known.wants_poll() {
                    cx.wants_poll();
                }
            }
            Ok(())
        })
    }

    fn close(&mut self, cx: &mut Context<'_>, flow: FlowId) -> Done {
        self.call(cx, None, |bridge, cx| {
            if let Some(mut known) = bridge.flows.remove(&flow) {
                // Either end may be closed first.
                if cx.random(2) == 0 {
                    known.abandon();
                }
                drop(known);
            }
            Ok(())
        })
    }

    fn poll(&mut self, cx: &mut Context<'_>, outlet: &mut Outlet<'_>) {
        self.call(cx, None, |bridge, cx| bridge.poll_all(cx, outlet));
    }

    fn deadline(&self) -> Option<Tick> {
        self.medium.deadline()
    }

    fn buffered_bytes(&self) -> u64 {
        self.flows.values().map(Flow::held).sum()
    }

    fn summary(&self) -> String {
        format!("{} flows, {} wakes from elsewhere", self.flows.len(), self.scope.ignored())
    }
}

impl<M: Medium> IngressAdapter for Bridge<M> {
    fn offer(&mut self, cx: &mut Context<'_>, chunk: &Chunk, bytes: &[u8]) -> Took {
        Self::offer(self, cx, chunk, bytes)
    }
}

impl<M: Medium> EgressAdapter for Bridge<M> {
    fn accept(&mut self, cx: &mut Context<'_>, chunk: &Chunk, bytes: &[u8]) -> Took {
        Self::offer(self, cx, chunk, bytes)
    }
}
