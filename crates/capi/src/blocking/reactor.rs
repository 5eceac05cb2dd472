// SPDX-License-Identifier: BSD-3-Clause
//! The thread that waits for file descriptors.
//!
//! Each wait registers a duplicate of the descriptor, for one event: so several waits may use one
//! descriptor, and one that is closed meanwhile is not confused with a later one of the same
//! number. When the event arrives, the thread removes the wait's entry from a table, by the wait's
//! number, and cancels its token. Otherwise it sleeps in the kernel.
//!
//! # Invariants
//!
//! 1. A number is never reused: a late event finds no entry.
//! 2. When a wait has ended, for any reason, neither its entry nor its duplicate is left: the wait
//!    removes its entry, if the thread has not, and closes the duplicate.

use std::collections::HashMap;
use std::ffi::c_int;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use becket_chan::Token;
use parking_lot::Mutex;

use super::{ETIMEDOUT, Event, Until};
use crate::errno;

/// The awaited event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Readable,
    Writable,
}

impl Direction {
    const fn poll(self) -> libc::c_short {
        match self {
            Self::Readable => libc::POLLIN,
            Self::Writable => libc::POLLOUT,
        }
    }
}

/// Waits until the descriptor is ready, has ended, or has an error to report. `-ENOTRECOVERABLE`: this is
/// a child process of `fork`, and its parent has waited before; the thread was not copied.
pub(crate) fn wait(fd: RawFd, direction: Direction, until: Until) -> Result<(), c_int> {
    let event = Event::new();
    if event.is_cancelled() {
        return Err(errno::ECANCELED);
    }
    if is_ready(fd, direction)? {
        return Ok(());
    }
    if matches!(until, Until::Now) {
        return Err(ETIMEDOUT);
    }
    if *PROCESS != std::process::id() {
        return Err(-libc::ENOTRECOVERABLE);
    }
    let Some(_waits) = platform::register(fd, direction, event.trigger())? else {
        return Ok(());
    };
    event.wait(until)
}

/// Checks, without waiting.
fn is_ready(fd: RawFd, direction: Direction) -> Result<bool, c_int> {
    let mut look = libc::pollfd { fd, events: direction.poll(), revents: 0 };
    loop {
        // SAFETY: one valid entry.
        match unsafe { libc::poll(&raw mut look, 1, 0) } {
            0 => return Ok(false),
            1 if look.revents & libc::POLLNVAL != 0 => return Err(-libc::EBADF),
            1 => return Ok(true),
            _ => match last_error() {
                error if error == -libc::EINTR => {}
                error => return Err(error),
            },
        }
    }
}

/// The error of the last system call, as C's number.
pub(super) fn last_error() -> c_int {
    -std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO)
}

/// Where the thread is.
static PROCESS: LazyLock<u32> = LazyLock::new(std::process::id);

static NUMBERS: AtomicU64 = AtomicU64::new(1);

static WAITING: LazyLock<Mutex<HashMap<u64, Token>>> = LazyLock::new(Mutex::default);

#[cfg(target_os = "linux")]
mod platform {
    use super::*;

    /// The epoll descriptor, or why there is none.
    static EPOLL: LazyLock<Result<OwnedFd, c_int>> = LazyLock::new(start);

    /// A wait that is registered.
    pub(super) struct Registered {
        number: u64,
        epoll: RawFd,
        duplicate: OwnedFd,
    }

    impl Drop for Registered {
        fn drop(&mut self) {
            WAITING.lock().remove(&self.number);
            // SAFETY: both are open; the duplicate is closed after this.
            unsafe {
                libc::epoll_ctl(
                    self.epoll,
                    libc::EPOLL_CTL_DEL,
                    self.duplicate.as_raw_fd(),
                    std::ptr::null_mut(),
                );
            }
        }
    }

    /// `None`: the kernel does not wait for such a descriptor, since it is always ready.
    pub(super) fn register(
        fd: RawFd,
        direction: Direction,
        token: Token,
    ) -> Result<Option<Registered>, c_int> {
        let epoll = EPOLL.as_ref().map_err(|error| *error)?.as_raw_fd();
        // SAFETY: passes numbers only.
        let duplicate = unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 0) };
        if duplicate < 0 {
            return Err(last_error());
        }
        // SAFETY: just opened, and not owned by other code.
        let duplicate = unsafe { OwnedFd::from_raw_fd(duplicate) };
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        let what = match direction {
            Direction::Readable => libc::EPOLLIN | libc::EPOLLRDHUP,
            Direction::Writable => libc::EPOLLOUT,
        };
        let once = (what | libc::EPOLLONESHOT).cast_unsigned();
        let mut event = libc::epoll_event { events: once, u64: number };
        WAITING.lock().insert(number, token);
        let registered = Registered { number, epoll, duplicate };
        // SAFETY: both are open; the event is valid for the call.
        let added = unsafe {
            libc::epoll_ctl(
                epoll,
                libc::EPOLL_CTL_ADD,
                registered.duplicate.as_raw_fd(),
                &raw mut event,
            )
        };
        if added == 0 {
            return Ok(Some(registered));
        }
        match last_error() {
            error if error == -libc::EPERM => Ok(None),
            error => Err(error),
        }
    }

    fn start() -> Result<OwnedFd, c_int> {
        // SAFETY: passes a flag only.
        let epoll = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if epoll < 0 {
            return Err(last_error());
        }
        // SAFETY: just opened, and not owned by other code.
        let epoll_owned = unsafe { OwnedFd::from_raw_fd(epoll) };
        thread::Builder::new()
            .name("kcoro-reactor".into())
            .spawn(move || run(epoll))
            .map_err(|error| -error.raw_os_error().unwrap_or(libc::EAGAIN))?;
        Ok(epoll_owned)
    }

    /// The loop of the thread, for the life of the process.
    fn run(epoll: RawFd) {
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; 64];
        loop {
            // SAFETY: there is room for that many.
            let count =
                unsafe { libc::epoll_wait(epoll, events.as_mut_ptr(), events.len() as c_int, -1) };
            // Interrupted: again. No other error is possible here.
            let count = usize::try_from(count).unwrap_or(0);
            for event in events.iter().take(count) {
                let number = event.u64;
                let token = WAITING.lock().remove(&number);
                if let Some(token) = token {
                    token.cancel();
                }
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod platform {
    use super::*;

    /// Waiting for descriptors needs `epoll`.
    pub(super) fn register(_: RawFd, _: Direction, _: Token) -> Result<Option<OwnedFd>, c_int> {
        Err(errno::ENOTSUP)
    }
}
