// Prometheus itself, as a process of its own.

import { randomInt } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Program, programDir } from "../program.js";

export class Prometheus extends Program {
  #url;

  /** Starts one that scrapes these targets every second, with this token, and looks at these alerts. */
  static async start(targets, credentials, rules) {
    const prometheus = new Prometheus(await programDir());
    const config = join(prometheus.dir, "prometheus.yml");
    // JSON is YAML.
    const settings = {
      global: { scrape_interval: "1s", evaluation_interval: "1s" },
      rule_files: [rules],
      scrape_configs: [
        { job_name: "messages", authorization: { credentials }, static_configs: [{ targets }] },
      ],
    };
    await writeFile(config, JSON.stringify(settings));
    for (let attempt = 1; ; attempt += 1) {
      const address = `127.0.0.1:${randomInt(20_000, 32_000)}`;
      prometheus.#url = `http://${address}`;
      const place = ["--storage.tsdb.path", join(prometheus.dir, "data")];
      const args = ["--config.file", config, ...place, "--web.listen-address", address];
      const ready = /Server is ready to receive web requests/;
      try {
        await prometheus.launch("prometheus", args, { env: {}, ready });
        return prometheus;
      } catch (error) {
        if (attempt === 5) {
          await prometheus.remove();
          throw error;
        }
      }
    }
  }

  /** Asks its API. */
  async ask(path, parameters = {}) {
    const response = await fetch(`${this.#url}/api/v1/${path}?${new URLSearchParams(parameters)}`);
    const { status, data, error } = await response.json();
    if (status !== "success") throw new Error(`${JSON.stringify(parameters)}: ${error}`);
    return data;
  }

  /** What an expression is now: a list of numbers. */
  async query(expression) {
    const { result } = await this.ask("query", { query: expression });
    return result.map(({ value }) => Number(value[1]));
  }

  /** Waits until an expression is something other than nothing. */
  async until(expression) {
    while ((await this.query(expression)).length === 0) await sleep(100);
  }
}
