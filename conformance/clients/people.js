// Users of the chat: tokens as any backend would make them, and requests in their name.

import { createHmac, randomBytes } from "node:crypto";

/** A secret for a server, and tokens for its users. */
export class People {
  secret = randomBytes(32).toString("hex");

  /** A token for `user` that is good for an hour, and grants access to `streams` if any. */
  token(user, streams) {
    const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
    const exp = Math.floor(Date.now() / 1000) + 3600;
    const text = `${part({ alg: "HS256", typ: "JWT" })}.${part({ sub: user, exp, streams })}`;
    return `${text}.${createHmac("sha256", this.secret).update(text).digest("base64url")}`;
  }

  /** Asks in the name of `user`; the answer must be good. */
  async ask(server, user, method, path, body) {
    const response = await fetch(server.url + path, {
      method,
      headers: { Authorization: `Bearer ${this.token(user)}` },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
    return text === "" ? undefined : JSON.parse(text);
  }
}
