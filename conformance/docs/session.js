// Somebody at a terminal in an empty directory, who types what a document says.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { randomInt } from "node:crypto";
import { readFileSync } from "node:fs";
import { mkdir, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { onTestFinished } from "vitest";
import { noteProcess, programDir } from "../program.js";
import { serverProgram } from "../server.js";
import { Words } from "./shown.js";

const WAIT_MS = 20_000;
/** The ports that documents speak of. */
const PORTS = /\b(3000|3001|3443|8000)\b/g;
/** What runs until somebody presses Ctrl-C. */
const LASTING = ["curl", "messages", "python3", "node"];
/** A program that documents suppose. */
const MODEL = "#!/bin/sh\nprintf 'Once upon a time'\n";

/** Ctrl-C for a process, if it is one that lasts. */
function interrupt(pid) {
  try {
    const name = readFileSync(`/proc/${pid}/comm`, "utf8").trim();
    if (LASTING.includes(name)) process.kill(Number(pid), "SIGINT");
  } catch (error) {
    // It has ended meanwhile.
    if (!["ENOENT", "ESRCH"].includes(error.code)) throw error;
  }
}

export class Session {
  #dir;
  #shell;
  #printed = "";
  #words = new Words();
  #ports = new Map();

  /** One for the test that runs; what it has started is gone at the end of that test. */
  static async forTest({ files = {}, env = {} } = {}) {
    const session = new Session();
    onTestFinished(() => session.end());
    await session.#start(files, env);
    return session;
  }

  async #start(files, more) {
    this.#dir = await programDir();
    const home = join(this.#dir, "home");
    const bin = join(this.#dir, "bin");
    await Promise.all([mkdir(home), mkdir(bin)]);
    await symlink(serverProgram(), join(bin, "messages"));
    await writeFile(join(bin, "some-llm"), MODEL, { mode: 0o755 });
    // As on a terminal, and a refusal is a failure.
    await writeFile(join(this.#dir, ".curlrc"), "silent\nfail-with-body\n");
    for (const [name, text] of Object.entries(files)) await this.write(name, text);
    const env = {
      HOME: this.#dir,
      PATH: `${bin}:${process.env.PATH}`,
      LISTEN: this.#mapped("127.0.0.1:3000"),
      MESSAGES_URL: this.url,
      ...more,
    };
    this.#shell = spawn("bash", ["--norc"], { cwd: home, env, detached: true });
    noteProcess(this.#dir, this.#shell);
    const take = (text) => (this.#printed += text);
    this.#shell.stdout.setEncoding("utf8").on("data", take);
    this.#shell.stdin.write("exec 2>&1\n");
  }

  async end() {
    const shell = this.#shell;
    if (shell?.exitCode === null && shell.signalCode === null) {
      const exit = once(shell, "exit");
      process.kill(-shell.pid, "SIGKILL");
      await exit;
    }
    await rm(this.#dir, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 });
  }

  get url() {
    return this.#mapped("http://127.0.0.1:3000");
  }

  /** Keeps a file that a document shows, or supposes. */
  async write(name, text) {
    await writeFile(join(this.#dir, "home", name), this.#mapped(String(text)));
  }

  /** JavaScript of a document as it is here. */
  code(text) {
    return this.#mapped(text);
  }

  /** Types a command, and waits until it has shown what it should. */
  async type({ typed, shown }) {
    const before = this.#children();
    this.#printed = "";
    const command = this.#mapped(this.#words.inCommand(typed));
    // What a server logs is of no interest here.
    const serves = /^messages\b.*&$/.test(command);
    const line = serves ? command.replace(/&$/, ">>server.log 2>&1 &") : command;
    // Its own standard input is empty: that of the shell is what comes next.
    this.#shell.stdin.write(`{ (exit $was)\n${line}\n} </dev/null\nwas=$?; printf '\\001%s\\n' $was\n`);
    if (serves) await this.#serves(/--listen (\S+)/.exec(command)?.[1]);
    const deadline = Date.now() + WAIT_MS;
    for (;;) {
      const [, output, code, more] = /^([^\x01]*)(?:\x01(\d+)\n([^]*))?$/.exec(this.#printed);
      const printed = this.#unmapped(output + (more ?? "")).replaceAll("\r", "");
      if (shown) {
        if (this.#words.match(shown, printed)) {
          if (code === undefined) await this.#interrupt(before);
          return;
        }
      } else if (code !== undefined) {
        if (code !== "0") throw new Error(`$ ${typed}\nhas failed (${code}):\n${printed}`);
        // An answer that is of no interest may be left out.
        if (printed && !/\bcurl\b/.test(typed)) throw new Error(`$ ${typed}\nprints:\n${printed}`);
        return;
      }
      if (Date.now() > deadline) throw new Error(`$ ${typed}\nshould show:\n${shown}and printed:\n${printed}`);
      await sleep(10);
    }
  }

  /** Waits for a server in the background. */
  async #serves(address) {
    const url = address ? `http://${address}` : this.url;
    const deadline = Date.now() + WAIT_MS;
    while (!(await fetch(`${url}/healthz`).then(({ ok }) => ok, () => false))) {
      if (Date.now() > deadline) throw new Error(readFileSync(join(this.#dir, "home/server.log"), "utf8"));
      await sleep(20);
    }
  }

  /** Ctrl-C, for what was not there before. */
  async #interrupt(before) {
    while (!/\x01\d+\n/.test(this.#printed)) {
      for (const pid of this.#children()) if (!before.includes(pid)) interrupt(pid);
      await sleep(20);
    }
  }

  #children() {
    const { pid } = this.#shell;
    return readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ").filter(Boolean);
  }

  /** With ports that are free. */
  #mapped(text) {
    return text.replace(PORTS, (port) => {
      if (!this.#ports.has(port)) this.#ports.set(port, String(randomInt(20_000, 32_000)));
      return this.#ports.get(port);
    });
  }

  #unmapped(text) {
    let back = text;
    for (const [port, here] of this.#ports) back = back.replaceAll(`:${here}`, `:${port}`);
    return back;
  }
}
