# SPDX-License-Identifier: BSD-3-Clause
"""What a handler of many frames sends and receives with.

| | sends | receives |
|---|---|---|
| `@plugin.stream` | `Sink` | |
| `@plugin.session` | `Session` | data of the caller, until it closes |

Plain functions get a `BlockingSink` or `BlockingSession`, whose methods block their thread.

Backpressure: `send` returns when the caller's bounds allow the next frame. Data is acknowledged when
`receive` returns it, so a handler that does not receive holds its caller back.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any, Coroutine, Deque, Generic, Optional, TypeVar

from becket import wire
from becket.call import Body, Call, CallerLeft, Failure, Status, to_bytes
from becket.protocol import RESET_REFUSED, STATUS

if TYPE_CHECKING:
    from becket.server import Server

MESSAGES = 64
"""Data of one stream that its handler has not received. Its bytes: as many as an element may have."""

T = TypeVar("T")


class Sink:
    """Frames to the caller."""

    def __init__(self, server: Server, number: int, call: Call, *, has_credit: bool) -> None:
        self.call = call
        """The call that opened the stream."""
        self._server, self._number = server, number
        self._has_credit = has_credit
        self._is_open = self._is_over = self._has_left = False
        self._room = asyncio.Event()
        self._room.set()

    async def send(self, frame: Body) -> None:
        """Sends a frame; returns when the caller's bounds allow the next one. A frame that is longer than
        the host takes is a `Failure` with `TOO_LONG`."""
        self._check()
        if not self._offer(Status.OK, to_bytes(frame)):
            self._room.clear()
            await self._room.wait()
            self._check()

    # Called by the server.

    def _check(self) -> None:
        if self._has_left:
            raise CallerLeft("the caller has left")

    def _open(self) -> None:
        """Accepts the stream, once: the host takes it that the handler did not refuse it."""
        if self._is_open or self._is_over:
            return
        self._is_open = True
        session = self._server.session
        if self._has_credit:
            session.grant(self._number, MESSAGES, session.limits.element_bytes_max)
        else:
            session.accept(self._number, MESSAGES, session.limits.element_bytes_max)
        self._server.flush_soon()

    def _offer(self, status: int, body: bytes) -> bool:
        if self._is_over:
            return True
        self._open()
        try:
            sent = self._server.session.send(self._number, STATUS.pack(status) + body)
        except wire.TooLong as error:
            raise Failure(Status.TOO_LONG) from error
        self._server.flush_soon()
        return sent

    def _finish(self, status: int, body: bytes) -> None:
        """The last frame."""
        if self._is_over:
            return
        try:
            self._offer(status, body)
        except Failure as failure:
            self._offer(failure.status, b"")
        self._is_over = True
        self._server.session.end(self._number)

    def _refuse(self, status: int) -> None:
        """Ends the stream: refused, or with a last frame if it is open."""
        if self._is_open:
            return self._finish(status, b"")
        if not self._is_over:
            self._is_over = True
            self._server.session.reset(self._number, RESET_REFUSED + min(status, 0xFFFF - RESET_REFUSED))
            self._server.flush_soon()

    def _writable(self) -> None:
        self._room.set()

    def _data(self, body: bytes) -> None:
        """Data that no handler receives."""
        self._server.grant(self._number, len(body))

    def _ended(self) -> None:
        """The caller has closed."""

    def _left(self) -> None:
        """The caller has left."""
        self._has_left = self._is_over = True
        self.call._is_cancelled = True
        self._room.set()


class Session(Sink):
    """Frames to the caller, and data from it. `async for data in session` ends when the caller has closed."""

    def __init__(self, server: Server, number: int, call: Call, *, has_credit: bool) -> None:
        super().__init__(server, number, call, has_credit=has_credit)
        self._queue: Deque[bytes] = deque()
        self._is_closed = False
        self._more = asyncio.Event()

    async def receive(self) -> Optional[bytes]:
        """The next data of the caller; None: it has closed."""
        while not self._queue:
            self._check()
            if self._is_closed:
                return None
            self._more.clear()
            await self._more.wait()
        data = self._queue.popleft()
        self._server.grant(self._number, len(data))
        return data

    def __aiter__(self) -> Session:
        return self

    async def __anext__(self) -> bytes:
        data = await self.receive()
        if data is None:
            raise StopAsyncIteration
        return data

    def _data(self, body: bytes) -> None:
        self._queue.append(body)
        self._more.set()

    def _ended(self) -> None:
        self._is_closed = True
        self._more.set()

    def _left(self) -> None:
        super()._left()
        self._more.set()


S = TypeVar("S", bound=Sink)


class _Blocking(Generic[S]):
    def __init__(self, inner: S, loop: asyncio.AbstractEventLoop) -> None:
        self._inner, self._loop = inner, loop

    @property
    def call(self) -> Call:
        """The call that opened the stream."""
        return self._inner.call

    def send(self, frame: Body) -> None:
        """Sends a frame; returns when the caller's bounds allow the next one. Raises `CallerLeft`."""
        self._wait(self._inner.send(frame))

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()


class BlockingSink(_Blocking[Sink]):
    """A `Sink` for a plain function."""


class BlockingSession(_Blocking[Session]):
    """A `Session` for a plain function. `for data in session` ends when the caller has closed."""

    def receive(self) -> Optional[bytes]:
        """The next data of the caller; None: it has closed. Raises `CallerLeft`."""
        return self._wait(self._inner.receive())

    def __iter__(self) -> BlockingSession:
        return self

    def __next__(self) -> bytes:
        data = self.receive()
        if data is None:
            raise StopIteration
        return data
