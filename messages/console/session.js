// Who looks at this page: a token, kept by this tab alone, and never in a URL.

const KEY = "messages.token";
const changed = new Set();

function claims(token) {
  try {
    const part = token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/");
    const text = Uint8Array.from(atob(part), (char) => char.charCodeAt(0));
    return JSON.parse(new TextDecoder().decode(text));
  } catch {
    return {};
  }
}

export const session = {
  /** The token, if somebody has signed in. */
  get token() {
    return sessionStorage.getItem(KEY);
  },

  /** The `sub` of the token. */
  get user() {
    return this.token ? (claims(this.token).sub ?? "somebody") : undefined;
  },

  signIn(token) {
    sessionStorage.setItem(KEY, token);
    for (const listener of changed) listener();
  },

  signOut() {
    sessionStorage.removeItem(KEY);
    for (const listener of changed) listener();
  },

  /** Calls `listener` when somebody else looks. */
  onChange(listener) {
    changed.add(listener);
  },
};
