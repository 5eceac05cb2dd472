# SPDX-License-Identifier: BSD-3-Clause
"""Channels in `asyncio`: waits that do not hold the event loop up.

```text
  event loop                            thread of the receives        (another for the sends)
  await port.recv()  --- one job --->   channel.recv(cancel=token)
  the future is set  <-- its outcome --
```

Of each direction one operation is in progress at a time, on a thread of its own, for the first of the futures that
wait. A future that is cancelled leaves the queue; the operation is cancelled, by its token, when no future is left.

Invariant: an element that a receive took goes to a future, or to `requeued`, from where the next `recv` takes it. So a
`recv` may be cancelled at any moment (`asyncio.timeout`, `wait_for`), and loses nothing.
"""

from __future__ import annotations

import asyncio
import errno
import queue
import threading
from collections import deque
from typing import Any, Callable, Deque, Generic, List, Optional, Tuple, TypeVar

from kcoro.cancel import CancelToken
from kcoro.channel import Channel
from kcoro.errors import Cancelled, Closed, error_of

T = TypeVar("T")

Job = Callable[[CancelToken], Any]
Done = Callable[[Any, Optional[BaseException]], None]


class _Line:
    """A thread that runs one job at a time, each with a token, and reports its end to the event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, name: str) -> None:
        self._loop, self._name = loop, name
        self._jobs: queue.SimpleQueue[Optional[Tuple[Job, CancelToken, Done]]] = queue.SimpleQueue()
        self._thread: Optional[threading.Thread] = None
        self._token: Optional[CancelToken] = None

    @property
    def is_busy(self) -> bool:
        return self._token is not None

    def start(self, job: Job, done: Done) -> None:
        """While it is not busy."""
        self._token = CancelToken()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()
        self._jobs.put((job, self._token, done))

    def cancel(self) -> None:
        if self._token is not None:
            self._token.trigger()

    async def close(self) -> None:
        """After `cancel`: waits until the thread has ended. What it reported last was called before."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._jobs.put(None)
            await self._loop.run_in_executor(None, thread.join)

    def _ended(self, done: Done, value: Any, error: Optional[BaseException]) -> None:
        self._token = None
        done(value, error)

    def _run(self) -> None:
        while True:
            item = self._jobs.get()
            if item is None:
                return
            job, token, done = item
            value, error = None, None
            try:
                value = job(token)
            except BaseException as failure:
                error = failure
            try:
                self._loop.call_soon_threadsafe(self._ended, done, value, error)
            except RuntimeError:
                return  # The loop is closed: no future waits any more.


class AsyncChannel(Generic[T]):
    """A channel for one event loop: made in it, used in it. The end of `async with` closes this, not the channel."""

    def __init__(self, channel: Channel[T]) -> None:
        loop = asyncio.get_running_loop()
        self._channel, self._loop = channel, loop
        self._recvs, self._sends = _Line(loop, "kcoro-recv"), _Line(loop, "kcoro-send")
        self._receivers: Deque[asyncio.Future[T]] = deque()
        self._senders: Deque[Tuple[T, asyncio.Future[None]]] = deque()
        self._is_closed = False
        self.requeued: Deque[T] = deque()
        """Elements whose receive was cancelled when they had been taken: the next `recv` takes them. After `aclose`
        they are the caller's."""

    async def recv(self) -> T:
        """Receives an element. Raises `Closed` when the channel is closed and drained."""
        self._check()
        if self.requeued:
            return self.requeued.popleft()
        future: asyncio.Future[T] = self._loop.create_future()
        self._receivers.append(future)
        self._receive()
        try:
            return await future
        except asyncio.CancelledError:
            if future in self._receivers:
                self._receivers.remove(future)
            elif future.done() and not future.cancelled() and future.exception() is None:
                self._deliver(future.result(), requeue=self.requeued.appendleft)
            if not self._receivers:
                self._recvs.cancel()
            raise

    async def send(self, element: T) -> None:
        """Sends an element; elements are sent in the order of the calls. Raises `Closed`.

        One that is cancelled while it waits for the channel may have been sent all the same.
        """
        self._check()
        self._channel.codec.pack(element)  # Raises here what is wrong with it.
        future: asyncio.Future[None] = self._loop.create_future()
        self._senders.append((element, future))
        self._transmit()
        try:
            await future
        except asyncio.CancelledError:
            if (element, future) in self._senders:
                self._senders.remove((element, future))
            elif self._sending is future:
                self._sends.cancel()
            raise

    async def aclose(self) -> None:
        """Ends the waits, with `Cancelled`, and the threads. The channel stays open. Again: no effect."""
        self._is_closed = True
        for line in (self._recvs, self._sends):
            line.cancel()
            await line.close()
        futures: List[asyncio.Future[Any]] = [*self._receivers, *(future for _, future in self._senders)]
        for future in futures:
            if not future.done():
                future.set_exception(error_of(-errno.ECANCELED))
        self._receivers.clear()
        self._senders.clear()

    _sending: Optional[asyncio.Future[None]] = None

    def _check(self) -> None:
        if self._is_closed:
            raise ValueError("the AsyncChannel is closed")

    def _receive(self) -> None:
        if self._receivers and not self._recvs.is_busy and not self._is_closed:
            self._recvs.start(lambda token: self._channel.recv(cancel=token), self._received)

    def _received(self, element: T, error: Optional[BaseException]) -> None:
        if error is None:
            self._deliver(element, requeue=self.requeued.append)
        elif self._receivers and not isinstance(error, Cancelled):
            self._receivers.popleft().set_exception(error)
        self._receive()

    def _deliver(self, element: T, requeue: Callable[[T], None]) -> None:
        """To the first future that waits."""
        while self._receivers:
            future = self._receivers.popleft()
            if not future.done():
                future.set_result(element)
                return
        requeue(element)

    def _transmit(self) -> None:
        if self._senders and not self._sends.is_busy and not self._is_closed:
            element, self._sending = self._senders.popleft()
            self._sends.start(lambda token: self._channel.send(element, cancel=token), self._transmitted)

    def _transmitted(self, _: None, error: Optional[BaseException]) -> None:
        future, self._sending = self._sending, None
        if future is not None and not future.done():
            if error is None:
                future.set_result(None)
            else:
                future.set_exception(error)
        self._transmit()

    async def __aenter__(self) -> AsyncChannel[T]:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __aiter__(self) -> AsyncChannel[T]:
        return self

    async def __anext__(self) -> T:
        try:
            return await self.recv()
        except Closed:
            raise StopAsyncIteration from None
