# SPDX-License-Identifier: BSD-3-Clause
"""Channels of another process: a server by the functions of C, on threads of this one."""

import errno
import os
import tempfile
import threading
import unittest
from typing import Any, List

from kcoro import Closed, Connection, Disconnected, KcoroError, Kind, TimedOut, WouldBlock
from kcoro._library import ffi, lib
from tests.test_channel import later

libc: Any = None


def free(payload: Any) -> None:
    """Frees what kc_ipc_recv allocated."""
    global libc
    if libc is None:
        loader = type(ffi)()
        loader.cdef("void free(void *);")
        libc = loader, loader.dlopen(None)
    libc[1].free(libc[0].cast("void *", int(ffi.cast("intptr_t", payload))))


class Server:
    """Accepts, and handles the commands of each connection on a thread."""

    def __init__(self, path: str) -> None:
        out = ffi.new("kc_ipc_server_t **")
        assert lib.kc_ipc_srv_listen(path.encode(), out) == 0
        self._srv, self._context = out[0], lib.kc_ipc_server_ctx_create()
        self._conns: List[Any] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        out = ffi.new("kc_ipc_conn_t **")
        while lib.kc_ipc_srv_accept(self._srv, out) == 0:
            thread = threading.Thread(target=self._serve, args=(out[0],))
            self._threads.append(thread)
            thread.start()

    def _serve(self, conn: Any) -> None:
        cmd, payload, length = ffi.new("uint16_t *"), ffi.new("uint8_t **"), ffi.new("size_t *")
        code = lib.kc_ipc_hs_srv(conn, ffi.NULL, ffi.NULL)
        while code == 0 and lib.kc_ipc_recv(conn, cmd, payload, length) == 0:
            code = lib.kc_ipc_handle_command(self._context, conn, cmd[0], payload[0], length[0])
            free(payload[0])
        lib.kc_ipc_conn_close(conn)

    def close(self) -> None:
        """After its clients."""
        lib.kc_ipc_srv_close(self._srv)
        self._threads[0].join()
        for thread in self._threads[1:]:
            thread.join()
        lib.kc_ipc_server_ctx_destroy(self._context)


class Clients(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = os.path.join(folder.name, "s")
        server = Server(self.path)
        self.addCleanup(server.close)

    def test_elements_pass_between_connections(self) -> None:
        with Connection(self.path) as one, Connection(self.path) as two:
            self.assertEqual(one.peer_version[0], 1)
            made = one.make("<iq", Kind.BUFFERED, 4)
            opened = two.open(made.number, "<iq")
            made.send((1, 2))
            self.assertEqual(opened.recv(), (1, 2))
            thread = later(lambda: opened.send((3, 4)))
            self.assertEqual(made.recv(), (3, 4))
            thread.join()
            made.send((5, 6))
            made.close()
            self.assertEqual(list(opened), [(5, 6)])
            with self.assertRaises(Closed):
                opened.send((7, 8))
            made.destroy()
            opened.destroy()

    def test_limits_are_kept(self) -> None:
        with Connection(self.path) as connection, connection.make(3) as channel:
            with self.assertRaises(WouldBlock):
                channel.recv(timeout=0)
            with self.assertRaises(TimedOut):
                channel.recv(timeout=0.005)
            channel.send(b"abc")
            with self.assertRaises(ValueError):
                channel.send(b"ab")
            with self.assertRaises(TimedOut):
                channel.send(b"abc", timeout=0.005)

    def test_destroying_ends_a_wait(self) -> None:
        with Connection(self.path) as connection:
            channel = connection.make(1)
            thread = later(channel.destroy)
            with self.assertRaises(Closed):
                channel.recv()
            thread.join()
            with self.assertRaisesRegex(ValueError, "was destroyed"):
                channel.recv()

    def test_a_closed_connection_ends_its_channels(self) -> None:
        connection = Connection(self.path)
        channel = connection.make(1)
        thread = later(connection.close)
        with self.assertRaises(Disconnected) as caught:
            channel.recv()
        self.assertIsInstance(caught.exception, ConnectionResetError)
        thread.join()
        with self.assertRaises(Disconnected):
            channel.send(b"x")
        with self.assertRaisesRegex(ValueError, "was destroyed"):
            connection.make(1)
        channel.destroy()

    def test_what_is_not_there(self) -> None:
        with Connection(self.path) as connection:
            with connection.open(77, 4) as unknown, self.assertRaises(KcoroError) as caught:
                unknown.send(b"1234")
            self.assertEqual(caught.exception.errno, errno.ENOENT)
            with self.assertRaises(KcoroError) as caught:
                connection.make(70_000)
            self.assertEqual(caught.exception.errno, errno.EMSGSIZE)
        with self.assertRaises(KcoroError) as caught:
            Connection(self.path + "-absent")
        self.assertEqual(caught.exception.errno, errno.ENOENT)


if __name__ == "__main__":
    unittest.main()
