// The messages of a conversation, or of one thread in it, and what is on its way there. An element for each
// message, made once and changed with it.

import { h } from "../dom.js";
import { day } from "../format.js";
import { MessageElement, PendingElement } from "./message.js";

/** So many are on the page at first, and so many more each time. */
const STEP = 150;
const NEAR_PX = 60;

export class Timeline {
  #chat;
  #thread;
  #reply;
  #announce;
  #elements = new Map();
  #pending = new Map();
  #shown = STEP;
  #stays = true;
  #announced;
  #dirty = new Set();
  #frame;
  #conversation;
  #log;
  #note = h("p", { class: "muted pad center" });
  #earlier = h(
    "button",
    { type: "button", class: "quiet earlier", hidden: true, onclick: () => this.#showEarlier() },
    "Show earlier messages",
  );
  #waiting = h("div", { class: "pending" });
  #items = h("div", { class: "items" });
  /** Called when the end comes into view. */
  onEnd = () => {};

  constructor({ chat, signal, thread, reply, announce }) {
    Object.assign(this, { signal });
    this.#chat = chat;
    this.#thread = thread;
    this.#reply = reply;
    this.#announce = announce;
    this.#log = h(
      "div",
      { class: "timeline", role: "log", "aria-live": "off", "aria-label": thread ? "Replies" : "Messages" },
      this.#note,
      this.#earlier,
      this.#items,
      this.#waiting,
    );
    this.#log.addEventListener("scroll", () => this.#scrolled());
    this.#log.addEventListener("keydown", (event) => this.#move(event));
    this.element = this.#log;
    signal.addEventListener("abort", () => cancelAnimationFrame(this.#frame));
  }

  /** Whether the last message is in view. */
  get isAtEnd() {
    return this.#stays;
  }

  /** Says why there is nothing. */
  empty(text) {
    this.#note.textContent = text;
  }

  /** Shows a conversation; `positions` are those that look different, all without them. Once a frame. */
  render(conversation, positions) {
    this.#conversation = conversation;
    if (!positions) this.#dirty = undefined;
    else if (this.#dirty) for (const position of positions) this.#dirty.add(position);
    if (this.#frame) return;
    const paint = () => {
      this.#frame = undefined;
      if (!this.signal.aborted) this.#paint();
    };
    this.#frame = document.hidden ? setTimeout(paint, 50) : requestAnimationFrame(paint);
  }

  #messages() {
    if (!this.#thread) return [...this.#conversation.mainLine()];
    const first = this.#conversation.byId(this.#thread);
    return [...(first ? [first] : []), ...this.#conversation.replies(this.#thread)];
  }

  #paint() {
    const conversation = this.#conversation;
    const all = this.#messages();
    const shown = all.slice(-this.#shown);
    this.#earlier.hidden = all.length <= shown.length;
    this.#note.textContent = !conversation.caughtUp
      ? "Loading…"
      : all.length === 0
        ? "No messages yet. Say something."
        : "";
    const dirty = this.#dirty;
    this.#dirty = new Set();

    const wanted = new Set(shown.map(({ position }) => position));
    for (const [position, element] of this.#elements) {
      if (wanted.has(position)) continue;
      element.remove();
      this.#elements.delete(position);
    }
    let before;
    shown.forEach((message) => {
      let element = this.#elements.get(message.position);
      const isNew = !element;
      if (isNew) {
        element = new MessageElement({
          chat: this.#chat,
          conversation,
          message,
          reply: this.#reply,
          inThread: this.#thread !== undefined,
        });
        this.#elements.set(message.position, element);
        const next = before ? before.element.nextSibling : this.#items.firstChild;
        this.#items.insertBefore(element.element, next);
      }
      if (isNew || !dirty || dirty.has(message.position))
        element.show(message, this.#around(before?.message, message));
      before = element;
    });
    this.#showPending(conversation);
    this.#oneTabStop();
    if (this.#stays) this.#log.scrollTop = this.#log.scrollHeight;
    this.#tell(all.at(-1));
  }

  /** What a message looks like because of the one before it. */
  #around(before, { source, created, deleted }) {
    const newDay = before === undefined || day(before.created) !== day(created);
    const goesOn =
      !newDay &&
      before.source === source &&
      created - before.created < 300_000 &&
      !before.deleted &&
      !deleted;
    return { newDay, goesOn };
  }

  #showPending({ name }) {
    const mine = this.#chat.outbox.to(name).filter(({ thread }) => thread === this.#thread);
    for (const [txn, element] of this.#pending) {
      if (mine.some((entry) => entry.txn === txn)) continue;
      element.element.remove();
      this.#pending.delete(txn);
    }
    for (const entry of mine) {
      let element = this.#pending.get(entry.txn);
      if (!element) {
        element = new PendingElement(this.#chat, entry);
        this.#pending.set(entry.txn, element);
        this.#waiting.append(element.element);
        this.#stays = true;
      }
      element.show(entry);
    }
  }

  /** A message that is complete is read out, once; nothing of what was there before. */
  #tell(last) {
    if (!this.#conversation.caughtUp) return;
    if (this.#announced === undefined) {
      this.#announced = last ? last.position - (last.streaming ? 1 : 0) : 0;
      return;
    }
    if (!last || last.streaming || last.position <= this.#announced) return;
    this.#announced = last.position;
    if (last.source !== this.#chat.user && !last.deleted) this.#announce(`${last.source}: ${last.text}`);
  }

  #showEarlier() {
    const height = this.#log.scrollHeight;
    this.#shown += STEP;
    this.#dirty = undefined;
    this.#paint();
    this.#log.scrollTop += this.#log.scrollHeight - height;
  }

  #scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.#log;
    this.#stays = scrollHeight - scrollTop - clientHeight < NEAR_PX;
    if (this.#stays) this.onEnd();
  }

  /** All messages are one stop of the tab key; arrows go from one to the next. */
  #oneTabStop() {
    const articles = [...this.#items.children];
    if (articles.some(({ tabIndex }) => tabIndex === 0)) return;
    const last = articles.at(-1);
    if (last) last.tabIndex = 0;
  }

  #move(event) {
    const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    const article = event.target.closest?.("article");
    if (!step || event.target !== article) return;
    const articles = [...this.#items.children];
    const next = articles[articles.indexOf(article) + step];
    if (!next) return;
    event.preventDefault();
    article.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  }
}
