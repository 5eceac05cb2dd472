// SPDX-License-Identifier: BSD-3-Clause
//! Broken things behind a bridge are found by the rule about their defect.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use becket_lab::bridge::operations::{self, Operations, Pending};
use becket_lab::bridge::{self, Failure, Spec};
use becket_lab::contract::Limits;
use bytes::Bytes;
use futures_util::{Sink, Stream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::bridged;

/// The defect of a pipe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wrong {
    Nothing,
    /// Sometimes the reader is not woken.
    LosesWakes,
    /// A writer that waits for room is not woken.
    LosesRoom,
    /// The reader is woken by another thread.
    WakesElsewhere,
    /// Writes all but the last byte, and reports all of them as written.
    WritesShort,
    /// Reports more bytes as written than there were.
    WritesMore,
    WritesNothing,
    /// Bytes that were not flushed are lost at the end.
    ForgetsAtEnd,
    /// The end comes when it is empty.
    EndsEarly,
    /// The reader does not notice that the writer is gone.
    HidesDrop,
    /// Gives a byte twice.
    Repeats,
    /// Has no bound.
    TakesAll,
    /// Says now and then that it failed.
    Fails,
}

/// What is written comes out.
#[derive(Debug)]
struct Pipe {
    wrong: Wrong,
    bytes: VecDeque<u8>,
    bytes_max: usize,
    written: u64,
    is_over: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Pipe {
    fn wake_reader(&mut self) {
        let Some(waker) = self.reader.take() else { return };
        match self.wrong {
            Wrong::LosesWakes if self.written.is_multiple_of(3) => {}
            Wrong::WakesElsewhere => std::thread::spawn(move || waker.wake()).join().unwrap(),
            _ => waker.wake(),
        }
    }
}

#[derive(Debug)]
struct Writer(Rc<RefCell<Pipe>>);
#[derive(Debug)]
struct Reader(Rc<RefCell<Pipe>>);

fn pipe(wrong: Wrong, bytes_max: usize) -> (Writer, Reader) {
    let bytes_max = if wrong == Wrong::TakesAll { usize::MAX } else { bytes_max };
    let pipe = Pipe {
        wrong,
        bytes: VecDeque::new(),
        bytes_max,
        written: 0,
        is_over: false,
        reader: None,
        writer: None,
    };
    let pipe = Rc::new(RefCell::new(pipe));
    (Writer(Rc::clone(&pipe)), Reader(pipe))
}

impl AsyncWrite for Writer {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let pipe = &mut *self.0.borrow_mut();
        let count = bytes.len().min(pipe.bytes_max - pipe.bytes.len());
        if count == 0 {
            pipe.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let (kept, said) = match pipe.wrong {
            Wrong::WritesShort => (count - 1, count),
            Wrong::WritesMore => (count, count + 1),
            Wrong::WritesNothing => (0, 0),
            _ => (count, count),
        };
        if pipe.wrong == Wrong::Fails && pipe.written > 100 {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        pipe.bytes.extend(&bytes[..kept]);
        if pipe.wrong == Wrong::Repeats && pipe.written == 0 {
            pipe.bytes.push_back(bytes[kept - 1]);
        }
        pipe.written += count as u64;
        pipe.wake_reader();
        Poll::Ready(Ok(said))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let pipe = &mut *self.0.borrow_mut();
        pipe.is_over = true;
        if pipe.wrong == Wrong::ForgetsAtEnd {
            pipe.bytes.pop_back();
        }
        pipe.wake_reader();
        Poll::Ready(Ok(()))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let pipe = &mut *self.0.borrow_mut();
        if pipe.wrong != Wrong::HidesDrop {
            pipe.is_over = true;
            pipe.wake_reader();
        }
    }
}

impl Reader {
    fn poll(&self, cx: &mut Context<'_>, most: usize) -> Poll<Vec<u8>> {
        let pipe = &mut *self.0.borrow_mut();
        let ends_early = pipe.wrong == Wrong::EndsEarly && pipe.written > 0;
        if pipe.bytes.is_empty() && !pipe.is_over && !ends_early {
            pipe.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let count = most.min(pipe.bytes.len());
        let bytes = pipe.bytes.drain(..count).collect();
        if let Some(waker) = pipe.writer.take().filter(|_| pipe.wrong != Wrong::LosesRoom) {
            waker.wake();
        }
        Poll::Ready(bytes)
    }
}

impl AsyncRead for Reader {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.poll(cx, into.remaining()).map(|bytes| {
            into.put_slice(&bytes);
            Ok(())
        })
    }
}

fn io(wrong: Wrong) -> impl Fn(Limits) -> becket_lab::adapters::Pair + Sync {
    move |limits: Limits| {
        let bytes = limits.flow_buffered_bytes_max as usize;
        bridge::io::pair(&Spec::new("pipe", limits), move || Ok(pipe(wrong, bytes)))
    }
}

#[test]
fn the_pipe_is_healthy() {
    bridged::passes("pipe", &io(Wrong::Nothing), 20);
}

/// A test for each, so that they run side by side.
macro_rules! caught {
    ($($name:ident: $wrong:ident, $rules:expr;)*) => {
        $(#[test]
        fn $name() {
            bridged::catches("pipe", &io(Wrong::$wrong), &$rules);
        })*
    };
}

caught! {
    a_lost_wake: LosesWakes, ["LIV-01"];
    lost_room: LosesRoom, ["LIV-01", "BPR-03"];
    a_wake_from_another_thread: WakesElsewhere, ["LIV-01"];
    short_writes: WritesShort, ["INT-05"];
    more_than_there_was: WritesMore, ["BPR-02"];
    nothing_is_taken: WritesNothing, ["ERR-07"];
    the_last_bytes_are_forgotten: ForgetsAtEnd, ["INT-05"];
    an_early_end: EndsEarly, ["LIF-06"];
    a_hidden_drop: HidesDrop, ["LIV-06"];
    a_repeated_byte: Repeats, ["INT-01"];
    no_bound: TakesAll, ["RES-02"];
    an_error: Fails, ["ERR-07"];
}

/// The same pipe, which swallows its last item when it is closed.
struct Swallows(Writer, Option<Bytes>);

impl Sink<Bytes> for Swallows {
    type Error = Infallible;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        while let Some(item) = self.1.take() {
            let Poll::Ready(Ok(count)) = Pin::new(&mut self.0).poll_write(cx, &item) else {
                self.1 = Some(item);
                return Poll::Pending;
            };
            self.1 = Some(item.slice(count..)).filter(|rest| !rest.is_empty());
        }
        Poll::Ready(Ok(()))
    }

    fn start_send(mut self: Pin<&mut Self>, item: Bytes) -> Result<(), Infallible> {
        self.1 = Some(item);
        Ok(())
    }

    /// It keeps an item until the next one comes, or the end.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.1 = None;
        Pin::new(&mut self.0).poll_shutdown(cx).map(|_| Ok(()))
    }
}

impl Stream for Reader {
    type Item = Vec<u8>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Vec<u8>>> {
        self.poll(cx, usize::MAX).map(|bytes| Some(bytes).filter(|bytes| !bytes.is_empty()))
    }
}

#[test]
fn a_sink_that_swallows_an_item_at_its_close() {
    let make = |limits: Limits| {
        let most = limits.flow_buffered_bytes_max as usize / 2;
        bridge::stream::pair(&Spec::new("swallows", limits), most, move || {
            let (writer, reader) = pipe(Wrong::Nothing, most);
            Ok((Swallows(writer, None), reader))
        })
    };
    bridged::catches("swallows", &make, &["INT-05"]);
}

/// A channel that drops what it holds when it is closed, or what is in the hands of a send that is
/// given up.
struct Drops {
    sender: Option<becket_chan::Sender<Bytes>>,
    receiver: becket_chan::Receiver<Bytes>,
    at_close: bool,
}

impl Operations for Drops {
    fn send(&mut self, item: Bytes) -> Pending<()> {
        let sender = self.sender.clone().unwrap();
        Box::pin(async move { sender.send(item).await.map_err(|_| Failure::new("closed")) })
    }

    fn recv(&mut self) -> Pending<Option<Bytes>> {
        let receiver = self.receiver.clone();
        Box::pin(async move { Ok(receiver.recv().await.ok()) })
    }

    fn close(&mut self) {
        if self.at_close {
            self.receiver.split_off(0);
        }
        self.sender = None;
    }

    fn may_cancel_send(&self) -> bool {
        !self.at_close
    }
}

#[test]
fn channels_that_drop_at_their_close_or_when_a_send_is_given_up() {
    for (at_close, rule) in [(true, "INT-05"), (false, "ERR-04")] {
        let make = move |limits: Limits| {
            let most = (limits.flow_buffered_bytes_max as usize / 4).max(1);
            bridge::pair(&Spec::new("drops", limits), || {
                move |_| {
                    let (sender, receiver) = becket_chan::bounded(2);
                    let channel = Drops { sender: Some(sender), receiver, at_close };
                    Ok(operations::Ends::new(channel, most))
                }
            })
        };
        bridged::catches("drops", &make, &[rule]);
    }
}
