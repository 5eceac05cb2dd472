# SPDX-License-Identifier: BSD-3-Clause
"""A program that speaks the session and lies in it. Most of what it sends may be sent, but not there, not yet, not with
that, or not twice: its host has to notice. The rest violates the session itself. Each process has a seed of its own,
which is its last line."""

import json
import os
import random
import socket
import struct
import sys

HEAD = struct.Struct("<IBBHIIQ")
HELLO, WELCOME, PING, PONG, DRAIN, CLOSE = 1, 2, 3, 4, 5, 6
REQUEST, REPLY, CANCEL, NOTICE = 16, 17, 18, 19
OPEN, ACCEPT, DATA, CREDIT, END, RESET = 32, 33, 34, 35, 42, 43
KINDS = [*range(1, 7), *range(16, 20), *range(32, 44), 48, 49, 50, 99]
LOAD, SHUTDOWN, LONG_ANSWER, IN_STREAM = 1, 7, 3, 8
OK = struct.pack("<I", 0)
BYTES = 1 << 16


class Liar:
    def __init__(self, host, seed):
        self.host, self.random = host, random.Random(seed)
        # Requests that have no reply. Streams by number: whether they are accepted, the elements sent.
        self.requests, self.streams = [], {}
        # Of its own: the next slots.
        self.opened = self.asked = 0

    def put(self, kind, code=0, stream=0, aux=0, sequence=0, body=b"", flags=0):
        self.host.write(HEAD.pack(len(body), kind, flags, code, stream, aux, sequence) + body)

    def serve(self):
        while head := self.host.read(HEAD.size):
            length, kind, _, code, stream, aux, sequence = HEAD.unpack(head)
            body = self.host.read(length)
            is_shutdown = kind == REQUEST and code == SHUTDOWN
            if kind in (HELLO, PING) or is_shutdown or kind == REQUEST and code == LOAD:
                self.answer(kind, code, sequence, body)
            else:
                self.know(kind, stream, sequence)
                for _ in range(self.random.choice([0, 1, 1, 1, 2, 3])):
                    self.act()
            self.host.flush()
            if is_shutdown:
                return

    def answer(self, kind, code, sequence, body):
        """What it does not lie about, as it would not be there then."""
        if kind == HELLO:
            self.put(WELCOME, aux=2, body=body)
        elif kind == PING:
            self.put(PONG, sequence=sequence)
        elif code == LOAD:
            entries = [{"name": "greet", "kind": "unary"}, {"name": "chat", "kind": "bidirectional"}]
            loaded = {"name": "liar", "version": "0.1.0", "entries": entries}
            self.put(REPLY, sequence=sequence, body=json.dumps(loaded).encode())
        else:
            self.put(REPLY, sequence=sequence)

    def know(self, kind, stream, sequence):
        if kind == REQUEST:
            self.requests.append(sequence)
        elif kind == OPEN:
            self.streams[stream] = [False, 0]
        elif kind == ACCEPT and stream in self.streams:
            self.streams[stream][0] = True
        elif kind == RESET:
            if self.streams.pop(stream, None) is not None:
                self.put(RESET, stream=stream)

    def act(self):
        one = self.random.random()
        if one < 0.04:
            self.violate()
        elif one < 0.4 and self.requests:
            request = self.requests.pop(self.random.randrange(len(self.requests)))
            self.put(REPLY, code=self.random.choice([0, 0, 0, *range(1, 10), 300]), sequence=request, body=self.bytes())
        elif one < 0.8 and self.streams:
            self.act_on(self.random.choice(list(self.streams)))
        elif one < 0.9:
            of = self.random.choice([0, 1, *self.streams, (1 << 64) - 1])
            self.put(NOTICE, code=self.random.choice([1, 16, 17, 18, 19, 20, 99]), sequence=of, body=self.bytes())
        elif one < 0.95:
            # A long answer: to a request that has no reply, or to none.
            stream = 1 | self.opened << 1 | 1 << 17
            self.opened += 1
            self.streams[stream] = [False, 0]
            request = self.random.choice([*self.requests, 7])
            code = self.random.choice([1, LONG_ANSWER, LONG_ANSWER, 9])
            self.put(OPEN, code=code, stream=stream, aux=1, sequence=BYTES, body=struct.pack("<Q", request))
        else:
            # A host answers that it has no operations.
            self.put(REQUEST, code=self.random.randint(0, 9), sequence=self.asked | 1 << 32, body=self.bytes())
            self.asked += 1

    def act_on(self, stream):
        is_accepted, elements = self.streams[stream]
        is_own = stream & 1
        one = self.random.random()
        if not is_accepted and not is_own and one < 0.8:
            self.streams[stream][0] = True
            self.put(ACCEPT, stream=stream, aux=self.random.choice([0, 1, 8]), sequence=BYTES, body=self.bytes())
        elif is_accepted and one < 0.7 and elements < (1 if is_own else 8):
            self.streams[stream][1] += 1
            self.put(DATA, stream=stream, sequence=elements + 1, body=self.bytes())
        elif is_accepted and one < 0.85:
            self.put(CREDIT, stream=stream, aux=1, sequence=100)
        elif is_accepted and one < 0.95:
            self.put(END, code=self.random.choice([0, 5]), stream=stream)
            del self.streams[stream]
        else:
            self.put(RESET, code=self.random.choice([0, 5, 256, 257, 260, 261, 264, 300]), stream=stream, body=self.bytes())
            del self.streams[stream]

    def bytes(self):
        status = struct.pack("<I", self.random.choice([0, 0, 0, *range(1, 13), 99]))
        text = self.random.choice([b"", status, status, status, b"{", b'{"calls":-1,"blocked_now":9}', b"\x01\x02\x00x"])
        return text + self.random.randbytes(self.random.choice([0, 0, 1, 8, 20, 300]))

    def violate(self):
        if self.random.random() < 0.2:
            # Half a frame, and the end.
            self.host.write(HEAD.pack(100, NOTICE, 0, 0, 0, 0, 1) + b"half")
            self.host.flush()
            os._exit(0)
        known = [*self.requests, *self.streams, 1 << 32, 2 << 16]
        self.put(
            self.random.choice(KINDS),
            code=self.random.choice([0, 1, 7, 16, 256, 65535]),
            stream=(self.random.choice(known) + self.random.choice([0, 1, 2])) & 0xFFFFFFFF,
            aux=self.random.choice([0, 1, 0xFFFFFFFF]),
            sequence=self.random.choice([*known, 0, (1 << 64) - 1]),
            body=self.bytes(),
            flags=self.random.choice([0, 1, 2, 3, 255]),
        )


def main():
    seed = int.from_bytes(os.urandom(4), "little")
    print("seed", seed, file=sys.stderr, flush=True)
    host = socket.socket(fileno=int(os.environ["BECKET_FD"])).makefile("rwb")
    try:
        Liar(host, seed).serve()
    except BrokenPipeError:
        # The host has had enough.
        os._exit(0)


main()
