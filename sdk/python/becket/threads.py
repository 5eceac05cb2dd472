# SPDX-License-Identifier: BSD-3-Clause
"""The threads of plain functions.

They are daemons: a function that never returns keeps no process alive whose host has gone. Threads are started
as they are needed, up to the bound; work beyond it waits, bounded by the requests of the session.
"""

from __future__ import annotations

import queue
import threading
from typing import Callable, Optional

Work = Callable[[], None]


class Threads:
    """A bounded pool of daemon threads. `submit` is for one thread."""

    def __init__(self, threads_max: int) -> None:
        self._threads_max = threads_max
        self._count = 0
        self._idle = threading.Semaphore(0)
        self._queue: queue.SimpleQueue[Optional[Work]] = queue.SimpleQueue()

    def submit(self, work: Work) -> None:
        """Runs the work on a thread, when one is free. It must not raise."""
        if not self._idle.acquire(blocking=False) and self._count < self._threads_max:
            self._count += 1
            threading.Thread(target=self._run, name=f"becket-{self._count}", daemon=True).start()
        self._queue.put(work)

    def end(self) -> None:
        """Ends the threads when they have done what they do."""
        for _ in range(self._count):
            self._queue.put(None)

    def _run(self) -> None:
        while True:
            work = self._queue.get()
            if work is None:
                return
            work()
            del work
            self._idle.release()
