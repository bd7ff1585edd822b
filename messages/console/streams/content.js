// What a stream holds, on the page: text as it is, JSON a message a row, bytes in hex. It grows at the
// end, and what is too much for a page leaves it at the beginning.

import { h } from "../dom.js";
import { bytes, count } from "../format.js";

const TEXT_CHARS_MAX = 1_000_000;
/** A piece of text grows up to so many, so that there are not too many of them. */
const PIECE_CHARS = 16_384;
const ROWS_MAX = 5000;
const HEX_WIDTH = 16;

/** The way to show content of a type. */
export function contentOf(contentType) {
  const type = contentType.split(";")[0].trim().toLowerCase();
  if (type === "application/json") return new Messages();
  return type.startsWith("text/") ? new Text() : new Hex();
}

/** What all have in common: a box that is painted once a frame, however often something comes. */
class Content {
  /** Where the content goes. It is a log, but not one to be read out token by token. */
  element = h("div", {
    class: "content",
    role: "log",
    "aria-live": "off",
    "aria-label": "Content of the stream",
    tabindex: "0",
  });
  #waiting = [];
  #painting = false;
  /** Whether it has lines that may be too long. */
  wraps = true;
  /** Called when something was painted. */
  onPaint = () => {};

  /** Takes a frame with content. */
  take(frame, text) {
    this.#later(() => this.put(frame, text));
  }

  /** Puts a mark where the content is now. */
  mark(kind, text) {
    const label = h("span", {}, text);
    this.#later(() => {
      this.cut();
      this.element.append(h("div", { class: `mark ${kind}`, role: "separator", "aria-label": text }, label));
    });
  }

  #later(work) {
    this.#waiting.push(work);
    if (this.#painting) return;
    this.#painting = true;
    const paint = () => {
      this.#painting = false;
      for (const work of this.#waiting.splice(0)) work();
      this.flush();
      this.onPaint();
    };
    // A page in the background is not painted, and takes in what comes all the same.
    if (document.hidden) setTimeout(paint, 50);
    else requestAnimationFrame(paint);
  }

  /** What comes next does not belong to the same piece. */
  cut() {}

  /** Everything that was put is to be seen. */
  flush() {}

  /** Says how much is not shown any more. */
  dropped(text) {
    this.gap ??= h("div", { class: "mark gap" }, h("span"));
    if (!this.gap.isConnected) this.element.prepend(this.gap);
    this.gap.firstChild.textContent = text;
  }
}

const decoder = new TextDecoder();
const decoded = (base64) => Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));

class Text extends Content {
  #waiting = [];
  #pieces = [];
  #open = false;
  #chars = 0;
  #gone = 0;

  constructor() {
    super();
    this.element.classList.add("text");
  }

  put({ text, base64 }) {
    // Bytes in a text are what is no text.
    this.#waiting.push(text ?? decoder.decode(decoded(base64)));
  }

  cut() {
    this.flush();
    this.#open = false;
  }

  flush() {
    let text = this.#waiting.join("");
    this.#waiting = [];
    while (text !== "") {
      const last = this.#open ? this.#pieces.at(-1).firstChild : undefined;
      const part = upTo(text, PIECE_CHARS - (last?.length ?? 0));
      if (part === "") {
        this.#open = false;
        continue;
      }
      if (last) last.appendData(part);
      else this.#begin(part);
      this.#chars += part.length;
      text = text.slice(part.length);
    }
    while (this.#chars > TEXT_CHARS_MAX) this.#drop();
  }

  #begin(text) {
    const piece = h("span", { class: "piece" }, text);
    this.element.append(piece);
    this.#pieces.push(piece);
    this.#open = true;
  }

  #drop() {
    const oldest = this.#pieces.shift();
    this.#chars -= oldest.firstChild.length;
    this.#gone += oldest.firstChild.length;
    oldest.remove();
    this.dropped(`${count(this.#gone)} characters before this are not shown`);
  }
}

/** The beginning of a text, at most so much of it; both halves of a character stay together. */
function upTo(text, length) {
  const isHalf = (code) => code >= 0xd800 && code < 0xdc00;
  const whole = length < text.length && isHalf(text.charCodeAt(length - 1)) ? length - 1 : length;
  return text.slice(0, Math.max(whole, 0));
}

class Messages extends Content {
  #gone = 0;

  constructor() {
    super();
    this.element.classList.add("messages");
  }

  put({ messages, offset }, text) {
    const exact = /\d{16}/.test(text) ? JSON.parse(text, keepDigits).messages : messages;
    let number = Number(offset.split("_")[0]) - exact.length;
    for (const message of exact) {
      number += 1;
      const row = [h("span", { class: "number" }, count(number)), h("code", {}, JSON.stringify(message))];
      this.element.append(h("div", { class: "message-row" }, row));
    }
    while (this.element.childElementCount > ROWS_MAX) {
      const oldest = this.element.querySelector(".message-row");
      oldest.remove();
      this.#gone += 1;
      this.dropped(`${count(this.#gone)} messages before this are not shown`);
    }
  }
}

/** Numbers that JavaScript cannot hold stay as they were written, where the browser can do that. */
function keepDigits(key, value, context) {
  const isInexact = typeof value === "number" && context?.source && String(value) !== context.source;
  return isInexact && JSON.rawJSON ? JSON.rawJSON(context.source) : value;
}

class Hex extends Content {
  wraps = false;
  #at;
  #rest = new Uint8Array();
  #last;
  #gone = 0;

  constructor() {
    super();
    this.element.classList.add("hex");
  }

  put({ base64, text, offset }) {
    const piece = base64 === undefined ? new TextEncoder().encode(text) : decoded(base64);
    this.#at ??= Number(offset.split("_")[1]) - piece.length;
    const all = new Uint8Array(this.#rest.length + piece.length);
    all.set(this.#rest);
    all.set(piece, this.#rest.length);
    this.#last?.remove();
    for (let from = 0; from < all.length; from += HEX_WIDTH) {
      const line = all.subarray(from, from + HEX_WIDTH);
      this.#last = hexLine(this.#at, line);
      this.element.append(this.#last);
      if (line.length < HEX_WIDTH) {
        this.#rest = line.slice();
        break;
      }
      this.#at += HEX_WIDTH;
      this.#rest = new Uint8Array();
      this.#last = undefined;
    }
    while (this.element.childElementCount > ROWS_MAX) {
      this.element.querySelector(".hex-line").remove();
      this.#gone += HEX_WIDTH;
      this.dropped(`${bytes(this.#gone)} before this are not shown`);
    }
  }

  /** A line that is begun is ended where it is. */
  cut() {
    this.#at = this.#at === undefined ? undefined : this.#at + this.#rest.length;
    this.#rest = new Uint8Array();
    this.#last = undefined;
  }
}

function hexLine(at, line) {
  const digits = Array.from(line, (byte) => byte.toString(16).padStart(2, "0"));
  const letters = Array.from(line, (byte) => (byte > 31 && byte < 127 ? String.fromCharCode(byte) : "·"));
  return h(
    "div",
    { class: "hex-line" },
    h("span", { class: "number" }, at.toString(16).padStart(8, "0")),
    h("span", { class: "digits" }, digits.join(" ")),
    h("span", { class: "letters", "aria-hidden": "true" }, letters.join("")),
  );
}
