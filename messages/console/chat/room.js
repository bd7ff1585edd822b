// One conversation, and the thread that is looked at.

import { h, say } from "../dom.js";
import { list } from "../format.js";
import { composer } from "./composer.js";
import { hrefOf } from "./conversation.js";
import { addPeople, join, leave } from "./dialogs.js";
import { Timeline } from "./timeline.js";

export class Room {
  #chat;
  #name;
  #thread;
  #main;
  #side;
  #heading;
  #people = h("div", { class: "people" });
  #typing = h("p", { class: "typing muted", role: "status" });
  #seen = h("p", { class: "seen muted" });
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
    this.#main = new Timeline({
      chat,
      name,
      signal,
      reply: this.#composer.reply,
      announce: (text) => say(this.#announce, text),
    });
    if (thread) {
      this.#thread = `${name}:${thread}`;
      this.#sideComposer = composer(chat, name, this.#thread);
      this.#side = new Timeline({
        chat,
        name,
        signal,
        thread: this.#thread,
        reply: this.#sideComposer.reply,
        announce: () => {},
      });
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
        h(
          "div",
          { class: "title" },
          h("a", { class: "back", href: "#/chat" }, "‹ Chat"),
          this.#heading,
          this.#people,
        ),
        h(
          "div",
          { class: "row" },
          h("button", { type: "button", class: "quiet", onclick: () => addPeople(name) }, "Add"),
          h("button", { type: "button", class: "quiet", onclick: () => leave(name) }, "Leave"),
        ),
      ),
      this.#main.element,
      h("div", { class: "below" }, this.#typing, this.#seen),
      this.#announce,
      this.#invitation,
      this.#composer.element,
    );
    if (!this.#side) return [room];
    const side = h(
      "section",
      { class: "thread card", "aria-label": "Thread" },
      h(
        "div",
        { class: "row between bar" },
        h("h1", { tabindex: "-1" }, "Thread"),
        h("a", { class: "back-thread", href: hrefOf(name) }, "Close"),
      ),
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
    say(
      this.#typing,
      typing.length === 0 ? "" : `${list(typing)} ${typing.length === 1 ? "is" : "are"} typing…`,
    );
    say(this.#seen, this.#seenBy(conversation));
    this.looked();
  }

  /** What is at the end was seen, if the page is looked at. */
  looked() {
    const conversation = this.#chat.conversations?.get(this.#name);
    if (document.hidden || !conversation?.caughtUp || !this.#main.isAtEnd) return;
    this.#chat.read(conversation);
  }

  /** Who else has read the last message of the user, if nothing has been said since. */
  #seenBy({ messages, receipts }) {
    const last = [...messages.values()].findLast(({ thread }) => !thread);
    if (last?.source !== this.#chat.user || last.deleted) return "";
    const users = [...receipts].filter(([user, read]) => user !== this.#chat.user && read >= last.position);
    return users.length === 0 ? "" : `Seen by ${list(users.map(([user]) => user))}`;
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
      ...rows.map(([user, isHere]) =>
        h(
          "span",
          { class: `person ${isHere ? "here" : ""}`, title: isHere ? "is here" : "is away" },
          user,
          h("span", { class: "hidden" }, isHere ? " is here" : " is away"),
        ),
      ),
      ...(rest > 0 ? [h("span", { class: "person" }, `and ${rest} more`)] : []),
    );
  }
}
