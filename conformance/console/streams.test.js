// The console in a browser: streams, from the list to the last byte.

import { DurableStream, IdempotentProducer } from "@durable-streams/client";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { persistent } from "../clients/persistent.js";
import { Server } from "../server.js";
import { Browser } from "./browser.js";
import { create, expectCalm, streamHash } from "./console.js";

const TEXT = "text/plain; charset=utf-8";
const rows = "[...document.querySelectorAll('.streams tbody tr .name a')].map((one) => one.textContent)";
const shownText = "[...document.querySelectorAll('.content .piece')].map((one) => one.textContent).join('')";
const shownMessages =
  "[...document.querySelectorAll('.message-row code')].map((one) => JSON.parse(one.textContent))";

test("streams are listed, searched, and seen to grow", async () => {
  const server = await Server.forTest();
  for (const name of ["logs/a", "logs/b", "answers/1", "a b/ü?#%2F"])
    await create(server, name, TEXT, `${name}\n`);
  const page = await (await Browser.forTest()).open(server.url);
  await page.shows("4 streams");
  expect(await page.get(rows)).toEqual(["a b/ü?#%2F", "answers/1", "logs/a", "logs/b"]);

  await page.fill(".filters label:nth-child(2) input", "logs/");
  await page.until(`${rows}.join() === "logs/a,logs/b"`);
  await page.fill(".filters label:nth-child(1) input", "B");
  await page.until(`${rows}.join() === "logs/b"`);
  expect(await page.get("location.hash")).toBe("#/streams?prefix=logs%2F&search=B");
  await page.reload();
  await page.until(`${rows}.join() === "logs/b"`);

  await page.fill(".filters label:nth-child(1) input", "");
  await page.fill(".filters label:nth-child(2) input", "");
  await page.until(`${rows}.length === 4`);
  await page.click(".streams a", "ü?#%2F");
  await page.until(`${shownText} === "a b/ü?#%2F\\n"`);
  expect(await page.get("document.querySelector('h1').textContent.trim()")).toContain("a b/ü?#%2F");

  await page.get("location.hash = '#/streams'");
  await fetch(`${server.url}/?freq=50&max=1000`, { method: "POST", body: "growing" }).then(({ body }) =>
    body.cancel(),
  );
  await page.shows("/s", ".streams tr.active td:last-child");
  expectCalm(page);
});

test("a name with dots is no way to another stream", async () => {
  const server = await Server.forTest();
  await create(server, "kept", TEXT, "this stays\n");
  // As a browser would not send it.
  const dots = "a/../kept".replaceAll("/", "%2F");
  const created = await fetch(server.stream(dots), { method: "PUT", headers: { "Content-Type": TEXT }, body: "this goes" });
  expect(created.status).toBe(201);
  const page = await (await Browser.forTest()).open(`${server.url}/${streamHash("a/../kept")}`);
  await page.until(`${shownText} === "this goes"`);
  await page.click("button", "Delete");
  await page.click("dialog button", "Delete the stream");
  await page.until(`${rows}.join() === "kept"`);
  expect(await (await fetch(server.stream("kept"))).text()).toBe("this stays\n");
  expectCalm(page);
});

test("a stream is seen whole through reloads and a server that is killed", async () => {
  const server = await Server.forTest();
  const url = server.stream("story");
  const handle = await DurableStream.create({ url, contentType: TEXT });
  const producer = new IdempotentProducer(handle, "writer", { fetch: persistent, lingerMs: 5 });
  const lines = Array.from({ length: 600 }, (_, n) => `line ${n} – größer 🙂\n`);
  const page = await (await Browser.forTest()).open(server.url + "/" + streamHash("story"));
  await page.shows("Live", ".live-state");

  const appending = (async () => {
    for (const line of lines) {
      producer.append(line);
      await sleep(10);
    }
  })();
  await page.until(`${shownText}.includes("line 100 ")`);
  await page.reload();
  await page.until(`${shownText}.includes("line 200 ")`);
  const before = await page.get(shownText);
  expect(before).toBe(lines.join("").slice(0, before.length));
  // What was there before the reload is above the mark, and what came since is below.
  expect(await page.get("document.querySelectorAll('.mark.seam').length")).toBe(1);
  const above = await page.get("document.querySelector('.mark.seam').previousElementSibling.className");
  expect(above).toBe("piece");

  await server.kill();
  await page.shows("No connection", ".live-state");
  await sleep(300);
  await server.resume();
  await appending;
  await producer.close();
  await page.shows("The end", ".mark.end");
  expect(await page.get(shownText)).toBe(lines.join(""));
  await page.reload();
  await page.shows("The end", ".mark.end");
  expect(await page.get(shownText)).toBe(lines.join(""));
  expectCalm(page);
});

test("messages are seen once each while the server is killed", async () => {
  const server = await Server.forTest();
  const handle = await DurableStream.create({ url: server.stream("json"), contentType: "application/json" });
  const producer = new IdempotentProducer(handle, "writer", { fetch: persistent, lingerMs: 5 });
  const page = await (await Browser.forTest()).open(server.url + "/" + streamHash("json"));
  await page.shows("Live", ".live-state");
  const count = 300;
  for (let n = 0; n < count; n += 1) {
    if (n === 100) {
      await page.until(`${shownMessages}.length >= 50`);
      await server.kill();
      setTimeout(() => server.resume(), 200);
    }
    producer.append(JSON.stringify({ n }));
    await sleep(5);
  }
  await producer.close();
  await page.shows("The end", ".mark.end");
  expect(await page.get(shownMessages)).toEqual(Array.from({ length: count }, (_, n) => ({ n })));
  expect(
    await page.get(
      "document.querySelector('.message-row:last-of-type .number, .message-row .number').textContent",
    ),
  ).toBe("1");
  expectCalm(page);
});

test("bytes, and numbers that JavaScript cannot hold", async () => {
  const server = await Server.forTest();
  await create(
    server,
    "bytes",
    "application/octet-stream",
    Buffer.from(Array.from({ length: 40 }, (_, n) => n * 5)),
  );
  await create(server, "large", "application/json", "[12345678901234567890,1.0]");
  const page = await (await Browser.forTest()).open(server.url + "/" + streamHash("bytes"));
  await page.until("document.querySelectorAll('.hex-line').length === 3");
  const digits = "[...document.querySelectorAll('.digits')].map((one) => one.textContent).join(' ')";
  const expected = Array.from({ length: 40 }, (_, n) => (n * 5).toString(16).padStart(2, "0")).join(" ");
  expect(await page.get(digits)).toBe(expected);
  await fetch(server.stream("bytes"), {
    method: "POST",
    headers: { "Content-Type": "application/octet-stream" },
    body: Buffer.from([255, 254]),
  });
  await page.until(`${digits} === "${expected} ff fe"`);

  await page.get(`location.hash = ${JSON.stringify(streamHash("large"))}`);
  await page.shows("12345678901234567890", ".message-row");
  expectCalm(page);
});

test("of a large stream the end is shown first, and all of it to those who ask", async () => {
  const server = await Server.forTest();
  const lines = Array.from(
    { length: 150_000 },
    (_, n) => `${String(n).padStart(7, "0")} some text that makes the line longer – ö\n`,
  );
  await create(server, "large", TEXT, lines.join(""));
  const page = await (await Browser.forTest()).open(server.url + "/" + streamHash("large"));
  await page.shows("Live", ".live-state");
  const size = await page.get(`${shownText}.length`);
  expect(size).toBeLessThan(300_000);
  const whole = lines.join("");
  // It begins somewhere, perhaps in the middle of a character.
  expect((await page.get(shownText)).slice(1)).toBe(whole.slice(1 - size));
  await page.click("a", "Show everything");
  await page.shows("before this are not shown", ".mark.gap");
  await page.shows("Live", ".live-state");
  const shown = await page.get(shownText);
  expect(shown.length).toBeGreaterThan(900_000);
  expect(shown).toBe(whole.slice(-shown.length));
  expectCalm(page);
});

test("a page creates, appends, closes and deletes", async () => {
  const server = await Server.forTest();
  const page = await (await Browser.forTest()).open(server.url);
  await page.click("button", "New stream");
  await page.fill("dialog input[name=name]", "made/here");
  await page.press("Enter");
  await page.shows("Live", ".live-state");
  await page.fill(".append textarea", "typed in the page");
  await page.press("Control+Enter");
  await page.until(`${shownText} === "typed in the page\\n"`);
  await page.shows("Appended", ".append");

  // While the server is away it is tried again, and is there once.
  await server.kill();
  await page.fill(".append textarea", "through a crash");
  await page.click(".append button", "Append");
  await page.shows("trying again", ".append");
  await server.resume();
  await page.until(`${shownText} === "typed in the page\\nthrough a crash\\n"`);
  const response = await fetch(server.stream("made/here"));
  expect(await response.text()).toBe("typed in the page\nthrough a crash\n");

  await page.click("button", "Close");
  await page.click("dialog button", "Cancel");
  await page.until("!document.querySelector('dialog')");
  expect((await fetch(server.stream("made/here"), { method: "HEAD" })).headers.get("stream-closed")).toBe(
    null,
  );
  await page.click("button", "Close");
  await page.click("dialog button", "Close the stream");
  await page.shows("The end", ".mark.end");
  expect((await fetch(server.stream("made/here"), { method: "HEAD" })).headers.get("stream-closed")).toBe(
    "true",
  );

  await page.click("button", "Delete");
  await page.click("dialog button", "Delete the stream");
  await page.shows("No streams yet");
  expect((await fetch(server.stream("made/here"), { method: "HEAD" })).status).toBe(404);

  await page.click("button", "New stream");
  await page.fill("dialog input[name=name]", "json");
  await page.get("document.querySelector('dialog select').value = 'application/json'");
  await page.click("dialog button", "Create");
  await page.fill(".append textarea", "{no json");
  await page.click(".append button", "Append");
  await page.shows("This is not JSON", ".append");
  await page.fill(".append textarea", '[{"a":1},{"b":2}]');
  await page.click(".append button", "Append");
  await page.until(`JSON.stringify(${shownMessages}) === '[{"a":1},{"b":2}]'`);

  // Another stream of that name comes into view by itself, and knows nothing of what was appended before.
  await fetch(server.stream("json"), { method: "DELETE" });
  await page.shows("This stream was deleted", ".live-state");
  await create(server, "json", "application/json");
  await page.shows("Live", ".live-state");
  await page.fill(".append textarea", "[2]");
  await page.click(".append button", "Append");
  await page.shows("Appended", ".append");
  expect(await (await fetch(server.stream("json"))).json()).toEqual([2]);

  await page.get("location.hash = '#/streams'");
  await page.click("button", "Produce lines");
  await page.fill("dialog input[name=name]", "numbers");
  await page.fill("dialog input[name=freq]", "500");
  await page.fill("dialog input[name=max]", "100");
  await page.press("Enter");
  await page.shows("The end", ".mark.end");
  expect(await page.get(shownText)).toBe(Array.from({ length: 100 }, (_, n) => `${n}: numbers\n`).join(""));

  // Another stream of that name takes its place.
  await page.until("document.querySelector('.stats').innerText.includes('100')");
  await fetch(server.stream("numbers"), { method: "DELETE" });
  // Streams are told apart by when they were created, in seconds.
  await page.until(`Date.now() > ${Date.now() + 1000}`);
  await create(server, "numbers", TEXT, "something else\n");
  await page.until(`${shownText} === "something else\\n"`);
  expectCalm(page);
});

test("what strangers write is text and nothing else", async () => {
  const server = await Server.forTest();
  const bad = [
    "<img src=x onerror='hacked=1'>",
    "<script>hacked=1</script>",
    '"><svg onload=hacked=1>',
    "javascript:hacked=1",
    "{{constructor}}",
    "__proto__",
  ];
  for (const text of bad) await create(server, text, TEXT, `${text}\n</pre><script>hacked=1</script>\n`);
  await create(
    server,
    "json",
    "application/json",
    JSON.stringify(bad.map((text) => ({ [text]: text, __proto__x: [text] }))),
  );
  const page = await (await Browser.forTest()).open(server.url);
  await page.until(`${rows}.length === ${bad.length + 1}`);
  expect((await page.get(rows)).sort()).toEqual([...bad, "json"].sort());
  for (const text of bad) {
    await page.get(`location.hash = ${JSON.stringify(streamHash(text))}`);
    await page.until(`${shownText} === ${JSON.stringify(`${text}\n</pre><script>hacked=1</script>\n`)}`);
    expect(await page.get("document.querySelector('h1').innerText")).toContain(text);
  }
  await page.get(`location.hash = ${JSON.stringify(streamHash("json"))}`);
  await page.until(`${shownMessages}.length === ${bad.length}`);
  // A name that only the URL has.
  await page.get(`location.hash = "#/stream/" + encodeURIComponent("<img src=x onerror=hacked=1>/nowhere")`);
  await page.shows("Nothing here yet");
  expect(
    await page.get("[typeof hacked, document.querySelectorAll('main img, main script, main svg').length]"),
  ).toEqual(["undefined", 0]);
  expectCalm(page);
});
