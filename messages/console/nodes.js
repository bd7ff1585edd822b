// Who serves: this node, and the others that it knows of.

import { get } from "./api.js";
import { h, repeat, say } from "./dom.js";
import { duration } from "./format.js";

const EVERY_MS = 3000;
const FORGOTTEN = "One that dies is forgotten after 15 seconds.";
const HEADS = ["Node", "Address", "Version", "Running for"];

export function open({ main, signal }) {
  const summary = h("p", { class: "muted", role: "status" }, "Loading…");
  const body = h("tbody");
  const table = h(
    "table",
    { class: "nodes", hidden: true },
    h("caption", { class: "hidden" }, "Nodes"),
    h(
      "thead",
      {},
      h(
        "tr",
        {},
        HEADS.map((text) => h("th", { scope: "col" }, text)),
      ),
    ),
    body,
  );
  main.append(h("div", { class: "page-head" }, h("h1", { tabindex: "-1" }, "Nodes")), summary, table);

  // Each node knows version and age of itself alone; behind a balancer another one answers each time.
  const told = new Map();

  async function look() {
    try {
      const { nodes } = await get("/v1/nodes", { signal });
      const now = Date.now();
      for (const { id, self, version, uptime_secs: secs } of nodes) {
        if (self) told.set(id, { version, since: now - secs * 1000 });
      }
      nodes.sort((one, other) => one.id - other.id);
      table.hidden = false;
      const isOne = nodes.length === 1;
      say(
        summary,
        isOne ? "One node serves everything." : `${nodes.length} nodes serve everything together. ${FORGOTTEN}`,
      );
      body.replaceChildren(...nodes.map((node) => row(node, told.get(node.id), now, isOne)));
    } catch (error) {
      if (!signal.aborted) say(summary, error.status === 401 ? "Sign in to see the nodes." : error.message);
    }
  }
  repeat(look, EVERY_MS, signal);
  return "Nodes";
}

function row({ id, address, self }, known, now, isOne) {
  const badge = self && !isOne && h("span", { class: "badge" }, "has answered");
  const name = [String(id), " ", badge];
  const age = known && duration((now - known.since) / 1000);
  const values = [name, address, known?.version ?? "–", age ?? "–"];
  const cell = (value, index) =>
    h("td", { class: index === 0 ? "name" : "", "data-label": HEADS[index] }, value);
  return h("tr", {}, values.map(cell));
}
