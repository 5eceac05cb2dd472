// SPDX-License-Identifier: BSD-3-Clause
//! What a process in a sandbox tries, and what becomes of it.
//!
//! Each attempt is made by a process of its own, which is this program again: it enters the sandbox, tries,
//! and reports the error on stdout. Beside it the same without a sandbox, which succeeds: otherwise the
//! attempt would prove nothing.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(unsafe_code, reason = "the attempts are system calls")]

use std::ffi::c_long;
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::process::{Command, Stdio};
use std::{env, fs, io, process, thread};

use becket_sandbox::limits::ResourceLimits;
use becket_sandbox::{Allow, Profile, Sandbox};

const ATTEMPT: &str = "BECKET_ATTEMPT";
const SANDBOX: &str = "BECKET_SANDBOX";
const AIM: &str = "BECKET_AIM";

/// What the other process tries; the aim is a file, an address, a process.
type Attempt = fn(&str) -> io::Result<()>;

const ATTEMPTS: &[(&str, Attempt)] = &[
    ("read-a-file", |aim| fs::read(aim).map(drop)),
    ("write-a-file", |aim| fs::write(aim, "mine")),
    ("make-a-file", |aim| fs::write(format!("{aim}.new"), "mine")),
    ("remove-a-file", |aim| fs::remove_file(aim)),
    ("connect-by-tcp", |aim| TcpStream::connect(aim).map(drop)),
    ("listen-by-tcp", |_| TcpListener::bind("127.0.0.1:0").map(drop)),
    ("connect-to-an-abstract-socket", |aim| {
        UnixStream::connect_addr(&SocketAddr::from_abstract_name(aim)?).map(drop)
    }),
    ("connect-to-a-socket", |aim| UnixStream::connect(aim).map(drop)),
    ("trace-a-process", |aim| {
        call(libc::SYS_ptrace, [libc::PTRACE_SEIZE.into(), pid(aim), 0, 0, 0])
    }),
    ("write-memory-of-a-process", |aim| {
        let byte = 1_u8;
        let (local, remote) = ([&raw const byte as u64, 1], [8_u64, 1]);
        let [local, remote] = [&raw const local, &raw const remote].map(|at| at as c_long);
        match call(libc::SYS_process_vm_writev, [pid(aim), local, 1, remote, 1]) {
            // It may; there is nothing at that address.
            Err(error) if error.raw_os_error() == Some(libc::EFAULT) => Ok(()),
            other => other,
        }
    }),
    ("signal-a-process", |aim| call(libc::SYS_kill, [pid(aim), 0, 0, 0, 0])),
    ("signal-all-processes", |_| {
        // Of a group that has no other process: the process leads it.
        call(libc::SYS_kill, [0, 0, 0, 0, 0])
    }),
    ("run-a-program", |_| {
        let status = Command::new("/bin/true").status()?;
        if status.success() { Ok(()) } else { Err(io::Error::other(status.to_string())) }
    }),
    ("fork", |_| {
        // SAFETY: the child ends at once.
        match unsafe { libc::fork() } {
            -1 => Err(io::Error::last_os_error()),
            // SAFETY: as above.
            0 => unsafe { libc::_exit(0) },
            _ => Ok(()),
        }
    }),
    ("mount", |aim| {
        let (none, at) = (c"none", std::ffi::CString::new(aim).unwrap());
        let [none, at] = [none.as_ptr(), at.as_ptr()].map(|text| text as c_long);
        let kind = c"tmpfs".as_ptr() as c_long;
        call(libc::SYS_mount, [none, at, kind, 0, 0])
    }),
    ("make-a-namespace", |_| call(libc::SYS_unshare, [libc::CLONE_NEWUTS.into(), 0, 0, 0, 0])),
    ("use-io-uring", |_| {
        let mut parameters = [0_u64; 15];
        call(libc::SYS_io_uring_setup, [1, parameters.as_mut_ptr() as c_long, 0, 0, 0])
    }),
    ("open-a-memfd-of-a-process", |aim| {
        let (process, descriptor) = aim.split_once(' ').unwrap();
        fs::OpenOptions::new()
            .write(true)
            .open(format!("/proc/{process}/fd/{descriptor}"))
            .map(drop)
    }),
    ("take-a-descriptor-of-a-process", |aim| {
        let (process, descriptor) = aim.split_once(' ').unwrap();
        // SAFETY: a descriptor, or -1.
        let by = unsafe { libc::syscall(libc::SYS_pidfd_open, pid(process), 0) };
        if by < 0 {
            return Err(io::Error::last_os_error());
        }
        call(libc::SYS_pidfd_getfd, [by, pid(descriptor), 0, 0, 0])
    }),
    ("outlive-the-parent", |_| call(libc::SYS_prctl, [libc::PR_SET_PDEATHSIG.into(), 0, 0, 0, 0])),
    ("change-limits-of-a-process", |aim| {
        let limit = [1_u64 << 20; 2];
        let limit = &raw const limit as c_long;
        call(libc::SYS_prlimit64, [pid(aim), libc::RLIMIT_STACK.into(), limit, 0, 0])
    }),
    ("become-a-user", |_| call(libc::SYS_setresuid, [65_534, 65_534, 65_534, 0, 0])),
    ("watch-page-faults", |_| call(libc::SYS_userfaultfd, [1, 0, 0, 0, 0])),
    ("type-into-a-terminal", |_| {
        // Descriptor 0 is not a terminal: without a sandbox that is the answer.
        match call(libc::SYS_ioctl, [0, libc::TIOCSTI.cast_signed(), 0, 0, 0]) {
            Err(error) if error.raw_os_error() == Some(libc::ENOTTY) => Ok(()),
            other => other,
        }
    }),
];

fn pid(aim: &str) -> c_long {
    aim.parse().unwrap()
}

fn call(number: c_long, args: [c_long; 5]) -> io::Result<()> {
    let [first, second, third, fourth, fifth] = args;
    // SAFETY: what the arguments point to is the caller's and lives as long as the call.
    match unsafe { libc::syscall(number, first, second, third, fourth, fifth, 0 as c_long) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// What the other process does: not a test when there is no attempt.
#[test]
fn an_attempt() {
    let Ok(name) = env::var(ATTEMPT) else { return };
    let sandbox: Sandbox = serde_json::from_str(&env::var(SANDBOX).unwrap()).unwrap();
    let (_, attempt) = ATTEMPTS.iter().find(|(known, _)| *known == name).unwrap();
    let report = sandbox.enter().unwrap();
    assert_eq!(report.lacking().next(), None);
    let errno = match attempt(&env::var(AIM).unwrap()) {
        Ok(()) => 0,
        Err(error) => error.raw_os_error().unwrap_or(-1),
    };
    println!("errno {errno}");
}

/// The error number of an attempt by another process in the sandbox; 0: it succeeded.
fn attempt(sandbox: &Sandbox, name: &str, aim: &str) -> i32 {
    let output = Command::new(env::current_exe().unwrap())
        .args(["--exact", "an_attempt", "--nocapture"])
        .env(ATTEMPT, name)
        .env(SANDBOX, serde_json::to_string(sandbox).unwrap())
        .env(AIM, aim)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let reported = text.split("errno ").nth(1).and_then(|rest| rest.split_whitespace().next());
    let Some(errno) = reported.and_then(|number| number.parse().ok()) else {
        panic!("{name}: {}\n{text}{}", output.status, String::from_utf8_lossy(&output.stderr));
    };
    errno
}

fn profile(profile: Profile) -> Sandbox {
    Sandbox { profile, ..Sandbox::default() }
}

/// The attempt succeeds without a sandbox and fails with it; with both errors in one check.
#[track_caller]
fn refused(profiles: &[Profile], name: &str, aim: &str, errors: &[i32]) {
    assert_eq!(attempt(&profile(Profile::None), name, aim), 0, "{name} proves nothing");
    for &one in profiles {
        let errno = attempt(&profile(one), name, aim);
        assert!(errors.contains(&errno), "{name} in {one}: {errno}, not one of {errors:?}");
    }
}

const BOTH: &[Profile] = &[Profile::Default, Profile::Strict];
const STRICT: &[Profile] = &[Profile::Strict];

#[test]
fn files_of_others_are_not_read() {
    refused(STRICT, "read-a-file", "/etc/hostname", &[libc::EACCES]);
    assert_eq!(attempt(&profile(Profile::Default), "read-a-file", "/etc/hostname"), 0);
}

#[test]
fn files_are_not_changed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    let aim = file.to_str().unwrap();
    for name in ["write-a-file", "make-a-file", "remove-a-file"] {
        fs::write(&file, "theirs").unwrap();
        for &one in BOTH {
            assert_eq!(attempt(&profile(one), name, aim), libc::EACCES, "{name} in {one}");
        }
        assert_eq!(fs::read(&file).unwrap(), b"theirs");
        let writable = Sandbox { writable: vec![folder.path().into()], ..profile(Profile::Strict) };
        assert_eq!(attempt(&writable, name, aim), 0, "{name} in its own folder");
    }
}

#[test]
fn no_network() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let aim = listener.local_addr().unwrap().to_string();
    for name in ["connect-by-tcp", "listen-by-tcp"] {
        refused(STRICT, name, &aim, &[libc::EPERM]);
        assert_eq!(attempt(&profile(Profile::Default), name, &aim), 0);
        let network = Sandbox { allow: vec![Allow::Network], ..profile(Profile::Strict) };
        assert_eq!(attempt(&network, name, &aim), 0, "{name} is allowed");
    }
}

#[test]
fn no_sockets_of_others() {
    let name = format!("becket-sandbox-{}", process::id());
    let _listener =
        UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    refused(BOTH, "connect-to-an-abstract-socket", &name, &[libc::EPERM]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let _listener = UnixListener::bind(&path).unwrap();
    refused(STRICT, "connect-to-a-socket", path.to_str().unwrap(), &[libc::EPERM]);
}

#[test]
fn other_processes_are_left_alone() {
    let other = Command::new("/bin/sleep").arg("1000").spawn().unwrap();
    let other = Ends(other);
    let aim = other.0.id().to_string();
    for name in [
        "trace-a-process",
        "write-memory-of-a-process",
        "signal-a-process",
        "change-limits-of-a-process",
    ] {
        refused(BOTH, name, &aim, &[libc::EPERM]);
    }
    refused(BOTH, "signal-all-processes", "", &[libc::EPERM]);
}

#[test]
fn descriptors_of_others_are_not_taken() {
    // SAFETY: a name, and a descriptor that is checked.
    let memory = unsafe { libc::memfd_create(c"theirs".as_ptr(), 0) };
    assert!(memory >= 0);
    let aim = format!("{} {memory}", process::id());
    refused(BOTH, "open-a-memfd-of-a-process", &aim, &[libc::EACCES]);
    refused(BOTH, "take-a-descriptor-of-a-process", &aim, &[libc::EPERM]);
}

#[test]
fn no_process_is_started() {
    refused(BOTH, "run-a-program", "", &[libc::EPERM]);
    refused(BOTH, "fork", "", &[libc::EPERM]);
    let processes = Sandbox { allow: vec![Allow::Processes], ..profile(Profile::Default) };
    for name in ["run-a-program", "fork"] {
        assert_eq!(attempt(&processes, name, ""), 0, "{name} is allowed");
    }
}

#[test]
fn the_kernel_is_left_alone() {
    let refused = |name, aim: &str| {
        for &one in BOTH {
            assert_eq!(attempt(&profile(one), name, aim), libc::EPERM, "{name} in {one}");
        }
    };
    let folder = tempfile::tempdir().unwrap();
    refused("mount", folder.path().to_str().unwrap());
    for name in ["make-a-namespace", "use-io-uring", "become-a-user", "watch-page-faults"] {
        refused(name, "");
    }
}

#[test]
fn it_does_not_outlive_its_parent() {
    refused(BOTH, "outlive-the-parent", "", &[libc::EPERM]);
    refused(BOTH, "type-into-a-terminal", "", &[libc::EPERM]);
}

struct Ends(process::Child);

impl Drop for Ends {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What an ordinary program does goes on as before.
#[test]
fn ordinary_work_goes_on() {
    const NAME: &str = "ordinary_work_goes_on";
    if env::var(ATTEMPT).as_deref() == Ok(NAME) {
        let sandbox: Sandbox = serde_json::from_str(&env::var(SANDBOX).unwrap()).unwrap();
        let (here, there) = UnixStream::pair().unwrap();
        sandbox.enter().unwrap();
        let sum = thread::scope(|scope| {
            let threads: Vec<_> =
                (0..8).map(|n| scope.spawn(move || vec![n; 1 << 20].len())).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum::<usize>()
        });
        assert_eq!(sum, 8 << 20);
        assert!(here.as_raw_fd() >= 0);
        drop(there);
        thread::park_timeout(std::time::Duration::from_millis(1));
        env::current_dir().unwrap();
        println!("errno 0");
        return;
    }
    for &one in BOTH {
        let output = Command::new(env::current_exe().unwrap())
            .args(["--exact", NAME, "--nocapture"])
            .env(ATTEMPT, NAME)
            .env(SANDBOX, serde_json::to_string(&profile(one)).unwrap())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(
            text.contains("errno 0"),
            "{one}: {text}{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

/// An allocation beyond the limit fails in the process, and nowhere else.
#[test]
fn memory_has_a_limit() {
    const NAME: &str = "memory_has_a_limit";
    let limits = ResourceLimits { memory_bytes_max: Some(256 << 20), ..ResourceLimits::default() };
    let sandbox = Sandbox { limits, ..Sandbox::default() };
    if env::var(ATTEMPT).as_deref() == Ok(NAME) {
        sandbox.enter().unwrap();
        let mut held: Vec<Vec<u8>> = Vec::new();
        loop {
            let mut more = Vec::new();
            if more.try_reserve_exact(16 << 20).is_err() {
                println!("errno {}", held.len());
                return;
            }
            held.push(more);
            assert!(held.len() < 64, "no limit");
        }
    }
    let output = Command::new(env::current_exe().unwrap())
        .args(["--exact", NAME, "--nocapture"])
        .env(ATTEMPT, NAME)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("errno 1"), "{text}{}", String::from_utf8_lossy(&output.stderr));
}

/// A thread that starts a process and ends takes it along, as a host does that is killed.
#[test]
fn it_ends_with_its_parent() {
    const NAME: &str = "it_ends_with_its_parent";
    if env::var(ATTEMPT).as_deref() == Ok(NAME) {
        profile(Profile::Strict).enter().unwrap();
        println!("errno 0");
        loop {
            thread::park();
        }
    }
    let starts = thread::spawn(|| {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", NAME, "--nocapture"])
            .env(ATTEMPT, NAME)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let out = io::BufReader::new(child.stdout.take().unwrap());
        let entered = io::BufRead::lines(out).any(|line| line.unwrap().contains("errno 0"));
        assert!(entered);
        child
    });
    let mut child = starts.join().unwrap();
    let status = child.wait().unwrap();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(libc::SIGKILL));
}
