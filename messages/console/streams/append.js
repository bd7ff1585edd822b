// Appending from the page. What is sent has a number, so that sending it again after a break is harmless.

import { request, streamPath } from "../api.js";
import { field, h, say } from "../dom.js";

const SESSION = `console-${crypto.randomUUID()}`;
const numbers = new Map();

/** Appends a body, again and again until the server says yes or no. */
async function append(name, type, body, onWait) {
  const seq = numbers.get(name) ?? 0;
  const headers = {
    "Content-Type": type,
    "Producer-Id": SESSION,
    "Producer-Epoch": "0",
    "Producer-Seq": String(seq),
  };
  for (let wait = 500; ; wait = Math.min(wait * 2, 8000)) {
    try {
      await request(streamPath(name), { method: "POST", headers, body });
      numbers.set(name, seq + 1);
      return;
    } catch (error) {
      if (error.status !== 0 && error.status !== 503) throw error;
      onWait();
      await new Promise((resolve) => setTimeout(resolve, wait));
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
