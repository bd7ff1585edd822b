// The OpenAPI document: whether it is one, and whether the server does what it says. schemathesis makes up
// requests to every operation, sensible and senseless ones, and looks at every answer: no 5xx, no status, type,
// header or body that is not in the document, and 405 with Allow for every other method.

import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { noteProcess } from "../program.js";
import { Server, serverProgram } from "../server.js";
import { seed } from "./seed.js";

const run = promisify(execFile);
const here = fileURLToPath(new URL(".", import.meta.url));

/** Requests that are made up for each operation, beside those that try what the document names. */
const EXAMPLES = process.env.OPENAPI_EXAMPLES || "6";
/** The same ones every time, unless somebody asks for more: a failure here is not to go away by itself. */
const CHANCE = process.env.OPENAPI_EXAMPLES ? [] : ["--generation-deterministic"];
/** A few requests wait for something, and the longer run has many. */
const MINUTES = Number(EXAMPLES) > 50 ? 240 : 4;

// What lasts as long as somebody listens ends after a second.
const SHORT = { LONG_POLL_SECS: "1", SSE_SECS: "1" };
const AUTH_SECRET = "a secret of these tests, and of nothing else";

/** A program of the Python that scripts/conformance has made. */
function tool(name) {
  const tools = process.env.OPENAPI_TOOLS;
  if (!tools) throw new Error("OPENAPI_TOOLS is not set; run this with scripts/conformance");
  return join(tools, name);
}

/** A token of somebody who may do everything with streams. */
async function tokenFor(user) {
  const grants = ["read", "write", "manage"].flatMap((grant) => [`--${grant}`, "**"]);
  const { stdout } = await run(serverProgram(), ["token", "--sub", user, ...grants], {
    env: { AUTH_SECRET },
  });
  return stdout.trim();
}

/** Asks a server for everything; what schemathesis says is a part of the error when something is wrong. */
async function ask(server, { token, without = [] }) {
  await seed(server.url, token);
  const args = ["--config-file", join(here, "schemathesis.toml"), "run", `${server.url}/openapi.json`];
  args.push("--no-color", "--max-examples", EXAMPLES, ...CHANCE);
  if (token) args.push("--header", `Authorization: Bearer ${token}`);
  if (without.length > 0) args.push("--exclude-checks", without.join(","));
  const cwd = join(server.dir, "schemathesis");
  await mkdir(cwd);
  const hooks = join(here, "hooks.py");
  const env = { PATH: process.env.PATH, SCHEMATHESIS_HOOKS: hooks, PYTHONDONTWRITEBYTECODE: "1" };
  if (token) env.TOKEN = token;
  const child = spawn(tool("schemathesis"), args, { cwd, env, stdio: ["ignore", "pipe", "pipe"] });
  noteProcess(cwd, child);
  let said = "";
  for (const output of [child.stdout, child.stderr]) {
    output.setEncoding("utf8").on("data", (text) => (said += text));
  }
  const [code] = await once(child, "close");
  expect(code, said).toBe(0);
  // That it has run, and with everything.
  const [, selected, total] = /Selected: (\d+)\/(\d+)/.exec(said) ?? [];
  expect(selected, said).toBe(total);
  expect(Number(total)).toBeGreaterThan(75);
  return JSON.parse(await readFile(join(cwd, "done.json")));
}

/** The names of all operations. */
async function operations(server) {
  const { paths } = await (await fetch(`${server.url}/openapi.json`)).json();
  const items = Object.values(paths).flatMap((item) => Object.values(item));
  return items.map(({ operationId }) => operationId).filter(Boolean);
}

test("the document is one", async () => {
  const server = await Server.forTest();
  const document = join(server.dir, "openapi.json");
  await writeFile(document, await (await fetch(`${server.url}/openapi.json`)).text());
  const { stdout } = await run(tool("openapi-spec-validator"), ["--schema", "3.1", document]);
  expect(stdout).toContain("OK");
});

// Beside each other: they mostly wait.
test.concurrent("without keys", { timeout: MINUTES * 60_000 }, async ({ onTestFinished }) => {
  const server = await Server.start({ env: SHORT });
  onTestFinished(() => server.remove());
  // Nobody is asked for anything.
  await ask(server, { without: ["ignored_auth"] });
});

test.concurrent("with keys", { timeout: MINUTES * 60_000 }, async ({ onTestFinished }) => {
  const server = await Server.start({ env: { ...SHORT, AUTH_SECRET } });
  onTestFinished(() => server.remove());
  const done = await ask(server, { token: await tokenFor("alice") });
  // Not only refused. Five need the token of a wake or a socket, and chance leaves out a few.
  const missing = (await operations(server)).filter((name) => !done.includes(name));
  expect(missing.length, missing.join(", ")).toBeLessThan(15);
});
