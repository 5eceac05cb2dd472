# SPDX-License-Identifier: BSD-3-Clause
"""Plugins for Becket, in Python.

    from becket import Plugin

    plugin = Plugin("greeter", "0.1.0", config_default={"greeting": "Hello"})

    @plugin.entry
    async def hello(call):
        return f"{plugin.config['greeting']}, {call.text() or 'world'}"

    plugin.run()

The host starts the program in a process of its own (`command = ["python3", "greeter.py"]`) and passes it a
socket.

| a handler is | and runs |
|---|---|
| a coroutine function | on the event loop, which it shares with the others: it must not block |
| a plain function | on one of `threads` threads: it may block |
| a plain function with `blocking=False` | on the event loop, at once: the fastest; it must not wait for anything |

| module | what lives there |
|---|---|
| `plugin` | the plugin: its entries, configuration and hooks |
| `call` | a call, its answer, and the ways to fail |
| `entry` | one entry, and where its handler runs |
| `metrics` | counters, gauges and histograms |
| `streams` | what a handler of many frames sends and receives with |
| `testing` | a host for unit tests |
| `server` | the event loop that serves a session |
| `protocol` | the messages of a session |
| `wire` | its frames, without I/O |
| `threads` | the threads of plain functions |
"""

from becket.call import Body, Call, CallerLeft, Failure, Refused, StartError, Status
from becket.metrics import Counter, Gauge, Histogram
from becket.plugin import Plugin
from becket.streams import BlockingSession, BlockingSink, Session, Sink

__all__ = [
    "BlockingSession",
    "BlockingSink",
    "Body",
    "Call",
    "CallerLeft",
    "Counter",
    "Failure",
    "Gauge",
    "Histogram",
    "Plugin",
    "Refused",
    "Session",
    "Sink",
    "StartError",
    "Status",
]
