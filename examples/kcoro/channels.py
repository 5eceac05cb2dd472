# SPDX-License-Identifier: BSD-3-Clause
"""Python: a channel between threads, a select with a token, and asyncio."""

import asyncio
import threading

from kcoro import AsyncChannel, Cancelled, CancelToken, Channel, Kind, TimedOut, select


def squares(numbers: Channel, out: Channel) -> None:
    for (number,) in numbers:
        out.send((number, number * number))
    out.close()


def threads() -> None:
    with Channel("<i", Kind.BUFFERED, 4) as numbers, Channel("<iq", Kind.RENDEZVOUS) as out:
        thread = threading.Thread(target=squares, args=(numbers, out))
        thread.start()
        for number in range(1, 4):
            numbers.send((number,))
        numbers.close()
        print("squares:", list(out))
        thread.join()
        print("sent and received:", out.snapshot().total_sends, out.snapshot().total_recvs)


def selects() -> None:
    with Channel(4) as left, Channel(4) as right, CancelToken() as token:
        right.send(b"ping")
        print("select:", select(left, right))
        try:
            select(left, right, timeout=0.01)
        except TimedOut:
            print("select: nothing came")
        token.trigger()
        try:
            left.recv(cancel=token)
        except Cancelled as error:
            print("recv:", error.strerror)


async def waits() -> None:
    with Channel(5, Kind.RENDEZVOUS) as channel:
        async with AsyncChannel(channel) as port:
            try:
                await asyncio.wait_for(port.recv(), 0.01)
            except asyncio.TimeoutError:
                print("asyncio: the loop went on")
            receiving = asyncio.create_task(port.recv())
            await port.send(b"hello")
            print("asyncio:", await receiving)


threads()
selects()
asyncio.run(waits())
