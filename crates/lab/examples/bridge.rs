// SPDX-License-Identifier: BSD-3-Clause
//! A bridge to a thing of one's own, in sixty lines: a hose with a callback for each side.

#![allow(clippy::print_stdout, reason = "an example says what it found")]

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::{Context, Poll};

use becket_lab::adapters::Pair;
use becket_lab::bridge::{self, Conduit, Failure, Spec};
use becket_lab::check::{self, Options};
use becket_lab::contract::Limits;
use becket_lab::report::Report;

type Callback = Box<dyn FnOnce()>;

/// The thing: it holds some bytes, and calls back, once, when there is something or room again.
#[derive(Default)]
struct Hose {
    bytes: VecDeque<u8>,
    bytes_max: usize,
    is_shut: bool,
    on_bytes: Option<Callback>,
    on_room: Option<Callback>,
}

impl Hose {
    fn pour(&mut self, bytes: &[u8]) -> usize {
        let count = bytes.len().min(self.bytes_max - self.bytes.len());
        self.bytes.extend(bytes.iter().take(count));
        self.on_bytes.take_if(|_| count > 0).into_iter().for_each(|call| call());
        count
    }

    fn draw(&mut self, into: &mut [u8]) -> usize {
        let count = into.len().min(self.bytes.len());
        into.iter_mut().zip(self.bytes.drain(..count)).for_each(|(to, byte)| *to = byte);
        self.on_room.take_if(|_| count > 0).into_iter().for_each(|call| call());
        count
    }

    fn shut(&mut self) {
        self.is_shut = true;
        self.on_bytes.take().into_iter().for_each(|call| call());
    }
}

// ANCHOR: bridge
/// One flow. Here both ends are in one hand; yours may be a client and a server.
struct Line(Rc<RefCell<Hose>>);

impl Conduit for Line {
    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize, Failure>> {
        let mut hose = self.0.borrow_mut();
        match hose.pour(bytes) {
            0 => {
                let waker = cx.waker().clone();
                hose.on_room = Some(Box::new(move || waker.wake()));
                Poll::Pending
            }
            count => Poll::Ready(Ok(count)),
        }
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(())) // nothing is kept back
    }

    fn poll_finish(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        self.0.borrow_mut().shut();
        Poll::Ready(Ok(()))
    }

    fn abandon(&mut self) {
        self.0.borrow_mut().shut(); // the reader notices it
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<Result<usize, Failure>> {
        let mut hose = self.0.borrow_mut();
        match hose.draw(into) {
            0 if !hose.is_shut => {
                let waker = cx.waker().clone();
                hose.on_bytes = Some(Box::new(move || waker.wake()));
                Poll::Pending
            }
            count => Poll::Ready(Ok(count)), // none, when it is shut: the end
        }
    }
}

/// A pair of adapters with these limits: each flow, each way, gets a hose.
fn make(limits: Limits) -> Pair {
    let bytes_max = limits.flow_buffered_bytes_max as usize;
    bridge::pair(&Spec::new("hose", limits), || {
        move |_| Ok(Line(Rc::new(RefCell::new(Hose { bytes_max, ..Hose::default() }))))
    })
}

/// Puts it through the quick scenarios.
fn check_it() -> Report {
    check::run(&Options::quick("hose", &make))
}
// ANCHOR_END: bridge

fn main() {
    let report = check_it();
    for gate in &report.gates {
        println!("{:<44}{}", gate.name, gate.verdict);
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_hose_breaks_no_rule() {
        let report = super::check_it();
        let broken = report.gates.iter().filter(|gate| gate.verdict == "fail").count();
        assert_eq!(broken, 0, "{:?}", report.gates);
    }
}
