# SPDX-License-Identifier: BSD-3-Clause
"""asyncio: the loop goes on, and a cancelled receive loses nothing."""

import asyncio
import threading
import unittest
from typing import Any, List

from kcoro import AsyncChannel, Cancelled, Channel, Closed, Kind
from tests.test_channel import later


class Async(unittest.IsolatedAsyncioTestCase):
    async def test_the_loop_goes_on_while_a_receive_waits(self) -> None:
        with Channel(1, Kind.RENDEZVOUS) as channel:
            async with AsyncChannel(channel) as port:
                receiving = asyncio.create_task(port.recv())
                for _ in range(10):
                    await asyncio.sleep(0)
                self.assertFalse(receiving.done())
                await port.send(b"x")
                self.assertEqual(await receiving, b"x")

    async def test_elements_pass_in_order_both_ways(self) -> None:
        with Channel("<i", Kind.RENDEZVOUS) as there, Channel("<i", Kind.BUFFERED, 2) as back:

            def double() -> None:
                for (number,) in there:
                    back.send((2 * number,))
                back.close()

            thread = threading.Thread(target=double)
            thread.start()
            async with AsyncChannel(there) as requests, AsyncChannel(back) as answers:
                sends = [asyncio.create_task(requests.send((number,))) for number in range(100)]
                self.assertEqual([(await answers.recv())[0] for _ in range(100)], list(range(0, 200, 2)))
                await asyncio.gather(*sends)
                there.close()
                self.assertEqual([element async for element in answers], [])
                with self.assertRaises(Closed):
                    await requests.send((1,))
            thread.join()

    async def test_a_timeout_ends_the_wait_in_the_library(self) -> None:
        with Channel(1) as channel:
            async with AsyncChannel(channel) as port:

                async def ended(line: Any) -> None:
                    while line.is_busy:
                        await asyncio.sleep(0.001)

                with self.assertRaises(asyncio.TimeoutError):
                    await asyncio.wait_for(port.recv(), 0.005)
                await asyncio.wait_for(ended(port._recvs), 10)
                channel.send(b"x")
                self.assertEqual(channel.try_recv(), b"x")
                channel.send(b"y")
                with self.assertRaises(asyncio.TimeoutError):
                    await asyncio.wait_for(port.send(b"z"), 0.005)
                await asyncio.wait_for(ended(port._sends), 10)
                self.assertEqual((channel.recv(), channel.try_recv()), (b"y", None))
                await port.send(b"w")
                self.assertEqual(await port.recv(), b"w")

    async def test_sends_that_wait_behind_another_are_cancelled_without_a_trace(self) -> None:
        with Channel(1, Kind.RENDEZVOUS) as channel:
            async with AsyncChannel(channel) as port:
                sends = [asyncio.create_task(port.send(byte)) for byte in (b"1", b"2", b"3")]
                await asyncio.sleep(0)
                sends[1].cancel()
                thread = later(lambda: self.assertEqual((channel.recv(), channel.recv()), (b"1", b"3")))
                await asyncio.gather(sends[0], sends[2])
                self.assertTrue(sends[1].cancelled())
                thread.join()

    async def test_receives_that_are_cancelled_at_any_moment_lose_nothing(self) -> None:
        with Channel("<i", Kind.BUFFERED, 4) as channel:
            count = 1000

            def source() -> None:
                for number in range(count):
                    channel.send((number,))
                channel.close()

            thread = threading.Thread(target=source)
            thread.start()
            received: List[int] = []
            requeued = 0
            async with AsyncChannel(channel) as port:
                try:
                    for attempt in range(100 * count):
                        receiving = asyncio.create_task(port.recv())
                        for _ in range(attempt % 7):
                            await asyncio.sleep(0)
                        receiving.cancel()
                        try:
                            received.append((await receiving)[0])
                        except asyncio.CancelledError:
                            pass
                        requeued += len(port.requeued)
                        if attempt % 3 == 0:
                            received.append((await port.recv())[0])
                except Closed:
                    pass
                received.extend(number for (number,) in port.requeued)
            thread.join()
            self.assertEqual(received, list(range(count)))
            self.assertGreater(requeued, 0)

    async def test_a_future_that_was_set_and_then_cancelled_gives_its_element_to_the_next(self) -> None:
        with Channel(1, Kind.BUFFERED, 2) as channel:
            async with AsyncChannel(channel) as port:
                first, second = asyncio.create_task(port.recv()), asyncio.create_task(port.recv())
                await asyncio.sleep(0)
                port._deliver(b"a", requeue=port.requeued.append)
                first.cancel()
                self.assertEqual(await second, b"a")
                with self.assertRaises(asyncio.CancelledError):
                    await first

    async def test_requeued_elements_keep_their_order(self) -> None:
        with Channel(1) as channel:
            async with AsyncChannel(channel) as port:
                first, second = asyncio.create_task(port.recv()), asyncio.create_task(port.recv())
                await asyncio.sleep(0)
                port._deliver(b"a", requeue=port.requeued.append)
                second.cancel()
                port._deliver(b"b", requeue=port.requeued.append)
                first.cancel()
                await asyncio.wait([first, second])
                self.assertEqual([await port.recv(), await port.recv()], [b"a", b"b"])

    async def test_closing_ends_the_waits_and_the_threads(self) -> None:
        before = threading.active_count()
        with Channel(1, Kind.RENDEZVOUS) as channel:
            port = AsyncChannel(channel)
            waits: List[asyncio.Task[Any]] = [asyncio.create_task(port.recv()), asyncio.create_task(port.recv())]
            await asyncio.sleep(0)
            await port.aclose()
            for wait in waits:
                with self.assertRaises(Cancelled):
                    await wait
            port = AsyncChannel(channel)
            waits = [asyncio.create_task(port.send(b"x")), asyncio.create_task(port.send(b"y"))]
            await asyncio.sleep(0)
            await port.aclose()
            await port.aclose()
            for wait in waits:
                with self.assertRaises(Cancelled):
                    await wait
            with self.assertRaisesRegex(ValueError, "is closed"):
                await port.recv()
            self.assertFalse(any("kcoro" in thread.name for thread in threading.enumerate()))
            # The channel is as it was.
            thread = later(lambda: channel.send(b"x"))
            self.assertEqual(channel.recv(), b"x")
            thread.join()
        self.assertLessEqual(before, threading.active_count())

    async def test_a_wrong_element_is_refused_at_once(self) -> None:
        with Channel(2) as channel:
            async with AsyncChannel(channel) as port:
                with self.assertRaisesRegex(ValueError, "an element has 2 bytes"):
                    await port.send(b"x")


if __name__ == "__main__":
    unittest.main()
