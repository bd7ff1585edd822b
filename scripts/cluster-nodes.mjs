#!/usr/bin/env node
// node scripts/cluster-nodes.mjs [OPTION...] [-- ARGUMENT...]
//
// Starts nodes, each with `--listen`, `--data-dir` and the ARGUMENTs, and a proxy in front of them
// (scripts/proxy.mjs). Says
//
//   node 1 is listening on http://ADDRESS, process PID, data in DIR
//   cluster is listening on http://ADDRESS
//
// once they do, on standard output, and passes on what the nodes say on standard error. When it is told
// to end (SIGTERM, Ctrl-C) it stops all of them, and fails when one does not end properly and in time.
//
//   --nodes N         how many (3)
//   --listen ADDRESS  of the proxy (127.0.0.1:0, which is a free port)
//   --ports PORT      the nodes listen on 127.0.0.1, on this port and the following ones; without it
//                     on free ones
//   --data DIR        a directory for each node is made in it
//   --restart         a node that ends by itself is started again; without it, that is the end of all
//
// MESSAGES_BIN is the program of a node. Its settings are those of this program's environment, and of a
// `.env` above DIR. Needs Node.js 20 and nothing else.

import { spawn } from "node:child_process";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { startProxy } from "./proxy.mjs";

const START_MS = 60_000;
const STOP_MS = 20_000;
/** Between two starts of a node that does not come up. */
const RESTART_MS = 1_000;
/** A Ctrl-C reaches a program more than once when others pass it on; later, somebody insists. */
const SAME_SIGNAL_MS = 1_000;

let stopping = false;
/** Ends everything, with this status. */
let end;
const ending = new Promise((resolve) => (end = resolve));

class Node {
  #child;
  #exit;
  url;

  constructor(number, dir, listen, args) {
    this.name = `node ${number}`;
    this.dir = join(dir, `node-${number}`);
    this.args = ["--listen", listen, "--data-dir", join(this.dir, "data"), ...args];
  }

  /** Starts it, and gives its URL when it listens. */
  async start() {
    mkdirSync(this.dir, { recursive: true });
    // In a process group of its own, so that a Ctrl-C is for this program alone, which then asks
    // every node once.
    const child = spawn(process.env.MESSAGES_BIN, this.args, {
      cwd: this.dir,
      detached: true,
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.#child = child;
    // For whoever has to clean up behind this program.
    const note = join(this.dir, "pid");
    if (child.pid) writeFileSync(note, `${child.pid}\n`);
    this.#exit = new Promise((resolve) => {
      child.once("error", (error) => resolve(error.message));
      child.once("exit", (code, signal) => resolve(signal ?? code));
    });
    this.#exit.then(() => rmSync(note, { force: true }));

    const listening = new Promise((resolve) => {
      for (const stream of [child.stdout, child.stderr]) {
        createInterface(stream).on("line", (line) => {
          const url = /^messages is listening on (http:\/\/\S+)/.exec(line)?.[1];
          if (url) resolve(url);
          // Behind that line, standard output only says how to use a server.
          if (url || stream === child.stderr) console.error(`${this.name}: ${line}`);
        });
      }
    });
    const late = sleep(START_MS, "timeout", { ref: false });
    const first = await Promise.race([listening, this.#exit, late]);
    if (typeof first !== "string" || !first.startsWith("http://")) {
      await this.stop("SIGKILL");
      const how = first === "timeout" ? `does not listen after ${START_MS} ms` : `has ended: ${first}`;
      throw new Error(`${this.name} ${how}`);
    }
    this.url = first;
    this.args[1] = new URL(first).host; // where the proxy looks for it, also when it is started again
    console.log(`${this.name} is listening on ${this.url}, process ${child.pid}, data in ${this.dir}`);
  }

  /** Keeps it running, or says that it does not run any more. */
  async watch(restart) {
    for (;;) {
      const how = await this.#exit;
      if (stopping) return;
      console.error(`${this.name} has ended: ${how}${restart ? "; starting it again" : ""}`);
      if (!restart) return end(1);
      await this.start().catch(async (error) => {
        console.error(error.message);
        await sleep(RESTART_MS);
      });
      if (stopping) return;
    }
  }

  /** Stops it, and gives its status. */
  async stop(signal) {
    const child = this.#child;
    if (!child?.pid) return 0;
    if (child.exitCode === null && child.signalCode === null) child.kill(signal);
    const timer = setTimeout(() => child.kill("SIGKILL"), STOP_MS);
    const how = await this.#exit;
    clearTimeout(timer);
    if (how !== 0 && signal !== "SIGKILL") console.error(`${this.name} has ended: ${how}`);
    return how;
  }
}

async function main() {
  const { values, positionals } = parseArgs({
    options: {
      nodes: { type: "string", default: "3" },
      listen: { type: "string", default: "127.0.0.1:0" },
      ports: { type: "string", default: "" },
      data: { type: "string" },
      restart: { type: "boolean", default: false },
    },
    allowPositionals: true,
  });
  if (!values.data) throw new Error("--data is missing");
  if (!process.env.MESSAGES_BIN) throw new Error("MESSAGES_BIN is not set");

  const nodes = [];
  for (let i = 1; i <= Number(values.nodes); i += 1) {
    const port = values.ports === "" ? 0 : Number(values.ports) + i - 1;
    nodes.push(new Node(i, resolve(values.data), `127.0.0.1:${port}`, positionals));
  }
  const stop = async (signal) => {
    stopping = true;
    const how = await Promise.all(nodes.map((node) => node.stop(signal)));
    return how.every((one) => one === 0) ? 0 : 1;
  };

  let told = 0;
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
    process.on(signal, () => {
      if (told === 0) {
        told = Date.now();
        console.error("stopping the nodes");
        end(0);
      } else if (signal === "SIGINT" && Date.now() > told + SAME_SIGNAL_MS) {
        void stop("SIGKILL");
      }
    });
  }

  let proxy;
  const starting = (async () => {
    await Promise.all(nodes.map((node) => node.start()));
    const backends = nodes.map((node) => node.url);
    proxy = await startProxy({
      listen: values.listen,
      backends,
      log: (text) => console.error(`proxy: ${text}`),
    });
    for (const node of nodes) void node.watch(values.restart);
    console.log(`cluster is listening on ${proxy.url}`);
  })();
  starting.catch((error) => {
    if (!stopping) console.error(`cluster-nodes: ${error.message}`);
    end(1);
  });
  const status = await ending;
  // The nodes first: what is on its way through the proxy ends as they let it end.
  const stopped = await stop("SIGTERM");
  await proxy?.close();
  return status || stopped;
}

main().then(
  (status) => process.exit(status),
  (error) => {
    console.error(`cluster-nodes: ${error.message}`);
    process.exit(2);
  },
);
