#!/usr/bin/env node
// node scripts/proxy.mjs [--listen ADDRESS] BACKEND...
//
// A round-robin HTTP proxy for tests and for trying a cluster: every request, not every connection,
// goes to the next BACKEND, a URL or HOST:PORT. Bodies pass in both directions as they come, and so
// does what a WebSocket sends. It asks as little of those behind it as a proxy can, so that what goes
// wrong through it goes wrong through others, too:
//
//   - what the client sends reaches the backend as it is, Host and all, but for the headers that
//     belong to one connection
//   - a backend that takes no connection is passed over; nothing has been sent to it by then
//   - what breaks off on one side breaks off on the other: no answer is made to look whole
//
// It says `proxy is listening on http://ADDRESS` once it does. It is not meant for anybody else's use:
// there are no limits and no timeouts. Needs Node.js 20 and nothing else.

import http from "node:http";
import net from "node:net";
import { pathToFileURL } from "node:url";

const MAX_HEADER_BYTES = 256 * 1024;
/** How long an idle connection to a backend is kept; shorter than a server keeps it. */
const IDLE_MS = 4_000;
/** For how long a client may go on sending what its answer has not waited for. */
const LINGER_MS = 5_000;

/** Those of one connection (RFC 9110, 7.6.1). */
const HOP_BY_HOP = new Set([
  "connection",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

/**
 * Starts a proxy. `listen` is HOST:PORT, where port 0 is a free one. Gives its `url`, and `close`, which
 * breaks off whatever is open.
 */
export async function startProxy({ listen = "127.0.0.1:0", backends, log = () => {} }) {
  const targets = backends.map(address);
  const agent = new http.Agent({ keepAlive: true, timeout: IDLE_MS, maxFreeSockets: 1024 });
  let turn = 0;
  /** All backends, from the one whose turn it is. */
  const candidates = () => {
    const first = turn;
    turn = (turn + 1) % targets.length;
    return targets.map((_, i) => targets[(first + i) % targets.length]);
  };

  const server = http.createServer({
    maxHeaderSize: MAX_HEADER_BYTES,
    requestTimeout: 0,
    headersTimeout: 0,
    // Longer than any client keeps an idle one, so it is never closed under a request.
    keepAliveTimeout: 3_600_000,
    // What a client must send is for the backend to say.
    requireHostHeader: false,
  });
  const sockets = new Set();
  server.on("connection", (socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  });
  const forward = (request, response) => {
    request.on("error", () => {}); // the answer ends with it
    try {
      relay(request, response, { agent, log }, candidates());
    } catch (error) {
      log(`${request.method} ${request.url}: ${error.message}`); // what Node.js does not send on
      problem(response, 400, "Bad Request", "bad_request", error.message);
      drain(request, response);
    }
  };
  server.on("request", forward);
  // Whether the client may go on with the body is for the backend to say.
  server.on("checkContinue", forward);
  server.on("upgrade", (request, socket, head) => {
    socket.on("error", () => {}); // it is closed then
    socket.setTimeout(0);
    tunnel(request, socket, head, candidates(), log);
  });

  const { hostname, port } = address(listen);
  await new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(Number(port), hostname, () => {
      server.off("error", reject);
      resolve();
    });
  });
  const bound = server.address();
  const host = bound.family === "IPv6" ? `[${bound.address}]` : bound.address;
  return {
    url: `http://${host}:${bound.port}`,
    close: () =>
      new Promise((resolve) => {
        server.close(resolve);
        for (const socket of sockets) socket.destroy();
        agent.destroy();
      }),
  };
}

function address(text) {
  const { hostname, port } = new URL(text.includes("://") ? text : `http://${text}`);
  // URL leaves out what is the default.
  return { hostname: hostname.replace(/^\[|\]$/g, ""), port: port || "80" };
}

/** Hands a request to the first of the candidates that takes a connection. */
function relay(request, response, { agent, log }, candidates) {
  const [target, ...others] = candidates;
  const upstream = http.request({
    agent,
    ...target,
    method: request.method,
    path: request.url,
    setHost: false,
    maxHeaderSize: MAX_HEADER_BYTES,
  });
  for (const [name, values] of endToEnd(request)) upstream.setHeader(name, values);
  if (request.headers["transfer-encoding"] !== undefined) {
    upstream.setHeader("Transfer-Encoding", "chunked");
  } else {
    // Without a length there is no body, and none is made up.
    upstream.useChunkedEncodingByDefault = false;
  }
  const hasBody =
    request.headers["transfer-encoding"] !== undefined ||
    Number(request.headers["content-length"] ?? 0) > 0;

  let connected = false;
  let answered = false;
  upstream.once("socket", (socket) => {
    const begin = () => {
      connected = true;
      // Not before there is a connection: until then the whole request can go to another backend.
      request.pipe(upstream);
    };
    upstream.flushHeaders();
    if (socket.connecting) socket.once("connect", begin);
    else begin();
  });
  upstream.on("continue", () => response.writeContinue());
  upstream.on("error", (error) => {
    request.unpipe(upstream);
    if (answered || clientGone) return; // an answer has its own error
    response.off("close", gone);
    // A backend that closes an idle connection may do so just when a request is on its way to it.
    const stale = upstream.reusedSocket && !hasBody && ["GET", "HEAD"].includes(request.method);
    if (!connected && others.length > 0) return relay(request, response, { agent, log }, others);
    if (stale) return relay(request, response, { agent, log }, [...others, target]);
    log(`${request.method} ${request.url}: ${target.hostname}:${target.port}: ${error.message}`);
    badGateway(response, connected);
    drain(request, response);
  });
  let clientGone = false;
  const gone = () => {
    clientGone = true;
    request.unpipe(upstream);
    // What has come of a body that is broken off reaches the backend before it is broken off there.
    if (request.complete || !connected) upstream.destroy();
    else upstream.socket.destroySoon();
  };
  response.once("close", gone);

  upstream.once("response", (answer) => {
    answered = true;
    response.sendDate = false;
    const { statusCode, statusMessage } = answer;
    response.writeHead(statusCode, statusMessage, Object.fromEntries(endToEnd(answer)));
    response.flushHeaders();
    // By hand, since `pipe` ends what it writes to, which must not happen to half an answer.
    answer.on("data", (piece) => {
      if (!response.write(piece)) {
        answer.pause();
        response.once("drain", () => answer.resume());
      }
    });
    answer.once("end", () => {
      if (!answer.complete) return breakOff(request, response);
      response.off("close", gone);
      response.end();
      if (!request.complete) {
        request.unpipe(upstream);
        upstream.destroy();
        drain(request, response);
      }
    });
    answer.once("error", () => breakOff(request, response));
  });
}

/** What is not of one connection, by name, in the order in which it came. */
function endToEnd(message) {
  const { rawHeaders } = message;
  const ownOfConnection = new Set(HOP_BY_HOP);
  for (const name of (message.headers.connection ?? "").split(",")) {
    ownOfConnection.add(name.trim().toLowerCase());
  }
  const headers = new Map(); // lower-case name to [name, values]
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const key = rawHeaders[i].toLowerCase();
    if (ownOfConnection.has(key)) continue;
    if (headers.has(key)) headers.get(key)[1].push(rawHeaders[i + 1]);
    else headers.set(key, [rawHeaders[i], [rawHeaders[i + 1]]]);
  }
  return [...headers.values()].map(([name, values]) => [
    name,
    values.length === 1 ? values[0] : values,
  ]);
}

/** Ends a connection in the middle of an answer, behind what there is of it. */
function breakOff(request, response) {
  const { socket } = response;
  if (!socket) return;
  // To a client of HTTP/1.0 the end of the connection may be the end of the answer.
  if (request.httpVersion === "1.0") socket.resetAndDestroy();
  else socket.destroySoon();
}

function badGateway(response, connected) {
  const detail = connected
    ? "the server broke off before it answered; whether it has done what was asked is not known"
    : "no server takes connections; nothing has been done";
  problem(response, 502, "Bad Gateway", "bad_gateway", detail);
}

/** An error as the server itself would tell it (RFC 9457). */
function problem(response, status, title, code, detail) {
  const body = `${JSON.stringify({ type: "about:blank", title, status, code, detail })}\n`;
  response.writeHead(status, {
    "Content-Type": "application/problem+json",
    "Content-Length": Buffer.byteLength(body),
    "Cache-Control": "no-store",
  });
  response.end(body);
}

/** Takes and forgets the rest of a body, so that its sender comes to read the answer. */
function drain(request, response) {
  if (request.complete) return;
  const { socket } = request;
  const timer = setTimeout(() => socket.destroy(), LINGER_MS).unref();
  request.once("close", () => clearTimeout(timer));
  request.once("end", () => clearTimeout(timer));
  request.resume();
}

/** Hands a connection that leaves HTTP to a backend, as it is from the request on. */
function tunnel(request, client, head, candidates, log) {
  const [target, ...others] = candidates;
  const backend = net.connect({ host: target.hostname, port: Number(target.port), noDelay: true });
  let connected = false;
  // What has come from one side still reaches the other.
  const gone = () => backend.destroySoon();
  client.once("close", gone);

  backend.once("connect", () => {
    connected = true;
    let text = `${request.method} ${request.url} HTTP/${request.httpVersion}\r\n`;
    for (let i = 0; i < request.rawHeaders.length; i += 2) {
      text += `${request.rawHeaders[i]}: ${request.rawHeaders[i + 1]}\r\n`;
    }
    backend.write(`${text}\r\n`, "latin1");
    backend.write(head);
    client.pipe(backend);
    backend.pipe(client);
  });
  backend.on("error", (error) => {
    client.off("close", gone);
    if (connected || client.destroyed) return client.destroySoon();
    if (others.length > 0) return tunnel(request, client, head, others, log);
    log(`${request.method} ${request.url}: ${target.hostname}:${target.port}: ${error.message}`);
    const response = new http.ServerResponse(request);
    response.shouldKeepAlive = false;
    response.assignSocket(client);
    response.once("finish", () => client.destroySoon());
    badGateway(response, false);
  });
  backend.once("close", () => connected && client.destroySoon());
}

async function main() {
  const backends = [];
  let listen = "127.0.0.1:0";
  const args = process.argv.slice(2);
  for (let i = 0; i < args.length; i += 1) {
    if (args[i] === "--listen" && i + 1 < args.length) listen = args[(i += 1)];
    else if (args[i].startsWith("-")) backends.length = args.length = 0;
    else backends.push(args[i]);
  }
  if (backends.length === 0) {
    console.error("proxy: usage: node scripts/proxy.mjs [--listen ADDRESS] BACKEND...");
    process.exit(2);
  }
  const proxy = await startProxy({ listen, backends, log: (text) => console.error(`proxy: ${text}`) });
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
    process.once(signal, () => proxy.close().then(() => process.exit(0)));
  }
  console.log(`proxy is listening on ${proxy.url}`);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  main().catch((error) => {
    console.error(`proxy: ${error.message}`);
    process.exit(1);
  });
}
