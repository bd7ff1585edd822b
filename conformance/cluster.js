// Several nodes behind a proxy that sends every request to the next one, as if they were one server.

import { readFileSync, realpathSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Program, programDir } from "./program.js";
import { serverProgram } from "./server.js";

const START_MS = 60_000;
const NODES = fileURLToPath(new URL("../scripts/cluster-nodes.mjs", import.meta.url));

export class Cluster extends Program {
  #nodes;
  // The nodes have 20 s, and who waits for them must not be killed before.
  stopMs = 30_000;
  /** Of the proxy. */
  url;

  /** Starts `nodes` nodes with these arguments, and a proxy in front of them. */
  static async start({ nodes = 3, args = [], env = {} } = {}) {
    const dir = realpathSync(await programDir());
    const cluster = new Cluster(dir);
    cluster.#nodes = nodes;
    const command = [NODES, "--nodes", `${nodes}`, "--data", dir, "--", ...args];
    try {
      [, cluster.url] = await cluster.launch(process.execPath, command, {
        env: { ...env, MESSAGES_BIN: serverProgram() },
        ready: /^cluster is listening on (\S+)$/m,
        startMs: START_MS,
      });
      return cluster;
    } catch (error) {
      await cluster.remove();
      throw error;
    }
  }

  /** Kills everything at once. */
  async kill() {
    await super.kill();
    // Nobody is left to end those that still run.
    for (let i = 1; i <= this.#nodes; i += 1) {
      try {
        process.kill(Number(readFileSync(join(this.dir, `node-${i}`, "pid"), "utf8")), "SIGKILL");
      } catch (error) {
        if (!["ENOENT", "ESRCH"].includes(error.code)) throw error;
      }
    }
  }
}
