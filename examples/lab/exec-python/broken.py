#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""The adapter in Python with the defect that its argument names: the lab's tests run it.

    becket check local-adapter --adapter "exec:python3 examples/lab/exec-python/broken.py garbage"
"""

import os
import struct
import sys
import time

import adapter
from adapter import Adapter, Call

DEFECT = sys.argv[1]
stdout = sys.stdout.buffer
gives = 0
runs = 0

healthy_answer = Call.answer
healthy_give = Adapter.give
healthy_welcome = adapter.welcome


def raw(data):
    stdout.write(data)
    stdout.flush()


def answer(self, op, result, value, buffered, summary):
    good = healthy_answer(self, op, result, value, buffered, summary)
    if op != adapter.GIVE or gives < 2:
        return good
    if DEFECT == "garbage":
        return bytes([255]) * 60
    if DEFECT == "wrong-op":
        return bytes([adapter.OPEN]) + good[1:]
    if DEFECT == "too-long":
        raw(struct.pack("<I", 2**31))
    if DEFECT == "twice":
        stdout.write(struct.pack("<I", len(good)) + good)
    if DEFECT == "half-an-answer":
        raw(struct.pack("<I", len(good)) + good[:20])
        os._exit(0)
    if DEFECT == "unpolled":
        self.out_half_closed(1)
        return healthy_answer(self, op, result, value, buffered, summary)
    return good


def give(self, call, number, offset, length, final, data):
    global gives
    gives += 1
    if DEFECT == "payload-on-stderr":
        print(f"flow {number}: {data[:24].hex()}", file=sys.stderr, flush=True)
    if DEFECT == "counts-on-stderr":
        print(f"flow {number}: {len(data)} bytes", file=sys.stderr, flush=True)
    if DEFECT == "floods-stderr" and gives == 2:
        sys.stderr.write("nothing to say\n" * 40_000)
        sys.stderr.flush()
    if DEFECT == "remembers" and runs % 2 == 1:
        data = data[: (len(data) + 1) // 2]
        length = len(data)
        final = False
    if gives >= 2:
        if DEFECT == "crash":
            os.kill(os.getpid(), 9)
        if DEFECT == "exit":
            os._exit(3)
        if DEFECT == "payload-and-exit":
            print(f"cannot read {data[:24].hex()}", file=sys.stderr, flush=True)
            os._exit(3)
        if DEFECT == "hang":
            time.sleep(1000)
        if DEFECT == "closes-stdout":
            os.dup2(os.open("/dev/null", os.O_RDWR), 1)
            os.dup2(1, 0)
            time.sleep(1000)
    return healthy_give(self, call, number, offset, length, final, data)


def endless(self, call, rooms):
    call.has_more = True
    call.out_half_closed(1)


def welcome(limits):
    global gives, runs
    gives = 0
    runs += 1
    said = healthy_welcome(limits)
    if DEFECT == "version":
        return struct.pack("<H", 9) + said[2:]
    return said


if DEFECT == "capability-twice":
    Adapter.CAPABILITIES += " flow_reset"
if DEFECT == "no-reset":
    Adapter.CAPABILITIES = Adapter.CAPABILITIES.replace("flow_reset ", "")
if DEFECT == "endless-poll":
    Adapter.poll = endless
Call.answer = answer
Adapter.give = give
adapter.welcome = welcome
adapter.main()
