// SPDX-License-Identifier: BSD-3-Clause
/** A plugin: its entries, its configuration, its log, and how it is run. */

import net from "node:net";
import path from "node:path";

import { Metrics } from "./metrics.js";
import { Server } from "./server.js";

/** The variable that has the number of the host's socket. */
const DESCRIPTOR = "BECKET_FD";
/** Buffers of fewer bytes together are written as one. */
const JOINED_BYTES_MAX = 64 << 10;

export const Level = Object.freeze({ error: 1, warn: 2, info: 3, debug: 4, trace: 5 });

export class Plugin {
  #entries = [];
  #byName = new Map();
  #configDefault;
  #onLoad = [];
  #onShutdown = [];
  #server = null;
  _metrics = new Metrics((isNow) => this.#server?.metricsChanged(isNow));

  /** `config` has what the host's configuration may leave out. */
  constructor(name, version, { config = {} } = {}) {
    this.name = name;
    this.version = version;
    this.config = config;
    this.log = this.logger(name);
    this.#configDefault = config;
  }

  /** Adds an entry with one answer: `unary(name, help?, (call) => answer)`. */
  unary(name, ...rest) {
    return this.#add("unary", name, rest);
  }

  /** Adds an entry that sends frames: `stream(name, help?, async (call, sink) => last)`, or an async generator. */
  stream(name, ...rest) {
    return this.#add("stream", name, rest);
  }

  /** Adds an entry with messages in both directions: `session(name, help?, async (call, session) => last)`. */
  session(name, ...rest) {
    return this.#add("bidirectional", name, rest);
  }

  /** Has the function called with the configuration, before the first call. */
  onLoad(hook) {
    this.#onLoad.push(hook);
    return this;
  }

  /** Has the function called when the host ends the plugin. */
  onShutdown(hook) {
    this.#onShutdown.push(hook);
    return this;
  }

  /** `error`, `warn`, `info`, `debug` and `trace`: lines for the host's log, from this target. */
  logger(target) {
    const levels = Object.entries(Level);
    return Object.fromEntries(levels.map(([name, level]) => [name, (message) => this.#log(level, target, message)]));
  }

  /** A metric of the host's that grows: `add(count)`. */
  counter(name, help) {
    return this._metrics.counter(name, help);
  }

  /** A metric of the host's that is set: `set(value)`. */
  gauge(name, help) {
    return this._metrics.gauge(name, help);
  }

  /** A metric of the host's that counts values by their size: `observe(value)`. */
  histogram(name, help) {
    return this._metrics.histogram(name, help);
  }

  /** Serves the host that has started this program, and exits when the host ends the plugin. */
  run() {
    const descriptor = process.env[DESCRIPTOR];
    if (descriptor === undefined) {
      const program = path.basename(process.argv[1] ?? "plugin.js");
      process.stderr.write(
        `error: ${this.name} is a plugin, which a host starts\ncause: ${DESCRIPTOR} is not set\n` +
          `hint:  command = ["node", "${program}"] under [plugins.${this.name}] in the configuration of \`becket serve\`\n`,
      );
      process.exit(1);
    }
    // The programs that this one starts are not the plugin.
    delete process.env[DESCRIPTOR];
    const socket = new net.Socket({ fd: Number(descriptor), readable: true, writable: true });
    const exit = () => process.exit();
    const server = this._serve({ write: (buffers) => writeAll(socket, buffers), end: () => socket.end(exit) });
    socket.on("data", (data) => server.receive(data));
    socket.on("error", () => server.over());
    socket.on("close", exit);
    socket.on("end", () => server.over());
  }

  #add(kind, name, rest) {
    const handler = rest.pop();
    const help = rest.pop() ?? "";
    if (typeof name !== "string" || typeof help !== "string" || typeof handler !== "function") {
      throw new TypeError("expected a name, perhaps a line of help, and a function");
    }
    if (this.#byName.has(name)) throw new TypeError(`two entries are named ${name}`);
    const entry = { name, kind, help, handler };
    this.#entries.push(entry);
    this.#byName.set(name, entry);
    return this;
  }

  #log(level, target, message) {
    message = String(message);
    if (this.#server?.log(level, target, message)) return;
    process.stderr.write(`${target}: ${message}\n`);
  }

  // For the server.

  /** Serves a host over this connection. */
  _serve(connection) {
    if (this.#server !== null) throw new Error(`${this.name} runs already`);
    this.#server = new Server(this, connection);
    return this.#server;
  }

  /** The entry of this place in the list, or of this name. */
  _entry(entry) {
    return typeof entry === "number" ? this.#entries[entry] : this.#byName.get(entry);
  }

  async _load(config) {
    this.config = { ...this.#configDefault, ...config };
    for (const hook of this.#onLoad) await hook(this.config);
    const entries = this.#entries.map(({ name, kind, help }) => ({ name, kind, help }));
    return { name: this.name, version: this.version, entries, is_complete: true };
  }

  async _shutdown() {
    for (const hook of this.#onShutdown) await hook();
    this.#server = null;
  }
}

function writeAll(socket, buffers) {
  if (socket.destroyed) return;
  const bytes = buffers.reduce((sum, buffer) => sum + buffer.length, 0);
  if (buffers.length === 1 || bytes <= JOINED_BYTES_MAX) {
    socket.write(buffers.length === 1 ? buffers[0] : Buffer.concat(buffers, bytes));
    return;
  }
  socket.cork();
  for (const buffer of buffers) socket.write(buffer);
  socket.uncork();
}
