# SPDX-License-Identifier: BSD-3-Clause
"""Counters of a channel. Times are nanoseconds of the monotonic clock, 0 before the first operation."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Optional, Type, TypeVar

from kcoro._library import ffi, lib
from kcoro.errors import check

Record = TypeVar("Record", "Stats", "Snapshot", "Rate")


@dataclass(frozen=True)
class Stats:
    """Operations since the start, and their rates between the first and the last."""

    total_sends: int
    total_recvs: int
    total_bytes_sent: int
    total_bytes_recv: int
    first_op_time_ns: int
    last_op_time_ns: int
    send_rate_ops_sec: float
    recv_rate_ops_sec: float
    send_rate_bytes_sec: float
    recv_rate_bytes_sec: float
    duration_sec: float


@dataclass(frozen=True)
class Snapshot:
    """A channel's state and counters; failed operations by side and cause."""

    kind: int
    elem_sz: int
    capacity: int
    count: int
    capabilities: int
    closed: int
    zref_mode: int
    ptr_mode: int
    total_sends: int
    total_recvs: int
    total_bytes_sent: int
    total_bytes_recv: int
    first_op_time_ns: int
    last_op_time_ns: int
    send_eagain: int
    send_etime: int
    send_epipe: int
    recv_eagain: int
    recv_etime: int
    recv_epipe: int
    zref_sent: int
    zref_received: int
    zref_aborted_close: int
    rv_matches: int
    rv_cancels: int
    rv_zdesc_matches: int
    duration_sec: float


@dataclass(frozen=True)
class Rate:
    """What happened between two snapshots."""

    delta_sends: int
    delta_recvs: int
    delta_bytes_sent: int
    delta_bytes_recv: int
    delta_send_eagain: int
    delta_recv_eagain: int
    delta_send_epipe: int
    delta_recv_epipe: int
    delta_rv_matches: int
    delta_rv_cancels: int
    delta_rv_zdesc_matches: int
    interval_sec: float
    sends_per_sec: float
    recvs_per_sec: float
    bytes_sent_per_sec: float
    bytes_recv_per_sec: float


def rate(previous: Optional[Snapshot], current: Snapshot) -> Rate:
    """The operations between two snapshots of a channel; since its start, if there is no previous one."""
    out = ffi.new("struct kc_chan_rate_sample *")
    check(lib.kc_chan_compute_rate(_structure(previous), _structure(current), out))
    return record(Rate, out)


def record(cls: Type[Record], structure: Any) -> Record:
    """The fields of a structure of C that have the names of the class's fields."""
    return cls(**{field.name: getattr(structure, field.name) for field in dataclasses.fields(cls)})


def _structure(snapshot: Optional[Snapshot]) -> Any:
    return ffi.NULL if snapshot is None else ffi.new("struct kc_chan_snapshot *", dataclasses.asdict(snapshot))
