# SPDX-License-Identifier: BSD-3-Clause
"""Metrics of a plugin, which the host exports beside its own.

What is sent are changes: a batch every `INTERVAL` seconds, if anything changed. The host adds them up, also over
restarts and workers. Metrics are used from any thread.
"""

from __future__ import annotations

import struct
import threading
from collections import Counter as Counts
from typing import Callable, Dict, List, Optional, TypeVar

from becket import protocol

INTERVAL = 0.1
"""Seconds between batches."""
VALUES_MAX = 1000
"""Different values of a histogram between two batches; further ones count as the closest of these."""


class Metric:
    """What all metrics share."""

    kind = -1

    def __init__(self, registry: Registry, name: str, help: str) -> None:
        self.name, self.help = name, help
        self._registry = registry
        self._name, self._help = name.encode(), help.encode()[:65_535]
        self._is_new = True

    def _take(self) -> Optional[bytes]:
        """The change since the last time, and none again; under the registry's lock."""
        raise NotImplementedError

    def _change(self) -> Optional[bytes]:
        value = self._take()
        return None if value is None else protocol.encode_change(self.kind, self._name, self._help, value)


class Counter(Metric):
    """A number that grows."""

    kind = protocol.COUNTER
    _added = 0

    def add(self, added: int = 1) -> None:
        """Adds to it; not less than 0."""
        if added < 0:
            raise ValueError(f"counter {self.name} cannot grow by {added}")
        with self._registry.lock:
            self._added += added
        self._registry.changed()

    def _take(self) -> Optional[bytes]:
        if not self._added and not self._is_new:
            return None
        added, self._added, self._is_new = self._added, 0, False
        return struct.pack("<Q", min(added, (1 << 64) - 1))


class Gauge(Metric):
    """A number that is set."""

    kind = protocol.GAUGE
    _value: Optional[float] = None

    def set(self, value: float) -> None:
        """Sets it."""
        with self._registry.lock:
            self._value = value
        self._registry.changed()

    def _take(self) -> Optional[bytes]:
        if self._value is None:
            return None
        value, self._value = self._value, None
        return struct.pack("<d", value)


class Histogram(Metric):
    """How often which values were recorded."""

    kind = protocol.HISTOGRAM

    def __init__(self, registry: Registry, name: str, help: str) -> None:
        super().__init__(registry, name, help)
        self._counts: Counts[float] = Counts()
        self._sum = 0.0

    def record(self, value: float) -> None:
        """Records a value."""
        with self._registry.lock:
            self._sum += value
            if value not in self._counts and len(self._counts) >= VALUES_MAX:
                value = min(self._counts, key=lambda known: abs(known - value))
            self._counts[value] += 1
        self._registry.changed()

    def _take(self) -> Optional[bytes]:
        if not self._counts:
            return None
        counts, total = self._counts, self._sum
        self._counts, self._sum = Counts(), 0.0
        values = b"".join(struct.pack("<dQ", value, count) for value, count in counts.items())
        return struct.pack("<dH", total, len(counts)) + values


M = TypeVar("M", bound=Metric)


class Registry:
    """The metrics of a plugin."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self._metrics: Dict[str, Metric] = {}
        self._notify: Optional[Callable[[], None]] = None
        self._is_due = False

    def add(self, kind: Callable[[Registry, str, str], M], name: str, help: str) -> M:
        """A new metric."""
        if name in self._metrics:
            raise ValueError(f"there is a metric {name!r} already")
        metric = kind(self, name, help)
        self._metrics[name] = metric
        self.changed()
        return metric

    def attach(self, notify: Optional[Callable[[], None]]) -> None:
        """Has the function called, from any thread, when a batch is due."""
        with self.lock:
            self._notify, self._is_due = notify, False
        if notify is not None and self._metrics:
            self.changed()

    def changed(self) -> None:
        """A metric has changed."""
        if self._is_due or self._notify is None:
            return
        with self.lock:
            notify, is_first = self._notify, not self._is_due
            self._is_due = notify is not None
        if is_first and notify is not None:
            notify()

    def take(self, bytes_max: int) -> List[bytes]:
        """The bodies of notices with all changes."""
        with self.lock:
            self._is_due = False
            changes = [metric._change() for metric in self._metrics.values()]
        bodies, body = [], b""
        for change in changes:
            if change is None or len(change) > bytes_max:
                continue
            if len(body) + len(change) > bytes_max:
                bodies.append(body)
                body = b""
            body += change
        return [*bodies, body] if body else bodies
