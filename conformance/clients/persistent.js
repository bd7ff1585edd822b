import { setTimeout as sleep } from "node:timers/promises";

/**
 * Makes a request until it is answered. The official producer does not repeat one by itself; with
 * the numbers it sends that is safe.
 */
export async function persistent(...request) {
  for (;;) {
    const response = await fetch(...request).catch(() => undefined);
    if (response && response.status !== 503) return response;
    await sleep(50);
  }
}
