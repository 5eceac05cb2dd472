// SPDX-License-Identifier: BSD-3-Clause
//! Waiting for a link as its rules require, and frames that identify themselves.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use becket_wire::{Full, Head, Kind};
use parking_lot::{Condvar, Mutex};
use rustix::event::{PollFd, PollFlags};

use crate::transport::{Link, LinkError};

/// The value for the form of a test that is asked for: `BECKET_TEST_LONG` asks for the long one.
pub fn or_long<T>(short: T, long: T) -> T {
    if std::env::var_os("BECKET_TEST_LONG").is_some() { long } else { short }
}

/// A link and its waiter.
pub struct Waiting {
    /// The link.
    pub link: Box<dyn Link>,
    woken: Arc<(Mutex<bool>, Condvar)>,
}

impl Waiting {
    /// Waits for this link.
    pub fn new(mut link: Box<dyn Link>) -> Self {
        let woken = Arc::new((Mutex::new(false), Condvar::new()));
        let bell = Arc::clone(&woken);
        link.on_ready(Arc::new(move || {
            *bell.0.lock() = true;
            bell.1.notify_one();
        }));
        Self { link, woken }
    }

    /// Until there may be something to do: without a time limit, so a lost wake hangs the test.
    pub fn wait(&mut self) {
        if self.link.prepare_wait() {
            return;
        }
        let watch = self.link.watch();
        if watch.is_empty() {
            let mut woken = self.woken.0.lock();
            while !std::mem::take(&mut *woken) {
                self.woken.1.wait(&mut woken);
            }
            return;
        }
        let readable: Vec<_> = watch.readable_one().into_iter().collect();
        let writable = watch.writable_one();
        let mut fds: Vec<_> = readable.iter().map(|fd| PollFd::new(fd, PollFlags::IN)).collect();
        fds.extend(writable.iter().map(|fd| PollFd::new(fd, PollFlags::OUT)));
        while rustix::event::poll(&mut fds, None) == Err(rustix::io::Errno::INTR) {}
    }

    /// Puts and flushes one frame, waiting for room.
    pub fn send(&mut self, number: u64, body_bytes: usize) {
        while put(&mut *self.link, number, body_bytes).is_err() {
            if !self.link.flush().unwrap() {
                self.wait();
            }
        }
        while !self.link.flush().unwrap() {
            self.wait();
        }
    }

    /// The next frames, at least one, waiting for them.
    pub fn receive(&mut self, frames_max: usize) -> Result<Vec<Came>, LinkError> {
        loop {
            let came = take(&mut *self.link, frames_max)?;
            if !came.is_empty() {
                return Ok(came);
            }
            self.wait();
        }
    }

    /// All frames until the end, and the end.
    pub fn receive_all(&mut self) -> (Vec<Came>, LinkError) {
        let mut all = Vec::new();
        loop {
            match self.receive(100) {
                Ok(came) => all.extend(came),
                Err(error) => return (all, error),
            }
        }
    }
}

/// A frame that arrived whole.
pub struct Came {
    /// Its number.
    pub number: u64,
    /// The length of its body.
    pub body_bytes: usize,
    /// Its descriptors.
    pub descriptors: Vec<OwnedFd>,
}

/// The head and the body of frame `number`: every byte is a function of both.
pub fn frame(number: u64, body_bytes: usize) -> (Head, Vec<u8>) {
    let mut head = Head::new(Kind::Data);
    head.length = u32::try_from(body_bytes).unwrap();
    head.sequence = number;
    head.aux = body_bytes as u32 ^ 0xdead_beef;
    head.code = number as u16;
    let body = (0..body_bytes).map(|at| (number as usize * 31 + at * 7 + at / 251) as u8).collect();
    (head, body)
}

/// Puts frame `number`.
pub fn put(link: &mut dyn Link, number: u64, body_bytes: usize) -> Result<(), Full> {
    let (head, body) = frame(number, body_bytes);
    link.put(&head, &body)
}

/// Takes frames, and checks every byte of each.
pub fn take(link: &mut dyn Link, frames_max: usize) -> Result<Vec<Came>, LinkError> {
    let mut all = Vec::new();
    let taken = link.take(frames_max, &mut |came, ancillary| {
        let (head, body) = frame(came.head.sequence, came.body.len());
        assert_eq!(came.head, head);
        assert!(came.body == body, "a body of {} bytes is as it was sent", body.len());
        all.push(Came {
            number: head.sequence,
            body_bytes: body.len(),
            descriptors: ancillary.take(),
        });
    })?;
    assert_eq!(taken, all.len());
    assert!(taken <= frames_max);
    Ok(all)
}

/// The numbers of these frames.
pub fn numbers(came: &[Came]) -> Vec<u64> {
    came.iter().map(|came| came.number).collect()
}
