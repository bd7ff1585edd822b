// Compares what a command prints with what a document shows.
//
// `…` stands for anything. What is another one each time, and is shown as one that was, stands for any of
// its kind: a time, a long word (a token, a key, a checksum), and a word that is cut short, as `NDcz…`. A long
// word is the same wherever it comes again: in what is shown later, and in commands.

const KINDS = [
  // Offsets are not among them.
  { name: "offset", pattern: /\d{16}_\d{16}/ },
  { name: "short", pattern: /[\w.-]+…/, any: "[^\\s\"'&,]+", remembered: true },
  { name: "anything", pattern: /…/, any: "[^]*?" },
  {
    name: "date",
    pattern: /\d{4}-\d\d-\d\dT[\d:.]+Z/,
    any: "\\d{4}-\\d\\d-\\d\\dT[\\d:.]+Z",
  },
  { name: "time", pattern: /\b1\d{9}(?:\d{3})?\b/, any: "1\\d{9}(?:\\d{3})?" },
  // With a digit: it is no name that somebody has thought of.
  { name: "word", pattern: /\b(?=[A-Za-z_-]*\d)[\w-]{32,}\b/, any: "[\\w-]{32,}", remembered: true },
];
const PARTS = new RegExp(KINDS.map(({ name, pattern }) => `(?<${name}>${pattern.source})`).join("|"), "g");

const literal = (text) => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");

/** The words of a document and what they are this time. */
export class Words {
  #are = new Map();

  /** A command with the words of this time. */
  inCommand(typed) {
    let text = typed;
    for (const [word, is] of this.#are) text = text.replaceAll(word, is);
    return text;
  }

  /** Whether this was printed; remembers its words if so. */
  match(shown, printed) {
    const words = [];
    let pattern = "";
    let end = 0;
    // A line that begins with a space goes on with the one before: it was too long for the page.
    const text = shown.trimEnd().replace(/\n +/g, "");
    for (const part of text.matchAll(PARTS)) {
      const [word] = part;
      const kind = KINDS.find(({ name }) => part.groups[name] !== undefined);
      pattern += literal(text.slice(end, part.index));
      end = part.index + word.length;
      if (!kind.any || this.#are.has(word)) pattern += literal(this.#are.get(word) ?? word);
      else if (!kind.remembered) pattern += kind.any;
      else if (words.includes(word)) pattern += `\\${words.indexOf(word) + 1}`;
      else {
        words.push(word);
        pattern += `(${kind.any})`;
      }
    }
    pattern += literal(text.slice(end));
    const found = new RegExp(`^${pattern}$`).exec(printed.trimEnd());
    found?.slice(1).forEach((is, index) => this.#are.set(words[index], is));
    return found !== null;
  }
}
