// SPDX-License-Identifier: BSD-3-Clause
/**
 * Serves a host: calls and streams of the session to handlers, and back.
 *
 *     request, stream ──▶ Call, Session ──▶ handler ─┬─ a value, or a promise of one ──▶ reply, last frame
 *                                                    └─ throws: Failure, Refusal, else Panic
 *
 * Invariants:
 *
 * 1. Each request has one reply, and each accepted stream one end. What a handler does after that has no effect.
 * 2. A stream is accepted when its handler has run up to its first `await` without throwing, or with its first
 *    frame; what it throws before that refuses the stream.
 * 3. A call whose caller has left is answered at once, so that its number is free; its handler is notified by the
 *    call's signal and by what `send` and `recv` throw.
 */

import { Call, Session, Sink, closed } from "./call.js";
import {
  LOAD_BYTES_MAX, Malformed, Notice, Operation, REFUSED, Reply, Service, VERSION, decodeCall, encodeAnswer, encodeLog,
  payloadFollows,
} from "./messages.js";
import { Cancelled, Failure, Refusal, Status, toBytes } from "./status.js";
import { PROTOCOL_VIOLATED, ProtocolError, Session as WireSession } from "./wire.js";

/** Messages of one stream that its handler has not taken. Their bytes: as many as one may have, so that each fits. */
const STREAM_MESSAGES = 64;
/** Log lines are dropped when so many bytes wait to be written. */
const LOG_UNSENT_BYTES_MAX = 4 << 20;
/** Changes of metrics are sent so long after the first of them. */
const METRICS_MS = 100;
const NOTHING = Buffer.alloc(0);

export class Server {
  #plugin;
  #write;
  #end;
  #wire;
  /** Where the results of the calls go that have not ended. */
  #open = new Set();
  /** What has come of a load that is longer than a frame. */
  #loadParts = [];
  #isFlushDue = false;
  #isOver = false;
  #logsDropped = 0;

  /** `write(buffers)` writes to the host; `end()` ends the connection. */
  constructor(plugin, { write, end }) {
    this.#plugin = plugin;
    this.#write = write;
    this.#end = end;
    this.#wire = new WireSession(this);
  }

  /** Bytes that were read. */
  receive(data) {
    try {
      this.#wire.receive(data);
    } catch (error) {
      if (!(error instanceof ProtocolError || error instanceof Malformed)) throw error;
      process.stderr.write(`error: the host broke a rule of the session\ncause: ${error.message}\n`);
      this.#wire.close(PROTOCOL_VIOLATED, error.message);
      this.#flush();
      this.over();
      return;
    }
    this.#flush();
  }

  /** The connection has ended. */
  over() {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#abortAll("the host has gone");
    this.#end();
  }

  /** A line for the host's log; false: there is no session. */
  log(level, target, message) {
    if (this.#isOver || this.#wire.peer === null) return false;
    if (this.#wire.unsentBytes > LOG_UNSENT_BYTES_MAX) {
      this.#logsDropped += 1;
      return true;
    }
    if (this.#logsDropped > 0) {
      message = `${message} (${this.#logsDropped} lines before it were dropped)`;
      this.#logsDropped = 0;
    }
    this.#wire.notice(Notice.LOG, encodeLog(level, target, message, this.#wire.bodyBytesMax));
    this.#soon();
    return true;
  }

  /** Metrics have changed: they are sent soon, or now. */
  metricsChanged(isNow) {
    if (isNow) this.#sendMetrics();
    else setTimeout(() => this.#sendMetrics(), METRICS_MS).unref();
  }

  #sendMetrics() {
    // Changes before the session begins wait for it.
    if (this.#isOver || this.#wire.peer === null) return;
    for (const body of this.#plugin._metrics.take(this.#wire.bodyBytesMax)) this.#wire.notice(Notice.METRICS, body);
    this.#soon();
  }

  #abortAll(why) {
    const reason = new Cancelled(why);
    for (const port of [...this.#open]) port.left(reason);
  }

  #soon() {
    if (this.#isFlushDue) return;
    this.#isFlushDue = true;
    setImmediate(() => this.#flush());
  }

  #flush() {
    this.#isFlushDue = false;
    const buffers = this.#wire.take();
    if (buffers.length > 0) this.#write(buffers);
  }

  // Events of the session.

  request(request, operation, body) {
    switch (operation) {
      case Operation.CALL:
        return this.#call(decodeCall(body), new RequestPort(this.#wire, request));
      case Operation.LOAD: {
        const load = Buffer.concat([...this.#loadParts, body]);
        this.#loadParts = [];
        return void this.#load(request, load);
      }
      case Operation.LOAD_PART:
        return this.#loadPart(request, body);
      case Operation.SHUTDOWN:
        return void this.#shutdown(request);
      default:
        this.#wire.reply(request, Reply.UNKNOWN_OPERATION);
    }
  }

  cancelled(request) {
    request.owner?.left(new Cancelled());
  }

  notice(code, body) {
    if (code === Notice.NOTIFICATION) this.#call(decodeCall(body), new NoPort());
  }

  opened(stream, service, name) {
    const isLong = service === Service.LONG_CALL || service === Service.LONG_NOTIFICATION;
    if (isLong || (service === Service.STREAM && payloadFollows(name))) {
      stream.owner = new PayloadExpected(service, name);
      return this.#wire.accept(stream, 1, this.#wire.elementBytesMax);
    }
    if (service !== Service.STREAM) return this.#wire.reset(stream, REFUSED + Status.Unsupported);
    this.#stream(decodeCall(name), new StreamPort(this.#wire, stream, () => this.#soon()));
  }

  element(stream, body) {
    const { owner } = stream;
    if (!(owner instanceof PayloadExpected)) return owner?.element(body);
    const call = decodeCall(Buffer.concat([owner.name, body]));
    if (owner.service === Service.STREAM) return this.#stream(call, new StreamPort(this.#wire, stream, () => this.#soon()));
    if (owner.service === Service.LONG_NOTIFICATION) {
      stream.owner = undefined;
      this.#call(call, new NoPort());
      return this.#wire.end(stream);
    }
    this.#call(call, new LongCallPort(this.#wire, stream));
  }

  accepted(stream) {
    stream.owner?.accepted?.();
  }

  writable(stream) {
    stream.owner?.writable?.();
  }

  ended(stream) {
    stream.owner?.ended?.();
  }

  reset(stream) {
    stream.owner?.left?.(new Cancelled());
  }

  closed() {
    this.over();
  }

  // The plugin's life.

  #loadPart(request, body) {
    const joined = this.#loadParts.reduce((bytes, part) => bytes + part.length, body.length);
    if (joined > LOAD_BYTES_MAX) return this.#wire.reply(request, Reply.TOO_MUCH);
    this.#loadParts.push(Buffer.from(body));
    this.#wire.reply(request, Reply.DONE);
  }

  async #load(request, body) {
    let status = Reply.DONE;
    let answer;
    try {
      const { protocol, config } = JSON.parse(body.toString());
      if (protocol !== VERSION) throw new Error(`the host speaks version ${protocol} of the session, this SDK ${VERSION}`);
      answer = await this.#plugin._load(config);
    } catch (error) {
      status = Reply.FAILED;
      answer = { error: `the plugin ${this.#plugin.name} does not start`, cause: describe(error), hint: "" };
    }
    if (this.#isOver) return;
    let bytes = Buffer.from(JSON.stringify(answer));
    if (bytes.length > this.#wire.bodyBytesMax) {
      status = Reply.FAILED;
      const error = `the list of entries has ${bytes.length} bytes, at most ${this.#wire.bodyBytesMax} are accepted`;
      bytes = Buffer.from(JSON.stringify({ error, cause: "", hint: "shorten their help" }));
    }
    this.#wire.reply(request, status, bytes);
    this.#sendMetrics();
    this.#soon();
  }

  async #shutdown(request) {
    this.#abortAll("the plugin ends");
    try {
      await this.#plugin._shutdown();
    } catch (error) {
      this.#plugin.log.error(`the end of ${this.#plugin.name}: ${describe(error)}`);
    }
    if (this.#isOver) return;
    this.#sendMetrics();
    this.#wire.reply(request, Reply.DONE);
    this.#flush();
    this.over();
  }

  // Calls.

  #begin(decoded, port) {
    const entry = this.#plugin._entry(decoded.entry);
    if (entry === undefined) return null;
    const call = new Call(this.#plugin, entry.name, decoded);
    this.#open.add(port);
    port.begin(call, () => {
      this.#open.delete(port);
      this.#soon();
    });
    return [entry, call];
  }

  #call(decoded, port) {
    const begun = this.#begin(decoded, port);
    if (begun === null) return port.reply(Reply.UNKNOWN_ENTRY, NOTHING);
    const [entry, call] = begun;
    if (entry.kind === "unary") {
      return settle(() => entry.handler(call), (value) => port.answer(Status.Ok, value), (error) => this.#failed(entry, port, error));
    }
    // The first frame of a stream that is called is the answer.
    const sink = new Session(new FirstFrame(port));
    port.sink = sink;
    sink._closed();
    this.#run(entry, call, sink, port, (value) => port.answer(Status.StreamEnd, value));
  }

  #stream(decoded, port) {
    const begun = this.#begin(decoded, port);
    if (begun === null) return port.refuse(Status.Unsupported);
    const [entry, call] = begun;
    if (entry.kind === "unary") {
      const answered = (value) => {
        port.accept();
        port.frame(encodeAnswer(Status.Ok, value));
        port.answer(Status.StreamEnd, NOTHING);
      };
      return settle(() => entry.handler(call), answered, (error) => this.#failed(entry, port, error));
    }
    const sink = entry.kind === "stream" ? new Sink(port) : new Session(port);
    port.sink = sink;
    this.#run(entry, call, sink, port, (value) => port.answer(Status.StreamEnd, value));
    // After what a handler throws at once.
    queueMicrotask(() => {
      port.accept();
      this.#soon();
    });
  }

  #run(entry, call, sink, port, done) {
    const run = () => {
      const result = entry.handler(call, sink);
      return result?.[Symbol.asyncIterator] === undefined ? result : pump(result, sink, call.signal);
    };
    settle(run, done, (error) => this.#failed(entry, port, error));
  }

  /** A handler has thrown. */
  #failed(entry, port, error) {
    if (port.isOver) return;
    if (error instanceof Failure) {
      let body;
      try {
        body = toBytes(error.body);
      } catch {
        body = NOTHING;
      }
      return port.answer(error.status >>> 0, body);
    }
    if (error instanceof Refusal) return port.refuse(error.status >>> 0);
    this.#plugin.log.error(`${entry.name} has thrown: ${describe(error)}`);
    port.refuse(Status.Panic);
  }
}

/** Runs a handler: what it returns, now or later, is bytes for `done`; what it throws is for `failed`. */
function settle(run, done, failed) {
  const returned = (value) => {
    let bytes;
    try {
      bytes = toBytes(value);
    } catch (error) {
      return failed(error);
    }
    done(bytes);
  };
  let result;
  try {
    result = run();
  } catch (error) {
    return failed(error);
  }
  if (typeof result?.then === "function") result.then(returned, failed);
  else returned(result);
}

/** Sends what an async generator yields. */
async function pump(frames, sink, signal) {
  const iterator = frames[Symbol.asyncIterator]();
  // A generator that waits for something else ends when that has come.
  const leave = () => void Promise.resolve(iterator.return?.()).catch(() => {});
  signal.addEventListener("abort", leave, { once: true });
  try {
    for (let next; !(next = await iterator.next()).done; ) await sink.send(next.value);
    return undefined;
  } finally {
    signal.removeEventListener("abort", leave);
    leave();
  }
}

function describe(error) {
  return error instanceof Error ? (error.stack ?? `${error.name}: ${error.message}`) : String(error);
}

/** A stream of the host whose first element is the payload of its call. */
class PayloadExpected {
  constructor(service, name) {
    this.service = service;
    this.name = name;
  }
}

/** Where the results of a call go. */
class Port {
  isOver = false;
  sink = null;
  #call = null;
  #ended = null;

  begin(call, ended) {
    this.#call = call;
    this.#ended = ended;
  }

  /** The end, once: true for the first. */
  over(error) {
    if (this.isOver) return false;
    this.isOver = true;
    this.#ended?.();
    this.sink?._over(error);
    return true;
  }

  /** The caller has left. */
  left(reason) {
    if (!this.over(reason)) return false;
    this.#call?._abort(reason);
    return true;
  }

  answer(status, body) {
    if (this.over(closed(status))) this.reply(Reply.DONE, encodeAnswer(status, body));
  }

  refuse(status) {
    if (this.over(closed(status))) this.reply(Reply.REFUSED, encodeAnswer(status, NOTHING));
  }

  reply() {}
}

/** Of a notification: nowhere. */
class NoPort extends Port {}

class RequestPort extends Port {
  #wire;
  #request;

  constructor(wire, request) {
    super();
    this.#wire = wire;
    this.#request = request;
    request.owner = this;
  }

  left(reason) {
    if (super.left(reason)) this.reply(Reply.DEADLINE, NOTHING);
  }

  reply(status, body) {
    const wire = this.#wire;
    if (wire.isClosed) return;
    if (body.length <= wire.bodyBytesMax) return wire.reply(this.#request, status, body);
    if (body.length > wire.elementBytesMax) {
      return wire.reply(this.#request, Reply.REFUSED, encodeAnswer(Status.TooLong, NOTHING));
    }
    const name = Buffer.alloc(8);
    name.writeUInt32LE(this.#request.slot, 0);
    name.writeUInt32LE(this.#request.generation, 4);
    const stream = wire.open(Service.LONG_ANSWER, name, 0, 0);
    if (stream === null) return wire.reply(this.#request, Reply.TOO_MUCH);
    wire.reply(this.#request, Reply.IN_STREAM);
    // It waits for the host's credit, which comes when the host has accepted.
    wire.send(stream, body);
    wire.end(stream);
  }
}

/** Of a call whose payload came in a stream, as the answer does. */
class LongCallPort extends Port {
  #wire;
  #stream;

  constructor(wire, stream) {
    super();
    this.#wire = wire;
    this.#stream = stream;
    stream.owner = this;
  }

  element() {}

  reply(status, body) {
    if (status !== Reply.DONE) return this.#wire.reset(this.#stream, REFUSED + status, body);
    if (body.length > this.#wire.elementBytesMax) {
      return this.#wire.reset(this.#stream, REFUSED + Reply.TOO_MUCH);
    }
    this.#wire.send(this.#stream, body);
    this.#wire.end(this.#stream);
  }
}

class StreamPort extends Port {
  #wire;
  #stream;
  #soon;
  #isAccepted = false;

  constructor(wire, stream, soon) {
    super();
    this.#soon = soon;
    this.#wire = wire;
    this.#stream = stream;
    stream.owner = this;
  }

  get frameBytesMax() {
    return this.#wire.elementBytesMax;
  }

  accept() {
    if (this.#isAccepted || this.isOver) return;
    this.#isAccepted = true;
    const bytes = this.#wire.elementBytesMax;
    // One whose payload came in an element was accepted for that.
    if (this.#stream.isAccepted) this.#wire.grant(this.#stream, STREAM_MESSAGES, bytes);
    else this.#wire.accept(this.#stream, STREAM_MESSAGES, bytes);
  }

  frame(bytes) {
    const sent = this.#wire.send(this.#stream, bytes);
    this.#soon();
    return sent;
  }

  /** The handler has a message: its credit is given back. */
  taken(bytes) {
    this.#wire.grant(this.#stream, 1, bytes);
    this.#soon();
  }

  element(body) {
    if (this.sink instanceof Session) this.sink._message(body);
    else this.taken(body.length);
  }

  writable() {
    this.sink?._writable();
  }

  ended() {
    if (this.sink instanceof Session) this.sink._closed();
  }

  answer(status, body) {
    if (this.isOver) return;
    this.accept();
    this.over(closed(status));
    let last = encodeAnswer(status, body);
    if (last.length > this.#wire.elementBytesMax) last = encodeAnswer(Status.TooLong, NOTHING);
    // `Ok` would say that more follow.
    if (status === Status.Ok) last.writeUInt32LE(Status.StreamEnd, 0);
    this.#wire.send(this.#stream, last);
    this.#wire.end(this.#stream);
  }

  refuse(status) {
    if (this.isOver) return;
    if (this.#isAccepted) return this.answer(status, NOTHING);
    this.over(closed(status));
    this.#wire.reset(this.#stream, REFUSED + Math.min(status, 0xffff - REFUSED));
  }
}

/** The port of a stream's handler that was called for one answer: its first frame. */
class FirstFrame {
  frameBytesMax = Number.MAX_SAFE_INTEGER;
  #port;

  constructor(port) {
    this.#port = port;
  }

  accept() {}

  taken() {}

  frame(bytes) {
    this.#port.answer(Status.Ok, bytes.subarray(4));
    return true;
  }
}
