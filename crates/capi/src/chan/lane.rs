// SPDX-License-Identifier: BSD-3-Clause
//! A channel of one of the sizes of `element`, behind one type.

use std::mem::size_of;
use std::sync::Arc;

use becket_chan::{Builder, Overflow, Receiver, Sender, Snapshot};

use super::element::{Block, Element, Inline};
use super::hook::Hook;
use super::port::Port;

/// Both ends of a channel.
pub(crate) struct Pair<E> {
    pub(crate) tx: Sender<E>,
    pub(crate) rx: Receiver<E>,
    pub(crate) hook: Arc<Hook>,
}

pub(crate) enum Lane {
    W1(Pair<Inline<1>>),
    W5(Pair<Inline<5>>),
    W8(Pair<Inline<8>>),
    Block(Pair<Block>),
    /// Values that are not this library's own.
    Port(Box<dyn Port>),
}

/// Runs the first expression with the pair of a lane, whatever its size, or the second with a port.
macro_rules! on_pair {
    ($lane:expr, $pair:ident => $body:expr, $port:ident => $other:expr $(,)?) => {
        match $lane {
            $crate::chan::lane::Lane::W1($pair) => $body,
            $crate::chan::lane::Lane::W5($pair) => $body,
            $crate::chan::lane::Lane::W8($pair) => $body,
            $crate::chan::lane::Lane::Block($pair) => $body,
            $crate::chan::lane::Lane::Port($port) => $other,
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

/// Whether there is memory for a ring. It ends the process if it cannot be allocated: check before.
/// A stamp is stored with each value.
pub(crate) fn has_memory(capacity: usize, value_bytes: usize) -> Option<()> {
    let bytes = capacity.checked_mul(value_bytes + size_of::<u64>())?;
    Vec::<u8>::new().try_reserve_exact(bytes).ok()
}

impl<E: Element> Pair<E> {
    /// `None`: there is no memory for it.
    pub(crate) fn new(kind: Kind, hook: Arc<Hook>) -> Option<Self> {
        let builder = match kind {
            Kind::Rendezvous => Builder::rendezvous(),
            Kind::Buffered(capacity) => {
                has_memory(capacity, size_of::<E>())?;
                Builder::bounded(capacity)
            }
            Kind::Conflated => Builder::conflated(),
            Kind::Unlimited => Builder::unlimited(),
        };
        Some(Self::built(builder, hook))
    }

    pub(crate) fn rendezvous(hook: Arc<Hook>) -> Self {
        Self::built(Builder::rendezvous(), hook)
    }

    fn built(builder: Builder<E>, hook: Arc<Hook>) -> Self {
        let (tx, rx) = builder.build();
        let pair = Self { tx, rx, hook };
        pair.hook_in();
        pair
    }

    /// Has undelivered elements passed to the hook, once it is needed.
    pub(crate) fn hook_in(&self) {
        if self.hook.is_needed() {
            let hook = Arc::clone(&self.hook);
            // False: it is in already.
            let _is_new = self.tx.set_on_undelivered(move |value: E| hook.lost(value));
        }
    }

    /// Passes the remaining elements to the hook.
    pub(crate) fn drain(&self) {
        while let Ok(value) = self.rx.try_recv() {
            self.lost(value);
        }
    }

    /// The value is undelivered.
    pub(crate) fn lost(&self, value: E) {
        self.hook.lost(value);
    }

    /// The value stays with its sender.
    #[inline]
    pub(crate) fn kept(&self, value: &E) {
        self.hook.kept(value);
    }
}

impl Lane {
    /// For elements of `size` bytes. `None`: there is no memory for it.
    pub(crate) fn new(kind: Kind, size: usize, hook: Arc<Hook>) -> Option<Self> {
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
        on_pair!(self, pair => { pair.tx.close(); }, port => port.close());
    }

    /// The handle is destroyed.
    pub(crate) fn destroy(&self) {
        on_pair!(self, pair => { pair.tx.close(); pair.drain(); }, port => port.destroy());
    }

    pub(crate) fn len(&self) -> usize {
        on_pair!(self, pair => pair.tx.len(), port => port.snapshot().len)
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        on_pair!(self, pair => pair.tx.snapshot(), port => port.snapshot())
    }

    /// See [`Pair::hook_in`]. A port has no elements of this library.
    pub(crate) fn hook_in(&self) {
        on_pair!(self, pair => pair.hook_in(), _port => {});
    }

    /// `None`: it is another process's, or Rust's.
    pub(crate) fn overflow(&self) -> Option<Overflow> {
        on_pair!(self, pair => Some(pair.tx.overflow()), _port => None)
    }

    pub(crate) fn set_overflow(&self, overflow: Overflow) {
        on_pair!(self, pair => { pair.tx.set_overflow(overflow); }, _port => {});
    }
}
