// SPDX-License-Identifier: BSD-3-Clause
//! Protocol 2, frame by frame: enough to write the other side of it.
//!
//! # Frames
//!
//! Two sides, a client that connected and a server, exchange frames over something that keeps them
//! in order and loses none. A frame is 24 bytes of head and a body (drawn at
//! [`Head`](crate::Head)); all numbers are little-endian. A body is never longer than its receiver
//! said in its greeting; before the greeting, than 256 bytes. A field that the table does not name
//! is 0 when sent and ignored when received. An unknown kind, and every broken rule below, ends the
//! session: the side that finds it sends `Close` with the reason and nothing after it.
//!
//! | kind | number | code | stream | aux | sequence | body |
//! |---|---|---|---|---|---|---|
//! | Hello, Welcome | 1, 2 | – | – | version: 2 | – | attributes |
//! | Ping, Pong | 3, 4 | – | – | – | any; a pong repeats it | – |
//! | Drain | 5 | – | – | – | – | – |
//! | Close | 6 | reason | – | – | – | words |
//! | Request | 16 | operation | – | – | request | arguments |
//! | Reply | 17 | status | – | – | request | answer |
//! | Cancel | 18 | – | – | – | request | – |
//! | Notice | 19 | of what kind | – | – | of which | news |
//! | Open | 32 | service | stream | messages | bytes | name |
//! | Accept | 33 | – | stream | messages | bytes | description |
//! | Data | 34 | – | stream | bytes that follow | element | bytes |
//! | Credit | 35 | – | stream, or 0 | messages | bytes | – |
//! | Ack | 36 | – | stream | – | element | – |
//! | Nack | 37 | reason | stream | – | element | – |
//! | Withdraw | 38 | – | stream | – | element | – |
//! | Return | 39 | – | stream | bytes that follow | element | bytes |
//! | Revoke, Revoked | 40, 41 | – | stream | messages | bytes | – |
//! | End, Reset | 42, 43 | reason | stream | – | – | words |
//! | Region | 48 | – | region | generation | its bytes | – |
//! | Unregion | 49 | – | region | generation | – | – |
//! | Release | 50 | – | region | generation | offset | – |
//!
//! `flags`: in `Open` the priority (0 high, 1 normal, 2 low); in `Data` and `Return`
//! [`MORE`](crate::flags::MORE), [`DESCRIPTOR`](crate::flags::DESCRIPTOR) and
//! [`TRY`](crate::flags::TRY). Reasons below 256 are in [`codes`](crate::codes), the others are the
//! application's.
//!
//! # Greeting
//!
//! ```text
//!   client                       server
//!     │ ── Hello  2, limits ──────▶ │   ready
//!     │ ◀───── Welcome  2, limits ─ │
//!   ready
//! ```
//!
//! Nothing else is sent before, except a `Close`. The body is a row of attributes: type u16, length
//! u16, value; types 1 `frame_body_bytes_max` u32 (at least 256), 2 `element_bytes_max` u32 (at
//! most the session's credit), 3 `session_credit_bytes` u64, 4 `streams_max` u32, 5 `requests_max`
//! u32, 6 `regions_max` u32. Unknown types are skipped; one that is missing is 0. Each side keeps
//! to what the other one said. Elements, returned ones too, are no longer than both sides take. Who
//! has not greeted in time is dropped.
//!
//! # Requests
//!
//! A request's number is a place (low 32 bits) and a generation (high 32 bits, not 0). Places are
//! taken from 0 upwards without a gap; a place is used again only after its reply has come, with
//! another generation than the last one there. Each request has exactly one `Reply`, in any order,
//! also when it was cancelled. A `Cancel` that crosses with the reply is dropped.
//!
//! # Streams
//!
//! A stream's number is its opener (bit 0: 0 client, 1 server), a place (bits 1–16) and a
//! generation (bits 17–31, not 0), with the same rules for places. Each side has `streams_max`
//! places of its own.
//!
//! ```text
//!   opener                            other side
//!     │ ── Open, credit for it ─────────▶ │
//!     │ ◀──────── Accept, credit for it ─ │    or Reset: refused
//!     │ ◀══ Data, Credit, Ack, … ═══════▶ │
//!     │ ── End ─────────────────────────▶ │    one half is closed
//!     │ ◀── Data … Ack, Credit … ───────▶ │
//!     │ ◀─────────────────────────── End ─│    both: the number is free
//! ```
//!
//! Before its `Accept` the other side sends nothing but `Reset` and `Revoked` on the stream.
//!
//! After its `End` a side sends no `Data` and no `Return`. What concerns the other direction
//! (`Ack`, `Nack`, `Credit`, `Revoke`) and `Withdraw` may go on until the other side's `End` has
//! come. So the receiver of elements that must be acked ends last. What arrives for a number that
//! has just become free crossed with an end and is dropped; elements never do, and are a broken
//! rule.
//!
//! `Reset` ends both directions at once and is answered by a `Reset`. Its sender sends nothing
//! more; what comes before the answer is counted against the credit and dropped. The number is free
//! when the answer has come (for its sender: has gone), when a `Reset` of the other side's own has
//! come instead, or when both had sent `End` before they knew.
//!
//! # Elements
//!
//! Elements of one direction are numbered from 1. Numbers grow; a gap is an element that was taken
//! back before it left. One that does not fit into a frame goes in pieces with the same number:
//! each says in `aux` how many bytes follow it, and has `MORE` exactly if that is not 0. No piece
//! is empty unless the element is. Pieces of one stream's elements do not mix; those of different
//! streams do.
//!
//! # Credit
//!
//! An element costs one message and its whole length in bytes of the stream's credit, and its
//! length of the session's credit, all when its first piece is sent. `Credit` with a stream's
//! number adds to that stream's, with 0 to the session's, which begins as the greeting said and
//! never grows beyond. The receiver gives session credit back when an element is whole (or, if it
//! holds it, when it lets it go), or when its stream is over; at the latest when what it owes could
//! keep an element of the greatest length from being sent. Who sends more than it has is told
//! `Close` with [`CREDIT`](crate::codes::CREDIT).
//!
//! ```text
//!   revoke:   ── Revoke  up to 5 messages, 900 bytes ──▶
//!             ◀────────── Revoked  3 messages, 900 bytes     what was not spent
//! ```
//!
//! At most one `Revoke` is under way for each stream. What is missing in the answer has been spent:
//! those elements come after it, or have come.
//!
//! # What became of an element
//!
//! ```text
//!                 ┌──▶ Ack n      accepted, as all before n that were not nacked or returned
//!   Data n ───────┼──▶ Nack n     not accepted
//!                 └──▶ Return n   received, and back again with its body
//! ```
//!
//! A `Nack` or `Return` of a number goes before an `Ack` that covers it, and a `Return` before any
//! `Credit`: that would bring what stands behind in the channel. `Withdraw n` asks for an
//! element whose last piece has been sent; the answer is an `Ack` or a `Nack`, perhaps one that is
//! under way already. A `Return` costs session credit, no stream credit, and no more elements come
//! back than were sent.
//!
//! # Order of sending
//!
//! A sender is free in it, but for: nacks and returns before their ack; everything said on a stream
//! before its `End`; a `Region` before descriptors into it. This one sends elements by priority,
//! and within a class by deficit round robin; elements that wait for session credit wait in order.
//!
//! # Keep-alive, draining, closing
//!
//! Any frame is a sign of life. A side that hears nothing for a while sends a `Ping`, and drops who
//! answers with nothing. After a `Drain`, of either side, neither opens streams or asks requests;
//! what crosses with it is refused with [`DRAINING`](crate::codes::DRAINING). `Close` is the last
//! frame and is not answered.
//!
//! # At the bounds
//!
//! | what the other side can pile up | bound | at the bound |
//! |---|---|---|
//! | streams, requests, regions | as greeted | `Close` with [`LIMIT`](crate::codes::LIMIT) |
//! | bytes of elements, half assembled ones too | session credit | `Close` with `CREDIT` |
//! | pongs owed | `pongs_max` | `Close` with [`FLOOD`](crate::codes::FLOOD) |
//! | nacks owed | `control_frames_max` | `Close` with `FLOOD` |
//! | replies owed | one for each request | a place is not free before its reply has gone |
//! | revocations owed | one for each stream | `Close` with `FLOOD` |
//! | acks, credit, resets owed | one of each for each stream | they are one frame |
