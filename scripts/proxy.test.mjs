// node --test scripts/proxy.test.mjs

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import http from "node:http";
import net from "node:net";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { startProxy } from "./proxy.mjs";

const options = { timeout: 20_000 };

/** A server for a test. Its handler may wait for ever: it is broken off at the end. */
async function backend(t, handler, port = 0) {
  const server = http.createServer({ requireHostHeader: false }, handler);
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
  const sockets = new Set();
  server.on("connection", (socket) => sockets.add(socket));
  const stop = () => {
    for (const socket of sockets) socket.destroy();
    return new Promise((resolve) => server.close(resolve));
  };
  t.after(stop);
  return { server, stop, port: server.address().port, address: `127.0.0.1:${server.address().port}` };
}

async function proxyTo(t, ...backends) {
  const proxy = await startProxy({ backends: backends.map((one) => one.address ?? one) });
  t.after(proxy.close);
  return proxy;
}

/** An address that nobody listens on. */
async function nobody() {
  const server = net.createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return `127.0.0.1:${port}`;
}

/** Begins a request; the caller ends it. Gives it and a promise of its answer. */
function ask(proxy, path, options = {}) {
  const request = http.request(proxy.url + path, options);
  const answer = once(request, "response").then(([answer]) => answer);
  answer.catch(() => {});
  return { request, answer };
}

async function text(answer) {
  let all = "";
  for await (const piece of answer.setEncoding("utf8")) all += piece;
  return all;
}

async function get(proxy, path = "/", options = {}) {
  const { request, answer } = ask(proxy, path, options);
  request.end();
  const got = await answer;
  return { status: got.statusCode, headers: got.headers, raw: got.rawHeaders, body: await text(got) };
}

/** What comes of a stream until it ends, which is an error here, or breaks. */
async function untilBroken(stream) {
  let all = "";
  await assert.rejects(async () => {
    for await (const piece of stream.setEncoding("utf8")) all += piece;
  });
  return all;
}

test("takes the backends in turn, also on one connection", options, async (t) => {
  const named = (name) => backend(t, (request, response) => response.end(name));
  const proxy = await proxyTo(t, await named("a"), await named("b"), await named("c"));
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  t.after(() => agent.destroy());
  const ports = new Set();
  let names = "";
  for (let i = 0; i < 7; i += 1) {
    const { request, answer } = ask(proxy, "/", { agent });
    request.end();
    ports.add((await answer).socket.localPort);
    names += await text(await answer);
  }
  assert.equal(names, "abcabca");
  assert.equal(ports.size, 1);
});

test("keeps connections to backends", options, async (t) => {
  const ports = new Set();
  const one = await backend(t, (request, response) => {
    ports.add(request.socket.remotePort);
    response.end("x");
  });
  const proxy = await proxyTo(t, one);
  for (let i = 0; i < 5; i += 1) await get(proxy);
  assert.equal(ports.size, 1);
});

test("passes heads as they are, but for what is of one connection", options, async (t) => {
  const one = await backend(t, (request, response) => {
    response.sendDate = false;
    response.writeHead(299, "Fine", { "X-Answer": ["1", "2"], ETag: '"x"' });
    response.end(JSON.stringify([request.method, request.url, request.rawHeaders]));
  });
  const proxy = await proxyTo(t, one);
  const { request, answer } = ask(proxy, "/a%2Fb?c=%20&d", {
    method: "DELETE",
    setHost: false,
    headers: {
      Host: "else.where:99",
      "X-Twice": ["a", "b"],
      "X-Hop": "1",
      Connection: "keep-alive, X-Hop",
      TE: "trailers",
    },
  });
  request.end();
  const got = await answer;
  const [method, url, headers] = JSON.parse(await text(got));
  assert.deepEqual([method, url], ["DELETE", "/a%2Fb?c=%20&d"]);
  assert.deepEqual(headers, [
    ...["Host", "else.where:99", "X-Twice", "a", "X-Twice", "b"],
    ...["Connection", "keep-alive"],
  ]);
  assert.deepEqual([got.statusCode, got.statusMessage], [299, "Fine"]);
  assert.deepEqual(got.rawHeaders.slice(0, 6), ["X-Answer", "1", "X-Answer", "2", "ETag", '"x"']);
  assert.equal(got.headers.date, undefined);
});

test("makes no body where there is none, and keeps the length where there is one", options, async (t) => {
  const one = await backend(t, async (request, response) => {
    const { "content-length": length, "transfer-encoding": coding } = request.headers;
    response.end(JSON.stringify([length ?? null, coding ?? null, await text(request)]));
  });
  const proxy = await proxyTo(t, one);
  const raw = async (head) => {
    const socket = net.connect(Number(new URL(proxy.url).port), "127.0.0.1");
    socket.write(head);
    return /\[.*\]/.exec(await text(socket))[0];
  };
  const head = (more) => `PUT / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n${more}`;
  assert.equal(await raw(head("\r\n")), '[null,null,""]');
  assert.equal(await raw(head("Content-Length: 0\r\n\r\n")), '["0",null,""]');
  assert.equal(await raw(head("Content-Length: 2\r\n\r\nab")), '["2",null,"ab"]');
  const chunked = head("Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n");
  assert.equal(await raw(chunked), '[null,"chunked","ab"]');
});

test("streams an answer piece by piece", options, async (t) => {
  let write;
  const one = await backend(t, (request, response) => {
    response.writeHead(200, { "Content-Type": "text/event-stream" });
    response.flushHeaders();
    write = (piece) => (piece === undefined ? response.end() : response.write(piece));
  });
  const proxy = await proxyTo(t, one);
  const { request, answer } = ask(proxy, "/");
  request.end();
  const got = await answer; // the head alone
  got.setEncoding("utf8");
  for (const piece of ["data: 1\n\n", "data: 2\n\n", "data: 3\n\n"]) {
    write(piece);
    assert.deepEqual(await once(got, "data"), [piece]);
  }
  write();
  await once(got, "end");
});

test("streams a body piece by piece, while the answer streams back", options, async (t) => {
  const one = await backend(t, (request, response) => {
    response.flushHeaders();
    request.pipe(response);
  });
  const proxy = await proxyTo(t, one);
  const { request, answer } = ask(proxy, "/", { method: "PUT" });
  request.flushHeaders();
  const got = (await answer).setEncoding("utf8");
  for (const piece of ["one", "two", "three"]) {
    request.write(piece);
    assert.deepEqual(await once(got, "data"), [piece]);
  }
  request.end();
  await once(got.resume(), "end");
});

test("carries much, at the pace of who takes it", options, async (t) => {
  const one = await backend(t, (request, response) => request.pipe(response));
  const proxy = await proxyTo(t, one);
  const { request, answer } = ask(proxy, "/", { method: "POST" });
  const size = 64 * 1024 * 1024;
  const piece = Buffer.alloc(1024 * 1024, "x");
  (async () => {
    for (let sent = 0; sent < size; sent += piece.length) {
      if (!request.write(piece)) await once(request, "drain");
    }
    request.end();
  })();
  let bytes = 0;
  for await (const got of await answer) bytes += got.length;
  assert.equal(bytes, size);
});

test("lets the backend say whether a body is wanted", options, async (t) => {
  const one = await backend(t, (request, response) => response.end("no"));
  one.server.on("checkContinue", async (request, response) => {
    if (request.url === "/no") {
      response.writeHead(413);
      return response.end();
    }
    response.writeContinue();
    response.end(await text(request));
  });
  const proxy = await proxyTo(t, one);
  const expecting = { method: "PUT", headers: { Expect: "100-continue", "Content-Length": 3 } };
  const yes = ask(proxy, "/yes", expecting);
  yes.request.flushHeaders();
  await once(yes.request, "continue");
  yes.request.end("abc");
  assert.equal(await text(await yes.answer), "abc");

  const no = ask(proxy, "/no", expecting);
  no.request.on("continue", () => assert.fail("nobody wanted it"));
  no.request.on("error", () => {});
  no.request.flushHeaders();
  assert.equal((await no.answer).statusCode, 413);
  no.request.destroy();
});

test("answers a body that nobody waits for", options, async (t) => {
  const one = await backend(t, (request, response) => {
    response.writeHead(409);
    response.end("enough");
  });
  const proxy = await proxyTo(t, one);
  const { request, answer } = ask(proxy, "/", { method: "PUT" });
  request.write("the first of many");
  const got = await answer;
  assert.equal(got.statusCode, 409);
  assert.equal(await text(got), "enough");
  request.end("the last");
});

test("passes a WebSocket to the next backend each time, both ways", options, async (t) => {
  const named = async (name) => {
    const one = await backend(t, (request, response) => response.end());
    one.server.on("upgrade", (request, socket, head) => {
      const key = request.headers["sec-websocket-key"];
      socket.write(
        `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nX-Key: ${key}\r\n\r\n`,
      );
      socket.write(name + head);
      socket.pipe(socket);
    });
    return one;
  };
  const proxy = await proxyTo(t, await named("a"), await nobody(), await named("b"));
  const seen = [];
  for (let i = 0; i < 4; i += 1) {
    const request = http.request(`${proxy.url}/ws`, {
      headers: { Connection: "Upgrade", Upgrade: "websocket", "Sec-WebSocket-Key": `k${i}` },
    });
    request.end();
    const [answer, socket, head] = await once(request, "upgrade");
    assert.equal(answer.headers["x-key"], `k${i}`);
    socket.setEncoding("utf8");
    seen.push(String(head) || (await once(socket, "data"))[0]);
    socket.write("ping");
    assert.deepEqual(await once(socket, "data"), ["ping"]);
    socket.end();
    await once(socket, "close");
  }
  // The second's turn falls to the third.
  assert.deepEqual(seen, ["a", "b", "b", "a"]);
});

test("passes the refusal of a WebSocket, and its end", options, async (t) => {
  let server;
  const one = await backend(t, () => {});
  one.server.on("upgrade", (request, socket) => {
    if (request.url === "/no") {
      return socket.end("HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno");
    }
    socket.write("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n");
    server = socket;
  });
  const proxy = await proxyTo(t, one);
  const headers = { Connection: "Upgrade", Upgrade: "websocket" };
  const no = await get(proxy, "/no", { headers });
  assert.deepEqual([no.status, no.body], [401, "no"]);

  // The backend dies.
  let request = http.request(`${proxy.url}/ws`, { headers });
  request.end();
  let [, socket] = await once(request, "upgrade");
  socket.on("error", () => {});
  server.destroy();
  await once(socket.resume(), "close");
  // The client goes away.
  request = http.request(`${proxy.url}/ws`, { headers });
  request.end();
  [, socket] = await once(request, "upgrade");
  server.on("error", () => {});
  socket.destroy();
  await once(server.resume(), "end");

  const dead = await proxyTo(t, await nobody(), await nobody());
  const answer = await get(dead, "/ws", { headers });
  assert.equal(answer.status, 502);
  assert.equal(JSON.parse(answer.body).code, "bad_gateway");
});

test("passes over who takes no connection, with the whole body", options, async (t) => {
  const one = await backend(t, async (request, response) => response.end(await text(request)));
  const proxy = await proxyTo(t, await nobody(), one, await nobody());
  for (let i = 0; i < 6; i += 1) {
    const { request, answer } = ask(proxy, "/", { method: "POST" });
    request.write("be");
    request.end(`gin ${i}`);
    assert.equal(await text(await answer), `begin ${i}`);
  }
});

test("says 502 when nobody takes a connection, also to a sender of much", options, async (t) => {
  const proxy = await proxyTo(t, await nobody(), await nobody());
  const answer = await get(proxy);
  assert.equal(answer.status, 502);
  assert.equal(answer.headers["content-type"], "application/problem+json");
  const { type, title, status, code, detail } = JSON.parse(answer.body);
  assert.deepEqual([type, title, status, code], ["about:blank", "Bad Gateway", 502, "bad_gateway"]);
  assert.match(detail, /nothing has been done/);

  const put = ask(proxy, "/", { method: "PUT" });
  put.request.on("error", () => {});
  put.request.write("endless");
  assert.equal((await put.answer).statusCode, 502);
});

test("goes on after a backend has come back", options, async (t) => {
  const handler = (name) => (request, response) => response.end(name);
  const a = await backend(t, handler("a"));
  const b = await backend(t, handler("b"));
  const proxy = await proxyTo(t, a, b);
  const names = async () => [(await get(proxy)).body, (await get(proxy)).body].sort().join("");
  assert.equal(await names(), "ab");
  await a.stop();
  assert.equal(await names(), "bb");
  await backend(t, handler("a"), a.port);
  assert.equal(await names(), "ab");
});

test("does not repeat what a backend may have done", options, async (t) => {
  let count = 0;
  const dies = (request) => {
    count += 1;
    request.once("data", () => request.socket.destroy());
  };
  const proxy = await proxyTo(t, await backend(t, dies), await backend(t, dies));
  const { request, answer } = ask(proxy, "/", { method: "POST" });
  request.end("once");
  const got = await answer;
  assert.equal(got.statusCode, 502);
  assert.match(JSON.parse(await text(got)).detail, /not known/);
  assert.equal(count, 1);
});

test("breaks an answer that its backend breaks, behind all of it", options, async (t) => {
  let last;
  const one = await backend(t, (request, response) => {
    if (request.url === "/length") response.setHeader("Content-Length", 100);
    response.write("some");
    last = () => response.socket.destroySoon();
  });
  const proxy = await proxyTo(t, one);
  for (const path of ["/chunked", "/length"]) {
    const { request, answer } = ask(proxy, path);
    request.end();
    const got = await answer;
    last();
    assert.equal(await untilBroken(got), "some");
  }
  // To HTTP/1.0 a mere end would be a good one.
  const socket = net.connect(Number(new URL(proxy.url).port), "127.0.0.1");
  socket.write("GET / HTTP/1.0\r\n\r\n");
  socket.setEncoding("utf8");
  let all = "";
  while (!all.includes("some")) all += (await once(socket, "data"))[0];
  last();
  await assert.rejects(once(socket, "end"), { code: "ECONNRESET" });
});

test("breaks a body that its client breaks, behind all of it", options, async (t) => {
  const came = {};
  const broken = new Promise((resolve) => (came.resolve = resolve));
  const one = await backend(t, async (request) => came.resolve(await untilBroken(request)));
  const proxy = await proxyTo(t, one);
  const { request } = ask(proxy, "/", { method: "PUT" });
  request.on("error", () => {});
  request.write("some");
  await once(request, "socket");
  await once(one.server, "request");
  request.socket.destroySoon();
  assert.equal(await broken, "some");
});

test("tells the backend when a reader has gone away", options, async (t) => {
  const closed = {};
  const gone = new Promise((resolve) => (closed.resolve = resolve));
  const one = await backend(t, (request, response) => {
    response.once("close", closed.resolve);
    if (request.url === "/sse") response.write("data: 1\n\n");
  });
  const proxy = await proxyTo(t, one);
  // In the middle of an answer.
  const { request, answer } = ask(proxy, "/sse");
  request.on("error", () => {});
  request.end();
  const got = await answer;
  got.on("error", () => {});
  request.destroy();
  await gone;
  // Before there is an answer, as with a long poll.
  const again = new Promise((resolve) => (closed.resolve = resolve));
  const poll = ask(proxy, "/poll");
  poll.request.on("error", () => {});
  poll.request.end();
  await once(one.server, "request");
  poll.request.destroy();
  await again;
});

test("is a program that says where it listens, and ends when it is told", options, async (t) => {
  const one = await backend(t, (request, response) => response.end("hello"));
  const program = fileURLToPath(new URL("proxy.mjs", import.meta.url));
  const child = spawn(process.execPath, [program, "--listen", "127.0.0.1:0", `http://${one.address}`]);
  t.after(() => child.kill("SIGKILL"));
  const [line] = await once(createInterface(child.stdout), "line");
  const [, url] = /^proxy is listening on (http:\/\/127\.0\.0\.1:\d+)$/.exec(line);
  assert.equal((await get({ url })).body, "hello");
  child.kill("SIGTERM");
  assert.deepEqual(await once(child, "exit"), [0, null]);
});
