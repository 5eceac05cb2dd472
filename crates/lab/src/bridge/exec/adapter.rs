// SPDX-License-Identifier: BSD-3-Clause
//! The two adapters that one child serves.
//!
//! # Invariants
//!
//! 1. A call is one request and one answer; a poll takes one per output until the child has no
//!    more.
//! 2. A child that violates the protocol, hangs or ends is terminated. From then on every call
//!    fails, each of its flows is reset at the next poll, and nothing is held.

use std::cell::RefCell;
use std::mem;
use std::rc::Rc;

use super::child::Child;
use super::wire::{Answer, Head, Op, Output, Request};
use super::{Exec, ExecError};
use crate::contract::{
    Adapter, AdapterError, Cause, Chunk, Context, Descriptor, Done, EgressAdapter, FlowId,
    IngressAdapter, Manifest, Outlet, Tick, Took,
};

/// Maximum number of answers to one poll. Each except the last puts something out.
const ROUNDS_MAX: u32 = 4096;
/// The number of `ErrorClass::Failed`.
const FAILED: u8 = 7;

/// State shared by both adapters of a pair.
#[derive(Debug)]
pub(super) struct Shared {
    exec: Exec,
    /// `None`: the child is gone, for the reason below.
    child: Option<Child>,
    is_reusable: bool,
    reason: String,
    /// Its last output on stderr that was not yet logged.
    last_words: String,
}

impl Shared {
    pub(super) fn new(exec: Exec, child: Result<(Child, bool), ExecError>) -> Self {
        let (reason, last_words) = (String::new(), String::new());
        match child {
            Ok((child, is_reusable)) => {
                Self { exec, child: Some(child), is_reusable, reason, last_words }
            }
            Err(error) => {
                let mut shared = Self { exec, child: None, is_reusable: false, reason, last_words };
                shared.fail(error);
                shared
            }
        }
    }

    fn fail(&mut self, error: ExecError) {
        self.reason = error.to_string();
        if let Some(child) = self.child.take() {
            self.last_words = child.last_words();
        }
        self.exec.mishap(error);
    }

    fn words(&mut self) -> String {
        match &mut self.child {
            Some(child) => child.words(),
            None => mem::take(&mut self.last_words),
        }
    }
}

/// An idle child is kept for the next pair, if possible.
impl Drop for Shared {
    fn drop(&mut self) {
        if let Some(child) = self.child.take().filter(|_| self.is_reusable) {
            self.exec.keep(child);
        }
    }
}

/// One of the two adapters.
#[derive(Debug)]
pub(super) struct Remote {
    shared: Rc<RefCell<Shared>>,
    manifest: Manifest,
    is_egress: bool,
    /// Open flows.
    flows: Vec<FlowId>,
    /// From the latest answer.
    buffered: u64,
    deadline: Option<Tick>,
    summary: String,
    /// The flows were reset after the end of the child.
    flows_are_reset: bool,
}

/// A copy of an answer, whose buffer the child's next answer overwrites.
struct Kept {
    value: u32,
    has_more: bool,
    puts_out: bool,
}

impl Remote {
    pub(super) fn new(shared: &Rc<RefCell<Shared>>, manifest: Manifest, is_egress: bool) -> Self {
        Self {
            shared: Rc::clone(shared),
            manifest,
            is_egress,
            flows: Vec::new(),
            buffered: 0,
            deadline: None,
            summary: String::new(),
            flows_are_reset: false,
        }
    }

    fn head(&self, cx: &mut Context<'_>, flow: Option<FlowId>, budget: usize) -> Head {
        let random = cx.random(u32::MAX);
        Head { is_egress: self.is_egress, flow, now: cx.now(), budget, random }
    }

    /// One request and its answer. Output goes to `outlet`.
    fn ask(
        &mut self,
        cx: &mut Context<'_>,
        flow: FlowId,
        request: Request,
        outlet: Option<(&mut Outlet<'_>, &mut usize)>,
    ) -> Result<Kept, AdapterError> {
        let mut shared = self.shared.borrow_mut();
        let shared = &mut *shared;
        let Some(child) = &mut shared.child else {
            self.buffered = 0;
            if outlet.is_none() && !self.flows_are_reset {
                cx.wants_poll();
            }
            return Err(AdapterError::Failed { flow, what: shared.reason.clone() });
        };
        let op = request.op();
        let answer = child.ask(&request.into_bytes());
        let answer = answer.and_then(|bytes| {
            let answer = Answer::read(bytes, op)?;
            let outputs = answer.outputs()?;
            if !outputs.is_empty() && outlet.is_none() {
                return Err(ExecError::Garbled("something comes out that was not polled"));
            }
            Ok((answer, outputs))
        });
        let (answer, outputs) = match answer {
            Ok(both) => both,
            Err(error) => {
                let what = error.to_string();
                shared.fail(error);
                self.buffered = 0;
                if outlet.is_none() {
                    cx.wants_poll();
                }
                return Err(AdapterError::Failed { flow, what });
            }
        };
        self.buffered = answer.buffered;
        self.deadline = answer.deadline;
        answer.summary.clone_into(&mut self.summary);
        for flow in &answer.rooms {
            cx.has_room(*flow);
        }
        if answer.wants_poll {
            cx.wants_poll();
        }
        if let Some((outlet, budget)) = outlet {
            for output in &outputs {
                put_out(output, &mut self.flows, outlet, budget);
            }
        }
        let kept =
            Kept { value: answer.value, has_more: answer.has_more, puts_out: !outputs.is_empty() };
        let (result, text) = (answer.result, answer.error.to_owned());
        if result != FAILED && !text.is_empty() {
            // These errors have no text field: the text is searched together with the log.
            child.hear(&text);
        }
        match result {
            0 => Ok(kept),
            class => Err(error(class, flow, kept.value, text)),
        }
    }

    fn simple(
        &mut self,
        cx: &mut Context<'_>,
        flow: FlowId,
        op: Op,
        fill: impl FnOnce(Request) -> Request,
    ) -> Result<Kept, AdapterError> {
        let budget = cx.budget_bytes();
        let request = fill(Request::new(op, self.head(cx, Some(flow), budget)));
        self.ask(cx, flow, request, None)
    }

    fn give(&mut self, cx: &mut Context<'_>, chunk: &Chunk, bytes: &[u8]) -> Took {
        let given = self.simple(cx, chunk.flow, Op::Give, |it| it.chunk(chunk, bytes))?;
        Ok(given.value as usize)
    }

    /// Resets its flows, whose transport is gone.
    fn tell_end(&mut self, outlet: &mut Outlet<'_>) {
        for flow in self.flows.drain(..) {
            outlet.reset(flow, Cause::Error);
        }
        self.buffered = 0;
        self.flows_are_reset = true;
    }
}

/// Puts out the output of an answer, and forgets the flows that end by it.
fn put_out(
    output: &Output<'_>,
    flows: &mut Vec<FlowId>,
    outlet: &mut Outlet<'_>,
    budget: &mut usize,
) {
    match *output {
        Output::Data(chunk, bytes) => {
            *budget = budget.saturating_sub(bytes.len());
            // A refusal was recorded by the outlet.
            let _refused = outlet.data(&chunk, bytes);
        }
        Output::HalfClosed(flow) => outlet.half_closed(flow),
        Output::Reset(flow, cause) => {
            outlet.reset(flow, cause);
            flows.retain(|known| *known != flow);
        }
        Output::Closed(flow) => {
            outlet.closed(flow);
            flows.retain(|known| *known != flow);
        }
    }
}

/// An error that the child reported.
fn error(class: u8, flow: FlowId, value: u32, what: String) -> AdapterError {
    match class {
        1 => AdapterError::Unsupported("what was asked for"),
        2 => AdapterError::TooManyFlows(value),
        3 => AdapterError::UnknownFlow(flow),
        4 => AdapterError::FlowInUse(flow),
        5 => AdapterError::Closed(flow),
        6 => AdapterError::Malformed { flow, rule: "the adapter's own" },
        _ => AdapterError::Failed { flow, what },
    }
}

impl Adapter for Remote {
    fn manifest(&self) -> Manifest {
        self.manifest.clone()
    }

    fn open(&mut self, cx: &mut Context<'_>, flow: FlowId, descriptor: &Descriptor) -> Done {
        self.simple(cx, flow, Op::Open, |it| it.class(descriptor.class))?;
        self.flows.push(flow);
        Ok(())
    }

    fn half_close(&mut self, cx: &mut Context<'_>, flow: FlowId) -> Done {
        self.simple(cx, flow, Op::HalfClose, |it| it).map(drop)
    }

    fn reset(&mut self, cx: &mut Context<'_>, flow: FlowId, cause: Cause) -> Done {
        self.simple(cx, flow, Op::Reset, |it| it.cause(cause)).map(drop)
    }

    fn close(&mut self, cx: &mut Context<'_>, flow: FlowId) -> Done {
        self.flows.retain(|known| *known != flow);
        self.simple(cx, flow, Op::Close, |it| it).map(drop)
    }

    fn poll(&mut self, cx: &mut Context<'_>, outlet: &mut Outlet<'_>) {
        let mut budget = cx.budget_bytes();
        for _ in 0..ROUNDS_MAX {
            let rooms: Vec<_> = self.flows.iter().map(|flow| (*flow, outlet.room(*flow))).collect();
            let request = Request::new(Op::Poll, self.head(cx, None, budget)).rooms(&rooms);
            let asked = self.ask(cx, FlowId::new(0), request, Some((outlet, &mut budget)));
            match asked {
                // If the child has more and puts nothing out, it waits for room, and is polled when
                // there is some.
                Ok(kept) if kept.has_more && kept.puts_out => {}
                Ok(_) => return,
                Err(_) if self.shared.borrow().child.is_some() => return,
                Err(_) => return self.tell_end(outlet),
            }
        }
        self.shared.borrow_mut().fail(ExecError::NoEnd(ROUNDS_MAX));
        self.tell_end(outlet);
    }

    fn deadline(&self) -> Option<Tick> {
        match self.shared.borrow().child.is_some() {
            true => self.deadline,
            // The other adapter may have found the child gone.
            false => (!self.flows.is_empty()).then_some(Tick(0)),
        }
    }

    fn buffered_bytes(&self) -> u64 {
        match self.shared.borrow().child.is_some() {
            true => self.buffered,
            false => 0,
        }
    }

    fn summary(&self) -> String {
        self.summary.clone()
    }

    fn log(&self) -> String {
        self.shared.borrow_mut().words()
    }
}

impl IngressAdapter for Remote {
    fn offer(&mut self, cx: &mut Context<'_>, chunk: &Chunk, bytes: &[u8]) -> Took {
        self.give(cx, chunk, bytes)
    }
}

impl EgressAdapter for Remote {
    fn accept(&mut self, cx: &mut Context<'_>, chunk: &Chunk, bytes: &[u8]) -> Took {
        self.give(cx, chunk, bytes)
    }
}
