// SPDX-License-Identifier: BSD-3-Clause
/**
 * A host for unit tests: it speaks the host's side of the session with a plugin in this process, or with a program.
 *
 *     const host = await FakeHost.load(plugin, { config: { greeting: "Ahoy" } });
 *     const answer = await host.call("hello", { payload: "you" });
 *     assert.equal(answer.text, "Ahoy, you");
 *     await host.end();
 */

import { spawn } from "node:child_process";

import {
  Notice, Operation, PAYLOAD_FOLLOWS, REFUSED, Reply, Service, VERSION, decodeAnswer, decodeLog, encodeCall,
} from "./messages.js";
import { apply } from "./metrics.js";
import { Level } from "./plugin.js";
import { Status, statusName, toBytes } from "./status.js";
import { Session as WireSession } from "./wire.js";

const STREAM_FRAMES = 64;
const UNKNOWN_ENTRY = 0xffff_ffff;
/** The descriptor of a program's socket. */
const DESCRIPTOR = 3;

/** An answer or a frame. */
export class Answer {
  constructor(status, body) {
    this.status = status;
    this.body = body;
  }

  get isOk() {
    return this.status === Status.Ok;
  }

  get text() {
    return this.body.toString();
  }
}

/** Why a call has no answer: `kind` is `refused`, `unknown-entry`, `deadline`, `cancelled`, `crashed` or `failed`. */
export class CallError extends Error {
  name = "CallError";

  constructor(kind, { status, message } = {}) {
    super(message ?? (status === undefined ? kind : `${kind}: ${statusName(status)}`));
    this.kind = kind;
    this.status = status;
  }
}

export class FakeHost {
  #wire;
  #send;
  #kill;
  #pending = new Map();
  #streams = new Set();
  #ready = promise();
  #ended = promise();
  #isOver = false;

  /** What the plugin has logged: `{ level, target, message }`. */
  logs = [];
  /** The values of its metrics by name, which come some 100 ms after a change; a histogram's has `sum` and `count`. */
  metrics = new Map();
  /** What the plugin has reported: its name, version and entries. */
  loaded = null;

  /** Loads a plugin of this process. */
  static load(plugin, { config = {} } = {}) {
    const host = new FakeHost();
    const server = plugin._serve({
      write: (buffers) => setImmediate(() => host.#receive(Buffer.concat(buffers))),
      end: () => setImmediate(() => host.#over()),
    });
    host.#send = (bytes) => setImmediate(() => server.receive(bytes));
    host.#kill = () => server.over();
    return host.#load(plugin.name, config);
  }

  /** Starts a program, and loads it as a host does. */
  static start(command, { config = {}, cwd } = {}) {
    const [program, ...rest] = command;
    const child = spawn(program, rest, {
      cwd,
      env: { ...process.env, BECKET_FD: String(DESCRIPTOR) },
      stdio: ["ignore", "inherit", "inherit", "pipe"],
    });
    const host = new FakeHost();
    const socket = child.stdio[DESCRIPTOR];
    host.#send = (bytes) => socket.write(bytes);
    host.#kill = () => socket.destroy();
    socket.on("data", (data) => host.#receive(data));
    socket.on("error", () => {});
    child.on("error", () => host.#over());
    child.on("close", () => host.#over());
    return host.#load(program, config);
  }

  constructor() {
    this.#wire = new WireSession(this.#events(), { isClient: true });
  }

  /** The names of the entries, in order. */
  get entries() {
    return this.loaded.entries.map((entry) => entry.name);
  }

  /**
   * Calls an entry. Options: `payload`, `method`, `path`, `query`, `headers` (an object, or pairs), `deadlineMs`, and a
   * `signal` for a caller that leaves. Throws a `CallError` where there is no answer.
   */
  async call(entry, options = {}) {
    const answer = promise();
    const [name, payload] = encodeCall(this.#described(entry, options));
    if (name.length + payload.length > this.#wire.bodyBytesMax) {
      const stream = this.#open(Service.LONG_CALL, name, 1);
      stream.owner = new LongAnswer(this.#wire, answer, payload);
      this.#streams.add(stream.owner);
    } else {
      const slot = this.#wire.request(Operation.CALL, Buffer.concat([name, payload]));
      this.#pending.set(slot, answer);
      const leave = (kind) => {
        answer.reject(new CallError(kind));
        this.#wire.cancel(slot);
        this.#flush();
      };
      answer.leave = leave;
    }
    this.#flush();
    return limited(answer, options);
  }

  /** Sends a call without an answer. */
  notify(entry, options = {}) {
    this.#wire.notice(Notice.NOTIFICATION, Buffer.concat(encodeCall(this.#described(entry, options))));
    this.#flush();
  }

  /** Opens a stream; the options are those of `call`. */
  async stream(entry, options = {}) {
    const described = this.#described(entry, options);
    let [name, payload] = encodeCall(described);
    let first = null;
    if (name.length + payload.length > this.#wire.bodyBytesMax) {
      [name, first] = encodeCall({ ...described, shape: PAYLOAD_FOLLOWS });
    } else {
      name = Buffer.concat([name, payload]);
    }
    const opened = promise();
    const wire = this.#open(Service.STREAM, name, STREAM_FRAMES);
    const stream = new FakeStream(this.#wire, wire, opened, first, () => this.#flush());
    wire.owner = stream;
    this.#streams.add(stream);
    this.#flush();
    await limited(opened, options);
    return stream;
  }

  /** Ends the plugin, as a host does, and waits for its end. */
  async end() {
    if (this.#isOver) return;
    await this.#ask(Operation.SHUTDOWN).catch(() => {});
    await this.#ended.promise;
  }

  /** Ends the connection, as the end of a host's process does. */
  async kill() {
    this.#kill();
    await this.#ended.promise;
  }

  #open(service, name, messages) {
    const stream = this.#wire.open(service, name, messages, this.#wire.elementBytesMax);
    if (stream === null) throw new CallError("refused", { status: Status.Backpressure });
    return stream;
  }

  #described(entry, { payload = "", method, path, query, headers = [], deadlineMs = 0 }) {
    const at = this.loaded.entries.findIndex(({ name }) => name === entry);
    const isRequest = method !== undefined || path !== undefined || query !== undefined || headers.length !== 0;
    const pairs = Array.isArray(headers) ? headers : Object.entries(headers);
    const request = isRequest ? { method, path, query, headers: pairs } : null;
    return { entry: at < 0 ? UNKNOWN_ENTRY : at, deadlineMs, request, payload: toBytes(payload) };
  }

  async #load(name, config) {
    this.#flush();
    await this.#ready.promise;
    const load = { protocol: VERSION, name, config };
    let rest = Buffer.from(JSON.stringify(load));
    const length = this.#wire.bodyBytesMax;
    for (; rest.length > length; rest = rest.subarray(length)) {
      await this.#ask(Operation.LOAD_PART, rest.subarray(0, length));
    }
    this.loaded = JSON.parse((await this.#ask(Operation.LOAD, rest)).toString());
    return this;
  }

  /** A request that is no call: the body of its reply. */
  #ask(operation, body) {
    const reply = promise();
    reply.isBody = true;
    this.#pending.set(this.#wire.request(operation, body), reply);
    this.#flush();
    return reply.promise;
  }

  #flush() {
    if (this.#isOver) return;
    const buffers = this.#wire.take();
    if (buffers.length > 0) this.#send(Buffer.concat(buffers));
  }

  #receive(data) {
    this.#wire.receive(data);
    this.#flush();
  }

  #over() {
    if (this.#isOver) return;
    this.#isOver = true;
    const crashed = new CallError("crashed");
    this.#ready.reject(crashed);
    for (const answer of this.#pending.values()) answer.reject(crashed);
    for (const stream of this.#streams) stream.crashed(crashed);
    this.#ended.resolve();
  }

  #events() {
    return {
      ready: () => this.#ready.resolve(),
      reply: (slot, status, body) => {
        const answer = this.#pending.get(slot);
        if (status === Reply.IN_STREAM) return;
        this.#pending.delete(slot);
        replied(answer, status, body);
      },
      notice: (code, body) => {
        if (code === Notice.METRICS) apply(this.metrics, body);
        if (code !== Notice.LOG) return;
        const { level, target, message } = decodeLog(body);
        this.logs.push({ level: Object.keys(Level)[level - 1], target, message });
      },
      opened: (stream, service, name) => {
        const slot = name.readUInt32LE(0);
        const answer = this.#pending.get(slot);
        if (service !== Service.LONG_ANSWER || answer === undefined) return this.#wire.reset(stream, REFUSED);
        this.#pending.delete(slot);
        stream.owner = new LongAnswer(this.#wire, answer, null);
        this.#wire.accept(stream, 1, this.#wire.elementBytesMax);
      },
      accepted: (stream) => stream.owner?.accepted(stream),
      credit: (stream) => stream.owner?.credit?.(),
      writable: (stream) => stream.owner?.writable?.(),
      element: (stream, body) => stream.owner?.element(stream, body),
      ended: (stream) => stream.owner?.ended?.(stream),
      reset: (stream, code, why) => stream.owner?.reset(code, why),
    };
  }
}

/** A stream of the fake host: `for await (const frame of stream)`, `send`, `close`, `cancel`. */
class FakeStream {
  #wire;
  #stream;
  #opened;
  #first;
  #flush;
  #frames = [];
  #waiters = [];
  #writable = [];
  #error = null;
  #isOpen = false;

  /** The last frame, when it has come. */
  last = null;

  constructor(wire, stream, opened, first, flush) {
    this.#wire = wire;
    this.#stream = stream;
    this.#opened = opened;
    this.#first = first;
    this.#flush = flush;
    opened.leave = (kind) => {
      opened.reject(new CallError(kind));
      this.cancel();
    };
  }

  /** Sends a message; returns when the plugin's bounds have room for the next one. */
  async send(message) {
    if (this.#error !== null) throw this.#error;
    const sent = this.#wire.send(this.#stream, Buffer.from(toBytes(message)));
    this.#flush();
    if (!sent) await new Promise((resolve, reject) => this.#writable.push({ resolve, reject }));
  }

  /** Sends no more messages. */
  close() {
    this.#wire.end(this.#stream);
    this.#flush();
  }

  /** Leaves: the plugin's handler is notified. */
  cancel() {
    this.#wire.reset(this.#stream, 0);
    this.#flush();
    this.#over(new CallError("cancelled"));
  }

  /** The next frame, the last one included; null after that. Its credit is given back. */
  async next() {
    const frame = this.#frames.shift();
    if (frame !== undefined) return this.#taken(frame);
    if (this.last !== null) return null;
    if (this.#error !== null) throw this.#error;
    return this.#taken(await new Promise((resolve, reject) => this.#waiters.push({ resolve, reject })));
  }

  async *[Symbol.asyncIterator]() {
    for (let frame; (frame = await this.next()) !== null && frame.isOk; ) yield frame;
  }

  /** Every frame until the end: `{ frames, last }`. */
  async rest() {
    const frames = [];
    for await (const frame of this) frames.push(frame.text);
    return { frames, last: this.last };
  }

  #taken(frame) {
    if (frame.isOk) this.#wire.grant(this.#stream, 1, frame.body.length + 4);
    else this.last = frame;
    this.#flush();
    return frame;
  }

  accepted() {
    if (this.#first === null) return this.#setOpen();
    this.#wire.send(this.#stream, this.#first);
    this.#first = null;
  }

  credit() {
    if (this.#first === null) this.#setOpen();
  }

  writable() {
    for (const { resolve } of this.#writable.splice(0)) resolve();
  }

  element(_stream, body) {
    const { status, body: said } = decodeAnswer(body);
    this.#setOpen();
    const frame = new Answer(status, said);
    const waiter = this.#waiters.shift();
    if (waiter === undefined) this.#frames.push(frame);
    else waiter.resolve(frame);
  }

  ended() {
    this.#wire.end(this.#stream);
  }

  reset(code) {
    const error = new CallError("refused", { status: Math.max(code - REFUSED, 0) });
    this.#opened.reject(error);
    this.#over(error);
  }

  crashed(error) {
    this.#opened.reject(error);
    this.#over(error);
  }

  #setOpen() {
    this.#isOpen = true;
    this.#opened.resolve();
  }

  #over(error) {
    this.#error ??= error;
    for (const { reject } of [...this.#waiters.splice(0), ...this.#writable.splice(0)]) reject(this.#error);
  }
}

/** An answer that comes in a stream, of a call whose payload goes there too, or not. */
class LongAnswer {
  #wire;
  #answer;
  #payload;

  constructor(wire, answer, payload) {
    this.#wire = wire;
    this.#answer = answer;
    this.#payload = payload;
  }

  accepted(stream) {
    this.#wire.send(stream, this.#payload);
    this.#wire.end(stream);
  }

  element(stream, body) {
    replied(this.#answer, Reply.DONE, body);
    this.#wire.end(stream);
  }

  ended() {
    this.#answer.reject(new CallError("failed"));
  }

  reset(code, why) {
    replied(this.#answer, Math.max(code - REFUSED, Reply.FAILED), Buffer.from(why));
  }

  crashed(error) {
    this.#answer.reject(error);
  }
}

/** Settles a call by the status of its reply. */
function replied(answer, status, body) {
  switch (status) {
    case Reply.DONE: {
      if (answer.isBody) return answer.resolve(body);
      const { status, body: said } = decodeAnswer(body);
      return answer.resolve(new Answer(status, said));
    }
    case Reply.REFUSED:
      return answer.reject(new CallError("refused", { status: decodeAnswer(body).status }));
    case Reply.UNKNOWN_ENTRY:
      return answer.reject(new CallError("unknown-entry"));
    case Reply.DEADLINE:
      return answer.reject(new CallError("deadline"));
    case Reply.PANICKED:
      return answer.reject(new CallError("refused", { status: Status.Panic }));
    case Reply.TOO_MUCH:
      return answer.reject(new CallError("refused", { status: Status.Backpressure }));
    default:
      return answer.reject(new CallError("failed", { message: body.toString() }));
  }
}

/** The promise, until the deadline or the signal of the caller. */
async function limited(answer, { deadlineMs = 0, signal }) {
  const leave = () => answer.leave?.("cancelled");
  signal?.addEventListener("abort", leave, { once: true });
  const timer = deadlineMs > 0 ? setTimeout(() => answer.leave?.("deadline"), deadlineMs) : null;
  try {
    return await answer.promise;
  } finally {
    signal?.removeEventListener("abort", leave);
    if (timer !== null) clearTimeout(timer);
  }
}

function promise() {
  const made = {};
  made.promise = new Promise((resolve, reject) => Object.assign(made, { resolve, reject }));
  // A rejection that no test awaits is not an error of the test's process.
  made.promise.catch(() => {});
  return made;
}
