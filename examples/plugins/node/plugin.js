// SPDX-License-Identifier: BSD-3-Clause
/**
 * The sample plugin in JavaScript. What it does is written in `../README.md`, for all languages.
 *
 * | entry | what it shows |
 * |---|---|
 * | `unary` | request metadata, a metric, a log line, the configuration |
 * | `echo` | a payload answered as it came |
 * | `stream` | frames, as an async generator |
 * | `chat` | a session in a loop |
 * | `state` | what is kept for the time of a call |
 * | `slow` | a timer that ends when the caller leaves |
 * | `fail` | every way to fail |
 */

import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";

import { Failure, Plugin, Refusal, Status } from "../../../sdk/node/src/index.js";

const LANG = "node";
const SLOW_DEFAULT_MS = 500;
const STREAM_FRAMES = 5;

/** A plugin of its own for each test. */
export function sample() {
  const plugin = new Plugin("sample-node", "0.1.0", { config: { greeting: "Hello" } });
  const log = plugin.logger("sample");

  const unaryTotal = plugin.counter("sample_unary_total", "Calls of the entry unary");
  const cancelledTotal = plugin.counter("sample_slow_cancelled_total", "Calls of the entry slow that were cancelled");

  plugin.onLoad(() => log.info("ready"));

  plugin.unary("unary", "greets, and says what it saw of the request", (call) => {
    const bytes = call.payload.length;
    const query = call.query === "" ? "" : `?${call.query}`;
    const echo = call.header("x-becket-echo");
    unaryTotal.add();
    log.debug(`unary: ${bytes} bytes`);
    return (
      `${call.config.greeting} from ${LANG}: ${call.method || "-"} ${call.path || "-"}${query}, ` +
      `${call.headers.length} headers, ${bytes} bytes` +
      (echo === undefined ? "" : `, x-becket-echo=${echo}`)
    );
  });

  plugin.unary("echo", "gives the payload back", (call) => call.payload);

  plugin.stream("stream", "sends five frames", async function* () {
    for (let number = 1; number <= STREAM_FRAMES; number += 1) yield `frame ${number} of ${STREAM_FRAMES}`;
  });

  // `send` and `recv` throw when the caller has left, which ends the handler.
  plugin.session("chat", "echoes each message until the stream is closed", async (_call, session) => {
    await session.send("welcome");
    let messages = 0;
    for await (const message of session) {
      await session.send(Buffer.concat([Buffer.from("echo: "), message]));
      messages += 1;
    }
    return `bye after ${messages} messages`;
  });

  plugin.unary("state", "sets KEY=VALUE in the call's state and reads it back", (call) => {
    const at = call.payload.indexOf("=");
    const key = at < 0 ? call.payload : call.payload.subarray(0, at);
    const name = utf8(key);
    if (!name) throw new Failure(Status.Invalid, "expected key=value");
    if (at >= 0) call.state.set(name, call.payload.subarray(at + 1));
    return Buffer.concat([key, Buffer.from("="), call.state.get(name) ?? Buffer.alloc(0)]);
  });

  plugin.unary("slow", "answers after the milliseconds in the payload", async (call) => {
    const delayMs = call.payload.length === 0 ? SLOW_DEFAULT_MS : decimal(call.text);
    if (delayMs === null) throw new Failure(Status.Invalid, "expected milliseconds");
    call.signal.addEventListener("abort", () => cancelledTotal.add());
    await sleep(delayMs, undefined, { signal: call.signal });
    return "slow done";
  });

  plugin.unary("fail", "answers with the status in the payload", (call) => {
    if (call.payload.length === 0) throw new Refusal(Status.Err);
    if (call.text === "panic") throw new Error("asked to");
    const status = decimal(call.text);
    if (status === null || status > 0xffffffff) throw new Failure(Status.Invalid, "expected a status or panic");
    throw new Failure(status, "failed on request");
  });

  return plugin;
}

/** Decimal digits, and nothing else; else null. */
function decimal(text) {
  return /^[0-9]+$/.test(text) ? Number(text) : null;
}

/** The text that these bytes are; null: they are none. */
function utf8(bytes) {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return null;
  }
}

// Not when a test imports it.
if (process.argv[1] === fileURLToPath(import.meta.url)) sample().run();
