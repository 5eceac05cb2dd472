# SPDX-License-Identifier: BSD-3-Clause
"""The frames of a session, byte by byte, from a peer that keeps the rules and from one that does not."""

import random
import unittest
from typing import List, Tuple

from becket import wire
from becket.protocol import Malformed, Metadata
from becket.wire import HEAD, HEAD_BYTES, Events, Limits, ProtocolError, Session


class Recorder(Events):
    def __init__(self) -> None:
        self.seen: List[Tuple[object, ...]] = []

    def request(self, number: int, operation: int, body: bytes) -> None:
        self.seen.append(("request", number, operation, body))

    def element(self, stream: int, body: bytes) -> None:
        self.seen.append(("element", stream, body))

    def writable(self, stream: int) -> None:
        self.seen.append(("writable", stream))

    def reset(self, stream: int, code: int, why: str) -> None:
        self.seen.append(("reset", stream, code))


def frame(
    kind: int, body: bytes = b"", *, flags: int = 0, code: int = 0, stream: int = 0, aux: int = 0, sequence: int = 0
) -> bytes:
    return HEAD.pack(len(body), kind, flags, code, stream, aux, sequence) + body


def frames(data: bytes) -> List[Tuple[int, int, int, bytes]]:
    """Kind, stream, sequence and body of each frame."""
    found, at = [], 0
    while at < len(data):
        length, kind, _, _, stream, _, sequence = HEAD.unpack_from(data, at)
        found.append((kind, stream, sequence, data[at + HEAD_BYTES : at + HEAD_BYTES + length]))
        at += HEAD_BYTES + length
    return found


def ready(limits: Limits) -> Tuple[Session, Recorder]:
    events = Recorder()
    session = Session(events, limits)
    session.received(frame(wire.HELLO, limits.encode(), aux=wire.VERSION))
    session.take()
    return session, events


HOST_STREAM = 1 << 17


class Frames(unittest.TestCase):
    def test_bytes_may_come_in_any_portions(self) -> None:
        data = frame(wire.REQUEST, b"one", code=2, sequence=1 << 32) + frame(wire.PING, sequence=7)
        data += frame(wire.REQUEST, b"", code=2, sequence=1 << 32 | 1)
        for size in (1, 5, 24, 27, 100):
            session, events = ready(Limits())
            for at in range(0, len(data), size):
                session.received(data[at : at + size])
            self.assertEqual(events.seen, [("request", 1 << 32, 2, b"one"), ("request", 1 << 32 | 1, 2, b"")])
            self.assertEqual(frames(session.take()), [(wire.PONG, 0, 7, b"")])

    def test_elements_wait_for_the_credit_of_stream_and_session(self) -> None:
        session, events = ready(Limits(session_credit_bytes=10, element_bytes_max=8))
        session.received(frame(wire.OPEN, b"", stream=HOST_STREAM, aux=2, sequence=100))
        session.accept(HOST_STREAM, 1, 8)
        session.take()
        self.assertTrue(session.send(HOST_STREAM, b"12345678"))
        # The session has 2 bytes left.
        self.assertFalse(session.send(HOST_STREAM, b"abc"))
        self.assertFalse(session.send(HOST_STREAM, b"d"))
        session.end(HOST_STREAM)
        self.assertEqual([found[3] for found in frames(session.take())], [b"12345678"])
        session.received(frame(wire.CREDIT, sequence=8))
        self.assertEqual([found[3] for found in frames(session.take())], [b"abc"])
        self.assertEqual(events.seen, [])
        session.received(frame(wire.CREDIT, stream=HOST_STREAM, aux=1))
        sent = frames(session.take())
        self.assertEqual([(found[0], found[3]) for found in sent], [(wire.DATA, b"d"), (wire.END, b"")])
        self.assertEqual(events.seen, [("writable", HOST_STREAM)])

    def test_long_elements_are_sent_and_joined_in_pieces(self) -> None:
        session, events = ready(Limits(frame_body_bytes_max=256, element_bytes_max=1000))
        session.received(frame(wire.OPEN, b"", stream=HOST_STREAM, aux=1, sequence=1000))
        session.accept(HOST_STREAM, 1, 1000)
        session.take()
        element = bytes(range(250)) * 4
        session.send(HOST_STREAM, element)
        sent = session.take()
        self.assertEqual([len(found[3]) for found in frames(sent)], [256, 256, 256, 232])
        session.received(sent)
        self.assertEqual(events.seen, [("element", HOST_STREAM, element)])
        with self.assertRaises(wire.TooLong):
            session.send(HOST_STREAM, element + b"1")

    def test_a_reset_is_answered_and_what_crosses_with_it_is_dropped(self) -> None:
        session, events = ready(Limits())
        session.received(frame(wire.OPEN, b"", stream=HOST_STREAM, aux=1, sequence=1000))
        session.accept(HOST_STREAM, 1, 1000)
        session.reset(HOST_STREAM, 300)
        session.take()
        session.received(frame(wire.DATA, b"late", stream=HOST_STREAM, sequence=1))
        session.received(frame(wire.RESET, stream=HOST_STREAM))
        self.assertEqual((events.seen, session.take()), ([], b""))
        session.received(frame(wire.OPEN, b"", stream=HOST_STREAM, aux=1, sequence=1000))
        session.received(frame(wire.RESET, stream=HOST_STREAM, code=5))
        self.assertEqual(events.seen, [("reset", HOST_STREAM, 5)])
        self.assertEqual(frames(session.take()), [(wire.RESET, HOST_STREAM, 0, b"")])

    def test_what_exceeds_a_bound_ends_the_session(self) -> None:
        opened = frame(wire.OPEN, b"", stream=HOST_STREAM, aux=1, sequence=10)
        limits = Limits(frame_body_bytes_max=256, element_bytes_max=300, requests_max=1, streams_max=1)
        for name, data in {
            "a long frame": frame(wire.NOTICE, bytes(257)),
            "two requests": frame(wire.REQUEST, sequence=1 << 32) + frame(wire.REQUEST, sequence=1 << 32 | 1),
            "a request twice": frame(wire.REQUEST, sequence=1 << 32) * 2,
            "two streams": opened + frame(wire.OPEN, b"", stream=HOST_STREAM | 2, aux=1, sequence=10),
            "a stream twice": opened * 2,
            "a stream of this side": frame(wire.OPEN, b"", stream=HOST_STREAM | 1),
            "no credit": opened + frame(wire.DATA, b"x", stream=HOST_STREAM, sequence=1),
            "a long element": opened + frame(wire.DATA, b"x", flags=1, stream=HOST_STREAM, aux=300, sequence=1),
            "an unknown kind": frame(99),
            "a second hello": frame(wire.HELLO, limits.encode(), aux=wire.VERSION),
            "a reply to nothing": frame(wire.REPLY, sequence=1 << 32),
        }.items():
            session, _ = ready(limits)
            with self.subTest(name), self.assertRaises(ProtocolError):
                session.received(data)
        with self.assertRaises(ProtocolError):
            Session(Events()).received(frame(wire.REQUEST, sequence=1 << 32))
        for hello in (b"", b"\x01", b"\x01\x00\x05\x00\x00", b"\x01\x00\x04\x00\xff\x00\x00\x00"):
            with self.assertRaises(ProtocolError):
                Session(Events()).received(frame(wire.HELLO, hello, aux=wire.VERSION))

    def test_random_bytes_raise_nothing_else(self) -> None:
        chance = random.Random(7)
        for _ in range(3000):
            session, _ = ready(Limits())
            head = frame(chance.choice(range(50)), chance.randbytes(20), aux=chance.choice([0, 1, 1 << 31]))
            data = head + chance.randbytes(60)
            try:
                session.received(data)
                session.take()
            except ProtocolError:
                pass

    def test_metadata_that_is_cut_off_is_malformed(self) -> None:
        whole = Metadata("name", "GET", "/p", "q=1", [("a", "ü")]).encode()
        decoded = Metadata.decode(3, whole)
        self.assertEqual((decoded.name, decoded.path, decoded.headers), ("name", "/p", [("a", "ü")]))
        for length in range(len(whole)):
            with self.assertRaises(Malformed):
                Metadata.decode(3, whole[:length])


if __name__ == "__main__":
    unittest.main()
