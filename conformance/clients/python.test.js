// The official Python client.

import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { test } from "vitest";
import { Server } from "../server.js";

const program = fileURLToPath(new URL("python_client.py", import.meta.url));

test.each(["text", "binary", "json", "long-poll", "sse", "auto", "async", "resume"])(
  "%s",
  async (name) => {
    const python = process.env.CONFORMANCE_PYTHON;
    if (!python) throw new Error("CONFORMANCE_PYTHON is not set; run this with scripts/conformance");
    const server = await Server.forTest();
    // What it prints is a part of the error when it ends with one.
    await promisify(execFile)(python, [program, name, server.stream(name)], { timeout: 35_000 });
  },
);
