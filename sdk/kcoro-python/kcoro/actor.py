# SPDX-License-Identifier: BSD-3-Clause
"""Actors: a function that handles the messages of a channel, one at a time."""

from __future__ import annotations

import threading
from typing import Callable, Generic, Optional, TypeVar

from kcoro.cancel import CancelToken
from kcoro.channel import Channel
from kcoro.errors import Cancelled, Closed

T = TypeVar("T")


class Actor(Generic[T]):
    """Runs on a thread of its own: the interpreter is not for the stacks of the library's coroutines, on which the
    actors of `kcoro.h` run.

    It ends when its channel is closed and drained, when it is stopped, or with the first exception of its function,
    which `stop` and `join` raise. The end of `with` stops it.
    """

    def __init__(self, channel: Channel[T], handle: Callable[[T], object]) -> None:
        self._channel, self._handle = channel, handle
        self._stopped = CancelToken()
        self._failure: Optional[BaseException] = None
        self._thread = threading.Thread(target=self._run, name="kcoro-actor", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stops it and waits until it has ended. Messages that are left stay in the channel. An actor that stops
        itself does not wait."""
        self._stopped.trigger()
        if threading.current_thread() is not self._thread:
            self.join()

    def join(self, timeout: Optional[float] = None) -> bool:
        """Waits until it has ended. False: the timeout has elapsed."""
        self._thread.join(timeout)
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            while True:
                self._handle(self._channel.recv(cancel=self._stopped))
        except (Closed, Cancelled):
            pass
        except BaseException as failure:
            self._failure = failure

    def __enter__(self) -> Actor[T]:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
