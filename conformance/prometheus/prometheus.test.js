// What Prometheus makes of /metrics, of the alerts, and of everything that the dashboard asks for.

import { execFileSync, spawnSync } from "node:child_process";
import { readFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { expect, onTestFinished, test } from "vitest";
import { Cluster } from "../cluster.js";
import { Browser } from "../console/browser.js";
import { postgres } from "../postgres.js";
import { Server, serverProgram } from "../server.js";
import { picture } from "./picture.js";
import { Prometheus } from "./prometheus.js";

const file = (name) => fileURLToPath(new URL(`../../docker/${name}`, import.meta.url));

const env = { AUTH_SECRET: "a secret of more than 32 bytes, for tests" };

/** A token. */
function token(...args) {
  return execFileSync(serverProgram(), ["token", ...args], { env, encoding: "utf8" }).trim();
}

function promtool(args, input) {
  const { status, stdout, stderr } = spawnSync("promtool", args, { input, encoding: "utf8" });
  // What it only does not like is on standard error as well.
  expect({ status, stderr }, stdout).toEqual({ status: 0, stderr: "" });
}

/** One of several nodes, though the only one. */
async function node() {
  const redisUrl = process.env.TEST_REDIS_URL;
  if (!redisUrl) throw new Error("TEST_REDIS_URL is not set; run this with scripts/conformance");
  const databaseUrl = await postgres();
  const prefix = new URL(databaseUrl).pathname.slice(1);
  const args = ["--database-url", databaseUrl, "--redis-url", redisUrl, "--redis-prefix", prefix];
  const cluster = await Cluster.start({ nodes: 1, args, env });
  onTestFinished(() => cluster.remove());
  return cluster;
}

async function ask(url, options) {
  const response = await fetch(url, options);
  return { status: response.status, text: await response.text() };
}

/** A little of everything, until it is told to end. */
function load(url) {
  const authorization = `Bearer ${token("--sub", "alice", "--read", "*", "--write", "*", "--manage", "*")}`;
  const headers = { "content-type": "application/json", authorization };
  const get = (path) => ask(`${url}${path}`, { headers });
  const put = (path, body) => ask(`${url}${path}`, { method: "PUT", headers, body });
  const post = (path, body) => ask(`${url}${path}`, { method: "POST", headers, body });
  let ended = false;
  const work = async () => {
    await put("/v1/stream/numbers", "[0]");
    await put("/v1/stream/wakes", "[]");
    const wake = { type: "pull-wake", pattern: "numbers", wake_stream: "wakes" };
    const subscribe = () => put("/v1/stream/__ds/subscriptions/s", JSON.stringify(wake));
    // A node begins to work on subscriptions a moment after its start.
    while ((await subscribe()).status > 201) await sleep(50);
    await post("/conversations", '{"name":"team","participants":["bob"]}');
    for (let n = 1; !ended; n += 1) {
      expect((await post("/v1/stream/numbers", `[${n}]`)).status).toBe(204);
      expect((await get("/v1/stream/numbers?offset=-1")).status).toBe(200);
      expect((await get("/v1/stream/none")).status).toBe(404);
      expect((await ask(`${url}/v1/stream/numbers`)).status).toBe(401);
      const message = JSON.stringify({ text: `${n}` });
      expect((await post("/conversations/team/messages", message)).status).toBe(200);
      // Within the limits of one principal.
      await sleep(20);
    }
  };
  const working = work();
  return async () => {
    ended = true;
    await working;
  };
}

test("the tools of Prometheus find nothing wrong", async () => {
  const server = await Server.forTest();
  await ask(server.stream("s"), { method: "PUT", body: "x" });
  await ask(server.stream("none"));
  promtool(["check", "metrics"], (await ask(`${server.url}/metrics`)).text);
  promtool(["check", "rules", file("alerts.yml")]);
  promtool(["check", "config", file("prometheus.yml")]);
});

test("everything that the dashboard and the alerts ask for is there", async () => {
  const servers = [await Server.forTest({ env }), await node()];
  const targets = servers.map(({ url }) => new URL(url).host);
  const credentials = token("--sub", "prometheus", "--read", "__metrics");
  const prometheus = await Prometheus.start(targets, credentials, file("alerts.yml"));
  onTestFinished(() => prometheus.remove());
  const ends = servers.map(({ url }) => load(url));
  try {
    await lookAround(prometheus);
  } finally {
    await Promise.all(ends.map((end) => end()));
  }
});

/** Asks for everything, while there is load. */
async function lookAround(prometheus) {
  // A rate needs two scrapes; and everything has to have reached the databases once.
  await prometheus.until("count(sum_over_time(up[1m]) > 4) == 2");
  await prometheus.until("count(messages_flush_seconds_count > 1) == 2");

  const dashboard = JSON.parse(await readFile(file("grafana.json"), "utf8"));
  const { panels, templating } = dashboard;
  const values = { $instance: ".*", $__rate_interval: "30s" };
  const filled = (expression) => expression.replace(/\$\w+/g, (name) => values[name] ?? name);
  const asked = panels.flatMap(({ title, targets }) => targets.map(({ expr }) => ({ title, expr })));
  expect(asked.length).toBeGreaterThan(40);
  for (const { title, expr } of asked) {
    const plain = filled(expr);
    const numbers = await prometheus.query(plain);
    expect(numbers.length, `${title}: ${plain}`).toBeGreaterThan(0);
    // Of pages there are none here, so their times are those of nothing.
    const isSome = numbers.some((number) => Number.isFinite(number));
    expect(isSome || title === "Pages of the database", `${title}: ${plain}`).toBe(true);
  }
  const [{ query }] = templating.list.filter(({ type }) => type === "query");
  const [, series] = /^label_values\((\w+), instance\)$/.exec(query.query);
  expect(await prometheus.query(series)).toEqual([1, 1]);

  for (const expression of [
    "rate(messages_appends_total[30s])",
    "rate(messages_deliveries_total[30s])",
    "rate(messages_chat_sends_total[30s])",
    'messages_wake_events_total{outcome="written"}',
    "messages_subscriptions",
    "sum by (instance) (rate(messages_problems_total[30s]))",
    "sum by (instance) (rate(messages_auth_failures_total[30s]))",
    "rate(messages_sql_wait_seconds_count[30s])",
  ]) {
    await prometheus.until(`count(${expression} > 0) == 2`);
  }

  const { groups } = await prometheus.ask("rules");
  const rules = groups.flatMap(({ rules }) => rules);
  expect(rules.length).toBeGreaterThan(10);
  for (const { name, health, lastError } of rules) {
    expect({ name, health, lastError }).toEqual({ name, health: "ok", lastError: undefined });
  }

  // For people to look at.
  const { html, width, height } = await picture(prometheus, dashboard, filled);
  const browser = await Browser.forTest();
  const page = await browser.open(`data:text/html;charset=utf-8,${encodeURIComponent(html)}`, { width, height });
  await page.until(`document.querySelectorAll("section").length === ${panels.length}`);
  await page.picture("dashboard");
}
