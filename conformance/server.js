// The server program as a process of its own. A test can kill it and start it again.

import { spawn } from "node:child_process";
import { randomInt } from "node:crypto";
import { once } from "node:events";
import { rmSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { onTestFailed, onTestFinished } from "vitest";

const START_MS = 20_000;
const STOP_MS = 20_000;

/**
 * Writes down that a program runs that has its data in this directory, so that scripts/conformance
 * can end it when the tests are broken off.
 */
export function noteProcess(dir, child) {
  if (!child.pid) return;
  const note = join(dir, "pid");
  writeFileSync(note, `${child.pid}\n`);
  child.once("exit", () => rmSync(note, { force: true }));
}

export class Server {
  #dir;
  #args;
  #env;
  #port;
  #child;
  /** All that it has written, over all its lives. */
  output = "";

  /**
   * Starts a server on an empty data directory and a free port. Without a database URL it has
   * SQLite in that directory.
   */
  static async start({ databaseUrl, durability = "sync", env = {} } = {}) {
    const server = new Server();
    server.#env = env;
    server.#dir = await mkdtemp(join(tmpdir(), "messages-conformance-"));
    server.#args = ["--data-dir", join(server.#dir, "data"), "--durability", durability];
    if (databaseUrl) server.#args.push("--database-url", databaseUrl);
    // Nothing hands out a free port that stays free, so take what the server can bind. Below 32768
    // no outgoing connection is given the port while the server is down.
    for (let attempt = 1; ; attempt += 1) {
      server.#port = randomInt(20_000, 32_000);
      try {
        await server.resume();
        return server;
      } catch (error) {
        if (attempt === 5) {
          await server.remove();
          throw error;
        }
      }
    }
  }

  /** Starts a server for the test that runs; it is removed at the end of that test. */
  static async forTest(options) {
    const server = await Server.start(options);
    onTestFinished(() => server.remove());
    onTestFailed(() => console.error(`the server wrote:\n${server.output}`));
    return server;
  }

  get url() {
    return `http://127.0.0.1:${this.#port}`;
  }

  /** The URL of a stream. */
  stream(name) {
    return `${this.url}/v1/stream/${name}`;
  }

  /** Starts it again with the same port and data. */
  async resume() {
    const program = process.env.MESSAGES_BIN;
    if (!program) throw new Error("MESSAGES_BIN is not set; run this with scripts/conformance");
    // Neither a setting of the caller nor a `.env` above the working directory reaches it.
    const child = spawn(program, ["--listen", `127.0.0.1:${this.#port}`, ...this.#args], {
      cwd: this.#dir,
      env: this.#env,
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.#child = child;
    noteProcess(this.#dir, child);
    const before = this.output.length;
    const take = (text) => (this.output += text);
    child.stdout.setEncoding("utf8").on("data", take);
    child.stderr.setEncoding("utf8").on("data", take);
    let failure;
    child.once("error", (error) => (failure = error));

    const deadline = Date.now() + START_MS;
    while (!this.output.slice(before).includes("listening on http://")) {
      if (failure) throw failure;
      if (child.exitCode !== null || child.signalCode !== null || Date.now() > deadline) {
        child.kill("SIGKILL");
        throw new Error(`the server has not come up:\n${this.output.slice(before)}`);
      }
      await sleep(10);
    }
  }

  /** Kills it as a crash would. */
  async kill() {
    await this.#end("SIGKILL");
  }

  /** Asks it to stop, which it must do in time and without an error. */
  async stop() {
    const timer = setTimeout(() => this.#child.kill("SIGKILL"), STOP_MS);
    await this.#end("SIGTERM");
    clearTimeout(timer);
    const { exitCode, signalCode } = this.#child;
    if (exitCode !== 0) {
      throw new Error(`the server ended with ${exitCode ?? signalCode}:\n${this.output}`);
    }
  }

  /** Ends it, however it is, and removes its data. */
  async remove() {
    await this.kill();
    await rm(this.#dir, { recursive: true, force: true });
  }

  async #end(signal) {
    const child = this.#child;
    if (!child?.pid || child.exitCode !== null || child.signalCode !== null) return;
    const exit = once(child, "exit");
    child.kill(signal);
    await exit;
  }
}
