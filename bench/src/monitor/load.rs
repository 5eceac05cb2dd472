// SPDX-License-Identifier: BSD-3-Clause
//! Channels that are all in use.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use becket_chan::{Receiver, Sender, bounded};
use becket_coro::{Runtime, Spawn};
use becket_ipc::monitor::Exporter;

use super::{OURS, failed};
use crate::error::{BenchError, check};

const CAPACITY: usize = 16;
/// So many messages are counted at a time.
const BATCH: u64 = 16;

/// A load that runs until it is [finished](Load::finish).
pub(super) struct Load {
    runtime: Runtime,
    exporter: Exporter,
    shared: Arc<Shared>,
    tasks: Vec<becket_coro::JoinHandle<u64>>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    /// Received, by whole batches.
    received: AtomicU64,
}

impl Load {
    pub(super) fn start(channels: u32, workers: usize) -> Result<Self, BenchError> {
        let runtime = Runtime::builder().workers(workers).build().map_err(failed)?;
        let exporter = Exporter::new("load");
        exporter.runtime(runtime.handle()).map_err(failed)?;
        let shared = Arc::new(Shared::default());
        let mut tasks = Vec::new();
        for number in 0..channels {
            let (tx, rx) = bounded::<u64>(CAPACITY);
            exporter.channel(format!("channel-{number}"), &rx).map_err(failed)?;
            let spawn = || Spawn::new().on(runtime.handle());
            let (producer, consumer) = (shared.clone(), shared.clone());
            tasks.push(spawn().spawn(move || producer.produce(&tx)).map_err(failed)?);
            tasks.push(spawn().spawn(move || consumer.consume(&rx)).map_err(failed)?);
        }
        Ok(Self { runtime, exporter, shared, tasks })
    }

    pub(super) fn exporter(&self) -> &Exporter {
        &self.exporter
    }

    /// How many have been received.
    pub(super) fn messages(&self) -> u64 {
        self.shared.received.load(Ordering::Relaxed)
    }

    /// Ends it: what was sent must have been received.
    pub(super) fn finish(self) -> Result<(), BenchError> {
        self.shared.stop.store(true, Ordering::Relaxed);
        let (mut sent, mut received) = (0, 0);
        for (place, task) in self.tasks.into_iter().enumerate() {
            let panicked = |_| BenchError::host(OURS, "a coroutine panicked");
            let count = task.join().map_err(panicked)?;
            if place % 2 == 0 { sent += count } else { received += count }
        }
        drop(self.runtime);
        check(OURS, "messages received", sent, received)
    }
}

impl Shared {
    fn produce(&self, tx: &Sender<u64>) -> u64 {
        let mut sent = 0;
        while !self.stop.load(Ordering::Relaxed) && tx.send(sent).wait().is_ok() {
            sent += 1;
        }
        sent
    }

    fn consume(&self, rx: &Receiver<u64>) -> u64 {
        let mut received = 0;
        while rx.recv().wait().is_ok() {
            received += 1;
            if received % BATCH == 0 {
                self.received.fetch_add(BATCH, Ordering::Relaxed);
            }
        }
        received
    }
}
