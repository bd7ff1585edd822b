// Appending from the page. What is sent has a number, so that sending it again after a break is harmless.

import { request, streamPath } from "../api.js";
import { field, h, say } from "../dom.js";

/** By stream: who this page is for it, and the number of its next append. */
const sessions = new Map();

const sessionOf = (name) => {
  if (!sessions.has(name)) sessions.set(name, { id: `console-${crypto.randomUUID()}`, seq: 0 });
  return sessions.get(name);
};

/** Appends a body, again and again until the server says yes or no. */
async function append(name, type, body, onWait) {
  for (let wait = 500; ; wait = Math.min(wait * 2, 8000)) {
    const session = sessionOf(name);
    const headers = {
      "Content-Type": type,
      "Producer-Id": session.id,
      "Producer-Epoch": "0",
      "Producer-Seq": String(session.seq),
    };
    try {
      await request(streamPath(name), { method: "POST", headers, body });
      session.seq += 1;
      return;
    } catch (error) {
      // It has begun anew, and knows nothing of earlier appends.
      const isForgotten = error.code === "producer_gap" && session.seq > 0;
      if (isForgotten) sessions.delete(name);
      else if (error.status !== 0 && error.status !== 503) throw error;
      onWait();
      await new Promise((resolve) => setTimeout(resolve, isForgotten ? 0 : wait));
    }
  }
}

/** The form that appends to a stream of this type. */
export function appender(name, type) {
  const isJson = type.startsWith("application/json");
  const input = h("textarea", {
    rows: 2,
    spellcheck: isJson ? "false" : "true",
    placeholder: isJson ? '{"hello":"world"}' : "",
  });
  const newline = h("input", { type: "checkbox", checked: true });
  const button = h("button", { class: "primary" }, "Append");
  const state = h("p", { class: "muted", role: "status" }, "Ctrl+Enter appends");
  const form = h(
    "form",
    {},
    field(isJson ? "Append a JSON message, or an array of them" : "Append text", input),
    h(
      "div",
      { class: "row" },
      !isJson && h("label", { class: "check" }, newline, "With a new line"),
      state,
      button,
    ),
  );

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    let body = input.value;
    if (isJson) {
      try {
        JSON.parse(body);
      } catch {
        fail("This is not JSON.");
        return;
      }
    } else if (newline.checked) {
      body += "\n";
    }
    if (body === "") return;
    button.disabled = true;
    state.classList.remove("wrong");
    try {
      await append(name, type, body, () => say(state, "The server does not answer; trying again…"));
      input.value = "";
      say(state, "Appended");
      input.focus();
    } catch (error) {
      fail(error.message);
    } finally {
      button.disabled = false;
    }
  });
  input.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  });

  function fail(text) {
    state.classList.add("wrong");
    say(state, text);
  }
  return form;
}
