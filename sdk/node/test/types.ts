// SPDX-License-Identifier: BSD-3-Clause
// Compiled, never run: the declarations hold for a plugin in TypeScript.

import { Cancelled, Failure, Plugin, Refusal, Status } from "becket";
import type { Call, Logger, Session } from "becket";
import { FakeHost } from "becket/testing";

const plugin = new Plugin("typed", "0.1.0", { config: { greeting: "Hello", times: 3 } });
const log: Logger = plugin.logger("typed");

plugin.counter("a_total", "help").add(2);
plugin.gauge("b").set(1.5);
plugin.histogram("c").observe(3);

plugin
  .onLoad((config) => log.info(config.greeting.toUpperCase()))
  .unary("greet", "greets", (call) => `${call.config.greeting}, ${call.text}`)
  .unary("json", async (call) => JSON.stringify(call.json<{ a: number }>().a + (call.remainingMs() ?? 0)))
  .unary("bytes", (call) => call.payload)
  .unary("nothing", () => {})
  .stream("ticks", async function* (call) {
    for (let at = 0; at < call.config.times; at += 1) yield `tick ${at}`;
  })
  .stream("frames", async (_call, sink) => {
    await sink.send(new Uint8Array(3));
    return "the last";
  })
  .session("chat", async (call: Call<{ greeting: string; times: number }>, session: Session) => {
    for await (const message of session) await session.send(message.subarray(1));
    const last: Buffer | null = await session.recv();
    if (last === null) throw new Refusal();
    throw new Failure(Status.Invalid, call.header("x-why") ?? "no reason");
  })
  .onShutdown(async () => log.warn(new Cancelled()));

// @ts-expect-error: an answer is text or bytes.
plugin.unary("object", () => ({ a: 1 }));
// @ts-expect-error: the configuration has no such member.
plugin.unary("misspelt", (call) => call.config.greting);

export async function test(): Promise<number> {
  const host = await FakeHost.load(plugin, { config: { greeting: "Hi" } });
  const { status, text } = await host.call("greet", { payload: "you", headers: { a: "b" }, deadlineMs: 10 });
  const chat = await host.stream("chat");
  for await (const frame of chat) log.debug(frame.text + text);
  await host.end();
  return status;
}
