# SPDX-License-Identifier: BSD-3-Clause
"""One side of a session between a host and a program: bytes in, events out; commands in, bytes out.

No socket and no clock: `Session.received` takes what was read and calls the methods of `Events`;
`Session.take` returns what is to be written. The protocol is protocol 2 of Becket's channels between
processes (`crates/wire/src/protocol.rs`), of which a plugin needs this much:

    client: the host                         server: the program
     | -- Hello 2, limits ------------------> |
     | <----------------- Welcome 2, limits - |
     | -- Request ---------> <------- Reply - |     calls
     | -- Open -> <- Accept,  <== Data ====>  |     streams, with credit in both directions
     | -- Ping ------------> <-------- Pong - |
     | -- Close ----------------------------> |

    frame   length u32 | kind u8 | flags u8 | code u16 | stream u32 | aux u32 | sequence u64 | body

Invariants:

1. What the peer can make this side keep is bounded: requests and streams by their number, elements by
   credit, frames by their length. A peer that exceeds a bound causes a `ProtocolError`.
2. Elements are sent within the peer's credit, those of one stream in order; the rest waits in the queue of
   its stream, and `Events.writable` follows when a queue that was not empty after `send` has become empty.
3. Each request has one reply.
"""

from __future__ import annotations

import struct
from collections import deque
from typing import Deque, Dict, List, Optional

HEAD = struct.Struct("<IBBHIIQ")
HEAD_BYTES = HEAD.size
VERSION = 2

HELLO, WELCOME, PING, PONG, DRAIN, CLOSE = 1, 2, 3, 4, 5, 6
REQUEST, REPLY, CANCEL, NOTICE = 16, 17, 18, 19
OPEN, ACCEPT, DATA, CREDIT, ACK, NACK, WITHDRAW, RETURN, REVOKE, REVOKED, END, RESET = range(32, 44)

MORE = 1
"""Flag of a piece of an element that is followed by another."""

FRAME_BODY_BYTES_MIN = 256
TEXT_BYTES_MAX = 256
SESSION_GRANT_BYTES = 1 << 20
"""Session credit is returned in portions of this size."""


class ProtocolError(Exception):
    """The peer violated a rule of the session, which is over."""


class TooLong(ValueError):
    """An element has more bytes than the peer accepts."""


class Limits:
    """What one side accepts."""

    __slots__ = (
        "frame_body_bytes_max",
        "element_bytes_max",
        "session_credit_bytes",
        "streams_max",
        "requests_max",
        "regions_max",
    )

    def __init__(
        self,
        frame_body_bytes_max: int = 64 << 10,
        element_bytes_max: int = 16 << 20,
        session_credit_bytes: int = 64 << 20,
        streams_max: int = 4096,
        requests_max: int = 65_536,
        regions_max: int = 0,
    ) -> None:
        self.frame_body_bytes_max = frame_body_bytes_max
        self.element_bytes_max = element_bytes_max
        self.session_credit_bytes = session_credit_bytes
        self.streams_max = streams_max
        self.requests_max = requests_max
        self.regions_max = regions_max

    def encode(self) -> bytes:
        """The body of a hello or welcome."""
        parts = []
        for number, name in enumerate(self.__slots__, start=1):
            value = struct.pack("<Q" if number == 3 else "<I", getattr(self, name))
            parts.append(struct.pack("<HH", number, len(value)) + value)
        return b"".join(parts)

    @classmethod
    def decode(cls, body: bytes) -> Limits:
        """Limits from the body of a hello or welcome; raises `ProtocolError`."""
        values = dict.fromkeys(range(1, 7), 0)
        at = 0
        while at < len(body):
            if at + 4 > len(body):
                raise ProtocolError("an attribute is cut off")
            number, length = struct.unpack_from("<HH", body, at)
            value = body[at + 4 : at + 4 + length]
            if len(value) != length:
                raise ProtocolError("an attribute is cut off")
            at += 4 + length
            if number in values:
                if length != (8 if number == 3 else 4):
                    raise ProtocolError(f"attribute {number} has {length} bytes")
                values[number] = int.from_bytes(value, "little")
        limits = cls(*(values[number] for number in range(1, 7)))
        if limits.frame_body_bytes_max < FRAME_BODY_BYTES_MIN:
            raise ProtocolError(f"the peer accepts frames of {limits.frame_body_bytes_max} bytes only")
        return limits


class Events:
    """What happens in a session: a subclass overrides what it needs."""

    def ready(self) -> None:
        """The handshake is complete."""

    def request(self, number: int, operation: int, body: bytes) -> None:
        """The peer asks: `Session.reply` answers, once."""

    def cancelled(self, number: int) -> None:
        """The peer no longer needs the reply, which is still owed."""

    def replied(self, number: int, status: int, body: bytes) -> None:
        """The reply to a request of this side."""

    def noticed(self, code: int, body: bytes) -> None:
        """A message without an answer."""

    def opened(self, stream: int, service: int, name: bytes) -> None:
        """The peer opens a stream: `Session.accept` or `Session.reset` answers."""

    def accepted(self, stream: int) -> None:
        """The peer has accepted a stream of this side."""

    def credited(self, stream: int) -> None:
        """The peer has given a stream more credit."""

    def element(self, stream: int, body: bytes) -> None:
        """An element; `Session.grant` returns its credit."""

    def writable(self, stream: int) -> None:
        """Everything that was queued on the stream has been sent."""

    def ended(self, stream: int) -> None:
        """The peer sends no more elements on the stream."""

    def reset(self, stream: int, code: int, why: str) -> None:
        """The peer has ended the stream in both directions."""

    def closed(self, code: int, why: str) -> None:
        """The peer has closed the session."""


class _Stream:
    """The state of one stream."""

    __slots__ = (
        "credit_messages",
        "credit_bytes",
        "queue",
        "sequence",
        "window_messages",
        "window_bytes",
        "pieces",
        "ended_here",
        "ended_there",
        "end_due",
        "reset_here",
        "is_starved",
    )

    def __init__(self, messages: int, size: int) -> None:
        self.credit_messages, self.credit_bytes = messages, size
        self.queue: Deque[bytes] = deque()
        self.sequence = 0
        self.window_messages = self.window_bytes = 0
        self.pieces: List[bytes] = []
        self.ended_here = self.ended_there = self.end_due = self.reset_here = False
        self.is_starved = False


class Session:
    """One side of one session. Used by one thread at a time."""

    def __init__(self, events: Events, limits: Optional[Limits] = None, *, client: bool = False) -> None:
        self.limits = limits or Limits()
        self.peer: Optional[Limits] = None
        self.is_closed = False
        self._events = events
        self._is_client = client
        self._in = b""
        self._out: List[bytes] = []
        self._streams: Dict[int, _Stream] = {}
        self._asked: Dict[int, int] = {}
        self._requests = _Numbers(32)
        self._numbers = _Numbers(15)
        self._peer_streams = 0
        self._credit = 0
        self._owed = 0
        self._waiting: Deque[int] = deque()
        self._owed_max = max(
            min(self.limits.session_credit_bytes - self.limits.element_bytes_max, SESSION_GRANT_BYTES), 1
        )
        if client:
            self._put(HELLO, aux=VERSION, body=self.limits.encode())

    # Bytes.

    def take(self) -> bytes:
        """What is to be written now."""
        if self._waiting:
            self._send_elements()
        out = self._out
        if len(out) == 1:
            return out.pop()
        data = b"".join(out)
        out.clear()
        return data

    def received(self, data: bytes) -> None:
        """Handles bytes that were read, and calls the methods of `Events`."""
        if self._in:
            data = self._in + data
        at, end, length_max = 0, len(data), self.limits.frame_body_bytes_max
        unpack, asked, request = HEAD.unpack_from, self._asked, self._events.request
        while end - at >= HEAD_BYTES and not self.is_closed:
            length, kind, flags, code, stream, aux, sequence = unpack(data, at)
            if length > length_max:
                raise ProtocolError(f"a frame of {length} bytes")
            start = at + HEAD_BYTES
            if end - start < length:
                break
            at = start + length
            body = data[start:at]
            if kind == REQUEST and self.peer is not None:
                slot = sequence & 0xFFFF_FFFF
                if slot in asked or len(asked) >= self.limits.requests_max:
                    raise ProtocolError("more requests than allowed")
                asked[slot] = sequence
                request(sequence, code, body)
            else:
                self._frame(kind, flags, code, stream, aux, sequence, body)
        self._in = data[at:] if at < end else b""

    # Commands.

    def request(self, operation: int, body: bytes) -> int:
        """Asks the peer; returns the request's number. The body has at most `reply_bytes_max` bytes."""
        number = self._requests.take()
        self._put(REQUEST, code=operation, sequence=number, body=body)
        return number

    def cancel(self, number: int) -> None:
        """Says that the reply to a request is no longer needed."""
        self._put(CANCEL, sequence=number)

    def reply(self, number: int, status: int, body: bytes = b"") -> None:
        """Answers a request. The body has at most `reply_bytes_max` bytes."""
        if self._asked.pop(number & 0xFFFF_FFFF, None) is None:
            raise ValueError("a reply to no request")
        self._out.append(HEAD.pack(len(body), REPLY, 0, status, 0, 0, number) + body)

    @property
    def reply_bytes_max(self) -> int:
        """The most bytes of the body of a request, a reply or a notice."""
        return self._peer().frame_body_bytes_max

    @property
    def element_bytes_max(self) -> int:
        """The most bytes of an element."""
        return min(self._peer().element_bytes_max, self.limits.element_bytes_max)

    @property
    def can_open(self) -> bool:
        """Whether the peer allows another stream of this side."""
        return len(self._streams) - self._peer_streams < self._peer().streams_max

    def notice(self, code: int, body: bytes, subject: int = 0) -> None:
        """Sends a message without an answer."""
        self._put(NOTICE, code=code, sequence=subject, body=body)

    def open(self, service: int, name: bytes, messages: int, size: int) -> int:
        """Opens a stream, on which the peer may send so many elements of so many bytes; returns its number."""
        slot = self._numbers.take()
        stream = (slot >> 32) << 17 | (slot & 0xFFFF) << 1 | (0 if self._is_client else 1)
        state = _Stream(0, 0)
        state.window_messages, state.window_bytes = messages, size
        self._streams[stream] = state
        self._put(OPEN, code=service, flags=1, stream=stream, aux=messages, sequence=size, body=name)
        return stream

    def accept(self, stream: int, messages: int, size: int) -> None:
        """Accepts a stream, on which the peer may send so many elements of so many bytes."""
        state = self._streams[stream]
        state.window_messages, state.window_bytes = messages, size
        self._put(ACCEPT, stream=stream, aux=messages, sequence=size)

    def send(self, stream: int, element: bytes) -> bool:
        """Sends an element; false if it waits in the queue: `Events.writable` follows."""
        state = self._streams.get(stream)
        if state is None or state.end_due or state.reset_here:
            return True
        if len(element) > self.element_bytes_max:
            raise TooLong(f"an element of {len(element)} bytes, of at most {self.element_bytes_max}")
        if not state.queue and self._can_send(state, len(element)):
            self._send_element(stream, state, element)
            return True
        state.queue.append(element)
        state.is_starved = True
        self._enlist(stream)
        return False

    def grant(self, stream: int, messages: int, size: int) -> None:
        """Gives the peer more credit of a stream."""
        state = self._streams.get(stream)
        if state is None or state.ended_there or state.reset_here:
            return
        state.window_messages += messages
        state.window_bytes += size
        self._put(CREDIT, stream=stream, aux=messages, sequence=size)

    def end(self, stream: int) -> None:
        """Sends no more elements on the stream than those that are queued."""
        state = self._streams.get(stream)
        if state is None or state.end_due or state.reset_here:
            return
        state.end_due = True
        if state.queue:
            return self._enlist(stream)
        self._send_end(stream, state)

    def reset(self, stream: int, code: int, why: str = "") -> None:
        """Ends the stream at once, in both directions."""
        state = self._streams.get(stream)
        if state is None or state.reset_here:
            return
        state.reset_here = True
        state.queue.clear()
        text = why.encode("utf-8", "replace")[:TEXT_BYTES_MAX]
        self._put(RESET, code=code, stream=stream, body=text)

    def close(self, code: int, why: str) -> None:
        """Ends the session."""
        if not self.is_closed:
            text = why.encode("utf-8", "replace")[:TEXT_BYTES_MAX]
            self._put(CLOSE, code=code, body=text)
            self.is_closed = True

    # Sending.

    def _peer(self) -> Limits:
        if self.peer is None:
            raise ProtocolError("the handshake is not complete")
        return self.peer

    def _put(
        self,
        kind: int,
        *,
        flags: int = 0,
        code: int = 0,
        stream: int = 0,
        aux: int = 0,
        sequence: int = 0,
        body: bytes = b"",
    ) -> None:
        self._out.append(HEAD.pack(len(body), kind, flags, code, stream, aux, sequence) + body)

    def _enlist(self, stream: int) -> None:
        if stream not in self._waiting:
            self._waiting.append(stream)

    def _can_send(self, state: _Stream, size: int) -> bool:
        return state.credit_messages > 0 and state.credit_bytes >= size and self._credit >= size

    def _send_elements(self) -> None:
        """Sends what credit allows, one element of each stream in turn."""
        kept: Deque[int] = deque()
        while self._waiting:
            stream = self._waiting.popleft()
            state = self._streams.get(stream)
            if state is None or state.reset_here:
                continue
            if state.queue:
                if not self._can_send(state, len(state.queue[0])):
                    kept.append(stream)
                    continue
                self._send_element(stream, state, state.queue.popleft())
                if state.queue:
                    self._waiting.append(stream)
                    continue
            if state.is_starved:
                state.is_starved = False
                self._events.writable(stream)
            if state.end_due and not state.ended_here and not state.queue:
                self._send_end(stream, state)
        self._waiting = kept

    def _send_end(self, stream: int, state: _Stream) -> None:
        state.ended_here = True
        self._put(END, stream=stream)
        self._forget(stream, state)

    def _send_element(self, stream: int, state: _Stream, element: bytes) -> None:
        size = len(element)
        state.credit_messages -= 1
        state.credit_bytes -= size
        self._credit -= size
        state.sequence += 1
        piece_bytes_max = self._peer().frame_body_bytes_max
        if size <= piece_bytes_max:
            self._out.append(HEAD.pack(size, DATA, 0, 0, stream, 0, state.sequence) + element)
            return
        for at in range(0, size, piece_bytes_max):
            piece = element[at : at + piece_bytes_max]
            rest = size - at - len(piece)
            self._put(
                DATA,
                flags=MORE if rest else 0,
                stream=stream,
                aux=rest,
                sequence=state.sequence,
                body=piece,
            )

    def _forget(self, stream: int, state: _Stream) -> None:
        if state.ended_here and state.ended_there:
            self._free(stream)

    def _free(self, stream: int) -> None:
        del self._streams[stream]
        if self._is_own(stream):
            self._numbers.free(stream >> 1 & 0xFFFF)
        else:
            self._peer_streams -= 1

    def _is_own(self, stream: int) -> bool:
        return bool(stream & 1) != self._is_client

    # Receiving.

    def _frame(self, kind: int, flags: int, code: int, stream: int, aux: int, sequence: int, body: bytes) -> None:
        if kind == CLOSE:
            self.is_closed = True
            return self._events.closed(code, body.decode("utf-8", "replace"))
        if kind == (WELCOME if self._is_client else HELLO):
            return self._hello(aux, body)
        if self.peer is None:
            raise ProtocolError(f"a frame of kind {kind} before the handshake")
        if kind in (DATA, CREDIT, END, RESET, REVOKE, ACCEPT):
            if kind == CREDIT and stream == 0:
                self._credit += sequence
                return None
            return self._on_stream(kind, flags, code, stream, aux, sequence, body)
        if kind == REPLY:
            self._requests.free(sequence & 0xFFFF_FFFF)
            self._events.replied(sequence, code, body)
        elif kind == CANCEL:
            if sequence & 0xFFFF_FFFF in self._asked:
                self._events.cancelled(sequence)
        elif kind == NOTICE:
            self._events.noticed(code, body)
        elif kind == PING:
            self._put(PONG, sequence=sequence)
        elif kind == OPEN:
            if self._is_own(stream) or stream in self._streams:
                raise ProtocolError(f"stream {stream} cannot be opened")
            if self._peer_streams >= self.limits.streams_max:
                raise ProtocolError("more streams than allowed")
            self._peer_streams += 1
            self._streams[stream] = _Stream(aux, sequence)
            self._events.opened(stream, code, body)
        elif kind not in (PONG, DRAIN, ACK, NACK, WITHDRAW, REVOKED):
            raise ProtocolError(f"a frame of kind {kind}")
        return None

    def _hello(self, version: int, body: bytes) -> None:
        if self.peer is not None or version != VERSION:
            raise ProtocolError(f"the peer offers protocol {version}, this side has {VERSION}")
        self.peer = Limits.decode(body)
        self._credit = self.peer.session_credit_bytes
        if not self._is_client:
            self._put(WELCOME, aux=VERSION, body=self.limits.encode())
        self._events.ready()

    def _on_stream(self, kind: int, flags: int, code: int, stream: int, aux: int, sequence: int, body: bytes) -> None:
        state = self._streams.get(stream)
        if state is None:
            # It crossed with the end of the stream.
            if kind == DATA:
                self._owe(len(body))
        elif kind == DATA:
            self._data(state, flags, stream, aux, body)
        elif kind in (CREDIT, ACCEPT):
            state.credit_messages += aux
            state.credit_bytes += sequence
            if state.queue:
                self._enlist(stream)
            if kind == ACCEPT:
                self._events.accepted(stream)
            else:
                self._events.credited(stream)
            if self._waiting:
                self._send_elements()
        elif kind == REVOKE:
            messages, size = min(aux, state.credit_messages), min(sequence, state.credit_bytes)
            state.credit_messages -= messages
            state.credit_bytes -= size
            self._put(REVOKED, stream=stream, aux=messages, sequence=size)
        elif kind == END:
            state.ended_there = True
            self._forget(stream, state)
            if not state.reset_here:
                self._events.ended(stream)
        else:
            # A reset, or the answer to one.
            self._free(stream)
            if not state.reset_here:
                self._put(RESET, stream=stream)
                self._events.reset(stream, code, body.decode("utf-8", "replace"))

    def _data(self, state: _Stream, flags: int, stream: int, aux: int, body: bytes) -> None:
        if not state.pieces:
            size = len(body) + aux
            if size > self.limits.element_bytes_max:
                raise ProtocolError(f"an element of {size} bytes")
            state.window_messages -= 1
            state.window_bytes -= size
            if state.window_messages < 0 or state.window_bytes < 0:
                raise ProtocolError("an element without credit")
        if flags & MORE:
            return state.pieces.append(body)
        if state.pieces:
            state.pieces.append(body)
            body = b"".join(state.pieces)
            state.pieces.clear()
        self._owe(len(body))
        if not state.reset_here:
            self._events.element(stream, body)

    def _owe(self, size: int) -> None:
        """Returns the session's credit, in portions."""
        self._owed += size
        if self._owed >= self._owed_max:
            self._put(CREDIT, sequence=self._owed)
            self._owed = 0


class _Numbers:
    """Numbers of a slot (low 32 bits) and a generation (high bits, never 0); slots are reused, without gaps."""

    __slots__ = ("_free", "_generations", "_generation_max")

    def __init__(self, generation_bits: int) -> None:
        self._free: List[int] = []
        self._generations: List[int] = []
        self._generation_max = (1 << generation_bits) - 1

    def take(self) -> int:
        """A number that is not in use."""
        if not self._free:
            self._free.append(len(self._generations))
            self._generations.append(0)
        slot = self._free.pop()
        generation = self._generations[slot] % self._generation_max + 1
        self._generations[slot] = generation
        return generation << 32 | slot

    def free(self, slot: int) -> None:
        """Makes a slot available."""
        if slot >= len(self._generations) or slot in self._free:
            raise ProtocolError("an answer to nothing")
        self._free.append(slot)
