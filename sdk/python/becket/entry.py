# SPDX-License-Identifier: BSD-3-Clause
"""One entry of a plugin, and where its handler runs."""

from __future__ import annotations

import inspect
from typing import Any, Callable

Handler = Callable[..., Any]

UNARY, STREAM, SESSION = "unary", "stream", "bidirectional"
"""What an entry answers with, as the host lists it."""

ON_LOOP, AT_ONCE, ON_THREAD = range(3)
"""Where a handler runs: as a task of the event loop, on the loop without a task, on a thread."""


class Entry:
    """One entry."""

    __slots__ = ("name", "kind", "help", "handler", "runs", "is_unary", "is_generator")

    def __init__(self, name: str, kind: str, help: str, handler: Handler, blocking: bool) -> None:
        self.name, self.kind, self.help, self.handler = name, kind, help, handler
        self.is_unary, self.is_generator = kind == UNARY, False
        if _is(inspect.iscoroutinefunction, handler):
            self.runs = ON_LOOP
        elif _is(inspect.isasyncgenfunction, handler):
            self.runs, self.is_generator = ON_LOOP, True
        elif _is(inspect.isgeneratorfunction, handler):
            self.runs, self.is_generator = ON_THREAD, True
        else:
            self.runs = ON_THREAD if blocking else AT_ONCE
        if kind == UNARY and self.is_generator:
            raise TypeError(f"entry {name!r} has one answer, and its handler yields: use `@plugin.stream`")
        if kind != UNARY and self.runs == AT_ONCE:
            raise TypeError(f"entry {name!r} has many frames: `blocking=False` is for `@plugin.entry`")
        if kind == SESSION and self.is_generator:
            raise TypeError(f"entry {name!r} yields: a session sends with `await session.send(...)`")


def _is(test: Callable[[Any], bool], handler: Any) -> bool:
    return test(handler) or test(getattr(handler, "__call__", None))
