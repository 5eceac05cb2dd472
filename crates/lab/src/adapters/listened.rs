// SPDX-License-Identifier: BSD-3-Clause
//! Records the texts of adapters during a run: their errors, summaries, logs, and the debug form of
//! their manifests.
//!
//! A recorded adapter behaves like the adapter itself: it is asked for its summary, its log and its
//! manifest after each call, which has no effect. The first 2 MiB of a run are kept. A panic in
//! here counts as the adapter's: see `blame`.

use std::cell::RefCell;
use std::rc::Rc;

use super::Pair;
use super::blame::{Blame, of_adapter};
use crate::contract::{
    Adapter, AdapterError, Cause, Chunk, Context, Descriptor, Done, EgressAdapter, FlowId,
    IngressAdapter, Manifest, Outlet, Tick, Took,
};
use crate::hygiene::{Text, TextKind};
use crate::trace::Stage;

/// Bytes of texts that are kept per run: the first ones.
const TEXT_BYTES_MAX: usize = 2 << 20;

/// The texts of a run. A text that repeats the previous one of its kind is kept once.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Transcript {
    texts: Vec<(TextKind, Stage, String)>,
    bytes: usize,
    /// The last texts of each stage about itself: an unchanged text is not kept again.
    last: [Last; 2],
}

/// The last texts of an adapter about itself.
#[derive(Debug, Default, PartialEq, Eq)]
struct Last {
    /// Formatted only when it has changed: an adapter is asked for it after each call.
    manifest: Option<Manifest>,
    summary: String,
    log: String,
}

impl Transcript {
    fn error(&mut self, place: Stage, error: &AdapterError) {
        self.keep(TextKind::Error, place, format!("{error} {error:?}"));
    }

    /// Records the texts of an adapter about itself.
    fn of_itself(&mut self, place: Stage, adapter: &(impl Adapter + ?Sized)) {
        let (manifest, summary, log) =
            of_adapter(|| (adapter.manifest(), adapter.summary(), adapter.log()));
        let Some(last) = self.last.get_mut(place as usize) else { return };
        let mut changed = Vec::new();
        if last.summary != summary {
            last.summary.clone_from(&summary);
            changed.push((TextKind::Summary, summary));
        }
        if last.manifest.as_ref() != Some(&manifest) {
            changed.push((TextKind::Debug, format!("{manifest:?}")));
            last.manifest = Some(manifest);
        }
        if last.log != log {
            last.log.clone_from(&log);
            changed.push((TextKind::Debug, log));
        }
        for (kind, text) in changed {
            self.keep(kind, place, text);
        }
    }

    fn keep(&mut self, kind: TextKind, place: Stage, text: String) {
        if self.bytes < TEXT_BYTES_MAX {
            self.bytes += text.len();
            self.texts.push((kind, place, text));
        }
    }

    /// The texts, in order.
    #[must_use]
    pub fn texts(&self) -> Vec<Text<'_>> {
        self.texts
            .iter()
            .map(|(kind, place, text)| Text { kind: *kind, place: *place, text })
            .collect()
    }
}

/// An adapter whose texts are recorded.
struct Listened<A: ?Sized> {
    said: Rc<RefCell<Transcript>>,
    place: Stage,
    adapter: Box<A>,
    /// Dropped after the adapter, which may panic when it is dropped.
    end: Option<Blame>,
}

impl<A: ?Sized> Drop for Listened<A> {
    fn drop(&mut self) {
        self.end = Some(Blame::new());
    }
}

/// The same pair, with the texts of both adapters recorded in `said`.
#[must_use]
pub fn listen((ingress, egress): Pair, said: &Rc<RefCell<Transcript>>) -> Pair {
    let said = || Rc::clone(said);
    let ingress = Listened { said: said(), place: Stage::Ingress, adapter: ingress, end: None };
    let egress = Listened { said: said(), place: Stage::Egress, adapter: egress, end: None };
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

    fn open(&mut self, cx: &mut Context<'_>, flow: FlowId, descriptor: &Descriptor) -> Done {
        self.hear(|adapter| adapter.open(cx, flow, descriptor))
    }

    fn half_close(&mut self, cx: &mut Context<'_>, flow: FlowId) -> Done {
        self.hear(|adapter| adapter.half_close(cx, flow))
    }

    fn reset(&mut self, cx: &mut Context<'_>, flow: FlowId, cause: Cause) -> Done {
        self.hear(|adapter| adapter.reset(cx, flow, cause))
    }

    fn close(&mut self, cx: &mut Context<'_>, flow: FlowId) -> Done {
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
    fn offer(&mut self, cx: &mut Context<'_>, chunk: &Chunk, bytes: &[u8]) -> Took {
        self.hear(|adapter| adapter.offer(cx, chunk, bytes))
    }
}

impl EgressAdapter for Listened<dyn EgressAdapter> {
    fn accept(&mut self, cx: &mut Context<'_>, chunk: &Chunk, bytes: &[u8]) -> Took {
        self.hear(|adapter| adapter.accept(cx, chunk, bytes))
    }
}
