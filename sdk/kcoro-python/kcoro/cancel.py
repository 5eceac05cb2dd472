# SPDX-License-Identifier: BSD-3-Clause
"""Cancel tokens."""

from __future__ import annotations

import weakref
from typing import Any, ContextManager, Optional

from kcoro._library import Handle, ffi, lib, milliseconds
from kcoro.errors import TimedOut, check, error_of


class CancelToken:
    """Ends the waits that it was passed to, once it is set. Used from any thread; `with` destroys it at the end."""

    def __init__(self, parent: Optional[CancelToken] = None) -> None:
        """Below a parent it is set when the parent is. The parent may be destroyed first."""
        out = ffi.new("kc_cancel_t **")
        with handle_of(parent) as above:
            check(lib.kc_cancel_create(out, above))
        self._handle = Handle(out[0], lib.kc_cancel_destroy)
        weakref.finalize(self, self._handle.give_up).atexit = False

    def trigger(self) -> None:
        """Sets it, and every token below it. Again: no effect."""
        with self._handle as token:
            lib.kc_cancel_trigger(token)

    @property
    def is_set(self) -> bool:
        with self._handle as token:
            return bool(lib.kc_cancel_is_set(token))

    def wait(self, timeout: Optional[float] = None) -> bool:
        """Waits until it is set. False: the timeout has elapsed."""
        with self._handle as token:
            code = lib.kc_cancel_wait(token, milliseconds(timeout))
        if code != 0 and not isinstance(error_of(code), TimedOut):
            check(code)
        return bool(code == 0)

    def destroy(self) -> None:
        """Destroys it. Calls in progress that use it continue."""
        self._handle.give_up()

    def __enter__(self) -> CancelToken:
        return self

    def __exit__(self, *_: object) -> None:
        self.destroy()


class _NoHandle:
    """The handle of no token."""

    def __enter__(self) -> Any:
        return ffi.NULL

    def __exit__(self, *_: object) -> None:
        pass


_NONE = _NoHandle()


def handle_of(token: Optional[CancelToken]) -> ContextManager[Any]:
    """What passes a token to a call."""
    return _NONE if token is None else token._handle
