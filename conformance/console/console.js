// What the tests of the console share.

import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { expect, vi } from "vitest";

// Many pages and pictures take a while on a busy machine.
vi.setConfig({ testTimeout: 120_000 });

const axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** The address of the page of a stream. */
export const streamHash = (name) => `#/stream/${encodeURIComponent(name)}`;

/** Creates a stream with a first content. */
export async function create(server, name, type, body) {
  const path = name.split("/").map(encodeURIComponent).join("/");
  const response = await fetch(server.stream(path), {
    method: "PUT",
    headers: { "Content-Type": type },
    body,
  });
  expect(response.status).toBe(201);
}

/** Nothing was thrown, nothing was kept from happening, and nobody else was asked for anything. */
export function expectCalm(page) {
  // The browser itself tells of a server that is down.
  const said = page.said.filter((text) => !/ERR_|WebSocket connection|status of (404|409|503)/.test(text));
  expect({ said, violations: page.violations, elsewhere: page.elsewhere }).toEqual({
    said: [],
    violations: [],
    elsewhere: [],
  });
}

/** What can be seen can be used by everybody, as far as a program can tell. */
export async function expectAccessible(page) {
  await page.get(`${axe}; 0`);
  const found =
    await page.get(`axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"] }).then(({ violations }) =>
    violations.map(({ id, nodes }) => id + ": " + nodes.map(({ html, failureSummary }) => html.slice(0, 200) + " " + failureSummary).join(" | ")))`);
  expect(found).toEqual([]);
}

/** Nothing is wider than the window. */
export async function expectNoSideways(page) {
  const [wide, window] = await page.get("[document.documentElement.scrollWidth, innerWidth]");
  expect(wide).toBeLessThanOrEqual(window);
}
