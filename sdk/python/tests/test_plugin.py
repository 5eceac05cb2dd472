# SPDX-License-Identifier: BSD-3-Clause
"""Plugins under the host of `becket.testing`: calls, streams, failures, ends."""

import asyncio
import logging
import threading
import unittest
from typing import AsyncIterator, Iterator, List

from becket import (
    BlockingSession,
    BlockingSink,
    Call,
    CallerLeft,
    Failure,
    Plugin,
    Refused,
    Session,
    Sink,
    StartError,
    Status,
)
from becket.testing import CallRefused, Host


class Configuration(unittest.TestCase):
    def test_it_may_be_longer_than_a_frame(self) -> None:
        plugin = Plugin("long")

        @plugin.entry
        def length(call: Call) -> str:
            return str(len(plugin.config["long"]))

        with Host(plugin, config={"long": "x" * 300_000}) as host:
            self.assertEqual(host.call("length").text(), "300000")
        with self.assertRaises(CallRefused):
            Host(plugin, config={"long": "x" * (17 << 20)}).__enter__()


class Calls(unittest.TestCase):
    def test_every_kind_of_handler_answers(self) -> None:
        plugin = Plugin("kinds")

        @plugin.entry
        async def on_loop(call: Call) -> bytes:
            await asyncio.sleep(0)
            return call.body

        @plugin.entry
        def on_thread(call: Call) -> str:
            return threading.current_thread().name

        @plugin.entry("at once", blocking=False)
        def at_once(call: Call) -> object:
            return {"entry": call.entry}

        with Host(plugin) as host:
            self.assertEqual(host.entries, ["on_loop", "on_thread", "at once"])
            self.assertEqual(host.call("on_loop", b"x").body, b"x")
            self.assertTrue(host.call("on_thread").text().startswith("becket-"))
            self.assertEqual(host.call("at once").json(), {"entry": "at once"})

    def test_long_payloads_and_answers_come_whole(self) -> None:
        plugin = echoing()
        with Host(plugin) as host:
            for size in (0, 1, 65_000, 65_536, 3 << 20):
                self.assertEqual(host.call("echo", b"7" * size).body, b"7" * size)
            with self.assertRaises(CallRefused) as raised:
                host.call("long", str((16 << 20) + 1))
            self.assertEqual(raised.exception.status, Status.TOO_LONG)

    def test_a_request_has_its_metadata(self) -> None:
        plugin = Plugin("request")

        @plugin.entry
        async def seen(call: Call) -> object:
            return [call.is_request, call.method, call.path, call.query, call.header("A"), call.text()]

        with Host(plugin) as host:
            answer = host.call("seen", "ü", method="PUT", path="/p", query="q=1", headers=[("a", "1"), ("A", "2")])
            self.assertEqual(answer.json(), [True, "PUT", "/p", "q=1", "1", "ü"])
            self.assertEqual(host.call("seen").json(), [False, "", "", "", None, ""])

    def test_failures_have_their_status(self) -> None:
        plugin = Plugin("fails")

        @plugin.entry
        async def failure(call: Call) -> None:
            raise Failure(77, "why")

        @plugin.entry
        async def refusal(call: Call) -> None:
            raise Refused(Status.BACKPRESSURE)

        @plugin.entry
        def raises(call: Call) -> None:
            raise RuntimeError("not for the caller")

        @plugin.entry(blocking=False)
        def wrong(call: Call) -> object:
            return 7

        @plugin.entry
        async def needs_json(call: Call) -> object:
            return call.json()

        with Host(plugin) as host:
            answer = host.call("failure")
            self.assertEqual((answer.status, answer.body), (77, b"why"))
            self.assertEqual(host.call("needs_json", "{").status, Status.INVALID)
            for entry, status in [
                ("refusal", Status.BACKPRESSURE),
                ("raises", Status.PANIC),
                ("wrong", Status.PANIC),
                ("absent", Status.UNSUPPORTED),
            ]:
                with self.assertRaises(CallRefused) as raised:
                    host.call(entry)
                self.assertEqual(raised.exception.status, status, entry)
            messages = [log.message for log in host.logs if log.level == logging.ERROR]
            self.assertIn('raise RuntimeError("not for the caller")', messages[0])
            self.assertIn("return bytes, str, dict, list or None", messages[1])

    def test_a_blocking_handler_stops_no_other(self) -> None:
        plugin = Plugin("blocks", threads=2)
        release = threading.Event()

        @plugin.entry
        def blocks(call: Call) -> str:
            return str(release.wait(10))

        @plugin.entry
        async def quick(call: Call) -> str:
            return "quick"

        with Host(plugin) as host:
            blocked = [host.begin("blocks") for _ in range(5)]
            self.assertEqual(host.call("quick").text(), "quick")
            release.set()
            self.assertEqual([call.result().text() for call in blocked], ["True"] * 5)

    def test_a_caller_that_leaves_cancels_its_handler(self) -> None:
        plugin = Plugin("left", threads=1)
        ended: List[str] = []
        begun, seen = threading.Event(), threading.Event()

        @plugin.entry
        async def waits(call: Call) -> None:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                ended.append("cancelled")
                seen.set()
                raise

        @plugin.entry
        def polls(call: Call) -> str:
            begun.set()
            while not call.is_cancelled:
                pass
            seen.set()
            return "late"

        with Host(plugin) as host:
            pending = host.begin("waits", deadline_ms=60_000)
            host.notify("waits")
            pending.cancel()
            with self.assertRaises(CallRefused) as raised:
                pending.result()
            self.assertEqual(raised.exception.status, Status.TIMEOUT)
            pending = host.begin("polls")
            self.assertTrue(begun.wait(10))
            pending.cancel()
            self.assertTrue(seen.wait(10))
            with self.assertRaises(CallRefused):
                pending.result()

    def test_the_deadline_is_known(self) -> None:
        plugin = Plugin("deadline")

        @plugin.entry
        async def left(call: Call) -> str:
            remaining = call.remaining()
            return "none" if remaining is None else str(0 < remaining <= 5)

        with Host(plugin) as host:
            self.assertEqual(host.call("left").text(), "none")
            self.assertEqual(host.call("left", deadline_ms=5000).text(), "True")

    def test_entries_that_are_not_listed_go_to_the_fallback(self) -> None:
        plugin = echoing()

        @plugin.fallback
        async def others(call: Call) -> str:
            return f"{call.entry} {call.method}"

        with Host(plugin) as host:
            self.assertFalse(host.is_complete)
            self.assertEqual(host.call("anything", method="GET").text(), "anything GET")
            self.assertEqual(host.call("other").text(), "other ")
            self.assertEqual(host.call("echo", b"x").body, b"x")


class Streams(unittest.TestCase):
    def test_every_kind_of_handler_sends_frames(self) -> None:
        plugin = Plugin("frames")

        @plugin.stream
        async def sends(sink: Sink) -> str:
            await sink.send("1")
            return "last"

        @plugin.stream
        async def yields(call: Call) -> AsyncIterator[bytes]:
            yield b"1"
            yield b"2"

        @plugin.stream
        def sends_blocking(sink: BlockingSink) -> None:
            sink.send(b"1")

        @plugin.stream
        def yields_blocking(call: Call) -> Iterator[str]:
            yield "1"
            yield "2"

        @plugin.entry
        async def one(call: Call) -> str:
            return "one"

        with Host(plugin) as host:
            for entry, frames in [
                ("sends", [(Status.OK, b"1"), (Status.STREAM_END, b"last")]),
                ("yields", [(Status.OK, b"1"), (Status.OK, b"2")]),
                ("sends_blocking", [(Status.OK, b"1")]),
                ("yields_blocking", [(Status.OK, b"1"), (Status.OK, b"2")]),
                ("one", [(Status.OK, b"one")]),
            ]:
                found = [(frame.status, frame.body) for frame in host.stream(entry)]
                self.assertEqual(found, frames, entry)

    def test_sessions_go_both_ways_in_order(self) -> None:
        plugin = chatting()
        with Host(plugin) as host:
            for entry in ("chat", "chat_blocking"):
                stream = host.stream(entry, b"x" * 100_000)
                for number in range(200):
                    stream.send(f"{number}")
                    frame = stream.receive()
                    assert frame is not None
                    self.assertEqual(frame.text(), f"echo {number}")
                stream.send(b"7" * (3 << 20))
                frame = stream.receive()
                assert frame is not None
                self.assertEqual(len(frame.body), (3 << 20) + 5)
                stream.close()
                self.assertEqual([frame.text() for frame in stream], ["bye after 201"])

    def test_a_sender_waits_for_its_receiver(self) -> None:
        plugin = Plugin("pressure")
        sent: List[int] = []

        @plugin.stream
        async def many(sink: Sink) -> None:
            for number in range(500):
                await sink.send(str(number))
                sent.append(number)

        @plugin.entry
        async def progress(call: Call) -> str:
            return str(len(sent))

        with Host(plugin) as host:
            stream = host.stream("many", frames=4)
            first = stream.receive()
            assert first is not None
            self.assertEqual(first.text(), "0")
            # Frames 1 to 4 are under way or arrived; frame 5 waits for credit.
            self.assertLessEqual(int(host.call("progress").text()), 5)
            self.assertEqual([int(frame.text()) for frame in stream], list(range(1, 500)))

    def test_data_waits_for_its_handler(self) -> None:
        plugin = Plugin("slow")
        release = threading.Event()

        @plugin.session
        def reads_late(session: BlockingSession) -> str:
            release.wait(10)
            return str(sum(len(data) for data in session))

        with Host(plugin) as host:
            stream = host.stream("reads_late")
            # The plugin accepts 64 messages that its handler has not received.
            for _ in range(65):
                stream.send(b"x")
            self.assertTrue(stream._is_full)
            release.set()
            stream.close()
            self.assertEqual([frame.text() for frame in stream], ["65"])

    def test_failures_and_refusals(self) -> None:
        plugin = Plugin("fails")

        @plugin.stream
        async def refuses(sink: Sink) -> None:
            raise Refused(Status.INVALID)

        @plugin.stream
        async def fails(sink: Sink) -> None:
            await sink.send("1")
            raise Failure(77, "why")

        @plugin.stream
        def raises(sink: BlockingSink) -> None:
            sink.send("1")
            raise RuntimeError("not for the caller")

        @plugin.stream
        async def too_long(sink: Sink) -> None:
            await sink.send(b"x" * (17 << 20))

        with Host(plugin) as host:
            for entry in ("refuses", "absent"):
                with self.assertRaises(CallRefused):
                    host.stream(entry).receive()
            for entry, last in [("fails", (77, b"why")), ("raises", (Status.PANIC, b""))]:
                frames = [(frame.status, frame.body) for frame in host.stream(entry)]
                self.assertEqual(frames, [(Status.OK, b"1"), last], entry)
            frames = [(frame.status, frame.body) for frame in host.stream("too_long")]
            self.assertEqual(frames, [(Status.TOO_LONG, b"")])

    def test_a_caller_that_leaves_ends_its_handler(self) -> None:
        plugin = Plugin("left")
        ended: List[str] = []
        done = threading.Semaphore(0)

        @plugin.session
        async def on_loop(session: Session) -> None:
            try:
                await session.send("here")
                await session.receive()
            except asyncio.CancelledError:
                ended.append("cancelled")
                done.release()
                raise

        @plugin.session
        def on_thread(session: BlockingSession) -> None:
            try:
                session.send("here")
                session.receive()
            except CallerLeft:
                ended.append("left")
                done.release()
                raise

        with Host(plugin) as host:
            for entry in ("on_loop", "on_thread"):
                stream = host.stream(entry)
                stream.receive()
                stream.leave()
                self.assertTrue(done.acquire(timeout=10), entry)
        self.assertEqual(ended, ["cancelled", "left"])


class Lives(unittest.TestCase):
    def test_hooks_see_the_configuration(self) -> None:
        plugin = Plugin("life", config_default={"a": 1, "b": 2})
        seen: List[object] = []

        @plugin.on_start
        async def start() -> None:
            seen.append(dict(plugin.config))

        @plugin.on_stop
        def stop() -> None:
            seen.append("stopped")

        with Host(plugin, config={"b": 3}):
            pass
        self.assertEqual(seen, [{"a": 1, "b": 3}, "stopped"])

    def test_a_start_that_fails_says_why(self) -> None:
        for error, text in [
            (StartError("no database", "refused", "start it"), "error: no database\ncause: refused\nhint: start it"),
            (KeyError("port"), "plugin bad was not started: KeyError: 'port'"),
        ]:
            plugin = Plugin("bad")

            def start(error: Exception = error) -> None:
                raise error

            plugin.on_start(start)
            with self.assertRaises(CallRefused) as raised, Host(plugin):
                pass
            self.assertIn(text, str(raised.exception))

    def test_logs_reach_the_host(self) -> None:
        plugin = Plugin("logs")

        @plugin.entry
        def says(call: Call) -> None:
            logging.getLogger("mine").warning("said %d", 7)
            logging.getLogger("mine").debug("not at this level")

        with Host(plugin) as host:
            host.call("says")
            host.wait_for(lambda: bool(host.logs))
            log = host.logs[0]
            self.assertEqual((log.level, log.logger, log.message), (logging.WARNING, "mine", "said 7"))
            self.assertEqual(len(host.logs), 1)

    def test_metrics_reach_the_host(self) -> None:
        plugin = Plugin("counts")
        calls = plugin.counter("calls_total", "Calls")
        size = plugin.gauge("bytes")
        sizes = plugin.histogram("sizes")

        @plugin.entry
        def count(call: Call) -> None:
            calls.add()
            size.set(len(call.body))
            sizes.record(len(call.body))

        with Host(plugin) as host:
            for body in (b"1", b"22", b"333", b"333"):
                host.call("count", body)
            host.wait_for(lambda: host.metric("calls_total") == 4)
            self.assertEqual((host.metric("bytes"), host.metric("sizes")), (3, 9))
        # What changed last is sent before the end.
        with Host(plugin) as host:
            host.call("count", b"1")
        self.assertEqual(host.metric("calls_total"), 1)
        with self.assertRaisesRegex(ValueError, "cannot grow by -1"):
            calls.add(-1)

    def test_state_is_handed_over(self) -> None:
        plugin = Plugin("state")
        taken: List[bytes] = []

        @plugin.exports_state
        async def give() -> bytes:
            return b"7" * 100_000

        @plugin.imports_state
        def take(state: bytes) -> None:
            if state == b"bad":
                raise ValueError("not of this version")
            taken.append(state)

        with Host(plugin) as host:
            state = host.export_state()
            host.import_state(state)
            host.import_state(b"short")
            self.assertEqual(taken, [b"7" * 100_000, b"short"])
            with self.assertRaises(CallRefused):
                host.import_state(b"bad")
        with Host(echoing()) as host:
            self.assertIsNone(host.export_state())
            for state in (b"short", b"7" * 100_000):
                with self.assertRaises(CallRefused):
                    host.import_state(state)

    def test_notifications_of_any_length_arrive(self) -> None:
        plugin = Plugin("notified")
        lengths: List[int] = []
        arrived = threading.Semaphore(0)

        @plugin.entry
        async def note(call: Call) -> None:
            lengths.append(len(call.body))
            arrived.release()

        with Host(plugin) as host:
            for length in (0, 10, 100_000):
                host.notify("note", bytes(length))
                self.assertTrue(arrived.acquire(timeout=10))
        self.assertEqual(lengths, [0, 10, 100_000])

    def test_what_cannot_be_a_plugin_is_refused(self) -> None:
        plugin = echoing()
        with self.assertRaisesRegex(ValueError, "has an entry 'echo' already"):
            plugin.entry("echo")(lambda call: None)
        with self.assertRaisesRegex(TypeError, r"use `@plugin.stream`"):

            @plugin.entry
            def yields(call: Call) -> Iterator[str]:
                yield "1"

        with self.assertRaisesRegex(ValueError, "expected at least 1"):
            Plugin("none", threads=0)


def echoing() -> Plugin:
    plugin = Plugin("echoes")

    @plugin.entry
    async def echo(call: Call) -> bytes:
        return call.body

    @plugin.entry
    async def long(call: Call) -> bytes:
        return bytes(int(call.text()))

    return plugin


def chatting() -> Plugin:
    plugin = Plugin("chats")

    @plugin.session
    async def chat(session: Session) -> str:
        count = 0
        async for data in session:
            await session.send(b"echo " + data)
            count += 1
        return f"bye after {count}"

    @plugin.session
    def chat_blocking(session: BlockingSession) -> str:
        count = 0
        for data in session:
            session.send(b"echo " + data)
            count += 1
        return f"bye after {count}"

    return plugin


if __name__ == "__main__":
    unittest.main()
