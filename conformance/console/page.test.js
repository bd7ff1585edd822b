// The console in a browser: how it is served, and that everybody can use it.

import { once } from "node:events";
import { get } from "node:http";
import { expect, test } from "vitest";
import { People } from "../clients/people.js";
import { Server } from "../server.js";
import { Browser } from "./browser.js";
import { create, expectAccessible, expectCalm, expectNoSideways, streamHash } from "./console.js";

const TEXT = "text/plain; charset=utf-8";
const HTML = { Accept: "text/html,application/xhtml+xml,*/*;q=0.8" };

/** A server with something on it. */
async function furnished(env = {}) {
  const server = await Server.forTest({ env });
  const lines = Array.from(
    { length: 300 },
    (_, n) => `2026-01-01T00:${String(n % 60).padStart(2, "0")}:00Z GET /page/${n} 200 in ${n * 7} µs\n`,
  );
  await create(server, "logs/web/1", TEXT, lines.join(""));
  await create(
    server,
    "answers/42",
    TEXT,
    "The answer is being written, token by token.\n\nIt has paragraphs.\n",
  );
  await create(
    server,
    "events/orders",
    "application/json",
    JSON.stringify(
      lines.slice(0, 30).map((_, order) => ({ order, items: ["apple", "pear"], customer: { name: "Ada" } })),
    ),
  );
  await create(
    server,
    "images/cat",
    "application/octet-stream",
    Buffer.from(Array.from({ length: 700 }, (_, n) => (n * 37) % 256)),
  );
  await create(
    server,
    "docs/a-very-long-name/that-goes-on-and-on/because-somebody-had-to-put-everything-in/it",
    "text/markdown",
    "# Title\n",
  );
  return server;
}

test("the page is for browsers, and everybody else gets what they got", async () => {
  const server = await Server.forTest();
  const page = await fetch(`${server.url}/`, { headers: HTML });
  expect(page.status).toBe(200);
  expect(page.headers.get("content-type")).toBe("text/html; charset=utf-8");
  expect(page.headers.get("x-content-type-options")).toBe("nosniff");
  expect(page.headers.get("cache-control")).toBe("no-cache");
  expect(page.headers.get("vary").toLowerCase()).toContain("accept");
  const policy = page.headers.get("content-security-policy");
  for (const part of [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "connect-src 'self'",
    "frame-ancestors 'none'",
    "form-action 'none'",
    "base-uri 'none'",
  ]) {
    expect(policy.split("; ")).toContain(part);
  }
  expect(policy).not.toContain("unsafe");
  const html = await page.text();
  expect(html).not.toMatch(/<script>|<style|style=|\son[a-z]+=|https?:\/\/(?!www\.w3\.org)/);

  for (const [, path] of html.matchAll(/(?:src|href)="(\/console\/[^"]+)"/g)) {
    const file = await fetch(server.url + path);
    expect(file.status, path).toBe(200);
    expect(file.headers.get("x-content-type-options")).toBe("nosniff");
    const etag = file.headers.get("etag");
    const again = await fetch(server.url + path, { headers: { "If-None-Match": etag } });
    expect([again.status, again.headers.get("etag")]).toEqual([304, etag]);
  }
  expect((await fetch(`${server.url}/console/nothing.js`)).status).toBe(404);
  expect((await fetch(`${server.url}/console/../Cargo.toml`)).status).toBe(404);

  const plain = await fetch(`${server.url}/`, { headers: { Accept: "*/*" } });
  expect([plain.status, (await plain.json()).code]).toEqual([400, "missing_id"]);
  await create(server, "a", TEXT, "content");
  await fetch(server.stream("a"), { method: "POST", headers: { "Stream-Closed": "true" } });
  expect(await (await fetch(`${server.url}/?id=a`, { headers: HTML })).text()).toBe("content");
  // A page that gives its own name to this machine gets nothing of it.
  const [foreign] = await once(get(server.url, { headers: { ...HTML, Host: "evil.test" } }), "response");
  expect(foreign.resume().statusCode).toBe(421);
  const head = await fetch(`${server.url}/`, { method: "HEAD", headers: HTML });
  expect([head.status, head.headers.get("content-type")]).toEqual([200, "text/html; charset=utf-8"]);
});

test("the page cannot do what it does not do, and these tests would see it", async () => {
  const server = await Server.forTest();
  const page = await (await Browser.forTest()).open(server.url);
  await page.shows("No streams yet");
  expectCalm(page);
  const tries = [
    "document.body.setAttribute('style', 'color: red')",
    "document.head.append(Object.assign(document.createElement('script'), { textContent: 'hacked = 1' }))",
    "document.body.append(Object.assign(document.createElement('img'), { src: 'http://elsewhere.test/x' }))",
    "fetch('http://elsewhere.test/').catch(() => {})",
    "document.body.innerHTML = '<b>x</b>'",
  ];
  for (const [index, attempt] of tries.entries()) {
    await page.get(`(() => { try { ${attempt} } catch {} })()`);
    const seen = () => page.violations.length;
    while (seen() <= index) await page.get("new Promise((resolve) => setTimeout(resolve, 20))");
  }
  expect(await page.get("[typeof hacked, document.querySelectorAll('b').length]")).toEqual(["undefined", 0]);
  expect(() => expectCalm(page)).toThrow();
});

test("nodes say who they are, to those who may know", async () => {
  const people = new People();
  const server = await Server.forTest({ env: { AUTH_SECRET: people.secret } });
  expect((await fetch(`${server.url}/v1/nodes`)).status).toBe(401);
  const { nodes } = await people.ask(server, "ada", "GET", "/v1/nodes");
  expect(nodes).toEqual([
    {
      id: 1,
      address: new URL(server.url).host,
      self: true,
      version: expect.stringMatching(/^\d+\.\d+\.\d+/),
      uptime_secs: expect.any(Number),
    },
  ]);
});

test("a server with keys shows the page to all, and content with a token", async () => {
  const people = new People();
  const server = await Server.forTest({ env: { AUTH_SECRET: people.secret } });
  const token = people.token("ada", { read: ["open/*"], write: ["open/*"] });
  const authorization = {
    Authorization: `Bearer ${people.token("root", { read: ["**"], write: ["**"] })}`,
    "Content-Type": TEXT,
  };
  for (const name of ["open/a", "secret/b"])
    await fetch(server.stream(name), { method: "PUT", headers: authorization, body: `${name}\n` });
  const browser = await Browser.forTest();
  const page = await browser.open(server.url);
  await page.shows("This server wants to know who you are", "dialog");
  await expectAccessible(page);
  await page.picture("sign-in");
  await page.fill("dialog textarea", "no token at all");
  await page.click("dialog button", "Sign in");
  await page.until("document.querySelector('dialog .wrong').textContent !== ''");
  await page.fill("dialog textarea", token);
  await page.click("dialog button", "Sign in");
  await page.shows("open/a", ".streams");
  expect(await page.get("document.querySelector('.streams').innerText")).not.toContain("secret");
  await page.click(".streams a", "open/a");
  await page.shows("open/a", ".content");
  await page.reload();
  await page.shows("open/a", ".content");
  // As it is, in a tab of its own, by a link that is good for nothing else.
  await page.click("button", "Raw");
  const raw = await browser.tab((url) => url.startsWith(`${server.url}/v1/stream/open/a?signed=`));
  expect(raw).not.toContain(token);
  expect(await (await fetch(raw)).text()).toBe("open/a\n");

  await page.get(`location.hash = ${JSON.stringify(streamHash("secret/b"))}`);
  await page.shows("You may not read this stream");

  // The token is in this tab alone, and in no URL.
  const urls = await page.get("performance.getEntries().map(({ name }) => name).join() + location.href");
  expect(urls).not.toContain(token);
  expect(await page.get("JSON.stringify(localStorage)")).not.toContain(token);
  await page.click("#account");
  await page.click("dialog button", "Sign out");
  await page.shows("Sign in", "#account");
  expect(await page.get("sessionStorage.getItem('messages.token')")).toBe(null);
  const said = page.said.filter((text) => !/status of (401|403)/.test(text));
  expect({ said, violations: page.violations, elsewhere: page.elsewhere }).toEqual({
    said: [],
    violations: [],
    elsewhere: [],
  });
});

test("everything can be done with the keyboard", async () => {
  const server = await furnished();
  const page = await (await Browser.forTest()).open(server.url);
  await page.shows("5 streams");
  const focused =
    "document.activeElement.innerText || document.activeElement.getAttribute('aria-label') || document.activeElement.labels?.[0]?.innerText";
  /** Presses Tab until the focus is where it says this; every stop on the way can be seen. */
  async function tabTo(text) {
    for (let stop = 0; stop < 40; stop += 1) {
      await page.press("Tab");
      const [words, visible] = await page.get(
        `[String(${focused}), (({ outlineStyle, outlineWidth }) => outlineStyle !== "none" && outlineWidth !== "0px")(getComputedStyle(document.activeElement))]`,
      );
      if (words !== "undefined" && words !== "null") expect(visible, words).toBe(true);
      if (words.trim().startsWith(text)) return;
    }
    throw new Error(`Tab does not lead to ${text}`);
  }
  await tabTo("Skip to content");
  await page.press("Enter");
  expect(await page.get("document.activeElement.tagName")).toBe("H1");
  await tabTo("New stream");
  await page.press("Enter");
  expect(await page.get("document.activeElement.name")).toBe("name");
  await page.press("Escape");
  await page.until("!document.querySelector('dialog')");
  expect(await page.get("document.activeElement.innerText")).toBe("New stream");

  await page.press("Enter");
  await page.type("by/keys");
  await page.press("Enter");
  await page.until(
    "document.activeElement.tagName === 'H1' && document.activeElement.innerText.includes('by/keys')",
  );
  await page.shows("Live", ".live-state");
  await tabTo("Append text");
  await page.type("typed");
  await page.press("Control+Enter");
  await page.shows("typed", ".content");
  await page.press("Shift+Tab");
  expect(await page.get("document.activeElement.className")).toContain("content");

  await page.get("document.querySelector('.brand').focus()");
  await tabTo("Health");
  await page.press("Enter");
  await page.until(
    "document.activeElement.tagName === 'H1' && document.activeElement.innerText === 'Health'",
  );
  expect(await page.get("document.querySelector('.nav [aria-current=page]').innerText")).toBe("Health");
  expect(await page.get("document.title")).toContain("Health");
  expectCalm(page);
});

const PLACES = [
  ["streams", "#/streams", "5 streams"],
  ["text", streamHash("logs/web/1"), "Live"],
  ["json", streamHash("events/orders"), "Live"],
  ["bytes", streamHash("images/cat"), "Live"],
  ["nowhere", streamHash("nothing/there"), "Nothing here yet"],
  ["nodes", "#/nodes", "One node"],
  ["health", "#/health", "Appends are taken"],
  ["chat", "#/chat", "Who are you"],
];

test("it looks right in light and dark, wide and narrow, and is accessible", async () => {
  const server = await furnished();
  const browser = await Browser.forTest();
  const page = await browser.open(server.url);
  for (const [name, hash, text] of PLACES) {
    await page.get(`location.hash = ${JSON.stringify(hash)}`);
    await page.shows(text);
    for (const dark of [false, true]) {
      await page.colours(dark, true);
      await page.size(1280, 860);
      await expectNoSideways(page);
      await expectAccessible(page);
      await page.picture(`${name}-${dark ? "dark" : "light"}`);
    }
    await page.colours(false, true);
    await page.size(320, 720);
    await expectNoSideways(page);
    await expectAccessible(page);
    await page.picture(`${name}-narrow`);
    await page.size(1280, 860);
  }
  // Nothing moves for those who do not want that.
  await page.get(`location.hash = ${JSON.stringify(streamHash("logs/web/1"))}`);
  await page.shows("Live", ".live-state");
  expect(
    await page.get("getComputedStyle(document.querySelector('.live-state'), '::before').animationName"),
  ).toBe("none");

  // What somebody has chosen goes before what the system says, and stays.
  const background = "getComputedStyle(document.body).backgroundColor";
  const light = await page.get(background);
  await page.get(
    "document.getElementById('theme').value = 'dark', document.getElementById('theme').dispatchEvent(new Event('change'))",
  );
  const dark = await page.get(background);
  expect(dark).not.toBe(light);
  await page.reload();
  await page.until(`${background} === ${JSON.stringify(dark)}`);
  expectCalm(page);
});

test("health shows what the server does, and that it is away", async () => {
  const server = await furnished();
  await fetch(`${server.url}/?freq=100&max=10000`, { method: "POST", body: "busy" }).then(({ body }) =>
    body.cancel(),
  );
  const page = await (await Browser.forTest()).open(`${server.url}/#/health`);
  await page.shows("Appends are taken.", ".health");
  const chart = (title) =>
    `[...document.querySelectorAll(".chart")].find((one) => one.getAttribute("aria-label") === "${title}")`;
  const now = (title) => `parseFloat(${chart(title)}.querySelector(".now").textContent)`;
  await page.until(`${now("Appends")} > 5 && ${now("Time of a commit")} > 0`);
  await page.until(`${chart("Appends")}.querySelector(".line").getAttribute("d").split("L").length > 3`);
  await expectAccessible(page);
  await page.picture("health-busy");
  await page.colours(true);
  await page.picture("health-busy-dark");
  await server.kill();
  await page.shows("The server does not answer.", ".health");
  await server.resume();
  await page.shows("Appends are taken.", ".health");
  expectCalm(page);
});

test("the chat looks right, wide and narrow", async () => {
  const people = new People();
  const server = await Server.forTest({ env: { AUTH_SECRET: people.secret } });
  const ask = (...what) => people.ask(server, ...what);
  await ask("alice", "POST", "/conversations", {
    name: "team",
    title: "The team",
    participants: ["bob", "carol"],
  });
  await ask("alice", "POST", "/conversations", { name: "plans", participants: ["bob"] });
  const first = await ask("alice", "POST", "/conversations/team/messages", {
    text: "Good morning! The new build is up.\nHave a look when you can.",
  });
  await ask("alice", "POST", "/conversations/team/messages", { text: "It is at the usual place." });
  await ask("carol", "POST", "/conversations/team/messages", {
    text: "Looks great. @bob will want to see the charts.",
    mentions: ["bob"],
    reply_to: first.id,
  });
  for (const user of ["bob", "carol"]) await ask(user, "PUT", `/messages/${first.id}/reactions/nice`);
  await ask("carol", "POST", "/conversations/team/messages", { text: "Here is a thread", thread: first.id });
  const typo = await ask("alice", "POST", "/conversations/team/messages", { text: "teh end" });
  await ask("alice", "PATCH", `/messages/${typo.id}`, { text: "the end" });
  const oops = await ask("alice", "POST", "/conversations/team/messages", { text: "oops" });
  await ask("alice", "DELETE", `/messages/${oops.id}`);
  await ask("alice", "POST", "/conversations/plans/messages", { text: "@bob?", mentions: ["bob"] });
  const before = `sessionStorage.setItem("messages.token", ${JSON.stringify(people.token("bob"))})`;
  const page = await (await Browser.forTest()).open(`${server.url}/#/chat`, { before });
  await page.shows("plans", ".conversations");
  const places = [
    ["list", "#/chat", "The team"],
    ["room", "#/chat/team", "the end"],
    ["thread", `#/chat/team?thread=${first.position}`, "Here is a thread"],
  ];
  for (const [name, hash, text] of places) {
    await page.get(`location.hash = ${JSON.stringify(hash)}`);
    await page.shows(text);
    for (const dark of [false, true]) {
      await page.colours(dark, true);
      await expectNoSideways(page);
      await expectAccessible(page);
      await page.picture(`chat-${name}-${dark ? "dark" : "light"}`);
    }
    await page.colours(false, true);
    await page.size(320, 720);
    await expectNoSideways(page);
    await expectAccessible(page);
    await page.picture(`chat-${name}-narrow`);
    await page.size(1280, 860);
  }
  // Messages are one stop of the tab key, and arrows go from one to the next.
  await page.get("location.hash = '#/chat/team'");
  await page.shows("the end", ".timeline");
  await page.get("[...document.querySelectorAll('.items article')].at(-1).focus()");
  await page.press("ArrowUp");
  expect(await page.get("document.activeElement.innerText")).toContain("the end");
  await page.press("Tab");
  expect(await page.get("document.activeElement.innerText")).toBe("React");
  await page.picture("chat-actions");
  expectCalm(page);
});
