// A conversation, as it is after its events (docs/chat.md, Events). Nothing but arithmetic: whoever has
// the same events has the same conversation.

/** Where the page of a conversation is, and of a thread in it. */
export const hrefOf = (name, thread) =>
  `#/chat/${encodeURIComponent(name)}${thread ? `?thread=${thread}` : ""}`;

export class Conversation {
  /** Its events come from the first on, so that it can be shown. */
  whole = false;
  /** Everything there was when it was opened is here. */
  caughtUp = false;
  /** Behind the last event, to go on from. */
  offset = undefined;
  /** The user has been shown out. */
  ended = false;
  /** By position. */
  messages = new Map();
  participants = new Map();
  /** How far everybody has read. */
  receipts = new Map();
  /** Who types, and the timers after which they do not. */
  typing = new Map();
  #last = 0;

  constructor(view) {
    this.tell(view);
  }

  /** Takes what the server says of it. */
  tell({ name, title, kind, role, state, unread, mentions, position }) {
    Object.assign(this, { name, title, kind, role, state, unread, mentions, position });
  }

  /** Forgets everything, because it comes again from the beginning. */
  begin() {
    this.messages.clear();
    this.participants.clear();
    this.#last = 0;
    this.offset = "-1";
    this.whole = true;
    this.caughtUp = false;
    this.ended = false;
  }

  /** What people call it; `user` is who looks. */
  titleFor(user) {
    if (this.title) return this.title;
    if (this.kind !== "direct") return this.name;
    const other = [...this.participants.keys()].find((one) => one !== user);
    return other ?? this.name;
  }

  /** The messages that are in no thread, in order. */
  *mainLine() {
    for (const message of this.messages.values()) if (!message.thread) yield message;
  }

  /** The replies in the thread of a message, in order. */
  *replies(id) {
    for (const message of this.messages.values()) if (message.thread === id) yield message;
  }

  /** The message with an id, as replies and threads name it. */
  byId(id) {
    return this.messages.get(Number(id.slice(id.lastIndexOf(":") + 1)));
  }

  /** Takes an event; gives back the positions of the messages that look different now. */
  apply(event) {
    if (event.position <= this.#last) return [];
    this.#last = event.position;
    this.position = event.position;
    const message = this.messages.get(event.target);
    const known = message ? [event.target] : [];
    switch (event.type) {
      case "conversation":
        this.title = event.title;
        for (const { user, role } of event.participants) this.participants.set(user, role);
        return [];
      case "settings":
        this.title = event.title;
        return [];
      case "message":
        return this.#add(event);
      case "part":
        if (message) message.text += event.text;
        return known;
      case "finish":
        if (message) Object.assign(message, { streaming: false, interrupted: event.interrupted });
        return known;
      case "edit":
        if (message && !message.deleted) {
          const { text = "", rev, mentions, created } = event;
          Object.assign(message, { text, rev, mentions, edited: created });
        }
        return known;
      case "delete":
        if (message) Object.assign(message, { text: "", deleted: event.created, streaming: false });
        message?.reactions.clear();
        return known;
      case "react":
        if (message) this.#react(message, event);
        return known;
      case "unreact":
        message?.reactions.get(event.reaction)?.delete(event.source);
        return known;
      case "pin":
      case "unpin":
        if (message) message.pinned = event.type === "pin";
        return known;
      case "join":
      case "role":
        this.participants.set(event.user, event.role);
        return [];
      case "leave":
      case "ban":
        this.participants.delete(event.user);
        return [];
      case "trim":
        for (const position of [...this.messages.keys()])
          if (position <= event.low) this.messages.delete(position);
        return [];
      default:
        // There will be more.
        return [];
    }
  }

  #add(event) {
    const { position, text = "", thread } = event;
    this.messages.set(position, { ...event, text, reactions: new Map() });
    const first = thread && this.byId(thread);
    if (!first) return [position];
    first.replies = (first.replies ?? 0) + 1;
    return [position, first.position];
  }

  #react(message, { reaction, replaces, source }) {
    if (replaces) message.reactions.get(replaces)?.delete(source);
    const users = message.reactions.get(reaction) ?? new Set();
    message.reactions.set(reaction, users.add(source));
  }
}
