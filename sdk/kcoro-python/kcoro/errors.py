# SPDX-License-Identifier: BSD-3-Clause
"""The error numbers of the C interface, as exceptions. Each is an `OSError` with that `errno`."""

from __future__ import annotations

import errno
import os
from typing import Dict, Type


class KcoroError(OSError):
    """An operation failed. `errno` is the number, without its sign."""


class WouldBlock(KcoroError, BlockingIOError):
    """A timeout of 0, and the operation would have to wait."""


class Closed(KcoroError):
    """The channel is closed; a receive has drained it."""


class TimedOut(KcoroError, TimeoutError):
    """The timeout has elapsed. The element was not sent."""


class Cancelled(KcoroError):
    """The token is set."""


class Unsupported(KcoroError):
    """This channel does not support the operation."""


class Disconnected(KcoroError, ConnectionResetError):
    """The peer is gone, or the connection was closed."""


_CLASSES: Dict[int, Type[KcoroError]] = {
    errno.EAGAIN: WouldBlock,
    errno.EPIPE: Closed,
    errno.ETIME: TimedOut,
    errno.ECANCELED: Cancelled,
    errno.ENOTSUP: Unsupported,
    errno.ECONNRESET: Disconnected,
}

_TEXTS = {
    errno.EAGAIN: "the operation would have to wait",
    errno.EPIPE: "the channel is closed",
    errno.ETIME: "the timeout has elapsed",
    errno.ECANCELED: "cancelled",
}


def error_of(code: int) -> KcoroError:
    """The exception for a result below 0."""
    number = -code
    return _CLASSES.get(number, KcoroError)(number, _TEXTS.get(number) or os.strerror(number))


def check(code: int) -> None:
    """Raises the exception for a result that is not 0."""
    if code != 0:
        raise error_of(code)
