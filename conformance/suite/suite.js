// The protocol's own conformance suite, against a fresh server.

import { runConformanceTests } from "@durable-streams/server-conformance-tests";
import { afterAll, beforeAll } from "vitest";
import { postgres } from "../postgres.js";
import { Server } from "../server.js";

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
