# SPDX-License-Identifier: BSD-3-Clause
"""The library, and handles of it.

The library is the first that can be loaded of: the file in the variable KCORO_LIBRARY (no other, if it is set);
`libkcoro.so.0` in the folder that pkg-config names; the same name as the loader finds it.

A handle is destroyed when no call uses it: a call begins by `with handle as pointer`, which counts it under a lock, and
the last call to end destroys a handle that was given up meanwhile. Without that, a thread could be between reading the
pointer and the C function when another destroys it.
"""

from __future__ import annotations

import math
import os
import subprocess
import sys
import threading
from typing import Any, Callable, List, Optional

from cffi import FFI

from kcoro._cdef import CDEF

SONAME = "libkcoro.0.dylib" if sys.platform == "darwin" else "libkcoro.so.0"

ffi: Any = FFI()
ffi.cdef(CDEF)


def _candidates() -> List[str]:
    """Files and names to load, best first."""
    named = os.environ.get("KCORO_LIBRARY")
    if named:
        return [named]
    found = []
    try:
        said = subprocess.run(
            ["pkg-config", "--variable=libdir", "kcoro"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False
        )
        folder = os.fsdecode(said.stdout).strip()
        if said.returncode == 0 and folder:
            found.append(os.path.join(folder, SONAME))
    except OSError:
        pass  # There is no pkg-config: the loader may find the library.
    return [*found, SONAME]


def _load() -> Any:
    reasons = []
    for candidate in _candidates():
        try:
            return ffi.dlopen(candidate)
        except OSError as error:
            reasons.append(str(error))
    raise ImportError(
        "libkcoro cannot be loaded: "
        + "; ".join(reasons)
        + ". Install it (cargo xtask install), and set KCORO_LIBRARY "
        "to its file, PKG_CONFIG_PATH to the folder of kcoro.pc, or LD_LIBRARY_PATH to its folder"
    )


lib: Any = _load()


class Handle:
    """A pointer of the library, and the function that destroys it."""

    def __init__(self, pointer: Any, destroy: Callable[[Any], object], stop: Optional[Callable[[Any], object]] = None):
        """`stop` ends the calls in progress, if it is given up meanwhile."""
        self._pointer, self._destroy, self._stop = pointer, destroy, stop
        self._lock = threading.Lock()
        self._calls = 0
        self._is_given_up = False

    def __enter__(self) -> Any:
        with self._lock:
            if self._is_given_up:
                raise ValueError("the handle was destroyed")
            self._calls += 1
        return self._pointer

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._calls -= 1
            is_last = self._is_given_up and self._calls == 0
        if is_last:
            self._destroy(self._pointer)

    def give_up(self) -> None:
        """Destroys it, now or when the last call has ended. Again: no effect."""
        with self._lock:
            if self._is_given_up:
                return
            self._is_given_up = True
            is_used = self._calls > 0
            # Under the lock: the last call cannot destroy it before.
            if is_used and self._stop is not None:
                self._stop(self._pointer)
        if not is_used:
            self._destroy(self._pointer)


def milliseconds(timeout: Optional[float]) -> int:
    """Of seconds: None waits without end, 0 or less tries; never shorter than what was asked for."""
    if timeout is None:
        return -1
    if timeout <= 0:
        return 0
    return min(math.ceil(timeout * 1000), 2**62) if timeout < 2**50 else -1
