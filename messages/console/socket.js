// One WebSocket for the whole page: subscriptions that go on where they were after every break, and
// requests that are sent again until they are answered. See docs/websocket.md.

import { Problem } from "./api.js";
import { session } from "./session.js";

/** Codes of an end after which coming back makes no sense. */
const hopeless = (code) => [1002, 1009].includes(code) || (code >= 4400 && code < 4410 && code !== 4408);

class Connection {
  #socket;
  #wanted = false;
  #tries = 0;
  #timer;
  #alive;
  #numbers = 0;
  #subscriptions = new Map();
  #requests = new Map();
  #listeners = new Map();
  /** `idle`, `connecting`, `open`, `waiting` (to try again) or `ended`. */
  state = "idle";
  /** The server has let the last connection in, and not ended it for who it is. */
  welcome = true;

  /** Calls `listener` with every frame of a type, or on `state`. Gives back what ends that. */
  on(type, listener) {
    if (!this.#listeners.has(type)) this.#listeners.set(type, new Set());
    this.#listeners.get(type).add(listener);
    return () => this.#listeners.get(type).delete(listener);
  }

  /**
   * Follows a stream from `offset` on. `take` gets every frame of the subscription; after a break it
   * goes on behind the last one. With `window` the server waits for `ack`.
   */
  subscribe({ stream, offset, window, take }) {
    const sub = ++this.#numbers;
    const subscription = { ask: { type: "subscribe", sub, stream, window }, offset, take };
    this.#subscriptions.set(sub, subscription);
    this.#begin(subscription);
    this.open();
    return {
      ack: (upTo) => this.#send({ type: "ack", sub, offset: upTo }),
      end: () => {
        if (this.#subscriptions.delete(sub)) this.#send({ type: "unsubscribe", sub });
      },
    };
  }

  /** Sends a frame, if there is a connection. */
  tell(frame) {
    this.#send(frame);
  }

  /**
   * Sends a frame and waits for its answer. One that is `again` may be sent a second time when the
   * connection breaks in between; any other fails then.
   */
  request(frame, { again = false } = {}) {
    const id = ++this.#numbers;
    return new Promise((resolve, reject) => {
      const request = { frame: { ...frame, id }, resolve, reject, again };
      if (this.state !== "open" && !again) {
        reject(new Problem(0, { code: "unreachable", detail: "There is no connection." }));
        return;
      }
      this.#requests.set(id, request);
      this.#send(request.frame);
      this.open();
    });
  }

  /** Connects, unless it is connected. */
  open() {
    this.#wanted = true;
    if (["idle", "ended"].includes(this.state)) this.#connect();
  }

  /** Tries at once, for whoever does not want to wait. */
  hurry() {
    if (this.state === "waiting") this.#connect();
  }

  /** Ends the connection; subscriptions begin again with the next one, where they were. */
  close() {
    this.#wanted = false;
    clearTimeout(this.#timer);
    this.#socket?.close();
    this.#over(1000);
  }

  /** Ends the connection and gives up what has no answer: the next connection is somebody else's. */
  leave() {
    this.close();
    const requests = [...this.#requests.values()];
    this.#requests.clear();
    for (const { reject } of requests)
      reject(new Problem(0, { code: "unreachable", detail: "Not sent before you signed out." }));
  }

  #connect() {
    clearTimeout(this.#timer);
    const url = new URL("/ws", location.href);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    const { token } = session;
    const socket = new WebSocket(url, token ? ["messages", `bearer.${token}`] : ["messages"]);
    this.#socket = socket;
    this.#turn("connecting");
    socket.onmessage = ({ data }) => {
      if (socket === this.#socket) this.#take(data);
    };
    socket.onclose = ({ code }) => {
      if (socket === this.#socket) this.#over(code);
    };
  }

  #over(code) {
    clearTimeout(this.#alive);
    this.welcome = this.state === "open" && code !== 4401;
    this.#socket = undefined;
    for (const [id, { again, reject }] of this.#requests) {
      if (again) continue;
      this.#requests.delete(id);
      reject(new Problem(0, { code: "unreachable", detail: "The connection broke." }));
    }
    if (!this.#wanted || hopeless(code)) {
      this.#turn(this.#wanted ? "ended" : "idle");
      return;
    }
    // By chance between half and the whole, so that not everybody comes back at once.
    const most = this.#tries === 0 ? 0 : 1000 * Math.min(2 ** (this.#tries - 1), 30);
    const wait = most / 2 + (Math.random() * most) / 2;
    this.#tries += 1;
    this.#timer = setTimeout(() => this.#connect(), wait);
    this.#turn("waiting");
  }

  #take(text) {
    const frame = JSON.parse(text);
    if (frame.type === "hello") this.#hello(frame);
    clearTimeout(this.#alive);
    this.#alive = setTimeout(() => this.#socket?.close(), this.heartbeatMs * 2);
    const subscription = this.#subscriptions.get(frame.sub);
    if (subscription) this.#deal(subscription, frame, text);
    const request = this.#requests.get(frame.id);
    if (request && !subscription) {
      this.#requests.delete(frame.id);
      if (frame.type === "error") request.reject(new Problem(frame.status, frame));
      else request.resolve(frame);
    }
    for (const listener of this.#listeners.get(frame.type) ?? []) listener(frame);
  }

  #hello({ heartbeat_secs: secs }) {
    this.heartbeatMs = secs * 1000;
    this.#tries = 0;
    this.state = "open";
    for (const subscription of this.#subscriptions.values()) this.#begin(subscription);
    for (const { frame } of this.#requests.values()) this.#send(frame);
    this.#turn("open");
  }

  #begin({ ask, offset }) {
    this.#send({ ...ask, offset });
  }

  #deal(subscription, frame, text) {
    const { sub } = subscription.ask;
    if (frame.type === "error" && frame.retry_after_secs) {
      const again = () => this.#subscriptions.get(sub) === subscription && this.#begin(subscription);
      setTimeout(again, frame.retry_after_secs * 1000);
      return;
    }
    if (frame.type === "closed" || frame.type === "error") this.#subscriptions.delete(sub);
    else if (frame.offset) subscription.offset = frame.offset;
    subscription.take(frame, text);
  }

  #send(frame) {
    if (this.state === "open") this.#socket.send(JSON.stringify(frame));
  }

  #turn(state) {
    this.state = state;
    for (const listener of this.#listeners.get("state") ?? []) listener(state);
  }
}

export const connection = new Connection();

addEventListener("online", () => connection.hurry());
session.onChange(() => {
  connection.leave();
});
