// Messages on their way. Each has a name of its own (`txn`), kept by this tab until the server has it, so
// that it is sent again after a break or a reload, and is there once.

import { session } from "../session.js";
import { connection } from "../socket.js";

const KEY = "messages.outbox";

export class Outbox {
  #messages = [];
  #onChange;

  constructor(onChange) {
    this.#onChange = onChange;
    try {
      const kept = JSON.parse(sessionStorage.getItem(KEY)) ?? [];
      this.#messages = kept.filter(({ user }) => user === session.user);
    } catch {
      // Whatever that was, it was not ours.
    }
    for (const message of this.#messages) if (!message.failed) this.#go(message);
  }

  /** Sends a message: `conversation`, `text`, and `reply_to`, `thread`, `mentions` if any. */
  send(message) {
    const entry = { ...message, txn: crypto.randomUUID(), user: session.user, created: Date.now() };
    this.#messages.push(entry);
    this.#go(entry);
    this.#keep(entry);
  }

  /** What is on its way to a conversation. */
  to(conversation) {
    return this.#messages.filter((message) => message.conversation === conversation);
  }

  /** Sends one again that was refused. */
  again(entry) {
    delete entry.failed;
    this.#go(entry);
    this.#keep(entry);
  }

  /** One is there, or nobody wants to send it any more. */
  drop(conversation, txn) {
    const rest = this.#messages.filter((entry) => entry.conversation !== conversation || entry.txn !== txn);
    if (rest.length === this.#messages.length) return;
    this.#messages = rest;
    this.#keep({ conversation });
  }

  async #go(entry) {
    // Somebody else has signed in meanwhile.
    if (entry.user !== session.user) return;
    const { conversation, txn, text, reply_to, thread, mentions } = entry;
    try {
      await connection.request(
        { type: "send", conversation, txn, text, reply_to, thread, mentions },
        { again: true },
      );
      this.drop(conversation, txn);
    } catch (error) {
      const secs = error.more?.retry_after_secs;
      if (secs) {
        setTimeout(() => this.#messages.includes(entry) && this.#go(entry), secs * 1000);
        return;
      }
      entry.failed = error.message;
      this.#keep(entry);
    }
  }

  #keep({ conversation }) {
    sessionStorage.setItem(KEY, JSON.stringify(this.#messages));
    this.#onChange(conversation);
  }
}
