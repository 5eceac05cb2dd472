// SPDX-License-Identifier: BSD-3-Clause
/**
 * Metrics of a plugin: changes, collected until the server sends them.
 *
 *     a change  kind u8 │ name text16 │ help text16 │ value
 *     value     0, a counter: u64, what it grew by      1, a gauge: f64, what it was set to
 *               2, a histogram: f64, what its sum grew by │ u16 × (value f64, how often u64)
 */

import { Reader, text16 } from "./messages.js";

const COUNTER = 0, GAUGE = 1, HISTOGRAM = 2;
/** Different values of one histogram in one change: with more it is sent at once. */
const VALUES_MAX = 1000;

export class Metrics {
  #changed;
  /** Each metric by its name; those with a change. */
  #known = new Map();
  #pending = new Set();

  /** `changed(isNow)` is called with the first change after a `take`, and when they are to be sent now. */
  constructor(changed) {
    this.#changed = changed;
  }

  counter(name, help = "") {
    const metric = this.#metric(COUNTER, name, help);
    return {
      add: (count = 1) => {
        if (!Number.isSafeInteger(count) || count < 0) throw new RangeError(`${name} cannot grow by ${count}`);
        metric.value += count;
        this.#note(metric);
      },
    };
  }

  gauge(name, help = "") {
    const metric = this.#metric(GAUGE, name, help);
    return {
      set: (value) => {
        metric.value = Number(value);
        this.#note(metric);
      },
    };
  }

  histogram(name, help = "") {
    const metric = this.#metric(HISTOGRAM, name, help);
    return {
      observe: (value) => {
        if (!Number.isFinite(value)) throw new RangeError(`${name} cannot observe ${value}`);
        metric.value += value;
        metric.values.set(value, (metric.values.get(value) ?? 0) + 1);
        this.#note(metric);
        if (metric.values.size >= VALUES_MAX) this.#changed(true);
      },
    };
  }

  /** The changes since the last time, in bodies of at most so many bytes. */
  take(bytesMax) {
    const bodies = [];
    let body = [];
    let bytes = 0;
    for (const metric of this.#pending) {
      const change = encode(metric);
      if (bytes + change.length > bytesMax && bytes > 0) {
        bodies.push(Buffer.concat(body));
        [body, bytes] = [[], 0];
      }
      body.push(change);
      bytes += change.length;
      if (metric.kind !== GAUGE) metric.value = 0;
      metric.values.clear();
    }
    this.#pending.clear();
    if (bytes > 0) bodies.push(Buffer.concat(body));
    return bodies;
  }

  #metric(kind, name, help) {
    const known = this.#known.get(name);
    if (known !== undefined && known.kind !== kind) throw new TypeError(`${name} is a metric of another kind`);
    const metric = known ?? { kind, name, help, value: 0, values: new Map() };
    this.#known.set(name, metric);
    return metric;
  }

  #note(metric) {
    if (this.#pending.size === 0) this.#changed(false);
    this.#pending.add(metric);
  }
}

function encode({ kind, name, help, value, values }) {
  const number = Buffer.alloc(8);
  if (kind === COUNTER) number.writeBigUInt64LE(BigInt(value));
  else number.writeDoubleLE(value);
  const parts = [Buffer.from([kind]), text16(name), text16(help), number];
  if (kind === HISTOGRAM) {
    const count = Buffer.alloc(2);
    count.writeUInt16LE(values.size);
    parts.push(count);
    for (const [observed, times] of values) {
      const pair = Buffer.alloc(16);
      pair.writeDoubleLE(observed);
      pair.writeBigUInt64LE(BigInt(times), 8);
      parts.push(pair);
    }
  }
  return Buffer.concat(parts);
}

/** Adds changes to the values of metrics: a histogram's is `{ sum, count }`. */
export function apply(metrics, body) {
  const reader = new Reader(body);
  while (!reader.isAtEnd) {
    const kind = reader.u8();
    const name = reader.text16();
    reader.text16();
    if (kind === COUNTER) metrics.set(name, (metrics.get(name) ?? 0) + reader.u64());
    else if (kind === GAUGE) metrics.set(name, reader.f64());
    else {
      const { sum, count } = metrics.get(name) ?? { sum: 0, count: 0 };
      const added = { sum: sum + reader.f64(), count };
      for (let left = reader.u16(); left > 0; left -= 1) {
        reader.f64();
        added.count += reader.u64();
      }
      metrics.set(name, added);
    }
  }
}
