// A small chart of the last minutes: a line, the area under it, and what it is now.

import { h, say, svg } from "../dom.js";

const WIDTH = 300;
const HEIGHT = 80;
const PAD = 4;
/** As wide as so many points at least, so that the first ones are to be seen. */
const POINTS_LEAST = 30;

const isKnown = (value) => value !== undefined && value !== null;

export class Chart {
  #points;
  #max;
  #format;
  #now = h("p", { class: "now" }, "–");
  #top = h("p", { class: "muted top-value" });
  #line = svg("path", { class: "line", fill: "none", "vector-effect": "non-scaling-stroke" });
  #area = svg("path", { class: "area" });

  /** A chart with a title that keeps `max` points and writes values with `format`. */
  constructor(title, max, format) {
    this.#max = max;
    this.#format = format;
    this.#points = [];
    const picture = svg(
      "svg",
      { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" },
      this.#area,
      this.#line,
    );
    this.element = h(
      "section",
      { class: "card chart", "aria-label": title, hidden: true },
      h("div", { class: "row between" }, h("h2", {}, title), this.#top),
      this.#now,
      picture,
    );
  }

  /** Adds a value at the right; null while it is not known, undefined where the server does not tell it. */
  add(value) {
    this.#points.push(value);
    if (this.#points.length > this.#max) this.#points.shift();
    const known = this.#points.filter(isKnown);
    this.element.hidden = this.#points.every((point) => point === undefined);
    const most = Math.max(...known, 0);
    say(this.#now, isKnown(value) ? this.#format(value) : "–");
    say(this.#top, known.length > 1 ? `most ${this.#format(most)}` : "");
    const scale = most === 0 ? 1 : most;
    const wide = Math.max(this.#points.length, POINTS_LEAST) - 1;
    const x = (index) => WIDTH - ((this.#points.length - 1 - index) / wide) * WIDTH;
    const y = (point) => HEIGHT - PAD - (point / scale) * (HEIGHT - 2 * PAD);
    const dots = this.#points.flatMap((point, index) =>
      isKnown(point) ? [`${x(index).toFixed(1)},${y(point).toFixed(1)}`] : [],
    );
    const path = dots.length > 1 ? `M${dots.join("L")}` : "";
    this.#line.setAttribute("d", path);
    const [first, last] = [dots[0], dots.at(-1)].map((dot) => dot?.split(",")[0]);
    this.#area.setAttribute("d", path && `${path}L${last},${HEIGHT}L${first},${HEIGHT}Z`);
  }
}
