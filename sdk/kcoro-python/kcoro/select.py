# SPDX-License-Identifier: BSD-3-Clause
"""One of several sends and receives."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any, List, Optional, Tuple, Union

from kcoro._library import ffi, lib, milliseconds
from kcoro.cancel import CancelToken, handle_of
from kcoro.channel import Channel
from kcoro.errors import Closed, check, error_of

Clause = Union[Channel[Any], Tuple[Channel[Any], Any]]
"""A channel: a receive. A channel and an element: a send of it."""


@dataclass(frozen=True)
class Selected:
    """The clause that completed."""

    index: int
    element: Any
    """Received; None of a send, and if `is_closed`."""
    is_closed: bool
    """The clause's channel is closed, and drained: nothing was sent or received."""


def select(*clauses: Clause, timeout: Optional[float] = None, cancel: Optional[CancelToken] = None) -> Selected:
    """Waits until one clause can complete, and runs that one alone; of several that can, the first.

    Raises `TimedOut`, `WouldBlock` or `Cancelled`; nothing was sent or received then.
    """
    with contextlib.ExitStack() as used:
        out, index = ffi.new("kc_select_t **"), ffi.new("int *", -1)
        check(lib.kc_select_create(out, used.enter_context(handle_of(cancel))))
        used.callback(lib.kc_select_destroy, out[0])
        places: List[Any] = []
        for clause in clauses:
            channel, element = clause if isinstance(clause, tuple) else (clause, None)
            chan = used.enter_context(channel._handle)
            if isinstance(clause, tuple):
                places.append(channel.codec.pack(element))
                check(lib.kc_select_add_send(out[0], chan, places[-1]))
            else:
                places.append(channel.codec.place())
                check(lib.kc_select_add_recv(out[0], chan, places[-1]))
        code = lib.kc_select_wait(out[0], milliseconds(timeout), index, ffi.NULL)
        chosen = int(index[0])
    if chosen < 0:
        raise error_of(code)
    if code != 0:
        error = error_of(code)
        if isinstance(error, Closed):
            return Selected(chosen, None, True)
        raise error
    winner = clauses[chosen]
    return Selected(chosen, None if isinstance(winner, tuple) else winner.codec.unpack(places[chosen]), False)
