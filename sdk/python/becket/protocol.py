# SPDX-License-Identifier: BSD-3-Clause
"""The messages between a host and a plugin, as `crates/process/src/protocol.rs` describes them.

a call    entry u32 | deadline_ms u32 | shape u8 | 0 0 0 | metadata_bytes u32 | metadata | payload
metadata  [name text16] [method text16 | path text32 | query text32 | count u16 | count headers]
answer    status u32 | body
"""

from __future__ import annotations

import struct
from typing import Final, List, Optional, Tuple

VERSION: Final = 1
SOCKET_VARIABLE: Final = "BECKET_FD"

# Operations of requests.
LOAD: Final = 1
CALL: Final = 2
EXPORT: Final = 3
IMPORT: Final = 4
LOAD_PART: Final = 5
SHUTDOWN: Final = 7

# Statuses of replies.
DONE: Final = 0
FAILED: Final = 1
UNKNOWN_ENTRY: Final = 2
REFUSED: Final = 3
PANICKED: Final = 4
DEADLINE: Final = 5
TOO_MUCH: Final = 6
UNKNOWN_OPERATION: Final = 7
IN_STREAM: Final = 8

# Services of streams.
STREAM: Final = 1
LONG_CALL: Final = 2
LONG_ANSWER: Final = 3
LONG_IMPORT: Final = 4
LONG_NOTIFICATION: Final = 5

# Kinds of notices.
NOTIFICATION: Final = 1
LOG: Final = 16
METRICS: Final = 17

# Kinds of metrics.
COUNTER: Final = 0
GAUGE: Final = 1
HISTOGRAM: Final = 2

LOAD_BYTES_MAX: Final = 16 << 20
"""The length of a load, at most; one that is longer than a frame comes in parts."""

RESET_REFUSED: Final = 256
"""Code of a reset: a refusal with the status that is added to it."""

# Shapes of calls.
HAS_METADATA: Final = 1
HAS_NAME: Final = 2
PAYLOAD_FOLLOWS: Final = 0x80
SHAPE_AT: Final = 8

CALL_HEAD: Final = struct.Struct("<IIBxxxI")
CALL_HEAD_BYTES: Final = CALL_HEAD.size
STATUS: Final = struct.Struct("<I")

Headers = List[Tuple[str, str]]


class Malformed(Exception):
    """A message is cut off."""


class Metadata:
    """The metadata of a call."""

    __slots__ = ("name", "method", "path", "query", "headers")

    def __init__(self, name: str, method: str, path: str, query: str, headers: Headers) -> None:
        self.name, self.method, self.path, self.query, self.headers = name, method, path, query, headers

    @classmethod
    def decode(cls, shape: int, data: bytes) -> Metadata:
        """Raises `Malformed`."""
        reader = _Reader(data)
        name = reader.text(2) if shape & HAS_NAME else ""
        if not shape & HAS_METADATA:
            return cls(name, "", "", "", [])
        method, path, query = reader.text(2), reader.text(4), reader.text(4)
        headers = [(reader.text(2), reader.text(4)) for _ in range(reader.number(2))]
        return cls(name, method, path, query, headers)

    def encode(self) -> bytes:
        """With method, path, query and headers; and the name, if there is one."""
        name = _text(2, self.name) if self.name else b""
        parts = [name, _text(2, self.method), _text(4, self.path), _text(4, self.query)]
        parts.append(len(self.headers).to_bytes(2, "little"))
        for key, value in self.headers:
            parts.append(_text(2, key) + _text(4, value))
        return b"".join(parts)


def encode_call(
    place: int, deadline_ms: int, name: Optional[str], metadata: Optional[Metadata], payload: bytes
) -> bytes:
    """A call; `name` for an entry that is not listed."""
    shape, body = 0, b""
    if metadata is not None:
        shape |= HAS_METADATA
        metadata.name = name or ""
        body = metadata.encode()
    elif name is not None:
        body = _text(2, name)
    if name is not None:
        shape |= HAS_NAME
    return CALL_HEAD.pack(place, deadline_ms, shape, len(body)) + body + payload


def encode_log(level: int, target: str, message: str, size_max: int) -> bytes:
    """A line for the log, cut to `size_max` bytes."""
    name = target.encode("utf-8", "replace")[:256]
    text = message.encode("utf-8", "replace")[: size_max - len(name) - 3]
    return struct.pack("<BH", level, len(name)) + name + text


def encode_change(kind: int, name: bytes, help: bytes, value: bytes) -> bytes:
    """A change of a metric."""
    head = struct.pack("<BH", kind, len(name)) + name + len(help).to_bytes(2, "little") + help
    return head + value


class _Reader:
    """Numbers and texts, one after another."""

    __slots__ = ("_data", "_at")

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def number(self, size: int) -> int:
        return int.from_bytes(self._take(size), "little")

    def text(self, size: int) -> str:
        return self._take(self.number(size)).decode("utf-8", "replace")

    def _take(self, size: int) -> bytes:
        taken = self._data[self._at : self._at + size]
        if len(taken) != size:
            raise Malformed("the metadata of a call is cut off")
        self._at += size
        return taken


def _text(size: int, text: str) -> bytes:
    data = text.encode()
    return len(data).to_bytes(size, "little") + data
