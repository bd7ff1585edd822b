// The protocol's own conformance suite, against a fresh server.

import { runConformanceTests } from "@durable-streams/server-conformance-tests";
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { afterAll, beforeAll } from "vitest";
import { Server } from "../server.js";

/** An empty database in the Postgres that the tests run with. */
async function postgres() {
  const server = process.env.TEST_POSTGRES_URL;
  if (!server) throw new Error("TEST_POSTGRES_URL is not set; run this with scripts/conformance");
  const database = `conformance_${Date.now()}_${process.pid}`;
  await promisify(execFile)("psql", [server, "-qXc", `CREATE DATABASE ${database}`]);
  const url = new URL(server);
  url.pathname = database;
  return url.href;
}

/** Runs the suite with this database and durability. */
export function suite(database, durability) {
  // The suite reads the URL when a test runs, so it may be set late.
  const options = { baseUrl: "", subscriptions: true };
  let server;

  beforeAll(async () => {
    const databaseUrl = database === "postgres" ? await postgres() : undefined;
    // Long polls that end soon: some tests wait for their end, and one looks at it only when it
    // comes within 5 s.
    const env = { LONG_POLL_SECS: "2" };
    server = await Server.start({ databaseUrl, durability, env });
    options.baseUrl = server.url;
  });
  afterAll(async () => {
    // After all that was done to it, it must still be able to stop.
    try {
      await server?.stop();
    } finally {
      await server?.remove();
    }
  });
  runConformanceTests(options);
}
