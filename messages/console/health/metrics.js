// The text that Prometheus reads, read by a page.

const LINE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})?\s+(\S+)/;
const LABEL = /([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"/g;
const NUMBERS = { "+Inf": Infinity, "-Inf": -Infinity, NaN: NaN };

/** All samples: `{name, labels, value}`. */
export function parse(text) {
  const samples = [];
  for (const line of text.split("\n")) {
    const found = line.startsWith("#") ? null : LINE.exec(line);
    if (!found) continue;
    const [, name, labels = "", value] = found;
    const pairs = [...labels.matchAll(LABEL)].map(([, key, text]) => [
      key,
      text.replace(/\\(.)/g, (_, c) => (c === "n" ? "\n" : c)),
    ]);
    samples.push({ name, labels: Object.fromEntries(pairs), value: NUMBERS[value] ?? Number(value) });
  }
  return samples;
}

/** The sum of all samples of a name whose labels fit; undefined when there are none. */
export function sum(samples, name, labels = {}) {
  const fits = (sample) =>
    sample.name === name && Object.entries(labels).every(([key, value]) => sample.labels[key] === value);
  const found = samples.filter(fits);
  return found.length === 0 ? undefined : found.reduce((total, { value }) => total + value, 0);
}
