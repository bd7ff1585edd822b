// How the server is: whether it takes appends, and what it does each second, from what Prometheus reads.

import { get, request } from "../api.js";
import { h, repeat, say } from "../dom.js";
import { bytes, rate } from "../format.js";
import { unflushed } from "../streams/stream.js";
import { Chart } from "./chart.js";
import { parse, sum } from "./metrics.js";

const EVERY_MS = 2000;
const POINTS = 90;

const APPENDS = "messages_appends_total";
const UNSTORED = "messages_unstored_bytes";
const READERS = "messages_readers";

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

  /** What there is to be drawn: the metrics, or what the list of streams says where there are none. */
  async function measure() {
    try {
      const response = await request("/metrics", { signal });
      say(note, "");
      return parse(await response.text());
    } catch (error) {
      if (signal.aborted) return [];
      if (error.status !== 404) {
        say(note, error.status === 401 ? "Sign in to see more." : error.message);
        return [];
      }
    }
    return ofStreams();
  }

  async function ofStreams() {
    try {
      const { streams, next } = await get("/v1/streams?limit=1000", { signal });
      say(note, next ? "These are the first 1,000 streams." : "");
      const total = (of) => streams.reduce((all, stream) => all + of(stream), 0);
      return [
        { name: APPENDS, labels: {}, value: total(({ records }) => records) },
        { name: UNSTORED, labels: {}, value: total(unflushed) },
        { name: READERS, labels: {}, value: total(({ readers }) => readers) },
      ];
    } catch (error) {
      if (!signal.aborted) say(note, error.status === 401 ? "Sign in to see more." : error.message);
      return [];
    }
  }
  repeat(look, EVERY_MS, signal);
  return "Health";
}

/** How fast a counter grows. */
const growth = (name, labels) => (next, last) => {
  const [now, before] = [next, last].map((look) => look && sum(look.samples, name, labels));
  if (now === undefined || before === undefined) return undefined;
  // A server that was started again counts from nothing.
  return Math.max(0, now - before) / ((next.at - last.at) / 1000);
};

const level =
  (name, labels) =>
  ({ samples }) =>
    sum(samples, name, labels);

const CHARTS = [
  { title: "Appends", format: perSecond, value: growth(APPENDS) },
  { title: "Deliveries", format: perSecond, value: growth("messages_deliveries_total") },
  { title: "Flush lag", format: (value) => `${rate(value)} s`, value: level("messages_flush_lag_seconds") },
  { title: "Not flushed", format: bytes, value: level(UNSTORED) },
  { title: "Readers", format: rate, value: level(READERS) },
  { title: "Memory", format: bytes, value: level("process_resident_memory_bytes") },
];
