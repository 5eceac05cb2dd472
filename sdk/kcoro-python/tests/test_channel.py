# SPDX-License-Identifier: BSD-3-Clause
"""Channels, tokens, actors and counters."""

import errno
import gc
import threading
import time
import unittest
from typing import Any, Callable, List, Tuple

import kcoro
from kcoro import Actor, Cancelled, CancelToken, Channel, Closed, KcoroError, Kind, TimedOut, WouldBlock


def later(function: Callable[[], object]) -> threading.Thread:
    """Calls it on another thread, when the caller has probably begun to wait."""

    def run() -> None:
        time.sleep(0.01)
        function()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


class Channels(unittest.TestCase):
    def test_a_buffered_one_holds_exactly_its_capacity(self) -> None:
        with Channel(2, Kind.BUFFERED, 3) as channel:
            self.assertEqual([channel.try_send(b"%02d" % i) for i in range(4)], [True, True, True, False])
            self.assertEqual(len(channel), 3)
            with self.assertRaises(WouldBlock):
                channel.send(b"xx", timeout=0)
            with self.assertRaises(TimedOut) as caught:
                channel.send(b"xx", timeout=0.002)
            self.assertEqual(caught.exception.errno, errno.ETIME)
            self.assertIsInstance(caught.exception, TimeoutError)
            channel.close()
            with self.assertRaises(Closed):
                channel.send(b"xx")
            self.assertEqual(list(channel), [b"00", b"01", b"02"])
            with self.assertRaises(Closed):
                channel.try_recv()

    def test_a_conflated_one_holds_the_latest(self) -> None:
        with Channel(1, Kind.CONFLATED) as channel:
            for byte in (b"a", b"b", b"c"):
                channel.send(byte)
            self.assertEqual((channel.recv(), channel.try_recv()), (b"c", None))

    def test_an_unlimited_one_never_waits(self) -> None:
        with Channel("<q200s", Kind.UNLIMITED) as channel:
            for number in range(500):
                channel.send((number, b"x" * 200), timeout=0)
            self.assertEqual([channel.recv(0)[0] for _ in range(500)], list(range(500)))

    def test_a_rendezvous_hands_over_between_threads(self) -> None:
        with Channel("<i", Kind.RENDEZVOUS) as there, Channel("<i", Kind.RENDEZVOUS) as back:

            def squares() -> None:
                for (number,) in there:
                    back.send((number * number,))
                back.close()

            thread = threading.Thread(target=squares)
            thread.start()
            for number in range(200):
                there.send((number,))
                self.assertEqual(back.recv(), (number * number,))
            there.close()
            self.assertEqual(list(back), [])
            thread.join()

    def test_elements_have_their_layout(self) -> None:
        with Channel("<hd4s", Kind.UNLIMITED) as channel:
            channel.send((-3, 2.5, b"four"))
            self.assertEqual(channel.recv(), (-3, 2.5, b"four"))
        with Channel(4) as channel:
            channel.send(b"1234")
            self.assertEqual(channel.recv(), b"1234")
            for wrong in (b"123", b"12345", b""):
                with self.assertRaisesRegex(ValueError, "an element has 4 bytes, got"):
                    channel.send(wrong)
        for layout in (0, -1, ""):
            with self.assertRaisesRegex(ValueError, "at least 1"):
                Channel(layout)

    def test_what_the_library_refuses(self) -> None:
        with self.assertRaises(KcoroError) as caught:
            Channel(4, -9)  # type: ignore[call-overload]
        self.assertEqual(caught.exception.errno, errno.EINVAL)
        with self.assertRaises(KcoroError) as caught:
            Channel(1 << 20, Kind.BUFFERED, 1 << 42)
        self.assertEqual(caught.exception.errno, errno.ENOMEM)

    def test_a_wait_releases_the_interpreter(self) -> None:
        with Channel(1) as channel:
            thread = later(lambda: channel.send(b"x"))
            self.assertEqual(channel.recv(), b"x")
            thread.join()

    def test_closing_ends_a_wait(self) -> None:
        with Channel(1) as channel:
            thread = later(channel.close)
            with self.assertRaises(Closed):
                channel.recv()
            thread.join()

    def test_destroying_ends_a_wait_and_frees_when_it_has_ended(self) -> None:
        channel = Channel(1)
        ended: List[Any] = []
        destroy = channel._handle._destroy
        channel._handle._destroy = ended.append
        thread = later(channel.destroy)
        with self.assertRaises(Closed):
            channel.recv()
        thread.join()
        channel.destroy()
        self.assertEqual(ended, [channel._handle._pointer])
        destroy(ended[0])
        for call in (channel.recv, channel.close, channel.snapshot, lambda: channel.pointer):
            with self.assertRaisesRegex(ValueError, "was destroyed"):
                call()

    def test_destroying_races_with_calls(self) -> None:
        for _ in range(100):
            channel = Channel(8, Kind.BUFFERED, 2)

            def use(channel: Channel[bytes] = channel) -> None:
                try:
                    while True:
                        channel.send(b"12345678")
                        channel.recv()
                except (Closed, ValueError):
                    pass

            threads = [threading.Thread(target=use) for _ in range(3)]
            for thread in threads:
                thread.start()
            channel.destroy()
            for thread in threads:
                thread.join()

    def test_one_that_is_dropped_is_destroyed(self) -> None:
        ended: List[Any] = []
        channel = Channel(1)
        channel._handle._destroy = ended.append
        pointer = channel.pointer
        del channel
        gc.collect()
        self.assertEqual(ended, [pointer])
        kcoro._library.lib.kc_chan_destroy(pointer)

    def test_statistics(self) -> None:
        with Channel(4, Kind.BUFFERED, 2) as channel:
            before = channel.snapshot()
            channel.send(b"1234")
            channel.send(b"1234")
            self.assertFalse(channel.try_send(b"1234"))
            channel.recv()
            now = channel.snapshot()
            self.assertEqual((now.total_sends, now.total_bytes_sent, now.count, now.capacity), (2, 8, 1, 2))
            self.assertEqual((now.send_eagain, now.closed, now.kind), (1, 0, Kind.BUFFERED))
            rate = kcoro.rate(before, now)
            self.assertEqual((rate.delta_sends, rate.delta_recvs, rate.delta_send_eagain), (2, 1, 1))
            self.assertEqual(kcoro.rate(now, now).delta_sends, 0)
            self.assertEqual(kcoro.rate(None, now).delta_bytes_recv, 4)
            stats = channel.stats()
            self.assertEqual((stats.total_sends, stats.total_recvs), (2, 1))
            channel.close()
            self.assertEqual(channel.snapshot().closed, 1)


class Tokens(unittest.TestCase):
    def test_one_that_is_set_outranks_an_element(self) -> None:
        with Channel(1) as channel, CancelToken() as token:
            channel.send(b"x", cancel=token)
            token.trigger()
            token.trigger()
            self.assertTrue(token.is_set)
            with self.assertRaises(Cancelled):
                channel.recv(cancel=token)
            self.assertEqual(channel.recv(), b"x")

    def test_it_ends_waits(self) -> None:
        with Channel(1, Kind.RENDEZVOUS) as channel, CancelToken() as parent:
            for wait in (lambda token: channel.recv(cancel=token), lambda token: channel.send(b"x", cancel=token)):
                token = CancelToken(parent)
                thread = later(token.trigger)
                with self.assertRaises(Cancelled):
                    wait(token)
                thread.join()
            self.assertFalse(parent.is_set)
            child = CancelToken(CancelToken(parent))
            self.assertFalse(child.wait(0.002))
            thread = later(parent.trigger)
            self.assertTrue(child.wait())
            thread.join()
            self.assertTrue(CancelToken(parent).is_set)

    def test_a_destroyed_one_is_refused(self) -> None:
        token = CancelToken()
        token.destroy()
        with Channel(1) as channel, self.assertRaisesRegex(ValueError, "was destroyed"):
            channel.send(b"x", cancel=token)


class Actors(unittest.TestCase):
    def test_it_handles_messages_until_it_is_stopped(self) -> None:
        with Channel("<i", Kind.UNLIMITED) as inbox, Channel("<i", Kind.UNLIMITED) as out:
            total = 0

            def add(message: Tuple[Any, ...]) -> None:
                nonlocal total
                total += message[0]
                out.send((total,))

            with Actor(inbox, add) as actor:
                for number in range(1, 5):
                    inbox.send((number,))
                self.assertEqual([out.recv()[0] for _ in range(4)], [1, 3, 6, 10])
                self.assertFalse(actor.join(0.002))
            inbox.send((9,))
            self.assertEqual((len(inbox), len(out)), (1, 0))

    def test_it_ends_with_its_channel_and_may_stop_itself(self) -> None:
        with Channel(1, Kind.UNLIMITED) as inbox:
            inbox.send(b"1")
            self.assertTrue(Actor(inbox, lambda _: inbox.close()).join())
        with Channel(1) as inbox:
            itself = Actor(inbox, lambda _: itself.stop())
            inbox.send(b"1")
            self.assertTrue(itself.join())

    def test_the_exception_of_its_function_is_raised_by_stop(self) -> None:
        with Channel(1) as inbox:
            actor = Actor(inbox, lambda message: message[7])
            inbox.send(b"1")
            with self.assertRaises(IndexError):
                actor.join()
            actor.stop()


class Library(unittest.TestCase):
    def test_it_contained_no_panic(self) -> None:
        self.assertEqual(kcoro.panics_contained(), 0)

    def test_timeouts_are_never_shorter_and_never_endless_by_accident(self) -> None:
        cases = {None: -1, 0: 0, -1: 0, 0.0001: 1, 0.002: 2, 0.0021: 3, 1e30: -1}
        self.assertEqual({case: kcoro._library.milliseconds(case) for case in cases}, cases)


if __name__ == "__main__":
    unittest.main()
