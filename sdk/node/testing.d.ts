// SPDX-License-Identifier: BSD-3-Clause
/** A host for unit tests. */

import type { Body, Plugin } from "./index.js";

/** An answer or a frame. */
export declare class Answer {
  readonly status: number;
  readonly body: Buffer;
  readonly isOk: boolean;
  readonly text: string;
}

export type CallErrorKind = "refused" | "unknown-entry" | "deadline" | "cancelled" | "crashed" | "failed";

/** Why a call has no answer. */
export declare class CallError extends Error {
  readonly kind: CallErrorKind;
  /** Of a refusal. */
  readonly status?: number;
}

export interface CallOptions {
  payload?: Body;
  method?: string;
  path?: string;
  query?: string;
  headers?: Record<string, string> | ReadonlyArray<readonly [string, string]>;
  deadlineMs?: number;
  /** Aborted by a caller that leaves. */
  signal?: AbortSignal;
}

export declare class FakeStream implements AsyncIterable<Answer> {
  private constructor();
  /** The last frame, when it has come. */
  readonly last: Answer | null;
  /** Sends a message; returns when the plugin's bounds have room for the next one. */
  send(message: Body): Promise<void>;
  /** Sends no more messages. */
  close(): void;
  /** Leaves: the plugin's handler is notified. */
  cancel(): void;
  /** The next frame, the last one included; null after that. */
  next(): Promise<Answer | null>;
  /** Every frame until the end. */
  rest(): Promise<{ frames: string[]; last: Answer }>;
  [Symbol.asyncIterator](): AsyncGenerator<Answer, void, undefined>;
}

export declare class FakeHost {
  private constructor();
  /** Loads a plugin of this process. */
  static load<Config extends object>(plugin: Plugin<Config>, options?: { config?: object }): Promise<FakeHost>;
  /** Starts a program, and loads it as a host does. */
  static start(command: readonly string[], options?: { config?: object; cwd?: string }): Promise<FakeHost>;
  /** What the plugin has reported. */
  readonly loaded: { name: string; version: string; entries: { name: string; kind: string; help: string }[] };
  /** The names of the entries, in order. */
  readonly entries: string[];
  /** What the plugin has logged. */
  readonly logs: { level: "error" | "warn" | "info" | "debug" | "trace"; target: string; message: string }[];
  /** The values of its metrics by name, which come some 100 ms after a change. */
  readonly metrics: Map<string, number | { sum: number; count: number }>;
  /** Calls an entry. Throws a `CallError` where there is no answer. */
  call(entry: string, options?: CallOptions): Promise<Answer>;
  /** Sends a call without an answer. */
  notify(entry: string, options?: CallOptions): void;
  /** Opens a stream. */
  stream(entry: string, options?: CallOptions): Promise<FakeStream>;
  /** Ends the plugin, as a host does, and waits for its end. */
  end(): Promise<void>;
  /** Ends the connection, as the end of a host's process does. */
  kill(): Promise<void>;
}
