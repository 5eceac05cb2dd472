// SPDX-License-Identifier: BSD-3-Clause
//! The book's examples of channels between processes. Each part is a test, and `cargo run -p
//! becket-ipc --example processes` runs them one after the other. Server and client are in one
//! process here, to fit into one file; the code would not differ otherwise.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use becket_chan::{Kind, bounded};
use becket_ipc::channels::{Channels, Wanted};
use becket_ipc::{
    Backoff, Client, Element, Options, ProducerId, ReceiverOptions, Reconnecting, SendError, Server,
};

type Done = Result<(), Box<dyn Error + Send + Sync>>;

fn main() -> Done {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("private/socket");
    both_ways(&path)?;
    again(&path)?;
    println!("served, sent, received, connected again: as the book says");
    Ok(())
}

fn both_ways(path: &Path) -> Done {
    // ANCHOR: serve
    let server = Server::bind(path)?; // its directory is created if absent, for this user only
    // A channel of this program that clients may send into,
    let (jobs, inbox) = bounded::<Element>(16);
    server.export("jobs", Some(jobs), None)?;
    // and one that clients both send into and receive from.
    let log = Wanted { kind: Kind::Unlimited, capacity: 0, element_bytes: None };
    server.channels().make(Some("log"), log)?;
    // ANCHOR_END: serve

    // ANCHOR: send
    let client = Client::connect(path).wait()?;
    let jobs = client.sender("jobs").wait()?;
    match jobs.send("one").timeout(Duration::from_secs(10)).wait() {
        Ok(()) => {} // the channel has accepted it
        Err(SendError::Unknown { element, .. }) => {
            println!("the server is gone: {element:?} may have been accepted or not");
        }
        Err(error) => println!("not accepted: {:?}", error.into_element()),
    }
    // ANCHOR_END: send
    assert_eq!(inbox.recv().wait()?.as_slice(), b"one");

    let sender = client.sender("log").wait()?;
    for line in ["a", "b", "c"] {
        sender.send(line).wait()?;
    }
    // ANCHOR: recv
    // Up to 16 elements are prefetched.
    let log = client.receiver_with("log", ReceiverOptions::window(16)).wait()?;
    let first = log.recv().wait()?; // also takes a timeout, a deadline, a token
    assert_eq!(first.as_slice(), b"a");
    log.close().wait(); // prefetched elements that were not received are requeued
    // ANCHOR_END: recv
    let rest = client.receiver("log").wait()?;
    assert_eq!(rest.recv().wait()?.as_slice(), b"b");
    Ok(())
}

fn again(path: &Path) -> Done {
    let jobs = Wanted { kind: Kind::Bounded, capacity: 16, element_bytes: None };
    // ANCHOR: again
    // A table of its own: it outlives the server.
    let channels = Arc::new(Channels::new(64));
    let jobs = channels.make(Some("jobs"), jobs)?;
    let server = Server::builder().channels(channels.clone()).bind(path)?;

    let client = Reconnecting::new(path, Options::default(), Backoff::default());
    let sender = client.channel("jobs").sender();
    sender.send("one").timeout(Duration::from_secs(10)).wait()?;

    let once = client.channel("jobs").once(ProducerId::random());
    once.send("two").wait()?;
    drop(server);
    let server = Server::builder().channels(channels).bind(path)?;
    once.send("three").wait()?; // over any number of connections, exactly once
    assert_eq!(once.accepted().wait()?, 2);
    // ANCHOR_END: again
    let inbox = jobs.receiver().ok_or("it can be received from")?;
    for text in ["one", "two", "three"] {
        assert_eq!(inbox.try_recv()?.as_slice(), text.as_bytes());
    }
    drop(server);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_book_run() -> Done {
        main()
    }
}
