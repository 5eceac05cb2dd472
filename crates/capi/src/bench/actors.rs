// SPDX-License-Identifier: BSD-3-Clause
//! `kc_actor_bench.h`: producers send numbered messages round robin to actors, which check them.
//!
//! ```text
//!   message   0          8          16                  message_size
//!             ┌──────────┬──────────┬───────────────────┐
//!             │ producer │ number   │ bytes that follow │
//!             └──────────┴──────────┴───────────────────┘   from both
//! ```
//!
//! A producer's messages of one actor must come in the order of their numbers: the actor knows
//! which is next.

use std::ffi::{c_int, c_void};
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use super::start;
use crate::actor::{ActorCtx, kc_actor_start, kc_actor_stop};
use crate::boundary::answer;
use crate::chan::Chan;
use crate::chan::copy::kc_chan_send;
use crate::chan::make::{kc_chan_close, kc_chan_destroy, kc_chan_make};
use crate::core::group::Group;
use crate::errno;
use crate::handle::place;
use crate::limit::Until;
use crate::scope::Scope;

const KC_BUFFERED: c_int = 1;
/// The capacity of a mailbox, in messages.
const MAILBOX: usize = 1024;
const CROWD_MAX: usize = 4096;
const MESSAGE_BYTES_MIN: usize = 16;
const MESSAGE_BYTES_MAX: usize = 1 << 20;

/// `kc_actor_bench_config_t`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Config {
    producers: usize,
    consumers: usize,
    messages_per_producer: usize,
    message_size: usize,
    use_spin_loops: c_int,
    spin_iterations: usize,
}

/// `kc_actor_bench_result_t`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub struct Outcome {
    total_time_seconds: f64,
    messages_per_second: f64,
    gigabits_per_second: f64,
    total_messages_sent: usize,
    total_messages_received: usize,
    producer_mismatches: usize,
    consumer_mismatches: usize,
}

/// One actor's side.
struct Checker {
    index: usize,
    config: Config,
    /// By producer: the number of its next message.
    next: Vec<AtomicUsize>,
    received: AtomicUsize,
    mismatches: AtomicUsize,
    ended: Arc<Group>,
}

/// The producers' side.
struct Crowd {
    config: Config,
    mailboxes: Vec<*mut Chan>,
    sent: AtomicUsize,
    mismatches: AtomicUsize,
}

// SAFETY: channels may be used by any thread; the rest is Send and Sync.
unsafe impl Send for Crowd {}
// SAFETY: as above.
unsafe impl Sync for Crowd {}

/// The byte with which a message is filled behind its header.
fn filling(producer: usize, number: usize) -> u8 {
    (producer.wrapping_mul(31) ^ number) as u8
}

impl Crowd {
    fn produce(&self, producer: usize) {
        let mut message = vec![0_u8; self.config.message_size];
        for number in 0..self.config.messages_per_producer {
            let Some(mailbox) = self.mailboxes.get(number % self.mailboxes.len().max(1)) else {
                break;
            };
            message.fill(filling(producer, number));
            if let Some((first, rest)) = message.split_first_chunk_mut::<8>() {
                *first = (producer as u64).to_ne_bytes();
                if let Some(second) = rest.first_chunk_mut::<8>() {
                    *second = (number as u64).to_ne_bytes();
                }
            }
            if self.send(*mailbox, &message) != errno::OK {
                self.mismatches.fetch_add(1, Ordering::Relaxed);
                return;
            }
            self.sent.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn send(&self, mailbox: *mut Chan, message: &[u8]) -> c_int {
        let spins = if self.config.use_spin_loops == 0 { 0 } else { self.config.spin_iterations };
        for _ in 0..spins {
            // SAFETY: the mailbox is destroyed after the last producer has ended; the message has
            // the size of its elements.
            let sent = unsafe { kc_chan_send(mailbox, message.as_ptr().cast(), 0) };
            if sent != errno::EAGAIN {
                return sent;
            }
        }
        // SAFETY: as above.
        unsafe { kc_chan_send(mailbox, message.as_ptr().cast(), -1) }
    }
}

impl Checker {
    fn check(&self, message: &[u8]) -> bool {
        let Some((first, rest)) = message.split_first_chunk::<8>() else { return false };
        let Some((second, rest)) = rest.split_first_chunk::<8>() else { return false };
        let producer = u64::from_ne_bytes(*first) as usize;
        let number = u64::from_ne_bytes(*second) as usize;
        let Some(next) = self.next.get(producer) else { return false };
        let expected = next.swap(number + self.config.consumers, Ordering::Relaxed);
        number == expected
            && number % self.config.consumers == self.index
            && rest.iter().all(|byte| *byte == filling(producer, number))
    }
}

/// The actors' function.
unsafe extern "C" fn receive(message: *const c_void, checker: *mut c_void) -> c_int {
    // SAFETY: each actor was given its checker, which outlives it; a message has this size.
    unsafe {
        let checker = &*checker.cast_const().cast::<Checker>();
        let message = std::slice::from_raw_parts(message.cast(), checker.config.message_size);
        if !checker.check(message) {
            checker.mismatches.fetch_add(1, Ordering::Relaxed);
        }
        checker.received.fetch_add(1, Ordering::Relaxed);
    }
    errno::OK
}

/// Called when one actor has handled all messages of its mailbox.
unsafe extern "C" fn ended(checker: *mut c_void) {
    // SAFETY: as above.
    unsafe { &*checker.cast_const().cast::<Checker>() }.ended.leave();
}

fn run(config: Config) -> Result<Outcome, c_int> {
    let alive = Arc::new(Group::default());
    let checkers: Vec<Checker> = (0..config.consumers)
        .map(|index| Checker {
            index,
            config,
            next: (0..config.producers).map(|_| AtomicUsize::new(index)).collect(),
            received: AtomicUsize::new(0),
            mismatches: AtomicUsize::new(0),
            ended: Arc::clone(&alive),
        })
        .collect();
    let mut mailboxes = Vec::new();
    let mut actors = Vec::new();
    let mut made = Ok(());
    for checker in &checkers {
        let mut chan = ptr::null_mut();
        // SAFETY: the place is valid.
        let code =
            unsafe { kc_chan_make(&raw mut chan, KC_BUFFERED, config.message_size, MAILBOX) };
        if code != errno::OK {
            made = Err(code);
            break;
        }
        mailboxes.push(chan);
        let user = ptr::from_ref(checker).cast_mut().cast();
        let ctx = ActorCtx::new(chan, config.message_size, receive, user);
        // SAFETY: the channel and the checker outlive the actor, which is stopped below.
        let actor = unsafe { kc_actor_start(&raw const ctx) };
        if actor.is_null() {
            made = Err(errno::ENOMEM);
            break;
        }
        alive.enter();
        // SAFETY: as above.
        unsafe { crate::actor::kc_actor_on_done(actor, Some(ended), user) };
        actors.push(actor);
    }
    let crowd = Arc::new(Crowd {
        config,
        mailboxes,
        sent: AtomicUsize::new(0),
        mismatches: AtomicUsize::new(0),
    });
    let producers = Scope::below(None);
    let begin = Instant::now();
    if made.is_ok() {
        made = (0..config.producers).try_for_each(|producer| {
            let crowd = Arc::clone(&crowd);
            start(&producers, move || crowd.produce(producer))
        });
    }
    if made.is_err() {
        // Those that have started find their mailboxes closed.
        close(&crowd.mailboxes);
    }
    producers.wait(Until::Ever);
    close(&crowd.mailboxes);
    alive.wait(0, Until::Ever);
    let seconds = begin.elapsed().as_secs_f64();
    for actor in actors {
        // SAFETY: started above; not used again.
        unsafe { kc_actor_stop(actor) };
    }
    for chan in &crowd.mailboxes {
        // SAFETY: made above; not used any more.
        unsafe { kc_chan_destroy(*chan) };
    }
    made?;
    let sum = |count: fn(&Checker) -> &AtomicUsize| {
        checkers.iter().map(|checker| count(checker).load(Ordering::Relaxed)).sum::<usize>()
    };
    let received = sum(|checker| &checker.received);
    let per_second = if seconds > 0.0 { received as f64 / seconds } else { 0.0 };
    Ok(Outcome {
        total_time_seconds: seconds,
        messages_per_second: per_second,
        gigabits_per_second: per_second * config.message_size as f64 * 8.0 / 1e9,
        total_messages_sent: crowd.sent.load(Ordering::Relaxed),
        total_messages_received: received,
        producer_mismatches: crowd.mismatches.load(Ordering::Relaxed),
        consumer_mismatches: sum(|checker| &checker.mismatches),
    })
}

fn close(mailboxes: &[*mut Chan]) {
    for chan in mailboxes {
        // SAFETY: made and not destroyed yet.
        unsafe { kc_chan_close(*chan) };
    }
}

/// See `kc_actor_bench.h`.
///
/// # Safety
///
/// `config` is null or valid; `out` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_actor_bench_run(config: *const Config, out: *mut Outcome) -> c_int {
    answer(|| {
        // SAFETY: the caller's promise.
        let config = *unsafe { config.as_ref() }.ok_or(errno::EINVAL)?;
        let (crowd, out) = (1..=CROWD_MAX, place(out)?);
        if !crowd.contains(&config.producers)
            || !crowd.contains(&config.consumers)
            || config.messages_per_producer == 0
            || !(MESSAGE_BYTES_MIN..=MESSAGE_BYTES_MAX).contains(&config.message_size)
        {
            return Err(errno::EINVAL);
        }
        let outcome = run(config)?;
        // SAFETY: the caller's promise.
        unsafe { out.write(outcome) };
        Ok(())
    })
}
