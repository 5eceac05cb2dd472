// SPDX-License-Identifier: BSD-3-Clause
/**
 * The messages between a host and a plugin, over the session of `wire.js`. Numbers are little-endian.
 *
 *     a call   entry u32 │ deadline_ms u32 │ shape u8 │ 0 0 0 │ metadata_bytes u32 │ metadata │ payload
 *     metadata method text16 │ path text32 │ query text32 │ count u16 │ count × (name text16, value text32)
 *     answer   status u32 │ body
 *     log      level u8 │ target text16 │ message
 *
 * With `HAS_NAME` the metadata begins with the entry's name, text16, and `entry` has no meaning.
 */

export const VERSION = 1;

export const Operation = Object.freeze({ LOAD: 1, CALL: 2, LOAD_PART: 5, SHUTDOWN: 7 });

/** The length of a load, at most; one that is longer than a frame comes in parts. */
export const LOAD_BYTES_MAX = 16 << 20;

export const Reply = Object.freeze({
  DONE: 0,
  FAILED: 1,
  UNKNOWN_ENTRY: 2,
  REFUSED: 3,
  PANICKED: 4,
  DEADLINE: 5,
  TOO_MUCH: 6,
  UNKNOWN_OPERATION: 7,
  IN_STREAM: 8,
});

export const Service = Object.freeze({ STREAM: 1, LONG_CALL: 2, LONG_ANSWER: 3, LONG_NOTIFICATION: 5 });

export const Notice = Object.freeze({ NOTIFICATION: 1, LOG: 16, METRICS: 17 });

/** Code of a reset: a refusal with the status that is added to it. */
export const REFUSED = 256;

export const HAS_METADATA = 1;
export const HAS_NAME = 2;
/** A stream's shape: its first element is the payload. */
export const PAYLOAD_FOLLOWS = 0x80;

const HEAD_BYTES = 16;
const SHAPE_AT = 8;

/** A message that is cut off. */
export class Malformed extends Error {
  name = "Malformed";
}

/** A call: `{ entry, deadlineMs, shape, request: { method, path, query, headers } | null, payload }`. */
export function decodeCall(bytes) {
  if (bytes.length < HEAD_BYTES) throw new Malformed("a call is cut off");
  const shape = bytes[SHAPE_AT];
  const payloadAt = HEAD_BYTES + bytes.readUInt32LE(12);
  if (payloadAt > bytes.length) throw new Malformed("a call's metadata is cut off");
  const reader = new Reader(bytes.subarray(HEAD_BYTES, payloadAt));
  const entry = shape & HAS_NAME ? reader.text16() : bytes.readUInt32LE(0);
  let request = null;
  if (shape & HAS_METADATA) {
    request = { method: reader.text16(), path: reader.text32(), query: reader.text32(), headers: [] };
    for (let left = reader.u16(); left > 0; left -= 1) request.headers.push([reader.text16(), reader.text32()]);
  }
  return { entry, deadlineMs: bytes.readUInt32LE(4), shape, request, payload: bytes.subarray(payloadAt) };
}

/** Whether the stream of this name has its payload in its first element. */
export function payloadFollows(name) {
  return name.length > SHAPE_AT && (name[SHAPE_AT] & PAYLOAD_FOLLOWS) !== 0;
}

/** What the other side decodes with `decodeCall`, in two parts: without the payload, and the payload. */
export function encodeCall({ entry, deadlineMs = 0, shape = 0, request = null, payload }) {
  const parts = [];
  if (typeof entry === "string") {
    shape |= HAS_NAME;
    parts.push(text16(entry));
  }
  if (request !== null) {
    shape |= HAS_METADATA;
    const headers = request.headers ?? [];
    parts.push(text16(request.method ?? ""), text32(request.path ?? ""), text32(request.query ?? ""));
    parts.push(u16(headers.length));
    for (const [name, value] of headers) parts.push(text16(name), text32(value));
  }
  const metadata = Buffer.concat(parts);
  const head = Buffer.alloc(HEAD_BYTES);
  head.writeUInt32LE(typeof entry === "string" ? 0 : entry, 0);
  head.writeUInt32LE(deadlineMs, 4);
  head[SHAPE_AT] = shape;
  head.writeUInt32LE(metadata.length, 12);
  return [Buffer.concat([head, metadata]), payload];
}

/** A status and a body, in a buffer of its own. */
export function encodeAnswer(status, body) {
  const bytes = Buffer.allocUnsafe(4 + body.length);
  bytes.writeUInt32LE(status >>> 0, 0);
  bytes.set(body, 4);
  return bytes;
}

export function decodeAnswer(bytes) {
  if (bytes.length < 4) throw new Malformed("an answer without a status");
  return { status: bytes.readUInt32LE(0), body: bytes.subarray(4) };
}

/** At most `bytesMax` bytes: a longer message is cut. */
export function encodeLog(level, target, message, bytesMax) {
  const head = Buffer.concat([Buffer.from([level]), text16(target.slice(0, 64))]);
  return Buffer.concat([head, Buffer.from(message).subarray(0, Math.max(bytesMax - head.length, 0))]);
}

export function decodeLog(bytes) {
  const reader = new Reader(bytes);
  return { level: reader.u8(), target: reader.text16(), message: reader.rest().toString() };
}

/** Numbers and texts, one after the other. */
export class Reader {
  #bytes;
  #at = 0;

  constructor(bytes) {
    this.#bytes = bytes;
  }

  u8() {
    return this.#take(1)[0];
  }

  u16() {
    return this.#take(2).readUInt16LE(0);
  }

  u64() {
    return Number(this.#take(8).readBigUInt64LE(0));
  }

  f64() {
    return this.#take(8).readDoubleLE(0);
  }

  get isAtEnd() {
    return this.#at === this.#bytes.length;
  }

  text16() {
    return this.#take(this.u16()).toString();
  }

  text32() {
    return this.#take(this.#take(4).readUInt32LE(0)).toString();
  }

  rest() {
    return this.#bytes.subarray(this.#at);
  }

  #take(length) {
    const from = this.#at;
    this.#at += length;
    if (this.#at > this.#bytes.length) throw new Malformed("a message is cut off");
    return this.#bytes.subarray(from, this.#at);
  }
}

function u16(number) {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16LE(number, 0);
  return bytes;
}

export function text16(text) {
  const bytes = Buffer.from(text).subarray(0, 0xffff);
  return Buffer.concat([u16(bytes.length), bytes]);
}

function text32(text) {
  const bytes = Buffer.from(text);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(bytes.length, 0);
  return Buffer.concat([length, bytes]);
}
