// All streams: what there is, how large it is, who reads it, and how fast it grows.

import { get } from "../api.js";
import { h, repeat, say } from "../dom.js";
import { bytes, count, rate, some } from "../format.js";
import { createStream, produceLines } from "./dialogs.js";
import { Rates } from "./rates.js";
import { hrefOf, shortType, unflushed } from "./stream.js";

const PAGE = 100;
/** How many pages are looked through for a word in a name. */
const PAGES_MAX = 20;
const EVERY_MS = 2000;

const HEADS = [
  ["Name", ""],
  ["Type", ""],
  ["Records", "number"],
  ["Size", "number"],
  ["Not flushed", "number"],
  ["Readers", "number"],
  ["Growth", "number"],
];

export function open({ main, query, signal }) {
  const rates = new Rates();
  const rows = new Map();
  let pages = 1;

  const prefix = h("input", {
    type: "search",
    value: query.get("prefix") ?? "",
    spellcheck: "false",
    autocomplete: "off",
  });
  const word = h("input", {
    type: "search",
    value: query.get("search") ?? "",
    spellcheck: "false",
    autocomplete: "off",
  });
  const summary = h("p", { class: "muted", role: "status" }, "Loading…");
  const body = h("tbody");
  const head = h(
    "tr",
    {},
    HEADS.map(([text, kind]) => h("th", { scope: "col", class: kind }, text)),
  );
  const table = h(
    "table",
    { class: "streams", hidden: true },
    h("caption", { class: "hidden" }, "Streams"),
    h("thead", {}, head),
    body,
  );
  const more = h("button", { type: "button", class: "quiet", hidden: true }, "Show more");
  const empty = h("div", { class: "empty", hidden: true });

  main.append(
    h(
      "div",
      { class: "page-head" },
      h("h1", { tabindex: "-1" }, "Streams"),
      h(
        "div",
        { class: "row" },
        h("button", { type: "button", class: "quiet", onclick: () => produceLines() }, "Produce lines"),
        h(
          "button",
          { type: "button", class: "primary", onclick: () => createStream(prefix.value) },
          "New stream",
        ),
      ),
    ),
    h(
      "form",
      { class: "filters", role: "search", onsubmit: (event) => event.preventDefault() },
      h("label", { class: "field" }, h("span", { class: "label" }, "Search in names"), word),
      h("label", { class: "field" }, h("span", { class: "label" }, "Names begin with"), prefix),
    ),
    summary,
    table,
    empty,
    h("div", { class: "row center" }, more),
  );

  /** The streams that are asked for, and whether there are more. */
  async function load() {
    const wanted = word.value.trim().toLowerCase();
    const found = [];
    let after;
    for (let page = 0; page < PAGES_MAX; page += 1) {
      const parameters = new URLSearchParams({ limit: wanted ? 1000 : PAGE });
      if (prefix.value) parameters.set("prefix", prefix.value);
      if (after) parameters.set("after", after);
      const { streams, next } = await get(`/v1/streams?${parameters}`, { signal });
      found.push(...streams.filter(({ name }) => name.toLowerCase().includes(wanted)));
      after = next;
      if (!after || found.length >= pages * PAGE) break;
    }
    return { streams: found.slice(0, pages * PAGE), more: Boolean(after) || found.length > pages * PAGE };
  }

  async function refresh() {
    const asked = `${prefix.value}\n${word.value}`;
    try {
      const { streams, more: isMore } = await load();
      // Somebody has typed on meanwhile.
      if (asked === `${prefix.value}\n${word.value}`) render(streams, isMore);
    } catch (error) {
      if (signal.aborted) return;
      say(summary, error.status === 401 ? "Sign in to see the streams." : error.message);
    }
  }

  function render(streams, isMore) {
    rates.take(streams);
    const names = new Set(streams.map(({ name }) => name));
    for (const [name, row] of rows) {
      if (names.has(name)) continue;
      row.element.remove();
      rows.delete(name);
    }
    streams.forEach((stream, index) => {
      let row = rows.get(stream.name);
      if (!row) {
        row = newRow(stream);
        rows.set(stream.name, row);
      }
      row.show(stream, rates.of(stream.name));
      if (body.children[index] !== row.element) body.insertBefore(row.element, body.children[index] ?? null);
    });
    const filtered = prefix.value !== "" || word.value !== "";
    table.hidden = streams.length === 0;
    more.hidden = !isMore;
    empty.hidden = streams.length > 0;
    empty.replaceChildren(...(filtered ? nothingFound(word.value || prefix.value) : nothingYet()));
    const total = streams.reduce((sum, stream) => sum + stream.bytes, 0);
    const many = some(streams.length, "stream", "streams");
    say(
      summary,
      streams.length === 0 ? "No streams" : `${isMore ? "The first " : ""}${many}, ${bytes(total)}`,
    );
  }

  const again = repeat(refresh, EVERY_MS, signal);
  let typed;
  const onInput = () => {
    clearTimeout(typed);
    pages = 1;
    typed = setTimeout(() => {
      const state = new URLSearchParams();
      if (prefix.value) state.set("prefix", prefix.value);
      if (word.value) state.set("search", word.value);
      history.replaceState(null, "", `#/streams${state.size > 0 ? `?${state}` : ""}`);
      again();
    }, 150);
  };
  prefix.addEventListener("input", onInput);
  word.addEventListener("input", onInput);
  more.addEventListener("click", () => {
    pages += 1;
    again();
  });
  return "Streams";
}

function newRow({ name }) {
  const cells = HEADS.map(([label, kind]) => h("td", { class: kind, "data-label": label }));
  const [nameCell, type, records, size, waiting, readers, growth] = cells;
  const closed = h("span", { class: "badge", hidden: true }, "closed");
  nameCell.className = "name";
  nameCell.append(h("a", { href: hrefOf(name) }, name), " ", closed);
  return {
    element: h("tr", {}, cells),
    show(stream, grows) {
      closed.hidden = !stream.closed;
      say(type, shortType(stream.content_type));
      type.title = stream.content_type;
      say(records, count(stream.records));
      say(size, bytes(stream.bytes));
      say(waiting, unflushed(stream) > 0 ? bytes(unflushed(stream)) : "–");
      say(readers, stream.readers > 0 ? count(stream.readers) : "–");
      say(growth, grows.bytes > 0 ? `${bytes(Math.round(grows.bytes))}/s` : "–");
      growth.title = grows.records > 0 ? `${rate(grows.records)} records a second` : "";
      this.element.classList.toggle("active", grows.bytes > 0);
    },
  };
}

const nothingYet = () => [
  h("h2", {}, "No streams yet"),
  h("p", {}, "Create one here, or pipe anything into one:"),
  h("pre", { class: "example" }, `some-program | curl -T - '${location.origin}/?id=my-stream'`),
];

const nothingFound = (text) => [
  h("h2", {}, "Nothing found"),
  h("p", {}, "No stream has a name like this. Whoever knows the whole name can look at it: "),
  h("p", {}, h("a", { href: hrefOf(text) }, `Open “${text}”`)),
];
