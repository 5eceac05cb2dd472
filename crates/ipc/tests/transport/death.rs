// SPDX-License-Identifier: BSD-3-Clause
//! The other side is a process that is killed.
//!
//! It has the other end of a socket as its standard input.

use std::os::fd::AsFd as _;
use std::process::{Child, Stdio};
use std::thread;

use becket_ipc::transport::{Link, LinkError, Socket};

use super::factory::ProcessFactory;
use becket_ipc::transport::conformance::waiting::{Waiting, numbers};

/// Included by its path, so that other users of this file have it too.
#[path = "child.rs"]
pub(crate) mod child;

macro_rules! dies_well {
    ($name:ident, $factory:ty) => {
        mod $name {
            use super::*;

            /// The other side, when the variable is set; otherwise does nothing.
            #[test]
            fn other_side() {
                death::be_the_other_side::<$factory>();
            }

            #[test]
            fn a_kill_is_reported_after_all_that_was_sent() {
                death::a_kill_is_reported_after_all_that_was_sent::<$factory>(concat!(
                    stringify!($name),
                    "::other_side"
                ));
            }

            #[test]
            fn a_kill_wakes_a_waiting_side() {
                death::a_kill_wakes_a_waiting_side::<$factory>(concat!(
                    stringify!($name),
                    "::other_side"
                ));
            }

            #[test]
            fn the_peer_is_the_creator_of_the_socket() {
                death::the_peer_is_the_creator_of_the_socket::<$factory>();
            }
        }
    };
}
pub(crate) use dies_well;

/// Sends 30 frames, reports that, and waits until it is killed.
pub(crate) fn be_the_other_side<F: ProcessFactory>() {
    if !child::is_to_play() {
        return;
    }
    let stdin = std::io::stdin().as_fd().try_clone_to_owned().unwrap();
    let mut link = Waiting::new(F::over(Socket::adopt(stdin).unwrap(), false));
    for number in 0..30 {
        link.send(number, 200);
    }
    child::is_ready();
    link.receive_all();
}

pub(crate) fn a_kill_is_reported_after_all_that_was_sent<F: ProcessFactory>(test: &str) {
    let (child, link) = start::<F>(test);
    let mut link = Waiting::new(link);
    // The peer is killed with this unread.
    link.send(99, 100);
    child::kill(child);
    let (came, error) = link.receive_all();
    assert_eq!(numbers(&came), Vec::from_iter(0..30));
    assert_eq!(error, LinkError::Closed);
    for number in 0..1_000 {
        link.send(number, 1_000);
    }
}

/// A kill wakes a side that waits for frames.
pub(crate) fn a_kill_wakes_a_waiting_side<F: ProcessFactory>(test: &str) {
    let (child, link) = start::<F>(test);
    let waiter = thread::spawn(move || Waiting::new(link).receive_all().1);
    child::kill(child);
    assert_eq!(waiter.join().unwrap(), LinkError::Closed);
}

pub(crate) fn the_peer_is_the_creator_of_the_socket<F: ProcessFactory>() {
    let (one, other) = Socket::pair(F::KIND).unwrap();
    let (one, _other) = (F::over(one, true), F::over(other, false));
    assert_eq!(one.peer().pid, std::process::id());
    assert_eq!(one.peer().uid, rustix::process::geteuid().as_raw());
    assert_eq!(one.peer().gid, rustix::process::getegid().as_raw());
}

/// The other side, which has sent everything, and the link to it.
fn start<F: ProcessFactory>(test: &str) -> (Child, Box<dyn Link>) {
    let (own, others) = Socket::pair(F::KIND).unwrap();
    let stdin = others.as_fd().try_clone_to_owned().unwrap();
    drop(others);
    let link = thread::spawn(move || F::over(own, true));
    let child = child::start(test, Stdio::from(stdin));
    (child, link.join().unwrap())
}
