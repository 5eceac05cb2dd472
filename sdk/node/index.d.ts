// SPDX-License-Identifier: BSD-3-Clause
/** Plugins for becket, in JavaScript and TypeScript. */

/** An answer or a frame: text is sent as UTF-8, `undefined` and `null` as no bytes. */
export type Body = string | Uint8Array | ArrayBuffer | null | undefined | void;

/** How a call or a frame ends. Any other number may occur; one without a name counts as an error. */
export declare const Status: {
  readonly Ok: 0;
  readonly Err: 1;
  readonly Invalid: 2;
  readonly Unsupported: 3;
  readonly StreamEnd: 4;
  readonly Panic: 5;
  readonly Backpressure: 6;
  readonly Timeout: 7;
  readonly Cancelled: 8;
  readonly Closed: 9;
  readonly TooLong: 10;
};

/** The name of a status, or `status N`. */
export declare function statusName(status: number): string;

/** Thrown by a handler: its call or stream ends with this status and body. */
export declare class Failure extends Error {
  constructor(status: number, body?: Body);
  readonly status: number;
  readonly body: Body;
}

/** Thrown by a handler that has sent nothing: the call is refused with this status, without an answer. */
export declare class Refusal extends Error {
  /** `Err` by default. */
  constructor(status?: number);
  readonly status: number;
}

/** What `send` and `recv` throw when the caller has left; also the reason of the call's signal. */
export declare class Cancelled extends Error {
  constructor(why?: string);
  readonly name: "AbortError";
}

/** One call. `Config` is the type of the plugin's configuration. */
export declare class Call<Config = Record<string, unknown>> {
  private constructor();
  /** The entry's name. */
  readonly entry: string;
  /** What the caller has sent. */
  readonly payload: Buffer;
  /** Whether method, path, query and headers are those of a request. */
  readonly isRequest: boolean;
  readonly method: string;
  readonly path: string;
  /** Without `?`. */
  readonly query: string;
  /** In the order of the request. */
  readonly headers: ReadonlyArray<readonly [name: string, value: string]>;
  readonly config: Config;
  /** What is kept for the time of the call. */
  readonly state: Map<string, unknown>;
  /** The payload as text. */
  readonly text: string;
  /** Aborted when the caller has left, its deadline has passed, or the plugin ends. */
  readonly signal: AbortSignal;
  /** The payload, parsed; a payload that is no JSON is a failure of status `Invalid`. */
  json<T = unknown>(): T;
  /** The first header of this name, in whatever case. */
  header(name: string): string | undefined;
  /** Milliseconds until the caller gives up; null: it waits for ever. */
  remainingMs(): number | null;
}

/** Frames to a caller. */
export declare class Sink {
  protected constructor();
  /**
   * Sends a frame. Await it: it returns when the caller's bounds have room for the next one, and throws when the
   * caller has left (`Cancelled`), or for a frame that is longer than the host takes (`Failure` of `TooLong`).
   */
  send(frame: Body): Promise<void>;
}

/** Frames to a caller, and messages from it: `for await (const message of session)` ends when the caller has closed. */
export declare class Session extends Sink implements AsyncIterable<Buffer> {
  /** The next message; null: the caller has closed. Throws `Cancelled` when the caller has left. */
  recv(): Promise<Buffer | null>;
  [Symbol.asyncIterator](): AsyncGenerator<Buffer, void, undefined>;
}

/** Lines for the host's log. */
export interface Logger {
  error(message: unknown): void;
  warn(message: unknown): void;
  info(message: unknown): void;
  debug(message: unknown): void;
  trace(message: unknown): void;
}

export type UnaryHandler<Config> = (call: Call<Config>) => Body | Promise<Body>;
/** What it returns is the body of the last frame; what a generator yields are the frames before it. */
export type StreamHandler<Config> = (call: Call<Config>, sink: Sink) => Promise<Body> | AsyncIterable<Body>;
export type SessionHandler<Config> = (call: Call<Config>, session: Session) => Promise<Body> | AsyncIterable<Body>;

/** A plugin: its name, its version, its entries. */
export declare class Plugin<Config extends object = Record<string, unknown>> {
  /** `config` has what the host's configuration may leave out. */
  constructor(name: string, version: string, options?: { config?: Config });
  readonly name: string;
  readonly version: string;
  /** The host's configuration, from `onLoad` on. */
  readonly config: Config;
  /** Lines for the host's log, from the plugin's name. */
  readonly log: Logger;
  /** Lines for the host's log, from this target. */
  logger(target: string): Logger;
  /** A metric of the host's that grows. */
  counter(name: string, help?: string): { add(count?: number): void };
  /** A metric of the host's that is set. */
  gauge(name: string, help?: string): { set(value: number): void };
  /** A metric of the host's that counts values by their size. */
  histogram(name: string, help?: string): { observe(value: number): void };
  /** Adds an entry with one answer. */
  unary(name: string, handler: UnaryHandler<Config>): this;
  unary(name: string, help: string, handler: UnaryHandler<Config>): this;
  /** Adds an entry that sends frames. */
  stream(name: string, handler: StreamHandler<Config>): this;
  stream(name: string, help: string, handler: StreamHandler<Config>): this;
  /** Adds an entry with frames to the caller, and messages from it. */
  session(name: string, handler: SessionHandler<Config>): this;
  session(name: string, help: string, handler: SessionHandler<Config>): this;
  /** Has the function called with the configuration, before the first call. What it throws is why the load fails. */
  onLoad(hook: (config: Config) => void | Promise<void>): this;
  /** Has the function called when the host ends the plugin. */
  onShutdown(hook: () => void | Promise<void>): this;
  /** Serves the host that has started this program, and exits when the host ends the plugin. */
  run(): void;
}
