# SPDX-License-Identifier: BSD-3-Clause
"""Channels of `libkcoro` for scripts and tests.

| module | contents |
|---|---|
| `channel` | `Channel`, `Kind` |
| `select` | `select`: one of several sends and receives |
| `cancel` | `CancelToken` |
| `actor` | `Actor` |
| `aio` | `AsyncChannel`, for `asyncio` |
| `ipc` | `Connection`, `RemoteChannel`: channels of another process |
| `stats` | `Stats`, `Snapshot`, `Rate`, `rate` |
| `errors` | the exceptions |
| `elements` | layouts: bytes, formats of `struct` |
"""

from kcoro._library import lib as _lib
from kcoro.actor import Actor
from kcoro.aio import AsyncChannel
from kcoro.cancel import CancelToken
from kcoro.channel import Channel, Kind
from kcoro.errors import Cancelled, Closed, Disconnected, KcoroError, TimedOut, Unsupported, WouldBlock
from kcoro.ipc import Connection, RemoteChannel
from kcoro.select import Selected, select
from kcoro.stats import Rate, Snapshot, Stats, rate

__all__ = [
    "Actor",
    "AsyncChannel",
    "CancelToken",
    "Cancelled",
    "Channel",
    "Closed",
    "Connection",
    "Disconnected",
    "KcoroError",
    "Kind",
    "Rate",
    "RemoteChannel",
    "Selected",
    "Snapshot",
    "Stats",
    "TimedOut",
    "Unsupported",
    "WouldBlock",
    "panics_contained",
    "rate",
    "select",
]


def panics_contained() -> int:
    """Internal failures of the library that became exceptions. More than 0 is a defect of the library."""
    return int(_lib.kc_panics_contained())
