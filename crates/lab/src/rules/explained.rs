// SPDX-License-Identifier: BSD-3-Clause
//! Each rule for people: what users see when it is violated, and where to look first.
//!
//! The sentence of a rule is the requirement. An explanation gives its reason, and the code to look
//! at. It is beside the [catalogue](super::CATALOGUE) and not in it: sentences are stable,
//! explanations are improved.

/// A rule, explained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Explanation {
    /// What users of the adapter see when the rule is violated.
    pub why: &'static str,
    /// Where to look first.
    pub look: &'static str,
}

/// The explanation of the rule with this id, in any case of its letters.
#[must_use]
pub fn explanation(id: &str) -> Option<Explanation> {
    let (_, why, look) = EXPLAINED.iter().find(|(known, ..)| known.eq_ignore_ascii_case(id))?;
    Some(Explanation { why, look })
}

/// By id, in the order of the catalogue.
const EXPLAINED: &[(&str, &str, &str)] = &[
    (
        "INT-01",
        "Silent corruption: the other end gets bytes that were never sent.",
        "Where bytes are copied: a range that begins at the wrong place, a buffer that is used \
         again while it is still read, a ring that does not wrap, flows that share a buffer.",
    ),
    (
        "INT-02",
        "A receiver that orders chunks by their numbers waits for one that never comes, or drops one \
         as a duplicate.",
        "The counter of chunks: it belongs to the flow and direction, begins at 1, and grows by one \
         when a chunk was put out, not when it was offered.",
    ),
    (
        "INT-03",
        "A hole or an overlap in the flow: files that are a few bytes short, records read twice.",
        "The offset: it grows by what the outlet took. An outlet that refuses has taken nothing.",
    ),
    (
        "INT-04",
        "Bytes out of nowhere: what was taken once comes out twice, or another flow's bytes come \
         out on this one.",
        "Retries, and a partly taken offer whose rest is queued although it will be offered again.",
    ),
    (
        "INT-05",
        "The end of an upload is missing, and both sides believe that it is complete.",
        "The order of the end and the last bytes: is the end said while something still waits for \
         room?",
    ),
    (
        "INT-06",
        "The server saw a part of the request, and answered it.",
        "The final flag, and what happens to the last chunk when there is room for a part of it.",
    ),
    (
        "INT-07",
        "The client saw a part of the answer, and took it for all of it.",
        "What happens to bytes that arrived and were not put out when the flow ends.",
    ),
    ("INT-08", "Corruption on the way to the target.", "As for INT-01, in the ingress adapter."),
    (
        "INT-09",
        "Work for nothing: each empty chunk is a frame, a wake and a turn of the other side.",
        "A loop that puts out what it has without asking whether it has something.",
    ),
    (
        "INT-10",
        "The lab's own network lost or invented bytes: no verdict on the adapter is worth anything.",
        "This is a fault of the session or of the lab, not of the adapter. Keep the replay file, \
         and report it.",
    ),
    (
        "INT-11",
        "Acknowledgements, answers or credit are lost, and the side that waits for them waits for ever.",
        "The session: the call that is named, and the event that comes of it at the other side.",
    ),
    (
        "LIF-01",
        "Connections are refused although there is room for them.",
        "The count of open flows: is it lowered by close, by reset, and when a flow ends by itself?",
    ),
    (
        "LIF-02",
        "The state that is kept for the flow differs from the state at the other side.",
        "What the adapter says about flows that it half-closed, drained or never saw opened.",
    ),
    (
        "LIF-03",
        "Bytes of a connection that was closed land in the next one that has its number.",
        "What is left in queues when a flow is closed; wakes and timers that still know the flow.",
    ),
    (
        "LIF-04",
        "A receiver stops reading at the end: these bytes are lost.",
        "The order in which the last chunk and the end come out.",
    ),
    (
        "LIF-05",
        "Resources are released twice, or the next flow with this number is ended.",
        "A flag that is missing: a final chunk and a half-close both say the end, once.",
    ),
    (
        "LIF-06",
        "Half of the data, and an end that looks clean: the worst way to lose something.",
        "Where an empty queue is taken for the end.",
    ),
    (
        "LIF-07",
        "A client that writes behind its own end believes that it was heard.",
        "The check at the top of offer and accept.",
    ),
    (
        "LIF-08",
        "Cleaning up twice fails, so callers avoid it, and one day a flow is not cleaned up at all.",
        "Close and reset do nothing to a flow that is over; they are no error.",
    ),
    (
        "LIF-09",
        "Connections fail without a reason.",
        "Errors that concern one call and end the flow; an assumption about chunk lengths.",
    ),
    (
        "BPR-01",
        "Memory of the other side grows without a bound, or bytes are dropped.",
        "Ask the outlet for its room before each chunk, not once for all.",
    ),
    (
        "BPR-02",
        "The source skips bytes that were never taken.",
        "What offer and accept return: a count of the bytes of this offer.",
    ),
    (
        "BPR-03",
        "A connection hangs for ever, mostly under load, and only a restart helps.",
        "Each path on which room comes back has to call has_room for the flows that were turned \
         away: poll, close and reset of other flows too.",
    ),
    (
        "BPR-04",
        "A slow reader fills the memory of everybody between it and the source.",
        "A queue without a bound, or one whose bound is per chunk where it has to be per byte.",
    ),
    (
        "BPR-05",
        "Throughput falls to nothing for offers that are larger than some buffer.",
        "All-or-nothing: take a part of what does not fit.",
    ),
    (
        "BPR-06",
        "The session broke its own window: no verdict on the adapter is worth anything.",
        "A fault of the session or of the lab. Keep the replay file, and report it.",
    ),
    (
        "BPR-07",
        "A client that was slow for a moment waits long after it is fast again.",
        "A timer that goes on when the sink was full: there is a poll when it has room again.",
    ),
    (
        "ISO-01",
        "Data of one user goes to another.",
        "The map from flows to whatever the adapter uses outside: numbers are used again.",
    ),
    (
        "ISO-02",
        "One client that disconnects takes others with it.",
        "Errors that are returned for the whole adapter; state that all flows share.",
    ),
    (
        "ISO-03",
        "One slow reader stops everybody: head-of-line blocking.",
        "A queue that all flows share, or a loop that stops at the first flow without room.",
    ),
    (
        "ISO-04",
        "What happens on one connection depends on what others do.",
        "Everything that is shared: buffers, counters, budgets, the order of a map.",
    ),
    (
        "ISO-05",
        "The session gave two flows one stream: no verdict on the adapter is worth anything.",
        "A fault of the session or of the lab. Keep the replay file, and report it.",
    ),
    (
        "ERR-01",
        "A failure at the other end looks like a clean, short answer.",
        "What the adapter makes of a reset whose cause is an error.",
    ),
    (
        "ERR-02",
        "A connection that was cut looks like a failure of the service, and alarms go off.",
        "What the adapter makes of a reset that somebody wanted.",
    ),
    (
        "ERR-03",
        "A client that goes away leaves work behind that has no use any more.",
        "Reset of the ingress adapter: what waits is thrown away, and the reset is said.",
    ),
    (
        "ERR-04",
        "Connections break for no reason that anybody can find in the logs of either end.",
        "Errors inside of the adapter that it could have answered by waiting.",
    ),
    (
        "ERR-05",
        "Retries where there should be none, or none where there should be.",
        "The cause is passed on as it came.",
    ),
    (
        "ERR-06",
        "An upload that was broken off is stored as if it were complete.",
        "After a reset no final chunk, no half-close and no close comes out.",
    ),
    (
        "ERR-07",
        "Valid traffic is refused.",
        "Checks of offsets and lengths that are stricter than the contract: a chunk may be empty, \
         and may go on in the midst of one that was taken in part.",
    ),
    (
        "ERR-08",
        "A gap is filled with whatever comes next: corruption that stays undetected.",
        "Compare the offset of each chunk with what was taken so far.",
    ),
    (
        "LIV-01",
        "Connections that never end: they hold memory, numbers and people's patience.",
        "The last step of each way to end: the wake-up, the report of the end, the close.",
    ),
    (
        "LIV-02",
        "The reader waits for an end that happened long ago.",
        "The egress adapter has to say the end, the reset or the failure of each flow.",
    ),
    (
        "LIV-03",
        "A run goes on and on: with real traffic, a busy loop or a storm of small chunks.",
        "Chunks of one byte, polls that ask to be polled, has_room where there is none.",
    ),
    (
        "LIV-04",
        "A CPU at 100 % with nothing to do.",
        "Ask to be polled when something changed, not because there was no room.",
    ),
    (
        "LIV-05",
        "The other side never learns that this was all: keep-alive connections hang.",
        "An end that comes when there are no bytes left: nothing else wakes the adapter then.",
    ),
    (
        "LIV-06",
        "The other end waits for bytes of a connection that is gone.",
        "Reset has to ask for a poll, in which it is reported to the outlet.",
    ),
    (
        "LIV-07",
        "After an incident the system does not recover by itself.",
        "Wakes that are lost while there is no room; timers that are not set again; a time that \
         jumped.",
    ),
    (
        "ROB-01",
        "A hiccup that should be invisible ends connections.",
        "Partial reads and writes, polls without a reason, calls that find no room.",
    ),
    (
        "ROB-02",
        "Data was lost on the way, and the flow says that all is well.",
        "An end has to be the end of everything that was taken.",
    ),
    (
        "ROB-03",
        "What was cancelled goes on in the background.",
        "Reset and close at any moment: before the first byte, between bytes and end, twice.",
    ),
    (
        "ROB-04",
        "After a crash and a restart the new instance does not work.",
        "State that outlives the adapter: statics, files, numbers that are not reset.",
    ),
    (
        "ROB-05",
        "The session broke by itself: no verdict on the adapter is worth anything.",
        "A fault of the session or of the lab. Keep the replay file, and report it.",
    ),
    (
        "DET-01",
        "A failure that cannot be repeated cannot be mended.",
        "Clocks, random numbers, thread timing, addresses, and the order of a HashMap. Time and \
         chance come with the context of each call.",
    ),
    (
        "DET-02",
        "As DET-01, but for what differs between processes: hash seeds, addresses, the environment.",
        "Iteration over a HashMap is the usual one. A BTreeMap, or a Vec, has an order.",
    ),
    (
        "HYG-01",
        "Payload in a metric or on an admin page.",
        "The summary has counts and classes, and nothing that came in a chunk.",
    ),
    (
        "HYG-02",
        "Payload in every log that contains the error.",
        "Error texts that quote what could not be parsed.",
    ),
    (
        "HYG-03",
        "Payload in a crash report.",
        "A derived Debug on whatever holds bytes or configuration.",
    ),
    ("HYG-04", "The lab itself tells payload.", "A fault of the lab. Report it, without the text."),
    (
        "HYG-05",
        "A name that says secret or token is where people look for secrets, and tools raise alarms.",
        "Names of fields and settings in summaries, errors and manifests.",
    ),
    (
        "CAP-01",
        "A caller relies on something that is not there.",
        "half_close answers Unsupported, and changes nothing.",
    ),
    (
        "CAP-02",
        "A caller relies on something that is not there.",
        "reset answers Unsupported, and changes nothing: the flow is closed then.",
    ),
    (
        "CAP-03",
        "What the manifest sells does not work.",
        "half_close of an open flow; or take flow_half_close out of the manifest.",
    ),
    (
        "CAP-04",
        "What the manifest sells does not work.",
        "reset of an open flow; or take flow_reset out of the manifest.",
    ),
    (
        "CAP-05",
        "Keystrokes wait behind a backup.",
        "The order in which poll goes through flows; or take flow_priority out of the manifest.",
    ),
    (
        "CAP-06",
        "Nothing can be negotiated with an adapter that does not say what it is.",
        "The capabilities of the manifest: adapter_ingress, adapter_egress.",
    ),
    (
        "CAP-07",
        "What was agreed at the beginning is not true any more.",
        "A manifest that depends on state.",
    ),
    (
        "RES-01",
        "Memory beyond what was planned for, by the adapter's own count.",
        "The check before bytes are taken: it has to count all flows.",
    ),
    (
        "RES-02",
        "One flow uses up the memory of all.",
        "The bound of each flow in offer and accept.",
    ),
    (
        "RES-03",
        "The process is killed for its memory, under load, with all its connections.",
        "The bound of all flows together in offer and accept.",
    ),
    (
        "RES-04",
        "Dashboards show less than is used: the limit is hit without a warning.",
        "What buffered_bytes counts: everything that was taken and has not come out.",
    ),
    (
        "RES-05",
        "More connections than the process was sized for.",
        "open refuses with TooManyFlows at the limit of the manifest.",
    ),
    (
        "RES-06",
        "A leak: a few bytes for each connection, and a restart every week.",
        "What close and reset release: queues, map entries, counters.",
    ),
    (
        "RES-07",
        "A process that never rests: timers of connections that are gone wake it for ever.",
        "What deadline gives when no flow is left: close and reset have to forget timers too.",
    ),
    (
        "RES-08",
        "A connection wears out: after some resets it has no streams, or no credit, and stands still.",
        "The session: what a reset or an end releases of streams, queues, credit and elements.",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::CATALOGUE;

    #[test]
    fn every_rule_is_explained_in_whole_sentences() {
        assert!(EXPLAINED.iter().map(|(id, ..)| *id).eq(CATALOGUE.iter().map(|rule| rule.id)));
        for rule in CATALOGUE {
            let lower = rule.id.to_lowercase();
            let Explanation { why, look } = explanation(&lower).unwrap();
            for text in [why, look] {
                assert!(text.ends_with(['.', '?']) && !text.contains("  "), "{}", rule.id);
            }
        }
        assert_eq!(explanation("INT-99"), None);
    }
}
