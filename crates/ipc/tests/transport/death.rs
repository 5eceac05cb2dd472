// SPDX-License-Identifier: BSD-3-Clause
//! The other side is a process that is killed.
//!
//! The test's own program is started again with the other end of a socket as its standard input and
//! told, by a variable, to run one test alone, which then is that other side.

use std::io::{BufRead as _, BufReader};
use std::os::fd::{AsFd as _, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::thread;

use becket_ipc::transport::{LinkError, Socket};

use super::factory::ProcessFactory;
use super::waiting::{Waiting, numbers};

const VARIABLE: &str = "BECKET_TEST_OTHER_SIDE";
const SENT: &str = "the other side has sent all";

macro_rules! dies_well {
    ($name:ident, $factory:ty) => {
        mod $name {
            use super::*;

            /// The other side, when it is told to be; a test like others do nothing, otherwise.
            #[test]
            fn other_side() {
                death::be_the_other_side::<$factory>();
            }

            #[test]
            fn a_kill_is_told_after_all_that_was_sent() {
                death::a_kill_is_told_after_all_that_was_sent::<$factory>(concat!(
                    stringify!($name),
                    "::other_side"
                ));
            }

            #[test]
            fn a_kill_wakes_who_waits() {
                death::a_kill_wakes_who_waits::<$factory>(concat!(
                    stringify!($name),
                    "::other_side"
                ));
            }

            #[test]
            fn the_peer_is_who_made_the_socket() {
                death::the_peer_is_who_made_the_socket::<$factory>();
            }
        }
    };
}
pub(crate) use dies_well;

/// Sends 30 frames, says so, and waits until it is killed.
pub(crate) fn be_the_other_side<F: ProcessFactory>() {
    if std::env::var_os(VARIABLE).is_none() {
        return;
    }
    let stdin = std::io::stdin().as_fd().try_clone_to_owned().unwrap();
    let mut link = Waiting::new(F::over(Socket::adopt(stdin).unwrap(), false));
    for number in 0..30 {
        link.send(number, 200);
    }
    println!("\n{SENT}");
    link.receive_all();
}

pub(crate) fn a_kill_is_told_after_all_that_was_sent<F: ProcessFactory>(test: &str) {
    let (own, others) = Socket::pair(F::KIND).unwrap();
    let mut child = start(test, others.as_fd().try_clone_to_owned().unwrap());
    drop(others);
    let mut link = Waiting::new(F::over(own, true));
    // It dies with this unread.
    link.send(99, 100);
    let said =
        BufReader::new(child.stdout.take().unwrap()).lines().any(|line| line.unwrap() == SENT);
    assert!(said, "the other side has sent all");
    kill(&mut child);
    let (came, error) = link.receive_all();
    assert_eq!(numbers(&came), Vec::from_iter(0..30));
    assert_eq!(error, LinkError::Closed);
    for number in 0..1_000 {
        link.send(number, 1_000);
    }
}

/// A kill wakes who waits for frames.
pub(crate) fn a_kill_wakes_who_waits<F: ProcessFactory>(test: &str) {
    let (own, others) = Socket::pair(F::KIND).unwrap();
    let mut child = start(test, others.as_fd().try_clone_to_owned().unwrap());
    drop(others);
    let waiter = thread::spawn(move || Waiting::new(F::over(own, true)).receive_all().1);
    let said =
        BufReader::new(child.stdout.take().unwrap()).lines().any(|line| line.unwrap() == SENT);
    assert!(said);
    kill(&mut child);
    assert_eq!(waiter.join().unwrap(), LinkError::Closed);
}

pub(crate) fn the_peer_is_who_made_the_socket<F: ProcessFactory>() {
    let (one, other) = Socket::pair(F::KIND).unwrap();
    let (one, _other) = (F::over(one, true), F::over(other, false));
    assert_eq!(one.peer().pid, std::process::id());
    assert_eq!(one.peer().uid, rustix::process::geteuid().as_raw());
    assert_eq!(one.peer().gid, rustix::process::getegid().as_raw());
}

fn start(test: &str, stdin: OwnedFd) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(VARIABLE, "1")
        .stdin(Stdio::from(stdin))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// SIGKILL, and waits for its end.
fn kill(child: &mut Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}
