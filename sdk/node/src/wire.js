// SPDX-License-Identifier: BSD-3-Clause
/**
 * One side of a session: bytes in, events out; commands in, bytes out. No socket and no clock.
 *
 * The protocol is number 2 of becket's channels between processes, of which a plugin needs this much:
 *
 *     host (client)                              program (server)
 *       │ ── Hello 2, limits ──────────────────────▶ │
 *       │ ◀───────────────────── Welcome 2, limits ─ │
 *       │ ── Request ─────────▶ ◀──────────── Reply ─ │   calls
 *       │ ── Open ─▶ ◀─ Accept  ◀═══ Data, Credit ══▶ │   streams, opened by either side
 *       │ ── Ping ────────────▶ ◀───────────── Pong ─ │
 *       │ ── Close ─────────────────────────────────▶ │
 *
 *     byte  0        4      5       6      8         12       16             24
 *           ┌────────┬──────┬───────┬──────┬─────────┬────────┬──────────────┬──── ─ ─
 *           │ length │ kind │ flags │ code │ stream  │  aux   │   sequence   │ body
 *           └────────┴──────┴───────┴──────┴─────────┴────────┴──────────────┴──── ─ ─
 *
 * Invariants:
 *
 * 1. What the peer can make this side keep is bounded: requests and streams by their numbers, elements by credit,
 *    frames by their greatest length. A peer that exceeds a bound is a `ProtocolError`, and the session is over.
 * 2. Elements of a stream are sent in order, as its credit and the session's allow. An element that waits for the
 *    session's credit keeps the others waiting, so that a long one is not starved by short ones.
 * 3. After `Reset` or `End` this side sends no element on the stream.
 */

const HEAD_BYTES = 24;
const VERSION = 2;

const HELLO = 1, WELCOME = 2, PING = 3, PONG = 4, DRAIN = 5, CLOSE = 6;
const REQUEST = 16, REPLY = 17, CANCEL = 18, NOTICE = 19;
const OPEN = 32, ACCEPT = 33, DATA = 34, CREDIT = 35, ACK = 36, NACK = 37, WITHDRAW = 38;
const REVOKE = 40, REVOKED = 41, END = 42, RESET = 43;

/** Flag of a piece of an element that others follow. */
const MORE = 1;
const PRIORITY_NORMAL = 1;
const FRAME_BODY_BYTES_LEAST = 256;
const TEXT_BYTES_MAX = 256;
const PONGS_MAX = 8;
const GENERATION_MAX = 0x7fff;
const SLOTS_MAX = 1 << 16;
/** Session credit is given back when so many bytes are owed, or sooner where the peer would run dry. */
const OWED_BYTES = 1 << 20;
const NOTHING = Buffer.alloc(0);

/** Code of a `Close`: the peer broke a rule. */
export const PROTOCOL_VIOLATED = 1;

/** What one side accepts. */
export const LIMITS = Object.freeze({
  frameBodyBytesMax: 64 << 10,
  elementBytesMax: 16 << 20,
  sessionCreditBytes: 64 << 20,
  streamsMax: 16384,
  requestsMax: 65536,
  regionsMax: 0,
});

/** The peer broke a rule of the session, which is over. */
export class ProtocolError extends Error {
  name = "ProtocolError";
}

/** A stream, as the session sees it. `owner` belongs to the session's user. */
class Stream {
  owner = undefined;
  sendMessages = 0;
  sendBytes = 0;
  queue = [];
  sequence = 0;
  takeMessages = 0;
  takeBytes = 0;
  pieces = [];
  /** Bytes of the element that `pieces` begins, that are still to come. */
  missing = 0;
  isAccepted = false;
  endDue = false;
  endedHere = false;
  endedThere = false;
  resetHere = false;

  constructor(number, isOwn) {
    this.number = number;
    this.isOwn = isOwn;
  }

  /** Whether elements may be sent. */
  get isOpen() {
    return !(this.endDue || this.endedHere || this.resetHere);
  }
}

/**
 * One side of one session. `handler` has the events as methods; those that it lacks are ignored:
 *
 * | method | when |
 * |---|---|
 * | `ready()` | the handshake is complete |
 * | `request(request, operation, body)` | to be answered with `reply`, once |
 * | `reply(slot, status, body)` | the answer to a request of this side |
 * | `cancelled(request)` | its reply is no longer needed; it is still sent |
 * | `notice(code, body)` | a message without an answer |
 * | `opened(stream, service, name)` | to be answered with `accept` or `reset` |
 * | `accepted(stream)`, `credit(stream)` | elements may be sent; more of them |
 * | `writable(stream)` | all that was sent has left the queue |
 * | `element(stream, body)` | a whole element: `grant` gives its credit back |
 * | `ended(stream)` | the peer sends nothing more on it |
 * | `reset(stream, code, why)` | it is over |
 * | `draining()`, `closed(code, why)` | nothing new begins; the session is over |
 */
export class Session {
  #handler;
  #limits;
  #isClient;
  #in = NOTHING;
  #out = [];
  #outBytes = 0;
  #streams = new Map();
  /** Requests of the peer by slot, and of this side. */
  #asking = new Map();
  #asked = new Map();
  #freeSlots = [];
  #slots = 0;
  #generations = [];
  #freeStreams = [];
  #window = 0;
  #owed = 0;
  #queuedBytes = 0;
  /** Streams with elements, or an end, to be sent. */
  #waiting = new Set();
  #pongs = 0;

  /** What the peer accepts; before the handshake: null. */
  peer = null;
  isClosed = false;

  constructor(handler, { limits = LIMITS, isClient = false } = {}) {
    this.#handler = handler;
    this.#limits = limits;
    this.#isClient = isClient;
    if (isClient) this.#put(HELLO, { aux: VERSION, body: encodeLimits(limits) });
  }

  /** Bytes that wait: for `take`, or for credit. */
  get unsentBytes() {
    return this.#outBytes + this.#queuedBytes;
  }

  /** The greatest length of the body of a request, reply, notice or name. */
  get bodyBytesMax() {
    return this.peer?.frameBodyBytesMax ?? FRAME_BODY_BYTES_LEAST;
  }

  /** The greatest length of an element: both sides accept it. */
  get elementBytesMax() {
    return Math.min(this.peer?.elementBytesMax ?? 0, this.#limits.elementBytesMax);
  }

  /** What is to be written now. */
  take() {
    this.#sendElements();
    const out = this.#out;
    this.#out = [];
    this.#outBytes = 0;
    this.#pongs = 0;
    return out;
  }

  /**
   * Handles bytes that were read. The handler may keep the bodies that it gets.
   * @throws {ProtocolError} the session is over.
   */
  receive(data) {
    const bytes = this.#in.length === 0 ? data : Buffer.concat([this.#in, data]);
    let at = 0;
    try {
      while (!this.isClosed && bytes.length - at >= HEAD_BYTES) {
        const length = bytes.readUInt32LE(at);
        if (length > this.#limits.frameBodyBytesMax) broken(`a frame of ${length} bytes`);
        if (bytes.length - at < HEAD_BYTES + length) break;
        const from = at;
        at += HEAD_BYTES + length;
        this.#frame(bytes, from, bytes.subarray(from + HEAD_BYTES, at));
      }
    } finally {
      this.#in = at === bytes.length ? NOTHING : bytes.subarray(at);
    }
  }

  // Commands.

  /** Sends a request; its slot, or null: it cannot be sent now. */
  request(operation, body = NOTHING) {
    const slot = this.#freeSlots.pop() ?? this.#slots++;
    const generation = ((this.#asked.get(slot)?.generation ?? 0) + 1) >>> 0 || 1;
    this.#asked.set(slot, { generation, isOpen: true });
    this.#put(REQUEST, { code: operation, sequence: slot, sequenceHigh: generation, body });
    return slot;
  }

  /** The reply to a request of this side is no longer needed. */
  cancel(slot) {
    const asked = this.#asked.get(slot);
    if (asked?.isOpen) this.#put(CANCEL, { sequence: slot, sequenceHigh: asked.generation });
  }

  /** Answers a request. `body` is at most `bodyBytesMax` long. */
  reply(request, status, body = NOTHING) {
    if (this.#asking.get(request.slot) !== request) throw new Error("a reply to no request");
    this.#asking.delete(request.slot);
    this.#put(REPLY, { code: status, sequence: request.slot, sequenceHigh: request.generation, body });
  }

  /** Sends a message without an answer. */
  notice(code, body) {
    this.#put(NOTICE, { code, body });
  }

  /** Opens a stream towards the peer, which may send so many elements on it; null: there are too many. */
  open(service, name, messages, bytes) {
    let slot = this.#freeStreams.shift();
    if (slot === undefined) {
      if (this.#generations.length >= Math.min(this.peer?.streamsMax ?? 0, SLOTS_MAX)) return null;
      slot = this.#generations.length;
      this.#generations.push(0);
    }
    const generation = this.#generations[slot] >= GENERATION_MAX ? 1 : this.#generations[slot] + 1;
    this.#generations[slot] = generation;
    const number = ((generation << 17) | (slot << 1) | (this.#isClient ? 0 : 1)) >>> 0;
    const stream = new Stream(number, true);
    stream.takeMessages = messages;
    stream.takeBytes = bytes;
    this.#streams.set(number, stream);
    this.#put(OPEN, { flags: PRIORITY_NORMAL, code: service, stream: number, aux: messages, sequence: bytes, body: name });
    return stream;
  }

  /** Accepts a stream of the peer, which may send so many elements, of so many bytes in all. */
  accept(stream, messages, bytes) {
    if (stream.isAccepted || stream.resetHere || !this.#streams.has(stream.number)) return;
    stream.isAccepted = true;
    stream.takeMessages = messages;
    stream.takeBytes = bytes;
    this.#put(ACCEPT, { stream: stream.number, aux: messages, sequence: bytes });
  }

  /** Sends an element, made of these parts; false: it waits for credit, until `writable`. */
  send(stream, ...parts) {
    if (!stream.isOpen) return true;
    const element = parts.length === 1 ? parts[0] : Buffer.concat(parts);
    stream.queue.push(element);
    this.#queuedBytes += element.length;
    this.#waiting.add(stream);
    this.#sendElements();
    return stream.queue.length === 0;
  }

  /** Gives credit of a stream back. */
  grant(stream, messages, bytes) {
    if (stream.endedThere || stream.resetHere || !this.#streams.has(stream.number)) return;
    stream.takeMessages += messages;
    stream.takeBytes += bytes;
    this.#put(CREDIT, { stream: stream.number, aux: messages, sequence: bytes });
  }

  /** Sends nothing more on the stream, after what waits in its queue. */
  end(stream) {
    if (!stream.isOpen) return;
    stream.endDue = true;
    this.#waiting.add(stream);
    this.#sendElements();
  }

  /** Ends the stream at once, in both directions. */
  reset(stream, code, why = "") {
    if (stream.resetHere || !this.#streams.has(stream.number)) return;
    stream.resetHere = true;
    this.#dropQueue(stream);
    this.#put(RESET, { code, stream: stream.number, body: text(why) });
  }

  /** Ends the session. */
  close(code, why) {
    if (this.isClosed) return;
    this.#put(CLOSE, { code, body: text(why) });
    this.isClosed = true;
  }

  // Inside.

  #put(kind, { flags = 0, code = 0, stream = 0, aux = 0, sequence = 0, sequenceHigh, body = NOTHING }) {
    if (this.isClosed) return;
    // A short body goes into the head's buffer, so that frames are written in few pieces.
    const isShort = body.length <= 4096;
    const head = Buffer.allocUnsafe(isShort ? HEAD_BYTES + body.length : HEAD_BYTES);
    head.writeUInt32LE(body.length, 0);
    head[4] = kind;
    head[5] = flags;
    head.writeUInt16LE(code, 6);
    head.writeUInt32LE(stream, 8);
    head.writeUInt32LE(aux, 12);
    head.writeUInt32LE(sequence % 0x1_0000_0000, 16);
    head.writeUInt32LE(sequenceHigh ?? Math.floor(sequence / 0x1_0000_0000), 20);
    this.#out.push(head);
    this.#outBytes += HEAD_BYTES + body.length;
    if (isShort) head.set(body, HEAD_BYTES);
    else this.#out.push(body);
  }

  /** Sends what credit allows, one element of each stream in turn. */
  #sendElements() {
    for (let progress = true; progress; ) {
      progress = false;
      for (const stream of this.#waiting) {
        if (stream.queue.length === 0) {
          this.#waiting.delete(stream);
          if (stream.endDue && !stream.endedHere) {
            stream.endedHere = true;
            this.#put(END, { stream: stream.number });
            this.#forgetIfOver(stream);
          }
          continue;
        }
        const bytes = stream.queue[0].length;
        if (stream.sendMessages < 1 || stream.sendBytes < bytes) {
          this.#waiting.delete(stream);
          continue;
        }
        // The first in line keeps its place, and the window is for it.
        if (this.#window < bytes) return;
        this.#sendElement(stream, stream.queue.shift());
        // To the end of the line.
        this.#waiting.delete(stream);
        this.#waiting.add(stream);
        progress = true;
        break;
      }
    }
  }

  #sendElement(stream, element) {
    stream.sendMessages -= 1;
    stream.sendBytes -= element.length;
    this.#window -= element.length;
    this.#queuedBytes -= element.length;
    stream.sequence += 1;
    let at = 0;
    do {
      const body = element.subarray(at, at + this.bodyBytesMax);
      at += body.length;
      const rest = element.length - at;
      const flags = rest > 0 ? MORE : 0;
      this.#put(DATA, { flags, stream: stream.number, aux: rest, sequence: stream.sequence, body });
    } while (at < element.length);
  }

  #dropQueue(stream) {
    for (const element of stream.queue) this.#queuedBytes -= element.length;
    stream.queue = [];
    this.#waiting.delete(stream);
  }

  #forgetIfOver(stream) {
    if (stream.endedHere && stream.endedThere) this.#forget(stream);
  }

  #forget(stream) {
    if (!this.#streams.delete(stream.number)) return;
    this.#dropQueue(stream);
    if (stream.isOwn) this.#freeStreams.push((stream.number >>> 1) & 0xffff);
  }

  #frame(bytes, at, body) {
    const kind = bytes[at + 4];
    const code = bytes.readUInt16LE(at + 6);
    const number = bytes.readUInt32LE(at + 8);
    const aux = bytes.readUInt32LE(at + 12);
    const low = bytes.readUInt32LE(at + 16);
    const high = bytes.readUInt32LE(at + 20);
    const handler = this.#handler;
    if (kind === CLOSE) {
      this.isClosed = true;
      return handler.closed?.(code, body.toString());
    }
    if (this.peer === null) {
      if (kind !== (this.#isClient ? WELCOME : HELLO)) broken(`a frame of kind ${kind} before the handshake`);
      return this.#greeted(aux, body);
    }
    switch (kind) {
      case REQUEST:
        return this.#requested(low, high, code, body);
      case REPLY:
        return this.#replied(low, high, code, body);
      case CANCEL: {
        const request = this.#asking.get(low);
        if (request?.generation === high) handler.cancelled?.(request);
        return;
      }
      case NOTICE:
        return handler.notice?.(code, body);
      case PING:
        if (++this.#pongs > PONGS_MAX) broken("pings, and no answer is read");
        return this.#put(PONG, { sequence: low, sequenceHigh: high });
      case DRAIN:
        return handler.draining?.();
      case OPEN:
        return this.#opened(number, code, aux, low + high * 0x1_0000_0000, body);
      case CREDIT:
        if (number === 0) {
          this.#window += low + high * 0x1_0000_0000;
          return this.#sendElements();
        }
      // Fall through: the credit of a stream.
      case ACCEPT:
      case DATA:
      case REVOKE:
      case END:
      case RESET:
        return this.#onStream(kind, bytes[at + 5], code, number, aux, low + high * 0x1_0000_0000, body);
      // Nothing that this side sends asks for one of these.
      case PONG:
      case ACK:
      case NACK:
      case WITHDRAW:
      case REVOKED:
        return;
      default:
        broken(`a frame of kind ${kind}`);
    }
  }

  #greeted(version, body) {
    if (version !== VERSION) broken(`version ${version} of the session, expected ${VERSION}`);
    const peer = decodeLimits(body);
    if (!this.#isClient) this.#put(WELCOME, { aux: VERSION, body: encodeLimits(this.#limits) });
    this.peer = peer;
    this.#window = peer.sessionCreditBytes;
    this.#handler.ready?.();
  }

  #requested(slot, generation, operation, body) {
    if (slot >= this.#limits.requestsMax || this.#asking.has(slot)) broken("more requests than allowed");
    const request = { slot, generation, owner: undefined };
    this.#asking.set(slot, request);
    this.#handler.request?.(request, operation, body);
  }

  #replied(slot, generation, status, body) {
    const asked = this.#asked.get(slot);
    if (!asked?.isOpen || asked.generation !== generation) broken("a reply without a request");
    asked.isOpen = false;
    this.#freeSlots.push(slot);
    this.#handler.reply?.(slot, status, body);
  }

  #opened(number, service, messages, bytes, name) {
    const isOwn = (number & 1) === (this.#isClient ? 0 : 1);
    if (isOwn || this.#streams.has(number)) broken("a stream's number that is not free");
    if (this.#streams.size >= this.#limits.streamsMax * 2) broken("more streams than allowed");
    const stream = new Stream(number, false);
    stream.sendMessages = messages;
    stream.sendBytes = bytes;
    this.#streams.set(number, stream);
    this.#handler.opened?.(stream, service, name);
  }

  #onStream(kind, flags, code, number, aux, sequence, body) {
    const stream = this.#streams.get(number);
    // A frame that crossed with the end of the stream.
    if (stream === undefined) return;
    switch (kind) {
      case DATA:
        return this.#data(stream, flags, aux, body);
      case ACCEPT:
      case CREDIT:
        stream.isAccepted = true;
        stream.sendMessages += aux;
        stream.sendBytes += sequence;
        return this.#credited(stream, kind);
      case REVOKE: {
        const messages = Math.min(aux, stream.sendMessages);
        const bytes = Math.min(sequence, stream.sendBytes);
        stream.sendMessages -= messages;
        stream.sendBytes -= bytes;
        return this.#put(REVOKED, { stream: number, aux: messages, sequence: bytes });
      }
      case END:
        stream.endedThere = true;
        this.#forgetIfOver(stream);
        if (!stream.resetHere) this.#handler.ended?.(stream);
        return;
      default: {
        // A reset, or the answer to one.
        const isAnswer = stream.resetHere;
        if (!isAnswer) this.#put(RESET, { stream: number });
        stream.resetHere = true;
        this.#forget(stream);
        if (!isAnswer) this.#handler.reset?.(stream, code, body.toString());
      }
    }
  }

  #credited(stream, kind) {
    const waited = stream.queue.length > 0;
    if (waited || stream.endDue) this.#waiting.add(stream);
    this.#sendElements();
    if (stream.resetHere) return;
    if (kind === ACCEPT) this.#handler.accepted?.(stream);
    else this.#handler.credit?.(stream);
    if (waited && stream.queue.length === 0) this.#handler.writable?.(stream);
  }

  #data(stream, flags, aux, body) {
    if (stream.pieces.length === 0) {
      const bytes = body.length + aux;
      if (bytes > this.elementBytesMax) broken(`an element of ${bytes} bytes`);
      stream.takeMessages -= 1;
      stream.takeBytes -= bytes;
      if (stream.takeMessages < 0 || stream.takeBytes < 0) broken("an element without credit");
    } else if (body.length + aux !== stream.missing) {
      broken("a piece of another length than its element");
    }
    if (((flags & MORE) !== 0) !== aux > 0) broken("a piece that contradicts its element");
    if (aux > 0) {
      stream.missing = aux;
      stream.pieces.push(body);
      return;
    }
    const element = stream.pieces.length === 0 ? body : Buffer.concat([...stream.pieces, body]);
    stream.pieces = [];
    this.#owe(element.length);
    if (!stream.resetHere) this.#handler.element?.(stream, element);
  }

  /** Gives the session's credit back, some elements at a time. */
  #owe(bytes) {
    this.#owed += bytes;
    const spare = this.#limits.sessionCreditBytes - this.#limits.elementBytesMax;
    if (this.#owed < Math.min(Math.max(spare, 1), OWED_BYTES)) return;
    this.#put(CREDIT, { sequence: this.#owed });
    this.#owed = 0;
  }
}

function broken(rule) {
  throw new ProtocolError(rule);
}

function text(why) {
  return Buffer.from(why).subarray(0, TEXT_BYTES_MAX);
}

const ATTRIBUTES = [
  "frameBodyBytesMax", "elementBytesMax", "sessionCreditBytes", "streamsMax", "requestsMax", "regionsMax",
];
/** The number of the one that has 8 bytes. */
const LONG_ATTRIBUTE = 3;

function encodeLimits(limits) {
  const parts = ATTRIBUTES.map((name, at) => {
    const isLong = at + 1 === LONG_ATTRIBUTE;
    const part = Buffer.alloc(isLong ? 12 : 8);
    part.writeUInt16LE(at + 1, 0);
    part.writeUInt16LE(isLong ? 8 : 4, 2);
    if (isLong) part.writeBigUInt64LE(BigInt(limits[name]), 4);
    else part.writeUInt32LE(limits[name], 4);
    return part;
  });
  return Buffer.concat(parts);
}

function decodeLimits(body) {
  const limits = Object.fromEntries(ATTRIBUTES.map((name) => [name, 0]));
  for (let at = 0; at < body.length; ) {
    if (at + 4 > body.length) broken("an attribute is cut off");
    const number = body.readUInt16LE(at);
    const length = body.readUInt16LE(at + 2);
    at += 4;
    if (at + length > body.length) broken("an attribute is cut off");
    const name = ATTRIBUTES[number - 1];
    if (name !== undefined) {
      const isLong = number === LONG_ATTRIBUTE;
      if (length !== (isLong ? 8 : 4)) broken("an attribute of the wrong length");
      limits[name] = isLong ? Number(body.readBigUInt64LE(at)) : body.readUInt32LE(at);
    }
    at += length;
  }
  if (limits.frameBodyBytesMax < FRAME_BODY_BYTES_LEAST) broken("a side that accepts no frames of 256 bytes");
  return limits;
}
