// SPDX-License-Identifier: BSD-3-Clause
//! A path at which servers start and end, over channels that stay.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use becket_chan::Receiver;
use becket_ipc::channels::Channels;
use becket_ipc::{Backoff, Element, Options, Reconnecting, Server};

pub(crate) const LONG: Duration = Duration::from_secs(120);

pub(crate) struct World {
    pub(crate) path: PathBuf,
    pub(crate) channels: Arc<Channels>,
    options: Options,
    _directory: tempfile::TempDir,
}

impl World {
    pub(crate) fn new(shared_memory: bool) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("private/socket");
        let mut options = Options::default();
        options.shared_memory = shared_memory;
        Self { path, channels: Arc::new(Channels::new(16)), options, _directory: directory }
    }

    /// A channel of this program into which clients send.
    pub(crate) fn opens_into(&self, name: &str, capacity: usize) -> Receiver<Element> {
        let (tx, rx) = becket_chan::bounded(capacity);
        self.channels.export(name, Some(tx), None).unwrap();
        rx
    }

    pub(crate) fn serve(&self) -> Server {
        let builder = Server::builder().options(self.options.clone());
        builder.channels(self.channels.clone()).bind(&self.path).unwrap()
    }

    pub(crate) fn client(&self) -> Reconnecting {
        Reconnecting::new(&self.path, self.options.clone(), quick(None))
    }

    pub(crate) fn giving_up(&self, attempts: u32) -> Reconnecting {
        Reconnecting::new(&self.path, self.options.clone(), quick(Some(attempts)))
    }
}

pub(crate) fn quick(attempts_max: Option<u32>) -> Backoff {
    Backoff {
        first: Duration::from_millis(1),
        max: Duration::from_millis(20),
        attempts_max,
        seed: Some(7),
        ..Backoff::default()
    }
}

pub(crate) fn element(number: u64) -> Vec<u8> {
    number.to_le_bytes().to_vec()
}

pub(crate) fn number(element: &Element) -> u64 {
    u64::from_le_bytes(element.as_slice().try_into().unwrap())
}
