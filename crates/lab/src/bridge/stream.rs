// SPDX-License-Identifier: BSD-3-Clause
//! Anything that is a `Sink` and a `Stream` of bytes.
//!
//! | the flow | the two ends |
//! |---|---|
//! | bytes | `poll_ready`, `start_send` of an item, then `poll_flush` when a whole offer was taken |
//! | half-close | `poll_close` |
//! | reset | the sink is dropped |
//! | close | both are dropped, in either order |
//! | the end comes out | `None` |
//! | an error | the flow has failed |
//!
//! An offer is cut into items of `item_bytes_max`. Items may be received with other borders: a flow
//! is bytes. If there is too little room for an item, the bridge keeps the rest, one per flow; so
//! for a thing that holds `n` items a flow holds up to `n + 1`.

use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use futures_core::Stream;
use futures_sink::Sink;

use super::rest::Rest;
use super::{Conduit, Failure, Spec};
use crate::adapters::Pair;

/// The item of a stream.
pub trait Item {
    /// Its bytes, or none if it is empty.
    ///
    /// # Errors
    ///
    /// The stream yielded an error.
    fn bytes(self) -> Result<Bytes, Failure>;
}

impl Item for Bytes {
    fn bytes(self) -> Result<Bytes, Failure> {
        Ok(self)
    }
}

impl Item for BytesMut {
    fn bytes(self) -> Result<Bytes, Failure> {
        Ok(self.freeze())
    }
}

impl Item for Vec<u8> {
    fn bytes(self) -> Result<Bytes, Failure> {
        Ok(self.into())
    }
}

impl<T: Item, E> Item for Result<T, E> {
    fn bytes(self) -> Result<Bytes, Failure> {
        self.map_err(|_| Failure::new("the stream gave an error")).and_then(Item::bytes)
    }
}

/// The two ends of a flow.
pub struct Ends<K, S> {
    /// Declared before the sink: it is dropped first.
    stream: Pin<Box<S>>,
    /// `None`: it was dropped.
    sink: Option<Pin<Box<K>>>,
    item_bytes_max: usize,
    rest: Rest,
}

/// A pair of adapters. `open` creates the two ends of a flow: the sink, and the stream that yields
/// what the sink was sent. An item has at most `item_bytes_max` bytes, which is at least one.
pub fn pair<K, S, F>(spec: &Spec, item_bytes_max: usize, open: F) -> Pair
where
    K: Sink<Bytes> + 'static,
    S: Stream<Item: Item> + 'static,
    F: Fn() -> Result<(K, S), Failure> + 'static,
{
    let open = Rc::new(open);
    super::pair(spec, || {
        let open = Rc::clone(&open);
        move |_| open().map(|(sink, stream)| Ends::new(sink, stream, item_bytes_max))
    })
}

impl<K, S> Ends<K, S> {
    /// What is sent into `sink` is received from `stream`.
    #[must_use]
    pub fn new(sink: K, stream: S, item_bytes_max: usize) -> Self {
        let (stream, sink) = (Box::pin(stream), Some(Box::pin(sink)));
        Self { stream, sink, item_bytes_max: item_bytes_max.max(1), rest: Rest::default() }
    }
}

impl<K: Sink<Bytes>, S> Ends<K, S> {
    fn sink(&mut self) -> Result<Pin<&mut K>, Failure> {
        let sink = self.sink.as_mut().map(Pin::as_mut);
        sink.ok_or_else(|| Failure::new("the sending end is gone"))
    }
}

fn refused<E>(_: E) -> Failure {
    Failure::new("the sink gave an error")
}

impl<K: Sink<Bytes>, S: Stream<Item: Item>> Conduit for Ends<K, S> {
    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize, Failure>> {
        let item = bytes.get(..bytes.len().min(self.item_bytes_max)).unwrap_or_default();
        let mut sink = self.sink()?;
        ready!(sink.as_mut().poll_ready(cx)).map_err(refused)?;
        sink.start_send(Bytes::copy_from_slice(item)).map_err(refused)?;
        Poll::Ready(Ok(item.len()))
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        self.sink()?.poll_flush(cx).map_err(refused)
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        ready!(self.sink()?.poll_close(cx)).map_err(refused)?;
        // Many sinks end their stream only by being dropped.
        self.sink = None;
        Poll::Ready(Ok(()))
    }

    fn abandon(&mut self) {
        self.sink = None;
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<Result<usize, Failure>> {
        while self.rest.is_empty() {
            match ready!(self.stream.as_mut().poll_next(cx)) {
                Some(item) => self.rest.put(item.bytes()?),
                None => return Poll::Ready(Ok(0)),
            }
        }
        Poll::Ready(Ok(self.rest.take(into)))
    }
}

impl<K, S> fmt::Debug for Ends<K, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Ends");
        shown.field("item_bytes_max", &self.item_bytes_max).field("rest", &self.rest);
        shown.finish_non_exhaustive()
    }
}
