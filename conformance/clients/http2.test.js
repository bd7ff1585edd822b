// HTTP/2: Node's own client, and a page in a real browser.

import { readFile } from "node:fs/promises";
import { connect } from "node:http2";
import { text } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, onTestFinished, test } from "vitest";
import { openPage } from "./page.js";
import { CERTIFICATE, Server } from "../server.js";

async function session(server) {
  const opened = connect(server.url, { ca: await readFile(CERTIFICATE) });
  onTestFinished(() => opened.destroy());
  return opened;
}

async function ask(session, headers, body) {
  const request = session.request({ "content-type": "text/plain", ...headers });
  request.end(body);
  const [head] = await new Promise((ok, no) => {
    request.once("response", (...head) => ok(head));
    request.once("error", no);
  });
  return { status: head[":status"], head, body: await text(request) };
}

for (const tls of [false, true]) {
  test(`two hundred live readers on one connection, ${tls ? "over TLS" : "in the clear"}`, async () => {
    const server = await Server.forTest({ tls });
    const one = await session(server);
    const path = "/v1/stream/shared";
    const created = await ask(one, { ":method": "PUT", ":path": path }, "first ");
    expect(created.status).toBe(201);
    expect(created.head.location).toBe(`${server.url}${path}`);
    const readers = Array.from({ length: 200 }, () => {
      const request = one.request({ ":path": `${path}?offset=-1&live=sse` });
      const reader = { seen: "", request };
      request.setEncoding("utf8").on("data", (data) => (reader.seen += data));
      return reader;
    });
    const all = async (words) => {
      while (!readers.every(({ seen }) => seen.includes(words))) await sleep(20);
    };
    await all("first");
    expect((await ask(one, { ":method": "POST", ":path": path }, "second")).status).toBe(204);
    await all("second");
    for (const { request } of readers.slice(1)) request.close();
    expect((await ask(one, { ":path": path })).body).toBe("first second");
    // At a stop the connection ends well, and what is open on it breaks off.
    const goaway = new Promise((ok) => one.once("goaway", ok));
    readers[0].request.once("error", () => {});
    await server.stop();
    expect(await goaway).toBe(0);
  });
}

test("a page has more live readers than six, and a socket", async () => {
  const server = await Server.forTest({ tls: true });
  const one = await session(server);
  const paths = Array.from({ length: 20 }, (_, n) => `/v1/stream/many/${n}`);
  for (const path of paths) await ask(one, { ":method": "PUT", ":path": path }, "first ");
  const page = { test: "many", stream: server.stream("many") };
  const seen = await openPage("page.html", page, "--ignore-certificate-errors");
  const all = async (words) => {
    for (;;) {
      const error = seen.find((what) => what.error);
      if (error) throw new Error(`the page: ${error.error}`);
      const have = new Set(seen.filter(({ data }) => data?.includes(words)).map(({ n }) => n));
      if (have.size === paths.length) return;
      await sleep(20);
    }
  };
  await all("first");
  for (const path of paths) await ask(one, { ":method": "POST", ":path": path }, "second");
  await all("second");
  while (!seen.some(({ frame }) => frame === "hello")) await sleep(20);
});
