# SPDX-License-Identifier: BSD-3-Clause
"""Channels of this process."""

from __future__ import annotations

import enum
import weakref
from typing import Any, Generic, Iterator, Optional, Tuple, TypeVar, overload

from kcoro._library import Handle, ffi, lib, milliseconds
from kcoro.cancel import CancelToken, handle_of
from kcoro.elements import Codec, Layout
from kcoro.errors import Closed, WouldBlock, check
from kcoro.stats import Snapshot, Stats, record

T = TypeVar("T")


class Kind(enum.IntEnum):
    """What a send does while no receiver waits."""

    RENDEZVOUS = 0
    """It waits until its element is received."""
    BUFFERED = 1
    """It waits while `capacity` elements are held."""
    CONFLATED = -1
    """It replaces the latest."""
    UNLIMITED = -2
    """It never waits."""


class Channel(Generic[T]):
    """A channel, used from any number of threads. `with` closes and destroys it at the end.

    A wait releases the interpreter's lock. It is in C: a signal's handler, that of Ctrl-C too, runs after it.
    """

    @overload
    def __init__(self: Channel[bytes], layout: int, kind: Kind = ..., capacity: int = ...) -> None: ...
    @overload
    def __init__(self: Channel[Tuple[Any, ...]], layout: str, kind: Kind = ..., capacity: int = ...) -> None: ...
    def __init__(self, layout: Layout, kind: Kind = Kind.BUFFERED, capacity: int = 1) -> None:
        """`layout`: the number of bytes of an element, or a format of `struct`: then elements are tuples."""
        self.codec: Codec[T] = Codec(layout)
        out = ffi.new("kc_chan_t **")
        check(lib.kc_chan_make(out, kind, self.codec.size, capacity))
        self._handle = Handle(out[0], lib.kc_chan_destroy, lib.kc_chan_close)
        weakref.finalize(self, self._handle.give_up).atexit = False

    def send(self, element: T, timeout: Optional[float] = None, cancel: Optional[CancelToken] = None) -> None:
        """Sends an element. `timeout` in seconds; None waits without end, 0 tries.

        Raises `Closed`, `TimedOut`, `WouldBlock` or `Cancelled`; the element was not sent then.
        """
        place = self.codec.pack(element)
        with self._handle as chan, handle_of(cancel) as token:
            code = lib.kc_chan_send_c(chan, place, milliseconds(timeout), token)
        check(code)

    def recv(self, timeout: Optional[float] = None, cancel: Optional[CancelToken] = None) -> T:
        """Receives an element. Raises as `send`; `Closed` when it is closed and drained."""
        place = self.codec.place()
        with self._handle as chan, handle_of(cancel) as token:
            code = lib.kc_chan_recv_c(chan, place, milliseconds(timeout), token)
        check(code)
        return self.codec.unpack(place)

    def try_send(self, element: T) -> bool:
        """Sends if that is possible at once."""
        try:
            self.send(element, 0)
        except WouldBlock:
            return False
        return True

    def try_recv(self) -> Optional[T]:
        """Receives if that is possible at once; else None."""
        try:
            return self.recv(0)
        except WouldBlock:
            return None

    def close(self) -> None:
        """Later sends fail; held elements can still be received; waits for more end. Again: no effect."""
        with self._handle as chan:
            lib.kc_chan_close(chan)

    def destroy(self) -> None:
        """Closes it, and destroys it when no call uses it. Elements that are left are lost."""
        self._handle.give_up()

    def stats(self) -> Stats:
        """Operations and rates since the start."""
        out = ffi.new("struct kc_chan_stats *")
        with self._handle as chan:
            check(lib.kc_chan_get_stats(chan, out))
        return record(Stats, out)

    def snapshot(self) -> Snapshot:
        """State and counters; of a closed channel too."""
        out = ffi.new("struct kc_chan_snapshot *")
        with self._handle as chan:
            check(lib.kc_chan_snapshot(chan, out))
        return record(Snapshot, out)

    @property
    def pointer(self) -> Any:
        """The `kc_chan_t *`, for C code in this process; valid until the channel is destroyed."""
        with self._handle as chan:
            return chan

    def __len__(self) -> int:
        """The number of elements that it holds."""
        with self._handle as chan:
            return int(lib.kc_chan_len(chan))

    def __bool__(self) -> bool:
        return True

    def __iter__(self) -> Iterator[T]:
        """Receives until it is closed and drained."""
        while True:
            try:
                yield self.recv()
            except Closed:
                return

    def __enter__(self) -> Channel[T]:
        return self

    def __exit__(self, *_: object) -> None:
        self.destroy()
