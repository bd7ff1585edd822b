// Databases in the Postgres that the tests run with.

import { execFile } from "node:child_process";
import { promisify } from "node:util";

let count = 0;

/** An empty database in the Postgres that the tests run with. */
export async function postgres() {
  const server = process.env.TEST_POSTGRES_URL;
  if (!server) throw new Error("TEST_POSTGRES_URL is not set; run this with scripts/conformance");
  const database = `conformance_${Date.now()}_${process.pid}_${(count += 1)}`;
  await promisify(execFile)("psql", [server, "-qXc", `CREATE DATABASE ${database}`]);
  const url = new URL(server);
  url.pathname = database;
  return url.href;
}
