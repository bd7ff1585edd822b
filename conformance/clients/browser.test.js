// A page in a real browser, from another origin than the server's.

import { DurableStream, IdempotentProducer, stream } from "@durable-streams/client";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { accessSync, constants } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { text } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, onTestFailed, onTestFinished, test } from "vitest";
import { noteProcess, Server } from "../server.js";
import { persistent } from "./persistent.js";

const BROWSERS = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

function browserProgram() {
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

/** Opens the page; what it sees is collected in the list that is returned. */
async function openPage(parameters) {
  const seen = [];
  const html = await readFile(new URL("page.html", import.meta.url));
  const origin = createServer(async (request, response) => {
    if (request.url === "/seen") seen.push(JSON.parse(await text(request)));
    response.setHeader("Content-Type", "text/html");
    response.end(request.method === "GET" ? html : "");
  });
  origin.listen(0, "127.0.0.1");
  await once(origin, "listening");
  const address = `http://127.0.0.1:${origin.address().port}/?${new URLSearchParams(parameters)}`;

  const profile = await mkdtemp(join(tmpdir(), "messages-browser-"));
  const flags = ["--headless", "--disable-gpu", "--no-first-run", "--disable-sync", "--disable-quic"];
  // It opens nothing but this page, and a container seldom lets it make a sandbox.
  flags.push("--no-sandbox", "--disable-background-networking", "--disable-component-update");
  flags.push("--disable-dev-shm-usage", `--user-data-dir=${profile}`);
  const browser = spawn(browserProgram(), [...flags, address], {
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
async function atEnd(seen) {
  for (;;) {
    const error = seen.find((what) => what.error);
    if (error) throw new Error(`the page: ${error.error}`);
    if (seen.some((what) => what.end)) return;
    await sleep(20);
  }
}

const events = (seen) => seen.filter((what) => what.data !== undefined);

test("EventSource gets text as it was sent", async () => {
  const server = await Server.forTest();
  const url = server.stream("text");
  const handle = await DurableStream.create({ url, contentType: "text/plain; charset=utf-8" });
  const seen = await openPage({ test: "follow", stream: url });
  const sent = [" a", "  b\n", "\n\n", "id:1\ndata: c\n\n", ":d", "\u00e4\u20ac\u{1f600}\n", "e "];
  for (const piece of sent) {
    await handle.append(piece);
    await sleep(50);
  }
  await handle.close();
  await atEnd(seen);
  expect(events(seen).map(({ data }) => data).join("")).toBe(sent.join(""));
});

test("EventSource does not come back for ever to a closed stream", async () => {
  const server = await Server.forTest();
  const url = server.stream("closed");
  const handle = await DurableStream.create({ url, contentType: "text/plain" });
  await handle.append("once");
  const seen = await openPage({ test: "stay", stream: url });
  while (events(seen).length === 0) await sleep(10);
  await handle.close();
  await atEnd(seen);
  expect(events(seen).map(({ data }) => data)).toEqual(["once"]);
  expect(seen.filter(({ cut }) => cut)).toHaveLength(1);
});

test("EventSource has every record once while the server is killed", async () => {
  const records = 1000;
  const server = await Server.forTest();
  const url = server.stream("crash");
  const handle = await DurableStream.create({ url, contentType: "application/json" });
  const producer = new IdempotentProducer(handle, "writer", { fetch: persistent });
  const seen = await openPage({ test: "follow", stream: url });
  const items = () => events(seen).flatMap(({ data }) => JSON.parse(data));

  const crashes = (async () => {
    for (const mark of [100, 400]) {
      while (items().length < mark) await sleep(10);
      await server.kill();
      expect(items().length).toBeLessThan(records);
      await sleep(300);
      await server.resume();
      // The browser comes back after some seconds, and finds that the stream has grown.
    }
  })();
  for (let n = 0; n < records; n += 1) {
    producer.append(JSON.stringify(n));
    await sleep(10);
  }
  await crashes;
  await producer.close();
  await atEnd(seen);
  expect(items()).toEqual(Array.from({ length: records }, (_, n) => n));
  expect(seen.filter(({ cut }) => cut).length).toBeGreaterThanOrEqual(2);

  // An event's id is the offset behind it: good for any other reader.
  const ids = events(seen).map(({ id }) => id);
  expect(ids).toEqual([...new Set(ids)].sort());
  const middle = Math.floor(ids.length / 2);
  const before = events(seen).slice(0, middle).flatMap(({ data }) => JSON.parse(data)).length;
  const rest = await stream({ url, live: false, offset: ids[middle - 1] });
  expect(await rest.json()).toEqual(items().slice(before));
  expect(rest.offset).toBe(ids.at(-1));
});

test("a page may write, and read the headers of the protocol", async () => {
  const server = await Server.forTest();
  const seen = await openPage({ test: "write", stream: server.stream("page") });
  await atEnd(seen);
  const answers = seen.filter(({ method }) => method);
  expect(answers.map(({ method, status }) => `${method} ${status}`)).toEqual([
    "PUT 201",
    "POST 200",
    "POST 204",
    "POST 204",
    "HEAD 200",
    "GET 200",
    "GET 304",
    "DELETE 204",
    "GET 404",
  ]);
  const [put, append, again, close, head, get] = answers.map(({ headers }) => headers);
  expect(put).toHaveProperty("location");
  expect(append).toMatchObject({ "producer-epoch": "0", "producer-seq": "0" });
  expect(again).toMatchObject({ "producer-epoch": "0", "producer-seq": "0" });
  const offset = append["stream-next-offset"];
  expect(offset > put["stream-next-offset"]).toBe(true);
  expect(close).toMatchObject({ "stream-closed": "true", "stream-next-offset": offset });
  expect(head).toMatchObject({ "stream-ttl": "3600", "stream-closed": "true" });
  expect(get).toMatchObject({
    "stream-next-offset": offset,
    "stream-up-to-date": "true",
    "stream-closed": "true",
  });
  expect(seen.find(({ body }) => body).body).toEqual([1, 2]);
});
