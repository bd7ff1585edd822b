// Requests to the server that this page came from.

import { session } from "./session.js";

/** What the server says is wrong (RFC 9457). */
export class Problem extends Error {
  constructor(status, { code = "", detail = "", ...more } = {}) {
    super(detail || `The server answered ${status}`);
    Object.assign(this, { status, code, more });
  }
}

const refused = new Set();

/** Calls `listener` when the server wants to know who is there, or does not believe it. */
export function onRefused(listener) {
  refused.add(listener);
}

/** A request; the answer is good, or a `Problem` is thrown. */
export async function request(path, { token = session.token, headers = {}, ...options } = {}) {
  const all = token ? { ...headers, Authorization: `Bearer ${token}` } : headers;
  let response;
  try {
    response = await fetch(path, { ...options, headers: all, referrerPolicy: "no-referrer" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, { code: "unreachable", detail: "The server does not answer." });
  }
  if (response.ok) return response;
  const text = await response.text();
  let document;
  try {
    document = JSON.parse(text);
  } catch {
    document = { detail: text };
  }
  const problem = new Problem(response.status, document);
  if (response.status === 401 && token === session.token) for (const listener of refused) listener(problem);
  throw problem;
}

/** The document that a GET answers with. */
export async function get(path, options) {
  return (await request(path, options)).json();
}

/** Sends a document; gives the one that comes back, if any. */
export async function send(method, path, document) {
  const body = document === undefined ? undefined : JSON.stringify(document);
  const text = await (await request(path, { method, body })).text();
  return text === "" ? undefined : JSON.parse(text);
}

/**
 * The path of a stream, whatever is in its name. Browsers take `.` and `..` between slashes for ways to somewhere
 * else, so in such a name the slashes are encoded, too.
 */
export function streamPath(name) {
  const path = encodeURIComponent(name);
  const parts = name.split("/");
  return `/v1/stream/${parts.some((part) => [".", ".."].includes(part)) ? path : path.replaceAll("%2F", "/")}`;
}
