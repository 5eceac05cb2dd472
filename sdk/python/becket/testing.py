# SPDX-License-Identifier: BSD-3-Clause
"""A host for unit tests: it runs a plugin on a thread of the test, over a real session, without a gateway.

from becket.testing import Host
from plugin import plugin

def test_hello():
    with Host(plugin, config={"greeting": "Hi"}) as host:
        assert host.call("hello", b"you").text() == "Hi, you"
"""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import struct
import threading
import time
from collections import deque
from types import TracebackType
from typing import Any, Callable, Deque, Dict, List, Optional, Sequence, Tuple, Type

from becket import protocol, wire
from becket.call import Body, Status, to_bytes
from becket.plugin import Plugin
from becket.protocol import RESET_REFUSED, STATUS, Headers, Metadata
from becket.server import Server

TIMEOUT = 10.0
"""Seconds that anything may take."""
MESSAGES = 64
REFUSALS = {
    protocol.FAILED: Status.ERR,
    protocol.UNKNOWN_ENTRY: Status.UNSUPPORTED,
    protocol.PANICKED: Status.PANIC,
    protocol.DEADLINE: Status.TIMEOUT,
    protocol.TOO_MUCH: Status.BACKPRESSURE,
}


class CallRefused(Exception):
    """A call, a stream or a load had no answer."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class Answer:
    """The answer of a call, or a frame of a stream."""

    def __init__(self, status: int, body: bytes) -> None:
        self.status, self.body = status, body

    def text(self) -> str:
        """The body as text."""
        return self.body.decode()

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    def __repr__(self) -> str:
        return f"Answer({self.status}, {self.body!r})"


class Log:
    """A line that the plugin logged."""

    def __init__(self, level: int, logger: str, message: str) -> None:
        self.level, self.logger, self.message = level, logger, message

    def __repr__(self) -> str:
        return f"Log({logging.getLevelName(self.level)}, {self.logger!r}, {self.message!r})"


class Pending:
    """A call that was begun."""

    def __init__(self, host: Host, number: int, *, is_stream: bool) -> None:
        self._host, self._number, self._is_stream = host, number, is_stream
        self._ending: Optional[Tuple[int, bytes]] = None

    def cancel(self) -> None:
        """Leaves the call."""
        session = self._host._session
        with self._host._act():
            if self._is_stream:
                session.reset(self._number, 0)
            else:
                session.cancel(self._number)

    def result(self, timeout: float = TIMEOUT) -> Answer:
        """Waits for the answer; raises `CallRefused`."""
        self._host._wait(lambda: self._ending is not None, timeout, "an answer")
        status, body = self._ending or (protocol.FAILED, b"")
        return self._host._answer(status, body)


class Stream:
    """A stream of the plugin, from its caller's side."""

    def __init__(self, host: Host, number: int, first: Optional[bytes]) -> None:
        self._host, self._number = host, number
        self._first = first
        self._frames: Deque[Answer] = deque()
        self._refusal: Optional[int] = None
        self._is_over = False
        self._is_full = False

    def send(self, data: Body) -> None:
        """Sends data; waits while the plugin does not receive."""
        self._host._wait(lambda: not self._is_full or self._is_over, TIMEOUT, "room in the stream")
        with self._host._act():
            self._is_full = not self._host._session.send(self._number, to_bytes(data))

    def close(self) -> None:
        """Sends no more."""
        with self._host._act():
            self._host._session.end(self._number)

    def leave(self) -> None:
        """Ends the stream, as a caller that has left."""
        with self._host._act():
            self._host._session.reset(self._number, 0)
            self._is_over = True

    def receive(self, timeout: float = TIMEOUT) -> Optional[Answer]:
        """The next frame; None after the last. The last one has another status than `OK`, and is skipped if
        it is an empty `STREAM_END`. Raises `CallRefused`."""
        self._host._wait(lambda: bool(self._frames) or self._is_over, timeout, "a frame")
        if self._frames:
            frame = self._frames.popleft()
            with self._host._act():
                self._host._session.grant(self._number, 1, 4 + len(frame.body))
            is_end = frame.status == Status.STREAM_END and not frame.body
            return None if is_end else frame
        if self._refusal is not None:
            raise self._host._refused(self._refusal)
        return None

    def __iter__(self) -> Stream:
        return self

    def __next__(self) -> Answer:
        frame = self.receive()
        if frame is None:
            raise StopIteration
        return frame


class Host(wire.Events):
    """Loads a plugin when it is entered, and ends it when it is left."""

    def __init__(self, plugin: Plugin, config: Optional[Dict[str, Any]] = None) -> None:
        self.plugin = plugin
        self.logs: List[Log] = []
        """What the plugin has logged."""
        self.entries: List[str] = []
        """The names of its entries."""
        self.is_complete = True
        self._config = config or {}
        self._changed = threading.Condition(threading.RLock())
        self._pending: Dict[int, Pending] = {}
        self._streams: Dict[int, Stream] = {}
        self._metrics: Dict[str, float] = {}
        self._is_over = False

    def __enter__(self) -> Host:
        here, there = socket.socketpair()
        self._socket = here
        self._session = wire.Session(self, client=True)
        self._threads = [
            threading.Thread(target=self._serve, args=(there,), daemon=True),
            threading.Thread(target=self._read, daemon=True),
        ]
        for thread in self._threads:
            thread.start()
        with self._act():
            pass
        self._wait(lambda: self._session.peer is not None, TIMEOUT, "the handshake")
        load = {"protocol": protocol.VERSION, "name": self.plugin.name, "config": self._config}
        try:
            whole, length = json.dumps(load).encode(), self._session.reply_bytes_max
            while len(whole) > length:
                status, _ = self._ask(protocol.LOAD_PART, whole[:length])
                if status != protocol.DONE:
                    raise CallRefused(Status.ERR, "the configuration is too long")
                whole = whole[length:]
            status, body = self._ask(protocol.LOAD, whole)
            loaded = json.loads(body)
            if status != protocol.DONE:
                texts = [f"{key}: {loaded[key]}" for key in ("error", "cause", "hint") if loaded.get(key)]
                raise CallRefused(Status.ERR, "\n".join(texts))
        except BaseException:
            self._end()
            raise
        self.entries = [entry["name"] for entry in loaded["entries"]]
        self.is_complete = loaded["is_complete"]
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        if not self._is_over:
            self._ask(protocol.SHUTDOWN, b"")
        self._end()

    def call(
        self,
        entry: str,
        body: Body = b"",
        *,
        method: str = "",
        path: str = "",
        query: str = "",
        headers: Sequence[Tuple[str, str]] = (),
        deadline_ms: int = 0,
    ) -> Answer:
        """Calls an entry, as a request if there is a method or path; raises `CallRefused`."""
        return self.begin(
            entry, body, method=method, path=path, query=query, headers=headers, deadline_ms=deadline_ms
        ).result()

    def begin(
        self,
        entry: str,
        body: Body = b"",
        *,
        method: str = "",
        path: str = "",
        query: str = "",
        headers: Sequence[Tuple[str, str]] = (),
        deadline_ms: int = 0,
    ) -> Pending:
        """Begins a call."""
        payload = to_bytes(body)
        metadata = _metadata(method, path, query, list(headers))
        with self._act():
            whole = self._encode(entry, metadata, payload, deadline_ms)
            if len(whole) <= self._session.reply_bytes_max:
                number = self._session.request(protocol.CALL, whole)
                return self._pending.setdefault(number, Pending(self, number, is_stream=False))
            number = self._open(protocol.LONG_CALL, whole, len(payload), 1)
            # The payload waits for credit, which comes when the plugin accepts.
            self._session.send(number, payload)
            self._session.end(number)
            return self._pending.setdefault(number, Pending(self, number, is_stream=True))

    def stream(
        self,
        entry: str,
        body: Body = b"",
        *,
        method: str = "",
        path: str = "",
        query: str = "",
        headers: Sequence[Tuple[str, str]] = (),
        deadline_ms: int = 0,
        frames: int = MESSAGES,
    ) -> Stream:
        """Opens a stream, of which the plugin may send so many frames that were not received."""
        payload = to_bytes(body)
        metadata = _metadata(method, path, query, list(headers))
        with self._act():
            whole = self._encode(entry, metadata, payload, deadline_ms)
            if len(whole) <= self._session.reply_bytes_max:
                number = self._session.open(protocol.STREAM, whole, frames, 1 << 24)
                stream = Stream(self, number, None)
            else:
                number = self._open(protocol.STREAM, whole, len(payload), frames)
                stream = Stream(self, number, payload)
                self._session.send(number, payload)
            return self._streams.setdefault(number, stream)

    def notify(self, entry: str, body: Body = b"") -> None:
        """Calls an entry without waiting for an answer."""
        payload = to_bytes(body)
        with self._act():
            whole = self._encode(entry, None, payload, 0)
            if len(whole) <= self._session.reply_bytes_max:
                return self._session.notice(protocol.NOTIFICATION, whole)
            number = self._open(protocol.LONG_NOTIFICATION, whole, len(payload), 0)
            self._session.send(number, payload)
            self._session.end(number)

    def export_state(self) -> Optional[bytes]:
        """The state that the plugin hands over at a reload; None: it has none."""
        status, body = self._ask(protocol.EXPORT, b"")
        answer = self._answer(status, body)
        if answer.status == Status.UNSUPPORTED:
            return None
        if answer.status != Status.OK:
            raise self._refused(answer.status)
        return answer.body

    def import_state(self, state: Body) -> None:
        """Has the plugin take a state; raises `CallRefused`."""
        payload = to_bytes(state)
        with self._act():
            if len(payload) <= self._session.reply_bytes_max:
                number = self._session.request(protocol.IMPORT, payload)
            else:
                number = self._session.open(protocol.LONG_IMPORT, b"", 1, 4)
                self._session.send(number, payload)
                self._session.end(number)
            is_stream = number < 1 << 32
            pending = self._pending.setdefault(number, Pending(self, number, is_stream=is_stream))
        answer = pending.result()
        if answer.status != Status.OK:
            raise self._refused(answer.status)

    def metric(self, name: str) -> float:
        """What a counter or gauge has come to, or the sum of a histogram; 0 before it changed."""
        return self._metrics.get(name, 0)

    def wait_for(self, condition: Callable[[], bool], timeout: float = TIMEOUT) -> None:
        """Waits until the condition holds, which is looked at after each message of the plugin."""
        self._wait(condition, timeout, "the condition")

    # Events.

    def replied(self, number: int, status: int, body: bytes) -> None:
        if status != protocol.IN_STREAM:
            self._answered(number, status, body)

    def opened(self, stream: int, service: int, name: bytes) -> None:
        number = int.from_bytes(name, "little")
        if service != protocol.LONG_ANSWER or number not in self._pending:
            return self._session.reset(stream, RESET_REFUSED)
        self._pending[stream] = self._pending.pop(number)
        self._session.accept(stream, 1, 1 << 24)

    def element(self, stream: int, body: bytes) -> None:
        if stream in self._pending:
            self._answered(stream, protocol.DONE, body)
            return self._session.end(stream)
        frames = self._streams.get(stream)
        if frames is not None:
            status = STATUS.unpack_from(body)[0]
            frames._frames.append(Answer(status, body[4:]))
            if status != Status.OK:
                frames._is_over = True
                self._session.end(stream)

    def ended(self, stream: int) -> None:
        frames = self._streams.pop(stream, None)
        if frames is not None:
            frames._is_over = True
        self._session.end(stream)

    def writable(self, stream: int) -> None:
        if stream in self._streams:
            self._streams[stream]._is_full = False

    def reset(self, stream: int, code: int, why: str) -> None:
        status = max(code - RESET_REFUSED, Status.ERR)
        if stream in self._pending:
            return self._answered(stream, status, why.encode("latin-1", "replace"))
        frames = self._streams.pop(stream, None)
        if frames is not None:
            frames._refusal, frames._is_over = status, True

    def noticed(self, code: int, body: bytes) -> None:
        if code == protocol.LOG:
            level, length = 60 - 10 * min(body[0] + 1, 6), int.from_bytes(body[1:3], "little")
            logger, text = body[3 : 3 + length], body[3 + length :]
            self.logs.append(Log(level, logger.decode("utf-8", "replace"), text.decode("utf-8", "replace")))

        elif code == protocol.METRICS:
            self._take_metrics(body)

    def closed(self, code: int, why: str) -> None:
        self._is_over = True

    # Inside.

    def _serve(self, there: socket.socket) -> None:
        with there:
            asyncio.run(Server(self.plugin, there).serve())

    def _read(self) -> None:
        while True:
            try:
                data = self._socket.recv(1 << 16)
            except OSError:
                data = b""
            with self._act():
                if not data:
                    self._is_over = True
                    return
                self._session.received(data)

    def _act(self) -> _Act:
        return _Act(self)

    def _encode(self, entry: str, metadata: Optional[Metadata], payload: bytes, deadline_ms: int) -> bytes:
        if entry in self.entries or self.is_complete:
            place = self.entries.index(entry) if entry in self.entries else 0xFFFF_FFFF
            return protocol.encode_call(place, deadline_ms, None, metadata, payload)
        return protocol.encode_call(0, deadline_ms, entry, metadata, payload)

    def _open(self, service: int, whole: bytes, payload_bytes: int, messages: int) -> int:
        """A stream whose payload follows."""
        name = bytearray(whole[: len(whole) - payload_bytes])
        name[protocol.SHAPE_AT] |= protocol.PAYLOAD_FOLLOWS
        return self._session.open(service, bytes(name), messages, 1 << 24)

    def _take_metrics(self, body: bytes) -> None:
        at = 0
        while at < len(body):
            kind, length = struct.unpack_from("<BH", body, at)
            name = body[at + 3 : at + 3 + length].decode()
            at += 3 + length
            at += 2 + int.from_bytes(body[at : at + 2], "little")
            value: float = struct.unpack_from("<Q" if kind == protocol.COUNTER else "<d", body, at)[0]
            at += 8
            if kind == protocol.HISTOGRAM:
                at += 2 + 16 * int.from_bytes(body[at : at + 2], "little")
            before = 0 if kind == protocol.GAUGE else self._metrics.get(name, 0)
            self._metrics[name] = before + value

    def _ask(self, operation: int, body: bytes) -> Tuple[int, bytes]:
        with self._act():
            number = self._session.request(operation, body)
            pending = self._pending.setdefault(number, Pending(self, number, is_stream=False))
        self._wait(lambda: pending._ending is not None, TIMEOUT, "an answer")
        return pending._ending or (protocol.FAILED, b"{}")

    def _answered(self, number: int, status: int, body: bytes) -> None:
        pending = self._pending.pop(number, None)
        if pending is not None:
            pending._ending = (status, body)

    def _answer(self, status: int, body: bytes) -> Answer:
        if status == protocol.DONE:
            return Answer(STATUS.unpack_from(body)[0], body[4:])
        if status == protocol.REFUSED:
            raise self._refused(STATUS.unpack_from(body)[0])
        raise self._refused(REFUSALS.get(status, Status.ERR))

    def _refused(self, status: int) -> CallRefused:
        name = Status(status).name if status in list(Status) else f"status {status}"
        text = f"the plugin refused with {name}"
        if status == Status.PANIC:
            raised = [log.message for log in self.logs if log.level >= logging.ERROR]
            text = f"the handler raised\n{raised[-1] if raised else ''}"
        return CallRefused(status, text)

    def _wait(self, condition: Callable[[], bool], timeout: float, what: str) -> None:
        until = time.monotonic() + timeout
        with self._changed:
            while not condition():
                if self._is_over:
                    raise CallRefused(Status.CLOSED, f"the plugin has ended; there is no {what}")
                if not self._changed.wait(until - time.monotonic()) and time.monotonic() >= until:
                    raise TimeoutError(f"{what} did not come in {timeout:g} s")

    def _end(self) -> None:
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            # The plugin's side is closed.
            pass
        for thread in self._threads:
            thread.join(TIMEOUT)
        self._socket.close()


class _Act:
    """Holds the host's lock; when it is released, what the session queued is written."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def __enter__(self) -> None:
        self._host._changed.acquire()

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        host = self._host
        try:
            data = host._session.take()
            if data and not host._is_over:
                host._socket.sendall(data)
        except OSError:
            host._is_over = True
        finally:
            host._changed.notify_all()
            host._changed.release()


def _metadata(method: str, path: str, query: str, headers: Headers) -> Optional[Metadata]:
    if not (method or path or query or headers):
        return None
    return Metadata("", method, path, query, headers)
