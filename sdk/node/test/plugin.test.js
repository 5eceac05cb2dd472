// SPDX-License-Identifier: BSD-3-Clause
/** What holds of every plugin, over the fake host. */

import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";

import { Cancelled, Failure, Plugin, Refusal, Status } from "becket";
import { FakeHost } from "becket/testing";

/** Runs a test with a host that has loaded the plugin, and ends it. */
async function hosted(plugin, body, options) {
  const host = await FakeHost.load(plugin, options);
  try {
    await body(host);
  } finally {
    await host.end();
  }
}

const refused = (status) => (error) => error.kind === "refused" && error.status === status;

test("the host's configuration goes over the plugin's own, before the first call", async () => {
  const plugin = new Plugin("p", "1.0.0", { config: { a: 1, b: 2 } });
  plugin.onLoad(async (config) => plugin.log.info(JSON.stringify(config)));
  plugin.unary("config", (call) => JSON.stringify(call.config));
  const both = '{"a":1,"b":3,"c":4}';
  await hosted(plugin, async (host) => {
    assert.equal((await host.call("config")).text, both);
    assert.deepEqual(host.logs, [{ level: "info", target: "p", message: both }]);
  }, { config: { b: 3, c: 4 } });
});

test("what onLoad throws is why the load fails", async () => {
  const plugin = new Plugin("p", "1.0.0").onLoad(() => {
    throw new Error("no database");
  });
  await assert.rejects(FakeHost.load(plugin), (error) => error.kind === "failed" && error.message.includes("no database"));
});

test("an entry is a name, perhaps help, and a function, once", () => {
  const plugin = new Plugin("p", "1.0.0").unary("a", () => "");
  assert.throws(() => plugin.unary("a", () => ""), /two entries are named a/);
  assert.throws(() => plugin.unary("b"), TypeError);
  assert.throws(() => plugin.unary("b", 1, () => ""), TypeError);
});

test("answers are text, bytes or nothing; another value is a panic that is logged", async () => {
  const answers = { text: "ä", bytes: new Uint8Array([1]), buffer: new Uint8Array([2]).buffer, nothing: undefined };
  const plugin = new Plugin("p", "1.0.0");
  for (const [name, answer] of Object.entries(answers)) plugin.unary(name, () => answer);
  plugin.unary("later", async () => "later").unary("object", async () => ({}));
  await hosted(plugin, async (host) => {
    assert.equal((await host.call("text")).text, "ä");
    assert.deepEqual([...(await host.call("bytes")).body], [1]);
    assert.deepEqual([...(await host.call("buffer")).body], [2]);
    assert.equal((await host.call("nothing")).body.length, 0);
    assert.equal((await host.call("later")).text, "later");
    await assert.rejects(host.call("object"), refused(Status.Panic));
    assert.match(host.logs[0].message, /object has thrown: TypeError: expected text or bytes, got object/);
  });
});

test("a caller that leaves aborts the signal, and no handler is waited for", async () => {
  const seen = [];
  const plugin = new Plugin("p", "1.0.0").unary("wait", async ({ signal }) => {
    await once(signal, "abort");
    seen.push(signal.reason instanceof Cancelled);
    throw new Error("too late to matter");
  });
  await hosted(plugin, async (host) => {
    await assert.rejects(host.call("wait", { deadlineMs: 10 }), { kind: "deadline" });
    const caller = new AbortController();
    const call = host.call("wait", { signal: caller.signal });
    caller.abort();
    await assert.rejects(call, { kind: "cancelled" });
    const stays = host.call("wait");
    const end = host.end();
    await assert.rejects(stays);
    await end;
    assert.deepEqual(seen, [true, true, true]);
    assert.deepEqual(host.logs, []);
  });
});

test("send waits while the caller does not read, and all frames arrive in order", async () => {
  const FRAMES = 500;
  let sent = 0;
  const plugin = new Plugin("p", "1.0.0").stream("many", async (_call, sink) => {
    for (; sent < FRAMES; sent += 1) await sink.send(String(sent));
  });
  await hosted(plugin, async (host) => {
    const stream = await host.stream("many");
    // What was answered after it was opened: it has had its turn.
    for (let at = 0; at < 3; at += 1) await assert.rejects(host.call("none"));
    assert.ok(sent >= 60 && sent < 70, `${sent} frames were sent`);
    const { frames } = await stream.rest();
    assert.deepEqual(frames, Array.from({ length: FRAMES }, (_, at) => String(at)));
  });
});

test("frames that are not awaited are bounded", async () => {
  const plugin = new Plugin("p", "1.0.0").stream("flood", async (_call, sink) => {
    const sends = Array.from({ length: 5000 }, () => sink.send("x"));
    const failed = (await Promise.allSettled(sends)).filter(({ status }) => status === "rejected");
    return `${failed.length > 3000} ${failed[0].reason.status}`;
  });
  await hosted(plugin, async (host) => {
    const { last } = await (await host.stream("flood")).rest();
    assert.equal(last.text, `true ${Status.Backpressure}`);
  });
});

test("messages wait for a handler that does not take them, and the sender for it", async () => {
  let open;
  const gate = new Promise((resolve) => (open = resolve));
  const plugin = new Plugin("p", "1.0.0").session("count", async (_call, session) => {
    await gate;
    let sum = 0;
    for await (const message of session) sum += Number(message);
    return String(sum);
  });
  await hosted(plugin, async (host) => {
    const stream = await host.stream("count");
    let sent = 0;
    const sends = (async () => {
      for (; sent < 500; sent += 1) await stream.send(String(sent));
      stream.close();
    })();
    for (let at = 0; at < 5; at += 1) await assert.rejects(host.call("none"));
    assert.ok(sent < 70, `${sent} messages were sent`);
    open();
    await sends;
    assert.equal((await stream.rest()).last.text, String((499 * 500) / 2));
  });
});

test("send and recv throw when the caller has left", async () => {
  const ends = [];
  const plugin = new Plugin("p", "1.0.0")
    .session("recv", async (_call, session) => session.recv().catch((error) => ends.push(error)))
    .stream("send", async (_call, sink) => {
      try {
        for (;;) await sink.send(Buffer.alloc(1000));
      } catch (error) {
        ends.push(error);
      }
    })
    .stream("generator", async function* () {
      try {
        for (;;) yield "frame";
      } finally {
        ends.push(new Cancelled());
      }
    });
  await hosted(plugin, async (host) => {
    for (const entry of ["recv", "send", "generator"]) {
      const stream = await host.stream(entry);
      stream.cancel();
      for (let at = 0; at < 3; at += 1) await assert.rejects(host.call("none"));
    }
    assert.equal(ends.length, 3);
    assert.ok(ends.every((error) => error instanceof Cancelled));
  });
});

test("what a stream's handler throws before it has awaited refuses the stream, after that it ends it", async () => {
  const plugin = new Plugin("p", "1.0.0")
    .stream("refuses", async () => {
      throw new Refusal(Status.Unsupported);
    })
    .stream("panics", () => {
      throw new Error("at once");
    })
    .stream("fails", async (_call, sink) => {
      await sink.send("one");
      throw new Failure(99, "why");
    })
    .stream("breaks", async function* () {
      yield "one";
      throw new Error("later");
    });
  await hosted(plugin, async (host) => {
    await assert.rejects(host.stream("refuses"), refused(Status.Unsupported));
    await assert.rejects(host.stream("panics"), refused(Status.Panic));
    for (const [entry, status, text] of [["fails", 99, "why"], ["breaks", Status.Panic, ""]]) {
      const { frames, last } = await (await host.stream(entry)).rest();
      assert.deepEqual([frames, last.status, last.text], [["one"], status, text]);
    }
  });
});

test("a stream that is called answers its first frame; an answer that is opened as a stream is a frame", async () => {
  const plugin = new Plugin("p", "1.0.0")
    .stream("ticks", async function* () {
      yield "one";
      yield "two";
    })
    .session("silent", async () => "last")
    .unary("answer", (call) => call.text);
  await hosted(plugin, async (host) => {
    assert.equal((await host.call("ticks")).text, "one");
    const silent = await host.call("silent");
    assert.deepEqual([silent.status, silent.text], [Status.StreamEnd, "last"]);
    const { frames, last } = await (await host.stream("answer", { payload: "x" })).rest();
    assert.deepEqual([frames, last.status], [["x"], Status.StreamEnd]);
  });
});

test("answers and frames longer than the host takes end with TooLong", async () => {
  const long = Buffer.alloc((16 << 20) + 1);
  const plugin = new Plugin("p", "1.0.0")
    .unary("answer", () => long)
    .stream("frame", async (_call, sink) => sink.send(long));
  await hosted(plugin, async (host) => {
    await assert.rejects(host.call("answer"), refused(Status.TooLong));
    const { frames, last } = await (await host.stream("frame")).rest();
    assert.deepEqual([frames, last.status], [[], Status.TooLong]);
  });
});

test("notifications are handled, and have no answer", async () => {
  const got = [];
  const plugin = new Plugin("p", "1.0.0").unary("note", (call) => void got.push(call.text));
  await hosted(plugin, async (host) => {
    host.notify("note", { payload: "one" });
    host.notify("none");
    await host.call("note", { payload: "two" });
    assert.deepEqual(got, ["one", "two"]);
  });
});

test("metrics are changes that the host adds up", async () => {
  const plugin = new Plugin("p", "1.0.0");
  const [total, level, sizes] = [plugin.counter("total", "help"), plugin.gauge("level"), plugin.histogram("sizes")];
  assert.throws(() => plugin.gauge("total"), TypeError);
  assert.throws(() => total.add(-1), RangeError);
  plugin.onLoad(() => total.add());
  plugin.unary("hit", () => {
    total.add(2);
    level.set(7.5);
    for (let at = 0; at < 3000; at += 1) sizes.observe(at % 1500);
  });
  const host = await FakeHost.load(plugin);
  await host.call("hit");
  await host.call("hit");
  await host.end();
  assert.deepEqual([host.metrics.get("total"), host.metrics.get("level")], [5, 7.5]);
  assert.deepEqual(host.metrics.get("sizes"), { sum: 4 * 1500 * 749.5, count: 6000 });
});

test("the end of the host's connection ends every call", async () => {
  let reason;
  const plugin = new Plugin("p", "1.0.0").unary("wait", async ({ signal }) => {
    await once(signal, "abort");
    reason = signal.reason;
  });
  const host = await FakeHost.load(plugin);
  const call = host.call("wait");
  await assert.rejects(host.call("none"));
  await Promise.all([assert.rejects(call, { kind: "crashed" }), host.kill()]);
  assert.match(reason.message, /host has gone/);
});

test("a configuration is longer than a frame", async () => {
  const config = { long: "x".repeat(300_000) };
  const plugin = new Plugin("p", "1.0.0").unary("length", (call) => String(call.config.long.length));
  const host = await FakeHost.load(plugin, { config });
  assert.equal((await host.call("length")).text, "300000");
  await host.end();
  const tooLong = { long: "x".repeat(17 << 20) };
  await assert.rejects(FakeHost.load(new Plugin("p", "1.0.0"), { config: tooLong }));
});

test("a program that crashes is crashed for its callers", async () => {
  const program = `
    import { Plugin } from ${JSON.stringify(new URL("../src/index.js", import.meta.url).href)};
    new Plugin("p", "1.0.0").unary("exit", () => process.exit(3)).run();
  `;
  const host = await FakeHost.start([process.execPath, "--input-type=module", "--eval", program]);
  await assert.rejects(host.call("exit"), { kind: "crashed" });
});
