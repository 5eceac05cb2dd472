// SPDX-License-Identifier: BSD-3-Clause
//! What adapters say in words, written down while they run: their errors, their summaries, their
//! logs, and what is shown of their manifests.
//!
//! An adapter with an ear at it does what it does without: it is asked for its summary, its log and
//! its manifest after each call, which changes nothing. Of a run the first 2 MiB are kept. Should it
//! panic, that is known to be its panic: see `blame`.

use std::cell::RefCell;
use std::rc::Rc;

use super::Pair;
use super::blame::{Blame, of_adapter};
use crate::contract::{
    Adapter, AdapterError, Cause, Chunk, Context, Descriptor, EgressAdapter, FlowId,
    IngressAdapter, Manifest, Outlet, Tick,
};
use crate::hygiene::{Text, TextKind};
use crate::trace::Place;

/// Of a run so many bytes of texts are kept: the first.
const TEXT_BYTES_MAX: usize = 2 << 20;

/// What was said in a run. What repeats the text of the same kind before it is kept once.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Said {
    texts: Vec<(TextKind, Place, String)>,
    bytes: usize,
    /// The last summary of each place, what was shown of its manifest, and its log: each is kept once.
    last: [[String; 3]; 2],
}

impl Said {
    fn error(&mut self, place: Place, error: &AdapterError) {
        self.keep(TextKind::Error, place, format!("{error} {error:?}"));
    }

    /// What an adapter says of itself.
    fn of_itself(&mut self, place: Place, adapter: &(impl Adapter + ?Sized)) {
        let (manifest, summary, log) =
            of_adapter(|| (adapter.manifest(), adapter.summary(), adapter.log()));
        let said = [
            (TextKind::Summary, summary),
            (TextKind::Debug, format!("{manifest:?}")),
            (TextKind::Debug, log),
        ];
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
    #[must_use]
    pub fn texts(&self) -> Vec<Text<'_>> {
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
    /// Dropped behind the adapter: that one may panic when it is dropped.
    end: Option<Blame>,
}

impl<A: ?Sized> Drop for Listened<A> {
    fn drop(&mut self) {
        self.end = Some(Blame::new());
    }
}

/// The same pair, with an ear at each: what they say is in `said`.
#[must_use]
pub fn listen((ingress, egress): Pair, said: &Rc<RefCell<Said>>) -> Pair {
    let said = || Rc::clone(said);
    let ingress = Listened { said: said(), place: Place::Ingress, adapter: ingress, end: None };
    let egress = Listened { said: said(), place: Place::Egress, adapter: egress, end: None };
    (Box::new(ingress), Box::new(egress))
}

impl<A: Adapter + ?Sized> Listened<A> {
    fn hear<T>(
        &mut self,
        call: impl FnOnce(&mut A) -> Result<T, AdapterError>,
    ) -> Result<T, AdapterError> {
        let result = of_adapter(|| call(&mut self.adapter));
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
        of_adapter(|| self.adapter.manifest())
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
        of_adapter(|| self.adapter.poll(cx, outlet));
        self.said.borrow_mut().of_itself(self.place, &*self.adapter);
    }

    fn deadline(&self) -> Option<Tick> {
        of_adapter(|| self.adapter.deadline())
    }

    fn buffered_bytes(&self) -> u64 {
        of_adapter(|| self.adapter.buffered_bytes())
    }

    fn summary(&self) -> String {
        of_adapter(|| self.adapter.summary())
    }

    fn log(&self) -> String {
        of_adapter(|| self.adapter.log())
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
