# SPDX-License-Identifier: BSD-3-Clause
"""The sample plugin in Python. What it does is written in `../README.md`, for all languages.

| entry | what it shows |
|---|---|
| `unary` | a request, a metric, a log line, the configuration |
| `echo` | a payload answered as it came |
| `stream` | frames, which a generator yields |
| `chat` | a session in a loop, with backpressure both ways |
| `state` | a place for what is kept for the time of a call |
| `slow` | a wait, and its cancellation |
| `fail` | every way to fail |
"""

import asyncio
import logging
import sys
from pathlib import Path
from typing import AsyncIterator, Optional

# The SDK of this checkout, unless one is installed.
sys.path.append(str(Path(__file__).resolve().parents[3] / "sdk/python"))

from becket import Call, Failure, Plugin, Refused, Session, Status

FRAMES = 5
SLOW_DEFAULT_MS = 500

plugin = Plugin("sample-python", "0.1.0", config_default={"greeting": "Hello"})
log = logging.getLogger("sample")
unary_total = plugin.counter("sample_unary_total", "Calls of the entry unary")
slow_cancelled_total = plugin.counter("sample_slow_cancelled_total", "Calls of the entry slow that were cancelled")


@plugin.on_start
def start() -> None:
    log.info("ready")


@plugin.entry(help="greets, and says what it saw of the request", blocking=False)
def unary(call: Call) -> str:
    query = f"?{call.query}" if call.query else ""
    text = f"{plugin.config['greeting']} from python: {call.method or '-'} {call.path or '-'}{query}"
    text += f", {len(call.headers)} headers, {len(call.body)} bytes"
    value = call.header("x-becket-echo")
    if value is not None:
        text += f", x-becket-echo={value}"
    unary_total.add()
    log.debug("unary: %d bytes", len(call.body))
    return text


@plugin.entry(help="gives the payload back", blocking=False)
def echo(call: Call) -> bytes:
    return call.body


@plugin.stream(help="sends five frames")
async def stream(call: Call) -> AsyncIterator[str]:
    for number in range(1, FRAMES + 1):
        yield f"frame {number} of {FRAMES}"


@plugin.session(help="echoes each message until the stream is closed")
async def chat(session: Session) -> str:
    await session.send("welcome")
    messages = 0
    async for message in session:
        await session.send(b"echo: " + message)
        messages += 1
    return f"bye after {messages} messages"


@plugin.entry(help="sets KEY=VALUE in the call's state and reads it back", blocking=False)
def state(call: Call) -> bytes:
    raw, separator, value = call.body.partition(b"=")
    key = raw.decode(errors="ignore")
    if not key or key.encode() != raw:
        raise Failure(Status.INVALID, "expected key=value")
    if separator:
        call.state[key] = value
    stored: bytes = call.state.get(key, b"")
    return raw + b"=" + stored


@plugin.entry(help="answers after the milliseconds in the payload")
async def slow(call: Call) -> str:
    delay_ms = decimal(call.body) if call.body else SLOW_DEFAULT_MS
    if delay_ms is None:
        raise Failure(Status.INVALID, "expected milliseconds")
    try:
        await asyncio.sleep(delay_ms / 1000)
    except asyncio.CancelledError:
        slow_cancelled_total.add()
        raise
    return "slow done"


@plugin.entry(help="answers with the status in the payload", blocking=False)
def fail(call: Call) -> None:
    if not call.body:
        raise Refused(Status.ERR)
    if call.body == b"panic":
        raise RuntimeError("asked to")
    status = decimal(call.body)
    if status is None or status >= 1 << 32:
        raise Failure(Status.INVALID, "expected a status or panic")
    raise Failure(status, "failed on request")


def decimal(text: bytes) -> Optional[int]:
    """Decimal digits, and nothing else."""
    return int(text) if text.isdigit() else None


if __name__ == "__main__":
    plugin.run()
