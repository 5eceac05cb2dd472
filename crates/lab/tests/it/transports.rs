// SPDX-License-Identifier: BSD-3-Clause
//! Channels over a transport of one's own: transports of `becket-ipc` pass; links with a defect are
//! found, with the seed, and their failures are shrunk and replayed.

use std::collections::{BTreeSet, VecDeque};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use becket_ipc::transport::{
    Ancillary, Link, LinkCounters, LinkError, LinkLimits, OnReady, Peer, SeqpacketLink, Socket,
    SocketKind, UnixStreamLink, Watch, memory,
};
use becket_lab::adapters::Pair;
use becket_lab::bridge::transport::{self, Links};
use becket_lab::bridge::{Failure, Spec};
use becket_lab::check::{self, Make, Mode, Options};
use becket_lab::contract::Limits;
use becket_lab::replay::Replay;
use becket_wire::{Frame, Full, HEAD_BYTES, Head, Outlet};
use parking_lot::Mutex;

use crate::bridged;
use crate::long::or_long;

const BODY_BYTES_MAX: usize = 4096;

/// The quick scenarios, and all of them in one profile; of a small run each order with one deviation.
fn passes(name: &str, make: Make<'_>) {
    let alone = bridged::alone(name, make);
    let quick = Options { start_seed: 100, profiles: Some(or_long(4, 40)), ..alone };
    let full = Options {
        mode: Mode::Full,
        profiles: Some(or_long(1, 10)),
        deviations_max: or_long(0, 1),
        ..alone
    };
    for report in [check::run(&quick), check::run(&full)] {
        let wrong = bridged::wrong(&report);
        assert!(wrong.is_empty(), "{name}, {}:\n{}", report.mode, wrong.join("\n"));
    }
}

#[test]
fn memory_passes() {
    let make = |limits: Limits| {
        transport::pair(&Spec::new("memory-link", limits), || {
            let (one, other) = memory::pair(4, BODY_BYTES_MAX);
            Ok((Box::new(one), Box::new(other)))
        })
    };
    passes("memory-link", &make);
}

fn refused(_: LinkError) -> Failure {
    Failure::new("the socket is refused")
}

fn stream(socket: UnixStream) -> Result<Box<dyn Link>, Failure> {
    let limits = LinkLimits {
        body_bytes_max: BODY_BYTES_MAX,
        out_bytes_max: 2 * BODY_BYTES_MAX,
        ..LinkLimits::default()
    };
    let socket = Socket::adopt(socket.into()).map_err(refused)?;
    Ok(Box::new(UnixStreamLink::new(socket, &[], limits).map_err(refused)?))
}

fn streams(limits: Limits) -> Pair {
    transport::pair_over_sockets(&Spec::new("stream-link", limits), |one, other| {
        Ok((stream(one)?, stream(other)?))
    })
}

#[test]
fn a_unix_stream_passes_whatever_happens_to_its_bytes() {
    passes("stream-link", &streams);
}

/// Without the lab in its middle.
#[test]
fn packets_pass() {
    let make = |limits: Limits| {
        transport::pair(&Spec::new("packet-link", limits), || {
            let (one, other) = Socket::pair(SocketKind::Seqpacket).map_err(refused)?;
            let limits = LinkLimits { body_bytes_max: BODY_BYTES_MAX, ..LinkLimits::default() };
            let link = |socket| SeqpacketLink::new(socket, limits).map_err(refused);
            Ok((Box::new(link(one)?) as _, Box::new(link(other)?) as _))
        })
    };
    passes("packet-link", &make);
}

/// The defect of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wrong {
    Nothing,
    /// Every seventh wake for frames is lost.
    LosesWakes,
    /// What the peer has not taken is lost when this side closes, as with a reset connection.
    ForgetsAtClose,
    /// The peer of a side that was dropped is not notified.
    HidesDrop,
    /// The end is reported before the last frames.
    EndsEarly,
}

/// Frames on their way in one direction.
#[derive(Default)]
struct Way {
    frames: VecDeque<(Head, Vec<u8>)>,
    is_over: bool,
    wakes: u64,
    on_frames: Option<OnReady>,
    on_room: Option<OnReady>,
    awaits_room: bool,
    is_flushed: bool,
}

/// A link in memory, with a defect.
struct Queue {
    wrong: Wrong,
    out: Arc<Mutex<Way>>,
    into: Arc<Mutex<Way>>,
    peer: Peer,
    is_closed: bool,
}

const FRAMES_MAX: usize = 3;

fn queues(wrong: Wrong) -> Links {
    let (up, down) = (Arc::<Mutex<Way>>::default(), Arc::<Mutex<Way>>::default());
    let queue = |out: &Arc<Mutex<Way>>, into: &Arc<Mutex<Way>>| Queue {
        wrong,
        out: Arc::clone(out),
        into: Arc::clone(into),
        peer: Peer::own(),
        is_closed: false,
    };
    (Box::new(queue(&up, &down)), Box::new(queue(&down, &up)))
}

impl Queue {
    /// Wakes the peer for frames or the end.
    fn wake_peer(&self) {
        let wake = {
            let mut way = self.out.lock();
            way.wakes += 1;
            let is_lost = self.wrong == Wrong::LosesWakes && way.wakes.is_multiple_of(7);
            way.on_frames.clone().filter(|_| !is_lost)
        };
        if let Some(wake) = wake {
            wake();
        }
    }
}

impl Outlet for Queue {
    fn put(&mut self, head: &Head, body: &[u8]) -> Result<(), Full> {
        let mut way = self.out.lock();
        if way.is_over {
            return Ok(());
        }
        if way.frames.len() >= FRAMES_MAX {
            way.awaits_room = true;
            return Err(Full);
        }
        way.frames.push_back((*head, body.to_vec()));
        way.is_flushed = false;
        Ok(())
    }
}

impl Link for Queue {
    fn take(
        &mut self,
        frames_max: usize,
        sink: &mut dyn FnMut(Frame<'_>, Ancillary<'_>),
    ) -> Result<usize, LinkError> {
        let mut frames = 0;
        while frames < frames_max {
            let next = {
                let mut way = self.into.lock();
                if self.wrong == Wrong::EndsEarly && way.is_over {
                    way.frames.clear();
                }
                way.frames.pop_front()
            };
            let Some((head, body)) = next else { break };
            sink(Frame { head, body: &body }, Ancillary::nothing());
            frames += 1;
        }
        let (is_over, wake) = {
            let mut way = self.into.lock();
            let is_for_room = frames > 0 && std::mem::take(&mut way.awaits_room);
            let wake = way.on_room.clone().filter(|_| is_for_room);
            (way.is_over && way.frames.is_empty(), wake)
        };
        if let Some(wake) = wake {
            wake();
        }
        let is_end = frames == 0 && frames_max > 0 && (is_over || self.is_closed);
        if is_end { Err(LinkError::Closed) } else { Ok(frames) }
    }

    fn flush(&mut self) -> Result<bool, LinkError> {
        let (was_flushed, is_full) = {
            let mut way = self.out.lock();
            (std::mem::replace(&mut way.is_flushed, true), way.awaits_room)
        };
        if !was_flushed {
            self.wake_peer();
        }
        Ok(!is_full)
    }

    fn put_descriptors(&mut self, descriptors: Vec<OwnedFd>) -> Result<(), LinkError> {
        match descriptors.len() {
            0 => Ok(()),
            count => Err(LinkError::TooManyDescriptors { count, count_max: 0 }),
        }
    }

    fn watch(&self) -> Watch<'_> {
        Watch::nothing()
    }

    fn on_ready(&mut self, wake: OnReady) {
        self.into.lock().on_frames = Some(Arc::clone(&wake));
        self.out.lock().on_room = Some(wake);
    }

    fn prepare_wait(&mut self) -> bool {
        let way = self.into.lock();
        !way.frames.is_empty() || way.is_over || self.is_closed
    }

    fn peer(&self) -> &Peer {
        &self.peer
    }

    fn name(&self) -> &'static str {
        "queue"
    }

    fn body_bytes_max(&self) -> usize {
        BODY_BYTES_MAX - HEAD_BYTES
    }

    fn counters(&self) -> LinkCounters {
        LinkCounters::default()
    }

    fn close(&mut self) {
        if std::mem::replace(&mut self.is_closed, true) || self.wrong == Wrong::HidesDrop {
            return;
        }
        {
            let mut way = self.out.lock();
            way.is_over = true;
            if self.wrong == Wrong::ForgetsAtClose {
                way.frames.clear();
            }
        }
        self.into.lock().is_over = true;
        self.wake_peer();
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.close();
    }
}

fn queue(wrong: Wrong) -> impl Fn(Limits) -> Pair + Sync {
    move |limits| transport::pair(&Spec::new("queue", limits), move || Ok(queues(wrong)))
}

#[test]
fn a_link_without_a_defect_passes() {
    passes("queue", &queue(Wrong::Nothing));
}

/// Each is found in few profiles, by one of these rules; the report has the seed, and the failure is
/// kept, shrunk and broken again by the replay alone.
fn finds(wrong: Wrong, rules: &[&str]) {
    let make = queue(wrong);
    let kept = Mutex::new(Vec::new());
    let keep = |artefact: &check::Artefact<'_>| {
        let text = artefact.replay.to_text();
        kept.lock().push((artefact.failure.rule, artefact.shrunk.is_some(), text));
    };
    let options = Options {
        mode: Mode::Full,
        profiles: Some(1),
        deviations_max: 0,
        shrink_tries: 60,
        artefacts: Some(&keep),
        ..bridged::alone("queue", &make)
    };
    let report = check::run(&options);
    assert_eq!(report.exit_code, 1, "{wrong:?}");
    let broken: BTreeSet<_> = report.failures.iter().filter_map(|failure| failure.rule).collect();
    let found = rules.iter().find(|rule| broken.contains(*rule));
    let found = *found.unwrap_or_else(|| panic!("{wrong:?}: none of {rules:?} in {broken:?}"));
    let failure = report.failures.iter().find(|failure| failure.rule == Some(found)).unwrap();
    println!("{wrong:?}: {found} in {}, seed {}", failure.scenario, failure.seed);
    let seed = format!("--start-seed {}", failure.seed);
    assert!(failure.command.contains(&seed), "{}", failure.command);

    let kept = kept.into_inner();
    let shrunk = kept.iter().rfind(|(rule, is_shrunk, _)| *rule == Some(found) && *is_shrunk);
    let (_, _, text) = shrunk.unwrap_or_else(|| panic!("{wrong:?}: {found} was not shrunk"));
    let replay = Replay::parse(text).unwrap();
    let repeated = check::repeat(&make, &replay);
    assert!(check::is_broken_again(&replay, &repeated), "{:?}", repeated.findings);
    assert!(replay.is_repeated_by(&repeated.trace), "the same run, to the last event");
}

#[test]
fn a_lost_wake_is_found() {
    finds(Wrong::LosesWakes, &["LIV-01", "LIV-02"]);
}

#[test]
fn bytes_that_are_lost_before_a_close_are_found() {
    finds(Wrong::ForgetsAtClose, &["ERR-04"]);
}

#[test]
fn an_end_before_the_last_frames_is_found() {
    finds(Wrong::EndsEarly, &["ERR-04"]);
}

#[test]
fn a_side_that_dies_unnoticed_is_found() {
    finds(Wrong::HidesDrop, &["LIV-01", "LIV-06"]);
}
