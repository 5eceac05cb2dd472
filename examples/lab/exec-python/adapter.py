#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""An adapter in Python: a queue of bytes for each flow.

The lab talks to it on stdin and stdout; docs/src/lab/exec.md has the protocol. The lower half of this
file is the protocol, and can be kept as it is; the upper half is the adapter.

    becket check local-adapter --adapter "exec:python3 examples/lab/exec-python/adapter.py"
"""

import struct
import sys

UNSUPPORTED, TOO_MANY_FLOWS, UNKNOWN_FLOW, FLOW_IN_USE, CLOSED, MALFORMED, FAILED = range(1, 8)


class Refused(Exception):
    """A refused call: the class of the error, and the value of the answer."""

    def __init__(self, error, value=0):
        super().__init__(error)
        self.error, self.value = error, value


class Flow:
    def __init__(self, urgency):
        self.urgency = urgency  # 0 interactive, 1 normal, 2 bulk
        self.kept = bytearray()
        self.taken = 0  # bytes that came in
        self.sequence, self.offset = 1, 0  # of what comes out next
        self.ended = False  # nothing more comes in
        self.said = False  # the end was put out
        self.turned_away = False  # an offer found too little room
        self.broken = None  # a reset that was not reported yet: 0 reset, 1 error


class Adapter:
    """One side of a pair: what is given to it on one end comes out of the other."""

    NAME = "python"
    CAPABILITIES = (
        "adapter_egress adapter_ingress flow_backpressure flow_half_close flow_lifecycle "
        "flow_metadata_only flow_priority flow_reset runtime_stream_mapping trace_safe_adapter_summary"
    )

    def __init__(self, flows_max, buffered_max, flow_buffered_max):
        self.limits = (flows_max, buffered_max, flow_buffered_max)
        self.flows = {}
        self.buffered = 0

    def summary(self):
        return f"{len(self.flows)} flows"

    def open(self, call, flow, urgency):
        if flow in self.flows:
            raise Refused(FLOW_IN_USE)
        if len(self.flows) >= self.limits[0]:
            raise Refused(TOO_MANY_FLOWS, self.limits[0])
        self.flows[flow] = Flow(urgency)

    def taking(self, number):
        flow = self.flows.get(number)
        if flow is None:
            raise Refused(UNKNOWN_FLOW)
        if flow.ended or flow.broken is not None:
            raise Refused(CLOSED)
        return flow

    def give(self, call, number, offset, length, final, data):
        flow = self.taking(number)
        if length != len(data) or offset != flow.taken:
            raise Refused(MALFORMED)
        own = self.limits[2] - len(flow.kept)
        room = max(0, min(own, self.limits[1] - self.buffered, call.budget))
        part = data[:room]
        flow.kept += part
        flow.taken += len(part)
        self.buffered += len(part)
        flow.ended = final and len(part) == len(data)
        flow.turned_away = len(part) < len(data)
        call.wants_poll = True
        return len(part)

    def half_close(self, call, number):
        self.taking(number).ended = True
        call.wants_poll = True

    def reset(self, call, number, cause):
        flow = self.flows.get(number)
        if flow is not None and flow.broken is None:
            self.buffered -= len(flow.kept)
            flow.kept.clear()
            flow.broken = cause
            call.wants_poll = True
        self.tell(call)

    def close(self, call, number):
        flow = self.flows.pop(number, None)
        if flow is not None:
            self.buffered -= len(flow.kept)
            self.tell(call)

    def tell(self, call):
        """Reports room for flows whose offers found too little."""
        if self.buffered >= self.limits[1]:
            return
        for number, flow in self.flows.items():
            if flow.turned_away and len(flow.kept) < self.limits[2]:
                flow.turned_away = False
                call.rooms.append(number)

    def poll(self, call, rooms):
        """Puts out a chunk or the end of the most urgent flow that has one; `has_more` asks for
        another poll request.
        """
        ready = sorted(
            (flow.urgency, number)
            for number, flow in self.flows.items()
            if self.has_output(flow, min(rooms.get(number, 0), call.budget))
        )
        if ready:
            number = ready[0][1]
            self.put_out(call, number, rooms.get(number, 0))
            call.has_more = True
        elif call.budget == 0:
            call.wants_poll = True
        self.tell(call)

    @staticmethod
    def has_output(flow, room):
        if flow.broken is not None:
            return True
        if flow.kept:
            return room > 0
        return flow.ended and not flow.said

    def put_out(self, call, number, room):
        flow = self.flows[number]
        if flow.broken is not None:
            call.out_reset(number, flow.broken)
            del self.flows[number]
        elif not flow.kept:
            flow.said = True
            call.out_half_closed(number)
        else:
            part = bytes(flow.kept[: min(room, call.budget)])
            del flow.kept[: len(part)]
            self.buffered -= len(part)
            flow.said = flow.ended and not flow.kept
            call.out_data(number, flow.sequence, flow.offset, flow.said, part)
            flow.sequence += 1
            flow.offset += len(part)


# The protocol.

HELLO, OPEN, GIVE, HALF_CLOSE, RESET, CLOSE, POLL = range(7)
NEVER = 2**64 - 1


class Call:
    """One request, and its answer."""

    def __init__(self, now, budget, random):
        self.now, self.budget, self.random = now, budget, random
        self.wants_poll = self.has_more = False
        self.rooms, self.body = [], bytearray()
        self.deadline = NEVER

    def out_data(self, flow, sequence, offset, final, data):
        self.body += struct.pack("<BBHIQQI", 0, final, 0, flow, sequence, offset, len(data)) + data

    def out_half_closed(self, flow):
        self.body += struct.pack("<BBHI", 1, 0, 0, flow)

    def out_reset(self, flow, cause):
        self.body += struct.pack("<BBHI", 2, cause, 0, flow)

    def answer(self, op, result, value, buffered, summary):
        summary = summary.encode()
        flags = self.wants_poll | self.has_more << 1
        head = struct.pack("<BBBBIQQ", op, result, flags, 0, value, buffered, self.deadline)
        head += struct.pack("<HHHHII", len(self.rooms), len(summary), 0, 0, len(self.body), 0)
        rooms = struct.pack(f"<{len(self.rooms)}I", *self.rooms)
        return head + rooms + summary + self.body


def welcome(limits):
    """The answer to a hello: the version, the flag that another hello begins anew, two manifests."""
    name, capabilities = Adapter.NAME.encode(), Adapter.CAPABILITIES.encode()
    manifest = struct.pack("<IQQHH", *limits, len(name), len(capabilities)) + name + capabilities
    return struct.pack("<HH", 1, 1) + manifest + manifest


def dispatch(adapter, call, op, flow, rest):
    """Executes a request; returns the value of the answer."""
    if op == OPEN:
        adapter.open(call, flow, *struct.unpack("<I", rest))
    elif op == GIVE:
        _, offset, length, final = struct.unpack_from("<QQQI", rest)
        return adapter.give(call, flow, offset, length, bool(final), rest[28:])
    elif op == HALF_CLOSE:
        adapter.half_close(call, flow)
    elif op == RESET:
        adapter.reset(call, flow, *struct.unpack("<I", rest))
    elif op == CLOSE:
        adapter.close(call, flow)
    elif op == POLL:
        (count,) = struct.unpack_from("<I", rest)
        pairs = struct.unpack_from(f"<{2 * count}I", rest, 4)
        adapter.poll(call, dict(zip(pairs[::2], pairs[1::2])))
    return 0


def main():
    stdin, stdout = sys.stdin.buffer, sys.stdout.buffer
    sides = []
    while len(length := stdin.read(4)) == 4:
        request = stdin.read(*struct.unpack("<I", length))
        op, side, _, flow, now, budget, random = struct.unpack_from("<BBHIQII", request)
        rest = request[24:]
        call = Call(now, budget, random)
        if op == HELLO:
            _, _, flows_max, _, *buffered = struct.unpack("<4sIIIQQ", rest)
            limits = (flows_max, *buffered)
            sides = [Adapter(*limits), Adapter(*limits)]
            call.body += welcome(limits)
            answer = call.answer(op, 0, 0, 0, "")
        else:
            adapter = sides[side]
            result, value = 0, 0
            try:
                value = dispatch(adapter, call, op, flow, rest)
            except Refused as refused:
                result, value = refused.error, refused.value
            answer = call.answer(op, result, value, adapter.buffered, adapter.summary())
        stdout.write(struct.pack("<I", len(answer)) + answer)
        stdout.flush()


if __name__ == "__main__":
    main()
