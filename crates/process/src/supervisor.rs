// SPDX-License-Identifier: BSD-3-Clause
//! A plugin's workers together, and what the host does with the plugin.
//!
//! ```text
//!                      ┌─▶ slot 0 ─ session ─ worker
//!   call ─ chosen by ──┼─▶ slot 1 ─ session ─ worker     none is live: waits, or fails if all have failed
//!   load or key        └─▶ …
//! ```
//!
//! # Invariants
//!
//! 1. A call is in the queue, in one worker's session, or over.
//! 2. With one worker nothing is chosen: a call takes one shared lock and the session's.

use std::collections::{HashSet, VecDeque};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use becket_host::{
    Answers, Limits, NrStatus, Remote, RemoteCall, RemoteState, SandboxInfo, SandboxMeasure,
    WorkerHistory, WorkerInfo,
};
use becket_ipc::session::Locked;
use becket_sandbox::{Measure, Report};
use bytes::Bytes;
use parking_lot::{Condvar, Mutex};

use crate::balance::{self, Placed, rank};
use crate::bridge::{Bridge, Message};
use crate::control::{Answer, Waiter};
use crate::image::PluginImage;
use crate::output::Output;
use crate::protocol::{Failed, Load, Loaded, operation};
use crate::slot::Slot;
use crate::start::{LoadShared, Process, failed};

/// How long workers that were asked to end may take before they are killed.
const END_TIMEOUT: Duration = Duration::from_secs(5);
/// Calls that wait while a worker is started again, and their bytes.
const WAITING_MAX: usize = 4096;
const WAITING_BYTES_MAX: usize = 64 << 20;

/// What the slots of a plugin and its callers share.
pub(crate) struct Supervised {
    pub(crate) process: Process,
    pub(crate) output: Arc<Output>,
    pub(crate) history: WorkerHistory,
    /// The load of the plugin that this is.
    pub(crate) generation: u64,
    pub(crate) load: Load,
    /// The file that every worker of it loads, if it is a native plugin; until its shutdown.
    image: Mutex<Option<Arc<PluginImage>>>,
    pub(crate) load_timeout_ms: u64,
    /// How long a call of it may take if its caller says nothing else; 0: for ever.
    pub(crate) deadline_ms: u64,
    /// What the kernel gave the first worker of its sandbox.
    pub(crate) entered: OnceLock<Report>,
    /// The names of its entries, which calls name by their places.
    entries: OnceLock<Vec<String>>,
    slots: Box<[Slot]>,
    /// Where the search for the least loaded slot begins.
    next: AtomicUsize,
    /// Of several workers, which has a call.
    placed: Option<Placed>,
    answers: Mutex<Option<Answers>>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    is_stopping: bool,
    /// Slots whose threads have not ended.
    running: usize,
    /// Slots that have failed, until they have a worker again.
    failed: HashSet<u32>,
    /// Calls that came while there was no worker.
    waiting: VecDeque<Message>,
    waiting_bytes: usize,
    /// They took too long to end.
    is_killed: bool,
}

impl State {
    fn next_waiting(&mut self) -> Option<Message> {
        let call = self.waiting.pop_front()?;
        self.waiting_bytes = self.waiting_bytes.saturating_sub(call.encoded.whole.len());
        Some(call)
    }

    fn forget_waiting(&mut self, sid: u64) {
        if let Some(at) = self.waiting.iter().position(|call| call.sid == sid)
            && let Some(call) = self.waiting.remove(at)
        {
            self.waiting_bytes = self.waiting_bytes.saturating_sub(call.encoded.whole.len());
        }
    }

    fn take_waiting(&mut self) -> VecDeque<Message> {
        self.waiting_bytes = 0;
        std::mem::take(&mut self.waiting)
    }
}

impl Supervised {
    pub(crate) fn new(
        process: Process,
        output: Arc<Output>,
        (generation, history): (u64, WorkerHistory),
        (load, image): (Load, Option<PluginImage>),
        limits: &Limits,
    ) -> Self {
        let slots: Box<[Slot]> = {
            let is_only = process.workers == 1;
            (0..process.workers).map(|number| Slot::new(number, is_only)).collect()
        };
        let state = State { running: slots.len(), ..State::default() };
        Self {
            placed: (slots.len() > 1).then(Placed::new),
            process,
            output,
            history,
            generation,
            load,
            image: Mutex::new(image.map(Arc::new)),
            load_timeout_ms: limits.load_timeout_ms,
            deadline_ms: limits.deadline_ms,
            entered: OnceLock::new(),
            entries: OnceLock::new(),
            slots,
            next: AtomicUsize::new(0),
            answers: Mutex::default(),
            state: Mutex::new(state),
            changed: Condvar::new(),
        }
    }

    /// Where its file was found.
    pub(crate) fn path(&self) -> Option<PathBuf> {
        self.load.native.as_ref().map(|native| native.path.clone())
    }

    /// The file that a worker of it loads.
    pub(crate) fn image(&self) -> Option<Arc<PluginImage>> {
        self.image.lock().clone()
    }

    /// The thread of one slot.
    pub(crate) fn supervise(&self, slot: usize, first: &LoadShared) {
        if let Some(slot) = self.slots.get(slot) {
            slot.supervise(self, first);
        }
        self.slot_ended();
    }

    /// A slot's thread has ended, or was never there.
    pub(crate) fn slot_ended(&self) {
        let mut state = self.state.lock();
        state.running = state.running.saturating_sub(1);
        if state.running > 0 {
            return;
        }
        let waiting = state.take_waiting();
        drop(state);
        self.output.end();
        if let Some(answers) = self.answers() {
            waiting.iter().for_each(|call| _ = answers.crashed(call.sid));
        }
        self.changed.notify_all();
    }

    /// What the first worker's sandbox is, and what the kernel did not give of it, is logged once.
    pub(crate) fn enter(&self, report: Report) {
        if self.entered.set(report).is_err() {
            return;
        }
        let Some(SandboxInfo { profile, measures }) = self.sandbox() else { return };
        let plugin = &self.load.name;
        tracing::debug!(target: "becket::process", plugin, profile, "a worker is in its sandbox");
        for SandboxMeasure { kind, missing } in measures {
            if let Some(missing) = missing {
                tracing::warn!(target: "becket::process", plugin, profile, measure = kind, missing, "the kernel does not give all of the sandbox");
            }
        }
    }

    /// What its workers may do.
    pub(crate) fn sandbox(&self) -> Option<SandboxInfo> {
        let measures = &self.entered.get()?.measures;
        let measure = |measure: &Measure| SandboxMeasure {
            kind: measure.kind.as_str(),
            missing: measure.lacks.clone(),
        };
        Some(SandboxInfo {
            profile: self.process.profile().as_str(),
            measures: measures.iter().map(measure).collect(),
        })
    }

    pub(crate) fn answers(&self) -> Option<Answers> {
        *self.answers.lock()
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.state.lock().is_stopping
    }

    pub(crate) fn is_killed(&self) -> bool {
        self.state.lock().is_killed
    }

    /// Waits for so long; true at once when the plugin is to end.
    pub(crate) fn wait_for_stop(&self, pause: Duration) -> bool {
        let until = Instant::now() + pause;
        let mut state = self.state.lock();
        while !state.is_stopping && !self.changed.wait_until(&mut state, until).timed_out() {}
        state.is_stopping
    }

    /// Whether a worker has the entries of the first one.
    pub(crate) fn check_entries(&self, loaded: &Loaded) -> Result<(), Failed> {
        let names: Vec<_> = loaded.entries.iter().map(|entry| entry.name.clone()).collect();
        if *self.entries.get_or_init(|| names.clone()) == names {
            return Ok(());
        }
        let cause = "the file has changed since it was loaded";
        Err(failed("the worker has other entries than the one before", cause, "reload the plugin"))
    }

    /// A slot has a worker.
    pub(crate) fn slot_serves(&self, slot: u32) {
        self.state.lock().failed.remove(&slot);
    }

    /// A slot has none, and gets none for this time. If it was the last one, what waits fails.
    pub(crate) fn slot_failed(&self, slot: u32, rest: Duration) {
        let mut state = self.state.lock();
        state.failed.insert(slot);
        let has_failed = self.has_failed(&state);
        let waiting = if has_failed { state.take_waiting() } else { VecDeque::new() };
        drop(state);
        tracing::error!(
            target: "becket::process",
            plugin = self.load.name,
            worker = slot,
            retry_s = rest.as_secs(),
            "a worker has ended too often and stays down"
        );
        if let Some(answers) = self.answers() {
            waiting.iter().for_each(|call| answers.plugin_failed(call.sid));
        }
    }

    fn has_failed(&self, state: &State) -> bool {
        state.failed.len() == self.slots.len()
    }

    /// The slot for a call; `None`: none is live.
    fn choose(&self, key: Option<u64>) -> Option<&Slot> {
        if let [only] = &*self.slots {
            return Some(only);
        }
        if let Some(key) = key {
            let live = self.slots.iter().filter(|slot| slot.is_live());
            return live.max_by_key(|slot| rank(key, slot.number()));
        }
        // Of those with as little in hand, each in turn.
        let begin = self.next.fetch_add(1, Ordering::Relaxed) % self.slots.len().max(1);
        let (before, after) = self.slots.split_at_checked(begin)?;
        let live = after.iter().chain(before).filter(|slot| slot.is_live());
        live.min_by_key(|slot| slot.watch.in_hand.load(Ordering::Relaxed))
    }

    /// Passes a call to a worker, or keeps it until there is one again.
    fn pass_on(&self, call: &RemoteCall<'_>, key: Option<u64>) -> NrStatus {
        let is_awaited = call.sid != 0 && !call.is_stream;
        for _ in 0..self.slots.len() {
            let Some(slot) = self.choose(key) else { break };
            self.place(call.sid, slot);
            let passed = slot.with_session(|session| {
                let status = session.with(|bridge, locked| bridge.handle(locked, call));
                if is_awaited && status == Some(NrStatus::Ok) {
                    let in_hand = slot.watch.in_hand.load(Ordering::Relaxed);
                    session.poll_for_answer(in_hand == 1);
                }
                status
            });
            match passed {
                Some(Some(status)) => return status,
                // If it has ended, it is not live any more.
                Some(None) => {}
                None => break,
            }
        }
        self.wait(call)
    }

    /// Keeps a call until there is a worker again.
    #[cold]
    fn wait(&self, call: &RemoteCall<'_>) -> NrStatus {
        let (sid, mut state) = (call.sid, self.state.lock());
        if self.has_failed(&state) {
            drop(state);
            if let (Some(answers), true) = (self.answers(), sid != 0) {
                answers.plugin_failed(sid);
                return NrStatus::Ok;
            }
            return NrStatus::Backpressure;
        }
        let call = Message::from(*call);
        let bytes = state.waiting_bytes + call.encoded.whole.len();
        let is_full = state.waiting.len() >= WAITING_MAX || bytes > WAITING_BYTES_MAX;
        if state.running == 0 || is_full {
            return NrStatus::Backpressure;
        }
        state.waiting_bytes = bytes;
        state.waiting.push_back(call);
        drop(state);
        // Another worker may have come meanwhile.
        self.slots.iter().for_each(|slot| self.pass_waiting_on(slot));
        NrStatus::Ok
    }

    fn place(&self, sid: u64, slot: &Slot) {
        if let Some(placed) = &self.placed {
            placed.put(sid, slot.number());
        }
    }

    /// Passes on what waits for a worker, if this one has not ended. A call is in the queue until the
    /// worker's session has it: the lock of the queue is taken within that of the session.
    pub(crate) fn pass_waiting_on(&self, slot: &Slot) {
        let Some(session) = slot.session() else { return };
        let answers = self.answers();
        let next = |bridge: &mut Bridge, locked: &mut Locked<'_>| {
            if bridge.is_over() {
                return None;
            }
            let call = self.state.lock().next_waiting()?;
            let (sid, is_stream) = (call.sid, call.is_stream);
            self.place(sid, slot);
            Some((sid, is_stream, bridge.handle_kept(locked, call)))
        };
        while let Some((sid, is_stream, passed)) = session.with(next) {
            let Some(answers) = answers else { continue };
            match passed {
                Ok(NrStatus::Ok) if is_stream => answers.writable(sid),
                Ok(NrStatus::Ok) => {}
                Ok(status) => answers.refused(sid, status),
                Err(_) => _ = answers.crashed(sid),
            }
        }
    }

    /// True for a call that waits for a worker.
    fn is_waiting(&self, sid: u64) -> bool {
        self.state.lock().waiting.iter().any(|call| call.sid == sid)
    }

    /// Acts on the session of the worker that has this call or stream.
    fn with<R>(&self, sid: u64, act: impl FnOnce(&mut Bridge, &mut Locked<'_>) -> R) -> Option<R> {
        let slot = match (&*self.slots, &self.placed) {
            ([only], _) => only,
            (slots, placed) => {
                let placed = placed.as_ref().and_then(|placed| placed.get(sid));
                let found = placed.and_then(|slot| slots.get(usize::try_from(slot).ok()?));
                let has = |slot: &&Slot| slot.with(|bridge, _| bridge.has(sid)) == Some(true);
                match found {
                    Some(found) => found,
                    None => slots.iter().find(has)?,
                }
            }
        };
        slot.with(act)
    }
}

impl Supervised {
    /// A request of the host's own to a worker.
    fn control(&self, slot: &Slot, operation: u16, body: Bytes) -> Answer {
        let waiter = Waiter::new();
        let asked = waiter.clone();
        slot.with(|bridge, locked| bridge.control(locked, asked, operation, body))
            .ok_or(NrStatus::Closed)?;
        waiter.wait(self.load_timeout_ms)
    }
}

impl Remote for Supervised {
    fn attach(&self, answers: Answers) {
        *self.answers.lock() = Some(answers);
        for slot in &self.slots {
            slot.with(|bridge, _| bridge.attach(answers));
        }
    }

    fn handle(&self, call: RemoteCall<'_>) -> NrStatus {
        let sticky = self.process.sticky.as_ref().filter(|_| self.slots.len() > 1);
        let key = sticky.and_then(|sticky| balance::key(sticky, &call));
        self.pass_on(&call, key)
    }

    fn stream_data(&self, sid: u64, data: &[u8]) -> NrStatus {
        let send = || self.with(sid, |bridge, locked| bridge.stream_data(locked, sid, data));
        match send() {
            Some(NrStatus::Closed) | None if self.is_waiting(sid) => NrStatus::Backpressure,
            // It may have been passed on in between.
            Some(NrStatus::Closed) | None => send().unwrap_or(NrStatus::Closed),
            Some(status) => status,
        }
    }

    fn stream_close(&self, sid: u64) -> NrStatus {
        if let Some(call) = self.state.lock().waiting.iter_mut().find(|call| call.sid == sid) {
            call.is_closed = true;
            return NrStatus::Ok;
        }
        self.with(sid, |bridge, locked| bridge.stream_close(locked, sid))
            .unwrap_or(NrStatus::Closed)
    }

    fn stream_room(&self, sid: u64) {
        self.with(sid, |bridge, locked| bridge.stream_room(locked, sid));
    }

    fn cancel(&self, sid: u64) {
        self.state.lock().forget_waiting(sid);
        self.with(sid, |bridge, locked| bridge.cancel(locked, sid));
    }

    fn export_state(&self) -> Result<Vec<u8>, NrStatus> {
        // One state cannot be made of those of several workers.
        let [slot] = &*self.slots else { return Err(NrStatus::Unsupported) };
        match self.control(slot, operation::EXPORT, Bytes::new()) {
            Ok((NrStatus::Ok, state)) => Ok(state.into()),
            // A worker that has ended has left no state.
            Err(NrStatus::Closed) => Err(NrStatus::Unsupported),
            Ok((status, _)) | Err(status) => Err(status),
        }
    }

    fn import_state(&self, state: &[u8]) -> NrStatus {
        let state = Bytes::copy_from_slice(state);
        for slot in &*self.slots {
            match self.control(slot, operation::IMPORT, state.clone()) {
                Ok((NrStatus::Ok, _)) => {}
                // As a native plugin that takes no state.
                Err(NrStatus::Unsupported) => {}
                Ok((status, _)) | Err(status) => return status,
            }
        }
        NrStatus::Ok
    }

    fn state(&self) -> RemoteState {
        if self.slots.iter().any(Slot::is_live) {
            return RemoteState::Running;
        }
        if self.has_failed(&self.state.lock()) {
            return RemoteState::Failed;
        }
        RemoteState::Restarting
    }

    fn blocked_now(&self) -> u32 {
        let stuck = |slot: &Slot| slot.watch.stuck.now.load(Ordering::Relaxed);
        self.slots.iter().map(stuck).sum()
    }

    fn workers(&self) -> Vec<WorkerInfo> {
        self.slots.iter().map(|slot| slot.info(self.generation)).collect()
    }

    fn shutdown(&self) {
        self.end_workers();
        // None is started any more, and this is never freed.
        self.image.lock().take();
    }
}

impl Supervised {
    /// Ends all workers; returns when none runs any more.
    fn end_workers(&self) {
        let mut state = self.state.lock();
        state.is_stopping = true;
        self.changed.notify_all();
        drop(state);
        for slot in &self.slots {
            slot.with(|bridge, locked| bridge.stop(locked));
        }
        let mut state = self.state.lock();
        let until = Instant::now() + END_TIMEOUT;
        while state.running > 0 && !self.changed.wait_until(&mut state, until).timed_out() {}
        if state.running == 0 {
            return;
        }
        state.is_killed = true;
        drop(state);
        // One that is started now finds that it is killed.
        self.slots.iter().for_each(Slot::kill);
        let mut state = self.state.lock();
        while state.running > 0 {
            self.changed.wait(&mut state);
        }
    }
}
