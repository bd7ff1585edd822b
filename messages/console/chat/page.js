// The chat: conversations on the left, one of them in the middle, a thread on the right. Which of them
// is in the URL: `#/chat/NAME?thread=POSITION`.

import { h } from "../dom.js";
import { session } from "../session.js";
import { ConversationList } from "./list.js";
import { Room } from "./room.js";
import { store } from "./store.js";

export function open({ main, name, query, signal }) {
  if (!session.user) {
    main.append(h("h1", { tabindex: "-1" }, "Chat"), signedOut());
    return "Chat";
  }
  const chat = store();
  const menu = new ConversationList(chat, name);
  const room = name === "" ? undefined : new Room(chat, name, Number(query.get("thread")), signal);
  main.append(
    h(
      "div",
      { class: `chat ${room ? "in-room" : ""} ${room?.hasThread ? "in-thread" : ""}` },
      menu.element,
      room?.elements() ?? nothingChosen(),
    ),
  );

  const render = (changed, positions) => {
    // Tokens of a message that grows change nothing around it.
    if (!positions) menu.render();
    room?.render(changed === undefined || changed === name ? positions : new Set());
  };
  chat.onChange(render, signal);
  const onLook = () => document.hidden || room?.looked();
  document.addEventListener("visibilitychange", onLook, { signal });
  render();
  return name || "Chat";
}

const signedOut = () =>
  h(
    "div",
    { class: "empty" },
    h("h2", {}, "Who are you?"),
    h("p", {}, "Chat is between people: sign in with a token to see your conversations."),
    h(
      "button",
      { type: "button", class: "primary", onclick: () => document.getElementById("account").click() },
      "Sign in",
    ),
  );

const nothingChosen = () =>
  h(
    "section",
    { class: "room card nothing", "aria-label": "No conversation" },
    h("p", { class: "muted" }, "Choose a conversation."),
  );
