// SPDX-License-Identifier: BSD-3-Clause
//! Becket's side.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use becket_cluster::{ClusterPlugin, Connection, Offer, Options, Receiver, Sender, Storage, offer};
use becket_host::{Entry, Host, Plugin as Loaded, PluginSpec};
use becket_plugin::{Answered, Call, Failure, Plugin, define_plugin};
use futures_util::future::{select, try_join, try_join_all};
use futures_util::{FutureExt as _, StreamExt as _, stream};
use tokio::runtime::Runtime;
use tokio::sync::Mutex;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::bare::Stored;
use crate::error::{BenchError, check};
use crate::side::{Case, Future, Received, Side, number_of, payload};

/// Its column.
pub(crate) const COLUMN: &str = "Becket";
/// The name of the channel, and of its consumer.
pub(crate) const NAME: &str = "bench";
/// Messages that a consumer has requested ahead when several drain a channel.
pub(crate) const AHEAD: usize = 64;
/// The value after the last.
pub(crate) const LAST: u64 = u64::MAX;

pub(crate) fn failed(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> BenchError {
    BenchError::host(COLUMN, error)
}

/// The options of the channels of both sides; each has a namespace.
pub(crate) fn options(namespace: &str, window: usize) -> Options {
    Options::default().namespace(namespace).storage(Storage::Memory).window(window)
}

pub(crate) fn start(
    runtime: &Runtime,
    url: &str,
    case: Case,
    window: usize,
) -> Result<Box<dyn Side>, BenchError> {
    match case {
        Case::Request { nodes } => Ok(Box::new(Calls::start(runtime, url, nodes)?)),
        _ => Ok(Box::new(runtime.block_on(Channel::open(url, case, window))?)),
    }
}

struct Channel {
    case: Case,
    sender: Sender,
    receivers: Vec<Receiver>,
    received: Arc<Received>,
    stored: Stored,
    watching: Mutex<Option<JoinHandle<Result<(), BenchError>>>>,
    n: AtomicU64,
}

impl Channel {
    async fn open(url: &str, case: Case, window: usize) -> Result<Self, BenchError> {
        let kind = case.kind().ok_or(BenchError::Worker)?;
        let (ahead, consumers) = match case {
            Case::Queue => (window, 1),
            Case::Drain { consumers } => (AHEAD, consumers),
            _ => (0, 1),
        };
        let open = || async {
            let connection = Connection::connect(url).await.map_err(failed)?;
            connection.open(NAME, kind, options("ours", ahead)).await.map_err(failed)
        };
        let (sender, receiver) = open().await?;
        let mut receivers = vec![receiver];
        for _ in 1..consumers {
            receivers.push(open().await?.1);
        }
        let stored = Stored::of(url, "ours", kind).await?;
        Ok(Self {
            case,
            sender,
            receivers,
            received: Arc::default(),
            stored,
            watching: Mutex::new(None),
            n: AtomicU64::new(0),
        })
    }

    async fn send(&self, number: u64) -> Result<(), BenchError> {
        self.sender.send(payload(number)).await.map_err(failed)
    }

    async fn receive(&self, receiver: &Receiver) -> Result<(), BenchError> {
        let delivery = receiver.lease().await.map_err(failed)?;
        let value = delivery.ack().await.map_err(failed)?;
        self.received.add(COLUMN, &value)
    }

    fn receiver(&self) -> Result<&Receiver, BenchError> {
        self.receivers.first().ok_or(BenchError::Worker)
    }

    async fn drain(&self) -> Result<(), BenchError> {
        let left = AtomicU64::new(self.n.load(Ordering::Relaxed));
        let (done, ended) = watch::channel(false);
        let consume = async |receiver: &Receiver| {
            let mut ended = ended.clone();
            let mut ended = std::pin::pin!(async move { ended.changed().await }.fuse());
            while !*done.borrow() {
                let leased = select(ended.as_mut(), receiver.lease()).await;
                let futures_util::future::Either::Right((leased, _)) = leased else { break };
                let value = leased.map_err(failed)?.ack().await.map_err(failed)?;
                self.received.add(COLUMN, &value)?;
                if left.fetch_sub(1, Ordering::Relaxed) == 1 {
                    done.send_replace(true);
                }
            }
            Ok(())
        };
        try_join_all(self.receivers.iter().map(consume)).await.map(|_: Vec<()>| ())
    }
}

impl Side for Channel {
    fn column(&self) -> &'static str {
        COLUMN
    }

    fn prepare(&self, n: u64) -> Future<'_> {
        Box::pin(async move {
            match self.case {
                Case::Drain { .. } => {
                    self.n.store(n, Ordering::Relaxed);
                    let sends = stream::iter(0..n).map(|number| self.send(number));
                    let sent: Vec<_> = sends.buffer_unordered(256).collect().await;
                    sent.into_iter().collect()
                }
                Case::Watch => {
                    let receiver = self.receiver()?.clone();
                    let watching = tokio::spawn(async move {
                        loop {
                            let value = receiver.recv().await.map_err(failed)?;
                            if number_of(COLUMN, &value)? == LAST {
                                return Ok(());
                            }
                        }
                    });
                    *self.watching.lock().await = Some(watching);
                    Ok(())
                }
                _ => Ok(()),
            }
        })
    }

    fn operation(&self, number: u64) -> Future<'_> {
        match self.case {
            Case::Publish(_) | Case::Watch => Box::pin(self.send(number)),
            Case::Queue => Box::pin(async move {
                self.send(number).await?;
                self.receive(self.receiver()?).await
            }),
            Case::Rendezvous => Box::pin(async move {
                let received = async {
                    let value = self.receiver()?.recv().await.map_err(failed)?;
                    self.received.add(COLUMN, &value)
                };
                try_join(self.send(number), received).await.map(|_| ())
            }),
            Case::Drain { .. } | Case::Request { .. } => Box::pin(async { Ok(()) }),
        }
    }

    fn complete(&self) -> Future<'_> {
        Box::pin(async {
            match self.case {
                Case::Drain { .. } => self.drain().await,
                Case::Watch => {
                    self.send(LAST).await?;
                    match self.watching.lock().await.take() {
                        Some(watching) => watching.await.map_err(failed)?,
                        None => Err(BenchError::Worker),
                    }
                }
                _ => Ok(()),
            }
        })
    }

    fn settle(&self, n: u64) -> Future<'_> {
        Box::pin(self.stored.settle(self.case, &self.received, n))
    }
}

/// The plugin of both hosts.
struct Echo;

impl Plugin for Echo {
    const NAME: &'static str = "bench";
    const VERSION: &'static str = "1.0.0";
    // As the peer answers: in the loop that takes the requests.
    const NEVER_BLOCKS: bool = true;
    const ENTRIES: &'static [becket_plugin::Entry<Self>] =
        &[becket_plugin::Entry::unary("echo", "answers its payload", Self::echo)];

    fn start(_: becket_plugin::Host) -> Result<Self, Failure> {
        Ok(Self)
    }
}

impl Echo {
    fn echo(&self, call: Call<'_>) -> Result<Answered, Failure> {
        let answer = call.payload().to_vec();
        Ok(call.answer(&answer))
    }
}

define_plugin! { plugin: Echo }

struct Calls {
    echo: Entry,
    _remote: (Loaded, Host),
    _offers: Vec<Offer>,
    _node: (Loaded, Host),
}

impl Calls {
    fn start(runtime: &Runtime, url: &str, nodes: usize) -> Result<Self, BenchError> {
        let connect = || runtime.block_on(Connection::connect(url)).map_err(failed);
        let node = Host::new();
        let plugin = node.load(PluginSpec::linked("bench", PLUGIN)).map_err(failed)?;
        let mut offers = Vec::new();
        for _ in 0..nodes {
            let connection = connect()?;
            offers.push(runtime.block_on(offer(&connection, &plugin)).map_err(failed)?);
        }
        let host = Host::new();
        let remote = Arc::new(ClusterPlugin::new(&connect()?, "bench"));
        let remote = host.load(PluginSpec::remote("bench", remote)).map_err(failed)?;
        Ok(Self {
            echo: remote.entry("echo").map_err(failed)?,
            _remote: (remote, host),
            _offers: offers,
            _node: (plugin, node),
        })
    }
}

impl Side for Calls {
    fn column(&self) -> &'static str {
        COLUMN
    }

    fn operation(&self, number: u64) -> Future<'_> {
        Box::pin(async move {
            let answer = self.echo.call_raw(&payload(number)).await.map_err(failed)?;
            check(COLUMN, "an answer", number, number_of(COLUMN, &answer.body)?)
        })
    }

    fn settle(&self, _: u64) -> Future<'_> {
        Box::pin(async { Ok(()) })
    }
}
