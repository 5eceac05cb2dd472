# SPDX-License-Identifier: BSD-3-Clause
"""The least that is a plugin: a greeting, over the session of a host, without a library."""

import json
import os
import socket
import struct

HEAD = struct.Struct("<IBBHIIQ")
HELLO, WELCOME, PING, PONG, REQUEST, REPLY = 1, 2, 3, 4, 16, 17
LOAD, CALL, SHUTDOWN = 1, 2, 7
CALL_HEAD = struct.Struct("<IIII")


def main():
    host = socket.socket(fileno=int(os.environ["BECKET_FD"])).makefile("rwb")
    greeting = "Hello"

    def put(kind, code=0, aux=0, sequence=0, body=b""):
        host.write(HEAD.pack(len(body), kind, 0, code, 0, aux, sequence) + body)
        host.flush()

    while head := host.read(HEAD.size):
        length, kind, _, code, _, _, sequence = HEAD.unpack(head)
        body = host.read(length)
        if kind == HELLO:
            # What the host accepts is what this side does.
            put(WELCOME, aux=2, body=body)
        elif kind == PING:
            put(PONG, sequence=sequence)
        elif kind == REQUEST and code == LOAD:
            greeting = json.loads(body)["config"].get("greeting", greeting)
            entries = [{"name": "greet", "kind": "unary"}]
            loaded = {"name": "program", "version": "0.1.0", "entries": entries}
            put(REPLY, sequence=sequence, body=json.dumps(loaded).encode())
        elif kind == REQUEST and code == CALL:
            metadata_bytes = CALL_HEAD.unpack_from(body)[3]
            name = body[CALL_HEAD.size + metadata_bytes :]
            put(REPLY, sequence=sequence, body=struct.pack("<I", 0) + f"{greeting}, ".encode() + name)
        elif kind == REQUEST and code == SHUTDOWN:
            put(REPLY, sequence=sequence)
            return


main()
