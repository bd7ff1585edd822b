// What is asked before a stream is created, produced, closed or deleted.

import { Problem, request, streamPath } from "../api.js";
import { ask, field, h, toast } from "../dom.js";
import { hrefOf } from "./stream.js";

const TYPES = [
  ["text/plain; charset=utf-8", "Text"],
  ["application/json", "JSON messages"],
  ["application/octet-stream", "Bytes"],
];

const nameInput = (value = "") =>
  h("input", {
    name: "name",
    value,
    required: true,
    maxlength: 512,
    spellcheck: "false",
    autocomplete: "off",
  });

const go = (name) => {
  location.hash = hrefOf(name);
};

/** Creates a stream and shows it. */
export async function createStream(name) {
  const created = await ask({
    title: "New stream",
    fields: [
      field("Name", nameInput(name), "Slashes make groups: logs/web/1"),
      field(
        "Content",
        h(
          "select",
          { name: "type" },
          TYPES.map(([value, text]) => h("option", { value }, text)),
        ),
      ),
      field(
        "Goes away when unused for",
        h("input", { name: "ttl", type: "number", min: 1, placeholder: "never" }),
        "Seconds",
      ),
    ],
    button: "Create",
    act: async ({ name, type, ttl }) => {
      const headers = { "Content-Type": type };
      if (ttl) headers["Stream-TTL"] = ttl;
      const { status } = await request(streamPath(name), { method: "PUT", headers });
      return { name, found: status === 200 };
    },
  });
  if (!created) return;
  toast(created.found ? "That stream was there already." : "The stream is created.");
  go(created.name);
}

/** Lets the server produce numbered lines, and shows them. */
export async function produceLines() {
  const name = await ask({
    title: "Produce lines",
    text: "The server appends numbered lines, to have something to look at.",
    fields: [
      field("Name", nameInput(`lines-${Math.random().toString(36).slice(2, 8)}`)),
      h(
        "div",
        { class: "row" },
        field(
          "Lines a second",
          h("input", { name: "freq", type: "number", min: 1, max: 1000, value: 20, required: true }),
        ),
        field(
          "Lines in all",
          h("input", { name: "max", type: "number", min: 1, max: 1_000_000, value: 500, required: true }),
        ),
      ),
    ],
    button: "Start",
    act: async ({ name, freq, max }) => {
      const { body } = await request(`/?freq=${freq}&max=${max}`, { method: "POST", body: name });
      // It goes on when nobody listens here.
      await body.cancel();
      return name;
    },
  });
  if (name) go(name);
}

/** Closes a stream, when somebody means it. */
export const closeStream = (name) =>
  ask({
    title: "Close this stream?",
    text: `“${name}” stays readable, and nothing can be appended any more. It cannot be opened again.`,
    button: "Close the stream",
    danger: true,
    act: async () => {
      await request(streamPath(name), { method: "POST", headers: { "Stream-Closed": "true" } });
      return true;
    },
  });

/** Deletes a stream, when somebody means it. */
export async function deleteStream(name) {
  const gone = await ask({
    title: "Delete this stream?",
    text: `“${name}” and everything in it is gone for good.`,
    button: "Delete the stream",
    danger: true,
    act: async () => {
      try {
        await request(streamPath(name), { method: "DELETE" });
      } catch (error) {
        // Somebody else was faster.
        if (!(error instanceof Problem && error.status === 404)) throw error;
      }
      return true;
    },
  });
  if (!gone) return;
  toast("The stream is deleted.");
  location.hash = "#/streams";
}
