// SPDX-License-Identifier: BSD-3-Clause
/** Statuses and the errors of handlers. */

/** How a call or a frame ends. Any other number may occur; one without a name counts as an error. */
export const Status = Object.freeze({
  Ok: 0,
  Err: 1,
  Invalid: 2,
  Unsupported: 3,
  StreamEnd: 4,
  Panic: 5,
  Backpressure: 6,
  Timeout: 7,
  Cancelled: 8,
  Closed: 9,
  TooLong: 10,
});

/** The name of a status, or `status N`. */
export function statusName(status) {
  return Object.keys(Status).find((name) => Status[name] === status) ?? `status ${status}`;
}

/** Thrown by a handler: its call or stream ends with this status and body. */
export class Failure extends Error {
  name = "Failure";

  constructor(status, body = "") {
    super(`${statusName(status)}: ${typeof body === "string" ? body : `${body.length} bytes`}`);
    this.status = status;
    this.body = body;
  }
}

/** Thrown by a handler that has sent nothing: the call is refused with this status, without an answer. */
export class Refusal extends Error {
  name = "Refusal";

  constructor(status = Status.Err) {
    super(`refused: ${statusName(status)}`);
    this.status = status;
  }
}

/** What a wait of a handler ends with when its caller has left; also the reason of its signal. */
export class Cancelled extends Error {
  name = "AbortError";

  constructor(why = "the caller has left") {
    super(why);
  }
}

/** An answer or a frame, as bytes. */
export function toBytes(body) {
  if (body === undefined || body === null) return Buffer.alloc(0);
  if (typeof body === "string") return Buffer.from(body);
  if (body instanceof Uint8Array) return body;
  if (body instanceof ArrayBuffer) return new Uint8Array(body);
  throw new TypeError(`expected text or bytes, got ${typeof body}; JSON.stringify makes text of an object`);
}
