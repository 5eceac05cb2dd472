// SPDX-License-Identifier: BSD-3-Clause
//! Jobs over a NATS server: `jobs send URL TEXT…`, `jobs work URL`, `jobs close URL`, on any
//! machines that reach it.

use std::error::Error;
use std::time::Duration;

use becket_cluster::{Kind, Options, RecvError};
use futures_lite::future::block_on;

// ANCHOR: jobs
const JOBS: Kind = Kind::Bounded { capacity: 100 };

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [action, url, texts @ ..] = &arguments[..] else {
        return Err("usage: jobs send|work|close URL [TEXT]…".into());
    };
    let (tx, rx) = block_on(becket_cluster::open(url, "jobs", JOBS, Options::default()))?;
    match action.as_str() {
        "send" => {
            for text in texts {
                // Waits while 100 jobs are queued or worked on.
                tx.send(text.clone()).timeout(Duration::from_secs(60)).wait()?;
            }
        }
        "work" => loop {
            let job = match rx.lease().wait() {
                Err(RecvError::Closed { .. }) => break,
                job => job?,
            };
            println!("{}", String::from_utf8_lossy(&job));
            // If this process dies before, another one gets the job.
            job.ack().wait()?;
        },
        _ => {
            tx.close_with("no more jobs").wait()?;
        }
    }
    Ok(())
}
// ANCHOR_END: jobs
