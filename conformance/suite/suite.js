// The protocol's own conformance suite, against a fresh server.

import { runConformanceTests } from "@durable-streams/server-conformance-tests";
import { afterAll, beforeAll } from "vitest";
import { Cluster } from "../cluster.js";
import { postgres } from "../postgres.js";
import { Server } from "../server.js";

// Long polls that end soon: some tests wait for their end, and one looks at it only when it
// comes within 5 s.
const env = { LONG_POLL_SECS: "2" };

/** Runs the suite with this database and durability. */
export function suite(database, durability) {
  against(async () => {
    const databaseUrl = database === "postgres" ? await postgres() : undefined;
    return Server.start({ databaseUrl, durability, env });
  });
}

/** Runs the suite with one server behind the proxy: what fails here only is the fault of the proxy. */
export function proxiedSuite() {
  against(() => Cluster.start({ nodes: 1, args: ["--durability", "sync"], env }));
}

/** Runs the suite with nodes that share a Redis and a Postgres, and every request goes to the next one. */
export function clusterSuite(nodes, redis = "TEST_REDIS_URL") {
  against(async () => {
    const redisUrl = process.env[redis];
    if (!redisUrl) throw new Error(`${redis} is not set; run this with scripts/conformance`);
    const databaseUrl = await postgres();
    // What Redis holds belongs to one database.
    const prefix = new URL(databaseUrl).pathname.slice(1);
    const shared = ["--database-url", databaseUrl, "--redis-url", redisUrl, "--redis-prefix", prefix];
    return Cluster.start({ nodes, args: [...shared, "--durability", "sync"], env });
  });
}

function against(start) {
  // The suite reads the URL when a test runs, so it may be set late.
  const options = { baseUrl: "", subscriptions: true };
  let server;

  beforeAll(async () => {
    server = await start();
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
