# SPDX-License-Identifier: BSD-3-Clause
"""A plugin: its entries, configuration and hooks."""

from __future__ import annotations

import asyncio
import faulthandler
import inspect
import os
import socket
import sys
from typing import Any, Awaitable, Callable, Dict, List, Optional, TypeVar, Union, overload

from becket.call import Body
from becket.entry import SESSION, STREAM, UNARY, Entry, Handler
from becket.metrics import Counter, Gauge, Histogram, Registry
from becket.protocol import SOCKET_VARIABLE
from becket.server import Server

Hook = Callable[[], Union[Awaitable[None], None]]
H = TypeVar("H", bound=Handler)
ExportHook = Callable[[], Union[Body, Awaitable[Body]]]
ImportHook = Callable[[bytes], Union[Awaitable[None], None]]
K = TypeVar("K", bound=Hook)
E = TypeVar("E", bound=ExportHook)
N = TypeVar("N", bound=ImportHook)


class Plugin:
    """A plugin: what it is called, and its entries.

    `config_default` holds what `config` has where the host's configuration says nothing. `threads` bounds the
    plain functions that run at once. Log records below `log_level` are not sent to the host; by default those
    that it does not log.
    """

    def __init__(
        self,
        name: str,
        version: str = "0.0.0",
        *,
        config_default: Optional[Dict[str, Any]] = None,
        threads: int = 16,
        log_level: Optional[int] = None,
    ) -> None:
        if threads < 1:
            raise ValueError(f"threads is {threads}: expected at least 1")
        self.name, self.version = name, version
        self.config_default: Dict[str, Any] = dict(config_default or {})
        self.config: Dict[str, Any] = dict(self.config_default)
        """The configuration, from when the plugin is loaded: in hooks and handlers."""
        self.threads = threads
        self.log_level = log_level
        self.entries: List[Entry] = []
        self.fallback_entry: Optional[Entry] = None
        self.start_hooks: List[Hook] = []
        self.stop_hooks: List[Hook] = []
        self.export_hook: Optional[ExportHook] = None
        self.import_hook: Optional[ImportHook] = None
        self.metrics = Registry()

    @overload
    def entry(self, handler: H) -> H: ...

    @overload
    def entry(
        self,
        handler: Optional[str] = None,
        *,
        name: Optional[str] = None,
        help: Optional[str] = None,
        blocking: bool = True,
    ) -> Callable[[H], H]: ...

    def entry(
        self,
        handler: Union[H, str, None] = None,
        *,
        name: Optional[str] = None,
        help: Optional[str] = None,
        blocking: bool = True,
    ) -> Any:
        """Adds an entry with one answer, which its handler returns: `@plugin.entry`, `@plugin.entry("name")`.

        `help` is what the host lists, by default the first line of the handler's documentation. A plain
        function with `blocking=False` runs on the event loop, without a thread: it must not wait.
        """
        return self._add(handler, UNARY, name, help, blocking)

    @overload
    def stream(self, handler: H) -> H: ...

    @overload
    def stream(
        self, handler: Optional[str] = None, *, name: Optional[str] = None, help: Optional[str] = None
    ) -> Callable[[H], H]: ...

    def stream(
        self, handler: Union[H, str, None] = None, *, name: Optional[str] = None, help: Optional[str] = None
    ) -> Any:
        """Adds an entry with many frames. Its handler gets a `Sink`; one that yields gets the `Call`, and
        each value that it yields is a frame."""
        return self._add(handler, STREAM, name, help, True)

    @overload
    def session(self, handler: H) -> H: ...

    @overload
    def session(
        self, handler: Optional[str] = None, *, name: Optional[str] = None, help: Optional[str] = None
    ) -> Callable[[H], H]: ...

    def session(
        self, handler: Union[H, str, None] = None, *, name: Optional[str] = None, help: Optional[str] = None
    ) -> Any:
        """Adds an entry with frames in both directions. Its handler gets a `Session`."""
        return self._add(handler, SESSION, name, help, True)

    def fallback(self, handler: H) -> H:
        """Has calls to entries that are not listed answered by this handler; `call.entry` is the name."""
        if self.fallback_entry is not None:
            raise ValueError(f"plugin {self.name!r} has a fallback already")
        self.fallback_entry = Entry("", UNARY, "", handler, True)
        return handler

    def on_start(self, hook: K) -> K:
        """Has the function called when the plugin is loaded, with `config` set, before the first call. What
        it raises is why the plugin is not loaded."""
        self.start_hooks.append(hook)
        return hook

    def on_stop(self, hook: K) -> K:
        """Has the function called when the host ends the plugin."""
        self.stop_hooks.append(hook)
        return hook

    def exports_state(self, hook: E) -> E:
        """Has the function called at a reload, when the calls have ended; what it returns is the state that
        the next load imports."""
        self.export_hook = hook
        return hook

    def imports_state(self, hook: N) -> N:
        """Has the function called with the state of the load before, after the hooks of the start. What it
        raises fails the reload, and the load before goes on."""
        self.import_hook = hook
        return hook

    def counter(self, name: str, help: str = "") -> Counter:
        """A number that grows, among the host's metrics."""
        return self.metrics.add(Counter, name, help)

    def gauge(self, name: str, help: str = "") -> Gauge:
        """A number that is set, among the host's metrics."""
        return self.metrics.add(Gauge, name, help)

    def histogram(self, name: str, help: str = "") -> Histogram:
        """A distribution of values, among the host's metrics."""
        return self.metrics.add(Histogram, name, help)

    def run(self) -> None:
        """Serves the host until it ends the plugin, or is gone."""
        connection = _connection()
        if connection is None:
            script = sys.argv[0] or "plugin.py"
            sys.exit(
                f"error: {script} is the plugin {self.name}, and was not started by a host\n"
                f"cause: {SOCKET_VARIABLE}, which names the host's socket, is not set\n"
                f"hint:  `becket plugin check {script}` tries it, `becket serve --plugin {self.name}={script}` "
                f"serves it"
            )
        for output in (sys.stdout, sys.stderr):
            # What is printed before a crash is seen.
            if hasattr(output, "reconfigure"):
                output.reconfigure(line_buffering=True)
        if not faulthandler.is_enabled():
            # The host keeps the last lines: where the interpreter was when a signal ended it.
            faulthandler.enable(all_threads=False)
        with connection:
            asyncio.run(Server(self, connection).serve())

    def _add(
        self, handler: Union[H, str, None], kind: str, name: Optional[str], help: Optional[str], blocking: bool
    ) -> Any:
        if isinstance(handler, str):
            name, handler = handler, None

        def add(function: H) -> H:
            called = name or getattr(function, "__name__", "")
            if not called or any(entry.name == called for entry in self.entries):
                raise ValueError(f"plugin {self.name!r} has an entry {called!r} already")
            text = (inspect.getdoc(function) or "").partition("\n")[0] if help is None else help
            self.entries.append(Entry(called, kind, text, function, blocking))
            return function

        return add if handler is None else add(handler)


def _connection() -> Optional[socket.socket]:
    """The host's socket. Its descriptor is moved, so that what the plugin reads from stdin, and what it
    starts, does not get it."""
    number = os.environ.pop(SOCKET_VARIABLE, None)
    if number is None:
        return None
    given = int(number)
    connection = socket.socket(fileno=os.dup(given))
    if given == 0:
        empty = os.open(os.devnull, os.O_RDONLY)
        os.dup2(empty, 0)
        os.close(empty)
    else:
        os.close(given)
    return connection
