// A program as a process of its own, with a directory of its own. A test can kill it and start it again.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { rmSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

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

/** Makes a directory for a program. */
export function programDir() {
  return mkdtemp(join(tmpdir(), "messages-conformance-"));
}

export class Program {
  #dir;
  #child;
  /** How long a stop may take. */
  stopMs = 20_000;
  /** All that it has written, over all its lives. */
  output = "";

  get dir() {
    return this.#dir;
  }

  constructor(dir) {
    this.#dir = dir;
  }

  /**
   * Starts it, and waits until it has written what matches `ready`; gives the match. Neither a setting
   * of the caller nor a `.env` above the working directory reaches it.
   */
  async launch(command, args, { env, ready, startMs = 20_000 }) {
    const child = spawn(command, args, { cwd: this.#dir, env, stdio: ["ignore", "pipe", "pipe"] });
    this.#child = child;
    noteProcess(this.#dir, child);
    const before = this.output.length;
    const take = (text) => (this.output += text);
    child.stdout.setEncoding("utf8").on("data", take);
    child.stderr.setEncoding("utf8").on("data", take);
    let failure;
    child.once("error", (error) => (failure = error));

    const deadline = Date.now() + startMs;
    for (;;) {
      const said = ready.exec(this.output.slice(before));
      if (said) return said;
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
    const timer = setTimeout(() => this.#child.kill("SIGKILL"), this.stopMs);
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
