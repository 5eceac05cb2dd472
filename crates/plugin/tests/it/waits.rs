// SPDX-License-Identifier: BSD-3-Clause
//! Handlers that wait, over the fake host: each step in its order, in virtual time.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do"
)]

use std::sync::Arc;
use std::time::Duration;

use becket_plugin::abi::{BK_ENTRY_NEVER_WAITS, BK_PLUGIN_WANTS_COROUTINE};
use becket_plugin::testing::FakeHost;
use becket_plugin::{
    Answered, Call, Context, Entry, Failure, Host, LinkedPlugin, NrStatus, Plugin, SessionStream,
    WaitError, define_plugin,
};

struct Waits(Host);

impl Plugin for Waits {
    const NAME: &'static str = "waits";
    const VERSION: &'static str = "1.0.0";
    const COROUTINE_STACK_BYTES: u64 = 128 << 10;
    const ENTRIES: &'static [Entry<Self>] = &[
        Entry::coroutine("nap", "", Self::nap),
        Entry::coroutine("relay", "", Self::relay),
        Entry::session("adds", "", Self::adds),
        Entry::unary("tries", "", Self::tries),
    ];
    fn start(host: Host) -> Result<Self, Failure> {
        Ok(Self(host))
    }
}

impl Waits {
    fn nap(&self, call: Call<'_>) -> Result<Answered, Failure> {
        self.0.pause(Duration::from_secs(3600))?;
        Ok(call.answer(b"awake"))
    }

    /// Two coroutines pass the payload on, one letter a message.
    fn relay(&self, call: Call<'_>) -> Result<Answered, Failure> {
        let (first, last) = (Arc::new(self.0.channel(0)?), Arc::new(self.0.channel(3)?));
        let payload = call.payload().to_vec();
        let to = first.clone();
        self.0.spawn(move || {
            for letter in payload {
                to.send(&[letter]).unwrap();
            }
            to.close();
        })?;
        let (from, to) = (first.clone(), last.clone());
        self.0.spawn(move || {
            while let Ok(letter) = from.recv() {
                to.send(&letter).unwrap();
            }
            to.close();
        })?;
        let mut all = Vec::new();
        loop {
            match last.recv_within(Duration::from_secs(1)) {
                Ok(letter) => all.extend_from_slice(&letter),
                Err(WaitError::Closed) => return Ok(call.answer(&all)),
                Err(other) => return Err(other.into()),
            }
        }
    }

    /// Sums up what comes within a minute of the message before.
    fn adds(&self, _: Context<'_>, session: &mut SessionStream) -> Result<(), Failure> {
        let mut sum = 0_u64;
        loop {
            match session.recv_within(Duration::from_secs(60)) {
                Ok(Some(number)) => {
                    let number =
                        std::str::from_utf8(&number).ok().and_then(|text| text.parse::<u64>().ok());
                    sum += number.ok_or_else(|| Failure::invalid("expected a number"))?;
                    session.send(sum.to_string().as_bytes())?;
                }
                Ok(None) => {
                    return Ok(session.finish_with(b"done")?);
                }
                Err(WaitError::Timeout) => return Ok(()),
                Err(other) => return Err(other.into()),
            }
        }
    }

    fn tries(&self, call: Call<'_>) -> Result<Answered, Failure> {
        let status = match (self.0.coroutine(), self.0.pause(Duration::ZERO)) {
            (None, Err(WaitError::Unsupported)) => NrStatus::Unsupported,
            other => return Err(Failure::failed(format!("{other:?}"))),
        };
        Ok(call.answer_status(status, b""))
    }
}

mod linked {
    use super::*;
    define_plugin! { plugin: Waits, export: cfg(any()) }
}

#[test]
fn a_pause_lasts_as_long_as_it_should() {
    let host = FakeHost::of::<Waits>();
    let nap = host.start("nap", b"");
    host.advance(Duration::from_secs(3599));
    assert!(nap.try_answer().is_none());
    host.advance(Duration::from_secs(1));
    assert_eq!(nap.answer().body, b"awake");
    host.finish().assert_clean();
}

#[test]
fn a_cancelled_handler_is_heard_of_no_more() {
    let host = FakeHost::of::<Waits>();
    let nap = host.start("nap", b"");
    nap.cancel();
    host.advance(Duration::from_secs(3600));
    host.finish().assert_clean();
}

#[test]
fn coroutines_talk_through_channels() {
    let host = FakeHost::of::<Waits>();
    assert_eq!(host.call("relay", b"letter by letter").body, b"letter by letter");
    host.finish().assert_clean();
}

#[test]
fn a_dialogue_ends_as_its_handler_says() {
    let host = FakeHost::of::<Waits>();
    let adds = host.stream("adds", b"");
    assert_eq!((adds.send(b"20"), adds.send(b"22")), (NrStatus::Ok, NrStatus::Ok));
    adds.close();
    assert_eq!(adds.collect(), [b"20".to_vec(), b"42".to_vec(), b"done".to_vec()]);
    assert_eq!(adds.ended(), Some(NrStatus::StreamEnd));

    let wrong = host.stream("adds", b"");
    wrong.send(b"many");
    let last = wrong.next().unwrap();
    assert_eq!((last.status, &*last.body), (NrStatus::Invalid, &b"expected a number"[..]));

    let quiet = host.stream("adds", b"");
    host.advance(Duration::from_secs(60));
    assert_eq!(quiet.collect(), Vec::<Vec<u8>>::new());
    assert_eq!(quiet.ended(), Some(NrStatus::StreamEnd));
    host.finish().assert_clean();
}

#[test]
fn a_plugin_may_end_under_its_handlers() {
    let host = FakeHost::of::<Waits>();
    let nap = host.start("nap", b"");
    let adds = host.stream("adds", b"");
    let (nap, adds) = (nap.sid(), adds.sid());
    let mut unanswered = host.finish().unanswered;
    unanswered.sort_unstable();
    let mut both = [nap, adds];
    both.sort_unstable();
    // The one that is not over is answered with the error of its wait.
    assert!(unanswered.iter().all(|sid| both.contains(sid)), "{unanswered:?}");
}

#[test]
fn nothing_waits_on_the_hosts_own_thread() {
    let host = FakeHost::of::<Waits>();
    assert_eq!(host.call("tries", b"").status, NrStatus::Unsupported);
    host.finish().assert_clean();
}

#[test]
fn the_plugin_says_which_of_its_handlers_wait() {
    let plugin: LinkedPlugin = linked::PLUGIN;
    // SAFETY: valid for the process.
    let info = unsafe { &*plugin.info() };
    assert_ne!(info.flags & BK_PLUGIN_WANTS_COROUTINE, 0);
    assert_eq!(info.coroutine_stack_bytes, 128 << 10);
    // SAFETY: as above.
    let describe = unsafe { &*info.vtable }.describe.unwrap();
    let never_waits = |index| {
        let mut entry = becket_plugin::BkEntryInfo::EMPTY;
        // SAFETY: the ABI's `describe`, with a record whose size is set.
        assert!(unsafe { describe(info.plugin_ctx, index, &raw mut entry) }.is_ok());
        entry.kind & BK_ENTRY_NEVER_WAITS != 0
    };
    assert_eq!([0, 1, 2, 3].map(never_waits), [false, false, false, true]);
}

#[test]
fn a_host_without_coroutines_is_told_apart() {
    let host = FakeHost::builder().of::<Waits>().plain().build().unwrap();
    let adds = host.stream("adds", b"");
    let last = adds.next().unwrap();
    assert_eq!(last.status, NrStatus::Unsupported);
    assert_eq!(last.body, b"needs a host with coroutines");
    host.finish().assert_clean();
}
