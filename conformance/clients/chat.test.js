// People who chat, with clients of others: Python's websockets, and a page in a browser.

import { execFile } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { postgres } from "../postgres.js";
import { Server } from "../server.js";
import { atEnd, openPage } from "./page.js";
import { People } from "./people.js";

const program = fileURLToPath(new URL("chat_client.py", import.meta.url));
const databases = ["sqlite", "postgres"];

async function start(database, people) {
  const databaseUrl = database === "postgres" ? await postgres() : undefined;
  return Server.forTest({ databaseUrl, env: { AUTH_SECRET: people.secret } });
}

test.each(databases)("Python's websockets, on %s", async (database) => {
  const python = process.env.CONFORMANCE_PYTHON;
  if (!python) throw new Error("CONFORMANCE_PYTHON is not set; run this with scripts/conformance");
  const people = new People();
  const server = await start(database, people);
  const [alice, bob, carol] = ["alice", "bob", "carol"].map((user) => people.token(user));
  const address = server.url.replace("http:", "ws:") + "/ws";
  // What it prints is a part of the error when it ends with one.
  const args = [program, address, alice, bob, carol];
  await promisify(execFile)(python, args, { timeout: 35_000 });
});

/** What a conversation looks like after its events, for whoever has all of them. */
function folded(events) {
  const messages = new Map();
  for (const event of events) {
    const message = messages.get(event.target);
    if (event.type === "message") messages.set(event.position, { text: event.text, reactions: {} });
    if (event.type === "edit") message.text = event.text;
    if (event.type === "delete") messages.delete(event.target);
    if (event.type === "react") message.reactions[event.reaction] = (message.reactions[event.reaction] ?? 0) + 1;
  }
  return [...messages.values()];
}

test.each(databases)("a page follows a conversation through crashes, on %s", async (database) => {
  const people = new People();
  const server = await start(database, people);
  const ask = (...what) => people.ask(server, ...what);
  await ask("alice", "POST", "/conversations", { name: "team", participants: ["bob"] });
  const url = server.url.replace("http:", "ws:") + "/ws";
  const seen = await openPage("chat.html", { url, token: people.token("bob"), until: "the end" });
  const events = () => seen.flatMap(({ events }) => events ?? []);

  const count = 60;
  for (let n = 0; n < count; n += 1) {
    if (n === 20 || n === 40) {
      while (!events().some(({ text }) => text === `message ${n - 1}`)) await sleep(10);
      await server.kill();
      await sleep(200);
      await server.resume();
    }
    const path = `/conversations/team/messages/t${n}`;
    const sent = await ask("alice", "PUT", path, { text: `message ${n}` });
    const again = await ask("alice", "PUT", path, { text: `message ${n}` });
    expect(again).toMatchObject({ id: sent.id, duplicate: true });
    if (n % 7 === 1) await ask("alice", "PATCH", `/messages/${sent.id}`, { text: `edited ${n}` });
    if (n % 7 === 2) await ask("bob", "PUT", `/messages/${sent.id}/reactions/ok`);
    if (n % 7 === 3) await ask("alice", "DELETE", `/messages/${sent.id}`);
  }
  await ask("alice", "POST", "/conversations/team/messages", { text: "the end" });
  await atEnd(seen);

  // Every event once and in order, through both crashes.
  const positions = events().map(({ position }) => position);
  expect(positions).toEqual(positions.map((_, index) => index + 1));
  expect(seen.filter(({ cut }) => cut).length).toBeGreaterThanOrEqual(2);
  const history = await ask("bob", "GET", "/conversations/team/messages");
  const there = history.filter(({ deleted }) => !deleted).map(({ text, reactions = {} }) => {
    const counts = Object.entries(reactions).map(([reaction, { count }]) => [reaction, count]);
    return { text, reactions: Object.fromEntries(counts) };
  });
  expect(folded(events())).toEqual(there);
  // The page has answered what it was asked, on its socket.
  expect(history.filter(({ source }) => source === "bob").map(({ text }) => text)).toEqual(["pong"]);
  const [{ unread }] = await ask("bob", "GET", "/unread");
  expect(unread).toBe(0);
});
