// A page in a real browser, from another origin than the server's.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { accessSync, constants } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { text } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";
import { onTestFailed, onTestFinished } from "vitest";
import { noteProcess } from "../program.js";

const BROWSERS = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/** The browser of this machine. */
export function browserProgram() {
  for (const name of BROWSERS) {
    for (const dir of process.env.PATH.split(delimiter)) {
      try {
        accessSync(join(dir, name), constants.X_OK);
        return join(dir, name);
      } catch {
        // The next one.
      }
    }
  }
  throw new Error(`none of these programs is there: ${BROWSERS.join(", ")}`);
}

/** What it is started with, to keep its data in `profile`. */
export function browserFlags(profile) {
  const flags = ["--headless", "--disable-gpu", "--no-first-run", "--disable-sync", "--disable-quic"];
  // It opens nothing but pages of ours, and a container seldom lets it make a sandbox.
  flags.push("--no-sandbox", "--disable-background-networking", "--disable-component-update");
  flags.push("--disable-dev-shm-usage", `--user-data-dir=${profile}`);
  return flags;
}

/**
 * Opens a page of this folder; what it sees is collected in the list that is returned. `more` are flags of
 * the browser.
 */
export async function openPage(page, parameters, ...more) {
  const seen = [];
  const html = await readFile(new URL(page, import.meta.url));
  const origin = createServer(async (request, response) => {
    if (request.url === "/seen") seen.push(JSON.parse(await text(request)));
    response.setHeader("Content-Type", "text/html");
    response.end(request.method === "GET" ? html : "");
  });
  origin.listen(0, "127.0.0.1");
  await once(origin, "listening");
  const address = `http://127.0.0.1:${origin.address().port}/?${new URLSearchParams(parameters)}`;

  const profile = await mkdtemp(join(tmpdir(), "messages-browser-"));
  const browser = spawn(browserProgram(), [...browserFlags(profile), ...more, address], {
    env: { ...process.env, HOME: profile },
    stdio: ["ignore", "ignore", "pipe"],
  });
  const exit = once(browser, "exit");
  noteProcess(profile, browser);
  let complaints = "";
  browser.stderr.setEncoding("utf8").on("data", (text) => (complaints += text));
  onTestFailed(() => console.error("the page saw", seen.slice(-20), "\n", complaints.slice(-2000)));
  onTestFinished(async () => {
    browser.kill("SIGKILL");
    await exit;
    origin.closeAllConnections();
    origin.close();
    // Its helpers need a moment to see that it is gone.
    await rm(profile, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
  });
  return seen;
}

/** Waits until the page has told that it is at the end, and not what went wrong. */
export async function atEnd(seen) {
  for (;;) {
    const error = seen.find((what) => what.error);
    if (error) throw new Error(`the page: ${error.error}`);
    if (seen.some((what) => what.end)) return;
    await sleep(20);
  }
}
