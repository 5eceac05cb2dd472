// SPDX-License-Identifier: BSD-3-Clause
/**
 * What a handler gets: its call, and for a stream the frames to the caller and the messages from it.
 *
 * A sink and a session send through a port, which is a stream of the session, or an answer (`server.js`):
 * `accept()`, `frame(bytes) -> sent at once?`, `taken(bytes)`, `frameBytesMax`.
 */

import { Cancelled, Failure, Status, statusName, toBytes } from "./status.js";
import { encodeAnswer } from "./messages.js";

/** Frames that a handler may leave unsent without waiting for any. */
const UNSENT_FRAMES_MAX = 1024;

/** One call. */
export class Call {
  #plugin;
  #controller = null;
  #reason = null;
  #text = null;
  #endsAt;
  #state = null;

  constructor(plugin, entry, { deadlineMs, request, payload }) {
    this.#plugin = plugin;
    /** The entry's name. */
    this.entry = entry;
    /** What the caller has sent. */
    this.payload = payload;
    /** Whether method, path, query and headers are those of a request. */
    this.isRequest = request !== null;
    this.method = request?.method ?? "";
    this.path = request?.path ?? "";
    this.query = request?.query ?? "";
    this.headers = request?.headers ?? [];
    this.#endsAt = deadlineMs > 0 ? performance.now() + deadlineMs : null;
  }

  /** The plugin's configuration. */
  get config() {
    return this.#plugin.config;
  }

  /** What is kept for the time of the call. */
  get state() {
    return (this.#state ??= new Map());
  }

  /** The payload as text. */
  get text() {
    return (this.#text ??= this.payload.toString());
  }

  /** The payload, parsed; a payload that is no JSON is a failure of status `Invalid`. */
  json() {
    try {
      return JSON.parse(this.text);
    } catch (error) {
      throw new Failure(Status.Invalid, `the payload is no JSON: ${error.message}`);
    }
  }

  /** The first header of this name, in whatever case; undefined: there is none. */
  header(name) {
    const wanted = name.toLowerCase();
    return this.headers.find(([name]) => name.toLowerCase() === wanted)?.[1];
  }

  /** Milliseconds until the caller gives up; null: it waits for ever. */
  remainingMs() {
    return this.#endsAt === null ? null : Math.max(this.#endsAt - performance.now(), 0);
  }

  /** Aborted when the caller has left, its deadline has passed, or the plugin ends. */
  get signal() {
    if (this.#controller === null) {
      this.#controller = new AbortController();
      if (this.#reason !== null) this.#controller.abort(this.#reason);
    }
    return this.#controller.signal;
  }

  /** Why the caller has left; null: it has not. */
  get _reason() {
    return this.#reason;
  }

  _abort(reason) {
    this.#reason ??= reason;
    this.#controller?.abort(this.#reason);
  }
}

/** Frames to a caller. */
export class Sink {
  #port;
  #waiters = [];
  #unsent = 0;
  #error = null;

  constructor(port) {
    this.#port = port;
  }

  /**
   * Sends a frame. Await it: it returns when the caller's bounds have room for the next one, and throws when the
   * caller has left.
   */
  async send(frame) {
    if (this.#error !== null) throw this.#error;
    const bytes = encodeAnswer(Status.Ok, toBytes(frame));
    if (bytes.length > this.#port.frameBytesMax) {
      throw new Failure(Status.TooLong);
    }
    if (this.#unsent >= UNSENT_FRAMES_MAX) {
      throw new Failure(Status.Backpressure, `${UNSENT_FRAMES_MAX} frames are unsent: await send()`);
    }
    this.#port.accept();
    if (this.#port.frame(bytes)) return;
    this.#unsent += 1;
    await new Promise((resolve, reject) => this.#waiters.push({ resolve, reject }));
  }

  _writable() {
    this.#unsent = 0;
    for (const { resolve } of this.#waiters.splice(0)) resolve();
  }

  /** Nothing is sent any more. */
  _over(error) {
    this.#error ??= error;
    for (const { reject } of this.#waiters.splice(0)) reject(this.#error);
  }
}

/** Frames to a caller, and messages from it: `for await (const message of session)` ends when the caller has closed. */
export class Session extends Sink {
  #port;
  #messages = [];
  #waiters = [];
  #isClosed = false;
  #error = null;

  constructor(port) {
    super(port);
    this.#port = port;
  }

  /** The next message; null: the caller has closed. Throws when the caller has left. */
  async recv() {
    this.#port.accept();
    const message = this.#messages.shift();
    if (message !== undefined) {
      this.#port.taken(message.length);
      return message;
    }
    if (this.#error !== null) throw this.#error;
    if (this.#isClosed) return null;
    return new Promise((resolve, reject) => this.#waiters.push({ resolve, reject }));
  }

  async *[Symbol.asyncIterator]() {
    for (let message; (message = await this.recv()) !== null; ) yield message;
  }

  _message(bytes) {
    const waiter = this.#waiters.shift();
    if (waiter === undefined) {
      this.#messages.push(bytes);
      return;
    }
    this.#port.taken(bytes.length);
    waiter.resolve(bytes);
  }

  _closed() {
    this.#isClosed = true;
    for (const { resolve } of this.#waiters.splice(0)) resolve(null);
  }

  _over(error) {
    super._over(error);
    this.#error ??= error;
    this.#messages = [];
    for (const { reject } of this.#waiters.splice(0)) reject(this.#error);
  }
}

/** The error of what is sent after the end. */
export function closed(status) {
  return new Cancelled(`the call has ended: ${statusName(status)}`);
}
