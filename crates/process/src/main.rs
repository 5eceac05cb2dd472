// SPDX-License-Identifier: BSD-3-Clause
//! `becket-worker`: the program that a host runs for each plugin in a process of its own. It takes no
//! arguments; its socket is descriptor 0.

use std::process::ExitCode;

use becket_process::{SOCKET_VARIABLE, worker};

fn main() -> ExitCode {
    if std::env::var_os(SOCKET_VARIABLE).is_none() {
        eprintln!(
            "error: becket-worker is started by a host\nhint:  `becket serve` does, for each plugin with `placement = \"process\"`"
        );
        return ExitCode::FAILURE;
    }
    match worker::run_on_stdin() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: the worker cannot serve its host\ncause: {error}");
            ExitCode::FAILURE
        }
    }
}
