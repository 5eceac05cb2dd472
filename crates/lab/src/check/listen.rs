// SPDX-License-Identifier: BSD-3-Clause
//! What adapters say in words, written down while they run: their errors, their summaries, and what
//! is shown of their manifests.
//!
//! An adapter with an ear at it does what it does without: it is asked for its summary and its
//! manifest after each call, which changes nothing.

use std::cell::RefCell;
use std::rc::Rc;

use crate::adapters::Pair;
use crate::contract::{
    Adapter, AdapterError, Cause, Chunk, Context, Descriptor, EgressAdapter, FlowId,
    IngressAdapter, Manifest, Outlet, Tick,
};
use crate::hygiene::{Text, TextKind};
use crate::trace::Place;

/// Of a run so many bytes of texts are kept: the first.
const TEXT_BYTES_MAX: usize = 256 << 10;

/// What was said in a run.
#[derive(Debug, Default)]
pub(crate) struct Said {
    texts: Vec<(TextKind, Place, String)>,
    bytes: usize,
    /// The last summary of each place, and what was shown of its manifest: each is kept once.
    last: [[String; 2]; 2],
}

impl Said {
    fn error(&mut self, place: Place, error: &AdapterError) {
        self.keep(TextKind::Error, place, format!("{error} {error:?}"));
    }

    /// What an adapter says of itself.
    fn of_itself(&mut self, place: Place, adapter: &(impl Adapter + ?Sized)) {
        let shown = format!("{:?}", adapter.manifest());
        let said = [(TextKind::Summary, adapter.summary()), (TextKind::Debug, shown)];
        for (at, (kind, text)) in said.into_iter().enumerate() {
            let last = self.last.get_mut(place as usize).and_then(|last| last.get_mut(at));
            if let Some(last) = last.filter(|last| **last != text) {
                last.clone_from(&text);
                self.keep(kind, place, text);
            }
        }
    }

    fn keep(&mut self, kind: TextKind, place: Place, text: String) {
        if self.bytes < TEXT_BYTES_MAX {
            self.bytes += text.len();
            self.texts.push((kind, place, text));
        }
    }

    /// What was said, in order.
    pub(crate) fn texts(&self) -> Vec<Text<'_>> {
        self.texts
            .iter()
            .map(|(kind, place, text)| Text { kind: *kind, place: *place, text })
            .collect()
    }
}

/// An ear at an adapter.
struct Listened<A: ?Sized> {
    said: Rc<RefCell<Said>>,
    place: Place,
    adapter: Box<A>,
}

/// The same pair, with an ear at each.
pub(crate) fn listen((ingress, egress): Pair, said: &Rc<RefCell<Said>>) -> Pair {
    let said = || Rc::clone(said);
    let ingress = Listened { said: said(), place: Place::Ingress, adapter: ingress };
    let egress = Listened { said: said(), place: Place::Egress, adapter: egress };
    (Box::new(ingress), Box::new(egress))
}

impl<A: Adapter + ?Sized> Listened<A> {
    fn hear<T>(
        &mut self,
        call: impl FnOnce(&mut A) -> Result<T, AdapterError>,
    ) -> Result<T, AdapterError> {
        let result = call(&mut self.adapter);
        let mut said = self.said.borrow_mut();
        if let Err(error) = &result {
            said.error(self.place, error);
        }
        said.of_itself(self.place, &*self.adapter);
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
        self.said.borrow_mut().of_itself(self.place, &*self.adapter);
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
