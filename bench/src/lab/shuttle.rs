// SPDX-License-Identifier: BSD-3-Clause
//! shuttle: a thread for each flow and an echo thread, channels between them, and a random
//! scheduler that chooses the next thread at each step.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use shuttle::scheduler::RandomScheduler;
use shuttle::sync::mpsc;
use shuttle::{Config, Runner, thread};

use super::rows::SHUTTLE;
use super::work::{are_right, bytes, check_bytes};
use crate::error::BenchError;

/// So many runs, from this seed on.
pub(super) fn run(first: u64, runs: u64, flows: u32) -> Result<(), BenchError> {
    let (right, next) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(first)));
    let scheduler = RandomScheduler::new_from_seed(first, runs as usize);
    let (counted, seeds) = (Arc::clone(&right), Arc::clone(&next));
    Runner::new(scheduler, Config::default()).run(move || {
        let seed = seeds.fetch_add(1, Ordering::Relaxed);
        once(seed, flows, &counted);
    });
    check_bytes(SHUTTLE, first..first + runs, flows, right.load(Ordering::Relaxed))
}

type Asked = (u32, Vec<u8>, mpsc::Sender<Vec<u8>>);

fn once(seed: u64, flows: u32, right: &Arc<AtomicU64>) {
    let (to_server, asked) = mpsc::channel::<Asked>();
    let counted = Arc::clone(right);
    let server = thread::spawn(move || {
        while let Ok((flow, bytes, back)) = asked.recv() {
            if are_right(seed, flow, 0, &bytes) {
                counted.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            }
            // A client that is gone is missed where its bytes are counted.
            let _gone = back.send(bytes);
        }
    });
    let clients: Vec<_> = (0..flows)
        .map(|flow| {
            let (to_server, counted) = (to_server.clone(), Arc::clone(right));
            thread::spawn(move || {
                let (to_client, back) = mpsc::channel();
                let _gone = to_server.send((flow, bytes(seed, flow), to_client));
                if let Ok(bytes) = back.recv()
                    && are_right(seed, flow, 0, &bytes)
                {
                    counted.fetch_add(bytes.len() as u64, Ordering::Relaxed);
                }
            })
        })
        .collect();
    drop(to_server);
    for one in clients.into_iter().chain([server]) {
        // A panic is missed where bytes are counted.
        let _panicked = one.join();
    }
}
