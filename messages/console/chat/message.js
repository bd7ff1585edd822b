// One message on the page, and one that is on its way.

import { h, say, toast } from "../dom.js";
import { count, day, time } from "../format.js";
import { connection } from "../socket.js";
import { deleteMessage, editMessage, reactWith } from "./dialogs.js";
import { hrefOf } from "./conversation.js";

const act = async (frame) => {
  try {
    await connection.request(frame);
  } catch (error) {
    toast(error.message, "error");
  }
};

/** A text with what begins with @ and names somebody shown as such. */
function withMentions(text, mentions = []) {
  if (mentions.length === 0) return [text];
  return text.split(/(@[^\s@]+)/u).map((part) => {
    const name = part.slice(1);
    const isOne = part.startsWith("@") && (mentions.includes(name) || mentions.includes(part));
    return isOne ? h("span", { class: "mention" }, part) : part;
  });
}

/** Whose colour a name has: one of eight. */
const hue = (name) => [...name].reduce((sum, letter) => (sum * 31 + letter.codePointAt(0)) % 8, 0);

const initials = (name) =>
  h("span", { class: "avatar", "data-hue": hue(name), "aria-hidden": "true" }, [...name][0]?.toUpperCase());

export class MessageElement {
  #chat;
  #conversation;
  #reply;
  #inThread;
  #day = h("div", { class: "day" }, h("span"));
  #quote = h("p", { class: "quote", hidden: true });
  #head = h("div", { class: "head" });
  #text = h("div", { class: "body" });
  #marks = h("span", { class: "marks muted" });
  #reactions = h("div", { class: "reactions", role: "group", "aria-label": "Reactions" });
  #thread = h("a", { class: "replies", hidden: true });
  #actions = h("div", { class: "actions", role: "group", "aria-label": "Actions" });

  constructor({ chat, conversation, message, reply, inThread }) {
    this.#chat = chat;
    this.#conversation = conversation;
    this.#reply = reply;
    this.#inThread = inThread;
    const { source, created } = message;
    this.#head.append(
      h("span", { class: "author" }, source),
      " ",
      h("time", { datetime: new Date(created).toISOString(), class: "muted" }, time(created)),
    );
    this.element = h(
      "article",
      { class: "message", tabindex: "-1", "data-position": message.position },
      this.#day,
      initials(source),
      h(
        "div",
        { class: "column" },
        this.#head,
        this.#quote,
        this.#text,
        this.#marks,
        this.#reactions,
        this.#thread,
      ),
      this.#actions,
    );
    this.#day.firstChild.textContent = day(created);
  }

  remove() {
    this.element.remove();
  }

  /** Shows the message as it is now. */
  show(message, { newDay, goesOn }) {
    this.message = message;
    const { source, text, deleted, streaming, interrupted, mentions = [], edited, pinned } = message;
    const isMine = source === this.#chat.user;
    const names = mentions.includes(this.#chat.user) || mentions.includes("@all");
    this.element.setAttribute("aria-label", `${source}, ${time(message.created)}`);
    for (const [name, on] of Object.entries({
      mine: isMine,
      "goes-on": goesOn,
      deleted,
      streaming,
      "names-me": names && !isMine,
    })) {
      this.element.classList.toggle(name, Boolean(on));
    }
    this.#day.hidden = !newDay;
    if (deleted) this.#text.textContent = "This message was deleted.";
    // Tokens are put behind what is there, which a reader may have selected.
    else if (streaming && text.startsWith(this.#text.textContent) && this.#text.childNodes.length <= 1)
      this.#grow(text);
    else this.#text.replaceChildren(...withMentions(text, mentions));
    const marks = [edited && "edited", pinned && "pinned", interrupted && "interrupted"].filter(Boolean);
    say(this.#marks, marks.join(" · "));
    this.#showQuote(message);
    this.#showReactions(message);
    this.#showThread(message);
    this.#showActions(message, isMine);
  }

  #grow(text) {
    const node = this.#text.firstChild;
    if (node) node.appendData(text.slice(node.length));
    else this.#text.textContent = text;
  }

  #showQuote({ reply_to: id }) {
    const to = id && this.#conversation.byId(id);
    this.#quote.hidden = !id;
    if (id)
      say(
        this.#quote,
        to ? `${to.source}: ${to.deleted ? "deleted" : to.text.slice(0, 120)}` : "a message that is gone",
      );
  }

  #showReactions({ id, reactions }) {
    const rows = [...reactions].filter(([, users]) => users.size > 0);
    const key = JSON.stringify(rows.map(([reaction, users]) => [reaction, [...users]]));
    if (this.#reactions.dataset.key === key) return;
    this.#reactions.dataset.key = key;
    this.#reactions.hidden = rows.length === 0;
    const chips = rows.map(([reaction, users]) => {
      const isMine = users.has(this.#chat.user);
      const toggle = () => act({ type: isMine ? "unreact" : "react", message: id, reaction });
      const text = `${reaction} ${users.size}`;
      const by = [...users].join(", ");
      return h(
        "button",
        {
          type: "button",
          class: "chip",
          "aria-pressed": String(isMine),
          "aria-label": `${text}, by ${by}`,
          title: by,
          onclick: toggle,
        },
        text,
      );
    });
    this.#reactions.replaceChildren(...chips);
  }

  #showThread({ position, replies }) {
    this.#thread.hidden = !replies || this.#inThread;
    if (!replies) return;
    this.#thread.href = hrefOf(this.#conversation.name, position);
    say(this.#thread, `${count(replies)} ${replies === 1 ? "reply" : "replies"}`);
  }

  #showActions(message, isMine) {
    const key = `${isMine}${Boolean(message.deleted)}${Boolean(message.streaming)}`;
    if (this.#actions.dataset.key === key) return;
    this.#actions.dataset.key = key;
    const button = (text, onclick) => h("button", { type: "button", onclick }, text);
    const buttons = [];
    if (!message.deleted) {
      buttons.push(button("React", () => reactWith(this.message)));
      buttons.push(button("Reply", () => this.#reply(this.message)));
      if (!this.#inThread)
        buttons.push(
          button("Thread", () => {
            location.hash = hrefOf(this.#conversation.name, message.position);
          }),
        );
      if (isMine && !message.streaming) buttons.push(button("Edit", () => editMessage(this.message)));
      if (isMine) buttons.push(button("Delete", () => deleteMessage(this.message)));
    }
    this.#actions.replaceChildren(...buttons);
  }
}

/** A message that the server does not have yet. */
export class PendingElement {
  #state = h("span", { class: "muted" });
  #buttons = h("span", { class: "row" });

  constructor(chat, entry) {
    const again = () => chat.outbox.again(entry);
    const drop = () => chat.outbox.drop(entry.conversation, entry.txn);
    this.#buttons.append(
      h("button", { type: "button", class: "quiet", onclick: again }, "Try again"),
      h("button", { type: "button", class: "quiet", onclick: drop }, "Discard"),
    );
    this.element = h(
      "article",
      { class: "message mine on-its-way", "data-txn": entry.txn },
      initials(entry.user),
      h(
        "div",
        { class: "column" },
        h("div", { class: "head" }, h("span", { class: "author" }, entry.user)),
        h("div", { class: "body" }, entry.text),
        this.#state,
        this.#buttons,
      ),
    );
  }

  show({ failed }) {
    say(this.#state, failed ? `Not sent: ${failed}` : "Sending…");
    this.element.classList.toggle("failed", Boolean(failed));
    this.#buttons.hidden = !failed;
  }
}
