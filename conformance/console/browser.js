// Chromium without a window, told what to do over its own protocol (CDP) through a pipe.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { onTestFailed, onTestFinished } from "vitest";
import { browserFlags, browserProgram } from "../clients/page.js";
import { noteProcess } from "../program.js";

const WAIT_MS = 30_000;
const root = fileURLToPath(new URL("../..", import.meta.url));
const PICTURES = resolve(root, process.env.CARGO_TARGET_DIR ?? "target", "console");

/** A browser; its pages share nothing with those of another. */
export class Browser {
  #child;
  #profile;
  #exit;
  #calls = new Map();
  #number = 0;
  #listeners = new Map();
  pages = [];

  /** One for the test that runs; it is gone at the end of that test. */
  static async forTest() {
    const browser = new Browser();
    onTestFinished(() => browser.#end());
    onTestFailed(() =>
      console.error(
        "the pages said",
        browser.pages.map(({ said }) => said),
      ),
    );
    await browser.#start();
    return browser;
  }

  async #start() {
    this.#profile = await mkdtemp(join(tmpdir(), "messages-browser-"));
    const flags = [...browserFlags(this.#profile), "--remote-debugging-pipe", "--hide-scrollbars"];
    // Without a window it would think that there is no mouse.
    flags.push(
      "--blink-settings=primaryHoverType=2,availableHoverTypes=2,primaryPointerType=4,availablePointerTypes=4",
    );
    this.#child = spawn(browserProgram(), [...flags, "about:blank"], {
      env: { ...process.env, HOME: this.#profile },
      stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"],
    });
    this.#exit = once(this.#child, "exit");
    noteProcess(this.#profile, this.#child);
    const [, , , , answers] = this.#child.stdio;
    let rest = "";
    answers.setEncoding("utf8").on("data", (text) => {
      const frames = (rest + text).split("\0");
      rest = frames.pop();
      for (const frame of frames) this.#take(JSON.parse(frame));
    });
    // It may be gone before everything has been said to it.
    this.#child.stdio[3].on("error", () => {});
  }

  async #end() {
    this.#child.kill("SIGKILL");
    await this.#exit;
    // Its helpers need a moment to see that it is gone.
    await rm(this.#profile, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
  }

  #take({ id, sessionId, method, params, result, error }) {
    const call = this.#calls.get(id);
    if (call) {
      this.#calls.delete(id);
      if (error) call.reject(new Error(`${call.method}: ${error.message}`));
      else call.resolve(result);
    } else if (sessionId) {
      this.#listeners.get(sessionId)?.(method, params);
    }
  }

  /** Calls a method of the protocol. */
  call(method, params = {}, sessionId = undefined) {
    const id = ++this.#number;
    return new Promise((resolve, reject) => {
      this.#calls.set(id, { method, resolve, reject });
      this.#child.stdio[3].write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
    });
  }

  /** Waits for a tab that a page has opened, and gives its URL. */
  async tab(isIt) {
    for (;;) {
      const { targetInfos } = await this.call("Target.getTargets");
      const found = targetInfos.find(({ url }) => isIt(url));
      if (found) return found.url;
      await sleep(20);
    }
  }

  /** Opens a page in a window of its own. `before` is a script that runs before those of the page. */
  async open(url, { width = 1280, height = 860, dark = false, before, calm = false } = {}) {
    const { targetId } = await this.call("Target.createTarget", { url: "about:blank", newWindow: true });
    const { sessionId } = await this.call("Target.attachToTarget", { targetId, flatten: true });
    const page = new Page((method, params) => this.call(method, params, sessionId), new URL(url).host);
    this.#listeners.set(sessionId, (method, params) => page.hear(method, params));
    this.pages.push(page);
    for (const domain of ["Page", "Runtime", "Network", "Log", "Audits"]) await page.call(`${domain}.enable`);
    await page.size(width, height);
    await page.call("Emulation.setFocusEmulationEnabled", { enabled: true });
    await page.colours(dark, calm);
    if (before) await page.call("Page.addScriptToEvaluateOnNewDocument", { source: before });
    await page.go(url);
    return page;
  }
}

/** One page. */
class Page {
  call;
  #host;
  /** What it has logged, thrown, or was refused. */
  said = [];
  /** Requests to anybody but the server. */
  elsewhere = [];
  /** What its policy has kept it from. */
  violations = [];

  constructor(call, host) {
    this.call = call;
    this.#host = host;
  }

  hear(method, params) {
    if (method === "Runtime.exceptionThrown") {
      const { text, exception } = params.exceptionDetails;
      this.said.push(`${text} ${exception?.description ?? ""}`);
    }
    if (method === "Runtime.consoleAPICalled")
      this.said.push(params.args.map(({ value }) => value).join(" "));
    if (method === "Log.entryAdded") this.said.push(`${params.entry.text} ${params.entry.url ?? ""}`);
    if (method === "Audits.issueAdded" && params.issue.code === "ContentSecurityPolicyIssue")
      this.violations.push(params.issue);
    const url = params.request?.url ?? (method === "Network.webSocketCreated" ? params.url : undefined);
    if (
      url &&
      !["data:", "about:", "blob:"].includes(new URL(url).protocol) &&
      new URL(url).host !== this.#host
    )
      this.elsewhere.push(url);
  }

  async go(url) {
    await this.call("Page.navigate", { url });
  }

  async reload() {
    await this.call("Page.reload");
  }

  size(width, height) {
    return this.call("Emulation.setDeviceMetricsOverride", {
      width,
      height,
      deviceScaleFactor: 1,
      mobile: width < 500,
    });
  }

  /** Light or dark, and whether things may move. */
  colours(dark, calm = false) {
    const features = [
      { name: "prefers-color-scheme", value: dark ? "dark" : "light" },
      { name: "prefers-reduced-motion", value: calm ? "reduce" : "no-preference" },
    ];
    return this.call("Emulation.setEmulatedMedia", { features });
  }

  /** What an expression of JavaScript is in the page. */
  async get(expression) {
    const { result, exceptionDetails } = await this.call("Runtime.evaluate", {
      expression,
      awaitPromise: true,
      returnByValue: true,
      userGesture: true,
    });
    if (exceptionDetails)
      throw new Error(`${expression}: ${exceptionDetails.exception?.description ?? exceptionDetails.text}`);
    return result.value;
  }

  /** Waits until an expression is true, and gives what it is. */
  async until(expression) {
    const deadline = Date.now() + WAIT_MS;
    let problem;
    for (;;) {
      try {
        const value = await this.get(expression);
        if (value) return value;
        problem = undefined;
      } catch (error) {
        // The page may be on its way to another.
        problem = error;
      }
      if (Date.now() > deadline) {
        const text = await this.get("document.body.innerText").catch(() => "");
        throw new Error(
          `never true: ${expression}${problem ? ` (${problem.message})` : ""}\n${text.slice(-1500)}`,
        );
      }
      await sleep(20);
    }
  }

  /** Waits until something with this text is there. `selector` says what kind of thing. */
  shows(text, selector = "body") {
    return this.until(
      `[...document.querySelectorAll(${JSON.stringify(selector)})].some((one) => one.innerText.includes(${JSON.stringify(text)}))`,
    );
  }

  /** Clicks on what is there, or comes, with this text (or label). */
  async click(selector, text = "") {
    const find = `[...document.querySelectorAll(${JSON.stringify(selector)})].find((one) => one.checkVisibility() && \`\${one.innerText} \${one.getAttribute("aria-label") ?? ""}\`.includes(${JSON.stringify(text)}))`;
    await this.until(`Boolean(${find})`);
    await this.get(`(${find}).click()`);
  }

  /** Presses a key, as `Tab` or `Shift+Tab`. */
  async press(key) {
    const shift = key.startsWith("Shift+");
    const ctrl = key.startsWith("Control+");
    const name = key.replace(/^(Shift|Control)\+/, "");
    const codes = { Tab: 9, Enter: 13, Escape: 27, ArrowUp: 38, ArrowDown: 40, " ": 32 };
    const event = {
      key: name,
      code: name === " " ? "Space" : name,
      windowsVirtualKeyCode: codes[name],
      modifiers: (shift ? 8 : 0) | (ctrl ? 2 : 0),
    };
    const text = { Enter: "\r", " ": " " }[name];
    await this.call("Input.dispatchKeyEvent", {
      type: text && !ctrl ? "keyDown" : "rawKeyDown",
      text: ctrl ? undefined : text,
      ...event,
    });
    await this.call("Input.dispatchKeyEvent", { type: "keyUp", ...event });
  }

  /** Types a text where the focus is. */
  async type(text) {
    await this.call("Input.insertText", { text });
  }

  /** Puts a text into a field that is there, or comes. */
  async fill(selector, text) {
    const field = `document.querySelector(${JSON.stringify(selector)})`;
    await this.until(`Boolean(${field})`);
    await this.get(`${field}.focus(), ${field}.select?.()`);
    await this.type(text);
  }

  /** Keeps a picture of it among what the build makes. */
  async picture(name) {
    await mkdir(PICTURES, { recursive: true });
    const { data } = await this.call("Page.captureScreenshot", { format: "png" });
    await writeFile(join(PICTURES, `${name}.png`), Buffer.from(data, "base64"));
  }
}
