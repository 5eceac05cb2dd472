// SPDX-License-Identifier: BSD-3-Clause
//! The load itself.
//!
//! ```text
//!   P producers ──► channel ──► C consumers      for each channel, all of them coroutines
//! ```
//!
//! A producer ends when it has sent its messages, or when its stop token is set. The last producer
//! of a channel closes it by dropping its handle; consumers drain it and then end. The last
//! consumer of all channels sets the `done` token. Channels are kept until then, so that their
//! final counts are shown.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use becket_chan::{Builder, Receiver, Sender, Token};
use becket_coro::{Runtime, Spawn};
use becket_ipc::monitor::Exporter;

use super::Shape;
use super::summary::Summary;
use crate::exit::Exit;
use crate::failure::Failure;

type Message = Box<[u8]>;

/// A producer checks the stop token after this many messages.
const LOOK: u64 = 64;

/// A running load. It ends when it is dropped.
pub(crate) struct Load {
    exporter: Arc<Exporter>,
    shared: Arc<Shared>,
    _channels: Vec<Arc<Receiver<Message>>>,
    /// Its drop ends the coroutines.
    _runtime: Runtime,
}

#[derive(Debug)]
struct Shared {
    stop: AtomicBool,
    begun: Instant,
    took: OnceLock<Duration>,
    done: Token,
    sent: Tally,
    received: Tally,
}

/// The messages of one side; each coroutine adds its count when it ends.
#[derive(Debug, Default)]
struct Tally {
    messages: AtomicU64,
    bytes: AtomicU64,
    /// The sum of the messages' numbers.
    sum: AtomicU64,
}

/// The counts of one side.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counted {
    pub(super) messages: u64,
    pub(super) bytes: u64,
    pub(super) sum: u64,
}

/// Held by each coroutine; when the last one is dropped, the load is done.
struct Part(Arc<Shared>);

impl Drop for Part {
    fn drop(&mut self) {
        let _ = self.0.took.set(self.0.begun.elapsed());
        self.0.done.cancel();
    }
}

impl Load {
    /// Starts a load.
    pub(crate) fn start(shape: &Shape) -> Result<Self, Failure> {
        shape.check()?;
        let runtime = Runtime::builder().name("bench");
        let runtime = match shape.workers {
            Some(workers) => runtime.workers(usize::from(workers)),
            None => runtime,
        };
        let runtime = runtime.build().map_err(failed)?;
        let exporter = Arc::new(Exporter::new("bench"));
        exporter.runtime(runtime.handle()).map_err(failed)?;
        let shared = Arc::new(Shared {
            stop: AtomicBool::new(false),
            begun: Instant::now(),
            took: OnceLock::new(),
            done: Token::new(),
            sent: Tally::default(),
            received: Tally::default(),
        });
        let part = Arc::new(Part(Arc::clone(&shared)));
        let mut channels = Vec::new();
        for index in 0..shape.channels {
            let (tx, rx) = Builder::bounded(shape.capacity as usize)
                .weigh(|message: &Message| message.len() as u64)
                .build();
            let rx = Arc::new(rx);
            let name = format!("bench-{index}");
            let weak: Weak<Receiver<Message>> = Arc::downgrade(&rx);
            exporter
                .channel_with(name.as_str(), move || weak.upgrade().map(|rx| rx.snapshot()))
                .map_err(failed)?;
            for producer in 0..shape.producers {
                let (tx, part) = (tx.clone(), Arc::clone(&part));
                let (messages, size) = (shape.messages, shape.size as usize);
                Spawn::new()
                    .name(format!("{name}-producer-{producer}").as_str())
                    .on(runtime.handle())
                    .spawn(move || part.0.produce(&tx, messages, size))
                    .map_err(failed)?;
            }
            for consumer in 0..shape.consumers {
                let (rx, part) = (Arc::clone(&rx), Arc::clone(&part));
                Spawn::new()
                    .name(format!("{name}-consumer-{consumer}").as_str())
                    .on(runtime.handle())
                    .spawn(move || part.0.consume(&rx))
                    .map_err(failed)?;
            }
            channels.push(rx);
        }
        Ok(Self { exporter, shared, _channels: channels, _runtime: runtime })
    }

    /// The exporter of its channels.
    pub(crate) fn exporter(&self) -> &Arc<Exporter> {
        &self.exporter
    }

    /// Set when it is done.
    pub(crate) fn done(&self) -> Token {
        self.shared.done.clone()
    }

    /// Ends the load, waits for messages in flight, and returns the result.
    pub(crate) fn finish(self) -> Summary {
        let shared = &self.shared;
        shared.stop.store(true, Ordering::Relaxed);
        shared.done.cancelled().wait();
        let took = shared.took.get().copied().unwrap_or_default();
        Summary::new(took, shared.sent.read(), shared.received.read())
    }
}

impl Shared {
    fn produce(&self, tx: &Sender<Message>, messages: Option<u64>, size: usize) {
        let mut counted = Counted::default();
        while messages.is_none_or(|messages| counted.messages < messages) {
            if counted.messages.is_multiple_of(LOOK) && self.stop.load(Ordering::Relaxed) {
                break;
            }
            let message = message(counted.messages, size);
            let number = number(&message);
            if tx.send(message).wait().is_err() {
                break;
            }
            counted.add(number, size);
        }
        self.sent.add(counted);
    }

    fn consume(&self, rx: &Receiver<Message>) {
        let mut counted = Counted::default();
        while let Ok(message) = rx.recv().wait() {
            counted.add(number(&message), message.len());
        }
        self.received.add(counted);
    }
}

impl Counted {
    fn add(&mut self, number: u64, bytes: usize) {
        self.messages += 1;
        self.bytes += bytes as u64;
        self.sum = self.sum.wrapping_add(number);
    }
}

impl Tally {
    fn add(&self, counted: Counted) {
        self.messages.fetch_add(counted.messages, Ordering::Relaxed);
        self.bytes.fetch_add(counted.bytes, Ordering::Relaxed);
        self.sum.fetch_add(counted.sum, Ordering::Relaxed);
    }

    fn read(&self) -> Counted {
        let get = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Counted { messages: get(&self.messages), bytes: get(&self.bytes), sum: get(&self.sum) }
    }
}

/// A buffer of `size` bytes that begins with its number, truncated if it does not fit.
fn message(number: u64, size: usize) -> Message {
    let mut message = vec![0; size].into_boxed_slice();
    for (place, byte) in message.iter_mut().zip(number.to_le_bytes()) {
        *place = byte;
    }
    message
}

/// The number in a message, or the part of it that fits.
fn number(message: &[u8]) -> u64 {
    let mut number = [0; 8];
    for (place, byte) in number.iter_mut().zip(message) {
        *place = *byte;
    }
    u64::from_le_bytes(number)
}

fn failed(error: impl std::error::Error) -> Failure {
    Failure::new(Exit::Failure, "the load cannot be started").cause(error.to_string())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[arg(long)]
        bench: bool,
        #[command(flatten)]
        shape: Shape,
    }

    fn shape(args: &[&str]) -> Shape {
        let line = Line::parse_from(["mon", "--bench"].iter().chain(args));
        assert!(line.bench);
        line.shape
    }

    #[test]
    fn what_was_sent_is_what_was_received() {
        for args in [
            &["-P3", "-C2", "-N1000", "-c16", "-k100"][..],
            &["-P1", "-C4", "-N500", "-c0", "-k3", "--channels", "5"],
            &["-P2", "-C1", "-N0"],
        ] {
            let shape = shape(args);
            let load = Load::start(&shape).unwrap();
            load.done().cancelled().wait();
            let summary = load.finish();
            let messages = u64::from(shape.producers * shape.channels) * shape.messages.unwrap();
            assert_eq!(summary.received().messages, messages);
            assert_eq!(summary.received().bytes, messages * u64::from(shape.size));
            assert!(summary.is_complete());
        }
    }

    #[test]
    fn a_load_without_end_ends_when_it_is_asked_to_and_nothing_is_lost() {
        let load = Load::start(&shape(&["-c8", "-k16"])).unwrap();
        let summary = load.finish();
        assert!(summary.is_complete(), "{summary:?}");
    }

    #[test]
    fn a_message_carries_its_number_as_far_as_it_fits() {
        assert_eq!(number(&message(0x0102_0304, 1500)), 0x0102_0304);
        assert_eq!(number(&message(0x0102_0304, 2)), 0x0304);
        assert_eq!((number(&message(7, 0)), message(7, 1500).len()), (0, 1500));
    }

    #[test]
    fn a_load_that_does_not_fit_is_refused() {
        let error = Load::start(&shape(&["--channels", "10000"])).err().unwrap();
        assert_eq!(error.exit(), Exit::Usage);
        assert!(shape(&["--channels", "10000", "-c16"]).check().is_ok());
    }
}
