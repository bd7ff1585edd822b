// Who serves: this node, and the others that it knows of.

import { get } from "./api.js";
import { h, repeat, say } from "./dom.js";
import { duration } from "./format.js";

const EVERY_MS = 3000;
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

  async function look() {
    try {
      const { nodes } = await get("/v1/nodes", { signal });
      table.hidden = false;
      say(
        summary,
        nodes.length === 1
          ? "One node serves everything."
          : `${nodes.length} nodes serve everything together.`,
      );
      body.replaceChildren(...nodes.map(row));
    } catch (error) {
      if (!signal.aborted) say(summary, error.status === 401 ? "Sign in to see the nodes." : error.message);
    }
  }
  repeat(look, EVERY_MS, signal);
  return "Nodes";
}

function row({ id, address, version, uptime_secs: secs, self }) {
  const name = [String(id), self && " ", self && h("span", { class: "badge" }, "this one")];
  const values = [name, address, version ?? "–", secs === undefined ? "–" : duration(secs)];
  return h(
    "tr",
    {},
    values.map((value, index) =>
      h("td", { class: index === 0 ? "name" : "", "data-label": HEADS[index] }, value),
    ),
  );
}
