// SPDX-License-Identifier: BSD-3-Clause
/** The sample, over the fake host: in this process, and as a program. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import { Status } from "../../../sdk/node/src/index.js";
import { CallError, FakeHost } from "../../../sdk/node/src/testing.js";
import { sample } from "./plugin.js";

const PROGRAM = fileURLToPath(new URL("plugin.js", import.meta.url));
const config = { greeting: "Ahoy" };
const HOSTS = [
  ["in this process", () => FakeHost.load(sample(), { config })],
  ["as a program", () => FakeHost.start([process.execPath, PROGRAM], { config })],
];

for (const [where, start] of HOSTS) {
  const about = (name, body) =>
    test(`${name}, ${where}`, async () => {
      const host = await start();
      try {
        await body(host);
      } finally {
        await host.end();
      }
    });

  about("it reports what it is", async (host) => {
    const { name, version, entries } = host.loaded;
    assert.deepEqual([name, version], ["sample-node", "0.1.0"]);
    assert.deepEqual(
      entries.map(({ name, kind }) => `${name} ${kind}`),
      ["unary unary", "echo unary", "stream stream", "chat bidirectional", "state unary", "slow unary", "fail unary"],
    );
    assert.deepEqual(host.logs[0], { level: "info", target: "sample", message: "ready" });
  });

  about("answers", async (host) => {
    const request = { method: "GET", path: "/hello", query: "x=1", payload: "12345" };
    const headers = [["accept", "*/*"], ["X-Becket-Echo", "seven"], ["x-becket-echo", "eight"]];
    for (const [entry, options, status, text] of [
      ["unary", {}, 0, "Ahoy from node: - -, 0 headers, 0 bytes"],
      ["unary", { ...request, headers }, 0, "Ahoy from node: GET /hello?x=1, 3 headers, 5 bytes, x-becket-echo=seven"],
      ["state", { payload: "a=b=c" }, 0, "a=b=c"],
      ["state", { payload: "a" }, 0, "a="],
      ["state", { payload: "=b" }, Status.Invalid, "expected key=value"],
      ["state", { payload: Buffer.from([0xff, 0x3d]) }, Status.Invalid, "expected key=value"],
      ["slow", { payload: "1" }, 0, "slow done"],
      ["slow", { payload: "1.5" }, Status.Invalid, "expected milliseconds"],
      ["fail", { payload: "0" }, 0, "failed on request"],
      ["fail", { payload: "4294967295" }, 0xffffffff, "failed on request"],
      ["fail", { payload: "4294967296" }, Status.Invalid, "expected a status or panic"],
    ]) {
      const answer = await host.call(entry, options);
      assert.deepEqual([answer.status, answer.text], [status, text]);
    }
  });

  about("echoes every length", async (host) => {
    for (const bytes of [0, 1, 64, 65_491, 65_492, 65_493, 65_516, 65_536, 3 << 20]) {
      const payload = Buffer.alloc(bytes, 7);
      const { status, body } = await host.call("echo", { payload });
      assert.equal(status, 0);
      assert.ok(body.equals(payload), `${bytes} bytes came back changed`);
    }
  });

  about("refusals", async (host) => {
    for (const [payload, status] of [["", Status.Err], ["panic", Status.Panic]]) {
      await assert.rejects(host.call("fail", { payload }), (error) => error.kind === "refused" && error.status === status);
    }
    await assert.rejects(host.call("no-such-entry"), { kind: "unknown-entry" });
    await assert.rejects(host.call("slow", { deadlineMs: 20 }), { kind: "deadline" });
    await assert.rejects(host.stream("no-such-entry"), CallError);
    assert.equal((await host.call("echo", { payload: "goes on" })).text, "goes on");
  });

  about("streams", async (host) => {
    const five = await (await host.stream("stream")).rest();
    assert.deepEqual(five.frames, [1, 2, 3, 4, 5].map((at) => `frame ${at} of 5`));
    assert.deepEqual([five.last.status, five.last.text], [Status.StreamEnd, ""]);
    const chat = await host.stream("chat", { payload: Buffer.alloc(100 << 10) });
    assert.equal((await chat.next()).text, "welcome");
    for (let at = 0; at < 200; at += 1) {
      await chat.send(`message ${at}`);
      assert.equal((await chat.next()).text, `echo: message ${at}`);
    }
    const long = Buffer.alloc(3 << 20, 1);
    await chat.send(long);
    assert.ok((await chat.next()).body.subarray(6).equals(long));
    chat.close();
    assert.deepEqual(await chat.rest(), { frames: [], last: chat.last });
    assert.equal(chat.last.text, "bye after 201 messages");
  });
}
