// SPDX-License-Identifier: BSD-3-Clause
//! What adapters say in words.

use std::cell::RefCell;
use std::rc::Rc;

use becket_lab::adapters::Pair;
use becket_lab::contract::{
    Adapter, AdapterError, Cause, Chunk, Context, Descriptor, EgressAdapter, FlowId,
    IngressAdapter, Limits, Manifest, Outlet, Tick,
};
use becket_lab::hygiene::TextKind;
use becket_lab::saboteur::Witness;
use becket_lab::trace::Place;

/// Something that an adapter said.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Heard {
    pub(crate) kind: TextKind,
    pub(crate) place: Place,
    pub(crate) text: String,
}

type Said = Rc<RefCell<Vec<Heard>>>;

/// Writes down what an adapter says.
struct Listened<A: ?Sized> {
    said: Said,
    place: Place,
    adapter: Box<A>,
}

impl<A: Adapter + ?Sized> Listened<A> {
    fn write(&self, kind: TextKind, text: String) {
        self.said.borrow_mut().push(Heard { kind, place: self.place, text });
    }

    fn hear<T>(
        &mut self,
        call: impl FnOnce(&mut A) -> Result<T, AdapterError>,
    ) -> Result<T, AdapterError> {
        let result = call(&mut self.adapter);
        if let Err(error) = &result {
            self.write(TextKind::Error, error.to_string());
            self.write(TextKind::Debug, format!("{error:?}"));
        }
        self.write(TextKind::Summary, self.adapter.summary());
        self.write(TextKind::Debug, format!("{:?}", self.adapter.manifest()));
        result
    }
}

impl<A: Adapter + ?Sized> Adapter for Listened<A> {
    fn manifest(&self) -> Manifest {
        self.adapter.manifest()
    }

    fn open(
        &mut self,
        cx: &mut Context<'_>,
        flow: FlowId,
        descriptor: &Descriptor,
    ) -> Result<(), AdapterError> {
        self.hear(|adapter| adapter.open(cx, flow, descriptor))
    }

    fn half_close(&mut self, cx: &mut Context<'_>, flow: FlowId) -> Result<(), AdapterError> {
        self.hear(|adapter| adapter.half_close(cx, flow))
    }

    fn reset(
        &mut self,
        cx: &mut Context<'_>,
        flow: FlowId,
        cause: Cause,
    ) -> Result<(), AdapterError> {
        self.hear(|adapter| adapter.reset(cx, flow, cause))
    }

    fn close(&mut self, cx: &mut Context<'_>, flow: FlowId) -> Result<(), AdapterError> {
        self.hear(|adapter| adapter.close(cx, flow))
    }

    fn poll(&mut self, cx: &mut Context<'_>, outlet: &mut Outlet<'_>) {
        self.adapter.poll(cx, outlet);
    }

    fn deadline(&self) -> Option<Tick> {
        self.adapter.deadline()
    }

    fn buffered_bytes(&self) -> u64 {
        self.adapter.buffered_bytes()
    }

    fn summary(&self) -> String {
        self.adapter.summary()
    }
}

impl IngressAdapter for Listened<dyn IngressAdapter> {
    fn offer(
        &mut self,
        cx: &mut Context<'_>,
        chunk: &Chunk,
        bytes: &[u8],
    ) -> Result<usize, AdapterError> {
        self.hear(|adapter| adapter.offer(cx, chunk, bytes))
    }
}

impl EgressAdapter for Listened<dyn EgressAdapter> {
    fn accept(
        &mut self,
        cx: &mut Context<'_>,
        chunk: &Chunk,
        bytes: &[u8],
    ) -> Result<usize, AdapterError> {
        self.hear(|adapter| adapter.accept(cx, chunk, bytes))
    }
}

/// Everything that both adapters say in a run: their errors, and after each call their summary and
/// their manifest.
pub(crate) fn texts(make: fn(Limits) -> Pair, witness: &Witness) -> Vec<Heard> {
    let said = Said::default();
    let _trace = witness.run(&|| {
        let (adapter, egress) = make(witness.limits);
        let ingress = Listened { said: said.clone(), place: Place::Ingress, adapter };
        let egress = Listened { said: said.clone(), place: Place::Egress, adapter: egress };
        (Box::new(ingress), Box::new(egress))
    });
    said.take()
}
