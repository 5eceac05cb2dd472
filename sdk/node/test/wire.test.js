// SPDX-License-Identifier: BSD-3-Clause
/** The session alone: two of them joined, and one that reads what no host sends. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { LIMITS, ProtocolError, Session } from "../src/wire.js";

/** Passes bytes between two sides until there are none, in pieces of any length. */
function exchange(client, server, pieceBytes = 1 << 20) {
  for (let idle = false; !idle; ) {
    idle = true;
    for (const [from, to] of [[client, server], [server, client]]) {
      const bytes = Buffer.concat(from.take());
      for (let at = 0; at < bytes.length; at += pieceBytes) {
        idle = false;
        to.receive(bytes.subarray(at, at + pieceBytes));
      }
    }
  }
}

function pair(clientEvents = {}, serverEvents = {}, limits = LIMITS) {
  const client = new Session(clientEvents, { limits, isClient: true });
  const server = new Session(serverEvents, { limits });
  exchange(client, server);
  return [client, server];
}

test("requests are replied to, however the bytes are cut", () => {
  for (const pieceBytes of [1, 7, 24, 1000]) {
    const replies = [];
    const events = { request: (request, operation, body) => server.reply(request, operation, body) };
    const [client, server] = pair({ reply: (slot, status, body) => replies.push([slot, status, String(body)]) }, events);
    client.request(2, Buffer.from("one"));
    client.request(3, Buffer.alloc(0));
    exchange(client, server, pieceBytes);
    client.request(4, Buffer.from("three"));
    exchange(client, server, pieceBytes);
    assert.deepEqual(replies.map(([, ...rest]) => rest), [[2, "one"], [3, ""], [4, "three"]]);
  }
});

test("long elements arrive whole, within credit", () => {
  const got = [];
  let opened;
  const limits = { ...LIMITS, frameBodyBytesMax: 1000, elementBytesMax: 5000, sessionCreditBytes: 6000 };
  const events = {
    opened: (stream) => {
      opened = stream;
      server.accept(stream, 2, 10_000);
    },
    element: (_stream, body) => got.push(body.length),
  };
  const [client, server] = pair({}, events, limits);
  const stream = client.open(1, Buffer.alloc(0), 0, 0);
  const sent = [5000, 0, 4999, 1].map((bytes) => client.send(stream, Buffer.alloc(bytes)));
  assert.deepEqual(sent, [false, false, false, false]);
  exchange(client, server);
  assert.deepEqual(got, [5000, 0]);
  server.grant(opened, 2, 5000);
  exchange(client, server);
  assert.deepEqual(got, [5000, 0, 4999, 1]);
});

test("numbers of streams are used again, with another generation", () => {
  const events = { opened: (stream) => server.accept(stream, 1, 100), ended: (stream) => server.end(stream) };
  const [client, server] = pair({}, events);
  const numbers = new Set();
  for (let at = 0; at < 100; at += 1) {
    const stream = client.open(1, Buffer.alloc(0), 1, 100);
    numbers.add(stream.number);
    client.end(stream);
    exchange(client, server);
  }
  assert.equal(numbers.size, 100);
});

test("a peer that breaks a rule ends the session", () => {
  const head = (kind, { length = 0, flags = 0, stream = 0, aux = 0, low = 0, high = 1 } = {}, body = "") => {
    const bytes = Buffer.alloc(24 + body.length);
    bytes.writeUInt32LE(length || body.length, 0);
    bytes[4] = kind;
    bytes[5] = flags;
    bytes.writeUInt32LE(stream, 8);
    bytes.writeUInt32LE(aux, 12);
    bytes.writeUInt32LE(low, 16);
    bytes.writeUInt32LE(high, 20);
    bytes.write(body, 24);
    return bytes;
  };
  const number = 1 << 17;
  const open = head(32, { stream: number, aux: 1 });
  for (const [rule, frames] of [
    [/kind 99/, [head(99)]],
    [/frame of \d+ bytes/, [head(16, { length: 1 << 20 })]],
    [/kind 1/, [head(1)]],
    [/more requests/, [head(16, { low: 3 }), head(16, { low: 3, high: 2 })]],
    [/more requests/, [head(16, { low: 65_536 })]],
    [/not free/, [open, open]],
    [/not free/, [head(32, { stream: number | 1 })]],
    [/without credit/, [open, head(34, { stream: number }, "x")]],
    [/without a request/, [head(17)]],
    [/pings/, Array.from({ length: 9 }, () => head(3))],
  ]) {
    const [, server] = pair();
    assert.throws(() => frames.forEach((frame) => server.receive(frame)), (error) => {
      assert.ok(error instanceof ProtocolError);
      assert.match(error.message, rule);
      return true;
    });
  }
});

test("any bytes are a session, or a rule that is broken", () => {
  let seed = 1;
  const random = () => (seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0) >>> 16;
  for (let round = 0; round < 3000; round += 1) {
    const events = { request: (request) => server.reply(request, 0), opened: (stream) => server.accept(stream, 2, 100) };
    const [, server] = pair({}, events);
    try {
      for (let frame = 0; frame < 8; frame += 1) {
        const bytes = Buffer.alloc(24 + (random() % 30));
        for (let at = 4; at < bytes.length; at += 1) bytes[at] = random() % 4;
        bytes.writeUInt32LE(bytes.length - 24, 0);
        bytes[4] = [3, 4, 16, 17, 18, 19, 32, 33, 34, 35, 36, 40, 42, 43][random() % 14];
        server.receive(bytes);
        server.take();
      }
    } catch (error) {
      assert.ok(error instanceof ProtocolError, error.stack);
    }
  }
});
