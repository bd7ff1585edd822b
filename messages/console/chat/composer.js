// Where messages are written.

import { h, say } from "../dom.js";

/** What was begun and not sent, for when somebody comes back to it. */
const drafts = new Map();

/** Everybody who is named with an @ and takes part. */
function mentionsIn(text, participants) {
  const named = [...text.matchAll(/@([^\s@]+)/gu)].map(([, name]) => name.replace(/[.,;:!?)]+$/u, ""));
  return [
    ...new Set(named.flatMap((name) => (name === "all" ? ["@all"] : participants.has(name) ? [name] : []))),
  ];
}

/** The form that writes to a conversation, or to a thread of it. */
export function composer(chat, conversation, thread) {
  const draft = JSON.stringify([chat.user, conversation, thread]);
  let replyTo;
  const label = thread ? "Reply in the thread" : "Message";
  const input = h("textarea", { rows: 1, "aria-label": label, placeholder: label, enterkeyhint: "send" });
  input.value = drafts.get(draft) ?? "";
  const reply = h(
    "p",
    { class: "replying", hidden: true },
    h("span"),
    h("button", { type: "button", class: "quiet", onclick: () => answer(undefined) }, "Cancel"),
  );
  const form = h(
    "form",
    { class: "composer" },
    reply,
    h("div", { class: "row" }, input, h("button", { class: "primary" }, "Send")),
  );

  function answer(message) {
    replyTo = message;
    reply.hidden = !message;
    if (!message) return;
    say(reply.firstChild, `Reply to ${message.source}: ${message.text.slice(0, 80)}`);
    input.focus();
  }

  function grow() {
    input.style.height = "auto";
    input.style.height = `${Math.min(input.scrollHeight + 2, 180)}px`;
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const text = input.value.trim();
    if (text === "") return;
    const participants = chat.conversations?.get(conversation)?.participants ?? new Map();
    const mentions = mentionsIn(text, participants);
    chat.outbox.send({
      conversation,
      text,
      thread,
      reply_to: replyTo?.id,
      mentions: mentions.length > 0 ? mentions : undefined,
    });
    chat.type(conversation, false);
    input.value = "";
    drafts.delete(draft);
    answer(undefined);
    grow();
  });
  input.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      form.requestSubmit();
    } else if (event.key === "Escape") {
      answer(undefined);
    }
  });
  input.addEventListener("input", () => {
    grow();
    drafts.set(draft, input.value);
    chat.type(conversation, input.value !== "");
  });
  input.addEventListener("blur", () => chat.type(conversation, false));
  return { element: form, reply: answer };
}
