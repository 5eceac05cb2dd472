// SPDX-License-Identifier: BSD-3-Clause
//! A healthy client, which sends numbers through a channel and receives each of them again.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use becket_ipc::{Client, Options, RemoteReceiver, RemoteSender};

pub(crate) struct Healthy {
    client: Client,
    sender: Arc<RemoteSender>,
    receiver: Arc<RemoteReceiver>,
    exchanges: Arc<AtomicU64>,
    rests: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Healthy {
    /// `transport` is also the name of its channel.
    pub(crate) fn connect(path: &Path, transport: &str) -> Self {
        let mut options = Options::default();
        options.shared_memory = transport == "shared-memory";
        // The server disconnects silent clients, and may find this one idle.
        options.limits.keep_alive_ms = 24 * 3_600_000;
        let client = Client::connect_with(path, options).wait().unwrap();
        let sender = Arc::new(client.sender(transport).wait().unwrap());
        let receiver = Arc::new(client.receiver(transport).wait().unwrap());
        let (exchanges, rests) = Default::default();
        Self { client, sender, receiver, exchanges, rests, thread: None }
    }

    /// Exchanges elements from now on, one after the other.
    pub(crate) fn goes_on(&mut self) {
        self.goes_on_every(Duration::ZERO);
    }

    /// Exchanges elements from now on, one in each `period`; what is late is not made up for.
    pub(crate) fn goes_on_every(&mut self, period: Duration) {
        self.rests.store(false, Ordering::SeqCst);
        let (sender, receiver) = (self.sender.clone(), self.receiver.clone());
        let (exchanges, rests) = (self.exchanges.clone(), self.rests.clone());
        self.thread = Some(std::thread::spawn(move || {
            let mut next = Instant::now();
            while !rests.load(Ordering::SeqCst) {
                let number = exchanges.load(Ordering::SeqCst).to_le_bytes();
                sender.send(number.to_vec()).wait().unwrap();
                let back = receiver.recv().wait().unwrap();
                assert_eq!(back.as_slice(), number);
                exchanges.fetch_add(1, Ordering::SeqCst);
                next = (next + period).max(Instant::now());
                while let left = next.saturating_duration_since(Instant::now())
                    && !left.is_zero()
                {
                    std::thread::park_timeout(left);
                }
            }
        }));
    }

    /// Stays connected, idle. It has lost nothing so far.
    pub(crate) fn rests(&mut self) {
        self.rests.store(true, Ordering::SeqCst);
        self.thread.take().unwrap().join().unwrap();
    }

    pub(crate) fn exchanges(&self) -> u64 {
        let thread = self.thread.as_ref().unwrap();
        assert!(!thread.is_finished(), "a healthy client has failed: {:?}", self.client);
        self.exchanges.load(Ordering::SeqCst)
    }
}
