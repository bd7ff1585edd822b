// How the server is: whether it takes appends, and what it does each second, from what Prometheus reads.

import { request } from "../api.js";
import { h, repeat, say } from "../dom.js";
import { bytes, rate } from "../format.js";
import { Chart } from "./chart.js";
import { parse, sum } from "./metrics.js";

const EVERY_MS = 2000;
const POINTS = 90;

/** What a commit waits for: those before it, what makes it durable, and telling everybody. */
const STAGES = ["commit_queue", "commit_journal", "redis", "commit_publish"].map((stage) => `messages_${stage}_seconds`);

const millis = (secs) => `${rate(secs * 1000)} ms`;
const perSecond = (value) => `${rate(value)} /s`;

export function open({ main, signal }) {
  const state = h("p", { class: "health", role: "status" }, "Looking…");
  const note = h("p", { class: "muted" });
  const charts = CHARTS.map((chart) => ({ ...chart, chart: new Chart(chart.title, POINTS, chart.format) }));
  const grid = h(
    "div",
    { class: "charts" },
    charts.map(({ chart }) => chart.element),
  );
  main.append(h("div", { class: "page-head" }, h("h1", { tabindex: "-1" }, "Health")), state, note, grid);
  let last;

  async function look() {
    await ready();
    const at = performance.now();
    const next = { at, samples: await measure() };
    if (signal.aborted) return;
    for (const { chart, value } of charts) chart.add(value(next, last));
    last = next;
  }

  async function ready() {
    try {
      await request("/readyz", { signal });
      state.dataset.state = "good";
      say(state, "Appends are taken.");
    } catch (error) {
      if (signal.aborted) return;
      state.dataset.state = "bad";
      say(state, error.message);
    }
  }

  async function measure() {
    try {
      const response = await request("/metrics", { signal });
      say(note, "");
      return parse(await response.text());
    } catch (error) {
      if (!signal.aborted) say(note, error.status === 401 ? "Sign in to see more." : error.message);
      return [];
    }
  }
  repeat(look, EVERY_MS, signal);
  return "Health";
}

/** How fast a counter grows; null when that is not known yet. */
const growth = (name) => (next, last) => {
  const [now, before] = [next, last].map((look) => look && sum(look.samples, name));
  if (now === undefined) return undefined;
  if (before === undefined) return null;
  // A server that was started again counts from nothing.
  return Math.max(0, now - before) / ((next.at - last.at) / 1000);
};

const level =
  (name) =>
  ({ samples }) =>
    sum(samples, name);

/** How long each took of those that were since the last look. */
const mean = (name) => (next, last) => {
  const [time, count] = ["_sum", "_count"].map((end) => growth(name + end)(next, last));
  return count && time / count;
};

/** The same of what is done one after the other, as far as this server does it. */
const together = (names) => (next, last) => {
  const means = names.map((name) => mean(name)(next, last)).filter((each) => each !== undefined);
  if (means.length === 0) return undefined;
  return means.includes(null) ? null : means.reduce((all, each) => all + each, 0);
};

const CHARTS = [
  { title: "Appends", format: perSecond, value: growth("messages_appends_total") },
  { title: "Time of a commit", format: millis, value: together(STAGES) },
  { title: "Deliveries", format: perSecond, value: growth("messages_deliveries_total") },
  { title: "Flush lag", format: (value) => `${rate(value)} s`, value: level("messages_flush_lag_seconds") },
  { title: "Not flushed", format: bytes, value: level("messages_unstored_bytes") },
  { title: "Readers", format: rate, value: level("messages_readers") },
  { title: "Connections", format: rate, value: level("messages_connections") },
  { title: "CPU", format: (value) => `${rate(value * 100)} %`, value: growth("messages_cpu_seconds_total") },
  { title: "Memory", format: bytes, value: level("messages_resident_memory_bytes") },
];
