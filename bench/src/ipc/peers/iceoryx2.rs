// SPDX-License-Identifier: BSD-3-Clause
//! iceoryx2: publish and subscribe, without copies, one service for each direction. A waiter polls
//! for a sample, or waits for an event that the publisher sends after each sample.
//!
//! The names of its files begin with a prefix of this program and the process id, so that the
//! cleanup removes no other files.

use std::fs;
use std::hint::spin_loop;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use iceoryx2::config::Config;
use iceoryx2::node::{Node, NodeBuilder};
use iceoryx2::port::listener::Listener;
use iceoryx2::port::notifier::Notifier;
use iceoryx2::port::publisher::Publisher;
use iceoryx2::port::subscriber::Subscriber;
use iceoryx2::prelude::{
    BackpressureStrategy, FileName, LogLevel, Path, SemanticString, SignalHandlingMode, ipc,
    set_log_level,
};

use crate::error::{BenchError, check};
use crate::ipc::payload::Payload;
use crate::ipc::way::{Invitation, Kind, Way};
use crate::ipc::work::Work;

/// By two that spin.
pub(crate) enum Polling {}
/// By two that sleep.
pub(crate) enum Events {}
/// Samples that are not touched but for their ends: by two that spin.
pub(crate) enum Loans {}

type Out = Publisher<ipc::Service, [u8], ()>;
type Inward = Subscriber<ipc::Service, [u8], ()>;

/// An end.
pub(crate) struct End {
    out: Out,
    inward: Inward,
    events: Option<(Notifier<ipc::Service>, Listener<ipc::Service>)>,
    payload: Payload,
    bytes: usize,
    is_touched: bool,
    _node: Node<ipc::Service>,
    /// Last: what is left is removed when all else is gone.
    _files: Option<Files>,
}

/// What this process has made in the file system.
#[derive(Debug)]
pub(crate) struct Files(String);

const NAME: &str = "iceoryx2";

macro_rules! kind {
    ($kind:ident, $column:literal, polls: $polls:literal, touches: $touches:literal) => {
        impl Kind for $kind {
            const COLUMN: &str = $column;
            type Host = End;
            type End = End;

            fn invite(work: Work) -> Result<(Invitation, End), BenchError> {
                let files = Files::new();
                let text = files.0.clone();
                let mut end = end(&text, ["there", "back"], work, $polls, $touches)?;
                end._files = Some(files);
                Ok((Invitation { descriptors: Vec::new(), text }, end))
            }

            fn accept(end: End, _: Work) -> Result<End, BenchError> {
                Ok(end)
            }

            fn join(invitation: Invitation, work: Work) -> Result<End, BenchError> {
                end(&invitation.text, ["back", "there"], work, $polls, $touches)
            }
        }
    };
}

kind!(Polling, "iceoryx2, polling", polls: true, touches: true);
kind!(Events, "iceoryx2, events", polls: false, touches: true);
kind!(Loans, "iceoryx2", polls: true, touches: false);

fn end(
    prefix: &str,
    [out, inward]: [&str; 2],
    work: Work,
    polls: bool,
    is_touched: bool,
) -> Result<End, BenchError> {
    set_log_level(LogLevel::Fatal);
    let node = NodeBuilder::new()
        .config(&config(prefix)?)
        .signal_handling_mode(SignalHandlingMode::Disabled)
        .create::<ipc::Service>()
        .map_err(failed)?;
    let events = match polls {
        true => None,
        false => Some((notifier(&node, out)?, listener(&node, inward)?)),
    };
    Ok(End {
        out: publisher(&node, out, work)?,
        inward: subscriber(&node, inward, work)?,
        events,
        payload: Payload::new(NAME, if is_touched { work.bytes() } else { 8 }),
        bytes: work.bytes(),
        is_touched,
        _node: node,
        _files: None,
    })
}

fn config(prefix: &str) -> Result<Config, BenchError> {
    let mut config = Config::default();
    config.global.prefix = FileName::new(prefix.as_bytes()).map_err(failed)?;
    let root = root(prefix);
    let root = Path::new(root.as_os_str().as_encoded_bytes()).map_err(failed)?;
    config.global.set_root_path(&root);
    Ok(config)
}

/// A service of samples: as many under way as the row has messages, none is ever dropped.
macro_rules! samples {
    ($node:expr, $name:expr, $work:expr) => {
        $node
            .service_builder(&$name.try_into().map_err(failed)?)
            .publish_subscribe::<[u8]>()
            .enable_safe_overflow(false)
            .history_size(0)
            .max_publishers(1)
            .max_subscribers(1)
            .subscriber_max_buffer_size($work.depth())
            .subscriber_max_borrowed_samples(2)
            .open_or_create()
            .map_err(failed)?
    };
}

fn publisher(node: &Node<ipc::Service>, name: &str, work: Work) -> Result<Out, BenchError> {
    samples!(node, name, work)
        .publisher_builder()
        .initial_max_slice_len(work.bytes())
        .max_loaned_samples(2)
        .backpressure_strategy(BackpressureStrategy::RetryUntilDelivered)
        .create()
        .map_err(failed)
}

fn subscriber(node: &Node<ipc::Service>, name: &str, work: Work) -> Result<Inward, BenchError> {
    samples!(node, name, work).subscriber_builder().create().map_err(failed)
}

fn notifier(node: &Node<ipc::Service>, name: &str) -> Result<Notifier<ipc::Service>, BenchError> {
    let name = name.try_into().map_err(failed)?;
    let service = node.service_builder(&name).event().open_or_create().map_err(failed)?;
    service.notifier_builder().create().map_err(failed)
}

fn listener(node: &Node<ipc::Service>, name: &str) -> Result<Listener<ipc::Service>, BenchError> {
    let name = name.try_into().map_err(failed)?;
    let service = node.service_builder(&name).event().open_or_create().map_err(failed)?;
    service.listener_builder().create().map_err(failed)
}

impl Way for End {
    fn put(&mut self, number: u64) -> Result<(), BenchError> {
        let sample = self.out.loan_slice_uninit(self.bytes).map_err(failed)?;
        // SAFETY: any bytes are a `[u8]`, and these are shared memory, which the kernel has
        // filled with zeros.
        let mut sample = unsafe { sample.assume_init() };
        if self.is_touched {
            self.payload.fill(sample.payload_mut(), number)?;
        } else {
            let (first, last) = ends(sample.payload_mut()).ok_or(BenchError::Worker)?;
            *first = number.to_le_bytes();
            *last = number.to_le_bytes();
        }
        let receivers = sample.send().map_err(failed)?;
        check(NAME, "subscribers that a sample was sent to", 1, receivers)?;
        if let Some((notifier, _)) = &self.events {
            notifier.notify().map_err(failed)?;
        }
        Ok(())
    }

    fn take(&mut self) -> Result<u64, BenchError> {
        loop {
            if let Some(number) = self.take_now()? {
                return Ok(number);
            }
            match &self.events {
                Some((_, listener)) => {
                    listener.blocking_wait(|_| {}).map_err(failed)?;
                }
                None => spin_loop(),
            }
        }
    }

    fn take_now(&mut self) -> Result<Option<u64>, BenchError> {
        let Some(sample) = self.inward.receive().map_err(failed)? else {
            return Ok(None);
        };
        if self.is_touched {
            return self.payload.read(sample.payload()).map(Some);
        }
        check(NAME, "a sample's length", self.bytes, sample.payload().len())?;
        let first = sample.payload().first_chunk().map(|word| u64::from_le_bytes(*word));
        let last = sample.payload().last_chunk().map(|word| u64::from_le_bytes(*word));
        check(NAME, "a sample's last word", first, last)?;
        Ok(first)
    }
}

/// The first and the last word.
fn ends(bytes: &mut [u8]) -> Option<(&mut [u8; 8], &mut [u8; 8])> {
    let (first, rest) = bytes.split_first_chunk_mut()?;
    Some((first, rest.last_chunk_mut()?))
}

fn root(prefix: &str) -> PathBuf {
    std::env::temp_dir().join(prefix)
}

impl Files {
    fn new() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Relaxed);
        if count == 0 {
            remove(|name| owner(name).is_some_and(|process| !is_there(process)));
        }
        Self(format!("{PREFIX}{}_{count}_", std::process::id()))
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        remove(|name| name.starts_with(&self.0));
    }
}

const PREFIX: &str = "becket_bench_";

/// Removes what iceoryx2 has made under such names.
fn remove(is_ours: impl Fn(&str) -> bool) {
    for directory in [PathBuf::from("/dev/shm"), std::env::temp_dir()] {
        let entries = fs::read_dir(directory).into_iter().flatten().flatten();
        for entry in entries.filter(|entry| is_ours(&entry.file_name().to_string_lossy())) {
            let path = entry.path();
            let _ = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
        }
    }
}

/// The number of the process that has made the file of this name: what an earlier run has left
/// when it was killed.
fn owner(name: &str) -> Option<u32> {
    name.strip_prefix(PREFIX)?.split('_').next()?.parse().ok()
}

fn is_there(process: u32) -> bool {
    fs::exists(format!("/proc/{process}")).unwrap_or(true)
}

fn failed(error: impl std::fmt::Debug) -> BenchError {
    BenchError::host(NAME, format!("{error:?}"))
}
