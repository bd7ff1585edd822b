// All conversations of whoever is signed in, kept up to date over the socket, whichever page is shown.

import { get } from "../api.js";
import { session } from "../session.js";
import { connection } from "../socket.js";
import { Conversation } from "./conversation.js";
import { Outbox } from "./outbox.js";

const COUNT_MS = 150;
const TYPING_EVERY_MS = 3000;

class Store {
  user = session.user;
  /** By name; undefined until the server has told of them. */
  conversations;
  /** What is known of people: `{online, last_seen}`. */
  presence = new Map();
  /** Why there is no chat, if there is none. */
  problem;
  outbox = new Outbox((name) => this.#changed(name));
  #listeners = new Set();
  #ends = [];
  #watched = [];
  #counting;
  #typed = 0;

  constructor() {
    const frames = {
      hello: () => this.#follow(),
      subscribed: (frame) => this.#at(frame),
      unsubscribed: ({ sub }) => this.#reopen(sub),
      data: (frame) => this.#take(frame),
      caught_up: (frame) => this.#at(frame, { caughtUp: true }),
      error: (frame) => this.#fault(frame),
      conversation: ({ conversation }) => this.#came(conversation),
      typing: (frame) => this.#typing(frame),
      receipts: (frame) => this.#receipts(frame),
      presence: ({ user, online, last_seen }) => {
        this.presence.set(user, { online, last_seen });
        this.#changed();
      },
    };
    for (const [type, take] of Object.entries(frames)) this.#ends.push(connection.on(type, take));
    if (connection.state === "open") this.#follow();
  }

  /** Calls `listener(name, positions)` when a conversation, or all of it (no name), looks different. */
  onChange(listener, signal) {
    this.#listeners.add(listener);
    signal.addEventListener("abort", () => this.#listeners.delete(listener));
  }

  end() {
    for (const end of this.#ends) end();
    clearTimeout(this.#counting);
  }

  /** Reads a conversation from its beginning, unless it is here. */
  open(name) {
    const conversation = this.conversations?.get(name);
    if (!conversation || conversation.whole || conversation.opening || conversation.state !== "member")
      return;
    // It is followed from now on; instead it is to come from its beginning.
    conversation.opening = true;
    connection.tell({ type: "unsubscribe", sub: name });
  }

  /** Says that everything in a conversation has been read. */
  read({ name, position, unread, mentions }) {
    if (unread === 0 && mentions === 0) return;
    const done = connection.request({ type: "read", conversation: name, position });
    // When the connection breaks, what is unread is asked for again with the next one.
    done.then(() => this.#count()).catch(() => {});
  }

  /** Says that the user types, or has stopped. */
  type(conversation, on) {
    const now = Date.now();
    if (on && now - this.#typed < TYPING_EVERY_MS) return;
    if (!on && this.#typed === 0) return;
    this.#typed = on ? now : 0;
    connection.tell({ type: "typing", conversation, on });
  }

  /** Wants to know who of these is there. */
  watch(users) {
    const wanted = users.filter((user) => user !== this.user);
    if (wanted.join("\n") === this.#watched.join("\n")) return;
    this.#watched = wanted;
    connection.tell({ type: "presence", watch: wanted });
  }

  #follow() {
    const all = [...(this.conversations?.values() ?? [])].filter(({ ended }) => !ended);
    const from = Object.fromEntries(
      all.filter(({ offset }) => offset).map(({ name, offset }) => [name, offset]),
    );
    connection
      .request({ type: "follow", from, default: "now" })
      .then(({ conversations }) => this.#following(conversations))
      .catch((error) => {
        if (error.code === "unreachable") return;
        this.problem = error;
        this.#changed();
      });
    if (this.#watched.length > 0) connection.tell({ type: "presence", watch: this.#watched });
  }

  #following(views) {
    this.problem = undefined;
    const before = this.conversations ?? new Map();
    this.conversations = new Map();
    for (const view of views) {
      const known = before.get(view.name);
      known?.tell(view);
      if (known) known.opening = false;
      this.conversations.set(view.name, known ?? new Conversation(view));
    }
    for (const conversation of this.conversations.values()) this.#acquaint(conversation);
    this.#count();
    this.#invitations();
    this.#changed();
  }

  /** Those that the user may come into are not followed, and asked for. */
  async #invitations() {
    try {
      for (const view of await get("/conversations?state=invited")) this.#came(view);
    } catch {
      // New ones come by themselves.
    }
  }

  /** A direct conversation is called after the other one in it. */
  async #acquaint({ name, kind, participants }) {
    if (kind !== "direct" || participants.size > 0) return;
    try {
      for (const { participant, role } of await get(`/conversations/${name}/participants`))
        participants.set(participant, role);
      this.#changed();
    } catch {
      // It has a name all the same.
    }
  }

  /** One that the user has come into, or is invited to. If followed, it comes from its beginning. */
  #came(view) {
    if (!this.conversations) return;
    const known = this.conversations.get(view.name);
    const conversation = known ?? new Conversation(view);
    conversation.tell(view);
    if (view.state === "member" && !conversation.whole) conversation.begin();
    if (conversation.ended) conversation.begin();
    // The newest is the first, as the server lists them.
    if (!known) this.conversations = new Map([[view.name, conversation], ...this.conversations]);
    this.#acquaint(conversation);
    this.#count();
    this.#changed();
  }

  #reopen(name) {
    const conversation = this.conversations?.get(name);
    if (!conversation?.opening) return;
    conversation.opening = false;
    conversation.begin();
    connection.tell({ type: "subscribe", sub: name, conversation: name, offset: "-1" });
  }

  #at({ sub, offset }, more) {
    const conversation = this.conversations?.get(sub);
    if (!conversation || conversation.opening) return;
    if (offset) conversation.offset = offset;
    Object.assign(conversation, more);
    this.#changed(sub);
  }

  #take({ sub, offset, messages }) {
    const conversation = this.conversations?.get(sub);
    if (!conversation || conversation.opening) return;
    conversation.offset = offset;
    if (messages.some(({ type }) => ["message", "delete", "trim"].includes(type))) this.#count();
    if (!conversation.whole) return;
    const positions = new Set();
    for (const event of messages) {
      for (const position of conversation.apply(event)) positions.add(position);
      if (event.txn && event.source === this.user) this.outbox.drop(sub, event.txn);
      if (event.type === "message") this.#stops(conversation, event.source);
    }
    this.#changed(sub, positions);
  }

  #fault({ sub, code, offset }) {
    const conversation = this.conversations?.get(sub);
    if (!conversation) return;
    if (code === "access_ended") {
      conversation.ended = true;
      conversation.whole = false;
      this.conversations.delete(sub);
    } else if (code === "trimmed") {
      connection.tell({ type: "subscribe", sub, conversation: sub, offset });
    }
    this.#changed(sub);
  }

  #typing({ conversation: name, user, on, for_ms: ms }) {
    const conversation = this.conversations?.get(name);
    if (!conversation || user === this.user) return;
    clearTimeout(conversation.typing.get(user));
    conversation.typing.delete(user);
    if (on)
      conversation.typing.set(
        user,
        setTimeout(() => this.#stops(conversation, user), ms),
      );
    this.#changed(name);
  }

  #stops(conversation, user) {
    clearTimeout(conversation.typing.get(user));
    if (conversation.typing.delete(user)) this.#changed(conversation.name);
  }

  #receipts({ conversation: name, receipts }) {
    const conversation = this.conversations?.get(name);
    for (const { participant, read } of receipts) conversation?.receipts.set(participant, read);
    this.#changed(name);
  }

  /** Asks the server how much is unread: it knows what counts. */
  #count() {
    this.#counting ??= setTimeout(async () => {
      this.#counting = undefined;
      try {
        for (const { conversation: name, ...counts } of await get("/unread")) {
          const conversation = this.conversations?.get(name);
          if (conversation) Object.assign(conversation, { unread: counts.unread, mentions: counts.mentions });
        }
        this.#changed();
      } catch {
        // The next one will tell.
      }
    }, COUNT_MS);
  }

  #changed(name, positions) {
    for (const listener of this.#listeners) listener(name, positions);
  }
}

let current;

/** The conversations of whoever is signed in now. */
export function store() {
  current ??= new Store();
  connection.open();
  return current;
}

// Whoever has signed out asks for nothing more. With a new token for the same user it goes on.
session.onChange(() => {
  if (!current || current.user === session.user) return;
  current.end();
  current = undefined;
});
