// What stands in fenced blocks in the documentation.

import { readFileSync, readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../../", import.meta.url));

/** README.md and all in docs/, without what is generated. */
export const DOCUMENTS = [
  "README.md",
  ...readdirSync(`${root}docs`)
    .filter((name) => name.endsWith(".md") && name !== "configuration.md")
    .map((name) => `docs/${name}`),
];

/** The blocks of a document in their order: `{document, line, language, file, text, first}`. */
export function blocks(document) {
  const found = [];
  let block;
  for (const [index, line] of readFileSync(root + document, "utf8").split("\n").entries()) {
    if (block && line === "```") {
      block.first = block.text.split("\n", 1)[0];
      found.push(block);
      block = undefined;
    } else if (block) {
      block.text += `${line}\n`;
    } else if (line.startsWith("```")) {
      // As in ```js follow.mjs: a block with the name of a file is that file.
      const [language, file] = line.slice(3).split(" ");
      block = { document, line: index + 2, language, file, text: "" };
    }
  }
  if (block) throw new Error(`${document}: the block in line ${block.line} has no end`);
  return found;
}

/** What one types in a block of the language `console`, and what it shows: `[{typed, shown}]`. */
export function commands({ text }) {
  const all = [];
  for (const line of text.split("\n").slice(0, -1)) {
    const last = all.at(-1);
    if (line.startsWith("$ ")) all.push({ typed: line.slice(2), shown: "" });
    else if (!last) throw new Error(`a block begins with an output: ${line}`);
    else if (isOpen(last.typed)) last.typed += `\n${line}`;
    else last.shown += `${line}\n`;
  }
  return all;
}

/** Whether a shell would wait for another line of the command. */
function isOpen(typed) {
  return typed.endsWith("\\") || typed.split("'").length % 2 === 0;
}
