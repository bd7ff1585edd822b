// What is asked for before something is done in the chat.

import { request, send } from "../api.js";
import { ask, field, h, toast } from "../dom.js";
import { session } from "../session.js";
import { connection } from "../socket.js";
import { hrefOf } from "./conversation.js";

const REACTIONS = ["👍", "❤️", "😄", "🎉", "👀", "✅"];

const names = (text) => text.split(/[\s,]+/).filter((name) => name !== "");

/** Begins a conversation and goes there. */
export async function newConversation() {
  const created = await ask({
    title: "New conversation",
    fields: [
      field("Title", h("input", { name: "title", autocomplete: "off" })),
      field(
        "People",
        h("input", { name: "people", autocomplete: "off", spellcheck: "false" }),
        "Their names, with spaces between",
      ),
      field(
        "Name",
        h("input", {
          name: "name",
          autocomplete: "off",
          spellcheck: "false",
          pattern: "[A-Za-z0-9._\\-]{1,128}",
          placeholder: "one that nobody can guess",
        }),
        "Letters, digits, . _ and -",
      ),
    ],
    button: "Begin",
    act: ({ title, people, name }) =>
      send("POST", "/conversations", {
        participants: names(people),
        ...(title && { title }),
        ...(name && { name }),
      }),
  });
  if (created) location.hash = hrefOf(created.name);
}

/** Adds people to a conversation. */
export function addPeople(conversation) {
  return ask({
    title: "Add people",
    fields: [
      field(
        "People",
        h("input", { name: "people", required: true, autocomplete: "off", spellcheck: "false" }),
        "Their names, with spaces between",
      ),
    ],
    button: "Add",
    act: async ({ people }) => {
      for (const user of names(people)) {
        await send("PUT", `/conversations/${conversation}/participants/${encodeURIComponent(user)}`, {});
      }
    },
  });
}

/** Takes up an invitation. */
export async function join(conversation) {
  try {
    await send("POST", `/conversations/${conversation}/join`);
  } catch (error) {
    toast(error.message, "error");
  }
}

/** Leaves a conversation. */
export async function leave(conversation) {
  const left = await ask({
    title: "Leave this conversation?",
    text: "You get nothing of it any more, until somebody adds you again.",
    button: "Leave",
    danger: true,
    act: async () => {
      await request(`/conversations/${conversation}/participants/${encodeURIComponent(session.user)}`, {
        method: "DELETE",
      });
      return true;
    },
  });
  if (!left) return;
  toast("You have left.");
  location.hash = "#/chat";
}

/** Changes what a message says. */
export function editMessage({ id, text, rev, mentions }) {
  const input = h("textarea", { name: "text", rows: 4, required: true }, text);
  return ask({
    title: "Edit the message",
    fields: [field("Text", input)],
    button: "Save",
    act: ({ text }) => connection.request({ type: "edit", message: id, text, rev, mentions }),
  });
}

/** Deletes a message. */
export function deleteMessage({ id, text }) {
  return ask({
    title: "Delete this message?",
    text: text.length > 200 ? `${text.slice(0, 200)}…` : text,
    button: "Delete",
    danger: true,
    act: () => connection.request({ type: "delete", message: id }),
  });
}

/** Reacts to a message. */
export function reactWith({ id }) {
  const input = h("input", { name: "reaction", required: true, autocomplete: "off", maxlength: 32 });
  const pick = (reaction) => {
    input.value = reaction;
    input.form.requestSubmit();
  };
  const buttons = REACTIONS.map((reaction) =>
    h("button", { type: "button", class: "quiet pick", onclick: () => pick(reaction) }, reaction),
  );
  return ask({
    title: "React",
    fields: [h("div", { class: "row" }, buttons), field("Or any other", input)],
    button: "React",
    act: ({ reaction }) => connection.request({ type: "react", message: id, reaction }),
  });
}
