// SPDX-License-Identifier: BSD-3-Clause
//! Protocol 2, frame by frame: sufficient to implement a peer.
//!
//! # Frames
//!
//! A client and a server exchange frames over a reliable, ordered transport. A frame is a head of 24
//! bytes and a body (see [`Head`](crate::Head)); all numbers are little-endian. A body is at most as
//! long as its receiver announced in the handshake; before that, 256 bytes. A field that the table
//! does not name is 0 when sent and ignored when received. An unknown kind, and every violation of a
//! rule below, ends the session: the side that detects it sends `Close` with the reason and nothing
//! after it.
//!
//! | kind | number | code | stream | aux | sequence | body |
//! |---|---|---|---|---|---|---|
//! | Hello, Welcome | 1, 2 | – | – | version: 2 | – | attributes |
//! | Ping, Pong | 3, 4 | – | – | – | any; a pong repeats it | – |
//! | Drain | 5 | – | – | – | – | – |
//! | Close | 6 | reason | – | – | – | text |
//! | Request | 16 | operation | – | – | request | arguments |
//! | Reply | 17 | status | – | – | request | answer |
//! | Cancel | 18 | – | – | – | request | – |
//! | Notice | 19 | kind of notice | – | – | subject | content |
//! | Open | 32 | service | stream | messages | bytes | name |
//! | Accept | 33 | – | stream | messages | bytes | description |
//! | Data | 34 | – | stream | bytes that follow | element | bytes |
//! | Credit | 35 | – | stream, or 0 | messages | bytes | – |
//! | Ack | 36 | – | stream | – | element | – |
//! | Nack | 37 | reason | stream | – | element | – |
//! | Withdraw | 38 | – | stream | – | element | – |
//! | Return | 39 | – | stream | bytes that follow | element | bytes |
//! | Revoke, Revoked | 40, 41 | – | stream | messages | bytes | – |
//! | End, Reset | 42, 43 | reason | stream | – | – | text |
//! | Region | 48 | – | region | generation | its bytes | – |
//! | Unregion | 49 | – | region | generation | – | – |
//! | Release | 50 | – | region | generation | offset | – |
//!
//! `flags`: in `Open` the priority (0 high, 1 normal, 2 low); in `Data` and `Return`
//! [`MORE`](crate::flags::MORE), [`DESCRIPTOR`](crate::flags::DESCRIPTOR) and
//! [`TRY`](crate::flags::TRY). Reasons below 256 are in [`codes`](crate::codes), the others belong to
//! the application.
//!
//! # Handshake
//!
//! ```text
//!   client                       server
//!     │ ── Hello  2, limits ──────▶ │   ready
//!     │ ◀───── Welcome  2, limits ─ │
//!   ready
//! ```
//!
//! Before it, only a `Close` may be sent. The body is a sequence of attributes: type u16, length u16,
//! value; types 1 `frame_body_bytes_max` u32 (at least 256), 2 `element_bytes_max` u32 (at
//! most the session's credit), 3 `session_credit_bytes` u64, 4 `streams_max` u32, 5 `requests_max`
//! u32, 6 `regions_max` u32. Unknown types are skipped; a missing one is 0. Each side observes the
//! limits of its peer. Elements, returned ones too, are at most as long as both sides accept. A peer
//! that sends no hello or welcome in time is disconnected.
//!
//! # Requests
//!
//! A request's number is a slot (low 32 bits) and a generation (high 32 bits, not 0). Slots are
//! allocated from 0 upwards without a gap; a slot is reused only after its reply has arrived, with a
//! new generation. Each request has exactly one `Reply`, in any order, also when it was cancelled. A
//! `Cancel` that crosses with the reply is dropped.
//!
//! # Streams
//!
//! A stream's number is its opener (bit 0: 0 client, 1 server), a slot (bits 1–16) and a generation
//! (bits 17–31, not 0), with the same rules for slots. Each side has `streams_max` slots of its own.
//!
//! ```text
//!   opener                            other side
//!     │ ── Open, credit ────────────────▶ │
//!     │ ◀─────────────── Accept, credit ─ │    or Reset: refused
//!     │ ◀══ Data, Credit, Ack, … ═══════▶ │
//!     │ ── End ─────────────────────────▶ │    half-closed
//!     │ ◀── Data … Ack, Credit … ───────▶ │
//!     │ ◀─────────────────────────── End ─│    closed: the number is free
//! ```
//!
//! Before its `Accept` the peer sends only `Reset` and `Revoked` on the stream.
//!
//! After its `End` a side sends no `Data` and no `Return`. Frames about the other direction (`Ack`,
//! `Nack`, `Credit`, `Revoke`) and `Withdraw` may follow until the peer's `End` has arrived. So the
//! receiver of elements that must be acked ends last. A frame for a number that has just become free
//! crossed with an end and is dropped; an element cannot cross, and is a violation.
//!
//! `Reset` ends both directions at once and is answered by a `Reset`. Its sender sends nothing more on
//! the stream; elements that arrive before the answer are counted against the credit and dropped. The
//! number is free when the answer has arrived (for the answering side: was sent), when the resets of
//! both sides have crossed, or when both had sent `End` before.
//!
//! # Elements
//!
//! Elements of one direction are numbered from 1. Numbers increase; a gap is an element that was
//! withdrawn before it was sent. An element that does not fit into a frame is sent in pieces with the
//! same number: `aux` of each is the number of bytes that follow it, and `MORE` is set if and only if
//! that is not 0. A piece is empty only if the element is. Pieces of different elements of one stream
//! do not interleave; those of different streams do.
//!
//! # Credit
//!
//! An element costs one message and its whole length in bytes of the stream's credit, and its length
//! of the session's credit, all when its first piece is sent. `Credit` with a stream's number adds to
//! that stream's, with 0 to the session's, which begins at the value of the handshake and never
//! exceeds it. The receiver returns session credit when an element is whole (or, if it holds the
//! element, when it releases it), or when the stream is over; at the latest when the credit it owes
//! could block an element of the greatest length. A sender that exceeds its credit is answered with a
//! `Close` with [`CREDIT`](crate::codes::CREDIT).
//!
//! ```text
//!   revoke:   ── Revoke  up to 5 messages, 900 bytes ──▶
//!             ◀────────── Revoked  3 messages, 900 bytes     the unspent part
//! ```
//!
//! At most one `Revoke` is in flight for each stream. The difference to the answer was spent: those
//! elements follow it, or have arrived.
//!
//! # Outcome of an element
//!
//! ```text
//!                 ┌──▶ Ack n      accepted, as all before n that were not nacked or returned
//!   Data n ───────┼──▶ Nack n     not accepted
//!                 └──▶ Return n   undelivered: returned with its body
//! ```
//!
//! A `Nack` or `Return` of a number precedes an `Ack` that covers it, and a `Return` precedes any
//! `Credit`, which would let later elements overtake it. `Withdraw n` concerns an element whose last
//! piece was sent; the answer is an `Ack` or a `Nack`, possibly one that is already in flight. A
//! `Return` costs session credit, no stream credit, and at most as many elements are returned as were
//! sent.
//!
//! # Order of sending
//!
//! A sender may choose the order, except that: nacks and returns precede their ack; all frames of a
//! stream precede its `End`; a `Region` precedes descriptors into it. This implementation sends
//! elements by priority, and within a class by deficit round robin; elements that wait for session
//! credit wait in order.
//!
//! # Keep-alive, draining, closing
//!
//! Any frame proves that the peer is alive. A side that receives none for a while sends a `Ping`, and
//! disconnects if no frame follows. After a `Drain`, of either side, neither opens streams or sends
//! requests; those that cross with it are refused with [`DRAINING`](crate::codes::DRAINING). `Close`
//! is the last frame and is not answered. Only `Release` may follow it, from either side: a side that
//! holds blocks of its peer then disconnects when it has released them. Other frames after a `Close`
//! crossed with it, and are ignored; the block of a descriptor among them is released.
//!
//! # At the bounds
//!
//! | what the peer can accumulate | bound | at the bound |
//! |---|---|---|
//! | streams, requests, regions | as announced | `Close` with [`LIMIT`](crate::codes::LIMIT) |
//! | bytes of elements, partly assembled ones too | session credit | `Close` with `CREDIT` |
//! | pongs owed | `pongs_max` | `Close` with [`FLOOD`](crate::codes::FLOOD) |
//! | nacks owed | `control_frames_max` | `Close` with `FLOOD` |
//! | replies owed | one for each request | a slot is not free before its reply was sent |
//! | revocations owed | one for each stream | `Close` with `FLOOD` |
//! | acks, credit, resets owed | one of each for each stream | they are merged into one frame |
