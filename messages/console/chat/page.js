// The chat: conversations on the left, one of them in the middle, a thread on the right. Which of them
// is in the URL: `#/chat/NAME?thread=POSITION`.

import { h, say } from "../dom.js";
import { list } from "../format.js";
import { session } from "../session.js";
import { composer } from "./composer.js";
import { hrefOf } from "./conversation.js";
import { addPeople, join, leave, newConversation } from "./dialogs.js";
import { store } from "./store.js";
import { Timeline } from "./timeline.js";


export function open({ main, name, query, signal }) {
  if (!session.user) {
    main.append(h("h1", { tabindex: "-1" }, "Chat"), signedOut());
    return "Chat";
  }
  const chat = store();
  const menu = new List(chat, name);
  const room = name === "" ? undefined : new Room(chat, name, Number(query.get("thread")), signal);
  main.append(h("div", { class: `chat ${room ? "in-room" : ""} ${room?.hasThread ? "in-thread" : ""}` }, menu.element, room?.elements() ?? nothingChosen()));

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
    h("button", { type: "button", class: "primary", onclick: () => document.getElementById("account").click() }, "Sign in"),
  );

const nothingChosen = () => h("section", { class: "room card nothing", "aria-label": "No conversation" }, h("p", { class: "muted" }, "Choose a conversation."));

/** The conversations, those with something new first. */
class List {
  #chat;
  #current;
  #rows = new Map();
  #items = h("ul", { class: "conversations" });
  #note = h("p", { class: "muted pad", role: "status" }, "Loading…");

  constructor(chat, current) {
    this.#chat = chat;
    this.#current = current;
    this.element = h(
      "nav",
      { class: "list card", "aria-label": "Conversations" },
      h(
        "div",
        { class: "row between bar" },
        current ? h("h2", {}, "Chat") : h("h1", { tabindex: "-1" }, "Chat"),
        h("button", { type: "button", class: "quiet", onclick: () => newConversation() }, "New"),
      ),
      this.#note,
      this.#items,
    );
  }

  render() {
    const { conversations, problem, user } = this.#chat;
    const all = [...(conversations?.values() ?? [])];
    say(this.#note, problem ? problem.message : !conversations ? "Loading…" : all.length === 0 ? "No conversations yet." : "");
    this.#note.hidden = this.#note.textContent === "";
    for (const [name, row] of this.#rows) {
      if (conversations?.has(name)) continue;
      row.remove();
      this.#rows.delete(name);
    }
    for (const conversation of all) {
      let row = this.#rows.get(conversation.name);
      if (!row) {
        row = this.#row(conversation.name);
        this.#rows.set(conversation.name, row);
        this.#items.append(row);
      }
      this.#show(row, conversation, user);
    }
  }

  #row(name) {
    const current = name === this.#current ? "page" : undefined;
    const link = h("a", { href: hrefOf(name), "aria-current": current }, h("span", { class: "what" }), h("span", { class: "mentions badge" }), h("span", { class: "unread" }));
    return h("li", { "data-name": name }, link);
  }

  #show(row, conversation, user) {
    const [what, mentions, unread] = row.firstChild.children;
    say(what, conversation.titleFor(user) + (conversation.state === "invited" ? " (invited)" : ""));
    say(mentions, conversation.mentions > 0 ? `@${conversation.mentions}` : "");
    say(unread, conversation.unread > 0 ? String(conversation.unread) : "");
    mentions.hidden = conversation.mentions === 0;
    unread.hidden = conversation.unread === 0;
    mentions.setAttribute("aria-label", `${conversation.mentions} mentions`);
    unread.setAttribute("aria-label", `${conversation.unread} unread`);
    row.classList.toggle("new", conversation.unread > 0);
  }
}

/** One conversation, and the thread that is looked at. */
class Room {
  #chat;
  #name;
  #thread;
  #main;
  #side;
  #heading;
  #people = h("div", { class: "people" });
  #typing = h("p", { class: "typing muted", role: "status" });
  #announce = h("p", { class: "hidden", "aria-live": "polite" });
  #invitation = h("div", { class: "row center pad", hidden: true });
  #composer;
  #sideComposer;

  constructor(chat, name, thread, signal) {
    this.#chat = chat;
    this.#name = name;
    // Whoever opens a thread came for that.
    this.#heading = thread ? h("h2") : h("h1", { tabindex: "-1" });
    this.#composer = composer(chat, name);
    this.#invitation.append(
      h("button", { type: "button", class: "primary", onclick: () => join(name) }, "Join"),
      h("button", { type: "button", class: "quiet", onclick: () => leave(name) }, "Decline"),
    );
    this.#main = new Timeline({ chat, name, signal, reply: this.#composer.reply, announce: (text) => say(this.#announce, text) });
    if (thread) {
      this.#thread = `${name}:${thread}`;
      this.#sideComposer = composer(chat, name, this.#thread);
      this.#side = new Timeline({ chat, name, signal, thread: this.#thread, reply: this.#sideComposer.reply, announce: () => {} });
    }
    this.#main.onEnd = () => this.looked();
  }

  get hasThread() {
    return this.#thread !== undefined;
  }

  elements() {
    const name = this.#name;
    const room = h(
      "section",
      { class: "room card", "aria-label": "Conversation" },
      h(
        "div",
        { class: "row between bar" },
        h("div", { class: "title" }, h("a", { class: "back", href: "#/chat" }, "‹ Chat"), this.#heading, this.#people),
        h(
          "div",
          { class: "row" },
          h("button", { type: "button", class: "quiet", onclick: () => addPeople(name) }, "Add"),
          h("button", { type: "button", class: "quiet", onclick: () => leave(name) }, "Leave"),
        ),
      ),
      this.#main.element,
      this.#typing,
      this.#announce,
      this.#invitation,
      this.#composer.element,
    );
    if (!this.#side) return [room];
    const side = h(
      "section",
      { class: "thread card", "aria-label": "Thread" },
      h("div", { class: "row between bar" }, h("h1", { tabindex: "-1" }, "Thread"), h("a", { class: "back-thread", href: hrefOf(name) }, "Close")),
      this.#side.element,
      this.#sideComposer.element,
    );
    return [room, side];
  }

  render(positions) {
    const { conversations, user } = this.#chat;
    const conversation = conversations?.get(this.#name);
    if (!conversation) {
      say(this.#heading, this.#name);
      this.#main.empty(conversations ? "You do not take part in a conversation of this name." : "Loading…");
      return;
    }
    const isInvited = conversation.state === "invited";
    this.#invitation.hidden = !isInvited;
    this.#composer.element.hidden = isInvited;
    say(this.#heading, conversation.titleFor(user));
    if (isInvited) {
      this.#main.empty("You are invited to this conversation.");
      return;
    }
    this.#chat.open(this.#name);
    this.#chat.watch([...conversation.participants.keys()].slice(0, 64));
    this.#showPeople(conversation);
    this.#main.render(conversation, positions);
    this.#side?.render(conversation, positions);
    const typing = [...conversation.typing.keys()];
    say(this.#typing, typing.length === 0 ? "" : `${list(typing)} ${typing.length === 1 ? "is" : "are"} typing…`);
    this.looked();
  }

  /** What is at the end was seen, if the page is looked at. */
  looked() {
    const conversation = this.#chat.conversations?.get(this.#name);
    if (document.hidden || !conversation?.caughtUp || !this.#main.isAtEnd) return;
    this.#chat.read(conversation);
  }

  #showPeople({ participants }) {
    const rows = [...participants.keys()].slice(0, 12).map((user) => {
      const isHere = user === this.#chat.user || this.#chat.presence.get(user)?.online === true;
      return [user, isHere];
    });
    const key = JSON.stringify(rows);
    if (this.#people.dataset.key === key) return;
    this.#people.dataset.key = key;
    const rest = participants.size - rows.length;
    this.#people.replaceChildren(
      ...rows.map(([user, isHere]) => h("span", { class: `person ${isHere ? "here" : ""}`, title: isHere ? "is here" : "is away" }, user, h("span", { class: "hidden" }, isHere ? " is here" : " is away"))),
      ...(rest > 0 ? [h("span", { class: "person" }, `and ${rest} more`)] : []),
    );
  }
}
