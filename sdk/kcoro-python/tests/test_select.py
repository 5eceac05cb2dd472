# SPDX-License-Identifier: BSD-3-Clause
"""Select."""

import errno
import unittest

from kcoro import Cancelled, CancelToken, Channel, KcoroError, Kind, Selected, TimedOut, WouldBlock, select
from tests.test_channel import later


class Selects(unittest.TestCase):
    def test_the_first_that_can_completes_and_it_alone(self) -> None:
        with Channel(1, Kind.BUFFERED, 1) as empty, Channel("<i", Kind.BUFFERED, 2) as two:
            two.send((1,))
            self.assertEqual(select(empty, two, (two, (2,))), Selected(1, (1,), False))
            self.assertEqual(len(two), 0)
            self.assertEqual(select(empty, two, (two, (2,))), Selected(2, None, False))
            self.assertEqual(two.recv(), (2,))

    def test_it_waits_for_either_side(self) -> None:
        with Channel(1, Kind.RENDEZVOUS) as one, Channel(1, Kind.RENDEZVOUS) as two:
            thread = later(lambda: two.send(b"x"))
            self.assertEqual(select(one, two), Selected(1, b"x", False))
            thread.join()
            thread = later(lambda: one.recv())
            self.assertEqual(select((one, b"y"), two), Selected(0, None, False))
            thread.join()

    def test_a_closed_channel_completes_its_clause(self) -> None:
        with Channel(1) as open_one, Channel(1) as closed:
            thread = later(closed.close)
            self.assertEqual(select(open_one, closed), Selected(1, None, True))
            thread.join()
            self.assertTrue(select((closed, b"x")).is_closed)

    def test_limits(self) -> None:
        with Channel(1) as channel, CancelToken() as token:
            with self.assertRaises(WouldBlock):
                select(channel, timeout=0)
            with self.assertRaises(TimedOut):
                select(channel, timeout=0.002, cancel=token)
            thread = later(token.trigger)
            with self.assertRaises(Cancelled):
                select(channel, cancel=token)
            thread.join()
            with self.assertRaises(KcoroError) as caught:
                select()
            self.assertEqual(caught.exception.errno, errno.EINVAL)


if __name__ == "__main__":
    unittest.main()
