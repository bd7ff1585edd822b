// Everything that the documentation shows is done as it stands there.

import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { Browser } from "../console/browser.js";
import { CERTIFICATE } from "../server.js";
import { DOCUMENTS, blocks, commands } from "./documents.js";
import { NOT_RUN } from "./not_run.js";
import { Session } from "./session.js";

const AUTH_SECRET = "a secret that is long enough for the server";
/** What some documents suppose: files in the directory, and a server with a key. */
const GIVEN = {
  "docs/console.md": { env: { AUTH_SECRET } },
  "docs/operations.md": {
    env: { AUTH_SECRET },
    files: {
      "fullchain.pem": readFileSync(CERTIFICATE),
      "privkey.pem": readFileSync(CERTIFICATE.replace("certificate", "key")),
    },
  },
};

/** Whether a block starts the server that is used then: it begins anew, in an empty directory. */
function starts(block) {
  if (block.language !== "console") return false;
  const typed = commands(block).map(({ typed }) => typed);
  // A second one is started beside it.
  return typed.some((command) => /^messages( -.*| &)?$/.test(command) && !command.includes("127.0.0.1:3001"));
}

for (const document of DOCUMENTS) {
  test(document, { timeout: 90_000 }, async () => {
    let session;
    const { env, files = {} } = GIVEN[document] ?? {};
    const shown = { ...files };
    const begin = async () => {
      await session?.end();
      session = await Session.forTest({ env, files: shown });
    };
    for (const block of blocks(document)) {
      if (block.first in (NOT_RUN[document] ?? {})) continue;
      try {
        if (block.language === "json") {
          JSON.parse(block.text);
          continue;
        }
        if (block.file) {
          shown[block.file] = block.text;
          await session?.write(block.file, block.text);
          continue;
        }
        if (starts(block)) await begin();
        else if (!session) {
          await begin();
          await session.type({ typed: "messages &", shown: "" });
        }
        if (block.language === "js") await inPage(session, block.text);
        else if (block.language === "console") {
          for (const command of commands(block)) await session.type(command);
        } else throw new Error("is neither run nor listed in not_run.js");
      } catch (error) {
        throw new Error(`${document}, line ${block.line}: ${error.message}`, { cause: error });
      }
    }
  });
}

test("what is listed is there", () => {
  for (const [document, listed] of Object.entries(NOT_RUN)) {
    const there = blocks(document).map(({ first }) => first);
    for (const first of Object.keys(listed)) expect(there, document).toContain(first);
  }
});

/** Runs what is for a page in one of the server's own origin. It has to show something. */
async function inPage(session, text) {
  const browser = await Browser.forTest();
  const page = await browser.open(session.url);
  const show = "globalThis.shown = []; globalThis.show = (what) => shown.push(what);";
  await page.get(`${show} (async () => {${session.code(text)}})().catch((error) => console.error(error)); 0`);
  await page.until("globalThis.shown.length > 0");
}
