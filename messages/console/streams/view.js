// One stream, from the beginning and live. What is shown is in the URL, so it is there again after a
// reload; after a break it goes on where it was.

import { get, request, streamPath } from "../api.js";
import { h, repeat, say, toast } from "../dom.js";
import { bytes, count, offsetAt, position, rate, some, time } from "../format.js";
import { session } from "../session.js";
import { connection } from "../socket.js";
import { contentOf } from "./content.js";
import { closeStream, createStream, deleteStream } from "./dialogs.js";
import { appender } from "./append.js";
import { Rates } from "./rates.js";
import { unflushed } from "./stream.js";

/** How far the server may run ahead of what is painted. */
const WINDOW_BYTES = 1 << 20;
/** Of what is longer only the end is shown at first: so much of a text, and of messages what comes. */
const WHOLE_BYTES_MAX = 2 << 20;
const WHOLE_MESSAGES_BYTES_MAX = 16 << 20;
const END_BYTES = 256 << 10;
const EVERY_MS = 2000;
/** How far from the end somebody still looks at the end. */
const NEAR_PX = 40;

export function open({ main, name, query, signal }) {
  const page = new View(name, query.get("from") === "start", signal);
  main.append(...page.elements());
  page.begin();
  return name;
}

class View {
  #name;
  #whole;
  #signal;
  #content;
  #offset;
  #created;
  #gone = false;
  #rates = new Rates();
  #reading;
  #live = false;
  #follows = true;

  #badge = h("span", { class: "badge", hidden: true }, "closed");
  #state = h("p", { class: "live-state", role: "status" }, "Opening…");
  #stats = h("dl", { class: "stats" });
  #wrap = h("label", { class: "check", hidden: true }, "Wrap lines");
  #box = h("div", { class: "content-box" });
  #end = h(
    "button",
    { type: "button", class: "to-end", hidden: true, onclick: () => this.#toEnd() },
    "To the end ↓",
  );
  #append = h("section", { class: "card append", "aria-label": "Append", hidden: true });
  #close = h(
    "button",
    { type: "button", class: "quiet", hidden: true, onclick: () => this.#askClose() },
    "Close",
  );
  #delete = h(
    "button",
    { type: "button", class: "quiet", hidden: true, onclick: () => deleteStream(this.#name) },
    "Delete",
  );
  #raw = h("button", { type: "button", class: "quiet", hidden: true, onclick: () => this.#openRaw() }, "Raw");

  constructor(name, whole, signal) {
    this.#name = name;
    this.#whole = whole;
    this.#signal = signal;
    signal.addEventListener("abort", () => this.#reading?.end());
  }

  elements() {
    const wrap = h("input", { type: "checkbox", checked: true });
    wrap.addEventListener("change", () => this.#box.classList.toggle("no-wrap", !wrap.checked));
    this.#wrap.prepend(wrap);
    return [
      h(
        "div",
        { class: "page-head" },
        h(
          "div",
          { class: "title" },
          h("nav", { "aria-label": "Breadcrumb", class: "crumb" }, h("a", { href: "#/streams" }, "Streams")),
          h("h1", { tabindex: "-1" }, this.#name, " ", this.#badge),
        ),
        h("div", { class: "row" }, this.#raw, this.#close, this.#delete),
      ),
      this.#stats,
      h(
        "section",
        { class: "card live", "aria-label": "Live view" },
        h("div", { class: "row between bar" }, this.#state, this.#wrap),
        this.#box,
        this.#end,
      ),
      this.#append,
    ];
  }

  /** Looks what the stream is, and reads it. Comes again while there is none. */
  async begin() {
    let head;
    try {
      head = await request(streamPath(this.#name), { method: "HEAD", signal: this.#signal });
    } catch (error) {
      if (!this.#signal.aborted) this.#cannot(error);
      return;
    }
    const { headers } = head;
    const type = headers.get("content-type");
    const closed = headers.get("stream-closed") === "true";
    this.#content = contentOf(type);
    this.#content.onPaint = () => this.#painted();
    this.#content.element.addEventListener("scroll", () => this.#scrolled());
    this.#box.replaceChildren(this.#content.element);
    this.#wrap.hidden = !this.#content.wraps;
    for (const button of [this.#raw, this.#delete]) button.hidden = false;
    this.#append.replaceChildren(appender(this.#name, type));
    this.#closed(closed);
    this.#read(headers.get("stream-next-offset"), type);
    repeat(() => this.#look(), EVERY_MS, this.#signal);
  }

  #cannot(error) {
    if (error.status === 404) {
      say(this.#state, "There is no such stream.");
      const create = h(
        "button",
        { type: "button", class: "primary", onclick: () => createStream(this.#name) },
        "Create it",
      );
      this.#box.replaceChildren(
        h(
          "div",
          { class: "empty" },
          h("h2", {}, "Nothing here yet"),
          h("p", {}, "It shows up here as soon as somebody creates it."),
          create,
        ),
      );
      setTimeout(() => this.#signal.aborted || this.begin(), EVERY_MS);
      return;
    }
    const words = {
      401: "Sign in to see this stream.",
      403: "You may not read this stream.",
      410: "This stream was deleted.",
    };
    say(this.#state, words[error.status] ?? error.message);
    if (error.status === 0 || error.status === 503)
      setTimeout(() => this.#signal.aborted || this.begin(), EVERY_MS);
  }

  #read(tail, type) {
    const { bytes: size } = position(tail);
    const isMessages = type.startsWith("application/json");
    let offset = "-1";
    if (!this.#whole && size > (isMessages ? WHOLE_MESSAGES_BYTES_MAX : WHOLE_BYTES_MAX)) {
      offset = isMessages ? "now" : offsetAt(size - END_BYTES);
      this.#skipped(isMessages ? size : size - END_BYTES);
    }
    this.#reading = connection.subscribe({
      stream: this.#name,
      offset,
      window: WINDOW_BYTES,
      take: (frame, text) => this.#take(frame, text),
    });
    this.#signal.addEventListener(
      "abort",
      connection.on("state", () => this.#connection()),
    );
    this.#connection();
  }

  #skipped(size) {
    const href = `#/stream/${encodeURIComponent(this.#name)}?from=start`;
    const note = h(
      "p",
      { class: "note" },
      `The first ${bytes(size)} are not shown. `,
      h("a", { href }, "Show everything"),
    );
    this.#box.before(note);
  }

  #take(frame, text) {
    if (frame.type === "data") {
      this.#content.take(frame, text);
      this.#offset = frame.offset;
    } else if (frame.type === "subscribed") {
      this.#offset ??= frame.offset;
    } else if (frame.type === "caught_up") {
      this.#caughtUp(frame.offset);
    } else if (frame.type === "closed") {
      this.#content.mark(
        "end",
        { finished: "The end", interrupted: "The end: it was interrupted" }[frame.reason] ??
          "The end: its producer broke off",
      );
      this.#closed(true);
      say(this.#state, "Closed");
    } else if (frame.type === "error") {
      this.#over(frame);
    }
  }

  #caughtUp(offset) {
    if (!this.#live) {
      const { records, bytes: size } = position(offset);
      const before =
        records > 0 ? `${some(records, "record", "records")}, ${bytes(size)} before` : "nothing before";
      this.#content.mark("seam", `Live since ${time(Date.now())} · ${before}`);
    }
    this.#live = true;
    this.#connection();
  }

  #over({ code, detail }) {
    const gone = ["stream_not_found", "stream_deleted", "stream_replaced"].includes(code);
    say(this.#state, gone ? "This stream was deleted." : detail);
    this.#state.dataset.state = "over";
    this.#reading = undefined;
    this.#gone = gone;
    if (gone) this.#closed(true);
    if (gone) say(this.#badge, "deleted");
  }

  #connection() {
    if (!this.#reading) return;
    const isOpen = connection.state === "open";
    const state = isOpen ? (this.#live ? "live" : "reading") : "lost";
    this.#state.dataset.state = state;
    say(
      this.#state,
      { live: "Live", reading: "Reading what there is…", lost: "No connection. It goes on by itself." }[
        state
      ],
    );
  }

  #closed(closed) {
    this.#badge.hidden = !closed;
    this.#close.hidden = closed;
    this.#append.hidden = closed;
    if (closed) this.#state.dataset.state = "over";
  }

  #painted() {
    if (this.#follows) this.#content.element.scrollTop = this.#content.element.scrollHeight;
    if (this.#offset) this.#reading?.ack(this.#offset);
  }

  #scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.#content.element;
    this.#follows = scrollHeight - scrollTop - clientHeight < NEAR_PX;
    this.#end.hidden = this.#follows;
  }

  #toEnd() {
    this.#follows = true;
    this.#painted();
    this.#content.element.focus();
  }

  /** What the list of streams tells of this one. */
  async #look() {
    const parameters = new URLSearchParams({ prefix: this.#name, limit: 1 });
    try {
      const { streams } = await get(`/v1/streams?${parameters}`, { signal: this.#signal });
      const [stream] = streams;
      if (stream?.name === this.#name) this.#show(stream);
    } catch {
      // The content says how the connection is.
    }
  }

  #show(stream) {
    const isAnother = this.#created && stream.created && stream.created !== this.#created;
    if (this.#gone || isAnother) {
      // It was deleted and is another one now: what is here is not a part of that.
      dispatchEvent(new HashChangeEvent("hashchange"));
      return;
    }
    this.#created ??= stream.created;
    this.#rates.take([stream]);
    const grows = this.#rates.of(this.#name);
    const waiting = unflushed(stream);
    this.#numbers([
      ["Records", count(stream.records)],
      ["Size", bytes(stream.bytes)],
      ["In the database", waiting === 0 ? "all" : bytes(stream.bytes - waiting)],
      ["Not flushed", waiting === 0 ? "nothing" : bytes(waiting)],
      ["Readers", count(stream.readers)],
      [
        "Growth",
        grows.bytes > 0 ? `${bytes(Math.round(grows.bytes))}/s` : "–",
        grows.records > 0 && `${rate(grows.records)} records/s`,
      ],
      ["Type", stream.content_type],
      ["Tail", stream.tail],
    ]);
  }

  #numbers(all) {
    if (this.#stats.childElementCount === 0) {
      this.#stats.append(...all.map(([label]) => h("div", {}, h("dt", {}, label), h("dd", {}))));
    }
    all.forEach(([, value, more], index) => {
      const cell = this.#stats.children[index].lastChild;
      cell.className = all[index][0] === "Tail" ? "offset" : "";
      say(cell, value);
      cell.title = typeof more === "string" ? more : "";
    });
  }

  async #askClose() {
    if (await closeStream(this.#name)) toast("The stream is closed.");
  }

  /** The stream as it is, in a tab of its own. A link that works for nothing else stands for the token. */
  async #openRaw() {
    const path = streamPath(this.#name);
    if (!session.token) {
      openTab(path);
      return;
    }
    try {
      const body = JSON.stringify({ url: path, expires_in: 60 });
      const { url } = await (await request("/v1/auth/sign", { method: "POST", body })).json();
      openTab(url);
    } catch (error) {
      toast(error.message, "error");
    }
  }
}

const openTab = (url) => window.open(url, "_blank", "noopener,noreferrer");
