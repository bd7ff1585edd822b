// The shell: which page is shown, who is signed in, how the connection is.

import { onRefused, request } from "./api.js";
import * as chat from "./chat/page.js";
import { ask, field, h, say } from "./dom.js";
import * as health from "./health/page.js";
import * as nodes from "./nodes.js";
import { session } from "./session.js";
import { connection } from "./socket.js";
import * as streams from "./streams/list.js";
import * as stream from "./streams/view.js";

const PAGES = { streams, stream, chat, nodes, health };
const main = document.getElementById("main");
const account = document.getElementById("account");
const linkState = document.getElementById("link-state");
const theme = document.getElementById("theme");

/** What the part of the URL behind `#/` says: `stream/NAME?from=start`. */
function route() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split(/\?(.*)/s);
  const [page = "", ...rest] = path.split("/");
  let name = rest.join("/");
  try {
    name = decodeURIComponent(name);
  } catch {
    // As somebody has typed it.
  }
  return { page: Object.hasOwn(PAGES, page) ? page : "streams", name, query: new URLSearchParams(query) };
}

let leave = new AbortController();

/** Shows what the URL says. Whoever came here by a link has the focus at the new heading. */
function show(moved) {
  leave.abort();
  leave = new AbortController();
  const { page, name, query } = route();
  for (const link of document.querySelectorAll(".nav a")) {
    const own = link.hash === `#/${page}` || (page === "stream" && link.hash === "#/streams");
    if (own) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  main.replaceChildren();
  main.dataset.page = page;
  const title = PAGES[page].open({ main, name, query, signal: leave.signal });
  document.title = `${title} – messages`;
  scrollTo(0, 0);
  if (moved) (main.querySelector("h1") ?? main).focus({ preventScroll: true });
}

/** Somebody does not want to sign in: not asked again before they go somewhere else. */
let declined = false;

/** Asks for a token, unless it is being asked for. */
async function signIn(why) {
  if (document.querySelector("dialog.sign-in")) return;
  const token = h("textarea", {
    name: "token",
    rows: 4,
    required: true,
    autocomplete: "off",
    spellcheck: "false",
    "aria-describedby": "token-hint",
  });
  const asked = ask({
    title: "Sign in",
    kind: "sign-in",
    text: why,
    fields: [
      field("Token", token),
      h(
        "p",
        { class: "hint", id: "token-hint" },
        "Made by your backend or with “messages token --sub NAME”. This tab keeps it until it is closed.",
      ),
    ],
    button: "Sign in",
    act: async ({ token: given }) => {
      const trimmed = given.trim().replace(/^bearer\s+/i, "");
      try {
        await request("/unread", { token: trimmed });
      } catch (error) {
        // Whoever may not chat is somebody all the same.
        if (error.status === 401 || error.status === 0) throw error;
      }
      session.signIn(trimmed);
      return trimmed;
    },
  });
  declined = (await asked) === undefined;
}

function showAccount() {
  say(account, session.user ? session.user : "Sign in");
  account.title = session.user ? "Sign out" : "";
  account.setAttribute("aria-label", session.user ? `Signed in as ${session.user}. Sign out` : "Sign in");
}

async function signOut() {
  const act = () => true;
  const sure = await ask({
    title: `You are ${session.user}`,
    text: "This tab forgets your token when you sign out.",
    button: "Sign out",
    act,
  });
  if (sure) session.signOut();
}

account.addEventListener("click", () => (session.user ? signOut() : signIn()));
session.onChange(() => {
  showAccount();
  show(false);
});
onRefused((problem) => {
  const why = problem.code === "missing_token" ? "This server wants to know who you are." : problem.message;
  if (!declined) signIn(why);
});

const STATES = {
  idle: "",
  connecting: "Connecting",
  open: "Connected",
  waiting: "Connection lost",
  ended: "Disconnected",
};
let telling;
connection.on("state", (state) => {
  linkState.dataset.state = state;
  // A moment without a connection is nothing that anybody has to hear of.
  clearTimeout(telling);
  telling = setTimeout(() => say(linkState, STATES[connection.state]), 600);
  linkState.title = STATES[state];
  // Only a request tells whether that was for who one is; if so, somebody is asked to sign in.
  if (["waiting", "ended"].includes(state) && !connection.welcome) request("/v1/nodes").catch(() => {});
});

theme.value = document.documentElement.dataset.theme ?? "";
theme.addEventListener("change", () => {
  if (theme.value) document.documentElement.dataset.theme = theme.value;
  else delete document.documentElement.dataset.theme;
  localStorage.setItem("messages.theme", theme.value);
});

document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  (main.querySelector("h1") ?? main).focus();
});
addEventListener("hashchange", () => {
  declined = false;
  show(true);
});
showAccount();
show(false);
