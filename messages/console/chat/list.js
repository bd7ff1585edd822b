// The conversations, and what is new in each.

import { h, say } from "../dom.js";
import { hrefOf } from "./conversation.js";
import { newConversation } from "./dialogs.js";

export class ConversationList {
  #chat;
  #current;
  /** The row of the one that is open, when it is to be brought into view. */
  #shown;
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
    const nothing = conversations ? "No conversations yet." : "Loading…";
    say(this.#note, problem?.message ?? nothing);
    this.#note.hidden = all.length > 0 && !problem;
    for (const [name, row] of this.#rows) {
      if (conversations?.has(name)) continue;
      row.remove();
      this.#rows.delete(name);
    }
    all.forEach((conversation, index) => {
      let row = this.#rows.get(conversation.name);
      const isNew = !row;
      if (isNew) {
        row = this.#row(conversation.name);
        this.#rows.set(conversation.name, row);
      }
      const there = this.#items.children[index];
      if (there !== row) this.#items.insertBefore(row, there ?? null);
      this.#show(row, conversation, user);
      if (isNew && conversation.name === this.#current) this.#shown = row;
    });
    this.#shown?.scrollIntoView({ block: "nearest" });
    this.#shown = undefined;
  }

  #row(name) {
    const current = name === this.#current ? "page" : undefined;
    const link = h(
      "a",
      { href: hrefOf(name), "aria-current": current },
      h("span", { class: "what" }),
      h("span", { class: "mentions badge" }),
      h("span", { class: "unread" }),
    );
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
