// A page in a real browser, from another origin than the server's.

import { DurableStream, IdempotentProducer, stream } from "@durable-streams/client";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { atEnd, openPage } from "./page.js";
import { Server } from "../server.js";
import { persistent } from "./persistent.js";

const events = (seen) => seen.filter((what) => what.data !== undefined);

test("EventSource gets text as it was sent", async () => {
  const server = await Server.forTest();
  const url = server.stream("text");
  const handle = await DurableStream.create({ url, contentType: "text/plain; charset=utf-8" });
  const seen = await openPage("page.html", { test: "follow", stream: url });
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
  const seen = await openPage("page.html", { test: "stay", stream: url });
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
  const seen = await openPage("page.html", { test: "follow", stream: url });
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
  const seen = await openPage("page.html", { test: "write", stream: server.stream("page") });
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
