// SPDX-License-Identifier: BSD-3-Clause
//! Flows of the laboratory, carried by remote channels over each transport.
//!
//! ```text
//!   flow ──► RemoteSender ── client ══ transport ══ server: a channel ══ transport ══ client ── RemoteReceiver ──► flow
//! ```
//!
//! Sessions run on a thread of their own, at a speed that no seed determines. So the conduit waits
//! for quiescence: from the counts of accepted and received elements it derives which operations
//! have to complete, and waits for those, and for no others, before it continues. Its results
//! depend only on counts, and the same seed gives the same trace: the lab makes each run twice. An
//! operation that does not complete within [`DEADLINE`] is a failure of its flow.
//!
//! | elements in the channel | then |
//! |---|---|
//! | fewer than its capacity | a send completes |
//! | as many | a send waits, until an element is received |
//! | some | a receive completes |
//! | none | a receive waits, until a send is accepted or the channel is closed |

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[allow(dead_code, reason = "the tests of transports count the impairments")]
mod impaired_link;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker, ready};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use becket_chan::Kind;
use becket_ipc::transport::{SocketKind, memory};
use becket_ipc::{Client, Element, Options, RecvError, RemoteReceiver, RemoteSender, Server};
use becket_lab::bridge::{self, Conduit, Failure, Spec};
use becket_lab::check::{self, Mode};
use becket_lab::contract::Limits;

use crate::impaired_link::{Impaired, ImpairedClock, Impairments};

/// The deadline of operations that have to complete.
const DEADLINE: Duration = Duration::from_secs(30);
/// The step of the impaired links' clock while an operation waits.
const CLOCK_STEP: Duration = Duration::from_micros(100);
/// The channel's capacity; a send holds one more element, and a receive too.
const CAPACITY: u64 = 3;

/// A server, and a client on either side of its channels.
struct World {
    _server: Server,
    sends: Client,
    receives: Client,
    clock: Vec<ImpairedClock>,
    channels: AtomicU64,
    _directory: tempfile::TempDir,
}

impl World {
    fn over(options: Options) -> Arc<Self> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("private/socket");
        let builder = Server::builder().options(options.clone());
        let server = match options.socket {
            SocketKind::Stream => builder.bind(&path),
            SocketKind::Seqpacket => builder.bind_both(&path),
        };
        let server = server.unwrap();
        let client = || Client::connect_with(&path, options.clone()).wait().unwrap();
        let (sends, receives) = (client(), client());
        Self::new(server, [sends, receives], Vec::new(), directory)
    }

    /// Through memory, with these impairments in each direction.
    fn memory(impairments: Impairments) -> Arc<Self> {
        let directory = tempfile::tempdir().unwrap();
        let server = Server::bind(directory.path().join("private/unused")).unwrap();
        let mut clock = Vec::new();
        let clients = [1, 2].map(|seed| {
            let (one, other) = memory::pair(1024, 1 << 20);
            let now = Instant::now();
            let (one, up) = Impaired::new(one, impairments, seed, now);
            let (other, down) = Impaired::new(other, impairments, seed + 2, now);
            clock.extend([up, down]);
            server.serve(Box::new(one)).unwrap();
            Client::over(Box::new(other), &Options::default()).unwrap()
        });
        if impairments == Impairments::default() {
            clock.clear();
        }
        Self::new(server, clients, clock, directory)
    }

    fn new(
        server: Server,
        [sends, receives]: [Client; 2],
        clock: Vec<ImpairedClock>,
        directory: tempfile::TempDir,
    ) -> Arc<Self> {
        let channels = AtomicU64::new(0);
        Arc::new(Self { _server: server, sends, receives, clock, channels, _directory: directory })
    }

    /// Waits for an operation that has to complete.
    fn settle<T>(
        &self,
        mut operation: Pin<&mut (impl Future<Output = T> + ?Sized)>,
    ) -> Result<T, Failure> {
        let waker = Waker::from(Arc::new(Unparks(thread::current())));
        let by = Instant::now() + DEADLINE;
        loop {
            if let Poll::Ready(done) = operation.as_mut().poll(&mut Context::from_waker(&waker)) {
                return Ok(done);
            }
            for clock in &self.clock {
                if let Some(due) = clock.deadline() {
                    clock.advance(due);
                }
            }
            let left = by.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Failure::new("an operation did not complete"));
            }
            thread::park_timeout(if self.clock.is_empty() { left } else { left.min(CLOCK_STEP) });
        }
    }

    fn settled<T>(&self, operation: impl Future<Output = T>) -> Result<T, Failure> {
        self.settle(std::pin::pin!(operation))
    }

    fn open(self: &Arc<Self>, element_bytes_max: usize) -> Result<Remote, Failure> {
        let name = format!("flow-{}", self.channels.fetch_add(1, Ordering::Relaxed));
        let refused = |_| Failure::new("the channel is not opened");
        self.settled(self.sends.make(&name, Kind::Bounded, CAPACITY as usize))?.map_err(refused)?;
        let sender = self.settled(self.sends.sender(&name))?.map_err(refused)?;
        let receiver = self.settled(self.receives.receiver(&name))?.map_err(refused)?;
        Ok(Remote {
            world: Arc::clone(self),
            name,
            sender: Arc::new(sender),
            receiver: Arc::new(receiver),
            sending: None,
            receiving: None,
            held: 0,
            arrived: None,
            is_closed: false,
            element_bytes_max,
            writer: None,
            reader: None,
        })
    }
}

struct Unparks(Thread);

impl Wake for Unparks {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

type Sending = Pin<Box<dyn Future<Output = Result<(), Failure>>>>;
type Receiving = Pin<Box<dyn Future<Output = Result<Element, RecvError>>>>;

/// A channel of the server that carries one flow.
struct Remote {
    world: Arc<World>,
    name: String,
    sender: Arc<RemoteSender>,
    receiver: Arc<RemoteReceiver>,
    /// A send that waits for room.
    sending: Option<Sending>,
    /// A receive that waits for an element.
    receiving: Option<Receiving>,
    /// Elements in the channel.
    held: u64,
    /// A received element, or the end, and the number of bytes read from it.
    arrived: Option<(Element, usize)>,
    is_closed: bool,
    element_bytes_max: usize,
    writer: Option<Waker>,
    reader: Option<Waker>,
}

impl Remote {
    fn send(&self, bytes: &[u8]) -> Sending {
        let (sender, element) = (Arc::clone(&self.sender), bytes.to_vec());
        Box::pin(async move {
            sender.send(element).await.map_err(|_| Failure::new("an element was not accepted"))
        })
    }

    fn recv(&self) -> Receiving {
        let receiver = Arc::clone(&self.receiver);
        Box::pin(async move { receiver.recv().await })
    }

    /// An element was accepted: a waiting receive completes.
    fn accepted(&mut self) -> Result<(), Failure> {
        self.held += 1;
        let Some(mut receiving) = self.receiving.take() else { return Ok(()) };
        let received = self.world.settle(receiving.as_mut())?;
        self.received(received.map_err(|_| Failure::new("there was an element"))?)?;
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
        Ok(())
    }

    /// An element was received: a waiting send completes.
    fn received(&mut self, element: Element) -> Result<(), Failure> {
        self.held -= 1;
        self.arrived = Some((element, 0));
        let Some(mut sending) = self.sending.take() else { return Ok(()) };
        self.world.settle(sending.as_mut())??;
        self.held += 1;
        if let Some(writer) = self.writer.take() {
            writer.wake();
        }
        Ok(())
    }

    /// Checks that an operation waits.
    fn waits<T>(operation: &mut Pin<Box<dyn Future<Output = T>>>) -> Result<(), Failure> {
        match operation.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Pending => Ok(()),
            Poll::Ready(_) => Err(Failure::new("an operation completed that has to wait")),
        }
    }

    fn close(&mut self) -> Result<(), Failure> {
        if std::mem::replace(&mut self.is_closed, true) {
            return Ok(());
        }
        let closed = self.world.settled(self.world.sends.close_channel(&self.name, None))?;
        closed.map_err(|_| Failure::new("the channel is not closed"))?;
        if let Some(mut receiving) = self.receiving.take() {
            let received = self.world.settle(receiving.as_mut())?;
            if !matches!(received, Err(RecvError::Closed { .. })) {
                return Err(Failure::new("a waiting receive does not end"));
            }
            if let Some(reader) = self.reader.take() {
                reader.wake();
            }
        }
        Ok(())
    }
}

impl Conduit for Remote {
    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize, Failure>> {
        if self.sending.is_some() {
            self.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let element = &bytes[..bytes.len().min(self.element_bytes_max)];
        let mut sending = self.send(element);
        if self.held < CAPACITY {
            self.world.settle(sending.as_mut())??;
            self.accepted()?;
        } else {
            Self::waits(&mut sending)?;
            self.sending = Some(sending);
        }
        Poll::Ready(Ok(element.len()))
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        if self.sending.is_none() {
            return Poll::Ready(Ok(()));
        }
        self.writer = Some(cx.waker().clone());
        Poll::Pending
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        ready!(self.poll_flush(cx))?;
        Poll::Ready(self.close())
    }

    /// Withdraws the element of a waiting send. A failure shows as a missing end.
    fn abandon(&mut self) {
        self.sending = None;
        let _shows_in_what_is_read = self.close();
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<Result<usize, Failure>> {
        if self.arrived.is_none() && self.held == 0 && !self.is_closed {
            self.reader = Some(cx.waker().clone());
            if self.receiving.is_none() {
                let mut receiving = self.recv();
                Self::waits(&mut receiving)?;
                self.receiving = Some(receiving);
            }
            return Poll::Pending;
        }
        if self.arrived.is_none() {
            let mut receiving = self.recv();
            match (self.world.settle(receiving.as_mut())?, self.held) {
                (Ok(element), 1..) => self.received(element)?,
                (Err(RecvError::Closed { .. }), 0) => return Poll::Ready(Ok(0)),
                _ => return Poll::Ready(Err(Failure::new("what was accepted is not received"))),
            }
        }
        let (element, read) = self.arrived.as_mut().unwrap();
        let rest = &element.as_slice()[*read..];
        let count = rest.len().min(into.len());
        into[..count].copy_from_slice(&rest[..count]);
        *read += count;
        if count == rest.len() {
            self.arrived = None;
        }
        Poll::Ready(Ok(count))
    }

    /// Cancels a waiting receive: it has received nothing, and another one waits instead.
    fn cancel_read(&mut self, _: &mut Context<'_>) -> Result<(), Failure> {
        if self.receiving.take().is_some() {
            let mut receiving = self.recv();
            Self::waits(&mut receiving)?;
            self.receiving = Some(receiving);
        }
        Ok(())
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        (self.sending, self.receiving) = (None, None);
        self.world.settled(self.world.sends.destroy_channel(&self.name)).unwrap().unwrap();
    }
}

/// The quick scenarios, in one profile without faults and one with any; in the long form (the
/// variable `BECKET_TEST_LONG` is set) all of them in a third profile.
fn passes(name: &str, world: &Arc<World>) {
    let make = |limits: Limits| {
        let most = (limits.flow_buffered_bytes_max / (CAPACITY + 2)).max(1) as usize;
        bridge::pair(&Spec::new(name, limits), || {
            let world = Arc::clone(world);
            move |_| world.open(most)
        })
    };
    let quick = check::Options { profiles: Some(2), ..check::Options::quick(name, &make) };
    let mut reports = vec![check::run(&quick)];
    if std::env::var_os("BECKET_TEST_LONG").is_some() {
        let all = check::Options { mode: Mode::Full, start_seed: 8, profiles: Some(1), ..quick };
        reports.push(check::run(&all));
    }
    for run in reports.iter().flat_map(|report| &report.profiles).flat_map(|it| &it.runs) {
        let is_fine = ["pass", "non-strict", "not-applicable", "not-exercised", "unsupported"];
        assert!(is_fine.contains(&run.verdict), "{name}: {run:#?}");
    }
}

#[test]
fn over_memory() {
    passes("ipc-memory", &World::memory(Impairments::default()));
}

#[test]
fn over_impaired_memory() {
    let (latency, jitter) = (Duration::from_millis(3), Duration::from_millis(5));
    passes("ipc-impaired", &World::memory(Impairments { latency, jitter, ..Default::default() }));
}

#[test]
fn over_unix_stream() {
    let mut options = Options::default();
    options.shared_memory = false;
    passes("ipc-unix-stream", &World::over(options));
}

#[test]
fn over_seqpacket() {
    let mut options = Options::default();
    options.socket = SocketKind::Seqpacket;
    passes("ipc-seqpacket", &World::over(options));
}

#[test]
fn over_shared_memory() {
    passes("ipc-shared-memory", &World::over(Options::default()));
}
