# SPDX-License-Identifier: BSD-3-Clause
"""A call, its answer, and the ways to fail."""

from __future__ import annotations

import enum
import json
import time
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Union

from becket.protocol import HAS_METADATA, Headers, Metadata

if TYPE_CHECKING:
    from becket.plugin import Plugin

Body = Union[bytes, bytearray, memoryview, str, Dict[str, Any], List[Any], None]
"""What a handler answers: bytes, text (as UTF-8), a dict or a list (as JSON), or nothing."""


class Status(enum.IntEnum):
    """How a call or a stream ends. Any other number up to 2**32-1 is a status too, the plugin's own."""

    OK = 0
    ERR = 1
    INVALID = 2
    UNSUPPORTED = 3
    STREAM_END = 4
    PANIC = 5
    BACKPRESSURE = 6
    TIMEOUT = 7
    CANCELLED = 8
    CLOSED = 9
    TOO_LONG = 10


class Failure(Exception):
    """Raised by a handler: the answer, or the last frame, has this status and body."""

    def __init__(self, status: int, body: Body = b"") -> None:
        super().__init__(f"{_name(status)}: {body!r}")
        self.status, self.body = _checked(status), to_bytes(body)


class Refused(Exception):
    """Raised by a handler before its first frame: the call is refused with this status, without an answer."""

    def __init__(self, status: int = Status.ERR) -> None:
        super().__init__(_name(status))
        self.status = _checked(status)


class CallerLeft(Exception):
    """Raised in a plain function that sends or receives: the caller of its stream has left."""


class StartError(Exception):
    """Raised by a hook of `Plugin.on_start`: the plugin is not loaded, and the host reports these texts."""

    def __init__(self, error: str, cause: str = "", hint: str = "") -> None:
        super().__init__(error)
        self.error, self.cause, self.hint = error, cause, hint


class Call:
    """One call, as its handler gets it."""

    __slots__ = ("plugin", "entry", "body", "deadline", "_state", "_is_cancelled", "_shape", "_raw", "_metadata")

    def __init__(
        self,
        plugin: Plugin,
        entry: str,
        body: bytes,
        deadline_ms: int = 0,
        shape: int = 0,
        metadata: bytes = b"",
    ) -> None:
        self.plugin = plugin
        """The plugin that is called."""
        self.entry = entry
        """The entry's name."""
        self.body = body
        """The payload."""
        self.deadline: Optional[float] = time.monotonic() + deadline_ms / 1000 if deadline_ms else None
        """When the caller gives up, on the clock of `time.monotonic`; None: never."""
        self._state: Optional[Dict[str, Any]] = None
        self._is_cancelled = False
        self._shape = shape
        self._raw = metadata
        self._metadata: Optional[Metadata] = None

    @property
    def is_request(self) -> bool:
        """Whether there are a method, a path, a query and headers: the call came over HTTP, or as if."""
        return bool(self._shape & HAS_METADATA)

    @property
    def method(self) -> str:
        """The request's method, such as `GET`; empty without a request."""
        return self._parsed().method

    @property
    def path(self) -> str:
        """The request's path."""
        return self._parsed().path

    @property
    def query(self) -> str:
        """The request's query, without its question mark."""
        return self._parsed().query

    @property
    def headers(self) -> Headers:
        """The request's headers, in their order."""
        return self._parsed().headers

    @property
    def is_cancelled(self) -> bool:
        """Whether the caller has left. For plain functions, which nothing interrupts."""
        return self._is_cancelled

    @property
    def state(self) -> Dict[str, Any]:
        """A place for what the handler keeps for the time of the call."""
        if self._state is None:
            self._state = {}
        return self._state

    def header(self, name: str) -> Optional[str]:
        """The first header of this name, regardless of case."""
        name = name.lower()
        return next((value for key, value in self.headers if key.lower() == name), None)

    def text(self) -> str:
        """The payload as text; a `Failure` with `INVALID` if it is not UTF-8."""
        try:
            return self.body.decode()
        except UnicodeDecodeError as error:
            raise Failure(Status.INVALID, "the payload is not UTF-8") from error

    def json(self) -> Any:
        """The payload as JSON; a `Failure` with `INVALID` if it is not."""
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise Failure(Status.INVALID, f"the payload is not JSON: {error}") from error

    def remaining(self) -> Optional[float]:
        """Seconds until the caller gives up; None: it never does."""
        return None if self.deadline is None else max(0.0, self.deadline - time.monotonic())

    def _parsed(self) -> Metadata:
        if self._metadata is None:
            self._metadata = Metadata.decode(self._shape, self._raw)
        return self._metadata


def to_bytes(body: Body) -> bytes:
    """What is sent for it."""
    if isinstance(body, bytes):
        return body
    if body is None:
        return b""
    if isinstance(body, str):
        return body.encode()
    if isinstance(body, (dict, list)):
        return json.dumps(body).encode()
    if isinstance(body, (bytearray, memoryview)):
        return bytes(body)
    if hasattr(body, "__await__"):
        raise TypeError("a plain function returned a coroutine: declare it with `async def`")
    raise TypeError(f"a handler returned {type(body).__name__}: return bytes, str, dict, list or None")


def _checked(status: int) -> int:
    if not 0 <= status < 1 << 32:
        raise ValueError(f"{status} is no status: expected 0 to 2**32-1")
    return int(status)


def _name(status: int) -> str:
    return status.name if isinstance(status, Status) else f"status {status}"
