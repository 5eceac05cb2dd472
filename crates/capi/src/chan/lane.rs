// SPDX-License-Identifier: BSD-3-Clause
//! A channel of one of the sizes of `element`, behind one type.

use std::mem::size_of;
use std::sync::Arc;

use becket_chan::{Builder, Receiver, Sender, Snapshot};

use super::element::{Block, Element, Inline};
use super::hook::Hook;

/// Both ends of a channel.
pub(crate) struct Pair<E> {
    pub(crate) tx: Sender<E>,
    pub(crate) rx: Receiver<E>,
    pub(crate) hook: Option<Arc<Hook>>,
}

pub(crate) enum Lane {
    W1(Pair<Inline<1>>),
    W5(Pair<Inline<5>>),
    W8(Pair<Inline<8>>),
    Block(Pair<Block>),
}

/// Runs the expression with the pair of a lane, whatever its size.
macro_rules! on_pair {
    ($lane:expr, $pair:ident => $body:expr) => {
        match $lane {
            $crate::chan::lane::Lane::W1($pair) => $body,
            $crate::chan::lane::Lane::W5($pair) => $body,
            $crate::chan::lane::Lane::W8($pair) => $body,
            $crate::chan::lane::Lane::Block($pair) => $body,
        }
    };
}
pub(crate) use on_pair;

/// The storage of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Rendezvous,
    /// Holds that many.
    Buffered(usize),
    Conflated,
    Unlimited,
}

impl<E: Element> Pair<E> {
    /// `None`: there is no memory for it.
    pub(crate) fn new(kind: Kind, hook: Option<Arc<Hook>>) -> Option<Self> {
        let builder = match kind {
            Kind::Rendezvous => Builder::rendezvous(),
            Kind::Buffered(capacity) => {
                // The ring ends the process if it cannot be allocated: check before. A stamp is
                // stored with each value.
                let bytes = capacity.checked_mul(size_of::<E>() + size_of::<u64>())?;
                Vec::<u8>::new().try_reserve_exact(bytes).ok()?;
                Builder::bounded(capacity)
            }
            Kind::Conflated => Builder::conflated(),
            Kind::Unlimited => Builder::unlimited(),
        };
        Some(Self::built(builder, hook))
    }

    pub(crate) fn rendezvous(hook: Arc<Hook>) -> Self {
        Self::built(Builder::rendezvous(), Some(hook))
    }

    fn built(mut builder: Builder<E>, hook: Option<Arc<Hook>>) -> Self {
        if let Some(hook) = hook.clone() {
            builder = builder.on_undelivered(move |value: E| hook.lost(value));
        }
        let (tx, rx) = builder.build();
        Self { tx, rx, hook }
    }

    /// Passes the remaining elements to the hook.
    pub(crate) fn drain(&self) {
        while let Ok(value) = self.rx.try_recv() {
            self.lost(value);
        }
    }

    /// The value is undelivered.
    pub(crate) fn lost(&self, value: E) {
        if let Some(hook) = &self.hook {
            hook.lost(value);
        }
    }

    /// The value stays with its sender.
    #[inline]
    pub(crate) fn kept(&self, value: &E) {
        if let Some(hook) = &self.hook {
            hook.kept(value);
        }
    }
}

impl Lane {
    /// For elements of `size` bytes. `None`: there is no memory for it.
    pub(crate) fn new(kind: Kind, size: usize, hook: Option<Arc<Hook>>) -> Option<Self> {
        Some(if size <= Inline::<1>::BYTES_MAX {
            Self::W1(Pair::new(kind, hook)?)
        } else if size <= Inline::<5>::BYTES_MAX {
            Self::W5(Pair::new(kind, hook)?)
        } else if size <= Inline::<8>::BYTES_MAX {
            Self::W8(Pair::new(kind, hook)?)
        } else {
            Self::Block(Pair::new(kind, hook)?)
        })
    }

    pub(crate) fn close(&self) {
        on_pair!(self, pair => pair.tx.close());
    }

    pub(crate) fn len(&self) -> usize {
        on_pair!(self, pair => pair.tx.len())
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        on_pair!(self, pair => pair.tx.snapshot())
    }

    pub(crate) fn drain(&self) {
        on_pair!(self, pair => pair.drain());
    }
}
