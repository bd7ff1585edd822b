// The console in a browser: people who chat.

import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { People } from "../clients/people.js";
import { Server } from "../server.js";
import { Browser } from "./browser.js";
import { expectAccessible, expectCalm } from "./console.js";

const MAIN = ".room article:not(.on-its-way)";
const texts = `[...document.querySelectorAll("${MAIN} .body")].map((one) => one.textContent)`;
const text = (index) => `${texts}.at(${index})`;
const unread = (name) => `document.querySelector('li[data-name="${name}"] .unread')?.textContent`;

/** Signs in as people do: with a token in the dialog. */
async function signIn(page, token) {
  await page.fill("dialog textarea", token);
  await page.click("dialog button", "Sign in");
  await page.until("!document.querySelector('dialog')");
}

/** A server, and a page for each of these. */
async function start(users, hash = "#/chat/team") {
  const people = new People();
  const server = await Server.forTest({ env: { AUTH_SECRET: people.secret } });
  const ask = (...what) => people.ask(server, ...what);
  await ask("alice", "POST", "/conversations", {
    name: "team",
    title: "The team",
    participants: ["bob", "carol"],
  });
  const browser = await Browser.forTest();
  const pages = [];
  for (const user of users) {
    const page = await browser.open(`${server.url}/${hash}`);
    await page.click("main button", "Sign in");
    await signIn(page, people.token(user));
    pages.push(page);
  }
  return { people, server, ask, browser, pages };
}

async function say(page, words) {
  await page.fill(".room .composer textarea", words);
  await page.press("Enter");
}

/** Chooses an action of the last message. */
async function act(page, name) {
  const article = `[...document.querySelectorAll("${MAIN}")].at(-1)`;
  await page.until(`Boolean(${article})`);
  await page.get(`${article}.focus()`);
  await page.get(
    `[...${article}.querySelectorAll(".actions button")].find((one) => one.textContent === ${JSON.stringify(name)}).click()`,
  );
}

test("two pages talk to each other", async () => {
  const {
    ask,
    pages: [alice, bob],
  } = await start(["alice", "bob"]);
  for (const page of [alice, bob]) await page.shows("No messages yet", ".timeline");
  // Each sees that the other is there.
  await bob.until(
    "[...document.querySelectorAll('.person.here')].some((one) => one.textContent.startsWith('alice'))",
  );

  await say(alice, "Good morning, @bob");
  await bob.until(`${text(-1)} === "Good morning, @bob"`);
  await alice.until(`${text(-1)} === "Good morning, @bob" && !document.querySelector(".on-its-way")`);
  await alice.shows("Seen by bob", ".seen");
  expect(await bob.get("document.querySelector('.names-me .mention').textContent")).toBe("@bob");

  await alice.fill(".room .composer textarea", "something long");
  await bob.shows("alice is typing", ".typing");
  await alice.fill(".room .composer textarea", "");
  await alice.get("document.activeElement.blur()");
  await bob.until("document.querySelector('.typing').textContent === ''");

  await act(bob, "React");
  await bob.click("dialog .pick", "🎉");
  await alice.shows("🎉 1", ".chip");
  await alice.click(".chip");
  await bob.shows("🎉 2", ".chip");
  await alice.click(".chip");
  await bob.shows("🎉 1", ".chip");

  await act(alice, "Edit");
  await alice.fill("dialog textarea", "Good evening, @bob");
  await alice.click("dialog button", "Save");
  await bob.until(`${text(-1)} === "Good evening, @bob"`);
  await bob.shows("edited", ".marks");

  await act(bob, "Reply");
  await bob.type("And to you");
  await bob.press("Enter");
  await alice.shows("alice: Good evening, @bob", ".quote");

  await act(bob, "Delete");
  await bob.click("dialog button", "Delete");
  await alice.shows("This message was deleted.");
  expect(await alice.get(texts)).not.toContain("And to you");

  // A thread is beside the conversation, and says there that it is.
  const first = (await ask("alice", "GET", "/conversations/team/messages"))[0];
  await alice.get(`location.hash = "#/chat/team?thread=${first.position}"`);
  await alice.fill(".thread textarea", "in the thread");
  await alice.press("Enter");
  await bob.shows("1 reply", ".replies");
  await bob.click(".replies");
  await bob.shows("in the thread", ".thread");
  expect(await bob.get(texts)).not.toContain("in the thread");
  await expectAccessible(bob);
  for (const page of [alice, bob]) expectCalm(page);
});

test("what is unread is counted, and read when it is seen", async () => {
  const {
    ask,
    pages: [bob],
  } = await start(["bob"], "#/chat");
  await ask("alice", "POST", "/conversations", { name: "plans", participants: ["bob"] });
  await bob.shows("plans", ".conversations");
  await ask("alice", "POST", "/conversations/plans/messages", { text: "one" });
  await ask("alice", "POST", "/conversations/plans/messages", { text: "two @bob", mentions: ["bob"] });
  await ask("carol", "POST", "/inbox/bob/messages", { text: "psst" });
  await bob.until(`${unread("plans")} === "2"`);
  await bob.shows("@1", 'li[data-name="plans"]');
  await bob.shows("carol", ".conversations");
  await bob.click(".conversations a", "plans");
  await bob.until(`${texts}.join() === "one,two @bob"`);
  await bob.until(`${unread("plans")} === ""`);
  const marks = await ask("bob", "GET", "/unread");
  expect(marks.find(({ conversation }) => conversation === "plans")).toMatchObject({
    unread: 0,
    mentions: 0,
  });
  // What comes while it is looked at is read at once; what comes elsewhere is counted.
  await ask("alice", "POST", "/conversations/plans/messages", { text: "three" });
  await bob.shows("three", MAIN);
  await ask("alice", "POST", "/conversations/team/messages", { text: "over here" });
  await bob.until(`${unread("team")} === "1" && ${unread("plans")} === ""`);
  expectCalm(bob);
});

test("a message grows as its model writes it", async () => {
  const {
    people,
    server,
    pages: [bob],
  } = await start(["bob"]);
  await bob.shows("No messages yet", ".timeline");
  let more;
  const body = new ReadableStream({ start: (controller) => (more = controller) });
  const put = fetch(`${server.url}/conversations/team/messages/llm/text`, {
    method: "PUT",
    duplex: "half",
    headers: { Authorization: `Bearer ${people.token("carol")}` },
    body,
  });
  const words = "I think aloud, word by word, and 🙂 everybody sees it.".split(/(?<= )/);
  let written = "";
  for (const word of words) {
    more.enqueue(new TextEncoder().encode(word));
    written += word;
    await bob.until(
      `${text(-1)} === ${JSON.stringify(written)} && document.querySelector(".streaming") !== null`,
    );
  }
  expect(await bob.get("document.querySelector('[aria-live=polite].hidden').textContent")).toBe("");
  more.close();
  expect((await put).ok).toBe(true);
  await bob.until("document.querySelector('.streaming') === null");
  // It is read out once, when it is complete.
  await bob.until(
    `document.querySelector("[aria-live=polite].hidden").textContent === ${JSON.stringify(`carol: ${written}`)}`,
  );
  expectCalm(bob);
});

test("what is sent while the server is away is there once", async () => {
  const {
    server,
    ask,
    pages: [alice, bob],
  } = await start(["alice", "bob"]);
  for (const page of [alice, bob]) await page.shows("No messages yet", ".timeline");
  for (let n = 0; n < 10; n += 1) await say(alice, `before ${n}`);
  await bob.until(`${texts}.length === 10`);
  await server.kill();
  await alice.until("document.getElementById('link-state').dataset.state === 'waiting'");
  for (let n = 0; n < 3; n += 1) await say(alice, `away ${n}`);
  await alice.shows("Sending", ".on-its-way");
  // They are kept through a reload.
  const url = await alice.get("location.href");
  await server.resume();
  await alice.go("about:blank");
  await alice.go(url);
  await bob.until(`${texts}.length === 13`);
  await sleep(100);
  const sent = [
    ...Array.from({ length: 10 }, (_, n) => `before ${n}`),
    ...Array.from({ length: 3 }, (_, n) => `away ${n}`),
  ];
  for (const page of [alice, bob]) {
    await page.until(`${texts}.length === 13 && !document.querySelector(".on-its-way")`);
    expect(await page.get(texts)).toEqual(sent);
  }
  const history = await ask("bob", "GET", "/conversations/team/messages");
  expect(history.map(({ text }) => text)).toEqual(sent);
  for (const page of [alice, bob]) expectCalm(page);
});

test("what one person could not send, the next one at the same page does not", async () => {
  const {
    people,
    server,
    ask,
    pages: [alice],
  } = await start(["alice"]);
  await alice.shows("No messages yet", ".timeline");
  await server.kill();
  await alice.until("document.getElementById('link-state').dataset.state === 'waiting'");
  await say(alice, "only alice says that");
  await alice.shows("Sending", ".on-its-way");
  await alice.click("#account", "alice");
  await alice.click("dialog button", "Sign out");
  await server.resume();
  await alice.click("#account", "Sign in");
  await signIn(alice, people.token("bob"));
  await alice.until("document.getElementById('link-state').dataset.state === 'open'");
  // What comes behind everything that was left.
  await say(alice, "hello, this is bob");
  await alice.until(`${text(-1)} === "hello, this is bob" && !document.querySelector(".on-its-way")`);
  const said = async () => (await ask("bob", "GET", "/conversations/team/messages")).map((one) => one.text);
  expect(await said()).toEqual(["hello, this is bob"]);
  // Right behind a message, when the page is about to ask what is unread.
  await alice.get(`new Promise((done) => {
    const signOut = () => {
      if (${text(-1)} !== "bob, are you there?") return;
      watcher.disconnect();
      document.getElementById("account").click();
      [...document.querySelectorAll("dialog button")].find((one) => one.textContent === "Sign out").click();
      done();
    };
    const watcher = new MutationObserver(signOut);
    watcher.observe(document.querySelector(".timeline"), { childList: true, subtree: true, characterData: true });
    fetch("/conversations/team/messages", {
      method: "POST",
      headers: { Authorization: "Bearer ${people.token("alice")}" },
      body: JSON.stringify({ text: "bob, are you there?" }),
    });
  })`);
  await alice.click("#account", "Sign in");
  await signIn(alice, people.token("alice"));
  await alice.until(`${text(-1)} === "bob, are you there?"`);
  expect(await said()).toEqual(["hello, this is bob", "bob, are you there?"]);
  expectCalm(alice);
});

test("the list shows the conversation that is open, and what has just begun", async () => {
  const {
    ask,
    pages: [alice],
  } = await start(["alice"]);
  for (let n = 0; n < 40; n += 1) await ask("bob", "POST", "/conversations", { name: `n${n}`, participants: ["alice"] });
  const names = "[...document.querySelectorAll('.conversations li')].map((one) => one.dataset.name)";
  await alice.until(`${names}[0] === "n39" && ${names}.at(-1) === "team"`);
  await alice.reload();
  await alice.until(`${names}[0] === "n39" && ${names}.at(-1) === "team"`);
  const [top, bottom, low, high] = await alice.get(`(() => {
    const list = document.querySelector(".list").getBoundingClientRect();
    const open = document.querySelector(".conversations [aria-current]").getBoundingClientRect();
    return [list.top, list.bottom, open.top, open.bottom];
  })()`);
  expect(low).toBeGreaterThanOrEqual(top);
  expect(high).toBeLessThanOrEqual(bottom);
  expectCalm(alice);
});

test("what is said is text and nothing else", async () => {
  const {
    ask,
    pages: [bob],
  } = await start(["bob"]);
  const bad = "<img src=x onerror='hacked=1'><script>hacked=1</script>";
  await ask("alice", "POST", "/conversations", { name: "bad", title: bad, participants: ["bob", bad] });
  const { id } = await ask(bad, "POST", "/conversations/bad/messages", {
    text: `${bad} @bob`,
    mentions: ["bob"],
  });
  await ask("alice", "PUT", `/messages/${id}/reactions/${encodeURIComponent("<b>x</b>")}`);
  await ask("alice", "POST", "/conversations/bad/messages", { text: bad, reply_to: id });
  await bob.click(".conversations a", bad);
  await bob.until(`${texts}.join("|") === ${JSON.stringify(`${bad} @bob|${bad}`)}`);
  await bob.shows("<b>x</b> 1", ".chip");
  expect(await bob.get("document.querySelector('h1').textContent")).toBe(bad);
  expect(
    await bob.get("[typeof hacked, document.querySelectorAll('main img, main script, main b').length]"),
  ).toEqual(["undefined", 0]);
  expectCalm(bob);
});

test("conversations are begun, joined and left in the page", async () => {
  const {
    ask,
    pages: [alice, bob],
  } = await start(["alice", "bob"], "#/chat");
  await alice.click(".list button", "New");
  await alice.fill("dialog input[name=title]", "Lunch");
  await alice.fill("dialog input[name=people]", "carol");
  await alice.fill("dialog input[name=name]", "lunch");
  await alice.press("Enter");
  await alice.shows("Lunch", "h1");
  await alice.click(".room .bar button", "Add");
  await alice.fill("dialog input[name=people]", "bob");
  await alice.press("Enter");
  await bob.click(".conversations a", "Lunch");
  await say(bob, "pizza");
  await alice.until(`${text(-1)} === "pizza"`);
  await bob.click(".room .bar button", "Leave");
  await bob.click("dialog button", "Leave");
  await bob.until("!document.querySelector('li[data-name=lunch]')");
  await alice.until(
    "![...document.querySelectorAll('.person')].some((one) => one.textContent.startsWith('bob'))",
  );
  await ask("alice", "PUT", "/conversations/lunch/participants/bob", { invite: true });
  await bob.click(".conversations a", "Lunch (invited)");
  await bob.click("button", "Join");
  await bob.until(`${texts}.at(-1) === "pizza"`);
  for (const page of [alice, bob]) expectCalm(page);
});
