// Numbers as people read them, and offsets as the server writes them.

const whole = new Intl.NumberFormat("en");
const short = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });

/** 1234567 as 1,234,567. */
export const count = (number) => whole.format(number);

/** So many of a thing, of which there may be one. */
export const some = (number, one, more) => `${count(number)} ${number === 1 ? one : more}`;

/** Bytes with the unit that fits. */
export function bytes(number) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let power = 0;
  let value = number;
  while (value >= 1024 && power < units.length - 1) {
    value /= 1024;
    power += 1;
  }
  return `${power === 0 ? whole.format(value) : short.format(value)} ${units[power]}`;
}

/** A rate with few digits. */
export const rate = (number) => (number >= 1000 ? whole.format(Math.round(number)) : short.format(number));

/** Seconds as the two largest units. */
export function duration(secs) {
  const parts = [
    ["d", 86_400],
    ["h", 3600],
    ["min", 60],
    ["s", 1],
  ];
  let left = Math.floor(secs);
  const words = [];
  for (const [unit, size] of parts) {
    const many = Math.floor(left / size);
    left -= many * size;
    if (many > 0 || (unit === "s" && words.length === 0)) words.push(`${many} ${unit}`);
  }
  return words.slice(0, 2).join(" ");
}

/** The time of day of milliseconds since 1970. */
export const time = (ms) => new Date(ms).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });

/** The day of milliseconds since 1970. */
export function day(ms) {
  const date = new Date(ms);
  const today = new Date();
  if (date.toDateString() === today.toDateString()) return "Today";
  return date.toLocaleDateString([], { weekday: "long", day: "numeric", month: "long", year: "numeric" });
}

/** What an offset of the server counts: records and bytes before it. */
export function position(offset) {
  const [records, size] = offset.split("_");
  return { records: Number(records), bytes: Number(size) };
}

/** The offset behind so many bytes: the server looks at nothing else. */
export const offsetAt = (size) => `${"0".repeat(16)}_${String(size).padStart(16, "0")}`;

/** Several words as in a sentence. */
export const list = (words) => new Intl.ListFormat("en").format(words);
