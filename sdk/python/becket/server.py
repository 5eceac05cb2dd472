# SPDX-License-Identifier: BSD-3-Clause
"""The event loop that serves a session.

    socket --> wire.Session --> a task, a thread or a plain call of the handler
                   ^                                          |
                   +--------- reply, element <----------------+

One thread runs the event loop and is the only one that touches the session. Plain functions run on
`threads.Threads` and pass their results over.

Invariants:

1. Each call ends once: by its handler's result, an exception, or the host when the caller has left. Then its
   task is cancelled; what a thread returns later is dropped.
2. An exception never ends the session: it is logged with its traceback, and its call is refused with `PANIC`.
3. Output is written once for everything that became ready together.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
import socket
import sys
import traceback
from collections import deque
from typing import TYPE_CHECKING, Any, Coroutine, Deque, Dict, List, Optional, Tuple, Union

from becket import metrics, protocol, wire
from becket.call import Call, CallerLeft, Failure, Refused, StartError, Status, to_bytes
from becket.entry import AT_ONCE, ON_LOOP, ON_THREAD, SESSION, Entry
from becket.protocol import CALL_HEAD, CALL_HEAD_BYTES, DONE, RESET_REFUSED, STATUS
from becket.streams import BlockingSession, BlockingSink, Session, Sink
from becket.threads import Threads

if TYPE_CHECKING:
    from becket.plugin import Plugin

READ_BYTES = 256 << 10
LOG_BACKLOG_MAX = 10_000
"""Log lines that were not written yet; further ones are dropped and counted."""

OK = STATUS.pack(Status.OK)
FIRST_REQUEST = 1 << 32
"""Requests have numbers from here, streams smaller ones, notifications negative ones."""
IS_EAGER = sys.version_info >= (3, 12)

Ending = Tuple[int, bytes]
"""How a call ends: the status of its reply, and its body."""


class Server(wire.Events):
    """Serves one session."""

    def __init__(self, plugin: Plugin, connection: socket.socket) -> None:
        self.plugin = plugin
        self.session = wire.Session(self)
        self._connection = connection
        self._threads = Threads(plugin.threads)
        self._calls: Dict[int, Call] = {}
        self._tasks: Dict[int, asyncio.Task[None]] = {}
        self._sinks: Dict[int, Sink] = {}
        self._payloads: Dict[int, Tuple[int, bytes]] = {}
        self._results: Deque[Tuple[int, Ending]] = deque()
        self._load_parts = bytearray()
        self._notifications = 0
        self._is_flush_due = self._is_reading = False
        self._unwritten: Optional[memoryview] = None
        self._log_backlog = self._logs_dropped = 0
        self._logs = _Logs(self)
        self._logger = logging.getLogger(plugin.name)
        self._loop: asyncio.AbstractEventLoop
        self._over: asyncio.Future[None]

    async def serve(self) -> None:
        """Serves until the host ends the plugin, or is gone."""
        self._loop = asyncio.get_running_loop()
        self._over = self._loop.create_future()
        self._connection.setblocking(False)
        self._loop.add_reader(self._connection, self._readable)
        root, logs = logging.getLogger(), self._logs
        level = root.level
        root.addHandler(logs)
        root.setLevel(self.plugin.log_level or logging.INFO)
        try:
            await self._over
        finally:
            root.removeHandler(logs)
            root.setLevel(level)
            self.plugin.metrics.attach(None)
            self._loop.remove_reader(self._connection)
            self._loop.remove_writer(self._connection)
            for call in self._calls.values():
                call._is_cancelled = True
            for sink in self._sinks.values():
                sink._left()
            for task in list(self._tasks.values()):
                task.cancel()
            self._threads.end()

    # The socket.

    def _readable(self) -> None:
        try:
            data = self._connection.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            return self._end()
        self._is_reading = True
        try:
            self.session.received(data)
        except wire.ProtocolError as error:
            print(f"error: the host violated a rule of the session: {error}", file=sys.stderr)
            self.session.close(1, str(error))
            self._flush()
            return self._end()
        finally:
            self._is_reading = False
        # A flush that is due comes after the tasks that were started.
        if not self._is_flush_due:
            self._flush()

    def flush_soon(self) -> None:
        """Has the output written, once, after everything that is ready has run."""
        if not self._is_flush_due and not self._is_reading:
            self._is_flush_due = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._is_flush_due = False
        while self._unwritten is None:
            data = self.session.take()
            if not data:
                return
            self._write(memoryview(data))

    def _write(self, data: memoryview) -> None:
        """Writes all of it, or keeps the rest."""
        while data:
            try:
                data = data[self._connection.send(data) :]
            except BlockingIOError:
                if self._unwritten is None:
                    self._loop.add_writer(self._connection, self._writable)
                self._unwritten = data
                return
            except OSError:
                # The host is gone.
                self._unwritten = None
                self._loop.remove_writer(self._connection)
                return self._end()
        if self._unwritten is not None:
            self._unwritten = None
            self._loop.remove_writer(self._connection)

    def _writable(self) -> None:
        if self._unwritten is not None:
            self._write(self._unwritten)
        self._flush()

    def _end(self) -> None:
        if not self._over.done():
            self._over.set_result(None)

    # Calls.

    def request(self, number: int, operation: int, body: bytes) -> None:
        if operation == protocol.CALL:
            return self._call(number, body)
        if operation == protocol.LOAD:
            body, self._load_parts = bytes(self._load_parts) + body, bytearray()
            return self._start(number, self._load(number, body))
        if operation == protocol.LOAD_PART:
            if len(self._load_parts) + len(body) > protocol.LOAD_BYTES_MAX:
                return self._reply(number, (protocol.TOO_MUCH, b""))
            self._load_parts += body
            return self._reply(number, (protocol.DONE, b""))
        if operation == protocol.SHUTDOWN:
            return self._start(number, self._shutdown(number))
        if operation == protocol.EXPORT:
            return self._start(number, self._export(number))
        if operation == protocol.IMPORT and self.plugin.import_hook is not None:
            return self._start(number, self._import(number, body))
        self._reply(number, (protocol.UNKNOWN_OPERATION, b""))

    def _call(self, key: int, body: bytes) -> None:
        entry, call = self._parse(body)
        if entry is None or call is None:
            return self._reply(key, (protocol.UNKNOWN_ENTRY, b""))
        runs = entry.runs
        if not entry.is_unary:
            self._reply(key, (protocol.REFUSED, STATUS.pack(Status.UNSUPPORTED)))
        elif runs == AT_ONCE:
            try:
                ending = (DONE, OK + to_bytes(entry.handler(call)))
            except BaseException as error:
                ending = self._ending(entry, error)
            self._reply(key, ending)
        elif runs == ON_LOOP:
            self._calls[key] = call
            self._start(key, self._on_loop(key, entry, call))
        else:
            self._calls[key] = call
            self._threads.submit(lambda: self._on_thread(key, entry, call))

    def _parse(self, body: bytes) -> Tuple[Optional[Entry], Optional[Call]]:
        if len(body) < CALL_HEAD_BYTES:
            return None, None
        place, deadline_ms, shape, metadata_bytes = CALL_HEAD.unpack_from(body)
        payload_at = CALL_HEAD_BYTES + metadata_bytes
        metadata = body[CALL_HEAD_BYTES:payload_at] if metadata_bytes else b""
        entries = self.plugin.entries
        if shape & protocol.HAS_NAME:
            return self._parse_named(deadline_ms, shape, metadata, body[payload_at:])
        if place >= len(entries):
            return None, None
        entry = entries[place]
        return entry, Call(self.plugin, entry.name, body[payload_at:], deadline_ms, shape, metadata)

    def _parse_named(
        self, deadline_ms: int, shape: int, metadata: bytes, payload: bytes
    ) -> Tuple[Optional[Entry], Optional[Call]]:
        call = Call(self.plugin, "", payload, deadline_ms, shape, metadata)
        try:
            call.entry = call._parsed().name
        except protocol.Malformed:
            return None, None
        found = (entry for entry in self.plugin.entries if entry.name == call.entry)
        return next(found, self.plugin.fallback_entry), call

    async def _on_loop(self, key: int, entry: Entry, call: Call) -> None:
        try:
            ending = (DONE, OK + to_bytes(await entry.handler(call)))
        except asyncio.CancelledError:
            ending = (protocol.REFUSED, STATUS.pack(Status.CANCELLED))
        except BaseException as error:
            ending = self._ending(entry, error)
        self._tasks.pop(key, None)
        self._done(key, ending)

    def _on_thread(self, key: int, entry: Entry, call: Call) -> None:
        if call._is_cancelled:
            return
        try:
            ending = (DONE, OK + to_bytes(entry.handler(call)))
        except BaseException as error:
            ending = self._ending(entry, error)
        self._results.append((key, ending))
        self._from_thread(self._take_results)

    def _take_results(self) -> None:
        while self._results:
            self._done(*self._results.popleft())

    def _from_thread(self, function: Any, *arguments: Any) -> None:
        try:
            self._loop.call_soon_threadsafe(function, *arguments)
        except RuntimeError:
            # The loop is closed, and with it every call.
            pass

    def _ending(self, entry: Entry, error: BaseException) -> Ending:
        """How a call ends whose handler raised."""
        if isinstance(error, Failure):
            return DONE, STATUS.pack(error.status) + error.body
        return protocol.REFUSED, STATUS.pack(self._status_of(entry, error))

    def _status_of(self, entry: Entry, error: BaseException) -> int:
        """The status of a refusal; logs what is not one."""
        if isinstance(error, Refused):
            return error.status
        if isinstance(error, CallerLeft):
            return Status.CANCELLED
        kind = type(error)
        # The caller gets no text: it may hold what is not for it.
        self._logger.error("entry %s raised %s", entry.name, kind.__name__, exc_info=(kind, error, error.__traceback__))
        return Status.PANIC

    def _done(self, key: int, ending: Ending) -> None:
        if self._calls.pop(key, None) is not None:
            self._reply(key, ending)

    def _reply(self, key: int, ending: Ending) -> None:
        """Ends a call that was begun by a request, a stream or a notification."""
        status, body = ending
        session = self.session
        if key >= FIRST_REQUEST:
            if len(body) <= session.reply_bytes_max:
                session.reply(key, status, body)
            elif not session.can_open:
                session.reply(key, protocol.TOO_MUCH)
            elif len(body) <= session.element_bytes_max:
                stream = session.open(protocol.LONG_ANSWER, key.to_bytes(8, "little"), 0, 0)
                session.reply(key, protocol.IN_STREAM)
                session.send(stream, body)
                session.end(stream)
            else:
                session.reply(key, protocol.REFUSED, STATUS.pack(Status.TOO_LONG))
        elif key > 0:
            self._end_long_call(key, status, body)
        else:
            return
        self.flush_soon()

    def _end_long_call(self, stream: int, status: int, body: bytes) -> None:
        session = self.session
        if status == DONE and len(body) > session.element_bytes_max:
            status, body = DONE, STATUS.pack(Status.TOO_LONG)
        if status == DONE:
            session.send(stream, body)
            session.end(stream)
        else:
            session.reset(stream, RESET_REFUSED + status, body.decode("latin-1"))

    def _start(self, key: int, work: Coroutine[Any, Any, None]) -> None:
        """Runs a task; it is kept, because the loop does not keep it."""
        if IS_EAGER:
            task = asyncio.Task(work, loop=self._loop, eager_start=True)  # type: ignore[call-arg, unused-ignore]
            if not task.done():
                self._tasks[key] = task
            return
        self._tasks[key] = self._loop.create_task(work)
        if not self._is_flush_due:
            self._is_flush_due = True
            self._loop.call_soon(self._flush)

    def cancelled(self, number: int) -> None:
        self._leave(number)

    def _leave(self, key: int) -> None:
        """The caller has left."""
        call = self._calls.get(key)
        if call is None:
            return
        call._is_cancelled = True
        # The task may not have begun, and then runs no line of its handler.
        self._done(key, (protocol.DEADLINE, b""))
        task = self._tasks.pop(key, None)
        if task is not None:
            task.cancel()

    def noticed(self, code: int, body: bytes) -> None:
        if code == protocol.NOTIFICATION:
            self._notifications -= 1
            self._call(self._notifications, body)

    # The plugin's life.

    async def _load(self, number: int, body: bytes) -> None:
        try:
            ending = (DONE, json.dumps(await self._loaded(json.loads(body))).encode())
            if len(ending[1]) > self.session.reply_bytes_max:
                raise StartError("the names and help of the entries are too long", "", "shorten the help texts")
        except StartError as error:
            ending = _failed(error.error, error.cause, error.hint)
        except Exception as error:
            text = f"plugin {self.plugin.name} was not started: {type(error).__name__}: {error}"
            ending = _failed(text, _place(error), "the traceback is in the log")
            self._logger.error("a hook of the start raised", exc_info=error)
        self._tasks.pop(number, None)
        self._reply(number, ending)

    async def _loaded(self, load: Dict[str, Any]) -> Dict[str, Any]:
        if load.get("protocol") != protocol.VERSION:
            raise StartError(
                f"the host has version {load.get('protocol')} of the session, the SDK {protocol.VERSION}",
                "they are of different releases",
                "install the SDK of the host's release",
            )
        plugin = self.plugin
        if plugin.log_level is None and "log_level_max" in load:
            self._log_at(load["log_level_max"])
        plugin.metrics.attach(lambda: self._from_thread(self._metrics_due))
        plugin.config = {**plugin.config_default, **(load.get("config") or {})}
        for hook in plugin.start_hooks:
            result = hook()
            if inspect.isawaitable(result):
                await result
        return {
            "name": plugin.name,
            "version": plugin.version,
            "entries": [{"name": entry.name, "kind": entry.kind, "help": entry.help} for entry in plugin.entries],
            "is_complete": plugin.fallback_entry is None,
            "exports_state": plugin.export_hook is not None,
        }

    async def _export(self, number: int) -> None:
        hook = self.plugin.export_hook
        if hook is None:
            ending = (DONE, STATUS.pack(Status.UNSUPPORTED))
        else:
            try:
                state = hook()
                ending = (DONE, OK + to_bytes(await state if inspect.isawaitable(state) else state))
            except Exception as error:
                ending = self._hook_raised("export", error)
        self._tasks.pop(number, None)
        self._reply(number, ending)

    async def _import(self, key: int, state: bytes) -> None:
        try:
            if self.plugin.import_hook is not None:
                result = self.plugin.import_hook(state)
                if inspect.isawaitable(result):
                    await result
            ending = (DONE, OK)
        except Exception as error:
            ending = self._hook_raised("import", error)
        self._tasks.pop(key, None)
        self._reply(key, ending)

    def _hook_raised(self, what: str, error: Exception) -> Ending:
        if isinstance(error, (Failure, Refused)):
            return DONE, STATUS.pack(error.status)
        self._logger.error("the %s of the state raised", what, exc_info=error)
        return DONE, STATUS.pack(Status.ERR)

    async def _shutdown(self, number: int) -> None:
        for hook in self.plugin.stop_hooks:
            try:
                result = hook()
                if inspect.isawaitable(result):
                    await result
            except Exception:
                self._logger.exception("a hook of the end raised")
        self._send_metrics()
        self._tasks.pop(number, None)
        self._reply(number, (DONE, b""))
        self._flush()
        self._end()

    # Streams.

    def opened(self, stream: int, service: int, name: bytes) -> None:
        if service == protocol.LONG_IMPORT:
            is_known, has_payload = self.plugin.import_hook is not None, True
        else:
            is_known = service in (protocol.STREAM, protocol.LONG_CALL, protocol.LONG_NOTIFICATION)
            is_known = is_known and len(name) >= CALL_HEAD_BYTES
            has_payload = service != protocol.STREAM or bool(
                is_known and name[protocol.SHAPE_AT] & protocol.PAYLOAD_FOLLOWS
            )
        if not is_known:
            is_import = service == protocol.LONG_IMPORT
            self.session.reset(
                stream, RESET_REFUSED + (protocol.UNKNOWN_OPERATION if is_import else Status.UNSUPPORTED)
            )
        elif has_payload:
            self._payloads[stream] = (service, name)
            self.session.accept(stream, 1, self.session.limits.element_bytes_max)
        else:
            self._stream(stream, name, has_credit=False)
        self.flush_soon()

    def element(self, stream: int, body: bytes) -> None:
        payload = self._payloads.pop(stream, None)
        if payload is not None:
            service, name = payload
            if service == protocol.LONG_CALL:
                self._call(stream, name + body)
            elif service == protocol.LONG_IMPORT:
                self._start(stream, self._import(stream, body))
            elif service == protocol.LONG_NOTIFICATION:
                self.session.end(stream)
                self.noticed(protocol.NOTIFICATION, name + body)
            else:
                self._stream(stream, name + body, has_credit=True)
            return
        sink = self._sinks.get(stream)
        if sink is not None:
            sink._data(body)

    def ended(self, stream: int) -> None:
        sink = self._sinks.get(stream)
        if sink is not None:
            sink._ended()

    def writable(self, stream: int) -> None:
        sink = self._sinks.get(stream)
        if sink is not None:
            sink._writable()

    def reset(self, stream: int, code: int, why: str) -> None:
        self._payloads.pop(stream, None)
        sink = self._sinks.pop(stream, None)
        if sink is None:
            return self._leave(stream)
        sink._left()
        task = self._tasks.pop(stream, None)
        if task is not None:
            task.cancel()

    def closed(self, code: int, why: str) -> None:
        self._end()

    def grant(self, stream: int, size: int) -> None:
        """The handler has received an element."""
        self.session.grant(stream, 1, size)
        self.flush_soon()

    def _stream(self, number: int, body: bytes, *, has_credit: bool) -> None:
        entry, call = self._parse(body)
        if entry is None or call is None:
            return self.session.reset(number, RESET_REFUSED + Status.UNSUPPORTED)
        kind = Session if entry.kind == SESSION else Sink
        sink = kind(self, number, call, has_credit=has_credit)
        self._sinks[number] = sink
        self._start(number, self._serve(number, entry, sink))
        if entry.runs == ON_THREAD:
            sink._open()
        elif not IS_EAGER:
            # After the first step of the handler, which may refuse.
            self._loop.call_soon(sink._open)
        elif number in self._tasks:
            sink._open()

    async def _serve(self, number: int, entry: Entry, sink: Sink) -> None:
        try:
            sink._finish(Status.STREAM_END, await self._frames(entry, sink))
        except Failure as failure:
            sink._finish(failure.status, failure.body)
        except asyncio.CancelledError:
            sink._refuse(Status.CANCELLED)
        except BaseException as error:
            sink._refuse(self._status_of(entry, error))
        self._sinks.pop(number, None)
        self._tasks.pop(number, None)

    async def _frames(self, entry: Entry, sink: Sink) -> bytes:
        """Runs a handler to its end; returns the last frame."""
        handler, call = entry.handler, sink.call
        if entry.runs == ON_THREAD:
            return await self._frames_on_thread(entry, sink)
        if entry.is_generator:
            frames = handler(call)
            try:
                async for frame in frames:
                    await sink.send(frame)
            finally:
                await frames.aclose()
            return b""
        if not entry.is_unary:
            return to_bytes(await handler(sink))
        # One answer, asked for as a stream: a frame.
        answer = handler(call)
        await sink.send(await answer if inspect.isawaitable(answer) else answer)
        return b""

    async def _frames_on_thread(self, entry: Entry, sink: Sink) -> bytes:
        handler, ended = entry.handler, self._loop.create_future()
        blocking: Union[BlockingSink, BlockingSession]
        if isinstance(sink, Session):
            blocking = BlockingSession(sink, self._loop)
        else:
            blocking = BlockingSink(sink, self._loop)

        def run() -> bytes:
            if entry.is_generator:
                for frame in handler(sink.call):
                    blocking.send(frame)
                return b""
            if not entry.is_unary:
                return to_bytes(handler(blocking))
            blocking.send(handler(sink.call))
            return b""

        def end(result: Optional[bytes], error: Optional[BaseException]) -> None:
            if ended.done():
                return
            if error is not None:
                ended.set_exception(error)
            else:
                ended.set_result(result)

        def work() -> None:
            try:
                result, error = run(), None
            except BaseException as raised:
                result, error = b"", raised
            if isinstance(error, StopIteration):
                # A future takes none.
                error = RuntimeError("StopIteration")
            self._from_thread(end, result, error)

        self._threads.submit(work)
        result: bytes = await ended
        return result

    # Logs.

    def log(self, level: int, target: str, message: str) -> None:
        """Sends a line to the host's log. From any thread."""
        if self._log_backlog >= LOG_BACKLOG_MAX:
            self._logs_dropped += 1
            return
        self._log_backlog += 1
        self._from_thread(self._log, level, target, message)

    def _log(self, level: int, target: str, message: str) -> None:
        self._log_backlog -= 1
        if self.session.peer is None or self.session.is_closed:
            return
        size_max = self.session.reply_bytes_max
        dropped, self._logs_dropped = self._logs_dropped, 0
        self.session.notice(protocol.LOG, protocol.encode_log(level, target, message, size_max), dropped)
        self.flush_soon()

    def _log_at(self, level_max: int) -> None:
        """Logs what the host does: nothing at 0."""
        level = (logging.CRITICAL + 1, logging.ERROR, logging.WARNING, logging.INFO, logging.DEBUG, 1)
        logging.getLogger().setLevel(level[min(level_max, 5)])

    # Metrics.

    def _metrics_due(self) -> None:
        self._loop.call_later(metrics.INTERVAL, self._send_metrics)

    def _send_metrics(self) -> None:
        if self.session.peer is None or self.session.is_closed:
            return
        for body in self.plugin.metrics.take(self.session.reply_bytes_max):
            self.session.notice(protocol.METRICS, body)
        self.flush_soon()


class _Logs(logging.Handler):
    """Passes log records to the host."""

    def __init__(self, server: Server) -> None:
        super().__init__()
        self._server = server

    def emit(self, record: logging.LogRecord) -> None:
        try:
            level = 1 + sum(record.levelno < least for least in (40, 30, 20, 10))
            self._server.log(level, record.name, self.format(record))
        except Exception:
            self.handleError(record)


def _failed(error: str, cause: str, hint: str) -> Ending:
    # Each text is cut, so that the reply fits a frame.
    texts = {"error": error[:2000], "cause": cause[:2000], "hint": hint[:2000]}
    return protocol.FAILED, json.dumps(texts).encode()


def _place(error: BaseException) -> str:
    """The line that raised."""
    frames: List[traceback.FrameSummary] = traceback.extract_tb(error.__traceback__)
    return f"{frames[-1].filename}, line {frames[-1].lineno}: {frames[-1].line}" if frames else ""
