// SPDX-License-Identifier: BSD-3-Clause
//! A process between a host and a worker that may start others: when either ends, it ends all of them.
//!
//! ```text
//!   host ── guard ── worker ── what it starts ─┐
//!             ▲                                │ leaves its parent, its group, its session
//!             └────────────────────────────────┘ and is the guard's child (`PR_SET_CHILD_SUBREAPER`)
//! ```
//!
//! The kernel kills the worker when its parent ends (`PR_SET_PDEATHSIG`), but not what the worker has started.
//! The guard is outside the sandbox: it waits for the end of its host and of the worker, kills what has become
//! its child, and ends as the worker did. A guard that is killed ends the worker alone.
//!
//! It is this program once more: it starts the worker with its own arguments, stdin, stdout and stderr, and
//! keeps none of these open.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::process::Command;
use std::{env, io, process, thread};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{
    Pid, PidfdFlags, Resource, Rlimit, Signal, WaitOptions, WaitStatus, getpid, getppid,
    kill_process, pidfd_open, pidfd_send_signal, set_child_subreaper, setrlimit, setsid, wait,
};

/// Asks a worker's process to be the guard of one: the number of its host.
pub(crate) const HOST_VARIABLE: &str = "BECKET_GUARDED_HOST";
/// The number of a worker's guard.
pub(crate) const GUARD_VARIABLE: &str = "BECKET_GUARD";

/// The host, if this process is to be a guard.
pub(crate) fn host() -> Option<u32> {
    env::var(HOST_VARIABLE).ok()?.parse().ok()
}

/// This process's guard, if it has one.
pub(crate) fn guard() -> Option<u32> {
    env::var(GUARD_VARIABLE).ok()?.parse().ok()
}

/// Is a guard until its worker has ended, and ends as that did. Returns only if it cannot be one.
pub(crate) fn run(host: u32) -> io::Error {
    match guarded(host) {
        Ok(status) => end_as(status),
        Err(error) => error,
    }
}

fn guarded(host: u32) -> io::Result<WaitStatus> {
    let ended = || io::Error::other("the host has ended");
    let host = i32::try_from(host).ok().and_then(Pid::from_raw).ok_or_else(ended)?;
    let host_process = pidfd_open(host, PidfdFlags::empty())?;
    if getppid() != Some(host) {
        return Err(ended());
    }
    // A signal from a terminal is for the host.
    let _ = setsid();
    set_child_subreaper(Some(getpid()))?;
    // The setup, or the end. Before it the host puts this process into its control group.
    poll(&mut [PollFd::new(&rustix::stdio::stdin(), PollFlags::IN)], None)?;
    let worker = Command::new("/proc/self/exe")
        .args(env::args_os().skip(1))
        .env_remove(HOST_VARIABLE)
        .env(GUARD_VARIABLE, process::id().to_string())
        .spawn()?;
    let worker = i32::try_from(worker.id()).ok().and_then(Pid::from_raw).ok_or_else(ended)?;
    let worker_process = pidfd_open(worker, PidfdFlags::empty())?;
    // What reads and writes there sees the end of the worker.
    let null = File::options().read(true).write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    rustix::stdio::dup2_stderr(&null)?;
    thread::Builder::new().spawn(move || end_with(&host_process, &worker_process))?;
    let status = loop {
        match wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) if pid == worker => break status,
            // What the worker has left behind.
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    };
    end_descendants();
    Ok(status)
}

/// Kills the worker when the host has ended.
fn end_with(host: &OwnedFd, worker: &OwnedFd) {
    while poll(&mut [PollFd::new(host, PollFlags::IN)], None) == Err(rustix::io::Errno::INTR) {}
    // It may have ended already.
    let _ = pidfd_send_signal(worker, Signal::KILL);
}

/// Kills every process below this one, until there is none.
fn end_descendants() {
    loop {
        for descendant in descendants() {
            // It may have ended already; its number is its own until it is waited for, here or by its parent.
            let _ = kill_process(descendant, Signal::KILL);
        }
        // Some may have started others meanwhile.
        match wait(WaitOptions::empty()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(_) => return,
        }
        while matches!(wait(WaitOptions::NOHANG), Ok(Some(_))) {}
    }
}

/// The processes below this one.
fn descendants() -> Vec<Pid> {
    let mut children: HashMap<i32, Vec<i32>> = HashMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let pid = entry.file_name().to_str().and_then(|name| name.parse().ok());
        if let Some(pid) = pid
            && let Some(parent) = parent_of(pid)
        {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut found = Vec::new();
    let mut next = vec![getpid().as_raw_nonzero().get()];
    while let Some(parent) = next.pop() {
        for child in children.remove(&parent).unwrap_or_default() {
            found.extend(Pid::from_raw(child));
            next.push(child);
        }
    }
    found
}

/// The parent of a process, from `/proc/PID/stat`: field 4, of which the second may contain anything.
pub(crate) fn parent_of(pid: i32) -> Option<i32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
}

/// Ends as the worker did, so that the host sees how.
fn end_as(status: WaitStatus) -> ! {
    let signal = status.terminating_signal().and_then(Signal::from_named_raw);
    if let Some(signal) = signal {
        // The core, if any, is the worker's.
        let none = Rlimit { current: Some(0), maximum: Some(0) };
        let _ = setrlimit(Resource::Core, none);
        // The first one may meet a handler of the standard library's, which removes itself.
        for _ in 0..2 {
            let _ = kill_process(getpid(), signal);
        }
    }
    let code = status.exit_status().unwrap_or(1);
    #[allow(clippy::exit, reason = "nothing is left to be done, and the status is the worker's")]
    process::exit(code)
}

/// What a worker's process has in its environment for this: it is to be a guard, or nothing.
pub(crate) fn variable(is_guarded: bool) -> Option<(OsString, OsString)> {
    is_guarded.then(|| (HOST_VARIABLE.into(), process::id().to_string().into()))
}
