// How fast streams grow: the difference between two looks, smoothed over some of them.

const SMOOTH = 0.5;
/** Anything slower counts as standing still. */
const LEAST = 0.05;

export class Rates {
  #seen = new Map();

  /** Takes what streams are now. */
  take(streams, now = performance.now()) {
    const before = this.#seen;
    this.#seen = new Map();
    for (const { name, bytes, records } of streams) {
      const last = before.get(name);
      const next = { at: now, bytes, records, perSec: { bytes: 0, records: 0 } };
      if (last && now > last.at) {
        const secs = (now - last.at) / 1000;
        for (const what of ["bytes", "records"]) {
          const grown = Math.max(0, next[what] - last[what]) / secs;
          const smooth = last.perSec[what] * SMOOTH + grown * (1 - SMOOTH);
          next.perSec[what] = smooth < LEAST ? 0 : smooth;
        }
      }
      this.#seen.set(name, next);
    }
  }

  /** Bytes and records a second. */
  of(name) {
    return this.#seen.get(name)?.perSec ?? { bytes: 0, records: 0 };
  }
}
