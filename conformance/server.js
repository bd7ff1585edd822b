// The server program as a process of its own. A test can kill it and start it again.

import { randomInt } from "node:crypto";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { onTestFailed, onTestFinished } from "vitest";
import { Program, programDir } from "./program.js";

const TLS = fileURLToPath(new URL("../messages/src/tls/testdata", import.meta.url));

/** For localhost and 127.0.0.1; it vouches for itself. */
export const CERTIFICATE = join(TLS, "certificate.pem");

/** The server to test. */
export function serverProgram() {
  const program = process.env.MESSAGES_BIN;
  if (!program) throw new Error("MESSAGES_BIN is not set; run this with scripts/conformance");
  return program;
}

export class Server extends Program {
  #args;
  #env;
  #port;
  #scheme;

  /**
   * Starts a server on an empty data directory and a free port. Without a database URL it has
   * SQLite in that directory. With `tls` it speaks HTTPS, with the certificate of tests.
   */
  static async start({ databaseUrl, durability = "sync", env = {}, tls = false } = {}) {
    const dir = await programDir();
    const server = new Server(dir);
    server.#env = env;
    server.#args = ["--data-dir", join(dir, "data"), "--durability", durability];
    server.#scheme = tls ? "https" : "http";
    if (tls) server.#args.push("--tls-cert", CERTIFICATE, "--tls-key", join(TLS, "key.pem"));
    if (databaseUrl) server.#args.push("--database-url", databaseUrl);
    // Nothing hands out a free port that stays free, so take what the server can bind. Below 32768
    // no outgoing connection is given the port while the server is down.
    for (let attempt = 1; ; attempt += 1) {
      server.#port = randomInt(20_000, 32_000);
      try {
        await server.resume();
        return server;
      } catch (error) {
        if (attempt === 5) {
          await server.remove();
          throw error;
        }
      }
    }
  }

  /** Starts a server for the test that runs; it is removed at the end of that test. */
  static async forTest(options) {
    const server = await Server.start(options);
    onTestFinished(() => server.remove());
    onTestFailed(() => console.error(`the server wrote:\n${server.output}`));
    return server;
  }

  get url() {
    return `${this.#scheme}://127.0.0.1:${this.#port}`;
  }

  /** The URL of a stream. */
  stream(name) {
    return `${this.url}/v1/stream/${name}`;
  }

  /** Starts it again with the same port and data. */
  async resume() {
    await this.launch(serverProgram(), ["--listen", `127.0.0.1:${this.#port}`, ...this.#args], {
      env: this.#env,
      ready: /listening on https?:/,
    });
  }
}
