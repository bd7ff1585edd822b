// The official JavaScript client.

import {
  DurableStream,
  IdempotentProducer,
  StaleEpochError,
  stream,
} from "@durable-streams/client";
import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { Server } from "../server.js";
import { persistent } from "./persistent.js";

const LIVE = ["long-poll", "sse", true];
const JSON_TYPE = "application/json";

/** Everything that is there now. */
const read = (url) => stream({ url, live: false });

/** The numbers from 0. */
const numbers = (count) => Array.from({ length: count }, (_, n) => n);

/**
 * Reads JSON to the end of the stream as an application does that wants each item once: after
 * every break it goes on from the last offset it was told.
 */
async function follow(url, live, seen = { items: [], breaks: 0 }) {
  let offset = "-1";
  for (let closed = false; !closed; ) {
    const session = await stream({ url, live, offset });
    await new Promise((resolve) => {
      session.subscribeJson((batch) => {
        seen.items.push(...batch.items);
        offset = batch.offset;
        closed = batch.streamClosed;
        if (closed) resolve();
      });
      // A session that has ended well may have batches left to hand out.
      session.closed.then(
        () => setTimeout(resolve, 500),
        () => {
          seen.breaks += 1;
          resolve();
        },
      );
    });
  }
  return seen.items;
}

/** Reads bytes to the end of the stream. */
async function collect(url, live) {
  const session = await stream({ url, live });
  const pieces = [];
  for await (const piece of session.bodyStream()) pieces.push(piece);
  return Buffer.concat(pieces);
}

describe("a stream of bytes", () => {
  test("is created, appended to, read, closed and deleted", async () => {
    const server = await Server.forTest();
    const url = server.stream("bytes");
    const handle = await DurableStream.create({ url, contentType: "text/plain" });
    await DurableStream.create({ url, contentType: "text/plain" });
    await expect(DurableStream.create({ url, contentType: JSON_TYPE })).rejects.toMatchObject({
      status: 409,
    });

    await handle.append("one ");
    await Promise.all(["two ", "three ", "four "].map((text) => handle.append(text)));
    const middle = await read(url);
    expect(await middle.text()).toBe("one two three four ");
    const { finalOffset } = await handle.close({ body: "end" });
    expect(await (await stream({ url, live: false, offset: middle.offset })).text()).toBe("end");
    expect(await DurableStream.head({ url })).toMatchObject({
      exists: true,
      contentType: "text/plain",
      offset: finalOffset,
      streamClosed: true,
    });

    await expect(handle.append("more")).rejects.toMatchObject({ status: 409 });
    await expect(handle.close({ body: "more" })).rejects.toThrow();
    expect(await handle.close()).toEqual({ finalOffset });

    await handle.delete();
    expect(await DurableStream.head({ url })).toEqual({ exists: false });
    await expect(read(url)).rejects.toMatchObject({ status: 404 });
  });

  test.each([false, ...LIVE])("arrives as it was sent (live: %s)", async (live) => {
    const server = await Server.forTest();
    const url = server.stream("binary");
    const handle = await DurableStream.create({ url, contentType: "application/octet-stream" });
    const sent = Array.from({ length: 40 }, (_, n) => randomBytes(1 + n * n * 37));
    const reading = live ? collect(url, live) : undefined;
    for (const piece of sent) {
      await handle.append(piece);
      await sleep(5);
    }
    await handle.close();
    const bytes = live ? await reading : Buffer.from(await (await read(url)).body());
    expect(bytes.equals(Buffer.concat(sent))).toBe(true);
  });

  test.each([false, ...LIVE])("keeps text as it is (live: %s)", async (live) => {
    const server = await Server.forTest();
    const url = server.stream("text");
    const handle = await DurableStream.create({ url, contentType: "text/plain" });
    // What SSE could lose: spaces at the start of a line, empty lines, line ends, other fields.
    const sent = [" a", "  b\n", "\n\n", "data: c\n\n", ":d", "", "\u00e4\u20ac\u{1f600}\n", "e "];
    const reading = live ? collect(url, live) : undefined;
    for (const text of sent.filter(Boolean)) {
      await handle.append(text);
      await sleep(20);
    }
    await handle.close();
    const bytes = live ? await reading : Buffer.from(await (await read(url)).body());
    expect(bytes.toString()).toBe(sent.join(""));
  });

  test("is read to its end in many answers", async () => {
    const server = await Server.forTest();
    const url = server.stream("long");
    const handle = await DurableStream.create({ url, contentType: "application/octet-stream" });
    const sent = Array.from({ length: 12 }, () => randomBytes(1 << 20));
    for (const piece of sent) await handle.append(piece);
    await handle.close();
    const want = Buffer.concat(sent);
    // From memory, and then from the database.
    for (let life = 0; life < 2; life += 1) {
      for (const live of LIVE) expect((await collect(url, live)).equals(want)).toBe(true);
      expect(want.equals(await (await stream({ url })).body())).toBe(true);
      await server.stop();
      await server.resume();
    }
  });

  test("can be piped into", async () => {
    const server = await Server.forTest();
    const url = server.stream("pipe");
    const contentType = "text/plain";
    const handle = await DurableStream.create({ url, contentType });
    async function* lines() {
      for (const n of numbers(20)) {
        yield `${n}\n`;
        await sleep(2);
      }
    }
    const want = numbers(20).map((n) => `${n}\n`).join("");
    await handle.appendStream(lines());
    expect(await (await read(url)).text()).toBe(want);
    await ReadableStream.from(lines()).pipeTo(handle.writable());
    expect(await (await read(url)).text()).toBe(want + want);
    expect(await handle.head()).toMatchObject({ streamClosed: true });
  });
});

describe("a stream of JSON", () => {
  test("keeps values apart", async () => {
    const server = await Server.forTest();
    const url = server.stream("values");
    const handle = await DurableStream.create({ url, contentType: JSON_TYPE });
    const values = ["text\nand \"more\"", 42, true, null, { a: [1, { b: [] }] }, [1, [2]], [[]], {}];
    for (const value of values) await handle.append(JSON.stringify(value));
    expect(await (await read(url)).json()).toEqual(values);
    await Promise.all(values.map((value) => handle.append(JSON.stringify(value))));
    expect(await (await read(url)).json()).toEqual([...values, ...values]);
  });

  test.each(LIVE)("is followed while it grows (live: %s)", async (live) => {
    const server = await Server.forTest();
    const url = server.stream("live");
    const handle = await DurableStream.create({ url, contentType: JSON_TYPE });
    await handle.append("0");
    const readers = [follow(url, live), follow(url, live)];
    for (const n of numbers(100).slice(1)) {
      await handle.append(JSON.stringify(n));
      if (n === 50) readers.push(follow(url, live));
    }
    await handle.close();
    readers.push(follow(url, live));
    for (const items of await Promise.all(readers)) expect(items).toEqual(numbers(100));
  });
});

describe("an idempotent producer", () => {
  test("writes in order with many requests on their way", async () => {
    const server = await Server.forTest();
    const url = server.stream("pipelined");
    const handle = await DurableStream.create({ url, contentType: JSON_TYPE });
    const producer = new IdempotentProducer(handle, "writer", { lingerMs: 1, maxInFlight: 5 });
    for (const n of numbers(200)) {
      producer.append(JSON.stringify(n));
      if (n % 3 === 0) await sleep(1);
    }
    await producer.flush();
    const { finalOffset } = await producer.close(JSON.stringify("end"));
    const session = await read(url);
    expect(await session.json()).toEqual([...numbers(200), "end"]);
    expect(session.offset).toBe(finalOffset);
  });

  test("has no effect a second time", async () => {
    const server = await Server.forTest();
    const url = server.stream("again");
    const handle = await DurableStream.create({ url, contentType: JSON_TYPE });
    for (let life = 0; life < 2; life += 1) {
      const producer = new IdempotentProducer(handle, "writer", { maxInFlight: 1, lingerMs: 0 });
      for (const n of numbers(5)) {
        producer.append(JSON.stringify(n));
        await producer.flush();
      }
    }
    expect(await (await read(url)).json()).toEqual(numbers(5));
  });

  test("is fenced by the next one with its name", async () => {
    const server = await Server.forTest();
    const url = server.stream("fenced");
    const handle = await DurableStream.create({ url, contentType: "text/plain" });
    const errors = [];
    const onError = (error) => errors.push(error);
    const first = new IdempotentProducer(handle, "writer", { onError });
    first.append("first ");
    await first.flush();
    const second = new IdempotentProducer(handle, "writer", { epoch: 1 });
    second.append("second ");
    await second.flush();
    first.append("lost ");
    await first.flush();
    expect(errors).toEqual([expect.any(StaleEpochError)]);
    expect(errors[0].currentEpoch).toBe(1);
    const third = new IdempotentProducer(handle, "writer", { autoClaim: true });
    third.append("third");
    await third.close();
    expect(third.epoch).toBe(2);
    expect(await (await read(url)).text()).toBe("first second third");
  });
});

describe("a server that is killed", () => {
  test.each(LIVE)("loses and repeats nothing (live: %s)", async (live) => {
    const records = 600;
    const server = await Server.forTest();
    const url = server.stream("crash");
    const handle = await DurableStream.create({ url, contentType: JSON_TYPE });
    const errors = [];
    const onError = (error) => errors.push(error);
    const producer = new IdempotentProducer(handle, "writer", { fetch: persistent, onError });
    const seen = { items: [], breaks: 0 };
    const reading = follow(url, live, seen);

    const crashes = (async () => {
      for (const mark of [0.2, 0.5, 0.8]) {
        while (seen.items.length < mark * records) await sleep(1);
        await server.kill();
        expect(seen.items.length).toBeLessThan(records);
        await sleep(200);
        await server.resume();
      }
    })();
    for (const n of numbers(records)) {
      producer.append(JSON.stringify(n));
      await sleep(3);
    }
    await crashes;
    await producer.close();
    expect(errors).toEqual([]);
    expect(await reading).toEqual(numbers(records));
    expect(await (await read(url)).json()).toEqual(numbers(records));
  });
});
