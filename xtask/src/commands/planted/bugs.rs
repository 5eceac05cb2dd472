// SPDX-License-Identifier: BSD-3-Clause
//! The bugs, each with the check that must find it.

/// A bug.
pub(super) struct Bug {
    pub(super) name: &'static str,
    /// A short description.
    pub(super) what: &'static str,
    /// The file that it is planted in.
    pub(super) file: &'static str,
    /// The text that it replaces, which occurs once in the file.
    pub(super) healthy: &'static str,
    /// The text that replaces it.
    pub(super) planted: &'static str,
    /// The arguments of the `becket check` that must find it.
    pub(super) check: &'static [&'static str],
    pub(super) sees: Sees,
}

impl Bug {
    /// Whether the check is one of a plugin: the sample in C.
    pub(super) fn is_of_plugins(&self) -> bool {
        self.check.first() == Some(&"plugin")
    }
}

/// How the check must end.
#[derive(Clone, Copy)]
pub(super) enum Sees {
    /// With a failure that is written to a file and shrunk: flows, chunks, ends, faults and choices
    /// together are at most this. The build with the bug repeats it, and the other does not.
    Small(u64),
    /// With this exit code, and these words in its report.
    Ends { code: i32, says: &'static str },
}

/// The exit code when a mutant survives: the lab itself is wrong.
const BLIND: i32 = 4;
/// The exit code of an error in the session or in the lab's network: no adapter is judged.
const BROKEN: i32 = 70;

/// In the report when a session's credit is missing after the end of every flow.
const CHARGED: &str = "bytes that came and are charged for is";
/// In the report when a plugin's flow is incomplete.
const MISSING: &str = "did not come back behind the one before it";

pub(super) const BUGS: &[Bug] = &[
    Bug {
        name: "credit",
        what: "the session pays for an element with one byte of credit more than it has",
        file: "crates/wire/src/stream.rs",
        healthy: "(self.messages.checked_sub(1), self.bytes.checked_sub(bytes))",
        planted: "(self.messages.checked_sub(1), self.bytes.checked_sub(bytes + 1))",
        check: &["local-adapter", "--full", "--profiles", "4"],
        sees: Sees::Small(5),
    },
    Bug {
        name: "close",
        what: "a channel that is closed drops its undelivered values",
        file: "crates/chan/src/core.rs",
        healthy: "        if self.abandoned {\n            while let Some(value) = self.take_any(ring)",
        planted: "        if self.closed {\n            while let Some(value) = self.take_any(ring)",
        check: &["channel", "bounded", "--full", "--profiles", "4"],
        sees: Sees::Small(5),
    },
    Bug {
        name: "half-close-and-reset",
        what: "a direction that ended while there was no room goes on for ever when another flow is reset",
        file: "crates/lab/src/adapters/memory.rs",
        healthy: "    fn reset(&mut self, cx: &mut Context<'_>, flow: FlowId, cause: Cause) {\n",
        planted: "    fn reset(&mut self, cx: &mut Context<'_>, flow: FlowId, cause: Cause) {\n        \
                  for other in self.flows.iter_mut().filter(|it| it.flow != flow) {\n            \
                  other.is_ended &= other.bytes.is_empty();\n        }\n",
        check: &["local-adapter", "--full"],
        sees: Sees::Small(12),
    },
    Bug {
        name: "lost-credit",
        what: "a grant that comes while another waits to be sent is lost if the stream's answer has ended",
        file: "crates/wire/src/session/streams.rs",
        healthy: "        stream.due.grant.add(messages.into(), bytes);\n        self.mark_due(id);\n        Ok(())",
        planted: "        let is_lost = stream.due.listed && matches!(stream.outgoing.ending, Ending::Done);\n        \
                  stream.due.grant.add(messages.into(), if is_lost { 0 } else { bytes });\n        \
                  self.mark_due(id);\n        Ok(())",
        check: &["local-adapter", "--full"],
        sees: Sees::Small(8),
    },
    Bug {
        name: "swapped-elements",
        what: "the session swaps two elements that wait to be sent",
        file: "crates/wire/src/session/streams.rs",
        healthy: "        outgoing.queue.push_back(Item::Data { sequence, flags: flags & ELEMENT_FLAGS, element });",
        planted: "        let mut element = element;\n        \
                  if let (None, Some(Item::Data { element: before, .. })) = (outgoing.begun, outgoing.queue.back_mut()) {\n            \
                  std::mem::swap(before, &mut element);\n        }\n        \
                  outgoing.queue.push_back(Item::Data { sequence, flags: flags & ELEMENT_FLAGS, element });",
        check: &["local-adapter", "--full", "--profiles", "4"],
        sees: Sees::Ends { code: BROKEN, says: "the part that changed a byte is the session" },
    },
    Bug {
        name: "drop-panics",
        what: "a receiver panics where it is dropped: the second one, while the first unwinds, ends the process",
        file: "crates/chan/src/handle.rs",
        healthy: "impl<T> Drop for Receiver<T> {\n    fn drop(&mut self) {\n",
        planted: "impl<T> Drop for Receiver<T> {\n    fn drop(&mut self) {\n        \
                  assert!(!std::hint::black_box(true), \"a receiver is dropped\");\n",
        check: &["channel", "bounded"],
        sees: Sees::Ends { code: 1, says: "the adapter ended the process that it ran in" },
    },
    Bug {
        name: "sink-off-by-one",
        what: "the lab's sink compares with the byte behind the one that came",
        file: "crates/lab/src/world/mod.rs",
        healthy: "let at = next.offset + u64::from(is_beside);",
        planted: "let at = next.offset + 1 + u64::from(is_beside);",
        check: &["local-adapter"],
        sees: Sees::Ends { code: BLIND, says: "the part that changed a byte is the lab's sink" },
    },
    Bug {
        name: "sink-blind",
        what: "the lab's sink compares nothing",
        file: "crates/lab/src/world/mod.rs",
        healthy: "let other = pattern.mismatch(at, bytes).filter(|_| !is_off);",
        planted: "let other = pattern.mismatch(at, bytes).filter(|_| !is_off && place == Stage::Ingress);",
        check: &["local-adapter"],
        sees: Sees::Ends { code: BLIND, says: "when it is wrong itself: Sink" },
    },
    Bug {
        name: "source-sequence",
        what: "the lab's source gives each chunk the number of the next",
        file: "crates/lab/src/world/client_side.rs",
        healthy: "            sequence: sent.chunk as u64 + 1,",
        planted: "            sequence: sent.chunk as u64 + 2,",
        check: &["local-adapter"],
        sees: Sees::Ends { code: BLIND, says: "a chunk that is not the next" },
    },
    Bug {
        name: "source-seed",
        what: "the lab's source carries the same bytes whatever the seed",
        file: "crates/lab/src/world/flow.rs",
        healthy: "pattern: Pattern::new(seed, flow, direction), known",
        planted: "pattern: Pattern::new(seed.min(0), flow, direction), known",
        check: &["local-adapter"],
        sees: Sees::Ends { code: BLIND, says: "the part that changed a byte is the lab's source" },
    },
    Bug {
        name: "source-plan",
        what: "the lab's source plans the same chunks whatever the seed",
        file: "crates/lab/src/source/mod.rs",
        healthy: "let (seed, longest) = (config.deterministic_seed, config.max_chunk_bytes);",
        planted: "let (seed, longest) = (config.deterministic_seed.min(1), config.max_chunk_bytes);",
        check: &["local-adapter"],
        sees: Sees::Ends { code: BLIND, says: "plans the same for every seed" },
    },
    Bug {
        name: "trace-loses",
        what: "the lab's trace loses an event",
        file: "crates/lab/src/trace/mod.rs",
        healthy: "        if self.pushed == self.loses {",
        planted: "        if self.pushed == self.loses || self.pushed == 9 {",
        check: &["local-adapter"],
        sees: Sees::Ends { code: BLIND, says: "the lab's trace has lost an event" },
    },
    Bug {
        name: "adversary-distinct",
        what: "the lab counts a kind of runs too many",
        file: "crates/lab/src/adversary/mod.rs",
        healthy: "        let distinct = seen.len() as u64;",
        planted: "        let distinct = seen.len() as u64 + 1;",
        check: &["local-adapter"],
        sees: Sees::Ends { code: BLIND, says: "different runs, and there are" },
    },
    Bug {
        name: "report-broken",
        what: "the lab's report says of each rule that one run more breaks it",
        file: "crates/lab/src/report/mod.rs",
        healthy: "            violated: rule_sets().map(|rule_sets| count(rule_sets.broken)).sum(),",
        planted: "            violated: rule_sets().map(|rule_sets| count(rule_sets.broken)).sum::<u64>() + 1,",
        check: &["local-adapter"],
        sees: Sees::Ends { code: BLIND, says: "runs that break a rule, and there are" },
    },
    Bug {
        name: "gate-counted",
        what: "the lab's gates count each run twice",
        file: "crates/lab/src/check/verdict.rs",
        healthy: "        counted += 1;",
        planted: "        counted += 2;",
        check: &["local-adapter"],
        sees: Sees::Ends { code: BLIND, says: "runs in a gate, and there are" },
    },
    Bug {
        name: "reset-credit",
        what: "session credit for elements that come on a stream that was reset is never given back",
        file: "crates/wire/src/session/incoming.rs",
        healthy: "        self.taking.owed += u64::from(bytes);\n        if kind == Kind::Data {",
        planted: "        self.taking.owed += if keep { u64::from(bytes) } else { 0 };\n        if kind == Kind::Data {",
        check: &["local-adapter", "--full", "--profiles", "4"],
        sees: Sees::Ends { code: BROKEN, says: CHARGED },
    },
    Bug {
        name: "reset-slot",
        what: "a stream that the other side has reset keeps its place in the table",
        file: "crates/wire/src/session/transmit.rs",
        healthy: "                if stream.phase == Phase::Echoing {",
        planted: "                if stream.phase == Phase::Echoing && stream.incoming.begun == 0 {",
        check: &["local-adapter", "--full", "--profiles", "4"],
        sees: Sees::Ends { code: BROKEN, says: "streams that are open is" },
    },
    Bug {
        name: "held-credit",
        what: "bytes that an application has let go of are charged for ever",
        file: "crates/wire/src/session/mod.rs",
        healthy: "        self.taking.held -= bytes;\n        self.taking.owed += bytes;",
        planted: "        self.taking.held -= bytes;",
        check: &["local-adapter", "--full", "--profiles", "4"],
        sees: Sees::Ends { code: BROKEN, says: CHARGED },
    },
    Bug {
        name: "sent-through",
        what: "an element that goes straight into the network is not paid for by the session",
        file: "crates/wire/src/session/streams.rs",
        healthy: "                    session.window -= bytes;\n                    session.counters.sent.frame",
        planted: "                    session.counters.sent.frame",
        check: &["local-adapter", "--full", "--profiles", "4"],
        sees: Sees::Ends { code: BROKEN, says: "bytes of credit that neither side has is" },
    },
    Bug {
        name: "early-ack",
        what: "an acknowledgement overtakes the element that is given back before it",
        file: "crates/wire/src/session/transmit.rs",
        healthy: "    let returned = outgoing.returns_queued == 0;",
        planted: "    let returned = true;",
        check: &["local-adapter", "--full", "--profiles", "4"],
        sees: Sees::Ends {
            code: 1,
            says: "the state in which it ends is closed, and has to be failed",
        },
    },
    Bug {
        name: "lost-nack",
        what: "a negative acknowledgement of an element is dropped on arrival",
        file: "crates/wire/src/session/incoming.rs",
        healthy: "                Ok(Some(Event::Nacked { stream: id, sequence, code: head.code }))",
        planted: "                Ok((sequence % 4 != 1).then_some(Event::Nacked { stream: id, sequence, code: head.code }))",
        check: &["local-adapter", "--full", "--profiles", "4"],
        sees: Sees::Ends { code: BROKEN, says: "ack is another, and has to be what was said" },
    },
    Bug {
        name: "dropped-receive",
        what: "a receive that was handed a value and is dropped takes the value along",
        file: "crates/chan/src/transfer.rs",
        healthy: "            channel.requeue(unsafe { slot.read() }, sequence);",
        planted: "            drop((channel, sequence, unsafe { slot.read() }));",
        check: &["channel", "bounded", "--quick"],
        sees: Sees::Small(5),
    },
    Bug {
        name: "room-frame",
        what: "a frame that has waited for room is lost",
        file: "crates/host/src/stream/cell.rs",
        healthy: "                self.claim_until(claim, deadline)?\n            }",
        planted: "                let place = self.claim_until(claim, deadline)?;\n                drop(place.guarded(MessageKind::Nothing as u32));\n                return Ok(());\n            }",
        check: &["plugin", "--skip", "slow"],
        sees: Sees::Ends { code: 1, says: MISSING },
    },
    Bug {
        name: "last-frame",
        what: "the last frame before the end of a stream is lost, if both are received at once",
        file: "crates/host/src/stream/inbox.rs",
        healthy: "                return Some(Ok(message.take()));",
        planted: "                let frame = message.take();\n                let next = self.cell.peek(&self.cursor);\n                \
                  if next.is_some_and(|(kind, _)| kind == MessageKind::Last as u32) {\n                    \
                  continue;\n                }\n                return Some(Ok(frame));",
        check: &["plugin", "--skip", "slow"],
        sees: Sees::Ends { code: 1, says: MISSING },
    },
    Bug {
        name: "cancel",
        what: "a plugin is not notified when the receiver of its stream is dropped",
        file: "crates/host/src/stream/mod.rs",
        healthy: "        if let Some(handler) = &core.handler {\n            handler.stream_over(open);\n        }\n        if open && self.state",
        planted: "        if open && core.handler.is_none() && self.state",
        check: &["plugin", "--skip", "slow"],
        sees: Sees::Ends { code: 1, says: "of their streams are still inside" },
    },
    Bug {
        name: "full-inbound",
        what: "a frame to a plugin whose queue is full is lost",
        file: "crates/host/src/coroutine/inbound.rs",
        healthy: "        self.credit.take(self.sid, len, STARVED)?;",
        planted: "        match self.credit.take(self.sid, len, STARVED) {\n            \
                  Err(Rejected::Full) => return Ok(()),\n            \
                  taken => taken?,\n        };",
        check: &["plugin", "--skip", "slow"],
        sees: Sees::Ends { code: 1, says: MISSING },
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    /// Building the bugs takes long; this test only checks that each can be planted.
    #[test]
    fn what_each_bug_replaces_stands_there_once() {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
        for bug in BUGS {
            let text = std::fs::read_to_string(format!("{root}/{}", bug.file)).expect(bug.file);
            assert_eq!(text.matches(bug.healthy).count(), 1, "{}", bug.name);
            assert!(bug.healthy != bug.planted, "{}", bug.name);
        }
        let names: std::collections::BTreeSet<_> = BUGS.iter().map(|bug| bug.name).collect();
        assert_eq!(names.len(), BUGS.len());
    }
}
