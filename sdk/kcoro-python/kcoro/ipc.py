# SPDX-License-Identifier: BSD-3-Clause
"""Channels of another process, by protocol 1.0: the client's side.

Any number of threads share a connection. The server keeps the timeouts; see `kcoro_ipc_chan.h` for what a late answer
means.
"""

from __future__ import annotations

import os
import weakref
from typing import Any, Generic, Iterator, Optional, Tuple, TypeVar, Union, overload

from kcoro._library import Handle, ffi, lib, milliseconds
from kcoro.channel import Kind
from kcoro.elements import Codec, Layout
from kcoro.errors import Closed, check

T = TypeVar("T")


class Connection:
    """A connection to a server: `becket ipc serve`, or a program of kcoro_ipc_server.h. `with` closes it."""

    def __init__(self, path: Union[str, os.PathLike[str]]) -> None:
        """Connects, and does the handshake."""
        out = ffi.new("kc_ipc_conn_t **")
        check(lib.kc_ipc_connect(os.fsencode(path), out))
        self._handle = Handle(out[0], lib.kc_ipc_conn_close)
        weakref.finalize(self, self._handle.give_up).atexit = False
        major, minor = ffi.new("uint32_t *"), ffi.new("uint32_t *")
        with self._handle as conn:
            code = lib.kc_ipc_hs_cli(conn, major, minor)
        if code != 0:
            self.close()
        check(code)
        self.peer_version: Tuple[int, int] = (major[0], minor[0])

    @overload
    def make(self, layout: int, kind: Kind = ..., capacity: int = ...) -> RemoteChannel[bytes]: ...
    @overload
    def make(self, layout: str, kind: Kind = ..., capacity: int = ...) -> RemoteChannel[Tuple[Any, ...]]: ...
    def make(self, layout: Layout, kind: Kind = Kind.BUFFERED, capacity: int = 1) -> RemoteChannel[Any]:
        """Has the server make a channel. `layout` as of `Channel`."""
        codec: Codec[Any] = Codec(layout)
        out = ffi.new("kc_ipc_chan_t **")
        with self._handle as conn:
            check(lib.kc_ipc_chan_make(conn, kind, codec.size, capacity, out))
        return RemoteChannel(out[0], codec)

    @overload
    def open(self, number: int, layout: int, kind: Kind = ...) -> RemoteChannel[bytes]: ...
    @overload
    def open(self, number: int, layout: str, kind: Kind = ...) -> RemoteChannel[Tuple[Any, ...]]: ...
    def open(self, number: int, layout: Layout, kind: Kind = Kind.BUFFERED) -> RemoteChannel[Any]:
        """A channel that exists, by its number. An unknown number fails at the first operation."""
        codec: Codec[Any] = Codec(layout)
        out = ffi.new("kc_ipc_chan_t **")
        with self._handle as conn:
            check(lib.kc_ipc_chan_open(conn, number, kind, codec.size, out))
        return RemoteChannel(out[0], codec)

    def close(self) -> None:
        """Closes it; calls on its channels then raise `Disconnected`. Again: no effect."""
        self._handle.give_up()

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class RemoteChannel(Generic[T]):
    """A channel of the server. The end of `with` closes it, for all its users: held elements can still be received by
    its number."""

    def __init__(self, pointer: Any, codec: Codec[T]) -> None:
        """Made by a `Connection`."""
        self.codec = codec
        self._handle = Handle(pointer, lib.kc_ipc_chan_destroy, lib.kc_ipc_chan_close)
        weakref.finalize(self, self._handle.give_up).atexit = False

    @property
    def number(self) -> int:
        """By which another process opens it."""
        with self._handle as chan:
            return int(lib.kc_ipc_chan_id(chan))

    def send(self, element: T, timeout: Optional[float] = None) -> None:
        """Sends an element. Raises `Closed`, `TimedOut`, `WouldBlock` or `Disconnected`."""
        place = self.codec.pack(element)
        with self._handle as chan:
            code = lib.kc_ipc_chan_send(chan, place, milliseconds(timeout))
        check(code)

    def recv(self, timeout: Optional[float] = None) -> T:
        """Receives an element. Raises as `send`; `Closed` when it is closed and drained."""
        place = self.codec.place()
        with self._handle as chan:
            code = lib.kc_ipc_chan_recv(chan, place, milliseconds(timeout))
        check(code)
        return self.codec.unpack(place)

    def close(self) -> None:
        """Closes it, for all its users. Held elements can still be received."""
        with self._handle as chan:
            check(lib.kc_ipc_chan_close(chan))

    def destroy(self) -> None:
        """Closes it, for all its users, and destroys the handle when no call uses it."""
        self._handle.give_up()

    def __iter__(self) -> Iterator[T]:
        """Receives until it is closed and drained."""
        while True:
            try:
                yield self.recv()
            except Closed:
                return

    def __enter__(self) -> RemoteChannel[T]:
        return self

    def __exit__(self, *_: object) -> None:
        self.destroy()
