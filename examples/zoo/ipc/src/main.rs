// SPDX-License-Identifier: BSD-3-Clause
//! A hostile peer, by its name, against whatever server listens at a path:
//! `hostile-peers NAME SOCKET [TIMES]`. Without arguments it lists them.
//!
//! The same sources are part of `crates/ipc/tests/hostile`, which looks at the server meanwhile.

use std::process::ExitCode;

mod peers;

fn main() -> ExitCode {
    let words: Vec<_> = std::env::args().skip(1).collect();
    let [name, socket, times @ ..] = words.as_slice() else {
        for peer in peers::ALL {
            println!("{:28} {}", peer.name, peer.defect);
        }
        return ExitCode::SUCCESS;
    };
    let Some(peer) = peers::ALL.iter().find(|peer| peer.name == name) else {
        eprintln!("error: there is no peer named {name}\nhint: without arguments all are listed");
        return ExitCode::FAILURE;
    };
    let times = times.first().and_then(|times| times.parse().ok()).unwrap_or(1);
    for _ in 0..times {
        (peer.attack)(socket.as_ref());
    }
    println!("{name}: {times} times, and the server put it out each time");
    ExitCode::SUCCESS
}
