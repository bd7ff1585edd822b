// What there is at a server before everything is asked of it.

/** Streams, a subscription that has something to do and, for whoever has a token, conversations. */
export async function seed(url, token) {
  const ask = async (method, path, body, headers = {}) => {
    if (token) headers.authorization = `Bearer ${token}`;
    const answer = await fetch(url + path, { method, headers, body: body && JSON.stringify(body) });
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`);
  };
  const json = { "content-type": "application/json" };
  await ask("PUT", "/v1/stream/docs/a", "hello", { "content-type": "text/plain", "stream-closed": "true" });
  for (const name of ["log", "wakes", "doomed"]) await ask("PUT", `/v1/stream/${name}`, undefined, json);
  await ask("POST", "/v1/stream/log", [{ a: 1 }, { a: 2, b: 3 }], json);
  const workers = { type: "pull-wake", wake_stream: "wakes", streams: ["log"] };
  for (const name of ["workers", "doomed"]) {
    await ask("PUT", `/v1/stream/__ds/subscriptions/${name}`, workers);
  }
  await ask("POST", "/v1/stream/log", [{ a: 3 }], json);
  if (!token) return;
  for (const name of ["team", "open", "doomed-1", "doomed-2", "doomed-3"]) {
    const settings = { join: "open" };
    await ask("POST", "/conversations", { name, participants: ["bob", "carol"], settings });
    for (const text of ["one", "two", "three", "four"]) {
      await ask("PUT", `/conversations/${name}/messages/${text}`, { text });
    }
  }
  // Whoever wants to leave must not be the last owner.
  await ask("PUT", "/conversations/doomed-2/participants/bob", { role: "owner" });
  await ask("PUT", "/conversations/team/webhooks/bot", { url: "https://hook.invalid/" });
  await ask("POST", "/inbox/bob/messages", { text: "hello" });
}
